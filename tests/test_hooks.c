/* SPDX-License-Identifier: MIT
 *
 * What threads call at their beginning and end: that thread_init comes before every task, that
 * thread_exit is called as often as it succeeded, and what becomes of an executor when it fails.
 * The report that tells of it as well.
 */
#define _POSIX_C_SOURCE 200809L /* for dup() and its like */
#include <string.h>
#include <unistd.h>
#include "check.h"
#include "support.h"

/* What the hooks of one executor have seen; they may fail from a number on. */
struct hooks {
    atomic_int inits;     /* calls of thread_init */
    atomic_int succeeded; /* those that returned 0 */
    atomic_int exits;
    atomic_uint failing_from; /* thread numbers from here on fail */
    atomic_uint seen;         /* a bit for each number below 32 */
    struct gate *gate;        /* passed by threads that fail; may be NULL */
    atomic_int reports;
    char text[200]; /* of the last report */
};

static _Thread_local bool is_initialised;

static int init_hook(void *user_data, unsigned number)
{
    struct hooks *hooks = user_data;

    MUST(!is_initialised);
    atomic_fetch_add(&hooks->inits, 1);
    MUST(number >= 32 || !(atomic_fetch_or(&hooks->seen, 1u << number) & 1u << number));
    if (number >= atomic_load(&hooks->failing_from)) {
        if (hooks->gate) {
            gate_pass(hooks->gate);
        }
        return 7;
    }
    is_initialised = true;
    atomic_fetch_add(&hooks->succeeded, 1);
    return 0;
}

static void exit_hook(void *user_data, unsigned number)
{
    struct hooks *hooks = user_data;

    (void)number;
    MUST(is_initialised);
    is_initialised = false;
    atomic_fetch_add(&hooks->exits, 1);
}

static void note_report(void *user_data, const char *text)
{
    struct hooks *hooks = user_data;

    snprintf(hooks->text, sizeof hooks->text, "%s", text);
    atomic_fetch_add(&hooks->reports, 1);
}

static struct stook_executor_options options_of(struct hooks *hooks, unsigned workers)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;

    options.workers = workers;
    options.thread_init = init_hook;
    options.thread_exit = exit_hook;
    options.thread_data = hooks;
    options.report = note_report;
    options.report_data = hooks;
    return options;
}

static stook_executor *create_with(struct hooks *hooks, unsigned workers)
{
    const struct stook_executor_options options = options_of(hooks, workers);
    stook_executor *executor = NULL;

    MUST(stook_executor_create(&options, &executor) == STOOK_OK);
    return executor;
}

static int initialised_task(void *arg, void **ret_value)
{
    MUST(is_initialised);
    return count_task(arg, ret_value);
}

Test(hooks, B28_thread_init_runs_in_every_thread_before_create_returns)
{
    struct hooks hooks = {.failing_from = 100};
    atomic_int runs = 0;
    stook_executor *executor = create_with(&hooks, 4);

    cr_assert_eq(atomic_load(&hooks.succeeded), 4);
    cr_assert_eq(atomic_load(&hooks.seen), 0xfu);
    cr_assert_eq(stook_executor_submit_many(executor, NULL, initialised_task, &runs, 1000, 0, NULL),
                 STOOK_OK);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 1000);
    cr_assert_eq(atomic_load(&hooks.exits), 4);
    cr_assert_eq(atomic_load(&hooks.reports), 0);
}

struct nest {
    stook_executor *executor;
    unsigned depth;
    atomic_int *runs;
};

/* Waits, with a deadline, for a task that does the same: each needs a thread of its own. */
static int nest_task(void *arg, void **ret_value)
{
    const struct nest *nest = arg;
    struct nest inner = {nest->executor, nest->depth - 1, nest->runs};

    (void)ret_value;
    MUST(is_initialised);
    atomic_fetch_add(nest->runs, 1);
    if (nest->depth > 0) {
        stook_future *future = must_submit(nest->executor, nest_task, &inner);

        MUST(stook_future_wait_until(future, stook_now_ns() + 60 * SECOND) == STOOK_OK);
        stook_future_release(future);
    }
    return 0;
}

