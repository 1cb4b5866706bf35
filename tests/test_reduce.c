/* SPDX-License-Identifier: MIT
 *
 * Reductions: values in the order of the indices, whoever takes part; the same bits and the same
 * pieces each time where that is asked for; large accumulators, and no memory for them.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "support.h"

static struct stook_range range_of(size_t begin, size_t end, size_t grain)
{
    return (struct stook_range){.begin = begin, .end = end, .grain = grain};
}

/* --- an allocator that can be told to fail ---------------------------------------------------- */

struct memory {
    atomic_size_t fails_from; /* a size */
    atomic_int passes;        /* as many that large are given before they fail */
    atomic_long blocks;       /* given and not taken back */
};

static void *memory_allocate(void *user_data, size_t size)
{
    struct memory *memory = user_data;

    if (size >= atomic_load(&memory->fails_from) && atomic_fetch_sub(&memory->passes, 1) <= 0) {
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

static stook_executor *must_create_with(unsigned workers, struct memory *memory)
{
    const struct stook_allocator allocator = {memory_allocate, memory_deallocate, memory};
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = NULL;

    *memory = (struct memory){.fails_from = SIZE_MAX};
    options.workers = workers;
    options.allocator = &allocator;
    MUST(stook_executor_create(&options, &executor) == STOOK_OK);
    return executor;
}

/* --- order: maps x -> a * x + b, whose composition is not commutative ------------------------- */

/* `padding` makes larger accumulators of the same. */
struct affine {
    uint64_t a;
    uint64_t b;
    size_t begin; /* the indices that it is of; begin SIZE_MAX: none yet */
    size_t end;
    unsigned char padding[];
};

struct affine_job {
    size_t size; /* of an accumulator */
    atomic_uint bodies;
    atomic_uint combines;
};

static uint64_t factor_of(size_t i)
{
    return (uint64_t)i * 2654435761u * 2 + 1;
}

static void affine_append(struct affine *left, const struct affine *right)
{
    left->b = right->a * left->b + right->b;
    left->a = right->a * left->a;
    if (left->begin == SIZE_MAX) {
        left->begin = right->begin;
    }
    left->end = right->end;
}

static void must_be_accumulator(const struct affine *affine, const struct affine_job *job)
{
    MUST((uintptr_t)affine % _Alignof(max_align_t) == 0);
    for (size_t i = sizeof *affine; i < job->size; i += 1 + job->size / 64) {
        MUST(affine->padding[i - sizeof *affine] == (unsigned char)i);
    }
}

static void affine_body(stook_here *here, size_t begin, size_t end, void *accumulator,
                        void *user_data)
{
    struct affine_job *job = user_data;
    struct affine *affine = accumulator;

    MUST(here != NULL);
    MUST(begin < end);
    must_be_accumulator(affine, job);
    MUST(affine->begin == SIZE_MAX || affine->end == begin);
    for (size_t i = begin; i < end; i++) {
        const struct affine one = {.a = factor_of(i), .b = i, .begin = begin, .end = i + 1};

        affine_append(affine, &one);
    }
    atomic_fetch_add(&job->bodies, 1);
}

static void affine_combine(void *left, void *right, void *user_data)
{
    struct affine_job *job = user_data;
    const struct affine *behind = right;

    must_be_accumulator(left, job);
    must_be_accumulator(right, job);
    MUST(((struct affine *)left)->end == behind->begin && behind->begin < behind->end);
    affine_append(left, behind);
    atomic_fetch_add(&job->combines, 1);
}

static struct affine *new_affine(size_t size)
{
    struct affine *affine = calloc(1, size);

    MUST(affine != NULL);
    affine->a = 1;
    affine->begin = SIZE_MAX;
    for (size_t i = sizeof *affine; i < size; i++) {
        affine->padding[i - sizeof *affine] = (unsigned char)i;
    }
    return affine;
}

struct affine_call {
    stook_executor *executor;
    struct stook_range range;
    size_t size;
    bool is_deterministic;
    struct affine_job job; /* as it was left */
};

/* Checks the value, unless the status is another than OK: then that nothing was done. */
static enum stook_status affine_reduce(struct affine_call *call)
{
    struct affine *identity = new_affine(call->size);
    struct affine *accumulator = new_affine(call->size);
    struct affine *expected = new_affine(call->size);

    call->job = (struct affine_job){.size = call->size};
    const struct stook_reduction reduction = {.size = call->size,
                                              .identity = identity,
                                              .body = affine_body,
                                              .combine = affine_combine,
                                              .user_data = &call->job,
                                              .is_deterministic = call->is_deterministic};
    accumulator->a = expected->a = 11;
    accumulator->b = expected->b = 12;
    const enum stook_status status =
        stook_executor_reduce(call->executor, call->range, &reduction, accumulator);
    for (size_t i = call->range.begin; status == STOOK_OK && i < call->range.end; i++) {
        const struct affine one = {
            .a = factor_of(i), .b = i, .begin = call->range.begin, .end = i + 1};

        affine_append(expected, &one);
    }
    MUST(memcmp(accumulator, expected, call->size) == 0);
    free(identity);
    free(accumulator);
    free(expected);
    return status;
}

enum { SMALL = sizeof(struct affine), MIDDLE = 256, LARGE = 257, LARGEST = 5000 };

static const size_t sizes[] = {SMALL, MIDDLE, LARGE, LARGEST};
static const size_t grains[] = {0, 1, 3, 100, SIZE_MAX};

Test(reduce, takes_values_in_order_whoever_takes_part, .timeout = 120)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        struct memory memory;
        stook_executor *executor = must_create_with(workers, &memory);

        for (int k = 0; k < 2 * 4 * 5; k++) {
            struct affine_call call = {
                .executor = executor, .size = sizes[k / 2 % 4], .is_deterministic = k % 2};

            for (size_t count = 0; count < 3000; count += 1 + count / 2) {
                call.range = range_of(count, 2 * count, grains[k / 8]);
                cr_assert_eq(affine_reduce(&call), STOOK_OK);
            }
            call.range = range_of(SIZE_MAX - 500, SIZE_MAX, grains[k / 8]);
            cr_assert_eq(affine_reduce(&call), STOOK_OK);
        }
        const int workers_share = workers > 1;
        for (int round = 0; round < 20 * workers_share; round++) {
            struct affine_call call = {executor, range_of(0, 20000, 5), LARGE, round % 2, {0}};

            cr_assert_eq(affine_reduce(&call), STOOK_OK);
        }
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&memory.blocks), 0);
    }
}

