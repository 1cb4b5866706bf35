/* SPDX-License-Identifier: MIT
 *
 * Jobs with a memory limit where files and memory fail, and that are cancelled meanwhile: the error is
 * told, nothing is left, and the executor goes on.
 */
#define _GNU_SOURCE /* for O_TMPFILE, mremap() */
#include <signal.h>
#include <sys/resource.h>
#include "check.h"
#include "failing_spill.h"
#include "mr_bulk.h"

/* But for blocks, of which an executor keeps some. */
struct usage {
    long mapped;
    unsigned files;
};

static struct usage usage_now(void)
{
    return (struct usage){atomic_load(&mapped), count_files("/proc/self/fd")};
}

static void expect_usage(const struct usage *before)
{
    cr_assert_eq(atomic_load(&mapped), before->mapped);
    cr_assert_eq(count_files("/proc/self/fd"), before->files);
}

/* Spills while mapping, and again what has been reduced. */
static void spilling_bulk(struct bulk *ret)
{
    bulk_init(ret, 12000, 5000, 10, 1000);
    ret->job.reduce = each_reduce;
}

/* Runs the job and reads its result once; gives the first failure of both, and how much was read. */
static enum stook_status run_and_count(stook_executor *executor, const struct bulk *bulk,
                                       struct mr_error *ret_error, uint64_t *ret_count)
{
    struct mr_pair pair;
    mr_result *result = NULL;
    uint64_t count = 0;
    enum stook_status status = mr_map_reduce(executor, &bulk->job, &result, ret_error);

    if (status != STOOK_OK) {
        MUST(result == NULL && status == ret_error->status && ret_error->message[0] != '\0');
        return status;
    }
    while (mr_result_next(result, &pair)) {
        count++;
    }
    status = mr_result_status(result, ret_error);
    MUST((status == STOOK_OK) == (count == mr_result_count(result)));
    mr_result_destroy(result);
    *ret_count = count;
    return status;
}

static enum stook_status run_and_read(stook_executor *executor, const struct bulk *bulk,
                                      struct mr_error *ret_error)
{
    uint64_t count;

    return run_and_count(executor, bulk, ret_error, &count);
}

/* --- writes and reads -------------------------------------------------------------------------- */

/* Fails at the first, second, fourth ... call, once or from then on, until none of them does. */
static void each_call_fails_so(struct failing_calls *calls, unsigned workers, struct bulk *bulk,
                               int code, int told, unsigned least_failures, bool is_once)
{
    const long blocks_before = atomic_load(&blocks);
    stook_executor *executor = must_create(workers);
    unsigned failures = 0;
    enum stook_status status;
    long number = 0;

    do {
        struct usage before = usage_now();
        struct mr_error error;
        spill_calls_reset();
        calls->code = code;
        calls->is_once = is_once;
        atomic_store(&calls->left, number);
        status = run_and_read(executor, bulk, &error);
        if (status != STOOK_OK) {
            failures++;
            cr_assert_eq(status, STOOK_IO);
            cr_assert_eq(error.code, told, "%s", error.message);
            cr_assert_not_null(strstr(error.message, strerror(told)), "%s", error.message);
            cr_assert_gt(error.phase, MR_PHASE_INPUT, "%s", error.message);
        }
        expect_usage(&before);
        spill_calls_reset();
        cr_assert(still_works(executor));
        number += 1 + number / (is_once ? 2 : 8);
    } while (status != STOOK_OK);
    cr_assert_gt(failures, least_failures);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&blocks), blocks_before);
}

static void each_call_fails(struct failing_calls *calls, unsigned workers, struct bulk *bulk,
                            int code, int told, unsigned least_failures)
{
    each_call_fails_so(calls, workers, bulk, code, told, least_failures, false);
}

Test(mr_spill, every_file_may_be_refused, .timeout = 120)
{
    struct bulk bulk;

    spilling_bulk(&bulk);
    each_call_fails(&spill_opens, 2, &bulk, EMFILE, EMFILE, 1);
    each_call_fails(&spill_opens, 2, &bulk, ENOSPC, ENOSPC, 1);
    bulk.job.reduce = NULL;
    each_call_fails(&spill_opens, 2, &bulk, EACCES, EACCES, 1);
    bulk_free(&bulk);
}

Test(mr_spill, every_write_may_find_the_disk_full, .timeout = 120)
{
    struct bulk bulk;

    spilling_bulk(&bulk);
    each_call_fails(&spill_writes, 2, &bulk, ENOSPC, ENOSPC, 20);
    each_call_fails_so(&spill_writes, 2, &bulk, ENOSPC, ENOSPC, 5, true);
    each_call_fails(&spill_writes, 2, &bulk, 0, ENOSPC, 20);
    bulk.job.reduce = NULL; /* lists */
    each_call_fails(&spill_writes, 2, &bulk, EIO, EIO, 20);
    bulk_free(&bulk);
}

