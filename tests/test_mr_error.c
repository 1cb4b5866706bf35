/* SPDX-License-Identifier: MIT
 *
 * How a job fails: by each of its callbacks. What the caller is
 * told, that nothing of the job goes on, and that others do.
 */
#include "check.h"
#include "mr_progress.h"

#define ITEMS 300
/* Numbers so odd that they are in a message for one reason only. */
#define BAD_ITEM 137
#define BAD_CODE 4242

/* What a callback does when it is its turn to fail. */
struct failing {
    struct progress_log log; /* first, so that it may be given to log_progress() */
    const char *bad_key;
    int code;
    atomic_uint mapped;
    atomic_uint reduced;
    atomic_int emit_status; /* of the last emit that failed */
};

static struct failing failing;

static int good_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    static const char *const keys[] = {"apple", "banana", "cherry"};
    struct failing *state = user;
    uint64_t one = 1;
    atomic_fetch_add(&state->mapped, 1);
    enum stook_status status =
        mr_emit(out, mr_slice_str(keys[item->index % 3]), mr_slice_of(&one, sizeof one));
    if (status != STOOK_OK) {
        atomic_store(&state->emit_status, status);
    }
    return status;
}

static int careless_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    (void)good_map(item, out, user);
    return 0;
}

static int bad_item_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    struct failing *state = user;
    return item->index == BAD_ITEM ? state->code : good_map(item, out, user);
}

static int bad_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct failing *state = user;
    return slice_is(key, state->bad_key) ? state->code : count_reduce(key, values, out, user);
}

static int bad_combine(struct mr_slice key, void *accumulator, size_t accumulator_size,
                       struct mr_slice value, void *user)
{
    struct failing *state = user;
    (void)key;
    (void)accumulator;
    (void)accumulator_size;
    (void)value;
    return state->code;
}

static uint32_t bad_partition(struct mr_slice key, uint32_t partitions, void *user)
{
    struct failing *state = user;
    return slice_is(key, state->bad_key) ? partitions : partitions - 1;
}

/* A job that would succeed; each test spoils it. */
static struct mr_job failing_job(void)
{
    static const char items[ITEMS];
    struct mr_job job = MR_JOB_INIT;
    log_init(&failing.log);
    failing.bad_key = "banana";
    failing.code = BAD_CODE;
    atomic_store(&failing.mapped, 0);
    atomic_store(&failing.emit_status, STOOK_OK);
    job.input = mr_input_array(items, ITEMS, 1);
    job.map = good_map;
    job.reduce = count_reduce;
    job.user = &failing;
    job.order = MR_ORDER_KEY;
    job.progress = log_progress;
    job.progress_period_ns = MILLISECOND;
    return job;
}

/* Runs it both with and without ret_error; gives the error. */
static struct mr_error must_fail(stook_executor *executor, const struct mr_job *job,
                                 enum stook_status expected)
{
    mr_result *result = UNTOUCHED(mr_result);
    struct mr_error error;
    memset(&error, 0xff, sizeof error);
    cr_assert_eq(mr_map_reduce(executor, job, &result, NULL), expected);
    log_init(&failing.log);
    atomic_store(&failing.mapped, 0);
    cr_assert_eq(mr_map_reduce(executor, job, &result, &error), expected);
    cr_assert_eq(result, UNTOUCHED(mr_result));
    cr_assert_eq(error.status, expected);
    cr_assert(tells(&error, ""));
    cr_assert_neq(error.message[0], '\0');
    return error;
}

/* --- B88: callbacks that fail ----------------------------------------------------------------- */

