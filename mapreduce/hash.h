/* SPDX-License-Identifier: MIT
 *
 * mr_hash() of short keys, inline: 16 bytes at a time through a folded 64 x 64 -> 128 bit
 * multiplication, the construction of Wang Yi's wyhash. It decides partitions, so its values are
 * part of the interface: bytes are read as little-endian whatever the machine, and nothing may ever
 * change them. It does not resist keys that were crafted to collide; tables that get such do with
 * mr__hash_keyed().
 */
#ifndef MR_HASH_H
#define MR_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <stook/mr_bytes.h>
#include <string.h>

#define MR_HASH_K0 UINT64_C(0x9e3779b97f4a7c15) /* 2^64 / golden ratio */
#define MR_HASH_K1 UINT64_C(0xd1b54a32d192ed03) /* 2^64 / its root of order 3, odd */
#define MR_HASH_K2 UINT64_C(0x8cb92ba72f3d8dd7) /* another odd number without pattern */

/* High half of the product, exclusive-or its low half. */
static inline uint64_t mr__hash_fold(uint64_t a, uint64_t b)
{
#if defined __SIZEOF_INT128__
    __extension__ typedef unsigned __int128 uint128;
    uint128 product = (uint128)a * b;
    return (uint64_t)(product >> 64) ^ (uint64_t)product;
#else
    uint64_t a0 = a & UINT32_MAX, a1 = a >> 32;
    uint64_t b0 = b & UINT32_MAX, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
    uint64_t carry = a0 * b1 + (middle & UINT32_MAX);
    uint64_t high = a1 * b1 + (middle >> 32) + (carry >> 32);
    return high ^ (a * b);
#endif
}

/* The 8 bytes at `at`, little-endian. */
static inline uint64_t mr__load_le(const unsigned char *at)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++) { /* compilers make one load of it */
        value |= (uint64_t)at[i] << (8 * i);
    }
    return value;
}

static inline uint64_t mr__load_le32(const unsigned char *at)
{
    return (uint64_t)at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24;
}

/* The bytes of a key of up to 16, little-endian and padded with zeros; no other byte is read. */
static inline void mr__load_words(const unsigned char *at, size_t size, uint64_t words[2])
{
    words[0] = 0;
    words[1] = 0;
    if (size > 8) { /* the loads overlap */
        words[0] = mr__load_le(at);
        words[1] = mr__load_le(at + size - 8) >> (8 * (16 - size));
    } else if (size >= 4) {
        words[0] = mr__load_le32(at) | mr__load_le32(at + size - 4) >> (8 * (8 - size)) << 32;
    } else if (size > 0) {
        words[0] = (uint64_t)at[0] | (uint64_t)at[size / 2] << (8 * (size / 2)) |
                   (uint64_t)at[size - 1] << (8 * (size - 1));
    }
}

/* The same where 16 bytes may be read, whatever the size: without a branch, as sizes are hard to
 * predict. */
static inline void mr__load_words_wide(const unsigned char *at, size_t size, uint64_t words[2])
{
    /* [n]: all but the first 8 of n bytes, at most 8 */
    static const uint64_t kept[25] = {
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        UINT64_C(0xff),
        UINT64_C(0xffff),
        UINT64_C(0xffffff),
        UINT64_C(0xffffffff),
        UINT64_C(0xffffffffff),
        UINT64_C(0xffffffffffff),
        UINT64_C(0xffffffffffffff),
        UINT64_MAX,
        UINT64_MAX,
        UINT64_MAX,
        UINT64_MAX,
        UINT64_MAX,
        UINT64_MAX,
        UINT64_MAX,
        UINT64_MAX,
        UINT64_MAX,
    };

    words[0] = mr__load_le(at) & kept[size + 8];
    words[1] = mr__load_le(at + 8) & kept[size];
}

/* Back to the order of bytes in memory. */
static inline void mr__store_words(const uint64_t words[2], uint64_t to[2])
{
#if defined __BYTE_ORDER__ && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    to[0] = words[0];
    to[1] = words[1];
#else
    unsigned char *at = (unsigned char *)to;
    for (unsigned i = 0; i < 16; i++) {
        at[i] = (unsigned char)(words[i / 8] >> (8 * (i % 8)));
    }
#endif
}

static inline uint64_t mr__hash_words(const uint64_t words[2], size_t size)
{
    return mr__hash_fold(MR_HASH_K2 ^ (uint64_t)size,
                         mr__hash_fold(words[0] ^ MR_HASH_K1, words[1] ^ MR_HASH_K0));
}

/* A hash that nobody can foresee who does not know the secret (keyed_hash.c); slower. */
uint64_t mr__hash_keyed(const uint64_t secret[2], struct mr_slice key);

#endif
