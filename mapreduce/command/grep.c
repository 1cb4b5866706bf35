/* SPDX-License-Identifier: MIT
 *
 * stook grep: prints the lines that match, in the order of the input, as `grep -aE` does in the C
 * locale (but that no dot matches a NUL byte).
 *
 * A key is the file and the offset of a line, most significant byte first, so that keys in order are
 * lines in order.
 */
#define _GNU_SOURCE /* for memmem(), memrchr() */
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "command.h"

#define STDIN "(standard input)"

enum { SOME_BYTES = 1 << 20, MOST_LITERAL = 256, EXIT_NOTHING = 1 };

struct grep {
    struct command_options shared;
    const char *pattern;
    char literal[MOST_LITERAL]; /* every line that matches has it; empty: none is known */
    bool is_plain;              /* and every line that has it matches */
    bool only_count;
    bool shows_names;
};

/* --- the expression --------------------------------------------------------------------------- */

/* Finds a text that all matches have: the longest run of bytes that stand for themselves, if there
 * is no choice between expressions. */
static void find_literal(struct grep *grep)
{
    static const char special[] = ".[]()*+?{}|^$\\\n";
    const char *pattern = grep->pattern;
    size_t longest = 0;

    grep->is_plain = pattern[0] && !strpbrk(pattern, special) && strlen(pattern) < MOST_LITERAL;
    if (strpbrk(pattern, "|[]()\\{\n")) {
        return;
    }
    while (*pattern) {
        size_t size = strcspn(pattern, special);
        size_t repeats = strspn(pattern + size, "*+?"); /* each applies to what is before it */
        bool is_optional = strcspn(pattern + size, "*?") < repeats;
        size_t sure = size > 0 && is_optional ? size - 1 : size;
        if (sure > longest && sure < MOST_LITERAL) {
            longest = sure;
            memcpy(grep->literal, pattern, sure);
            grep->literal[sure] = '\0';
        }
        pattern += size + (repeats > 0 ? repeats : pattern[size] != '\0');
    }
}

static bool check_pattern(struct grep *grep)
{
    char message[256];
    regex_t expression;
    int code = regcomp(&expression, grep->pattern, REG_EXTENDED | REG_NOSUB);

    if (code == REG_ESPACE) {
        command_complain("out of memory for the expression '%s'", grep->pattern);
        return false;
    }
    if (code != 0) {
        regerror(code, &expression, message, sizeof message);
        command_complain("'%s' is not a regular expression: %s", grep->pattern, message);
        return false;
    }
    regfree(&expression);
    find_literal(grep);
    return true;
}

/* --- the job ---------------------------------------------------------------------------------- */

static void store(unsigned char to[8], uint64_t number)
{
    for (size_t i = 8; i-- > 0; number >>= 8) {
        to[i] = (unsigned char)number;
    }
}

static uint64_t load(const unsigned char from[8])
{
    uint64_t number = 0;

    for (size_t i = 0; i < 8; i++) {
        number = number << 8 | from[i];
    }
    return number;
}

/* A line matches. */
static enum stook_status emit_line(const struct mr_item *item, struct mr_slice line,
                                   mr_emitter *out, const struct grep *grep)
{
    unsigned char key[16];

    store(key, item->source);
    if (grep->only_count) {
        return mr_emit_u64(out, mr_slice_of(key, 8), 1);
    }
    size_t before = (size_t)((const char *)line.data - (const char *)item->data.data);
    store(key + 8, item->index + before);
    return mr_emit(out, mr_slice_of(key, sizeof key), line);
}

/* The next line that may match: one that has the literal. */
static bool next_line(struct mr_slice *text, const struct grep *grep, struct mr_slice *ret_line)
{
    if (grep->literal[0]) {
        const char *found = memmem(text->data, text->size, grep->literal, strlen(grep->literal));
        if (!found) {
            return false;
        }
        const char *begin = text->data;
        const char *before = memrchr(begin, '\n', (size_t)(found - begin));
        size_t skipped = before ? (size_t)(before + 1 - begin) : 0;
        *text = mr_slice_of(begin + skipped, text->size - skipped);
    }
    return mr_next_field(text, '\n', ret_line); /* a return is part of the line */
}

