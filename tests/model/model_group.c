/* SPDX-License-Identifier: MIT
 *
 * Several futures at once: wait sets, as_completed, when_all, when_any and continuations, against
 * promises that are completed meanwhile. What is told to be done has happened, with all that was
 * written before it; each is told once; nobody sleeps on.
 */
#include <stook/continuation.h>
#include <stook/promise.h>
#include <stook/waitset.h>
#include "model.h"

enum { COUNT = 2 };

static stook_promise *promises[COUNT];
static stook_future *futures[COUNT];
static int payloads[COUNT];
static const int64_t soon = INT64_C(2000000000);

static void setup(void)
{
    for (unsigned i = 0; i < COUNT; i++) {
        payloads[i] = 0;
        MODEL_CHECK(stook_promise_create(NULL, &promises[i], &futures[i]) == STOOK_OK);
    }
}

static void teardown(void)
{
    model_join();
    for (unsigned i = 0; i < COUNT; i++) {
        stook_future_release(futures[i]);
    }
}

static void complete(unsigned i)
{
    payloads[i] = 7;
    MODEL_CHECK(stook_promise_complete(promises[i], 0, &payloads[i]) == STOOK_OK);
    stook_promise_release(promises[i]);
}

static void complete_first(void *arg)
{
    (void)arg;
    complete(0);
}

static void complete_second(void *arg)
{
    (void)arg;
    complete(1);
}

static void start_both(void)
{
    model_start(complete_first, NULL);
    model_start(complete_second, NULL);
}

/* --- wait sets ----------------------------------------------------------------------------------
 */

static void wait(enum stook_wait_mode mode, int64_t deadline_ns, size_t least)
{
    bool done[COUNT] = {false};
    struct stook_wait_counts counts;
    enum stook_status status = stook_wait_until(futures, COUNT, mode, deadline_ns, done, &counts);

    MODEL_CHECK(status == STOOK_OK || (status == STOOK_TIMEOUT && deadline_ns != STOOK_FOREVER));
    MODEL_CHECK((size_t)done[0] + done[1] == counts.done);
    MODEL_CHECK(status != STOOK_OK || counts.done >= least);
    for (unsigned i = 0; i < COUNT; i++) {
        MODEL_CHECK(!done[i] || payloads[i] == 7);
    }
}

static void run_all(void)
{
    setup();
    start_both();
    wait(STOOK_WAIT_ALL, STOOK_FOREVER, COUNT);
    teardown();
}

/* Writes where the set has been: a race, if anybody may still use that. */
static __attribute__((noinline)) void reuse_stack(void)
{
    static int *volatile escapes; /* else the compiler would not tell the checker */
    int words[512];

    escapes = words;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        escapes[i] = 1;
    }
}

static void run_any(void)
{
    setup();
    start_both();
    wait(STOOK_WAIT_ANY, STOOK_FOREVER, 1);
    reuse_stack();
    teardown();
}

static void run_deadline(void)
{
    setup();
    start_both();
    wait(STOOK_WAIT_ALL, soon, COUNT);
    teardown();
}

/* --- as_completed -------------------------------------------------------------------------------
 */

static void run_each(void)
{
    stook_as_completed *iterator;
    bool told[COUNT] = {false};
    size_t index;

    setup();
    MODEL_CHECK(stook_as_completed_create(futures, COUNT, &iterator) == STOOK_OK);
    start_both();
    for (unsigned i = 0; i < COUNT; i++) {
        MODEL_CHECK(stook_as_completed_next(iterator, STOOK_FOREVER, &index) == STOOK_OK);
        MODEL_CHECK(!told[index] && payloads[index] == 7);
        told[index] = true;
    }
    stook_as_completed_destroy(iterator);
    teardown();
}

static void run_each_soon(void)
{
    stook_as_completed *iterator;
    unsigned told = 0;
    size_t index;

    setup();
    MODEL_CHECK(stook_as_completed_create(futures, COUNT, &iterator) == STOOK_OK);
    start_both();
    while (told < COUNT && stook_as_completed_next(iterator, soon, &index) == STOOK_OK) {
        MODEL_CHECK(payloads[index] == 7);
        told++;
    }
    MODEL_CHECK(stook_as_completed_left(iterator) == COUNT - told);
    stook_as_completed_destroy(iterator);
    teardown();
}

