/* SPDX-License-Identifier: MIT
 *
 * The shuffle: for each partition, the tables of all segments become one. Partitions share nothing,
 * so their tasks need no locks; the smaller tables go into the largest.
 */
#include <stdlib.h>
#include "mr_internal.h"

struct shuffle {
    mr_groups *groups;
    struct mr__control control;
};

struct shuffle_task {
    struct shuffle *shuffle;
    uint32_t partition;
};

static void fail_merge(struct shuffle *shuffle, enum stook_status status, int code,
                       struct mr_slice key)
{
    struct mr_error error;
    char quoted[MR_KEY_TEXT];

    if (status == STOOK_TASK_FAILED) {
        mr__error_set(&error, status, MR_PHASE_SHUFFLE, code,
                      "combine failed with code %d for key %s", code, mr__key_text(key, quoted));
    } else {
        mr__error_plain(&error, status, MR_PHASE_SHUFFLE);
    }
    mr__control_fail(&shuffle->control, &error);
}

static int shuffle_task_run(void *arg, void **ret_value)
{
    const struct shuffle_task *task = arg;
    struct shuffle *shuffle = task->shuffle;
    mr_groups *groups = shuffle->groups;
    struct mr__table *table = &groups->tables[task->partition];
    struct mr__fold fold = {.combine = groups->job.combine,
                            .user = groups->job.user,
                            .arena = &groups->arenas[task->partition]};
    (void)ret_value;

    /* Start from the largest, so that the fewest keys move. */
    struct mr__table *largest = NULL;
    for (struct mr__segment *segment = groups->store.all; segment; segment = segment->next) {
        struct mr__table *from = &segment->tables[task->partition];
        if (!largest || from->count > largest->count) {
            largest = from;
        }
    }
    if (largest) {
        *table = *largest;
        *largest = (struct mr__table){0};
    }
    for (struct mr__segment *segment = groups->store.all; segment; segment = segment->next) {
        struct mr_slice key = mr_slice_of(NULL, 0);
        if (mr__control_stopped(&shuffle->control)) {
            return STOOK_CANCELLED;
        }
        enum stook_status status =
            mr__table_merge(table, &fold, &segment->tables[task->partition], &key);
        if (status != STOOK_OK) {
            fail_merge(shuffle, status, fold.code, key);
            return status;
        }
    }
    return 0;
}

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
    groups->store.all = batch->store.all;
    batch->store.all = NULL;
    batch->store.free = NULL;
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

static bool is_empty(const mr_groups *groups, uint32_t partition)
{
    for (const struct mr__segment *segment = groups->store.all; segment; segment = segment->next) {
        if (segment->tables[partition].count > 0) {
            return false;
        }
    }
    return true;
}

/* Runs one task for each partition that is not empty, and waits for them. */
static enum stook_status merge_all(stook_executor *executor, struct shuffle *shuffle)
{
    mr_groups *groups = shuffle->groups;
    struct shuffle_task *tasks = malloc(groups->partitions * sizeof *tasks);
    stook_future **futures = malloc(groups->partitions * sizeof *futures);
    enum stook_status status = STOOK_NOMEM;
    size_t count = 0;

    if (tasks && futures) {
        for (uint32_t i = 0; i < groups->partitions; i++) {
            if (!is_empty(groups, i)) {
                tasks[count++] = (struct shuffle_task){.shuffle = shuffle, .partition = i};
            }
        }
        status = stook_executor_submit_many(executor, shuffle_task_run, tasks, count, sizeof *tasks,
                                            futures);
    }
    for (size_t i = 0; status == STOOK_OK && i < count; i++) {
        enum stook_status ended = stook_future_result(futures[i], NULL);
        if (ended == STOOK_CANCELLED) { /* the executor was shut down */
            fail_merge(shuffle, STOOK_SHUTDOWN, 0, mr_slice_of(NULL, 0));
        }
        stook_future_release(futures[i]);
    }
    free(futures);
    free(tasks);
    return status;
}

enum stook_status mr_shuffle(stook_executor *executor, mr_batch *batch, mr_groups **ret_groups,
                             struct mr_error *ret_error)
{
    struct shuffle shuffle;

    if (!executor || !batch || !ret_groups || batch->phase != MR_PHASE_MAP || batch->is_taken) {
        return mr__error_set(ret_error, STOOK_INVALID, MR_PHASE_NONE, 0,
                             "mr_shuffle needs an executor and a map batch that was not taken");
    }
    if (mr__batch_wait(batch) != STOOK_OK) {
        return mr__control_outcome(&batch->control, ret_error);
    }
    if (!mr__control_init(&shuffle.control)) {
        return mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_SHUFFLE);
    }
    shuffle.groups = groups_create(batch);
    enum stook_status status = shuffle.groups ? merge_all(executor, &shuffle) : STOOK_NOMEM;
    if (status != STOOK_OK) {
        mr__error_plain(ret_error, status, MR_PHASE_SHUFFLE);
    } else {
        status = mr__control_outcome(&shuffle.control, ret_error);
    }
    mr__control_fini(&shuffle.control);
    if (status != STOOK_OK) {
        mr_groups_destroy(shuffle.groups);
        return status;
    }
    for (uint32_t i = 0; i < shuffle.groups->partitions; i++) {
        shuffle.groups->count += shuffle.groups->tables[i].count;
    }
    *ret_groups = shuffle.groups;
    return STOOK_OK;
}
