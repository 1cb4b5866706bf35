/* SPDX-License-Identifier: MIT
 *
 * Futures made of several others: when_all and when_any, over promises and tasks that end in each
 * way and in each order; the winner's reference; and races between those that end.
 */
#include "check.h"
#include "promise_support.h"

enum { OF = 3, CASES = ENDINGS * ENDINGS * ENDINGS };

/* The orders in which three can end. */
static const int orders[6][OF] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

static int nth_ending(int number, int i)
{
    return number / (i == 0 ? 1 : i == 1 ? ENDINGS : ENDINGS * ENDINGS) % ENDINGS;
}

/* Each fails with a code of its own. */
static void end_nth(const struct promised *made, int number, int i)
{
    if (nth_ending(number, i) == ENDS_FAILED) {
        must_complete(made, 10 + i, NULL);
    } else {
        must_end(made, nth_ending(number, i), NULL);
    }
}

static void make_promises(struct promised made[], stook_future *futures[], int count)
{
    for (int i = 0; i < count; i++) {
        made[i] = must_promise();
        futures[i] = made[i].future;
    }
}

static void release_promises(struct promised made[], int count)
{
    for (int i = 0; i < count; i++) {
        release_promised(&made[i]);
    }
}

/* --- when_all -----------------------------------------------------------------------------------
 */

static void check_all(stook_future *all, int number)
{
    enum stook_status expected = STOOK_OK;
    int code = 0;
    void *value = &code;

    for (int i = OF - 1; i >= 0; i--) {
        const int ending = nth_ending(number, i);

        if (ending == ENDS_FAILED) {
            expected = STOOK_TASK_FAILED;
            code = 10 + i;
        } else if (ending == ENDS_CANCELLED && expected == STOOK_OK) {
            expected = STOOK_CANCELLED;
        }
    }
    cr_assert_eq(stook_future_result(all, &value), expected, "case %d", number);
    cr_assert_eq(stook_future_code(all), code);
    cr_assert_eq(value, expected == STOOK_CANCELLED ? (void *)&code : NULL);
    cr_assert_eq(stook_future_state(all), expected == STOOK_OK            ? STOOK_STATE_DONE
                                          : expected == STOOK_TASK_FAILED ? STOOK_STATE_FAILED
                                                                          : STOOK_STATE_CANCELLED);
}

Test(combine, all_matrix_of_endings_orders_and_how_many_had_ended, .timeout = 60)
{
    for (int number = 0; number < CASES * 6 * (OF + 1); number++) {
        const int *order = orders[number / CASES % 6];
        const int ended_before = number / CASES / 6;
        struct promised made[OF];
        stook_future *futures[OF];
        stook_future *all = NULL;

        make_promises(made, futures, OF);
        for (int i = 0; i < ended_before; i++) {
            end_nth(&made[order[i]], number % CASES, order[i]);
        }
        cr_assert_eq(stook_when_all(futures, OF, &all), STOOK_OK);
        for (int i = ended_before; i < OF; i++) {
            cr_assert_eq(stook_future_state(all), STOOK_STATE_PENDING);
            cr_assert_eq(stook_future_wait_until(all, 0), STOOK_TIMEOUT);
            end_nth(&made[order[i]], number % CASES, order[i]);
        }
        cr_assert(stook_future_done(all));
        release_promises(made, OF);
        check_all(all, number % CASES);
        stook_future_release(all);
    }
}

/* B12 */
Test(combine, all_of_nothing_is_done_at_once)
{
    stook_future *futures[1] = {NULL};
    stook_future *all = NULL;
    void *value = &all;

    cr_assert_eq(stook_when_all(futures, 0, &all), STOOK_OK);
    cr_assert_eq(stook_future_state(all), STOOK_STATE_DONE);
    cr_assert_eq(stook_future_result(all, &value), STOOK_OK);
    cr_assert_null(value);
    stook_future_release(all);
    cr_assert_eq(stook_when_all(NULL, 0, &all), STOOK_OK);
    cr_assert_eq(stook_future_state(all), STOOK_STATE_DONE);
    stook_future_release(all);
}

