/* SPDX-License-Identifier: MIT
 *
 * What the applications share: their options, running a job as these say, and its time.
 *
 *   app_begin -> app_run... -> app_end
 *
 * What cannot go on ends the program with a message: exit status 2 for wrong usage, else 1.
 */
#ifndef APP_H
#define APP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stook/mapreduce.h>

struct app {
    const char *name;
    const char *usage;  /* of the program: its first line, and its own options */
    const char **files; /* the arguments that are no options */
    size_t file_count;
    bool is_sequential;       /* --sequential */
    bool is_timed;            /* --time */
    uint64_t workers;         /* --workers; 0: as many as there are CPUs */
    uint64_t memory_limit;    /* --memory-limit; 0: none */
    int64_t job_ns;           /* how long the jobs took */
    stook_executor *executor; /* NULL: sequential */
    struct mr_source *sources;
};

/* An option: --name NUMBER, --name TEXT, or --name alone, as one of them is not NULL. */
struct app_option {
    const char *name; /* with its dashes; NULL: the end of the list */
    uint64_t *number; /* at least 1 */
    const char **text;
    bool *flag;
};

/* Reads the shared options and those of the list (may be NULL), and starts the workers. */
void app_begin(struct app *app, int argc, char **argv, const char *usage,
               const struct app_option *options);

/* The usage is wrong unless there are so many files. */
void app_need_files(struct app *app, size_t least, size_t most);

/* One source for each file; the application's. Needs at least one. */
const struct mr_source *app_sources(struct app *app);

/* Runs a job. The result is to be destroyed by the caller. */
mr_result *app_run(struct app *app, const struct mr_job *job);

/* Stops the workers, and tells the time if it is wanted. Returns the exit status: has all
 * output been written? */
int app_end(struct app *app);

/* Zeroed memory. */
void *app_allocate(struct app *app, size_t count, size_t size);

/* Ends the program. */
_Noreturn void app_fail(struct app *app, const char *format, ...);
_Noreturn void app_fail_usage(struct app *app, const char *format, ...);

/* The next pseudo-random number: the same for the same seed everywhere (splitmix64). */
uint64_t app_random(uint64_t *state);

#endif
