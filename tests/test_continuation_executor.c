/* SPDX-License-Identifier: MIT
 *
 * Continuations, cancelling and executors: cancelling the new future, waits for it in tasks, and an
 * executor that shuts down while continuations of it are outstanding.
 */
#include "check.h"
#include "promise_support.h"

Test(continuation_executor, cancelling_the_new_future_leaves_before_alone, .timeout = 60)
{
    for (int bits = 0; bits < 4; bits++) {
        stook_executor *executor = bits & 1 ? must_create(1) : NULL;
        struct source source;
        atomic_int calls = 0;
        atomic_int callbacks = 0;
        stook_future *then;

        source_begin(&source, bits & 2, ENDS_DONE, NULL);
        then = must_then(source.made.future, STOOK_THEN_ALWAYS, executor, count_then, &calls);
        cr_assert_eq(stook_future_on_done(then, count_callback, &callbacks), STOOK_OK);
        cr_assert_eq(stook_future_cancel(then), STOOK_CANCEL_DONE);
        cr_assert_eq(stook_future_state(then), STOOK_STATE_CANCELLED);
        cr_assert_eq(atomic_load(&callbacks), 1);
        cr_assert_eq(stook_future_state(source.made.future), STOOK_STATE_PENDING);
        source_end(&source);
        cr_assert_eq(stook_future_state(source.made.future), STOOK_STATE_DONE);
        source_release(&source);
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&calls), 0);
        cr_assert_eq(atomic_load(&callbacks), 1);
        cr_assert_eq(stook_future_cancel(then), STOOK_CANCEL_DONE);
        stook_future_release(then);
    }
}

struct stoppable {
    struct gate begun;
};

static int stoppable_then(stook_future *before, void *arg, void **ret_value)
{
    struct stoppable *stoppable = arg;

    (void)before;
    (void)ret_value;
    MUST(!stook_task_cancel_requested());
    gate_pass(&stoppable->begun);
    SPIN_UNTIL(stook_task_cancel_requested());
    return 5;
}

/* B71 */
Test(continuation_executor, cancelling_one_that_runs_asks_it_to_stop, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct promised made = must_promise();
    struct stoppable stoppable = {0};
    stook_future *then =
        must_then(made.future, STOOK_THEN_IF_DONE, executor, stoppable_then, &stoppable);

    must_complete(&made, 0, NULL);
    gate_await(&stoppable.begun, 1);
    gate_open(&stoppable.begun);
    cr_assert_eq(stook_future_state(then), STOOK_STATE_RUNNING);
    cr_assert_eq(stook_future_cancel(then), STOOK_CANCEL_REQUESTED);
    cr_assert_eq(stook_future_result(then, NULL), STOOK_TASK_FAILED);
    cr_assert_eq(stook_future_code(then), 5);
    stook_future_release(then);
    release_promised(&made);
    stook_executor_destroy(executor);
}

/* --- waits in tasks -----------------------------------------------------------------------------
 */

struct awaiting {
    stook_executor *executor;
    struct promised made;
    atomic_int begun;
    atomic_int calls;
};

static int awaiting_task(void *arg, void **ret_value)
{
    struct awaiting *awaiting = arg;
    stook_future *then = must_then(awaiting->made.future, STOOK_THEN_IF_DONE, awaiting->executor,
                                   count_then, &awaiting->calls);

    (void)ret_value;
    atomic_fetch_add(&awaiting->begun, 1);
    MUST(stook_future_result(then, NULL) == STOOK_OK);
    stook_future_release(then);
    return 0;
}

/* Nobody has begun the continuation, and it belongs to the waiter's executor; yet it must not be
 * run in place before `before` has ended (count_then looks). */
