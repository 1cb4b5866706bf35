/* SPDX-License-Identifier: MIT
 *
 * Changing the number of workers, also while they work, wait and end.
 */
#include "check.h"
#include "workers_support.h"

Test(resize, resize_refuses_numbers_out_of_range)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = create_between(2, 4);

    cr_assert_eq(stook_executor_resize(NULL, 1), STOOK_INVALID);
    cr_assert_eq(stook_executor_resize(executor, 0), STOOK_INVALID);
    cr_assert_eq(stook_executor_resize(executor, 5), STOOK_INVALID);
    cr_assert_eq(stook_executor_worker_count(executor), 2);
    cr_assert_eq(stook_executor_resize(executor, 4), STOOK_OK);
    cr_assert_eq(stook_executor_worker_count(executor), 4);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(stook_executor_resize(executor, 3), STOOK_SHUTDOWN);
    stook_executor_destroy(executor);

    executor = must_create(3); /* max_workers 0: as many as workers */
    cr_assert_eq(stook_executor_resize(executor, 4), STOOK_INVALID);
    cr_assert_eq(stook_executor_resize(executor, 3), STOOK_OK);
    stook_executor_destroy(executor);

    options.workers = 3;
    options.max_workers = 2;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_INVALID);
    options.max_workers = STOOK_MAX_WORKERS + 1;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_INVALID);
    options.max_workers = 0;
    options.max_extra_threads = 16385;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_INVALID);
    options.max_extra_threads = 0;
    options.keep_alive_ns = -1;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_INVALID);
}

Test(resize, grown_workers_run_what_was_queued_before)
{
    stook_executor *executor = create_between(1, 6);
    stook_future *futures[6];
    struct gate gate = {0};

    for (int i = 0; i < 6; i++) {
        futures[i] = must_submit(executor, gate_task, &gate);
    }
    gate_await(&gate, 1);
    give_a_chance();
    cr_assert_eq(atomic_load(&gate.arrived), 1);
    cr_assert_eq(stook_executor_resize(executor, 6), STOOK_OK);
    gate_await(&gate, 6);
    gate_open(&gate);
    await_all(futures, 6);
    stook_executor_destroy(executor);
}

Test(resize, shrunk_workers_overlap_no_more_than_they_are)
{
    const int before = thread_count_at_first();
    stook_executor *executor = create_between(6, 6);

    cr_assert(runs_at_once(executor, 6));
    for (int workers = 5; workers >= 1; workers -= 2) {
        cr_assert_eq(stook_executor_resize(executor, (unsigned)workers), STOOK_OK);
        /* A thread that was looking for a task when that happened may take one more. */
        cr_assert(before < 0 || thread_count_becomes(before + workers));
        cr_assert_leq(most_at_once(executor), workers);
        cr_assert(runs_at_once(executor, workers));
    }
    cr_assert_eq(stook_executor_resize(executor, 6), STOOK_OK);
    cr_assert(runs_at_once(executor, 6));
    stook_executor_destroy(executor);
}

struct children {
    stook_executor *executor;
    struct gate submitted;
    struct gate end;
    atomic_int runs;
};

/* Leaves tasks in its worker's deque when that is retired. */
static int leave_children_task(void *arg, void **ret_value)
{
    struct children *children = arg;

    (void)ret_value;
    for (int i = 0; i < 100; i++) {
        MUST(stook_executor_submit(children->executor, count_task, &children->runs, NULL) ==
             STOOK_OK);
    }
    gate_pass(&children->submitted);
    gate_pass(&children->end);
    return 0;
}

Test(resize, what_lies_in_a_retired_workers_deque_is_run_by_the_others)
{
    stook_executor *executor = create_between(2, 2);
    struct children children = {.executor = executor};
    struct gate gate = {0};
    stook_future *other = must_submit(executor, gate_task, &gate);
    gate_await(&gate, 1);
    stook_future *parent = must_submit(executor, leave_children_task, &children);

    gate_await(&children.submitted, 1);
    cr_assert_eq(stook_executor_resize(executor, 1), STOOK_OK);
    gate_open(&children.submitted);
    gate_open(&children.end);
    cr_assert_eq(stook_future_result(parent, NULL), STOOK_OK);
    give_a_chance(); /* its worker retires, with children in its deque */
    gate_open(&gate);
    SPIN_UNTIL(atomic_load(&children.runs) == 100);
    cr_assert_eq(stook_future_result(other, NULL), STOOK_OK);
    stook_future_release(parent);
    stook_future_release(other);
    stook_executor_destroy(executor);
}

