/* SPDX-License-Identifier: MIT
 *
 * How a thread blocks: a worker's thread lends its worker meanwhile, and says what it waits for.
 */
#ifndef STOOK_WAIT_H
#define STOOK_WAIT_H

#include <stdbool.h>
#include <stdint.h>
#include <stook/status.h>
#include "platform.h"
#include "task.h"

struct stook_scope;
struct stook__thread;

/* Whether the caller may wait at all, and until when: STOOK_OK, or STOOK_TIMEOUT (the deadline has
 * passed already), or STOOK_DEADLOCK (in a callback). */
enum stook_status stook__wait_allowed(int64_t deadline_ns);

/* Does the future belong to a task on the calling thread's stack? Each of them waits for the one
 * above. */
bool stook__wait_is_for_self(const stook_future *future);

/* As stook_future_result(), for a task that uses what the caller has lent it: where it runs and waits
 * for the calling task, it is asked to stop, and waited for all the same. */
enum stook_status stook__wait_lent(stook_future *future);

/* Between the two the calling thread may wait as it likes: its worker is lent. The second is given
 * what the first gave. */
struct stook__thread *stook__wait_lend(void);
void stook__wait_go_on(struct stook__thread *lender);

/* Blocks until the event is set (true) or the deadline has passed. The event's setter must not
 * need the calling task. */
bool stook__wait_event(struct stook__event *event, int64_t deadline_ns);

/* The same, refused with STOOK_DEADLOCK when what is awaited (one of the two is NULL) waits,
 * through running tasks, for the calling one. Only a wait for ever takes part in cycles. */
enum stook_status stook__wait_for(struct stook__event *event, int64_t deadline_ns,
                                  stook_future *future, struct stook_scope *scope);

#endif
