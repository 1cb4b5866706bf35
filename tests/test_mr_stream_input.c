/* SPDX-License-Identifier: MIT
 *
 * Texts that are read once, from begin to end: pipes, FIFOs, descriptors, compressed data. Each
 * record reaches the mapper once, however the text comes and is cut; and so do fixed records, whole
 * sources, and what a splitter finds, in all kinds of sources.
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include "mr_records.h"

#include <errno.h>

static const size_t chunks[] = {1, 2, 3, 5, 16, 1000, MR_CHUNK_AUTO, SIZE_MAX - 1};

/* In all ways that the coding can come in, also in sequence, and as whole splits. */
static void check_ways(struct mr_input input, enum coding coding, size_t members,
                       const struct mr_slice *texts, size_t count)
{
    if (!can_code(coding)) {
        return;
    }
    stook_executor *executor = must_create(3);
    for (unsigned way = 0; way < WAYS; way++) {
        for (size_t c = 0; c < COUNT_OF(chunks); c++) {
            input.chunk = chunks[c];
            for (unsigned how = 0; how < 4; how++) {
                input.whole_splits = how % 2 == 1;
                cr_assert(maps_all(how < 2 ? executor : NULL, &input, (enum way)way, coding,
                                   members, texts, count));
            }
        }
    }
    stook_executor_destroy(executor);
}

static void check_all(struct mr_input input, const struct mr_slice *texts, size_t count)
{
    check_ways(input, PLAIN_TEXT, 1, texts, count);
    check_ways(input, GZIP, 1, texts, count);
    check_ways(input, GZIP, 3, texts, count);
    check_ways(input, ZSTD, 1, texts, count);
    check_ways(input, ZSTD, 3, texts, count);
}

static struct mr_input lines(void)
{
    static const struct mr_source none = {.path = NULL};
    return mr_input_text(&none, 1);
}

/* --- B94 -------------------------------------------------------------------------------------- */

Test(mr_stream_input, B94_lines, .timeout = 120)
{
    const struct mr_slice texts[] = {
        mr_slice_str("one\ntwo\r\nthree\n\n\nthis line is longer than many windows will be\r\n"),
        mr_slice_str("no final newline"), mr_slice_of("", 0), mr_slice_str("\n"),
        mr_slice_str("\xc3\xa4\xe2\x82\xac\n\xf0\x9f\x98\x80\n\n\xc3\xa4")};
    check_all(lines(), texts, COUNT_OF(texts));
}

Test(mr_stream_input, B94_several_delimiters, .timeout = 120)
{
    const struct mr_slice texts[] = {mr_slice_str("a\xffz\x80y\x7f.\xff"),
                                     mr_slice_of("\0a\xff\0", 4)};
    struct mr_input input = lines();
    input.delimiters = "\xff\x80";
    check_all(input, texts, COUNT_OF(texts));
    input.delimiters = ""; /* no end but that of the source */
    check_all(input, texts, COUNT_OF(texts));
}

Test(mr_stream_input, B94_fixed_records, .timeout = 120)
{
    const struct mr_slice texts[] = {mr_slice_str("abcdefghijklmnopqrstu"), mr_slice_of("", 0),
                                     mr_slice_str("xyz"), mr_slice_of("\0\0\0\n\0\n", 6)};
    struct mr_input input = mr_input_fixed(NULL, 0, 3);
    input.delimiters = NULL;
    check_all(input, texts, COUNT_OF(texts));
    input.record_size = 1;
    check_all(input, texts, COUNT_OF(texts));
}

Test(mr_stream_input, B94_whole_sources, .timeout = 120)
{
    const struct mr_slice texts[] = {mr_slice_str("all\nof\nit"), mr_slice_of("", 0),
                                     mr_slice_str("\n"), mr_slice_of("\0", 1)};
    struct mr_input input = mr_input_whole(NULL, 0);
    input.delimiters = NULL;
    check_all(input, texts, COUNT_OF(texts));
}

