/* SPDX-License-Identifier: MIT
 *
 * Partition first: where keys hardly repeat, a segment does not look each of them up, but keeps
 * pairs as they come, by partition, until the shuffle puts them into one table.
 */
#ifndef MR_SCATTER_H
#define MR_SCATTER_H

#include <stdbool.h>
#include <stdint.h>
#include "table.h"

struct mr__segment;
struct mr__scatter_chunk;

struct mr__scatter { /* all zero: has never begun */
    bool is_on;
    struct mr__scatter_chunk **chunks; /* of each partition; NULL: none */
    uint64_t keys;                     /* in tables, when it was last looked */
    uint64_t looked;                   /* pairs that were looked up since */
};

/* Adds pairs to the segment: keeps them, but looks some up, always the same keys: so it is known how
 * many repeat. Returns as mr__table_add_many(). */
enum stook_status mr__scatter_add(struct mr__segment *segment, struct mr__pending pending[],
                                  size_t count, struct mr__fold *fold);

/* At the end of a task: do keys repeat? Begins to keep pairs, or puts all that are kept into the
 * tables and ends that. Returns as above. */
enum stook_status mr__scatter_decide(struct mr__segment *segment, uint32_t partitions,
                                     struct mr__fold *fold);

/* Are pairs of the partition kept? */
bool mr__scatter_has(const struct mr__scatter *scatter, uint32_t partition);

/* Moves what is kept of a partition into the table. Returns as above. */
enum stook_status mr__scatter_gather(struct mr__scatter *scatter, uint32_t partition,
                                     struct mr__table *table, struct mr__fold *fold);

void mr__scatter_fini(struct mr__scatter *scatter, uint32_t partitions, struct mr__budget *budget);

#endif
