/* SPDX-License-Identifier: MIT
 *
 * Who sleeps, who searches, who wakes whom; which thread holds which worker; when all has ended.
 * README.md, "Parking", has the protocol and why no wake-up is lost.
 *
 * All functions lock the park mutex; none is called with it held. A thread must leave when the
 * executor has ended, or when it is one too many and there has been no work for keep_alive_ns.
 */
#ifndef STOOK_PARK_H
#define STOOK_PARK_H

#include <stdbool.h>
#include "fence.h"
#include "pool.h"

/* All workers idle, no thread. False if the system refuses a mutex. */
bool stook__park_init(stook_executor *executor);

/* Waits for the threads to end, all of which have left; gives the record of the last one, for the
 * caller to free with no lock held. */
struct stook__thread *stook__park_join(stook_executor *executor);
void stook__park_fini(stook_executor *executor);

/* Creates the first threads, one for each worker, all spare; false if not all could be. With a
 * thread_init it waits until that has been called in all. */
bool stook__park_start(stook_executor *executor);

/* Whether one of them could be created at all. */
bool stook__park_has_threads(const stook_executor *executor);

/* A thread's first act after its thread_init: sleeps until it holds a worker. False: the thread
 * must leave. */
bool stook__park_begin(struct stook__thread *thread);

/* The word `idle`: sleeping workers in the low half, searching threads in the high half. */
enum { IDLE_SLEEPING = 1, IDLE_SEARCHING = 1 << 16, IDLE_SLEEPING_MASK = 0xffff };

/* The rest of the next one, when somebody sleeps. */
void stook__park_notify_sleepers(stook_executor *executor);

/* A task has been put into a queue: sees to it that somebody looks. Any thread. */
static inline void stook__park_notify(stook_executor *executor)
{
    /* order PK.wake sc <-> PK.sleep: else a worker may sleep beside this task, each side having
     * looked before the other wrote */
    a_fence_light();
    /* order PK.ask rlx: ordered by the fence above */
    if ((a_load_rlx(&executor->park.idle) & IDLE_SLEEPING_MASK) > 0) {
        stook__park_notify_sleepers(executor);
    }
}

/* Has an idle worker tasks to run, maybe, but no thread, because the system refused one? Then
 * stook__park_notify() tries again. */
bool stook__park_is_refused(stook_executor *executor);

/* The calling thread begins to look into the queues of others. */
void stook__park_search(struct stook__thread *thread);

/* A searching thread leaves the search because it has found a task, or has a better use for its
 * worker: wakes another if there is more. */
void stook__park_found(struct stook__thread *thread);

/* The calling thread has found no task: sleeps until it holds a worker again, or finds that it
 * still should search. False: the thread must leave. */
bool stook__park_idle(struct stook__thread *thread);

/* Whether a thread runs a task without a worker, so that one should rest: a cheap look, possibly
 * out of date. */
bool stook__park_must_rest(stook_executor *executor);

/* Lets the calling thread's worker rest in place of one such thread, and sleeps as a spare until it
 * holds a worker again. False: the thread must leave. */
bool stook__park_rest(struct stook__thread *thread);

/* Whether there are more workers than there should be; as stook__park_must_rest(). */
bool stook__park_must_retire(const stook_executor *executor);

/* Retires the calling thread's worker if so, and sleeps as a spare until it holds one again.
 * False: the thread must leave. */
bool stook__park_retire(struct stook__thread *thread);

/* Changes the number of workers, 1 .. max_workers. False: the executor is closed. */
bool stook__park_resize(stook_executor *executor, unsigned workers);

/* The calling thread's task is about to block: gives its worker up, if it holds one. Pairs of this
 * and the next nest, and only the outermost counts. */
void stook__park_release(struct stook__thread *thread);

/* It goes on, at once: with an idle worker, or without any until its task ends or blocks again. */
void stook__park_resume(struct stook__thread *thread);

/* The task of a thread without a worker has ended: takes the worker that rests for it, or sleeps as
 * a spare. False: the thread must leave. */
bool stook__park_settle(struct stook__thread *thread);

/* Between the two the executor does not end, though it may be closed and its queues empty; the
 * second ends it if there is nothing left to do. */
void stook__park_hold(stook_executor *executor);
void stook__park_let_go(stook_executor *executor);

/* A thread's last act but one; true if it is the last one of its executor. Joins the thread that
 * left before it. */
bool stook__park_leave(struct stook__thread *thread);

#endif
