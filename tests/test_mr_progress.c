/* SPDX-License-Identifier: MIT
 *
 * What the progress callback is told, when and in which thread, and how it ends a job. Mappers
 * wait for calls of the callback, so that nothing here depends on time but the hang that a missing
 * call would be.
 */
#include "check.h"
#include "mr_progress.h"

#define ITEMS 60
#define KEYS 7
#define SHORT_NS INT64_C(1000000)
#define LONG_NS (30 * SECOND)

/* Callbacks wait until there were so many calls of progress in their phase. */
struct waiting {
    struct progress_log log; /* first, so that it may be given to log_progress() */
    unsigned calls_before_map;
    unsigned calls_before_reduce;
    atomic_uint mapped;
};

static void wait_for_calls(const atomic_uint *calls, unsigned count, const mr_emitter *out)
{
    SPIN_UNTIL(atomic_load(calls) >= count || mr_emitter_stopped(out));
}

static int waiting_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    struct waiting *waiting = user;
    uint64_t key = item->index % KEYS;
    wait_for_calls(&waiting->log.map_calls, waiting->calls_before_map, out);
    atomic_fetch_add(&waiting->mapped, 1);
    return mr_emit(out, mr_slice_of(&key, sizeof key), mr_slice_of(NULL, 0));
}

static int waiting_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct waiting *waiting = user;
    wait_for_calls(&waiting->log.reduce_calls, waiting->calls_before_reduce, out);
    return count_reduce(key, values, out, user);
}

static struct mr_job waiting_job(struct waiting *waiting, int64_t period_ns)
{
    static const char items[ITEMS];
    struct mr_job job = MR_JOB_INIT;
    log_init(&waiting->log);
    waiting->calls_before_map = 0;
    waiting->calls_before_reduce = 0;
    atomic_store(&waiting->mapped, 0);
    job.input = mr_input_array(items, ITEMS, 1);
    job.map = waiting_map;
    job.reduce = waiting_reduce;
    job.user = waiting;
    job.order = MR_ORDER_KEY;
    job.progress = log_progress;
    job.progress_period_ns = period_ns;
    return job;
}

static struct waiting waiting;

/* --- B85 -------------------------------------------------------------------------------------- */

Test(mr_progress, B85_counts_items_and_keys_however_chunked, .timeout = 60)
{
    static const size_t chunks[] = {1, 7, ITEMS, 10 * ITEMS, MR_CHUNK_AUTO};
    static const unsigned workers[] = {1, 4};
    for (size_t w = 0; w < COUNT_OF(workers); w++) {
        stook_executor *executor = must_create(workers[w]);
        for (size_t c = 0; c < COUNT_OF(chunks); c++) {
            struct mr_job job = waiting_job(&waiting, SHORT_NS);
            job.input.chunk = chunks[c];
            waiting.calls_before_map = 2;
            waiting.calls_before_reduce = 2;
            mr_result *result = must_run(executor, &job);
            cr_assert(log_is_complete(&waiting.log, ITEMS, KEYS));
            cr_assert_eq(waiting.log.calls[0].done, 0); /* for no mapper had been let go */
            cr_assert_eq(atomic_load(&waiting.mapped), ITEMS);
            mr_result_destroy(result);
        }
        stook_executor_destroy(executor);
    }
}

Test(mr_progress, B85_counts_bytes_of_texts, .timeout = 60)
{
    static const struct mr_source sources[] = {{.text = {"one\ntwo\n\nthree", 14}},
                                               {.text = {"", 0}},
                                               {.text = {"\n", 1}},
                                               {.text = {"4 5", 3}}};
    stook_executor *executor = must_create(2);
    for (size_t chunk = 1; chunk < 20; chunk++) {
        for (int whole_splits = 0; whole_splits < 2; whole_splits++) {
            struct mr_job job = waiting_job(&waiting, SHORT_NS);
            job.input = mr_input_text(sources, COUNT_OF(sources));
            job.input.chunk = chunk;
            job.input.whole_splits = whole_splits;
            mr_result *result = must_run(executor, &job);
            uint64_t keys = mr_result_count(result);
            cr_assert_gt(keys, 0);
            cr_assert(log_is_complete(&waiting.log, 18, keys));
            mr_result_destroy(result);
        }
    }
    stook_executor_destroy(executor);
}

