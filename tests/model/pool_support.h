/* SPDX-License-Identifier: MIT
 *
 * What the models of whole executors have in common.
 */
#ifndef POOL_SUPPORT_H
#define POOL_SUPPORT_H

#include <stook/executor.h>
#include <stook/future.h>
#include <stook/promise.h>
#include "fence.h"
#include "model.h"

static stook_executor *executor;
static int input;              /* written before anything is submitted; racy, unless that is seen */
static int ran[4];             /* how often each task has run */
static bool asymmetric = true; /* fences, as where membarrier() is to be had */

static inline void create_between(unsigned workers, unsigned max_workers)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;

    options.workers = workers;
    options.max_workers = max_workers;
    options.max_extra_threads = 1;
    for (unsigned i = 0; i < 4; i++) {
        ran[i] = 0;
    }
    stook__fence_init();
    atomic_init(&stook__fence_is_asymmetric, asymmetric);
    MODEL_CHECK(stook_executor_create(&options, &executor) == STOOK_OK);
    input = 7;
}

static inline void create(unsigned workers)
{
    create_between(workers, workers);
}

static inline int work(void *arg, void **ret_value)
{
    MODEL_CHECK(input == 7);
    *(int *)arg += 1;
    *ret_value = arg;
    return 0;
}

static inline void submit_and_wait(void *arg)
{
    stook_future *future;
    void *value;

    MODEL_CHECK(stook_executor_submit(executor, work, arg, &future) == STOOK_OK);
    MODEL_CHECK(stook_future_result(future, &value) == STOOK_OK);
    MODEL_CHECK(value == arg && *(int *)arg == 1);
    stook_future_release(future);
}

static inline void submit_only(void *arg)
{
    MODEL_CHECK(stook_executor_submit(executor, work, arg, NULL) == STOOK_OK);
}

#endif
