/* SPDX-License-Identifier: MIT
 *
 * The options of an executor: what is in range, and what 0 stands for.
 */
#ifndef STOOK_OPTIONS_H
#define STOOK_OPTIONS_H

#include <stdbool.h>
#include <stook/executor.h>

/* The most that max_extra_threads may be. */
#define STOOK_MAX_EXTRA_THREADS 16384

/* Copies the options, NULL being all defaults, with every default filled in but those of pointers
 * and of the stack's size. False, reported unless struct_size is unknown: one is out of range. */
bool stook__options_resolve(const struct stook_executor_options *given,
                            struct stook_executor_options *ret_options);

#endif
