/* SPDX-License-Identifier: MIT
 *
 * The command where memory, threads or expressions fail, each call once: it prints all that it
 * should, or complains and exits with the status that its help names; and never half of it with
 * success.
 */
#define _GNU_SOURCE /* for memfd_create() */
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <regex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "failing.h"
#include "../mapreduce/command/command.h"

enum { MOST_ARGUMENTS = 8, SECONDS = 60 };

/* --- what is searched --------------------------------------------------------------------------- */

static char folder[1024];

static void put_file(const char *name, const char *line, int times)
{
    char path[1100];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    MUST(file != NULL);
    for (int i = 0; i < times; i++) {
        MUST(fprintf(file, line, i % 7) > 0);
    }
    MUST(fclose(file) == 0);
}

static void make_files(void)
{
    const char *directory = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
    char path[1100];
    snprintf(folder, sizeof folder, "%s/stook-command-XXXXXX", directory);
    MUST(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/in", folder);
    MUST(mkdir(path, 0700) == 0);
    put_file("in/a", "word%d and word\n", 900);
    put_file("in/b", "another %d word\n", 20);
    put_file("long", "a%09999d b\n", 3);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

static void remove_files(void)
{
    MUST(nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

/* --- expressions that meet a lack of memory ------------------------------------------------------ */

int __real_regexec(const regex_t *expression, const char *text, size_t count, regmatch_t matches[],
                   int flags);
int __wrap_regexec(const regex_t *expression, const char *text, size_t count, regmatch_t matches[],
                   int flags);
int __real_regcomp(regex_t *expression, const char *pattern, int flags);
int __wrap_regcomp(regex_t *expression, const char *pattern, int flags);

static atomic_long matches_left = -1; /* until one fails; negative: none does */

int __wrap_regexec(const regex_t *expression, const char *text, size_t count, regmatch_t matches[],
                   int flags)
{
    return atomic_fetch_sub(&matches_left, 1) == 0
               ? REG_ESPACE
               : __real_regexec(expression, text, count, matches, flags);
}

int __wrap_regcomp(regex_t *expression, const char *pattern, int flags)
{
    return fails_now() ? REG_ESPACE : __real_regcomp(expression, pattern, flags);
}

/* --- one try in a process of its own -------------------------------------------------------------- */

struct
try {
    int (*command)(int argc, char **argv);
    const char *arguments[MOST_ARGUMENTS]; /* without the name; "@" stands for the folder */
    int trouble;                           /* the status that tells of it */
};

struct end {
    int status;
    char *output, *errors;
    size_t output_size, errors_size;
};

static char *read_all(int file, size_t *ret_size)
{
    const off_t size = lseek(file, 0, SEEK_END);
    char *bytes = calloc(1, (size_t)size + 1);
    MUST(bytes != NULL && pread(file, bytes, (size_t)size, 0) == size);
    close(file);
    *ret_size = (size_t)size;
    return bytes;
}

static int run_here(const struct try *try)
{
    static char words[MOST_ARGUMENTS + 1][1100] = {"stook"};
    char *argv[MOST_ARGUMENTS + 2] = {words[0]};
    int argc = 1;
    for (; argc <= MOST_ARGUMENTS && try->arguments[argc - 1] != NULL; argc++) {
        const char *argument = try->arguments[argc - 1];
        snprintf(words[argc], sizeof words[argc], "%s%s", *argument == '@' ? folder : "",
                 argument + (*argument == '@'));
        argv[argc] = words[argc];
    }
    optind = 0;
    return try->command(argc, argv);
}

enum { FAILED = 64 }; /* added to the status: the failing call was made */

static struct end run_try(const struct try *try, long call, long match)
{
    struct end end;
    int status;
    const int output = memfd_create("output", 0);
    const int errors = memfd_create("errors", 0);
    const int input = open("/dev/null", O_RDONLY);
    MUST(output >= 0 && errors >= 0 && input >= 0);
    const pid_t child = fork();
    if (child == 0) {
        alarm(SECONDS);
        MUST(dup2(output, STDOUT_FILENO) >= 0 && dup2(errors, STDERR_FILENO) >= 0);
        MUST(dup2(input, STDIN_FILENO) >= 0);
        fail_call(call);
        atomic_store(&matches_left, match);
        const int code = run_here(try);
        const bool was_met = call >= 0 ? has_failed() : atomic_load(&matches_left) < 0;
        fail_none();
        _exit(code | (was_met ? FAILED : 0));
    }
    close(input);
    MUST(child > 0 && waitpid(child, &status, 0) == child);
    MUST(WIFEXITED(status));
    end.status = WEXITSTATUS(status);
    end.output = read_all(output, &end.output_size);
    end.errors = read_all(errors, &end.errors_size);
    return end;
}

static void end_free(struct end *end)
{
    free(end->output);
    free(end->errors);
}

/* Whether the failing call was made. */
static bool try_once(const struct try *try, const struct end *good, long call, long match)
{
    struct end end = run_try(try, call, match);
    const bool was_met = (end.status & FAILED) != 0;
    const int status = end.status & ~FAILED;
    if (status == good->status) {
        cr_assert_eq(end.output_size, good->output_size, "call %ld, match %ld", call, match);
        cr_assert_arr_eq(end.output, good->output, good->output_size);
        cr_assert_eq(end.errors_size, 0);
    } else {
        cr_assert(was_met);
        cr_assert_eq(status, try->trouble, "status %d, call %ld, match %ld: %s", status, call,
                     match, end.errors);
        cr_assert_eq(strncmp(end.errors, "stook: ", 7), 0, "call %ld, match %ld: %s", call, match,
                     end.errors);
        cr_assert_eq(strchr(end.errors, '\n'), end.errors + end.errors_size - 1);
    }
    end_free(&end);
    return was_met;
}

static void check(const struct try *try)
{
    struct end good = run_try(try, -1, -1);
    good.status &= ~FAILED;
    cr_assert_eq(good.status, 0, "%s", good.errors);
    cr_assert_gt(good.output_size, 0);
    long call = 0;
    while (try_once(try, &good, call, -1)) {
        cr_assert_lt(++call, MOST_PASSES);
    }
    cr_assert_gt(call, 10);
    end_free(&good);
}

#define FAIL_TEST(name)                                                                            \
    Test(command_fail, name, .init = make_files, .fini = remove_files, .timeout = 120)

FAIL_TEST(wordcount)
{
    const struct try try = {command_wordcount, {"--workers=2", "@/in", "@/long"}, 1};
    check(&try);
}

FAIL_TEST(grep_for_an_expression)
{
    const struct try try = {command_grep, {"--workers=2", "w.rd[23]|a0", "@/in", "@/long"}, 2};
    check(&try);
}

FAIL_TEST(grep_that_counts)
{
    const struct try try = {command_grep, {"--workers=1", "-c", "another", "@/in", "-"}, 2};
    check(&try);
}

FAIL_TEST(index_of_words)
{
    const struct try try = {command_index, {"--workers=2", "@/in", "@/long"}, 1};
    check(&try);
}

/* A line that cannot be compared is no line that does not match. */
FAIL_TEST(grep_whose_matching_fails)
{
    const struct try try = {command_grep, {"--workers=1", "x*9?w.rd3", "@/in"}, 2};
    struct end good = run_try(&try, -1, -1);
    good.status &= ~FAILED;
    cr_assert_eq(good.status, 0);
    for (long match = 0; match < 100; match += 9) {
        struct end end = run_try(&try, -1, match);
        cr_assert_eq(end.status, 2 | FAILED, "match %ld", match);
        cr_assert_eq(strncmp(end.errors, "stook: ", 7), 0, "%s", end.errors);
        end_free(&end);
    }
    end_free(&good);
}
