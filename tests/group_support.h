/* SPDX-License-Identifier: MIT
 *
 * Helpers of the tests about tokens, scopes, time and deadlocks: objects and submission with
 * options that abort when they fail, tasks that stop when they are asked to, a callback that notes
 * who called it, and a recorder for what an executor reports.
 */
#ifndef STOOK_TESTS_GROUP_SUPPORT_H
#define STOOK_TESTS_GROUP_SUPPORT_H

#include <string.h>
#include "support.h"

/* A pointer that no function may write to. */
#define UNTOUCHED ((void *)(uintptr_t)0x5700)

/* --- objects and submission ------------------------------------------------------------------- */

static inline stook_token *must_token_until(stook_executor *executor, stook_token *parent,
                                            int64_t deadline_ns)
{
    stook_token *token = NULL;

    MUST(stook_token_create(executor, parent, deadline_ns, &token) == STOOK_OK);
    MUST(token != NULL);
    return token;
}

static inline stook_token *must_token(stook_executor *executor, stook_token *parent)
{
    return must_token_until(executor, parent, STOOK_FOREVER);
}

static inline stook_scope *must_scope_with(stook_executor *executor, stook_token *parent,
                                           size_t limit, bool keep_going)
{
    struct stook_scope_options options = STOOK_SCOPE_OPTIONS_INIT;
    stook_scope *scope = NULL;

    options.parent = parent;
    options.limit = limit;
    options.keep_going = keep_going;
    MUST(stook_scope_create(executor, &options, &scope) == STOOK_OK);
    MUST(scope != NULL);
    return scope;
}

static inline stook_scope *must_scope(stook_executor *executor)
{
    return must_scope_with(executor, NULL, 0, false);
}

static inline stook_future *must_submit_with(stook_executor *executor,
                                             const struct stook_submit_options *options,
                                             stook_task_fn *fn, void *arg)
{
    stook_future *future = NULL;

    MUST(stook_executor_submit_with(executor, options, fn, arg, &future) == STOOK_OK);
    MUST(future != NULL);
    return future;
}

static inline stook_future *must_submit_token(stook_executor *executor, stook_token *token,
                                              stook_task_fn *fn, void *arg)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

    options.token = token;
    return must_submit_with(executor, &options, fn, arg);
}

static inline stook_future *must_submit_in(stook_executor *executor, stook_scope *scope,
                                           stook_task_fn *fn, void *arg)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

    options.scope = scope;
    return must_submit_with(executor, &options, fn, arg);
}

static inline stook_future *must_submit_at(stook_executor *executor, int64_t start_ns,
                                           stook_task_fn *fn, void *arg)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

    options.start_ns = start_ns;
    return must_submit_with(executor, &options, fn, arg);
}

/* count tasks, all with the same argument; futures may be NULL. */
static inline void must_submit_many_in(stook_executor *executor, stook_scope *scope,
                                       stook_task_fn *fn, void *arg, size_t count,
                                       stook_future *futures[])
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

    options.scope = scope;
    MUST(stook_executor_submit_many(executor, &options, fn, arg, count, 0, futures) == STOOK_OK);
}

/* A task in each worker, which holds it until the gate opens. The gate must live as long as the
 * executor: nobody waits for these tasks. */
static inline void fill_workers(stook_executor *executor, struct gate *gate, unsigned workers)
{
    const int before = atomic_load(&gate->arrived);

    for (unsigned i = 0; i < workers; i++) {
        MUST(stook_executor_submit(executor, gate_task, gate, NULL) == STOOK_OK);
    }
    gate_await(gate, before + (int)workers);
}

static inline size_t count_in_state(stook_future *const futures[], size_t count,
                                    enum stook_state state)
{
    size_t matching = 0;

    for (size_t i = 0; i < count; i++) {
        matching += stook_future_state(futures[i]) == state;
    }
    return matching;
}

/* Prints the outcome unless it is the one that is expected. */
static inline bool outcome_is(const struct stook_scope_outcome *outcome, size_t submitted,
                              size_t done, size_t failed, size_t cancelled, int first_code)
{
    const bool is = outcome->submitted == submitted && outcome->done == done &&
                    outcome->failed == failed && outcome->cancelled == cancelled &&
                    outcome->first_code == first_code;

    if (!is) {
        fprintf(stderr, "outcome: submitted %zu done %zu failed %zu cancelled %zu first code %d\n",
                outcome->submitted, outcome->done, outcome->failed, outcome->cancelled,
                outcome->first_code);
    }
    return is;
}

/* --- tasks and callbacks ---------------------------------------------------------------------- */

/* Goes on until it is asked to stop, and then returns the code. */
struct stoppable {
    atomic_bool began;
    int code;
};

static inline int stoppable_task(void *arg, void **ret_value)
{
    struct stoppable *stoppable = arg;

    (void)ret_value;
    atomic_store(&stoppable->began, true);
    SPIN_UNTIL(stook_task_cancel_requested());
    return stoppable->code;
}

static inline void await_began(const struct stoppable *stoppable)
{
    SPIN_UNTIL(atomic_load(&stoppable->began));
}

/* Returns the int that arg points to. */
static inline int code_task(void *arg, void **ret_value)
{
    (void)ret_value;
    return *(int *)arg;
}

/* Waits for a future for ever, in a thread: arg is the future; gives the status. */
static inline int result_thread(void *arg)
{
    return (int)stook_future_result(arg, NULL);
}

static inline int must_join(thrd_t thread)
{
    int result;

    MUST(thrd_join(thread, &result) == thrd_success);
    return result;
}

/* Who called a callback, how often, and what it saw. */
struct called {
    atomic_int count;
    thrd_t thread;
    enum stook_state state;
};

static inline void note_call(stook_future *future, void *user_data)
{
    struct called *called = user_data;

    called->thread = thrd_current();
    called->state = stook_future_state(future);
    atomic_fetch_add(&called->count, 1);
}

/* --- reports ---------------------------------------------------------------------------------- */

struct reports {
    atomic_int count;
    atomic_flag busy; /* guards the text */
    size_t length;
    char text[16384]; /* one behind the other, while there is room */
};

static inline void record_report(void *user_data, const char *text)
{
    struct reports *reports = user_data;

    MUST(text != NULL);
    SPIN_UNTIL(!atomic_flag_test_and_set(&reports->busy));
    for (; *text != '\0' && reports->length < sizeof reports->text - 1; text++) {
        reports->text[reports->length++] = *text;
    }
    reports->text[reports->length] = '\0';
    atomic_flag_clear(&reports->busy);
    atomic_fetch_add(&reports->count, 1);
}

static inline stook_executor *must_create_reporting(unsigned workers, struct reports *reports)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = NULL;

    options.workers = workers;
    options.report = record_report;
    options.report_data = reports;
    MUST(stook_executor_create(&options, &executor) == STOOK_OK);
    return executor;
}

#endif
