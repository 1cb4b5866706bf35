/* SPDX-License-Identifier: MIT
 *
 * What feed.c, feed_text.c and feed_items.c share: windows, and the tasks that fill them.
 */
#ifndef MR_FEED_H
#define MR_FEED_H

#include <stook/scope.h>
#include "mr_internal.h"

enum { MR_FIRST_BUFFER = 1 << 18 };

/* Belongs to the feed, whoever fills or maps it. */
struct mr__window {
    struct mr__window *next;      /* in all */
    struct mr__window *next_free; /* in free */
    struct mr__feed *feed;
    const struct mr__split *split; /* that it is a part of */
    unsigned char *buffer;         /* of text.data, or of the items' bytes */
    size_t capacity;
    struct mr__text text;  /* items: offset is the number of the first one */
    size_t used;           /* by the splitter */
    struct mr_pair *items; /* key: the item; value */
    size_t item_count;
    size_t item_capacity;
};

struct mr__feed {
    mr_batch *batch; /* NULL: sequential */
    mr_emitter *out; /* sequential */
    const struct mr_job *job;
    const struct mr__plan *plan;
    struct mr__control *control;
    struct mr__budget *budget;
    int wake[2]; /* a pipe; -1: none */
    unsigned most;
    mtx_t mutex; /* guards what follows */
    struct mr__window *all;
    struct mr__window *free;
    unsigned under_way;
    uint64_t taken;
};

/* One task that reads. */
struct mr__feeder {
    struct mr__feed *feed;
    const struct mr__split *split;
    struct mr__stream *stream;
    stook_scope *scope; /* of the tasks that map its windows; NULL: none yet */
};

/* An empty window; NULL without memory. */
struct mr__window *mr__window_take(struct mr__feeder *feeder);

/* Gives it back; was_under_way: it was handed to another task. */
void mr__window_put(struct mr__window *window, bool was_under_way);

/* Has room for `size` bytes; false without memory. */
bool mr__window_reserve(struct mr__window *window, size_t size);

/* Maps the window in this task. */
enum stook_status mr__window_map(struct mr__window *window);

/* Has the window mapped, by another task or here, and gives it back. */
enum stook_status mr__window_hand_over(struct mr__feeder *feeder, struct mr__window *window);

/* Counts what is beyond the plan's total. */
void mr__feed_count(struct mr__feed *feed, uint64_t units);

/* The job fails; returns its status. */
enum stook_status mr__feed_fail(struct mr__feed *feed, const struct mr_error *error);
enum stook_status mr__feed_fail_plain(struct mr__feed *feed, enum stook_status status);

/* Take a whole split. */
enum stook_status mr__feed_text(struct mr__feeder *feeder);
enum stook_status mr__feed_items(struct mr__feeder *feeder);

#endif
