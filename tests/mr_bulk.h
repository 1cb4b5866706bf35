/* SPDX-License-Identifier: MIT
 *
 * Jobs that are too large for the least memory limit: item i emits the key i % keys, as big-endian
 * number and so many bytes, and a value of so many bytes that depends on i.
 */
#ifndef MR_BULK_H
#define MR_BULK_H

#include <dirent.h>
#include <unistd.h>
#include "mr_fuzz.h"

enum { BULK_SMALL = 2000 }; /* so much is emitted without an allocation */

struct bulk {
    struct mr_job job;
    uint32_t *items;
    uint32_t count;
    uint32_t keys;
    size_t key_size;   /* at least 4 */
    size_t value_size; /* at least 8 */
    struct gate *gate; /* passed by the item gate_at; NULL: none */
    uint32_t gate_at;
};

static inline int bulk_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    const struct bulk *bulk = user;
    uint32_t number;
    memcpy(&number, item->data.data, sizeof number);
    const uint32_t key_number = number % bulk->keys;
    const uint64_t value_number = bulk->value_size == 8 ? 1 : mix(number);
    unsigned char small[2][BULK_SMALL];
    const bool is_small = bulk->key_size <= BULK_SMALL && bulk->value_size <= BULK_SMALL;
    unsigned char *key = is_small ? small[0] : must_alloc(bulk->key_size);
    unsigned char *value = is_small ? small[1] : must_alloc(bulk->value_size);

    if (bulk->gate != NULL && number == bulk->gate_at) {
        gate_pass(bulk->gate);
    }
    memset(key, 'k', bulk->key_size);
    memset(value, 'v', bulk->value_size);
    for (unsigned i = 0; i < 4; i++) {
        key[bulk->key_size - 4 + i] = (unsigned char)(key_number >> (24 - 8 * i));
    }
    memcpy(value, &value_number, sizeof value_number);
    int status =
        mr_emit(out, mr_slice_of(key, bulk->key_size), mr_slice_of(value, bulk->value_size));
    if (!is_small) {
        free(key);
        free(value);
    }
    return status;
}

/* The number of the values, and a sum that depends on all. */
static inline int bulk_digest(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct digest sum = {0, 0};
    struct mr_slice value;
    (void)user;

    while (mr_values_next(values, &value)) {
        sum.count++;
        sum.sum += slice_digest(value);
    }
    return mr_emit(out, key, mr_slice_of(&sum, sizeof sum));
}

/* Ordered by key, under the least limit. To be freed by bulk_free(); not to be copied. */
static inline void bulk_init(struct bulk *ret, uint32_t count, uint32_t keys, size_t key_size,
                             size_t value_size)
{
    static const struct mr_job empty = MR_JOB_INIT;

    *ret = (struct bulk){
        .job = empty, .count = count, .keys = keys, .key_size = key_size, .value_size = value_size};
    ret->items = must_alloc(count * sizeof ret->items[0]);
    for (uint32_t i = 0; i < count; i++) {
        ret->items[i] = i;
    }
    ret->job.input = mr_input_array(ret->items, count, sizeof ret->items[0]);
    ret->job.map = bulk_map;
    ret->job.user = ret;
    ret->job.order = MR_ORDER_KEY;
    ret->job.partitions = 4;
    ret->job.memory_limit = MR_LEAST_MEMORY;
}

static inline void bulk_free(struct bulk *bulk)
{
    free(bulk->items);
}

/* Runs it, and requires that it spills if it has a limit. */
static inline mr_result *bulk_run(stook_executor *executor, const struct bulk *bulk,
                                  struct mr_stats *ret_stats)
{
    struct mr_error error;
    struct mr_stats stats;
    mr_run *run = NULL;

    MUST(mr_submit(executor, &bulk->job, &run, NULL) == STOOK_OK);
    if (mr_run_wait(run, STOOK_FOREVER, &error) != STOOK_OK) {
        die("job failed", error.message);
    }
    mr_run_stats(run, &stats);
    mr_result *result = mr_run_take_result(run);
    mr_run_release(run);
    MUST((stats.spills > 0) == (bulk->job.memory_limit > 0));
    if (ret_stats != NULL) {
        *ret_stats = stats;
    }
    return result;
}

/* The number of files in a directory. */
static inline unsigned count_files(const char *path)
{
    DIR *directory = opendir(path);
    unsigned count = 0;

    MUST(directory != NULL);
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        count += entry->d_name[0] != '.';
    }
    closedir(directory);
    return count;
}

#endif
