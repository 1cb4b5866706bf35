/* SPDX-License-Identifier: MIT
 *
 * Waits that block: what wakes them, what deadlines mean, and that no wake-up is lost when the wait
 * and the completion come together. Waits inside tasks are in test_nesting.c.
 */
#include <limits.h>

#include "check.h"
#include "support.h"

/* A thread that waits for one future; its answers are read after it was joined. */
struct waiter {
    stook_future *future;
    int64_t deadline;
    atomic_bool begun, ended;
    enum stook_status waited, result;
    void *value;
    thrd_t thread;
};

static int waiter_thread(void *arg)
{
    struct waiter *waiter = arg;

    atomic_store(&waiter->begun, true);
    waiter->waited = stook_future_wait_until(waiter->future, waiter->deadline);
    if (waiter->waited == STOOK_OK) {
        waiter->result = stook_future_result(waiter->future, &waiter->value);
    }
    atomic_store(&waiter->ended, true);
    return 0;
}

static void start_waiter(struct waiter *waiter, stook_future *future, int64_t deadline)
{
    waiter->future = future;
    waiter->deadline = deadline;
    must_start(&waiter->thread, waiter_thread, waiter);
    SPIN_UNTIL(atomic_load(&waiter->begun));
}

/* A task that stays in a gate, then stores itself and returns its code. */
struct job {
    struct gate gate;
    int code;
};

static int job_task(void *arg, void **ret_value)
{
    struct job *job = arg;

    gate_pass(&job->gate);
    *ret_value = job;
    return job->code;
}

static void expect_eight_waiters_woken(int code)
{
    stook_executor *executor = must_create(1);
    struct job job = {.code = code};
    struct waiter waiters[8] = {0};
    stook_future *future = must_submit(executor, job_task, &job);

    for (int i = 0; i < 8; i++) {
        start_waiter(&waiters[i], future,
                     i % 2 ? STOOK_FOREVER : stook_deadline_after_ns(1000 * SECOND));
    }
    give_a_chance();
    for (int i = 0; i < 8; i++) {
        cr_assert_not(atomic_load(&waiters[i].ended), "waiter %d did not wait", i);
    }
    gate_open(&job.gate);
    for (int i = 0; i < 8; i++) {
        thrd_join(waiters[i].thread, NULL);
        cr_assert_eq(waiters[i].waited, STOOK_OK);
        cr_assert_eq(waiters[i].result, code ? STOOK_TASK_FAILED : STOOK_OK);
        cr_assert_eq(waiters[i].value, &job);
    }
    stook_future_release(future);
    stook_executor_destroy(executor);
}

Test(wait, B3_all_waiters_are_woken_by_a_value, .timeout = 60)
{
    expect_eight_waiters_woken(0);
}

Test(wait, B3_all_waiters_are_woken_by_a_failure, .timeout = 60)
{
    expect_eight_waiters_woken(3);
}

Test(wait, B3_all_waiters_are_woken_by_cancel_while_the_worker_is_busy, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    atomic_int runs = 0;
    struct waiter waiters[8] = {0};
    stook_future *holder = must_submit(executor, gate_task, &gate);
    stook_future *future = must_submit(executor, count_task, &runs);

    for (int i = 0; i < 8; i++) {
        start_waiter(&waiters[i], future, STOOK_FOREVER);
    }
    give_a_chance();
    cr_assert_eq(stook_future_cancel(future), STOOK_CANCEL_DONE);
    for (int i = 0; i < 8; i++) {
        thrd_join(waiters[i].thread, NULL);
        cr_assert_eq(waiters[i].waited, STOOK_OK);
        cr_assert_eq(waiters[i].result, STOOK_CANCELLED);
    }
    cr_assert_not(stook_future_done(holder));
    gate_open(&gate);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
    stook_future_release(future);
    stook_future_release(holder);
}

