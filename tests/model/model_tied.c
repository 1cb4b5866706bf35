/* SPDX-License-Identifier: MIT
 *
 * Tasks that are tied to something: a token, a scope, turns in a strand, a future before them, a
 * time. Whatever cancels or ends first: each task runs once or is cancelled, is told so, and is
 * accounted for; what ties it is freed once, after its last use.
 */
#include <stook/continuation.h>
#include <stook/scope.h>
#include <stook/token.h>
#include "platform.h"
#include "pool_support.h"

static stook_token *token;
static stook_scope *scope;
static stook_future *future;
static bool was_first[2]; /* to cancel */

static stook_future *submit_tied(stook_token *to, stook_scope *in, int64_t start_ns, int *count)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    stook_future *made;

    options.token = to;
    options.scope = in;
    options.start_ns = start_ns;
    MODEL_CHECK(stook_executor_submit_with(executor, &options, work, count, &made) == STOOK_OK);
    return made;
}

/* Waits, and gives the reference up. */
static bool is_done_at_last(stook_future *tied)
{
    MODEL_CHECK(stook_future_wait_until(tied, STOOK_FOREVER) == STOOK_OK);
    enum stook_state state = stook_future_state(tied);
    MODEL_CHECK(state == STOOK_STATE_DONE || state == STOOK_STATE_CANCELLED);
    stook_future_release(tied);
    return state == STOOK_STATE_DONE;
}

/* --- tokens -------------------------------------------------------------------------------------
 */

static void cancel_token(void *arg)
{
    *(bool *)arg = stook_token_cancel(token);
}

static void run_token(void)
{
    create(1);
    MODEL_CHECK(stook_token_create(executor, NULL, STOOK_FOREVER, &token) == STOOK_OK);
    model_start(cancel_token, &was_first[0]);
    future = submit_tied(token, NULL, 0, &ran[0]);
    bool is_done = is_done_at_last(future);
    model_join();
    MODEL_CHECK(was_first[0] && stook_token_cancelled(token));
    stook_token_release(token);
    stook_executor_destroy(executor);
    MODEL_CHECK(ran[0] == is_done);
}

/* Whoever looks at a task of a cancelled token cancels it, or finds it done, and all that it did. */
static void run_poll(void)
{
    create(1);
    MODEL_CHECK(stook_token_create(executor, NULL, STOOK_FOREVER, &token) == STOOK_OK);
    future = submit_tied(token, NULL, 0, &ran[0]);
    model_yield();
    model_start(cancel_token, &was_first[0]);
    model_yield();
    MODEL_CHECK(stook_future_state(future) != STOOK_STATE_DONE || ran[0] == 1);
    is_done_at_last(future);
    model_join();
    stook_token_release(token);
    stook_executor_destroy(executor);
}

static void run_cancellers(void)
{
    create(1);
    MODEL_CHECK(stook_token_create(executor, NULL, STOOK_FOREVER, &token) == STOOK_OK);
    model_start(cancel_token, &was_first[0]);
    cancel_token(&was_first[1]);
    MODEL_CHECK(stook_token_cancelled(token));
    model_join();
    MODEL_CHECK(was_first[0] != was_first[1]);
    stook_token_release(token);
    stook_executor_destroy(executor);
}

static int told; /* by the canceller; racy, unless who sees the token cancelled comes after it */

static void tell_and_cancel(void *arg)
{
    told = 7;
    cancel_token(arg);
}

static void run_flag(void)
{
    create(1);
    told = 0;
    MODEL_CHECK(stook_token_create(executor, NULL, STOOK_FOREVER, &token) == STOOK_OK);
    model_start(tell_and_cancel, &was_first[0]);
    MODEL_CHECK(!stook_token_cancelled(token) || told == 7);
    model_join();
    stook_token_release(token);
    stook_executor_destroy(executor);
}

static void release_token(void *arg)
{
    stook_token_release(arg);
}

