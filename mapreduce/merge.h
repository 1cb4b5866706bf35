/* SPDX-License-Identifier: MIT
 *
 * Many sorted runs read as one.
 */
#ifndef MR_MERGE_H
#define MR_MERGE_H

#include <stdbool.h>
#include "spill.h"

struct mr__head;

struct mr__merge {
    const struct mr_job *job;
    struct mr__budget *budget;
    bool by_pair;           /* in the job's order; else by key */
    struct mr__head *heads; /* one for each run */
    struct mr__head **heap; /* those that have more, the least first */
    size_t heap_size;
    size_t count;
    bool is_given; /* the least one's pair: it moves on before the next is given */
    enum stook_status status;
    int code; /* errno for STOOK_IO */
};

/* Begins with the first pairs of `count` runs, each read through a buffer of so many bytes. runs
 * must live as long. False: see status; then, too, it must be ended. */
bool mr__merge_begin(struct mr__merge *merge, const struct mr_job *job, struct mr__budget *budget,
                     bool by_pair, const struct mr__run runs[], size_t count, size_t buffer);

/* The next pair, valid until the next call; false: there is none, or see status. */
bool mr__merge_next(struct mr__merge *merge, struct mr_pair *ret_pair);

/* Frees all; all zero is allowed. */
void mr__merge_end(struct mr__merge *merge);

/* Of the buffers for so many runs, that they fit into what the job may use. */
size_t mr__merge_buffer(const struct mr__budget *budget, size_t count);

/* So many runs may be merged at once. */
size_t mr__merge_most(const struct mr__budget *budget);

/* Have two keys the same group? */
bool mr__is_same_key(const struct mr_job *job, struct mr_slice a, struct mr_slice b);

#endif
