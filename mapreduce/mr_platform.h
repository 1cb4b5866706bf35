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
#define mr_a_store_rel(p, v) atomic_store_explicit((p), (v), memory_order_release)

#endif