Test(mr_error, B88_mapper, .timeout = 60)
{
    static const unsigned workers[] = {1, 4};
    static const size_t chunks[] = {1, 10, ITEMS, MR_CHUNK_AUTO};
    for (size_t i = 0; i < COUNT_OF(workers) * COUNT_OF(chunks); i++) {
        stook_executor *executor = must_create(workers[i % 2]);
        struct mr_job job = failing_job();
        job.map = bad_item_map;
        job.input.chunk = chunks[i / 2];
        struct mr_error error = must_fail(executor, &job, STOOK_TASK_FAILED);
        cr_assert_eq(error.phase, MR_PHASE_MAP);
        cr_assert_eq(error.code, BAD_CODE);
        cr_assert_eq(error.item, BAD_ITEM);
        cr_assert_eq(error.source, 0);
        cr_assert(tells(&error, "137"));
        cr_assert(tells(&error, "4242"));
        cr_assert(log_is_sound(&failing.log, ITEMS, 3));
        cr_assert(log_has_no_end(&failing.log, "map"));
        cr_assert_eq(atomic_load(&failing.log.reduce_calls), 0);
        cr_assert(still_works(executor));
        stook_executor_destroy(executor);
    }
}

static int first_call_fails(const struct mr_item *item, mr_emitter *out, void *user)
{
    struct failing *state = user;
    (void)item;
    (void)out;
    return atomic_fetch_add(&state->mapped, 1) == 0 ? -5 : 0;
}

Test(mr_error, B88_nothing_is_mapped_after_a_failure, .timeout = 60)
{
    static const size_t chunks[] = {1, 10, ITEMS};
    stook_executor *executor = must_create(1);
    for (size_t i = 0; i < COUNT_OF(chunks); i++) {
        struct mr_job job = failing_job();
        job.map = first_call_fails;
        job.input.chunk = chunks[i];
        struct mr_error error = must_fail(executor, &job, STOOK_TASK_FAILED);
        cr_assert_eq(error.code, -5);
        cr_assert_eq(atomic_load(&failing.mapped), 1);
    }
    stook_executor_destroy(executor);
}

static int every_reduce_fails(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct failing *state = user;
    (void)key;
    (void)values;
    (void)out;
    atomic_fetch_add(&state->reduced, 1);
    return state->code;
}

/* Three keys in up to three partitions, or in one. */
Test(mr_error, B88_nothing_is_reduced_after_a_failure, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    for (uint32_t partitions = 1; partitions <= 64; partitions *= 64) {
        struct mr_job job = failing_job();
        job.partitions = partitions;
        job.reduce = every_reduce_fails;
        atomic_store(&failing.reduced, 0);
        must_fail(executor, &job, STOOK_TASK_FAILED);
        cr_assert_eq(atomic_load(&failing.reduced), 2, "once in each of two runs");
    }
    stook_executor_destroy(executor);
}

/* Item 0 fails when item 1 is under way, which fails when it sees that. */
static int two_fail_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    struct failing *state = user;
    if (item->index == 0) {
        SPIN_UNTIL(atomic_load(&state->mapped) > 0);
        return 11;
    }
    atomic_fetch_add(&state->mapped, 1);
    SPIN_UNTIL(mr_emitter_stopped(out));
    return 22;
}

Test(mr_error, B88_first_failure_is_kept, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct mr_job job = failing_job();
    job.map = two_fail_map;
    job.input.item_count = 2;
    job.input.chunk = 1;
    for (int i = 0; i < 20; i++) {
        struct mr_error error = must_fail(executor, &job, STOOK_TASK_FAILED);
        cr_assert_eq(error.code, 11);
        cr_assert_eq(error.item, 0);
    }
    stook_executor_destroy(executor);
}

static int bad_record_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    struct failing *state = user;
    return slice_is(item->data, "bad") ? state->code : good_map(item, out, user);
}

