/* SPDX-License-Identifier: MIT
 *
 * The heavy side of the asymmetric fences.
 */
#include "fence.h"
#include <threads.h>
#include "platform.h"

_Atomic(bool) stook__fence_is_asymmetric;

static void find_out(void)
{
    if (stook__platform_can_fence_all()) {
        /* order FN.can rlx: threads that are started later see it */
        a_store_rlx(&stook__fence_is_asymmetric, true);
    }
}

void stook__fence_init(void)
{
    static once_flag once = ONCE_FLAG_INIT; /* it must not change while threads rely on it */
    call_once(&once, find_out);
}

void stook__fence_heavy(void)
{
    /* order FN.heavy sc <-> FN.light: see fence.h; the fence is for the caller's own accesses */
    a_fence_sc();
    /* order FN.wide rlx: as FN.which */
    if (a_load_rlx(&stook__fence_is_asymmetric)) {
        stook__platform_fence_all();
    }
}
