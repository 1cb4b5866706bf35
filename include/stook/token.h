/* SPDX-License-Identifier: MIT
 *
 * Cancellation tokens: one switch for many tasks, also from a signal handler, also at a deadline.
 *
 *   stook_token_create -> submit with it -> stook_token_cancel -> stook_token_release
 *
 * Tokens form trees: cancelling one cancels all below it, never those above or beside. Once
 * cancelled it stays so. When a token is cancelled, of the tasks that were submitted with it
 *   - those that have not begun never will, and whoever looks at them finds them CANCELLED;
 *     waiters are woken and callbacks run by the executor's timer thread, moments later;
 *   - those that run see stook_task_cancel_requested();
 *   - those submitted later are accepted, and CANCELLED at once.
 *
 * What may run at the same time on ONE token: everything, each caller holding a reference.
 */
#ifndef STOOK_TOKEN_H
#define STOOK_TOKEN_H

#include <stdbool.h>
#include <stdint.h>
#include <stook/base.h>
#include <stook/clock.h>
#include <stook/executor.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

typedef struct stook_token stook_token;

/* Makes a token for tasks of the executor, below parent (NULL: a root). It is cancelled by itself
 * moments after the deadline has passed (STOOK_FOREVER: never). Starts the executor's timer thread
 * if it does not run. The executor must not be destroyed while somebody may still cancel the
 * token.
 *
 * Returns: STOOK_OK; STOOK_INVALID (executor or ret_token NULL, parent of another executor);
 *          STOOK_NOMEM; STOOK_THREAD; STOOK_SHUTDOWN; STOOK_BROKEN; STOOK_FORKED.
 * Threads: any. Blocks: for a short lock, the first time for the start of a thread. */
STOOK_API STOOK_NODISCARD enum stook_status stook_token_create(stook_executor *executor,
                                                               stook_token *parent,
                                                               int64_t deadline_ns,
                                                               stook_token **ret_token);

/* Cancels. True: this call did it; of several, exactly one gets true, none if the deadline did (a
 * token above does not count). NULL, and a token from before a fork: false.
 * Threads: any, and SIGNAL HANDLERS: the one function here that they may call. Blocks: never. */
STOOK_API bool stook_token_cancel(stook_token *token);

/* Whether it, or one above it, has been cancelled. NULL: false. Threads: any. Blocks: never. */
STOOK_API bool stook_token_cancelled(const stook_token *token);

/* Adds a reference and returns its argument; NULL gives NULL. Threads: any. Blocks: never. */
STOOK_API stook_token *stook_token_retain(stook_token *token);

/* Lets one reference go; tasks that were submitted with the token hold references of their own.
 * NULL is allowed. Threads: any. Blocks: for a short lock. */
STOOK_API void stook_token_release(stook_token *token);

STOOK_END_DECLS

#endif
