/* SPDX-License-Identifier: MIT
 *
 * Scopes within scopes and below tokens: what is inherited and what is not; shutdown; wrong use.
 */
#include "check.h"
#include "group_support.h"

enum { STOPPABLE = 2 };

/* A task that makes a scope of its own, or two, one in the other, with tasks that stop when they
 * are asked to. */
struct nest {
    stook_executor *executor;
    struct stoppable tasks[STOPPABLE];
    atomic_bool was_asked;
    atomic_int late_runs;
    enum stook_status status;
    struct stook_scope_outcome outcome;
};

static int nest_task(void *arg, void **ret_value)
{
    struct nest *nest = arg;
    stook_scope *scope = must_scope(nest->executor);
    stook_future *late;

    (void)ret_value;
    for (int i = 0; i < STOPPABLE; i++) {
        stook_future_release(
            must_submit_in(nest->executor, scope, stoppable_task, &nest->tasks[i]));
    }
    nest->status = stook_scope_wait_until(scope, STOOK_FOREVER, &nest->outcome);
    atomic_store(&nest->was_asked, stook_task_cancel_requested());
    late = must_submit_in(nest->executor, scope, count_task, &nest->late_runs);
    MUST(stook_future_state(late) == STOOK_STATE_CANCELLED);
    stook_future_release(late);
    stook_scope_destroy(scope);
    return 0;
}

static void assert_nest_was_cancelled(struct nest *nest)
{
    cr_assert_eq(nest->status, STOOK_OK, "they returned 0 when they were asked to stop");
    cr_assert(outcome_is(&nest->outcome, STOPPABLE, STOPPABLE, 0, 0, 0));
    cr_assert(atomic_load(&nest->was_asked));
    cr_assert_eq(atomic_load(&nest->late_runs), 0);
}

static void await_nest(struct nest *nest)
{
    for (int i = 0; i < STOPPABLE; i++) {
        await_began(&nest->tasks[i]);
    }
}

/* Another level between: its one task is a nest. */
static int deeper_task(void *arg, void **ret_value)
{
    struct nest *nest = arg;
    stook_scope *scope = must_scope(nest->executor);

    (void)ret_value;
    stook_future_release(must_submit_in(nest->executor, scope, nest_task, nest));
    MUST(stook_scope_wait_until(scope, STOOK_FOREVER, NULL) == STOOK_OK);
    stook_scope_destroy(scope);
    return 0;
}

enum cause { SCOPE_CANCEL, SIBLING_FAILS, PARENT_TOKEN, TOKEN_ABOVE_IT, CAUSES };

static void cancel_around(enum cause cause, stook_task_fn *fn)
{
    struct nest nest = {.executor = must_create(4)};
    stook_token *root = must_token(nest.executor, NULL);
    stook_token *parent = must_token(nest.executor, root);
    stook_scope *scope = must_scope_with(nest.executor, parent, 0, false);
    struct stook_scope_outcome outcome;
    enum stook_status status;
    int code = 3;

    stook_future_release(must_submit_in(nest.executor, scope, fn, &nest));
    await_nest(&nest);
    switch (cause) {
    case SCOPE_CANCEL:
        cr_assert(stook_scope_cancel(scope));
        break;
    case SIBLING_FAILS:
        stook_future_release(must_submit_in(nest.executor, scope, code_task, &code));
        break;
    case PARENT_TOKEN:
        cr_assert(stook_token_cancel(parent));
        break;
    default:
        cr_assert(stook_token_cancel(root));
    }
    status = stook_scope_wait_until(scope, STOOK_FOREVER, &outcome);
    if (cause == SIBLING_FAILS) {
        cr_assert_eq(status, STOOK_TASK_FAILED);
        cr_assert(outcome_is(&outcome, 2, 1, 1, 0, 3));
    } else {
        cr_assert_eq(status, STOOK_OK);
        cr_assert(outcome_is(&outcome, 1, 1, 0, 0, 0));
    }
    cr_assert_eq(stook_token_cancelled(parent), cause == PARENT_TOKEN || cause == TOKEN_ABOVE_IT);
    assert_nest_was_cancelled(&nest);
    stook_scope_destroy(scope);
    stook_token_release(parent);
    stook_token_release(root);
    stook_executor_destroy(nest.executor);
}

