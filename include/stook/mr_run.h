/* SPDX-License-Identifier: MIT
 *
 * A job that runs while its owner does something else: progress, cancel, statistics, result.
 *
 * Threads: all functions from any thread, also from a callback of the job, but for mr_run_wait(),
 * mr_run_take_result() and mr_run_release(), which are the owner's. Blocks: for a short lock, but
 * for mr_run_wait() and mr_run_release().
 */
#ifndef STOOK_MR_RUN_H
#define STOOK_MR_RUN_H

#include <stdint.h>
#include <stook/base.h>
#include <stook/executor.h>
#include <stook/future.h>
#include <stook/mr_job.h>
#include <stook/mr_result.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

typedef struct mr_run mr_run;

/* Starts a job; the description is copied. ret_run is to be released by the caller.
 * Returns: STOOK_OK; STOOK_INVALID, STOOK_NOMEM, STOOK_SHUTDOWN: then there is no run, and
 * ret_error (may be NULL) is filled. Blocks: as stook_executor_submit(). */
STOOK_API STOOK_NODISCARD enum stook_status mr_submit(stook_executor *executor,
                                                      const struct mr_job *job, mr_run **ret_run,
                                                      struct mr_error *ret_error);

enum mr_run_state {
    MR_RUN_PENDING, /* no callback has been called */
    MR_RUN_MAPPING,
    MR_RUN_SHUFFLING,
    MR_RUN_REDUCING,
    MR_RUN_DONE,
    MR_RUN_FAILED,
    MR_RUN_CANCELLED
};

STOOK_API enum mr_run_state mr_run_state(const mr_run *run);

/* Done when the run is in one of the last three states: to be waited for with others. The run's. */
STOOK_API stook_future *mr_run_future(const mr_run *run);

/* How far a phase is, in the units of mr_progress_fn: 0 and 0 before its begin. Not for
 * MR_PHASE_SHUFFLE and the like: STOOK_INVALID. */
STOOK_API enum stook_status mr_run_progress(const mr_run *run, enum mr_phase phase,
                                            uint64_t *ret_done, uint64_t *ret_not_done);

/* Waits until the job has ended or the deadline (as stook_future_wait_until(); STOOK_FOREVER) has
 * come; meanwhile calls its progress callback. Returns: STOOK_TIMEOUT: it goes on; STOOK_DEADLOCK;
 * or how it has ended, as mr_map_reduce(), and fills ret_error (may be NULL) likewise. */
STOOK_API STOOK_NODISCARD enum stook_status mr_run_wait(mr_run *run, int64_t deadline_ns,
                                                        struct mr_error *ret_error);

/* Asks it to end: tasks that have not begun never do, running ones stop at their next item or
 * emit. */
STOOK_API void mr_run_cancel(mr_run *run);

/* The result of a job that has ended well, now the caller's; NULL: it has not, or it was taken. */
STOOK_API mr_result *mr_run_take_result(mr_run *run);

/* What it has done, so far or at all. */
struct mr_phase_stats {
    uint64_t wall_ns; /* from the begin of its first task to the end of its last */
    uint64_t cpu_ns;  /* of its tasks */
    uint64_t tasks;   /* that have ended */
};

struct mr_stats {
    uint64_t items;             /* mapped */
    uint64_t bytes;             /* of texts, behind decompression */
    uint64_t pairs;             /* emitted by mappers */
    uint64_t distinct_keys;     /* that were grouped: none if the job only maps */
    uint64_t largest_partition; /* its distinct keys */
    uint64_t results;           /* pairs in the result */
    uint64_t spills;            /* how often memory was written to files, and how much */
    uint64_t spilled_bytes;
    uint64_t peak_memory; /* bytes, of what counts for memory_limit */
    uint64_t bad_items;
    struct mr_phase_stats map, shuffle, reduce;
};

STOOK_API void mr_run_stats(const mr_run *run, struct mr_stats *ret_stats);

/* The sum of a counter of mr_count(); 0 if there is none of that name. */
STOOK_API uint64_t mr_run_counter(const mr_run *run, const char *name);

/* Some of the items that were left out, the first ones to be noticed: fills ret_errors and returns
 * how many, up to most; no more than MR_BAD_SAMPLES are kept. */
#define MR_BAD_SAMPLES 8
STOOK_API size_t mr_run_bad_items(const mr_run *run, struct mr_error ret_errors[], size_t most);

/* Cancels the run unless it has ended, waits for that, and frees all but a result that was taken.
 * NULL is allowed. Blocks: until its tasks have ended. */
STOOK_API void mr_run_release(mr_run *run);

STOOK_END_DECLS

#endif
