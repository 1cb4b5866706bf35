/* SPDX-License-Identifier: MIT
 *
 * Waits that other libraries got wrong: many waiters of one future, locks held across a wait, deep
 * chains of waits, and waits while the only worker is busy. The simple cases are in test_wait.c and
 * test_nesting.c.
 */
#include <stdlib.h>

#include "check.h"
#include "support.h"

/* --- B21: one future, many waiters ------------------------------------------------------------ */

struct awaited {
    stook_future *future;
    void *expected;
    atomic_int begun, right;
};

static int await_value(struct awaited *awaited)
{
    void *value = NULL;

    atomic_fetch_add(&awaited->begun, 1);
    MUST(stook_future_result(awaited->future, &value) == STOOK_OK);
    atomic_fetch_add(&awaited->right, value == awaited->expected);
    return 0;
}

static int await_thread(void *arg)
{
    return await_value(arg);
}

static int await_task(void *arg, void **ret_value)
{
    (void)ret_value;
    return await_value(arg);
}

static int gate_value_task(void *arg, void **ret_value)
{
    gate_pass(arg);
    *ret_value = arg;
    return 0;
}

Test(waiting, B21_threads_and_tasks_of_two_executors_wait_for_one_future, .timeout = 60)
{
    enum { THREADS = 8, TASKS = 8 };
    stook_executor *own = must_create(2);
    stook_executor *other = must_create(1);
    struct gate gate = {0};
    struct awaited awaited = {must_submit(own, gate_value_task, &gate), &gate, 0, 0};
    stook_future *futures[2 * TASKS];
    thrd_t threads[THREADS];

    gate_await(&gate, 1);
    for (int i = 0; i < THREADS; i++) {
        must_start(&threads[i], await_thread, &awaited);
    }
    for (int i = 0; i < 2 * TASKS; i++) {
        futures[i] = must_submit(i < TASKS ? own : other, await_task, &awaited);
    }
    SPIN_UNTIL(atomic_load(&awaited.begun) == THREADS + 2 * TASKS);
    give_a_chance();
    cr_assert_eq(atomic_load(&awaited.right), 0);
    gate_open(&gate);
    for (int i = 0; i < THREADS; i++) {
        thrd_join(threads[i], NULL);
    }
    for (int i = 0; i < 2 * TASKS; i++) {
        cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
    }
    cr_assert_eq(atomic_load(&awaited.right), THREADS + 2 * TASKS);
    release_all(futures, 2 * TASKS);
    stook_future_release(awaited.future);
    stook_executor_destroy(own);
    stook_executor_destroy(other);
}

/* --- B52: a lock held across a wait (rayon#592) ----------------------------------------------- */

/* Set while the thread's topmost task, or one below it on the same stack, holds the mutex. */
static _Thread_local bool holds;

struct guarded {
    stook_executor *executor;
    mtx_t mutex;
    int changes; /* guarded by it */
    atomic_int looks;
};

/* The mutex is its parent's. */
static int look_task(void *arg, void **ret_value)
{
    struct guarded *guarded = arg;

    (void)ret_value;
    MUST(mtx_trylock(&guarded->mutex) == thrd_busy);
    atomic_fetch_add(&guarded->looks, 1);
    return 0;
}

/* Calls `meanwhile`, unless that is NULL, with the mutex. */
static void change(struct guarded *guarded, void (*meanwhile)(struct guarded *guarded))
{
    MUST(!holds); /* else this task runs on top of one that has the mutex, and never ends */
    MUST(mtx_lock(&guarded->mutex) == thrd_success);
    holds = true;
    guarded->changes++;
    if (meanwhile) {
        meanwhile(guarded);
    }
    holds = false;
    MUST(mtx_unlock(&guarded->mutex) == thrd_success);
}

static int unrelated_task(void *arg, void **ret_value)
{
    (void)ret_value;
    change(arg, NULL);
    return 0;
}

enum { LOCKERS = 60, UNRELATED = 10 };

/* Half of them wait for ever first; the others time out now and then: the awaited tasks may be
 * behind others in the only worker, and those want the mutex. */
