/* SPDX-License-Identifier: MIT
 *
 * Allocations and thread creation that fail, in the executor and in MapReduce: each call is made
 * again and again with its 1st, 2nd, 3rd, ... failing (see failing.h), until one pass meets no
 * failure. Each pass must answer with a status, leave its outputs alone, and leave nothing behind
 * (LeakSanitizer looks at the end). Promises and what hangs on futures: test_fail_futures.c.
 */
#define _POSIX_C_SOURCE 200809L /* for mkstemp() */
#include <stdlib.h>
#include <string.h>
#include <stook/mapreduce.h>
#include "check.h"
#include "failing.h"
#include "support.h"

enum { WORKERS = 3, ITEMS = 40, MANY = 3000 };

/* --- the executor ----------------------------------------------------------------------------- */

Test(fail, B30_create_unwinds_whatever_fails)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    const int threads = thread_count_at_first();
    bool saw_memory = false;
    bool saw_thread = false;
    long number = 0;

    cr_assert_gt(threads, 0);
    options.workers = WORKERS;
    for (;; number++) {
        stook_executor *executor = NULL;

        cr_assert_lt(number, MOST_PASSES);
        fail_call(number);
        enum stook_status status = stook_executor_create(&options, &executor);
        bool failed = has_failed();
        fail_none();
        cr_assert_eq(status != STOOK_OK, failed);
        cr_assert_eq(executor != NULL, !failed);
        if (!failed) {
            stook_executor_destroy(executor);
            break;
        }
        cr_assert(status == STOOK_NOMEM || status == STOOK_THREAD);
        cr_assert(thread_count_becomes(threads), "a thread was left");
        saw_memory |= status == STOOK_NOMEM;
        saw_thread |= status == STOOK_THREAD;
    }
    cr_assert(saw_memory && saw_thread);
    cr_assert_gt(number, 2 * WORKERS);
}

/* B31 */
Test(fail, submit_that_fails_never_runs_the_task)
{
    stook_executor *executor = must_create(WORKERS);
    atomic_int runs = 0;

    for (long number = 0;; number++) {
        stook_future *futures[ITEMS] = {NULL};

        cr_assert_lt(number, MOST_PASSES);
        fail_call(number);
        enum stook_status status =
            stook_executor_submit_many(executor, NULL, count_task, &runs, ITEMS, 0, futures);
        bool failed = has_failed();
        fail_none();
        if (!failed) {
            cr_assert_eq(status, STOOK_OK);
            release_all(futures, ITEMS);
            break;
        }
        cr_assert_eq(status, STOOK_NOMEM);
        cr_assert_null(futures[0]);
    }
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), ITEMS);
}

/* B31. As above, for all that a client's tasks need: its record, and theirs. */
Test(fail, a_client_that_cannot_be_made_leaves_nothing)
{
    stook_executor *executor = must_create(WORKERS);
    atomic_int runs = 0;

    for (long number = 0;; number++) {
        struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
        enum stook_status submitted = STOOK_NOMEM;
        stook_future *future = NULL;

        cr_assert_lt(number, MOST_PASSES);
        fail_call(number);
        enum stook_status created = stook_client_create(executor, 1, 1, &options.client);
        if (created == STOOK_OK) {
            submitted = stook_executor_submit_with(executor, &options, count_task, &runs, &future);
        }
        bool failed = has_failed();
        fail_none();
        cr_assert_eq(created, number == 0 ? STOOK_NOMEM : STOOK_OK);
        cr_assert_eq(options.client != NULL, created == STOOK_OK);
        cr_assert_eq(submitted, failed ? STOOK_NOMEM : STOOK_OK);
        cr_assert_eq(future != NULL, !failed);
        stook_client_release(options.client);
        stook_future_release(future);
        if (!failed) {
            break;
        }
    }
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 1);
}

Test(fail, B31_map_that_fails_calls_nothing)
{
    stook_executor *executor = must_create(WORKERS);
    atomic_int runs = 0;
    int untouched;

    for (long number = 0;; number++) {
        void *values[ITEMS] = {&untouched};

        cr_assert_lt(number, MOST_PASSES);
        fail_call(number);
        enum stook_status status =
            stook_executor_map(executor, count_task, &runs, ITEMS, 0, values, NULL);
        bool failed = has_failed();
        fail_none();
        if (!failed) {
            cr_assert_eq(status, STOOK_OK);
            cr_assert_null(values[0]);
            cr_assert_gt(number, 2);
            break;
        }
        cr_assert_eq(status, STOOK_NOMEM);
        cr_assert_eq(values[0], (void *)&untouched);
        cr_assert_eq(atomic_load(&runs), 0);
    }
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), ITEMS);
}

