/* SPDX-License-Identifier: MIT
 *
 * Waiting for several futures (stook_wait_until): what ends each mode's wait, and the split into
 * done and not done, exactly; duplicates, deadlines, several waiters. In tasks:
 * test_waitset_task.c. One after the other: test_as_completed.c.
 */
#include <string.h>

#include "check.h"
#include "promise_support.h"

static const enum stook_wait_mode modes[] = {STOOK_WAIT_ALL, STOOK_WAIT_ANY,
                                             STOOK_WAIT_FIRST_ERROR};
enum { MODES = 3 };

/* Promises of which each is pending, or has ended. */
enum { OF = 3, PENDING = ENDINGS, FATES = ENDINGS + 1, CASES = FATES * FATES * FATES };

static void make(struct promised made[], stook_future *futures[], int count)
{
    for (int i = 0; i < count; i++) {
        made[i] = must_promise();
        futures[i] = made[i].future;
    }
}

static void unmake(struct promised made[], int count)
{
    for (int i = 0; i < count; i++) {
        release_promised(&made[i]);
    }
}

static bool has_ended_wait(enum stook_wait_mode mode, const int fates[], int count)
{
    int ended = 0;
    bool failed = false;

    for (int i = 0; i < count; i++) {
        ended += fates[i] != PENDING;
        failed |= fates[i] == ENDS_FAILED;
    }
    return ended == count || (mode == STOOK_WAIT_ANY && ended > 0) ||
           (mode == STOOK_WAIT_FIRST_ERROR && failed);
}

static void expect_wait(stook_future *const futures[], const int fates[], int count,
                        enum stook_wait_mode mode, int64_t deadline)
{
    const bool ends = has_ended_wait(mode, fates, count);
    struct stook_wait_counts counts = {77, 77};
    bool done[OF + 1];
    size_t ended = 0;

    for (int i = 0; i < count; i++) {
        done[i] = fates[i] == PENDING; /* the opposite of what is expected */
        ended += fates[i] != PENDING;
    }
    done[count] = true;
    cr_assert_eq(stook_wait_until(futures, (size_t)count, mode, deadline, done, &counts),
                 ends ? STOOK_OK : STOOK_TIMEOUT);
    for (int i = 0; i < count; i++) {
        cr_assert_eq(done[i], fates[i] != PENDING);
        cr_assert_eq(stook_future_done(futures[i]), fates[i] != PENDING);
    }
    cr_assert(done[count], "written behind the end");
    cr_assert_eq(counts.done, ended);
    cr_assert_eq(counts.not_done, (size_t)count - ended);
    cr_assert_eq(stook_wait_until(futures, (size_t)count, mode, deadline, NULL, NULL),
                 ends ? STOOK_OK : STOOK_TIMEOUT);
}

/* B13, B15, B17; cancelled counts as done and not as an error (B14) */
Test(waitset, B13_matrix_of_modes_and_fates, .timeout = 120)
{
    for (int number = 0; number < CASES * MODES; number++) {
        const enum stook_wait_mode mode = modes[number / CASES];
        struct promised made[OF];
        stook_future *futures[OF];
        int fates[OF] = {number % FATES, number / FATES % FATES, number / FATES / FATES % FATES};

        make(made, futures, OF);
        for (int i = 0; i < OF; i++) {
            if (fates[i] != PENDING) {
                must_end(&made[i], fates[i], NULL);
            }
        }
        expect_wait(futures, fates, OF, mode, 0);
        expect_wait(futures, fates, OF, mode, -1);
        expect_wait(futures, fates, OF, mode, INT64_MIN);
        if (has_ended_wait(mode, fates, OF)) {
            expect_wait(futures, fates, OF, mode, STOOK_FOREVER);
            expect_wait(futures, fates, OF, mode, INT64_MAX - 1);
        } else {
            expect_wait(futures, fates, OF, mode, stook_deadline_after_ns(MILLISECOND / 10));
        }
        unmake(made, OF);
    }
}

/* B12 */
Test(waitset, B12_no_futures_are_waited_for_at_once)
{
    stook_future *futures[1] = {NULL};

    for (int i = 0; i < MODES; i++) {
        struct stook_wait_counts counts = {77, 77};

        cr_assert_eq(stook_wait_until(futures, 0, modes[i], STOOK_FOREVER, NULL, &counts),
                     STOOK_OK);
        cr_assert_eq(counts.done, 0);
        cr_assert_eq(counts.not_done, 0);
        cr_assert_eq(stook_wait_until(NULL, 0, modes[i], 0, NULL, NULL), STOOK_OK);
    }
}

