/* SPDX-License-Identifier: MIT
 *
 * Reading one source once, from begin to end, decompressed if need be: a file, a pipe, a terminal,
 * or compressed bytes in memory.
 *
 * What may wait for a writer is polled together with a descriptor that tells when the job is
 * stopped; meanwhile the worker is lent.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "mr_internal.h"

enum { RAW_SIZE = 1 << 16, LARGEST_READ = 1 << 30 };

enum state {
    AT_BEGIN, /* not known what it is */
    PLAIN,
    CODED,  /* in a member or frame */
    BETWEEN /* behind one */
};

struct mr__stream {
    const struct mr_source *source;
    size_t index;
    const struct mr__control *control;
    int wake;
    int file; /* -1: the source's memory */
    bool is_own;
    bool may_block;
    bool ends;     /* nothing is left behind `next` */
    uint64_t got;  /* bytes of the source, up to the end of `next` */
    uint64_t size; /* bytes that there must be, or MR_SIZE_UNKNOWN */
    unsigned char *raw;
    const unsigned char *next; /* read, but not given out or decoded */
    size_t left;
    enum state state;
    enum mr__coding coding;
    struct mr__decoder *decoder;
};

static enum stook_status fail(const struct mr__stream *stream, struct mr_error *error,
                              enum stook_status status, const char *what, int code, const char *why)
{
    return mr__source_error(error, status, stream->source, stream->index,
                            stream->got - stream->left, what, code, why);
}

/* --- opening ---------------------------------------------------------------------------------- */

static int open_file(const struct mr_source *source)
{
    int file = open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (file < 0 && errno == ENXIO && strcmp(source->path, "/dev/stdin") == 0) {
        return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0); /* a socket cannot be opened by name */
    }
    return file;
}

static enum stook_status open_source(struct mr__stream *stream, bool may_block,
                                     struct mr_error *error)
{
    const struct mr_source *source = stream->source;
    struct stat status;

    if (!source->path && source->descriptor == 0) {
        stream->next = source->text.data;
        stream->left = source->text.size;
        stream->got = source->text.size;
        stream->ends = true;
        return STOOK_OK;
    }
    stream->is_own = source->path != NULL;
    stream->file = source->path ? open_file(source) : source->descriptor;
    if (stream->file < 0 || fstat(stream->file, &status) != 0) {
        return mr__source_error(error, STOOK_IO, source, stream->index, MR_NO_OFFSET, "cannot open",
                                errno, NULL);
    }
    stream->may_block = !S_ISREG(status.st_mode);
    if (stream->may_block && !may_block) { /* then nobody could wake who waits for it */
        return mr__source_error(error, STOOK_IO, source, stream->index, MR_NO_OFFSET,
                                "no regular file any more:", 0, NULL);
    }
    return STOOK_OK;
}

enum stook_status mr__stream_open(struct mr__stream **ret_stream, const struct mr_input *input,
                                  const struct mr__split *split, const struct mr__control *control,
                                  int wake, struct mr_error *error)
{
    size_t index = split->source;
    uint64_t limit = split->end;
    const struct mr_source *source = &input->sources[index];
    struct mr__stream *stream = calloc(1, sizeof *stream);

    if (!stream) {
        return mr__source_error(error, STOOK_NOMEM, source, index, MR_NO_OFFSET,
                                "out of memory for", 0, NULL);
    }
    stream->source = source;
    stream->index = index;
    stream->control = control;
    stream->wake = wake;
    stream->file = -1;
    stream->size = limit;
    stream->state = input->keep_compressed || limit != MR_SIZE_UNKNOWN ? PLAIN : AT_BEGIN;
    enum stook_status status = open_source(stream, split->may_block, error);
    if (status != STOOK_OK) {
        mr__stream_close(stream);
        return status;
    }
    *ret_stream = stream;
    return STOOK_OK;
}

