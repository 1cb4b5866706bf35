/* SPDX-License-Identifier: MIT
 *
 * Callbacks run one after the other in each thread, never inside one another: those that become due
 * while one runs stand behind it (continuation.h says what users may rely on).
 */
#ifndef STOOK_CALLBACK_H
#define STOOK_CALLBACK_H

#include <stdbool.h>
#include "task.h"

/* Puts a callback, whose future is terminal, behind those that are due in the calling thread. */
void stook__callback_defer(struct stook__waiter *waiter);

/* Runs those that are due, unless the calling thread is doing that already. No lock is held. */
void stook__callback_run(void);

/* Is the calling thread in a callback? */
bool stook__callback_running(void);

/* Sees to it that `waiter`, a callback with its reference, is notified when its future is
 * terminal: in the calling thread, if it is now. */
void stook__callback_add(struct stook__waiter *waiter);

#endif
