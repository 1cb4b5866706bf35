/* SPDX-License-Identifier: MIT
 *
 * Items that come one after the other: from a callback, which may fail, be cancelled, or give items
 * of any size; and from another job's result, in memory or in files, so that jobs are chained.
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include "mr_records.h"

#include <limits.h>

static const size_t chunks[] = {1, 2, 7, 1000, MR_CHUNK_AUTO, SIZE_MAX - 1};

/* --- a callback that gives items -------------------------------------------------------------- */

/* Item i has size_of(i) bytes, all of them (char)i. They are freed by the next call, and lie in a
 * block of their size, so that a sanitizer notices who looks behind them. */
struct giver {
    uint64_t count;
    size_t (*size_of)(uint64_t number);
    int end_code;        /* what is returned behind the last one; 0: its end */
    int good_code;       /* 1 if it is 0 */
    uint64_t cancels_at; /* this item cancels the run, unless `run` is NULL */
    _Atomic(mr_run *) run;
    uint64_t given;
    char *bytes;
    atomic_int inside;
    atomic_bool was_entered_twice;
    bool was_called_again; /* behind the end */
    bool has_ended;
};

static size_t small_size(uint64_t number)
{
    return (size_t)(number % 40);
}

static size_t odd_size(uint64_t number)
{
    return number % 17 == 3 ? 100000 : (size_t)(number % 3);
}

static size_t huge_size(uint64_t number)
{
    return number % 2 == 1 ? (size_t)9 << 20 : 1;
}

static size_t no_size(uint64_t number)
{
    (void)number;
    return 0;
}

static int give(struct mr_slice *ret_item, void *user)
{
    struct giver *giver = user;
    if (atomic_fetch_add(&giver->inside, 1) != 0) {
        atomic_store(&giver->was_entered_twice, true);
    }
    giver->was_called_again = giver->was_called_again || giver->has_ended;
    free(giver->bytes);
    giver->bytes = NULL;
    int code = giver->end_code;
    if (giver->given < giver->count) {
        const size_t size = giver->size_of(giver->given);
        mr_run *run = atomic_load(&giver->run);
        giver->bytes = must_alloc(size);
        memset(giver->bytes, (int)(unsigned char)giver->given, size);
        *ret_item = mr_slice_of(size > 0 ? giver->bytes : NULL, size);
        if (run != NULL && giver->given == giver->cancels_at) {
            mr_run_cancel(run);
        }
        giver->given++;
        code = giver->good_code ? giver->good_code : 1;
    } else {
        giver->has_ended = true;
    }
    atomic_fetch_sub(&giver->inside, 1);
    return code;
}

static struct mr_job giving_job(struct giver *giver)
{
    struct mr_job job = MR_JOB_INIT;
    giver->given = 0;
    giver->has_ended = false;
    job.input = mr_input_iterator(give, giver);
    job.map = place_map;
    job.reduce = each_reduce;
    job.order = MR_ORDER_KEY;
    job.partitions = 4;
    return job;
}

static void end_giver(const struct giver *giver)
{
    cr_assert_not(giver->was_called_again);
    cr_assert_not(atomic_load(&giver->was_entered_twice));
    free(giver->bytes);
}

/* Each item once, with its number and all its bytes. */
static void expect_items(mr_result *result, const struct giver *giver)
{
    struct mr_pair pair;
    cr_assert_eq(mr_result_count(result), giver->count);
    for (uint64_t i = 0; i < giver->count; i++) {
        const size_t size = giver->size_of(i);
        unsigned char key[16];
        place_key(key, 0, i);
        cr_assert(mr_result_next(result, &pair));
        cr_assert_eq(slice_compare(pair.key, mr_slice_of(key, sizeof key)), 0);
        cr_assert_eq(pair.value.size, size);
        const unsigned char *bytes = pair.value.data;
        cr_assert(size == 0 ||
                  (bytes[0] == (unsigned char)i && memcmp(bytes, bytes + 1, size - 1) == 0));
    }
    cr_assert_not(mr_result_next(result, &pair));
    mr_result_destroy(result);
}