struct family {
    stook_executor *executor;
    atomic_int runs;
    int accepted;
};

/* Fills its worker's deque until that must grow, with the growth failing. */
static int parent_task(void *arg, void **ret_value)
{
    struct family *family = arg;

    (void)ret_value;
    for (int i = 0; i < 300; i++) {
        fail_call(i % 3); /* the task's record, the ring, or nothing */
        family->accepted +=
            stook_executor_submit(family->executor, count_task, &family->runs, NULL) == STOOK_OK;
        fail_none();
    }
    return 0;
}

/* B31 */
Test(fail, tasks_that_were_accepted_run_though_others_were_not)
{
    struct family family = {.executor = must_create(1)};
    stook_future *future = must_submit(family.executor, parent_task, &family);

    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(family.executor);
    cr_assert_lt(family.accepted, 300);
    cr_assert_gt(family.accepted, 64);
    cr_assert_eq(atomic_load(&family.runs), family.accepted);
}

struct waits {
    stook_executor *executor;
    stook_future *awaited;
    struct gate gate;
};

static stook_executor *many_executor;

/* Its worker's deque has to grow for them. */
static int submit_many_task(void *arg, void **ret_value)
{
    bool failed = true;

    (void)ret_value;
    for (long number = 0; failed; number += 1 + number / 10) {
        fail_call(number);
        enum stook_status status =
            stook_executor_submit_many(many_executor, NULL, count_task, arg, MANY, 0, NULL);
        failed = has_failed();
        fail_none();
        MUST(status == (failed ? STOOK_NOMEM : STOOK_OK));
    }
    return 0;
}

Test(fail, B31_many_tasks_in_a_task_are_accepted_all_or_not_at_all, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    atomic_int runs = 0;

    many_executor = executor;
    stook_future *future = must_submit(executor, submit_many_task, &runs);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), MANY);
}

static int waiting_task(void *arg, void **ret_value)
{
    struct waits *waits = arg;

    (void)ret_value;
    return stook_future_result(waits->awaited, NULL) != STOOK_OK;
}

/* A waiter lends its worker, but no thread can be had for it: work goes on when one comes free. */
Test(fail, a_thread_that_cannot_be_started_for_a_lent_worker_loses_no_task)
{
    struct waits waits = {.executor = must_create(2)};
    atomic_int runs = 0;

    waits.awaited = must_submit(waits.executor, gate_task, &waits.gate);
    gate_await(&waits.gate, 1);
    stook_future *waiter = must_submit(waits.executor, waiting_task, &waits);
    SPIN_UNTIL(stook_future_state(waiter) == STOOK_STATE_RUNNING);
    give_a_chance();
    for (int i = 0; i < 20; i++) {
        stook_future *future;

        fail_call(1); /* the task's record is had, the thread's is not */
        cr_assert_eq(stook_executor_submit(waits.executor, count_task, &runs, &future), STOOK_OK);
        fail_none();
        stook_future_release(future);
    }
    gate_open(&waits.gate);
    cr_assert_eq(stook_future_result(waiter, NULL), STOOK_OK);
    stook_future_release(waiter);
    stook_future_release(waits.awaited);
    stook_executor_destroy(waits.executor);
    cr_assert_eq(atomic_load(&runs), 20);
}

struct lender {
    stook_future *awaited;
    struct gate end;
};

static int lending_task(void *arg, void **ret_value)
{
    struct lender *lender = arg;

    (void)ret_value;
    MUST(stook_future_result(lender->awaited, NULL) == STOOK_OK);
    gate_pass(&lender->end);
    return 0;
}

struct late_submit {
    stook_executor *executor;
    struct gate refusal;
    stook_future *future;
    atomic_int runs;
};

static int late_submit_thread(void *arg)
{
    struct late_submit *late = arg;

    atomic_store(&refusal_gate, &late->refusal);
    late->future = must_submit(late->executor, count_task, &late->runs);
    return 0;
}

