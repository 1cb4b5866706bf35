/* SPDX-License-Identifier: MIT
 *
 * Bytes: keys, values and pieces of texts; and walking the words and lines of a text at the speed
 * of memory.
 *
 * Threads: any function from any thread. Blocks: never.
 */
#ifndef STOOK_MR_BYTES_H
#define STOOK_MR_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <stook/base.h>

STOOK_BEGIN_DECLS

struct mr_slice {
    const void *data; /* may be NULL when size is 0 */
    size_t size;      /* bytes */
};

struct mr_pair {
    struct mr_slice key;
    struct mr_slice value;
};

static inline struct mr_slice mr_slice_of(const void *data, size_t size)
{
    struct mr_slice slice;
    slice.data = data;
    slice.size = size;
    return slice;
}

/* The bytes of a C string, without its NUL. */
static inline struct mr_slice mr_slice_str(const char *text)
{
    return mr_slice_of(text, strlen(text));
}

/* As unsigned bytes, a prefix first: negative, 0, or positive. */
static inline int mr_slice_compare(struct mr_slice a, struct mr_slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* Numbers as values: 8 bytes in the machine's order, from and to any address. Other sizes: 0. */
static inline uint64_t mr_slice_u64(struct mr_slice value)
{
    uint64_t number = 0;
    if (value.size == sizeof number) {
        memcpy(&number, value.data, sizeof number);
    }
    return number;
}

static inline double mr_slice_f64(struct mr_slice value)
{
    double number = 0;
    if (value.size == sizeof number) {
        memcpy(&number, value.data, sizeof number);
    }
    return number;
}

/* The hash of a key that decides its partition: (hash >> 32) * partitions >> 32. It is fixed: the
 * same on every machine, for ever. It does not resist keys that were made to collide.
 *
 * 16 bytes at a time through folded 64 x 64 -> 128 bit products, the construction of Wang Yi's
 * wyhash. */
STOOK_API uint64_t mr_hash(struct mr_slice key);

/* --- walking a text --------------------------------------------------------------------------- */

/* Finds the next words of *text, up to `most`, and moves *text behind them; a word is a maximal run
 * of bytes that are not white space in the C locale (space, \t \n \v \f \r). Returns how many there
 * are: 0 at the end of the text only.
 *
 *     while ((count = mr_find_words(&text, words, 64)) > 0) ...
 *
 * The words lie in the text. Most instructions are vectors of the processor's widest kind that is
 * of use; the result is the same everywhere. */
STOOK_API size_t mr_find_words(struct mr_slice *text, struct mr_slice words[], size_t most);

/* The same for runs of letters A-Z and a-z; all other bytes separate them. */
STOOK_API size_t mr_find_letters(struct mr_slice *text, struct mr_slice words[], size_t most);

/* Gives the next line of *text without its newline ("\n", or "\r\n"), and moves *text behind it;
 * false at the end of the text. What follows the last newline is a line, unless it is empty. */
STOOK_API bool mr_next_line(struct mr_slice *text, struct mr_slice *ret_line);

/* Gives what is before the next `delimiter` in *text, and moves *text behind it; the rest, when
 * there is none. False when nothing was left; "a," has one field, and then an empty rest. */
STOOK_API bool mr_next_field(struct mr_slice *text, char delimiter, struct mr_slice *ret_field);

STOOK_END_DECLS

#endif
