/* SPDX-License-Identifier: MIT
 *
 * The record that is both a task and its future, and its state machine. README.md, "The future",
 * has the table of transitions.
 */
#ifndef STOOK_TASK_H
#define STOOK_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stook/alloc.h>
#include <stook/executor.h>
#include <stook/future.h>
#include "atomics.h"
#include "fork.h"
#include "platform.h"
#include "slab.h"

/* The word, from low to high. References fill the rest: at most TASK_MAX_REFS. */
enum {
    TASK_STATE_MASK = 0x07,       /* enum stook_state */
    TASK_CANCEL_REQUESTED = 0x08, /* set while RUNNING, by cancel; polled by the task */
    TASK_BROKEN = 0x08,           /* the same bit when CANCELLED: because the executor broke */
    TASK_LOCKED = 0x10,           /* somebody changes the list of waiters */
    TASK_HAS_WAITERS = 0x20,      /* the list is not empty; never set in a terminal state */
    TASK_TAKEN = 0x40,            /* the value belongs to a caller of stook_future_result() */
    TASK_PREFIXED = 0x80,         /* its allocator stands before the record; constant */
    TASK_REF = 0x100              /* one reference */
};

#define TASK_MAX_REFS (UINT32_MAX / TASK_REF)

struct stook__waiter;
struct stook__bond;
struct stook__frame;

typedef void stook__destroy_fn(void *value);

struct stook_future {
    _Atomic(uint32_t) word; /* above; anybody */
    int code;               /* written by the thread that runs it, before it is terminal */
    union {
        stook_task_fn *fn; /* until the task runs: read by the thread that claimed it */
        void *value;       /* from DONE or FAILED on: constant */
    };
    void *arg;      /* constant; the claimer's */
    uintptr_t home; /* constant; the slabs of its executor, or (TASK_APART) the executor; and in the
                       bits that their alignment leaves free the fork generation. Read by the
                       functions below */
    struct stook__waiter *waiters; /* guarded by TASK_LOCKED; the finisher's after that */
    _Atomic(stook_future *)
        next; /* the chain in a queue, or of a bulk submit; the functions below */
    /* set by the owner before the future is shared; but calls of a repeated task may run by then */
    _Atomic(stook__destroy_fn *) destroy;
    struct stook__bond *bond; /* constant; NULL: of no token, and never held back. bond.h */
};

static_assert(sizeof(struct stook_future) <= STOOK_CACHE_LINE,
              "a pending task takes no more than a cache line");

/* Somebody who is told when a future is terminal: a thread in a wait, with the record on its stack,
 * or what shall happen then, with the record in its own memory. */
struct stook__waiter {
    struct stook__waiter *next;
    struct stook__waiter *previous; /* of the first one: the last */
    /* Called once, by the finisher, without a lock. The record may be gone when it returns. */
    void (*notify)(struct stook__waiter *waiter);
    stook_future *future; /* of a callback: the reference that it holds. NULL: not a callback, but
                             notified at once, and does no more than wake somebody */
};

/* The one behind it in a chain that is the caller's, or comes to it whole. */
static inline stook_future *stook__task_next(stook_future *task)
{
    /* order FU.next rlx: the whole chain is handed from thread to thread */
    return a_load_rlx(&task->next);
}

static inline void stook__task_chain(stook_future *task, stook_future *next)
{
    /* order FU.chain rlx: as FU.next */
    a_store_rlx(&task->next, next);
}

static inline enum stook_state stook__task_state(uint32_t word)
{
    return (enum stook_state)(word & TASK_STATE_MASK);
}

/* NULL: the future has none. */
static inline stook__destroy_fn *stook__task_destructor(const stook_future *task)
{
    /* order FU.destructor acq <- FU.destroy: what the owner has made ready for it */
    return a_load_acq(&task->destroy);
}

/* In place of `home` when the record has been freed; see checks.h. */
#define TASK_DEAD UINTPTR_MAX

enum { TASK_GENERATIONS = STOOK_CACHE_LINE }; /* after so many forks inside forks they repeat */
/* Of `home`: the record is not one of these slabs', but has been allocated for itself. */
enum { TASK_APART = TASK_GENERATIONS };

