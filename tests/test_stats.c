/* SPDX-License-Identifier: MIT
 *
 * Counters: they add up at every moment, never go back, and count what they say.
 */
#include "check.h"
#include "group_support.h"

enum { MOST_WORKERS = 8 };

struct snapshot {
    struct stook_stats sum;
    struct stook_worker_stats workers[MOST_WORKERS];
};

static void take_snapshot(stook_executor *executor, struct snapshot *ret_snapshot)
{
    ret_snapshot->sum = (struct stook_stats)STOOK_STATS_INIT;
    MUST(stook_executor_stats(executor, &ret_snapshot->sum, ret_snapshot->workers, MOST_WORKERS) ==
         STOOK_OK);
    MUST(ret_snapshot->sum.workers <= MOST_WORKERS);
}

static struct stook_stats stats_of(stook_executor *executor)
{
    struct snapshot snapshot;

    take_snapshot(executor, &snapshot);
    return snapshot.sum;
}

/* What the header promises of every snapshot. */
static void must_add_up(const struct snapshot *snapshot)
{
    const struct stook_stats *sum = &snapshot->sum;
    struct stook_worker_stats total = sum->elsewhere;

    for (size_t i = 0; i < sum->workers; i++) {
        total.begun += snapshot->workers[i].begun;
        total.stolen += snapshot->workers[i].stolen;
        total.parked += snapshot->workers[i].parked;
        total.queue_depth += snapshot->workers[i].queue_depth;
    }
    MUST(sum->submitted == sum->begun + sum->cancelled + sum->pending);
    MUST(sum->begun == sum->ended + sum->running);
    MUST(total.begun == sum->begun);
    MUST(total.stolen == sum->stolen);
    MUST(total.parked == sum->parked);
    MUST(total.queue_depth == sum->queue_depth);
    /* differences of numbers read at different times would wrap */
    MUST(sum->pending < UINT64_MAX / 2 && sum->running < UINT64_MAX / 2);
}

static void must_not_go_back(const struct snapshot *before, const struct snapshot *after)
{
    MUST(after->sum.submitted >= before->sum.submitted);
    MUST(after->sum.begun >= before->sum.begun);
    MUST(after->sum.ended >= before->sum.ended);
    MUST(after->sum.cancelled >= before->sum.cancelled);
    MUST(after->sum.stolen >= before->sum.stolen);
    MUST(after->sum.parked >= before->sum.parked);
    MUST(after->sum.threads_started >= before->sum.threads_started);
    for (size_t i = 0; i < before->sum.workers && i < after->sum.workers; i++) {
        MUST(after->workers[i].begun >= before->workers[i].begun);
        MUST(after->workers[i].stolen >= before->workers[i].stolen);
        MUST(after->workers[i].parked >= before->workers[i].parked);
    }
}

/* --- numbers that are known ------------------------------------------------------------------- */

Test(stats, B98_a_new_executor_has_done_nothing, .timeout = 60)
{
    stook_executor *executor = must_create(3);
    struct snapshot snapshot;

    take_snapshot(executor, &snapshot);
    must_add_up(&snapshot);
    cr_assert_eq(snapshot.sum.submitted, 0);
    cr_assert_eq(snapshot.sum.queue_depth, 0);
    cr_assert_eq(snapshot.sum.workers, 3);
    cr_assert_eq(snapshot.sum.threads, 3);
    cr_assert_eq(snapshot.sum.threads_started, 3);
    stook_executor_destroy(executor);
}

