/* SPDX-License-Identifier: MIT
 *
 * A promise is the future's own record, seen by the one who completes it.
 */
#include <stook/promise.h>
#include "checks.h"
#include "fork.h"
#include "task.h"

static stook_future *future_of(stook_promise *promise)
{
    return (stook_future *)promise;
}

enum stook_status stook_promise_create(const struct stook_allocator *allocator,
                                       stook_promise **ret_promise, stook_future **ret_future)
{
    if (!ret_promise || !ret_future) {
        return STOOK_INVALID;
    }
    stook__fork_watch();
    stook_future *future =
        stook__task_create_sized(allocator, sizeof(stook_future), NULL, NULL, NULL, 2);
    if (!future) {
        return STOOK_NOMEM;
    }
    *ret_promise = (stook_promise *)future;
    *ret_future = future;
    return STOOK_OK;
}

enum stook_status stook_promise_complete(stook_promise *promise, int code, void *value)
{
    if (!promise) {
        return STOOK_INVALID;
    }
    if (stook__future_forked(future_of(promise))) {
        return STOOK_FORKED;
    }
    return stook__task_complete(future_of(promise), code, value) ? STOOK_OK : STOOK_TOO_LATE;
}

void stook_promise_release(stook_promise *promise)
{
    if (!promise) {
        return;
    }
    STOOK_CHECK_API(future_of(promise)->home != TASK_DEAD, "a promise is used after its release");
    if (!stook__future_forked(future_of(promise))) {
        stook__task_cancel_pending(future_of(promise));
    }
    stook__task_release(future_of(promise));
}
