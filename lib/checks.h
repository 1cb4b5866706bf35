/* SPDX-License-Identifier: MIT
 *
 * Two kinds of check. STOOK_CHECK_API guards against misuse that no status can answer, prints one
 * line and aborts; on unless built with -Dchecks=false. STOOK_ASSERT states what the library itself
 * must keep; off in release builds.
 */
#ifndef STOOK_CHECKS_H
#define STOOK_CHECKS_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include "atomics.h"
#include "config.h"

#if STOOK_CHECKS
#define STOOK_CHECK_API(condition, sentence)                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fputs("stook: " sentence "\n", stderr);                                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
#else
#define STOOK_CHECK_API(condition, sentence) ((void)0)
#endif

/* The mark in records that callers have handles of, for finding dead ones. Using one is misuse, so
 * looking at it is a try: it may say anything. Not among the first 16 bytes, which malloc() uses
 * for itself when they have been freed. */
enum { STOOK__ALIVE = 0x57004c1, STOOK__DEAD = 0x57004dd };

/* Before the memory is freed. */
#define STOOK_MARK_DEAD(mark) stook__store_kept(&(mark), STOOK__DEAD)

#define STOOK_CHECK_ALIVE(handle, what)                                                            \
    STOOK_CHECK_API((handle)->mark != STOOK__DEAD, what " is used after its end")

#define STOOK_ASSERT(condition) assert(condition)

#endif
