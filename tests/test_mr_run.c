/* SPDX-License-Identifier: MIT
 *
 * Jobs that run by themselves: states, progress, waiting, cancelling, statistics, counters; items
 * that are tried again or left out; and ranks.
 */
#include "check.h"
#include "mr_support.h"

#define ITEMS 1000
#define KEYS 10

/* Items are numbers; key i % KEYS, value 1. */
static uint32_t numbers[ITEMS];

struct state {
    struct gate map_gate;    /* if is_gated */
    struct gate reduce_gate; /* likewise */
    bool is_gated;
    bool cancels_itself;
    mr_run *run;
    uint32_t bad_every; /* items whose number it divides fail; 0: none */
    uint32_t bad_times; /* so often; UINT32_MAX: always */
    _Atomic(uint32_t) tries[ITEMS];
};

static uint32_t number_of(const struct mr_item *item)
{
    uint32_t number;
    memcpy(&number, item->data.data, sizeof number);
    return number;
}

static int count_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    struct state *state = user;
    uint32_t number = number_of(item);
    uint32_t key = number % KEYS;

    if (state->is_gated) {
        gate_pass(&state->map_gate);
    }
    int status = mr_emit_u64(out, mr_slice_of(&key, sizeof key), 1);
    mr_count(out, "items", 1);
    if (number % 2 == 0) {
        mr_count(out, "even", 2);
    }
    uint32_t tries = atomic_fetch_add(&state->tries[number], 1);
    if (state->bad_every && number % state->bad_every == 0 && tries < state->bad_times) {
        return 42;
    }
    return status;
}

static int gated_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct state *state = user;
    struct mr_slice value;
    uint64_t sum = 0;

    if (state->is_gated) {
        gate_pass(&state->reduce_gate);
    }
    while (mr_values_next(values, &value)) {
        sum += mr_slice_u64(value);
    }
    return mr_emit_u64(out, key, sum);
}

static struct mr_job counting_job(struct state *state)
{
    struct mr_job job = MR_JOB_INIT;

    for (uint32_t i = 0; i < ITEMS; i++) {
        numbers[i] = i;
    }
    job.input = mr_input_array(numbers, ITEMS, sizeof numbers[0]);
    job.input.chunk = 10;
    job.map = count_map;
    job.combine = mr_sum_u64;
    job.order = MR_ORDER_KEY;
    job.user = state;
    return job;
}

/* Each of the keys `each` times. */
static void expect_counts(mr_result *result, uint64_t each)
{
    struct mr_pair pair;

    cr_assert_not_null(result);
    cr_assert_eq(mr_result_count(result), KEYS);
    for (uint32_t i = 0; i < KEYS; i++) {
        cr_assert(mr_result_next(result, &pair));
        cr_assert_eq(pair.key.size, sizeof i);
        cr_assert_eq(memcmp(pair.key.data, &i, sizeof i), 0);
        cr_assert_eq(mr_slice_u64(pair.value), each);
    }
    cr_assert_not(mr_result_next(result, &pair));
    mr_result_destroy(result);
}

Test(mr_run, goes_through_its_states, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    static struct state state;
    struct mr_job job;
    mr_run *run;
    uint64_t done;
    uint64_t not_done;

    state = (struct state){.is_gated = true};
    job = counting_job(&state);
    job.reduce = gated_reduce;
    cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
    gate_await(&state.map_gate, 1);
    cr_assert_eq(mr_run_state(run), MR_RUN_MAPPING);
    cr_assert_eq(mr_run_progress(run, MR_PHASE_MAP, &done, &not_done), STOOK_OK);
    cr_assert_eq(done + not_done, ITEMS);
    cr_assert_gt(not_done, 0);
    cr_assert_eq(mr_run_progress(run, MR_PHASE_REDUCE, &done, &not_done), STOOK_OK);
    cr_assert_eq(done + not_done, 0);
    cr_assert_eq(mr_run_progress(run, MR_PHASE_SHUFFLE, &done, &not_done), STOOK_INVALID);
    cr_assert_null(mr_run_take_result(run));
    cr_assert_eq(mr_run_wait(run, 0, NULL), STOOK_TIMEOUT);
    cr_assert_eq(mr_run_wait(run, stook_deadline_after_ns(MILLISECOND), NULL), STOOK_TIMEOUT);
    gate_open(&state.map_gate);
    gate_await(&state.reduce_gate, 1);
    cr_assert_eq(mr_run_state(run), MR_RUN_REDUCING);
    cr_assert_eq(mr_run_progress(run, MR_PHASE_MAP, &done, &not_done), STOOK_OK);
    cr_assert(done == ITEMS && not_done == 0);
    cr_assert_eq(mr_run_progress(run, MR_PHASE_REDUCE, &done, &not_done), STOOK_OK);
    cr_assert_eq(done + not_done, KEYS);
    gate_open(&state.reduce_gate);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, NULL), STOOK_OK);
    cr_assert_eq(mr_run_wait(run, 0, NULL), STOOK_OK);
    cr_assert_eq(mr_run_state(run), MR_RUN_DONE);
    cr_assert(stook_future_done(mr_run_future(run)));
    mr_result *result = mr_run_take_result(run);
    cr_assert_null(mr_run_take_result(run));
    mr_run_release(run);
    expect_counts(result, ITEMS / KEYS); /* it outlives the run */
    stook_executor_destroy(executor);
}

