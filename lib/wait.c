/* SPDX-License-Identifier: MIT
 *
 * Blocking. In a task, the worker is lent meanwhile; in a callback it is refused, since what is
 * awaited may be due behind that callback in the same thread.
 */
#include "wait.h"
#include "callback.h"
#include "deadlock.h"
#include "park.h"
#include "worker.h"

enum { ASK_AGAIN_NS = 10 * 1000 * 1000 }; /* for a thread that the system has refused */

enum stook_status stook__wait_allowed(int64_t deadline_ns)
{
    if (deadline_ns != STOOK_FOREVER && deadline_ns <= stook__platform_now_ns()) {
        return STOOK_TIMEOUT;
    }
    return stook__callback_running() ? STOOK_DEADLOCK : STOOK_OK;
}

bool stook__wait_is_for_self(const stook_future *future)
{
    for (const struct stook__frame *frame = stook__frame_current(); frame; frame = frame->below) {
        if (frame->task == future) {
            return true;
        }
    }
    return false;
}

enum stook_status stook__wait_lent(stook_future *future)
{
    enum stook_status status = stook_future_result(future, NULL);

    if (status == STOOK_DEADLOCK && stook_future_cancel(future) != STOOK_CANCEL_DONE) {
        /* Until a moment that never comes, since a wait for ever would find the cycle again. */
        status = stook_future_wait_until(future, STOOK_FOREVER - 1);
        status = status == STOOK_OK ? stook_future_result(future, NULL) : status;
    }
    return status;
}

struct stook__thread *stook__wait_lend(void)
{
    struct stook__thread *lender = stook__frame_current() ? stook__thread_current() : NULL;

    if (lender) {
        stook__park_release(lender);
    }
    return lender;
}

void stook__wait_go_on(struct stook__thread *lender)
{
    if (lender) {
        stook__park_resume(lender);
    }
}

/* Until when to block at once: while the system has no thread for the worker that was lent, that is
 * for a moment only. */
static int64_t next_moment(const struct stook__thread *lender, int64_t deadline_ns)
{
    if (!lender || !stook__park_is_refused(lender->executor)) {
        return deadline_ns;
    }
    int64_t moment_ns = stook__platform_now_ns() + ASK_AGAIN_NS;
    return moment_ns < deadline_ns ? moment_ns : deadline_ns;
}

bool stook__wait_event(struct stook__event *event, int64_t deadline_ns)
{
    struct stook__thread *lender = stook__wait_lend();
    int64_t until_ns = next_moment(lender, deadline_ns);
    bool is_set;

    while (!(is_set = stook__event_wait_until(event, until_ns)) && until_ns != deadline_ns) {
        stook__park_notify(lender->executor);
        until_ns = next_moment(lender, deadline_ns);
    }
    stook__wait_go_on(lender);
    return is_set;
}

enum stook_status stook__wait_for(struct stook__event *event, int64_t deadline_ns,
                                  stook_future *future, struct stook_scope *scope)
{
    const struct stook__frame *frame = stook__frame_current();
    const struct stook__thread *thread = stook__thread_current();
    bool for_ever = deadline_ns == STOOK_FOREVER && frame && thread;
    struct stook__awaited awaited = {
        .thread = thread, .frame = frame, .future = future, .scope = scope};

    if (for_ever && !stook__waits_enter(&awaited)) {
        return STOOK_DEADLOCK;
    }
    bool is_set = stook__wait_event(event, deadline_ns);
    if (for_ever) {
        stook__waits_leave(&awaited);
    }
    return is_set ? STOOK_OK : STOOK_TIMEOUT;
}
