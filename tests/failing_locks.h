/* SPDX-License-Identifier: MIT
 *
 * Locks and attributes of threads that cannot be had, each as a call of failing.h that fails; and a
 * count of the locks that there are (link with `failing` and `failing_locks` of meson.build). With
 * failing.h, for one file of a program.
 */
#ifndef STOOK_TESTS_FAILING_LOCKS_H
#define STOOK_TESTS_FAILING_LOCKS_H

#include "failing.h"

static atomic_long locks; /* mutexes and conditions that were made and not destroyed */

int __real_mtx_init(mtx_t *mutex, int type);
int __wrap_mtx_init(mtx_t *mutex, int type);
void __real_mtx_destroy(mtx_t *mutex);
void __wrap_mtx_destroy(mtx_t *mutex);
int __real_cnd_init(cnd_t *condition);
int __wrap_cnd_init(cnd_t *condition);
void __real_cnd_destroy(cnd_t *condition);
void __wrap_cnd_destroy(cnd_t *condition);
int __real_pthread_attr_init(pthread_attr_t *attributes);
int __wrap_pthread_attr_init(pthread_attr_t *attributes);

static inline int lock_made(int status)
{
    atomic_fetch_add(&locks, status == thrd_success);
    return status;
}

int __wrap_mtx_init(mtx_t *mutex, int type)
{
    return fails_now() ? thrd_error : lock_made(__real_mtx_init(mutex, type));
}

void __wrap_mtx_destroy(mtx_t *mutex)
{
    atomic_fetch_sub(&locks, 1);
    __real_mtx_destroy(mutex);
}

int __wrap_cnd_init(cnd_t *condition)
{
    return fails_now() ? thrd_nomem : lock_made(__real_cnd_init(condition));
}

void __wrap_cnd_destroy(cnd_t *condition)
{
    atomic_fetch_sub(&locks, 1);
    __real_cnd_destroy(condition);
}

int __wrap_pthread_attr_init(pthread_attr_t *attributes)
{
    static _Thread_local bool is_known;
    if (UNDER_MSAN && !is_known) { /* its runtime calls this, too, first of all in a new thread */
        is_known = true;
        return __real_pthread_attr_init(attributes);
    }
    return fails_now() ? ENOMEM : __real_pthread_attr_init(attributes);
}

#endif