Test(combine, invalid_arguments_leave_everything_alone)
{
    struct promised made[2];
    stook_future *futures[3] = {NULL};
    stook_future *result = NULL;

    make_promises(made, futures, 2);
    cr_assert_eq(stook_when_all(futures, 3, &result), STOOK_INVALID);
    cr_assert_eq(stook_when_any(futures, 3, &result), STOOK_INVALID);
    cr_assert_eq(stook_when_all(futures, 2, NULL), STOOK_INVALID);
    cr_assert_eq(stook_when_any(futures, 2, NULL), STOOK_INVALID);
    cr_assert_eq(stook_when_any(futures, 0, &result), STOOK_INVALID);
    cr_assert_eq(stook_when_all(NULL, 1, &result), STOOK_INVALID);
    cr_assert_eq(stook_when_any(NULL, 1, &result), STOOK_INVALID);
    cr_assert_eq(stook_when_all(futures, SIZE_MAX, &result), STOOK_NOMEM);
    cr_assert_eq(stook_when_any(futures, SIZE_MAX, &result), STOOK_NOMEM);
    must_complete(&made[0], 0, NULL);
    cr_assert_eq(stook_when_all(futures, 3, &result), STOOK_INVALID);
    cr_assert_eq(stook_when_any(futures, 3, &result), STOOK_INVALID);
    cr_assert_null(result);
    release_promises(made, 2);
}

Test(combine, duplicates_count_as_often_as_they_stand_there)
{
    struct promised made[2];
    stook_future *futures[2];
    stook_future *result;

    make_promises(made, futures, 2);
    stook_future *twice[5] = {futures[0], futures[1], futures[0], futures[0], futures[1]};
    stook_future *any;
    void *value = NULL;

    cr_assert_eq(stook_when_all(twice, 5, &result), STOOK_OK);
    cr_assert_eq(stook_when_any(twice, 5, &any), STOOK_OK);
    must_complete(&made[0], 0, NULL);
    cr_assert_eq(stook_future_state(result), STOOK_STATE_PENDING);
    cr_assert_eq(stook_future_result(any, &value), STOOK_OK);
    cr_assert_eq(value, futures[0]);
    must_complete(&made[1], 4, NULL);
    cr_assert_eq(stook_future_result(result, NULL), STOOK_TASK_FAILED);
    cr_assert_eq(stook_future_code(result), 4);
    stook_future_release(value);
    stook_future_release(any);
    stook_future_release(result);
    release_promises(made, 2);
}

Test(combine, cancelling_it_leaves_the_others_alone)
{
    for (int any = 0; any < 2; any++) {
        struct promised made[OF];
        stook_future *futures[OF];
        stook_future *result;
        atomic_int calls = 0;

        make_promises(made, futures, OF);
        cr_assert_eq(any ? stook_when_any(futures, OF, &result)
                         : stook_when_all(futures, OF, &result),
                     STOOK_OK);
        cr_assert_eq(stook_future_on_done(result, count_callback, &calls), STOOK_OK);
        cr_assert_eq(stook_future_cancel(result), STOOK_CANCEL_DONE);
        cr_assert_eq(stook_future_result(result, NULL), STOOK_CANCELLED);
        for (int i = 0; i < OF; i++) {
            cr_assert_eq(stook_future_state(futures[i]), STOOK_STATE_PENDING);
            must_complete(&made[i], 0, NULL);
        }
        cr_assert_eq(stook_future_state(result), STOOK_STATE_CANCELLED);
        cr_assert_eq(atomic_load(&calls), 1);
        stook_future_release(result);
        release_promises(made, OF);
    }
}

/* --- when_any -----------------------------------------------------------------------------------
 */

static void check_any(stook_future *any, stook_future *winner, int number, int i)
{
    const int ending = nth_ending(number, i);
    int untouched;
    void *value = &untouched;

    cr_assert_eq(stook_future_state(any), ending_state[ending]);
    cr_assert_eq(stook_future_code(any), ending == ENDS_FAILED ? 10 + i : 0);
    cr_assert_eq(stook_future_result(any, &value), ending_status[ending]);
    cr_assert_eq(value, ending == ENDS_CANCELLED ? (void *)&untouched : winner);
}

