/* SPDX-License-Identifier: MIT
 *
 * What the options say of threads: the size of their stacks, and the CPUs that they are bound to.
 */
#define _GNU_SOURCE /* for attributes of running threads, and affinity masks */
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include "check.h"
#include "support.h"

enum { KIB = 1024, MIB = 1024 * KIB };

static int stack_size_task(void *arg, void **ret_value)
{
    pthread_attr_t attributes;
    void *base;

    (void)ret_value;
    MUST(pthread_getattr_np(pthread_self(), &attributes) == 0);
    MUST(pthread_attr_getstack(&attributes, &base, arg) == 0);
    pthread_attr_destroy(&attributes);
    return 0;
}

static stook_executor *create_with_stack(size_t stack_size)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = NULL;

    options.workers = 1;
    options.stack_size = stack_size;
    MUST(stook_executor_create(&options, &executor) == STOOK_OK);
    return executor;
}

static void run(stook_executor *executor, stook_task_fn *fn, void *arg)
{
    stook_future *future = must_submit(executor, fn, arg);

    MUST(stook_future_result(future, NULL) == STOOK_OK);
    stook_future_release(future);
}

Test(placement, B33_tasks_have_the_stack_that_was_asked_for)
{
    for (size_t stack_size = MIB; stack_size <= 64 * MIB; stack_size *= 8) {
        stook_executor *executor = create_with_stack(stack_size + 1);
        size_t actual = 0;

        run(executor, stack_size_task, &actual);
        cr_assert_geq(actual, stack_size - 64 * KIB); /* less what thread-local data take */
        cr_assert_leq(actual, stack_size + MIB);
        stook_executor_destroy(executor);
    }
}

/* Sanitizers make frames larger. */
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__

/* Writes to every page of `bytes` of the stack. */
static int use_stack(volatile char *above, size_t bytes)
{
    volatile char page[4 * KIB];

    page[0] = (char)bytes;
    page[sizeof page - 1] = *above;
    return bytes <= sizeof page ? page[0] : page[0] + use_stack(page, bytes - sizeof page);
}

static int deep_task(void *arg, void **ret_value)
{
    volatile char top = 1;

    (void)ret_value;
    return use_stack(&top, *(const size_t *)arg) == 12345; /* hardly; keeps the calls */
}

Test(placement, B33_a_task_can_use_a_large_stack)
{
    size_t bytes = 28 * MIB; /* more than the usual 8 MiB */
    stook_executor *executor = create_with_stack(32 * MIB);

    run(executor, deep_task, &bytes);
    stook_executor_destroy(executor);
}

#endif

static int lending_task(void *arg, void **ret_value)
{
    stook_task_begin_blocking();
    gate_pass(arg);
    stook_task_end_blocking();
    (void)ret_value;
    return 0;
}

Test(placement, B33_extra_threads_have_it_too)
{
    stook_executor *executor = create_with_stack(16 * MIB);
    struct gate gate = {0};
    stook_future *lending = must_submit(executor, lending_task, &gate);
    size_t actual = 0;

    gate_await(&gate, 1);
    run(executor, stack_size_task, &actual);
    cr_assert_geq(actual, 16 * MIB - 64 * KIB);
    gate_open(&gate);
    cr_assert_eq(stook_future_result(lending, NULL), STOOK_OK);
    stook_future_release(lending);
    stook_executor_destroy(executor);
}

#ifdef __GLIBC__

/* Tasks that wait run others on top, so the little that musl gives is not enough. */
Test(placement, B33_a_small_usual_stack_is_enlarged)
{
    pthread_attr_t attributes;
    size_t actual = 0;

    MUST(pthread_attr_init(&attributes) == 0);
    MUST(pthread_attr_setstacksize(&attributes, 128 * KIB) == 0);
    MUST(pthread_setattr_default_np(&attributes) == 0);
    pthread_attr_destroy(&attributes);
    stook_executor *executor = create_with_stack(0);
    run(executor, stack_size_task, &actual);
    cr_assert_geq(actual, MIB - 64 * KIB);
    stook_executor_destroy(executor);
}

#endif

static void note_text(void *user_data, const char *text)
{
    snprintf(user_data, 200, "%s", text);
}

Test(placement, B33_a_stack_that_is_too_small_is_refused)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = NULL;
    char text[200] = "";

    options.workers = 1;
    options.stack_size = 1000;
    options.report = note_text;
    options.report_data = text;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_INVALID);
    cr_assert_null(executor);
    cr_assert_not_null(strstr(text, "stack_size"), "%s", text);
}

/* --- CPUs ------------------------------------------------------------------------------------- */

#ifndef STOOK_TEST_PORTABLE