static void check_items(uint64_t count, size_t (*size_of)(uint64_t))
{
    struct giver giver = {.count = count, .size_of = size_of};
    for (unsigned workers = 1; workers <= 3; workers += 2) {
        stook_executor *executor = must_create(workers);
        for (size_t i = 0; i < COUNT_OF(chunks); i++) {
            struct mr_job job = giving_job(&giver);
            job.input.chunk = chunks[i];
            expect_items(must_run(executor, &job), &giver);
            cr_assert_eq(giver.given, count); /* and asked for no more */
        }
        stook_executor_destroy(executor);
    }
    struct mr_job job = giving_job(&giver);
    expect_items(must_run(NULL, &job), &giver);
    end_giver(&giver);
}

Test(mr_iterator, gives_every_item_once, .timeout = 120)
{
    check_items(0, small_size);
    check_items(1, small_size);
    check_items(257, small_size);
    check_items(30000, small_size);
}

Test(mr_iterator, items_may_be_empty, .timeout = 60)
{
    check_items(1, no_size);
    check_items(1000, no_size);
}

Test(mr_iterator, items_of_many_sizes_are_copied, .timeout = 120)
{
    check_items(200, odd_size);
}

Test(mr_iterator, items_may_be_huge, .timeout = 120)
{
    struct giver giver = {.count = 6, .size_of = huge_size};
    stook_executor *executor = must_create(2);
    for (size_t i = 0; i < COUNT_OF(chunks); i++) {
        struct mr_job job = giving_job(&giver);
        job.input.chunk = chunks[i];
        expect_items(must_run(executor, &job), &giver);
    }
    stook_executor_destroy(executor);
    end_giver(&giver);
}

Test(mr_iterator, any_positive_code_gives_an_item, .timeout = 60)
{
    struct giver giver = {.count = 10, .size_of = small_size, .good_code = 77};
    struct mr_job job = giving_job(&giver);
    expect_items(must_run(NULL, &job), &giver);
    end_giver(&giver);
}

/* Data of an item is aligned for any type. */
static int aligned_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    (void)out;
    (void)user;
    const bool is_aligned = (uintptr_t)item->data.data % _Alignof(max_align_t) == 0;
    return is_aligned && item->value.size == 0 && item->source == 0 ? 0 : 1;
}

Test(mr_iterator, items_are_aligned, .timeout = 60)
{
    struct giver giver = {.count = 1000, .size_of = small_size};
    stook_executor *executor = must_create(2);
    struct mr_job job = giving_job(&giver);
    job.map = aligned_map;
    mr_result_destroy(must_run(executor, &job));
    stook_executor_destroy(executor);
    end_giver(&giver);
}

/* --- failures --------------------------------------------------------------------------------- */

static void check_failure(const struct giver *like, enum stook_status status, const char *words)
{
    stook_executor *executor = must_create(2);
    for (size_t i = 0; i <= COUNT_OF(chunks); i++) {
        const bool is_sequential = i == COUNT_OF(chunks);
        struct giver giver = {
            .count = like->count, .size_of = like->size_of, .end_code = like->end_code};
        struct mr_job job = giving_job(&giver);
        mr_result *result = UNTOUCHED(mr_result);
        struct mr_error error;
        memset(&error, 0xff, sizeof error);
        job.input.chunk = is_sequential ? MR_CHUNK_AUTO : chunks[i];
        cr_assert_eq(is_sequential ? mr_map_reduce_sequential(&job, &result, &error)
                                   : mr_map_reduce(executor, &job, &result, &error),
                     status);
        cr_assert_eq(result, UNTOUCHED(mr_result));
        cr_assert_eq(error.status, status);
        cr_assert_eq(error.phase, MR_PHASE_INPUT);
        cr_assert_eq(error.code, like->end_code);
        cr_assert_eq(error.item, like->count);
        cr_assert_eq(error.source, 0);
        cr_assert_not_null(strstr(error.message, words), "%s", error.message);
        cr_assert(still_works(executor));
        end_giver(&giver);
    }
    stook_executor_destroy(executor);
}

Test(mr_iterator, a_negative_code_fails_the_job, .timeout = 60)
{
    const struct giver at_once = {.count = 0, .size_of = small_size, .end_code = -7};
    const struct giver later = {.count = 5000, .size_of = small_size, .end_code = INT_MIN};
    check_failure(&at_once, STOOK_TASK_FAILED, "next failed with code -7 at item 0");
    check_failure(&later, STOOK_TASK_FAILED, "next failed with code -2147483648 at item 5000");
}

