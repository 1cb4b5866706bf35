/* SPDX-License-Identifier: MIT
 *
 * Waiting for a batch while telling how far it is: wakes when the work is done, and is limited to
 * one call a period.
 */
#include "mr_internal.h"

struct reporter {
    mr_batch *batch;
    const char *tag;
    mr_progress_fn *progress;
    void *user;
};

/* Makes one call; on a non-zero answer the batch is cancelled. `is_last`: the phase has ended well;
 * before that, what is not known to have ended is not done, though its items may all be. */
static void report(const struct reporter *reporter, bool is_last)
{
    mr_batch *batch = reporter->batch;
    uint64_t done;
    uint64_t not_done;

    mr_batch_progress(batch, &done, &not_done);
    if (!is_last && not_done == 0) {
        done -= done > 0;
        not_done = 1;
    }
    if (reporter->progress(reporter->tag, done, not_done, reporter->user) != 0) {
        mr_batch_cancel(batch);
    }
}

static bool may_report(const struct reporter *reporter)
{
    return reporter->progress && !mr__control_stopped(&reporter->batch->control);
}

/* Calls progress until the future is terminal or the batch is stopped. */
static void report_until_done(const struct reporter *reporter, stook_future *future,
                              int64_t *next_ns, int64_t period_ns)
{
    while (may_report(reporter) && stook_future_wait_until(future, *next_ns) == STOOK_TIMEOUT) {
        report(reporter, false);
        *next_ns = stook_deadline_after_ns(period_ns);
    }
}

enum stook_status mr_report_progress(mr_batch *batch, const char *tag, mr_progress_fn *progress,
                                     void *user, int64_t period_ns)
{
    const struct reporter reporter = {
        .batch = batch, .tag = tag, .progress = progress, .user = user};

    if (!batch || (progress && !tag) || period_ns < 0) {
        return STOOK_INVALID;
    }
    if (period_ns == 0) {
        period_ns = MR_DEFAULT_PERIOD_NS;
    }
    if (may_report(&reporter) && (batch->total > 0 || batch->feed)) {
        report(&reporter, false);
    }
    int64_t next_ns = stook_deadline_after_ns(period_ns);
    for (size_t i = 0; i < batch->count && may_report(&reporter); i++) {
        report_until_done(&reporter, batch->futures[i], &next_ns, period_ns);
    }
    enum stook_status status = mr__batch_wait(batch);
    if (status == STOOK_OK && progress) {
        report(&reporter, true);
        status = mr__control_outcome(&batch->control, NULL);
    }
    return status;
}