Test(stats, B98_each_task_is_counted_where_it_is, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct snapshot snapshot;
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *queued[10];

    fill_workers(executor, &gate, 2);
    cr_assert_eq(stook_executor_submit_many(executor, NULL, count_task, &runs, 10, 0, queued),
                 STOOK_OK);
    take_snapshot(executor, &snapshot);
    must_add_up(&snapshot);
    cr_assert_eq(snapshot.sum.submitted, 12);
    cr_assert_eq(snapshot.sum.begun, 2);
    cr_assert_eq(snapshot.sum.running, 2);
    cr_assert_eq(snapshot.sum.ended, 0);
    cr_assert_eq(snapshot.sum.cancelled, 0);
    cr_assert_eq(snapshot.sum.pending, 10);
    cr_assert_eq(snapshot.sum.queue_depth, 10);
    cr_assert_eq(snapshot.sum.elsewhere.queue_depth, 10);

    for (int i = 0; i < 3; i++) {
        cr_assert_eq(stook_future_cancel(queued[i * 4]), STOOK_CANCEL_DONE);
    }
    take_snapshot(executor, &snapshot);
    must_add_up(&snapshot);
    cr_assert_eq(snapshot.sum.submitted, 12);
    cr_assert_eq(snapshot.sum.cancelled, 0, "no worker has come across them");
    cr_assert_eq(snapshot.sum.pending, 10);
    cr_assert_geq(snapshot.sum.queue_depth, 7);
    cr_assert_leq(snapshot.sum.queue_depth, 10, "husks or none");

    gate_open(&gate);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(stook_future_wait_until(queued[i], STOOK_FOREVER), STOOK_OK);
    }
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(stook_executor_submit(executor, count_task, &runs, NULL), STOOK_SHUTDOWN);
    take_snapshot(executor, &snapshot);
    must_add_up(&snapshot);
    cr_assert_eq(snapshot.sum.submitted, 12, "what was refused is not counted");
    cr_assert_eq(snapshot.sum.ended, 9);
    cr_assert_eq(snapshot.sum.begun, 9);
    cr_assert_eq(snapshot.sum.cancelled, 3);
    cr_assert_eq(snapshot.sum.pending, 0);
    cr_assert_eq(snapshot.sum.running, 0);
    cr_assert_eq(snapshot.sum.queue_depth, 0);
    cr_assert_eq(snapshot.sum.threads, 0);
    release_all(queued, 10);
    stook_executor_destroy(executor);
}

Test(stats, B98_all_ways_to_be_cancelled_are_counted, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    stook_token *token = must_token(executor, NULL);
    stook_scope *scope = must_scope_with(executor, NULL, 1, false);
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *delayed;

    fill_workers(executor, &gate, 1);
    options.token = token;
    cr_assert_eq(stook_executor_submit_many(executor, &options, count_task, &runs, 4, 0, NULL),
                 STOOK_OK);
    must_submit_many_in(executor, scope, count_task, &runs, 3, NULL);
    delayed = must_submit_at(executor, stook_deadline_after_ns(1000 * SECOND), count_task, &runs);
    cr_assert_eq(stats_of(executor).pending, 8);
    cr_assert(stook_scope_cancel(scope));
    cr_assert_eq(stats_of(executor).cancelled, 2, "those in the line, not the one in the queue");
    cr_assert_eq(stook_future_cancel(delayed), STOOK_CANCEL_DONE);
    cr_assert_eq(stats_of(executor).cancelled, 3);
    cr_assert(stook_token_cancel(token));
    cr_assert_eq(stats_of(executor).pending, 5);
    cr_assert_eq(stook_executor_submit_many(executor, NULL, count_task, &runs, 5, 0, NULL),
                 STOOK_OK);
    gate_open(&gate);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_CANCEL_PENDING, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(stats_of(executor).submitted, 14);
    cr_assert_eq(stats_of(executor).ended + stats_of(executor).cancelled, 14);
    cr_assert_eq(stats_of(executor).pending, 0);
    stook_future_release(delayed);
    stook_scope_destroy(scope);
    stook_token_release(token);
    stook_executor_destroy(executor);
    cr_assert_lt(atomic_load(&runs), 6);
}

struct parent {
    stook_executor *executor;
    struct gate children;
    struct snapshot snapshot;
    bool waits_for_a_thief;
};

static int parent_task(void *arg, void **ret_value)
{
    struct parent *parent = arg;

    (void)ret_value;
    for (int i = 0; i < 6; i++) {
        MUST(stook_executor_submit(parent->executor, gate_task, &parent->children, NULL) ==
             STOOK_OK);
    }
    if (parent->waits_for_a_thief) {
        gate_await(&parent->children, 1);
    }
    take_snapshot(parent->executor, &parent->snapshot);
    return 0;
}

