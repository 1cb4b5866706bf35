/* SPDX-License-Identifier: MIT
 *
 * All that C11 does not have, or has too slow: the only door of lib/ to the operating system.
 * platform_linux.c or its twin platform_portable.c (C11 and POSIX) implements it, exactly one of
 * them is built; what they would have in common is platform_posix.c.
 */
#ifndef STOOK_PLATFORM_H
#define STOOK_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>
#include <threads.h>
#include "atomics.h"
#include "config.h"

#define STOOK_CACHE_LINE 64

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

/* Starts a thread that blocks all signals but those that its own faults raise. False if the system
 * refuses. */
bool stook__platform_start_thread(thrd_t *ret_handle, thrd_start_t fn, void *arg);

/* Names the calling thread; at most 15 bytes are shown. Does nothing where it cannot be done. */
void stook__platform_name_thread(const char *name);

/* CPUs that this process may use, at least 1. */
unsigned stook__platform_cpu_count(void);

int64_t stook__platform_now_ns(void);

/* Tells the CPU that this is a spin loop. */
static inline void stook__platform_pause(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#elif defined __aarch64__ || defined __arm__
    __asm__ __volatile__("yield");
#endif
}

#endif
