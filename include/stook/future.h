/* SPDX-License-Identifier: MIT
 *
 * A future: the state and the result of one submitted task; and what a task may call about itself.
 *
 *   stook_executor_submit -> [wait_until | result | cancel]... -> stook_future_release
 *
 * States and the only transitions between them; the three on the right are terminal:
 *
 *   PENDING -- a thread takes the task --> RUNNING -- returned 0 -------> DONE
 *      |                                      \------- returned other --> FAILED
 *      \------ cancel, token, scope, shutdown CANCEL_PENDING, broken ---> CANCELLED
 *
 * A future reaches exactly one terminal state, once, also across shutdown; whoever waits is woken
 * at that moment. A future may outlive its executor: it is terminal by then. Futures of promises
 * and those made of others (promise.h, continuation.h) go from PENDING to a terminal state; a
 * repeated task goes back to PENDING after each call, and may go from RUNNING to CANCELLED when
 * one ends.
 *
 * What may run at the same time on ONE future, each thread with a reference of its own, made by
 * stook_future_retain(); two threads that share one reference may use it one after the other, but
 * not at the same time, as the library saves what a single user can be saved:
 *
 *                    state done code | wait result cancel | retain release | set_destructor
 *   state done code |      yes       |        yes         |      yes       |      yes
 *   wait result canc|                |        yes         |      yes       |      no (a)
 *   retain release  |                |                    |      yes       |      no (b)
 *
 *   (a) set the destructor before any result() may run.
 *   (b) not together with the release of the last other reference.
 *
 * Happens-before: all that the submitter wrote before submit is visible to the task; all that the
 * task wrote is visible to whoever has seen its future terminal (by state, done, wait_until or
 * result).
 */
#ifndef STOOK_FUTURE_H
#define STOOK_FUTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <stook/base.h>
#include <stook/clock.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

typedef struct stook_future stook_future;

/* A task. `*ret_value` is NULL on entry; what the task stores there, its future hands out.
 * Returns 0 for success; any other value makes the future FAILED and is kept in it, uninterpreted.
 * A task must not end its thread (thrd_exit, longjmp out of it). */
typedef int stook_task_fn(void *arg, void **ret_value);

enum stook_state {
    STOOK_STATE_PENDING = 0, /* accepted, not begun */
    STOOK_STATE_RUNNING = 1, /* a thread is in its function */
    STOOK_STATE_DONE = 2,    /* its function returned 0, or it was completed with code 0 */
    STOOK_STATE_FAILED = 3,  /* the same with another code: stook_future_code() */
    STOOK_STATE_CANCELLED =
        4 /* its function will not be called (again, if it is a repeated task) */
};

enum stook_cancel_outcome {
    STOOK_CANCEL_DONE = 0,      /* the future is CANCELLED, by this call or an earlier one */
    STOOK_CANCEL_REQUESTED = 1, /* the task is running: stook_task_cancel_requested() is now true
                                   in it, but what it returns still decides */
    STOOK_CANCEL_TOO_LATE = 2   /* the future is DONE or FAILED; nothing changed */
};

/* The state right now. A non-terminal answer may be out of date when it is read.
 * Threads: any. Blocks: never (but who first sees that its token was cancelled makes it CANCELLED,
 * and runs its callbacks). */
STOOK_API enum stook_state stook_future_state(const stook_future *future);

/* True when the state is terminal: DONE, FAILED or CANCELLED. Threads: any. Blocks: as state. */
STOOK_API bool stook_future_done(const stook_future *future);

/* "pending", "running", "done", "failed" or "cancelled"; "unknown" for a value that is no state. */
STOOK_API const char *stook_state_name(enum stook_state state);

/* Waits until the future is terminal or the deadline has passed; never cancels anything.
 *
 * In a task: does not block the pool. What runs meanwhile, in this order:
 *   1. the awaited task itself, here and now on the waiter's stack: with STOOK_FOREVER, if it is
 *      due (not delayed, not a continuation of one that still runs, not held back by a limit; but
 *      see scope.h), nobody has begun it, it belongs to the waiter's own executor, and less than
 *      1000 tasks run on top of one another here;
 *   2. else the waiter's place is lent to another thread, which runs the waiter's own children, the
 *      newest first;
 *   3. then any other task.
 * The waiter goes on as soon as the future is terminal or the deadline has passed. No unrelated
 * task ever runs on the waiter's stack, and going on needs nobody else's leave, so a lock may be
 * held across a wait for ever. (One with a deadline may find all workers held by tasks that want
 * that lock.) Outside a task (a thread that is no worker): blocks only; it never runs tasks.
 *
 * Returns: STOOK_OK        the future is terminal.
 *          STOOK_TIMEOUT   the deadline passed first; with a deadline that has passed already the
 *                          call is a poll that neither runs nor lends anything.
 *          STOOK_DEADLOCK it could never end: called inside the awaited task, or inside a task
 *          that
 *                          runs on top of it on this thread because it waits; or the awaited task
 *                          waits, directly or through other running tasks, for the calling one
 *                          (waits for ever, for one future, for all of several, or for a scope; one
 *                          that a promise, a deadline or a thread outside could end does not count,
 *                          nor one through a continuation). Who waits for whom is reported, see
 *                          executor.h. Or called in a callback (continuation.h).
 *          STOOK_INVALID   future is NULL. STOOK_FORKED: it is not terminal and from before a fork.
 * Threads: any. */
