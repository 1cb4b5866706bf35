/* SPDX-License-Identifier: MIT
 *
 * Does the checker itself know C11's memory? Small programs with known outcomes: exactly those that
 * RC11 allows must be seen.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <threads.h>
#include "model.h"

static atomic_int x;
static atomic_int y;
static int got[4];
static mtx_t mutex;
static unsigned seen; /* outcomes, one bit for each */

enum { RLX = memory_order_relaxed, ACQ = memory_order_acquire, REL = memory_order_release };

static void put(atomic_int *place, int value, int order)
{
    atomic_store_explicit(place, value, order);
}

static int get(atomic_int *place, int order)
{
    return atomic_load_explicit(place, order);
}

static void fence(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}

static void pair(void (*first)(void *), void (*second)(void *))
{
    atomic_init(&x, 0);
    atomic_init(&y, 0);
    model_start(first, NULL);
    model_start(second, NULL);
    model_join();
}

/* 0 .. 3: what the two have read. */
static void note(int first, int second)
{
    seen |= 1U << (first * 2 + second);
}

#define THREAD(name, ...)                                                                          \
    static void name(void *arg)                                                                    \
    {                                                                                              \
        (void)arg;                                                                                 \
        __VA_ARGS__                                                                                \
    }

THREAD(sb_x, put(&x, 1, RLX); got[0] = get(&y, RLX);)
THREAD(sb_y, put(&y, 1, RLX); got[1] = get(&x, RLX);)
THREAD(sb_fence_x, put(&x, 1, RLX); fence(); got[0] = get(&y, RLX);)
THREAD(sb_fence_y, put(&y, 1, RLX); fence(); got[1] = get(&x, RLX);)
THREAD(mp_send, put(&x, 1, RLX); put(&y, 1, RLX);)
THREAD(mp_send_rel, put(&x, 1, RLX); put(&y, 1, REL);)
THREAD(mp_send_fence, put(&x, 1, RLX); fence(); put(&y, 1, RLX);)
THREAD(mp_send_over, put(&x, 1, RLX); put(&y, 2, REL); put(&y, 1, RLX);)
THREAD(mp_send_add, put(&x, 1, RLX); put(&y, 2, REL); atomic_fetch_sub_explicit(&y, 1, RLX);)
THREAD(mp_get, got[0] = get(&y, RLX) == 1; got[1] = get(&x, RLX);)
THREAD(mp_get_acq, got[0] = get(&y, ACQ) == 1; got[1] = get(&x, RLX);)
THREAD(mp_get_fence, got[0] = get(&y, RLX) == 1; fence(); got[1] = get(&x, RLX);)
THREAD(mp_swap, got[0] = get(&y, RLX) == 1; got[1] = atomic_exchange_explicit(&x, 2, RLX);)
THREAD(mp_swap_acq, got[0] = get(&y, ACQ) == 1; got[1] = atomic_exchange_explicit(&x, 2, RLX);)
THREAD(mp_cas, got[0] = get(&y, RLX) == 1; int old = 0;
       got[1] = !atomic_compare_exchange_strong_explicit(&x, &old, 2, RLX, RLX);)
THREAD(lb_x, got[0] = get(&y, RLX); put(&x, 1, RLX);)
THREAD(lb_y, got[1] = get(&x, RLX); put(&y, 1, RLX);)
THREAD(co_put, put(&x, 1, RLX); put(&x, 2, RLX);)
THREAD(co_get, int a = get(&x, RLX); int b = get(&x, RLX); got[0] = a > b; got[1] = a != b;)
THREAD(ww_x, put(&x, 1, RLX); put(&y, 2, RLX);)
THREAD(ww_y, put(&y, 1, RLX); put(&x, 2, RLX);)
THREAD(ww_rel_x, put(&x, 1, RLX); put(&y, 2, REL);)
THREAD(ww_fence_x, put(&x, 1, RLX); fence(); put(&y, 2, RLX);)
THREAD(ww_fence_y, put(&y, 1, RLX); fence(); put(&x, 2, RLX);)
THREAD(add, atomic_fetch_add_explicit(&x, 1, RLX);)
THREAD(swap_x, int old = 0;
       got[0] = atomic_compare_exchange_strong_explicit(&x, &old, 1, RLX, RLX);)
THREAD(swap_y, int old = 0;
       got[1] = atomic_compare_exchange_strong_explicit(&x, &old, 1, RLX, RLX);)
THREAD(put_x, put(&x, 1, REL);)
THREAD(put_y, put(&y, 1, REL);)
THREAD(iriw_x, int a = get(&x, ACQ); got[0] = a && !get(&y, ACQ);)
THREAD(iriw_y, int a = get(&y, ACQ); got[1] = a && !get(&x, ACQ);)
THREAD(iriw_fence_x, int a = get(&x, ACQ); fence(); got[0] = a && !get(&y, RLX);)
THREAD(iriw_fence_y, int a = get(&y, ACQ); fence(); got[1] = a && !get(&x, RLX);)
THREAD(locked, mtx_lock(&mutex); got[0]++; mtx_unlock(&mutex);)
THREAD(spin_get, while (!get(&y, ACQ)) model_yield(); got[0] = 1; got[1] = get(&x, RLX);)

static void four(void (*first)(void *), void (*second)(void *))
{
    atomic_init(&x, 0);
    atomic_init(&y, 0);
    model_start(put_x, NULL);
    model_start(put_y, NULL);
    model_start(first, NULL);
    model_start(second, NULL);
    model_join();
}

