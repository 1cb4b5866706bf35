/* SPDX-License-Identifier: MIT
 *
 * Forks that other workers take: that they do, the oldest first, all of them; what they wrote is
 * visible behind the join; and the thread that waits in a join, which makes calls of the awaited
 * one's subtree and no other, and lends its worker when there are none.
 */
#include <string.h>
#include "check.h"
#include "fork_support.h"
#include "fork_tree.h"

/* --- workers without work take forks ---------------------------------------------------------- */

/* A caller and a call that wait for one another, so that they must be made by two threads. */
struct meeting {
    atomic_int begun, may_end;
    thrd_t thread;
    bool was_wanted;
};

static void meet(stook_here *here, void *arg)
{
    struct meeting *meeting = arg;

    meeting->thread = thrd_current();
    atomic_store(&meeting->begun, 1);
    FORK_UNTIL(here, atomic_load(&meeting->may_end));
}

/* Nothing but the fork itself tells the others. */
static void fork_when_wanted(stook_here *here, void *arg)
{
    struct meeting *meeting = arg;

    SPIN_UNTIL(stook_fork_is_wanted(here));
    (void)stook_fork(here, meet, meeting);
    SPIN_UNTIL(atomic_load(&meeting->begun));
    MUST(!thrd_equal(meeting->thread, thrd_current()));
    atomic_store(&meeting->may_end, 1);
    MUST(!stook_join(here));
}

Test(fork_join_steal, a_fork_that_is_wanted_is_taken, .timeout = 60)
{
    for (unsigned workers = 2; workers <= 4; workers += 2) {
        stook_executor *executor = must_create(workers);

        for (int i = 0; i < 300; i++) {
            struct meeting meeting = {0};

            must_run(executor, fork_when_wanted, &meeting);
        }
        stook_executor_destroy(executor);
    }
}

/* The fork is older than anybody's want. */
static void fork_before_it_is_wanted(stook_here *here, void *arg)
{
    struct gate *gate = arg;
    struct meeting meeting = {0};
    stook_here *above;

    gate_await(gate, 1); /* the other worker is busy */
    above = stook_fork(here, meet, &meeting);
    MUST(!atomic_load(&meeting.begun));
    gate_open(gate);
    FORK_UNTIL(above, atomic_load(&meeting.begun));
    MUST(!thrd_equal(meeting.thread, thrd_current()));
    atomic_store(&meeting.may_end, 1);
    MUST(!stook_join(here));
}

Test(fork_join_steal, a_fork_is_taken_by_who_comes_later, .timeout = 60)
{
    stook_executor *executor = must_create(2);

    for (int i = 0; i < 200; i++) {
        struct gate gate = {0};
        stook_future *busy = must_submit(executor, gate_task, &gate);

        must_run(executor, fork_before_it_is_wanted, &gate);
        MUST(stook_future_result(busy, NULL) == STOOK_OK);
        stook_future_release(busy);
    }
    stook_executor_destroy(executor);
}

static void see_want_end(stook_here *here, void *arg)
{
    struct gate *gate = arg;

    gate_await(gate, 1);
    FORK_UNTIL(here, !stook_fork_is_wanted(here)); /* the other worker is busy */
    gate_open(gate);
    FORK_UNTIL(here, stook_fork_is_wanted(here));
}

Test(fork_join_steal, forks_are_wanted_while_a_worker_has_nothing_to_do, .timeout = 60)
{
    stook_executor *executor = must_create(2);

    for (int i = 0; i < 50; i++) {
        struct gate gate = {0};
        stook_future *busy = must_submit(executor, gate_task, &gate);

        must_run(executor, see_want_end, &gate);
        MUST(stook_future_result(busy, NULL) == STOOK_OK);
        stook_future_release(busy);
    }
    stook_executor_destroy(executor);
}

/* A binary tree whose leaves wait for all others: each needs a thread of its own. */
struct assembly {
    int leaves;
    atomic_int arrived;
};

struct half {
    struct assembly *assembly;
    int leaves;
};

static void assemble(stook_here *here, void *arg)
{
    const struct half *half = arg;
    struct half left = {half->assembly, half->leaves / 2};
    struct half right = {half->assembly, half->leaves - left.leaves};

    if (half->leaves == 1) {
        atomic_fetch_add(&half->assembly->arrived, 1);
        FORK_UNTIL(here, atomic_load(&half->assembly->arrived) == half->assembly->leaves);
        return;
    }
    stook_here *above = stook_fork(here, assemble, &right);
    assemble(above, &left);
    if (stook_join(here)) {
        assemble(here, &right);
    }
}

Test(fork_join_steal, every_worker_gets_a_share, .timeout = 120)
{
    for (int workers = 2; workers <= 16; workers += 7) {
        stook_executor *executor = must_create((unsigned)workers);

        for (int i = 0; i < 20; i++) {
            struct assembly assembly = {.leaves = workers};
            struct half whole = {&assembly, workers};

            must_run(executor, assemble, &whole);
            cr_assert_eq(atomic_load(&assembly.arrived), workers);
        }
        stook_executor_destroy(executor);
    }
}

