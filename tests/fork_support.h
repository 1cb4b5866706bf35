/* SPDX-License-Identifier: MIT
 *
 * Helpers of the tests about fork and join: regions that abort when they fail, waits that go on
 * offering, and the naive fib().
 */
#ifndef STOOK_TESTS_FORK_SUPPORT_H
#define STOOK_TESTS_FORK_SUPPORT_H

#include "support.h"

static inline void must_run(stook_executor *executor, stook_fork_fn *fn, void *arg)
{
    MUST(stook_executor_run(executor, fn, arg) == STOOK_OK);
}

static inline void do_nothing(stook_here *here, void *arg)
{
    (void)here;
    (void)arg;
}

/* Waits in a region, and forks and joins meanwhile: that may be where a thread without work is
 * heard. */
#define FORK_UNTIL(here, condition)                                                                \
    do {                                                                                           \
        unsigned fork_rounds_ = 0;                                                                 \
        while (!(condition)) {                                                                     \
            (void)stook_fork(here, do_nothing, NULL);                                              \
            (void)stook_join(here);                                                                \
            spin_pause(&fork_rounds_);                                                             \
        }                                                                                          \
    } while (0)

/* Counts its calls in the atomic_int `arg`. */
static inline void count_fork(stook_here *here, void *arg)
{
    atomic_int *calls = arg;

    (void)here;
    atomic_fetch_add(calls, 1);
}

/* --- fib -------------------------------------------------------------------------------------- */

struct fib {
    int n;
    long result;
};

static long fib(stook_here *here, int n);

/* Of the struct fib `arg`; also a region. */
static inline void fib_fork(stook_here *here, void *arg)
{
    struct fib *fib_arg = arg;

    fib_arg->result = fib(here, fib_arg->n);
}

static inline long fib(stook_here *here, int n)
{
    if (n < 2) {
        return n;
    }
    struct fib right = {.n = n - 2};
    const long left = fib(stook_fork(here, fib_fork, &right), n - 1);
    return left + (stook_join(here) ? fib(here, n - 2) : right.result);
}

static inline long plain_fib(int n)
{
    return n < 2 ? n : plain_fib(n - 1) + plain_fib(n - 2);
}

static inline long run_fib(stook_executor *executor, int n)
{
    struct fib whole = {.n = n};

    must_run(executor, fib_fork, &whole);
    return whole.result;
}

/* --- regions ---------------------------------------------------------------------------------- */

/* What a region found, and how often it was begun. */
struct seen {
    stook_executor *executor;
    atomic_int calls;
    thrd_t thread;
    long result;
    enum stook_status status; /* of run() */
};

static inline void see_region(stook_here *here, void *arg)
{
    struct seen *seen = arg;

    seen->thread = thrd_current();
    seen->result = fib(here, 12);
    atomic_fetch_add(&seen->calls, 1);
}

static inline int run_in_task(void *arg, void **ret_value)
{
    struct seen *seen = arg;

    (void)ret_value;
    seen->status = stook_executor_run(seen->executor, see_region, seen);
    MUST(seen->status != STOOK_OK || thrd_equal(seen->thread, thrd_current()));
    return 0;
}

#endif
