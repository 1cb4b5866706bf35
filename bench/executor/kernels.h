/* SPDX-License-Identifier: MIT
 *
 * The kernels that every executor is measured with: what one node of each tree does, the sequential
 * forms, and how many tasks there are. C11 and C++17. Kernels.java and kernels.go follow it line
 * by line.
 *
 * Two sequential forms (tree_forms.h): NAME, which the compiler may inline into itself as it likes,
 * and NAME_call, with a real call for each fork, which is what others are compared with. (Compilers
 * make the last call of a node a jump or a loop, so fib_call has one call for each fork, not two.)
 */
#ifndef BENCH_KERNELS_H
#define BENCH_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A hash of 64 bits: the finalizer of SplitMix64 (Steele, Lea and Flood 2014). */
static inline uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* --- nqueens: a task for each queen that may stand where it is put ------------------------------ */

struct board {
    uint32_t columns, left, right; /* taken in the next row: columns, both diagonals */
};

static inline uint32_t board_free(uint32_t all, struct board board)
{
    return all & ~(board.columns | board.left | board.right);
}

static inline struct board board_with(struct board board, uint32_t queen)
{
    struct board next = {board.columns | queen, (board.left | queen) << 1,
                         (board.right | queen) >> 1};
    return next;
}

static inline uint32_t board_all(size_t n)
{
    return ((uint32_t)1 << n) - 1;
}

/* --- uts: an unbalanced tree (Olivier and others, LCPC 2006) ------------------------------------- *
 *
 * Like its T1: the number of children is geometrically distributed with mean 4 down to a depth. The
 * hash is `mix` in place of SHA-1, and all is in whole numbers, so that all languages agree. */

enum { UTS_MOST = 100, UTS_ROOT = 42 };

static inline unsigned uts_children(uint64_t state, unsigned depth)
{
    uint64_t drawn = state >> 32;
    uint64_t limit = (uint64_t)1 << 32;
    unsigned children = 0;
    if (depth == 0) {
        return 0;
    }
    for (; children < UTS_MOST; children++) {
        limit = limit / 5 * 4;
        if (drawn >= limit) {
            break;
        }
    }
    return children;
}

static inline uint64_t uts_child(uint64_t state, unsigned i)
{
    return mix(state + (i + 1) * 0x9e3779b97f4a7c15u);
}

/* --- skynet: a tree of ten ways, whose leaves are numbered, and summed up ------------------------ */

enum { SKYNET_WAYS = 10 };

static inline uint64_t skynet_leaves(size_t depth)
{
    uint64_t leaves = 1;
    while (depth-- > 0) {
        leaves *= SKYNET_WAYS;
    }
    return leaves;
}

/* --- matmul: c += a * b by halves of the largest side (Frigo and others, FOCS 1999) -------------- *
 *
 * Halves of c may be computed at the same time, halves of the sum may not. */

enum { MATMUL_LEAF = 16 };

struct product {
    const double *a, *b; /* rows x inner, inner x columns */
    double *c;           /* rows x columns */
    size_t rows, inner, columns, stride;
};

static inline bool product_is_leaf(struct product p)
{
    return p.rows <= MATMUL_LEAF && p.inner <= MATMUL_LEAF && p.columns <= MATMUL_LEAF;
}

__attribute__((noinline)) static void product_leaf(struct product p)
{
    for (size_t i = 0; i < p.rows; i++) {
        double *__restrict c = p.c + i * p.stride;
        for (size_t k = 0; k < p.inner; k++) {
            double a = p.a[i * p.stride + k];
            const double *__restrict b = p.b + k * p.stride;
            for (size_t j = 0; j < p.columns; j++) {
                c[j] += a * b[j];
            }
        }
    }
}

/* Returns whether the halves may be computed at the same time. */
static inline bool product_split(struct product whole, struct product half[2])
{
    half[0] = half[1] = whole;
    if (whole.rows >= whole.columns && whole.rows >= whole.inner) {
        half[0].rows = whole.rows / 2;
        half[1].rows -= half[0].rows;
        half[1].a += half[0].rows * whole.stride;
        half[1].c += half[0].rows * whole.stride;
        return true;
    }
    if (whole.columns >= whole.inner) {
        half[0].columns = whole.columns / 2;
        half[1].columns -= half[0].columns;
        half[1].b += half[0].columns;
        half[1].c += half[0].columns;
        return true;
    }
    half[0].inner = whole.inner / 2;
    half[1].inner -= half[0].inner;
    half[1].a += half[0].inner;
    half[1].b += half[0].inner * whole.stride;
    return false;
}

/* --- the sequential forms ------------------------------------------------------------------------ */

#define FORM_ATTRIBUTE __attribute__((unused))
#define FORM(name) name##_seq
#include "tree_forms.h"
#undef FORM_ATTRIBUTE
#undef FORM
#define FORM_ATTRIBUTE __attribute__((unused, noinline))
#define FORM(name) name##_call
#include "tree_forms.h"
#undef FORM_ATTRIBUTE
#undef FORM

/* --- the data of matmul, sum and sort, and their leaves ------------------------------------------ */

static double *matrices[3]; /* a, b and c */
static uint32_t *numbers;
static uint64_t *keys, *unsorted_keys;

static inline struct product matmul_whole(size_t n)
{
    struct product whole = {matrices[0], matrices[1], matrices[2], n, n, n, n};
    return whole;
}

static inline uint64_t sum_of(const uint32_t *values, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += values[i];
    }
    return sum;
}

static inline int compare_keys(const void *left, const void *right)
{
    uint64_t a, b;
    memcpy(&a, left, sizeof a);
    memcpy(&b, right, sizeof b);
    return (a > b) - (a < b);
}

