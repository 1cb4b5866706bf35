/* SPDX-License-Identifier: MIT
 *
 * The life of a thread: find a task, run it, sleep; and where tasks are looked for, in which order
 * (README.md, "Finding work").
 */
#include "worker.h"
#include <stdio.h>
#include "bond.h"
#include "counters.h"
#include "fork.h"
#include "park.h"
#include "task.h"
#include "thread.h"

/* Every so many dispatches an old or outside task goes first, so that none starves. A prime, so
 * that it does not beat in time with the tasks. */
enum { FAIRNESS_PERIOD = 61 };

/* How often all other deques are looked at before a thread sleeps. */
enum { SEARCH_ROUNDS = 4, PAUSES_BETWEEN_ROUNDS = 16 };

/* Every so many husks the far end of the deque is looked at, too. */
enum { HUSKS_BETWEEN_LOOKS = 64 };

static STOOK_THREAD_LOCAL struct stook__thread *current_thread;
static STOOK_THREAD_LOCAL struct stook__frame *current_frame;

struct stook__thread *stook__thread_current(void)
{
    return current_thread;
}

void stook__worker_forget_thread(void)
{
    current_thread = NULL;
    current_frame = NULL;
}

const struct stook__frame *stook__frame_current(void)
{
    return current_frame;
}

bool stook__thread_serves(const stook_executor *executor)
{
    if (current_thread && current_thread->executor == executor) {
        return true;
    }
    for (const struct stook__frame *frame = current_frame; frame; frame = frame->below) {
        if (stook__task_executor(frame->task) == executor) {
            return true;
        }
    }
    return false;
}

/* --- running ---------------------------------------------------------------------------------- */

void stook_task_begin_blocking(void)
{
    if (current_thread && current_frame && current_frame->blocking++ == 0) {
        stook__park_release(current_thread);
        stook__thread_bind(current_thread);
    }
}

void stook_task_end_blocking(void)
{
    if (current_thread && current_frame && current_frame->blocking > 0 &&
        --current_frame->blocking == 0) {
        stook__park_resume(current_thread);
    }
}

/* Runs a task that the caller has claimed. */
static void execute(stook_future *task, bool give_reference)
{
    stook_task_fn *fn = task->fn;
    void *arg = task->arg;
    void *value = NULL;
    struct stook__thread *thread = current_thread; /* NULL: the caller of a submit runs it */
    struct stook__frame **top = &current_frame;
    struct stook__frame frame = {
        .task = task, .below = *top, .depth = *top ? (*top)->depth + 1 : 1};
    bool was_released =
        thread && thread->released > 0; /* the task below blocks: this one does not */

    if (was_released) {
        stook__park_resume(thread);
    }
    stook_executor *executor = stook__task_executor(task);
    *top = &frame;
    stook__count(executor, STOOK__BEGUN, 1);
    int code = fn(arg, &value);
    if (thread && stook__forked(executor->generation)) {
        thrd_exit(0); /* the task has forked, and this is the child: it has no other thread */
    }
    if (frame.blocking > 0) {
        stook__park_resume(thread);
    }
    *top = frame.below;
    stook__task_finish(task, code, value, give_reference);
    stook__count(executor, STOOK__ENDED, 1);
    if (was_released) {
        stook__park_release(thread);
        stook__thread_bind(thread);
    }
}

