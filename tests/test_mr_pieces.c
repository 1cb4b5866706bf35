/* SPDX-License-Identifier: MIT
 *
 * Results whose lines tasks make: the same bytes as those that the caller makes alone, wherever the
 * pairs lie; and pieces that cannot be made, or not be written.
 */
#define _POSIX_C_SOURCE 200809L
#include "check.h"
#include "mr_output.h"

#include <signal.h>

#define KEYS 100000

/* How the result of a job comes to lie where it does. */
struct shape {
    size_t key_size; /* at least 8 */
    enum mr_order order;
    uint64_t top;
    uint64_t memory_limit;
    bool reduces; /* then pairs lie in lists */
};

static int map_number(const struct mr_item *item, mr_emitter *out, void *user)
{
    const struct shape *shape = user;
    char key[5000];

    memset(key, 'k', shape->key_size);
    const uint64_t number = mix(item->index);
    memcpy(key, &number, sizeof number);
    /* every 1000th is longer, and in no block with others */
    size_t size = item->index % 1000 == 7 ? sizeof key : shape->key_size;
    memset(key + shape->key_size, 'l', sizeof key - shape->key_size);
    return mr_emit(out, mr_slice_of(key, size), mr_slice_of(&item->index, 8));
}

static int keep_value(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    struct mr_slice value;
    (void)user;

    return mr_values_next(values, &value) ? mr_emit(out, key, value) : 1;
}

static mr_result *result_like(stook_executor *executor, struct shape *shape)
{
    static const char items[KEYS];
    struct mr_job job = MR_JOB_INIT;
    mr_result *result = NULL;

    job.input = mr_input_array(items, KEYS, 1);
    job.map = map_number;
    job.combine = mr_sum_u64;
    job.reduce = shape->reduces ? keep_value : NULL;
    job.order = shape->order;
    job.compare = mr_by_count;
    job.top = shape->top;
    job.memory_limit = shape->memory_limit;
    job.user = shape;
    MUST(mr_map_reduce(executor, &job, &result, NULL) == STOOK_OK);
    return result;
}

static struct text text_of(stook_executor *executor, mr_result *result, size_t skipped)
{
    char path[] = "/tmp/stook-test-XXXXXX";
    const int file = mkstemp(path);
    struct mr_pair pair;

    MUST(file >= 0 && unlink(path) == 0);
    mr_result_rewind(result);
    for (size_t i = 0; i < skipped; i++) {
        MUST(mr_result_next(result, &pair));
    }
    MUST(mr_result_write(executor, result, file, MR_FORMAT_U64, NULL) == STOOK_OK);
    MUST(!mr_result_next(result, &pair));
    MUST(lseek(file, 0, SEEK_SET) == 0);
    struct text text = text_read(file);
    MUST(close(file) == 0);
    return text;
}

static bool is_same(stook_executor *executor, mr_result *result, size_t skipped)
{
    struct text alone = text_of(NULL, result, skipped);
    struct text together = text_of(executor, result, skipped);
    bool same = alone.size > 0 && text_is(together, alone);

    free(alone.bytes);
    free(together.bytes);
    return same;
}

Test(mr_pieces, bytes_are_the_same_wherever_pairs_lie, .timeout = 60)
{
    struct shape shapes[] = {
        {.key_size = 8},
        {.key_size = 20},
        {.key_size = 8, .order = MR_ORDER_KEY},
        {.key_size = 30, .order = MR_ORDER_PAIR},
        {.key_size = 8, .order = MR_ORDER_PAIR, .top = 40001},
        {.key_size = 8, .top = 40001},
        {.key_size = 8, .order = MR_ORDER_KEY, .reduces = true},
        {.key_size = 8, .reduces = true},
        {.key_size = 40, .order = MR_ORDER_KEY, .memory_limit = MR_LEAST_MEMORY},
    };

    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        stook_executor *executor = must_create(1 + (unsigned)i % 3);
        mr_result *result = result_like(executor, &shapes[i]);
        cr_assert(is_same(executor, result, 0), "shape %zu", i);
        cr_assert(is_same(executor, result, 1), "shape %zu", i);
        cr_assert(is_same(executor, result, 40000), "shape %zu", i);
        mr_result_destroy(result);
        stook_executor_destroy(executor);
    }
}

static void must_fail(stook_executor *executor, mr_result *result, int file, enum mr_format format,
                      enum stook_status status, const char *word)
{
    struct mr_error error;

    memset(&error, 0xff, sizeof error);
    mr_result_rewind(result);
    cr_assert_eq(mr_result_write(executor, result, file, format, &error), status);
    cr_assert_eq(error.status, status);
    cr_assert(strstr(error.message, word) != NULL, "%s", error.message);
    mr_result_rewind(result);
    cr_assert_eq(mr_result_write(executor, result, file, format, NULL), status);
}