Test(stats, depth_counts_what_lies_in_the_workers_deque, .timeout = 60)
{
    struct parent parent = {.executor = must_create(1)};
    stook_future *future = must_submit(parent.executor, parent_task, &parent);

    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    must_add_up(&parent.snapshot);
    cr_assert_eq(parent.snapshot.sum.running, 1);
    cr_assert_eq(parent.snapshot.sum.queue_depth, 6);
    cr_assert_eq(parent.snapshot.workers[0].queue_depth, 6);
    cr_assert_eq(parent.snapshot.sum.elsewhere.queue_depth, 0);
    cr_assert_eq(parent.snapshot.sum.stolen, 0);
    gate_open(&parent.children);
    stook_future_release(future);
    stook_executor_destroy(parent.executor);
}

Test(stats, stolen_counts_what_another_worker_took, .timeout = 60)
{
    struct parent parent = {.executor = must_create(2), .waits_for_a_thief = true};
    stook_future *future = must_submit(parent.executor, parent_task, &parent);

    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    must_add_up(&parent.snapshot);
    cr_assert_eq(parent.snapshot.sum.stolen, 1);
    cr_assert_eq(parent.snapshot.sum.begun, 2);
    cr_assert_eq(parent.snapshot.sum.queue_depth, 5);
    gate_open(&parent.children);
    stook_future_release(future);
    stook_executor_destroy(parent.executor);
}

Test(stats, parked_grows_when_work_runs_out, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    atomic_int runs = 0;

    for (int i = 0; i < 5; i++) {
        const uint64_t before = stats_of(executor).parked;
        stook_future *future = must_submit(executor, count_task, &runs);

        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        SPIN_UNTIL(stats_of(executor).parked > before);
        stook_future_release(future);
    }
    stook_executor_destroy(executor);
}

static int wait_for_task(void *arg, void **ret_value)
{
    (void)ret_value;
    return stook_future_result(arg, NULL) != STOOK_OK;
}

/* Delayed, since those are counted by whoever submits and cancels them. */
static int abroad_task(void *arg, void **ret_value)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    stook_future *future;

    (void)ret_value;
    options.start_ns = stook_deadline_after_ns(1000 * SECOND);
    MUST(stook_executor_submit_with(arg, &options, count_task, NULL, &future) == STOOK_OK);
    MUST(stook_future_cancel(future) == STOOK_CANCEL_DONE);
    stook_future_release(future);
    return 0;
}

Test(stats, B98_a_task_of_another_executor_counts_there, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    stook_executor *other = must_create(1);
    stook_future *future = must_submit(executor, abroad_task, other);

    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    cr_assert_eq(stats_of(executor).submitted, 1);
    cr_assert_eq(stats_of(executor).cancelled, 0);
    cr_assert_eq(stats_of(other).submitted, 1);
    cr_assert_eq(stats_of(other).cancelled, 1);
    stook_future_release(future);
    stook_executor_destroy(executor);
    stook_executor_destroy(other);
}

Test(stats, threads_counts_the_timer, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    const struct stook_stats before = stats_of(executor);
    stook_token *token;

    MUST(stook_token_create(executor, NULL, STOOK_FOREVER, &token) == STOOK_OK);
    cr_assert_eq(stats_of(executor).threads, before.threads + 1);
    cr_assert_eq(stats_of(executor).threads_started, before.threads_started + 1);
    stook_token_release(token);
    stook_executor_destroy(executor);
}

Test(stats, threads_counts_those_that_waits_have_brought, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    stook_executor *other = must_create(1);
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *awaited = must_submit(other, gate_task, &gate);
    stook_future *waiter = must_submit(executor, wait_for_task, awaited);
    stook_future *meanwhile = must_submit(executor, count_task, &runs);

    /* runs in the worker that the waiter has lent, so in another thread */
    cr_assert_eq(stook_future_result(meanwhile, NULL), STOOK_OK);
    cr_assert_geq(stats_of(executor).threads, 2);
    cr_assert_geq(stats_of(executor).threads_started, 2);
    cr_assert_eq(stats_of(executor).workers, 1);
    SPIN_UNTIL(stats_of(executor).ended == 1);
    cr_assert_eq(stats_of(executor).running, 1, "a task that waits is running");
    gate_open(&gate);
    cr_assert_eq(stook_future_result(waiter, NULL), STOOK_OK);
    stook_future_release(waiter);
    stook_future_release(awaited);
    stook_future_release(meanwhile);
    stook_executor_destroy(executor);
    stook_executor_destroy(other);
}

