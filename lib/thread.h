/* SPDX-License-Identifier: MIT
 *
 * The record of a thread, and starting and joining it. Which thread holds which worker is park.h's.
 */
#ifndef STOOK_THREAD_H
#define STOOK_THREAD_H

#include <stdbool.h>
#include "pool.h"

/* The record of a thread that has not been started; it holds `worker`, and searches, unless that is
 * NULL. NULL without memory. */
struct stook__thread *stook__thread_create(stook_executor *executor, struct stook__worker *worker,
                                           unsigned number);

/* Frees the record of a thread that was not started or has been joined. NULL is allowed. */
void stook__thread_free(struct stook__thread *thread);

/* The calling thread's first act: it may have been started by one that is bound elsewhere. */
void stook__thread_begin(struct stook__thread *thread);

/* False if the system refuses. Else the record is the thread's: it may be gone already. */
bool stook__thread_start(struct stook__thread *thread);

/* Binds the calling thread to the CPU of the worker that it holds, if the options say so; to all
 * of the executor's if it holds none. */
void stook__thread_bind(struct stook__thread *thread);

/* Calls the executor's thread_init in the calling thread, and reports a failure. */
bool stook__thread_run_init(const struct stook__thread *thread);

/* Waits until the thread has ended. NULL is allowed. */
void stook__thread_join(struct stook__thread *thread);

#endif
