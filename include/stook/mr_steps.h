/* SPDX-License-Identifier: MIT
 *
 * The steps that mr_map_reduce() is made of, for those who want to do something between them, or to
 * poll the futures themselves:
 *
 *   mr_async_map -> mr_report_progress -> mr_shuffle -> mr_async_reduce -> mr_report_progress
 *                -> mr_batch_result
 *
 * Threads: one mr_batch or mr_groups belongs to one thread at a time, but for mr_batch_progress()
 * and mr_batch_cancel(), which may be called from any thread meanwhile. They must be destroyed
 * before the executor; a result may outlive it.
 */
#ifndef STOOK_MR_STEPS_H
#define STOOK_MR_STEPS_H

#include <stddef.h>
#include <stdint.h>
#include <stook/base.h>
#include <stook/executor.h>
#include <stook/mr_job.h>
#include <stook/mr_result.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

typedef struct mr_batch mr_batch;   /* the tasks of one phase and what they have emitted */
typedef struct mr_groups mr_groups; /* distinct keys, each with all its values */

/* Submits tasks that map the job's input, and returns. A batch that was created must be destroyed.
 * Returns: STOOK_OK; STOOK_INVALID, STOOK_IO (a source cannot be opened), STOOK_NOMEM,
 * STOOK_SHUTDOWN: then there is no batch, and ret_error (may be NULL) is filled.
 * Threads: any. Blocks: for opening the sources. */
STOOK_API STOOK_NODISCARD enum stook_status mr_async_map(stook_executor *executor,
                                                         const struct mr_job *job,
                                                         mr_batch **ret_batch,
                                                         struct mr_error *ret_error);

/* Waits until the batch has ended; meanwhile calls progress (NULL: just waits) in this thread, as
 * described at mr_map_reduce(). Returns as soon as the work is done, not at the next period.
 * tag: any string. period_ns: 0: MR_DEFAULT_PERIOD_NS.
 * Returns: STOOK_OK; STOOK_INVALID (batch NULL, progress without tag, period_ns negative); or how
 * the batch failed, as at mr_map_reduce(): then mr_batch_error() tells more.
 * Threads: the owner's. Blocks: until the batch has ended, as stook_future_wait_until() does. */
STOOK_API STOOK_NODISCARD enum stook_status mr_report_progress(mr_batch *batch, const char *tag,
                                                               mr_progress_fn *progress, void *user,
                                                               int64_t period_ns);

/* The batch's futures, for polling; array and references belong to the batch. Each stands for a
 * chunk of items. Threads: the owner's. Blocks: never. */
STOOK_API stook_future *const *mr_batch_futures(const mr_batch *batch, size_t *ret_count);

/* How far it is, in the units of mr_progress_fn. Threads: any. Blocks: for a short lock. */
STOOK_API void mr_batch_progress(mr_batch *batch, uint64_t *ret_done, uint64_t *ret_not_done);

/* Asks the batch to end: tasks that have not begun are cancelled, running ones stop at their next
 * item or emit. Idempotent. Threads: any. Blocks: for a short lock. */
STOOK_API void mr_batch_cancel(mr_batch *batch);

/* Why the batch failed; status STOOK_OK if it has not. Belongs to the batch. Call it when the
 * batch has ended. Threads: the owner's. Blocks: never. */
STOOK_API const struct mr_error *mr_batch_error(const mr_batch *batch);

/* Takes all that a map batch has emitted and brings equal keys together, each partition by one
 * task. The batch is left empty, and may be destroyed; the groups are the caller's to destroy.
 * Returns: STOOK_OK; STOOK_INVALID (a NULL, not a map batch, or one already taken); STOOK_NOMEM;
 * STOOK_SHUTDOWN; STOOK_TASK_FAILED (combine); or how the batch failed. Then ret_error (may be
 * NULL) is filled. Threads: the owner's. Blocks: until the batch and the shuffle have ended. */
STOOK_API STOOK_NODISCARD enum stook_status mr_shuffle(stook_executor *executor, mr_batch *batch,
                                                       mr_groups **ret_groups,
                                                       struct mr_error *ret_error);

/* The number of distinct keys. Threads: any. Blocks: never. */
STOOK_API uint64_t mr_groups_count(const mr_groups *groups);

/* NULL is allowed. Threads: the owner's. Blocks: never. */
STOOK_API void mr_groups_destroy(mr_groups *groups);

/* Submits tasks that reduce each key of groups by the job's reducer, and returns. groups must live
 * until the batch has ended, and may be reduced several times. Returns, frees and fills as
 * mr_async_map(). Threads: any. Blocks: never, but as stook_executor_submit(). */
STOOK_API STOOK_NODISCARD enum stook_status mr_async_reduce(stook_executor *executor,
                                                            mr_groups *groups, mr_batch **ret_batch,
                                                            struct mr_error *ret_error);

/* Takes the pairs that a reduce batch has emitted, in the job's order; the result is the caller's
 * to destroy, and outlives batch and groups. Returns: STOOK_OK; how the batch failed;
 * STOOK_INVALID (a NULL, not a reduce batch, or one already taken); STOOK_NOMEM.
 * Threads: the owner's. Blocks: until the batch has ended. */
STOOK_API STOOK_NODISCARD enum stook_status mr_batch_result(mr_batch *batch,
                                                            mr_result **ret_result);

/* Cancels what has not begun, waits for what runs, and frees all. NULL is allowed.
 * Threads: the owner's. Blocks: until its tasks have ended. */
STOOK_API void mr_batch_destroy(mr_batch *batch);

STOOK_END_DECLS

#endif
