/* SPDX-License-Identifier: MIT
 *
 * Writing a result: its pairs as lines to a descriptor, or into part files in a directory.
 *
 * Invariant of the parts: a file gets its own name when its bytes are on the disk, and _SUCCESS
 * appears when all names are. Whatever fails before takes back all that was made.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "mr_internal.h"

enum {
    BUFFER_SIZE = 1 << 17,      /* bytes; a write for so many costs little beside filling it */
    LONG_SIZE = BUFFER_SIZE / 4 /* so much is not copied into the buffer */
};

/* "cannot WHAT TARGET: why" */
static enum stook_status io_error(struct mr_error *error, int code, const char *what,
                                  const char *target)
{
    char reason[MR_REASON_TEXT];

    return mr__error_set(error, STOOK_IO, MR_PHASE_OUTPUT, code, "cannot %s %s: %s", what, target,
                         mr__reason_text(code, reason));
}

static enum stook_status invalid(struct mr_error *error, const char *what)
{
    return mr__error_set(error, STOOK_INVALID, MR_PHASE_OUTPUT, 0, "%s", what);
}

/* --- numbers as text -------------------------------------------------------------------------- */

enum { NUMBER_SIZE = 64 }; /* room for any of them */

/* Four digits of a number below 10,000. */
static inline void put_four(char *at, unsigned number)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    memcpy(at, pairs + (size_t)(number / 100 * 2), 2);
    memcpy(at + 2, pairs + (size_t)(number % 100 * 2), 2);
}

/* Returns the end of the decimal that it puts at `at`. Few branches: the lengths of numbers that
 * follow each other are hard to predict. */
static char *put_u64(char *at, uint64_t number)
{
    if (number < 10000) {
        char digits[8] = {0};
        size_t size = (size_t)1 + (number >= 10) + (number >= 100) + (number >= 1000);
        put_four(digits, (unsigned)number);
        memcpy(at, digits + 4 - size, 4); /* always four: what is too much is overwritten */
        return at + size;
    }
    char *end = put_u64(at, number / 10000);
    put_four(end, (unsigned)(number % 10000));
    return end + 4;
}

/* Where the locale has another decimal point, which may be several bytes. */
static char *with_point(char *text)
{
    size_t before = strspn(text, "-0123456789");
    size_t point = strcspn(text + before, "0123456789e");

    if (point > 0) {
        text[before] = '.';
        memmove(text + before + 1, text + before + point, strlen(text + before + point) + 1);
    }
    return text + strlen(text);
}

static char *put_f64(char *at, double number)
{
    if (isnan(number)) {
        memcpy(at, "nan", 3); /* NOLINT(bugprone-not-null-terminated-result) */
        return at + 3;
    }
    if (signbit(number)) {
        *at++ = '-';
        number = -number;
    }
    if (isinf(number)) {
        memcpy(at, "inf", 3); /* NOLINT(bugprone-not-null-terminated-result) */
        return at + 3;
    }
    if (number < 1e15 && number == (double)(uint64_t)number) {
        return put_u64(at, (uint64_t)number); /* what %.15g would give */
    }
    /* Up to 15 digits survive in a normal number, so %.15g has no more than it needs. */
    int digits = number < DBL_MIN ? 1 : DBL_DIG;
    do {
        snprintf(at, NUMBER_SIZE - 1, "%.*g", digits, number);
    } while (++digits <= DBL_DECIMAL_DIG && strtod(at, NULL) != number);
    return with_point(at);
}

/* --- pairs to a file -------------------------------------------------------------------------- */

struct writer {
    mr_result *result;
    enum mr_format format;
    char *buffer; /* BUFFER_SIZE bytes */
    size_t used;
    int file;
    const char *target; /* the file, for messages */
    struct mr_error *error;
    enum stook_status status; /* of what failed, if something did; the error is filled */
};

