/* SPDX-License-Identifier: MIT
 *
 * Waiting for several futures. A wait for all of them is a row of single waits; the others enter
 * one waiter for each future, of which the one that makes the difference sets the event.
 *
 * A completer touches the set until it marks its node as gone: nobody frees the set before that.
 */
#include <stook/waitset.h>
#include <stdint.h>
#include <stdlib.h>
#include "allocate.h"
#include "atomics.h"
#include "deadlock.h"
#include "fork.h"
#include "task.h"
#include "wait.h"
#include "worker.h"

/* Sets up to this size live on the stack. */
enum { SMALL_SET = 16 };

struct set_node {
    struct stook__waiter waiter;
    struct set *set;
    stook_future *future;
    size_t index;       /* in the caller's array */
    bool is_duplicate;  /* of the node before it */
    bool is_own;        /* of a task on the waiter's own stack, which cannot end before the wait */
    _Atomic(bool) gone; /* the completer's last touch */
};

struct set {
    struct set_node *nodes; /* by future, then by index */
    size_t count;
    size_t entered; /* different futures that are not the waiter's own */
    enum stook_wait_mode mode;
    _Atomic(long long) missing; /* the one that makes it 0 sets the event */
    struct stook__event enough;
};

static int by_future(const void *a, const void *b)
{
    const struct set_node *x = a;
    const struct set_node *y = b;

    if (x->future != y->future) {
        return (uintptr_t)x->future < (uintptr_t)y->future ? -1 : 1;
    }
    return (x->index > y->index) - (x->index < y->index);
}

/* --- any, first error --------------------------------------------------------------------------
 */

static void bring(struct set *set, long long change)
{
    /* order WS.bring rlx: only the number counts; results are seen by the futures' own states */
    long long before = a_add_rlx(&set->missing, -change);

    if (before > 0 && before <= change) {
        stook__event_set(&set->enough);
    }
}

/* What is missing is 1 for any; for the first error as many as there are futures, and an error
 * brings them all. */
static void member_ended(struct stook__waiter *waiter)
{
    struct set_node *node = (struct set_node *)waiter;
    bool failed = node->set->mode == STOOK_WAIT_FIRST_ERROR &&
                  stook_future_state(node->future) == STOOK_STATE_FAILED;

    bring(node->set, failed ? (long long)node->set->entered : 1);
    /* order WS.gone rel -> WS.left: the set is touched no more */
    a_store_rel(&node->gone, true);
}

static void enter_all(struct set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        struct set_node *node = &set->nodes[i];
        if (node->is_duplicate || node->is_own) {
            continue;
        }
        node->waiter = (struct stook__waiter){.notify = member_ended};
        atomic_init(&node->gone, false);
        if (!stook__task_add_waiter(node->future, &node->waiter)) {
            member_ended(&node->waiter);
        }
    }
}

static void leave_all(struct set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        struct set_node *node = &set->nodes[i];
        if (node->is_duplicate || node->is_own ||
            stook__task_remove_waiter(node->future, &node->waiter)) {
            continue;
        }
        /* order WS.left acq <- WS.gone: the completer has left the set */
        while (!a_load_acq(&node->gone)) {
            thrd_yield();
        }
    }
}

static enum stook_status wait_some(struct set *set, int64_t deadline_ns)
{
    atomic_init(&set->missing, set->mode == STOOK_WAIT_ANY ? 1 : (long long)set->entered);
    if (!stook__event_init(&set->enough)) {
        return STOOK_THREAD;
    }
    enter_all(set);
    bool enough = stook__wait_event(&set->enough, deadline_ns);
    leave_all(set);
    stook__event_fini(&set->enough);
    return enough ? STOOK_OK : STOOK_TIMEOUT;
}

/* --- all ---------------------------------------------------------------------------------------
 */

static enum stook_status wait_each(struct set *set, int64_t deadline_ns)
{
    for (size_t i = 0; i < set->count; i++) {
        enum stook_status status = stook_future_wait_until(set->nodes[i].future, deadline_ns);
        if (status != STOOK_OK) {
            return status;
        }
    }
    return STOOK_OK;
}

/* --- the wait -----------------------------------------------------------------------------------
 */

static bool set_fill(struct set *set, stook_future *const futures[])
{
    for (size_t i = 0; i < set->count; i++) {
        if (!futures[i]) {
            return false;
        }
        set->nodes[i] = (struct set_node){.set = set, .future = futures[i], .index = i};
    }
    qsort(set->nodes, set->count, sizeof *set->nodes, by_future);
    for (size_t i = 0; i < set->count; i++) {
        set->nodes[i].is_duplicate = i > 0 && set->nodes[i].future == set->nodes[i - 1].future;
        set->nodes[i].is_own = stook__wait_is_for_self(set->nodes[i].future);
        set->entered += !set->nodes[i].is_duplicate && !set->nodes[i].is_own;
    }
    return true;
}

