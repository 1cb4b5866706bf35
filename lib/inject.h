/* SPDX-License-Identifier: MIT
 *
 * The injection queue: tasks from threads that hold no worker, and all that have a client or a
 * priority. It decides whose task goes next, and holds submitters back where there is a limit
 * (README.md, "The injection queue"). It is also the gate that closes an executor: a task is either
 * in the queue before it closes, or refused.
 *
 * Every function may run together with every other, but for init and fini.
 */
#ifndef STOOK_INJECT_H
#define STOOK_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stook/executor.h>
#include <stook/future.h>
#include <threads.h>
#include "atomics.h"
#include "inbox.h"
#include "platform.h"

/* A priority that has tasks and has been passed over so often goes next. */
enum { STOOK__MOST_PASSES = 16 };

enum { STOOK__PRIORITIES = 3 };

/* A chain of tasks on its way into the queue. */
struct stook__batch {
    stook_future *first; /* chained by next */
    stook_future *last;
    size_t count;
    stook_client *client; /* NULL: the default one */
    enum stook_priority priority;
};

/* The tasks of one client and one priority, first in, first out. */
struct stook__flow {
    stook_client *client; /* constant */
    stook_future *head;   /* chained by next */
    stook_future *tail;
    struct stook__flow *next; /* in the ring of its priority, while it has tasks */
    unsigned turn_left;       /* tasks that it may still give before the next one's turn */
};

/* Guarded by the queue's mutex, but for what is constant. */
struct stook_client {
    stook_executor *executor; /* constant; NULL: the default client */
    unsigned weight;          /* constant */
    size_t limit;             /* constant; 0: none */
    struct stook__flow flows[STOOK__PRIORITIES];
    uintptr_t mark;                       /* checks.h */
    size_t waiting;                       /* tasks in the flows */
    size_t references;                    /* the owner's, and one for each task in the flows */
    struct stook__blocked *first_blocked; /* submitters that wait for room */
    struct stook__blocked *last_blocked;
    stook_client *next; /* in the list of all clients */
    stook_client *previous;
};

/* A submitter that waits for room, on that thread's stack. */
struct stook__blocked {
    struct stook__batch batch;
    enum stook_status status; /* OK: it is in the queue; written before `decided` */
    bool is_listed;
    struct stook__blocked *next;
    struct stook__blocked *previous;
    struct stook__event decided; /* set once, when it is listed no more: the last touch */
};

/* The flows of one priority that have tasks. */
struct stook__level {
    struct stook__flow *last; /* of a ring: the next turn is that of last->next; NULL: empty */
    size_t count;             /* tasks */
    unsigned passes;          /* times that it has been passed over while it had some */
};

struct stook__inject {
    _Alignas(STOOK_CACHE_LINE) mtx_t mutex; /* guards the rest, which is also read without it where
                                               it is atomic */
    _Atomic(size_t) count;                  /* tasks */
    _Atomic(uint64_t) accepted;             /* tasks ever accepted here, but for forced ones */
    struct stook__level levels[STOOK__PRIORITIES];
    stook_client *clients;       /* all, the default one included */
    stook_client default_client; /* for tasks without one */
    /* Read at every dispatch and submit, written seldom. */
    _Alignas(STOOK_CACHE_LINE) _Atomic(size_t) urgent; /* tasks of priority HIGH */
    _Atomic(bool) closed;
    struct stook__inbox inbox; /* tasks without client, priority or limit; taken under the mutex */
};

enum stook__push {
    STOOK__PUSH_LIMITED, /* refused when the queue is closed, or has no room for all */
    STOOK__PUSH_EXEMPT,  /* refused when it is closed */
    STOOK__PUSH_FORCED   /* never refused */
};

/* limit: of the default client. False if the system refuses a mutex. */
bool stook__inject_init(struct stook__inject *queue, size_t limit);
void stook__inject_fini(struct stook__inject *queue);

/* Adds the tasks, all or none: STOOK_OK; STOOK_SHUTDOWN; STOOK_FULL. */
enum stook_status stook__inject_push(struct stook__inject *queue, const struct stook__batch *batch,
                                     enum stook__push how);

/* The same as PUSH_LIMITED for one task of priority NORMAL without a client, without a lock.
 * The default client must have no limit. STOOK_OK; STOOK_SHUTDOWN. */
enum stook_status stook__inject_push_one(struct stook__inject *queue, stook_future *task);

/* As PUSH_LIMITED; but when it answers STOOK_FULL, the record, whose batch and event the caller has
 * set up, is listed: it is decided as soon as there is room, or the queue is closed. */
enum stook_status stook__inject_enter(struct stook__inject *queue, struct stook__blocked *blocked);

/* Takes a record out that has not been decided. False: it was too late, its event has been set or
 * will be within moments, and must be waited for. */
bool stook__inject_leave(struct stook__inject *queue, struct stook__blocked *blocked);

/* The task whose turn it is, or NULL. */
stook_future *stook__inject_pop(struct stook__inject *queue);

/* Takes several in their order, at most `most`, and gives their number. More than one only where no
 * client, priority or limit could notice; and unless the caller is alone, the only worker, only out
 * of a long queue (STOOK__MANY), as another worker may then begin with what stands behind them. */
size_t stook__inject_pop_some(struct stook__inject *queue, stook_future *tasks[], size_t most,
                              bool is_alone);

/* Refuses all further pushes that are not forced, and those that wait for room. Idempotent. */
void stook__inject_close(struct stook__inject *queue);

/* Exact for pushes; without the mutex, late. */
static inline bool stook__inject_is_closed(const struct stook__inject *queue)
{
    /* order IJ.closed acq <- IJ.close: see there */
    return a_load_acq(&queue->closed);
}

/* How many tasks wait, and have been accepted since the beginning; both are out of date at once. */
void stook__inject_sizes(struct stook__inject *queue, size_t *ret_size, uint64_t *ret_accepted);

/* A guess, unless a fence and the caller's own protocol make it more. */
bool stook__inject_seems_empty(struct stook__inject *queue);

/* Whether it has tasks of priority HIGH: a guess, for one load. */
static inline bool stook__inject_seems_urgent(struct stook__inject *queue)
{
    /* order IJ.urgent rlx: a guess */
    return a_load_rlx(&queue->urgent) > 0;
}

/* A client with one reference, the caller's; NULL without memory. */
stook_client *stook__client_create(struct stook__inject *queue, stook_executor *executor,
                                   unsigned weight, size_t limit);

/* For who keeps tasks of the client that are to be queued later. NULL is allowed. */
void stook__client_retain(struct stook__inject *queue, stook_client *client);
void stook__client_release(struct stook__inject *queue, stook_client *client);

#endif
