/* SPDX-License-Identifier: MIT
 *
 * Tasks that begin later, and tasks that repeat: never before their time, cancelled at any time,
 * both modes of shutdown, the timer thread, bad numbers.
 */
#include <time.h>

#include "check.h"
#include "group_support.h"

/* Long enough that a test would never see it happen. */
#define AN_HOUR (3600 * SECOND)

/* --- later ------------------------------------------------------------------------------------ */

struct log {
    atomic_int count;
    int numbers[64];
};

struct entry {
    struct log *log;
    int number;
    int64_t begun_ns; /* by the clock of stook_now_ns() */
};

static int entry_task(void *arg, void **ret_value)
{
    struct entry *entry = arg;

    (void)ret_value;
    entry->begun_ns = stook_now_ns();
    if (entry->log != NULL) {
        entry->log->numbers[atomic_fetch_add(&entry->log->count, 1)] = entry->number;
    }
    return 0;
}

Test(time, a_start_in_the_past_is_now, .timeout = 60)
{
    const int64_t starts[] = {0, 1, stook_now_ns() - 1, stook_now_ns()};
    stook_executor *executor = must_create(1);

    for (int i = 0; i < 4; i++) {
        struct entry entry = {.begun_ns = 0};
        stook_future *future = must_submit_at(executor, starts[i], entry_task, &entry);

        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        cr_assert_lt(entry.begun_ns, stook_now_ns() + 1);
        stook_future_release(future);
    }
    stook_executor_destroy(executor);
}

Test(time, a_task_begins_at_its_time_and_not_before, .timeout = 60)
{
    stook_executor *executor = must_create(2);

    for (int i = 0; i < 5; i++) {
        const int64_t start = stook_deadline_after_ns((1 + i * 10) * MILLISECOND);
        struct entry entry = {.begun_ns = 0};
        stook_future *future = must_submit_at(executor, start, entry_task, &entry);

        cr_assert_eq(stook_future_wait_until(future, 0),
                     stook_future_done(future) ? STOOK_OK : STOOK_TIMEOUT);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        cr_assert_geq(entry.begun_ns, start);
        cr_assert_lt(entry.begun_ns, start + 10 * SECOND);
        stook_future_release(future);
    }
    stook_executor_destroy(executor);
}

Test(time, those_with_an_earlier_time_begin_first, .timeout = 60)
{
    enum { TASKS = 40 };
    stook_executor *executor = must_create(1);
    const int64_t begin = stook_deadline_after_ns(20 * MILLISECOND);
    struct log log = {.count = 0};
    struct entry entries[TASKS];
    struct gate gate = {0};
    stook_future *futures[TASKS];

    fill_workers(executor, &gate, 1);
    for (int i = 0; i < TASKS; i++) {
        entries[i] = (struct entry){&log, (i * 17) % TASKS, 0};
        futures[i] = must_submit_at(executor, begin + entries[i].number * MILLISECOND, entry_task,
                                    &entries[i]);
    }
    /* those that come due while the worker is busy keep their order */
    while (stook_now_ns() < begin + TASKS / 2 * MILLISECOND) {
        give_a_chance();
    }
    gate_open(&gate);
    for (int i = 0; i < TASKS; i++) {
        cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
        cr_assert_geq(entries[i].begun_ns, begin + entries[i].number * MILLISECOND);
    }
    for (int i = 0; i < TASKS; i++) {
        cr_assert_eq(log.numbers[i], i);
    }
    release_all(futures, TASKS);
    stook_executor_destroy(executor);
}

