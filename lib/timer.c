/* SPDX-License-Identifier: MIT
 *
 * The timer thread, and its alarms: a pairing heap (Fredman, Sedgewick, Sleator and Tarjan, "The
 * pairing heap: a new form of self-adjusting heap", 1986), whose links are part of the alarms, so
 * that setting one cannot fail and taking one back is cheap.
 */
#include "timer.h"
#include "atomics.h"
#include "bond.h"
#include "park.h"
#include "pool.h"

/* --- the heap; the mutex is held ----------------------------------------------------------------
 */

/* Joins two heaps, either may be NULL; neither root has siblings. */
static struct stook__alarm *meld(struct stook__alarm *a, struct stook__alarm *b)
{
    if (!a || !b) {
        return a ? a : b;
    }
    if (b->due_ns < a->due_ns) {
        struct stook__alarm *earlier = b;
        b = a;
        a = earlier;
    }
    b->previous = a;
    b->next = a->child;
    if (a->child) {
        a->child->previous = b;
    }
    a->child = b;
    return a;
}

/* Joins a list of siblings into one heap: pairs from left to right, then those from right to left.
 */
static struct stook__alarm *meld_siblings(struct stook__alarm *first)
{
    struct stook__alarm *pairs = NULL; /* chained by next, last first */
    struct stook__alarm *heap = NULL;

    while (first) {
        struct stook__alarm *second = first->next;
        struct stook__alarm *rest = second ? second->next : NULL;
        first->next = NULL;
        if (second) {
            second->next = NULL;
        }
        struct stook__alarm *pair = meld(first, second);
        pair->next = pairs;
        pairs = pair;
        first = rest;
    }
    while (pairs) {
        struct stook__alarm *next = pairs->next;
        pairs->next = NULL;
        heap = meld(heap, pairs);
        pairs = next;
    }
    return heap;
}

static void heap_insert(struct stook__timer *timer, struct stook__alarm *alarm)
{
    alarm->child = NULL;
    alarm->next = NULL;
    alarm->previous = NULL;
    alarm->set = true;
    timer->heap = meld(timer->heap, alarm);
}

static void heap_remove(struct stook__timer *timer, struct stook__alarm *alarm)
{
    struct stook__alarm *below = meld_siblings(alarm->child);

    alarm->set = false;
    if (alarm == timer->heap) {
        timer->heap = below;
    } else {
        if (alarm->previous->child == alarm) {
            alarm->previous->child = alarm->next;
        } else {
            alarm->previous->next = alarm->next;
        }
        if (alarm->next) {
            alarm->next->previous = alarm->previous;
        }
        timer->heap = meld(timer->heap, below);
    }
    if (timer->heap) {
        timer->heap->previous = NULL;
        timer->heap->next = NULL;
    }
}

/* --- the thread ------------------------------------------------------------------------------- */

/* Rings what is due, but for what comes after a token that has been cancelled meanwhile: there may
 * be no end of alarms. Gives the time of the next one, or INT64_MIN to end. */
static int64_t ring_due(stook_executor *executor)
{
    struct stook__timer *timer = &executor->timer;
    int64_t next_ns = INT64_MAX;
    bool is_told = false;

    mtx_lock(&timer->mutex);
    while (!is_told && timer->heap && timer->heap->due_ns <= stook__platform_now_ns()) {
        struct stook__alarm *alarm = timer->heap;
        heap_remove(timer, alarm);
        timer->ringing = alarm;
        mtx_unlock(&timer->mutex);
        alarm->ring(alarm);
        /* order TM.told rlx: late news costs a ring */
        is_told = a_load_rlx(&timer->tokens);
        mtx_lock(&timer->mutex);
        timer->ringing = NULL;
    }
    if (timer->stopping) {
        next_ns = INT64_MIN;
    } else if (is_told) {
        next_ns = 0; /* at once */
    } else if (timer->heap) {
        next_ns = timer->heap->due_ns;
    }
    mtx_unlock(&timer->mutex);
    return next_ns;
}

static void *timer_main(void *arg)
{
    stook_executor *executor = arg;
    struct stook__timer *timer = &executor->timer;
    int64_t next_ns;

    stook__platform_bind(&executor->cpus, -1);
    stook__platform_name_thread("stook-timer");
    mtx_lock(&timer->mutex);
    timer->self = stook__platform_this_thread();
    timer->runs = true;
    mtx_unlock(&timer->mutex);
    while ((next_ns = ring_due(executor)) != INT64_MIN) {
        stook__bell_wait_until(&timer->bell, next_ns);
        /* order TM.noticed acq <- TM.tell: the token's flag is seen */
        if (a_xchg_acq(&timer->tokens, false)) {
            stook__token_sweep(executor->root, STOOK__SWEEP_CANCELLED);
        }
    }
    return NULL;
}

/* --- for others ------------------------------------------------------------------------------- */

bool stook__timer_init(stook_executor *executor)
{
    struct stook__timer *timer = &executor->timer;

    *timer = (struct stook__timer){0};
    atomic_init(&timer->tokens, false);
    if (mtx_init(&timer->mutex, mtx_plain) != thrd_success) {
        return false;
    }
    if (!stook__bell_init(&timer->bell)) {
        mtx_destroy(&timer->mutex);
        return false;
    }
    return true;
}

void stook__timer_fini(stook_executor *executor)
{
    stook__bell_fini(&executor->timer.bell);
    mtx_destroy(&executor->timer.mutex);
}

bool stook__timer_start(stook_executor *executor)
{
    struct stook__timer *timer = &executor->timer;

    mtx_lock(&timer->mutex);
    if (!timer->started && !timer->stopping) {
        timer->started = stook__platform_start_thread(timer_main, executor, 0);
    }
    bool started = timer->started;
    mtx_unlock(&timer->mutex);
    return started;
}

void stook__timer_stop(stook_executor *executor)
{
    struct stook__timer *timer = &executor->timer;

    mtx_lock(&timer->mutex);
    bool started = timer->started;
    timer->stopping = true;
    while (started && !timer->runs) { /* it is about to say who it is */
        mtx_unlock(&timer->mutex);
        thrd_yield();
        mtx_lock(&timer->mutex);
    }
    timer->started = false;
    mtx_unlock(&timer->mutex);
    if (started) {
        stook__bell_ring(&timer->bell);
        stook__platform_join_thread(timer->self);
    }
}

void stook__timer_set(stook_executor *executor, struct stook__alarm *alarm)
{
    struct stook__timer *timer = &executor->timer;

    mtx_lock(&timer->mutex);
    heap_insert(timer, alarm);
    bool is_next = timer->heap == alarm;
    mtx_unlock(&timer->mutex);
    if (is_next) {
        stook__bell_ring(&timer->bell);
    }
}

static bool is_self(const struct stook__timer *timer)
{
    return pthread_equal(stook__platform_this_thread().id, timer->self.id);
}

bool stook__timer_unset(stook_executor *executor, struct stook__alarm *alarm)
{
    struct stook__timer *timer = &executor->timer;

    mtx_lock(&timer->mutex);
    bool was_set = alarm->set;
    if (was_set) {
        heap_remove(timer, alarm);
    }
    while (timer->ringing == alarm && !is_self(timer)) {
        mtx_unlock(&timer->mutex);
        thrd_yield();
        mtx_lock(&timer->mutex);
    }
    mtx_unlock(&timer->mutex);
    return was_set;
}

void stook__timer_tell(stook_executor *executor)
{
    /* order TM.tell rel -> TM.noticed: after the token's flag */
    a_store_rel(&executor->timer.tokens, true);
    stook__bell_ring(&executor->timer.bell);
}
