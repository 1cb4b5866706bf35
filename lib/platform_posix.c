/* SPDX-License-Identifier: MIT
 *
 * The operating system's part that both platforms share: POSIX threads, signals and clocks.
 */
#define _POSIX_C_SOURCE 200809L
#include "platform.h"
#include <signal.h>
#include <time.h>

enum { NS_PER_S = 1000000000 };

/* Tasks that wait run others on top: the 128 KiB of musl are too little for that. */
#define LEAST_DEFAULT ((size_t)1 << 20)

/* False also if the stack size is too small. */
static bool attributes_init(pthread_attr_t *attributes, size_t stack_size)
{
    size_t usual = 0;

    if (pthread_attr_init(attributes) != 0) {
        return false;
    }
    if (stack_size == 0 && pthread_attr_getstacksize(attributes, &usual) == 0 &&
        usual < LEAST_DEFAULT) {
        stack_size = LEAST_DEFAULT;
    }
    if (stack_size == 0 || pthread_attr_setstacksize(attributes, stack_size) == 0) {
        return true;
    }
    pthread_attr_destroy(attributes);
    return false;
}

bool stook__platform_start_thread(void *(*fn)(void *arg), void *arg, size_t stack_size)
{
    /* Those that a fault in the thread itself raises cannot be handled elsewhere. */
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    pthread_attr_t attributes;
    pthread_t id; /* not given away: the thread may have been joined before this returns */
    sigset_t others;
    sigset_t old;

    if (!attributes_init(&attributes, stack_size)) {
        return false;
    }
    sigfillset(&others);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        sigdelset(&others, own[i]);
    }
    pthread_sigmask(SIG_SETMASK, &others, &old);
    bool started = pthread_create(&id, &attributes, fn, arg) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

bool stook__platform_is_stack_size(size_t stack_size)
{
    pthread_attr_t attributes;

    if (pthread_attr_init(&attributes) != 0) {
        return true; /* for all that is known; starting a thread will tell */
    }
    bool is_good = pthread_attr_setstacksize(&attributes, stack_size) == 0;
    pthread_attr_destroy(&attributes);
    return is_good;
}

struct stook__handle stook__platform_this_thread(void)
{
    return (struct stook__handle){pthread_self()};
}

void stook__platform_join_thread(struct stook__handle handle)
{
    pthread_join(handle.id, NULL);
}

int64_t stook__platform_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}