void mr__stream_close(struct mr__stream *stream)
{
    if (!stream) {
        return;
    }
    if (stream->is_own && stream->file >= 0) {
        close(stream->file);
    }
    mr__decoder_destroy(stream->decoder);
    free(stream->raw);
    free(stream);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Waits until there is something to read, or the end; false: the job was stopped. */
static bool await(const struct mr__stream *stream)
{
    struct pollfd set[2] = {{.fd = stream->file, .events = POLLIN},
                            {.fd = stream->wake, .events = POLLIN}};

    if (mr__control_stopped(stream->control)) {
        return false;
    }
    if (poll(set, 2, 0) == 0) {
        stook_task_begin_blocking();
        while (poll(set, 2, -1) < 0 && errno == EINTR) {
        }
        stook_task_end_blocking();
    }
    return set[1].revents == 0;
}

/* Reads up to `size` bytes of the file; none: its end. */
static enum stook_status read_file(struct mr__stream *stream, unsigned char *to, size_t size,
                                   size_t *ret_got, struct mr_error *error)
{
    ssize_t got = -1;
    uint64_t most = stream->size != MR_SIZE_UNKNOWN ? stream->size - stream->got : LARGEST_READ;

    *ret_got = 0;
    if (size > most) {
        size = (size_t)most;
    }
    if (size > LARGEST_READ) {
        size = LARGEST_READ;
    }
    while (size > 0 && got < 0) {
        if (stream->may_block && !await(stream)) {
            return mr__error_plain(error, STOOK_CANCELLED, MR_PHASE_INPUT);
        }
        got = read(stream->file, to, size);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            stream->may_block = true;
        } else if (got < 0 && errno != EINTR) {
            return fail(stream, error, STOOK_IO, "cannot read", errno, NULL);
        }
    }
    if (got == 0 && stream->size != MR_SIZE_UNKNOWN) {
        return fail(stream, error, STOOK_IO, "it shrank while it was read:", 0, NULL);
    }
    *ret_got = got > 0 ? (size_t)got : 0;
    stream->got += *ret_got;
    stream->ends = *ret_got == 0;
    return STOOK_OK;
}

/* Has at least `want` bytes in `next`, or all that are left. */
static enum stook_status look_ahead(struct mr__stream *stream, size_t want, struct mr_error *error)
{
    if (!stream->raw && !stream->ends) {
        stream->raw = malloc(RAW_SIZE);
        if (!stream->raw) {
            return fail(stream, error, STOOK_NOMEM, "out of memory for", 0, NULL);
        }
    }
    while (stream->left < want && !stream->ends) {
        size_t got;
        if (stream->left > 0) {
            memmove(stream->raw, stream->next, stream->left);
        }
        stream->next = stream->raw;
        enum stook_status status =
            read_file(stream, stream->raw + stream->left, RAW_SIZE - stream->left, &got, error);
        if (status != STOOK_OK) {
            return status;
        }
        stream->left += got;
    }
    return STOOK_OK;
}

static enum stook_status read_plain(struct mr__stream *stream, unsigned char *to, size_t size,
                                    size_t *ret_got, struct mr_error *error)
{
    if (stream->left == 0) {
        *ret_got = 0;
        return stream->ends ? STOOK_OK : read_file(stream, to, size, ret_got, error);
    }
    if (size > stream->left) {
        size = stream->left;
    }
    memcpy(to, stream->next, size);
    stream->next += size;
    stream->left -= size;
    *ret_got = size;
    return STOOK_OK;
}

/* --- decompressing ---------------------------------------------------------------------------- */

/* At the begin, or behind a member: what comes next? */
static enum stook_status begin_member(struct mr__stream *stream, struct mr_error *error)
{
    bool is_first = stream->state == AT_BEGIN;
    enum stook_status status = look_ahead(stream, MR_CODING_BYTES, error);

