/* SPDX-License-Identifier: MIT
 *
 * The shuffle: for each partition, the tables of all segments become one. Partitions share nothing,
 * so their tasks need no locks; the smaller tables go into the largest.
 */
#include <stdlib.h>
#include "mr_internal.h"

/* --- merging one partition -------------------------------------------------------------------- */

static void fail_merge(mr_batch *batch, enum stook_status status, const struct mr__fold *fold)
{
    struct mr_error error;
    char quoted[MR_KEY_TEXT];

    if (status == STOOK_TASK_FAILED) {
        mr__error_set(&error, status, MR_PHASE_SHUFFLE, fold->code,
                      "combine failed with code %d for key %s", fold->code,
                      mr__key_text(fold->failed_key, quoted));
    } else {
        mr__error_plain(&error, status, MR_PHASE_SHUFFLE);
    }
    mr__control_fail(&batch->control, &error);
}

/* Starts a partition's table with the largest there is, so that the fewest keys move. */
static void take_largest(const mr_groups *groups, uint32_t partition)
{
    struct mr__table *largest = &groups->tables[partition];

    for (struct mr__segment *segment = groups->store.all; segment; segment = segment->next) {
        if (segment->tables[partition].count > largest->count) {
            largest = &segment->tables[partition];
        }
    }
    if (largest != &groups->tables[partition]) {
        groups->tables[partition] = *largest;
        *largest = (struct mr__table){.arena.budget = &groups->context->budget};
    }
}

static int shuffle_task(void *arg, void **ret_value)
{
    const struct mr__task *task = arg;
    mr_batch *batch = task->batch;
    const mr_groups *groups = batch->groups;
    uint32_t partition = batch->partitions[task->index];
    struct mr__fold fold = mr__fold_of(&batch->job);
    (void)ret_value;

    take_largest(groups, partition);
    for (struct mr__segment *segment = groups->store.all; segment; segment = segment->next) {
        if (mr__control_stopped(&batch->control)) {
            return STOOK_CANCELLED;
        }
        enum stook_status status =
            mr__table_merge(&groups->tables[partition], &fold, &segment->tables[partition]);
        if (status == STOOK_OK) {
            status =
                mr__scatter_gather(&segment->scatter, partition, &groups->tables[partition], &fold);
        }
        if (status != STOOK_OK) {
            fail_merge(batch, status, &fold);
            return status;
        }
    }
    return 0;
}

/* --- when something has been spilled ---------------------------------------------------------- */

/* What a segment still has goes after the rest. */
static int spill_task(void *arg, void **ret_value)
{
    const struct mr__task *task = arg;
    mr_batch *batch = task->batch;
    const mr_groups *groups = batch->groups;
    struct mr__segment *segment = groups->store.all;
    struct mr_error error = {.status = STOOK_OK};
    (void)ret_value;

    for (size_t i = 0; i < task->index; i++) {
        segment = segment->next;
    }
    if (groups->partitions > 0) {
        mr__segment_spill(groups->context, &groups->job, segment, groups->partitions, &error);
    } else if (segment->list.count > 0) {
        mr__list_spill(groups->context, &groups->job, segment, &segment->list, &segment->list_runs,
                       &error);
    }
    if (error.status != STOOK_OK) {
        error.phase = MR_PHASE_SHUFFLE;
        mr__control_fail(&batch->control, &error);
    }
    return (int)error.status;
}

static size_t count_segments(const mr_groups *groups)
{
    size_t count = 0;

    for (const struct mr__segment *segment = groups->store.all; segment; segment = segment->next) {
        count++;
    }
    return count;
}

/* Brings the runs of each partition together; those of lists stay with their segments. */
static enum stook_status collect_runs(mr_groups *groups)
{
    if (groups->partitions == 0) {
        return STOOK_OK;
    }
    groups->runs = calloc(groups->partitions + 1, sizeof *groups->runs);
    if (!groups->runs) {
        return STOOK_NOMEM;
    }
    for (const struct mr__segment *segment = groups->store.all; segment; segment = segment->next) {
        for (uint32_t i = 0; segment->runs && i < groups->partitions; i++) {
            if (!mr__runs_append(&groups->runs[i], &segment->runs[i])) {
                return STOOK_NOMEM;
            }
        }
    }
    return STOOK_OK;
}

/* --- groups ----------------------------------------------------------------------------------- */

/* Takes over what the batch has emitted. */
static mr_groups *groups_create(mr_batch *batch)
{
    mr_groups *groups = calloc(1, sizeof *groups);
    if (!groups) {
        return NULL;
    }
    groups->context = batch->context;
    atomic_init(&groups->refs, 1);
    groups->job = batch->job;
    stook_client_retain(groups->job.client);
    groups->partitions = batch->store.partitions;
    groups->tables = calloc(groups->partitions + 1, sizeof *groups->tables);
    if (!groups->tables || !mr__store_init(&groups->store, batch->context, groups->partitions)) {
        stook_client_release(groups->job.client);
        free(groups->tables);
        free(groups);
        return NULL;
    }
    for (uint32_t i = 0; i < groups->partitions; i++) {
        groups->tables[i].arena.budget = &batch->context->budget;
    }
    mr__store_move(&groups->store, &batch->store);
    batch->is_taken = true;
    return groups;
}