Test(mr_error, B88_mapper_of_a_text, .timeout = 60)
{
    static const struct mr_source sources[] = {{.text = {"good\ngood\n", 10}},
                                               {.text = {"good\nfine\nwell\nbad\ngood", 23}}};
    stook_executor *executor = must_create(2);
    struct mr_job job = failing_job();
    job.map = bad_record_map;
    job.input = mr_input_text(sources, COUNT_OF(sources));
    for (size_t chunk = 1; chunk < 30; chunk++) {
        job.input.chunk = chunk;
        struct mr_error error = must_fail(executor, &job, STOOK_TASK_FAILED);
        cr_assert_eq(error.phase, MR_PHASE_MAP);
        cr_assert_eq(error.item, 15);
        cr_assert_eq(error.source, 1);
        cr_assert_eq(error.code, BAD_CODE);
    }
    stook_executor_destroy(executor);
}

Test(mr_error, B88_reducer, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct mr_job job = failing_job();
    job.reduce = bad_reduce;
    for (uint32_t partitions = 1; partitions < 10; partitions++) {
        job.partitions = partitions;
        struct mr_error error = must_fail(executor, &job, STOOK_TASK_FAILED);
        cr_assert_eq(error.phase, MR_PHASE_REDUCE);
        cr_assert_eq(error.code, BAD_CODE);
        cr_assert_eq(error.item, 0);
        cr_assert(tells(&error, "banana"));
        cr_assert(tells(&error, "4242"));
        cr_assert(log_is_sound(&failing.log, ITEMS, 3));
        cr_assert(log_has_no_end(&failing.log, "reduce"));
        cr_assert_not(log_has_no_end(&failing.log, "map"));
    }
    cr_assert(still_works(executor));
    stook_executor_destroy(executor);
}

Test(mr_error, B88_reducer_of_a_long_key, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    char *key = must_alloc(100001);
    memset(key, 'k', 100000);
    key[100000] = '\0';
    struct mr_pair pair = {mr_slice_str(key), mr_slice_of(NULL, 0)};
    struct mr_job job = pair_job(&pair, 1, bad_reduce);
    job.user = &failing;
    log_init(&failing.log);
    failing.bad_key = key;
    failing.code = BAD_CODE;
    struct mr_error error = must_fail(executor, &job, STOOK_TASK_FAILED);
    cr_assert(tells(&error, "kkk"));
    cr_assert(tells(&error, "4242")); /* it is the key that is cut */
    stook_executor_destroy(executor);
    free(key);
}

Test(mr_error, B88_combiner, .timeout = 60)
{
    static mr_map_fn *const maps[] = {good_map, careless_map};
    stook_executor *executor = must_create(2);
    for (size_t i = 0; i < COUNT_OF(maps); i++) {
        struct mr_job job = failing_job();
        job.map = maps[i];
        job.combine = bad_combine;
        job.input.chunk = 50;
        struct mr_error error = must_fail(executor, &job, STOOK_TASK_FAILED);
        cr_assert(error.phase == MR_PHASE_MAP || error.phase == MR_PHASE_SHUFFLE);
        cr_assert_eq(error.code, BAD_CODE); /* not what mr_emit() has told the mapper */
        cr_assert(tells(&error, "4242"));
        if (error.phase == MR_PHASE_MAP) {
            cr_assert(log_has_no_end(&failing.log, "map"));
        }
        cr_assert_eq(atomic_load(&failing.log.reduce_calls), 0);
    }
    cr_assert(still_works(executor));
    stook_executor_destroy(executor);
}

Test(mr_error, B88_combiner_in_sequence, .timeout = 60)
{
    struct mr_job job = failing_job();
    struct mr_error error;
    mr_result *result = UNTOUCHED(mr_result);
    job.map = good_map;
    job.combine = bad_combine;
    job.reduce = NULL;
    memset(&error, 0xff, sizeof error);
    cr_assert_eq(mr_map_reduce_sequential(&job, &result, &error), STOOK_TASK_FAILED);
    cr_assert_eq(result, UNTOUCHED(mr_result));
    cr_assert_eq(error.code, BAD_CODE);
    cr_assert(tells(&error, "combine"));
    cr_assert(tells(&error, "4242"));
}

static struct gate both_map;

