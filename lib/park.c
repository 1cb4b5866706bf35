/* SPDX-License-Identifier: MIT
 *
 * Sleeping and waking, lending and taking workers. The only store-load pair outside the deque lives
 * here: PK.wake <-> PK.sleep, argued in README.md, "Parking".
 *
 * Invariant, under the mutex: the sleeping half of `idle` is the length of idle_workers; a worker
 * is held by one thread, or idle, or resting, or retired; while there is a surplus of workers none
 * is idle; the threads that run a task without a worker are `uncovered` plus as many as workers
 * rest; a thread in the spare list holds none and runs nothing.
 */
#include "park.h"
#include "counters.h"
#include "fence.h"
#include "local.h"
#include "options.h"
#include "park_lists.h"
#include "thread.h"

static_assert(STOOK_MAX_WORKERS + STOOK_MAX_EXTRA_THREADS < 1 << 15, "both halves must fit");

/* Ends the executor if it is closed and nothing can happen any more. The caller has looked at all
 * queues after a fence and found nothing. That look may have come before the close; but whoever
 * closes is busy while it does, and looks again when it is no longer. */
static void end_if_done(stook_executor *executor)
{
    struct stook__park *park = &executor->park;
    bool closed = stook__inject_is_closed(&executor->inject);
    /* order PK.all rlx: changes by sleepers are made under the mutex, which is held */
    uint32_t sleeping = a_load_rlx(&park->idle) & IDLE_SLEEPING_MASK;

    /* order PK.none rlx: as PK.all */
    bool all_idle = sleeping == stook__worker_count(executor) && a_load_rlx(&park->uncovered) == 0;

    if (!closed || !all_idle || park->busy > 0 || park->exiting) {
        return;
    }
    park->exiting = true;
    for (struct stook__thread *thread = stook__park_pop_spare(park); thread;
         thread = stook__park_pop_spare(park)) {
        stook__event_set(&thread->event);
    }
}

/* --- threads ---------------------------------------------------------------------------------- */

bool stook__park_init(stook_executor *executor)
{
    struct stook__park *park = &executor->park;

    *park = (struct stook__park){.idle_workers = NULL};
    atomic_init(&park->idle, executor->options.workers * IDLE_SLEEPING);
    atomic_init(&park->uncovered, 0);
    atomic_init(&park->surplus, 0);
    for (unsigned i = executor->options.workers; i > 0; i--) {
        stook__park_push_idle(park, &executor->workers[i - 1]);
    }
    for (unsigned i = executor->options.max_workers; i > executor->options.workers; i--) {
        executor->workers[i - 1].next = park->retired;
        park->retired = &executor->workers[i - 1];
    }
    return mtx_init(&park->mutex, mtx_plain) == thrd_success;
}

void stook__park_fini(stook_executor *executor)
{
    mtx_destroy(&executor->park.mutex);
}

/* Only while the executor is created, by one thread. */
static bool add_spare_thread(stook_executor *executor)
{
    struct stook__park *park = &executor->park;
    struct stook__thread *thread = stook__thread_create(executor, NULL, park->next_number);

    if (!thread) {
        return false;
    }
    mtx_lock(&park->mutex);
    park->next_number++;
    park->alive++;
    park->staying++;
    stook__park_push_spare(thread); /* before it starts, so that it cannot be missed */
    mtx_unlock(&park->mutex);
    if (stook__thread_start(thread)) {
        return true;
    }
    mtx_lock(&park->mutex);
    park->next_number--;
    park->alive--;
    park->staying--;
    stook__park_unlink_spare(thread);
    mtx_unlock(&park->mutex);
    stook__thread_free(thread);
    return false;
}

bool stook__park_start(stook_executor *executor)
{
    struct stook__park *park = &executor->park;
    unsigned count = executor->options.workers;
    bool waits = executor->options.thread_init != NULL;
    struct stook__event started;

    if (waits) {
        if (!stook__event_init(&started)) {
            return false;
        }
        park->starting = count;
        park->started = &started;
    }
    stook__park_hold(executor); /* a hook that fails closes it: the end waits for all threads */
    while (park->next_number < count && add_spare_thread(executor)) {
    }
    bool all = park->next_number == count;
    if (waits) {
        if (all) { /* else it is never set */
            stook__event_wait_until(&started, STOOK_FOREVER);
        }
        stook__event_fini(&started);
    }
    stook__park_let_go(executor);
    return all;
}

bool stook__park_has_threads(const stook_executor *executor)
{
    return executor->park.next_number > 0;
}