/* Lines are copied for regexec(), which wants a NUL behind them. */
struct matcher {
    regex_t expression;
    char *line;
    size_t room;
};

/* Does it match? A negative number is a status: there is no memory, also for regexec(); or its
 * offsets, of type int on most systems, cannot tell where the line ends. */
static int match(struct matcher *matcher, struct mr_slice line)
{
    if (line.size > INT_MAX) {
        command_complain("a line of more than %d bytes can be searched for plain text only",
                         INT_MAX);
        return STOOK_INVALID;
    }
    if (line.size >= matcher->room) {
        char *bigger = realloc(matcher->line, 2 * line.size + 64);
        if (!bigger) {
            return STOOK_NOMEM;
        }
        matcher->line = bigger;
        matcher->room = 2 * line.size + 64;
    }
    if (line.size > 0) {
        memcpy(matcher->line, line.data, line.size);
    }
    matcher->line[line.size] = '\0';
#ifdef REG_STARTEND
    regmatch_t range = {.rm_so = 0, .rm_eo = (regoff_t)line.size};
    int code = regexec(&matcher->expression, matcher->line, 1, &range, REG_STARTEND);
#else /* what is behind a NUL is not looked at */
    int code = regexec(&matcher->expression, matcher->line, 0, NULL, 0);
#endif
    return code == 0 ? 1 : code == REG_NOMATCH ? 0 : STOOK_NOMEM;
}

/* The expression is compiled for each call: threads that share one wait for each other. */
static int map_lines(const struct mr_item *item, mr_emitter *out, void *user)
{
    const struct grep *grep = user;
    struct matcher matcher = {.line = NULL};
    enum stook_status status = STOOK_OK;
    struct mr_slice text = item->data;
    struct mr_slice line;

    if (!grep->is_plain && regcomp(&matcher.expression, grep->pattern, REG_EXTENDED) != 0) {
        return STOOK_NOMEM; /* it was sound before */
    }
    while (status == STOOK_OK && next_line(&text, grep, &line)) {
        int matches = grep->is_plain ? 1 : match(&matcher, line);
        if (matches < 0) {
            status = (enum stook_status)matches;
        } else if (matches > 0) {
            status = emit_line(item, line, out, grep);
        }
    }
    if (!grep->is_plain) {
        regfree(&matcher.expression);
    }
    free(matcher.line);
    return (int)status;
}

/* --- output ----------------------------------------------------------------------------------- */

struct output {
    const struct grep *grep;
    const struct command_inputs *inputs;
};

static int put_line(const struct mr_pair *pair, mr_text *text, void *user)
{
    const struct output *output = user;

    if (output->grep->shows_names) {
        const char *name = command_source_name(output->inputs, (size_t)load(pair->key.data), STDIN);
        if (!mr_text_put(text, mr_slice_str(name)) || !mr_text_put(text, mr_slice_of(":", 1))) {
            return 1;
        }
    }
    return !mr_text_put(text, pair->value) || !mr_text_put(text, mr_slice_of("\n", 1));
}

static int complain_of(const struct mr_error *error)
{
    command_complain("%s", error->message);
    return EXIT_TROUBLE;
}

static int print_counts(const struct grep *grep, const struct command_inputs *inputs,
                        mr_result *result)
{
    struct mr_error error;
    struct mr_pair pair = {.key = {NULL, 0}};
    bool is_there = mr_result_next(result, &pair);

    for (size_t i = 0; i < inputs->count; i++) {
        uint64_t count = 0;
        if (is_there && load(pair.key.data) == i) {
            count = mr_slice_u64(pair.value);
            is_there = mr_result_next(result, &pair);
        }
        if (grep->shows_names) {
            printf("%s:", command_source_name(inputs, i, STDIN));
        }
        printf("%" PRIu64 "\n", count);
    }
    return mr_result_status(result, &error) == STOOK_OK ? command_finish_output(EXIT_SUCCESS)
                                                        : complain_of(&error);
}

