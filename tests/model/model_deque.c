/* SPDX-License-Identifier: MIT
 *
 * The deque: what is pushed is taken exactly once, by its owner or by thieves, who may look while
 * it grows, and all that was written before a push is seen by whoever takes.
 */
#include "deque.h"
#include "fence.h"
#include "model.h"
#include "task.h"

enum { MOST = 4 };

static struct stook__deque deque;
static _Atomic(uint32_t) thieves;
static stook_future tasks[MOST];
static unsigned pushed;
static unsigned taken[MOST];

/* Where fences are asymmetric the owner's light one is none. Thieves that are not counted are
 * always expected. */
static void setup(bool are_counted, bool asymmetric)
{
    pushed = 0;
    atomic_init(&thieves, 0);
    atomic_init(&stook__fence_is_asymmetric, asymmetric);
    stook__deque_init(&deque, NULL, are_counted ? &thieves : NULL);
    for (unsigned i = 0; i < MOST; i++) {
        taken[i] = 0;
        atomic_init(&tasks[i].next, NULL);
    }
}

static void push(void)
{
    stook_future *task = &tasks[pushed++];

    task->code = 7;
    MODEL_CHECK(stook__deque_reserve(&deque, 1));
    stook__deque_push_one(&deque, task);
}

static void push_two(void)
{
    stook_future *task = &tasks[pushed];

    pushed += 2;
    task[0].code = 7;
    task[1].code = 7;
    stook__task_chain(&task[0], &task[1]);
    MODEL_CHECK(stook__deque_reserve(&deque, 2));
    stook__deque_push(&deque, task, 2);
}

/* The checker sees to it that `code` and `taken` are never raced for. */
static void run(stook_future *task)
{
    MODEL_CHECK(task >= tasks && task < tasks + MOST);
    MODEL_CHECK(task->code == 7);
    MODEL_CHECK(taken[task - tasks] == 0);
    taken[task - tasks] = 1;
}

static bool take(void)
{
    stook_future *task = stook__deque_take(&deque);

    if (task) {
        run(task);
    }
    return task != NULL;
}

static void steal(void *arg)
{
    stook_future *task;

    (void)arg;
    if (stook__deque_steal(&deque, &task) == STOOK__STEAL_GOT) {
        run(task);
    }
}

static void steal_twice(void *arg)
{
    steal(arg);
    steal(arg);
}

static void enter_and_steal(void *arg)
{
    stook__deque_enter(&thieves);
    steal_twice(arg);
    stook__deque_leave(&thieves);
}

static void finish(void)
{
    model_join();
    while (take()) {
    }
    for (unsigned i = 0; i < pushed; i++) {
        MODEL_CHECK(taken[i] == 1);
    }
    stook__deque_fini(&deque);
}

/* The owner pushes and takes; two thieves. */
static void run_race(void)
{
    setup(false, true);
    push_two();
    model_start(steal, NULL);
    model_start(steal, NULL);
    take();
    take();
    finish();
}

/* There is no room to begin with. */
static void run_publish(void)
{
    setup(false, true);
    model_start(steal, NULL);
    push_two();
    take();
    finish();
}

static void run_grow(void)
{
    setup(false, true);
    push();
    model_start(steal_twice, NULL);
    push();
    push();
    take();
    finish();
}

/* An entry of the ring is used again. */
static void run_reuse(void)
{
    setup(false, true);
    push_two();
    model_start(steal, NULL);
    model_start(steal, NULL);
    take();
    push();
    finish();
}

/* The owner passes a fence only while a thief is there. */
static void run_counted(void)
{
    setup(true, true);
    push_two();
    model_start(enter_and_steal, NULL);
    take();
    take();
    finish();
}

static void run_full_fences(void)
{
    setup(true, false);
    push_two();
    model_start(enter_and_steal, NULL);
    take();
    take();
    finish();
}

int main(int argc, char **argv)
{
    static const struct model models[] = {
        {"race", run_race, 5, 0, 1000000, 0},
        {"publish", run_publish, 6, 0, 1000000, 0},
        {"grow", run_grow, 6, 0, 1000000, 0},
        {"reuse", run_reuse, 4, 0, 1000000, 0},
        {"counted", run_counted, 5, 0, 1000000, 0},
        {"full_fences", run_full_fences, 5, 0, 1000000, 0},
    };
    return model_main(argc, argv, models, sizeof models / sizeof models[0]);
}
