/* SPDX-License-Identifier: MIT
 *
 * Helpers of the tests that fork: what a child does first, how it ended, and what it wrote.
 */
#ifndef STOOK_TESTS_CHILD_SUPPORT_H
#define STOOK_TESTS_CHILD_SUPPORT_H

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "support.h"

enum { CHILD_SECONDS = 30 };

/* How a child ended, and what it wrote to standard error. */
struct child_end {
    int status; /* for WIFEXITED() and the like */
    char text[8192];
};

/* First in every child: the one judge of hangs is SIGALRM, which the threads of an executor block,
 * and so the child of a task's fork(). */
static inline void begin_child(void)
{
    sigset_t none;

    signal(SIGALRM, SIG_DFL);
#ifndef STOOK_COVERAGE /* there it writes the counts */
    signal(SIGABRT, SIG_DFL);
#endif
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    alarm(CHILD_SECONDS);
}

/* Waits for a child and gives its status; may be called in any thread. */
static inline int await_child(pid_t child)
{
    int status = 0;

    MUST(child > 0);
    MUST(waitpid(child, &status, 0) == child);
    return status;
}

static inline bool has_exited_with_0(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Runs run(arg) in a child, which exits with 0 if that returns. */
static inline void run_child(void (*run)(void *arg), void *arg, struct child_end *ret_end)
{
    size_t length = 0;
    ssize_t got;
    int ends[2];
    pid_t child;

    MUST(pipe(ends) == 0);
    fflush(NULL);
    child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        begin_child();
        run(arg);
        _exit(EXIT_SUCCESS);
    }
    close(ends[1]);
    while ((got = read(ends[0], ret_end->text + length, sizeof ret_end->text - 1 - length)) > 0) {
        length += (size_t)got;
    }
    ret_end->text[length] = '\0';
    close(ends[0]);
    ret_end->status = await_child(child);
}

#endif
