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
#include <stook/version.h>
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

uint64_t command_parse_size(const char *option, const char *text, uint64_t least)
{
    static const char units[] = "KMG";
    char *end = NULL;
    unsigned shift = 0;

    errno = 0;
    unsigned long long number = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    if (number > 0 && *end && strchr(units, *end)) {
        shift = 10 * (unsigned)(strchr(units, *end++) - units + 1);
    }
    if (number == 0 || errno != 0 || *end || number > UINT64_MAX >> shift) {
        command_complain("%s: '%s' is not a size in bytes, or with K, M or G", option, text);
        return 0;
    }
    if ((uint64_t)number << shift < least) {
        command_complain("%s: '%s' is less than %lluM", option, text,
                         (unsigned long long)(least >> 20));
        return 0;
    }
    return (uint64_t)number << shift;
}

/* --- interruption and progress ---------------------------------------------------------------- */

static volatile sig_atomic_t job_runs;
static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    if (!job_runs) {
        _exit(EXIT_INTERRUPTED);
    }
    interrupted = 1;
}

void command_catch_interrupt(void)
{
    /* Also where a shell has told its background jobs to ignore it: whoever sends it means it. */
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &action, NULL);
}

void command_job_begins(void)
{
    job_runs = 1;
}

bool command_job_ended(void)
{
    job_runs = 0;
    return interrupted != 0;
}

int command_progress(bool show, const char *tag, uint64_t done, uint64_t not_done)
{
    if (show) {
        /* Rounded down: 100 % is the end. */
        unsigned percent = (unsigned)((double)done / (double)(done + not_done) * 100);
        fprintf(stderr, "\r%-8s%3u %%", tag, not_done ? percent : 100);
    }
    return interrupted;
}

void command_progress_clear(bool show)
{
    if (show) {
        fprintf(stderr, "\r%13s\r", "");
    }
}

/* --- input ------------------------------------------------------------------------------------ */

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

/* Can the library read it by name? It says itself what is wrong with a directory, or with a file
 * that is not there. Files of /proc and /sys tell no size, or a page that they do not fill. */
static bool is_for_library(const struct stat *status)
{
    bool tells_no_size = status->st_blocks == 0 && status->st_size <= 4096;
    return S_ISDIR(status->st_mode) || (S_ISREG(status->st_mode) && !tells_no_size);
}

/* Standard input is a file that stands at its begin, and can be opened by name: then it need not be
 * held in memory. */
static bool stdin_has_name(const char *name)
{
    struct stat by_number;
    struct stat by_name;

    return fstat(STDIN_FILENO, &by_number) == 0 && is_for_library(&by_number) &&
           S_ISREG(by_number.st_mode) && lseek(STDIN_FILENO, 0, SEEK_CUR) == 0 &&
           stat(name, &by_name) == 0 && by_number.st_dev == by_name.st_dev &&
           by_number.st_ino == by_name.st_ino && access(name, R_OK) == 0;
}

/* Sets one source up. */
static int input_open(const char *name, struct mr_source *source, char **ret_buffer)
{
    struct stat status;

    if (strcmp(name, "-") == 0) {
        if (stdin_has_name("/dev/stdin")) {
            source->path = "/dev/stdin";
            lseek(STDIN_FILENO, 0, SEEK_END); /* read: a second "-" is empty */
            return 0;
        }
        return read_all(STDIN_FILENO, "standard input", source, ret_buffer);
    }
    if (stat(name, &status) == 0 && !is_for_library(&status)) {
        int file = open(name, O_RDONLY | O_CLOEXEC);
        if (file < 0) {
            command_complain("cannot open '%s': %s", name, strerror(errno));
            return EXIT_TROUBLE;
        }
        int failed = read_all(file, name, source, ret_buffer);
        close(file);
        return failed;
    }
    source->path = name;
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

/* --- output ----------------------------------------------------------------------------------- */

int command_version(void)
{
    printf("stook %s\n", stook_version());
    return command_finish_output(EXIT_SUCCESS);
}

int command_finish_output(int status)
{
    bool failed = ferror(stdout) != 0;
    if (fclose(stdout) == 0 && !failed) {
        return status;
    }
    command_complain("write error: %s", strerror(errno));
    return EXIT_TROUBLE;
}
