/* SPDX-License-Identifier: MIT
 *
 * What callbacks of futures may do and what not; what waiters see of them; and that they run once
 * each when futures are cancelled, shut down, or end while callbacks are added.
 */
#include "check.h"
#include "promise_support.h"

struct busy {
    stook_executor *executor;
    stook_future *own;    /* to release */
    stook_future *victim; /* to cancel */
    stook_future *kept, *submitted;
    atomic_int calls, runs;
    enum stook_cancel_outcome outcome;
};

static void busy_callback(stook_future *future, void *user_data)
{
    struct busy *busy = user_data;

    MUST(future == busy->own);
    busy->kept = stook_future_retain(future);
    stook_future_release(busy->own);
    busy->submitted = must_submit(busy->executor, count_task, &busy->runs);
    busy->outcome = stook_future_cancel(busy->victim);
    MUST(stook_future_done(busy->victim));
    MUST(stook_future_on_done(future, count_callback, &busy->calls) == STOOK_OK);
    MUST(stook_future_on_done(busy->submitted, count_callback, &busy->calls) == STOOK_OK);
    stook_future_release(busy->kept);
    atomic_fetch_add(&busy->calls, 1);
}

/* B7 */
Test(callback_use, B7_may_release_its_future_submit_cancel_and_add_callbacks, .timeout = 60)
{
    for (int is_task = 0; is_task < 2; is_task++) {
        struct source source;
        struct promised victim = must_promise();
        struct busy busy = {.executor = must_create(1), .victim = victim.future};

        cr_assert_eq(stook_future_on_done(victim.future, count_callback, &busy.calls), STOOK_OK);
        source_begin(&source, is_task, ENDS_DONE, NULL);
        busy.own = source.made.future;
        cr_assert_eq(stook_future_on_done(source.made.future, busy_callback, &busy), STOOK_OK);
        source.made.future = NULL; /* the callback's, from now on */
        gate_open(&source.gate);
        if (!is_task) {
            must_complete(&source.made, 0, NULL);
        }
        SPIN_UNTIL(atomic_load(&busy.calls) == 4);
        cr_assert_eq(busy.outcome, STOOK_CANCEL_DONE);
        source_release(&source);
        stook_executor_destroy(busy.executor);
        cr_assert_eq(atomic_load(&busy.runs), 1);
        cr_assert_eq(stook_future_state(busy.submitted), STOOK_STATE_DONE);
        stook_future_release(busy.submitted);
        release_promised(&victim);
        cr_assert_eq(atomic_load(&busy.calls), 4);
    }
}

/* Waits of every kind in a callback. */
struct blocking {
    stook_executor *executor;
    stook_future *pending, *done;
    stook_as_completed *iterator; /* over both */
    atomic_int calls;
    atomic_int mapped;
};

static void wait_for_both(struct blocking *blocking, int64_t deadline)
{
    stook_future *futures[] = {blocking->done, blocking->pending};
    struct stook_wait_counts counts = {77, 77};
    bool done[2];

    MUST(stook_wait_until(futures, 2, STOOK_WAIT_ALL, deadline, NULL, &counts) == STOOK_DEADLOCK);
    MUST(stook_wait_until(futures + 1, 1, STOOK_WAIT_ANY, deadline, NULL, &counts) ==
         STOOK_DEADLOCK);
    MUST(stook_wait_until(futures, 2, STOOK_WAIT_FIRST_ERROR, deadline, NULL, &counts) ==
         STOOK_DEADLOCK);
    MUST(counts.done == 77 && counts.not_done == 77);
    MUST(stook_wait_until(futures, 2, STOOK_WAIT_ANY, deadline, done, &counts) == STOOK_OK);
    MUST(done[0] && !done[1] && counts.done == 1 && counts.not_done == 1);
    MUST(stook_wait_until(futures, 1, STOOK_WAIT_ALL, deadline, NULL, NULL) == STOOK_OK);
    MUST(stook_wait_until(NULL, 0, STOOK_WAIT_ALL, deadline, NULL, NULL) == STOOK_OK);
}

