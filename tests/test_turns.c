/* SPDX-License-Identifier: MIT
 *
 * Whom a turn belongs to when tasks of a scope with a limit are waited for: only a task that has a
 * turn runs another within it, and whom it runs is in the line no more.
 */
#include "check.h"
#include "group_support.h"

struct turns {
    struct gate first, second;
    stook_future *awaited;
    atomic_int inside, runs;
};

static int inside_task(void *arg, void **ret_value)
{
    struct turns *turns = arg;

    (void)ret_value;
    MUST(atomic_fetch_add(&turns->inside, 1) == 0);
    gate_pass(&turns->first);
    MUST(atomic_fetch_sub(&turns->inside, 1) == 1);
    return 0;
}

static int waiting_task(void *arg, void **ret_value)
{
    struct turns *turns = arg;

    (void)ret_value;
    gate_pass(&turns->second);
    return (int)stook_future_result(turns->awaited, NULL);
}

Test(turns, a_waiter_from_outside_runs_nothing_before_its_turn, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    stook_scope *strand = must_scope_with(executor, NULL, 1, false);
    stook_scope *other = must_scope(executor);
    struct turns turns = {0};
    stook_future *futures[2];

    futures[0] = must_submit_in(executor, strand, inside_task, &turns);
    gate_await(&turns.first, 1);
    turns.awaited = must_submit_in(executor, strand, inside_task, &turns);
    gate_open(&turns.second);
    futures[1] = must_submit_in(executor, other, waiting_task, &turns);
    /* runs once the waiter lends its worker: by then it would have run the other one in place */
    stook_future_release(must_submit(executor, count_task, &turns.runs));
    SPIN_UNTIL(atomic_load(&turns.runs) == 1);
    cr_assert_eq(stook_future_state(turns.awaited), STOOK_STATE_PENDING);
    gate_open(&turns.first);
    cr_assert_eq(stook_future_result(futures[1], NULL), STOOK_OK);
    release_all(futures, 2);
    stook_future_release(turns.awaited);
    stook_scope_destroy(other);
    stook_scope_destroy(strand);
    stook_executor_destroy(executor);
}

static int until_another_ran_task(void *arg, void **ret_value)
{
    struct turns *turns = arg;

    (void)ret_value;
    atomic_store(&turns->inside, 1);
    SPIN_UNTIL(atomic_load(&turns->runs) > 0);
    return 0;
}

/* The turn that ends meanwhile is for the next in the line, not for one that runs already. */
Test(turns, what_runs_within_a_turn_gets_no_other, .timeout = 60)
{
    stook_executor *executor = must_create(3);
    stook_scope *scope = must_scope_with(executor, NULL, 2, false);
    struct turns turns = {0};

    stook_future_release(must_submit_in(executor, scope, gate_task, &turns.first));
    stook_future_release(must_submit_in(executor, scope, waiting_task, &turns));
    gate_await(&turns.first, 1);
    gate_await(&turns.second, 1);
    turns.awaited = must_submit_in(executor, scope, until_another_ran_task, &turns);
    stook_future_release(must_submit_in(executor, scope, count_task, &turns.runs));
    gate_open(&turns.second);
    SPIN_UNTIL(atomic_load(&turns.inside) == 1);
    gate_open(&turns.first);
    cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, NULL), STOOK_OK);
    stook_future_release(turns.awaited);
    stook_scope_destroy(scope);
    stook_executor_destroy(executor);
}

/* --- deadlock --------------------------------------------------------------------------------- */

struct waiter {
    struct gate *gate;
    stook_future *awaited;
    enum stook_status status;
};

static int waiter_task(void *arg, void **ret_value)
{
    struct waiter *waiter = arg;

    (void)ret_value;
    gate_pass(waiter->gate);
    waiter->status = stook_future_wait_until(waiter->awaited, STOOK_FOREVER);
    return 0;
}

/* The first of a strand waits for a task outside, which waits for the second. */
Test(turns, B50_a_cycle_through_the_line_of_a_strand, .timeout = 60)
{
    struct reports reports = {.busy = ATOMIC_FLAG_INIT};
    stook_executor *executor = must_create_reporting(2, &reports);
    stook_scope *strand = must_scope_with(executor, NULL, 1, false);
    struct gate gate = {0};
    struct waiter first = {.gate = &gate}, outside = {.gate = &gate};
    atomic_int runs = 0;

    stook_future_release(must_submit_in(executor, strand, waiter_task, &first));
    first.awaited = must_submit(executor, waiter_task, &outside);
    outside.awaited = must_submit_in(executor, strand, count_task, &runs);
    gate_await(&gate, 2);
    gate_open(&gate);
    cr_assert_eq(stook_scope_wait_until(strand, STOOK_FOREVER, NULL), STOOK_OK);
    cr_assert_eq(stook_future_result(first.awaited, NULL), STOOK_OK);
    cr_assert_eq((first.status == STOOK_DEADLOCK) + (outside.status == STOOK_DEADLOCK), 1);
    cr_assert_eq((first.status == STOOK_OK) + (outside.status == STOOK_OK), 1);
    cr_assert_eq(atomic_load(&reports.count), 1);
    stook_future_release(first.awaited);
    stook_future_release(outside.awaited);
    stook_scope_destroy(strand);
    stook_executor_destroy(executor);
}