Test(time, many_of_a_bulk_begin_at_one_time, .timeout = 60)
{
    enum { TASKS = 20 };
    stook_executor *executor = must_create(2);
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    struct entry entries[TASKS] = {{.begun_ns = 0}};
    stook_future *futures[TASKS];

    options.start_ns = stook_deadline_after_ns(20 * MILLISECOND);
    cr_assert_eq(stook_executor_submit_many(executor, &options, entry_task, entries, TASKS,
                                            sizeof entries[0], futures),
                 STOOK_OK);
    for (int i = 0; i < TASKS; i++) {
        cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
        cr_assert_geq(entries[i].begun_ns, options.start_ns);
    }
    release_all(futures, TASKS);
    stook_executor_destroy(executor);
}

struct eager {
    stook_future *awaited;
    struct gate gate;
    enum stook_status status;
};

static int eager_task(void *arg, void **ret_value)
{
    struct eager *eager = arg;

    (void)ret_value;
    gate_pass(&eager->gate);
    eager->status = stook_future_result(eager->awaited, NULL);
    return 0;
}

/* A waiter begins the task that it waits for, but not before its time. */
Test(time, a_task_that_waits_for_a_later_one_does_not_begin_it_early, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        stook_executor *executor = must_create(workers);
        struct eager eager = {.status = STOOK_INVALID};
        struct entry entry = {.begun_ns = 0};
        stook_future *waiter = must_submit(executor, eager_task, &eager);
        const int64_t start = stook_deadline_after_ns(30 * MILLISECOND);

        eager.awaited = must_submit_at(executor, start, entry_task, &entry);
        gate_open(&eager.gate);
        cr_assert_eq(stook_future_result(waiter, NULL), STOOK_OK);
        cr_assert_eq(eager.status, STOOK_OK);
        cr_assert_geq(entry.begun_ns, start);
        stook_future_release(eager.awaited);
        stook_future_release(waiter);
        stook_executor_destroy(executor);
    }
}

/* --- cancelling what is delayed --------------------------------------------------------------- */

Test(time, a_delayed_task_is_cancelled_at_once, .timeout = 60)
{
    const int64_t starts[] = {stook_deadline_after_ns(AN_HOUR), INT64_MAX - 1, INT64_MAX};
    stook_executor *executor = must_create(1);
    atomic_int runs = 0;

    for (int i = 0; i < 9; i++) {
        stook_token *token = must_token(executor, NULL);
        stook_scope *scope = must_scope(executor);
        struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
        struct called called = {.count = 0};
        stook_future *future;
        thrd_t thread;

        options.start_ns = starts[i % 3];
        options.token = i / 3 == 1 ? token : NULL;
        options.scope = i / 3 == 2 ? scope : NULL;
        future = must_submit_with(executor, &options, count_task, &runs);
        cr_assert_eq(stook_future_on_done(future, note_call, &called), STOOK_OK);
        must_start(&thread, result_thread, future);
        give_a_chance();
        cr_assert_eq(stook_future_state(future), STOOK_STATE_PENDING);
        switch (i / 3) {
        case 0:
            cr_assert_eq(stook_future_cancel(future), STOOK_CANCEL_DONE);
            cr_assert_eq(atomic_load(&called.count), 1);
            break;
        case 1:
            cr_assert(stook_token_cancel(token));
            break;
        default:
            cr_assert_eq(stook_scope_wait_until(scope, 0, NULL), STOOK_TIMEOUT);
            cr_assert(stook_scope_cancel(scope));
            cr_assert_eq(stook_scope_wait_until(scope, 0, NULL), STOOK_CANCELLED);
        }
        cr_assert_eq(stook_future_state(future), STOOK_STATE_CANCELLED);
        cr_assert_eq(must_join(thread), STOOK_CANCELLED);
        SPIN_UNTIL(atomic_load(&called.count) == 1);
        stook_future_release(future);
        stook_scope_destroy(scope);
        stook_token_release(token);
    }
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

Test(time, a_scope_waits_for_its_delayed_tasks, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    stook_scope *scope = must_scope(executor);
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    struct entry entry = {.begun_ns = 0};

    options.scope = scope;
    options.start_ns = stook_deadline_after_ns(20 * MILLISECOND);
    stook_future_release(must_submit_with(executor, &options, entry_task, &entry));
    cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, NULL), STOOK_OK);
    cr_assert_geq(entry.begun_ns, options.start_ns);
    options.start_ns = stook_deadline_after_ns(20 * MILLISECOND);
    entry.begun_ns = 0;
    stook_future_release(must_submit_with(executor, &options, entry_task, &entry));
    stook_scope_destroy(scope);
    cr_assert_geq(entry.begun_ns, options.start_ns);
    stook_executor_destroy(executor);
}

