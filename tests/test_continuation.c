/* SPDX-License-Identifier: MIT
 *
 * Continuations (stook_future_then): in which cases fn is called, in which thread, what the new
 * future becomes; chains of any length; cancelling; and what they mean for an executor that shuts
 * down.
 */
#include "check.h"
#include "promise_support.h"

/* A continuation that looks at `before`, and returns and stores what it is told. */
struct step {
    atomic_int calls;
    int code;
    void *stores;
    stook_future *before;
    enum stook_status before_result;
    void *before_value;
    thrd_t thread;
};

static int step_then(stook_future *before, void *arg, void **ret_value)
{
    struct step *step = arg;

    MUST(*ret_value == NULL);
    MUST(stook_future_done(before));
    step->before = before;
    step->before_result = stook_future_result(before, &step->before_value);
    step->thread = thrd_current();
    atomic_fetch_add(&step->calls, 1);
    *ret_value = step->stores;
    return step->code;
}

struct matrix_case {
    bool is_task, on_executor, is_after;
    int ending; /* of `before` */
    enum stook_then_mode mode;
    int code; /* that fn returns */
};

static void check_step(const struct matrix_case *is, struct step *step, stook_future *then,
                       const struct source *source)
{
    const bool called = is->mode == STOOK_THEN_ALWAYS || is->ending == ENDS_DONE;
    const int code = called ? is->code : is->ending == ENDS_FAILED ? ENDING_CODE : 0;
    const bool cancelled = !called && is->ending == ENDS_CANCELLED;
    void *value = NULL;

    cr_assert_eq(stook_future_result(then, &value), cancelled ? STOOK_CANCELLED
                                                    : code    ? STOOK_TASK_FAILED
                                                              : STOOK_OK);
    cr_assert_eq(stook_future_state(then), cancelled ? STOOK_STATE_CANCELLED
                                           : code    ? STOOK_STATE_FAILED
                                                     : STOOK_STATE_DONE);
    cr_assert_eq(stook_future_code(then), code);
    cr_assert_eq(value, called ? step->stores : NULL);
    cr_assert_eq(atomic_load(&step->calls), called);
    if (called) {
        cr_assert_eq(step->before, source->made.future);
        cr_assert_eq(step->before_result, ending_status[is->ending]);
        cr_assert_eq(step->before_value, is->ending == ENDS_CANCELLED ? NULL : source->value);
    }
}

static void check_case(const struct matrix_case *is)
{
    int value, stored;
    stook_executor *executor = is->on_executor ? must_create(1) : NULL;
    struct step step = {.code = is->code, .stores = &stored};
    struct source source;
    stook_future *then;

    source_begin(&source, is->is_task, is->ending, &value);
    if (is->is_after) {
        source_end(&source);
    }
    then = must_then(source.made.future, is->mode, executor, step_then, &step);
    if (is->is_after) {
        cr_assert(executor || stook_future_done(then), "not called at once");
    } else {
        cr_assert_eq(stook_future_state(then), STOOK_STATE_PENDING);
        cr_assert_eq(stook_future_wait_until(then, 0), STOOK_TIMEOUT);
        cr_assert_eq(atomic_load(&step.calls), 0);
        source_end(&source);
    }
    check_step(is, &step, then, &source);
    if (atomic_load(&step.calls) > 0) {
        const bool by_worker = is->is_task && !is->is_after && is->ending != ENDS_CANCELLED;

        cr_assert_eq(thrd_equal(step.thread, thrd_current()) != 0, !executor && !by_worker);
        cr_assert_eq(is->is_task && thrd_equal(step.thread, source.worker), !executor && by_worker);
    }
    stook_executor_destroy(executor);
    source_release(&source);
    stook_future_release(then);
    cr_assert_leq(atomic_load(&step.calls), 1);
}

Test(continuation, matrix_of_modes_outcomes_executors_and_moments, .timeout = 120)
{
    for (int bits = 0; bits < 32; bits++) {
        for (int ending = 0; ending < ENDINGS; ending++) {
            const struct matrix_case is = {
                .is_task = bits & 1,
                .on_executor = bits & 2,
                .is_after = bits & 4,
                .ending = ending,
                .mode = bits & 8 ? STOOK_THEN_ALWAYS : STOOK_THEN_IF_DONE,
                .code = bits & 16 ? 9 : 0,
            };

            check_case(&is);
        }
    }
}

/* B22 */
Test(continuation, invalid_arguments_call_nothing)
{
    struct promised made = must_promise();
    atomic_int calls = 0;
    stook_future *future = NULL;

    cr_assert_eq(stook_future_then(NULL, STOOK_THEN_ALWAYS, NULL, count_then, &calls, &future),
                 STOOK_INVALID);
    cr_assert_eq(stook_future_then(made.future, STOOK_THEN_ALWAYS, NULL, NULL, &calls, &future),
                 STOOK_INVALID);
    cr_assert_eq(
        stook_future_then(made.future, (enum stook_then_mode)2, NULL, count_then, &calls, &future),
        STOOK_INVALID);
    must_complete(&made, 0, NULL);
    cr_assert_eq(stook_future_then(made.future, (enum stook_then_mode) - 1, NULL, count_then,
                                   &calls, &future),
                 STOOK_INVALID);
    cr_assert_null(future);
    release_promised(&made);
    cr_assert_eq(atomic_load(&calls), 0);
}