static enum stook_status writer_init(struct writer *writer, mr_result *result,
                                     enum mr_format format, struct mr_error *error)
{
    *writer = (struct writer){.result = result, .format = format, .file = -1, .error = error};
    if (format != MR_FORMAT_BYTES && format != MR_FORMAT_U64 && format != MR_FORMAT_F64) {
        return invalid(error, "value_format is unknown");
    }
    writer->buffer = malloc(BUFFER_SIZE);
    return writer->buffer ? STOOK_OK : mr__error_plain(error, STOOK_NOMEM, MR_PHASE_OUTPUT);
}

static void writer_fini(struct writer *writer)
{
    free(writer->buffer);
}

/* However many calls it takes. */
static bool write_all(struct writer *writer, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(writer->file, data, size);
        if (written > 0) {
            data += written;
            size -= (size_t)written;
        } else if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            struct pollfd until = {.fd = writer->file, .events = POLLOUT};
            (void)poll(&until, 1, -1); /* if it fails, the next write tells why */
        } else if (written == 0 || errno != EINTR) {
            writer->status =
                io_error(writer->error, written < 0 ? errno : EIO, "write to", writer->target);
            return false;
        }
    }
    return true;
}

static bool flush(struct writer *writer)
{
    size_t used = writer->used;

    writer->used = 0;
    return write_all(writer, writer->buffer, used);
}

/* Puts bytes, and one more behind them. */
static inline bool put(struct writer *writer, struct mr_slice bytes, char end)
{
    if (bytes.size >= BUFFER_SIZE - writer->used) {
        if (!flush(writer)) {
            return false;
        }
        if (bytes.size >= LONG_SIZE) {
            if (!write_all(writer, bytes.data, bytes.size)) {
                return false;
            }
            bytes.size = 0;
        }
    }
    if (bytes.size > 0) { /* else data may be NULL */
        memcpy(writer->buffer + writer->used, bytes.data, bytes.size);
    }
    writer->used += bytes.size;
    writer->buffer[writer->used++] = end;
    return true;
}

static bool put_number(struct writer *writer, const struct mr_pair *pair)
{
    if (pair->value.size != 8) {
        char key[MR_KEY_TEXT];
        writer->status = mr__error_set(writer->error, STOOK_INVALID, MR_PHASE_OUTPUT, 0,
                                       "the value of key %s has %zu bytes: a %s has 8",
                                       mr__key_text(pair->key, key), pair->value.size,
                                       writer->format == MR_FORMAT_U64 ? "uint64_t" : "double");
        return false;
    }
    if (BUFFER_SIZE - writer->used < NUMBER_SIZE && !flush(writer)) {
        return false;
    }
    char *at = writer->buffer + writer->used;
    char *end = writer->format == MR_FORMAT_U64 ? put_u64(at, mr_slice_u64(pair->value))
                                                : put_f64(at, mr_slice_f64(pair->value));
    *end++ = '\n';
    writer->used = (size_t)(end - writer->buffer);
    return true;
}

/* Writes the next pairs, `most` or as many as there are. */
static enum stook_status write_pairs(struct writer *writer, uint64_t most)
{
    struct mr_pair pair;

    for (uint64_t i = 0; i < most; i++) {
        if (!mr_result_next(writer->result, &pair)) {
            enum stook_status status = mr_result_status(writer->result, writer->error);
            if (status != STOOK_OK) {
                return status;
            }
            break;
        }
        if (!put(writer, pair.key, '\t') ||
            !(writer->format == MR_FORMAT_BYTES ? put(writer, pair.value, '\n')
                                                : put_number(writer, &pair))) {
            return writer->status;
        }
    }
    return flush(writer) ? STOOK_OK : writer->status;
}

enum stook_status mr_result_write(mr_result *result, int descriptor, enum mr_format value_format,
                                  struct mr_error *ret_error)
{
    struct writer writer;
    char target[32];

    if (!result) {
        return invalid(ret_error, "result is NULL");
    }
    enum stook_status status = writer_init(&writer, result, value_format, ret_error);
    if (status == STOOK_OK) {
        snprintf(target, sizeof target, "descriptor %d", descriptor);
        writer.file = descriptor;
        writer.target = target;
        status = write_pairs(&writer, UINT64_MAX);
    }
    writer_fini(&writer);
    return status;
}

