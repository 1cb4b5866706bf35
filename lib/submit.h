/* SPDX-License-Identifier: MIT
 *
 * Accepting tasks, and the way of accepted ones into the queues, for those who keep them back.
 */
#ifndef STOOK_SUBMIT_H
#define STOOK_SUBMIT_H

#include <stook/token.h>
#include "inject.h"
#include "pool.h"

/* What a submit to this executor would answer now: STOOK_OK, STOOK_SHUTDOWN, STOOK_BROKEN,
 * STOOK_FORKED. */
enum stook_status stook__submit_status(const stook_executor *executor);

/* Keeps an open executor from ending, until stook__park_let_go(); else as stook__submit_status().
 */
enum stook_status stook__submit_hold(stook_executor *executor);

/* Cancels a task that was accepted and held back while the executor began to cancel, and may have
 * been missed. Call it after the task has joined a token. */
void stook__submit_heed_cancel(stook_executor *executor, stook_future *task);

/* Queues a task that was accepted earlier, with the queue's reference, and wakes the pool: always,
 * also when the executor has been closed, and whatever is full. The caller keeps the executor from
 * ending meanwhile (stook__park_hold), and has retained the client. Any thread. Blocks: for short
 * locks. */
void stook__submit_released(stook_executor *executor, stook_future *task, stook_client *client,
                            enum stook_priority priority);

/* The token that the options ask for, their scope's too; NULL: none. */
stook_token *stook__submit_token(const struct stook_submit_options *options);

/* What all tasks of a submit have in common. */
struct stook__kind {
    stook_executor *executor;
    stook_task_fn *fn;
    const struct stook_submit_options *options;
    uint32_t refs; /* the queue's, and the caller's if it wants futures */
};

/* Frees a chain of tasks that nobody else has seen. */
void stook__submit_discard(stook_future *first);

/* Submits tasks with a start or a period, all or none; delay.c. The rest of the options has been
 * checked. */
enum stook_status stook__submit_delayed(const struct stook__kind *kind, void *base, size_t count,
                                        size_t size, stook_future *ret_futures[]);

#endif
