/* SPDX-License-Identifier: MIT
 *
 * What a future is at each moment, and who may change it: the states and their order, cancelling in
 * every state, polls in every state, and waits that could never end. Values are in test_value.c,
 * waits that block in test_wait.c.
 */
#include <limits.h>

#include "check.h"
#include "support.h"

static int fail_task(void *arg, void **ret_value)
{
    const int *code = arg;

    (void)ret_value;
    return *code;
}

Test(future, B1_cancel_matrix, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    atomic_int runs = 0;
    int code = 7;
    stook_future *running = must_submit(executor, gate_task, &gate);
    stook_future *pending = must_submit(executor, count_task, &runs);
    stook_future *failing = must_submit(executor, fail_task, &code);

    gate_await(&gate, 1);
    cr_assert_eq(stook_future_cancel(pending), STOOK_CANCEL_DONE);
    cr_assert_eq(stook_future_state(pending), STOOK_STATE_CANCELLED);
    cr_assert_eq(stook_future_cancel(pending), STOOK_CANCEL_DONE);
    cr_assert_eq(stook_future_cancel(running), STOOK_CANCEL_REQUESTED);
    cr_assert_eq(stook_future_state(running), STOOK_STATE_RUNNING);
    cr_assert_eq(stook_future_cancel(running), STOOK_CANCEL_REQUESTED);
    gate_open(&gate);

    cr_assert_eq(stook_future_result(running, NULL), STOOK_OK);
    cr_assert_eq(stook_future_cancel(running), STOOK_CANCEL_TOO_LATE);
    cr_assert_eq(stook_future_state(running), STOOK_STATE_DONE);
    cr_assert_eq(stook_future_result(failing, NULL), STOOK_TASK_FAILED);
    cr_assert_eq(stook_future_cancel(failing), STOOK_CANCEL_TOO_LATE);
    cr_assert_eq(stook_future_state(failing), STOOK_STATE_FAILED);
    cr_assert_eq(stook_future_code(failing), 7);
    cr_assert_eq(stook_future_cancel(NULL), STOOK_CANCEL_TOO_LATE);

    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0, "a cancelled task was run");
    cr_assert_eq(stook_future_state(pending), STOOK_STATE_CANCELLED);
    cr_assert_eq(stook_future_cancel(pending), STOOK_CANCEL_DONE);
    stook_future_release(running);
    stook_future_release(pending);
    stook_future_release(failing);
}

/* Runs until it is asked to stop, and fails then if it is told to. */
struct stoppable {
    struct gate begun;
    bool requested_at_first;
    int code;
};

static int stoppable_task(void *arg, void **ret_value)
{
    struct stoppable *stoppable = arg;

    stoppable->requested_at_first = stook_task_cancel_requested();
    gate_pass(&stoppable->begun);
    SPIN_UNTIL(stook_task_cancel_requested());
    *ret_value = stoppable;
    return stoppable->code;
}

/* B71 */
Test(future, B1_cancel_of_a_running_task_is_seen_in_it_and_its_return_decides, .timeout = 60)
{
    stook_executor *executor = must_create(1);

    for (int code = 0; code <= 1; code++) {
        struct stoppable stoppable = {.code = code};
        stook_future *future = must_submit(executor, stoppable_task, &stoppable);
        void *value = NULL;

        gate_await(&stoppable.begun, 1);
        gate_open(&stoppable.begun);
        cr_assert_eq(stook_future_cancel(future), STOOK_CANCEL_REQUESTED);
        cr_assert_eq(stook_future_result(future, &value), code ? STOOK_TASK_FAILED : STOOK_OK);
        cr_assert_eq(value, &stoppable);
        cr_assert_eq(stook_future_state(future), code ? STOOK_STATE_FAILED : STOOK_STATE_DONE);
        cr_assert_not(stoppable.requested_at_first, "the request of an earlier task was seen");
        stook_future_release(future);
    }
    cr_assert_not(stook_task_cancel_requested(), "seen outside a task");
    stook_executor_destroy(executor);
}

struct parent {
    struct gate gate;
    stook_executor *executor;
    bool before, in_child, after;
};

