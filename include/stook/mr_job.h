/* SPDX-License-Identifier: MIT
 *
 * A MapReduce job: map every item to key/value pairs, bring the values of equal keys together,
 * reduce each key.
 *
 *   describe: struct mr_job -> run: mr_map_reduce -> read: [mr_result_next]... -> mr_result_destroy
 *
 * Keys and values are byte strings of any length, NUL bytes included; the library copies what is
 * emitted. Callbacks run in the executor's workers, many at a time: they share `user`, and must not
 * write to it without care of their own. A callback may submit tasks and wait for them.
 *
 * Threads: any number of jobs may use one executor at the same time, from any threads, also from
 * its own tasks. One mr_result belongs to one thread at a time.
 */
#ifndef STOOK_MR_JOB_H
#define STOOK_MR_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <stook/base.h>
#include <stook/executor.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

/* --- bytes --------------------------------------------------------------------------------- */

struct mr_slice {
    const void *data; /* may be NULL when size is 0 */
    size_t size;      /* bytes */
};

struct mr_pair {
    struct mr_slice key;
    struct mr_slice value;
};

static inline struct mr_slice mr_slice_of(const void *data, size_t size)
{
    struct mr_slice slice;
    slice.data = data;
    slice.size = size;
    return slice;
}

/* The bytes of a C string, without its NUL. */
static inline struct mr_slice mr_slice_str(const char *text)
{
    return mr_slice_of(text, strlen(text));
}

/* --- input ---------------------------------------------------------------------------------- */

/* A text: a regular file, or bytes in memory. */
struct mr_source {
    const char *path;     /* NULL: text is used */
    struct mr_slice text; /* never written to */
};

#define MR_CHUNK_AUTO SIZE_MAX

/* What to map over: an array of items or, if sources is not NULL, texts. Make one with
 * mr_input_array() or mr_input_text(), then change a field if need be. All that it points to is the
 * caller's, and must live and stay unchanged until the batch is destroyed. */
struct mr_input {
    const void *items; /* array: item_count items of item_size bytes, one after the other */
    size_t item_count;
    size_t item_size;
    const struct mr_source *sources; /* text: mapped in any order; a record never spans two */
    size_t source_count;
    const char *delimiters; /* text: each of these bytes ends a record (never NUL) */
    bool whole_splits;      /* text: call the mapper once for each split, with all its records and
                               their delimiters, instead of once for each record without its */
    size_t chunk; /* one task maps so many items, or about so many bytes; at least 1. The result
                     does not depend on it. MR_CHUNK_AUTO: chosen for the input */
};

STOOK_API struct mr_input mr_input_array(const void *items, size_t count, size_t item_size);

/* Lines of texts: delimiters "\n", one record for each call. */
STOOK_API struct mr_input mr_input_text(const struct mr_source *sources, size_t count);

/* What one call of a mapper gets. */
struct mr_item {
    struct mr_slice data; /* the array's item, in place; or the record, valid during the call. A
                             record that starts in a split belongs to it, however long it is */
    uint64_t index;       /* array: the item's number; text: offset of data in its source, bytes */
    size_t source;        /* text: index into sources; array: 0 */
};

/* --- callbacks ------------------------------------------------------------------------------- */

typedef struct mr_emitter mr_emitter; /* where a callback emits; valid during that call only */
typedef struct mr_values mr_values;   /* the values of one key; valid during that call only */

/* Emits 0 or more pairs for one item. Called exactly once for each item of a job that succeeds.
 * Returns 0, or any other value to fail the job: it is kept as mr_error.code. */
typedef int mr_map_fn(const struct mr_item *item, mr_emitter *out, void *user);

/* Folds value into accumulator, which was the value of an earlier pair of the same key (or the fold
 * of several). Must be associative and commutative: it is called any number of times, in any order,
 * also not at all. The accumulator keeps its size and is aligned for 8-byte types; value may not
 * be. Returns 0, or fails the job. */
typedef int mr_combine_fn(struct mr_slice key, void *accumulator, size_t accumulator_size,
                          struct mr_slice value, void *user);

/* Called once for each distinct key with all its values, in no order; emits 0 or more pairs of any
 * keys. Each value is aligned for 8-byte types; key may not be. Returns 0, or fails the job. */
typedef int mr_reduce_fn(struct mr_slice key, mr_values *values, mr_emitter *out, void *user);

/* Gives the partition of a key, less than partitions (more fails the job with STOOK_INVALID). Equal
 * keys must get equal partitions: depend on nothing but the arguments. */
typedef uint32_t mr_partition_fn(struct mr_slice key, uint32_t partitions, void *user);

