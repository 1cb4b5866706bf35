/* SPDX-License-Identifier: MIT
 *
 * The job in one thread: map everything into one list, sort it by key, reduce each run of equal
 * keys. It shares the reading of input and the list with the parallel form, but neither tables, nor
 * partitions, nor tasks: that is what it is an oracle for.
 */
#include <stdlib.h>
#include "mr_internal.h"

struct sequential {
    struct mr_job job;
    struct mr__control control;
    struct mr__context *context;
    struct mr__store store;
    struct mr__plan plan;
    struct mr__segment *segment;
    struct mr__list mapped;
    struct mr__list *reduced;  /* one */
    struct mr__entry *entries; /* of mapped, by key */
    size_t entries_size;
};

static enum stook_status map_all(struct sequential *run, struct mr_error *ret_error)
{
    mr_emitter out = {.job = &run->job,
                      .control = &run->control,
                      .context = run->context,
                      .segment = run->segment,
                      .list = &run->mapped,
                      .phase = MR_PHASE_MAP};
    struct mr__feed *feed = NULL;

    if (run->plan.is_fed) {
        enum stook_status status =
            mr__feed_create(&feed, NULL, &run->job, &run->plan, &run->control,
                            &run->context->budget, &out, ret_error);
        if (status != STOOK_OK) {
            return status;
        }
    }
    for (size_t i = 0; i < run->plan.count && !mr_emitter_stopped(&out); i++) {
        const struct mr__split *split = &run->plan.splits[i];
        if (split->way == MR_WAY_RANGE) {
            mr__map_range(&run->plan, split, &out);
        } else {
            mr__feed_run(feed, split);
        }
    }
    mr__feed_destroy(feed);
    return mr__control_outcome(&run->control, ret_error);
}

static enum stook_status sort_mapped(struct sequential *run)
{
    struct mr_job by_key = run->job;
    const struct mr__order order = {.pair_of = mr__packed_pair, .job = &by_key};
    struct mr__list_walk walk = {.chunk = run->mapped.first};
    size_t count = (size_t)run->mapped.count;

    by_key.order = MR_ORDER_KEY;
    run->entries_size = (count + 1) * sizeof *run->entries;
    run->entries = mr__allocate(&run->context->budget, run->entries_size);
    if (!run->entries) {
        return STOOK_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        run->entries[i].at = mr__list_next(&walk);
    }
    return mr__order_sort(&order, NULL, run->entries, count, count);
}

static bool has_key_of(const struct sequential *run, const struct mr__entry *a,
                       const struct mr__entry *b)
{
    struct mr_slice x = mr__packed_pair(a->at).key;
    struct mr_slice y = mr__packed_pair(b->at).key;
    return (run->job.keys ? run->job.keys->compare(x, y, run->job.user) : mr_slice_compare(x, y)) ==
           0;
}

/* Without a reducer: emits the values, or what the combiner makes of them. */
static int keep(struct sequential *run, const struct mr__entry *first, const struct mr__entry *end,
                mr_emitter *out)
{
    struct mr_pair pair = mr__packed_pair(first->at);

    if (!run->job.combine) {
        for (; first < end; first++) {
            pair = mr__packed_pair(first->at);
            mr_emit(out, pair.key, pair.value);
        }
        return out->status;
    }
    uint64_t *accumulator = malloc(pair.value.size + 8); /* aligned */
    if (!accumulator) {
        mr__emitter_fail_plain(out, STOOK_NOMEM);
        return STOOK_NOMEM;
    }
    memcpy(accumulator, pair.value.size > 0 ? pair.value.data : "", pair.value.size);
    int code = 0;
    for (const struct mr__entry *at = first + 1; at < end && code == 0; at++) {
        code = run->job.combine(pair.key, accumulator, pair.value.size,
                                mr__packed_pair(at->at).value, run->job.user);
    }
    if (code != 0) {
        mr__emitter_fail(out, "combine", code, &pair.key);
    } else {
        mr_emit(out, pair.key, mr_slice_of(accumulator, pair.value.size));
    }
    free(accumulator);
    return out->status;
}

static void reduce_all(struct sequential *run)
{
    const struct mr__entry *end = run->entries + run->mapped.count;
    mr_emitter out = {.job = &run->job,
                      .control = &run->control,
                      .context = run->context,
                      .segment = run->segment,
                      .list = run->reduced,
                      .phase = MR_PHASE_REDUCE};

    for (const struct mr__entry *first = run->entries; first < end;) {
        const struct mr__entry *next = first;
        struct mr_slice key = mr__packed_pair(first->at).key;
        while (next < end && has_key_of(run, first, next)) {
            next++;
        }
        mr_values values = {.next = first, .end = next};
        int code = run->job.reduce ? run->job.reduce(key, &values, &out, run->job.user)
                                   : keep(run, first, next, &out);
        if (code != 0 && out.status == STOOK_OK) {
            mr__emitter_fail(&out, "reduce", code, &key);
        }
        if (out.status != STOOK_OK) {
            return;
        }
        first = next;
    }
}

static enum stook_status run_all(struct sequential *run, mr_result **ret_result,
                                 struct mr_error *ret_error)
{
    struct mr__result_source source = {
        .context = run->context, .job = &run->job, .lists = &run->reduced, .list_count = 1};

    /* as few splits as there are sources; items one at a time */
    run->job.input.chunk = run->job.input.next || run->job.input.result ? 1 : SIZE_MAX - 1;
    enum stook_status status = mr__plan_make(&run->plan, &run->job.input, 1, ret_error);
    if (status != STOOK_OK) {
        return status;
    }
    run->segment = mr__store_lease(&run->store, 0);
    run->reduced = calloc(1, sizeof *run->reduced);
    if (!run->segment || !run->reduced) {
        return mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_NONE);
    }
    run->mapped.budget = run->reduced->budget = &run->context->budget;
    status = map_all(run, ret_error);
    if (status != STOOK_OK) {
        return status;
    }
    status = sort_mapped(run);
    if (status != STOOK_OK) {
        return mr__error_plain(ret_error, status, MR_PHASE_SHUFFLE);
    }
    reduce_all(run);
    status = mr__control_outcome(&run->control, ret_error);
    if (status != STOOK_OK) {
        return status;
    }
    status = mr__result_create(&source, NULL, ret_result, ret_error);
    return status;
}

enum stook_status mr_map_reduce_sequential(const struct mr_job *job, mr_result **ret_result,
                                           struct mr_error *ret_error)
{
    enum stook_status status = mr__job_check(job, ret_error);
    if (status != STOOK_OK) {
        return status;
    }
    if (!ret_result) {
        return mr__error_set(ret_error, STOOK_INVALID, MR_PHASE_NONE, 0, "ret_result is NULL");
    }
    struct sequential run = {.job = *job, .context = mr__context_create(NULL, job)};
    status = STOOK_NOMEM;
    bool has_control = run.context && mr__control_init(&run.control);
    bool has_store = has_control && mr__store_init(&run.store, run.context, 0);
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
        mr__deallocate(&run.context->budget, run.entries, run.entries_size);
        mr__list_fini(&run.mapped);
        mr__plan_fini(&run.plan);
        mr__store_fini(&run.store);
    } else {
        mr__error_plain(ret_error, status, MR_PHASE_NONE);
    }
    if (has_control) {
        mr__control_fini(&run.control);
    }
    mr__context_release(run.context);
    return status;
}
