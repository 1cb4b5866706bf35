/* SPDX-License-Identifier: MIT
 *
 * The input of a job: is the description sound, how long is it, where is it cut; and the walk over
 * the items of an array. Texts are read in text.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mr_internal.h"

/* Automatic chunks: so many for each worker, evening out items of unequal length; for texts within
 * bounds that keep the cost of a task and its buffer small. */
enum { CHUNKS_PER_WORKER = 8, SMALLEST_TEXT_CHUNK = 1 << 16, LARGEST_TEXT_CHUNK = 1 << 18 };

struct mr_input mr_input_array(const void *items, size_t count, size_t item_size)
{
    struct mr_input input;

    memset(&input, 0, sizeof input);
    input.items = items;
    input.item_count = count;
    input.item_size = item_size;
    input.chunk = MR_CHUNK_AUTO;
    return input;
}

struct mr_input mr_input_text(const struct mr_source *sources, size_t count)
{
    static const struct mr_source none;
    struct mr_input input;

    memset(&input, 0, sizeof input);
    input.sources = sources ? sources : &none;
    input.source_count = count;
    input.item_count = sources ? 0 : count; /* sources are missing: refused by mr__job_check() */
    input.delimiters = "\n";
    input.chunk = MR_CHUNK_AUTO;
    return input;
}

static enum stook_status invalid(struct mr_error *ret_error, const char *what)
{
    return mr__error_set(ret_error, STOOK_INVALID, MR_PHASE_NONE, 0, "%s", what);
}

bool mr_job_is_portable(const struct mr_job *job, char *why, size_t size)
{
    if (!job->keys) {
        return true;
    }
    if (why && size > 0) {
        snprintf(why, size,
                 "the job is not portable: its keys are compared by functions of its own");
    }
    return false;
}

enum stook_status mr__job_check(const struct mr_job *job, struct mr_error *ret_error)
{
    if (!job) {
        return invalid(ret_error, "job is NULL");
    }
    if (job->struct_size != sizeof *job) {
        return invalid(ret_error, "job.struct_size is not that of this version: use MR_JOB_INIT");
    }
    if (!job->map) {
        return invalid(ret_error, "job.map is NULL");
    }
    if (job->input.chunk == 0) {
        return invalid(ret_error, "job.input.chunk is 0: it must be at least 1 or MR_CHUNK_AUTO");
    }
    if (job->partitions > MR_MAX_PARTITIONS) {
        return invalid(ret_error, "job.partitions is more than MR_MAX_PARTITIONS");
    }
    if ((unsigned)job->order > MR_ORDER_PAIR) {
        return invalid(ret_error, "job.order is unknown");
    }
    if (job->order == MR_ORDER_PAIR && !job->compare) {
        return invalid(ret_error, "job.order is MR_ORDER_PAIR, but job.compare is NULL");
    }
    if (job->keys && (!job->keys->hash || !job->keys->compare)) {
        return invalid(ret_error, "job.keys lacks hash or compare");
    }
    char why[128];
    if (job->ranks > MR_MAX_RANKS) {
        return invalid(ret_error, "job.ranks is more than MR_MAX_RANKS");
    }
    if (job->ranks > 0 && !mr_job_is_portable(job, why, sizeof why)) {
        return invalid(ret_error, why);
    }
    if (job->memory_limit > 0 && job->memory_limit < MR_LEAST_MEMORY) {
        return invalid(ret_error, "job.memory_limit is less than MR_LEAST_MEMORY");
    }
    if (job->progress_period_ns < 0) {
        return invalid(ret_error, "job.progress_period_ns is negative");
    }
    if (job->input.sources && job->input.item_count > 0) {
        return invalid(ret_error, "job.input has texts, but sources is NULL");
    }
    if (job->input.sources && !job->input.delimiters) {
        return invalid(ret_error, "job.input.delimiters is NULL");
    }
    if (!job->input.sources && job->input.item_count > 0 &&
        (!job->input.items || job->input.item_size == 0)) {
        return invalid(ret_error, "job.input has items, but items is NULL or item_size is 0");
    }
    return STOOK_OK;
}

