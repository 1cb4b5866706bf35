/* SPDX-License-Identifier: MIT
 *
 * Sleeping and waking, lending and taking workers. The only store-load pair outside the deque lives
 * here: PK.wake <-> PK.sleep, argued in README.md, "Parking".
 *
 * Invariant, under the mutex: the sleeping half of `idle` is the length of idle_workers; a worker is
 * held by one thread, or idle, or resting; the threads that run a task without a worker are
 * `uncovered` plus as many as workers rest; a thread in the spare list holds none and runs nothing.
 */
#include "park.h"
#include <stdlib.h>
#include "task.h"

/* Threads beyond the number of workers that may exist because others are blocked in waits. */
#ifndef STOOK_MAX_EXTRA_THREADS
#define STOOK_MAX_EXTRA_THREADS 512
#endif

/* The word `idle`: sleeping workers in the low half, searching threads in the high half. */
enum { IDLE_SLEEPING = 1, IDLE_SEARCHING = 1 << 16, IDLE_SLEEPING_MASK = 0xffff };

static_assert(STOOK_MAX_WORKERS + STOOK_MAX_EXTRA_THREADS < 1 << 15, "both halves must fit");

static bool word_wants_wake(uint32_t idle)
{
    return (idle & IDLE_SLEEPING_MASK) > 0 && idle < IDLE_SEARCHING;
}

/* Every change of `idle` comes through here. */
static uint32_t idle_add(struct stook__park *park, uint32_t change)
{
    /* order PK.count rlx: made visible by the fences PK.sleep and PK.more, or by the mutex */
    return a_add_rlx(&park->idle, change) + change;
}

/* Is there a task in any queue? Ordered by a fence before it. */
static bool any_task(stook_executor *executor)
{
    if (!stook__inject_seems_empty(&executor->inject)) {
        return true;
    }
    for (unsigned i = 0; i < executor->worker_count; i++) {
        if (!stook__deque_seems_empty(&executor->workers[i].deque)) {
            return true;
        }
    }
    return false;
}

/* --- lists; the mutex is held ----------------------------------------------------------------- */

static void push_idle_worker(struct stook__park *park, struct stook__worker *worker)
{
    worker->next = park->idle_workers;
    park->idle_workers = worker;
}

static struct stook__worker *pop_idle_worker(struct stook__park *park)
{
    struct stook__worker *worker = park->idle_workers;
    if (worker) {
        park->idle_workers = worker->next;
    }
    return worker;
}

static void push_spare(struct stook__park *park, struct stook__thread *thread)
{
    stook__event_reset(&thread->event);
    thread->next = park->spare;
    park->spare = thread;
}

static struct stook__thread *pop_spare(struct stook__park *park)
{
    struct stook__thread *thread = park->spare;
    if (thread) {
        park->spare = thread->next;
    }
    return thread;
}

/* Ends the executor if it is closed and nothing can happen any more. The caller has looked at all
 * queues after a fence and found nothing. That look may have come before the close; but whoever closes
 * is busy while it does, and looks again when it is no longer. */
static void end_if_done(stook_executor *executor)
{
    struct stook__park *park = &executor->park;
    bool closed = stook__inject_is_closed(&executor->inject);
    /* order PK.all rlx: changes by sleepers are made under the mutex, which is held */
    uint32_t sleeping = a_load_rlx(&park->idle) & IDLE_SLEEPING_MASK;

    /* order PK.none rlx: as PK.all */
    bool all_idle = sleeping == executor->worker_count && a_load_rlx(&park->uncovered) == 0;

    if (!closed || !all_idle || park->busy > 0 || park->exiting) {
        return;
    }
    park->exiting = true;
    for (struct stook__thread *thread = pop_spare(park); thread; thread = pop_spare(park)) {
        stook__event_set(&thread->event);
    }
}

/* --- threads ---------------------------------------------------------------------------------- */

static struct stook__thread *thread_create(stook_executor *executor, struct stook__worker *worker,
                                           unsigned number)
{
    struct stook__thread *thread = calloc(1, sizeof *thread);
    if (!thread) {
        return NULL;
    }
    if (!stook__event_init(&thread->event)) {
        free(thread);
        return NULL;
    }
    thread->executor = executor;
    thread->worker = worker;
    thread->searching = worker != NULL;
    thread->number = number;
    if (worker) {
        stook__event_set(&thread->event);
    }
    return thread;
}

/* Starts a thread that holds `worker`, or that begins as a spare if it is NULL. The mutex is not
 * held: this takes a while. The record is listed first, so that the thread cannot be missed. */
