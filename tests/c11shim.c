/* SPDX-License-Identifier: MIT
 *
 * C11 threads over POSIX threads, for sanitizer builds only. glibc's thrd_create() and its like
 * call internal entry points which the sanitizers do not intercept: ThreadSanitizer crashes at the
 * first thread, MemorySanitizer thinks that a thread's result is uninitialized. A definition in
 * the program takes precedence over the one in libc.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>
#include <time.h>

_Static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t), "a mtx_t holds a POSIX mutex");
_Static_assert(sizeof(cnd_t) >= sizeof(pthread_cond_t), "a cnd_t holds a POSIX condition");
_Static_assert(sizeof(once_flag) == sizeof(pthread_once_t), "a once_flag is a POSIX one");
_Static_assert(sizeof(thrd_t) == sizeof(pthread_t), "a thrd_t is a POSIX thread");
_Static_assert(sizeof(tss_t) == sizeof(pthread_key_t), "a tss_t is a POSIX key");

static pthread_mutex_t *mutex_of(mtx_t *mutex)
{
    return (pthread_mutex_t *)mutex;
}

static pthread_cond_t *condition_of(cnd_t *condition)
{
    return (pthread_cond_t *)condition;
}

static int answer(int error)
{
    switch (error) {
    case 0:
        return thrd_success;
    case ENOMEM:
        return thrd_nomem;
    case ETIMEDOUT:
        return thrd_timedout;
    case EBUSY:
        return thrd_busy;
    default:
        return thrd_error;
    }
}

/* --- threads --------------------------------------------------------------------------------- */

struct start {
    thrd_start_t fn;
    void *arg;
};

static void *run_thread(void *arg)
{
    struct start start = *(struct start *)arg;
    free(arg);
    return (void *)(intptr_t)start.fn(start.arg);
}

int thrd_create(thrd_t *thread, thrd_start_t fn, void *arg)
{
    struct start *start = malloc(sizeof *start);
    int error;
    if (!start) {
        return thrd_nomem;
    }
    start->fn = fn;
    start->arg = arg;
    error = pthread_create(thread, NULL, run_thread, start);
    if (error) {
        free(start);
    }
    return answer(error);
}

int thrd_join(thrd_t thread, int *ret_result)
{
    void *result;
    int error = pthread_join(thread, &result);
    if (!error && ret_result) {
        *ret_result = (int)(intptr_t)result;
    }
    return answer(error);
}

int thrd_detach(thrd_t thread)
{
    return answer(pthread_detach(thread));
}

_Noreturn void thrd_exit(int result)
{
    pthread_exit((void *)(intptr_t)result);
}

thrd_t thrd_current(void)
{
    return pthread_self();
}

int thrd_equal(thrd_t a, thrd_t b)
{
    return pthread_equal(a, b);
}

void thrd_yield(void)
{
    sched_yield();
}

int thrd_sleep(const struct timespec *duration, struct timespec *ret_remaining)
{
    int error = clock_nanosleep(CLOCK_REALTIME, 0, duration, ret_remaining);
    return error == 0 ? 0 : error == EINTR ? -1 : -2;
}

/* --- mutexes --------------------------------------------------------------------------------- */

int mtx_init(mtx_t *mutex, int type)
{
    pthread_mutexattr_t attributes;
    int error;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type & mtx_recursive ? PTHREAD_MUTEX_RECURSIVE
                                                                : PTHREAD_MUTEX_NORMAL);
    error = pthread_mutex_init(mutex_of(mutex), &attributes);
    pthread_mutexattr_destroy(&attributes);
    return answer(error);
}

void mtx_destroy(mtx_t *mutex)
{
    pthread_mutex_destroy(mutex_of(mutex));
}

int mtx_lock(mtx_t *mutex)
{
    return answer(pthread_mutex_lock(mutex_of(mutex)));
}

int mtx_trylock(mtx_t *mutex)
{
    return answer(pthread_mutex_trylock(mutex_of(mutex)));
}

int mtx_timedlock(mtx_t *mutex, const struct timespec *time)
{
    return answer(pthread_mutex_timedlock(mutex_of(mutex), time));
}

int mtx_unlock(mtx_t *mutex)
{
    return answer(pthread_mutex_unlock(mutex_of(mutex)));
}

/* --- conditions ------------------------------------------------------------------------------ */

int cnd_init(cnd_t *condition)
{
    return answer(pthread_cond_init(condition_of(condition), NULL));
}

void cnd_destroy(cnd_t *condition)
{
    pthread_cond_destroy(condition_of(condition));
}

int cnd_signal(cnd_t *condition)
{
    return answer(pthread_cond_signal(condition_of(condition)));
}

int cnd_broadcast(cnd_t *condition)
{
    return answer(pthread_cond_broadcast(condition_of(condition)));
}

int cnd_wait(cnd_t *condition, mtx_t *mutex)
{
    return answer(pthread_cond_wait(condition_of(condition), mutex_of(mutex)));
}

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *time)
{
    return answer(pthread_cond_timedwait(condition_of(condition), mutex_of(mutex), time));
}

/* --- once, and thread storage ---------------------------------------------------------------- */

void call_once(once_flag *flag, void (*fn)(void))
{
    pthread_once((pthread_once_t *)flag, fn);
}

int tss_create(tss_t *ret_key, tss_dtor_t destructor)
{
    return answer(pthread_key_create(ret_key, destructor));
}

void tss_delete(tss_t key)
{
    pthread_key_delete(key);
}

void *tss_get(tss_t key)
{
    return pthread_getspecific(key);
}

int tss_set(tss_t key, void *value)
{
    return answer(pthread_setspecific(key, value));
}
