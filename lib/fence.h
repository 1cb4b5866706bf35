/* SPDX-License-Identifier: MIT
 *
 * Asymmetric fences: of two threads that each write one thing and then read what the other writes,
 * one goes this way often and the other seldom. The first uses the light fence, which costs nothing
 * where the system can make all running threads of the process pass a full fence; the second uses
 * the heavy one, which asks for that. Elsewhere both are full fences.
 *
 * If the light fence of one thread and the heavy fence of another lie between their write and their
 * read, at least one of the two sees what the other wrote. Two light fences order nothing.
 * (Dice, Huang and Yang, "Asymmetric Dekker synchronization", 2001; membarrier(2).)
 */
#ifndef STOOK_FENCE_H
#define STOOK_FENCE_H

#include <stdbool.h>
#include "atomics.h"

/* Whether the light fence may be left to the compiler: set before there is a thread. */
extern _Atomic(bool) stook__fence_is_asymmetric;

static inline void stook__fence_light(void)
{
    /* order FN.which rlx: constant once threads have been started */
    if (a_load_rlx(&stook__fence_is_asymmetric)) {
        /* order FN.compiler rlx: the heavy side fences for this thread */
        a_fence_compiler();
    } else {
        /* order FN.light sc <-> FN.heavy: where the callers' labels say */
        a_fence_sc();
    }
}

void stook__fence_heavy(void);

/* Named as the other wrappers, so that their uses need labels, too. */
#define a_fence_light() stook__fence_light()
#define a_fence_heavy() stook__fence_heavy()

/* Before the first thread of an executor is started; any number of times. */
void stook__fence_init(void);

#endif
