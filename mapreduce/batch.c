/* SPDX-License-Identifier: MIT
 *
 * The life of a phase's tasks: submit, look, cancel, wait, free. What the tasks do is in
 * async_map.c, shuffle.c and async_reduce.c.
 */
#include <stdlib.h>
#include "mr_internal.h"

mr_batch *mr__batch_create(struct mr__context *context, const struct mr_job *job,
                           enum mr_phase phase, uint32_t partitions)
{
    mr_batch *batch = calloc(1, sizeof *batch);
    if (!batch) {
        return NULL;
    }
    batch->executor = context->executor;
    batch->job = *job;
    batch->phase = phase;
    if (!mr__control_init(&batch->control)) {
        free(batch);
        return NULL;
    }
    if (!mr__store_init(&batch->store, context, partitions)) {
        mr__control_fini(&batch->control);
        free(batch);
        return NULL;
    }
    batch->context = context; /* kept by the store */
    stook_client_retain(job->client);
    return batch;
}

struct stook_submit_options mr__batch_options(const mr_batch *batch)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

    options.client = batch->job.client;
    return options;
}

enum stook_status mr__batch_submit(mr_batch *batch, stook_task_fn *fn, size_t count)
{
    batch->tasks = malloc((count + 1) * sizeof *batch->tasks);
    batch->futures = malloc((count + 1) * sizeof *batch->futures);
    if (!batch->tasks || !batch->futures) {
        return STOOK_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        batch->tasks[i] = (struct mr__task){.batch = batch, .index = i};
    }
    batch->count = count;
    struct stook_submit_options options = mr__batch_options(batch);
    batch->begun_ns = stook_now_ns();
    enum stook_status status = stook_executor_submit_many(
        batch->executor, &options, fn, batch->tasks, count, sizeof *batch->tasks, batch->futures);
    batch->is_submitted = status == STOOK_OK;
    if (batch->is_submitted) {
        mr__context_enter(batch->context, batch);
    }
    return status;
}

enum stook_status mr__batch_submit_partitions(mr_batch *batch, stook_task_fn *fn, mr_groups *groups,
                                              bool (*has_work)(const mr_groups *, uint32_t))
{
    size_t count = 0;

    batch->groups = groups;
    batch->partitions = malloc(groups->partitions * sizeof *batch->partitions);
    if (!batch->partitions) {
        return STOOK_NOMEM;
    }
    for (uint32_t i = 0; i < groups->partitions; i++) {
        if (has_work(groups, i)) {
            batch->partitions[count++] = i;
        }
    }
    return mr__batch_submit(batch, fn, count);
}

stook_future *const *mr_batch_futures(const mr_batch *batch, size_t *ret_count)
{
    *ret_count = batch->count;
    return batch->futures;
}

void mr_batch_progress(mr_batch *batch, uint64_t *ret_done, uint64_t *ret_not_done)
{
    uint64_t done = mr__store_done(&batch->store); /* first: what is done was taken before */

    *ret_done = done;
    *ret_not_done = batch->total + mr__feed_taken(batch->feed) - done;
}

static void cancel_futures(mr_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        stook_future_cancel(batch->futures[i]);
    }
}

void mr_batch_cancel(mr_batch *batch)
{
    struct mr_error error;

    mr__error_plain(&error, STOOK_CANCELLED, batch->phase);
    mr__control_fail(&batch->control, &error);
    cancel_futures(batch);
}

/* A task that was cancelled though nobody stopped the batch: then its executor did. */
static void note_shutdown(mr_batch *batch, const stook_future *future)
{
    if (stook_future_state(future) == STOOK_STATE_CANCELLED &&
        !mr__control_stopped(&batch->control)) {
        struct mr_error error;
        mr__error_plain(&error, STOOK_SHUTDOWN, batch->phase);
        mr__control_fail(&batch->control, &error);
    }
}

/* A wait for ever fails only in one of the batch's own tasks, which is the caller's bug; looking
 * again and again keeps at least the promise that nothing is freed under a running task. */
static void wait_for(stook_future *future)
{
    while (stook_future_wait_until(future, STOOK_FOREVER) != STOOK_OK) {
        thrd_yield();
    }
}

/* The phase took until now, when that is known first. */
static void note_end(mr_batch *batch)
{
    struct mr__context *context = batch->context;

    if (!batch->has_ended && batch->is_submitted) {
        uint64_t wall_ns = (uint64_t)(stook_now_ns() - batch->begun_ns);
        batch->has_ended = true;
        mtx_lock(&context->mutex);
        mr__context_phase(context, batch->phase)->wall_ns += wall_ns;
        mtx_unlock(&context->mutex);
    }
}

enum stook_status mr__batch_wait(mr_batch *batch)
{
    bool is_cancelled = false;

    /* The last one first: a task of the executor that waits runs them itself, and takes its newest
     * while others steal the oldest. */
    for (size_t i = batch->is_submitted ? batch->count : 0; i > 0; i--) {
        wait_for(batch->futures[i - 1]);
        note_shutdown(batch, batch->futures[i - 1]);
        if (!is_cancelled && mr__control_stopped(&batch->control)) {
            cancel_futures(batch); /* what has not begun need not */
            is_cancelled = true;
        }
    }
    note_end(batch);
    return mr__control_outcome(&batch->control, NULL);
}

const struct mr_error *mr_batch_error(const mr_batch *batch)
{
    return &batch->control.error;
}

void mr_batch_destroy(mr_batch *batch)
{
    if (!batch) {
        return;
    }
    if (batch->is_submitted) {
        mr_batch_cancel(batch);
        mr__batch_wait(batch);
        mr__context_leave(batch->context, batch);
        for (size_t i = 0; i < batch->count; i++) {
            stook_future_release(batch->futures[i]);
        }
    }
    for (size_t i = 0; batch->lists && i < batch->count; i++) {
        mr__list_fini(&batch->lists[i]);
    }
    for (size_t i = 0; batch->runs && i < batch->count; i++) {
        mr__runs_fini(&batch->runs[i]);
    }
    free(batch->lists);
    free(batch->runs);
    free(batch->partitions);
    free(batch->futures);
    free(batch->tasks);
    mr__feed_destroy(batch->feed);
    mr__plan_fini(&batch->plan);
    stook_client_release(batch->job.client);
    mr__store_fini(&batch->store);
    mr__control_fini(&batch->control);
    free(batch);
}
