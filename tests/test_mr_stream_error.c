/* SPDX-License-Identifier: MIT
 *
 * Inputs that are not what they should be: compressed data that is corrupt or ends too early,
 * descriptors and directories that cannot be read, files that change between the plan and the
 * reading, rests of records, and splitters that misbehave. Each fails the job, and says what and
 * where.
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include "mr_records.h"

#include <errno.h>

enum { ANY_ITEM = -1 };

/* --- jobs that must fail ---------------------------------------------------------------------- */

static void expect_error(const struct mr_error *error, enum stook_status status, size_t source,
                         int64_t item, const char *words)
{
    cr_assert_eq(error->status, status);
    cr_assert_eq(error->phase, MR_PHASE_INPUT, "%s", error->message);
    cr_assert_eq(error->source, source, "%s", error->message);
    cr_assert(item == ANY_ITEM || error->item == (uint64_t)item, "%s: not at %lld", error->message,
              (long long)item);
    cr_assert_not_null(strstr(error->message, words), "%s: not %s", error->message, words);
}

/* With an executor, or NULL. */
static void check_failure(stook_executor *executor, const struct mr_job *job,
                          enum stook_status status, size_t source, int64_t item, const char *words)
{
    mr_result *result = UNTOUCHED(mr_result);
    struct mr_error error;
    memset(&error, 0xff, sizeof error);
    cr_assert_eq(executor != NULL ? mr_map_reduce(executor, job, &result, &error)
                                  : mr_map_reduce_sequential(job, &result, &error),
                 status);
    cr_assert_eq(result, UNTOUCHED(mr_result));
    expect_error(&error, status, source, item, words);
}

/* Behind a good source, the bytes in all ways, whole and small. */
static void check_bytes(stook_executor *executor, struct mr_input input, struct mr_slice bytes,
                        enum stook_status status, int64_t item, const char *words)
{
    for (unsigned way = 0; way < WAYS; way++) {
        for (unsigned how = 0; how < 4; how++) {
            struct made made;
            make_source(&made, (enum way)way, code_text(PLAIN_TEXT, bytes, 1));
            const struct mr_source sources[] = {{.text = mr_slice_of("\3abc", 4)}, made.source};
            struct mr_job job = place_job(sources, 2);
            job.input = input;
            job.input.sources = sources;
            job.input.source_count = 2;
            job.input.map_files = way == MAPPED;
            job.input.chunk = how % 2 ? 3 : MR_CHUNK_AUTO;
            check_failure(how < 2 ? executor : NULL, &job, status, 1, item, words);
            end_source(&made);
        }
    }
    cr_assert(still_works(executor));
}

static struct mr_input input_of(enum mr_records records)
{
    static const struct mr_source none = {.path = NULL};
    struct mr_input input = mr_input_text(&none, 1);
    input.records = records;
    return input;
}

/* --- compressed data -------------------------------------------------------------------------- */

/* Ends with its own check, which zstd has only if asked for. */
static struct mr_slice code_checked(enum coding coding, struct mr_slice text)
{
    if (coding == GZIP) {
        return code_text(GZIP, text, 1);
    }
    unsigned char *bytes = must_alloc(text.size + 1000);
    size_t size = 0;
#if MR_HAVE_ZSTD
    ZSTD_CCtx *context = ZSTD_createCCtx();
    MUST(context != NULL);
    MUST(!ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)));
    size = ZSTD_compress2(context, bytes, text.size + 1000, text.data, text.size);
    MUST(!ZSTD_isError(size));
    ZSTD_freeCCtx(context);
#endif
    return mr_slice_of(bytes, size);
}

static const char short_text[] = "one\ntwo\r\nthree\nthree three three three three\nfour";

/* One record, of whatever it becomes. */
static enum stook_status run_bytes(stook_executor *executor, struct mr_slice bytes,
                                   mr_result **ret_result, struct mr_error *error)
{
    const struct mr_source source = {.text = bytes};
    struct mr_job job = place_job(&source, 1);
    job.input.chunk = 10;
    return executor != NULL ? mr_map_reduce(executor, &job, ret_result, error)
                            : mr_map_reduce_sequential(&job, ret_result, error);
}

