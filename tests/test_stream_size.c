/* SPDX-License-Identifier: MIT
 *
 * What a stream needs: how many tasks, by its automatic chunks, and how much memory, also of an
 * endless input; and what it says when either is not to be had. The linker redirects the library's
 * allocations and the submits of streams here.
 */
#include <stdlib.h>
#include "check.h"
#include "support.h"

enum { MOST_PASSES = 2000 };

static atomic_long calls_left = -1; /* allocations until one fails; negative: none does */
static atomic_long living;          /* allocations that have not been freed */
static long submits;
static long submits_left = -1; /* until one fails */
static enum stook_status submit_failure;
static bool cancels_submitted;       /* as a token would */
static stook_future *last_submitted; /* kept if keeps_submitted */
static bool keeps_submitted;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *memory);
enum stook_status __real_stook_executor_submit_with(stook_executor *executor,
                                                    const struct stook_submit_options *options,
                                                    stook_task_fn *fn, void *arg,
                                                    stook_future **ret_future);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *memory);
enum stook_status __wrap_stook_executor_submit_with(stook_executor *executor,
                                                    const struct stook_submit_options *options,
                                                    stook_task_fn *fn, void *arg,
                                                    stook_future **ret_future);

static bool fails_now(void)
{
    return atomic_load(&calls_left) >= 0 && atomic_fetch_sub(&calls_left, 1) == 0;
}

static void *counted(void *memory)
{
    atomic_fetch_add(&living, memory != NULL);
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return fails_now() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails_now() ? NULL : counted(__real_aligned_alloc(alignment, size));
}

void __wrap_free(void *memory)
{
    atomic_fetch_sub(&living, memory != NULL);
    __real_free(memory);
}

enum stook_status __wrap_stook_executor_submit_with(stook_executor *executor,
                                                    const struct stook_submit_options *options,
                                                    stook_task_fn *fn, void *arg,
                                                    stook_future **ret_future)
{
    if (submits_left >= 0 && submits_left-- == 0) {
        return submit_failure;
    }
    submits++;
    enum stook_status status =
        __real_stook_executor_submit_with(executor, options, fn, arg, ret_future);
    if (status == STOOK_OK && cancels_submitted) {
        stook_future_cancel(*ret_future);
    }
    if (status == STOOK_OK && keeps_submitted) {
        last_submitted = stook_future_retain(*ret_future);
    }
    return status;
}

/* --- an input of numbers from 1 up ------------------------------------------------------------ */

struct numbers {
    uintptr_t taken;
    uintptr_t count;     /* UINTPTR_MAX: endless */
    uintptr_t slow_from; /* these take a millisecond */
    bool is_slow;        /* to be had */
    long submits_before; /* the first of `marked` */
    uintptr_t marked;
    long last_submits; /* for the largest chunk */
    long in_chunk;
    long largest_chunk;
};

static struct numbers numbers;

static void take_a_millisecond(void)
{
    const struct timespec millisecond = {0, MILLISECOND};

    (void)thrd_sleep(&millisecond, NULL);
}

static bool next_number(void *user_data, void **ret_item)
{
    (void)user_data;
    if (numbers.is_slow) {
        take_a_millisecond();
    }
    if (numbers.taken == numbers.count) {
        return false;
    }
    if (++numbers.taken == numbers.marked) {
        numbers.submits_before = submits;
    }
    numbers.in_chunk = submits == numbers.last_submits ? numbers.in_chunk + 1 : 1;
    numbers.last_submits = submits;
    if (numbers.in_chunk > numbers.largest_chunk) {
        numbers.largest_chunk = numbers.in_chunk;
    }
    *ret_item = (void *)numbers.taken;
    return true;
}

static int give_number(void *arg, void **ret_value)
{
    if (numbers.slow_from != 0 && (uintptr_t)arg >= numbers.slow_from) {
        take_a_millisecond();
    }
    *ret_value = arg;
    return 0;
}

static enum stook_status create(stook_executor *executor, size_t look_ahead, size_t chunk,
                                stook_stream **ret_stream)
{
    struct stook_stream_options options = STOOK_STREAM_OPTIONS_INIT;

    options.input = next_number;
    options.fn = give_number;
    options.look_ahead = look_ahead;
    options.chunk = chunk;
    return stook_stream_create(executor, &options, ret_stream);
}

/* Takes numbers up to `count`; what it answers instead of one of them. */
static enum stook_status take(stook_stream *stream, uintptr_t from, uintptr_t count)
{
    for (uintptr_t i = from; i <= count; i++) {
        void *value = NULL;
        enum stook_status status = stook_stream_next(stream, STOOK_FOREVER, &value, NULL);

        if (status != STOOK_OK) {
            return status;
        }
        MUST(value == (void *)i);
    }
    return STOOK_OK;
}

