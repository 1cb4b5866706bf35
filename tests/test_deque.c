/* SPDX-License-Identifier: MIT
 *
 * The deque by itself, through its internal interface. What it holds is never looked at, so
 * addresses inside one array serve as tasks: entry i of the array is task number i. Built twice:
 * with the library's constants, and with tiny ones at the end of the index range, so that growth
 * and wrap happen all the time.
 */
#include <stdlib.h>
#include "check.h"
#include "deque.h"
#include "support.h"
#include "task.h"

enum { THIEVES = 8, RACED_TASKS = 200000, LAST_ROUNDS = 200000 };

static stook_future *tasks_create(size_t count)
{
    stook_future *tasks = calloc(count, sizeof *tasks);
    cr_assert_not_null(tasks);
    return tasks;
}

static void push_one(struct stook__deque *deque, stook_future *task)
{
    MUST(stook__deque_reserve(deque, 1));
    stook__deque_push(deque, task, 1);
}

Test(deque, B62_empty_deque_gives_nothing)
{
    struct stook__deque deque;
    stook_future *task;

    cr_assert(stook__deque_init(&deque));
    cr_assert(stook__deque_seems_empty(&deque));
    cr_assert_null(stook__deque_newest(&deque));
    for (int i = 0; i < 3; i++) {
        cr_assert_null(stook__deque_take(&deque));
        cr_assert_eq(stook__deque_steal(&deque, &task), STOOK__STEAL_EMPTY);
    }
    stook__deque_fini(&deque);
}

Test(deque, B62_owner_takes_the_newest_and_a_thief_the_oldest)
{
    struct stook__deque deque;
    stook_future *tasks = tasks_create(4);
    stook_future *stolen;

    cr_assert(stook__deque_init(&deque));
    for (int i = 0; i < 4; i++) {
        push_one(&deque, &tasks[i]);
        cr_assert_eq(stook__deque_newest(&deque), &tasks[i]);
    }
    cr_assert_eq(stook__deque_steal(&deque, &stolen), STOOK__STEAL_GOT);
    cr_assert_eq(stolen, &tasks[0]);
    cr_assert_eq(stook__deque_take(&deque), &tasks[3]);
    cr_assert_eq(stook__deque_steal(&deque, &stolen), STOOK__STEAL_GOT);
    cr_assert_eq(stolen, &tasks[1]);
    cr_assert_eq(stook__deque_take(&deque), &tasks[2]);
    cr_assert_null(stook__deque_take(&deque));
    cr_assert(stook__deque_seems_empty(&deque));
    stook__deque_fini(&deque);
    free(tasks);
}

Test(deque, B62_it_grows_and_wraps_and_keeps_the_order)
{
    enum { ROUNDS = 300 };
    struct stook__deque deque;
    stook_future *tasks = tasks_create(ROUNDS * 3);
    size_t pushed = 0;
    size_t stolen_count = 0;
    stook_future *stolen;

    cr_assert(stook__deque_init(&deque));
    /* Three in, one out at the far end: it moves on and grows at the same time. */
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 3; i++) {
            push_one(&deque, &tasks[pushed++]);
        }
        cr_assert_eq(stook__deque_steal(&deque, &stolen), STOOK__STEAL_GOT);
        cr_assert_eq(stolen, &tasks[stolen_count++]);
    }
    while (pushed > stolen_count) {
        cr_assert_eq(stook__deque_take(&deque), &tasks[--pushed]);
    }
    cr_assert_null(stook__deque_take(&deque));
    stook__deque_fini(&deque);
    free(tasks);
}

Test(deque, B62_a_bulk_push_keeps_the_order_of_its_chain)
{
    enum { COUNT = 1000 };
    struct stook__deque deque;
    stook_future *tasks = tasks_create(COUNT);
    stook_future *stolen;

    cr_assert(stook__deque_init(&deque));
    for (int i = 0; i + 1 < COUNT; i++) {
        tasks[i].next = &tasks[i + 1];
    }
    cr_assert(stook__deque_reserve(&deque, COUNT));
    stook__deque_push(&deque, tasks, COUNT);
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(stook__deque_steal(&deque, &stolen), STOOK__STEAL_GOT);
        cr_assert_eq(stolen, &tasks[i]);
    }
    cr_assert_eq(stook__deque_steal(&deque, &stolen), STOOK__STEAL_EMPTY);
    stook__deque_fini(&deque);
    free(tasks);
}

