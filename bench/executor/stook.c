/* SPDX-License-Identifier: MIT
 *
 * Stook. Built twice: against the static library, with forks and joins inline; and as
 * stook_shared, against the shared one, with STOOK_NO_INLINE, where each of them is a call.
 */
#include <stook/stook.h>

#define HAS_BULK 1
#include "submit.h"

static stook_executor *executor;

static void must(enum stook_status status)
{
    if (status != STOOK_OK) {
        fprintf(stderr, "stook: %s\n", stook_status_string(status));
        exit(1);
    }
}

/* --- fork and join ------------------------------------------------------------------------------- */

struct fib {
    uint64_t n, result;
};

static uint64_t fib(stook_here *here, uint64_t n);

static void fib_fork(stook_here *here, void *arg)
{
    struct fib *call = arg;
    call->result = fib(here, call->n);
}

static uint64_t fib(stook_here *here, uint64_t n)
{
    if (n < 2) {
        return n;
    }
    struct fib right = {.n = n - 2};
    uint64_t left = fib(stook_fork(here, fib_fork, &right), n - 1);
    return left + (stook_join(here) ? fib(here, n - 2) : right.result);
}

struct queens {
    stook_here *at;
    struct board board;
    uint32_t all;
    uint64_t found;
};

static uint64_t queens(stook_here *here, uint32_t all, struct board board);

static void queens_fork(stook_here *here, void *arg)
{
    struct queens *call = arg;
    call->found = queens(here, call->all, call->board);
}

static uint64_t queens(stook_here *here, uint32_t all, struct board board)
{
    if (board.columns == all) {
        return 1;
    }
    struct queens calls[32], *call = calls;
    uint64_t found = 0;
    for (uint32_t free = board_free(all, board); free; free &= free - 1, call++) {
        call->at = here;
        call->board = board_with(board, free & -free);
        call->all = all;
        here = stook_fork(here, queens_fork, call);
    }
    while (call-- > calls) {
        found += stook_join(call->at) ? queens(call->at, all, call->board) : call->found;
    }
    return found;
}

struct uts {
    stook_here *at;
    uint64_t state, nodes;
    unsigned depth;
};

static uint64_t uts(stook_here *here, uint64_t state, unsigned depth);

static void uts_fork(stook_here *here, void *arg)
{
    struct uts *call = arg;
    call->nodes = uts(here, call->state, call->depth);
}

static uint64_t uts(stook_here *here, uint64_t state, unsigned depth)
{
    struct uts calls[UTS_MOST], *call = calls;
    unsigned children = uts_children(state, depth);
    uint64_t nodes = 1;
    for (unsigned i = 0; i < children; i++, call++) {
        call->at = here;
        call->state = uts_child(state, i);
        call->depth = depth - 1;
        here = stook_fork(here, uts_fork, call);
    }
    while (call-- > calls) {
        nodes += stook_join(call->at) ? uts(call->at, call->state, depth - 1) : call->nodes;
    }
    return nodes;
}

struct skynet {
    stook_here *at;
    uint64_t first, leaves, sum;
};

static uint64_t skynet(stook_here *here, uint64_t first, uint64_t leaves);

static void skynet_fork(stook_here *here, void *arg)
{
    struct skynet *call = arg;
    call->sum = skynet(here, call->first, call->leaves);
}

static uint64_t skynet(stook_here *here, uint64_t first, uint64_t leaves)
{
    if (leaves == 1) {
        return first;
    }
    struct skynet calls[SKYNET_WAYS], *call = calls;
    uint64_t sum = 0, below = leaves / SKYNET_WAYS;
    for (; call < calls + SKYNET_WAYS; call++, first += below) {
        call->at = here;
        call->first = first;
        call->leaves = below;
        here = stook_fork(here, skynet_fork, call);
    }
    while (call-- > calls) {
        sum += stook_join(call->at) ? skynet(call->at, call->first, below) : call->sum;
    }
    return sum;
}

static void multiply(stook_here *here, struct product whole);

static void multiply_fork(stook_here *here, void *arg)
{
    multiply(here, *(struct product *)arg);
}

static void multiply(stook_here *here, struct product whole)
{
    struct product half[2];
    if (product_is_leaf(whole)) {
        product_leaf(whole);
    } else if (product_split(whole, half)) {
        multiply(stook_fork(here, multiply_fork, &half[1]), half[0]);
        if (stook_join(here)) {
            multiply(here, half[1]);
        }
    } else {
        multiply(here, half[0]);
        multiply(here, half[1]);
    }
}

/* --- the doors into a region --------------------------------------------------------------------- */

/* The root of the tree is another caller than the forks: as in most programs, the compiler may test
 * for a leaf before it calls. */
static void fib_root(stook_here *here, void *arg)
{
    struct fib *call = arg;
    call->result = fib(here, call->n);
}

static uint64_t run_fib(size_t n)
{
    struct fib root = {.n = n};
    must(stook_executor_run(executor, fib_root, &root));
    return root.result;
}

static uint64_t run_nqueens(size_t n)
{
    struct queens root = {.all = board_all(n)};
    must(stook_executor_run(executor, queens_fork, &root));
    return root.found;
}

static uint64_t run_uts(size_t depth)
{
    struct uts root = {.state = UTS_ROOT, .depth = (unsigned)depth};
    must(stook_executor_run(executor, uts_fork, &root));
    return root.nodes;
}

