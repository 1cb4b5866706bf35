/* SPDX-License-Identifier: MIT
 *
 * Fork and join: parallel recursion at about the price of the calls. A fork offers one call to the
 * other workers; the join that belongs to it tells whether one of them has made it, or the caller
 * shall make it now, as an ordinary call. While nobody is out of work neither allocates, takes a
 * lock, or uses an atomic read-modify-write or a fence.
 *
 *     struct right { int n; long result; };
 *
 *     static void fib_right(stook_here *here, void *arg)
 *     {
 *         struct right *right = arg;
 *         right->result = fib(here, right->n);
 *     }
 *
 *     static long fib(stook_here *here, int n)
 *     {
 *         if (n < 2) {
 *             return n;
 *         }
 *         struct right right;
 *         right.n = n - 2;
 *         long left = fib(stook_fork(here, fib_right, &right), n - 1);
 *         return left + (stook_join(here) ? fib(here, n - 2) : right.result);
 *     }
 *
 *   stook_executor_run -> [fork ... join]...
 *
 * Nesting is strict: who forks joins, in the reverse order, before it returns. Programs built
 * without NDEBUG abort with a message where that is not so.
 *
 * Others are offered the oldest forks of a thread first, which are the largest in a recursion. A
 * thread whose fork is being made elsewhere meanwhile makes others only out of that one's own
 * subtree (leapfrogging: Wagner and Calder, PPoPP 1993), so its stack holds one chain of the
 * program's own calls, as deep as the program would be by itself; when there are none it blocks,
 * and its worker is lent as in a wait for a future. Forks may submit tasks, wait for futures and
 * take locks; a lock that is held across a join is safe if the forks below that join do not want
 * it. In a fork, stook_task_cancel_requested() answers for the task that the whole region runs in.
 * In a task of a scope with a limit, forks must not wait for tasks of that scope: where another
 * worker makes the fork, they have no turn to run in (STOOK_DEADLOCK if the limit is 1).
 *
 * The memory for offers is bounded: where some thousands lie open in one thread, further ones are
 * not offered, and their joins tell the caller to make them.
 */
#ifndef STOOK_FORK_JOIN_H
#define STOOK_FORK_JOIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stook/base.h>
#include <stook/executor.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

/* Where the caller stands: in which thread, and above which open forks. To be passed on, and kept
 * by nobody: good until the function that got it returns. */
typedef struct stook_here stook_here;

typedef void stook_fork_fn(stook_here *here, void *arg);

/* Runs fn(here, arg) in the executor and returns when it has returned: the door into a region of
 * forks and joins. In a task of the executor it runs in the calling thread, at once; elsewhere a
 * task is submitted and waited for.
 * Forks are not offered in a task that its submitter runs (STOOK_WHEN_FULL_RUN), nor in an executor
 * whose max_workers is 1.
 * Returns: STOOK_OK; STOOK_INVALID (executor or fn NULL); STOOK_NOMEM; STOOK_DEADLOCK (in a
 *          callback); outside the executor's tasks also what submit and result answer:
 *          STOOK_SHUTDOWN, STOOK_CANCELLED, STOOK_BROKEN, STOOK_DEADLOCK, STOOK_FORKED. fn has been
 *          called if and only if it is OK.
 * Threads: any. Blocks: until fn has returned. */
STOOK_API STOOK_NODISCARD enum stook_status stook_executor_run(stook_executor *executor,
                                                               stook_fork_fn *fn, void *arg);

#ifndef __cplusplus

#include <stdatomic.h>

/* A slot for one open fork, in the array of its thread, the *lane*. */
struct stook_here {
    stook_fork_fn *fn;
    void *arg;
    _Atomic(uintptr_t) state; /* of one that has been offered; lib/lane.h */
    uintptr_t mark;           /* 1: open, and made by a program with checks */
};

/* What the functions below look at, at the two ends of a lane: each finds its own from `here`, so
 * that they need not keep anything else in a register between them. */
struct stook__lane {
    _Atomic(uintptr_t) fork_limit; /* address: a fork at or above it asks the library */
};

struct stook__lane_end {
    _Atomic(uintptr_t) join_limit; /* address: a join below it asks the library */
};

/* A lane's size in bytes, and what its address is a multiple of. */
#define STOOK__LANE_SIZE ((uintptr_t)1 << 17)

