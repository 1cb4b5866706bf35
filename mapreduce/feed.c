/* SPDX-License-Identifier: MIT
 *
 * Inputs that can only be taken one after the other: sources that are read once, callbacks that
 * give items, results. One task for each takes windows: bytes cut behind the last whole record, or
 * a number of items. It hands them to tasks of its own scope, while there are less than a few for
 * each worker under way; what is more it maps itself. So memory is bounded, and nobody waits for
 * room.
 *
 * Windows belong to the feed, whoever fills or maps them. The mutex is taken a few times for each
 * window.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "feed.h"

enum {
    WINDOWS_PER_WORKER = 2,
    LARGEST_KEPT = 1 << 22 /* a buffer that grew beyond is freed after its window */
};

/* --- the feed --------------------------------------------------------------------------------- */

static bool make_pipe(int ends[2])
{
    if (pipe(ends) != 0) {
        ends[0] = ends[1] = -1;
        return false;
    }
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return true;
}

enum stook_status mr__feed_create(struct mr__feed **ret_feed, mr_batch *batch,
                                  const struct mr_job *job, const struct mr__plan *plan,
                                  struct mr__control *control, struct mr__budget *budget,
                                  mr_emitter *out, struct mr_error *ret_error)
{
    struct mr__feed *feed = calloc(1, sizeof *feed);

    if (!feed || mtx_init(&feed->mutex, mtx_plain) != thrd_success) {
        free(feed);
        return mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_NONE);
    }
    feed->batch = batch;
    feed->out = out;
    feed->job = job;
    feed->plan = plan;
    feed->control = control;
    feed->budget = budget;
    feed->wake[0] = feed->wake[1] = -1;
    if (batch) {
        feed->most = stook_executor_worker_count(batch->executor) * WINDOWS_PER_WORKER;
    }
    if (batch && plan->may_block && !make_pipe(feed->wake)) {
        int code = errno;
        mr__feed_destroy(feed);
        return mr__error_set(ret_error, STOOK_IO, MR_PHASE_INPUT, code,
                             "cannot make a pipe: no descriptor is left");
    }
    control->wake = feed->wake[1];
    *ret_feed = feed;
    return STOOK_OK;
}

static void drop_buffer(struct mr__window *window)
{
    mr__deallocate(window->feed->budget, window->buffer, window->capacity);
    window->buffer = NULL;
    window->capacity = 0;
}

void mr__feed_destroy(struct mr__feed *feed)
{
    if (!feed) {
        return;
    }
    while (feed->all) {
        struct mr__window *window = feed->all;
        feed->all = window->next;
        drop_buffer(window);
        free(window->items);
        free(window);
    }
    if (feed->wake[0] >= 0) {
        feed->control->wake = -1;
        close(feed->wake[0]);
        close(feed->wake[1]);
    }
    mtx_destroy(&feed->mutex);
    free(feed);
}

uint64_t mr__feed_taken(struct mr__feed *feed)
{
    if (!feed) {
        return 0;
    }
    mtx_lock(&feed->mutex);
    uint64_t taken = feed->taken;
    mtx_unlock(&feed->mutex);
    return taken;
}

void mr__feed_count(struct mr__feed *feed, uint64_t units)
{
    mtx_lock(&feed->mutex);
    feed->taken += units;
    mtx_unlock(&feed->mutex);
}

enum stook_status mr__feed_fail(struct mr__feed *feed, const struct mr_error *error)
{
    mr__control_fail(feed->control, error);
    return error->status;
}

enum stook_status mr__feed_fail_plain(struct mr__feed *feed, enum stook_status status)
{
    struct mr_error error;

    mr__error_plain(&error, status, MR_PHASE_INPUT);
    return mr__feed_fail(feed, &error);
}

/* --- windows ---------------------------------------------------------------------------------- */

struct mr__window *mr__window_take(struct mr__feeder *feeder)
{
    struct mr__feed *feed = feeder->feed;

    mtx_lock(&feed->mutex);
    struct mr__window *window = feed->free;
    if (window) {
        feed->free = window->next_free;
    }
    mtx_unlock(&feed->mutex);
    if (!window) {
        window = calloc(1, sizeof *window);
        if (!window) {
            return NULL;
        }
        window->feed = feed;
        mtx_lock(&feed->mutex);
        window->next = feed->all;
        feed->all = window;
        mtx_unlock(&feed->mutex);
    }
    window->split = feeder->split;
    window->text = (struct mr__text){.data = window->buffer, .source = feeder->split->source};
    window->item_count = 0;
    return window;
}

void mr__window_put(struct mr__window *window, bool was_under_way)
{
    struct mr__feed *feed = window->feed;

    if (window->capacity > LARGEST_KEPT) {
        drop_buffer(window);
    }
    mtx_lock(&feed->mutex);
    window->next_free = feed->free;
    feed->free = window;
    feed->under_way -= was_under_way;
    mtx_unlock(&feed->mutex);
}

bool mr__window_reserve(struct mr__window *window, size_t size)
{
    if (size > window->capacity) {
        unsigned char *bigger = size <= SIZE_MAX / 2
                                    ? mr__reallocate(window->feed->budget, window->buffer,
                                                     window->capacity, window->text.size, size)
                                    : NULL;
        if (!bigger) {
            return false;
        }
        window->buffer = bigger;
        window->capacity = size;
    }
    window->text.data = window->buffer;
    return true;
}

