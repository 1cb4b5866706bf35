/* SPDX-License-Identifier: MIT
 *
 * A future's state machine: completing, claiming, cancelling, waiting with and without a deadline,
 * callbacks and the last release, against each other. Whatever the order: one outcome, seen by all;
 * all that was written before it is seen with it; each record is freed once, after its last use.
 */
#include <stook/continuation.h>
#include <stook/future.h>
#include <stook/promise.h>
#include "model.h"
#include "task.h"

static stook_promise *promise;
static stook_future *future;
static int payload;
static int called;    /* callbacks */
static int destroyed; /* values */
static bool has_completed;
static bool has_cancelled;
static bool has_claimed[2];

static void destroy(void *value)
{
    *(int *)value = 0; /* races if anybody still uses it */
    destroyed++;
}

static void setup(void)
{
    payload = called = destroyed = 0;
    has_completed = has_cancelled = has_claimed[0] = has_claimed[1] = false;
    MODEL_CHECK(stook_promise_create(NULL, &promise, &future) == STOOK_OK);
    stook_future_set_destructor(future, destroy);
}

static void complete(void *arg)
{
    (void)arg;
    payload = 7;
    has_completed = stook_promise_complete(promise, 0, &payload) == STOOK_OK;
    stook_promise_release(promise);
}

/* With a reference of its own. */
static void result(void *arg)
{
    void *value = NULL;
    enum stook_status status = stook_future_result(arg, &value);

    MODEL_CHECK(status == STOOK_OK || status == STOOK_CANCELLED);
    MODEL_CHECK(status != STOOK_OK || *(int *)value == 7);
    stook_future_release(arg);
}

static void wait(void *arg)
{
    enum stook_status status = stook_future_wait_until(arg, STOOK_FOREVER);

    MODEL_CHECK(status == STOOK_OK && stook_future_done(arg));
    MODEL_CHECK(stook_future_state(arg) != STOOK_STATE_DONE || payload == 7);
    stook_future_release(arg);
}

static void wait_a_while(void *arg)
{
    enum stook_status status = stook_future_wait_until(arg, INT64_C(2000000000));

    MODEL_CHECK(status == STOOK_OK || status == STOOK_TIMEOUT);
    MODEL_CHECK(status == STOOK_TIMEOUT || payload == 7);
    stook_future_release(arg);
}

static void poll(void *arg)
{
    if (stook_future_done(arg)) {
        MODEL_CHECK(stook_future_state(arg) != STOOK_STATE_DONE || payload == 7);
    }
    stook_future_release(arg);
}

static void cancel(void *arg)
{
    enum stook_cancel_outcome outcome = stook_future_cancel(arg);

    has_cancelled = outcome == STOOK_CANCEL_DONE;
    MODEL_CHECK(outcome != STOOK_CANCEL_TOO_LATE || payload == 7);
    stook_future_release(arg);
}

static void callback(stook_future *done, void *user_data)
{
    MODEL_CHECK(done == future && user_data == &called);
    MODEL_CHECK(stook_future_state(done) != STOOK_STATE_DONE || payload == 7);
    called++;
}

static void add_callback(void *arg)
{
    MODEL_CHECK(stook_future_on_done(arg, callback, &called) == STOOK_OK);
    stook_future_release(arg);
}

static void release(void *arg)
{
    stook_future_release(arg);
}

static stook_future *one_more(void)
{
    return stook_future_retain(future);
}

static void run_wait(void)
{
    setup();
    model_start(complete, NULL);
    wait(future);
    model_join();
    MODEL_CHECK(has_completed && destroyed == 1);
}

static void run_result(void)
{
    setup();
    model_start(complete, NULL);
    result(future);
    model_join();
    MODEL_CHECK(has_completed && destroyed == 0);
}

static void run_waiters(void)
{
    setup();
    model_start(complete, NULL);
    model_start(wait, one_more());
    wait(future);
    model_join();
    MODEL_CHECK(has_completed && destroyed == 1);
}

static void run_deadline(void)
{
    setup();
    model_start(complete, NULL);
    model_start(wait_a_while, one_more());
    wait_a_while(future);
    model_join();
    MODEL_CHECK(has_completed && destroyed == 1);
}

