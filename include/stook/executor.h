/* SPDX-License-Identifier: MIT
 *
 * An executor: a number of workers that run submitted tasks, stealing from one another.
 *
 *   stook_executor_create -> [submit | submit_many | map]... -> shutdown -> stook_executor_destroy
 *
 * A worker is a place in which one task runs at a time. A task that waits or blocks lends its place
 * meanwhile (see stook_future_wait_until), so there can be more threads than workers. When it goes
 * on and every place is taken, one task more than there are workers runs until one of them ends: a
 * waiting task is never held up by those that run meanwhile. Tasks that do not wait never overlap
 * on one worker.
 *
 * Order: a worker takes the newest task that was submitted from tasks of its own (depth first);
 * others steal the oldest. All other tasks wait in queues by priority and client (see client.h),
 * each in the order in which they came; what a task waits for is begun at once. HIGH goes first,
 * LOW last, but one that has been passed over 16 times goes next. Every now and then a worker
 * takes an old or outside task first, so that none starves. While an executor has neither clients
 * nor other priorities in use and there is a long queue (128 tasks), a worker takes
 * up to 32 out of it at once, and others may begin with what stands behind them.
 *
 * Memory: a future and its task take 64 bytes (more with a scope, a token or a time). That of
 * released ones is kept for later ones, and given back when the executor has been destroyed and
 * the last of its futures has gone.
 *
 * What may run at the same time on ONE executor:
 *
 *                          submit* map worker_count resize | shutdown | destroy
 *   submit* ... resize     |               yes             |   yes    |   no
 *   shutdown               |                               |   yes    |   no
 *
 * Executors are independent of one another. In a task every function may be called on another
 * executor; on the task's own, shutdown and destroy are refused. A process that exits waits for no
 * executor: shut it down before, if its tasks shall end.
 *
 * After fork() the child has none of the threads. There, every call on an executor, or on a future
 * that was not terminal, made before the fork answers STOOK_FORKED at once; functions without a
 * status do nothing (destroy and release free nothing) and answer false. New executors work. A
 * child that was forked in a task has all signals blocked, and should end with _exit(); if the
 * task returns, its thread ends, and with it the child, with status 0. The parent is not affected.
 */
#ifndef STOOK_EXECUTOR_H
#define STOOK_EXECUTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stook/base.h>
#include <stook/executor_options.h>
#include <stook/future.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

typedef struct stook_executor stook_executor;

enum stook_shutdown_mode {
    /* Tasks that were accepted run to their end: delayed ones too, when their time comes (however
     * late that is), and continuations (continuation.h). Repeated ones are cancelled. */
    STOOK_DRAIN = 0,
    /* Those that have not begun become CANCELLED; running ones end. */
    STOOK_CANCEL_PENDING = 1
};

/* Starts an executor; options NULL: all defaults. All or nothing: on failure no thread is left.
 * The threads block all signals but those of their own faults, so that the process's handlers run
 * in its own threads.
 *
 * With a thread_init, create waits until it has run in every thread, and fails if one fails. If it
 * fails later, in an extra thread, the executor is broken: tasks that have not begun are
 * CANCELLED, and stook_future_result() answers STOOK_BROKEN for them, as does every submit;
 * running tasks end.
 *
 * Returns: STOOK_OK; STOOK_INVALID (ret_executor NULL, struct_size unknown, a number out of range,
 *          also in STOOK_WORKERS: report says so); STOOK_NOMEM; STOOK_THREAD; STOOK_BROKEN
 *          (thread_init failed).
 * Threads: any. Blocks: for the creation of the threads. */
STOOK_API STOOK_NODISCARD enum stook_status
stook_executor_create(const struct stook_executor_options *options, stook_executor **ret_executor);

/* The number of workers; NULL has 0. Threads: any. Blocks: never. */
STOOK_API unsigned stook_executor_worker_count(const stook_executor *executor);

/* Changes the number of workers, 1 .. max_workers. Decides, but waits for nothing: worker_count
 * tells the new number at once. Workers that are too many go when they are idle, when their task
 * waits or blocks, or when it ends; one that is looking for a task may take one more first, so for
 * a while more may run than the new number. What is in their deques is stolen by the others. Added
 * workers take what is queued already; their threads are started when there is work for them.
 * Of several calls at the same time the number of the last is left. A task may resize its own
 * executor; its worker may be one of those that go.
 * Returns: STOOK_OK; STOOK_INVALID (executor NULL, number out of range); STOOK_SHUTDOWN;
 *          STOOK_BROKEN; STOOK_FORKED. Threads: any, in a task or not, also while shutdown runs.
 *          Blocks: for a short lock; for the start of a thread, when tasks are queued. */
STOOK_API STOOK_NODISCARD enum stook_status stook_executor_resize(stook_executor *executor,
                                                                  unsigned workers);

