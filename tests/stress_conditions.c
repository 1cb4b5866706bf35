/* SPDX-License-Identifier: MIT
 *
 * Work with known results under what a machine does to a process: 1 to 64 workers on however many
 * CPUs, other processes that compute without end, signals whose handlers interrupt what a thread
 * waits for, an affinity mask that changes all the time, and workers that come and go.
 */
#define _GNU_SOURCE
#include "mr_fuzz.h"
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

enum { MOST_WORKERS = 64, NODES = 300, NUMBERS = 20000, BUSY_PROCESSES = 2 };

static atomic_bool over;
static atomic_ulong signals_handled;

/* --- other processes -------------------------------------------------------------------------- */

/* They end with this process, however that ends. */
static void start_busy_processes(void)
{
    const pid_t parent = getpid();

    for (int i = 0; i < BUSY_PROCESSES; i++) {
        const pid_t child = fork();
        MUST(child >= 0);
        while (child == 0 && getppid() == parent) {
        }
        if (child == 0) {
            _exit(0);
        }
    }
}

/* --- signals ---------------------------------------------------------------------------------- */

static void handle(int number)
{
    (void)number;
    atomic_fetch_add_explicit(&signals_handled, 1, memory_order_relaxed);
}

static void install(int number, int flags)
{
    struct sigaction action = {.sa_handler = handle, .sa_flags = flags};

    sigemptyset(&action.sa_mask);
    MUST(sigaction(number, &action, NULL) == 0);
}

static void change_mask(int how)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    MUST(pthread_sigmask(how, &set, NULL) == 0);
}

/* As a user's hook may: workers block all signals otherwise. */
static int unblock_signals(void *user_data, unsigned number)
{
    (void)user_data;
    if (number % 2) {
        change_mask(SIG_UNBLOCK);
    }
    return 0;
}

static int signalling_thread(void *arg)
{
    uint64_t random = *(const uint64_t *)arg;

    while (!atomic_load(&over)) {
        MUST(kill(getpid(), random_below(&random, 2) ? SIGUSR1 : SIGUSR2) == 0);
        const struct timespec pause = {0, (long)random_below(&random, 300000)};
        thrd_sleep(&pause, NULL);
    }
    return 0;
}

/* --- affinity --------------------------------------------------------------------------------- */

#ifdef __linux__
/* Each thread of the process, to a random CPU of those allowed at first, or to all of them. */
static void move_threads(uint64_t *random, const cpu_set_t *allowed)
{
    DIR *threads = opendir("/proc/self/task");
    const struct dirent *entry;

    if (!threads) {
        return;
    }
    while ((entry = readdir(threads)) != NULL) {
        const int id = atoi(entry->d_name);
        const unsigned cpu = random_below(random, CPU_SETSIZE);
        cpu_set_t one;
        CPU_ZERO(&one);
        for (unsigned i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++) {
            if (CPU_ISSET((cpu + i) % CPU_SETSIZE, allowed)) {
                CPU_SET((cpu + i) % CPU_SETSIZE, &one);
            }
        }
        if (id > 0) { /* it may have ended */
            sched_setaffinity(id, sizeof one, random_below(random, 2) ? &one : allowed);
        }
    }
    closedir(threads);
}