static void blocking_callback(stook_future *future, void *user_data)
{
    struct blocking *blocking = user_data;
    const int64_t later = stook_deadline_after_ns(1000 * SECOND);
    void *value = blocking;
    size_t index = 77;

    MUST(stook_future_result(future, NULL) == STOOK_OK);
    MUST(stook_future_wait_until(future, STOOK_FOREVER) == STOOK_OK);
    MUST(stook_future_wait_until(blocking->done, later) == STOOK_OK);
    MUST(stook_future_wait_until(blocking->pending, STOOK_FOREVER) == STOOK_DEADLOCK);
    MUST(stook_future_wait_until(blocking->pending, later) == STOOK_DEADLOCK);
    MUST(stook_future_result(blocking->pending, &value) == STOOK_DEADLOCK);
    MUST(value == blocking);
    wait_for_both(blocking, STOOK_FOREVER);
    wait_for_both(blocking, later);
    MUST(stook_as_completed_next(blocking->iterator, STOOK_FOREVER, &index) == STOOK_DEADLOCK);
    MUST(stook_as_completed_next(blocking->iterator, later, &index) == STOOK_DEADLOCK);
    MUST(index == 77);
    MUST(stook_executor_shutdown(blocking->executor, STOOK_DRAIN, STOOK_FOREVER) == STOOK_DEADLOCK);
    MUST(stook_executor_map(blocking->executor, count_task, &blocking->mapped, 3, 0, NULL, NULL) ==
         STOOK_DEADLOCK);
    MUST(atomic_load(&blocking->mapped) == 0);
    stook_task_begin_blocking(); /* may be in no task */
    stook_task_end_blocking();
    atomic_fetch_add(&blocking->calls, 1);
}

static int blocking_then(stook_future *before, void *arg, void **ret_value)
{
    (void)ret_value;
    blocking_callback(before, arg);
    return 0;
}

/* B7; afterwards the same threads wait as always */
Test(callback_use, B7_a_wait_that_would_block_answers_DEADLOCK, .timeout = 60)
{
    for (int is_task = 0; is_task < 2; is_task++) {
        struct source source;
        struct promised pending = must_promise();
        struct promised done = must_promise();
        struct blocking blocking = {.executor = must_create(2)};
        atomic_int runs = 0;
        stook_future *future;
        size_t index = 77;

        must_complete(&done, 0, NULL);
        blocking.pending = pending.future;
        blocking.done = done.future;
        stook_future *both[] = {pending.future, done.future};
        cr_assert_eq(stook_as_completed_create(both, 2, &blocking.iterator), STOOK_OK);
        cr_assert_eq(stook_as_completed_next(blocking.iterator, 0, &index), STOOK_OK);
        cr_assert_eq(index, 1);
        source_begin(&source, is_task, ENDS_DONE, NULL);
        cr_assert_eq(stook_future_on_done(source.made.future, blocking_callback, &blocking),
                     STOOK_OK);
        future = must_then(source.made.future, STOOK_THEN_ALWAYS, NULL, blocking_then, &blocking);
        source_end(&source);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        cr_assert_eq(stook_future_on_done(source.made.future, blocking_callback, &blocking),
                     STOOK_OK);
        cr_assert_eq(atomic_load(&blocking.calls), 3);
        stook_future_release(future);
        future = must_submit(blocking.executor, count_task, &runs);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK, "the executor was changed");
        stook_future_release(future);
        must_complete(&pending, 0, NULL);
        cr_assert_eq(stook_as_completed_next(blocking.iterator, STOOK_FOREVER, &index), STOOK_OK);
        cr_assert_eq(index, 0);
        stook_as_completed_destroy(blocking.iterator);
        source_release(&source);
        release_promised(&pending);
        release_promised(&done);
        stook_executor_destroy(blocking.executor);
    }
}

/* --- beside waits, cancelling and shutdown ------------------------------------------------------
 */

static int complete_thread(void *arg)
{
    must_complete(arg, 0, NULL);
    return 0;
}

static void gate_callback(stook_future *future, void *user_data)
{
    (void)future;
    gate_pass(user_data);
}

static int wait_then_open_thread(void *arg)
{
    struct promised *pair = arg; /* the future to wait for, and what is told then */

    MUST(stook_future_wait_until(pair->future, STOOK_FOREVER) == STOOK_OK);
    must_complete(pair, 0, NULL);
    return 0;
}

/* B8: if callbacks ran before the waiters were woken, this would hang */
Test(callback_use, B8_a_result_can_be_seen_before_the_callbacks_have_run, .timeout = 60)
{
    for (int is_task = 0; is_task < 2; is_task++) {
        struct source source;
        struct promised seen = must_promise();
        struct gate gate = {0};
        thrd_t ender, waiter;

        source_begin(&source, is_task, ENDS_DONE, NULL);
        cr_assert_eq(stook_future_on_done(source.made.future, gate_callback, &gate), STOOK_OK);
        struct promised pair = {seen.promise, source.made.future};
        must_start(&waiter, wait_then_open_thread, &pair);
        give_a_chance();
        if (is_task) {
            gate_open(&source.gate);
        } else {
            must_start(&ender, complete_thread, &source.made);
        }
        cr_assert_eq(stook_future_result(seen.future, NULL), STOOK_OK);
        thrd_join(waiter, NULL);
        gate_open(&gate);
        if (!is_task) {
            thrd_join(ender, NULL);
        }
        source_release(&source);
        release_promised(&seen);
        cr_assert_eq(atomic_load(&gate.arrived), 1);
    }
}

