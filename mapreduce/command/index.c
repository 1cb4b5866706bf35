/* SPDX-License-Identifier: MIT
 *
 * stook index: where each word occurs.
 *
 * A value is a place: file and offset in one number. The reducer gets the places of a word in any
 * order, and emits them in order, as one value.
 */
#define _POSIX_C_SOURCE 200809L
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "command.h"
#include "places.h"

#define WHITE_SPACE " \t\n\v\f\r"

enum { OFFSET_BITS = 44 }; /* of a place: files of up to 16 TiB */
#define MOST_SOURCES ((size_t)1 << (64 - OFFSET_BITS))

/* --- the job ---------------------------------------------------------------------------------- */

static int map_words(const struct mr_item *item, mr_emitter *out, void *user)
{
    enum { SOME = 64 };
    const char *begin = item->data.data;
    const uint64_t base = (uint64_t)item->source << OFFSET_BITS | item->index;
    struct mr_slice text = item->data;
    struct mr_slice words[SOME];
    uint64_t places[SOME];
    enum stook_status status = STOOK_OK;
    size_t count;
    (void)user;

    while (status == STOOK_OK && (count = mr_find_words(&text, words, SOME)) > 0) {
        for (size_t i = 0; i < count; i++) {
            places[i] = base + (uint64_t)((const char *)words[i].data - begin);
        }
        status = mr_emit_keys_u64(out, words, count, places);
    }
    return (int)status;
}

static int sort_values(struct mr_slice word, mr_values *values, mr_emitter *out, void *user)
{
    struct places places = {0};
    struct mr_slice value;
    bool has_memory = true;
    (void)user;

    while (has_memory && mr_values_next(values, &value)) {
        has_memory = places_add(&places, mr_slice_u64(value));
    }
    int status = STOOK_NOMEM;
    if (has_memory && places_sort(&places)) {
        struct mr_slice all = mr_slice_of(places.all, places.count * sizeof *places.all);
        status = (int)mr_emit(out, word, all);
    }
    places_free(&places);
    return status;
}

/* --- output ----------------------------------------------------------------------------------- */

/* What is put together before it is handed on: a word may have millions of places. */
struct line {
    mr_text *text;
    size_t used;
    char bytes[1 << 12];
};

static bool hand_on(struct line *line)
{
    size_t used = line->used;

    line->used = 0;
    return mr_text_put(line->text, mr_slice_of(line->bytes, used));
}

static inline bool put(struct line *line, const char *data, size_t size)
{
    if (size > sizeof line->bytes - line->used && !hand_on(line)) {
        return false;
    }
    if (size > sizeof line->bytes) {
        return mr_text_put(line->text, mr_slice_of(data, size));
    }
    memcpy(line->bytes + line->used, data, size);
    line->used += size;
    return true;
}

static inline bool put_number(struct line *line, uint64_t number)
{
    enum { MOST_DIGITS = 20 };
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    char digits[2 * MOST_DIGITS];
    size_t begin = MOST_DIGITS;

    for (; number >= 100; number /= 100) {
        begin -= 2;
        memcpy(digits + begin, pairs + 2 * (number % 100), 2);
    }
    begin -= 2;
    memcpy(digits + begin, pairs + 2 * number, 2);
    begin += number < 10;
    if (sizeof line->bytes - line->used < MOST_DIGITS && !hand_on(line)) {
        return false;
    }
    memcpy(line->bytes + line->used, digits + begin,
           MOST_DIGITS); /* what is too much is replaced */
    line->used += MOST_DIGITS - begin;
    return true;
}

/* WORD<TAB>FILE:OFFSET,FILE:OFFSET...<newline> */
static int put_word(const struct mr_pair *pair, mr_text *text, void *user)
{
    const struct command_inputs *inputs = user;
    const unsigned char *at = pair->value.data;
    size_t source = SIZE_MAX;
    const char *name = "";
    size_t name_size = 0;
    struct line line; /* large: not all of it is to be set */

    line.text = text;
    line.used = 0;
    bool is_put = mr_text_put(text, pair->key);
    for (size_t i = 0; i < pair->value.size && is_put; i += sizeof(uint64_t)) {
        uint64_t place = mr_slice_u64(mr_slice_of(at + i, sizeof place));
        if (place >> OFFSET_BITS != source) {
            source = (size_t)(place >> OFFSET_BITS);
            name = command_source_name(inputs, source, "-");
            name_size = strlen(name);
        }
        is_put = put(&line, i == 0 ? "\t" : ",", 1) && put(&line, name, name_size) &&
                 put(&line, ":", 1) &&
                 put_number(&line, place & ((UINT64_C(1) << OFFSET_BITS) - 1));
    }
    return !(is_put && put(&line, "\n", 1) && hand_on(&line));
}

/* --- the command ------------------------------------------------------------------------------ */

static int index_words(const struct command_options *options, const struct command_inputs *inputs)
{
    struct mr_job job = MR_JOB_INIT;
    mr_result *result;

    if (inputs->count > MOST_SOURCES) {
        command_complain("more than %zu files", MOST_SOURCES);
        return EXIT_TROUBLE;
    }
    stook_executor *executor = command_start(options);
    if (!executor) {
        return EXIT_TROUBLE;
    }
    job.input = mr_input_text(inputs->sources, inputs->count);
    job.input.delimiters = WHITE_SPACE;
    job.input.whole_splits = true;
    job.map = map_words;
    job.reduce = sort_values;
    job.order = MR_ORDER_KEY;
    int status = command_run(executor, options, &job, &result);
    if (status == EXIT_SUCCESS) {
        struct command_inputs shared = *inputs;
        status = command_print(executor, result, put_word, &shared);
    }
    mr_result_destroy(result);
    stook_executor_destroy(executor);
    return status;
}

static int help(void)
{
    puts("usage: stook index [OPTION...] [--] [FILE...]\n\n"
         "Prints where each word occurs: WORD<TAB>FILE:OFFSET[,FILE:OFFSET...], words in byte "
         "order, FILEs\n"
         "in the order given, offsets in bytes from 0. A word is a maximal run of bytes that are "
         "not\n"
         "white space. A directory stands for the regular files below it; gzip and zstd are\n"
         "decompressed. Without FILE, or where FILE is -, reads standard input.\n\n"
         "options:\n" COMMAND_OPTIONS_HELP "\n"
         "exit status: 0 success; 1 a file could not be read or the output not be written;\n"
         "2 wrong usage; 130 interrupted");
    return command_finish_output(EXIT_SUCCESS);
}

int command_index(int argc, char **argv)
{
    static const struct option long_options[] = {COMMAND_LONG_OPTIONS, {NULL, 0, NULL, 0}};
    static char name[] = "stook";
    struct command_options options;
    struct command_inputs inputs;
    int option;

    command_options_init(&options);
    argv[0] = name;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == COMMAND_HELP) {
            return help();
        }
        if (option == COMMAND_VERSION) {
            return command_version();
        }
        if (!command_options_take(&options, option, optarg)) {
            return EXIT_USAGE;
        }
    }
    command_catch_signals();
    int status = command_inputs_open(&inputs, argv + optind, (size_t)(argc - optind));
    if (status != EXIT_SUCCESS) {
        return status;
    }
    status = index_words(&options, &inputs);
    command_inputs_close(&inputs);
    return status;
}
