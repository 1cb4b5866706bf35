/* SPDX-License-Identifier: MIT
 *
 * Fork and join: results, each call made once, the order of one worker, and forks beyond the
 * number that can be offered. Who takes forks is in test_fork_join_steal.c; regions among tasks,
 * executors and statuses in test_fork_join_region.c.
 */
#include "check.h"
#include "fork_support.h"
#include "fork_tree.h"

static const unsigned worker_counts[] = {1, 2, 4, 16};
enum { WORKER_COUNTS = sizeof worker_counts / sizeof worker_counts[0] };

/* --- results ---------------------------------------------------------------------------------- */

Test(fork_join, fib_is_right_with_any_number_of_workers, .timeout = 60)
{
    for (int i = 0; i < WORKER_COUNTS; i++) {
        stook_executor *executor = must_create(worker_counts[i]);

        for (int n = 0; n <= 22; n++) {
            cr_assert_eq(run_fib(executor, n), plain_fib(n), "%u workers, fib(%d)",
                         worker_counts[i], n);
        }
        stook_executor_destroy(executor);
    }
}

/* Queens that stand on the first rows of a board, as sets of columns. */
struct queens {
    unsigned size, row, columns, left, right;
    unsigned solutions;
};

static void count_queens(stook_here *here, void *arg)
{
    enum { MOST_SIZE = 10 };
    struct queens *queens = arg;
    struct queens next[MOST_SIZE];
    stook_here *at[MOST_SIZE + 1] = {here};
    unsigned count = 0;

    if (queens->row == queens->size) {
        queens->solutions = 1;
        return;
    }
    for (unsigned column = 0; column < queens->size; column++) {
        const unsigned bit = 1u << column;

        if (!((queens->columns | queens->left | queens->right) & bit)) {
            next[count] = (struct queens){queens->size,
                                          queens->row + 1,
                                          queens->columns | bit,
                                          (queens->left | bit) << 1,
                                          (queens->right | bit) >> 1,
                                          0};
            at[count + 1] = stook_fork(at[count], count_queens, &next[count]);
            count++;
        }
    }
    while (count-- > 0) {
        if (stook_join(at[count])) {
            count_queens(at[count], &next[count]);
        }
        queens->solutions += next[count].solutions;
    }
}

Test(fork_join, queens_are_counted_right, .timeout = 60)
{
    static const unsigned solutions[] = {1, 1, 0, 0, 2, 10, 4, 40, 92, 352};

    for (int i = 0; i < WORKER_COUNTS; i++) {
        stook_executor *executor = must_create(worker_counts[i]);

        for (unsigned size = 0; size < 10; size++) {
            struct queens queens = {.size = size};

            must_run(executor, count_queens, &queens);
            cr_assert_eq(queens.solutions, solutions[size], "%u workers, %u queens",
                         worker_counts[i], size);
        }
        stook_executor_destroy(executor);
    }
}

/* Waits here and there until another worker has something to do. */
static void pause_now_and_then(stook_here *here, struct node *node)
{
    (void)here;
    if (node->size % 7 == 3) {
        thrd_yield();
    }
}

Test(fork_join, each_call_is_made_once_on_a_stack_of_its_ancestors, .timeout = 120)
{
    uint64_t random = 12;

    for (int i = 0; i < WORKER_COUNTS; i++) {
        stook_executor *executor = must_create(worker_counts[i]);

        for (int round = 0; round < 40; round++) {
            struct tree tree;

            tree_create(&tree, (enum tree_shape)(round % TREE_SHAPES),
                        1 + random_below(&random, 4000), &random);
            tree.work = round % 3 == 0 ? pause_now_and_then : NULL;
            must_run(executor, visit, tree.nodes);
            tree_check(&tree);
            cr_assert(worker_counts[i] > 1 || atomic_load(&tree.made_elsewhere) == 0);
            tree_destroy(&tree);
        }
        stook_executor_destroy(executor);
    }
}

struct invoked {
    long sum;
    int calls;
};

static void invoke_tree(stook_here *here, void *arg)
{
    struct invoked *invoked = arg;
    struct invoked first = {invoked->sum / 2, 0};
    struct invoked second = {invoked->sum - first.sum, 0};

    invoked->calls++;
    if (invoked->sum > 1) {
        stook_invoke(here, invoke_tree, &first, invoke_tree, &second);
        invoked->sum = first.sum + second.sum;
        invoked->calls += first.calls + second.calls;
    }
}

