/* SPDX-License-Identifier: MIT
 *
 * Regions of forks and joins among everything else: where they run, who begins them and who is
 * refused, inside one another, in several threads and executors; the executor's counters, and that
 * it idles afterwards.
 */
#include <sys/resource.h>
#include "check.h"
#include "fork_support.h"
#include "fork_tree.h"
#include "group_support.h"

/* --- who begins one --------------------------------------------------------------------------- */

static int run_in_thread(void *arg)
{
    struct seen *seen = arg;

    seen->status = stook_executor_run(seen->executor, see_region, seen);
    return 0;
}

Test(fork_join_region, from_outside_it_runs_in_a_worker, .timeout = 60)
{
    stook_executor *executor = must_create(2);

    for (int i = 1; i <= 100; i++) {
        struct seen seen = {.executor = executor};

        cr_assert_eq(stook_executor_run(executor, see_region, &seen), STOOK_OK);
        cr_assert_eq(atomic_load(&seen.calls), 1);
        cr_assert(!thrd_equal(seen.thread, thrd_current()));
        cr_assert_eq(seen.result, 144);
    }
    stook_executor_destroy(executor);
}

Test(fork_join_region, in_a_task_it_runs_in_its_thread, .timeout = 60)
{
    stook_executor *executor = must_create(1);

    for (int i = 0; i < 100; i++) {
        struct seen seen = {.executor = executor};
        stook_future *future = must_submit(executor, run_in_task, &seen);

        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        cr_assert_eq(seen.status, STOOK_OK);
        cr_assert_eq(atomic_load(&seen.calls), 1);
        stook_future_release(future);
    }
    stook_executor_destroy(executor);
}

/* Its thread is no worker, and all workers are held. */
Test(fork_join_region, in_a_task_that_the_submitter_runs, .timeout = 60)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    struct stook_submit_options submit = STOOK_SUBMIT_OPTIONS_INIT;
    struct gate gate = {0};
    stook_executor *executor;
    stook_future *queued;
    atomic_int runs = 0;

    options.workers = 1;
    options.queue_limit = 1;
    submit.when_full = STOOK_WHEN_FULL_RUN;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_OK);
    fill_workers(executor, &gate, 1);
    queued = must_submit(executor, count_task, &runs);
    for (int i = 0; i < 10; i++) {
        struct seen seen = {.executor = executor};
        stook_future *future = must_submit_with(executor, &submit, run_in_task, &seen);

        cr_assert_eq(seen.status, STOOK_OK);
        cr_assert_eq(atomic_load(&seen.calls), 1);
        cr_assert(thrd_equal(seen.thread, thrd_current()));
        stook_future_release(future);
    }
    gate_open(&gate);
    cr_assert_eq(stook_future_result(queued, NULL), STOOK_OK);
    stook_future_release(queued);
    stook_executor_destroy(executor);
}

enum { THREADS = 4, REGIONS_EACH = 60 };

static int run_many(void *arg)
{
    for (int i = 0; i < REGIONS_EACH; i++) {
        struct seen seen = {.executor = arg};

        MUST(run_in_thread(&seen) == 0);
        MUST(seen.status == STOOK_OK && seen.result == 144 && atomic_load(&seen.calls) == 1);
        MUST(run_fib(arg, i % 18) == plain_fib(i % 18));
    }
    return 0;
}

Test(fork_join_region, many_at_a_time, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        stook_executor *executor = must_create(workers);
        thrd_t threads[THREADS];

        for (int i = 0; i < THREADS; i++) {
            must_start(&threads[i], run_many, executor);
        }
        for (int i = 0; i < THREADS; i++) {
            must_join(threads[i]);
        }
        stook_executor_destroy(executor);
    }
}

/* --- who is refused --------------------------------------------------------------------------- */

