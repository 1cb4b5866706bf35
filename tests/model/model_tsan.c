/* SPDX-License-Identifier: MIT
 *
 * What the compiler makes of each access of the code under test, which is compiled with
 * -fsanitize=thread: calls of these functions, here in place of the sanitizer's.
 */
#include "explorer.h"

#define CALLER __builtin_return_address(0)

#define CHANGE(bits, name, change)                                                                 \
    uint##bits##_t __tsan_atomic##bits##_##name(void *p, uint##bits##_t v, int order)              \
    {                                                                                              \
        return (uint##bits##_t)memory_change(p, bits / 8, change, v, order, CALLER);               \
    }
#define SWAP(bits, name)                                                                           \
    int __tsan_atomic##bits##_compare_exchange_##name(                                             \
        void *p, uint##bits##_t *expected, uint##bits##_t v, int order, int failed_order)          \
    {                                                                                              \
        uint64_t value = *expected;                                                                \
        bool done = memory_swap(p, bits / 8, &value, v, order, failed_order, CALLER);              \
        *expected = (uint##bits##_t)value;                                                         \
        return done;                                                                               \
    }
#define ATOMICS(bits)                                                                              \
    uint##bits##_t __tsan_atomic##bits##_load(const void *p, int order)                            \
    {                                                                                              \
        return (uint##bits##_t)memory_load(p, bits / 8, order, CALLER);                            \
    }                                                                                              \
    void __tsan_atomic##bits##_store(void *p, uint##bits##_t v, int order)                         \
    {                                                                                              \
        memory_store(p, bits / 8, v, order, CALLER);                                               \
    }                                                                                              \
    CHANGE(bits, fetch_add, CHANGE_ADD)                                                            \
    CHANGE(bits, fetch_sub, CHANGE_SUB)                                                            \
    CHANGE(bits, fetch_and, CHANGE_AND)                                                            \
    CHANGE(bits, fetch_or, CHANGE_OR)                                                              \
    CHANGE(bits, fetch_xor, CHANGE_XOR)                                                            \
    CHANGE(bits, exchange, CHANGE_SET)                                                             \
    SWAP(bits, strong)                                                                             \
    SWAP(bits, weak)                                                                               \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                                     \
        void *p, uint##bits##_t expected, uint##bits##_t v, int order, int failed_order)           \
    {                                                                                              \
        uint64_t value = expected;                                                                 \
        memory_swap(p, bits / 8, &value, v, order, failed_order, CALLER);                          \
        return (uint##bits##_t)value;                                                              \
    }
#define PLAIN(bytes)                                                                               \
    void __tsan_read##bytes(void *p)                                                               \
    {                                                                                              \
        memory_touch(p, bytes, false, CALLER);                                                     \
    }                                                                                              \
    void __tsan_write##bytes(void *p)                                                              \
    {                                                                                              \
        memory_touch(p, bytes, true, CALLER);                                                      \
    }
#define UNALIGNED(bytes)                                                                           \
    void __tsan_unaligned_read##bytes(void *p)                                                     \
    {                                                                                              \
        memory_touch(p, bytes, false, CALLER);                                                     \
    }                                                                                              \
    void __tsan_unaligned_write##bytes(void *p)                                                    \
    {                                                                                              \
        memory_touch(p, bytes, true, CALLER);                                                      \
    }

#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wbuiltin-declaration-mismatch"

ATOMICS(8)
ATOMICS(16)
ATOMICS(32)
ATOMICS(64)
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)
UNALIGNED(2)
UNALIGNED(4)
UNALIGNED(8)
UNALIGNED(16)

void model_init(volatile void *object, size_t size)
{
    memory_touch((const void *)(uintptr_t)object, size, true, CALLER);
}

void __tsan_read_range(void *p, size_t size)
{
    memory_touch(p, size, false, CALLER);
}

void __tsan_write_range(void *p, size_t size)
{
    memory_touch(p, size, true, CALLER);
}

void __tsan_atomic_thread_fence(int order)
{
    memory_fence(order, CALLER);
}

void __tsan_atomic_signal_fence(int order)
{
    (void)order;
}

void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller)
{
    (void)caller;
}

void __tsan_func_exit(void)
{
}
