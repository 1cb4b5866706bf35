/* SPDX-License-Identifier: MIT
 *
 * One key of SAMPLE is looked up as ever: every one of its pairs, so that those which repeat are to
 * all as the keys that repeat are to all keys. When they begin to, what was kept goes into the
 * tables; so it never takes much more memory than these would.
 */
#include "scatter.h"
#include <stdlib.h>
#include "store.h"

enum {
    SAMPLE = 64,
    LEAST_KEYS = 1 << 18, /* with less, tables fit into caches */
    LEAST_LOOKED = 256
};

/* Chunks double, up to a huge page, which goes back to the system by itself. */
struct mr__scatter_chunk {
    struct mr__scatter_chunk *next;
    size_t size; /* in all, bytes */
    size_t count;
    size_t capacity; /* slots */
    struct mr__slot slots[];
};

static struct mr__slot *take_slot(struct mr__scatter_chunk **chunks, struct mr__budget *budget)
{
    struct mr__scatter_chunk *chunk = *chunks;

    if (!chunk || chunk->count == chunk->capacity) {
        size_t size = !chunk ? MR_LEAF : chunk->size < MR_HUGE ? chunk->size * 2 : MR_HUGE;
        chunk = mr__allocate(budget, size);
        if (!chunk) {
            return NULL;
        }
        chunk->next = *chunks;
        chunk->size = size;
        chunk->count = 0;
        chunk->capacity = (size - sizeof *chunk) / sizeof *chunk->slots;
        *chunks = chunk;
    }
    return &chunk->slots[chunk->count++];
}

static bool keep(struct mr__segment *segment, const struct mr__pending *pending)
{
    struct mr__scatter_chunk **chunks = &segment->scatter.chunks[pending->table - segment->tables];
    struct mr__slot slot = pending->slot;

    if (slot.key_size == MR_LONG_KEY) {
        slot.key.slice.data =
            mr__arena_copy(&pending->table->arena, slot.key.slice.data, slot.key.slice.size);
        if (!slot.key.slice.data) {
            return false;
        }
    }
    struct mr__slot *to = take_slot(chunks, segment->budget);
    if (to) {
        *to = slot;
    }
    return to != NULL;
}

/* One key of SAMPLE, and nobody knows which. */
static bool is_sampled(const struct mr__pending *pending)
{
    return (pending->slot.hash * pending->table->key >> 13) % SAMPLE == 0;
}

enum stook_status mr__scatter_add(struct mr__segment *segment, struct mr__pending pending[],
                                  size_t count, struct mr__fold *fold)
{
    bool is_sum = fold->folding >= MR_FOLD_SUM_U64;
    enum stook_status status = STOOK_OK;

    for (size_t i = 0; i < count && status == STOOK_OK; i++) {
        const struct mr__slot *slot = &pending[i].slot;
        bool is_right = !is_sum || slot->value_kind == MR_VALUE_INLINE + 8;
        if (!is_sampled(&pending[i]) && is_right) {
            status = keep(segment, &pending[i]) ? STOOK_OK : STOOK_NOMEM;
        } else {
            segment->scatter.looked++;
            status = mr__table_add_many(&pending[i], 1, fold);
        }
    }
    return status;
}

/* --- the decision ----------------------------------------------------------------------------- */

static enum stook_status gather_all(struct mr__segment *segment, uint32_t partitions,
                                    struct mr__fold *fold)
{
    enum stook_status status = STOOK_OK;

    segment->scatter.is_on = false;
    for (uint32_t i = 0; i < partitions && status == STOOK_OK; i++) {
        status = mr__scatter_gather(&segment->scatter, i, &segment->tables[i], fold);
        segment->has_keyed |= segment->tables[i].is_keyed;
    }
    return status;
}

enum stook_status mr__scatter_decide(struct mr__segment *segment, uint32_t partitions,
                                     struct mr__fold *fold)
{
    struct mr__scatter *scatter = &segment->scatter;
    uint64_t keys = 0;

    if (scatter->looked < LEAST_LOOKED) {
        return STOOK_OK;
    }
    for (uint32_t i = 0; i < partitions; i++) {
        keys += segment->tables[i].count;
    }
    uint64_t is_new = keys - scatter->keys;
    uint64_t looked = scatter->looked;
    enum stook_status status = STOOK_OK;
    scatter->looked = 0;
    if (scatter->is_on && is_new < looked / 4 * 3) {
        status = gather_all(segment, partitions, fold);
    } else if (!scatter->is_on && keys >= LEAST_KEYS && is_new > looked / 8 * 7) {
        if (!scatter->chunks) {
            scatter->chunks = calloc(partitions, sizeof *scatter->chunks);
        }
        scatter->is_on = scatter->chunks != NULL; /* else it goes on as it did */
    }
    scatter->keys = keys;
    return status;
}

/* --- the shuffle ------------------------------------------------------------------------------ */

bool mr__scatter_has(const struct mr__scatter *scatter, uint32_t partition)
{
    return scatter->chunks && scatter->chunks[partition];
}

enum stook_status mr__scatter_gather(struct mr__scatter *scatter, uint32_t partition,
                                     struct mr__table *table, struct mr__fold *fold)
{
    enum stook_status status = STOOK_OK;

    while (status == STOOK_OK && mr__scatter_has(scatter, partition)) {
        struct mr__scatter_chunk *chunk = scatter->chunks[partition];
        status = mr__table_absorb(table, fold, chunk->slots, chunk->count);
        scatter->chunks[partition] = chunk->next;
        mr__deallocate(table->arena.budget, chunk, chunk->size);
    }
    return status;
}

void mr__scatter_fini(struct mr__scatter *scatter, uint32_t partitions, struct mr__budget *budget)
{
    for (uint32_t i = 0; i < partitions; i++) {
        while (mr__scatter_has(scatter, i)) {
            struct mr__scatter_chunk *chunk = scatter->chunks[i];
            scatter->chunks[i] = chunk->next;
            mr__deallocate(budget, chunk, chunk->size);
        }
    }
    free(scatter->chunks);
}
