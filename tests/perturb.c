/* SPDX-License-Identifier: MIT
 *
 * Delays at random before atomic operations (-Dperturb=true; perturb.h), so that schedules are met
 * which a quiet machine shows once in a year. Each thread has moods, one after the other: for some
 * hundred operations it does not delay at all, or pauses, yields or sleeps now and then.
 *
 * The seed is $STOOK_PERTURB_SEED; without, it is made of the time, and said first of all. With one
 * seed the n-th thread delays in the same way; the system still has its part in the schedule.
 */
#define _GNU_SOURCE /* for sched_yield(), setenv() */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Not those of this file. */
#undef STOOK__DELAYED
#define STOOK__DELAYED(operation) operation

/* Of 1024 operations, how many are delayed, and how. */
struct mood {
    unsigned pauses, yields, sleeps;
};

enum { LONGEST_MOOD = 512, MOST_PAUSES = 64, LONGEST_SLEEP_NS = 50000 };

static uint64_t seed;
static atomic_uint threads; /* that have delayed something */

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

__attribute__((constructor)) static void choose_seed(void)
{
    static const char name[] = "STOOK_PERTURB_SEED";
    const char *text = getenv(name);
    char digits[24];

    if (text) {
        seed = strtoull(text, NULL, 0);
    } else {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        seed = mix((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec) >> 32;
        snprintf(digits, sizeof digits, "%llu", (unsigned long long)seed);
        setenv(name, digits, 1); /* for processes that are started, and a second copy of this */
        fprintf(stderr, "%s=%s\n", name, digits);
    }
}

static void pause_often(unsigned count)
{
    for (volatile unsigned i = 0; i < 8 * count; i++) {
    }
}

static void sleep_shortly(long duration_ns)
{
    const struct timespec duration = {0, duration_ns};
    const int error = errno;

    (void)nanosleep(&duration, NULL);
    errno = error;
}

void stook__perturb(void)
{
    static const struct mood moods[] = {
        {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {16, 4, 0}, {256, 0, 0}, {16, 64, 1}, {16, 4, 16},
    };
    static _Thread_local uint64_t state;
    static _Thread_local unsigned left; /* of the mood */
    static _Thread_local struct mood mood;

    if (state == 0) {
        state = mix(seed + 0x9e3779b9u * (uint64_t)(1 + atomic_fetch_add(&threads, 1))) | 1;
    }
    const uint64_t random = mix(state += UINT64_C(0x9e3779b97f4a7c15));
    if (left-- == 0) {
        left = 1 + (random >> 32) % LONGEST_MOOD;
        mood = moods[(random >> 48) % (sizeof moods / sizeof moods[0])];
    }
    const unsigned die = random % 1024;
    if (die < mood.sleeps) {
        sleep_shortly((long)(1 + (random >> 16) % LONGEST_SLEEP_NS));
    } else if (die < mood.sleeps + mood.yields) {
        (void)sched_yield();
    } else if (die < mood.sleeps + mood.yields + mood.pauses) {
        pause_often(1 + (unsigned)(random >> 16) % MOST_PAUSES);
    }
}
