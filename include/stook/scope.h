/* SPDX-License-Identifier: MIT
 *
 * Structured scopes (task groups): tasks that are joined together, fail together, and of which at
 * most so many run at a time.
 *
 *   stook_scope_create -> submit in it -> stook_scope_wait_until -> stook_scope_destroy
 *
 * No task outlives its scope: destroy waits. The first task that fails cancels the others (unless
 * the scope keeps going), as a cancelled token does; the outcome counts what became of every one.
 * A scope that is created, without a parent in its options, in a task of another scope, or of one
 * with a token, is nested: what cancels that task's scope or token cancels this one too.
 *
 * Submitting in a scope: stook_executor_submit_with() and _many() with `scope` in the options.
 *
 * What may run at the same time on ONE scope:
 *
 *                       submit wait_until cancel | destroy
 *   submit ... cancel |          yes             |   no
 *   destroy           |                          |   no
 *
 * Its own tasks may submit in it and cancel it at any time before they end.
 */
#ifndef STOOK_SCOPE_H
#define STOOK_SCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stook/base.h>
#include <stook/executor.h>
#include <stook/status.h>
#include <stook/token.h>

STOOK_BEGIN_DECLS

typedef struct stook_scope stook_scope;

struct stook_scope_options {
    size_t struct_size;  /* set by STOOK_SCOPE_OPTIONS_INIT */
    stook_token *parent; /* cancels the scope too; NULL: the calling task's scope or token does */
    /* Tasks of the scope that may run at a time; 0: as many as can. 1: a strand, they run one after
     * the other in the order in which they were submitted (or, delayed, in which their times came),
     * whatever their priority, and see what those before wrote. */
    size_t limit;
    bool keep_going; /* true: a task that fails does not cancel the others */
};

#define STOOK_SCOPE_OPTIONS_INIT                                                                   \
    {                                                                                              \
        sizeof(struct stook_scope_options), 0, 0, 0                                                \
    }

/* How the tasks of a scope ended, so far. submitted - done - failed - cancelled have not. */
struct stook_scope_outcome {
    size_t submitted;
    size_t done;
    size_t failed;
    size_t cancelled;
    int first_code; /* of the task that failed first in time; 0: none has */
};

/* Makes a scope for tasks of the executor; options NULL: all defaults. The executor must outlive
 * it.
 * Returns: STOOK_OK; STOOK_INVALID (executor or ret_scope NULL, struct_size unknown, parent of
 *          another executor); STOOK_NOMEM; STOOK_THREAD; STOOK_SHUTDOWN; STOOK_BROKEN;
 *          STOOK_FORKED.
 * Threads: any. Blocks: for a short lock. */
STOOK_API STOOK_NODISCARD enum stook_status
stook_scope_create(stook_executor *executor, const struct stook_scope_options *options,
                   stook_scope **ret_scope);

/* Waits until no task of the scope is left or the deadline has passed. The scope may be used on
 * after it; once cancelled, it accepts tasks and cancels them at once. ret_outcome (NULL: not
 * wanted) is written also on TIMEOUT.
 *
 * In a task with STOOK_FOREVER, it runs tasks of the scope that are the newest of its worker in
 * place, then lends its worker. With a limit, a task that waits keeps its turn; in a wait for ever
 * for another of its scope that has not begun, or for all of several, it runs that within its own
 * turn. Any other wait of a task with a limit for what needs a turn of its own scope may never
 * end: give it a deadline.
 *
 * Returns: STOOK_OK          all were DONE (or there were none).
 *          STOOK_TASK_FAILED at least one FAILED; STOOK_CANCELLED none did, but some were
 *          CANCELLED.
 *          STOOK_TIMEOUT     some are not terminal yet.
 *          STOOK_DEADLOCK    called by a task of the scope, or of a scope nested in it (with any
 *                            deadline): it would wait for itself; or in a callback; or in a cycle,
 *                            as stook_future_wait_until(). STOOK_INVALID: scope NULL.
 *                            STOOK_FORKED; STOOK_THREAD (portable build: no lock to be had).
 * Threads: any, several at once. Blocks: until the deadline. */
STOOK_API STOOK_NODISCARD enum stook_status
stook_scope_wait_until(stook_scope *scope, int64_t deadline_ns,
                       struct stook_scope_outcome *ret_outcome);

/* Cancels the scope, as stook_token_cancel() a token, but with what follows from it, also in
 * nested scopes, done before it returns: waiters woken, callbacks run. True: this call did it; of
 * several, and of the first error, exactly one does. NULL: false.
 * Threads: any. Blocks: for short locks (and runs callbacks). NOT for signal handlers: there,
 * cancel a token that is the scope's parent. */
STOOK_API bool stook_scope_cancel(stook_scope *scope);

/* Waits for ever for all tasks of the scope, and frees it. NULL is allowed. Where the wait would
 * answer STOOK_DEADLOCK it aborts with a message (built with -Dchecks=false: undefined). From
 * before a fork: nothing.
 * Threads: any, once, with no other call on it under way (a wait that is about to return counts).
 */
STOOK_API void stook_scope_destroy(stook_scope *scope);

STOOK_END_DECLS

#endif
