/* SPDX-License-Identifier: MIT
 *
 * The blocking map: values in input order, each item once, which failure is told, maps in tasks and
 * from several threads, and on an executor that is shut down meanwhile.
 */
#include "check.h"
#include "group_support.h"
#include "workers_support.h"

enum { ITEMS = 20000 };

struct item {
    unsigned input;
    unsigned output;
    int code;
    bool value_on_entry;
    atomic_int runs;
};

static int item_task(void *arg, void **ret_value)
{
    struct item *item = arg;

    atomic_fetch_add(&item->runs, 1);
    item->value_on_entry = *ret_value != NULL;
    item->output = item->input * 3 + 1;
    *ret_value = item;
    return item->code;
}

static struct item *new_items(size_t count)
{
    struct item *items = calloc(count, sizeof *items);

    MUST(items != NULL);
    for (size_t i = 0; i < count; i++) {
        items[i].input = (unsigned)i;
    }
    return items;
}

/* Maps count items; all values must be there, in input order. */
static void must_map(stook_executor *executor, size_t count)
{
    struct item *items = new_items(count);
    void **values = calloc(count, sizeof *values);

    MUST(values != NULL);
    MUST(stook_executor_map(executor, item_task, items, count, sizeof items[0], values, NULL) ==
         STOOK_OK);
    for (size_t i = 0; i < count; i++) {
        MUST(values[i] == &items[i]);
        MUST(items[i].output == (unsigned)i * 3 + 1);
        MUST(atomic_load(&items[i].runs) == 1);
        MUST(!items[i].value_on_entry);
    }
    free(values);
    free(items);
}

Test(map, values_come_in_input_order_and_each_item_is_called_once, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        stook_executor *executor = must_create(workers);

        for (size_t count = 1; count <= 70; count++) {
            must_map(executor, count);
        }
        must_map(executor, 1000);
        must_map(executor, ITEMS);
        stook_executor_destroy(executor);
    }
}

Test(map, count_0_calls_nothing, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct item item = {0};
    void *values[1] = {&item};

    cr_assert_eq(stook_executor_map(executor, item_task, &item, 0, sizeof item, values, NULL),
                 STOOK_OK);
    cr_assert_eq(stook_executor_map(executor, item_task, NULL, 0, 0, NULL, NULL), STOOK_OK);
    cr_assert_eq(values[0], &item);
    cr_assert_eq(atomic_load(&item.runs), 0);
    stook_executor_destroy(executor);
}

Test(map, without_values_and_with_size_0, .timeout = 60)
{
    stook_executor *executor = must_create(3);
    atomic_int runs = 0;

    cr_assert_eq(stook_executor_map(executor, count_task, &runs, ITEMS, 0, NULL, NULL), STOOK_OK);
    cr_assert_eq(atomic_load(&runs), ITEMS);
    stook_executor_destroy(executor);
}

Test(map, B22_bad_arguments_are_refused_and_nothing_is_written, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct item item = {0};
    void *values[1] = {&item};
    struct stook_map_error error = {77, 78};

    cr_assert_eq(stook_executor_map(executor, NULL, &item, 1, sizeof item, values, &error),
                 STOOK_INVALID);
    cr_assert_eq(stook_executor_map(NULL, item_task, &item, 1, sizeof item, values, &error),
                 STOOK_INVALID);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(stook_executor_map(executor, item_task, &item, 1, sizeof item, values, &error),
                 STOOK_SHUTDOWN);
    cr_assert_eq(values[0], &item);
    cr_assert_eq(error.index, 77u);
    cr_assert_eq(error.code, 78);
    cr_assert_eq(atomic_load(&item.runs), 0);
    stook_executor_destroy(executor);
}

/* Items `first`, and others behind it, fail, each with a code of its own. */
static void expect_first_failure(stook_executor *executor, size_t count, size_t first)
{
    struct item *items = new_items(count);
    void **values = calloc(count, sizeof *values);
    struct stook_map_error error = {0, 0};

    cr_assert_not_null(values);
    for (size_t i = first; i < count; i += 1 + i % 7) {
        items[i].code = 1000 + (int)i;
    }
    for (size_t i = 0; i < count; i++) {
        values[i] = &error;
    }
    cr_assert_eq(
        stook_executor_map(executor, item_task, items, count, sizeof items[0], values, &error),
        STOOK_TASK_FAILED);
    cr_assert_eq(error.index, first);
    cr_assert_eq(error.code, 1000 + (int)first);
    for (size_t i = 0; i < count; i++) {
        const int runs = atomic_load(&items[i].runs);

        cr_assert(runs == 1 || (runs == 0 && i > first), "item %zu: %d runs", i, runs);
        cr_assert_eq(values[i], runs == 1 ? &items[i] : NULL, "item %zu", i);
    }
    free(values);
    free(items);
}