Test(fork_join, invoke_makes_both_calls, .timeout = 60)
{
    for (int i = 0; i < WORKER_COUNTS; i++) {
        stook_executor *executor = must_create(worker_counts[i]);
        struct invoked whole = {3000, 0};

        must_run(executor, invoke_tree, &whole);
        cr_assert_eq(whole.sum, 3000);
        cr_assert_eq(whole.calls, 2 * 3000 - 1);
        stook_executor_destroy(executor);
    }
}

/* --- one worker ------------------------------------------------------------------------------- */

/* The visits of a subtree as they follow one another in the plain program. */
static void expect_turns(const struct node *node, unsigned *turn)
{
    cr_assert_eq(node->turn, *turn);
    ++*turn;
    if (node->child_count > 0) {
        expect_turns(&node->children[0], turn);
    }
    for (unsigned i = node->child_count; i-- > 1;) {
        expect_turns(&node->children[i], turn);
    }
}

static unsigned count_forks(const struct tree *tree)
{
    unsigned forks = 0;

    for (unsigned i = 0; i < tree->count; i++) {
        forks += tree->nodes[i].child_count > 1 ? tree->nodes[i].child_count - 1 : 0;
    }
    return forks;
}

Test(fork_join, with_one_worker_it_is_the_sequential_program, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    uint64_t random = 5;

    for (int round = 0; round < 8; round++) {
        unsigned turn = 0;
        struct tree tree;

        tree_create(&tree, (enum tree_shape)(round % TREE_SHAPES), 3000, &random);
        tree.has_turns = true;
        must_run(executor, visit, tree.nodes);
        tree_check(&tree);
        expect_turns(tree.nodes, &turn);
        cr_assert_eq(atomic_load(&tree.made_elsewhere), 0u);
        cr_assert_eq(atomic_load(&tree.made_here), count_forks(&tree));
        tree_destroy(&tree);
    }
    stook_executor_destroy(executor);
}

static void look_whether_wanted(stook_here *here, void *ret_wanted)
{
    bool *wanted = ret_wanted;

    *wanted = stook_fork_is_wanted(here);
    for (int i = 0; i < 1000; i++) {
        (void)stook_fork(here, do_nothing, NULL);
        MUST(stook_join(here));
        *wanted |= stook_fork_is_wanted(here);
    }
}

Test(fork_join, with_one_worker_no_fork_is_wanted)
{
    stook_executor *executor = must_create(1);
    bool wanted = true;

    for (int i = 0; i < 3; i++) {
        must_run(executor, look_whether_wanted, &wanted);
        cr_assert(!wanted);
    }
    stook_executor_destroy(executor);
}

/* --- joins that say: nobody has made the call ---------------------------------------------------
 */

enum { LEFT_OUT = 2000 };

struct left_out {
    atomic_int calls[LEFT_OUT];
    int made_elsewhere[LEFT_OUT];
};

static void leave_out(stook_here *here, void *arg)
{
    struct left_out *left_out = arg;

    for (int i = 0; i < LEFT_OUT; i += 2) {
        stook_here *above = stook_fork(here, count_fork, &left_out->calls[i]);

        (void)stook_fork(above, count_fork, &left_out->calls[i + 1]);
        if (i % 10 == 0) {
            thrd_yield();
        }
        left_out->made_elsewhere[i + 1] = !stook_join(above);
        left_out->made_elsewhere[i] = !stook_join(here);
    }
}

/* The caller does not make them: so they have been made if and only if the join said so. */
Test(fork_join, a_call_may_be_left_out, .timeout = 60)
{
    static struct left_out left_out;

    for (int i = 0; i < WORKER_COUNTS; i++) {
        stook_executor *executor = must_create(worker_counts[i]);

        left_out = (struct left_out){.made_elsewhere = {0}};
        must_run(executor, leave_out, &left_out);
        stook_executor_destroy(executor);
        for (int j = 0; j < LEFT_OUT; j++) {
            cr_assert_eq(atomic_load(&left_out.calls[j]), left_out.made_elsewhere[j],
                         "%u workers, call %d", worker_counts[i], j);
        }
    }
}

/* --- many open forks -------------------------------------------------------------------------- */

enum { OPEN = 10000 };