/* A parent is given up while a child is made below it, and cancelled, and given up. */
static void run_child(void)
{
    stook_token *child;

    create(1);
    MODEL_CHECK(stook_token_create(executor, NULL, STOOK_FOREVER, &token) == STOOK_OK);
    model_start(release_token, stook_token_retain(token));
    MODEL_CHECK(stook_token_create(executor, token, STOOK_FOREVER, &child) == STOOK_OK);
    model_start(cancel_token, &was_first[0]);
    stook_token_release(child);
    model_join();
    MODEL_CHECK(was_first[0]);
    stook_token_release(token);
    stook_executor_destroy(executor);
}

/* --- scopes -------------------------------------------------------------------------------------
 */

static void create_scope(size_t limit)
{
    struct stook_scope_options options = STOOK_SCOPE_OPTIONS_INIT;

    options.limit = limit;
    MODEL_CHECK(stook_scope_create(executor, &options, &scope) == STOOK_OK);
}

static void submit_in_scope(void *arg)
{
    stook_future_release(submit_tied(NULL, scope, 0, arg));
}

static void run_scope(void)
{
    struct stook_scope_outcome outcome;

    create(1);
    create_scope(0);
    model_start(submit_in_scope, &ran[0]);
    submit_in_scope(&ran[1]);
    model_join();
    MODEL_CHECK(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome) == STOOK_OK);
    MODEL_CHECK(outcome.submitted == 2 && outcome.done == 2 && ran[0] == 1 && ran[1] == 1);
    stook_scope_destroy(scope);
    stook_executor_destroy(executor);
}

static void cancel_scope(void *arg)
{
    *(bool *)arg = stook_scope_cancel(scope);
}

static void run_scope_cancel(void)
{
    struct stook_scope_outcome outcome;

    create(1);
    create_scope(0);
    submit_in_scope(&ran[0]);
    model_start(cancel_scope, &was_first[0]);
    enum stook_status status = stook_scope_wait_until(scope, STOOK_FOREVER, &outcome);
    MODEL_CHECK(status == STOOK_OK || status == STOOK_CANCELLED);
    MODEL_CHECK(outcome.done + outcome.cancelled == 1 && outcome.done == (size_t)ran[0]);
    model_join();
    stook_scope_destroy(scope);
    stook_executor_destroy(executor);
}

/* A task in line behind another, which waits for its end: nobody but the timer thread cancels it,
 * since whoever cancels the token may be a signal handler. */
static struct stook__event has_ended;

static int await_end(void *arg, void **ret_value)
{
    stook__event_wait_until(&has_ended, STOOK_FOREVER);
    return work(arg, ret_value);
}

static void run_told(void)
{
    struct stook_scope_options options = STOOK_SCOPE_OPTIONS_INIT;
    struct stook_submit_options of_first = STOOK_SUBMIT_OPTIONS_INIT;
    stook_token *other;

    create(1);
    MODEL_CHECK(stook__event_init(&has_ended));
    MODEL_CHECK(stook_token_create(executor, NULL, STOOK_FOREVER, &token) == STOOK_OK);
    options.limit = 1;
    options.parent = token;
    MODEL_CHECK(stook_scope_create(executor, &options, &scope) == STOOK_OK);
    of_first.scope = scope;
    MODEL_CHECK(stook_executor_submit_with(executor, &of_first, await_end, &ran[0], NULL) ==
                STOOK_OK);
    future = submit_tied(NULL, scope, 0, &ran[1]);
    model_start(cancel_token, &was_first[0]);
    /* rings, too, perhaps just when the timer thread has been told, but not rung for */
    MODEL_CHECK(stook_token_create(executor, NULL, INT64_C(5000000000), &other) == STOOK_OK);
    MODEL_CHECK(!is_done_at_last(future));
    stook__event_set(&has_ended);
    model_join();
    model_end();
}

static int turns; /* racy, unless one task comes after the other */

static int take_turn(void *arg, void **ret_value)
{
    turns++;
    return work(arg, ret_value);
}

static void submit_turn(void *arg)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

    options.scope = scope;
    MODEL_CHECK(stook_executor_submit_with(executor, &options, take_turn, arg, NULL) == STOOK_OK);
}

static void run_strand(void)
{
    turns = 0;
    create(1);
    create_scope(1);
    model_start(submit_turn, &ran[0]);
    submit_turn(&ran[1]);
    model_join();
    stook_scope_destroy(scope);
    MODEL_CHECK(turns == 2 && ran[0] == 1 && ran[1] == 1);
    stook_executor_destroy(executor);
}