/* --- the same each time ----------------------------------------------------------------------- */

Test(reduce, deterministic_pieces_and_tree_depend_on_the_range_alone, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        stook_executor *executor = must_create(workers);

        for (unsigned count = 1; count < 5000; count += 1 + count / 4) {
            for (unsigned grain = 1; grain < 40; grain = grain * 3 - 1 + (grain == 1)) {
                struct affine_call call = {
                    executor, range_of(7, 7 + count, grain), SMALL, true, {0}};

                cr_assert_eq(affine_reduce(&call), STOOK_OK);
                cr_assert_eq(atomic_load(&call.job.bodies), (count + grain - 1) / grain);
                cr_assert_eq(atomic_load(&call.job.combines), (count + grain - 1) / grain - 1);
            }
        }
        struct affine_call least = {executor, range_of(0, 2560, 0), SMALL, true, {0}};
        cr_assert_eq(affine_reduce(&least), STOOK_OK);
        cr_assert_eq(atomic_load(&least.job.bodies), 10u);
        struct affine_call most = {executor, range_of(0, 3000000, 0), SMALL, true, {0}};
        cr_assert_eq(affine_reduce(&most), STOOK_OK);
        cr_assert_leq(atomic_load(&most.job.bodies), 1024u);
        cr_assert_gt(atomic_load(&most.job.bodies), 1000u);
        stook_executor_destroy(executor);
    }
}

static void add_numbers(stook_here *here, size_t begin, size_t end, void *accumulator,
                        void *user_data)
{
    const double *numbers = user_data;

    (void)here;
    for (size_t i = begin; i < end; i++) {
        *(double *)accumulator += numbers[i];
    }
}

static void add_number(void *left, void *right, void *user_data)
{
    (void)user_data;
    *(double *)left += *(const double *)right;
}