static void run_cancel(void)
{
    setup();
    model_start(complete, NULL);
    model_start(cancel, one_more());
    wait(future);
    model_join();
    MODEL_CHECK(has_completed != has_cancelled);
    MODEL_CHECK(destroyed == has_completed);
}

static void run_callbacks(void)
{
    setup();
    model_start(complete, NULL);
    add_callback(one_more());
    model_start(poll, future);
    model_join();
    MODEL_CHECK(called == 1 && destroyed == 1);
}

static void run_abandon(void)
{
    setup();
    model_start(add_callback, one_more());
    model_start(wait, future);
    stook_promise_release(promise);
    model_join();
    MODEL_CHECK(called == 1 && destroyed == 0);
}

static void run_release(void)
{
    setup();
    model_start(release, one_more());
    model_start(poll, one_more());
    complete(NULL);
    release(future);
    model_join();
    MODEL_CHECK(destroyed == 1);
}

/* --- tasks: claimed and finished by whoever takes them ------------------------------------------
 */

static void create_task(uint32_t refs)
{
    setup();
    stook_promise_release(promise);
    stook_future_release(future);
    payload = 0;
    future = stook__task_create_sized(NULL, sizeof *future, NULL, NULL, NULL, refs);
    MODEL_CHECK(future);
    stook_future_set_destructor(future, destroy);
}

/* Gives a reference up, as the thread that took it out of a queue. */
static void claim_and_run(void *arg)
{
    if (stook__task_claim(future)) {
        *(bool *)arg = true;
        payload = 7;
        stook__task_finish(future, 0, &payload, true);
    } else {
        stook__task_release(future);
    }
}

static void run_claim(void)
{
    create_task(3);
    model_start(claim_and_run, &has_claimed[0]);
    model_start(claim_and_run, &has_claimed[1]);
    wait(future);
    model_join();
    MODEL_CHECK(has_claimed[0] != has_claimed[1] && destroyed == 1);
}

static void run_claim_or_cancel(void)
{
    create_task(3);
    model_start(claim_and_run, &has_claimed[0]);
    model_start(cancel, future);
    wait(future);
    model_join();
    MODEL_CHECK(has_claimed[0] != has_cancelled && destroyed == has_claimed[0]);
}

/* A call of a repeated task: the canceller comes after all that it did. */
static void claim_and_rest(void *arg)
{
    (void)arg;
    if (stook__task_claim(future)) {
        payload = 7;
        has_claimed[0] = true;
        stook__task_rest(future);
    }
    stook__task_release(future);
}

static void cancel_and_look(void *arg)
{
    enum stook_cancel_outcome outcome = stook_future_cancel(arg);

    has_cancelled = outcome == STOOK_CANCEL_DONE || outcome == STOOK_CANCEL_REQUESTED;
    if (outcome == STOOK_CANCEL_DONE) {
        payload = 8;
    }
    stook_future_release(arg);
}

static void run_rest(void)
{
    create_task(2);
    model_start(claim_and_rest, NULL);
    cancel_and_look(future);
    model_join();
    MODEL_CHECK(has_cancelled);
}

int main(int argc, char **argv)
{
    static const struct model models[] = {
        {"wait", run_wait, 6, 0, 1000000, 0},
        {"result", run_result, 6, 0, 1000000, 0},
        {"rest", run_rest, 6, 0, 1000000, 0},
        {"claim", run_claim, 4, 0, 1000000, 0},
        {"release", run_release, 4, 0, 1000000, 0},
        {"cancel", run_cancel, 2, 0, 1000000, 0},
        {"claim_or_cancel", run_claim_or_cancel, 3, 0, 1000000, 0},
        {"callbacks", run_callbacks, 3, 0, 1000000, 0},
        {"abandon", run_abandon, 2, 2, 1000000, 0},
        {"waiters", run_waiters, 2, 2, 1000000, 0},
        {"deadline", run_deadline, 2, 2, 1000000, 0},
    };
    return model_main(argc, argv, models, sizeof models / sizeof models[0]);
}
