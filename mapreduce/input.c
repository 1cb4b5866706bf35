/* SPDX-License-Identifier: MIT
 *
 * The input of a job: is the description sound, how long is it, where is it cut; and the walk over
 * the items of an array.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mr_internal.h"

/* Automatic chunks: so many for each worker, evening out items of unequal length; for texts within
 * bounds that keep the cost of a task and its buffer small. */
enum {
    CHUNKS_PER_WORKER = 8,
    SMALLEST_TEXT_CHUNK = 1 << 16,
    LARGEST_TEXT_CHUNK = 1 << 18,
    WINDOW_BYTES = 1 << 18, /* read at a time, where the size is not known */
    WINDOW_ITEMS = 256
};

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

struct mr_input mr_input_fixed(const struct mr_source *sources, size_t count, size_t record_size)
{
    struct mr_input input = mr_input_text(sources, count);

    input.records = MR_RECORDS_FIXED;
    input.record_size = record_size;
    return input;
}

struct mr_input mr_input_whole(const struct mr_source *sources, size_t count)
{
    struct mr_input input = mr_input_text(sources, count);

    input.records = MR_RECORDS_WHOLE;
    return input;
}

struct mr_input mr_input_iterator(mr_next_fn *next, void *user)
{
    struct mr_input input;

    memset(&input, 0, sizeof input);
    input.next = next;
    input.next_user = user;
    input.item_count = next ? 0 : 1; /* as above */
    input.chunk = MR_CHUNK_AUTO;
    return input;
}

struct mr_input mr_input_result(mr_result *result)
{
    struct mr_input input;

    memset(&input, 0, sizeof input);
    input.result = result;
    input.item_count = result ? 0 : 1; /* as above */
    input.chunk = MR_CHUNK_AUTO;
    return input;
}

/* --- is it sound? ----------------------------------------------------------------------------- */

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

static enum stook_status check_records(const struct mr_input *input, struct mr_error *ret_error)
{
    switch (input->records) {
    case MR_RECORDS_DELIMITED:
        return input->delimiters ? STOOK_OK : invalid(ret_error, "job.input.delimiters is NULL");
    case MR_RECORDS_FIXED:
        return input->record_size > 0
                   ? STOOK_OK
                   : invalid(ret_error, "job.input.record_size is 0: it must be at least 1");
    case MR_RECORDS_WHOLE:
        return STOOK_OK;
    case MR_RECORDS_SPLITTER:
        return input->splitter ? STOOK_OK : invalid(ret_error, "job.input.splitter is NULL");
    default:
        return invalid(ret_error, "job.input.records is unknown");
    }
}

static enum stook_status check_source(const struct mr_source *source, size_t index,
                                      struct mr_error *ret_error)
{
    if (!source->path && source->descriptor < 0) {
        return mr__error_set(ret_error, STOOK_INVALID, MR_PHASE_NONE, 0,
                             "job.input.sources[%zu].descriptor is negative", index);
    }
    if (!source->path && source->descriptor == 0 && !source->text.data && source->text.size > 0) {
        return mr__error_set(ret_error, STOOK_INVALID, MR_PHASE_NONE, 0,
                             "job.input.sources[%zu].text has a size, but its data is NULL", index);
    }
    return STOOK_OK;
}