static int look_task(void *arg, void **ret_value)
{
    struct parent *parent = arg;

    (void)ret_value;
    parent->in_child = stook_task_cancel_requested();
    return 0;
}

static int look_around_a_wait(void *arg, void **ret_value)
{
    struct parent *parent = arg;
    stook_future *child;

    (void)ret_value;
    gate_pass(&parent->gate);
    parent->before = stook_task_cancel_requested();
    child = must_submit(parent->executor, look_task, parent);
    MUST(stook_future_result(child, NULL) == STOOK_OK);
    stook_future_release(child);
    parent->after = stook_task_cancel_requested();
    return 0;
}

Test(future, B1_request_belongs_to_one_task_also_when_it_runs_another_in_place, .timeout = 60)
{
    struct parent parent = {.executor = must_create(1)};
    stook_future *future = must_submit(parent.executor, look_around_a_wait, &parent);

    gate_await(&parent.gate, 1);
    cr_assert_eq(stook_future_cancel(future), STOOK_CANCEL_REQUESTED);
    gate_open(&parent.gate);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    cr_assert(parent.before);
    cr_assert_not(parent.in_child, "the child saw a request that was its parent's");
    cr_assert(parent.after, "the parent lost its request while its child ran");
    stook_future_release(future);
    stook_executor_destroy(parent.executor);
}

enum { RACE_TASKS = 4000 };

struct cancel_race {
    stook_future *futures[RACE_TASKS];
    enum stook_cancel_outcome outcomes[RACE_TASKS];
};

static int cancel_thread(void *arg)
{
    struct cancel_race *race = arg;

    for (int i = 0; i < RACE_TASKS; i++) {
        race->outcomes[i] = stook_future_cancel(race->futures[i]);
    }
    return 0;
}

Test(future, B1_two_cancellers_and_a_worker_agree_on_the_outcome, .timeout = 120)
{
    static struct cancel_race race;
    static atomic_int runs[RACE_TASKS];
    stook_executor *executor = must_create(2);
    thrd_t thread;

    cr_assert_eq(stook_executor_submit_many(executor, NULL, count_task, runs, RACE_TASKS,
                                            sizeof runs[0], race.futures),
                 STOOK_OK);
    must_start(&thread, cancel_thread, &race);
    for (int i = RACE_TASKS - 1; i >= 0; i--) {
        const bool mine = stook_future_cancel(race.futures[i]) == STOOK_CANCEL_DONE;

        cr_assert_eq(mine, stook_future_state(race.futures[i]) == STOOK_STATE_CANCELLED);
    }
    thrd_join(thread, NULL);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    for (int i = 0; i < RACE_TASKS; i++) {
        const bool cancelled = stook_future_state(race.futures[i]) == STOOK_STATE_CANCELLED;

        cr_assert_eq(race.outcomes[i] == STOOK_CANCEL_DONE, cancelled, "future %d", i);
        cr_assert_eq(atomic_load(&runs[i]), cancelled ? 0 : 1, "future %d", i);
    }
    stook_executor_destroy(executor);
    release_all(race.futures, RACE_TASKS);
}

