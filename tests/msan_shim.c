/* SPDX-License-Identifier: MIT
 *
 * Calls of glibc that MemorySanitizer does not know, for its builds only: since glibc 2.33 a
 * program calls stat() and its like by these names, and LLVM 14 intercepts the old ones alone, so
 * it takes what they fill in for uninitialized. A definition in the program takes precedence over
 * the one in libc, which it calls.
 */
#define _GNU_SOURCE /* for RTLD_NEXT, stat64() */
#include <dlfcn.h>
#include <sanitizer/msan_interface.h>
#include <sys/stat.h>

static int filled_in(int result, struct stat64 *ret_status)
{
    if (result == 0) {
        __msan_unpoison(ret_status, sizeof *ret_status);
    }
    return result;
}

int stat64(const char *path, struct stat64 *ret_status)
{
    int (*real)(const char *, struct stat64 *);
    *(void **)&real = dlsym(RTLD_NEXT, "stat64");
    return filled_in(real(path, ret_status), ret_status);
}

int fstat64(int file, struct stat64 *ret_status)
{
    int (*real)(int, struct stat64 *);
    *(void **)&real = dlsym(RTLD_NEXT, "fstat64");
    return filled_in(real(file, ret_status), ret_status);
}

int fstatat64(int folder, const char *path, struct stat64 *ret_status, int flags)
{
    int (*real)(int, const char *, struct stat64 *, int);
    *(void **)&real = dlsym(RTLD_NEXT, "fstatat64");
    return filled_in(real(folder, path, ret_status, flags), ret_status);
}
