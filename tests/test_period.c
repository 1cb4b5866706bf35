/* SPDX-License-Identifier: MIT
 *
 * Tasks that repeat: when they are called and how they end; and options about time that are
 * refused.
 */
#include "check.h"
#include "group_support.h"

struct repeated {
    int64_t start_ns, period_ns;
    atomic_int calls, active;
    int last_call; /* the number of the call that returns the code; 0: none */
    int code;
    int values[8]; /* a call stores the address of its own */
    struct gate *gate;
    bool was_early;
};

/* Plain fields: calls follow one another, each seeing what those before it wrote. */
static int repeated_task(void *arg, void **ret_value)
{
    struct repeated *repeated = arg;
    const int call = atomic_fetch_add(&repeated->calls, 1) + 1;

    MUST(atomic_fetch_add(&repeated->active, 1) == 0);
    MUST(*ret_value == NULL);
    if (repeated->gate != NULL) {
        gate_pass(repeated->gate);
    }
    /* moments are left out, never added */
    repeated->was_early |= stook_now_ns() < repeated->start_ns + (call - 1) * repeated->period_ns;
    atomic_fetch_sub(&repeated->active, 1);
    if (call == repeated->last_call) {
        *ret_value = &repeated->values[call];
        return repeated->code;
    }
    return 0;
}

static stook_future *must_repeat(stook_executor *executor, stook_token *token,
                                 struct repeated *repeated)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

    options.start_ns = repeated->start_ns;
    options.period_ns = repeated->period_ns;
    options.token = token;
    if (repeated->start_ns == 0) {
        repeated->start_ns = stook_now_ns();
    }
    return must_submit_with(executor, &options, repeated_task, repeated);
}

Test(period, it_is_called_at_multiples_until_it_fails, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        for (int later = 0; later < 2; later++) {
            stook_executor *executor = must_create(workers);
            struct repeated repeated = {
                .period_ns = 5 * MILLISECOND,
                .last_call = 6,
                .code = 77,
            };
            stook_future *future;
            void *value = NULL;

            repeated.start_ns = later ? stook_deadline_after_ns(20 * MILLISECOND) : 0;
            future = must_repeat(executor, NULL, &repeated);
            cr_assert_not(stook_future_done(future));
            cr_assert_eq(stook_future_result(future, &value), STOOK_TASK_FAILED);
            cr_assert_geq(stook_now_ns(), repeated.start_ns + 5 * repeated.period_ns);
            cr_assert_eq(stook_future_code(future), 77);
            cr_assert_eq(value, &repeated.values[6]);
            cr_assert_not(repeated.was_early);
            give_a_chance();
            give_a_chance();
            cr_assert_eq(atomic_load(&repeated.calls), 6);
            stook_future_release(future);
            stook_executor_destroy(executor);
        }
    }
}

Test(period, calls_never_overlap_and_leave_out_what_they_missed, .timeout = 60)
{
    stook_executor *executor = must_create(3);
    struct gate gate = {0};
    struct repeated repeated = {.period_ns = MILLISECOND, .last_call = 5, .code = 1, .gate = &gate};
    stook_future *future = must_repeat(executor, NULL, &repeated);
    int64_t opened_ns;

    gate_await(&gate, 1);
    for (int i = 0; i < 10; i++) {
        give_a_chance(); /* many moments pass */
    }
    cr_assert_eq(atomic_load(&repeated.calls), 1);
    cr_assert_not(stook_future_done(future));
    opened_ns = stook_now_ns();
    gate_open(&gate);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_TASK_FAILED);
    cr_assert_geq(stook_now_ns(), opened_ns + 3 * repeated.period_ns, "calls 2 to 5");
    cr_assert_not(repeated.was_early);
    stook_future_release(future);
    stook_executor_destroy(executor);
}

/* How many calls there are in a while that follows; the first may be under way. */
static int calls_meanwhile(struct repeated *repeated)
{
    int before;

    SPIN_UNTIL(atomic_load(&repeated->active) == 0);
    before = atomic_load(&repeated->calls);
    for (int i = 0; i < 5; i++) {
        give_a_chance();
    }
    return atomic_load(&repeated->calls) - before;
}

