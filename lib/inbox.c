/* SPDX-License-Identifier: MIT
 *
 * Invariant: the last task can be taken only by a swap of the tail, and any other only over the
 * link to the next one; so nobody takes away the task that a submitter is about to link to.
 */
#include "inbox.h"
#include <threads.h>
#include "task.h"

/* How often a link that is about to be set is looked at. */
enum { LINK_SPINS = STOOK_TIMES(100, 1) };

static stook_future *closed_mark(struct stook__inbox *inbox)
{
    return (stook_future *)(void *)inbox;
}

void stook__inbox_init(struct stook__inbox *inbox)
{
    atomic_init(&inbox->tail, NULL);
    atomic_init(&inbox->head, NULL);
    inbox->first = NULL;
    inbox->known = 0;
    inbox->is_long = false;
}

bool stook__inbox_post(struct stook__inbox *inbox, stook_future *task)
{
    /* order IB.top acq <- IB.shut: who is refused must see why */
    stook_future *last = a_load_acq(&inbox->tail);
    do {
        if (last == closed_mark(inbox)) {
            return false;
        }
        /* order IB.post acqrel -> IB.all, IB.last; <- IB.all, IB.last, IB.shut: as IB.top */
    } while (!a_cas_acqrel(&inbox->tail, &last, task));
    /* order IB.join rel -> IB.link: the task before the way to it */
    a_store_rel(last ? &last->next : &inbox->head, task);
    return true;
}

bool stook__inbox_seems_empty(struct stook__inbox *inbox)
{
    /* order IB.look acq <- IB.all: what has left the inbox is seen where it has gone */
    const stook_future *tail = a_load_acq(&inbox->tail);
    return !tail || tail == closed_mark(inbox);
}

/* A link that a submitter is about to set: it has a store to go, unless it was preempted. NULL: not
 * after a while. */
static stook_future *await_link(_Atomic(stook_future *) *link, unsigned spins)
{
    for (;; stook__platform_pause()) {
        /* order IB.link acq <- IB.join: the task behind it */
        stook_future *next = a_load_acq(link);
        if (next || spins-- == 0) {
            return next;
        }
    }
}

/* The oldest; NULL: there is none, or the link to it is not there. */
static stook_future *find_first(struct stook__inbox *inbox, unsigned spins)
{
    if (!inbox->first && !stook__inbox_seems_empty(inbox)) {
        inbox->first = await_link(&inbox->head, spins);
        if (inbox->first) {
            /* order IB.clear rlx: the next one to be set is behind a swap of the tail */
            a_store_rlx(&inbox->head, NULL);
        }
    }
    return inbox->first;
}

stook_future *stook__inbox_pop(struct stook__inbox *inbox)
{
    stook_future *task = find_first(inbox, 0);
    stook_future *last = task;

    if (!task) {
        return NULL;
    }
    stook_future *next = await_link(&task->next, 0);
    /* order IB.last acqrel <- IB.post; -> IB.post: whoever posts the next one sets the head anew */
    if (!next && !a_cas_acqrel(&inbox->tail, &last, NULL)) {
        next = await_link(&task->next, LINK_SPINS);
        if (!next) {
            return NULL;
        }
    }
    inbox->first = next;
    if (next) {
        stook__platform_prefetch(next);
    }
    inbox->known -= inbox->known > 0;
    return task;
}

bool stook__inbox_is_long(struct stook__inbox *inbox)
{
    if (inbox->known > 0) {
        return inbox->is_long;
    }
    /* Each task is looked at once for this, shortly before it is taken. */
    stook_future *task = find_first(inbox, 0);
    while (task && inbox->known < STOOK__MANY) {
        inbox->known++;
        task = await_link(&task->next, 0);
        if (task) {
            stook__platform_prefetch(task);
        }
    }
    inbox->is_long = inbox->known == STOOK__MANY;
    return inbox->is_long;
}

size_t stook__inbox_take_all(struct stook__inbox *inbox, stook_future **ret_first,
                             stook_future **ret_last)
{
    size_t count = 1;

    while (!find_first(inbox, LINK_SPINS)) {
        thrd_yield(); /* before the swap: after it, another submitter could set the head */
    }
    stook_future *task = *ret_first = inbox->first;
    inbox->first = NULL;
    inbox->known = 0;
    /* order IB.all acqrel <- IB.post; -> IB.post, IB.look: the tasks; and who finds nothing left
     * must see where they have gone */
    *ret_last = a_xchg_acqrel(&inbox->tail, NULL);
    for (; task != *ret_last; count++) {
        stook_future *next;
        while (!(next = await_link(&task->next, LINK_SPINS))) {
            thrd_yield();
        }
        task = next;
    }
    return count;
}

bool stook__inbox_close_empty(struct stook__inbox *inbox)
{
    stook_future *found = NULL;
    /* order IB.shut acqrel -> IB.top, IB.post; <- IB.last: as IB.all */
    return a_cas_acqrel(&inbox->tail, &found, closed_mark(inbox)) || found == closed_mark(inbox);
}
