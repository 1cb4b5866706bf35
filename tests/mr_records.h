/* SPDX-License-Identifier: MIT
 *
 * A job that tells of each record where it was, and what it must have told. Nothing here asserts: a
 * helper answers false, after telling why, or dies.
 */
#ifndef MR_RECORDS_H
#define MR_RECORDS_H

#include "mr_sources.h"

/* --- what a mapper sees ----------------------------------------------------------------------- */

/* Source and offset as a key that sorts as they do. */
static inline void place_key(unsigned char key[16], uint64_t source, uint64_t offset)
{
    for (int i = 0; i < 8; i++) {
        key[7 - i] = (unsigned char)(source >> 8 * i);
        key[15 - i] = (unsigned char)(offset >> 8 * i);
    }
}

static inline int place_map(const struct mr_item *item, mr_emitter *out, void *user)
{
    unsigned char key[16];
    (void)user;
    place_key(key, item->source, item->index);
    return mr_emit(out, mr_slice_of(key, sizeof key), item->data);
}

static inline struct mr_job place_job(const struct mr_source *sources, size_t count)
{
    struct mr_job job = MR_JOB_INIT;
    job.input = mr_input_text(sources, count);
    job.map = place_map;
    job.reduce = each_reduce;
    job.order = MR_ORDER_KEY;
    job.partitions = 4;
    return job;
}

/* A splitter: the first byte says how many follow. It may be asked from any number of bytes on. */
static inline size_t counted_splitter(struct mr_slice bytes, bool is_last, void *user)
{
    const unsigned char *data = bytes.data;
    const size_t size = (size_t)data[0] + 1;
    (void)is_last;
    (void)user;
    return size <= bytes.size ? size : 0;
}

static inline bool ends_record(const char *delimiters, char byte)
{
    return byte != '\0' && strchr(delimiters, byte) != NULL;
}

/* The end of the record that begins at `at`, and the begin of the next one. */
static inline size_t record_end(const struct mr_input *input, struct mr_slice text, size_t at,
                                size_t *ret_next)
{
    const char *bytes = text.data;
    size_t end = text.size;
    if (input->records == MR_RECORDS_FIXED) {
        end = at + input->record_size;
    } else if (input->records == MR_RECORDS_SPLITTER) {
        end = at + 1 + (unsigned char)bytes[at];
    } else if (input->records == MR_RECORDS_DELIMITED) {
        for (end = at; end < text.size && !ends_record(input->delimiters, bytes[end]);) {
            end++;
        }
        *ret_next = end < text.size ? end + 1 : end;
        return end;
    }
    *ret_next = end;
    return end;
}

static inline bool is_next(mr_result *result, uint64_t source, uint64_t offset,
                           struct mr_slice data)
{
    struct mr_pair pair;
    unsigned char key[16];
    place_key(key, source, offset);
    if (!mr_result_next(result, &pair) ||
        slice_compare(pair.key, mr_slice_of(key, sizeof key)) != 0 ||
        slice_compare(pair.value, data) != 0) {
        fprintf(stderr, "not the record of %zu bytes at %llu of source %llu\n", data.size,
                (unsigned long long)offset, (unsigned long long)source);
        return false;
    }
    return true;
}

/* Every record of every text, once, in order, and nothing else. */
static inline bool are_records(mr_result *result, const struct mr_slice *texts,
                               const struct mr_input *input)
{
    struct mr_pair pair;
    for (size_t source = 0; source < input->source_count; source++) {
        const struct mr_slice text = texts[source];
        const char *bytes = text.data;
        size_t next;
        if (text.size == 0 && input->records == MR_RECORDS_WHOLE &&
            !is_next(result, source, 0, text)) {
            return false;
        }
        for (size_t at = 0; at < text.size; at = next) {
            const size_t end = record_end(input, text, at, &next);
            if (!is_next(result, source, at, mr_slice_of(bytes + at, end - at))) {
                return false;
            }
        }
    }
    return !mr_result_next(result, &pair);
}

/* Splits that are not empty, begin where records begin, and are the texts when put together. */
static inline bool are_splits(mr_result *result, const struct mr_slice *texts,
                              const struct mr_input *input)
{
    struct mr_pair pair;
    if (input->records == MR_RECORDS_WHOLE) {
        return are_records(result, texts, input);
    }
    for (size_t source = 0; source < input->source_count; source++) {
        const struct mr_slice text = texts[source];
        const char *bytes = text.data;
        size_t offset = 0;
        size_t record = 0;
        while (offset < text.size) {
            unsigned char key[16];
            place_key(key, source, offset);
            while (record < offset) {
                record_end(input, text, record, &record);
            }
            if (!mr_result_next(result, &pair) || pair.value.size == 0 ||
                slice_compare(pair.key, mr_slice_of(key, sizeof key)) != 0 ||
                pair.value.size > text.size - offset ||
                memcmp(pair.value.data, bytes + offset, pair.value.size) != 0 || record != offset) {
                fprintf(stderr, "wrong split at %zu of source %zu\n", offset, source);
                return false;
            }
            offset += pair.value.size;
        }
    }
    return !mr_result_next(result, &pair);
}

/* Makes the sources of that kind, runs the job over them (executor NULL: in sequence), and compares
 * with the texts. The job's input says all but the sources. */
static inline bool maps_all(stook_executor *executor, const struct mr_input *input, enum way way,
                            enum coding coding, size_t members, const struct mr_slice *texts,
                            size_t count)
{
    struct made made[8];
    struct mr_source sources[8];
    MUST(count <= COUNT_OF(made));
    for (size_t i = 0; i < count; i++) {
        make_source(&made[i], way, code_text(coding, texts[i], members));
        sources[i] = made[i].source;
    }
    struct mr_job job = place_job(sources, count);
    job.input = *input;
    job.input.sources = sources;
    job.input.source_count = count;
    job.input.map_files = way == MAPPED;
    mr_result *result = must_run(executor, &job);
    const bool is_whole = job.input.whole_splits;
    const bool good =
        is_whole ? are_splits(result, texts, &job.input) : are_records(result, texts, &job.input);
    if (!good) {
        fprintf(stderr, "way %d, coding %d, %zu members, chunk %zu, whole %d\n", (int)way,
                (int)coding, members, job.input.chunk, is_whole);
    }
    mr_result_destroy(result);
    for (size_t i = 0; i < count; i++) {
        end_source(&made[i]);
    }
    return good;
}

#endif
