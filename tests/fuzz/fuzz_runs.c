/* SPDX-License-Identifier: MIT
 *
 * Files of runs that are not as they were written: readers, merges and groups give the pairs that a
 * plain reader of the format finds, in front of what is no pair; then they tell STOOK_IO.
 */
#include "fuzz.h"
#include "list.h"
#include "merge.h"
#include "group.h"

enum { MOST_RUNS = 4, MOST_BYTES = 4096 };

void fuzz_end(void)
{
}

/* Runs one behind the other in a file. */
struct runs {
    struct fuzz_file memory;
    struct mr__file file;
    struct mr__run all[MOST_RUNS];
    struct mr_slice bytes[MOST_RUNS];
    size_t count;
};

/* --- a plain reader of the format --------------------------------------------------------------
 * */

static size_t padded(uint64_t size)
{
    return (size_t)((size + 7) / 8 * 8);
}

/* Takes the next pair; false: there is none. */
static bool take_pair(struct mr_slice *bytes, struct mr_pair *ret_pair)
{
    const char *at = bytes->data;
    uint32_t small[2];
    uint64_t sizes[2];
    size_t header = sizeof small;
    if (bytes->size < sizeof small) {
        return false;
    }
    memcpy(small, at, sizeof small);
    sizes[0] = small[0];
    sizes[1] = small[1];
    if (small[0] == UINT32_MAX) {
        if (bytes->size < sizeof small + sizeof sizes) {
            return false;
        }
        memcpy(sizes, at + sizeof small, sizeof sizes);
        header += sizeof sizes;
    }
    if (sizes[0] > bytes->size || sizes[1] > bytes->size ||
        header + padded(sizes[0]) + padded(sizes[1]) > bytes->size) {
        return false;
    }
    ret_pair->value = mr_slice_of(at + header, (size_t)sizes[1]);
    ret_pair->key = mr_slice_of(at + header + padded(sizes[1]), (size_t)sizes[0]);
    *bytes = mr_slice_of(at + header + padded(sizes[0]) + padded(sizes[1]),
                         bytes->size - header - padded(sizes[0]) - padded(sizes[1]));
    return true;
}

static bool is_same(const struct mr_pair *a, const struct mr_pair *b)
{
    return mr_slice_compare(a->key, b->key) == 0 && mr_slice_compare(a->value, b->value) == 0;
}

/* --- the three ways to read --------------------------------------------------------------------
 * */

/* How many pairs there are; *ret_whole: and nothing else. */
static size_t read_each(const struct runs *runs, struct mr__budget *budget, size_t capacity,
                        bool *ret_whole)
{
    size_t pairs = 0;
    *ret_whole = true;
    for (size_t i = 0; i < runs->count; i++) {
        struct mr_slice left = runs->bytes[i];
        struct mr__reader reader;
        struct mr_pair expected;
        struct mr_pair pair;
        MUST(mr__reader_begin(&reader, budget, &runs->all[i], capacity));
        while (take_pair(&left, &expected)) {
            MUST(mr__reader_next(&reader, &pair) && is_same(&pair, &expected));
            MUST(((uintptr_t)pair.value.data & 7) == 0);
            pairs++;
        }
        MUST(!mr__reader_next(&reader, &pair));
        MUST(reader.status == (left.size > 0 ? STOOK_IO : STOOK_OK));
        MUST((reader.code != 0) == (left.size > 0));
        *ret_whole = *ret_whole && left.size == 0;
        mr__reader_fini(&reader);
    }
    return pairs;
}

static size_t read_merged(const struct runs *runs, struct mr__budget *budget, bool by_pair,
                          size_t capacity, enum stook_status *ret_status)
{
    struct mr_job job = MR_JOB_INIT;
    struct mr__merge merge;
    struct mr_pair pair;
    size_t pairs = 0;
    job.order = MR_ORDER_KEY;
    if (mr__merge_begin(&merge, &job, budget, by_pair, runs->all, runs->count, capacity)) {
        while (mr__merge_next(&merge, &pair)) {
            pairs++;
        }
    }
    *ret_status = merge.status;
    mr__merge_end(&merge);
    return pairs;
}

