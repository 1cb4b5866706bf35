/* SPDX-License-Identifier: MIT
 *
 * What the files of mapreduce/ share. README.md has the dataflow.
 */
#ifndef MR_INTERNAL_H
#define MR_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stook/mapreduce.h>
#include <threads.h>
#include "arena.h"
#include "input.h"
#include "list.h"
#include "memory.h"
#include "merge.h"
#include "mr_platform.h"
#include "order.h"
#include "table.h"

/* --- the first error (error.c) ---------------------------------------------------------------- */

/* Shared by all tasks of a phase. The first failure is kept, and tells the others to stop. */
struct mr__control {
    mtx_t mutex;           /* guards error until stopped */
    _Atomic(bool) stopped; /* never reset; error is constant from then on */
    struct mr_error error;
    int wake; /* a byte is written to it when this is stopped; -1: nobody waits for that */
};

bool mr__control_init(struct mr__control *control);
void mr__control_fini(struct mr__control *control);

static inline bool mr__control_stopped(const struct mr__control *control)
{
    /* order MR.poll rlx: late news costs a little work; who reads the error waits for the tasks */
    return mr_a_load_rlx(&control->stopped);
}

/* Keeps the error unless there is one. */
void mr__control_fail(struct mr__control *control, const struct mr_error *error);

/* The outcome, once no task runs: STOOK_OK, or the error's status; ret_error may be NULL. */
enum stook_status mr__control_outcome(const struct mr__control *control,
                                      struct mr_error *ret_error);

