/* SPDX-License-Identifier: MIT
 *
 * Memory and files that fail while a job takes its input, each call once, in all ways that an input
 * can come (see failing.h, failing_reads.h): the job gives all records, or tells what has failed,
 * and leaves nothing. And calls that are interrupted, or give a few bytes at a time.
 */
#define _GNU_SOURCE /* for F_SETPIPE_SZ */
#include "check.h"
#include "failing_reads.h"
#include "mr_records.h"

/* --- inputs in all ways ----------------------------------------------------------------------- */

enum kind {
    PREAD,
    MAP,
    WHOLE_FILE,
    WHOLE_MEMORY,
    FIXED_FILE,
    FIXED_PIPE,
    SPLITTER_FILE,
    SPLITTER_PIPE,
    LINE_PIPE,
    WHOLE_PIPE,
    GZIP_FILE,
    GZIP_PIPE,
    GZIP_MEMORY,
    ZSTD_FILE,
    KINDS
};

static enum coding coding_of(enum kind kind)
{
    return kind >= GZIP_FILE && kind <= GZIP_MEMORY ? GZIP : kind == ZSTD_FILE ? ZSTD : PLAIN_TEXT;
}

static bool is_pipe(enum kind kind)
{
    return kind == FIXED_PIPE || kind == SPLITTER_PIPE || kind == LINE_PIPE || kind == WHOLE_PIPE ||
           kind == GZIP_PIPE;
}

/* An input, and what it must give. A pipe is filled again for each pass. */
struct material {
    enum kind kind;
    struct mr_slice text;
    struct mr_slice bytes;
    struct mr_source source;
    char *path;
};

/* Lines, one of which needs larger buffers than there are at first; for a splitter, records of
 * 1 + 100 bytes. */
static struct mr_slice make_text(bool is_counted)
{
    enum { SIZE = 500000, LONG_BEGIN = 50000, LONG_SIZE = 300000, RECORD = 101 };
    const size_t size = is_counted ? SIZE - SIZE % RECORD : SIZE;
    char *bytes = must_alloc(size);
    memset(bytes, 'x', size);
    for (size_t i = 0; i < size; i += RECORD) {
        bytes[i] = is_counted                                      ? RECORD - 1
                   : i >= LONG_BEGIN && i < LONG_BEGIN + LONG_SIZE ? 'x'
                                                                   : '\n';
    }
    return mr_slice_of(bytes, size);
}

static void make_material(struct material *material, enum kind kind)
{
    memset(material, 0, sizeof *material);
    material->kind = kind;
    material->text = make_text(kind == SPLITTER_FILE || kind == SPLITTER_PIPE);
    material->bytes = code_text(coding_of(kind), material->text, 2);
    if (kind == WHOLE_MEMORY || kind == GZIP_MEMORY) {
        material->source.text = material->bytes;
    } else if (!is_pipe(kind)) {
        material->path = make_file(material->bytes);
        material->source.path = material->path;
    }
}

static void end_material(struct material *material)
{
    free_slice(material->text);
    free_slice(material->bytes);
    if (material->path != NULL) {
        remove_file(material->path);
    }
}

/* Before each pass, and behind it. */
static void fill(struct material *material)
{
    int ends[2];
    if (is_pipe(material->kind)) {
        MUST(pipe(ends) == 0);
        MUST(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) >= 0);
        MUST(write(ends[1], material->bytes.data, material->bytes.size) ==
             (ssize_t)material->bytes.size);
        MUST(close(ends[1]) == 0);
        material->source.descriptor = ends[0];
    }
}

static void empty(const struct material *material)
{
    if (is_pipe(material->kind)) {
        MUST(close(material->source.descriptor) == 0);
    }
}

