/* SPDX-License-Identifier: MIT
 *
 * The map phase: one task for each split of the input, emitting into the tables of a leased
 * segment.
 */
#include "mr_internal.h"

/* The rank that a split is mapped by. */
static uint32_t rank_of(const mr_batch *batch, const struct mr__split *split)
{
    uint64_t index = (uint64_t)(split - batch->plan.splits);
    uint32_t ranks = batch->job.ranks ? batch->job.ranks : 1;
    return (uint32_t)(index * ranks / batch->plan.count);
}

enum stook_status mr__batch_map(mr_batch *batch, const struct mr__split *split,
                                void (*fn)(void *arg, mr_emitter *out), void *arg)
{
    mr_emitter out = {.job = &batch->job,
                      .control = &batch->control,
                      .context = batch->context,
                      .segment = mr__store_lease(&batch->store, rank_of(batch, split)),
                      .phase = MR_PHASE_MAP};
    if (!out.segment) {
        mr__emitter_fail_plain(&out, STOOK_NOMEM);
        return out.status;
    }
    mr__task_begin(&out);
    mr__emitter_begin(&out);
    fn(arg, &out);
    mr__emitter_end(&out);
    mr__task_end(&out);
    mr__store_return(&batch->store, out.segment);
    return out.status;
}

static void map_range(void *arg, mr_emitter *out)
{
    const struct mr__task *task = arg;
    const struct mr__plan *plan = &task->batch->plan;

    mr__map_range(plan, &plan->splits[task->index], out);
}

static int map_task(void *arg, void **ret_value)
{
    const struct mr__task *task = arg;
    mr_batch *batch = task->batch;
    const struct mr__split *split = &batch->plan.splits[task->index];
    (void)ret_value;

    return split->way == MR_WAY_RANGE ? mr__batch_map(batch, split, map_range, arg)
                                      : mr__feed_run(batch->feed, split);
}

/* Makes the plan, and what its splits need, and submits their tasks. */
static enum stook_status begin(mr_batch *batch, struct mr_error *ret_error)
{
    struct mr__plan *plan = &batch->plan;
    enum stook_status status = mr__plan_make(
        plan, &batch->job.input, stook_executor_worker_count(batch->executor), ret_error);

    if (status != STOOK_OK) {
        return status;
    }
    batch->total = plan->total;
    if (plan->is_fed) {
        status = mr__feed_create(&batch->feed, batch, &batch->job, plan, &batch->control,
                                 &batch->context->budget, NULL, ret_error);
        if (status != STOOK_OK) {
            return status;
        }
    }
    status = mr__batch_submit(batch, map_task, plan->count);
    return status == STOOK_OK ? status : mr__error_plain(ret_error, status, MR_PHASE_NONE);
}

enum stook_status mr__async_map(struct mr__context *context, const struct mr_job *job,
                                mr_batch **ret_batch, struct mr_error *ret_error)
{
    uint32_t partitions = job->partitions ? job->partitions : MR_DEFAULT_PARTITIONS;
    bool has_tables = job->combine || job->reduce; /* else pairs are kept as they come */
    mr_batch *batch = mr__batch_create(context, job, MR_PHASE_MAP, has_tables ? partitions : 0);
    if (!batch) {
        return mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_NONE);
    }
    batch->job.partitions = partitions;
    enum stook_status status = begin(batch, ret_error);
    if (status != STOOK_OK) {
        mr_batch_destroy(batch);
        return status;
    }
    *ret_batch = batch;
    return STOOK_OK;
}

enum stook_status mr_async_map(stook_executor *executor, const struct mr_job *job,
                               mr_batch **ret_batch, struct mr_error *ret_error)
{
    enum stook_status status = mr__job_check(job, ret_error);
    if (status != STOOK_OK) {
        return status;
    }
    if (!executor || !ret_batch) {
        return mr__error_set(ret_error, STOOK_INVALID, MR_PHASE_NONE, 0,
                             "executor or ret_batch is NULL");
    }
    struct mr__context *context = mr__context_create(executor, job);
    if (!context) {
        return mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_NONE);
    }
    status = mr__async_map(context, job, ret_batch, ret_error);
    mr__context_release(context); /* the batch has another */
    return status;
}
