/* SPDX-License-Identifier: MIT
 *
 * stook wordcount: counts words, which are maximal runs of bytes that are not white space in the C
 * locale. The job is what a user of <stook/mapreduce.h> would write: map_words, and
 * mr_sum_u64() to add the counts up.
 */
#define _POSIX_C_SOURCE 200809L
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stook/executor.h>
#include <unistd.h>
#include "command.h"

#define WHITE_SPACE " \t\n\v\f\r"

enum { WORDS_AT_ONCE = 64 };

struct wordcount {
    unsigned workers; /* 0: as many as there are CPUs */
    uint64_t top;     /* 0: all */
    enum mr_order order;
    uint64_t memory_limit; /* bytes; 0: none */
    bool show_progress;
};

/* --- the job ---------------------------------------------------------------------------------- */

static int map_words(const struct mr_item *item, mr_emitter *out, void *user)
{
    enum { SOME = 64 };
    const uint64_t one = 1;
    struct mr_slice text = item->data;
    struct mr_slice words[SOME];
    size_t count;
    (void)user;

    while ((count = mr_find_words(&text, words, SOME)) > 0) {
        enum stook_status status = mr_emit_keys(out, words, count, mr_slice_of(&one, sizeof one));
        if (status != STOOK_OK) {
            return (int)status;
        }
    }
    return 0;
}

static int tell_progress(const char *tag, uint64_t done, uint64_t not_done, void *user)
{
    const struct wordcount *options = user;
    return command_progress(options->show_progress, tag, done, not_done);
}

/* --- output ----------------------------------------------------------------------------------- */

static int print_all(stook_executor *executor, mr_result *result)
{
    struct mr_error error;

    if (mr_result_write(executor, result, STDOUT_FILENO, MR_FORMAT_U64, &error) == STOOK_OK) {
        return EXIT_SUCCESS;
    }
    command_complain("%s", error.message);
    return EXIT_TROUBLE;
}

/* --- the command ------------------------------------------------------------------------------ */

static int run_job(stook_executor *executor, const struct wordcount *options,
                   const struct command_inputs *inputs, mr_result **ret_result)
{
    struct mr_job job = MR_JOB_INIT;
    struct wordcount user = *options;
    struct mr_error error;

    job.input = mr_input_text(inputs->sources, inputs->count);
    job.input.delimiters = WHITE_SPACE;
    job.input.whole_splits = true;
    job.map = map_words;
    job.combine = mr_sum_u64;
    job.order = options->order;
    job.compare = mr_by_count;
    job.top = options->top;
    job.memory_limit = options->memory_limit;
    job.progress = tell_progress;
    job.progress_period_ns = 100000000; /* what Ctrl-C may take */
    job.user = &user;
    command_job_begins();
    enum stook_status status = mr_map_reduce(executor, &job, ret_result, &error);
    bool is_interrupted = command_job_ended();
    command_progress_clear(options->show_progress);
    if (is_interrupted) {
        return EXIT_INTERRUPTED;
    }
    if (status != STOOK_OK) {
        command_complain("%s", error.message);
        return EXIT_TROUBLE;
    }
    return EXIT_SUCCESS;
}

static int count_and_print(const struct wordcount *options, const struct command_inputs *inputs)
{
    struct stook_executor_options executor_options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor;
    mr_result *result = NULL;

    executor_options.workers = options->workers;
    enum stook_status created = stook_executor_create(&executor_options, &executor);
    if (created != STOOK_OK) {
        command_complain("cannot start the workers: %s", stook_status_string(created));
        return EXIT_TROUBLE;
    }
    int status = run_job(executor, options, inputs, &result);
    if (status == EXIT_SUCCESS) {
        status = print_all(executor, result);
        status = command_finish_output(status);
    }
    mr_result_destroy(result);
    stook_executor_destroy(executor);
    return status;
}

static int wordcount(const struct wordcount *options, char *const *names, size_t count)
{
    struct command_inputs inputs;

    command_catch_interrupt();
    int status = command_inputs_open(&inputs, names, count);
    if (status != EXIT_SUCCESS) {
        return status;
    }
    status = count_and_print(options, &inputs);
    command_inputs_close(&inputs);
    return status;
}