static int null_task(void *arg, void **ret_value)
{
    struct seen *seen = arg;

    (void)ret_value;
    MUST(stook_executor_run(NULL, see_region, seen) == STOOK_INVALID);
    MUST(stook_executor_run(seen->executor, NULL, seen) == STOOK_INVALID);
    return 0;
}

/* B22 */
Test(fork_join_region, null_is_answered)
{
    struct seen seen = {.executor = must_create(1)};
    stook_future *future = must_submit(seen.executor, null_task, &seen);

    cr_assert_eq(stook_executor_run(NULL, see_region, &seen), STOOK_INVALID);
    cr_assert_eq(stook_executor_run(seen.executor, NULL, &seen), STOOK_INVALID);
    cr_assert_eq(stook_executor_run(NULL, NULL, NULL), STOOK_INVALID);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(seen.executor);
    cr_assert_eq(atomic_load(&seen.calls), 0);
}

Test(fork_join_region, after_shutdown_none_begins)
{
    for (int mode = 0; mode < 2; mode++) {
        struct seen seen = {.executor = must_create(2)};

        cr_assert_eq(
            stook_executor_shutdown(seen.executor, (enum stook_shutdown_mode)mode, STOOK_FOREVER),
            STOOK_OK);
        cr_assert_eq(stook_executor_run(seen.executor, see_region, &seen), STOOK_SHUTDOWN);
        stook_executor_destroy(seen.executor);
        cr_assert_eq(atomic_load(&seen.calls), 0);
    }
}

Test(fork_join_region, one_that_has_not_begun_is_cancelled, .timeout = 60)
{
    struct seen seen = {.executor = must_create(1)};
    struct stook_stats stats = STOOK_STATS_INIT;
    struct gate gate = {0};
    thrd_t thread;

    fill_workers(seen.executor, &gate, 1);
    must_start(&thread, run_in_thread, &seen);
    do {
        cr_assert_eq(stook_executor_stats(seen.executor, &stats, NULL, 0), STOOK_OK);
    } while (stats.pending == 0);
    cr_assert_eq(stook_executor_shutdown(seen.executor, STOOK_CANCEL_PENDING, 0), STOOK_TIMEOUT);
    must_join(thread); /* while the worker is still held */
    cr_assert_eq(seen.status, STOOK_CANCELLED);
    gate_open(&gate);
    stook_executor_destroy(seen.executor);
    cr_assert_eq(atomic_load(&seen.calls), 0);
}

static int fail_second_thread(void *user_data, unsigned number)
{
    (void)user_data;
    return number > 0;
}

struct breaking {
    struct seen seen;
    struct gate gate;
};

static int break_task(void *arg, void **ret_value)
{
    struct breaking *breaking = arg;

    (void)ret_value;
    stook_task_begin_blocking(); /* its worker is lent to a thread, which fails */
    gate_pass(&breaking->gate);
    stook_task_end_blocking();
    return run_in_task(&breaking->seen, ret_value);
}

static void say_nothing(void *user_data, const char *text)
{
    (void)user_data;
    (void)text;
}

Test(fork_join_region, a_broken_executor_begins_none_but_in_its_tasks, .timeout = 60)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    struct breaking breaking = {.gate = {0}};
    struct seen seen = {.calls = 0};
    stook_future *running;

    options.workers = 1;
    options.thread_init = fail_second_thread;
    options.report = say_nothing;
    cr_assert_eq(stook_executor_create(&options, &seen.executor), STOOK_OK);
    breaking.seen.executor = seen.executor;
    running = must_submit(seen.executor, break_task, &breaking);
    gate_await(&breaking.gate, 1);
    /* pending until the thread fails, or refused */
    cr_assert_eq(stook_executor_run(seen.executor, see_region, &seen), STOOK_BROKEN);
    cr_assert_eq(stook_executor_run(seen.executor, see_region, &seen), STOOK_BROKEN);
    cr_assert_eq(atomic_load(&seen.calls), 0);
    gate_open(&breaking.gate);
    cr_assert_eq(stook_future_result(running, NULL), STOOK_OK);
    cr_assert_eq(breaking.seen.status, STOOK_OK);
    cr_assert_eq(breaking.seen.result, 144);
    stook_future_release(running);
    stook_executor_destroy(seen.executor);
}

