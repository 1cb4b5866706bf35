/* SPDX-License-Identifier: MIT
 *
 * usage: launch REPORT COMMAND [ARGUMENT...]
 *
 * Runs a command, and writes its seconds, CPU seconds and peak memory (bytes) to REPORT. A small
 * process does this, because the peak of a child begins with that of its parent.
 */
#define _DEFAULT_SOURCE /* for wait4() */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
    struct rusage usage;
    int status;

    if (argc < 3) {
        return 125;
    }
    double begun = now();
    pid_t child = fork();
    if (child == 0) {
        execvp(argv[2], argv + 2);
        perror(argv[2]);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) < 0) {
        perror("launch");
        return 125;
    }
    double ended = now();
    FILE *report = fopen(argv[1], "w");
    if (!report) {
        perror(argv[1]);
        return 125;
    }
    fprintf(report, "%.6f %.6f %lld\n", ended - begun,
            seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime),
            (long long)usage.ru_maxrss * 1024);
    if (fclose(report) != 0) {
        return 125;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 126;
}