static bool thread_start(stook_executor *executor, struct stook__worker *worker, unsigned number)
{
    struct stook__park *park = &executor->park;
    struct stook__thread *thread = thread_create(executor, worker, number);
    thrd_t handle;

    if (!thread) {
        return false;
    }
    mtx_lock(&park->mutex);
    park->alive++;
    thread->next_created = park->created;
    park->created = thread;
    if (!worker) {
        push_spare(park, thread);
    }
    mtx_unlock(&park->mutex);
    if (stook__platform_start_thread(&handle, park->thread_main, thread)) {
        return true;
    }
    mtx_lock(&park->mutex);
    park->alive--;
    struct stook__thread **at = &park->created;
    while (*at != thread) {
        at = &(*at)->next_created;
    }
    *at = thread->next_created;
    if (!worker) {
        pop_spare(park); /* only while the executor is created: nobody else pops or pushes */
    }
    mtx_unlock(&park->mutex);
    stook__event_fini(&thread->event);
    free(thread);
    return false;
}

bool stook__park_init(stook_executor *executor, thrd_start_t thread_main)
{
    struct stook__park *park = &executor->park;

    *park = (struct stook__park){.thread_main = thread_main};
    atomic_init(&park->idle, executor->worker_count * IDLE_SLEEPING);
    atomic_init(&park->uncovered, 0);
    for (unsigned i = executor->worker_count; i > 0; i--) {
        push_idle_worker(park, &executor->workers[i - 1]);
    }
    return mtx_init(&park->mutex, mtx_plain) == thrd_success;
}

void stook__park_fini(stook_executor *executor)
{
    mtx_destroy(&executor->park.mutex);
}

bool stook__park_add_thread(stook_executor *executor)
{
    struct stook__park *park = &executor->park;

    mtx_lock(&park->mutex);
    unsigned number = park->created_count++;
    mtx_unlock(&park->mutex);
    return thread_start(executor, NULL, number);
}

void stook__park_join(stook_executor *executor)
{
    struct stook__park *park = &executor->park;

    mtx_lock(&park->mutex);
    struct stook__thread *thread = park->created;
    park->created = NULL;
    mtx_unlock(&park->mutex);
    while (thread) {
        struct stook__thread *next = thread->next_created;
        thrd_join(thread->handle, NULL);
        stook__event_fini(&thread->event);
        free(thread);
        thread = next;
    }
}

bool stook__park_leave(stook_executor *executor)
{
    struct stook__park *park = &executor->park;

    mtx_lock(&park->mutex);
    bool is_last = --park->alive == 0;
    mtx_unlock(&park->mutex);
    return is_last;
}

/* --- waking ----------------------------------------------------------------------------------- */

