/* SPDX-License-Identifier: MIT
 *
 * Files, pipes and compressed data, as sources of a job's input. Nothing here asserts: what cannot
 * be made ends the process.
 */
#ifndef MR_SOURCES_H
#define MR_SOURCES_H

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include "mr_support.h"

#if MR_HAVE_ZLIB
#include <zlib.h>
#endif
#if MR_HAVE_ZSTD
#include <zstd.h>
#endif

/* --- files ------------------------------------------------------------------------------------ */

/* A name that nothing has; to be freed. */
static inline char *make_name(void)
{
    const char *directory = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
    const size_t size = strlen(directory) + 32;
    char *path = must_alloc(size);
    snprintf(path, size, "%s/stook-test-XXXXXX", directory);
    const int fd = mkstemp(path);
    MUST(fd >= 0);
    MUST(close(fd) == 0);
    MUST(remove(path) == 0);
    return path;
}

static inline void write_file(const char *path, struct mr_slice text)
{
    FILE *file = fopen(path, "wb");
    MUST(file != NULL);
    MUST(text.size == 0 || fwrite(text.data, 1, text.size, file) == text.size);
    MUST(fclose(file) == 0);
}

/* Makes a file; the name is to be freed, after remove(). */
static inline char *make_file(struct mr_slice text)
{
    char *path = make_name();
    write_file(path, text);
    return path;
}

static inline void remove_file(char *path)
{
    MUST(remove(path) == 0);
    free(path);
}

/* --- compressed data -------------------------------------------------------------------------- */

enum coding { PLAIN_TEXT, GZIP, ZSTD };

static inline bool can_code(enum coding coding)
{
    return coding == PLAIN_TEXT || (coding == GZIP && MR_HAVE_ZLIB) ||
           (coding == ZSTD && MR_HAVE_ZSTD);
}

static inline size_t code_bytes(enum coding coding, struct mr_slice text, unsigned char *to,
                                size_t room)
{
    size_t size = 0;
    (void)room;
    if (coding == PLAIN_TEXT && text.size > 0) {
        memcpy(to, text.data, text.size);
        size = text.size;
    }
#if MR_HAVE_ZLIB
    if (coding == GZIP) {
        z_stream stream = {.avail_out = (unsigned)room, .next_out = to};
        MUST(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
        unsigned char *copy = must_alloc(text.size);
        if (text.size > 0) {
            memcpy(copy, text.data, text.size);
        }
        stream.next_in = copy;
        stream.avail_in = (unsigned)text.size;
        MUST(deflate(&stream, Z_FINISH) == Z_STREAM_END);
        size = stream.total_out;
        deflateEnd(&stream);
        free(copy);
    }
#endif
#if MR_HAVE_ZSTD
    if (coding == ZSTD) {
        size = ZSTD_compress(to, room, text.data, text.size, 1);
        MUST(!ZSTD_isError(size));
    }
#endif
    return size;
}

/* The text in so many members or frames, one after the other; data is to be freed. */
static inline struct mr_slice code_text(enum coding coding, struct mr_slice text, size_t members)
{
    const size_t room = text.size + text.size / 8 + 200 * (members + 1);
    unsigned char *bytes = must_alloc(room);
    size_t size = 0;
    for (size_t i = 0; i < members; i++) {
        const size_t begin = text.size / members * i;
        const size_t end = i + 1 < members ? text.size / members * (i + 1) : text.size;
        const char *data = text.data;
        size += code_bytes(coding, mr_slice_of(data ? data + begin : NULL, end - begin),
                           bytes + size, room - size);
    }
    return mr_slice_of(bytes, size);
}

static inline void free_slice(struct mr_slice slice)
{
    union {
        const void *constant;
        void *own;
    } either = {.constant = slice.data};
    free(either.own);
}

/* --- sources ---------------------------------------------------------------------------------- */

enum way { MEMORY, NAMED, MAPPED, DESCRIPTOR, PIPE, FIFO, WAYS };

struct made {
    struct mr_source source;
    enum way way;
    struct mr_slice bytes; /* as they are in the source; own */
    char *path;
    int ends[2];
    thrd_t writer;
    atomic_bool is_written;
};

/* Writes all, in pieces of many sizes; a reader that has gone ends it. */
static inline int write_all(void *arg)
{
    struct made *made = arg;
    const char *data = made->bytes.data;
    uint64_t random = made->bytes.size;
    size_t at = 0;
    int fd = made->way == FIFO ? open(made->path, O_WRONLY | O_CLOEXEC) : made->ends[1];
    MUST(fd >= 0);
    while (at < made->bytes.size) {
        size_t size = 1 + random_below(&random, random_below(&random, 4) == 0 ? 100000 : 100);
        size = size < made->bytes.size - at ? size : made->bytes.size - at;
        const ssize_t wrote = write(fd, data + at, size);
        if (wrote < 0) {
            break;
        }
        at += (size_t)wrote;
    }
    MUST(close(fd) == 0);
    atomic_store(&made->is_written, true);
    return 0;
}

/* Makes a source of bytes, which it owns from then on. */
static inline void make_source(struct made *made, enum way way, struct mr_slice bytes)
{
    memset(made, 0, sizeof *made);
    made->way = way;
    made->bytes = bytes;
    signal(SIGPIPE, SIG_IGN);
    switch (way) {
    case MEMORY:
        made->source.text = bytes;
        break;
    case NAMED:
    case MAPPED:
        made->path = make_file(bytes);
        break;
    case DESCRIPTOR:
        made->path = make_file(bytes);
        made->source.descriptor = open(made->path, O_RDONLY | O_CLOEXEC);
        MUST(made->source.descriptor > 0);
        remove_file(made->path);
        made->path = NULL;
        break;
    case PIPE:
        MUST(pipe(made->ends) == 0);
        made->source.descriptor = made->ends[0];
        break;
    default:
        made->path = make_name();
        MUST(mkfifo(made->path, 0600) == 0);
        break;
    }
    made->source.path = made->path;
    if (way == PIPE || way == FIFO) {
        must_start(&made->writer, write_all, made);
    }
}

static inline void end_source(struct made *made)
{
    if (made->way == PIPE) {
        MUST(close(made->ends[0]) == 0);
    } else if (made->way == DESCRIPTOR) {
        MUST(close(made->source.descriptor) == 0); /* left open by the job */
    }
    if (made->way == FIFO) { /* lets a writer go that nobody has read from */
        char bytes[1000];
        const int fd = open(made->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        MUST(fd >= 0);
        while (!atomic_load(&made->is_written)) {
            if (read(fd, bytes, sizeof bytes) <= 0) {
                thrd_yield();
            }
        }
        MUST(close(fd) == 0);
    }
    if (made->way == PIPE || made->way == FIFO) {
        thrd_join(made->writer, NULL);
    }
    if (made->path != NULL) {
        remove_file(made->path);
    }
    free_slice(made->bytes);
}

#endif