static int give_size_without_data(struct mr_slice *ret_item, void *user)
{
    (void)user;
    *ret_item = mr_slice_of(NULL, 3);
    return 1;
}

Test(mr_iterator, a_size_without_data_is_refused, .timeout = 60)
{
    struct giver none = {.count = 0};
    struct mr_job job = giving_job(&none);
    mr_result *result = UNTOUCHED(mr_result);
    struct mr_error error;
    job.input.next = give_size_without_data;
    cr_assert_eq(mr_map_reduce_sequential(&job, &result, &error), STOOK_INVALID);
    cr_assert_eq(error.phase, MR_PHASE_INPUT);
    cr_assert_not_null(strstr(error.message, "size without data at item 0"));
    cr_assert_eq(result, UNTOUCHED(mr_result));
}

/* More than there is: the job fails, the process goes on. */
static int give_too_much(struct mr_slice *ret_item, void *user)
{
    *ret_item = mr_slice_of(user, SIZE_MAX / 2);
    return 1;
}

Test(mr_iterator, an_item_larger_than_memory_fails_the_job, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct giver none = {.count = 0};
    struct mr_job job = giving_job(&none);
    mr_result *result = UNTOUCHED(mr_result);
    struct mr_error error;
    job.input.next = give_too_much;
    cr_assert_eq(mr_map_reduce(executor, &job, &result, &error), STOOK_NOMEM);
    cr_assert_eq(error.phase, MR_PHASE_INPUT);
    cr_assert_eq(result, UNTOUCHED(mr_result));
    cr_assert(still_works(executor));
    stook_executor_destroy(executor);
}

static int failing_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    const uint64_t *bad = user;
    (void)out;
    return item->index == *bad ? 5 : 0;
}

Test(mr_iterator, B88_a_mapper_that_fails_ends_the_giving, .timeout = 60)
{
    uint64_t bad = 3000;
    stook_executor *executor = must_create(2);
    for (size_t i = 0; i < COUNT_OF(chunks) - 1; i++) { /* the last one takes all at once */
        struct giver giver = {.count = UINT64_MAX, .size_of = small_size};
        struct mr_job job = giving_job(&giver);
        mr_result *result = UNTOUCHED(mr_result);
        struct mr_error error;
        job.input.chunk = chunks[i];
        job.map = failing_map;
        job.user = &bad;
        cr_assert_eq(mr_map_reduce(executor, &job, &result, &error), STOOK_TASK_FAILED);
        cr_assert_eq(error.phase, MR_PHASE_MAP);
        cr_assert_eq(error.item, bad);
        cr_assert_eq(error.code, 5);
        cr_assert_eq(result, UNTOUCHED(mr_result));
        end_giver(&giver);
    }
    stook_executor_destroy(executor);
}

static int nothing_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    (void)item;
    (void)out;
    (void)user;
    return 0;
}

Test(mr_iterator, B91_cancel_ends_what_would_go_on_for_ever, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    for (size_t i = 0; i < COUNT_OF(chunks); i++) {
        struct giver giver = {.count = UINT64_MAX, .size_of = no_size};
        struct mr_job job = giving_job(&giver);
        struct mr_error error;
        mr_run *run;
        job.map = nothing_map;
        job.input.chunk = chunks[i];
        cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
        if (i % 2 == 0) {
            giver.cancels_at = 0;
            mr_run_cancel(run);
        } else {
            uint64_t done;
            uint64_t not_done = 0;
            SPIN_UNTIL(mr_run_progress(run, MR_PHASE_MAP, &done, &not_done) != STOOK_OK ||
                       done > 1000 || chunks[i] > 1000);
            mr_run_cancel(run);
        }
        cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, &error), STOOK_CANCELLED);
        cr_assert_eq(error.status, STOOK_CANCELLED);
        cr_assert_eq(mr_run_state(run), MR_RUN_CANCELLED);
        mr_run_release(run);
        end_giver(&giver);
    }
    stook_executor_destroy(executor);
}

