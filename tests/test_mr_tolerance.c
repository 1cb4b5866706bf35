/* SPDX-License-Identifier: MIT
 *
 * Items that fail, in all forms of input; counters; jobs without a reducer; many jobs at once; and
 * cancelling in each state.
 */
#include "check.h"
#include "mr_support.h"

enum { ITEMS = 2000, CODE = 1234 };

/* --- items of texts that fail ------------------------------------------------------------------ */

static int no_bad_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    (void)user;
    if (mr_emit(out, item->data, mr_slice_str("1")) != STOOK_OK) {
        return 1;
    }
    return slice_is(item->data, "bad") ? CODE : 0;
}

struct where {
    size_t source;
    uint64_t offset;
    bool is_seen;
};

static void expect_bad(const mr_run *run, struct where *where, size_t count)
{
    struct mr_error errors[MR_BAD_SAMPLES];

    cr_assert_eq(mr_run_bad_items(run, errors, MR_BAD_SAMPLES), count);
    for (size_t i = 0; i < count; i++) {
        char offset[40];
        size_t at = 0;
        cr_assert_eq(errors[i].status, STOOK_TASK_FAILED);
        cr_assert_eq(errors[i].phase, MR_PHASE_MAP);
        cr_assert_eq(errors[i].code, CODE);
        while (at < count && (where[at].is_seen || where[at].source != errors[i].source ||
                              where[at].offset != errors[i].item)) {
            at++;
        }
        cr_assert_lt(at, count, "%s", errors[i].message);
        where[at].is_seen = true;
        snprintf(offset, sizeof offset, "at offset %u of ", (unsigned)where[at].offset);
        cr_assert_not_null(strstr(errors[i].message, offset), "%s", errors[i].message);
        cr_assert_not_null(strstr(errors[i].message, "1234"), "%s", errors[i].message);
    }
}

Test(mr_tolerance, bad_records_are_told_by_source_and_offset, .timeout = 60)
{
    static const size_t chunks[] = {1, 5, MR_CHUNK_AUTO};
    const struct mr_source sources[] = {{.text = mr_slice_str("good\nbad\ngood\n")},
                                        {.text = mr_slice_str("")},
                                        {.text = mr_slice_str("bad\n\nfine\nbad")}};
    stook_executor *executor = must_create(2);
    struct mr_job job = MR_JOB_INIT;

    job.input = mr_input_text(sources, COUNT_OF(sources));
    job.map = no_bad_map;
    job.reduce = count_reduce;
    job.order = MR_ORDER_KEY;
    job.most_bad_items = 3;
    for (size_t i = 0; i < COUNT_OF(chunks); i++) {
        struct where where[] = {{0, 5, false}, {2, 0, false}, {2, 10, false}};
        struct mr_stats stats;
        struct mr_error none;
        struct mr_pair pair;
        mr_run *run;
        job.input.chunk = chunks[i];
        cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
        cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, NULL), STOOK_OK);
        expect_bad(run, where, COUNT_OF(where));
        cr_assert_eq(mr_run_bad_items(run, &none, 0), 0);
        cr_assert_eq(mr_run_bad_items(run, &none, 1), 1);
        mr_run_stats(run, &stats);
        cr_assert_eq(stats.bad_items, 3);
        cr_assert_eq(stats.pairs, 4); /* "good" twice, "", "fine" */
        mr_result *result = mr_run_take_result(run);
        cr_assert_eq(mr_result_count(result), 3);
        while (mr_result_next(result, &pair)) {
            cr_assert_not(slice_is(pair.key, "bad"));
        }
        mr_result_destroy(result);
        mr_run_release(run);
    }
    stook_executor_destroy(executor);
}

