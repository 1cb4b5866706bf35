/* SPDX-License-Identifier: MIT
 *
 * A worker's deque of tasks: its owner pushes and takes at the bottom, anybody steals at the top.
 * The owner is the thread that holds the worker; ownership passes from thread to thread under the
 * park mutex.
 *
 *               reserve push take | steal seems_empty
 *   reserve ...        no         |       yes            (one owner at a time)
 *   steal ...                     |       yes
 */
#ifndef STOOK_DEQUE_H
#define STOOK_DEQUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stook/alloc.h>
#include <stook/future.h>
#include "atomics.h"
#include "fence.h"
#include "platform.h"

struct stook__ring {
    size_t capacity;           /* a power of two */
    struct stook__ring *older; /* thieves may still read it; freed with the deque */
    _Atomic(stook_future *) entries[];
};

struct stook__deque {
    /* Written by thieves, and by the owner for the last task. */
    _Alignas(STOOK_CACHE_LINE) _Atomic(size_t) top;
    /* Written by the owner; read by thieves. */
    _Alignas(STOOK_CACHE_LINE) _Atomic(size_t) bottom;
    _Atomic(struct stook__ring *) ring; /* NULL until there is room to be made for the first time */
    const struct stook_allocator *allocator; /* constant; not owned */
    const _Atomic(uint32_t) *thieves;        /* constant: threads that may steal right now */
};

enum stook__steal {
    STOOK__STEAL_EMPTY, /* there was nothing */
    STOOK__STEAL_GOT,
    STOOK__STEAL_RETRY /* another took it first: there may be more */
};

/* Empty, without a ring; allocator NULL: malloc(). thieves: where those are counted who steal from
 * it, by stook__deque_enter() and leave(); NULL: thieves need not be counted, and the owner pays.
 */
void stook__deque_init(struct stook__deque *deque, const struct stook_allocator *allocator,
                       const _Atomic(uint32_t) *thieves);

/* Frees the rings; what is still in it is not looked at. */
void stook__deque_fini(struct stook__deque *deque);

/* The calling thread may steal from now on, until it leaves, from all deques that share the count.
 * Takes a microsecond, so it is done when there seems to be something to steal. A thread that
 * steals from the deque that it owns needs none of it. */
void stook__deque_enter(_Atomic(uint32_t) *thieves);
void stook__deque_leave(_Atomic(uint32_t) *thieves);

/* Takes the oldest task. Any thread that has entered. */
enum stook__steal stook__deque_steal(struct stook__deque *deque, stook_future **ret_task);

/* Makes room for `count` more when there is none; stook__deque_reserve() is the way here. */
bool stook__deque_grow(struct stook__deque *deque, size_t count);

/* --- the owner ---------------------------------------------------------------------------------
 */

static inline _Atomic(stook_future *) *stook__ring_entry(struct stook__ring *ring, size_t index)
{
    return &ring->entries[index & (ring->capacity - 1)];
}

/* Makes room for `count` more; false when there is no memory. Owner only. */
static inline bool stook__deque_reserve(struct stook__deque *deque, size_t count)
{
    /* order DQ.room acq <- DQ.win: entries below top have been read before they are reused */
    size_t top = a_load_acq(&deque->top);
    /* order DQ.own rlx: the owner's own stores, or those of the owner before it (park mutex) */
    size_t used = a_load_rlx(&deque->bottom) - top;
    const struct stook__ring *ring = a_load_rlx(&deque->ring);

    return (ring && count <= ring->capacity - used) || stook__deque_grow(deque, count);
}

/* Adds `count` tasks, chained by their next field, the first becoming the oldest. Room must have
 * been reserved; cannot fail. Once it returns, tasks may be gone. Owner only. */
void stook__deque_push(struct stook__deque *deque, stook_future *first, size_t count);

