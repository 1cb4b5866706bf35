/* SPDX-License-Identifier: MIT
 *
 * Who waits for whom: cycles of running tasks that wait for each other are refused, not slept
 * through.
 */
#ifndef STOOK_DEADLOCK_H
#define STOOK_DEADLOCK_H

#include <stdbool.h>
#include <stook/future.h>
#include <threads.h>

struct stook_scope;
struct stook__thread;
struct stook__frame;

/* A thread of an executor that waits in a task, for ever, for a future or for a scope; on its
 * stack. */
struct stook__awaited {
    const struct stook__thread *thread;
    const struct stook__frame *frame; /* topmost; it and those below it wait */
    stook_future *future;             /* one of the two is NULL */
    struct stook_scope *scope;
    struct stook__awaited
        *next; /* in the executor's list, as all that follows guarded by its mutex */
    struct stook__awaited *previous;
    struct stook__awaited *found_by; /* in a search: who waits for it; NULL: the searcher */
    struct stook__awaited *next_found;
    bool is_found;
};

struct stook__waits {
    mtx_t mutex; /* guards the list and its records */
    struct stook__awaited *first;
};

/* False if the system refuses a mutex. */
bool stook__waits_init(struct stook__waits *waits);
void stook__waits_fini(struct stook__waits *waits);

/* Lists a wait that is about to begin. False: it would close a cycle; that has been reported, and
 * nothing is listed. No lock is held. */
bool stook__waits_enter(struct stook__awaited *awaited);

/* Reports that the task on top of a stack waits for one that is on it. */
void stook__waits_report_self(const struct stook__frame *top, const stook_future *future);

/* Takes it out again when it is over. */
void stook__waits_leave(struct stook__awaited *awaited);

#endif
