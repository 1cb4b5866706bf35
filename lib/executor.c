/* SPDX-License-Identifier: MIT
 *
 * An executor from create to destroy: options, all-or-nothing start, the gate of submit, shutdown
 * (README.md, "Shutdown").
 */
#include <stook/executor.h>
#include <stdlib.h>
#include <string.h>
#include "checks.h"
#include "park.h"
#include "pool.h"
#include "task.h"
#include "worker.h"

/* --- create ------------------------------------------------------------------------------------- */

static bool options_are_valid(const struct stook_executor_options *options)
{
    return options->struct_size == sizeof *options && options->workers <= STOOK_MAX_WORKERS;
}

static bool workers_init(stook_executor *executor)
{
    size_t bytes = executor->worker_count * sizeof(struct stook__worker);

    executor->workers = aligned_alloc(_Alignof(struct stook__worker), bytes);
    if (!executor->workers) {
        return false;
    }
    for (unsigned i = 0; i < executor->worker_count; i++) {
        struct stook__worker *worker = &executor->workers[i];
        worker->next = NULL;
        worker->random = i + 1;
        worker->dispatches = 0;
        worker->husks = 0;
        if (!stook__deque_init(&worker->deque)) {
            while (i > 0) {
                stook__deque_fini(&executor->workers[--i].deque);
            }
            free(executor->workers);
            return false;
        }
    }
    return true;
}

static void workers_fini(stook_executor *executor)
{
    for (unsigned i = 0; i < executor->worker_count; i++) {
        stook__deque_fini(&executor->workers[i].deque);
    }
    free(executor->workers);
}

/* All or none. */
static bool threads_start(stook_executor *executor)
{
    unsigned started = 0;

    while (started < executor->worker_count && stook__park_add_thread(executor)) {
        started++;
    }
    if (started == executor->worker_count) {
        return true;
    }
    if (started > 0) { /* all are spare: closing ends them at once */
        enum stook_status ended = stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER);
        STOOK_ASSERT(ended == STOOK_OK);
        (void)ended;
    }
    return false;
}

enum stook_status stook_executor_create(const struct stook_executor_options *options,
                                        stook_executor **ret_executor)
{
    const struct stook_executor_options defaults = STOOK_EXECUTOR_OPTIONS_INIT;
    enum stook_status status = STOOK_NOMEM;

    options = options ? options : &defaults;
    if (!ret_executor || !options_are_valid(options)) {
        return STOOK_INVALID;
    }
    stook_executor *executor =
        aligned_alloc(_Alignof(struct stook_executor), sizeof(struct stook_executor));
    if (!executor) {
        return STOOK_NOMEM;
    }
    memset(executor, 0, sizeof *executor);
    atomic_init(&executor->cancelling, false);
    strncpy(executor->name_prefix, options->name_prefix ? options->name_prefix : "stook",
            sizeof executor->name_prefix - 1);
    executor->worker_count = options->workers ? options->workers : stook__platform_cpu_count();
    if (executor->worker_count > STOOK_MAX_WORKERS) {
        executor->worker_count = STOOK_MAX_WORKERS;
    }
    executor->ended = stook__task_create(NULL, NULL, NULL, 1);
    if (!executor->ended) {
        goto fail_ended;
    }
    stook__task_claim(executor->ended); /* nobody else may run it: the last thread finishes it */
    if (!workers_init(executor)) {
        goto fail_workers;
    }
    status = STOOK_THREAD;
    if (!stook__inject_init(&executor->inject)) {
        goto fail_inject;
    }
    if (!stook__park_init(executor, stook__thread_main)) {
        goto fail_park;
    }
    if (mtx_init(&executor->join_mutex, mtx_plain) != thrd_success) {
        goto fail_join;
    }
    if (!threads_start(executor)) {
        goto fail_threads;
    }
    *ret_executor = executor;
    return STOOK_OK;

fail_threads:
    mtx_destroy(&executor->join_mutex);
fail_join:
    stook__park_fini(executor);
fail_park:
    stook__inject_fini(&executor->inject);
fail_inject:
    workers_fini(executor);
fail_workers:
    stook__task_release(executor->ended);
fail_ended:
    free(executor);
    return status;
}

unsigned stook_executor_worker_count(const stook_executor *executor)
{
    return executor->worker_count;
}

/* --- submit ------------------------------------------------------------------------------------- */

/* The calling thread, if it is one of this executor: then it is in one of its tasks. */
static struct stook__thread *own_thread(const stook_executor *executor)
{
    struct stook__thread *thread = stook__thread_current();
    return thread && thread->executor == executor ? thread : NULL;
}

