/* SPDX-License-Identifier: MIT
 *
 * B32, the caller runs what finds no room: tasks of an executor in threads that are not its own.
 */
#include "check.h"
#include "full_support.h"

struct here {
    struct full full;
    thrd_t caller;
    stook_future *written; /* by submit */
    struct gate inside;
    bool has_run;
};

static int here_task(void *arg, void **ret_value)
{
    struct here *here = arg;
    stook_future *future = here->written;
    const struct stook_submit_options options = when(STOOK_WHEN_FULL_BLOCK, NULL);

    MUST(thrd_equal(thrd_current(), here->caller));
    MUST(future && stook_future_state(future) == STOOK_STATE_RUNNING);
    MUST(!stook_task_cancel_requested());
    MUST(stook_future_cancel(future) == STOOK_CANCEL_REQUESTED);
    MUST(stook_task_cancel_requested());
    /* it is a task of the executor */
    MUST(stook_future_wait_until(future, STOOK_FOREVER) == STOOK_DEADLOCK);
    MUST(stook_executor_shutdown(here->full.executor, STOOK_DRAIN, STOOK_FOREVER) ==
         STOOK_DEADLOCK);
    MUST(stook_executor_submit_with(here->full.executor, &options, count_task, &here->full.runs,
                                    NULL) == STOOK_OK);
    here->has_run = true;
    *ret_value = here;
    return 7;
}

Test(caller_runs, B32_run_runs_the_task_in_the_calling_thread, .timeout = 60)
{
    const struct stook_submit_options options = when(STOOK_WHEN_FULL_RUN, NULL);
    struct here here = {.caller = thrd_current()};
    void *value = NULL;

    full_begin(&here.full, 1);
    /* with room it is queued */
    cr_assert_eq(submit(&here.full, STOOK_WHEN_FULL_RUN, NULL, 1), STOOK_OK);
    cr_assert_eq(atomic_load(&here.full.runs), 0);
    cr_assert_eq(
        stook_executor_submit_with(here.full.executor, &options, here_task, &here, &here.written),
        STOOK_OK);
    cr_assert(here.has_run);
    cr_assert_not(stook_task_cancel_requested());
    cr_assert_eq(stook_future_state(here.written), STOOK_STATE_FAILED);
    cr_assert_eq(stook_future_result(here.written, &value), STOOK_TASK_FAILED);
    cr_assert_eq(stook_future_code(here.written), 7);
    cr_assert_eq(value, &here);
    stook_future_release(here.written);
    /* fire and forget */
    cr_assert_eq(submit(&here.full, STOOK_WHEN_FULL_RUN, NULL, 1), STOOK_OK);
    cr_assert_eq(atomic_load(&here.full.runs), 1);
    full_end(&here.full);
    cr_assert_eq(atomic_load(&here.full.runs), 3);
}

struct item {
    thrd_t caller;
    int *next; /* among those that the caller runs */
    int place; /* in that order; -1: another thread */
};

static int item_task(void *arg, void **ret_value)
{
    struct item *item = arg;

    (void)ret_value;
    item->place = thrd_equal(thrd_current(), item->caller) ? (*item->next)++ : -1;
    return 0;
}

Test(caller_runs, B32_run_with_a_bulk_queues_what_finds_room_and_runs_the_rest, .timeout = 60)
{
    enum { ITEMS = 6, LIMIT = 3 };
    const struct stook_submit_options options = when(STOOK_WHEN_FULL_RUN, NULL);
    stook_future *futures[ITEMS];
    struct item items[ITEMS];
    struct full full;
    int next = 0;

    full_begin(&full, LIMIT);
    for (int i = 0; i < ITEMS; i++) {
        items[i] = (struct item){thrd_current(), &next, -2};
    }
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, NULL, 1), STOOK_OK);
    cr_assert_eq(stook_executor_submit_many(full.executor, &options, item_task, items, ITEMS,
                                            sizeof items[0], futures),
                 STOOK_OK);
    for (int i = 0; i < ITEMS; i++) {
        bool is_queued = i < LIMIT - 1;
        cr_assert_eq(items[i].place, is_queued ? -2 : i - (LIMIT - 1));
        cr_assert_eq(stook_future_state(futures[i]),
                     is_queued ? STOOK_STATE_PENDING : STOOK_STATE_DONE);
    }
    full_end(&full);
    for (int i = 0; i < LIMIT - 1; i++) {
        cr_assert_eq(items[i].place, -1);
        cr_assert_eq(stook_future_state(futures[i]), STOOK_STATE_DONE);
    }
    release_all(futures, ITEMS);
}