/* Told how far a phase is: `tag` is "map" or "reduce"; done + not_done is constant within one, done
 * never falls, and not_done is 0 in the last call only, when the phase has ended well. The unit is
 * items for an array, bytes for texts, distinct keys for reduce.
 * Called in the thread that called mr_report_progress() or mr_map_reduce(), and in no other.
 * Returns 0 to go on. Any other value cancels the job; it is never called again then. */
typedef int mr_progress_fn(const char *tag, uint64_t done, uint64_t not_done, void *user);

/* Emits a pair; key and value are copied. Returns: STOOK_OK; STOOK_NOMEM; STOOK_CANCELLED (the job
 * is being cancelled or has failed elsewhere); STOOK_TASK_FAILED or STOOK_INVALID (the combiner or
 * the partitioner failed). After an error the job has ended, whatever the callback returns: it
 * should return soon (`return mr_emit(...)` does). Blocks: never. Threads: the callback's only. */
STOOK_API enum stook_status mr_emit(mr_emitter *out, struct mr_slice key, struct mr_slice value);

/* True when the job is being cancelled or has failed elsewhere: a callback that takes long should
 * ask now and then, and return. Cheap: one load. */
STOOK_API bool mr_emitter_stopped(const mr_emitter *out);

/* Gives the next value of the key, valid until the next call; false when there is none. */
STOOK_API bool mr_values_next(mr_values *values, struct mr_slice *ret_value);

/* --- a job ----------------------------------------------------------------------------------- */

enum mr_order {
    MR_ORDER_NONE = 0, /* the result comes in no particular order */
    MR_ORDER_KEY = 1   /* by key, unsigned bytes, a prefix first; equal keys by value */
};

#define MR_DEFAULT_PARTITIONS 64
#define MR_MAX_PARTITIONS 65536
#define MR_DEFAULT_PERIOD_NS 500000000

/* A description: it holds no state, is never changed, and is copied. */
struct mr_job {
    size_t struct_size; /* set by MR_JOB_INIT */
    struct mr_input input;
    mr_map_fn *map;             /* required */
    mr_combine_fn *combine;     /* NULL: the reducer gets every value */
    mr_reduce_fn *reduce;       /* required by mr_async_reduce() and mr_map_reduce() */
    mr_partition_fn *partition; /* NULL: by mr_hash() */
    void *user;                 /* passed to all callbacks */
    enum mr_order order;
    uint32_t partitions;        /* 1 .. MR_MAX_PARTITIONS; 0: MR_DEFAULT_PARTITIONS. Independent of
                                   the number of workers */
    mr_progress_fn *progress;   /* NULL: none */
    int64_t progress_period_ns; /* between two calls of progress; 0: MR_DEFAULT_PERIOD_NS */
};

#define MR_JOB_INIT                                                                                \
    {                                                                                              \
        sizeof(struct mr_job), {0, 0, 0, 0, 0, 0, false, MR_CHUNK_AUTO}, 0, 0, 0, 0, 0,            \
            MR_ORDER_NONE, 0, 0, 0                                                                 \
    }

enum mr_phase {
    MR_PHASE_NONE = 0, /* before any callback ran: arguments, memory, shutdown */
    MR_PHASE_INPUT,    /* opening or reading a source */
    MR_PHASE_MAP,      /* mapper, and combiner and partitioner while mapping */
    MR_PHASE_SHUFFLE,  /* combiner while merging */
    MR_PHASE_REDUCE
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

typedef struct mr_result mr_result;

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
 * no partitions, no progress. For debugging a callback, and as the oracle of tests. Returns, frees
 * and fills as mr_map_reduce(), but for STOOK_CANCELLED and STOOK_SHUTDOWN.
 * Threads: any. Blocks: it runs the job. */
STOOK_API STOOK_NODISCARD enum stook_status mr_map_reduce_sequential(const struct mr_job *job,
                                                                     mr_result **ret_result,
                                                                     struct mr_error *ret_error);

/* The number of pairs in a result. Threads: the owner's, as all of a result. Blocks: never. */
STOOK_API uint64_t mr_result_count(const mr_result *result);

/* Gives the next pair, in the job's order, valid until the next call on the result; false at the
 * end. */
STOOK_API bool mr_result_next(mr_result *result, struct mr_pair *ret_pair);

/* Starts again at the first pair. */
STOOK_API void mr_result_rewind(mr_result *result);

/* Frees the result and all pairs. NULL is allowed. */
STOOK_API void mr_result_destroy(mr_result *result);

/* The default partition is mr_hash(key) scaled to the number of partitions:
 * (hash >> 32) * partitions >> 32. The function is fixed: the same on every machine, for ever. It
 * does not resist keys that were made to collide. Threads: any. Blocks: never. */
STOOK_API uint64_t mr_hash(struct mr_slice key);

STOOK_END_DECLS

#endif
