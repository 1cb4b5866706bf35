/* SPDX-License-Identifier: MIT
 *
 * Tasks that are to run later, once or again and again: held back by an alarm.
 *
 * A repeated task is held until it ends. For each of its calls a task of its own goes through the
 * queues; while a call is under way it is RUNNING, after it PENDING again, and the alarm is set
 * for the next. So calls never overlap, what is late is left out, and it is terminal only when no
 * call uses its arg. The alarm, or the call, has a reference to the record.
 */
#include "allocate.h"
#include "atomics.h"
#include "bond.h"
#include "fork.h"
#include "park.h"
#include "pool.h"
#include "submit.h"
#include "worker.h"

struct delayed {
    stook_future future; /* first */
    struct stook__bond bond;
    struct stook__alarm alarm;
    int64_t period_ns; /* 0: once */
    stook_task_fn *fn; /* of a repeated one, whose future has a value in its place */
};

static bool has_ended(const struct delayed *delayed)
{
    /* order DL.ended rlx: once terminal it stays so */
    return stook__task_is_terminal(a_load_rlx(&delayed->future.word));
}

/* Gives the caller's reference to the alarm. If the task has ended, nobody else takes the alarm
 * back. */
static void set_alarm(struct delayed *delayed)
{
    stook_executor *executor = stook__task_executor(&delayed->future);

    stook__task_retain(&delayed->future);
    stook__timer_set(executor, &delayed->alarm);
    if (has_ended(delayed) && stook__timer_unset(executor, &delayed->alarm)) {
        stook__task_release(&delayed->future);
    }
    stook__task_release(&delayed->future);
}

/* The task has become terminal. */
static void delayed_ended(struct stook__bond *bond, bool was_held)
{
    struct delayed *delayed = (struct delayed *)((char *)bond - offsetof(struct delayed, bond));

    if (was_held && stook__timer_unset(stook__task_executor(&delayed->future), &delayed->alarm)) {
        stook__task_release(&delayed->future);
    }
}

static struct delayed *delayed_of(struct stook__alarm *alarm)
{
    return (struct delayed *)((char *)alarm - offsetof(struct delayed, alarm));
}

/* --- once ---------------------------------------------------------------------------------------
 */

static void time_has_come(struct stook__alarm *alarm)
{
    struct delayed *delayed = delayed_of(alarm);

    if (stook__bond_ask_turn(&delayed->bond)) {
        stook__bond_release(&delayed->bond);
    }
    stook__task_release(&delayed->future);
}

/* --- repeated --------------------------------------------------------------------------------- */

/* The next multiple of the period that has not passed. */
static void advance(struct delayed *delayed)
{
    int64_t due_ns = delayed->alarm.due_ns;
    int64_t now_ns = stook__platform_now_ns();
    int64_t missed = now_ns > due_ns ? (now_ns - due_ns) / delayed->period_ns : 0;
    int64_t room_ns = STOOK_FOREVER - 1 - due_ns;

    delayed->alarm.due_ns = missed >= room_ns / delayed->period_ns
                                ? STOOK_FOREVER - 1
                                : due_ns + (missed + 1) * delayed->period_ns;
}

/* One call of a repeated task. */
struct call {
    stook_future future; /* first */
    struct stook__bond bond;
    struct delayed *delayed; /* a reference, until the call has ended */
};

static void call_ended(struct stook__bond *bond, bool was_held)
{
    struct call *call = (struct call *)((char *)bond - offsetof(struct call, bond));

    (void)was_held;
    stook__task_release(&call->delayed->future);
}

/* After a call that returned 0: back to PENDING, unless it was asked to stop meanwhile. */
static void go_on(struct delayed *delayed)
{
    stook_future *future = &delayed->future;

    if (stook__task_rest(future)) {
        stook__bond_meet_sweep(&delayed->bond);
        stook__submit_heed_cancel(stook__task_executor(future), future);
        if (!has_ended(delayed)) {
            advance(delayed);
            stook__task_retain(future);
            set_alarm(delayed);
        }
    }
}

static int run_call(void *arg, void **ret_value)
{
    struct delayed *delayed = arg;
    stook_future *future = &delayed->future;
    stook_executor *executor = stook__task_executor(future);
    stook_task_fn *fn = delayed->fn;
    void *value = NULL;
    (void)ret_value;

    /* The call itself has no token. */
    if (stook__worker_heed_cancel(executor, future) || !stook__task_claim(future)) {
        return 0;
    }
    stook__worker_act_as(future);
    int code = fn(future->arg, &value);
    if (stook__forked(executor->generation)) {
        return code; /* it has forked, and this is the child, whose thread is about to end */
    }
    if (code != 0) {
        stook__task_finish(future, code, value, false);
        return 0;
    }
    stook__destroy_fn *destroy = stook__task_destructor(future);
    if (value && destroy) {
        destroy(value);
    }
    go_on(delayed);
    return 0;
}