static struct mr_job material_job(const struct material *material)
{
    const enum kind kind = material->kind;
    struct mr_job job = place_job(&material->source, 1);
    job.input.chunk = 100000;
    job.input.map_files = kind == MAP;
    job.input.splitter = counted_splitter;
    job.input.record_size = 100;
    job.input.records = kind == WHOLE_FILE || kind == WHOLE_MEMORY || kind == WHOLE_PIPE
                            ? MR_RECORDS_WHOLE
                        : kind == FIXED_FILE || kind == FIXED_PIPE       ? MR_RECORDS_FIXED
                        : kind == SPLITTER_FILE || kind == SPLITTER_PIPE ? MR_RECORDS_SPLITTER
                                                                         : MR_RECORDS_DELIMITED;
    return job;
}

static enum stook_status run(stook_executor *executor, const struct mr_job *job,
                             mr_result **ret_result, struct mr_error *ret_error)
{
    *ret_result = UNTOUCHED(mr_result);
    memset(ret_error, 0xff, sizeof *ret_error);
    return executor != NULL ? mr_map_reduce(executor, job, ret_result, ret_error)
                            : mr_map_reduce_sequential(job, ret_result, ret_error);
}

static void expect_records(mr_result *result, const struct material *material,
                           const struct mr_job *job)
{
    cr_assert(are_records(result, &material->text, &job->input), "kind %d", (int)material->kind);
    mr_result_destroy(result);
}

/* --- each call fails once --------------------------------------------------------------------- */

/* What else may be told: what needs an error's place has it. */
static void expect_failure(const struct mr_error *error, enum stook_status status)
{
    cr_assert(error->status == status && error->message[0] != '\0');
    if (status == STOOK_IO) {
        cr_assert_eq(error->phase, MR_PHASE_INPUT);
        cr_assert_eq(error->code, EIO);
        cr_assert_eq(error->source, 0);
        cr_assert_not_null(strstr(error->message, "cannot "), "%s", error->message);
    }
}

/* How many calls have failed the job. */
static unsigned fail_each(stook_executor *executor, struct material *material, bool in_memory)
{
    unsigned failures = 0;
    for (long number = 0;; number++) {
        mr_result *result;
        struct mr_error error;
        bool has_met;
        cr_assert_lt(number, MOST_PASSES);
        fill(material);
        const struct mr_job job = material_job(material);
        reads.code = EIO;
        if (in_memory) {
            fail_call(number);
        } else {
            atomic_store(&reads.left, number);
        }
        enum stook_status status = run(executor, &job, &result, &error);
        has_met = in_memory ? has_failed() : atomic_load(&reads.left) < 0;
        fail_none();
        atomic_store(&reads.left, -1);
        empty(material);
        if (status == STOOK_OK) {
            expect_records(result, material, &job); /* it can do without */
        } else {
            cr_assert(has_met, "%s", error.message);
            cr_assert_eq(status, in_memory ? STOOK_NOMEM : STOOK_IO, "%s", error.message);
            cr_assert_eq(result, UNTOUCHED(mr_result));
            expect_failure(&error, status);
            failures++;
        }
        if (!has_met) {
            return failures;
        }
    }
}

static void check_kinds(bool in_memory)
{
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct material material;
        if (!can_code(coding_of((enum kind)kind))) {
            continue;
        }
        make_material(&material, (enum kind)kind);
        for (unsigned workers = 0; workers <= 2; workers++) {
            const long before = atomic_load(&blocks);
            stook_executor *executor = workers > 0 ? must_create(workers) : NULL;
            const unsigned failures = fail_each(executor, &material, in_memory);
            if (in_memory) {
                cr_assert_gt(failures, 5, "kind %u", kind);
            } else if (kind != WHOLE_MEMORY && kind != GZIP_MEMORY) {
                cr_assert_gt(failures, 1, "kind %u", kind);
            }
            stook_executor_destroy(executor);
            cr_assert_eq(atomic_load(&blocks), before, "kind %u", kind);
        }
        end_material(&material);
    }
}

Test(mr_fail_input, B31_memory_for_texts, .timeout = 240)
{
    check_kinds(true);
}

