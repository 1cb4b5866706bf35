/* SPDX-License-Identifier: MIT
 *
 * What the tests of MapReduce share: a seed, jobs that are plain or random,
 * comparison of results, and a progress callback that remembers its calls. Nothing here asserts:
 * a helper answers false, after telling on standard error what it saw, or dies. So all of it may be
 * used in any thread, and by plain programs.
 */
#ifndef MR_SUPPORT_H
#define MR_SUPPORT_H

#include <string.h>
#include <stook/mapreduce.h>
#include "support.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Where a function must leave its ret_ parameter alone: no object has this address. */
static inline void *untouched_object(void)
{
    static char object;
    return &object;
}
#define UNTOUCHED(type) ((type *)untouched_object())

static inline void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    abort();
}

static inline void *must_alloc(size_t size)
{
    void *memory = malloc(size > 0 ? size : 1);
    if (memory == NULL) {
        die("malloc", "out of memory");
    }
    return memory;
}

/* A number that depends on all bits of another. */
static inline uint64_t mix(uint64_t number)
{
    return random_next(&number);
}

/* For random_next(): new for each run, unless STOOK_SEED repeats one. */
static inline uint64_t test_seed(void)
{
    const char *text = getenv("STOOK_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : mix((uint64_t)stook_now_ns());
    fprintf(stderr, "# STOOK_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* --- pairs and results ----------------------------------------------------------------------- */

static inline int slice_compare(struct mr_slice a, struct mr_slice b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size > 0 ? memcmp(a.data, b.data, size) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static inline bool slice_is(struct mr_slice slice, const char *text)
{
    return slice_compare(slice, mr_slice_str(text)) == 0;
}

static inline uint64_t slice_u64(struct mr_slice slice)
{
    uint64_t number = UINT64_MAX;
    if (slice.size == sizeof number) {
        memcpy(&number, slice.data, sizeof number);
    }
    return number;
}

static inline int pair_compare(const void *left, const void *right)
{
    const struct mr_pair *a = left;
    const struct mr_pair *b = right;
    int order = slice_compare(a->key, b->key);
    return order != 0 ? order : slice_compare(a->value, b->value);
}

/* Is there a next pair as mr_result_count() makes us expect? Else dies. */
static inline bool next_pair(mr_result *result, uint64_t left, struct mr_pair *ret_pair)
{
    const bool found = mr_result_next(result, ret_pair);
    if (found != (left > 0)) {
        die("mr_result_next", "not as many pairs as mr_result_count");
    }
    return found;
}

static inline struct mr_slice append(unsigned char **end, struct mr_slice slice)
{
    unsigned char *start = *end;
    if (slice.size > 0) {
        memcpy(start, slice.data, slice.size);
    }
    *end += slice.size;
    return mr_slice_of(start, slice.size);
}

/* A copy of all pairs of a result, from its first; in one piece, to be freed. */
static inline struct mr_pair *drain(mr_result *result, size_t *ret_count)
{
    const size_t count = (size_t)mr_result_count(result);
    struct mr_pair pair;
    size_t size = count * sizeof pair;
    mr_result_rewind(result);
    for (size_t left = count; next_pair(result, left, &pair); left--) {
        size += pair.key.size + pair.value.size;
    }
    struct mr_pair *pairs = must_alloc(size);
    unsigned char *end = (unsigned char *)(pairs + count);
    mr_result_rewind(result);
    for (size_t i = 0; next_pair(result, count - i, &pair); i++) {
        pairs[i].key = append(&end, pair.key);
        pairs[i].value = append(&end, pair.value);
    }
    *ret_count = count;
    return pairs;
}

static inline bool is_sorted(const struct mr_pair *pairs, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (pair_compare(&pairs[i - 1], &pairs[i]) > 0) {
            fprintf(stderr, "pairs %zu and %zu are not in order\n", i - 1, i);
            return false;
        }
    }
    return true;
}

/* The same pairs, each as often; ordered: both also sorted already. */
static inline bool same_result(mr_result *expected, mr_result *got, bool ordered)
{
    size_t expected_count;
    size_t got_count;
    struct mr_pair *a = drain(expected, &expected_count);
    struct mr_pair *b = drain(got, &got_count);
    bool same = expected_count == got_count;
    if (!same) {
        fprintf(stderr, "expected %zu pairs, got %zu\n", expected_count, got_count);
    }
    if (ordered) {
        same = is_sorted(a, expected_count) && is_sorted(b, got_count) && same;
    } else {
        qsort(a, expected_count, sizeof *a, pair_compare);
        qsort(b, got_count, sizeof *b, pair_compare);
    }
    for (size_t i = 0; same && i < expected_count; i++) {
        if (pair_compare(&a[i], &b[i]) != 0) {
            fprintf(stderr, "pair %zu of %zu differs\n", i, expected_count);
            same = false;
        }
    }
    free(a);
    free(b);
    return same;
}

/* Runs a job that must succeed; without an executor, in sequence. */
static inline mr_result *must_run(stook_executor *executor, const struct mr_job *job)
{
    mr_result *result = NULL;
    struct mr_error error;
    memset(&error, 0, sizeof error);
    enum stook_status status = executor != NULL ? mr_map_reduce(executor, job, &result, &error)
                                                : mr_map_reduce_sequential(job, &result, &error);
    if (status != STOOK_OK) {
        fprintf(stderr, "%s: ", stook_status_name(status));
        die("job failed", error.message);
    }
    return result;
}

/* --- a plain job: the items are pairs -------------------------------------------------------- */

static inline int pair_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    struct mr_pair pair;
    (void)user;
    memcpy(&pair, item->data.data, sizeof pair);
    return mr_emit(out, pair.key, pair.value);
}

/* Emits each value under its key. */
static inline int each_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct mr_slice value;
    (void)user;
    while (mr_values_next(values, &value)) {
        if (mr_emit(out, key, value) != STOOK_OK) {
            return 1;
        }
    }
    return 0;
}

/* Emits the number of values, uint64_t. */
static inline int count_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct mr_slice value;
    uint64_t count = 0;
    (void)user;
    while (mr_values_next(values, &value)) {
        count++;
    }
    return mr_emit(out, key, mr_slice_of(&count, sizeof count));
}

