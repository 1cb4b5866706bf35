/* SPDX-License-Identifier: MIT
 *
 * The hash of a key of any length; see hash.h.
 */
#include "hash.h"
#include <stook/mapreduce.h>

/* Up to 16 bytes are one step; a longer key ends with its last 16 bytes, seen before or not. */
uint64_t mr_hash(struct mr_slice key)
{
    const unsigned char *at = key.data;
    uint64_t state = MR_HASH_K0;

    if (key.size <= 16) {
        uint64_t words[2];
        mr__load_words(at, key.size, words);
        return mr__hash_words(words, key.size);
    }
    for (size_t left = key.size; left > 16; left -= 16, at += 16) {
        state = mr__hash_fold(mr__load_le(at) ^ MR_HASH_K1, mr__load_le(at + 8) ^ state);
    }
    at = (const unsigned char *)key.data + key.size - 16;
    return mr__hash_fold(MR_HASH_K2 ^ (uint64_t)key.size,
                         mr__hash_fold(mr__load_le(at) ^ MR_HASH_K1, mr__load_le(at + 8) ^ state));
}
