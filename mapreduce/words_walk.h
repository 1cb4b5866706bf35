/* SPDX-License-Identifier: MIT
 *
 * Walking the words of a text by blocks of 64 bytes, whatever tells which bytes belong to words:
 * that is a mask, bit i for byte i. A word starts where a bit is set and the one before is not, and
 * ends where it is the other way round.
 *
 * Everything is inline, so that each form becomes one function with its state in registers.
 */
#ifndef MR_WORDS_WALK_H
#define MR_WORDS_WALK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <stook/mr_bytes.h>

#if defined __GNUC__
#define WALK_INLINE static inline __attribute__((always_inline))
#else
#define WALK_INLINE static inline
#endif

enum { WALK_BLOCK = 64 };

/* The mask of a whole block. */
typedef uint64_t walk_mask_fn(const unsigned char block[WALK_BLOCK]);

struct walk {
    const unsigned char *at; /* the block */
    const unsigned char *end;
    bool is_long;               /* the text has a block at least */
    const unsigned char *start; /* of the word that goes on into the block, if one does */
    uint64_t goes_on;           /* 1: one does, and there is room for it; 0 */
    struct mr_slice *words;
    size_t count;
    size_t most;
};

/* False if there is nothing to do. */
WALK_INLINE bool walk_begin(struct walk *walk, const struct mr_slice *text, struct mr_slice words[],
                            size_t most)
{
    if (text->size == 0 || most == 0) {
        return false;
    }
    walk->at = text->data;
    walk->end = walk->at + text->size;
    walk->is_long = text->size >= WALK_BLOCK;
    walk->start = walk->at;
    walk->goes_on = 0;
    walk->words = words;
    walk->count = 0;
    walk->most = most;
    return true;
}

/* The mask of the block at hand. Reads nothing but the text: for a last block that is short, the 64
 * bytes before the end; or a copy, if the text has not so many. */
WALK_INLINE uint64_t walk_mask(const struct walk *walk, walk_mask_fn *mask)
{
    const size_t left = (size_t)(walk->end - walk->at);
    if (left >= WALK_BLOCK) {
        return mask(walk->at);
    }
    if (walk->is_long) {
        return mask(walk->end - WALK_BLOCK) >> (WALK_BLOCK - left);
    }
    unsigned char copy[WALK_BLOCK] = {0};
    memcpy(copy, walk->at, left);
    return mask(copy) & ((UINT64_C(1) << left) - 1);
}

WALK_INLINE uint64_t walk_starts(const struct walk *walk, uint64_t mask)
{
    return mask & ~(mask << 1 | walk->goes_on);
}

WALK_INLINE uint64_t walk_ends(const struct walk *walk, uint64_t mask)
{
    return ~mask & (mask << 1 | walk->goes_on);
}

/* The index of the lowest bit; there must be one. */
WALK_INLINE unsigned walk_lowest(uint64_t bits)
{
#if defined __GNUC__
    return (unsigned)__builtin_ctzll(bits);
#else
    unsigned index = 0;
    for (; (bits & 1) == 0; bits >>= 1) {
        index++;
    }
    return index;
#endif
}

/* Takes the words of the block, or as many as there is room for. */
WALK_INLINE void walk_take(struct walk *walk, uint64_t mask)
{
    uint64_t starts = walk_starts(walk, mask);
    uint64_t ends = walk_ends(walk, mask);

    if (walk->goes_on) {
        if (ends == 0) {
            return; /* and goes on into the next block */
        }
        const unsigned char *behind = walk->at + walk_lowest(ends);
        walk->words[walk->count++] = mr_slice_of(walk->start, (size_t)(behind - walk->start));
        ends &= ends - 1;
    }
    for (; ends != 0 && walk->count < walk->most; starts &= starts - 1, ends &= ends - 1) {
        const unsigned start = walk_lowest(starts);
        walk->words[walk->count++] = mr_slice_of(walk->at + start, walk_lowest(ends) - start);
    }
    walk->goes_on = starts != 0 && walk->count < walk->most;
    if (walk->goes_on) {
        walk->start = walk->at + walk_lowest(starts);
    }
}

/* Goes to the next block; false if there is none, or no room. */
WALK_INLINE bool walk_next(struct walk *walk)
{
    if (walk->count == walk->most || walk->end - walk->at <= WALK_BLOCK) {
        return false;
    }
    walk->at += WALK_BLOCK;
    return true;
}

/* Moves *text behind the last word, or to its end if there is none; returns how many there are. */
WALK_INLINE size_t walk_end(struct walk *walk, struct mr_slice *text)
{
    const unsigned char *behind = walk->end;
    if (walk->goes_on) {
        walk->words[walk->count++] = mr_slice_of(walk->start, (size_t)(walk->end - walk->start));
    } else if (walk->count > 0) {
        const struct mr_slice *last = &walk->words[walk->count - 1];
        behind = (const unsigned char *)last->data + last->size;
    }
    *text = mr_slice_of(behind, (size_t)(walk->end - behind));
    return walk->count;
}

/* A whole call. */
WALK_INLINE size_t walk_words(struct mr_slice *text, struct mr_slice words[], size_t most,
                              walk_mask_fn *mask)
{
    struct walk walk;
    if (!walk_begin(&walk, text, words, most)) {
        return 0;
    }
    do {
        walk_take(&walk, walk_mask(&walk, mask));
    } while (walk_next(&walk));
    return walk_end(&walk, text);
}

#endif