static _Thread_local bool has_hook;

static int mark_first_threads(void *user_data, unsigned number)
{
    (void)user_data;
    has_hook = number < 2;
    return !has_hook;
}

static void see_hook(stook_here *here, void *arg)
{
    atomic_int *without = arg;

    (void)here;
    atomic_fetch_add(without, !has_hook);
}

struct hooked {
    stook_executor *executor;
    struct gate gate;
    atomic_int without; /* forks in threads whose hook has failed */
};

/* Offers forks for a while after the thread that holds the other worker has failed. */
static void fork_beside_failed(stook_here *here, void *arg)
{
    struct hooked *hooked = arg;

    FORK_UNTIL(here, stook_executor_resize(hooked->executor, 2) == STOOK_BROKEN);
    for (const int64_t end_ns = stook_now_ns() + 50 * MILLISECOND; stook_now_ns() < end_ns;) {
        (void)stook_fork(here, see_hook, &hooked->without);
        thrd_yield();
        if (stook_join(here)) {
            see_hook(here, &hooked->without);
        }
    }
}

static int fork_beside_failed_task(void *arg, void **ret_value)
{
    struct hooked *hooked = arg;

    (void)ret_value;
    must_run(hooked->executor, fork_beside_failed, hooked);
    return 0;
}

static int lend_to_failing(void *arg, void **ret_value)
{
    struct hooked *hooked = arg;

    (void)ret_value;
    stook_task_begin_blocking(); /* its worker is lent to a thread, which fails */
    gate_pass(&hooked->gate);
    stook_task_end_blocking();
    return 0;
}

Test(fork_join_region, threads_whose_init_has_failed_make_no_forks, .timeout = 60)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    struct hooked hooked = {.without = 0};
    stook_future *region, *lender;

    options.workers = 2;
    options.thread_init = mark_first_threads;
    options.report = say_nothing;
    cr_assert_eq(stook_executor_create(&options, &hooked.executor), STOOK_OK);
    region = must_submit(hooked.executor, fork_beside_failed_task, &hooked);
    lender = must_submit(hooked.executor, lend_to_failing, &hooked);
    cr_assert_eq(stook_future_result(region, NULL), STOOK_OK);
    gate_open(&hooked.gate);
    cr_assert_eq(stook_future_result(lender, NULL), STOOK_OK);
    cr_assert_eq(atomic_load(&hooked.without), 0);
    stook_future_release(region);
    stook_future_release(lender);
    stook_executor_destroy(hooked.executor);
}

static void run_in_callback(stook_future *future, void *user_data)
{
    struct seen *seen = user_data;

    (void)future;
    seen->status = stook_executor_run(seen->executor, see_region, seen);
}

static int callback_in_task(void *arg, void **ret_value)
{
    struct seen *seen = arg;
    atomic_int runs = 0;
    stook_future *done = must_submit(seen->executor, count_task, &runs);

    (void)ret_value;
    MUST(stook_future_result(done, NULL) == STOOK_OK);
    MUST(stook_future_on_done(done, run_in_callback, seen) == STOOK_OK); /* called at once */
    stook_future_release(done);
    return 0;
}

