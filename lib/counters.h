/* SPDX-License-Identifier: MIT
 *
 * The counters behind stats.h. Each is added to before what it counts can be followed by anything
 * else, by a release, and read in the opposite order, by acquires: so a snapshot never shows an
 * effect without its cause.
 */
#ifndef STOOK_COUNTERS_H
#define STOOK_COUNTERS_H

#include <stdint.h>
#include <stook/executor.h>
#include "atomics.h"

enum stook__counter {
    STOOK__SUBMITTED, /* accepted */
    STOOK__BEGUN,
    STOOK__ENDED,
    STOOK__CANCELLED, /* found cancelled in a queue, or cancelled while held back */
    STOOK__STOLEN,
    STOOK__PARKED,
    STOOK__COUNTERS
};

/* Of a worker, written by the thread that holds it; or of all who hold none, written by any. */
struct stook__counters {
    _Atomic(uint64_t) counts[STOOK__COUNTERS];
};

void stook__counters_init(struct stook__counters *counters);

/* Counts for a worker that the calling thread holds. */
static inline void stook__count_in(struct stook__counters *counters, enum stook__counter which,
                                   uint64_t number)
{
    _Atomic(uint64_t) *own = &counters->counts[which];
    /* order ST.mine rlx: the holder's alone */
    uint64_t before = a_load_rlx(own);
    /* order ST.own rel -> ST.read: see above */
    a_store_rel(own, before + number);
}

/* Counts for the worker that the calling thread holds, or elsewhere if it holds none of this
 * executor. */
void stook__count(stook_executor *executor, enum stook__counter which, uint64_t number);

#endif