Test(waitset, invalid_arguments_write_nothing)
{
    struct promised made[2];
    stook_future *futures[3] = {NULL};
    stook_future *none[100] = {NULL};
    bool done[3];
    struct stook_wait_counts counts = {77, 77};

    make(made, futures, 2);
    must_complete(&made[0], 1, NULL);
    memset(done, 2, sizeof done);
    for (int i = 0; i < MODES; i++) {
        cr_assert_eq(stook_wait_until(futures, 3, modes[i], 0, done, &counts), STOOK_INVALID);
        cr_assert_eq(stook_wait_until(NULL, 1, modes[i], 0, done, &counts), STOOK_INVALID);
        cr_assert_eq(stook_wait_until(none, 100, modes[i], 0, done, &counts), STOOK_INVALID);
        cr_assert_eq(stook_wait_until(futures, SIZE_MAX, modes[i], 0, done, &counts), STOOK_NOMEM);
    }
    cr_assert_eq(stook_wait_until(futures, 2, (enum stook_wait_mode)3, 0, done, &counts),
                 STOOK_INVALID);
    cr_assert_eq(stook_wait_until(futures, 1, (enum stook_wait_mode) - 1, 0, done, &counts),
                 STOOK_INVALID);
    cr_assert_arr_eq(done, "\2\2\2", sizeof done);
    cr_assert_eq(counts.done, 77);
    cr_assert_eq(counts.not_done, 77);
    unmake(made, 2);
}

/* B11 */
Test(waitset, B11_duplicates_count_once)
{
    struct promised made[2];
    stook_future *futures[2];
    struct stook_wait_counts counts;
    bool done[6];

    make(made, futures, 2);
    stook_future *repeated[6] = {futures[0], futures[1], futures[0],
                                 futures[0], futures[1], futures[0]};
    for (int ended = 0; ended <= 2; ended++) {
        for (int i = 0; i < MODES; i++) {
            const bool ends = ended == 2 || (ended == 1 && modes[i] == STOOK_WAIT_ANY);

            cr_assert_eq(stook_wait_until(repeated, 6, modes[i], 0, done, &counts),
                         ends ? STOOK_OK : STOOK_TIMEOUT);
            cr_assert_eq(counts.done, (size_t)ended);
            cr_assert_eq(counts.not_done, 2 - (size_t)ended);
            for (int j = 0; j < 6; j++) {
                cr_assert_eq(done[j], stook_future_done(repeated[j]));
            }
        }
        if (ended < 2) {
            must_complete(&made[ended], 0, NULL);
        }
    }
    unmake(made, 2);
}

/* --- waits that block ---------------------------------------------------------------------------
 */

enum { WIDE = 4 };

struct waiter {
    stook_future *const *futures;
    size_t count;
    enum stook_wait_mode mode;
    int64_t deadline;
    atomic_bool begun, ended;
    enum stook_status status;
    bool done[WIDE];
    struct stook_wait_counts counts;
    thrd_t thread;
};

static int waiter_thread(void *arg)
{
    struct waiter *waiter = arg;

    atomic_store(&waiter->begun, true);
    waiter->status = stook_wait_until(waiter->futures, waiter->count, waiter->mode,
                                      waiter->deadline, waiter->done, &waiter->counts);
    atomic_store(&waiter->ended, true);
    return 0;
}

static void start_waiter(struct waiter *waiter, stook_future *const futures[], size_t count,
                         enum stook_wait_mode mode, int64_t deadline)
{
    *waiter =
        (struct waiter){.futures = futures, .count = count, .mode = mode, .deadline = deadline};
    must_start(&waiter->thread, waiter_thread, waiter);
    SPIN_UNTIL(atomic_load(&waiter->begun));
}

static void check_waiter(struct waiter *waiter, const bool expected[], size_t done, size_t not_done)
{
    thrd_join(waiter->thread, NULL);
    cr_assert_eq(waiter->status, STOOK_OK);
    for (size_t i = 0; i < waiter->count; i++) {
        cr_assert_eq(waiter->done[i], expected[i], "future %zu", i);
    }
    cr_assert_eq(waiter->counts.done, done);
    cr_assert_eq(waiter->counts.not_done, not_done);
}

