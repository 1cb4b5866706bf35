/* SPDX-License-Identifier: MIT
 *
 * Bringing pairs into the order of a job, wherever they lie.
 */
#ifndef MR_ORDER_H
#define MR_ORDER_H

#include <stddef.h>
#include <stdint.h>
#include <stook/mapreduce.h>

/* A pair to be sorted. */
struct mr__entry {
    uint64_t prefix; /* the sort's own */
    const void *at;  /* for pair_of */
};

typedef struct mr_pair mr__pair_fn(const void *at);

struct mr__order {
    mr__pair_fn *pair_of;
    const struct mr_job *job; /* order, compare, keys, user */
};

/* Negative, 0 or positive, as a goes before b in the job's order, which is MR_ORDER_KEY if it has
 * none; 0 only for pairs that are the same. */
int mr__order_compare(const struct mr_job *job, const struct mr_pair *a, const struct mr_pair *b);

/* Sorts, so that the first `wanted` are right; executor NULL: in the calling thread, slowly.
 * Returns STOOK_OK; STOOK_NOMEM (only where the job's own function compares); as
 * stook_executor_run(). Blocks: until it is done. */
enum stook_status mr__order_sort(const struct mr__order *order, stook_executor *executor,
                                 struct mr__entry *entries, size_t count, size_t wanted);

#endif
