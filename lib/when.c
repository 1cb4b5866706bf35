/* SPDX-License-Identifier: MIT
 *
 * when_all and when_any: a future with a waiter in the list of each of several others.
 *
 * Each waiter has a reference to either side until it is notified or taken out; the record has
 * another one to each of the others until it is terminal.
 */
#include <stdint.h>
#include <stook/continuation.h>
#include "atomics.h"
#include "bond.h"
#include "callback.h"
#include "fork.h"

struct when_node {
    struct stook__waiter waiter;
    struct when *when;
    int code; /* of a future that failed */
};

struct when {
    stook_future future; /* first */
    struct stook__bond bond;
    bool any;
    size_t count;                   /* of nodes that were entered; constant once it is returned */
    _Atomic(size_t) parts;          /* that are missing: who brings the last one completes it */
    _Atomic(stook_future *) winner; /* any: the first that was notified; with a reference */
    _Atomic(size_t) first_failed;   /* all: the lowest index; SIZE_MAX: none */
    _Atomic(bool) some_cancelled;   /* all */
    struct when_node nodes[];
};

static void release_value(void *value)
{
    stook__task_release(value);
}

/* The outcome of all is that of the first in the array that failed, else of one that was
 * cancelled. */
static void complete_all(struct when *when)
{
    /* order WH.lowest rlx: ordered by WH.part */
    size_t failed = a_load_rlx(&when->first_failed);

    if (failed != SIZE_MAX) {
        stook__task_complete(&when->future, when->nodes[failed].code, NULL);
        return;
    }
    /* order WH.some rlx: ordered by WH.part */
    if (a_load_rlx(&when->some_cancelled)) {
        stook__task_cancel_pending(&when->future);
    } else {
        stook__task_complete(&when->future, 0, NULL);
    }
}

static void complete_any(struct when *when)
{
    /* order WH.who rlx: ordered by WH.part */
    stook_future *winner = a_load_rlx(&when->winner);

    if (stook_future_state(winner) == STOOK_STATE_CANCELLED) {
        stook__task_cancel_pending(&when->future);
        stook__task_release(winner);
    } else if (!stook__task_complete(&when->future, stook_future_code(winner), winner)) {
        stook__task_release(winner);
    }
}

static void bring_part(struct when *when)
{
    /* order WH.part acqrel -> WH.part: the last one sees what all others have brought */
    if (a_sub_acqrel(&when->parts, (size_t)1) != 1) {
        return;
    }
    if (when->any) {
        complete_any(when);
    } else {
        complete_all(when);
    }
}

static void note_state(struct when *when, struct when_node *node)
{
    stook_future *future = node->waiter.future;
    enum stook_state state = stook_future_state(future);

    if (state == STOOK_STATE_CANCELLED) {
        /* order WH.cancelled rlx: ordered by WH.part */
        a_store_rlx(&when->some_cancelled, true);
    } else if (state == STOOK_STATE_FAILED) {
        size_t index = (size_t)(node - when->nodes);
        node->code = stook_future_code(future);
        /* order WH.before rlx: the swap decides */
        size_t lowest = a_load_rlx(&when->first_failed);
        /* order WH.fail rlx: ordered by WH.part */
        while (index < lowest && !a_cas_rlx(&when->first_failed, &lowest, index)) {
        }
    }
}

static bool is_first(struct when *when, stook_future *future)
{
    stook_future *none = NULL;

    stook__task_retain(future);
    /* order WH.first rlx: ordered by WH.part */
    if (a_cas_rlx(&when->winner, &none, future)) {
        return true;
    }
    stook__task_release(future);
    return false;
}

static void one_ended(struct stook__waiter *waiter)
{
    struct when_node *node = (struct when_node *)waiter;
    struct when *when = node->when;
    stook_future *future = waiter->future;

    if (!when->any) {
        note_state(when, node);
        bring_part(when);
    } else if (is_first(when, future)) {
        bring_part(when);
    }
    stook__task_release(future);
    stook__task_release(&when->future);
}

/* The new future is terminal: forgets the others. */
static void when_ended(struct stook__bond *bond, bool was_held)
{
    (void)was_held;
    struct when *when = (struct when *)((char *)bond - offsetof(struct when, bond));

    for (size_t i = 0; i < when->count; i++) {
        struct when_node *node = &when->nodes[i];
        stook_future *future = node->waiter.future;
        if (stook__task_remove_waiter(future, &node->waiter)) {
            stook__task_release(future);
            stook__task_release(&when->future);
        }
        stook__task_release(future);
    }
}

static void enter(struct when *when, stook_future *const futures[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct when_node *node = &when->nodes[i];
        /* order WH.found rlx: a hint: further ones would be taken out again */
        if (when->any && a_load_rlx(&when->winner)) {
            break;
        }
        *node =
            (struct when_node){.waiter = {.notify = one_ended, .future = futures[i]}, .when = when};
        when->count = i + 1;
        stook__task_retain(futures[i]);
        stook__task_retain(futures[i]);
        stook__task_retain(&when->future);
        stook__callback_add(&node->waiter);
    }
}

static enum stook_status when_create(stook_future *const futures[], size_t count, bool any,
                                     stook_future **ret_future)
{
    const size_t most = (SIZE_MAX / 2 - sizeof(struct when)) / sizeof(struct when_node);

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
    stook__fork_watch();
    const struct stook_allocator *allocator = count ? stook__task_allocator(futures[0]) : NULL;
    stook_future *future = stook__task_create_sized(
        allocator, sizeof(struct when) + count * sizeof(struct when_node), NULL, NULL, NULL, 2);
    if (!future) {
        return STOOK_NOMEM;
    }
    struct when *when = (struct when *)future;
    stook__bond_init(&when->bond, future, NULL, NULL, STOOK_PRIORITY_NORMAL);
    when->bond.ended = when_ended;
    when->any = any;
    when->count = 0;
    atomic_init(&when->parts, any ? 2 : count + 1); /* one is brought below */
    atomic_init(&when->winner, NULL);
    atomic_init(&when->first_failed, SIZE_MAX);
    atomic_init(&when->some_cancelled, false);
    stook_future_set_destructor(future, any ? release_value : NULL);
    enter(when, futures, count);
    bring_part(when);
    *ret_future = future;
    stook__task_release(future); /* this function's */
    return STOOK_OK;
}

enum stook_status stook_when_all(stook_future *const futures[], size_t count,
                                 stook_future **ret_future)
{
    if (!ret_future || (count > 0 && !futures)) {
        return STOOK_INVALID;
    }
    return when_create(futures, count, false, ret_future);
}

enum stook_status stook_when_any(stook_future *const futures[], size_t count,
                                 stook_future **ret_future)
{
    if (!ret_future || count == 0 || !futures) {
        return STOOK_INVALID;
    }
    return when_create(futures, count, true, ret_future);
}
