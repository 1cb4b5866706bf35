/* SPDX-License-Identifier: MIT
 *
 * Texts as input: each record reaches the mapper exactly once, whole and with its place, however
 * the text is split, and whether it is a file or memory. Files that cannot be read.
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include "mr_records.h"

#include <errno.h>

/* --- all ways to split some texts ------------------------------------------------------------- */

static void check_chunk(stook_executor *executor, struct mr_job *job, const struct mr_slice *texts,
                        size_t chunk)
{
    job->input.chunk = chunk;
    job->input.whole_splits = false;
    mr_result *result = must_run(executor, job);
    cr_assert(are_records(result, texts, &job->input), "chunk %zu", chunk);
    mr_result_destroy(result);
    job->input.whole_splits = true;
    result = must_run(executor, job);
    cr_assert(are_splits(result, texts, &job->input), "chunk %zu", chunk);
    mr_result_destroy(result);
}

static void check_chunks(const struct mr_source *sources, const struct mr_slice *texts,
                         size_t count, const char *delimiters)
{
    struct mr_job job = place_job(sources, count);
    size_t longest = 0;
    job.input.delimiters = delimiters;
    for (size_t i = 0; i < count; i++) {
        longest = texts[i].size > longest ? texts[i].size : longest;
    }
    for (unsigned workers = 1; workers <= 3; workers += 2) {
        stook_executor *executor = must_create(workers);
        for (size_t chunk = 1; chunk <= longest + 2; chunk++) {
            check_chunk(executor, &job, texts, chunk);
        }
        check_chunk(executor, &job, texts, SIZE_MAX - 1);
        check_chunk(executor, &job, texts, MR_CHUNK_AUTO);
        stook_executor_destroy(executor);
    }
    job.input.whole_splits = false;
    mr_result *result = must_run(NULL, &job);
    cr_assert(are_records(result, texts, &job.input));
    mr_result_destroy(result);
}

#define MAX_TEXTS 8

/* In memory, as files, and every other one as a file. */
static void check_texts(const struct mr_slice *texts, size_t count, const char *delimiters)
{
    struct mr_source memory[MAX_TEXTS];
    struct mr_source files[MAX_TEXTS];
    struct mr_source both[MAX_TEXTS];
    char *paths[MAX_TEXTS];
    cr_assert_leq(count, MAX_TEXTS);
    for (size_t i = 0; i < count; i++) {
        paths[i] = make_file(texts[i]);
        memory[i] = (struct mr_source){.text = texts[i]};
        files[i] = (struct mr_source){.path = paths[i]};
        both[i] = i % 2 == 0 ? memory[i] : files[i];
    }
    check_chunks(memory, texts, count, delimiters);
    check_chunks(files, texts, count, delimiters);
    check_chunks(both, texts, count, delimiters);
    for (size_t i = 0; i < count; i++) {
        remove_file(paths[i]);
    }
}

static void check_text(struct mr_slice text, const char *delimiters)
{
    check_texts(&text, 1, delimiters);
}

/* --- B94 -------------------------------------------------------------------------------------- */

Test(mr_input, B94_lines, .timeout = 120)
{
    check_text(mr_slice_str("one\ntwo\nthree\nfour is longer\n5\n"), "\n");
}

Test(mr_input, B94_no_final_newline, .timeout = 120)
{
    check_text(mr_slice_str("one\ntwo\nthree"), "\n");
    check_text(mr_slice_str("x"), "\n");
}

Test(mr_input, B94_carriage_returns_are_data, .timeout = 120)
{
    check_text(mr_slice_str("one\r\n\r\ntwo\r\n\rthree\r"), "\n");
}

Test(mr_input, B94_empty_text, .timeout = 120)
{
    check_text(mr_slice_of("", 0), "\n");
}

Test(mr_input, B94_delimiters_only, .timeout = 120)
{
    check_text(mr_slice_str("\n"), "\n");
    check_text(mr_slice_str("\n\n\n\n\n\n\n"), "\n");
    check_text(mr_slice_str(" \n  \n\n "), " \n");
}

Test(mr_input, B94_empty_records_between_others, .timeout = 120)
{
    check_text(mr_slice_str("\n\na\n\n\nb\n\n"), "\n");
}

Test(mr_input, B94_record_longer_than_the_chunk, .timeout = 120)
{
    check_text(mr_slice_str("a\nthis one is longer than most chunks will be\nb\n"), "\n");
    check_text(mr_slice_str("there is no delimiter in the whole text"), "\n");
}

Test(mr_input, B94_several_delimiters, .timeout = 120)
{
    check_text(mr_slice_str("words and\twhite  space,\r\nalso at the end\n "), " \t\r\n");
    check_text(mr_slice_str("a\xffz\x80y\x7f.\xff"), "\xff\x80");
}

Test(mr_input, B94_nul_and_other_bytes_are_data, .timeout = 120)
{
    static const char bytes[] = "\0a\0\nb\0\0\n\0\n\xc3\xa4\xe2\x82\xac\n\x80\xff\v\f\0";
    check_text(mr_slice_of(bytes, sizeof bytes - 1), "\n");
}

Test(mr_input, B94_record_never_spans_two_sources, .timeout = 240)
{
    const struct mr_slice texts[] = {mr_slice_str("one\ntw"), mr_slice_str("o\nthree"),
                                     mr_slice_of("", 0),      mr_slice_str("\n"),
                                     mr_slice_str("four"),    mr_slice_str("\nfive\n")};
    check_texts(texts, COUNT_OF(texts), "\n");
}