static void wait_for_children(struct guarded *guarded)
{
    stook_future *children[2];

    for (int i = 0; i < 2; i++) {
        children[i] = must_submit(guarded->executor, look_task, guarded);
        MUST(stook_executor_submit_many(guarded->executor, NULL, unrelated_task, guarded,
                                        UNRELATED / 4, 0, NULL) == STOOK_OK);
    }
    for (int i = 0; i < 2; i++) {
        const int64_t deadline = stook_deadline_after_ns(MILLISECOND / 10);

        if (guarded->changes % 2) {
            const enum stook_status status = stook_future_wait_until(children[i], deadline);

            MUST(status == STOOK_OK || status == STOOK_TIMEOUT);
        }
        MUST(stook_future_wait_until(children[i], STOOK_FOREVER) == STOOK_OK);
    }
    release_all(children, 2);
}

static int lock_and_wait_task(void *arg, void **ret_value)
{
    struct guarded *guarded = arg;

    (void)ret_value;
    MUST(stook_executor_submit_many(guarded->executor, NULL, unrelated_task, guarded, UNRELATED / 2,
                                    0, NULL) == STOOK_OK);
    change(guarded, wait_for_children);
    return 0;
}

static void expect_no_reentry(unsigned workers)
{
    struct guarded guarded = {.executor = must_create(workers)};
    stook_future *futures[LOCKERS];

    cr_assert_eq(mtx_init(&guarded.mutex, mtx_plain), thrd_success);
    for (int i = 0; i < LOCKERS; i++) {
        futures[i] = must_submit(guarded.executor, lock_and_wait_task, &guarded);
    }
    for (int i = 0; i < LOCKERS; i++) {
        cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
    }
    release_all(futures, LOCKERS);
    stook_executor_destroy(guarded.executor);
    mtx_destroy(&guarded.mutex);
    cr_assert_eq(atomic_load(&guarded.looks), 2 * LOCKERS);
    cr_assert_eq(guarded.changes, LOCKERS * (1 + UNRELATED / 2 + 2 * (UNRELATED / 4)));
}

Test(waiting, B52_nobody_takes_a_lock_on_the_stack_of_the_waiter_that_holds_it, .timeout = 120)
{
    expect_no_reentry(1);
    expect_no_reentry(2);
    expect_no_reentry(4);
}

/* --- B53: deep chains of waits ---------------------------------------------------------------- */

/* Tasks that are on this thread's stack, and where the first of them began. */
static _Thread_local int stacked;
static _Thread_local const char *bottom;

struct descent {
    stook_executor *executor;
    int depth;
    atomic_int most_stacked, ended;
    struct level {
        struct descent *descent;
        int number;
        size_t bytes; /* of stack, from the first task of the thread to this one */
    } * levels;
};

/* Its child waits for its own child, and so on. */
static int descend_task(void *arg, void **ret_value)
{
    struct level *level = arg;
    struct descent *descent = level->descent;
    const char *here = __builtin_frame_address(0);
    int most = atomic_load(&descent->most_stacked);

    (void)ret_value;
    if (stacked++ == 0) {
        bottom = here;
    }
    level->bytes = (size_t)(bottom > here ? bottom - here : here - bottom);
    while (stacked > most &&
           !atomic_compare_exchange_weak(&descent->most_stacked, &most, stacked)) {
    }
    if (level->number + 1 < descent->depth) {
        stook_future *child = must_submit(descent->executor, descend_task, level + 1);

        MUST(stook_future_result(child, NULL) == STOOK_OK);
        stook_future_release(child);
    }
    stacked--;
    atomic_fetch_add(&descent->ended, 1);
    return 0;
}

static struct descent descend(int depth)
{
    struct descent descent = {.executor = must_create(1), .depth = depth};

    descent.levels = calloc((size_t)depth, sizeof *descent.levels);
    cr_assert_not_null(descent.levels);
    for (int i = 0; i < depth; i++) {
        descent.levels[i] = (struct level){&descent, i, 0};
    }
    stook_future *future = must_submit(descent.executor, descend_task, &descent.levels[0]);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(descent.executor);
    cr_assert_eq(atomic_load(&descent.ended), depth);
    return descent;
}

Test(waiting, B53_the_stack_grows_by_the_same_for_each_nested_wait, .timeout = 60)
{
    struct descent descent = descend(500);
    const size_t first = descent.levels[250].bytes;
    const size_t second = descent.levels[499].bytes - descent.levels[249].bytes;

    cr_assert_eq(atomic_load(&descent.most_stacked), 500, "one worker runs them all in place");
    cr_assert_gt(first, 0u);
    cr_assert_leq(second, first + first / 4);
    cr_assert_leq(first, second + second / 4);
    free(descent.levels);
}

