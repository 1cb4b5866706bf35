/* SPDX-License-Identifier: MIT
 *
 * A MapReduce job: map every item to key/value pairs, bring the values of equal keys together,
 * reduce each key.
 *
 *   describe: struct mr_job -> run: mr_map_reduce -> read: [mr_result_next]... -> mr_result_destroy
 *                              or: mr_submit -> [look, cancel] -> mr_run_wait -> mr_run_release
 *
 * Keys and values are byte strings of any length, NUL bytes included; the library copies what is
 * emitted.
 *
 * Threads: any number of jobs may use one executor at the same time, from any threads, also from
 * its own tasks.
 */
#ifndef STOOK_MR_JOB_H
#define STOOK_MR_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stook/base.h>
#include <stook/client.h>
#include <stook/executor.h>
#include <stook/mr_bytes.h>
#include <stook/mr_emit.h>
#include <stook/mr_input.h>
#include <stook/mr_result.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

enum mr_order {
    MR_ORDER_NONE = 0, /* the result comes in no particular order */
    MR_ORDER_KEY = 1,  /* by key, as unsigned bytes, a prefix first (or as mr_job.keys says); equal
                          keys by value */
    MR_ORDER_PAIR = 2  /* as mr_job.compare says; pairs that it calls equal as MR_ORDER_KEY */
};

#define MR_DEFAULT_PARTITIONS 64
#define MR_MAX_PARTITIONS 65536
#define MR_MAX_RANKS 256
#define MR_LEAST_MEMORY (UINT64_C(8) << 20) /* bytes */
#define MR_DEFAULT_PERIOD_NS 500000000

/* A description: it holds no state, is never changed, and is copied. */
struct mr_job {
    size_t struct_size; /* set by MR_JOB_INIT */
    struct mr_input input;
    mr_map_fn *map;         /* required */
    mr_combine_fn *combine; /* NULL: the reducer gets every value */
    mr_reduce_fn *reduce;   /* NULL: every key with its combined value; or, without combine, every
                                   pair as it was emitted */
    mr_partition_fn *partition; /* NULL: by mr_hash(), or keys->hash */
    const struct mr_keys *keys; /* NULL: keys are equal when their bytes are */
    void *user;                 /* passed to all callbacks */
    enum mr_order order;
    mr_compare_fn *compare; /* required by MR_ORDER_PAIR */
    uint64_t top;           /* the result has only the first so many pairs; 0: all */
    uint32_t partitions;    /* 1 .. MR_MAX_PARTITIONS; 0: MR_DEFAULT_PARTITIONS. Independent of
                                   the number of workers */
    stook_client *client;   /* NULL: none. Its weight is that of the job beside others'; the job
                                   keeps a reference */
    uint64_t memory_limit;  /* bytes for all that the job holds, result included: at the limit it
                                   goes on with files. 0: none; least: MR_LEAST_MEMORY. Not in
                                   it: a record or pair for each worker, callbacks' memory */
    const char *spill_directory; /* for these files, which have no names there; NULL: $TMPDIR, or
                                    /tmp */
    uint32_t attempts;           /* how often an item that fails is tried; 0, 1: once. What it has
                                   emitted before is dropped */
    uint64_t most_bad_items;     /* so many items may fail; they are left out, and what they have
                                   emitted is dropped. See mr_stats.bad_items */
    uint32_t ranks;           /* 0: all memory is shared. 1 .. MR_MAX_RANKS: as on so many machines
                                   that exchange nothing but bytes; needs a job that is portable */
    mr_progress_fn *progress; /* NULL: none */
    int64_t progress_period_ns; /* between two calls of progress; 0: MR_DEFAULT_PERIOD_NS */
};

/* clang-format off */
#define MR_JOB_INIT                                                                                \
    {                                                                                              \
        sizeof(struct mr_job),                                                                     \
        {0, 0, 0, 0, 0, 0, false, MR_CHUNK_AUTO, MR_RECORDS_DELIMITED, 0, 0, 0, 0, 0, false,       \
         false},                                                                                   \
        0, 0, 0, 0, 0, 0, MR_ORDER_NONE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0                           \
    }
/* clang-format on */

enum mr_phase {
    MR_PHASE_NONE = 0, /* before any callback ran: arguments, memory, shutdown */
    MR_PHASE_INPUT,    /* opening or reading a source */
    MR_PHASE_MAP,      /* mapper, and combiner and partitioner while mapping */
    MR_PHASE_SHUFFLE,  /* combiner while merging */
    MR_PHASE_REDUCE,
    MR_PHASE_OUTPUT /* writing a result */
};

/* The first failure of a job. */
struct mr_error {
    enum stook_status status;
    enum mr_phase phase;
    int code;          /* what the callback returned, or errno for STOOK_IO; else 0 */
    uint64_t item;     /* map: as mr_item.index; input: offset; else 0 */
    size_t source;     /* map, input: as mr_item.source */
    char message[256]; /* for people, complete: what failed, where, why; a long key is cut */
};

/* Runs a job: ret_result receives its pairs, to be destroyed by the caller. The progress callback
 * is called at once, then every period, and with not_done 0 when a phase has ended well (once if
 * there is nothing to do); not at the end of a phase that failed.
 *
 * On failure everything of the job has ended and is freed, other jobs on the executor go on, and
 * ret_error (may be NULL) is filled. Returns: STOOK_OK; STOOK_TASK_FAILED (a callback failed);
 * STOOK_CANCELLED (by progress); STOOK_IO; STOOK_INVALID; STOOK_NOMEM; STOOK_SHUTDOWN (the executor
 * was shut down meanwhile).
 * Threads: any. Blocks: until the job has ended; in a task as stook_future_wait_until() does. */
STOOK_API STOOK_NODISCARD enum stook_status mr_map_reduce(stook_executor *executor,
                                                          const struct mr_job *job,
                                                          mr_result **ret_result,
                                                          struct mr_error *ret_error);

/* The same job in the calling thread and in the plainest way: no executor, no tables, no combiner,
 * no partitions, no memory limit, no progress. For debugging a callback, and as the oracle of
 * tests.
 * Returns, frees and fills as mr_map_reduce(), but for STOOK_CANCELLED and STOOK_SHUTDOWN.
 * Threads: any. Blocks: it runs the job. */
STOOK_API STOOK_NODISCARD enum stook_status mr_map_reduce_sequential(const struct mr_job *job,
                                                                     mr_result **ret_result,
                                                                     struct mr_error *ret_error);

/* Can the job run where nothing but bytes goes from one machine to another? It cannot if keys are
 * compared by functions of the job's own. If not, why (may be NULL; size bytes) receives the
 * reason. What cannot be seen is the author's to know: keys and values must hold no pointers, and
 * no padding; numbers are in the machine's order. Sums of doubles depend on where they are added
 * up. */
STOOK_API bool mr_job_is_portable(const struct mr_job *job, char *why, size_t size);

STOOK_END_DECLS

#endif
