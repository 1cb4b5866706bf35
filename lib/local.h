/* SPDX-License-Identifier: MIT
 *
 * What each thread of the process has of its own, in one place, so that it is found with one look.
 */
#ifndef STOOK_LOCAL_H
#define STOOK_LOCAL_H

#include <stdbool.h>
#include "slab.h"

struct stook__local {
    struct stook__thread
        *thread;                /* its record if it belongs to an executor; NULL: none. worker.h */
    struct stook__frame *frame; /* the topmost task on its stack; NULL: none */
    uintptr_t home; /* that of records that come from `magazine`, and go back there; 0: none */
    struct stook__magazine magazine;
    struct stook__waiter *first_due; /* callbacks, chained by next; callback.c */
    struct stook__waiter *last_due;
    bool in_callback;
    bool has_woken; /* a worker, since it last waited */
};

extern STOOK_THREAD_LOCAL struct stook__local stook__local;

#endif