/* Submits fn(arg). ret_future receives a reference that the caller must release; NULL: fire and
 * forget, and then a value that the task stores is lost, so it should store none.
 * arg is the caller's, and must live until the future is terminal.
 *
 * If it fails, fn is never called and there is no future. If it succeeds, the future reaches
 * exactly one terminal state, whatever happens to the executor.
 *
 * With a queue_limit it waits for room for ever.
 * Returns: STOOK_OK; STOOK_INVALID (executor or fn NULL); STOOK_SHUTDOWN; STOOK_BROKEN;
 *          STOOK_NOMEM; STOOK_FORKED.
 * Threads: any, in a task or not, also while shutdown runs. Blocks: for a short lock; for
 * the start of a thread, when a worker was lent and no spare thread is left. */
STOOK_API STOOK_NODISCARD enum stook_status stook_executor_submit(stook_executor *executor,
                                                                  stook_task_fn *fn, void *arg,
                                                                  stook_future **ret_future);

/* The same with options (NULL: all defaults). Also
 * Returns: STOOK_INVALID (struct_size unknown, an enum or a number out of range, scope and token
 *          both given, or one of another executor); STOOK_FULL; STOOK_TIMEOUT; STOOK_DEADLOCK (in
 *          a callback, it would have to wait for room); STOOK_THREAD (start_ns or period_ns given
 *          and no timer thread to be had).
 * Blocks: as when_full says. */
STOOK_API STOOK_NODISCARD enum stook_status
stook_executor_submit_with(stook_executor *executor, const struct stook_submit_options *options,
                           stook_task_fn *fn, void *arg, stook_future **ret_future);

/* Submits fn(base), fn(base + size), ... fn(base + (count - 1) * size), all or none, and wakes the
 * pool once. size 0 gives every task the same argument. ret_futures: NULL, or room for count
 * references. count 0 does nothing. A bulk finds room as a whole, one that is larger than the
 * limit in an empty queue; but with STOOK_WHEN_FULL_RUN, if it does not, its tasks are queued or
 * run one by one. Otherwise as stook_executor_submit_with(). */
STOOK_API STOOK_NODISCARD enum stook_status
stook_executor_submit_many(stook_executor *executor, const struct stook_submit_options *options,
                           stook_task_fn *fn, void *base, size_t count, size_t size,
                           stook_future *ret_futures[]);

struct stook_map_error {
    size_t index; /* of the first item, in input order, whose call failed */
    int code;     /* what the call returned */
};

/* Calls fn for each of count items of size bytes that start at base, in parallel, and waits for
 * all of them; what call i stores is in ret_values[i] (ret_values NULL: values are not wanted, and
 * fn should store none). Many items may share one task, so they should not wait for one another.
 *
 * If a call fails, items behind it that have not begun are left out, all items before it are still
 * done, and so ret_error (may be NULL) always names the first failure in input order. ret_values is
 * written in full also then: NULL for items that were left out.
 *
 * Returns: STOOK_OK; STOOK_TASK_FAILED; STOOK_INVALID (executor or fn NULL); STOOK_NOMEM,
 *          STOOK_SHUTDOWN, STOOK_FORKED (nothing was called, ret_values is untouched);
 *          STOOK_CANCELLED (the executor was shut down meanwhile with STOOK_CANCEL_PENDING; items
 *          not begun were left out), STOOK_BROKEN (the same: it broke); STOOK_DEADLOCK (in a
 *          callback: nothing was called; or items that had not begun could never end, and were
 *          left out). An item that runs and waits for the calling task is asked to stop, and
 *          waited for.
 * Threads: any. Blocks: until all is done; in a task it helps, as stook_future_wait_until(). */
STOOK_API STOOK_NODISCARD enum stook_status
stook_executor_map(stook_executor *executor, stook_task_fn *fn, void *base, size_t count,
                   size_t size, void *ret_values[], struct stook_map_error *ret_error);

/* Closes the executor (from now on every submit answers STOOK_SHUTDOWN, also in its own tasks),
 * then waits until all tasks are terminal and all its threads have ended. With a deadline that has
 * passed already it closes and does not wait. Idempotent; several threads may call it; a later
 * STOOK_CANCEL_PENDING cancels what an earlier STOOK_DRAIN would still run.
 *
 * Returns: STOOK_OK        closed, every future terminal, no thread left.
 *          STOOK_TIMEOUT   closed, but tasks still run; call again to wait more.
 *          STOOK_DEADLOCK  called in one of the executor's own tasks, or in a callback; nothing was
 *                          changed.
 *          STOOK_INVALID   executor NULL or mode unknown. STOOK_FORKED.
 * Threads: any. Blocks: until the deadline. */
STOOK_API STOOK_NODISCARD enum stook_status stook_executor_shutdown(stook_executor *executor,
                                                                    enum stook_shutdown_mode mode,
                                                                    int64_t deadline_ns);

/* Shuts down with STOOK_DRAIN if that has not been done, waits for ever, and frees the executor.
 * Futures stay valid until they are released; clients, scopes, tokens and streams must have gone
 * before.
 * NULL is allowed. Called in one of its own tasks it aborts with a message, as on a dead executor
 * (built with -Dchecks=false: undefined). Threads: any, once, with no other call under way. */
STOOK_API void stook_executor_destroy(stook_executor *executor);

STOOK_END_DECLS

#endif
