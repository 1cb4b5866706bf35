/* SPDX-License-Identifier: MIT
 *
 * Scopes: every task is joined, the first error is kept and cancels the others, cancellation is
 * inherited, waits, reuse, and the end. Scopes with a limit are in test_strand.c.
 */
#include "check.h"
#include "group_support.h"

/* --- joining ---------------------------------------------------------------------------------- */

/* A task that submits `fan` more of its kind in the same scope, `depth` levels down. */
struct tree {
    stook_executor *executor;
    stook_scope *scope;
    atomic_int runs;
    int fan;
};

struct branch {
    struct tree *tree;
    int depth;
};

static int branch_task(void *arg, void **ret_value)
{
    struct branch branch = *(struct branch *)arg;
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

    (void)ret_value;
    free(arg);
    atomic_fetch_add(&branch.tree->runs, 1);
    options.scope = branch.tree->scope;
    for (int i = 0; branch.depth > 0 && i < branch.tree->fan; i++) {
        struct branch *child = malloc(sizeof *child);

        MUST(child != NULL);
        *child = (struct branch){branch.tree, branch.depth - 1};
        MUST(stook_executor_submit_with(branch.tree->executor, &options, branch_task, child,
                                        NULL) == STOOK_OK);
    }
    return 0;
}

static void submit_tree(struct tree *tree, int depth)
{
    struct branch *root = malloc(sizeof *root);

    MUST(root != NULL);
    *root = (struct branch){tree, depth};
    stook_future_release(must_submit_in(tree->executor, tree->scope, branch_task, root));
}

Test(scope, children_that_submit_children_are_all_joined, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        struct tree tree = {.executor = must_create(workers), .fan = 3};
        struct stook_scope_outcome outcome;

        tree.scope = must_scope(tree.executor);
        submit_tree(&tree, 5);
        cr_assert_eq(stook_scope_wait_until(tree.scope, STOOK_FOREVER, &outcome), STOOK_OK);
        cr_assert_eq(atomic_load(&tree.runs), 364);
        cr_assert(outcome_is(&outcome, 364, 364, 0, 0, 0));
        stook_scope_destroy(tree.scope);
        stook_executor_destroy(tree.executor);
    }
}

static int open_later_thread(void *arg)
{
    give_a_chance();
    gate_open(arg);
    return 0;
}

Test(scope, destroy_joins_also_what_tasks_submit_meanwhile, .timeout = 60)
{
    for (int round = 0; round < 20; round++) {
        struct tree tree = {.executor = must_create(2), .fan = 2};
        struct gate gate = {0};
        thrd_t thread;

        tree.scope = must_scope(tree.executor);
        must_submit_many_in(tree.executor, tree.scope, gate_task, &gate, 3, NULL);
        submit_tree(&tree, 4);
        must_start(&thread, open_later_thread, &gate);
        stook_scope_destroy(tree.scope);
        cr_assert_eq(atomic_load(&gate.arrived), 3);
        cr_assert_eq(atomic_load(&tree.runs), 31);
        must_join(thread);
        stook_executor_destroy(tree.executor);
    }
    stook_scope_destroy(NULL);
}

/* B12 */
Test(scope, an_empty_scope_is_done, .timeout = 60)
{
    const int64_t deadlines[] = {STOOK_FOREVER, 0, -1, INT64_MIN, INT64_MAX - 1};
    stook_executor *executor = must_create(1);
    stook_scope *scope = NULL;
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    atomic_int runs = 0;

    cr_assert_eq(stook_scope_create(executor, NULL, &scope), STOOK_OK);
    options.scope = scope;
    cr_assert_eq(stook_executor_submit_many(executor, &options, count_task, &runs, 0, 0, NULL),
                 STOOK_OK);
    for (int i = 0; i < 5; i++) {
        struct stook_scope_outcome outcome = {1, 1, 1, 1, 1};

        cr_assert_eq(stook_scope_wait_until(scope, deadlines[i], &outcome), STOOK_OK);
        cr_assert(outcome_is(&outcome, 0, 0, 0, 0, 0));
        cr_assert_eq(stook_scope_wait_until(scope, deadlines[i], NULL), STOOK_OK);
    }
    stook_scope_destroy(scope);
    stook_executor_destroy(executor);
}

