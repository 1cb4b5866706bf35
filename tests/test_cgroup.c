/* SPDX-License-Identifier: MIT
 *
 * The quota of a control group, which is read from trees of files made here.
 */
#define _GNU_SOURCE /* for nftw() */
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cgroup.h"
#include "check.h"
#include "support.h"

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

    snprintf(tree, sizeof tree, "%s/stook-cgroup-XXXXXX", directory);
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
#define TREE_TEST(name) Test(cgroup, name, .init = make_tree, .fini = remove_tree, .timeout = 60)

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
