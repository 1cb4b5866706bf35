/* SPDX-License-Identifier: MIT
 *
 * The shuffle: for each partition, the tables of all segments become one. Partitions share nothing,
 * so their tasks need no locks; the smaller tables go into the largest.
 */
#include <stdlib.h>
#include "mr_internal.h"

/* --- merging one partition -------------------------------------------------------------------- */

static void fail_merge(mr_batch *batch, enum stook_status status, int code, struct mr_slice key)
{
    struct mr_error error;
    char quoted[MR_KEY_TEXT];

    if (status == STOOK_TASK_FAILED) {
        mr__error_set(&error, status, MR_PHASE_SHUFFLE, code,
                      "combine failed with code %d for key %s", code, mr__key_text(key, quoted));
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
        *largest = (struct mr__table){0};
    }
}

static int shuffle_task(void *arg, void **ret_value)
{
    const struct mr__task *task = arg;
    mr_batch *batch = task->batch;
    const mr_groups *groups = batch->groups;
    uint32_t partition = batch->partitions[task->index];
    struct mr__fold fold = {.combine = batch->job.combine,
                            .user = batch->job.user,
                            .arena = &groups->arenas[partition]};
    (void)ret_value;

    take_largest(groups, partition);
    for (struct mr__segment *segment = groups->store.all; segment; segment = segment->next) {
        struct mr_slice key = mr_slice_of(NULL, 0);
        if (mr__control_stopped(&batch->control)) {
            return STOOK_CANCELLED;
        }
        enum stook_status status =
            mr__table_merge(&groups->tables[partition], &fold, &segment->tables[partition], &key);
        if (status != STOOK_OK) {
            fail_merge(batch, status, fold.code, key);
            return status;
        }
    }
    return 0;
}

/* --- groups ----------------------------------------------------------------------------------- */

/* Takes over what the batch has emitted. */
static mr_groups *groups_create(mr_batch *batch)
{
    mr_groups *groups = calloc(1, sizeof *groups);
    if (!groups) {
        return NULL;
    }
    groups->job = batch->job;
    groups->partitions = batch->job.partitions;
    groups->tables = calloc(groups->partitions, sizeof *groups->tables);
    groups->arenas = calloc(groups->partitions, sizeof *groups->arenas);
    if (!groups->tables || !groups->arenas || !mr__store_init(&groups->store, groups->partitions)) {
        free(groups->tables);
        free(groups->arenas);
        free(groups);
        return NULL;
    }
    mr__store_move(&groups->store, &batch->store);
    batch->is_taken = true;
    return groups;
}

void mr_groups_destroy(mr_groups *groups)
{
    if (!groups) {
        return;
    }
    for (uint32_t i = 0; i < groups->partitions; i++) {
        mr__table_fini(&groups->tables[i]);
        mr__arena_fini(&groups->arenas[i]);
    }
    free(groups->tables);
    free(groups->arenas);
    mr__store_fini(&groups->store);
    free(groups);
}

uint64_t mr_groups_count(const mr_groups *groups)
{
    return groups->count;
}

/* --- the step --------------------------------------------------------------------------------- */

static bool has_emissions(const mr_groups *groups, uint32_t partition)
{
    for (const struct mr__segment *segment = groups->store.all; segment; segment = segment->next) {
        if (segment->tables[partition].count > 0) {
            return true;
        }
    }
    return false;
}

/* Merges all partitions, and waits for that. */
static enum stook_status merge_all(stook_executor *executor, const mr_groups *groups,
                                   struct mr_error *ret_error)
{
    mr_batch *batch = mr__batch_create(executor, &groups->job, MR_PHASE_SHUFFLE, 0);
    enum stook_status status =
        batch ? mr__batch_submit_partitions(batch, shuffle_task, groups, has_emissions)
              : STOOK_NOMEM;

    if (status == STOOK_OK) {
        mr__batch_wait(batch);
        status = mr__control_outcome(&batch->control, ret_error);
    } else {
        mr__error_plain(ret_error, status, MR_PHASE_SHUFFLE);
    }
    mr_batch_destroy(batch);
    return status;
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
    for (uint32_t i = 0; i < groups->partitions; i++) {
        groups->count += groups->tables[i].count;
    }
    *ret_groups = groups;
    return STOOK_OK;
}
