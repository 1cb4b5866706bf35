/* SPDX-License-Identifier: MIT
 *
 * How many workers an executor gets when nobody says: the environment, the affinity mask, and the
 * quota of a control group; test_cgroup.c tests how that is found.
 */
#if defined __linux__ && !defined STOOK_TEST_PORTABLE
#define LINUX_ONLY
#define _GNU_SOURCE /* for affinity masks */
#include <errno.h>
#include <sched.h>
#include <unistd.h>
#include "cgroup.h"
#endif
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "sizing.h"
#include "support.h"

/* --- the environment -------------------------------------------------------------------------- */

/* The report that create made, and how many it made. */
struct told {
    char text[256];
    int count;
};

static void note_report(void *user_data, const char *text)
{
    struct told *told = user_data;

    told->count++;
    snprintf(told->text, sizeof told->text, "%s", text);
}

/* How many workers an executor gets; 0: it was refused. */
static unsigned workers_of(unsigned asked, struct told *told)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = NULL;
    atomic_int runs = 0;
    unsigned count;

    options.workers = asked;
    options.report = note_report;
    options.report_data = told;
    const enum stook_status status = stook_executor_create(&options, &executor);
    if (status != STOOK_OK) {
        cr_assert_eq(status, STOOK_INVALID);
        cr_assert_null(executor);
        return 0;
    }
    count = stook_executor_worker_count(executor);
    cr_assert_eq(stook_executor_submit(executor, count_task, &runs, NULL), STOOK_OK);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 1);
    return count;
}

Test(sizing, B34_the_environment_sets_the_number_of_workers, .timeout = 60)
{
    static const struct {
        const char *text;
        unsigned workers;
    } rows[] = {{"1", 1}, {"3", 3}, {"17", 17}, {"007", 7}};
    const struct stook_executor_options defaults = STOOK_EXECUTOR_OPTIONS_INIT;
    struct told told = {.count = 0};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_eq(setenv("STOOK_WORKERS", rows[i].text, 1), 0);
        cr_assert_eq(workers_of(0, &told), rows[i].workers, "%s", rows[i].text);
        cr_assert_eq(workers_of(2, &told), 2u, "the options go before the environment");
    }
    cr_assert_eq(told.count, 0);
    cr_assert_eq(setenv("STOOK_WORKERS", "1024", 1), 0);
    cr_assert_eq(stook__sizing_workers(&defaults), 1024u); /* too many to be created here */
}

Test(sizing, B34_an_environment_that_is_no_number_is_refused_and_told, .timeout = 60)
{
    static const char *const bad[] = {"",     "0",    "000",  "-1",    "+1",
                                      " 1",   "1 ",   "1.5",  "0x10",  "two",
                                      "1025", "9999", "1\n2", "1,024", "99999999999999999999"};
    char longer[4000];

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct told told = {.count = 0};
        char expected[256];

        cr_assert_eq(setenv("STOOK_WORKERS", bad[i], 1), 0);
        cr_assert_eq(workers_of(0, &told), 0u, "%s", bad[i]);
        snprintf(expected, sizeof expected, "STOOK_WORKERS=%s is not a number from 1 to 1024",
                 bad[i]);
        cr_assert_eq(told.count, 1);
        cr_assert_str_eq(told.text, expected);
        cr_assert_eq(workers_of(1, &told), 1u, "it is not looked at when the options say how many");
        cr_assert_eq(told.count, 1);
    }
    memset(longer, '7', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    struct told told = {.count = 0};
    cr_assert_eq(setenv("STOOK_WORKERS", longer, 1), 0);
    cr_assert_eq(workers_of(0, &told), 0u);
    cr_assert_not_null(strstr(told.text, " is not a number from 1 to 1024"));
}

#ifdef LINUX_ONLY

Test(sizing, B34_without_a_report_function_standard_error_is_told, .timeout = 60)
{
    stook_executor *executor = NULL;
    char text[256] = "";
    int ends[2];
    const int saved = dup(STDERR_FILENO);

    cr_assert_eq(setenv("STOOK_WORKERS", "many", 1), 0);
    cr_assert_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    const enum stook_status status = stook_executor_create(NULL, &executor);
    dup2(saved, STDERR_FILENO);
    close(ends[1]);
    const ssize_t length = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    close(saved);
    cr_assert_eq(status, STOOK_INVALID);
    cr_assert_null(executor);
    cr_assert_gt(length, 0);
    cr_assert_str_eq(text, "stook: STOOK_WORKERS=many is not a number from 1 to 1024\n");
}

/* --- the affinity mask ------------------------------------------------------------------------ */

