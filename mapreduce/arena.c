/* SPDX-License-Identifier: MIT
 *
 * Chunks from malloc, doubling in size up to a bound; what is larger gets a chunk of its own.
 */
#include "arena.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CHUNK = 4096, LARGEST_CHUNK = 1 << 20, ALIGNMENT = 8 };

struct mr__arena_chunk {
    struct mr__arena_chunk *next;
    /* the memory follows, aligned like a pointer, and so at least for ALIGNMENT with malloc */
};

static_assert(sizeof(struct mr__arena_chunk) <= ALIGNMENT, "one step of padding");

static unsigned char *chunk_create(struct mr__arena *arena, size_t size)
{
    struct mr__arena_chunk *chunk = malloc(ALIGNMENT + size);
    if (!chunk) {
        return NULL;
    }
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    return (unsigned char *)chunk + ALIGNMENT;
}

void *mr__arena_alloc(struct mr__arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (size > arena->left) {
        if (size > LARGEST_CHUNK / 4) {
            return chunk_create(arena, size);
        }
        size_t chunk_size = arena->next_size ? arena->next_size : FIRST_CHUNK;
        while (chunk_size < size) {
            chunk_size *= 2;
        }
        unsigned char *chunk = chunk_create(arena, chunk_size);
        if (!chunk) {
            return NULL;
        }
        arena->next = chunk;
        arena->left = chunk_size;
        arena->next_size = chunk_size < LARGEST_CHUNK ? chunk_size * 2 : LARGEST_CHUNK;
    }
    void *memory = arena->next;
    if (!memory) { /* size 0 in an arena without a chunk */
        static unsigned char nothing;
        return &nothing;
    }
    arena->next += size;
    arena->left -= size;
    return memory;
}

void *mr__arena_copy(struct mr__arena *arena, const void *data, size_t size)
{
    void *copy = mr__arena_alloc(arena, size);
    if (copy && size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}

void mr__arena_fini(struct mr__arena *arena)
{
    struct mr__arena_chunk *chunk = arena->chunks;
    while (chunk) {
        struct mr__arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    *arena = (struct mr__arena){0};
}
