/* SPDX-License-Identifier: MIT
 *
 * Tokens: what becomes of queued, running and later tasks when one is cancelled, who is woken,
 * trees, deadlines, signal handlers, references and wrong use.
 */
#include <errno.h>
#include <pthread.h>

#include "check.h"
#include "group_support.h"

enum { LOOKS = 6 };

/* --- what a cancelled token does to its tasks ------------------------------------------------- */

Test(token, B71_running_tasks_are_asked_to_stop_and_what_they_return_counts, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    stook_token *token = must_token(executor, NULL);
    struct stoppable tasks[2] = {{.code = 0}, {.code = 9}};
    stook_future *futures[2];

    for (int i = 0; i < 2; i++) {
        futures[i] = must_submit_token(executor, token, stoppable_task, &tasks[i]);
        await_began(&tasks[i]);
    }
    give_a_chance();
    cr_assert_eq(count_in_state(futures, 2, STOOK_STATE_RUNNING), 2, "nobody has asked yet");
    cr_assert_not(stook_token_cancelled(token));
    cr_assert(stook_token_cancel(token));
    cr_assert(stook_token_cancelled(token));
    cr_assert_eq(stook_future_result(futures[0], NULL), STOOK_OK);
    cr_assert_eq(stook_future_result(futures[1], NULL), STOOK_TASK_FAILED);
    cr_assert_eq(stook_future_code(futures[1]), 9);
    cr_assert_eq(stook_future_cancel(futures[0]), STOOK_CANCEL_TOO_LATE);
    release_all(futures, 2);
    stook_token_release(token);
    stook_executor_destroy(executor);
}

Test(token, B71_cancel_of_one_running_task_answers_requested_and_leaves_the_token_alone)
{
    stook_executor *executor = must_create(2);
    stook_token *token = must_token(executor, NULL);
    struct stoppable tasks[2] = {{.code = 0}, {.code = 0}};
    stook_future *futures[2];

    for (int i = 0; i < 2; i++) {
        futures[i] = must_submit_token(executor, token, stoppable_task, &tasks[i]);
        await_began(&tasks[i]);
    }
    cr_assert_eq(stook_future_cancel(futures[0]), STOOK_CANCEL_REQUESTED);
    cr_assert_eq(stook_future_result(futures[0], NULL), STOOK_OK);
    give_a_chance();
    cr_assert_eq(stook_future_state(futures[1]), STOOK_STATE_RUNNING);
    cr_assert_not(stook_token_cancelled(token));
    cr_assert(stook_token_cancel(token));
    cr_assert_eq(stook_future_cancel(futures[1]) == STOOK_CANCEL_DONE, false);
    cr_assert_eq(stook_future_result(futures[1], NULL), STOOK_OK);
    release_all(futures, 2);
    stook_token_release(token);
    stook_executor_destroy(executor);
}

/* Looks at a future in the way number `look`, and says whether it is seen CANCELLED. */
static bool is_seen_cancelled(stook_future *future, int look)
{
    switch (look) {
    case 0:
        return stook_future_state(future) == STOOK_STATE_CANCELLED;
    case 1:
        return stook_future_done(future);
    case 2:
        return stook_future_wait_until(future, 0) == STOOK_OK;
    case 3:
        return stook_future_wait_until(future, STOOK_FOREVER) == STOOK_OK;
    case 4:
        return stook_future_result(future, NULL) == STOOK_CANCELLED;
    default:
        return stook_future_cancel(future) == STOOK_CANCEL_DONE;
    }
}

