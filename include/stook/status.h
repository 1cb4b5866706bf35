/* SPDX-License-Identifier: MIT
 *
 * What a call can answer. Zero is success, every error is negative, and none is an errno value.
 * A function that fails leaves its ret_ parameters untouched unless its comment says otherwise.
 *
 * Threads: every function here may be called from any thread, and never blocks.
 */
#ifndef STOOK_STATUS_H
#define STOOK_STATUS_H

#include <stook/base.h>

STOOK_BEGIN_DECLS

/* X(name, value, sentence) */
#define STOOK_STATUS_LIST(X)                                                                       \
    X(STOOK_OK, 0, "success")                                                                      \
    X(STOOK_NOMEM, -1, "out of memory")                                                            \
    X(STOOK_INVALID, -2, "invalid argument")                                                       \
    X(STOOK_SHUTDOWN, -3, "the executor is shut down and accepts no task")                         \
    X(STOOK_CANCELLED, -4, "cancelled")                                                            \
    X(STOOK_TIMEOUT, -5, "the deadline passed first")                                              \
    X(STOOK_TASK_FAILED, -6, "the task returned a non-zero code")                                  \
    X(STOOK_THREAD, -7, "a thread or a lock could not be created")                                 \
    X(STOOK_DEADLOCK, -8, "the call would wait for its own caller")                                \
    X(STOOK_IO, -9, "a file could not be read")                                                    \
    X(STOOK_FULL, -10, "the queue is full")                                                        \
    X(STOOK_BROKEN, -11, "the executor is broken: a thread's init hook failed")                    \
    X(STOOK_FORKED, -12, "the object was made before this process was forked")                     \
    X(STOOK_TOO_LATE, -13, "the future was completed or cancelled before")                         \
    X(STOOK_END, -14, "nothing is left")

enum stook_status {
#define STOOK_STATUS_ENUM(name, value, sentence) name = value,
    STOOK_STATUS_LIST(STOOK_STATUS_ENUM)
#undef STOOK_STATUS_ENUM
};

/* The identifier of a status, "STOOK_OK" say; "STOOK_UNKNOWN" for a value that is none. */
STOOK_API const char *stook_status_name(enum stook_status status);

/* One sentence for people, without a final full stop; static, never NULL. */
STOOK_API const char *stook_status_string(enum stook_status status);

STOOK_END_DECLS

#endif