Test(mr_fail_input, calls_that_read_texts, .timeout = 240)
{
    check_kinds(false);
}

/* --- items ------------------------------------------------------------------------------------ */

struct giver {
    uint64_t given;
    char bytes[3000];
};

enum { GIVEN = 200 };

static int give(struct mr_slice *ret_item, void *user)
{
    struct giver *giver = user;
    memset(giver->bytes, (int)giver->given, sizeof giver->bytes);
    *ret_item = mr_slice_of(giver->bytes, sizeof giver->bytes);
    return ++giver->given <= GIVEN;
}

/* The result of the job with `giver` as input. */
static mr_result *give_result(stook_executor *executor, uint64_t memory_limit)
{
    static struct giver giver;
    struct mr_job job = MR_JOB_INIT;
    giver.given = 0;
    job.input = mr_input_iterator(give, &giver);
    job.map = place_map;
    job.order = MR_ORDER_KEY;
    job.memory_limit = memory_limit;
    return must_run(executor, &job);
}

static void check_items(stook_executor *executor, mr_result *from)
{
    static struct giver giver;
    for (long number = 0;; number++) {
        struct mr_job job = MR_JOB_INIT;
        mr_result *result;
        struct mr_error error;
        cr_assert_lt(number, MOST_PASSES);
        giver.given = 0;
        job.input = from != NULL ? mr_input_result(from) : mr_input_iterator(give, &giver);
        job.map = place_map;
        job.order = MR_ORDER_KEY;
        fail_call(number);
        enum stook_status status = run(executor, &job, &result, &error);
        const bool failed = has_failed();
        fail_none();
        if (status == STOOK_OK) {
            cr_assert_eq(mr_result_count(result), GIVEN);
            mr_result_destroy(result);
        } else {
            cr_assert(failed);
            cr_assert_eq(status, STOOK_NOMEM);
            cr_assert_eq(result, UNTOUCHED(mr_result));
            expect_failure(&error, STOOK_NOMEM);
        }
        if (!failed) {
            return;
        }
    }
}

Test(mr_fail_input, B31_memory_for_items, .timeout = 120)
{
    for (unsigned workers = 0; workers <= 2; workers++) {
        const long before = atomic_load(&blocks);
        stook_executor *executor = workers > 0 ? must_create(workers) : NULL;
        check_items(executor, NULL);
        mr_result *from = give_result(executor, 0);
        check_items(executor, from);
        mr_result_destroy(from);
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&blocks), before);
    }
}

/* --- results in files ------------------------------------------------------------------------- */

static int size_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    (void)user;
    return mr_emit_u64(out, mr_slice_str("size"), item->data.size + item->value.size);
}

static int give_much(struct mr_slice *ret_item, void *user)
{
    static char bytes[20000];
    uint64_t *given = user;
    *ret_item = mr_slice_of(bytes, sizeof bytes);
    return ++*given <= 500;
}

/* Each read of the files fails once, and each allocation; the job must not take what was read for
 * all there is. */