Test(continuation_executor, a_task_waits_for_one_whose_turn_has_not_come, .timeout = 60)
{
    struct awaiting awaiting = {.executor = must_create(1), .made = must_promise()};
    atomic_int runs = 0;
    stook_future *task = must_submit(awaiting.executor, awaiting_task, &awaiting);
    stook_future *other;

    SPIN_UNTIL(atomic_load(&awaiting.begun) == 1);
    give_a_chance();
    other = must_submit(awaiting.executor, count_task, &runs);
    cr_assert_eq(stook_future_result(other, NULL), STOOK_OK, "the only worker was not lent");
    cr_assert_eq(atomic_load(&awaiting.calls), 0);
    must_complete(&awaiting.made, 0, NULL);
    cr_assert_eq(stook_future_result(task, NULL), STOOK_OK);
    cr_assert_eq(atomic_load(&awaiting.calls), 1);
    stook_future_release(other);
    stook_future_release(task);
    release_promised(&awaiting.made);
    stook_executor_destroy(awaiting.executor);
}

/* Each level submits a child, and waits for a continuation of it on the same worker. */
struct level {
    stook_executor *executor;
    int depth;
    atomic_int ended;
};

static int count_level_then(stook_future *before, void *arg, void **ret_value)
{
    struct level *level = arg;

    (void)ret_value;
    MUST(stook_future_state(before) == STOOK_STATE_DONE);
    atomic_fetch_add(&level->ended, 1);
    return 0;
}

static int level_task(void *arg, void **ret_value)
{
    struct level *level = arg;
    stook_future *child;
    stook_future *then;

    (void)ret_value;
    if (level->depth == 0) {
        return 0;
    }
    child = must_submit(level->executor, level_task, level - 1);
    then = must_then(child, STOOK_THEN_IF_DONE, level->depth % 2 ? level->executor : NULL,
                     count_level_then, level);
    MUST(stook_future_result(then, NULL) == STOOK_OK);
    stook_future_release(child);
    stook_future_release(then);
    return 0;
}

Test(continuation_executor, tasks_wait_for_continuations_of_their_children_on_one_worker,
     .timeout = 120)
{
    enum { LEVELS = 50 };
    static struct level levels[LEVELS];
    stook_executor *executor = must_create(1);
    stook_future *future;

    for (int i = 0; i < LEVELS; i++) {
        levels[i].executor = executor;
        levels[i].depth = i;
    }
    future = must_submit(executor, level_task, &levels[LEVELS - 1]);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    for (int i = 1; i < LEVELS; i++) {
        cr_assert_eq(atomic_load(&levels[i].ended), 1);
    }
    stook_future_release(future);
    stook_executor_destroy(executor);
}

/* --- shutdown -----------------------------------------------------------------------------------
 */

static int drain_thread(void *arg)
{
    MUST(stook_executor_shutdown(arg, STOOK_DRAIN, STOOK_FOREVER) == STOOK_OK);
    return 0;
}

/* B35 */
Test(continuation_executor, DRAIN_waits_for_continuations_and_what_they_wait_for, .timeout = 60)
{
    for (int ending = 0; ending < ENDINGS; ending++) {
        stook_executor *executor = must_create(1);
        struct promised made = must_promise();
        atomic_int calls = 0;
        stook_future *if_done =
            must_then(made.future, STOOK_THEN_IF_DONE, executor, count_then, &calls);
        stook_future *always = must_then(if_done, STOOK_THEN_ALWAYS, executor, count_then, &calls);
        thrd_t thread;

        cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, 0), STOOK_TIMEOUT);
        cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN,
                                             stook_deadline_after_ns(5 * MILLISECOND)),
                     STOOK_TIMEOUT);
        cr_assert_eq(stook_future_state(if_done), STOOK_STATE_PENDING);
        must_start(&thread, drain_thread, executor);
        give_a_chance();
        must_end(&made, ending, NULL);
        thrd_join(thread, NULL);
        cr_assert_eq(stook_future_state(if_done), ending_state[ending]);
        cr_assert_eq(stook_future_state(always), STOOK_STATE_DONE);
        cr_assert_eq(atomic_load(&calls), ending == ENDS_DONE ? 2 : 1);
        stook_future_release(if_done);
        stook_future_release(always);
        release_promised(&made);
        stook_executor_destroy(executor);
    }
}

