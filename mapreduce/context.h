/* SPDX-License-Identifier: MIT
 *
 * What all parts of a job share (context.c): memory, files, cancelling, statistics.
 */
#ifndef MR_CONTEXT_H
#define MR_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <stook/mapreduce.h>
#include <threads.h>
#include "memory.h"
#include "spill.h"

struct mr_batch;

struct mr__counter {
    const char *name;
    uint64_t amount;
};

struct mr__counters { /* all zero: none */
    struct mr__counter all[MR_MAX_COUNTERS];
    size_t count;
};

void mr__counters_add(struct mr__counters *counters, const char *name, uint64_t amount);

/* Kept by the references of batches, groups and results. */
struct mr__context {
    _Atomic(unsigned) refs;
    stook_executor *executor; /* constant; NULL: the sequential form */
    struct mr__budget budget;
    mtx_t mutex; /* guards the rest */
    struct mr__file *files;
    struct mr_batch *batches; /* that are under way */
    bool is_cancelled;
    struct mr_stats stats;
    struct mr__counters counters;
    struct mr_error bad_items[MR_BAD_SAMPLES];
};

/* NULL without memory or mutex. */
struct mr__context *mr__context_create(stook_executor *executor, const struct mr_job *job);

/* A new file, for one writer at a time, that lives as long as the context; NULL: the error is
 * filled. */
struct mr__file *mr__context_file(struct mr__context *context, const char *directory,
                                  struct mr_error *ret_error);
void mr__context_count_spill(struct mr__context *context, uint64_t bytes);

/* A batch is under way, until it is taken out again; cancels it if the context is cancelled. */
void mr__context_enter(struct mr__context *context, struct mr_batch *batch);
void mr__context_leave(struct mr__context *context, struct mr_batch *batch);

/* So many distinct keys has a partition. */
void mr__context_count_keys(struct mr__context *context, uint64_t keys);

/* What has been done so far. */
void mr__context_stats(struct mr__context *context, struct mr_stats *ret_stats);

/* The statistics of a phase; the mutex is held. */
struct mr_phase_stats *mr__context_phase(struct mr__context *context, enum mr_phase phase);

/* Cancels the batches that are under way, and those to come. */
void mr__context_cancel(struct mr__context *context);

/* An item could not be mapped. Keeps the error, unless it is one too many: then false. */
bool mr__context_tolerate(struct mr__context *context, const struct mr_job *job,
                          const struct mr_error *error);
struct mr__context *mr__context_retain(struct mr__context *context);
void mr__context_release(struct mr__context *context); /* NULL is allowed */

#endif