/* A callback may not wait, in whatever thread. */
Test(fork_join_region, in_a_callback_none_begins, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct seen seen[3];
    struct gate gate = {0};
    stook_future *held = must_submit(executor, gate_task, &gate);
    stook_future *future;

    for (int i = 0; i < 3; i++) {
        seen[i] = (struct seen){.executor = executor, .status = STOOK_OK};
    }
    cr_assert_eq(stook_future_on_done(held, run_in_callback, &seen[0]), STOOK_OK);
    future = must_submit(executor, callback_in_task, &seen[1]);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    cr_assert_eq(stook_future_on_done(future, run_in_callback, &seen[2]), STOOK_OK);
    stook_future_release(future);
    gate_open(&gate);
    cr_assert_eq(stook_future_result(held, NULL), STOOK_OK);
    stook_future_release(held);
    stook_executor_destroy(executor);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(seen[i].status, STOOK_DEADLOCK, "callback %d: %s", i,
                     stook_status_name(seen[i].status));
        cr_assert_eq(atomic_load(&seen[i].calls), 0);
    }
}

/* --- inside one another ----------------------------------------------------------------------- */

enum { OUTER = 3, OUTER_SUM = 5 + 8 + 13 };

struct nest {
    stook_executor *executor, *other; /* other: of the next one inside */
    unsigned depth;
    long result;
};

static void nest(stook_here *here, void *arg);

static int nest_in_task(void *arg, void **ret_value)
{
    struct nest *inner = arg;

    (void)ret_value;
    must_run(inner->executor, nest, inner);
    return 0;
}

/* The next region is not told where this one stands, but must spare what it has open. */
static void nest(stook_here *here, void *arg)
{
    struct nest *outer = arg;
    struct nest inner = {outer->other, outer->executor, outer->depth - 1, 0};
    struct fib open[OUTER];
    stook_here *at[OUTER + 1] = {here};

    for (int i = 0; i < OUTER; i++) {
        open[i].n = 5 + i;
        at[i + 1] = stook_fork(at[i], fib_fork, &open[i]);
    }
    if (outer->depth % 3 == 1) {
        must_run(inner.executor, nest, &inner);
    } else if (outer->depth > 0) { /* a task that is waited for, mostly in place */
        stook_future *future = must_submit(outer->executor, nest_in_task, &inner);

        MUST(stook_future_result(future, NULL) == STOOK_OK);
        stook_future_release(future);
    }
    outer->result = inner.result;
    for (int i = OUTER; i-- > 0;) {
        if (stook_join(at[i])) {
            fib_fork(at[i], &open[i]);
        }
        outer->result += open[i].result;
    }
}

static void nest_twice(stook_here *here, void *arg)
{
    struct nest *both = arg;
    struct nest second = *both;

    stook_invoke(here, nest, both, nest, &second);
    MUST(both->result == second.result);
}

static void check_nesting(unsigned workers, bool on_two, unsigned depth)
{
    stook_executor *executors[2] = {must_create(workers), on_two ? must_create(workers) : NULL};
    stook_executor *other = executors[on_two];

    for (int i = 0; i < 30; i++) {
        struct nest whole = {executors[0], other, depth, 0};

        must_run(executors[0], nest_twice, &whole);
        cr_assert_eq(whole.result, (long)(depth + 1) * OUTER_SUM);
    }
    stook_executor_destroy(executors[0]);
    stook_executor_destroy(executors[1]);
}

Test(fork_join_region, regions_inside_one_another, .timeout = 120)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        check_nesting(workers, false, 1);
        check_nesting(workers, false, 40);
    }
}

Test(fork_join_region, regions_inside_one_another_in_two_executors, .timeout = 120)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        check_nesting(workers, true, 1);
        check_nesting(workers, true, 10);
    }
}

/* The thread is a worker, but another executor's. */
static int run_elsewhere(void *arg, void **ret_value)
{
    struct seen *seen = arg;

    (void)ret_value;
    seen->status = stook_executor_run(seen->executor, see_region, seen);
    MUST(!thrd_equal(seen->thread, thrd_current()));
    return 0;
}

Test(fork_join_region, from_a_task_of_another_executor, .timeout = 60)
{
    stook_executor *other = must_create(1);
    struct seen seen = {.executor = must_create(1)};

    for (int i = 1; i <= 50; i++) {
        stook_future *future = must_submit(other, run_elsewhere, &seen);

        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        cr_assert_eq(seen.status, STOOK_OK);
        cr_assert_eq(atomic_load(&seen.calls), i);
        stook_future_release(future);
    }
    stook_executor_destroy(seen.executor);
    stook_executor_destroy(other);
}