Test(continuation_executor, DRAIN_does_not_wait_for_one_that_was_cancelled, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct promised made = must_promise();
    atomic_int calls = 0;
    stook_future *then = must_then(made.future, STOOK_THEN_ALWAYS, executor, count_then, &calls);

    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, 0), STOOK_TIMEOUT);
    cr_assert_eq(stook_future_cancel(then), STOOK_CANCEL_DONE);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    stook_executor_destroy(executor);
    must_complete(&made, 0, NULL);
    cr_assert_eq(atomic_load(&calls), 0);
    stook_future_release(then);
    release_promised(&made);
}

/* B36 */
Test(continuation_executor, CANCEL_PENDING_cancels_continuations, .timeout = 60)
{
    for (int after_drain = 0; after_drain < 2; after_drain++) {
        stook_executor *executor = must_create(1);
        struct promised made = must_promise();
        atomic_int calls = 0;
        atomic_int callbacks = 0;
        stook_future *on_it =
            must_then(made.future, STOOK_THEN_ALWAYS, executor, count_then, &calls);
        stook_future *inlined = must_then(made.future, STOOK_THEN_ALWAYS, NULL, count_then, &calls);

        cr_assert_eq(stook_future_on_done(on_it, count_callback, &callbacks), STOOK_OK);
        if (after_drain) {
            cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, 0), STOOK_TIMEOUT);
        }
        cr_assert_eq(stook_executor_shutdown(executor, STOOK_CANCEL_PENDING, STOOK_FOREVER),
                     STOOK_OK);
        cr_assert_eq(stook_future_state(on_it), STOOK_STATE_CANCELLED);
        cr_assert_eq(stook_future_result(on_it, NULL), STOOK_CANCELLED);
        cr_assert_eq(stook_future_state(made.future), STOOK_STATE_PENDING);
        cr_assert_eq(stook_future_state(inlined), STOOK_STATE_PENDING);
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&callbacks), 1);
        must_complete(&made, 0, NULL);
        cr_assert_eq(stook_future_state(inlined), STOOK_STATE_DONE);
        cr_assert_eq(atomic_load(&calls), 1);
        stook_future_release(on_it);
        stook_future_release(inlined);
        release_promised(&made);
    }
}

/* B24 */
Test(continuation_executor, one_that_was_shut_down_accepts_none, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct promised made = must_promise();
    struct promised done = must_promise();
    atomic_int calls = 0;
    stook_future *future = NULL;

    must_complete(&done, 0, NULL);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(
        stook_future_then(made.future, STOOK_THEN_ALWAYS, executor, count_then, &calls, &future),
        STOOK_SHUTDOWN);
    cr_assert_eq(
        stook_future_then(done.future, STOOK_THEN_ALWAYS, executor, count_then, &calls, &future),
        STOOK_SHUTDOWN);
    cr_assert_null(future);
    must_complete(&made, 0, NULL);
    stook_executor_destroy(executor);
    release_promised(&made);
    release_promised(&done);
    cr_assert_eq(atomic_load(&calls), 0);
}

/* `before` is of one executor, the continuation of another; the first is gone when it is called. */
Test(continuation_executor, between_executors_of_which_one_ends, .timeout = 60)
{
    for (int round = 0; round < 50; round++) {
        stook_executor *first = must_create(1 + (unsigned)round % 2);
        stook_executor *second = must_create(1);
        struct gate gate = {0};
        struct gate busy = {0};
        atomic_int calls = 0;
        stook_future *before = must_submit(first, gate_task, &gate);
        stook_future *then;

        cr_assert_eq(stook_executor_submit(second, gate_task, &busy, NULL), STOOK_OK);
        gate_await(&busy, 1);
        then = must_then(before, STOOK_THEN_IF_DONE, second, count_then, &calls);
        stook_future_release(before);
        gate_open(&gate);
        stook_executor_destroy(first);
        cr_assert_eq(stook_future_state(then), STOOK_STATE_PENDING);
        gate_open(&busy);
        cr_assert_eq(stook_future_result(then, NULL), STOOK_OK);
        stook_executor_destroy(second);
        stook_future_release(then);
        cr_assert_eq(atomic_load(&calls), 1);
    }
}

/* --- races --------------------------------------------------------------------------------------
 */

enum { RACES = 400 };