/* --- the oldest first ------------------------------------------------------------------------- */

enum { QUEUED = 12 };

struct line {
    struct gate gate; /* holds the other worker */
    atomic_int next;
    int order[QUEUED];
    struct in_line {
        struct line *line;
        int number;
    } calls[QUEUED];
};

static void note_order(stook_here *here, void *arg)
{
    const struct in_line *call = arg;

    (void)here;
    call->line->order[atomic_load(&call->line->next)] = call->number;
    atomic_fetch_add(&call->line->next, 1);
}

static void form_line(stook_here *here, void *arg)
{
    struct line *line = arg;
    stook_here *at[QUEUED + 1] = {here};

    gate_await(&line->gate, 1);
    for (int i = 0; i < QUEUED; i++) {
        line->calls[i] = (struct in_line){line, i};
        at[i + 1] = stook_fork(at[i], note_order, &line->calls[i]);
    }
    MUST(atomic_load(&line->next) == 0);
    gate_open(&line->gate);
    FORK_UNTIL(at[QUEUED], atomic_load(&line->next) == QUEUED);
    for (int i = QUEUED; i-- > 0;) {
        MUST(!stook_join(at[i]));
        MUST(line->order[i] == i);
    }
}

Test(fork_join_steal, the_oldest_fork_is_taken_first, .timeout = 60)
{
    stook_executor *executor = must_create(2);

    for (int i = 0; i < 200; i++) {
        struct line line = {.gate = {0}};
        stook_future *busy = must_submit(executor, gate_task, &line.gate);

        must_run(executor, form_line, &line);
        MUST(stook_future_result(busy, NULL) == STOOK_OK);
        stook_future_release(busy);
    }
    stook_executor_destroy(executor);
}

/* --- what is visible to whom ------------------------------------------------------------------ */

enum { BYTES = 10000 };

struct letter {
    unsigned char from[BYTES], back[BYTES]; /* plain */
    atomic_bool begun;
};

static void answer_letter(stook_here *here, void *arg)
{
    struct letter *letter = arg;

    (void)here;
    atomic_store_explicit(&letter->begun, true, memory_order_relaxed);
    for (int i = 0; i < BYTES; i++) {
        letter->back[i] = (unsigned char)(letter->from[i] + 1);
    }
}

static void write_letter(stook_here *here, void *arg)
{
    struct letter *letter = arg;
    const unsigned char text = letter->from[0];
    stook_here *above;

    memset(letter->from, text, BYTES);
    above = stook_fork(here, answer_letter, letter);
    FORK_UNTIL(above, atomic_load_explicit(&letter->begun, memory_order_relaxed));
    MUST(!stook_join(here));
    for (int i = 0; i < BYTES; i++) {
        MUST(letter->back[i] == (unsigned char)(text + 1));
    }
}

Test(fork_join_steal, what_was_written_is_visible_on_the_other_side, .timeout = 60)
{
    static struct letter letter;
    stook_executor *executor = must_create(2);

    for (int i = 0; i < 300; i++) {
        atomic_store(&letter.begun, false);
        letter.from[0] = (unsigned char)i;
        must_run(executor, write_letter, &letter);
        cr_assert_eq(letter.back[BYTES - 1], (unsigned char)(i + 1));
    }
    stook_executor_destroy(executor);
}

/* --- who waits in a join ---------------------------------------------------------------------- */

struct leap {
    thrd_t caller;
    atomic_bool call_begun, is_forked, grandchild_begun;
    bool was_made_by_caller, was_made_elsewhere;
};

static void grandchild(stook_here *here, void *arg)
{
    struct leap *leap = arg;

    (void)here;
    leap->was_made_by_caller = thrd_equal(thrd_current(), leap->caller);
    atomic_store(&leap->grandchild_begun, true);
}

/* The other worker's: goes on only when somebody has begun its own fork. */
static void child(stook_here *here, void *arg)
{
    struct leap *leap = arg;
    stook_here *above;

    atomic_store(&leap->call_begun, true);
    above = stook_fork(here, grandchild, leap);
    atomic_store(&leap->is_forked, true);
    FORK_UNTIL(above, atomic_load(&leap->grandchild_begun));
    leap->was_made_elsewhere = !stook_join(here);
}

static void leap(stook_here *here, void *arg)
{
    struct leap *leap = arg;
    stook_here *above = stook_fork(here, child, leap);

    leap->caller = thrd_current();
    FORK_UNTIL(above, atomic_load(&leap->call_begun));
    SPIN_UNTIL(atomic_load(&leap->is_forked));
    MUST(!stook_join(here));
    MUST(leap->was_made_elsewhere);
}

/* Each time the grandchild must be made by some third party, which may be a thread to which the
 * caller's worker was lent; but not always. */
Test(fork_join_steal, who_waits_for_a_call_makes_those_below_it, .timeout = 120)
{
    stook_executor *executor = must_create(2);
    int leaps = 0;

    for (int i = 0; i < 20000 && leaps < 20; i++) {
        struct leap one = {.call_begun = false};

        must_run(executor, leap, &one);
        leaps += one.was_made_by_caller;
    }
    cr_assert_gt(leaps, 0);
    stook_executor_destroy(executor);
}

