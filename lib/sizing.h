/* SPDX-License-Identifier: MIT
 *
 * How many workers an executor gets when its options leave that open.
 */
#ifndef STOOK_SIZING_H
#define STOOK_SIZING_H

#include <stook/executor.h>

/* 1 .. STOOK_MAX_WORKERS; 0: STOOK_WORKERS is no such number, which has been reported. */
unsigned stook__sizing_workers(const struct stook_executor_options *options);

#endif
