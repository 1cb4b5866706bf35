/* SPDX-License-Identifier: MIT
 *
 * What the tests of promises, callbacks and wait sets share: a promise with its future, calls on it
 * that abort when they fail, and a callback that counts.
 */
#ifndef STOOK_TESTS_PROMISE_SUPPORT_H
#define STOOK_TESTS_PROMISE_SUPPORT_H

#include "support.h"

struct promised {
    stook_promise *promise;
    stook_future *future;
};

static inline struct promised must_promise_with(const struct stook_allocator *allocator)
{
    struct promised made = {NULL, NULL};

    MUST(stook_promise_create(allocator, &made.promise, &made.future) == STOOK_OK);
    MUST(made.promise != NULL && made.future != NULL);
    return made;
}

static inline struct promised must_promise(void)
{
    return must_promise_with(NULL);
}

static inline void must_complete(const struct promised *made, int code, void *value)
{
    MUST(stook_promise_complete(made->promise, code, value) == STOOK_OK);
}

static inline void release_promised(struct promised *made)
{
    stook_promise_release(made->promise);
    stook_future_release(made->future);
    *made = (struct promised){NULL, NULL};
}

/* How a future ends. */
enum ending { ENDS_DONE, ENDS_FAILED, ENDS_CANCELLED, ENDINGS };

#define ENDING_CODE 7

static const enum stook_state ending_state[ENDINGS] = {STOOK_STATE_DONE, STOOK_STATE_FAILED,
                                                       STOOK_STATE_CANCELLED};
static const enum stook_status ending_status[ENDINGS] = {STOOK_OK, STOOK_TASK_FAILED,
                                                         STOOK_CANCELLED};

static inline enum stook_status status_of(enum stook_state state)
{
    return state == STOOK_STATE_DONE     ? STOOK_OK
           : state == STOOK_STATE_FAILED ? STOOK_TASK_FAILED
                                         : STOOK_CANCELLED;
}

static inline void must_end(const struct promised *made, int ending, void *value)
{
    if (ending == ENDS_CANCELLED) {
        MUST(stook_future_cancel(made->future) == STOOK_CANCEL_DONE);
    } else {
        must_complete(made, ending == ENDS_FAILED ? ENDING_CODE : 0, value);
    }
    MUST(stook_future_state(made->future) == ending_state[ending]);
}

/* A callback that counts in the atomic_int `user_data`, and a continuation that does in `arg`. */
static inline void count_callback(stook_future *future, void *user_data)
{
    atomic_int *calls = user_data;

    MUST(stook_future_done(future));
    atomic_fetch_add(calls, 1);
}

static inline int count_then(stook_future *before, void *arg, void **ret_value)
{
    MUST(*ret_value == NULL);
    count_callback(before, arg);
    return 0;
}

/* A future that is to end in one of the three ways: a promise's, or a task's on an executor of its
 * own with one worker, where it waits behind another task. */
struct source {
    bool is_task;
    int ending; /* enum ending */
    void *value;
    stook_executor *executor;
    struct promised made; /* of a task only the future */
    struct gate gate;
    thrd_t worker; /* that ran the task */
};

static inline int source_task(void *arg, void **ret_value)
{
    struct source *source = arg;

    source->worker = thrd_current();
    *ret_value = source->value;
    return source->ending == ENDS_FAILED ? ENDING_CODE : 0;
}

static inline void source_begin(struct source *source, bool is_task, int ending, void *value)
{
    *source = (struct source){.is_task = is_task, .ending = ending, .value = value};
    if (is_task) {
        source->executor = must_create(1);
        MUST(stook_executor_submit(source->executor, gate_task, &source->gate, NULL) == STOOK_OK);
        gate_await(&source->gate, 1);
        source->made.future = must_submit(source->executor, source_task, source);
    } else {
        source->made = must_promise();
    }
}

/* The future is terminal when it returns; if a task ended it, its callbacks may yet be due. */
static inline void source_end(struct source *source)
{
    if (!source->is_task) {
        must_end(&source->made, source->ending, source->value);
        return;
    }
    if (source->ending == ENDS_CANCELLED) {
        MUST(stook_future_cancel(source->made.future) == STOOK_CANCEL_DONE);
    }
    gate_open(&source->gate);
    MUST(stook_future_result(source->made.future, NULL) == ending_status[source->ending]);
}

static inline void source_release(struct source *source)
{
    stook_executor_destroy(source->executor);
    release_promised(&source->made);
}

/* The real stack, also where AddressSanitizer keeps local variables elsewhere. */
struct stack_span {
    uintptr_t low, high;
};

static inline void stack_note(struct stack_span *span)
{
    const uintptr_t here = (uintptr_t)__builtin_frame_address(0);

    span->low = span->low == 0 || here < span->low ? here : span->low;
    span->high = here > span->high ? here : span->high;
}

static inline stook_future *must_then(stook_future *before, enum stook_then_mode mode,
                                      stook_executor *executor, stook_then_fn *fn, void *arg)
{
    stook_future *future = NULL;

    MUST(stook_future_then(before, mode, executor, fn, arg, &future) == STOOK_OK);
    MUST(future != NULL);
    return future;
}

#endif