Test(mr_iterator, B91_the_callback_may_cancel, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    struct giver giver = {.count = UINT64_MAX, .size_of = small_size, .cancels_at = 1234};
    struct mr_job job = giving_job(&giver);
    stook_future *held = must_submit(executor, gate_task, &gate);
    mr_run *run;
    gate_await(&gate, 1);
    cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
    atomic_store(&giver.run, run);
    gate_open(&gate);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, NULL), STOOK_CANCELLED);
    cr_assert_eq(giver.given, 1235); /* and was not called again */
    mr_run_release(run);
    stook_future_release(held);
    end_giver(&giver);
    stook_executor_destroy(executor);
}

Test(mr_iterator, B85_progress_counts_what_was_given, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct giver giver = {.count = 3000, .size_of = small_size};
    struct mr_job job = giving_job(&giver);
    struct mr_stats stats;
    uint64_t done;
    uint64_t not_done;
    mr_run *run;
    cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, NULL), STOOK_OK);
    cr_assert_eq(mr_run_progress(run, MR_PHASE_MAP, &done, &not_done), STOOK_OK);
    cr_assert(done == 3000 && not_done == 0);
    mr_run_stats(run, &stats);
    cr_assert_eq(stats.items, 3000);
    cr_assert_eq(stats.bytes, 0);
    mr_run_release(run);
    end_giver(&giver);
    stook_executor_destroy(executor);
}

/* Many items are never all in memory: the windows that wait to be mapped are few. */
static int give_number(struct mr_slice *ret_item, void *user)
{
    uint64_t *number = user;
    ++*number;
    *ret_item = mr_slice_of(number, sizeof *number);
    return *number <= 400000;
}

static int sum_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    (void)user;
    return mr_emit(out, mr_slice_str("sum"), item->data);
}

Test(mr_iterator, memory_does_not_grow_with_the_items, .timeout = 120)
{
    stook_executor *executor = must_create(2);
    struct mr_job job = MR_JOB_INIT;
    struct mr_stats stats;
    struct mr_pair pair;
    uint64_t number = 0;
    mr_run *run;
    job.input = mr_input_iterator(give_number, &number);
    job.map = sum_map;
    job.combine = mr_sum_u64;
    cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, NULL), STOOK_OK);
    mr_run_stats(run, &stats);
    cr_assert_eq(stats.items, 400000);
    cr_assert_lt(stats.peak_memory, UINT64_C(4) << 20); /* the items alone have 6.4 MB */
    mr_result *result = mr_run_take_result(run);
    mr_run_release(run);
    cr_assert(mr_result_next(result, &pair));
    cr_assert_eq(mr_slice_u64(pair.value), UINT64_C(400000) * 400001 / 2);
    mr_result_destroy(result);
    stook_executor_destroy(executor);
}

/* --- another job's result --------------------------------------------------------------------- */

/* Value first, then key: where did it come from, and with what? */
static int swap_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    const uint64_t *count = user;
    if (item->index >= *count || item->source != 0) {
        return 1;
    }
    return mr_emit(out, item->value, item->data);
}

static int number_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    unsigned char key[16];
    (void)user;
    place_key(key, 0, item->index);
    return mr_emit(out, mr_slice_of(key, sizeof key), item->data);
}

/* A job whose results have all kinds of keys and values: short, long, empty. */
static struct mr_job first_job(struct giver *giver, unsigned kind)
{
    struct mr_job job = giving_job(giver);
    job.order = kind % 2 == 0 ? MR_ORDER_KEY : MR_ORDER_NONE;
    if (kind / 2 == 1) {
        job.reduce = NULL; /* pairs as they were emitted */
    } else if (kind / 2 == 2) {
        job.reduce = NULL; /* in tables */
        job.combine = mr_sum_u64;
        job.map = sum_map;
    }
    return job;
}

static size_t eight_bytes(uint64_t number)
{
    (void)number;
    return 8;
}

