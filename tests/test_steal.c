/* SPDX-License-Identifier: MIT
 *
 * How much a thief takes, and that what was taken together keeps its order and is not forgotten.
 */
#include "check.h"
#include "support.h"

enum { MOST = 1000 };

struct bag {
    stook_executor *executor;
    int count;
    struct gate thief;  /* holds the first task of the bag that begins */
    struct gate parent; /* holds the one that filled it */
    atomic_int begun;
    atomic_int order[MOST]; /* number of the task that was the n-th to begin */
    struct item {
        struct bag *bag;
        int number;
    } items[MOST];
};

static int item_task(void *arg, void **ret_value)
{
    struct item *item = arg;
    int place = atomic_fetch_add(&item->bag->begun, 1);

    (void)ret_value;
    atomic_store(&item->bag->order[place], item->number);
    if (place == 0) {
        gate_pass(&item->bag->thief);
    }
    return 0;
}

static int fill_task(void *arg, void **ret_value)
{
    struct bag *bag = arg;

    (void)ret_value;
    MUST(stook_executor_submit_many(bag->executor, NULL, item_task, bag->items, (size_t)bag->count,
                                    sizeof(struct item), NULL) == STOOK_OK);
    gate_pass(&bag->parent);
    return 0;
}

static void bag_init(struct bag *bag, int count, unsigned workers)
{
    *bag = (struct bag){.executor = must_create(workers), .count = count};
    for (int i = 0; i < count; i++) {
        bag->items[i] = (struct item){bag, i};
    }
}

/* What lies in the deque of the thread that stole, while the first stolen task runs. */
static size_t stolen_by_one(struct bag *bag, int count)
{
    struct stook_stats stats = STOOK_STATS_INIT;
    struct stook_worker_stats workers[2];
    size_t stolen = 0;

    bag_init(bag, count, 2);
    stook_future *future = must_submit(bag->executor, fill_task, bag);
    gate_await(&bag->thief, 1);
    gate_await(&bag->parent, 1);
    cr_assert_eq(stook_executor_stats(bag->executor, &stats, workers, 2), STOOK_OK);
    for (int i = 0; i < 2; i++) {
        if (workers[i].stolen > 0) {
            stolen = workers[i].stolen;
            cr_assert_eq(workers[i].queue_depth, stolen - 1);
            cr_assert_eq(workers[1 - i].queue_depth, (size_t)count - stolen);
        }
    }
    cr_assert_eq(atomic_load(&bag->order[0]), 0, "the oldest goes first");
    gate_open(&bag->thief);
    /* the thief goes on alone; nothing of what it took has been lost, or run twice */
    SPIN_UNTIL(atomic_load(&bag->begun) == count);
    gate_open(&bag->parent);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(bag->executor);
    cr_assert_eq(atomic_load(&bag->begun), count);
    return stolen;
}

Test(steal, B65_a_thief_takes_several_of_many_but_not_more_than_half, .timeout = 60)
{
    static struct bag bag;

    cr_assert_eq(stolen_by_one(&bag, 1000), 32);
    /* in the order in which the victim would have been robbed of them, until an old one goes first */
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(atomic_load(&bag.order[i]), i);
    }
    cr_assert_eq(stolen_by_one(&bag, 65), 32);
    cr_assert_eq(stolen_by_one(&bag, 20), 1);
    cr_assert_eq(stolen_by_one(&bag, 1), 1);
}

/* Tasks from outside that one worker takes together come in their order, also beyond the number
 * that is taken at once and the moments at which old tasks go first. */
Test(steal, one_worker_begins_outside_tasks_in_their_order, .timeout = 60)
{
    static struct bag bag;
    struct gate gate = {0};

    bag_init(&bag, MOST, 1);
    gate_open(&bag.thief);
    stook_future *holder = must_submit(bag.executor, gate_task, &gate);
    gate_await(&gate, 1);
    for (int i = 0; i < MOST; i++) {
        MUST(stook_executor_submit(bag.executor, item_task, &bag.items[i], NULL) == STOOK_OK);
    }
    gate_open(&gate);
    stook_future_release(holder);
    stook_executor_destroy(bag.executor);
    for (int i = 0; i < MOST; i++) {
        cr_assert_eq(atomic_load(&bag.order[i]), i);
    }
}

struct flood {
    stook_executor *executor;
    struct gate first;
    atomic_bool stop;
    atomic_int passed; /* tasks of the first few that have run */
};

static int hold_task(void *arg, void **ret_value)
{
    struct flood *flood = arg;

    (void)ret_value;
    gate_pass(&flood->first);
    return 0;
}

static int pass_task(void *arg, void **ret_value)
{
    struct flood *flood = arg;

    (void)ret_value;
    atomic_fetch_add(&flood->passed, 1);
    return 0;
}

static int drop_task(void *arg, void **ret_value)
{
    (void)arg;
    (void)ret_value;
    return 0;
}

static int submit_for_ever(void *arg)
{
    struct flood *flood = arg;

    while (!atomic_load(&flood->stop)) {
        struct stook_stats stats = STOOK_STATS_INIT;
        for (int i = 0; i < 500; i++) {
            MUST(stook_executor_submit(flood->executor, drop_task, NULL, NULL) == STOOK_OK);
        }
        do { /* never too few, never without bound */
            MUST(stook_executor_stats(flood->executor, &stats, NULL, 0) == STOOK_OK);
        } while (stats.pending > 100000 && !atomic_load(&flood->stop));
    }
    return 0;
}

/* What was taken together with a task that then runs for long is found by others, though they never
 * find the common queue empty. */
Test(steal, what_lies_behind_a_long_task_is_not_passed_over_for_ever, .timeout = 60)
{
    enum { FEW = 300 };
    struct flood flood = {.executor = must_create(2)};
    struct gate gate = {0};
    thrd_t submitter;

    for (int i = 0; i < 2; i++) {
        MUST(stook_executor_submit(flood.executor, gate_task, &gate, NULL) == STOOK_OK);
    }
    gate_await(&gate, 2);
    MUST(stook_executor_submit(flood.executor, hold_task, &flood, NULL) == STOOK_OK);
    for (int i = 0; i < FEW; i++) {
        MUST(stook_executor_submit(flood.executor, pass_task, &flood, NULL) == STOOK_OK);
    }
    must_start(&submitter, submit_for_ever, &flood);
    gate_open(&gate);
    SPIN_UNTIL(atomic_load(&flood.passed) == FEW);
    atomic_store(&flood.stop, true);
    gate_open(&flood.first);
    thrd_join(submitter, NULL);
    stook_executor_destroy(flood.executor);
}
