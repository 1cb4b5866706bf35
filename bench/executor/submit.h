/* SPDX-License-Identifier: MIT
 *
 * Tasks from outside: what they cost, what they weigh while they wait, and how long one takes there
 * and back. A program defines the functions that are declared here, and HAS_BULK as 0 or 1, and
 * calls measure_submit(). Task i calls run_task(i).
 *
 * Executors without futures get the cheapest there is: one 32-bit word for each task, which
 * complete_word() and wait_word() make a futex.
 */
#ifndef BENCH_SUBMIT_H
#define BENCH_SUBMIT_H

#include <pthread.h>
#include "harness.h"

static inline void submit_one(size_t i); /* task i, with a future or word of its own */
static inline void submit_bulk(size_t first, size_t count); /* tasks first ... in one call */
static inline void wait_one(size_t i);          /* for task i; then lets its future go */
static inline void prepare_tasks(size_t count); /* room for futures or words, untouched */

/* --- a word for each task ------------------------------------------------------------------------ */

enum { WORD_PENDING, WORD_DONE, WORD_SLEPT_ON, WORD_SPINS = 64 };

static uint32_t *words __attribute__((unused));

static inline void complete_word(size_t i)
{
    if (__atomic_exchange_n(&words[i], WORD_DONE, __ATOMIC_ACQ_REL) == WORD_SLEPT_ON) {
        futex_wake(&words[i]);
    }
}

static inline void wait_word(size_t i)
{
    uint32_t seen = WORD_PENDING;
    for (unsigned spins = 0; spins < WORD_SPINS; spins++) {
        if (__atomic_load_n(&words[i], __ATOMIC_ACQUIRE) == WORD_DONE) {
            return;
        }
        cpu_pause();
    }
    if (__atomic_compare_exchange_n(&words[i], &seen, WORD_SLEPT_ON, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        seen = WORD_SLEPT_ON;
    }
    while (seen != WORD_DONE) {
        futex_wait(&words[i], WORD_SLEPT_ON);
        seen = __atomic_load_n(&words[i], __ATOMIC_ACQUIRE);
    }
}

static inline void prepare_words(size_t count)
{
    words = (uint32_t *)calloc(count, sizeof *words);
}

/* --- what a task does ---------------------------------------------------------------------------- */

static uint32_t *call_counts; /* of task i, so far */
static bool is_special;       /* set while no task is there */
static size_t held_tasks;     /* tasks 0 ... held_tasks - 1 wait for the gate */
static unsigned work_steps;   /* of each task */
static uint32_t gate;
static uint64_t work_result;

static inline uint64_t work(size_t i, unsigned steps)
{
    uint64_t state = i;
    while (steps-- > 0) {
        state = mix(state);
    }
    return state;
}

__attribute__((noinline)) static void run_special_task(size_t i)
{
    while (i < held_tasks && !__atomic_load_n(&gate, __ATOMIC_ACQUIRE)) {
        futex_wait(&gate, 0);
    }
    if (work(i + 1, work_steps) == 0) {
        __atomic_store_n(&work_result, i, __ATOMIC_RELAXED);
    }
}

static inline void run_task(size_t i)
{
    if (__builtin_expect(is_special, 0)) {
        run_special_task(i);
    }
    call_counts[i]++;
}

static inline void check_calls(const struct bench *bench, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bench_expect(bench, call_counts[i], 1);
        call_counts[i] = 0;
    }
}

static inline void prepare_submit(size_t count)
{
    call_counts = (uint32_t *)bench_allocate(count * sizeof *call_counts);
    memset(call_counts, 0, count * sizeof *call_counts);
    prepare_tasks(count);
}

/* --- single, bulk, two_producers ----------------------------------------------------------------- */

static const size_t BULK = 1000, WARM_TASKS = 1000;

struct producer {
    size_t first, count;
    bool is_bulk;
    int64_t submitted_ns; /* when it had submitted all */
    pthread_barrier_t *start;
};

static inline void submit_range(size_t first, size_t count, bool is_bulk)
{
    size_t end = first + count;
    if (is_bulk) {
        for (size_t i = first; i < end; i += BULK) {
            submit_bulk(i, end - i < BULK ? end - i : BULK);
        }
    } else {
        for (size_t i = first; i < end; i++) {
            submit_one(i);
        }
    }
}

static inline void produce(struct producer *producer)
{
    submit_range(producer->first, producer->count, producer->is_bulk);
    producer->submitted_ns = now_ns();
    for (size_t i = producer->first; i < producer->first + producer->count; i++) {
        wait_one(i);
    }
}

static inline void *second_producer(void *arg)
{
    struct producer *producer = (struct producer *)arg;
    pthread_barrier_wait(producer->start);
    produce(producer);
    return NULL;
}