/* --- part files ------------------------------------------------------------------------------- */

#define SUCCESS_NAME "_SUCCESS"
#define PART_FORMAT "part-%05" PRIu32

enum { NAME_SIZE = 32 };

struct parts {
    struct writer writer;
    const char *directory; /* its path */
    int file;              /* it, open */
    bool is_made;
    uint32_t renamed; /* parts that have their names */
};

/* The path of a file in the directory, for messages; only the end of a long one is needed. */
static const char *target_text(const struct parts *parts, const char *name, char text[MR_PATH_TEXT])
{
    char path[MR_PATH_TEXT + NAME_MAX + 2];
    size_t size = strlen(parts->directory);

    snprintf(path, sizeof path, "%s/%s",
             parts->directory + (size < MR_PATH_TEXT ? 0 : size - MR_PATH_TEXT), name);
    return mr__path_text(path, text);
}

static enum stook_status file_error(const struct parts *parts, int code, const char *what,
                                    const char *name)
{
    char target[MR_PATH_TEXT];
    return io_error(parts->writer.error, code, what, target_text(parts, name, target));
}

static enum stook_status directory_error(const struct parts *parts, int code, const char *what)
{
    char target[MR_PATH_TEXT];
    return io_error(parts->writer.error, code, what, mr__path_text(parts->directory, target));
}

/* Until it is on the disk, where the file system knows of that. As an errno. */
static int synchronise(int file)
{
    while (fsync(file) != 0) {
        if (errno != EINTR) {
            return errno == EINVAL || errno == ENOTSUP ? 0 : errno;
        }
    }
    return 0;
}

static bool is_result_file(const char *name)
{
    return strcmp(name, SUCCESS_NAME) == 0 ||
           (strncmp(name, "part-", 5) == 0 && name[5] >= '0' && name[5] <= '9');
}

/* Fails if the directory has a part, whatever its number: who reads all parts would read it too. */
static enum stook_status refuse_old_files(const struct parts *parts)
{
    int file = openat(parts->file, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = file < 0 ? NULL : fdopendir(file);
    if (!stream) {
        enum stook_status status = directory_error(parts, errno, "read");
        if (file >= 0) {
            close(file);
        }
        return status;
    }
    enum stook_status status = STOOK_OK;
    while (status == STOOK_OK) {
        errno = 0;
        const struct dirent *entry = readdir(stream); /* NOLINT(concurrency-mt-unsafe) own */
        if (!entry) {
            if (errno != 0) {
                status = directory_error(parts, errno, "read");
            }
            break;
        }
        if (is_result_file(entry->d_name)) {
            status = file_error(parts, EEXIST, "create", entry->d_name);
        }
    }
    closedir(stream);
    return status;
}

static enum stook_status directory_open(struct parts *parts)
{
    parts->is_made = mkdir(parts->directory, 0777) == 0;
    if (!parts->is_made && errno != EEXIST) {
        return directory_error(parts, errno, "make directory");
    }
    parts->file = open(parts->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parts->file < 0) {
        return directory_error(parts, errno, "open directory");
    }
    return refuse_old_files(parts);
}

/* Renames a file unless the new name exists. Nobody who writes parts makes it in between, since its
 * hidden name is taken. */
static enum stook_status rename_new(const struct parts *parts, const char *hidden, const char *name)
{
    struct stat found;

    if (fstatat(parts->file, name, &found, AT_SYMLINK_NOFOLLOW) == 0) {
        return file_error(parts, EEXIST, "create", name);
    }
    if (errno != ENOENT || renameat(parts->file, hidden, parts->file, name) != 0) {
        return file_error(parts, errno, "create", name);
    }
    return STOOK_OK;
}

static enum stook_status fill_part(struct parts *parts, int file, const char *hidden, uint64_t most)
{
    char target[MR_PATH_TEXT];

