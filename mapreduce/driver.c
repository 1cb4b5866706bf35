/* SPDX-License-Identifier: MIT
 *
 * A whole job in one call.
 */
#include <stook/mapreduce.h>
#include "mr_internal.h"

enum stook_status mr_map_reduce(stook_executor *executor, const struct mr_job *job,
                                mr_result **ret_result, struct mr_error *ret_error)
{
    mr_run *run;

    if (!ret_result || !job) {
        return mr__error_set(ret_error, STOOK_INVALID, MR_PHASE_NONE, 0,
                             "job or ret_result is NULL");
    }
    enum stook_status status = mr_submit(executor, job, &run, ret_error);
    if (status != STOOK_OK) {
        return status;
    }
    status = mr_run_wait(run, STOOK_FOREVER, ret_error);
    if (status == STOOK_OK) {
        *ret_result = mr_run_take_result(run);
    }
    mr_run_release(run);
    return status;
}
