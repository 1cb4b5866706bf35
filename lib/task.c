/* SPDX-License-Identifier: MIT
 *
 * The state machine of a future: each transition is one function, and each is one read-modify-write
 * of the word. README.md, "The future".
 *
 * Invariant: a terminal state never changes, and the thread that made it is the only one that reads
 * the list of waiters from then on.
 */
#include "task.h"
#include <stdlib.h>
#include <threads.h>
#include "allocate.h"
#include "bond.h"
#include "callback.h"
#include "checks.h"
#include "fork.h"
#include "local.h"

/* A holder of TASK_LOCKED has a handful of instructions to go, unless it was preempted. */
enum { LOCK_SPINS = 64 };

static void lock_pause(unsigned *spins)
{
    if (++*spins % LOCK_SPINS) {
        stook__platform_pause();
    } else {
        thrd_yield();
    }
}

/* --- memory ------------------------------------------------------------------------------------
 */

/* Stands before a record that did not come from malloc(). */
struct prefix {
    struct stook_allocator allocator;
    size_t size; /* in all */
};

static_assert(sizeof(struct prefix) % _Alignof(max_align_t) == 0, "keeps the record aligned");

static struct prefix *prefix_of(stook_future *task)
{
    return (struct prefix *)((char *)task - sizeof(struct prefix));
}

static stook_future *record_create(const struct stook_allocator *allocator, size_t size,
                                   uint32_t *ret_flags)
{
    if (!allocator) {
        *ret_flags = 0;
        return malloc(size);
    }
    *ret_flags = TASK_PREFIXED;
    struct prefix *prefix = stook__allocate(allocator, sizeof *prefix + size);
    if (!prefix) {
        return NULL;
    }
    *prefix = (struct prefix){.allocator = *allocator, .size = sizeof *prefix + size};
    return (stook_future *)(prefix + 1);
}

/* Whoever uses the record after this shall be found out. */
static void mark_dead(stook_future *task)
{
    stook__store_kept(&task->home, TASK_DEAD);
}

static void record_destroy(stook_future *task, uint32_t word)
{
    uintptr_t home = task->home;
    void *place = stook__task_place(task);

    if (task->bond) {
        stook__bond_fini(task->bond);
    }
    mark_dead(task);
    if (home == stook__local.home) {
        stook__slabs_give(place, &stook__local.magazine, task);
    } else if (!(home & TASK_APART)) {
        if (home == stook__task_home(place)) {
            stook__slabs_give_outside(place, task);
        } /* else it is from before a fork, and left where it is: a lock may be held for ever */
    } else if (!stook__task_is_terminal(word) && home != (stook__task_home(place) | TASK_APART)) {
        return; /* likewise; one that is terminal is as good as in the parent */
    } else if (word & TASK_PREFIXED) {
        struct prefix *prefix = prefix_of(task);
        struct stook_allocator allocator = prefix->allocator;
        stook__deallocate(&allocator, prefix, prefix->size);
    } else {
        free(task);
    }
}

stook_future *stook__task_create_sized(const struct stook_allocator *allocator, size_t size,
                                       stook_executor *executor, stook_task_fn *fn, void *arg,
                                       uint32_t refs)
{
    uint32_t flags;
    stook_future *task = record_create(allocator, size, &flags);

    if (task) {
        stook__task_init(task, stook__task_home(executor) | TASK_APART, fn, arg,
                         refs * TASK_REF | flags);
    }
    return task;
}

stook_future *stook__task_create(struct stook__slabs *slabs, stook_task_fn *fn, void *arg,
                                 uint32_t refs)
{
    struct stook__local *local = &stook__local;
    stook_future *task = local->home == stook__task_home(slabs)
                             ? stook__slabs_take(slabs, &local->magazine)
                             : stook__slabs_take_outside(slabs);

    if (task) {
        stook__task_init(task, stook__task_home(slabs), fn, arg, refs * TASK_REF);
    }
    return task;
}

void stook__task_discard(stook_future *task)
{
    /* order FU.discard rlx: nobody else has seen it */
    record_destroy(task, a_load_rlx(&task->word));
}