/* --- races ------------------------------------------------------------------------------------- */

struct race {
    struct stook__deque deque;
    stook_future *tasks;
    atomic_uchar *taken; /* how often each task was */
    atomic_bool over;
    atomic_bool in_order;
};

static void note(struct race *race, const stook_future *task)
{
    atomic_fetch_add(&race->taken[task - race->tasks], 1);
}

/* Steals until told to stop; each thief must see task numbers rise, as the far end only moves up. */
static int thief_thread(void *arg)
{
    struct race *race = arg;
    const stook_future *last = NULL;

    for (;;) {
        const bool over = atomic_load(&race->over);
        stook_future *task;

        switch (stook__deque_steal(&race->deque, &task)) {
        case STOOK__STEAL_GOT:
            if (last && task <= last) {
                atomic_store(&race->in_order, false);
            }
            last = task;
            note(race, task);
            break;
        case STOOK__STEAL_EMPTY:
            if (over) {
                return 0;
            }
            thrd_yield();
            break;
        case STOOK__STEAL_RETRY:
            break;
        }
    }
}

/* Every task that was pushed is taken exactly once, whoever takes it. */
static void race_run(int thieves, size_t count, int takes_of_eight)
{
    struct race race = {.tasks = tasks_create(count), .taken = calloc(count, 1)};
    thrd_t threads[THIEVES];
    uint64_t random = 88172645463325252U;

    cr_assert_not_null(race.taken);
    cr_assert(stook__deque_init(&race.deque));
    atomic_init(&race.over, false);
    atomic_init(&race.in_order, true);
    for (int i = 0; i < thieves; i++) {
        must_start(&threads[i], thief_thread, &race);
    }
    for (size_t i = 0; i < count;) {
        stook_future *task = NULL;

        if ((int)random_below(&random, 8) >= takes_of_eight) {
            push_one(&race.deque, &race.tasks[i++]);
        } else if ((task = stook__deque_take(&race.deque)) != NULL) {
            note(&race, task);
        }
    }
    atomic_store(&race.over, true);
    for (int i = 0; i < thieves; i++) {
        thrd_join(threads[i], NULL);
    }
    cr_assert_null(stook__deque_take(&race.deque));
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(atomic_load(&race.taken[i]), 1, "task %zu: %d times", i,
                     atomic_load(&race.taken[i]));
    }
    cr_assert(atomic_load(&race.in_order));
    stook__deque_fini(&race.deque);
    free(race.taken);
    free(race.tasks);
}

Test(deque, B63_each_task_is_taken_once_under_eight_thieves)
{
    race_run(THIEVES, RACED_TASKS, 3);
}

Test(deque, B64_each_thief_sees_tasks_in_the_order_of_their_push)
{
    race_run(2, RACED_TASKS, 0);
}

/* The deque is filled with one or two tasks and emptied again: nearly every take meets a thief. */
Test(deque, B67_owner_and_thief_race_for_the_last_task)
{
    struct race race = {.tasks = tasks_create(LAST_ROUNDS), .taken = calloc(LAST_ROUNDS, 1)};
    thrd_t thread;

    cr_assert_not_null(race.taken);
    cr_assert(stook__deque_init(&race.deque));
    atomic_init(&race.over, false);
    atomic_init(&race.in_order, true);
    must_start(&thread, thief_thread, &race);
    for (size_t i = 0; i + 2 <= LAST_ROUNDS; i += 2) {
        push_one(&race.deque, &race.tasks[i]);
        push_one(&race.deque, &race.tasks[i + 1]);
        for (int k = 0; k < 2; k++) {
            stook_future *task = stook__deque_take(&race.deque);
            if (task) {
                note(&race, task);
            }
        }
    }
    atomic_store(&race.over, true);
    thrd_join(thread, NULL);
    for (size_t i = 0; i < LAST_ROUNDS; i++) {
        cr_assert_eq(atomic_load(&race.taken[i]), 1, "task %zu: %d times", i,
                     atomic_load(&race.taken[i]));
    }
    cr_assert(atomic_load(&race.in_order));
    stook__deque_fini(&race.deque);
    free(race.taken);
    free(race.tasks);
}
