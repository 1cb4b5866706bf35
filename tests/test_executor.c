/* SPDX-License-Identifier: MIT
 *
 * Executors: what creating one and submitting to it refuses, how many threads there are and what
 * they are called, and that executors are independent. Accepted tasks are in test_submit.c, waits
 * inside tasks in test_nesting.c, the end of an executor in test_shutdown.c.
 */
/* Names of threads need the library's platform_linux.c; a build with its portable twin defines
 * STOOK_TEST_PORTABLE. */
#if defined __linux__ && !defined STOOK_TEST_PORTABLE
#define LINUX_ONLY
#include <sys/prctl.h>
#endif
#include <ctype.h>
#include <string.h>
#include <sys/resource.h>

#include "check.h"
#include "support.h"

/* A pointer that no function may write to. */
static int untouched;
#define UNTOUCHED ((void *)&untouched)

Test(executor, B22_null_is_refused_and_nothing_is_written, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    atomic_int runs = 0;
    stook_future *future = UNTOUCHED;
    stook_future *futures[2] = {UNTOUCHED, UNTOUCHED};

    cr_assert_eq(stook_executor_submit(executor, NULL, &runs, &future), STOOK_INVALID);
    cr_assert_eq(stook_executor_submit(NULL, count_task, &runs, &future), STOOK_INVALID);
    cr_assert_eq(stook_executor_submit(executor, NULL, &runs, NULL), STOOK_INVALID);
    cr_assert_eq(stook_executor_submit_many(executor, NULL, NULL, &runs, 2, 0, futures),
                 STOOK_INVALID);
    cr_assert_eq(stook_executor_submit_many(NULL, NULL, count_task, &runs, 2, 0, futures),
                 STOOK_INVALID);
    cr_assert_eq(stook_executor_worker_count(NULL), 0u);
    cr_assert_eq(future, UNTOUCHED);
    cr_assert_eq(futures[0], UNTOUCHED);
    cr_assert_eq(futures[1], UNTOUCHED);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
    stook_executor_destroy(NULL);
}

Test(executor, B22_bad_options_are_refused_and_nothing_is_written, .timeout = 60)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = UNTOUCHED;

    cr_assert_eq(stook_executor_create(NULL, NULL), STOOK_INVALID);
    options.workers = STOOK_MAX_WORKERS + 1;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_INVALID);
    options.workers = ~0u;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_INVALID);
    options.workers = 1;
    options.struct_size = 0;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_INVALID);
    options.struct_size = sizeof options + 1000;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_INVALID);
    cr_assert_eq(executor, UNTOUCHED);
}

/* How many workers an executor with these options has; it runs a task as well. */
static unsigned count_of_working_executor(const struct stook_executor_options *options)
{
    stook_executor *executor = NULL;
    atomic_int runs = 0;
    unsigned count;

    MUST(stook_executor_create(options, &executor) == STOOK_OK);
    count = stook_executor_worker_count(executor);
    MUST(stook_executor_submit(executor, count_task, &runs, NULL) == STOOK_OK);
    stook_executor_destroy(executor);
    MUST(atomic_load(&runs) == 1);
    return count;
}

Test(executor, B23_zero_workers_means_as_many_as_there_are_cpus, .timeout = 60)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;

    cr_assert_eq(unsetenv("STOOK_WORKERS"), 0);
    const unsigned count = count_of_working_executor(NULL);
    cr_assert_geq(count, 1u);
    cr_assert_leq(count, (unsigned)STOOK_MAX_WORKERS);
    cr_assert_eq(options.workers, 0u);
    cr_assert_null(options.name_prefix);
    cr_assert_eq(count_of_working_executor(&options), count);
    for (options.workers = 1; options.workers <= 9; options.workers++) {
        cr_assert_eq(count_of_working_executor(&options), options.workers);
    }
}

struct resubmit {
    stook_executor *executor;
    struct gate gate;
    atomic_int runs;
    enum stook_status one, many, map;
    stook_future *future;
};

static int resubmit_task(void *arg, void **ret_value)
{
    struct resubmit *resubmit = arg;

    (void)ret_value;
    gate_pass(&resubmit->gate);
    resubmit->one =
        stook_executor_submit(resubmit->executor, count_task, &resubmit->runs, &resubmit->future);
    resubmit->many = stook_executor_submit_many(resubmit->executor, NULL, count_task,
                                                &resubmit->runs, 1, 0, &resubmit->future);
    resubmit->map =
        stook_executor_map(resubmit->executor, count_task, &resubmit->runs, 1, 0, NULL, NULL);
    return 0;
}

