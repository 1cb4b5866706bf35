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
#include <stook/alloc.h>
#include <stook/future.h>
#include "atomics.h"
#include "platform.h"

struct stook__ring;

struct stook__deque {
    /* Written by thieves, and by the owner for the last task. */
    _Alignas(STOOK_CACHE_LINE) _Atomic(size_t) top;
    /* Written by the owner; read by thieves. */
    _Alignas(STOOK_CACHE_LINE) _Atomic(size_t) bottom;
    _Atomic(struct stook__ring *) ring; /* NULL until there is room to be made for the first time */
    const struct stook_allocator *allocator; /* constant; not owned */
};

enum stook__steal {
    STOOK__STEAL_EMPTY, /* there was nothing */
    STOOK__STEAL_GOT,
    STOOK__STEAL_RETRY /* another took it first: there may be more */
};

/* Empty, without a ring; allocator NULL: malloc(). */
void stook__deque_init(struct stook__deque *deque, const struct stook_allocator *allocator);

/* Frees the rings; what is still in it is not looked at. */
void stook__deque_fini(struct stook__deque *deque);

/* Makes room for `count` more; false when there is no memory. Owner only. */
bool stook__deque_reserve(struct stook__deque *deque, size_t count);

/* Adds `count` tasks, chained by their next field, the first becoming the oldest. Room must have
 * been reserved; cannot fail. Once it returns, tasks may be gone. Owner only. */
void stook__deque_push(struct stook__deque *deque, stook_future *first, size_t count);

/* What take would give, unless thieves come first: for comparison only, as it may be gone. NULL:
 * empty. Owner only. */
const stook_future *stook__deque_newest(struct stook__deque *deque);

/* Takes the newest task; NULL: empty. Owner only. */
stook_future *stook__deque_take(struct stook__deque *deque);

/* Takes the oldest task. Any thread. */
enum stook__steal stook__deque_steal(struct stook__deque *deque, stook_future **ret_task);

/* How many tasks it has: a guess. Any thread. */
size_t stook__deque_size(struct stook__deque *deque);

/* A guess, unless a fence and the caller's own protocol make it more. Any thread. */
bool stook__deque_seems_empty(struct stook__deque *deque);

#endif