    /* tapes and some tools fill up behind the last member of gzip */
    while (status == STOOK_OK && !is_first && stream->left > 0 && stream->next[0] == 0) {
        stream->next++;
        stream->left--;
        status = look_ahead(stream, MR_CODING_BYTES, error);
    }
    if (status != STOOK_OK || (!is_first && stream->left == 0)) {
        return status;
    }
    enum mr__coding coding = mr__coding_of(stream->next, stream->left);
    if (coding == MR_CODING_NONE) {
        stream->state = PLAIN;
        return is_first ? STOOK_OK
                        : fail(stream, error, STOOK_IO, "corrupt compressed data in", 0,
                               "what follows is not compressed");
    }
    if (!mr__coding_is_known(coding)) {
        return fail(stream, error, STOOK_IO, "cannot decompress", 0,
                    coding == MR_CODING_GZIP ? "the library was built without gzip"
                                             : "the library was built without zstd");
    }
    if (!stream->decoder || stream->coding != coding) {
        mr__decoder_destroy(stream->decoder);
        stream->coding = coding;
        stream->decoder = mr__decoder_create(coding);
        if (!stream->decoder) {
            return fail(stream, error, STOOK_NOMEM, "out of memory for", 0, NULL);
        }
    }
    stream->state = CODED;
    return STOOK_OK;
}

static enum stook_status fail_decoding(const struct mr__stream *stream, struct mr_error *error,
                                       enum mr__decoded decoded, const char *why)
{
    const bool is_gzip = stream->coding == MR_CODING_GZIP;

    if (decoded == MR_DECODED_NOMEM) {
        return fail(stream, error, STOOK_NOMEM, "out of memory for", 0, NULL);
    }
    if (decoded == MR_DECODED_CORRUPT) {
        return fail(stream, error, STOOK_IO,
                    is_gzip ? "corrupt gzip data in" : "corrupt zstd data in", 0, why);
    }
    return fail(stream, error, STOOK_IO,
                is_gzip ? "truncated gzip data in" : "truncated zstd data in", 0, NULL);
}

/* Decodes up to `size` bytes of one member; none: its end. */
static enum stook_status decode(struct mr__stream *stream, unsigned char *to, size_t size,
                                size_t *ret_got, struct mr_error *error)
{
    *ret_got = 0;
    while (*ret_got == 0 && stream->state == CODED) {
        struct mr__flow flow = {.from = stream->next, .left = stream->left, .to = to, .room = size};
        bool was_last = stream->left == 0 && stream->ends;
        const char *why;
        enum mr__decoded decoded = mr__decoder_run(stream->decoder, &flow, &why);
        bool is_stuck = flow.left == stream->left && flow.room == size;
        stream->next = flow.from;
        stream->left = flow.left;
        *ret_got = size - flow.room;
        if (decoded == MR_DECODED_END) {
            stream->state = BETWEEN;
        } else if (decoded != MR_DECODED_SOME || (is_stuck && (flow.left > 0 || was_last))) {
            return fail_decoding(stream, error, decoded, why);
        } else if (flow.left == 0 && *ret_got == 0) {
            enum stook_status status = look_ahead(stream, 1, error);
            if (status != STOOK_OK) {
                return status;
            }
        }
    }
    return STOOK_OK;
}

enum stook_status mr__stream_read(struct mr__stream *stream, unsigned char *to, size_t size,
                                  size_t *ret_got, struct mr_error *error)
{
    *ret_got = 0;
    while (*ret_got == 0) {
        enum stook_status status = STOOK_OK;
        if (stream->state == PLAIN) {
            return read_plain(stream, to, size, ret_got, error);
        }
        if (stream->state == CODED) {
            status = decode(stream, to, size, ret_got, error);
        } else {
            status = begin_member(stream, error);
            if (status == STOOK_OK && stream->state == BETWEEN) {
                return STOOK_OK; /* the end */
            }
        }
        if (status != STOOK_OK) {
            return status;
        }
        if (*ret_got == 0 && mr__control_stopped(stream->control)) {
            return mr__error_plain(error, STOOK_CANCELLED, MR_PHASE_INPUT);
        }
    }
    return STOOK_OK;
}
