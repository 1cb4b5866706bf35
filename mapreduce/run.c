/* SPDX-License-Identifier: MIT
 *
 * A job that runs by itself: a task of the executor makes the steps, one after the other, and waits
 * for each by running its tasks. Whoever waits for the run tells how far it is.
 */
#include <stdlib.h>
#include <stook/promise.h>
#include <string.h>
#include "mr_internal.h"

/* What is known of a phase whose progress is told. */
struct phase {
    bool has_begun, has_ended; /* ended: well */
    uint64_t total;            /* units, once it has ended */
    bool is_told;              /* its last call has been made; the waiter's */
};

struct mr_run {
    struct mr_job job;
    struct mr__context *context;
    mr_batch *mapped;     /* the driver's, once it runs */
    stook_promise *turn;  /* NULL: nobody is told; else completed when there is more to tell than */
    stook_future *turned; /* that a phase goes on: reducing has begun, or all has ended */
    stook_future *driver;
    mtx_t mutex;     /* guards the rest, but for what the waiter has of a phase */
    mr_batch *batch; /* under way; its progress may be asked for */
    enum mr_run_state state;
    struct phase phases[2]; /* map, reduce */
    struct mr_error error;
    mr_result *result;
    bool is_refused; /* by a progress callback, which is never called again; the waiter's */
};

static const char *const tags[] = {"map", "reduce"};

/* --- the driver ------------------------------------------------------------------------------- */

static void set_state(mr_run *run, enum mr_run_state state)
{
    mtx_lock(&run->mutex);
    run->state = state;
    mtx_unlock(&run->mutex);
}

/* From now on the progress of the batch can be asked for. */
static void begin(mr_run *run, mr_batch *batch, struct phase *phase)
{
    mtx_lock(&run->mutex);
    run->batch = batch;
    phase->has_begun = true;
    mtx_unlock(&run->mutex);
}

static enum stook_status finish(mr_run *run, mr_batch *batch, struct phase *phase)
{
    enum stook_status status = mr__batch_wait(batch);
    uint64_t done;
    uint64_t not_done;

    mr_batch_progress(batch, &done, &not_done);
    mtx_lock(&run->mutex);
    run->batch = NULL;
    phase->has_ended = status == STOOK_OK;
    phase->total = done + not_done;
    mtx_unlock(&run->mutex);
    if (status != STOOK_OK) {
        run->error = *mr_batch_error(batch);
    }
    return status;
}

static void turn(mr_run *run)
{
    if (run->turn) {
        enum stook_status status = stook_promise_complete(run->turn, 0, NULL);
        (void)status; /* only the first time */
    }
}

static enum stook_status shuffle(mr_run *run, mr_batch *batch, mr_groups **ret_groups)
{
    set_state(run, MR_RUN_SHUFFLING);
    return mr_shuffle(run->context->executor, batch, ret_groups, &run->error);
}

static enum stook_status reduce(mr_run *run, mr_groups *groups, mr_batch **ret_batch)
{
    set_state(run, MR_RUN_REDUCING);
    groups->is_consumed = true;
    enum stook_status status =
        mr_async_reduce(run->context->executor, groups, ret_batch, &run->error);

    if (status != STOOK_OK) {
        return status;
    }
    begin(run, *ret_batch, &run->phases[1]);
    turn(run);
    return finish(run, *ret_batch, &run->phases[1]);
}

static enum stook_status collect(mr_run *run, mr_batch *batch)
{
    enum stook_status status = mr_batch_result(batch, &run->result);

    if (status != STOOK_OK) {
        run->error = *mr_batch_error(batch);
    }
    return status;
}

static int drive(void *arg, void **ret_value)
{
    mr_run *run = arg;
    mr_groups *groups = NULL;
    mr_batch *reduced = NULL;
    (void)ret_value;

    enum stook_status status = finish(run, run->mapped, &run->phases[0]);
    if (status == STOOK_OK) {
        status = shuffle(run, run->mapped, &groups);
    }
    mr_batch_destroy(run->mapped);
    run->mapped = NULL;
    if (status == STOOK_OK) {
        status = reduce(run, groups, &reduced);
    }
    if (status == STOOK_OK) {
        status = collect(run, reduced);
    }
    mr_batch_destroy(reduced);
    mr_groups_destroy(groups);
    set_state(run, status == STOOK_OK          ? MR_RUN_DONE
                   : status == STOOK_CANCELLED ? MR_RUN_CANCELLED
                                               : MR_RUN_FAILED);
    turn(run);
    return (int)status;
}

