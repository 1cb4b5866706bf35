/* SPDX-License-Identifier: MIT
 *
 * The bell of platform.h: what a wait answers, that rings count as one, that none is lost, and
 * that signal handlers may ring it wherever they interrupt.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "check.h"
#include "platform.h"
#include "support.h"

enum { ROUNDS = 20000 };

static struct stook__bell bell;

static void make_bell(void)
{
    cr_assert(stook__bell_init(&bell));
}

static void drop_bell(void)
{
    stook__bell_fini(&bell);
}

#define BELL_TEST(name) Test(bell, name, .init = make_bell, .fini = drop_bell, .timeout = 60)

BELL_TEST(rings_before_a_wait_count_as_one)
{
    cr_assert_not(stook__bell_wait_until(&bell, 0));
    stook__bell_ring(&bell);
    cr_assert(stook__bell_wait_until(&bell, STOOK_FOREVER));
    cr_assert_not(stook__bell_wait_until(&bell, 0));
    for (int i = 0; i < 3; i++) {
        stook__bell_ring(&bell);
    }
    cr_assert(stook__bell_wait_until(&bell, 0), "a poll sees it as well");
    cr_assert_not(stook__bell_wait_until(&bell, stook_deadline_after_ns(MILLISECOND)));
}

BELL_TEST(a_deadline_is_not_cut_short)
{
    const int64_t past[] = {INT64_MIN, -1, 0, 1, stook_now_ns()};

    for (size_t i = 0; i < sizeof past / sizeof past[0]; i++) {
        cr_assert_not(stook__bell_wait_until(&bell, past[i]));
    }
    for (int i = 1; i <= 5; i++) {
        const int64_t deadline = stook_deadline_after_ns(i * MILLISECOND + 1);

        cr_assert_not(stook__bell_wait_until(&bell, deadline));
        cr_assert_geq(stook_now_ns(), deadline);
        stook__bell_ring(&bell); /* after a wait that timed out */
        cr_assert(stook__bell_wait_until(&bell, deadline));
    }
}

BELL_TEST(a_waiter_uses_no_cpu)
{
    struct timespec before;
    struct timespec after;

    cr_assert_eq(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before), 0);
    cr_assert_not(stook__bell_wait_until(&bell, stook_deadline_after_ns(SECOND / 5)));
    cr_assert_eq(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after), 0);
    cr_assert_lt((after.tv_sec - before.tv_sec) * SECOND + after.tv_nsec - before.tv_nsec,
                 SECOND / 50);
}

/* As many rings as would fill a pipe, with nobody there to hear them (CPython's gh-105829). */
BELL_TEST(ringing_never_blocks_and_leaves_errno_alone)
{
    for (int i = 0; i < 200000; i++) {
        errno = 77;
        stook__bell_ring(&bell);
        cr_assert_eq(errno, 77);
    }
    cr_assert(stook__bell_wait_until(&bell, 0));
    cr_assert_not(stook__bell_wait_until(&bell, 0));
}

/* --- a waiter in a thread of its own ---------------------------------------------------------- */

/* What a ringer writes before it rings, and what the waiter has heard of it. */
static int plain;          /* seen through the bell */
static bool without_plain; /* rings overlap, or the one who wrote does not ring */
static atomic_int written, heard, rings;
static atomic_bool waiter_began, over;
static pthread_t waiter;

/* Answers every ring by copying what the ringer wrote. */
static void *waiter_thread(void *arg)
{
    const int64_t patience = *(const int64_t *)arg;

    atomic_store(&waiter_began, true);
    while (!atomic_load(&over)) {
        const int64_t deadline =
            patience == STOOK_FOREVER ? STOOK_FOREVER : stook_deadline_after_ns(patience);

        if (stook__bell_wait_until(&bell, deadline)) {
            const int number = atomic_load_explicit(&written, memory_order_relaxed);

            MUST(without_plain || atomic_load(&over) || plain == number);
            atomic_store(&heard, number);
        }
    }
    return NULL;
}

static void start_waiter(int64_t *patience)
{
    MUST(pthread_create(&waiter, NULL, waiter_thread, patience) == 0);
    SPIN_UNTIL(atomic_load(&waiter_began));
}

static void end_waiter(void)
{
    atomic_store(&over, true);
    stook__bell_ring(&bell);
    MUST(pthread_join(waiter, NULL) == 0);
}

/* Rings one after the other, each of which must be heard before the next; now and then so late that
 * the waiter sleeps. */
