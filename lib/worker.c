/* SPDX-License-Identifier: MIT
 *
 * The life of a thread: find a task (find.c), run it, sleep; and how tasks are run.
 */
#include "worker.h"
#include <stdio.h>
#include "bond.h"
#include "counters.h"
#include "find.h"
#include "fork.h"
#include "park.h"
#include "task.h"
#include "thread.h"

/* Every so many husks the far end of the deque is looked at, too. */
enum { HUSKS_BETWEEN_LOOKS = 64 };

void stook__worker_forget_thread(void)
{
    stook__local.thread = NULL;
    stook__local.frame = NULL;
    stook__local.home = 0;
}

bool stook__thread_serves(const stook_executor *executor)
{
    if (stook__local.thread && stook__local.thread->executor == executor) {
        return true;
    }
    for (const struct stook__frame *frame = stook__local.frame; frame; frame = frame->below) {
        if (stook__task_executor(frame->task) == executor) {
            return true;
        }
    }
    return false;
}

/* --- running ---------------------------------------------------------------------------------- */

void stook_task_begin_blocking(void)
{
    if (stook__local.thread && stook__local.frame && stook__local.frame->blocking++ == 0) {
        stook__park_release(stook__local.thread);
        stook__thread_bind(stook__local.thread);
    }
}

void stook_task_end_blocking(void)
{
    if (stook__local.thread && stook__local.frame && stook__local.frame->blocking > 0 &&
        --stook__local.frame->blocking == 0) {
        stook__park_resume(stook__local.thread);
    }
}

static inline void count_task(const struct stook__thread *thread, stook_executor *executor,
                              enum stook__counter which)
{
    if (thread && thread->worker && thread->executor == executor) {
        stook__count_in(&thread->worker->counters, which, 1);
    } else {
        stook__count(executor, which, 1);
    }
}

/* Puts a frame on top of the calling thread's. */
static inline void push_frame(struct stook__frame *frame)
{
    struct stook__local *local = &stook__local;

    frame->below = local->frame;
    frame->depth = frame->below ? frame->below->depth + 1 : 1;
    local->frame = frame;
}

/* thread: the calling one; NULL: of no executor. */
static inline void pop_frame(struct stook__thread *thread, const struct stook__frame *frame)
{
    if (thread && stook__forked(thread->executor->generation)) {
        thrd_exit(0); /* the task has forked, and this is the child: it has no other thread */
    }
    if (frame->blocking > 0) {
        stook__park_resume(thread);
    }
    stook__local.frame = frame->below;
}

/* What now begins does not block, though the task below may; true: it does. */
static inline bool stop_blocking(struct stook__thread *thread)
{
    bool was_released = thread && thread->released > 0;
    if (was_released) {
        stook__park_resume(thread);
    }
    return was_released;
}

static inline void block_again(struct stook__thread *thread, bool was_released)
{
    if (was_released) {
        stook__park_release(thread);
        stook__thread_bind(thread);
    }
}

/* Calls the task's function, on top of what the thread is in the middle of. thread NULL: that of a
 * submit that runs it in its caller. */
static inline int call(struct stook__thread *thread, stook_future *task, void **ret_value)
{
    struct stook__frame frame = {.task = task};

    push_frame(&frame);
    count_task(thread, stook__task_executor(task), STOOK__BEGUN);
    int code = task->fn(task->arg, ret_value);
    pop_frame(thread, &frame);
    return code;
}

/* Runs a task that the caller has claimed. */
static void execute(stook_future *task, bool give_reference)
{
    struct stook__thread *thread = stook__local.thread;
    stook_executor *executor = stook__task_executor(task);
    void *value = NULL;
    bool was_released = stop_blocking(thread);
    int code = call(thread, task, &value);

    if (!thread && stook__forked(executor->generation)) {
        return; /* the submitter ran it, and this is the child: locks may be held for ever */
    }
    stook__task_finish(task, code, value, give_reference);
    count_task(thread, executor, STOOK__ENDED);
    block_again(thread, was_released);
}