Test(scope_nested, B73_what_cancels_the_outer_scope_cancels_the_inner_one, .timeout = 120)
{
    for (int cause = 0; cause < CAUSES; cause++) {
        cancel_around((enum cause)cause, nest_task);
        cancel_around((enum cause)cause, deeper_task);
    }
}

Test(scope_nested, B73_a_scope_made_in_a_task_with_a_token_is_below_the_token, .timeout = 60)
{
    struct nest nest = {.executor = must_create(3)};
    stook_token *token = must_token(nest.executor, NULL);
    stook_future *future = must_submit_token(nest.executor, token, nest_task, &nest);

    await_nest(&nest);
    cr_assert(stook_token_cancel(token));
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    assert_nest_was_cancelled(&nest);
    stook_future_release(future);
    stook_token_release(token);
    stook_executor_destroy(nest.executor);
}

struct abroad {
    stook_executor *other;
    stook_scope *scope;
    struct gate gate;
};

static int abroad_task(void *arg, void **ret_value)
{
    struct abroad *abroad = arg;

    (void)ret_value;
    abroad->scope = must_scope(abroad->other);
    gate_pass(&abroad->gate);
    return 0;
}

Test(scope_nested, B73_a_scope_made_in_a_task_for_another_executor_is_below_nothing, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct abroad abroad = {.other = must_create(1)};
    stook_token *token = must_token(executor, NULL);
    stook_future *future = must_submit_token(executor, token, abroad_task, &abroad);
    atomic_int runs = 0;

    gate_await(&abroad.gate, 1);
    cr_assert(stook_token_cancel(token));
    stook_future_release(must_submit_in(abroad.other, abroad.scope, count_task, &runs));
    cr_assert_eq(stook_scope_wait_until(abroad.scope, STOOK_FOREVER, NULL), STOOK_OK);
    cr_assert_eq(atomic_load(&runs), 1);
    gate_open(&abroad.gate);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_token_release(token);
    stook_scope_destroy(abroad.scope);
    stook_executor_destroy(executor);
    stook_executor_destroy(abroad.other);
}

struct inner_end {
    stook_executor *executor;
    bool fails;
    enum stook_status status;
    bool was_asked;
};

/* The inner scope is cancelled or fails; the task itself does well. */
static int inner_end_task(void *arg, void **ret_value)
{
    struct inner_end *end = arg;
    stook_scope *scope = must_scope(end->executor);
    atomic_int runs = 0;
    int code = 1;

    (void)ret_value;
    if (end->fails) {
        stook_future_release(must_submit_in(end->executor, scope, code_task, &code));
    } else {
        MUST(stook_scope_cancel(scope));
        stook_future_release(must_submit_in(end->executor, scope, count_task, &runs));
    }
    end->status = stook_scope_wait_until(scope, STOOK_FOREVER, NULL);
    end->was_asked = stook_task_cancel_requested();
    stook_scope_destroy(scope);
    MUST(atomic_load(&runs) == 0);
    return 0;
}

