/* SPDX-License-Identifier: MIT
 *
 * The iterator over futures in the order in which they are done.
 *
 * Completers push their node onto a stack, which the iterator takes as a whole and turns round.
 * One that sleeps leaves the address of an event, which one completer takes and sets. A completer
 * touches the iterator until it marks its node as gone: nobody frees it before that.
 */
#include <stdint.h>
#include <stdlib.h>
#include <stook/waitset.h>
#include "allocate.h"
#include "atomics.h"
#include "callback.h"
#include "fork.h"
#include "task.h"
#include "wait.h"
#include "worker.h"

struct completed_node {
    struct stook__waiter waiter;
    stook_as_completed *iterator;
    stook_future *future;        /* a reference until it is yielded, then NULL; NULL: a duplicate */
    bool entered;                /* not a duplicate */
    size_t index;                /* in the caller's array */
    struct completed_node *next; /* in the stack, or among those to be yielded */
    _Atomic(bool) gone;          /* the completer's last touch */
};

struct stook_as_completed {
    struct stook_allocator allocator; /* allocate NULL: malloc */
    size_t count;                     /* nodes */
    size_t left;                      /* to be yielded */
    size_t bytes;
    unsigned generation;                    /* of the process that made it; fork.h */
    _Atomic(struct completed_node *) stack; /* done, newest first */
    struct completed_node *ready;           /* the iterator's own, oldest first */
    _Atomic(struct stook__event *) sleeper; /* NULL: nobody sleeps */
    struct completed_node nodes[];
};

/* --- completers ---------------------------------------------------------------------------------
 */

static void push(stook_as_completed *iterator, struct completed_node *node)
{
    /* order AC.look rlx: the swap decides */
    struct completed_node *top = a_load_rlx(&iterator->stack);
    do {
        node->next = top;
        /* order AC.push rel -> AC.take: the link is seen with the node */
    } while (!a_cas_rel(&iterator->stack, &top, node));
    /* order AC.pushed sc <-> AC.sleep: else it may sleep beside this node, each side having looked
     * before the other wrote */
    a_fence_sc();
    /* order AC.wake acqrel <- AC.left; -> AC.back: the event that it will set has been initialised
     */
    struct stook__event *sleeper = a_xchg_acqrel(&iterator->sleeper, NULL);
    if (sleeper) {
        stook__event_set(sleeper);
    }
}

static void member_ended(struct stook__waiter *waiter)
{
    struct completed_node *node = (struct completed_node *)waiter;

    push(node->iterator, node);
    /* order AC.gone rel -> AC.free: the iterator is touched no more */
    a_store_rel(&node->gone, true);
}

/* --- creating --------------------------------------------------------------------------------- */

static int by_future(const void *a, const void *b)
{
    const struct completed_node *x = a;
    const struct completed_node *y = b;

    if (x->future != y->future) {
        return (uintptr_t)x->future < (uintptr_t)y->future ? -1 : 1;
    }
    return (x->index > y->index) - (x->index < y->index);
}

static int by_index(const void *a, const void *b)
{
    const struct completed_node *x = a;
    const struct completed_node *y = b;

    return (x->index > y->index) - (x->index < y->index);
}

/* Fills the nodes in the order of the array; only the first of several with the same future has
 * it. */
static void nodes_fill(stook_as_completed *iterator, stook_future *const futures[])
{
    struct completed_node *nodes = iterator->nodes;
    size_t count = iterator->count;
    const stook_future *last = NULL;

    for (size_t i = 0; i < count; i++) {
        nodes[i] = (struct completed_node){.waiter = {.notify = member_ended},
                                           .iterator = iterator,
                                           .future = futures[i],
                                           .index = i};
        atomic_init(&nodes[i].gone, false);
    }
    qsort(nodes, count, sizeof *nodes, by_future);
    for (size_t i = 0; i < count; i++) {
        if (nodes[i].future == last) {
            nodes[i].future = NULL;
        } else {
            last = nodes[i].future;
            iterator->left++;
        }
    }
    qsort(nodes, count, sizeof *nodes, by_index);
}

enum stook_status stook_as_completed_create(stook_future *const futures[], size_t count,
                                            stook_as_completed **ret_iterator)
{
    const size_t most = (SIZE_MAX - sizeof(stook_as_completed)) / sizeof(struct completed_node);

    if (!ret_iterator || (count > 0 && !futures)) {
        return STOOK_INVALID;
    }
    if (count > most) {
        return STOOK_NOMEM; /* before the array is read, which cannot be so long */
    }
    for (size_t i = 0; i < count; i++) {
        if (!futures[i]) {
            return STOOK_INVALID;
        }
        if (stook__future_forked(futures[i])) {
            return STOOK_FORKED;
        }
    }
    const struct stook_allocator *allocator = count ? stook__task_allocator(futures[0]) : NULL;
    size_t bytes = sizeof(stook_as_completed) + count * sizeof(struct completed_node);
    stook_as_completed *iterator = stook__allocate(allocator, bytes);
    if (!iterator) {
        return STOOK_NOMEM;
    }
    iterator->allocator = allocator ? *allocator : (struct stook_allocator){0};
    iterator->count = count;
    iterator->left = 0;
    iterator->bytes = bytes;
    iterator->generation = stook__fork_generation();
    atomic_init(&iterator->stack, NULL);
    iterator->ready = NULL;
    atomic_init(&iterator->sleeper, NULL);
    nodes_fill(iterator, futures);
    for (size_t i = 0; i < count; i++) {
        struct completed_node *node = &iterator->nodes[i];
        if (node->future) {
            node->entered = true;
            stook__task_retain(node->future);
            if (!stook__task_add_waiter(node->future, &node->waiter)) {
                member_ended(&node->waiter);
            }
        }
    }
    *ret_iterator = iterator;
    return STOOK_OK;
}