/* Two items are mapped at a time, so that neither task sees the key of the other. */
static int meeting_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    (void)user;
    gate_pass(&both_map);
    return mr_emit(out, mr_slice_str("banana"), mr_slice_of(&item->index, sizeof item->index));
}

Test(mr_error, B88_combiner_in_the_shuffle, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct mr_job job = failing_job();
    struct mr_error error;
    mr_run *run;
    job.input = mr_input_array("ab", 2, 1);
    job.input.chunk = 1;
    job.map = meeting_map;
    job.combine = bad_combine;
    job.progress = NULL;
    cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
    gate_await(&both_map, 2);
    gate_open(&both_map);
    memset(&error, 0xff, sizeof error);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, &error), STOOK_TASK_FAILED);
    cr_assert_eq(error.phase, MR_PHASE_SHUFFLE);
    cr_assert_eq(error.code, BAD_CODE);
    cr_assert(tells(&error, "4242"));
    cr_assert(tells(&error, "banana"));
    cr_assert_eq(atomic_load(&failing.reduced), 0);
    mr_run_release(run);
    cr_assert(still_works(executor));
    stook_executor_destroy(executor);
}

Test(mr_error, B88_partitioner_out_of_range, .timeout = 60)
{
    static mr_map_fn *const maps[] = {good_map, careless_map};
    stook_executor *executor = must_create(1);
    for (size_t i = 0; i < COUNT_OF(maps); i++) {
        struct mr_job job = failing_job();
        job.map = maps[i];
        job.partition = bad_partition;
        job.partitions = 6789;
        struct mr_error error = must_fail(executor, &job, STOOK_INVALID);
        cr_assert_eq(error.phase, MR_PHASE_MAP);
        cr_assert(tells(&error, "partition"));
        cr_assert(tells(&error, "6789"));
        cr_assert_eq(atomic_load(&failing.emit_status), STOOK_INVALID);
        cr_assert(log_has_no_end(&failing.log, "map"));
        failing.bad_key = "no such key";
        mr_result *result = must_run(executor, &job);
        cr_assert_eq(mr_result_count(result), 3);
        mr_result_destroy(result);
    }
    cr_assert(still_works(executor));
    stook_executor_destroy(executor);
}

/* --- B88: other jobs go on ------------------------------------------------------------------- */

struct other {
    stook_executor *executor;
    struct gate gate; /* holds its item 0 */
    bool succeeded;
};

static int held_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    struct other *other = user;
    uint64_t key = item->index % 10;
    if (item->index == 0) {
        gate_pass(&other->gate);
    }
    return mr_emit(out, mr_slice_of(&key, sizeof key), mr_slice_of(NULL, 0));
}

static int other_thread(void *arg)
{
    static const char items[ITEMS];
    struct other *other = arg;
    struct mr_job job = MR_JOB_INIT;
    job.input = mr_input_array(items, ITEMS, 1);
    job.input.chunk = 1;
    job.map = held_map;
    job.reduce = count_reduce;
    job.user = other;
    job.order = MR_ORDER_KEY;
    mr_result *result = must_run(other->executor, &job);
    mr_result *expected = must_run(NULL, &job);
    other->succeeded = mr_result_count(result) == 10 && same_result(expected, result, true);
    mr_result_destroy(result);
    mr_result_destroy(expected);
    return 0;
}

Test(mr_error, B88_another_job_is_not_touched, .timeout = 60)
{
    static struct other other;
    thrd_t thread;
    other.executor = must_create(2);
    must_start(&thread, other_thread, &other);
    gate_await(&other.gate, 1);
    for (int i = 0; i < 5; i++) {
        struct mr_job job = failing_job();
        job.input.chunk = 3;
        job.map = bad_item_map;
        struct mr_error error = must_fail(other.executor, &job, STOOK_TASK_FAILED);
        cr_assert_eq(error.item, BAD_ITEM);
    }
    gate_open(&other.gate);
    thrd_join(thread, NULL);
    cr_assert(other.succeeded);
    stook_executor_destroy(other.executor);
}
