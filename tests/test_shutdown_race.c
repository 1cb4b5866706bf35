/* SPDX-License-Identifier: MIT
 *
 * The end of an executor under races and in numbers: submits that race with shutdown, cancelled
 * tasks in the queue, executors that never ran anything or sleep, how long it takes, and that no
 * thread is left. What shutdown does when nothing races is in test_shutdown.c.
 */
#include "check.h"
#include "support.h"

enum { SUBMITTERS = 3, SUBMISSIONS = 2000 };

struct submitter {
    stook_executor *executor;
    atomic_int *accepted_by_all;
    stook_future *futures[SUBMISSIONS];
    atomic_int runs[SUBMISSIONS];
    int accepted;
    thrd_t thread;
};

static int submitter_thread(void *arg)
{
    struct submitter *submitter = arg;
    enum stook_status status = STOOK_OK;

    while (submitter->accepted < SUBMISSIONS && status == STOOK_OK) {
        const int i = submitter->accepted;

        status = stook_executor_submit(submitter->executor, count_task, &submitter->runs[i],
                                       &submitter->futures[i]);
        submitter->accepted += status == STOOK_OK;
        atomic_fetch_add(submitter->accepted_by_all, status == STOOK_OK);
    }
    MUST(status == STOOK_OK || status == STOOK_SHUTDOWN);
    return 0;
}

static void race_submit_and_shutdown(enum stook_shutdown_mode mode, unsigned round)
{
    static struct submitter submitters[SUBMITTERS];
    stook_executor *executor = must_create(1 + round % 3);
    atomic_int accepted = 0;

    for (int i = 0; i < SUBMITTERS; i++) {
        submitters[i].executor = executor;
        submitters[i].accepted_by_all = &accepted;
        submitters[i].accepted = 0;
        for (int j = 0; j < SUBMISSIONS; j++) {
            atomic_store(&submitters[i].runs[j], 0);
        }
        must_start(&submitters[i].thread, submitter_thread, &submitters[i]);
    }
    SPIN_UNTIL(atomic_load(&accepted) >= (int)(round * 37 % 1000));
    cr_assert_eq(stook_executor_shutdown(executor, mode, STOOK_FOREVER), STOOK_OK);
    for (int i = 0; i < SUBMITTERS; i++) {
        const struct submitter *submitter = &submitters[i];

        thrd_join(submitter->thread, NULL);
        for (int j = 0; j < SUBMISSIONS; j++) {
            const int runs = atomic_load(&submitter->runs[j]);
            const enum stook_state state = j < submitter->accepted
                                               ? stook_future_state(submitter->futures[j])
                                               : STOOK_STATE_CANCELLED;

            cr_assert(runs == 1 ? state == STOOK_STATE_DONE
                                : runs == 0 && state == STOOK_STATE_CANCELLED,
                      "task %d: %d runs, %s", j, runs, stook_state_name(state));
            if (mode == STOOK_DRAIN && j < submitter->accepted) {
                cr_assert_eq(state, STOOK_STATE_DONE);
            }
        }
    }
    stook_executor_destroy(executor);
    for (int i = 0; i < SUBMITTERS; i++) {
        release_all(submitters[i].futures, (size_t)submitters[i].accepted);
    }
}

Test(shutdown_race, B40_what_drain_accepted_is_run_and_what_it_refused_is_not, .timeout = 120)
{
    for (unsigned round = 0; round < 100; round++) {
        race_submit_and_shutdown(STOOK_DRAIN, round);
    }
}

Test(shutdown_race, B40_what_cancel_pending_accepted_ends_one_way_or_the_other, .timeout = 120)
{
    for (unsigned round = 0; round < 100; round++) {
        race_submit_and_shutdown(STOOK_CANCEL_PENDING, round);
    }
}

/* The parent submits children until it is refused; the children do the same once each. */
struct spawner {
    stook_executor *executor;
    atomic_int accepted, ended, begun;
};

static int spawn_task(void *arg, void **ret_value)
{
    struct spawner *spawner = arg;
    enum stook_status status = STOOK_OK;

    (void)ret_value;
    atomic_store(&spawner->begun, 1);
    while (status == STOOK_OK && atomic_load(&spawner->accepted) < 200000) {
        status = stook_executor_submit(spawner->executor, count_task, &spawner->ended, NULL);
        atomic_fetch_add(&spawner->accepted, status == STOOK_OK);
    }
    MUST(status == STOOK_OK || status == STOOK_SHUTDOWN);
    return 0;
}

Test(shutdown_race, B40_drain_runs_what_tasks_submit_while_it_closes, .timeout = 120)
{
    for (unsigned round = 0; round < 60; round++) {
        struct spawner spawner = {.executor = must_create(1 + round % 3)};

        cr_assert_eq(stook_executor_submit_many(spawner.executor, NULL, spawn_task, &spawner,
                                                1 + round % 2, 0, NULL),
                     STOOK_OK);
        SPIN_UNTIL(atomic_load(&spawner.begun));
        cr_assert_eq(stook_executor_shutdown(spawner.executor, STOOK_DRAIN, STOOK_FOREVER),
                     STOOK_OK);
        stook_executor_destroy(spawner.executor);
        cr_assert_eq(atomic_load(&spawner.ended), atomic_load(&spawner.accepted));
    }
}

