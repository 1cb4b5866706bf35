/* SPDX-License-Identifier: MIT
 *
 * The reduce phase: one task for each partition that has keys, each with a list of its own.
 */
#include <stdlib.h>
#include <string.h>
#include "group.h"
#include "mr_internal.h"

/* Reduces one key, or emits its combined value; false: stop. */
static bool reduce_key(struct mr_slice key, mr_values *values, mr_emitter *out)
{
    struct mr_slice value;

    if (!out->job->reduce) {
        return mr_values_next(values, &value) && mr_emit(out, key, value) == STOOK_OK;
    }
    int code = out->job->reduce(key, values, out, out->job->user);
    if (code != 0 && out->status == STOOK_OK) {
        mr__emitter_fail(out, "reduce", code, &key);
    }
    return out->status == STOOK_OK;
}

static void reduce_table(const struct mr__table *table, mr_emitter *out)
{
    for (size_t i = 0; i < table->capacity && !mr__control_stopped(out->control); i++) {
        const struct mr__slot *slot = &table->slots[i];
        if (slot->value_kind != MR_VALUE_NONE) {
            mr_values values = {.cursor = mr__slot_values(slot)};
            if (!reduce_key(mr__slot_key(slot), &values, out)) {
                return;
            }
            mr__segment_progress(out->segment, 1);
        }
    }
}

/* --- what has been spilled -------------------------------------------------------------------- */

/* Room for the combined value of a key. */
struct accumulator {
    uint64_t *bytes; /* aligned */
    size_t size;
    size_t room;
};

static bool accumulator_set(struct accumulator *accumulator, struct mr_slice value)
{
    if (value.size > accumulator->room || !accumulator->bytes) {
        uint64_t *bigger = realloc(accumulator->bytes, value.size + 64);
        if (!bigger) {
            return false;
        }
        accumulator->bytes = bigger;
        accumulator->room = value.size + 64;
    }
    if (value.size > 0) {
        memcpy(accumulator->bytes, value.data, value.size);
    }
    accumulator->size = value.size;
    return true;
}

/* Folds all values of the group's key. */
static bool combine_group(struct mr__group *group, struct mr_slice key,
                          struct accumulator *accumulator, mr_emitter *out)
{
    const struct mr_job *job = out->job;
    struct mr_slice value;
    int code = 0;

    if (!mr__group_next(group, &value) || !accumulator_set(accumulator, value)) {
        mr__emitter_fail_plain(out, STOOK_NOMEM);
        return false;
    }
    while (code == 0 && mr__group_next(group, &value)) {
        code = job->combine(key, accumulator->bytes, accumulator->size, value, job->user);
    }
    if (code != 0) {
        mr__emitter_fail(out, "combine", code, &key);
    }
    return code == 0;
}

static void reduce_groups(struct mr__group *group, mr_emitter *out)
{
    struct accumulator accumulator = {.bytes = NULL};
    struct mr_slice key;
    uint64_t counted = 0;

    while (!mr__control_stopped(out->control) && mr__group_next_key(group, &key)) {
        mr_values values = {.group = group};
        struct mr_slice only;
        if (out->job->combine) {
            if (!combine_group(group, key, &accumulator, out)) {
                break;
            }
            only = mr_slice_of(accumulator.bytes, accumulator.size);
            values = (mr_values){.only = &only};
        }
        if (!reduce_key(key, &values, out)) {
            break;
        }
        out->keys++;
        uint64_t pairs = group->pairs - group->is_ahead;
        mr__segment_progress(out->segment, pairs - counted);
        counted = pairs;
    }
    free(accumulator.bytes);
}

/* Reads runs that are not too many. */
static void reduce_merged(const struct mr__runs *runs, mr_emitter *out)
{
    struct mr__group group;

    if (mr__group_begin(&group, out->job, &out->context->budget, runs->all, runs->count)) {
        reduce_groups(&group, out);
    }
    if (group.merge.status != STOOK_OK) {
        mr__emitter_fail_read(out, group.merge.status, group.merge.code);
    } else if (out->status == STOOK_OK && !mr__control_stopped(out->control)) {
        /* what the last reducer has not read */
        mr__segment_progress(out->segment, group.is_ahead);
    }
    mr__group_end(&group);
}

