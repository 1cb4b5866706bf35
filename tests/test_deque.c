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

    stook__deque_init(&deque, NULL, NULL);
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

    stook__deque_init(&deque, NULL, NULL);
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

    stook__deque_init(&deque, NULL, NULL);
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

    stook__deque_init(&deque, NULL, NULL);
    for (int i = 0; i + 1 < COUNT; i++) {
        stook__task_chain(&tasks[i], &tasks[i + 1]);
    }
    cr_assert_not(stook__deque_reserve(&deque, SIZE_MAX / 2), "more than can be counted");
    cr_assert_not(stook__deque_reserve(&deque, SIZE_MAX / 8), "more than memory can have");
    cr_assert(stook__deque_reserve(&deque, COUNT));
    stook__deque_push(&deque, tasks, COUNT);
    cr_assert_not(stook__deque_reserve(&deque, SIZE_MAX / 2));
    cr_assert_not(stook__deque_reserve(&deque, SIZE_MAX / 8));
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(stook__deque_steal(&deque, &stolen), STOOK__STEAL_GOT);
        cr_assert_eq(stolen, &tasks[i]);
    }
    cr_assert_eq(stook__deque_steal(&deque, &stolen), STOOK__STEAL_EMPTY);
    stook__deque_fini(&deque);
    free(tasks);
}

/* B66: what owner and thieves have left is one range without gaps, and each task in it is there
 * once. */
Test(deque, B66_what_is_left_is_contiguous)
{
    enum { COUNT = 1000 };
    uint64_t random = 11;

    for (int round = 0; round < 50; round++) {
        struct stook__deque deque;
        stook_future *tasks = tasks_create(COUNT);
        stook_future *task;
        size_t oldest = 0;
        size_t newest = COUNT;

        stook__deque_init(&deque, NULL, NULL);
        for (size_t i = 0; i < COUNT; i++) {
            push_one(&deque, &tasks[i]);
        }
        for (unsigned i = random_below(&random, COUNT); i > 0; i--) {
            if (random_below(&random, 2)) {
                cr_assert_eq(stook__deque_steal(&deque, &task), STOOK__STEAL_GOT);
                cr_assert_eq(task, &tasks[oldest++]);
            } else {
                cr_assert_eq(stook__deque_take(&deque), &tasks[--newest]);
            }
        }
        while (oldest < newest) {
            cr_assert_eq(stook__deque_steal(&deque, &task), STOOK__STEAL_GOT);
            cr_assert_eq(task, &tasks[oldest++]);
        }
        cr_assert_eq(stook__deque_steal(&deque, &task), STOOK__STEAL_EMPTY);
        cr_assert_null(stook__deque_take(&deque));
        stook__deque_fini(&deque);
        free(tasks);
    }
}

/* The rings, grown ones and older ones, are freed, once each; the tasks are not touched (sanitizers
 * look). */
Test(deque, B66_a_deque_that_ends_with_tasks_in_it_frees_itself_only)
{
    for (size_t count = 0; count < 1000; count += 1 + count / 2) {
        struct stook__deque deque;
        stook_future *tasks = tasks_create(count + 1);
        stook_future *task;

        stook__deque_init(&deque, NULL, NULL);
        for (size_t i = 0; i <= count; i++) {
            push_one(&deque, &tasks[i]);
        }
        cr_assert_eq(stook__deque_steal(&deque, &task), STOOK__STEAL_GOT);
        free(tasks);
        stook__deque_fini(&deque);
    }
}

/* B68: indices run freely, and may pass any number at any time. */
static const size_t corners[] = {(size_t)-3, SIZE_MAX / 2 - 2, (size_t)UINT32_MAX - 2,
                                 INT32_MAX - 2};

static void init_at(struct stook__deque *deque, size_t index)
{
    stook__deque_init(deque, NULL, NULL);
    atomic_store(&deque->top, index);
    atomic_store(&deque->bottom, index);
}