Test(wait, B3_waiters_that_time_out_leave_the_others_waiting, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct job job = {0};
    struct waiter waiters[9] = {0};
    stook_future *future = must_submit(executor, job_task, &job);

    for (int i = 0; i < 9; i++) {
        start_waiter(&waiters[i], future,
                     i % 3 ? stook_deadline_after_ns(i * MILLISECOND) : STOOK_FOREVER);
    }
    for (int i = 0; i < 9; i++) {
        if (i % 3 != 0) {
            thrd_join(waiters[i].thread, NULL);
            cr_assert_eq(waiters[i].waited, STOOK_TIMEOUT);
        }
    }
    cr_assert_not(stook_future_done(future), "a timeout cancels nothing");
    cr_assert_not(atomic_load(&waiters[0].ended));
    gate_open(&job.gate);
    for (int i = 0; i < 9; i += 3) {
        thrd_join(waiters[i].thread, NULL);
        cr_assert_eq(waiters[i].result, STOOK_OK);
    }
    stook_future_release(future);
    stook_executor_destroy(executor);
}

enum { RACE_FUTURES = 100 };

static int wait_backwards_thread(void *arg)
{
    stook_future **futures = arg;

    for (int i = RACE_FUTURES - 1; i >= 0; i--) {
        MUST(stook_future_wait_until(futures[i], STOOK_FOREVER) == STOOK_OK);
        MUST(stook_future_done(futures[i]));
    }
    return 0;
}

Test(wait, B16_hundred_futures_ending_while_two_threads_wait, .timeout = 300)
{
    const unsigned rounds = stress_scaled(400);
    stook_executor *executor = must_create(3);
    stook_future *futures[RACE_FUTURES];
    atomic_int runs = 0;

    for (unsigned round = 0; round < rounds; round++) {
        struct gate gate = {0};
        stook_future *holder = must_submit(executor, gate_task, &gate);
        thrd_t thread;

        cr_assert_eq(
            stook_executor_submit_many(executor, NULL, count_task, &runs, RACE_FUTURES, 0, futures),
            STOOK_OK);
        must_start(&thread, wait_backwards_thread, futures);
        gate_open(&gate);
        for (int i = 0; i < RACE_FUTURES; i++) {
            cr_assert_eq(stook_future_wait_until(futures[i], STOOK_FOREVER), STOOK_OK);
        }
        thrd_join(thread, NULL);
        cr_assert_eq(stook_future_result(holder, NULL), STOOK_OK);
        release_all(futures, RACE_FUTURES);
        stook_future_release(holder);
    }
    cr_assert_eq(atomic_load(&runs), (int)rounds * RACE_FUTURES);
    stook_executor_destroy(executor);
}

struct family {
    stook_executor *executor;
    atomic_int runs;
    unsigned rounds;
};

static int family_task(void *arg, void **ret_value)
{
    struct family *family = arg;
    stook_future *futures[RACE_FUTURES];

    (void)ret_value;
    for (unsigned round = 0; round < family->rounds; round++) {
        MUST(stook_executor_submit_many(family->executor, NULL, count_task, &family->runs,
                                        RACE_FUTURES, 0, futures) == STOOK_OK);
        for (int i = 0; i < RACE_FUTURES; i++) {
            MUST(stook_future_result(futures[i], NULL) == STOOK_OK);
        }
        release_all(futures, RACE_FUTURES);
    }
    return 0;
}

Test(wait, B16_hundred_futures_ending_while_tasks_wait, .timeout = 300)
{
    struct family family = {.executor = must_create(3), .rounds = stress_scaled(200)};
    stook_future *futures[2] = {must_submit(family.executor, family_task, &family),
                                must_submit(family.executor, family_task, &family)};

    cr_assert_eq(stook_future_result(futures[0], NULL), STOOK_OK);
    cr_assert_eq(stook_future_result(futures[1], NULL), STOOK_OK);
    cr_assert_eq(atomic_load(&family.runs), 2 * (int)family.rounds * RACE_FUTURES);
    release_all(futures, 2);
    stook_executor_destroy(family.executor);
}

/* The deadline comes about when the task ends: each wait gives one answer or the other, and the
 * record of a wait that timed out is never touched again. */