/* CPython's test_first_completed; here one that is cancelled counts as done */
Test(waitset, B13_any_wakes_with_the_first_that_ends_however_it_does, .timeout = 60)
{
    for (int ending = 0; ending < ENDINGS; ending++) {
        struct promised made[WIDE];
        stook_future *futures[WIDE];
        const bool expected[WIDE] = {false, false, true, false};
        struct waiter waiter;

        make(made, futures, WIDE);
        start_waiter(&waiter, futures, WIDE, STOOK_WAIT_ANY, STOOK_FOREVER);
        give_a_chance();
        cr_assert_not(atomic_load(&waiter.ended));
        must_end(&made[2], ending, NULL);
        check_waiter(&waiter, expected, 1, 3);
        unmake(made, WIDE);
    }
}

/* CPython's test_first_exception: a success and a cancellation do not end it, a failure does */
Test(waitset, B13_first_error_wakes_with_a_failure_and_only_with_that, .timeout = 60)
{
    struct promised made[WIDE];
    stook_future *futures[WIDE];
    const bool expected[WIDE] = {true, true, true, false};
    struct waiter waiter;

    make(made, futures, WIDE);
    start_waiter(&waiter, futures, WIDE, STOOK_WAIT_FIRST_ERROR, STOOK_FOREVER);
    must_end(&made[0], ENDS_DONE, NULL);
    must_end(&made[2], ENDS_CANCELLED, NULL);
    give_a_chance();
    cr_assert_not(atomic_load(&waiter.ended));
    must_end(&made[1], ENDS_FAILED, NULL);
    check_waiter(&waiter, expected, 3, 1);
    unmake(made, WIDE);
}

/* CPython's test_all_completed; and FIRST_ERROR is the same if none fails */
Test(waitset, B13_all_wakes_with_the_last, .timeout = 60)
{
    for (int first_error = 0; first_error < 2; first_error++) {
        struct promised made[WIDE];
        stook_future *futures[WIDE];
        const bool expected[WIDE] = {true, true, true, true};
        struct waiter waiter;

        make(made, futures, WIDE);
        must_end(&made[3], ENDS_DONE, NULL);
        start_waiter(&waiter, futures, WIDE, first_error ? STOOK_WAIT_FIRST_ERROR : STOOK_WAIT_ALL,
                     stook_deadline_after_ns(1000 * SECOND));
        must_end(&made[1], first_error ? ENDS_DONE : ENDS_FAILED, NULL);
        must_end(&made[0], ENDS_CANCELLED, NULL);
        give_a_chance();
        cr_assert_not(atomic_load(&waiter.ended));
        must_end(&made[2], ENDS_DONE, NULL);
        check_waiter(&waiter, expected, 4, 0);
        unmake(made, WIDE);
    }
}

static int fail_task(void *arg, void **ret_value)
{
    (void)ret_value;
    gate_pass(arg);
    return 1;
}

/* B14: they were queued, and no worker is free to find them cancelled */
Test(waitset, B14_cancelled_tasks_are_done_at_once_though_every_worker_is_busy, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *futures[3];
    struct stook_wait_counts counts;
    struct waiter waiter;
    const bool expected[2] = {true, true};

    futures[2] = must_submit(executor, gate_task, &gate);
    gate_await(&gate, 1);
    futures[0] = must_submit(executor, count_task, &runs);
    futures[1] = must_submit(executor, count_task, &runs);
    start_waiter(&waiter, futures, 2, STOOK_WAIT_ALL, STOOK_FOREVER);
    give_a_chance();
    cr_assert_eq(stook_future_cancel(futures[0]), STOOK_CANCEL_DONE);
    cr_assert_eq(stook_wait_until(futures, 3, STOOK_WAIT_ANY, STOOK_FOREVER, NULL, &counts),
                 STOOK_OK);
    cr_assert_eq(counts.done, 1);
    cr_assert_not(atomic_load(&waiter.ended));
    cr_assert_eq(stook_future_cancel(futures[1]), STOOK_CANCEL_DONE);
    check_waiter(&waiter, expected, 2, 0);
    gate_open(&gate);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
    release_all(futures, 3);
}