struct cancel_race {
    stook_future *then[RACES];
    atomic_int arrived[RACES];
    atomic_int calls[RACES];
    enum stook_cancel_outcome outcome[RACES];
};

static int cancel_thread(void *arg)
{
    struct cancel_race *race = arg;

    for (int i = 0; i < RACES; i++) {
        atomic_fetch_add(&race->arrived[i], 1);
        SPIN_UNTIL(atomic_load(&race->arrived[i]) == 2);
        race->outcome[i] = stook_future_cancel(race->then[i]);
    }
    return 0;
}

Test(continuation_executor, cancel_against_the_end_of_before_has_one_outcome, .timeout = 120)
{
    for (int on_executor = 0; on_executor < 2; on_executor++) {
        stook_executor *executor = must_create(2);
        static struct cancel_race race;
        struct promised made[RACES];
        thrd_t thread;

        for (int i = 0; i < RACES; i++) {
            made[i] = must_promise();
            atomic_store(&race.arrived[i], 0);
            atomic_store(&race.calls[i], 0);
            race.then[i] = must_then(made[i].future, STOOK_THEN_ALWAYS,
                                     on_executor ? executor : NULL, count_then, &race.calls[i]);
        }
        must_start(&thread, cancel_thread, &race);
        for (int i = 0; i < RACES; i++) {
            SPIN_UNTIL(atomic_load(&race.arrived[i]) == 1);
            atomic_fetch_add(&race.arrived[i], 1);
            must_complete(&made[i], 0, NULL);
        }
        thrd_join(thread, NULL);
        stook_executor_destroy(executor);
        for (int i = 0; i < RACES; i++) {
            const bool cancelled = stook_future_state(race.then[i]) == STOOK_STATE_CANCELLED;

            cr_assert_eq(race.outcome[i] == STOOK_CANCEL_DONE, cancelled);
            cr_assert(cancelled || stook_future_state(race.then[i]) == STOOK_STATE_DONE);
            cr_assert_eq(atomic_load(&race.calls[i]), !cancelled);
            stook_future_release(race.then[i]);
            release_promised(&made[i]);
        }
    }
}

struct closing_race {
    stook_executor *executor;
    struct promised made[RACES];
    atomic_bool begun;
};

static int complete_all_thread(void *arg)
{
    struct closing_race *race = arg;

    for (int i = 0; i < RACES; i++) {
        if (i == RACES / 4) {
            atomic_store(&race->begun, true);
        }
        must_complete(&race->made[i], 0, NULL);
    }
    return 0;
}

Test(continuation_executor, B40_completions_while_it_shuts_down_lose_no_continuation,
     .timeout = 120)
{
    for (int round = 0; round < 20; round++) {
        static struct closing_race race;
        const bool cancels = round % 2;
        stook_future *then[RACES];
        static atomic_int calls[RACES];
        thrd_t thread;

        race.executor = must_create(1 + (unsigned)round % 3);
        atomic_store(&race.begun, false);
        for (int i = 0; i < RACES; i++) {
            race.made[i] = must_promise();
            atomic_store(&calls[i], 0);
            then[i] = must_then(race.made[i].future, STOOK_THEN_IF_DONE, race.executor, count_then,
                                &calls[i]);
        }
        must_start(&thread, complete_all_thread, &race);
        SPIN_UNTIL(atomic_load(&race.begun));
        cr_assert_eq(stook_executor_shutdown(race.executor,
                                             cancels ? STOOK_CANCEL_PENDING : STOOK_DRAIN,
                                             STOOK_FOREVER),
                     STOOK_OK);
        for (int i = 0; i < RACES; i++) {
            const enum stook_state state = stook_future_state(then[i]);

            cr_assert(state == STOOK_STATE_DONE || (cancels && state == STOOK_STATE_CANCELLED));
            cr_assert_eq(atomic_load(&calls[i]), state == STOOK_STATE_DONE);
        }
        thrd_join(thread, NULL);
        stook_executor_destroy(race.executor);
        for (int i = 0; i < RACES; i++) {
            release_promised(&race.made[i]);
        }
        release_all(then, RACES);
    }
}
