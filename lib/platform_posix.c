/* SPDX-License-Identifier: MIT
 *
 * The operating system's part that both platforms share: POSIX signals and clocks.
 */
#define _POSIX_C_SOURCE 200809L
#include "platform.h"
#include <signal.h>
#include <time.h>

enum { NS_PER_S = 1000000000 };

bool stook__platform_start_thread(thrd_t *ret_handle, thrd_start_t fn, void *arg)
{
    /* Those that a fault in the thread itself raises cannot be handled elsewhere. */
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t others;
    sigset_t old;

    sigfillset(&others);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        sigdelset(&others, own[i]);
    }
    pthread_sigmask(SIG_SETMASK, &others, &old);
    bool started = thrd_create(ret_handle, fn, arg) == thrd_success;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return started;
}

int64_t stook__platform_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}
