/* SPDX-License-Identifier: MIT
 *
 * The steps of a job used alone, jobs inside tasks and tasks inside jobs, and jobs that are ended
 * by another thread: cancelled, destroyed, or left without their executor.
 */
#include "check.h"
#include "mr_fuzz.h"
#include "mr_progress.h"

#define ITEMS 40
#define KEYS 5

/* Item i is a pair with the key i % KEYS. */
struct held {
    struct progress_log log; /* first, so that it may be given to log_progress() */
    struct gate gate;        /* each mapper passes through it */
    atomic_uint mapped;
    atomic_int emit_status;
};

static struct held held;

static int held_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    struct held *state = user;
    uint64_t key = item->index % KEYS;
    gate_pass(&state->gate);
    return mr_emit(out, mr_slice_of(&key, sizeof key), mr_slice_of(&key, sizeof key));
}

static struct mr_job held_job(void)
{
    static const char items[ITEMS];
    struct mr_job job = MR_JOB_INIT;
    job.input = mr_input_array(items, ITEMS, 1);
    job.input.chunk = 3;
    job.map = held_map;
    job.reduce = count_reduce;
    job.order = MR_ORDER_KEY;
    job.user = &held;
    return job;
}

static bool is_held_result(mr_result *result)
{
    struct mr_pair pair;
    uint64_t keys = 0;
    while (mr_result_next(result, &pair)) {
        keys += slice_u64(pair.key) < KEYS && slice_u64(pair.value) == ITEMS / KEYS ? 1 : 1000;
    }
    return keys == KEYS;
}

/* Gives the groups of a job whose gate is open. */
static mr_groups *must_group(stook_executor *executor, const struct mr_job *job)
{
    mr_batch *batch = NULL;
    mr_groups *groups = NULL;
    MUST(mr_async_map(executor, job, &batch, NULL) == STOOK_OK);
    MUST(mr_shuffle(executor, batch, &groups, NULL) == STOOK_OK);
    mr_batch_destroy(batch);
    return groups;
}

static size_t count_not_done(mr_batch *batch)
{
    size_t count = 0;
    size_t not_done = 0;
    stook_future *const *futures = mr_batch_futures(batch, &count);
    for (size_t i = 0; i < count; i++) {
        not_done += !stook_future_done(futures[i]);
    }
    return not_done;
}

/* --- steps ------------------------------------------------------------------------------------ */

Test(mr_steps, used_one_by_one_with_polling, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct mr_job job = held_job();
    struct mr_error error;
    mr_batch *map = NULL;
    mr_batch *reduce = NULL;
    mr_groups *groups = NULL;
    mr_result *result = NULL;
    uint64_t done = 1;
    uint64_t not_done = 1;
    unsigned rounds = 0;
    cr_assert_eq(mr_async_map(executor, &job, &map, &error), STOOK_OK);
    memset(&job, 0xff, sizeof job); /* it has been copied */

    gate_await(&held.gate, 2);
    mr_batch_progress(map, &done, &not_done);
    cr_assert_eq(done, 0);
    cr_assert_eq(not_done, ITEMS);
    size_t last = count_not_done(map);
    cr_assert_gt(last, 0);
    gate_open(&held.gate);
    while (last > 0) {
        spin_pause(&rounds);
        const size_t now = count_not_done(map);
        cr_assert_leq(now, last);
        last = now;
    }
    cr_assert_eq(mr_report_progress(map, "map", NULL, NULL, 0), STOOK_OK);
    mr_batch_progress(map, &done, &not_done);
    cr_assert_eq(done, ITEMS);
    cr_assert_eq(not_done, 0);

    cr_assert_eq(mr_shuffle(executor, map, &groups, &error), STOOK_OK);
    mr_batch_progress(map, &done, &not_done); /* what it had done does not fall with what it gave */
    cr_assert_eq(done, ITEMS);
    cr_assert_eq(not_done, 0);
    mr_batch_destroy(map);
    cr_assert_eq(mr_groups_count(groups), KEYS);
    cr_assert_eq(mr_async_reduce(executor, groups, &reduce, &error), STOOK_OK);
    log_init(&held.log);
    cr_assert_eq(mr_report_progress(reduce, "reduce", log_progress, &held.log, MILLISECOND),
                 STOOK_OK);
    cr_assert_gt(held.log.count, 0);
    cr_assert(log_is_sound(&held.log, ITEMS, KEYS));
    cr_assert_not(log_has_no_end(&held.log, "reduce"));
    cr_assert_eq(count_not_done(reduce), 0);
    mr_batch_progress(reduce, &done, &not_done);
    cr_assert_eq(done, KEYS);
    cr_assert_eq(not_done, 0);

    cr_assert_eq(mr_batch_result(reduce, &result), STOOK_OK);
    mr_batch_destroy(reduce);
    mr_groups_destroy(groups);
    cr_assert(is_held_result(result)); /* it lives by itself */
    mr_result_destroy(result);
    stook_executor_destroy(executor);
}

