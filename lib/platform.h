/* SPDX-License-Identifier: MIT
 *
 * All that C11 does not have, or has too slow: the only door of lib/ to the operating system.
 * platform_linux.c or its twin platform_portable.c (C11 and POSIX) implements it, exactly one of
 * them is built; what they would have in common is platform_posix.c.
 */
#ifndef STOOK_PLATFORM_H
#define STOOK_PLATFORM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <threads.h>
#include "atomics.h"
#include "config.h"

#define STOOK_CACHE_LINE 64

/* For what each thread has of its own. A shared library would find it by a call each time; like
 * this it takes some tens of bytes of the room that the loader of glibc keeps for libraries that
 * are loaded late. */
#if defined STOOK_MODEL /* tests/model: its threads are coroutines, which change this section */
#define STOOK_THREAD_LOCAL __attribute__((section("model_tls")))
#elif defined __GNUC__ && defined __GLIBC__
#define STOOK_THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))
#else
#define STOOK_THREAD_LOCAL _Thread_local
#endif

/* As many CPUs as Linux can be built for today: 8192. */
#define STOOK_CPU_WORDS (8192 / 8 / sizeof(unsigned long))

/* An event: one thread waits for it, another sets it, once; then it may be reset.
 *
 * Setting it is the setter's last touch of the memory: the waiter may free it as soon as a wait has
 * returned true (README.md, "Last touch"). All that the setter wrote before is visible then. */
struct stook__event {
#if STOOK_PLATFORM_LINUX
    _Atomic(uint32_t) word; /* EVENT_UNSET, EVENT_SET, EVENT_SLEPT_ON */
#else
    mtx_t mutex; /* guards is_set */
    cnd_t changed;
    bool is_set;
#endif
};

/* False if the system refuses a mutex or condition variable (never on Linux). */
bool stook__event_init(struct stook__event *event);
void stook__event_fini(struct stook__event *event);
/* Only when nobody waits for it and nobody can be about to set it. */
void stook__event_reset(struct stook__event *event);
void stook__event_set(struct stook__event *event);
/* Returns true when it is set, false when the deadline has passed first. */
bool stook__event_wait_until(struct stook__event *event, int64_t deadline_ns);

/* A bell: one thread waits for it, again and again; any others ring it, whom a signal handler may
 * be among. Rings before a wait returns count as one. All that a ringer wrote before is visible to
 * the wait that its ring ends. */
struct stook__bell {
#if STOOK_PLATFORM_LINUX
    _Atomic(uint32_t) word; /* BELL_QUIET, BELL_RUNG, BELL_SLEPT_ON */
#else
    _Atomic(uint32_t) rung; /* not yet told to the waiter: 0 or 1 */
    int read_end;           /* of a pipe, both ends non-blocking */
    int write_end;
#endif
};

/* False if the system refuses a pipe (never on Linux). */
bool stook__bell_init(struct stook__bell *bell);
/* Only when nobody waits and nobody can ring any more. */
void stook__bell_fini(struct stook__bell *bell);
/* Any thread, and signal handlers: takes no lock, never blocks, leaves errno alone. */
void stook__bell_ring(struct stook__bell *bell);
/* Returns true if it was rung since the last wait that returned true, at once or when it is; false
 * when the deadline has passed first. One thread at a time. */
bool stook__bell_wait_until(struct stook__bell *bell, int64_t deadline_ns);

/* A thread, for the one who joins it. POSIX threads, since C11's have neither a stack size nor
 * affinity. */
struct stook__handle {
    pthread_t id;
};

/* Starts a thread that blocks all signals but those that its own faults raise; stack_size 0: the
 * system's default. False if the system refuses. */
bool stook__platform_start_thread(void *(*fn)(void *arg), void *arg, size_t stack_size);

/* Whether threads may have stacks of this size, which is not 0. */
bool stook__platform_is_stack_size(size_t stack_size);

/* The calling thread's. */
struct stook__handle stook__platform_this_thread(void);

/* Waits until the thread has ended. Once for each thread that was started. */
void stook__platform_join_thread(struct stook__handle handle);

/* Names the calling thread; at most 15 bytes are shown. Does nothing where it cannot be done. */
void stook__platform_name_thread(const char *name);

/* The CPUs that a thread may use; none where that cannot be known. */
struct stook__cpus {
    unsigned count;
#if STOOK_PLATFORM_LINUX
    unsigned long mask[STOOK_CPU_WORDS];
#endif
};

/* Those of the calling thread. */
void stook__platform_get_cpus(struct stook__cpus *ret_cpus);

/* Binds the calling thread to all of them (index negative), or to the one with this index, modulo
 * their number. Does nothing if there are none; a refusal is no harm. */
void stook__platform_bind(const struct stook__cpus *cpus, int index);

/* CPUs that the calling thread may use, at least 1: its affinity mask, and its cgroup's quota
 * rounded up. Portable: the CPUs online. */
unsigned stook__platform_cpu_count(void);

int64_t stook__platform_now_ns(void);

/* Whether stook__platform_fence_all() can be had in this process; asks the system for it. */
bool stook__platform_can_fence_all(void);

/* Every thread of the process passes a full fence at some moment during the call. Only after
 * stook__platform_can_fence_all() has answered true. */
void stook__platform_fence_all(void);

/* Fetches a cache line that will be written, so that it need not be asked for twice. */
static inline void stook__platform_prefetch(const void *memory)
{
#if defined __x86_64__
    /* The compiler's own falls back to a mere read; where the CPU lacks this one it does nothing.
     */
    __asm__ __volatile__("prefetchw %0" : : "m"(*(const char *)memory));
#elif defined __GNUC__
    __builtin_prefetch(memory, 1);
#else
    (void)memory;
#endif
}

/* How often something is tried before something costlier is done; and in a model, where all that can
 * happen in between happens. */
#if defined STOOK_MODEL
#define STOOK_TIMES(usual, in_model) (in_model)
#else
#define STOOK_TIMES(usual, in_model) (usual)
#endif

/* Tells the CPU that this is a spin loop. */
static inline void stook__platform_pause(void)
{
#if defined STOOK_MODEL
    thrd_yield();
#elif defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__ || defined __arm__
    __asm__ __volatile__("yield");
#endif
}

#endif
