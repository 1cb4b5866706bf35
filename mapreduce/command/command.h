/* SPDX-License-Identifier: MIT
 *
 * What the subcommands of `stook` share: exit statuses, messages, options, inputs, running a job. All
 * of `stook` is written against the public headers.
 */
#ifndef STOOK_COMMAND_H
#define STOOK_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stook/executor.h>
#include <stook/mapreduce.h>

enum { EXIT_TROUBLE = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* Prints "stook: ..." on standard error. */
void command_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Parses a whole decimal number from 1 to `most`; complains and gives 0 if `text` is none. */
uint64_t command_parse_number(const char *option, const char *text, uint64_t most);

/* The options that all subcommands have, and what comes in front of their own in getopt's list. */
struct command_options {
    unsigned workers;      /* 0: as many as there are CPUs */
    uint64_t memory_limit; /* bytes; 0: none */
    bool show_progress;
};

enum {
    COMMAND_WORKERS = 256,
    COMMAND_MEMORY_LIMIT,
    COMMAND_NO_PROGRESS,
    COMMAND_HELP,
    COMMAND_VERSION,
    COMMAND_OWN /* the first of the subcommand's own */
};

#define COMMAND_LONG_OPTIONS                                                                       \
    {"workers", required_argument, NULL, COMMAND_WORKERS},                                         \
        {"memory-limit", required_argument, NULL, COMMAND_MEMORY_LIMIT},                           \
        {"no-progress", no_argument, NULL, COMMAND_NO_PROGRESS},                                   \
        {"help", no_argument, NULL, COMMAND_HELP},                                                 \
    {                                                                                              \
        "version", no_argument, NULL, COMMAND_VERSION                                              \
    }

#define COMMAND_OPTIONS_HELP                                                                       \
    "  --workers N     use N worker threads; default: one for each CPU\n"                          \
    "  --memory-limit SIZE\n"                                                                      \
    "                  go on with temporary files ($TMPDIR, or /tmp) when the job takes more\n"    \
    "                  than SIZE bytes; with K, M or G: powers of 1024\n"                          \
    "  --no-progress   show no progress on the terminal\n"                                         \
    "  --help          show this help\n"                                                           \
    "  --version       show the version\n"

void command_options_init(struct command_options *options);

/* Takes one of the first three; false after a message. */
bool command_options_take(struct command_options *options, int option, const char *value);

/* From now on Ctrl-C ends the process with EXIT_INTERRUPTED: at once, or, while a job runs, by
 * cancelling it. And a write that exceeds a limit of the system fails instead of ending it. */
void command_catch_signals(void);

/* The sources that the arguments name; "-", or no argument at all, is standard input; a directory is
 * walked. */
struct command_inputs {
    struct mr_source *sources;
    size_t count;
    size_t capacity;
    mr_tree **trees; /* of each argument; NULL: none */
    size_t tree_count;
    int standard_input; /* a copy of its descriptor; -1: none */
};

/* Returns 0, or EXIT_TROUBLE after a message. */
int command_inputs_open(struct command_inputs *inputs, char *const *names, size_t count);
void command_inputs_close(struct command_inputs *inputs);

/* What to call a source in output: its path, or `standard_input`. */
const char *command_source_name(const struct command_inputs *inputs, size_t source,
                                const char *standard_input);

/* Starts the workers; NULL after a message. */
stook_executor *command_start(const struct command_options *options);

/* Runs a job, whose user data is its own, with the options, progress and Ctrl-C. Returns 0, or the
 * exit status after a message. */
int command_run(stook_executor *executor, const struct command_options *options,
                const struct mr_job *job, mr_result **ret_result);

/* Closes standard output: `status`, or the trouble that writing met, after a message. */
int command_finish_output(int status);

/* Prints the version; gives the exit status. */
int command_version(void);

/* Writes a result to standard output, as text, and closes it. Returns 0, or EXIT_TROUBLE after a
 * message. */
int command_print(stook_executor *executor, mr_result *result, mr_text_fn *fn, void *user);

int command_grep(int argc, char **argv);
int command_index(int argc, char **argv);
int command_wordcount(int argc, char **argv);

#endif
