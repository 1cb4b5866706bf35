/* SPDX-License-Identifier: MIT
 *
 * Tasks that wait for tasks: recursion, chains, graphs in which a pool that runs anything on top of
 * a waiter would deadlock though the graph has no cycle, locks held across a wait, and executors
 * that wait for each other.
 */
#include "check.h"
#include "support.h"

struct fib {
    stook_executor *executor;
    unsigned n;
    unsigned result; /* plain: seen through the future */
};

static int fib_task(void *arg, void **ret_value)
{
    struct fib *fib = arg;

    (void)ret_value;
    if (fib->n < 2) {
        fib->result = fib->n;
    } else {
        struct fib first = {fib->executor, fib->n - 1, 0};
        struct fib second = {fib->executor, fib->n - 2, 0};
        stook_future *future = must_submit(fib->executor, fib_task, &first);

        MUST(fib_task(&second, NULL) == 0);
        MUST(stook_future_result(future, NULL) == STOOK_OK);
        stook_future_release(future);
        fib->result = first.result + second.result;
    }
    return 0;
}

static void expect_fib_25(unsigned workers)
{
    struct fib fib = {must_create(workers), 25, 0};
    stook_future *future = must_submit(fib.executor, fib_task, &fib);

    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    cr_assert_eq(fib.result, 75025u);
    stook_future_release(future);
    stook_executor_destroy(fib.executor);
}

Test(nesting, B48_fib_25_on_1_worker, .timeout = 120)
{
    expect_fib_25(1);
}

Test(nesting, B48_fib_25_on_2_workers, .timeout = 120)
{
    expect_fib_25(2);
}

Test(nesting, B48_fib_25_on_8_workers, .timeout = 120)
{
    expect_fib_25(8);
}

/* Each task waits for its neighbour, and adds one to what that gives. */
enum { LINKS = 500 };

struct chain {
    stook_future *futures[LINKS];
    struct gate all_submitted;
    int step; /* -1: each waits for the previous one, 1: for the next one */
    struct chain_link {
        struct chain *chain;
        int index;
        int length;
    } links[LINKS];
};

static int chain_task(void *arg, void **ret_value)
{
    struct chain_link *mine = arg;
    const struct chain *chain = mine->chain;
    const int other = mine->index + chain->step;

    gate_pass(&mine->chain->all_submitted);
    mine->length = 1;
    if (other >= 0 && other < LINKS) {
        void *value = NULL;

        MUST(stook_future_result(chain->futures[other], &value) == STOOK_OK);
        MUST(value == &chain->links[other]);
        mine->length += chain->links[other].length;
    }
    *ret_value = mine;
    return 0;
}

static void expect_chain(unsigned workers, int step)
{
    static struct chain chain;
    stook_executor *executor = must_create(workers);
    const int last = step < 0 ? LINKS - 1 : 0;

    chain = (struct chain){.step = step};
    for (int i = 0; i < LINKS; i++) {
        chain.links[i] = (struct chain_link){&chain, i, 0};
        chain.futures[i] = must_submit(executor, chain_task, &chain.links[i]);
    }
    gate_open(&chain.all_submitted);
    cr_assert_eq(stook_future_result(chain.futures[last], NULL), STOOK_OK);
    cr_assert_eq(chain.links[last].length, LINKS);
    stook_executor_destroy(executor);
    release_all(chain.futures, LINKS);
}

/* B53 */
Test(nesting, chain_of_500_tasks_each_waiting_for_the_previous_one, .timeout = 120)
{
    expect_chain(1, -1);
    expect_chain(2, -1);
    expect_chain(8, -1);
}

/* B53 */
Test(nesting, chain_of_500_tasks_each_waiting_for_the_next_one, .timeout = 120)
{
    expect_chain(1, 1);
    expect_chain(2, 1);
    expect_chain(8, 1);
}

/* A task that says that it has begun, and then waits for a future. */
struct await {
    stook_future *future;
    atomic_bool begun;
    enum stook_status status;
};

static int await_task(void *arg, void **ret_value)
{
    struct await *await = arg;

    (void)ret_value;
    atomic_store(&await->begun, true);
    await->status = stook_future_wait_until(await->future, STOOK_FOREVER);
    return 0;
}

/* B runs, A waits for B, and C, which A's place runs meanwhile, waits for A. If C ran on top of A,
 * it could never end. The places lent by A and by C leave one for D. */