static int moving_thread(void *arg)
{
    uint64_t random = *(const uint64_t *)arg;
    cpu_set_t allowed;

    MUST(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    while (!atomic_load(&over)) {
        move_threads(&random, &allowed);
        const struct timespec pause = {0, (long)random_below(&random, 2 * MILLISECOND)};
        thrd_sleep(&pause, NULL);
    }
    return 0;
}
#else
static int moving_thread(void *arg)
{
    (void)arg;
    return 0;
}
#endif

/* --- workers ---------------------------------------------------------------------------------- */

struct resizing {
    stook_executor *executor;
    uint64_t random;
    atomic_bool over;
};

static int resizing_thread(void *arg)
{
    struct resizing *resizing = arg;

    while (!atomic_load(&resizing->over)) {
        const unsigned workers = 1 + random_below(&resizing->random, MOST_WORKERS);
        MUST(stook_executor_resize(resizing->executor, workers) == STOOK_OK);
        const struct timespec pause = {0, (long)random_below(&resizing->random, MILLISECOND)};
        thrd_sleep(&pause, NULL);
    }
    return 0;
}

/* --- work ------------------------------------------------------------------------------------- */

struct tree {
    stook_executor *executor;
    atomic_uint left; /* nodes */
    atomic_uint runs;
};

/* Makes up to three more, and waits for them. */
static int node_task(void *arg, void **ret_value)
{
    struct tree *tree = arg;
    stook_future *children[3];
    size_t count = 0;

    (void)ret_value;
    atomic_fetch_add(&tree->runs, 1);
    while (count < 3) {
        unsigned left = atomic_load(&tree->left);
        if (left == 0) {
            break;
        }
        if (atomic_compare_exchange_strong(&tree->left, &left, left - 1)) {
            children[count++] = must_submit(tree->executor, node_task, tree);
        }
    }
    for (size_t i = 0; i < count; i++) {
        MUST(stook_future_wait_until(children[i], STOOK_FOREVER) == STOOK_OK);
    }
    release_all(children, count);
    return 0;
}

static void grow_tree(stook_executor *executor)
{
    struct tree tree = {.executor = executor, .left = NODES};
    stook_future *root = must_submit(executor, node_task, &tree);

    MUST(stook_future_wait_until(root, STOOK_FOREVER) == STOOK_OK);
    MUST(atomic_load(&tree.runs) == NODES + 1);
    stook_future_release(root);
}

static int compare(const void *left, const void *right, void *user_data)
{
    const unsigned a = *(const unsigned *)left, b = *(const unsigned *)right;

    (void)user_data;
    return (a > b) - (a < b);
}

static void sort_numbers(stook_executor *executor, uint64_t *random)
{
    static unsigned numbers[NUMBERS];
    unsigned sum = 0;

    for (int i = 0; i < NUMBERS; i++) {
        numbers[i] = (unsigned)random_next(random);
        sum += numbers[i];
    }
    MUST(stook_executor_sort(executor, numbers, NUMBERS, sizeof *numbers, compare, NULL) ==
         STOOK_OK);
    for (int i = 0; i < NUMBERS; i++) {
        MUST(i == 0 || numbers[i - 1] <= numbers[i]);
        sum -= numbers[i];
    }
    MUST(sum == 0);
}

static void run_job(stook_executor *executor, uint64_t *random)
{
    struct fuzz_job fuzz;

    fuzz_job_init(&fuzz, random, 300, random_below(random, 3) == 0);
    mr_result *expected = must_run(NULL, &fuzz.job);
    MUST(fuzz_job_agrees(executor, &fuzz.job, expected));
    mr_result_destroy(expected);
    fuzz_job_free(&fuzz);
}

static void run_round(uint64_t *random)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    struct resizing resizing = {.random = random_next(random)};
    thrd_t thread;

    options.workers = 1 + random_below(random, MOST_WORKERS);
    options.max_workers = MOST_WORKERS;
    options.pin = random_below(random, 4) == 0;
    options.thread_init = random_below(random, 2) ? unblock_signals : NULL;
    options.keep_alive_ns = 1 + (int64_t)random_below(random, 10 * MILLISECOND);
    MUST(stook_executor_create(&options, &resizing.executor) == STOOK_OK);
    must_start(&thread, resizing_thread, &resizing);
    for (int i = 0; i < 5; i++) {
        grow_tree(resizing.executor);
        sort_numbers(resizing.executor, random);
        run_job(resizing.executor, random);
    }
    atomic_store(&resizing.over, true);
    thrd_join(thread, NULL);
    stook_executor_destroy(resizing.executor);
}

int main(int argc, char **argv)
{
    uint64_t random = stress_seed(argc, argv);
    const unsigned rounds = stress_scaled(60);
    uint64_t seeds[2] = {random_next(&random), random_next(&random)};
    thrd_t threads[2];

    start_busy_processes();
    install(SIGUSR1, 0);
    install(SIGUSR2, SA_RESTART);
    must_start(&threads[0], signalling_thread, &seeds[0]);
    must_start(&threads[1], moving_thread, &seeds[1]);
    for (unsigned i = 0; i < rounds; i++) {
        run_round(&random);
    }
    atomic_store(&over, true);
    for (int i = 0; i < 2; i++) {
        thrd_join(threads[i], NULL);
    }
    printf("%u rounds, %lu signals: as expected\n", rounds, atomic_load(&signals_handled));
    return 0;
}