Test(period, cancel_ends_it, .timeout = 60)
{
    stook_executor *executor = must_create(2);

    for (int by_token = 0; by_token < 2; by_token++) {
        for (int round = 0; round < 20; round++) {
            struct repeated repeated = {.period_ns = MILLISECOND / 4};
            stook_token *token = must_token(executor, NULL);
            stook_future *future = must_repeat(executor, by_token ? token : NULL, &repeated);

            SPIN_UNTIL(atomic_load(&repeated.calls) >= 2);
            if (by_token) {
                cr_assert(stook_token_cancel(token));
            } else {
                cr_assert_neq(stook_future_cancel(future), STOOK_CANCEL_TOO_LATE);
            }
            cr_assert_eq(stook_future_result(future, NULL), STOOK_CANCELLED);
            cr_assert_eq(stook_future_code(future), 0);
            cr_assert_eq(stook_future_cancel(future), STOOK_CANCEL_DONE);
            cr_assert_eq(calls_meanwhile(&repeated), 0);
            stook_future_release(future);
            stook_token_release(token);
        }
    }
    stook_executor_destroy(executor);
}

/* arg must live until the future is terminal: so that cannot be while a call uses it. */
Test(period, it_is_terminal_only_when_no_call_is_under_way, .timeout = 60)
{
    stook_executor *executor = must_create(2);

    for (int by_token = 0; by_token < 2; by_token++) {
        struct gate gate = {0};
        struct repeated repeated = {.period_ns = MILLISECOND, .gate = &gate};
        stook_token *token = must_token(executor, NULL);
        stook_future *future = must_repeat(executor, by_token ? token : NULL, &repeated);

        gate_await(&gate, 1);
        if (by_token) {
            cr_assert(stook_token_cancel(token));
        } else {
            cr_assert_eq(stook_future_cancel(future), STOOK_CANCEL_REQUESTED);
        }
        give_a_chance();
        cr_assert_not(stook_future_done(future));
        gate_open(&gate);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_CANCELLED);
        cr_assert_eq(atomic_load(&repeated.active), 0);
        cr_assert_eq(atomic_load(&repeated.calls), 1);
        stook_future_release(future);
        stook_token_release(token);
    }
    stook_executor_destroy(executor);
}

Test(period, B35_shutdown_in_any_mode_ends_it, .timeout = 60)
{
    static const enum stook_shutdown_mode modes[] = {STOOK_DRAIN, STOOK_CANCEL_PENDING};

    for (int i = 0; i < 6; i++) {
        stook_executor *executor = must_create(2);
        struct gate gate = {0};
        struct repeated repeated = {.period_ns = MILLISECOND};
        stook_future *future;

        if (i / 2 == 0) {
            repeated.start_ns = stook_deadline_after_ns(3600 * SECOND); /* not called yet */
        }
        repeated.gate = i / 2 == 2 ? &gate : NULL; /* in a call */
        future = must_repeat(executor, NULL, &repeated);
        SPIN_UNTIL(i / 2 == 0 || atomic_load(&repeated.calls) > 0);
        if (i / 2 == 2) {
            cr_assert_eq(stook_executor_shutdown(executor, modes[i % 2], 0), STOOK_TIMEOUT);
            cr_assert_not(stook_future_done(future));
            gate_open(&gate);
        }
        cr_assert_eq(stook_executor_shutdown(executor, modes[i % 2], STOOK_FOREVER), STOOK_OK);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_CANCELLED);
        cr_assert(i / 2 != 0 || atomic_load(&repeated.calls) == 0);
        cr_assert(i / 2 != 2 || atomic_load(&repeated.calls) == 1);
        stook_future_release(future);
        stook_executor_destroy(executor);
    }
}