STOOK_API stook_here *stook__fork_slowly(stook_here *here, stook_fork_fn *fn, void *arg);
STOOK_API bool stook__join_slowly(stook_here *here);
STOOK_API void stook__fork_misused(const char *sentence); /* aborts */

static inline struct stook__lane *stook__lane_of(stook_here *here)
{
    return (struct stook__lane *)((uintptr_t)here & ~(STOOK__LANE_SIZE - 1));
}

static inline struct stook__lane_end *stook__lane_end_of(stook_here *here)
{
    return (struct stook__lane_end *)(((uintptr_t)here | (STOOK__LANE_SIZE - 1)) -
                                      (sizeof(stook_here) - 1));
}

/* The last slot, right below the end: forks there are not offered. */
static inline bool stook__lane_is_full(stook_here *here)
{
    return ((uintptr_t)(here + 2) & (STOOK__LANE_SIZE - 1)) == 0;
}

static inline stook_here *stook__fork(stook_here *here, stook_fork_fn *fn, void *arg)
{
#ifndef NDEBUG
    if (!stook__lane_is_full(here)) {
        if (here->mark) {
            stook__fork_misused("stook_fork() where an earlier fork has not been joined");
        }
        here->mark = 1;
    }
#endif
    struct stook__lane *lane = stook__lane_of(here);
    if ((uintptr_t)here >= atomic_load_explicit(&lane->fork_limit, memory_order_relaxed)) {
        return stook__fork_slowly(here, fn, arg);
    }
    here->fn = fn;
    here->arg = arg;
    return here + 1;
}

static inline bool stook__join(stook_here *here)
{
#ifndef NDEBUG
    if (!stook__lane_is_full(here)) {
        if (!here->mark) {
            stook__fork_misused("stook_join() without a fork at this place");
        }
        if ((here + 1)->mark) {
            stook__fork_misused("stook_join() where a newer fork has not been joined");
        }
        here->mark = 0;
    }
#endif
    struct stook__lane_end *end = stook__lane_end_of(here);
    return (uintptr_t)here >= atomic_load_explicit(&end->join_limit, memory_order_relaxed) ||
           stook__join_slowly(here);
}

static inline bool stook__fork_is_wanted(stook_here *here)
{
    return !atomic_load_explicit(&stook__lane_of(here)->fork_limit, memory_order_relaxed) &&
           !stook__lane_is_full(here);
}

#endif

/* The following are inline, but in C++ and where STOOK_NO_INLINE is defined.
 *
 * stook_fork() offers the call fn(..., arg) to the other workers, and returns where the caller
 * stands until the join: what it calls meanwhile gets that. arg, and what it points to, must stay
 * until the join. Blocks: never.
 *
 * stook_join() ends the newest open fork, which was made at `here`. True: nobody has made the call,
 * and nobody will: the caller makes it, at `here`, or leaves it out. False: it has been made and
 * has returned, and all that it wrote is visible. Blocks: while another thread makes the call.
 *
 * stook_fork_is_wanted(): is somebody out of work? Then a fork is taken soon; else it costs little,
 * but gains nothing. For splitting on demand, as stook_for() does. Blocks: never.
 *
 * Threads: the one that `here` is of. */
#if defined __cplusplus || defined STOOK_NO_INLINE

STOOK_API stook_here *stook_fork(stook_here *here, stook_fork_fn *fn, void *arg);
STOOK_API bool stook_join(stook_here *here);
STOOK_API bool stook_fork_is_wanted(stook_here *here);

#else

static inline stook_here *stook_fork(stook_here *here, stook_fork_fn *fn, void *arg)
{
    return stook__fork(here, fn, arg);
}

static inline bool stook_join(stook_here *here)
{
    return stook__join(here);
}

static inline bool stook_fork_is_wanted(stook_here *here)
{
    return stook__fork_is_wanted(here);
}

#endif

/* Makes both calls, at the same time if another worker is free for the second. */
static inline void stook_invoke(stook_here *here, stook_fork_fn *first, void *first_arg,
                                stook_fork_fn *second, void *second_arg)
{
    stook_here *above = stook_fork(here, second, second_arg);

    first(above, first_arg);
    if (stook_join(here)) {
        second(here, second_arg);
    }
}

STOOK_END_DECLS

#endif
