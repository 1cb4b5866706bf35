/* SPDX-License-Identifier: MIT
 *
 * Jobs with a memory limit that go on with files: the result is what it is without the limit, the
 * memory stays within it, and nobody ever sees a file.
 */
#include <errno.h>
#include <sys/stat.h>
#include "check.h"
#include "mr_bulk.h"

/* With the limit and without, with one worker and some. */
static void expect_same(struct bulk *bulk)
{
    const bool is_ordered = bulk->job.order == MR_ORDER_KEY;
    const uint64_t limit = bulk->job.memory_limit;
    stook_executor *executor = must_create(3);

    bulk->job.memory_limit = 0;
    mr_result *expected = bulk_run(executor, bulk, NULL);
    bulk->job.memory_limit = limit;
    mr_result *result = bulk_run(executor, bulk, NULL);
    cr_assert(same_result(expected, result, is_ordered));
    mr_result_destroy(result);
    stook_executor_destroy(executor);
    executor = must_create(1);
    result = bulk_run(executor, bulk, NULL);
    cr_assert(same_result(expected, result, is_ordered));
    mr_result_destroy(result);
    mr_result_destroy(expected);
    stook_executor_destroy(executor);
}

Test(mr_memory, many_distinct_keys_with_a_sum, .timeout = 60)
{
    struct bulk bulk;

    bulk_init(&bulk, 700000, 350000, 12, 8);
    bulk.job.combine = mr_sum_u64;
    expect_same(&bulk);
    bulk_free(&bulk);
}

Test(mr_memory, values_and_keys_of_any_length, .timeout = 60)
{
    static const size_t sizes[][2] = {{4, 2000}, {2000, 8}, {17, 900}, {900, 16}};

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct bulk bulk;
        bulk_init(&bulk, 12000, 5000, sizes[i][0], sizes[i][1]);
        bulk.job.reduce = i % 2 == 0 ? bulk_digest : each_reduce;
        bulk.job.order = i < 3 ? MR_ORDER_KEY : MR_ORDER_NONE;
        expect_same(&bulk);
        bulk_free(&bulk);
    }
}

Test(mr_memory, jobs_that_only_map, .timeout = 60)
{
    for (int is_ordered = 0; is_ordered < 2; is_ordered++) {
        struct bulk bulk;
        bulk_init(&bulk, 12000, 5000, 10, 1000);
        bulk.job.order = is_ordered ? MR_ORDER_KEY : MR_ORDER_NONE;
        expect_same(&bulk);
        bulk_free(&bulk);
    }
}

/* The values of one key do not fit, and the reducer gets all of them. */
Test(mr_memory, values_of_one_key_are_streamed, .timeout = 60)
{
    enum { VALUES = 20000, SIZE = 1500 };
    stook_executor *executor = must_create(2);
    struct mr_stats stats;
    struct mr_pair pair;
    struct bulk bulk;

    bulk_init(&bulk, VALUES, 1, 10, SIZE);
    bulk.job.reduce = bulk_digest;
    mr_result *result = bulk_run(executor, &bulk, &stats);
    cr_assert_eq(mr_result_count(result), 1);
    cr_assert(mr_result_next(result, &pair));
    cr_assert_eq(((const struct digest *)pair.value.data)->count, VALUES);
    cr_assert_geq(stats.spilled_bytes, (uint64_t)VALUES * SIZE);
    cr_assert_leq(stats.peak_memory, MR_LEAST_MEMORY);
    mr_result_destroy(result);
    expect_same(&bulk);
    bulk_free(&bulk);
    stook_executor_destroy(executor);
}

/* More runs than the limit has buffers for are merged by and by: of the groups, and of an ordered
 * result. */
Test(mr_memory, thousands_of_runs, .timeout = 120)
{
    enum { ITEMS = 120000, WORKERS = 8, SIZE = 1000 };
    for (int i = 0; i < 3; i++) {
        stook_executor *executor = must_create(WORKERS);
        struct mr_stats stats;
        struct bulk bulk;
        bulk_init(&bulk, ITEMS, ITEMS / 2, 10, SIZE);
        bulk.job.partitions = WORKERS;
        bulk.job.order = i == 0 ? MR_ORDER_NONE : MR_ORDER_KEY;
        bulk.job.reduce = i == 2 ? NULL : each_reduce;
        mr_result *result = bulk_run(executor, &bulk, &stats);
        cr_assert_eq(mr_result_count(result), ITEMS);
        cr_assert_leq(stats.peak_memory, MR_LEAST_MEMORY);
        mr_result_destroy(result);
        stook_executor_destroy(executor);
        bulk_free(&bulk);
    }
}