Test(mr_tolerance, one_bad_record_too_many_is_the_error, .timeout = 60)
{
    const struct mr_source source = {.text = mr_slice_str("good\nbad\ngood\nbad\n")};
    stook_executor *executor = must_create(1);
    struct mr_job job = MR_JOB_INIT;
    struct mr_error error;
    struct mr_stats stats;
    mr_run *run;

    job.input = mr_input_text(&source, 1);
    job.map = no_bad_map;
    job.attempts = 5;
    job.most_bad_items = 1;
    cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, &error), STOOK_TASK_FAILED);
    cr_assert(error.phase == MR_PHASE_MAP && error.code == CODE && error.item == 14);
    cr_assert_not_null(strstr(error.message, "offset 14"));
    mr_run_stats(run, &stats);
    cr_assert_eq(stats.bad_items, 1);
    cr_assert_eq(mr_run_bad_items(run, &error, 1), 1);
    cr_assert_eq(error.item, 5);
    mr_run_release(run);
    stook_executor_destroy(executor);
}

/* --- attempts ---------------------------------------------------------------------------------- */

/* Item i fails i % 4 times, emits its number under the key "seen" each time, and a key that tells the
 * attempt. */
struct attempts {
    uint32_t items[ITEMS];
    uint32_t next;
    atomic_uint tries[ITEMS];
    bool many; /* emits keys of one value together */
};

static void attempts_init(struct attempts *attempts)
{
    for (uint32_t i = 0; i < ITEMS; i++) {
        attempts->items[i] = i;
    }
}

static int next_attempt(struct mr_slice *ret_item, void *user)
{
    struct attempts *attempts = user;

    if (attempts->next == ITEMS) {
        return 0;
    }
    *ret_item = mr_slice_of(&attempts->items[attempts->next++], sizeof attempts->items[0]);
    return 1;
}

static int attempt_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    static char long_text[5000];
    struct attempts *attempts = user;
    uint32_t number;
    memcpy(&number, item->data.data, sizeof number);
    const unsigned failures = number % 4;
    const unsigned tries = atomic_fetch_add(&attempts->tries[number], 1);
    struct mr_slice keys[3] = {mr_slice_str("seen"), mr_slice_str("good"),
                               mr_slice_of(long_text, sizeof long_text)};

    mr_count(out, "attempts", 1);
    if (tries < failures) {
        keys[1] = mr_slice_str("a failed attempt");
    }
    if (attempts->many) {
        mr_emit_keys(out, keys, 3, mr_slice_of(&number, sizeof number));
    } else {
        for (size_t i = 0; i < 3; i++) {
            mr_emit(out, keys[i], mr_slice_of(&number, sizeof number));
        }
    }
    return tries < failures ? CODE : 0;
}

/* Each item's three pairs, once. */
static void expect_attempts(const struct mr_job *job, stook_executor *executor)
{
    struct attempts *attempts = job->user;
    struct mr_stats stats;
    struct mr_pair pair;
    mr_run *run;
    uint64_t good = 0;

    attempts->next = 0;
    for (size_t i = 0; i < ITEMS; i++) {
        atomic_store(&attempts->tries[i], 0);
    }
    cr_assert_eq(mr_submit(executor, job, &run, NULL), STOOK_OK);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, NULL), STOOK_OK);
    mr_run_stats(run, &stats);
    cr_assert_eq(stats.items, ITEMS);
    cr_assert_eq(stats.pairs, 3 * ITEMS);
    cr_assert_eq(stats.bad_items, 0);
    cr_assert_eq(mr_run_counter(run, "attempts"), ITEMS / 4 * (1 + 2 + 3 + 4));
    mr_result *result = mr_run_take_result(run);
    mr_run_release(run);
    cr_assert_eq(mr_result_count(result), 3 * ITEMS);
    while (mr_result_next(result, &pair)) {
        cr_assert_not(slice_is(pair.key, "a failed attempt"));
        good += slice_is(pair.key, "good");
    }
    cr_assert_eq(good, ITEMS);
    mr_result_destroy(result);
}

