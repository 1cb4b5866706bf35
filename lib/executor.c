/* SPDX-License-Identifier: MIT
 *
 * An executor from create to destroy: options, all-or-nothing start, shutdown (README.md,
 * "Shutdown").
 */
#include <stook/executor.h>
#include <stdlib.h>
#include <string.h>
#include "allocate.h"
#include "bond.h"
#include "callback.h"
#include "checks.h"
#include "fence.h"
#include "fork.h"
#include "options.h"
#include "park.h"
#include "pool.h"
#include "submit.h"
#include "task.h"
#include "thread.h"
#include "worker.h"

/* --- create -------------------------------------------------------------------------------------
 */

const struct stook_allocator *stook__executor_allocator(const stook_executor *executor)
{
    return executor->options.allocator;
}

static void workers_fini(stook_executor *executor)
{
    for (unsigned i = 0; i < executor->options.max_workers; i++) {
        stook__deque_fini(&executor->workers[i].deque);
    }
    stook__deallocate_aligned(&executor->allocator, executor->workers,
                              _Alignof(struct stook__worker),
                              executor->options.max_workers * sizeof(struct stook__worker));
}

static bool workers_init(stook_executor *executor)
{
    bool has_rings = true;

    executor->workers =
        stook__allocate_aligned(&executor->allocator, _Alignof(struct stook__worker),
                                executor->options.max_workers * sizeof(struct stook__worker));
    if (!executor->workers) {
        return false;
    }
    for (unsigned i = 0; i < executor->options.max_workers; i++) {
        struct stook__worker *worker = &executor->workers[i];
        worker->next = NULL;
        worker->random = i + 1;
        worker->dispatches = 0;
        worker->periods = 0;
        worker->passes = 0;
        stook__counters_init(&worker->counters);
        worker->husks = 0;
        worker->popped_end = 0;
        stook__deque_init(&worker->deque, &executor->allocator, &executor->thieves);
        /* Those that are not open have none until they first need it. */
        has_rings = has_rings &&
                    (i >= executor->options.workers || stook__deque_reserve(&worker->deque, 1));
    }
    if (!has_rings) {
        workers_fini(executor);
    }
    return has_rings;
}

static stook_executor *record_create(const struct stook_executor_options *options)
{
    struct stook_allocator allocator = stook__allocator_copy(options->allocator);
    stook_executor *executor =
        stook__allocate_aligned(&allocator, _Alignof(stook_executor), sizeof *executor);

    if (!executor) {
        return NULL;
    }
    memset(executor, 0, sizeof *executor);
    executor->options = *options;
    executor->allocator = allocator;
    executor->options.allocator = options->allocator ? &executor->allocator : NULL;
    strncpy(executor->name_prefix, options->name_prefix ? options->name_prefix : "stook",
            sizeof executor->name_prefix - 1);
    executor->options.name_prefix = executor->name_prefix;
    atomic_init(&executor->worker_count, options->workers);
    executor->thread_main = stook__thread_main;
    executor->generation = stook__fork_generation();
    executor->mark = STOOK__ALIVE;
    stook__counters_init(&executor->elsewhere);
    stook__lanes_init(executor);
    stook__platform_get_cpus(&executor->cpus);
    atomic_init(&executor->cancelling, 0);
    atomic_init(&executor->thieves, 0);
    return executor;
}

static void record_free(stook_executor *executor)
{
    STOOK_MARK_DEAD(executor->mark);
    struct stook_allocator allocator = executor->allocator;
    stook__deallocate_aligned(&allocator, executor, _Alignof(stook_executor), sizeof *executor);
}

static bool is_broken(const stook_executor *executor)
{
    /* order EX.refuse acq <- EX.cancel: who was refused by the close must see why */
    return (a_load_acq(&executor->cancelling) & STOOK__BROKEN) != 0;
}

/* All have left. */
static void join_threads(stook_executor *executor)
{
    struct stook__thread *last = NULL;

    mtx_lock(&executor->join_mutex);
    if (!executor->joined) {
        stook__timer_stop(executor);
        last = stook__park_join(executor);
        executor->joined = true;
    }
    mtx_unlock(&executor->join_mutex);
    stook__thread_free(last);
}

/* All or none. */
static enum stook_status threads_start(stook_executor *executor)
{
    bool all = stook__park_start(executor);

    if (all && !is_broken(executor)) {
        return STOOK_OK;
    }
    enum stook_status status = all ? STOOK_BROKEN : STOOK_THREAD;
    if (stook__park_has_threads(executor)) { /* all are spare: closing ends them at once */
        stook__worker_close(executor, 0);
        while (!stook_future_done(executor->ended)) { /* a wait would be refused in a callback */
            thrd_yield();
        }
        join_threads(executor);
    }
    return status;
}

