/* SPDX-License-Identifier: MIT
 *
 * The sort: stable, whatever the input's shape and the element's size; how many comparisons; no
 * memory; compare functions that make no sense; and sorts in whatever may call them.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "support.h"

/* Where each access is slow, not each count of elements is tried. */
enum {
    KEYS = 256,
    SENTINEL = 0xa5,
    MOST_SIZE = 40,
    FACTOR = UNDER_TSAN || UNDER_MSAN ? 8 : 1,
};

/* --- an oracle -------------------------------------------------------------------------------- */

/* An element's first byte is its key; the others are its number, as far as there is room. */
struct sorted_array {
    unsigned char *bytes; /* with a sentinel element at each end */
    unsigned char *expected;
    size_t count;
    size_t size;
    atomic_size_t comparisons;
};

enum shape { RANDOM, TWO_KEYS, ASCENDING, DESCENDING, EQUAL, SAW, ORGAN, SWAPPED, LATE, SHAPES };

static unsigned key_of(enum shape shape, size_t i, size_t count, uint64_t *random)
{
    switch (shape) {
    case RANDOM:
        return random_below(random, KEYS);
    case TWO_KEYS:
        return random_below(random, 2);
    case ASCENDING:
        return (unsigned)(i * KEYS / count);
    case DESCENDING: /* strictly, where there are as few */
        return (unsigned)((count - 1 - i) * KEYS / count);
    case EQUAL:
        return 7;
    case SAW:
        return (unsigned)(i % 23);
    case ORGAN:
        return (unsigned)((i < count / 2 ? i : count - 1 - i) * KEYS / count);
    case SWAPPED: /* two sorted halves, all of the second before all of the first */
        return (unsigned)((i + count / 2) % count * KEYS / count);
    default: /* in order but for the last ones */
        return i + 3 < count ? (unsigned)(i * KEYS / count) : random_below(random, KEYS);
    }
}

/* The array and what becomes of it: the elements of each key, one key after the other. */
static struct sorted_array new_array(enum shape shape, size_t count, size_t size, uint64_t *random)
{
    struct sorted_array array = {malloc((count + 2) * size), malloc((count + 2) * size), count,
                                 size, 0};
    size_t places[KEYS + 1] = {0};

    MUST(array.bytes != NULL && array.expected != NULL);
    memset(array.bytes, SENTINEL, (count + 2) * size);
    memset(array.expected, SENTINEL, (count + 2) * size);
    for (size_t i = 0; i < count; i++) {
        unsigned char *element = array.bytes + (1 + i) * size;

        element[0] = (unsigned char)key_of(shape, i, count, random);
        for (size_t k = 1; k < size; k++) {
            element[k] = (unsigned char)(i >> (k - 1) % sizeof i * 8);
        }
        places[element[0] + 1]++;
    }
    for (size_t key = 0; key < KEYS; key++) {
        places[key + 1] += places[key];
    }
    for (size_t i = 0; i < count; i++) {
        const unsigned char *element = array.bytes + (1 + i) * size;

        memcpy(array.expected + (1 + places[element[0]]++) * size, element, size);
    }
    return array;
}

static void must_be_sorted(struct sorted_array *array)
{
    MUST(memcmp(array->bytes, array->expected, (array->count + 2) * array->size) == 0);
    free(array->bytes);
    free(array->expected);
}

static int compare_keys(const void *left, const void *right, void *user_data)
{
    struct sorted_array *array = user_data;
    const unsigned char *a = left;
    const unsigned char *b = right;

    atomic_fetch_add_explicit(&array->comparisons, 1, memory_order_relaxed);
    return *a < *b ? INT32_MIN : *a > *b ? 1 : 0;
}

static void must_sort(stook_executor *executor, enum shape shape, size_t count, size_t size,
                      uint64_t *random)
{
    struct sorted_array array = new_array(shape, count, size, random);

    MUST(stook_executor_sort(executor, array.bytes + size, count, size, compare_keys, &array) ==
         STOOK_OK);
    must_be_sorted(&array);
}

