/* SPDX-License-Identifier: MIT
 *
 * What is promised about the callbacks' calls and about the order of a result: how often mapper
 * and reducer are called and with what, that combiners and partitions change nothing, that a
 * result is sorted and can be read again.
 */
#include "check.h"
#include "mr_fuzz.h"

/* --- B80, B81: the mapper's calls ------------------------------------------------------------- */

#define ITEMS 97

struct seen {
    uint32_t items[ITEMS];
    atomic_uint calls[ITEMS];
    atomic_uint wrong;
};

static int seen_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    struct seen *seen = user;
    uint64_t index = item->index;
    (void)out;
    if (index >= ITEMS || item->data.data != &seen->items[index] || item->source != 0 ||
        item->data.size != sizeof seen->items[0]) {
        atomic_fetch_add(&seen->wrong, 1);
    } else {
        atomic_fetch_add(&seen->calls[index], 1);
    }
    return 0;
}

Test(mr, B80_mapper_is_called_once_for_each_item, .timeout = 60)
{
    static const size_t chunks[] = {1, 7, ITEMS - 1, ITEMS, ITEMS + 1, 10 * ITEMS, MR_CHUNK_AUTO};
    static const unsigned workers[] = {1, 4};
    for (size_t w = 0; w < COUNT_OF(workers); w++) {
        stook_executor *executor = must_create(workers[w]);
        for (size_t c = 0; c < COUNT_OF(chunks); c++) {
            static struct seen seen;
            struct mr_job job = MR_JOB_INIT;
            job.input = mr_input_array(seen.items, ITEMS, sizeof seen.items[0]);
            job.input.chunk = chunks[c];
            job.map = seen_map;
            job.reduce = each_reduce;
            job.user = &seen;
            mr_result *result = must_run(executor, &job);
            cr_assert_eq(mr_result_count(result), 0);
            cr_assert_eq(atomic_load(&seen.wrong), 0);
            for (size_t i = 0; i < ITEMS; i++) {
                cr_assert_eq(atomic_exchange(&seen.calls[i], 0), 1);
            }
            mr_result_destroy(result);
        }
        stook_executor_destroy(executor);
    }
}

/* Emits as many pairs as the item says, of 1000 keys. */
static int many_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    uint32_t emits;
    (void)user;
    memcpy(&emits, item->data.data, sizeof emits);
    for (uint32_t i = 0; i < emits; i++) {
        uint32_t key = i % 1000;
        if (mr_emit(out, mr_slice_of(&key, sizeof key), mr_slice_of(&i, sizeof i)) != STOOK_OK) {
            return 1;
        }
    }
    return 0;
}

Test(mr, B81_mapper_emits_none_or_many, .timeout = 60)
{
    static const uint32_t emits[] = {0, 1, 0, 100000, 5, 0};
    stook_executor *executor = must_create(2);
    struct mr_job job = MR_JOB_INIT;
    struct mr_pair pair;
    uint64_t sum = 0;
    job.input = mr_input_array(emits, COUNT_OF(emits), sizeof emits[0]);
    job.input.chunk = 1;
    job.map = many_map;
    job.reduce = count_reduce;
    mr_result *result = must_run(executor, &job);
    cr_assert_eq(mr_result_count(result), 1000);
    while (mr_result_next(result, &pair)) {
        sum += slice_u64(pair.value);
    }
    cr_assert_eq(sum, 100006);
    mr_result_destroy(result);
    stook_executor_destroy(executor);
}

/* --- B82: the combiner ------------------------------------------------------------------------ */

Test(mr, B82_combiner_changes_nothing, .timeout = 120)
{
    static const unsigned workers[] = {1, 4};
    static const uint32_t partitions[] = {1, 7, 0};
    uint64_t random = test_seed();
    for (size_t w = 0; w < COUNT_OF(workers); w++) {
        stook_executor *executor = must_create(workers[w]);
        for (size_t p = 0; p < COUNT_OF(partitions); p++) {
            struct fuzz_job fuzz;
            fuzz_job_init(&fuzz, &random, 2000, false);
            fuzz.fuzz.digests = true;
            fuzz.fuzz.key_count = 1 + random_below(&random, 100);
            fuzz.job.combine = NULL;
            fuzz.job.partitions = partitions[p];
            mr_result *expected = must_run(NULL, &fuzz.job);
            cr_assert(fuzz_job_agrees(executor, &fuzz.job, expected));
            fuzz.job.combine = fuzz_combine;
            cr_assert(fuzz_job_agrees(executor, &fuzz.job, expected));
            fuzz.job.input.chunk = 3;
            cr_assert(fuzz_job_agrees(executor, &fuzz.job, expected));
            mr_result_destroy(expected);
            fuzz_job_free(&fuzz);
        }
        stook_executor_destroy(executor);
    }
}