Test(period, the_shortest_period_starves_nobody, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct repeated repeated = {.period_ns = 1};
    stook_future *future = must_repeat(executor, NULL, &repeated);
    atomic_int runs = 0;

    SPIN_UNTIL(atomic_load(&repeated.calls) > 10);
    for (int i = 0; i < 100; i++) {
        stook_future *other = must_submit(executor, count_task, &runs);

        cr_assert_eq(stook_future_result(other, NULL), STOOK_OK);
        stook_future_release(other);
    }
    cr_assert_neq(stook_future_cancel(future), STOOK_CANCEL_TOO_LATE);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_CANCELLED);
    stook_future_release(future);
    stook_executor_destroy(executor);
}

Test(period, B17_the_longest_periods_do_not_overflow, .timeout = 60)
{
    const int64_t periods[] = {INT64_MAX, INT64_MAX - 1, INT64_MAX / 2};
    stook_executor *executor = must_create(1);

    for (int i = 0; i < 6; i++) {
        struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
        atomic_int runs = 0;
        stook_future *future;

        options.period_ns = periods[i % 3];
        options.start_ns = i < 3 ? 0 : INT64_MAX - 1;
        future = must_submit_with(executor, &options, count_task, &runs);
        SPIN_UNTIL(i >= 3 || atomic_load(&runs) == 1);
        for (int k = 0; k < 3; k++) {
            give_a_chance();
        }
        cr_assert_eq(atomic_load(&runs), i < 3);
        cr_assert_not(stook_future_done(future));
        cr_assert_neq(stook_future_cancel(future), STOOK_CANCEL_TOO_LATE);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_CANCELLED);
        stook_future_release(future);
    }
    stook_executor_destroy(executor);
}

struct own_wait {
    _Atomic(stook_future *) future;
    atomic_int calls;
    enum stook_status status;
};

static int own_wait_task(void *arg, void **ret_value)
{
    struct own_wait *wait = arg;

    (void)ret_value;
    SPIN_UNTIL(atomic_load(&wait->future) != NULL);
    wait->status = stook_future_result(atomic_load(&wait->future), NULL);
    return atomic_fetch_add(&wait->calls, 1) == 2;
}

Test(period, a_call_cannot_wait_for_its_own_future, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    struct own_wait wait = {.status = STOOK_OK};
    stook_future *future;

    options.period_ns = MILLISECOND;
    future = must_submit_with(executor, &options, own_wait_task, &wait);
    atomic_store(&wait.future, future);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_TASK_FAILED);
    cr_assert_eq(wait.status, STOOK_DEADLOCK);
    cr_assert_eq(atomic_load(&wait.calls), 3);
    stook_future_release(future);
    stook_executor_destroy(executor);
}

static int result_task(void *arg, void **ret_value)
{
    (void)ret_value;
    return stook_future_result(arg, NULL) != STOOK_TASK_FAILED;
}

/* A waiter on the only worker neither runs it in place nor keeps it from being called. */
Test(period, a_task_may_wait_for_its_end, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct repeated repeated = {.period_ns = 2 * MILLISECOND, .last_call = 3, .code = 1};
    stook_future *future;
    stook_future *waiter;

    repeated.start_ns = stook_deadline_after_ns(10 * MILLISECOND);
    future = must_repeat(executor, NULL, &repeated);
    waiter = must_submit(executor, result_task, future);
    cr_assert_eq(stook_future_result(waiter, NULL), STOOK_OK);
    cr_assert_not(repeated.was_early);
    cr_assert_eq(atomic_load(&repeated.calls), 3);
    stook_future_release(waiter);
    stook_future_release(future);
    stook_executor_destroy(executor);
}

/* Each call has a value; the fifth is the last. */
static int value_task(void *arg, void **ret_value)
{
    atomic_int *calls = arg;

    *ret_value = calls;
    return atomic_fetch_add(calls, 1) == 4;
}

static atomic_int destroyed_values;

static void destroy_value(void *value)
{
    (void)value;
    atomic_fetch_add(&destroyed_values, 1);
}

