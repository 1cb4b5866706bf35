/* SPDX-License-Identifier: MIT
 *
 * Memory from the user's allocator, or malloc(). Any thread; never called with a lock held.
 */
#ifndef STOOK_ALLOCATE_H
#define STOOK_ALLOCATE_H

#include <stddef.h>
#include <stook/alloc.h>
#include <stook/executor.h>

/* A copy of the user's; of malloc() and free() for NULL. */
struct stook_allocator stook__allocator_copy(const struct stook_allocator *allocator);

/* NULL without memory, and if `size` is 0. allocator NULL: malloc(). */
void *stook__allocate(const struct stook_allocator *allocator, size_t size);
/* memory NULL does nothing; `size` is what it was allocated with. */
void stook__deallocate(const struct stook_allocator *allocator, void *memory, size_t size);

/* The same with an alignment, a power of two that is not below a pointer's size. */
void *stook__allocate_aligned(const struct stook_allocator *allocator, size_t alignment,
                              size_t size);
void stook__deallocate_aligned(const struct stook_allocator *allocator, void *memory,
                               size_t alignment, size_t size);

/* The executor's own copy, which lives as long as it does; NULL: malloc(). */
const struct stook_allocator *stook__executor_allocator(const stook_executor *executor);

#endif
