/* SPDX-License-Identifier: MIT
 *
 * What forks do with tasks: they answer for the task that their region runs in, whoever makes them,
 * in cancelling and in deadlocks; they submit, wait, block and are waited for.
 */
#include "check.h"
#include "fork_support.h"
#include "group_support.h"

/* --- cancelling ------------------------------------------------------------------------------- */

struct asked {
    stook_executor *executor;
    atomic_bool begun;   /* the fork, elsewhere */
    atomic_bool ready;   /* may be cancelled now */
    atomic_bool waits;   /* the region, in its join */
    atomic_int grown_up; /* grandchildren that have been asked */
};

static int unasked_task(void *arg, void **ret_value)
{
    (void)arg;
    (void)ret_value;
    return stook_task_cancel_requested();
}

/* Of a task of its own, which nobody cancels. */
static bool is_unasked(stook_executor *executor)
{
    stook_future *future = must_submit(executor, unasked_task, NULL);
    const enum stook_status status = stook_future_result(future, NULL);

    stook_future_release(future);
    return status == STOOK_OK;
}

static void asked_grandchild(stook_here *here, void *arg)
{
    struct asked *asked = arg;

    FORK_UNTIL(here, stook_task_cancel_requested());
    atomic_fetch_add(&asked->grown_up, 1);
}

static void asked_fork(stook_here *here, void *arg)
{
    struct asked *asked = arg;
    stook_here *above;

    MUST(!stook_task_cancel_requested());
    MUST(is_unasked(asked->executor));
    MUST(!stook_task_cancel_requested());
    atomic_store(&asked->begun, true);
    FORK_UNTIL(here, stook_task_cancel_requested());
    MUST(is_unasked(asked->executor));
    MUST(stook_task_cancel_requested());
    above = stook_fork(here, asked_grandchild, asked);
    asked_grandchild(above, asked);
    if (stook_join(here)) {
        asked_grandchild(here, asked);
    }
}

static void asked_region(stook_here *here, void *arg)
{
    struct asked *asked = arg;
    stook_here *above = stook_fork(here, asked_fork, asked);

    MUST(!stook_task_cancel_requested());
    FORK_UNTIL(above, atomic_load(&asked->begun));
    atomic_store(&asked->ready, true);
    FORK_UNTIL(above, stook_task_cancel_requested());
    MUST(!stook_join(here));
    MUST(stook_task_cancel_requested());
}

static int asked_task(void *arg, void **ret_value)
{
    struct asked *asked = arg;

    (void)ret_value;
    must_run(asked->executor, asked_region, asked);
    MUST(stook_task_cancel_requested());
    return 0;
}

/* Nobody asks this one, which runs beside those that are. */
static void unasked_region(stook_here *here, void *arg)
{
    (void)here;
    (void)arg;
    MUST(!stook_task_cancel_requested());
    thrd_yield();
}

static int unasked_thread(void *arg)
{
    struct asked *asked = arg;

    while (!atomic_load(&asked->waits)) {
        must_run(asked->executor, unasked_region, NULL);
    }
    return 0;
}

Test(fork_join_task, forks_are_asked_to_stop_with_their_task, .timeout = 120)
{
    for (unsigned workers = 2; workers <= 4; workers++) {
        stook_executor *executor = must_create(workers);

        for (int i = 0; i < 60; i++) {
            struct asked asked = {.executor = executor};
            stook_token *token = must_token(executor, NULL);
            stook_future *future = must_submit_token(executor, token, asked_task, &asked);
            thrd_t thread;

            must_start(&thread, unasked_thread, &asked);
            SPIN_UNTIL(atomic_load(&asked.ready));
            if (i % 2) {
                cr_assert(stook_token_cancel(token));
            } else {
                cr_assert_eq(stook_future_cancel(future), STOOK_CANCEL_REQUESTED);
            }
            cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
            cr_assert_eq(atomic_load(&asked.grown_up), 2);
            atomic_store(&asked.waits, true);
            must_join(thread);
            for (unsigned j = 0; j < workers; j++) {
                cr_assert(is_unasked(executor));
            }
            stook_future_release(future);
            stook_token_release(token);
        }
        stook_executor_destroy(executor);
    }
}

/* --- waits that could never end --------------------------------------------------------------- */

