/* SPDX-License-Identifier: MIT
 *
 * Small helpers that behaviour tests and stress programs share: gates that hold tasks, creation and
 * submission that abort when they fail (so that they may be used in any thread), the number of
 * threads of this process, and random numbers with a seed that is printed first.
 */
#ifndef STOOK_TESTS_SUPPORT_H
#define STOOK_TESTS_SUPPORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <threads.h>
#include <time.h>

#include <stook/stook.h>

#if defined __has_feature
#define CLANG_FEATURE(name) __has_feature(name)
#else
#define CLANG_FEATURE(name) 0
#endif
#if defined __SANITIZE_THREAD__ || CLANG_FEATURE(thread_sanitizer)
#define UNDER_TSAN true
#else
#define UNDER_TSAN false
#endif
#if defined __SANITIZE_ADDRESS__ || CLANG_FEATURE(address_sanitizer)
#define UNDER_ASAN true
#else
#define UNDER_ASAN false
#endif
#if CLANG_FEATURE(memory_sanitizer)
#define UNDER_MSAN true
#else
#define UNDER_MSAN false
#endif

#define MILLISECOND INT64_C(1000000)
#define SECOND INT64_C(1000000000)

/* Aborts with a message unless the condition holds; for helper threads, tasks and stress programs,
 * where cr_assert must not be used. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#define SPIN_UNTIL(condition)                                                                      \
    do {                                                                                           \
        unsigned spin_rounds_ = 0;                                                                 \
        while (!(condition)) {                                                                     \
            spin_pause(&spin_rounds_);                                                             \
        }                                                                                          \
    } while (0)

/* Lets others run: yields at first, and sleeps when that has not helped for long. */
static inline void spin_pause(unsigned *rounds)
{
    const struct timespec moment = {0, 100000};

    if (++*rounds < 100) {
        thrd_yield();
    } else {
        (void)thrd_sleep(&moment, NULL);
    }
}

/* Gives other threads a chance to get somewhere; nothing may depend on it. */
static inline void give_a_chance(void)
{
    const struct timespec moment = {0, 3 * MILLISECOND};

    (void)thrd_sleep(&moment, NULL);
}

/* Holds the tasks that pass through it until it is opened, and counts them. Starts as {0}. */
struct gate {
    atomic_int arrived;
    atomic_bool open;
};

static inline void gate_pass(struct gate *gate)
{
    atomic_fetch_add(&gate->arrived, 1);
    SPIN_UNTIL(atomic_load(&gate->open));
}

static inline void gate_await(struct gate *gate, int count)
{
    SPIN_UNTIL(atomic_load(&gate->arrived) >= count);
}

static inline void gate_open(struct gate *gate)
{
    atomic_store(&gate->open, true);
}

/* Tasks: one that stays in the gate `arg`, one that counts its runs in the atomic_int `arg`. */
static inline int gate_task(void *arg, void **ret_value)
{
    (void)ret_value;
    gate_pass(arg);
    return 0;
}

static inline int count_task(void *arg, void **ret_value)
{
    atomic_int *runs = arg;

    (void)ret_value;
    atomic_fetch_add(runs, 1);
    return 0;
}

static inline stook_executor *must_create(unsigned workers)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = NULL;

    options.workers = workers;
    MUST(stook_executor_create(&options, &executor) == STOOK_OK);
    return executor;
}

static inline stook_future *must_submit(stook_executor *executor, stook_task_fn *fn, void *arg)
{
    stook_future *future = NULL;

    MUST(stook_executor_submit(executor, fn, arg, &future) == STOOK_OK);
    MUST(future != NULL);
    return future;
}

static inline void must_start(thrd_t *ret_thread, thrd_start_t start, void *arg)
{
    MUST(thrd_create(ret_thread, start, arg) == thrd_success);
}

static inline void release_all(stook_future *futures[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        stook_future_release(futures[i]);
    }
}

/* The number of threads of this process (Linux), or -1. */
static inline int thread_count(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    int count = -1;

    if (file == NULL) {
        return -1;
    }
    while (count < 0 && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "Threads: %d", &count) != 1) {
            count = -1;
        }
    }
    fclose(file);
    return count;
}

/* Has this process `expected` threads? A thread that has been joined may be seen a little longer,
 * so this asks again for a while. */
static inline bool thread_count_becomes(int expected)
{
    const int64_t end = stook_now_ns() + 5 * SECOND;
    unsigned rounds = 0;

    while (thread_count() != expected) {
        if (stook_now_ns() > end) {
            return false;
        }
        spin_pause(&rounds);
    }
    return true;
}

static inline int count_other_threads(void *ret_count)
{
    *(int *)ret_count = thread_count() - 1;
    return 0;
}

/* The number of threads before a test creates any; counted in a thread, since a sanitizer may add
 * one of its own when the first is created. */
static inline int thread_count_at_first(void)
{
    thrd_t thread;
    int count = -1;

    must_start(&thread, count_other_threads, &count);
    thrd_join(thread, NULL);
    return thread_count_becomes(count) ? count : -1;
}
/* The next number of a splitmix64 sequence; *state is the seed. */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline unsigned random_below(uint64_t *state, unsigned bound)
{
    return (unsigned)(random_next(state) % bound);
}

/* The seed of a stress program: its argument, else $STOOK_SEED, else the time. Prints it. */
static inline uint64_t stress_seed(int argc, char **argv)
{
    const char *text = argc > 1 ? argv[1] : getenv("STOOK_SEED");
    uint64_t seed;

    if (text != NULL) {
        seed = strtoull(text, NULL, 0);
    } else {
        struct timespec now;

        timespec_get(&now, TIME_UTC);
        seed = (uint64_t)now.tv_sec * 1000000007u + (uint64_t)now.tv_nsec;
    }
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    return seed;
}

/* `count` times $STOOK_STRESS_SCALE (a decimal number, 1 by default), at least 1. */
static inline unsigned stress_scaled(unsigned count)
{
    const char *text = getenv("STOOK_STRESS_SCALE");
    const double scaled = (double)count * (text != NULL ? strtod(text, NULL) : 1.0);

    return scaled < 1.0 ? 1 : (unsigned)scaled;
}

#endif
