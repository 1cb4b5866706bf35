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

#define STOOK_ASSERT(condition) assert(condition)

#endif