Test(nesting, a_task_run_while_another_waits_may_wait_for_that_other, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct gate gate = {0};
    atomic_int runs = 0;
    struct await a = {.future = must_submit(executor, gate_task, &gate)};
    struct await c = {0};
    stook_future *c_future;
    stook_future *d_future;

    gate_await(&gate, 1);
    c.future = must_submit(executor, await_task, &a);
    SPIN_UNTIL(atomic_load(&a.begun));
    c_future = must_submit(executor, await_task, &c);
    SPIN_UNTIL(atomic_load(&c.begun));
    d_future = must_submit(executor, count_task, &runs);
    cr_assert_eq(stook_future_result(d_future, NULL), STOOK_OK);
    cr_assert_not(stook_future_done(c.future));
    cr_assert_not(stook_future_done(c_future));
    gate_open(&gate);
    cr_assert_eq(stook_future_result(c_future, NULL), STOOK_OK);
    cr_assert_eq(a.status, STOOK_OK);
    cr_assert_eq(c.status, STOOK_OK);
    stook_executor_destroy(executor);
    stook_future_release(a.future);
    stook_future_release(c.future);
    stook_future_release(c_future);
    stook_future_release(d_future);
}

struct locker {
    mtx_t mutex;
    stook_future *future;
    atomic_bool locked, wants;
};

static int lock_and_wait_task(void *arg, void **ret_value)
{
    struct locker *locker = arg;

    (void)ret_value;
    MUST(mtx_lock(&locker->mutex) == thrd_success);
    atomic_store(&locker->locked, true);
    MUST(stook_future_wait_until(locker->future, STOOK_FOREVER) == STOOK_OK);
    MUST(mtx_unlock(&locker->mutex) == thrd_success);
    return 0;
}

static int lock_task(void *arg, void **ret_value)
{
    struct locker *locker = arg;

    (void)ret_value;
    atomic_store(&locker->wants, true);
    MUST(mtx_lock(&locker->mutex) == thrd_success);
    MUST(mtx_unlock(&locker->mutex) == thrd_success);
    return 0;
}

/* B52. The second task takes the only place, and would lock the mutex again on the first one's
 * stack if it were run there; the first one must be able to go on without that place. */
Test(nesting, a_lock_may_be_held_across_a_wait, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    stook_executor *other = must_create(1);
    struct gate gate = {0};
    struct locker locker = {.future = must_submit(other, gate_task, &gate)};
    stook_future *futures[2];

    cr_assert_eq(mtx_init(&locker.mutex, mtx_plain), thrd_success);
    futures[0] = must_submit(executor, lock_and_wait_task, &locker);
    SPIN_UNTIL(atomic_load(&locker.locked));
    futures[1] = must_submit(executor, lock_task, &locker);
    SPIN_UNTIL(atomic_load(&locker.wants));
    gate_open(&gate);
    cr_assert_eq(stook_future_result(futures[1], NULL), STOOK_OK);
    cr_assert_eq(stook_future_result(futures[0], NULL), STOOK_OK);
    stook_executor_destroy(executor);
    stook_executor_destroy(other);
    mtx_destroy(&locker.mutex);
    stook_future_release(locker.future);
    release_all(futures, 2);
}

struct timed {
    stook_future *future;
    int64_t deadline;
    int64_t returned;
    enum stook_status status;
};

static int timed_task(void *arg, void **ret_value)
{
    struct timed *timed = arg;

    (void)ret_value;
    timed->deadline = stook_deadline_after_ns(3 * MILLISECOND);
    timed->status = stook_future_wait_until(timed->future, timed->deadline);
    timed->returned = stook_now_ns();
    return 0;
}

Test(nesting, B3_a_wait_in_a_task_times_out_and_the_awaited_task_goes_on, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct gate gate = {0};
    struct timed timed[8];
    stook_future *futures[8];
    stook_future *running = must_submit(executor, gate_task, &gate);

    gate_await(&gate, 1);
    for (int i = 0; i < 8; i++) {
        timed[i].future = running;
        futures[i] = must_submit(executor, timed_task, &timed[i]);
    }
    for (int i = 0; i < 8; i++) {
        cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
        cr_assert_eq(timed[i].status, STOOK_TIMEOUT);
        cr_assert_geq(timed[i].returned, timed[i].deadline);
    }
    cr_assert_eq(stook_future_state(running), STOOK_STATE_RUNNING);
    gate_open(&gate);
    cr_assert_eq(stook_future_result(running, NULL), STOOK_OK);
    stook_executor_destroy(executor);
    release_all(futures, 8);
    stook_future_release(running);
}