Test(hooks, B29_thread_exit_runs_once_for_each_thread_extra_ones_too)
{
    struct hooks hooks = {.failing_from = 100};
    atomic_int runs = 0;
    stook_executor *executor = create_with(&hooks, 2);
    struct nest nest = {executor, 10, &runs};
    stook_future *future = must_submit(executor, nest_task, &nest);

    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 11);
    cr_assert_geq(atomic_load(&hooks.inits), 10);
    cr_assert_eq(atomic_load(&hooks.succeeded), atomic_load(&hooks.inits));
    cr_assert_eq(atomic_load(&hooks.exits), atomic_load(&hooks.inits));
}

static void count_exit(void *user_data, unsigned number)
{
    (void)number;
    atomic_fetch_add((atomic_int *)user_data, 1);
}

/* No task runs in this thread yet, and none any more: there is nothing to lend. */
static int lending_init(void *user_data, unsigned number)
{
    (void)user_data;
    (void)number;
    stook_task_begin_blocking();
    stook_task_end_blocking();
    stook_task_end_blocking();
    return 0;
}

static void lending_exit(void *user_data, unsigned number)
{
    count_exit(user_data, number);
    stook_task_begin_blocking();
}

Test(hooks, blocking_in_a_hook_lends_nothing)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = NULL;
    atomic_int exits = 0;
    atomic_int runs = 0;

    options.workers = 2;
    options.thread_init = lending_init;
    options.thread_exit = lending_exit;
    options.thread_data = &exits;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_OK);
    cr_assert_eq(stook_executor_submit_many(executor, NULL, count_task, &runs, 100, 0, NULL),
                 STOOK_OK);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 100);
    cr_assert_eq(atomic_load(&exits), 2, "no thread more than the workers");
}

Test(hooks, thread_exit_runs_without_a_thread_init)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = NULL;
    atomic_int exits = 0;

    options.workers = 3;
    options.thread_exit = count_exit;
    options.thread_data = &exits;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_OK);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&exits), 3);
}

Test(hooks, B28_B29_create_fails_and_unwinds_if_a_thread_init_fails)
{
    const int before = thread_count_at_first();

    for (unsigned failing = 0; failing < 5; failing++) {
        struct hooks hooks = {.failing_from = failing};
        const struct stook_executor_options options = options_of(&hooks, 5);
        stook_executor *executor = NULL;

        cr_assert_eq(stook_executor_create(&options, &executor), STOOK_BROKEN);
        cr_assert_null(executor);
        cr_assert_leq(atomic_load(&hooks.succeeded), (int)failing);
        cr_assert_eq(atomic_load(&hooks.exits), atomic_load(&hooks.succeeded));
        cr_assert_geq(atomic_load(&hooks.reports), 1);
        cr_assert_not_null(strstr(hooks.text, "thread_init"));
        cr_assert_not_null(strstr(hooks.text, "7"));
    }
    cr_assert(before < 0 || thread_count_becomes(before));
}

/* An executor with one worker that breaks: its task waits, and the extra thread's hook fails. */
struct broken {
    struct hooks hooks;
    struct gate hook;
    struct gate task;
    stook_executor *executor;
    stook_future *running;
    atomic_int runs;
    enum stook_status late_status; /* of a submit in the running task, at its end */
};

static int lend_task(void *arg, void **ret_value)
{
    struct broken *broken = arg;

    (void)ret_value;
    stook_task_begin_blocking();
    gate_pass(&broken->task);
    stook_task_end_blocking();
    broken->late_status = stook_executor_submit(broken->executor, count_task, &broken->runs, NULL);
    return 3;
}

/* With `count` tasks in the queue; on return the hook of the extra thread is about to fail. */
static void begin_breaking(struct broken *broken, stook_future *pending[], size_t count)
{
    atomic_store(&broken->hooks.failing_from, 1);
    broken->hooks.gate = &broken->hook;
    broken->executor = create_with(&broken->hooks, 1);
    broken->running = must_submit(broken->executor, lend_task, broken);
    gate_await(&broken->task, 1);
    for (size_t i = 0; i < count; i++) {
        pending[i] = must_submit(broken->executor, count_task, &broken->runs);
    }
    gate_await(&broken->hook, 1);
}

