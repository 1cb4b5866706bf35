/* SPDX-License-Identifier: MIT
 *
 * A promise: a future that the program completes itself instead of a task.
 *
 *   stook_promise_create -> stook_promise_complete -> stook_promise_release
 *
 * The future is PENDING until it is completed (DONE or FAILED) or cancelled (CANCELLED); it is
 * never RUNNING. Who wants to stop work that nobody needs any more looks at stook_future_done().
 * What was written before completing is visible to whoever sees the future terminal.
 *
 * What may run at the same time on ONE promise:
 *
 *                complete | release
 *   complete  |   yes     |   no
 *   release   |           |   no
 *
 * Everything may run together with anything on its future.
 */
#ifndef STOOK_PROMISE_H
#define STOOK_PROMISE_H

#include <stook/alloc.h>
#include <stook/base.h>
#include <stook/future.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

typedef struct stook_promise stook_promise;

/* Makes a promise and its future. The caller owns both: the promise until it releases it, and a
 * reference to the future. The promise has a reference of its own, so the future, and a value that
 * nobody takes, live as long as it. allocator: copied, must outlive both; NULL for malloc().
 * Returns: STOOK_OK; STOOK_INVALID (a ret_ is NULL); STOOK_NOMEM. Threads: any. Blocks: never. */
STOOK_API STOOK_NODISCARD enum stook_status
stook_promise_create(const struct stook_allocator *allocator, stook_promise **ret_promise,
                     stook_future **ret_future);

/* Completes the future: DONE with code 0, FAILED with any other. value goes to the future, which
 * treats it as one that a task stored. Waiters wake; callbacks run in this thread before it
 * returns (in a callback: after it). The first completion counts. Unless it answers OK, value
 * stays the caller's.
 * Returns: STOOK_OK; STOOK_TOO_LATE (the future is terminal: completed or cancelled before);
 *          STOOK_INVALID (NULL); STOOK_FORKED (not terminal, and made before a fork).
 * Threads: any, several at once. Blocks: never (but runs callbacks). */
STOOK_API STOOK_NODISCARD enum stook_status stook_promise_complete(stook_promise *promise, int code,
                                                                   void *value);

/* Gives the promise up. If nobody has completed it, nobody ever will: its future becomes CANCELLED
 * (not in the child of a fork). NULL is allowed. Threads: any, once, with no other call on the
 * promise under way; but a callback of its future may. Blocks: as stook_promise_complete(). */
STOOK_API void stook_promise_release(stook_promise *promise);

STOOK_END_DECLS

#endif
