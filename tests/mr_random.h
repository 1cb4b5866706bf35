/* SPDX-License-Identifier: MIT
 *
 * Random jobs with keys and values of all sizes, and a model of what they give: each item's pairs are
 * a function of its number, and the model sorts and folds them in the plainest way, without anything
 * of the library but comparison.
 */
#ifndef MR_RANDOM_H
#define MR_RANDOM_H

#include "mr_fuzz.h"

enum { MOST_EMITS = 4, MOST_BYTES = 3000, BAD_CODE = 9 };

enum values_kind { VALUES_ANY, VALUES_U64, VALUES_DIGEST };
enum reduce_kind { REDUCE_NONE, REDUCE_SUM, REDUCE_LIST };
enum fate { FATE_GOOD, FATE_TRIED_AGAIN, FATE_BAD };

struct spec {
    uint64_t seed;
    uint64_t key_count;
    bool has_long; /* some keys and values have thousands of bytes */
    bool has_keys; /* compared by functions of the job's own: shorter ones first */
    bool fails;    /* some items need all attempts */
    bool has_bad;  /* some fail always */
    enum values_kind values;
    enum reduce_kind reduce;
    uint32_t attempts;
    size_t items;
    _Atomic(uint32_t) *tries; /* of each item */
};

struct emission {
    struct mr_pair pair;
    unsigned char key[MOST_BYTES];
    uint64_t value[MOST_BYTES / 8];
};

/* --- what an item emits ------------------------------------------------------------------------ */

static inline size_t random_size(uint64_t hash, bool may_be_long)
{
    unsigned kind = (unsigned)(hash >> 20) % 16;
    return kind == 0                 ? 0
           : kind < 4 && may_be_long ? 1000 + (size_t)(hash >> 32) % (MOST_BYTES - 1000)
                                     : 1 + (size_t)(hash >> 32) % 40;
}

/* Long common prefixes, many NULs, and what tells it from others at its end. */
static inline struct mr_slice random_bytes(uint64_t hash, size_t size, void *buffer)
{
    unsigned char *bytes = buffer;
    const size_t tail = size < sizeof hash ? size : sizeof hash;

    memset(bytes, hash % 3 == 0 ? 0 : 0xfe, size);
    memcpy(bytes + size - tail, &hash, tail);
    return mr_slice_of(bytes, size);
}

static inline enum fate fate_of(const struct spec *spec, uint64_t item)
{
    uint64_t hash = mix(item ^ spec->seed ^ 77);
    return spec->has_bad && hash % 32 == 0 ? FATE_BAD
           : spec->fails && hash % 4 == 1  ? FATE_TRIED_AGAIN
                                           : FATE_GOOD;
}

/* Do all keys of the item have the same value? */
static inline bool has_one_value(const struct spec *spec, uint64_t item)
{
    return mix(item + spec->seed) % 4 == 0;
}

/* Returns how many. */
static inline unsigned emissions_of(const struct spec *spec, uint64_t item,
                                    struct emission emissions[MOST_EMITS])
{
    uint64_t hash = mix(item * 5 + spec->seed);
    unsigned count = (unsigned)(hash % (MOST_EMITS + 1));

    for (unsigned i = 0; i < count; i++) {
        struct emission *emission = &emissions[i];
        hash = mix(hash + i);
        const uint64_t key = mix(hash % spec->key_count ^ spec->seed);
        const uint64_t value = has_one_value(spec, item) ? mix(item) : mix(hash);
        size_t size = spec->values == VALUES_U64      ? 8
                      : spec->values == VALUES_DIGEST ? 16
                                                      : random_size(value, spec->has_long);
        emission->pair.key = random_bytes(key, random_size(key, spec->has_long), emission->key);
        emission->pair.value = random_bytes(value, size, emission->value);
    }
    return count;
}

/* --- the callbacks ----------------------------------------------------------------------------- */

static inline int random_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    struct spec *spec = user;
    struct emission emissions[MOST_EMITS];
    struct mr_slice keys[MOST_EMITS];
    uint64_t numbers[MOST_EMITS];
    const uint64_t number = slice_u64(item->data);
    unsigned count = emissions_of(spec, number, emissions);
    const uint32_t tries = atomic_fetch_add(&spec->tries[number], 1) + 1;
    const enum fate fate = fate_of(spec, number);
    const bool is_last = fate == FATE_GOOD || (fate == FATE_TRIED_AGAIN && tries == spec->attempts);

    for (unsigned i = 0; i < count; i++) {
        keys[i] = emissions[i].pair.key;
        numbers[i] = spec->values == VALUES_U64 ? slice_u64(emissions[i].pair.value) : 0;
    }
    if (!is_last && tries % 2 == 0) {
        count = (count + 1) / 2;
    }
    if (count > 0 && has_one_value(spec, number)) {
        if (mr_emit_keys(out, keys, count, emissions[0].pair.value) != STOOK_OK) {
            return 1;
        }
    } else if (spec->values == VALUES_U64 && number % 2 == 0) {
        if (mr_emit_keys_u64(out, keys, count, numbers) != STOOK_OK) {
            return 1;
        }
    } else {
        for (unsigned i = 0; i < count; i++) {
            if (mr_emit(out, keys[i], emissions[i].pair.value) != STOOK_OK) {
                return 1;
            }
        }
    }
    return is_last ? 0 : BAD_CODE;
}

