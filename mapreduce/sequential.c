/* SPDX-License-Identifier: MIT
 *
 * The job in one thread: map everything into one list, sort it by key, reduce each run of equal
 * keys. It shares the reading of input and the list with the parallel form, but neither tables, nor
 * partitions, nor the combiner, nor tasks: that is what it is an oracle for.
 */
#include <stdlib.h>
#include "mr_internal.h"

struct sequential {
    struct mr_job job;
    struct mr__control control;
    struct mr__store store;
    struct mr__plan plan;
    struct mr__segment *segment;
    struct mr__list mapped;
    struct mr__list *reduced; /* one */
};

static bool has_key_of(const struct mr__output *a, const struct mr__output *b)
{
    return a->prefix == b->prefix && a->pair.key.size == b->pair.key.size &&
           (a->pair.key.size == 0 ||
            memcmp(a->pair.key.data, b->pair.key.data, a->pair.key.size) == 0);
}

static void map_all(struct sequential *run)
{
    mr_emitter out = {.job = &run->job,
                      .control = &run->control,
                      .segment = run->segment,
                      .list = &run->mapped,
                      .phase = MR_PHASE_MAP};

    for (size_t i = 0; i < run->plan.count && out.status == STOOK_OK; i++) {
        mr__map_split(&run->plan, &run->plan.splits[i], &out);
    }
}

static void reduce_all(struct sequential *run)
{
    const struct mr__output *end = run->mapped.outputs + run->mapped.count;
    mr_emitter out = {.job = &run->job,
                      .control = &run->control,
                      .segment = run->segment,
                      .list = run->reduced,
                      .phase = MR_PHASE_REDUCE};

    for (const struct mr__output *first = run->mapped.outputs; first < end;) {
        const struct mr__output *next = first;
        while (next < end && has_key_of(first, next)) {
            next++;
        }
        mr_values values = {.next = first, .end = next};
        int code = run->job.reduce(first->pair.key, &values, &out, run->job.user);
        if (code != 0 && out.status == STOOK_OK) {
            mr__emitter_fail(&out, "reduce", code, &first->pair.key);
        }
        if (out.status != STOOK_OK) {
            return;
        }
        first = next;
    }
    if (run->job.order == MR_ORDER_KEY) {
        mr__list_sort(run->reduced);
    }
}

static enum stook_status run_all(struct sequential *run, mr_result **ret_result,
                                 struct mr_error *ret_error)
{
    run->job.input.chunk = SIZE_MAX - 1; /* as few splits as there are sources */
    enum stook_status status = mr__plan_make(&run->plan, &run->job.input, 1, ret_error);
    if (status != STOOK_OK) {
        return status;
    }
    run->segment = mr__store_lease(&run->store);
    run->reduced = calloc(1, sizeof *run->reduced);
    if (!run->segment || !run->reduced) {
        return mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_NONE);
    }
    map_all(run);
    if (!mr__control_stopped(&run->control)) {
        mr__list_sort(&run->mapped);
        reduce_all(run);
    }
    status = mr__control_outcome(&run->control, ret_error);
    if (status != STOOK_OK) {
        return status;
    }
    *ret_result = mr__result_create(&run->store, &run->reduced, 1, run->job.order);
    return *ret_result ? STOOK_OK : mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_REDUCE);
}

enum stook_status mr_map_reduce_sequential(const struct mr_job *job, mr_result **ret_result,
                                           struct mr_error *ret_error)
{
    enum stook_status status = mr__job_check(job, ret_error);
    if (status != STOOK_OK) {
        return status;
    }
    if (!ret_result || !job->reduce) {
        return mr__error_set(ret_error, STOOK_INVALID, MR_PHASE_NONE, 0,
                             "job.reduce or ret_result is NULL");
    }
    struct sequential run = {.job = *job};
    status = STOOK_NOMEM;
    bool has_control = mr__control_init(&run.control);
    bool has_store = has_control && mr__store_init(&run.store, 0);
    if (has_store) {
        mr_result *result = NULL;
        status = run_all(&run, &result, ret_error);
        if (status == STOOK_OK) {
            *ret_result = result;
        }
        if (run.reduced) {
            mr__list_fini(run.reduced);
            free(run.reduced);
        }
        mr__list_fini(&run.mapped);
        mr__plan_fini(&run.plan);
        mr__store_fini(&run.store);
    } else {
        mr__error_plain(ret_error, status, MR_PHASE_NONE);
    }
    if (has_control) {
        mr__control_fini(&run.control);
    }
    return status;
}
