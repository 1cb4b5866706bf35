/* SPDX-License-Identifier: MIT
 *
 * What a thread of an executor does: find a task, run it, sleep.
 */
#ifndef STOOK_WORKER_H
#define STOOK_WORKER_H

#include <stdbool.h>
#include "pool.h"

/* The calling thread's record if it belongs to an executor, else NULL. */
struct stook__thread *stook__thread_current(void);

/* A thread's main function; the argument is its record. */
int stook__thread_main(void *thread);

/* Runs a pending task on the calling thread, here and now; false if it was not pending. The task
 * must belong to the thread's executor. */
bool stook__worker_run_in_place(struct stook__thread *thread, stook_future *task);

/* Cancels all that lies in the executor's queues. Any thread. */
void stook__worker_cancel_queued(stook_executor *executor);

#endif