Test(mr_stream_input, B94_splitter, .timeout = 120)
{
    const struct mr_slice texts[] = {mr_slice_of("\3abc\0\0\1x\12abcdefghij\0", 19),
                                     mr_slice_of("", 0), mr_slice_of("\0", 1),
                                     mr_slice_of("\24abcdefghijklmnopqrst", 21)};
    struct mr_input input = lines();
    input.records = MR_RECORDS_SPLITTER;
    input.splitter = counted_splitter;
    input.delimiters = NULL;
    check_all(input, texts, COUNT_OF(texts));
}

/* Lines of about 60 bytes, a few of 100 KB; more than a pipe holds and a window reads. */
static struct mr_slice make_lines(size_t size)
{
    uint64_t random = test_seed();
    char *bytes = must_alloc(size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)('a' + random_below(&random, 20));
        if (random_below(&random, 60) == 0) {
            bytes[i] = '\n';
            if (random_below(&random, 1500) == 0) {
                const size_t end = size - i > 400000 ? i + 400000 : size;
                memset(bytes + i, 'x', end - i);
                i = end - 1;
            }
        }
    }
    return mr_slice_of(bytes, size);
}

Test(mr_stream_input, B94_big_texts, .timeout = 240)
{
    static const size_t sizes[] = {1000, 4096, 65537, MR_CHUNK_AUTO};
    const struct mr_slice text = make_lines(3000000);
    for (unsigned workers = 1; workers <= 4; workers += 3) {
        stook_executor *executor = must_create(workers);
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            struct mr_input input = lines();
            input.chunk = sizes[i];
            cr_assert(maps_all(executor, &input, PIPE, PLAIN_TEXT, 1, &text, 1));
            cr_assert(maps_all(executor, &input, FIFO, PLAIN_TEXT, 1, &text, 1));
            cr_assert(maps_all(executor, &input, MAPPED, PLAIN_TEXT, 1, &text, 1));
            for (enum coding coding = GZIP; coding <= ZSTD; coding++) {
                if (can_code(coding)) {
                    cr_assert(maps_all(executor, &input, NAMED, coding, 7, &text, 1));
                    cr_assert(maps_all(executor, &input, PIPE, coding, 1, &text, 1));
                }
            }
        }
        stook_executor_destroy(executor);
    }
    free_slice(text);
}

Test(mr_stream_input, gzip_and_zstd_in_one_source_and_zeros_behind, .timeout = 60)
{
    if (!can_code(GZIP) || !can_code(ZSTD)) {
        return;
    }
    const struct mr_slice text = mr_slice_str("one\ntwo\nthree\n");
    struct mr_slice a = code_text(GZIP, mr_slice_str("one\ntw"), 1);
    struct mr_slice b = code_text(ZSTD, mr_slice_str("o\nthree\n"), 1);
    unsigned char *bytes = must_alloc(a.size + b.size + 1000);
    memset(bytes, 0, a.size + b.size + 1000);
    memcpy(bytes, a.data, a.size);
    memcpy(bytes + a.size, b.data, b.size);
    const struct mr_source source = {.text = mr_slice_of(bytes, a.size + b.size + 1000)};
    struct mr_job job = place_job(&source, 1);
    mr_result *result = must_run(NULL, &job);
    cr_assert(are_records(result, &text, &job.input));
    mr_result_destroy(result);
    free_slice(a);
    free_slice(b);
    free(bytes);
}

Test(mr_stream_input, compressed_data_is_kept_if_asked_for, .timeout = 60)
{
    for (enum coding coding = GZIP; coding <= ZSTD; coding++) {
        if (!can_code(coding)) {
            continue;
        }
        const struct mr_slice coded = code_text(coding, mr_slice_str("one\ntwo\n"), 1);
        stook_executor *executor = must_create(2);
        struct mr_input input = lines();
        input.keep_compressed = true;
        for (unsigned way = 0; way < WAYS; way++) {
            cr_assert(maps_all(executor, &input, (enum way)way, PLAIN_TEXT, 1, &coded, 1));
            cr_assert(maps_all(NULL, &input, (enum way)way, PLAIN_TEXT, 1, &coded, 1));
        }
        stook_executor_destroy(executor);
        free_slice(coded);
    }
}

