/* SPDX-License-Identifier: MIT
 *
 * What a thread of an executor does: find a task, run it, sleep.
 */
#ifndef STOOK_WORKER_H
#define STOOK_WORKER_H

#include <stdbool.h>
#include "local.h"
#include "pool.h"

/* The calling thread's record if it belongs to an executor, else NULL. */
static inline struct stook__thread *stook__thread_current(void)
{
    return stook__local.thread;
}

/* In the child of a fork: the calling thread belongs to nobody any more, and is in no task. */
void stook__worker_forget_thread(void);

/* The topmost task on the calling thread's stack, or NULL. Any thread may have
 * one: see STOOK_WHEN_FULL_RUN. */
static inline const struct stook__frame *stook__frame_current(void)
{
    return stook__local.frame;
}

/* Whether the calling thread belongs to the executor, or has one of its tasks
 * on its stack: then the executor cannot get on, or end, without it. */
bool stook__thread_serves(const stook_executor *executor);

/* A thread's main function; the argument is its record. */
void *stook__thread_main(void *thread);

/* Runs a task that came out of a queue, or never got into one, on the calling thread, together
 * with the queue's reference; false if it was a husk: cancelled, or run by one who waited for it.
 * Outside the executor's threads the caller keeps it from ending meanwhile (stook__park_hold). */
bool stook__worker_run_dequeued(stook_executor *executor, stook_future *task);

/* Runs a pending task on the calling thread, here and now; false if it was not
 * pending. The task must belong to the thread's executor. */
bool stook__worker_run_in_place(struct stook__thread *thread, stook_future *task);

/* Runs the task if it is the newest in the own deque of the calling thread, belongs to nothing but
 * its queue and the caller, who waits for it for ever, and may run there at all; false: look
 * closer. */
bool stook__worker_run_newest(stook_future *task);

/* Makes a stolen fork on the calling thread, as a part of its region's task, and tells the one who
 * waits for it. `here`: where nothing is open, in the thread's own lane or at the last slot of any.
 */
void stook__worker_make_fork(struct stook__thread *thread, const struct stook__theft *theft,
                             stook_here *here);

/* Tasks that run on top of one another on one thread, each awaited by the one below; beyond this a
 * waiter leaves its task to another thread. */
enum { MAX_STACKED_TASKS = 1000 };

/* Runs tasks of the scope, on behalf of one who waits for all of them, as long as they are the
 * newest of the calling thread's worker. Outside a task: nothing. */
void stook__worker_run_scope(struct stook_scope *scope);

/* The calling thread's topmost task counts as this one from now on: a call of a repeated task. */
void stook__worker_act_as(stook_future *task);

/* Cancels a task that has not begun, if its token has been cancelled, or the executor cancels;
 * false: neither is so. */
bool stook__worker_heed_cancel(stook_executor *executor, stook_future *task);

/* Closes the executor; `reason`, one of STOOK__CANCELS and STOOK__BROKEN, or 0: cancels what lies
 * in its queues as well, and what may still come into them. Any thread. */
void stook__worker_close(stook_executor *executor, uint32_t reason);

#endif
