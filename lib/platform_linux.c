/* SPDX-License-Identifier: MIT
 *
 * The operating system's part, on Linux: events and bells on futexes, the affinity mask, thread
 * names. The CPU quota is read in cgroup.c.
 */
#define _GNU_SOURCE
#include "platform.h"
#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "cgroup.h"

enum { NS_PER_S = 1000000000 };

/* --- futexes ---------------------------------------------------------------------------------- */

/* Sleeps while the word is `expected`, at most until the deadline, possibly less. */
static void futex_sleep(_Atomic(uint32_t) *word, uint32_t expected, int64_t deadline_ns)
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
    syscall(call, word, FUTEX_WAIT_BITSET_PRIVATE, expected, timeout, NULL, FUTEX_BITSET_MATCH_ANY);
}

/* Uses the address only. */
static void futex_wake(_Atomic(uint32_t) *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static bool has_passed(int64_t deadline_ns)
{
    return deadline_ns != INT64_MAX && deadline_ns <= stook__platform_now_ns();
}

/* --- events ----------------------------------------------------------------------------------- */

enum { EVENT_UNSET, EVENT_SET, EVENT_SLEPT_ON };

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
        futex_wake(&event->word);
    }
}

bool stook__event_wait_until(struct stook__event *event, int64_t deadline_ns)
{
    for (;;) {
        uint32_t found = EVENT_UNSET;
        /* order EV.wait acq <- EV.set: else the waiter misses what it was woken for */
        if (!a_cas_acq(&event->word, &found, EVENT_SLEPT_ON) && found == EVENT_SET) {
            return true;
        }
        if (has_passed(deadline_ns)) {
            return false;
        }
        futex_sleep(&event->word, EVENT_SLEPT_ON, deadline_ns);
    }
}

/* --- bells ------------------------------------------------------------------------------------ */

enum { BELL_QUIET, BELL_RUNG, BELL_SLEPT_ON };

bool stook__bell_init(struct stook__bell *bell)
{
    atomic_init(&bell->word, BELL_QUIET);
    return true;
}

void stook__bell_fini(struct stook__bell *bell)
{
    (void)bell;
}

void stook__bell_ring(struct stook__bell *bell)
{
    /* order BL.ring rel -> BL.wait: what the ringer wrote is seen by the waiter; also when another
     * rings before it looks, as an exchange continues the release sequence */
    if (a_xchg_rel(&bell->word, BELL_RUNG) == BELL_SLEPT_ON) {
        int saved = errno;
        futex_wake(&bell->word);
        errno = saved;
    }
}

bool stook__bell_wait_until(struct stook__bell *bell, int64_t deadline_ns)
{
    for (;;) {
        uint32_t found = BELL_RUNG;
        /* order BL.wait acq <- BL.ring: else the waiter misses what it was woken for */
        if (a_cas_acq(&bell->word, &found, BELL_QUIET)) {
            return true;
        }
        if (has_passed(deadline_ns)) {
            return false; /* its mark may stay: the next ring wakes nobody, at a cost */
        }
        /* order BL.sleep rlx: the kernel compares again; if it was rung meanwhile, the loop sees
         * it */
        if (found == BELL_SLEPT_ON || a_cas_rlx(&bell->word, &found, BELL_SLEPT_ON)) {
            futex_sleep(&bell->word, BELL_SLEPT_ON, deadline_ns);
        }
    }
}

/* --- fences ----------------------------------------------------------------------------------- */

/* Since Linux 4.14. A filter of system calls may refuse it. */
bool stook__platform_can_fence_all(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

void stook__platform_fence_all(void)
{
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) {
        /* Nothing may go on without it. */
        fputs("stook: membarrier(2) is refused, which was granted at the start\n", stderr);
        abort();
    }
}

/* --- threads and CPUs ------------------------------------------------------------------------- */

void stook__platform_name_thread(const char *name)
{
    prctl(PR_SET_NAME, name);
}

void stook__platform_get_cpus(struct stook__cpus *ret_cpus)
{
    *ret_cpus = (struct stook__cpus){.count = 0};
    cpu_set_t *mask = (cpu_set_t *)ret_cpus->mask;
    if (sched_getaffinity(0, sizeof ret_cpus->mask, mask) == 0) {
        ret_cpus->count = (unsigned)CPU_COUNT_S(sizeof ret_cpus->mask, mask);
    }
}

void stook__platform_bind(const struct stook__cpus *cpus, int index)
{
    struct stook__cpus one = {.count = 1};
    const cpu_set_t *all = (const cpu_set_t *)cpus->mask;
    size_t cpu = 0;

    if (cpus->count == 0) {
        return;
    }
    if (index < 0) {
        sched_setaffinity(0, sizeof cpus->mask, all);
        return;
    }
    for (unsigned before = (unsigned)index % cpus->count;; cpu++) { /* ends: the mask has `count` */
        if (CPU_ISSET_S(cpu, sizeof cpus->mask, all) && before-- == 0) {
            break;
        }
    }
    CPU_SET_S(cpu, sizeof one.mask, (cpu_set_t *)one.mask);
    sched_setaffinity(0, sizeof one.mask, (cpu_set_t *)one.mask);
}

/* CPUs in the affinity mask of the calling thread. */
static unsigned affinity_count(void)
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

unsigned stook__platform_cpu_count(void)
{
    unsigned limit = stook__cgroup_cpu_limit("");
    unsigned cpus = affinity_count();
    return limit > 0 && limit < cpus ? limit : cpus;
}
