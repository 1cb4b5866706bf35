/* SPDX-License-Identifier: MIT
 *
 * Systems that refuse membarrier(2), as a filter of system calls may: executors work with fences of
 * their own. And one that refuses it later, which nothing can go on without.
 */
#include <linux/membarrier.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "fork_support.h"
#include "child_support.h"
#include "group_support.h"

static bool may_register = true;
static bool may_fence = true;
static atomic_int fences;

long __real_syscall(long number, long a, long b, long c, long d, long e, long f);
long __wrap_syscall(long number, ...);

/* All that Linux knows have six arguments at most; those that were not given are not looked at. */
long __wrap_syscall(long number, ...)
{
    long arguments[6];
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++) {
        arguments[i] = va_arg(list, long);
    }
    va_end(list);
    if (number == SYS_membarrier) {
        const bool registers = (int)arguments[0] == MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;

        atomic_fetch_add(&fences, !registers);
        if (!(registers ? may_register : may_fence)) {
            return -1;
        }
    }
    return __real_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3],
                          arguments[4], arguments[5]);
}

static atomic_int runs;

static int child_task(void *arg, void **ret_value)
{
    stook_future *future = must_submit(arg, count_task, &runs);

    (void)ret_value;
    MUST(stook_future_result(future, NULL) == STOOK_OK);
    stook_future_release(future);
    return 0;
}

/* Deques that are nearly empty, thieves, forks, and workers that fall asleep all the time. */
static void work(void)
{
    stook_executor *executor = must_create(2);

    atomic_store(&runs, 0);
    for (int i = 0; i < 2000; i++) {
        stook_future *future = must_submit(executor, child_task, executor);

        MUST(stook_future_result(future, NULL) == STOOK_OK);
        stook_future_release(future);
    }
    for (int i = 0; i < 20; i++) {
        MUST(run_fib(executor, 15) == plain_fib(15));
    }
    stook_executor_destroy(executor);
    MUST(atomic_load(&runs) == 2000);
}

Test(membarrier, what_refuses_it_is_never_asked_again, .timeout = 60)
{
    may_register = false;
    work();
    cr_assert_eq(atomic_load(&fences), 0);
}

static void refuse_later(void *arg)
{
    (void)arg;
    work();
    may_fence = false;
    work();
}

Test(membarrier, what_was_granted_and_is_refused_ends_the_process, .timeout = 60)
{
    struct child_end end;

    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0) {
        return; /* here it is refused from the start */
    }
    run_child(refuse_later, NULL, &end);
    cr_assert(WIFSIGNALED(end.status) && WTERMSIG(end.status) == SIGABRT, "%s", end.text);
    cr_assert_not_null(strstr(end.text, "stook: membarrier(2) is refused"), "%s", end.text);
}
