/* SPDX-License-Identifier: MIT
 *
 * What the subcommands share; see command.h.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stook/version.h>
#include <sys/stat.h>
#include <unistd.h>
#include "command.h"

void command_complain(const char *format, ...)
{
    va_list arguments;

    fputs("stook: ", stderr);
    va_start(arguments, format);
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): now and then va_start() is not seen */
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

uint64_t command_parse_number(const char *option, const char *text, uint64_t most)
{
    uint64_t number = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9' && number <= most; at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        number = number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : number * 10 + digit;
    }
    if (at == text || *at != '\0' || number < 1 || number > most) {
        command_complain("%s: '%s' is not a whole number from 1 to %llu", option, text,
                         (unsigned long long)most);
        return 0;
    }
    return number;
}

static uint64_t parse_size(const char *option, const char *text, uint64_t least)
{
    static const char units[] = "KMG";
    char *end = NULL;
    unsigned shift = 0;

    errno = 0;
    unsigned long long number = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    if (number > 0 && *end && strchr(units, *end)) {
        shift = 10 * (unsigned)(strchr(units, *end++) - units + 1);
    }
    if (number == 0 || errno != 0 || *end || number > UINT64_MAX >> shift) {
        command_complain("%s: '%s' is not a size in bytes, or with K, M or G", option, text);
        return 0;
    }
    if ((uint64_t)number << shift < least) {
        command_complain("%s: '%s' is less than %lluM", option, text,
                         (unsigned long long)(least >> 20));
        return 0;
    }
    return (uint64_t)number << shift;
}

void command_options_init(struct command_options *options)
{
    *options = (struct command_options){.show_progress = isatty(STDERR_FILENO) == 1};
}

bool command_options_take(struct command_options *options, int option, const char *value)
{
    switch (option) {
    case COMMAND_WORKERS:
        options->workers = (unsigned)command_parse_number("--workers", value, STOOK_MAX_WORKERS);
        return options->workers > 0;
    case COMMAND_MEMORY_LIMIT:
        options->memory_limit = parse_size("--memory-limit", value, MR_LEAST_MEMORY);
        return options->memory_limit > 0;
    case COMMAND_NO_PROGRESS:
        options->show_progress = false;
        return true;
    default: /* getopt has complained */
        return false;
    }
}

/* --- running a job ---------------------------------------------------------------------------- */

static volatile sig_atomic_t job_runs;
static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    if (!job_runs) {
        _exit(EXIT_INTERRUPTED);
    }
    interrupted = 1;
}

void command_catch_signals(void)
{
    /* Also where a shell has told its background jobs to ignore it: whoever sends it means it. */
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &action, NULL);
#ifdef SIGXFSZ
    signal(SIGXFSZ, SIG_IGN); /* the write that exceeds a limit tells what is wrong */
#endif
}

stook_executor *command_start(const struct command_options *options)
{
    struct stook_executor_options executor_options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor;

    executor_options.workers = options->workers;
    enum stook_status status = stook_executor_create(&executor_options, &executor);
    if (status != STOOK_OK) {
        command_complain("cannot start the workers: %s", stook_status_string(status));
        return NULL;
    }
    return executor;
}

/* Shows how far a run is. */
static void show(const mr_run *run)
{
    bool reduces = mr_run_state(run) >= MR_RUN_SHUFFLING;
    uint64_t done;
    uint64_t not_done;

    if (mr_run_progress(run, reduces ? MR_PHASE_REDUCE : MR_PHASE_MAP, &done, &not_done) ==
            STOOK_OK &&
        done + not_done > 0) {
        /* Rounded down: 100 % is the end. */
        unsigned percent = (unsigned)((double)done / (double)(done + not_done) * 100);
        fprintf(stderr, "\r%-8s%3u %%", reduces ? "reduce" : "map", not_done ? percent : 100);
    }
}

static enum stook_status wait_for(mr_run *run, const struct command_options *options,
                                  struct mr_error *error)
{
    const int64_t period_ns = 100000000; /* what Ctrl-C may take */
    int64_t patience = 20;               /* periods; then a callback takes too long for it */
    enum stook_status status;

    do {
        status = mr_run_wait(run, stook_deadline_after_ns(period_ns), error);
        if (options->show_progress) {
            show(run);
        }
        if (interrupted) {
            mr_run_cancel(run);
            if (--patience == 0) {
                _exit(EXIT_INTERRUPTED); /* nothing is printed yet, and files have no names */
            }
        }
    } while (status == STOOK_TIMEOUT);
    if (options->show_progress) {
        fprintf(stderr, "\r%13s\r", "");
    }
    return status;
}