/* Who has won is all that counts, also when the others end. */
Test(combine, any_matrix_of_endings_and_orders, .timeout = 60)
{
    for (int number = 0; number < CASES * 6 * 2; number++) {
        const int *order = orders[number / CASES % 6];
        const bool ended_before = number / CASES / 6;
        const int winner = order[0];
        struct promised made[OF];
        stook_future *futures[OF];
        stook_future *any = NULL;

        make_promises(made, futures, OF);
        if (ended_before) {
            end_nth(&made[winner], number % CASES, winner);
        }
        cr_assert_eq(stook_when_any(futures, OF, &any), STOOK_OK);
        if (!ended_before) {
            cr_assert_eq(stook_future_state(any), STOOK_STATE_PENDING);
            end_nth(&made[winner], number % CASES, winner);
        }
        for (int i = 1; i < OF; i++) {
            cr_assert(stook_future_done(any));
            cr_assert_eq(stook_future_state(futures[order[i]]), STOOK_STATE_PENDING);
            end_nth(&made[order[i]], number % CASES, order[i]);
        }
        check_any(any, futures[winner], number % CASES, winner);
        if (nth_ending(number % CASES, winner) != ENDS_CANCELLED) {
            stook_future_release(futures[winner]); /* the reference that was taken */
        }
        release_promises(made, OF);
        stook_future_release(any);
    }
}

Test(combine, any_of_several_that_have_ended_takes_one_of_them)
{
    struct promised made[OF];
    stook_future *futures[OF];
    stook_future *any;
    void *value = NULL;

    make_promises(made, futures, OF);
    must_complete(&made[2], 12, NULL);
    must_complete(&made[1], 11, NULL);
    cr_assert_eq(stook_when_any(futures, OF, &any), STOOK_OK);
    cr_assert_eq(stook_future_result(any, &value), STOOK_TASK_FAILED);
    cr_assert(value == futures[1] || value == futures[2]);
    cr_assert_eq(stook_future_code(value), stook_future_code(any));
    stook_future_release(value);
    stook_future_release(any);
    release_promises(made, OF);
}

static void destroy_counted(void *value)
{
    atomic_int *destroyed = value;

    atomic_fetch_add(destroyed, 1);
}

/* Taken: the winner lives until the taker lets it go, though all others have. Not taken: until the
 * future that has it as a value goes. */
Test(combine, any_holds_a_reference_to_the_winner_which_the_taker_gets)
{
    for (int bits = 0; bits < 4; bits++) {
        const bool takes = bits & 1;
        struct promised made[2];
        stook_future *futures[2];
        stook_future *any;
        atomic_int destroyed = 0;
        void *winner = NULL;
        void *again = NULL;

        make_promises(made, futures, 2);
        stook_future_set_destructor(futures[1], destroy_counted);
        cr_assert_eq(stook_when_any(futures, 2, &any), STOOK_OK);
        must_complete(&made[1], bits & 2 ? 3 : 0, &destroyed);
        release_promises(made, 2);
        cr_assert_eq(atomic_load(&destroyed), 0);
        if (takes) {
            const enum stook_status expected = bits & 2 ? STOOK_TASK_FAILED : STOOK_OK;

            cr_assert_eq(stook_future_result(any, &winner), expected);
            cr_assert_eq(stook_future_result(any, &again), expected);
            cr_assert_eq(winner, futures[1]);
            cr_assert_eq(again, winner);
        }
        stook_future_release(any);
        cr_assert_eq(atomic_load(&destroyed), !takes);
        if (takes) {
            cr_assert_eq(stook_future_code(winner), bits & 2 ? 3 : 0);
            stook_future_release(winner);
        }
        cr_assert_eq(atomic_load(&destroyed), 1);
    }
}

/* Once somebody has won, the losers are no longer held: the last reference to one ends it. */
Test(combine, any_forgets_the_losers_at_once)
{
    struct promised made[2];
    stook_future *futures[2];
    stook_future *any;
    stook_promise *loser;
    atomic_int destroyed = 0;

    make_promises(made, futures, 2);
    loser = made[1].promise;
    stook_future_set_destructor(futures[1], destroy_counted);
    cr_assert_eq(stook_when_any(futures, 2, &any), STOOK_OK);
    must_complete(&made[0], 0, NULL);
    cr_assert_eq(stook_future_state(futures[1]), STOOK_STATE_PENDING);
    stook_future_release(futures[1]);
    cr_assert_eq(stook_promise_complete(loser, 0, &destroyed), STOOK_OK);
    stook_promise_release(loser);
    cr_assert_eq(atomic_load(&destroyed), 1);
    release_promised(&made[0]);
    stook_future_release(any);
}