/* --- other kinds of files --------------------------------------------------------------------- */

Test(mr_stream_input, files_that_tell_no_size_are_read, .timeout = 60)
{
    const struct mr_source source = {.path = "/proc/self/status"};
    stook_executor *executor = must_create(2);
    for (int sequential = 0; sequential < 2; sequential++) {
        struct mr_job job = place_job(&source, 1);
        mr_result *result = must_run(sequential ? NULL : executor, &job);
        struct mr_pair pair;
        cr_assert_gt(mr_result_count(result), 10);
        cr_assert(mr_result_next(result, &pair));
        cr_assert_eq(strncmp(pair.value.data, "Name:", 5), 0);
        mr_result_destroy(result);
    }
    stook_executor_destroy(executor);
}

Test(mr_stream_input, a_descriptor_is_read_from_where_it_stands, .timeout = 60)
{
    const struct mr_slice rest = mr_slice_str("two\nthree\n");
    char *path = make_file(mr_slice_str("one\ntwo\nthree\n"));
    for (int sequential = 0; sequential < 2; sequential++) {
        stook_executor *executor = must_create(1);
        const struct mr_source source = {.descriptor = open(path, O_RDONLY | O_CLOEXEC)};
        MUST(lseek(source.descriptor, 4, SEEK_SET) == 4);
        struct mr_job job = place_job(&source, 1);
        mr_result *result = must_run(sequential ? NULL : executor, &job);
        cr_assert(are_records(result, &rest, &job.input));
        cr_assert_eq(lseek(source.descriptor, 0, SEEK_CUR), 14);
        cr_assert_eq(close(source.descriptor), 0);
        mr_result_destroy(result);
        stook_executor_destroy(executor);
    }
    remove_file(path);
}

Test(mr_stream_input, many_small_sources, .timeout = 120)
{
    enum { COUNT = 600 };
    struct mr_source *sources = must_alloc(COUNT * sizeof *sources);
    struct mr_slice *texts = must_alloc(COUNT * sizeof *texts);
    struct mr_slice empty = mr_slice_of("", 0);
    struct mr_slice coded = code_text(can_code(GZIP) ? GZIP : PLAIN_TEXT, mr_slice_str("a\nb"), 1);
    for (size_t i = 0; i < COUNT; i++) {
        const struct mr_source made = {.path = make_file(i % 3 == 0   ? empty
                                                         : i % 3 == 1 ? coded
                                                                      : mr_slice_str("a\nb"))};
        sources[i] = made;
        texts[i] = i % 3 == 0 ? empty : mr_slice_str("a\nb");
    }
    stook_executor *executor = must_create(2);
    for (unsigned records = 0; records < 2; records++) {
        struct mr_job job = place_job(sources, COUNT);
        job.input.records = records ? MR_RECORDS_WHOLE : MR_RECORDS_DELIMITED;
        mr_result *result = must_run(executor, &job);
        cr_assert(are_records(result, texts, &job.input));
        mr_result_destroy(result);
    }
    stook_executor_destroy(executor);
    for (size_t i = 0; i < COUNT; i++) {
        MUST(remove(sources[i].path) == 0);
        free_slice(mr_slice_of(sources[i].path, 0));
    }
    free_slice(coded);
    free(sources);
    free(texts);
}

/* Two FIFOs, one of which is written when the other has been read to its end: with one worker. */
struct two {
    char *paths[2];
};

static int write_two(void *arg)
{
    const struct two *two = arg;
    for (int i = 1; i >= 0; i--) {
        const int fd = open(two->paths[i], O_WRONLY | O_CLOEXEC);
        MUST(fd >= 0);
        MUST(write(fd, "line\n", 5) == 5);
        MUST(close(fd) == 0);
    }
    return 0;
}

