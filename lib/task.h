/* SPDX-License-Identifier: MIT
 *
 * The record that is both a task and its future, and its state machine. README.md, "The future",
 * has the table of transitions.
 */
#ifndef STOOK_TASK_H
#define STOOK_TASK_H

#include <stdbool.h>
#include <stdint.h>
#include <stook/executor.h>
#include <stook/future.h>
#include "atomics.h"
#include "platform.h"

/* The word, from low to high. References fill the rest: at most TASK_MAX_REFS. */
enum {
    TASK_STATE_MASK = 0x07,       /* enum stook_state */
    TASK_CANCEL_REQUESTED = 0x08, /* set while RUNNING, by cancel; polled by the task */
    TASK_LOCKED = 0x10,           /* somebody changes the list of waiters */
    TASK_HAS_WAITERS = 0x20,      /* the list is not empty; never set in a terminal state */
    TASK_TAKEN = 0x40,            /* the value belongs to a caller of stook_future_result() */
    TASK_REF = 0x100              /* one reference */
};

#define TASK_MAX_REFS (UINT32_MAX / TASK_REF)

struct stook__waiter;

struct stook_future {
    _Atomic(uint32_t) word; /* above; anybody */
    int code;               /* written by the thread that runs it, before it is terminal */
    union {
        stook_task_fn *fn; /* until the task runs: read by the thread that claimed it */
        void *value;       /* from DONE or FAILED on: constant */
    };
    void *arg;                /* constant; the claimer's */
    stook_executor *executor; /* constant; for comparison only, as it may be gone. NULL: none */
    struct stook__waiter *waiters; /* guarded by TASK_LOCKED; the finisher's after that */
    stook_future *next;            /* the chain in the injection queue, or of a bulk submit */
    void (*destroy)(void *value);  /* set by the owner before the future is shared */
};

static_assert(sizeof(struct stook_future) <= STOOK_CACHE_LINE,
              "a pending task takes no more than a cache line");

/* One thread that waits for one future, on that thread's stack. */
struct stook__waiter {
    struct stook__waiter *next;
    struct stook__waiter *previous;
    struct stook__event terminal; /* set once, by the finisher: its last touch of the record */
};

static inline enum stook_state stook__task_state(uint32_t word)
{
    return (enum stook_state)(word & TASK_STATE_MASK);
}

static inline bool stook__task_is_terminal(uint32_t word)
{
    return (word & TASK_STATE_MASK) >= STOOK_STATE_DONE;
}

/* A pending task with `refs` references, or NULL without memory. */
stook_future *stook__task_create(stook_executor *executor, stook_task_fn *fn, void *arg,
                                 uint32_t refs);

/* PENDING -> RUNNING: the caller must run it and finish it. False: it was not pending. */
bool stook__task_claim(stook_future *task);

/* RUNNING -> DONE or FAILED, by the thread that claimed it. give_reference: gives the caller's
 * reference up with it; then the task must not be touched afterwards. */
void stook__task_finish(stook_future *task, int code, void *value, bool give_reference);

/* PENDING -> CANCELLED; false: it was not pending, and nothing has changed. */
bool stook__task_cancel_pending(stook_future *task);

/* PENDING -> CANCELLED, or asks a RUNNING task to stop. */
enum stook_cancel_outcome stook__task_cancel(stook_future *task);

/* Enters the waiter, whose event has been initialised; false: the task is terminal already. */
bool stook__task_add_waiter(stook_future *task, struct stook__waiter *waiter);

/* Takes a waiter out that has not been woken. False: it was too late, its event has been set or
 * will be within moments, and must be waited for. */
bool stook__task_remove_waiter(stook_future *task, struct stook__waiter *waiter);

/* Gives one reference up. */
void stook__task_release(stook_future *task);

#endif