Test(sort, is_stable_for_each_count, .timeout = 120)
{
    for (unsigned workers = 1; workers <= 3; workers += 2) {
        stook_executor *executor = must_create(workers);
        uint64_t random = workers;

        for (size_t count = 0; count <= 1000; count += 1 + (FACTOR - 1) * count / 100) {
            for (int shape = 0; shape < (workers == 1 ? SHAPES : 2); shape++) {
                must_sort(executor, (enum shape)shape, count, 4, &random);
            }
        }
        stook_executor_destroy(executor);
    }
}

Test(sort, is_stable_for_each_element_size, .timeout = 120)
{
    for (unsigned workers = 1; workers <= 3; workers += 2) {
        stook_executor *executor = must_create(workers);
        uint64_t random = workers;

        for (size_t size = 1; size <= MOST_SIZE; size += size < 9 ? 1 : FACTOR) {
            for (int shape = 0; shape < SHAPES; shape++) {
                for (size_t count = 0; count < 4000; count += 1 + count) {
                    must_sort(executor, (enum shape)shape, count, size, &random);
                }
            }
        }
        must_sort(executor, RANDOM, 1000, 300, &random);
        must_sort(executor, DESCENDING, 200, 5000, &random);
        stook_executor_destroy(executor);
    }
}

Test(sort, large_arrays_on_several_workers, .timeout = 120)
{
    for (unsigned workers = 2; workers <= 4; workers++) {
        stook_executor *executor = must_create(workers);
        uint64_t random = workers;

        for (int round = 0; round < 30; round += (FACTOR + 1) / 2) {
            const size_t count = 50000 + random_below(&random, 100000);

            must_sort(executor, (enum shape)(round % SHAPES), count, 8, &random);
        }
        must_sort(executor, RANDOM, 1000000 / FACTOR, 4, &random);
        stook_executor_destroy(executor);
    }
}

/* --- comparisons ------------------------------------------------------------------------------ */

/* For each shape; at least as many as are in order anyhow. */
static size_t most_comparisons(enum shape shape, size_t count)
{
    size_t log = 0;

    if (shape == ASCENDING || shape == EQUAL) {
        return count - 1;
    }
    while ((size_t)1 << log < count) {
        log++;
    }
    return count * log;
}

Test(sort, makes_about_n_log_n_comparisons_at_most, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    uint64_t random = 1;

    for (size_t count = 2; count <= 20000; count += 1 + FACTOR * count / 50) {
        for (int shape = 0; shape < SHAPES; shape++) {
            struct sorted_array array = new_array((enum shape)shape, count, 4, &random);

            MUST(stook_executor_sort(executor, array.bytes + 4, count, 4, compare_keys, &array) ==
                 STOOK_OK);
            cr_assert_leq(atomic_load(&array.comparisons),
                          most_comparisons((enum shape)shape, count), "shape %d, count %zu", shape,
                          count);
            must_be_sorted(&array);
        }
    }
    stook_executor_destroy(executor);
}

struct counted {
    size_t comparisons;
};

static int compare_sizes(const void *left, const void *right, void *user_data)
{
    const size_t a = *(const size_t *)left;
    const size_t b = *(const size_t *)right;

    ((struct counted *)user_data)->comparisons++;
    return (a > b) - (a < b);
}

Test(sort, a_strictly_descending_array_is_reversed_by_n_comparisons, .timeout = 60)
{
    enum { COUNT = 10000 };
    static size_t numbers[COUNT];
    stook_executor *executor = must_create(1);
    struct counted counted = {0};

    for (size_t i = 0; i < COUNT; i++) {
        numbers[i] = COUNT - 1 - i;
    }
    cr_assert_eq(
        stook_executor_sort(executor, numbers, COUNT, sizeof numbers[0], compare_sizes, &counted),
        STOOK_OK);
    for (size_t i = 0; i < COUNT; i++) {
        cr_assert_eq(numbers[i], i);
    }
    cr_assert_lt(counted.comparisons, COUNT);
    stook_executor_destroy(executor);
}

/* --- compare functions that contradict themselves --------------------------------------------- */

struct senseless {
    atomic_uint_fast64_t random;
    unsigned bias; /* of 4 answers */
    const unsigned char *bytes;
    size_t bytes_size;
};