/* --- planning --------------------------------------------------------------------------------- */

static uint64_t chunk_of(const struct mr_input *input, uint64_t total, unsigned workers)
{
    if (input->chunk != MR_CHUNK_AUTO) {
        return input->chunk;
    }
    uint64_t chunk = total / ((uint64_t)workers * CHUNKS_PER_WORKER);
    if (!input->sources) {
        return chunk > 0 ? chunk : 1;
    }
    return chunk < SMALLEST_TEXT_CHUNK  ? SMALLEST_TEXT_CHUNK
           : chunk > LARGEST_TEXT_CHUNK ? LARGEST_TEXT_CHUNK
                                        : chunk;
}

static uint64_t splits_of(uint64_t size, uint64_t chunk)
{
    return size / chunk + (size % chunk != 0);
}

static struct mr__split *cut(struct mr__split *at, size_t source, uint64_t size, uint64_t chunk)
{
    for (uint64_t begin = 0; begin < size; begin += at++->end - begin) {
        *at = (struct mr__split){
            .source = source,
            .begin = begin,
            .end = chunk < size - begin ? begin + chunk : size,
        };
    }
    return at;
}

static enum stook_status measure(struct mr__plan *plan, const struct mr_input *input,
                                 struct mr_error *ret_error)
{
    if (!input->sources) {
        plan->total = input->item_count;
        return STOOK_OK;
    }
    plan->sizes = calloc(input->source_count + 1, sizeof *plan->sizes);
    if (!plan->sizes) {
        return mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_NONE);
    }
    for (size_t i = 0; i < input->source_count; i++) {
        enum stook_status status = mr__text_size(&input->sources[i], i, &plan->sizes[i], ret_error);
        if (status != STOOK_OK) {
            return status;
        }
        plan->total += plan->sizes[i];
    }
    return STOOK_OK;
}

enum stook_status mr__plan_make(struct mr__plan *plan, const struct mr_input *input,
                                unsigned workers, struct mr_error *ret_error)
{
    *plan = (struct mr__plan){0};
    enum stook_status status = measure(plan, input, ret_error);
    if (status != STOOK_OK) {
        mr__plan_fini(plan);
        return status;
    }
    size_t sources = input->sources ? input->source_count : 1;
    const uint64_t *sizes = input->sources ? plan->sizes : &plan->total;
    uint64_t chunk = chunk_of(input, plan->total, workers);
    uint64_t count = 0;

    for (size_t i = 0; i < sources; i++) {
        count += splits_of(sizes[i], chunk);
    }
    if (count < SIZE_MAX / sizeof *plan->splits) {
        plan->splits = malloc((size_t)(count + 1) * sizeof *plan->splits);
    }
    if (!plan->splits) {
        mr__plan_fini(plan);
        return mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_NONE);
    }
    struct mr__split *at = plan->splits;
    for (size_t i = 0; i < sources; i++) {
        at = cut(at, i, sizes[i], chunk);
    }
    plan->count = (size_t)count;
    return STOOK_OK;
}

void mr__plan_fini(struct mr__plan *plan)
{
    free(plan->splits);
    free(plan->sizes);
    *plan = (struct mr__plan){0};
}

/* --- walking ---------------------------------------------------------------------------------- */

void mr__map_split(const struct mr__plan *plan, const struct mr__split *split, mr_emitter *out)
{
    const struct mr_input *input = &out->job->input;

    if (input->sources) {
        mr__map_text(plan, split, out);
        return;
    }
    for (uint64_t i = split->begin; i < split->end; i++) {
        const char *data = (const char *)input->items + i * input->item_size;
        struct mr_item item = {.data = mr_slice_of(data, input->item_size), .index = i};
        if (!mr__map_item(out, &item)) {
            return;
        }
        mr__segment_progress(out->segment, 1);
    }
}
