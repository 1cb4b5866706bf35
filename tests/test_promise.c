/* SPDX-License-Identifier: MIT
 *
 * Promises: who completes first wins, against others who complete, cancel or give up; and what
 * waiters and readers of their futures see meanwhile. Values and memory are in
 * test_promise_memory.c.
 */
#include <limits.h>

#include "check.h"
#include "promise_support.h"

Test(promise, is_pending_until_it_is_completed_with_its_code_and_value)
{
    static const int codes[] = {0, 1, -1, INT_MIN, INT_MAX};

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct promised made = must_promise();
        const bool failed = codes[i] != 0;
        int object;
        void *value = NULL;

        cr_assert_eq(stook_future_state(made.future), STOOK_STATE_PENDING);
        cr_assert_not(stook_future_done(made.future));
        cr_assert_eq(stook_future_code(made.future), 0);
        cr_assert_eq(stook_promise_complete(made.promise, codes[i], &object), STOOK_OK);
        cr_assert_eq(stook_future_state(made.future),
                     failed ? STOOK_STATE_FAILED : STOOK_STATE_DONE);
        cr_assert(stook_future_done(made.future));
        cr_assert_eq(stook_future_code(made.future), codes[i]);
        cr_assert_eq(stook_future_wait_until(made.future, 0), STOOK_OK);
        cr_assert_eq(stook_future_result(made.future, &value),
                     failed ? STOOK_TASK_FAILED : STOOK_OK);
        cr_assert_eq(value, &object);
        stook_promise_release(made.promise);
        cr_assert_eq(stook_future_code(made.future), codes[i], "changed by the release");
        stook_future_release(made.future);
    }
}

Test(promise, invalid_arguments)
{
    stook_promise *promise = NULL;
    stook_future *future = NULL;

    cr_assert_eq(stook_promise_create(NULL, NULL, &future), STOOK_INVALID);
    cr_assert_eq(stook_promise_create(NULL, &promise, NULL), STOOK_INVALID);
    cr_assert_null(promise);
    cr_assert_null(future);
    cr_assert_eq(stook_promise_complete(NULL, 0, NULL), STOOK_INVALID);
    stook_promise_release(NULL);
}

/* B4 */
Test(promise, B4_the_first_completion_is_kept_and_later_values_stay_with_the_caller)
{
    for (int first = 0; first < 2; first++) {
        for (int second = 0; second < 2; second++) {
            struct promised made = must_promise();
            int kept;
            int refused = 1;
            void *value = NULL;

            cr_assert_eq(stook_promise_complete(made.promise, first, &kept), STOOK_OK);
            cr_assert_eq(stook_promise_complete(made.promise, 5 * second, &refused),
                         STOOK_TOO_LATE);
            cr_assert_eq(stook_future_code(made.future), first);
            cr_assert_eq(stook_future_result(made.future, &value),
                         first ? STOOK_TASK_FAILED : STOOK_OK);
            cr_assert_eq(value, &kept);
            release_promised(&made);
        }
    }
}

/* B1 */
Test(promise, B1_cancel_matrix)
{
    for (int ending = 0; ending < ENDINGS; ending++) {
        struct promised made = must_promise();
        const bool cancelled = ending == ENDS_CANCELLED;
        int untouched = 0;
        void *value = &untouched;

        must_end(&made, ending, NULL);
        for (int again = 0; again < 2; again++) {
            cr_assert_eq(stook_future_cancel(made.future),
                         cancelled ? STOOK_CANCEL_DONE : STOOK_CANCEL_TOO_LATE);
            cr_assert_eq(stook_future_state(made.future), ending_state[ending]);
        }
        cr_assert_eq(stook_promise_complete(made.promise, 3, &made), STOOK_TOO_LATE);
        cr_assert_eq(stook_future_state(made.future), ending_state[ending]);
        cr_assert_eq(stook_future_code(made.future), ending == ENDS_FAILED ? ENDING_CODE : 0);
        cr_assert_eq(stook_future_result(made.future, &value), ending_status[ending]);
        cr_assert_eq(value, cancelled ? &untouched : NULL);
        release_promised(&made);
    }
}

/* B2 */
Test(promise, B2_poll_matrix, .timeout = 60)
{
    static const int64_t passed[] = {0, -1, INT64_MIN, 1};
    struct promised pending = must_promise();

    for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++) {
        cr_assert_eq(stook_future_wait_until(pending.future, passed[i]), STOOK_TIMEOUT);
    }
    cr_assert_eq(stook_future_wait_until(pending.future, stook_deadline_after_ns(MILLISECOND)),
                 STOOK_TIMEOUT);
    cr_assert_eq(stook_future_state(pending.future), STOOK_STATE_PENDING);
    release_promised(&pending);
    for (int ending = 0; ending < ENDINGS; ending++) {
        struct promised made = must_promise();

        must_end(&made, ending, NULL);
        for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++) {
            cr_assert_eq(stook_future_wait_until(made.future, passed[i]), STOOK_OK);
        }
        cr_assert_eq(stook_future_wait_until(made.future, STOOK_FOREVER), STOOK_OK);
        release_promised(&made);
    }
}