/* Destroyed while those that are not done yet are just leaving. */
static void run_each_left(void)
{
    stook_as_completed *iterator;
    size_t index;

    setup();
    MODEL_CHECK(stook_as_completed_create(futures, COUNT, &iterator) == STOOK_OK);
    start_both();
    MODEL_CHECK(stook_as_completed_next(iterator, STOOK_FOREVER, &index) == STOOK_OK);
    MODEL_CHECK(payloads[index] == 7);
    stook_as_completed_destroy(iterator);
    teardown();
}

/* --- when, then ---------------------------------------------------------------------------------
 */

static void run_when_all(void)
{
    stook_future *all;

    setup();
    start_both();
    MODEL_CHECK(stook_when_all(futures, COUNT, &all) == STOOK_OK);
    MODEL_CHECK(stook_future_wait_until(all, STOOK_FOREVER) == STOOK_OK);
    MODEL_CHECK(payloads[0] == 7 && payloads[1] == 7);
    stook_future_release(all);
    teardown();
}

static void run_when_any(void)
{
    stook_future *any;
    void *winner;

    setup();
    start_both();
    MODEL_CHECK(stook_when_any(futures, COUNT, &any) == STOOK_OK);
    MODEL_CHECK(stook_future_result(any, &winner) == STOOK_OK);
    MODEL_CHECK(stook_future_done(winner) && payloads[winner == futures[1]] == 7);
    stook_future_release(winner);
    stook_future_release(any);
    teardown();
}

static void cancel(void *arg)
{
    stook_future_cancel(arg);
    stook_future_release(arg);
}

static void run_when_cancelled(void)
{
    stook_future *all;

    setup();
    MODEL_CHECK(stook_when_all(futures, COUNT, &all) == STOOK_OK);
    model_start(complete_first, NULL);
    model_start(cancel, stook_future_retain(all));
    complete(1);
    MODEL_CHECK(stook_future_wait_until(all, STOOK_FOREVER) == STOOK_OK);
    MODEL_CHECK(stook_future_state(all) != STOOK_STATE_DONE || payloads[0] == 7);
    stook_future_release(all);
    teardown();
}

static int look(stook_future *before, void *arg, void **ret_value)
{
    MODEL_CHECK(before == futures[0] && payloads[0] == 7);
    *ret_value = arg;
    return 0;
}

/* A continuation is made, and cancelled, while what it waits for is done. */
static void run_then(void)
{
    stook_future *after;

    setup();
    model_start(complete_first, NULL);
    MODEL_CHECK(stook_future_then(futures[0], STOOK_THEN_IF_DONE, NULL, look, &payloads[1],
                                  &after) == STOOK_OK);
    model_start(cancel, stook_future_retain(after));
    MODEL_CHECK(stook_future_wait_until(after, STOOK_FOREVER) == STOOK_OK);
    MODEL_CHECK(stook_future_state(after) != STOOK_STATE_DONE || payloads[0] == 7);
    stook_future_release(after);
    complete(1);
    teardown();
}

int main(int argc, char **argv)
{
    static const struct model models[] = {
        {"all", run_all, 3, 0, 300000, 0},
        {"any", run_any, 2, 2, 300000, 0},
        {"deadline", run_deadline, 2, 2, 300000, 0},
        {"each", run_each, 2, 2, 300000, 0},
        {"each_soon", run_each_soon, 1, 2, 300000, 0},
        {"each_left", run_each_left, 2, 2, 300000, 0},
        {"when_all", run_when_all, 1, 1, 300000, 0},
        {"when_any", run_when_any, 1, 1, 300000, 0},
        {"then", run_then, 2, 2, 300000, 0},
        {"when_cancelled", run_when_cancelled, 1, 1, 300000, 0},
    };
    return model_main(argc, argv, models, sizeof models / sizeof models[0]);
}
