/* SPDX-License-Identifier: MIT
 *
 * Reading a split of a text at its place in a file or in memory.
 *
 * Invariant: a split owns the records that start in it. Fixed records start at its begin. With
 * delimiters it begins reading one byte before itself, skips to the first record that starts
 * inside, and reads on behind its end until its last record is complete. Files are read with pread
 * into the segment's buffer; or mapped, if the input says so.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "mr_internal.h"

enum { READ_ON = 1 << 16 }; /* bytes read at a time behind the end of a split, at first */

/* A file that is being read. */
struct piece {
    const struct mr_source *source;
    uint64_t size; /* of the source */
    int file;
    struct mr__segment *segment; /* whose buffer is read into */
    struct mr__text text;
};

/* Has room for `size` bytes; those of the text are kept. */
static bool buffer_reserve(struct piece *piece, size_t size)
{
    struct mr__segment *segment = piece->segment;

    if (size <= segment->buffer_size) {
        return true;
    }
    char *bigger = mr__reallocate(segment->budget, segment->buffer, segment->buffer_size,
                                  piece->text.size, size);
    if (!bigger) {
        return false;
    }
    segment->buffer = bigger;
    segment->buffer_size = size;
    return true;
}

/* Reads exactly `size` bytes to buffer + at. */
static bool read_fully(int file, char *to, size_t size, uint64_t offset, int *ret_errno)
{
    while (size > 0) {
        ssize_t got = pread(file, to, size, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            *ret_errno = got < 0 ? errno : 0;
            return false;
        }
        to += got;
        size -= (size_t)got;
        offset += (uint64_t)got;
    }
    return true;
}

/* Extends the text, at first empty, to at least `want` bytes or the end of the source. */
static enum stook_status read_to(struct piece *piece, uint64_t want, struct mr_error *error)
{
    struct mr__text *text = &piece->text;
    uint64_t left = piece->size - text->offset;
    int code = 0;

    if (want > left) {
        want = left;
    }
    if (want > SIZE_MAX / 2 || !buffer_reserve(piece, (size_t)want)) {
        return mr__source_error(error, STOOK_NOMEM, piece->source, text->source, text->offset,
                                "out of memory for a record of", 0, NULL);
    }
    if (!read_fully(piece->file, piece->segment->buffer + text->size, (size_t)want - text->size,
                    text->offset + text->size, &code)) {
        return mr__source_error(error, STOOK_IO, piece->source, text->source,
                                text->offset + text->size,
                                code ? "cannot read" : "it shrank while it was read:", code, NULL);
    }
    text->data = (const unsigned char *)piece->segment->buffer;
    text->size = (size_t)want;
    text->ends = want == left;
    return STOOK_OK;
}

/* Reads on until the last record that starts in the first `inside` bytes is complete. */
static enum stook_status complete(struct piece *piece, const struct mr__cutter *cutter,
                                  size_t inside, bool is_first, struct mr_error *error)
{
    const struct mr__text *text = &piece->text;
    const unsigned char *last = text->data + inside - 1;

    /* Does a record start in the split at all? Only then is there one to complete. */
    if (!is_first && mr__find_delimiter(cutter, text->data, last) == last) {
        return STOOK_OK;
    }
    enum stook_status status = STOOK_OK;
    size_t step = READ_ON;
    size_t seen = inside - 1;
    while (status == STOOK_OK && !text->ends &&
           mr__find_delimiter(cutter, text->data + seen, text->data + text->size) ==
               text->data + text->size) {
        seen = text->size;
        status = read_to(piece, text->size + step, error);
        step *= 2;
    }
    return status;
}

/* Reads a split of a file. `inside` is how many bytes of the text belong to it or stand before. */
static enum stook_status load(struct piece *piece, const struct mr__plan *plan,
                              const struct mr__split *split, size_t inside, struct mr_error *error)
{
    piece->file = mr__source_open(piece->source, split->source, 0, error);
    if (piece->file < 0) {
        return STOOK_IO;
    }
    enum stook_status status = read_to(piece, inside, error);
    if (status == STOOK_OK && plan->cutter.input->records == MR_RECORDS_DELIMITED) {
        status = complete(piece, &plan->cutter, inside, split->begin == 0, error);
    }
    close(piece->file);
    return status;
}

static void map_text(const struct mr__plan *plan, const struct mr__text *text, size_t before,
                     size_t inside, mr_emitter *out)
{
    size_t begin = 0;

    if (before > 0) {
        const unsigned char *stop = text->data + inside;
        const unsigned char *found = mr__find_delimiter(&plan->cutter, text->data, stop);
        begin = found < stop ? (size_t)(found - text->data) + 1 : inside;
    }
    mr__map_records(&plan->cutter, text, before, begin, inside, out);
}

void mr__map_text(const struct mr__plan *plan, const struct mr__split *split, mr_emitter *out)
{
    const struct mr_input *input = &out->job->input;
    const struct mr_source *source = &input->sources[split->source];
    size_t before = split->begin > 0 && input->records == MR_RECORDS_DELIMITED;
    uint64_t inside = split->end - split->begin + before;
    struct mr__view view = {0};
    struct mr_error error;
    struct piece piece = {.source = source,
                          .size = plan->looks[split->source].size,
                          .segment = out->segment,
                          .text = {.offset = split->begin - before, .source = split->source}};
    enum stook_status status;

    if (inside > SIZE_MAX / 2) {
        status = mr__source_error(&error, STOOK_NOMEM, source, split->source, split->begin,
                                  "out of memory for", 0, NULL);
    } else if (source->path && !input->map_files) {
        status = load(&piece, plan, split, (size_t)inside, &error);
    } else {
        status = mr__view_open(&view, source, split->source, piece.text.offset, piece.size, &error);
        piece.text.data = view.data;
        piece.text.size = view.size;
        piece.text.ends = true;
    }
    if (status == STOOK_OK) {
        map_text(plan, &piece.text, before, (size_t)inside, out);
    } else {
        mr__input_fail(out, &error);
    }
    mr__view_close(&view);
}