Test(future, B2_poll_matrix, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct gate gate = {0};
    atomic_int runs = 0;
    int code = INT_MIN;
    stook_future *running = must_submit(executor, gate_task, &gate);
    stook_future *pending = must_submit(executor, count_task, &runs);
    stook_future *failing = must_submit(executor, fail_task, &code);
    stook_future *cancelled = must_submit(executor, count_task, &runs);

    gate_await(&gate, 1);
    cr_assert_eq(stook_future_cancel(cancelled), STOOK_CANCEL_DONE);
    cr_assert_eq(stook_future_wait_until(running, 0), STOOK_TIMEOUT);
    cr_assert_eq(stook_future_wait_until(pending, 0), STOOK_TIMEOUT);
    cr_assert_eq(stook_future_wait_until(cancelled, 0), STOOK_OK);
    cr_assert_eq(stook_future_state(running), STOOK_STATE_RUNNING);
    cr_assert_eq(stook_future_state(pending), STOOK_STATE_PENDING);
    cr_assert_not(stook_future_done(running));
    cr_assert_not(stook_future_done(pending));
    cr_assert(stook_future_done(cancelled));
    cr_assert_eq(stook_future_code(running), 0);
    cr_assert_eq(stook_future_code(pending), 0);
    cr_assert_eq(stook_future_code(failing), 0);
    gate_open(&gate);

    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(stook_future_wait_until(running, 0), STOOK_OK);
    cr_assert_eq(stook_future_wait_until(failing, 0), STOOK_OK);
    cr_assert_eq(stook_future_state(pending), STOOK_STATE_DONE);
    cr_assert_eq(stook_future_state(failing), STOOK_STATE_FAILED);
    cr_assert(stook_future_done(failing));
    cr_assert_eq(stook_future_code(pending), 0);
    cr_assert_eq(stook_future_code(failing), INT_MIN);
    cr_assert_eq(stook_future_code(cancelled), 0);
    cr_assert_eq(stook_future_wait_until(NULL, 0), STOOK_INVALID);
    cr_assert_eq(stook_future_wait_until(NULL, STOOK_FOREVER), STOOK_INVALID);
    stook_executor_destroy(executor);
    stook_future_release(running);
    stook_future_release(pending);
    stook_future_release(failing);
    stook_future_release(cancelled);
}

struct poll {
    stook_executor *executor;
    atomic_int runs;
    enum stook_status polled;
    enum stook_state state;
    int runs_after_poll;
};

static int poll_task(void *arg, void **ret_value)
{
    struct poll *poll = arg;
    stook_future *child = must_submit(poll->executor, count_task, &poll->runs);

    (void)ret_value;
    poll->polled = stook_future_wait_until(child, 0);
    poll->state = stook_future_state(child);
    poll->runs_after_poll = atomic_load(&poll->runs);
    MUST(stook_future_wait_until(child, STOOK_FOREVER) == STOOK_OK);
    stook_future_release(child);
    return 0;
}

Test(future, B2_poll_in_a_task_runs_nothing, .timeout = 60)
{
    struct poll poll = {.executor = must_create(1)};
    stook_future *future = must_submit(poll.executor, poll_task, &poll);

    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    cr_assert_eq(poll.polled, STOOK_TIMEOUT);
    cr_assert_eq(poll.state, STOOK_STATE_PENDING);
    cr_assert_eq(poll.runs_after_poll, 0);
    cr_assert_eq(atomic_load(&poll.runs), 1);
    stook_future_release(future);
    stook_executor_destroy(poll.executor);
}

