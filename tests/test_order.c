/* SPDX-License-Identifier: MIT
 *
 * Which task a worker takes next, that none is passed over for ever, and that sleepers wake soon.
 * Orders of outside tasks are in test_submit.c, the deque by itself in test_deque.c.
 */
#include <stdlib.h>

#include "check.h"
#include "support.h"

/* --- exact orders ----------------------------------------------------------------------------- */

enum { CHILDREN = 25 }; /* fewer than pass before an old task goes first */

struct family {
    stook_executor *executor;
    struct gate gate;
    bool in_bulk;
    atomic_int next;
    int begun[CHILDREN]; /* plain: by one thread */
    struct child {
        struct family *family;
        int number;
    } children[CHILDREN];
};

static int child_task(void *arg, void **ret_value)
{
    struct child *child = arg;
    struct family *family = child->family;

    (void)ret_value;
    family->begun[atomic_load(&family->next)] = child->number;
    atomic_fetch_add(&family->next, 1);
    return 0;
}

/* Submits its children and stays in the gate, with its worker. */
static int parent_task(void *arg, void **ret_value)
{
    struct family *family = arg;

    (void)ret_value;
    if (family->in_bulk) {
        MUST(stook_executor_submit_many(family->executor, NULL, child_task, family->children,
                                        CHILDREN, sizeof family->children[0], NULL) == STOOK_OK);
    } else {
        for (int i = 0; i < CHILDREN; i++) {
            MUST(stook_executor_submit(family->executor, child_task, &family->children[i], NULL) ==
                 STOOK_OK);
        }
    }
    gate_pass(&family->gate);
    return 0;
}

static stook_future *start_family(struct family *family, unsigned workers, bool in_bulk)
{
    *family = (struct family){.executor = must_create(workers), .in_bulk = in_bulk};
    for (int i = 0; i < CHILDREN; i++) {
        family->children[i] = (struct child){family, i};
    }
    return must_submit(family->executor, parent_task, family);
}

Test(order, B56_the_only_worker_takes_its_newest_task_first, .timeout = 60)
{
    for (int in_bulk = 0; in_bulk <= 1; in_bulk++) {
        struct family family;
        stook_future *parent = start_family(&family, 1, in_bulk != 0);

        gate_open(&family.gate);
        SPIN_UNTIL(atomic_load(&family.next) == CHILDREN);
        stook_future_release(parent);
        stook_executor_destroy(family.executor);
        for (int i = 0; i < CHILDREN; i++) {
            cr_assert_eq(family.begun[i], CHILDREN - 1 - i);
        }
    }
}

Test(order, B56_a_thief_takes_the_oldest_task_first, .timeout = 60)
{
    for (int in_bulk = 0; in_bulk <= 1; in_bulk++) {
        struct family family;
        stook_future *parent = start_family(&family, 2, in_bulk != 0);

        SPIN_UNTIL(atomic_load(&family.next) == CHILDREN);
        gate_open(&family.gate);
        stook_future_release(parent);
        stook_executor_destroy(family.executor);
        for (int i = 0; i < CHILDREN; i++) {
            cr_assert_eq(family.begun[i], i);
        }
    }
}

/* --- nobody starves --------------------------------------------------------------------------- */

/* Two tasks that submit each other, until a third one has run or it is clear that it never will. */
enum { MOST_TURNS = 20000, SOON = 1000, OUTSIDE = 5000 };

enum third { FROM_OUTSIDE, OWN, OWN_BEHIND_OUTSIDE };

struct pair {
    stook_executor *executor;
    enum third third;
    struct gate gate;
    atomic_int turns, turns_before_third; /* the latter: -1 until it has begun */
    atomic_int outside;
    atomic_bool over;
    bool is_started; /* plain: one worker */
};

static int third_task(void *arg, void **ret_value)
{
    struct pair *pair = arg;

    (void)ret_value;
    atomic_store(&pair->turns_before_third, atomic_load(&pair->turns));
    return 0;
}

static int pong_task(void *arg, void **ret_value);

static int ping_task(void *arg, void **ret_value)
{
    struct pair *pair = arg;

    (void)ret_value;
    if (!pair->is_started) {
        pair->is_started = true;
        gate_pass(&pair->gate);
        if (pair->third != FROM_OUTSIDE) {
            MUST(stook_executor_submit(pair->executor, third_task, pair, NULL) == STOOK_OK);
        }
    }
    if (atomic_load(&pair->turns_before_third) < 0 &&
        atomic_fetch_add(&pair->turns, 1) < MOST_TURNS) {
        MUST(stook_executor_submit(pair->executor, pong_task, pair, NULL) == STOOK_OK);
    } else {
        atomic_store(&pair->over, true);
    }
    return 0;
}

static int pong_task(void *arg, void **ret_value)
{
    struct pair *pair = arg;

    (void)ret_value;
    MUST(stook_executor_submit(pair->executor, ping_task, pair, NULL) == STOOK_OK);
    return 0;
}

