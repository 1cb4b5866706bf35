/* SPDX-License-Identifier: MIT
 *
 * The small runner of check.h. Called with words, it runs the tests whose "suite/name" has one of
 * them in it.
 */
#include "check.h"

#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Sanitizers make a test slower: the build says by how much its timeout grows. */
#ifndef CHECK_TIMEOUT_FACTOR
#define CHECK_TIMEOUT_FACTOR 1
#endif
#define DEFAULT_TIMEOUT 60
/* What a test that failed exits with: a code that no test expects. */
#define EXIT_FAILED_TEST 113

static struct check_test *first_test;
static struct check_test **next_link = &first_test;
static atomic_bool expectation_failed;

void check_register(struct check_test *test)
{
    *next_link = test;
    next_link = &test->next;
}

void check_failed(bool fatal, const char *file, int line, const char *what, const char *format, ...)
{
    va_list arguments;
    flockfile(stderr);
    fprintf(stderr, "%s:%d: assertion failed: %s%s", file, line, what, *format ? ": " : "");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    funlockfile(stderr);
    if (fatal) {
        _exit(EXIT_FAILED_TEST);
    }
    atomic_store(&expectation_failed, true);
}

/* Runs also when the test calls exit() itself, so that an expectation that failed counts. */
static void end_of_test(void)
{
    if (atomic_load(&expectation_failed)) {
        _exit(EXIT_FAILED_TEST);
    }
}

#ifdef STOOK_COVERAGE
/* abort() goes on behind it. */
static void write_counts(int signal_number)
{
    (void)signal_number;
    __gcov_dump();
}
#endif

_Noreturn static void run_in_child(const struct check_test *test)
{
    const struct check_options *options = &test->options;
    double timeout = options->timeout > 0 ? options->timeout : DEFAULT_TIMEOUT;
    dup2(STDERR_FILENO, STDOUT_FILENO); /* standard output is for TAP */
    atexit(end_of_test);
#ifdef STOOK_COVERAGE
    signal(SIGABRT, write_counts);
#endif
    alarm((unsigned)(timeout * CHECK_TIMEOUT_FACTOR) + 1);
    if (options->init) {
        options->init();
    }
    test->run();
    if (options->fini) {
        options->fini();
    }
    exit(EXIT_SUCCESS);
}

/* Gives the wait status, or -1 if there is none. */
static int run_test(const struct check_test *test)
{
    int status;
    pid_t child;
    fflush(NULL);
    child = fork();
    if (child == 0) {
        run_in_child(test);
    }
    return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

static bool as_expected(const struct check_options *options, int status)
{
    if (status != -1 && WIFSIGNALED(status)) {
        return WTERMSIG(status) == options->signal;
    }
    return status != -1 && options->signal == 0 && WEXITSTATUS(status) == options->exit_code;
}

static void print_outcome(const struct check_test *test, int number, bool passed, int status)
{
    printf("%sok %d - %s/%s", passed ? "" : "not ", number, test->suite, test->name);
    if (test->options.disabled) {
        printf(" # SKIP disabled");
    } else if (passed) {
    } else if (status == -1) {
        printf(" # could not be started");
    } else if (WIFEXITED(status)) {
        printf(" # exit status %d", WEXITSTATUS(status));
    } else {
        printf(" # %s", WTERMSIG(status) == SIGALRM ? "timed out" : strsignal(WTERMSIG(status)));
    }
    putchar('\n');
}

static bool is_selected(const struct check_test *test, char *const words[])
{
    char name[256];
    snprintf(name, sizeof name, "%s/%s", test->suite, test->name);
    for (char *const *word = words; *word; word++) {
        if (strstr(name, *word)) {
            return true;
        }
    }
    return !*words;
}

int main(int argc, char *argv[])
{
    int tested = 0, failing = 0, crashing = 0, number = 0;
    (void)argc;
    for (struct check_test *test = first_test; test; test = test->next) {
        tested += is_selected(test, argv + 1);
    }
    printf("TAP version 13\n1..%d\n", tested);
    for (struct check_test *test = first_test; test; test = test->next) {
        if (is_selected(test, argv + 1)) {
            int status = test->options.disabled ? 0 : run_test(test);
            bool passed = test->options.disabled || as_expected(&test->options, status);
            failing += !passed;
            crashing += !passed && status != -1 && WIFSIGNALED(status);
            print_outcome(test, ++number, passed, status);
        }
    }
    fflush(stdout);
    fprintf(stderr, "[====] Synthesis: Tested: %d | Passing: %d | Failing: %d | Crashing: %d\n",
            tested, tested - failing, failing, crashing);
    return tested == 0 || failing > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
