/* SPDX-License-Identifier: MIT
 *
 * From submit into a queue: options, the choice of the queue, and what is done when there is no
 * room (README.md, "The injection queue").
 *
 * Invariant: until a batch is accepted as a whole, none of its tasks can be seen by anybody.
 */
#include "submit.h"
#include "allocate.h"
#include "bond.h"
#include "checks.h"
#include "fork.h"
#include "local.h"
#include "park.h"
#include "task.h"
#include "wait.h"
#include "worker.h"

/* --- the gate -----------------------------------------------------------------------------------
 */

enum stook_status stook__submit_status(const stook_executor *executor)
{
    STOOK_CHECK_ALIVE(executor, "an executor");
    if (stook__forked(executor->generation)) {
        return STOOK_FORKED;
    }
    if (!stook__inject_is_closed(&executor->inject)) {
        return STOOK_OK;
    }
    /* order EX.refuse acq <- EX.cancel: who was refused by the close must see why */
    return a_load_acq(&executor->cancelling) & STOOK__BROKEN ? STOOK_BROKEN : STOOK_SHUTDOWN;
}

enum stook_status stook__submit_hold(stook_executor *executor)
{
    STOOK_CHECK_ALIVE(executor, "an executor");
    if (stook__forked(executor->generation)) {
        return STOOK_FORKED;
    }
    stook__park_hold(executor);
    enum stook_status status = stook__submit_status(executor);
    if (status != STOOK_OK) {
        stook__park_let_go(executor);
    }
    return status;
}

void stook__submit_heed_cancel(stook_executor *executor, stook_future *task)
{
    /* Either the sweep of its token, under whose mutex the task joined, has found it, or it is
     * seen here that the executor cancels, or is closed. */
    if (!stook__worker_heed_cancel(executor, task) && task->bond->repeats &&
        stook__inject_is_closed(&executor->inject)) {
        stook__task_cancel_pending(task);
    }
}

/* --- queueing -----------------------------------------------------------------------------------
 */

/* The deque of the calling thread, if the tasks belong there; NULL: into the injection queue. */
static struct stook__deque *own_deque(const stook_executor *executor,
                                      const struct stook__batch *batch)
{
    struct stook__thread *thread = stook__thread_current();

    if (!thread || thread->executor != executor || !thread->worker || batch->client ||
        batch->priority != STOOK_PRIORITY_NORMAL) {
        return NULL;
    }
    return &thread->worker->deque;
}

void stook__submit_released(stook_executor *executor, stook_future *task, stook_client *client,
                            enum stook_priority priority)
{
    struct stook__batch batch = {
        .first = task, .last = task, .count = 1, .client = client, .priority = priority};
    struct stook__deque *deque = own_deque(executor, &batch);

    if (deque && stook__deque_reserve(deque, 1)) {
        stook__deque_push(deque, task, 1);
    } else {
        (void)stook__inject_push(&executor->inject, &batch, STOOK__PUSH_FORCED);
    }
    stook__park_notify(executor);
}

/* Waits for room. A thread of another executor lends its worker meanwhile. */
static enum stook_status push_blocking(stook_executor *executor, const struct stook__batch *batch,
                                       int64_t deadline_ns)
{
    struct stook__blocked blocked = {.batch = *batch};
    enum stook_status status = stook__wait_allowed(deadline_ns);

    if (status != STOOK_OK) {
        return status;
    }
    if (!stook__event_init(&blocked.decided)) {
        return STOOK_NOMEM;
    }
    status = stook__inject_enter(&executor->inject, &blocked);
    if (status == STOOK_FULL) {
        status = STOOK_TIMEOUT;
        bool is_decided = stook__wait_event(&blocked.decided, deadline_ns);
        if (!is_decided && !stook__inject_leave(&executor->inject, &blocked)) {
            /* at the last moment: whoever decided must have left the record */
            is_decided = stook__event_wait_until(&blocked.decided, STOOK_FOREVER);
        }
        if (is_decided) {
            status = blocked.status;
        }
    }
    stook__event_fini(&blocked.decided);
    return status;
}

