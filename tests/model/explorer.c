/* SPDX-License-Identifier: MIT
 *
 * Runs a model again and again, one coroutine for each of its threads, until each order of its
 * operations that could make a difference has been seen, depth first; model_order.c says which.
 *
 * A step is what a thread does from one operation that others could meet to right before its next.
 */
#define _GNU_SOURCE
#include "explorer.h"
#include "model_order.h"
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

enum { MOST_PRINTED = 200 };

struct thread explorer_threads[MODEL_THREADS];
unsigned explorer_current;
unsigned explorer_count;
unsigned explorer_stale_left;
unsigned long explorer_writes;
unsigned long explorer_number;
bool explorer_runs;

struct step explorer_steps[EXPLORER_STEPS];
unsigned explorer_length;
uint16_t explorer_clocks[MODEL_THREADS][MODEL_THREADS];
const struct model *explorer_model;
static unsigned planned; /* the first ones are as before, but for the last of these */
static unsigned next_sleep;

static const char *failure;
static bool is_ended;
static char failure_text[300];
static bool by_chance;
static uint64_t chance = 1;

/* TLS of the code under test, which is in a section of its own. */
extern char __start_model_tls[] __attribute__((weak));
extern char __stop_model_tls[] __attribute__((weak));
static char locals[MODEL_THREADS + 1][4096]; /* the last one: as at the start of the program */

static jmp_buf scheduler;
static jmp_buf places[MODEL_THREADS];
static bool begun[MODEL_THREADS];

static unsigned next_chance(unsigned below)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (unsigned)((chance >> 33) % below);
}

/* --- coroutines ------------------------------------------------------------------------------- */

static size_t locals_size(void)
{
    return (size_t)(__stop_model_tls - __start_model_tls);
}

static void to_scheduler(void)
{
    if (_setjmp(places[explorer_current]) == 0) {
        _longjmp(scheduler, 1);
    }
}

static void thread_main(void)
{
    struct thread *self = explorer_self();

    self->fn(self->arg);
    explorer_self()->over = true;
    explorer_self()->pending = (struct op){.what = "over"};
    _longjmp(scheduler, 1);
}

static void begin(unsigned thread)
{
    static ucontext_t context;

    getcontext(&context);
    context.uc_stack.ss_sp = memory_arena.begin + (size_t)thread * EXPLORER_STACK;
    context.uc_stack.ss_size = EXPLORER_STACK;
    context.uc_link = NULL;
    makecontext(&context, thread_main, 0);
    begun[thread] = true;
    setcontext(&context);
}

/* Lets the thread do its next step. */
static void go_on(unsigned thread)
{
    static unsigned last;

    if (locals_size() > 0) {
        memcpy(locals[last], __start_model_tls, locals_size());
        memcpy(__start_model_tls, locals[thread], locals_size());
        last = thread;
    }
    explorer_current = thread;
    explorer_threads[thread].yields = false;
    if (_setjmp(scheduler) == 0) {
        if (begun[thread]) {
            _longjmp(places[thread], 1);
        }
        begin(thread);
    }
}

_Noreturn void model_fail(const char *what)
{
    snprintf(failure_text, sizeof failure_text, "%s", what);
    failure = failure_text;
    _longjmp(scheduler, 1);
}

_Noreturn void model_end(void)
{
    is_ended = true;
    _longjmp(scheduler, 1);
}

/* The code under test has followed a pointer that it should not have read. */
static void crashed(int number)
{
    model_fail(number == SIGABRT ? "abort() is called" : "a crash");
}

static void catch_crashes(void)
{
    static char stack[1 << 16];
    stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = crashed, .sa_flags = SA_ONSTACK | SA_NODEFER};

    sigaltstack(&other, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGABRT, &action, NULL);
}

/* --- what the other parts call ---------------------------------------------------------------- */

bool explorer_alone(void)
{
    unsigned others = 0;

    for (unsigned i = 0; i < explorer_count; i++) {
        others += i != explorer_current && !explorer_threads[i].is_joined;
    }
    return others == 0;
}

void explorer_point(enum operation kind, bool sc, const void *address, const char *what,
                    void *caller)
{
    struct thread *self = explorer_self();

    if (explorer_alone() && self->waits == WAITS_NOT) {
        return;
    }
    self->pending = (struct op){kind, sc, address, what, caller};
    to_scheduler();
}