/* Who is done now; true: that is what mode asks for. */
static bool set_split(struct set *set, bool ret_done[], struct stook_wait_counts *ret_counts)
{
    struct stook_wait_counts counts = {0};
    bool failed = false;
    bool is_done = false;

    for (size_t i = 0; i < set->count; i++) {
        const struct set_node *node = &set->nodes[i];
        if (!node->is_duplicate) {
            enum stook_state state = stook_future_state(node->future);
            is_done = state >= STOOK_STATE_DONE;
            failed = failed || state == STOOK_STATE_FAILED;
            *(is_done ? &counts.done : &counts.not_done) += 1;
        }
        if (ret_done) {
            ret_done[node->index] = is_done;
        }
    }
    if (ret_counts) {
        *ret_counts = counts;
    }
    return counts.not_done == 0 || (set->mode == STOOK_WAIT_ANY && counts.done > 0) ||
           (set->mode == STOOK_WAIT_FIRST_ERROR && failed);
}

/* The task on the waiter's own stack for which the wait could never end, NULL if it can: for ALL
 * any of those, else only if all that are missing are. */
static const stook_future *set_find_self(const struct set *set)
{
    const stook_future *own = NULL;
    bool others = false;

    for (size_t i = 0; i < set->count; i++) {
        const struct set_node *node = &set->nodes[i];
        if (!stook_future_done(node->future)) {
            own = node->is_own ? node->future : own;
            others = others || !node->is_own;
        }
    }
    return set->mode == STOOK_WAIT_ALL || !others ? own : NULL;
}

static enum stook_status report_self(const stook_future *own)
{
    stook__waits_report_self(stook__frame_current(), own);
    return STOOK_DEADLOCK;
}

static bool set_is_forked(const struct set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        if (stook__future_forked(set->nodes[i].future)) {
            return true;
        }
    }
    return false;
}

static enum stook_status set_wait(struct set *set, int64_t deadline_ns, bool ret_done[],
                                  struct stook_wait_counts *ret_counts)
{
    enum stook_status status = STOOK_OK;

    if (!set_split(set, NULL, NULL)) {
        if (set_is_forked(set)) {
            return STOOK_FORKED;
        }
        status = stook__wait_allowed(deadline_ns);
        const stook_future *own = set_find_self(set);
        if (status != STOOK_TIMEOUT && own) {
            status = report_self(own);
        }
        if (status == STOOK_OK) {
            status = set->mode == STOOK_WAIT_ALL ? wait_each(set, deadline_ns)
                                                 : wait_some(set, deadline_ns);
        }
    }
    if (status != STOOK_OK && status != STOOK_TIMEOUT) {
        return status;
    }
    const stook_future *own = status == STOOK_OK ? set_find_self(set) : NULL;
    if (own && !set_split(set, NULL, NULL)) {
        return report_self(own); /* the first error: only the waiter's own are left */
    }
    return set_split(set, ret_done, ret_counts) ? STOOK_OK : STOOK_TIMEOUT;
}

/* Memory comes from where the first future came from. */
static const struct stook_allocator *set_allocator(stook_future *const futures[])
{
    return futures[0] ? stook__task_allocator(futures[0]) : NULL;
}

enum stook_status stook_wait_until(stook_future *const futures[], size_t count,
                                   enum stook_wait_mode mode, int64_t deadline_ns, bool ret_done[],
                                   struct stook_wait_counts *ret_counts)
{
    struct set_node few[SMALL_SET];
    struct set set = {.nodes = few, .count = count, .mode = mode};
    enum stook_status status = STOOK_INVALID;

    if ((count > 0 && !futures) || mode < STOOK_WAIT_ALL || mode > STOOK_WAIT_FIRST_ERROR) {
        return STOOK_INVALID;
    }
    if (count > SMALL_SET) {
        set.nodes = count > SIZE_MAX / sizeof *set.nodes
                        ? NULL
                        : stook__allocate(set_allocator(futures), count * sizeof *set.nodes);
        if (!set.nodes) {
            return STOOK_NOMEM;
        }
    }
    if (set_fill(&set, futures)) {
        status = set_wait(&set, deadline_ns, ret_done, ret_counts);
    }
    if (count > SMALL_SET) {
        stook__deallocate(set_allocator(futures), set.nodes, count * sizeof *set.nodes);
    }
    return status;
}
