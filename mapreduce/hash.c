/* SPDX-License-Identifier: MIT
 *
 * The hash of a key: 16 bytes at a time through a folded 64 x 64 -> 128 bit multiplication, the
 * construction of Wang Yi's wyhash. It decides partitions, so its values are part of the interface:
 * bytes are read as little-endian whatever the machine, and nothing may ever change them. It does
 * not resist keys that were crafted to collide.
 */
#include <stook/mapreduce.h>
#include "mr_internal.h"

static const uint64_t K0 = UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / golden ratio */
static const uint64_t K1 = UINT64_C(0xd1b54a32d192ed03); /* 2^64 / its root of order 3, odd */
static const uint64_t K2 = UINT64_C(0x8cb92ba72f3d8dd7); /* another odd number without pattern */

static uint64_t load_le(const unsigned char *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) { /* compilers make one load of it */
        value |= (uint64_t)at[i] << (8 * i);
    }
    return value;
}

/* High half of the product, exclusive-or its low half. */
static uint64_t fold(uint64_t a, uint64_t b)
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

uint64_t mr_hash(struct mr_slice key)
{
    const unsigned char *at = key.data;
    size_t left = key.size;
    uint64_t state = K0;
    uint64_t a = 0;
    uint64_t b = 0;

    while (left > 16) {
        state = fold(load_le(at, 8) ^ K1, load_le(at + 8, 8) ^ state);
        at += 16;
        left -= 16;
    }
    if (left >= 8) { /* the two loads overlap, and together see every byte */
        a = load_le(at, 8);
        b = load_le(at + left - 8, 8);
    } else if (left >= 4) {
        a = load_le(at, 4);
        b = load_le(at + left - 4, 4);
    } else if (left > 0) {
        a = (uint64_t)at[0] << 16 | (uint64_t)at[left / 2] << 8 | at[left - 1];
    }
    return fold(K2 ^ (uint64_t)key.size, fold(a ^ K1, b ^ state));
}
