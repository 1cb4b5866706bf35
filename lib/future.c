/* SPDX-License-Identifier: MIT
 *
 * The public face of a future: looking, waiting, taking the result. The state machine itself is
 * task.c.
 */
#include <stook/future.h>
#include <threads.h>
#include <time.h>
#include "bond.h"
#include "checks.h"
#include "deadlock.h"
#include "fork.h"
#include "task.h"
#include "wait.h"
#include "worker.h"

/* How long a waiter looks at a running task before it blocks: a few microseconds without a system
 * call, and some more while it lets others have the CPU, among whom the one may be that it waits
 * for. About what it takes to sleep and to be woken. */
enum { SPINS = STOOK_TIMES(64, 1), YIELDS = STOOK_TIMES(16, 1) };

static void check_alive(const stook_future *future)
{
    STOOK_CHECK_API(future->home != TASK_DEAD, "a future is used after its last release");
}

/* A pending task whose token has been cancelled is cancelled by the first who looks. */
static enum stook_state cancel_if_token_is(stook_future *future)
{
    if (stook__token_is_cancelled(future->bond->token) && !stook__future_forked(future)) {
        stook__task_cancel_pending(future);
    }
    /* order FU.looked acq <- FU.finish: as FU.seen */
    return stook__task_state(a_load_acq(&future->word));
}

enum stook_state stook_future_state(const stook_future *future)
{
    /* order FU.seen acq <- FU.finish: who sees it terminal sees all that the task wrote */
    enum stook_state state = stook__task_state(a_load_acq(&future->word));

    if (state == STOOK_STATE_PENDING && future->bond) {
        return cancel_if_token_is((stook_future *)(uintptr_t)future);
    }
    return state;
}

bool stook_future_done(const stook_future *future)
{
    return stook_future_state(future) >= STOOK_STATE_DONE;
}

const char *stook_state_name(enum stook_state state)
{
    switch (state) {
    case STOOK_STATE_PENDING:
        return "pending";
    case STOOK_STATE_RUNNING:
        return "running";
    case STOOK_STATE_DONE:
        return "done";
    case STOOK_STATE_FAILED:
        return "failed";
    case STOOK_STATE_CANCELLED:
        return "cancelled";
    }
    return "unknown";
}

static bool spin_until_done(const stook_future *future)
{
    /* One that has just been woken cannot have got far. */
    unsigned i = stook__local.has_woken ? SPINS : 0;

    stook__local.has_woken = false;
    for (; i < SPINS + YIELDS; i++) {
        if (stook_future_done(future)) {
            return true;
        }
        if (i < SPINS) {
            stook__platform_pause();
        } else {
            thrd_yield();
        }
    }
    return false;
}

/* A thread that waits for one future. */
struct single {
    struct stook__waiter waiter; /* first */
    struct stook__event terminal;
};

static void single_ended(struct stook__waiter *waiter)
{
    stook__event_set(&((struct single *)waiter)->terminal);
}

/* Where the system has no event to give: looks again and again. */
static enum stook_status poll_until_done(const stook_future *future, int64_t deadline_ns)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    struct stook__thread *lender = stook__wait_lend();
    bool is_done;

    while (!(is_done = stook_future_done(future)) &&
           (deadline_ns == STOOK_FOREVER || deadline_ns > stook__platform_now_ns())) {
        thrd_sleep(&moment, NULL);
    }
    stook__wait_go_on(lender);
    return is_done ? STOOK_OK : STOOK_TIMEOUT;
}

/* Blocks the calling thread; a thread of an executor lends its worker meanwhile. */
static enum stook_status block_until(stook_future *future, int64_t deadline_ns)
{
    struct single single = {.waiter = {.notify = single_ended}};
    enum stook_status status = STOOK_OK;

    if (!stook__event_init(&single.terminal)) {
        return poll_until_done(future, deadline_ns);
    }
    if (stook__task_add_waiter(future, &single.waiter)) {
        status = stook__wait_for(&single.terminal, deadline_ns, future, NULL);
        if (status != STOOK_OK && !stook__task_remove_waiter(future, &single.waiter)) {
            /* Woken at the last moment: the waker must have left the record. */
            stook__event_wait_until(&single.terminal, STOOK_FOREVER);
            status = STOOK_OK;
        }
    }
    stook__event_fini(&single.terminal);
    return status;
}

