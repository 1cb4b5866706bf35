/* SPDX-License-Identifier: MIT
 *
 * Which process an object belongs to: each fork starts a new generation in the child.
 */
#ifndef STOOK_FORK_H
#define STOOK_FORK_H

#include <stdbool.h>
#include <stook/future.h>

/* Starts the count, once; before the first object is made. */
void stook__fork_watch(void);

/* The generation of this process. */
unsigned stook__fork_generation(void);

/* Is the object with this generation from before a fork? */
bool stook__forked(unsigned generation);

/* The same for a future that is not terminal; a terminal one is as good in a child as in its
 * parent. */
bool stook__future_forked(const stook_future *future);

#endif