/* --- B83: partitions -------------------------------------------------------------------------- */

#define KEYS 300

struct reduced {
    uint32_t partitions; /* what the partitioner must be told */
    atomic_uint calls[KEYS];
    atomic_uint wrong;
};

static int key_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    uint32_t key = (uint32_t)(item->index % KEYS);
    (void)user;
    return mr_emit(out, mr_slice_of(&key, sizeof key), mr_slice_of(NULL, 0));
}

static int reduced_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct reduced *reduced = user;
    uint32_t number = 0;
    memcpy(&number, key.data, sizeof number);
    atomic_fetch_add(&reduced->calls[number % KEYS], 1);
    return count_reduce(key, values, out, user);
}

static uint32_t modulo_partition(struct mr_slice key, uint32_t partitions, void *user)
{
    struct reduced *reduced = user;
    uint32_t number = 0;
    memcpy(&number, key.data, sizeof number);
    if (partitions != reduced->partitions) {
        atomic_fetch_add(&reduced->wrong, 1);
    }
    return number % partitions;
}

static uint32_t last_partition(struct mr_slice key, uint32_t partitions, void *user)
{
    (void)key;
    (void)user;
    return partitions - 1;
}

static void check_partitions(stook_executor *executor, mr_partition_fn *partition,
                             uint32_t partitions)
{
    static struct reduced reduced;
    static const char items[10 * KEYS];
    struct mr_job job = MR_JOB_INIT;
    struct mr_pair pair;
    reduced.partitions = partitions != 0 ? partitions : MR_DEFAULT_PARTITIONS;
    job.input = mr_input_array(items, sizeof items, 1);
    job.input.chunk = 17;
    job.map = key_map;
    job.reduce = reduced_reduce;
    job.partition = partition;
    job.partitions = partitions;
    job.user = &reduced;
    mr_result *result = must_run(executor, &job);
    cr_assert_eq(mr_result_count(result), KEYS);
    while (mr_result_next(result, &pair)) {
        cr_assert_eq(slice_u64(pair.value), 10);
    }
    for (size_t i = 0; i < KEYS; i++) {
        cr_assert_eq(atomic_exchange(&reduced.calls[i], 0), 1);
    }
    cr_assert_eq(atomic_load(&reduced.wrong), 0);
    mr_result_destroy(result);
}

Test(mr, B83_each_key_reaches_one_reducer_call, .timeout = 120)
{
    static const uint32_t partitions[] = {1, 2, 7, 0, 1000, MR_MAX_PARTITIONS};
    static mr_partition_fn *const functions[] = {NULL, modulo_partition, last_partition};
    stook_executor *executor = must_create(4);
    for (size_t p = 0; p < COUNT_OF(partitions); p++) {
        for (size_t f = 0; f < COUNT_OF(functions); f++) {
            check_partitions(executor, functions[f], partitions[p]);
        }
    }
    stook_executor_destroy(executor);
}

Test(mr, B83_hash_depends_on_the_bytes_only, .timeout = 60)
{
    char bytes[200];
    char copy[COUNT_OF(bytes) + 8];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * 37);
    }
    for (size_t size = 0; size <= sizeof bytes; size++) {
        uint64_t hash = mr_hash(mr_slice_of(bytes, size));
        for (size_t shift = 0; shift < 8; shift++) {
            memset(copy, (int)shift, sizeof copy);
            memcpy(copy + shift, bytes, size);
            cr_assert_eq(mr_hash(mr_slice_of(copy + shift, size)), hash);
        }
    }
    cr_assert_eq(mr_hash(mr_slice_of(NULL, 0)), mr_hash(mr_slice_str("")));
}