/* --- counters, idleness ----------------------------------------------------------------------- */

static void count_regions(stook_executor *executor, uint64_t expected)
{
    struct stook_worker_stats workers[4];
    struct stook_stats stats = STOOK_STATS_INIT;

    cr_assert_eq(stook_executor_stats(executor, &stats, workers, 4), STOOK_OK);
    struct stook_worker_stats sum = stats.elsewhere;
    for (size_t i = 0; i < stats.workers; i++) {
        sum.begun += workers[i].begun;
        sum.stolen += workers[i].stolen;
        sum.parked += workers[i].parked;
    }
    cr_assert_eq(stats.submitted, expected, "%llu", (unsigned long long)stats.submitted);
    cr_assert_eq(stats.begun, expected);
    cr_assert_eq(stats.cancelled + stats.pending, 0u);
    cr_assert_eq(stats.ended + stats.running, expected);
    cr_assert_eq(sum.begun, stats.begun);
    cr_assert_eq(sum.stolen, stats.stolen);
    cr_assert_eq(sum.parked, stats.parked);
}

/* B98. A region from outside is a task, one in a task is none, and forks are none. */
Test(fork_join_region, counters_still_add_up, .timeout = 60)
{
    stook_executor *executor = must_create(4);
    uint64_t random = 3;

    for (uint64_t i = 1; i <= 40; i++) {
        struct seen seen = {.executor = executor};
        struct tree tree;
        stook_future *future;

        tree_create(&tree, TREE_RANDOM, 2000, &random);
        must_run(executor, visit, tree.nodes);
        future = must_submit(executor, run_in_task, &seen);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        count_regions(executor, 2 * i);
        stook_future_release(future);
        tree_destroy(&tree);
    }
    stook_executor_destroy(executor);
}

static int64_t cpu_ns(void)
{
    struct timespec used;

    MUST(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0);
    return (int64_t)used.tv_sec * SECOND + used.tv_nsec;
}

/* B59. After regions, and while a region's task does nothing but sleep. */
Test(fork_join_region, idle_workers_use_no_cpu, .timeout = 60)
{
    const struct timespec pause = {0, 500 * MILLISECOND};
    stook_executor *executor = must_create(4);
    struct rusage before;
    struct rusage after;

    for (int i = 0; i < 50; i++) {
        cr_assert_eq(run_fib(executor, 15), 610);
    }
    give_a_chance();
    cr_assert_eq(getrusage(RUSAGE_SELF, &before), 0);
    const int64_t cpu_before = cpu_ns();
    (void)thrd_sleep(&pause, NULL);
    cr_assert_lt(cpu_ns() - cpu_before, 25 * MILLISECOND);
    cr_assert_eq(getrusage(RUSAGE_SELF, &after), 0);
    cr_assert_lt(after.ru_nvcsw - before.ru_nvcsw, 25);
    stook_executor_destroy(executor);
}

static void sleep_in_region(stook_here *here, void *arg)
{
    const struct timespec pause = {0, 500 * MILLISECOND};
    struct fib right = {.n = 10};

    (void)fib(stook_fork(here, fib_fork, &right), 15);
    give_a_chance();
    const int64_t cpu_before = cpu_ns();
    (void)thrd_sleep(&pause, NULL);
    *(int64_t *)arg = cpu_ns() - cpu_before;
    (void)stook_join(here);
}

/* B59 */
Test(fork_join_region, workers_do_not_poll_while_a_region_forks_nothing, .timeout = 60)
{
    stook_executor *executor = must_create(4);
    int64_t used = 0;

    must_run(executor, sleep_in_region, &used);
    cr_assert_lt(used, 50 * MILLISECOND);
    stook_executor_destroy(executor);
}
