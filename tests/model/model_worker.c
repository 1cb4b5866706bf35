/* SPDX-License-Identifier: MIT
 *
 * What a worker does without swaps where it is alone, while others look on. A task's record between
 * the worker that submits and awaits it and a thread outside that gets a reference, uses it and
 * gives it up at any moment: it is whole whenever it is looked at, and goes after its last use.
 * And the counters: they add up in every snapshot.
 */
#include <stdatomic.h>
#include <stook/continuation.h>
#include <stook/stats.h>
#include "pool_support.h"

static _Atomic(stook_future *) passed_on; /* with a reference */

static void use(void *arg)
{
    stook_future *future;
    int64_t deadline_ns = *(const int64_t *)arg;

    while (!(future = atomic_load_explicit(&passed_on, memory_order_acquire))) {
        model_yield();
    }
    enum stook_status status = stook_future_wait_until(future, deadline_ns);
    MODEL_CHECK(status == STOOK_OK || status == STOOK_TIMEOUT);
    MODEL_CHECK(status == STOOK_TIMEOUT || ran[1] == 1);
    stook_future_release(future);
}

static void pass_on(stook_future *future)
{
    atomic_store_explicit(&passed_on, future, memory_order_release);
}

/* Waits for a task that somebody else looks at, too. */
static int wait_for_shared(void *arg, void **ret_value)
{
    stook_future *future;

    MODEL_CHECK(stook_executor_submit(executor, work, &ran[1], &future) == STOOK_OK);
    pass_on(stook_future_retain(future));
    MODEL_CHECK(stook_future_wait_until(future, STOOK_FOREVER) == STOOK_OK && ran[1] == 1);
    stook_future_release(future);
    submit_and_wait(&ran[2]); /* in the same record, if that is free */
    return work(arg, ret_value);
}

/* Leaves it to whoever has been given its last reference but the queue's. */
static int leave_shared(void *arg, void **ret_value)
{
    stook_future *future;

    MODEL_CHECK(stook_executor_submit(executor, work, &ran[1], &future) == STOOK_OK);
    pass_on(future);
    return work(arg, ret_value);
}

/* A task gives a reference to itself away, and it comes back before the task ends. */
static stook_future *own;
static atomic_bool has_gone;

static int give_own(void *arg, void **ret_value)
{
    pass_on(stook_future_retain(own));
    while (!atomic_load_explicit(&has_gone, memory_order_relaxed)) {
        model_yield();
    }
    return work(arg, ret_value);
}

static void use_own(void *arg)
{
    stook_future *future;
    (void)arg;

    while (!(future = atomic_load_explicit(&passed_on, memory_order_acquire))) {
        model_yield();
    }
    enum stook_status status = stook_future_wait_until(future, 1);
    MODEL_CHECK(status == STOOK_TIMEOUT);
    stook_future_release(future);
    atomic_store_explicit(&has_gone, true, memory_order_relaxed);
}

static int wait_for_own(void *arg, void **ret_value)
{
    MODEL_CHECK(stook_executor_submit(executor, give_own, &ran[1], &own) == STOOK_OK);
    MODEL_CHECK(stook_future_wait_until(own, STOOK_FOREVER) == STOOK_OK && ran[1] == 1);
    stook_future_release(own);
    submit_and_wait(&ran[2]); /* in the same record */
    return work(arg, ret_value);
}

static void run_own(void)
{
    stook_future *future;

    atomic_store_explicit(&passed_on, NULL, memory_order_relaxed);
    atomic_store_explicit(&has_gone, false, memory_order_relaxed);
    create(1);
    model_start(use_own, NULL);
    MODEL_CHECK(stook_executor_submit(executor, wait_for_own, &ran[0], &future) == STOOK_OK);
    model_join();
    MODEL_CHECK(stook_future_wait_until(future, STOOK_FOREVER) == STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(executor);
    MODEL_CHECK(ran[0] == 1 && ran[1] == 1);
}

static void run(stook_task_fn *fn, int64_t deadline_ns)
{
    static int64_t deadline;
    stook_future *future;

    deadline = deadline_ns;
    atomic_store_explicit(&passed_on, NULL, memory_order_relaxed);
    create(1);
    model_start(use, &deadline);
    MODEL_CHECK(stook_executor_submit(executor, fn, &ran[0], &future) == STOOK_OK);
    model_join();
    MODEL_CHECK(stook_future_wait_until(future, STOOK_FOREVER) == STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(executor);
    MODEL_CHECK(ran[0] == 1 && ran[1] == 1);
}

static void run_look(void)
{
    run(wait_for_shared, 0);
}

static void run_wait(void)
{
    run(wait_for_shared, INT64_C(2000000000));
}

static void run_leave(void)
{
    run(leave_shared, 0);
}

static void run_leave_wait(void)
{
    run(leave_shared, INT64_C(2000000000));
}

static int wait_for_child(void *arg, void **ret_value)
{
    submit_and_wait(&ran[1]);
    return work(arg, ret_value);
}

static void run_counted(void)
{
    struct stook_stats stats = STOOK_STATS_INIT;
    stook_future *future;

    create(1);
    MODEL_CHECK(stook_executor_submit(executor, wait_for_child, &ran[0], &future) == STOOK_OK);
    MODEL_CHECK(stook_executor_stats(executor, &stats, NULL, 0) == STOOK_OK);
    MODEL_CHECK(stats.submitted >= stats.begun && stats.begun >= stats.ended);
    MODEL_CHECK(stats.submitted <= 2);
    MODEL_CHECK(stook_future_wait_until(future, STOOK_FOREVER) == STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(executor);
}

/* By threads that have no counters of their own. */
static void look_at_cancelled(void *arg)
{
    struct stook_stats stats = STOOK_STATS_INIT;
    (void)arg;

    MODEL_CHECK(stook_executor_stats(executor, &stats, NULL, 0) == STOOK_OK);
    MODEL_CHECK(stats.cancelled <= stats.submitted);
}

static int never(stook_future *before, void *arg, void **ret_value)
{
    (void)before;
    (void)arg;
    (void)ret_value;
    model_fail("it was cancelled");
}

static void run_cancelled(void)
{
    stook_promise *promise;
    stook_future *before;
    stook_future *after;

    create(1);
    MODEL_CHECK(stook_promise_create(NULL, &promise, &before) == STOOK_OK);
    model_start(look_at_cancelled, NULL);
    MODEL_CHECK(stook_future_then(before, STOOK_THEN_ALWAYS, executor, never, NULL, &after) ==
                STOOK_OK);
    MODEL_CHECK(stook_future_cancel(after) == STOOK_CANCEL_DONE);
    stook_future_release(after);
    stook_future_release(before);
    stook_promise_release(promise);
    model_join();
    stook_executor_destroy(executor);
}

int main(int argc, char **argv)
{
    static const struct model models[] = {
        {"look", run_look, 1, 1, 100000, 0},
        {"wait", run_wait, 1, 1, 100000, 0},
        {"leave", run_leave, 1, 1, 100000, 0},
        {"counted", run_counted, 2, 1, 100000, 0},
        {"own", run_own, 1, 1, 100000, 0},
        {"cancelled", run_cancelled, 2, 1, 100000, 0},
        {"leave_wait", run_leave_wait, 1, 1, 100000, 0},
    };
    return model_main(argc, argv, models, sizeof models / sizeof models[0]);
}
