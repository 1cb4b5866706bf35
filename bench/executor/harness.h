/* SPDX-License-Identifier: MIT
 *
 * One process measures one case with one executor and one number of workers:
 *
 *     PROGRAM CASE WORKERS SIZE RUNS MILLISECONDS
 *
 * It runs the case RUNS times or more, until MILLISECONDS have passed, after one run that does not
 * count, and prints one JSON object; executor.py reads it. Ends with 0, WRONG_RESULT, or CANNOT
 * (with the reason on standard output). C11 and C++17, Linux.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <limits.h>
#include <linux/futex.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "kernels.h"

enum { WRONG_RESULT = 3, CANNOT = 4, MOST_RUNS = 50 };

/* --- clocks, futexes, memory --------------------------------------------------------------------- */

static inline int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static inline int64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static inline void sleep_ns(int64_t ns)
{
    struct timespec time = {ns / 1000000000, ns % 1000000000};
    nanosleep(&time, NULL);
}

static inline void futex_wait(uint32_t *word, uint32_t expected)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static inline void futex_wake(uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static inline void cpu_pause(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#else
    __asm__ volatile("" ::: "memory");
#endif
}

/* Exact, unlike statm. */
static inline double resident_bytes(void)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    char line[256];
    double kilobytes = 0;
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "Rss: %lf kB", &kilobytes) == 1) {
            break;
        }
    }
    if (file) {
        fclose(file);
    }
    return kilobytes * 1024;
}

/* --- arguments and results ----------------------------------------------------------------------- */

struct bench {
    const char *name;
    unsigned workers;
    size_t size;
    unsigned runs;
    int64_t budget_ns;

    double values[MOST_RUNS];
    unsigned count;
    int64_t began_ns, wall_ns, cpu_ns; /* of the runs */
    double seq, p99, submit;           /* NAN: none */
    uint64_t result;                   /* the same in all languages */
};

static inline struct bench bench_begin(int argc, char **argv)
{
    struct bench bench;
    if (argc != 6) {
        fprintf(stderr, "usage: %s CASE WORKERS SIZE RUNS MILLISECONDS\n", argv[0]);
        exit(2);
    }
    memset(&bench, 0, sizeof bench);
    bench.name = argv[1];
    bench.workers = (unsigned)atoi(argv[2]);
    bench.size = strtoull(argv[3], NULL, 10);
    bench.runs = (unsigned)atoi(argv[4]);
    bench.budget_ns = atoll(argv[5]) * 1000000;
    bench.seq = bench.p99 = bench.submit = (double)NAN;
    bench.began_ns = now_ns();
    return bench;
}

static inline void bench_cannot(const char *reason)
{
    puts(reason);
    exit(CANNOT);
}

static inline void bench_expect(const struct bench *bench, uint64_t result, uint64_t expected)
{
    if (result != expected) {
        fprintf(stderr, "wrong result in %s: %llu, not %llu\n", bench->name,
                (unsigned long long)result, (unsigned long long)expected);
        exit(WRONG_RESULT);
    }
}

static inline bool bench_goes_on(const struct bench *bench)
{
    return bench->count < bench->runs ||
           (bench->count < MOST_RUNS && bench->wall_ns < bench->budget_ns);
}

/* A run goes from bench_start() to bench_stop(), which returns its nanoseconds. */
static inline void bench_start(struct bench *bench)
{
    bench->cpu_ns -= clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    bench->began_ns = now_ns();
}

static inline double bench_stop(struct bench *bench)
{
    int64_t passed_ns = now_ns() - bench->began_ns;
    bench->wall_ns += passed_ns;
    bench->cpu_ns += clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    return (double)passed_ns;
}

static inline void bench_add(struct bench *bench, double value)
{
    bench->values[bench->count++] = value;
}

static inline void print_number(const char *name, double number)
{
    if (isnan(number)) {
        printf(", \"%s\": null", name);
    } else {
        printf(", \"%s\": %.6g", name, number);
    }
}

