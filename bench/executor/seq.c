/* SPDX-License-Identifier: MIT
 *
 * What is measured without any executor: each kernel in its two sequential forms, NAME and
 * NAME_call (kernels.h); a hand-off between two threads that spin, and one between two that sleep.
 */
#include <pthread.h>
#include "harness.h"

/* What the two threads pass to and fro: odd is the partner's turn, LAST its end. */
static uint32_t turn;
static bool is_asleep;
enum { LAST = UINT32_MAX - 1 };

static void wait_for_turn(uint32_t awaited)
{
    for (;;) {
        uint32_t now = __atomic_load_n(&turn, __ATOMIC_ACQUIRE);
        if (now == awaited || now == LAST) {
            return;
        }
        if (is_asleep) {
            futex_wait(&turn, now);
        } else {
            cpu_pause();
        }
    }
}

static void give_turn(uint32_t value)
{
    __atomic_store_n(&turn, value, __ATOMIC_RELEASE);
    if (is_asleep) {
        futex_wake(&turn);
    }
}

static void *partner(void *arg)
{
    (void)arg;
    for (uint32_t round = 1;; round += 2) {
        wait_for_turn(round);
        if (__atomic_load_n(&turn, __ATOMIC_RELAXED) == LAST) {
            return NULL;
        }
        give_turn(round + 1);
    }
}

static void measure_hand_off(struct bench *bench, int64_t idle_ns)
{
    pthread_t thread;
    double *samples = bench_allocate(bench->size * sizeof *samples);
    is_asleep = idle_ns != 0;
    if (pthread_create(&thread, NULL, partner, NULL)) {
        bench_cannot("no thread for the partner");
    }
    for (size_t i = 0; i < bench->size; i++) {
        uint32_t round = (uint32_t)(2 * i + 1);
        if (idle_ns) {
            sleep_ns(idle_ns);
        }
        int64_t began_ns = now_ns();
        give_turn(round);
        wait_for_turn(round + 1);
        samples[i] = (double)(now_ns() - began_ns);
    }
    give_turn(LAST);
    pthread_join(thread, NULL);
    bench_latencies(bench, samples, bench->size);
    free(samples);
}

static void measure_form(struct bench *bench)
{
    char name[32];
    snprintf(name, sizeof name, "%s", bench->name);
    char *suffix = strstr(name, "_call");
    if (suffix) {
        *suffix = 0;
    }
    const struct workload *workload = workload_named(name);
    if (!workload) {
        bench_cannot("no such case");
    }
    bool is_inlined = !suffix && workload->inlined;
    measure_run(bench, workload, is_inlined ? workload->inlined : workload->sequential);
    if (!is_inlined) {
        bench->seq = (double)NAN; /* this is it */
    }
}

int main(int argc, char **argv)
{
    struct bench bench = bench_begin(argc, argv);
    if (strcmp(bench.name, "handoff") == 0) {
        measure_hand_off(&bench, 0);
    } else if (strcmp(bench.name, "parked") == 0) {
        measure_hand_off(&bench, 1000000);
    } else {
        measure_form(&bench);
    }
    return bench_print(&bench);
}
