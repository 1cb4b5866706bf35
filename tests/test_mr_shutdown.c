/* SPDX-License-Identifier: MIT
 *
 * A job whose executor is shut down ends with an error, and does not hang (B95).
 */
#include "check.h"
#include "mr_support.h"

#define ITEMS 50

struct closing {
    stook_executor *executor;
    enum stook_shutdown_mode mode;
    struct gate gate; /* each mapper passes through it */
};

static struct closing closing;

static int held_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    (void)user;
    gate_pass(&closing.gate);
    return mr_emit(out, mr_slice_of(&item->index, 1), mr_slice_of(NULL, 0));
}

static struct mr_job held_job(void)
{
    static const char items[ITEMS];
    struct mr_job job = MR_JOB_INIT;
    job.input = mr_input_array(items, ITEMS, 1);
    job.input.chunk = 1;
    job.map = held_map;
    job.reduce = count_reduce;
    return job;
}

/* Closes the executor when a mapper is at work, does not wait for it, and lets it go. */
static int closing_thread(void *arg)
{
    (void)arg;
    gate_await(&closing.gate, 1);
    enum stook_status status = stook_executor_shutdown(closing.executor, closing.mode, 0);
    MUST(status == STOOK_TIMEOUT);
    gate_open(&closing.gate);
    return 0;
}

static void check_closed(enum stook_shutdown_mode mode)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct mr_job job = held_job();
        mr_result *result = UNTOUCHED(mr_result);
        struct mr_error error;
        thrd_t thread;
        memset(&error, 0xff, sizeof error);
        memset(&closing, 0, sizeof closing);
        closing.executor = must_create(workers);
        closing.mode = mode;
        must_start(&thread, closing_thread, NULL);
        cr_assert_eq(mr_map_reduce(closing.executor, &job, &result, &error), STOOK_SHUTDOWN);
        cr_assert_eq(result, UNTOUCHED(mr_result));
        cr_assert_eq(error.status, STOOK_SHUTDOWN);
        cr_assert_neq(error.message[0], '\0');
        thrd_join(thread, NULL);
        stook_executor_destroy(closing.executor);
    }
}

Test(mr_shutdown, B95_cancel_pending_ends_a_job, .timeout = 60)
{
    check_closed(STOOK_CANCEL_PENDING);
}

/* Its mappers run to their end, but nothing can be submitted to reduce. */
Test(mr_shutdown, B95_drain_ends_a_job, .timeout = 60)
{
    check_closed(STOOK_DRAIN);
}

Test(mr_shutdown, B95_job_after_shutdown_is_refused, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct mr_job job = held_job();
    mr_result *result = UNTOUCHED(mr_result);
    mr_batch *batch = UNTOUCHED(mr_batch);
    struct mr_error error;
    memset(&error, 0xff, sizeof error);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(mr_map_reduce(executor, &job, &result, &error), STOOK_SHUTDOWN);
    cr_assert_eq(result, UNTOUCHED(mr_result));
    cr_assert_eq(error.status, STOOK_SHUTDOWN);
    cr_assert_eq(error.phase, MR_PHASE_NONE);
    cr_assert_eq(mr_async_map(executor, &job, &batch, NULL), STOOK_SHUTDOWN);
    cr_assert_eq(batch, UNTOUCHED(mr_batch));
    cr_assert_eq(atomic_load(&closing.gate.arrived), 0);
    stook_executor_destroy(executor);
}

/* The steps one by one: there is no driver that could be told. */
Test(mr_shutdown, B95_cancel_pending_ends_a_batch, .timeout = 60)
{
    struct mr_job job = held_job();
    mr_batch *batch;
    mr_groups *groups = UNTOUCHED(mr_groups);
    struct mr_error error;
    thrd_t thread;
    closing.executor = must_create(1);
    closing.mode = STOOK_CANCEL_PENDING;
    must_start(&thread, closing_thread, NULL);
    cr_assert_eq(mr_async_map(closing.executor, &job, &batch, NULL), STOOK_OK);
    cr_assert_eq(mr_report_progress(batch, NULL, NULL, NULL, 0), STOOK_SHUTDOWN);
    cr_assert_eq(mr_batch_error(batch)->status, STOOK_SHUTDOWN);
    cr_assert_eq(mr_batch_error(batch)->phase, MR_PHASE_MAP);
    memset(&error, 0xff, sizeof error);
    cr_assert_eq(mr_shuffle(closing.executor, batch, &groups, &error), STOOK_SHUTDOWN);
    cr_assert_eq(error.status, STOOK_SHUTDOWN);
    cr_assert_eq(groups, UNTOUCHED(mr_groups));
    cr_assert_eq(atomic_load(&closing.gate.arrived), 1);
    mr_batch_destroy(batch);
    thrd_join(thread, NULL);
    stook_executor_destroy(closing.executor);
}

struct giving {
    uint64_t given;
    uint64_t most; /* then there are no more */
};

static int plain_closing_thread(void *arg)
{
    (void)arg;
    enum stook_status status = stook_executor_shutdown(closing.executor, closing.mode, 0);
    MUST(status == STOOK_TIMEOUT);
    return 0;
}

/* The executor is closed while item number ITEMS is given, by another thread: a task must not. */
static int closing_next(struct mr_slice *ret_item, void *user)
{
    struct giving *giving = user;
    if (giving->given == giving->most) {
        return 0;
    }
    if (++giving->given == ITEMS) {
        thrd_t thread;
        must_start(&thread, plain_closing_thread, NULL);
        thrd_join(thread, NULL);
    }
    *ret_item = mr_slice_of(&giving->given, sizeof giving->given);
    return 1;
}

/* Whether windows are handed over then, or have been and are cancelled. */
Test(mr_shutdown, B95_ends_a_job_that_is_being_fed, .timeout = 60)
{
    static const uint64_t mosts[] = {ITEMS, ITEMS + 1, UINT64_MAX};
    gate_open(&closing.gate);
    for (unsigned form = 0; form < 12; form++) {
        struct giving giving = {.most = mosts[form / 2 % 3]};
        struct mr_job job = held_job();
        mr_result *result = UNTOUCHED(mr_result);
        struct mr_error error;
        memset(&error, 0xff, sizeof error);
        job.input = mr_input_iterator(closing_next, &giving);
        job.input.chunk = form < 6 ? 1 : ITEMS;
        closing.executor = must_create(1 + form % 2);
        closing.mode = form < 6 ? STOOK_CANCEL_PENDING : STOOK_DRAIN;
        cr_assert_eq(mr_map_reduce(closing.executor, &job, &result, &error), STOOK_SHUTDOWN);
        cr_assert_eq(result, UNTOUCHED(mr_result));
        cr_assert_eq(error.status, STOOK_SHUTDOWN);
        stook_executor_destroy(closing.executor);
    }
}