/* The same in one thread: the first waits for the other, which runs on top of it. */
Test(turns, B50_a_cycle_through_the_line_of_a_strand_on_one_stack, .timeout = 60)
{
    struct reports reports = {.busy = ATOMIC_FLAG_INIT};
    stook_executor *executor = must_create_reporting(1, &reports);
    stook_scope *strand = must_scope_with(executor, NULL, 1, false);
    struct gate gate = {0};
    struct waiter first = {.gate = &gate}, outside = {.gate = &gate};
    atomic_int runs = 0;

    stook_future_release(must_submit_in(executor, strand, waiter_task, &first));
    first.awaited = must_submit(executor, waiter_task, &outside);
    outside.awaited = must_submit_in(executor, strand, count_task, &runs);
    gate_open(&gate);
    cr_assert_eq(stook_scope_wait_until(strand, STOOK_FOREVER, NULL), STOOK_OK);
    cr_assert_eq(first.status, STOOK_OK);
    cr_assert_eq(outside.status, STOOK_DEADLOCK);
    cr_assert_eq(atomic_load(&reports.count), 1);
    cr_assert_eq(atomic_load(&runs), 1);
    stook_future_release(first.awaited);
    stook_future_release(outside.awaited);
    stook_scope_destroy(strand);
    stook_executor_destroy(executor);
}

struct stealing {
    struct waiter *waiter;
    stook_executor *executor;
    atomic_bool is_stolen;
};

static void stolen_fork(stook_here *here, void *arg)
{
    struct stealing *stealing = arg;

    (void)here;
    atomic_store(&stealing->is_stolen, true);
    (void)waiter_task(stealing->waiter, NULL);
}

static void region_with_a_stolen_fork(stook_here *here, void *arg)
{
    struct stealing *stealing = arg;

    (void)stook_fork(here, stolen_fork, stealing);
    SPIN_UNTIL(atomic_load(&stealing->is_stolen));
    MUST(!stook_join(here));
}

static int region_task(void *arg, void **ret_value)
{
    struct stealing *stealing = arg;

    (void)ret_value;
    MUST(stook_executor_run(stealing->executor, region_with_a_stolen_fork, stealing) == STOOK_OK);
    return 0;
}

/* fork_join.h: it has no turn to run in, and the region that has waits for it. */
Test(turns, B50_a_stolen_fork_waits_for_the_next_of_its_strand, .timeout = 60)
{
    struct reports reports = {.busy = ATOMIC_FLAG_INIT};
    stook_executor *executor = must_create_reporting(2, &reports);
    stook_scope *strand = must_scope_with(executor, NULL, 1, false);
    struct gate gate = {0};
    struct waiter waiter = {.gate = &gate};
    struct stealing stealing = {.waiter = &waiter, .executor = executor};
    atomic_int runs = 0;

    stook_future_release(must_submit_in(executor, strand, region_task, &stealing));
    waiter.awaited = must_submit_in(executor, strand, count_task, &runs);
    gate_open(&gate);
    cr_assert_eq(stook_scope_wait_until(strand, STOOK_FOREVER, NULL), STOOK_OK);
    cr_assert_eq(waiter.status, STOOK_DEADLOCK);
    cr_assert_eq(atomic_load(&reports.count), 1);
    cr_assert_eq(atomic_load(&runs), 1);
    stook_future_release(waiter.awaited);
    stook_scope_destroy(strand);
    stook_executor_destroy(executor);
}

static int cancelling_thread(void *arg)
{
    struct waiter *waiter = arg;

    gate_pass(waiter->gate);
    (void)stook_future_cancel(waiter->awaited);
    return 0;
}

/* It is run within the turn, or has been cancelled: but nobody waits for himself. */
Test(turns, the_next_of_a_strand_is_cancelled_while_it_is_awaited, .timeout = 60)
{
    struct reports reports = {.busy = ATOMIC_FLAG_INIT};
    stook_executor *executor = must_create_reporting(2, &reports);
    const unsigned rounds = stress_scaled(500);
    atomic_int runs = 0;

    for (unsigned round = 0; round < rounds; round++) {
        stook_scope *strand = must_scope_with(executor, NULL, 1, false);
        struct gate gate = {0};
        struct waiter waiter = {.gate = &gate};
        thrd_t thread;

        stook_future *first = must_submit_in(executor, strand, waiter_task, &waiter);
        waiter.awaited = must_submit_in(executor, strand, count_task, &runs);
        must_start(&thread, cancelling_thread, &waiter);
        gate_await(&gate, 2);
        gate_open(&gate);
        cr_assert_eq(stook_future_result(first, NULL), STOOK_OK);
        cr_assert_eq(waiter.status, STOOK_OK, "%s", stook_status_name(waiter.status));
        must_join(thread);
        stook_future_release(first);
        stook_future_release(waiter.awaited);
        stook_scope_destroy(strand);
    }
    cr_assert_eq(atomic_load(&reports.count), 0);
    stook_executor_destroy(executor);
}
