/* SPDX-License-Identifier: MIT
 *
 * A pair is packed as its two sizes (32 bits each, unless one is too large for that), the value,
 * and the key, each padded to 8 bytes.
 */
#include "list.h"
#include <string.h>

enum { FIRST_CHUNK = 1 << 10, LARGEST_CHUNK = 1 << 17 };

struct mr__list_chunk {
    struct mr__list_chunk *next;
    size_t size; /* in all */
    size_t used; /* of what follows */
    size_t room;
};

struct header {
    uint32_t key_size; /* UINT32_MAX: the sizes follow as struct large */
    uint32_t value_size;
};

struct large {
    uint64_t key_size;
    uint64_t value_size;
};

static size_t padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

static char *bytes_of(const struct mr__list_chunk *chunk)
{
    return (char *)(uintptr_t)(chunk + 1);
}

static bool add_chunk(struct mr__list *list, size_t need)
{
    size_t size = list->last ? list->last->size * 2 : FIRST_CHUNK;

    size = size < LARGEST_CHUNK ? size : LARGEST_CHUNK;
    if (size < sizeof(struct mr__list_chunk) + need) {
        size = sizeof(struct mr__list_chunk) + need;
    }
    struct mr__list_chunk *chunk = mr__allocate(list->budget, size);
    if (!chunk) {
        return false;
    }
    *chunk = (struct mr__list_chunk){.size = size, .room = size - sizeof *chunk};
    if (list->last) {
        list->last->next = chunk;
    } else {
        list->first = chunk;
    }
    list->last = chunk;
    list->bytes += size;
    return true;
}

size_t mr__pack_header(char to[MR_PACKED_HEADER], size_t key_size, size_t value_size)
{
    if (key_size < UINT32_MAX && value_size < UINT32_MAX) {
        const struct header header = {(uint32_t)key_size, (uint32_t)value_size};
        memcpy(to, &header, sizeof header);
        return sizeof header;
    }
    const struct header header = {.key_size = UINT32_MAX};
    const struct large large = {key_size, value_size};
    memcpy(to, &header, sizeof header);
    memcpy(to + sizeof header, &large, sizeof large);
    return sizeof header + sizeof large;
}

bool mr__list_add(struct mr__list *list, struct mr_slice key, struct mr_slice value)
{
    if (key.size > SIZE_MAX / 4 || value.size > SIZE_MAX / 4) {
        return false;
    }
    char header[MR_PACKED_HEADER];
    size_t header_size = mr__pack_header(header, key.size, value.size);
    size_t need = header_size + padded(value.size) + padded(key.size);
    struct mr__list_chunk *chunk = list->last;

    if (!chunk || chunk->room - chunk->used < need) {
        if (!add_chunk(list, need)) {
            return false;
        }
        chunk = list->last;
    }
    char *at = bytes_of(chunk) + chunk->used;
    memcpy(at, header, header_size);
    at += header_size;
    if (value.size > 0) {
        memcpy(at, value.data, value.size);
    }
    if (key.size > 0) {
        memcpy(at + padded(value.size), key.data, key.size);
    }
    chunk->used += need;
    list->count++;
    return true;
}

void mr__list_fini(struct mr__list *list)
{
    struct mr__list_chunk *chunk = list->first;
    while (chunk) {
        struct mr__list_chunk *next = chunk->next;
        mr__deallocate(list->budget, chunk, chunk->size);
        chunk = next;
    }
    *list = (struct mr__list){.budget = list->budget};
}

/* The sizes of a packed pair, and where its value begins. If it was not packed here, they may be
 * more than memory has. */
static const char *unpack(const void *packed, uint64_t *ret_key_size, uint64_t *ret_value_size)
{
    const char *at = packed;
    struct header header;

    memcpy(&header, at, sizeof header);
    at += sizeof header;
    *ret_key_size = header.key_size;
    *ret_value_size = header.value_size;
    if (header.key_size == UINT32_MAX) {
        struct large large;
        memcpy(&large, at, sizeof large);
        at += sizeof large;
        *ret_key_size = large.key_size;
        *ret_value_size = large.value_size;
    }
    return at;
}

const void *mr__list_next(struct mr__list_walk *walk)
{
    while (walk->chunk && walk->offset == walk->chunk->used) {
        walk->chunk = walk->chunk->next;
        walk->offset = 0;
    }
    if (!walk->chunk) {
        return NULL;
    }
    const char *packed = bytes_of(walk->chunk) + walk->offset;
    walk->offset += mr__packed_size(packed);
    return packed;
}

bool mr__packed_fits(const void *packed, uint64_t left, size_t *ret_size)
{
    const size_t small = sizeof(struct header);
    const size_t large = small + sizeof(struct large);
    struct header header;
    uint64_t key_size;
    uint64_t value_size;

    if (left < small) {
        return false;
    }
    memcpy(&header, packed, small);
    const size_t size = header.key_size == UINT32_MAX ? large : small;
    if (left < size) {
        return false;
    }
    unpack(packed, &key_size, &value_size);
    left -= size;
    if (left > SIZE_MAX - size) { /* no more than can be had in one piece */
        left = SIZE_MAX - size;
    }
    if (value_size > left || padded((size_t)value_size) > left) {
        return false;
    }
    left -= padded((size_t)value_size);
    if (key_size > left || padded((size_t)key_size) > left) {
        return false;
    }
    *ret_size = size + padded((size_t)value_size) + padded((size_t)key_size);
    return true;
}

size_t mr__packed_size(const void *packed)
{
    uint64_t key_size;
    uint64_t value_size;
    const char *value = unpack(packed, &key_size, &value_size);

    return (size_t)(value - (const char *)packed) + padded((size_t)value_size) +
           padded((size_t)key_size);
}

struct mr_pair mr__packed_pair(const void *packed)
{
    uint64_t key_size;
    uint64_t value_size;
    const char *value = unpack(packed, &key_size, &value_size);

    return (struct mr_pair){.key = {value + padded((size_t)value_size), (size_t)key_size},
                            .value = {value, (size_t)value_size}};
}
