/* SPDX-License-Identifier: MIT
 *
 * Reads and writes at an offset, and memory from the system, that fail, are interrupted or do less
 * than they should; and a count of the bytes that are mapped. The linker redirects the calls to here
 * (link with `failing_spill` of meson.build). With failing.h, for one file of a program.
 */
#ifndef STOOK_TESTS_FAILING_SPILL_H
#define STOOK_TESTS_FAILING_SPILL_H

#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/types.h>
#include "failing.h"

/* Calls of one kind. */
struct failing_calls {
    atomic_long left;  /* until they fail; negative: they do not */
    atomic_long count; /* so far */
    int code;          /* the errno that they fail with; 0: they do nothing */
    size_t most;       /* bytes that one takes; 0: any number */
    bool interrupted;  /* every other one is */
    bool is_once;      /* the next one does not fail */
};

static struct failing_calls spill_writes = {.left = -1};
static struct failing_calls spill_reads = {.left = -1};
static struct failing_calls spill_opens = {.left = -1};
static _Atomic(struct gate *) write_gate; /* unless NULL: writes pass it */
static atomic_bool no_nameless;           /* O_TMPFILE is not supported */
static atomic_long mapped;                /* bytes */

static inline void spill_calls_reset(void)
{
    spill_writes = (struct failing_calls){.left = -1};
    spill_reads = (struct failing_calls){.left = -1};
    spill_opens = (struct failing_calls){.left = -1};
}

/* False: the call is to return *ret_result. Else *size is what it may take. */
static inline bool spill_call(struct failing_calls *calls, size_t *size, ssize_t *ret_result)
{
    const long number = atomic_fetch_add(&calls->count, 1);

    *ret_result = -1;
    if (calls->interrupted && number % 2 == 0) {
        errno = EINTR;
        return false;
    }
    long left = atomic_load(&calls->left);
    while (left > 0 && !atomic_compare_exchange_weak(&calls->left, &left, left - 1)) {
    }
    if (left == 0) { /* and from then on */
        if (calls->is_once) {
            atomic_store(&calls->left, -1);
        }
        *ret_result = calls->code != 0 ? -1 : 0;
        errno = calls->code;
        return false;
    }
    *size = calls->most > 0 && calls->most < *size ? calls->most : *size;
    return true;
}

ssize_t __real_pwrite64(int file, const void *data, size_t size, off_t offset);
ssize_t __wrap_pwrite64(int file, const void *data, size_t size, off_t offset);
ssize_t __real_pread64(int file, void *data, size_t size, off_t offset);
ssize_t __wrap_pread64(int file, void *data, size_t size, off_t offset);
int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
void *__real_mmap64(void *at, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int file, off_t offset);
int __real_munmap(void *at, size_t size);
int __wrap_munmap(void *at, size_t size);
void *__real_mremap(void *at, size_t size, size_t new_size, int flags, void *to);
void *__wrap_mremap(void *at, size_t size, size_t new_size, int flags, void *to);

ssize_t __wrap_pwrite64(int file, const void *data, size_t size, off_t offset)
{
    struct gate *gate = atomic_load(&write_gate);
    ssize_t result;

    if (gate != NULL) {
        gate_pass(gate);
    }
    return spill_call(&spill_writes, &size, &result) ? __real_pwrite64(file, data, size, offset)
                                                     : result;
}

ssize_t __wrap_pread64(int file, void *data, size_t size, off_t offset)
{
    ssize_t result;

    return spill_call(&spill_reads, &size, &result) ? __real_pread64(file, data, size, offset)
                                                    : result;
}

int __wrap_open64(const char *path, int flags, ...)
{
    mode_t mode = 0;
    size_t size = 0;
    ssize_t result;

    if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    if ((flags & O_TMPFILE) == O_TMPFILE && atomic_load(&no_nameless)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    if ((flags & O_TMPFILE) == O_TMPFILE && !spill_call(&spill_opens, &size, &result)) {
        return -1;
    }
    return __real_open64(path, flags, mode);
}

void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int file, off_t offset)
{
    if (allocation_fails()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *memory = __real_mmap64(at, size, protection, flags, file, offset);
    if (memory != MAP_FAILED) {
        atomic_fetch_add(&mapped, (long)size);
    }
    return memory;
}

int __wrap_munmap(void *at, size_t size)
{
    atomic_fetch_sub(&mapped, (long)size);
    return __real_munmap(at, size);
}

/* What was at `to` is gone. */
void *__wrap_mremap(void *at, size_t size, size_t new_size, int flags, void *to)
{
    if (allocation_fails()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *memory = __real_mremap(at, size, new_size, flags, to);
    if (memory != MAP_FAILED) {
        atomic_fetch_sub(&mapped, (long)size);
    }
    return memory;
}

#endif
