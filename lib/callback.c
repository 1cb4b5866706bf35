/* SPDX-License-Identifier: MIT
 *
 * The queue of due callbacks, one in each thread, and the plain callback, on_done.
 */
#include "callback.h"
#include <stook/continuation.h>
#include "allocate.h"
#include "fork.h"

static STOOK_THREAD_LOCAL struct {
    struct stook__waiter *first; /* chained by next */
    struct stook__waiter *last;
    bool running;
} due;

void stook__callback_defer(struct stook__waiter *waiter)
{
    waiter->next = NULL;
    if (due.first) {
        due.last->next = waiter;
    } else {
        due.first = waiter;
    }
    due.last = waiter;
}

void stook__callback_run(void)
{
    if (due.running) {
        return;
    }
    due.running = true;
    while (due.first) {
        struct stook__waiter *waiter = due.first;
        due.first = waiter->next;
        waiter->notify(waiter);
    }
    due.running = false;
}

bool stook__callback_running(void)
{
    return due.running;
}

bool stook_in_callback(void)
{
    return due.running;
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
