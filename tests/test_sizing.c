/* SPDX-License-Identifier: MIT
 *
 * How many workers an executor gets when nobody says: the environment, the affinity mask, and the
 * quota of a control group, which is read from trees of files made here.
 */
#if defined __linux__ && !defined STOOK_TEST_PORTABLE
#define LINUX_ONLY
#define _GNU_SOURCE /* for affinity masks, and nftw() */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <sys/stat.h>
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

/* --- control groups --------------------------------------------------------------------------- */

static char tree[1024];

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

static void make_tree(void)
{
    const char *directory = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";

    snprintf(tree, sizeof tree, "%s/stook-sizing-XXXXXX", directory);
    cr_assert_not_null(mkdtemp(tree));
}

static void remove_tree(void)
{
    cr_assert_eq(nftw(tree, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* Writes a file of the tree, making its folders. */
static void put_bytes(const char *name, const char *text, size_t size)
{
    char path[4096];

    snprintf(path, sizeof path, "%s%s", tree, name);
    for (char *at = path + strlen(tree) + 1; *at; at++) {
        if (*at == '/') {
            *at = '\0';
            (void)mkdir(path, 0700);
            *at = '/';
        }
    }
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file, "%s", path);
    cr_assert_eq(fwrite(text, 1, size, file), size);
    cr_assert_eq(fclose(file), 0);
}

static void put(const char *name, const char *text)
{
    put_bytes(name, text, strlen(text));
}

static unsigned limit(void)
{
    return stook__cgroup_cpu_limit(tree);
}

/* Some of what is in mountinfo beside control groups, with a line that does not fit into a buffer.
 */
static void put_mounts(const char *text)
{
    static char mounts[20000];
    size_t length = (size_t)snprintf(mounts, sizeof mounts,
                                     "22 28 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n"
                                     "28 1 0:25 / / rw shared:1 - overlay overlay rw,lowerdir=");

    for (; length < 9000; length++) {
        mounts[length] = length % 50 ? 'x' : ':';
    }
    snprintf(mounts + length, sizeof mounts - length,
             " cgroup2 cgroup2 rw\n29 22 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n%s",
             text);
    put("/proc/self/mountinfo", mounts);
}

#define MOUNT_2                                                                                    \
    "30 22 0:27 / /sys/fs/cgroup rw,nosuid,nodev shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_1                                                                                    \
    "33 29 0:30 / /sys/fs/cgroup/memory rw,nosuid shared:11 - cgroup cgroup rw,memory\n"           \
    "34 29 0:31 / /sys/fs/cgroup/cpuset rw,nosuid shared:12 - cgroup cgroup rw,cpuset\n"           \
    "35 29 0:32 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:13 - cgroup cgroup rw,cpu,cpuacct\n"
#define TREE_TEST(name) Test(sizing, name, .init = make_tree, .fini = remove_tree, .timeout = 60)

TREE_TEST(B34_version_2_gives_the_quota_rounded_up)
{
    static const struct {
        const char *text;
        unsigned limit;
    } rows[] = {{"max 100000\n", 0},    {"150000 100000\n", 2}, {"100000 100000\n", 1},
                {"100001 100000\n", 2}, {"50000 100000\n", 1},  {"1000 100000\n", 1},
                {"400000 50000\n", 8},  {"6400000 100000", 64}, {"18446744073709551615 1\n", ~0u},
                {"4294967296 1\n", ~0u}};

    put_mounts(MOUNT_2);
    put("/proc/self/cgroup", "0::/user.slice/a.scope\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put("/sys/fs/cgroup/user.slice/a.scope/cpu.max", rows[i].text);
        cr_assert_eq(limit(), rows[i].limit, "%s", rows[i].text);
    }
}

TREE_TEST(B34_version_1_gives_the_quota_rounded_up)
{
    static const struct {
        const char *quota, *period;
        unsigned limit;
    } rows[] = {{"-1\n", "100000\n", 0},    {"150000\n", "100000\n", 2}, {"50000\n", "100000\n", 1},
                {"400000\n", "50000\n", 8}, {"0\n", "100000\n", 0},      {"100000\n", "0\n", 0},
                {"100000\n", "", 0},        {"", "100000\n", 0}};

    put_mounts(MOUNT_1);
    put("/proc/self/cgroup", "12:cpuset:/other\n11:memory:/other\n4:cpuacct,cpu:/docker/7\n"
                             "1:name=systemd:/other\n");
    put("/sys/fs/cgroup/cpu,cpuacct/other/cpu.cfs_quota_us", "100000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/other/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/memory/docker/7/cpu.cfs_quota_us", "1000\n"); /* not the CPU's hierarchy */
    put("/sys/fs/cgroup/memory/docker/7/cpu.cfs_period_us", "100000\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put("/sys/fs/cgroup/cpu,cpuacct/docker/7/cpu.cfs_quota_us", rows[i].quota);
        put("/sys/fs/cgroup/cpu,cpuacct/docker/7/cpu.cfs_period_us", rows[i].period);
        cr_assert_eq(limit(), rows[i].limit, "row %zu", i);
    }
}

TREE_TEST(B34_the_tightest_group_above_counts)
{
    put_mounts(MOUNT_2);
    put("/proc/self/cgroup", "0::/a/b/c\n");
    put("/sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n");
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    put("/sys/fs/cgroup/a/cpu.max", "250000 100000\n");
    cr_assert_eq(limit(), 3u);
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n"); /* a container's own root has one */
    cr_assert_eq(limit(), 2u);
    put("/sys/fs/cgroup/a/b/c/cpu.max", "100000 100000\n");
    cr_assert_eq(limit(), 1u);
    put("/sys/fs/cpu.max", "10000 100000\n"); /* above the mount point: no group */
    put("/sys/fs/cgroup/a/bb/cpu.max", "10000 100000\n");
    put("/sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n");
    cr_assert_eq(limit(), 2u);
}

TREE_TEST(B34_in_hybrid_the_cpu_controller_counts_wherever_it_is)
{
    put_mounts(MOUNT_1 "36 29 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put("/proc/self/cgroup", "4:cpu,cpuacct:/a\n0::/b\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "300000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/unified/b/cgroup.procs", "1\n");
    cr_assert_eq(limit(), 3u);
    put("/sys/fs/cgroup/unified/b/cpu.max", "200000 100000\n");
    cr_assert_eq(limit(), 2u);
    put("/sys/fs/cgroup/unified/b/cpu.max", "400000 100000\n");
    cr_assert_eq(limit(), 3u);
}

/* A mount may show a part of the hierarchy only; a group may be named from elsewhere. */
TREE_TEST(B34_mounts_of_a_part_and_groups_outside_of_it)
{
    /* as in a container without a namespace of its own: the mount's root is the group */
    put_mounts("35 29 0:32 /docker/7 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "500000\n");
    put("/sys/fs/cgroup/cpu/in/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu/in/cpu.cfs_quota_us", "400000\n");
    put("/proc/self/cgroup", "4:cpu:/docker/7\n");
    cr_assert_eq(limit(), 5u);
    put("/proc/self/cgroup", "4:cpu:/docker/7/in\n");
    cr_assert_eq(limit(), 4u);
    put("/sys/fs/cgroup/cpu7/in/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu7/in/cpu.cfs_quota_us", "100000\n");
    /* not below it: the mount point is a guess */
    put("/proc/self/cgroup", "4:cpu:/docker/77/in\n");
    cr_assert_eq(limit(), 5u);
    put("/proc/self/cgroup", "4:cpu:/\n");
    cr_assert_eq(limit(), 5u);

    /* another group's mount does not count when there is one that shows the own group */
    put_mounts("35 29 0:32 /docker/7 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
               "36 29 0:32 / /all\\040groups rw - cgroup cgroup rw,cpu\n");
    put("/all groups/docker/8/cpu.cfs_period_us", "100000\n");
    put("/all groups/docker/8/cpu.cfs_quota_us", "700000\n");
    put("/proc/self/cgroup", "4:cpu:/docker/8\n");
    cr_assert_eq(limit(), 7u);

    /* in a namespace, a process that was moved out of it, and a mount from outside */
    put_mounts(MOUNT_2);
    put("/proc/self/cgroup", "0::/../../other\n");
    put("/sys/other/cpu.max", "100000 100000\n");
    put("/sys/fs/cgroup/cpu.max", "600000 100000\n");
    cr_assert_eq(limit(), 6u);
    put_mounts("30 22 0:27 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    put("/proc/self/cgroup", "0::/\n");
    cr_assert_eq(limit(), 6u);
    put("/proc/self/cgroup", "0::/../..deep\n");
    put("/sys/fs/cgroup/..deep/cpu.max", "100000 100000\n");
    cr_assert_eq(limit(), 1u);
}

TREE_TEST(B34_what_is_missing_or_garbage_means_no_limit)
{
    static const char *const quotas[] = {
        "",
        "\n",
        "max",
        "150000",
        "150000 \n",
        "150000\t100000\n",
        "150000 100000 7\n",
        " 150000 100000\n",
        "-150000 100000\n",
        "150000 0\n",
        "0 100000\n",
        "1e5 100000\n",
        "18446744073709651616 100000\n",
        "words that make no sense and are longer than any two numbers can be"};
    static const char *const groups[] = {
        "", "\n", "0", "0:", "0::", "0::x\n", "::::\n", "x:cpu:\n", "4::/a\n"};
    static const char *const mounts[] = {"", " ", "- - - -\n", "30 22 0:27 / - cgroup2\n",
                                         "cgroup2\n"};
    static char noise[30000];
    uint64_t random = 7;

    cr_assert_eq(limit(), 0u, "an empty tree");
    put("/proc/self/cgroup", "0::/a\n");
    cr_assert_eq(limit(), 0u, "no mounts");
    put_mounts(MOUNT_2);
    cr_assert_eq(limit(), 0u, "no such folder");
    for (size_t i = 0; i < sizeof quotas / sizeof quotas[0]; i++) {
        put("/sys/fs/cgroup/a/cpu.max", quotas[i]);
        cr_assert_eq(limit(), 0u, "quota %zu", i);
    }
    snprintf(noise, sizeof noise, "200000 %056d and more than a buffer", 100000);
    put("/sys/fs/cgroup/a/cpu.max", noise);
    cr_assert_eq(limit(), 0u);
    put("/sys/fs/cgroup/a/cpu.max", "100000 100000\n");
    cr_assert_eq(limit(), 1u);
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        put("/proc/self/cgroup", groups[i]);
        cr_assert_eq(limit(), 0u, "group %zu", i);
    }
    memset(noise, 'x', sizeof noise);
    memcpy(noise, "0::/a/", 6);
    put_bytes("/proc/self/cgroup", noise, sizeof noise);
    cr_assert_eq(limit(), 0u, "a path longer than any");
    put("/proc/self/cgroup", "0::/a\n");
    for (size_t i = 0; i < sizeof mounts / sizeof mounts[0]; i++) {
        put("/proc/self/mountinfo", mounts[i]);
        cr_assert_eq(limit(), 0u, "mounts %zu", i);
    }
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < sizeof noise; i++) {
            noise[i] = (char)random_below(&random, round % 2 ? 256 : 64);
        }
        put_bytes("/proc/self/mountinfo", noise, random_below(&random, sizeof noise));
        cr_assert_eq(limit(), 0u);
    }
    memset(noise, '/', 5000);
    noise[5000] = '\0';
    cr_assert_eq(stook__cgroup_cpu_limit(noise), 0u, "a root longer than any path");
}

/* Whole lines of 2047 bytes are read, longer ones are left out, and what follows is read again. */
TREE_TEST(B34_lines_of_any_length_are_survived)
{
    static char lines[8192];

    put_mounts(MOUNT_2);
    put("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
    for (size_t length = 2040; length < 2060; length++) {
        memset(lines, 'x', length);
        memcpy(lines, "9:cpu:", 6);
        snprintf(lines + length, sizeof lines - length, "\n0::/a\n");
        put("/proc/self/cgroup", lines);
        cr_assert_eq(limit(), 3u, "%zu", length);
    }
    put("/proc/self/cgroup", "0::/a"); /* without a newline at the end */
    cr_assert_eq(limit(), 3u);
}

/* A name that has no room in a path counts as no limit, and one that just has is found. */
TREE_TEST(B34_names_without_end_are_no_limits)
{
    static char group[3000];
    static char line[3200];

    for (size_t length = 10; length < sizeof group - 1; length += 97) {
        memset(group, 'g', length);
        for (size_t i = 0; i < length; i += 200) {
            group[i] = '/';
        }
        group[length] = '\0';
        snprintf(line, sizeof line, "0::%s\n", group);
        put("/proc/self/cgroup", line);
        put_mounts(MOUNT_2);
        put("/sys/fs/cgroup/cpu.max", "300000 100000\n");
        const bool fits = strlen(tree) + strlen("/sys/fs/cgroup") + length < 1024;
        cr_assert_eq(limit(), fits ? 3u : 0u, "%zu", length);
    }
}

TREE_TEST(B34_words_that_only_look_alike)
{
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "500000\n");
    put_mounts("35 29 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
    put("/proc/self/cgroup", "4:cpx,cpuacct:/\n3:cpu2:/\n2:xcpu:/\n");
    cr_assert_eq(limit(), 0u);
    put("/proc/self/cgroup", "2:xcpu:/\nno colon\n1:cpu\n:\n4:cpu:relative\n4:cpu:/\n");
    cr_assert_eq(limit(), 5u);
    /* what looks like an escape, but is none, stands for itself */
    put_mounts("35 29 0:32 / /sys/\\08/\\400/\\0x/\\048/\\/\\04/c\\0409 rw - cgroup c rw,cpu\n");
    put("/sys/\\08/\\400/\\0x/\\048/\\/\\04/c 9/cpu.cfs_period_us", "100000\n");
    put("/sys/\\08/\\400/\\0x/\\048/\\/\\04/c 9/cpu.cfs_quota_us", "600000\n");
    cr_assert_eq(limit(), 6u);
    /* a group that only begins as one outside */
    put_mounts("30 22 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    put("/proc/self/cgroup", "0::/..a\n");
    put("/sys/fs/cgroup/..a/cpu.max", "700000 100000\n");
    cr_assert_eq(limit(), 7u);
}

#endif
