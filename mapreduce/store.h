/* SPDX-License-Identifier: MIT
 *
 * Where tasks emit to: segments, leased from a store (store.c); and what becomes of them when
 * memory ends (overflow.c).
 */
#ifndef MR_STORE_H
#define MR_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <stook/mapreduce.h>
#include <threads.h>
#include "context.h"
#include "control.h"
#include "list.h"
#include "mr_platform.h"
#include "scatter.h"
#include "table.h"

/* Sorted, in files. */
struct mr__runs { /* all zero: none */
    struct mr__run *all;
    size_t count;
    size_t capacity;
};

enum { MR_PENDING = 64 }; /* pairs that are added together */

/* What one task at a time emits into; leased, so that there are only as many as tasks ran at once.
 * A task that waits keeps its lease, and one that begins meanwhile gets another. */
struct mr__segment {
    struct mr__segment *next;      /* in all */
    struct mr__segment *next_free; /* in free */
    uint32_t rank;                 /* whose pairs it has */
    struct mr__budget *budget;
    struct mr__table *tables; /* one for each partition; NULL: a segment for lists */
    struct mr__list list;     /* of a map phase without tables */
    struct mr__scatter scatter;
    struct mr__file *file;     /* the context's; NULL: nothing has been spilled */
    struct mr__runs *runs;     /* what has: for each partition; NULL: none */
    struct mr__runs list_runs; /* the same of the list */
    struct mr__pending pending[MR_PENDING];
    unsigned pending_count;
    bool has_keyed; /* a table with a hash of its own, perhaps: pairs that are pending have not */
    uint64_t pairs; /* emitted */
    char *buffer;   /* for reading texts */
    size_t buffer_size;
    _Atomic(uint64_t) done; /* progress; written by the leaseholder, read by the reporter */
};

struct mr__store {
    struct mr__context *context; /* a reference */
    mtx_t mutex;                 /* guards the lists, not the segments */
    struct mr__segment *all;
    struct mr__segment *free;
    uint32_t partitions; /* 0: segments have no tables */
    uint64_t moved_done; /* progress of the segments that were moved away */
};

bool mr__store_init(struct mr__store *store, struct mr__context *context, uint32_t partitions);
void mr__store_fini(struct mr__store *store);

/* A free segment of that rank or a new one; NULL without memory. */
struct mr__segment *mr__store_lease(struct mr__store *store, uint32_t rank);
void mr__store_return(struct mr__store *store, struct mr__segment *segment);

/* Has any been leased? */
bool mr__store_is_used(struct mr__store *store);

/* Has any segment spilled its tables? None is leased. */
bool mr__store_has_runs(const struct mr__store *store);

/* Moves all segments, none of which is leased, to a store that is fresh from init. What they have
 * done still counts in `from`, which may be asked meanwhile. */
void mr__store_move(struct mr__store *to, struct mr__store *from);

/* The sum of all done counters; never falls. */
uint64_t mr__store_done(struct mr__store *store);

/* By the leaseholder only. */
static inline void mr__segment_progress(struct mr__segment *segment, uint64_t units)
{
    /* order MR.count rlx: a statistic with one writer */
    uint64_t done = mr_a_load_rlx(&segment->done);
    mr_a_store_rlx(&segment->done, done + units);
}

/* --- when memory ends ------------------------------------------------------------------------- */

/* Should it let go of its memory, because the job has too much? */
bool mr__segment_overflows(struct mr__context *context, const struct mr__segment *segment,
                           uint32_t partitions);
bool mr__list_overflows(struct mr__context *context, const struct mr__list *list);

/* False without memory. */
bool mr__runs_add(struct mr__runs *runs, const struct mr__run *run);
bool mr__runs_append(struct mr__runs *runs, const struct mr__runs *from);
void mr__runs_fini(struct mr__runs *runs);

/* Merges runs, which are sorted by key or, if by_pair, in the job's order, until they can be read at
 * once; or until the control (NULL is allowed) says stop. The segment's file takes them. Returns
 * STOOK_OK; STOOK_IO; STOOK_NOMEM: the error is filled. */
enum stook_status mr__runs_lessen(struct mr__context *context, const struct mr_job *job,
                                  struct mr__segment *segment, bool by_pair, struct mr__runs *runs,
                                  const struct mr__control *control, struct mr_error *ret_error);

/* Makes a run, sorted by key, of each table that is not empty, and empties the segment. Returns
 * STOOK_OK; STOOK_IO; STOOK_NOMEM: the error is filled. */
enum stook_status mr__segment_spill(struct mr__context *context, const struct mr_job *job,
                                    struct mr__segment *segment, uint32_t partitions,
                                    struct mr_error *ret_error);

/* Makes a run of a list, in the job's order, and empties it. Returns as above. */
enum stook_status mr__list_spill(struct mr__context *context, const struct mr_job *job,
                                 struct mr__segment *segment, struct mr__list *list,
                                 struct mr__runs *runs, struct mr_error *ret_error);

#endif
