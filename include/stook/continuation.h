/* SPDX-License-Identifier: MIT
 *
 * What happens when futures are done, without a thread that waits for it: callbacks, continuations
 * (then), and futures made of several others (when_all, when_any).
 *
 * Everything here may be called on one future from any threads at the same time, together with
 * everything in future.h but set_destructor. What was written before a future was completed is
 * visible to its callbacks and continuations, and to who waits for a future that was made of it.
 *
 * Callbacks, which are on_done callbacks and continuations without an executor, run
 *   - in the thread that makes the future terminal: the worker that ran the task; who cancelled
 *     it, or looked at it when its token was cancelled; who completed or released its promise, or
 *     shut its executor down; the executor's timer thread when a token or deadline did it. Or in
 *     the caller, at once, if the future is terminal when they are added (then perhaps beside
 *     earlier ones);
 *   - in the order in which they were added, each exactly once, after blocked waiters have been
 *     woken: a result can be seen before the callbacks have run. Who must know that they have
 *     waits for a continuation's future instead;
 *   - never inside one another: what becomes due in a callback runs in the same thread when those
 *     before it have returned, so that chains of any length need no stack. So in a callback the
 *     calls that make others due return before those have run;
 *   - without any lock held. Do not complete, cancel or add with a lock held that a callback takes.
 *     They may submit, cancel, add callbacks, release futures (their own too, and its promise).
 *     They must not block. In a callback, and in a task that a submit in it runs
 *     (STOOK_WHEN_FULL_RUN), every call that would have to wait answers STOOK_DEADLOCK, since what
 *     it waits for may be due after it in the same thread: waits for what is not done (a deadline
 *     that has passed still polls), scopes, streams, map, shutdown, a submit to a full queue.
 *     Destroying what would have to be waited for aborts with a message.
 *     stook_task_cancel_requested() means nothing there.
 */
#ifndef STOOK_CONTINUATION_H
#define STOOK_CONTINUATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stook/base.h>
#include <stook/executor.h>
#include <stook/future.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

/* future: terminal; borrowed for the call. */
typedef void stook_callback_fn(stook_future *future, void *user_data);

/* Calls callback(future, user_data) once when the future is terminal, or now if it is. The future
 * lives until the callback has returned, whoever releases it. The same one added twice is called
 * twice.
 * Returns: STOOK_OK; STOOK_INVALID (future or callback NULL); STOOK_NOMEM; STOOK_FORKED. If it
 * fails the callback is never called. Threads: any. Blocks: never (but may run callbacks). */
STOOK_API STOOK_NODISCARD enum stook_status
stook_future_on_done(stook_future *future, stook_callback_fn *callback, void *user_data);

/* The function of a continuation: a task that is also given the future before it, terminal and
 * borrowed for the call. Returns and stores as stook_task_fn does. */
typedef int stook_then_fn(stook_future *before, void *arg, void **ret_value);

enum stook_then_mode {
    /* fn is called if `before` is DONE. If it FAILED, so does the new future, with its code and
     * without a value; if it was CANCELLED, so is the new one. */
    STOOK_THEN_IF_DONE = 0,
    /* fn is called whatever became of it, and looks itself. */
    STOOK_THEN_ALWAYS = 1
};

/* Makes a future for fn(before, arg), to be called when `before` is terminal: as a task of the
 * executor, which may wait as any task, or, if that is NULL, as a callback (see on top). OK says
 * nothing about what fn returned, though it may have run already.
 *
 * The executor counts the continuation as accepted at once: shutdown in mode STOOK_DRAIN waits for
 * it, and so for `before`; STOOK_CANCEL_PENDING cancels it. When it is due it needs no memory. It
 * holds a reference to `before` until it is terminal. Cancelling the new future leaves `before`
 * alone, and nothing behind in it. ret_future receives a reference; NULL: nobody wants it. arg
 * must live until the new future is terminal. Memory comes from the executor's allocator, else
 * from that of `before`.
 *
 * Returns: STOOK_OK; STOOK_INVALID (before or fn NULL, mode unknown); STOOK_NOMEM; STOOK_SHUTDOWN;
 *          STOOK_BROKEN; STOOK_FORKED. Threads: any. Blocks: for a short lock (and may run
 *          callbacks). */
STOOK_API STOOK_NODISCARD enum stook_status
stook_future_then(stook_future *before, enum stook_then_mode mode, stook_executor *executor,
                  stook_then_fn *fn, void *arg, stook_future **ret_future);

/* Makes a future that is terminal when all of count futures are, also when one has FAILED: DONE if
 * all are; else FAILED, with the code of the first in the array that FAILED; else CANCELLED. It
 * has no value. count 0 (futures may be NULL): DONE at once. Duplicates are allowed. Cancelling it
 * leaves the others alone.
 *
 * It becomes terminal as a callback of the last of them. Until then it is PENDING, and holds a
 * reference to each. Memory comes from the allocator of the first one.
 * Returns: STOOK_OK; STOOK_INVALID (one is NULL, or ret_future); STOOK_NOMEM; STOOK_FORKED.
 * Threads: any. Blocks: never (but may run callbacks). */
STOOK_API STOOK_NODISCARD enum stook_status stook_when_all(stook_future *const futures[],
                                                           size_t count, stook_future **ret_future);

/* Makes a future that is terminal as soon as one of count futures is (of those that are already,
 * the first in the array), with the same state and code. Unless that is CANCELLED, its value is
 * the winner itself, a stook_future *: a reference, which who takes it must release; if nobody
 * does, it goes with the new future (so set no destructor on it). The others are forgotten at
 * once, not cancelled, also when the new one is cancelled. Otherwise as stook_when_all().
 * Returns: as stook_when_all(); also STOOK_INVALID if count is 0. Threads: any. Blocks: never (but
 * may run callbacks). */
STOOK_API STOOK_NODISCARD enum stook_status stook_when_any(stook_future *const futures[],
                                                           size_t count, stook_future **ret_future);

/* Is the calling thread in a callback, where it must not block? Threads: any. Blocks: never. */
STOOK_API bool stook_in_callback(void);

STOOK_END_DECLS

#endif
