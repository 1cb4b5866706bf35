/* SPDX-License-Identifier: MIT
 *
 * The deque kept nearly empty under thieves, for as long as it takes to show a missing store-load
 * fence on a machine with two cores: without sanitizers, which hide it. Every task has a number and
 * must be taken exactly once.
 *
 * STOOK_STRESS_SCALE multiplies the work (default 1: some seconds).
 */
#include <stdio.h>
#include <stdlib.h>
#include "deque.h"
#include "fence.h"
#include "support.h"
#include "task.h"

enum { TASKS = 2000000, THIEVES = 2, FAR = 1 << 26 };

static struct stook__deque deque;
static stook_future *tasks;
static atomic_uchar *taken;
static atomic_bool over;
static volatile unsigned char far[FAR];

static void note(const stook_future *task)
{
    atomic_fetch_add_explicit(&taken[task - tasks], 1, memory_order_relaxed);
}

static int thief_thread(void *arg)
{
    (void)arg;
    while (!atomic_load_explicit(&over, memory_order_relaxed)) {
        stook_future *task;
        if (stook__deque_steal(&deque, &task) == STOOK__STEAL_GOT) {
            note(task);
        }
    }
    return 0;
}

/* Behind a store to memory that is in no cache the next ones wait in the store buffer, while loads go
 * ahead. */
static void delay_stores(uint64_t *random)
{
    far[random_below(random, FAR)] = 1;
}

/* Pushes two, takes two, and so on; gives the number of tasks not taken exactly once. */
static size_t run_round(uint64_t *random)
{
    thrd_t threads[THIEVES];
    stook_future *task;
    size_t wrong = 0;

    stook__deque_init(&deque, NULL, NULL);
    atomic_store(&over, false);
    for (int i = 0; i < TASKS; i++) {
        atomic_store_explicit(&taken[i], 0, memory_order_relaxed);
    }
    for (int i = 0; i < THIEVES; i++) {
        must_start(&threads[i], thief_thread, NULL);
    }
    for (int i = 0; i < TASKS; i += 2) {
        for (int k = 0; k < 2; k++) {
            MUST(stook__deque_reserve(&deque, 1));
            stook__deque_push(&deque, &tasks[i + k], 1);
        }
        for (int k = 0; k < 2; k++) {
            delay_stores(random);
            if ((task = stook__deque_take(&deque)) != NULL) {
                note(task);
            }
        }
    }
    atomic_store(&over, true);
    for (int i = 0; i < THIEVES; i++) {
        thrd_join(threads[i], NULL);
    }
    while ((task = stook__deque_take(&deque)) != NULL) {
        note(task);
    }
    for (int i = 0; i < TASKS; i++) {
        wrong += atomic_load_explicit(&taken[i], memory_order_relaxed) != 1;
    }
    stook__deque_fini(&deque);
    return wrong;
}

int main(void)
{
    const unsigned rounds = stress_scaled(5);
    uint64_t random = 1;
    size_t wrong = 0;

    tasks = calloc(TASKS, sizeof *tasks);
    taken = calloc(TASKS, 1);
    MUST(tasks && taken);
    stook__fence_init(); /* else the owner's other fence does for the one that is looked at */
    for (unsigned i = 0; i < rounds; i++) {
        wrong += run_round(&random);
    }
    printf("%zu of %zu tasks were not taken exactly once\n", wrong, (size_t)rounds * TASKS);
    free(taken);
    free(tasks);
    return wrong != 0;
}