/* What a thread, or a task, gets when it waits. */
struct waits {
    stook_future *future;
    int64_t deadline;
    atomic_int begun;
    enum stook_status waited, result;
    void *value;
    int written, seen; /* plain: by the completer, before; by the waiter, after */
    const int *source;
};

static int wait_thread(void *arg)
{
    struct waits *waits = arg;

    atomic_fetch_add(&waits->begun, 1);
    waits->waited = stook_future_wait_until(waits->future, waits->deadline);
    waits->result = stook_future_result(waits->future, &waits->value);
    waits->seen = *waits->source;
    return 0;
}

static int wait_task(void *arg, void **ret_value)
{
    (void)ret_value;
    return wait_thread(arg);
}

enum { WAITERS = 4 };

static void check_waits(const struct waits *waits, int ending, void *object)
{
    const bool cancelled = ending == ENDS_CANCELLED;

    cr_assert_eq(waits->waited, STOOK_OK);
    cr_assert_eq(waits->result, ending_status[ending]);
    cr_assert_eq(waits->value, cancelled ? NULL : object);
    cr_assert_eq(waits->seen, 42, "what was written before it was completed is not seen");
}

/* B3 */
Test(promise, B3_blocked_waiters_wake_by_value_error_cancel_and_release, .timeout = 120)
{
    for (int how = 0; how <= ENDINGS; how++) {
        const int ending = how == ENDINGS ? ENDS_CANCELLED : how;
        struct promised made = must_promise();
        stook_executor *executor = must_create(1);
        struct waits waits[2 * WAITERS];
        thrd_t threads[WAITERS];
        stook_future *tasks[WAITERS];
        int written = 0;

        for (int i = 0; i < 2 * WAITERS; i++) {
            waits[i] = (struct waits){.future = made.future, .source = &written};
            waits[i].deadline = i % 2 ? STOOK_FOREVER : stook_deadline_after_ns(1000 * SECOND);
            if (i < WAITERS) {
                must_start(&threads[i], wait_thread, &waits[i]);
            } else {
                tasks[i - WAITERS] = must_submit(executor, wait_task, &waits[i]);
            }
        }
        for (int i = 0; i < 2 * WAITERS; i++) { /* one worker: a waiting task lends its place */
            SPIN_UNTIL(atomic_load(&waits[i].begun) == 1);
        }
        give_a_chance();
        written = 42;
        if (how == ENDINGS) {
            stook_promise_release(made.promise);
            made.promise = NULL;
        } else {
            must_end(&made, ending, &written);
        }
        for (int i = 0; i < WAITERS; i++) {
            thrd_join(threads[i], NULL);
            cr_assert_eq(stook_future_result(tasks[i], NULL), STOOK_OK);
            stook_future_release(tasks[i]);
        }
        for (int i = 0; i < 2 * WAITERS; i++) {
            check_waits(&waits[i], ending, &written);
        }
        release_promised(&made);
        stook_executor_destroy(executor);
    }
}

Test(promise, release_without_completion_cancels_and_after_it_changes_nothing)
{
    for (int ending = 0; ending < ENDINGS; ending++) {
        struct promised given_up = must_promise();
        struct promised made = must_promise();
        void *value = NULL;
        int object;

        stook_promise_release(given_up.promise);
        cr_assert_eq(stook_future_state(given_up.future), STOOK_STATE_CANCELLED);
        cr_assert_eq(stook_future_result(given_up.future, &value), STOOK_CANCELLED);
        cr_assert_null(value);
        stook_future_release(given_up.future);
        must_end(&made, ending, &object);
        stook_promise_release(made.promise);
        cr_assert_eq(stook_future_state(made.future), ending_state[ending]);
        cr_assert_eq(stook_future_result(made.future, &value), ending_status[ending]);
        cr_assert_eq(value, ending == ENDS_CANCELLED ? NULL : &object);
        stook_future_release(made.future);
    }
}

/* --- races --------------------------------------------------------------------------------------
 */

enum { RACES = 1000, RACERS = 4 };

/* Each racer tries to end every promise, all at about the same time; a canceller is one of them
 * if there is one. */
struct race {
    struct promised made[RACES];
    atomic_int arrived[RACES];
    atomic_int winners[RACES];
    bool has_canceller;
};

struct racer {
    struct race *race;
    int number;
    thrd_t thread;
    int objects[RACES];
};

