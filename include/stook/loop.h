/* SPDX-License-Identifier: MIT
 *
 * Loops over ranges and arrays that run on all workers: for, reduce, sort, and calls of several
 * functions. A range is split when another worker is out of work, and not before (lazy binary
 * splitting: Tzannes, Caragea, Barua and Vishkin, PPoPP 2010), so no grain size is needed, and a
 * loop costs about what the plain one does when nobody is free to share it.
 *
 * Each exists twice: with `here`, inside a region of forks (fork_join.h); and with an executor,
 * from anywhere, as stook_executor_run() of the first.
 *
 * Threads: any; what runs at the same time on other workers is the caller's own functions.
 * Blocks: until all is done; in a region as stook_join().
 */
#ifndef STOOK_LOOP_H
#define STOOK_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stook/base.h>
#include <stook/executor.h>
#include <stook/fork_join.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

/* A half-open range of indices: begin, ..., end - 1. */
struct stook_range {
    size_t begin;
    size_t end;   /* not below begin */
    size_t grain; /* indices in each piece that the body is called for, but the last, which may be
                     smaller: begin, begin + grain, ... are where pieces begin. 0: pieces are
                     chosen while it runs, so that each takes some microseconds */
};

/* Works on the indices begin .. end - 1, in any way; ranges of different calls do not overlap.
 * Returns 0; any other value ends the loop: pieces that have not begun are left out. */
typedef int stook_for_fn(stook_here *here, size_t begin, size_t end, void *user_data);

/* Calls the body for pieces that make up the range, at the same time in several workers.
 * Returns 0 when all pieces have been worked on; else what the body returned for the piece with the
 * lowest indices among those that did not return 0 (which one that is may differ from time to
 * time). An empty range: 0, and no call. */
STOOK_API int stook_for(stook_here *here, struct stook_range range, stook_for_fn *body,
                        void *user_data);

/* The same in an executor. *ret_code: what stook_for() returned (NULL: not wanted); untouched where
 * it was not called.
 * Returns: STOOK_OK, at once for an empty range; STOOK_TASK_FAILED (the body returned another value
 *          than 0); STOOK_INVALID (executor or body NULL, end below begin); as
 *          stook_executor_run(). */
STOOK_API STOOK_NODISCARD enum stook_status stook_executor_for(stook_executor *executor,
                                                               struct stook_range range,
                                                               stook_for_fn *body, void *user_data,
                                                               int *ret_code);

/* How a range becomes one value: an accumulator of `size` bytes, aligned for any type. */
struct stook_reduction {
    size_t size;          /* of an accumulator */
    const void *identity; /* `size` bytes: what each accumulator begins as */
    /* Takes the indices begin .. end - 1 into the accumulator. */
    void (*body)(stook_here *here, size_t begin, size_t end, void *accumulator, void *user_data);
    /* Takes `right`, of the indices directly behind those of `left`, into `left`. */
    void (*combine)(void *left, void *right, void *user_data);
    void *user_data;
    /* Splits depend on the range and its grain alone, never on who is free: the same pieces are
     * combined in the same tree each time and with any number of workers, so sums of
     * floating-point numbers have the same bits. Costs a little more, and pieces (grain 0: the
     * range's 1024th part, at least 256 indices) should be worth some microseconds. */
    bool is_deterministic;
};

/* Reduces the range into `accumulator`, which the caller has set to the identity, or to a value of
 * what comes before the range. Values are always combined in the order of the indices, so combine
 * must be associative, but need not be commutative.
 * Accumulators of at most 256 bytes lie in the stacks, larger ones are allocated where a range is
 * split; without memory it is not, which costs speed only.
 * Returns: STOOK_OK; STOOK_NOMEM: nothing was done (deterministic, with larger accumulators: a tree
 *          needs some from the beginning). */
STOOK_API STOOK_NODISCARD enum stook_status stook_reduce(stook_here *here, struct stook_range range,
                                                         const struct stook_reduction *reduction,
                                                         void *accumulator);

/* The same in an executor.
 * Returns: STOOK_OK, at once for an empty range; STOOK_INVALID (an argument, identity, body or
 *          combine NULL, size 0, end below begin); STOOK_NOMEM; as stook_executor_run().
 *          `accumulator` is untouched unless it is OK. */
STOOK_API STOOK_NODISCARD enum stook_status
stook_executor_reduce(stook_executor *executor, struct stook_range range,
                      const struct stook_reduction *reduction, void *accumulator);

/* As for qsort(): negative, 0 or positive as left goes before, with or behind right. */
typedef int stook_compare_fn(const void *left, const void *right, void *user_data);

/* Sorts `count` elements of `size` bytes at `base`; stable: elements that compare equal keep their
 * order. A merge sort: at most about count * log2(count) comparisons, about count if all are in
 * order or in reverse order; memory for count * size bytes from the executor's allocator. While it
 * runs elements also lie elsewhere than in the array, aligned for any type, and for larger
 * alignments (4096 at most) where `size` is a multiple of them.
 * Returns: STOOK_OK, at once for less than two; STOOK_NOMEM: nothing was changed; STOOK_INVALID
 *          (compare NULL, size 0, base NULL with count above 0, or count * size too large). */
STOOK_API STOOK_NODISCARD enum stook_status stook_sort(stook_here *here, void *base, size_t count,
                                                       size_t size, stook_compare_fn *compare,
                                                       void *user_data);

/* The same in an executor. Also STOOK_INVALID: executor NULL; and as stook_executor_run(). */
STOOK_API STOOK_NODISCARD enum stook_status
stook_executor_sort(stook_executor *executor, void *base, size_t count, size_t size,
                    stook_compare_fn *compare, void *user_data);

/* One call of several. */
struct stook_call {
    stook_fork_fn *fn;
    void *arg;
};

/* Makes all calls, as many at the same time as workers are free; returns when all have returned. */
STOOK_API void stook_invoke_many(stook_here *here, const struct stook_call calls[], size_t count);

/* The same in an executor.
 * Returns: STOOK_OK, at once for none; STOOK_INVALID (executor NULL, calls NULL with count above 0,
 *          one's fn NULL); as stook_executor_run(): then none has been made. */
STOOK_API STOOK_NODISCARD enum stook_status
stook_executor_invoke(stook_executor *executor, const struct stook_call calls[], size_t count);

STOOK_END_DECLS

#endif