mr_groups *mr__groups_retain(mr_groups *groups)
{
    /* order MR.share rlx: the caller has a reference */
    mr_a_add_rlx(&groups->refs, 1);
    return groups;
}

void mr__groups_release(mr_groups *groups)
{
    /* order MR.last acqrel -> MR.last <- MR.last: the last one sees what the others did */
    if (!groups || mr_a_sub_acqrel(&groups->refs, 1) > 1) {
        return;
    }
    for (uint32_t i = 0; i < groups->partitions; i++) {
        mr__table_fini(&groups->tables[i]);
    }
    for (uint32_t i = 0; groups->runs && i < groups->partitions; i++) {
        mr__runs_fini(&groups->runs[i]);
    }
    free(groups->runs);
    free(groups->tables);
    mr__store_fini(&groups->store);
    free(groups);
}

void mr_groups_destroy(mr_groups *groups)
{
    if (groups) {
        /* Only the owner submits; results may outlive the executor, which clients must not. */
        stook_client_release(groups->job.client);
        mr__groups_release(groups);
    }
}

uint64_t mr_groups_count(const mr_groups *groups)
{
    return groups->count;
}

/* --- the step --------------------------------------------------------------------------------- */

static bool has_emissions(const mr_groups *groups, uint32_t partition)
{
    for (const struct mr__segment *segment = groups->store.all; segment; segment = segment->next) {
        if (segment->tables[partition].count > 0 || mr__scatter_has(&segment->scatter, partition)) {
            return true;
        }
    }
    return false;
}

/* Merges all partitions, and waits for that. */
static enum stook_status merge_all(stook_executor *executor, mr_groups *groups,
                                   struct mr_error *ret_error)
{
    mr_batch *batch = mr__batch_create(groups->context, &groups->job, MR_PHASE_SHUFFLE, 0);
    /* Ranks see nothing of each other but what has become bytes. */
    bool has_runs =
        mr__store_has_runs(&groups->store) || (groups->job.ranks > 1 && groups->partitions > 0);
    enum stook_status status = STOOK_NOMEM;

    if (batch) {
        batch->executor = executor;
    }
    if (batch && has_runs) {
        batch->groups = groups;
        status = mr__batch_submit(batch, spill_task, count_segments(groups));
    } else if (batch) {
        status = mr__batch_submit_partitions(batch, shuffle_task, groups, has_emissions);
    }
    if (status == STOOK_OK) {
        mr__batch_wait(batch);
        status = mr__control_outcome(&batch->control, ret_error);
        if (status == STOOK_OK && has_runs) {
            status = collect_runs(groups);
        }
    }
    if (status == STOOK_NOMEM || !batch || !batch->is_submitted) {
        mr__error_plain(ret_error, status, MR_PHASE_SHUFFLE);
    }
    mr_batch_destroy(batch);
    return status;
}

/* Keys; of what was spilled, pairs. */
static void count_groups(mr_groups *groups)
{
    for (uint32_t i = 0; i < groups->partitions; i++) {
        groups->count += groups->tables[i].count;
        mr__context_count_keys(groups->context, groups->tables[i].count);
        for (size_t j = 0; groups->runs && j < groups->runs[i].count; j++) {
            groups->count += groups->runs[i].all[j].pairs;
        }
    }
    for (struct mr__segment *segment = groups->store.all; segment; segment = segment->next) {
        groups->count += segment->list.count;
        for (size_t j = 0; j < segment->list_runs.count; j++) {
            groups->count += segment->list_runs.all[j].pairs;
        }
    }
}

enum stook_status mr_shuffle(stook_executor *executor, mr_batch *batch, mr_groups **ret_groups,
                             struct mr_error *ret_error)
{
    if (!executor || !batch || !ret_groups || batch->phase != MR_PHASE_MAP || batch->is_taken) {
        return mr__error_set(ret_error, STOOK_INVALID, MR_PHASE_NONE, 0,
                             "mr_shuffle needs an executor and a map batch that was not taken");
    }
    if (mr__batch_wait(batch) != STOOK_OK) {
        return mr__control_outcome(&batch->control, ret_error);
    }
    mr_groups *groups = groups_create(batch);
    if (!groups) {
        return mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_SHUFFLE);
    }
    enum stook_status status = merge_all(executor, groups, ret_error);
    if (status != STOOK_OK) {
        mr_groups_destroy(groups);
        return status;
    }
    count_groups(groups);
    *ret_groups = groups;
    return STOOK_OK;
}
