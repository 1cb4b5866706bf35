/* SPDX-License-Identifier: MIT
 *
 * The executor's record, and those of its workers and threads: who owns which field. Workers are
 * places, threads hold them: README.md, "A worker is a place, not a thread".
 */
#ifndef STOOK_POOL_H
#define STOOK_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <stook/executor.h>
#include <stook/token.h>
#include <threads.h>
#include "atomics.h"
#include "counters.h"
#include "deque.h"
#include "deadlock.h"
#include "inject.h"
#include "lane.h"
#include "platform.h"
#include "slab.h"
#include "timer.h"

/* A place in which one task runs at a time. All but the deque's thief side belongs to the thread
 * that holds it, or is guarded by the park mutex while nobody does. */
struct stook__worker {
    struct stook__deque deque;
    struct stook__worker *next; /* in the list of idle, resting or retired workers */
    uint32_t random;            /* xorshift state, never 0; picks the first victim */
    uint32_t dispatches;        /* tasks looked for, modulo FAIRNESS_PERIOD */
    uint32_t periods;           /* the times that it began again */
    unsigned passes;            /* times in a row that a HIGH task went before the own ones */
    struct stook__counters counters;
    size_t popped_end; /* bottom of the deque after tasks were popped out of the injection queue */
    size_t husks;      /* tasks run in place that may still lie in the deque: an upper bound */
};

/* A task whose function is on a thread's stack; the one below it waits for it. */
struct stook__frame {
    stook_future *task;
    struct stook__frame *below;
    unsigned depth;    /* number of frames, this one included */
    bool is_stolen;    /* a fork of the task's region, made by another thread than the task's */
    unsigned blocking; /* stook_task_begin_blocking() without its end */
};

struct stook__thread {
    stook_executor *executor;
    struct stook__worker *worker; /* held; NULL: none. Given under the park mutex, before `event`;
                                     else the thread's own */
    unsigned released;            /* park_release() without its resume; the thread's own */
    bool searching;               /* counted in `idle`; the thread's own while it holds a worker */
    struct stook__event event;    /* set when it is taken off the list of spare threads */
    bool is_spare;                /* in that list; guarded by the park mutex, as are its links */
    struct stook__thread *next;
    struct stook__thread *previous;
    struct stook__lane_head *lane; /* leased, and not in use; NULL: none. The thread's own */
    int64_t stay_until_ns;       /* how long it sleeps as a spare before it asks whether to leave */
    unsigned number;             /* constant */
    int bound_to;                /* index of the worker whose CPU it is bound to; -1: all CPUs */
    bool is_initialised;         /* thread_init has not failed in it; the thread's own */
    struct stook__handle handle; /* written by the thread itself, read by the one who joins it */
};

struct stook__park {
    _Alignas(STOOK_CACHE_LINE) _Atomic(uint32_t) idle; /* sleeping and searching; park.c */
    _Atomic(uint32_t)
        uncovered;             /* threads that run a task without a worker, and for which no worker
                                    rests; changed under the mutex, read at every dispatch */
    _Atomic(uint32_t) surplus; /* workers to be retired when their threads next look for a task; as
                                  uncovered */
    atomic_bool refused;       /* the last thread that an idle worker needed could not be started */
    _Alignas(STOOK_CACHE_LINE) mtx_t mutex; /* guards the rest, and every change of a list */
    struct stook__worker *idle_workers;     /* last in, first out */
    struct stook__worker *resting;          /* workers that rest for threads that run without one */
    struct stook__worker *retired;          /* those that are not open */
    struct stook__thread *spare;            /* threads that hold no worker and run no task; LIFO */
    struct stook__thread *left;             /* the last thread that left: not joined yet */
    unsigned next_number;                   /* of the next thread */
    unsigned alive;                         /* threads that have not left, or are being started */
    unsigned staying;  /* those of them that were not let go for want of work */
    unsigned busy;     /* threads in a wait, and others that keep the executor from ending */
    bool exiting;      /* all is done: threads leave */
    unsigned starting; /* threads for which create still waits */
    struct stook__event *started; /* create's; set when `starting` comes down to 0 */
};

/* The word `cancelling`; bits are only ever added. */
enum {
    STOOK__CANCELS = 1, /* by a shutdown */
    STOOK__BROKEN = 2   /* a thread_init failed; cancels too */
};

struct stook_executor {
    _Alignas(2 * STOOK_CACHE_LINE) struct stook__inject inject; /* low bits are free: task.h */
    struct stook__park park;
    _Alignas(STOOK_CACHE_LINE) _Atomic(uint32_t) thieves; /* deque.h */
    struct stook__lanes lanes;
    struct stook__timer timer;
    struct stook__waits waits;
    struct stook__slabs *slabs;       /* of its futures; outlives it */
    struct stook__counters elsewhere; /* what threads without a worker did */
    stook_token *root;                /* of its tokens */
    unsigned generation;              /* of the process that made it; fork.h */
    struct stook__worker *workers;    /* max_workers of them; constant */
    _Atomic(unsigned) worker_count;   /* how many of them are open; changed under the park mutex */
    struct stook_executor_options
        options; /* resolved; constant. Its pointers lead to the next two */
    struct stook_allocator allocator;
    char name_prefix[16];
    struct stook__cpus cpus;            /* the creator's; constant */
    void *(*thread_main)(void *thread); /* constant */
    _Atomic(uint32_t) cancelling;       /* STOOK__CANCELS and more: what is dequeued is not run */
    stook_future *ended;                /* completed by the last thread; shutdown waits for it */
    uintptr_t mark;                     /* checks.h */
    mtx_t join_mutex;                   /* guards joined */
    bool joined;
};

static inline unsigned stook__worker_count(const stook_executor *executor)
{
    /* order PK.size rlx: a number; exact under the park mutex */
    return a_load_rlx(&executor->worker_count);
}

#endif
