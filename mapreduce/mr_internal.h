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
#include "mr_platform.h"
#include "table.h"

/* --- the first error (error.c) ---------------------------------------------------------------- */

/* Shared by all tasks of a phase. The first failure is kept, and tells the others to stop. */
struct mr__control {
    mtx_t mutex;           /* guards error until stopped */
    _Atomic(bool) stopped; /* never reset; error is constant from then on */
    struct mr_error error;
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

/* --- pairs that are kept as they come (result.c) ---------------------------------------------- */

struct mr__output {
    uint64_t prefix; /* first 8 bytes of the key, big-endian, zero-padded: compares like the key */
    struct mr_pair pair;
};

struct mr__list { /* all zero: empty */
    struct mr__output *outputs;
    size_t count;
    size_t capacity;
};

/* Copies key and value into the arena. False without memory. */
bool mr__list_add(struct mr__list *list, struct mr__arena *arena, struct mr_slice key,
                  struct mr_slice value);

/* By key, then by value, both as unsigned bytes with a prefix first. */
void mr__list_sort(struct mr__list *list);
int mr__output_compare(const void *a, const void *b);
void mr__list_fini(struct mr__list *list);

/* --- where emissions go (store.c) ------------------------------------------------------------- */

/* What one task at a time emits into; leased, so that there are only as many as tasks ran at once.
 * A task that waits keeps its lease, and one that begins meanwhile gets another. */
struct mr__segment {
    struct mr__segment *next;      /* in all */
    struct mr__segment *next_free; /* in free */
    struct mr__arena arena;
    struct mr__table *tables; /* one for each partition; NULL: a segment for lists */
    char *buffer;             /* for reading texts */
    size_t buffer_size;
    _Atomic(uint64_t) done; /* progress; written by the leaseholder, read by the reporter */
};

struct mr__store {
    mtx_t mutex; /* guards the lists, not the segments */
    struct mr__segment *all;
    struct mr__segment *free;
    uint32_t partitions; /* 0: segments have no tables */
    uint64_t moved_done; /* progress of the segments that were moved away */
};

bool mr__store_init(struct mr__store *store, uint32_t partitions);
void mr__store_fini(struct mr__store *store);

/* A free segment or a new one; NULL without memory. */
struct mr__segment *mr__store_lease(struct mr__store *store);
void mr__store_return(struct mr__store *store, struct mr__segment *segment);

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

/* --- emitting (emit.c) ------------------------------------------------------------------------ */

struct mr_emitter {
    const struct mr_job *job;
    struct mr__control *control;
    struct mr__segment *segment;
    struct mr__list *list; /* NULL: into the segment's tables */
    enum mr_phase phase;
    const struct mr_item *item; /* being mapped; NULL in reduce */
    enum stook_status status;   /* of the first emit that failed; sticky */
};

/* Records that a callback of the job failed with `code`; key may be NULL. */
void mr__emitter_fail(mr_emitter *out, const char *callback, int code, const struct mr_slice *key);

/* Records a failure without a callback. */
void mr__emitter_fail_plain(mr_emitter *out, enum stook_status status);

/* Calls the mapper for one item and counts nothing; false: stop. */
bool mr__map_item(mr_emitter *out, const struct mr_item *item);

struct mr_values {
    struct mr__cursor cursor;
    const struct mr__output *next; /* the sequential form: an array of pairs of one key */
    const struct mr__output *end;
};

/* --- input (input.c, text.c) ------------------------------------------------------------------ */

/* A range of items of an array, or of bytes of one source. */
struct mr__split {
    size_t source;
    uint64_t begin;
    uint64_t end;
};

struct mr__plan {
    struct mr__split *splits;
    size_t count;
    uint64_t *sizes; /* of the sources, bytes; NULL for arrays */
    uint64_t total;  /* items or bytes */
};

/* Checks the description. */
enum stook_status mr__job_check(const struct mr_job *job, struct mr_error *ret_error);

/* Looks at the sources and cuts the input into splits for so many workers. */
enum stook_status mr__plan_make(struct mr__plan *plan, const struct mr_input *input,
                                unsigned workers, struct mr_error *ret_error);
void mr__plan_fini(struct mr__plan *plan);

/* The length of a source; on failure the error is filled. */
enum stook_status mr__text_size(const struct mr_source *source, size_t index, uint64_t *ret_size,
                                struct mr_error *ret_error);

/* Maps all items or records of a split; stops when the emitter fails or the control is stopped. */
void mr__map_split(const struct mr__plan *plan, const struct mr__split *split, mr_emitter *out);
void mr__map_text(const struct mr__plan *plan, const struct mr__split *split, mr_emitter *out);

/* --- the tasks of a phase (batch.c) ----------------------------------------------------------- */

struct mr__task {
    mr_batch *batch;
    size_t index;
};

struct mr_batch {
    stook_executor *executor;
    struct mr_job job;
    struct mr__control control;
    struct mr__store store;
    enum mr_phase phase;
    uint64_t total;          /* units of progress */
    struct mr__plan plan;    /* map */
    const mr_groups *groups; /* shuffle: being filled; reduce */
    uint32_t *partitions;    /* shuffle, reduce: of each task */
    struct mr__list *lists;  /* reduce: what each task emitted */
    struct mr__task *tasks;
    stook_future **futures;
    size_t count; /* of tasks */
    bool is_submitted;
    bool is_taken; /* shuffled, or its result taken: the store is empty */
};

/* An empty batch; NULL without memory (or mutexes). */
mr_batch *mr__batch_create(stook_executor *executor, const struct mr_job *job, enum mr_phase phase,
                           uint32_t partitions);

/* Submits `count` tasks that run fn on a struct mr__task. */
enum stook_status mr__batch_submit(mr_batch *batch, stook_task_fn *fn, size_t count);

/* The same with a task for each partition of `groups` that has work: batch->partitions[index]. */
enum stook_status mr__batch_submit_partitions(mr_batch *batch, stook_task_fn *fn,
                                              const mr_groups *groups,
                                              bool (*has_work)(const mr_groups *, uint32_t));

/* Waits until no task runs any more, and gives the outcome. */
enum stook_status mr__batch_wait(mr_batch *batch);

/* --- after the shuffle (shuffle.c) ------------------------------------------------------------ */

struct mr_groups {
    struct mr_job job;
    struct mr__store store;   /* the arenas that keys and values are in */
    struct mr__table *tables; /* one for each partition */
    struct mr__arena *arenas; /* likewise, for what merging adds */
    uint32_t partitions;
    uint64_t count;
};

/* --- results (result.c) ----------------------------------------------------------------------- */

struct mr__run {
    const struct mr__output *next;
    const struct mr__output *end;
};

struct mr_result {
    struct mr__store store; /* the arenas */
    struct mr__list *lists;
    size_t list_count;
    enum mr_order order;
    uint64_t count;
    struct mr__run *runs; /* not yet given; a heap by the next output if ordered */
    size_t run_count;
};

/* Takes the store and the lists over (both are left empty); NULL without memory. */
mr_result *mr__result_create(struct mr__store *store, struct mr__list **lists, size_t list_count,
                             enum mr_order order);

#endif
