/* SPDX-License-Identifier: MIT
 *
 * The end of an executor: what becomes of its tasks in both modes, deadlines, repeated and racing
 * calls, calls from tasks, and that neither a thread nor a future without an end is left.
 */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "support.h"

static int count_states(stook_future *const futures[], int count, enum stook_state state)
{
    int matching = 0;

    for (int i = 0; i < count; i++) {
        matching += stook_future_state(futures[i]) == state;
    }
    return matching;
}

Test(shutdown, B35_drain_runs_all_that_was_accepted, .timeout = 60)
{
    enum { QUEUED = 100 };
    for (unsigned workers = 1; workers <= 4; workers += 3) {
        stook_executor *executor = must_create(workers);
        struct gate gate = {0};
        atomic_int runs = 0;
        stook_future *futures[QUEUED];

        for (unsigned i = 0; i < workers; i++) {
            cr_assert_eq(stook_executor_submit(executor, gate_task, &gate, NULL), STOOK_OK);
        }
        gate_await(&gate, (int)workers);
        cr_assert_eq(
            stook_executor_submit_many(executor, NULL, count_task, &runs, QUEUED, 0, futures),
            STOOK_OK);
        cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, 0), STOOK_TIMEOUT);
        cr_assert_eq(count_states(futures, QUEUED, STOOK_STATE_PENDING), QUEUED);
        gate_open(&gate);
        cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
        cr_assert_eq(count_states(futures, QUEUED, STOOK_STATE_DONE), QUEUED);
        cr_assert_eq(atomic_load(&runs), QUEUED);
        release_all(futures, QUEUED);
        stook_executor_destroy(executor);
    }
}

Test(shutdown, B36_cancel_pending_cancels_what_has_not_begun_and_lets_the_rest_end, .timeout = 60)
{
    enum { TASKS = 50, WORKERS = 5 };
    stook_executor *executor = must_create(WORKERS);
    struct gate gate = {0};
    stook_future *futures[TASKS];

    cr_assert_eq(stook_executor_submit_many(executor, NULL, gate_task, &gate, TASKS, 0, futures),
                 STOOK_OK);
    gate_await(&gate, WORKERS);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_CANCEL_PENDING, 0), STOOK_TIMEOUT);
    cr_assert_eq(count_states(futures, TASKS, STOOK_STATE_RUNNING), WORKERS);
    cr_assert_eq(count_states(futures, TASKS, STOOK_STATE_CANCELLED), TASKS - WORKERS);
    gate_open(&gate);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_CANCEL_PENDING, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(count_states(futures, TASKS, STOOK_STATE_DONE), WORKERS);
    cr_assert_eq(count_states(futures, TASKS, STOOK_STATE_CANCELLED), TASKS - WORKERS);
    cr_assert_eq(atomic_load(&gate.arrived), WORKERS);
    release_all(futures, TASKS);
    stook_executor_destroy(executor);
}

static int wait_thread(void *arg)
{
    MUST(stook_future_result(arg, NULL) == STOOK_CANCELLED);
    return 0;
}

Test(shutdown, B36_cancel_pending_wakes_who_waits_while_the_workers_are_busy, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *pending;
    thrd_t thread;

    cr_assert_eq(stook_executor_submit(executor, gate_task, &gate, NULL), STOOK_OK);
    gate_await(&gate, 1);
    pending = must_submit(executor, count_task, &runs);
    must_start(&thread, wait_thread, pending);
    give_a_chance();
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_CANCEL_PENDING, 0), STOOK_TIMEOUT);
    thrd_join(thread, NULL);
    gate_open(&gate);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
    stook_future_release(pending);
}

/* A task whose children are in the queue when the executor is closed. */
struct parent {
    stook_executor *executor;
    struct gate gate;
    atomic_int runs;
    int done, cancelled;
};

static int parent_task(void *arg, void **ret_value)
{
    struct parent *parent = arg;
    stook_future *children[10];

    (void)ret_value;
    MUST(stook_executor_submit_many(parent->executor, NULL, count_task, &parent->runs, 10, 0,
                                    children) == STOOK_OK);
    gate_pass(&parent->gate);
    for (int i = 0; i < 10; i++) {
        MUST(stook_future_wait_until(children[i], STOOK_FOREVER) == STOOK_OK);
    }
    parent->done = count_states(children, 10, STOOK_STATE_DONE);
    parent->cancelled = count_states(children, 10, STOOK_STATE_CANCELLED);
    release_all(children, 10);
    return 0;
}

