/* SPDX-License-Identifier: MIT
 *
 * No more threads than one beyond the number of workers. A worker that was lent then stays idle
 * beside queued work, and the first thread that comes free must look.
 */
#include "check.h"
#include "support.h"

struct waiting {
    stook_future *awaited;
    struct gate before;
    struct gate after;
};

static int waiting_task(void *arg, void **ret_value)
{
    struct waiting *waiting = arg;

    (void)ret_value;
    gate_pass(&waiting->before);
    MUST(stook_future_result(waiting->awaited, NULL) == STOOK_OK);
    gate_pass(&waiting->after);
    return 0;
}

static void give_chances(void)
{
    for (int i = 0; i < 10; i++) {
        give_a_chance();
    }
}

Test(extra, the_thread_that_comes_free_runs_what_no_thread_could_be_had_for)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = NULL;
    stook_executor *other = must_create(2);
    struct gate gates[2] = {{0}, {0}};
    struct waiting first = {.awaited = must_submit(other, gate_task, &gates[0])};
    struct waiting second = {.awaited = must_submit(other, gate_task, &gates[1])};
    atomic_int runs = 0;

    options.workers = 1;
    options.max_extra_threads = 1;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_OK);
    gate_open(&first.before);
    stook_future *a = must_submit(executor, waiting_task, &first);
    gate_await(&first.before, 1);
    give_chances(); /* it lends its worker */
    stook_future *b = must_submit(executor, waiting_task, &second);
    gate_await(&second.before, 1);
    gate_open(&gates[0]);
    gate_await(&first.after, 1); /* the first goes on, without a worker */
    stook_future *c = must_submit(executor, count_task, &runs);
    gate_open(&second.before);
    give_chances(); /* the second lends the worker, and nobody can be had for it */
    gate_open(&first.after);
    cr_assert_eq(stook_future_result(c, NULL), STOOK_OK);
    gate_open(&gates[1]);
    gate_open(&second.after);
    cr_assert_eq(stook_future_result(b, NULL), STOOK_OK);
    stook_future_release(a);
    stook_future_release(b);
    stook_future_release(c);
    stook_future_release(first.awaited);
    stook_future_release(second.awaited);
    stook_executor_destroy(executor);
    stook_executor_destroy(other);
    cr_assert_eq(atomic_load(&runs), 1);
}
