/* SPDX-License-Identifier: MIT
 *
 * Invariant, under the mutex: records that have left a piece are in a chain of the depot, in a
 * magazine, or alive.
 */
#include "slab.h"
#include "allocate.h"
#include "checks.h"

enum { FIRST_PIECE = 64, LARGEST_PIECE = 16384 }; /* records */

/* The allocator's memory, one after the other twice as large. Records follow. */
struct stook__piece {
    _Alignas(STOOK_CACHE_LINE) struct stook__piece *older;
    size_t size;  /* in all */
    size_t used;  /* records */
    size_t count; /* of them */
};

static struct stook__piece *piece_create(const struct stook_allocator *allocator, size_t last_count)
{
    size_t count = last_count ? last_count * 2 : FIRST_PIECE;

    count = count < LARGEST_PIECE ? count : LARGEST_PIECE;
    size_t size = sizeof(struct stook__piece) + count * STOOK_CACHE_LINE;
    struct stook__piece *piece = stook__allocate_aligned(allocator, STOOK_CACHE_LINE, size);
    if (piece) {
        *piece = (struct stook__piece){.size = size, .count = count};
    }
    return piece;
}

struct stook__slabs *stook__slabs_create(const struct stook_allocator *given)
{
    struct stook_allocator allocator = stook__allocator_copy(given);
    struct stook__slabs *slabs =
        stook__allocate_aligned(&allocator, _Alignof(struct stook__slabs), sizeof *slabs);

    if (!slabs) {
        return NULL;
    }
    *slabs = (struct stook__slabs){.allocator = allocator};
    slabs->given = given ? &slabs->allocator : NULL;
    for (unsigned i = 0; i < STOOK__SHARDS; i++) {
        atomic_init(&slabs->shards[i].busy, 0);
    }
    if (mtx_init(&slabs->mutex, mtx_plain) != thrd_success) {
        stook__deallocate_aligned(&allocator, slabs, _Alignof(struct stook__slabs), sizeof *slabs);
        return NULL;
    }
    return slabs;
}

static void destroy(struct stook__slabs *slabs)
{
    struct stook_allocator allocator = slabs->allocator;

    while (slabs->pieces) {
        struct stook__piece *piece = slabs->pieces;
        slabs->pieces = piece->older;
        stook__deallocate_aligned(&allocator, piece, STOOK_CACHE_LINE, piece->size);
    }
    mtx_destroy(&slabs->mutex);
    stook__deallocate_aligned(&allocator, slabs, _Alignof(struct stook__slabs), sizeof *slabs);
}

/* --- the depot; the mutex is held ------------------------------------------------------------- */

static void push_chain(struct stook__slabs *slabs, struct stook__free *chain, size_t count)
{
    STOOK_ASSERT(count <= STOOK__MAGAZINE);
    if (count > 0) {
        chain->count = count;
        chain->next_chain = slabs->chains;
        slabs->chains = chain;
        slabs->free_count += count;
    }
}

static void push_all(struct stook__slabs *slabs, struct stook__magazine *magazine)
{
    /* A chain of its own: none is longer than a magazine. */
    push_chain(slabs, magazine->first, magazine->count);
    magazine->first = NULL;
    magazine->count = 0;
    while (magazine->fresh != magazine->fresh_end) {
        struct stook__free *record = (struct stook__free *)(void *)magazine->fresh;
        record->next = magazine->first;
        magazine->first = record;
        magazine->count++;
        magazine->fresh += STOOK_CACHE_LINE;
    }
    push_chain(slabs, magazine->first, magazine->count);
    if (magazine->full) {
        push_chain(slabs, magazine->full, STOOK__MAGAZINE);
    }
    *magazine = (struct stook__magazine){.first = NULL};
}

static bool pop_chain(struct stook__slabs *slabs, struct stook__magazine *magazine)
{
    struct stook__free *chain = slabs->chains;

    if (!chain) {
        return false;
    }
    slabs->chains = chain->next_chain;
    slabs->free_count -= chain->count;
    magazine->first = chain;
    magazine->count = chain->count;
    return true;
}

static bool take_fresh(struct stook__slabs *slabs, struct stook__magazine *magazine)
{
    struct stook__piece *piece = slabs->pieces;

    if (!piece || piece->used == piece->count) {
        return false;
    }
    magazine->fresh = (char *)(piece + 1) + piece->used * STOOK_CACHE_LINE;
    magazine->fresh_end = magazine->fresh + (size_t)STOOK__MAGAZINE * STOOK_CACHE_LINE;
    piece->used += STOOK__MAGAZINE;
    slabs->made += STOOK__MAGAZINE;
    return true;
}

/* --- magazines -------------------------------------------------------------------------------- */

bool stook__slabs_refill(struct stook__slabs *slabs, struct stook__magazine *magazine)
{
    if (magazine->full) {
        magazine->first = magazine->full;
        magazine->count = STOOK__MAGAZINE;
        magazine->full = NULL;
        return true;
    }
    mtx_lock(&slabs->mutex);
    bool is_filled = pop_chain(slabs, magazine) || take_fresh(slabs, magazine);
    mtx_unlock(&slabs->mutex);
    return is_filled;
}