Test(scope_nested, B73_the_outer_scope_does_not_suffer_from_the_inner_one, .timeout = 60)
{
    stook_executor *executor = must_create(2);

    for (int fails = 0; fails < 2; fails++) {
        struct inner_end end = {.executor = executor, .fails = fails};
        stook_scope *scope = must_scope(executor);
        struct stook_scope_outcome outcome;
        atomic_int runs = 0;

        stook_future_release(must_submit_in(executor, scope, inner_end_task, &end));
        cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, NULL), STOOK_OK);
        stook_future_release(must_submit_in(executor, scope, count_task, &runs));
        cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome), STOOK_OK);
        cr_assert(outcome_is(&outcome, 2, 2, 0, 0, 0));
        cr_assert_eq(end.status, fails ? STOOK_TASK_FAILED : STOOK_CANCELLED);
        cr_assert_not(end.was_asked);
        cr_assert(stook_scope_cancel(scope), "nobody has before");
        stook_scope_destroy(scope);
    }
    stook_executor_destroy(executor);
}

/* B73 */
Test(scope_nested, a_parent_token_cancels_and_its_deadline_too, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    const int64_t deadline = stook_deadline_after_ns(20 * MILLISECOND);
    stook_token *token = must_token_until(executor, NULL, deadline);
    stook_scope *scope = must_scope_with(executor, token, 0, false);
    struct stook_scope_outcome outcome;
    struct gate gate = {0};
    atomic_int runs = 0;

    stook_token_release(token); /* the scope has a reference */
    fill_workers(executor, &gate, 2);
    must_submit_many_in(executor, scope, count_task, &runs, 5, NULL);
    cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome), STOOK_CANCELLED);
    cr_assert_geq(stook_now_ns(), deadline);
    cr_assert(outcome_is(&outcome, 5, 0, 0, 5, 0));
    gate_open(&gate);
    stook_scope_destroy(scope);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

/* --- waiting in a task ------------------------------------------------------------------------ */

struct lender {
    stook_scope *scope;
    int64_t deadline_ns;
    atomic_bool began;
    enum stook_status status;
};

static int lending_task(void *arg, void **ret_value)
{
    struct lender *lender = arg;

    (void)ret_value;
    atomic_store(&lender->began, true);
    lender->status = stook_scope_wait_until(lender->scope, lender->deadline_ns, NULL);
    return 0;
}

/* What it waits for is begun, or may not be run in place because there is a deadline: others need
 * its worker. */
Test(scope_nested, a_task_that_waits_for_a_scope_lends_its_worker, .timeout = 60)
{
    for (int for_ever = 0; for_ever < 2; for_ever++) {
        stook_executor *executor = must_create(2);
        struct lender lender = {.status = STOOK_INVALID};
        struct gate gate = {0};
        atomic_int runs = 0;
        stook_future *waiter;
        stook_future *other;

        lender.deadline_ns = for_ever ? STOOK_FOREVER : stook_deadline_after_ns(1000 * SECOND);
        lender.scope = must_scope(executor);
        stook_future_release(must_submit_in(executor, lender.scope, gate_task, &gate));
        gate_await(&gate, 1);
        waiter = must_submit(executor, lending_task, &lender);
        SPIN_UNTIL(atomic_load(&lender.began));
        other = must_submit(executor, count_task, &runs);
        cr_assert_eq(stook_future_result(other, NULL), STOOK_OK);
        must_submit_many_in(executor, lender.scope, count_task, &runs, 3, NULL);
        SPIN_UNTIL(atomic_load(&runs) == 4);
        cr_assert_eq(stook_future_state(waiter), STOOK_STATE_RUNNING);
        gate_open(&gate);
        cr_assert_eq(stook_future_result(waiter, NULL), STOOK_OK);
        cr_assert_eq(lender.status, STOOK_OK);
        stook_future_release(other);
        stook_future_release(waiter);
        stook_scope_destroy(lender.scope);
        stook_executor_destroy(executor);
    }
}

/* --- shutdown, wrong use ---------------------------------------------------------------------- */

