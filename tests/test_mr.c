/* SPDX-License-Identifier: MIT
 *
 * Does a job give the right result? The article's example, the sequential oracle on random input,
 * the corners of items, keys and values, and what is promised about mapper and combiner.
 * Partitions and orders: test_mr_order.c.
 */
#include "check.h"
#include "mr_fuzz.h"

/* --- B76: the article's example -------------------------------------------------------------- */

static int word_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    const char *word;
    uint64_t one = 1;
    (void)user;
    memcpy(&word, item->data.data, sizeof word);
    return mr_emit(out, mr_slice_str(word), mr_slice_of(&one, sizeof one));
}

static int word_record_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    uint64_t one = 1;
    (void)user;
    return mr_emit(out, item->data, mr_slice_of(&one, sizeof one));
}

static int sum_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct mr_slice value;
    uint64_t sum = 0;
    (void)user;
    while (mr_values_next(values, &value)) {
        sum += slice_u64(value);
    }
    return mr_emit(out, key, mr_slice_of(&sum, sizeof sum));
}

static int sum_combine(struct mr_slice key, void *accumulator, size_t accumulator_size,
                       struct mr_slice value, void *user)
{
    (void)key;
    (void)user;
    if (accumulator_size != sizeof(uint64_t) || value.size != sizeof(uint64_t)) {
        return 1;
    }
    *(uint64_t *)accumulator += slice_u64(value);
    return 0;
}

static void render(mr_result *result, char *text, size_t size)
{
    struct mr_pair pair;
    size_t used = 0;
    text[0] = '\0';
    while (used < size && mr_result_next(result, &pair)) {
        used += (size_t)snprintf(text + used, size - used, "%.*s %llu\n", (int)pair.key.size,
                                 (const char *)pair.key.data,
                                 (unsigned long long)slice_u64(pair.value));
    }
}

Test(mr, B76_article_example, .timeout = 60)
{
    static const char *const words[] = {"Python", "is", "great", "Python", "rocks"};
    stook_executor *executor = must_create(4);
    struct mr_job job = MR_JOB_INIT;
    char text[200];
    job.input = mr_input_array(words, COUNT_OF(words), sizeof words[0]);
    job.map = word_map;
    job.reduce = sum_reduce;
    job.order = MR_ORDER_KEY;
    for (int with_combiner = 0; with_combiner < 2; with_combiner++) {
        job.combine = with_combiner ? sum_combine : NULL;
        mr_result *result = must_run(executor, &job);
        cr_assert_eq(mr_result_count(result), 4);
        render(result, text, sizeof text);
        cr_assert_str_eq(text, "Python 2\ngreat 1\nis 1\nrocks 1\n");
        mr_result_destroy(result);
    }
    mr_result *result = must_run(NULL, &job);
    render(result, text, sizeof text);
    cr_assert_str_eq(text, "Python 2\ngreat 1\nis 1\nrocks 1\n");
    mr_result_destroy(result);
    stook_executor_destroy(executor);
}

Test(mr, B76_article_example_as_a_text, .timeout = 60)
{
    const struct mr_source source = {.text = mr_slice_str("Python is great Python rocks")};
    stook_executor *executor = must_create(4);
    struct mr_job job = MR_JOB_INIT;
    char text[200];
    job.input = mr_input_text(&source, 1);
    job.input.delimiters = " ";
    job.input.chunk = 3;
    job.map = word_record_map;
    job.reduce = sum_reduce;
    job.order = MR_ORDER_KEY;
    mr_result *result = must_run(executor, &job);
    render(result, text, sizeof text);
    cr_assert_str_eq(text, "Python 2\ngreat 1\nis 1\nrocks 1\n");
    mr_result_destroy(result);
    stook_executor_destroy(executor);
}

/* --- B77, and B93 with one partition: the oracle ---------------------------------------------- */

static bool oracle_round(stook_executor *executor, uint64_t *random, uint32_t partitions)
{
    struct fuzz_job fuzz;
    bool same = true;
    fuzz_job_init(&fuzz, random, 100, partitions % 4 == 0);
    mr_result *expected = must_run(NULL, &fuzz.job);
    const size_t n = fuzz.count;
    const size_t chunks[] = {1, 2, 3, n - 1, n, n + 1, 10 * n, MR_CHUNK_AUTO, SIZE_MAX - 1};
    fuzz.job.partitions = partitions;
    for (size_t i = 0; same && i < COUNT_OF(chunks); i++) {
        fuzz.job.input.chunk = chunks[i];
        same = fuzz_job_agrees(executor, &fuzz.job, expected);
    }
    mr_result_destroy(expected);
    fuzz_job_free(&fuzz);
    return same;
}