#define RUN(name, how)                                                                             \
    static void name(void)                                                                         \
    {                                                                                              \
        got[0] = got[1] = 0;                                                                       \
        how;                                                                                       \
        note(got[0], got[1]);                                                                      \
    }

RUN(sb, pair(sb_x, sb_y))
RUN(sb_fences, pair(sb_fence_x, sb_fence_y))
RUN(sb_one_fence, pair(sb_fence_x, sb_y))
RUN(mp, pair(mp_send, mp_get))
RUN(mp_rel, pair(mp_send_rel, mp_get))
RUN(mp_acq, pair(mp_send, mp_get_acq))
RUN(mp_both, pair(mp_send_rel, mp_get_acq))
RUN(mp_fence_acq, pair(mp_send_fence, mp_get_acq))
RUN(mp_rel_fence, pair(mp_send_rel, mp_get_fence))
RUN(mp_swap_late, pair(mp_send_rel, mp_swap))
RUN(mp_swap_both, pair(mp_send_rel, mp_swap_acq))
RUN(mp_cas_late, pair(mp_send_rel, mp_cas))
RUN(mp_over, pair(mp_send_over, mp_get_acq))
RUN(mp_add, pair(mp_send_add, mp_get_acq))
RUN(mp_spin, pair(mp_send_rel, spin_get))
RUN(lb, pair(lb_x, lb_y))
RUN(coherence, pair(co_put, co_get))
static void finals(void)
{
    got[0] = get(&x, RLX) == 1;
    got[1] = get(&y, RLX) == 1;
}

RUN(ww, pair(ww_x, ww_y); finals())
RUN(ww_rel, pair(ww_rel_x, ww_y); finals())
RUN(ww_fences, pair(ww_fence_x, ww_fence_y); finals())
RUN(adds, pair(add, add); got[0] = atomic_load(&x) == 2)
RUN(swaps, pair(swap_x, swap_y))
RUN(iriw, four(iriw_x, iriw_y))
RUN(iriw_fences, four(iriw_fence_x, iriw_fence_y))
RUN(locks, mtx_init(&mutex, mtx_plain); pair(locked, locked); got[0] = got[0] == 2)

/* outcomes: 1: both read 0; 2: only the second read 1; 4: only the first; 8: both */
static const struct {
    struct model model;
    unsigned outcomes;
} tests[] = {
    {{"sb", sb, 9, 0, 99999, 0}, 1 | 2 | 4 | 8},
    {{"sb_fences", sb_fences, 9, 0, 99999, 0}, 2 | 4 | 8},
    {{"sb_one_fence", sb_one_fence, 9, 0, 99999, 0}, 1 | 2 | 4 | 8},
    {{"mp", mp, 9, 0, 99999, 0}, 1 | 2 | 4 | 8},
    {{"mp_rel", mp_rel, 9, 0, 99999, 0}, 1 | 2 | 4 | 8},
    {{"mp_acq", mp_acq, 9, 0, 99999, 0}, 1 | 2 | 4 | 8},
    {{"mp_both", mp_both, 9, 0, 99999, 0}, 1 | 2 | 8},
    {{"mp_fence_acq", mp_fence_acq, 9, 0, 99999, 0}, 1 | 2 | 8},
    {{"mp_rel_fence", mp_rel_fence, 9, 0, 99999, 0}, 1 | 2 | 8},
    {{"mp_swap_late", mp_swap_late, 9, 0, 99999, 0}, 1 | 2 | 4 | 8},
    {{"mp_swap_both", mp_swap_both, 9, 0, 99999, 0}, 1 | 2 | 8},
    {{"mp_cas_late", mp_cas_late, 9, 0, 99999, 0}, 1 | 2 | 4 | 8},
    {{"mp_over", mp_over, 9, 0, 99999, 0}, 1 | 2 | 4 | 8},
    {{"mp_add", mp_add, 9, 0, 99999, 0}, 1 | 2 | 8},
    {{"mp_spin", mp_spin, 9, 0, 99999, 0}, 8},
    {{"lb", lb, 9, 0, 99999, 0}, 1 | 2 | 4},
    {{"coherence", coherence, 9, 0, 99999, 0}, 1 | 2},
    {{"ww", ww, 9, 0, 99999, 0}, 1 | 2 | 4 | 8},
    {{"ww_rel", ww_rel, 9, 0, 99999, 0}, 1 | 2 | 4 | 8},
    {{"ww_fences", ww_fences, 9, 0, 99999, 0}, 1 | 2 | 4},
    {{"adds", adds, 9, 0, 99999, 0}, 4},
    {{"swaps", swaps, 9, 0, 99999, 0}, 2 | 4},
    {{"iriw", iriw, 9, 0, 99999, 0}, 1 | 2 | 4 | 8},
    {{"iriw_fences", iriw_fences, 9, 0, 99999, 0}, 1 | 2 | 4},
    {{"locks", locks, 9, 0, 99999, 0}, 4},
};

int main(int argc, char **argv)
{
    int wrong = 0;

    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        seen = 0;
        wrong += model_main(argc, argv, &tests[i].model, 1);
        if (seen != tests[i].outcomes) {
            printf("%s: FAILED: outcomes %x, expected %x\n", tests[i].model.name, seen,
                   tests[i].outcomes);
            wrong++;
        }
    }
    return wrong > 0;
}