/* One thread more has been through its thread_init. */
static void note_start(struct stook__park *park)
{
    mtx_lock(&park->mutex);
    bool is_last = park->starting > 0 && --park->starting == 0;
    mtx_unlock(&park->mutex);
    if (is_last) {
        stook__event_set(park->started);
    }
}

bool stook__park_leave(struct stook__thread *thread)
{
    struct stook__park *park = &thread->executor->park;

    mtx_lock(&park->mutex);
    struct stook__thread *previous = park->left;
    park->left = thread;
    bool is_last = --park->alive == 0;
    mtx_unlock(&park->mutex);
    stook__thread_join(previous); /* it has left: only moments */
    stook__thread_free(previous);
    return is_last;
}

struct stook__thread *stook__park_join(stook_executor *executor)
{
    struct stook__park *park = &executor->park;

    mtx_lock(&park->mutex);
    struct stook__thread *thread = park->left;
    park->left = NULL;
    mtx_unlock(&park->mutex);
    stook__thread_join(thread); /* and so all: each has joined the one before it */
    return thread;
}

/* --- waking ----------------------------------------------------------------------------------- */

static void wake_one(stook_executor *executor);

static void note_refusal(struct stook__park *park, bool is_refused)
{
    /* order PK.refuse rlx: as PK.again */
    a_store_rlx(&park->refused, is_refused);
}

bool stook__park_is_refused(stook_executor *executor)
{
    /* order PK.again rlx: a thread sees its own refusals; those of others come late anyhow */
    return a_load_rlx(&executor->park.refused);
}

/* No thread could be started for this worker, which counts as searching. Threads that come free
 * will look: none becomes spare beside an idle worker without having looked. */
static void give_back(stook_executor *executor, struct stook__worker *worker)
{
    struct stook__park *park = &executor->park;

    mtx_lock(&park->mutex);
    note_refusal(park, true);
    park->alive--;
    park->staying--;
    if (stook__park_retire_surplus(park, worker)) {
        stook__idle_add(park, 0U - (uint32_t)IDLE_SEARCHING);
    } else {
        stook__park_push_idle(park, worker);
        stook__idle_add(park, (uint32_t)IDLE_SLEEPING - IDLE_SEARCHING);
    }
    /* order PK.refused sc <-> PK.wake: as PK.sleep */
    a_fence_heavy();
    bool more = stook__park_any_task(executor);
    if (!more) {
        end_if_done(executor);
    }
    /* A thread may have become spare meanwhile, and found no idle worker to look with. */
    bool again = more && park->spare;
    mtx_unlock(&park->mutex);
    if (again) {
        wake_one(executor);
    }
}

/* Sets one idle worker to work, unless somebody searches already. Starts a thread for it if none is
 * spare, without the mutex: that takes a while. */
static void wake_one(stook_executor *executor)
{
    struct stook__park *park = &executor->park;

    mtx_lock(&park->mutex);
    /* order PK.exact rlx: after the caller's fence; the sleeping half is exact under the mutex */
    if (park->exiting || !stook__idle_wants_wake(a_load_rlx(&park->idle))) {
        mtx_unlock(&park->mutex); /* exiting: the task that was submitted has been run by others */
        return;
    }
    struct stook__worker *worker = stook__park_pop_idle(park);
    struct stook__thread *thread = stook__park_pop_spare(park);

    note_refusal(park, false);
    if (thread) {
        thread->worker = worker;
        thread->searching = true;
    } else if (park->staying >=
               stook__worker_count(executor) + executor->options.max_extra_threads) {
        stook__park_push_idle(park, worker);
        mtx_unlock(&park->mutex);
        return;
    }
    stook__idle_add(park, (uint32_t)IDLE_SEARCHING - IDLE_SLEEPING);
    unsigned number = park->next_number;
    if (!thread) {
        park->next_number++;
        park->alive++;
        park->staying++;
    }
    mtx_unlock(&park->mutex);
    stook__local.has_woken = true;
    if (thread) {
        stook__event_set(&thread->event);
        return;
    }
    thread = stook__thread_create(executor, worker, number);
    if (!thread || !stook__thread_start(thread)) {
        stook__thread_free(thread);
        give_back(executor, worker);
    }
}

void stook__park_notify_sleepers(stook_executor *executor)
{
    /* order PK.rely sc <-> PK.more: a searcher that is relied on must see the task when it leaves
     * the search */
    a_fence_sc();
    /* order PK.searched rlx: ordered by the fence above */
    if (stook__idle_wants_wake(a_load_rlx(&executor->park.idle))) {
        wake_one(executor);
    }
}

void stook__park_search(struct stook__thread *thread)
{
    if (!thread->searching) {
        thread->searching = true;
        stook__idle_add(&thread->executor->park, IDLE_SEARCHING);
    }
}

