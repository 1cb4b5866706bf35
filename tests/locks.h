/* SPDX-License-Identifier: MIT
 *
 * What `./dev check` puts before every file that clang compiles: it makes of the mutexes of C11
 * capabilities, so that clang's -Wthread-safety finds a path that does not unlock, locks twice, or
 * unlocks or waits with what it has not locked.
 */
#ifndef STOOK_TESTS_LOCKS_H
#define STOOK_TESTS_LOCKS_H

#include <threads.h>

struct __attribute__((capability("mutex"))) stook__lock {
    mtx_t mutex;
};

static inline int stook__lock(struct stook__lock *lock) __attribute__((acquire_capability(lock)));
static inline int stook__trylock(struct stook__lock *lock)
    __attribute__((try_acquire_capability(0, lock))); /* thrd_success */
static inline int stook__unlock(struct stook__lock *lock) __attribute__((release_capability(lock)));
static inline int stook__wait_locked(cnd_t *condition, struct stook__lock *lock)
    __attribute__((requires_capability(lock)));
static inline int stook__timedwait_locked(cnd_t *condition, struct stook__lock *lock,
                                          const struct timespec *time)
    __attribute__((requires_capability(lock)));

/* They are what they promise. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wthread-safety-analysis"

static inline int stook__lock(struct stook__lock *lock)
{
    return mtx_lock(&lock->mutex);
}

static inline int stook__trylock(struct stook__lock *lock)
{
    return mtx_trylock(&lock->mutex);
}

static inline int stook__unlock(struct stook__lock *lock)
{
    return mtx_unlock(&lock->mutex);
}

static inline int stook__wait_locked(cnd_t *condition, struct stook__lock *lock)
{
    return cnd_wait(condition, &lock->mutex);
}

static inline int stook__timedwait_locked(cnd_t *condition, struct stook__lock *lock,
                                          const struct timespec *time)
{
    return cnd_timedwait(condition, &lock->mutex, time);
}

#pragma clang diagnostic pop

#define mtx_lock(m) stook__lock((struct stook__lock *)(m))
#define mtx_trylock(m) stook__trylock((struct stook__lock *)(m))
#define mtx_unlock(m) stook__unlock((struct stook__lock *)(m))
#define cnd_wait(c, m) stook__wait_locked((c), (struct stook__lock *)(m))
#define cnd_timedwait(c, m, t) stook__timedwait_locked((c), (struct stook__lock *)(m), (t))

#endif
