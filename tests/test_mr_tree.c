/* SPDX-License-Identifier: MIT
 *
 * Walking directories: which files, in which order, however deep; what cannot be read; and what
 * changes meanwhile or fails (see failing.h, failing_files.h).
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include "failing.h"
#include "failing_files.h"
#include "mr_records.h"

/* --- directories ------------------------------------------------------------------------------ */

/* A directory of its own for each test, in which it works. */
static char *enter_directory(void)
{
    char *path = make_name();
    MUST(mkdir(path, 0700) == 0);
    MUST(chdir(path) == 0);
    return path;
}

static void leave_directory(char *path)
{
    MUST(chdir("/") == 0);
    remove_file(path);
}

static void touch(const char *path)
{
    write_file(path, mr_slice_str("x\n"));
}

static void remove_all(const char *const *paths, size_t count)
{
    for (size_t i = count; i > 0; i--) {
        MUST(remove(paths[i - 1]) == 0);
    }
}

static mr_tree *must_open(const char *const *paths, size_t count)
{
    mr_tree *tree = NULL;
    char message[256] = "untouched";
    if (mr_tree_open(paths, count, &tree, message, sizeof message) != STOOK_OK) {
        die("mr_tree_open", message);
    }
    MUST(strcmp(message, "untouched") == 0);
    return tree;
}

static void expect_tree(const char *const *paths, size_t path_count, const char *const *expected,
                        size_t count)
{
    mr_tree *tree = must_open(paths, path_count);
    size_t got = SIZE_MAX;
    const struct mr_source *sources = mr_tree_sources(tree, &got);
    for (size_t i = 0; i < got && i < count; i++) {
        cr_assert_str_eq(sources[i].path, expected[i]);
        cr_assert_eq(sources[i].descriptor, 0);
        cr_assert(sources[i].text.data == NULL && sources[i].text.size == 0);
    }
    cr_assert_eq(got, count);
    cr_assert_not_null(sources); /* so that a job over none of them is sound */
    mr_tree_close(tree);
}

#define EXPECT_TREE(paths, expected)                                                               \
    expect_tree(paths, COUNT_OF(paths), expected, COUNT_OF(expected))

/* --- which files, in which order -------------------------------------------------------------- */

Test(mr_tree, files_come_in_byte_order_of_their_names, .timeout = 60)
{
    static const char *const made[] = {"d",   "d/a",  "d/a.b", "d/a-b", "d/B",       "d/\xc3\xa4",
                                       "d/z", "d/10", "d/9",   "d/ ",   "d/.hidden", "d/\n"};
    static const char *const directories[] = {"d/dir", "d/a0", "d/dir/deep", "d/empty"};
    static const char *const inside[] = {"d/dir/2", "d/dir/1", "d/dir/deep/x", "d/a0/x", "d/dir.x"};
    static const char *const paths[] = {"d"};
    static const char *const expected[] = {
        "d/\n",  "d/ ",    "d/.hidden", "d/10",    "d/9",          "d/B",     "d/a", "d/a-b",
        "d/a.b", "d/a0/x", "d/dir/1",   "d/dir/2", "d/dir/deep/x", "d/dir.x", "d/z", "d/\xc3\xa4"};
    char *at = enter_directory();
    MUST(mkdir(made[0], 0700) == 0);
    for (size_t i = 1; i < COUNT_OF(made); i++) {
        touch(made[i]);
    }
    for (size_t i = 0; i < COUNT_OF(directories); i++) {
        MUST(mkdir(directories[i], 0700) == 0);
    }
    for (size_t i = 0; i < COUNT_OF(inside); i++) {
        touch(inside[i]);
    }
    EXPECT_TREE(paths, expected);
    remove_all(inside, COUNT_OF(inside));
    remove_all(directories, COUNT_OF(directories));
    remove_all(made, COUNT_OF(made));
    leave_directory(at);
}

Test(mr_tree, paths_come_as_they_are_given, .timeout = 60)
{
    static const char *const made[] = {"d", "d/1", "file"};
    static const char *const paths[] = {"file", "d/", "missing", "d", "d//", "./d/.", "", "file"};
    static const char *const expected[] = {"file", "d/1",     "missing", "d/1",
                                           "d//1", "./d/./1", "",        "file"};
    char *at = enter_directory();
    MUST(mkdir("d", 0700) == 0);
    touch("d/1");
    touch("file");
    EXPECT_TREE(paths, expected);
    remove_all(made, COUNT_OF(made));
    leave_directory(at);
}

