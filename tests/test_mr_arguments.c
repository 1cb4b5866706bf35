/* SPDX-License-Identifier: MIT
 *
 * Jobs and steps that are not sound: what is refused, by each function that begins a job, in which
 * words; nothing is called and no ret_ parameter written.
 */
#include "check.h"
#include "mr_support.h"

#define ITEMS 300

static atomic_uint calls; /* of callbacks */

static int any_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    (void)user;
    atomic_fetch_add(&calls, 1);
    return mr_emit(out, item->data, mr_slice_of(NULL, 0));
}

static int any_progress(const char *tag, uint64_t done, uint64_t not_done, void *user)
{
    (void)tag;
    (void)done;
    (void)not_done;
    (void)user;
    atomic_fetch_add(&calls, 1);
    return 0;
}

static struct mr_job any_job(void)
{
    static const char items[ITEMS];
    struct mr_job job = MR_JOB_INIT;
    job.input = mr_input_array(items, ITEMS, 1);
    job.map = any_map;
    job.reduce = count_reduce;
    job.progress = any_progress;
    return job;
}

/* All ways to begin a job refuse it, and say why; or may say nothing. */
static void must_refuse(const struct mr_job *job, const char *word)
{
    stook_executor *executor = must_create(2);
    mr_result *result = UNTOUCHED(mr_result);
    mr_batch *batch = UNTOUCHED(mr_batch);
    mr_run *run = UNTOUCHED(mr_run);
    for (unsigned way = 0; way < 8; way++) {
        struct mr_error error;
        struct mr_error *ret_error = way % 2 == 0 ? &error : NULL;
        memset(&error, 0xff, sizeof error);
        enum stook_status status = way < 2   ? mr_map_reduce(executor, job, &result, ret_error)
                                   : way < 4 ? mr_async_map(executor, job, &batch, ret_error)
                                   : way < 6 ? mr_map_reduce_sequential(job, &result, ret_error)
                                             : mr_submit(executor, job, &run, ret_error);
        cr_assert_eq(status, STOOK_INVALID, "%s", word);
        if (ret_error != NULL) {
            cr_assert_eq(error.status, STOOK_INVALID);
            cr_assert_eq(error.phase, MR_PHASE_NONE);
            cr_assert(tells(&error, word));
        }
    }
    cr_assert_eq(result, UNTOUCHED(mr_result));
    cr_assert_eq(batch, UNTOUCHED(mr_batch));
    cr_assert_eq(run, UNTOUCHED(mr_run));
    cr_assert_eq(atomic_load(&calls), 0);
    stook_executor_destroy(executor);
}

Test(mr_arguments, B79_chunk_0_is_refused, .timeout = 60)
{
    static const struct mr_source source = {.text = {"a text", 6}};
    struct mr_job job = any_job();
    job.input.chunk = 0;
    must_refuse(&job, "chunk");
    job.input = mr_input_text(&source, 1);
    job.input.chunk = 0;
    must_refuse(&job, "chunk");
    job.input.source_count = 0;
    must_refuse(&job, "chunk");
}

Test(mr_arguments, missing_callbacks_are_refused, .timeout = 60)
{
    struct mr_job job = any_job();
    job.map = NULL;
    must_refuse(&job, "map");
    job = any_job();
    job.order = MR_ORDER_PAIR;
    must_refuse(&job, "compare");
}

Test(mr_arguments, wrong_struct_size_is_refused, .timeout = 60)
{
    static const size_t sizes[] = {0, 1, sizeof(struct mr_job) - 1, sizeof(struct mr_job) + 8};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct mr_job job = any_job();
        job.struct_size = sizes[i];
        must_refuse(&job, "struct_size");
    }
}

Test(mr_arguments, items_without_size_are_refused, .timeout = 60)
{
    struct mr_job job = any_job();
    job.input.item_size = 0;
    must_refuse(&job, "item_size");
}