Test(mr_stream_error, truncated_wherever_it_is, .timeout = 120)
{
    const struct mr_slice text = mr_slice_str(short_text);
    stook_executor *executor = must_create(2);
    for (enum coding coding = GZIP; coding <= ZSTD; coding++) {
        if (!can_code(coding)) {
            continue;
        }
        const struct mr_slice coded = code_checked(coding, text);
        const char *words =
            coding == GZIP ? "truncated gzip data in text 0" : "truncated zstd data in text 0";
        for (size_t size = coding == GZIP ? 3 : 4; size < coded.size; size++) {
            const struct mr_slice cut = mr_slice_of(coded.data, size);
            for (int sequential = 0; sequential < 2; sequential++) {
                mr_result *result = UNTOUCHED(mr_result);
                struct mr_error error;
                cr_assert_eq(run_bytes(sequential ? NULL : executor, cut, &result, &error),
                             STOOK_IO, "%zu of %zu bytes", size, coded.size);
                expect_error(&error, STOOK_IO, 0, (int64_t)size, words);
                cr_assert_eq(result, UNTOUCHED(mr_result));
            }
        }
        /* what is too short to be told from a text is one */
        const struct mr_slice few = mr_slice_of(coded.data, coding == GZIP ? 2 : 3);
        mr_result *result = NULL;
        cr_assert_eq(run_bytes(executor, few, &result, NULL), STOOK_OK);
        cr_assert_eq(mr_result_count(result), 1);
        mr_result_destroy(result);
        free_slice(coded);
    }
    stook_executor_destroy(executor);
}

/* In all ways, and behind a member that is whole. */
Test(mr_stream_error, truncated_in_all_ways, .timeout = 120)
{
    const struct mr_slice text = mr_slice_str(short_text);
    stook_executor *executor = must_create(2);
    for (enum coding coding = GZIP; coding <= ZSTD; coding++) {
        if (can_code(coding)) {
            const struct mr_slice coded = code_text(coding, text, 2);
            const struct mr_slice cut = mr_slice_of(coded.data, coded.size - 1);
            check_bytes(executor, input_of(MR_RECORDS_DELIMITED), cut, STOOK_IO, (int64_t)cut.size,
                        "truncated");
            check_bytes(executor, input_of(MR_RECORDS_WHOLE), cut, STOOK_IO, (int64_t)cut.size,
                        "truncated");
            free_slice(coded);
        }
    }
    stook_executor_destroy(executor);
}

/* Each bit of the data: an error, or nothing has changed, or it is no compressed data any more. */
Test(mr_stream_error, corrupt_data_never_gives_other_records, .timeout = 120)
{
    const struct mr_slice text = mr_slice_str(short_text);
    const struct mr_input input = input_of(MR_RECORDS_DELIMITED);
    stook_executor *executor = must_create(2);
    for (enum coding coding = GZIP; coding <= ZSTD; coding++) {
        if (!can_code(coding)) {
            continue;
        }
        const struct mr_slice coded = code_checked(coding, text);
        unsigned char *bytes = must_alloc(coded.size);
        const size_t magic = coding == GZIP ? 3 : 4;
        unsigned corrupt = 0;
        for (size_t bit = 0; bit < 8 * coded.size; bit++) {
            mr_result *result = NULL;
            struct mr_error error;
            memcpy(bytes, coded.data, coded.size);
            bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
            const struct mr_slice changed = mr_slice_of(bytes, coded.size);
            enum stook_status status =
                run_bytes(bit % 2 ? executor : NULL, changed, &result, &error);
            if (bit / 8 < magic) {
                cr_assert_eq(status, STOOK_OK);
                cr_assert(are_records(result, &changed, &input));
            } else if (status == STOOK_OK) {
                cr_assert(are_records(result, &text, &input), "bit %zu", bit);
            } else {
                expect_error(&error, STOOK_IO, 0, ANY_ITEM, "data in text 0 at offset ");
                corrupt += strstr(error.message, "corrupt") != NULL;
            }
            mr_result_destroy(result);
        }
        cr_assert_gt(corrupt, coded.size); /* of 8 bits in each */
        free(bytes);
        free_slice(coded);
    }
    stook_executor_destroy(executor);
}