Test(mr_tree, empty_directories_and_no_paths_have_no_files, .timeout = 60)
{
    static const char *const made[] = {"d", "d/e"};
    char *at = enter_directory();
    MUST(mkdir("d", 0700) == 0 && mkdir("d/e", 0700) == 0);
    expect_tree(made, 2, NULL, 0);
    expect_tree(NULL, 0, NULL, 0);
    mr_tree *tree = must_open(made, 1);
    size_t count;
    const struct mr_source *sources = mr_tree_sources(tree, &count);
    struct mr_job job = place_job(sources, count);
    mr_result *result = must_run(NULL, &job);
    cr_assert_eq(mr_result_count(result), 0);
    mr_result_destroy(result);
    mr_tree_close(tree);
    mr_tree_close(NULL);
    remove_all(made, COUNT_OF(made));
    leave_directory(at);
}

/* Below a path, links are left out, whatever they lead to; a path itself may be one. */
Test(mr_tree, links_below_are_not_followed, .timeout = 60)
{
    static const char *const made[] = {"d",           "d/file",    "other",
                                       "other/x",     "d/to-file", "d/to-dir",
                                       "d/to-itself", "d/broken",  "link"};
    static const char *const paths[] = {"link", "d/to-file", "d/broken", "d/to-dir"};
    static const char *const expected[] = {"link/file", "d/to-file", "d/broken", "d/to-dir/x"};
    char *at = enter_directory();
    MUST(mkdir("d", 0700) == 0 && mkdir("other", 0700) == 0);
    touch("d/file");
    touch("other/x");
    MUST(symlink("file", "d/to-file") == 0);
    MUST(symlink("../other", "d/to-dir") == 0);
    MUST(symlink("../d", "d/to-itself") == 0);
    MUST(symlink("nothing", "d/broken") == 0);
    MUST(symlink("d", "link") == 0);
    EXPECT_TREE(paths, expected);
    remove_all(made, COUNT_OF(made));
    leave_directory(at);
}

/* A FIFO would hold whoever opens it. */
Test(mr_tree, what_is_no_regular_file_is_left_out, .timeout = 60)
{
    static const char *const made[] = {"d", "d/fifo", "d/file", "fifo"};
    static const char *const paths[] = {"d", "fifo"};
    static const char *const expected[] = {"d/file", "fifo"};
    char *at = enter_directory();
    MUST(mkdir("d", 0700) == 0);
    MUST(mkfifo("d/fifo", 0600) == 0 && mkfifo("fifo", 0600) == 0);
    touch("d/file");
    EXPECT_TREE(paths, expected);
    remove_all(made, COUNT_OF(made));
    leave_directory(at);
}

/* --- size ------------------------------------------------------------------------------------- */

