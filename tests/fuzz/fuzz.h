/* SPDX-License-Identifier: MIT
 *
 * What the harnesses share. Each is one function of a byte string that must not crash, hang, leak,
 * or find a difference: libFuzzer calls it with what it makes up (-Dfuzz=true), or fuzz_main.c with
 * what is in the corpus. The first bytes choose how things are done, the others are the matter.
 */
#ifndef STOOK_TESTS_FUZZ_H
#define STOOK_TESTS_FUZZ_H

/* for memfd_create(); so this header comes first */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../mr_support.h"

/* Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Frees what the harness keeps between inputs; called by fuzz_main.c. */
void fuzz_end(void);

/* Not yet taken. */
struct fuzz_bytes {
    const uint8_t *at;
    size_t left;
};

/* The next byte; 0 behind the last. */
static inline unsigned fuzz_byte(struct fuzz_bytes *bytes)
{
    if (bytes->left == 0) {
        return 0;
    }
    bytes->left--;
    return *bytes->at++;
}

static inline unsigned fuzz_below(struct fuzz_bytes *bytes, unsigned bound)
{
    return fuzz_byte(bytes) % bound;
}

static inline bool fuzz_flag(struct fuzz_bytes *bytes)
{
    return fuzz_byte(bytes) % 2 == 1;
}

/* The next `size` bytes, or as many as there are. */
static inline struct mr_slice fuzz_take(struct fuzz_bytes *bytes, size_t size)
{
    const size_t taken = size < bytes->left ? size : bytes->left;
    const struct mr_slice slice = mr_slice_of(bytes->at, taken);
    if (taken > 0) {
        bytes->at += taken;
        bytes->left -= taken;
    }
    return slice;
}

/* A file that is in memory, to be closed; path: of it, while it is open. */
struct fuzz_file {
    int descriptor;
    char path[32];
};

static inline void fuzz_file_make(struct fuzz_file *file, struct mr_slice bytes)
{
    file->descriptor = memfd_create("fuzz", MFD_CLOEXEC);
    MUST(file->descriptor > 0);
    MUST(bytes.size == 0 || write(file->descriptor, bytes.data, bytes.size) == (ssize_t)bytes.size);
    MUST(lseek(file->descriptor, 0, SEEK_SET) == 0);
    snprintf(file->path, sizeof file->path, "/proc/self/fd/%d", file->descriptor);
}

/* A pipe that has the bytes, as far as there is room; its end for reading, to be closed. */
static inline int fuzz_pipe_make(struct mr_slice bytes)
{
    enum { ROOM = 1 << 16 };
    int ends[2];
    MUST(pipe(ends) == 0);
    MUST(bytes.size <= ROOM);
    MUST(bytes.size == 0 || write(ends[1], bytes.data, bytes.size) == (ssize_t)bytes.size);
    MUST(close(ends[1]) == 0);
    return ends[0];
}

#endif
