/* SPDX-License-Identifier: MIT
 *
 * Tokens, scopes and delayed tasks when an allocation or a thread fails: a status and nothing left
 * behind, for the 1st, 2nd, 3rd, ... that does. Cancelling, waiting and letting go need no memory.
 */
#include "check.h"
#include "failing.h"
#include "group_support.h"

/* PASSES: more than the calls that can fail in one try. */
enum { TASKS = 20, PASSES = 100 };

/* One try of something with the next failure on its way; true: it succeeded. On failure it has
 * checked that nothing was written. */
typedef bool try_fn(stook_executor *executor, enum stook_status *ret_status);

static bool try_token(stook_executor *executor, enum stook_status *ret_status)
{
    stook_token *token = UNTOUCHED;

    *ret_status = stook_token_create(executor, NULL, stook_deadline_after_ns(SECOND), &token);
    fail_none();
    if (*ret_status != STOOK_OK) {
        cr_assert_eq(token, UNTOUCHED);
        return false;
    }
    cr_assert(stook_token_cancel(token));
    stook_token_release(token);
    return true;
}

static bool try_child_token(stook_executor *executor, enum stook_status *ret_status)
{
    const long number = atomic_load(&calls_left);
    stook_token *token = UNTOUCHED;
    stook_token *parent;

    fail_none();
    parent = must_token(executor, NULL);
    fail_call(number);
    *ret_status = stook_token_create(executor, parent, STOOK_FOREVER, &token);
    fail_none();
    stook_token_release(parent);
    cr_assert_eq(token == UNTOUCHED, *ret_status != STOOK_OK);
    if (*ret_status == STOOK_OK) {
        stook_token_release(token);
    }
    return *ret_status == STOOK_OK;
}

static bool try_scope(stook_executor *executor, enum stook_status *ret_status)
{
    struct stook_scope_options options = STOOK_SCOPE_OPTIONS_INIT;
    stook_scope *scope = UNTOUCHED;

    options.limit = 1;
    *ret_status = stook_scope_create(executor, &options, &scope);
    fail_none();
    cr_assert_eq(scope == UNTOUCHED, *ret_status != STOOK_OK);
    if (*ret_status == STOOK_OK) {
        stook_scope_destroy(scope);
    }
    return *ret_status == STOOK_OK;
}

static bool try_delayed(stook_executor *executor, enum stook_status *ret_status)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    stook_future *future = UNTOUCHED;
    atomic_int runs = 0;

    options.start_ns = stook_deadline_after_ns(1000 * SECOND);
    *ret_status = stook_executor_submit_with(executor, &options, count_task, &runs, &future);
    fail_none();
    if (*ret_status != STOOK_OK) {
        cr_assert_eq(future, UNTOUCHED);
        return false;
    }
    cr_assert_eq(stook_future_cancel(future), STOOK_CANCEL_DONE);
    stook_future_release(future);
    return true;
}

static bool try_repeated(stook_executor *executor, enum stook_status *ret_status)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    stook_future *future = UNTOUCHED;
    atomic_int runs = 0;

    options.period_ns = MILLISECOND;
    *ret_status = stook_executor_submit_with(executor, &options, count_task, &runs, &future);
    fail_none();
    if (*ret_status != STOOK_OK) {
        cr_assert_eq(future, UNTOUCHED);
        return false;
    }
    SPIN_UNTIL(atomic_load(&runs) > 2 || stook_future_done(future));
    (void)stook_future_cancel(future);
    if (stook_future_result(future, NULL) == STOOK_TASK_FAILED) { /* the record of a call failed */
        cr_assert_eq(stook_future_code(future), STOOK_NOMEM);
    } else {
        cr_assert_eq(stook_future_state(future), STOOK_STATE_CANCELLED);
    }
    stook_future_release(future);
    return true;
}

/* A bulk, in a scope of its own: all or none are counted. */
static bool try_bulk(stook_executor *executor, enum stook_status *ret_status, size_t limit,
                     int64_t after_ns)
{
    const long number = atomic_load(&calls_left);
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    stook_future *futures[TASKS] = {NULL};
    struct stook_scope_outcome outcome;
    atomic_int runs = 0;

    fail_none();
    options.scope = must_scope_with(executor, NULL, limit, false);
    options.start_ns = after_ns > 0 ? stook_deadline_after_ns(after_ns) : 0;
    fail_call(number);
    *ret_status =
        stook_executor_submit_many(executor, &options, count_task, &runs, TASKS, 0, futures);
    fail_none();
    if (*ret_status == STOOK_OK) {
        release_all(futures, TASKS);
        cr_assert_eq(stook_scope_wait_until(options.scope, STOOK_FOREVER, &outcome), STOOK_OK);
        cr_assert(outcome_is(&outcome, TASKS, TASKS, 0, 0, 0));
    } else {
        cr_assert_null(futures[0]);
        cr_assert_eq(stook_scope_wait_until(options.scope, 0, &outcome), STOOK_OK);
        cr_assert(outcome_is(&outcome, 0, 0, 0, 0, 0));
    }
    stook_scope_destroy(options.scope);
    cr_assert_eq(atomic_load(&runs), *ret_status == STOOK_OK ? TASKS : 0);
    return *ret_status == STOOK_OK;
}

static bool try_bulk_in_scope(stook_executor *executor, enum stook_status *ret_status)
{
    return try_bulk(executor, ret_status, 0, 0);
}

static bool try_bulk_in_strand(stook_executor *executor, enum stook_status *ret_status)
{
    return try_bulk(executor, ret_status, 1, 0);
}