STOOK_API STOOK_NODISCARD enum stook_status stook_future_wait_until(stook_future *future,
                                                                    int64_t deadline_ns);

/* Waits for ever, as stook_future_wait_until() does, and gives the outcome.
 *
 * ret_value (NULL: do not take it) receives what the task stored, NULL if it stored nothing; it is
 * written for OK and for TASK_FAILED, where it may carry the details of the error. Taking: from
 * then on the value is the caller's and the future's destructor leaves it alone. Later calls give
 * the same pointer again, without handing it over a second time.
 *
 * Returns: STOOK_OK, STOOK_TASK_FAILED (then stook_future_code() tells), STOOK_CANCELLED,
 *          STOOK_BROKEN (CANCELLED because its executor broke); or an error of the wait:
 *          STOOK_DEADLOCK, STOOK_INVALID, STOOK_FORKED.
 * To bound the wait, call stook_future_wait_until() first. Threads: any. */
STOOK_API STOOK_NODISCARD enum stook_status stook_future_result(stook_future *future,
                                                                void **ret_value);

/* What the task's function returned, unchanged: 0 for DONE, not 0 for FAILED. 0 while the state is
 * not terminal, and for CANCELLED. Threads: any. Blocks: never. */
STOOK_API int stook_future_code(const stook_future *future);

/* Cancels the task if it has not begun: the future is CANCELLED when the call returns, and its
 * waiters are on their way, even if every worker is busy; if this call did it, its callbacks have
 * run (continuation.h). A running task is asked to stop: see stook_task_cancel_requested().
 * Idempotent. NULL, and a future that is not terminal and from before a fork:
 * STOOK_CANCEL_TOO_LATE.
 * Threads: any. Blocks: for short locks (and may run callbacks). */
STOOK_API enum stook_cancel_outcome stook_future_cancel(stook_future *future);

/* Inside a task: is it asked to stop, by stook_future_cancel() since it began, or by its token or
 * scope (or one above that)? A task that sees true should stop soon and return; what it returns
 * decides its state. Outside a task: false.
 * Cheap enough for an inner loop: a load, and one more for each token above. Blocks: never. */
STOOK_API bool stook_task_cancel_requested(void);

/* Inside a task: what follows may block (a read from the network, a lock that is held for long).
 * Its worker is lent to another thread meanwhile, so that the pool keeps its parallelism as long
 * as it may have threads (max_extra_threads of the options). Ends with stook_task_end_blocking(),
 * from where on the task goes on at once: see "worker" in executor.h. What it submits in between
 * goes to the end of the common queue. Waiting for futures needs no announcement.
 *
 * Pairs nest, and only the outermost counts; a task that returns inside one ends it. Outside a task
 * both do nothing. Blocks: for a short lock; begin may start a thread. */
STOOK_API void stook_task_begin_blocking(void);
STOOK_API void stook_task_end_blocking(void);

/* Gives the future a destructor for its value: it is called once, with the value, when the last
 * reference goes (the executor's own included) and nobody has taken a value that is not NULL.
 * It runs in the thread that lets the last reference go, which may be a worker; it must not block.
 * Call it before the future is shared, and before any stook_future_result().
 * Threads: see the table on top. Blocks: never. */
STOOK_API void stook_future_set_destructor(stook_future *future, void (*destroy)(void *value));

/* Adds a reference and returns its argument; NULL gives NULL. At most 16 million references.
 * Threads: any that holds a reference. Blocks: never. */
STOOK_API stook_future *stook_future_retain(stook_future *future);

/* Lets one reference go; the caller must not use the future after it. The task is not affected: it
 * runs even if nobody is left to ask for its result. NULL is allowed.
 * Threads: any. Blocks: never (but may call the destructor). */
STOOK_API void stook_future_release(stook_future *future);

STOOK_END_DECLS

#endif