void stook__worker_make_fork(struct stook__thread *thread, const struct stook__theft *theft,
                             stook_here *here)
{
    struct stook__frame frame = {.task = theft->lane->root->task, .is_stolen = true};
    struct stook__frame *below = stook__local.frame; /* another fork of the same region, or none */
    bool was_released = stop_blocking(thread);

    stook__count(thread->executor, STOOK__STOLEN, 1);
    push_frame(&frame);
    if (!below) {
        frame.below = theft->lane->root; /* what waits for the region waits for this fork, too */
    }
    stook__lane_begin(theft, here);
    theft->slot->fn(here, theft->slot->arg);
    pop_frame(thread, &frame);
    stook__local.frame = below;
    stook__lane_finish(theft, here);
    block_again(thread, was_released);
}

/* The same when nothing runs on the thread. */
static void make_fork(struct stook__thread *thread, const struct stook__theft *theft)
{
    struct stook__lane_head *lane = stook__lane_lease(thread);

    if (!lane) {
        stook__worker_make_fork(thread, theft, stook__lane_last(theft->lane));
        return;
    }
    stook__lane_open(lane, theft->lane->root, true);
    stook__worker_make_fork(thread, theft, stook__lane_first(lane));
    stook__lane_close(lane);
    stook__lane_give_back(thread, lane);
}

/* Together with one reference. */
static inline void finish_alone(stook_future *task, uint32_t refs, int code, void *value)
{
    /* order FU.still acq <- FU.unref: another reference could only have come from this thread's own
     * ones; if it is gone again, so is what was done through it */
    if (a_load_acq(&task->word) != (refs * TASK_REF | STOOK_STATE_RUNNING) ||
        (refs == 1 && stook__task_destructor(task))) {
        stook__task_finish(task, code, value, true);
    } else if (refs == 1) {
        stook__task_free(task);
    } else {
        task->code = code;
        task->value = value;
        /* order FU.alone rel -> FU.seen, FU.sole, FU.unref: as FU.finish */
        a_store_rel(&task->word, (refs - 1) * TASK_REF |
                                     (uint32_t)(code == 0 ? STOOK_STATE_DONE : STOOK_STATE_FAILED));
    }
}

/* The same for a pending task with `refs` references, all of which are the calling thread's, and so
 * for nobody else to see: needs no read-modify-write. */
static inline void execute_alone(struct stook__thread *thread, stook_future *task, uint32_t refs)
{
    stook_executor *executor = thread->executor;
    void *value = NULL;

    /* order FU.mine rlx: nobody else has a reference */
    a_store_rlx(&task->word, refs * TASK_REF | STOOK_STATE_RUNNING);
    int code = call(thread, task, &value);
    finish_alone(task, refs, code, value);
    count_task(thread, executor, STOOK__ENDED);
}

void stook__worker_act_as(stook_future *task)
{
    stook__local.frame->task = task;
}

/* Does the executor cancel what has not begun? */
static bool cancels(const stook_executor *executor)
{
    /* order EX.heeds acq <- EX.cancel: as EX.heed */
    return a_load_acq(&executor->cancelling) != 0;
}

/* Cancels a task that has not begun, if its token has been cancelled, or the executor cancels. */
bool stook__worker_heed_cancel(stook_executor *executor, stook_future *task)
{
    if (task->bond && stook__token_is_cancelled(task->bond->token)) {
        stook__task_cancel_pending(task);
        return true;
    }
    /* order EX.heed acq <- EX.cancel: a submitter that saw the close sees its tasks cancelled */
    uint32_t reason = a_load_acq(&executor->cancelling);

    if (reason & STOOK__BROKEN) {
        stook__task_cancel_broken(task);
    } else if (reason) {
        stook__task_cancel_pending(task);
    }
    return reason != 0;
}

static bool claim(stook_executor *executor, stook_future *task)
{
    return !stook__worker_heed_cancel(executor, task) && stook__task_claim(task);
}

/* Drops a task that came out of a queue, and is not pending. */
static void drop(stook_executor *executor, stook_future *task)
{
    /* order FU.dropped rlx: a state that is not PENDING stays, or has been RUNNING */
    if (stook__task_state(a_load_rlx(&task->word)) == STOOK_STATE_CANCELLED) {
        stook__count(executor, STOOK__CANCELLED, 1);
    }
    stook__task_release(task);
}

bool stook__worker_run_dequeued(stook_executor *executor, stook_future *task)
{
    struct stook__thread *thread = stook__local.thread;

    /* order FU.lone acq <- FU.unref: who gave the other references up did it before */
    if (task->home == stook__local.home && thread->released == 0 &&
        a_load_acq(&task->word) == (TASK_REF | STOOK_STATE_PENDING) && !cancels(executor)) {
        execute_alone(thread, task, 1);
        return true;
    }
    if (claim(executor, task)) {
        execute(task, true);
        return true;
    }
    drop(executor, task);
    return false;
}