static void ring_rounds(void (*ring)(void))
{
    uint64_t random = 3;

    for (int i = 1; i <= ROUNDS; i++) {
        if (i % 1000 == 0) {
            give_a_chance();
        }
        for (unsigned k = random_below(&random, 200); k > 0; k--) {
            stook__platform_pause();
        }
        if (!without_plain) {
            plain = i;
        }
        atomic_store_explicit(&written, i, memory_order_relaxed);
        ring();
        SPIN_UNTIL(atomic_load(&heard) == i);
    }
}

static void expect_each_ring_heard(int64_t patience, void (*ring)(void))
{
    start_waiter(&patience);
    ring_rounds(ring);
    end_waiter();
}

static void ring_once(void)
{
    stook__bell_ring(&bell);
}

BELL_TEST(no_ring_is_lost)
{
    expect_each_ring_heard(STOOK_FOREVER, ring_once);
}

/* Of some rings in a row any may be heard for those before it, but the last must be. */
BELL_TEST(no_ring_is_lost_when_another_comes_before_it_is_heard)
{
    int64_t patience = STOOK_FOREVER;
    int number = 0;

    without_plain = true;
    start_waiter(&patience);
    for (int i = 0; i < 5 * ROUNDS; i++) {
        for (int k = i % 4; k >= 0; k--) {
            atomic_store_explicit(&written, ++number, memory_order_relaxed);
            stook__bell_ring(&bell);
        }
        SPIN_UNTIL(atomic_load(&heard) == number);
    }
    end_waiter();
}

BELL_TEST(no_ring_is_lost_when_deadlines_pass_meanwhile)
{
    expect_each_ring_heard(20000, ring_once);
}

/* --- signal handlers -------------------------------------------------------------------------- */

static void ring_in_handler(int signal_number)
{
    (void)signal_number;
    const int saved = errno;
    errno = 78;
    stook__bell_ring(&bell);
    if (errno != 78) {
        abort();
    }
    errno = saved;
    atomic_fetch_add(&rings, 1);
}

static void handle(int signal_number, int flags)
{
    struct sigaction action = {.sa_handler = ring_in_handler, .sa_flags = flags};

    sigemptyset(&action.sa_mask);
    MUST(sigaction(signal_number, &action, NULL) == 0);
}

static void raise_signal(void)
{
    MUST(raise(SIGUSR1) == 0);
}

BELL_TEST(a_signal_handler_rings_for_another_thread)
{
    handle(SIGUSR1, 0);
    expect_each_ring_heard(STOOK_FOREVER, raise_signal);
    cr_assert_eq(atomic_load(&rings), ROUNDS);
}

static void signal_the_waiter(void)
{
    MUST(pthread_kill(waiter, SIGUSR1) == 0);
}

/* ThreadSanitizer keeps a signal back until the thread calls something that it intercepts. */
#if defined __SANITIZE_THREAD__
#define INTERRUPTED_PATIENCE MILLISECOND
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define INTERRUPTED_PATIENCE MILLISECOND
#endif
#endif
#ifndef INTERRUPTED_PATIENCE
#define INTERRUPTED_PATIENCE STOOK_FOREVER
#endif

/* The handler runs in the waiting thread, wherever in the wait that is. */
BELL_TEST(a_signal_handler_rings_for_the_thread_that_it_interrupts)
{
    without_plain = true;
    for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
        handle(SIGUSR1, flags);
        atomic_store(&over, false);
        atomic_store(&waiter_began, false);
        atomic_store(&heard, 0);
        expect_each_ring_heard(INTERRUPTED_PATIENCE, signal_the_waiter);
    }
}

/* Signals the waiter and the one who rings in turn. */
static void *signals_thread(void *arg)
{
    while (!atomic_load(&over)) {
        MUST(pthread_kill(*(pthread_t *)arg, SIGUSR1) == 0);
        thrd_yield();
        MUST(pthread_kill(waiter, SIGUSR1) == 0);
        thrd_yield();
    }
    return NULL;
}

/* Handlers interrupt both the one who rings and the one who waits, also inside a ring. */
BELL_TEST(signal_handlers_ring_while_threads_ring)
{
    pthread_t ringer = pthread_self();
    pthread_t signals;
    int64_t patience = INTERRUPTED_PATIENCE;

    handle(SIGUSR1, SA_RESTART);
    without_plain = true;
    start_waiter(&patience);
    MUST(pthread_create(&signals, NULL, signals_thread, &ringer) == 0);
    ring_rounds(ring_once);
    atomic_store(&over, true);
    MUST(pthread_join(signals, NULL) == 0);
    end_waiter();
    cr_assert_gt(atomic_load(&rings), 0);
}