/* Bytes that the executor holds. */
struct account {
    atomic_size_t held, most;
};

static void *count_allocate(void *user_data, size_t size)
{
    struct account *account = user_data;
    const size_t held = atomic_fetch_add(&account->held, size) + size;
    size_t seen = atomic_load(&account->most);

    while (held > seen && !atomic_compare_exchange_weak(&account->most, &seen, held)) {
    }
    return malloc(size);
}

static void count_deallocate(void *user_data, void *memory, size_t size)
{
    struct account *account = user_data;

    atomic_fetch_sub(&account->held, size);
    free(memory);
}

Test(time, delayed_and_cancelled_tasks_keep_no_memory, .timeout = 120)
{
    enum { TASKS = 100000, AT_A_TIME = 1000, BYTES_EACH = 512 };
    static stook_future *futures[TASKS];
    struct account account = {.held = 0};
    struct stook_allocator allocator = {count_allocate, count_deallocate, &account};
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    const int64_t start = stook_deadline_after_ns(AN_HOUR);
    stook_executor *executor;
    atomic_int runs = 0;
    size_t once = 0;
    size_t before;

    options.workers = 1;
    options.allocator = &allocator;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_OK);
    stook_future_release(must_submit_at(executor, 1, count_task, &runs));
    before = atomic_load(&account.held);
    cr_assert_gt(before, 0, "the executor uses the allocator");

    /* one after the other */
    for (int i = 0; i < TASKS; i++) {
        futures[0] = must_submit_at(executor, start + i, count_task, &runs);
        cr_assert_eq(stook_future_cancel(futures[0]), STOOK_CANCEL_DONE);
        stook_future_release(futures[0]);
    }
    cr_assert_lt(atomic_load(&account.most), before + AT_A_TIME * BYTES_EACH);

    /* all at once; what the library keeps for the next time is not kept twice */
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < TASKS; i++) {
            futures[i] = must_submit_at(executor, start + (i * 7919) % TASKS, count_task, &runs);
        }
        for (int i = 0; i < TASKS; i++) {
            cr_assert_eq(stook_future_cancel(futures[i]), STOOK_CANCEL_DONE);
        }
        release_all(futures, TASKS);
        if (round == 0) {
            once = atomic_load(&account.most);
        }
    }
    cr_assert_lt(atomic_load(&account.most), once + AT_A_TIME * BYTES_EACH);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&account.held), 0, "all is given back");
}

/* --- shutdown --------------------------------------------------------------------------------- */

Test(time, B35_drain_waits_for_delayed_tasks, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    const int64_t start = stook_deadline_after_ns(40 * MILLISECOND);
    struct entry entry = {.begun_ns = 0};
    stook_future *future = must_submit_at(executor, start, entry_task, &entry);
    const enum stook_status status = stook_executor_shutdown(executor, STOOK_DRAIN, 0);
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

    cr_assert(status == STOOK_TIMEOUT || stook_now_ns() > start);
    options.start_ns = start;
    cr_assert_eq(stook_executor_submit_with(executor, &options, entry_task, &entry, NULL),
                 STOOK_SHUTDOWN);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(stook_future_state(future), STOOK_STATE_DONE);
    cr_assert_geq(entry.begun_ns, start);
    stook_future_release(future);
    stook_executor_destroy(executor);
}

