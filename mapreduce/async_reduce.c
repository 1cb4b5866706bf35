/* SPDX-License-Identifier: MIT
 *
 * The reduce phase: one task for each partition that has keys, each with a list of its own.
 */
#include <stdlib.h>
#include "mr_internal.h"

static void reduce_partition(const struct mr__table *table, mr_emitter *out)
{
    for (size_t i = 0; i < table->capacity; i++) {
        const struct mr__slot *slot = &table->slots[i];
        if (slot->value_kind == MR_VALUE_NONE) {
            continue;
        }
        if (mr__control_stopped(out->control)) {
            return;
        }
        mr_values values = {.cursor = mr__slot_values(slot)};
        struct mr_slice key = mr__slot_key(slot);
        int code = out->job->reduce(key, &values, out, out->job->user);
        if (code != 0 && out->status == STOOK_OK) {
            mr__emitter_fail(out, "reduce", code, &key);
        }
        if (out->status != STOOK_OK) {
            return;
        }
        mr__segment_progress(out->segment, 1);
    }
}

static int reduce_task(void *arg, void **ret_value)
{
    const struct mr__task *task = arg;
    mr_batch *batch = task->batch;
    struct mr__list *list = &batch->lists[task->index];
    (void)ret_value;

    mr_emitter out = {.job = &batch->job,
                      .control = &batch->control,
                      .segment = mr__store_lease(&batch->store),
                      .list = list,
                      .phase = MR_PHASE_REDUCE};
    if (!out.segment) {
        mr__emitter_fail_plain(&out, STOOK_NOMEM);
        return out.status;
    }
    reduce_partition(&batch->groups->tables[batch->partitions[task->index]], &out);
    mr__store_return(&batch->store, out.segment);
    if (batch->job.order == MR_ORDER_KEY && !mr_emitter_stopped(&out)) {
        mr__list_sort(list);
    }
    return out.status;
}

static bool has_keys(const mr_groups *groups, uint32_t partition)
{
    return groups->tables[partition].count > 0;
}

enum stook_status mr_async_reduce(stook_executor *executor, const mr_groups *groups,
                                  mr_batch **ret_batch, struct mr_error *ret_error)
{
    enum stook_status status = STOOK_NOMEM;

    if (!executor || !groups || !ret_batch) {
        return mr__error_set(ret_error, STOOK_INVALID, MR_PHASE_NONE, 0,
                             "executor, groups or ret_batch is NULL");
    }
    if (!groups->job.reduce) {
        return mr__error_set(ret_error, STOOK_INVALID, MR_PHASE_NONE, 0, "job.reduce is NULL");
    }
    mr_batch *batch = mr__batch_create(executor, &groups->job, MR_PHASE_REDUCE, 0);
    if (batch) {
        batch->total = groups->count;
        batch->lists = calloc(groups->partitions, sizeof *batch->lists);
        if (batch->lists) {
            status = mr__batch_submit_partitions(batch, reduce_task, groups, has_keys);
        }
    }
    if (status != STOOK_OK) {
        mr_batch_destroy(batch);
        return mr__error_plain(ret_error, status, MR_PHASE_REDUCE);
    }
    *ret_batch = batch;
    return STOOK_OK;
}

enum stook_status mr_batch_result(mr_batch *batch, mr_result **ret_result)
{
    if (!batch || !ret_result || batch->phase != MR_PHASE_REDUCE || batch->is_taken) {
        return STOOK_INVALID;
    }
    enum stook_status status = mr__batch_wait(batch);
    if (status != STOOK_OK) {
        return status;
    }
    mr_result *result =
        mr__result_create(&batch->store, &batch->lists, batch->count, batch->job.order);
    if (!result) {
        return STOOK_NOMEM;
    }
    batch->is_taken = true;
    *ret_result = result;
    return STOOK_OK;
}