    parts->writer.file = file;
    parts->writer.target = target_text(parts, hidden, target);
    enum stook_status status = write_pairs(&parts->writer, most);
    if (status != STOOK_OK) {
        return status;
    }
    int code = synchronise(file);
    return code == 0 ? STOOK_OK : file_error(parts, code, "synchronise", hidden);
}

static enum stook_status write_part(struct parts *parts, uint32_t number, uint64_t most)
{
    char name[NAME_SIZE];
    char hidden[NAME_SIZE];

    snprintf(name, sizeof name, PART_FORMAT, number);
    snprintf(hidden, sizeof hidden, "." PART_FORMAT ".tmp", number);
    int file = openat(parts->file, hidden, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file < 0) {
        return file_error(parts, errno, "create", hidden);
    }
    enum stook_status status = fill_part(parts, file, hidden, most);
    if (close(file) != 0 && errno != EINTR && status == STOOK_OK) {
        status = file_error(parts, errno, "close", hidden);
    }
    if (status == STOOK_OK) {
        status = rename_new(parts, hidden, name);
    }
    if (status != STOOK_OK) {
        unlinkat(parts->file, hidden, 0);
        return status;
    }
    parts->renamed++;
    return STOOK_OK;
}

/* Brings the directory to the disk: the names in it and, if it is new, its own. */
static enum stook_status directory_synchronise(const struct parts *parts)
{
    int code = synchronise(parts->file);
    if (code == 0 && parts->is_made) {
        int parent = openat(parts->file, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (parent >= 0) { /* it need not be readable */
            code = synchronise(parent);
            close(parent);
        }
    }
    return code == 0 ? STOOK_OK : directory_error(parts, code, "synchronise");
}

static enum stook_status declare_success(const struct parts *parts)
{
    int file = openat(parts->file, SUCCESS_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file < 0) {
        return file_error(parts, errno, "create", SUCCESS_NAME);
    }
    int code = synchronise(file);
    close(file); /* nothing was written */
    enum stook_status status = code == 0 ? directory_synchronise(parts)
                                         : file_error(parts, code, "synchronise", SUCCESS_NAME);
    if (status != STOOK_OK) {
        unlinkat(parts->file, SUCCESS_NAME, 0);
    }
    return status;
}

static enum stook_status write_parts(struct parts *parts, uint32_t count)
{
    uint64_t pairs = mr_result_count(parts->writer.result);

    mr_result_rewind(parts->writer.result);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t most = pairs / count + (i < pairs % count);
        /* The last one reads to the end, and so hears of a failure there. */
        enum stook_status status = write_part(parts, i, i + 1 < count ? most : UINT64_MAX);
        if (status != STOOK_OK) {
            return status;
        }
    }
    enum stook_status status = directory_synchronise(parts);
    return status == STOOK_OK ? declare_success(parts) : status;
}

static void parts_remove(const struct parts *parts)
{
    for (uint32_t i = 0; i < parts->renamed; i++) {
        char name[NAME_SIZE];
        snprintf(name, sizeof name, PART_FORMAT, i);
        unlinkat(parts->file, name, 0);
    }
    if (parts->is_made) {
        rmdir(parts->directory);
    }
}

enum stook_status mr_result_write_parts(mr_result *result, const char *directory, uint32_t parts,
                                        enum mr_format value_format, struct mr_error *ret_error)
{
    struct parts all = {.directory = directory, .file = -1};

    if (!result || !directory || parts == 0) {
        return invalid(ret_error, !result      ? "result is NULL"
                                  : !directory ? "directory is NULL"
                                               : "parts is 0: it must be at least 1");
    }
    enum stook_status status = writer_init(&all.writer, result, value_format, ret_error);
    if (status == STOOK_OK) {
        status = directory_open(&all);
    }
    if (status == STOOK_OK) {
        status = write_parts(&all, parts);
    }
    if (status != STOOK_OK) {
        parts_remove(&all);
    }
    if (all.file >= 0) {
        close(all.file);
    }
    writer_fini(&all.writer);
    return status;
}
