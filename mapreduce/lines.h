/* SPDX-License-Identifier: MIT
 *
 * Pairs as text, KEY<TAB>VALUE<newline> or what a function makes of them, in a buffer that is written
 * to a file when it is full, or grows.
 */
#ifndef MR_LINES_H
#define MR_LINES_H

#include <stdbool.h>
#include <stdint.h>
#include "mr_internal.h"

/* What to make of pairs. */
struct mr__form {
    enum mr_format format; /* unless fn is not NULL */
    mr_text_fn *fn;
    void *user;
};

struct mr_text {
    struct mr__form form;
    char *buffer;
    size_t used;
    size_t capacity;
    int file;           /* -1: the buffer grows */
    const char *target; /* the file, for messages */
    struct mr_error *error;
    enum stook_status status; /* of what failed, if something did; the error is filled */
};

/* file is -1 at first. */
enum stook_status mr__lines_init(struct mr_text *lines, struct mr__form form,
                                 struct mr_error *error);
void mr__lines_fini(struct mr_text *lines);

bool mr__lines_put(struct mr_text *lines, const struct mr_pair *pair);

/* Writes bytes to the file, however many calls it takes. */
bool mr__lines_write(struct mr_text *lines, const char *data, size_t size);

/* Puts the next pairs of a result, `most` or as many as there are, and writes what is in the
 * buffer. */
enum stook_status mr__lines_write_pairs(struct mr_text *lines, mr_result *result, uint64_t most);

/* Fills the error, returns its status: "cannot WHAT TARGET: why"; or what is wrong with a call. */
enum stook_status mr__output_error(struct mr_error *error, int code, const char *what,
                                   const char *target);
enum stook_status mr__output_invalid(struct mr_error *error, const char *what);

#endif
