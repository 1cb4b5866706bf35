/* SPDX-License-Identifier: MIT
 *
 * The operating system's part, on Linux: events on futexes, the affinity mask, thread names.
 */
#define _GNU_SOURCE
#include "platform.h"
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { EVENT_UNSET, EVENT_SET, EVENT_SLEPT_ON };

enum { NS_PER_S = 1000000000 };

bool stook__event_init(struct stook__event *event)
{
    atomic_init(&event->word, EVENT_UNSET);
    return true;
}

void stook__event_fini(struct stook__event *event)
{
    (void)event;
}

void stook__event_reset(struct stook__event *event)
{
    /* order EV.reset rlx: nobody else uses the event now; whoever will set it learns of it by a
     * mutex */
    a_store_rlx(&event->word, EVENT_UNSET);
}

void stook__event_set(struct stook__event *event)
{
    /* order EV.set rel -> EV.wait: what the setter wrote is seen by the waiter that goes on. After
     * this, the event may be gone: only its address is used, and a stray wake harms nobody */
    if (a_xchg_rel(&event->word, EVENT_SET) == EVENT_SLEPT_ON) {
        syscall(SYS_futex, &event->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

/* Sleeps while the word is EVENT_SLEPT_ON, at most until the deadline, possibly less. */
static void futex_sleep(struct stook__event *event, int64_t deadline_ns)
{
    struct timespec at;
    struct timespec *timeout = NULL;
#if defined SYS_futex_time64
    /* A 32-bit system whose time_t has 64 bits: the old call would misread the time. */
    long call = sizeof at.tv_sec > sizeof(long) ? SYS_futex_time64 : SYS_futex;
#else
    long call = SYS_futex;
#endif

    if (deadline_ns != INT64_MAX) {
        /* An hour at most, so that it fits into any time_t. */
        int64_t hour = stook__platform_now_ns() + INT64_C(3600) * NS_PER_S;
        int64_t until_ns = deadline_ns < hour ? deadline_ns : hour;
        at.tv_sec = (time_t)(until_ns / NS_PER_S);
        at.tv_nsec = (long)(until_ns % NS_PER_S);
        timeout = &at;
    }
    /* Absolute, on the monotonic clock. Whatever ends it, the caller looks again. */
    syscall(call, &event->word, FUTEX_WAIT_BITSET_PRIVATE, EVENT_SLEPT_ON, timeout, NULL,
            FUTEX_BITSET_MATCH_ANY);
}

bool stook__event_wait_until(struct stook__event *event, int64_t deadline_ns)
{
    for (;;) {
        uint32_t found = EVENT_UNSET;
        /* order EV.wait acq <- EV.set: else the waiter misses what it was woken for */
        if (!a_cas_acq(&event->word, &found, EVENT_SLEPT_ON) && found == EVENT_SET) {
            return true;
        }
        if (deadline_ns != INT64_MAX && deadline_ns <= stook__platform_now_ns()) {
            return false;
        }
        futex_sleep(event, deadline_ns);
    }
}

void stook__platform_name_thread(const char *name)
{
    prctl(PR_SET_NAME, name);
}

unsigned stook__platform_cpu_count(void)
{
    /* The kernel refuses a mask shorter than its own with EINVAL: grow it until it is accepted. */
    for (size_t cpus = CPU_SETSIZE; cpus <= 1 << 20; cpus *= 2) {
        cpu_set_t *mask = CPU_ALLOC(cpus);
        if (!mask) {
            break;
        }
        size_t bytes = CPU_ALLOC_SIZE(cpus);
        int failed = sched_getaffinity(0, bytes, mask);
        int refused = errno == EINVAL;
        int usable = failed ? 0 : CPU_COUNT_S(bytes, mask);
        CPU_FREE(mask);
        if (!failed) {
            return usable > 0 ? (unsigned)usable : 1;
        }
        if (!refused) {
            break;
        }
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}
