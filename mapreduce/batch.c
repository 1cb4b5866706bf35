/* SPDX-License-Identifier: MIT
 *
 * The life of a phase's tasks: submit, look, cancel, wait, free. What the tasks do is in async_map.c,
 * shuffle.c and async_reduce.c.
 */
#include <stdlib.h>
#include "mr_internal.h"

mr_batch *mr__batch_create(stook_executor *executor, const struct mr_job *job, enum mr_phase phase,
                           uint32_t partitions)
{
    mr_batch *batch = calloc(1, sizeof *batch);
    if (!batch) {
        return NULL;
    }
    batch->executor = executor;
    batch->job = *job;
    batch->phase = phase;
    if (!mr__control_init(&batch->control)) {
        free(batch);
        return NULL;
    }
    if (!mr__store_init(&batch->store, partitions)) {
        mr__control_fini(&batch->control);
        free(batch);
        return NULL;
    }
    return batch;
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
    enum stook_status status = stook_executor_submit_many(
        batch->executor, NULL, fn, batch->tasks, count, sizeof *batch->tasks, batch->futures);
    batch->is_submitted = status == STOOK_OK;
    return status;
}

enum stook_status mr__batch_submit_partitions(mr_batch *batch, stook_task_fn *fn,
                                              const mr_groups *groups,
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
    uint64_t done = mr__store_done(&batch->store);

    *ret_done = done;
    *ret_not_done = batch->total - done;
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

/* A wait for ever fails only in one of the batch's own tasks, which is the caller's bug; looking again
 * and again keeps at least the promise that nothing is freed under a running task. */
static void wait_for(stook_future *future)
{
    while (stook_future_wait_until(future, STOOK_FOREVER) != STOOK_OK) {
        thrd_yield();
    }
}

enum stook_status mr__batch_wait(mr_batch *batch)
{
    bool is_cancelled = false;

    for (size_t i = 0; batch->is_submitted && i < batch->count; i++) {
        wait_for(batch->futures[i]);
        note_shutdown(batch, batch->futures[i]);
        if (!is_cancelled && mr__control_stopped(&batch->control)) {
            cancel_futures(batch); /* what has not begun need not */
            is_cancelled = true;
        }
    }
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
        for (size_t i = 0; i < batch->count; i++) {
            stook_future_release(batch->futures[i]);
        }
    }
    for (size_t i = 0; batch->lists && i < batch->count; i++) {
        mr__list_fini(&batch->lists[i]);
    }
    free(batch->lists);
    free(batch->partitions);
    free(batch->futures);
    free(batch->tasks);
    mr__plan_fini(&batch->plan);
    mr__store_fini(&batch->store);
    mr__control_fini(&batch->control);
    free(batch);
}