static enum stook_status check_input(const struct mr_input *input, struct mr_error *ret_error)
{
    if (input->chunk == 0) {
        return invalid(ret_error, "job.input.chunk is 0: it must be at least 1 or MR_CHUNK_AUTO");
    }
    if (input->sources && input->item_count > 0 && !input->items) {
        return invalid(ret_error, "job.input has texts, but sources is NULL");
    }
    if ((input->item_count > 0) + !!input->sources + !!input->next + !!input->result > 1) {
        return invalid(ret_error, "job.input has more than one of items, sources, next and result");
    }
    if (input->item_count > 0 && (!input->items || input->item_size == 0)) {
        return invalid(ret_error, "job.input has items, but items is NULL or item_size is 0, and "
                                  "there is no next and no result");
    }
    if (!input->sources) {
        return STOOK_OK;
    }
    enum stook_status status = check_records(input, ret_error);
    for (size_t i = 0; status == STOOK_OK && i < input->source_count; i++) {
        status = check_source(&input->sources[i], i, ret_error);
    }
    return status;
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
    return check_input(&job->input, ret_error);
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

/* About as much, but whole records if these have a fixed size. */
static uint64_t whole_chunk(const struct mr_input *input, uint64_t chunk)
{
    if (!input->sources || input->records != MR_RECORDS_FIXED) {
        return chunk;
    }
    return chunk > input->record_size ? chunk - chunk % input->record_size : input->record_size;
}

static size_t window_of(const struct mr_input *input)
{
    if (input->chunk == MR_CHUNK_AUTO) {
        return input->sources ? (size_t)whole_chunk(input, WINDOW_BYTES) : WINDOW_ITEMS;
    }
    return (size_t)whole_chunk(input, input->chunk);
}

/* Must the source be taken by one task, from begin to end? */
static bool is_read(const struct mr_input *input, uint64_t size)
{
    return size == MR_SIZE_UNKNOWN || input->records == MR_RECORDS_WHOLE ||
           (input->records == MR_RECORDS_SPLITTER && size > 0);
}

static uint64_t splits_of(const struct mr_input *input, uint64_t size, uint64_t chunk)
{
    if (input->sources && is_read(input, size)) {
        return 1;
    }
    return size / chunk + (size % chunk != 0);
}

static struct mr__split *cut(struct mr__split *at, const struct mr_input *input, size_t source,
                             const struct mr__look *look, uint64_t chunk)
{
    uint64_t size = look->size;

    if (input->sources && is_read(input, size)) {
        *at = (struct mr__split){
            .way = MR_WAY_READ, .source = source, .end = size, .may_block = look->may_block};
        return at + 1;
    }
    for (uint64_t begin = 0; begin < size; begin += at++->end - begin) {
        *at = (struct mr__split){
            .way = MR_WAY_RANGE,
            .source = source,
            .begin = begin,
            .end = chunk < size - begin ? begin + chunk : size,
        };
    }
    return at;
}

/* Looks at a source. */
static enum stook_status measure_source(struct mr__plan *plan, const struct mr_input *input,
                                        size_t index, struct mr_error *ret_error)
{
    const struct mr_source *source = &input->sources[index];
    struct mr__look look;
    enum stook_status status =
        mr__source_look(source, index, input->keep_compressed, &look, ret_error);

    if (status != STOOK_OK) {
        return status;
    }
    plan->looks[index] = look;
    plan->total += look.size != MR_SIZE_UNKNOWN ? look.size : 0;
    plan->is_fed = plan->is_fed || is_read(input, look.size);
    plan->may_block = plan->may_block || look.may_block;
    if (look.size != MR_SIZE_UNKNOWN && input->records == MR_RECORDS_FIXED &&
        look.size % input->record_size != 0) {
        return mr__source_error(ret_error, STOOK_IO, source, index,
                                look.size - look.size % input->record_size,
                                "less than a record at the end of", 0, NULL);
    }
    return STOOK_OK;
}

static enum stook_status measure(struct mr__plan *plan, const struct mr_input *input,
                                 struct mr_error *ret_error)
{
    enum stook_status status = STOOK_OK;

    plan->looks = calloc(input->source_count + 1, sizeof *plan->looks);
    if (!plan->looks) {
        return mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_NONE);
    }
    for (size_t i = 0; status == STOOK_OK && i < input->source_count; i++) {
        status = measure_source(plan, input, i, ret_error);
    }
    return status;
}

static enum stook_status cut_all(struct mr__plan *plan, const struct mr_input *input,
                                 unsigned workers, struct mr_error *ret_error)
{
    size_t sources = input->sources ? input->source_count : 1;
    const struct mr__look items = {.size = plan->total};
    const struct mr__look *looks = input->sources ? plan->looks : &items;
    uint64_t chunk = whole_chunk(input, chunk_of(input, plan->total, workers));
    uint64_t count = 0;

    for (size_t i = 0; i < sources; i++) {
        count += splits_of(input, looks[i].size, chunk);
    }
    if (count < SIZE_MAX / sizeof *plan->splits) {
        plan->splits = malloc((size_t)(count + 1) * sizeof *plan->splits);
    }
    if (!plan->splits) {
        return mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_NONE);
    }
    struct mr__split *at = plan->splits;
    for (size_t i = 0; i < sources; i++) {
        at = cut(at, input, i, &looks[i], chunk);
    }
    plan->count = (size_t)count;
    return STOOK_OK;
}

/* One split for all that a callback or a result gives. */
static enum stook_status take_all(struct mr__plan *plan, const struct mr_input *input,
                                  struct mr_error *ret_error)
{
    plan->splits = malloc(sizeof *plan->splits);
    if (!plan->splits) {
        return mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_NONE);
    }
    plan->splits[0] = (struct mr__split){.way = MR_WAY_TAKE};
    plan->count = 1;
    plan->is_fed = true;
    if (input->result) {
        mr_result_rewind(input->result);
        plan->total = mr_result_count(input->result);
    }
    return STOOK_OK;
}

enum stook_status mr__plan_make(struct mr__plan *plan, const struct mr_input *input,
                                unsigned workers, struct mr_error *ret_error)
{
    enum stook_status status = STOOK_OK;

    *plan = (struct mr__plan){.window = window_of(input)};
    mr__cutter_init(&plan->cutter, input);
    if (input->next || input->result) {
        status = take_all(plan, input, ret_error);
    } else {
        plan->total = input->item_count;
        if (input->sources) {
            status = measure(plan, input, ret_error);
        }
        if (status == STOOK_OK) {
            status = cut_all(plan, input, workers, ret_error);
        }
    }
    if (status != STOOK_OK) {
        mr__plan_fini(plan);
    }
    return status;
}

void mr__plan_fini(struct mr__plan *plan)
{
    free(plan->splits);
    free(plan->looks);
    *plan = (struct mr__plan){0};
}

/* --- walking ---------------------------------------------------------------------------------- */

void mr__map_range(const struct mr__plan *plan, const struct mr__split *split, mr_emitter *out)
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
