/* SPDX-License-Identifier: MIT
 *
 * A progress callback that remembers its calls, and what must hold of them.
 */
#ifndef MR_PROGRESS_H
#define MR_PROGRESS_H

#include "mr_support.h"

#define LOG_CALLS 1000
#define ABORT_NEVER SIZE_MAX

struct logged_call {
    const char *tag; /* "map", "reduce" or NULL for another */
    uint64_t done;
    uint64_t not_done;
};

/* Of one job, run by the thread that called log_init(). */
struct progress_log {
    thrd_t thread;
    atomic_uint wrong_thread; /* calls from other threads, which are not logged */
    atomic_uint map_calls;    /* for callbacks to look at */
    atomic_uint reduce_calls;
    size_t count; /* of calls; those beyond LOG_CALLS are counted only */
    struct logged_call calls[LOG_CALLS];
    size_t abort_call;         /* the call with this index answers 1 */
    const char *abort_end_tag; /* so does the one that tells the end of this phase; NULL: none */
};

static inline void log_init(struct progress_log *log)
{
    memset(log, 0, sizeof *log);
    log->thread = thrd_current();
    log->abort_call = ABORT_NEVER;
}

static inline int log_progress(const char *tag, uint64_t done, uint64_t not_done, void *user)
{
    struct progress_log *log = user;
    const bool map = strcmp(tag, "map") == 0;
    const bool reduce = strcmp(tag, "reduce") == 0;
    if (!thrd_equal(thrd_current(), log->thread)) {
        atomic_fetch_add(&log->wrong_thread, 1);
        return 0;
    }
    if (log->count < LOG_CALLS) {
        struct logged_call *call = &log->calls[log->count];
        call->tag = map ? "map" : reduce ? "reduce" : NULL;
        call->done = done;
        call->not_done = not_done;
    }
    const bool abort_now =
        log->count == log->abort_call ||
        (log->abort_end_tag != NULL && not_done == 0 && strcmp(tag, log->abort_end_tag) == 0);
    log->count++;
    atomic_fetch_add(map ? &log->map_calls : &log->reduce_calls, 1);
    return abort_now;
}

/* Have all calls come from the right thread, with the tags map... reduce..., with no count falling
 * within a phase, no call after its end, and the totals as said? Holds also of a failed job. */
static inline bool log_is_sound(const struct progress_log *log, uint64_t map_total,
                                uint64_t reduce_total)
{
    const struct logged_call *last = NULL;
    size_t known = log->count < LOG_CALLS ? log->count : LOG_CALLS;
    if (atomic_load(&log->wrong_thread) > 0) {
        fprintf(stderr, "progress was called in another thread\n");
        return false;
    }
    for (size_t i = 0; i < known; i++) {
        const struct logged_call *call = &log->calls[i];
        const bool reduce = call->tag != NULL && call->tag[0] == 'r';
        if (call->tag == NULL ||
            call->done + call->not_done != (reduce ? reduce_total : map_total)) {
            fprintf(stderr, "call %zu: wrong tag, or total of %llu + %llu\n", i,
                    (unsigned long long)call->done, (unsigned long long)call->not_done);
            return false;
        }
        if (last != NULL && call->tag != last->tag && (!reduce || last->not_done != 0)) {
            fprintf(stderr, "call %zu: the phase before was not at its end\n", i);
            return false;
        }
        if (last != NULL && call->tag == last->tag &&
            (call->done < last->done || last->not_done == 0)) {
            fprintf(stderr, "call %zu: done fell, or the phase was at its end already\n", i);
            return false;
        }
        last = call;
    }
    return true;
}

/* And has every phase been told to its end? */
static inline bool log_is_complete(const struct progress_log *log, uint64_t map_total,
                                   uint64_t reduce_total)
{
    if (!log_is_sound(log, map_total, reduce_total)) {
        return false;
    }
    if (atomic_load(&log->map_calls) == 0 || atomic_load(&log->reduce_calls) == 0) {
        fprintf(stderr, "a phase was never told of\n");
        return false;
    }
    const struct logged_call *last = log->count <= LOG_CALLS ? &log->calls[log->count - 1] : NULL;
    if (last != NULL && last->not_done != 0) {
        fprintf(stderr, "the last call was not the end\n");
        return false;
    }
    return true;
}

/* Has no call told the end of this phase? */
static inline bool log_has_no_end(const struct progress_log *log, const char *tag)
{
    for (size_t i = 0; i < log->count && i < LOG_CALLS; i++) {
        const struct logged_call *call = &log->calls[i];
        if (call->tag != NULL && strcmp(call->tag, tag) == 0 && call->not_done == 0) {
            return false;
        }
    }
    return true;
}

#endif
