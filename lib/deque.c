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

struct stook__ring {
    size_t capacity;           /* a power of two */
    struct stook__ring *older; /* thieves may still read it; freed with the deque */
    _Atomic(stook_future *) entries[];
};

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

static _Atomic(stook_future *) *ring_entry(struct stook__ring *ring, size_t index)
{
    return &ring->entries[index & (ring->capacity - 1)];
}

void stook__deque_init(struct stook__deque *deque, const struct stook_allocator *allocator)
{
    deque->allocator = allocator;
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

bool stook__deque_reserve(struct stook__deque *deque, size_t count)
{
    /* order DQ.room acq <- DQ.win: entries below top have been read before they are reused */
    size_t top = a_load_acq(&deque->top);
    /* order DQ.own rlx: the owner's own stores, or those of the owner before it (park mutex) */
    size_t bottom = a_load_rlx(&deque->bottom);
    struct stook__ring *ring = a_load_rlx(&deque->ring);
    size_t used = bottom - top;

    if (ring && count <= ring->capacity - used) {
        return true;
    }
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
        a_store_rlx(ring_entry(bigger, i), a_load_rlx(ring_entry(ring, i)));
    }
    /* order DQ.grow rel -> DQ.ring: else a thief reads entries that were not copied yet */
    a_store_rel(&deque->ring, bigger);
    return true;
}

void stook__deque_push(struct stook__deque *deque, stook_future *first, size_t count)
{
    /* order DQ.mine rlx: as DQ.own */
    size_t bottom = a_load_rlx(&deque->bottom);
    struct stook__ring *ring = a_load_rlx(&deque->ring);

    for (size_t i = 0; i < count; i++) {
        stook_future *next = first->next;
        /* order DQ.fill rlx: published by DQ.publish */
        a_store_rlx(ring_entry(ring, bottom + i), first);
        first = next;
    }
    /* order DQ.publish rel -> DQ.steal: the entries, and the tasks, before bottom shows them */
    a_store_rel(&deque->bottom, bottom + count);
}

const stook_future *stook__deque_newest(struct stook__deque *deque)
{
    if (stook__deque_seems_empty(deque)) {
        return NULL;
    }
    /* order DQ.peek rlx: the owner's own stores */
    size_t bottom = a_load_rlx(&deque->bottom);
    return a_load_rlx(ring_entry(a_load_rlx(&deque->ring), bottom - 1));
}

stook_future *stook__deque_take(struct stook__deque *deque)
{
    /* order DQ.last rlx: as DQ.own */
    size_t bottom = a_load_rlx(&deque->bottom) - 1;
    struct stook__ring *ring = a_load_rlx(&deque->ring);
    /* order DQ.lower rel -> DQ.steal: a thief that reads this bottom must see the tasks below it;
     * a relaxed store would end the release sequence of DQ.publish */
    a_store_rel(&deque->bottom, bottom);
    /* order DQ.take sc <-> DQ.thief: owner and thief would both take the last task */
    a_fence_owner();
    /* order DQ.seen rlx: ordered by the fence above */
    size_t top = a_load_rlx(&deque->top);
    stook_future *task = NULL;

    if ((ptrdiff_t)(bottom - top) > 0) {
        /* order DQ.newest rlx: the owner's own store */
        return a_load_rlx(ring_entry(ring, bottom));
    }
    if (bottom == top) {
        /* order DQ.only rlx: the owner's own store */
        task = a_load_rlx(ring_entry(ring, bottom));
        /* order DQ.race sc <-> DQ.win: exactly one of owner and thieves moves top past it */
        if (!a_cas_sc(&deque->top, &top, top + 1)) {
            task = NULL;
        }
    }
    /* order DQ.restore rel -> DQ.steal: as DQ.lower */
    a_store_rel(&deque->bottom, bottom + 1);
    return task;
}

enum stook__steal stook__deque_steal(struct stook__deque *deque, stook_future **ret_task)
{
    /* order DQ.top acq <- DQ.win: entries that this top implies were published before it moved */
    size_t top = a_load_acq(&deque->top);
    /* order DQ.thief sc <-> DQ.take: see there */
    a_fence_thief();
    /* order DQ.steal acq <- DQ.publish, DQ.lower, DQ.restore: else the thief reads an unwritten
     * entry, or a task that is not filled in */
    size_t bottom = a_load_acq(&deque->bottom);

    if ((ptrdiff_t)(bottom - top) <= 0) {
        return STOOK__STEAL_EMPTY;
    }
    /* order DQ.ring acq <- DQ.grow: read after bottom, so it holds every entry below bottom */
    struct stook__ring *ring = a_load_acq(&deque->ring);
    /* order DQ.entry rlx: read before the swap, which fails if the owner may have reused it */
    stook_future *task = a_load_rlx(ring_entry(ring, top));
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

bool stook__deque_seems_empty(struct stook__deque *deque)
{
    /* order DQ.look rlx: a guess; who needs more puts a fence before it (PK.sleep) */
    size_t top = a_load_rlx(&deque->top);
    size_t bottom = a_load_rlx(&deque->bottom);
    return (ptrdiff_t)(bottom - top) <= 0;
}
