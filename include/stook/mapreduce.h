/* SPDX-License-Identifier: MIT
 *
 * All of libstook-mr: MapReduce on futures.
 *
 *   mr_job.h     a whole job in one call: description, callbacks, errors, result
 *   mr_steps.h   the steps it is made of, each usable alone
 */
#ifndef STOOK_MAPREDUCE_H
#define STOOK_MAPREDUCE_H

#include <stook/mr_job.h>
#include <stook/mr_steps.h>

#endif