static inline void *bench_allocate(size_t bytes)
{
    void *memory = malloc(bytes);
    if (!memory) {
        abort();
    }
    return memory;
}

/* Small whole numbers, so that sums are the same in any order. */
static inline void matmul_prepare(size_t n)
{
    for (size_t m = 0; m < 3; m++) {
        if (!matrices[m]) {
            matrices[m] = (double *)bench_allocate(n * n * sizeof(double));
        }
        for (size_t i = 0; i < n * n; i++) {
            matrices[m][i] = m < 2 ? (double)(mix(i + m) % 16) : 0;
        }
    }
}

static inline uint64_t matmul_digest(size_t n)
{
    uint64_t digest = 0;
    for (size_t i = 0; i < n * n; i++) {
        digest = mix(digest + (uint64_t)matrices[2][i]);
    }
    return digest;
}

static inline void sum_prepare(size_t n)
{
    if (!numbers) {
        numbers = (uint32_t *)bench_allocate(n * sizeof *numbers);
        for (size_t i = 0; i < n; i++) {
            numbers[i] = (uint32_t)mix(i);
        }
    }
}

static inline void sort_prepare(size_t n)
{
    if (!keys) {
        keys = (uint64_t *)bench_allocate(n * sizeof *keys);
        unsorted_keys = (uint64_t *)bench_allocate(n * sizeof *keys);
        for (size_t i = 0; i < n; i++) {
            unsorted_keys[i] = mix(i) >> 1;
        }
    }
    memcpy(keys, unsorted_keys, n * sizeof *keys);
}

static inline uint64_t sort_digest(size_t n)
{
    uint64_t digest = 0;
    for (size_t i = 0; i < n; i++) {
        digest = mix(digest + keys[i]);
    }
    return digest;
}

/* --- what a workload is, by name ----------------------------------------------------------------- */

/* size: n of fib, nqueens and matmul, the depth of uts and skynet, the count of sum and sort. */
struct workload {
    const char *name;
    void (*prepare)(size_t size);        /* NULL: nothing; not timed */
    uint64_t (*sequential)(size_t size); /* with real calls; gives the result */
    uint64_t (*inlined)(size_t size);    /* NULL: there is one form */
    uint64_t (*digest)(size_t size);     /* NULL: the result is what a run returns; not timed */
    double (*amount)(size_t size);       /* tasks; or bytes */
    bool is_rate;                        /* MB/s; else ns/task */
};

#define TREE_RUNS(name, seq, call)                                                                 \
    static inline uint64_t name##_run_seq(size_t n)                                                \
    {                                                                                              \
        return seq;                                                                                \
    }                                                                                              \
    static inline uint64_t name##_run_call(size_t n)                                               \
    {                                                                                              \
        return call;                                                                               \
    }
static const struct board empty_board = {0, 0, 0};
TREE_RUNS(fib, fib_seq(n), fib_call(n))
TREE_RUNS(nqueens, queens_seq(board_all(n), empty_board), queens_call(board_all(n), empty_board))
TREE_RUNS(uts, uts_seq(UTS_ROOT, (unsigned)n), uts_call(UTS_ROOT, (unsigned)n))
TREE_RUNS(skynet, skynet_seq(0, skynet_leaves(n)), skynet_call(0, skynet_leaves(n)))
TREE_RUNS(matmul, (multiply_seq(matmul_whole(n)), 0), (multiply_call(matmul_whole(n)), 0))

static inline uint64_t sum_run_seq(size_t n)
{
    return sum_of(numbers, n);
}

static inline uint64_t sort_run_seq(size_t n)
{
    qsort(keys, n, sizeof *keys, compare_keys);
    return 0;
}

/* Each node with two children is one fork. */
static inline double fib_tasks(size_t n)
{
    return (double)fib_seq(n + 1) - 1;
}

static inline uint64_t queens_below(uint32_t all, struct board board)
{
    uint64_t below = 0;
    for (uint32_t free = board_free(all, board); free; free &= free - 1) {
        below += 1 + queens_below(all, board_with(board, free & -free));
    }
    return below;
}

static inline double nqueens_tasks(size_t n)
{
    return (double)queens_below(board_all(n), empty_board);
}

static inline double uts_tasks(size_t depth)
{
    return (double)uts_seq(UTS_ROOT, (unsigned)depth) - 1;
}

static inline double skynet_tasks(size_t depth)
{
    return (double)(skynet_leaves(depth + 1) - SKYNET_WAYS) / (SKYNET_WAYS - 1);
}

static inline uint64_t forks_of(struct product whole)
{
    if (product_is_leaf(whole)) {
        return 0;
    }
    struct product half[2];
    uint64_t own = product_split(whole, half);
    return own + forks_of(half[0]) + forks_of(half[1]);
}

static inline double matmul_tasks(size_t n)
{
    return (double)forks_of(matmul_whole(n));
}

static inline double sum_bytes(size_t n)
{
    return (double)(n * sizeof *numbers);
}

static inline double sort_bytes(size_t n)
{
    return (double)(n * sizeof *keys);
}

static const struct workload workloads[] = {
    {"fib", NULL, fib_run_call, fib_run_seq, NULL, fib_tasks, false},
    {"nqueens", NULL, nqueens_run_call, nqueens_run_seq, NULL, nqueens_tasks, false},
    {"uts", NULL, uts_run_call, uts_run_seq, NULL, uts_tasks, false},
    {"skynet", NULL, skynet_run_call, skynet_run_seq, NULL, skynet_tasks, false},
    {"matmul", matmul_prepare, matmul_run_call, matmul_run_seq, matmul_digest, matmul_tasks, false},
    {"sum", sum_prepare, sum_run_seq, NULL, NULL, sum_bytes, true},
    {"sort", sort_prepare, sort_run_seq, NULL, sort_digest, sort_bytes, true},
};

#endif