/* What a value, combined or not, adds to the sum of its key. */
static inline struct digest share_of(const struct spec *spec, struct mr_slice value)
{
    struct digest share = {1, 0};

    if (spec->values == VALUES_ANY) {
        share.sum = slice_digest(value);
    } else if (spec->values == VALUES_U64) {
        share = (struct digest){slice_u64(value), 0};
    } else {
        MUST(value.size == sizeof share);
        memcpy(&share, value.data, sizeof share);
    }
    return share;
}

static inline int random_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    const struct spec *spec = user;
    struct digest sum = {0, 0};
    struct mr_slice value;

    while (mr_values_next(values, &value)) {
        MUST(is_aligned(value));
        const struct digest share = share_of(spec, value);
        sum.count += share.count;
        sum.sum += share.sum;
        if (spec->reduce == REDUCE_LIST) {
            /* some of them also under a key that other reducers may emit */
            const struct mr_slice begin = mr_slice_of(key.data, key.size > 0);
            if (mr_emit(out, key, value) != STOOK_OK ||
                (slice_digest(key) % 4 == 0 && mr_emit(out, begin, value) != STOOK_OK)) {
                return 1;
            }
        }
    }
    return spec->reduce == REDUCE_SUM ? (int)mr_emit(out, key, mr_slice_of(&sum, sizeof sum)) : 0;
}

static inline uint64_t length_hash(struct mr_slice key, void *user)
{
    (void)user;
    return mix(slice_digest(key) % 1000); /* also equal ones */
}

static inline int length_compare(struct mr_slice a, struct mr_slice b, void *user)
{
    (void)user;
    return a.size != b.size ? (a.size > b.size) - (a.size < b.size) : slice_compare(a, b);
}

static inline int longest_value_first(const struct mr_pair *a, const struct mr_pair *b, void *user)
{
    (void)user;
    return (a->value.size < b->value.size) - (a->value.size > b->value.size);
}

static inline uint32_t first_byte_partition(struct mr_slice key, uint32_t partitions, void *user)
{
    (void)user;
    return key.size > 0 ? *(const unsigned char *)key.data % partitions : 0;
}

/* --- the model --------------------------------------------------------------------------------- */

struct bag {
    struct model_pair {
        struct mr_pair pair;
        const struct mr_job *job;
    } * all;
    size_t count;
    size_t capacity;
    uint64_t bytes;
};

static inline void bag_add(struct bag *bag, const struct mr_job *job, struct mr_slice key,
                           struct mr_slice value)
{
    if (bag->count == bag->capacity) {
        bag->capacity = bag->capacity * 2 + 64;
        bag->all = realloc(bag->all, bag->capacity * sizeof *bag->all);
        MUST(bag->all != NULL);
    }
    unsigned char *copy = must_alloc(key.size + value.size);
    struct mr_pair pair;
    pair.key = append(&copy, key);
    pair.value = append(&copy, value);
    bag->all[bag->count++] = (struct model_pair){pair, job};
    bag->bytes += key.size + value.size;
}

static inline void bag_free(struct bag *bag)
{
    for (size_t i = 0; i < bag->count; i++) {
        free((void *)(uintptr_t)bag->all[i].pair.key.data);
    }
    free(bag->all);
    *bag = (struct bag){0};
}

static inline int by_bytes(const void *a, const void *b)
{
    return pair_compare(&((const struct model_pair *)a)->pair,
                        &((const struct model_pair *)b)->pair);
}

static inline int by_order(const void *left, const void *right)
{
    const struct model_pair *a = left;
    const struct model_pair *b = right;
    int order = 0;

    if (a->job->order == MR_ORDER_PAIR) {
        order = a->job->compare(&a->pair, &b->pair, NULL);
    }
    if (order == 0 && a->job->keys != NULL) {
        order = length_compare(a->pair.key, b->pair.key, NULL);
    }
    return order != 0 ? order : pair_compare(&a->pair, &b->pair);
}

#endif
