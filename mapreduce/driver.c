/* SPDX-License-Identifier: MIT
 *
 * A whole job: the only file that knows the order of the steps, which are public functions, so that a
 * user could write it.
 */
#include <stook/mapreduce.h>
#include "mr_internal.h"

/* Waits for one phase, telling how far it is; the error of a phase that failed is filled. */
static enum stook_status finish(mr_batch *batch, const char *tag, const struct mr_job *job,
                                struct mr_error *ret_error)
{
    enum stook_status status =
        mr_report_progress(batch, tag, job->progress, job->user, job->progress_period_ns);

    if (status != STOOK_OK && ret_error) {
        *ret_error = *mr_batch_error(batch);
    }
    return status;
}

static enum stook_status map_and_shuffle(stook_executor *executor, const struct mr_job *job,
                                         mr_groups **ret_groups, struct mr_error *ret_error)
{
    mr_batch *batch = NULL;
    enum stook_status status = mr_async_map(executor, job, &batch, ret_error);

    if (status == STOOK_OK) {
        status = finish(batch, "map", job, ret_error);
    }
    if (status == STOOK_OK) {
        status = mr_shuffle(executor, batch, ret_groups, ret_error);
    }
    mr_batch_destroy(batch);
    return status;
}

static enum stook_status reduce(stook_executor *executor, const struct mr_job *job,
                                const mr_groups *groups, mr_result **ret_result,
                                struct mr_error *ret_error)
{
    mr_batch *batch = NULL;
    enum stook_status status = mr_async_reduce(executor, groups, &batch, ret_error);

    if (status == STOOK_OK) {
        status = finish(batch, "reduce", job, ret_error);
    }
    if (status == STOOK_OK) {
        status = mr_batch_result(batch, ret_result);
        if (status != STOOK_OK) {
            mr__error_plain(ret_error, status, MR_PHASE_REDUCE);
        }
    }
    mr_batch_destroy(batch);
    return status;
}

enum stook_status mr_map_reduce(stook_executor *executor, const struct mr_job *job,
                                mr_result **ret_result, struct mr_error *ret_error)
{
    mr_groups *groups = NULL;

    if (!ret_result || !job || !job->reduce) {
        return mr__error_set(ret_error, STOOK_INVALID, MR_PHASE_NONE, 0,
                             "job, job.reduce or ret_result is NULL");
    }
    enum stook_status status = map_and_shuffle(executor, job, &groups, ret_error);
    if (status == STOOK_OK) {
        status = reduce(executor, job, groups, ret_result, ret_error);
    }
    mr_groups_destroy(groups);
    return status;
}
