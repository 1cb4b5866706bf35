/* SPDX-License-Identifier: MIT
 *
 * The life of a thread: find a task, run it, sleep; and where tasks are looked for, in which order
 * (README.md, "Finding work").
 */
#include "worker.h"
#include <stdio.h>
#include "park.h"
#include "task.h"

/* Every so many dispatches an old or outside task goes first, so that none starves. A prime, so
 * that it does not beat in time with the tasks. */
enum { FAIRNESS_PERIOD = 61 };

/* How often all other deques are looked at before a thread sleeps. */
enum { SEARCH_ROUNDS = 4, PAUSES_BETWEEN_ROUNDS = 16 };

static _Thread_local struct stook__thread *current_thread;

struct stook__thread *stook__thread_current(void)
{
    return current_thread;
}

/* --- running ----------------------------------------------------------------------------------- */

/* Runs a task that the caller has claimed. */
static void execute(struct stook__thread *thread, stook_future *task, bool give_reference)
{
    stook_task_fn *fn = task->fn;
    void *arg = task->arg;
    void *value = NULL;
    struct stook__frame frame = {.task = task, .below = thread->frame};

    thread->frame = &frame;
    thread->depth++;
    int code = fn(arg, &value);
    thread->depth--;
    thread->frame = frame.below;
    stook__task_finish(task, code, value, give_reference);
}

/* While the executor cancels, what has not begun is not begun any more. */
static bool claim(stook_executor *executor, stook_future *task)
{
    /* order EX.heed acq <- EX.cancel: a submitter that saw the close sees its tasks cancelled */
    if (a_load_acq(&executor->cancelling)) {
        stook__task_cancel_pending(task);
        return false;
    }
    return stook__task_claim(task);
}

/* Runs a task that came out of a queue, together with the queue's reference; false if it was a
 * husk: cancelled, or run by one who waited for it. */
static bool run_dequeued(struct stook__thread *thread, stook_future *task)
{
    if (claim(thread->executor, task)) {
        execute(thread, task, true);
        return true;
    }
    stook__task_release(task);
    return false;
}

static bool is_pending(stook_future *task)
{
    /* order FU.husk rlx: a state that is not PENDING stays so */
    return stook__task_state(a_load_rlx(&task->word)) == STOOK_STATE_PENDING;
}

/* Drops the husks at the near end of the deque. Without it they would pile up as long as tasks wait
 * for their children in the order in which they were submitted. */
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
            stook__task_release(task);
        }
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
        return taken && run_dequeued(thread, task);
    }
    if (!claim(thread->executor, task)) {
        return false;
    }
    if (worker) {
        worker->husks++;
    }
    execute(thread, task, false);
    return true;
}

/* --- finding ----------------------------------------------------------------------------------- */

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
    unsigned count = executor->worker_count;
    unsigned first = next_random(thief) % count;

    for (unsigned i = 0; i < count; i++) {
        struct stook__worker *victim = &executor->workers[(first + i) % count];
        stook_future *task;
        if (victim == thief) {
            continue;
        }
        switch (stook__deque_steal(&victim->deque, &task)) {
        case STOOK__STEAL_GOT:
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

    if (++worker->dispatches % FAIRNESS_PERIOD == 0) {
        task = stook__inject_pop(&executor->inject);
        if (!task && stook__deque_steal(&worker->deque, &task) != STOOK__STEAL_GOT) {
            task = NULL;
        }
    }
    if (!task) {
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

/* --- the thread --------------------------------------------------------------------------------- */

static void name_thread(const struct stook__thread *thread)
{
    enum { NAME_BYTES = 15 };
    char number[12];
    char name[NAME_BYTES + 1];
    int digits = snprintf(number, sizeof number, "-%u", thread->number);

    snprintf(name, sizeof name, "%.*s%s", NAME_BYTES - digits, thread->executor->name_prefix,
             number);
    stook__platform_name_thread(name);
}

/* What to do when no task runs; false: leave. */
static bool dispatch(struct stook__thread *thread)
{
    if (!thread->worker) {
        return stook__park_settle(thread);
    }
    if (stook__park_must_rest(thread->executor)) {
        return stook__park_rest(thread);
    }
    stook_future *task = find_task(thread);
    if (!task) {
        return stook__park_idle(thread);
    }
    stook__park_found(thread);
    run_dequeued(thread, task);
    return true;
}

int stook__thread_main(void *arg)
{
    struct stook__thread *thread = arg;
    stook_executor *executor = thread->executor;

    current_thread = thread;
    thread->handle = thrd_current();
    name_thread(thread);
    if (stook__park_begin(thread)) {
        while (dispatch(thread)) {
        }
    }
    current_thread = NULL;
    if (stook__park_leave(executor)) {
        stook__task_finish(executor->ended, 0, NULL, false);
    }
    return 0;
}

void stook__worker_cancel_queued(stook_executor *executor)
{
    stook_future *task;

    while ((task = stook__inject_pop(&executor->inject)) != NULL) {
        stook__task_cancel_pending(task);
        stook__task_release(task);
    }
    for (unsigned i = 0; i < executor->worker_count; i++) {
        enum stook__steal steal;
        while ((steal = stook__deque_steal(&executor->workers[i].deque, &task)) !=
               STOOK__STEAL_EMPTY) {
            if (steal == STOOK__STEAL_GOT) {
                stook__task_cancel_pending(task);
                stook__task_release(task);
            }
        }
    }
}