Test(executor, B24_after_shutdown_nothing_is_accepted_from_anywhere, .timeout = 60)
{
    struct resubmit resubmit = {.executor = must_create(2), .future = UNTOUCHED};
    stook_executor *executor = resubmit.executor;
    stook_future *running = must_submit(executor, resubmit_task, &resubmit);
    stook_future *futures[2] = {UNTOUCHED, UNTOUCHED};

    gate_await(&resubmit.gate, 1);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, 0), STOOK_TIMEOUT);
    cr_assert_eq(stook_executor_submit(executor, count_task, &resubmit.runs, futures),
                 STOOK_SHUTDOWN);
    cr_assert_eq(stook_executor_submit(executor, count_task, &resubmit.runs, NULL), STOOK_SHUTDOWN);
    gate_open(&resubmit.gate);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(stook_future_state(running), STOOK_STATE_DONE);
    cr_assert_eq(resubmit.one, STOOK_SHUTDOWN);
    cr_assert_eq(resubmit.many, STOOK_SHUTDOWN);
    cr_assert_eq(resubmit.map, STOOK_SHUTDOWN);
    cr_assert_eq(resubmit.future, UNTOUCHED);

    cr_assert_eq(stook_executor_submit(executor, count_task, &resubmit.runs, futures),
                 STOOK_SHUTDOWN);
    cr_assert_eq(
        stook_executor_submit_many(executor, NULL, count_task, &resubmit.runs, 2, 0, futures),
        STOOK_SHUTDOWN);
    cr_assert_eq(futures[0], UNTOUCHED);
    cr_assert_eq(futures[1], UNTOUCHED);
    stook_future_release(running);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&resubmit.runs), 0, "a refused task was run");
}

enum { SATURATION_TASKS = 60, SATURATION_WORKERS = 4 };

struct saturation {
    struct gate gate;
    atomic_int running, most;
};

static int saturation_task(void *arg, void **ret_value)
{
    struct saturation *saturation = arg;
    const int running = 1 + atomic_fetch_add(&saturation->running, 1);
    int most = atomic_load(&saturation->most);

    (void)ret_value;
    while (running > most && !atomic_compare_exchange_weak(&saturation->most, &most, running)) {
    }
    gate_pass(&saturation->gate);
    atomic_fetch_sub(&saturation->running, 1);
    return 0;
}

Test(executor, B25_sixty_tasks_on_four_workers_run_four_at_a_time, .timeout = 60)
{
    const int threads = thread_count_at_first();
    stook_executor *executor = must_create(SATURATION_WORKERS);
    struct saturation saturation = {0};
    stook_future *futures[SATURATION_TASKS];

    cr_assert_gt(threads, 0);
    for (int i = 0; i < SATURATION_TASKS; i++) {
        futures[i] = must_submit(executor, saturation_task, &saturation);
    }
    gate_await(&saturation.gate, SATURATION_WORKERS);
    give_a_chance();
    cr_assert_eq(atomic_load(&saturation.gate.arrived), SATURATION_WORKERS);
    cr_assert_eq(thread_count(), threads + SATURATION_WORKERS);
    gate_open(&saturation.gate);
    for (int i = 0; i < SATURATION_TASKS; i++) {
        cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
    }
    cr_assert_eq(atomic_load(&saturation.gate.arrived), SATURATION_TASKS);
    cr_assert_eq(atomic_load(&saturation.most), SATURATION_WORKERS);
    release_all(futures, SATURATION_TASKS);
    cr_assert_eq(thread_count(), threads + SATURATION_WORKERS);
    stook_executor_destroy(executor);
}

static int wait_for_child_task(void *arg, void **ret_value)
{
    atomic_int runs = 0;
    stook_future *child = must_submit(arg, count_task, &runs);

    (void)ret_value;
    MUST(stook_future_result(child, NULL) == STOOK_OK);
    stook_future_release(child);
    return 0;
}

Test(executor, B26_tasks_one_after_the_other_need_no_more_threads, .timeout = 60)
{
    const int threads = thread_count_at_first();
    stook_executor *three = must_create(3);
    stook_executor *one = must_create(1);
    atomic_int runs = 0;

    cr_assert_gt(threads, 0);
    for (int i = 0; i < 300; i++) {
        stook_future *futures[2] = {must_submit(three, count_task, &runs),
                                    must_submit(one, wait_for_child_task, one)};

        cr_assert_eq(stook_future_result(futures[0], NULL), STOOK_OK);
        cr_assert_eq(stook_future_result(futures[1], NULL), STOOK_OK);
        release_all(futures, 2);
    }
    cr_assert_eq(thread_count(), threads + 4);
    stook_executor_destroy(three);
    stook_executor_destroy(one);
}

#ifdef LINUX_ONLY
struct named {
    struct gate *gate;
    char name[16];
};

static int name_task(void *arg, void **ret_value)
{
    struct named *named = arg;

    (void)ret_value;
    MUST(prctl(PR_GET_NAME, named->name) == 0);
    gate_pass(named->gate);
    return 0;
}