/* --- tasks ------------------------------------------------------------------------------------ */

Test(stream_size, short_items_share_tasks, .timeout = 120)
{
    enum { ITEMS = 100000, LOOK_AHEAD = 4096 };
    stook_executor *executor = must_create(2);
    stook_stream *stream = NULL;

    numbers.count = ITEMS;
    cr_assert_eq(create(executor, LOOK_AHEAD, 0, &stream), STOOK_OK);
    cr_assert_eq(submits, LOOK_AHEAD); /* nothing is known yet */
    cr_assert_eq(take(stream, 1, ITEMS), STOOK_OK);
    cr_assert_lt(submits - LOOK_AHEAD, ITEMS / 4);
    stook_stream_destroy(stream);
    stook_executor_destroy(executor);
}

Test(stream_size, a_chunk_leaves_every_worker_its_share, .timeout = 60)
{
    const struct {
        unsigned workers;
        size_t look_ahead;
        long most;
    } cases[] = {{1, 1, 1}, {1, 5, 1}, {1, 6, 2}, {2, 128, 25}, {4, 17, 1}, {4, 36, 4}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        stook_executor *executor = must_create(cases[i].workers);
        stook_stream *stream = NULL;

        numbers = (struct numbers){.count = UINTPTR_MAX};
        cr_assert_eq(create(executor, cases[i].look_ahead, 0, &stream), STOOK_OK);
        cr_assert_eq(take(stream, 1, 20000), STOOK_OK);
        cr_assert_leq(numbers.largest_chunk, cases[i].most, "case %zu", i);
        cr_assert(cases[i].most == 1 || numbers.largest_chunk > 1, "case %zu", i);
        stook_stream_destroy(stream);
        stook_executor_destroy(executor);
    }
}

Test(stream_size, items_that_become_slow_get_tasks_of_their_own_again, .timeout = 120)
{
    enum { SHORT = 5000, SLOW = 300, LAST = 64 };
    stook_executor *executor = must_create(1);
    stook_stream *stream = NULL;

    numbers = (struct numbers){
        .count = SHORT + SLOW, .slow_from = SHORT + 1, .marked = SHORT + SLOW - LAST + 1};
    cr_assert_eq(create(executor, 128, 0, &stream), STOOK_OK);
    cr_assert_eq(take(stream, 1, SHORT + SLOW), STOOK_OK);
    cr_assert_gt(numbers.largest_chunk, 1);
    cr_assert_eq(submits - numbers.submits_before, LAST);
    stook_stream_destroy(stream);
    stook_executor_destroy(executor);
}

/* Larger chunks would only hold results back. */
Test(stream_size, items_that_come_slowly_get_tasks_of_their_own, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    stook_stream *stream = NULL;

    numbers = (struct numbers){.count = 100, .is_slow = true};
    cr_assert_eq(create(executor, 32, 0, &stream), STOOK_OK);
    cr_assert_eq(take(stream, 1, 100), STOOK_OK);
    cr_assert_eq(submits, 100);
    stook_stream_destroy(stream);
    stook_executor_destroy(executor);
}

Test(stream_size, a_chunk_that_is_given_is_kept, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    stook_stream *stream = NULL;

    numbers.count = 1000;
    cr_assert_eq(create(executor, 10, 7, &stream), STOOK_OK);
    cr_assert_eq(take(stream, 1, 1000), STOOK_OK);
    cr_assert_eq(submits, 1000 / 7 + 1);
    stook_stream_destroy(stream);
    stook_executor_destroy(executor);
}

/* --- memory ----------------------------------------------------------------------------------- */

static int endless(void *arg, void **ret_value)
{
    /* SLACK: workers that get no CPU for a while drop no husks meanwhile. */
    enum { WARM_UP = 2000, ITEMS = 100000, LOOK_AHEAD = 64, SLACK = 20000 };
    (void)ret_value;

    for (size_t chunk = 0; chunk <= 2; chunk++) {
        stook_stream *stream = NULL;

        numbers = (struct numbers){.count = UINTPTR_MAX};
        MUST(create(arg, LOOK_AHEAD, chunk, &stream) == STOOK_OK);
        MUST(take(stream, 1, WARM_UP) == STOOK_OK);
        const long before = atomic_load(&living);
        MUST(take(stream, WARM_UP + 1, ITEMS) == STOOK_OK);
        MUST(atomic_load(&living) < before + SLACK);
        stook_stream_destroy(stream);
    }
    return 0;
}

Test(stream_size, an_endless_input_needs_no_more_memory_than_a_short_one, .timeout = 120)
{
    stook_executor *executor = must_create(2);
    void *value = NULL;

    endless(executor, &value);
    stook_executor_destroy(executor);
}