/* What B8 lets one do instead. */
Test(callback_use, B8_who_waits_for_a_later_continuation_knows_that_callbacks_have_run,
     .timeout = 120)
{
    stook_executor *executor = must_create(2);

    for (int round = 0; round < 300; round++) {
        struct gate gate = {0};
        atomic_int calls = 0;
        atomic_int later = 0;
        stook_future *future = must_submit(executor, gate_task, &gate);
        stook_future *then;

        for (int i = 0; i < 5; i++) {
            cr_assert_eq(stook_future_on_done(future, count_callback, &calls), STOOK_OK);
        }
        then = must_then(future, STOOK_THEN_ALWAYS, NULL, count_then, &later);
        gate_open(&gate);
        cr_assert_eq(stook_future_result(then, NULL), STOOK_OK);
        cr_assert_eq(atomic_load(&calls), 5);
        cr_assert_eq(atomic_load(&later), 1);
        stook_future_release(then);
        stook_future_release(future);
    }
    stook_executor_destroy(executor);
}

enum { QUEUED = 200 };

/* B70 */
Test(callback_use, B70_a_queued_task_that_is_cancelled_fires_its_callback_once, .timeout = 60)
{
    for (int by_shutdown = 0; by_shutdown < 2; by_shutdown++) {
        stook_executor *executor = must_create(1);
        struct gate gate = {0};
        stook_future *futures[QUEUED];
        static atomic_int calls[QUEUED];
        atomic_int runs = 0;

        cr_assert_eq(stook_executor_submit(executor, gate_task, &gate, NULL), STOOK_OK);
        gate_await(&gate, 1);
        for (int i = 0; i < QUEUED; i++) {
            futures[i] = must_submit(executor, count_task, &runs);
            atomic_store(&calls[i], 0);
            cr_assert_eq(stook_future_on_done(futures[i], count_callback, &calls[i]), STOOK_OK);
        }
        if (by_shutdown) {
            cr_assert_eq(stook_executor_shutdown(executor, STOOK_CANCEL_PENDING, 0), STOOK_TIMEOUT);
        }
        for (int i = 0; i < QUEUED; i++) {
            if (!by_shutdown) {
                cr_assert_eq(stook_future_cancel(futures[i]), STOOK_CANCEL_DONE);
                cr_assert_eq(stook_future_cancel(futures[i]), STOOK_CANCEL_DONE);
                cr_assert_eq(atomic_load(&calls[i]), 1);
            }
        }
        gate_open(&gate);
        stook_executor_destroy(executor);
        for (int i = 0; i < QUEUED; i++) {
            cr_assert_eq(stook_future_state(futures[i]), STOOK_STATE_CANCELLED);
            cr_assert_eq(atomic_load(&calls[i]), 1, "future %d", i);
        }
        cr_assert_eq(atomic_load(&runs), 0);
        release_all(futures, QUEUED);
    }
}

enum { RACED = 500, ADDERS = 3 };

struct adders {
    struct promised made[RACED];
    atomic_int arrived[RACED];
    atomic_int calls;
};

static int adder_thread(void *arg)
{
    struct adders *adders = arg;

    for (int i = 0; i < RACED; i++) {
        atomic_fetch_add(&adders->arrived[i], 1);
        SPIN_UNTIL(atomic_load(&adders->arrived[i]) == ADDERS + 1);
        for (int j = 0; j < 4; j++) {
            MUST(stook_future_on_done(adders->made[i].future, count_callback, &adders->calls) ==
                 STOOK_OK);
        }
    }
    return 0;
}

Test(callback_use, those_that_are_added_while_the_future_ends_run_once_each, .timeout = 120)
{
    static struct adders adders;
    thrd_t threads[ADDERS];

    for (int i = 0; i < RACED; i++) {
        adders.made[i] = must_promise();
    }
    for (int i = 0; i < ADDERS; i++) {
        must_start(&threads[i], adder_thread, &adders);
    }
    for (int i = 0; i < RACED; i++) {
        SPIN_UNTIL(atomic_load(&adders.arrived[i]) == ADDERS);
        atomic_fetch_add(&adders.arrived[i], 1);
        must_end(&adders.made[i], i % ENDINGS, NULL);
    }
    for (int i = 0; i < ADDERS; i++) {
        thrd_join(threads[i], NULL);
    }
    cr_assert_eq(atomic_load(&adders.calls), RACED * ADDERS * 4);
    for (int i = 0; i < RACED; i++) {
        release_promised(&adders.made[i]);
    }
}