Test(mr_run, B91_is_cancelled_while_it_maps_or_reduces, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    static struct state state;

    for (int in_reduce = 0; in_reduce < 2; in_reduce++) {
        struct mr_error error;
        mr_run *run;
        state = (struct state){.is_gated = true};
        struct mr_job job = counting_job(&state);
        job.reduce = gated_reduce;
        cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
        gate_await(&state.map_gate, 1);
        if (in_reduce) {
            gate_open(&state.map_gate);
            gate_await(&state.reduce_gate, 1);
        }
        mr_run_cancel(run);
        gate_open(&state.map_gate);
        gate_open(&state.reduce_gate);
        cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, &error), STOOK_CANCELLED);
        cr_assert_eq(error.status, STOOK_CANCELLED);
        cr_assert_eq(mr_run_state(run), MR_RUN_CANCELLED);
        cr_assert_null(mr_run_take_result(run));
        cr_assert_lt(atomic_load(&state.map_gate.arrived), in_reduce ? ITEMS + 1 : ITEMS);
        mr_run_release(run);
    }
    stook_executor_destroy(executor);
}

Test(mr_run, release_cancels, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    static struct state state;
    struct gate gate = {0};
    mr_run *run;

    state = (struct state){.is_gated = false};
    struct mr_job job = counting_job(&state);
    stook_future *held = must_submit(executor, gate_task, &gate);
    gate_await(&gate, 1);
    cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
    mr_run_cancel(run);
    gate_open(&gate);
    mr_run_release(run);
    cr_assert_eq(atomic_load(&state.tries[0]), 0);
    stook_future_release(held);
    mr_run_release(NULL);
    stook_executor_destroy(executor);
}

Test(mr_run, an_executor_that_ends_ends_the_run, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    static struct state state;
    struct gate gate = {0};
    struct mr_error error;
    mr_run *run;

    state = (struct state){.is_gated = false};
    struct mr_job job = counting_job(&state);
    stook_future *held = must_submit(executor, gate_task, &gate);
    gate_await(&gate, 1);
    cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_CANCEL_PENDING, 0), STOOK_TIMEOUT);
    gate_open(&gate);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, &error), STOOK_SHUTDOWN);
    cr_assert_eq(error.status, STOOK_SHUTDOWN);
    cr_assert_eq(mr_run_state(run), MR_RUN_FAILED);
    mr_run_release(run);
    cr_assert_eq(mr_submit(executor, &job, &run, &error), STOOK_SHUTDOWN);
    cr_assert_eq(error.status, STOOK_SHUTDOWN);
    stook_future_release(held);
    stook_executor_destroy(executor);
}

Test(mr_run, counts_what_it_does, .timeout = 60)
{
    stook_executor *executor = must_create(3);
    static struct state state;
    struct mr_stats stats;
    mr_run *run;

    state = (struct state){.is_gated = false};
    struct mr_job job = counting_job(&state);
    job.top = 3;
    cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, NULL), STOOK_OK);
    mr_run_stats(run, &stats);
    cr_assert_eq(stats.items, ITEMS);
    cr_assert_eq(stats.pairs, ITEMS);
    cr_assert_eq(stats.distinct_keys, KEYS);
    cr_assert(stats.largest_partition >= 1 && stats.largest_partition <= KEYS);
    cr_assert_eq(stats.results, 3);
    cr_assert_eq(stats.spills, 0);
    cr_assert_eq(stats.bad_items, 0);
    cr_assert_gt(stats.peak_memory, 0);
    cr_assert_eq(stats.map.tasks, ITEMS / 10);
    cr_assert_gt(stats.map.wall_ns, 0);
    cr_assert_gt(stats.map.cpu_ns, 0);
    cr_assert_eq(mr_run_counter(run, "items"), ITEMS);
    cr_assert_eq(mr_run_counter(run, "even"), ITEMS);
    cr_assert_eq(mr_run_counter(run, "odd"), 0);
    mr_run_release(run);
    stook_executor_destroy(executor);
}

/* --- items that fail -------------------------------------------------------------------------- */

Test(mr_run, an_item_that_fails_is_tried_again_and_counts_once, .timeout = 60)
{
    stook_executor *executor = must_create(3);
    static struct state state;
    mr_result *result;

    state = (struct state){.bad_every = 3, .bad_times = 2};
    struct mr_job job = counting_job(&state);
    job.attempts = 3;
    cr_assert_eq(mr_map_reduce(executor, &job, &result, NULL), STOOK_OK);
    expect_counts(result, ITEMS / KEYS);
    cr_assert_eq(atomic_load(&state.tries[3]), 3);
    cr_assert_eq(atomic_load(&state.tries[4]), 1);
    stook_executor_destroy(executor);
}