struct fibonacci {
    stook_executor *executor;
    int n, result;
};

static int fibonacci_task(void *arg, void **ret_value)
{
    struct fibonacci *fibonacci = arg;
    struct fibonacci children[2];
    stook_scope *scope;

    (void)ret_value;
    if (fibonacci->n < 2) {
        fibonacci->result = fibonacci->n;
        return 0;
    }
    scope = must_scope(fibonacci->executor);
    for (int i = 0; i < 2; i++) {
        children[i] = (struct fibonacci){fibonacci->executor, fibonacci->n - 1 - i, 0};
        stook_future_release(
            must_submit_in(fibonacci->executor, scope, fibonacci_task, &children[i]));
    }
    MUST(stook_scope_wait_until(scope, STOOK_FOREVER, NULL) == STOOK_OK);
    stook_scope_destroy(scope);
    fibonacci->result = children[0].result + children[1].result;
    return 0;
}

/* B48 */
Test(scope, nested_scopes_wait_in_tasks_on_any_number_of_workers, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 4; workers *= 2) {
        struct fibonacci fibonacci = {must_create(workers), 13, 0};
        stook_future *future = must_submit(fibonacci.executor, fibonacci_task, &fibonacci);

        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        cr_assert_eq(fibonacci.result, 233);
        stook_future_release(future);
        stook_executor_destroy(fibonacci.executor);
    }
}

/* --- errors ----------------------------------------------------------------------------------- */

Test(scope, B74_the_first_error_is_kept_and_siblings_are_cancelled_but_accounted, .timeout = 60)
{
    enum { QUEUED = 10 };
    stook_executor *executor = must_create(2);
    stook_scope *scope = must_scope(executor);
    struct stoppable sibling = {.code = 5};
    struct stook_scope_outcome outcome;
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *futures[3];
    stook_future *queued[QUEUED];
    int code = 7;

    futures[0] = must_submit_in(executor, scope, count_task, &runs);
    cr_assert_eq(stook_future_result(futures[0], NULL), STOOK_OK);
    futures[1] = must_submit_in(executor, scope, stoppable_task, &sibling);
    await_began(&sibling);
    fill_workers(executor, &gate, 1);
    futures[2] = must_submit_in(executor, scope, code_task, &code);
    must_submit_many_in(executor, scope, count_task, &runs, QUEUED, queued);
    gate_open(&gate);
    /* the sibling, which fails too, is asked to stop: else this would never end */
    cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome), STOOK_TASK_FAILED);
    cr_assert(outcome_is(&outcome, 13, 1, 2, QUEUED, 7));
    cr_assert_eq(count_in_state(queued, QUEUED, STOOK_STATE_CANCELLED), QUEUED);
    cr_assert_eq(atomic_load(&runs), 1);

    /* cancelled for good, but of use */
    stook_future_release(futures[0]);
    futures[0] = must_submit_in(executor, scope, count_task, &runs);
    cr_assert_eq(stook_future_state(futures[0]), STOOK_STATE_CANCELLED);
    cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome), STOOK_TASK_FAILED);
    cr_assert(outcome_is(&outcome, 14, 1, 2, QUEUED + 1, 7));
    cr_assert_not(stook_scope_cancel(scope), "the failure was first");
    release_all(futures, 3);
    release_all(queued, QUEUED);
    stook_scope_destroy(scope);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 1);
}

Test(scope, B74_keep_going_runs_and_counts_all, .timeout = 60)
{
    enum { TASKS = 40 };
    stook_executor *executor = must_create(3);
    stook_scope *scope = must_scope_with(executor, NULL, 0, true);
    struct stook_scope_outcome outcome;
    int codes[TASKS];
    stook_future *first;

    for (int i = 0; i < TASKS; i++) {
        codes[i] = i % 4 == 3 ? 100 + i : 0;
    }
    first = must_submit_in(executor, scope, code_task, &codes[7]);
    cr_assert_eq(stook_future_result(first, NULL), STOOK_TASK_FAILED);
    stook_future_release(first);
    for (int i = 0; i < TASKS; i++) {
        stook_future_release(must_submit_in(executor, scope, code_task, &codes[i]));
    }
    cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome), STOOK_TASK_FAILED);
    cr_assert(outcome_is(&outcome, TASKS + 1, 30, 11, 0, 107));
    stook_scope_destroy(scope);
    stook_executor_destroy(executor);
}

