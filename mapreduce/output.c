/* SPDX-License-Identifier: MIT
 *
 * Writing a result to a descriptor: by the caller alone; or in pieces, whose lines are made by
 * tasks while the caller writes those before.
 */
#include <stdio.h>
#include <stook/stream.h>
#include "lines.h"

enum {
    FIRST_PIECE = 64, /* places */
    LARGEST_PIECE = 1 << 12,
    PIECE_BYTES = 1 << 18, /* what a piece should become: enough for a write, little for a cache */
    LOOK_AHEAD = 8
};

static enum stook_status write_alone(mr_result *result, int descriptor, struct mr__form form,
                                     struct mr_error *error)
{
    struct mr_text lines;
    char target[32];
    enum stook_status status = mr__lines_init(&lines, form, error);

    if (status == STOOK_OK) {
        snprintf(target, sizeof target, "descriptor %d", descriptor);
        lines.file = descriptor;
        lines.target = target;
        status = mr__lines_write_pairs(&lines, result, UINT64_MAX);
    }
    mr__lines_fini(&lines);
    return status;
}

/* --- in pieces -------------------------------------------------------------------------------- */

/* The lines of some places, and what went wrong. */
struct piece {
    struct mr__places places;
    uint64_t size; /* places that there were */
    struct mr__form form;
    struct mr_text lines; /* the buffer is kept from one use to the next */
    struct mr_error error;
};

/* Each is used again when it has been written. */
struct pieces {
    struct mr__places rest;
    size_t next;
    struct piece all[LOOK_AHEAD + 2]; /* the stream's, one being written, one being asked for */
};

/* So many places as would have made PIECE_BYTES the last time, or not many more than then. */
static uint64_t next_size(const struct piece *piece)
{
    uint64_t bytes = piece->lines.used + 1;
    uint64_t size = piece->size ? piece->size * PIECE_BYTES / bytes : FIRST_PIECE;

    size = piece->size && size > piece->size * 8 ? piece->size * 8 : size;
    return size < 1 ? 1 : size > LARGEST_PIECE ? LARGEST_PIECE : size;
}

static bool next_piece(void *user, void **ret_item)
{
    struct pieces *pieces = user;
    struct piece *piece = &pieces->all[pieces->next];

    if (pieces->rest.left == 0) {
        return false;
    }
    pieces->next = (pieces->next + 1) % (LOOK_AHEAD + 2);
    piece->size = next_size(piece);
    piece->places = mr__places_split(&pieces->rest, piece->size);
    *ret_item = piece;
    return true;
}

static int make_lines(void *arg, void **ret_value)
{
    struct piece *piece = arg;
    struct mr_text *lines = &piece->lines;
    enum stook_status status = STOOK_OK;
    struct mr_pair pair;

    *ret_value = piece;
    if (!lines->buffer) {
        status = mr__lines_init(lines, piece->form, &piece->error);
    }
    lines->used = 0;
    while (status == STOOK_OK && mr__places_next(&piece->places, &pair)) {
        status = mr__lines_put(lines, &pair) ? STOOK_OK : lines->status;
    }
    return (int)status;
}

/* Writes the next piece; STOOK_END: there are no more. */
static enum stook_status write_piece(stook_stream *stream, struct mr_text *to)
{
    void *value = NULL;
    enum stook_status status = stook_stream_next(stream, STOOK_FOREVER, &value, NULL);
    const struct piece *piece = value;

    if (status == STOOK_OK) {
        return mr__lines_write(to, piece->lines.buffer, piece->lines.used) ? STOOK_OK : to->status;
    }
    if (status == STOOK_TASK_FAILED) {
        if (to->error) {
            *to->error = piece->error;
        }
        return piece->error.status;
    }
    return status == STOOK_END ? status : mr__error_plain(to->error, status, MR_PHASE_OUTPUT);
}

static enum stook_status write_pieces(stook_executor *executor, struct pieces *pieces,
                                      int descriptor, struct mr_error *error)
{
    struct stook_stream_options options = STOOK_STREAM_OPTIONS_INIT;
    char target[32];
    struct mr_text to = {.file = descriptor, .target = target, .error = error};
    stook_stream *stream;

    snprintf(target, sizeof target, "descriptor %d", descriptor);
    options.input = next_piece;
    options.input_data = pieces;
    options.fn = make_lines;
    options.look_ahead = LOOK_AHEAD;
    options.chunk = 1;
    enum stook_status status = stook_stream_create(executor, &options, &stream);
    if (status != STOOK_OK) {
        return mr__error_plain(error, status, MR_PHASE_OUTPUT);
    }
    while (status == STOOK_OK) {
        status = write_piece(stream, &to);
    }
    stook_stream_destroy(stream);
    return status == STOOK_END ? STOOK_OK : status;
}

/* --- either ----------------------------------------------------------------------------------- */

static enum stook_status write_as(stook_executor *executor, mr_result *result, int descriptor,
                                  struct mr__form form, struct mr_error *error)
{
    struct pieces pieces = {.next = 0};

    if (!result) {
        return mr__output_invalid(error, "result is NULL");
    }
    if (!executor || !mr__places_take(result, &pieces.rest)) {
        return write_alone(result, descriptor, form, error);
    }
    for (size_t i = 0; i < LOOK_AHEAD + 2; i++) {
        pieces.all[i].form = form;
    }
    enum stook_status status = write_pieces(executor, &pieces, descriptor, error);
    for (size_t i = 0; i < LOOK_AHEAD + 2; i++) {
        mr__lines_fini(&pieces.all[i].lines);
    }
    return status;
}

enum stook_status mr_result_write(stook_executor *executor, mr_result *result, int descriptor,
                                  enum mr_format value_format, struct mr_error *ret_error)
{
    const struct mr__form form = {.format = value_format};
    return write_as(executor, result, descriptor, form, ret_error);
}

enum stook_status mr_result_write_text(stook_executor *executor, mr_result *result, int descriptor,
                                       mr_text_fn *fn, void *user, struct mr_error *ret_error)
{
    const struct mr__form form = {.fn = fn, .user = user};

    return fn ? write_as(executor, result, descriptor, form, ret_error)
              : mr__output_invalid(ret_error, "fn is NULL");
}
