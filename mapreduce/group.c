/* SPDX-License-Identifier: MIT
 *
 * A pair of the next key ends a group, and is kept for the next one.
 */
#include "group.h"
#include <stdlib.h>
#include <string.h>

bool mr__group_begin(struct mr__group *group, const struct mr_job *job, struct mr__budget *budget,
                     const struct mr__run runs[], size_t count)
{
    *group = (struct mr__group){.key = NULL};
    return mr__merge_begin(&group->merge, job, budget, false, runs, count,
                           mr__merge_buffer(budget, count));
}

void mr__group_end(struct mr__group *group)
{
    mr__merge_end(&group->merge);
    free(group->key);
    group->key = NULL;
}

static bool fetch(struct mr__group *group)
{
    if (!group->is_ahead && mr__merge_next(&group->merge, &group->pair)) {
        group->is_ahead = true;
        group->pairs++;
    }
    return group->is_ahead;
}

static bool keep_key(struct mr__group *group, struct mr_slice key)
{
    if (key.size > group->key_room || !group->key) {
        void *bigger = realloc(group->key, key.size + 64);
        if (!bigger) {
            group->merge.status = STOOK_NOMEM;
            return false;
        }
        group->key = bigger;
        group->key_room = key.size + 64;
    }
    if (key.size > 0) {
        memcpy(group->key, key.data, key.size);
    }
    group->key_size = key.size;
    return true;
}

bool mr__group_next_key(struct mr__group *group, struct mr_slice *ret_key)
{
    struct mr_slice value;

    while (group->key && mr__group_next(group, &value)) {
    }
    if (!fetch(group) || !keep_key(group, group->pair.key)) {
        return false;
    }
    *ret_key = mr_slice_of(group->key, group->key_size);
    return true;
}

bool mr__group_next(struct mr__group *group, struct mr_slice *ret_value)
{
    struct mr_slice key = mr_slice_of(group->key, group->key_size);

    if (!fetch(group) || !mr__is_same_key(group->merge.job, group->pair.key, key)) {
        return false;
    }
    *ret_value = group->pair.value;
    group->is_ahead = false;
    return true;
}