/* While a thread for the lent worker is being refused, the lender goes on, without a worker. When
 * it ends, it is the only one who can look at the queue. */
Test(fail, a_thread_that_is_refused_while_the_lender_goes_on_strands_no_task)
{
    struct late_submit late = {.executor = must_create(1)};
    struct lender lender = {.awaited = NULL};
    stook_executor *other = must_create(1);
    struct gate awaited = {0};
    thrd_t thread;

    lender.awaited = must_submit(other, gate_task, &awaited);
    stook_future *lending = must_submit(late.executor, lending_task, &lender);
    SPIN_UNTIL(stook_future_state(lending) == STOOK_STATE_RUNNING);
    for (int i = 0; i < 10; i++) {
        give_a_chance(); /* it lends its worker */
    }
    must_start(&thread, late_submit_thread, &late);
    gate_await(&late.refusal, 1);
    gate_open(&awaited);
    gate_await(&lender.end, 1);
    gate_open(&late.refusal);
    thrd_join(thread, NULL);
    gate_open(&lender.end);
    cr_assert_eq(stook_future_result(late.future, NULL), STOOK_OK);
    stook_future_release(late.future);
    stook_future_release(lending);
    stook_future_release(lender.awaited);
    stook_executor_destroy(late.executor);
    stook_executor_destroy(other);
}

enum how { WAIT_ANY, WAIT_UNTIL, WAIT_SCOPE, HOWS };

struct refused {
    stook_executor *executor;
    enum how how;
    long number; /* of the call that fails while the task waits */
    bool failed;
    enum stook_status status;
    atomic_int runs;
};

static int refused_task(void *arg, void **ret_value)
{
    struct refused *refused = arg;
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    stook_scope *scope = NULL;
    stook_future *child;

    (void)ret_value;
    if (refused->how == WAIT_SCOPE) {
        MUST(stook_scope_create(refused->executor, NULL, &scope) == STOOK_OK);
        options.scope = scope;
        options.priority = STOOK_PRIORITY_LOW; /* not where a worker looks for the newest */
    }
    MUST(stook_executor_submit_with(refused->executor, &options, count_task, &refused->runs,
                                    &child) == STOOK_OK);
    fail_call(refused->number);
    switch (refused->how) {
    case WAIT_ANY:
        refused->status = stook_wait_until(&child, 1, STOOK_WAIT_ANY, STOOK_FOREVER, NULL, NULL);
        break;
    case WAIT_UNTIL:
        refused->status = stook_future_wait_until(child, stook_deadline_after_ns(60 * SECOND));
        break;
    default:
        refused->status = stook_scope_wait_until(scope, STOOK_FOREVER, NULL);
    }
    refused->failed = has_failed();
    fail_none();
    stook_future_release(child);
    stook_scope_destroy(scope);
    return 0;
}

/* The only worker is lent, and there is no thread for it: one is asked for again. */
Test(fail, a_wait_ends_though_a_thread_was_refused, .timeout = 120)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;

    options.workers = 1;
    for (int how = 0; how < HOWS; how++) {
        struct refused refused = {.how = (enum how)how, .failed = true};

        for (; refused.failed; refused.number++) {
            stook_future *future;

            cr_assert_lt(refused.number, MOST_PASSES);
            cr_assert_eq(stook_executor_create(&options, &refused.executor), STOOK_OK);
            future = must_submit(refused.executor, refused_task, &refused);
            cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
            cr_assert_eq(refused.status, STOOK_OK, "way %d, call %ld: %s", how, refused.number,
                         stook_status_name(refused.status));
            stook_future_release(future);
            stook_executor_destroy(refused.executor);
        }
        cr_assert_gt(refused.number, 2, "a thread and its memory");
    }
}

