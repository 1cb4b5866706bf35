/* SPDX-License-Identifier: MIT
 *
 * What a task hands over: its value, who owns it and when the destructor frees it, its code, and
 * the names of states and statuses.
 */
#include <limits.h>
#include <string.h>

#include "check.h"
#include "support.h"

/* A value that counts how often it was destroyed. */
struct value {
    struct gate *gate; /* the task stays in it first; may be NULL */
    int code;
    atomic_int destroyed;
};

static int value_task(void *arg, void **ret_value)
{
    struct value *value = arg;

    if (value->gate != NULL) {
        gate_pass(value->gate);
    }
    *ret_value = value;
    return value->code;
}

static int no_value_task(void *arg, void **ret_value)
{
    const struct value *value = arg;

    return *ret_value == NULL ? value->code : 99;
}

static void destroy_value(void *arg)
{
    struct value *value = arg;

    MUST(value != NULL);
    atomic_fetch_add(&value->destroyed, 1);
}

static stook_future *submit_value(stook_executor *executor, struct value *value)
{
    stook_future *future = must_submit(executor, value_task, value);

    stook_future_set_destructor(future, destroy_value);
    return future;
}

Test(value, B9_future_dropped_before_the_run, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    struct value values[2] = {{.code = 0}, {.code = 5}};
    stook_future *holder = must_submit(executor, gate_task, &gate);

    gate_await(&gate, 1);
    for (int i = 0; i < 2; i++) {
        stook_future_release(submit_value(executor, &values[i]));
    }
    cr_assert_eq(atomic_load(&values[0].destroyed), 0);
    gate_open(&gate);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&values[0].destroyed), 1);
    cr_assert_eq(atomic_load(&values[1].destroyed), 1, "the value of a failed task");
    stook_future_release(holder);
}

Test(value, B9_future_dropped_during_the_run, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    struct value value = {.gate = &gate};
    stook_future *future = submit_value(executor, &value);

    gate_await(&gate, 1);
    stook_future_release(future);
    cr_assert_eq(atomic_load(&value.destroyed), 0);
    gate_open(&gate);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&value.destroyed), 1);
}

Test(value, B9_future_dropped_after_the_run_and_after_its_executor, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct value early = {0};
    struct value late = {0};
    stook_future *early_future = submit_value(executor, &early);
    stook_future *late_future = submit_value(executor, &late);

    cr_assert_eq(stook_future_wait_until(early_future, STOOK_FOREVER), STOOK_OK);
    stook_future_release(early_future);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&early.destroyed), 1);
    cr_assert_eq(atomic_load(&late.destroyed), 0);
    cr_assert_eq(stook_future_state(late_future), STOOK_STATE_DONE);
    stook_future_release(late_future);
    cr_assert_eq(atomic_load(&late.destroyed), 1);
}

Test(value, B9_only_the_last_reference_destroys, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct value value = {0};
    stook_future *future = submit_value(executor, &value);

    cr_assert_eq(stook_future_retain(future), future);
    cr_assert_eq(stook_future_retain(future), future);
    stook_executor_destroy(executor);
    stook_future_release(future);
    stook_future_release(future);
    cr_assert_eq(atomic_load(&value.destroyed), 0);
    stook_future_release(future);
    cr_assert_eq(atomic_load(&value.destroyed), 1);
    cr_assert_null(stook_future_retain(NULL));
    stook_future_release(NULL);
}

Test(value, B9_a_value_that_was_taken_is_not_destroyed, .timeout = 60)
{
    for (int code = 0; code <= 3; code += 3) {
        const enum stook_status expected = code ? STOOK_TASK_FAILED : STOOK_OK;
        stook_executor *executor = must_create(1);
        struct value value = {.code = code};
        stook_future *future = submit_value(executor, &value);
        void *taken = NULL;
        void *again = NULL;

        cr_assert_eq(stook_future_result(future, NULL), expected);
        cr_assert_eq(stook_future_result(future, &taken), expected);
        cr_assert_eq(stook_future_result(future, &again), expected);
        cr_assert_eq(taken, &value);
        cr_assert_eq(again, &value, "a later call gives the same pointer");
        stook_executor_destroy(executor);
        cr_assert_eq(stook_future_result(future, &again), expected);
        cr_assert_eq(again, &value);
        stook_future_release(future);
        cr_assert_eq(atomic_load(&value.destroyed), 0);
    }
}

Test(value, B9_a_result_without_ret_value_takes_nothing, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct value value = {0};
    stook_future *future = submit_value(executor, &value);

    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&value.destroyed), 0);
    stook_future_release(future);
    cr_assert_eq(atomic_load(&value.destroyed), 1);
}