/* B14 */
Test(token, queued_tasks_are_cancelled_for_whoever_looks, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    atomic_int runs = 0;

    fill_workers(executor, &gate, 1);
    for (int round = 0; round < 300; round++) {
        stook_token *token = must_token(executor, NULL);
        stook_future *futures[LOOKS];

        for (int i = 0; i < LOOKS; i++) {
            futures[i] = must_submit_token(executor, token, count_task, &runs);
        }
        cr_assert_eq(count_in_state(futures, LOOKS, STOOK_STATE_PENDING), LOOKS);
        cr_assert(stook_token_cancel(token));
        /* each of them is the first to look now and then */
        for (int i = 0; i < LOOKS; i++) {
            const int look = (round + i) % LOOKS;

            cr_assert(is_seen_cancelled(futures[look], look), "look %d", look);
        }
        cr_assert_eq(count_in_state(futures, LOOKS, STOOK_STATE_CANCELLED), LOOKS);
        cr_assert_eq(stook_future_code(futures[0]), 0);
        release_all(futures, LOOKS);
        stook_token_release(token);
    }
    gate_open(&gate);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

/* B14 */
Test(token, queued_tasks_are_cancelled_also_for_waits_on_several, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    atomic_int runs = 0;

    fill_workers(executor, &gate, 1);
    for (int round = 0; round < 100; round++) {
        stook_token *token = must_token(executor, NULL);
        struct stook_wait_counts counts = {9, 9};
        stook_as_completed *iterator;
        stook_future *futures[3];
        bool done[3] = {false};
        size_t index = 9;

        for (int i = 0; i < 3; i++) {
            futures[i] = must_submit_token(executor, token, count_task, &runs);
        }
        cr_assert_eq(stook_as_completed_create(futures, 3, &iterator), STOOK_OK);
        cr_assert(stook_token_cancel(token));
        cr_assert_eq(stook_wait_until(futures, 3, STOOK_WAIT_ALL, 0, done, &counts), STOOK_OK);
        cr_assert(done[0] && done[1] && done[2]);
        cr_assert_eq(counts.done, 3);
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(stook_as_completed_next(iterator, STOOK_FOREVER, &index), STOOK_OK);
        }
        cr_assert_eq(stook_as_completed_next(iterator, STOOK_FOREVER, &index), STOOK_END);
        stook_as_completed_destroy(iterator);
        release_all(futures, 3);
        stook_token_release(token);
    }
    gate_open(&gate);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

/* B3, B70 */
Test(token, waiters_wake_and_callbacks_run_elsewhere_though_every_worker_is_busy, .timeout = 60)
{
    enum { FUTURES = 4 };
    stook_executor *executor = must_create(2);
    struct gate gate = {0};
    atomic_int runs = 0;

    fill_workers(executor, &gate, 2);
    for (int round = 0; round < 30; round++) {
        stook_token *token = must_token(executor, NULL);
        struct called called[FUTURES] = {{.count = 0}};
        stook_future *futures[FUTURES];
        thrd_t threads[FUTURES];

        for (int i = 0; i < FUTURES; i++) {
            futures[i] = must_submit_token(executor, token, count_task, &runs);
            cr_assert_eq(stook_future_on_done(futures[i], note_call, &called[i]), STOOK_OK);
            must_start(&threads[i], result_thread, futures[i]);
        }
        if (round % 2 == 0) {
            give_a_chance(); /* they block */
        }
        cr_assert(stook_token_cancel(token));
        for (int i = 0; i < FUTURES; i++) {
            cr_assert_eq(must_join(threads[i]), STOOK_CANCELLED);
            SPIN_UNTIL(atomic_load(&called[i].count) > 0);
            cr_assert_eq(called[i].state, STOOK_STATE_CANCELLED);
            cr_assert_not(thrd_equal(called[i].thread, thrd_current()),
                          "not in the thread that cancelled");
            cr_assert_eq(atomic_load(&called[i].count), 1);
        }
        release_all(futures, FUTURES);
        stook_token_release(token);
    }
    gate_open(&gate);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

struct patient {
    stook_future *awaited;
    struct gate gate;
    bool for_ever;
    enum stook_status status;
};

static int patient_task(void *arg, void **ret_value)
{
    struct patient *patient = arg;
    const int64_t deadline =
        patient->for_ever ? STOOK_FOREVER : stook_deadline_after_ns(1000 * SECOND);

    (void)ret_value;
    gate_pass(&patient->gate);
    patient->status = stook_future_wait_until(patient->awaited, deadline);
    return 0;
}

/* B3 */
Test(token, a_task_that_waits_for_a_queued_one_is_woken, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    stook_token *token = must_token(executor, NULL);
    struct patient patient = {.for_ever = false};
    struct gate busy = {0};
    atomic_int runs = 0;
    stook_future *waiter = must_submit(executor, patient_task, &patient);

    gate_await(&patient.gate, 1);
    cr_assert_eq(stook_executor_submit(executor, gate_task, &busy, NULL), STOOK_OK);
    patient.awaited = must_submit_token(executor, token, count_task, &runs);
    gate_open(&patient.gate);
    gate_await(&busy, 1); /* in the worker that the waiter has lent */
    cr_assert(stook_token_cancel(token));
    cr_assert_eq(stook_future_result(waiter, NULL), STOOK_OK);
    cr_assert_eq(patient.status, STOOK_OK);
    cr_assert_eq(stook_future_state(patient.awaited), STOOK_STATE_CANCELLED);
    gate_open(&busy);
    stook_future_release(patient.awaited);
    stook_future_release(waiter);
    stook_token_release(token);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

Test(token, a_waiter_does_not_run_a_cancelled_task_in_place, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    stook_token *token = must_token(executor, NULL);
    struct patient patient = {.for_ever = true};
    atomic_int runs = 0;
    stook_future *waiter = must_submit(executor, patient_task, &patient);

    gate_await(&patient.gate, 1);
    patient.awaited = must_submit_token(executor, token, count_task, &runs);
    cr_assert(stook_token_cancel(token));
    gate_open(&patient.gate);
    cr_assert_eq(stook_future_result(waiter, NULL), STOOK_OK);
    cr_assert_eq(patient.status, STOOK_OK);
    cr_assert_eq(stook_future_state(patient.awaited), STOOK_STATE_CANCELLED);
    stook_future_release(patient.awaited);
    stook_future_release(waiter);
    stook_token_release(token);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

Test(token, submit_with_a_cancelled_token_is_accepted_and_cancelled_at_once, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    stook_token *token = must_token(executor, NULL);
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    struct called called = {.count = 0};
    atomic_int runs = 0;
    stook_future *futures[10];

    options.token = token;
    cr_assert(stook_token_cancel(token));
    for (int i = 0; i < 200; i++) {
        stook_future *future = must_submit_with(executor, &options, count_task, &runs);

        cr_assert_eq(stook_future_state(future), STOOK_STATE_CANCELLED);
        stook_future_release(future);
        cr_assert_eq(stook_executor_submit_with(executor, &options, count_task, &runs, NULL),
                     STOOK_OK);
    }
    cr_assert_eq(stook_executor_submit_many(executor, &options, count_task, &runs, 10, 0, futures),
                 STOOK_OK);
    cr_assert_eq(count_in_state(futures, 10, STOOK_STATE_CANCELLED), 10);
    cr_assert_eq(stook_future_on_done(futures[0], note_call, &called), STOOK_OK);
    SPIN_UNTIL(atomic_load(&called.count) == 1);
    release_all(futures, 10);
    stook_token_release(token);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

struct parent {
    stook_executor *executor;
    struct gate gate;
    atomic_int runs;
};

static int parent_task(void *arg, void **ret_value)
{
    struct parent *parent = arg;

    (void)ret_value;
    gate_pass(&parent->gate);
    MUST(stook_task_cancel_requested());
    MUST(stook_executor_submit(parent->executor, count_task, &parent->runs, NULL) == STOOK_OK);
    return 0;
}

Test(token, what_a_task_submits_without_it_does_not_belong_to_it, .timeout = 60)
{
    struct parent parent = {.executor = must_create(2)};
    stook_token *token = must_token(parent.executor, NULL);
    stook_future *future = must_submit_token(parent.executor, token, parent_task, &parent);

    gate_await(&parent.gate, 1);
    cr_assert(stook_token_cancel(token));
    gate_open(&parent.gate);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_token_release(token);
    stook_executor_destroy(parent.executor);
    cr_assert_eq(atomic_load(&parent.runs), 1);
}

static int cancel_thread(void *arg)
{
    return stook_token_cancel(arg);
}

Test(token, a_task_runs_or_is_cancelled_and_never_both, .timeout = 120)
{
    enum { TASKS = 40 };
    stook_executor *executor = must_create(3);

    for (int round = 0; round < 300; round++) {
        stook_token *token = must_token(executor, NULL);
        atomic_int runs[TASKS] = {0};
        stook_future *futures[TASKS];
        thrd_t thread;

        must_start(&thread, cancel_thread, token);
        for (int i = 0; i < TASKS; i++) {
            futures[i] = must_submit_token(executor, token, count_task, &runs[i]);
        }
        for (int i = 0; i < TASKS; i++) {
            const enum stook_status status = stook_future_result(futures[i], NULL);

            cr_assert(status == STOOK_OK || status == STOOK_CANCELLED);
            cr_assert_eq(atomic_load(&runs[i]), status == STOOK_OK);
        }
        cr_assert_eq(must_join(thread), true);
        release_all(futures, TASKS);
        stook_token_release(token);
    }
    stook_executor_destroy(executor);
}

/* --- trees ------------------------------------------------------------------------------------ */

Test(token, B73_cancel_reaches_all_below_and_nobody_above_or_beside, .timeout = 60)
{
    enum { TOKENS = 6 };
    /* root(0) has 1 and 2; 1 has 3 and 4; 3 has 5 */
    static const int parents[TOKENS] = {-1, 0, 0, 1, 1, 3};
    static const bool is_below[TOKENS] = {false, true, false, true, true, true};
    stook_executor *executor = must_create(TOKENS);
    struct stoppable running[TOKENS] = {{.code = 0}};
    stook_future *began[TOKENS];
    stook_future *queued[TOKENS];
    stook_token *tokens[TOKENS];
    atomic_int runs = 0;

    for (int i = 0; i < TOKENS; i++) {
        tokens[i] = must_token(executor, parents[i] < 0 ? NULL : tokens[parents[i]]);
        began[i] = must_submit_token(executor, tokens[i], stoppable_task, &running[i]);
        await_began(&running[i]);
    }
    for (int i = 0; i < TOKENS; i++) {
        queued[i] = must_submit_token(executor, tokens[i], count_task, &runs);
    }
    cr_assert(stook_token_cancel(tokens[1]));
    for (int i = 0; i < TOKENS; i++) {
        cr_assert_eq(stook_token_cancelled(tokens[i]), is_below[i], "token %d", i);
        cr_assert_eq(stook_future_state(queued[i]) == STOOK_STATE_CANCELLED, is_below[i],
                     "queued %d", i);
        if (is_below[i]) {
            cr_assert_eq(stook_future_result(began[i], NULL), STOOK_OK);
        }
    }
    give_a_chance();
    cr_assert_eq(stook_future_state(began[0]), STOOK_STATE_RUNNING);
    cr_assert_eq(stook_future_state(began[2]), STOOK_STATE_RUNNING);
    /* the workers of those that stopped run what is left of the queue */
    cr_assert_eq(stook_future_result(queued[0], NULL), STOOK_OK);
    cr_assert_eq(stook_future_result(queued[2], NULL), STOOK_OK);
    cr_assert(stook_token_cancel(tokens[0]));
    cr_assert(stook_token_cancelled(tokens[2]));
    cr_assert_eq(stook_future_result(began[0], NULL), STOOK_OK);
    cr_assert_eq(stook_future_result(began[2], NULL), STOOK_OK);
    cr_assert_eq(atomic_load(&runs), 2);
    release_all(began, TOKENS);
    release_all(queued, TOKENS);
    for (int i = 0; i < TOKENS; i++) {
        stook_token_release(tokens[i]);
    }
    stook_executor_destroy(executor);
}

Test(token, B73_a_tree_may_be_deep_and_may_grow_below_a_cancelled_token, .timeout = 60)
{
    enum { DEPTH = 500 };
    stook_executor *executor = must_create(2);
    struct stoppable running = {.code = 0};
    stook_token *tokens[DEPTH];
    atomic_int runs = 0;
    stook_future *future;
    stook_token *late;

    for (int i = 0; i < DEPTH; i++) {
        tokens[i] = must_token(executor, i == 0 ? NULL : tokens[i - 1]);
    }
    future = must_submit_token(executor, tokens[DEPTH - 1], stoppable_task, &running);
    await_began(&running);
    for (int i = 1; i < DEPTH - 1; i++) {
        stook_token_release(tokens[i]); /* those below them keep them */
    }
    cr_assert(stook_token_cancel(tokens[0]));
    cr_assert(stook_token_cancelled(tokens[DEPTH - 1]));
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);

    late = must_token(executor, tokens[DEPTH - 1]);
    cr_assert(stook_token_cancelled(late));
    future = must_submit_token(executor, late, count_task, &runs);
    cr_assert_eq(stook_future_state(future), STOOK_STATE_CANCELLED);
    stook_future_release(future);
    stook_token_release(late);
    stook_token_release(tokens[0]);
    stook_token_release(tokens[DEPTH - 1]);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

/* --- references, wrong use -------------------------------------------------------------------- */

Test(token, tasks_outlive_the_callers_references_and_the_other_way_round, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_token *token = must_token(executor, NULL);
    stook_token *below = must_token(executor, token);

    cr_assert_null(stook_token_retain(NULL));
    stook_token_release(NULL);
    fill_workers(executor, &gate, 1);
    for (int i = 0; i < 20; i++) {
        stook_token *brief = must_token(executor, token);
        struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

        options.token = brief;
        cr_assert_eq(stook_executor_submit_with(executor, &options, count_task, &runs, NULL),
                     STOOK_OK);
        stook_token_release(brief);
    }
    cr_assert_eq(stook_token_retain(below), below);
    stook_token_release(below);
    gate_open(&gate);
    SPIN_UNTIL(atomic_load(&runs) == 20);
    /* all tasks have ended */
    cr_assert_not(stook_token_cancelled(below));
    cr_assert(stook_token_cancel(token));
    stook_token_release(token);
    cr_assert(stook_token_cancelled(below));
    stook_token_release(below);
    stook_executor_destroy(executor);
}

Test(token, a_token_that_only_its_queued_tasks_hold_is_still_below_its_parent, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    stook_token *root = must_token(executor, NULL);
    stook_token *middle = must_token(executor, root);
    stook_token *leaf = must_token(executor, middle);
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *future;

    fill_workers(executor, &gate, 1);
    future = must_submit_token(executor, leaf, count_task, &runs);
    stook_token_release(middle);
    stook_token_release(leaf);
    cr_assert_eq(stook_future_state(future), STOOK_STATE_PENDING);
    cr_assert(stook_token_cancel(root));
    cr_assert_eq(stook_future_state(future), STOOK_STATE_CANCELLED);
    stook_token_release(root);
    gate_open(&gate);
    stook_future_release(future);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

/* B35, B36 */
Test(token, shutdown_in_both_modes_copes_with_tasks_of_cancelled_tokens, .timeout = 60)
{
    static const enum stook_shutdown_mode modes[] = {STOOK_DRAIN, STOOK_CANCEL_PENDING};

    for (int round = 0; round < 100; round++) {
        stook_executor *executor = must_create(1);
        stook_token *token = must_token(executor, NULL);
        struct gate gate = {0};
        atomic_int runs = 0;
        stook_future *future;
        stook_token *refused = UNTOUCHED;

        fill_workers(executor, &gate, 1);
        future = must_submit_token(executor, token, count_task, &runs);
        cr_assert(stook_token_cancel(token));
        gate_open(&gate);
        cr_assert_eq(stook_executor_shutdown(executor, modes[round % 2], STOOK_FOREVER), STOOK_OK);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_CANCELLED);
        cr_assert_eq(stook_token_create(executor, NULL, STOOK_FOREVER, &refused), STOOK_SHUTDOWN);
        cr_assert_eq(refused, UNTOUCHED);
        stook_token_release(token);
        stook_future_release(future);
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&runs), 0);
    }
}

Test(token, wrong_use_is_refused_and_nothing_is_written, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    stook_executor *other = must_create(1);
    stook_token *token = must_token(executor, NULL);
    stook_token *foreign = must_token(other, NULL);
    stook_scope *scope = must_scope(executor);
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    struct stook_scope_outcome outcome;
    stook_token *refused = UNTOUCHED;
    stook_future *future = UNTOUCHED;
    atomic_int runs = 0;

    cr_assert_eq(stook_token_create(NULL, NULL, STOOK_FOREVER, &refused), STOOK_INVALID);
    cr_assert_eq(stook_token_create(executor, NULL, STOOK_FOREVER, NULL), STOOK_INVALID);
    cr_assert_eq(stook_token_create(executor, foreign, STOOK_FOREVER, &refused), STOOK_INVALID);
    cr_assert_eq(refused, UNTOUCHED);
    cr_assert_not(stook_token_cancel(NULL));
    options.token = foreign;
    cr_assert_eq(stook_executor_submit_with(executor, &options, count_task, &runs, &future),
                 STOOK_INVALID);
    cr_assert_eq(stook_executor_submit_many(executor, &options, count_task, &runs, 1, 0, &future),
                 STOOK_INVALID);
    options.token = token;
    options.scope = scope;
    cr_assert_eq(stook_executor_submit_with(executor, &options, count_task, &runs, &future),
                 STOOK_INVALID);
    cr_assert_eq(stook_executor_submit_many(executor, &options, count_task, &runs, 1, 0, &future),
                 STOOK_INVALID);
    cr_assert_eq(future, UNTOUCHED);
    cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome), STOOK_OK);
    cr_assert(outcome_is(&outcome, 0, 0, 0, 0, 0));
    stook_scope_destroy(scope);
    stook_token_release(token);
    stook_token_release(foreign);
    stook_executor_destroy(other);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}