static int compare_senselessly(const void *left, const void *right, void *user_data)
{
    struct senseless *senseless = user_data;
    uint64_t random = atomic_fetch_add(&senseless->random, 0x9e3779b97f4a7c15u);

    MUST(*(const unsigned *)left != 0 && *(const unsigned *)right != 0);
    return random_below(&random, 4) < senseless->bias ? 1 : -1;
}

/* Elements are kept, each once, and nothing else is read or written (sanitizers look too). */
Test(sort, a_compare_function_without_sense_loses_no_element, .timeout = 120)
{
    enum { COUNT = 6000 };
    static unsigned numbers[COUNT];
    static bool is_there[COUNT + 1];

    for (unsigned workers = 1; workers <= 3; workers++) {
        stook_executor *executor = must_create(workers);

        for (unsigned round = 0; round < 100; round += FACTOR) {
            const size_t count = COUNT - round * 13;
            struct senseless senseless = {.random = round, .bias = round % 5};

            for (unsigned i = 0; i < count; i++) {
                numbers[i] = i + 1;
            }
            memset(is_there, 0, sizeof is_there);
            cr_assert_eq(stook_executor_sort(executor, numbers, count, sizeof numbers[0],
                                             compare_senselessly, &senseless),
                         STOOK_OK);
            for (size_t i = 0; i < count; i++) {
                cr_assert(numbers[i] >= 1 && numbers[i] <= count && !is_there[numbers[i]]);
                is_there[numbers[i]] = true;
            }
        }
        stook_executor_destroy(executor);
    }
}

/* --- alignment -------------------------------------------------------------------------------- */

struct wide {
    _Alignas(256) unsigned key;
};

static int compare_wide(const void *left, const void *right, void *user_data)
{
    const struct wide *a = left;
    const struct wide *b = right;

    (void)user_data;
    MUST((uintptr_t)left % 256 == 0 && (uintptr_t)right % 256 == 0);
    return (a->key > b->key) - (a->key < b->key);
}

Test(sort, elements_stay_as_aligned_as_their_size_says, .timeout = 60)
{
    enum { COUNT = 3000 };
    static struct wide elements[COUNT];
    stook_executor *executor = must_create(2);
    uint64_t random = 1;

    for (size_t i = 0; i < COUNT; i++) {
        elements[i].key = random_below(&random, 1000000);
    }
    cr_assert_eq(
        stook_executor_sort(executor, elements, COUNT, sizeof elements[0], compare_wide, NULL),
        STOOK_OK);
    for (size_t i = 1; i < COUNT; i++) {
        cr_assert_leq(elements[i - 1].key, elements[i].key);
    }
    stook_executor_destroy(executor);
}

/* --- arguments and memory --------------------------------------------------------------------- */

static int never(const void *left, const void *right, void *user_data)
{
    (void)left;
    (void)right;
    (void)user_data;
    MUST(false);
    return 0;
}

static void bad_sorts_here(stook_here *here, void *arg)
{
    int numbers[2] = {2, 1};

    (void)arg;
    MUST(stook_sort(here, numbers, 2, 4, NULL, NULL) == STOOK_INVALID);
    MUST(stook_sort(here, numbers, 2, 0, never, NULL) == STOOK_INVALID);
    MUST(stook_sort(here, NULL, 2, 4, never, NULL) == STOOK_INVALID);
    MUST(stook_sort(here, numbers, SIZE_MAX / 4 + 1, 4, never, NULL) == STOOK_INVALID);
    MUST(stook_sort(here, NULL, 0, 4, never, NULL) == STOOK_OK);
    MUST(stook_sort(here, numbers, 1, 4, never, NULL) == STOOK_OK);
}