Test(hooks, B28_a_failure_later_cancels_what_is_pending_and_refuses_what_comes)
{
    enum { PENDING = 20 };
    static struct broken broken;
    stook_future *pending[PENDING];
    stook_future *future = NULL;

    begin_breaking(&broken, pending, PENDING);
    for (int i = 0; i < PENDING; i++) {
        cr_assert_eq(stook_future_state(pending[i]), STOOK_STATE_PENDING);
    }
    cr_assert_eq(stook_future_cancel(pending[0]), STOOK_CANCEL_DONE);
    gate_open(&broken.hook);
    cr_assert_eq(stook_future_result(pending[0], NULL), STOOK_CANCELLED);
    for (int i = 1; i < PENDING; i++) {
        cr_assert_eq(stook_future_result(pending[i], NULL), STOOK_BROKEN);
        cr_assert_eq(stook_future_state(pending[i]), STOOK_STATE_CANCELLED);
        cr_assert_eq(stook_future_code(pending[i]), 0);
        cr_assert_eq(stook_future_cancel(pending[i]), STOOK_CANCEL_DONE);
    }
    release_all(pending, PENDING);
    cr_assert_eq(stook_executor_submit(broken.executor, count_task, &broken.runs, &future),
                 STOOK_BROKEN);
    cr_assert_null(future);
    cr_assert_eq(stook_executor_map(broken.executor, count_task, &broken.runs, 3, 0, NULL, NULL),
                 STOOK_BROKEN);
    cr_assert_eq(stook_future_state(broken.running), STOOK_STATE_RUNNING);
    cr_assert_eq(stook_executor_shutdown(broken.executor, STOOK_DRAIN, 0), STOOK_TIMEOUT);
    gate_open(&broken.task);
    cr_assert_eq(stook_future_result(broken.running, NULL), STOOK_TASK_FAILED);
    cr_assert_eq(stook_future_code(broken.running), 3);
    cr_assert_eq(broken.late_status, STOOK_BROKEN);
    stook_future_release(broken.running);
    cr_assert_eq(stook_executor_shutdown(broken.executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    stook_executor_destroy(broken.executor);
    cr_assert_eq(atomic_load(&broken.runs), 0);
    cr_assert_eq(atomic_load(&broken.hooks.inits), 2);
    cr_assert_eq(atomic_load(&broken.hooks.exits), 1);
    cr_assert_eq(atomic_load(&broken.hooks.reports), 1);
    cr_assert_not_null(strstr(broken.hooks.text, "thread_init returned 7 in thread stook-1"));
}

static int then_task(stook_future *before, void *arg, void **ret_value)
{
    (void)before;
    return count_task(arg, ret_value);
}

Test(hooks, B28_a_failure_later_breaks_what_waits_outside_the_queues)
{
    static struct broken broken;
    struct stook_submit_options later = STOOK_SUBMIT_OPTIONS_INIT;
    struct stook_submit_options repeated = STOOK_SUBMIT_OPTIONS_INIT;
    struct stook_submit_options held = STOOK_SUBMIT_OPTIONS_INIT;
    struct stook_scope_options limited = STOOK_SCOPE_OPTIONS_INIT;
    stook_future *futures[5];

    limited.limit = 1;
    later.start_ns = repeated.start_ns = stook_deadline_after_ns(1000 * SECOND);
    repeated.period_ns = SECOND;
    begin_breaking(&broken, futures, 1);
    MUST(stook_scope_create(broken.executor, &limited, &held.scope) == STOOK_OK);
    MUST(stook_future_then(broken.running, STOOK_THEN_ALWAYS, broken.executor, then_task,
                           &broken.runs, &futures[1]) == STOOK_OK);
    MUST(stook_executor_submit_with(broken.executor, &later, count_task, &broken.runs,
                                    &futures[2]) == STOOK_OK);
    MUST(stook_executor_submit_with(broken.executor, &repeated, count_task, &broken.runs,
                                    &futures[3]) == STOOK_OK);
    MUST(stook_executor_submit_with(broken.executor, &held, count_task, &broken.runs, NULL) ==
         STOOK_OK);
    MUST(stook_executor_submit_with(broken.executor, &held, count_task, &broken.runs,
                                    &futures[4]) == STOOK_OK);
    gate_open(&broken.hook);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_BROKEN, "%d", i);
    }
    gate_open(&broken.task);
    release_all(futures, 5);
    stook_future_release(broken.running);
    stook_scope_destroy(held.scope);
    stook_executor_destroy(broken.executor);
    cr_assert_eq(atomic_load(&broken.runs), 0);
}