/* destroy_value() aborts when it is called with NULL. */
Test(value, B9_nothing_stored_or_cancelled_means_nothing_destroyed, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    struct value value = {.gate = &gate};
    struct value failing = {.code = 4};
    struct value untouched = {0};
    stook_future *holder = must_submit(executor, value_task, &value);
    stook_future *none = must_submit(executor, no_value_task, &untouched);
    stook_future *failed = must_submit(executor, no_value_task, &failing);
    stook_future *cancelled = submit_value(executor, &untouched);
    void *result = &gate;

    stook_future_set_destructor(none, destroy_value);
    stook_future_set_destructor(failed, destroy_value);
    gate_await(&gate, 1);
    cr_assert_eq(stook_future_cancel(cancelled), STOOK_CANCEL_DONE);
    gate_open(&gate);
    cr_assert_eq(stook_future_result(none, &result), STOOK_OK);
    cr_assert_null(result, "nothing stored gives NULL");
    result = &gate;
    cr_assert_eq(stook_future_result(failed, &result), STOOK_TASK_FAILED);
    cr_assert_null(result);
    cr_assert_eq(stook_future_code(failed), 4);
    result = &gate;
    cr_assert_eq(stook_future_result(cancelled, &result), STOOK_CANCELLED);
    cr_assert_eq(result, &gate, "a cancelled future writes no value");
    stook_executor_destroy(executor);
    stook_future_release(none);
    stook_future_release(failed);
    stook_future_release(cancelled);
    cr_assert_eq(atomic_load(&untouched.destroyed), 0);
    cr_assert_eq(atomic_load(&failing.destroyed), 0);
    stook_future_release(holder);
    cr_assert_eq(atomic_load(&value.destroyed), 0, "no destructor was set for it");
}

enum { DROPPED = 3000 };

/* Its own thread against the workers: who lets the last reference go is left to chance. */
Test(value, B9_futures_dropped_at_any_moment_are_destroyed_once, .timeout = 120)
{
    static struct value values[DROPPED];
    stook_executor *executor = must_create(2);

    for (int i = 0; i < DROPPED; i++) {
        stook_future *future = submit_value(executor, &values[i]);

        if (i % 3 == 1) {
            SPIN_UNTIL(stook_future_done(future));
        } else if (i % 3 == 2) {
            SPIN_UNTIL(stook_future_state(future) != STOOK_STATE_PENDING);
        }
        stook_future_release(future);
    }
    stook_executor_destroy(executor);
    for (int i = 0; i < DROPPED; i++) {
        cr_assert_eq(atomic_load(&values[i].destroyed), 1, "value %d", i);
    }
}

Test(value, code_is_what_the_function_returned, .timeout = 60)
{
    static const int codes[] = {1, -1, 42, 256, -8, INT_MAX, INT_MIN};
    stook_executor *executor = must_create(2);

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct value value = {.code = codes[i]};
        stook_future *future = must_submit(executor, value_task, &value);
        void *details = NULL;

        cr_assert_eq(stook_future_result(future, &details), STOOK_TASK_FAILED);
        cr_assert_eq(stook_future_state(future), STOOK_STATE_FAILED);
        cr_assert_eq(stook_future_code(future), codes[i]);
        cr_assert_eq(details, &value, "a failed task may carry details");
        stook_future_release(future);
    }
    stook_executor_destroy(executor);
}

Test(value, result_of_no_future_is_invalid, .timeout = 60)
{
    void *value = &value;

    cr_assert_eq(stook_future_result(NULL, &value), STOOK_INVALID);
    cr_assert_eq(value, &value);
    cr_assert_eq(stook_future_result(NULL, NULL), STOOK_INVALID);
}

Test(value, B10_state_names_are_complete, .timeout = 60)
{
    cr_assert_str_eq(stook_state_name(STOOK_STATE_PENDING), "pending");
    cr_assert_str_eq(stook_state_name(STOOK_STATE_RUNNING), "running");
    cr_assert_str_eq(stook_state_name(STOOK_STATE_DONE), "done");
    cr_assert_str_eq(stook_state_name(STOOK_STATE_FAILED), "failed");
    cr_assert_str_eq(stook_state_name(STOOK_STATE_CANCELLED), "cancelled");
    cr_assert_str_eq(stook_state_name((enum stook_state)5), "unknown");
    cr_assert_str_eq(stook_state_name((enum stook_state)INT_MAX), "unknown");
    cr_assert_str_eq(stook_state_name((enum stook_state) - 1), "unknown");
}

Test(value, B10_status_names_and_sentences_are_complete, .timeout = 60)
{
    static const struct {
        enum stook_status status;
        const char *name;
        const char *sentence;
    } list[] = {
#define ROW(name, value, sentence) {name, #name, sentence},
        STOOK_STATUS_LIST(ROW)
#undef ROW
    };
    const size_t count = sizeof list / sizeof list[0];

    cr_assert_eq(STOOK_OK, 0);
    for (size_t i = 0; i < count; i++) {
        const char *sentence = stook_status_string(list[i].status);

        cr_assert_str_eq(stook_status_name(list[i].status), list[i].name);
        cr_assert_str_eq(sentence, list[i].sentence);
        cr_assert_neq(sentence[strlen(sentence) - 1], '.');
        cr_assert(list[i].status == STOOK_OK || list[i].status < 0, "%s", list[i].name);
        for (size_t j = 0; j < i; j++) {
            cr_assert_neq(strcmp(sentence, stook_status_string(list[j].status)), 0);
        }
    }
    cr_assert_str_eq(stook_status_name((enum stook_status)1), "STOOK_UNKNOWN");
    cr_assert_str_eq(stook_status_name((enum stook_status)INT_MIN), "STOOK_UNKNOWN");
    cr_assert_not_null(stook_status_string((enum stook_status)1));
    cr_assert_gt(strlen(stook_status_string((enum stook_status)INT_MIN)), 0u);
}