/* The same for one task. */
static inline void stook__deque_push_one(struct stook__deque *deque, stook_future *task)
{
    /* order DQ.mine rlx: as DQ.own */
    size_t bottom = a_load_rlx(&deque->bottom);
    /* order DQ.fill rlx: published by DQ.publish */
    a_store_rlx(stook__ring_entry(a_load_rlx(&deque->ring), bottom), task);
    /* order DQ.publish rel -> DQ.steal: the entry, and the task, before bottom shows it */
    a_store_rel(&deque->bottom, bottom + 1);
}

/* A guess, unless a fence and the caller's own protocol make it more. Any thread. */
static inline bool stook__deque_seems_empty(struct stook__deque *deque)
{
    /* order DQ.look rlx: a guess; who needs more puts a fence before it (PK.sleep) */
    size_t top = a_load_rlx(&deque->top);
    size_t bottom = a_load_rlx(&deque->bottom);
    return (ptrdiff_t)(bottom - top) <= 0;
}

/* What take would give, unless thieves come first: for comparison only, as it may be gone. NULL:
 * empty. Owner only. */
static inline const stook_future *stook__deque_newest(struct stook__deque *deque)
{
    if (stook__deque_seems_empty(deque)) {
        return NULL;
    }
    /* order DQ.peek rlx: the owner's own stores */
    size_t bottom = a_load_rlx(&deque->bottom);
    return a_load_rlx(stook__ring_entry(a_load_rlx(&deque->ring), bottom - 1));
}

/* Whether it ends with the task, or is empty. Owner only. */
static inline bool stook__deque_may_end_with(struct stook__deque *deque, const stook_future *task)
{
    /* order DQ.tail rlx: the owner's own stores */
    struct stook__ring *ring = a_load_rlx(&deque->ring);
    return ring && a_load_rlx(stook__ring_entry(ring, a_load_rlx(&deque->bottom) - 1)) == task;
}

/* The last task, for which thieves may race. */
stook_future *stook__deque_take_last(struct stook__deque *deque, size_t top);

/* Takes the newest task; NULL: empty. Owner only. */
static inline stook_future *stook__deque_take(struct stook__deque *deque)
{
    /* order DQ.last rlx: as DQ.own */
    size_t bottom = a_load_rlx(&deque->bottom) - 1;
    /* order DQ.lower rel -> DQ.steal: a thief that reads this bottom must see the tasks below it;
     * a relaxed store would end the release sequence of DQ.publish */
    a_store_rel(&deque->bottom, bottom);
    /* order DQ.announce sc <-> DQ.enter: a thief that is not seen below has entered later, and so
     * sees this bottom */
    a_fence_light();
    /* order DQ.thieves acq <- DQ.leave: what those took who have left; behind the fence above */
    if (a_load_acq(deque->thieves) > 0) {
        /* order DQ.take sc <-> DQ.thief: owner and thief would both take the last task */
        a_fence_sc();
    }
    /* order DQ.seen rlx: ordered by the fences above */
    size_t top = a_load_rlx(&deque->top);
    if ((ptrdiff_t)(bottom - top) > 0) {
        /* order DQ.newest rlx: the owner's own store */
        return a_load_rlx(stook__ring_entry(a_load_rlx(&deque->ring), bottom));
    }
    return stook__deque_take_last(deque, top);
}

/* Where the next task will be pushed. Owner only. */
static inline size_t stook__deque_end(struct stook__deque *deque)
{
    /* order DQ.end rlx: as DQ.own */
    return a_load_rlx(&deque->bottom);
}

/* Whether all its tasks, and it has some, were pushed before `end` was its end. Owner only. */
static inline bool stook__deque_holds_only(struct stook__deque *deque, size_t end)
{
    return !stook__deque_seems_empty(deque) && (ptrdiff_t)(stook__deque_end(deque) - end) <= 0;
}

/* How many tasks it has: a guess. Any thread. */
size_t stook__deque_size(struct stook__deque *deque);

#endif