/* B28 */
Test(hooks, a_broken_executor_is_destroyed_like_any_other)
{
    static struct broken broken;
    stook_future *pending[1];

    begin_breaking(&broken, pending, 1);
    gate_open(&broken.hook);
    gate_open(&broken.task);
    stook_executor_destroy(broken.executor);
    cr_assert_eq(stook_future_result(pending[0], NULL), STOOK_BROKEN);
    cr_assert_eq(stook_future_result(broken.running, NULL), STOOK_TASK_FAILED);
    stook_future_release(pending[0]);
    stook_future_release(broken.running);
}

static int wait_task(void *arg, void **ret_value)
{
    (void)ret_value;
    return stook_future_result(arg, NULL) == STOOK_BROKEN ? 0 : 1;
}

/* B28. Tasks that wait, in an executor of their own, are woken by the break. */
Test(hooks, who_waits_for_a_pending_task_is_told_at_once)
{
    static struct broken broken;
    stook_executor *other = must_create(2);
    stook_future *pending[1];
    stook_future *waits[2];

    begin_breaking(&broken, pending, 1);
    for (int i = 0; i < 2; i++) {
        waits[i] = must_submit(other, wait_task, pending[0]);
    }
    give_a_chance();
    gate_open(&broken.hook);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(stook_future_result(waits[i], NULL), STOOK_OK);
    }
    release_all(waits, 2);
    gate_open(&broken.task);
    stook_future_release(pending[0]);
    stook_future_release(broken.running);
    stook_executor_destroy(broken.executor);
    stook_executor_destroy(other);
}

static void break_without_report(void)
{
    struct hooks hooks = {.failing_from = 0};
    struct stook_executor_options options = options_of(&hooks, 1);
    stook_executor *executor = NULL;

    options.report = NULL;
    MUST(stook_executor_create(&options, &executor) == STOOK_BROKEN);
    options.thread_init = NULL;
    options.stack_size = 1;
    MUST(stook_executor_create(&options, &executor) == STOOK_INVALID);
}

Test(hooks, reports_go_to_standard_error_unless_somebody_wants_them)
{
    char text[400] = "";
    FILE *file = tmpfile();

    cr_assert_not_null(file);
    const int saved = dup(2);
    cr_assert_geq(saved, 0);
    cr_assert_geq(dup2(fileno(file), 2), 0);
    break_without_report();
    cr_assert_geq(dup2(saved, 2), 0);
    close(saved);
    rewind(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    cr_assert_gt(length, 0);
    const char *second = strchr(text, '\n') + 1;
    cr_assert_eq(strncmp(text, "stook: ", 7), 0, "%s", text);
    cr_assert_not_null(strstr(text, "thread_init"));
    cr_assert_eq(strncmp(second, "stook: ", 7), 0, "%s", text);
    cr_assert_not_null(strstr(second, "stack_size"));
    cr_assert_eq(strchr(second, '\n') + 1, text + length);
}

static void ignore_report(void *user_data, const char *text)
{
    (void)user_data;
    (void)text;
}

static int always_fail(void *user_data, unsigned number)
{
    (void)user_data;
    (void)number;
    return 1;
}

static void create_in_callback(stook_future *future, void *ret_status)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = NULL;

    (void)future;
    options.workers = 2;
    options.thread_init = always_fail;
    options.report = ignore_report;
    *(enum stook_status *)ret_status = stook_executor_create(&options, &executor);
}

Test(hooks, a_create_that_fails_in_a_callback_unwinds_as_well)
{
    enum stook_status status = STOOK_OK;
    stook_promise *promise;
    stook_future *future;

    cr_assert_eq(stook_promise_create(NULL, &promise, &future), STOOK_OK);
    cr_assert_eq(stook_future_on_done(future, create_in_callback, &status), STOOK_OK);
    cr_assert_eq(stook_promise_complete(promise, 0, NULL), STOOK_OK);
    cr_assert_eq(status, STOOK_BROKEN);
    stook_promise_release(promise);
    stook_future_release(future);
}
