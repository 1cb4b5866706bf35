/* SPDX-License-Identifier: MIT
 *
 * Submitting: arguments and values, bulks, submitting from tasks, the promised order, that no task
 * starves, and that the tasks of a worker never overlap.
 */
#include <string.h>

#include "check.h"
#include "support.h"

/* What a task was given and where it gives it back. */
struct echo {
    void *expected_value_on_entry;
    int payload;
};

static int echo_task(void *arg, void **ret_value)
{
    struct echo *echo = arg;

    echo->expected_value_on_entry = *ret_value;
    echo->payload *= 2;
    *ret_value = arg;
    return 0;
}

Test(submit, a_task_gets_its_argument_and_its_writes_are_seen, .timeout = 60)
{
    stook_executor *executor = must_create(2);

    for (int i = 0; i < 1000; i++) {
        struct echo echo = {&echo, i};
        stook_future *future = must_submit(executor, echo_task, &echo);
        void *value = NULL;

        cr_assert_eq(stook_future_result(future, &value), STOOK_OK);
        cr_assert_eq(value, &echo);
        cr_assert_eq(echo.payload, 2 * i);
        cr_assert_null(echo.expected_value_on_entry, "*ret_value is NULL on entry");
        stook_future_release(future);
    }
    stook_executor_destroy(executor);
}

static int null_task(void *arg, void **ret_value)
{
    return arg == NULL && *ret_value == NULL ? 0 : 1;
}

Test(submit, the_argument_may_be_null_and_the_future_left_out, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    atomic_int runs = 0;
    stook_future *future = must_submit(executor, null_task, NULL);

    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(stook_executor_submit(executor, count_task, &runs, NULL), STOOK_OK);
    }
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 1000);
}

enum { BULK = 3000 };

Test(submit, many_gives_each_task_its_element_and_each_future_its_task, .timeout = 60)
{
    static struct echo echoes[BULK];
    static stook_future *futures[BULK];
    stook_executor *executor = must_create(3);

    for (int i = 0; i < BULK; i++) {
        echoes[i].payload = i;
    }
    cr_assert_eq(stook_executor_submit_many(executor, NULL, echo_task, echoes, BULK,
                                            sizeof echoes[0], futures),
                 STOOK_OK);
    for (int i = 0; i < BULK; i++) {
        void *value = NULL;

        cr_assert_eq(stook_future_result(futures[i], &value), STOOK_OK);
        cr_assert_eq(value, &echoes[i], "future %d", i);
        cr_assert_eq(echoes[i].payload, 2 * i);
    }
    release_all(futures, BULK);
    stook_executor_destroy(executor);
}

Test(submit, many_with_count_0_does_nothing, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    atomic_int runs = 0;
    int untouched;
    stook_future *futures[1] = {(void *)&untouched};

    cr_assert_eq(stook_executor_submit_many(executor, NULL, count_task, &runs, 0, 0, futures),
                 STOOK_OK);
    cr_assert_eq(stook_executor_submit_many(executor, NULL, count_task, NULL, 0, 8, NULL),
                 STOOK_OK);
    cr_assert_eq((void *)futures[0], (void *)&untouched);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

Test(submit, many_with_size_0_gives_all_the_same_argument, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    stook_future *futures[100];
    atomic_int runs = 0;

    cr_assert_eq(stook_executor_submit_many(executor, NULL, count_task, &runs, 100, 0, futures),
                 STOOK_OK);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
    }
    cr_assert_eq(atomic_load(&runs), 100);
    release_all(futures, 100);
    stook_executor_destroy(executor);
}

Test(submit, many_without_futures_runs_all, .timeout = 60)
{
    static atomic_int runs[BULK];
    stook_executor *executor = must_create(3);

    cr_assert_eq(
        stook_executor_submit_many(executor, NULL, count_task, runs, BULK, sizeof runs[0], NULL),
        STOOK_OK);
    stook_executor_destroy(executor);
    for (int i = 0; i < BULK; i++) {
        cr_assert_eq(atomic_load(&runs[i]), 1, "task %d", i);
    }
}

