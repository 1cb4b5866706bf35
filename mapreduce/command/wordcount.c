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

struct wordcount {
    struct command_options shared;
    uint64_t top; /* 0: all */
    enum mr_order order;
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

static int count_and_print(const struct wordcount *options, const struct command_inputs *inputs)
{
    stook_executor *executor = command_start(&options->shared);
    struct mr_job job = MR_JOB_INIT;
    mr_result *result;

    if (!executor) {
        return EXIT_TROUBLE;
    }
    job.input = mr_input_text(inputs->sources, inputs->count);
    job.input.delimiters = WHITE_SPACE;
    job.input.whole_splits = true;
    job.map = map_words;
    job.combine = mr_sum_u64;
    job.order = options->order;
    job.compare = mr_by_count;
    job.top = options->top;
    int status = command_run(executor, &options->shared, &job, &result);
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

    command_catch_signals();
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
        "order. A word is a maximal run of bytes that are not white space. A directory stands for\n"
        "the regular files below it; gzip and zstd are decompressed. Without FILE, or where FILE "
        "is\n"
        "-, reads standard input. Prints nothing before all has been counted.\n\n"
        "options:\n"
        "  --sort ORDER    key: by word, in byte order (default); count: most frequent first, "
        "ties\n"
        "                  by word; none: as it comes\n"
        "  --top K         print the K most frequent words, most frequent first, ties by "
        "word\n" COMMAND_OPTIONS_HELP "\n"
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
    enum { TOP = COMMAND_OWN, SORT };
    static const struct option long_options[] = {
        COMMAND_LONG_OPTIONS,
        {"top", required_argument, NULL, TOP},
        {"sort", required_argument, NULL, SORT},
        {NULL, 0, NULL, 0},
    };
    static char name[] = "stook"; /* what getopt's messages begin with */
    struct wordcount options = {.order = MR_ORDER_KEY};
    bool is_sorted = false;
    int option;

    command_options_init(&options.shared);
    argv[0] = name;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case TOP:
            options.top = command_parse_number("--top", optarg, UINT64_MAX - 1);
            if (options.top == 0) {
                return EXIT_USAGE;
            }
            options.order = MR_ORDER_PAIR;
            break;
        case SORT:
            if (!parse_order(optarg, &options.order)) {
                return EXIT_USAGE;
            }
            is_sorted = true;
            break;
        case COMMAND_HELP:
            return help();
        case COMMAND_VERSION:
            return command_version();
        default:
            if (!command_options_take(&options.shared, option, optarg)) {
                return EXIT_USAGE;
            }
        }
    }
    if (is_sorted && options.top > 0) {
        command_complain("--sort and --top exclude each other");
        return EXIT_USAGE;
    }
    return wordcount(&options, argv + optind, (size_t)(argc - optind));
}
