/* SPDX-License-Identifier: MIT
 *
 * Reading a split of a text, and cutting it into records: the only door of mapreduce/ to files.
 *
 * Invariant: a split owns the records that start in it. So it begins reading one byte before itself,
 * skips to the first record that starts inside, and reads on behind its end until its last record
 * is complete. Files are read with pread into the segment's buffer, never mapped.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "mr_internal.h"

enum { READ_ON = 1 << 16 }; /* bytes read at a time behind the end of a split, at first */

/* Fills the error for a source; `what` says what could not be done with it, code is an errno or 0. */
static enum stook_status text_error(struct mr_error *error, enum stook_status status,
                                    const struct mr_source *source, size_t index, uint64_t offset,
                                    const char *what, int code)
{
    char path[MR_PATH_TEXT];
    char reason[64] = "";

    if (code != 0 && strerror_r(code, reason, sizeof reason) != 0) {
        reason[0] = '\0';
    }
    mr__error_set(error, status, MR_PHASE_INPUT, code, "%s %s%s%s", what,
                  mr__path_text(source->path, path), code ? ": " : "", reason);
    if (error) {
        error->source = index;
        error->item = offset;
    }
    return status;
}

/* An open regular file, or -1 with the error filled. */
static int open_regular(const struct mr_source *source, size_t index, uint64_t *ret_size,
                        struct mr_error *ret_error)
{
    struct stat status;
    int file = open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (file < 0) {
        text_error(ret_error, STOOK_IO, source, index, 0, "cannot open", errno);
        return -1;
    }
    if (fstat(file, &status) != 0) {
        text_error(ret_error, STOOK_IO, source, index, 0, "cannot read", errno);
        close(file);
        return -1;
    }
    if (!S_ISREG(status.st_mode)) {
        bool is_directory = S_ISDIR(status.st_mode);
        text_error(ret_error, STOOK_IO, source, index, 0,
                   is_directory ? "cannot read" : "not a regular file:", is_directory ? EISDIR : 0);
        close(file);
        return -1;
    }
    *ret_size = (uint64_t)status.st_size;
    return file;
}

enum stook_status mr__text_size(const struct mr_source *source, size_t index, uint64_t *ret_size,
                                struct mr_error *ret_error)
{
    if (!source->path) {
        *ret_size = source->text.size;
        return STOOK_OK;
    }
    int file = open_regular(source, index, ret_size, ret_error);
    if (file < 0) {
        return STOOK_IO;
    }
    close(file);
    return STOOK_OK;
}

/* --- delimiters ------------------------------------------------------------------------------- */

struct delimiters {
    bool is_one; /* then it is `only` */
    unsigned char only;
    bool contains[256];
};

static void delimiters_init(struct delimiters *set, const char *bytes)
{
    memset(set, 0, sizeof *set);
    for (const char *at = bytes; *at; at++) {
        set->contains[(unsigned char)*at] = true;
    }
    set->is_one = bytes[0] != '\0' && bytes[1] == '\0';
    set->only = (unsigned char)bytes[0];
}

/* The first delimiter in [at, end), or end. */
static const unsigned char *find_delimiter(const struct delimiters *set, const unsigned char *at,
                                           const unsigned char *end)
{
    if (set->is_one) {
        const unsigned char *found = at == end ? NULL : memchr(at, set->only, (size_t)(end - at));
        return found ? found : end;
    }
    while (at < end && !set->contains[*at]) {
        at++;
    }
    return at;
}

/* --- getting the bytes of a split ------------------------------------------------------------- */

/* Bytes of a source; `ends` tells that the source ends with them. */
struct window {
    const unsigned char *data;
    size_t size;
    uint64_t offset; /* of data in the source */
    bool ends;
};