/* B15; CPython's test_timeout */
Test(waitset, B15_a_deadline_splits_and_cancels_nothing, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *futures[4];
    bool done[4];

    futures[1] = must_submit(executor, gate_task, &gate);
    gate_await(&gate, 1);
    futures[0] = must_submit(executor, count_task, &runs);
    cr_assert_eq(stook_future_result(futures[0], NULL), STOOK_OK);
    futures[2] = must_submit(executor, fail_task, &gate);
    gate_await(&gate, 2);
    futures[3] = must_submit(executor, count_task, &runs);
    for (int i = 0; i < 2; i++) {
        const int64_t deadline = stook_deadline_after_ns(20 * MILLISECOND);
        struct stook_wait_counts counts;

        cr_assert_eq(stook_wait_until(futures, 4, i == 0 ? STOOK_WAIT_ALL : STOOK_WAIT_FIRST_ERROR,
                                      deadline, done, &counts),
                     STOOK_TIMEOUT);
        cr_assert_geq(stook_now_ns(), deadline);
        cr_assert(done[0] && !done[1] && !done[2] && !done[3]);
        cr_assert_eq(counts.done, 1);
        cr_assert_eq(counts.not_done, 3);
    }
    cr_assert_eq(stook_future_state(futures[2]), STOOK_STATE_RUNNING);
    cr_assert_eq(stook_future_state(futures[3]), STOOK_STATE_PENDING);
    gate_open(&gate);
    cr_assert_eq(stook_wait_until(futures, 4, STOOK_WAIT_ALL, STOOK_FOREVER, done, NULL), STOOK_OK);
    cr_assert(done[0] && done[1] && done[2] && done[3]);
    cr_assert_eq(atomic_load(&runs), 2);
    release_all(futures, 4);
    stook_executor_destroy(executor);
}

/* B18 */
Test(waitset, B18_of_several_executors_and_promises, .timeout = 60)
{
    for (int round = 0; round < 100; round++) {
        stook_executor *executors[2] = {must_create(1), must_create(2)};
        struct promised made = must_promise();
        struct stook_wait_counts counts;
        struct gate gate = {0};
        atomic_int runs = 0;
        stook_future *futures[5] = {must_submit(executors[0], gate_task, &gate), made.future,
                                    must_submit(executors[1], gate_task, &gate),
                                    must_submit(executors[0], count_task, &runs),
                                    must_submit(executors[1], count_task, &runs)};

        cr_assert_eq(stook_wait_until(futures, 5, STOOK_WAIT_ANY, STOOK_FOREVER, NULL, &counts),
                     STOOK_OK);
        cr_assert_eq(counts.done, 1, "only the last had a worker");
        gate_open(&gate);
        must_complete(&made, 0, NULL);
        cr_assert_eq(stook_wait_until(futures, 5, STOOK_WAIT_ALL, STOOK_FOREVER, NULL, &counts),
                     STOOK_OK);
        cr_assert_eq(counts.done, 5);
        stook_executor_destroy(executors[0]);
        stook_executor_destroy(executors[1]);
        stook_promise_release(made.promise);
        release_all(futures, 5);
    }
}

/* --- several waiters, and races -----------------------------------------------------------------
 */

/* B21: in all modes, on one group, in different orders; and on one future */
Test(waitset, B21_several_threads_wait_for_one_group, .timeout = 120)
{
    enum { WAITERS = 9 };

    for (int round = 0; round < 60; round++) {
        struct promised made[WIDE];
        stook_future *futures[WIDE];
        stook_future *backwards[WIDE];
        struct waiter waiters[WAITERS];

        make(made, futures, WIDE);
        for (int i = 0; i < WIDE; i++) {
            backwards[i] = futures[WIDE - 1 - i];
        }
        for (int i = 0; i < WAITERS; i++) {
            start_waiter(&waiters[i], i % 2 ? backwards : futures, i == WAITERS - 1 ? 1 : WIDE,
                         modes[i % MODES],
                         i < 6 ? STOOK_FOREVER : stook_deadline_after_ns(1000 * SECOND));
        }
        if (round % 2) {
            give_a_chance();
        }
        for (int i = 0; i < WIDE; i++) {
            must_end(&made[i], i == 2 ? ENDS_FAILED : ENDS_DONE, NULL);
        }
        for (int i = 0; i < WAITERS; i++) {
            const struct waiter *waiter = &waiters[i];
            size_t done = 0;

            thrd_join(waiter->thread, NULL);
            cr_assert_eq(waiter->status, STOOK_OK);
            for (size_t j = 0; j < waiter->count; j++) {
                done += waiter->done[j];
            }
            cr_assert_eq(waiter->counts.done, done);
            cr_assert_eq(waiter->counts.not_done, waiter->count - done);
            cr_assert(done == waiter->count || (waiter->mode == STOOK_WAIT_ANY && done > 0) ||
                      (waiter->mode == STOOK_WAIT_FIRST_ERROR && done > 2));
        }
        unmake(made, WIDE);
    }
}

