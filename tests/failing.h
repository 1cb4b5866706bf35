/* SPDX-License-Identifier: MIT
 *
 * Allocations and thread creation that fail, and a count of the blocks that are allocated: the
 * linker redirects the calls to here (link with `failing` of meson.build). For one file of a
 * program.
 */
#ifndef STOOK_TESTS_FAILING_H
#define STOOK_TESTS_FAILING_H

#include <errno.h>
#include <pthread.h>
#include "support.h"

enum { MOST_PASSES = 2000 };

static atomic_long calls_left = -1; /* until one fails; negative: none does */
static atomic_bool all_fail;        /* every allocation does */
static atomic_long blocks;          /* allocated and not freed */
static _Atomic(struct gate *)
    refusal_gate; /* unless NULL: the next thread is not started, and passes it */

static inline bool fails_now(void)
{
    return atomic_fetch_sub(&calls_left, 1) == 0;
}

static inline void fail_call(long number)
{
    atomic_store(&calls_left, number);
}

static inline void fail_none(void)
{
    atomic_store(&calls_left, -1);
}

/* Whether the pass got as far as the failing call. */
static inline bool has_failed(void)
{
    return atomic_load(&calls_left) < 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *memory);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                          void *arg);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *memory);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                          void *arg);

static inline bool allocation_fails(void)
{
    return fails_now() || atomic_load(&all_fail);
}

static inline void *counted(void *memory)
{
    if (memory != NULL) {
        atomic_fetch_add(&blocks, 1);
    }
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return allocation_fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return allocation_fails() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
    if (allocation_fails()) {
        return NULL;
    }
    return memory == NULL ? counted(__real_malloc(size)) : __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return allocation_fails() ? NULL : counted(__real_aligned_alloc(alignment, size));
}

void __wrap_free(void *memory)
{
    if (memory != NULL) {
        atomic_fetch_sub(&blocks, 1);
    }
    __real_free(memory);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                          void *arg)
{
    struct gate *gate = atomic_exchange(&refusal_gate, NULL);

    if (gate != NULL) {
        gate_pass(gate);
        return EAGAIN;
    }
    return fails_now() ? EAGAIN : __real_pthread_create(thread, attributes, fn, arg);
}

#endif
