/* SPDX-License-Identifier: MIT
 *
 * A snapshot of an executor's counters. Those of what has happened (submitted, begun, ended,
 * cancelled, stolen, parked, threads_started) only grow; all add up at any time, also while tasks
 * run:
 *
 *   submitted = begun + cancelled + pending        begun = ended + running
 *   the sum over workers, and `elsewhere`          = the total
 *
 * Threads: any, beside everything but destroy. Blocks: for a short lock.
 */
#ifndef STOOK_STATS_H
#define STOOK_STATS_H

#include <stddef.h>
#include <stdint.h>
#include <stook/base.h>
#include <stook/executor.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

struct stook_worker_stats {
    uint64_t begun;     /* tasks begun by the thread that held the worker */
    uint64_t stolen;    /* tasks taken from another worker's deque; forks taken from others */
    uint64_t parked;    /* times that a thread went to sleep for want of work */
    size_t queue_depth; /* entries of its deque, husks of cancelled tasks included */
};

struct stook_stats {
    size_t struct_size; /* set by STOOK_STATS_INIT */
    uint64_t submitted; /* accepted; a repeated task counts itself and each call */
    uint64_t begun;     /* their function was called */
    uint64_t ended;     /* it has returned */
    /* It never will be called. Counted when a worker comes across it in a queue, until then it is
     * pending; at once if it was held back (delayed, in the line of a scope, a continuation, also
     * one that FAILED with the future before it; a repeated task when it ends). */
    uint64_t cancelled;
    uint64_t pending; /* submitted - begun - cancelled */
    uint64_t running; /* begun - ended */
    uint64_t stolen;  /* see stook_worker_stats */
    uint64_t parked;
    uint64_t threads_started; /* in all, the first ones included */
    size_t threads;           /* that live now, the timer thread included */
    size_t queue_depth;       /* entries of all queues, husks included */
    size_t workers;           /* entries that the executor has for ret_workers: max_workers */
    /* What threads without a worker did; its queue_depth: tasks that wait in the common queue. */
    struct stook_worker_stats elsewhere;
};

#define STOOK_STATS_INIT                                                                           \
    {                                                                                              \
        sizeof(struct stook_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,                            \
        {                                                                                          \
            0, 0, 0, 0                                                                             \
        }                                                                                          \
    }

/* Fills *ret_stats, whose struct_size the caller has set (STOOK_STATS_INIT), and of the workers
 * the first `capacity` (ret_workers may be NULL if that is 0).
 * Returns: STOOK_OK; STOOK_INVALID (a NULL, struct_size unknown); STOOK_FORKED. */
STOOK_API STOOK_NODISCARD enum stook_status
stook_executor_stats(stook_executor *executor, struct stook_stats *ret_stats,
                     struct stook_worker_stats ret_workers[], size_t capacity);

STOOK_END_DECLS

#endif
