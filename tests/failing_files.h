/* SPDX-License-Identifier: MIT
 *
 * Calls of the file system that fail, are interrupted or do less than they should, and a log of
 * their order: the linker redirects the calls to here (link with `failing_files` of meson.build).
 * For one file of a program.
 */
#ifndef STOOK_TESTS_FAILING_FILES_H
#define STOOK_TESTS_FAILING_FILES_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>
#include "support.h"

static struct {
    atomic_long left;         /* calls until one fails; negative: none does */
    int code;                 /* the errno it fails with */
    atomic_long names_left;   /* names looked up until one is gone; negative: none is */
    size_t most;              /* bytes that one write takes; 0: any number */
    int interrupted;          /* so many writes and polls are, each before it does something */
    bool is_zero;             /* writes take nothing */
    atomic_int refused;       /* writes that gave EAGAIN */
    int polls;                /* that waited */
    char log[256];            /* c: a file made; w: written; s, S: file, directory
                                     synchronised; r: renamed */
    size_t logged;            /* less than sizeof log */
    void (*after_sync)(void); /* what somebody else does meanwhile; NULL: nothing */
} files = {.left = -1, .names_left = -1};

static inline bool file_call_fails(void)
{
    if (atomic_fetch_sub(&files.left, 1) == 0) {
        errno = files.code;
        return true;
    }
    return false;
}

static inline bool name_is_gone(void)
{
    if (atomic_fetch_sub(&files.names_left, 1) == 0) {
        errno = ENOENT;
        return true;
    }
    return file_call_fails();
}

static inline void file_log(char what)
{
    if (files.logged + 1 < sizeof files.log) {
        files.log[files.logged++] = what;
    }
}

static inline bool is_interrupted(void)
{
    if (files.interrupted > 0) {
        files.interrupted--;
        errno = EINTR;
        return true;
    }
    return false;
}

/* The mode, which is the argument behind the last one that has a name. */
#define FILES_MODE(ret_mode, flags)                                                                \
    do {                                                                                           \
        if ((flags)&O_CREAT) {                                                                     \
            va_list arguments;                                                                     \
            va_start(arguments, flags);                                                            \
            *(ret_mode) = va_arg(arguments, mode_t);                                               \
            va_end(arguments);                                                                     \
        }                                                                                          \
    } while (0)

/* With 64-bit offsets some have a name of their own. */
#define FILES_WRAP(type, name, ...)                                                                \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

FILES_WRAP(int, mkdir, const char *path, mode_t mode)
{
    return file_call_fails() ? -1 : __real_mkdir(path, mode);
}

FILES_WRAP(int, open64, const char *path, int flags, ...)
{
    mode_t mode = 0;
    FILES_MODE(&mode, flags);
    return name_is_gone() ? -1 : __real_open64(path, flags, mode);
}

FILES_WRAP(int, openat64, int directory, const char *path, int flags, ...)
{
    mode_t mode = 0;
    FILES_MODE(&mode, flags);
    if (file_call_fails()) {
        return -1;
    }
    if (flags & O_CREAT) {
        file_log('c');
    }
    return __real_openat64(directory, path, flags, mode);
}

FILES_WRAP(int, fstatat64, int directory, const char *path, void *ret_stat, int flags)
{
    return name_is_gone() ? -1 : __real_fstatat64(directory, path, ret_stat, flags);
}

FILES_WRAP(void *, fdopendir, int file)
{
    return file_call_fails() ? NULL : __real_fdopendir(file);
}

FILES_WRAP(void *, readdir64, void *directory)
{
    return file_call_fails() ? NULL : __real_readdir64(directory);
}

FILES_WRAP(int, close, int file)
{
    int status = __real_close(file);
    return file_call_fails() ? -1 : status;
}

FILES_WRAP(ssize_t, write, int file, const void *data, size_t size)
{
    if (is_interrupted() || file_call_fails()) {
        return -1;
    }
    if (files.is_zero) {
        return 0;
    }
    file_log('w');
    ssize_t written =
        __real_write(file, data, files.most > 0 && files.most < size ? files.most : size);
    if (written < 0 && errno == EAGAIN) {
        atomic_fetch_add(&files.refused, 1);
    }
    return written;
}

FILES_WRAP(int, poll, struct pollfd *polled, nfds_t count, int timeout)
{
    if (is_interrupted()) {
        return -1;
    }
    files.polls++;
    return __real_poll(polled, count, timeout);
}

FILES_WRAP(int, fsync, int file)
{
    struct stat found;
    if (is_interrupted() || file_call_fails()) {
        return -1;
    }
    MUST(fstat(file, &found) == 0);
    file_log(S_ISDIR(found.st_mode) ? 'S' : 's');
    if (files.after_sync != NULL) {
        files.after_sync();
    }
    return __real_fsync(file);
}

FILES_WRAP(int, renameat, int from, const char *old_name, int to, const char *new_name)
{
    if (file_call_fails()) {
        return -1;
    }
    file_log('r');
    return __real_renameat(from, old_name, to, new_name);
}

#endif
