/* SPDX-License-Identifier: MIT
 *
 * Pairs in files: written one after the other, most often sorted, as *runs*, and read again from
 * begin to end. The files have no names, so nothing is left of them however the process ends.
 */
#ifndef MR_SPILL_H
#define MR_SPILL_H

#include <stdbool.h>
#include <stdint.h>
#include <stook/mapreduce.h>
#include "memory.h"

/* One writer at a time; any number of readers of what has been written. */
struct mr__file {
    struct mr__file *next; /* in the context's list */
    int descriptor;
    uint64_t end;
};

/* Consecutive pairs in a file. */
struct mr__run {
    const struct mr__file *file;
    uint64_t offset;
    uint64_t size;  /* bytes */
    uint64_t pairs; /* that are in it */
};

/* Creates one in the directory (NULL: $TMPDIR, or /tmp). NULL: STOOK_IO or STOOK_NOMEM in
 * *ret_error. */
struct mr__file *mr__file_create(const char *directory, struct mr_error *ret_error);
void mr__file_close(struct mr__file *file);

struct mr__writer {
    struct mr__budget *budget;
    struct mr__file *file;
    struct mr__run run; /* what has been written so far */
    char *buffer;
    size_t used;
    int code; /* errno of the first write that failed; 0: none */
};

/* Begins a run; false without memory. */
bool mr__writer_begin(struct mr__writer *writer, struct mr__budget *budget, struct mr__file *file);

/* Begins the next run of the same file behind one that has been ended. */
void mr__writer_go_on(struct mr__writer *writer);
void mr__writer_add(struct mr__writer *writer, struct mr_slice key, struct mr_slice value);

/* Ends the run; false: a write has failed, see code. */
bool mr__writer_end(struct mr__writer *writer, struct mr__run *ret_run);

/* Frees the buffer; all zero is allowed. */
void mr__writer_fini(struct mr__writer *writer);

struct mr__reader {
    struct mr__budget *budget;
    const struct mr__run *run;
    char *buffer; /* its begin is aligned for 8-byte types, and so are the pairs in it */
    size_t capacity;
    size_t at, used; /* bytes in the buffer: not yet given from `at` on */
    uint64_t offset; /* in the run: of what is behind the buffer */
    enum stook_status status;
    int code; /* errno for STOOK_IO */
};

/* capacity: bytes of its buffer, at first. False without memory. */
bool mr__reader_begin(struct mr__reader *reader, struct mr__budget *budget,
                      const struct mr__run *run, size_t capacity);

/* The next pair, valid until the next call; false at the end, or after a failure: see status. */
bool mr__reader_next(struct mr__reader *reader, struct mr_pair *ret_pair);
void mr__reader_fini(struct mr__reader *reader);

#endif