Test(mr, B77_equals_the_sequential_oracle, .timeout = 300)
{
    uint64_t random = test_seed();
    for (unsigned workers = 1; workers <= 8; workers++) {
        stook_executor *executor = must_create(workers);
        for (uint32_t partitions = 1; partitions <= 16; partitions++) {
            cr_assert(oracle_round(executor, &random, partitions));
        }
        stook_executor_destroy(executor);
    }
}

/* --- B78: corners ----------------------------------------------------------------------------- */

static atomic_uint calls;

static int counting_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    (void)user;
    atomic_fetch_add(&calls, 1);
    return mr_emit(out, item->data, mr_slice_of(NULL, 0));
}

static int counting_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    atomic_fetch_add(&calls, 1);
    return count_reduce(key, values, out, user);
}

Test(mr, B78_empty_input_calls_nothing, .timeout = 60)
{
    static const struct mr_source none = {.path = NULL};
    stook_executor *executor = must_create(2);
    struct mr_input inputs[3];
    struct mr_pair pair;
    inputs[0] = mr_input_array(NULL, 0, sizeof(int));
    inputs[1] = mr_input_text(&none, 0); /* no text */
    inputs[2] = mr_input_text(&none, 1); /* an empty text */
    for (size_t i = 0; i < COUNT_OF(inputs); i++) {
        struct mr_job job = MR_JOB_INIT;
        job.input = inputs[i];
        job.map = counting_map;
        job.reduce = counting_reduce;
        for (int sequential = 0; sequential < 2; sequential++) {
            mr_result *result = must_run(sequential ? NULL : executor, &job);
            cr_assert_eq(mr_result_count(result), 0);
            cr_assert_not(mr_result_next(result, &pair));
            mr_result_destroy(result);
        }
    }
    cr_assert_eq(atomic_load(&calls), 0);
    stook_executor_destroy(executor);
}

/* Counts the values of the keys; the sequential run must agree, with the bytes of every key. */
static mr_result *count_pairs(stook_executor *executor, const struct mr_pair *pairs, size_t count)
{
    struct mr_job job = pair_job(pairs, count, count_reduce);
    mr_result *result = must_run(executor, &job);
    mr_result *expected = must_run(NULL, &job);
    if (!same_result(expected, result, true)) {
        die("count_pairs", "not as in sequence");
    }
    mr_result_destroy(expected);
    mr_result_rewind(result);
    return result;
}

Test(mr, B78_one_item, .timeout = 60)
{
    const struct mr_pair pairs[] = {{mr_slice_str("key"), mr_slice_str("value")}};
    stook_executor *executor = must_create(3);
    struct mr_job job = pair_job(pairs, 1, each_reduce);
    struct mr_pair pair;
    job.input.chunk = MR_CHUNK_AUTO;
    mr_result *result = must_run(executor, &job);
    cr_assert_eq(mr_result_count(result), 1);
    cr_assert(mr_result_next(result, &pair));
    cr_assert(slice_is(pair.key, "key"));
    cr_assert(slice_is(pair.value, "value"));
    cr_assert_not(mr_result_next(result, &pair));
    mr_result_destroy(result);
    stook_executor_destroy(executor);
}

#define MANY 5000

Test(mr, B78_all_keys_equal, .timeout = 60)
{
    struct mr_pair *pairs = must_alloc(MANY * sizeof *pairs);
    stook_executor *executor = must_create(4);
    struct mr_pair pair;
    for (size_t i = 0; i < MANY; i++) {
        pairs[i].key = mr_slice_str("k");
        pairs[i].value = mr_slice_of(&pairs[i], i % 9);
    }
    mr_result *result = count_pairs(executor, pairs, MANY);
    cr_assert_eq(mr_result_count(result), 1);
    cr_assert(mr_result_next(result, &pair));
    cr_assert_eq(slice_u64(pair.value), MANY);
    mr_result_destroy(result);
    stook_executor_destroy(executor);
    free(pairs);
}