/* A task that submits two more of its kind, down to depth 0, and waits for none. */
struct tree {
    stook_executor *executor;
    atomic_int runs[12];
    struct tree_node {
        struct tree *tree;
        int depth;
    } nodes[12];
};

static int tree_task(void *arg, void **ret_value)
{
    const struct tree_node *node = arg;
    struct tree *tree = node->tree;

    (void)ret_value;
    atomic_fetch_add(&tree->runs[node->depth], 1);
    if (node->depth > 0) {
        struct tree_node *child = &tree->nodes[node->depth - 1];

        MUST(stook_executor_submit(tree->executor, tree_task, child, NULL) == STOOK_OK);
        MUST(stook_executor_submit_many(tree->executor, NULL, tree_task, child, 1, 0, NULL) ==
             STOOK_OK);
    } else {
        atomic_fetch_add(&tree->runs[11], 1);
    }
    return 0;
}

Test(submit, tasks_submit_tasks, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        struct tree tree = {.executor = must_create(workers)};

        for (int depth = 0; depth < 12; depth++) {
            tree.nodes[depth] = (struct tree_node){&tree, depth};
        }
        cr_assert_eq(stook_executor_submit(tree.executor, tree_task, &tree.nodes[10], NULL),
                     STOOK_OK);
        /* an accepted task that has not run yet may still submit: wait for the 1024 leaves */
        SPIN_UNTIL(atomic_load(&tree.runs[11]) == 1024);
        stook_executor_destroy(tree.executor);
        for (int depth = 0; depth <= 10; depth++) {
            cr_assert_eq(atomic_load(&tree.runs[depth]), 1 << (10 - depth));
        }
    }
}

enum { ORDERED = 500 };

struct order {
    stook_executor *executor;
    int next;
    int begun[ORDERED]; /* plain: one worker, so never two tasks at once */
};

struct ordered {
    struct order *order;
    int number;
};

static int ordered_task(void *arg, void **ret_value)
{
    const struct ordered *ordered = arg;

    (void)ret_value;
    ordered->order->begun[ordered->order->next++] = ordered->number;
    return 0;
}

Test(submit, with_one_worker_outside_tasks_begin_in_the_order_of_submission, .timeout = 60)
{
    static struct order order;
    static struct ordered ordered[ORDERED];
    stook_executor *executor = must_create(1);
    struct gate gate = {0};

    cr_assert_eq(stook_executor_submit(executor, gate_task, &gate, NULL), STOOK_OK);
    gate_await(&gate, 1);
    for (int i = 0; i < ORDERED; i++) {
        ordered[i] = (struct ordered){&order, i};
    }
    for (int i = 0; i < ORDERED; i += 10) {
        for (int j = 0; j < 5; j++) {
            cr_assert_eq(stook_executor_submit(executor, ordered_task, &ordered[i + j], NULL),
                         STOOK_OK);
        }
        cr_assert_eq(stook_executor_submit_many(executor, NULL, ordered_task, &ordered[i + 5], 5,
                                                sizeof ordered[0], NULL),
                     STOOK_OK);
    }
    gate_open(&gate);
    stook_executor_destroy(executor);
    cr_assert_eq(order.next, ORDERED);
    for (int i = 0; i < ORDERED; i++) {
        cr_assert_eq(order.begun[i], i);
    }
}

static int submit_ordered_task(void *arg, void **ret_value)
{
    struct ordered *ordered = arg;

    (void)ret_value;
    for (int i = 0; i < ORDERED; i++) {
        MUST(stook_executor_submit(ordered->order->executor, ordered_task, &ordered[i], NULL) ==
             STOOK_OK);
    }
    return 0;
}

/* B56 */
Test(submit, with_one_worker_own_tasks_begin_newest_first_but_for_now_and_then, .timeout = 60)
{
    static struct order order;
    static struct ordered ordered[ORDERED];
    stook_future *future;
    int newest_first = 0;

    order.executor = must_create(1);
    for (int i = 0; i < ORDERED; i++) {
        ordered[i] = (struct ordered){&order, i};
    }
    future = must_submit(order.executor, submit_ordered_task, ordered);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(order.executor);
    cr_assert_eq(order.next, ORDERED);
    for (int i = 1; i < ORDERED; i++) {
        newest_first += order.begun[i] == order.begun[i - 1] - 1;
    }
    cr_assert_gt(newest_first, ORDERED * 3 / 4);
}