struct open_forks {
    struct open_fork {
        struct open_forks *all;
        int calls; /* plain */
        long result;
    } forks[OPEN];
    stook_here *at[OPEN + 1];
    unsigned count;
    bool waits_for_thieves;
    atomic_uint made_elsewhere, thieves;
};

static void make_open(stook_here *here, void *arg)
{
    struct open_fork *open = arg;

    open->calls++;
    open->result = fib(here, (int)(open - open->all->forks) % 8);
}

static void make_open_elsewhere(stook_here *here, void *arg)
{
    struct open_fork *open = arg;

    atomic_fetch_add(&open->all->thieves, 1);
    make_open(here, arg);
}

static void open_in_a_row(stook_here *here, void *arg)
{
    struct open_forks *all = arg;

    all->at[0] = here;
    for (unsigned i = 0; i < all->count; i++) {
        all->at[i + 1] = stook_fork(all->at[i], make_open_elsewhere, &all->forks[i]);
    }
    if (all->waits_for_thieves) {
        FORK_UNTIL(all->at[all->count], atomic_load(&all->thieves) > 0);
    }
    for (unsigned i = all->count; i-- > 0;) {
        if (stook_join(all->at[i])) {
            make_open(all->at[i], &all->forks[i]);
        } else {
            atomic_fetch_add(&all->made_elsewhere, 1);
        }
    }
}

static void check_open_forks(stook_executor *executor, struct open_forks *all, stook_fork_fn *fn,
                             unsigned count, bool waits_for_thieves)
{
    *all = (struct open_forks){.count = count, .waits_for_thieves = waits_for_thieves};
    for (unsigned i = 0; i < count; i++) {
        all->forks[i].all = all;
    }
    must_run(executor, fn, all);
    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(all->forks[i].calls, 1, "fork %u of %u", i, count);
        cr_assert_eq(all->forks[i].result, plain_fib((int)i % 8), "fork %u of %u", i, count);
    }
    cr_assert_eq(atomic_load(&all->made_elsewhere), atomic_load(&all->thieves));
}

/* As many as can be offered, one less, one more, and far more. */
static const unsigned open_counts[] = {1, 2, 4000, 4092, 4093, 4094, 4095, 4096, 4097, OPEN};
enum { OPEN_COUNTS = sizeof open_counts / sizeof open_counts[0] };

Test(fork_join, any_number_may_be_open, .timeout = 120)
{
    static struct open_forks all;

    for (int i = 0; i < WORKER_COUNTS; i++) {
        stook_executor *executor = must_create(worker_counts[i]);

        for (int j = 0; j < OPEN_COUNTS; j++) {
            check_open_forks(executor, &all, open_in_a_row, open_counts[j], false);
            cr_assert(worker_counts[i] > 1 || atomic_load(&all.thieves) == 0);
            if (worker_counts[i] > 1) {
                check_open_forks(executor, &all, open_in_a_row, open_counts[j], true);
            }
            cr_assert_eq(run_fib(executor, 15), 610);
        }
        stook_executor_destroy(executor);
    }
}

static void open_deeper(stook_here *here, struct open_forks *all, unsigned i)
{
    if (i == all->count) {
        if (all->waits_for_thieves) {
            FORK_UNTIL(here, atomic_load(&all->thieves) > 0);
        }
        return;
    }
    open_deeper(stook_fork(here, make_open_elsewhere, &all->forks[i]), all, i + 1);
    if (stook_join(here)) {
        make_open(here, &all->forks[i]);
    } else {
        atomic_fetch_add(&all->made_elsewhere, 1);
    }
}

static void open_in_depth(stook_here *here, void *arg)
{
    open_deeper(here, arg, 0);
}

Test(fork_join, recursion_may_be_deep, .timeout = 120)
{
    static struct open_forks all;

    for (int i = 0; i < WORKER_COUNTS; i++) {
        struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
        stook_executor *executor = NULL;

        options.workers = worker_counts[i];
        options.stack_size = (size_t)8 << 20; /* as glibc has it, and others do not */
        cr_assert_eq(stook_executor_create(&options, &executor), STOOK_OK);
        check_open_forks(executor, &all, open_in_depth, OPEN, worker_counts[i] > 1);
        check_open_forks(executor, &all, open_in_depth, OPEN, false);
        stook_executor_destroy(executor);
    }
}