Test(continuation, without_a_future_it_is_called_all_the_same, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct promised made = must_promise();
    atomic_int calls = 0;

    cr_assert_eq(stook_future_then(made.future, STOOK_THEN_IF_DONE, NULL, count_then, &calls, NULL),
                 STOOK_OK);
    cr_assert_eq(
        stook_future_then(made.future, STOOK_THEN_IF_DONE, executor, count_then, &calls, NULL),
        STOOK_OK);
    must_complete(&made, 0, NULL);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&calls), 2);
    release_promised(&made);
}

static void destroy_counted(void *value)
{
    atomic_int *destroyed = value;

    atomic_fetch_add(destroyed, 1);
}

/* fn takes nothing of `before`. */
static int peek_then(stook_future *before, void *arg, void **ret_value)
{
    atomic_int *destroyed = arg;

    (void)ret_value;
    MUST(stook_future_state(before) == STOOK_STATE_DONE);
    MUST(atomic_load(destroyed) == 0);
    return 0;
}

/* `before` lives until fn has been called, though all others have let it go; and its value until
 * then. */
Test(continuation, keeps_before_until_it_has_been_called, .timeout = 60)
{
    for (int on_executor = 0; on_executor < 2; on_executor++) {
        stook_executor *executor = must_create(1);
        struct promised made = must_promise();
        struct gate gate = {0};
        atomic_int destroyed = 0;
        stook_future *then;

        cr_assert_eq(stook_executor_submit(executor, gate_task, &gate, NULL), STOOK_OK);
        gate_await(&gate, 1);
        stook_future_set_destructor(made.future, destroy_counted);
        then = must_then(made.future, STOOK_THEN_ALWAYS, on_executor ? executor : NULL, peek_then,
                         &destroyed);
        must_complete(&made, 0, &destroyed);
        release_promised(&made);
        cr_assert(!on_executor || atomic_load(&destroyed) == 0);
        gate_open(&gate);
        cr_assert_eq(stook_future_result(then, NULL), STOOK_OK);
        stook_future_release(then);
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&destroyed), 1);
    }
}

static int store_then(stook_future *before, void *arg, void **ret_value)
{
    (void)before;
    *ret_value = arg;
    return 0;
}

/* B9 */
Test(continuation, its_own_value_is_destroyed_once_unless_it_is_taken, .timeout = 60)
{
    for (int bits = 0; bits < 4; bits++) {
        stook_executor *executor = bits & 1 ? must_create(1) : NULL;
        struct promised made = must_promise();
        atomic_int destroyed = 0;
        void *value = NULL;
        stook_future *then =
            must_then(made.future, STOOK_THEN_ALWAYS, executor, store_then, &destroyed);

        stook_future_set_destructor(then, destroy_counted);
        must_complete(&made, 0, NULL);
        cr_assert_eq(stook_future_result(then, bits & 2 ? &value : NULL), STOOK_OK);
        stook_future_release(then);
        stook_executor_destroy(executor);
        release_promised(&made);
        cr_assert_eq(atomic_load(&destroyed), bits & 2 ? 0 : 1);
    }
}

/* --- chains -------------------------------------------------------------------------------------
 */

enum { CHAIN = 100000, STACK_BOUND = 64 * 1024 };

struct chain {
    stook_executor *executor;
    int count;
    int fails_at;
    struct stack_span span;
    stook_future *last;
    bool grows; /* each makes the next */
    atomic_bool ended;
};

static int chain_then(stook_future *before, void *arg, void **ret_value)
{
    struct chain *chain = arg;
    const int number = ++chain->count;

    MUST(stook_future_done(before));
    stack_note(&chain->span);
    *ret_value = chain;
    if (chain->grows && number < CHAIN) {
        struct promised made = must_promise();
        stook_future *next;

        must_complete(&made, 0, NULL);
        next = must_then(made.future, STOOK_THEN_IF_DONE, chain->executor, chain_then, chain);
        release_promised(&made);
        if (number + 1 == CHAIN) {
            chain->last = next;
        } else {
            stook_future_release(next);
        }
    }
    atomic_store(&chain->ended, number == CHAIN);
    return number == chain->fails_at ? 9 : 0;
}

static stook_future *make_chain(stook_future *first, struct chain *chain, int count)
{
    stook_future *last = stook_future_retain(first);

    for (int i = 0; i < count; i++) {
        stook_future *next =
            must_then(last, STOOK_THEN_IF_DONE, chain->executor, chain_then, chain);

        stook_future_release(last);
        last = next;
    }
    return last;
}

