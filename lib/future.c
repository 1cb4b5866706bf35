/* SPDX-License-Identifier: MIT
 *
 * The public face of a future: looking, waiting, taking the result. The state machine itself is
 * task.c.
 */
#include <stook/future.h>
#include <threads.h>
#include <time.h>
#include "checks.h"
#include "park.h"
#include "task.h"
#include "worker.h"

/* How long a waiter looks at a running task before it blocks: a few microseconds, less than the
 * thread switch that it may save. */
enum { SPIN_BEFORE_LENDING = 128 };

/* Tasks that run on top of one another on one thread, each awaited by the one below; beyond this
 * a waiter leaves its task to another thread. */
enum { MAX_STACKED_TASKS = 1000 };

enum stook_state stook_future_state(const stook_future *future)
{
    /* order FU.seen acq <- FU.finish: who sees it terminal sees all that the task wrote */
    return stook__task_state(a_load_acq(&future->word));
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
    for (unsigned i = 0; i < SPIN_BEFORE_LENDING; i++) {
        if (stook_future_done(future)) {
            return true;
        }
        stook__platform_pause();
    }
    return false;
}

/* Where the system has no event to give: looks again and again. */
static bool poll_until_done(const stook_future *future, int64_t deadline_ns)
{
    const struct timespec moment = {.tv_nsec = 1000000};

    while (!stook_future_done(future)) {
        if (deadline_ns != STOOK_FOREVER && deadline_ns <= stook__platform_now_ns()) {
            return false;
        }
        thrd_sleep(&moment, NULL);
    }
    return true;
}

/* Sleeps until the future is terminal; false: the deadline has passed first. */
static bool sleep_until_done(stook_future *future, int64_t deadline_ns)
{
    struct stook__waiter waiter;
    bool is_terminal = true;

    if (!stook__event_init(&waiter.terminal)) {
        return poll_until_done(future, deadline_ns);
    }
    if (stook__task_add_waiter(future, &waiter) &&
        !stook__event_wait_until(&waiter.terminal, deadline_ns)) {
        is_terminal = !stook__task_remove_waiter(future, &waiter);
        if (is_terminal) { /* woken at the last moment: the waker must have left the record */
            stook__event_wait_until(&waiter.terminal, STOOK_FOREVER);
        }
    }
    stook__event_fini(&waiter.terminal);
    return is_terminal;
}

/* Blocks the calling thread; a thread of an executor lends its worker meanwhile. */
static enum stook_status block_until(struct stook__thread *thread, stook_future *future,
                                     int64_t deadline_ns)
{
    if (thread) {
        stook__park_release(thread);
    }
    bool is_terminal = sleep_until_done(future, deadline_ns);
    if (thread) {
        stook__park_resume(thread);
    }
    return is_terminal ? STOOK_OK : STOOK_TIMEOUT;
}

/* Every task on a thread's stack waits for the one above it. */
static bool is_on_stack(const struct stook__thread *thread, const stook_future *future)
{
    for (const struct stook__frame *frame = thread->frame; frame; frame = frame->below) {
        if (frame->task == future) {
            return true;
        }
    }
    return false;
}

enum stook_status stook_future_wait_until(stook_future *future, int64_t deadline_ns)
{
    struct stook__thread *thread = stook__thread_current();

    if (!future) {
        return STOOK_INVALID;
    }
    if (stook_future_done(future)) {
        return STOOK_OK;
    }
    if (thread && is_on_stack(thread, future)) {
        return STOOK_DEADLOCK;
    }
    if (deadline_ns != STOOK_FOREVER && deadline_ns <= stook__platform_now_ns()) {
        return STOOK_TIMEOUT;
    }
    /* Only for ever: what runs on top of a waiter keeps it from returning at its deadline. */
    if (thread && deadline_ns == STOOK_FOREVER && future->executor == thread->executor &&
        thread->depth < MAX_STACKED_TASKS && stook__worker_run_in_place(thread, future)) {
        return STOOK_OK;
    }
    if (spin_until_done(future)) {
        return STOOK_OK;
    }
    return block_until(thread, future, deadline_ns);
}

enum stook_status stook_future_result(stook_future *future, void **ret_value)
{
    enum stook_status status = stook_future_wait_until(future, STOOK_FOREVER);

    if (status != STOOK_OK) {
        return status;
    }
    enum stook_state state = stook_future_state(future);
    if (state == STOOK_STATE_CANCELLED) {
        return STOOK_CANCELLED;
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
    return future ? stook__task_cancel(future) : STOOK_CANCEL_TOO_LATE;
}

bool stook_task_cancel_requested(void)
{
    const struct stook__thread *thread = stook__thread_current();

    if (!thread || !thread->frame) {
        return false;
    }
    /* order FU.asked rlx: a flag; it carries no data */
    return (a_load_rlx(&thread->frame->task->word) & TASK_CANCEL_REQUESTED) != 0;
}

void stook_future_set_destructor(stook_future *future, void (*destroy)(void *value))
{
    if (future) {
        future->destroy = destroy;
    }
}

stook_future *stook_future_retain(stook_future *future)
{
    if (future) {
        /* order FU.ref rlx: the caller holds a reference, so it cannot be the last that goes */
        uint32_t word = a_add_rlx(&future->word, TASK_REF);
        STOOK_CHECK_API(word / TASK_REF < TASK_MAX_REFS, "too many references to one future");
        (void)word;
    }
    return future;
}

void stook_future_release(stook_future *future)
{
    if (future) {
        stook__task_release(future);
    }
}