Test(reduce, sums_of_doubles_have_the_same_bits_with_any_number_of_workers, .timeout = 60)
{
    enum { COUNT = 300000, ROUNDS = 20 };
    static double numbers[COUNT];
    const double zero = 0;
    const struct stook_reduction reduction = {.size = sizeof zero,
                                              .identity = &zero,
                                              .body = add_numbers,
                                              .combine = add_number,
                                              .user_data = numbers,
                                              .is_deterministic = true};
    uint64_t random = 1;
    double first = 0;
    double plain = 0;

    for (size_t i = 0; i < COUNT; i++) {
        numbers[i] = (double)(int64_t)random_next(&random) / (1 + random_below(&random, 1000000));
        plain += numbers[i];
    }
    for (unsigned workers = 1; workers <= 8; workers++) {
        stook_executor *executor = must_create(workers);

        for (int round = 0; round < ROUNDS; round++) {
            double sum = 0;

            cr_assert_eq(stook_executor_reduce(executor, range_of(0, COUNT, 0), &reduction, &sum),
                         STOOK_OK);
            if (workers == 1 && round == 0) {
                first = sum;
                cr_assert_neq(memcmp(&plain, &first, sizeof first), 0, "the numbers are too nice");
            }
            cr_assert_eq(memcmp(&sum, &first, sizeof sum), 0, "%a and %a", sum, first);
        }
        stook_executor_destroy(executor);
    }
}

static void add_length(stook_here *here, size_t begin, size_t end, void *accumulator,
                       void *user_data)
{
    (void)here;
    *(size_t *)accumulator += end - begin;
    atomic_fetch_add((atomic_uint *)user_data, 1);
}

static void add_lengths(void *left, void *right, void *user_data)
{
    (void)user_data;
    *(size_t *)left += *(const size_t *)right;
}

Test(reduce, ranges_of_all_indices, .timeout = 60)
{
    const size_t large[] = {0, SIZE_MAX / 50, SIZE_MAX / 3 + 1, SIZE_MAX - 1, SIZE_MAX};
    const size_t zero = 0;

    for (unsigned k = 0; k < 2 * sizeof large / sizeof large[0]; k++) {
        stook_executor *executor = must_create(1 + k % 3);
        atomic_uint bodies = 0;
        const struct stook_reduction reduction = {.size = sizeof zero,
                                                  .identity = &zero,
                                                  .body = add_length,
                                                  .combine = add_lengths,
                                                  .user_data = &bodies,
                                                  .is_deterministic = k % 2};
        const size_t grain = large[k / 2];
        size_t length = 0;

        cr_assert_eq(
            stook_executor_reduce(executor, range_of(0, SIZE_MAX, grain), &reduction, &length),
            STOOK_OK);
        cr_assert_eq(length, SIZE_MAX);
        if (grain > 0) {
            cr_assert_eq(atomic_load(&bodies), SIZE_MAX / grain + (SIZE_MAX % grain != 0));
        }
        stook_executor_destroy(executor);
    }
}

/* --- no memory -------------------------------------------------------------------------------- */

/* Larger than anything else that is allocated. */
enum { POOR_SIZE = 1 << 19 };

/* With memory for `passes` accumulators. */
static enum stook_status reduce_poorly(struct affine_call *call, struct memory *memory, int passes)
{
    atomic_store(&memory->passes, passes);
    return affine_reduce(call);
}

Test(reduce, without_memory_a_range_is_not_split_or_a_tree_not_begun, .timeout = 120)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        struct memory memory;
        stook_executor *executor = must_create_with(workers, &memory);
        struct affine_call call = {.executor = executor, .size = POOR_SIZE};

        atomic_store(&memory.fails_from, POOR_SIZE);
        for (int passes = 0; passes < 4; passes++) {
            for (size_t count = 1; count < 40; count += 1 + count / 2) {
                call.range = range_of(0, count, 1);
                call.is_deterministic = false;
                cr_assert_eq(reduce_poorly(&call, &memory, passes), STOOK_OK);
                call.is_deterministic = true;
                const bool is_refused = passes == 0 && count > 1;
                cr_assert_eq(reduce_poorly(&call, &memory, passes),
                             is_refused ? STOOK_NOMEM : STOOK_OK);
                cr_assert_eq(atomic_load(&call.job.bodies), is_refused ? 0 : count);
            }
        }
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&memory.blocks), 0);
    }
}

