/* SPDX-License-Identifier: MIT
 *
 * An executor: a fixed number of workers that run submitted tasks, stealing from one another.
 *
 *   stook_executor_create -> [submit | submit_many | map]... -> shutdown -> stook_executor_destroy
 *
 * A worker is a place in which one task runs at a time. A task that waits lends its place meanwhile
 * (see stook_future_wait_until), so there can be more threads than workers. When it goes on and every
 * place is taken, one task more than there are workers runs until one of them ends: a waiting task
 * is never held up by those that run meanwhile. Tasks that do not wait never overlap on one worker.
 *
 * Order: a worker takes the newest task that was submitted from tasks of its own (depth first);
 * others steal the oldest. Tasks from threads outside the pool are begun in the order in which
 * they came, but for those that a task waits for. Every now and then a worker takes an old or
 * outside task first, so that none starves.
 *
 * What may run at the same time on ONE executor:
 *
 *                    submit submit_many map worker_count | shutdown | destroy
 *   submit ... count |               yes                 |   yes    |   no
 *   shutdown         |                                   |   yes    |   no
 *
 * Executors are independent of one another; nothing is global. In a task every function may be
 * called on another executor; on the task's own, shutdown and destroy are refused.
 */
#ifndef STOOK_EXECUTOR_H
#define STOOK_EXECUTOR_H

#include <stddef.h>
#include <stdint.h>
#include <stook/base.h>
#include <stook/future.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

typedef struct stook_executor stook_executor;

/* A task. `*ret_value` is NULL on entry; what the task stores there, its future hands out.
 * Returns 0 for success; any other value makes the future FAILED and is kept in it, uninterpreted.
 * A task must not end its thread (thrd_exit, longjmp out of it). */
typedef int stook_task_fn(void *arg, void **ret_value);

#define STOOK_MAX_WORKERS 1024

struct stook_executor_options {
    size_t struct_size;      /* set by STOOK_EXECUTOR_OPTIONS_INIT */
    unsigned workers;        /* 1 .. STOOK_MAX_WORKERS; 0: as many as CPUs that this process may use
                                (its affinity mask; portable build: the CPUs online), at
                                least 1, at most STOOK_MAX_WORKERS */
    const char *name_prefix; /* threads are called "<prefix>-<n>", the prefix cut so that all of it
                                fits in 15 bytes; copied. NULL: "stook". Portable build: unused */
};

#define STOOK_EXECUTOR_OPTIONS_INIT                                                                \
    {                                                                                              \
        sizeof(struct stook_executor_options), 0, 0                                                \
    }

enum stook_shutdown_mode {
    STOOK_DRAIN = 0,         /* tasks that were accepted run to their end */
    STOOK_CANCEL_PENDING = 1 /* those that have not begun become CANCELLED; running ones end */
};

/* Starts an executor; options NULL: all defaults. All or nothing: on failure no thread is left.
 * The threads block all signals but those of their own faults, so that the process's handlers run
 * in its own threads.
 *
 * Returns: STOOK_OK; STOOK_INVALID (ret_executor NULL, struct_size unknown, too many workers);
 *          STOOK_NOMEM; STOOK_THREAD.
 * Threads: any. Blocks: for the creation of the threads. */
STOOK_API STOOK_NODISCARD enum stook_status
stook_executor_create(const struct stook_executor_options *options, stook_executor **ret_executor);

/* The number of workers, constant. */
STOOK_API unsigned stook_executor_worker_count(const stook_executor *executor);

/* Submits fn(arg). ret_future receives a reference that the caller must release; NULL: fire and
 * forget, and then a value that the task stores is lost, so it should store none.
 * arg is the caller's, and must live until the future is terminal.
 *
 * If it fails, fn is never called and there is no future. If it succeeds, the future reaches
 * exactly one terminal state, whatever happens to the executor.
 *
 * Returns: STOOK_OK; STOOK_INVALID (executor or fn NULL); STOOK_SHUTDOWN; STOOK_NOMEM.
 * Threads: any, in a task or not, also while shutdown runs. Blocks: for a short lock; for
 * the start of a thread, when a worker was lent and no spare thread is left. */
STOOK_API STOOK_NODISCARD enum stook_status stook_executor_submit(stook_executor *executor,
                                                                  stook_task_fn *fn, void *arg,
                                                                  stook_future **ret_future);

/* Submits fn(base), fn(base + size), ... fn(base + (count - 1) * size), all or none, and wakes the
 * pool once. size 0 gives every task the same argument. ret_futures: NULL, or room for count
 * references. count 0 does nothing. Otherwise as stook_executor_submit(). */
STOOK_API STOOK_NODISCARD enum stook_status
stook_executor_submit_many(stook_executor *executor, stook_task_fn *fn, void *base, size_t count,
                           size_t size, stook_future *ret_futures[]);

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
 *          STOOK_SHUTDOWN (nothing was called, ret_values is untouched); STOOK_CANCELLED (the
 *          executor was shut down meanwhile with STOOK_CANCEL_PENDING; items not begun were left
 *          out).
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
 *          STOOK_DEADLOCK  called in one of the executor's own tasks; nothing was changed.
 *          STOOK_INVALID   executor NULL or mode unknown.
 * Threads: any. Blocks: until the deadline. */
STOOK_API STOOK_NODISCARD enum stook_status stook_executor_shutdown(stook_executor *executor,
                                                                    enum stook_shutdown_mode mode,
                                                                    int64_t deadline_ns);

/* Shuts down with STOOK_DRAIN if that has not been done, waits for ever, and frees the executor.
 * Futures stay valid until they are released. NULL is allowed. Called in one of its own tasks it
 * aborts with a message (built with -Dchecks=false: undefined). Threads: any, once, with no other call under way. */
STOOK_API void stook_executor_destroy(stook_executor *executor);

STOOK_END_DECLS

#endif