static int first_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct mr_slice value;
    (void)user;

    return mr_values_next(values, &value) ? (int)mr_emit_u64(out, key, value.size) : 1;
}

static int no_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    (void)values;
    (void)user;
    return mr_emit(out, key, mr_slice_of(NULL, 0));
}

/* Each key comes once, whatever its reducer leaves unread. */
Test(mr_memory, reducers_need_not_read_all_values, .timeout = 60)
{
    struct bulk bulk;

    bulk_init(&bulk, 20000, 300, 10, 600);
    bulk.job.reduce = first_reduce;
    expect_same(&bulk);
    bulk.job.reduce = no_reduce;
    expect_same(&bulk);
    bulk_free(&bulk);
}

/* A pair that is larger than the limit is the least that must be in memory. */
Test(mr_memory, pairs_larger_than_the_limit, .timeout = 120)
{
    for (int has_reducer = 0; has_reducer < 2; has_reducer++) {
        struct bulk bulk;
        bulk_init(&bulk, 3, 2, 12 << 20, 10 << 20);
        bulk.job.reduce = has_reducer ? each_reduce : NULL;
        bulk.job.input.chunk = 1;
        expect_same(&bulk);
        bulk_free(&bulk);
    }
}

/* --- results that were spilled ----------------------------------------------------------------- */

static int by_value(const struct mr_pair *a, const struct mr_pair *b, void *user)
{
    (void)user;
    return slice_compare(b->value, a->value);
}

/* Sorted as `order` says by qsort, and cut, it is what the job gives without help. */
static void expect_top(stook_executor *executor, struct bulk *bulk, enum mr_order order,
                       uint64_t top)
{
    bulk->job.order = order;
    bulk->job.top = 0;
    mr_result *all = bulk_run(executor, bulk, NULL);
    bulk->job.top = top;
    mr_result *first = bulk_run(executor, bulk, NULL);
    struct mr_pair last = {{NULL, 0}, {NULL, 0}};
    struct mr_pair pair;
    struct mr_pair got;

    const uint64_t count = mr_result_count(all);
    cr_assert_eq(mr_result_count(first), top < count ? top : count);
    for (int round = 0; round < 2; round++) { /* the second time after a rewind */
        uint64_t given = 0;
        while (mr_result_next(first, &got)) {
            cr_assert(mr_result_next(all, &pair));
            cr_assert_eq(pair_compare(&pair, &got), 0);
            given++;
        }
        cr_assert_eq(given, mr_result_count(first));
        cr_assert_eq(mr_result_status(first, NULL), STOOK_OK);
        mr_result_rewind(first);
        mr_result_rewind(all);
    }
    size_t drained;
    struct mr_pair *pairs = drain(all, &drained);
    for (size_t i = 0; i < drained; i++) {
        int compared = i == 0 ? 0
                       : order == MR_ORDER_KEY || by_value(&last, &pairs[i], NULL) == 0
                           ? pair_compare(&last, &pairs[i])
                           : by_value(&last, &pairs[i], NULL);
        cr_assert_leq(compared, 0);
        last = pairs[i];
    }
    free(pairs);
    mr_result_destroy(all);
    mr_result_destroy(first);
}

Test(mr_memory, B84_orders_and_tops_of_spilled_results, .timeout = 120)
{
    static const uint64_t tops[] = {1, 10, 11999, 12000, 12001};
    stook_executor *executor = must_create(2);
    struct bulk bulk;

    bulk_init(&bulk, 12000, 5000, 10, 1000);
    bulk.job.reduce = each_reduce;
    bulk.job.compare = by_value;
    for (size_t i = 0; i < COUNT_OF(tops); i++) {
        expect_top(executor, &bulk, MR_ORDER_KEY, tops[i]);
        expect_top(executor, &bulk, MR_ORDER_PAIR, tops[i]);
    }
    bulk.job.reduce = NULL;
    expect_top(executor, &bulk, MR_ORDER_KEY, 7);
    expect_top(executor, &bulk, MR_ORDER_PAIR, 7);
    bulk_free(&bulk);
    stook_executor_destroy(executor);
}

