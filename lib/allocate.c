/* SPDX-License-Identifier: MIT
 *
 * The user's allocator knows no alignment beyond malloc()'s: where more is needed, more is taken,
 * and the word before the aligned place leads back to its beginning.
 */
#include "allocate.h"
#include <stdint.h>
#include <stdlib.h>

static void *standard_allocate(void *user_data, size_t size)
{
    (void)user_data;
    return malloc(size);
}

static void standard_deallocate(void *user_data, void *memory, size_t size)
{
    (void)user_data;
    (void)size;
    free(memory);
}

static const struct stook_allocator standard = {standard_allocate, standard_deallocate, NULL};

struct stook_allocator stook__allocator_copy(const struct stook_allocator *allocator)
{
    return allocator ? *allocator : standard;
}

void *stook__allocate(const struct stook_allocator *allocator, size_t size)
{
    allocator = allocator ? allocator : &standard;
    return size > 0 ? allocator->allocate(allocator->user_data, size) : NULL;
}

void stook__deallocate(const struct stook_allocator *allocator, void *memory, size_t size)
{
    allocator = allocator ? allocator : &standard;
    if (memory) {
        allocator->deallocate(allocator->user_data, memory, size);
    }
}

/* Room for the word before it: malloc()'s alignment is a pointer's at least, so the next aligned
 * place *behind* the beginning is a pointer's size away or more. */
void *stook__allocate_aligned(const struct stook_allocator *allocator, size_t alignment,
                              size_t size)
{
    void *begin =
        size <= SIZE_MAX - alignment ? stook__allocate(allocator, size + alignment) : NULL;

    if (!begin) {
        return NULL;
    }
    size_t over = (size_t)((uintptr_t)begin & (alignment - 1));
    void **aligned = (void **)(void *)((char *)begin + (alignment - over));
    aligned[-1] = begin;
    return aligned;
}

void stook__deallocate_aligned(const struct stook_allocator *allocator, void *memory,
                               size_t alignment, size_t size)
{
    if (memory) {
        stook__deallocate(allocator, ((void **)memory)[-1], size + alignment);
    }
}
