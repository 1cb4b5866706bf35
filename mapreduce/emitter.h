/* SPDX-License-Identifier: MIT
 *
 * Emitting, and walking values: what callbacks are given (emit.c).
 */
#ifndef MR_EMITTER_H
#define MR_EMITTER_H

#include <stdbool.h>
#include <stdint.h>
#include <stook/mapreduce.h>
#include "context.h"
#include "control.h"
#include "order.h"
#include "store.h"
#include "table.h"

struct mr__group;

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

/* The task has mapped its last item, or reduced its last key. */
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

#endif
