/* SPDX-License-Identifier: MIT
 *
 * Finding words with the vectors of x86-64: SSE2, which each of them has, and AVX2 with BMI, which
 * the caller must have asked for. The AVX2 form also writes words without a branch for each: how
 * many words a block has cannot be predicted, but that it has no more than ten mostly can.
 */
#include "words.h"

#if MR_WORDS_X86
#include <immintrin.h>
#include "words_walk.h"

#define AVX2 __attribute__((target("avx2,bmi,bmi2")))

/* --- SSE2 ------------------------------------------------------------------------------------- */

static __m128i load16(const unsigned char *at)
{
    return _mm_loadu_si128((const void *)at);
}

/* 0xff for each byte that is in [first, first + more]. */
static __m128i in_range16(__m128i bytes, char first, char more)
{
    const __m128i above = _mm_sub_epi8(bytes, _mm_set1_epi8(first));
    return _mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8(more)), above);
}

static uint64_t spaces16(const unsigned char *at)
{
    const __m128i bytes = load16(at);
    const __m128i blanks = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(' '));
    const __m128i others = in_range16(bytes, '\t', '\r' - '\t');
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(blanks, others));
}

static uint64_t letters16(const unsigned char *at)
{
    const __m128i small = _mm_or_si128(load16(at), _mm_set1_epi8('a' - 'A'));
    return (unsigned)_mm_movemask_epi8(in_range16(small, 'a', 'z' - 'a'));
}

static uint64_t word_mask_sse2(const unsigned char block[WALK_BLOCK])
{
    return ~(spaces16(block) | spaces16(block + 16) << 16 | spaces16(block + 32) << 32 |
             spaces16(block + 48) << 48);
}

static uint64_t letter_mask_sse2(const unsigned char block[WALK_BLOCK])
{
    return letters16(block) | letters16(block + 16) << 16 | letters16(block + 32) << 32 |
           letters16(block + 48) << 48;
}

size_t mr__find_words_sse2(struct mr_slice *text, struct mr_slice words[], size_t most)
{
    return walk_words(text, words, most, word_mask_sse2);
}

size_t mr__find_letters_sse2(struct mr_slice *text, struct mr_slice words[], size_t most)
{
    return walk_words(text, words, most, letter_mask_sse2);
}

/* --- AVX2: masks ------------------------------------------------------------------------------ */

AVX2 static inline __m256i load32(const unsigned char *at)
{
    return _mm256_loadu_si256((const void *)at);
}

/* The table has, at the low half of each space, that space; at the others, no byte with that low
 * half. A byte above 127 is looked up as 0. */
AVX2 static inline uint64_t spaces32(const unsigned char *at)
{
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(' ', 0, 0, 0, 0, 0, 0, 0, 0, '\t', '\n', '\v', '\f', '\r', 0, 0));
    const __m256i bytes = load32(at);
    const __m256i spaces = _mm256_cmpeq_epi8(_mm256_shuffle_epi8(table, bytes), bytes);
    return (unsigned)_mm256_movemask_epi8(spaces);
}

AVX2 static inline uint64_t letters32(const unsigned char *at)
{
    const __m256i small = _mm256_or_si256(load32(at), _mm256_set1_epi8('a' - 'A'));
    const __m256i above = _mm256_sub_epi8(small, _mm256_set1_epi8('a'));
    const __m256i most = _mm256_set1_epi8('z' - 'a');
    const __m256i letters = _mm256_cmpeq_epi8(_mm256_min_epu8(above, most), above);
    return (unsigned)_mm256_movemask_epi8(letters);
}

AVX2 static inline uint64_t word_mask_avx2(const unsigned char block[WALK_BLOCK])
{
    return ~(spaces32(block) | spaces32(block + 32) << 32);
}

AVX2 static inline uint64_t letter_mask_avx2(const unsigned char block[WALK_BLOCK])
{
    return letters32(block) | letters32(block + 32) << 32;
}

/* --- AVX2: many words at once ----------------------------------------------------------------- */

enum { FIRST_WORDS = 10, MORE_WORDS = 2 };

/* Takes the lowest start and the lowest end away, as a word; (at + 64, 0) if there are none. */
AVX2 WALK_INLINE void write_word(struct mr_slice *word, const unsigned char *at, uint64_t *starts,
                                 uint64_t *ends)
{
    const uint64_t start = _tzcnt_u64(*starts);
    word->data = at + start;
    word->size = _tzcnt_u64(*ends) - start;
    *starts &= *starts - 1;
    *ends &= *ends - 1;
}

/* As walk_take(), if there is room for all words of the block, for those that are written in vain
 * behind them, and for one that goes on; else false. Also false for a last block that is short:
 * what is written in vain would point behind the text. */
AVX2 WALK_INLINE bool take_at_once(struct walk *walk, uint64_t mask)
{
    uint64_t starts = walk_starts(walk, mask);
    uint64_t ends = walk_ends(walk, mask);
    size_t count = (size_t)_mm_popcnt_u64(ends);
    const size_t written = count <= FIRST_WORDS ? FIRST_WORDS : count;

    if (written + 1 > walk->most - walk->count || walk->end - walk->at < WALK_BLOCK) {
        return false;
    }
    /* The word that goes on into the block; if there is none, the next overwrites it. */
    struct mr_slice *words = walk->words + walk->count;
    words[0].data = walk->start;
    words[0].size = (size_t)(walk->at - walk->start) + _tzcnt_u64(ends);
    walk->count += count;
    if (ends != 0) {
        words += walk->goes_on;
        count -= walk->goes_on;
        ends &= ends - walk->goes_on;
    }
    if (starts != 0) {
        walk->start = walk->at + 63 - __builtin_clzll(starts);
    }
    walk->goes_on = mask >> 63;
#pragma GCC unroll 10
    for (size_t i = 0; i < FIRST_WORDS; i++) {
        write_word(&words[i], walk->at, &starts, &ends);
    }
    for (size_t i = FIRST_WORDS; i < count; i += MORE_WORDS) {
        write_word(&words[i], walk->at, &starts, &ends);
        write_word(&words[i + 1], walk->at, &starts, &ends);
    }
    return true;
}

AVX2 WALK_INLINE size_t walk_avx2(struct mr_slice *text, struct mr_slice words[], size_t most,
                                  walk_mask_fn *mask_of)
{
    struct walk walk;
    if (!walk_begin(&walk, text, words, most)) {
        return 0;
    }
    do {
        const uint64_t mask = walk_mask(&walk, mask_of);
        if (!take_at_once(&walk, mask)) {
            walk_take(&walk, mask);
        }
    } while (walk_next(&walk));
    return walk_end(&walk, text);
}

AVX2 size_t mr__find_words_avx2(struct mr_slice *text, struct mr_slice words[], size_t most)
{
    return walk_avx2(text, words, most, word_mask_avx2);
}

AVX2 size_t mr__find_letters_avx2(struct mr_slice *text, struct mr_slice words[], size_t most)
{
    return walk_avx2(text, words, most, letter_mask_avx2);
}
#endif