/* A task that submits itself again until it is stopped; the one that stops it is older than each of
 * its successors, or comes from outside. */
struct endless {
    stook_executor *executor;
    bool stopper_is_own;
    atomic_bool begun, stopped, ended;
};

static int stop_task(void *arg, void **ret_value)
{
    struct endless *endless = arg;

    (void)ret_value;
    atomic_store(&endless->stopped, true);
    return 0;
}

static int endless_task(void *arg, void **ret_value)
{
    struct endless *endless = arg;

    (void)ret_value;
    if (endless->stopper_is_own && !atomic_load(&endless->begun)) {
        MUST(stook_executor_submit(endless->executor, stop_task, endless, NULL) == STOOK_OK);
    }
    atomic_store(&endless->begun, true);
    if (atomic_load(&endless->stopped)) {
        atomic_store(&endless->ended, true);
    } else {
        MUST(stook_executor_submit(endless->executor, endless_task, endless, NULL) == STOOK_OK);
    }
    return 0;
}

/* B57 */
Test(submit, a_task_that_submits_itself_for_ever_starves_no_other, .timeout = 60)
{
    for (int own = 0; own <= 1; own++) {
        struct endless endless = {.executor = must_create(1), .stopper_is_own = own != 0};

        cr_assert_eq(stook_executor_submit(endless.executor, endless_task, &endless, NULL),
                     STOOK_OK);
        SPIN_UNTIL(atomic_load(&endless.begun));
        if (!own) {
            cr_assert_eq(stook_executor_submit(endless.executor, stop_task, &endless, NULL),
                         STOOK_OK);
        }
        SPIN_UNTIL(atomic_load(&endless.ended));
        stook_executor_destroy(endless.executor);
    }
}

/* Tasks of one executor that note whether two of them ever run at once. Some of them wait for a
 * task of another executor; what they do after that may overlap, and is not counted. */
struct alone {
    atomic_int running, overlaps, ended;
    stook_future *event;
};

static void alone_work(struct alone *alone)
{
    if (atomic_fetch_add(&alone->running, 1) != 0) {
        atomic_fetch_add(&alone->overlaps, 1);
    }
    for (int i = 0; i < 5; i++) {
        thrd_yield();
    }
    atomic_fetch_sub(&alone->running, 1);
}

static int alone_task(void *arg, void **ret_value)
{
    struct alone *alone = arg;

    (void)ret_value;
    alone_work(alone);
    atomic_fetch_add(&alone->ended, 1);
    return 0;
}

static int alone_waiting_task(void *arg, void **ret_value)
{
    struct alone *alone = arg;

    (void)ret_value;
    alone_work(alone);
    MUST(stook_future_wait_until(alone->event, STOOK_FOREVER) == STOOK_OK);
    return 0;
}

Test(submit, tasks_of_one_worker_never_overlap_though_some_wait, .timeout = 60)
{
    enum { WAITING = 10, OTHERS = 200 };
    stook_executor *one = must_create(1);
    stook_executor *other = must_create(1);
    struct gate gate = {0};
    struct alone alone = {.event = must_submit(other, gate_task, &gate)};

    for (int i = 0; i < WAITING; i++) {
        cr_assert_eq(stook_executor_submit(one, alone_waiting_task, &alone, NULL), STOOK_OK);
        cr_assert_eq(
            stook_executor_submit_many(one, NULL, alone_task, &alone, OTHERS / WAITING, 0, NULL),
            STOOK_OK);
    }
    /* the waiting ones hold no place: all others end before the event */
    SPIN_UNTIL(atomic_load(&alone.ended) == OTHERS);
    cr_assert_eq(stook_executor_submit_many(one, NULL, alone_task, &alone, OTHERS, 0, NULL),
                 STOOK_OK);
    gate_open(&gate);
    stook_executor_destroy(one);
    stook_executor_destroy(other);
    cr_assert_eq(atomic_load(&alone.ended), 2 * OTHERS);
    cr_assert_eq(atomic_load(&alone.overlaps), 0);
    stook_future_release(alone.event);
}
