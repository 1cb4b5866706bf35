/* SPDX-License-Identifier: MIT
 *
 * What -Dperturb=true puts before every file: each atomic operation begins with a delay at random.
 * A macro's own name in its text stays as it is, so that gcc's and clang's <stdatomic.h> end in
 * these without another word in lib/ or mapreduce/. Nothing of the system is included here, since
 * a file may say first what it wants of it.
 */
#ifndef STOOK_TESTS_PERTURB_H
#define STOOK_TESTS_PERTURB_H

/* libstook-mr.so calls that of libstook.so. */
__attribute__((visibility("default"))) void stook__perturb(void);

#define STOOK__DELAYED(operation) (stook__perturb(), operation)

#ifdef __clang__
#define __c11_atomic_load(...) STOOK__DELAYED(__c11_atomic_load(__VA_ARGS__))
#define __c11_atomic_store(...) STOOK__DELAYED(__c11_atomic_store(__VA_ARGS__))
#define __c11_atomic_exchange(...) STOOK__DELAYED(__c11_atomic_exchange(__VA_ARGS__))
#define __c11_atomic_compare_exchange_strong(...)                                                  \
    STOOK__DELAYED(__c11_atomic_compare_exchange_strong(__VA_ARGS__))
#define __c11_atomic_compare_exchange_weak(...)                                                    \
    STOOK__DELAYED(__c11_atomic_compare_exchange_weak(__VA_ARGS__))
#define __c11_atomic_fetch_add(...) STOOK__DELAYED(__c11_atomic_fetch_add(__VA_ARGS__))
#define __c11_atomic_fetch_sub(...) STOOK__DELAYED(__c11_atomic_fetch_sub(__VA_ARGS__))
#define __c11_atomic_fetch_or(...) STOOK__DELAYED(__c11_atomic_fetch_or(__VA_ARGS__))
#define __c11_atomic_thread_fence(...) STOOK__DELAYED(__c11_atomic_thread_fence(__VA_ARGS__))
#else
#define __atomic_load(...) STOOK__DELAYED(__atomic_load(__VA_ARGS__))
#define __atomic_store(...) STOOK__DELAYED(__atomic_store(__VA_ARGS__))
#define __atomic_exchange(...) STOOK__DELAYED(__atomic_exchange(__VA_ARGS__))
#define __atomic_compare_exchange(...) STOOK__DELAYED(__atomic_compare_exchange(__VA_ARGS__))
#define __atomic_fetch_add(...) STOOK__DELAYED(__atomic_fetch_add(__VA_ARGS__))
#define __atomic_fetch_sub(...) STOOK__DELAYED(__atomic_fetch_sub(__VA_ARGS__))
#define __atomic_fetch_or(...) STOOK__DELAYED(__atomic_fetch_or(__VA_ARGS__))
#define __atomic_thread_fence(...) STOOK__DELAYED(__atomic_thread_fence(__VA_ARGS__))
#endif

#endif