static size_t read_groups(const struct runs *runs, struct mr__budget *budget,
                          enum stook_status *ret_status)
{
    struct mr_job job = MR_JOB_INIT;
    struct mr__group group;
    struct mr_slice key;
    struct mr_slice value;
    size_t pairs = 0;
    if (mr__group_begin(&group, &job, budget, runs->all, runs->count)) {
        while (mr__group_next_key(&group, &key)) {
            while (mr__group_next(&group, &value)) {
                pairs++;
            }
        }
    }
    *ret_status = group.merge.status;
    mr__group_end(&group);
    return pairs;
}

/* --- the matter --------------------------------------------------------------------------------
 * */

/* A file of runs; some are written from pairs that the bytes tell, before some of it is changed. */
static void make_runs(struct runs *runs, struct fuzz_bytes *bytes, struct mr__budget *budget)
{
    static char key[256];
    static char content[MOST_BYTES];
    *runs = (struct runs){.count = fuzz_below(bytes, MOST_RUNS + 1)};
    fuzz_file_make(&runs->memory, mr_slice_of(NULL, 0));
    runs->file.descriptor = runs->memory.descriptor;
    for (size_t i = 0; i < runs->count; i++) {
        struct mr__writer writer;
        const bool is_raw = fuzz_flag(bytes);
        const size_t size = fuzz_byte(bytes);
        if (is_raw) {
            const struct mr_slice raw = fuzz_take(bytes, size);
            MUST(pwrite(runs->file.descriptor, raw.data, raw.size, (off_t)runs->file.end) ==
                 (ssize_t)raw.size);
            runs->all[i] = (struct mr__run){&runs->file, runs->file.end, raw.size, 0};
            runs->file.end += raw.size;
            continue;
        }
        MUST(mr__writer_begin(&writer, budget, &runs->file));
        for (size_t pairs = size % 8; pairs > 0; pairs--) {
            const size_t key_size = fuzz_byte(bytes) % 20;
            memset(key, (int)fuzz_byte(bytes), sizeof key);
            mr__writer_add(&writer, mr_slice_of(key, key_size),
                           mr_slice_of(key, fuzz_byte(bytes) % 40));
        }
        MUST(mr__writer_end(&writer, &runs->all[i]));
        mr__writer_fini(&writer);
    }
    MUST(runs->file.end <= sizeof content);
    for (unsigned changes = fuzz_below(bytes, 5); changes > 0 && runs->file.end > 0; changes--) {
        const unsigned at = fuzz_byte(bytes) * 256 + fuzz_byte(bytes);
        const unsigned char to = (unsigned char)fuzz_byte(bytes);
        MUST(pwrite(runs->file.descriptor, &to, 1, (off_t)(at % runs->file.end)) == 1);
    }
    MUST(pread(runs->file.descriptor, content, sizeof content, 0) == (ssize_t)runs->file.end);
    for (size_t i = 0; i < runs->count; i++) {
        runs->bytes[i] = mr_slice_of(content + runs->all[i].offset, (size_t)runs->all[i].size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_bytes bytes = {data, size};
    struct mr__budget budget;
    struct runs runs;
    enum stook_status status;
    bool is_whole;
    MUST(mr__budget_init(&budget, fuzz_flag(&bytes) ? MR_LEAST_MEMORY : 0, 1));
    const size_t capacity = MR_PACKED_HEADER + 8 * (size_t)fuzz_byte(&bytes);
    const bool by_pair = fuzz_flag(&bytes);
    make_runs(&runs, &bytes, &budget);
    const size_t pairs = read_each(&runs, &budget, capacity, &is_whole);
    MUST(read_merged(&runs, &budget, by_pair, capacity, &status) <= pairs);
    MUST(status == (is_whole ? STOOK_OK : STOOK_IO));
    const size_t grouped = read_groups(&runs, &budget, &status);
    MUST(grouped <= pairs && (grouped == pairs || !is_whole));
    MUST(status == (is_whole ? STOOK_OK : STOOK_IO));
    MUST(close(runs.memory.descriptor) == 0);
    mr__budget_fini(&budget);
    return 0;
}
