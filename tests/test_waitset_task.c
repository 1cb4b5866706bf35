/* SPDX-License-Identifier: MIT
 *
 * Waits for several futures inside tasks: that they lend their place, when awaited tasks are run in
 * place, and waits that could never end.
 */
#include "check.h"
#include "promise_support.h"

enum { CHILDREN = 8, MODES = 3 };

static const enum stook_wait_mode modes[MODES] = {STOOK_WAIT_ALL, STOOK_WAIT_ANY,
                                                  STOOK_WAIT_FIRST_ERROR};

struct child {
    struct parent *parent;
    int code;
    thrd_t thread;
};

struct parent {
    stook_executor *executor;
    enum stook_wait_mode mode;
    int64_t duration; /* STOOK_FOREVER: for ever */
    thrd_t thread;
    atomic_int runs;
    struct child children[CHILDREN];
};

static int child_task(void *arg, void **ret_value)
{
    struct child *child = arg;

    (void)ret_value;
    child->thread = thrd_current();
    atomic_fetch_add(&child->parent->runs, 1);
    return child->code;
}

static int parent_task(void *arg, void **ret_value)
{
    struct parent *parent = arg;
    stook_future *futures[CHILDREN];
    struct stook_wait_counts counts;
    bool done[CHILDREN];
    size_t sum = 0;

    (void)ret_value;
    parent->thread = thrd_current();
    for (int i = 0; i < CHILDREN; i++) {
        parent->children[i].parent = parent;
        futures[i] = must_submit(parent->executor, child_task, &parent->children[i]);
    }
    MUST(stook_wait_until(futures, CHILDREN, parent->mode, 0, NULL, &counts) == STOOK_TIMEOUT);
    MUST(counts.not_done == CHILDREN && atomic_load(&parent->runs) == 0);
    MUST(stook_wait_until(futures, CHILDREN, parent->mode,
                          stook_deadline_after_ns(parent->duration), done, &counts) == STOOK_OK);
    for (int i = 0; i < CHILDREN; i++) {
        MUST(!done[i] || stook_future_done(futures[i]));
        sum += done[i];
    }
    MUST(counts.done == sum && counts.not_done == CHILDREN - sum);
    MUST(parent->mode == STOOK_WAIT_ALL ? sum == CHILDREN : sum > 0);
    MUST(stook_wait_until(futures, CHILDREN, STOOK_WAIT_ALL, stook_deadline_after_ns(1000 * SECOND),
                          NULL, NULL) == STOOK_OK);
    release_all(futures, CHILDREN);
    return 0;
}

/* With one worker, whoever waits without running or lending anything waits for ever. */
Test(waitset_task, B48_children_of_a_waiting_task_run_on_its_only_worker, .timeout = 120)
{
    for (int number = 0; number < MODES * 2 * 2; number++) {
        struct parent parent = {
            .executor = must_create(1),
            .mode = modes[number % MODES],
            .duration = number / MODES % 2 ? STOOK_FOREVER : 1000 * SECOND,
        };
        stook_future *future;

        parent.children[CHILDREN / 2].code = number / MODES / 2;
        future = must_submit(parent.executor, parent_task, &parent);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        cr_assert_eq(atomic_load(&parent.runs), CHILDREN);
        stook_future_release(future);
        stook_executor_destroy(parent.executor);
        if (parent.mode == STOOK_WAIT_ALL && parent.duration == STOOK_FOREVER) {
            continue;
        }
        for (int i = 0; i < CHILDREN; i++) {
            cr_assert_not(thrd_equal(parent.children[i].thread, parent.thread),
                          "run in place by a wait that is not for all of them, for ever");
        }
    }
}

struct mixed {
    stook_executor *executor;
    struct promised made;
    stook_executor *other;
    struct gate gate;
    atomic_int begun, runs;
    enum stook_wait_mode mode;
};

static int mixed_task(void *arg, void **ret_value)
{
    struct mixed *mixed = arg;
    stook_future *futures[] = {mixed->made.future,
                               must_submit(mixed->executor, count_task, &mixed->runs),
                               must_submit(mixed->other, gate_task, &mixed->gate)};
    struct stook_wait_counts counts;

    (void)ret_value;
    atomic_fetch_add(&mixed->begun, 1);
    MUST(stook_wait_until(futures, 3, mixed->mode, STOOK_FOREVER, NULL, &counts) == STOOK_OK);
    MUST(mixed->mode == STOOK_WAIT_ANY || counts.done == 3);
    MUST(counts.done > 0 && counts.done + counts.not_done == 3);
    stook_future_release(futures[1]);
    stook_future_release(futures[2]);
    return 0;
}

/* B18; others may use the place meanwhile */
Test(waitset_task, B18_of_several_executors_and_promises, .timeout = 60)
{
    for (int i = 0; i < MODES; i++) {
        struct mixed mixed = {
            .executor = must_create(1), .other = must_create(1), .mode = modes[i]};
        stook_future *tasks[2];
        stook_future *unrelated;

        mixed.made = must_promise();
        tasks[0] = must_submit(mixed.executor, mixed_task, &mixed);
        tasks[1] = must_submit(mixed.executor, mixed_task, &mixed);
        SPIN_UNTIL(atomic_load(&mixed.begun) == 2);
        unrelated = must_submit(mixed.executor, count_task, &mixed.runs);
        cr_assert_eq(stook_future_result(unrelated, NULL), STOOK_OK);
        gate_open(&mixed.gate);
        must_complete(&mixed.made, 0, NULL);
        cr_assert_eq(stook_wait_until(tasks, 2, STOOK_WAIT_ALL, STOOK_FOREVER, NULL, NULL),
                     STOOK_OK);
        stook_executor_destroy(mixed.executor);
        stook_executor_destroy(mixed.other);
        cr_assert_eq(atomic_load(&mixed.runs), 3);
        release_all(tasks, 2);
        stook_future_release(unrelated);
        release_promised(&mixed.made);
    }
}