static bool try_to_end(struct racer *racer, int i)
{
    const struct promised *made = &racer->race->made[i];
    enum stook_status status;

    if (racer->race->has_canceller && racer->number == 0) {
        const enum stook_cancel_outcome outcome = stook_future_cancel(made->future);

        MUST(outcome == STOOK_CANCEL_DONE || outcome == STOOK_CANCEL_TOO_LATE);
        return outcome == STOOK_CANCEL_DONE;
    }
    racer->objects[i] = racer->number + 1000;
    status = stook_promise_complete(made->promise, racer->number, &racer->objects[i]);
    MUST(status == STOOK_OK || status == STOOK_TOO_LATE);
    return status == STOOK_OK;
}

/* Whoever has been told OK or TOO_LATE finds it terminal, and what the winner wrote. */
static void check_race(const struct racer *racer, int i, bool won)
{
    stook_future *future = racer->race->made[i].future;
    const enum stook_state state = stook_future_state(future);
    void *value = NULL;

    MUST(stook_future_done(future));
    MUST(!won || stook_future_code(future) == racer->number);
    MUST(!won ||
         (state == STOOK_STATE_CANCELLED) == (racer->race->has_canceller && racer->number == 0));
    MUST(stook_future_result(future, &value) == status_of(state));
    MUST((value == NULL) == (state == STOOK_STATE_CANCELLED));
    MUST(value == NULL || *(int *)value == stook_future_code(future) + 1000);
}

static int racer_thread(void *arg)
{
    struct racer *racer = arg;

    for (int i = 0; i < RACES; i++) {
        bool won;

        atomic_fetch_add(&racer->race->arrived[i], 1);
        SPIN_UNTIL(atomic_load(&racer->race->arrived[i]) == RACERS);
        won = try_to_end(racer, i);
        if (won) {
            atomic_fetch_add(&racer->race->winners[i], 1);
        }
        check_race(racer, i, won);
    }
    return 0;
}

static void run_race(bool has_canceller)
{
    static struct race race;
    static struct racer racers[RACERS];

    race.has_canceller = has_canceller;
    for (int i = 0; i < RACES; i++) {
        race.made[i] = must_promise();
    }
    for (int i = 0; i < RACERS; i++) {
        racers[i].race = &race;
        racers[i].number = i;
        must_start(&racers[i].thread, racer_thread, &racers[i]);
    }
    for (int i = 0; i < RACERS; i++) {
        thrd_join(racers[i].thread, NULL);
    }
    for (int i = 0; i < RACES; i++) {
        cr_assert_eq(atomic_load(&race.winners[i]), 1, "race %d", i);
        release_promised(&race.made[i]);
    }
}

Test(promise, B4_of_several_threads_that_complete_exactly_one_is_told_OK, .timeout = 120)
{
    run_race(false);
}

Test(promise, B4_complete_against_cancel_has_one_winner, .timeout = 120)
{
    run_race(true);
}

/* B5: readers of futures that a thread ends one after the other. `written` is plain. */
enum { SEEN = 1000, READERS = 4 };

struct seen {
    struct promised made;
    int written;
};

static struct seen seen[SEEN];

static int reader_thread(void *arg)
{
    (void)arg;
    for (int i = 0; i < SEEN; i++) {
        stook_future *future = seen[i].made.future;
        enum stook_state state;
        unsigned rounds = 0;
        void *value = NULL;

        do {
            const int code = stook_future_code(future);
            const bool done = stook_future_done(future);

            state = stook_future_state(future);
            MUST(state != STOOK_STATE_RUNNING);
            MUST(!done || state != STOOK_STATE_PENDING);
            MUST(code == 0 || state == STOOK_STATE_FAILED);
            if (state == STOOK_STATE_PENDING) {
                spin_pause(&rounds);
            }
        } while (state == STOOK_STATE_PENDING);
        MUST(state == ending_state[i % ENDINGS]);
        MUST(stook_future_done(future));
        MUST(stook_future_code(future) == (state == STOOK_STATE_FAILED ? ENDING_CODE : 0));
        MUST(stook_future_result(future, &value) == ending_status[i % ENDINGS]);
        MUST(value == (state == STOOK_STATE_CANCELLED ? NULL : &seen[i]));
        MUST(state == STOOK_STATE_CANCELLED || seen[i].written == i);
    }
    return 0;
}

Test(promise, B5_four_readers_never_see_a_contradiction, .timeout = 120)
{
    thrd_t readers[READERS];

    for (int i = 0; i < SEEN; i++) {
        seen[i].made = must_promise();
    }
    for (int i = 0; i < READERS; i++) {
        must_start(&readers[i], reader_thread, NULL);
    }
    for (int i = 0; i < SEEN; i++) {
        seen[i].written = i;
        must_end(&seen[i].made, i % ENDINGS, &seen[i]);
    }
    for (int i = 0; i < READERS; i++) {
        thrd_join(readers[i], NULL);
    }
    for (int i = 0; i < SEEN; i++) {
        release_promised(&seen[i].made);
    }
}
