/* SPDX-License-Identifier: MIT
 *
 * Regions of forks and joins when an allocation or a thread fails: a status and nothing left behind
 * for the 1st, 2nd, 3rd, ... that does. Forks and joins themselves need no memory: they cannot
 * fail, and without thieves nothing is allocated at all.
 */
#include <limits.h>
#include "check.h"
#include "failing.h"
#include "fork_support.h"
#include "fork_tree.h"

/* More than the calls that can fail in one try. */
enum { PASSES = 100 };

struct
try {
    stook_executor *executor;
    long number; /* of the call that fails; negative: none */
    int calls;   /* of the region */
    enum stook_status status;
    bool has_failed; /* that call was made */
};

static void region_without_failure(stook_here *here, void *arg)
{
    struct try *try = arg;

    try->has_failed = has_failed();
    fail_none();
    try->calls++;
    MUST(fib(here, 10) == 55);
}

static void try_run(struct try *try)
{
    try->calls = 0;
    if (try->number >= 0) {
        fail_call(try->number);
    }
    try->status = stook_executor_run(try->executor, region_without_failure, try);
    try->has_failed |= try->calls == 0 && has_failed();
    fail_none();
    MUST(try->calls == (try->status == STOOK_OK));
    MUST(try->status == STOOK_OK || (try->status == STOOK_NOMEM && try->number >= 0));
}

static int try_run_in_task(void *arg, void **ret_value)
{
    (void)ret_value;
    try_run(arg);
    return 0;
}

/* One region, in a task or from outside, on an executor that has just been made, and two more when
 * memory is back and when it fails again. Gives how many were refused. */
static int fail_one(long number, bool in_task)
{
    const long blocks_before = atomic_load(&blocks);
    struct try try = {.executor = must_create(2)};
    int refused = 0;

    for (int i = 0; i < 3; i++) {
        try.number = i == 1 ? -1 : number;
        if (in_task) {
            stook_future *future = must_submit(try.executor, try_run_in_task, &try);

            cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
            stook_future_release(future);
        } else {
            try_run(&try);
        }
        refused += try.status != STOOK_OK;
    }
    stook_executor_destroy(try.executor);
    cr_assert_eq(atomic_load(&blocks), blocks_before, "failure %ld leaks", number);
    return refused;
}

Test(fail_fork_join, B31_run_answers, .timeout = 120)
{
    int refused = 0;

    for (long number = 0; number < PASSES; number++) {
        refused += fail_one(number, false);
    }
    cr_assert_gt(refused, 0);
    cr_assert_eq(fail_one(PASSES, false), 0, "more passes are needed");
}

/* Here it may be that nothing can fail. */
Test(fail_fork_join, B31_run_answers_in_a_task, .timeout = 120)
{
    for (long number = 0; number < PASSES; number++) {
        (void)fail_one(number, true);
    }
    cr_assert_eq(fail_one(PASSES, true), 0, "more passes are needed");
}

/* --- in a region ------------------------------------------------------------------------------ */

static void fork_without_memory(stook_here *here, void *arg)
{
    struct node *root = arg;

    atomic_store(&all_fail, true);
    visit(here, root);
    atomic_store(&all_fail, false);
}

static void yield_sometimes(stook_here *here, struct node *node)
{
    (void)here;
    if (node->size % 5 == 0) {
        thrd_yield();
    }
}

/* Whether or not others could take some. */
Test(fail_fork_join, B31_forks_and_joins_need_no_memory, .timeout = 120)
{
    uint64_t random = 8;

    for (int round = 0; round < 40; round++) {
        const long blocks_before = atomic_load(&blocks);
        stook_executor *executor = must_create(1 + (unsigned)round % 4);
        struct tree tree;

        tree_create(&tree, (enum tree_shape)(round % TREE_SHAPES), 2000, &random);
        tree.work = yield_sometimes;
        must_run(executor, fork_without_memory, tree.nodes);
        tree_check(&tree);
        tree_destroy(&tree);
        cr_assert_eq(run_fib(executor, 15), 610);
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&blocks), blocks_before);
    }
}

static void count_allocations(stook_here *here, void *ret_count)
{
    long *count = ret_count;

    fail_call(LONG_MAX);
    MUST(fib(here, 20) == 6765);
    *count = LONG_MAX - atomic_load(&calls_left);
    fail_none();
}

Test(fail_fork_join, with_one_worker_nothing_is_allocated, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    long count = -1;

    must_run(executor, count_allocations, &count);
    cr_assert_eq(count, 0);
    stook_executor_destroy(executor);
}

/* --- the executor's allocator ----------------------------------------------------------------- */

struct heap {
    atomic_long bytes; /* that are out */
    atomic_bool is_empty;
};

static void *heap_allocate(void *user_data, size_t size)
{
    struct heap *heap = user_data;

    if (atomic_load(&heap->is_empty)) {
        return NULL;
    }
    atomic_fetch_add(&heap->bytes, (long)size);
    return __real_malloc(size);
}

static void heap_deallocate(void *user_data, void *memory, size_t size)
{
    struct heap *heap = user_data;

    atomic_fetch_sub(&heap->bytes, (long)size);
    __real_free(memory);
}

Test(fail_fork_join, memory_comes_from_the_executor_s_allocator, .timeout = 60)
{
    struct heap heap = {.bytes = 0};
    const struct stook_allocator allocator = {heap_allocate, heap_deallocate, &heap};
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    const long blocks_before = atomic_load(&blocks);
    struct fib whole = {.n = 5};
    stook_executor *executor;

    options.workers = 3;
    options.allocator = &allocator;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_OK);
    atomic_store(&heap.is_empty, true);
    cr_assert_eq(stook_executor_run(executor, fib_fork, &whole), STOOK_NOMEM);
    cr_assert_eq(whole.result, 0);
    atomic_store(&heap.is_empty, false);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(run_fib(executor, 15), 610);
    }
    cr_assert_eq(atomic_load(&blocks), blocks_before);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&heap.bytes), 0);
}
