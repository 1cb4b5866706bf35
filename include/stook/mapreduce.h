/* SPDX-License-Identifier: MIT
 *
 * All of libstook-mr: MapReduce on futures.
 *
 *   mr_job.h      the description of a job, and a whole job in one call
 *   mr_run.h      a job that runs meanwhile: progress, cancel, statistics
 *   mr_input.h    what it maps over
 *   mr_emit.h     its callbacks, and what they call
 *   mr_bytes.h    keys, values, words and lines
 *   mr_result.h   the pairs that it gives
 *   mr_steps.h    the steps it is made of, each usable alone
 */
#ifndef STOOK_MAPREDUCE_H
#define STOOK_MAPREDUCE_H

#include <stook/mr_bytes.h>
#include <stook/mr_emit.h>
#include <stook/mr_input.h>
#include <stook/mr_job.h>
#include <stook/mr_result.h>
#include <stook/mr_run.h>
#include <stook/mr_steps.h>

#endif