enum { RACED = 100 };

/* B16; CPython's test_pending_calls_race */
Test(waitset, B16_hundred_futures_that_end_while_they_are_waited_for, .timeout = 300)
{
    const unsigned rounds = stress_scaled(600);
    stook_executor *executor = must_create(3);
    stook_future *futures[RACED];
    stook_future *holders[3];
    atomic_int runs = 0;

    for (unsigned round = 0; round < rounds; round++) {
        struct gate gate = {0};
        struct stook_wait_counts counts;

        for (int i = 0; i < 3; i++) {
            holders[i] = must_submit(executor, gate_task, &gate);
        }
        gate_await(&gate, 3);
        cr_assert_eq(
            stook_executor_submit_many(executor, NULL, count_task, &runs, RACED, 0, futures),
            STOOK_OK);
        gate_open(&gate);
        if (round % 2) {
            cr_assert_eq(
                stook_wait_until(futures, RACED, STOOK_WAIT_ANY, STOOK_FOREVER, NULL, &counts),
                STOOK_OK);
            cr_assert_gt(counts.done, 0);
            cr_assert_eq(counts.done + counts.not_done, RACED);
        }
        cr_assert_eq(stook_wait_until(futures, RACED, STOOK_WAIT_ALL, STOOK_FOREVER, NULL, &counts),
                     STOOK_OK);
        cr_assert_eq(counts.done, RACED);
        for (int i = 0; i < RACED; i++) {
            cr_assert(stook_future_done(futures[i]));
        }
        cr_assert_eq(stook_wait_until(holders, 3, STOOK_WAIT_ALL, STOOK_FOREVER, NULL, NULL),
                     STOOK_OK);
        release_all(holders, 3);
        release_all(futures, RACED);
    }
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), (int)rounds * RACED);
}

struct ender {
    struct promised made[RACED];
    atomic_bool begun;
};

static int end_all_thread(void *arg)
{
    struct ender *ender = arg;

    atomic_store(&ender->begun, true);
    for (int i = 0; i < RACED; i++) {
        must_end(&ender->made[i], i % ENDINGS, NULL);
    }
    return 0;
}

/* Waits that end at their deadline at the moment at which futures end; what was seen done stays
 * so. */
Test(waitset, B15_deadlines_that_pass_while_futures_end, .timeout = 120)
{
    uint64_t random = 1;

    for (int round = 0; round < 60; round++) {
        static struct ender ender;
        stook_future *futures[RACED];
        bool done[RACED] = {false};
        bool before[RACED] = {false};
        enum stook_status status;
        thrd_t thread;

        make(ender.made, futures, RACED);
        atomic_store(&ender.begun, false);
        must_start(&thread, end_all_thread, &ender);
        SPIN_UNTIL(atomic_load(&ender.begun));
        do {
            const int64_t deadline = stook_deadline_after_ns(random_below(&random, 20000));
            struct stook_wait_counts counts;
            size_t sum = 0;

            status = stook_wait_until(futures, RACED, STOOK_WAIT_ALL, deadline, done, &counts);
            cr_assert(status == STOOK_OK || status == STOOK_TIMEOUT);
            for (int i = 0; i < RACED; i++) {
                cr_assert(done[i] || !before[i]);
                cr_assert(!done[i] || stook_future_done(futures[i]));
                sum += done[i];
            }
            cr_assert_eq(counts.done, sum);
            cr_assert_eq(counts.not_done, RACED - sum);
            cr_assert_eq(sum == RACED, status == STOOK_OK);
            memcpy(before, done, sizeof before);
        } while (status == STOOK_TIMEOUT);
        thrd_join(thread, NULL);
        unmake(ender.made, RACED);
    }
}