static inline double run_producers(struct bench *bench, bool is_bulk, unsigned producers)
{
    pthread_barrier_t start;
    pthread_t thread;
    struct producer first = {0, bench->size / producers, is_bulk, 0, &start};
    struct producer second = {first.count, bench->size - first.count, is_bulk, 0, &start};
    pthread_barrier_init(&start, NULL, 2);
    if (producers == 2 && pthread_create(&thread, NULL, second_producer, &second)) {
        bench_cannot("no thread for a second producer");
    }
    if (producers == 2) {
        pthread_barrier_wait(&start);
    }
    bench_start(bench);
    int64_t began_ns = bench->began_ns;
    produce(&first);
    if (producers == 2) {
        pthread_join(thread, NULL);
    }
    double ns = bench_stop(bench);
    int64_t submitted_ns =
        second.submitted_ns > first.submitted_ns ? second.submitted_ns : first.submitted_ns;
    double submit = (double)(submitted_ns - began_ns) / (double)bench->size;
    if (isnan(bench->submit) || submit < bench->submit) {
        bench->submit = submit;
    }
    pthread_barrier_destroy(&start);
    check_calls(bench, bench->size);
    return ns / (double)bench->size;
}

static inline void measure_producers(struct bench *bench, bool is_bulk, unsigned producers)
{
    struct bench warming = *bench;
    prepare_submit(bench->size);
    run_producers(&warming, is_bulk, producers);
    while (bench_goes_on(bench)) {
        bench_add(bench, run_producers(bench, is_bulk, producers));
    }
}

/* --- pending ------------------------------------------------------------------------------------- */

static inline void measure_pending(struct bench *bench)
{
    size_t count = bench->size + bench->workers;
    prepare_submit(count > WARM_TASKS ? count : WARM_TASKS);
    struct producer warming = {0, WARM_TASKS, false, 0, NULL};
    produce(&warming);
    check_calls(bench, WARM_TASKS);
    held_tasks = bench->workers;
    is_special = true;
    submit_range(0, held_tasks, false);
    sleep_ns(20000000);
    double before = resident_bytes();
    submit_range(held_tasks, bench->size, false);
    bench_add(bench, (resident_bytes() - before) / (double)bench->size);
    __atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
    futex_wake(&gate);
    for (size_t i = 0; i < count; i++) {
        wait_one(i);
    }
    check_calls(bench, count);
}

/* --- handoff, parked, storm ---------------------------------------------------------------------- */

static inline void measure_round_trips(struct bench *bench, int64_t idle_ns)
{
    double *samples = (double *)bench_allocate(bench->size * sizeof *samples);
    prepare_submit(WARM_TASKS);
    struct producer warming = {0, WARM_TASKS, false, 0, NULL};
    produce(&warming);
    check_calls(bench, WARM_TASKS);
    for (size_t round = 0; round < bench->size; round++) {
        if (idle_ns) {
            sleep_ns(idle_ns);
        }
        int64_t began_ns = now_ns();
        submit_one(0);
        wait_one(0);
        samples[round] = (double)(now_ns() - began_ns);
        check_calls(bench, 1);
    }
    bench_latencies(bench, samples, bench->size);
    free(samples);
}

enum { STORM_STEPS = 400, PARK_NS = 1000000 }; /* about a microsecond of work for each task */

static inline void measure_storm(struct bench *bench)
{
    struct bench warming = *bench;
    prepare_submit(bench->size);
    bench_add(&warming, run_producers(&warming, HAS_BULK, 1));
    is_special = true;
    work_steps = STORM_STEPS;
    bench_start(&warming);
    for (size_t i = 0; i < bench->size; i++) {
        run_special_task(i);
    }
    bench->seq = bench_stop(&warming) / 1000;
    while (bench_goes_on(bench)) {
        sleep_ns(2 * PARK_NS);
        bench_add(bench, run_producers(bench, HAS_BULK, 1) * (double)bench->size / 1000);
    }
    bench->submit = (double)NAN;
}

/* False: no case of this file. */
static inline bool measure_submit(struct bench *bench)
{
    const char *name = bench->name;
    if (strcmp(name, "single") == 0) {
        measure_producers(bench, false, 1);
    } else if (strcmp(name, "two_producers") == 0) {
        measure_producers(bench, false, 2);
    } else if (HAS_BULK && strcmp(name, "bulk") == 0) {
        measure_producers(bench, true, 1);
    } else if (HAS_BULK && strcmp(name, "two_producers_bulk") == 0) {
        measure_producers(bench, true, 2);
    } else if (strcmp(name, "pending") == 0) {
        measure_pending(bench);
    } else if (strcmp(name, "handoff") == 0) {
        measure_round_trips(bench, 0);
    } else if (strcmp(name, "parked") == 0) {
        measure_round_trips(bench, PARK_NS);
    } else if (strcmp(name, "storm") == 0) {
        measure_storm(bench);
    } else {
        return false;
    }
    return true;
}

#endif
