/* SPDX-License-Identifier: MIT
 *
 * Each function of libstook that takes memory, a thread or a lock: called on a fresh executor with
 * the first, second, ... such call failing once, until none does. Each time the status is one that
 * its header names, nothing is left, and the executor runs a task as before. README.md in this
 * folder tells which function is where.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "failing_locks.h"

enum { ITEMS = 40 };

/* One call that is to fail. */
struct
try {
    stook_executor *executor; /* NULL: the call makes one */
    long number;              /* of the call that fails, counted from arm() to disarm() */
    bool failed;
    atomic_int runs;          /* of count_task */
    atomic_int given;         /* items of a stream */
    enum stook_status status; /* where a task cannot return it */
};

static void arm(struct try *try)
{
    fail_call(try->number);
}

static void disarm(struct try *try)
{
    try->failed = has_failed();
    fail_none();
}

/* --- executors ---------------------------------------------------------------------------------
 * */

static int init_hook(void *data, unsigned number)
{
    (void)data;
    (void)number;
    return 0;
}

static enum stook_status try_create(struct try *try)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = NULL;
    options.workers = 2;
    options.max_workers = 3;
    options.stack_size = 1 << 18;
    options.thread_init = init_hook;
    options.queue_limit = 3;
    options.name_prefix = "fails";
    arm(try);
    const enum stook_status status = stook_executor_create(&options, &executor);
    disarm(try);
    cr_assert_eq(executor != NULL, status == STOOK_OK);
    stook_executor_destroy(executor);
    return status;
}

static enum stook_status try_resize(struct try *try)
{
    arm(try);
    const enum stook_status status = stook_executor_resize(try->executor, 3);
    disarm(try);
    cr_assert_eq(stook_executor_worker_count(try->executor), 3);
    return status;
}

static enum stook_status try_stats(struct try *try)
{
    struct stook_stats stats = STOOK_STATS_INIT;
    arm(try);
    const enum stook_status status = stook_executor_stats(try->executor, &stats, NULL, 0);
    disarm(try);
    return status;
}

static enum stook_status try_shutdown(struct try *try)
{
    cr_assert_eq(stook_executor_submit(try->executor, count_task, &try->runs, NULL), STOOK_OK);
    arm(try);
    const enum stook_status status =
        stook_executor_shutdown(try->executor, STOOK_DRAIN, STOOK_FOREVER);
    disarm(try);
    return status;
}

static enum stook_status try_map(struct try *try)
{
    void *values[ITEMS] = {&values};
    arm(try);
    const enum stook_status status =
        stook_executor_map(try->executor, count_task, &try->runs, ITEMS, 0, values, NULL);
    disarm(try);
    cr_assert_eq(atomic_load(&try->runs), status == STOOK_OK ? ITEMS : 0);
    cr_assert_eq(values[0] == &values, status != STOOK_OK);
    return status;
}

static enum stook_status try_client(struct try *try)
{
    stook_client *client = NULL;
    arm(try);
    const enum stook_status status = stook_client_create(try->executor, 1, 1, &client);
    disarm(try);
    cr_assert_eq(client != NULL, status == STOOK_OK);
    stook_client_release(client);
    return status;
}

/* --- tasks -------------------------------------------------------------------------------------
 * */

/* Submits, and waits for what was accepted; it runs if it was, else never. */
static enum stook_status try_submit_with(struct try *try,
                                         const struct stook_submit_options *options)
{
    stook_future *future = NULL;
    arm(try);
    const enum stook_status status =
        stook_executor_submit_with(try->executor, options, count_task, &try->runs, &future);
    disarm(try);
    cr_assert_eq(future != NULL, status == STOOK_OK);
    if (status == STOOK_OK) {
        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    }
    stook_future_release(future);
    cr_assert_eq(atomic_load(&try->runs), status == STOOK_OK);
    return status;
}

static enum stook_status try_submit(struct try *try)
{
    return try_submit_with(try, NULL);
}

static enum stook_status try_submit_high(struct try *try)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    options.priority = STOOK_PRIORITY_HIGH;
    return try_submit_with(try, &options);
}

static enum stook_status try_submit_late(struct try *try)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    options.start_ns = stook_deadline_after_ns(MILLISECOND);
    return try_submit_with(try, &options);
}

/* Again and again, until it is cancelled; or a call of it finds no memory. */
static enum stook_status try_submit_repeated(struct try *try)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    stook_future *future = NULL;
    options.period_ns = MILLISECOND / 10;
    arm(try);
    const enum stook_status status =
        stook_executor_submit_with(try->executor, &options, count_task, &try->runs, &future);
    disarm(try);
    cr_assert_eq(future != NULL, status == STOOK_OK);
    if (future != NULL) {
        SPIN_UNTIL(atomic_load(&try->runs) > 1 || stook_future_done(future));
        (void)stook_future_cancel(future);
        cr_assert_eq(stook_future_wait_until(future, STOOK_FOREVER), STOOK_OK);
        stook_future_release(future);
    }
    return status;
}

