/* SPDX-License-Identifier: MIT
 *
 * Prints the lines that match a POSIX extended regular expression, in their order, or how many
 * there are in each file. Prints as `grep -E` does: with several files, FILE: comes first.
 *
 * A key is file and offset of a line, most significant byte first, so that the order of keys is
 * that of lines. Behind a NUL byte of a line nothing is found by an expression that is more than a
 * plain text.
 */
#define _GNU_SOURCE /* memmem */
#include <inttypes.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "app.h"

struct grep {
    const char *pattern;
    bool is_plain; /* no regular expression, but a text to be found */
    bool only_count;
};

struct key {
    unsigned char file[4], offset[8];
};

static void store(unsigned char *to, size_t size, uint64_t number)
{
    while (size > 0) {
        to[--size] = (unsigned char)number;
        number >>= 8;
    }
}

static size_t file_of(struct mr_slice key)
{
    const unsigned char *file = key.data;
    return (size_t)file[0] << 24 | (size_t)file[1] << 16 | (size_t)file[2] << 8 | file[3];
}

static enum stook_status emit_line(const struct mr_item *item, const char *begin, const char *end,
                                   mr_emitter *out, const struct grep *grep)
{
    struct key key;
    size_t offset = (size_t)(begin - (const char *)item->data.data);

    store(key.file, sizeof key.file, item->source);
    store(key.offset, sizeof key.offset, item->index + offset);
    return grep->only_count ? mr_emit_u64(out, mr_slice_of(key.file, sizeof key.file), 1)
                            : mr_emit(out, mr_slice_of(&key, sizeof key),
                                      mr_slice_of(begin, (size_t)(end - begin)));
}

static const char *end_of_line(const char *at, const char *end)
{
    const char *found = memchr(at, '\n', (size_t)(end - at));
    return found ? found : end;
}

/* Looks for the text, not for lines: of these only those that have it are looked at. */
static int map_plain(const struct mr_item *item, mr_emitter *out, void *user)
{
    const struct grep *grep = user;
    const size_t size = strlen(grep->pattern);
    const char *begin = item->data.data;
    const char *end = begin + item->data.size;
    enum stook_status status = STOOK_OK;

    for (const char *at = begin; at < end && status == STOOK_OK;) {
        const char *found = memmem(at, (size_t)(end - at), grep->pattern, size);
        if (!found) {
            break;
        }
        const char *before = memrchr(at, '\n', (size_t)(found - at));
        const char *line_end = end_of_line(found, end);
        status = emit_line(item, before ? before + 1 : at, line_end, out, grep);
        at = line_end < end ? line_end + 1 : end;
    }
    return (int)status;
}

/* An expression of its own for each call: threads that share one wait for each other. */
static int map_expression(const struct mr_item *item, mr_emitter *out, void *user)
{
    const struct grep *grep = user;
    const char *begin = item->data.data;
    const char *end = begin + item->data.size;
    enum stook_status status = STOOK_OK;
    regex_t expression;

    if (regcomp(&expression, grep->pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        return STOOK_NOMEM; /* it was sound in main() */
    }
    char *copy = malloc(item->data.size + 1); /* lines with a NUL behind, as regexec wants them */
    if (!copy) {
        status = STOOK_NOMEM;
    }
    for (const char *at = begin; at < end && status == STOOK_OK;) {
        const char *line_end = end_of_line(at, end);
        size_t size = (size_t)(line_end - at);
        memcpy(copy, at, size);
        copy[size] = '\0';
        if (regexec(&expression, copy, 0, NULL, 0) == 0) {
            status = emit_line(item, at, line_end, out, grep);
        }
        at = line_end < end ? line_end + 1 : end;
    }
    free(copy);
    regfree(&expression);
    return (int)status;
}

/* --- output ----------------------------------------------------------------------------------- */

static void print_lines(mr_result *result, const struct app *app)
{
    struct mr_pair pair;

    while (mr_result_next(result, &pair)) {
        if (app->file_count > 1) {
            printf("%s:", app->files[file_of(pair.key)]);
        }
        fwrite(pair.value.data, 1, pair.value.size, stdout);
        putchar('\n');
    }
}

static void print_counts(mr_result *result, struct app *app)
{
    uint64_t *counts = app_allocate(app, app->file_count, sizeof *counts);
    struct mr_pair pair;

    while (mr_result_next(result, &pair)) {
        counts[file_of(pair.key)] = mr_slice_u64(pair.value);
    }
    for (size_t i = 0; i < app->file_count; i++) {
        if (app->file_count > 1) {
            printf("%s:", app->files[i]);
        }
        printf("%" PRIu64 "\n", counts[i]);
    }
    free(counts);
}

static void check_pattern(struct app *app, struct grep *grep)
{
    char message[256];
    regex_t expression;

    if (!grep->pattern) {
        app_fail_usage(app, "missing --pattern");
    }
    int code = regcomp(&expression, grep->pattern, REG_EXTENDED | REG_NOSUB);
    if (code != 0) {
        regerror(code, &expression, message, sizeof message);
        app_fail_usage(app, "--pattern: %s: '%s'", message, grep->pattern);
    }
    regfree(&expression);
    grep->is_plain = grep->pattern[0] && !strpbrk(grep->pattern, ".[]()*+?{}|^$\\\n");
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: distributed_grep --pattern EXPRESSION [OPTION...] FILE...\n"
                                "  --pattern EXPRESSION  a POSIX extended regular expression\n"
                                "  --count               print how many lines match\n";
    struct grep grep = {.pattern = NULL};
    const struct app_option options[] = {{.name = "--pattern", .text = &grep.pattern},
                                         {.name = "--count", .flag = &grep.only_count},
                                         {.name = NULL}};
    struct mr_job job = MR_JOB_INIT;
    struct app app;

    app_begin(&app, argc, argv, usage, options);
    check_pattern(&app, &grep);
    job.input = mr_input_text(app_sources(&app), app.file_count);
    job.input.whole_splits = true;
    job.input.chunk = 1 << 20;
    job.map = grep.is_plain ? map_plain : map_expression;
    job.combine = grep.only_count ? mr_sum_u64 : NULL;
    job.order = MR_ORDER_KEY;
    job.user = &grep;
    mr_result *result = app_run(&app, &job);
    if (grep.only_count) {
        print_counts(result, &app);
    } else {
        print_lines(result, &app);
    }
    mr_result_destroy(result);
    return app_end(&app);
}
