/* SPDX-License-Identifier: MIT
 *
 * Merged runs, read key by key, and each key value by value: so a list of values may be longer than
 * memory.
 */
#ifndef MR_GROUP_H
#define MR_GROUP_H

#include <stdbool.h>
#include "merge.h"

struct mr__group {
    struct mr__merge merge;
    struct mr_pair pair; /* if is_ahead: the next one, which is not yet given */
    bool is_ahead;
    void *key; /* of the group: a copy */
    size_t key_size;
    size_t key_room;
    uint64_t pairs; /* read so far */
};

/* As mr__merge_begin(), for runs that are sorted by key. */
bool mr__group_begin(struct mr__group *group, const struct mr_job *job, struct mr__budget *budget,
                     const struct mr__run runs[], size_t count);

/* Goes on to the next key, over what is left of the one before; valid until the next call. False:
 * there is none, or see merge.status. */
bool mr__group_next_key(struct mr__group *group, struct mr_slice *ret_key);

/* The next value of the key, valid until the next call; false: no more, or see merge.status. */
bool mr__group_next(struct mr__group *group, struct mr_slice *ret_value);

void mr__group_end(struct mr__group *group);

#endif
