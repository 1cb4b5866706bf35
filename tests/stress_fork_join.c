/* SPDX-License-Identifier: MIT
 *
 * Random trees of forks whose sizes are known (as in Unbalanced Tree Search: Olivier and others,
 * LCPC 2006), begun by several threads and by tasks at once, on 1 to 16 workers, with thousands of
 * forks open now and then. In them forks submit and wait, block, begin regions and leave calls out,
 * while the executor is resized and, at a random moment, shut down. Every region that began counts
 * its whole tree, and every call is made once.
 */
#include "support.h"

enum { ACTORS = 3, REGIONS_EACH = 12, MOST_CHILDREN = 5, MOST_DEPTH = 11, MOST_NESTED = 4 };

/* What forks do besides, in percent of the nodes. */
struct habits {
    unsigned submit, block, nest, leave_out, yield;
};

struct job {
    stook_executor *executor;
    struct habits habits;
    atomic_bool is_closing, is_cancelling; /* from before shutdown on */
    atomic_int actors;                     /* that have not finished */
    atomic_ulong regions, refused;
};

/* A call, and the subtree below it, whose shape follows from the state. */
struct call {
    struct job *job;
    uint64_t state;
    unsigned depth;
    unsigned nested; /* regions around its own */
    int times;       /* plain, as the next one */
    unsigned long nodes;
};

static void count_tree(stook_here *here, void *arg);

/* --- trees ------------------------------------------------------------------------------------ */

/* Gives the number of children, and the state from which theirs are drawn. */
static unsigned children_of(uint64_t state, unsigned depth, uint64_t *ret_random)
{
    *ret_random = state;
    if (depth >= MOST_DEPTH) {
        return 0;
    }
    return depth < 2 ? 2 : random_below(ret_random, MOST_CHILDREN);
}

static unsigned long plain_count(uint64_t state, unsigned depth)
{
    uint64_t random;
    unsigned long nodes = 1;

    for (unsigned children = children_of(state, depth, &random); children > 0; children--) {
        nodes += plain_count(random_next(&random), depth + 1);
    }
    return nodes;
}

/* --- what forks do besides -------------------------------------------------------------------- */

static int leaf_task(void *arg, void **ret_value)
{
    (void)ret_value;
    ++*(int *)arg; /* plain: seen through the future */
    return 0;
}

static void submit_and_wait(struct job *job)
{
    int runs = 0;
    stook_future *future = NULL;
    const enum stook_status status =
        stook_executor_submit(job->executor, leaf_task, &runs, &future);

    if (status != STOOK_OK) {
        MUST(status == STOOK_SHUTDOWN && atomic_load(&job->is_closing));
        return;
    }
    const enum stook_status outcome = stook_future_result(future, NULL);
    MUST(outcome == STOOK_OK || (outcome == STOOK_CANCELLED && atomic_load(&job->is_cancelling)));
    MUST(runs == (outcome == STOOK_OK));
    stook_future_release(future);
}

/* In a task, even one that shutdown waits for, a region always begins. */
static void begin_inner(const struct call *call, uint64_t *random)
{
    struct call inner = {.job = call->job,
                         .state = random_next(random),
                         .depth = MOST_DEPTH - 4,
                         .nested = call->nested + 1};

    MUST(stook_executor_run(call->job->executor, count_tree, &inner) == STOOK_OK);
    MUST(inner.times == 1);
    MUST(inner.nodes == plain_count(inner.state, inner.depth));
}

/* Its own randomness: the tree's is spent on the shape. */
static void follow_habits(const struct call *call)
{
    const struct habits *habits = &call->job->habits;
    uint64_t random = ~call->state;

    if (random_below(&random, 100) < habits->submit) {
        submit_and_wait(call->job);
    }
    if (random_below(&random, 100) < habits->block) {
        stook_task_begin_blocking();
        thrd_yield();
        stook_task_end_blocking();
    }
    if (call->nested < MOST_NESTED && random_below(&random, 100) < habits->nest) {
        begin_inner(call, &random);
    }
    if (random_below(&random, 100) < habits->yield) {
        thrd_yield();
    }
}

