/* SPDX-License-Identifier: MIT
 *
 * Forks and joins that do not nest: programs built without NDEBUG, as this one is, end with a
 * message, whoever built the library. And what no task may do, no fork may.
 */
#include "check.h"
#include "config.h"
#include "fork_support.h"
#include "child_support.h"
#include "group_support.h"

/* --- crimes: regions, each run in a child ----------------------------------------------------- */

static void fork_twice(stook_here *here, void *arg)
{
    (void)arg;
    (void)stook_fork(here, do_nothing, NULL);
    (void)stook_fork(here, do_nothing, NULL);
}

static void fork_twice_further_up(stook_here *here, void *arg)
{
    stook_here *above = stook_fork(here, do_nothing, NULL);

    (void)stook_fork(above, do_nothing, NULL);
    (void)stook_join(above);
    fork_twice(above, arg);
}

static void join_without_fork(stook_here *here, void *arg)
{
    (void)arg;
    (void)stook_join(here);
}

static void join_twice(stook_here *here, void *arg)
{
    (void)arg;
    (void)stook_fork(here, do_nothing, NULL);
    (void)stook_join(here);
    (void)stook_join(here);
}

static void join_above(stook_here *here, void *arg)
{
    (void)arg;
    (void)stook_join(stook_fork(here, do_nothing, NULL));
}

static void leave_open(stook_here *here, void *arg)
{
    (void)stook_fork(here, do_nothing, arg);
}

/* A call that returns with a fork open, and one that comes after it. */
static void fork_over_open(stook_here *here, void *arg)
{
    leave_open(here, arg);
    (void)stook_fork(here, do_nothing, NULL);
}

static void misuse_in_fork(stook_here *here, void *arg)
{
    atomic_int *begun = arg;

    if (begun) {
        atomic_store(begun, 1);
    }
    join_without_fork(here, NULL);
}

/* In a fork that another worker makes. */
static void misuse_elsewhere(stook_here *here, void *arg)
{
    atomic_int begun = 0;
    stook_here *above = stook_fork(here, misuse_in_fork, &begun);

    (void)arg;
    FORK_UNTIL(above, atomic_load(&begun));
    SPIN_UNTIL(false);
}

static void destroy_executor(stook_here *here, void *executor)
{
    (void)here;
    stook_executor_destroy(executor);
}

static void destroy_elsewhere(stook_here *here, void *executor)
{
    stook_here *above = stook_fork(here, destroy_executor, executor);

    FORK_UNTIL(above, false);
}

static void nest_well(stook_here *here, void *arg)
{
    struct fib right = {.n = 10};

    (void)arg;
    for (int i = 0; i < 3; i++) {
        stook_here *above = stook_fork(here, fib_fork, &right);

        (void)stook_fork(above, do_nothing, NULL);
        (void)stook_join(above);
        (void)stook_fork(above, do_nothing, NULL);
        (void)stook_join(above);
        (void)fib(above, 10);
        (void)stook_join(here);
    }
}

/* --- and what they come to -------------------------------------------------------------------- */

struct crime {
    const char *name;
    stook_fork_fn *commit;
};

static void commit_crime(void *arg)
{
    const struct crime *crime = arg;
    stook_executor *executor = must_create(2);

    must_run(executor, crime->commit, executor);
    stook_executor_destroy(executor);
}

static void assert_aborts(const struct crime *crime)
{
    struct crime copy = *crime;
    struct child_end end;

    run_child(commit_crime, &copy, &end);
    cr_assert(WIFSIGNALED(end.status) && WTERMSIG(end.status) == SIGABRT, "%s: status %x, said: %s",
              crime->name, (unsigned)end.status, end.text);
    cr_assert(strncmp(end.text, "stook: ", 7) == 0, "%s said: %s", crime->name, end.text);
    cr_assert(strchr(end.text, '\n') != NULL);
}

Test(fork_join_misuse, what_does_not_nest_aborts_with_a_message, .timeout = 120)
{
    static const struct crime crimes[] = {
        {"two forks at one place", fork_twice},
        {"two forks at one place above another", fork_twice_further_up},
        {"a join without a fork", join_without_fork},
        {"two joins of one fork", join_twice},
        {"a join above the fork", join_above},
        {"a fork over one that was left open", fork_over_open},
        {"a join without a fork in another worker", misuse_elsewhere},
    };
    struct crime innocent = {"nothing", nest_well};
    struct child_end end;

    run_child(commit_crime, &innocent, &end);
    cr_assert(has_exited_with_0(end.status), "%s", end.text);
    for (size_t i = 0; i < sizeof crimes / sizeof crimes[0]; i++) {
        assert_aborts(&crimes[i]);
    }
}

static void leave_open_further_up(stook_here *here, void *arg)
{
    stook_here *above = stook_fork(here, do_nothing, arg);

    leave_open(above, arg);
    (void)stook_join(here);
}

static void join_in_order_of_forks(stook_here *here, void *arg)
{
    stook_here *above = stook_fork(here, do_nothing, arg);

    (void)stook_fork(above, do_nothing, arg);
    (void)stook_join(here);
    (void)stook_join(above);
}

static void leave_open_elsewhere(stook_here *here, void *arg)
{
    stook_here *above = stook_fork(here, leave_open, arg);

    FORK_UNTIL(above, false);
}

/* With nobody to come to the place afterwards. */
Test(fork_join_misuse, who_returns_with_a_fork_open_is_noticed, .timeout = 60)
{
    static const struct crime crimes[] = {
        {"a region that leaves a fork open", leave_open},
        {"a fork elsewhere that leaves one open", leave_open_elsewhere},
        {"a call that leaves a fork open above another", leave_open_further_up},
        {"joins in the order of the forks", join_in_order_of_forks},
    };

    for (size_t i = 0; i < sizeof crimes / sizeof crimes[0]; i++) {
        assert_aborts(&crimes[i]);
    }
}

Test(fork_join_misuse, an_executor_destroyed_in_its_fork_aborts, .timeout = 60,
     .disabled = !STOOK_CHECKS)
{
    static const struct crime crimes[] = {
        {"executor destroyed in its region", destroy_executor},
        {"executor destroyed in a fork elsewhere", destroy_elsewhere},
    };

    for (size_t i = 0; i < sizeof crimes / sizeof crimes[0]; i++) {
        assert_aborts(&crimes[i]);
    }
}