static uint64_t run_skynet(size_t depth)
{
    struct skynet root = {.leaves = skynet_leaves(depth)};
    must(stook_executor_run(executor, skynet_fork, &root));
    return root.sum;
}

static uint64_t run_matmul(size_t n)
{
    struct product whole = matmul_whole(n);
    must(stook_executor_run(executor, multiply_fork, &whole));
    return 0;
}

/* --- loops --------------------------------------------------------------------------------------- */

static void sum_body(stook_here *here, size_t begin, size_t end, void *accumulator, void *user_data)
{
    (void)here, (void)user_data;
    *(uint64_t *)accumulator += sum_of(numbers + begin, end - begin);
}

static void sum_combine(void *left, void *right, void *user_data)
{
    (void)user_data;
    *(uint64_t *)left += *(uint64_t *)right;
}

static uint64_t run_sum(size_t n)
{
    static const uint64_t zero;
    const struct stook_reduction reduction = {
        .size = sizeof zero, .identity = &zero, .body = sum_body, .combine = sum_combine};
    uint64_t sum = 0;
    must(stook_executor_reduce(executor, (struct stook_range){.end = n}, &reduction, &sum));
    return sum;
}

static int sort_compare(const void *left, const void *right, void *user_data)
{
    (void)user_data;
    return compare_keys(left, right);
}

static uint64_t run_sort(size_t n)
{
    must(stook_executor_sort(executor, keys, n, sizeof *keys, sort_compare, NULL));
    return 0;
}

/* --- futures ------------------------------------------------------------------------------------- */

static uint64_t future_fib(uint64_t n);

static int fib_task(void *arg, void **ret_value)
{
    struct fib *call = arg;
    (void)ret_value;
    call->result = future_fib(call->n);
    return 0;
}

/* A task for each node with two children, as in the forks. */
static uint64_t future_fib(uint64_t n)
{
    if (n < 2) {
        return n;
    }
    struct fib right = {.n = n - 2};
    stook_future *future;
    must(stook_executor_submit(executor, fib_task, &right, &future));
    uint64_t left = future_fib(n - 1);
    must(stook_future_result(future, NULL));
    stook_future_release(future);
    return left + right.result;
}

static void run_task_of(stook_task_fn *fn, void *arg)
{
    stook_future *future;
    must(stook_executor_submit(executor, fn, arg, &future));
    must(stook_future_result(future, NULL));
    stook_future_release(future);
}

static uint64_t run_future_fib(size_t n)
{
    struct fib root = {.n = n};
    run_task_of(fib_task, &root);
    return root.result;
}

static int nothing(void *arg, void **ret_value)
{
    (void)arg, (void)ret_value;
    return 0;
}

static int ping_task(void *arg, void **ret_value)
{
    struct bench *bench = arg;
    double *samples = bench_allocate(bench->size * sizeof *samples);
    (void)ret_value;
    for (size_t i = 0; i < bench->size; i++) {
        int64_t began_ns = now_ns();
        for (unsigned j = 0; j < PINGS_PER_SAMPLE; j++) {
            run_task_of(nothing, NULL);
        }
        samples[i] = (double)(now_ns() - began_ns) / PINGS_PER_SAMPLE;
    }
    bench_latencies(bench, samples, bench->size);
    free(samples);
    return 0;
}

/* --- tasks from outside -------------------------------------------------------------------------- */

static stook_future **futures;

static int numbered_task(void *arg, void **ret_value)
{
    (void)ret_value;
    run_task((size_t)((uint32_t *)arg - call_counts));
    return 0;
}

static inline void submit_one(size_t i)
{
    must(stook_executor_submit(executor, numbered_task, &call_counts[i], &futures[i]));
}

static inline void submit_bulk(size_t first, size_t count)
{
    must(stook_executor_submit_many(executor, NULL, numbered_task, &call_counts[first], count,
                                    sizeof *call_counts, &futures[first]));
}

static inline void wait_one(size_t i)
{
    must(stook_future_result(futures[i], NULL));
    stook_future_release(futures[i]);
}

/* The caller's pointers are not the library's: they are touched here, so `pending` leaves them out.
 */
static inline void prepare_tasks(size_t count)
{
    futures = bench_allocate(count * sizeof *futures);
    for (size_t i = 0; i < count; i++) {
        futures[i] = (stook_future *)(uintptr_t)(i + 1);
    }
}

int main(int argc, char **argv)
{
    static const struct runner runners[] = {
        {"fib", run_fib},       {"nqueens", run_nqueens},
        {"uts", run_uts},       {"skynet", run_skynet},
        {"matmul", run_matmul}, {"sum", run_sum},
        {"sort", run_sort},     {NULL, NULL},
    };
    struct bench bench = bench_begin(argc, argv);
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    options.workers = bench.workers;
    must(stook_executor_create(&options, &executor));
    if (strcmp(bench.name, "ping") == 0) {
        run_task_of(ping_task, &bench);
    } else if (strcmp(bench.name, "future_fib") == 0) {
        measure_run(&bench, workload_named("fib"), run_future_fib);
    } else if (!measure_runners(&bench, runners) && !measure_submit(&bench)) {
        bench_cannot("no such case");
    }
    stook_executor_destroy(executor);
    return bench_print(&bench);
}
