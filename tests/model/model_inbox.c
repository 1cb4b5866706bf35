/* SPDX-License-Identifier: MIT
 *
 * The injection queue and its inbox: what is accepted comes out once, each submitter's tasks in
 * their order, with all that was written before the submit; what is refused does not; and tasks
 * that are moved from the inbox into their flow never seem to be nowhere.
 */
#include <stdatomic.h>
#include "fence.h"
#include "inject.h"
#include "model.h"
#include "task.h"

enum { MOST = 4 };

static struct stook__inject queue;
static stook_future tasks[MOST];
static bool accepted[MOST];
static unsigned popped[MOST];
static unsigned order;
static bool was_told; /* what the closer writes before it closes */

static void setup(void)
{
    MODEL_CHECK(stook__inject_init(&queue, 0));
    for (unsigned i = 0; i < MOST; i++) {
        accepted[i] = false;
        popped[i] = 0;
    }
    order = 0;
    was_told = false;
}

static void post(unsigned number)
{
    stook__task_init(&tasks[number], 0, NULL, NULL, 0);
    tasks[number].code = 7;
    enum stook_status status = stook__inject_push_one(&queue, &tasks[number]);
    accepted[number] = status == STOOK_OK;
    MODEL_CHECK(accepted[number] || was_told);
}

static void post_first(void *arg)
{
    (void)arg;
    post(0);
}

static void post_two(void *arg)
{
    (void)arg;
    post(1);
    post(2);
}

/* One that is not plain: all that lies in the inbox goes into its flow before. */
static void push_high(unsigned number)
{
    struct stook__batch batch = {.first = &tasks[number],
                                 .last = &tasks[number],
                                 .count = 1,
                                 .priority = STOOK_PRIORITY_HIGH};

    stook__task_init(&tasks[number], 0, NULL, NULL, 0);
    tasks[number].code = 7;
    accepted[number] = stook__inject_push(&queue, &batch, STOOK__PUSH_EXEMPT) == STOOK_OK;
    MODEL_CHECK(accepted[number] || was_told);
}

static bool pop(void)
{
    stook_future *task = stook__inject_pop(&queue);

    if (task) {
        MODEL_CHECK(task >= tasks && task < tasks + MOST);
        MODEL_CHECK(task->code == 7 && popped[task - tasks] == 0);
        popped[task - tasks] = ++order;
    }
    return task != NULL;
}

static void pop_all(void *arg)
{
    (void)arg;
    while (pop()) {
    }
}

static void finish(void)
{
    model_join();
    while (pop()) {
    }
    for (unsigned i = 0; i < MOST; i++) {
        MODEL_CHECK((popped[i] > 0) == accepted[i]);
    }
    MODEL_CHECK(!accepted[1] || !accepted[2] || popped[1] < popped[2]);
    stook__inject_close(&queue);
    stook__inject_fini(&queue);
}

static void run_pop(void)
{
    setup();
    model_start(post_first, NULL);
    model_start(post_two, NULL);
    pop();
    pop();
    finish();
}

static void run_several(void)
{
    stook_future *some[MOST];

    setup();
    model_start(post_two, NULL);
    size_t count = stook__inject_pop_some(&queue, some, MOST, true);
    for (size_t i = 0; i < count; i++) {
        MODEL_CHECK(some[i]->code == 7);
        popped[some[i] - tasks] = ++order;
    }
    finish();
}

static void run_close(void)
{
    setup();
    model_start(post_first, NULL);
    model_start(post_two, NULL);
    was_told = true;
    stook__inject_close(&queue);
    finish();
}

static void close_it(void *arg)
{
    (void)arg;
    was_told = true;
    stook__inject_close(&queue);
}

static void run_close_pop(void)
{
    setup();
    post(0);
    model_start(close_it, NULL);
    model_start(post_two, NULL);
    pop_all(NULL);
    finish();
}

static void run_flows(void)
{
    setup();
    model_start(post_two, NULL);
    push_high(0);
    pop();
    pop();
    finish();
}

/* --- nowhere ---------------------------------------------------------------------------------- */

static void push_high_third(void *arg)
{
    (void)arg;
    push_high(3);
}

/* As a worker that goes to sleep: another one posts, fences and looks at it. */
static atomic_bool sleeps;
static bool finds_sleeper;
static bool finds_task;

static void post_and_look(void *arg)
{
    (void)arg;
    post(0);
    atomic_thread_fence(memory_order_seq_cst);
    finds_sleeper = atomic_load_explicit(&sleeps, memory_order_relaxed);
}

static void run_nowhere(void)
{
    setup();
    atomic_init(&sleeps, false);
    model_start(post_and_look, NULL);
    model_start(push_high_third, NULL);
    atomic_store_explicit(&sleeps, true, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    finds_task = !stook__inject_seems_empty(&queue);
    model_join();
    MODEL_CHECK(finds_sleeper || finds_task);
    finish();
}

int main(int argc, char **argv)
{
    static const struct model models[] = {
        {"pop", run_pop, 4, 0, 1000000, 0},     {"several", run_several, 3, 0, 1000000, 0},
        {"close", run_close, 3, 0, 1000000, 0}, {"close_pop", run_close_pop, 3, 0, 1000000, 0},
        {"flows", run_flows, 3, 0, 1000000, 0}, {"nowhere", run_nowhere, 6, 0, 1000000, 0},
    };
    return model_main(argc, argv, models, sizeof models / sizeof models[0]);
}
