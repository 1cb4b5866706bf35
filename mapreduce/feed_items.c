/* SPDX-License-Identifier: MIT
 *
 * Items that come one after the other: from a callback, or pairs of a result that are in files, both
 * copied, since they are valid until the next one; and other pairs of a result, which stay where they
 * are.
 */
#include <stdlib.h>
#include <string.h>
#include "feed.h"

enum {
    AUTO_BYTES = 1 << 16, /* with MR_CHUNK_AUTO a window also ends when it has so many */
    ALIGNMENT = 16
};

static size_t aligned(size_t size)
{
    return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static bool reserve_item(struct mr__window *window)
{
    if (window->item_count < window->item_capacity) {
        return true;
    }
    size_t capacity = window->item_capacity ? window->item_capacity * 2 : 16;
    struct mr_pair *bigger = NULL;
    if (capacity <= SIZE_MAX / 2 / sizeof *bigger) {
        bigger = realloc(window->items, capacity * sizeof *bigger);
    }
    if (!bigger) {
        return false;
    }
    window->items = bigger;
    window->item_capacity = capacity;
    return true;
}

static bool copy_bytes(struct mr__window *window, struct mr_slice bytes)
{
    size_t at = window->text.size;

    if (bytes.size > SIZE_MAX / 4) {
        return false;
    }
    size_t end = at + aligned(bytes.size);
    if (end > window->capacity) {
        size_t capacity = window->capacity > SIZE_MAX / 4 ? end : window->capacity * 2;
        if (!mr__window_reserve(window, capacity > end ? capacity : end)) {
            return false;
        }
    }
    if (bytes.size > 0) {
        memcpy(window->buffer + at, bytes.data, bytes.size);
    }
    window->text.size = end;
    return true;
}

/* Appends the bytes of an item; where they are is settled when the window is full. */
static bool copy_item(struct mr__window *window, struct mr_pair item)
{
    if (!reserve_item(window) || !copy_bytes(window, item.key) || !copy_bytes(window, item.value)) {
        return false;
    }
    window->items[window->item_count++] = item;
    return true;
}

static void settle(struct mr__window *window)
{
    size_t at = 0;

    for (size_t i = 0; i < window->item_count; i++) {
        struct mr_slice *key = &window->items[i].key;
        struct mr_slice *value = &window->items[i].value;
        key->data = window->buffer ? window->buffer + at : NULL;
        at += aligned(key->size);
        value->data = value->size > 0 ? window->buffer + at : NULL;
        at += aligned(value->size);
    }
}

static enum stook_status fail_item(struct mr__feed *feed, const struct mr__window *window,
                                   enum stook_status status, int code, const char *what)
{
    unsigned long long number = window->text.offset + window->item_count;
    struct mr_error error;

    if (code != 0) {
        mr__error_set(&error, status, MR_PHASE_INPUT, code, "next failed with code %d at item %llu",
                      code, number);
    } else {
        mr__error_set(&error, status, MR_PHASE_INPUT, 0, "%s at item %llu", what, number);
    }
    error.item = number;
    return mr__feed_fail(feed, &error);
}

/* Takes one item from the callback; *ret_ends: there was none. */
static enum stook_status take_next(struct mr__feed *feed, struct mr__window *window, bool *ret_ends)
{
    const struct mr_input *input = &feed->job->input;
    struct mr_slice data = mr_slice_of(NULL, 0);
    int code = input->next(&data, input->next_user);

    *ret_ends = code <= 0;
    if (code < 0) {
        return fail_item(feed, window, STOOK_TASK_FAILED, code, NULL);
    }
    if (code == 0) {
        return STOOK_OK;
    }
    if (!data.data && data.size > 0) {
        return fail_item(feed, window, STOOK_INVALID, 0, "next gave a size without data");
    }
    if (!copy_item(window, (struct mr_pair){.key = data})) {
        return fail_item(feed, window, STOOK_NOMEM, 0, stook_status_string(STOOK_NOMEM));
    }
    return STOOK_OK;
}

/* Then a pair is valid until the next one only. */
static bool is_in_files(const mr_result *result)
{
    return result->runs.count > 0;
}

static enum stook_status fail_read(struct mr__feed *feed, const struct mr__window *window)
{
    struct mr_error error;

    mr_result_status(feed->job->input.result, &error);
    error.phase = MR_PHASE_INPUT;
    error.item = window->text.offset + window->item_count;
    return mr__feed_fail(feed, &error);
}

static enum stook_status take_pair(struct mr__feed *feed, struct mr__window *window, bool *ret_ends)
{
    mr_result *result = feed->job->input.result;
    struct mr_pair pair;
    bool is_kept;

    *ret_ends = !mr_result_next(result, &pair);
    if (*ret_ends) {
        return mr_result_status(result, NULL) == STOOK_OK ? STOOK_OK : fail_read(feed, window);
    }
    if (is_in_files(result)) {
        is_kept = copy_item(window, pair);
    } else {
        is_kept = reserve_item(window);
        if (is_kept) {
            window->items[window->item_count++] = pair;
        }
    }
    return is_kept ? STOOK_OK
                   : fail_item(feed, window, STOOK_NOMEM, 0, stook_status_string(STOOK_NOMEM));
}

/* Takes items until the window is full, or there are no more. */
static enum stook_status fill(struct mr__feed *feed, struct mr__window *window, bool *ret_ends)
{
    const struct mr_input *input = &feed->job->input;
    size_t most_bytes = input->chunk == MR_CHUNK_AUTO ? AUTO_BYTES : SIZE_MAX;
    enum stook_status status = STOOK_OK;

    while (status == STOOK_OK && !*ret_ends && window->item_count < feed->plan->window &&
           window->text.size < most_bytes) {
        if (mr__control_stopped(feed->control)) {
            return STOOK_CANCELLED;
        }
        status =
            input->next ? take_next(feed, window, ret_ends) : take_pair(feed, window, ret_ends);
    }
    if (input->next || is_in_files(input->result)) {
        settle(window);
    }
    if (input->next) {
        mr__feed_count(feed, window->item_count);
    }
    return status;
}

enum stook_status mr__feed_items(struct mr__feeder *feeder)
{
    struct mr__feed *feed = feeder->feed;
    enum stook_status status = STOOK_OK;
    uint64_t number = 0;
    bool ends = false;

    while (status == STOOK_OK && !ends) {
        struct mr__window *window = mr__window_take(feeder);
        if (!window) {
            return mr__feed_fail_plain(feed, STOOK_NOMEM);
        }
        window->text.offset = number;
        status = fill(feed, window, &ends);
        number += window->item_count;
        if (status != STOOK_OK || window->item_count == 0) {
            mr__window_put(window, false);
        } else {
            status = mr__window_hand_over(feeder, window);
        }
    }
    return status;
}
