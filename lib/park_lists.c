/* SPDX-License-Identifier: MIT
 *
 * The lists under the park mutex, and the word that counts what they hold. Their invariant is at
 * the head of park.c.
 */
#include "park_lists.h"
#include "checks.h"

uint32_t stook__idle_add(struct stook__park *park, uint32_t change)
{
    /* order PK.count rlx: made visible by the fences PK.sleep and PK.more, or by the mutex */
    return a_add_rlx(&park->idle, change) + change;
}

bool stook__park_any_task(stook_executor *executor)
{
    if (!stook__inject_seems_empty(&executor->inject)) {
        return true;
    }
    for (unsigned i = 0; i < executor->options.max_workers; i++) {
        if (!stook__deque_seems_empty(&executor->workers[i].deque)) {
            return true;
        }
    }
    return stook__lanes_any_offer(executor);
}

void stook__park_push_idle(struct stook__park *park, struct stook__worker *worker)
{
    STOOK_ASSERT(stook__park_surplus(park) == 0);
    worker->next = park->idle_workers;
    park->idle_workers = worker;
}

struct stook__worker *stook__park_pop_idle(struct stook__park *park)
{
    struct stook__worker *worker = park->idle_workers;
    if (worker) {
        park->idle_workers = worker->next;
    }
    return worker;
}

bool stook__park_has_surplus_threads(const stook_executor *executor)
{
    return executor->park.staying > stook__worker_count(executor);
}

static int64_t after_keep_alive(const stook_executor *executor)
{
    int64_t now_ns = stook__platform_now_ns();
    int64_t keep_alive_ns = executor->options.keep_alive_ns;
    return keep_alive_ns < INT64_MAX - now_ns ? now_ns + keep_alive_ns : INT64_MAX;
}

void stook__park_push_spare(struct stook__thread *thread)
{
    stook_executor *executor = thread->executor;
    struct stook__park *park = &executor->park;

    thread->stay_until_ns =
        stook__park_has_surplus_threads(executor) ? after_keep_alive(executor) : INT64_MAX;
    stook__event_reset(&thread->event);
    thread->previous = NULL;
    thread->next = park->spare;
    if (thread->next) {
        thread->next->previous = thread;
    }
    park->spare = thread;
    thread->is_spare = true;
}

void stook__park_unlink_spare(struct stook__thread *thread)
{
    if (thread->previous) {
        thread->previous->next = thread->next;
    } else {
        thread->executor->park.spare = thread->next;
    }
    if (thread->next) {
        thread->next->previous = thread->previous;
    }
    thread->is_spare = false;
}

struct stook__thread *stook__park_pop_spare(struct stook__park *park)
{
    struct stook__thread *thread = park->spare;
    if (thread) {
        stook__park_unlink_spare(thread);
    }
    return thread;
}
