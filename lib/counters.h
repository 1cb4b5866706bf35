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

/* Counts for the worker that the calling thread holds, or elsewhere if it holds none of this
 * executor. */
void stook__count(stook_executor *executor, enum stook__counter which, uint64_t number);

#endif