Test(mr_input, B94_one_record_in_each_split, .timeout = 60)
{
    const struct mr_source source = {.text = mr_slice_str("a\nb\nc\nd\n")};
    stook_executor *executor = must_create(2);
    struct mr_job job = place_job(&source, 1);
    job.input.chunk = 1;
    job.input.whole_splits = true;
    mr_result *result = must_run(executor, &job);
    cr_assert_gt(mr_result_count(result), 1); /* so that whole splits above were not one each */
    mr_result_destroy(result);
    stook_executor_destroy(executor);
}

/* Lines of about 60 bytes, some of them of 100 KB, many empty. */
static char *make_lines(size_t size)
{
    uint64_t random = test_seed();
    char *bytes = must_alloc(size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)random_next(&random);
        if (bytes[i] == '\n' || random_below(&random, 60) == 0) {
            bytes[i] = '\n';
            if (random_below(&random, 1500) == 0) {
                const size_t end = size - i > 100000 ? i + 100000 : size;
                memset(bytes + i, 'x', end - i);
                i = end - 1;
            }
        }
    }
    return bytes;
}

Test(mr_input, B94_big_text_in_chunks_of_many_sizes, .timeout = 240)
{
    static const size_t chunks[] = {1000, 4096, 65537, (size_t)1 << 20, MR_CHUNK_AUTO};
    const size_t size = 2500000;
    char *bytes = make_lines(size);
    const struct mr_slice text = mr_slice_of(bytes, size);
    char *path = make_file(text);
    const struct mr_source sources[] = {{.path = path}, {.text = text}};
    stook_executor *executor = must_create(4);
    for (size_t s = 0; s < COUNT_OF(sources); s++) {
        struct mr_job job = place_job(&sources[s], 1);
        for (size_t c = 0; c < COUNT_OF(chunks); c++) {
            check_chunk(executor, &job, &text, chunks[c]);
        }
    }
    stook_executor_destroy(executor);
    remove_file(path);
    free(bytes);
}

/* --- files that cannot be read ---------------------------------------------------------------- */

static void check_unreadable(const char *path, int expected_errno)
{
    const struct mr_source sources[] = {{.text = mr_slice_str("good\n")}, {.path = path}};
    stook_executor *executor = must_create(2);
    struct mr_job job = place_job(sources, COUNT_OF(sources));
    mr_result *result = UNTOUCHED(mr_result);
    mr_batch *batch = UNTOUCHED(mr_batch);
    for (int way = 0; way < 3; way++) {
        struct mr_error error;
        enum stook_status status = STOOK_OK;
        memset(&error, 0xff, sizeof error);
        if (way == 0) {
            status = mr_map_reduce(executor, &job, &result, &error);
        } else if (way == 1) {
            status = mr_map_reduce_sequential(&job, &result, &error);
        } else {
            status = mr_async_map(executor, &job, &batch, &error);
        }
        cr_assert_eq(status, STOOK_IO);
        cr_assert_eq(error.status, STOOK_IO);
        cr_assert_eq(error.phase, MR_PHASE_INPUT);
        cr_assert_eq(error.source, 1);
        cr_assert_neq(error.code, 0);
        cr_assert(expected_errno == 0 || error.code == expected_errno);
        cr_assert_not_null(strstr(error.message, path));
    }
    cr_assert_eq(result, UNTOUCHED(mr_result));
    cr_assert_eq(batch, UNTOUCHED(mr_batch));
    cr_assert(still_works(executor));
    stook_executor_destroy(executor);
}

Test(mr_input, missing_file_is_named, .timeout = 60)
{
    check_unreadable("/nonexistent/stook-test", ENOENT);
}

Test(mr_input, directory_is_named, .timeout = 60)
{
    check_unreadable("/tmp", 0);
}

struct shrinking {
    char *path;
    atomic_uint calls;
};

/* The first call cuts the file off before what it was given. */
static int shrinking_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    struct shrinking *shrinking = user;
    (void)item;
    (void)out;
    if (atomic_fetch_add(&shrinking->calls, 1) == 0) {
        MUST(truncate(shrinking->path, 0) == 0);
    }
    return 0;
}

Test(mr_input, file_that_shrinks_meanwhile_is_named, .timeout = 60)
{
    const size_t size = (size_t)8 << 20;
    static struct shrinking shrinking;
    char *bytes = must_alloc(size);
    stook_executor *executor = must_create(1);
    memset(bytes, 'x', size);
    for (size_t i = 99; i < size; i += 100) {
        bytes[i] = '\n';
    }
    for (int whole_splits = 0; whole_splits < 2; whole_splits++) {
        shrinking.path = make_file(mr_slice_of(bytes, size));
        atomic_store(&shrinking.calls, 0);
        const struct mr_source source = {.path = shrinking.path};
        struct mr_job job = place_job(&source, 1);
        mr_result *result = UNTOUCHED(mr_result);
        struct mr_error error;
        memset(&error, 0xff, sizeof error);
        job.input.chunk = 64 << 10;
        job.input.whole_splits = whole_splits;
        job.map = shrinking_map;
        job.user = &shrinking;
        cr_assert_eq(mr_map_reduce(executor, &job, &result, &error), STOOK_IO);
        cr_assert_eq(result, UNTOUCHED(mr_result));
        cr_assert_eq(error.phase, MR_PHASE_INPUT);
        cr_assert_eq(error.source, 0);
        cr_assert_not_null(strstr(error.message, shrinking.path));
        cr_assert_gt(atomic_load(&shrinking.calls), 0);
        cr_assert(still_works(executor));
        remove_file(shrinking.path);
    }
    stook_executor_destroy(executor);
    free(bytes);
}