/* The only worker is busy with the task, so nobody ever looks into its queue. */
Test(stream_size, an_endless_input_in_a_task_needs_no_more_memory_either, .timeout = 120)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        stook_executor *executor = must_create(workers);
        stook_future *future = must_submit(executor, endless, executor);

        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        stook_future_release(future);
        stook_executor_destroy(executor);
    }
}

/* Whatever is not to be had: create says so, or next does behind all that could be submitted. */
Test(stream_size, B31_NOMEM_whatever_allocation_fails, .timeout = 120)
{
    enum { ITEMS = 50 };
    stook_executor *executor = must_create(2);
    bool was_told = false;

    for (long number = 0;; number++) {
        stook_stream *stream = NULL;
        uintptr_t got = 0;

        cr_assert_lt(number, MOST_PASSES);
        numbers = (struct numbers){.count = ITEMS};
        atomic_store(&calls_left, number);
        enum stook_status status = create(executor, 8, 1, &stream);
        if (status != STOOK_OK) {
            cr_assert_eq(status, STOOK_NOMEM);
            cr_assert_null(stream);
            was_told = true;
        }
        for (; status == STOOK_OK; got += status == STOOK_OK) {
            status = take(stream, got + 1, got + 1);
        }
        const bool has_failed = atomic_exchange(&calls_left, -1) < 0;
        if (stream) {
            cr_assert_eq(status, has_failed ? STOOK_NOMEM : STOOK_END);
            cr_assert_eq(stook_stream_next(stream, STOOK_FOREVER, NULL, NULL), status);
            cr_assert_eq(got + has_failed, numbers.taken); /* one was not submitted */
            stook_stream_destroy(stream);
        }
        if (!has_failed) {
            break;
        }
    }
    cr_assert(was_told);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&living), 0);
}

/* --- submits ---------------------------------------------------------------------------------- */

Test(stream_size, a_submit_that_fails_is_told_behind_all_results, .timeout = 60)
{
    const enum stook_status failures[] = {STOOK_SHUTDOWN, STOOK_BROKEN, STOOK_FORKED};
    stook_executor *executor = must_create(2);

    for (long number = 0; number < 30; number++) {
        const size_t chunk = 1 + (size_t)number % 3;
        stook_stream *stream = NULL;

        submit_failure = failures[number % 3];
        submits_left = number;
        numbers = (struct numbers){.count = UINTPTR_MAX};
        if (number == 0) {
            cr_assert_eq(create(executor, 6, chunk, &stream), submit_failure);
            cr_assert_null(stream);
            continue;
        }
        cr_assert_eq(create(executor, 6, chunk, &stream), STOOK_OK);
        cr_assert_eq(take(stream, 1, (size_t)number * chunk), STOOK_OK);
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(stook_stream_next(stream, STOOK_FOREVER, NULL, NULL), submit_failure);
        }
        cr_assert_eq(numbers.taken, (size_t)(number + 1) * chunk); /* and no more */
        stook_stream_destroy(stream);
    }
    stook_executor_destroy(executor);
}

static int fail_from_3_on(void *arg, void **ret_value)
{
    (void)ret_value;
    return (uintptr_t)arg < 3 ? 0 : (int)(uintptr_t)arg;
}

/* That is what its scope sees. */
Test(stream_size, a_task_fails_with_the_first_code_of_its_items, .timeout = 60)
{
    struct stook_stream_options options = STOOK_STREAM_OPTIONS_INIT;
    stook_executor *executor = must_create(1);
    stook_stream *stream = NULL;

    options.input = next_number;
    options.fn = fail_from_3_on;
    options.look_ahead = options.chunk = 5;
    numbers.count = 5;
    keeps_submitted = true;
    cr_assert_eq(stook_stream_create(executor, &options, &stream), STOOK_OK);
    cr_assert_eq(stook_future_result(last_submitted, NULL), STOOK_TASK_FAILED);
    cr_assert_eq(stook_future_code(last_submitted), 3);
    for (int i = 1; i <= 5; i++) {
        cr_assert_eq(stook_stream_next(stream, STOOK_FOREVER, NULL, NULL),
                     i < 3 ? STOOK_OK : STOOK_TASK_FAILED);
    }
    stook_future_release(last_submitted);
    stook_stream_destroy(stream);
    stook_executor_destroy(executor);
}