static int help(void)
{
    puts(
        "usage: stook wordcount [OPTION...] [--] [FILE...]\n\n"
        "Counts the words of all FILEs together, and prints WORD<TAB>COUNT, sorted by word in "
        "byte\n"
        "order. A word is a maximal run of bytes that are not white space. Without FILE, or where\n"
        "FILE is -, reads standard input. Prints nothing before all has been counted.\n\n"
        "options:\n"
        "  --workers N     count with N workers (default: the CPUs that may be used)\n"
        "  --sort ORDER    key: by word, in byte order (default); count: most frequent first, "
        "ties\n"
        "                  by word; none: as it comes\n"
        "  --top K         print the K most frequent words, most frequent first, ties by word\n"
        "  --memory-limit SIZE\n"
        "                  go on with temporary files ($TMPDIR, or /tmp) when the counts take more "
        "than\n"
        "                  SIZE bytes; with K, M or G: powers of 1024\n"
        "  --no-progress   show no progress on the terminal\n"
        "  --help          show this help\n"
        "  --version       show the version\n\n"
        "exit status: 0 success; 1 a file could not be read or the output not be written;\n"
        "2 wrong usage; 130 interrupted");
    return command_finish_output(EXIT_SUCCESS);
}

static bool parse_order(const char *name, enum mr_order *ret_order)
{
    if (strcmp(name, "key") == 0) {
        *ret_order = MR_ORDER_KEY;
    } else if (strcmp(name, "count") == 0) {
        *ret_order = MR_ORDER_PAIR;
    } else if (strcmp(name, "none") == 0) {
        *ret_order = MR_ORDER_NONE;
    } else {
        command_complain("--sort: '%s' is not key, count or none", name);
        return false;
    }
    return true;
}

int command_wordcount(int argc, char **argv)
{
    enum { WORKERS = 256, TOP, SORT, MEMORY_LIMIT, NO_PROGRESS, HELP, VERSION };
    static const struct option long_options[] = {
        {"workers", required_argument, NULL, WORKERS},
        {"top", required_argument, NULL, TOP},
        {"sort", required_argument, NULL, SORT},
        {"memory-limit", required_argument, NULL, MEMORY_LIMIT},
        {"no-progress", no_argument, NULL, NO_PROGRESS},
        {"help", no_argument, NULL, HELP},
        {"version", no_argument, NULL, VERSION},
        {NULL, 0, NULL, 0},
    };
    static char name[] = "stook"; /* what getopt's messages begin with */
    struct wordcount options = {.order = MR_ORDER_KEY, .show_progress = isatty(STDERR_FILENO) == 1};
    bool is_sorted = false;

    argv[0] = name;
    for (;;) {
        switch (getopt_long(argc, argv, "", long_options, NULL)) {
        case WORKERS:
            options.workers =
                (unsigned)command_parse_number("--workers", optarg, STOOK_MAX_WORKERS);
            if (options.workers == 0) {
                return EXIT_USAGE;
            }
            break;
        case TOP:
            options.top = command_parse_number("--top", optarg, UINT64_MAX - 1);
            if (options.top == 0) {
                return EXIT_USAGE;
            }
            options.order = MR_ORDER_PAIR;
            break;
        case MEMORY_LIMIT:
            options.memory_limit = command_parse_size("--memory-limit", optarg, MR_LEAST_MEMORY);
            if (options.memory_limit == 0) {
                return EXIT_USAGE;
            }
            break;
        case SORT:
            if (!parse_order(optarg, &options.order)) {
                return EXIT_USAGE;
            }
            is_sorted = true;
            break;
        case NO_PROGRESS:
            options.show_progress = false;
            break;
        case HELP:
            return help();
        case VERSION:
            return command_version();
        case -1:
            if (is_sorted && options.top > 0) {
                command_complain("--sort and --top exclude each other");
                return EXIT_USAGE;
            }
            return wordcount(&options, argv + optind, (size_t)(argc - optind));
        default:
            return EXIT_USAGE;
        }
    }
}