struct remaining {
    stook_executor *executor;
    struct gate gate;
    bool waits; /* for a child in its own deque, which another thread must run */
};

static int remaining_task(void *arg, void **ret_value)
{
    struct remaining *remaining = arg;
    atomic_int runs = 0;

    (void)ret_value;
    gate_pass(&remaining->gate);
    if (remaining->waits) {
        stook_future *child = must_submit(remaining->executor, count_task, &runs);
        /* With a deadline it does not run the child itself. */
        MUST(stook_future_wait_until(child, stook_now_ns() + 40 * SECOND) == STOOK_OK);
        stook_future_release(child);
    }
    return 0;
}

Test(resize, the_worker_that_is_left_can_be_lent_whichever_it_is, .timeout = 30)
{
    for (int left = 0; left < 4; left++) {
        stook_executor *executor = create_between(4, 4);
        struct remaining tasks[4];
        stook_future *futures[4];

        for (int i = 0; i < 4; i++) {
            tasks[i] = (struct remaining){.executor = executor, .waits = i == left};
            futures[i] = must_submit(executor, remaining_task, &tasks[i]);
            gate_await(&tasks[i].gate, 1);
        }
        cr_assert_eq(stook_executor_resize(executor, 1), STOOK_OK);
        for (int i = 0; i < 4; i++) {
            if (i != left) {
                gate_open(&tasks[i].gate);
                cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
            }
        }
        give_a_chance(); /* three workers retire */
        gate_open(&tasks[left].gate);
        cr_assert_eq(stook_future_result(futures[left], NULL), STOOK_OK);
        release_all(futures, 4);
        stook_executor_destroy(executor);
    }
}

static int late_blocking_task(void *arg, void **ret_value)
{
    struct gate *gates = arg;

    (void)ret_value;
    gate_pass(&gates[0]);
    stook_task_begin_blocking();
    gate_pass(&gates[1]);
    stook_task_end_blocking();
    return 0;
}

Test(resize, a_worker_that_is_one_too_many_is_retired_when_its_task_blocks)
{
    stook_executor *executor = create_between(2, 2);
    struct gate gate = {0};
    struct gate gates[2] = {{0}, {0}};
    atomic_int runs = 0;
    stook_future *futures[3] = {must_submit(executor, gate_task, &gate),
                                must_submit(executor, late_blocking_task, gates)};

    gate_await(&gate, 1);
    gate_await(&gates[0], 1);
    cr_assert_eq(stook_executor_resize(executor, 1), STOOK_OK);
    gate_open(&gates[0]);
    gate_await(&gates[1], 1);
    futures[2] = must_submit(executor, count_task, &runs);
    for (int i = 0; i < 5; i++) {
        give_a_chance();
    }
    cr_assert_eq(stook_future_state(futures[2]), STOOK_STATE_PENDING);
    gate_open(&gate);
    cr_assert_eq(stook_future_result(futures[2], NULL), STOOK_OK);
    gate_open(&gates[1]);
    await_all(futures, 3);
    stook_executor_destroy(executor);
}

/* All workers of the executor change hands while each waits for the next. */
struct fib {
    stook_executor *executor;
    int n;
};

static int fib_task(void *arg, void **ret_value)
{
    const struct fib *fib = arg;
    struct fib smaller = {fib->executor, fib->n - 1};
    struct fib smallest = {fib->executor, fib->n - 2};
    void *a;
    void *b;

    if (fib->n < 2) {
        *ret_value = (void *)(intptr_t)fib->n;
        return 0;
    }
    stook_future *future = must_submit(fib->executor, fib_task, &smaller);
    stook_future *second = must_submit(fib->executor, fib_task, &smallest);
    MUST(stook_future_result(future, &a) == STOOK_OK);
    /* With a deadline the worker is lent. */
    MUST(stook_future_wait_until(second, stook_now_ns() + 60 * SECOND) == STOOK_OK);
    MUST(stook_future_result(second, &b) == STOOK_OK);
    stook_future_release(future);
    stook_future_release(second);
    *ret_value = (void *)((intptr_t)a + (intptr_t)b);
    return 0;
}