static int one_cpu_thread(void *arg)
{
    cpu_set_t allowed;
    cpu_set_t one;
    size_t cpu = 0;
    stook_executor *executor = NULL;

    MUST(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
    while (!CPU_ISSET(cpu, &allowed)) {
        cpu++;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    MUST(sched_setaffinity(0, sizeof one, &one) == 0);
    MUST(stook_executor_create(NULL, &executor) == STOOK_OK);
    *(unsigned *)arg = stook_executor_worker_count(executor);
    stook_executor_destroy(executor);
    return 0;
}

Test(sizing, B34_a_thread_bound_to_one_cpu_gets_one_worker, .timeout = 60)
{
    unsigned count = 0;
    struct told told = {.count = 0};
    cpu_set_t allowed;
    thrd_t thread;

    cr_assert_eq(unsetenv("STOOK_WORKERS"), 0);
    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    must_start(&thread, one_cpu_thread, &count);
    thrd_join(thread, NULL);
    cr_assert_eq(count, 1u);
    const unsigned limit = stook__cgroup_cpu_limit("");
    const unsigned cpus = (unsigned)CPU_COUNT(&allowed);
    cr_assert_eq(workers_of(0, &told), limit > 0 && limit < cpus ? limit : cpus,
                 "the other threads keep theirs");
}

static bool affinity_is_denied;
static size_t least_mask; /* bytes that the kernel wants a mask to have */
static bool mask_is_empty;
static bool online_is_unknown;
static unsigned quota; /* CPUs that the control group allows; 0: as it is */

int __real_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *mask);
int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *mask);

int __wrap_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *mask)
{
    if (affinity_is_denied) {
        errno = EPERM;
        return -1;
    }
    if (size < least_mask) {
        errno = EINVAL;
        return -1;
    }
    if (mask_is_empty) {
        memset(mask, 0, size);
        return 0;
    }
    return __real_sched_getaffinity(pid, size, mask);
}

/* MemorySanitizer calls sysconf() before it can bear what it instruments. */
#ifdef __clang__
#define CALLED_EARLY __attribute__((no_sanitize("memory")))
#else
#define CALLED_EARLY
#endif

long __real_sysconf(int name);
long __wrap_sysconf(int name);

CALLED_EARLY long __wrap_sysconf(int name)
{
    return online_is_unknown && name == _SC_NPROCESSORS_ONLN ? -1 : __real_sysconf(name);
}

unsigned __real_stook__cgroup_cpu_limit(const char *root);
unsigned __wrap_stook__cgroup_cpu_limit(const char *root);

unsigned __wrap_stook__cgroup_cpu_limit(const char *root)
{
    return quota > 0 ? quota : __real_stook__cgroup_cpu_limit(root);
}

/* CPython's test_sysconf_permission_error: sandboxes deny what they like. */
Test(sizing, B34_without_the_affinity_mask_the_cpus_online_count, .timeout = 60)
{
    const unsigned limit = stook__cgroup_cpu_limit("");
    const unsigned online = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    struct told told = {.count = 0};

    cr_assert_eq(unsetenv("STOOK_WORKERS"), 0);
    affinity_is_denied = true;
    cr_assert_eq(workers_of(0, &told), limit > 0 && limit < online ? limit : online);
    cr_assert_eq(told.count, 0);
}

/* More CPUs than a cpu_set_t has. */
Test(sizing, B34_a_mask_that_is_longer_is_read, .timeout = 60)
{
    struct told told = {.count = 0};

    cr_assert_eq(unsetenv("STOOK_WORKERS"), 0);
    const unsigned usual = workers_of(0, &told);
    least_mask = sizeof(cpu_set_t) * 8;
    cr_assert_eq(workers_of(0, &told), usual);
    least_mask = SIZE_MAX;
    const unsigned online = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    const unsigned limit = stook__cgroup_cpu_limit("");
    cr_assert_eq(workers_of(0, &told), limit > 0 && limit < online ? limit : online);
    online_is_unknown = true;
    cr_assert_eq(workers_of(0, &told), 1u);
}

Test(sizing, B34_there_is_one_worker_at_least, .timeout = 60)
{
    struct told told = {.count = 0};

    cr_assert_eq(unsetenv("STOOK_WORKERS"), 0);
    mask_is_empty = true;
    cr_assert_eq(workers_of(0, &told), 1u);
    least_mask = sizeof(cpu_set_t) * 8; /* else the CPUs online would count */
    cr_assert_eq(workers_of(0, &told), 1u);
}

Test(sizing, B34_a_quota_below_the_mask_counts, .timeout = 60)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    struct told told = {.count = 0};
    stook_executor *executor;

    cr_assert_eq(unsetenv("STOOK_WORKERS"), 0);
    quota = 1;
    cr_assert_eq(workers_of(0, &told), 1u);
    affinity_is_denied = true;
    quota = 10000;
    cr_assert_eq(workers_of(0, &told), (unsigned)sysconf(_SC_NPROCESSORS_ONLN));
    cr_assert_eq(setenv("STOOK_WORKERS", "7", 1), 0);
    options.max_workers = 3;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_OK);
    cr_assert_eq(stook_executor_worker_count(executor), 3u, "the option is the limit");
    stook_executor_destroy(executor);
}

#endif
