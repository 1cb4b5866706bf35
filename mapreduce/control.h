/* SPDX-License-Identifier: MIT
 *
 * The first error of a phase, which tells its tasks to stop; and the words for it (error.c).
 */
#ifndef MR_CONTROL_H
#define MR_CONTROL_H

#include <stdbool.h>
#include <stook/mapreduce.h>
#include <threads.h>
#include "mr_platform.h"

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

/* Reading again what had been spilled failed like that; code: errno for STOOK_IO. */
enum stook_status mr__error_read(struct mr_error *error, enum stook_status status, int code);

enum { MR_KEY_TEXT = 96 };

/* A path for messages: its end, if it is long, so that there is room for what went wrong. */
enum { MR_PATH_TEXT = 128 };
const char *mr__path_text(const char *path, char text[MR_PATH_TEXT]);

/* The sentence of an errno. */
enum { MR_REASON_TEXT = 64 };
const char *mr__reason_text(int code, char text[MR_REASON_TEXT]);

/* A key as text for messages, in quotes, cut, with bytes that do not print as \xNN. */
const char *mr__key_text(struct mr_slice key, char text[MR_KEY_TEXT]);

#endif