Test(map, the_first_failure_in_input_order_is_told_every_time, .timeout = 120)
{
    for (unsigned workers = 1; workers <= 4; workers += 3) {
        stook_executor *executor = must_create(workers);
        uint64_t random = 7;

        for (int round = 0; round < 100; round++) {
            const size_t count = 1 + random_below(&random, 2000);

            expect_first_failure(executor, count, random_below(&random, (unsigned)count));
        }
        expect_first_failure(executor, ITEMS, 0);
        expect_first_failure(executor, ITEMS, ITEMS - 1);
        must_map(executor, 100);
        stook_executor_destroy(executor);
    }
}

Test(map, a_failure_is_told_also_when_nobody_asks_which_or_for_values, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct item *items = new_items(100);

    items[50].code = -1;
    cr_assert_eq(stook_executor_map(executor, item_task, items, 100, sizeof items[0], NULL, NULL),
                 STOOK_TASK_FAILED);
    for (int i = 0; i <= 50; i++) {
        cr_assert_eq(atomic_load(&items[i].runs), 1);
    }
    free(items);
    stook_executor_destroy(executor);
}

struct nested {
    stook_executor *executor;
    size_t count;
};

static int nested_task(void *arg, void **ret_value)
{
    const struct nested *nested = arg;

    (void)ret_value;
    must_map(nested->executor, nested->count);
    return 0;
}

Test(map, in_a_task_on_its_own_executor, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        struct nested nested = {must_create(workers), 500};
        stook_future *futures[8];

        cr_assert_eq(
            stook_executor_submit_many(nested.executor, NULL, nested_task, &nested, 8, 0, futures),
            STOOK_OK);
        for (int i = 0; i < 8; i++) {
            cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
        }
        release_all(futures, 8);
        stook_executor_destroy(nested.executor);
    }
}

Test(map, in_a_map, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        struct nested nested = {must_create(workers), 64};

        cr_assert_eq(stook_executor_map(nested.executor, nested_task, &nested, 64, 0, NULL, NULL),
                     STOOK_OK);
        stook_executor_destroy(nested.executor);
    }
}

static int map_thread(void *arg)
{
    for (size_t i = 0; i < 20; i++) {
        must_map(arg, 1 + i * 50);
    }
    return 0;
}

Test(map, from_several_threads_on_one_executor, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    thrd_t threads[4];

    for (int i = 0; i < 4; i++) {
        must_start(&threads[i], map_thread, executor);
    }
    for (int i = 0; i < 4; i++) {
        thrd_join(threads[i], NULL);
    }
    stook_executor_destroy(executor);
}

/* A map in another thread, whose first item stays in a gate. */
struct stuck {
    stook_executor *executor;
    struct gate gate;
    struct item *items;
    void *values[ITEMS];
    enum stook_status status;
};

static struct stuck stuck;

static int stuck_item_task(void *arg, void **ret_value)
{
    if (arg == stuck.items) {
        gate_pass(&stuck.gate);
    }
    return item_task(arg, ret_value);
}

static int stuck_thread(void *arg)
{
    (void)arg;
    stuck.status = stook_executor_map(stuck.executor, stuck_item_task, stuck.items, ITEMS,
                                      sizeof stuck.items[0], stuck.values, NULL);
    return 0;
}

static int runs_of_stuck_map(enum stook_shutdown_mode mode)
{
    thrd_t thread;
    int runs = 0;

    stuck.executor = must_create(1);
    stuck.items = new_items(ITEMS);
    must_start(&thread, stuck_thread, NULL);
    gate_await(&stuck.gate, 1);
    cr_assert_eq(stook_executor_shutdown(stuck.executor, mode, 0), STOOK_TIMEOUT);
    gate_open(&stuck.gate);
    thrd_join(thread, NULL);
    stook_executor_destroy(stuck.executor);
    for (int i = 0; i < ITEMS; i++) {
        runs += atomic_load(&stuck.items[i].runs);
    }
    free(stuck.items);
    return runs;
}

Test(map, B36_under_way_when_its_executor_is_cancelled_ends_and_says_so, .timeout = 60)
{
    const int runs = runs_of_stuck_map(STOOK_CANCEL_PENDING);

    cr_assert_eq(stuck.status, STOOK_CANCELLED);
    cr_assert_geq(runs, 1);
    cr_assert_lt(runs, (int)ITEMS);
}

Test(map, B35_under_way_when_its_executor_is_drained_is_done_in_full, .timeout = 60)
{
    const int runs = runs_of_stuck_map(STOOK_DRAIN);

    cr_assert_eq(stuck.status, STOOK_OK);
    cr_assert_eq(runs, (int)ITEMS);
    cr_assert_not_null(stuck.values[ITEMS - 1]);
}

Test(map, items_behind_a_failure_are_left_out, .timeout = 60)
{
    enum { COUNT = 1000 };
    stook_executor *executor = must_create(1); /* so that chunks are begun in input order */
    struct item *items = new_items(COUNT);
    void *values[COUNT];
    struct stook_map_error error;

    items[0].code = 5;
    cr_assert_eq(
        stook_executor_map(executor, item_task, items, COUNT, sizeof items[0], values, &error),
        STOOK_TASK_FAILED);
    cr_assert_eq(error.index, 0);
    cr_assert_eq(error.code, 5);
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(atomic_load(&items[i].runs), i == 0);
        cr_assert_eq(values[i], i == 0 ? &items[0] : NULL);
    }
    free(items);
    stook_executor_destroy(executor);
}

