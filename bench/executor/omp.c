/* SPDX-License-Identifier: MIT
 *
 * OpenMP tasks: libgomp when gcc compiles this, libomp when clang does. A team has no way in for
 * tasks from outside.
 */
#include <omp.h>
#include "harness.h"

static unsigned team;

static uint64_t fib(uint64_t n)
{
    if (n < 2) {
        return n;
    }
    uint64_t left, right;
#pragma omp task shared(right) firstprivate(n)
    right = fib(n - 2);
    left = fib(n - 1);
#pragma omp taskwait
    return left + right;
}

static uint64_t queens(uint32_t all, struct board board)
{
    if (board.columns == all) {
        return 1;
    }
    uint64_t results[32], found = 0;
    unsigned count = 0;
    for (uint32_t free = board_free(all, board); free; free &= free - 1) {
        struct board next = board_with(board, free & -free);
        uint64_t *result = &results[count++];
#pragma omp task firstprivate(all, next, result)
        *result = queens(all, next);
    }
#pragma omp taskwait
    for (unsigned i = 0; i < count; i++) {
        found += results[i];
    }
    return found;
}

static uint64_t uts(uint64_t state, unsigned depth)
{
    uint64_t results[UTS_MOST], nodes = 1;
    unsigned children = uts_children(state, depth);
    for (unsigned i = 0; i < children; i++) {
        uint64_t child = uts_child(state, i), *result = &results[i];
#pragma omp task firstprivate(child, depth, result)
        *result = uts(child, depth - 1);
    }
#pragma omp taskwait
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
    for (unsigned i = 0; i < SKYNET_WAYS; i++) {
        uint64_t *result = &results[i];
#pragma omp task firstprivate(first, below, i, result)
        *result = skynet(first + i * below, below);
    }
#pragma omp taskwait
    for (unsigned i = 0; i < SKYNET_WAYS; i++) {
        sum += results[i];
    }
    return sum;
}

static void multiply(struct product whole)
{
    struct product half[2];
    if (product_is_leaf(whole)) {
        product_leaf(whole);
    } else if (product_split(whole, half)) {
        struct product second = half[1];
#pragma omp task firstprivate(second)
        multiply(second);
        multiply(half[0]);
#pragma omp taskwait
    } else {
        multiply(half[0]);
        multiply(half[1]);
    }
}

/* One thread of a team calls it, the others take tasks. */
#define IN_TEAM(call) _Pragma("omp parallel num_threads(team)") _Pragma("omp single") call

static uint64_t run_fib(size_t n)
{
    uint64_t result = 0;
    IN_TEAM(result = fib(n));
    return result;
}

static uint64_t run_nqueens(size_t n)
{
    uint64_t result = 0;
    IN_TEAM(result = queens(board_all(n), empty_board));
    return result;
}

static uint64_t run_uts(size_t depth)
{
    uint64_t result = 0;
    IN_TEAM(result = uts(UTS_ROOT, (unsigned)depth));
    return result;
}

static uint64_t run_skynet(size_t depth)
{
    uint64_t result = 0;
    IN_TEAM(result = skynet(0, skynet_leaves(depth)));
    return result;
}

static uint64_t run_matmul(size_t n)
{
    IN_TEAM(multiply(matmul_whole(n)));
    return 0;
}

static uint64_t run_sum(size_t n)
{
    uint64_t sum = 0;
#pragma omp parallel for num_threads(team) reduction(+ : sum)
    for (size_t i = 0; i < n; i++) {
        sum += numbers[i];
    }
    return sum;
}

static void ping(struct bench *bench)
{
    double *samples = bench_allocate(bench->size * sizeof *samples);
    for (size_t i = 0; i < bench->size; i++) {
        int64_t began_ns = now_ns();
        for (unsigned j = 0; j < PINGS_PER_SAMPLE; j++) {
            uint64_t result = 0;
#pragma omp task shared(result) firstprivate(i)
            result = i;
#pragma omp taskwait
            if (result != i) {
                exit(WRONG_RESULT);
            }
        }
        samples[i] = (double)(now_ns() - began_ns) / PINGS_PER_SAMPLE;
    }
    bench_latencies(bench, samples, bench->size);
    free(samples);
}

int main(int argc, char **argv)
{
    static const struct runner runners[] = {
        {"fib", run_fib},       {"nqueens", run_nqueens}, {"uts", run_uts}, {"skynet", run_skynet},
        {"matmul", run_matmul}, {"sum", run_sum},         {NULL, NULL},
    };
    struct bench bench = bench_begin(argc, argv);
    team = bench.workers;
    omp_set_dynamic(0);
    if (strcmp(bench.name, "ping") == 0) {
        IN_TEAM(ping(&bench));
    } else if (!measure_runners(&bench, runners)) {
        bench_cannot("no such case");
    }
    return bench_print(&bench);
}