/* What a second job sees is what the first one gave, pair by pair. */
static void check_chain(stook_executor *executor, mr_result *first, size_t chunk)
{
    uint64_t count = mr_result_count(first);
    size_t size;
    struct mr_pair *pairs = drain(first, &size);
    struct mr_pair pair;
    struct mr_job job = MR_JOB_INIT;

    mr_result_rewind(first);
    if (count > 2) { /* wherever it stands, it is read from its first pair */
        MUST(mr_result_next(first, &pair) && mr_result_next(first, &pair));
    }
    job.input = mr_input_result(first);
    job.input.chunk = chunk;
    job.order = MR_ORDER_KEY;
    job.user = &count;
    job.map = number_map;
    mr_result *second = must_run(executor, &job);
    cr_assert_eq(mr_result_count(second), count);
    for (size_t i = 0; i < size; i++) {
        cr_assert(mr_result_next(second, &pair));
        cr_assert_eq(slice_compare(pair.value, pairs[i].key), 0, "pair %zu", i);
    }
    mr_result_destroy(second);
    for (size_t i = 0; i < size; i++) {
        pair = pairs[i];
        pairs[i] = (struct mr_pair){.key = pair.value, .value = pair.key};
    }
    qsort(pairs, size, sizeof *pairs, pair_compare);
    job.map = swap_map;
    mr_result *swapped = must_run(executor, &job);
    cr_assert_eq(mr_result_count(swapped), count);
    for (size_t i = 0; i < size; i++) {
        cr_assert(mr_result_next(swapped, &pair));
        cr_assert_eq(pair_compare(&pair, &pairs[i]), 0, "pair %zu", i);
    }
    mr_result_destroy(swapped);
    free(pairs);
}

Test(mr_iterator, jobs_are_chained, .timeout = 240)
{
    static size_t (*const sizes[])(uint64_t) = {small_size, odd_size, no_size, eight_bytes};
    stook_executor *executor = must_create(3);
    for (unsigned kind = 0; kind < 6; kind++) {
        for (size_t s = kind / 2 == 2 ? 3 : 0; s < COUNT_OF(sizes); s++) {
            struct giver giver = {.count = 300, .size_of = sizes[s]};
            struct mr_job job = first_job(&giver, kind);
            mr_result *first = must_run(executor, &job);
            for (size_t i = 0; i < COUNT_OF(chunks); i++) {
                check_chain(executor, first, chunks[i]);
            }
            check_chain(NULL, first, MR_CHUNK_AUTO);
            mr_result_destroy(first);
            end_giver(&giver);
        }
    }
    stook_executor_destroy(executor);
}

Test(mr_iterator, an_empty_result_is_an_empty_input, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct giver giver = {.count = 0, .size_of = no_size};
    struct mr_job job = giving_job(&giver);
    mr_result *first = must_run(executor, &job);
    check_chain(executor, first, MR_CHUNK_AUTO);
    check_chain(NULL, first, MR_CHUNK_AUTO);
    mr_result_destroy(first);
    end_giver(&giver);
    stook_executor_destroy(executor);
}

Test(mr_iterator, a_result_is_read_as_far_as_its_top, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct giver giver = {.count = 1000, .size_of = small_size};
    struct mr_job job = giving_job(&giver);
    job.top = 10;
    mr_result *first = must_run(executor, &job);
    cr_assert_eq(mr_result_count(first), 10);
    check_chain(executor, first, 3);
    mr_result_destroy(first);
    end_giver(&giver);
    stook_executor_destroy(executor);
}

static size_t kilobytes(uint64_t number)
{
    return 900 + (size_t)(number % 300);
}

/* More than the job may hold: its pairs are in files, and each is there until the next is read. */
static mr_result *spilled_result(stook_executor *executor, bool in_order)
{
    struct giver giver = {.count = 20000, .size_of = kilobytes};
    struct mr_job job = giving_job(&giver);
    struct mr_stats stats;
    mr_run *run;
    job.memory_limit = MR_LEAST_MEMORY;
    job.order = in_order ? MR_ORDER_KEY : MR_ORDER_NONE;
    cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, NULL), STOOK_OK);
    mr_run_stats(run, &stats);
    cr_assert_gt(stats.spills, 0);
    mr_result *result = mr_run_take_result(run);
    mr_run_release(run);
    end_giver(&giver);
    return result;
}

Test(mr_iterator, results_in_files_are_chained, .timeout = 240)
{
    stook_executor *executor = must_create(2);
    for (int in_order = 0; in_order < 2; in_order++) {
        mr_result *first = spilled_result(executor, in_order);
        check_chain(executor, first, MR_CHUNK_AUTO);
        check_chain(executor, first, 7);
        check_chain(NULL, first, MR_CHUNK_AUTO);
        mr_result_destroy(first);
    }
    stook_executor_destroy(executor);
}