Test(mr_memory, B84_a_spilled_result_can_be_rewound_at_any_point, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct bulk bulk;

    bulk_init(&bulk, 12000, 5000, 10, 1000);
    bulk.job.reduce = each_reduce;
    for (int order = MR_ORDER_NONE; order <= MR_ORDER_KEY; order++) {
        bulk.job.order = (enum mr_order)order;
        mr_result *result = bulk_run(executor, &bulk, NULL);
        size_t count;
        struct mr_pair *pairs = drain(result, &count);
        for (size_t stop = 0; stop <= count + 1; stop += 1 + stop * 2) {
            struct mr_pair pair;
            mr_result_rewind(result);
            for (size_t i = 0; i < stop && mr_result_next(result, &pair); i++) {
                cr_assert_eq(pair_compare(&pair, &pairs[i]), 0);
            }
        }
        free(pairs);
        mr_result_destroy(result);
    }
    bulk_free(&bulk);
    stook_executor_destroy(executor);
}

static int same_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    (void)user;
    return mr_emit(out, item->data, item->value);
}

Test(mr_memory, a_spilled_result_is_the_input_of_another_job, .timeout = 60)
{
    static const size_t chunks[] = {1, 100, MR_CHUNK_AUTO};
    stook_executor *executor = must_create(3);
    struct bulk bulk;

    bulk_init(&bulk, 12000, 5000, 10, 1000);
    for (int order = MR_ORDER_NONE; order <= MR_ORDER_KEY; order++) {
        bulk.job.order = (enum mr_order)order;
        mr_result *result = bulk_run(executor, &bulk, NULL);
        for (size_t i = 0; i < COUNT_OF(chunks); i++) {
            struct mr_job job = MR_JOB_INIT;
            struct mr_pair pair;
            job.input = mr_input_result(result);
            job.input.chunk = chunks[i];
            job.map = same_map;
            mr_result_rewind(result);
            cr_assert(mr_result_next(result, &pair)); /* it begins with the first nevertheless */
            mr_result *copy = must_run(executor, &job);
            cr_assert(same_result(result, copy, false));
            mr_result_destroy(copy);
            job.memory_limit = MR_LEAST_MEMORY;
            copy = must_run(executor, &job);
            cr_assert(same_result(result, copy, false));
            mr_result_destroy(copy);
            copy = must_run(NULL, &job);
            cr_assert(same_result(result, copy, false));
            mr_result_destroy(copy);
        }
        mr_result_destroy(result);
    }
    bulk_free(&bulk);
    stook_executor_destroy(executor);
}

Test(mr_memory, groups_that_were_spilled_can_be_reduced_again, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct bulk bulk;
    mr_batch *mapped;
    mr_groups *groups;
    mr_batch *reduced[2];
    mr_result *results[2];

    bulk_init(&bulk, 12000, 5000, 10, 1000);
    bulk.job.reduce = each_reduce;
    cr_assert_eq(mr_async_map(executor, &bulk.job, &mapped, NULL), STOOK_OK);
    cr_assert_eq(mr_shuffle(executor, mapped, &groups, NULL), STOOK_OK);
    mr_batch_destroy(mapped);
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(mr_async_reduce(executor, groups, &reduced[i], NULL), STOOK_OK);
    }
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(mr_batch_result(reduced[i], &results[i]), STOOK_OK);
        mr_batch_destroy(reduced[i]);
    }
    mr_groups_destroy(groups);
    cr_assert_eq(mr_result_count(results[0]), 12000);
    cr_assert(same_result(results[0], results[1], true));
    mr_result_destroy(results[0]);
    mr_result_destroy(results[1]);
    bulk_free(&bulk);
    stook_executor_destroy(executor);
}

/* --- combiners when runs are merged ------------------------------------------------------------ */

static _Atomic(mr_run *) merging_run;

static int merging_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    SPIN_UNTIL(atomic_load(&merging_run) != NULL);
    return bulk_map(item, out, user);
}