Test(mr_pieces, failures_are_told, .timeout = 60)
{
    struct shape shape = {.key_size = 8};
    stook_executor *executor = must_create(2);
    mr_result *result = result_like(executor, &shape);
    const int full = open("/dev/full", O_WRONLY);
    int ends[2];

    if (full >= 0) {
        must_fail(executor, result, full, MR_FORMAT_U64, STOOK_IO, "No space left");
        close(full);
    }
    MUST(pipe(ends) == 0 && signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    close(ends[0]);
    must_fail(executor, result, ends[1], MR_FORMAT_U64, STOOK_IO, "Broken pipe");
    close(ends[1]);
    must_fail(executor, result, STDERR_FILENO, (enum mr_format)9, STOOK_INVALID, "value_format");
    must_fail(executor, result, -1, MR_FORMAT_U64, STOOK_IO, "Bad file descriptor");
    cr_assert(is_same(executor, result, 0));
    MUST(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER) == STOOK_OK);
    must_fail(executor, result, STDERR_FILENO, MR_FORMAT_U64, STOOK_SHUTDOWN, "shut");
    mr_result_destroy(result);
    stook_executor_destroy(executor);
}

/* --- texts of any form ------------------------------------------------------------------------ */

/* As mr_result_write() does it; every fourth text is long. */
static int put_pair(const struct mr_pair *pair, mr_text *text, void *user)
{
    static char padding[200000];
    uint64_t value = slice_u64(pair->value);
    char number[32];
    int size = snprintf(number, sizeof number, "\t%llu\n", (unsigned long long)value);

    if (user) {
        return value == 4321 ? *(int *)user : 0;
    }
    return !(mr_text_put(text, pair->key) && mr_text_put(text, mr_slice_of(NULL, 0)) &&
             mr_text_put(text, mr_slice_of(padding, value % 4001 == 0 ? sizeof padding : 0)) &&
             mr_text_put(text, mr_slice_of(number, (size_t)size)));
}

static struct text text_by(stook_executor *executor, mr_result *result)
{
    char path[] = "/tmp/stook-test-XXXXXX";
    const int file = mkstemp(path);

    MUST(file >= 0 && unlink(path) == 0);
    mr_result_rewind(result);
    MUST(mr_result_write_text(executor, result, file, put_pair, NULL, NULL) == STOOK_OK);
    MUST(lseek(file, 0, SEEK_SET) == 0);
    struct text text = text_read(file);
    MUST(close(file) == 0);
    return text;
}

Test(mr_pieces, functions_make_texts, .timeout = 60)
{
    struct shape shape = {.key_size = 8, .order = MR_ORDER_KEY};
    stook_executor *executor = must_create(2);
    mr_result *result = result_like(executor, &shape);
    struct text alone = text_by(NULL, result);
    struct text together = text_by(executor, result);
    struct text lines = text_of(NULL, result, 0);
    struct mr_error error;
    int code = 77;

    cr_assert(text_is(together, alone));
    cr_assert_eq(alone.size, lines.size + (KEYS / 4001 + 1) * (size_t)200000);
    for (int i = 0; i < 2; i++) {
        mr_result_rewind(result);
        cr_assert_eq(mr_result_write_text(i ? executor : NULL, result, STDERR_FILENO, put_pair,
                                          &code, &error),
                     STOOK_TASK_FAILED);
        cr_assert_eq(error.code, 77);
        cr_assert_eq(error.phase, MR_PHASE_OUTPUT);
        cr_assert(strstr(error.message, "77") != NULL, "%s", error.message);
    }
    mr_result_rewind(result);
    cr_assert_eq(mr_result_write_text(executor, result, -1, put_pair, NULL, &error), STOOK_IO);
    cr_assert_eq(mr_result_write_text(executor, result, 1, NULL, NULL, NULL), STOOK_INVALID);
    free(alone.bytes);
    free(together.bytes);
    free(lines.bytes);
    mr_result_destroy(result);
    stook_executor_destroy(executor);
}

/* Every allocation fails once. */
Test(mr_pieces, memory_may_fail, .timeout = 60)
{
    struct shape shape = {.key_size = 8, .order = MR_ORDER_KEY};
    stook_executor_destroy(must_create(1)); /* this thread keeps something from now on */
    const long blocks_before = atomic_load(&blocks);
    stook_executor *executor = must_create(1);
    mr_result *result = result_like(executor, &shape);
    const int null = open("/dev/null", O_WRONLY);
    enum stook_status status;
    long number = 0;

    MUST(null >= 0);
    do {
        mr_result_rewind(result);
        fail_call(number++);
        status = mr_result_write(executor, result, null, MR_FORMAT_U64, NULL);
        fail_none();
        cr_assert(status == STOOK_OK || status == STOOK_NOMEM, "%s", stook_status_name(status));
    } while (status != STOOK_OK);
    cr_assert_gt(number, 5);
    close(null);
    mr_result_destroy(result);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&blocks), blocks_before);
}