/* The workers that were added idle until a thread can be had for them. */
Test(fail, B31_resize_that_can_start_no_thread_strands_no_task)
{
    enum { MOST = 4 };
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    bool failed = true;

    options.workers = 1;
    options.max_workers = MOST;
    for (long number = 0; failed; number++) {
        stook_executor *executor = NULL;
        struct gate gate = {0};
        atomic_int runs = 0;

        cr_assert_lt(number, MOST_PASSES);
        cr_assert_eq(stook_executor_create(&options, &executor), STOOK_OK);
        cr_assert_eq(stook_executor_submit(executor, gate_task, &gate, NULL), STOOK_OK);
        gate_await(&gate, 1);
        cr_assert_eq(stook_executor_submit_many(executor, NULL, count_task, &runs, ITEMS, 0, NULL),
                     STOOK_OK);
        fail_call(number);
        cr_assert_eq(stook_executor_resize(executor, MOST), STOOK_OK);
        failed = has_failed();
        fail_none();
        cr_assert(failed || number >= 2, "a thread's record and the thread");
        cr_assert_eq(stook_executor_worker_count(executor), MOST);
        gate_open(&gate);
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&runs), ITEMS);
    }
}

/* --- MapReduce -------------------------------------------------------------------------------- */

static int map_item(const struct mr_item *item, mr_emitter *out, void *user)
{
    char key[64];
    int number;

    (void)user;
    memcpy(&number, item->data.data, sizeof number);
    snprintf(key, sizeof key, "%d a key that does not fit into a slot", number % 7);
    return mr_emit(out, mr_slice_str(key), mr_slice_of("0123456789", 10)) ||
           mr_emit(out, mr_slice_of(&number, 1), mr_slice_of(&number, sizeof number));
}

static int reduce_values(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct mr_slice value;
    uint64_t bytes = 0;

    (void)user;
    while (mr_values_next(values, &value)) {
        bytes += value.size;
    }
    return mr_emit(out, key, mr_slice_of(&bytes, sizeof bytes));
}

static void fail_each_of(stook_executor *executor, const struct mr_job *job)
{
    for (long number = 0;; number++) {
        mr_result *result = NULL;
        struct mr_error error = {.status = STOOK_OK};

        cr_assert_lt(number, MOST_PASSES);
        fail_call(number);
        enum stook_status status = executor ? mr_map_reduce(executor, job, &result, &error)
                                            : mr_map_reduce_sequential(job, &result, &error);
        bool failed = has_failed();
        fail_none();
        if (status == STOOK_OK) {
            /* A failure to start an extra thread, or a sort that does without memory, may pass. */
            cr_assert_gt(mr_result_count(result), 7);
            mr_result_destroy(result);
            if (!failed) {
                return;
            }
            continue;
        }
        cr_assert_eq(status, STOOK_NOMEM);
        cr_assert_eq(error.status, STOOK_NOMEM);
        cr_assert_gt(strlen(error.message), 0);
        cr_assert_null(result);
    }
}

Test(fail, B31_a_job_answers_NOMEM_whatever_allocation_fails)
{
    int items[ITEMS];
    struct mr_job job = MR_JOB_INIT;
    stook_executor *executor = must_create(2);

    for (int i = 0; i < ITEMS; i++) {
        items[i] = i;
    }
    job.input = mr_input_array(items, ITEMS, sizeof items[0]);
    job.input.chunk = 5;
    job.map = map_item;
    job.reduce = reduce_values;
    job.partitions = 4;
    job.order = MR_ORDER_KEY;
    fail_each_of(executor, &job);
    fail_each_of(NULL, &job);
    stook_executor_destroy(executor);
}

/* Files are read into buffers, which grow with the longest record. */
Test(fail, B31_a_job_over_a_file_answers_NOMEM_whatever_allocation_fails)
{
    const char *directory = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
    char path[1024];
    struct mr_source source = {.path = path};
    struct mr_job job = MR_JOB_INIT;
    stook_executor *executor = must_create(2);

    snprintf(path, sizeof path, "%s/stook-fail-XXXXXX", directory);
    FILE *file = fdopen(mkstemp(path), "w");
    cr_assert_not_null(file);
    for (int i = 0; i < ITEMS; i++) {
        fprintf(file, "%c is a line of %0*d\n", 'A' + i, i * i, i);
    }
    cr_assert_eq(fclose(file), 0);
    job.input = mr_input_text(&source, 1);
    job.input.chunk = 64;
    job.map = map_item;
    job.reduce = reduce_values;
    job.order = MR_ORDER_KEY;
    fail_each_of(executor, &job);
    fail_each_of(NULL, &job);
    stook_executor_destroy(executor);
    cr_assert_eq(remove(path), 0);
}