Test(mr_arguments, too_many_partitions_are_refused, .timeout = 60)
{
    struct mr_job job = any_job();
    job.partitions = MR_MAX_PARTITIONS + 1;
    must_refuse(&job, "partitions");
    job.partitions = UINT32_MAX;
    must_refuse(&job, "partitions");
}

static uint64_t any_hash(struct mr_slice key, void *user)
{
    (void)user;
    return key.size;
}

static int any_order(struct mr_slice a, struct mr_slice b, void *user)
{
    (void)user;
    return mr_slice_compare(a, b);
}

Test(mr_arguments, unsound_options_are_refused, .timeout = 60)
{
    static const struct mr_keys no_hash = {.compare = any_order};
    static const struct mr_keys no_order = {.hash = any_hash};
    static const struct mr_keys own = {any_hash, any_order};
    struct mr_job job = any_job();
    job.order = (enum mr_order)(MR_ORDER_PAIR + 1);
    must_refuse(&job, "order");
    job = any_job();
    job.keys = &no_hash;
    must_refuse(&job, "lacks hash");
    job.keys = &no_order;
    must_refuse(&job, "lacks hash or compare");
    job.keys = &own;
    job.ranks = 1;
    must_refuse(&job, "portable");
    job = any_job();
    job.ranks = MR_MAX_RANKS + 1;
    must_refuse(&job, "ranks");
    job = any_job();
    job.memory_limit = MR_LEAST_MEMORY - 1;
    must_refuse(&job, "memory_limit");
    job = any_job();
    job.progress_period_ns = -1;
    must_refuse(&job, "period");
}

Test(mr_arguments, unsound_inputs_are_refused, .timeout = 60)
{
    static const struct mr_source text = {.text = {"a text", 6}};
    static const struct mr_source closed = {.descriptor = -1};
    static const struct mr_source without_bytes = {.text = {NULL, 1}};
    struct mr_job job = any_job();
    job.input.sources = &text;
    must_refuse(&job, "more than one");
    job.input = mr_input_array(NULL, 1, 1);
    must_refuse(&job, "items is NULL");
    job.input = mr_input_text(NULL, 1);
    must_refuse(&job, "sources is NULL");
    job.input = mr_input_text(&closed, 1);
    must_refuse(&job, "negative");
    job.input = mr_input_text(&without_bytes, 1);
    must_refuse(&job, "data is NULL");
    job.input = mr_input_text(&text, 1);
    job.input.delimiters = NULL;
    must_refuse(&job, "delimiters");
    job.input = mr_input_fixed(&text, 1, 0);
    must_refuse(&job, "record_size");
    job.input.records = MR_RECORDS_SPLITTER;
    must_refuse(&job, "splitter");
    job.input.records = (enum mr_records)(MR_RECORDS_SPLITTER + 1);
    must_refuse(&job, "records");
}

Test(mr_arguments, null_is_refused, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct mr_job job = any_job();
    mr_result *result = UNTOUCHED(mr_result);
    mr_batch *batch = UNTOUCHED(mr_batch);
    mr_run *run = UNTOUCHED(mr_run);
    struct mr_error error;
    memset(&error, 0xff, sizeof error);
    cr_assert_eq(mr_map_reduce(executor, NULL, &result, &error), STOOK_INVALID);
    cr_assert(tells(&error, "job"));
    memset(&error, 0xff, sizeof error);
    cr_assert_eq(mr_map_reduce(executor, &job, NULL, &error), STOOK_INVALID);
    cr_assert(tells(&error, "ret_result"));
    cr_assert_eq(mr_map_reduce(NULL, &job, &result, &error), STOOK_INVALID);
    cr_assert(tells(&error, "executor"));
    memset(&error, 0xff, sizeof error);
    cr_assert_eq(mr_map_reduce_sequential(&job, NULL, &error), STOOK_INVALID);
    cr_assert(tells(&error, "ret_result"));
    memset(&error, 0xff, sizeof error);
    cr_assert_eq(mr_async_map(executor, NULL, &batch, &error), STOOK_INVALID);
    cr_assert(tells(&error, "job"));
    cr_assert_eq(mr_async_map(NULL, &job, &batch, &error), STOOK_INVALID);
    cr_assert(tells(&error, "executor"));
    cr_assert_eq(mr_async_map(executor, &job, NULL, &error), STOOK_INVALID);
    cr_assert(tells(&error, "ret_batch"));
    memset(&error, 0xff, sizeof error);
    cr_assert_eq(mr_submit(NULL, &job, &run, &error), STOOK_INVALID);
    cr_assert(tells(&error, "executor"));
    cr_assert_eq(mr_submit(executor, &job, NULL, &error), STOOK_INVALID);
    cr_assert(tells(&error, "ret_run"));
    cr_assert_eq(result, UNTOUCHED(mr_result));
    cr_assert_eq(batch, UNTOUCHED(mr_batch));
    cr_assert_eq(run, UNTOUCHED(mr_run));
    cr_assert_eq(atomic_load(&calls), 0);
    stook_executor_destroy(executor);
}