static void map_items(const struct mr__window *window, mr_emitter *out)
{
    for (size_t i = 0; i < window->item_count; i++) {
        struct mr_item item = {.data = window->items[i].key,
                               .index = window->text.offset + i,
                               .value = window->items[i].value};
        if (!mr__map_item(out, &item)) {
            return;
        }
        mr__segment_progress(out->segment, 1);
    }
}

static void map_window(void *arg, mr_emitter *out)
{
    struct mr__window *window = arg;
    const struct mr__cutter *cutter = &window->feed->plan->cutter;

    if (!cutter->input->sources) {
        map_items(window, out);
    } else if (cutter->input->records == MR_RECORDS_SPLITTER) {
        mr__map_splitter(cutter, &window->text, &window->used, out);
    } else {
        mr__map_records(cutter, &window->text, 0, 0, window->text.size, out);
    }
}

static int window_task(void *arg, void **ret_value)
{
    struct mr__window *window = arg;
    struct mr__feed *feed = window->feed;
    int status = STOOK_CANCELLED;
    (void)ret_value;

    if (!mr__control_stopped(feed->control)) {
        status = mr__batch_map(feed->batch, window->split, map_window, window);
    }
    mr__window_put(window, true);
    return status;
}

/* --- handing windows over --------------------------------------------------------------------- */

enum stook_status mr__window_map(struct mr__window *window)
{
    struct mr__feed *feed = window->feed;

    if (mr__control_stopped(feed->control)) {
        return STOOK_CANCELLED;
    }
    if (feed->batch) {
        return mr__batch_map(feed->batch, window->split, map_window, window);
    }
    map_window(window, feed->out);
    return feed->out->status;
}

static bool begin_window(struct mr__feed *feed)
{
    mtx_lock(&feed->mutex);
    bool may = feed->under_way < feed->most;
    feed->under_way += may;
    mtx_unlock(&feed->mutex);
    return may;
}

static enum stook_status submit(struct mr__feeder *feeder, struct mr__window *window)
{
    mr_batch *batch = feeder->feed->batch;
    struct stook_submit_options options = mr__batch_options(batch);
    enum stook_status status = STOOK_OK;

    if (!feeder->scope) {
        status = stook_scope_create(batch->executor, NULL, &feeder->scope);
    }
    if (status == STOOK_OK) {
        options.scope = feeder->scope;
        options.when_full = STOOK_WHEN_FULL_FAIL;
        status = stook_executor_submit_with(batch->executor, &options, window_task, window, NULL);
    }
    return status;
}

/* A window that was cancelled though the job was not stopped has lost its executor. */
static bool has_lost(const struct mr__feeder *feeder, const struct stook_scope_outcome *outcome)
{
    return outcome->cancelled > 0 && !mr__control_stopped(feeder->feed->control);
}

/* Of those that were handed over. They stay under way, so that no other follows that would be
 * refused. */
static bool windows_were_lost(const struct mr__feeder *feeder)
{
    struct stook_scope_outcome outcome = {0};

    if (feeder->scope) {
        enum stook_status status = stook_scope_wait_until(feeder->scope, 0, &outcome);
        (void)status; /* it does not wait */
    }
    return has_lost(feeder, &outcome);
}

enum stook_status mr__window_hand_over(struct mr__feeder *feeder, struct mr__window *window)
{
    struct mr__feed *feed = feeder->feed;

    if (begin_window(feed)) {
        enum stook_status status = submit(feeder, window);
        if (status == STOOK_OK) {
            return STOOK_OK;
        }
        mtx_lock(&feed->mutex);
        feed->under_way--;
        mtx_unlock(&feed->mutex);
        if (status == STOOK_SHUTDOWN || status == STOOK_BROKEN || status == STOOK_FORKED) {
            return mr__feed_fail_plain(feed, status);
        }
    } else if (windows_were_lost(feeder)) {
        return mr__feed_fail_plain(feed, STOOK_SHUTDOWN);
    }
    enum stook_status status = mr__window_map(window);
    mr__window_put(window, false);
    return status;
}

/* Waits for the windows that were handed over. */
static void finish(struct mr__feeder *feeder)
{
    struct stook_scope_outcome outcome = {0};
    enum stook_status status;

    if (!feeder->scope) {
        return;
    }
    do {
        status = stook_scope_wait_until(feeder->scope, STOOK_FOREVER, &outcome);
        if (status == STOOK_DEADLOCK) {
            thrd_yield(); /* as in batch.c: nothing is freed under a running task */
        }
    } while (status == STOOK_DEADLOCK);
    if (has_lost(feeder, &outcome)) {
        mr__feed_fail_plain(feeder->feed, STOOK_SHUTDOWN);
    }
    stook_scope_destroy(feeder->scope);
}

enum stook_status mr__feed_run(struct mr__feed *feed, const struct mr__split *split)
{
    struct mr__feeder feeder = {.feed = feed, .split = split};
    enum stook_status status =
        split->way == MR_WAY_READ ? mr__feed_text(&feeder) : mr__feed_items(&feeder);

    finish(&feeder);
    return status;
}