Test(mr_tolerance, what_failed_attempts_emit_is_never_seen, .timeout = 60)
{
    static struct attempts attempts;
    stook_executor *executor = must_create(3);

    attempts_init(&attempts);
    for (unsigned form = 0; form < 16; form++) {
        struct mr_job job = MR_JOB_INIT;
        attempts.many = (form & 1) != 0;
        job.input = (form & 2) != 0
                        ? mr_input_iterator(next_attempt, &attempts)
                        : mr_input_array(attempts.items, ITEMS, sizeof attempts.items[0]);
        job.input.chunk = 7;
        job.map = attempt_map;
        job.reduce = (form & 4) != 0 ? each_reduce : NULL;
        job.ranks = (form & 8) != 0 ? 3 : 0;
        job.user = &attempts;
        job.attempts = 4;
        expect_attempts(&job, executor);
    }
    stook_executor_destroy(executor);
}

Test(mr_tolerance, attempts_end_with_the_last_one, .timeout = 60)
{
    static struct attempts attempts;
    stook_executor *executor = must_create(1);
    struct mr_job job = MR_JOB_INIT;
    struct mr_error error;
    mr_result *result;

    attempts_init(&attempts);
    job.input = mr_input_array(attempts.items, ITEMS, sizeof attempts.items[0]);
    job.map = attempt_map;
    job.user = &attempts;
    job.attempts = 3; /* item 3 needs 4 */
    cr_assert_eq(mr_map_reduce(executor, &job, &result, &error), STOOK_TASK_FAILED);
    cr_assert_eq(error.item % 4, 3);
    cr_assert_eq(atomic_load(&attempts.tries[error.item]), 3);
    stook_executor_destroy(executor);
}

/* What is wrong with the job is no fault of the item. */
static int no_combine(struct mr_slice key, void *accumulator, size_t accumulator_size,
                      struct mr_slice value, void *user)
{
    (void)user;
    MUST(slice_is(key, "a") && accumulator != NULL && accumulator_size == value.size);
    return CODE;
}

Test(mr_tolerance, combiners_that_fail_are_not_tolerated, .timeout = 60)
{
    const struct mr_pair pairs[] = {{mr_slice_str("a"), mr_slice_str("1")},
                                    {mr_slice_str("a"), mr_slice_str("2")}};
    stook_executor *executor = must_create(1);
    struct mr_job job = pair_job(pairs, COUNT_OF(pairs), NULL);
    struct mr_error error;
    mr_result *result;

    job.attempts = 3;
    job.most_bad_items = 10;
    job.combine = no_combine;
    cr_assert_eq(mr_map_reduce(executor, &job, &result, &error), STOOK_TASK_FAILED);
    cr_assert_eq(error.code, CODE);
    cr_assert_eq(error.item, 1);
    stook_executor_destroy(executor);
}

Test(mr_tolerance, numbers_of_other_sizes_are_refused_in_any_form, .timeout = 60)
{
    stook_executor *executor = must_create(1);

    for (size_t size = 0; size <= 16; size++) {
        const struct mr_pair pairs[] = {{mr_slice_str("a"), mr_slice_of("0123456789abcdef", size)}};
        for (unsigned form = 0; form < 8; form++) {
            struct mr_job job = pair_job(pairs, 1, NULL);
            struct mr_error error = {.status = STOOK_OK};
            mr_result *result = NULL;
            job.combine = form < 4 ? mr_sum_u64 : mr_sum_f64;
            job.attempts = 1 + (form & 1);
            enum stook_status status = (form & 2) != 0
                                           ? mr_map_reduce(executor, &job, &result, &error)
                                           : mr_map_reduce_sequential(&job, &result, &error);
            cr_assert_eq(status, size == 8 ? STOOK_OK : STOOK_INVALID);
            if (size != 8) {
                cr_assert_not_null(strstr(error.message, "8 bytes"), "%s", error.message);
                cr_assert_eq(error.phase, MR_PHASE_MAP);
            }
            mr_result_destroy(result);
        }
    }
    stook_executor_destroy(executor);
}

/* --- counters ---------------------------------------------------------------------------------- */

static char counter_names[MR_MAX_COUNTERS + 10][16];