Test(mr_progress, B85_empty_input_is_told_once_for_each_phase, .timeout = 60)
{
    static const struct mr_source none = {.path = NULL};
    stook_executor *executor = must_create(2);
    struct mr_input inputs[3];
    inputs[0] = mr_input_array(NULL, 0, 1);
    inputs[1] = mr_input_text(&none, 0);
    inputs[2] = mr_input_text(&none, 1);
    for (size_t i = 0; i < COUNT_OF(inputs); i++) {
        struct mr_job job = waiting_job(&waiting, LONG_NS);
        job.input = inputs[i];
        mr_result *result = must_run(executor, &job);
        cr_assert(log_is_complete(&waiting.log, 0, 0));
        cr_assert_eq(atomic_load(&waiting.log.map_calls), 1);
        cr_assert_eq(atomic_load(&waiting.log.reduce_calls), 1);
        mr_result_destroy(result);
    }
    stook_executor_destroy(executor);
}

static int emits_nothing(const struct mr_item *item, mr_emitter *out, void *user)
{
    (void)item;
    (void)out;
    (void)user;
    return 0;
}

Test(mr_progress, B85_reduce_of_no_keys_is_told_once, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct mr_job job = waiting_job(&waiting, LONG_NS);
    job.map = emits_nothing;
    mr_result *result = must_run(executor, &job);
    cr_assert(log_is_complete(&waiting.log, ITEMS, 0));
    cr_assert_eq(atomic_load(&waiting.log.reduce_calls), 1);
    mr_result_destroy(result);
    stook_executor_destroy(executor);
}

Test(mr_progress, B85_sequential_job_tells_nothing, .timeout = 60)
{
    struct mr_job job = waiting_job(&waiting, SHORT_NS);
    mr_result *result = must_run(NULL, &job);
    cr_assert_eq(mr_result_count(result), KEYS);
    cr_assert_eq(waiting.log.count, 0);
    cr_assert_eq(atomic_load(&waiting.log.wrong_thread), 0);
    mr_result_destroy(result);
}

/* --- B86 -------------------------------------------------------------------------------------- */

Test(mr_progress, B86_is_told_again_and_again_while_work_goes_on, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct mr_job job = waiting_job(&waiting, SHORT_NS);
    waiting.calls_before_map = 10;
    waiting.calls_before_reduce = 10;
    mr_result *result = must_run(executor, &job);
    cr_assert(log_is_complete(&waiting.log, ITEMS, KEYS));
    cr_assert_geq(atomic_load(&waiting.log.map_calls), 10);
    cr_assert_geq(atomic_load(&waiting.log.reduce_calls), 10);
    mr_result_destroy(result);
    stook_executor_destroy(executor);
}

Test(mr_progress, B86_ends_with_the_work_not_with_the_period, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct mr_job job = waiting_job(&waiting, LONG_NS);
    waiting.calls_before_map = 1; /* so that a wait for the first period has begun, or soon will */
    waiting.calls_before_reduce = 1;
    const int64_t start = stook_now_ns();
    mr_result *result = must_run(executor, &job);
    cr_assert_lt(stook_now_ns() - start, LONG_NS / 3);
    cr_assert(log_is_complete(&waiting.log, ITEMS, KEYS));
    cr_assert_leq(atomic_load(&waiting.log.map_calls), 2); /* the first and the last */
    cr_assert_leq(atomic_load(&waiting.log.reduce_calls), 2);
    mr_result_destroy(result);
    stook_executor_destroy(executor);
}

/* --- B87 -------------------------------------------------------------------------------------- */