/* A tree of accumulators that no address space has room for. */
Test(reduce, accumulators_whose_sizes_overflow_are_no_memory, .timeout = 60)
{
    struct memory memory;
    stook_executor *executor = must_create_with(1, &memory);
    unsigned char byte = 0;
    struct stook_reduction reduction = {.identity = &byte,
                                        .body = affine_body,
                                        .combine = affine_combine,
                                        .is_deterministic = true};

    atomic_store(&memory.fails_from, (size_t)1 << 30);
    for (size_t size = SIZE_MAX; size > SIZE_MAX / 4; size -= SIZE_MAX / 16) {
        reduction.size = size;
        cr_assert_eq(stook_executor_reduce(executor, range_of(0, SIZE_MAX, 1), &reduction, &byte),
                     STOOK_NOMEM);
    }
    stook_executor_destroy(executor);
}

/* --- arguments -------------------------------------------------------------------------------- */

Test(reduce, B22_bad_arguments_and_empty_ranges, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    const double zero = 0;
    double sum = 77;
    const struct stook_reduction good = {
        .size = sizeof zero, .identity = &zero, .body = add_numbers, .combine = add_number};
    struct stook_reduction bad[4] = {good, good, good, good};
    const struct stook_range range = {.begin = 0, .end = 1};

    bad[0].size = 0;
    bad[1].identity = NULL;
    bad[2].body = NULL;
    bad[3].combine = NULL;
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(stook_executor_reduce(executor, range, &bad[i], &sum), STOOK_INVALID);
    }
    cr_assert_eq(stook_executor_reduce(NULL, range, &good, &sum), STOOK_INVALID);
    cr_assert_eq(stook_executor_reduce(executor, range, NULL, &sum), STOOK_INVALID);
    cr_assert_eq(stook_executor_reduce(executor, range, &good, NULL), STOOK_INVALID);
    cr_assert_eq(stook_executor_reduce(executor, range_of(2, 1, 0), &good, &sum), STOOK_INVALID);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(stook_executor_reduce(executor, range, &good, &sum), STOOK_SHUTDOWN);
    cr_assert_eq(stook_executor_reduce(executor, range_of(3, 3, 0), &good, &sum), STOOK_OK);
    cr_assert_eq(sum, 77);
    stook_executor_destroy(executor);
}

/* --- reductions in loops, and in each other --------------------------------------------------- */

static void add_indices(stook_here *here, size_t begin, size_t end, void *accumulator,
                        void *user_data);

static size_t sum_here(stook_here *here, size_t count, size_t *depth)
{
    const size_t zero = 0;
    size_t sum = 0;
    const struct stook_reduction reduction = {.size = sizeof zero,
                                              .identity = &zero,
                                              .body = add_indices,
                                              .combine = add_lengths,
                                              .user_data = depth,
                                              .is_deterministic = *depth % 2};

    MUST(stook_reduce(here, range_of(0, count, *depth), &reduction, &sum) == STOOK_OK);
    return sum;
}

/* Each index is worth the sum of the indices below it, `depth` times over. */
static void add_indices(stook_here *here, size_t begin, size_t end, void *accumulator,
                        void *user_data)
{
    size_t below = *(const size_t *)user_data - 1;

    for (size_t i = begin; i < end; i++) {
        *(size_t *)accumulator += below == 0 ? i : sum_here(here, i, &below);
    }
}

static int sum_in_loop(stook_here *here, size_t begin, size_t end, void *user_data)
{
    (void)user_data;
    for (size_t i = begin; i < end; i++) {
        size_t depth = 3;

        MUST(sum_here(here, 30 + i % 2, &depth) == (i % 2 ? 31465 : 27405)); /* n choose 4 */
    }
    return 0;
}

Test(reduce, reductions_in_reductions_in_loops, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        stook_executor *executor = must_create(workers);

        cr_assert_eq(stook_executor_for(executor, range_of(0, 100, 0), sum_in_loop, NULL, NULL),
                     STOOK_OK);
        stook_executor_destroy(executor);
    }
}