static int counting_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    char *other_copy = user;
    for (unsigned i = 0; i < MR_MAX_COUNTERS - 1; i++) {
        mr_count(out, counter_names[i], i);
    }
    mr_count(out, other_copy, 1); /* the name of number 1, elsewhere */
    const unsigned char key = (unsigned char)item->index;
    return mr_emit(out, mr_slice_of(&key, 1), mr_slice_of(NULL, 0));
}

/* The first of the new names has room, and no other. */
static int counting_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    (void)values;
    (void)user;
    for (unsigned i = MR_MAX_COUNTERS - 1; i < COUNT_OF(counter_names); i++) {
        mr_count(out, counter_names[i], 1);
    }
    return mr_emit(out, key, mr_slice_of(NULL, 0));
}

Test(mr_tolerance, counters_add_up_and_more_of_them_are_not_counted, .timeout = 60)
{
    static char items[ITEMS];
    static char other_copy[16];
    stook_executor *executor = must_create(3);
    struct mr_job job = MR_JOB_INIT;
    uint64_t others = 0;
    mr_run *run;

    for (unsigned i = 0; i < COUNT_OF(counter_names); i++) {
        snprintf(counter_names[i], sizeof counter_names[i], "counter %u", i);
    }
    strcpy(other_copy, counter_names[1]);
    job.input = mr_input_array(items, ITEMS, 1);
    job.input.chunk = 3;
    job.map = counting_map;
    job.reduce = counting_reduce;
    job.user = other_copy;
    job.partitions = 1;
    cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, NULL), STOOK_OK);
    for (unsigned i = 0; i < MR_MAX_COUNTERS - 1; i++) {
        cr_assert_eq(mr_run_counter(run, counter_names[i]), (uint64_t)ITEMS * (i + (i == 1)));
    }
    for (unsigned i = MR_MAX_COUNTERS - 1; i < COUNT_OF(counter_names); i++) {
        others += mr_run_counter(run, counter_names[i]);
    }
    cr_assert_eq(mr_run_counter(run, counter_names[MR_MAX_COUNTERS - 1]), 256); /* keys */
    cr_assert_eq(others, 256);
    cr_assert_eq(mr_run_counter(run, "counter"), 0);
    mr_run_release(run);
    stook_executor_destroy(executor);
}

/* --- without a reducer, and with one that changes nothing -------------------------------------- */

Test(mr_tolerance, jobs_that_change_nothing_give_their_input, .timeout = 60)
{
    static struct mr_pair pairs[ITEMS];
    static uint32_t numbers[ITEMS];
    stook_executor *executor = must_create(3);

    for (uint32_t i = 0; i < ITEMS; i++) { /* many are equal */
        numbers[i] = i % 100;
        pairs[i].key = mr_slice_of(&numbers[i], i % 5);
        pairs[i].value = mr_slice_of(&numbers[i], i % 3);
    }
    for (unsigned form = 0; form < 12; form++) {
        struct mr_job job = pair_job(pairs, ITEMS, form % 2 == 0 ? NULL : each_reduce);
        job.order = form % 4 < 2 ? MR_ORDER_KEY : MR_ORDER_NONE;
        job.input.chunk = 10;
        job.ranks = form / 4;
        mr_result *result = must_run(executor, &job);
        size_t count;
        struct mr_pair *got = drain(result, &count);
        cr_assert_eq(count, ITEMS);
        qsort(pairs, ITEMS, sizeof pairs[0], pair_compare);
        if (job.order == MR_ORDER_NONE) {
            qsort(got, count, sizeof got[0], pair_compare);
        }
        for (size_t i = 0; i < ITEMS; i++) {
            cr_assert_eq(pair_compare(&got[i], &pairs[i]), 0);
        }
        free(got);
        mr_result_destroy(result);
    }
    stook_executor_destroy(executor);
}

/* --- many jobs --------------------------------------------------------------------------------- */