static enum stook_status try_submit_in_client(struct try *try)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    cr_assert_eq(stook_client_create(try->executor, 2, 1, &options.client), STOOK_OK);
    options.when_full = STOOK_WHEN_FULL_RUN;
    const enum stook_status status = try_submit_with(try, &options);
    stook_client_release(options.client);
    return status;
}

/* The queue is full, so the submitter runs it. */
static enum stook_status try_submit_to_full(struct try *try)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    struct gate gate = {0};
    atomic_int others = 0;
    stook_future *futures[3];
    cr_assert_eq(stook_executor_submit_many(try->executor, NULL, gate_task, &gate, 2, 0, futures),
                 STOOK_OK);
    gate_await(&gate, 2);
    cr_assert_eq(stook_client_create(try->executor, 2, 1, &options.client), STOOK_OK);
    cr_assert_eq(
        stook_executor_submit_with(try->executor, &options, count_task, &others, &futures[2]),
        STOOK_OK);
    options.when_full = STOOK_WHEN_FULL_RUN;
    const enum stook_status status = try_submit_with(try, &options);
    stook_client_release(options.client);
    gate_open(&gate);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
    }
    release_all(futures, 3);
    return status;
}

static enum stook_status try_submit_in_token(struct try *try)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    cr_assert_eq(stook_token_create(try->executor, NULL, STOOK_FOREVER, &options.token), STOOK_OK);
    const enum stook_status status = try_submit_with(try, &options);
    stook_token_release(options.token);
    return status;
}

static enum stook_status try_submit_many_in_scope(struct try *try)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    struct stook_scope_options limited = STOOK_SCOPE_OPTIONS_INIT;
    struct stook_scope_outcome outcome;
    limited.limit = 2;
    cr_assert_eq(stook_scope_create(try->executor, &limited, &options.scope), STOOK_OK);
    arm(try);
    const enum stook_status status =
        stook_executor_submit_many(try->executor, &options, count_task, &try->runs, ITEMS, 0, NULL);
    disarm(try);
    cr_assert_eq(stook_scope_wait_until(options.scope, STOOK_FOREVER, &outcome), STOOK_OK);
    cr_assert_eq(outcome.done, status == STOOK_OK ? ITEMS : 0);
    stook_scope_destroy(options.scope);
    return status;
}

/* --- scopes and tokens -------------------------------------------------------------------------
 * */

static enum stook_status try_scope(struct try *try)
{
    stook_scope *scope = NULL;
    arm(try);
    const enum stook_status status = stook_scope_create(try->executor, NULL, &scope);
    disarm(try);
    cr_assert_eq(scope != NULL, status == STOOK_OK);
    stook_scope_destroy(scope);
    return status;
}

/* Waiting outside of tasks, while the timer thread is to cancel. */
static enum stook_status try_scope_wait(struct try *try)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    cr_assert_eq(stook_scope_create(try->executor, NULL, &options.scope), STOOK_OK);
    cr_assert_eq(
        stook_executor_submit_many(try->executor, &options, count_task, &try->runs, ITEMS, 0, NULL),
        STOOK_OK);
    arm(try);
    const enum stook_status status = stook_scope_wait_until(options.scope, STOOK_FOREVER, NULL);
    disarm(try);
    stook_scope_destroy(options.scope);
    return status;
}

static enum stook_status try_token(struct try *try)
{
    stook_token *token = NULL;
    arm(try);
    const enum stook_status status =
        stook_token_create(try->executor, NULL, stook_deadline_after_ns(SECOND), &token);
    disarm(try);
    cr_assert_eq(token != NULL, status == STOOK_OK);
    stook_token_release(token);
    return status;
}

/* --- waiting -----------------------------------------------------------------------------------
 * */

static int waiting_task(void *arg, void **ret_value)
{
    struct try *try = arg;
    stook_future *future = must_submit(try->executor, count_task, &try->runs);
    (void)ret_value;
    arm(try);
    try->status = stook_future_wait_until(future, stook_deadline_after_ns(1000 * SECOND));
    disarm(try);
    stook_future_release(future);
    return 0;
}

static enum stook_status run_task(struct try *try, stook_task_fn *fn)
{
    stook_future *future = must_submit(try->executor, fn, try);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    return try->status;
}

/* A wait that lends its worker, for which there may be no thread. */
static enum stook_status try_wait_in_task(struct try *try)
{
    return run_task(try, waiting_task);
}

static int blocking_task(void *arg, void **ret_value)
{
    struct try *try = arg;
    (void)ret_value;
    arm(try);
    stook_task_begin_blocking();
    stook_task_end_blocking();
    disarm(try);
    return 0;
}