Test(mr_run, B91_an_item_that_fails_is_not_tried_again_when_cancelled, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    static struct state state;
    mr_run *run;

    state = (struct state){.bad_every = 1, .bad_times = UINT32_MAX};
    struct mr_job job = counting_job(&state);
    job.attempts = UINT32_MAX;
    cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
    SPIN_UNTIL(atomic_load(&state.tries[0]) > 10 || atomic_load(&state.tries[ITEMS - 10]) > 10);
    mr_run_cancel(run);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, NULL), STOOK_CANCELLED);
    mr_run_release(run);
    stook_executor_destroy(executor);
}

Test(mr_run, items_that_fail_are_left_out_if_that_is_tolerated, .timeout = 60)
{
    stook_executor *executor = must_create(3);
    static struct state state;
    struct mr_error errors[MR_BAD_SAMPLES + 1];
    struct mr_error error;
    struct mr_stats stats;
    mr_run *run;

    state = (struct state){.bad_every = KEYS, .bad_times = UINT32_MAX};
    struct mr_job job = counting_job(&state); /* key 0 fails, ITEMS / KEYS times */
    job.attempts = 2;
    job.most_bad_items = ITEMS / KEYS;
    cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, NULL), STOOK_OK);
    mr_run_stats(run, &stats);
    cr_assert_eq(stats.bad_items, ITEMS / KEYS);
    cr_assert_eq(mr_run_bad_items(run, errors, COUNT_OF(errors)), MR_BAD_SAMPLES);
    for (size_t i = 0; i < MR_BAD_SAMPLES; i++) {
        cr_assert_eq(errors[i].item % KEYS, 0);
        cr_assert_eq(errors[i].code, 42);
        cr_assert_eq(errors[i].phase, MR_PHASE_MAP);
        cr_assert_not_null(strstr(errors[i].message, "item"));
    }
    mr_result *result = mr_run_take_result(run);
    cr_assert_eq(mr_result_count(result), KEYS - 1);
    mr_result_destroy(result);
    mr_run_release(run);

    state = (struct state){.bad_every = KEYS, .bad_times = UINT32_MAX};
    job.most_bad_items = ITEMS / KEYS - 1; /* one too many */
    cr_assert_eq(mr_map_reduce(executor, &job, &result, &error), STOOK_TASK_FAILED);
    cr_assert_eq(error.code, 42);
    stook_executor_destroy(executor);
}

/* --- ranks ------------------------------------------------------------------------------------ */

Test(mr_run, ranks_give_what_shared_memory_gives, .timeout = 60)
{
    static const uint32_t ranks[] = {1, 2, 3, 7, MR_MAX_RANKS};
    stook_executor *executor = must_create(3);
    static struct state state;
    mr_result *result;

    for (size_t i = 0; i < COUNT_OF(ranks); i++) {
        for (int has_reducer = 0; has_reducer < 2; has_reducer++) {
            state = (struct state){.is_gated = false};
            struct mr_job job = counting_job(&state);
            job.ranks = ranks[i];
            job.reduce = has_reducer ? gated_reduce : NULL;
            cr_assert_eq(mr_map_reduce(executor, &job, &result, NULL), STOOK_OK);
            expect_counts(result, ITEMS / KEYS);
        }
    }
    stook_executor_destroy(executor);
}

static uint64_t hash_any(struct mr_slice key, void *user)
{
    (void)user;
    return mr_hash(key);
}

static int compare_any(struct mr_slice a, struct mr_slice b, void *user)
{
    (void)user;
    return mr_slice_compare(a, b);
}

Test(mr_run, a_job_can_say_why_it_is_not_portable, .timeout = 60)
{
    static const struct mr_keys keys = {hash_any, compare_any};
    stook_executor *executor = must_create(1);
    static struct state state;
    struct mr_job job = counting_job(&state);
    struct mr_error error;
    char why[200] = "";
    mr_result *result;

    cr_assert(mr_job_is_portable(&job, why, sizeof why));
    job.keys = &keys;
    cr_assert_not(mr_job_is_portable(&job, why, sizeof why));
    cr_assert_not_null(strstr(why, "keys"));
    cr_assert_not(mr_job_is_portable(&job, NULL, 0));
    job.ranks = 2;
    cr_assert_eq(mr_map_reduce(executor, &job, &result, &error), STOOK_INVALID);
    cr_assert_not_null(strstr(error.message, "keys"));
    job.keys = NULL;
    job.ranks = MR_MAX_RANKS + 1;
    cr_assert_eq(mr_map_reduce(executor, &job, &result, &error), STOOK_INVALID);
    cr_assert_not_null(strstr(error.message, "ranks"));
    stook_executor_destroy(executor);
}