struct selfish {
    stook_executor *executor;
    struct reports reports;
    _Atomic(stook_future *) own; /* of the region's task */
    atomic_bool begun;
    int refused;
};

static void wait_for_own(const struct selfish *selfish)
{
    stook_future *own = atomic_load(&selfish->own);
    bool done = true;

    MUST(stook_future_wait_until(own, STOOK_FOREVER) == STOOK_DEADLOCK);
    MUST(stook_future_result(own, NULL) == STOOK_DEADLOCK);
    MUST(stook_wait_until(&own, 1, STOOK_WAIT_ALL, STOOK_FOREVER, &done, NULL) == STOOK_DEADLOCK);
    MUST(stook_future_wait_until(own, 0) == STOOK_TIMEOUT);
    MUST(stook_future_state(own) == STOOK_STATE_RUNNING);
    MUST(stook_executor_shutdown(selfish->executor, STOOK_DRAIN, STOOK_FOREVER) == STOOK_DEADLOCK);
}

static void wait_for_own_in_fork(stook_here *here, void *arg)
{
    struct selfish *selfish = arg;

    (void)here;
    atomic_store(&selfish->begun, true);
    wait_for_own(selfish);
    selfish->refused++;
}

static void selfish_region(stook_here *here, void *arg)
{
    struct selfish *selfish = arg;
    stook_here *above;

    SPIN_UNTIL(atomic_load(&selfish->own));
    above = stook_fork(here, wait_for_own_in_fork, selfish);
    if (stook_executor_worker_count(selfish->executor) > 1) {
        FORK_UNTIL(above, atomic_load(&selfish->begun));
    }
    wait_for_own(selfish);
    if (stook_join(here)) {
        wait_for_own_in_fork(here, selfish);
    }
}

static int selfish_task(void *arg, void **ret_value)
{
    struct selfish *selfish = arg;

    (void)ret_value;
    must_run(selfish->executor, selfish_region, selfish);
    return 0;
}

Test(fork_join_task, a_fork_cannot_wait_for_its_own_region, .timeout = 60)
{
    static struct selfish selfish;

    for (unsigned workers = 1; workers <= 3; workers++) {
        selfish = (struct selfish){.refused = 0};
        selfish.executor = must_create_reporting(workers, &selfish.reports);
        for (int i = 1; i <= 20; i++) {
            stook_future *future;

            atomic_store(&selfish.own, NULL);
            atomic_store(&selfish.begun, false);
            future = must_submit(selfish.executor, selfish_task, &selfish);
            atomic_store(&selfish.own, future);
            cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
            cr_assert_eq(selfish.refused, i);
            stook_future_release(future);
        }
        cr_assert_gt(atomic_load(&selfish.reports.count), 0);
        stook_executor_destroy(selfish.executor);
    }
}

/* A task that waits for the region, and a fork elsewhere that waits for the task. */
struct circle {
    stook_executor *executor;
    struct reports reports;
    struct gate gate; /* of the other worker */
    _Atomic(stook_future *) region, task;
    atomic_bool begun;
    atomic_int refused;
};

static void wait_in_circle(struct circle *circle, stook_future *future)
{
    const enum stook_status status = stook_future_wait_until(future, STOOK_FOREVER);

    MUST(status == STOOK_OK || status == STOOK_DEADLOCK);
    atomic_fetch_add(&circle->refused, status == STOOK_DEADLOCK);
}

static int wait_for_region(void *arg, void **ret_value)
{
    struct circle *circle = arg;

    (void)ret_value;
    wait_in_circle(circle, atomic_load(&circle->region));
    return 0;
}

static void wait_for_task(stook_here *here, void *arg)
{
    struct circle *circle = arg;

    (void)here;
    atomic_store(&circle->begun, true);
    SPIN_UNTIL(atomic_load(&circle->task));
    wait_in_circle(circle, atomic_load(&circle->task));
}

static void circle_region(stook_here *here, void *arg)
{
    struct circle *circle = arg;
    stook_here *above = stook_fork(here, wait_for_task, circle);

    gate_open(&circle->gate);
    FORK_UNTIL(above, atomic_load(&circle->begun));
    MUST(!stook_join(here));
}

static int circle_task(void *arg, void **ret_value)
{
    struct circle *circle = arg;

    (void)ret_value;
    must_run(circle->executor, circle_region, circle);
    return 0;
}