static void close_under_a_parent(struct parent *parent, enum stook_shutdown_mode mode)
{
    parent->executor = must_create(1);
    cr_assert_eq(stook_executor_submit(parent->executor, parent_task, parent, NULL), STOOK_OK);
    gate_await(&parent->gate, 1);
    cr_assert_eq(stook_executor_shutdown(parent->executor, mode, 0), STOOK_TIMEOUT);
    gate_open(&parent->gate);
    cr_assert_eq(stook_executor_shutdown(parent->executor, mode, STOOK_FOREVER), STOOK_OK);
    stook_executor_destroy(parent->executor);
}

Test(shutdown, B36_cancel_pending_reaches_the_tasks_of_tasks, .timeout = 60)
{
    struct parent parent = {0};

    close_under_a_parent(&parent, STOOK_CANCEL_PENDING);
    cr_assert_eq(parent.cancelled, 10);
    cr_assert_eq(atomic_load(&parent.runs), 0);
}

Test(shutdown, B35_drain_runs_the_tasks_of_tasks, .timeout = 60)
{
    struct parent parent = {0};

    close_under_a_parent(&parent, STOOK_DRAIN);
    cr_assert_eq(parent.done, 10);
    cr_assert_eq(atomic_load(&parent.runs), 10);
}

Test(shutdown, B37_a_passed_or_short_deadline_closes_and_a_later_call_waits, .timeout = 60)
{
    const int64_t passed[] = {INT64_MIN, -1, 0, stook_now_ns()};
    stook_executor *executor = must_create(2);
    struct gate gate = {0};
    stook_future *future = must_submit(executor, gate_task, &gate);
    int64_t deadline;

    gate_await(&gate, 1);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, passed[i]), STOOK_TIMEOUT);
    }
    cr_assert_eq(stook_executor_submit(executor, gate_task, &gate, NULL), STOOK_SHUTDOWN);
    deadline = stook_deadline_after_ns(3 * MILLISECOND);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, deadline), STOOK_TIMEOUT);
    cr_assert_geq(stook_now_ns(), deadline);
    cr_assert_eq(stook_future_state(future), STOOK_STATE_RUNNING);
    gate_open(&gate);
    deadline = stook_deadline_after_ns(1000 * SECOND);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, deadline), STOOK_OK);
    cr_assert_eq(stook_future_state(future), STOOK_STATE_DONE);
    stook_future_release(future);
    stook_executor_destroy(executor);
}

Test(shutdown, B37_destroy_waits_for_what_a_passed_deadline_left, .timeout = 60)
{
    for (int i = 0; i < 200; i++) {
        stook_executor *executor = must_create(2);
        atomic_int runs = 0;
        enum stook_status status;

        cr_assert_eq(stook_executor_submit_many(executor, NULL, count_task, &runs, 20, 0, NULL),
                     STOOK_OK);
        status = stook_executor_shutdown(executor, STOOK_DRAIN, 0);
        cr_assert(status == STOOK_TIMEOUT || status == STOOK_OK);
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&runs), 20);
    }
}

Test(shutdown, B38_again_in_any_mode_is_ok, .timeout = 60)
{
    static const enum stook_shutdown_mode modes[] = {STOOK_DRAIN, STOOK_CANCEL_PENDING,
                                                     STOOK_DRAIN};
    stook_executor *executor = must_create(2);
    atomic_int runs = 0;
    stook_future *future = must_submit(executor, count_task, &runs);

    for (int i = 0; i < 3; i++) {
        cr_assert_eq(stook_executor_shutdown(executor, modes[i], STOOK_FOREVER), STOOK_OK);
        cr_assert_eq(stook_executor_shutdown(executor, modes[i], 0), STOOK_OK);
        cr_assert_eq(stook_future_state(future), STOOK_STATE_DONE);
    }
    stook_future_release(future);
    stook_executor_destroy(executor);
}

Test(shutdown, B38_a_later_cancel_pending_cancels_what_drain_would_still_run, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    stook_future *futures[10];

    cr_assert_eq(stook_executor_submit_many(executor, NULL, gate_task, &gate, 10, 0, futures),
                 STOOK_OK);
    gate_await(&gate, 1);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, 0), STOOK_TIMEOUT);
    cr_assert_eq(count_states(futures, 10, STOOK_STATE_PENDING), 9);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_CANCEL_PENDING, 0), STOOK_TIMEOUT);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, 0), STOOK_TIMEOUT);
    gate_open(&gate);
    stook_executor_destroy(executor);
    cr_assert_eq(count_states(futures, 10, STOOK_STATE_CANCELLED), 9);
    cr_assert_eq(count_states(futures, 10, STOOK_STATE_DONE), 1);
    release_all(futures, 10);
}