/* What `home` leads to: the slabs; of a record that is apart, the executor, or NULL. */
static inline void *stook__task_place(const stook_future *task)
{
    return (void *)(task->home & ~(uintptr_t)(TASK_APART | (TASK_GENERATIONS - 1)));
}

/* The executor, alive while the task is not terminal; NULL: none. To be compared, also later: what
 * is read here lives as long as the record. */
static inline stook_executor *stook__task_executor(const stook_future *task)
{
    if (task->home & TASK_APART) {
        return stook__task_place(task);
    }
    return ((const struct stook__slabs *)stook__task_place(task))->executor;
}

static inline unsigned stook__task_generation(const stook_future *task)
{
    return (unsigned)(task->home & (uintptr_t)(TASK_GENERATIONS - 1));
}

static inline bool stook__task_is_terminal(uint32_t word)
{
    return (word & TASK_STATE_MASK) >= STOOK_STATE_DONE;
}

static inline void stook__task_init(stook_future *task, uintptr_t home, stook_task_fn *fn,
                                    void *arg, uint32_t word)
{
    atomic_init(&task->word, word | STOOK_STATE_PENDING);
    task->code = 0;
    task->fn = fn;
    task->arg = arg;
    task->home = home;
    task->waiters = NULL;
    atomic_init(&task->next, NULL);
    atomic_init(&task->destroy, NULL);
    task->bond = NULL;
}

/* The `home` of records of these slabs; with TASK_APART, of an executor or of none. */
static inline uintptr_t stook__task_home(const void *place)
{
    return (uintptr_t)place | stook__fork_generation() % TASK_GENERATIONS;
}

/* A pending task with `refs` references, in a record of these slabs, without a bond; NULL without
 * memory. */
stook_future *stook__task_create(struct stook__slabs *slabs, stook_task_fn *fn, void *arg,
                                 uint32_t refs);

/* The same in a record of `size` bytes that begins with a struct stook_future, from the allocator.
 * What follows that is the caller's to fill. executor NULL: of none. */
stook_future *stook__task_create_sized(const struct stook_allocator *allocator, size_t size,
                                       stook_executor *executor, stook_task_fn *fn, void *arg,
                                       uint32_t refs);

/* Frees a task that nobody else has seen. */
void stook__task_discard(stook_future *task);

/* The allocator that the record came from, valid as long as the record; NULL: malloc. */
const struct stook_allocator *stook__task_allocator(stook_future *task);

/* PENDING -> RUNNING: the caller must run it and finish it. False: it was not pending. */
bool stook__task_claim(stook_future *task);

/* RUNNING -> DONE or FAILED, by the thread that claimed it. give_reference: gives the caller's
 * reference up with it; then the task must not be touched afterwards. */
void stook__task_finish(stook_future *task, int code, void *value, bool give_reference);

/* RUNNING -> PENDING, or CANCELLED if that was asked for meanwhile (then false), by the thread that
 * claimed it: a task that is to run again. */
bool stook__task_rest(stook_future *task);

/* PENDING -> DONE or FAILED at once, for a future without a task of its own; false: it was not
 * pending. The caller holds a reference. */
bool stook__task_complete(stook_future *task, int code, void *value);

/* PENDING -> CANCELLED; false: it was not pending, and nothing has changed. */
bool stook__task_cancel_pending(stook_future *task);
/* The same, because the executor broke: its result will be STOOK_BROKEN. */
bool stook__task_cancel_broken(stook_future *task);

/* PENDING -> CANCELLED, or asks a RUNNING task to stop. */
enum stook_cancel_outcome stook__task_cancel(stook_future *task);

/* Enters the waiter, whose notify and future have been set; false: the task is terminal already. */
bool stook__task_add_waiter(stook_future *task, struct stook__waiter *waiter);

/* Takes a waiter out that has not been notified. False: it was too late, it has been or will be
 * within moments. */
bool stook__task_remove_waiter(stook_future *task, struct stook__waiter *waiter);

/* Keeps the task from becoming terminal, for moments; false: it is. */
bool stook__task_pin(stook_future *task);
void stook__task_unpin(stook_future *task);

/* One reference more, for one who has one. */
void stook__task_retain(stook_future *task);

/* Gives one reference up. */
void stook__task_release(stook_future *task);

/* Frees the record, without its value. */
void stook__task_free(stook_future *task);

#endif