Test(mr, B78_all_keys_distinct, .timeout = 60)
{
    struct mr_pair *pairs = must_alloc(MANY * sizeof *pairs);
    uint32_t *keys = must_alloc(MANY * sizeof *keys);
    stook_executor *executor = must_create(4);
    struct mr_pair pair;
    for (size_t i = 0; i < MANY; i++) {
        keys[i] = (uint32_t)i;
        pairs[i].key = mr_slice_of(&keys[i], sizeof keys[i]);
        pairs[i].value = pairs[i].key;
    }
    mr_result *result = count_pairs(executor, pairs, MANY);
    cr_assert_eq(mr_result_count(result), MANY);
    while (mr_result_next(result, &pair)) {
        cr_assert_eq(slice_u64(pair.value), 1);
    }
    mr_result_destroy(result);
    stook_executor_destroy(executor);
    free(keys);
    free(pairs);
}

Test(mr, B78_empty_keys_are_one_key, .timeout = 60)
{
    const struct mr_pair pairs[] = {{mr_slice_of(NULL, 0), mr_slice_str("a")},
                                    {mr_slice_str(""), mr_slice_str("b")},
                                    {mr_slice_of("c", 1), mr_slice_str("c")}};
    stook_executor *executor = must_create(2);
    struct mr_pair pair;
    mr_result *result = count_pairs(executor, pairs, COUNT_OF(pairs));
    cr_assert_eq(mr_result_count(result), 2);
    cr_assert(mr_result_next(result, &pair));
    cr_assert_eq(pair.key.size, 0);
    cr_assert_eq(slice_u64(pair.value), 2);
    mr_result_destroy(result);
    stook_executor_destroy(executor);
}

Test(mr, B78_empty_values_are_values, .timeout = 60)
{
    const struct mr_pair pairs[] = {{mr_slice_str("a"), mr_slice_of(NULL, 0)},
                                    {mr_slice_str("a"), mr_slice_str("")},
                                    {mr_slice_str("b"), mr_slice_of(NULL, 0)}};
    stook_executor *executor = must_create(2);
    struct mr_job job = pair_job(pairs, COUNT_OF(pairs), each_reduce);
    struct mr_pair pair;
    mr_result *result = must_run(executor, &job);
    cr_assert_eq(mr_result_count(result), 3);
    while (mr_result_next(result, &pair)) {
        cr_assert_eq(pair.key.size, 1);
        cr_assert_eq(pair.value.size, 0);
    }
    mr_result_destroy(result);
    stook_executor_destroy(executor);
}

Test(mr, B78_nul_bytes_in_keys_and_values_count, .timeout = 60)
{
    static const char bytes[] = "a\0b\0";
    stook_executor *executor = must_create(2);
    struct mr_pair pairs[2 * COUNT_OF(bytes)];
    for (size_t i = 0; i < COUNT_OF(pairs); i++) { /* "", "a", "a\0", "a\0b" ... each twice */
        pairs[i].key = mr_slice_of(bytes, i / 2);
        pairs[i].value = pairs[i].key;
    }
    mr_result *result = count_pairs(executor, pairs, COUNT_OF(pairs));
    struct mr_job job = pair_job(pairs, COUNT_OF(pairs), each_reduce);
    mr_result *values = must_run(executor, &job);
    struct mr_pair pair;
    cr_assert_eq(mr_result_count(result), COUNT_OF(bytes));
    for (size_t size = 0; mr_result_next(result, &pair); size++) {
        cr_assert_eq(slice_compare(pair.key, mr_slice_of(bytes, size)), 0);
        cr_assert_eq(slice_u64(pair.value), 2);
    }
    while (mr_result_next(values, &pair)) {
        cr_assert_eq(slice_compare(pair.key, pair.value), 0);
    }
    mr_result_destroy(result);
    mr_result_destroy(values);
    stook_executor_destroy(executor);
}

Test(mr, B78_keys_and_values_of_one_megabyte, .timeout = 60)
{
    const size_t size = (size_t)1 << 20;
    stook_executor *executor = must_create(2);
    char *big = must_alloc(size);
    char *other = must_alloc(size);
    memset(big, 'x', size);
    memset(other, 'x', size);
    other[size - 1] = 'y';
    const struct mr_slice a = mr_slice_of(big, size);
    const struct mr_slice b = mr_slice_of(other, size);
    const struct mr_pair pairs[] = {{b, a}, {a, b}, {a, mr_slice_str("v")}, {mr_slice_str("k"), a}};
    struct mr_job job = pair_job(pairs, COUNT_OF(pairs), each_reduce);
    mr_result *counts = count_pairs(executor, pairs, COUNT_OF(pairs));
    mr_result *result = must_run(executor, &job);
    mr_result *expected = must_run(NULL, &job);
    struct mr_pair pair;
    cr_assert_eq(mr_result_count(counts), 3);
    cr_assert_eq(mr_result_count(result), 4);
    cr_assert(same_result(expected, result, true));
    mr_result_rewind(result);
    cr_assert(mr_result_next(result, &pair));
    cr_assert(slice_is(pair.key, "k"));
    cr_assert_eq(slice_compare(pair.value, a), 0);
    cr_assert(mr_result_next(result, &pair));
    cr_assert_eq(slice_compare(pair.key, a), 0);
    mr_result_destroy(counts);
    mr_result_destroy(expected);
    mr_result_destroy(result);
    stook_executor_destroy(executor);
    free(big);
    free(other);
}