static int no_merge(struct mr_slice key, void *accumulator, size_t accumulator_size,
                    struct mr_slice value, void *user)
{
    MUST(key.size == 10 && accumulator_size == value.size &&
         is_aligned(mr_slice_of(accumulator, 1)));
    (void)user;
    return mr_run_state(atomic_load(&merging_run)) == MR_RUN_REDUCING ? 4242 : 0;
}

Test(mr_memory, B88_combiners_fail_when_runs_are_merged, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct mr_error error;
    struct bulk bulk;
    mr_run *run;

    bulk_init(&bulk, 24000, 12000, 10, 1000);
    bulk.job.map = merging_map;
    bulk.job.combine = no_merge;
    cr_assert_eq(mr_submit(executor, &bulk.job, &run, NULL), STOOK_OK);
    atomic_store(&merging_run, run);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, &error), STOOK_TASK_FAILED);
    cr_assert_eq(error.code, 4242);
    cr_assert_eq(error.phase, MR_PHASE_REDUCE);
    cr_assert_not_null(strstr(error.message, "combine"));
    mr_run_release(run);
    bulk_free(&bulk);
    stook_executor_destroy(executor);
}

/* --- several at once, and figures -------------------------------------------------------------- */

Test(mr_memory, two_jobs_at_once, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct bulk bulks[2];
    mr_run *runs[2];

    for (size_t i = 0; i < 2; i++) {
        bulk_init(&bulks[i], 12000 + 1000 * (uint32_t)i, 3000, 10, 1000);
        bulks[i].job.reduce = each_reduce;
        cr_assert_eq(mr_submit(executor, &bulks[i].job, &runs[i], NULL), STOOK_OK);
    }
    for (size_t i = 0; i < 2; i++) {
        struct mr_stats stats;
        cr_assert_eq(mr_run_wait(runs[i], STOOK_FOREVER, NULL), STOOK_OK);
        mr_run_stats(runs[i], &stats);
        cr_assert_gt(stats.spills, 0);
        mr_result *result = mr_run_take_result(runs[i]);
        mr_run_release(runs[i]);
        mr_result *expected = must_run(NULL, &bulks[i].job);
        cr_assert(same_result(expected, result, true));
        mr_result_destroy(result);
        mr_result_destroy(expected);
        bulk_free(&bulks[i]);
    }
    stook_executor_destroy(executor);
}

/* Whatever it emits, a job stays within its limit but for a pair or two for each worker. */
Test(mr_memory, figures_add_up, .timeout = 60)
{
    enum { ITEMS = 40000, KEYS = 3000, SIZE = 500, LIMIT = 2 * MR_LEAST_MEMORY };
    for (unsigned workers = 1; workers <= 4; workers++) {
        stook_executor *executor = must_create(workers);
        struct mr_stats stats;
        struct bulk bulk;
        bulk_init(&bulk, ITEMS, KEYS, 10, SIZE);
        bulk.job.memory_limit = LIMIT;
        bulk.job.reduce = each_reduce;
        mr_result *result = bulk_run(executor, &bulk, &stats);
        cr_assert_eq(stats.items, ITEMS);
        cr_assert_eq(stats.pairs, ITEMS);
        cr_assert_eq(stats.distinct_keys, KEYS);
        cr_assert(stats.largest_partition >= KEYS / 4 && stats.largest_partition < KEYS);
        cr_assert_eq(stats.results, ITEMS);
        cr_assert_eq(mr_result_count(result), ITEMS);
        cr_assert_geq(stats.spilled_bytes, (uint64_t)ITEMS * SIZE);
        cr_assert_leq(stats.peak_memory, LIMIT);
        cr_assert_gt(stats.map.tasks, 0);
        cr_assert_gt(stats.shuffle.wall_ns, 0);
        cr_assert_gt(stats.reduce.wall_ns, 0);
        mr_result_destroy(result);
        bulk_free(&bulk);
        stook_executor_destroy(executor);
    }
}

