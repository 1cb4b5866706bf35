/* SPDX-License-Identifier: MIT
 *
 * An ordered map over an input of any length, also an endless one: items come from a callback, are
 * worked on in parallel, and their results come out in the order of the input. Never more than
 * `look_ahead` items are between the two, so memory is bounded.
 *
 *   stook_stream_create -> stook_stream_next ... until STOOK_END -> stook_stream_destroy
 *
 * For an array whose results are wanted all together, stook_executor_map() is simpler.
 *
 * One stream is used by one thread at a time; streams are independent of one another. The executor
 * must outlive its streams.
 */
#ifndef STOOK_STREAM_H
#define STOOK_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stook/base.h>
#include <stook/executor.h>
#include <stook/status.h>

STOOK_BEGIN_DECLS

typedef struct stook_stream stook_stream;

/* Gives the next item of the input in *ret_item; false: there are no more, and it is not called
 * again. Called by create and next, in their caller's thread, and before next returns: it must not
 * call the stream's own functions, nor wait for what is done with a result. */
typedef bool stook_input_fn(void *user_data, void **ret_item);

struct stook_stream_options {
    size_t struct_size;    /* set by STOOK_STREAM_OPTIONS_INIT */
    stook_input_fn *input; /* required */
    void *input_data;      /* its user_data */
    stook_task_fn *fn;     /* required; called with the item as arg, in tasks of the executor */
    size_t look_ahead;     /* items taken from the input whose results have not been handed out, at
                              most; the one that next is about to return counts as handed out.
                              0: 64 per worker */
    size_t chunk; /* items that share a task, and so should not wait for one another; not more than
                     look_ahead. The last of the input may be fewer. 0: chosen while it runs, from 1
                     up, so that short items do not cost a task each, and yet every worker has its
                     share of look_ahead */
    void (*destroy)(void *value); /* for values, not NULL, that nobody fetched; called in next or
                                     destroy. NULL: they need none */
    /* Scope, token, client and priority of its tasks; copied, but what it names must outlive the
     * stream. NULL: none. No start_ns, no period_ns; it waits for room in a full queue for ever,
     * whatever when_full says. To a scope, a chunk is one task, which fails with the first code
     * that one of its items fails with. */
    const struct stook_submit_options *submit;
};

#define STOOK_STREAM_OPTIONS_INIT                                                                  \
    {                                                                                              \
        sizeof(struct stook_stream_options), 0, 0, 0, 0, 0, 0, 0                                   \
    }

/* Starts a stream: takes the first items, up to look_ahead, and submits them. Items, and what they
 * point to, must live until their results have been handed out or the stream is destroyed.
 * Returns: STOOK_OK; STOOK_INVALID (a NULL that is required, struct_size unknown, chunk larger than
 *          look_ahead, bad submit options); STOOK_NOMEM; STOOK_SHUTDOWN; STOOK_BROKEN;
 *          STOOK_DEADLOCK (in a callback: the first task would have to wait for room);
 *          STOOK_FORKED. On failure fn was not called, and items that the input gave are lost to
 *          it. When some were submitted and further ones cannot be, it is next that tells.
 * Threads: any. Blocks: for input; for room in a full queue. */
STOOK_API STOOK_NODISCARD enum stook_status
stook_stream_create(stook_executor *executor, const struct stook_stream_options *options,
                    stook_stream **ret_stream);

/* Waits for the result of the next item in input order, hands it over, and submits further items.
 *
 * ret_value (NULL: it is destroyed) receives what fn stored, the caller's from now on; ret_code
 * (NULL: not wanted) what it returned. Both are written for OK and TASK_FAILED.
 *
 * An item that FAILED does not end the stream: who wants to stop at the first error destroys it. On
 * TIMEOUT nothing is lost: call again.
 * Returns: STOOK_OK; STOOK_TASK_FAILED (this item's fn did not return 0); STOOK_CANCELLED (this
 *          item was not worked on: a token, scope or shutdown cancelled it, or the executor
 *          broke); STOOK_END; STOOK_TIMEOUT; STOOK_INVALID (NULL); STOOK_NOMEM, STOOK_SHUTDOWN,
 *          STOOK_BROKEN (further items cannot be submitted: told once all results before them are
 *          out, and for every call from then on); STOOK_DEADLOCK (as stook_future_wait_until(); in
 *          a callback also where this item's task would have to wait for room); STOOK_FORKED.
 * Threads: one at a time. Blocks: until the deadline, in a task as stook_future_wait_until(); then
 * as create. */
STOOK_API STOOK_NODISCARD enum stook_status
stook_stream_next(stook_stream *stream, int64_t deadline_ns, void **ret_value, int *ret_code);

/* Ends the stream at any point: cancels what has not begun, asks the rest to stop, waits for what
 * runs, destroys the values that nobody fetched. NULL is allowed. Called where that wait would
 * answer STOOK_DEADLOCK, in a callback or by what it waits for, it aborts with a message (built
 * with -Dchecks=false: undefined). Threads: any, once. Blocks: for running tasks. */
STOOK_API void stook_stream_destroy(stook_stream *stream);

STOOK_END_DECLS

#endif