/* Fills *error (NULL: nothing) and returns its status; the message is printf's. */
enum stook_status mr__error_set(struct mr_error *error, enum stook_status status,
                                enum mr_phase phase, int code, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* The same with the sentence of the status as the message. */
enum stook_status mr__error_plain(struct mr_error *error, enum stook_status status,
                                  enum mr_phase phase);

enum { MR_KEY_TEXT = 96 };

/* A path for messages: its end, if it is long, so that there is room for what went wrong. */
enum { MR_PATH_TEXT = 128 };
const char *mr__path_text(const char *path, char text[MR_PATH_TEXT]);

/* A key as text for messages, in quotes, cut, with bytes that do not print as \xNN. */
const char *mr__key_text(struct mr_slice key, char text[MR_KEY_TEXT]);

struct mr__runs { /* all zero: none */
    struct mr__run *all;
    size_t count;
    size_t capacity;
};

struct mr__counter {
    const char *name;
    uint64_t amount;
};

struct mr__counters { /* all zero: none */
    struct mr__counter all[MR_MAX_COUNTERS];
    size_t count;
};

void mr__counters_add(struct mr__counters *counters, const char *name, uint64_t amount);

/* --- what all of a job share (context.c) ------------------------------------------------------ */

/* Kept by the references of batches, groups and results. */
struct mr__context {
    _Atomic(unsigned) refs;
    stook_executor *executor; /* constant; NULL: the sequential form */
    struct mr__budget budget;
    mtx_t mutex; /* guards the rest */
    struct mr__file *files;
    struct mr_batch *batches; /* that are under way */
    bool is_cancelled;
    struct mr_stats stats;
    struct mr__counters counters;
    struct mr_error bad_items[MR_BAD_SAMPLES];
};

/* NULL without memory or mutex. */
struct mr__context *mr__context_create(stook_executor *executor, const struct mr_job *job);

/* A new file, for one writer at a time, that lives as long as the context; NULL: the error is filled. */
struct mr__file *mr__context_file(struct mr__context *context, const char *directory,
                                  struct mr_error *ret_error);
void mr__context_count_spill(struct mr__context *context, uint64_t bytes);

/* A batch is under way, until it is taken out again; cancels it if the context has been cancelled. */
void mr__context_enter(struct mr__context *context, struct mr_batch *batch);
void mr__context_leave(struct mr__context *context, struct mr_batch *batch);

/* So many distinct keys has a partition. */
void mr__context_count_keys(struct mr__context *context, uint64_t keys);

/* What has been done so far. */
void mr__context_stats(struct mr__context *context, struct mr_stats *ret_stats);

/* The statistics of a phase; the mutex is held. */
struct mr_phase_stats *mr__context_phase(struct mr__context *context, enum mr_phase phase);

/* Cancels the batches that are under way, and those to come. */
void mr__context_cancel(struct mr__context *context);

/* An item could not be mapped. Keeps the error, unless it is one too many: then false. */
bool mr__context_tolerate(struct mr__context *context, const struct mr_job *job,
                          const struct mr_error *error);
struct mr__context *mr__context_retain(struct mr__context *context);
void mr__context_release(struct mr__context *context); /* NULL is allowed */

/* --- where emissions go (store.c) ------------------------------------------------------------- */

enum { MR_PENDING = 64 }; /* pairs that are added together */

/* What one task at a time emits into; leased, so that there are only as many as tasks ran at once.
 * A task that waits keeps its lease, and one that begins meanwhile gets another. */
struct mr__segment {
    struct mr__segment *next;      /* in all */
    struct mr__segment *next_free; /* in free */
    uint32_t rank;                 /* whose pairs it has */
    struct mr__arena arena;
    struct mr__table *tables;  /* one for each partition; NULL: a segment for lists */
    struct mr__list list;      /* of a map phase without tables */
    struct mr__file *file;     /* the context's; NULL: nothing has been spilled */
    struct mr__runs *runs;     /* what has: for each partition; NULL: none */
    struct mr__runs list_runs; /* the same of the list */
    struct mr__pending pending[MR_PENDING];
    unsigned pending_count;
    uint64_t pairs; /* emitted */
    char *buffer;   /* for reading texts */
    size_t buffer_size;
    _Atomic(uint64_t) done; /* progress; written by the leaseholder, read by the reporter */
};

struct mr__store {
    struct mr__context *context; /* a reference */
    mtx_t mutex;                 /* guards the lists, not the segments */
    struct mr__segment *all;
    struct mr__segment *free;
    uint32_t partitions; /* 0: segments have no tables */
    uint64_t moved_done; /* progress of the segments that were moved away */
};

bool mr__store_init(struct mr__store *store, struct mr__context *context, uint32_t partitions);
void mr__store_fini(struct mr__store *store);

/* A free segment of that rank or a new one; NULL without memory. */
struct mr__segment *mr__store_lease(struct mr__store *store, uint32_t rank);
void mr__store_return(struct mr__store *store, struct mr__segment *segment);

/* Has any segment spilled its tables? None is leased. */
bool mr__store_has_runs(const struct mr__store *store);

/* Moves all segments, none of which is leased, to a store that is fresh from init. What they have
 * done still counts in `from`, which may be asked meanwhile. */
void mr__store_move(struct mr__store *to, struct mr__store *from);

/* The sum of all done counters; never falls. */
uint64_t mr__store_done(struct mr__store *store);

/* By the leaseholder only. */
static inline void mr__segment_progress(struct mr__segment *segment, uint64_t units)
{
    /* order MR.count rlx: a statistic with one writer */
    uint64_t done = mr_a_load_rlx(&segment->done);
    mr_a_store_rlx(&segment->done, done + units);
}

/* --- when memory ends (overflow.c) ------------------------------------------------------------ */

/* Should it let go of its memory, because the job has too much? */
bool mr__segment_overflows(struct mr__context *context, const struct mr__segment *segment,
                           uint32_t partitions);
bool mr__list_overflows(struct mr__context *context, const struct mr__list *list);

bool mr__runs_add(struct mr__runs *runs, const struct mr__run *run);
bool mr__runs_append(struct mr__runs *runs, const struct mr__runs *from);
void mr__runs_fini(struct mr__runs *runs);

/* Makes a run, sorted by key, of each table that is not empty, and empties the segment. Returns
 * STOOK_OK; STOOK_IO; STOOK_NOMEM: the error is filled. */
enum stook_status mr__segment_spill(struct mr__context *context, const struct mr_job *job,
                                    struct mr__segment *segment, uint32_t partitions,
                                    struct mr_error *ret_error);

/* Makes a run of a list, in the job's order, and empties it. Returns as above. */
enum stook_status mr__list_spill(struct mr__context *context, const struct mr_job *job,
                                 struct mr__segment *segment, struct mr__list *list,
                                 struct mr__runs *runs, struct mr_error *ret_error);

/* --- emitting (emit.c) ------------------------------------------------------------------------ */

struct mr_emitter {
    const struct mr_job *job;
    struct mr__control *control;
    struct mr__segment *segment;
    struct mr__context *context;
    struct mr__list *list; /* NULL: into the segment's tables */
    struct mr__runs *runs; /* of the list */
    enum mr_phase phase;
    struct mr__list *stage; /* not NULL: what the item emits goes here first */
    uint64_t items;         /* mapped so far */
    uint64_t begun_ns;      /* CPU time of the thread at the begin of the task */
    uint64_t pairs_before;  /* of the segment then */
    uint64_t done_before;   /* likewise */
    uint64_t keys;          /* merged by a reduce task */
    struct mr__counters counters;
    const struct mr_item *item; /* being mapped; NULL in reduce */
    const void *window;         /* the bytes at hand: within them, so many from the begin on, 16 */
    size_t window_room;         /* may be read */
    bool fails_late;            /* the combiner may fail: then it does for the item that emitted */
    enum stook_status status;   /* of the first emit that failed; sticky */
};

/* Records that a callback of the job failed with `code`; key may be NULL. */
void mr__emitter_fail(mr_emitter *out, const char *callback, int code, const struct mr_slice *key);

/* Records a failure without a callback. */
void mr__emitter_fail_plain(mr_emitter *out, enum stook_status status);

/* Records that what had been spilled could not be read. */
void mr__emitter_fail_read(mr_emitter *out, enum stook_status status, int code);

/* A task begins to map into the emitter's segment. */
void mr__emitter_begin(mr_emitter *out);

/* What every task of a batch begins and ends with: its share of the statistics. */
void mr__task_begin(mr_emitter *out);
void mr__task_end(mr_emitter *out);

/* Adds what was emitted and not yet added. */
enum stook_status mr__emitter_flush(mr_emitter *out);

/* The task has mapped its last item. */
void mr__emitter_end(mr_emitter *out);

/* Calls the mapper for one item and counts nothing; false: stop. */
bool mr__map_item(mr_emitter *out, const struct mr_item *item);

struct mr_values {
    struct mr__cursor cursor;
    struct mr__group *group;      /* not NULL: merged runs */
    const struct mr_slice *only;  /* not NULL: one value, not yet given */
    const struct mr__entry *next; /* the sequential form: an array of pairs of one key */
    const struct mr__entry *end;
};

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
    struct mr__store store;   /* the arenas that keys and values are in */
    struct mr__table *tables; /* one for each partition */
    struct mr__arena *arenas; /* likewise, for what merging adds */
    uint32_t partitions;
    uint64_t count;
    struct mr__runs
        *runs; /* of each partition, instead of tables; NULL: nothing has been spilled */
};

mr_groups *mr__groups_retain(mr_groups *groups);

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

/* executor NULL: orders in the calling thread. Returns as mr__order_sort(), or STOOK_IO, and fills the
 * error. */
enum stook_status mr__result_create(const struct mr__result_source *source,
                                    stook_executor *executor, mr_result **ret_result,
                                    struct mr_error *ret_error);

#endif