static void expect_third_soon(enum third third)
{
    struct pair pair = {.executor = must_create(1), .third = third};

    atomic_store(&pair.turns_before_third, -1);
    cr_assert_eq(stook_executor_submit(pair.executor, ping_task, &pair, NULL), STOOK_OK);
    gate_await(&pair.gate, 1);
    if (third == FROM_OUTSIDE) {
        cr_assert_eq(stook_executor_submit(pair.executor, third_task, &pair, NULL), STOOK_OK);
    } else if (third == OWN_BEHIND_OUTSIDE) {
        cr_assert_eq(stook_executor_submit_many(pair.executor, NULL, count_task, &pair.outside,
                                                OUTSIDE, 0, NULL),
                     STOOK_OK);
    }
    gate_open(&pair.gate);
    SPIN_UNTIL(atomic_load(&pair.over));
    const int turns = atomic_load(&pair.turns_before_third);
    stook_executor_destroy(pair.executor);
    cr_assert_geq(turns, 0, "it had not begun after %d turns", MOST_TURNS);
    cr_assert_leq(turns, SOON);
    cr_assert_eq(atomic_load(&pair.outside), third == OWN_BEHIND_OUTSIDE ? OUTSIDE : 0);
}

Test(order, B57_two_tasks_that_submit_each_other_do_not_starve_one_from_outside, .timeout = 60)
{
    expect_third_soon(FROM_OUTSIDE);
}

Test(order, B57_two_tasks_that_submit_each_other_do_not_starve_an_older_one, .timeout = 60)
{
    expect_third_soon(OWN);
}

/* The queue of outside tasks stays full all the while. */
Test(order, B57_nor_does_that_starve_when_many_wait_outside, .timeout = 60)
{
    expect_third_soon(OWN_BEHIND_OUTSIDE);
}

enum { WORKERS = 4 };

struct feeding {
    stook_executor *executor;
    atomic_int threads;
    atomic_int submitted, ended;
};

static int fed_task(void *arg, void **ret_value)
{
    static _Thread_local bool was_here;
    struct feeding *feeding = arg;

    (void)ret_value;
    if (!was_here) {
        was_here = true;
        atomic_fetch_add(&feeding->threads, 1);
    }
    atomic_fetch_add(&feeding->ended, 1);
    return 0;
}

/* Submits until every other worker has run one; never more than a few that nobody has taken. */
static int feeding_task(void *arg, void **ret_value)
{
    struct feeding *feeding = arg;

    (void)ret_value;
    while (atomic_load(&feeding->threads) < WORKERS - 1) {
        MUST(stook_executor_submit(feeding->executor, fed_task, feeding, NULL) == STOOK_OK);
        const int submitted = atomic_fetch_add(&feeding->submitted, 1) + 1;
        SPIN_UNTIL(submitted - atomic_load(&feeding->ended) < WORKERS);
    }
    return 0;
}

Test(order, B58_every_thief_gets_something, .timeout = 60)
{
    struct feeding feeding = {.executor = must_create(WORKERS)};
    stook_future *future = must_submit(feeding.executor, feeding_task, &feeding);

    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(feeding.executor);
    cr_assert_eq(atomic_load(&feeding.ended), atomic_load(&feeding.submitted));
}

/* --- latency ---------------------------------------------------------------------------------- */

enum { SAMPLES = 21 };

static int compare_times(const void *a, const void *b)
{
    const int64_t left = *(const int64_t *)a;
    const int64_t right = *(const int64_t *)b;

    return (left > right) - (left < right);
}

static int64_t median(int64_t times[SAMPLES])
{
    qsort(times, SAMPLES, sizeof times[0], compare_times);
    return times[SAMPLES / 2];
}

static int stamp_task(void *arg, void **ret_value)
{
    (void)ret_value;
    *(int64_t *)arg = stook_now_ns();
    return 0;
}

static int gate_and_stamp_task(void *arg, void **ret_value)
{
    struct gate *gate = arg;
    static int64_t stamp;

    gate_pass(gate);
    stamp = stook_now_ns();
    *ret_value = &stamp;
    return 0;
}

static int open_later_thread(void *arg)
{
    give_a_chance();
    gate_open(arg);
    return 0;
}

/* Some ten microseconds are usual; polling would show. */
Test(order, B60_a_sleeping_worker_begins_soon, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    int64_t times[SAMPLES];

    for (int i = 0; i < SAMPLES; i++) {
        int64_t begun = 0;

        give_a_chance();
        const int64_t submitted = stook_now_ns();
        stook_future *future = must_submit(executor, stamp_task, &begun);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        stook_future_release(future);
        times[i] = begun - submitted;
    }
    cr_assert_lt(median(times), SECOND / 10);
    stook_executor_destroy(executor);
}

Test(order, B60_a_sleeping_waiter_goes_on_soon, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    int64_t times[SAMPLES];

    for (int i = 0; i < SAMPLES; i++) {
        struct gate gate = {0};
        void *ended = NULL;
        thrd_t thread;
        stook_future *future = must_submit(executor, gate_and_stamp_task, &gate);

        must_start(&thread, open_later_thread, &gate);
        cr_assert_eq(stook_future_result(future, &ended), STOOK_OK);
        times[i] = stook_now_ns() - *(int64_t *)ended;
        stook_future_release(future);
        thrd_join(thread, NULL);
    }
    cr_assert_lt(median(times), SECOND / 10);
    stook_executor_destroy(executor);
}