/* --- ready-made combiners ---------------------------------------------------------------------- */

enum { NUMBERS = 3000, NUMBER_KEYS = 7 };

/* Quarters, whose sums are exact in any order. */
static double number_of(uint64_t index)
{
    return ((double)index - NUMBERS / 3) / 4;
}

static int number_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    unsigned char key = (unsigned char)(item->index % NUMBER_KEYS);
    (void)user;
    return mr_emit_f64(out, mr_slice_of(&key, 1), number_of(item->index));
}

static int indirect_sum_f64(struct mr_slice key, void *accumulator, size_t size,
                            struct mr_slice value, void *user)
{
    return mr_sum_f64(key, accumulator, size, value, user);
}

static int number_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct mr_slice value;
    double sum = 0;
    (void)user;
    while (mr_values_next(values, &value)) {
        sum += mr_slice_f64(value);
    }
    return mr_emit_f64(out, key, sum);
}

/* Known to the library, called by it as any other, and with a reducer behind. */
Test(mr, doubles_are_added_up, .timeout = 60)
{
    static const char items[NUMBERS];
    stook_executor *executor = must_create(3);
    for (unsigned form = 0; form < 12; form++) {
        double expected[NUMBER_KEYS] = {0};
        struct mr_pair pair;
        struct mr_job job = MR_JOB_INIT;
        job.input = mr_input_array(items, NUMBERS, 1);
        job.input.chunk = 50;
        job.map = number_map;
        job.combine = form % 3 == 0 ? mr_sum_f64 : form % 3 == 1 ? indirect_sum_f64 : NULL;
        job.reduce = form % 3 == 2 || form % 2 == 1 ? number_reduce : NULL;
        job.order = MR_ORDER_KEY;
        for (uint64_t i = 0; i < NUMBERS; i++) {
            expected[i % NUMBER_KEYS] += number_of(i);
        }
        mr_result *result = must_run(form < 6 ? executor : NULL, &job);
        cr_assert_eq(mr_result_count(result), NUMBER_KEYS);
        for (unsigned char key = 0; mr_result_next(result, &pair); key++) {
            cr_assert_eq(slice_compare(pair.key, mr_slice_of(&key, 1)), 0);
            cr_assert_eq(mr_slice_f64(pair.value), expected[key], "form %u, key %u", form, key);
        }
        mr_result_destroy(result);
    }
    stook_executor_destroy(executor);
}

Test(mr, ready_made_sums_can_be_called)
{
    const struct mr_slice key = mr_slice_str("a");
    const uint64_t most = UINT64_MAX;
    const double part = 0.125;
    uint64_t sum = 5;
    double real = -1;
    cr_assert_eq(mr_sum_u64(key, &sum, sizeof sum, mr_slice_of(&most, sizeof most), NULL), 0);
    cr_assert_eq(sum, 4, "sums wrap around");
    cr_assert_eq(mr_sum_f64(key, &real, sizeof real, mr_slice_of(&part, sizeof part), NULL), 0);
    cr_assert_eq(real, -0.875);
    for (size_t size = 0; size < 8; size++) {
        const struct mr_slice cut = mr_slice_of(&most, size);
        const struct mr_slice full = mr_slice_of(&most, 8);
        cr_assert_eq(mr_sum_u64(key, &sum, 8, cut, NULL), STOOK_INVALID);
        cr_assert_eq(mr_sum_u64(key, &sum, size, full, NULL), STOOK_INVALID);
        cr_assert_eq(mr_sum_f64(key, &real, 8, cut, NULL), STOOK_INVALID);
        cr_assert_eq(mr_sum_f64(key, &real, size, full, NULL), STOOK_INVALID);
    }
    cr_assert_eq(sum, 4);
    cr_assert_eq(real, -0.875);
}