/* Leaves that take a while, so that joins wait: visit() judges what comes on whose stack. */
static void linger_in_leaves(stook_here *here, struct node *node)
{
    (void)here;
    if (node->child_count == 0) {
        for (unsigned i = node->size + node->depth % 5; i > 0; i--) {
            thrd_yield();
        }
    }
}

Test(fork_join_steal, no_other_call_stands_on_the_stack_of_who_waits, .timeout = 120)
{
    uint64_t random = 77;
    unsigned made_elsewhere = 0;

    for (unsigned workers = 2; workers <= 8; workers += 3) {
        stook_executor *executor = must_create(workers);

        for (int i = 0; i < 30; i++) {
            struct tree tree;

            tree_create(&tree, (enum tree_shape)(i % TREE_SHAPES), 800, &random);
            tree.work = linger_in_leaves;
            must_run(executor, visit, tree.nodes);
            tree_check(&tree);
            made_elsewhere += atomic_load(&tree.made_elsewhere);
            tree_destroy(&tree);
        }
        stook_executor_destroy(executor);
    }
    cr_assert_gt(made_elsewhere, 0u);
}

/* --- tasks meanwhile -------------------------------------------------------------------------- */

static _Thread_local bool is_in_join;

struct lending {
    atomic_bool begun;
    atomic_int runs;
    stook_executor *executor;
    stook_future *futures[10];
};

static int stranger_task(void *arg, void **ret_value)
{
    struct lending *lending = arg;

    (void)ret_value;
    MUST(!is_in_join);
    atomic_fetch_add(&lending->runs, 1);
    return 0;
}

/* Ends only when tasks have run, for which it leaves no worker but the one of who waits for it. */
static void outlast_tasks(stook_here *here, void *arg)
{
    struct lending *lending = arg;

    (void)here;
    atomic_store(&lending->begun, true);
    SPIN_UNTIL(atomic_load(&lending->runs) == 10);
}

static void join_what_outlasts(stook_here *here, void *arg)
{
    struct lending *lending = arg;
    stook_here *above = stook_fork(here, outlast_tasks, lending);

    FORK_UNTIL(above, atomic_load(&lending->begun));
    for (int i = 0; i < 10; i++) {
        lending->futures[i] = must_submit(lending->executor, stranger_task, lending);
    }
    is_in_join = true;
    MUST(!stook_join(here));
    is_in_join = false;
}

Test(fork_join_steal, a_worker_is_lent_while_a_join_blocks, .timeout = 60)
{
    stook_executor *executor = must_create(2);

    for (int i = 0; i < 100; i++) {
        struct lending lending = {.executor = executor};

        must_run(executor, join_what_outlasts, &lending);
        for (int j = 0; j < 10; j++) {
            MUST(stook_future_result(lending.futures[j], NULL) == STOOK_OK);
        }
        release_all(lending.futures, 10);
    }
    stook_executor_destroy(executor);
}

/* A lock that is held across a join, by several regions: who waits in the join may meet neither
 * another region nor a task that wants it. */
struct lock_holder {
    mtx_t *lock;
    int *sum; /* guarded by the lock */
};

static void take_time(stook_here *here, void *arg)
{
    (void)here;
    (void)arg;
    thrd_yield();
}

static void join_under_lock(stook_here *here, void *arg)
{
    const struct lock_holder *holder = arg;
    struct fib right = {.n = 12};
    stook_here *above = stook_fork(here, fib_fork, &right);
    stook_here *top = stook_fork(above, take_time, NULL);

    mtx_lock(holder->lock);
    ++*holder->sum;
    thrd_yield();
    (void)stook_join(above);
    if (stook_join(here)) {
        fib_fork(here, &right);
    }
    --*holder->sum;
    MUST(*holder->sum == 0);
    mtx_unlock(holder->lock);
    MUST(right.result == plain_fib(12));
    (void)top;
}

struct locking_task {
    struct lock_holder holder;
    stook_executor *executor;
};

static int locking_task(void *arg, void **ret_value)
{
    struct locking_task *task = arg;

    (void)ret_value;
    must_run(task->executor, join_under_lock, &task->holder);
    return 0;
}

Test(fork_join_steal, a_lock_may_be_held_across_a_join, .timeout = 120)
{
    enum { TASKS = 50 };

    for (unsigned workers = 1; workers <= 4; workers++) {
        stook_executor *executor = must_create(workers);
        stook_future *futures[TASKS];
        mtx_t lock;
        int sum = 0;
        struct locking_task task = {{&lock, &sum}, executor};

        mtx_init(&lock, mtx_plain);
        for (int round = 0; round < 10; round++) {
            for (int i = 0; i < TASKS; i++) {
                futures[i] = must_submit(executor, locking_task, &task);
            }
            for (int i = 0; i < TASKS; i++) {
                MUST(stook_future_result(futures[i], NULL) == STOOK_OK);
            }
            release_all(futures, TASKS);
        }
        stook_executor_destroy(executor);
        mtx_destroy(&lock);
    }
}
