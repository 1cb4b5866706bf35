/* SPDX-License-Identifier: MIT
 *
 * Changing the number of workers. An executor has a fixed number of places; those that are too many
 * lie in the list of retired ones, and what is in their deques is stolen by the others. README.md,
 * "Resizing".
 *
 * Invariant, under the mutex, beside those at the head of park.c: retired places and `surplus`
 * together are max_workers - worker_count; while there is a surplus no worker is idle.
 */
#include "fence.h"
#include "park.h"
#include "park_lists.h"

static void change_surplus(struct stook__park *park, uint32_t change)
{
    /* order PK.excess rlx: as PK.hint */
    a_add_rlx(&park->surplus, change);
}

uint32_t stook__park_surplus(const struct stook__park *park)
{
    /* order PK.over rlx: as PK.hint; exact under the mutex */
    return a_load_rlx(&park->surplus);
}

bool stook__park_must_retire(const stook_executor *executor)
{
    return stook__park_surplus(&executor->park) > 0;
}

bool stook__park_retire_surplus(struct stook__park *park, struct stook__worker *worker)
{
    if (stook__park_surplus(park) == 0) {
        return false;
    }
    change_surplus(park, 0U - 1U);
    worker->next = park->retired;
    park->retired = worker;
    return true;
}

bool stook__park_retire(struct stook__thread *thread)
{
    struct stook__park *park = &thread->executor->park;

    stook__park_found(thread);
    mtx_lock(&park->mutex);
    bool retires = stook__park_retire_surplus(park, thread->worker);
    if (retires) {
        thread->worker = NULL;
        stook__park_push_spare(thread);
    }
    mtx_unlock(&park->mutex);
    return !retires || stook__park_sleep(thread);
}

/* Takes idle workers out at once; others, when their threads look for the next task. */
static void shrink(stook_executor *executor, unsigned count)
{
    struct stook__park *park = &executor->park;

    for (; count > 0; count--) {
        struct stook__worker *worker = stook__park_pop_idle(park);
        change_surplus(park, 1);
        if (worker) {
            stook__idle_add(park, 0U - (uint32_t)IDLE_SLEEPING);
            stook__park_retire_surplus(park, worker);
        }
    }
}

static void grow(stook_executor *executor, unsigned count)
{
    struct stook__park *park = &executor->park;

    for (; count > 0; count--) {
        if (stook__park_surplus(park) > 0) {
            change_surplus(park, 0U - 1U);
            continue;
        }
        struct stook__worker *worker = park->retired;
        park->retired = worker->next;
        stook__park_push_idle(park, worker);
        stook__idle_add(park, IDLE_SLEEPING);
    }
}

/* Lets all spare threads look again: those that sleep for ever may be too many now. */
static void wake_spare_threads(struct stook__park *park)
{
    for (struct stook__thread *thread = stook__park_pop_spare(park); thread;
         thread = stook__park_pop_spare(park)) {
        stook__event_set(&thread->event);
    }
}

bool stook__park_resize(stook_executor *executor, unsigned workers)
{
    struct stook__park *park = &executor->park;

    mtx_lock(&park->mutex);
    if (park->exiting || stook__inject_is_closed(&executor->inject)) {
        mtx_unlock(&park->mutex);
        return false;
    }
    unsigned before = stook__worker_count(executor);
    /* order PK.resize rlx: changed under the mutex; a number for those who read it without */
    a_store_rlx(&executor->worker_count, workers);
    if (workers < before) {
        shrink(executor, before - workers);
        if (stook__park_has_surplus_threads(executor)) {
            wake_spare_threads(park);
        }
    } else {
        grow(executor, workers - before);
    }
    mtx_unlock(&park->mutex);
    /* order PK.grow sc <-> PK.wake: as PK.lend */
    a_fence_heavy();
    if (stook__park_any_task(executor)) { /* it may have waited for the workers that were added */
        stook__park_notify(executor);
    }
    return true;
}