Test(future, B14_cancelled_is_terminal_at_once_though_every_worker_is_busy, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *busy[2] = {must_submit(executor, gate_task, &gate),
                             must_submit(executor, gate_task, &gate)};
    stook_future *future = must_submit(executor, count_task, &runs);

    gate_await(&gate, 2);
    cr_assert_eq(stook_future_cancel(future), STOOK_CANCEL_DONE);
    cr_assert(stook_future_done(future));
    cr_assert_eq(stook_future_wait_until(future, 0), STOOK_OK);
    cr_assert_eq(stook_future_wait_until(future, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_CANCELLED);
    stook_future_release(future);
    gate_open(&gate);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
    release_all(busy, 2);
}

/* Four threads look at futures that end in three ways; nobody may ever see a step back, or two
 * answers that contradict each other. `written` is plain: that it can be read is the promise. */
enum { SEEN = 1500, READERS = 4 };

struct seen {
    int written;
    int code;
};

static struct seen seen[SEEN];
static stook_future *seen_futures[SEEN];

static int seen_task(void *arg, void **ret_value)
{
    struct seen *mine = arg;

    mine->written = 1 + mine->code;
    *ret_value = mine;
    return mine->code;
}

static bool is_terminal(enum stook_state state)
{
    return state == STOOK_STATE_DONE || state == STOOK_STATE_FAILED ||
           state == STOOK_STATE_CANCELLED;
}

static int reader_thread(void *arg)
{
    (void)arg;
    for (int i = 0; i < SEEN; i++) {
        const stook_future *future = seen_futures[i];
        enum stook_state last = STOOK_STATE_PENDING;
        unsigned rounds = 0;

        while (!is_terminal(last)) {
            const int code = stook_future_code(future);
            const bool done = stook_future_done(future);
            const enum stook_state state = stook_future_state(future);

            MUST(state >= last);
            MUST(!done || is_terminal(state));
            MUST(code == 0 || state == STOOK_STATE_FAILED);
            last = state;
            if (!is_terminal(state)) {
                spin_pause(&rounds);
            }
        }
        MUST(stook_future_done(future));
        MUST(last != STOOK_STATE_DONE || seen[i].code == 0);
        MUST(last != STOOK_STATE_FAILED || seen[i].code != 0);
        MUST(stook_future_code(future) == (last == STOOK_STATE_FAILED ? seen[i].code : 0));
        if (last != STOOK_STATE_CANCELLED) {
            MUST(seen[i].written == 1 + seen[i].code);
        }
        MUST(stook_future_state(future) == last);
    }
    return 0;
}

Test(future, B5_four_readers_never_see_a_contradiction_or_a_step_back, .timeout = 120)
{
    stook_executor *executor = must_create(2);
    struct gate gate = {0};
    stook_future *holder = must_submit(executor, gate_task, &gate);
    thrd_t readers[READERS];

    for (int i = 0; i < SEEN; i++) {
        seen[i].code = i % 2 ? i : 0;
    }
    cr_assert_eq(stook_executor_submit_many(executor, NULL, seen_task, seen, SEEN, sizeof seen[0],
                                            seen_futures),
                 STOOK_OK);
    for (int i = 0; i < READERS; i++) {
        must_start(&readers[i], reader_thread, NULL);
    }
    for (int i = SEEN - 1; i >= 0; i -= 3) {
        (void)stook_future_cancel(seen_futures[i]);
    }
    gate_open(&gate);
    for (int i = 0; i < READERS; i++) {
        thrd_join(readers[i], NULL);
    }
    stook_executor_destroy(executor);
    stook_future_release(holder);
    release_all(seen_futures, SEEN);
}

/* Waits that could never end. The task gets its own future from the submitter. */
struct self {
    _Atomic(stook_future *) future;
    stook_executor *executor;
    void *value;
    enum stook_status forever, bounded, result;
};

static int wait_for(void *arg, void **ret_value)
{
    struct self *self = arg;
    stook_future *future;

    (void)ret_value;
    SPIN_UNTIL(atomic_load(&self->future) != NULL);
    future = atomic_load(&self->future);
    self->forever = stook_future_wait_until(future, STOOK_FOREVER);
    self->bounded = stook_future_wait_until(future, stook_deadline_after_ns(1000 * SECOND));
    self->value = self;
    self->result = stook_future_result(future, &self->value);
    return 0;
}

static int wait_for_child_that_waits_for_me(void *arg, void **ret_value)
{
    struct self *self = arg;
    stook_future *child = must_submit(self->executor, wait_for, self);
    const enum stook_status status = stook_future_result(child, NULL);

    (void)ret_value;
    stook_future_release(child);
    return status == STOOK_OK ? 0 : 1;
}

static void expect_deadlock(stook_task_fn *fn)
{
    struct self self = {.executor = must_create(1)};
    stook_future *future = must_submit(self.executor, fn, &self);

    atomic_store(&self.future, future);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    cr_assert_eq(self.forever, STOOK_DEADLOCK);
    cr_assert_eq(self.bounded, STOOK_DEADLOCK);
    cr_assert_eq(self.result, STOOK_DEADLOCK);
    cr_assert_eq(self.value, &self, "ret_value was written though nothing was given");
    stook_future_release(future);
    stook_executor_destroy(self.executor);
}

/* B50 */
Test(future, wait_for_oneself_is_a_deadlock_and_told, .timeout = 60)
{
    expect_deadlock(wait_for);
}

/* B50 */
Test(future, wait_for_a_task_below_on_the_same_thread_is_a_deadlock_and_told, .timeout = 60)
{
    expect_deadlock(wait_for_child_that_waits_for_me);
}
