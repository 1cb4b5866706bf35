/* SPDX-License-Identifier: MIT
 *
 * The first error of a phase, and the words for it.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "mr_internal.h"

bool mr__control_init(struct mr__control *control)
{
    memset(&control->error, 0, sizeof control->error);
    atomic_init(&control->stopped, false);
    control->wake = -1;
    return mtx_init(&control->mutex, mtx_plain) == thrd_success;
}

void mr__control_fini(struct mr__control *control)
{
    mtx_destroy(&control->mutex);
}

/* Whoever waits for input looks again. The pipe is empty, so this does not block. */
static void wake_reader(const struct mr__control *control)
{
    int kept = errno;

    while (control->wake >= 0 && write(control->wake, "", 1) < 0 && errno == EINTR) {
    }
    errno = kept;
}

void mr__control_fail(struct mr__control *control, const struct mr_error *error)
{
    mtx_lock(&control->mutex);
    if (!mr__control_stopped(control)) {
        control->error = *error;
        /* order MR.stop rel -> MR.outcome: the error is whole before it is announced */
        mr_a_store_rel(&control->stopped, true);
        wake_reader(control);
    }
    mtx_unlock(&control->mutex);
}

enum stook_status mr__control_outcome(const struct mr__control *control, struct mr_error *ret_error)
{
    /* order MR.outcome acq <- MR.stop: see there */
    if (!mr_a_load_acq(&control->stopped)) {
        return STOOK_OK;
    }
    if (ret_error) {
        *ret_error = control->error;
    }
    return control->error.status;
}

enum stook_status mr__error_set(struct mr_error *error, enum stook_status status,
                                enum mr_phase phase, int code, const char *format, ...)
{
    if (error) {
        va_list arguments;
        memset(error, 0, sizeof *error);
        error->status = status;
        error->phase = phase;
        error->code = code;
        va_start(arguments, format);
        vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
    }
    return status;
}

enum stook_status mr__error_plain(struct mr_error *error, enum stook_status status,
                                  enum mr_phase phase)
{
    return mr__error_set(error, status, phase, 0, "%s", stook_status_string(status));
}

enum stook_status mr__error_read(struct mr_error *error, enum stook_status status, int code)
{
    char reason[MR_REASON_TEXT];

    return status != STOOK_IO ? mr__error_plain(error, status, MR_PHASE_NONE)
                              : mr__error_set(error, status, MR_PHASE_NONE, code,
                                              "cannot read what exceeded the memory limit: %s",
                                              mr__reason_text(code, reason));
}

const char *mr__path_text(const char *path, char text[MR_PATH_TEXT])
{
    static const char cut[] = "...";
    size_t size = strlen(path);
    size_t room = MR_PATH_TEXT - sizeof cut - sizeof "''";

    if (size <= room) {
        snprintf(text, MR_PATH_TEXT, "'%s'", path);
    } else {
        snprintf(text, MR_PATH_TEXT, "'%s%s'", cut, path + (size - room));
    }
    return text;
}

const char *mr__reason_text(int code, char text[MR_REASON_TEXT])
{
    if (strerror_r(code, text, MR_REASON_TEXT) != 0) {
        snprintf(text, MR_REASON_TEXT, "error %d", code);
    }
    return text;
}

const char *mr__key_text(struct mr_slice key, char text[MR_KEY_TEXT])
{
    static const char cut[] = "...";
    const unsigned char *bytes = key.data;
    size_t at = 0;
    size_t i = 0;

    text[at++] = '\'';
    /* Room for one more byte as \xNN, the mark of a cut, the quote and the NUL. */
    for (; i < key.size && at + 4 + sizeof cut + 1 <= MR_KEY_TEXT; i++) {
        if (bytes[i] >= ' ' && bytes[i] < 0x7f && bytes[i] != '\\' && bytes[i] != '\'') {
            text[at++] = (char)bytes[i];
        } else {
            at += (size_t)snprintf(text + at, MR_KEY_TEXT - at, "\\x%02x", bytes[i]);
        }
    }
    snprintf(text + at, MR_KEY_TEXT - at, "%s'", i < key.size ? cut : "");
    return text;
}