Test(mr_stream_error, garbage_behind_compressed_data_is_told, .timeout = 120)
{
    static const struct {
        const char *bytes;
        size_t size;
        size_t zeros; /* that are allowed at its begin */
    } garbage[] = {{"x", 1, 0},           {"\n", 1, 0},         {"a line\n", 7, 0},
                   {"\0\0\0x", 4, 3},     {"\0\0\0\0\1", 5, 4}, {"\x1f\x8b", 2, 0},
                   {"\x28\xb5\x2f", 3, 0}};
    stook_executor *executor = must_create(2);
    for (enum coding coding = GZIP; coding <= ZSTD; coding++) {
        for (size_t i = 0; can_code(coding) && i < COUNT_OF(garbage); i++) {
            const struct mr_slice coded = code_text(coding, mr_slice_str("one\ntwo\n"), 2);
            char *bytes = must_alloc(coded.size + garbage[i].size);
            memcpy(bytes, coded.data, coded.size);
            memcpy(bytes + coded.size, garbage[i].bytes, garbage[i].size);
            check_bytes(executor, input_of(MR_RECORDS_DELIMITED),
                        mr_slice_of(bytes, coded.size + garbage[i].size), STOOK_IO,
                        (int64_t)(coded.size + garbage[i].zeros), "what follows is not compressed");
            free(bytes);
            free_slice(coded);
        }
    }
    stook_executor_destroy(executor);
}

/* --- descriptors and directories -------------------------------------------------------------- */

static void check_source(struct mr_source source, enum stook_status status, int code,
                         const char *words)
{
    const struct mr_source sources[] = {{.text = mr_slice_str("good\n")}, source};
    stook_executor *executor = must_create(2);
    for (unsigned how = 0; how < 4; how++) {
        struct mr_job job = place_job(sources, 2);
        mr_result *result = UNTOUCHED(mr_result);
        struct mr_error error;
        job.input.records = how % 2 ? MR_RECORDS_WHOLE : MR_RECORDS_DELIMITED;
        cr_assert_eq(how < 2 ? mr_map_reduce(executor, &job, &result, &error)
                             : mr_map_reduce_sequential(&job, &result, &error),
                     status);
        cr_assert_eq(error.code, code);
        cr_assert_not_null(strstr(error.message, words), "%s", error.message);
        cr_assert_eq(result, UNTOUCHED(mr_result));
        if (status == STOOK_IO) {
            expect_error(&error, STOOK_IO, 1, 0, words);
        }
    }
    cr_assert(still_works(executor));
    stook_executor_destroy(executor);
}

Test(mr_stream_error, descriptors_that_cannot_be_read, .timeout = 60)
{
    char *path = make_file(mr_slice_str("one\n"));
    struct mr_source source = {.descriptor = -1};
    check_source(source, STOOK_INVALID, 0, "sources[1].descriptor is negative");
    source.descriptor = 1000;
    check_source(source, STOOK_IO, EBADF, "cannot open descriptor 1000: Bad file descriptor");
    source.descriptor = open(path, O_WRONLY | O_CLOEXEC);
    check_source(source, STOOK_IO, EBADF, "cannot read descriptor ");
    MUST(close(source.descriptor) == 0);
    remove_file(path);
    source.descriptor = open("/", O_RDONLY | O_CLOEXEC);
    check_source(source, STOOK_IO, EISDIR, "Is a directory");
    MUST(close(source.descriptor) == 0);
    source = (struct mr_source){.text = mr_slice_of(NULL, 3)};
    check_source(source, STOOK_INVALID, 0, "sources[1].text has a size, but its data is NULL");
}

Test(mr_stream_error, directories_and_other_paths_that_cannot_be_read, .timeout = 60)
{
    check_source((struct mr_source){.path = "/"}, STOOK_IO, EISDIR,
                 "cannot read '/': Is a directory");
    check_source((struct mr_source){.path = ""}, STOOK_IO, ENOENT, "cannot open ''");
    check_source((struct mr_source){.path = "/dev/null/x"}, STOOK_IO, ENOTDIR,
                 "cannot open '/dev/null/x': Not a directory");
    check_source((struct mr_source){.path = "/proc/self/mem"}, STOOK_IO, EIO, "/proc/self/mem");
}

/* --- files that change between the plan and the reading --------------------------------------- */