static int run_here_thread(void *arg)
{
    struct here *here = arg;
    const struct stook_submit_options options = when(STOOK_WHEN_FULL_RUN, NULL);

    MUST(stook_executor_submit_with(here->full.executor, &options, gate_task, &here->inside,
                                    &here->written) == STOOK_OK);
    MUST(stook_future_state(here->written) == STOOK_STATE_DONE);
    return 0;
}

Test(caller_runs, B32_shutdown_waits_for_a_task_that_runs_in_its_caller, .timeout = 60)
{
    struct here here = {.has_run = false};
    thrd_t thread;

    full_begin(&here.full, 1);
    cr_assert_eq(submit(&here.full, STOOK_WHEN_FULL_FAIL, NULL, 1), STOOK_OK);
    must_start(&thread, run_here_thread, &here);
    gate_await(&here.inside, 1);
    gate_open(&here.full.gate);
    cr_assert_eq(stook_executor_shutdown(here.full.executor, STOOK_CANCEL_PENDING,
                                         stook_now_ns() + 30 * MILLISECOND),
                 STOOK_TIMEOUT);
    cr_assert_eq(submit(&here.full, STOOK_WHEN_FULL_RUN, NULL, 1), STOOK_SHUTDOWN);
    gate_open(&here.inside);
    cr_assert_eq(stook_executor_shutdown(here.full.executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    thrd_join(thread, NULL);
    stook_future_release(here.written);
    full_end(&here.full);
    cr_assert_leq(atomic_load(&here.full.runs), 1);
}

/* A chain of callers: outside -> a task of one that runs there -> a task of the other. */
struct two {
    struct full full[2];
    int depth;
};

static int two_task(void *arg, void **ret_value)
{
    struct two *two = arg;
    const struct stook_submit_options options = when(STOOK_WHEN_FULL_RUN, NULL);
    int depth = two->depth++;

    (void)ret_value;
    /* from the third on it is queued: both executors have a task on this stack */
    MUST(stook_executor_submit_with(
             two->full[depth % 2].executor, &options, depth < 2 ? two_task : count_task,
             depth < 2 ? (void *)two : &two->full[0].runs, NULL) == STOOK_OK);
    return 0;
}

Test(caller_runs, B32_callers_that_run_tasks_of_each_other_end, .timeout = 60)
{
    static struct two two;

    full_begin(&two.full[0], 1);
    full_begin(&two.full[1], 1);
    cr_assert_eq(submit(&two.full[0], STOOK_WHEN_FULL_RUN, NULL, 1), STOOK_OK);
    cr_assert_eq(submit(&two.full[1], STOOK_WHEN_FULL_RUN, NULL, 1), STOOK_OK);
    cr_assert_eq(stook_executor_submit_with(two.full[1].executor,
                                            &(struct stook_submit_options){
                                                .struct_size = sizeof(struct stook_submit_options),
                                                .when_full = STOOK_WHEN_FULL_RUN},
                                            two_task, &two, NULL),
                 STOOK_OK);
    cr_assert_eq(two.depth, 2);
    full_end(&two.full[1]); /* its task submits to the other */
    full_end(&two.full[0]);
    cr_assert_eq(two.depth, 3);
}
