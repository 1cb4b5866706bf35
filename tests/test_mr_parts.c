/* SPDX-License-Identifier: MIT
 *
 * Results in part files: all pairs in order, in steps that a crash may cut anywhere; and whatever
 * fails, the directory is as it was before.
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include "mr_output.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>

/* --- a directory for each test ---------------------------------------------------------------- */

static char base[] = "/tmp/stook-test-XXXXXX"; /* where it is made */
static char out[64];                           /* in it, made by whom the test wants */

static void make_base(void)
{
    MUST(mkdtemp(base) != NULL);
    snprintf(out, sizeof out, "%s/out", base);
}

static const char *path_in(const char *directory, const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static int name_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a directory, sorted, each followed by a space; "none" if there is no directory. */
static const char *names_in(const char *directory)
{
    static char all[1024];
    char *names[64];
    size_t count = 0;
    DIR *stream = opendir(directory);
    if (stream == NULL) {
        return "none";
    }
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            MUST(count < COUNT_OF(names));
            names[count] = must_alloc(strlen(entry->d_name) + 1); /* counted, as strdup's is not */
            strcpy(names[count], entry->d_name);
            count++;
        }
    }
    closedir(stream);
    qsort(names, count, sizeof *names, name_compare);
    all[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        MUST(strlen(all) + strlen(names[i]) + 2 <= sizeof all);
        strcat(strcat(all, names[i]), " ");
        free(names[i]);
    }
    return all;
}

static void make_file(const char *name, const char *text)
{
    const int file = open(path_in(out, name), O_WRONLY | O_CREAT | O_EXCL, 0600);
    MUST(file >= 0);
    MUST(write(file, text, strlen(text)) == (ssize_t)strlen(text));
    close(file);
}

static struct text file_text(const char *name)
{
    const int file = open(path_in(out, name), O_RDONLY);
    MUST(file >= 0);
    struct text text = text_read(file);
    close(file);
    return text;
}

static bool file_is(const char *name, const char *expected)
{
    struct text text = file_text(name);
    const bool same = strcmp(text.bytes, expected) == 0;
    free(text.bytes);
    return same;
}

static void remove_directory(const char *directory)
{
    DIR *stream = opendir(directory);
    if (stream == NULL) {
        return;
    }
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        unlink(path_in(directory, entry->d_name));
    }
    closedir(stream);
    MUST(rmdir(directory) == 0);
}

static void remove_base(void)
{
    remove_directory(out);
    MUST(rmdir(base) == 0);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void must_write(mr_result *result, uint32_t parts)
{
    struct mr_error error;
    memset(&error, 0, sizeof error);
    const enum stook_status status =
        mr_result_write_parts(result, out, parts, MR_FORMAT_U64, &error);
    if (status != STOOK_OK) {
        die(stook_status_name(status), error.message);
    }
}

/* Fails in the output, and keeps neither memory nor descriptors. */
static struct mr_error must_fail_in(const char *directory, mr_result *result, uint32_t parts,
                                    enum stook_status status)
{
    struct mr_error error;
    const int files_before = open_files();
    const long blocks_before = atomic_load(&blocks);
    memset(&error, 0xff, sizeof error);
    cr_assert_eq(mr_result_write_parts(result, directory, parts, MR_FORMAT_U64, &error), status);
    cr_assert_eq(error.status, status);
    cr_assert_eq(error.phase, MR_PHASE_OUTPUT);
    cr_assert_eq(atomic_load(&blocks), blocks_before);
    cr_assert_eq(open_files(), files_before);
    return error;
}

static void must_refuse(mr_result *result, int code, const char *word)
{
    struct mr_error error = must_fail_in(out, result, 3, STOOK_IO);
    cr_assert_eq(error.code, code);
    cr_assert(tells(&error, word));
    cr_assert(tells(&error, strerror(code)));
}

/* --- what is written -------------------------------------------------------------------------- */

static void must_be_parts(size_t pairs, uint32_t parts)
{
    size_t from = 0;
    size_t names = 0;
    for (uint32_t i = 0; i < parts; i++) {
        char name[32];
        snprintf(name, sizeof name, "part-%05u", (unsigned)i);
        struct text text = file_text(name);
        size_t lines = 0;
        for (size_t at = 0; at < text.size; at++) {
            lines += text.bytes[at] == '\n';
        }
        cr_assert(lines == pairs / parts || lines == pairs / parts + 1);
        struct text expected = numbered_text(from, from + lines);
        cr_assert(text_is(text, expected));
        from += lines;
        free(text.bytes);
        free(expected.bytes);
        names += strlen(name) + 1;
    }
    cr_assert_eq(from, pairs);
    cr_assert(file_is("_SUCCESS", ""));
    cr_assert_eq(strlen(names_in(out)), names + strlen("_SUCCESS "));
}

Test(mr_parts, consecutive_pairs_in_about_equal_parts, .timeout = 60)
{
    static const size_t counts[] = {0, 1, 5, 1000, 20000};
    static const uint32_t parts[] = {1, 2, 3, 7, 40};
    make_base();
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        mr_result *result = numbered_result(counts[i]);
        for (size_t j = 0; j < COUNT_OF(parts); j++) {
            struct mr_pair pair;
            for (size_t k = 0; k < j && mr_result_next(result, &pair); k++) {
            } /* all are written, wherever the result stands */
            must_write(result, parts[j]);
            must_be_parts(counts[i], parts[j]);
            cr_assert_not(mr_result_next(result, &pair));
            remove_directory(out);
            mr_result_rewind(result);
        }
        mr_result_destroy(result);
    }
    remove_base();
}