Test(mr_steps, shuffle_and_result_wait_by_themselves, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct mr_job job = held_job();
    mr_batch *reduce = NULL;
    mr_result *result = NULL;
    gate_open(&held.gate);
    mr_groups *groups = must_group(executor, &job);
    cr_assert_eq(mr_async_reduce(executor, groups, &reduce, NULL), STOOK_OK);
    cr_assert_eq(mr_batch_result(reduce, &result), STOOK_OK);
    cr_assert(is_held_result(result));
    mr_result_destroy(result);
    mr_batch_destroy(reduce);
    mr_groups_destroy(groups);
    stook_executor_destroy(executor);
}

Test(mr_steps, groups_can_be_reduced_again_and_at_once, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct mr_job job = held_job();
    mr_batch *reduces[3];
    gate_open(&held.gate);
    mr_groups *groups = must_group(executor, &job);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT_OF(reduces); i++) {
            cr_assert_eq(mr_async_reduce(executor, groups, &reduces[i], NULL), STOOK_OK);
        }
        for (size_t i = 0; i < COUNT_OF(reduces); i++) {
            mr_result *result = NULL;
            cr_assert_eq(mr_batch_result(reduces[i], &result), STOOK_OK);
            cr_assert(is_held_result(result));
            mr_result_destroy(result);
            mr_batch_destroy(reduces[i]);
        }
    }
    cr_assert_eq(mr_groups_count(groups), KEYS);
    mr_groups_destroy(groups);
    stook_executor_destroy(executor);
}

Test(mr_steps, misuse_is_refused, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct mr_job job = held_job();
    mr_batch *map = NULL;
    mr_result *result = UNTOUCHED(mr_result);
    struct mr_error error;
    gate_open(&held.gate);
    cr_assert_eq(mr_async_map(executor, &job, &map, NULL), STOOK_OK);
    cr_assert_eq(mr_batch_result(map, &result), STOOK_INVALID);
    cr_assert_eq(result, UNTOUCHED(mr_result));
    mr_batch_destroy(map);
    mr_groups *groups = must_group(executor, &job);
    cr_assert_eq(mr_groups_count(groups), KEYS);
    memset(&error, 0xff, sizeof error);
    cr_assert_eq(mr_async_reduce(executor, groups, NULL, &error), STOOK_INVALID);
    cr_assert_eq(error.status, STOOK_INVALID);
    cr_assert_not_null(strstr(error.message, "ret_batch"));
    mr_groups_destroy(groups);
    mr_groups_destroy(NULL);
    mr_batch_destroy(NULL);
    mr_result_destroy(NULL);
    stook_executor_destroy(executor);
}

/* --- B90, B92: jobs in tasks, tasks in jobs --------------------------------------------------- */

struct in_task {
    stook_executor *executor;
    bool agreed;
};

