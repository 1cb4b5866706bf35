/* SPDX-License-Identifier: MIT
 *
 * Where a thread that holds a worker looks for something to do, and in which order (README.md,
 * "Finding work").
 */
#include "find.h"
#include "counters.h"
#include "park.h"
#include "platform.h"
#include "pool.h"

/* Every so many dispatches an old or outside task goes first, so that none starves. A prime, so
 * that it does not beat in time with the tasks. */
enum { FAIRNESS_PERIOD = 61, PERIODS_BETWEEN_STEALS = 16 };

/* How often all other deques are looked at before a thread sleeps: a few times at once, then as
 * often as others let it have the CPU, whom it might wait for. Some ten microseconds in all, about
 * what it takes to sleep and to be woken. */
enum {
    SEARCH_ROUNDS = STOOK_TIMES(4, 1),
    YIELDING_ROUNDS = STOOK_TIMES(16, 1),
    PAUSES_BETWEEN_ROUNDS = STOOK_TIMES(16, 1)
};

/* The same while a region of forks runs, which offers some when it is asked. */
enum { REGION_ROUNDS = STOOK_TIMES(100, 2) };

/* How many tasks a thief takes at once, at most, and from how many on it takes more than one; how
 * many are taken out of the injection queue at once. */
enum { MOST_STOLEN = 32, STEAL_MANY_FROM = 64, MOST_POPPED = 32 };

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

/* Into the room that has been reserved, so that the first is taken first. */
static void push_reversed(struct stook__worker *worker, stook_future *tasks[], size_t count)
{
    for (size_t i = count; i > 0; i--) {
        stook__deque_push_one(&worker->deque, tasks[i - 1]);
    }
}

/* A thread that looks into the deques of others. */
struct search {
    struct stook__thread *thread;
    bool has_entered; /* is counted in `thieves` */
    bool raced;       /* another thief was faster somewhere */
};

/* Where there are many, a thief takes some more for itself: each search costs a system call. In a
 * tree of tasks, where the oldest is the largest, there are never so many. They are pushed so that
 * its own order of taking is the victim's of being robbed. */
static void steal_more(struct search *search, struct stook__worker *victim)
{
    struct stook__deque *own = &search->thread->worker->deque;
    size_t size = stook__deque_size(&victim->deque);
    size_t most = size / 2 < MOST_STOLEN - 1 ? size / 2 : MOST_STOLEN - 1;
    stook_future *tasks[MOST_STOLEN];
    size_t count = 0;

    if (size < STEAL_MANY_FROM || !stook__deque_reserve(own, most)) {
        return;
    }
    while (count < most && stook__deque_steal(&victim->deque, &tasks[count]) == STOOK__STEAL_GOT) {
        count++;
    }
    stook__count_in(&search->thread->worker->counters, STOOK__STOLEN, count);
    push_reversed(search->thread->worker, tasks, count);
    stook__park_notify(search->thread->executor); /* as at pop_injected() */
}

/* The oldest task of somebody else. */
static stook_future *steal_once(struct search *search)
{
    struct stook__worker *thief = search->thread->worker;
    stook_executor *executor = search->thread->executor;
    unsigned count = executor->options.max_workers; /* what was retired may hold tasks */
    unsigned first = next_random(thief) % count;

    search->raced = false;
    for (unsigned i = 0; i < count; i++) {
        struct stook__worker *victim = &executor->workers[(first + i) % count];
        stook_future *task;
        if (victim == thief || stook__deque_seems_empty(&victim->deque)) {
            continue;
        }
        if (!search->has_entered) {
            search->has_entered = true;
            stook__deque_enter(&executor->thieves);
        }
        switch (stook__deque_steal(&victim->deque, &task)) {
        case STOOK__STEAL_GOT:
            stook__count_in(&thief->counters, STOOK__STOLEN, 1);
            steal_more(search, victim);
            return task;
        case STOOK__STEAL_RETRY:
            search->raced = true;
            break;
        case STOOK__STEAL_EMPTY:
            break;
        }
    }
    return NULL;
}

/* The next task from outside; some that follow it come into the own deque, which is empty, so that
 * the mutex is taken less often. */
