/* SPDX-License-Identifier: MIT
 *
 * Announcing that a task will block, extra threads that come and go, and their limit. Changing the
 * number of workers is in test_resize.c.
 */
#include "check.h"
#include "workers_support.h"

/* --- blocking --------------------------------------------------------------------------------- */

static int announced_task(void *arg, void **ret_value)
{
    (void)ret_value;
    stook_task_begin_blocking();
    stook_task_begin_blocking();
    gate_pass(arg);
    stook_task_end_blocking(); /* the outermost counts */
    gate_pass((struct gate *)arg + 1);
    stook_task_end_blocking();
    return 0;
}

Test(workers, announced_blocking_keeps_the_pool_parallel)
{
    enum { BLOCKED = 5 };
    stook_executor *executor = create_between(1, 1);
    struct gate gates[2] = {{0}, {0}};
    stook_future *futures[BLOCKED];
    atomic_int runs = 0;

    for (int i = 0; i < BLOCKED; i++) {
        futures[i] = must_submit(executor, announced_task, gates);
    }
    for (int stage = 0; stage < 2; stage++) {
        gate_await(&gates[stage], BLOCKED);
        stook_future *future = must_submit(executor, count_task, &runs);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        stook_future_release(future);
        gate_open(&gates[stage]);
    }
    await_all(futures, BLOCKED);
    cr_assert_eq(most_at_once(executor), 1);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 2);
}

static int unended_task(void *arg, void **ret_value)
{
    stook_task_end_blocking(); /* without a begin: nothing */
    stook_task_begin_blocking();
    stook_task_begin_blocking();
    return count_task(arg, ret_value);
}

Test(workers, a_task_that_returns_while_it_blocks_ends_it)
{
    stook_executor *executor = create_between(1, 1);
    atomic_int runs = 0;

    stook_task_begin_blocking(); /* outside of a task: nothing */
    for (int i = 0; i < 20; i++) {
        stook_future *future = must_submit(executor, unended_task, &runs);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        stook_future_release(future);
    }
    stook_task_end_blocking();
    cr_assert_eq(most_at_once(executor), 1);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 20);
}

/* Waits while it blocks: for tasks that nobody has begun, which run on top of it. */
static int wait_in_blocking_task(void *arg, void **ret_value)
{
    stook_executor *executor = arg;
    struct overlap overlap = {0};
    atomic_int runs = 0;

    (void)ret_value;
    stook_task_begin_blocking();
    for (int i = 0; i < 20; i++) {
        stook_future *a = must_submit(executor, overlap_task, &overlap);
        stook_future *b = must_submit(executor, unended_task, &runs);
        MUST(stook_future_result(b, NULL) == STOOK_OK);
        MUST(stook_future_wait_until(a, stook_now_ns() + 60 * SECOND) == STOOK_OK);
        stook_future_release(a);
        stook_future_release(b);
    }
    stook_task_end_blocking();
    MUST(atomic_load(&runs) == 20);
    return 0;
}

Test(workers, waits_and_announcements_nest)
{
    stook_executor *executor = create_between(2, 2);
    stook_future *futures[4];

    for (int i = 0; i < 4; i++) {
        futures[i] = must_submit(executor, wait_in_blocking_task, executor);
    }
    await_all(futures, 4);
    cr_assert_leq(most_at_once(executor), 2);
    stook_executor_destroy(executor);
}

/* --- threads ---------------------------------------------------------------------------------- */

static void use_extra_threads(stook_executor *executor, int count)
{
    struct gate gates[2] = {{0}, {0}};
    stook_future *futures[64];

    MUST(count <= 64);
    gate_open(&gates[1]);
    for (int i = 0; i < count; i++) {
        futures[i] = must_submit(executor, announced_task, gates);
    }
    gate_await(&gates[0], count);
    gate_open(&gates[0]);
    await_all(futures, (size_t)count);
}

Test(workers, extra_threads_leave_when_there_is_no_work)
{
    const int before = thread_count_at_first();
    stook_executor *executor = create_between(2, 2);

    for (int round = 0; round < 5; round++) {
        use_extra_threads(executor, 12);
        cr_assert(before < 0 || thread_count_becomes(before + 2));
    }
    cr_assert(runs_at_once(executor, 2));
    stook_executor_destroy(executor);
    cr_assert(before < 0 || thread_count_becomes(before));
}

