/* SPDX-License-Identifier: MIT
 *
 * Segments, and who holds which. The mutex is taken once for each task and each progress report,
 * never for an item.
 */
#include <stdlib.h>
#include "mr_internal.h"

bool mr__store_init(struct mr__store *store, struct mr__context *context, uint32_t partitions)
{
    store->context = context;
    store->all = NULL;
    store->free = NULL;
    store->partitions = partitions;
    store->moved_done = 0;
    if (mtx_init(&store->mutex, mtx_plain) != thrd_success) {
        return false;
    }
    mr__context_retain(context);
    return true;
}

static struct mr__segment *segment_create(const struct mr__store *store)
{
    uint32_t partitions = store->partitions;
    struct mr__segment *segment = calloc(1, sizeof *segment);
    if (!segment) {
        return NULL;
    }
    atomic_init(&segment->done, 0);
    segment->budget = &store->context->budget;
    segment->list.budget = &store->context->budget;
    if (partitions > 0) {
        segment->tables = calloc(partitions, sizeof *segment->tables);
        if (!segment->tables) {
            free(segment);
            return NULL;
        }
        for (uint32_t i = 0; i < partitions; i++) {
            segment->tables[i].arena.budget = segment->budget;
        }
    }
    return segment;
}

static void drop_buffer(struct mr__segment *segment)
{
    mr__deallocate(segment->budget, segment->buffer, segment->buffer_size);
    segment->buffer = NULL;
    segment->buffer_size = 0;
}

static void segment_destroy(struct mr__segment *segment, uint32_t partitions)
{
    for (uint32_t i = 0; segment->tables && i < partitions; i++) {
        mr__table_fini(&segment->tables[i]);
    }
    for (uint32_t i = 0; segment->runs && i < partitions; i++) {
        mr__runs_fini(&segment->runs[i]);
    }
    mr__scatter_fini(&segment->scatter, partitions, segment->budget);
    free(segment->runs);
    mr__runs_fini(&segment->list_runs);
    free(segment->tables);
    drop_buffer(segment);
    mr__list_fini(&segment->list);
    free(segment);
}

void mr__store_fini(struct mr__store *store)
{
    while (store->all) {
        struct mr__segment *segment = store->all;
        store->all = segment->next;
        segment_destroy(segment, store->partitions);
    }
    mtx_destroy(&store->mutex);
    mr__context_release(store->context);
}

struct mr__segment *mr__store_lease(struct mr__store *store, uint32_t rank)
{
    mtx_lock(&store->mutex);
    struct mr__segment **link = &store->free;
    while (*link && (*link)->rank != rank) {
        link = &(*link)->next_free;
    }
    struct mr__segment *segment = *link;
    if (segment) {
        *link = segment->next_free;
    }
    mtx_unlock(&store->mutex);
    if (segment) {
        return segment;
    }
    segment = segment_create(store);
    if (segment) {
        segment->rank = rank;
        mtx_lock(&store->mutex);
        segment->next = store->all;
        store->all = segment;
        mtx_unlock(&store->mutex);
    }
    return segment;
}

void mr__store_return(struct mr__store *store, struct mr__segment *segment)
{
    mtx_lock(&store->mutex);
    segment->next_free = store->free;
    store->free = segment;
    mtx_unlock(&store->mutex);
}

void mr__store_move(struct mr__store *to, struct mr__store *from)
{
    uint64_t done = mr__store_done(from);

    mtx_lock(&from->mutex);
    to->all = from->all;
    to->partitions = from->partitions;
    from->all = NULL;
    from->free = NULL;
    from->moved_done = done;
    mtx_unlock(&from->mutex);
    for (struct mr__segment *segment = to->all; segment; segment = segment->next) {
        drop_buffer(segment);
    }
}

bool mr__store_is_used(struct mr__store *store)
{
    mtx_lock(&store->mutex);
    bool is_used = store->all != NULL;
    mtx_unlock(&store->mutex);
    return is_used;
}

bool mr__store_has_runs(const struct mr__store *store)
{
    for (const struct mr__segment *segment = store->all; segment; segment = segment->next) {
        if (segment->runs || segment->list_runs.count > 0) {
            return true;
        }
    }
    return false;
}

uint64_t mr__store_done(struct mr__store *store)
{
    mtx_lock(&store->mutex);
    uint64_t done = store->moved_done;
    for (const struct mr__segment *segment = store->all; segment; segment = segment->next) {
        /* order MR.sum rlx: as MR.count */
        done += mr_a_load_rlx(&segment->done);
    }
    mtx_unlock(&store->mutex);
    return done;
}
