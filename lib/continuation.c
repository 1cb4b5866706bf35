/* SPDX-License-Identifier: MIT
 *
 * Then: a future that follows another. Its record has a waiter in the list of the one before it;
 * the waiter has a reference to either side, which go with it: when it is notified, or taken out
 * because the new future was cancelled.
 */
#include <stook/continuation.h>
#include "allocate.h"
#include "atomics.h"
#include "bond.h"
#include "callback.h"
#include "fork.h"
#include "park.h"
#include "pool.h"
#include "submit.h"

/* Cancelling may overtake the entry of the waiter; then who enters it takes it out again. */
enum { ENTERING, ENTERED, ENDED };

struct then {
    stook_future future; /* first */
    struct stook__bond bond;
    struct stook__waiter waiter; /* in the list of `before` */
    stook_future *before;        /* a reference, until the new future is terminal */
    _Atomic(unsigned) entry;     /* of the waiter: who takes it out */
    enum stook_then_mode mode;
    stook_then_fn *fn;
    void *arg;
};

static struct then *then_of_waiter(struct stook__waiter *waiter)
{
    return (struct then *)((char *)waiter - offsetof(struct then, waiter));
}

static void waiter_left(struct then *then)
{
    stook__task_release(then->waiter.future);
    stook__task_release(&then->future);
}

static void take_waiter_out(struct then *then)
{
    if (stook__task_remove_waiter(then->before, &then->waiter)) {
        waiter_left(then);
    }
}

/* The new future is terminal. */
static void then_ended(struct stook__bond *bond, bool was_held)
{
    (void)was_held;
    struct then *then = (struct then *)((char *)bond - offsetof(struct then, bond));

    /* order CT.end acqrel -> CT.enter; <- CT.enter: the waiter is whole, or its owner will look */
    if (a_xchg_acqrel(&then->entry, ENDED) == ENTERED) {
        take_waiter_out(then);
    }
    stook__task_release(then->before);
}

/* The caller has a reference of its own. */
static void enter_waiter(struct then *then)
{
    stook_future *before = then->before;
    unsigned entry = ENTERING;

    stook__task_retain(before); /* then_ended() may let go of it meanwhile */
    stook__callback_add(&then->waiter);
    /* order CT.enter acqrel -> CT.end; <- CT.end: see there */
    if (!a_cas_acqrel(&then->entry, &entry, ENTERED) &&
        stook__task_remove_waiter(before, &then->waiter)) {
        waiter_left(then);
    }
    stook__task_release(before);
}

static int run_then(void *arg, void **ret_value)
{
    struct then *then = arg;
    return then->fn(then->before, then->arg, ret_value);
}

static void run_inline(struct then *then)
{
    void *value = NULL;

    if (stook__task_claim(&then->future)) {
        int code = run_then(then, &value);
        stook__task_finish(&then->future, code, value, false);
    }
}

/* `to` becomes what `from` is. */
static void adopt(stook_future *to, stook_future *from, void *value)
{
    if (stook_future_state(from) == STOOK_STATE_CANCELLED) {
        stook__task_cancel_pending(to);
    } else {
        stook__task_complete(to, stook_future_code(from), value);
    }
}

static void before_ended(struct stook__waiter *waiter)
{
    struct then *then = then_of_waiter(waiter);

    if (then->mode == STOOK_THEN_IF_DONE &&
        stook_future_state(waiter->future) != STOOK_STATE_DONE) {
        adopt(&then->future, waiter->future, NULL);
    } else if (stook__task_executor(&then->future)) {
        stook__bond_release(&then->bond);
    } else {
        run_inline(then);
    }
    waiter_left(then);
}

static struct then *then_create(stook_future *before, stook_executor *executor, uint32_t refs)
{
    const struct stook_allocator *allocator =
        executor ? stook__executor_allocator(executor) : stook__task_allocator(before);
    stook_future *future =
        stook__task_create_sized(allocator, sizeof(struct then), executor, run_then, NULL, refs);

    if (future) {
        future->arg = future;
    }
    return (struct then *)future;
}

enum stook_status stook_future_then(stook_future *before, enum stook_then_mode mode,
                                    stook_executor *executor, stook_then_fn *fn, void *arg,
                                    stook_future **ret_future)
{
    enum stook_status status = STOOK_OK;

    if (!before || !fn || (mode != STOOK_THEN_IF_DONE && mode != STOOK_THEN_ALWAYS)) {
        return STOOK_INVALID;
    }
    if (stook__future_forked(before)) {
        return STOOK_FORKED;
    }
    if (executor && (status = stook__submit_hold(executor)) != STOOK_OK) {
        return status;
    }
    /* this function's, the waiter's, the queue's, the caller's */
    struct then *then = then_create(before, executor, 2U + !!executor + !!ret_future);
    if (!then) {
        if (executor) {
            stook__park_let_go(executor);
        }
        return STOOK_NOMEM;
    }
    stook__task_retain(before);
    stook__task_retain(before);
    then->before = before;
    then->waiter = (struct stook__waiter){.notify = before_ended, .future = before};
    atomic_init(&then->entry, ENTERING);
    then->mode = mode;
    then->fn = fn;
    then->arg = arg;
    stook__bond_init(&then->bond, &then->future, executor ? executor->root : NULL, NULL,
                     STOOK_PRIORITY_NORMAL);
    then->bond.ended = then_ended;
    if (executor) {
        stook__count(executor, STOOK__SUBMITTED, 1);
        stook__bond_hold(&then->bond);
        stook__bond_join(&then->bond);
        stook__submit_heed_cancel(executor, &then->future);
    }
    if (ret_future) {
        *ret_future = &then->future;
    }
    enter_waiter(then);
    stook__task_release(&then->future);
    return STOOK_OK;
}
