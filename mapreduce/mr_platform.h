/* SPDX-License-Identifier: MIT
 *
 * The only file of mapreduce/ that names a memory order. The labels above the uses are listed in
 * README.md, "Ordering ledger".
 */
#ifndef MR_PLATFORM_H
#define MR_PLATFORM_H

#include <stdatomic.h>

#define mr_a_load_rlx(p) atomic_load_explicit((p), memory_order_relaxed)
#define mr_a_load_acq(p) atomic_load_explicit((p), memory_order_acquire)
#define mr_a_store_rlx(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define mr_a_add_rlx(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define mr_a_sub_rlx(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define mr_a_add_acqrel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define mr_a_sub_acqrel(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)
#define mr_a_cas_rlx(p, e, v)                                                                      \
    atomic_compare_exchange_weak_explicit((p), (e), (v), memory_order_relaxed, memory_order_relaxed)
#define mr_a_store_rel(p, v) atomic_store_explicit((p), (v), memory_order_release)

#endif
