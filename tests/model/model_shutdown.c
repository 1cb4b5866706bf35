/* SPDX-License-Identifier: MIT
 *
 * Shutdown against submits, cancels and other shutdowns: what was accepted has run, or is cancelled
 * when that was asked for; what was refused has not; all threads end.
 */
#include "pool_support.h"

static enum stook_status status;

static void submit(void *arg)
{
    status = stook_executor_submit(executor, work, arg, NULL);
    MODEL_CHECK(status == STOOK_OK || status == STOOK_SHUTDOWN);
}

static void shut_down(void *arg)
{
    MODEL_CHECK(stook_executor_shutdown(executor, *(enum stook_shutdown_mode *)arg,
                                        STOOK_FOREVER) == STOOK_OK);
}

static void run_race(void)
{
    create(1);
    model_start(submit, &ran[0]);
    MODEL_CHECK(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER) == STOOK_OK);
    model_join();
    stook_executor_destroy(executor);
    MODEL_CHECK(ran[0] == (status == STOOK_OK));
}

static void run_twice(void)
{
    static enum stook_shutdown_mode mode = STOOK_DRAIN;

    create(1);
    submit_only(&ran[0]);
    model_start(shut_down, &mode);
    shut_down(&mode);
    MODEL_CHECK(ran[0] == 1);
    model_join();
    stook_executor_destroy(executor);
}

static void run_cancel(void)
{
    static enum stook_shutdown_mode mode = STOOK_CANCEL_PENDING;
    stook_future *future;

    create(1);
    MODEL_CHECK(stook_executor_submit(executor, work, &ran[0], &future) == STOOK_OK);
    shut_down(&mode);
    MODEL_CHECK(stook_future_state(future) ==
                (ran[0] == 1 ? STOOK_STATE_DONE : STOOK_STATE_CANCELLED));
    stook_executor_destroy(executor);
    stook_future_release(future);
}

static int submit_late(void *arg, void **ret_value)
{
    status = stook_executor_submit(executor, work, &ran[1], NULL);
    return work(arg, ret_value);
}

/* A task's own submit: accepted or refused, but never lost. */
static void run_inside(void)
{
    create(1);
    MODEL_CHECK(stook_executor_submit(executor, submit_late, &ran[0], NULL) == STOOK_OK);
    stook_executor_destroy(executor);
    MODEL_CHECK(ran[0] == 1 && ran[1] == (status == STOOK_OK));
}

static void run_workers(void)
{
    create(2);
    submit_only(&ran[0]);
    stook_executor_destroy(executor);
    MODEL_CHECK(ran[0] == 1);
}

static void release(void *arg)
{
    stook_future_release(arg);
}

/* A future may outlive its executor: its record goes back while that is being destroyed. */
static void run_outlived(void)
{
    stook_future *future;

    create(1);
    MODEL_CHECK(stook_executor_submit(executor, work, &ran[0], &future) == STOOK_OK);
    MODEL_CHECK(stook_future_wait_until(future, STOOK_FOREVER) == STOOK_OK);
    model_start(release, future);
    stook_executor_destroy(executor);
    model_join();
    MODEL_CHECK(ran[0] == 1);
}

int main(int argc, char **argv)
{
    static const struct model models[] = {
        {"race", run_race, 1, 1, 200000, 0},       {"twice", run_twice, 1, 1, 200000, 0},
        {"cancel", run_cancel, 1, 2, 200000, 0},   {"inside", run_inside, 1, 2, 200000, 0},
        {"workers", run_workers, 1, 1, 200000, 0}, {"outlived", run_outlived, 1, 1, 200000, 0},
    };
    return model_main(argc, argv, models, sizeof models / sizeof models[0]);
}
