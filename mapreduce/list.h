/* SPDX-License-Identifier: MIT
 *
 * Pairs that are kept as they come: packed one after the other into chunks. One thread at a time.
 */
#ifndef MR_LIST_H
#define MR_LIST_H

#include <stdbool.h>
#include <stdint.h>
#include <stook/mr_bytes.h>
#include "memory.h"

struct mr__list_chunk;

struct mr__list { /* all zero but budget: empty */
    struct mr__budget *budget;
    struct mr__list_chunk *first, *last;
    uint64_t count;
    uint64_t bytes; /* of memory */
};

/* Copies key and value. False without memory. */
bool mr__list_add(struct mr__list *list, struct mr_slice key, struct mr_slice value);

/* Empties it: it can be used again. */
void mr__list_fini(struct mr__list *list);

/* Where a walk stands; all zero but chunk = list->first: at the begin. */
struct mr__list_walk {
    const struct mr__list_chunk *chunk;
    size_t offset;
};

/* The next pair as it lies in its chunk; NULL: no more. */
const void *mr__list_next(struct mr__list_walk *walk);

/* How a pair is packed: its sizes, the value, the key, each padded to 8 bytes. */
enum { MR_PACKED_HEADER = 24 }; /* bytes that the sizes take, at most */

/* Writes the sizes; gives how many bytes they take. */
size_t mr__pack_header(char to[MR_PACKED_HEADER], size_t key_size, size_t value_size);

/* Of a packed pair of which the header is there, or all if it is shorter: bytes in all. */
size_t mr__packed_size(const void *packed);

/* The same where the bytes may be others than were packed: false if it is not within the `left`
 * bytes of which the header, or all if it is shorter, is at hand. */
bool mr__packed_fits(const void *packed, uint64_t left, size_t *ret_size);

/* Its key and value, which is aligned for 8-byte types. */
struct mr_pair mr__packed_pair(const void *packed);

#endif