const struct stook_allocator *stook__task_allocator(stook_future *task)
{
    if (!(task->home & TASK_APART)) {
        return ((const struct stook__slabs *)stook__task_place(task))->given;
    }
    /* order FU.origin rlx: the bit is constant */
    return a_load_rlx(&task->word) & TASK_PREFIXED ? &prefix_of(task)->allocator : NULL;
}

static STOOK_THREAD_LOCAL struct {
    stook_future *first; /* chained by next: records without a reference, whose values are due */
    bool running;
} dying;

static bool has_value_to_destroy(const stook_future *task, uint32_t word)
{
    enum stook_state state = stook__task_state(word);

    return (state == STOOK_STATE_DONE || state == STOOK_STATE_FAILED) &&
           stook__task_destructor(task) && !(word & TASK_TAKEN) && task->value;
}

/* A value may hold the last reference to another future, and so on: they are destroyed one after
 * the other, so that chains of any length need no stack. */
static void destroy_with_value(stook_future *task)
{
    stook__task_chain(task, dying.first);
    dying.first = task;
    if (dying.running) {
        return;
    }
    dying.running = true;
    while ((task = dying.first) != NULL) {
        dying.first = stook__task_next(task);
        stook__task_destructor(task)(task->value);
        /* order FU.dead rlx: nobody else is left */
        record_destroy(task, a_load_rlx(&task->word));
    }
    dying.running = false;
}

void stook__task_free(stook_future *task)
{
    /* order FU.freed rlx: nobody else is left */
    record_destroy(task, a_load_rlx(&task->word));
}

static void task_destroy(stook_future *task, uint32_t word)
{
    if (has_value_to_destroy(task, word)) {
        destroy_with_value(task);
    } else {
        record_destroy(task, word);
    }
}

/* --- references and states ---------------------------------------------------------------------
 */

void stook__task_retain(stook_future *task)
{
    /* order FU.ref rlx: the caller holds a reference, so it cannot be the last that goes */
    uint32_t word = a_add_rlx(&task->word, TASK_REF);
    STOOK_CHECK_API(word / TASK_REF < TASK_MAX_REFS, "too many references to one future");
    (void)word;
}

void stook__task_release(stook_future *task)
{
    /* order FU.sole acq <- FU.unref, FU.finish: who frees must come after all others' uses. A sole
     * owner needs no read-modify-write: nobody is left to race with */
    uint32_t word = a_load_acq(&task->word);
    if (word / TASK_REF == 1) {
        task_destroy(task, word);
        return;
    }
    /* order FU.unref acqrel -> FU.sole, FU.unref: as FU.sole, in both roles */
    word = a_sub_acqrel(&task->word, TASK_REF);
    if (word / TASK_REF == 1) {
        task_destroy(task, word);
    }
}

bool stook__task_claim(stook_future *task)
{
    /* order FU.peek rlx: the swap below decides */
    uint32_t word = a_load_rlx(&task->word);
    while (stook__task_state(word) == STOOK_STATE_PENDING) {
        /* order FU.claim rlx: fn and arg came to this thread with the pointer to the task, from a
         * queue or from the waiter's own hands; the winner is unique by the swap alone */
        if (a_cas_rlx(&task->word, &word, word | STOOK_STATE_RUNNING)) {
            return true;
        }
    }
    return false;
}

/* Notifies a detached list, in order: threads that wait at once, callbacks after them. A record may
 * vanish when it is notified: next is read before. */
static void notify_all(struct stook__waiter *waiter)
{
    bool callbacks = false;

    while (waiter) {
        struct stook__waiter *next = waiter->next;
        if (waiter->future) {
            stook__callback_defer(waiter);
            callbacks = true;
        } else {
            waiter->notify(waiter);
        }
        waiter = next;
    }
    if (callbacks) {
        stook__callback_run();
    }
}