/* --- while everything moves ------------------------------------------------------------------- */

struct sampled {
    stook_executor *executor;
    atomic_bool stop;
    atomic_uint_fast64_t submitted;
    unsigned samples;
};

static int sampler_thread(void *arg)
{
    struct sampled *sampled = arg;
    struct snapshot before;

    take_snapshot(sampled->executor, &before);
    do {
        struct snapshot after;

        take_snapshot(sampled->executor, &after);
        must_add_up(&after);
        must_not_go_back(&before, &after);
        before = after;
        sampled->samples++;
    } while (!atomic_load(&sampled->stop));
    return 0;
}

static int nothing_task(void *arg, void **ret_value)
{
    (void)arg;
    (void)ret_value;
    return 0;
}

/* Children, of which some are cancelled and some awaited. */
static int busy_task(void *arg, void **ret_value)
{
    struct sampled *sampled = arg;
    stook_future *futures[6];

    (void)ret_value;
    for (int i = 0; i < 6; i++) {
        futures[i] = must_submit(sampled->executor, nothing_task, NULL);
    }
    atomic_fetch_add(&sampled->submitted, 6);
    (void)stook_future_cancel(futures[2]);
    for (int i = 0; i < 6; i++) {
        MUST(stook_future_wait_until(futures[i], STOOK_FOREVER) == STOOK_OK);
    }
    release_all(futures, 6);
    return 0;
}

Test(stats, B98_it_adds_up_at_every_moment, .timeout = 120)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        struct sampled sampled = {.executor = must_create(workers)};
        struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
        thrd_t samplers[2];
        struct sampled second;

        second = (struct sampled){.executor = sampled.executor};
        must_start(&samplers[0], sampler_thread, &sampled);
        must_start(&samplers[1], sampler_thread, &second);
        for (int round = 0; round < 50; round++) {
            stook_scope *scope = must_scope_with(sampled.executor, NULL, (size_t)round % 3, false);

            options.scope = scope;
            MUST(stook_executor_submit_many(sampled.executor, &options, busy_task, &sampled, 20, 0,
                                            NULL) == STOOK_OK);
            atomic_fetch_add(&sampled.submitted, 20);
            if (round % 4 == 3) {
                (void)stook_scope_cancel(scope);
            }
            stook_scope_destroy(scope);
        }
        cr_assert_eq(stook_executor_shutdown(sampled.executor, STOOK_DRAIN, STOOK_FOREVER),
                     STOOK_OK);
        atomic_store(&sampled.stop, true);
        atomic_store(&second.stop, true);
        must_join(samplers[0]);
        must_join(samplers[1]);
        cr_assert_gt(sampled.samples + second.samples, 0);
        cr_assert_eq(stats_of(sampled.executor).submitted, atomic_load(&sampled.submitted));
        cr_assert_eq(stats_of(sampled.executor).pending, 0);
        cr_assert_eq(stats_of(sampled.executor).running, 0);
        stook_executor_destroy(sampled.executor);
    }
}

struct elsewhere {
    stook_executor *executor;
    struct gate gate; /* for the task that has the only worker */
    unsigned rounds;
};

static int elsewhere_task(void *arg, void **ret_value)
{
    struct elsewhere *elsewhere = arg;

    (void)ret_value;
    stook_task_begin_blocking();
    gate_await(&elsewhere->gate, 1);
    stook_task_end_blocking();
    for (unsigned i = 0; i < elsewhere->rounds; i++) {
        stook_future *future = must_submit(elsewhere->executor, nothing_task, NULL);

        MUST(stook_future_result(future, NULL) == STOOK_OK);
        stook_future_release(future);
    }
    return 0;
}