Test(shutdown_race, B41_submit_and_cancel_right_before_shutdown, .timeout = 60)
{
    for (unsigned round = 0; round < 400; round++) {
        stook_executor *executor = must_create(1 + round % 4);
        const enum stook_shutdown_mode mode = round % 8 < 4 ? STOOK_DRAIN : STOOK_CANCEL_PENDING;
        atomic_int runs = 0;
        stook_future *future = must_submit(executor, count_task, &runs);
        const enum stook_cancel_outcome outcome = stook_future_cancel(future);

        cr_assert_eq(stook_executor_shutdown(executor, mode, STOOK_FOREVER), STOOK_OK);
        cr_assert(stook_future_done(future));
        if (outcome == STOOK_CANCEL_DONE) {
            cr_assert_eq(stook_future_state(future), STOOK_STATE_CANCELLED);
        }
        cr_assert_eq(atomic_load(&runs), stook_future_state(future) == STOOK_STATE_DONE);
        stook_future_release(future);
        stook_executor_destroy(executor);
    }
}

Test(shutdown_race, B41_shutdown_with_nothing_but_cancelled_tasks_in_the_queue, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *futures[100];

    cr_assert_eq(stook_executor_submit(executor, gate_task, &gate, NULL), STOOK_OK);
    gate_await(&gate, 1);
    cr_assert_eq(stook_executor_submit_many(executor, NULL, count_task, &runs, 100, 0, futures),
                 STOOK_OK);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(stook_future_cancel(futures[i]), STOOK_CANCEL_DONE);
    }
    release_all(futures, 100);
    gate_open(&gate);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

/* Far from a poll interval for each worker, whatever the machine is busy with: the best of three
 * is under a second. */
Test(shutdown_race, B42_destroying_64_workers_takes_less_than_a_second, .timeout = 120)
{
    int64_t best = INT64_MAX;

    for (int i = 0; i < 3; i++) {
        stook_executor *executor = must_create(64);
        int64_t start, spent;

        give_a_chance();
        start = stook_now_ns();
        stook_executor_destroy(executor);
        spent = stook_now_ns() - start;
        best = spent < best ? spent : best;
    }
    cr_assert_lt(best, SECOND);
}

Test(shutdown_race, B43_an_executor_that_was_never_used, .timeout = 60)
{
    const int threads = thread_count_at_first();

    cr_assert_gt(threads, 0);
    for (unsigned i = 0; i < 200; i++) {
        stook_executor *executor = must_create(1 + i % 5);

        if (i % 3 == 1) {
            cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
        } else if (i % 3 == 2) {
            cr_assert_eq(stook_executor_shutdown(executor, STOOK_CANCEL_PENDING, STOOK_FOREVER),
                         STOOK_OK);
        }
        stook_executor_destroy(executor);
    }
    cr_assert(thread_count_becomes(threads));
}

Test(shutdown_race, B46_shutdown_while_all_workers_sleep, .timeout = 60)
{
    for (unsigned i = 0; i < 20; i++) {
        stook_executor *executor = must_create(1 + i % 5);
        atomic_int runs = 0;

        for (int j = 0; j < 3; j++) {
            stook_future *future = must_submit(executor, count_task, &runs);

            cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
            stook_future_release(future);
            give_a_chance();
        }
        cr_assert_eq(stook_executor_shutdown(executor, i % 2 ? STOOK_DRAIN : STOOK_CANCEL_PENDING,
                                             STOOK_FOREVER),
                     STOOK_OK);
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&runs), 3);
    }
}

struct wait_for {
    stook_future *future;
    atomic_int begun;
};

static int wait_for_task(void *arg, void **ret_value)
{
    struct wait_for *wait_for = arg;

    (void)ret_value;
    atomic_fetch_add(&wait_for->begun, 1);
    MUST(stook_future_wait_until(wait_for->future, STOOK_FOREVER) == STOOK_OK);
    return 0;
}

/* The tasks that wait make more threads than there are workers; they must be gone as well. */
Test(shutdown_race, B47_no_thread_is_left_after_shutdown, .timeout = 60)
{
    const int threads = thread_count_at_first();
    stook_executor *executor = must_create(3);
    stook_executor *other = must_create(1);
    struct gate gate = {0};
    struct wait_for wait_for = {.future = must_submit(other, gate_task, &gate)};

    cr_assert_gt(threads, 0);
    cr_assert_eq(thread_count(), threads + 4);
    cr_assert_eq(stook_executor_submit_many(executor, NULL, wait_for_task, &wait_for, 10, 0, NULL),
                 STOOK_OK);
    SPIN_UNTIL(atomic_load(&wait_for.begun) == 10);
    cr_assert_gt(thread_count(), threads + 4);
    gate_open(&gate);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    cr_assert(thread_count_becomes(threads + 1));
    cr_assert_eq(stook_executor_shutdown(other, STOOK_CANCEL_PENDING, STOOK_FOREVER), STOOK_OK);
    cr_assert(thread_count_becomes(threads));
    stook_executor_destroy(executor);
    stook_executor_destroy(other);
    stook_future_release(wait_for.future);
}