/* --- regions ---------------------------------------------------------------------------------- */

/* Forks all children but the first, or counts plainly those that nobody took. */
static void count_tree(stook_here *here, void *arg)
{
    struct call *call = arg;
    struct call below[MOST_CHILDREN];
    stook_here *at[MOST_CHILDREN + 1] = {here, here};
    uint64_t random;
    const unsigned children = children_of(call->state, call->depth, &random);
    const bool leaves_out = call->state % 100 < call->job->habits.leave_out;

    call->times++;
    for (unsigned i = 0; i < children; i++) {
        below[i] =
            (struct call){call->job, random_next(&random), call->depth + 1, call->nested, 0, 0};
        if (i > 0) {
            at[i + 1] = stook_fork(at[i], count_tree, &below[i]);
        }
    }
    follow_habits(call);
    call->nodes = 1;
    if (children > 0) {
        count_tree(at[children], &below[0]);
        call->nodes += below[0].nodes;
    }
    for (unsigned i = children; i-- > 1;) {
        if (!stook_join(at[i])) {
            MUST(below[i].times == 1);
        } else if (leaves_out) {
            MUST(below[i].times == 0);
            below[i].nodes = plain_count(below[i].state, below[i].depth);
        } else {
            count_tree(at[i], &below[i]);
            MUST(below[i].times == 1);
        }
        call->nodes += below[i].nodes;
    }
}

enum { OPEN = 6000 };

/* Opens thousands before it joins the first. */
static void open_many(stook_here *here, struct call *calls, unsigned i)
{
    if (i == OPEN) {
        thrd_yield();
        return;
    }
    open_many(stook_fork(here, count_tree, &calls[i]), calls, i + 1);
    if (stook_join(here)) {
        count_tree(here, &calls[i]);
    }
}

static void region_of_many(stook_here *here, void *arg)
{
    struct call *whole = arg;
    struct call *calls = calloc(OPEN, sizeof *calls);

    MUST(calls != NULL);
    for (unsigned i = 0; i < OPEN; i++) {
        calls[i] =
            (struct call){.job = whole->job, .state = whole->state + i, .depth = MOST_DEPTH - 1};
    }
    open_many(here, calls, 0);
    for (unsigned i = 0; i < OPEN; i++) {
        MUST(calls[i].times == 1);
        MUST(calls[i].nodes == plain_count(calls[i].state, calls[i].depth));
    }
    free(calls);
    count_tree(here, whole);
}

static int region_task(void *arg, void **ret_value)
{
    struct call *whole = arg;

    (void)ret_value;
    MUST(stook_executor_run(whole->job->executor, count_tree, whole) == STOOK_OK);
    return 0;
}

/* From outside: false when the executor is closed. */
static bool run_region(struct job *job, uint64_t *random)
{
    struct call whole = {.job = job, .state = random_next(random)};
    enum stook_status status;

    if (random_below(random, 3) == 0) {
        stook_future *future = NULL;

        status = stook_executor_submit(job->executor, region_task, &whole, &future);
        if (status == STOOK_OK) {
            status = stook_future_result(future, NULL);
            stook_future_release(future);
        }
    } else {
        status = stook_executor_run(job->executor,
                                    random_below(random, 8) ? count_tree : region_of_many, &whole);
    }
    MUST(whole.times == (status == STOOK_OK));
    MUST(status != STOOK_OK || whole.nodes == plain_count(whole.state, 0));
    MUST(status == STOOK_OK || (status == STOOK_SHUTDOWN && atomic_load(&job->is_closing)) ||
         (status == STOOK_CANCELLED && atomic_load(&job->is_cancelling)));
    atomic_fetch_add(status == STOOK_OK ? &job->regions : &job->refused, 1);
    return status == STOOK_OK;
}