enum stook_status stook_executor_create(const struct stook_executor_options *given,
                                        stook_executor **ret_executor)
{
    struct stook_executor_options options;
    enum stook_status status = STOOK_NOMEM;

    if (!ret_executor || !stook__options_resolve(given, &options)) {
        return STOOK_INVALID;
    }
    stook__fork_watch();
    stook__fence_init();
    stook_executor *executor = record_create(&options);
    if (!executor) {
        return STOOK_NOMEM;
    }
    executor->slabs = stook__slabs_create(stook__executor_allocator(executor));
    if (!executor->slabs) {
        goto fail_slabs;
    }
    executor->slabs->executor = executor;
    executor->ended = stook__task_create_sized(stook__executor_allocator(executor),
                                               sizeof(stook_future), NULL, NULL, NULL, 1);
    if (!executor->ended) {
        goto fail_ended;
    }
    stook__task_claim(executor->ended); /* nobody else may run it: the last thread finishes it */
    if (!workers_init(executor)) {
        goto fail_workers;
    }
    executor->root = stook__token_create_root(executor);
    if (!executor->root) {
        goto fail_root;
    }
    status = STOOK_THREAD;
    if (!stook__timer_init(executor)) {
        goto fail_timer;
    }
    if (!stook__waits_init(&executor->waits)) {
        goto fail_waits;
    }
    if (!stook__inject_init(&executor->inject, options.queue_limit)) {
        goto fail_inject;
    }
    if (!stook__park_init(executor)) {
        goto fail_park;
    }
    if (mtx_init(&executor->join_mutex, mtx_plain) != thrd_success) {
        goto fail_join;
    }
    status = threads_start(executor);
    if (status != STOOK_OK) {
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
    stook__waits_fini(&executor->waits);
fail_waits:
    stook__timer_fini(executor);
fail_timer:
    stook__token_abandon_root(executor->root);
fail_root:
    workers_fini(executor);
fail_workers:
    stook__task_release(executor->ended);
fail_ended:
    stook__slabs_close(executor->slabs);
fail_slabs:
    record_free(executor);
    return status;
}

unsigned stook_executor_worker_count(const stook_executor *executor)
{
    return executor ? stook__worker_count(executor) : 0;
}

enum stook_status stook_executor_resize(stook_executor *executor, unsigned workers)
{
    if (!executor || workers == 0 || workers > executor->options.max_workers) {
        return STOOK_INVALID;
    }
    enum stook_status status = stook__submit_status(executor);
    if (status != STOOK_OK) {
        return status;
    }
    return stook__park_resize(executor, workers) ? STOOK_OK : stook__submit_status(executor);
}

/* --- shutdown -----------------------------------------------------------------------------------
 */

enum stook_status stook_executor_shutdown(stook_executor *executor, enum stook_shutdown_mode mode,
                                          int64_t deadline_ns)
{
    if (!executor || (mode != STOOK_DRAIN && mode != STOOK_CANCEL_PENDING)) {
        return STOOK_INVALID;
    }
    STOOK_CHECK_ALIVE(executor, "an executor");
    if (stook__forked(executor->generation)) {
        return STOOK_FORKED;
    }
    if (stook__thread_serves(executor) || stook__callback_running()) {
        return STOOK_DEADLOCK;
    }
    stook__worker_close(executor, mode == STOOK_CANCEL_PENDING ? STOOK__CANCELS : 0);
    enum stook_status status = stook_future_wait_until(executor->ended, deadline_ns);
    if (status != STOOK_OK) {
        return status;
    }
    join_threads(executor);
    return STOOK_OK;
}

void stook_executor_destroy(stook_executor *executor)
{
    if (!executor) {
        return;
    }
    STOOK_CHECK_ALIVE(executor, "an executor");
    if (stook__forked(executor->generation)) {
        return;
    }
    enum stook_status status = stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER);
    STOOK_CHECK_API(status == STOOK_OK,
                    "stook_executor_destroy() called in the executor's own task, or in a callback");
    (void)status;
    mtx_destroy(&executor->join_mutex);
    stook__park_fini(executor);
    stook__inject_fini(&executor->inject);
    stook__waits_fini(&executor->waits);
    stook__token_abandon_root(executor->root);
    stook__timer_fini(executor);
    workers_fini(executor);
    stook__lanes_fini(executor);
    stook__task_release(executor->ended);
    stook__slabs_close(executor->slabs);
    record_free(executor);
}
