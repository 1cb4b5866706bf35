/* SPDX-License-Identifier: MIT
 *
 * The operating system's part without Linux: events on a C11 mutex and condition variable, which
 * knows only the wall clock; so a timed wait sleeps on that clock and looks at the monotonic one
 * again afterwards (a step of the wall clock can make it late or busy, never wrong). Bells on
 * pipes, since nothing else of POSIX wakes a thread from a signal handler.
 */
#define _POSIX_C_SOURCE 200809L
#include "platform.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

enum { NS_PER_S = 1000000000 };

bool stook__event_init(struct stook__event *event)
{
    event->is_set = false;
    if (mtx_init(&event->mutex, mtx_plain) != thrd_success) {
        return false;
    }
    if (cnd_init(&event->changed) != thrd_success) {
        mtx_destroy(&event->mutex);
        return false;
    }
    return true;
}

void stook__event_fini(struct stook__event *event)
{
    cnd_destroy(&event->changed);
    mtx_destroy(&event->mutex);
}

void stook__event_reset(struct stook__event *event)
{
    mtx_lock(&event->mutex);
    event->is_set = false;
    mtx_unlock(&event->mutex);
}

void stook__event_set(struct stook__event *event)
{
    mtx_lock(&event->mutex);
    event->is_set = true;
    cnd_signal(&event->changed); /* under the mutex: the waiter returns only after the unlock */
    mtx_unlock(&event->mutex);
}

/* The wall clock's time that is `ns` away. */
static struct timespec wall_after(int64_t ns)
{
    struct timespec at;
    timespec_get(&at, TIME_UTC);
    at.tv_sec += (time_t)(ns / NS_PER_S);
    at.tv_nsec += (long)(ns % NS_PER_S);
    if (at.tv_nsec >= NS_PER_S) {
        at.tv_nsec -= NS_PER_S;
        at.tv_sec++;
    }
    return at;
}

bool stook__event_wait_until(struct stook__event *event, int64_t deadline_ns)
{
    mtx_lock(&event->mutex);
    while (!event->is_set) {
        if (deadline_ns == INT64_MAX) {
            cnd_wait(&event->changed, &event->mutex);
            continue;
        }
        int64_t now = stook__platform_now_ns();
        if (deadline_ns <= now) {
            break;
        }
        int64_t left = deadline_ns - now;
        /* At most an hour at a time, so that no sum overflows. */
        const int64_t hour = INT64_C(3600) * NS_PER_S;
        struct timespec at = wall_after(left < hour ? left : hour);
        cnd_timedwait(&event->changed, &event->mutex, &at);
    }
    bool is_set = event->is_set;
    mtx_unlock(&event->mutex);
    return is_set;
}

/* --- bells ------------------------------------------------------------------------------------ */

/* Invariant: when `rung` is set, a byte is in the pipe, or the ringer that set it is about to
 * write one, or the waiter has just taken it out and will look at `rung` next. */

static bool make_non_blocking(int file)
{
    int flags = fcntl(file, F_GETFL);
    return flags >= 0 && fcntl(file, F_SETFL, flags | O_NONBLOCK) == 0 &&
           fcntl(file, F_SETFD, FD_CLOEXEC) == 0;
}

bool stook__bell_init(struct stook__bell *bell)
{
    int ends[2];

    if (pipe(ends) != 0) {
        return false;
    }
    if (!make_non_blocking(ends[0]) || !make_non_blocking(ends[1])) {
        close(ends[0]);
        close(ends[1]);
        return false;
    }
    atomic_init(&bell->rung, 0);
    bell->read_end = ends[0];
    bell->write_end = ends[1];
    return true;
}

void stook__bell_fini(struct stook__bell *bell)
{
    close(bell->read_end);
    close(bell->write_end);
}

void stook__bell_ring(struct stook__bell *bell)
{
    /* order BL.ring rel -> BL.wait: what the ringer wrote is seen by the waiter; also when another
     * rings before it looks, as an exchange continues the release sequence */
    if (a_xchg_rel(&bell->rung, 1) == 0) {
        int saved = errno;
        while (write(bell->write_end, "", 1) < 0 && errno == EINTR) {
        }
        errno = saved;
    }
}

/* Sleeps until there is a byte in the pipe, at most until the deadline, possibly less; takes it
 * out. */
static void sleep_on_pipe(const struct stook__bell *bell, int64_t left_ns)
{
    enum { NS_PER_MS = 1000000, MS_PER_HOUR = 3600000 };
    struct pollfd file = {.fd = bell->read_end, .events = POLLIN};
    char bytes[16];
    int64_t left_ms = left_ns / NS_PER_MS + 1; /* rounded up: else it would spin at the end */

    poll(&file, 1, left_ms < MS_PER_HOUR ? (int)left_ms : MS_PER_HOUR);
    while (read(bell->read_end, bytes, sizeof bytes) == (ssize_t)sizeof bytes) {
    }
}

bool stook__bell_wait_until(struct stook__bell *bell, int64_t deadline_ns)
{
    for (;;) {
        /* order BL.wait acq <- BL.ring: else the waiter misses what it was woken for */
        if (a_xchg_acq(&bell->rung, 0) != 0) {
            return true;
        }
        int64_t now = stook__platform_now_ns();
        if (deadline_ns <= now) {
            return false;
        }
        sleep_on_pipe(bell, deadline_ns - now);
    }
}

/* --- fences ----------------------------------------------------------------------------------- */

bool stook__platform_can_fence_all(void)
{
    return false;
}

void stook__platform_fence_all(void)
{
}

/* --- threads and CPUs ------------------------------------------------------------------------- */

void stook__platform_name_thread(const char *name)
{
    (void)name;
}

void stook__platform_get_cpus(struct stook__cpus *ret_cpus)
{
    ret_cpus->count = 0;
}

void stook__platform_bind(const struct stook__cpus *cpus, int index)
{
    (void)cpus;
    (void)index;
}

unsigned stook__platform_cpu_count(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}
