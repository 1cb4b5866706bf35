/* SPDX-License-Identifier: MIT
 *
 * Cutting bytes into records, and mapping these. What it is given begins where a record begins, and
 * holds at least the records that start in it.
 */
#include <stdlib.h>
#include <string.h>
#include "mr_internal.h"

void mr__cutter_init(struct mr__cutter *cutter, const struct mr_input *input)
{
    *cutter = (struct mr__cutter){.input = input};
    if (!input->sources || input->records != MR_RECORDS_DELIMITED) {
        return;
    }
    for (const char *at = input->delimiters; *at; at++) {
        cutter->contains[(unsigned char)*at] = true;
    }
    cutter->is_one = input->delimiters[0] != '\0' && input->delimiters[1] == '\0';
    cutter->only = (unsigned char)input->delimiters[0];
}

const unsigned char *mr__find_delimiter(const struct mr__cutter *cutter, const unsigned char *at,
                                        const unsigned char *end)
{
    if (cutter->is_one) {
        const unsigned char *found =
            at == end ? NULL : memchr(at, cutter->only, (size_t)(end - at));
        return found ? found : end;
    }
    while (at < end && !cutter->contains[*at]) {
        at++;
    }
    return at;
}

size_t mr__whole_records(const struct mr__cutter *cutter, const struct mr__text *text, size_t seen)
{
    size_t size = text->size;

    if (cutter->input->records == MR_RECORDS_FIXED) {
        return size - size % cutter->input->record_size;
    }
    while (size > seen && !cutter->contains[text->data[size - 1]]) {
        size--;
    }
    return size > seen ? size : 0;
}

/* --- mapping ---------------------------------------------------------------------------------- */

static bool map_one(mr_emitter *out, const struct mr__text *text, size_t begin, size_t end)
{
    struct mr_item item = {
        .data = mr_slice_of(text->data ? text->data + begin : NULL, end - begin),
        .index = text->offset + begin,
        .source = text->source,
    };
    return mr__map_item(out, &item);
}

static size_t delimiter_behind(const struct mr__cutter *cutter, const struct mr__text *text,
                               size_t at)
{
    const unsigned char *found =
        mr__find_delimiter(cutter, text->data + at, text->data + text->size);
    return (size_t)(found - text->data);
}

/* The end of a record, without what ends it; *ret_next: where the next one begins. */
static size_t record_end(const struct mr__cutter *cutter, const struct mr__text *text, size_t at,
                         size_t *ret_next)
{
    if (cutter->input->records == MR_RECORDS_FIXED) {
        *ret_next = at + cutter->input->record_size;
        return *ret_next;
    }
    size_t end = delimiter_behind(cutter, text, at);
    *ret_next = end < text->size ? end + 1 : end;
    return end;
}

bool mr__map_records(const struct mr__cutter *cutter, const struct mr__text *text, size_t from,
                     size_t begin, size_t stop, mr_emitter *out)
{
    bool is_whole = cutter->input->records == MR_RECORDS_WHOLE;
    size_t at = begin;
    size_t next;

    if (is_whole || (cutter->input->whole_splits && at < stop)) {
        size_t end = stop;
        if (!is_whole && cutter->input->records == MR_RECORDS_DELIMITED) {
            record_end(cutter, text, stop - 1, &end);
        }
        if (!map_one(out, text, at, end)) {
            return false;
        }
        at = stop;
    }
    while (at < stop) {
        size_t end = record_end(cutter, text, at, &next);
        if (!map_one(out, text, at, end)) {
            return false;
        }
        at = next;
        size_t counted = at < stop ? at : stop; /* so that all reports add up to the range */
        mr__segment_progress(out->segment, counted - from);
        from = counted;
    }
    mr__segment_progress(out->segment, stop - from);
    return true;
}

static bool splitter_failed(const struct mr__text *text, size_t at, size_t size, mr_emitter *out)
{
    struct mr_error error;
    const struct mr_source *source = &out->job->input.sources[text->source];

    mr__source_error(&error, size == 0 ? STOOK_IO : STOOK_INVALID, source, text->source,
                     text->offset + at,
                     size == 0 ? "splitter found no end of a record of"
                               : "splitter gave more bytes than there are for",
                     0, NULL);
    mr__input_fail(out, &error);
    return false;
}

bool mr__map_splitter(const struct mr__cutter *cutter, const struct mr__text *text,
                      size_t *ret_used, mr_emitter *out)
{
    const struct mr_input *input = cutter->input;
    size_t at = 0;

    *ret_used = 0;
    while (at < text->size && !mr__control_stopped(out->control)) {
        size_t left = text->size - at;
        size_t size =
            input->splitter(mr_slice_of(text->data + at, left), text->ends, input->next_user);
        if (size > left || (size == 0 && text->ends)) {
            return splitter_failed(text, at, size, out);
        }
        if (size == 0) {
            break;
        }
        if (!input->whole_splits) {
            if (!map_one(out, text, at, at + size)) {
                return false;
            }
            mr__segment_progress(out->segment, size);
        }
        at += size;
    }
    if (input->whole_splits && at > 0) {
        if (!map_one(out, text, 0, at)) {
            return false;
        }
        mr__segment_progress(out->segment, at);
    }
    *ret_used = at;
    return !mr__control_stopped(out->control);
}