void stook__park_found(struct stook__thread *thread)
{
    stook_executor *executor = thread->executor;

    if (!thread->searching) {
        return;
    }
    thread->searching = false;
    if (!stook__idle_wants_wake(stook__idle_add(&executor->park, 0U - (uint32_t)IDLE_SEARCHING))) {
        return;
    }
    /* order PK.more sc <-> PK.rely: a submit that relied on this searcher has a task in a queue,
     * and this thread must see it now that it no longer searches */
    a_fence_sc();
    if (stook__park_any_task(executor)) {
        wake_one(executor);
    }
}

/* --- sleeping --------------------------------------------------------------------------------- */

/* A thread that has no task: becomes spare, or takes an idle worker that nobody could be had for.
 * Then there may be tasks, and it searches; true. The mutex is held. */
static bool come_free(struct stook__thread *thread)
{
    struct stook__park *park = &thread->executor->park;
    struct stook__worker *worker = stook__park_pop_idle(park);

    if (!worker) {
        stook__park_push_spare(thread);
        return false;
    }
    stook__idle_add(park, (uint32_t)IDLE_SEARCHING - IDLE_SLEEPING);
    thread->searching = true;
    thread->worker = worker;
    return true;
}

enum moment { MOMENT_LEAVE, MOMENT_STAY, MOMENT_MISSED };

/* A spare thread's moment to leave has come. MOMENT_MISSED: it has just been taken off the list,
 * and its event is on its way. */
static enum moment leave_or_stay(struct stook__thread *thread)
{
    struct stook__park *park = &thread->executor->park;
    enum moment moment = MOMENT_MISSED;

    mtx_lock(&park->mutex);
    if (thread->is_spare && stook__park_has_surplus_threads(thread->executor)) {
        stook__park_unlink_spare(thread);
        park->staying--;
        moment = MOMENT_LEAVE;
    } else if (thread->is_spare) {
        thread->stay_until_ns = STOOK_FOREVER;
        moment = MOMENT_STAY;
    }
    mtx_unlock(&park->mutex);
    return moment;
}

/* A spare thread was woken without a worker: the executor has ended, or been made smaller. */
static bool look_again(struct stook__thread *thread, bool *ret_has_worker)
{
    struct stook__park *park = &thread->executor->park;

    mtx_lock(&park->mutex);
    bool stays = !park->exiting;
    *ret_has_worker = stays && come_free(thread);
    mtx_unlock(&park->mutex);
    return stays;
}

bool stook__park_sleep(struct stook__thread *thread)
{
    bool has_worker = false;

    while (!has_worker) {
        while (!stook__event_wait_until(&thread->event, thread->stay_until_ns)) {
            switch (leave_or_stay(thread)) {
            case MOMENT_LEAVE:
                return false;
            case MOMENT_STAY:
                break;
            case MOMENT_MISSED:
                thread->stay_until_ns = STOOK_FOREVER;
                break;
            }
        }
        has_worker = thread->worker != NULL;
        if (!has_worker && !look_again(thread, &has_worker)) {
            return false;
        }
    }
    return true;
}

bool stook__park_begin(struct stook__thread *thread)
{
    note_start(&thread->executor->park);
    return stook__park_sleep(
        thread); /* at once if it was created with one, or has been given one */
}

bool stook__park_idle(struct stook__thread *thread)
{
    stook_executor *executor = thread->executor;
    struct stook__park *park = &executor->park;
    uint32_t leave = thread->searching ? (uint32_t)IDLE_SEARCHING : 0;

    mtx_lock(&park->mutex);
    if (stook__park_must_rest(executor) || stook__park_must_retire(executor)) {
        mtx_unlock(&park->mutex);
        return true; /* the next dispatch sees to it */
    }
    stook__park_push_idle(park, thread->worker);
    stook__idle_add(park, IDLE_SLEEPING - leave);
    /* order PK.sleep sc <-> PK.wake: see there */
    a_fence_heavy();
    if (stook__park_any_task(executor)) {
        stook__park_pop_idle(park); /* the mutex was held: it is this thread's still */
        stook__idle_add(park, (uint32_t)IDLE_SEARCHING - IDLE_SLEEPING);
        thread->searching = true;
        mtx_unlock(&park->mutex);
        return true;
    }
    stook__count(executor, STOOK__PARKED, 1);
    thread->worker = NULL;
    thread->searching = false;
    stook__park_push_spare(thread);
    end_if_done(executor);
    mtx_unlock(&park->mutex);
    return stook__park_sleep(thread);
}

/* --- lending ---------------------------------------------------------------------------------- */

