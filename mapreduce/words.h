/* SPDX-License-Identifier: MIT
 *
 * The forms of mr_find_words() and mr_find_letters(): one for each kind of processor, all with the
 * same results.
 */
#ifndef MR_WORDS_H
#define MR_WORDS_H

#include <stddef.h>
#include <stook/mr_bytes.h>

#if defined __x86_64__ && defined __GNUC__
#define MR_WORDS_X86 1
#else
#define MR_WORDS_X86 0
#endif

typedef size_t mr__find_fn(struct mr_slice *text, struct mr_slice words[], size_t most);

struct mr__finder {
    const char *name;
    mr__find_fn *words;
    mr__find_fn *letters;
};

/* The forms that this machine can run, the fastest first; NULL behind the last. */
const struct mr__finder *mr__finder_at(size_t index);

#if MR_WORDS_X86
/* The processor must have AVX2, BMI1 and BMI2. */
size_t mr__find_words_avx2(struct mr_slice *text, struct mr_slice words[], size_t most);
size_t mr__find_letters_avx2(struct mr_slice *text, struct mr_slice words[], size_t most);

size_t mr__find_words_sse2(struct mr_slice *text, struct mr_slice words[], size_t most);
size_t mr__find_letters_sse2(struct mr_slice *text, struct mr_slice words[], size_t most);
#endif

#endif
