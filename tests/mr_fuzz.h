/* SPDX-License-Identifier: MIT
 *
 * Random jobs for the tests of MapReduce: mapper and reducer are functions of their arguments and
 * a seed, whose result depends on each item once and on no order of values. They emit 0 or more
 * pairs, keys of 0 to 23 arbitrary bytes, and also equal keys from several reducers.
 */
#ifndef MR_FUZZ_H
#define MR_FUZZ_H

#include "mr_support.h"

#define FUZZ_MISALIGNED 77
#define FUZZ_BAD_SIZE 78

struct digest {
    uint64_t count;
    uint64_t sum;
};

struct fuzz {
    uint64_t seed;
    unsigned max_emits;
    unsigned key_count;
    bool digests; /* values are digests, as a combiner needs them; else 0 to 16 bytes */
};

static inline uint64_t slice_digest(struct mr_slice slice)
{
    const unsigned char *bytes = slice.data;
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ slice.size;
    for (size_t i = 0; i < slice.size; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return mix(hash);
}

static inline bool is_aligned(struct mr_slice slice)
{
    return slice.size == 0 || ((uintptr_t)slice.data & 7) == 0;
}

static inline struct mr_slice fuzz_key(const struct fuzz *fuzz, uint64_t number, uint64_t buffer[3])
{
    uint64_t hash = mix(number * 3 + fuzz->seed);
    for (size_t i = 0; i < 3; i++) {
        /* Many zero bytes, and many common prefixes. */
        buffer[i] = mix(hash + i) & UINT64_C(0x81000100ff000001);
    }
    return mr_slice_of(buffer, (size_t)(hash >> 8) % 24);
}

static inline int fuzz_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    const struct fuzz *fuzz = user;
    uint64_t hash = mix(slice_digest(item->data) ^ fuzz->seed) + item->index * 7 + item->source;
    unsigned emits = (unsigned)(mix(hash) % (fuzz->max_emits + 1));
    for (unsigned i = 0; i < emits; i++) {
        uint64_t key[3];
        hash = mix(hash + i + 1);
        struct mr_slice key_slice = fuzz_key(fuzz, hash % fuzz->key_count, key);
        struct digest one = {1, mix(hash)};
        size_t value_size = fuzz->digests ? sizeof one : (size_t)(hash >> 40) % 17;
        if (mr_emit(out, key_slice, mr_slice_of(&one, value_size)) != STOOK_OK) {
            return 1;
        }
    }
    return 0;
}

static inline int fuzz_combine(struct mr_slice key, void *accumulator, size_t accumulator_size,
                               struct mr_slice value, void *user)
{
    struct digest *sum = accumulator;
    struct digest more;
    (void)key;
    (void)user;
    if (accumulator_size != sizeof *sum || value.size != sizeof more) {
        return FUZZ_BAD_SIZE;
    }
    if (!is_aligned(mr_slice_of(accumulator, accumulator_size))) {
        return FUZZ_MISALIGNED;
    }
    memcpy(&more, value.data, sizeof more);
    sum->count += more.count;
    sum->sum += more.sum;
    return 0;
}

static inline int fuzz_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    const struct fuzz *fuzz = user;
    uint64_t hash = slice_digest(key);
    struct digest sum = {0, 0};
    struct mr_slice value;
    while (mr_values_next(values, &value)) {
        struct digest more = {1, 0};
        if (!is_aligned(value)) {
            return FUZZ_MISALIGNED;
        }
        if (!fuzz->digests) {
            more.sum = slice_digest(value);
        } else if (value.size == sizeof more) {
            memcpy(&more, value.data, sizeof more);
        } else {
            return FUZZ_BAD_SIZE;
        }
        sum.count += more.count;
        sum.sum += more.sum;
    }
    if (hash % 8 == 1) {
        return 0;
    }
    if (hash % 4 == 0 && key.size > 0) {
        struct mr_slice first_byte = mr_slice_of(key.data, 1);
        if (mr_emit(out, first_byte, mr_slice_of(&sum, sizeof sum)) != STOOK_OK) {
            return 1;
        }
    }
    return mr_emit(out, key, mr_slice_of(&sum, sizeof sum));
}

/* --- a whole random job ---------------------------------------------------------------------- */

struct fuzz_job {
    struct mr_job job;
    struct fuzz fuzz;
    uint64_t *items;
    size_t count; /* of items, or bytes of the text */
    struct mr_source source;
};

/* Fills a job over 2 to max_items items; over the same bytes as lines if text is true. To be freed
 * by fuzz_job_free(); not to be copied, for job.user points into it. */
static inline void fuzz_job_init(struct fuzz_job *ret, uint64_t *random, unsigned max_items,
                                 bool text)
{
    static const struct mr_job empty = MR_JOB_INIT;
    unsigned items = 2 + random_below(random, max_items - 1);
    ret->job = empty;
    ret->fuzz.seed = random_next(random);
    ret->fuzz.max_emits = 1 + random_below(random, 6);
    ret->fuzz.key_count = 1 + random_below(random, 2 * items);
    ret->fuzz.digests = random_below(random, 2) == 0;
    ret->items = must_alloc(items * sizeof *ret->items);
    for (unsigned i = 0; i < items; i++) {
        ret->items[i] =
            random_next(random) % 200; /* so that some are equal, and few bytes not zero */
    }
    if (text) {
        ret->count = items * sizeof *ret->items;
        const struct mr_source source = {.text = mr_slice_of(ret->items, ret->count)};
        ret->source = source;
        ret->job.input = mr_input_text(&ret->source, 1);
        ret->job.input.delimiters = "\n \x80\x91";
    } else {
        ret->count = items;
        ret->job.input = mr_input_array(ret->items, items, sizeof *ret->items);
    }
    ret->job.map = fuzz_map;
    ret->job.combine = ret->fuzz.digests && random_below(random, 3) > 0 ? fuzz_combine : NULL;
    ret->job.reduce = fuzz_reduce;
    ret->job.user = &ret->fuzz;
    ret->job.order = random_below(random, 2) == 0 ? MR_ORDER_KEY : MR_ORDER_NONE;
}

static inline void fuzz_job_free(struct fuzz_job *fuzz_job)
{
    free(fuzz_job->items);
}

/* Runs the job, and compares its result with an expected one. */
static inline bool fuzz_job_agrees(stook_executor *executor, const struct mr_job *job,
                                   mr_result *expected)
{
    mr_result *result = must_run(executor, job);
    bool same = same_result(expected, result, job->order == MR_ORDER_KEY);
    if (!same) {
        fprintf(stderr, "workers %u, partitions %u, chunk %zu, combiner %d\n",
                stook_executor_worker_count(executor), (unsigned)job->partitions, job->input.chunk,
                job->combine != NULL);
    }
    mr_result_destroy(result);
    return same;
}

#endif