Test(continuation, a_chain_of_100000_that_was_made_before_needs_no_stack, .timeout = 240)
{
    for (int ending = 0; ending < ENDINGS; ending++) {
        struct chain chain = {.count = 0};
        struct promised made = must_promise();
        stook_future *last = make_chain(made.future, &chain, CHAIN);

        cr_assert_eq(chain.count, 0);
        if (ending == ENDS_CANCELLED) {
            stook_promise_release(made.promise);
            made.promise = NULL;
        } else {
            must_end(&made, ending, NULL);
        }
        cr_assert_eq(stook_future_state(last), ending_state[ending]);
        cr_assert_eq(stook_future_code(last), ending == ENDS_FAILED ? ENDING_CODE : 0);
        cr_assert_eq(chain.count, ending == ENDS_DONE ? CHAIN : 0);
        cr_assert_lt(chain.span.high - chain.span.low, STACK_BOUND);
        stook_future_release(last);
        release_promised(&made);
    }
}

Test(continuation, a_chain_of_100000_that_makes_itself_needs_no_stack, .timeout = 240)
{
    struct chain chain = {.grows = true};
    struct promised made = must_promise();
    stook_future *first = make_chain(made.future, &chain, 1);

    must_complete(&made, 0, NULL);
    cr_assert_eq(chain.count, CHAIN);
    cr_assert_lt(chain.span.high - chain.span.low, STACK_BOUND);
    cr_assert_eq(stook_future_state(chain.last), STOOK_STATE_DONE);
    stook_future_release(chain.last);
    stook_future_release(first);
    release_promised(&made);
}

Test(continuation, a_chain_of_100000_on_an_executor_that_was_made_before, .timeout = 480)
{
    struct chain chain = {.executor = must_create(1)};
    struct promised made = must_promise();
    stook_future *last = make_chain(made.future, &chain, CHAIN);

    must_complete(&made, 0, NULL);
    cr_assert_eq(stook_future_result(last, NULL), STOOK_OK);
    cr_assert_eq(chain.count, CHAIN);
    cr_assert_lt(chain.span.high - chain.span.low, STACK_BOUND);
    stook_future_release(last);
    release_promised(&made);
    stook_executor_destroy(chain.executor);
}

Test(continuation, a_chain_of_100000_on_an_executor_that_makes_itself, .timeout = 480)
{
    struct chain chain = {.grows = true, .executor = must_create(1)};
    struct promised made = must_promise();
    stook_future *first = make_chain(made.future, &chain, 1);

    must_complete(&made, 0, NULL);
    stook_future_release(first);
    release_promised(&made);
    SPIN_UNTIL(atomic_load(&chain.ended));
    stook_executor_destroy(chain.executor);
    cr_assert_eq(chain.count, CHAIN);
    stook_future_release(chain.last);
}

/* In the middle of a chain: what comes before it is not affected, what comes after it is, also by
 * way of continuations on an executor. */
Test(continuation, an_error_travels_along_a_chain, .timeout = 60)
{
    for (int on_executor = 0; on_executor < 2; on_executor++) {
        struct chain chain = {.executor = on_executor ? must_create(2) : NULL, .fails_at = 10};
        struct promised made = must_promise();
        stook_future *last = make_chain(made.future, &chain, 1000);
        void *value = &chain;

        must_complete(&made, 0, NULL);
        cr_assert_eq(stook_future_result(last, &value), STOOK_TASK_FAILED);
        cr_assert_eq(stook_future_code(last), 9);
        cr_assert_null(value, "the value came along");
        cr_assert_eq(chain.count, 10);
        stook_future_release(last);
        release_promised(&made);
        stook_executor_destroy(chain.executor);
    }
}

Test(continuation, a_cancellation_travels_along_a_chain_and_not_back, .timeout = 60)
{
    for (int on_executor = 0; on_executor < 2; on_executor++) {
        struct chain chain = {.executor = on_executor ? must_create(2) : NULL};
        struct promised made = must_promise();
        atomic_int calls = 0;
        stook_future *middle = make_chain(made.future, &chain, 10);
        stook_future *last = make_chain(middle, &chain, 1000);

        cr_assert_eq(stook_future_on_done(last, count_callback, &calls), STOOK_OK);
        stook_future *second = must_then(last, STOOK_THEN_ALWAYS, NULL, count_then, &calls);
        cr_assert_eq(stook_future_cancel(middle), STOOK_CANCEL_DONE);
        cr_assert_eq(stook_future_state(middle), STOOK_STATE_CANCELLED);
        cr_assert_eq(stook_future_result(last, NULL), STOOK_CANCELLED);
        cr_assert_eq(stook_future_result(second, NULL), STOOK_OK);
        cr_assert_eq(atomic_load(&calls), 2);
        cr_assert_eq(stook_future_state(made.future), STOOK_STATE_PENDING);
        must_complete(&made, 0, NULL);
        stook_executor_destroy(chain.executor);
        cr_assert_eq(chain.count, 9);
        cr_assert_eq(stook_future_state(middle), STOOK_STATE_CANCELLED);
        stook_future_release(middle);
        stook_future_release(second);
        stook_future_release(last);
        release_promised(&made);
    }
}
