/* SPDX-License-Identifier: MIT
 *
 * Chunks that grow with what is there, up to a bound; what is larger gets a chunk of its own.
 */
#include "arena.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CHUNK = 4096, LARGEST_CHUNK = 1 << 20, ALIGNMENT = 8, SHARES = 128, PART = 8 };

struct mr__arena_chunk {
    struct mr__arena_chunk *next;
    size_t size; /* in all */
    /* the memory follows */
};

static_assert(sizeof(struct mr__arena_chunk) % ALIGNMENT == 0, "what follows is aligned");

static unsigned char *chunk_create(struct mr__arena *arena, size_t size)
{
    struct mr__arena_chunk *chunk = mr__allocate(arena->budget, sizeof *chunk + size);
    if (!chunk) {
        return NULL;
    }
    chunk->next = arena->chunks;
    chunk->size = sizeof *chunk + size;
    arena->chunks = chunk;
    arena->bytes += chunk->size;
    return (unsigned char *)(chunk + 1);
}

/* A small part of the limit, so that this is not exceeded by much. */
static size_t largest_chunk(const struct mr__arena *arena)
{
    uint64_t part = arena->budget->limit / SHARES;

    return part == 0 || part > LARGEST_CHUNK ? (size_t)LARGEST_CHUNK : (size_t)part;
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
        while (chunk_size < 2 * size) {
            chunk_size *= 2;
        }
        size_t room = chunk_size - sizeof(struct mr__arena_chunk);
        unsigned char *chunk = chunk_create(arena, room);
        if (!chunk) {
            return NULL;
        }
        arena->next = chunk;
        arena->left = room;
        /* there are many arenas, so only a small part of each may lie idle */
        arena->next_size = chunk_size < largest_chunk(arena) && chunk_size * PART <= arena->bytes
                               ? chunk_size * 2
                               : chunk_size;
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

void mr__arena_join(struct mr__arena *arena, struct mr__arena *from)
{
    struct mr__arena_chunk **end = &from->chunks;

    while (*end) {
        end = &(*end)->next;
    }
    *end = arena->chunks;
    arena->chunks = from->chunks;
    arena->bytes += from->bytes;
    if (from->left > arena->left) {
        arena->next = from->next;
        arena->left = from->left;
    }
    *from = (struct mr__arena){.budget = from->budget};
}

void mr__arena_fini(struct mr__arena *arena)
{
    struct mr__arena_chunk *chunk = arena->chunks;
    while (chunk) {
        struct mr__arena_chunk *next = chunk->next;
        mr__deallocate(arena->budget, chunk, chunk->size);
        chunk = next;
    }
    *arena = (struct mr__arena){.budget = arena->budget};
}