/* No thread has more than 1000 tasks on its stack; what is deeper goes on with another thread. */
Test(waiting, B53_a_chain_of_100000_nested_waits_needs_a_bounded_stack, .timeout = 120)
{
    const int depth = 100000;
    struct descent few = descend(500);
    struct descent many = descend(depth);
    const size_t each = few.levels[499].bytes / 499;
    size_t most = 0;

    for (int i = 0; i < depth; i++) {
        most = many.levels[i].bytes > most ? many.levels[i].bytes : most;
    }
    cr_assert_leq(atomic_load(&many.most_stacked), 1000);
    cr_assert_leq(most, 1000 * each + 1000 * each / 4);
    free(few.levels);
    free(many.levels);
}

/* --- B54: an outside task that is waited for in a task, with one worker (oneTBB#2156) --------- */

struct nested {
    stook_executor *executor;
    stook_future *awaited;
    int64_t deadline;
    int levels; /* of own tasks between the one from outside and the wait */
    struct gate gate;
};

static int nested_task(void *arg, void **ret_value)
{
    struct nested *nested = arg;

    (void)ret_value;
    gate_pass(&nested->gate);
    if (nested->levels-- == 0) {
        MUST(stook_future_wait_until(nested->awaited, nested->deadline) == STOOK_OK);
    } else {
        stook_future *child = must_submit(nested->executor, nested_task, nested);

        MUST(stook_future_wait_until(child, nested->deadline) == STOOK_OK);
        stook_future_release(child);
    }
    return 0;
}

Test(waiting, B54_a_task_in_the_queue_is_reached_by_a_nested_wait_with_one_worker, .timeout = 60)
{
    for (int i = 0; i < 2 * 3 * 2; i++) {
        struct nested nested = {.executor = must_create(1), .levels = i / 2 % 3};
        const bool others_before = i < 6;
        atomic_int runs = 0;

        nested.deadline = i % 2 ? STOOK_FOREVER : STOOK_FOREVER - 1;
        stook_future *waiter = must_submit(nested.executor, nested_task, &nested);
        gate_await(&nested.gate, 1);
        if (others_before) {
            cr_assert_eq(
                stook_executor_submit_many(nested.executor, NULL, count_task, &runs, 5, 0, NULL),
                STOOK_OK);
        }
        nested.awaited = must_submit(nested.executor, count_task, &runs);
        gate_open(&nested.gate);
        cr_assert_eq(stook_future_result(waiter, NULL), STOOK_OK);
        stook_future_release(waiter);
        stook_future_release(nested.awaited);
        stook_executor_destroy(nested.executor);
        cr_assert_eq(atomic_load(&runs), others_before ? 6 : 1);
    }
}

/* --- B55: submitted in one thread, awaited in another, no worker free (oneTBB#2056) ----------- */

struct hand_over {
    stook_executor *executor;
    stook_future *future;
    atomic_bool waits, has_waited;
};

static int is_in_task(void *arg, void **ret_value)
{
    (void)arg;
    *ret_value = &stacked; /* of the thread that runs it */
    return 0;
}

static int submit_thread(void *arg)
{
    struct hand_over *over = arg;

    over->future = must_submit(over->executor, is_in_task, NULL);
    return 0;
}

static int wait_thread(void *arg)
{
    struct hand_over *over = arg;
    void *where = NULL;

    atomic_store(&over->waits, true);
    MUST(stook_future_result(over->future, &where) == STOOK_OK);
    MUST(where != &stacked); /* a thread outside blocks only */
    atomic_store(&over->has_waited, true);
    return 0;
}

Test(waiting, B55_a_thread_waits_for_what_another_submitted_while_no_worker_is_free, .timeout = 60)
{
    struct hand_over over = {.executor = must_create(1)};
    struct gate gate = {0};
    stook_future *busy = must_submit(over.executor, gate_task, &gate);
    thrd_t thread;

    gate_await(&gate, 1);
    must_start(&thread, submit_thread, &over);
    thrd_join(thread, NULL); /* the thread that submitted has ended */
    must_start(&thread, wait_thread, &over);
    SPIN_UNTIL(atomic_load(&over.waits));
    give_a_chance();
    cr_assert_not(atomic_load(&over.has_waited));
    cr_assert_eq(stook_future_state(over.future), STOOK_STATE_PENDING);
    gate_open(&gate);
    thrd_join(thread, NULL);
    stook_future_release(over.future);
    stook_future_release(busy);
    stook_executor_destroy(over.executor);
}