/* Sets one idle worker to work, unless somebody searches already. */
static void wake_one(stook_executor *executor)
{
    struct stook__park *park = &executor->park;

    mtx_lock(&park->mutex);
    /* order PK.exact rlx: after the caller's fence; the sleeping half is exact under the mutex */
    if (park->exiting || !word_wants_wake(a_load_rlx(&park->idle))) {
        mtx_unlock(&park->mutex); /* exiting: the task that was submitted has been run by others */
        return;
    }
    struct stook__worker *worker = pop_idle_worker(park);
    struct stook__thread *thread = pop_spare(park);
    unsigned number = park->created_count;
    bool create = !thread && number < executor->worker_count + STOOK_MAX_EXTRA_THREADS;

    if (!thread && !create) {
        push_idle_worker(park, worker);
        mtx_unlock(&park->mutex);
        return;
    }
    idle_add(park, (uint32_t)IDLE_SEARCHING - IDLE_SLEEPING);
    if (thread) {
        thread->worker = worker;
        thread->searching = true;
    } else {
        park->created_count++;
    }
    mtx_unlock(&park->mutex);
    if (thread) {
        stook__event_set(&thread->event);
        return;
    }
    if (!thread_start(executor, worker, number)) {
        /* Nobody can look now. Threads that come free will: none becomes spare beside an idle worker
         * without having looked. */
        mtx_lock(&park->mutex);
        park->created_count--;
        push_idle_worker(park, worker);
        idle_add(park, (uint32_t)IDLE_SLEEPING - IDLE_SEARCHING);
        /* order PK.refused sc <-> PK.wake: as PK.sleep */
        a_fence_sc();
        bool more = any_task(executor);
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
}

void stook__park_notify(stook_executor *executor)
{
    /* order PK.wake sc <-> PK.sleep: else a worker may sleep beside this task, each side having
     * looked before the other wrote */
    a_fence_sc();
    /* order PK.ask rlx: ordered by the fence above */
    if (word_wants_wake(a_load_rlx(&executor->park.idle))) {
        wake_one(executor);
    }
}

void stook__park_search(struct stook__thread *thread)
{
    if (!thread->searching) {
        thread->searching = true;
        idle_add(&thread->executor->park, IDLE_SEARCHING);
    }
}

void stook__park_found(struct stook__thread *thread)
{
    stook_executor *executor = thread->executor;

    if (!thread->searching) {
        return;
    }
    thread->searching = false;
    if (!word_wants_wake(idle_add(&executor->park, 0U - (uint32_t)IDLE_SEARCHING))) {
        return;
    }
    /* order PK.more sc <-> PK.wake: a submit that relied on this searcher has a task in a queue, and
     * this thread must see it now that it no longer searches */
    a_fence_sc();
    if (any_task(executor)) {
        wake_one(executor);
    }
}

/* --- sleeping --------------------------------------------------------------------------------- */

/* Sleeps as a spare. True: it holds a worker now. */
static bool sleep_as_spare(struct stook__thread *thread)
{
    stook__event_wait_until(&thread->event, STOOK_FOREVER);
    return thread->worker != NULL;
}

bool stook__park_begin(struct stook__thread *thread)
{
    return sleep_as_spare(thread); /* at once if it was created with one, or has been given one */
}

bool stook__park_idle(struct stook__thread *thread)
{
    stook_executor *executor = thread->executor;
    struct stook__park *park = &executor->park;
    uint32_t leave = thread->searching ? (uint32_t)IDLE_SEARCHING : 0;

    mtx_lock(&park->mutex);
    if (stook__park_must_rest(executor)) {
        mtx_unlock(&park->mutex);
        return true; /* the next dispatch lets the worker rest */
    }
    push_idle_worker(park, thread->worker);
    idle_add(park, IDLE_SLEEPING - leave);
    /* order PK.sleep sc <-> PK.wake: see there */
    a_fence_sc();
    if (any_task(executor)) {
        pop_idle_worker(park); /* the mutex was held: it is this thread's still */
        idle_add(park, (uint32_t)IDLE_SEARCHING - IDLE_SLEEPING);
        thread->searching = true;
        mtx_unlock(&park->mutex);
        return true;
    }
    thread->worker = NULL;
    thread->searching = false;
    push_spare(park, thread);
    end_if_done(executor);
    mtx_unlock(&park->mutex);
    return sleep_as_spare(thread);
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
    struct stook__worker *worker = pop_idle_worker(park);
    if (worker) { /* one that nobody could be had for: it rests, and this thread goes on */
        idle_add(park, 0U - (uint32_t)IDLE_SLEEPING);
    } else {
        worker = thread->worker;
        thread->worker = NULL;
        push_spare(park, thread);
    }
    worker->next = park->resting;
    park->resting = worker;
    bool keeps_worker = thread->worker != NULL; /* as a spare it may be given one at any time */
    mtx_unlock(&park->mutex);
    return keeps_worker || sleep_as_spare(thread);
}

/* Makes `worker` idle though its thread is not looking for work; the mutex is held, and released. */
static void idle_worker_and_unlock(stook_executor *executor, struct stook__worker *worker)
{
    struct stook__park *park = &executor->park;

    push_idle_worker(park, worker);
    idle_add(park, IDLE_SLEEPING);
    mtx_unlock(&park->mutex);
    /* order PK.lend sc <-> PK.wake: as PK.sleep, for a worker whose thread will not look itself */
    a_fence_sc();
    if (any_task(executor)) {
        wake_one(executor);
    }
}

void stook__park_release(struct stook__thread *thread)
{
    stook_executor *executor = thread->executor;
    struct stook__park *park = &executor->park;

    mtx_lock(&park->mutex);
    struct stook__worker *worker = thread->worker ? thread->worker : stop_running_without(park);
    thread->worker = NULL;
    park->busy++;
    if (worker) {
        idle_worker_and_unlock(executor, worker);
    } else {
        mtx_unlock(&park->mutex);
    }
}

void stook__park_resume(struct stook__thread *thread)
{
    struct stook__park *park = &thread->executor->park;

    mtx_lock(&park->mutex);
    park->busy--;
    thread->worker = pop_idle_worker(park);
    if (thread->worker) {
        idle_add(park, 0U - (uint32_t)IDLE_SLEEPING);
    } else {
        change_uncovered(park, 1);
    }
    mtx_unlock(&park->mutex);
}

bool stook__park_settle(struct stook__thread *thread)
{
    stook_executor *executor = thread->executor;
    struct stook__park *park = &executor->park;

    mtx_lock(&park->mutex);
    struct stook__worker *worker = stop_running_without(park);
    if (!worker && (worker = pop_idle_worker(park)) != NULL) {
        /* One that nobody could be had for: there may be tasks, so look. */
        idle_add(park, (uint32_t)IDLE_SEARCHING - IDLE_SLEEPING);
        thread->searching = true;
    }
    if (worker) {
        thread->worker = worker;
    } else {
        push_spare(park, thread);
    }
    mtx_unlock(&park->mutex);
    return worker || sleep_as_spare(thread);
}

/* --- ending ------------------------------------------------------------------------------------ */

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
    /* order PK.close sc <-> PK.wake: as PK.sleep */
    a_fence_sc();
    if (!any_task(executor)) {
        end_if_done(executor);
    }
    mtx_unlock(&executor->park.mutex);
}
