/* SPDX-License-Identifier: MIT
 *
 * Pipes that never get data: whoever waits for them is woken by a cancel, by a progress callback,
 * and by the failure of another source; in all states of a record or of compressed data.
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include "mr_records.h"

enum silence { NO_WRITER, NOTHING, PART_OF_RECORD, PART_OF_MEMBER, SILENCES };

/* The one who could write more, and does not. */
struct silent {
    char *path;
    int writer;
    struct mr_source source;
};

static void make_silent(struct silent *silent, enum silence silence)
{
    int ends[2];
    silent->path = NULL;
    silent->writer = -1;
    if (silence == NO_WRITER) {
        silent->path = make_name();
        MUST(mkfifo(silent->path, 0600) == 0);
        silent->source = (struct mr_source){.path = silent->path};
        return;
    }
    MUST(pipe(ends) == 0);
    silent->writer = ends[1];
    silent->source = (struct mr_source){.descriptor = ends[0]};
    if (silence == PART_OF_RECORD) {
        MUST(write(ends[1], "record\nno end", 13) == 13);
    } else if (silence == PART_OF_MEMBER && can_code(GZIP)) {
        const struct mr_slice coded = code_text(GZIP, mr_slice_str("record\nrecord\n"), 1);
        MUST(write(ends[1], coded.data, coded.size - 9) == (ssize_t)coded.size - 9);
        free_slice(coded);
    }
}

static void end_silent(const struct silent *silent)
{
    if (silent->path != NULL) {
        remove_file(silent->path);
    } else {
        MUST(close(silent->writer) == 0 && close(silent->source.descriptor) == 0);
    }
}

static struct mr_job silent_job(const struct silent *silent, unsigned how)
{
    struct mr_job job = place_job(&silent->source, 1);
    job.input.records = how == 1   ? MR_RECORDS_WHOLE
                        : how == 2 ? MR_RECORDS_FIXED
                        : how == 3 ? MR_RECORDS_SPLITTER
                                   : MR_RECORDS_DELIMITED;
    job.input.record_size = 100;
    job.input.splitter = counted_splitter;
    job.input.chunk = how == 4 ? 1 : MR_CHUNK_AUTO;
    return job;
}

Test(mr_silence, B91_cancel_ends_the_wait_for_data, .timeout = 120)
{
    for (unsigned i = 0; i < SILENCES * 5; i++) {
        stook_executor *executor = must_create(1 + i % 2);
        struct silent silent;
        struct mr_error error;
        mr_run *run;
        make_silent(&silent, (enum silence)(i / 5));
        const struct mr_job job = silent_job(&silent, i % 5);
        cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
        if (i % 3 > 0) {
            give_a_chance(); /* so that it waits already */
        }
        cr_assert_eq(mr_run_wait(run, 0, NULL), STOOK_TIMEOUT);
        if (i % 3 < 2) {
            mr_run_cancel(run);
            cr_assert_eq(mr_run_wait(run, STOOK_FOREVER, &error), STOOK_CANCELLED);
            cr_assert_eq(error.status, STOOK_CANCELLED);
            cr_assert_eq(mr_run_state(run), MR_RUN_CANCELLED);
            mr_run_cancel(run);
        }
        mr_run_release(run);
        cr_assert(still_works(executor));
        stook_executor_destroy(executor);
        end_silent(&silent);
    }
}

Test(mr_silence, B91_a_batch_that_waits_for_data_can_be_destroyed, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    for (unsigned i = 0; i < 2 * SILENCES; i++) {
        struct silent silent;
        mr_batch *batch;
        make_silent(&silent, (enum silence)(i / 2));
        const struct mr_job job = silent_job(&silent, 0);
        cr_assert_eq(mr_async_map(executor, &job, &batch, NULL), STOOK_OK);
        if (i % 2) {
            mr_batch_cancel(batch);
            cr_assert_eq(mr_report_progress(batch, NULL, NULL, NULL, 0), STOOK_CANCELLED);
        }
        mr_batch_destroy(batch);
        end_silent(&silent);
    }
    cr_assert(still_works(executor));
    stook_executor_destroy(executor);
}

static int refuse(const char *tag, uint64_t done, uint64_t not_done, void *user)
{
    atomic_uint *calls = user;
    (void)tag;
    (void)done;
    (void)not_done;
    return atomic_fetch_add(calls, 1) == 2;
}

Test(mr_silence, B87_progress_may_end_the_wait_for_data, .timeout = 60)
{
    for (unsigned i = 0; i < SILENCES; i++) {
        stook_executor *executor = must_create(1);
        atomic_uint calls = 0;
        struct silent silent;
        struct mr_error error;
        mr_result *result = UNTOUCHED(mr_result);
        make_silent(&silent, (enum silence)i);
        struct mr_job job = silent_job(&silent, 0);
        job.progress = refuse;
        job.progress_period_ns = MILLISECOND;
        job.user = &calls;
        cr_assert_eq(mr_map_reduce(executor, &job, &result, &error), STOOK_CANCELLED);
        cr_assert_eq(result, UNTOUCHED(mr_result));
        cr_assert_eq(atomic_load(&calls), 3);
        stook_executor_destroy(executor);
        end_silent(&silent);
    }
}

/* While one source waits for data, another fails. */
Test(mr_silence, a_failure_ends_the_wait_for_data, .timeout = 60)
{
    for (unsigned i = 0; i < 4; i++) {
        stook_executor *executor = must_create(1 + i % 2);
        struct silent silent;
        make_silent(&silent, NOTHING);
        const struct mr_source bad = {.path = "/proc/self/mem"};
        const struct mr_source sources[] = {i < 2 ? silent.source : bad,
                                            i < 2 ? bad : silent.source, silent.source};
        struct mr_job job = place_job(sources, 3);
        struct mr_error error;
        mr_result *result = UNTOUCHED(mr_result);
        cr_assert_eq(mr_map_reduce(executor, &job, &result, &error), STOOK_IO);
        cr_assert_eq(result, UNTOUCHED(mr_result));
        cr_assert_eq(error.phase, MR_PHASE_INPUT);
        cr_assert_eq(error.source, i < 2);
        cr_assert_not_null(strstr(error.message, "cannot read '/proc/self/mem'"));
        stook_executor_destroy(executor);
        end_silent(&silent);
    }
}

/* A reader that waits is a task that runs: shutdown leaves it alone, cancel ends it. */
Test(mr_silence, B95_shutdown_while_it_waits_for_data, .timeout = 60)
{
    for (unsigned i = 0; i < 4; i++) {
        stook_executor *executor = must_create(1 + i % 2);
        struct silent silent;
        mr_run *run;
        make_silent(&silent, i < 2 ? NOTHING : NO_WRITER);
        const struct mr_job job = silent_job(&silent, 0);
        cr_assert_eq(mr_submit(executor, &job, &run, NULL), STOOK_OK);
        enum stook_status status = stook_executor_shutdown(executor, STOOK_CANCEL_PENDING, 0);
        cr_assert(status == STOOK_TIMEOUT || status == STOOK_OK);
        mr_run_cancel(run);
        status = mr_run_wait(run, STOOK_FOREVER, NULL);
        cr_assert(status == STOOK_CANCELLED || status == STOOK_SHUTDOWN);
        mr_run_release(run);
        stook_executor_destroy(executor);
        end_silent(&silent);
    }
}