/* --- of tasks and of one another ----------------------------------------------------------------
 */

struct written {
    int value; /* plain: written by the task, read when the combined future has ended */
};

static int write_task(void *arg, void **ret_value)
{
    struct written *written = arg;

    (void)ret_value;
    written->value = 42;
    return 0;
}

Test(combine, all_of_tasks_of_two_executors_shows_what_they_wrote, .timeout = 60)
{
    enum { TASKS = 40 };
    stook_executor *executors[2] = {must_create(2), must_create(1)};

    for (int round = 0; round < 100; round++) {
        struct written written[TASKS] = {{0}};
        stook_future *futures[TASKS];
        stook_future *all;

        for (int i = 0; i < TASKS; i++) {
            futures[i] = must_submit(executors[i % 2], write_task, &written[i]);
        }
        cr_assert_eq(stook_when_all(futures, TASKS, &all), STOOK_OK);
        release_all(futures, TASKS);
        cr_assert_eq(stook_future_result(all, NULL), STOOK_OK);
        for (int i = 0; i < TASKS; i++) {
            cr_assert_eq(written[i].value, 42);
        }
        stook_future_release(all);
    }
    stook_executor_destroy(executors[0]);
    stook_executor_destroy(executors[1]);
}

struct in_task {
    stook_executor *executor;
    atomic_int runs;
};

/* With one worker: combined futures have no task to run in place, so the place must be lent. */
static int combine_task(void *arg, void **ret_value)
{
    struct in_task *in_task = arg;
    stook_future *futures[10];
    stook_future *all;
    stook_future *any;
    void *winner = NULL;

    (void)ret_value;
    for (int i = 0; i < 10; i++) {
        futures[i] = must_submit(in_task->executor, count_task, &in_task->runs);
    }
    MUST(stook_when_all(futures, 10, &all) == STOOK_OK);
    MUST(stook_when_any(futures, 10, &any) == STOOK_OK);
    MUST(stook_future_result(any, &winner) == STOOK_OK);
    MUST(stook_future_state(winner) == STOOK_STATE_DONE);
    MUST(stook_future_result(all, NULL) == STOOK_OK);
    MUST(atomic_load(&in_task->runs) == 10);
    stook_future_release(winner);
    stook_future_release(any);
    stook_future_release(all);
    release_all(futures, 10);
    return 0;
}

Test(combine, in_a_task_on_one_worker, .timeout = 60)
{
    struct in_task in_task = {.executor = must_create(1)};
    stook_future *future = must_submit(in_task.executor, combine_task, &in_task);

    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(in_task.executor);
}

/* all(any(a, b), any(c, all(d))), with a continuation on it */
Test(combine, of_one_another)
{
    struct promised made[4];
    stook_future *futures[4];
    stook_future *inner[3];
    stook_future *outer;
    atomic_int calls = 0;

    make_promises(made, futures, 4);
    cr_assert_eq(stook_when_any(futures, 2, &inner[0]), STOOK_OK);
    cr_assert_eq(stook_when_all(futures + 3, 1, &inner[2]), STOOK_OK);
    stook_future *pair[] = {futures[2], inner[2]};
    cr_assert_eq(stook_when_any(pair, 2, &inner[1]), STOOK_OK);
    cr_assert_eq(stook_when_all(inner, 2, &outer), STOOK_OK);
    stook_future *then = must_then(outer, STOOK_THEN_IF_DONE, NULL, count_then, &calls);
    must_complete(&made[1], 0, NULL);
    cr_assert_eq(stook_future_state(inner[0]), STOOK_STATE_DONE);
    cr_assert_eq(stook_future_state(outer), STOOK_STATE_PENDING);
    must_complete(&made[3], 0, NULL);
    cr_assert_eq(stook_future_state(inner[1]), STOOK_STATE_DONE);
    cr_assert_eq(stook_future_state(then), STOOK_STATE_DONE);
    cr_assert_eq(atomic_load(&calls), 1);
    release_all(inner, 3);
    stook_future_release(outer);
    stook_future_release(then);
    release_promises(made, 4);
}

