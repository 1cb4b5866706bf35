/* SPDX-License-Identifier: MIT
 *
 * All of libstook: futures and a work-stealing executor for C11.
 *
 *   status.h    what a call can answer
 *   clock.h     deadlines
 *   executor.h  workers that run tasks: create, submit, map, shutdown
 *   future.h    the state and the result of a task: wait, result, cancel
 *   version.h   which version this is
 *
 * MapReduce on top of it is libstook-mr, <stook/mapreduce.h>, and not included here.
 */
#ifndef STOOK_STOOK_H
#define STOOK_STOOK_H

#include <stook/base.h>
#include <stook/clock.h>
#include <stook/executor.h>
#include <stook/future.h>
#include <stook/status.h>
#include <stook/version.h>

#endif
