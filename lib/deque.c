/* SPDX-License-Identifier: MIT
 *
 * Chase and Lev's work-stealing deque, growable, in the form of Lê, Pop, Cohen and Zappa Nardelli,
 * "Correct and Efficient Work-Stealing for Weak Memory Models" (PPoPP 2013), with every store to
 * bottom a release store. README.md, "The deque", has the argument.
 *
 * Invariant: entries top .. bottom - 1 (free-running indices, compared by difference) hold tasks,
 * each taken exactly once: by the owner lowering bottom, or by whoever moves top past it.
 */
#include "deque.h"
#include <stdint.h>
#include "allocate.h"
#include "task.h"

/* Tests set these to small or extreme values, so that growth and wrap happen all the time. */
#ifndef STOOK_DEQUE_FIRST_CAPACITY
#define STOOK_DEQUE_FIRST_CAPACITY 64
#endif
#ifndef STOOK_DEQUE_FIRST_INDEX
#define STOOK_DEQUE_FIRST_INDEX 0
#endif

/* For deques whose thieves are not counted. */
static const _Atomic(uint32_t) uncounted = 1;

static size_t ring_size(size_t capacity)
{
    return sizeof(struct stook__ring) + capacity * sizeof(_Atomic(stook_future *));
}

static struct stook__ring *ring_create(const struct stook_allocator *allocator, size_t capacity,
                                       struct stook__ring *older)
{
    if (capacity > (SIZE_MAX / 2 - sizeof(struct stook__ring)) / sizeof(stook_future *)) {
        return NULL;
    }
    struct stook__ring *ring = stook__allocate(allocator, ring_size(capacity));
    if (ring) {
        ring->capacity = capacity;
        ring->older = older;
        for (size_t i = 0; i < capacity; i++) {
            atomic_init(&ring->entries[i], NULL);
        }
    }
    return ring;
}

void stook__deque_init(struct stook__deque *deque, const struct stook_allocator *allocator,
                       const _Atomic(uint32_t) *thieves)
{
    deque->allocator = allocator;
    deque->thieves = thieves ? thieves : &uncounted;
    atomic_init(&deque->top, STOOK_DEQUE_FIRST_INDEX);
    atomic_init(&deque->bottom, STOOK_DEQUE_FIRST_INDEX);
    atomic_init(&deque->ring, NULL);
}

void stook__deque_fini(struct stook__deque *deque)
{
    /* order DQ.fini rlx: no other thread is left */
    struct stook__ring *ring = a_load_rlx(&deque->ring);
    while (ring) {
        struct stook__ring *older = ring->older;
        stook__deallocate(deque->allocator, ring, ring_size(ring->capacity));
        ring = older;
    }
}

bool stook__deque_grow(struct stook__deque *deque, size_t count)
{
    /* order DQ.live acq <- DQ.win: as DQ.room */
    size_t top = a_load_acq(&deque->top);
    /* order DQ.old rlx: as DQ.own */
    size_t bottom = a_load_rlx(&deque->bottom);
    struct stook__ring *ring = a_load_rlx(&deque->ring);
    size_t used = bottom - top;

    size_t capacity = ring ? ring->capacity : STOOK_DEQUE_FIRST_CAPACITY;
    while (capacity - used < count) {
        if (capacity > SIZE_MAX / 4) {
            return false;
        }
        capacity *= 2;
    }
    struct stook__ring *bigger = ring_create(deque->allocator, capacity, ring);
    if (!bigger) {
        return false;
    }
    for (size_t i = top; ring && i != bottom; i++) { /* without a ring it is empty */
        /* order DQ.copy rlx: the new ring is published as a whole, by DQ.grow */
        a_store_rlx(stook__ring_entry(bigger, i), a_load_rlx(stook__ring_entry(ring, i)));
    }
    /* order DQ.grow rel -> DQ.ring: else a thief reads entries that were not copied yet */
    a_store_rel(&deque->ring, bigger);
    return true;
}

void stook__deque_push(struct stook__deque *deque, stook_future *first, size_t count)
{
    /* order DQ.base rlx: as DQ.own */
    size_t bottom = a_load_rlx(&deque->bottom);
    struct stook__ring *ring = a_load_rlx(&deque->ring);

    for (size_t i = 0; i < count; i++) {
        stook_future *next = stook__task_next(first);
        /* order DQ.fills rlx: published by DQ.several */
        a_store_rlx(stook__ring_entry(ring, bottom + i), first);
        first = next;
    }
    /* order DQ.several rel -> DQ.steal: the entries, and the tasks, before bottom shows them */
    a_store_rel(&deque->bottom, bottom + count);
}

stook_future *stook__deque_take_last(struct stook__deque *deque, size_t top)
{
    /* order DQ.low rlx: as DQ.own */
    size_t bottom = a_load_rlx(&deque->bottom);
    stook_future *task = NULL;

    if (bottom == top) {
        /* order DQ.only rlx: the owner's own store */
        task = a_load_rlx(stook__ring_entry(a_load_rlx(&deque->ring), bottom));
        /* order DQ.race sc <-> DQ.win: exactly one of owner and thieves moves top past it */
        if (!a_cas_sc(&deque->top, &top, top + 1)) {
            task = NULL;
        }
    }
    /* order DQ.restore rel -> DQ.steal: as DQ.lower */
    a_store_rel(&deque->bottom, bottom + 1);
    return task;
}

void stook__deque_enter(_Atomic(uint32_t) *thieves)
{
    /* order DQ.count rlx: ordered by the fence below */
    a_add_rlx(thieves, 1U);
    /* order DQ.enter sc <-> DQ.announce: see there */
    a_fence_heavy();
}

void stook__deque_leave(_Atomic(uint32_t) *thieves)
{
    /* order DQ.leave rel -> DQ.thieves: an owner that sees nobody must see what was taken */
    a_add_rel(thieves, 0U - 1U);
}

enum stook__steal stook__deque_steal(struct stook__deque *deque, stook_future **ret_task)
{
    /* order DQ.top acq <- DQ.win: entries that this top implies were published before it moved */
    size_t top = a_load_acq(&deque->top);
    /* order DQ.thief sc <-> DQ.take: see there */
    a_fence_sc();
    /* order DQ.steal acq <- DQ.publish, DQ.lower, DQ.restore: else the thief reads an unwritten
     * entry, or a task that is not filled in */
    size_t bottom = a_load_acq(&deque->bottom);

    if ((ptrdiff_t)(bottom - top) <= 0) {
        return STOOK__STEAL_EMPTY;
    }
    /* order DQ.ring acq <- DQ.grow: read after bottom, so it holds every entry below bottom */
    struct stook__ring *ring = a_load_acq(&deque->ring);
    /* order DQ.entry rlx: read before the swap, which fails if the owner may have reused it */
    stook_future *task = a_load_rlx(stook__ring_entry(ring, top));
    /* order DQ.win sc <-> DQ.race: see there */
    if (!a_cas_sc(&deque->top, &top, top + 1)) {
        return STOOK__STEAL_RETRY;
    }
    *ret_task = task;
    return STOOK__STEAL_GOT;
}

size_t stook__deque_size(struct stook__deque *deque)
{
    /* order DQ.size rlx: a guess */
    ptrdiff_t size = (ptrdiff_t)(a_load_rlx(&deque->bottom) - a_load_rlx(&deque->top));
    return size > 0 ? (size_t)size : 0;
}