/* The waiter's only place is taken by a task that stays; behind it is the awaited one. */
Test(nesting, B3_a_wait_in_a_task_times_out_though_its_place_is_taken, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct gate first = {0};
    struct gate gate = {0};
    atomic_int runs = 0;
    struct timed timed = {0};
    stook_future *opener = must_submit(executor, gate_task, &first);
    stook_future *waiter = must_submit(executor, timed_task, &timed);
    stook_future *staying = must_submit(executor, gate_task, &gate);

    timed.future = must_submit(executor, count_task, &runs);
    gate_open(&first);
    cr_assert_eq(stook_future_result(waiter, NULL), STOOK_OK);
    cr_assert_eq(timed.status, STOOK_TIMEOUT);
    cr_assert_geq(timed.returned, timed.deadline);
    cr_assert_not(stook_future_done(staying));
    cr_assert_eq(atomic_load(&runs), 0);
    gate_open(&gate);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 1);
    stook_future_release(opener);
    stook_future_release(waiter);
    stook_future_release(staying);
    stook_future_release(timed.future);
}

static int wait_with_deadline_task(void *arg, void **ret_value)
{
    stook_executor *executor = arg;
    atomic_int runs = 0;
    stook_future *future = must_submit(executor, count_task, &runs);

    (void)ret_value;
    MUST(stook_future_wait_until(future, stook_deadline_after_ns(1000 * SECOND)) == STOOK_OK);
    MUST(atomic_load(&runs) == 1);
    stook_future_release(future);
    return 0;
}

Test(nesting, a_wait_with_a_deadline_lends_the_only_place_to_the_awaited_task, .timeout = 60)
{
    stook_executor *executor = must_create(1);

    for (int i = 0; i < 100; i++) {
        stook_future *future = must_submit(executor, wait_with_deadline_task, executor);

        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        stook_future_release(future);
    }
    stook_executor_destroy(executor);
}

Test(nesting, B3_tasks_that_wait_are_woken_by_cancel, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    stook_executor *other = must_create(1);
    struct gate gate = {0};
    atomic_int runs = 0;
    struct await awaits[4] = {0};
    stook_future *futures[4];
    stook_future *holder = must_submit(other, gate_task, &gate);
    stook_future *pending = must_submit(other, count_task, &runs);

    for (int i = 0; i < 4; i++) {
        awaits[i].future = pending;
        futures[i] = must_submit(executor, await_task, &awaits[i]);
    }
    for (int i = 0; i < 4; i++) {
        SPIN_UNTIL(atomic_load(&awaits[i].begun));
    }
    cr_assert_eq(stook_future_cancel(pending), STOOK_CANCEL_DONE);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
        cr_assert_eq(awaits[i].status, STOOK_OK);
    }
    gate_open(&gate);
    stook_executor_destroy(executor);
    stook_executor_destroy(other);
    cr_assert_eq(atomic_load(&runs), 0);
    release_all(futures, 4);
    stook_future_release(holder);
    stook_future_release(pending);
}

/* Each level submits the next one to the other executor and waits for it. */
struct level {
    stook_executor *executors[2];
    int depth;
    int sum;
};

static int level_task(void *arg, void **ret_value)
{
    struct level *level = arg;

    (void)ret_value;
    level->sum = level->depth;
    if (level->depth > 0) {
        struct level next = {{level->executors[1], level->executors[0]}, level->depth - 1, 0};
        stook_future *future = must_submit(level->executors[1], level_task, &next);

        MUST(stook_future_result(future, NULL) == STOOK_OK);
        stook_future_release(future);
        level->sum += next.sum;
    }
    return 0;
}

Test(nesting, B51_two_executors_of_one_worker_wait_for_each_other_without_a_cycle, .timeout = 60)
{
    struct level levels[4];
    stook_future *futures[4];
    stook_executor *executors[2] = {must_create(1), must_create(1)};

    for (int i = 0; i < 4; i++) {
        levels[i] = (struct level){{executors[i % 2], executors[1 - i % 2]}, 20, 0};
        futures[i] = must_submit(executors[i % 2], level_task, &levels[i]);
    }
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
        cr_assert_eq(levels[i].sum, 210);
    }
    release_all(futures, 4);
    stook_executor_destroy(executors[0]);
    stook_executor_destroy(executors[1]);
}
