/* SPDX-License-Identifier: MIT
 *
 * What the tests of written results share: results with pairs of the caller's choice, that can
 * also fail to be read (link with --wrap=mr_result_next,--wrap=mr_result_status), and the text that
 * must come out. For one file of a program.
 */
#ifndef MR_OUTPUT_H
#define MR_OUTPUT_H

#include "failing.h"
#include "failing_files.h"
#include "mr_support.h"

/* --- results that cannot be read -------------------------------------------------------------- */

static uint64_t pairs_until_unreadable = UINT64_MAX;
static bool is_unreadable;

bool __real_mr_result_next(mr_result *result, struct mr_pair *ret_pair);
bool __wrap_mr_result_next(mr_result *result, struct mr_pair *ret_pair);
enum stook_status __wrap_mr_result_status(const mr_result *result, struct mr_error *ret_error);

bool __wrap_mr_result_next(mr_result *result, struct mr_pair *ret_pair)
{
    if (pairs_until_unreadable == 0) {
        is_unreadable = true;
        return false;
    }
    pairs_until_unreadable--;
    return __real_mr_result_next(result, ret_pair);
}

enum stook_status __wrap_mr_result_status(const mr_result *result, struct mr_error *ret_error)
{
    (void)result;
    if (!is_unreadable) {
        return STOOK_OK;
    }
    if (ret_error != NULL) {
        memset(ret_error, 0, sizeof *ret_error);
        ret_error->status = STOOK_IO;
        snprintf(ret_error->message, sizeof ret_error->message, "unreadable");
    }
    return STOOK_IO;
}

/* --- results ---------------------------------------------------------------------------------- */

/* In order. */
static inline mr_result *result_of(const struct mr_pair *pairs, size_t count)
{
    struct mr_job job = pair_job(pairs, count, each_reduce);
    return must_run(NULL, &job);
}

/* Keys key00000, key00001 and so on, with their numbers as values, uint64_t. */
static inline mr_result *numbered_result(size_t count)
{
    struct mr_pair *pairs = must_alloc(count * sizeof *pairs);
    uint64_t *numbers = must_alloc(count * sizeof *numbers);
    char(*keys)[16] = must_alloc(count * sizeof *keys);
    for (size_t i = 0; i < count; i++) {
        snprintf(keys[i], sizeof keys[i], "key%05u", (unsigned)i);
        numbers[i] = i;
        pairs[i].key = mr_slice_str(keys[i]);
        pairs[i].value = mr_slice_of(&numbers[i], sizeof numbers[i]);
    }
    mr_result *result = result_of(pairs, count);
    free(pairs);
    free(numbers);
    free(keys);
    return result;
}

/* --- texts ------------------------------------------------------------------------------------ */

struct text {
    char *bytes; /* to be freed */
    size_t size;
    size_t capacity;
};

static inline void text_add(struct text *text, const void *bytes, size_t size)
{
    if (text->capacity - text->size < size + 1 || text->bytes == NULL) {
        text->capacity = 2 * (text->size + size) + 64;
        text->bytes = realloc(text->bytes, text->capacity);
        MUST(text->bytes != NULL);
    }
    if (size > 0) {
        memcpy(text->bytes + text->size, bytes, size);
    }
    text->size += size;
    text->bytes[text->size] = '\0';
}

/* The lines of numbered_result(), from one to before another. */
static inline struct text numbered_text(size_t from, size_t end)
{
    struct text text = {0};
    text_add(&text, "", 0);
    for (size_t i = from; i < end; i++) {
        char line[64];
        text_add(&text, line, (size_t)snprintf(line, sizeof line, "key%05zu\t%zu\n", i, i));
    }
    return text;
}

/* All that a descriptor gives. */
static inline struct text text_read(int file)
{
    struct text text = {0};
    char bytes[4096];
    ssize_t count;
    text_add(&text, "", 0);
    while ((count = read(file, bytes, sizeof bytes)) > 0) {
        text_add(&text, bytes, (size_t)count);
    }
    MUST(count == 0);
    return text;
}

static inline bool text_is(struct text text, struct text expected)
{
    if (text.size != expected.size) {
        fprintf(stderr, "%zu bytes, not %zu\n", text.size, expected.size);
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.bytes[i] != expected.bytes[i]) {
            fprintf(stderr, "byte %zu of %zu differs\n", i, text.size);
            return false;
        }
    }
    return true;
}

/* The descriptors that are open, but for the one that looks. */
static inline int open_files(void)
{
    int count = 0;
    for (int file = 0; file < 256; file++) {
        count += fcntl(file, F_GETFD) >= 0;
    }
    return count;
}

#endif