Test(sort, B22_bad_arguments_and_less_than_two_elements, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    int numbers[2] = {2, 1};

    cr_assert_eq(stook_executor_run(executor, bad_sorts_here, NULL), STOOK_OK);
    cr_assert_eq(stook_executor_sort(NULL, numbers, 2, 4, never, NULL), STOOK_INVALID);
    cr_assert_eq(stook_executor_sort(executor, numbers, 2, 4, NULL, NULL), STOOK_INVALID);
    cr_assert_eq(stook_executor_sort(executor, numbers, 2, 0, never, NULL), STOOK_INVALID);
    cr_assert_eq(stook_executor_sort(executor, NULL, 2, 4, never, NULL), STOOK_INVALID);
    cr_assert_eq(stook_executor_sort(executor, numbers, SIZE_MAX / 2, 3, never, NULL),
                 STOOK_INVALID);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(stook_executor_sort(executor, numbers, 2, 4, never, NULL), STOOK_SHUTDOWN);
    cr_assert_eq(stook_executor_sort(executor, numbers, 1, 4, never, NULL), STOOK_OK);
    cr_assert_eq(stook_executor_sort(executor, NULL, 0, 4, never, NULL), STOOK_OK);
    cr_assert(numbers[0] == 2 && numbers[1] == 1);
    stook_executor_destroy(executor);
}

enum { POOR_COUNT = 100000, POOR_SIZE = POOR_COUNT * sizeof(size_t) };

struct memory {
    atomic_long blocks;
    atomic_bool is_poor; /* nothing for an array */
};

static void *memory_allocate(void *user_data, size_t size)
{
    struct memory *memory = user_data;

    if (atomic_load(&memory->is_poor) && size >= POOR_SIZE) {
        return NULL;
    }
    atomic_fetch_add(&memory->blocks, 1);
    return malloc(size);
}

static void memory_deallocate(void *user_data, void *block, size_t size)
{
    struct memory *memory = user_data;

    (void)size;
    atomic_fetch_sub(&memory->blocks, 1);
    free(block);
}

Test(sort, B30_without_memory_nothing_is_changed, .timeout = 60)
{
    static size_t numbers[POOR_COUNT];
    struct memory memory = {0};
    const struct stook_allocator allocator = {memory_allocate, memory_deallocate, &memory};
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = NULL;
    struct counted counted = {0};

    options.workers = 1;
    options.allocator = &allocator;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_OK);
    for (size_t i = 0; i < POOR_COUNT; i++) {
        numbers[i] = i ^ 3; /* begins in reverse order */
    }
    atomic_store(&memory.is_poor, true);
    cr_assert_eq(stook_executor_sort(executor, numbers, POOR_COUNT, sizeof numbers[0],
                                     compare_sizes, &counted),
                 STOOK_NOMEM);
    for (size_t i = 0; i < POOR_COUNT; i++) {
        cr_assert_eq(numbers[i], i ^ 3);
    }
    atomic_store(&memory.is_poor, false);
    cr_assert_eq(stook_executor_sort(executor, numbers, POOR_COUNT, sizeof numbers[0],
                                     compare_sizes, &counted),
                 STOOK_OK);
    for (size_t i = 1; i < POOR_COUNT; i++) {
        cr_assert_lt(numbers[i - 1], numbers[i]);
    }
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&memory.blocks), 0);
}

/* --- sorts everywhere ------------------------------------------------------------------------- */

static int sort_in_loop(stook_here *here, size_t begin, size_t end, void *user_data)
{
    uint64_t random = begin + 1;

    (void)user_data;
    for (; begin < end; begin++) {
        struct sorted_array array = new_array(RANDOM, 1 + begin * 20, 8, &random);

        MUST(stook_sort(here, array.bytes + 8, array.count, 8, compare_keys, &array) == STOOK_OK);
        must_be_sorted(&array);
    }
    return 0;
}

static int sorting_task(void *arg, void **ret_value)
{
    uint64_t random = 5;

    (void)ret_value;
    must_sort(arg, RANDOM, 5000, 12, &random);
    return 0;
}

Test(sort, in_loops_and_tasks, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        stook_executor *executor = must_create(workers);
        stook_future *futures[16];

        cr_assert_eq(
            stook_executor_submit_many(executor, NULL, sorting_task, executor, 16, 0, futures),
            STOOK_OK);
        cr_assert_eq(stook_executor_for(executor, (struct stook_range){.end = 200}, sort_in_loop,
                                        NULL, NULL),
                     STOOK_OK);
        for (int i = 0; i < 16; i++) {
            cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
        }
        release_all(futures, 16);
        stook_executor_destroy(executor);
    }
}