/* --- waits that could never end -----------------------------------------------------------------
 */

struct self {
    _Atomic(stook_future *) future;
    struct promised made;
    atomic_bool waits;
};

static int wait_for_self(void *arg, void **ret_value)
{
    struct self *self = arg;
    struct stook_wait_counts counts = {77, 77};
    bool done[2] = {true, true};
    stook_future *futures[2];

    (void)ret_value;
    SPIN_UNTIL(atomic_load(&self->future) != NULL);
    futures[0] = atomic_load(&self->future);
    futures[1] = self->made.future;
    for (int i = 0; i < MODES; i++) {
        MUST(stook_wait_until(futures, 1, modes[i], STOOK_FOREVER, done, &counts) ==
             STOOK_DEADLOCK);
        MUST(stook_wait_until(futures, 1, modes[i], 0, NULL, NULL) == STOOK_TIMEOUT);
    }
    MUST(stook_wait_until(futures, 2, STOOK_WAIT_ALL, STOOK_FOREVER, done, &counts) ==
         STOOK_DEADLOCK);
    MUST(done[0] && done[1] && counts.done == 77 && counts.not_done == 77);
    atomic_store(&self->waits, true);
    MUST(stook_wait_until(futures, 2, STOOK_WAIT_ANY, STOOK_FOREVER, done, &counts) == STOOK_OK);
    MUST(!done[0] && done[1] && counts.done == 1 && counts.not_done == 1);
    MUST(stook_wait_until(futures, 2, STOOK_WAIT_FIRST_ERROR, STOOK_FOREVER, done, &counts) ==
         STOOK_OK);
    return 0;
}

Test(waitset_task, B49_a_wait_for_oneself_is_a_deadlock_unless_another_can_end_it, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct self self = {.made = must_promise()};
    stook_future *future = must_submit(executor, wait_for_self, &self);

    atomic_store(&self.future, future);
    SPIN_UNTIL(atomic_load(&self.waits));
    give_a_chance();
    must_complete(&self.made, 5, NULL);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    release_promised(&self.made);
    stook_executor_destroy(executor);
}

/* The first error cannot come any more once only the caller is left. */
static int left_alone_task(void *arg, void **ret_value)
{
    struct self *self = arg;
    struct stook_wait_counts counts = {77, 77};
    stook_future *futures[2];

    (void)ret_value;
    SPIN_UNTIL(atomic_load(&self->future) != NULL);
    futures[0] = atomic_load(&self->future);
    futures[1] = self->made.future;
    atomic_store(&self->waits, true);
    MUST(stook_wait_until(futures, 2, STOOK_WAIT_FIRST_ERROR, STOOK_FOREVER, NULL, &counts) ==
         STOOK_DEADLOCK);
    MUST(counts.done == 77 && counts.not_done == 77);
    return 0;
}

Test(waitset_task, B49_a_wait_in_which_only_the_caller_is_left_is_a_deadlock, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct self self = {.made = must_promise()};
    stook_future *future = must_submit(executor, left_alone_task, &self);

    atomic_store(&self.future, future);
    SPIN_UNTIL(atomic_load(&self.waits));
    give_a_chance();
    must_complete(&self.made, 0, NULL);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    release_promised(&self.made);
    stook_executor_destroy(executor);
}

/* --- nesting ---------------------------------------------------------------------------------- */

struct tree {
    stook_executor *executor;
    int depth;
    atomic_int *leaves;
};

static int tree_task(void *arg, void **ret_value)
{
    const struct tree *tree = arg;
    struct tree children[3];
    stook_future *futures[3];
    bool done[3];

    (void)ret_value;
    if (tree->depth == 0) {
        atomic_fetch_add(tree->leaves, 1);
        return 0;
    }
    for (int i = 0; i < 3; i++) {
        children[i] = (struct tree){tree->executor, tree->depth - 1, tree->leaves};
        futures[i] = must_submit(tree->executor, tree_task, &children[i]);
    }
    if (tree->depth % 2) {
        MUST(stook_wait_until(futures, 3, STOOK_WAIT_ANY, STOOK_FOREVER, done, NULL) == STOOK_OK);
    }
    MUST(stook_wait_until(futures, 3, STOOK_WAIT_ALL, STOOK_FOREVER, done, NULL) == STOOK_OK);
    release_all(futures, 3);
    return 0;
}

Test(waitset_task, B48_trees_of_tasks_that_wait_for_all_their_children, .timeout = 120)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        atomic_int leaves = 0;
        struct tree root = {must_create(workers), 6, &leaves};
        stook_future *future = must_submit(root.executor, tree_task, &root);

        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        cr_assert_eq(atomic_load(&leaves), 729);
        stook_future_release(future);
        stook_executor_destroy(root.executor);
    }
}