static void begin_circle(struct circle *circle)
{
    atomic_store(&circle->gate.open, false);
    atomic_store(&circle->gate.arrived, 0);
    atomic_store(&circle->region, NULL);
    atomic_store(&circle->task, NULL);
    atomic_store(&circle->begun, false);
    atomic_store(&circle->refused, 0);
}

static void end_circle(struct circle *circle, stook_future *last)
{
    cr_assert_eq(stook_future_result(last, NULL), STOOK_OK);
    cr_assert_eq(stook_future_result(atomic_load(&circle->region), NULL), STOOK_OK);
    cr_assert_eq(atomic_load(&circle->refused), 1);
    stook_future_release(atomic_load(&circle->region));
    stook_future_release(last);
}

/* Who comes last is told, and so both end. */
Test(fork_join_task, a_circle_through_a_fork_is_found, .timeout = 60)
{
    static struct circle circle;

    circle.executor = must_create_reporting(3, &circle.reports);
    for (int i = 0; i < 100; i++) {
        stook_future *task;

        begin_circle(&circle);
        atomic_store(&circle.region, must_submit(circle.executor, circle_task, &circle));
        SPIN_UNTIL(atomic_load(&circle.begun));
        task = must_submit(circle.executor, wait_for_region, &circle);
        atomic_store(&circle.task, task);
        end_circle(&circle, task);
    }
    stook_executor_destroy(circle.executor);
}

static int circle_in_place(void *arg, void **ret_value)
{
    struct circle *circle = arg;

    SPIN_UNTIL(atomic_load(&circle->task));
    atomic_store(&circle->region, must_submit(circle->executor, circle_task, circle));
    return wait_for_region(circle, ret_value);
}

/* The task waits for the region by running it: there is no other worker, until the region opens the
 * gate. */
Test(fork_join_task, a_circle_through_a_fork_of_a_region_in_place_is_found, .timeout = 60)
{
    static struct circle circle;

    circle.executor = must_create_reporting(2, &circle.reports);
    for (int i = 0; i < 100; i++) {
        stook_future *held;
        stook_future *task;

        begin_circle(&circle);
        held = must_submit(circle.executor, gate_task, &circle.gate);
        gate_await(&circle.gate, 1);
        task = must_submit(circle.executor, circle_in_place, &circle);
        atomic_store(&circle.task, task);
        end_circle(&circle, task);
        cr_assert_eq(stook_future_result(held, NULL), STOOK_OK);
        stook_future_release(held);
    }
    stook_executor_destroy(circle.executor);
}

/* --- forks that submit, wait, and are waited for ---------------------------------------------- */

struct family {
    stook_executor *executor;
    unsigned depth;
    long result;
};

/* What a task does with its fib: forks again. */
static int fib_task(void *arg, void **ret_value)
{
    struct family *family = arg;

    (void)ret_value;
    family->result = run_fib(family->executor, (int)family->depth);
    return 0;
}

/* A tree of forks each of which waits for a task of its own, submitted before the fork below. */
static void grow_family(stook_here *here, void *arg)
{
    struct family *family = arg;
    struct family below[2] = {{family->executor, family->depth - 1, 0},
                              {family->executor, family->depth - 1, 0}};
    struct family own = *family;
    stook_future *future = must_submit(family->executor, fib_task, &own);

    if (family->depth > 0) {
        stook_invoke(here, grow_family, &below[0], grow_family, &below[1]);
    }
    MUST(stook_future_result(future, NULL) == STOOK_OK);
    stook_future_release(future);
    MUST(own.result == plain_fib((int)family->depth));
    family->result = 1 + below[0].result + below[1].result;
}

Test(fork_join_task, forks_submit_and_wait, .timeout = 120)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        stook_executor *executor = must_create(workers);

        for (int i = 0; i < 5; i++) {
            struct family whole = {executor, 7, 0};

            must_run(executor, grow_family, &whole);
            cr_assert_eq(whole.result, (1 << 8) - 1);
        }
        stook_executor_destroy(executor);
    }
}

/* A task begins first and waits for what a fork, elsewhere, does later. */
struct promised {
    stook_executor *executor;
    stook_promise *promise;
    stook_future *future;
    atomic_bool waits;
    atomic_bool begun;
};

static int wait_for_promise(void *arg, void **ret_value)
{
    struct promised *promised = arg;

    (void)ret_value;
    atomic_store(&promised->waits, true);
    return stook_future_result(promised->future, NULL) != STOOK_OK;
}