static inline int bench_print(const struct bench *bench)
{
    for (unsigned i = 0; i < bench->count; i++) {
        printf("%s%.6g", i ? ", " : "{\"values\": [", bench->values[i]);
    }
    printf("]");
    print_number("seq", bench->seq);
    print_number("cores",
                 bench->wall_ns ? (double)bench->cpu_ns / (double)bench->wall_ns : (double)NAN);
    print_number("p99", bench->p99);
    print_number("submit", bench->submit);
    printf(", \"result\": %llu}\n", (unsigned long long)bench->result);
    return 0;
}

static inline int compare_doubles(const void *left, const void *right)
{
    double a, b;
    memcpy(&a, left, sizeof a);
    memcpy(&b, right, sizeof b);
    return (a > b) - (a < b);
}

static inline double sorted_at(double *values, size_t count, double part)
{
    qsort(values, count, sizeof *values, compare_doubles);
    return values[(size_t)((double)(count - 1) * part)];
}

/* --- workloads ----------------------------------------------------------------------------------- */

struct runner {
    const char *name;             /* of a workload */
    uint64_t (*run)(size_t size); /* NULL: ends the list */
};

/* The value of a run of so many nanoseconds. */
static inline double value_of(const struct workload *workload, double amount, double ns)
{
    return workload->is_rate ? amount / ns * 1000 : ns / amount;
}

static inline uint64_t timed_run(struct bench *bench, const struct workload *workload,
                                 uint64_t (*run)(size_t size), double *ns)
{
    if (workload->prepare) {
        workload->prepare(bench->size);
    }
    bench_start(bench);
    uint64_t result = run(bench->size);
    *ns = bench_stop(bench);
    return workload->digest ? workload->digest(bench->size) : result;
}

/* Sets bench->seq, and returns the result that is expected. */
static inline uint64_t time_sequential(struct bench *bench, const struct workload *workload,
                                       double amount)
{
    struct bench timing = *bench;
    uint64_t expected = 0;
    double ns;
    timing.runs = 3;
    timing.budget_ns = 20000000;
    while (bench_goes_on(&timing)) {
        expected = timed_run(&timing, workload, workload->sequential, &ns);
        bench_add(&timing, value_of(workload, amount, ns));
    }
    bench->seq = sorted_at(timing.values, timing.count, 0.5);
    return expected;
}

static inline const struct workload *workload_named(const char *name)
{
    for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++) {
        if (strcmp(workloads[i].name, name) == 0) {
            return &workloads[i];
        }
    }
    return NULL;
}

static inline void measure_run(struct bench *bench, const struct workload *workload,
                               uint64_t (*run)(size_t size))
{
    double ns, amount = workload->amount(bench->size);
    uint64_t expected = bench->result = time_sequential(bench, workload, amount);
    struct bench warming = *bench;
    bench_expect(bench, timed_run(&warming, workload, run, &ns), expected);
    while (bench_goes_on(bench)) {
        bench_expect(bench, timed_run(bench, workload, run, &ns), expected);
        bench_add(bench, value_of(workload, amount, ns));
    }
}

/* `idle`: the CPU time, in ms, that the pool takes while `size` ms pass, shortly after work. */
static inline void measure_idle(struct bench *bench, uint64_t (*work)(size_t size), size_t size)
{
    work(size);
    sleep_ns(10000000);
    int64_t before_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    sleep_ns((int64_t)bench->size * 1000000);
    bench_add(bench, (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - before_ns) / 1e6);
}

/* False: none of the runners has the case's name. The first is what is done before idling. */
static inline bool measure_runners(struct bench *bench, const struct runner *runner)
{
    if (strcmp(bench->name, "idle") == 0) {
        measure_idle(bench, runner->run, 20);
        return true;
    }
    for (; runner->run; runner++) {
        if (strcmp(runner->name, bench->name) == 0) {
            measure_run(bench, workload_named(runner->name), runner->run);
            return true;
        }
    }
    return false;
}

/* `ping`, `handoff`, `parked`: samples[i] in ns; gives the median and the 99th part of a hundred. */
static inline void bench_latencies(struct bench *bench, double *samples, size_t count)
{
    bench_add(bench, sorted_at(samples, count, 0.5) / 1000);
    bench->p99 = samples[(size_t)((double)(count - 1) * 0.99)] / 1000;
}

/* So short that the clock would be seen: each sample is the mean of so many rounds. */
enum { PINGS_PER_SAMPLE = 8 };

#endif
