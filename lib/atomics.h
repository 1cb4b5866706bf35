/* SPDX-License-Identifier: MIT
 *
 * The only file of lib/ that names a memory order. The order is part of the operation's name, so
 * the orders in use are the short list below; why each use has its order stands in a label above
 * it (README.md, "Ordering ledger").
 */
#ifndef STOOK_ATOMICS_H
#define STOOK_ATOMICS_H

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

static_assert(ATOMIC_INT_LOCK_FREE == 2, "a future's word must be lock-free");
static_assert(ATOMIC_POINTER_LOCK_FREE == 2, "a ring's entries must be lock-free");

#define a_load_rlx(p) atomic_load_explicit((p), memory_order_relaxed)
#define a_load_acq(p) atomic_load_explicit((p), memory_order_acquire)
#define a_store_rlx(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define a_store_rel(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define a_add_rlx(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define a_add_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_release)
#define a_sub_acqrel(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)
#define a_or_rel(p, v) atomic_fetch_or_explicit((p), (v), memory_order_release)
#define a_or_rlx(p, v) atomic_fetch_or_explicit((p), (v), memory_order_relaxed)
#define a_xchg_acq(p, v) atomic_exchange_explicit((p), (v), memory_order_acquire)
#define a_xchg_acqrel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define a_xchg_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_release)

/* Compare-and-swap, strong; the name gives the order on success. A failure is relaxed, or acquire
 * for those that acquire, whose callers look at what they found. */
#define a_cas_rlx(p, expected, v)                                                                  \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_relaxed,            \
                                            memory_order_relaxed)
#define a_cas_acq(p, expected, v)                                                                  \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acquire,            \
                                            memory_order_acquire)
#define a_cas_rel(p, expected, v)                                                                  \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_release,            \
                                            memory_order_relaxed)
#define a_cas_acqrel(p, expected, v)                                                               \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acq_rel,            \
                                            memory_order_acquire)
#define a_cas_sc(p, expected, v)                                                                   \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_seq_cst,            \
                                            memory_order_relaxed)

#define a_fence_sc() atomic_thread_fence(memory_order_seq_cst)
/* For the compiler only: fence.h. */
#define a_fence_compiler() atomic_signal_fence(memory_order_seq_cst)

/* Not atomic: a store that the compiler keeps, though the memory is freed behind it. */
static inline void stook__store_kept(uintptr_t *place, uintptr_t value)
{
    *(volatile uintptr_t *)place = value;
}

#endif