/* Ordered by key, chunks of 1; the caller changes what it likes. */
static inline struct mr_job pair_job(const struct mr_pair *pairs, size_t count,
                                     mr_reduce_fn *reduce)
{
    struct mr_job job = MR_JOB_INIT;
    job.input = mr_input_array(pairs, count, sizeof *pairs);
    job.input.chunk = 1;
    job.map = pair_map;
    job.reduce = reduce;
    job.order = MR_ORDER_KEY;
    return job;
}

/* A small good job gives what it must: is the executor still of use? */
static inline bool still_works(stook_executor *executor)
{
    struct mr_pair pairs[10];
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        pairs[i].key = mr_slice_str(i % 2 == 0 ? "even" : "odd");
        pairs[i].value = mr_slice_of(&i, 0);
    }
    struct mr_job job = pair_job(pairs, COUNT_OF(pairs), count_reduce);
    mr_result *result = must_run(executor, &job);
    mr_result *expected = must_run(NULL, &job);
    bool same = mr_result_count(result) == 2 && same_result(expected, result, true);
    mr_result_destroy(result);
    mr_result_destroy(expected);
    return same;
}

/* A word of the message. */
static inline bool tells(const struct mr_error *error, const char *word)
{
    const bool complete = memchr(error->message, '\0', sizeof error->message) != NULL;
    if (!complete || strstr(error->message, word) == NULL) {
        fprintf(stderr, "no \"%s\" in \"%.256s\"\n", word, error->message);
        return false;
    }
    return true;
}

#endif
