/* SPDX-License-Identifier: MIT
 *
 * How an executor is made, and how a task is submitted: what may be chosen, and what happens if it
 * is not.
 */
#ifndef STOOK_EXECUTOR_OPTIONS_H
#define STOOK_EXECUTOR_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stook/alloc.h>
#include <stook/base.h>

STOOK_BEGIN_DECLS

typedef struct stook_client stook_client; /* client.h */
struct stook_scope;                       /* scope.h */
struct stook_token;                       /* token.h */

#define STOOK_MAX_WORKERS 1024

/* 0 and NULL stand for a default everywhere. Numbers out of range: STOOK_INVALID, and a report. */
struct stook_executor_options {
    size_t struct_size; /* set by STOOK_EXECUTOR_OPTIONS_INIT */

    /* 1 .. STOOK_MAX_WORKERS. 0: the environment variable STOOK_WORKERS if it is set, else as many
     * as CPUs that this process may use: its affinity mask, and its cgroup's quota rounded up
     * (portable build: the CPUs online). */
    unsigned workers;
    /* The most that stook_executor_resize() may ask for, up to STOOK_MAX_WORKERS. 0: workers. */
    unsigned max_workers;
    /* Threads beyond workers that may exist because tasks wait or block, at most 16384. With none
     * left, a lent worker idles until a thread comes free. 0: 512. */
    unsigned max_extra_threads;
    /* How long an extra thread stays without work. 0: one second. */
    int64_t keep_alive_ns;
    /* Bytes of each thread's stack, PTHREAD_STACK_MIN (16 KiB say) or more. 0: the system's
     * default, but 1 MiB at least. */
    size_t stack_size;
    /* Binds the thread that holds worker i to the i-th (modulo) CPU of the creator's affinity mask.
     * Portable build: does nothing. */
    bool pin;
    /* Threads are called "<prefix>-<n>", the prefix cut so that all of it fits in 15 bytes; copied.
     * NULL: "stook". Portable build: unused. */
    const char *name_prefix;

    /* Called in every thread before its first task; other than 0: it failed, see create. It must
     * not wait for the executor's tasks. number: of the thread, from 0 up, never used twice. */
    int (*thread_init)(void *user_data, unsigned number);
    /* Called in every thread whose thread_init has returned 0, or that had none, before it ends. */
    void (*thread_exit)(void *user_data, unsigned number);
    void *thread_data; /* the user_data of both */

    /* For the executor, its tasks and all that belongs to it; copied. It must outlive the futures
     * too. NULL: malloc(). */
    const struct stook_allocator *allocator;
    /* How many tasks from outside without a client may wait in the queue; see when_full. 0: any
     * number. */
    size_t queue_limit;

    /* Told, in a sentence or several lines, what no status can say: which number or hook was
     * wrong; who waits for whom in a deadlock, for the executor whose task gets STOOK_DEADLOCK,
     * tasks named by their future and function as %p. It must not call the library. NULL: to
     * standard error. */
    void (*report)(void *user_data, const char *text);
    void *report_data; /* the user_data of report */
};

#define STOOK_EXECUTOR_OPTIONS_INIT                                                                \
    {                                                                                              \
        sizeof(struct stook_executor_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0            \
    }

enum stook_priority { STOOK_PRIORITY_NORMAL = 0, STOOK_PRIORITY_HIGH = 1, STOOK_PRIORITY_LOW = 2 };

/* What to do when a queue's limit is reached, or others wait for room. */
enum stook_when_full {
    /* Wait for room, first come, first served, at most until full_deadline_ns. A worker of another
     * executor is lent meanwhile. */
    STOOK_WHEN_FULL_BLOCK = 0,
    /* Answer STOOK_FULL. */
    STOOK_WHEN_FULL_FAIL = 1,
    /* Run the task in the calling thread, before submit returns. It is one of the executor's in all
     * respects: shutdown waits for it. Its future is written before. */
    STOOK_WHEN_FULL_RUN = 2
};

struct stook_submit_options {
    size_t struct_size;           /* set by STOOK_SUBMIT_OPTIONS_INIT */
    struct stook_scope *scope;    /* NULL: none. Not together with token */
    struct stook_token *token;    /* NULL: none */
    stook_client *client;         /* NULL: none */
    enum stook_priority priority; /* HIGH and LOW: into the common queue also from a task */

    /* Tasks of the executor itself are never held up by a limit, nor are delayed ones and those of a
     * scope with a limit; they count when they are in the queue. Cancelled ones count until a worker
     * finds them. */
    enum stook_when_full when_full;
    int64_t full_deadline_ns; /* for STOOK_WHEN_FULL_BLOCK: STOOK_TIMEOUT after it */

    /* Not before this moment (see clock.h); 0: now; STOOK_FOREVER (without a period): never, but it
     * can be cancelled. In a scope with a limit it asks for its turn
     * when its time has come. Starts the timer thread if it does not run. */
    int64_t start_ns;
    /* 0: once. More: fn is called again and again, from start_ns on, at multiples of the period;
     * never twice at a time, and moments that passed meanwhile are left out. It ends when a call
     * returns other than 0: FAILED, with that code and value (values of other calls go to the
     * destructor that the future has by then); or CANCELLED, when it is cancelled or the executor
     * shut down in any mode: at once between two calls, else after the one under way, during which
     * it is RUNNING; or FAILED with STOOK_NOMEM without memory for a call. Not for submit_many, not
     * in a scope. */
    int64_t period_ns;
};

#define STOOK_SUBMIT_OPTIONS_INIT                                                                  \
    {                                                                                              \
        sizeof(struct stook_submit_options), 0, 0, 0, STOOK_PRIORITY_NORMAL,                       \
            STOOK_WHEN_FULL_BLOCK, INT64_MAX, 0, 0                                                 \
    }

STOOK_END_DECLS

#endif
