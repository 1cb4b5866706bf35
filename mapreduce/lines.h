/* SPDX-License-Identifier: MIT
 *
 * Pairs as lines: KEY<TAB>VALUE<newline>, in a buffer that is written to a file when it is full, or
 * grows.
 */
#ifndef MR_LINES_H
#define MR_LINES_H

#include <stdbool.h>
#include <stdint.h>
#include "mr_internal.h"

struct mr__lines {
    enum mr_format format;
    char *buffer;
    size_t used;
    size_t capacity;
    int file;           /* -1: the buffer grows */
    const char *target; /* the file, for messages */
    struct mr_error *error;
    enum stook_status status; /* of what failed, if something did; the error is filled */
};

/* file is -1 at first. */
enum stook_status mr__lines_init(struct mr__lines *lines, enum mr_format format,
                                 struct mr_error *error);
void mr__lines_fini(struct mr__lines *lines);

bool mr__lines_put(struct mr__lines *lines, const struct mr_pair *pair);

/* Writes bytes to the file, however many calls it takes. */
bool mr__lines_write(struct mr__lines *lines, const char *data, size_t size);

/* Puts the next pairs of a result, `most` or as many as there are, and writes what is in the
 * buffer. */
enum stook_status mr__lines_write_pairs(struct mr__lines *lines, mr_result *result, uint64_t most);

/* Fills the error, returns its status: "cannot WHAT TARGET: why"; or what is wrong with a call. */
enum stook_status mr__output_error(struct mr_error *error, int code, const char *what,
                                   const char *target);
enum stook_status mr__output_invalid(struct mr_error *error, const char *what);

#endif