/* --- a future before them -----------------------------------------------------------------------
 */

static int look(stook_future *before, void *arg, void **ret_value)
{
    MODEL_CHECK(stook_future_state(before) == STOOK_STATE_DONE);
    return work(arg, ret_value);
}

static void run_then(void)
{
    stook_future *after;

    create(1);
    MODEL_CHECK(stook_executor_submit(executor, work, &ran[0], &future) == STOOK_OK);
    MODEL_CHECK(stook_future_then(future, STOOK_THEN_IF_DONE, executor, look, &ran[1], &after) ==
                STOOK_OK);
    MODEL_CHECK(is_done_at_last(after) && ran[0] == 1 && ran[1] == 1);
    stook_future_release(future);
    stook_executor_destroy(executor);
}

static void shut_down(void *arg)
{
    (void)arg;
    MODEL_CHECK(stook_executor_shutdown(executor, STOOK_CANCEL_PENDING, STOOK_FOREVER) == STOOK_OK);
}

/* Made while all that is pending is cancelled. */
static void run_then_shutdown(void)
{
    stook_promise *promise;
    stook_future *after;
    enum stook_status status;

    create(1);
    MODEL_CHECK(stook_promise_create(NULL, &promise, &future) == STOOK_OK);
    model_start(shut_down, NULL);
    status = stook_future_then(future, STOOK_THEN_IF_DONE, executor, look, &ran[0], &after);
    MODEL_CHECK(status == STOOK_OK || status == STOOK_SHUTDOWN);
    if (status == STOOK_OK) {
        MODEL_CHECK(!is_done_at_last(after));
    }
    model_join();
    MODEL_CHECK(ran[0] == 0);
    stook_promise_release(promise);
    stook_future_release(future);
    stook_executor_destroy(executor);
}

/* --- a time ------------------------------------------------------------------------------------
 */

static void run_delayed(void)
{
    create(1);
    future = submit_tied(NULL, NULL, INT64_C(1000000000), &ran[0]);
    MODEL_CHECK(is_done_at_last(future) && ran[0] == 1);
    stook_executor_destroy(executor);
}

/* A third call would say nothing new. */
static int be_repeated(void *arg, void **ret_value)
{
    (void)work(arg, ret_value);
    return ran[0] == 2;
}

static void close_at_once(void *arg)
{
    (void)arg;
    enum stook_status status = stook_executor_shutdown(executor, STOOK_DRAIN, 0);
    MODEL_CHECK(status == STOOK_OK || status == STOOK_TIMEOUT);
}

/* A shutdown ends it, whether it finds it in a call or between two; or its time might not come. */
static void run_repeated(void)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

    create(1);
    options.period_ns = INT64_C(1000000000);
    MODEL_CHECK(stook_executor_submit_with(executor, &options, be_repeated, &ran[0], &future) ==
                STOOK_OK);
    model_start(close_at_once, NULL);
    MODEL_CHECK(stook_future_wait_until(future, STOOK_FOREVER) == STOOK_OK);
    model_join();
    stook_future_release(future);
    stook_executor_destroy(executor);
}

int main(int argc, char **argv)
{
    static const struct model models[] = {
        {"token", run_token, 1, 1, 20000, 0},
        {"poll", run_poll, 1, 1, 20000, 0},
        {"cancellers", run_cancellers, 1, 1, 200000, 0},
        {"flag", run_flag, 1, 1, 20000, 0},
        {"child", run_child, 1, 1, 20000, 0},
        {"scope", run_scope, 1, 1, 200000, 0},
        {"scope_cancel", run_scope_cancel, 1, 1, 200000, 0},
        {"told", run_told, 2, 1, 20000, 0},
        {"strand", run_strand, 1, 1, 20000, 0},
        {"then", run_then, 1, 1, 200000, 0},
        {"then_shutdown", run_then_shutdown, 1, 1, 200000, 0},
        {"delayed", run_delayed, 1, 1, 200000, 0},
        {"repeated", run_repeated, 1, 1, 20000, 0},
    };
    return model_main(argc, argv, models, sizeof models / sizeof models[0]);
}