/* --- the command ------------------------------------------------------------------------------ */

/* Troubles are 2, as 1 tells that nothing matches. */
static int status_of(int status)
{
    return status == EXIT_TROUBLE ? EXIT_USAGE : status;
}

static int search(struct grep *grep, const struct command_inputs *inputs)
{
    stook_executor *executor = command_start(&grep->shared);
    struct mr_job job = MR_JOB_INIT;
    mr_result *result;

    if (!executor) {
        return EXIT_USAGE;
    }
    job.input = mr_input_text(inputs->sources, inputs->count);
    job.input.whole_splits = true;
    job.input.chunk = SOME_BYTES;
    job.map = map_lines;
    job.combine = grep->only_count ? mr_sum_u64 : NULL;
    job.order = MR_ORDER_KEY;
    job.user = grep;
    int status = command_run(executor, &grep->shared, &job, &result);
    if (status == EXIT_SUCCESS) {
        struct output output = {.grep = grep, .inputs = inputs};
        bool is_found = mr_result_count(result) > 0;
        status = grep->only_count ? print_counts(grep, inputs, result)
                                  : command_print(executor, result, put_line, &output);
        status = status == EXIT_SUCCESS && !is_found ? EXIT_NOTHING : status_of(status);
    } else {
        status = status_of(status);
    }
    mr_result_destroy(result);
    stook_executor_destroy(executor);
    return status;
}

static int help(void)
{
    puts("usage: stook grep [OPTION...] [--] ERE [FILE...]\n\n"
         "Prints the lines that match ERE, a POSIX extended regular expression, in the order of "
         "the\n"
         "input; with several FILEs, FILE: in front. Bytes are compared as in the C locale. A "
         "directory\n"
         "stands for the regular files below it; gzip and zstd are decompressed. Without FILE, or "
         "where\n"
         "FILE is -, reads standard input.\n\n"
         "options:\n"
         "  -c, --count     print how many lines of each file match\n" COMMAND_OPTIONS_HELP "\n"
         "exit status: 0 a line matches; 1 none does; 2 trouble; 130 interrupted");
    return command_finish_output(EXIT_SUCCESS);
}

int command_grep(int argc, char **argv)
{
    static const struct option long_options[] = {
        COMMAND_LONG_OPTIONS,
        {"count", no_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    static char name[] = "stook";
    struct grep grep = {.pattern = NULL};
    struct command_inputs inputs;
    int option;

    command_options_init(&grep.shared);
    argv[0] = name;
    while ((option = getopt_long(argc, argv, "c", long_options, NULL)) != -1) {
        switch (option) {
        case 'c':
            grep.only_count = true;
            break;
        case COMMAND_HELP:
            return help();
        case COMMAND_VERSION:
            return command_version();
        default:
            if (!command_options_take(&grep.shared, option, optarg)) {
                return EXIT_USAGE;
            }
        }
    }
    if (optind == argc) {
        command_complain("grep: missing ERE; try 'stook grep --help'");
        return EXIT_USAGE;
    }
    grep.pattern = argv[optind++];
    if (!check_pattern(&grep)) {
        return EXIT_USAGE;
    }
    command_catch_signals();
    if (command_inputs_open(&inputs, argv + optind, (size_t)(argc - optind)) != EXIT_SUCCESS) {
        return EXIT_USAGE;
    }
    grep.shows_names = inputs.count > 1 || argc - optind > 1;
    int status = search(&grep, &inputs);
    command_inputs_close(&inputs);
    return status;
}