/* What is refused changes nothing: the step can be made as it should be. */
Test(mr_arguments, steps_that_do_not_follow_are_refused, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct mr_job job = any_job();
    mr_batch *map = NULL;
    mr_batch *reduce = UNTOUCHED(mr_batch);
    mr_groups *groups = UNTOUCHED(mr_groups);
    mr_groups *second = UNTOUCHED(mr_groups);
    mr_result *result = UNTOUCHED(mr_result);
    cr_assert_eq(mr_async_map(executor, &job, &map, NULL), STOOK_OK);
    cr_assert_eq(mr_report_progress(NULL, "map", NULL, NULL, 0), STOOK_INVALID);
    cr_assert_eq(mr_report_progress(map, NULL, any_progress, NULL, 0), STOOK_INVALID);
    cr_assert_eq(mr_report_progress(map, "map", any_progress, NULL, -1), STOOK_INVALID);
    cr_assert_eq(mr_shuffle(NULL, map, &groups, NULL), STOOK_INVALID);
    cr_assert_eq(mr_shuffle(executor, NULL, &groups, NULL), STOOK_INVALID);
    cr_assert_eq(mr_shuffle(executor, map, NULL, NULL), STOOK_INVALID);
    cr_assert_eq(groups, UNTOUCHED(mr_groups));
    cr_assert_eq(mr_shuffle(executor, map, &groups, NULL), STOOK_OK);
    cr_assert_eq(mr_shuffle(executor, map, &second, NULL), STOOK_INVALID, "taken");
    cr_assert_eq(mr_async_reduce(NULL, groups, &reduce, NULL), STOOK_INVALID);
    cr_assert_eq(mr_async_reduce(executor, NULL, &reduce, NULL), STOOK_INVALID);
    cr_assert_eq(reduce, UNTOUCHED(mr_batch));
    cr_assert_eq(mr_async_reduce(executor, groups, &reduce, NULL), STOOK_OK);
    cr_assert_eq(mr_shuffle(executor, reduce, &second, NULL), STOOK_INVALID, "no map batch");
    cr_assert_eq(second, UNTOUCHED(mr_groups));
    cr_assert_eq(mr_batch_result(NULL, &result), STOOK_INVALID);
    cr_assert_eq(mr_batch_result(reduce, NULL), STOOK_INVALID);
    cr_assert_eq(result, UNTOUCHED(mr_result));
    cr_assert_eq(mr_batch_result(reduce, &result), STOOK_OK);
    cr_assert_eq(mr_result_count(result), 1);
    mr_result_destroy(result);
    cr_assert_eq(mr_batch_result(reduce, &result), STOOK_INVALID, "taken");
    mr_batch_destroy(reduce);
    mr_groups_destroy(groups);
    mr_batch_destroy(map);
    cr_assert_eq(atomic_load(&calls), ITEMS, "progress was not called");
    stook_executor_destroy(executor);
}