Test(mr_stream_input, a_pipe_without_data_does_not_hold_the_worker, .timeout = 60)
{
    struct two two = {{make_name(), make_name()}};
    const struct mr_source sources[] = {{.path = two.paths[0]}, {.path = two.paths[1]}};
    const struct mr_slice texts[] = {mr_slice_str("line\n"), mr_slice_str("line\n")};
    stook_executor *executor = must_create(1);
    thrd_t thread;
    MUST(mkfifo(two.paths[0], 0600) == 0 && mkfifo(two.paths[1], 0600) == 0);
    must_start(&thread, write_two, &two);
    struct mr_job job = place_job(sources, 2);
    mr_result *result = must_run(executor, &job);
    cr_assert(are_records(result, texts, &job.input));
    mr_result_destroy(result);
    thrd_join(thread, NULL);
    stook_executor_destroy(executor);
    remove_file(two.paths[0]);
    remove_file(two.paths[1]);
}

/* --- progress and memory ---------------------------------------------------------------------- */

struct counts {
    atomic_uint inside;
    atomic_uint most;
    uint64_t last_done;
    uint64_t last_total;
    unsigned calls;
    unsigned ends;
    bool is_sound;
};

static int slow_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    struct counts *counts = user;
    const unsigned inside = atomic_fetch_add(&counts->inside, 1) + 1;
    (void)item;
    (void)out;
    if (inside > atomic_load(&counts->most)) {
        atomic_store(&counts->most, inside);
    }
    thrd_yield();
    atomic_fetch_sub(&counts->inside, 1);
    return 0;
}

static int sound_progress(const char *tag, uint64_t done, uint64_t not_done, void *user)
{
    struct counts *counts = user;
    if (strcmp(tag, "map") != 0) {
        return 0;
    }
    counts->is_sound = counts->is_sound && counts->ends == 0 && done >= counts->last_done &&
                       (not_done == 0 || done + not_done >= counts->last_total);
    counts->ends += not_done == 0;
    counts->last_done = done;
    counts->last_total = done + not_done;
    counts->calls++;
    return 0;
}

Test(mr_stream_input, B85_total_grows_with_what_was_read, .timeout = 60)
{
    const struct mr_slice text = make_lines(500000);
    for (unsigned i = 0; i < 4; i++) {
        stook_executor *executor = must_create(2);
        struct made made;
        struct counts counts = {.is_sound = true};
        make_source(&made, i < 2 ? PIPE : NAMED,
                    code_text(i % 2 && can_code(GZIP) ? GZIP : PLAIN_TEXT, text, 2));
        struct mr_job job = place_job(&made.source, 1);
        job.map = slow_map;
        job.user = &counts;
        job.progress = sound_progress;
        job.progress_period_ns = 10000;
        job.input.chunk = 1000;
        mr_result *result = must_run(executor, &job);
        mr_result_destroy(result);
        cr_assert(counts.is_sound);
        cr_assert_eq(counts.ends, 1);
        cr_assert_eq(counts.last_done, text.size);
        cr_assert_gt(counts.calls, 1);
        end_source(&made);
        stook_executor_destroy(executor);
    }
    free_slice(text);
}

/* Windows do reach other workers: two mappers that wait for each other. */
static int meeting_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    atomic_uint *met = user;
    (void)item;
    if (atomic_load(met) < 2) {
        atomic_fetch_add(met, 1);
        SPIN_UNTIL(atomic_load(met) >= 2 || mr_emitter_stopped(out));
    }
    return 0;
}

Test(mr_stream_input, windows_are_mapped_by_others, .timeout = 60)
{
    const struct mr_slice text = mr_slice_str("a\nb\nc\nd\ne\nf\n");
    stook_executor *executor = must_create(2);
    struct made made;
    atomic_uint met = 0;
    make_source(&made, PIPE, code_text(PLAIN_TEXT, text, 1));
    struct mr_job job = place_job(&made.source, 1);
    job.map = meeting_map;
    job.user = &met;
    job.input.chunk = 2;
    mr_result *result = must_run(executor, &job);
    mr_result_destroy(result);
    end_source(&made);
    stook_executor_destroy(executor);
}