struct failing {
    struct gate *gate;
    int code;
};

static int failing_task(void *arg, void **ret_value)
{
    const struct failing *failing = arg;

    (void)ret_value;
    gate_pass(failing->gate);
    return failing->code;
}

Test(scope, B74_of_errors_at_the_same_moment_one_is_first_and_all_are_counted, .timeout = 120)
{
    enum { TASKS = 4 };
    stook_executor *executor = must_create(TASKS);

    for (int round = 0; round < 100; round++) {
        stook_scope *scope = must_scope(executor);
        struct stook_scope_outcome outcome;
        struct failing tasks[TASKS];
        struct gate gate = {0};
        atomic_int runs = 0;

        for (int i = 0; i < TASKS; i++) {
            tasks[i] = (struct failing){&gate, i + 1};
            stook_future_release(must_submit_in(executor, scope, failing_task, &tasks[i]));
        }
        gate_await(&gate, TASKS);
        must_submit_many_in(executor, scope, count_task, &runs, 5, NULL);
        gate_open(&gate);
        cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome), STOOK_TASK_FAILED);
        cr_assert_eq(outcome.failed, TASKS);
        cr_assert_eq(outcome.cancelled, 5, "none begins once one has failed");
        cr_assert_eq(atomic_load(&runs), 0);
        cr_assert(outcome.first_code >= 1 && outcome.first_code <= TASKS);
        stook_scope_destroy(scope);
    }
    stook_executor_destroy(executor);
}

/* --- cancelling ------------------------------------------------------------------------------- */

static int cancel_scope_thread(void *arg)
{
    return stook_scope_cancel(arg);
}

Test(scope, B72_exactly_one_canceller_of_a_scope_gets_true, .timeout = 60)
{
    enum { THREADS = 4 };
    stook_executor *executor = must_create(1);

    cr_assert_not(stook_scope_cancel(NULL));
    for (int round = 0; round < 100; round++) {
        stook_scope *scope = must_scope(executor);
        thrd_t threads[THREADS];
        int winners = 0;

        for (int i = 0; i < THREADS; i++) {
            must_start(&threads[i], cancel_scope_thread, scope);
        }
        for (int i = 0; i < THREADS; i++) {
            winners += must_join(threads[i]);
        }
        cr_assert_eq(winners, 1);
        stook_scope_destroy(scope);
    }
    stook_executor_destroy(executor);
}

