/* SPDX-License-Identifier: MIT
 *
 * Memory, threads and locks that fail, each call once, in jobs of all kinds, run as a whole, in
 * sequence, by themselves, and step by step, where each step is the one that meets the failure: the
 * right result, or STOOK_NOMEM with its sentence and no result; nothing is left, and the executor
 * works as before. README.md in this folder tells which function is where.
 */
#include "check.h"
#include "failing_locks.h"
#include "mr_support.h"

enum { ITEMS = 60 };

/* --- jobs --------------------------------------------------------------------------------------
 * */

static uint64_t items[ITEMS];
static const char text[] = "a text of several\nlines, of which\n\nsome are\nempty\n";
static const struct mr_source sources[] = {{.text = {text, sizeof text - 1}}};

static int emit_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    static const char *const names[] = {"a", "b", "a key that is too long for a slot of its own"};
    (void)user;
    mr_count(out, "items", 1);
    if (mr_emit_u64(out, mr_slice_str(names[item->index % 3]), item->index) != STOOK_OK) {
        return 1;
    }
    return mr_emit_u64(out, item->data, 1);
}

static int sum_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct mr_slice value;
    uint64_t sum = 0;
    (void)user;
    while (mr_values_next(values, &value)) {
        sum += mr_slice_u64(value);
    }
    return mr_emit_u64(out, key, sum);
}

/* Long values, that are in no slot. */
static int long_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    char value[300];
    (void)user;
    memset(value, (int)item->index, sizeof value);
    return mr_emit(out, mr_slice_of(item->data.data, 1), mr_slice_of(value, sizeof value));
}

/* Several at a time, one of them with a key that is in no slot. */
static int many_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    const struct mr_slice keys[] = {item->data,
                                    mr_slice_str("a key that is too long for a slot of its own"),
                                    mr_slice_str("a")};
    const uint64_t values[] = {item->index, 1, 2};
    const uint64_t one = 1;
    (void)user;
    if (mr_emit_keys(out, keys, COUNT_OF(keys), mr_slice_of(&one, sizeof one)) != STOOK_OK) {
        return 1;
    }
    return mr_emit_keys_u64(out, keys, COUNT_OF(keys), values);
}

/* Some items are bad, after they have emitted. */
static int bad_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    const int status = emit_map(item, out, user);
    return status != 0 ? status : item->index % 10 == 0;
}

static uint64_t size_hash(struct mr_slice key, void *user)
{
    (void)user;
    return key.size;
}

static int size_compare(struct mr_slice a, struct mr_slice b, void *user)
{
    (void)user;
    return (a.size > b.size) - (a.size < b.size);
}

static int no_progress(const char *tag, uint64_t done, uint64_t not_done, void *user)
{
    (void)tag;
    (void)done;
    (void)not_done;
    (void)user;
    return 0;
}

/* Each of the items, one after the other. */
static int next_item(struct mr_slice *ret_item, void *user)
{
    size_t *given = user;
    *ret_item = mr_slice_of(&items[*given % ITEMS], sizeof items[0]);
    return (*given)++ < ITEMS;
}

static size_t items_given;

static const struct mr_keys by_size = {size_hash, size_compare};

enum kind {
    PLAIN,
    ITERATOR,
    COMBINED,
    MAPPED_ONLY,
    LONG,
    MANY,
    TEXT,
    KEYS,
    TOP,
    RANKS,
    BAD,
    KINDS
};

static struct mr_job job_of(enum kind kind)
{
    struct mr_job job = MR_JOB_INIT;
    for (size_t i = 0; i < ITEMS; i++) {
        items[i] = i * i;
    }
    job.input = mr_input_array(items, ITEMS, sizeof items[0]);
    job.input.chunk = 20;
    job.map = kind == LONG ? long_map : kind == MANY ? many_map : kind == BAD ? bad_map : emit_map;
    job.combine = kind == COMBINED || kind == RANKS ? mr_sum_u64 : NULL;
    job.reduce = kind == COMBINED || kind == MAPPED_ONLY ? NULL
                 : kind == LONG                          ? count_reduce
                                                         : sum_reduce;
    job.order = kind == MAPPED_ONLY ? MR_ORDER_NONE : kind == TOP ? MR_ORDER_PAIR : MR_ORDER_KEY;
    job.partitions = 3;
    if (kind == TEXT) {
        job.input = mr_input_text(sources, COUNT_OF(sources));
        job.input.chunk = 10;
    }
    if (kind == ITERATOR) {
        items_given = 0;
        job.input = mr_input_iterator(next_item, &items_given);
        job.input.chunk = 20;
    }
    job.keys = kind == KEYS ? &by_size : NULL;
    job.compare = kind == TOP ? mr_by_count : NULL;
    job.top = kind == TOP ? 5 : 0;
    job.ranks = kind == RANKS ? 2 : 0;
    job.attempts = kind == BAD ? 2 : 0;
    job.most_bad_items = kind == BAD ? ITEMS : 0;
    return job;
}