Test(mr_tolerance, B89_many_jobs_at_once_with_clients_of_any_weight, .timeout = 120)
{
    enum { JOBS = 64 };
    static struct mr_pair pairs[ITEMS];
    static const char text[] = "abcdefghijklmnopqrstuvwxyz";
    stook_executor *executor = must_create(3);
    stook_client *clients[8];
    mr_run *runs[JOBS];

    for (size_t i = 0; i < ITEMS; i++) {
        pairs[i].key = mr_slice_of(text + i % 7, 1 + i % 11);
        pairs[i].value = mr_slice_of(text, i % 20);
    }
    struct mr_job job = pair_job(pairs, ITEMS, count_reduce);
    mr_result *expected = must_run(NULL, &job);
    for (unsigned i = 0; i < COUNT_OF(clients); i++) {
        cr_assert_eq(stook_client_create(executor, 1 + i * i * 20, i == 3 ? 5 : 0, &clients[i]),
                     STOOK_OK);
    }
    for (size_t i = 0; i < JOBS; i++) {
        job.client = i % 9 == 8 ? NULL : clients[i % 9];
        job.input.chunk = 1 + i * 5;
        job.partitions = 1 + (uint32_t)i;
        cr_assert_eq(mr_submit(executor, &job, &runs[i], NULL), STOOK_OK);
    }
    for (unsigned i = 0; i < COUNT_OF(clients); i++) {
        stook_client_release(clients[i]); /* the jobs have their own references */
    }
    for (size_t i = JOBS; i > 0; i--) {
        cr_assert_eq(mr_run_wait(runs[i - 1], STOOK_FOREVER, NULL), STOOK_OK);
        mr_result *result = mr_run_take_result(runs[i - 1]);
        mr_run_release(runs[i - 1]);
        cr_assert(same_result(expected, result, true));
        mr_result_destroy(result);
    }
    mr_result_destroy(expected);
    stook_executor_destroy(executor);
}

/* A task starts a run, looks at it, and waits for it, while its worker is the only one. */
static int run_in_task(void *arg, void **ret_value)
{
    stook_executor *executor = arg;
    const struct mr_pair pairs[] = {{mr_slice_str("a"), mr_slice_str("1")},
                                    {mr_slice_str("b"), mr_slice_str("2")}};
    struct mr_job job = pair_job(pairs, COUNT_OF(pairs), each_reduce);
    mr_run *runs[2];
    (void)ret_value;

    for (size_t i = 0; i < 2; i++) {
        MUST(mr_submit(executor, &job, &runs[i], NULL) == STOOK_OK);
    }
    MUST(mr_run_state(runs[1]) == MR_RUN_PENDING);
    MUST(mr_run_wait(runs[1], STOOK_FOREVER, NULL) == STOOK_OK);
    mr_result *result = mr_run_take_result(runs[1]);
    MUST(mr_result_count(result) == 2);
    mr_result_destroy(result);
    mr_run_release(runs[0]); /* in whatever state it is */
    mr_run_release(runs[1]);
    return 0;
}

Test(mr_tolerance, B90_runs_in_a_task_of_the_same_executor, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    stook_future *future = must_submit(executor, run_in_task, executor);

    cr_assert_eq(stook_future_wait_until(future, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(stook_future_state(future), STOOK_STATE_DONE);
    stook_future_release(future);
    stook_executor_destroy(executor);
}

/* --- cancelled in each state ------------------------------------------------------------------- */

/* Holds the job in the state it is to be cancelled in. */
struct stages {
    _Atomic(mr_run *) run;
    enum mr_run_state at;
    struct gate gate;
    struct gate both; /* mappers that run at the same time emit the same key */
};

static void pass_at(struct stages *stages, enum mr_run_state state)
{
    if (stages->at == state) {
        SPIN_UNTIL(atomic_load(&stages->run) != NULL);
        MUST(mr_run_state(atomic_load(&stages->run)) == state);
        gate_pass(&stages->gate);
    }
}

static int staged_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    struct stages *stages = user;

    gate_pass(&stages->both);
    pass_at(stages, MR_RUN_MAPPING);
    return mr_emit(out, mr_slice_str("key"), item->data);
}

static int staged_combine(struct mr_slice key, void *accumulator, size_t accumulator_size,
                          struct mr_slice value, void *user)
{
    MUST(slice_is(key, "key") && accumulator != NULL && accumulator_size == value.size);
    pass_at(user, MR_RUN_SHUFFLING);
    return 0;
}

static int staged_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct mr_slice value;

    pass_at(user, MR_RUN_REDUCING);
    return mr_values_next(values, &value) ? (int)mr_emit(out, key, value) : 0;
}

