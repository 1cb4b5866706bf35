/* SPDX-License-Identifier: MIT
 *
 * Waiting for several futures: all, any, the first error; or one after the other as they are done.
 * The futures may be of several executors, and promises; a cancelled one is done. A future that is
 * given twice counts once.
 *
 * The waits themselves may run at the same time on the same futures, together with everything in
 * future.h. One iterator is used by one thread at a time.
 */
#ifndef STOOK_WAITSET_H
#define STOOK_WAITSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stook/base.h>
#include <stook/future.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

enum stook_wait_mode {
    STOOK_WAIT_ALL = 0, /* until all are terminal */
    STOOK_WAIT_ANY = 1, /* until one is */
    STOOK_WAIT_FIRST_ERROR =
        2 /* until one is FAILED (CANCELLED is no error), or all are terminal */
};

struct stook_wait_counts {
    size_t done;     /* different futures that were terminal when the wait ended */
    size_t not_done; /* the others */
};

/* Waits for count futures until what mode says is true or the deadline has passed; cancels nothing.
 * ret_done (NULL: not wanted) receives count entries, duplicates included: whether futures[i] was
 * terminal when the wait ended; ret_counts (NULL: not wanted) the same in sum. Both are written
 * for OK and TIMEOUT. No futures (futures may be NULL): STOOK_OK at once.
 *
 * In a task it lends its worker as stook_future_wait_until() does; awaited tasks are run in place
 * only by a wait for all of them, for ever.
 *
 * Returns: STOOK_OK; STOOK_TIMEOUT; STOOK_INVALID (one is NULL, mode unknown); STOOK_NOMEM (nothing
 *          was waited for); STOOK_THREAD (portable build: no lock to be had); STOOK_DEADLOCK (in a
 *          callback; or they are the caller's own task or those below it, which can never end
 *          before: for ALL one of them, else all that are left. ALL also as
 *          stook_future_wait_until()); STOOK_FORKED.
 * Threads: any. Blocks: until the deadline. */
STOOK_API STOOK_NODISCARD enum stook_status
stook_wait_until(stook_future *const futures[], size_t count, enum stook_wait_mode mode,
                 int64_t deadline_ns, bool ret_done[], struct stook_wait_counts *ret_counts);

/* Futures in the order in which they are done. */
typedef struct stook_as_completed stook_as_completed;

/* Begins to watch count futures. The array is not kept; each future is, by a reference that the
 * iterator gives back when it yields it, or when it is destroyed.
 * Returns: STOOK_OK; STOOK_INVALID (one is NULL, or ret_iterator); STOOK_NOMEM; STOOK_FORKED.
 * Threads: any. Blocks: never. */
STOOK_API STOOK_NODISCARD enum stook_status
stook_as_completed_create(stook_future *const futures[], size_t count,
                          stook_as_completed **ret_iterator);

/* Waits for the next one that is done: first those that were so at the start, in the order of the
 * array, then in the order in which they become so. One that is done is yielded also when the
 * deadline has passed, and in a callback. ret_index: where it stood in the array (the first place,
 * if there are several); the iterator gives its reference up, so keep one of your own to use the
 * future.
 * Returns: STOOK_OK; STOOK_END (all have been yielded); STOOK_TIMEOUT (call again to go on);
 *          STOOK_INVALID (NULL); STOOK_DEADLOCK (it would have to wait in a callback, or all that
 *          are left are the caller's own task or below it); STOOK_FORKED.
 * Threads: one at a time. Blocks: until the deadline; in a task it lends its worker, and runs none
 * of the awaited tasks itself. */
STOOK_API STOOK_NODISCARD enum stook_status
stook_as_completed_next(stook_as_completed *iterator, int64_t deadline_ns, size_t *ret_index);

/* Different futures that have not been yielded yet; NULL: 0. Threads: one at a time. Blocks:
 * never. */
STOOK_API size_t stook_as_completed_left(const stook_as_completed *iterator);

/* Ends the iteration, at any point; the futures go on. NULL is allowed.
 * Threads: any, once. Blocks: for moments, while a future that is just done leaves. */
STOOK_API void stook_as_completed_destroy(stook_as_completed *iterator);

STOOK_END_DECLS

#endif
