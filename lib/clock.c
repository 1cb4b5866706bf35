/* SPDX-License-Identifier: MIT
 *
 * Deadlines on the monotonic clock; sums saturate.
 */
#include <stook/clock.h>
#include "platform.h"

int64_t stook_now_ns(void)
{
    return stook__platform_now_ns();
}

int64_t stook_deadline_after_ns(int64_t duration_ns)
{
    int64_t now = stook__platform_now_ns();

    if (duration_ns <= 0) {
        return now - 1 < 0 ? 0 : now - 1;
    }
    return duration_ns > STOOK_FOREVER - now ? STOOK_FOREVER : now + duration_ns;
}