struct cancelled_map {
    stook_executor *executor;
    stook_future *awaited; /* by the first item */
    struct gate gate;      /* of the last item, which fails */
    atomic_int calls;
};

struct cancelled_item {
    struct cancelled_map *map;
    bool is_first;
    bool is_last;
};

static int wait_or_fail(void *arg, void **ret_value)
{
    const struct cancelled_item *item = arg;

    (void)ret_value;
    atomic_fetch_add(&item->map->calls, 1);
    if (item->is_first) {
        MUST(stook_future_result(item->map->awaited, NULL) == STOOK_OK);
    }
    if (item->is_last) {
        gate_pass(&item->map->gate);
    }
    return item->is_last;
}

static int cancelled_map_task(void *arg, void **ret_value)
{
    enum { COUNT = 8 };
    struct cancelled_map *map = arg;
    struct cancelled_item items[COUNT];
    struct stook_map_error error = {99, 99};

    (void)ret_value;
    for (int i = 0; i < COUNT; i++) {
        items[i] = (struct cancelled_item){map, i == 0, i == COUNT - 1};
    }
    MUST(stook_executor_map(map->executor, wait_or_fail, items, COUNT, sizeof items[0], NULL,
                            &error) == STOOK_CANCELLED);
    MUST(error.index == 99);
    return 0;
}

/* On one worker: the first item runs in place and lends it, the last item comes next and is held,
 * the others are cancelled. The last one's failure is not the first in input order, and not told.
 */
Test(map, B36_a_failure_behind_items_that_were_cancelled_is_not_told_as_the_first, .timeout = 60)
{
    struct cancelled_map map = {.executor = must_create(1)};
    stook_executor *other = must_create(1);
    struct gate awaited = {0};

    map.awaited = must_submit(other, gate_task, &awaited);
    stook_future *future = must_submit(map.executor, cancelled_map_task, &map);
    gate_await(&map.gate, 1);
    cr_assert_eq(stook_executor_shutdown(map.executor, STOOK_CANCEL_PENDING, 0), STOOK_TIMEOUT);
    gate_open(&map.gate);
    gate_open(&awaited);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    cr_assert_eq(atomic_load(&map.calls), 2);
    stook_future_release(future);
    stook_future_release(map.awaited);
    stook_executor_destroy(map.executor);
    stook_executor_destroy(other);
}

/* A map whose item waits for a task that has no turn before the one that maps has ended. */
struct circle {
    stook_executor *executor;
    stook_future *behind;
    struct gate submitted;
    thrd_t mapper;
    atomic_bool waits;
    atomic_int ended; /* items */
    enum stook_status status;
    int ended_first; /* before the map returned */
};

/* The first one lets a second worker take the other, and then time to wait first. */
static int circle_item(void *arg, void **ret_value)
{
    struct circle *circle = arg;

    (void)ret_value;
    if (thrd_equal(thrd_current(), circle->mapper)) {
        MUST(stook_executor_resize(circle->executor, 2) == STOOK_OK);
        SPIN_UNTIL(atomic_load(&circle->waits));
        for (int i = 0; i < 5; i++) {
            give_a_chance();
        }
    } else {
        atomic_store(&circle->waits, true);
        /* DEADLOCK if the map was faster, and waits already */
        enum stook_status status = stook_future_wait_until(circle->behind, STOOK_FOREVER);
        MUST(status == STOOK_OK || status == STOOK_DEADLOCK);
    }
    atomic_fetch_add(&circle->ended, 1);
    return 0;
}

static int circle_task(void *arg, void **ret_value)
{
    struct circle *circle = arg;

    (void)ret_value;
    gate_pass(&circle->submitted);
    circle->mapper = thrd_current();
    circle->status = stook_executor_map(circle->executor, circle_item, circle, 2, 0, NULL, NULL);
    circle->ended_first = atomic_load(&circle->ended);
    return 0;
}

/* Items that run use what the caller has lent them, so it may not return before them. */
Test(map, a_map_does_not_leave_its_items_behind_where_they_wait_for_it, .timeout = 60)
{
    struct circle circle = {.executor = create_between(1, 2)};
    stook_scope *scope = must_scope_with(circle.executor, NULL, 1, true);
    atomic_int runs = 0;
    stook_future *future = must_submit_in(circle.executor, scope, circle_task, &circle);

    circle.behind = must_submit_in(circle.executor, scope, count_task, &runs);
    gate_open(&circle.submitted);
    SPIN_UNTIL(atomic_load(&circle.waits));
    for (int i = 0; i < 20; i++) {
        give_a_chance(); /* for the map to wait, too */
    }
    (void)stook_future_cancel(circle.behind);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    cr_assert_eq(circle.status, STOOK_OK);
    cr_assert_eq(circle.ended_first, 2);
    stook_future_release(circle.behind);
    stook_future_release(future);
    stook_scope_destroy(scope);
    stook_executor_destroy(circle.executor);
}