/* Accepts a chain of tasks, all or none. */
static enum stook_status accept(stook_executor *executor, stook_future *first, stook_future *last,
                                size_t count)
{
    struct stook__thread *thread = own_thread(executor);

    if (thread && thread->worker) {
        struct stook__deque *deque = &thread->worker->deque;
        /* A hint: what slips through is found by this very thread. */
        if (stook__inject_is_closed(&executor->inject)) {
            return STOOK_SHUTDOWN;
        }
        if (!stook__deque_reserve(deque, count)) {
            return STOOK_NOMEM;
        }
        stook__deque_push(deque, first, count);
    } else if (!stook__inject_push(&executor->inject, first, last, count)) {
        return STOOK_SHUTDOWN;
    }
    stook__park_notify(executor);
    return STOOK_OK;
}

enum stook_status stook_executor_submit(stook_executor *executor, stook_task_fn *fn, void *arg,
                                        stook_future **ret_future)
{
    if (!executor || !fn) {
        return STOOK_INVALID;
    }
    stook_future *task = stook__task_create(executor, fn, arg, ret_future ? 2 : 1);
    if (!task) {
        return STOOK_NOMEM;
    }
    enum stook_status status = accept(executor, task, task, 1);
    if (status != STOOK_OK) {
        free(task);
        return status;
    }
    if (ret_future) {
        *ret_future = task;
    }
    return STOOK_OK;
}

static void chain_free(stook_future *first)
{
    while (first) {
        stook_future *next = first->next;
        free(first);
        first = next;
    }
}

/* Creates `count` tasks with arguments base, base + size, ..., chained. */
static stook_future *chain_create(stook_executor *executor, stook_task_fn *fn, void *base,
                                  size_t count, size_t size, uint32_t refs, stook_future **ret_last)
{
    stook_future *first = NULL;
    stook_future *last = NULL;

    for (size_t i = 0; i < count; i++) {
        void *arg = size ? (char *)base + i * size : base;
        stook_future *task = stook__task_create(executor, fn, arg, refs);
        if (!task) {
            chain_free(first);
            return NULL;
        }
        if (last) {
            last->next = task;
        } else {
            first = task;
        }
        last = task;
    }
    *ret_last = last;
    return first;
}

enum stook_status stook_executor_submit_many(stook_executor *executor, stook_task_fn *fn,
                                             void *base, size_t count, size_t size,
                                             stook_future *ret_futures[])
{
    stook_future *last = NULL;

    if (!executor || !fn) {
        return STOOK_INVALID;
    }
    if (count == 0) {
        return STOOK_OK;
    }
    stook_future *first = chain_create(executor, fn, base, count, size, ret_futures ? 2 : 1, &last);
    if (!first) {
        return STOOK_NOMEM;
    }
    enum stook_status status = accept(executor, first, last, count);
    if (status != STOOK_OK) {
        chain_free(first);
        return status;
    }
    if (ret_futures) {
        /* The caller's references keep the chain; the last one's link is the queue's to change. */
        stook_future *task = first;
        for (size_t i = 0; i < count; i++) {
            ret_futures[i] = task;
            task = i + 1 < count ? task->next : NULL;
        }
    }
    return STOOK_OK;
}

/* --- shutdown ----------------------------------------------------------------------------------- */

enum stook_status stook_executor_shutdown(stook_executor *executor, enum stook_shutdown_mode mode,
                                          int64_t deadline_ns)
{
    if (!executor || (mode != STOOK_DRAIN && mode != STOOK_CANCEL_PENDING)) {
        return STOOK_INVALID;
    }
    if (own_thread(executor)) {
        return STOOK_DEADLOCK;
    }
    if (mode == STOOK_CANCEL_PENDING) {
        /* order EX.cancel rel -> EX.heed: what is dequeued from now on is cancelled */
        a_store_rel(&executor->cancelling, true);
    }
    stook__park_hold(executor); /* until what is taken out of the queues has been cancelled */
    stook__inject_close(&executor->inject);
    if (mode == STOOK_CANCEL_PENDING) {
        stook__worker_cancel_queued(executor);
    }
    stook__park_let_go(executor);
    enum stook_status status = stook_future_wait_until(executor->ended, deadline_ns);
    if (status != STOOK_OK) {
        return status;
    }
    mtx_lock(&executor->join_mutex);
    if (!executor->joined) {
        stook__park_join(executor);
        executor->joined = true;
    }
    mtx_unlock(&executor->join_mutex);
    return STOOK_OK;
}

void stook_executor_destroy(stook_executor *executor)
{
    if (!executor) {
        return;
    }
    enum stook_status status = stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER);
    STOOK_CHECK_API(status == STOOK_OK,
                    "stook_executor_destroy() called in the executor's own task");
    (void)status;
    mtx_destroy(&executor->join_mutex);
    stook__park_fini(executor);
    stook__inject_fini(&executor->inject);
    workers_fini(executor);
    stook__task_release(executor->ended);
    free(executor);
}