/* Queues a batch, all or nothing. */
static enum stook_status accept(stook_executor *executor, const struct stook__batch *batch,
                                const struct stook_submit_options *options)
{
    struct stook__deque *deque = own_deque(executor, batch);
    enum stook_status status;

    if (deque) {
        /* A hint: what slips through is found by this very thread. */
        if (stook__inject_is_closed(&executor->inject)) {
            return stook__submit_status(executor);
        }
        if (!stook__deque_reserve(deque, batch->count)) {
            return STOOK_NOMEM;
        }
        stook__count(executor, STOOK__SUBMITTED, batch->count);
        stook__deque_push(deque, batch->first, batch->count);
    } else {
        status = stook__inject_push(&executor->inject, batch, STOOK__PUSH_LIMITED);
        if (status == STOOK_FULL && stook__thread_serves(executor)) {
            /* Those who must make the room cannot wait for it. */
            status = stook__inject_push(&executor->inject, batch, STOOK__PUSH_EXEMPT);
        } else if (status == STOOK_FULL && options->when_full == STOOK_WHEN_FULL_BLOCK) {
            status = push_blocking(executor, batch, options->full_deadline_ns);
        }
        if (status != STOOK_OK) {
            return status;
        }
    }
    stook__park_notify(executor);
    return STOOK_OK;
}

/* --- the caller runs ----------------------------------------------------------------------------
 */

/* From here on the tasks of a batch that found no room count as accepted; false: the executor is
 * closed, and they are not. */
static bool caller_runs_begin(stook_executor *executor)
{
    stook__park_hold(executor); /* or it might end, and be joined, beside a task that runs here */
    if (!stook__inject_is_closed(&executor->inject)) {
        return true;
    }
    stook__park_let_go(executor);
    return false;
}

/* Queues what finds room by now, and runs the rest here, each in its turn. */
static void caller_runs(stook_executor *executor, const struct stook__batch *batch)
{
    stook_future *task = batch->first;

    for (size_t i = 0; i < batch->count; i++) {
        stook_future *next = stook__task_next(task); /* the task may be gone afterwards */
        struct stook__batch one = *batch;
        one.first = one.last = task;
        one.count = 1;
        if (stook__inject_push(&executor->inject, &one, STOOK__PUSH_LIMITED) == STOOK_OK) {
            stook__park_notify(executor);
        } else {
            stook__count(executor, STOOK__SUBMITTED, 1);
            stook__worker_run_dequeued(executor, task);
            if (stook__forked(executor->generation)) {
                return; /* the task has forked: of the executor the child has nothing but locks */
            }
        }
        task = next;
    }
    stook__park_let_go(executor);
}

/* --- submit -------------------------------------------------------------------------------------
 */

stook_token *stook__submit_token(const struct stook_submit_options *options)
{
    return options->scope ? &options->scope->token : options->token;
}

static bool options_are_valid(const stook_executor *executor,
                              const struct stook_submit_options *options)
{
    if (options->struct_size != sizeof *options ||
        (unsigned)options->priority > STOOK_PRIORITY_LOW ||
        (unsigned)options->when_full > STOOK_WHEN_FULL_RUN) {
        return false;
    }
    const stook_token *token = stook__submit_token(options);
    return !(options->scope && options->token) && (!token || token->executor == executor) &&
           (!options->client || options->client->executor == executor);
}

void stook__submit_discard(stook_future *first)
{
    while (first) {
        stook_future *next = stook__task_next(first);
        stook__task_discard(first);
        first = next;
    }
}

struct bonded {
    stook_future future; /* first */
    struct stook__bond bond;
};

enum { STOCK = 64 };

/* Memory for plain tasks, taken in portions. */
struct stock {
    void *records[STOCK];
    size_t used, count;
};

static stook_future *plain_create(const struct stook__kind *kind, void *arg, struct stock *stock,
                                  size_t wanted)
{
    struct stook__slabs *slabs = kind->executor->slabs;

    bool has_own = stook__local.home == stook__task_home(slabs); /* a magazine: no lock to save */
    if (has_own || (wanted == 1 && stock->used == stock->count)) {
        return stook__task_create(slabs, kind->fn, arg, kind->refs);
    }
    if (stock->used == stock->count) {
        stock->used = 0;
        stock->count =
            stook__slabs_take_several(slabs, stock->records, wanted < STOCK ? wanted : STOCK);
    }
    stook_future *task = stock->count > 0 ? stock->records[stock->used++] : NULL;
    if (task) {
        stook__task_init(task, stook__task_home(slabs), kind->fn, arg, kind->refs * TASK_REF);
    }
    return task;
}

/* wanted: so many will be created in all, this one included. */
static stook_future *kind_create(const struct stook__kind *kind, void *arg, struct stock *stock,
                                 size_t wanted)
{
    const struct stook_allocator *allocator = stook__executor_allocator(kind->executor);
    stook_token *token = stook__submit_token(kind->options);
    if (!token) {
        return plain_create(kind, arg, stock, wanted);
    }
    stook_future *task = stook__task_create_sized(allocator, sizeof(struct bonded), kind->executor,
                                                  kind->fn, arg, kind->refs);
    if (task) {
        stook__bond_init(&((struct bonded *)task)->bond, task, token, kind->options->client,
                         kind->options->priority);
    }
    return task;
}

