/* SPDX-License-Identifier: MIT
 *
 * The timer thread of an executor: calls alarms when they are due, and sees to cancelled tokens.
 * It is started by the first who needs it, and ends with the executor.
 */
#ifndef STOOK_TIMER_H
#define STOOK_TIMER_H

#include <stdbool.h>
#include <stdint.h>
#include <stook/executor.h>
#include <threads.h>
#include "platform.h"

/* An alarm, part of what it is for. The links make a pairing heap; guarded by the timer's mutex. */
struct stook__alarm {
    int64_t due_ns;
    /* Called by the timer thread, once, without a lock; what it is part of must live until then,
     * or until the alarm has been taken back. */
    void (*ring)(struct stook__alarm *alarm);
    struct stook__alarm *child;
    struct stook__alarm *next;     /* sibling */
    struct stook__alarm *previous; /* sibling, or the parent of the first */
    bool set;                      /* in the heap */
};

struct stook__timer {
    mtx_t mutex; /* guards the heap and the flags */
    struct stook__alarm *heap;
    struct stook__alarm *ringing; /* taken out, and its ring has not returned */
    struct stook__handle self;    /* valid once it runs */
    bool runs;
    bool started;
    bool stopping;
    struct stook__bell bell; /* look again: the heap, the flags or a token has changed */
    _Atomic(bool) tokens;    /* a token has been cancelled */
};

/* False if the system refuses a mutex or a bell. */
bool stook__timer_init(stook_executor *executor);
void stook__timer_fini(stook_executor *executor);

/* Sees to it that the timer thread runs; false if the system refuses one. */
bool stook__timer_start(stook_executor *executor);

/* Ends the timer thread and waits for that. The executor has ended: no alarm of a task is set. */
void stook__timer_stop(stook_executor *executor);

/* Sets an alarm; the timer thread must run. */
void stook__timer_set(stook_executor *executor, struct stook__alarm *alarm);

/* Takes an alarm back; false: it was not set, or has been taken out to be rung, and then that is
 * over (unless the caller is the alarm itself). */
bool stook__timer_unset(stook_executor *executor, struct stook__alarm *alarm);

/* A token has been cancelled. Async-signal-safe. */
void stook__timer_tell(stook_executor *executor);

#endif