static long open_files(void)
{
    long count = 0;
    for (int fd = 0; fd < 1000; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

Test(mr_tree, a_tree_may_be_deep, .timeout = 120)
{
    enum { DEPTH = 2000 };
    static const char *const paths[] = {"."};
    char *at = enter_directory();
    const long before = open_files();
    char *expected = must_alloc(2 * DEPTH + 8);
    size_t size = 1;
    expected[0] = '.';
    for (int i = 0; i < DEPTH; i++) {
        MUST(mkdir("d", 0700) == 0 && chdir("d") == 0);
        memcpy(expected + size, "/d", 2);
        size += 2;
    }
    touch("f");
    memcpy(expected + size, "/f", 3);
    MUST(chdir(at) == 0);
    const char *const all[] = {expected};
    EXPECT_TREE(paths, all);
    cr_assert_eq(open_files(), before);
    mr_tree *tree = must_open(paths, 1);
    size_t count;
    const struct mr_source *sources = mr_tree_sources(tree, &count);
    struct mr_job job = place_job(sources, count);
    mr_result *result = must_run(NULL, &job);
    cr_assert_eq(mr_result_count(result), 1);
    mr_result_destroy(result);
    mr_tree_close(tree);
    MUST(remove(expected) == 0);
    for (; size > 1; size -= 2) { /* from below */
        expected[size] = '\0';
        MUST(rmdir(expected) == 0);
    }
    free(expected);
    leave_directory(at);
}

Test(mr_tree, a_tree_may_be_wide, .timeout = 120)
{
    enum { WIDTH = 5000 };
    static const char *const paths[] = {"."};
    char *at = enter_directory();
    char name[32];
    for (int i = 0; i < WIDTH; i++) {
        snprintf(name, sizeof name, "%d", (i * 7919) % WIDTH + 10000);
        touch(name);
    }
    mr_tree *tree = must_open(paths, 1);
    size_t count;
    const struct mr_source *sources = mr_tree_sources(tree, &count);
    cr_assert_eq(count, WIDTH);
    for (int i = 0; i < WIDTH; i++) {
        snprintf(name, sizeof name, "./%d", i + 10000);
        cr_assert_str_eq(sources[i].path, name);
        MUST(remove(name) == 0);
    }
    mr_tree_close(tree);
    leave_directory(at);
}

/* --- as input --------------------------------------------------------------------------------- */

Test(mr_tree, its_files_are_mapped, .timeout = 60)
{
    static const char *const made[] = {"d", "d/e", "d/1", "d/2", "d/e/3"};
    static const char *const paths[] = {"d"};
    const struct mr_slice texts[] = {mr_slice_str("one\r\ntwo"), mr_slice_of("", 0),
                                     mr_slice_str("three\n")};
    char *at = enter_directory();
    stook_executor *executor = must_create(2);
    MUST(mkdir("d", 0700) == 0 && mkdir("d/e", 0700) == 0);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        write_file(made[i + 2], texts[i]);
    }
    mr_tree *tree = must_open(paths, 1);
    size_t count;
    const struct mr_source *sources = mr_tree_sources(tree, &count);
    cr_assert_eq(count, COUNT_OF(texts));
    struct mr_job job = place_job(sources, count);
    mr_result *result = must_run(executor, &job);
    cr_assert(are_records(result, texts, &job.input));
    mr_result_destroy(result);
    MUST(remove("d/2") == 0); /* one that goes before the job comes is named */
    struct mr_error error;
    cr_assert_eq(mr_map_reduce(executor, &job, &result, &error), STOOK_IO);
    cr_assert_eq(error.code, ENOENT);
    cr_assert_eq(error.source, 1);
    cr_assert_not_null(strstr(error.message, "d/2"));
    touch("d/2");
    mr_tree_close(tree);
    stook_executor_destroy(executor);
    remove_all(made, COUNT_OF(made));
    leave_directory(at);
}

/* --- failures --------------------------------------------------------------------------------- */

static void expect_failure(const char *const *paths, size_t count, enum stook_status status,
                           const char *words)
{
    mr_tree *tree = UNTOUCHED(mr_tree);
    char message[256] = "";
    char cut[5] = "";
    const long before = open_files();
    cr_assert_eq(mr_tree_open(paths, count, &tree, message, sizeof message), status);
    cr_assert_not_null(strstr(message, words), "%s", message);
    cr_assert_eq(mr_tree_open(paths, count, &tree, NULL, 0), status);
    cr_assert_eq(mr_tree_open(paths, count, &tree, cut, 0), status);
    cr_assert_eq(cut[0], '\0');
    cr_assert_eq(mr_tree_open(paths, count, &tree, cut, sizeof cut), status);
    cr_assert_eq(strlen(cut), sizeof cut - 1);
    cr_assert_eq(strncmp(cut, message, sizeof cut - 1), 0);
    cr_assert_eq(tree, UNTOUCHED(mr_tree));
    cr_assert_eq(open_files(), before);
}

Test(mr_tree, a_directory_that_cannot_be_read_is_named, .timeout = 60)
{
    static const char *const made[] = {"d", "d/a", "d/closed", "d/z"};
    static const char *const below[] = {"d"};
    static const char *const itself[] = {"d/a", "d/closed"};
    char *at = enter_directory();
    if (geteuid() == 0) { /* nothing is closed to root */
        MUST(chown(at, 65534, 65534) == 0 && seteuid(65534) == 0);
    }
    MUST(mkdir("d", 0700) == 0 && mkdir("d/closed", 0000) == 0);
    touch("d/a");
    touch("d/z");
    expect_failure(below, 1, STOOK_IO, "cannot read directory 'd/closed': Permission denied");
    expect_failure(itself, 2, STOOK_IO, "cannot read directory 'd/closed': Permission denied");
    remove_all(made, COUNT_OF(made));
    MUST(geteuid() == getuid() || seteuid(getuid()) == 0);
    leave_directory(at);
}

Test(mr_tree, a_path_that_is_too_long_is_named_by_its_end, .timeout = 60)
{
    enum { DEPTH = 20, NAME = 250 };
    static const char *const paths[] = {"."};
    char name[NAME + 1];
    char *at = enter_directory();
    memset(name, 'n', NAME);
    name[NAME] = '\0';
    for (int i = 0; i < DEPTH; i++) {
        MUST(mkdir(name, 0700) == 0 && chdir(name) == 0);
    }
    int here = open(".", O_RDONLY | O_CLOEXEC);
    MUST(here >= 0 && chdir(at) == 0);
    expect_failure(paths, 1, STOOK_IO, "nnn': File name too long");
    MUST(fchdir(here) == 0 && close(here) == 0);
    for (int i = 0; i < DEPTH; i++) {
        MUST(chdir("..") == 0 && rmdir(name) == 0);
    }
    leave_directory(at);
}

static void make_tree(void)
{
    MUST(mkdir("d", 0700) == 0 && mkdir("d/b", 0700) == 0 && mkdir("d/b/c", 0700) == 0);
    touch("d/a");
    touch("d/b/c/1");
    touch("d/b/c/2");
    touch("d/z");
}

static const char *const tree_made[] = {"d", "d/b", "d/b/c", "d/a", "d/b/c/1", "d/b/c/2", "d/z"};
static const char *const tree_paths[] = {"d", "d/z"};
static const char *const tree_files[] = {"d/a", "d/b/c/1", "d/b/c/2", "d/z", "d/z"};

/* Every call that reads a directory, once. */
Test(mr_tree, calls_that_fail_are_told, .timeout = 60)
{
    char *at = enter_directory();
    const long before = open_files();
    unsigned failures = 0;
    make_tree();
    for (long number = 0;; number++) {
        mr_tree *tree = UNTOUCHED(mr_tree);
        char message[256] = "";
        cr_assert_lt(number, MOST_PASSES);
        files.code = EIO;
        atomic_store(&files.left, number);
        enum stook_status status = mr_tree_open(tree_paths, 2, &tree, message, sizeof message);
        const bool has_met = atomic_load(&files.left) < 0;
        atomic_store(&files.left, -1);
        cr_assert_eq(open_files(), before);
        if (status != STOOK_OK) {
            cr_assert_eq(status, STOOK_IO);
            cr_assert_eq(tree, UNTOUCHED(mr_tree));
            cr_assert_eq(strncmp(message, "cannot read directory 'd", 24), 0);
            cr_assert_not_null(strstr(message, "': Input/output error"));
            failures++;
        } else {
            mr_tree_close(tree);
        }
        if (!has_met) {
            break;
        }
    }
    cr_assert_geq(failures, 3 + 7); /* open, and each name */
    EXPECT_TREE(tree_paths, tree_files);
    remove_all(tree_made, COUNT_OF(tree_made));
    leave_directory(at);
}

Test(mr_tree, memory_that_is_missing_leaves_nothing, .timeout = 60)
{
    char *at = enter_directory();
    unsigned failures = 0;
    make_tree();
    for (long number = 0;; number++) {
        mr_tree *tree = UNTOUCHED(mr_tree);
        char message[256] = "";
        const long files_before = open_files();
        cr_assert_lt(number, MOST_PASSES);
        const long blocks_before = atomic_load(&blocks);
        fail_call(number);
        enum stook_status status = mr_tree_open(tree_paths, 2, &tree, message, sizeof message);
        const bool failed = has_failed();
        fail_none();
        cr_assert_eq(open_files(), files_before);
        if (!failed) {
            cr_assert_eq(status, STOOK_OK);
            mr_tree_close(tree);
            cr_assert_eq(atomic_load(&blocks), blocks_before);
            break;
        }
        failures++;
        cr_assert_eq(status, STOOK_NOMEM);
        cr_assert_eq(tree, UNTOUCHED(mr_tree));
        cr_assert_str_neq(message, "");
        cr_assert_eq(atomic_load(&blocks), blocks_before);
    }
    cr_assert_geq(failures, 6 + 4); /* names, and what holds them */
    EXPECT_TREE(tree_paths, tree_files);
    remove_all(tree_made, COUNT_OF(tree_made));
    leave_directory(at);
}

/* What is removed while others are looked at was never there: a call that finds no more. */
Test(mr_tree, what_is_removed_meanwhile_is_left_out, .timeout = 60)
{
    static const char *const paths[] = {"d"};
    char *at = enter_directory();
    unsigned misses = 0;
    make_tree();
    for (long number = 1;; number++) { /* not the directory that was asked for */
        mr_tree *tree = NULL;
        size_t count;
        cr_assert_lt(number, MOST_PASSES);
        atomic_store(&files.names_left, number);
        enum stook_status status = mr_tree_open(paths, 1, &tree, NULL, 0);
        const bool has_met = atomic_load(&files.names_left) < 0;
        atomic_store(&files.names_left, -1);
        cr_assert_eq(status, STOOK_OK);
        mr_tree_sources(tree, &count);
        cr_assert(has_met ? count < 4 : count == 4);
        mr_tree_close(tree);
        if (!has_met) {
            break;
        }
        misses++;
    }
    cr_assert_eq(misses, 8); /* six names, two directories */
    remove_all(tree_made, COUNT_OF(tree_made));
    leave_directory(at);
}