/* All threads of an executor are called prefix-<n>, each with an n of its own. */
static void expect_names(const char *option, const char *prefix)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = NULL;
    struct gate gate = {0};
    struct named named[3] = {0}; /* prctl() is not known to MemorySanitizer */
    char copy[64];

    options.workers = 3;
    options.name_prefix = option == NULL ? NULL : strcpy(copy, option);
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_OK);
    memset(copy, '?', sizeof copy - 1);
    for (int i = 0; i < 3; i++) {
        named[i].gate = &gate;
        cr_assert_eq(stook_executor_submit(executor, name_task, &named[i], NULL), STOOK_OK);
    }
    gate_await(&gate, 3);
    gate_open(&gate);
    stook_executor_destroy(executor);
    for (int i = 0; i < 3; i++) {
        const char *dash = strrchr(named[i].name, '-');

        cr_assert_not_null(dash, "%s", named[i].name);
        cr_assert_eq((size_t)(dash - named[i].name), strlen(prefix), "%s", named[i].name);
        cr_assert_eq(strncmp(named[i].name, prefix, strlen(prefix)), 0, "%s", named[i].name);
        cr_assert(isdigit((unsigned char)dash[1]), "%s", named[i].name);
        for (int j = 0; j < i; j++) {
            cr_assert_neq(strcmp(named[i].name, named[j].name), 0, "%s twice", named[i].name);
        }
    }
}

Test(executor, B27_threads_are_named_after_the_prefix, .timeout = 60)
{
    expect_names(NULL, "stook");
    expect_names("abc", "abc");
    expect_names("", "");
}

Test(executor, B27_a_long_prefix_is_cut_so_that_the_number_stays, .timeout = 60)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = NULL;
    struct gate gate = {0};
    struct named named[12] = {0};

    options.workers = 12;
    options.name_prefix = "a-rather-long-prefix";
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_OK);
    for (int i = 0; i < 12; i++) {
        named[i].gate = &gate;
        cr_assert_eq(stook_executor_submit(executor, name_task, &named[i], NULL), STOOK_OK);
    }
    gate_await(&gate, 12);
    gate_open(&gate);
    stook_executor_destroy(executor);
    for (int i = 0; i < 12; i++) {
        const char *dash = strrchr(named[i].name, '-');

        cr_assert_leq(strlen(named[i].name), 15u);
        cr_assert_eq(strncmp(named[i].name, "a-rather-lon", 12), 0, "%s", named[i].name);
        cr_assert(isdigit((unsigned char)dash[1]), "%s", named[i].name);
        for (int j = 0; j < i; j++) {
            cr_assert_neq(strcmp(named[i].name, named[j].name), 0, "%s twice", named[i].name);
        }
    }
}
#endif

Test(executor, B44_a_blocked_and_a_closed_executor_do_not_hinder_another, .timeout = 60)
{
    stook_executor *blocked = must_create(1);
    stook_executor *closed = must_create(1);
    stook_executor *free_one = must_create(1);
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *holder = must_submit(blocked, gate_task, &gate);
    stook_future *waiting = must_submit(blocked, count_task, &runs);
    stook_future *future;

    cr_assert_eq(stook_executor_shutdown(closed, STOOK_CANCEL_PENDING, STOOK_FOREVER), STOOK_OK);
    future = must_submit(free_one, count_task, &runs);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    cr_assert_eq(atomic_load(&runs), 1);
    stook_future_release(future);
    stook_executor_destroy(closed);
    stook_executor_destroy(free_one);
    cr_assert_eq(stook_future_state(waiting), STOOK_STATE_PENDING);
    gate_open(&gate);
    cr_assert_eq(stook_future_result(waiting, NULL), STOOK_OK);
    stook_future_release(waiting);
    stook_future_release(holder);
    stook_executor_destroy(blocked);
    cr_assert_eq(atomic_load(&runs), 2);
}

static int64_t cpu_ns(void)
{
    struct timespec used;

    MUST(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0);
    return (int64_t)used.tv_sec * SECOND + used.tv_nsec;
}

/* After work, so that every thread has searched and gone to sleep again. A thread that spins would
 * use all of the time; one that polls would go to sleep again and again. */
Test(executor, B59_idle_threads_use_no_cpu_and_do_not_poll, .timeout = 60)
{
    const struct timespec pause = {0, 500 * MILLISECOND};
    stook_executor *executor = must_create(4);
    atomic_int runs = 0;
    stook_future *futures[100];
    struct rusage before;
    struct rusage after;

    cr_assert_eq(stook_executor_submit_many(executor, NULL, count_task, &runs, 100, 0, futures),
                 STOOK_OK);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
    }
    release_all(futures, 100);
    give_a_chance();
    cr_assert_eq(getrusage(RUSAGE_SELF, &before), 0);
    const int64_t cpu_before = cpu_ns();
    (void)thrd_sleep(&pause, NULL);
    cr_assert_lt(cpu_ns() - cpu_before, 25 * MILLISECOND);
    cr_assert_eq(getrusage(RUSAGE_SELF, &after), 0);
    cr_assert_lt(after.ru_nvcsw - before.ru_nvcsw,
                 25); /* a sanitizer's own thread sleeps some times */
    stook_executor_destroy(executor);
}