Test(mr_parts, steps_are_in_an_order_that_survives_a_crash, .timeout = 60)
{
    mr_result *result = numbered_result(10);
    make_base();
    must_write(result, 2); /* the new directory's parent is synchronised too */
    cr_assert_str_eq(files.log, "cwsrcwsrSScsSS");
    remove_directory(out);
    MUST(mkdir(out, 0700) == 0);
    memset(files.log, 0, sizeof files.log);
    files.logged = 0;
    files.interrupted = 2;
    must_write(result, 2);
    cr_assert_str_eq(files.log, "cwsrcwsrScsS");
    mr_result_destroy(result);
    remove_base();
}

static mode_t mode_of(const char *path)
{
    struct stat found;
    MUST(stat(path, &found) == 0);
    return found.st_mode & 07777;
}

Test(mr_parts, modes_are_those_of_the_umask, .timeout = 60)
{
    mr_result *result = numbered_result(10);
    make_base();
    umask(027);
    must_write(result, 1);
    cr_assert_eq(mode_of(out), 0750);
    cr_assert_eq(mode_of(path_in(out, "part-00000")), 0640);
    cr_assert_eq(mode_of(path_in(out, "_SUCCESS")), 0640);
    mr_result_destroy(result);
    remove_base();
}

/* --- what is there already -------------------------------------------------------------------- */

Test(mr_parts, other_files_stay, .timeout = 60)
{
    mr_result *result = numbered_result(10);
    make_base();
    MUST(mkdir(out, 0700) == 0);
    make_file("part-time", "job");
    must_write(result, 1);
    cr_assert_str_eq(names_in(out), "_SUCCESS part-00000 part-time ");
    cr_assert(file_is("part-time", "job"));
    mr_result_destroy(result);
    remove_base();
}

Test(mr_parts, old_results_are_not_touched, .timeout = 60)
{
    static const char *const names[] = {"_SUCCESS", "part-00000", "part-00002", "part-00003",
                                        ".part-00001.tmp"};
    mr_result *result = numbered_result(10);
    make_base();
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char left[64];
        MUST(mkdir(out, 0700) == 0);
        make_file(names[i], "old");
        snprintf(left, sizeof left, "%s ", names[i]);
        must_refuse(result, EEXIST, names[i]);
        cr_assert_str_eq(names_in(out), left);
        cr_assert(file_is(names[i], "old"));
        remove_directory(out);
    }
    MUST(mkdir(out, 0700) == 0 && symlink("nowhere", path_in(out, "part-00001")) == 0);
    must_refuse(result, EEXIST, "part-00001");
    mr_result_destroy(result);
    remove_base();
}