static bool try_delayed_bulk(stook_executor *executor, enum stook_status *ret_status)
{
    return try_bulk(executor, ret_status, 2, MILLISECOND);
}

/* On a fresh executor each time, so that what is started at the first need fails too. */
static void fail_each(try_fn *try)
{
    bool was_whole = false;

    for (long number = 0; number < PASSES; number++) {
        const long blocks_before = atomic_load(&blocks);
        stook_executor *executor = must_create(2);
        enum stook_status status = STOOK_INVALID;

        fail_call(number);
        was_whole = try(executor, &status);
        cr_assert(was_whole || status == STOOK_NOMEM || status == STOOK_THREAD, "%s",
                  stook_status_name(status));
        cr_assert(number > 0 || !was_whole, "the first call that can fail did");
        /* without a failure: nothing is broken */
        cr_assert(try(executor, &status), "after failure %ld: %s", number,
                  stook_status_name(status));
        /* on an executor that has been used */
        fail_call(number);
        cr_assert(try(executor, &status) || status == STOOK_NOMEM, "%s", stook_status_name(status));
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&blocks), blocks_before, "failure %ld leaks", number);
    }
    cr_assert(was_whole, "more passes are needed");
}

Test(fail_scope, B31_token_create_answers, .timeout = 120)
{
    fail_each(try_token);
    fail_each(try_child_token);
}

Test(fail_scope, B31_scope_create_answers, .timeout = 120)
{
    fail_each(try_scope);
}

Test(fail_scope, B31_submit_of_delayed_and_repeated_tasks_answers, .timeout = 120)
{
    fail_each(try_delayed);
    fail_each(try_repeated);
}

Test(fail_scope, B31_submit_in_a_scope_is_all_or_none, .timeout = 120)
{
    fail_each(try_bulk_in_scope);
    fail_each(try_bulk_in_strand);
    fail_each(try_delayed_bulk);
}

/* B31. What was accepted ends, whatever the memory. */
Test(fail_scope, cancel_wait_and_release_need_no_memory, .timeout = 120)
{
    for (int round = 0; round < 20; round++) {
        stook_executor *executor = must_create(2);
        stook_token *root = must_token(executor, NULL);
        stook_token *token = must_token(executor, root);
        stook_scope *scope = must_scope_with(executor, NULL, (size_t)round % 3, false);
        struct stook_scope_outcome outcome;
        struct called called = {.count = 0};
        struct gate gate = {0};
        atomic_int runs = 0;
        stook_future *futures[4];

        fill_workers(executor, &gate, 2);
        futures[0] = must_submit_token(executor, token, count_task, &runs);
        futures[1] = must_submit_in(executor, scope, count_task, &runs);
        futures[2] =
            must_submit_at(executor, stook_deadline_after_ns(1000 * SECOND), count_task, &runs);
        futures[3] =
            must_submit_at(executor, stook_deadline_after_ns(MILLISECOND), count_task, &runs);
        cr_assert_eq(stook_future_on_done(futures[0], note_call, &called), STOOK_OK);
        atomic_store(&all_fail, true);
        cr_assert(stook_token_cancel(root));
        cr_assert_eq(stook_future_result(futures[0], NULL), STOOK_CANCELLED);
        SPIN_UNTIL(atomic_load(&called.count) == 1);
        cr_assert(stook_scope_cancel(scope));
        cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome), STOOK_CANCELLED);
        cr_assert_eq(stook_future_result(futures[1], NULL), STOOK_CANCELLED);
        cr_assert_eq(stook_future_cancel(futures[2]), STOOK_CANCEL_DONE);
        gate_open(&gate);
        cr_assert_eq(stook_future_result(futures[3], NULL), STOOK_OK);
        cr_assert_eq(atomic_load(&runs), 1);
        stook_scope_destroy(scope);
        stook_token_release(token);
        stook_token_release(root);
        release_all(futures, 4);
        cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
        stook_executor_destroy(executor);
        atomic_store(&all_fail, false);
    }
}

Test(fail_scope, B31_a_repeated_task_whose_call_finds_no_memory_fails, .timeout = 120)
{
    stook_executor *executor = must_create(1);
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    atomic_int runs = 0;

    options.period_ns = MILLISECOND;
    stook_future *future = must_submit_with(executor, &options, count_task, &runs);
    SPIN_UNTIL(atomic_load(&runs) > 0);
    atomic_store(&all_fail, true);
    SPIN_UNTIL(stook_future_done(future));
    atomic_store(&all_fail, false);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_TASK_FAILED);
    cr_assert_eq(stook_future_code(future), STOOK_NOMEM);
    stook_future_release(future);
    stook_executor_destroy(executor);
}

/* B31. Single submits of which some fail. */
Test(fail_scope, outcomes_count_what_was_accepted, .timeout = 120)
{
    stook_executor *executor = must_create(2);

    for (long number = 0; number < 60; number++) {
        stook_scope *scope = must_scope_with(executor, NULL, 1, true);
        struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
        struct stook_scope_outcome outcome;
        atomic_int runs = 0;
        size_t accepted = 0;

        options.scope = scope;
        for (int i = 0; i < TASKS; i++) {
            fail_call((number + i) % 5);
            accepted +=
                stook_executor_submit_with(executor, &options, count_task, &runs, NULL) == STOOK_OK;
            fail_none();
        }
        cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome), STOOK_OK);
        cr_assert(outcome_is(&outcome, accepted, accepted, 0, 0, 0));
        cr_assert_eq(atomic_load(&runs), (int)accepted);
        stook_scope_destroy(scope);
    }
    stook_executor_destroy(executor);
}
