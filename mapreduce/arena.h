/* SPDX-License-Identifier: MIT
 *
 * Memory that is given back all at once: keys and values of one table.
 * One thread at a time.
 */
#ifndef MR_ARENA_H
#define MR_ARENA_H

#include <stddef.h>
#include "memory.h"

struct mr__arena_chunk;

struct mr__arena { /* all zero but budget: empty */
    struct mr__budget *budget;
    struct mr__arena_chunk *chunks;
    unsigned char *next;
    size_t left;      /* bytes from next on */
    size_t next_size; /* of the next chunk */
    uint64_t bytes;   /* of memory */
};

/* `size` bytes aligned for 8-byte types; NULL without memory. */
void *mr__arena_alloc(struct mr__arena *arena, size_t size);

/* A copy of `size` bytes; data may be NULL when size is 0. Never NULL but without memory. */
void *mr__arena_copy(struct mr__arena *arena, const void *data, size_t size);

/* Takes over all that is in `from`, which is left empty; both have the same budget. */
void mr__arena_join(struct mr__arena *arena, struct mr__arena *from);

/* Empties it: it can be used again. */
void mr__arena_fini(struct mr__arena *arena);

#endif