static bool is_pending(stook_future *task)
{
    /* order FU.husk rlx: a state that is not PENDING stays so */
    return stook__task_state(a_load_rlx(&task->word)) == STOOK_STATE_PENDING;
}

/* Drops the husks at the near end of the deque. Without it they would pile up as long as tasks
 * wait for their children in the order in which they were submitted. */
static void drop_husks(stook_executor *executor, struct stook__worker *worker)
{
    while (worker->husks > 0) {
        stook_future *task = stook__deque_take(&worker->deque);
        if (!task) {
            worker->husks = 0;
        } else if (is_pending(task)) {
            stook__deque_push(&worker->deque, task, 1); /* into the room it has just left */
            stook__park_notify(executor); /* somebody may have looked while it was out */
            return;
        } else {
            worker->husks--; /* first: a destructor may come back here */
            drop(executor, task);
        }
    }
}

/* The same at the far end, where they are left by a task that submits and waits for ever, some way
 * behind. A pending one in the way goes to the near end, so that there is another next time. */
static void drop_old_husks(stook_executor *executor, struct stook__worker *worker)
{
    stook_future *task;

    while (worker->husks > 0 && stook__deque_steal(&worker->deque, &task) == STOOK__STEAL_GOT) {
        if (is_pending(task)) {
            stook__deque_push(&worker->deque, task, 1); /* there is room: it has just left */
            stook__park_notify(executor);
            return;
        }
        worker->husks--; /* first: see above */
        drop(executor, task);
    }
}

bool stook__worker_run_newest(stook_future *task)
{
    struct stook__local *local = &stook__local;

    if (task->home != local->home || local->in_callback) {
        return false; /* also if it has a bond, or the thread is nobody's */
    }
    struct stook__thread *thread = local->thread;
    struct stook__worker *worker = thread->worker; /* NULL also while the thread blocks */
    if (!worker || worker->husks > 0 || !stook__deque_may_end_with(&worker->deque, task) ||
        (local->frame && local->frame->depth >= MAX_STACKED_TASKS) || cancels(thread->executor) ||
        !stook__deque_take(&worker->deque)) {
        return false;
    }
    /* order FU.both acq <- FU.unref: as FU.lone. The waiter's reference, and the queue's */
    if (a_load_acq(&task->word) == (2 * TASK_REF | STOOK_STATE_PENDING)) {
        execute_alone(thread, task, 2);
        return true;
    }
    return stook__worker_run_dequeued(thread->executor, task);
}

bool stook__worker_run_in_place(struct stook__thread *thread, stook_future *task)
{
    struct stook__worker *worker = thread->worker;

    if (worker) {
        drop_husks(thread->executor, worker);
    }
    if (worker && stook__deque_newest(&worker->deque) == task) {
        /* The usual case: the newest child, which leaves no husk. NULL: it was stolen just now. */
        stook_future *taken = stook__deque_take(&worker->deque);
        return taken && stook__worker_run_dequeued(thread->executor, taken);
    }
    enum stook__here here =
        task->bond ? stook__bond_take_here(task->bond, stook__local.frame) : STOOK__HERE_YES;
    if (here == STOOK__HERE_RELEASED) { /* it was in no queue, but is now the caller's */
        return stook__worker_run_dequeued(thread->executor, task);
    }
    if (here == STOOK__HERE_NO || !claim(thread->executor, task)) {
        return false;
    }
    if (worker && ++worker->husks % HUSKS_BETWEEN_LOOKS == 0) {
        drop_old_husks(thread->executor, worker);
    }
    execute(task, false);
    return true;
}

void stook__worker_run_scope(struct stook_scope *scope)
{
    struct stook__thread *thread = stook__local.thread;

    /* A task that waits may come back without a worker. */
    while (thread && thread->worker && stook__local.frame &&
           stook__local.frame->depth < MAX_STACKED_TASKS) {
        struct stook__deque *deque = &thread->worker->deque;
        stook_future *task = stook__deque_take(deque);
        if (!task) {
            return;
        }
        if (!task->bond || task->bond->token != &scope->token) {
            stook__deque_push(deque, task, 1);    /* into the room it has just left */
            stook__park_notify(thread->executor); /* somebody may have looked while it was out */
            return;
        }
        stook__worker_run_dequeued(thread->executor, task);
    }
}

