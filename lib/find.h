/* SPDX-License-Identifier: MIT
 *
 * Finding work: the loop of worker.c asks for one thing after the other.
 */
#ifndef STOOK_FIND_H
#define STOOK_FIND_H

#include <stook/future.h>

struct stook__thread;
struct stook__theft;

/* A task, taken out of a queue together with that one's reference; or NULL, and perhaps a stolen
 * fork; or neither. The thread holds a worker; it counts as searching if it had to look at others'
 * queues. */
stook_future *stook__find_task(struct stook__thread *thread, struct stook__theft *ret_theft);

#endif