enum { DEEP = 100000, STACK_BOUND = 64 * 1024 };

static void note_callback(stook_future *future, void *user_data)
{
    (void)future;
    stack_note(user_data);
}

/* Each made of the one before: ends, and goes, without recursion. */
Test(combine, a_chain_of_100000_needs_no_stack, .timeout = 240)
{
    for (int any = 0; any < 2; any++) {
        struct promised made = must_promise();
        struct stack_span span = {0, 0};
        stook_future *last = stook_future_retain(made.future);

        for (int i = 0; i < DEEP; i++) {
            stook_future *next;

            cr_assert_eq(any ? stook_when_any(&last, 1, &next) : stook_when_all(&last, 1, &next),
                         STOOK_OK);
            stook_future_release(last);
            last = next;
        }
        cr_assert_eq(stook_future_on_done(made.future, note_callback, &span), STOOK_OK);
        cr_assert_eq(stook_future_on_done(last, note_callback, &span), STOOK_OK);
        must_complete(&made, 0, NULL);
        cr_assert_eq(stook_future_state(last), STOOK_STATE_DONE);
        cr_assert_lt(span.high - span.low, STACK_BOUND);
        release_promised(&made);
        stook_future_release(last);
    }
}

/* --- races --------------------------------------------------------------------------------------
 */

enum { RACES = 500, RACERS = 3 };

struct race {
    struct promised made[RACES][RACERS];
    atomic_int arrived[RACES];
};

struct racer {
    struct race *race;
    int number;
    thrd_t thread;
};

static int racer_thread(void *arg)
{
    struct racer *racer = arg;

    for (int i = 0; i < RACES; i++) {
        atomic_fetch_add(&racer->race->arrived[i], 1);
        SPIN_UNTIL(atomic_load(&racer->race->arrived[i]) == RACERS);
        must_end(&racer->race->made[i][racer->number], (i + racer->number) % ENDINGS, NULL);
    }
    return 0;
}

/* Three threads end three promises at the same time. */
Test(combine, those_that_end_at_the_same_time_make_one_outcome, .timeout = 120)
{
    static struct race race;
    static stook_future *all[RACES], *any[RACES];
    static atomic_int calls[RACES];
    struct racer racers[RACERS];

    for (int i = 0; i < RACES; i++) {
        stook_future *futures[RACERS];

        make_promises(race.made[i], futures, RACERS);
        cr_assert_eq(stook_when_all(futures, RACERS, &all[i]), STOOK_OK);
        cr_assert_eq(stook_when_any(futures, RACERS, &any[i]), STOOK_OK);
        cr_assert_eq(stook_future_on_done(all[i], count_callback, &calls[i]), STOOK_OK);
        cr_assert_eq(stook_future_on_done(any[i], count_callback, &calls[i]), STOOK_OK);
    }
    for (int i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){.race = &race, .number = i};
        must_start(&racers[i].thread, racer_thread, &racers[i]);
    }
    for (int i = 0; i < RACERS; i++) {
        thrd_join(racers[i].thread, NULL);
    }
    for (int i = 0; i < RACES; i++) {
        void *winner = NULL;
        const enum stook_status status = stook_future_result(any[i], &winner);

        cr_assert_eq(stook_future_result(all[i], NULL), STOOK_TASK_FAILED);
        cr_assert_eq(stook_future_code(all[i]), ENDING_CODE);
        cr_assert_eq(winner == NULL, status == STOOK_CANCELLED);
        cr_assert_eq(winner != NULL && stook_future_state(winner) == STOOK_STATE_FAILED,
                     status == STOOK_TASK_FAILED);
        cr_assert_eq(atomic_load(&calls[i]), 2);
        stook_future_release(winner);
        stook_future_release(all[i]);
        stook_future_release(any[i]);
        release_promises(race.made[i], RACERS);
    }
}