/* After a terminal transition, `word` -> `ended`, by the thread that made it. */
static void after_end(stook_future *task, uint32_t word, uint32_t ended, bool give_reference)
{
    struct stook__bond *bond = task->bond;
    struct stook__waiter *waiters = NULL;

    if (word & TASK_HAS_WAITERS) {
        waiters = task->waiters;
        task->waiters = NULL;
    }
    if (bond) {
        struct stook__bond_rest rest =
            stook__bond_leave(bond, stook__task_state(ended), task->code);
        notify_all(waiters);
        stook__bond_finish(bond, &rest);
        stook__task_release(task);
    } else if (waiters) {
        if (give_reference) {
            stook__task_release(task);
        }
        notify_all(waiters);
    }
}

/* `from` -> `to`, a terminal state, possibly with TASK_BROKEN; false if the task is not in `from`.
 */
static bool task_end(stook_future *task, enum stook_state from, uint32_t to, bool give_reference)
{
    unsigned spins = 0;
    uint32_t ended;
    bool has_bond = task->bond != NULL;
    /* order FU.before rlx: the swap below decides */
    uint32_t word = a_load_rlx(&task->word);

    for (;;) {
        if (stook__task_state(word) != from) {
            return false;
        }
        if (word & TASK_LOCKED) {
            lock_pause(&spins);
            /* order FU.again rlx: the swap below decides */
            word = a_load_rlx(&task->word);
            continue;
        }
        ended =
            (word & ~(uint32_t)(TASK_STATE_MASK | TASK_HAS_WAITERS | TASK_CANCEL_REQUESTED)) | to;
        if (has_bond && !give_reference) {
            ended += TASK_REF; /* for after_end() */
        } else if (!has_bond && give_reference && !(word & TASK_HAS_WAITERS)) {
            ended -= TASK_REF;
        }
        /* order FU.finish acqrel -> FU.seen, FU.sole, FU.unref; <- FU.unlock, FU.rest: the result
         * is written before anybody sees the state; the list of waiters is seen as it was last
         * unlocked */
        if (a_cas_acqrel(&task->word, &word, ended)) {
            break;
        }
    }
    if (ended / TASK_REF == 0) {
        task_destroy(task, ended);
    } else if (has_bond || word & TASK_HAS_WAITERS) {
        after_end(task, word, ended, give_reference);
    }
    return true;
}

void stook__task_finish(stook_future *task, int code, void *value, bool give_reference)
{
    task->code = code;
    task->value = value;
    bool ended = task_end(task, STOOK_STATE_RUNNING,
                          code == 0 ? STOOK_STATE_DONE : STOOK_STATE_FAILED, give_reference);
    STOOK_ASSERT(ended);
    (void)ended;
}

bool stook__task_rest(stook_future *task)
{
    /* order FU.rested rlx: the swap below decides */
    uint32_t word = a_load_rlx(&task->word);

    while (!(word & TASK_CANCEL_REQUESTED)) {
        uint32_t rested = (word & ~(uint32_t)TASK_STATE_MASK) | STOOK_STATE_PENDING;
        /* order FU.rest rel -> FU.finish: who cancels it comes after all that the call did */
        if (a_cas_rel(&task->word, &word, rested)) {
            return true;
        }
    }
    task_end(task, STOOK_STATE_RUNNING, STOOK_STATE_CANCELLED, false);
    return false;
}

bool stook__task_cancel_pending(stook_future *task)
{
    return task_end(task, STOOK_STATE_PENDING, STOOK_STATE_CANCELLED, false);
}

bool stook__task_cancel_broken(stook_future *task)
{
    return task_end(task, STOOK_STATE_PENDING, STOOK_STATE_CANCELLED | TASK_BROKEN, false);
}

enum stook_cancel_outcome stook__task_cancel(stook_future *task)
{
    for (;;) {
        if (stook__task_cancel_pending(task)) {
            return STOOK_CANCEL_DONE;
        }
        /* order FU.which acq <- FU.finish: TOO_LATE promises that the result can be seen */
        uint32_t word = a_load_acq(&task->word);
        switch (stook__task_state(word)) {
        case STOOK_STATE_CANCELLED:
            return STOOK_CANCEL_DONE;
        case STOOK_STATE_DONE:
        case STOOK_STATE_FAILED:
            return STOOK_CANCEL_TOO_LATE;
        case STOOK_STATE_RUNNING:
            /* order FU.request rlx: a flag; it carries no data */
            if (a_cas_rlx(&task->word, &word, word | TASK_CANCEL_REQUESTED)) {
                return STOOK_CANCEL_REQUESTED;
            }
            break;
        case STOOK_STATE_PENDING:
            break;
        }
    }
}