struct held {
    stook_executor *executor;
    struct gate gate;
    stook_future *holder;
    mr_run *run;
};

/* The plan is made, and nobody can read. */
static void submit_held(struct held *held, const struct mr_job *job)
{
    memset(held, 0, sizeof *held);
    held->executor = must_create(1);
    held->holder = must_submit(held->executor, gate_task, &held->gate);
    gate_await(&held->gate, 1);
    MUST(mr_submit(held->executor, job, &held->run, NULL) == STOOK_OK);
}

static enum stook_status let_go(struct held *held, struct mr_error *ret_error)
{
    gate_open(&held->gate);
    enum stook_status status = mr_run_wait(held->run, STOOK_FOREVER, ret_error);
    stook_future_release(held->holder);
    return status;
}

static void end_held(struct held *held)
{
    mr_run_release(held->run);
    cr_assert(still_works(held->executor));
    stook_executor_destroy(held->executor);
}

enum change { VANISH, EMPTY, SHRINK, BECOME_FIFO, BECOME_DIRECTORY, GROW, CHANGES };

static void change_file(const char *path, size_t size, enum change change)
{
    if (change == EMPTY || change == SHRINK) {
        MUST(truncate(path, change == EMPTY ? 0 : (off_t)size - 1) == 0);
    } else if (change == GROW) {
        FILE *file = fopen(path, "ab");
        MUST(file != NULL && fputs("more\nmore", file) >= 0 && fclose(file) == 0);
    } else {
        MUST(remove(path) == 0);
    }
    if (change == BECOME_FIFO) {
        MUST(mkfifo(path, 0600) == 0);
    } else if (change == BECOME_DIRECTORY) {
        MUST(mkdir(path, 0700) == 0);
    }
}

/* How a file can be read: whole, mapped, or both; or decompressed. */
static void check_change(enum change change, enum mr_records records, bool map_files,
                         enum coding coding, const char *words)
{
    const struct mr_slice text = mr_slice_of("\3abc\0\0\1\n\11abcdefgh\n", 18);
    const struct mr_slice coded = code_text(coding, text, 1);
    char *path = make_file(coded);
    const struct mr_source sources[] = {{.text = mr_slice_of("\1x", 2)}, {.path = path}};
    struct mr_job job = place_job(sources, 2);
    struct mr_error error;
    struct held held;
    job.input.records = records;
    job.input.record_size = 2;
    job.input.splitter = counted_splitter;
    job.input.map_files = map_files;
    job.input.chunk = 5;
    submit_held(&held, &job);
    change_file(path, coded.size, change);
    enum stook_status status = let_go(&held, &error);
    if (words == NULL) {
        const struct mr_slice texts[] = {sources[0].text, text};
        cr_assert_eq(status, STOOK_OK, "%s", error.message);
        mr_result *result = mr_run_take_result(held.run);
        cr_assert(are_records(result, texts, &job.input));
        mr_result_destroy(result);
    } else {
        cr_assert_eq(status, STOOK_IO);
        expect_error(&error, STOOK_IO, 1, ANY_ITEM, words);
        cr_assert_not_null(strstr(error.message, path));
        cr_assert_eq(mr_run_state(held.run), MR_RUN_FAILED);
    }
    end_held(&held);
    if (change != VANISH) {
        MUST(remove(path) == 0);
    }
    free(path);
    free_slice(coded);
}

Test(mr_stream_error, B94_files_that_change_before_they_are_read, .timeout = 120)
{
    static const enum mr_records records[] = {MR_RECORDS_DELIMITED, MR_RECORDS_FIXED,
                                              MR_RECORDS_WHOLE, MR_RECORDS_SPLITTER};
    static const char *const plain[CHANGES] = {[VANISH] = "cannot open",
                                               [EMPTY] = "it shrank while it was read:",
                                               [SHRINK] = "it shrank while it was read:",
                                               [BECOME_FIFO] = "no regular file any more:",
                                               [BECOME_DIRECTORY] = "no regular file any more:"};
    for (unsigned change = 0; change < CHANGES; change++) {
        for (size_t i = 0; i < COUNT_OF(records); i++) {
            check_change((enum change)change, records[i], false, PLAIN_TEXT, plain[change]);
            check_change((enum change)change, records[i], true, PLAIN_TEXT, plain[change]);
        }
    }
}