/* The worker is busy meanwhile, so that none of the cancelled tasks has begun. */
Test(stream_size, items_that_were_cancelled_are_told_in_their_place, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    stook_future *busy = must_submit(executor, gate_task, &gate);
    stook_stream *stream = NULL;
    void *value = &gate;

    gate_await(&gate, 1);
    numbers.count = 20;
    cancels_submitted = true;
    cr_assert_eq(create(executor, 6, 3, &stream), STOOK_OK);
    cancels_submitted = false;
    gate_open(&gate);
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(stook_stream_next(stream, STOOK_FOREVER, &value, NULL), STOOK_CANCELLED);
    }
    cr_assert_eq(value, &gate);
    cr_assert_eq(take(stream, 7, 20), STOOK_OK);
    cr_assert_eq(stook_stream_next(stream, STOOK_FOREVER, NULL, NULL), STOOK_END);
    stook_stream_destroy(stream);
    stook_future_release(busy);
    stook_executor_destroy(executor);
}

/* Also where there is no item to submit. */
Test(stream_size, B22_what_belongs_to_another_executor_is_refused_before_the_input, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    stook_executor *other = must_create(1);
    struct stook_stream_options options = STOOK_STREAM_OPTIONS_INIT;
    const struct stook_submit_options plain = STOOK_SUBMIT_OPTIONS_INIT;
    struct stook_submit_options submit;
    stook_stream *stream = NULL;
    stook_client *client;
    stook_token *token;
    stook_scope *scope;

    cr_assert_eq(stook_client_create(other, 1, 0, &client), STOOK_OK);
    cr_assert_eq(stook_token_create(other, NULL, STOOK_FOREVER, &token), STOOK_OK);
    cr_assert_eq(stook_scope_create(other, NULL, &scope), STOOK_OK);
    options.input = next_number;
    options.fn = give_number;
    options.submit = &submit;
    for (int i = 0; i < 6; i++) {
        numbers = (struct numbers){.count = i % 2 ? 5 : 0};
        submit = plain;
        submit.client = i / 2 == 0 ? client : NULL;
        submit.token = i / 2 == 1 ? token : NULL;
        submit.scope = i / 2 == 2 ? scope : NULL;
        cr_expect_eq(stook_stream_create(executor, &options, &stream), STOOK_INVALID, "%d", i);
        cr_expect_eq(numbers.taken, 0);
    }
    stook_scope_destroy(scope);
    stook_token_release(token);
    stook_client_release(client);
    stook_executor_destroy(other);
    stook_executor_destroy(executor);
}

struct called {
    stook_stream *stream;
    uintptr_t handed_out;
    int refused;
};

/* Takes what there is; once more where it is refused. */
static void take_in_callback(stook_future *future, void *user_data)
{
    struct called *called = user_data;
    void *value;

    (void)future;
    for (int i = 0; i < 4; i++) {
        const enum stook_status status =
            stook_stream_next(called->stream, STOOK_FOREVER, &value, NULL);

        MUST(status == (i < 2 ? STOOK_OK : STOOK_DEADLOCK));
        called->handed_out += status == STOOK_OK;
        called->refused += status == STOOK_DEADLOCK;
        MUST(status != STOOK_OK || (uintptr_t)value == called->handed_out);
    }
}

/* The worker is held, and the queue of one full, so that further items would have to wait there. */
Test(stream_size, a_full_queue_in_a_callback_loses_no_item, .timeout = 60)
{
    for (int is_last = 0; is_last < 2; is_last++) {
        struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
        struct called called = {.handed_out = 0};
        struct gate gate = {0};
        atomic_int runs = 0;
        stook_executor *executor;
        stook_promise *promise;
        stook_future *future;

        options.workers = 1;
        options.queue_limit = 1;
        numbers = (struct numbers){.count = is_last ? 3 : 10};
        cr_assert_eq(stook_executor_create(&options, &executor), STOOK_OK);
        cr_assert_eq(create(executor, 2, 1, &called.stream), STOOK_OK);
        stook_future *busy = must_submit(executor, gate_task, &gate);
        gate_await(&gate, 1); /* behind the first two */
        cr_assert_eq(stook_executor_submit(executor, count_task, &runs, NULL), STOOK_OK);
        cr_assert_eq(stook_promise_create(NULL, &promise, &future), STOOK_OK);
        cr_assert_eq(stook_future_on_done(future, take_in_callback, &called), STOOK_OK);
        cr_assert_eq(stook_promise_complete(promise, 0, NULL), STOOK_OK);
        cr_assert_eq(called.refused, 2);
        gate_open(&gate);
        cr_assert_eq(take(called.stream, 3, numbers.count), STOOK_OK);
        cr_assert_eq(stook_stream_next(called.stream, STOOK_FOREVER, NULL, NULL), STOOK_END);
        stook_stream_destroy(called.stream);
        stook_promise_release(promise);
        stook_future_release(future);
        stook_future_release(busy);
        stook_executor_destroy(executor);
    }
}
