/* SPDX-License-Identifier: MIT
 *
 * What the code under test calls of the C library and the kernel: mutexes, threads, futexes, memory
 * and time, all by the linker's --wrap. A mutex orders as in C11. A futex orders nothing, but what
 * it compares is the newest value. Time passes only where somebody waits for it.
 */
#define _GNU_SOURCE
#include "explorer.h"
#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <threads.h>
#include <time.h>

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

#define CALLER __builtin_return_address(0)

enum { MUTEXES = 16, NS_PER_S = 1000000000 };

static struct mutex {
    const void *address;
    bool is_held;
    struct view view;
} mutexes[MUTEXES];
static unsigned mutex_count;
static char *unused; /* of the arena */
static int64_t now_ns[MODEL_THREADS];
static void *(*thread_fns[MODEL_THREADS])(void *arg);
static void *thread_args[MODEL_THREADS];

void system_reset(void)
{
    mutex_count = 0;
    unused = memory_arena.begin + (size_t)MODEL_THREADS * EXPLORER_STACK;
    for (unsigned i = 0; i < MODEL_THREADS; i++) {
        now_ns[i] = NS_PER_S;
    }
}

/* --- mutexes ---------------------------------------------------------------------------------- */

static struct mutex *mutex_at(const void *address)
{
    for (unsigned i = 0; i < mutex_count; i++) {
        if (mutexes[i].address == address) {
            return &mutexes[i];
        }
    }
    if (mutex_count == MUTEXES) {
        model_fail("too many mutexes");
    }
    mutexes[mutex_count] = (struct mutex){.address = address};
    return &mutexes[mutex_count++];
}

bool system_is_free(const void *mutex)
{
    return !mutex_at(mutex)->is_held;
}

static int take(struct mutex *mutex)
{
    mutex->is_held = true;
    memory_join(&explorer_self()->view, &mutex->view);
    return thrd_success;
}

int __wrap_mtx_init(mtx_t *mutex, int type)
{
    (void)type;
    mutex_at(mutex)->is_held = false;
    return thrd_success;
}

void __wrap_mtx_destroy(mtx_t *mutex)
{
    if (mutex_at(mutex)->is_held) {
        model_fail("a mutex is destroyed that is held");
    }
}

int __wrap_mtx_lock(mtx_t *mutex)
{
    struct mutex *found = mutex_at(mutex);

    if (!explorer_alone() || found->is_held) {
        explorer_self()->waits = WAITS_LOCK;
        explorer_self()->waits_for = mutex;
        explorer_point(OP_LOCK, false, mutex, "lock", CALLER);
    }
    return take(found);
}

int __wrap_mtx_trylock(mtx_t *mutex)
{
    struct mutex *found = mutex_at(mutex);

    explorer_point(OP_LOCK, false, mutex, "trylock", CALLER);
    return found->is_held ? thrd_busy : take(found);
}

/* No step of its own: whoever could go on after it may as well go on after what follows. */
int __wrap_mtx_unlock(mtx_t *mutex)
{
    struct mutex *found = mutex_at(mutex);

    if (!found->is_held) {
        model_fail("a mutex is unlocked that is free");
    }
    found->is_held = false;
    memory_release(&found->view);
    explorer_self()->writes++;
    explorer_writes++;
    return thrd_success;
}

void __wrap_call_once(once_flag *flag, void (*fn)(void))
{
    int done = 1;

    if (memcmp(flag, &done, sizeof done) != 0) {
        memcpy(flag, &done, sizeof done);
        fn();
    }
}

/* --- threads ---------------------------------------------------------------------------------- */

static void begin_thread(void *arg)
{
    unsigned thread = explorer_current;

    (void)arg;
    thread_fns[thread](thread_args[thread]);
}

int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attributes, void *(*fn)(void *),
                          void *arg)
{
    unsigned thread = explorer_start(begin_thread, NULL);

    (void)attributes;
    thread_fns[thread] = fn;
    thread_args[thread] = arg;
    *id = thread;
    return 0;
}

int __wrap_pthread_join(pthread_t id, void **ret_value)
{
    (void)ret_value;
    explorer_join((unsigned)id);
    return 0;
}

pthread_t __wrap_pthread_self(void)
{
    return explorer_current;
}

int __wrap_pthread_sigmask(int how, const void *set, void *old)
{
    (void)how;
    (void)set;
    (void)old;
    return 0;
}

int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    (void)prepare;
    (void)parent;
    (void)child;
    return 0;
}

void __wrap_thrd_yield(void)
{
    model_yield();
}

int __wrap_prctl(int option, ...)
{
    (void)option;
    return 0;
}

/* --- the kernel ------------------------------------------------------------------------------- */

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    (void)clock;
    ret_time->tv_sec = (time_t)(now_ns[explorer_current] / NS_PER_S);
    ret_time->tv_nsec = (long)(now_ns[explorer_current] % NS_PER_S);
    return 0;
}

static long futex_wait(const void *word, uint32_t expected, const struct timespec *until,
                       void *caller)
{
    explorer_point(OP_WRITE, false, word, "sleep", caller);
    if (memory_newest_u32(word) != expected) {
        errno = EAGAIN;
        return -1;
    }
    if (until && explorer_choose(2) == 1) {
        now_ns[explorer_current] = (int64_t)until->tv_sec * NS_PER_S + until->tv_nsec;
        errno = ETIMEDOUT;
        return -1;
    }
    explorer_block(WAITS_FUTEX, word, "asleep", caller);
    return 0;
}

static long futex_wake(const void *word, void *caller)
{
    unsigned sleepers[MODEL_THREADS];
    unsigned count = 0;

    explorer_point(OP_WRITE, false, word, "wake", caller);
    for (unsigned i = 0; i < explorer_count; i++) {
        if (explorer_threads[i].waits == WAITS_FUTEX && explorer_threads[i].waits_for == word) {
            sleepers[count++] = i;
        }
    }
    if (count > 0) {
        explorer_wake(sleepers[explorer_choose(count)]);
    }
    return count > 0;
}

long __wrap_syscall(long number, ...)
{
    va_list list;
    long result = -1;

    va_start(list, number);
    if (number == SYS_futex) {
        const void *word = va_arg(list, void *);
        int operation = va_arg(list, int);
        uint32_t value = va_arg(list, uint32_t);
        const struct timespec *until = va_arg(list, struct timespec *);
        result = operation == FUTEX_WAKE_PRIVATE ? futex_wake(word, CALLER)
                                                 : futex_wait(word, value, until, CALLER);
    } else if (number == SYS_membarrier) {
        if (va_arg(list, int) == MEMBARRIER_CMD_PRIVATE_EXPEDITED) {
            explorer_point(OP_FENCE_ALL, true, NULL, "fence all", CALLER);
            memory_fence_all();
        }
        result = 0;
    } else {
        model_fail("a system call that is not modelled");
    }
    va_end(list);
    return result;
}

/* --- memory ----------------------------------------------------------------------------------- */

/* Nothing is used twice, so whoever comes too late is found out. The size stands before it. */
void *__wrap_malloc(size_t size)
{
    enum { ALIGNMENT = 16 };
    size_t *memory = (size_t *)(void *)(unused + ALIGNMENT);

    unused += (ALIGNMENT + size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (unused > memory_arena.end) {
        model_fail("out of memory");
    }
    memory[-1] = size;
    return memory;
}

void __wrap_free(void *memory)
{
    if (memory) {
        memory_free(memory, ((size_t *)memory)[-1], CALLER);
    }
}