Test(mr_spill, every_read_may_fail, .timeout = 120)
{
    struct bulk bulk;

    spilling_bulk(&bulk);
    each_call_fails(&spill_reads, 2, &bulk, EIO, EIO, 10);
    each_call_fails_so(&spill_reads, 2, &bulk, EIO, EIO, 5, true);
    each_call_fails(&spill_reads, 2, &bulk, 0, EIO, 10); /* it has become shorter */
    bulk.job.reduce = NULL;
    bulk.job.combine = fuzz_combine;
    bulk.value_size = sizeof(struct digest);
    bulk.key_size = 1000;
    bulk.keys = bulk.count;
    each_call_fails(&spill_reads, 2, &bulk, EIO, EIO, 10);
    bulk_free(&bulk);
}

/* The same where runs are too many to be merged at once. */
Test(mr_spill, calls_may_fail_while_runs_become_fewer, .timeout = 120)
{
    struct bulk bulk;

    bulk_init(&bulk, 30000, 15000, 10, 1000);
    bulk.job.partitions = 1;
    bulk.job.reduce = each_reduce;
    bulk.job.order = MR_ORDER_KEY;
    each_call_fails(&spill_writes, 16, &bulk, ENOSPC, ENOSPC, 20);
    each_call_fails(&spill_reads, 16, &bulk, EIO, EIO, 20);
    bulk_free(&bulk);
}

static atomic_uint others_mapped;

/* When others have some memory, item 0 takes most of it for its stage, where nothing lets go of it. */
static int staging_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    static const unsigned char bytes[BULK_SMALL];
    const struct bulk *bulk = user;

    if (item->index > 0) {
        atomic_fetch_add(&others_mapped, 1);
        return bulk_map(item, out, user);
    }
    SPIN_UNTIL(atomic_load(&others_mapped) >= 20000);
    for (unsigned i = 0; i < MR_LEAST_MEMORY / sizeof bytes; i++) {
        if (mr_emit(out, mr_slice_of(bytes, 8), mr_slice_of(bytes, sizeof bytes)) != STOOK_OK) {
            return 1;
        }
    }
    gate_pass(bulk->gate);
    return 0;
}

/* A segment that could not be written out is in the hands of other tasks, for a moment, and memory is
 * still short: they must not find in it what has been freed. */
Test(mr_spill, tasks_behind_a_failure_do_not_spill_again, .timeout = 120)
{
    stook_executor *executor = must_create(2);
    struct bulk bulk;

    bulk_init(&bulk, 100000, 100000, 18, 8);
    bulk.job.map = staging_map;
    bulk.job.reduce = each_reduce;
    bulk.job.partitions = 64;
    bulk.job.input.chunk = 10;
    bulk.job.attempts = 2;
    for (long number = 0; number < 3; number++) {
        struct gate gate = {0};
        struct mr_error error;
        mr_run *run;
        spill_calls_reset();
        spill_writes.code = ENOSPC;
        atomic_store(&spill_writes.left, number);
        atomic_store(&others_mapped, 0);
        bulk.gate = &gate;
        bulk.gate_at = UINT32_MAX;
        cr_assert_eq(mr_submit(executor, &bulk.job, &run, NULL), STOOK_OK);
        SPIN_UNTIL(atomic_load(&spill_writes.count) > number);
        give_a_chance(); /* to those behind it */
        gate_open(&gate);
        cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, &error), STOOK_IO);
        cr_assert_eq(error.code, ENOSPC);
        mr_run_release(run);
    }
    cr_assert(still_works(executor));
    bulk_free(&bulk);
    stook_executor_destroy(executor);
}

Test(mr_spill, partial_and_interrupted_calls_go_on, .timeout = 120)
{
    stook_executor *executor = must_create(2);
    struct bulk bulk;

    spilling_bulk(&bulk);
    mr_result *expected = must_run(NULL, &bulk.job);
    spill_writes.most = 4001;
    spill_reads.most = 4001;
    spill_writes.interrupted = true;
    spill_reads.interrupted = true;
    mr_result *result = bulk_run(executor, &bulk, NULL);
    cr_assert(same_result(expected, result, true));
    mr_result_destroy(result);
    mr_result_destroy(expected);
    bulk_free(&bulk);
    stook_executor_destroy(executor);
}

