/* SPDX-License-Identifier: MIT
 *
 * Deadlines. Every deadline in Stook is an absolute time on the monotonic clock, in nanoseconds,
 * as int64_t: compute it once, and a loop of waits does not drift. Steps of the wall clock do not
 * move it.
 *
 * A deadline that has passed already (0 and negative values included) makes a call poll: it
 * answers at once. STOOK_FOREVER never passes.
 *
 * Threads: any. Blocks: never.
 */
#ifndef STOOK_CLOCK_H
#define STOOK_CLOCK_H

#include <stdint.h>
#include <stook/base.h>

STOOK_BEGIN_DECLS

#define STOOK_FOREVER INT64_MAX

/* Nanoseconds on the monotonic clock: 0 is some fixed moment before the process started. */
STOOK_API int64_t stook_now_ns(void);

/* The deadline `duration_ns` from now. Saturates: a duration too long for the clock gives
 * STOOK_FOREVER, a negative one a deadline that has passed. */
STOOK_API int64_t stook_deadline_after_ns(int64_t duration_ns);

STOOK_END_DECLS

#endif