Test(mr_fail_input, a_result_that_cannot_be_read_fails_the_next_job, .timeout = 240)
{
    stook_executor *executor = must_create(2);
    for (unsigned how = 0; how < 8; how++) {
        struct mr_job job = MR_JOB_INIT;
        struct mr_pair pair;
        struct mr_error error;
        mr_result *result;
        uint64_t given = 0;
        unsigned failures = 0;
        const bool in_memory = how / 2 % 2;
        job.input = mr_input_iterator(give_much, &given);
        job.map = place_map;
        job.order = how % 2 ? MR_ORDER_KEY : MR_ORDER_NONE;
        job.memory_limit = MR_LEAST_MEMORY;
        mr_result *from = must_run(executor, &job);
        job = (struct mr_job)MR_JOB_INIT;
        job.input = mr_input_result(from);
        job.map = size_map;
        job.combine = mr_sum_u64;
        bool has_met = true;
        for (long number = 0; has_met; number++) {
            cr_assert_lt(number, MOST_PASSES);
            reads.code = EIO;
            if (in_memory) {
                fail_call(number);
            } else {
                atomic_store(&reads.left, number);
            }
            enum stook_status status = run(how < 4 ? executor : NULL, &job, &result, &error);
            has_met = in_memory ? has_failed() : atomic_load(&reads.left) < 0;
            fail_none();
            atomic_store(&reads.left, -1);
            if (status == STOOK_OK) {
                cr_assert(mr_result_next(result, &pair), "how %u, call %ld", how, number);
                cr_assert_eq(mr_slice_u64(pair.value), 500 * UINT64_C(20016));
                mr_result_destroy(result);
                cr_assert(!has_met || in_memory);
            } else {
                cr_assert_eq(status, in_memory ? STOOK_NOMEM : STOOK_IO, "%s", error.message);
                cr_assert_eq(result, UNTOUCHED(mr_result));
                expect_failure(&error, status);
                failures++;
            }
        }
        cr_assert_gt(failures, 3);
        mr_result_destroy(from);
    }
    stook_executor_destroy(executor);
}

/* --- calls that do less ----------------------------------------------------------------------- */

static void check_all_kinds(stook_executor *executor)
{
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct material material;
        mr_result *result;
        struct mr_error error;
        if (!can_code(coding_of((enum kind)kind))) {
            continue;
        }
        make_material(&material, (enum kind)kind);
        for (int sequential = 0; sequential < 2; sequential++) {
            fill(&material);
            const struct mr_job job = material_job(&material);
            atomic_store(&reads.refused, is_pipe((enum kind)kind) ? 3 : 0);
            cr_assert_eq(run(sequential ? NULL : executor, &job, &result, &error), STOOK_OK, "%s",
                         error.message);
            cr_assert_eq(atomic_load(&reads.refused), 0);
            empty(&material);
            expect_records(result, &material, &job);
        }
        end_material(&material);
    }
}

Test(mr_fail_input, short_and_interrupted_reads_are_gone_on_with, .timeout = 240)
{
    stook_executor *executor = must_create(2);
    reads.is_interrupted = true;
    reads.most = 777;
    check_all_kinds(executor);
    cr_assert_gt(atomic_load(&reads.interrupted), 1000);
    reads.most = 0;
    check_all_kinds(executor);
    stook_executor_destroy(executor);
}

/* --- no descriptors left ---------------------------------------------------------------------- */

Test(mr_fail_input, a_pipe_that_cannot_be_made_refuses_the_job, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct material material;
    mr_result *result;
    mr_run *submitted = UNTOUCHED(mr_run);
    mr_batch *batch = UNTOUCHED(mr_batch);
    struct mr_error error;
    make_material(&material, LINE_PIPE);
    fill(&material);
    const struct mr_job job = material_job(&material);
    reads.has_no_pipes = true;
    cr_assert_eq(run(executor, &job, &result, &error), STOOK_IO);
    cr_assert_eq(error.code, EMFILE);
    cr_assert_eq(error.phase, MR_PHASE_INPUT);
    cr_assert_neq(error.message[0], '\0');
    cr_assert_eq(result, UNTOUCHED(mr_result));
    cr_assert_eq(mr_submit(executor, &job, &submitted, NULL), STOOK_IO);
    cr_assert_eq(submitted, UNTOUCHED(mr_run));
    cr_assert_eq(mr_async_map(executor, &job, &batch, NULL), STOOK_IO);
    cr_assert_eq(batch, UNTOUCHED(mr_batch));
    cr_assert_eq(run(NULL, &job, &result, &error), STOOK_OK); /* it needs none */
    reads.has_no_pipes = false;
    expect_records(result, &material, &job);
    empty(&material);
    end_material(&material);
    stook_executor_destroy(executor);
}