static void reduce_runs(const struct mr__runs *all, mr_emitter *out)
{
    struct mr__runs runs = {0};
    struct mr_error error;
    enum stook_status status = STOOK_NOMEM;

    mr__error_plain(&error, status, MR_PHASE_REDUCE);
    if (mr__runs_append(&runs, all)) { /* the groups may be reduced once more */
        status = mr__runs_lessen(out->context, out->job, out->segment, false, &runs, out->control,
                                 &error);
    }
    if (status == STOOK_OK) {
        reduce_merged(&runs, out);
    } else {
        error.phase = MR_PHASE_REDUCE;
        out->status = status;
        mr__control_fail(out->control, &error);
    }
    mr__runs_fini(&runs);
}

/* --- the phase -------------------------------------------------------------------------------- */

static int reduce_task(void *arg, void **ret_value)
{
    const struct mr__task *task = arg;
    mr_batch *batch = task->batch;
    const mr_groups *groups = batch->groups;
    uint32_t partition = batch->partitions[task->index];
    (void)ret_value;

    mr_emitter out = {.job = &batch->job,
                      .control = &batch->control,
                      .context = batch->context,
                      .segment = mr__store_lease(&batch->store, 0),
                      .list = &batch->lists[task->index],
                      .runs = &batch->runs[task->index],
                      .phase = MR_PHASE_REDUCE};
    if (!out.segment) {
        mr__emitter_fail_plain(&out, STOOK_NOMEM);
        return out.status;
    }
    mr__task_begin(&out);
    if (groups->runs) {
        reduce_runs(&groups->runs[partition], &out);
    } else {
        reduce_table(&groups->tables[partition], &out);
        if (groups->is_consumed) {
            mr__table_fini(&groups->tables[partition]);
        }
    }
    mr__emitter_end(&out);
    mr__task_end(&out);
    mr__store_return(&batch->store, out.segment);
    return out.status;
}

static bool has_keys(const mr_groups *groups, uint32_t partition)
{
    return groups->runs ? groups->runs[partition].count > 0 : groups->tables[partition].count > 0;
}

static enum stook_status submit_reduce(mr_batch *batch, mr_groups *groups)
{
    if (!batch->job.reduce && !groups->runs) { /* the groups are the result */
        batch->groups = groups;
        return mr__batch_submit(batch, reduce_task, 0);
    }
    batch->total = groups->count;
    batch->lists = calloc(groups->partitions, sizeof *batch->lists);
    batch->runs = calloc(groups->partitions, sizeof *batch->runs);
    if (!batch->lists || !batch->runs) {
        return STOOK_NOMEM;
    }
    for (uint32_t i = 0; i < groups->partitions; i++) {
        batch->lists[i].budget = &batch->context->budget;
    }
    return mr__batch_submit_partitions(batch, reduce_task, groups, has_keys);
}

enum stook_status mr_async_reduce(stook_executor *executor, mr_groups *groups, mr_batch **ret_batch,
                                  struct mr_error *ret_error)
{
    if (!executor || !groups || !ret_batch) {
        return mr__error_set(ret_error, STOOK_INVALID, MR_PHASE_NONE, 0,
                             "executor, groups or ret_batch is NULL");
    }
    mr_batch *batch = mr__batch_create(groups->context, &groups->job, MR_PHASE_REDUCE, 0);
    enum stook_status status = STOOK_NOMEM;
    if (batch) {
        batch->executor = executor;
        status = submit_reduce(batch, groups);
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
    struct mr__result_source source = {
        .context = batch->context, .job = &batch->job, .store = &batch->store};
    if (batch->lists) {
        source.lists = &batch->lists;
        source.runs = batch->runs;
        source.list_count = batch->count;
    } else {
        source.groups = batch->groups;
    }
    struct mr_error error;
    status = mr__result_create(&source, batch->executor, ret_result, &error);
    if (status != STOOK_OK) {
        mr__control_fail(&batch->control, &error); /* unless it is being cancelled */
        return mr__control_outcome(&batch->control, NULL);
    }
    batch->is_taken = true;
    return STOOK_OK;
}