/* Creates `count` tasks with arguments base, base + size, ..., chained. */
static stook_future *chain_create(const struct stook__kind *kind, void *base, size_t count,
                                  size_t size, stook_future **ret_last)
{
    stook_future *first = NULL;
    stook_future *last = NULL;
    struct stock stock;

    stock.used = stock.count = 0;
    for (size_t i = 0; i < count; i++) {
        stook_future *task =
            kind_create(kind, size ? (char *)base + i * size : base, &stock, count - i);
        if (!task) {
            stook__submit_discard(first);
            return NULL;
        }
        if (last) {
            stook__task_chain(last, task);
        } else {
            first = task;
        }
        last = task;
    }
    *ret_last = last;
    return first;
}

/* --- tokens and scopes --------------------------------------------------------------------------
 */

/* Enters a chain into its token, and cancels it if that has been cancelled. */
static void chain_join(stook_future *first, const stook_token *token)
{
    for (stook_future *task = first; task; task = stook__task_next(task)) {
        stook__bond_join(task->bond);
        if (stook__token_is_cancelled(token)) {
            stook__task_cancel_pending(task);
        }
    }
}

/* Undoes it for a chain that was refused. Others may be cancelling it, and have references. */
static void chain_leave(stook_future *first, uint32_t refs)
{
    while (first) {
        stook_future *next = stook__task_next(first);
        stook__bond_refuse(first->bond);
        stook__task_cancel_pending(first);
        for (uint32_t i = 0; i < refs; i++) {
            stook__task_release(first);
        }
        first = next;
    }
}

/* Tasks of a scope with a limit: those that get their turn go into the queues at once, the others
 * when their turn comes. The executor is held, so this cannot fail, and no queue's limit counts. */
static void accept_in_turn(const struct stook__kind *kind, stook_future *first)
{
    stook_executor *executor = kind->executor;
    const stook_token *token = stook__submit_token(kind->options);

    for (stook_future *task = first; task;) {
        stook_future *next = stook__task_next(task);
        stook__task_retain(task);
        stook__park_hold(executor);
        stook__count(executor, STOOK__SUBMITTED, 1);
        if (stook__bond_join(task->bond)) {
            stook__submit_released(executor, task, kind->options->client, kind->options->priority);
            stook__park_let_go(executor);
        } else {
            stook__submit_heed_cancel(executor, task);
        }
        if (stook__token_is_cancelled(token)) {
            stook__task_cancel_pending(task);
        }
        stook__task_release(task);
        task = next;
    }
}

/* Hands out the caller's references, which keep the chain; the last one's link is the queue's. */
static void chain_hand_out(stook_future *task, size_t count, stook_future *ret_futures[])
{
    for (size_t i = 0; i < count; i++) {
        ret_futures[i] = task;
        task = i + 1 < count ? stook__task_next(task) : NULL;
    }
}

/* Accepts a chain, all or nothing; on failure it has been freed. */
static enum stook_status accept_chain(const struct stook__kind *kind, struct stook__batch *batch,
                                      size_t count, stook_future *ret_futures[])
{
    const struct stook_submit_options *options = kind->options;
    stook_token *token = stook__submit_token(options);

    if (token) {
        chain_join(batch->first, token);
    }
    enum stook_status status = accept(kind->executor, batch, options);
    bool caller_must_run = status == STOOK_FULL && options->when_full == STOOK_WHEN_FULL_RUN;
    if (caller_must_run) {
        status = caller_runs_begin(kind->executor) ? STOOK_OK : STOOK_SHUTDOWN;
    }
    if (status == STOOK_SHUTDOWN) {
        status = stook__submit_status(kind->executor); /* why it is closed */
    }
    if (status != STOOK_OK) {
        if (token) {
            chain_leave(batch->first, kind->refs);
        } else {
            stook__submit_discard(batch->first);
        }
        return status;
    }
    if (ret_futures) {
        chain_hand_out(batch->first, count, ret_futures);
    }
    if (caller_must_run) {
        caller_runs(kind->executor, batch);
    }
    return STOOK_OK;
}

/* The same for a scope with a limit. Tasks may be gone before the last one is accepted, unless the
 * caller has references. */