Test(mr_stream_error, compressed_files_that_change_before_they_are_read, .timeout = 120)
{
    for (enum coding coding = GZIP; coding <= ZSTD; coding++) {
        if (can_code(coding)) {
            check_change(VANISH, MR_RECORDS_DELIMITED, false, coding, "cannot open");
            check_change(SHRINK, MR_RECORDS_DELIMITED, false, coding, "truncated");
            check_change(BECOME_FIFO, MR_RECORDS_DELIMITED, true, coding,
                         "no regular file any more:");
            check_change(BECOME_DIRECTORY, MR_RECORDS_WHOLE, false, coding,
                         "no regular file any more:");
            check_change(GROW, MR_RECORDS_SPLITTER, false, coding,
                         "what follows is not compressed");
        }
    }
}

/* --- rests and splitters ---------------------------------------------------------------------- */

Test(mr_stream_error, B94_a_rest_of_fixed_records_is_an_error, .timeout = 120)
{
    stook_executor *executor = must_create(2);
    struct mr_input input = input_of(MR_RECORDS_FIXED);
    for (size_t size = 1; size < 14; size++) {
        input.record_size = 4;
        if (size % 4 != 0) {
            check_bytes(executor, input, mr_slice_of("\0bcdabc\nabcdabcd", size), STOOK_IO,
                        (int64_t)(size - size % 4), "less than a record at the end of");
        }
    }
    for (enum coding coding = GZIP; coding <= ZSTD; coding++) {
        if (can_code(coding)) {
            const struct mr_slice coded = code_text(coding, mr_slice_str("abcdabcda"), 3);
            check_bytes(executor, input, coded, STOOK_IO, 8, "less than a record at the end of");
            free_slice(coded);
        }
    }
    stook_executor_destroy(executor);
}

static size_t no_splitter(struct mr_slice bytes, bool is_last, void *user)
{
    (void)bytes;
    (void)is_last;
    (void)user;
    return 0;
}

/* Right for the first record, "abc" behind its size. */
static size_t greedy_splitter(struct mr_slice bytes, bool is_last, void *user)
{
    (void)is_last;
    (void)user;
    return *(const unsigned char *)bytes.data == 3 && bytes.size >= 4 ? 4 : bytes.size + 1;
}

static size_t huge_splitter(struct mr_slice bytes, bool is_last, void *user)
{
    (void)is_last;
    (void)user;
    return *(const unsigned char *)bytes.data == 3 && bytes.size >= 4 ? 4 : SIZE_MAX;
}

static void check_splitter(mr_splitter_fn *splitter, enum stook_status status, size_t source,
                           int64_t item, const char *words)
{
    const struct mr_slice bytes = mr_slice_of("\3abc\x14xx\nxxxxx", 13);
    stook_executor *executor = must_create(2);
    for (unsigned way = 0; way < WAYS; way++) {
        for (unsigned how = 0; how < 8; how++) {
            struct made made;
            make_source(&made, (enum way)way,
                        code_text(how % 2 && can_code(GZIP) ? GZIP : PLAIN_TEXT, bytes, 1));
            struct mr_job job = place_job(&made.source, 1);
            job.input.records = MR_RECORDS_SPLITTER;
            job.input.splitter = splitter;
            job.input.map_files = way == MAPPED;
            job.input.chunk = how / 2 % 2 ? 5 : MR_CHUNK_AUTO; /* so that the first is at hand */
            check_failure(how < 4 ? executor : NULL, &job, status, source, item, words);
            end_source(&made);
        }
    }
    cr_assert(still_works(executor));
    stook_executor_destroy(executor);
}

Test(mr_stream_error, B94_splitters_that_misbehave, .timeout = 120)
{
    check_splitter(no_splitter, STOOK_IO, 0, 0, "splitter found no end of a record of");
    check_splitter(counted_splitter, STOOK_IO, 0, 4, "splitter found no end of a record of");
    check_splitter(greedy_splitter, STOOK_INVALID, 0, ANY_ITEM,
                   "splitter gave more bytes than there are for");
    check_splitter(huge_splitter, STOOK_INVALID, 0, ANY_ITEM,
                   "splitter gave more bytes than there are for");
}
