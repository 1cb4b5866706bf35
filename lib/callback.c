/* SPDX-License-Identifier: MIT
 *
 * The queue of due callbacks, one in each thread, and the plain callback, on_done.
 */
#include "callback.h"
#include <stook/continuation.h>
#include "allocate.h"
#include "fork.h"
#include "local.h"

STOOK_THREAD_LOCAL struct stook__local stook__local;

void stook__callback_defer(struct stook__waiter *waiter)
{
    waiter->next = NULL;
    if (stook__local.first_due) {
        stook__local.last_due->next = waiter;
    } else {
        stook__local.first_due = waiter;
    }
    stook__local.last_due = waiter;
}

void stook__callback_run(void)
{
    if (stook__local.in_callback) {
        return;
    }
    stook__local.in_callback = true;
    while (stook__local.first_due) {
        struct stook__waiter *waiter = stook__local.first_due;
        stook__local.first_due = waiter->next;
        waiter->notify(waiter);
    }
    stook__local.in_callback = false;
}

bool stook__callback_running(void)
{
    return stook__local.in_callback;
}

bool stook_in_callback(void)
{
    return stook__local.in_callback;
}

void stook__callback_add(struct stook__waiter *waiter)
{
    if (!stook__task_add_waiter(waiter->future, waiter)) {
        stook__callback_defer(waiter);
        stook__callback_run();
    }
}

/* --- on_done ------------------------------------------------------------------------------------
 */

struct on_done {
    struct stook__waiter waiter;
    stook_callback_fn *callback;
    void *user_data;
};

static void call(struct stook__waiter *waiter)
{
    struct on_done *on_done = (struct on_done *)waiter;
    stook_future *future = waiter->future;

    on_done->callback(future, on_done->user_data);
    stook__deallocate(stook__task_allocator(future), on_done, sizeof *on_done);
    stook__task_release(future);
}

enum stook_status stook_future_on_done(stook_future *future, stook_callback_fn *callback,
                                       void *user_data)
{
    if (!future || !callback) {
        return STOOK_INVALID;
    }
    if (stook__future_forked(future)) {
        return STOOK_FORKED;
    }
    struct on_done *on_done = stook__allocate(stook__task_allocator(future), sizeof *on_done);
    if (!on_done) {
        return STOOK_NOMEM;
    }
    stook__task_retain(future);
    *on_done = (struct on_done){
        .waiter = {.notify = call, .future = future}, .callback = callback, .user_data = user_data};
    stook__callback_add(&on_done->waiter);
    return STOOK_OK;
}