Test(mr_memory, limits_that_are_too_small_are_refused, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct mr_error error;
    mr_result *result;
    struct bulk bulk;

    bulk_init(&bulk, 10, 5, 10, 8);
    bulk.job.memory_limit = MR_LEAST_MEMORY - 1;
    cr_assert_eq(mr_map_reduce(executor, &bulk.job, &result, &error), STOOK_INVALID);
    cr_assert_not_null(strstr(error.message, "memory_limit"));
    bulk_free(&bulk);
    stook_executor_destroy(executor);
}

/* --- files ------------------------------------------------------------------------------------- */

Test(mr_memory, nobody_sees_a_file_and_none_stays_open, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    char directory[] = "/tmp/stook-test-XXXXXX";
    struct gate gate = {0};
    struct mr_stats stats;
    struct bulk bulk;
    mr_run *run;

    cr_assert_not_null(mkdtemp(directory));
    bulk_init(&bulk, 12000, 5000, 10, 1000);
    bulk.job.reduce = each_reduce;
    bulk.job.spill_directory = directory;
    bulk.job.input.chunk = 100;
    bulk.gate = &gate;
    bulk.gate_at = 11999;
    const unsigned open_before = count_files("/proc/self/fd");
    cr_assert_eq(mr_submit(executor, &bulk.job, &run, NULL), STOOK_OK);
    gate_await(&gate, 1);
    SPIN_UNTIL((mr_run_stats(run, &stats), stats.spills) > 0); /* by the other worker at least */
    cr_assert_gt(count_files("/proc/self/fd"), open_before);
    cr_assert_eq(count_files(directory), 0);
    gate_open(&gate);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, NULL), STOOK_OK);
    cr_assert_eq(count_files(directory), 0);
    mr_result *result = mr_run_take_result(run);
    mr_run_release(run);
    cr_assert_eq(mr_result_count(result), 12000);
    mr_result_destroy(result);
    cr_assert_eq(count_files("/proc/self/fd"), open_before);
    cr_assert_eq(rmdir(directory), 0);
    bulk_free(&bulk);
    stook_executor_destroy(executor);
}

static void expect_no_file(struct bulk *bulk, const char *directory, int code)
{
    stook_executor *executor = must_create(2);
    struct mr_error error;
    mr_result *result = UNTOUCHED(mr_result);

    bulk->job.spill_directory = directory;
    cr_assert_eq(mr_map_reduce(executor, &bulk->job, &result, &error), STOOK_IO);
    cr_assert_eq(result, UNTOUCHED(mr_result));
    cr_assert_eq(error.status, STOOK_IO);
    cr_assert_eq(error.code, code);
    cr_assert_eq(error.phase, MR_PHASE_MAP);
    cr_assert_not_null(strstr(error.message, directory), "%s", error.message);
    cr_assert(still_works(executor));
    stook_executor_destroy(executor);
}

Test(mr_memory, directories_that_cannot_be_used_are_named, .timeout = 60)
{
    char directory[] = "/tmp/stook-test-XXXXXX";
    struct bulk bulk;

    bulk_init(&bulk, 12000, 5000, 10, 1000);
    bulk.job.reduce = each_reduce;
    expect_no_file(&bulk, "/tmp/there/is/none", ENOENT);
    expect_no_file(&bulk, "/dev/null", ENOTDIR);
    if (geteuid() != 0) { /* whom nothing stops */
        cr_assert_not_null(mkdtemp(directory));
        cr_assert_eq(chmod(directory, 0500), 0);
        expect_no_file(&bulk, directory, EACCES);
        cr_assert_eq(rmdir(directory), 0);
    }
    bulk_free(&bulk);
}

Test(mr_memory, the_directory_is_that_of_the_environment, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct mr_error error;
    mr_result *result;
    struct bulk bulk;

    bulk_init(&bulk, 12000, 5000, 10, 1000);
    cr_assert_eq(setenv("TMPDIR", "/tmp/there/is/none", 1), 0);
    cr_assert_eq(mr_map_reduce(executor, &bulk.job, &result, &error), STOOK_IO);
    cr_assert_not_null(strstr(error.message, "/tmp/there/is/none"));
    cr_assert_eq(setenv("TMPDIR", "", 1), 0); /* as if it were not set */
    mr_result_destroy(bulk_run(executor, &bulk, NULL));
    bulk_free(&bulk);
    stook_executor_destroy(executor);
}
