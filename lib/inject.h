/* SPDX-License-Identifier: MIT
 *
 * The injection queue: tasks from threads that hold no worker, first in, first out. It is also the
 * gate that closes an executor: a task is either in the queue before it closes, or refused.
 *
 * Every function may run together with every other, but for init and fini.
 */
#ifndef STOOK_INJECT_H
#define STOOK_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stook/future.h>
#include <threads.h>
#include "atomics.h"
#include "platform.h"

struct stook__inject {
    _Alignas(STOOK_CACHE_LINE) mtx_t mutex; /* guards the rest; count is also read without it */
    stook_future *head;                     /* chained by next */
    stook_future *tail;
    _Atomic(size_t) count;
    _Atomic(bool) closed; /* written under the mutex; also read without it */
};

/* False if the system refuses a mutex. */
bool stook__inject_init(struct stook__inject *queue);
void stook__inject_fini(struct stook__inject *queue);

/* Adds a chain of `count` tasks; false, and nothing added, when the queue is closed. */
bool stook__inject_push(struct stook__inject *queue, stook_future *first, stook_future *last,
                        size_t count);

/* The oldest task, or NULL. */
stook_future *stook__inject_pop(struct stook__inject *queue);

/* Refuses all further pushes. Idempotent. */
void stook__inject_close(struct stook__inject *queue);

/* Exact for pushes; without the mutex, late. */
bool stook__inject_is_closed(const struct stook__inject *queue);

/* A guess, unless a fence and the caller's own protocol make it more. */
bool stook__inject_seems_empty(struct stook__inject *queue);

#endif
