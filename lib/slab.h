/* SPDX-License-Identifier: MIT
 *
 * The memory of an executor's futures: records of one cache line, carved out of large pieces, and
 * used again without a call of the allocator. Each thread of the executor keeps a *magazine* of
 * free records; all others share some, each behind a lock of its own; full magazines travel
 * between them through the depot (Bonwick and Adams, "Magazines and Vmem", USENIX 2001). So a
 * record may be freed anywhere, and what one thread frees another uses.
 *
 * Pieces go back to the allocator all at once: when the executor has been destroyed and the last of
 * its futures has been released.
 */
#ifndef STOOK_SLAB_H
#define STOOK_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stook/alloc.h>
#include <stook/executor.h>
#include <threads.h>
#include "atomics.h"
#include "platform.h"

/* What a free record is used for. Its bytes from 24 on are left as they were, for checks.h. */
struct stook__free {
    struct stook__free *next;
    struct stook__free *next_chain; /* of the first in a chain that is in the depot */
    size_t count;                   /* likewise: records in this chain */
};

enum { STOOK__MAGAZINE = 64 }; /* records */

/* Used by one thread at a time. */
struct stook__magazine {
    struct stook__free *first; /* a chain of `count` */
    size_t count;              /* at most STOOK__MAGAZINE */
    struct stook__free *full;  /* another, of exactly STOOK__MAGAZINE; NULL: none */
    char *fresh;               /* records that have never been used, up to fresh_end */
    char *fresh_end;
};

struct stook__shard {
    _Alignas(STOOK_CACHE_LINE) _Atomic(uint32_t) busy; /* guards the rest; held for moments */
    bool closed;
    struct stook__magazine magazine;
};

enum { STOOK__SHARDS = 8 };

/* What the `home` of a task leads to. Aligned so that the low bits of its address are free. */
struct stook__slabs {
    _Alignas(2 * STOOK_CACHE_LINE) stook_executor *executor; /* constant; gone when `closed` */
    const struct stook_allocator *given; /* constant: as in the options, for what needs to know */
    struct stook_allocator allocator;    /* constant */
    struct stook__shard shards[STOOK__SHARDS];
    mtx_t mutex;                /* guards the rest */
    struct stook__free *chains; /* by next_chain */
    size_t free_count;          /* records in them */
    struct stook__piece *pieces;
    size_t made;  /* records that have ever left a piece, but for those that came back unused */
    bool closed;  /* the executor is gone */
    size_t alive; /* then: records that have not been freed */
};

/* NULL without memory or mutex; allocator NULL: malloc. */
struct stook__slabs *stook__slabs_create(const struct stook_allocator *allocator);

/* The executor is gone, and its threads. What is left of its futures keeps the memory. */
void stook__slabs_close(struct stook__slabs *slabs);

/* Gives all back that the magazine has: its thread ends. */
void stook__slabs_empty(struct stook__slabs *slabs, struct stook__magazine *magazine);

/* More for an empty magazine, out of the depot; false: it has nothing left. */
bool stook__slabs_refill(struct stook__slabs *slabs, struct stook__magazine *magazine);

/* More for the depot; false without memory. */
bool stook__slabs_grow(struct stook__slabs *slabs);

/* Makes room in a full magazine. */
void stook__slabs_relieve(struct stook__slabs *slabs, struct stook__magazine *magazine);

/* NULL: it is empty. */
static inline void *stook__magazine_take(struct stook__magazine *magazine)
{
    struct stook__free *record = magazine->first;

    if (record) {
        magazine->first = record->next;
        magazine->count--;
        return record;
    }
    if (magazine->fresh != magazine->fresh_end) {
        magazine->fresh += STOOK_CACHE_LINE;
        return magazine->fresh - STOOK_CACHE_LINE;
    }
    return NULL;
}

/* A record of one cache line; NULL without memory. The magazine is the calling thread's. */
static inline void *stook__slabs_take(struct stook__slabs *slabs, struct stook__magazine *magazine)
{
    void *memory = stook__magazine_take(magazine);

    while (!memory && (stook__slabs_refill(slabs, magazine) || stook__slabs_grow(slabs))) {
        memory = stook__magazine_take(magazine);
    }
    return memory;
}

static inline void stook__slabs_give(struct stook__slabs *slabs, struct stook__magazine *magazine,
                                     void *memory)
{
    struct stook__free *record = memory;

    if (magazine->count == STOOK__MAGAZINE) {
        stook__slabs_relieve(slabs, magazine);
    }
    record->next = magazine->first;
    magazine->first = record;
    magazine->count++;
}

/* The same for threads without a magazine. */
void *stook__slabs_take_outside(struct stook__slabs *slabs);
/* Several, at most `most`; gives how many, 0 without memory. */
size_t stook__slabs_take_several(struct stook__slabs *slabs, void *ret_records[], size_t most);
void stook__slabs_give_outside(struct stook__slabs *slabs, void *memory);

#endif