/* B70 */
Test(scope, cancel_has_run_the_callbacks_when_it_returns_and_wakes_waiters, .timeout = 60)
{
    enum { FUTURES = 5 };
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    atomic_int runs = 0;

    fill_workers(executor, &gate, 1);
    for (int round = 0; round < 20; round++) {
        stook_scope *scope = must_scope(executor);
        struct called called[FUTURES] = {{.count = 0}};
        struct stook_scope_outcome outcome;
        stook_future *futures[FUTURES];
        thrd_t thread;

        must_submit_many_in(executor, scope, count_task, &runs, FUTURES, futures);
        for (int i = 0; i < FUTURES; i++) {
            cr_assert_eq(stook_future_on_done(futures[i], note_call, &called[i]), STOOK_OK);
        }
        must_start(&thread, result_thread, futures[0]);
        give_a_chance();
        cr_assert(stook_scope_cancel(scope));
        for (int i = 0; i < FUTURES; i++) {
            cr_assert_eq(atomic_load(&called[i].count), 1);
            cr_assert_eq(called[i].state, STOOK_STATE_CANCELLED);
        }
        cr_assert_eq(must_join(thread), STOOK_CANCELLED);
        cr_assert_eq(stook_scope_wait_until(scope, 0, &outcome), STOOK_CANCELLED);
        cr_assert(outcome_is(&outcome, FUTURES, 0, 0, FUTURES, 0));
        release_all(futures, FUTURES);
        stook_scope_destroy(scope);
    }
    gate_open(&gate);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

struct self_cancel {
    stook_executor *executor;
    stook_scope *scope;
    atomic_int runs;
    struct called called;
};

static int self_cancel_task(void *arg, void **ret_value)
{
    struct self_cancel *self = arg;
    stook_future *child = must_submit_in(self->executor, self->scope, count_task, &self->runs);

    (void)ret_value;
    MUST(stook_future_on_done(child, note_call, &self->called) == STOOK_OK);
    MUST(!stook_task_cancel_requested());
    MUST(stook_scope_cancel(self->scope));
    MUST(stook_task_cancel_requested());
    MUST(atomic_load(&self->called.count) == 1);
    MUST(stook_future_state(child) == STOOK_STATE_CANCELLED);
    stook_future_release(child);
    return 0;
}

Test(scope, a_task_may_cancel_its_own_scope, .timeout = 60)
{
    struct self_cancel self = {.executor = must_create(1)};
    struct stook_scope_outcome outcome;

    self.scope = must_scope(self.executor);
    stook_future_release(must_submit_in(self.executor, self.scope, self_cancel_task, &self));
    cr_assert_eq(stook_scope_wait_until(self.scope, STOOK_FOREVER, &outcome), STOOK_CANCELLED);
    cr_assert(outcome_is(&outcome, 2, 1, 0, 1, 0));
    stook_scope_destroy(self.scope);
    stook_executor_destroy(self.executor);
    cr_assert_eq(atomic_load(&self.runs), 0);
}

Test(scope, one_cancelled_task_makes_it_cancelled_but_not_the_others, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    stook_scope *scope = must_scope(executor);
    struct stook_scope_outcome outcome;
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *futures[3];

    fill_workers(executor, &gate, 1);
    must_submit_many_in(executor, scope, count_task, &runs, 3, futures);
    cr_assert_eq(stook_future_cancel(futures[1]), STOOK_CANCEL_DONE);
    gate_open(&gate);
    cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome), STOOK_CANCELLED);
    cr_assert(outcome_is(&outcome, 3, 2, 0, 1, 0));
    release_all(futures, 3);
    stook_scope_destroy(scope);
    stook_executor_destroy(executor);
}

/* --- waiting ---------------------------------------------------------------------------------- */

Test(scope, a_deadline_gives_the_exact_outcome_so_far, .timeout = 60)
{
    const int64_t passed[] = {0, -1, INT64_MIN};
    stook_executor *executor = must_create(2);
    stook_scope *scope = must_scope(executor);
    struct stook_scope_outcome outcome;
    struct gate gate = {0};
    atomic_int runs = 0;
    int64_t deadline;
    stook_future *queued[3];

    must_submit_many_in(executor, scope, count_task, &runs, 4, NULL);
    cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome), STOOK_OK);
    must_submit_many_in(executor, scope, gate_task, &gate, 2, NULL);
    gate_await(&gate, 2);
    must_submit_many_in(executor, scope, count_task, &runs, 3, queued);
    for (int i = 0; i < 3; i++) {
        outcome = (struct stook_scope_outcome){9, 9, 9, 9, 9};
        cr_assert_eq(stook_scope_wait_until(scope, passed[i], &outcome), STOOK_TIMEOUT);
        cr_assert(outcome_is(&outcome, 9, 4, 0, 0, 0));
    }
    cr_assert_eq(stook_future_cancel(queued[1]), STOOK_CANCEL_DONE);
    deadline = stook_deadline_after_ns(5 * MILLISECOND);
    cr_assert_eq(stook_scope_wait_until(scope, deadline, &outcome), STOOK_TIMEOUT);
    cr_assert_geq(stook_now_ns(), deadline);
    cr_assert(outcome_is(&outcome, 9, 4, 0, 1, 0));
    cr_assert_eq(stook_scope_wait_until(scope, 0, NULL), STOOK_TIMEOUT);
    gate_open(&gate);
    deadline = stook_deadline_after_ns(1000 * SECOND);
    cr_assert_eq(stook_scope_wait_until(scope, deadline, &outcome), STOOK_CANCELLED);
    cr_assert(outcome_is(&outcome, 9, 8, 0, 1, 0));
    release_all(queued, 3);
    stook_scope_destroy(scope);
    stook_executor_destroy(executor);
}

struct several {
    stook_executor *executor;
    stook_scope *scope;
    struct gate gate;
    atomic_int runs;
};

