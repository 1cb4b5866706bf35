/* SPDX-License-Identifier: MIT
 *
 * What the subcommands share; see command.h.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "command.h"

void command_complain(const char *format, ...)
{
    va_list arguments;

    fputs("stook: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

uint64_t command_parse_number(const char *option, const char *text, uint64_t most)
{
    uint64_t number = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9' && number <= most; at++) {
        number = number > (UINT64_MAX - 9) / 10 ? UINT64_MAX : number * 10 + (uint64_t)(*at - '0');
    }
    if (at == text || *at != '\0' || number < 1 || number > most) {
        command_complain("%s: '%s' is not a whole number from 1 to %llu", option, text,
                         (unsigned long long)most);
        return 0;
    }
    return number;
}

/* --- interruption and progress ---------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

void command_catch_interrupt(void)
{
    /* Without SA_RESTART, so that a blocked read or write ends. */
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
}

bool command_interrupted(void)
{
    return interrupted != 0;
}

int command_progress(bool show, const char *tag, uint64_t done, uint64_t not_done)
{
    if (show) {
        double share = done + not_done ? (double)done / (double)(done + not_done) : 1;
        fprintf(stderr, "\r%-8s%3.0f %%", tag, 100 * share);
    }
    return command_interrupted();
}

void command_progress_clear(bool show)
{
    if (show) {
        fprintf(stderr, "\r%13s\r", "");
    }
}

/* --- input -------------------------------------------------------------------------------------------- */

/* Reads all of a file from where it stands. Returns 0 or the exit status after a message. */
static int read_all(int file, const char *name, struct mr_source *source, char **ret_buffer)
{
    char *buffer = NULL;
    size_t size = 0;
    size_t capacity = 0;

    for (;;) {
        if (size == capacity) {
            capacity = capacity ? capacity * 2 : 1 << 16;
            char *bigger = realloc(buffer, capacity);
            if (!bigger) {
                free(buffer);
                command_complain("cannot read '%s': out of memory", name);
                return EXIT_TROUBLE;
            }
            buffer = bigger;
        }
        ssize_t got = read(file, buffer + size, capacity - size);
        if (command_interrupted()) {
            free(buffer);
            return EXIT_INTERRUPTED;
        }
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            command_complain("cannot read '%s': %s", name, strerror(errno));
            free(buffer);
            return EXIT_TROUBLE;
        }
        if (got == 0) {
            break;
        }
        size += (size_t)got;
    }
    source->text = mr_slice_of(buffer, size);
    *ret_buffer = buffer;
    return 0;
}

/* Sets one source up: regular files by name, all else by reading it. */
static int input_open(const char *name, struct mr_source *source, char **ret_buffer)
{
    struct stat status;

    if (strcmp(name, "-") == 0) {
        return read_all(STDIN_FILENO, "standard input", source, ret_buffer);
    }
    if (stat(name, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
        int file = open(name, O_RDONLY | O_CLOEXEC);
        if (file < 0) {
            if (command_interrupted()) {
                return EXIT_INTERRUPTED;
            }
            command_complain("cannot open '%s': %s", name, strerror(errno));
            return EXIT_TROUBLE;
        }
        int failed = read_all(file, name, source, ret_buffer);
        close(file);
        return failed;
    }
    source->path = name; /* the library says what is wrong with it, if anything is */
    return 0;
}

int command_inputs_open(struct command_inputs *inputs, char *const *names, size_t count)
{
    static char standard_input[] = "-";
    static char *const no_names[] = {standard_input};
    int failed = 0;

    if (count == 0) {
        names = no_names;
        count = 1;
    }
    inputs->sources = calloc(count, sizeof *inputs->sources);
    inputs->buffers = calloc(count, sizeof *inputs->buffers);
    inputs->count = 0;
    if (!inputs->sources || !inputs->buffers) {
        command_complain("out of memory");
        failed = EXIT_TROUBLE;
    }
    while (!failed && inputs->count < count) {
        size_t i = inputs->count++;
        failed = input_open(names[i], &inputs->sources[i], &inputs->buffers[i]);
    }
    if (failed) {
        command_inputs_close(inputs);
    }
    return failed;
}

void command_inputs_close(struct command_inputs *inputs)
{
    for (size_t i = 0; i < inputs->count; i++) {
        free(inputs->buffers[i]);
    }
    free(inputs->buffers);
    free(inputs->sources);
}

/* --- output ------------------------------------------------------------------------------------------- */

int command_finish_output(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return status;
    }
    if (command_interrupted()) {
        return EXIT_INTERRUPTED;
    }
    command_complain("write error: %s", strerror(errno));
    return EXIT_TROUBLE;
}
