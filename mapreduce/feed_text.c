/* SPDX-License-Identifier: MIT
 *
 * A source that is taken from begin to end: read once, or cut by a splitter, or one record. What is
 * behind the last whole record of a window begins the next one; a window without any grows.
 */
#include <stdlib.h>
#include <string.h>
#include "feed.h"

/* For `want` bytes; twice as much as before, unless it is known how many there are. */
static size_t next_capacity(const struct mr__feeder *feeder, const struct mr__window *window,
                            size_t want)
{
    uint64_t end = feeder->split->end;
    size_t more = window->capacity ? window->capacity * 2 : MR_FIRST_BUFFER;

    if (end != MR_SIZE_UNKNOWN) {
        uint64_t left = end - window->text.offset; /* of which 1 byte is read at least */
        return left == 0 ? 1 : left < want ? (size_t)left : want;
    }
    return more < want ? more : want;
}

/* Reads until the window has `want` bytes, or its source ends. */
static enum stook_status fill(struct mr__feeder *feeder, struct mr__window *window, size_t want,
                              struct mr_error *error)
{
    struct mr__feed *feed = feeder->feed;
    struct mr__text *text = &window->text;
    size_t before = text->size;
    enum stook_status status = STOOK_OK;

    while (status == STOOK_OK && text->size < want && !text->ends) {
        size_t got = 0;
        if (text->size == window->capacity &&
            !mr__window_reserve(window, next_capacity(feeder, window, want))) {
            return mr__source_error(error, STOOK_NOMEM, &feed->job->input.sources[text->source],
                                    text->source, text->offset, "out of memory for a record of", 0,
                                    NULL);
        }
        size_t room = (want < window->capacity ? want : window->capacity) - text->size;
        status = mr__stream_read(feeder->stream, window->buffer + text->size, room, &got, error);
        text->size += got;
        text->ends =
            status == STOOK_OK && (got == 0 || text->offset + text->size == feeder->split->end);
    }
    if (feeder->split->end == MR_SIZE_UNKNOWN) {
        mr__feed_count(feed, text->size - before);
    }
    return status;
}

/* How much to read so that there is more than `left` bytes, which are not a whole record. */
static size_t next_want(const struct mr__feeder *feeder, size_t left)
{
    return left <= feeder->feed->plan->window / 2 ? feeder->feed->plan->window
           : left <= SIZE_MAX / 4                 ? 2 * left
                                                  : SIZE_MAX;
}

/* Drops the first bytes, which were mapped. */
static void shift(struct mr__window *window, size_t used)
{
    struct mr__text *text = &window->text;

    if (used > 0) {
        memmove(window->buffer, window->buffer + used, text->size - used);
        text->offset += used;
        text->size -= used;
    }
}

static enum stook_status feed_splitter(struct mr__feeder *feeder, struct mr__window *window,
                                       struct mr_error *error)
{
    struct mr__text *text = &window->text;
    enum stook_status status = STOOK_OK;

    while (status == STOOK_OK && !text->ends) {
        status = fill(feeder, window, next_want(feeder, text->size), error);
        if (status != STOOK_OK) {
            return mr__feed_fail(feeder->feed, error);
        }
        if (text->size > 0) {
            window->used = 0;
            status = mr__window_map(window);
            shift(window, window->used);
        }
    }
    return status;
}

/* Hands the first `cut` bytes over; *window is then another one, which begins with the rest. */
static enum stook_status hand_over(struct mr__feeder *feeder, struct mr__window **window,
                                   size_t cut, struct mr_error *error)
{
    struct mr__window *full = *window;
    const struct mr__text *text = &full->text;
    struct mr__window *next = mr__window_take(feeder);
    size_t rest = text->size - cut;

    if (!next || !mr__window_reserve(next, rest > MR_FIRST_BUFFER ? rest : MR_FIRST_BUFFER)) {
        if (next) {
            mr__window_put(next, false);
        }
        mr__source_error(error, STOOK_NOMEM, &feeder->feed->job->input.sources[text->source],
                         text->source, text->offset, "out of memory for", 0, NULL);
        return mr__feed_fail(feeder->feed, error);
    }
    if (rest > 0) {
        memcpy(next->buffer, text->data + cut, rest);
    }
    next->text.size = rest;
    next->text.offset = text->offset + cut;
    full->text.size = cut;
    *window = next;
    return mr__window_hand_over(feeder, full);
}

