/* SPDX-License-Identifier: MIT
 *
 * More keys than caches hold: tables that grow where they are, and pairs that are kept by partition
 * while keys hardly repeat. Keys are new at first, then repeat, then are new again; so that begins,
 * ends, and may begin again. And keys whose hashes were made equal.
 */
#include "check.h"
#include "hash.h"
#include "mr_support.h"

#define AT_ONCE 4096
#define MANY (100 * AT_ONCE) /* enough for one worker to keep pairs */
#define LARGE (18 * AT_ONCE) /* enough for one table to grow where it is */

/* Emitted: `fresh` keys; as many of the first `repeated` ones, one after the other; `fresh` others. */
struct keys {
    size_t size; /* of a key, bytes */
    uint64_t fresh;
    uint64_t repeated;
    bool is_crafted; /* all have the same mr_hash() */
};

/* A first word that makes the hash forget the second one. */
static const unsigned char crafted[8] = {0x03, 0xed, 0x92, 0xd1, 0x32, 0x4a, 0xb5, 0xd1};

static void put_key(const struct keys *keys, uint64_t number, unsigned char bytes[32])
{
    memset(bytes, 'k', 32);
    if (keys->is_crafted) {
        memcpy(bytes, crafted, sizeof crafted);
    }
    memcpy(bytes + (keys->is_crafted ? sizeof crafted : 0), &number, sizeof number);
}

static uint64_t key_of(const struct keys *keys, uint64_t n)
{
    return n >= keys->fresh && n < 2 * keys->fresh ? n % keys->repeated : n;
}

static uint64_t *count_expected(const struct keys *keys)
{
    uint64_t *counts = must_alloc(3 * keys->fresh * sizeof *counts);

    memset(counts, 0, 3 * keys->fresh * sizeof *counts);
    for (uint64_t n = 0; n < 3 * keys->fresh; n++) {
        counts[key_of(keys, n)]++;
    }
    return counts;
}

/* Emits a run of numbers, each once, with the value 1. */
static int emit_numbers(const struct mr_item *item, mr_emitter *out, void *user)
{
    const struct keys *keys = user;
    const uint64_t one = 1;
    unsigned char bytes[64][32];
    struct mr_slice slices[64];

    for (uint64_t i = 0; i < AT_ONCE; i += 64) {
        for (size_t j = 0; j < 64; j++) {
            uint64_t key = key_of(keys, item->index * AT_ONCE + i + j);
            put_key(keys, key, bytes[j]);
            slices[j] = mr_slice_of(bytes[j], keys->size);
        }
        enum stook_status status = mr_emit_keys(out, slices, 64, mr_slice_of(&one, sizeof one));
        if (status != STOOK_OK) {
            return (int)status;
        }
    }
    return 0;
}

static int count_values(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct mr_slice value;
    uint64_t count = 0;
    (void)user;

    while (mr_values_next(values, &value)) {
        count += slice_u64(value);
    }
    return mr_emit(out, key, mr_slice_of(&count, sizeof count));
}

/* Has the result each key once, with its count? */
static bool is_right(mr_result *result, const struct keys *keys)
{
    const uint64_t numbers = 3 * keys->fresh;
    uint64_t *expected = count_expected(keys);
    uint64_t *counts = must_alloc(numbers * sizeof *counts);
    bool is_sound = true;
    struct mr_pair pair;

    memset(counts, 0, numbers * sizeof *counts);
    while (is_sound && mr_result_next(result, &pair)) {
        uint64_t key = numbers;
        if (pair.key.size == keys->size) {
            memcpy(&key, (const char *)pair.key.data + (keys->is_crafted ? sizeof crafted : 0),
                   sizeof key);
        }
        is_sound = key < numbers && counts[key] == 0;
        if (is_sound) {
            counts[key] = slice_u64(pair.value);
        }
    }
    is_sound = is_sound && memcmp(counts, expected, numbers * sizeof *counts) == 0;
    free(counts);
    free(expected);
    return is_sound;
}

/* Few hashes: long runs of slots are taken, at the end of a table too. */
static uint64_t poor_hash(struct mr_slice key, void *user)
{
    uint64_t number = 0;
    (void)user;

    memcpy(&number, key.data, sizeof number);
    return number % 1999;
}

static int compare_bytes(struct mr_slice a, struct mr_slice b, void *user)
{
    (void)user;
    return slice_compare(a, b);
}

static const struct mr_keys poor_keys = {.hash = poor_hash, .compare = compare_bytes};

static bool runs_right(struct keys keys, uint32_t partitions, unsigned workers, bool combines,
                       const struct mr_keys *hashing)
{
    static const char items[3 * MANY / AT_ONCE];
    stook_executor *executor = must_create(workers);
    struct mr_job job = MR_JOB_INIT;
    mr_result *result = NULL;

    job.input = mr_input_array(items, 3 * keys.fresh / AT_ONCE, 1);
    job.input.chunk = 4;
    job.map = emit_numbers;
    job.combine = combines ? mr_sum_u64 : NULL;
    job.reduce = combines ? NULL : count_values;
    job.partitions = partitions;
    job.keys = hashing;
    job.user = &keys;
    MUST(mr_map_reduce(executor, &job, &result, NULL) == STOOK_OK);
    bool is_sound = is_right(result, &keys);
    mr_result_destroy(result);
    stook_executor_destroy(executor);
    return is_sound;
}

static const struct keys short_keys = {.size = 8, .fresh = MANY, .repeated = 5000};
static const struct keys long_keys = {.size = 24, .fresh = MANY, .repeated = 5000};

Test(mr_keys, short_keys_are_summed)
{
    cr_assert(runs_right(short_keys, 0, 1, true, NULL));
    cr_assert(runs_right(short_keys, 0, 2, true, NULL));
}

