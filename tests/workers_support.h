/* SPDX-License-Identifier: MIT
 *
 * Executors that are resized: creating one, and how many of its tasks run at a time.
 */
#ifndef STOOK_TESTS_WORKERS_SUPPORT_H
#define STOOK_TESTS_WORKERS_SUPPORT_H

#include "support.h"

static inline stook_executor *create_between(unsigned workers, unsigned max_workers)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = NULL;

    options.workers = workers;
    options.max_workers = max_workers;
    options.keep_alive_ns = 5 * MILLISECOND;
    MUST(stook_executor_create(&options, &executor) == STOOK_OK);
    return executor;
}

static inline void await_all(stook_future *futures[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        MUST(stook_future_result(futures[i], NULL) == STOOK_OK);
    }
    release_all(futures, count);
}

/* How many tasks run at a time: each waits until `expected` are there, then all end. */
static inline bool runs_at_once(stook_executor *executor, int expected)
{
    stook_future *futures[64];
    struct gate gate = {0};

    MUST(expected <= 64);
    for (int i = 0; i < expected; i++) {
        futures[i] = must_submit(executor, gate_task, &gate);
    }
    gate_await(&gate, expected);
    gate_open(&gate);
    await_all(futures, (size_t)expected);
    return true;
}

struct overlap {
    atomic_int running, most;
};

static inline int overlap_task(void *arg, void **ret_value)
{
    struct overlap *overlap = arg;
    int running = atomic_fetch_add(&overlap->running, 1) + 1;
    int most = atomic_load(&overlap->most);

    (void)ret_value;
    while (running > most && !atomic_compare_exchange_weak(&overlap->most, &most, running)) {
    }
    thrd_yield();
    atomic_fetch_sub(&overlap->running, 1);
    return 0;
}

static inline int most_at_once(stook_executor *executor)
{
    enum { TASKS = 2000 };
    static stook_future *futures[TASKS];
    struct overlap overlap = {0};

    MUST(stook_executor_submit_many(executor, NULL, overlap_task, &overlap, TASKS, 0, futures) ==
         STOOK_OK);
    await_all(futures, TASKS);
    return atomic_load(&overlap.most);
}

#endif