Test(time, B35_destroy_waits_for_delayed_tasks, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    const int64_t start = stook_deadline_after_ns(20 * MILLISECOND);
    struct entry entry = {.begun_ns = 0};
    stook_future *future = must_submit_at(executor, start, entry_task, &entry);

    stook_executor_destroy(executor);
    cr_assert_eq(stook_future_state(future), STOOK_STATE_DONE);
    cr_assert_geq(entry.begun_ns, start);
    stook_future_release(future);
}

Test(time, B36_cancel_pending_cancels_delayed_tasks, .timeout = 60)
{
    enum { TASKS = 50 };
    stook_executor *executor = must_create(1);
    const int64_t start = stook_deadline_after_ns(AN_HOUR);
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *futures[TASKS];

    fill_workers(executor, &gate, 1);
    for (int i = 0; i < TASKS; i++) {
        futures[i] = must_submit_at(executor, start + i, count_task, &runs);
    }
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, 0), STOOK_TIMEOUT);
    cr_assert_eq(count_in_state(futures, TASKS, STOOK_STATE_PENDING), TASKS);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_CANCEL_PENDING, 0), STOOK_TIMEOUT);
    cr_assert_eq(count_in_state(futures, TASKS, STOOK_STATE_CANCELLED), TASKS);
    gate_open(&gate);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_CANCEL_PENDING, STOOK_FOREVER), STOOK_OK);
    release_all(futures, TASKS);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

/* --- the timer thread ------------------------------------------------------------------------- */

Test(time, there_is_one_timer_thread_and_only_when_it_is_needed, .timeout = 60)
{
    enum { WORKERS = 2 };
    const int first = thread_count_at_first();
    const int64_t start = stook_deadline_after_ns(AN_HOUR);
    atomic_int runs = 0;
    stook_executor *executor = must_create(WORKERS);
    stook_future *future = must_submit(executor, count_task, &runs);
    stook_future *delayed[2];
    stook_token *token;

    cr_assert_gt(first, 0);
    cr_assert_eq(stook_future_wait_until(future, stook_deadline_after_ns(SECOND)), STOOK_OK);
    cr_assert(thread_count_becomes(first + WORKERS));
    delayed[0] = must_submit_at(executor, start, count_task, &runs);
    cr_assert(thread_count_becomes(first + WORKERS + 1));
    delayed[1] = must_submit_at(executor, start, count_task, &runs);
    token = must_token_until(executor, NULL, start);
    give_a_chance();
    cr_assert_eq(thread_count(), first + WORKERS + 1);
    cr_assert_eq(stook_future_cancel(delayed[0]), STOOK_CANCEL_DONE);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_CANCEL_PENDING, STOOK_FOREVER), STOOK_OK);
    cr_assert(thread_count_becomes(first));
    cr_assert_eq(stook_future_state(delayed[1]), STOOK_STATE_CANCELLED);
    stook_token_release(token);
    stook_future_release(future);
    release_all(delayed, 2);
    stook_executor_destroy(executor);
}

static int64_t cpu_time_ns(void)
{
    struct timespec used;

    MUST(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0);
    return used.tv_sec * SECOND + used.tv_nsec;
}

Test(time, B59_waiting_for_a_time_uses_no_cpu, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    stook_token *token = must_token_until(executor, NULL, stook_deadline_after_ns(AN_HOUR));
    const struct timespec half_a_second = {.tv_nsec = 500 * MILLISECOND};
    atomic_int runs = 0;
    stook_future *future =
        must_submit_at(executor, stook_deadline_after_ns(AN_HOUR), count_task, &runs);
    int64_t before;

    give_a_chance();
    before = cpu_time_ns();
    thrd_sleep(&half_a_second, NULL);
    cr_assert_lt(cpu_time_ns() - before, 100 * MILLISECOND);
    cr_assert_eq(stook_future_cancel(future), STOOK_CANCEL_DONE);
    stook_future_release(future);
    stook_token_release(token);
    stook_executor_destroy(executor);
}