static enum stook_status accept_chain_in_turn(const struct stook__kind *kind, stook_future *first,
                                              size_t count, stook_future *ret_futures[])
{
    enum stook_status status = stook__submit_hold(kind->executor);

    if (status != STOOK_OK) {
        stook__submit_discard(first);
        return status;
    }
    if (ret_futures) {
        chain_hand_out(first, count, ret_futures);
    }
    accept_in_turn(kind, first);
    stook__park_let_go(kind->executor);
    return STOOK_OK;
}

/* Submits any number of tasks, all or none. */
static enum stook_status submit(stook_executor *executor,
                                const struct stook_submit_options *options, stook_task_fn *fn,
                                void *base, size_t count, size_t size, stook_future *ret_futures[])
{
    static const struct stook_submit_options defaults = STOOK_SUBMIT_OPTIONS_INIT;

    options = options ? options : &defaults;
    if (!executor || !fn || !options_are_valid(executor, options)) {
        return STOOK_INVALID;
    }
    enum stook_status status = stook__submit_status(executor);
    if (count == 0) {
        return status == STOOK_FORKED ? status : STOOK_OK;
    }
    if (status != STOOK_OK) {
        return status;
    }
    struct stook__kind kind = {
        .executor = executor, .fn = fn, .options = options, .refs = ret_futures ? 2 : 1};
    if (options->start_ns != 0 || options->period_ns != 0) {
        return stook__submit_delayed(&kind, base, count, size, ret_futures);
    }
    struct stook__batch batch = {
        .count = count, .client = options->client, .priority = options->priority};
    batch.first = chain_create(&kind, base, count, size, &batch.last);
    if (!batch.first) {
        return STOOK_NOMEM;
    }
    return options->scope && options->scope->limit > 0
               ? accept_chain_in_turn(&kind, batch.first, count, ret_futures)
               : accept_chain(&kind, &batch, count, ret_futures);
}

enum stook_status stook_executor_submit_many(stook_executor *executor,
                                             const struct stook_submit_options *options,
                                             stook_task_fn *fn, void *base, size_t count,
                                             size_t size, stook_future *ret_futures[])
{
    if (options && options->period_ns != 0) {
        return STOOK_INVALID;
    }
    return submit(executor, options, fn, base, count, size, ret_futures);
}

enum stook_status stook_executor_submit_with(stook_executor *executor,
                                             const struct stook_submit_options *options,
                                             stook_task_fn *fn, void *arg,
                                             stook_future **ret_future)
{
    return submit(executor, options, fn, arg, 1, 0, ret_future);
}

/* --- one plain task, the usual case -------------------------------------------------------------
 */

static enum stook_status submit_outside(stook_executor *executor, stook_task_fn *fn, void *arg,
                                        stook_future **ret_future)
{
    enum stook_status status = stook__submit_status(executor);

    if (status != STOOK_OK || executor->inject.default_client.limit > 0) {
        return submit(executor, NULL, fn, arg, 1, 0, ret_future);
    }
    stook_future *task = stook__task_create(executor->slabs, fn, arg, ret_future ? 2 : 1);
    if (!task) {
        return STOOK_NOMEM;
    }
    status = stook__inject_push_one(&executor->inject, task);
    if (status != STOOK_OK) {
        stook__task_discard(task);
        return stook__submit_status(executor); /* why it has just been closed */
    }
    if (ret_future) {
        *ret_future = task;
    }
    stook__park_notify(executor);
    return STOOK_OK;
}

enum stook_status stook_executor_submit(stook_executor *executor, stook_task_fn *fn, void *arg,
                                        stook_future **ret_future)
{
    struct stook__local *local = &stook__local;
    const struct stook__thread *thread = local->thread;

    if (!executor || !fn) {
        return STOOK_INVALID;
    }
    if (!thread || thread->executor != executor || !thread->worker) {
        return submit_outside(executor, fn, arg, ret_future);
    }
    struct stook__worker *worker = thread->worker;
    if (stook__inject_is_closed(&executor->inject) || !stook__deque_reserve(&worker->deque, 1)) {
        return submit(executor, NULL, fn, arg, 1, 0, ret_future); /* it knows the reason */
    }
    stook_future *task = stook__slabs_take(executor->slabs, &local->magazine);
    if (!task) {
        return STOOK_NOMEM;
    }
    stook__task_init(task, local->home, fn, arg, (ret_future ? 2 : 1) * TASK_REF);
    stook__count_in(&worker->counters, STOOK__SUBMITTED, 1);
    stook__deque_push_one(&worker->deque, task);
    if (ret_future) {
        *ret_future = task;
    }
    stook__park_notify(executor);
    return STOOK_OK;
}