static int resize_thread(void *arg)
{
    struct children *children = arg;
    uint64_t state = 1;

    while (!atomic_load(&children->end.open)) {
        MUST(stook_executor_resize(children->executor, 1 + random_below(&state, 6)) == STOOK_OK);
        if (random_below(&state, 8) == 0) {
            give_a_chance();
        }
    }
    return 0;
}

Test(resize, nothing_is_lost_while_the_number_of_workers_changes_all_the_time, .timeout = 100)
{
    enum { ROUNDS = 10 };
    const int before = thread_count_at_first();
    stook_executor *executor = create_between(6, 6);
    struct children resizes = {.executor = executor};
    thrd_t threads[2];

    for (int i = 0; i < 2; i++) {
        must_start(&threads[i], resize_thread, &resizes);
    }
    for (int round = 0; round < ROUNDS; round++) {
        stook_future *futures[3];
        struct fib fib = {executor, 11};

        for (int i = 0; i < 3; i++) {
            futures[i] = must_submit(executor, fib_task, &fib);
        }
        for (int i = 0; i < 3; i++) {
            void *value = NULL;

            cr_assert_eq(stook_future_result(futures[i], &value), STOOK_OK);
            cr_assert_eq((intptr_t)value, 89);
        }
        release_all(futures, 3);
        (void)most_at_once(executor);
    }
    gate_open(&resizes.end);
    for (int i = 0; i < 2; i++) {
        thrd_join(threads[i], NULL);
    }
    for (unsigned workers = 6; workers >= 1; workers--) {
        cr_assert_eq(stook_executor_resize(executor, workers), STOOK_OK);
        cr_assert(runs_at_once(executor, (int)workers));
    }
    cr_assert(before < 0 || thread_count_becomes(before + 1));
    stook_executor_destroy(executor);
}

Test(resize, an_executor_that_was_resized_while_it_worked_ends_like_any_other)
{
    uint64_t state = 1;

    for (int round = 0; round < 1000; round++) {
        stook_executor *executor = create_between(1 + (unsigned)round % 4, 4);
        atomic_int runs = 0;

        cr_assert_eq(stook_executor_submit_many(executor, NULL, count_task, &runs, 50, 0, NULL),
                     STOOK_OK);
        SPIN_UNTIL(atomic_load(&runs) >= (int)random_below(&state, 51));
        cr_assert_eq(stook_executor_resize(executor, 1 + (unsigned)round / 4 % 4), STOOK_OK);
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&runs), 50);
    }
}

/* The second worker is made one too many while its thread has just found nothing to do. */
Test(resize, the_end_waits_for_a_worker_that_is_one_too_many)
{
    for (int round = 0; round < 500; round++) {
        stook_executor *executor = create_between(2, 2);
        struct gate gate = {0};
        atomic_int runs = 0;

        cr_assert_eq(stook_executor_submit(executor, gate_task, &gate, NULL), STOOK_OK);
        gate_await(&gate, 1);
        cr_assert_eq(stook_executor_submit(executor, count_task, &runs, NULL), STOOK_OK);
        while (atomic_load(&runs) == 0) {
        }
        cr_assert_eq(stook_executor_resize(executor, 1), STOOK_OK);
        cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, 0), STOOK_TIMEOUT);
        gate_open(&gate);
        stook_executor_destroy(executor);
    }
}

struct inside {
    stook_executor *executor;
    struct gate gate;
    atomic_int runs;
};

