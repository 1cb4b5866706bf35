/* SPDX-License-Identifier: MIT
 *
 * Clients: fair shares of one executor.
 *
 * Tasks that are submitted with a client in the options queue up in the client's own queue, also
 * when a task submits them. Workers that look for new work go round the clients that have some and
 * take up to `weight` tasks from each in turn: 1000 tasks of one do not hold back the single task
 * of another, and who is alone gets everything. Tasks from outside without a client share a client
 * of weight 1. What a task submits without a client stays on its worker, and is done before new
 * work is fetched, except that every 61st task that a worker takes is new.
 *
 * What may run at the same time on ONE client: everything, but for the last release.
 */
#ifndef STOOK_CLIENT_H
#define STOOK_CLIENT_H

#include <stddef.h>
#include <stook/base.h>
#include <stook/executor.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

#define STOOK_MAX_WEIGHT 1000

/* Makes a client. weight: 1 .. STOOK_MAX_WEIGHT. queue_limit: how many of its tasks may wait in its
 * queue (see when_full in the submit options); 0: any number.
 * Returns: STOOK_OK; STOOK_INVALID (executor or ret_client NULL, bad weight); STOOK_NOMEM;
 *          STOOK_FORKED. Threads: any. Blocks: for a short lock. */
STOOK_API STOOK_NODISCARD enum stook_status stook_client_create(stook_executor *executor,
                                                                unsigned weight, size_t queue_limit,
                                                                stook_client **ret_client);

/* Another reference, for who submits its tasks later: each is to be released. Returns client. NULL is
 * allowed. Threads: any. Blocks: for a short lock. */
STOOK_API stook_client *stook_client_retain(stook_client *client);

/* Gives a reference up; with the last one the client, whose tasks that are queued still run. Before
 * the executor is destroyed. NULL is allowed. Threads: any, once for each reference, with no other
 * call under way that relies on it. Blocks: for a short lock. */
STOOK_API void stook_client_release(stook_client *client);

STOOK_END_DECLS

#endif
