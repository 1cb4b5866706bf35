/* SPDX-License-Identifier: MIT
 *
 * Calls that look at files and read them, and that fail, are interrupted or give little: the
 * linker redirects the calls to here (link with `failing` and `failing_reads` of meson.build). With
 * failing.h, for one file of a program: memory that is mapped counts as its allocations do.
 */
#ifndef STOOK_TESTS_FAILING_READS_H
#define STOOK_TESTS_FAILING_READS_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "failing.h"

static struct {
    atomic_long left;         /* calls until one fails; negative: none does */
    int code;                 /* the errno it fails with */
    size_t most;              /* bytes that one call reads; 0: any number */
    bool is_interrupted;      /* every other call that may wait */
    atomic_ulong calls;       /* of these */
    atomic_ulong interrupted; /* of these */
    bool has_no_pipes;        /* EMFILE */
    atomic_long refused;      /* so many reads find nothing yet, though they were promised some */
} reads = {.left = -1};

static inline bool read_call_fails(void)
{
    if (atomic_fetch_sub(&reads.left, 1) == 0) {
        errno = reads.code;
        return true;
    }
    return false;
}

static inline bool read_is_interrupted(void)
{
    if (reads.is_interrupted && atomic_fetch_add(&reads.calls, 1) % 2 == 0) {
        atomic_fetch_add(&reads.interrupted, 1);
        errno = EINTR;
        return true;
    }
    return read_call_fails();
}

static inline size_t read_at_most(size_t size)
{
    return reads.most > 0 && reads.most < size ? reads.most : size;
}

#define READS_WRAP(type, name, ...)                                                                \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

READS_WRAP(int, open64, const char *path, int flags, ...)
{
    mode_t mode = 0;
    if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    return read_call_fails() ? -1 : __real_open64(path, flags, mode);
}

READS_WRAP(int, stat64, const char *path, void *ret_stat)
{
    return read_call_fails() ? -1 : __real_stat64(path, ret_stat);
}

READS_WRAP(int, fstat64, int file, void *ret_stat)
{
    return read_call_fails() ? -1 : __real_fstat64(file, ret_stat);
}

READS_WRAP(ssize_t, read, int file, void *to, size_t size)
{
    if (read_is_interrupted()) {
        return -1;
    }
    if (atomic_load(&reads.refused) > 0) {
        atomic_fetch_sub(&reads.refused, 1);
        errno = EAGAIN;
        return -1;
    }
    return __real_read(file, to, read_at_most(size));
}

READS_WRAP(ssize_t, pread64, int file, void *to, size_t size, off_t offset)
{
    return read_is_interrupted() ? -1 : __real_pread64(file, to, read_at_most(size), offset);
}

READS_WRAP(int, poll, struct pollfd *polled, nfds_t count, int timeout)
{
    return timeout != 0 && read_is_interrupted() ? -1 : __real_poll(polled, count, timeout);
}

READS_WRAP(int, pipe, int *ends)
{
    if (reads.has_no_pipes) {
        errno = EMFILE;
        return -1;
    }
    return read_call_fails() ? -1 : __real_pipe(ends);
}

READS_WRAP(void *, mmap64, void *at, size_t size, int protection, int flags, int file, off_t offset)
{
    if (file < 0 ? allocation_fails() : read_call_fails()) {
        errno = file < 0 ? ENOMEM : reads.code;
        return MAP_FAILED;
    }
    return __real_mmap64(at, size, protection, flags, file, offset);
}

#endif