/* Shrinks below what runs, and grows again, while the other task holds its worker. */
static int resize_inside_task(void *arg, void **ret_value)
{
    struct inside *inside = arg;

    (void)ret_value;
    MUST(stook_executor_resize(inside->executor, 1) == STOOK_OK); /* waits for nobody */
    MUST(stook_executor_worker_count(inside->executor) == 1);
    for (int i = 0; i < 50; i++) {
        stook_future *child = must_submit(inside->executor, count_task, &inside->runs);
        MUST(stook_future_result(child, NULL) == STOOK_OK);
        stook_future_release(child);
    }
    MUST(stook_executor_resize(inside->executor, 4) == STOOK_OK);
    MUST(stook_executor_resize(inside->executor, 3) == STOOK_OK);
    MUST(stook_executor_worker_count(inside->executor) == 3);
    return 0;
}

Test(resize, a_task_resizes_its_own_executor, .timeout = 60)
{
    struct inside inside = {.executor = create_between(2, 4)};
    struct gate gate = {0};
    stook_future *other = must_submit(inside.executor, gate_task, &gate);
    gate_await(&gate, 1);
    stook_future *resizing = must_submit(inside.executor, resize_inside_task, &inside);

    cr_assert_eq(stook_future_result(resizing, NULL), STOOK_OK);
    cr_assert_eq(atomic_load(&inside.runs), 50);
    cr_assert_eq(stook_future_state(other), STOOK_STATE_RUNNING);
    gate_open(&gate);
    cr_assert_eq(stook_future_result(other, NULL), STOOK_OK);
    cr_assert(runs_at_once(inside.executor, 3));
    cr_assert_leq(most_at_once(inside.executor), 3);
    stook_future_release(resizing);
    stook_future_release(other);
    stook_executor_destroy(inside.executor);
}

static int resize_when_closed_task(void *arg, void **ret_value)
{
    struct inside *inside = arg;

    (void)ret_value;
    gate_pass(&inside->gate);
    MUST(stook_executor_resize(inside->executor, 1) == STOOK_SHUTDOWN);
    MUST(stook_executor_resize(inside->executor, 4) == STOOK_SHUTDOWN);
    return 0;
}

Test(resize, a_task_cannot_resize_an_executor_that_is_closed)
{
    struct inside inside = {.executor = create_between(2, 4)};
    stook_future *future = must_submit(inside.executor, resize_when_closed_task, &inside);

    gate_await(&inside.gate, 1);
    cr_assert_eq(stook_executor_shutdown(inside.executor, STOOK_DRAIN, 0), STOOK_TIMEOUT);
    gate_open(&inside.gate);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    cr_assert_eq(stook_executor_worker_count(inside.executor), 2);
    stook_future_release(future);
    stook_executor_destroy(inside.executor);
}

/* Resizes in tasks and in two threads, while tasks arrive; the number of the last one is left. */
static int random_resize_task(void *arg, void **ret_value)
{
    struct children *children = arg;
    unsigned workers = 1 + (unsigned)atomic_fetch_add(&children->submitted.arrived, 1) % 6;

    (void)ret_value;
    MUST(stook_executor_resize(children->executor, workers) == STOOK_OK);
    atomic_fetch_add(&children->runs, 1); /* last: no resize of these is under way any more */
    return 0;
}

Test(resize, tasks_that_arrive_while_several_resize_are_all_run, .timeout = 100)
{
    enum { TASKS = 2000 };
    stook_executor *executor = create_between(3, 6);
    struct children resizes = {.executor = executor};
    thrd_t threads[2];

    for (int i = 0; i < 2; i++) {
        must_start(&threads[i], resize_thread, &resizes);
    }
    for (int i = 0; i < TASKS; i++) {
        cr_assert_eq(stook_executor_submit(executor, random_resize_task, &resizes, NULL), STOOK_OK);
    }
    SPIN_UNTIL(atomic_load(&resizes.runs) == TASKS);
    gate_open(&resizes.end);
    for (int i = 0; i < 2; i++) {
        thrd_join(threads[i], NULL);
    }
    stook_future *last = must_submit(executor, count_task, &resizes.runs);
    cr_assert_eq(stook_future_result(last, NULL), STOOK_OK);
    stook_future_release(last);
    for (unsigned workers = 1; workers <= 6; workers++) {
        cr_assert_eq(stook_executor_resize(executor, workers), STOOK_OK);
        cr_assert_eq(stook_executor_worker_count(executor), workers);
        cr_assert(runs_at_once(executor, (int)workers));
    }
    stook_executor_destroy(executor);
}