/* Each spare thread is about to leave when it is given a worker. */
Test(workers, threads_that_are_about_to_leave_lose_no_work)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    const int before = thread_count_at_first();
    stook_executor *executor = NULL;
    uint64_t state = 1;

    options.workers = 1;
    for (options.keep_alive_ns = 1; options.keep_alive_ns < MILLISECOND;
         options.keep_alive_ns *= 10) {
        cr_assert_eq(stook_executor_create(&options, &executor), STOOK_OK);
        for (int round = 0; round < 300; round++) {
            use_extra_threads(executor, 1 + (int)random_below(&state, 4));
        }
        cr_assert(before < 0 || thread_count_becomes(before + 1));
        stook_executor_destroy(executor);
    }
}

Test(workers, threads_leave_with_the_workers_that_were_retired)
{
    const int before = thread_count_at_first();
    stook_executor *executor = create_between(8, 8);

    cr_assert(before < 0 || thread_count_becomes(before + 8));
    cr_assert_eq(stook_executor_resize(executor, 3), STOOK_OK);
    cr_assert(before < 0 || thread_count_becomes(before + 3));
    cr_assert_eq(stook_executor_resize(executor, 8), STOOK_OK);
    cr_assert(runs_at_once(executor, 8));
    cr_assert(before < 0 || thread_count_becomes(before + 8));
    stook_executor_destroy(executor);
}

Test(workers, B26_there_are_no_more_threads_than_were_asked_for)
{
    const int before = thread_count_at_first();
    stook_executor *executor = create_between(3, 3);
    struct gate gate = {0};
    stook_future *futures[3];

    for (int round = 0; round < 20; round++) {
        cr_assert_leq(most_at_once(executor), 3);
    }
    for (int i = 0; i < 3; i++) {
        futures[i] = must_submit(executor, gate_task, &gate);
    }
    gate_await(&gate, 3);
    cr_assert(before < 0 || thread_count() == before + 3);
    gate_open(&gate);
    await_all(futures, 3);
    stook_executor_destroy(executor);
}

Test(workers, the_limit_of_extra_threads_is_kept_and_nothing_is_lost)
{
    enum { BLOCKED = 10, EXTRA = 3 };
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    const int before = thread_count_at_first();
    struct gate gates[2] = {{0}, {0}};
    stook_future *futures[BLOCKED];
    stook_executor *executor = NULL;

    options.workers = 2;
    options.max_extra_threads = EXTRA;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_OK);
    for (int i = 0; i < BLOCKED; i++) {
        futures[i] = must_submit(executor, announced_task, gates);
    }
    gate_await(&gates[0], 2 + EXTRA);
    for (int i = 0; i < 5; i++) {
        give_a_chance();
    }
    cr_assert_eq(atomic_load(&gates[0].arrived), 2 + EXTRA);
    cr_assert(before < 0 || thread_count() == before + 2 + EXTRA);
    gate_open(&gates[0]);
    gate_open(&gates[1]);
    await_all(futures, BLOCKED);
    stook_executor_destroy(executor);
}

static void gated_exit(void *user_data, unsigned number)
{
    (void)number;
    gate_pass(user_data);
}

Test(workers, a_thread_that_is_slow_to_leave_keeps_no_other_from_being_started)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    struct gate gates[2] = {{0}, {0}};
    struct gate leaving = {0};
    stook_executor *executor = NULL;
    atomic_int runs = 0;

    options.workers = 1;
    options.max_extra_threads = 1;
    options.keep_alive_ns = 1;
    options.thread_exit = gated_exit;
    options.thread_data = &leaving;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_OK);
    use_extra_threads(executor, 2);
    gate_await(&leaving, 1);
    stook_future *blocked = must_submit(executor, announced_task, gates);
    gate_await(&gates[0], 1);
    stook_future *future = must_submit(executor, count_task, &runs);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    gate_open(&leaving);
    gate_open(&gates[0]);
    gate_open(&gates[1]);
    cr_assert_eq(stook_future_result(blocked, NULL), STOOK_OK);
    stook_future_release(blocked);
    stook_future_release(future);
    stook_executor_destroy(executor);
}
