/* SPDX-License-Identifier: MIT
 *
 * Who sleeps, who searches, who wakes whom; which thread holds which worker; when all has ended.
 * README.md, "Parking", has the protocol and why no wake-up is lost.
 *
 * All functions lock the park mutex; none is called with it held.
 */
#ifndef STOOK_PARK_H
#define STOOK_PARK_H

#include <stdbool.h>
#include "pool.h"

/* All workers idle, no thread; threads will run `thread_main` on their record. False if the system
 * refuses a mutex. */
bool stook__park_init(stook_executor *executor, thrd_start_t thread_main);

/* Waits for the threads to end, all of which have been told to, and frees their records. */
void stook__park_join(stook_executor *executor);
void stook__park_fini(stook_executor *executor);

/* Creates one spare thread; false if it cannot be. Only before the first task. */
bool stook__park_add_thread(stook_executor *executor);

/* A thread's first act: sleeps until it holds a worker. False: the executor has ended, and the thread
 * must leave. */
bool stook__park_begin(struct stook__thread *thread);

/* A task has been put into a queue: sees to it that somebody looks. Any thread. */
void stook__park_notify(stook_executor *executor);

/* The calling thread begins to look into the queues of others. */
void stook__park_search(struct stook__thread *thread);

/* A searching thread leaves the search because it has found a task, or has a better use for its
 * worker: wakes another if there is more. */
void stook__park_found(struct stook__thread *thread);

/* The calling thread has found no task: sleeps until it holds a worker again, or finds that it
 * still should search. False: the executor has ended, and the thread must leave. */
bool stook__park_idle(struct stook__thread *thread);

/* Whether a thread runs a task without a worker, so that one should rest: a cheap look, possibly out
 * of date. */
bool stook__park_must_rest(stook_executor *executor);

/* Lets the calling thread's worker rest in place of one such thread, and sleeps as a spare until it
 * holds a worker again. False: the executor has ended, and the thread must leave. */
bool stook__park_rest(struct stook__thread *thread);

/* The calling thread's task is about to block: gives its worker up, if it holds one. */
void stook__park_release(struct stook__thread *thread);

/* It goes on, at once: with an idle worker, or without any until its task ends or blocks again. */
void stook__park_resume(struct stook__thread *thread);

/* The task of a thread without a worker has ended: takes the worker that rests for it, or sleeps as
 * a spare. False: the executor has ended, and the thread must leave. */
bool stook__park_settle(struct stook__thread *thread);

/* Between the two the executor does not end, though it may be closed and its queues empty; the second
 * ends it if there is nothing left to do. */
void stook__park_hold(stook_executor *executor);
void stook__park_let_go(stook_executor *executor);

/* A thread's last act; true if it is the last one of its executor. */
bool stook__park_leave(stook_executor *executor);

#endif