/* --- ways to run them ---------------------------------------------------------------------------
 * */

/* One try; the call at `number` fails, counted from arm() to disarm(). */
struct
try {
    const struct mr_job *job;
    stook_executor *executor;
    long number;
    bool failed;
    mr_result *result;
    struct mr_error error;
};

static void arm(struct try *try)
{
    fail_call(try->number);
}

static void disarm(struct try *try)
{
    try->failed = has_failed();
    fail_none();
}

static enum stook_status whole(struct try *try)
{
    arm(try);
    return mr_map_reduce(try->executor, try->job, &try->result, &try->error);
}

static enum stook_status in_sequence(struct try *try)
{
    arm(try);
    return mr_map_reduce_sequential(try->job, &try->result, &try->error);
}

/* What fails is the call that starts it; or all that comes behind it. */
static enum stook_status started(struct try *try, bool fails_behind)
{
    struct mr_stats stats;
    struct mr_error bad[2];
    mr_run *run = NULL;
    if (!fails_behind) {
        arm(try);
    }
    enum stook_status status = mr_submit(try->executor, try->job, &run, &try->error);
    cr_assert_eq(run != NULL, status == STOOK_OK);
    if (run == NULL) {
        return status;
    }
    if (fails_behind) {
        arm(try);
    }
    status = mr_run_wait(run, STOOK_FOREVER, &try->error);
    mr_run_stats(run, &stats);
    (void)mr_run_bad_items(run, bad, 2);
    cr_assert(status != STOOK_OK || stats.items == mr_run_counter(run, "items") ||
              try->job->map != emit_map);
    mr_result *result = mr_run_take_result(run);
    cr_assert_eq(result != NULL, status == STOOK_OK);
    try->result = status == STOOK_OK ? result : try->result;
    mr_run_release(run);
    return status;
}

static enum stook_status submitted(struct try *try)
{
    return started(try, false);
}

static enum stook_status waited_for(struct try *try)
{
    return started(try, true);
}

enum step { MAP_STEP, PROGRESS_STEP, SHUFFLE_STEP, REDUCE_STEP, RESULT_STEP };

static void arm_at(struct try *try, enum step step, enum step at)
{
    if (step == at) {
        arm(try);
    }
}

static enum stook_status batch_failed(struct try *try, const mr_batch *batch)
{
    try->error = *mr_batch_error(batch);
    return try->error.status;
}

static enum stook_status reduce_steps(struct try *try, enum step at, mr_groups *groups)
{
    mr_batch *batch = NULL;
    arm_at(try, REDUCE_STEP, at);
    enum stook_status status = mr_async_reduce(try->executor, groups, &batch, &try->error);
    cr_assert_eq(batch != NULL, status == STOOK_OK);
    if (status == STOOK_OK) {
        status = mr_report_progress(batch, "reduce", no_progress, NULL, 0);
        if (status != STOOK_OK) {
            cr_assert_eq(batch_failed(try, batch), status);
        }
    }
    if (status == STOOK_OK) {
        arm_at(try, RESULT_STEP, at);
        status = mr_batch_result(batch, &try->result);
        if (status != STOOK_OK) {
            (void)batch_failed(try, batch);
            try->error.status = status; /* the batch itself may have been good */
            try->error.message[0] = '-';
        }
    }
    mr_batch_destroy(batch);
    return status;
}

static enum stook_status step_by_step(struct try *try, enum step at)
{
    mr_batch *batch = NULL;
    mr_groups *groups = NULL;
    arm_at(try, MAP_STEP, at);
    enum stook_status status = mr_async_map(try->executor, try->job, &batch, &try->error);
    cr_assert_eq(batch != NULL, status == STOOK_OK);
    if (status == STOOK_OK) {
        arm_at(try, PROGRESS_STEP, at);
        status = mr_report_progress(batch, "map", no_progress, NULL, 0);
        if (status != STOOK_OK) {
            cr_assert_eq(batch_failed(try, batch), status);
        }
    }
    if (status == STOOK_OK) {
        arm_at(try, SHUFFLE_STEP, at);
        status = mr_shuffle(try->executor, batch, &groups, &try->error);
        cr_assert_eq(groups != NULL, status == STOOK_OK);
    }
    if (status == STOOK_OK) {
        status = reduce_steps(try, at, groups);
    }
    mr_groups_destroy(groups);
    mr_batch_destroy(batch);
    return status;
}