/* Submits the tasks that map, and behind them the driver. */
static enum stook_status start(mr_run *run, struct mr_error *ret_error)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    enum stook_status status = STOOK_OK;

    if (run->job.progress) {
        status = stook_promise_create(NULL, &run->turn, &run->turned);
        if (status != STOOK_OK) {
            return mr__error_plain(ret_error, status, MR_PHASE_NONE);
        }
    }
    status = mr__async_map(run->context, &run->job, &run->mapped, ret_error);
    if (status != STOOK_OK) {
        return status;
    }
    begin(run, run->mapped, &run->phases[0]);
    run->state = MR_RUN_MAPPING;
    options.client = run->job.client;
    status = stook_executor_submit_with(run->context->executor, &options, drive, run, &run->driver);
    return status == STOOK_OK ? status : mr__error_plain(ret_error, status, MR_PHASE_NONE);
}

enum stook_status mr_submit(stook_executor *executor, const struct mr_job *job, mr_run **ret_run,
                            struct mr_error *ret_error)
{
    enum stook_status status = mr__job_check(job, ret_error);

    if (status != STOOK_OK) {
        return status;
    }
    if (!executor || !ret_run) {
        return mr__error_set(ret_error, STOOK_INVALID, MR_PHASE_NONE, 0,
                             "executor or ret_run is NULL");
    }
    mr_run *run = calloc(1, sizeof *run);
    if (!run) {
        return mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_NONE);
    }
    run->job = *job;
    run->context = mr__context_create(executor, job);
    if (!run->context || mtx_init(&run->mutex, mtx_plain) != thrd_success) {
        mr__context_release(run->context);
        free(run);
        return mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_NONE);
    }
    status = start(run, ret_error);
    if (status != STOOK_OK) {
        mr_run_release(run);
        return status;
    }
    *ret_run = run;
    return STOOK_OK;
}

/* --- looking ---------------------------------------------------------------------------------- */

/* Has a task that maps begun? The mutex is held. */
static bool has_begun(const mr_run *run)
{
    return !run->batch || mr__store_is_used(&run->batch->store);
}

enum mr_run_state mr_run_state(const mr_run *run)
{
    mtx_t *mutex = (mtx_t *)(uintptr_t)&run->mutex;

    mtx_lock(mutex);
    enum mr_run_state state = run->state;
    if (state == MR_RUN_MAPPING && !has_begun(run)) {
        state = MR_RUN_PENDING;
    }
    mtx_unlock(mutex);
    /* The driver has no say when it was cancelled before it began. */
    return stook_future_state(run->driver) == STOOK_STATE_CANCELLED ? MR_RUN_FAILED : state;
}

stook_future *mr_run_future(const mr_run *run)
{
    return run->driver;
}

/* False: it has not begun, or has failed, or has nothing to do and has not ended yet. */
static bool look(const mr_run *run, size_t phase, uint64_t *ret_done, uint64_t *ret_not_done)
{
    mtx_t *mutex = (mtx_t *)(uintptr_t)&run->mutex;
    const struct phase *of = &run->phases[phase];

    *ret_done = 0;
    *ret_not_done = 0;
    mtx_lock(mutex);
    const mr_batch *batch = run->batch;
    bool is_measured = batch && (batch->total > 0 || batch->feed);
    bool is_known = of->has_ended || (of->has_begun && is_measured);
    if (of->has_ended) {
        *ret_done = of->total;
    } else if (is_known) {
        mr_batch_progress(run->batch, ret_done, ret_not_done);
        if (*ret_not_done == 0) { /* it can still fail: one unit is held back */
            *ret_not_done = 1;
            *ret_done -= *ret_done > 0;
        }
    }
    mtx_unlock(mutex);
    return is_known;
}

enum stook_status mr_run_progress(const mr_run *run, enum mr_phase phase, uint64_t *ret_done,
                                  uint64_t *ret_not_done)
{
    if (phase != MR_PHASE_MAP && phase != MR_PHASE_REDUCE) {
        return STOOK_INVALID;
    }
    look(run, phase == MR_PHASE_REDUCE, ret_done, ret_not_done);
    return STOOK_OK;
}

void mr_run_stats(const mr_run *run, struct mr_stats *ret_stats)
{
    mr__context_stats(run->context, ret_stats);
}