/* Another piece for the depot, which has nothing left: no lock is held while the allocator runs. */
bool stook__slabs_grow(struct stook__slabs *slabs)
{
    mtx_lock(&slabs->mutex);
    size_t last_count = slabs->pieces ? slabs->pieces->count : 0;
    mtx_unlock(&slabs->mutex);
    struct stook__piece *piece = piece_create(&slabs->allocator, last_count);
    if (!piece) {
        return false;
    }
    mtx_lock(&slabs->mutex);
    bool is_wanted = !slabs->pieces || slabs->pieces->used == slabs->pieces->count;
    if (is_wanted) { /* else another was faster */
        piece->older = slabs->pieces;
        slabs->pieces = piece;
    }
    mtx_unlock(&slabs->mutex);
    if (!is_wanted) {
        stook__deallocate_aligned(&slabs->allocator, piece, STOOK_CACHE_LINE, piece->size);
    }
    return true;
}

void stook__slabs_relieve(struct stook__slabs *slabs, struct stook__magazine *magazine)
{
    if (magazine->full) {
        mtx_lock(&slabs->mutex);
        push_chain(slabs, magazine->full, STOOK__MAGAZINE);
        mtx_unlock(&slabs->mutex);
    }
    magazine->full = magazine->first;
    magazine->first = NULL;
    magazine->count = 0;
}

void stook__slabs_empty(struct stook__slabs *slabs, struct stook__magazine *magazine)
{
    mtx_lock(&slabs->mutex);
    push_all(slabs, magazine);
    mtx_unlock(&slabs->mutex);
}

/* --- threads without one ---------------------------------------------------------------------- */

/* Any shard will do; that of the calling thread is likely to be free, and in its cache. */
static struct stook__shard *enter(struct stook__slabs *slabs)
{
    static STOOK_THREAD_LOCAL char of_this_thread;
    uintptr_t place = (uintptr_t)&of_this_thread >> 12; /* threads lie pages apart */

    for (size_t i = place ^ place >> 8;; i++) {
        struct stook__shard *shard = &slabs->shards[i % STOOK__SHARDS];
        /* order SL.enter acq <- SL.leave: the magazine as the last one left it */
        if (a_xchg_acq(&shard->busy, 1) == 0) {
            return shard;
        }
        if (i % STOOK__SHARDS == STOOK__SHARDS - 1) {
            thrd_yield(); /* the holders have a handful of instructions to go */
        }
    }
}

static void leave(struct stook__shard *shard)
{
    /* order SL.leave rel -> SL.enter: see there */
    a_store_rel(&shard->busy, 0);
}

void *stook__slabs_take_outside(struct stook__slabs *slabs)
{
    void *memory;

    do {
        struct stook__shard *shard = enter(slabs);
        memory = stook__magazine_take(&shard->magazine);
        if (!memory && stook__slabs_refill(slabs, &shard->magazine)) {
            memory = stook__magazine_take(&shard->magazine);
        }
        leave(shard);
    } while (!memory && stook__slabs_grow(slabs));
    return memory;
}

size_t stook__slabs_take_several(struct stook__slabs *slabs, void *ret_records[], size_t most)
{
    size_t count = 0;

    do {
        struct stook__shard *shard = enter(slabs);
        struct stook__magazine *magazine = &shard->magazine;
        do {
            while (count < most && (ret_records[count] = stook__magazine_take(magazine)) != NULL) {
                count++;
            }
        } while (count < most && stook__slabs_refill(slabs, magazine));
        leave(shard);
    } while (count == 0 && stook__slabs_grow(slabs));
    return count;
}

/* Behind the executor's end. */
static void give_late(struct stook__slabs *slabs, void *memory)
{
    mtx_lock(&slabs->mutex);
    if (!slabs->closed) { /* it is being closed right now: what is in the depot will be counted */
        struct stook__free *record = memory;
        record->next = NULL;
        push_chain(slabs, record, 1);
        mtx_unlock(&slabs->mutex);
        return;
    }
    bool is_last = --slabs->alive == 0;
    mtx_unlock(&slabs->mutex);
    if (is_last) {
        destroy(slabs);
    }
}

void stook__slabs_give_outside(struct stook__slabs *slabs, void *memory)
{
    struct stook__shard *shard = enter(slabs);
    bool closed = shard->closed;
    if (!closed) {
        stook__slabs_give(slabs, &shard->magazine, memory);
    }
    leave(shard);
    if (closed) {
        give_late(slabs, memory);
    }
}

void stook__slabs_close(struct stook__slabs *slabs)
{
    for (unsigned i = 0; i < STOOK__SHARDS; i++) {
        struct stook__shard *shard = &slabs->shards[i];
        /* order SL.shut acq <- SL.leave: as SL.enter */
        while (a_xchg_acq(&shard->busy, 1) != 0) {
            thrd_yield();
        }
        stook__slabs_empty(slabs, &shard->magazine);
        shard->closed = true;
        leave(shard);
    }
    mtx_lock(&slabs->mutex);
    slabs->closed = true;
    slabs->alive = slabs->made - slabs->free_count;
    bool is_unused = slabs->alive == 0;
    mtx_unlock(&slabs->mutex);
    if (is_unused) {
        destroy(slabs);
    }
}