static enum stook_status step_map(struct try *try)
{
    return step_by_step(try, MAP_STEP);
}

static enum stook_status step_progress(struct try *try)
{
    return step_by_step(try, PROGRESS_STEP);
}

static enum stook_status step_shuffle(struct try *try)
{
    return step_by_step(try, SHUFFLE_STEP);
}

static enum stook_status step_reduce(struct try *try)
{
    return step_by_step(try, REDUCE_STEP);
}

static enum stook_status step_result(struct try *try)
{
    return step_by_step(try, RESULT_STEP);
}

/* --- all ---------------------------------------------------------------------------------------
 * */

static const struct {
    const char *name;
    enum stook_status (*call)(struct try *try);
    bool needs_reducer;
} ways[] = {
    {"map_reduce", whole, false},        {"map_reduce_sequential", in_sequence, false},
    {"submit", submitted, false},        {"run_wait", waited_for, false},
    {"async_map", step_map, true},       {"report_progress", step_progress, true},
    {"shuffle", step_shuffle, true},     {"async_reduce", step_reduce, true},
    {"batch_result", step_result, true},
};

/* Which of equal keys a group has is not said. */
static bool is_expected(mr_result *expected, mr_result *result, enum kind kind)
{
    return kind == KEYS ? mr_result_count(expected) == mr_result_count(result)
                        : same_result(expected, result, kind != MAPPED_ONLY && kind != TOP);
}

/* How many tries have failed. */
static unsigned fail_each_call(size_t way, enum kind kind, mr_result *expected)
{
    const struct mr_job job = job_of(kind);
    unsigned failures = 0;
    bool failed = true;
    for (long number = 0; failed; number++) {
        const long blocks_before = atomic_load(&blocks);
        const long locks_before = atomic_load(&locks);
        items_given = 0;
        struct try try = {.job = &job, .number = number, .result = UNTOUCHED(mr_result)};
        cr_assert_lt(number, MOST_PASSES);
        try.executor = must_create(2);
        const enum stook_status status = ways[way].call(&try);
        disarm(&try);
        failed = try.failed;
        if (status == STOOK_OK) {
            cr_assert(is_expected(expected, try.result, kind), "%s, kind %d, call %ld",
                      ways[way].name, (int)kind, number);
            mr_result_destroy(try.result);
        } else {
            failures++;
            cr_assert(failed);
            cr_assert_eq(status, STOOK_NOMEM, "%s, kind %d: %s", ways[way].name, (int)kind,
                         stook_status_name(status));
            cr_assert_eq(try.result, UNTOUCHED(mr_result), "%s", ways[way].name);
            cr_assert_eq(try.error.status, status, "%s, kind %d", ways[way].name, (int)kind);
            cr_assert_neq(try.error.message[0], '\0', "%s", ways[way].name);
        }
        cr_assert(still_works(try.executor), "%s", ways[way].name);
        stook_executor_destroy(try.executor);
        cr_assert_eq(atomic_load(&locks), locks_before, "%s, kind %d, call %ld", ways[way].name,
                     (int)kind, number);
        cr_assert_eq(atomic_load(&blocks), blocks_before, "%s, kind %d", ways[way].name, (int)kind);
    }
    return failures;
}

Test(mr_fail_each, B31_function_gives_the_result_or_tells, .timeout = 300)
{
    for (unsigned kind = 0; kind < KINDS; kind++) {
        const struct mr_job job = job_of((enum kind)kind);
        struct mr_job plain = job;
        plain.ranks = 0;
        mr_result *expected = must_run(NULL, &plain);
        for (size_t way = 0; way < COUNT_OF(ways); way++) {
            if (!ways[way].needs_reducer || job.reduce != NULL) {
                cr_assert_gt(fail_each_call(way, (enum kind)kind, expected), 0, "%s, kind %u",
                             ways[way].name, kind);
            }
        }
        mr_result_destroy(expected);
    }
}
