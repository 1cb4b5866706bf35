/* SPDX-License-Identifier: MIT
 *
 * A result in part files in a directory.
 *
 * Invariant: a file gets its own name when its bytes are on the disk, and _SUCCESS appears when all
 * names are. Whatever fails before takes back all that was made.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lines.h"

#define SUCCESS_NAME "_SUCCESS"
#define PART_FORMAT "part-%05" PRIu32

enum { NAME_SIZE = 32 };

struct parts {
    struct mr_text lines;
    mr_result *result;
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
    return mr__output_error(parts->lines.error, code, what, target_text(parts, name, target));
}

static enum stook_status directory_error(const struct parts *parts, int code, const char *what)
{
    char target[MR_PATH_TEXT];
    return mr__output_error(parts->lines.error, code, what,
                            mr__path_text(parts->directory, target));
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

    parts->lines.file = file;
    parts->lines.target = target_text(parts, hidden, target);
    enum stook_status status = mr__lines_write_pairs(&parts->lines, parts->result, most);
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
    uint64_t pairs = mr_result_count(parts->result);

    mr_result_rewind(parts->result);
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
    struct parts all = {.result = result, .directory = directory, .file = -1};

    if (!result || !directory || parts == 0) {
        return mr__output_invalid(ret_error, !result      ? "result is NULL"
                                             : !directory ? "directory is NULL"
                                                          : "parts is 0: it must be at least 1");
    }
    enum stook_status status =
        mr__lines_init(&all.lines, (struct mr__form){.format = value_format}, ret_error);
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
    mr__lines_fini(&all.lines);
    return status;
}