static enum stook_status try_blocking(struct try *try)
{
    return run_task(try, blocking_task);
}

static enum stook_status try_wait_many(struct try *try)
{
    stook_future *futures[ITEMS];
    struct gate gate = {0};
    cr_assert_eq(
        stook_executor_submit_many(try->executor, NULL, gate_task, &gate, ITEMS, 0, futures),
        STOOK_OK);
    arm(try);
    const enum stook_status status = stook_wait_until(
        futures, ITEMS, STOOK_WAIT_FIRST_ERROR, stook_deadline_after_ns(MILLISECOND), NULL, NULL);
    disarm(try);
    gate_open(&gate);
    for (size_t i = 0; i < ITEMS; i++) {
        cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
    }
    release_all(futures, ITEMS);
    return status == STOOK_TIMEOUT ? STOOK_OK : status;
}

static enum stook_status try_as_completed(struct try *try)
{
    stook_future *futures[ITEMS];
    stook_as_completed *iterator = NULL;
    size_t index;
    cr_assert_eq(
        stook_executor_submit_many(try->executor, NULL, count_task, &try->runs, ITEMS, 0, futures),
        STOOK_OK);
    arm(try);
    const enum stook_status status = stook_as_completed_create(futures, ITEMS, &iterator);
    cr_assert_eq(iterator != NULL, status == STOOK_OK);
    for (int i = 0; i < ITEMS && iterator != NULL; i++) {
        cr_assert_eq(stook_as_completed_next(iterator, STOOK_FOREVER, &index), STOOK_OK);
    }
    disarm(try);
    stook_as_completed_destroy(iterator);
    for (int i = 0; i < ITEMS; i++) {
        cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
    }
    release_all(futures, ITEMS);
    return status;
}

/* --- streams -----------------------------------------------------------------------------------
 * */

static bool give_items(void *data, void **ret_item)
{
    struct try *try = data;
    *ret_item = &try->runs;
    return atomic_fetch_add(&try->given, 1) < ITEMS;
}

static enum stook_status try_stream(struct try *try)
{
    struct stook_stream_options options = STOOK_STREAM_OPTIONS_INIT;
    stook_stream *stream = NULL;
    options.input = give_items;
    options.input_data = try;
    options.fn = count_task;
    options.look_ahead = 8;
    arm(try);
    enum stook_status status = stook_stream_create(try->executor, &options, &stream);
    cr_assert_eq(stream != NULL, status == STOOK_OK);
    while (status == STOOK_OK) {
        status = stook_stream_next(stream, STOOK_FOREVER, NULL, NULL);
    }
    disarm(try);
    stook_stream_destroy(stream);
    cr_assert_leq(atomic_load(&try->runs), ITEMS);
    return status == STOOK_END ? STOOK_OK : status;
}

/* --- regions -----------------------------------------------------------------------------------
 * */

static void region(stook_here *here, void *arg)
{
    (void)here;
    atomic_fetch_add((atomic_int *)arg, 1);
}

static enum stook_status try_run(struct try *try)
{
    arm(try);
    const enum stook_status status = stook_executor_run(try->executor, region, &try->runs);
    disarm(try);
    cr_assert_eq(atomic_load(&try->runs), status == STOOK_OK);
    return status;
}

static enum stook_status try_invoke(struct try *try)
{
    const struct stook_call calls[] = {{region, &try->runs}, {region, &try->runs}};
    arm(try);
    const enum stook_status status = stook_executor_invoke(try->executor, calls, 2);
    disarm(try);
    cr_assert_eq(atomic_load(&try->runs), status == STOOK_OK ? 2 : 0);
    return status;
}

static int loop_body(stook_here *here, size_t begin, size_t end, void *runs)
{
    (void)here;
    atomic_fetch_add((atomic_int *)runs, (int)(end - begin));
    return 0;
}

static enum stook_status try_for(struct try *try)
{
    const struct stook_range range = {0, ITEMS, 1};
    arm(try);
    const enum stook_status status =
        stook_executor_for(try->executor, range, loop_body, &try->runs, NULL);
    disarm(try);
    cr_assert_eq(atomic_load(&try->runs), status == STOOK_OK ? ITEMS : 0);
    return status;
}

/* An accumulator that does not lie in the stack. */
struct large {
    int sum;
    char more[1000];
};

static void add_range(stook_here *here, size_t begin, size_t end, void *sum, void *data)
{
    (void)here;
    (void)data;
    ((struct large *)sum)->sum += (int)(end - begin);
}

static void add_both(void *left, void *right, void *data)
{
    (void)data;
    ((struct large *)left)->sum += ((struct large *)right)->sum;
}