unsigned explorer_choose(unsigned count)
{
    struct step *step = explorer_length > 0 ? &explorer_steps[explorer_length - 1] : NULL;

    if (count <= 1 || !step || explorer_alone()) {
        return 0;
    }
    step->choices = count;
    if (by_chance) {
        step->choice = next_chance(3) == 0 ? next_chance(count) : 0;
    }
    return step->choice;
}

unsigned model_choose(unsigned count)
{
    explorer_point(OP_SILENT, false, NULL, "choose", __builtin_return_address(0));
    return explorer_choose(count);
}

void explorer_block(enum wait waits, const void *waits_for, const char *what, void *caller)
{
    explorer_self()->waits = waits;
    explorer_self()->waits_for = waits_for;
    explorer_point(OP_SILENT, false, waits_for, what, caller);
}

void explorer_wake(unsigned thread)
{
    explorer_threads[thread].waits = WAITS_NOT;
    order_join(explorer_clocks[thread], explorer_clocks[explorer_current]);
}

unsigned explorer_step(void)
{
    return explorer_length;
}

bool explorer_could_precede(unsigned step)
{
    return step > 0 && !by_chance && explorer_model->preemptions == 0 &&
           explorer_steps[step - 1].raced_by == explorer_length;
}

unsigned explorer_start(void (*fn)(void *arg), void *arg)
{
    unsigned thread = explorer_count;

    if (thread == MODEL_THREADS) {
        model_fail("too many threads");
    }
    explorer_threads[thread] = (struct thread){.fn = fn, .arg = arg, .creator = explorer_current};
    explorer_threads[thread].pending = (struct op){.what = "begins"};
    memcpy(explorer_clocks[thread], explorer_clocks[explorer_current], sizeof explorer_clocks[0]);
    memory_thread_starts(thread, explorer_current);
    begun[thread] = false;
    memcpy(locals[thread], locals[MODEL_THREADS], locals_size());
    explorer_count++;
    return thread;
}

void explorer_join(unsigned thread)
{
    if (!explorer_threads[thread].over) {
        explorer_block(WAITS_JOIN, &explorer_threads[thread], "joins", __builtin_return_address(0));
    }
    explorer_threads[thread].is_joined = true;
    memory_join(&explorer_self()->view, &explorer_threads[thread].view);
    order_join(explorer_clocks[explorer_current], explorer_clocks[thread]);
}

void model_start(void (*fn)(void *arg), void *arg)
{
    explorer_threads[explorer_start(fn, arg)].is_models = true;
}

void model_join(void)
{
    for (unsigned i = 1; i < explorer_count; i++) {
        if (explorer_threads[i].is_models && explorer_threads[i].creator == explorer_current) {
            explorer_join(i);
        }
    }
}

void model_yield(void)
{
    struct thread *self = explorer_self();

    if (explorer_alone()) {
        return;
    }
    bool is_behind = memory_yielded(); /* then there is something to look at */
    self->yields = true;
    if (self->writes_seen != explorer_writes - self->writes) {
        self->yielded = 0;
    }
    self->yielded++;
    self->writes_seen = explorer_writes - self->writes - is_behind;
    explorer_point(OP_SILENT, false, NULL, "yields", __builtin_return_address(0));
}

/* --- one execution ---------------------------------------------------------------------------- */

static bool can_go_on(const struct thread *thread)
{
    switch (thread->waits) {
    case WAITS_NOT:
        return !thread->over;
    case WAITS_LOCK:
        return system_is_free(thread->waits_for);
    case WAITS_JOIN:
        return ((const struct thread *)thread->waits_for)->over;
    case WAITS_FUTEX:
        break;
    }
    return false;
}

/* Whoever yields comes last, and waits for something new when it has yielded some times: it may be
 * that it looks a few times only. ret_eager: those who do not yield, if there are any. */
static unsigned who_can(unsigned *ret_eager)
{
    unsigned most = explorer_model->free_yields;
    unsigned all = 0;
    unsigned able = 0;
    unsigned eager = 0;

    for (unsigned i = 0; i < explorer_count; i++) {
        const struct thread *thread = &explorer_threads[i];
        if (can_go_on(thread)) {
            bool is_news = explorer_writes - thread->writes > thread->writes_seen;
            all |= bit(i);
            able |= !thread->yields || is_news || thread->yielded <= most ? bit(i) : 0;
            eager |= !thread->yields || is_news ? bit(i) : 0;
        }
    }
    *ret_eager = eager ? eager : all;
    return able ? able : all;
}

/* Switching to this thread there is a preemption. */
static bool is_preemption(unsigned index, unsigned thread)
{
    const struct step *before = index > 0 ? &explorer_steps[index - 1] : NULL;
    return before && before->thread != thread &&
           (explorer_steps[index].eager & bit(before->thread));
}