static void check_aborted(stook_executor *executor, const struct mr_job *job)
{
    mr_result *result = UNTOUCHED(mr_result);
    struct mr_error error;
    memset(&error, 0, sizeof error);
    cr_assert_eq(mr_map_reduce(executor, job, &result, &error), STOOK_CANCELLED);
    cr_assert_eq(error.status, STOOK_CANCELLED);
    cr_assert_neq(error.message[0], '\0');
    cr_assert_eq(result, UNTOUCHED(mr_result));
    cr_assert(log_is_sound(&waiting.log, ITEMS, KEYS));
    cr_assert(still_works(executor));
}

Test(mr_progress, B87_each_of_the_first_calls_can_abort, .timeout = 60)
{
    static const unsigned workers[] = {1, 4};
    for (size_t w = 0; w < COUNT_OF(workers); w++) {
        stook_executor *executor = must_create(workers[w]);
        for (size_t k = 0; k < 6; k++) { /* three in each phase, or more in the first */
            struct mr_job job = waiting_job(&waiting, SHORT_NS);
            job.input.chunk = 1 + k;
            waiting.calls_before_map = 3;
            waiting.calls_before_reduce = 3;
            waiting.log.abort_call = k;
            check_aborted(executor, &job);
            cr_assert_eq(waiting.log.count, k + 1);
            if (k < 2) { /* no mapper had been let go, but by the end of the job */
                cr_assert_lt(atomic_load(&waiting.mapped), ITEMS);
            }
        }
        stook_executor_destroy(executor);
    }
}

Test(mr_progress, B87_the_last_call_of_a_phase_can_abort, .timeout = 60)
{
    static const char *const tags[] = {"map", "reduce"};
    stook_executor *executor = must_create(2);
    for (size_t t = 0; t < COUNT_OF(tags); t++) {
        struct mr_job job = waiting_job(&waiting, SHORT_NS);
        waiting.log.abort_end_tag = tags[t];
        check_aborted(executor, &job);
        cr_assert_eq(waiting.log.calls[waiting.log.count - 1].not_done, 0);
        cr_assert_str_eq(waiting.log.calls[waiting.log.count - 1].tag, tags[t]);
        cr_assert_eq(atomic_load(&waiting.log.reduce_calls) == 0, t == 0);
    }
    stook_executor_destroy(executor);
}

Test(mr_progress, B87_abort_ends_a_batch, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct mr_job job = waiting_job(&waiting, 0);
    mr_batch *batch = NULL;
    size_t count = 0;
    waiting.calls_before_map = 3;
    waiting.log.abort_call = 1;
    cr_assert_eq(mr_async_map(executor, &job, &batch, NULL), STOOK_OK);
    cr_assert_eq(mr_report_progress(batch, "map", log_progress, &waiting.log, SHORT_NS),
                 STOOK_CANCELLED);
    cr_assert_eq(mr_batch_error(batch)->status, STOOK_CANCELLED);
    cr_assert_eq(waiting.log.count, 2);
    stook_future *const *futures = mr_batch_futures(batch, &count);
    cr_assert_gt(count, 0);
    for (size_t i = 0; i < count; i++) {
        cr_assert(stook_future_done(futures[i]));
    }
    mr_batch_destroy(batch);
    cr_assert_eq(waiting.log.count, 2);
    cr_assert(still_works(executor));
    stook_executor_destroy(executor);
}

static int other_tag(const char *tag, uint64_t done, uint64_t not_done, void *user)
{
    unsigned *calls = user;
    *calls += strcmp(tag, "any tag at all") == 0 && done + not_done == ITEMS ? 1 : 1000;
    return 0;
}

Test(mr_progress, B85_reports_a_batch_with_any_tag, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct mr_job job = waiting_job(&waiting, 0);
    mr_batch *batch = NULL;
    unsigned calls = 0;
    cr_assert_eq(mr_async_map(executor, &job, &batch, NULL), STOOK_OK);
    cr_assert_eq(mr_report_progress(batch, "any tag at all", other_tag, &calls, LONG_NS), STOOK_OK);
    cr_assert_gt(calls, 0);
    cr_assert_lt(calls, 3);
    cr_assert_eq(waiting.log.count, 0); /* the job's own callback is not mr_async_map()'s to call */
    mr_batch_destroy(batch);
    stook_executor_destroy(executor);
}
