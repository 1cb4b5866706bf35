/* SPDX-License-Identifier: MIT
 *
 * Where memory comes from, when it shall not be malloc().
 */
#ifndef STOOK_ALLOC_H
#define STOOK_ALLOC_H

#include <stddef.h>
#include <stook/base.h>

STOOK_BEGIN_DECLS

/* Both functions must be safe to call from any thread, and must not call the library. The library
 * calls them without holding a lock of its own. */
struct stook_allocator {
    /* size bytes (never 0), aligned as malloc() aligns; NULL when there are none. */
    void *(*allocate)(void *user_data, size_t size);
    /* memory is what allocate gave for the same size; never NULL. */
    void (*deallocate)(void *user_data, void *memory, size_t size);
    void *user_data;
};

STOOK_END_DECLS

#endif
