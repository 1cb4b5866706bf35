/* SPDX-License-Identifier: MIT
 *
 * All of libstook: futures and a work-stealing executor for C11.
 *
 *   status.h            what a call can answer
 *   clock.h             deadlines
 *   alloc.h             where memory comes from
 *   executor.h          workers that run tasks: create, submit, map, resize, shutdown
 *   executor_options.h  what may be chosen when one is made, or a task submitted
 *   future.h            the state and the result of a task: wait, result, cancel
 *   waitset.h           waiting for several futures: all, any, first error, as completed
 *   continuation.h      callbacks, then, when_all, when_any
 *   promise.h           futures that the program completes itself
 *   token.h             one switch that cancels many tasks, in trees, at deadlines
 *   scope.h             groups of tasks, joined together
 *   fork_join.h         parallel recursion at the price of the calls
 *   loop.h              parallel for, reduce, sort, on top of it
 *   client.h            fair shares of one executor
 *   stream.h            ordered map over an input of any length, within bounded memory
 *   stats.h             counters
 *   version.h           which version this is
 *
 * Using a handle (of a future, executor, scope ...) after its last release or destroy is
 * undefined; built with checks, the default, the library tries to end the process with a message
 * that begins "stook: ".
 *
 * MapReduce on top of it is libstook-mr, <stook/mapreduce.h>, and not included here.
 */
#ifndef STOOK_STOOK_H
#define STOOK_STOOK_H

#include <stook/alloc.h>
#include <stook/base.h>
#include <stook/client.h>
#include <stook/clock.h>
#include <stook/continuation.h>
#include <stook/executor.h>
#include <stook/executor_options.h>
#include <stook/fork_join.h>
#include <stook/future.h>
#include <stook/loop.h>
#include <stook/promise.h>
#include <stook/scope.h>
#include <stook/stats.h>
#include <stook/status.h>
#include <stook/stream.h>
#include <stook/token.h>
#include <stook/version.h>
#include <stook/waitset.h>

#endif
