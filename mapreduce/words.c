/* SPDX-License-Identifier: MIT
 *
 * Walking a text: the choice between the forms of mr_find_words() and mr_find_letters(), the form
 * that runs anywhere, and lines and fields.
 *
 * The form for all machines looks at 8 bytes at a time, as numbers below 128 in the lanes of a
 * uint64_t: adding 128 - n sets the high bit of those that are n or more, and carries nowhere else.
 */
#include "words.h"
#include "words_walk.h"

/* --- on any machine --------------------------------------------------------------------------- */

static uint64_t every_byte(uint64_t byte)
{
    return byte * UINT64_C(0x0101010101010101);
}

/* Sets the high bits of lanes that are at least `least`, 1 to 128, and clears those of others. */
static uint64_t at_least(uint64_t lanes, unsigned least)
{
    return lanes + every_byte(128 - least);
}

static uint64_t load_lanes(const unsigned char *at)
{
    uint64_t lanes = 0;
#pragma GCC unroll 8
    for (unsigned i = 0; i < 8; i++) { /* compilers make one load of it */
        lanes |= (uint64_t)at[i] << (8 * i);
    }
    return lanes;
}

/* The high bits of the lanes as bits 0 to 7. */
static uint64_t gather(uint64_t high_bits)
{
    return (high_bits >> 7) * UINT64_C(0x0102040810204080) >> 56;
}

static uint64_t space_lanes(uint64_t bytes)
{
    const uint64_t lanes = bytes & every_byte(127);
    const uint64_t spaces = (at_least(lanes, '\t') & ~at_least(lanes, '\r' + 1)) |
                            (at_least(lanes, ' ') & ~at_least(lanes, ' ' + 1));
    return spaces & ~bytes & every_byte(128);
}

static uint64_t letter_lanes(uint64_t bytes)
{
    const uint64_t lanes = (bytes & every_byte(127)) | every_byte('a' - 'A');
    return at_least(lanes, 'a') & ~at_least(lanes, 'z' + 1) & ~bytes & every_byte(128);
}

static uint64_t word_mask(const unsigned char block[WALK_BLOCK])
{
    uint64_t spaces = 0;
#pragma GCC unroll 8
    for (unsigned i = 0; i < WALK_BLOCK; i += 8) {
        spaces |= gather(space_lanes(load_lanes(block + i))) << i;
    }
    return ~spaces;
}

static uint64_t letter_mask(const unsigned char block[WALK_BLOCK])
{
    uint64_t letters = 0;
#pragma GCC unroll 8
    for (unsigned i = 0; i < WALK_BLOCK; i += 8) {
        letters |= gather(letter_lanes(load_lanes(block + i))) << i;
    }
    return letters;
}

static size_t find_words(struct mr_slice *text, struct mr_slice words[], size_t most)
{
    return walk_words(text, words, most, word_mask);
}

static size_t find_letters(struct mr_slice *text, struct mr_slice words[], size_t most)
{
    return walk_words(text, words, most, letter_mask);
}

/* --- the choice ------------------------------------------------------------------------------- */

static const struct mr__finder finders[] = {
#if MR_WORDS_X86
    {"avx2", mr__find_words_avx2, mr__find_letters_avx2},
    {"sse2", mr__find_words_sse2, mr__find_letters_sse2},
#endif
    {"portable", find_words, find_letters},
};

enum { FINDER_COUNT = sizeof finders / sizeof finders[0] };

/* How many of the first forms this processor cannot run. */
static size_t finders_to_skip(void)
{
#if MR_WORDS_X86
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                          __builtin_cpu_supports("bmi2");
    return has_avx2 ? 0 : 1;
#else
    return 0;
#endif
}

const struct mr__finder *mr__finder_at(size_t index)
{
    const size_t skip = finders_to_skip();
    return index < FINDER_COUNT - skip ? &finders[skip + index] : NULL;
}

size_t mr_find_words(struct mr_slice *text, struct mr_slice words[], size_t most)
{
    return finders[finders_to_skip()].words(text, words, most);
}

size_t mr_find_letters(struct mr_slice *text, struct mr_slice words[], size_t most)
{
    return finders[finders_to_skip()].letters(text, words, most);
}

/* --- lines and fields ------------------------------------------------------------------------- */

/* As mr_next_field(); tells also whether there was a delimiter. */
static bool next_piece(struct mr_slice *text, char delimiter, struct mr_slice *ret_piece,
                       bool *ret_ended)
{
    if (text->size == 0) {
        return false;
    }
    const char *at = text->data;
    const char *found = memchr(at, delimiter, text->size);
    const size_t size = found ? (size_t)(found - at) : text->size;
    const size_t gone = found ? size + 1 : size;
    *ret_piece = mr_slice_of(at, size);
    *text = mr_slice_of(at + gone, text->size - gone);
    *ret_ended = found != NULL;
    return true;
}

bool mr_next_line(struct mr_slice *text, struct mr_slice *ret_line)
{
    bool ended;
    if (!next_piece(text, '\n', ret_line, &ended)) {
        return false;
    }
    if (ended && ret_line->size > 0 && ((const char *)ret_line->data)[ret_line->size - 1] == '\r') {
        ret_line->size--;
    }
    return true;
}

bool mr_next_field(struct mr_slice *text, char delimiter, struct mr_slice *ret_field)
{
    bool ended;
    return next_piece(text, delimiter, ret_field, &ended);
}