/* --- yielding --------------------------------------------------------------------------------- */

/* Takes what has been pushed, and turns it round; false: nothing. */
static bool refill(stook_as_completed *iterator)
{
    /* order AC.take acqrel <- AC.push: see there */
    struct completed_node *node = a_xchg_acqrel(&iterator->stack, NULL);

    while (node) {
        struct completed_node *next = node->next;
        node->next = iterator->ready;
        iterator->ready = node;
        node = next;
    }
    return iterator->ready != NULL;
}

/* Sleeps until something has been pushed, or the deadline has passed. */
static void sleep_until_pushed(stook_as_completed *iterator, int64_t deadline_ns)
{
    struct stook__event pushed;

    if (!stook__event_init(&pushed)) {
        thrd_yield(); /* no event to be had: the caller looks again */
        return;
    }
    /* order AC.left rel -> AC.wake: the event is seen whole */
    a_store_rel(&iterator->sleeper, &pushed);
    /* order AC.sleep sc <-> AC.pushed: see there */
    a_fence_sc();
    /* order AC.again rlx: ordered by the fence; taken by refill() later */
    bool nothing = !a_load_rlx(&iterator->stack);
    bool was_set = nothing && stook__wait_event(&pushed, deadline_ns);
    /* order AC.back acqrel <- AC.wake: either the event is still the sleeper's own, or a completer
     * has it and is about to set it */
    if (!was_set && !a_xchg_acqrel(&iterator->sleeper, NULL)) {
        stook__event_wait_until(&pushed, STOOK_FOREVER);
    }
    stook__event_fini(&pushed);
}

/* Whether all that are left belong to tasks on the calling thread's own stack. */
static bool is_for_self(const stook_as_completed *iterator)
{
    size_t left = iterator->left;

    /* also those below the region of a stolen fork, which its depth does not count */
    for (const struct stook__frame *frame = stook__frame_current(); frame; frame = frame->below) {
        left -= left > 0;
    }
    if (left > 0) {
        return false; /* there are more than its stack has: the usual case, for little */
    }
    for (size_t i = 0; i < iterator->count; i++) {
        const stook_future *future = iterator->nodes[i].future;
        if (future && !stook__wait_is_for_self(future)) {
            return false;
        }
    }
    return true;
}

static enum stook_status await_ready(stook_as_completed *iterator, int64_t deadline_ns)
{
    while (!iterator->ready && !refill(iterator)) {
        if (stook__forked(iterator->generation)) {
            return STOOK_FORKED;
        }
        enum stook_status status = stook__wait_allowed(deadline_ns);
        if (status == STOOK_OK && is_for_self(iterator)) {
            status = STOOK_DEADLOCK;
        }
        if (status != STOOK_OK) {
            return status;
        }
        sleep_until_pushed(iterator, deadline_ns);
    }
    return STOOK_OK;
}

enum stook_status stook_as_completed_next(stook_as_completed *iterator, int64_t deadline_ns,
                                          size_t *ret_index)
{
    if (!iterator || !ret_index) {
        return STOOK_INVALID;
    }
    if (iterator->left == 0) {
        return STOOK_END;
    }
    enum stook_status status = await_ready(iterator, deadline_ns);
    if (status != STOOK_OK) {
        return status;
    }
    struct completed_node *node = iterator->ready;
    stook_future *future = node->future;
    iterator->ready = node->next;
    iterator->left--;
    node->future = NULL;
    *ret_index = node->index;
    stook__task_release(future);
    return STOOK_OK;
}

size_t stook_as_completed_left(const stook_as_completed *iterator)
{
    return iterator ? iterator->left : 0;
}

void stook_as_completed_destroy(stook_as_completed *iterator)
{
    if (!iterator) {
        return;
    }
    /* In the child of a fork completers may have vanished in the middle: futures keep their
     * references. */
    size_t count = stook__forked(iterator->generation) ? 0 : iterator->count;
    for (size_t i = 0; i < count; i++) {
        struct completed_node *node = &iterator->nodes[i];
        stook_future *future = node->future;
        if (!node->entered) {
            continue;
        }
        if (!future || !stook__task_remove_waiter(future, &node->waiter)) {
            /* order AC.free acq <- AC.gone: the completer has left the iterator */
            while (!a_load_acq(&node->gone)) {
                thrd_yield();
            }
        }
        if (future) {
            stook__task_release(future);
        }
    }
    struct stook_allocator allocator = iterator->allocator;
    stook__deallocate(allocator.allocate ? &allocator : NULL, iterator, iterator->bytes);
}
