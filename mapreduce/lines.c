/* SPDX-License-Identifier: MIT
 *
 * Pairs as lines of text, at the speed of memory: keys are copied, numbers have few branches.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "lines.h"
#include <errno.h>
#include <float.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BUFFER_SIZE = 1 << 17,      /* bytes; a write for so many costs little beside filling it */
    LONG_SIZE = BUFFER_SIZE / 4 /* so much is not copied into the buffer */
};

enum stook_status mr__output_error(struct mr_error *error, int code, const char *what,
                                   const char *target)
{
    char reason[MR_REASON_TEXT];

    return mr__error_set(error, STOOK_IO, MR_PHASE_OUTPUT, code, "cannot %s %s: %s", what, target,
                         mr__reason_text(code, reason));
}

enum stook_status mr__output_invalid(struct mr_error *error, const char *what)
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

/* --- the buffer ------------------------------------------------------------------------------- */

enum stook_status mr__lines_init(struct mr_text *lines, struct mr__form form,
                                 struct mr_error *error)
{
    enum mr_format format = form.format;

    *lines = (struct mr_text){.form = form, .file = -1, .error = error};
    if (format != MR_FORMAT_BYTES && format != MR_FORMAT_U64 && format != MR_FORMAT_F64) {
        return mr__output_invalid(error, "value_format is unknown");
    }
    lines->buffer = malloc(BUFFER_SIZE);
    lines->capacity = BUFFER_SIZE;
    return lines->buffer ? STOOK_OK : mr__error_plain(error, STOOK_NOMEM, MR_PHASE_OUTPUT);
}

void mr__lines_fini(struct mr_text *lines)
{
    free(lines->buffer);
}

bool mr__lines_write(struct mr_text *lines, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(lines->file, data, size);
        if (written > 0) {
            data += written;
            size -= (size_t)written;
        } else if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            struct pollfd until = {.fd = lines->file, .events = POLLOUT};
            (void)poll(&until, 1, -1); /* if it fails, the next write tells why */
        } else if (written == 0 || errno != EINTR) {
            lines->status = mr__output_error(lines->error, written < 0 ? errno : EIO, "write to",
                                             lines->target);
            return false;
        }
    }
    return true;
}

static bool flush(struct mr_text *lines)
{
    size_t used = lines->used;

    lines->used = 0;
    return mr__lines_write(lines, lines->buffer, used);
}

/* Room for `need` bytes, at most BUFFER_SIZE if they go to a file. */
static bool make_room(struct mr_text *lines, size_t need)
{
    if (lines->file >= 0) {
        return flush(lines);
    }
    size_t capacity = lines->capacity * 2;
    if (capacity - lines->used < need) {
        capacity = lines->used + need;
    }
    char *bigger = need <= SIZE_MAX / 4 ? realloc(lines->buffer, capacity) : NULL;
    if (!bigger) {
        lines->status = mr__error_plain(lines->error, STOOK_NOMEM, MR_PHASE_OUTPUT);
        return false;
    }
    lines->buffer = bigger;
    lines->capacity = capacity;
    return true;
}

/* Puts bytes, and one more behind them. */
static inline bool put(struct mr_text *lines, struct mr_slice bytes, char end)
{
    if (bytes.size >= lines->capacity - lines->used) {
        if (!make_room(lines, bytes.size + 1)) {
            return false;
        }
        if (bytes.size >= LONG_SIZE && lines->file >= 0) {
            if (!mr__lines_write(lines, bytes.data, bytes.size)) {
                return false;
            }
            bytes.size = 0;
        }
    }
    if (bytes.size > 0) { /* else data may be NULL */
        memcpy(lines->buffer + lines->used, bytes.data, bytes.size);
    }
    lines->used += bytes.size;
    lines->buffer[lines->used++] = end;
    return true;
}

static bool put_number(struct mr_text *lines, const struct mr_pair *pair)
{
    if (pair->value.size != 8) {
        char key[MR_KEY_TEXT];
        lines->status = mr__error_set(lines->error, STOOK_INVALID, MR_PHASE_OUTPUT, 0,
                                      "the value of key %s has %zu bytes: a %s has 8",
                                      mr__key_text(pair->key, key), pair->value.size,
                                      lines->form.format == MR_FORMAT_U64 ? "uint64_t" : "double");
        return false;
    }
    if (lines->capacity - lines->used < NUMBER_SIZE && !make_room(lines, NUMBER_SIZE)) {
        return false;
    }
    char *at = lines->buffer + lines->used;
    char *end = lines->form.format == MR_FORMAT_U64 ? put_u64(at, mr_slice_u64(pair->value))
                                                    : put_f64(at, mr_slice_f64(pair->value));
    *end++ = '\n';
    lines->used = (size_t)(end - lines->buffer);
    return true;
}

bool mr_text_put(mr_text *text, struct mr_slice bytes)
{
    if (bytes.size > text->capacity - text->used) {
        if (!make_room(text, bytes.size)) {
            return false;
        }
        if (bytes.size > text->capacity) { /* to the file: it does not grow */
            return mr__lines_write(text, bytes.data, bytes.size);
        }
    }
    if (bytes.size > 0) {
        memcpy(text->buffer + text->used, bytes.data, bytes.size);
        text->used += bytes.size;
    }
    return true;
}

/* The text that the function makes. */
static bool put_text(struct mr_text *text, const struct mr_pair *pair)
{
    char key[MR_KEY_TEXT];
    int code = text->form.fn(pair, text, text->form.user);

    if (code != 0 && text->status == STOOK_OK) {
        text->status = mr__error_set(text->error, STOOK_TASK_FAILED, MR_PHASE_OUTPUT, code,
                                     "the text function failed with code %d for key %s", code,
                                     mr__key_text(pair->key, key));
    }
    return text->status == STOOK_OK;
}

bool mr__lines_put(struct mr_text *lines, const struct mr_pair *pair)
{
    if (lines->form.fn) {
        return put_text(lines, pair);
    }
    return put(lines, pair->key, '\t') &&
           (lines->form.format == MR_FORMAT_BYTES ? put(lines, pair->value, '\n')
                                                  : put_number(lines, pair));
}

enum stook_status mr__lines_write_pairs(struct mr_text *lines, mr_result *result, uint64_t most)
{
    struct mr_pair pair;

    for (uint64_t i = 0; i < most; i++) {
        if (!mr_result_next(result, &pair)) {
            enum stook_status status = mr_result_status(result, lines->error);
            if (status != STOOK_OK) {
                return status;
            }
            break;
        }
        if (!mr__lines_put(lines, &pair)) {
            return lines->status;
        }
    }
    return flush(lines) ? STOOK_OK : lines->status;
}
