/* SPDX-License-Identifier: MIT
 *
 * The callbacks of a job, and what they call: emitting pairs, reading values, counting.
 *
 * Callbacks run in the executor's workers, many at a time: they share `user`, and must not write to
 * it without care of their own. They may submit tasks and wait for them.
 */
#ifndef STOOK_MR_EMIT_H
#define STOOK_MR_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stook/base.h>
#include <stook/mr_bytes.h>
#include <stook/mr_input.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

typedef struct mr_emitter mr_emitter; /* where a callback emits; valid during that call only */
typedef struct mr_values mr_values;   /* the values of one key; valid during that call only */

/* Emits 0 or more pairs for one item. Called exactly once for each item of a job that succeeds, but
 * for items that are tried again (mr_job.attempts). Returns 0, or any other value: the item is bad,
 * which fails the job unless that is tolerated (mr_job.most_bad_items); kept as mr_error.code. */
typedef int mr_map_fn(const struct mr_item *item, mr_emitter *out, void *user);

/* Folds value into accumulator, which was the value of an earlier pair of the same key (or the fold
 * of several). Must be associative and commutative: it is called any number of times, in any order,
 * also not at all. The accumulator keeps its size and is aligned for 8-byte types; value may not
 * be. Returns 0, or fails the job. */
typedef int mr_combine_fn(struct mr_slice key, void *accumulator, size_t accumulator_size,
                          struct mr_slice value, void *user);

/* Ready-made ones, which are not called for each pair but known to the library. Values are 8 bytes
 * (others fail the job with STOOK_INVALID): uint64_t, whose sum wraps around, or double. */
STOOK_API int mr_sum_u64(struct mr_slice key, void *accumulator, size_t accumulator_size,
                         struct mr_slice value, void *user);
STOOK_API int mr_sum_f64(struct mr_slice key, void *accumulator, size_t accumulator_size,
                         struct mr_slice value, void *user);

/* Called once for each distinct key with all its values, in no order; emits 0 or more pairs of any
 * keys. Each value is aligned for 8-byte types; key may not be. Returns 0, or fails the job. */
typedef int mr_reduce_fn(struct mr_slice key, mr_values *values, mr_emitter *out, void *user);

/* Gives the partition of a key, less than partitions (more fails the job with STOOK_INVALID). Equal
 * keys must get equal partitions: depend on nothing but the arguments. */
typedef uint32_t mr_partition_fn(struct mr_slice key, uint32_t partitions, void *user);

/* Whether a goes before b in the result: negative; 0: it does not matter; positive: after it. */
typedef int mr_compare_fn(const struct mr_pair *a, const struct mr_pair *b, void *user);

/* Ready-made: values as uint64_t, the largest first; equal ones by key. */
STOOK_API int mr_by_count(const struct mr_pair *a, const struct mr_pair *b, void *user);

/* Keys that are equal though their bytes are not. Both must fit: equal keys have equal hashes. */
struct mr_keys {
    uint64_t (*hash)(struct mr_slice key, void *user);
    int (*compare)(struct mr_slice a, struct mr_slice b, void *user); /* as mr_slice_compare */
};

/* Told how far a phase is: `tag` is "map" or "reduce"; done + not_done is constant within one (but
 * see mr_source, mr_input_iterator), done never falls, and not_done is 0 in the last call only,
 * when the phase has ended well. The unit is items for an array, bytes for texts, distinct keys for
 * reduce. Called in the thread that called mr_report_progress(), mr_map_reduce() or mr_run_wait(),
 * and in no other. Returns 0 to go on. Any other value cancels the job; it is never called again
 * then. */
typedef int mr_progress_fn(const char *tag, uint64_t done, uint64_t not_done, void *user);

/* Emits a pair; key and value are copied. Returns: STOOK_OK; STOOK_NOMEM; STOOK_CANCELLED (the job
 * is being cancelled or has failed elsewhere); STOOK_TASK_FAILED or STOOK_INVALID (the combiner or
 * the partitioner failed); STOOK_IO (spilling failed). After an error the job has ended, whatever
 * the callback returns: it should return soon (`return mr_emit(...)` does). What is wrong with a
 * pair may be told by a later call, or after the callback has returned.
 * Blocks: for spilling, when the job has a memory limit. Threads: the callback's only. */
STOOK_API enum stook_status mr_emit(mr_emitter *out, struct mr_slice key, struct mr_slice value);

/* Emits count pairs of the same value: faster than one at a time, as the memory that they need is
 * fetched at the same time. Otherwise as mr_emit(). */
STOOK_API enum stook_status mr_emit_keys(mr_emitter *out, const struct mr_slice keys[],
                                         size_t count, struct mr_slice value);

/* The same with a number for each key. */
STOOK_API enum stook_status mr_emit_keys_u64(mr_emitter *out, const struct mr_slice keys[],
                                             size_t count, const uint64_t values[]);

/* The value is a number of 8 bytes, as mr_sum_u64() and mr_sum_f64() add up. */
static inline enum stook_status mr_emit_u64(mr_emitter *out, struct mr_slice key, uint64_t value)
{
    return mr_emit(out, key, mr_slice_of(&value, sizeof value));
}

static inline enum stook_status mr_emit_f64(mr_emitter *out, struct mr_slice key, double value)
{
    return mr_emit(out, key, mr_slice_of(&value, sizeof value));
}

/* True when the job is being cancelled or has failed elsewhere: a callback that takes long should
 * ask now and then, and return. Cheap: one load. */
STOOK_API bool mr_emitter_stopped(const mr_emitter *out);

/* Gives the next value of the key, valid until the next call; false when there is none, or no more
 * can be read (then the job has failed). Blocks: for reading what was spilled. */
STOOK_API bool mr_values_next(mr_values *values, struct mr_slice *ret_value);

/* Adds to the counter of that name, which is made if need be: read them with mr_run_counter().
 * name: a literal, or lives as long as the job; up to MR_MAX_COUNTERS different
 * ones (more are not counted). Counts of items that were tried again count again. Threads: the
 * callback's only. Blocks: never. */
STOOK_API void mr_count(mr_emitter *out, const char *name, uint64_t amount);

#define MR_MAX_COUNTERS 64

STOOK_END_DECLS

#endif
