/* SPDX-License-Identifier: MIT
 *
 * stook wordcount: counts words, which are maximal runs of bytes that are not white space in the C
 * locale. The job is what a user of <stook/mapreduce.h> would write: map_words, add_counts,
 * sum_counts.
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
    uint64_t top;     /* 0: all, by word */
    bool show_progress;
};

/* --- the job --------------------------------------------------------------------------------------- */

static int map_words(const struct mr_item *item, mr_emitter *out, void *user)
{
    const uint64_t one = 1;
    struct mr_slice text = item->data;
    struct mr_slice words[WORDS_AT_ONCE];
    size_t count;
    (void)user;

    while ((count = mr_find_words(&text, words, WORDS_AT_ONCE)) > 0) {
        for (size_t i = 0; i < count; i++) {
            int status = mr_emit(out, words[i], mr_slice_of(&one, sizeof one));
            if (status != STOOK_OK) {
                return status;
            }
        }
    }
    return 0;
}

static uint64_t count_of(struct mr_slice value)
{
    uint64_t count;
    memcpy(&count, value.data, sizeof count);
    return count;
}

static int add_counts(struct mr_slice key, void *accumulator, size_t accumulator_size,
                      struct mr_slice value, void *user)
{
    (void)key;
    (void)accumulator_size;
    (void)user;
    *(uint64_t *)accumulator += count_of(value);
    return 0;
}

static int sum_counts(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct mr_slice value;
    uint64_t sum = 0;
    (void)user;

    while (mr_values_next(values, &value)) {
        sum += count_of(value);
    }
    return mr_emit(out, key, mr_slice_of(&sum, sizeof sum));
}

static int tell_progress(const char *tag, uint64_t done, uint64_t not_done, void *user)
{
    const struct wordcount *options = user;
    return command_progress(options->show_progress, tag, done, not_done);
}

/* --- output: all, or the most frequent -------------------------------------------------------------- */

static void print_pair(struct mr_slice word, uint64_t count)
{
    char text[24]; /* by hand: printf would take a third of the time of a sorted run */
    char *at = text + sizeof text;

    *--at = '\n';
    do {
        *--at = (char)('0' + count % 10);
        count /= 10;
    } while (count > 0);
    *--at = '\t';
    fwrite(word.data, 1, word.size, stdout);
    fwrite(at, 1, (size_t)(text + sizeof text - at), stdout);
}

static int print_all(mr_result *result)
{
    struct mr_pair pair;

    while (!ferror(stdout) && mr_result_next(result, &pair)) {
        print_pair(pair.key, count_of(pair.value));
    }
    return EXIT_SUCCESS;
}

struct counted {
    uint64_t count;
    struct mr_slice word; /* its bytes are malloc'd */
};

/* Most frequent first, then by word. */
static int counted_compare(const void *a, const void *b)
{
    const struct counted *x = a;
    const struct counted *y = b;
    size_t common = x->word.size < y->word.size ? x->word.size : y->word.size;

    if (x->count != y->count) {
        return x->count > y->count ? -1 : 1;
    }
    int order = common > 0 ? memcmp(x->word.data, y->word.data, common) : 0;
    return order != 0 ? order : (x->word.size > y->word.size) - (x->word.size < y->word.size);
}

/* Restores the heap, whose root is the one to be displaced next, from `at` down. */
static void sift_down(struct counted *heap, size_t size, size_t at)
{
    for (;;) {
        size_t last = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < size; child++) {
            if (counted_compare(&heap[child], &heap[last]) > 0) {
                last = child;
            }
        }
        if (last == at) {
            return;
        }
        struct counted moved = heap[at];
        heap[at] = heap[last];
        heap[last] = moved;
        at = last;
    }
}

static bool keep_copy(struct counted *place, const struct counted *from)
{
    void *bytes = malloc(from->word.size);
    if (!bytes) {
        return false;
    }
    memcpy(bytes, from->word.data, from->word.size);
    place->count = from->count;
    place->word = mr_slice_of(bytes, from->word.size);
    return true;
}

/* Fills heap with the first `most` pairs in the order of counted_compare; false without memory. */
static bool choose_top(mr_result *result, struct counted *heap, size_t most, size_t *ret_size)
{
    struct mr_pair pair;

    *ret_size = 0;
    while (mr_result_next(result, &pair)) {
        struct counted candidate = {.count = count_of(pair.value), .word = pair.key};
        if (*ret_size == most) {
            if (counted_compare(&candidate, &heap[0]) > 0) {
                continue;
            }
            free((void *)(uintptr_t)heap[0].word.data);
            heap[0] = heap[--*ret_size];
            sift_down(heap, *ret_size, 0);
        }
        if (!keep_copy(&heap[*ret_size], &candidate)) {
            return false;
        }
        /* Sift up. */
        size_t at = (*ret_size)++;
        for (; at > 0 && counted_compare(&heap[at], &heap[(at - 1) / 2]) > 0; at = (at - 1) / 2) {
            struct counted moved = heap[at];
            heap[at] = heap[(at - 1) / 2];
            heap[(at - 1) / 2] = moved;
        }
    }
    return true;
}