static bool buffer_reserve(struct mr__segment *segment, size_t size)
{
    if (size <= segment->buffer_size) {
        return true;
    }
    char *bigger = realloc(segment->buffer, size);
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

/* Extends the window, at first empty, to at least `want` bytes or the end of the source. */
static enum stook_status window_read(struct window *window, int file,
                                     const struct mr_source *source, size_t index,
                                     uint64_t source_size, uint64_t want,
                                     struct mr__segment *segment, struct mr_error *error)
{
    uint64_t left = source_size - window->offset;
    int code = 0;

    if (want > left) {
        want = left;
    }
    if (want > SIZE_MAX / 2 || !buffer_reserve(segment, (size_t)want)) {
        return text_error(error, STOOK_NOMEM, source, index, window->offset,
                          "out of memory for a record of", 0);
    }
    if (!read_fully(file, segment->buffer + window->size, (size_t)want - window->size,
                    window->offset + window->size, &code)) {
        return text_error(error, STOOK_IO, source, index, window->offset + window->size,
                          code ? "cannot read" : "it shrank while it was read:", code);
    }
    window->data = (const unsigned char *)segment->buffer;
    window->size = (size_t)want;
    window->ends = want == left;
    return STOOK_OK;
}

/* Reads a split of a file, and on until its last record is complete. `inside` is how many bytes of
 * the window belong to the split or stand before it. */
static enum stook_status window_load(struct window *window, const struct delimiters *set,
                                     const struct mr__plan *plan, const struct mr__split *split,
                                     mr_emitter *out, size_t inside, struct mr_error *error)
{
    const struct mr_source *source = &out->job->input.sources[split->source];
    uint64_t size_now;
    int file = open_regular(source, split->source, &size_now, error);
    if (file < 0) {
        return STOOK_IO;
    }
    uint64_t size = plan->sizes[split->source];
    enum stook_status status =
        window_read(window, file, source, split->source, size, inside, out->segment, error);
    /* Does a record start in the split at all? Only then is there one to complete. */
    const unsigned char *data = window->data;
    bool owns =
        status == STOOK_OK &&
        (split->begin == 0 || find_delimiter(set, data, data + inside - 1) < data + inside - 1);
    size_t step = READ_ON;
    size_t seen = inside - 1;
    while (owns && status == STOOK_OK && !window->ends &&
           find_delimiter(set, window->data + seen, window->data + window->size) ==
               window->data + window->size) {
        seen = window->size;
        status = window_read(window, file, source, split->source, size, window->size + step,
                             out->segment, error);
        step *= 2;
    }
    close(file);
    return status;
}

/* --- cutting into records --------------------------------------------------------------------- */

/* What a split has to map: records from `begin` on that start before `stop`. */
struct records {
    const unsigned char *begin;
    const unsigned char *stop;
    const unsigned char *end; /* of the window */
};

static struct records records_of(const struct window *window, const struct delimiters *set,
                                 const struct mr__split *split)
{
    struct records records = {.begin = window->data, .end = window->data + window->size};

    records.stop = window->data + (size_t)(split->end - window->offset);
    if (split->begin > 0) { /* the window begins one byte before the split */
        const unsigned char *found = find_delimiter(set, records.begin, records.stop);
        records.begin = found < records.stop ? found + 1 : records.stop;
    }
    return records;
}

/* Counts the bytes of the split up to `at`, so that all its reports add up to its length. */
static void report(mr_emitter *out, const struct mr__split *split, const struct window *window,
                   const unsigned char *at, uint64_t *reported)
{
    uint64_t position = window->offset + (uint64_t)(at - window->data);

    if (position > split->end) {
        position = split->end;
    }
    if (position > *reported) {
        mr__segment_progress(out->segment, position - *reported);
        *reported = position;
    }
}

static bool map_one(mr_emitter *out, const struct mr__split *split, const struct window *window,
                    const unsigned char *begin, const unsigned char *end)
{
    struct mr_item item = {
        .data = mr_slice_of(begin, (size_t)(end - begin)),
        .index = window->offset + (uint64_t)(begin - window->data),
        .source = split->source,
    };
    return mr__map_item(out, &item);
}

/* Maps each record, or all of them in one call. */
static bool map_records(mr_emitter *out, const struct delimiters *set,
                        const struct mr__split *split, const struct window *window,
                        uint64_t *reported)
{
    struct records records = records_of(window, set, split);
    const unsigned char *at = records.begin;

    if (out->job->input.whole_splits && at < records.stop) {
        const unsigned char *last = find_delimiter(set, records.stop - 1, records.end);
        return map_one(out, split, window, at, last < records.end ? last + 1 : last);
    }
    while (at < records.stop) {
        const unsigned char *found = find_delimiter(set, at, records.end);
        if (!map_one(out, split, window, at, found)) {
            return false;
        }
        at = found < records.end ? found + 1 : found;
        report(out, split, window, at, reported);
    }
    return true;
}

void mr__map_text(const struct mr__plan *plan, const struct mr__split *split, mr_emitter *out)
{
    const struct mr_source *source = &out->job->input.sources[split->source];
    uint64_t before = split->begin > 0 ? 1 : 0;
    uint64_t inside = split->end - split->begin + before;
    struct window window = {.offset = split->begin - before};
    struct delimiters set;
    uint64_t reported = split->begin;

    delimiters_init(&set, out->job->input.delimiters);
    if (source->path) {
        struct mr_error error;
        enum stook_status status =
            inside > SIZE_MAX / 2
                ? mr__error_plain(&error, STOOK_NOMEM, MR_PHASE_INPUT)
                : window_load(&window, &set, plan, split, out, (size_t)inside, &error);
        if (status != STOOK_OK) {
            out->status = status;
            mr__control_fail(out->control, &error);
            return;
        }
    } else {
        window.data = (const unsigned char *)source->text.data + window.offset;
        window.size = source->text.size - (size_t)window.offset;
        window.ends = true;
    }
    if (map_records(out, &set, split, &window, &reported)) {
        report(out, split, &window, window.data + inside, &reported);
    }
}