/* The bytes behind the last record of a fixed size. */
static enum stook_status fail_rest(struct mr__feeder *feeder, const struct mr__text *text,
                                   size_t whole, struct mr_error *error)
{
    mr__source_error(error, STOOK_IO, &feeder->feed->job->input.sources[text->source], text->source,
                     text->offset + whole, "less than a record at the end of", 0, NULL);
    return mr__feed_fail(feeder->feed, error);
}

/* Delimited, fixed or one record. */
static enum stook_status feed_records(struct mr__feeder *feeder, struct mr__window **window,
                                      struct mr_error *error)
{
    const struct mr__cutter *cutter = &feeder->feed->plan->cutter;
    enum mr_records records = cutter->input->records;
    size_t seen = 0;

    for (;;) {
        const struct mr__text *text = &(*window)->text;
        size_t want = records == MR_RECORDS_WHOLE ? SIZE_MAX : next_want(feeder, text->size);
        enum stook_status status = fill(feeder, *window, want, error);
        if (status != STOOK_OK) {
            return mr__feed_fail(feeder->feed, error);
        }
        if (text->ends) {
            if (records == MR_RECORDS_FIXED && text->size % cutter->input->record_size != 0) {
                return fail_rest(feeder, text, mr__whole_records(cutter, text, 0), error);
            }
            bool is_something = text->size > 0 || records == MR_RECORDS_WHOLE;
            return is_something ? mr__window_map(*window) : STOOK_OK;
        }
        size_t cut = mr__whole_records(cutter, text, seen);
        seen = text->size - cut; /* of the next window, or of this one */
        if (cut > 0) {
            status = hand_over(feeder, window, cut, error);
            if (status != STOOK_OK) {
                return status;
            }
        }
    }
}

static enum stook_status feed_source(struct mr__feeder *feeder, struct mr__window **window,
                                     struct mr_error *error)
{
    struct mr__feed *feed = feeder->feed;
    enum stook_status status = mr__stream_open(&feeder->stream, &feed->job->input, feeder->split,
                                               feed->control, feed->wake[0], error);

    if (status != STOOK_OK) {
        return mr__feed_fail(feed, error);
    }
    status = feed->job->input.records == MR_RECORDS_SPLITTER ? feed_splitter(feeder, *window, error)
                                                             : feed_records(feeder, window, error);
    mr__stream_close(feeder->stream);
    return status;
}

/* A source whose bytes are in place. */
static enum stook_status feed_view(struct mr__feeder *feeder, struct mr__window *window,
                                   struct mr_error *error)
{
    const struct mr__split *split = feeder->split;
    const struct mr_source *source = &feeder->feed->job->input.sources[split->source];
    struct mr__view view;

    if (mr__view_open(&view, source, split->source, 0, split->end, error) != STOOK_OK) {
        return mr__feed_fail(feeder->feed, error);
    }
    window->text.data = view.data;
    window->text.size = view.size;
    window->text.ends = true;
    enum stook_status status = mr__window_map(window);
    mr__view_close(&view);
    return status;
}

enum stook_status mr__feed_text(struct mr__feeder *feeder)
{
    struct mr__feed *feed = feeder->feed;
    const struct mr_input *input = &feed->job->input;
    const struct mr__split *split = feeder->split;
    const struct mr_source *source = &input->sources[split->source];
    struct mr__window *window = mr__window_take(feeder);
    struct mr_error error;

    if (!window) {
        return mr__feed_fail_plain(feed, STOOK_NOMEM);
    }
    bool is_in_place = split->end != MR_SIZE_UNKNOWN && (!source->path || input->map_files);
    enum stook_status status =
        is_in_place ? feed_view(feeder, window, &error) : feed_source(feeder, &window, &error);
    mr__window_put(window, false);
    return status;
}
