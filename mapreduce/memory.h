/* SPDX-License-Identifier: MIT
 *
 * The memory of a job, all of which is counted; and large blocks of it in huge pages.
 */
#ifndef MR_MEMORY_H
#define MR_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <threads.h>
#include "mr_platform.h"

struct mr__region;

struct mr__budget {
    uint64_t limit;     /* constant; bytes, 0: none */
    uint64_t secret[2]; /* constant; of the tables' own hashes */
    unsigned sharers;   /* constant; tasks that may use it at once */
    _Atomic(uint64_t) used;
    _Atomic(uint64_t) peak;
    mtx_t mutex; /* guards the rest */
    struct mr__region *regions;
    struct mr__region *spare; /* of which nothing is in use */
    unsigned spares;
};

/* False: there is no mutex to be had. */
bool mr__budget_init(struct mr__budget *budget, uint64_t limit, unsigned sharers);
void mr__budget_fini(struct mr__budget *budget);

static inline uint64_t mr__budget_used(struct mr__budget *budget)
{
    /* order MR.used rlx: a number */
    return mr_a_load_rlx(&budget->used);
}

static inline uint64_t mr__budget_peak(struct mr__budget *budget)
{
    /* order MR.most rlx: a number */
    return mr_a_load_rlx(&budget->peak);
}

/* Memory of which the job has `part` of `whole` in use, or more, and should let go of some. */
static inline bool mr__budget_is_tight(struct mr__budget *budget, unsigned part, unsigned whole)
{
    return budget->limit > 0 && mr__budget_used(budget) >= budget->limit / whole * part;
}

/* `size` bytes, aligned as by malloc, and all zero if they are at least MR_HUGE; NULL without
 * memory. Multiples of MR_LEAF, or from MR_HUGE on of that, waste nothing. The limit refuses
 * nothing: those who can let go of memory look at it. */
#define MR_HUGE ((size_t)1 << 21)
#define MR_LEAF ((size_t)1 << 15)
void *mr__allocate(struct mr__budget *budget, size_t size);

/* Makes a block of a multiple of MR_HUGE larger without touching what is in it; what is new is all
 * zero. NULL: it cannot be done that way, and nothing has changed. */
void *mr__extend(struct mr__budget *budget, void *memory, size_t size, size_t new_size);

/* Another block with the first `used` bytes of this one (NULL is allowed), which is given back;
 * NULL without memory, and nothing has changed. */
void *mr__reallocate(struct mr__budget *budget, void *memory, size_t size, size_t used,
                     size_t new_size);

/* What mr__allocate() gave for `size` bytes; NULL is allowed. */
void mr__deallocate(struct mr__budget *budget, void *memory, size_t size);

#endif