static enum stook_status wait_until(stook_future *future, int64_t deadline_ns)
{
    struct stook__thread *thread = stook__thread_current();
    const struct stook__frame *frame = stook__frame_current();

    if (stook_future_done(future)) {
        return STOOK_OK;
    }
    if (stook__future_forked(future)) {
        return STOOK_FORKED;
    }
    enum stook_status status = stook__wait_allowed(deadline_ns);
    if (status != STOOK_OK) {
        return status;
    }
    if (stook__wait_is_for_self(future)) {
        stook__waits_report_self(frame, future);
        return STOOK_DEADLOCK;
    }
    /* Only for ever: what runs on top of a waiter keeps it from returning at its deadline. */
    if (thread && deadline_ns == STOOK_FOREVER &&
        stook__task_executor(future) == thread->executor &&
        (!frame || frame->depth < MAX_STACKED_TASKS) &&
        stook__worker_run_in_place(thread, future)) {
        return STOOK_OK;
    }
    if (spin_until_done(future)) {
        return STOOK_OK;
    }
    return block_until(future, deadline_ns);
}

enum stook_status stook_future_wait_until(stook_future *future, int64_t deadline_ns)
{
    if (!future) {
        return STOOK_INVALID;
    }
    check_alive(future);
    if (deadline_ns == STOOK_FOREVER && stook__worker_run_newest(future)) {
        return STOOK_OK;
    }
    return wait_until(future, deadline_ns);
}

enum stook_status stook_future_result(stook_future *future, void **ret_value)
{
    if (!future) {
        return STOOK_INVALID;
    }
    check_alive(future);
    if (!stook__worker_run_newest(future)) {
        enum stook_status status = wait_until(future, STOOK_FOREVER);
        if (status != STOOK_OK) {
            return status;
        }
    }
    /* order FU.result acq <- FU.finish, FU.alone: as FU.seen */
    uint32_t word = a_load_acq(&future->word);
    enum stook_state state = stook__task_state(word);
    if (state == STOOK_STATE_CANCELLED) {
        return word & TASK_BROKEN ? STOOK_BROKEN : STOOK_CANCELLED;
    }
    if (ret_value) {
        /* order FU.take rlx: read by the last release, which comes after this caller's own */
        a_or_rlx(&future->word, TASK_TAKEN);
        *ret_value = future->value;
    }
    return state == STOOK_STATE_DONE ? STOOK_OK : STOOK_TASK_FAILED;
}

int stook_future_code(const stook_future *future)
{
    enum stook_state state = stook_future_state(future);
    return state == STOOK_STATE_DONE || state == STOOK_STATE_FAILED ? future->code : 0;
}

enum stook_cancel_outcome stook_future_cancel(stook_future *future)
{
    if (!future || stook__future_forked(future)) {
        return STOOK_CANCEL_TOO_LATE;
    }
    check_alive(future);
    return stook__task_cancel(future);
}

bool stook_task_cancel_requested(void)
{
    const struct stook__frame *frame = stook__frame_current();

    if (!frame) {
        return false;
    }
    const stook_future *task = frame->task;
    /* order FU.asked rlx: a flag; it carries no data */
    uint32_t word = a_load_rlx(&task->word);
    /* CANCELLED: a task that repeats, whose call goes on */
    return word & TASK_CANCEL_REQUESTED || stook__task_state(word) == STOOK_STATE_CANCELLED ||
           (task->bond && stook__token_is_cancelled(task->bond->token));
}

void stook_future_set_destructor(stook_future *future, void (*destroy)(void *value))
{
    if (future) {
        /* order FU.destroy rel -> FU.destructor: see there */
        a_store_rel(&future->destroy, destroy);
    }
}

stook_future *stook_future_retain(stook_future *future)
{
    if (future) {
        check_alive(future);
        stook__task_retain(future);
    }
    return future;
}

void stook_future_release(stook_future *future)
{
    if (future) {
        check_alive(future);
        stook__task_release(future);
    }
}