Test(period, B9_values_of_calls_are_destroyed_but_for_one_that_is_taken, .timeout = 60)
{
    for (int takes = 0; takes < 2; takes++) {
        stook_executor *executor = must_create(1);
        struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
        struct gate gate = {0};
        stook_future *future;
        atomic_int calls = 0;
        void *value;

        atomic_store(&destroyed_values, 0);
        options.period_ns = MILLISECOND;
        fill_workers(executor, &gate, 1);
        future = must_submit_with(executor, &options, value_task, &calls);
        stook_future_set_destructor(future, destroy_value); /* before the first call */
        gate_open(&gate);
        cr_assert_eq(stook_future_result(future, takes ? &value : NULL), STOOK_TASK_FAILED);
        stook_future_release(future);
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&calls), 5);
        cr_assert_eq(atomic_load(&destroyed_values), takes ? 4 : 5);
    }
}

static int made_ready; /* by who sets the destructor */

static void destroy_what_is_ready(void *value)
{
    (void)value;
    MUST(made_ready > 0);
}

Test(period, B9_a_destructor_may_be_set_while_the_first_call_runs, .timeout = 60)
{
    for (int i = 0; i < 20; i++) {
        stook_executor *executor = must_create(1);
        struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
        atomic_int calls = 0;
        stook_future *future;

        options.period_ns = MILLISECOND / 10;
        future = must_submit_with(executor, &options, value_task, &calls);
        made_ready = i + 1;
        stook_future_set_destructor(future, destroy_what_is_ready);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_TASK_FAILED);
        stook_future_release(future);
        stook_executor_destroy(executor);
    }
}

Test(period, bad_numbers_are_refused, .timeout = 60)
{
    const int64_t negative[] = {-1, INT64_MIN};
    stook_executor *executor = must_create(1);
    stook_scope *scope = must_scope(executor);
    stook_future *future = UNTOUCHED;
    atomic_int runs = 0;

    for (int i = 0; i < 2; i++) {
        struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

        options.period_ns = negative[i];
        cr_assert_eq(stook_executor_submit_with(executor, &options, count_task, &runs, &future),
                     STOOK_INVALID);
        options.period_ns = SECOND;
        options.scope = scope;
        cr_assert_eq(stook_executor_submit_with(executor, &options, count_task, &runs, &future),
                     STOOK_INVALID);
        options.scope = NULL;
        cr_assert_eq(
            stook_executor_submit_many(executor, &options, count_task, &runs, 1, 0, &future),
            STOOK_INVALID);
    }
    cr_assert_eq(future, UNTOUCHED);
    stook_scope_destroy(scope);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

static void pass_gate(stook_future *future, void *gate)
{
    (void)future;
    gate_pass(gate);
}

/* The timer thread is held up, so that nobody but the worker can heed the token. */
Test(period, no_call_begins_once_its_token_has_been_cancelled, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    stook_token *token = must_token(executor, NULL);
    stook_token *other = must_token(executor, NULL);
    struct gate worker_gate = {0}, timer_gate = {0};
    struct repeated repeated = {.period_ns = SECOND};
    struct stook_stats stats = STOOK_STATS_INIT;
    stook_future *blocker = must_submit(executor, gate_task, &worker_gate);

    gate_await(&worker_gate, 1);
    stook_future *victim = must_submit_token(executor, other, gate_task, &worker_gate);
    stook_future *future = must_repeat(executor, token, &repeated);
    do { /* until the call waits for the worker */
        cr_assert_eq(stook_executor_stats(executor, &stats, NULL, 0), STOOK_OK);
    } while (stats.submitted < 4);
    cr_assert_eq(stook_future_on_done(victim, pass_gate, &timer_gate), STOOK_OK);
    cr_assert(stook_token_cancel(other));
    gate_await(&timer_gate, 1);
    cr_assert(stook_token_cancel(token));
    gate_open(&worker_gate);
    cr_assert_eq(stook_future_result(blocker, NULL), STOOK_OK);
    stook_future_release(blocker);
    blocker = must_submit(executor, gate_task, &worker_gate); /* goes behind the call */
    cr_assert_eq(stook_future_result(blocker, NULL), STOOK_OK);
    cr_assert_eq(atomic_load(&repeated.calls), 0);
    gate_open(&timer_gate);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_CANCELLED);
    release_all((stook_future *[]){blocker, victim, future}, 3);
    stook_token_release(token);
    stook_token_release(other);
    stook_executor_destroy(executor);
}