/* Takes TASK_LOCKED unless the task is terminal; gives the word as it was before. */
static bool task_lock(stook_future *task, uint32_t *ret_word)
{
    unsigned spins = 0;

    for (;;) {
        /* order FU.enter acq <- FU.finish: a waiter that finds it terminal may read the result */
        uint32_t word = a_load_acq(&task->word);
        if (stook__task_is_terminal(word)) {
            return false;
        }
        /* order FU.lock acq <- FU.unlock: the list as the last holder left it */
        if (!(word & TASK_LOCKED) && a_cas_acq(&task->word, &word, word | TASK_LOCKED)) {
            *ret_word = word;
            return true;
        }
        lock_pause(&spins);
    }
}

/* Clears TASK_LOCKED and makes TASK_HAS_WAITERS tell the truth, leaving the rest alone. */
static void task_unlock(stook_future *task, uint32_t word_before)
{
    uint32_t change = 0U - TASK_LOCKED;

    if (task->waiters && !(word_before & TASK_HAS_WAITERS)) {
        change += TASK_HAS_WAITERS;
    } else if (!task->waiters && (word_before & TASK_HAS_WAITERS)) {
        change -= TASK_HAS_WAITERS;
    }
    /* order FU.unlock rel -> FU.lock, FU.finish: the list is whole when the next one reads it */
    a_add_rel(&task->word, change);
}

bool stook__task_complete(stook_future *task, int code, void *value)
{
    uint32_t word;
    uint32_t ended;

    if (!task_lock(task, &word)) {
        return false;
    }
    if (stook__task_state(word) != STOOK_STATE_PENDING) {
        task_unlock(task, word);
        return false;
    }
    /* The lock keeps others from completing or cancelling it; references may change. */
    task->code = code;
    task->value = value;
    /* order FU.whole rlx: the swap below decides */
    word = a_load_rlx(&task->word);
    do {
        ended = (word & ~(uint32_t)(TASK_STATE_MASK | TASK_HAS_WAITERS | TASK_LOCKED)) |
                (uint32_t)(code == 0 ? STOOK_STATE_DONE : STOOK_STATE_FAILED);
        ended += task->bond ? TASK_REF : 0; /* for after_end() */
        /* order FU.complete acqrel -> FU.seen, FU.sole, FU.unref; <- FU.unlock: as FU.finish */
    } while (!a_cas_acqrel(&task->word, &word, ended));
    after_end(task, word, ended, false);
    return true;
}

bool stook__task_add_waiter(stook_future *task, struct stook__waiter *waiter)
{
    uint32_t word;

    if (!task_lock(task, &word)) {
        return false;
    }
    struct stook__waiter *first = task->waiters;
    waiter->next = NULL;
    if (first) {
        waiter->previous = first->previous;
        first->previous->next = waiter;
        first->previous = waiter;
    } else {
        waiter->previous = waiter;
        task->waiters = waiter;
    }
    task_unlock(task, word);
    return true;
}

bool stook__task_remove_waiter(stook_future *task, struct stook__waiter *waiter)
{
    uint32_t word;

    if (!task_lock(task, &word)) {
        return false;
    }
    struct stook__waiter *first = task->waiters;
    if (waiter == first) {
        task->waiters = waiter->next;
    } else {
        waiter->previous->next = waiter->next;
    }
    if (waiter->next) {
        waiter->next->previous = waiter->previous;
    } else if (waiter != first) {
        first->previous = waiter->previous;
    }
    task_unlock(task, word);
    return true;
}

bool stook__task_pin(stook_future *task)
{
    uint32_t word;
    return task_lock(task, &word);
}

void stook__task_unpin(stook_future *task)
{
    /* order FU.unpin rel -> FU.lock, FU.finish: as FU.unlock */
    a_add_rel(&task->word, 0U - TASK_LOCKED);
}