static int wait_scope_thread(void *arg)
{
    struct several *several = arg;
    struct stook_scope_outcome outcome;

    MUST(stook_scope_wait_until(several->scope, STOOK_FOREVER, &outcome) == STOOK_OK);
    MUST(outcome.submitted == outcome.done);
    return (int)outcome.done;
}

static int submit_scope_thread(void *arg)
{
    struct several *several = arg;

    for (int i = 0; i < 300; i++) {
        stook_future_release(
            must_submit_in(several->executor, several->scope, count_task, &several->runs));
    }
    return 0;
}

Test(scope, B21_several_threads_wait_while_others_submit, .timeout = 120)
{
    enum { WAITERS = 4, SUBMITTERS = 2 };
    struct several several = {.executor = must_create(2)};

    several.scope = must_scope(several.executor);
    for (int round = 1; round <= 10; round++) {
        thrd_t waiters[WAITERS], submitters[SUBMITTERS];

        atomic_store(&several.gate.open, false);
        stook_future_release(
            must_submit_in(several.executor, several.scope, gate_task, &several.gate));
        for (int i = 0; i < WAITERS; i++) {
            must_start(&waiters[i], wait_scope_thread, &several);
        }
        for (int i = 0; i < SUBMITTERS; i++) {
            must_start(&submitters[i], submit_scope_thread, &several);
        }
        for (int i = 0; i < SUBMITTERS; i++) {
            must_join(submitters[i]);
        }
        gate_open(&several.gate);
        for (int i = 0; i < WAITERS; i++) {
            cr_assert_eq(must_join(waiters[i]), round * (2 * 300 + 1));
        }
    }
    stook_scope_destroy(several.scope);
    stook_executor_destroy(several.executor);
}

struct own_wait {
    stook_executor *executor;
    stook_scope *own, *inner, *other;
    bool elsewhere; /* the inner task runs in another thread, not on the stack of the outer one */
    atomic_int runs;
};

static void must_refuse(stook_scope *scope)
{
    struct stook_scope_outcome outcome = {9, 9, 9, 9, 9};

    MUST(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome) == STOOK_DEADLOCK);
    MUST(stook_scope_wait_until(scope, stook_deadline_after_ns(1000 * SECOND), &outcome) ==
         STOOK_DEADLOCK);
    MUST(outcome_is(&outcome, 9, 9, 9, 9, 9));
}

static int inner_wait_task(void *arg, void **ret_value)
{
    struct own_wait *wait = arg;

    (void)ret_value;
    must_refuse(wait->inner);
    must_refuse(wait->own);
    atomic_fetch_add(&wait->runs, 1);
    return 0;
}

static int own_wait_task(void *arg, void **ret_value)
{
    struct own_wait *wait = arg;

    (void)ret_value;
    must_refuse(wait->own);
    wait->inner = must_scope(wait->executor);
    stook_future_release(must_submit_in(wait->executor, wait->inner, inner_wait_task, wait));
    SPIN_UNTIL(!wait->elsewhere || atomic_load(&wait->runs) == 2);
    MUST(stook_scope_wait_until(wait->inner, STOOK_FOREVER, NULL) == STOOK_OK);
    stook_scope_destroy(wait->inner);
    MUST(stook_scope_wait_until(wait->other, STOOK_FOREVER, NULL) == STOOK_OK);
    atomic_fetch_add(&wait->runs, 1);
    return 0;
}

Test(scope, B49_a_task_cannot_wait_for_its_own_scope_nor_for_one_around_it, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct reports reports = {.busy = ATOMIC_FLAG_INIT};
        struct own_wait wait = {.executor = must_create_reporting(workers, &reports),
                                .elsewhere = workers > 1};

        wait.own = must_scope(wait.executor);
        wait.other = must_scope(wait.executor);
        stook_future_release(must_submit_in(wait.executor, wait.other, count_task, &wait.runs));
        stook_future_release(must_submit_in(wait.executor, wait.own, own_wait_task, &wait));
        cr_assert_eq(stook_scope_wait_until(wait.own, STOOK_FOREVER, NULL), STOOK_OK);
        cr_assert_eq(atomic_load(&wait.runs), 3);
        stook_scope_destroy(wait.own);
        stook_scope_destroy(wait.other);
        stook_executor_destroy(wait.executor);
    }
}