Test(mr_keys, long_keys_are_summed)
{
    cr_assert(runs_right(long_keys, 0, 1, true, NULL));
}

Test(mr_keys, one_table_grows_where_it_is)
{
    cr_assert(runs_right(short_keys, 1, 1, true, NULL));
    cr_assert(runs_right(short_keys, 3, 2, true, NULL));
}

Test(mr_keys, values_are_collected)
{
    cr_assert(runs_right(short_keys, 0, 1, false, NULL));
    cr_assert(runs_right(long_keys, 7, 2, false, NULL));
}

Test(mr_keys, hashes_are_poor)
{
    const struct keys keys = {.size = 8, .fresh = LARGE, .repeated = LARGE};

    cr_assert(runs_right(keys, 1, 1, true, &poor_keys));
    cr_assert(runs_right(keys, 1, 2, false, &poor_keys));
}

/* --- crafted ----------------------------------------------------------------------------------- */

static void expect_equal_hashes(const struct keys *keys)
{
    unsigned char a[32];
    unsigned char b[32];

    put_key(keys, 1, a);
    put_key(keys, 2, b);
    cr_assert_eq(mr_hash(mr_slice_of(a, keys->size)), mr_hash(mr_slice_of(b, keys->size)));
}

/* Without a hash of their own, tables would take minutes for as many. */
Test(mr_keys, crafted_to_have_equal_hashes, .timeout = 60)
{
    const struct keys in_slots = {16, MANY, 5000, .is_crafted = true};
    const struct keys in_arenas = {32, MANY, 5000, .is_crafted = true};

    expect_equal_hashes(&in_slots);
    expect_equal_hashes(&in_arenas);
    cr_assert(runs_right(in_slots, 0, 1, true, NULL));
    cr_assert(runs_right(in_slots, 0, 2, true, NULL));
    cr_assert(runs_right(in_slots, 0, 2, false, NULL));
    cr_assert(runs_right(in_arenas, 0, 2, true, NULL));
    cr_assert(runs_right(in_arenas, 3, 2, false, NULL));
}

enum { SHARED = 100 /* keys that both tasks have */ };

struct apart {
    struct gate gate;
    const unsigned *counts; /* of keys, for each task */
    size_t value_size;
};

/* Two tasks at a time, so that each has tables of its own. */
static int emit_apart(const struct mr_item *item, mr_emitter *out, void *user)
{
    static const struct keys crafted_keys = {16, MANY, 1, .is_crafted = true};
    static const uint64_t value[32] = {1};
    struct apart *apart = user;
    const uint64_t first = item->index == 0 ? 0 : apart->counts[0] - SHARED;
    unsigned char bytes[32];
    int status = 0;

    gate_pass(&apart->gate);
    for (uint64_t i = 0; status == 0 && i < apart->counts[item->index]; i++) {
        put_key(&crafted_keys, first + i, bytes);
        status = (int)mr_emit(out, mr_slice_of(bytes, crafted_keys.size),
                              mr_slice_of(value, apart->value_size));
    }
    return status;
}

static int count_sizes(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct mr_slice value;
    uint64_t count = 0;
    (void)user;

    while (mr_values_next(values, &value)) {
        count += value.size;
    }
    return mr_emit(out, key, mr_slice_of(&count, sizeof count));
}

static void bring_together(stook_executor *executor, const unsigned counts[2], bool combines,
                           size_t value_size)
{
    struct apart apart = {.counts = counts, .value_size = value_size};
    struct mr_job job = MR_JOB_INIT;
    struct mr_pair pair;
    uint64_t sum = 0;
    mr_run *run;

    job.input = mr_input_array("ab", 2, 1);
    job.input.chunk = 1;
    job.map = emit_apart;
    job.combine = combines ? mr_sum_u64 : NULL;
    job.reduce = combines ? NULL : count_sizes;
    job.user = &apart;
    cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
    gate_await(&apart.gate, 2);
    gate_open(&apart.gate);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, NULL), STOOK_OK);
    mr_result *result = mr_run_take_result(run);
    mr_run_release(run);
    cr_assert_eq(mr_result_count(result), counts[0] + counts[1] - SHARED);
    while (mr_result_next(result, &pair)) {
        sum += slice_u64(pair.value);
    }
    cr_assert_eq(sum, (counts[0] + counts[1]) * (combines ? 1 : value_size));
    mr_result_destroy(result);
}

/* Also where no table, one, or each has too many of them before the shuffle; and where pairs are
 * added one at a time, because values are long. */
Test(mr_keys, crafted_and_brought_together, .timeout = 60)
{
    static const unsigned counts[][2] = {
        {400, 400}, {600, 300}, {300, 600}, {900, 800}, {3000, 400}};
    stook_executor *executor = must_create(2);

    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        bring_together(executor, counts[i], true, 8);
        bring_together(executor, counts[i], false, 8);
        bring_together(executor, counts[i], false, 200);
    }
    stook_executor_destroy(executor);
}

/* Vectors of its authors: the secret and the keys are 0, 1, 2 ... */
Test(mr_keys, the_keyed_hash_is_siphash)
{
    unsigned char bytes[16];
    uint64_t secret[2];

    for (unsigned char i = 0; i < sizeof bytes; i++) {
        bytes[i] = i;
    }
    secret[0] = mr__load_le(bytes);
    secret[1] = mr__load_le(bytes + 8);
    cr_assert_eq(mr__hash_keyed(secret, mr_slice_of(bytes, 0)), UINT64_C(0x726fdb47dd0e0e31));
    cr_assert_eq(mr__hash_keyed(secret, mr_slice_of(bytes, 15)), UINT64_C(0xa129ca6149be45e5));
}