int command_run(stook_executor *executor, const struct command_options *options,
                const struct mr_job *job, mr_result **ret_result)
{
    struct mr_job limited = *job;
    struct mr_error error;
    mr_run *run = NULL;

    limited.memory_limit = options->memory_limit;
    job_runs = 1;
    enum stook_status status = mr_submit(executor, &limited, &run, &error);
    if (status == STOOK_OK) {
        status = wait_for(run, options, &error);
    }
    *ret_result = status == STOOK_OK ? mr_run_take_result(run) : NULL;
    mr_run_release(run);
    job_runs = 0;
    if (interrupted) {
        mr_result_destroy(*ret_result);
        *ret_result = NULL;
        return EXIT_INTERRUPTED;
    }
    if (status != STOOK_OK) {
        /* callbacks return the status that they meet */
        bool is_memory = status == STOOK_TASK_FAILED && error.code == STOOK_NOMEM;
        command_complain("%s%s", is_memory ? "out of memory: " : "", error.message);
        return EXIT_TROUBLE;
    }
    return EXIT_SUCCESS;
}

/* --- input ------------------------------------------------------------------------------------ */

static bool add_source(struct command_inputs *inputs, struct mr_source source)
{
    if (inputs->count == inputs->capacity) {
        size_t capacity = inputs->capacity ? inputs->capacity * 2 : 16;
        struct mr_source *bigger = realloc(inputs->sources, capacity * sizeof *bigger);
        if (!bigger) {
            command_complain("out of memory");
            return false;
        }
        inputs->sources = bigger;
        inputs->capacity = capacity;
    }
    inputs->sources[inputs->count++] = source;
    return true;
}

/* Standard input is a file that stands at its begin, and can be opened by name: then it can be read
 * at several places at once. */
static bool stdin_has_name(const char *name)
{
    struct stat by_number;
    struct stat by_name;

    return fstat(STDIN_FILENO, &by_number) == 0 && S_ISREG(by_number.st_mode) &&
           lseek(STDIN_FILENO, 0, SEEK_CUR) == 0 && stat(name, &by_name) == 0 &&
           by_number.st_dev == by_name.st_dev && by_number.st_ino == by_name.st_ino &&
           access(name, R_OK) == 0;
}

static bool add_standard_input(struct command_inputs *inputs)
{
    struct mr_source source = {.path = NULL};

    if (stdin_has_name("/dev/stdin")) {
        source.path = "/dev/stdin";
        lseek(STDIN_FILENO, 0, SEEK_END); /* read: a second "-" is empty */
    } else if (inputs->standard_input < 0) {
        inputs->standard_input = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
        source.descriptor = inputs->standard_input;
        if (source.descriptor < 0) {
            command_complain("cannot read standard input: %s", strerror(errno));
            return false;
        }
    }
    return add_source(inputs, source);
}

static bool add_file(struct command_inputs *inputs, const char *name)
{
    char message[256];
    size_t count;
    mr_tree *tree;

    if (mr_tree_open(&name, 1, &tree, message, sizeof message) != STOOK_OK) {
        command_complain("%s", message);
        return false;
    }
    inputs->trees[inputs->tree_count++] = tree;
    const struct mr_source *sources = mr_tree_sources(tree, &count);
    for (size_t i = 0; i < count; i++) {
        if (!add_source(inputs, sources[i])) {
            return false;
        }
    }
    return true;
}

int command_inputs_open(struct command_inputs *inputs, char *const *names, size_t count)
{
    bool is_added = true;

    *inputs = (struct command_inputs){.standard_input = -1};
    inputs->trees = calloc(count + 1, sizeof(mr_tree *));
    if (!inputs->trees) {
        command_complain("out of memory");
        return EXIT_TROUBLE;
    }
    if (count == 0) {
        is_added = add_standard_input(inputs);
    }
    for (size_t i = 0; i < count && is_added; i++) {
        is_added =
            strcmp(names[i], "-") == 0 ? add_standard_input(inputs) : add_file(inputs, names[i]);
    }
    if (!is_added) {
        command_inputs_close(inputs);
    }
    return is_added ? EXIT_SUCCESS : EXIT_TROUBLE;
}

void command_inputs_close(struct command_inputs *inputs)
{
    for (size_t i = 0; i < inputs->tree_count; i++) {
        mr_tree_close(inputs->trees[i]);
    }
    free(inputs->trees);
    free(inputs->sources);
    if (inputs->standard_input >= 0) {
        close(inputs->standard_input);
    }
}

const char *command_source_name(const struct command_inputs *inputs, size_t source,
                                const char *standard_input)
{
    const char *path = inputs->sources[source].path;
    return path && strcmp(path, "/dev/stdin") != 0 ? path : standard_input;
}

/* --- output ----------------------------------------------------------------------------------- */

int command_version(void)
{
    printf("stook %s\n", stook_version());
    return command_finish_output(EXIT_SUCCESS);
}

int command_finish_output(int status)
{
    bool failed = ferror(stdout) != 0;
    if (fclose(stdout) == 0 && !failed) {
        return status;
    }
    command_complain("write error: %s", strerror(errno));
    return EXIT_TROUBLE;
}

int command_print(stook_executor *executor, mr_result *result, mr_text_fn *fn, void *user)
{
    struct mr_error error;

    if (mr_result_write_text(executor, result, STDOUT_FILENO, fn, user, &error) != STOOK_OK) {
        command_complain("%s", error.message);
        return EXIT_TROUBLE;
    }
    return command_finish_output(EXIT_SUCCESS);
}