/* Computed by another program from the description in hash.c; they must never change. */
Test(mr, B83_hash_is_fixed, .timeout = 60)
{
    static const struct {
        const char *key;
        uint64_t hash;
    } known[] = {
        {"", UINT64_C(0xb5282132a07e116e)},
        {"a", UINT64_C(0xe7d1084f238ec755)},
        {"is", UINT64_C(0x0536d3ffd3b2aa52)},
        {"Python", UINT64_C(0xa25f4eeb93d4e1ff)},
        {"0123456789abcdef", UINT64_C(0xb203850877f9babc)},
        {"0123456789abcdefg", UINT64_C(0x17eba2f9b935e376)},
    };
    unsigned char bytes[100];
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        cr_assert_eq(mr_hash(mr_slice_str(known[i].key)), known[i].hash);
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)i;
    }
    cr_assert_eq(mr_hash(mr_slice_of(bytes, sizeof bytes)), UINT64_C(0x25464a705b32efaf));
}

Test(mr, B83_hash_tells_near_keys_apart, .timeout = 60)
{
    unsigned char bytes[64] = {0};
    const uint64_t base = mr_hash(mr_slice_of(bytes, sizeof bytes));
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1U << (bit % 8));
        cr_assert_neq(mr_hash(mr_slice_of(bytes, sizeof bytes)), base);
        bytes[bit / 8] ^= (unsigned char)(1U << (bit % 8));
    }
    for (size_t size = 1; size < sizeof bytes; size++) { /* zeros, but not as many */
        cr_assert_neq(mr_hash(mr_slice_of(bytes, size)), base);
        cr_assert_neq(mr_hash(mr_slice_of(bytes, size)), mr_hash(mr_slice_of(bytes, size - 1)));
    }
}

Test(mr, B83_hash_spreads_keys_over_partitions, .timeout = 60)
{
    static unsigned loads[3][64];
    for (uint32_t i = 0; i < 64000; i++) { /* numbers, multiples of a page, decimal text */
        uint64_t address = (uint64_t)i << 12;
        char text[32];
        const int size = snprintf(text, sizeof text, "%u", (unsigned)i);
        const struct mr_slice keys[3] = {mr_slice_of(&i, sizeof i),
                                         mr_slice_of(&address, sizeof address),
                                         mr_slice_of(text, (size_t)size)};
        for (size_t kind = 0; kind < 3; kind++) {
            loads[kind][(mr_hash(keys[kind]) >> 32) * 64 >> 32]++;
        }
    }
    for (size_t i = 0; i < 3 * 64; i++) {
        cr_assert_gt(loads[i / 64][i % 64], 500); /* 1000 each if all were even */
        cr_assert_lt(loads[i / 64][i % 64], 1500);
    }
}

/* --- B84: order, and reading again ------------------------------------------------------------ */

Test(mr, B84_order_is_by_unsigned_bytes_with_prefixes_first, .timeout = 60)
{
    static const char *const keys[] = {"\xff", "b", "ab", "", "a", "\x80", "abc", "\x7f", "B"};
    static const char *const sorted[] = {"", "B", "a", "ab", "abc", "b", "\x7f", "\x80", "\xff"};
    stook_executor *executor = must_create(3);
    struct mr_pair pairs[COUNT_OF(keys)];
    struct mr_pair pair;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        pairs[i].key = mr_slice_str(keys[i]);
        pairs[i].value = pairs[i].key;
    }
    struct mr_job job = pair_job(pairs, COUNT_OF(pairs), each_reduce);
    for (uint32_t partitions = 0; partitions < 10; partitions++) {
        job.partitions = partitions;
        mr_result *result = must_run(executor, &job);
        for (size_t i = 0; i < COUNT_OF(sorted); i++) {
            cr_assert(mr_result_next(result, &pair));
            cr_assert(slice_is(pair.key, sorted[i]));
        }
        cr_assert_not(mr_result_next(result, &pair));
        mr_result_destroy(result);
    }
    stook_executor_destroy(executor);
}

/* Every reducer emits one and the same key. */
static int same_key_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    (void)values;
    (void)user;
    return mr_emit(out, mr_slice_str("same"), key);
}