static const char *meanwhile_name;

static void make_meanwhile(void)
{
    files.after_sync = NULL;
    make_file(meanwhile_name, "theirs");
}

Test(mr_parts, files_that_appear_meanwhile_are_not_touched, .timeout = 60)
{
    static const char *const names[] = {"part-00000", "part-00001", ".part-00002.tmp", "_SUCCESS"};
    mr_result *result = numbered_result(10);
    make_base();
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char left[64];
        meanwhile_name = names[i];
        files.after_sync = make_meanwhile;
        snprintf(left, sizeof left, "%s ", names[i]);
        must_refuse(result, EEXIST, names[i]);
        cr_assert_str_eq(names_in(out), left);
        cr_assert(file_is(names[i], "theirs"));
        remove_directory(out);
    }
    mr_result_destroy(result);
    remove_base();
}

/* --- what cannot be done ---------------------------------------------------------------------- */

Test(mr_parts, arguments_are_refused, .timeout = 60)
{
    mr_result *result = numbered_result(10);
    make_base();
    struct mr_error error = must_fail_in(out, result, 0, STOOK_INVALID);
    cr_assert(tells(&error, "parts"));
    error = must_fail_in(NULL, result, 1, STOOK_INVALID);
    cr_assert(tells(&error, "directory"));
    error = must_fail_in(out, NULL, 1, STOOK_INVALID);
    cr_assert(tells(&error, "result"));
    cr_assert_eq(mr_result_write_parts(result, out, 0, MR_FORMAT_U64, NULL), STOOK_INVALID);
    cr_assert_eq(mr_result_write_parts(result, out, 1, (enum mr_format)7, NULL), STOOK_INVALID);
    cr_assert_str_eq(names_in(out), "none");
    mr_result_destroy(result);
    remove_base();
}

Test(mr_parts, nothing_is_left_of_bad_values, .timeout = 60)
{
    const struct mr_pair pairs[] = {{{"a", 1}, {"8 bytes.", 8}}, {{"b", 1}, {"bad", 3}}};
    mr_result *result = result_of(pairs, 2);
    make_base();
    struct mr_error error = must_fail_in(out, result, 2, STOOK_INVALID);
    cr_assert(tells(&error, "'b'"));
    cr_assert_str_eq(names_in(out), "none");
    mr_result_destroy(result);
    remove_base();
}

Test(mr_parts, nothing_is_left_when_memory_or_reading_fails, .timeout = 60)
{
    mr_result *result = numbered_result(10);
    make_base();
    fail_call(0);
    must_fail_in(out, result, 3, STOOK_NOMEM);
    fail_none();
    cr_assert_str_eq(names_in(out), "none");
    for (uint64_t pairs = 0; pairs <= 10; pairs++) {
        struct mr_error error;
        pairs_until_unreadable = pairs;
        is_unreadable = false;
        cr_assert_eq(mr_result_write_parts(result, out, 3, MR_FORMAT_U64, &error), STOOK_IO);
        cr_assert_str_eq(error.message, "unreadable");
        cr_assert_str_eq(names_in(out), "none");
    }
    mr_result_destroy(result);
    remove_base();
}

/* Lets every call of the file system fail in turn. */
static void fail_in_turn(mr_result *result, bool is_made)
{
    const int files_before = open_files();
    const long blocks_before = atomic_load(&blocks);
    long failures = 0;
    bool is_last = false;
    files.code = EIO;
    for (long number = 0; !is_last; number++) {
        struct mr_error error = {.status = STOOK_OK};
        if (!is_made) {
            MUST(mkdir(out, 0700) == 0);
            make_file("stranger", "theirs");
        }
        atomic_store(&files.left, number);
        enum stook_status status = mr_result_write_parts(result, out, 3, MR_FORMAT_U64, &error);
        is_last = atomic_load(&files.left) >= 0;
        atomic_store(&files.left, -1);
        if (status == STOOK_OK) { /* what failed is not needed, such as to close a directory */
            cr_assert_str_eq(names_in(out),
                             is_made ? "_SUCCESS part-00000 part-00001 part-00002 "
                                     : "_SUCCESS part-00000 part-00001 part-00002 stranger ");
        } else {
            failures++;
            cr_assert_not(is_last);
            cr_assert_eq(status, STOOK_IO);
            cr_assert_eq(error.code, EIO);
            cr_assert(tells(&error, "out"));
            cr_assert_str_eq(names_in(out), is_made ? "none" : "stranger ");
        }
        cr_assert_eq(open_files(), files_before);
        cr_assert_eq(atomic_load(&blocks), blocks_before);
        remove_directory(out);
    }
    cr_assert_gt(failures, 20);
}