static void cancel_in(stook_executor *executor, enum mr_run_state state, bool by_release)
{
    static const char items[2];
    struct stages stages = {.at = state};
    struct mr_job job = MR_JOB_INIT;
    struct mr_error error;
    mr_run *run;

    job.input = mr_input_array(items, 2, 1);
    job.input.chunk = 1;
    job.map = staged_map;
    job.combine = staged_combine;
    job.reduce = staged_reduce;
    job.user = &stages;
    cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
    atomic_store(&stages.run, run);
    gate_await(&stages.both, 2);
    gate_open(&stages.both);
    gate_await(&stages.gate, 1);
    cr_assert_eq(mr_run_state(run), state);
    mr_run_cancel(run);
    mr_run_cancel(run);
    gate_open(&stages.gate);
    if (!by_release) {
        cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, &error), STOOK_CANCELLED);
        cr_assert_eq(error.status, STOOK_CANCELLED);
        cr_assert_eq(mr_run_state(run), MR_RUN_CANCELLED);
        cr_assert_null(mr_run_take_result(run));
        mr_run_cancel(run); /* once more, when it has ended */
        cr_assert_eq(mr_run_state(run), MR_RUN_CANCELLED);
    }
    mr_run_release(run);
}

Test(mr_tolerance, B91_cancelled_in_each_state, .timeout = 60)
{
    stook_executor *executor = must_create(2);

    for (int by_release = 0; by_release < 2; by_release++) {
        cancel_in(executor, MR_RUN_MAPPING, by_release);
        cancel_in(executor, MR_RUN_SHUFFLING, by_release);
        cancel_in(executor, MR_RUN_REDUCING, by_release);
    }
    cr_assert(still_works(executor));
    stook_executor_destroy(executor);
}

Test(mr_tolerance, B91_cancelled_before_and_behind, .timeout = 60)
{
    const struct mr_pair pairs[] = {{mr_slice_str("a"), mr_slice_str("1")}};
    stook_executor *executor = must_create(1);
    struct mr_job job = pair_job(pairs, COUNT_OF(pairs), each_reduce);
    struct gate gate = {0};
    struct mr_error error;
    mr_run *run;

    stook_future *held = must_submit(executor, gate_task, &gate);
    gate_await(&gate, 1);
    cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
    cr_assert_eq(mr_run_state(run), MR_RUN_PENDING);
    mr_run_cancel(run);
    gate_open(&gate);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, &error), STOOK_CANCELLED);
    cr_assert_eq(mr_run_state(run), MR_RUN_CANCELLED);
    mr_run_release(run);
    stook_future_release(held);

    cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, NULL), STOOK_OK);
    mr_run_cancel(run); /* too late: what there is stays */
    cr_assert_eq(mr_run_state(run), MR_RUN_DONE);
    cr_assert_eq(mr_run_wait(run, 0, NULL), STOOK_OK);
    mr_result *result = mr_run_take_result(run);
    cr_assert_not_null(result);
    mr_result_destroy(result);
    mr_run_release(run);

    job.map = no_bad_map;
    job.input = mr_input_array("bad", 1, 3);
    cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
    cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, &error), STOOK_TASK_FAILED);
    mr_run_cancel(run);
    cr_assert_eq(mr_run_state(run), MR_RUN_FAILED);
    cr_assert_eq(mr_run_wait(run, 0, &error), STOOK_TASK_FAILED);
    cr_assert_eq(error.code, CODE);
    mr_run_release(run);
    stook_executor_destroy(executor);
}