static stook_future *pop_injected(struct stook__thread *thread)
{
    stook_executor *executor = thread->executor;
    struct stook__worker *worker = thread->worker;
    stook_future *tasks[MOST_POPPED];
    size_t most = stook__deque_reserve(&worker->deque, MOST_POPPED) ? MOST_POPPED : 1;
    size_t count =
        stook__inject_pop_some(&executor->inject, tasks, most, stook__worker_count(executor) == 1);

    if (count > 1) {
        push_reversed(worker, tasks + 1, count - 1);
        worker->popped_end = stook__deque_end(&worker->deque);
        /* They were in no queue for a moment: who went to sleep then has not seen them. */
        stook__park_notify(executor);
    }
    return count > 0 ? tasks[0] : NULL;
}

/* Looks into the queues of others, and for their forks, for a while. */
static stook_future *search(struct stook__thread *thread, struct stook__theft *ret_theft)
{
    stook_executor *executor = thread->executor;
    struct search search = {.thread = thread};
    enum stook__loot loot = STOOK__LOOT_NONE;
    stook_future *task = NULL;

    stook__park_search(thread);
    for (unsigned round = 0;
         round < (loot == STOOK__LOOT_NONE ? SEARCH_ROUNDS + YIELDING_ROUNDS : REGION_ROUNDS);) {
        task = steal_once(&search);
        if (!task) {
            task = pop_injected(thread);
        }
        if (!task && thread->is_initialised) { /* tasks are cancelled where it is not */
            loot = stook__lanes_steal(executor, next_random(thread->worker), ret_theft);
        }
        if (task || loot == STOOK__LOOT_GOT) {
            break;
        }
        if (!search.raced) {
            round++; /* a lost race is another's gain: somebody makes progress */
            for (unsigned i = 0;
                 i < PAUSES_BETWEEN_ROUNDS && stook__inject_seems_empty(&executor->inject); i++) {
                stook__platform_pause();
            }
        }
        if (round > SEARCH_ROUNDS) {
            thrd_yield();
        }
    }
    if (search.has_entered) {
        stook__deque_leave(&executor->thieves);
    }
    return task;
}

/* What was popped by a worker that is busy since: others, who find enough in the injection queue,
 * must not pass it over for ever. */
static stook_future *steal_fairly(struct stook__thread *thread)
{
    struct search search = {.thread = thread};
    stook_future *task = steal_once(&search);

    if (search.has_entered) {
        stook__deque_leave(&thread->executor->thieves);
    }
    return task;
}

/* One of those that might starve, when it is their turn; else NULL. What has been popped together
 * keeps its order: that is from outside itself. */
static stook_future *find_fairly(struct stook__thread *thread)
{
    struct stook__worker *worker = thread->worker;
    stook_future *task = NULL;

    if (worker->dispatches == FAIRNESS_PERIOD) {
        worker->dispatches = 0;
        worker->periods++;
    }
    if (worker->dispatches == 0 && worker->periods % PERIODS_BETWEEN_STEALS == 0) {
        task = steal_fairly(thread);
    }
    if (task) {
        return task;
    }
    if (stook__deque_holds_only(&worker->deque, worker->popped_end)) {
        return NULL;
    }
    if (worker->dispatches == 0) {
        return stook__inject_pop(&thread->executor->inject);
    }
    return stook__deque_steal(&worker->deque, &task) == STOOK__STEAL_GOT ? task : NULL;
}

stook_future *stook__find_task(struct stook__thread *thread, struct stook__theft *ret_theft)
{
    struct stook__worker *worker = thread->worker;
    stook_executor *executor = thread->executor;
    stook_future *task = NULL;

    if (++worker->dispatches == FAIRNESS_PERIOD || worker->dispatches == FAIRNESS_PERIOD / 2) {
        task = find_fairly(thread);
    }
    if (!task && stook__inject_seems_urgent(&executor->inject) &&
        worker->passes < STOOK__MOST_PASSES) {
        task = stook__inject_pop(&executor->inject);
        worker->passes++;
    }
    if (!task) {
        worker->passes = 0;
        task = stook__deque_take(&worker->deque);
        size_t end = stook__deque_end(&worker->deque);
        if ((ptrdiff_t)(end - worker->popped_end) < 0) {
            worker->popped_end = end; /* what is pushed from here on is its own */
        }
    }
    if (!task) {
        worker->husks = 0;
        task = pop_injected(thread);
    }
    if (!task) {
        task = search(thread, ret_theft);
    }
    return task;
}