static unsigned preemptions_before(unsigned index)
{
    return index > 0 ? explorer_steps[index - 1].preemptions : 0;
}

static bool within_bound(unsigned index, unsigned thread)
{
    return explorer_model->preemptions == 0 ||
           preemptions_before(index) + is_preemption(index, thread) <= explorer_model->preemptions;
}

/* A thread to go on with where no step is planned; false: it would lead to what has been seen. */
static bool plan(unsigned enabled, unsigned eager)
{
    struct step *step = &explorer_steps[explorer_length];
    unsigned last = explorer_length > 0 ? explorer_steps[explorer_length - 1].thread : 0;

    *step = (struct step){.enabled = enabled, .eager = eager, .sleep = next_sleep};
    unsigned awake = by_chance ? enabled : enabled & ~next_sleep;
    if (awake == 0) {
        return false;
    }
    awake = awake & eager ? awake & eager : awake;
    if (by_chance && (!(awake & bit(last)) || next_chance(3) == 0)) {
        unsigned skip = next_chance((unsigned)__builtin_popcount(awake));
        while (skip-- > 0) {
            awake &= awake - 1;
        }
        step->thread = lowest(awake);
    } else {
        step->thread = awake & bit(last) ? last : lowest(awake);
    }
    step->backtrack = bit(step->thread);
    return true;
}

enum outcome { OUTCOME_GOOD, OUTCOME_SEEN, OUTCOME_BAD };

static void reset(void)
{
    memory_reset();
    system_reset();
    memset(explorer_clocks, 0, sizeof explorer_clocks);
    explorer_length = 0;
    order_reset();
    next_sleep = 0;
    explorer_count = 0;
    explorer_current = 0;
    explorer_writes = 0;
    explorer_stale_left = explorer_model->stale_reads;
    failure = NULL;
    is_ended = false;
    explorer_number++;
}

static void run_first(void *arg)
{
    (void)arg;
    explorer_model->run();
}

static enum outcome execute(void)
{
    reset();
    explorer_runs = true;
    explorer_start(run_first, NULL);
    go_on(0); /* up to where it is no longer alone */
    while (!failure && !is_ended) {
        unsigned eager;
        unsigned enabled = who_can(&eager);
        if (enabled == 0) {
            for (unsigned i = 0; i < explorer_count; i++) {
                failure = explorer_threads[i].over ? failure : "a deadlock, or a lost wake-up";
            }
            break;
        }
        if (explorer_length == EXPLORER_STEPS) {
            failure = "no end";
            break;
        }
        if (explorer_length >= planned && !plan(enabled, eager)) {
            return OUTCOME_SEEN;
        }
        struct step *step = &explorer_steps[explorer_length];
        if (!(step->enabled & enabled & bit(step->thread))) {
            fprintf(stderr, "the model is not deterministic\n");
            exit(2);
        }
        step->op = explorer_threads[step->thread].pending;
        step->preemptions =
            preemptions_before(explorer_length) + is_preemption(explorer_length, step->thread);
        next_sleep = 0;
        for (unsigned i = 0; i < explorer_count && explorer_model->preemptions == 0; i++) {
            if (i != step->thread && ((step->sleep | step->done) & bit(i)) &&
                !order_depend(&explorer_threads[i].pending, &step->op)) {
                next_sleep |= bit(i);
            }
        }
        explorer_length++;
        order_note(explorer_length >= planned && !by_chance);
        explorer_threads[step->thread].waits = WAITS_NOT;
        go_on(step->thread);
    }
    return failure ? OUTCOME_BAD : OUTCOME_GOOD;
}

/* --- all of them ------------------------------------------------------------------------------ */

/* The last step for which there is something else to try; false: none is left. */
static bool next_plan(void)
{
    for (; explorer_length > 0; explorer_length--) {
        struct step *step = &explorer_steps[explorer_length - 1];
        if (step->choice + 1 < step->choices) {
            step->choice++;
            planned = explorer_length;
            return true;
        }
        step->done |= bit(step->thread);
        unsigned left = step->backtrack & ~step->done & ~step->sleep;
        while (left && !within_bound(explorer_length - 1, lowest(left))) {
            left &= left - 1;
        }
        if (left) {
            step->thread = lowest(left);
            step->choices = 0;
            step->choice = 0;
            planned = explorer_length;
            return true;
        }
    }
    return false;
}

