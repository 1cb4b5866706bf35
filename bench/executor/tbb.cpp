// SPDX-License-Identifier: MIT
//
// oneTBB. Forks are task_group::run, loops its algorithms; tasks from outside go into an arena
// without a place for the producer, and complete a word. There is no bulk submission.

#include <algorithm>
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_invoke.h>
#include <tbb/parallel_reduce.h>
#include <tbb/parallel_sort.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>

#define HAS_BULK 0
#include "submit.h"

static tbb::task_arena *arena, *outside;
// Shared: with one for each group, nqueens takes 1.4 times as long.
static tbb::task_group_context context;

static uint64_t fib(uint64_t n)
{
    if (n < 2) {
        return n;
    }
    uint64_t left, right;
    tbb::parallel_invoke([&] { left = fib(n - 1); }, [&] { right = fib(n - 2); }, context);
    return left + right;
}

static uint64_t queens(uint32_t all, struct board board)
{
    if (board.columns == all) {
        return 1;
    }
    uint64_t results[32], found = 0;
    unsigned count = 0;
    tbb::task_group group(context);
    for (uint32_t free = board_free(all, board); free; free &= free - 1) {
        struct board next = board_with(board, free & -free);
        uint64_t *result = &results[count++];
        group.run([=] { *result = queens(all, next); });
    }
    group.wait();
    for (unsigned i = 0; i < count; i++) {
        found += results[i];
    }
    return found;
}

static uint64_t uts(uint64_t state, unsigned depth)
{
    uint64_t results[UTS_MOST], nodes = 1;
    unsigned children = uts_children(state, depth);
    if (children == 0) {
        return 1;
    }
    tbb::task_group group(context);
    for (unsigned i = 0; i < children; i++) {
        uint64_t child = uts_child(state, i), *result = &results[i];
        group.run([=] { *result = uts(child, depth - 1); });
    }
    group.wait();
    for (unsigned i = 0; i < children; i++) {
        nodes += results[i];
    }
    return nodes;
}

static uint64_t skynet(uint64_t first, uint64_t leaves)
{
    if (leaves == 1) {
        return first;
    }
    uint64_t results[SKYNET_WAYS], sum = 0, below = leaves / SKYNET_WAYS;
    tbb::task_group group(context);
    for (unsigned i = 0; i < SKYNET_WAYS; i++) {
        uint64_t *result = &results[i];
        group.run([=] { *result = skynet(first + i * below, below); });
    }
    group.wait();
    for (uint64_t result : results) {
        sum += result;
    }
    return sum;
}

static void multiply(struct product whole)
{
    struct product half[2];
    if (product_is_leaf(whole)) {
        product_leaf(whole);
    } else if (product_split(whole, half)) {
        tbb::parallel_invoke([&] { multiply(half[0]); }, [&] { multiply(half[1]); }, context);
    } else {
        multiply(half[0]);
        multiply(half[1]);
    }
}

static uint64_t run_fib(size_t n)
{
    return arena->execute([=] { return fib(n); });
}

static uint64_t run_nqueens(size_t n)
{
    return arena->execute([=] { return queens(board_all(n), empty_board); });
}

static uint64_t run_uts(size_t depth)
{
    return arena->execute([=] { return uts(UTS_ROOT, (unsigned)depth); });
}

static uint64_t run_skynet(size_t depth)
{
    return arena->execute([=] { return skynet(0, skynet_leaves(depth)); });
}

static uint64_t run_matmul(size_t n)
{
    arena->execute([=] { multiply(matmul_whole(n)); });
    return 0;
}

static uint64_t run_sum(size_t n)
{
    using range = tbb::blocked_range<size_t>;
    return arena->execute([=] {
        return tbb::parallel_reduce(
            range(0, n), uint64_t(0),
            [](const range &part, uint64_t sum) {
                return sum + sum_of(numbers + part.begin(), part.size());
            },
            [](uint64_t left, uint64_t right) { return left + right; });
    });
}

static uint64_t run_sort(size_t n)
{
    arena->execute([=] { tbb::parallel_sort(keys, keys + n); });
    return 0;
}

static void measure_ping(struct bench *bench)
{
    double *samples = (double *)bench_allocate(bench->size * sizeof *samples);
    arena->execute([=] {
        tbb::task_group group(context);
        for (size_t i = 0; i < bench->size; i++) {
            int64_t began_ns = now_ns();
            for (unsigned j = 0; j < PINGS_PER_SAMPLE; j++) {
                group.run([] {});
                group.wait();
            }
            samples[i] = (double)(now_ns() - began_ns) / PINGS_PER_SAMPLE;
        }
    });
    bench_latencies(bench, samples, bench->size);
    free(samples);
}

static inline void submit_one(size_t i)
{
    words[i] = WORD_PENDING;
    outside->enqueue([i] {
        run_task(i);
        complete_word(i);
    });
}

static inline void submit_bulk(size_t, size_t)
{
}

static inline void wait_one(size_t i)
{
    wait_word(i);
}

static inline void prepare_tasks(size_t count)
{
    prepare_words(count);
}

int main(int argc, char **argv)
{
    static const struct runner runners[] = {
        {"fib", run_fib},       {"nqueens", run_nqueens}, {"uts", run_uts},
        {"skynet", run_skynet}, {"matmul", run_matmul},   {"sum", run_sum},
        {"sort", run_sort},     {nullptr, nullptr},
    };
    struct bench bench = bench_begin(argc, argv);
    tbb::global_control control(tbb::global_control::max_allowed_parallelism, bench.workers + 1);
    tbb::task_arena with_caller((int)bench.workers), without_caller((int)bench.workers, 0);
    arena = &with_caller;
    outside = &without_caller;
    if (strcmp(bench.name, "ping") == 0) {
        measure_ping(&bench);
    } else if (!measure_runners(&bench, runners) && !measure_submit(&bench)) {
        bench_cannot("no such case");
    }
    return bench_print(&bench);
}
