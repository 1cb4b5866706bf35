/* SPDX-License-Identifier: MIT
 *
 * What the steps of a job are made of. README.md has the dataflow.
 */
#ifndef MR_INTERNAL_H
#define MR_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stook/mapreduce.h>
#include "context.h"
#include "control.h"
#include "emitter.h"
#include "input.h"
#include "list.h"
#include "merge.h"
#include "mr_platform.h"
#include "order.h"
#include "store.h"
#include "table.h"

/* --- the tasks of a phase (batch.c) ----------------------------------------------------------- */

struct mr__task {
    mr_batch *batch;
    size_t index;
};

struct mr_batch {
    struct mr_batch *next_active; /* in the context */
    stook_executor *executor;
    struct mr__context *context; /* the store's reference */
    struct mr_job job;
    struct mr__control control;
    struct mr__store store;
    enum mr_phase phase;
    uint64_t total;         /* units of progress */
    struct mr__plan plan;   /* map */
    struct mr__feed *feed;  /* map: of the splits that are read; NULL: there are none */
    mr_groups *groups;      /* shuffle: being filled; reduce */
    uint32_t *partitions;   /* shuffle, reduce: of each task */
    struct mr__list *lists; /* reduce: what each task emitted */
    struct mr__runs *runs;  /* reduce: the same that was spilled */
    struct mr__task *tasks;
    stook_future **futures;
    size_t count;     /* of tasks */
    int64_t begun_ns; /* when it was submitted */
    bool has_ended;   /* seen by the owner */
    bool is_submitted;
    bool is_taken; /* shuffled, or its result taken: the store is empty */
};

/* An empty batch; NULL without memory (or mutexes). */
mr_batch *mr__batch_create(struct mr__context *context, const struct mr_job *job,
                           enum mr_phase phase, uint32_t partitions);

/* mr_async_map() in a context that there is already. */
enum stook_status mr__async_map(struct mr__context *context, const struct mr_job *job,
                                mr_batch **ret_batch, struct mr_error *ret_error);

/* Runs fn(arg, out) with an emitter into a leased segment; for map tasks, of a split or a part. */
enum stook_status mr__batch_map(mr_batch *batch, const struct mr__split *split,
                                void (*fn)(void *arg, mr_emitter *out), void *arg);

/* How tasks of the batch are submitted. */
struct stook_submit_options mr__batch_options(const mr_batch *batch);

/* Submits `count` tasks that run fn on a struct mr__task. */
enum stook_status mr__batch_submit(mr_batch *batch, stook_task_fn *fn, size_t count);

/* The same with a task for each partition of `groups` that has work: batch->partitions[index]. */
enum stook_status mr__batch_submit_partitions(mr_batch *batch, stook_task_fn *fn, mr_groups *groups,
                                              bool (*has_work)(const mr_groups *, uint32_t));

/* Waits until no task runs any more, and gives the outcome. */
enum stook_status mr__batch_wait(mr_batch *batch);

/* --- after the shuffle (shuffle.c) ------------------------------------------------------------ */

struct mr_groups {
    _Atomic(unsigned) refs;
    struct mr__context *context; /* a reference */
    struct mr_job job;
    struct mr__store store;
    struct mr__table *tables; /* one for each partition */
    uint32_t partitions;
    uint64_t count;
    bool is_consumed; /* who reduces a table empties it: nobody reduces them again */
    struct mr__runs
        *runs; /* of each partition, instead of tables; NULL: nothing has been spilled */
};

mr_groups *mr__groups_retain(mr_groups *groups);
void mr__groups_release(mr_groups *groups); /* NULL is allowed */

/* --- results (result.c) ----------------------------------------------------------------------- */

/* How far a walk over pairs has come; all zero: at the begin. */
struct mr__walk {
    size_t part; /* table or list */
    size_t slot;
    const struct mr__segment *segment; /* whose list it is */
    struct mr__list_walk list;
};

struct mr_result {
    struct mr__context *context; /* a reference */
    struct mr_job job;           /* its order */
    mr_groups *groups;           /* a reference; NULL: the lists */
    struct mr__list *lists;
    size_t list_count;
    struct mr__runs runs; /* all pairs, if there are any: then there are no lists */
    struct mr__merge merge;
    struct mr__reader reader;
    enum stook_status status;
    int code;       /* errno for STOOK_IO */
    uint64_t all;   /* pairs there are */
    uint64_t count; /* pairs to be given, by job.top */
    uint64_t given;
    struct mr__entry *entries; /* in order; NULL: there is none */
    size_t entries_size;       /* bytes */
    struct mr__walk walk;
};

struct mr__result_source {
    struct mr__context *context;
    const struct mr_job *job;
    mr_groups *groups; /* NULL: the lists, which are taken over: *lists is NULL then */
    struct mr__list **lists;
    size_t list_count;
    struct mr__runs *runs;   /* for each list, or NULL: none. Emptied */
    struct mr__store *store; /* segments through which lists may be spilled */
};

/* Where pairs lie that are all in memory: slots, some of which are free, or entries. */
struct mr__places {
    const mr_result *result;
    uint32_t part; /* table */
    size_t next;   /* slot of the table, or entry */
    uint64_t left; /* places */
};

/* Takes all pairs that are left; false: they can only be walked. */
bool mr__places_take(mr_result *result, struct mr__places *ret_places);

/* Takes the first `most` places. */
struct mr__places mr__places_split(struct mr__places *places, uint64_t most);
bool mr__places_next(struct mr__places *places, struct mr_pair *ret_pair);

/* executor NULL: orders in the calling thread. Returns as mr__order_sort(), or STOOK_IO, and fills
 * the error. */
enum stook_status mr__result_create(const struct mr__result_source *source,
                                    stook_executor *executor, mr_result **ret_result,
                                    struct mr_error *ret_error);

#endif
