/* SPDX-License-Identifier: MIT
 *
 * The operating system's part without Linux: events on a C11 mutex and condition variable, which
 * knows only the wall clock; so a timed wait sleeps on that clock and looks at the monotonic one
 * again afterwards (a step of the wall clock can make it late or busy, never wrong).
 */
#define _POSIX_C_SOURCE 200809L
#include "platform.h"
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

void stook__platform_name_thread(const char *name)
{
    (void)name;
}

unsigned stook__platform_cpu_count(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}