bool stook__park_must_rest(stook_executor *executor)
{
    /* order PK.hint rlx: a stale answer delays the rest by one task; the mutex decides */
    return a_load_rlx(&executor->park.uncovered) > 0;
}

/* The mutex is held. */
static void change_uncovered(struct stook__park *park, uint32_t change)
{
    /* order PK.cover rlx: as PK.hint */
    a_add_rlx(&park->uncovered, change);
}

/* A worker that rests for the calling thread, which runs without one; NULL: none does. The mutex is
 * held. Either way the thread no longer counts as running without a worker. */
static struct stook__worker *stop_running_without(struct stook__park *park)
{
    struct stook__worker *worker = park->resting;
    if (worker) {
        park->resting = worker->next;
    } else {
        change_uncovered(park, 0U - 1U);
    }
    return worker;
}

bool stook__park_rest(struct stook__thread *thread)
{
    stook_executor *executor = thread->executor;
    struct stook__park *park = &executor->park;

    stook__park_found(thread);
    mtx_lock(&park->mutex);
    if (!stook__park_must_rest(executor)) {
        mtx_unlock(&park->mutex);
        return true; /* another was faster: this thread still holds its worker */
    }
    change_uncovered(park, 0U - 1U);
    struct stook__worker *worker = stook__park_pop_idle(park);
    if (worker) { /* one that nobody could be had for: it rests, and this thread goes on */
        stook__idle_add(park, 0U - (uint32_t)IDLE_SLEEPING);
    } else {
        worker = thread->worker;
        thread->worker = NULL;
        stook__park_push_spare(thread);
    }
    worker->next = park->resting;
    park->resting = worker;
    bool keeps_worker = thread->worker != NULL; /* as a spare it may be given one at any time */
    mtx_unlock(&park->mutex);
    return keeps_worker || stook__park_sleep(thread);
}

/* Makes `worker` idle though its thread is not looking for work; the mutex is held. False: it has
 * retired. Nobody sleeps then: the others find what lies in its deque. */
static bool make_idle(struct stook__park *park, struct stook__worker *worker)
{
    if (stook__park_retire_surplus(park, worker)) {
        return false;
    }
    stook__park_push_idle(park, worker);
    stook__idle_add(park, IDLE_SLEEPING);
    return true;
}

void stook__park_release(struct stook__thread *thread)
{
    stook_executor *executor = thread->executor;
    struct stook__park *park = &executor->park;

    if (thread->released++ > 0) {
        return;
    }
    mtx_lock(&park->mutex);
    struct stook__worker *worker = thread->worker ? thread->worker : stop_running_without(park);
    thread->worker = NULL;
    park->busy++;
    bool is_idle = worker && make_idle(park, worker);
    mtx_unlock(&park->mutex);
    if (is_idle) {
        /* order PK.lend sc <-> PK.wake: as PK.sleep, for a worker whose thread will not look itself
         */
        a_fence_heavy();
        if (stook__park_any_task(executor)) {
            wake_one(executor);
        }
    }
}

void stook__park_resume(struct stook__thread *thread)
{
    struct stook__park *park = &thread->executor->park;

    if (--thread->released > 0) {
        return;
    }
    mtx_lock(&park->mutex);
    park->busy--;
    thread->worker = stook__park_pop_idle(park);
    if (thread->worker) {
        stook__idle_add(park, 0U - (uint32_t)IDLE_SLEEPING);
    } else {
        change_uncovered(park, 1);
    }
    mtx_unlock(&park->mutex);
    stook__thread_bind(thread);
}

bool stook__park_settle(struct stook__thread *thread)
{
    struct stook__park *park = &thread->executor->park;

    mtx_lock(&park->mutex);
    struct stook__worker *worker = stop_running_without(park);
    bool has_worker = worker != NULL;
    if (has_worker) {
        thread->worker = worker;
    } else {
        has_worker = come_free(thread);
    }
    mtx_unlock(&park->mutex);
    return has_worker || stook__park_sleep(thread);
}

/* --- ending ------------------------------------------------------------------------------------
 */

void stook__park_hold(stook_executor *executor)
{
    mtx_lock(&executor->park.mutex);
    executor->park.busy++;
    mtx_unlock(&executor->park.mutex);
}

void stook__park_let_go(stook_executor *executor)
{
    mtx_lock(&executor->park.mutex);
    executor->park.busy--;
    if (stook__inject_is_closed(&executor->inject)) { /* else whoever closes will look, as busy */
        /* order PK.close sc <-> PK.wake: as PK.sleep */
        a_fence_heavy();
        if (!stook__park_any_task(executor)) {
            end_if_done(executor);
        }
    }
    mtx_unlock(&executor->park.mutex);
}