static int job_task(void *arg, void **ret_value)
{
    struct in_task *in_task = arg;
    (void)ret_value;
    in_task->agreed = true;
    uint64_t random = 90;
    for (int i = 0; i < 20; i++) {
        struct fuzz_job fuzz;
        fuzz_job_init(&fuzz, &random, 100, i % 2 == 0);
        mr_result *expected = must_run(NULL, &fuzz.job);
        fuzz.job.input.chunk = 1 + (size_t)i;
        in_task->agreed &= fuzz_job_agrees(in_task->executor, &fuzz.job, expected);
        mr_result_destroy(expected);
        fuzz_job_free(&fuzz);
    }
    return 0;
}

Test(mr_steps, B90_job_in_a_task_of_the_same_executor, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        struct in_task in_tasks[3];
        stook_future *futures[COUNT_OF(in_tasks)];
        stook_executor *executor = must_create(workers);
        for (size_t i = 0; i < COUNT_OF(in_tasks); i++) {
            in_tasks[i].executor = executor;
            futures[i] = must_submit(executor, job_task, &in_tasks[i]);
        }
        for (size_t i = 0; i < COUNT_OF(in_tasks); i++) {
            cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
            cr_assert(in_tasks[i].agreed);
        }
        release_all(futures, COUNT_OF(in_tasks));
        stook_executor_destroy(executor);
    }
}

static int job_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    uint64_t key = item->index % KEYS;
    uint64_t one = 1;
    if (!still_works(user)) { /* a job of its own */
        return 1;
    }
    return mr_emit(out, mr_slice_of(&key, sizeof key), mr_slice_of(&one, sizeof one));
}

static int job_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    return still_works(user) ? count_reduce(key, values, out, user) : 1;
}

Test(mr_steps, B90_jobs_in_mapper_and_reducer, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        stook_executor *executor = must_create(workers);
        struct mr_job job = held_job();
        job.map = job_map;
        job.reduce = job_reduce;
        job.user = executor;
        mr_result *result = must_run(executor, &job);
        cr_assert(is_held_result(result));
        mr_result_destroy(result);
        stook_executor_destroy(executor);
    }
}

static int logged_job_task(void *arg, void **ret_value)
{
    struct mr_job job = held_job();
    (void)ret_value;
    log_init(&held.log); /* in the task's thread */
    job.progress = log_progress;
    job.progress_period_ns = MILLISECOND;
    mr_result *result = must_run(arg, &job);
    const bool good = is_held_result(result) && log_is_complete(&held.log, ITEMS, KEYS);
    mr_result_destroy(result);
    return good ? 0 : 1;
}

Test(mr_steps, B90_progress_stays_in_the_thread_of_the_task, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    gate_open(&held.gate);
    stook_future *future = must_submit(executor, logged_job_task, executor);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(executor);
}

static int add_task(void *arg, void **ret_value)
{
    uint64_t *number = arg;
    (void)ret_value;
    *number += 1;
    return 0;
}

/* A key counted by a task. */
static int task_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    uint64_t key = (item->index + KEYS - 1) % KEYS;
    stook_future *future = must_submit(user, add_task, &key);
    enum stook_status status = stook_future_result(future, NULL);
    stook_future_release(future);
    key %= KEYS;
    return status == STOOK_OK ? mr_emit(out, mr_slice_of(&key, sizeof key), mr_slice_of("", 1)) : 1;
}

Test(mr_steps, B92_mapper_submits_and_waits, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        stook_executor *executor = must_create(workers);
        struct mr_job job = held_job();
        job.map = task_map;
        job.user = executor;
        mr_result *result = must_run(executor, &job);
        cr_assert(is_held_result(result));
        mr_result_destroy(result);
        stook_executor_destroy(executor);
    }
}

/* --- B91: cancelled by another thread --------------------------------------------------------- */

/* Stays until the job is stopped, then tries to emit. */
static int stopped_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    struct held *state = user;
    atomic_fetch_add(&state->mapped, 1);
    SPIN_UNTIL(mr_emitter_stopped(out));
    atomic_store(&state->emit_status, mr_emit(out, item->data, item->data));
    return 0;
}

