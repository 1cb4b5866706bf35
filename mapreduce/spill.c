/* SPDX-License-Identifier: MIT
 *
 * A pair in a file looks as it does in a list: see list.h.
 */
#define _GNU_SOURCE /* for O_TMPFILE */
#define _FILE_OFFSET_BITS 64
#include "spill.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "list.h"
#include "mr_internal.h"

enum { WRITE_BUFFER = 1 << 16, NAME_ROOM = 4096 };

/* --- files ------------------------------------------------------------------------------------ */

/* A file that is gone as soon as it is closed; -1: errno. */
static int open_nameless(const char *directory)
{
    char name[NAME_ROOM];
    int file = -1;

#ifdef O_TMPFILE
    file = open(directory, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) {
        return file;
    }
#endif
    if (snprintf(name, sizeof name, "%s/stook-XXXXXX", directory) >= NAME_ROOM) {
        errno = ENAMETOOLONG;
        return -1;
    }
    file = mkstemp(name);
    if (file >= 0) {
        fcntl(file, F_SETFD, FD_CLOEXEC);
        unlink(name);
    }
    return file;
}

struct mr__file *mr__file_create(const char *directory, struct mr_error *ret_error)
{
    char path[MR_PATH_TEXT];
    char reason[MR_REASON_TEXT];
    struct mr__file *file = calloc(1, sizeof *file);

    if (!file) {
        mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_NONE);
        return NULL;
    }
    if (!directory) {
        directory = getenv("TMPDIR"); /* NOLINT(concurrency-mt-unsafe) */
    }
    if (!directory || !*directory) {
        directory = "/tmp";
    }
    file->descriptor = open_nameless(directory);
    if (file->descriptor < 0) {
        int code = errno;
        free(file);
        mr__error_set(ret_error, STOOK_IO, MR_PHASE_NONE, code,
                      "cannot make a file for what exceeds the memory limit in %s: %s",
                      mr__path_text(directory, path), mr__reason_text(code, reason));
        return NULL;
    }
    return file;
}

void mr__file_close(struct mr__file *file)
{
    close(file->descriptor);
    free(file);
}

/* --- writing ---------------------------------------------------------------------------------- */

bool mr__writer_begin(struct mr__writer *writer, struct mr__budget *budget, struct mr__file *file)
{
    *writer = (struct mr__writer){.budget = budget, .file = file};
    writer->buffer = mr__allocate(budget, WRITE_BUFFER);
    mr__writer_go_on(writer);
    return writer->buffer != NULL;
}

void mr__writer_go_on(struct mr__writer *writer)
{
    writer->run = (struct mr__run){.file = writer->file, .offset = writer->file->end};
}

static void write_out(struct mr__writer *writer, const char *bytes, size_t size)
{
    while (size > 0 && writer->code == 0) {
        ssize_t done = pwrite(writer->file->descriptor, bytes, size, (off_t)writer->file->end);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            writer->code = done < 0 ? errno : ENOSPC;
            return;
        }
        bytes += done;
        size -= (size_t)done;
        writer->file->end += (uint64_t)done;
    }
}

static void put(struct mr__writer *writer, const void *bytes, size_t size)
{
    if (size > WRITE_BUFFER - writer->used) {
        write_out(writer, writer->buffer, writer->used);
        writer->used = 0;
    }
    if (size > WRITE_BUFFER) {
        write_out(writer, bytes, size);
    } else if (size > 0) {
        memcpy(writer->buffer + writer->used, bytes, size);
        writer->used += size;
    }
}

void mr__writer_add(struct mr__writer *writer, struct mr_slice key, struct mr_slice value)
{
    static const char padding[8];
    char header[MR_PACKED_HEADER];

    size_t size = mr__pack_header(header, key.size, value.size);
    put(writer, header, size);
    put(writer, value.data, value.size);
    put(writer, padding, -value.size & 7);
    put(writer, key.data, key.size);
    put(writer, padding, -key.size & 7);
    writer->run.pairs++;
}

bool mr__writer_end(struct mr__writer *writer, struct mr__run *ret_run)
{
    write_out(writer, writer->buffer, writer->used);
    writer->used = 0;
    writer->run.size = writer->file->end - writer->run.offset;
    *ret_run = writer->run;
    return writer->code == 0;
}

void mr__writer_fini(struct mr__writer *writer)
{
    mr__deallocate(writer->budget, writer->buffer, WRITE_BUFFER);
    writer->buffer = NULL;
}

/* --- reading ---------------------------------------------------------------------------------- */

bool mr__reader_begin(struct mr__reader *reader, struct mr__budget *budget,
                      const struct mr__run *run, size_t capacity)
{
    *reader = (struct mr__reader){.budget = budget, .run = run, .capacity = capacity};
    reader->buffer = mr__allocate(budget, capacity);
    return reader->buffer != NULL;
}

void mr__reader_fini(struct mr__reader *reader)
{
    mr__deallocate(reader->budget, reader->buffer, reader->capacity);
    reader->buffer = NULL;
}

static bool enlarge(struct mr__reader *reader, size_t capacity)
{
    char *buffer = mr__allocate(reader->budget, capacity);

    if (!buffer) {
        reader->status = STOOK_NOMEM;
        return false;
    }
    memcpy(buffer, reader->buffer, reader->used);
    mr__deallocate(reader->budget, reader->buffer, reader->capacity);
    reader->buffer = buffer;
    reader->capacity = capacity;
    return true;
}

/* Has at least `need` bytes from `at` on. */
static bool fill(struct mr__reader *reader, size_t need)
{
    memmove(reader->buffer, reader->buffer + reader->at, reader->used - reader->at);
    reader->used -= reader->at;
    reader->at = 0;
    if (need > reader->capacity && !enlarge(reader, need)) {
        return false;
    }
    while (reader->used < need) {
        uint64_t left = reader->run->size - reader->offset;
        size_t room = reader->capacity - reader->used;
        ssize_t got =
            pread(reader->run->file->descriptor, reader->buffer + reader->used,
                  room < left ? room : (size_t)left, (off_t)(reader->run->offset + reader->offset));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            reader->status = STOOK_IO;
            reader->code = got < 0 ? errno : EIO;
            return false;
        }
        reader->used += (size_t)got;
        reader->offset += (uint64_t)got;
    }
    return true;
}

bool mr__reader_next(struct mr__reader *reader, struct mr_pair *ret_pair)
{
    uint64_t left = reader->used - reader->at + (reader->run->size - reader->offset);
    size_t need = left < MR_PACKED_HEADER ? (size_t)left : MR_PACKED_HEADER;

    if (left == 0 || reader->status != STOOK_OK) {
        return false;
    }
    if (reader->used - reader->at < need && !fill(reader, need)) {
        return false;
    }
    if (!mr__packed_fits(reader->buffer + reader->at, left, &need)) { /* not what was written */
        reader->status = STOOK_IO;
        reader->code = EIO;
        return false;
    }
    if (reader->used - reader->at < need && !fill(reader, need)) {
        return false;
    }
    *ret_pair = mr__packed_pair(reader->buffer + reader->at);
    reader->at += need;
    return true;
}