Test(deque, B68_indices_pass_every_corner_of_their_range)
{
    enum { COUNT = 200 };

    for (size_t c = 0; c < sizeof corners / sizeof corners[0]; c++) {
        for (size_t lead = 0; lead < 8; lead++) {
            struct stook__deque deque;
            stook_future *tasks = tasks_create(COUNT);
            stook_future *task;

            init_at(&deque, corners[c] - lead);
            for (size_t i = 0; i < 2 * lead; i++) { /* one at a time: both ends pass it together */
                cr_assert_null(stook__deque_take(&deque));
                cr_assert_eq(stook__deque_steal(&deque, &task), STOOK__STEAL_EMPTY);
                push_one(&deque, &tasks[i]);
                cr_assert_not(stook__deque_seems_empty(&deque));
                cr_assert_eq(stook__deque_newest(&deque), &tasks[i]);
                if (i % 2) {
                    cr_assert_eq(stook__deque_take(&deque), &tasks[i]);
                } else {
                    cr_assert_eq(stook__deque_steal(&deque, &task), STOOK__STEAL_GOT);
                    cr_assert_eq(task, &tasks[i]);
                }
                cr_assert(stook__deque_seems_empty(&deque));
            }
            stook__deque_fini(&deque);

            init_at(&deque, corners[c] - lead);
            for (size_t i = 0; i < COUNT; i++) { /* many: it grows astride of it */
                push_one(&deque, &tasks[i]);
            }
            for (size_t i = 0; i < COUNT / 2; i++) {
                cr_assert_eq(stook__deque_steal(&deque, &task), STOOK__STEAL_GOT);
                cr_assert_eq(task, &tasks[i]);
                cr_assert_eq(stook__deque_take(&deque), &tasks[COUNT - 1 - i]);
            }
            cr_assert_null(stook__deque_take(&deque));
            stook__deque_fini(&deque);
            free(tasks);
        }
    }
}

/* --- races -------------------------------------------------------------------------------------
 */

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

/* Steals until told to stop; each thief must see task numbers rise, as the far end only moves up.
 */
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
static void race_run_at(size_t index, int thieves, size_t count, int takes_of_eight)
{
    struct race race = {.tasks = tasks_create(count), .taken = calloc(count, 1)};
    thrd_t threads[THIEVES];
    uint64_t random = 88172645463325252U;

    cr_assert_not_null(race.taken);
    init_at(&race.deque, index);
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

static void race_run(int thieves, size_t count, int takes_of_eight)
{
    race_run_at(1, thieves, count, takes_of_eight);
}

Test(deque, B63_each_task_is_taken_once_under_eight_thieves)
{
    race_run(THIEVES, RACED_TASKS, 3);
}

Test(deque, B68_each_task_is_taken_once_while_indices_pass_a_corner)
{
    for (size_t c = 0; c < sizeof corners / sizeof corners[0]; c++) {
        race_run_at(corners[c] - RACED_TASKS / 20, 2, RACED_TASKS / 10, 3);
    }
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
    stook__deque_init(&race.deque, NULL, NULL);
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

struct hungry {
    struct stook__deque *deque;
    atomic_int *fed;
    atomic_bool *over;
};

static int hungry_thread(void *arg)
{
    const struct hungry *hungry = arg;
    stook_future *task;

    while (stook__deque_steal(hungry->deque, &task) != STOOK__STEAL_GOT) {
        thrd_yield();
    }
    atomic_fetch_add(hungry->fed, 1);
    for (unsigned i = 0; !atomic_load(hungry->over); i++) { /* goes on to compete */
        (void)stook__deque_steal(hungry->deque, &task);
        if (i % 64 == 63) {
            give_a_chance(); /* the scheduler's turns may go round in a circle for ever */
        }
        thrd_yield();
    }
    return 0;
}

/* The owner keeps pushing and taking until every thief has got something. */
Test(deque, B58_no_thief_starves)
{
    struct stook__deque deque;
    stook_future *tasks = tasks_create(3);
    atomic_int fed = 0;
    atomic_bool over = false;
    struct hungry hungry = {&deque, &fed, &over};
    thrd_t threads[THIEVES];

    stook__deque_init(&deque, NULL, NULL);
    for (int i = 0; i < THIEVES; i++) {
        must_start(&threads[i], hungry_thread, &hungry);
    }
    while (atomic_load(&fed) < THIEVES) {
        for (int i = 0; i < 3; i++) {
            push_one(&deque, &tasks[i]);
        }
        (void)stook__deque_take(&deque);
        thrd_yield();
        (void)stook__deque_take(&deque);
    }
    atomic_store(&over, true);
    for (int i = 0; i < THIEVES; i++) {
        thrd_join(threads[i], NULL);
    }
    stook__deque_fini(&deque);
    free(tasks);
}
