/* SPDX-License-Identifier: MIT
 *
 * What batch, groups and result of one job have in common, and keep together.
 */
#define _POSIX_C_SOURCE 200809L /* for clock_gettime() */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "mr_internal.h"

struct mr__context *mr__context_create(stook_executor *executor, const struct mr_job *job)
{
    struct mr__context *context = calloc(1, sizeof *context);

    if (!context) {
        return NULL;
    }
    atomic_init(&context->refs, 1);
    context->executor = executor;
    unsigned sharers = executor ? stook_executor_worker_count(executor) : 1;
    if (!mr__budget_init(&context->budget, job->memory_limit, sharers > 0 ? sharers : 1)) {
        free(context);
        return NULL;
    }
    if (mtx_init(&context->mutex, mtx_plain) != thrd_success) {
        mr__budget_fini(&context->budget);
        free(context);
        return NULL;
    }
    return context;
}

struct mr__context *mr__context_retain(struct mr__context *context)
{
    /* order MR.keep rlx: the caller has a reference */
    mr_a_add_rlx(&context->refs, 1);
    return context;
}

void mr__context_release(struct mr__context *context)
{
    /* order MR.leave acqrel -> MR.leave <- MR.leave: the last one sees what the others did */
    if (context && mr_a_sub_acqrel(&context->refs, 1) == 1) {
        while (context->files) {
            struct mr__file *file = context->files;
            context->files = file->next;
            mr__file_close(file);
        }
        mtx_destroy(&context->mutex);
        mr__budget_fini(&context->budget);
        free(context);
    }
}

struct mr__file *mr__context_file(struct mr__context *context, const char *directory,
                                  struct mr_error *ret_error)
{
    struct mr__file *file = mr__file_create(directory, ret_error);

    if (file) {
        mtx_lock(&context->mutex);
        file->next = context->files;
        context->files = file;
        mtx_unlock(&context->mutex);
    }
    return file;
}

void mr__context_count_spill(struct mr__context *context, uint64_t bytes)
{
    mtx_lock(&context->mutex);
    context->stats.spills++;
    context->stats.spilled_bytes += bytes;
    mtx_unlock(&context->mutex);
}

/* --- cancelling ------------------------------------------------------------------------------- */

void mr__context_enter(struct mr__context *context, struct mr_batch *batch)
{
    mtx_lock(&context->mutex);
    batch->next_active = context->batches;
    context->batches = batch;
    bool is_cancelled = context->is_cancelled;
    mtx_unlock(&context->mutex);
    if (is_cancelled) {
        mr_batch_cancel(batch);
    }
}

void mr__context_leave(struct mr__context *context, struct mr_batch *batch)
{
    mtx_lock(&context->mutex);
    for (struct mr_batch **link = &context->batches; *link; link = &(*link)->next_active) {
        if (*link == batch) {
            *link = batch->next_active;
            break;
        }
    }
    mtx_unlock(&context->mutex);
}

void mr__context_cancel(struct mr__context *context)
{
    mtx_lock(&context->mutex);
    context->is_cancelled = true;
    for (struct mr_batch *batch = context->batches; batch; batch = batch->next_active) {
        mr_batch_cancel(batch);
    }
    mtx_unlock(&context->mutex);
}

/* --- items that cannot be mapped -------------------------------------------------------------- */

bool mr__context_tolerate(struct mr__context *context, const struct mr_job *job,
                          const struct mr_error *error)
{
    mtx_lock(&context->mutex);
    uint64_t before = context->stats.bad_items;
    bool is_tolerated = before < job->most_bad_items;
    if (is_tolerated) {
        context->stats.bad_items++;
    }
    if (is_tolerated && before < MR_BAD_SAMPLES) {
        context->bad_items[before] = *error;
    }
    mtx_unlock(&context->mutex);
    return is_tolerated;
}

/* --- statistics ------------------------------------------------------------------------------- */

void mr__counters_add(struct mr__counters *counters, const char *name, uint64_t amount)
{
    size_t i = 0;

    while (i < counters->count && counters->all[i].name != name &&
           strcmp(counters->all[i].name, name) != 0) {
        i++;
    }
    if (i == counters->count) {
        if (i == MR_MAX_COUNTERS) {
            return;
        }
        counters->all[counters->count++] = (struct mr__counter){.name = name};
    }
    counters->all[i].amount += amount;
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

struct mr_phase_stats *mr__context_phase(struct mr__context *context, enum mr_phase phase)
{
    return phase == MR_PHASE_MAP      ? &context->stats.map
           : phase == MR_PHASE_REDUCE ? &context->stats.reduce
                                      : &context->stats.shuffle;
}

static uint64_t done_of(const struct mr__segment *segment)
{
    /* order MR.bytes rlx: as MR.count */
    return mr_a_load_rlx(&segment->done);
}

/* The keys of one partition. */
static void count_keys(struct mr_stats *stats, uint64_t keys)
{
    stats->distinct_keys += keys;
    if (keys > stats->largest_partition) {
        stats->largest_partition = keys;
    }
}

void mr__context_count_keys(struct mr__context *context, uint64_t keys)
{
    mtx_lock(&context->mutex);
    count_keys(&context->stats, keys);
    mtx_unlock(&context->mutex);
}

void mr__task_begin(mr_emitter *out)
{
    out->begun_ns = thread_cpu_ns();
    out->pairs_before = out->segment->pairs;
    out->done_before = done_of(out->segment);
}

void mr__task_end(mr_emitter *out)
{
    struct mr__context *context = out->context;
    uint64_t cpu_ns = thread_cpu_ns() - out->begun_ns;

    mtx_lock(&context->mutex);
    struct mr_phase_stats *phase = mr__context_phase(context, out->phase);
    phase->cpu_ns += cpu_ns;
    phase->tasks++;
    if (out->phase == MR_PHASE_MAP) {
        context->stats.items += out->items;
        context->stats.pairs += out->segment->pairs - out->pairs_before;
        context->stats.bytes +=
            out->job->input.sources ? done_of(out->segment) - out->done_before : 0;
    } else {
        count_keys(&context->stats, out->keys);
    }
    for (size_t i = 0; i < out->counters.count; i++) {
        mr__counters_add(&context->counters, out->counters.all[i].name,
                         out->counters.all[i].amount);
    }
    mtx_unlock(&context->mutex);
}

void mr__context_stats(struct mr__context *context, struct mr_stats *ret_stats)
{
    mtx_lock(&context->mutex);
    *ret_stats = context->stats;
    mtx_unlock(&context->mutex);
    ret_stats->peak_memory = mr__budget_peak(&context->budget);
}
