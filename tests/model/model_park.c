/* SPDX-License-Identifier: MIT
 *
 * Sleeping and waking, in whole executors from create to destroy: each task runs once, sees what
 * was written before its submit, and nobody sleeps beside one for ever.
 */
#include "platform.h"
#include "pool_support.h"

static void run_one(void)
{
    create(1);
    submit_and_wait(&ran[0]);
    stook_executor_destroy(executor);
}

/* The second submit meets a worker that works, searches, or goes to sleep. */
static void run_again(void)
{
    create(1);
    submit_only(&ran[0]);
    submit_and_wait(&ran[1]);
    MODEL_CHECK(ran[0] == 1);
    stook_executor_destroy(executor);
}

/* Where light fences are full ones. */
static void run_full_fences(void)
{
    asymmetric = false;
    run_again();
    asymmetric = true;
}

static void run_submitters(void)
{
    create(1);
    model_start(submit_and_wait, &ran[0]);
    submit_and_wait(&ran[1]);
    model_join();
    model_end();
}

static void run_workers(void)
{
    create(2);
    submit_only(&ran[0]);
    submit_and_wait(&ran[1]);
    model_end();
}

/* Both tasks are wanted at the same time: the first one waits for the second, which it does not
 * know. */
static stook_future *gate;
static stook_promise *opener;

static int wait_at_gate(void *arg, void **ret_value)
{
    MODEL_CHECK(stook_future_wait_until(gate, STOOK_FOREVER) == STOOK_OK);
    return work(arg, ret_value);
}

static int open_gate(void *arg, void **ret_value)
{
    MODEL_CHECK(stook_promise_complete(opener, 0, NULL) == STOOK_OK);
    return work(arg, ret_value);
}

/* The worker is lent. */
static void run_gate(unsigned workers)
{
    stook_future *first;

    create(workers);
    MODEL_CHECK(stook_promise_create(NULL, &opener, &gate) == STOOK_OK);
    MODEL_CHECK(stook_executor_submit(executor, wait_at_gate, &ran[0], &first) == STOOK_OK);
    MODEL_CHECK(stook_executor_submit(executor, open_gate, &ran[1], NULL) == STOOK_OK);
    MODEL_CHECK(stook_future_wait_until(first, STOOK_FOREVER) == STOOK_OK);
    MODEL_CHECK(ran[0] == 1);
    model_end();
}

static void run_lend(void)
{
    run_gate(1);
}

/* The same where nobody knows that it waits: only a second worker helps. */
static struct stook__event event;

static int wait_for_event(void *arg, void **ret_value)
{
    stook__event_wait_until(&event, STOOK_FOREVER);
    return work(arg, ret_value);
}

static int set_event(void *arg, void **ret_value)
{
    stook__event_set(&event);
    return work(arg, ret_value);
}

static void submit_setter(void *arg)
{
    MODEL_CHECK(stook_executor_submit(executor, set_event, arg, NULL) == STOOK_OK);
}

/* By two submitters, or by one. */
static void run_both(bool at_once)
{
    stook_future *waiter;

    create(2);
    MODEL_CHECK(stook__event_init(&event));
    if (at_once) {
        model_start(submit_setter, &ran[1]);
    }
    MODEL_CHECK(stook_executor_submit(executor, wait_for_event, &ran[0], &waiter) == STOOK_OK);
    if (!at_once) {
        submit_setter(&ran[1]);
    }
    MODEL_CHECK(stook_future_wait_until(waiter, STOOK_FOREVER) == STOOK_OK);
    MODEL_CHECK(ran[0] == 1);
    model_end();
}

static void run_both_of_one(void)
{
    run_both(false);
}

static void run_both_of_two(void)
{
    run_both(true);
}

/* The second worker comes while the setter is submitted. */
static void grow(void *arg)
{
    (void)arg;
    MODEL_CHECK(stook_executor_resize(executor, 2) == STOOK_OK);
}

static void run_grow(void)
{
    stook_future *waiter;

    create_between(1, 2);
    MODEL_CHECK(stook__event_init(&event));
    MODEL_CHECK(stook_executor_submit(executor, wait_for_event, &ran[0], &waiter) == STOOK_OK);
    model_start(grow, NULL);
    submit_setter(&ran[1]);
    MODEL_CHECK(stook_future_wait_until(waiter, STOOK_FOREVER) == STOOK_OK);
    MODEL_CHECK(ran[0] == 1);
    model_end();
}

/* A task's own child. */
static int submit_child(void *arg, void **ret_value)
{
    submit_and_wait(&ran[1]);
    return work(arg, ret_value);
}

static void run_child(void)
{
    stook_future *parent;

    create(2);
    MODEL_CHECK(stook_executor_submit(executor, submit_child, &ran[0], &parent) == STOOK_OK);
    MODEL_CHECK(stook_future_wait_until(parent, STOOK_FOREVER) == STOOK_OK);
    MODEL_CHECK(ran[0] == 1 && ran[1] == 1);
    model_end();
}

int main(int argc, char **argv)
{
    static const struct model models[] = {
        {"one", run_one, 1, 2, 200000, 0},
        {"full_fences", run_full_fences, 1, 1, 200000, 2},
        {"again", run_again, 1, 1, 200000, 0},
        {"lend", run_lend, 1, 2, 200000, 0},
        {"both", run_both_of_one, 1, 1, 200000, 0},
        {"both_of_two", run_both_of_two, 1, 1, 200000, 0},
        {"submitters", run_submitters, 1, 1, 200000, 0},
        {"workers", run_workers, 2, 1, 200000, 0},
        {"child", run_child, 1, 1, 200000, 0},
        {"grow", run_grow, 1, 1, 200000, 0},
    };
    return model_main(argc, argv, models, sizeof models / sizeof models[0]);
}