static void call_is_due(struct stook__alarm *alarm)
{
    struct delayed *delayed = delayed_of(alarm);
    stook_future *future = &delayed->future;
    stook_executor *executor = stook__task_executor(future);

    if (has_ended(delayed)) { /* before the alarm was set: the client, or more, may have gone */
        stook__task_release(future);
        return;
    }
    stook_future *task = stook__task_create_sized(
        stook__executor_allocator(executor), sizeof(struct call), executor, run_call, delayed, 1);
    if (!task) {
        stook__task_complete(future, STOOK_NOMEM, NULL);
        stook__task_release(future);
        return;
    }
    struct call *call = (struct call *)task;
    stook__bond_init(&call->bond, task, NULL, NULL, delayed->bond.priority);
    call->bond.ended = call_ended;
    call->delayed = delayed;
    stook__count(executor, STOOK__SUBMITTED, 1);
    stook__submit_released(executor, task, delayed->bond.client, delayed->bond.priority);
}

/* --- submitting ------------------------------------------------------------------------------- */

static bool options_are_valid(const struct stook_submit_options *options)
{
    return options->period_ns >= 0 && !(options->scope && options->period_ns > 0) &&
           !(options->start_ns == STOOK_FOREVER && options->period_ns > 0);
}

static struct delayed *delayed_create(const struct stook__kind *kind, void *arg)
{
    const struct stook_submit_options *options = kind->options;
    stook_executor *executor = kind->executor;
    stook_token *token = stook__submit_token(options);
    /* one more for the alarm */
    stook_future *future =
        stook__task_create_sized(stook__executor_allocator(executor), sizeof(struct delayed),
                                 executor, kind->fn, arg, kind->refs + 1);

    if (!future) {
        return NULL;
    }
    struct delayed *delayed = (struct delayed *)future;
    stook__bond_init(&delayed->bond, future, token ? token : executor->root, options->client,
                     options->priority);
    delayed->bond.ended = delayed_ended;
    delayed->bond.repeats = options->period_ns > 0;
    delayed->fn = kind->fn;
    delayed->period_ns = options->period_ns;
    delayed->alarm = (struct stook__alarm){
        .due_ns = options->start_ns > 0 ? options->start_ns : stook__platform_now_ns(),
        .ring = options->period_ns > 0 ? call_is_due : time_has_come};
    return delayed;
}

/* From here on it is accepted. */
static void start(struct delayed *delayed)
{
    stook_future *future = &delayed->future;
    stook_executor *executor = stook__task_executor(future);

    stook__park_hold(executor); /* for the bond */
    stook__count(executor, STOOK__SUBMITTED, 1);
    stook__bond_hold(&delayed->bond);
    stook__bond_join_delayed(&delayed->bond);
    stook__submit_heed_cancel(executor, future);
    set_alarm(delayed);
}

static enum stook_status start_all(const struct stook__kind *kind, void *base, size_t count,
                                   size_t size, stook_future *ret_futures[])
{
    stook_future *first = NULL;

    if (!stook__timer_start(kind->executor)) {
        return STOOK_THREAD;
    }
    for (size_t i = count; i > 0; i--) {
        struct delayed *delayed = delayed_create(kind, size ? (char *)base + (i - 1) * size : base);
        if (!delayed) {
            stook__submit_discard(first);
            return STOOK_NOMEM;
        }
        stook__task_chain(&delayed->future, first);
        first = &delayed->future;
    }
    for (size_t i = 0; first; i++) {
        struct delayed *delayed = (struct delayed *)first;
        first = stook__task_next(first);
        if (ret_futures) {
            ret_futures[i] = &delayed->future;
        }
        start(delayed);
    }
    return STOOK_OK;
}

enum stook_status stook__submit_delayed(const struct stook__kind *kind, void *base, size_t count,
                                        size_t size, stook_future *ret_futures[])
{
    if (!options_are_valid(kind->options)) {
        return STOOK_INVALID;
    }
    enum stook_status status = stook__submit_hold(kind->executor);
    if (status == STOOK_OK) {
        status = start_all(kind, base, count, size, ret_futures);
        stook__park_let_go(kind->executor);
    }
    return status;
}