uint64_t mr_run_counter(const mr_run *run, const char *name)
{
    uint64_t amount = 0;

    mtx_lock(&run->context->mutex);
    const struct mr__counters *counters = &run->context->counters;
    for (size_t i = 0; i < counters->count; i++) {
        if (strcmp(counters->all[i].name, name) == 0) {
            amount = counters->all[i].amount;
        }
    }
    mtx_unlock(&run->context->mutex);
    return amount;
}

size_t mr_run_bad_items(const mr_run *run, struct mr_error ret_errors[], size_t most)
{
    mtx_lock(&run->context->mutex);
    uint64_t bad = run->context->stats.bad_items;
    size_t count = bad < MR_BAD_SAMPLES ? (size_t)bad : MR_BAD_SAMPLES;
    count = count < most ? count : most;
    memcpy(ret_errors, run->context->bad_items, count * sizeof *ret_errors);
    mtx_unlock(&run->context->mutex);
    return count;
}

/* --- waiting ---------------------------------------------------------------------------------- */

/* Makes the calls that are due: the last one of each phase that has ended, and one of the phase
 * that is under way. */
static void tell(mr_run *run)
{
    for (size_t i = 0; i < 2 && !run->is_refused; i++) {
        struct phase *phase = &run->phases[i];
        uint64_t done;
        uint64_t not_done;
        if (phase->is_told) {
            continue;
        }
        if (!look(run, i, &done, &not_done)) {
            return;
        }
        phase->is_told = not_done == 0;
        if (run->job.progress(tags[i], done, not_done, run->job.user) != 0) {
            run->is_refused = true;
            mr_run_cancel(run);
        }
        if (!phase->is_told) {
            return;
        }
    }
}

/* How it has ended. */
static enum stook_status outcome(mr_run *run, struct mr_error *ret_error)
{
    enum stook_state state = stook_future_state(run->driver);

    if (state == STOOK_STATE_CANCELLED) { /* it never began */
        return mr__error_plain(ret_error, STOOK_SHUTDOWN, MR_PHASE_NONE);
    }
    if (run->state == MR_RUN_DONE && run->is_refused) { /* by the last call of all */
        return mr__error_plain(ret_error, STOOK_CANCELLED, MR_PHASE_REDUCE);
    }
    if (run->state != MR_RUN_DONE && ret_error) {
        *ret_error = run->error;
    }
    return run->state == MR_RUN_DONE ? STOOK_OK : run->error.status;
}

enum stook_status mr_run_wait(mr_run *run, int64_t deadline_ns, struct mr_error *ret_error)
{
    int64_t period_ns =
        run->job.progress_period_ns ? run->job.progress_period_ns : MR_DEFAULT_PERIOD_NS;

    for (;;) {
        int64_t until_ns = deadline_ns;
        if (run->job.progress && !run->is_refused) {
            int64_t next_ns;
            tell(run);
            next_ns = stook_deadline_after_ns(period_ns);
            until_ns = next_ns < deadline_ns ? next_ns : deadline_ns;
        }
        bool may_turn = run->turn && !run->is_refused && !stook_future_done(run->turned);
        stook_future *awaited = may_turn ? run->turned : run->driver;
        enum stook_status status = stook_future_wait_until(awaited, until_ns);
        if (status == STOOK_OK && awaited == run->turned) {
            continue;
        }
        if (status == STOOK_OK) {
            if (run->job.progress) {
                tell(run);
            }
            return outcome(run, ret_error);
        }
        if (status != STOOK_TIMEOUT || until_ns == deadline_ns) {
            return mr__error_plain(ret_error, status, MR_PHASE_NONE);
        }
    }
}

void mr_run_cancel(mr_run *run)
{
    mr__context_cancel(run->context);
}

mr_result *mr_run_take_result(mr_run *run)
{
    mtx_lock(&run->mutex);
    mr_result *result = run->state == MR_RUN_DONE ? run->result : NULL;
    if (result) {
        run->result = NULL;
    }
    mtx_unlock(&run->mutex);
    return result;
}

void mr_run_release(mr_run *run)
{
    if (!run) {
        return;
    }
    if (run->driver) {
        mr_run_cancel(run);
        while (stook_future_wait_until(run->driver, STOOK_FOREVER) != STOOK_OK) {
            thrd_yield(); /* in one of its own callbacks, which is the caller's bug */
        }
        stook_future_release(run->driver);
    }
    mr_batch_destroy(run->mapped); /* the driver has not run */
    stook_promise_release(run->turn);
    stook_future_release(run->turned);
    mr_result_destroy(run->result);
    mr__context_release(run->context);
    mtx_destroy(&run->mutex);
    free(run);
}