Test(mr, B84_equal_keys_of_several_reducers_are_ordered_by_value, .timeout = 60)
{
    static const char *const keys[] = {"d", "a", "\xff", "c", "ab", "b", "aa"};
    static const char *const sorted[] = {"a", "aa", "ab", "b", "c", "d", "\xff"};
    stook_executor *executor = must_create(3);
    struct mr_pair pairs[COUNT_OF(keys)];
    struct mr_pair pair;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        pairs[i].key = mr_slice_str(keys[i]);
        pairs[i].value = mr_slice_of(NULL, 0);
    }
    struct mr_job job = pair_job(pairs, COUNT_OF(pairs), same_key_reduce);
    mr_result *result = must_run(executor, &job);
    cr_assert_eq(mr_result_count(result), COUNT_OF(sorted));
    for (size_t i = 0; i < COUNT_OF(sorted); i++) {
        cr_assert(mr_result_next(result, &pair));
        cr_assert(slice_is(pair.key, "same"));
        cr_assert(slice_is(pair.value, sorted[i]));
    }
    mr_result_destroy(result);
    stook_executor_destroy(executor);
}

Test(mr, B84_result_can_be_rewound_at_any_point, .timeout = 60)
{
    static const char *const keys[] = {"c", "a", "b"};
    stook_executor *executor = must_create(2);
    struct mr_pair pairs[COUNT_OF(keys)];
    struct mr_pair pair;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        pairs[i].key = mr_slice_str(keys[i]);
        pairs[i].value = pairs[i].key;
    }
    struct mr_job job = pair_job(pairs, COUNT_OF(pairs), each_reduce);
    mr_result *result = must_run(executor, &job);
    for (size_t stop = 0; stop <= COUNT_OF(keys) + 1; stop++) {
        for (size_t i = 0; i < stop; i++) {
            cr_assert_eq(mr_result_next(result, &pair), i < COUNT_OF(keys));
        }
        mr_result_rewind(result);
        cr_assert_eq(mr_result_count(result), COUNT_OF(keys));
        cr_assert(mr_result_next(result, &pair));
        cr_assert(slice_is(pair.key, "a"));
        mr_result_rewind(result);
    }
    mr_result_destroy(result);
    stook_executor_destroy(executor);
}

/* --- keys whose hashes collide ------------------------------------------------------------------
 */

enum { COLLIDING_KEYS = 300000 };

static int map_number(const struct mr_item *item, mr_emitter *out, void *user)
{
    (void)user;
    return mr_emit(out, item->data, mr_slice_of(NULL, 0));
}

static int reduce_to_nothing(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct mr_slice value;
    size_t count = 0;
    (void)user;
    while (mr_values_next(values, &value)) {
        count++;
    }
    return count == 1 ? (int)mr_emit(out, key, mr_slice_of(NULL, 0)) : 1;
}

static int number_compare(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a;
    const uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* So many keys that some have equal low halves of their hashes, which is what tables keep. */
Test(mr, B83_keys_with_equal_hashes_stay_apart, .timeout = 120)
{
    uint32_t *keys = malloc(COLLIDING_KEYS * sizeof *keys);
    uint32_t *hashes = malloc(COLLIDING_KEYS * sizeof *hashes);
    unsigned collisions = 0;
    struct mr_job job = MR_JOB_INIT;
    stook_executor *executor = must_create(2);
    mr_result *result = NULL;

    cr_assert(keys && hashes);
    for (uint32_t i = 0; i < COLLIDING_KEYS; i++) {
        keys[i] = i;
        hashes[i] = (uint32_t)mr_hash(mr_slice_of(&keys[i], sizeof keys[i]));
    }
    qsort(hashes, COLLIDING_KEYS, sizeof *hashes, number_compare);
    for (size_t i = 1; i < COLLIDING_KEYS; i++) {
        collisions += hashes[i] == hashes[i - 1];
    }
    cr_assert_gt(collisions, 0);
    job.input = mr_input_array(keys, COLLIDING_KEYS, sizeof keys[0]);
    job.map = map_number;
    job.reduce = reduce_to_nothing;
    job.partitions = 1;
    cr_assert_eq(mr_map_reduce(executor, &job, &result, NULL), STOOK_OK);
    cr_assert_eq(mr_result_count(result), COLLIDING_KEYS);
    mr_result_destroy(result);
    stook_executor_destroy(executor);
    free(hashes);
    free(keys);
}
