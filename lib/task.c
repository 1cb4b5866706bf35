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
#include "checks.h"

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

stook_future *stook__task_create(stook_executor *executor, stook_task_fn *fn, void *arg,
                                 uint32_t refs)
{
    stook_future *task = malloc(sizeof *task);
    if (!task) {
        return NULL;
    }
    atomic_init(&task->word, refs * TASK_REF | STOOK_STATE_PENDING);
    task->code = 0;
    task->fn = fn;
    task->arg = arg;
    task->executor = executor;
    task->waiters = NULL;
    task->next = NULL;
    task->destroy = NULL;
    return task;
}

static void task_destroy(stook_future *task, uint32_t word)
{
    enum stook_state state = stook__task_state(word);
    bool has_value = state == STOOK_STATE_DONE || state == STOOK_STATE_FAILED;

    if (has_value && task->value && task->destroy && !(word & TASK_TAKEN)) {
        task->destroy(task->value);
    }
    free(task);
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

/* Wakes a detached list. The record may vanish with the set of its event: next is read before. */
static void wake_waiters(struct stook__waiter *waiter)
{
    while (waiter) {
        struct stook__waiter *next = waiter->next;
        stook__event_set(&waiter->terminal);
        waiter = next;
    }
}

/* `from` -> `to`, a terminal state; false if the task is not in `from`. */
static bool task_end(stook_future *task, enum stook_state from, enum stook_state to,
                     bool give_reference)
{
    unsigned spins = 0;
    uint32_t ended;
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
        ended = (word & ~(uint32_t)(TASK_STATE_MASK | TASK_HAS_WAITERS)) | (uint32_t)to;
        if (give_reference && !(word & TASK_HAS_WAITERS)) {
            ended -= TASK_REF;
        }
        /* order FU.finish acqrel -> FU.seen, FU.sole, FU.unref; <- FU.unlock: the result is written
         * before anybody sees the state; the list of waiters is seen as it was last unlocked */
        if (a_cas_acqrel(&task->word, &word, ended)) {
            break;
        }
    }
    if (word & TASK_HAS_WAITERS) {
        struct stook__waiter *waiters = task->waiters;
        task->waiters = NULL;
        if (give_reference) {
            stook__task_release(task);
        }
        wake_waiters(waiters);
    } else if (give_reference && ended / TASK_REF == 0) {
        task_destroy(task, ended);
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

bool stook__task_cancel_pending(stook_future *task)
{
    return task_end(task, STOOK_STATE_PENDING, STOOK_STATE_CANCELLED, false);
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

bool stook__task_add_waiter(stook_future *task, struct stook__waiter *waiter)
{
    uint32_t word;

    if (!task_lock(task, &word)) {
        return false;
    }
    waiter->previous = NULL;
    waiter->next = task->waiters;
    if (task->waiters) {
        task->waiters->previous = waiter;
    }
    task->waiters = waiter;
    task_unlock(task, word);
    return true;
}

bool stook__task_remove_waiter(stook_future *task, struct stook__waiter *waiter)
{
    uint32_t word;

    if (!task_lock(task, &word)) {
        return false;
    }
    if (waiter->previous) {
        waiter->previous->next = waiter->next;
    } else {
        task->waiters = waiter->next;
    }
    if (waiter->next) {
        waiter->next->previous = waiter->previous;
    }
    task_unlock(task, word);
    return true;
}