static void keep_promise(stook_here *here, void *arg)
{
    struct promised *promised = arg;

    (void)here;
    atomic_store(&promised->begun, true);
    SPIN_UNTIL(atomic_load(&promised->waits));
    MUST(stook_promise_complete(promised->promise, 0, NULL) == STOOK_OK);
}

static void promising_region(stook_here *here, void *arg)
{
    struct promised *promised = arg;
    stook_here *above = stook_fork(here, keep_promise, promised);
    stook_future *task;

    FORK_UNTIL(above, atomic_load(&promised->begun));
    task = must_submit(promised->executor, wait_for_promise, promised);
    MUST(stook_future_result(task, NULL) == STOOK_OK);
    MUST(stook_future_result(promised->future, NULL) == STOOK_OK);
    stook_future_release(task);
    MUST(!stook_join(here));
}

Test(fork_join_task, tasks_wait_for_what_forks_do, .timeout = 60)
{
    stook_executor *executor = must_create(2);

    for (int i = 0; i < 200; i++) {
        struct promised promised = {.executor = executor};

        MUST(stook_promise_create(NULL, &promised.promise, &promised.future) == STOOK_OK);
        must_run(executor, promising_region, &promised);
        stook_future_release(promised.future);
        stook_promise_release(promised.promise);
    }
    stook_executor_destroy(executor);
}

static int add_task(void *arg, void **ret_value)
{
    atomic_int *sum = *(atomic_int **)arg;

    (void)ret_value;
    atomic_fetch_add(sum, 1);
    return 0;
}

/* Scopes and maps inside forks. */
struct groups {
    stook_executor *executor;
    unsigned depth;
    atomic_int *sum;
};

static void use_groups(stook_here *here, void *arg)
{
    struct groups *groups = arg;
    struct groups below[2] = {*groups, *groups};
    atomic_int *items[4] = {groups->sum, groups->sum, groups->sum, groups->sum};
    stook_scope *scope = must_scope(groups->executor);

    must_submit_many_in(groups->executor, scope, count_task, groups->sum, 3, NULL);
    if (groups->depth > 0) {
        below[0].depth = below[1].depth = groups->depth - 1;
        stook_invoke(here, use_groups, &below[0], use_groups, &below[1]);
    }
    MUST(stook_executor_map(groups->executor, add_task, items, 4, sizeof items[0], NULL, NULL) ==
         STOOK_OK);
    MUST(stook_scope_wait_until(scope, STOOK_FOREVER, NULL) == STOOK_OK);
    stook_scope_destroy(scope);
}

Test(fork_join_task, forks_use_scopes_and_maps, .timeout = 120)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        stook_executor *executor = must_create(workers);
        atomic_int sum = 0;
        struct groups groups = {executor, 6, &sum};

        must_run(executor, use_groups, &groups);
        cr_assert_eq(atomic_load(&sum), 7 * ((1 << 7) - 1));
        stook_executor_destroy(executor);
    }
}

/* --- forks that block ------------------------------------------------------------------------- */

static void note_begun(stook_here *here, void *arg)
{
    (void)here;
    atomic_store((atomic_bool *)arg, true);
}

/* Where there are other workers, one of them makes the call meanwhile, or a thread that this one is
 * lent to. */
static void block_until_taken(stook_here *here, void *arg)
{
    const bool is_alone = stook_executor_worker_count(arg) == 1;
    atomic_bool begun = false;
    stook_here *above = stook_fork(here, note_begun, &begun);

    stook_task_begin_blocking();
    if (!is_alone) {
        FORK_UNTIL(above, atomic_load(&begun));
    }
    stook_task_end_blocking();
    if (stook_join(here)) {
        MUST(is_alone);
    } else {
        MUST(atomic_load(&begun));
    }
}

static void block_in_both(stook_here *here, void *arg)
{
    stook_invoke(here, block_until_taken, arg, block_until_taken, arg);
}

Test(fork_join_task, forks_may_block, .timeout = 120)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        stook_executor *executor = must_create(workers);

        for (int i = 0; i < 100; i++) {
            must_run(executor, block_in_both, executor);
        }
        cr_assert_eq(run_fib(executor, 15), 610);
        stook_executor_destroy(executor);
    }
}