static int stopped_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    const struct mr_item item = {.data = key};
    (void)values;
    return stopped_map(&item, out, user);
}

static int cancel_thread(void *arg)
{
    SPIN_UNTIL(atomic_load(&held.mapped) > 0);
    mr_batch_cancel(arg);
    mr_batch_cancel(arg);
    return 0;
}

static void check_cancelled(mr_batch *batch)
{
    thrd_t thread;
    must_start(&thread, cancel_thread, batch);
    cr_assert_eq(mr_report_progress(batch, "any", NULL, NULL, 0), STOOK_CANCELLED);
    thrd_join(thread, NULL);
    cr_assert_eq(mr_batch_error(batch)->status, STOOK_CANCELLED);
    cr_assert_eq(count_not_done(batch), 0);
    cr_assert_eq(atomic_load(&held.mapped), 1); /* of the one worker; no item after it */
    cr_assert_eq(atomic_load(&held.emit_status), STOOK_CANCELLED);
}

Test(mr_steps, B91_map_batch_cancelled_by_another_thread, .timeout = 60)
{
    static const size_t chunks[] = {1, ITEMS};
    stook_executor *executor = must_create(1);
    for (size_t i = 0; i < COUNT_OF(chunks); i++) {
        mr_batch *batch = NULL;
        mr_groups *groups = UNTOUCHED(mr_groups);
        struct mr_error error;
        struct mr_job job = held_job();
        job.input.chunk = chunks[i];
        job.map = stopped_map;
        atomic_store(&held.mapped, 0);
        cr_assert_eq(mr_async_map(executor, &job, &batch, NULL), STOOK_OK);
        check_cancelled(batch);
        memset(&error, 0xff, sizeof error);
        cr_assert_eq(mr_shuffle(executor, batch, &groups, &error), STOOK_CANCELLED);
        cr_assert_eq(groups, UNTOUCHED(mr_groups));
        cr_assert_eq(error.status, STOOK_CANCELLED);
        mr_batch_destroy(batch);
    }
    cr_assert(still_works(executor));
    stook_executor_destroy(executor);
}

Test(mr_steps, B91_reduce_batch_cancelled_by_another_thread, .timeout = 60)
{
    static const uint32_t partitions[] = {1, 0}; /* all keys in one task, or in several */
    stook_executor *executor = must_create(1);
    gate_open(&held.gate);
    for (size_t i = 0; i < COUNT_OF(partitions); i++) {
        mr_batch *batch = NULL;
        mr_result *result = UNTOUCHED(mr_result);
        struct mr_job job = held_job();
        job.reduce = stopped_reduce;
        job.partitions = partitions[i];
        atomic_store(&held.mapped, 0);
        mr_groups *groups = must_group(executor, &job);
        cr_assert_eq(mr_async_reduce(executor, groups, &batch, NULL), STOOK_OK);
        check_cancelled(batch);
        cr_assert_eq(mr_batch_result(batch, &result), STOOK_CANCELLED);
        cr_assert_eq(result, UNTOUCHED(mr_result));
        mr_batch_destroy(batch);
        mr_groups_destroy(groups);
    }
    cr_assert(still_works(executor));
    stook_executor_destroy(executor);
}

static int counted_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    (void)user;
    atomic_fetch_add(&held.mapped, 1);
    return mr_emit(out, item->data, item->data);
}

Test(mr_steps, B91_destroy_ends_a_batch, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    for (int i = 0; i < 50; i++) {
        mr_batch *batch = NULL;
        struct mr_job job = held_job();
        job.map = counted_map;
        job.input.chunk = 1;
        cr_assert_eq(mr_async_map(executor, &job, &batch, NULL), STOOK_OK);
        mr_batch_destroy(batch);
        const unsigned mapped = atomic_load(&held.mapped);
        cr_assert(still_works(executor));
        cr_assert_eq(atomic_load(&held.mapped), mapped);
    }
    stook_executor_destroy(executor);
}