/* Where the calling thread may run. */
static cpu_set_t allowed_here(void)
{
    cpu_set_t set;

    MUST(sched_getaffinity(0, sizeof set, &set) == 0);
    return set;
}

static int allowed_task(void *arg, void **ret_value)
{
    (void)ret_value;
    *(cpu_set_t *)arg = allowed_here();
    return 0;
}

static stook_executor *create_pinned(unsigned workers)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = NULL;

    options.workers = workers;
    options.pin = true;
    MUST(stook_executor_create(&options, &executor) == STOOK_OK);
    return executor;
}

struct pinned {
    struct gate *gate;
    cpu_set_t set;
};

static int pinned_task(void *arg, void **ret_value)
{
    struct pinned *pinned = arg;

    gate_pass(pinned->gate);
    return allowed_task(&pinned->set, ret_value);
}

Test(placement, pinned_workers_share_the_cpus_evenly)
{
    const cpu_set_t all = allowed_here();
    const unsigned cpus = (unsigned)CPU_COUNT(&all);
    const unsigned workers = 2 * cpus;
    struct pinned *tasks = calloc(workers, sizeof *tasks);
    stook_future **futures = calloc(workers, sizeof *futures);
    stook_executor *executor = create_pinned(workers);
    struct gate gate = {0};
    unsigned uses[CPU_SETSIZE] = {0};

    MUST(tasks && futures);
    for (unsigned i = 0; i < workers; i++) {
        tasks[i].gate = &gate;
        futures[i] = must_submit(executor, pinned_task, &tasks[i]);
    }
    gate_await(&gate, (int)workers); /* every worker has one */
    gate_open(&gate);
    for (unsigned i = 0; i < workers; i++) {
        cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
        cr_assert_eq(CPU_COUNT(&tasks[i].set), 1);
        for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            uses[cpu] += CPU_ISSET(cpu, &tasks[i].set) != 0;
        }
    }
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        cr_assert_eq(uses[cpu], CPU_ISSET(cpu, &all) ? 2u : 0u);
    }
    release_all(futures, workers);
    stook_executor_destroy(executor);
    free(futures);
    free(tasks);
}

struct places {
    cpu_set_t before, blocking, extra, after;
    stook_executor *executor;
    struct gate gate;
};

static int blocking_task(void *arg, void **ret_value)
{
    struct places *places = arg;

    (void)ret_value;
    places->before = allowed_here();
    stook_task_begin_blocking();
    places->blocking = allowed_here();
    gate_pass(&places->gate);
    stook_task_end_blocking();
    places->after = allowed_here();
    return 0;
}

Test(placement, a_thread_without_a_worker_may_run_anywhere_and_one_that_takes_it_is_bound)
{
    const cpu_set_t all = allowed_here();
    struct places places = {.executor = create_pinned(1)};
    stook_future *future = must_submit(places.executor, blocking_task, &places);

    gate_await(&places.gate, 1);
    run(places.executor, allowed_task, &places.extra);
    gate_open(&places.gate);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(places.executor);
    cr_assert_eq(CPU_COUNT(&places.before), 1);
    cr_assert(CPU_EQUAL(&places.blocking, &all));
    cr_assert(CPU_EQUAL(&places.extra, &places.before));
    cr_assert(CPU_EQUAL(&places.after, &places.before) || CPU_EQUAL(&places.after, &all));
}

struct bound_submit {
    stook_executor *executor;
    cpu_set_t extra;
};

/* Submits from a thread that is bound to one CPU: it starts the extra thread. */
static int bound_thread(void *arg)
{
    struct bound_submit *submit = arg;
    const cpu_set_t all = allowed_here();
    cpu_set_t one;
    size_t cpu = 0;

    while (!CPU_ISSET(cpu, &all)) {
        cpu++;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    MUST(sched_setaffinity(0, sizeof one, &one) == 0);
    run(submit->executor, allowed_task, &submit->extra);
    return 0;
}

Test(placement, extra_threads_have_the_cpus_of_the_creator_not_of_who_caused_them)
{
    const cpu_set_t all = allowed_here();
    struct bound_submit submit = {.executor = must_create(1)};
    struct gate gate = {0};
    stook_future *lending = must_submit(submit.executor, lending_task, &gate);
    thrd_t thread;

    gate_await(&gate, 1);
    must_start(&thread, bound_thread, &submit);
    thrd_join(thread, NULL);
    gate_open(&gate);
    cr_assert_eq(stook_future_result(lending, NULL), STOOK_OK);
    stook_future_release(lending);
    stook_executor_destroy(submit.executor);
    cr_assert(CPU_EQUAL(&submit.extra, &all));
}

#endif