Test(scope_nested, B36_shutdown_accounts_for_all_tasks_in_both_modes, .timeout = 60)
{
    enum { QUEUED = 10 };
    static const enum stook_shutdown_mode modes[] = {STOOK_DRAIN, STOOK_CANCEL_PENDING};

    for (int i = 0; i < 4; i++) {
        const bool drains = modes[i % 2] == STOOK_DRAIN;
        const size_t limit = i < 2 ? 0 : 1; /* with 1 they are held back, not queued */
        stook_executor *executor = must_create(1);
        stook_scope *scope = must_scope_with(executor, NULL, limit, false);
        struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
        struct stook_scope_outcome outcome;
        struct gate gate = {0};
        atomic_int runs = 0;
        stook_future *queued[QUEUED];

        options.scope = scope;
        stook_future_release(must_submit_in(executor, scope, gate_task, &gate));
        gate_await(&gate, 1);
        must_submit_many_in(executor, scope, count_task, &runs, QUEUED, queued);
        cr_assert_eq(stook_executor_shutdown(executor, modes[i % 2], 0), STOOK_TIMEOUT);
        cr_assert_eq(count_in_state(queued, QUEUED, STOOK_STATE_CANCELLED), drains ? 0 : QUEUED);
        cr_assert_eq(stook_executor_submit_with(executor, &options, count_task, &runs, NULL),
                     STOOK_SHUTDOWN);
        gate_open(&gate);
        cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome),
                     drains ? STOOK_OK : STOOK_CANCELLED);
        cr_assert(
            outcome_is(&outcome, QUEUED + 1, drains ? QUEUED + 1 : 1, 0, drains ? 0 : QUEUED, 0));
        cr_assert_eq(stook_executor_shutdown(executor, modes[i % 2], STOOK_FOREVER), STOOK_OK);
        cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, NULL),
                     drains ? STOOK_OK : STOOK_CANCELLED);
        stook_scope_destroy(scope);
        release_all(queued, QUEUED);
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&runs), drains ? QUEUED : 0);
    }
}

Test(scope_nested, wrong_use_is_refused_and_nothing_is_written, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    stook_executor *other = must_create(1);
    stook_token *foreign_token = must_token(other, NULL);
    stook_scope *foreign = must_scope(other);
    struct stook_scope_options options = STOOK_SCOPE_OPTIONS_INIT;
    struct stook_submit_options submit = STOOK_SUBMIT_OPTIONS_INIT;
    struct stook_scope_outcome outcome = {9, 9, 9, 9, 9};
    stook_future *future = UNTOUCHED;
    stook_scope *scope = UNTOUCHED;
    atomic_int runs = 0;

    cr_assert_eq(stook_scope_create(NULL, &options, &scope), STOOK_INVALID);
    cr_assert_eq(stook_scope_create(executor, &options, NULL), STOOK_INVALID);
    options.parent = foreign_token;
    cr_assert_eq(stook_scope_create(executor, &options, &scope), STOOK_INVALID);
    options.parent = NULL;
    options.struct_size = 0;
    cr_assert_eq(stook_scope_create(executor, &options, &scope), STOOK_INVALID);
    options.struct_size = sizeof options + 1000;
    cr_assert_eq(stook_scope_create(executor, &options, &scope), STOOK_INVALID);
    cr_assert_eq(scope, UNTOUCHED);
    cr_assert_eq(stook_scope_wait_until(NULL, STOOK_FOREVER, &outcome), STOOK_INVALID);
    cr_assert(outcome_is(&outcome, 9, 9, 9, 9, 9));
    submit.scope = foreign;
    cr_assert_eq(stook_executor_submit_with(executor, &submit, count_task, &runs, &future),
                 STOOK_INVALID);
    cr_assert_eq(stook_executor_submit_many(executor, &submit, count_task, &runs, 1, 0, &future),
                 STOOK_INVALID);
    cr_assert_eq(future, UNTOUCHED);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(stook_scope_create(executor, NULL, &scope), STOOK_SHUTDOWN);
    cr_assert_eq(scope, UNTOUCHED);
    stook_scope_destroy(foreign);
    stook_token_release(foreign_token);
    stook_executor_destroy(other);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}
