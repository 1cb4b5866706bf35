/* SPDX-License-Identifier: MIT
 *
 * Several threads that wait for one scope; and one that looks at it beside refused submits.
 */
#include "check.h"
#include "group_support.h"

struct impatient {
    stook_scope *scope;
    int64_t deadline;
    enum stook_status status;
};

static int impatient_thread(void *arg)
{
    struct impatient *impatient = arg;

    impatient->status = stook_scope_wait_until(impatient->scope, impatient->deadline, NULL);
    return 0;
}

/* Whichever of the waiters gives up first: those that stay are still told. */
Test(scope, waiters_may_leave_in_any_order, .timeout = 60)
{
    enum { WAITERS = 5 };
    stook_executor *executor = must_create(1);

    for (int leaving = 0; leaving < 1 << WAITERS; leaving++) {
        stook_scope *scope = must_scope(executor);
        struct gate gate = {0};
        struct impatient impatient[WAITERS];
        thrd_t threads[WAITERS];

        must_submit_many_in(executor, scope, gate_task, &gate, 1, NULL);
        for (int i = 0; i < WAITERS; i++) {
            const bool leaves = leaving >> i & 1;

            impatient[i] = (struct impatient){
                scope, leaves ? stook_deadline_after_ns(MILLISECOND) : STOOK_FOREVER,
                STOOK_INVALID};
            must_start(&threads[i], impatient_thread, &impatient[i]);
        }
        for (int i = 0; i < WAITERS; i++) {
            if (impatient[i].deadline != STOOK_FOREVER) {
                must_join(threads[i]);
                cr_assert_eq(impatient[i].status, STOOK_TIMEOUT);
            }
        }
        gate_open(&gate);
        for (int i = 0; i < WAITERS; i++) {
            if (impatient[i].deadline == STOOK_FOREVER) {
                must_join(threads[i]);
                cr_assert_eq(impatient[i].status, STOOK_OK);
            }
        }
        stook_scope_destroy(scope);
    }
    stook_executor_destroy(executor);
}

struct refused {
    stook_executor *executor;
    struct stook_submit_options options;
    atomic_bool stop;
};

static int submit_to_full_queue(void *arg)
{
    struct refused *refused = arg;

    while (!atomic_load(&refused->stop)) {
        MUST(stook_executor_submit_with(refused->executor, &refused->options, count_task, NULL,
                                        NULL) == STOOK_FULL);
    }
    return 0;
}

Test(scope, what_is_refused_is_never_counted_as_cancelled, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    stook_scope *scope = must_scope(executor);
    struct refused refused = {.executor = executor, .options = STOOK_SUBMIT_OPTIONS_INIT};
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_client *client;
    thrd_t thread;

    fill_workers(executor, &gate, 1);
    cr_assert_eq(stook_client_create(executor, 1, 1, &client), STOOK_OK);
    refused.options.client = client;
    stook_future *queued = must_submit_with(executor, &refused.options, count_task, &runs);
    refused.options.scope = scope;
    refused.options.when_full = STOOK_WHEN_FULL_FAIL;
    must_start(&thread, submit_to_full_queue, &refused);
    const int64_t end_ns = stook_now_ns() + SECOND / 2;
    while (stook_now_ns() < end_ns) {
        struct stook_scope_outcome outcome;
        const enum stook_status status = stook_scope_wait_until(scope, 0, &outcome);

        cr_assert(status == STOOK_OK || status == STOOK_TIMEOUT, "%s", stook_status_name(status));
        cr_assert_eq(outcome.cancelled, 0);
    }
    atomic_store(&refused.stop, true);
    thrd_join(thread, NULL);
    gate_open(&gate);
    stook_scope_destroy(scope);
    stook_client_release(client);
    stook_future_release(queued);
    stook_executor_destroy(executor);
}
