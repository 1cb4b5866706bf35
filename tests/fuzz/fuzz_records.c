/* SPDX-License-Identifier: MIT
 *
 * Texts cut into records: in all ways that a text can come, with chunks down to a byte, by several
 * workers, each record is mapped once, as a plain splitter finds them (mr_records.h); and a rest
 * that is no record fails the job.
 */
#include "fuzz_texts.h"

/* As counted_splitter(), and its records may be longer than there are bytes. */
static size_t wide_splitter(struct mr_slice bytes, bool is_last, void *user)
{
    const unsigned char *data = bytes.data;
    const size_t size = (size_t)data[0] + 1;
    (void)user;
    return size <= bytes.size ? size : is_last && data[0] == 0xff ? size : 0;
}

/* Does a text end inside a record? */
static bool has_rest(const struct mr_input *input, struct mr_slice text)
{
    size_t at = 0;
    if (input->records == MR_RECORDS_FIXED) {
        return text.size % input->record_size != 0;
    }
    while (input->records == MR_RECORDS_SPLITTER && at < text.size) {
        at += (size_t)((const unsigned char *)text.data)[at] + 1;
    }
    return at > text.size;
}

static void read_input(struct fuzz_bytes *bytes, struct mr_input *input)
{
    static const char *const delimiters[] = {"\n", "", "\r\n", "ab", "\xff\x01 ", "a"};
    input->records = (enum mr_records)fuzz_below(bytes, 4);
    input->delimiters = delimiters[fuzz_below(bytes, COUNT_OF(delimiters))];
    input->record_size = 1 + fuzz_below(bytes, 40);
    input->splitter = wide_splitter;
    input->whole_splits = fuzz_flag(bytes);
    input->chunk = fuzz_flag(bytes) ? MR_CHUNK_AUTO : 1 + fuzz_byte(bytes);
    input->keep_compressed = true;
}

/* Lengths come first, then the texts; the last has all that is left. */
static void read_texts(struct fuzz_bytes *bytes, struct texts *texts)
{
    size_t sizes[MOST_SOURCES] = {0};
    texts->count = fuzz_below(bytes, MOST_SOURCES + 1);
    for (size_t i = 0; i + 1 < texts->count; i++) {
        sizes[i] = fuzz_byte(bytes);
    }
    for (size_t i = 0; i < texts->count; i++) {
        texts->all[i] = fuzz_take(bytes, i + 1 < texts->count ? sizes[i] : MOST_TEXT);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bytes bytes = {data, size};
    struct texts texts = {.count = 0};
    struct mr_error error;
    mr_result *result;
    bool must_fail = false;

    const enum way way = (enum way)fuzz_below(&bytes, FIFO);
    stook_executor *executor = executor_of(fuzz_below(&bytes, MOST_WORKERS + 1));
    struct mr_job job = place_job(texts.sources, 0);
    read_input(&bytes, &job.input);
    read_texts(&bytes, &texts);
    open_sources(&texts, way);
    job.input.source_count = texts.count;
    job.input.map_files = way == MAPPED;
    for (size_t i = 0; i < texts.count; i++) {
        must_fail = must_fail || has_rest(&job.input, texts.all[i]);
    }
    const enum stook_status status = run_job(executor, &job, &result, &error);
    if (must_fail) {
        MUST(status == STOOK_IO || status == STOOK_INVALID);
        MUST(result == UNTOUCHED(mr_result));
        MUST(error.status == status && error.message[0] != '\0');
    } else {
        MUST(status == STOOK_OK);
        MUST(job.input.whole_splits ? are_splits(result, texts.all, &job.input)
                                    : are_records(result, texts.all, &job.input));
        mr_result_destroy(result);
    }
    close_sources(&texts);
    return 0;
}
