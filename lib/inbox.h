/* SPDX-License-Identifier: MIT
 *
 * Where submitters leave plain tasks for the injection queue: a list, first in, first out, to which
 * any thread appends without a lock, with one swap of its tail and one store of the link (after
 * Vyukov's intrusive queue, 2010). One thread at a time takes from it: the one that has the
 * injection queue's mutex.
 *
 * A submitter that is interrupted between its two steps holds up what stands behind it.
 */
#ifndef STOOK_INBOX_H
#define STOOK_INBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stook/future.h>
#include "atomics.h"
#include "platform.h"

struct stook__inbox {
    /* NULL: there is none. The inbox's own address: closed. */
    _Alignas(STOOK_CACHE_LINE) _Atomic(stook_future *) tail;
    _Atomic(stook_future *) head; /* set by who found no tail; the taker moves it to `first` */
    /* The taker's. */
    _Alignas(STOOK_CACHE_LINE) stook_future *first; /* the oldest; NULL: it is the head */
    size_t known;                                   /* tasks that have been counted */
    bool is_long;                                   /* there were STOOK__MANY, then */
};

/* So many tasks are a long list. */
enum { STOOK__MANY = 128 };

void stook__inbox_init(struct stook__inbox *inbox);

/* Appends a task; false: it is closed. Any thread. */
bool stook__inbox_post(struct stook__inbox *inbox, stook_future *task);

/* A guess, unless a fence and the caller's own protocol make it more. Any thread. */
bool stook__inbox_seems_empty(struct stook__inbox *inbox);

/* Whether there are STOOK__MANY, or were a moment ago. The taker. */
bool stook__inbox_is_long(struct stook__inbox *inbox);

/* Takes the oldest; NULL: there is none, or its submitter is between its two steps. The taker. */
stook_future *stook__inbox_pop(struct stook__inbox *inbox);

/* Takes all, of which there must be some, as a chain, and gives the number. Waits for submitters
 * that are between their two steps. The taker. */
size_t stook__inbox_take_all(struct stook__inbox *inbox, stook_future **ret_first,
                             stook_future **ret_last);

/* Closes the inbox if it is empty; false: it is not. Idempotent. The taker. */
bool stook__inbox_close_empty(struct stook__inbox *inbox);

#endif