/* --- rounds ----------------------------------------------------------------------------------- */

struct actor {
    struct job *job;
    uint64_t random;
    thrd_t thread;
};

static int actor_thread(void *arg)
{
    struct actor *actor = arg;

    for (int i = 0; i < REGIONS_EACH && run_region(actor->job, &actor->random); i++) {
    }
    atomic_fetch_sub(&actor->job->actors, 1);
    return 0;
}

static void choose_habits(struct habits *habits, uint64_t *random)
{
    habits->submit = random_below(random, 2) ? 0 : random_below(random, 8);
    habits->block = random_below(random, 2) ? 0 : random_below(random, 2);
    habits->nest = random_below(random, 2) ? 0 : random_below(random, 2);
    habits->leave_out = random_below(random, 2) ? 0 : random_below(random, 100);
    habits->yield = random_below(random, 2) ? 0 : random_below(random, 10);
}

/* Until the actors have ended or it is time to shut down. */
static void resize_meanwhile(struct job *job, unsigned most, unsigned long end_at, uint64_t *random)
{
    unsigned rounds = 0;

    while (atomic_load(&job->actors) > 0 && atomic_load(&job->regions) < end_at) {
        if (random_below(random, 4) == 0) {
            MUST(stook_executor_resize(job->executor, 1 + random_below(random, most)) == STOOK_OK);
        }
        spin_pause(&rounds);
    }
}

static void shut_down(struct job *job, uint64_t *random)
{
    const bool cancels = random_below(random, 2);

    atomic_store(&job->is_cancelling, cancels);
    atomic_store(&job->is_closing, true);
    MUST(stook_executor_shutdown(job->executor, cancels ? STOOK_CANCEL_PENDING : STOOK_DRAIN,
                                 STOOK_FOREVER) == STOOK_OK);
}

static void check_counters(stook_executor *executor)
{
    struct stook_stats stats = STOOK_STATS_INIT;

    MUST(stook_executor_stats(executor, &stats, NULL, 0) == STOOK_OK);
    MUST(stats.pending == 0 && stats.running == 0 && stats.threads == 0);
    MUST(stats.submitted == stats.begun + stats.cancelled);
    MUST(stats.begun == stats.ended);
}

static void run_round(uint64_t *random, unsigned long *ret_regions, unsigned long *ret_refused)
{
    const unsigned workers = 1 + random_below(random, 16);
    const unsigned most = workers + random_below(random, 4);
    const bool ends_early = random_below(random, 3) == 0;
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    struct job job = {.regions = 0};
    struct actor actors[ACTORS];

    options.workers = workers;
    options.max_workers = most;
    options.keep_alive_ns = random_below(random, 2) ? 0 : MILLISECOND;
    MUST(stook_executor_create(&options, &job.executor) == STOOK_OK);
    choose_habits(&job.habits, random);
    atomic_store(&job.actors, ACTORS);
    for (int i = 0; i < ACTORS; i++) {
        actors[i] = (struct actor){.job = &job, .random = random_next(random)};
        must_start(&actors[i].thread, actor_thread, &actors[i]);
    }
    resize_meanwhile(&job, most,
                     ends_early ? random_below(random, ACTORS * REGIONS_EACH) : (unsigned long)-1,
                     random);
    shut_down(&job, random);
    for (int i = 0; i < ACTORS; i++) {
        thrd_join(actors[i].thread, NULL);
    }
    check_counters(job.executor);
    stook_executor_destroy(job.executor);
    *ret_regions += atomic_load(&job.regions);
    *ret_refused += atomic_load(&job.refused);
}

int main(int argc, char **argv)
{
    uint64_t random = stress_seed(argc, argv);
    const unsigned rounds = stress_scaled(200);
    unsigned long regions = 0;
    unsigned long refused = 0;

    for (unsigned round = 0; round < rounds; round++) {
        run_round(&random, &regions, &refused);
    }
    printf("%lu regions ended, %lu were refused\n", regions, refused);
    return 0;
}