static int shutdown_thread(void *arg)
{
    MUST(stook_executor_shutdown(arg, STOOK_DRAIN, STOOK_FOREVER) == STOOK_OK);
    return 0;
}

Test(shutdown, B38_several_threads_may_shut_down_and_all_wait_for_the_end, .timeout = 60)
{
    for (int round = 0; round < 50; round++) {
        stook_executor *executor = must_create(2);
        atomic_int runs = 0;
        thrd_t threads[4];

        cr_assert_eq(stook_executor_submit_many(executor, NULL, count_task, &runs, 200, 0, NULL),
                     STOOK_OK);
        for (int i = 0; i < 4; i++) {
            must_start(&threads[i], shutdown_thread, executor);
        }
        cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
        cr_assert_eq(atomic_load(&runs), 200);
        for (int i = 0; i < 4; i++) {
            thrd_join(threads[i], NULL);
        }
        stook_executor_destroy(executor);
    }
}

Test(shutdown, B38_bad_arguments_change_nothing, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    atomic_int runs = 0;
    stook_future *future;

    cr_assert_eq(stook_executor_shutdown(NULL, STOOK_DRAIN, STOOK_FOREVER), STOOK_INVALID);
    cr_assert_eq(stook_executor_shutdown(executor, (enum stook_shutdown_mode)2, STOOK_FOREVER),
                 STOOK_INVALID);
    future = must_submit(executor, count_task, &runs);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(executor);
}

struct closer {
    stook_executor *own, *other;
    atomic_int runs;
    enum stook_status forever, polled, cancelling, of_other, after;
};

static int close_task(void *arg, void **ret_value)
{
    struct closer *closer = arg;

    (void)ret_value;
    closer->forever = stook_executor_shutdown(closer->own, STOOK_DRAIN, STOOK_FOREVER);
    closer->polled = stook_executor_shutdown(closer->own, STOOK_DRAIN, 0);
    closer->cancelling = stook_executor_shutdown(closer->own, STOOK_CANCEL_PENDING, 0);
    closer->after = stook_executor_submit(closer->own, count_task, &closer->runs, NULL);
    closer->of_other = stook_executor_shutdown(closer->other, STOOK_DRAIN, STOOK_FOREVER);
    stook_executor_destroy(closer->other);
    return 0;
}

Test(shutdown, B39_in_an_own_task_it_is_refused_and_changes_nothing, .timeout = 60)
{
    struct closer closer = {.own = must_create(1), .other = must_create(1)};
    stook_future *future;
    stook_future *later;

    cr_assert_eq(stook_executor_submit(closer.other, count_task, &closer.runs, NULL), STOOK_OK);
    future = must_submit(closer.own, close_task, &closer);
    later = must_submit(closer.own, count_task, &closer.runs);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    cr_assert_eq(closer.forever, STOOK_DEADLOCK);
    cr_assert_eq(closer.polled, STOOK_DEADLOCK);
    cr_assert_eq(closer.cancelling, STOOK_DEADLOCK);
    cr_assert_eq(closer.after, STOOK_OK);
    cr_assert_eq(closer.of_other, STOOK_OK, "another executor may be shut down in a task");
    cr_assert_eq(stook_future_result(later, NULL), STOOK_OK);
    stook_executor_destroy(closer.own);
    cr_assert_eq(atomic_load(&closer.runs), 3);
    stook_future_release(future);
    stook_future_release(later);
}

struct elder {
    stook_executor *executor;
    struct gate gate;
    atomic_bool was_asked;
};

static int unasked_task(void *arg, void **ret_value)
{
    struct elder *elder = arg;

    (void)ret_value;
    gate_pass(&elder->gate);
    atomic_store(&elder->was_asked, stook_task_cancel_requested());
    return 0;
}

/* Runs its older child in place, so that a record of it stays in the queue. */
static int elder_task(void *arg, void **ret_value)
{
    struct elder *elder = arg;
    atomic_int runs = 0;
    stook_future *child = must_submit(elder->executor, unasked_task, elder);
    stook_future *younger = must_submit(elder->executor, count_task, &runs);

    (void)ret_value;
    MUST(stook_future_result(child, NULL) == STOOK_OK);
    SPIN_UNTIL(stook_future_done(younger));
    stook_future_release(child);
    stook_future_release(younger);
    return 0;
}

Test(shutdown, B36_cancel_pending_asks_no_running_task_to_stop, .timeout = 60)
{
    struct elder elder = {.executor = must_create(1)};
    stook_future *future = must_submit(elder.executor, elder_task, &elder);

    gate_await(&elder.gate, 1);
    cr_assert_eq(stook_executor_shutdown(elder.executor, STOOK_CANCEL_PENDING, 0), STOOK_TIMEOUT);
    gate_open(&elder.gate);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    cr_assert_not(atomic_load(&elder.was_asked));
    stook_future_release(future);
    stook_executor_destroy(elder.executor);
}