Test(mr_spill, B88_a_limit_of_the_system_is_told, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    const struct rlimit limit = {1 << 20, 1 << 20};
    struct usage before = usage_now();
    struct mr_error error;
    struct bulk bulk;

    cr_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    spilling_bulk(&bulk);
    cr_assert_eq(run_and_read(executor, &bulk, &error), STOOK_IO);
    cr_assert_eq(error.code, EFBIG);
    cr_assert_not_null(strstr(error.message, "memory limit"));
    bulk_free(&bulk);
    expect_usage(&before);
    stook_executor_destroy(executor);
}

/* Reading may be tried again, and what was read before the failure was right. */
Test(mr_spill, a_result_that_could_not_be_read_can_be_read_again, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct mr_error error;
    struct mr_pair pair;
    struct bulk bulk;

    spilling_bulk(&bulk);
    for (int order = MR_ORDER_NONE; order <= MR_ORDER_KEY; order++) {
        bulk.job.order = (enum mr_order)order;
        mr_result *result = bulk_run(executor, &bulk, NULL);
        size_t count;
        size_t given = 0;
        struct mr_pair *pairs = drain(result, &count);
        mr_result_rewind(result);
        spill_reads.code = EIO;
        atomic_store(&spill_reads.left, 40);
        while (mr_result_next(result, &pair)) {
            cr_assert_eq(pair_compare(&pair, &pairs[given++]), 0);
        }
        cr_assert_lt(given, count);
        cr_assert_not(mr_result_next(result, &pair));
        cr_assert_eq(mr_result_status(result, &error), STOOK_IO);
        cr_assert_eq(error.code, EIO);
        cr_assert_eq(error.phase, MR_PHASE_OUTPUT);
        cr_assert_eq(mr_result_status(result, NULL), STOOK_IO);
        spill_calls_reset();
        mr_result_rewind(result);
        cr_assert_eq(mr_result_status(result, NULL), STOOK_OK);
        for (given = 0; mr_result_next(result, &pair); given++) {
            cr_assert_eq(pair_compare(&pair, &pairs[given]), 0);
        }
        cr_assert_eq(given, count);
        free(pairs);
        mr_result_destroy(result);
    }
    bulk_free(&bulk);
    stook_executor_destroy(executor);
}

static int item_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    (void)user;
    return mr_emit(out, item->data, item->value);
}

Test(mr_spill, a_job_on_a_result_that_cannot_be_read_fails, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct bulk bulk;

    spilling_bulk(&bulk);
    mr_result *result = bulk_run(executor, &bulk, NULL);
    struct mr_job job = MR_JOB_INIT;
    job.input = mr_input_result(result);
    job.map = item_map;
    for (int is_sequential = 0; is_sequential < 2; is_sequential++) {
        struct mr_error error;
        mr_result *copy = NULL;
        spill_reads.code = EIO;
        atomic_store(&spill_reads.left, 40);
        enum stook_status status = is_sequential ? mr_map_reduce_sequential(&job, &copy, &error)
                                                 : mr_map_reduce(executor, &job, &copy, &error);
        cr_assert_eq(status, STOOK_IO);
        cr_assert_eq(error.status, STOOK_IO);
        cr_assert_eq(error.phase, MR_PHASE_INPUT);
        cr_assert_eq(error.code, EIO);
        cr_assert_null(copy);
        spill_calls_reset();
    }
    mr_result_destroy(result);
    bulk_free(&bulk);
    stook_executor_destroy(executor);
}

Test(mr_spill, file_systems_without_nameless_files_will_do, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    char directory[] = "/tmp/stook-test-XXXXXX";
    struct bulk bulk;

    cr_assert_not_null(mkdtemp(directory));
    spilling_bulk(&bulk);
    bulk.job.spill_directory = directory;
    atomic_store(&no_nameless, true);
    mr_result *result = bulk_run(executor, &bulk, NULL);
    cr_assert_eq(count_files(directory), 0);
    mr_result *expected = must_run(NULL, &bulk.job);
    cr_assert(same_result(expected, result, true));
    mr_result_destroy(result);
    mr_result_destroy(expected);
    cr_assert_eq(rmdir(directory), 0);
    bulk_free(&bulk);
    stook_executor_destroy(executor);
}

/* --- cancel ------------------------------------------------------------------------------------ */