Test(wait, B16_deadlines_that_pass_while_the_task_ends, .timeout = 300)
{
    const unsigned rounds = stress_scaled(3000);
    stook_executor *executor = must_create(2);
    atomic_int runs = 0;
    uint64_t random = 1;

    for (unsigned round = 0; round < rounds; round++) {
        stook_future *future = must_submit(executor, count_task, &runs);
        const int64_t deadline = stook_deadline_after_ns(random_below(&random, 60000));
        const enum stook_status status = stook_future_wait_until(future, deadline);

        if (status == STOOK_TIMEOUT) {
            cr_assert_geq(stook_now_ns(), deadline);
        } else {
            cr_assert_eq(status, STOOK_OK);
        }
        if (status == STOOK_OK) {
            cr_assert(stook_future_done(future));
        }
        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        stook_future_release(future);
    }
    cr_assert_eq(atomic_load(&runs), (int)rounds);
    stook_executor_destroy(executor);
}

Test(wait, B17_deadlines_that_have_passed_poll, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *running = must_submit(executor, gate_task, &gate);
    stook_future *pending = must_submit(executor, count_task, &runs);
    const int64_t past[] = {INT64_MIN, INT64_MIN + 1, -SECOND, -1, 0, 1, stook_now_ns()};

    gate_await(&gate, 1);
    for (size_t i = 0; i < sizeof past / sizeof past[0]; i++) {
        cr_assert_eq(stook_future_wait_until(running, past[i]), STOOK_TIMEOUT);
        cr_assert_eq(stook_future_wait_until(pending, past[i]), STOOK_TIMEOUT);
    }
    gate_open(&gate);
    cr_assert_eq(stook_future_result(pending, NULL), STOOK_OK);
    for (size_t i = 0; i < sizeof past / sizeof past[0]; i++) {
        cr_assert_eq(stook_future_wait_until(running, past[i]), STOOK_OK);
        cr_assert_eq(stook_future_wait_until(pending, past[i]), STOOK_OK);
    }
    stook_future_release(running);
    stook_future_release(pending);
    stook_executor_destroy(executor);
}

Test(wait, B17_huge_deadlines_wait_and_do_not_wrap, .timeout = 60)
{
    const int64_t huge[] = {STOOK_FOREVER, STOOK_FOREVER - 1, STOOK_FOREVER / 2,
                            stook_deadline_after_ns(STOOK_FOREVER - 1)};
    stook_executor *executor = must_create(1);

    for (size_t i = 0; i < sizeof huge / sizeof huge[0]; i++) {
        struct job job = {0};
        struct waiter waiter = {0};
        stook_future *future = must_submit(executor, job_task, &job);

        start_waiter(&waiter, future, huge[i]);
        give_a_chance();
        cr_assert_not(atomic_load(&waiter.ended), "deadline %zu did not wait", i);
        gate_open(&job.gate);
        thrd_join(waiter.thread, NULL);
        cr_assert_eq(waiter.result, STOOK_OK);
        stook_future_release(future);
    }
    stook_executor_destroy(executor);
}

Test(wait, B17_a_deadline_is_not_cut_short_and_cancels_nothing, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct job job = {0};
    stook_future *future = must_submit(executor, job_task, &job);

    for (int i = 1; i <= 5; i++) {
        const int64_t deadline = stook_deadline_after_ns(i * MILLISECOND);

        cr_assert_eq(stook_future_wait_until(future, deadline), STOOK_TIMEOUT);
        cr_assert_geq(stook_now_ns(), deadline);
    }
    gate_open(&job.gate);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(executor);
}

Test(wait, B17_durations_saturate, .timeout = 60)
{
    int64_t last = stook_now_ns();

    cr_assert_geq(last, 0);
    for (int i = 0; i < 1000; i++) {
        const int64_t now = stook_now_ns();

        cr_assert_geq(now, last, "the clock went back");
        last = now;
    }
    cr_assert_eq(stook_deadline_after_ns(STOOK_FOREVER), STOOK_FOREVER);
    cr_assert_eq(stook_deadline_after_ns(STOOK_FOREVER - 1), STOOK_FOREVER);
    cr_assert_lt(stook_deadline_after_ns(-1), stook_now_ns());
    cr_assert_lt(stook_deadline_after_ns(INT64_MIN), stook_now_ns());
    cr_assert_leq(stook_deadline_after_ns(0), stook_now_ns());
    last = stook_now_ns();
    cr_assert_geq(stook_deadline_after_ns(SECOND), last + SECOND);
    cr_assert_lt(stook_deadline_after_ns(SECOND), last + 1000 * SECOND);
}
