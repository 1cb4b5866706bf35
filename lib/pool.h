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
#include <threads.h>
#include "atomics.h"
#include "deque.h"
#include "inject.h"
#include "platform.h"

/* A place in which one task runs at a time. All but the deque's thief side belongs to the thread
 * that holds it, or is guarded by the park mutex while nobody does. */
struct stook__worker {
    struct stook__deque deque;
    struct stook__worker *next; /* in the list of idle workers */
    uint32_t random;            /* xorshift state, never 0; picks the first victim */
    uint32_t dispatches;        /* tasks looked for, modulo 2^32; see FAIRNESS_PERIOD */
    size_t husks; /* tasks run in place that may still lie in the deque: an upper bound */
};

/* A task whose function is on a thread's stack; the one below it waits for it. */
struct stook__frame {
    stook_future *task;
    struct stook__frame *below;
};

struct stook__thread {
    stook_executor *executor;
    struct stook__worker *worker; /* held; NULL: none. Given under the park mutex, before `event`;
                                     else the thread's own */
    struct stook__frame *frame;   /* topmost; the thread's own */
    unsigned depth;               /* number of frames; the thread's own */
    bool searching;               /* counted in `idle`; the thread's own while it holds a worker */
    struct stook__event event;    /* it was given a worker, or is to exit */
    struct stook__thread *next;   /* in the list of spare threads */
    struct stook__thread *next_created;
    unsigned number; /* for its name; constant */
    thrd_t handle;   /* written by the thread itself, read by the one who joins it */
};

struct stook__park {
    _Alignas(STOOK_CACHE_LINE) _Atomic(uint32_t) idle; /* sleeping and searching; park.c */
    _Atomic(uint32_t)
        uncovered; /* threads that run a task without a worker, and for which no worker
                                    rests; changed under the mutex, read at every dispatch */
    _Alignas(STOOK_CACHE_LINE) mtx_t mutex; /* guards the rest, and every change of a list */
    struct stook__worker *idle_workers;     /* last in, first out */
    struct stook__worker *resting;          /* workers that rest for threads that run without one */
    struct stook__thread *spare;            /* threads that hold no worker and run no task; LIFO */
    struct stook__thread *created;          /* all threads, for joining */
    unsigned created_count;
    unsigned alive;           /* threads that have not left their main function */
    unsigned busy;            /* threads in a wait, and others that keep the executor from ending */
    bool exiting;             /* all is done: threads leave */
    thrd_start_t thread_main; /* constant */
};

struct stook_executor {
    struct stook__inject inject;
    struct stook__park park;
    struct stook__worker *workers; /* worker_count of them, constant */
    unsigned worker_count;
    char name_prefix[16];
    _Atomic(bool) cancelling; /* what is dequeued is cancelled, not run */
    stook_future *ended;      /* completed by the last thread; shutdown waits for it */
    mtx_t join_mutex;         /* guards joined */
    bool joined;
};

#endif
