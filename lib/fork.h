/* SPDX-License-Identifier: MIT
 *
 * Which process an object belongs to: each fork starts a new generation in the child.
 */
#ifndef STOOK_FORK_H
#define STOOK_FORK_H

#include <stdbool.h>
#include <stook/future.h>
#include "atomics.h"

/* Starts the count, once; before the first object is made. */
void stook__fork_watch(void);

/* The library's one global beside fence.h's: changed by forks only. */
extern _Atomic(unsigned) stook__generation;

/* The generation of this process. */
static inline unsigned stook__fork_generation(void)
{
    /* order FK.own rlx: constant but for a fork, which copies it whole */
    return a_load_rlx(&stook__generation);
}

/* Is the object with this generation from before a fork? */
static inline bool stook__forked(unsigned generation)
{
    return generation != stook__fork_generation();
}

/* The same for a future that is not terminal; a terminal one is as good in a child as in its
 * parent. */
bool stook__future_forked(const stook_future *future);

#endif
