/* SPDX-License-Identifier: MIT
 *
 * Waits that must not fail, where there is no lock to sleep on: they come to their end, and the end
 * of a scope waits for its tasks. Only the portable platform needs one.
 */
#include <threads.h>
#include "check.h"
#include "fork_support.h"
#include "group_support.h"

static atomic_int refusals; /* calls that are yet to fail */

int __real_cnd_init(cnd_t *condition);
int __wrap_cnd_init(cnd_t *condition);

int __wrap_cnd_init(cnd_t *condition)
{
    if (atomic_load(&refusals) > 0) {
        atomic_fetch_sub(&refusals, 1);
        return thrd_nomem;
    }
    return __real_cnd_init(condition);
}

struct late {
    struct gate gate;
    atomic_bool has_ended;
};

static int late_task(void *arg, void **ret_value)
{
    struct late *late = arg;

    (void)ret_value;
    gate_pass(&late->gate);
    give_a_chance(); /* for a destroy that does not wait */
    atomic_store(&late->has_ended, true);
    return 0;
}

Test(fail_destroy, a_scope_waits_without_a_lock)
{
    stook_executor *executor = must_create(1);
    stook_scope *scope = must_scope(executor);
    struct late late = {.has_ended = false};
    stook_future *future = must_submit_in(executor, scope, late_task, &late);

    gate_await(&late.gate, 1);
    atomic_store(&refusals, 3);
    gate_open(&late.gate);
    stook_scope_destroy(scope);
    cr_assert(atomic_load(&late.has_ended));
    atomic_store(&refusals, 0);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(executor);
}

/* What a task waits for, when its worker is the only one. */
struct lent {
    stook_executor *executor;
    stook_scope *scope;
    bool is_bounded;
};

static int wait_without_lock(void *arg, void **ret_value)
{
    const struct lent *lent = arg;
    atomic_int runs = 0;
    stook_future *future =
        must_submit_at(lent->executor, stook_now_ns() + 20 * MILLISECOND, count_task, &runs);

    (void)ret_value;
    atomic_store(&refusals, 1);
    MUST(stook_future_wait_until(future, lent->is_bounded ? stook_now_ns() + 50 * SECOND
                                                          : STOOK_FOREVER) == STOOK_OK);
    MUST(atomic_load(&runs) == 1);
    atomic_store(&refusals, 0);
    stook_future_release(future);
    return 0;
}

Test(fail_destroy, a_task_that_waits_without_a_lock_lends_its_worker, .timeout = 20)
{
    for (int is_bounded = 0; is_bounded < 2; is_bounded++) {
        struct lent lent = {.executor = must_create(1), .is_bounded = is_bounded};
        stook_future *future = must_submit(lent.executor, wait_without_lock, &lent);

        SPIN_UNTIL(stook_future_done(future)); /* a wait would take the refusal */
        stook_future_release(future);
        stook_executor_destroy(lent.executor);
    }
}

enum { ALL = 1000000000 };

/* Waits until another thread has come for the worker, and gone to sleep as a spare. */
static void make_spare_thread(stook_executor *executor)
{
    atomic_int runs = 0;

    stook_task_begin_blocking();
    stook_future *future = must_submit(executor, count_task, &runs);
    SPIN_UNTIL(stook_future_done(future));
    stook_task_end_blocking();
    stook_future_release(future);
}

static int destroy_without_lock(void *arg, void **ret_value)
{
    const struct lent *lent = arg;
    stook_scope *scope = must_scope(lent->executor);
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    atomic_int runs = 0;

    (void)ret_value;
    make_spare_thread(lent->executor);
    options.scope = scope;
    options.start_ns = stook_now_ns() + 20 * MILLISECOND;
    stook_future_release(must_submit_with(lent->executor, &options, count_task, &runs));
    atomic_store(&refusals, ALL);
    stook_scope_destroy(scope);
    MUST(atomic_load(&runs) == 1);
    atomic_store(&refusals, 0);
    return 0;
}

Test(fail_destroy, a_task_that_destroys_a_scope_without_a_lock_lends_its_worker, .timeout = 20)
{
    struct lent lent = {.executor = must_create(1)};
    stook_future *future = must_submit(lent.executor, destroy_without_lock, &lent);

    SPIN_UNTIL(stook_future_done(future));
    stook_future_release(future);
    stook_executor_destroy(lent.executor);
}

/* A fork that is made elsewhere until a task has run, for which there is no worker left but that of
 * the one who joins it. */
struct joined {
    stook_executor *executor;
    atomic_bool is_begun;
    atomic_int runs;
};

static void await_run(stook_here *here, void *arg)
{
    struct joined *joined = arg;

    (void)here;
    atomic_store(&joined->is_begun, true);
    SPIN_UNTIL(atomic_load(&joined->runs) == 1);
}

static void join_without_lock(stook_here *here, void *arg)
{
    struct joined *joined = arg;
    stook_here *above = stook_fork(here, await_run, joined);

    FORK_UNTIL(above, atomic_load(&joined->is_begun));
    atomic_store(&refusals, 1);
    MUST(stook_executor_submit(joined->executor, count_task, &joined->runs, NULL) == STOOK_OK);
    MUST(!stook_join(here));
    atomic_store(&refusals, 0);
}

static int join_task(void *arg, void **ret_value)
{
    struct joined *joined = arg;

    (void)ret_value;
    must_run(joined->executor, join_without_lock, joined);
    return 0;
}

Test(fail_destroy, a_join_that_waits_without_a_lock_lends_its_worker, .timeout = 20)
{
    struct joined joined = {.executor = must_create(2)};
    stook_future *future = must_submit(joined.executor, join_task, &joined);

    SPIN_UNTIL(stook_future_done(future));
    stook_future_release(future);
    stook_executor_destroy(joined.executor);
}