/* Cancels in the middle of the number-th write; false: there are not as many. */
static bool cancel_at(stook_executor *executor, const struct bulk *bulk, long number)
{
    struct usage before = usage_now();
    struct gate gate = {0};
    struct mr_error error;
    bool is_reached;
    mr_run *run;

    spill_calls_reset();
    cr_assert_eq(mr_submit(executor, &bulk->job, &run, NULL), STOOK_OK);
    SPIN_UNTIL(atomic_load(&spill_writes.count) >= number || stook_future_done(mr_run_future(run)));
    atomic_store(&write_gate, &gate);
    SPIN_UNTIL(atomic_load(&gate.arrived) > 0 || stook_future_done(mr_run_future(run)));
    is_reached = atomic_load(&gate.arrived) > 0;
    mr_run_cancel(run);
    atomic_store(&write_gate, NULL);
    gate_open(&gate);
    enum stook_status status = mr_run_wait(run, STOOK_FOREVER, &error);
    cr_assert(status == STOOK_CANCELLED || status == STOOK_OK); /* too late, at the end */
    cr_assert_eq(mr_run_state(run), status == STOOK_OK ? MR_RUN_DONE : MR_RUN_CANCELLED);
    mr_run_release(run);
    expect_usage(&before);
    return is_reached;
}

Test(mr_spill, B91_cancelled_while_it_writes, .timeout = 120)
{
    stook_executor *executor = must_create(2);
    struct bulk bulk;
    unsigned cancelled = 0;

    spilling_bulk(&bulk);
    for (long number = 0; cancel_at(executor, &bulk, number); number += 1 + number / 4) {
        cancelled++;
    }
    cr_assert_gt(cancelled, 5);
    cr_assert(still_works(executor));
    bulk_free(&bulk);
    stook_executor_destroy(executor);
}

/* --- memory ------------------------------------------------------------------------------------ */

/* A user's own order, so that the sort takes memory. */
static int by_value(const struct mr_pair *a, const struct mr_pair *b, void *user)
{
    (void)user;
    return mr_slice_compare(a->value, b->value);
}

static uint64_t pairs_of(const struct bulk *bulk)
{
    stook_executor *executor = must_create(1);
    struct mr_error error;
    uint64_t pairs;

    cr_assert_eq(run_and_count(executor, bulk, &error, &pairs), STOOK_OK);
    stook_executor_destroy(executor);
    return pairs;
}

static void each_allocation_fails(const struct bulk *bulk, unsigned least_failures)
{
    const uint64_t pairs_wanted = pairs_of(bulk);
    const long blocks_before = atomic_load(&blocks);
    enum stook_status status = STOOK_NOMEM;
    unsigned failures = 0;
    uint64_t pairs;

    for (long number = 0; status != STOOK_OK; number += 1 + number / 100) {
        stook_executor *executor = must_create(1);
        struct usage before = usage_now();
        struct mr_error error;
        fail_call(number);
        status = run_and_count(executor, bulk, &error, &pairs);
        cr_assert(status != STOOK_OK || pairs == pairs_wanted, "call %ld", number);
        if (!has_failed()) {
            cr_assert_eq(status, STOOK_OK);
        } else if (status != STOOK_OK) {
            failures++;
            cr_assert_eq(status, STOOK_NOMEM, "%s", error.message);
        } else {
            status = STOOK_NOMEM; /* it could do without */
        }
        fail_none();
        expect_usage(&before);
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&blocks), blocks_before);
    }
    cr_assert_gt(failures, least_failures);
}

Test(mr_spill, B88_every_allocation_may_fail, .timeout = 300)
{
    struct bulk bulk;

    spilling_bulk(&bulk);
    bulk.job.partitions = 2;
    each_allocation_fails(&bulk, 50);
    bulk.job.reduce = NULL;
    each_allocation_fails(&bulk, 50);
    bulk.job.order = MR_ORDER_NONE;
    each_allocation_fails(&bulk, 50);
    bulk.job.order = MR_ORDER_PAIR; /* with its own function, which sorts elsewhere */
    bulk.job.compare = by_value;
    each_allocation_fails(&bulk, 50);
    bulk_free(&bulk);
    bulk_init(&bulk, 100000, 100000, 10, 8); /* a table that moves when it grows */
    bulk.job.combine = mr_sum_u64;
    bulk.job.partitions = 1;
    bulk.job.memory_limit = 0;
    each_allocation_fails(&bulk, 20);
    bulk_free(&bulk);
}

/* Then pairs are kept by partition, without a table. */
Test(mr_spill, every_allocation_may_fail_where_keys_hardly_repeat, .timeout = 300)
{
    struct bulk bulk;

    bulk_init(&bulk, 450000, 450000, 20, 8);
    bulk.job.combine = mr_sum_u64;
    bulk.job.order = MR_ORDER_NONE;
    bulk.job.partitions = 2;
    bulk.job.memory_limit = 0;
    each_allocation_fails(&bulk, 20);
    bulk_free(&bulk);
}