static int print_top(mr_result *result, uint64_t top)
{
    uint64_t all = mr_result_count(result);
    size_t most = (size_t)(top < all ? top : all);
    size_t size = 0;
    struct counted *heap = calloc(most + 1, sizeof *heap);
    bool chosen = heap && choose_top(result, heap, most, &size);

    if (chosen) {
        qsort(heap, size, sizeof *heap, counted_compare);
    } else {
        command_complain("out of memory");
    }
    for (size_t i = 0; i < size; i++) {
        if (chosen) {
            print_pair(heap[i].word, heap[i].count);
        }
        free((void *)(uintptr_t)heap[i].word.data);
    }
    free(heap);
    return chosen ? EXIT_SUCCESS : EXIT_TROUBLE;
}

/* --- the command -------------------------------------------------------------------------------------- */

static int run_job(const struct wordcount *options, const struct command_inputs *inputs,
                   mr_result **ret_result)
{
    struct stook_executor_options executor_options = STOOK_EXECUTOR_OPTIONS_INIT;
    struct mr_job job = MR_JOB_INIT;
    struct wordcount user = *options;
    struct mr_error error;
    stook_executor *executor;

    executor_options.workers = options->workers;
    enum stook_status status = stook_executor_create(&executor_options, &executor);
    if (status != STOOK_OK) {
        command_complain("cannot start the workers: %s", stook_status_string(status));
        return EXIT_TROUBLE;
    }
    job.input = mr_input_text(inputs->sources, inputs->count);
    job.input.delimiters = WHITE_SPACE;
    job.input.whole_splits = true;
    job.map = map_words;
    job.combine = add_counts;
    job.reduce = sum_counts;
    job.order = options->top ? MR_ORDER_NONE : MR_ORDER_KEY;
    job.progress = tell_progress;
    job.progress_period_ns = 100000000; /* what Ctrl-C may take */
    job.user = &user;
    command_job_begins();
    status = mr_map_reduce(executor, &job, ret_result, &error);
    bool is_interrupted = command_job_ended();
    command_progress_clear(options->show_progress);
    stook_executor_destroy(executor);
    if (is_interrupted) {
        return EXIT_INTERRUPTED;
    }
    if (status != STOOK_OK) {
        command_complain("%s", error.message);
        return EXIT_TROUBLE;
    }
    return EXIT_SUCCESS;
}

static int wordcount(const struct wordcount *options, char *const *names, size_t count)
{
    struct command_inputs inputs;
    mr_result *result = NULL;

    command_catch_interrupt();
    int status = command_inputs_open(&inputs, names, count);
    if (status != EXIT_SUCCESS) {
        return status;
    }
    status = run_job(options, &inputs, &result);
    if (status == EXIT_SUCCESS) {
        status = options->top ? print_top(result, options->top) : print_all(result);
        status = command_finish_output(status);
    }
    mr_result_destroy(result);
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
        "  --top K         print the K most frequent words, most frequent first, ties by word\n"
        "  --no-progress   show no progress on the terminal\n"
        "  --help          show this help\n"
        "  --version       show the version\n\n"
        "exit status: 0 success; 1 a file could not be read or the output not be written;\n"
        "2 wrong usage; 130 interrupted");
    return command_finish_output(EXIT_SUCCESS);
}

int command_wordcount(int argc, char **argv)
{
    enum { WORKERS = 256, TOP, NO_PROGRESS, HELP, VERSION };
    static const struct option long_options[] = {
        {"workers", required_argument, NULL, WORKERS},   {"top", required_argument, NULL, TOP},
        {"no-progress", no_argument, NULL, NO_PROGRESS}, {"help", no_argument, NULL, HELP},
        {"version", no_argument, NULL, VERSION},         {NULL, 0, NULL, 0},
    };
    static char name[] = "stook"; /* what getopt's messages begin with */
    struct wordcount options = {.show_progress = isatty(STDERR_FILENO) == 1};

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
            break;
        case NO_PROGRESS:
            options.show_progress = false;
            break;
        case HELP:
            return help();
        case VERSION:
            return command_version();
        case -1:
            return wordcount(&options, argv + optind, (size_t)(argc - optind));
        default:
            return EXIT_USAGE;
        }
    }
}