Test(mr_parts, nothing_is_left_whichever_call_fails, .timeout = 60)
{
    mr_result *result = numbered_result(10);
    make_base();
    fail_in_turn(result, true);
    fail_in_turn(result, false);
    mr_result_destroy(result);
    remove_base();
}

Test(mr_parts, nothing_is_left_of_files_that_are_too_large, .timeout = 60)
{
    mr_result *result = numbered_result(30000); /* three parts of about 140 KB */
    struct rlimit limit;
    make_base();
    MUST(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && getrlimit(RLIMIT_FSIZE, &limit) == 0);
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 139000;
    MUST(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    must_refuse(result, EFBIG, "out/.part-0000");
    limit.rlim_cur = before;
    MUST(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    cr_assert_str_eq(names_in(out), "none");
    mr_result_destroy(result);
    remove_base();
}

Test(mr_parts, directories_that_cannot_be_used_are_named, .timeout = 60)
{
    mr_result *result = numbered_result(10);
    char path[400];
    make_base();
    const char *missing = path_in(base, "missing/out");
    struct mr_error error = must_fail_in(missing, result, 1, STOOK_IO);
    cr_assert(error.code == ENOENT && tells(&error, missing) && tells(&error, strerror(ENOENT)));
    error = must_fail_in("", result, 1, STOOK_IO);
    cr_assert_eq(error.code, ENOENT);
    MUST(mkdir(out, 0700) == 0);
    make_file("file", "");
    const char *file = path_in(out, "file");
    error = must_fail_in(file, result, 1, STOOK_IO);
    cr_assert(error.code == ENOTDIR && tells(&error, file));
    memset(path, 'x', sizeof path - 1);
    memcpy(path + sizeof path - 10, "/the/end", 9);
    error = must_fail_in(path, result, 1, STOOK_IO);
    cr_assert(tells(&error, "/the/end'") && tells(&error, strerror(error.code)));
    mr_result_destroy(result);
    remove_base();
}

/* The directory's path is long, and the file in it is what matters. */
Test(mr_parts, files_in_long_paths_are_named, .timeout = 60)
{
    mr_result *result = numbered_result(10);
    char path[200];
    make_base();
    snprintf(path, sizeof path, "%s/%0150d", base, 7);
    cr_assert_eq(mr_result_write_parts(result, path, 1, MR_FORMAT_U64, NULL), STOOK_OK);
    struct mr_error error = must_fail_in(path, result, 1, STOOK_IO);
    cr_assert(tells(&error, "'..."));
    cr_assert(tells(&error, strstr(error.message, "_SUCCESS") ? "7/_SUCCESS'" : "7/part-00000'"));
    cr_assert(tells(&error, strerror(EEXIST)));
    remove_directory(path);
    mr_result_destroy(result);
    remove_base();
}

Test(mr_parts, directories_without_permission_are_named, .timeout = 60)
{
    const uid_t user = geteuid();
    if (user == 0 && seteuid(65534) != 0) {
        return; /* for root there is no such thing */
    }
    mr_result *result = numbered_result(10);
    make_base();
    MUST(mkdir(out, 0500) == 0);
    must_refuse(result, EACCES, "out/.part-00000.tmp");
    MUST(rmdir(out) == 0 && chmod(base, 0500) == 0);
    must_refuse(result, EACCES, out);
    MUST(chmod(base, 0700) == 0);
    mr_result_destroy(result);
    remove_base();
    MUST(seteuid(user) == 0);
}
