/* SPDX-License-Identifier: MIT
 *
 * Sources: what kind each is, what it is called in messages, and its bytes in place.
 *
 * Only regular files are opened to look at them: to open a FIFO and close it again would break its
 * writer.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "mr_internal.h"

/* Files of /proc and /sys tell no size, or that of a page that they do not fill. */
enum { UNTOLD_SIZE = 4096 };

static const char *source_text(const struct mr_source *source, size_t index,
                               char text[MR_PATH_TEXT])
{
    if (source->path) {
        return mr__path_text(source->path, text);
    }
    if (source->descriptor != 0) {
        snprintf(text, MR_PATH_TEXT, "descriptor %d", source->descriptor);
    } else {
        snprintf(text, MR_PATH_TEXT, "text %zu", index);
    }
    return text;
}

enum stook_status mr__source_error(struct mr_error *error, enum stook_status status,
                                   const struct mr_source *source, size_t index, uint64_t offset,
                                   const char *what, int code, const char *text)
{
    char name[MR_PATH_TEXT];
    char place[40] = "";
    char reason[MR_REASON_TEXT];

    if (offset != MR_NO_OFFSET) {
        snprintf(place, sizeof place, " at offset %llu", (unsigned long long)offset);
    }
    if (code != 0) {
        text = mr__reason_text(code, reason);
    }
    mr__error_set(error, status, MR_PHASE_INPUT, code, "%s %s%s%s%s", what,
                  source_text(source, index, name), place, text ? ": " : "", text ? text : "");
    if (error) {
        error->source = index;
        error->item = offset != MR_NO_OFFSET ? offset : 0;
    }
    return status;
}

void mr__input_fail(mr_emitter *out, const struct mr_error *error)
{
    out->status = error->status;
    mr__control_fail(out->control, error);
}

/* --- what kind it is -------------------------------------------------------------------------- */

/* Reads the first bytes of a regular file; negative: an errno. */
static int read_first(int file, unsigned char *bytes, size_t size)
{
    ssize_t got;

    do {
        got = pread(file, bytes, size, 0);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : (int)got;
}

static enum stook_status look_at_regular(const struct mr_source *source, size_t index,
                                         const struct stat *status, bool keep_compressed,
                                         struct mr__look *look, struct mr_error *ret_error)
{
    unsigned char first[MR_CODING_BYTES];
    bool is_untold = status->st_blocks == 0 && status->st_size <= UNTOLD_SIZE;
    int file = mr__source_open(source, index, 0, ret_error);

    if (file < 0) {
        return STOOK_IO;
    }
    look->size = (uint64_t)status->st_size;
    if (is_untold || !keep_compressed) {
        int got = read_first(file, first, sizeof first);
        if (got == 0) {
            look->size = 0;
        } else if (is_untold || got < 0 || /* the reader tells why */
                   (!keep_compressed && mr__coding_of(first, (size_t)got) != MR_CODING_NONE)) {
            look->size = MR_SIZE_UNKNOWN;
        }
    }
    close(file);
    return STOOK_OK;
}

static enum stook_status look_at_file(const struct mr_source *source, size_t index,
                                      bool keep_compressed, struct mr__look *look,
                                      struct mr_error *ret_error)
{
    struct stat status;
    int failed = source->path ? stat(source->path, &status) : fstat(source->descriptor, &status);

    if (failed) {
        return mr__source_error(ret_error, STOOK_IO, source, index, MR_NO_OFFSET, "cannot open",
                                errno, NULL);
    }
    if (S_ISDIR(status.st_mode)) {
        return mr__source_error(ret_error, STOOK_IO, source, index, MR_NO_OFFSET, "cannot read",
                                EISDIR, NULL);
    }
    if (source->path && S_ISREG(status.st_mode)) {
        return look_at_regular(source, index, &status, keep_compressed, look, ret_error);
    }
    look->size = MR_SIZE_UNKNOWN;
    look->may_block = !S_ISREG(status.st_mode);
    return STOOK_OK;
}

enum stook_status mr__source_look(const struct mr_source *source, size_t index,
                                  bool keep_compressed, struct mr__look *ret_look,
                                  struct mr_error *ret_error)
{
    *ret_look = (struct mr__look){.size = source->text.size};
    if (source->path || source->descriptor != 0) {
        return look_at_file(source, index, keep_compressed, ret_look, ret_error);
    }
    if (!keep_compressed && mr__coding_of(source->text.data, source->text.size) != MR_CODING_NONE) {
        ret_look->size = MR_SIZE_UNKNOWN;
    }
    return STOOK_OK;
}

int mr__source_open(const struct mr_source *source, size_t index, uint64_t size,
                    struct mr_error *ret_error)
{
    struct stat status;
    int file = open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (file < 0) {
        mr__source_error(ret_error, STOOK_IO, source, index, MR_NO_OFFSET, "cannot open", errno,
                         NULL);
        return -1;
    }
    if (fstat(file, &status) != 0) {
        mr__source_error(ret_error, STOOK_IO, source, index, MR_NO_OFFSET, "cannot read", errno,
                         NULL);
    } else if (!S_ISREG(status.st_mode)) {
        mr__source_error(ret_error, STOOK_IO, source, index, MR_NO_OFFSET,
                         "no regular file any more:", 0, NULL);
    } else if ((uint64_t)status.st_size < size) {
        mr__source_error(ret_error, STOOK_IO, source, index, (uint64_t)status.st_size,
                         "it shrank while it was read:", 0, NULL);
    } else {
        return file;
    }
    close(file);
    return -1;
}

/* --- bytes in place --------------------------------------------------------------------------- */

static enum stook_status map_file(struct mr__view *view, const struct mr_source *source,
                                  size_t index, uint64_t begin, uint64_t size,
                                  struct mr_error *ret_error)
{
    uint64_t before = begin % (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t length = size - begin + before;

    if (length > SIZE_MAX / 2) {
        return mr__source_error(ret_error, STOOK_NOMEM, source, index, begin,
                                "no address space for", 0, NULL);
    }
    int file = mr__source_open(source, index, size, ret_error);
    if (file < 0) {
        return STOOK_IO;
    }
    void *map = mmap(NULL, (size_t)length, PROT_READ, MAP_PRIVATE, file, (off_t)(begin - before));
    int code = errno;
    close(file);
    if (map == MAP_FAILED) {
        return mr__source_error(ret_error, code == ENOMEM ? STOOK_NOMEM : STOOK_IO, source, index,
                                begin, "cannot map", code, NULL);
    }
    *view = (struct mr__view){.data = (const unsigned char *)map + before,
                              .size = (size_t)(size - begin),
                              .map = map,
                              .map_size = (size_t)length};
    return STOOK_OK;
}

enum stook_status mr__view_open(struct mr__view *view, const struct mr_source *source, size_t index,
                                uint64_t begin, uint64_t size, struct mr_error *ret_error)
{
    *view = (struct mr__view){0};
    if (begin == size) {
        return STOOK_OK;
    }
    if (source->path) {
        return map_file(view, source, index, begin, size, ret_error);
    }
    view->data = (const unsigned char *)source->text.data + (size_t)begin;
    view->size = (size_t)(size - begin);
    return STOOK_OK;
}

void mr__view_close(struct mr__view *view)
{
    if (view->map) {
        munmap(view->map, view->map_size);
    }
}
