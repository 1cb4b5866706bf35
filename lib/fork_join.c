/* SPDX-License-Identifier: MIT
 *
 * Regions of forks and joins, and what these do when somebody is out of work. The inline rest is in
 * fork_join.h; how forks come to others is lane.c.
 */
#define STOOK_NO_INLINE
#include <stook/fork_join.h>
#include <stdio.h>
#include <stdlib.h>
#include <stook/clock.h>
#include "callback.h"
#include "checks.h"
#include "fork.h"
#include "lane.h"
#include "local.h"
#include "park.h"
#include "pool.h"
#include "submit.h"
#include "wait.h"
#include "worker.h"

/* How long a join looks at a fork that is being made elsewhere, and for others below it, before it
 * blocks: a few microseconds, as in a wait for a future. */
enum { SPINS_BEFORE_LENDING = STOOK_TIMES(64, 2) };

void stook__fork_misused(const char *sentence)
{
    fprintf(stderr, "stook: %s\n", sentence);
    abort();
}

stook_here *stook_fork(stook_here *here, stook_fork_fn *fn, void *arg)
{
    return stook__fork(here, fn, arg);
}

bool stook_join(stook_here *here)
{
    return stook__join(here);
}

bool stook_fork_is_wanted(stook_here *here)
{
    return stook__fork_is_wanted(here);
}

/* --- forks and joins -------------------------------------------------------------------------- */

/* In the child of a fork() nobody is there to take anything, and locks may be held for ever. */
static bool is_alone(const struct stook__lane_head *lane)
{
    return stook__forked(lane->executor->generation);
}

/* A broken executor is offered no further forks: its threads without a hook must not make them, and
 * would look for them again and again. And who asks a lane may come late, when it serves a region
 * that offers nothing. */
static void offer(struct stook__lane_head *lane, stook_here *end)
{
    /* order LN.serves rlx: the owner's own store */
    if (a_load_rlx(&lane->is_active) && !is_alone(lane) &&
        stook__submit_status(lane->executor) != STOOK_BROKEN && stook__lane_offer(lane, end)) {
        stook__park_notify(lane->executor);
    }
}

stook_here *stook__fork_slowly(stook_here *here, stook_fork_fn *fn, void *arg)
{
    if (stook__lane_is_full(here)) {
        return here;
    }
    here->fn = fn;
    here->arg = arg;
    offer(stook__lane_head_of(here), here + 1);
    return here + 1;
}

static bool is_done(stook_here *slot)
{
    /* order FJ.done acq <- LN.made: the caller reads what the fork has written */
    return a_load_acq(&slot->state) == LANE_DONE;
}

/* Where the system has no event to give: looks again and again. */
static void poll_until_done(stook_here *slot)
{
    struct stook__thread *lender = stook__wait_lend();

    while (!is_done(slot)) {
        thrd_yield();
    }
    stook__wait_go_on(lender);
}

static void block_until_done(stook_here *slot)
{
    struct stook__event done;

    if (!stook__event_init(&done)) {
        poll_until_done(slot);
        return;
    }
    /* order FJ.before acq <- LN.made: as FJ.done */
    uintptr_t state = a_load_acq(&slot->state);
    bool sleeps = false;
    while (!sleeps && state != LANE_DONE) {
        /* order FJ.sleep acqrel -> LN.made; <- LN.made: the event is seen whole; or, if it
         * fails, the results of the fork */
        sleeps = a_cas_acqrel(&slot->state, &state, (uintptr_t)&done + LANE_SLEEPS);
    }
    if (sleeps) {
        stook__wait_event(&done, STOOK_FOREVER);
    }
    stook__event_fini(&done);
}

/* Waits for a stolen fork, and meanwhile makes forks out of its subtree: nothing else, or a lock
 * that is held across the join might be wanted on top of it. */
static void await_fork(stook_here *slot)
{
    struct stook__thread *thread = stook__thread_current();
    struct stook__theft theft;

    for (unsigned spins = 0; spins < SPINS_BEFORE_LENDING;) {
        if (is_done(slot)) {
            return;
        }
        if (stook__lane_leap(slot, &theft)) {
            stook__worker_make_fork(thread, &theft, slot + 1);
            spins = 0;
        } else {
            stook__platform_pause();
            spins++;
        }
    }
    block_until_done(slot);
}

bool stook__join_slowly(stook_here *here)
{
    if (stook__lane_is_full(here)) {
        return true;
    }
    struct stook__lane_head *lane = stook__lane_head_of(here);
    if (!stook__lane_is_offered(lane, here)) { /* but others are asked for */
        offer(lane, here);
        return true;
    }
    if (stook__lane_take_back(lane, here)) {
        return true;
    }
    if (is_alone(lane) && !is_done(here)) {
        thrd_exit(0); /* it has gone with the parent's thread: this join cannot end */
    }
    await_fork(here);
    stook__lane_settle(lane, here);
    return false;
}

/* --- regions ---------------------------------------------------------------------------------- */

struct call {
    stook_fork_fn *fn;
    void *arg;
};

/* In a task of the executor. In a thread of somebody else, where a submit runs it, forks are not
 * offered: what waits for stolen ones needs a worker to lend. */
static enum stook_status run_here(stook_executor *executor, const struct call *call)
{
    struct stook__thread *thread = stook__thread_current();
    bool is_own = thread && thread->executor == executor;
    struct stook__lane_head *lane =
        is_own ? stook__lane_lease(thread) : stook__lane_lease_apart(executor);

    if (!lane) {
        return STOOK_NOMEM;
    }
    stook__lane_open(lane, stook__local.frame, is_own);
    call->fn(stook__lane_first(lane), call->arg);
    stook__lane_close(lane);
    if (!is_alone(lane)) {
        if (is_own) {
            stook__lane_give_back(thread, lane);
        } else {
            stook__lane_give_back_apart(lane);
        }
    }
    return STOOK_OK;
}

static int call_task(void *arg, void **ret_value)
{
    (void)ret_value;
    return run_here(stook__task_executor(stook__frame_current()->task), arg);
}

/* The task of a call; not an answer until it is known whether the call has been made. */
static enum stook_status result_of(stook_future *future)
{
    enum stook_status status = stook__wait_lent(future);

    return status == STOOK_TASK_FAILED ? (enum stook_status)stook_future_code(future) : status;
}

enum stook_status stook_executor_run(stook_executor *executor, stook_fork_fn *fn, void *arg)
{
    const struct stook__frame *frame = stook__frame_current();
    struct call call = {.fn = fn, .arg = arg};
    stook_future *future;

    if (!executor || !fn) {
        return STOOK_INVALID;
    }
    STOOK_CHECK_ALIVE(executor, "an executor");
    if (stook__callback_running()) {
        return STOOK_DEADLOCK; /* before anything is begun that it could not wait for */
    }
    if (frame && stook__task_executor(frame->task) == executor) {
        return run_here(executor, &call);
    }
    enum stook_status status = stook_executor_submit(executor, call_task, &call, &future);
    if (status == STOOK_OK) {
        status = result_of(future);
        stook_future_release(future);
    }
    return status;
}