/* What a thread without a worker submits and runs. */
Test(stats, B98_it_adds_up_without_a_worker_too, .timeout = 120)
{
    struct elsewhere elsewhere = {.executor = must_create(1), .rounds = stress_scaled(100000)};
    struct sampled sampled = {.executor = elsewhere.executor};
    thrd_t sampler;

    must_start(&sampler, sampler_thread, &sampled);
    stook_future *future = must_submit(elsewhere.executor, elsewhere_task, &elsewhere);
    stook_future_release(must_submit(elsewhere.executor, gate_task, &elsewhere.gate));
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    gate_open(&elsewhere.gate);
    atomic_store(&sampled.stop, true);
    must_join(sampler);
    cr_assert_gt(stats_of(elsewhere.executor).elsewhere.begun, elsewhere.rounds - 1);
    stook_future_release(future);
    stook_executor_destroy(elsewhere.executor);
}

/* --- arguments -------------------------------------------------------------------------------- */

Test(stats, only_as_many_workers_as_there_is_room_for, .timeout = 60)
{
    stook_executor *executor = must_create(4);
    struct stook_worker_stats workers[MOST_WORKERS];
    const struct stook_worker_stats untouched = {77, 77, 77, 77};

    for (size_t capacity = 0; capacity <= MOST_WORKERS; capacity++) {
        struct stook_stats stats = STOOK_STATS_INIT;

        for (int i = 0; i < MOST_WORKERS; i++) {
            workers[i] = untouched;
        }
        cr_assert_eq(stook_executor_stats(executor, &stats, capacity ? workers : NULL, capacity),
                     STOOK_OK);
        cr_assert_eq(stats.workers, 4);
        cr_assert_eq(stats.struct_size, sizeof stats);
        for (size_t i = 0; i < MOST_WORKERS; i++) {
            cr_assert_eq(workers[i].begun == 77, i >= capacity || i >= 4, "%zu of %zu", i,
                         capacity);
        }
    }
    stook_executor_destroy(executor);
}

Test(stats, B22_bad_arguments_are_refused_and_nothing_is_written, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct stook_stats stats = STOOK_STATS_INIT;
    struct stook_worker_stats worker = {77, 77, 77, 77};

    stats.submitted = 77;
    cr_assert_eq(stook_executor_stats(NULL, &stats, &worker, 1), STOOK_INVALID);
    cr_assert_eq(stook_executor_stats(executor, NULL, &worker, 1), STOOK_INVALID);
    cr_assert_eq(stook_executor_stats(executor, &stats, NULL, 1), STOOK_INVALID);
    stats.struct_size = 0;
    cr_assert_eq(stook_executor_stats(executor, &stats, &worker, 1), STOOK_INVALID);
    stats.struct_size = sizeof stats + 1000;
    cr_assert_eq(stook_executor_stats(executor, &stats, &worker, 1), STOOK_INVALID);
    cr_assert_eq(stats.submitted, 77);
    cr_assert_eq(worker.begun, 77);
    stook_executor_destroy(executor);
}

/* A task that ends gives its turn to the next one, which may run before that one was queued. */
static void pass_gate(stook_future *future, void *gate)
{
    (void)future;
    gate_pass(gate);
}

Test(stats, one_that_is_awaited_with_its_turn_is_run_and_counted_once, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    stook_scope *scope = must_scope_with(executor, NULL, 1, false);
    struct gate first_gate = {0}, callback_gate = {0};
    atomic_int runs = 0;
    stook_future *first = must_submit_in(executor, scope, gate_task, &first_gate);
    stook_future *second = must_submit_in(executor, scope, count_task, &runs);
    struct stook_stats stats = STOOK_STATS_INIT;

    cr_assert_eq(stook_future_on_done(first, pass_gate, &callback_gate), STOOK_OK);
    gate_open(&first_gate);
    gate_await(&callback_gate, 1);
    stook_future *waiter = must_submit(executor, wait_for_task, second);
    SPIN_UNTIL(stook_future_done(second));
    gate_open(&callback_gate);
    cr_assert_eq(stook_future_result(waiter, NULL), STOOK_OK);
    stook_scope_destroy(scope);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(stook_executor_stats(executor, &stats, NULL, 0), STOOK_OK);
    cr_assert(stats.submitted == 3 && stats.begun == 3 && stats.cancelled == 0);
    release_all((stook_future *[]){first, second, waiter}, 3);
    stook_executor_destroy(executor);
}
