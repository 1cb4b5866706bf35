/* SPDX-License-Identifier: MIT
 *
 * What the subcommands of `stook` share: exit statuses, messages, interruption, the progress line,
 * reading what is not a regular file. All of `stook` is written against the public headers.
 */
#ifndef STOOK_COMMAND_H
#define STOOK_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stook/mapreduce.h>

enum { EXIT_TROUBLE = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* Prints "stook: ..." on standard error. */
void command_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Parses a whole decimal number from 1 to `most`; complains and gives 0 if `text` is none. */
uint64_t command_parse_number(const char *option, const char *text, uint64_t most);

/* Parses a size of at least `least` bytes, with K, M or G for powers of 1024; as above. */
uint64_t command_parse_size(const char *option, const char *text, uint64_t least);

/* From now on Ctrl-C ends the process with EXIT_INTERRUPTED: at once, or, between the next two
 * calls, by making command_progress() cancel the job. */
void command_catch_interrupt(void);
void command_job_begins(void);
bool command_job_ended(void); /* true: it was interrupted */

/* A mr_progress_fn body: draws the line if `show`, and asks to cancel when interrupted. */
int command_progress(bool show, const char *tag, uint64_t done, uint64_t not_done);
void command_progress_clear(bool show);

/* The sources that the arguments name; "-", or no argument at all, is standard input. What is not a
 * regular file, or does not know its size (/proc), is read into memory here. */
struct command_inputs {
    struct mr_source *sources;
    char **buffers; /* one for each source; NULL: a regular file */
    size_t count;
};

/* Returns 0, or the exit status after a message. */
int command_inputs_open(struct command_inputs *inputs, char *const *names, size_t count);
void command_inputs_close(struct command_inputs *inputs);

/* Closes standard output: `status`, or the trouble that writing met, after a message. */
int command_finish_output(int status);

/* Prints the version; gives the exit status. */
int command_version(void);

int command_wordcount(int argc, char **argv);

#endif