/* --- the thread ------------------------------------------------------------------------------- */

static void name_thread(const struct stook__thread *thread)
{
    enum { NAME_BYTES = 15 };
    char number[12];
    char name[NAME_BYTES + 1];
    int digits = snprintf(number, sizeof number, "-%u", thread->number);

    snprintf(name, sizeof name, "%.*s%s", NAME_BYTES - digits,
             thread->executor->options.name_prefix, number);
    stook__platform_name_thread(name);
}

/* What to do when no task runs; false: leave. */
static bool dispatch(struct stook__thread *thread)
{
    if (!thread->worker) {
        return stook__park_settle(thread);
    }
    if (stook__park_must_retire(thread->executor)) {
        return stook__park_retire(thread);
    }
    if (stook__park_must_rest(thread->executor)) {
        return stook__park_rest(thread);
    }
    stook__thread_bind(thread);
    struct stook__theft theft = {.slot = NULL};
    stook_future *task = stook__find_task(thread, &theft);
    if (!task && !theft.slot) {
        return stook__park_idle(thread);
    }
    stook__park_found(thread);
    if (task) {
        stook__worker_run_dequeued(thread->executor, task);
    } else {
        make_fork(thread, &theft);
    }
    return true;
}

static void cancel_queued(stook_executor *executor)
{
    stook_future *task;

    while ((task = stook__inject_pop(&executor->inject)) != NULL) {
        stook__worker_heed_cancel(executor, task);
        drop(executor, task);
    }
    stook__deque_enter(&executor->thieves);
    for (unsigned i = 0; i < executor->options.max_workers; i++) {
        enum stook__steal steal;
        while ((steal = stook__deque_steal(&executor->workers[i].deque, &task)) !=
               STOOK__STEAL_EMPTY) {
            if (steal == STOOK__STEAL_GOT) {
                stook__worker_heed_cancel(executor, task);
                drop(executor, task);
            }
        }
    }
    stook__deque_leave(&executor->thieves);
}

void stook__worker_close(stook_executor *executor, uint32_t reason)
{
    if (reason) {
        /* order EX.cancel rel -> EX.broken, EX.heed, EX.refuse: what is dequeued from now on is
         * cancelled */
        a_or_rel(&executor->cancelling, reason);
    }
    stook__park_hold(executor); /* until what is taken out of the queues has been cancelled */
    stook__inject_close(&executor->inject);
    if (reason) {
        cancel_queued(executor);
    }
    stook__token_sweep(executor->root, reason & STOOK__BROKEN ? STOOK__SWEEP_BROKEN
                                       : reason               ? STOOK__SWEEP_ALL
                                                              : STOOK__SWEEP_REPEATED);
    stook__park_let_go(executor);
}

/* Calls the hook, unless the executor is broken: then no task will be run here. Where it fails, the
 * thread goes on all the same, for it may hold a worker; it cancels what it finds. */
static void initialise(struct stook__thread *thread)
{
    stook_executor *executor = thread->executor;

    /* order EX.broken acq <- EX.cancel: a thread without its hook must see that nothing is run */
    if (a_load_acq(&executor->cancelling) & STOOK__BROKEN) {
        return;
    }
    thread->is_initialised = stook__thread_run_init(thread);
    if (!thread->is_initialised) {
        stook__worker_close(executor, STOOK__BROKEN);
    }
}

void *stook__thread_main(void *arg)
{
    struct stook__thread *thread = arg;
    stook_executor *executor = thread->executor;
    const struct stook_executor_options *options = &executor->options;

    stook__thread_begin(thread);
    name_thread(thread);
    initialise(thread);
    stook__local.thread = thread;
    stook__local.home = stook__task_home(executor->slabs);
    if (stook__park_begin(thread)) {
        while (dispatch(thread)) {
        }
    }
    stook__lane_leave(thread);
    stook__local.thread = NULL;
    stook__local.home = 0;
    stook__slabs_empty(executor->slabs, &stook__local.magazine);
    if (thread->is_initialised && options->thread_exit) {
        options->thread_exit(options->thread_data, thread->number);
    }
    if (stook__park_leave(thread)) {
        stook__task_finish(executor->ended, 0, NULL, false);
    }
    return NULL;
}
