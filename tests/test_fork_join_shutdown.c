/* SPDX-License-Identifier: MIT
 *
 * Regions that outlive their executor: those that run when it is shut down, or begin in a task that
 * does; and those of a process that is forked.
 */
#include "check.h"
#include "fork_support.h"
#include "child_support.h"
#include "group_support.h"

/* --- shutdown --------------------------------------------------------------------------------- */

struct closing {
    struct seen seen;
    struct gate gate;
};

static void fork_while_closing(stook_here *here, void *arg)
{
    struct closing *closing = arg;
    struct fib right = {.n = 16};
    stook_here *above = stook_fork(here, fib_fork, &right);

    gate_pass(&closing->gate);
    closing->seen.result = fib(above, 15);
    if (stook_join(here)) {
        fib_fork(here, &right);
    }
    MUST(closing->seen.result + right.result == plain_fib(17));
    closing->seen.status = stook_executor_run(closing->seen.executor, see_region, &closing->seen);
}

static int region_then_shutdown(void *arg)
{
    struct closing *closing = arg;

    must_run(closing->seen.executor, fork_while_closing, closing);
    return 0;
}

Test(fork_join_shutdown, one_that_runs_at_shutdown_goes_on, .timeout = 60)
{
    for (int i = 0; i < 20; i++) {
        struct closing closing = {.seen = {.executor = must_create(1 + (unsigned)i % 3)}};
        thrd_t thread;

        must_start(&thread, region_then_shutdown, &closing);
        gate_await(&closing.gate, 1);
        cr_assert_eq(
            stook_executor_shutdown(closing.seen.executor, (enum stook_shutdown_mode)(i % 2), 0),
            STOOK_TIMEOUT);
        gate_open(&closing.gate);
        must_join(thread);
        cr_assert_eq(closing.seen.status, STOOK_OK, "also one that begins in it");
        cr_assert_eq(closing.seen.result, 144);
        cr_assert_eq(stook_executor_shutdown(closing.seen.executor, STOOK_DRAIN, STOOK_FOREVER),
                     STOOK_OK);
        stook_executor_destroy(closing.seen.executor);
    }
}

static int begin_late(void *arg, void **ret_value)
{
    struct closing *closing = arg;

    gate_pass(&closing->gate);
    return run_in_task(&closing->seen, ret_value);
}

Test(fork_join_shutdown, one_may_begin_in_a_task_that_outlives_shutdown, .timeout = 60)
{
    for (int mode = 0; mode < 2; mode++) {
        struct closing closing = {.seen = {.executor = must_create(2)}};
        stook_future *future = must_submit(closing.seen.executor, begin_late, &closing);

        gate_await(&closing.gate, 1);
        cr_assert_eq(
            stook_executor_shutdown(closing.seen.executor, (enum stook_shutdown_mode)mode, 0),
            STOOK_TIMEOUT);
        gate_open(&closing.gate);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        cr_assert_eq(closing.seen.status, STOOK_OK);
        cr_assert_eq(atomic_load(&closing.seen.calls), 1);
        stook_future_release(future);
        stook_executor_destroy(closing.seen.executor);
    }
}

/* --- child processes -------------------------------------------------------------------------- */

struct forking {
    stook_executor *executor;
    atomic_int begun, runs;
    int status_of_fork, status_of_caller;
};

static void check_child(struct forking *forking, stook_here *here)
{
    struct fib whole = {.n = 10};
    stook_executor *executor;
    enum stook_status status;

    begin_child();
    MUST(fib(here, 10) == 55); /* there is nobody to take a fork, and the locks may be held */
    MUST(stook_executor_submit(forking->executor, count_task, &forking->runs, NULL) ==
         STOOK_FORKED);
    status = stook_executor_run(forking->executor, fib_fork, &whole);
    MUST(status == STOOK_FORKED || (status == STOOK_OK && whole.result == 55));
    executor = must_create(2);
    MUST(run_fib(executor, 18) == plain_fib(18));
    stook_executor_destroy(executor);
    _exit(EXIT_SUCCESS);
}

static int fork_process(struct forking *forking, stook_here *here)
{
    const pid_t child = fork();

    if (child == 0) {
        check_child(forking, here);
    }
    return await_child(child);
}

static void fork_process_in_fork(stook_here *here, void *arg)
{
    struct forking *forking = arg;

    atomic_store(&forking->begun, 1);
    forking->status_of_fork = fork_process(forking, here);
}

static void fork_process_in_region(stook_here *here, void *arg)
{
    struct forking *forking = arg;
    stook_here *above = stook_fork(here, fork_process_in_fork, forking);

    FORK_UNTIL(above, atomic_load(&forking->begun));
    forking->status_of_caller = fork_process(forking, above);
    MUST(!stook_join(here));
}

/* B75 */
Test(fork_join_shutdown, a_process_forked_inside_is_told, .timeout = 120, .disabled = UNDER_TSAN)
{
    struct forking forking = {.executor = must_create(2)};

    for (int i = 0; i < 5; i++) {
        atomic_store(&forking.begun, 0);
        must_run(forking.executor, fork_process_in_region, &forking);
        cr_assert(has_exited_with_0(forking.status_of_fork));
        cr_assert(has_exited_with_0(forking.status_of_caller));
        cr_assert_eq(run_fib(forking.executor, 15), 610, "the parent goes on");
    }
    stook_executor_destroy(forking.executor);
    cr_assert_eq(atomic_load(&forking.runs), 0);
}

static void quit(void)
{
    _exit(EXIT_SUCCESS);
}

static void hold_fork(stook_here *here, void *arg)
{
    (void)here;
    gate_pass(arg);
}

/* What the child waits for is made in a thread that it has not. */
static void join_in_child(stook_here *here, void *arg)
{
    struct gate gate = {0};
    stook_here *above = stook_fork(here, hold_fork, &gate);
    pid_t child;

    FORK_UNTIL(above, atomic_load(&gate.arrived) > 0);
    child = fork();
    if (child == 0) {
        begin_child();
        atexit(quit); /* what else would run at the end is the parent's */
        (void)stook_join(here);
        abort();
    }
    *(int *)arg = await_child(child);
    gate_open(&gate);
    MUST(!stook_join(here));
}

/* As a task that returns there: with its only thread. */
Test(fork_join_shutdown, B75_a_join_that_cannot_end_ends_the_child, .timeout = 120,
     .disabled = UNDER_TSAN || UNDER_ASAN)
{
    stook_executor *executor = must_create(2);

    for (int i = 0; i < 5; i++) {
        int status = -1;

        must_run(executor, join_in_child, &status);
        cr_assert(has_exited_with_0(status));
    }
    stook_executor_destroy(executor);
}

static void run_in_child(void *arg)
{
    struct seen *seen = arg;

    MUST(stook_executor_run(seen->executor, see_region, seen) == STOOK_FORKED);
    MUST(atomic_load(&seen->calls) == 0);
}

/* B75 */
Test(fork_join_shutdown, a_child_of_a_thread_outside_is_told, .timeout = 60, .disabled = UNDER_TSAN)
{
    struct seen seen = {.executor = must_create(2)};
    struct child_end end;

    cr_assert_eq(run_fib(seen.executor, 15), 610);
    run_child(run_in_child, &seen, &end);
    cr_assert(has_exited_with_0(end.status), "%s", end.text);
    stook_executor_destroy(seen.executor);
}