static enum stook_status try_reduce(struct try *try)
{
    static const struct large none;
    const struct stook_range range = {0, ITEMS, 1};
    const struct stook_reduction reduction = {
        .size = sizeof none,
        .identity = &none,
        .body = add_range,
        .combine = add_both,
        .is_deterministic = true,
    };
    struct large large = {0};
    arm(try);
    const enum stook_status status =
        stook_executor_reduce(try->executor, range, &reduction, &large);
    disarm(try);
    cr_assert_eq(large.sum, status == STOOK_OK ? ITEMS : 0);
    return status;
}

static int compare_ints(const void *a, const void *b, void *data)
{
    (void)data;
    return *(const int *)a - *(const int *)b;
}

static enum stook_status try_sort(struct try *try)
{
    static int numbers[10000];
    enum { COUNT = sizeof numbers / sizeof numbers[0] };
    for (int i = 0; i < COUNT; i++) {
        numbers[i] = i * 7919 % COUNT;
    }
    arm(try);
    const enum stook_status status =
        stook_executor_sort(try->executor, numbers, COUNT, sizeof numbers[0], compare_ints, NULL);
    disarm(try);
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(numbers[i], status == STOOK_OK ? i : i * 7919 % COUNT);
    }
    return status;
}

/* --- all ---------------------------------------------------------------------------------------
 * */

enum { NEVER = 0, MEMORY = 1, THREAD = 2 };

/* Where waiting takes a lock. */
#ifdef STOOK_TEST_PORTABLE
enum { LOCK = THREAD };
#else
enum { LOCK = NEVER };
#endif

/* What each may answer but OK; and must, for some calls. */
static const struct {
    const char *name;
    enum stook_status (*call)(struct try *try);
    unsigned answers;
} all[] = {
    {"executor_create", try_create, MEMORY | THREAD},
    {"executor_resize", try_resize, NEVER},
    {"executor_stats", try_stats, NEVER},
    {"executor_shutdown", try_shutdown, NEVER},
    {"executor_map", try_map, MEMORY},
    {"client_create", try_client, MEMORY},
    {"submit", try_submit, MEMORY},
    {"submit, priority", try_submit_high, MEMORY},
    {"submit, delayed", try_submit_late, MEMORY | THREAD},
    {"submit, repeated", try_submit_repeated, MEMORY | THREAD},
    {"submit, client", try_submit_in_client, MEMORY},
    {"submit, full queue", try_submit_to_full, NEVER}, /* records lie ready */
    {"submit, token", try_submit_in_token, MEMORY},
    {"submit_many, scope", try_submit_many_in_scope, MEMORY},
    {"scope_create", try_scope, MEMORY | THREAD},
    {"scope_wait_until", try_scope_wait, LOCK},
    {"token_create", try_token, MEMORY | THREAD},
    {"future_wait_until", try_wait_in_task, NEVER},
    {"task_begin_blocking", try_blocking, NEVER},
    {"wait_until", try_wait_many, MEMORY | LOCK},
    {"as_completed", try_as_completed, MEMORY},
    {"stream", try_stream, MEMORY},
    {"executor_run", try_run, MEMORY},
    {"executor_invoke", try_invoke, MEMORY},
    {"executor_for", try_for, MEMORY},
    {"executor_reduce", try_reduce, MEMORY},
    {"executor_sort", try_sort, MEMORY},
};

static stook_executor *fresh_executor(void)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor;
    options.workers = 2;
    options.max_workers = 3;
    MUST(stook_executor_create(&options, &executor) == STOOK_OK);
    return executor;
}

static void run_a_task(stook_executor *executor)
{
    atomic_int runs = 0;
    stook_future *future = must_submit(executor, count_task, &runs);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    cr_assert_eq(atomic_load(&runs), 1);
}

Test(fail_each, B31_function_answers_as_its_header_says, .timeout = 240)
{
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        unsigned answered = NEVER;
        bool failed = true;
        for (long number = 0; failed; number++) {
            const long blocks_before = atomic_load(&blocks);
            struct try try = {.executor = fresh_executor(), .number = number};
            cr_assert_lt(number, MOST_PASSES);
            const enum stook_status status = all[i].call(&try);
            failed = try.failed;
            answered |= status == STOOK_NOMEM ? MEMORY : status == STOOK_THREAD ? THREAD : NEVER;
            cr_assert(status == STOOK_OK || status == STOOK_NOMEM || status == STOOK_THREAD,
                      "%s: %s", all[i].name, stook_status_name(status));
            cr_assert(failed || status == STOOK_OK, "%s", all[i].name);
            if (all[i].call != try_shutdown) {
                run_a_task(try.executor);
            }
            stook_executor_destroy(try.executor);
            cr_assert_eq(atomic_load(&blocks), blocks_before, "%s", all[i].name);
            cr_assert_eq(atomic_load(&locks), 0, "%s", all[i].name);
        }
        cr_assert_eq(answered, all[i].answers, "%s: %u", all[i].name, answered);
    }
}