void stook__worker_act_as(stook_future *task)
{
    current_frame->task = task;
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

bool stook__worker_run_in_place(struct stook__thread *thread, stook_future *task)
{
    struct stook__worker *worker = thread->worker;

    if (worker) {
        drop_husks(thread->executor, worker);
    }
    if (worker && stook__deque_newest(&worker->deque) == task) {
        /* The usual case: the newest child, which leaves no husk. NULL: it was stolen just now. */
        bool taken = stook__deque_take(&worker->deque) != NULL;
        return taken && stook__worker_run_dequeued(thread->executor, task);
    }
    enum stook__here here =
        task->bond ? stook__bond_take_here(task->bond, current_frame) : STOOK__HERE_YES;
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
    struct stook__thread *thread = current_thread;

    /* A task that waits may come back without a worker. */
    while (thread && thread->worker && current_frame && current_frame->depth < MAX_STACKED_TASKS) {
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

/* --- finding ---------------------------------------------------------------------------------- */

static uint32_t next_random(struct stook__worker *worker)
{
    /* Marsaglia, "Xorshift RNGs" (2003), the triple 13, 17, 5. */
    uint32_t x = worker->random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    worker->random = x;
    return x;
}

/* The oldest task of somebody else; *ret_raced tells whether another thief was faster somewhere. */
static stook_future *steal_once(stook_executor *executor, struct stook__worker *thief,
                                bool *ret_raced)
{
    unsigned count = executor->options.max_workers; /* what was retired may hold tasks */
    unsigned first = next_random(thief) % count;

    for (unsigned i = 0; i < count; i++) {
        struct stook__worker *victim = &executor->workers[(first + i) % count];
        stook_future *task;
        if (victim == thief) {
            continue;
        }
        switch (stook__deque_steal(&victim->deque, &task)) {
        case STOOK__STEAL_GOT:
            stook__count(executor, STOOK__STOLEN, 1);
            return task;
        case STOOK__STEAL_RETRY:
            *ret_raced = true;
            break;
        case STOOK__STEAL_EMPTY:
            break;
        }
    }
    return NULL;
}

/* Looks into the queues of others for a while. */
static stook_future *search(struct stook__thread *thread)
{
    stook_executor *executor = thread->executor;

    stook__park_search(thread);
    for (unsigned round = 0; round < SEARCH_ROUNDS;) {
        bool raced = false;
        stook_future *task = steal_once(executor, thread->worker, &raced);
        if (!task) {
            task = stook__inject_pop(&executor->inject);
        }
        if (task) {
            return task;
        }
        if (!raced) {
            round++; /* a lost race is another's gain: somebody makes progress */
            for (unsigned i = 0; i < PAUSES_BETWEEN_ROUNDS; i++) {
                stook__platform_pause();
            }
        }
    }
    return NULL;
}

static stook_future *find_task(struct stook__thread *thread)
{
    struct stook__worker *worker = thread->worker;
    stook_executor *executor = thread->executor;
    stook_future *task = NULL;

    switch (++worker->dispatches % FAIRNESS_PERIOD) {
    case 0:
        task = stook__inject_pop(&executor->inject);
        break;
    case FAIRNESS_PERIOD / 2:
        if (stook__deque_steal(&worker->deque, &task) != STOOK__STEAL_GOT) {
            task = NULL;
        }
        break;
    }
    if (!task && worker->passes < STOOK__MOST_PASSES &&
        stook__inject_seems_urgent(&executor->inject)) {
        task = stook__inject_pop(&executor->inject);
        worker->passes++;
    }
    if (!task) {
        worker->passes = 0;
        task = stook__deque_take(&worker->deque);
    }
    if (!task) {
        worker->husks = 0;
        task = stook__inject_pop(&executor->inject);
    }
    if (!task) {
        task = search(thread);
    }
    return task;
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
    stook_future *task = find_task(thread);
    if (!task) {
        return stook__park_idle(thread);
    }
    stook__park_found(thread);
    stook__worker_run_dequeued(thread->executor, task);
    return true;
}

static void cancel_queued(stook_executor *executor)
{
    stook_future *task;

    while ((task = stook__inject_pop(&executor->inject)) != NULL) {
        stook__worker_heed_cancel(executor, task);
        drop(executor, task);
    }
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
    current_thread = thread;
    if (stook__park_begin(thread)) {
        while (dispatch(thread)) {
        }
    }
    current_thread = NULL;
    if (thread->is_initialised && options->thread_exit) {
        options->thread_exit(options->thread_data, thread->number);
    }
    if (stook__park_leave(thread)) {
        stook__task_finish(executor->ended, 0, NULL, false);
    }
    return NULL;
}