/* Where that is in the sources. */
static void print_place(const void *caller)
{
    char command[200];
    char line[300] = "";

    snprintf(command, sizeof command, "addr2line -s -e /proc/%ld/exe %p 2>/dev/null",
             (long)getpid(), (const void *)((const char *)caller - 1));
    FILE *pipe = popen(command, "r");
    if (pipe && fgets(line, sizeof line, pipe)) {
        line[strcspn(line, " \n")] = '\0';
    }
    if (pipe) {
        pclose(pipe);
    }
    printf("%s\n", line);
}

static void print_failure(void)
{
    printf("%s: %s\n", explorer_model->name, failure);
    for (unsigned i = explorer_length > MOST_PRINTED ? explorer_length - MOST_PRINTED : 0;
         i < explorer_length; i++) {
        const struct step *step = &explorer_steps[i];
        printf("%5u  thread %u  %-8s %14p %s%-3.u ", i + 1, step->thread, step->op.what,
               step->op.address, step->choices > 1 ? "choice " : "       ", step->choice);
        print_place(step->op.caller);
    }
    for (unsigned i = 0; i < explorer_count; i++) {
        if (!explorer_threads[i].over) {
            printf("then   thread %u  %s %p ", i, explorer_threads[i].pending.what,
                   explorer_threads[i].pending.address);
            print_place(explorer_threads[i].pending.caller);
        }
    }
    printf("%s: %s\n", explorer_model->name, failure);
}

static bool explore(unsigned long most, bool verbose)
{
    clock_t start = clock();
    unsigned long seen = 0;
    unsigned long deepest = 0;
    bool whole = true;

    explorer_number = 0;
    explorer_length = planned = 0;
    do {
        enum outcome outcome = execute();
        explorer_runs = false;
        if (outcome == OUTCOME_BAD) {
            print_failure();
            printf("%s: FAILED in execution %lu\n", explorer_model->name, explorer_number);
            return false;
        }
        seen += outcome == OUTCOME_SEEN;
        deepest = explorer_length > deepest ? explorer_length : deepest;
        if (verbose && explorer_number % 10000 == 0) {
            fprintf(stderr, "%lu executions, %u steps\n", explorer_number, explorer_length);
        }
        if (by_chance) {
            explorer_length = planned = 0;
        }
        whole = explorer_number < most;
    } while (whole && (by_chance || next_plan()));
    printf("%s: %lu executions of at most %lu steps, and %lu cut short; stale reads <= %u, ",
           explorer_model->name, explorer_number - seen, deepest, seen,
           explorer_model->stale_reads);
    if (explorer_model->preemptions > 0) {
        printf("preemptions <= %u, ", explorer_model->preemptions);
    }
    printf("%s; %.1f s\n",
           by_chance ? "by chance"
           : whole   ? "all"
                     : "NOT ALL",
           (double)(clock() - start) / CLOCKS_PER_SEC);
    return true;
}

int model_main(int argc, char **argv, const struct model *models, size_t count)
{
    unsigned long most = 0;
    unsigned long random = 0;
    long stale = -1;
    long preemptions = -1;
    bool verbose = false;
    bool good = true;
    int option;

    while ((option = getopt(argc, argv, "n:p:r:s:v")) != -1) {
        unsigned long number = optarg ? strtoul(optarg, NULL, 10) : 0;
        most = option == 'n' ? number : most;
        preemptions = option == 'p' ? (long)number : preemptions;
        random = option == 'r' ? number : random;
        stale = option == 's' ? (long)number : stale;
        verbose |= option == 'v';
        if (option == '?') {
            fprintf(stderr,
                    "usage: %s [-n EXECUTIONS] [-s STALE] [-p PREEMPTIONS] [-r RANDOM] "
                    "[-v] [NAME...]\n",
                    argv[0]);
            return 2;
        }
    }
    memcpy(locals[MODEL_THREADS], __start_model_tls, locals_size());
    catch_crashes();
    for (size_t i = 0; i < count && good; i++) {
        bool is_wanted = optind == argc;
        for (int k = optind; k < argc; k++) {
            is_wanted |= strcmp(argv[k], models[i].name) == 0;
        }
        struct model changed = models[i];
        changed.stale_reads = stale >= 0 ? (unsigned)stale : changed.stale_reads;
        changed.preemptions = preemptions >= 0 ? (unsigned)preemptions : changed.preemptions;
        by_chance = random > 0;
        explorer_model = &changed;
        if (is_wanted) {
            good = explore(random ? random : most ? most : changed.executions, verbose);
        }
    }
    return good ? 0 : 1;
}