static int gate_fail_task(void *arg, void **ret_value)
{
    (void)ret_value;
    gate_pass(arg);
    return 3;
}

/* CPython's test_shutdown_gh_132969_... and test_shutdown_deadlock_pickle: nobody waits, and what
 * is left fails. */
Test(shutdown, B37_tasks_that_fail_after_a_shutdown_without_a_wait, .timeout = 60)
{
    enum { TASKS = 10, WORKERS = 2 };
    static const enum stook_shutdown_mode modes[] = {STOOK_DRAIN, STOOK_CANCEL_PENDING};

    for (int i = 0; i < 2; i++) {
        const int failing = modes[i] == STOOK_DRAIN ? TASKS : WORKERS;
        stook_executor *executor = must_create(WORKERS);
        struct gate gate = {0};
        stook_future *futures[TASKS];

        cr_assert_eq(
            stook_executor_submit_many(executor, NULL, gate_fail_task, &gate, TASKS, 0, futures),
            STOOK_OK);
        gate_await(&gate, WORKERS);
        cr_assert_eq(stook_executor_shutdown(executor, modes[i], 0), STOOK_TIMEOUT);
        gate_open(&gate);
        stook_executor_destroy(executor);
        cr_assert_eq(count_states(futures, TASKS, STOOK_STATE_FAILED), failing);
        cr_assert_eq(count_states(futures, TASKS, STOOK_STATE_CANCELLED), TASKS - failing);
        cr_assert_eq(atomic_load(&gate.arrived), failing);
        release_all(futures, TASKS);
    }
}

/* --- the end of the process ------------------------------------------------------------------- */

/* What a child that calls `fn` exits with. */
static int exit_code_of(void (*fn)(enum stook_shutdown_mode mode), enum stook_shutdown_mode mode)
{
    int status = 0;

    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        fn(mode);
        _exit(EXIT_FAILURE);
    }
    cr_assert_gt(child, 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* With a task in its gate and others in the queue, as a program that returns from main() early
 * does. Nothing may wait for them. */
static void exit_while_tasks_run(enum stook_shutdown_mode mode)
{
    static struct gate gate;
    static stook_executor *executor; /* to be found by a search for leaks */
    static stook_future *futures[8];

    executor = must_create(2);
    MUST(stook_executor_submit_many(executor, NULL, gate_task, &gate, 8, 0, futures) == STOOK_OK);
    gate_await(&gate, 2);
    MUST(stook_executor_shutdown(executor, mode, 0) == STOOK_TIMEOUT);
    exit(7);
}

/* CPython's test_hang_gh83386 and test_cancel_futures_wait_false */
Test(shutdown, a_process_may_exit_while_tasks_run, .timeout = 60)
{
    cr_assert_eq(exit_code_of(exit_while_tasks_run, STOOK_DRAIN), 7);
    cr_assert_eq(exit_code_of(exit_while_tasks_run, STOOK_CANCEL_PENDING), 7);
}

static stook_executor *late_executor;
static bool late_is_closed;

static void submit_late(void)
{
    atomic_int runs = 0;

    if (late_is_closed) {
        MUST(stook_executor_submit(late_executor, count_task, &runs, NULL) == STOOK_SHUTDOWN);
    } else {
        stook_future *future = must_submit(late_executor, count_task, &runs);

        MUST(stook_future_result(future, NULL) == STOOK_OK);
        stook_future_release(future);
    }
    stook_executor_destroy(late_executor);
    late_executor = NULL;
    MUST(atomic_load(&runs) == !late_is_closed);
    _exit(late_is_closed ? 8 : 9);
}

static void exit_with_a_late_submit(enum stook_shutdown_mode mode)
{
    late_executor = must_create(2);
    late_is_closed = mode == STOOK_CANCEL_PENDING;
    if (late_is_closed) {
        MUST(stook_executor_shutdown(late_executor, mode, STOOK_FOREVER) == STOOK_OK);
    }
    MUST(atexit(submit_late) == 0);
    exit(EXIT_FAILURE);
}

/* CPython's test_submit_after_interpreter_shutdown; here an executor ends when its owner says so.
 */
Test(shutdown, what_runs_at_exit_may_use_an_executor_that_is_open, .timeout = 60)
{
    cr_assert_eq(exit_code_of(exit_with_a_late_submit, STOOK_DRAIN), 9);
    cr_assert_eq(exit_code_of(exit_with_a_late_submit, STOOK_CANCEL_PENDING), 8);
}
