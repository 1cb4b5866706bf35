/* SPDX-License-Identifier: MIT
 *
 * See app.h.
 */
#include "app.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char shared_options[] =
    "  --workers N           so many workers (default: as many as CPUs may be used)\n"
    "  --sequential          run in one thread, in the plainest way\n"
    "  --memory-limit BYTES  go on with temporary files when a job takes more\n"
    "  --time                print the seconds that the jobs took to standard error\n";

/* --- failing ---------------------------------------------------------------------------------- */

static void stop(struct app *app)
{
    stook_executor_destroy(app->executor);
    free(app->sources);
    free(app->files);
}

static void complain(const struct app *app, const char *format, va_list arguments)
{
    fprintf(stderr, "%s: ", app->name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

void app_fail(struct app *app, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    complain(app, format, arguments);
    va_end(arguments);
    stop(app);
    exit(EXIT_FAILURE);
}

void app_fail_usage(struct app *app, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    complain(app, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s%s", app->usage, shared_options);
    stop(app);
    exit(2);
}

void *app_allocate(struct app *app, size_t count, size_t size)
{
    bool is_possible = size == 0 || count <= SIZE_MAX / 2 / size;
    void *memory = is_possible ? calloc(count > 0 ? count : 1, size) : NULL;

    if (!memory) {
        app_fail(app, "out of memory");
    }
    return memory;
}

/* --- options ---------------------------------------------------------------------------------- */

static uint64_t parse_number(struct app *app, const char *option, const char *text)
{
    char *end = NULL;

    errno = 0;
    unsigned long long number = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    if (number == 0 || errno != 0 || *end != '\0') {
        app_fail_usage(app, "%s: '%s' is not a whole number from 1", option, text);
    }
    return number;
}

static const struct app_option *find_option(const struct app_option *options, const char *name)
{
    while (options && options->name && strcmp(options->name, name) != 0) {
        options++;
    }
    return options && options->name ? options : NULL;
}

static void parse(struct app *app, int argc, char **argv, const struct app_option *options)
{
    const struct app_option shared[] = {
        {.name = "--workers", .number = &app->workers},
        {.name = "--sequential", .flag = &app->is_sequential},
        {.name = "--memory-limit", .number = &app->memory_limit},
        {.name = "--time", .flag = &app->is_timed},
        {.name = NULL},
    };
    bool only_files = false;

    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i];
        if (only_files || argument[0] != '-' || argument[1] == '\0') {
            app->files[app->file_count++] = argument;
            continue;
        }
        if (strcmp(argument, "--") == 0) {
            only_files = true;
            continue;
        }
        const struct app_option *option = find_option(shared, argument);
        if (!option) {
            option = find_option(options, argument);
        }
        if (!option) {
            app_fail_usage(app, "unknown option '%s'", argument);
        }
        if (option->flag) {
            *option->flag = true;
            continue;
        }
        if (i + 1 == argc) {
            app_fail_usage(app, "%s needs an argument", argument);
        }
        i++;
        if (option->number) {
            *option->number = parse_number(app, argument, argv[i]);
        } else {
            *option->text = argv[i];
        }
    }
}

void app_begin(struct app *app, int argc, char **argv, const char *usage,
               const struct app_option *options)
{
    struct stook_executor_options executor_options = STOOK_EXECUTOR_OPTIONS_INIT;
    const char *slash = strrchr(argv[0], '/');

    *app = (struct app){.name = slash ? slash + 1 : argv[0], .usage = usage};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        printf("%s%s", usage, shared_options);
        exit(EXIT_SUCCESS);
    }
    app->files = app_allocate(app, (size_t)argc, sizeof *app->files);
    parse(app, argc, argv, options);
    if (app->workers > STOOK_MAX_WORKERS) {
        app_fail_usage(app, "--workers: more than %u", (unsigned)STOOK_MAX_WORKERS);
    }
    if (app->is_sequential) {
        return;
    }
    executor_options.workers = (unsigned)app->workers;
    enum stook_status status = stook_executor_create(&executor_options, &app->executor);
    if (status != STOOK_OK) {
        app_fail(app, "cannot start the workers: %s", stook_status_string(status));
    }
}

void app_need_files(struct app *app, size_t least, size_t most)
{
    if (app->file_count < least) {
        app_fail_usage(app, "missing FILE");
    }
    if (app->file_count > most) {
        app_fail_usage(app, "too many arguments: '%s'", app->files[most]);
    }
}

/* --- jobs ------------------------------------------------------------------------------------- */

const struct mr_source *app_sources(struct app *app)
{
    app_need_files(app, 1, SIZE_MAX);
    struct mr_source *sources = app_allocate(app, app->file_count, sizeof *sources);
    for (size_t i = 0; i < app->file_count; i++) {
        sources[i].path = app->files[i];
    }
    app->sources = sources;
    return sources;
}

mr_result *app_run(struct app *app, const struct mr_job *job)
{
    struct mr_job limited = *job;
    mr_result *result = NULL;
    struct mr_error error;
    enum stook_status status;
    int64_t begin = stook_now_ns();

    limited.memory_limit = app->memory_limit;
    if (app->is_sequential) {
        status = mr_map_reduce_sequential(&limited, &result, &error);
    } else {
        status = mr_map_reduce(app->executor, &limited, &result, &error);
    }
    if (status != STOOK_OK) {
        app_fail(app, "%s: %s", stook_status_name(status), error.message);
    }
    app->job_ns += stook_now_ns() - begin;
    return result;
}

int app_end(struct app *app)
{
    stop(app);
    if (app->is_timed) {
        fprintf(stderr, "seconds %.6f\n", (double)app->job_ns / 1e9);
    }
    bool failed = ferror(stdout) != 0;
    if (fclose(stdout) != 0 || failed) {
        fprintf(stderr, "%s: cannot write the output: %s\n", app->name, strerror(errno));
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

uint64_t app_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}
