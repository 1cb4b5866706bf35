/* SPDX-License-Identifier: MIT
 *
 * What principal component analysis begins with: the mean of each row of a matrix, and the
 * covariance of each two rows. The matrix is random, but always the same. Prints the first of
 * them, and checksums.
 *
 * Two jobs over the same rows, of which the second needs what the first gives. Both compute with
 * whole numbers: covariances as columns * sum(x * y) - sum(x) * sum(y), which is to be divided
 * once.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "app.h"

enum {
    RANGE = 1000,  /* of elements, from 0 */
    SOME = 1 << 12 /* products of elements, of which 32 bits can hold the sum */
};

struct rows {
    uint64_t count, columns;
    uint32_t *elements;
    uint64_t *sums; /* of each row: what the first job gives */
};

static uint64_t sum_of(const uint32_t *row, size_t columns)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < columns; i++) {
        sum += row[i];
    }
    return sum;
}

static uint64_t dot_product(const uint32_t *a, const uint32_t *b, size_t columns)
{
    uint64_t sum = 0;

    for (size_t begin = 0; begin < columns; begin += SOME) {
        size_t end = columns - begin < SOME ? columns : begin + SOME;
        uint32_t part = 0;
        for (size_t i = begin; i < end; i++) {
            part += a[i] * b[i];
        }
        sum += part;
    }
    return sum;
}

/* Emits (row, its sum). */
static int map_sums(const struct mr_item *item, mr_emitter *out, void *user)
{
    const struct rows *rows = user;
    uint64_t first = item->index / (rows->columns * sizeof *rows->elements);
    size_t count = item->data.size / (rows->columns * sizeof *rows->elements);
    enum stook_status status = STOOK_OK;

    for (uint64_t row = first; status == STOOK_OK && row < first + count; row++) {
        uint64_t sum = sum_of(rows->elements + row * rows->columns, rows->columns);
        status = mr_emit_u64(out, mr_slice_of(&row, sizeof row), sum);
    }
    return (int)status;
}

/* Emits (row, its covariances with itself and with all rows behind it). */
static int map_covariances(const struct mr_item *item, mr_emitter *out, void *user)
{
    const struct rows *rows = user;
    size_t columns = rows->columns;
    uint64_t first = item->index / (columns * sizeof *rows->elements);
    size_t count = item->data.size / (columns * sizeof *rows->elements);
    int64_t *covariances = malloc(count * rows->count * sizeof *covariances);
    enum stook_status status = covariances ? STOOK_OK : STOOK_NOMEM;

    /* Each row is compared with all those of this call while it is in the cache. */
    for (uint64_t j = first; status == STOOK_OK && j < rows->count; j++) {
        for (uint64_t i = first; i <= j && i < first + count; i++) {
            uint64_t products =
                dot_product(rows->elements + i * columns, rows->elements + j * columns, columns);
            covariances[(i - first) * rows->count + j] =
                (int64_t)(columns * products) - (int64_t)(rows->sums[i] * rows->sums[j]);
        }
    }
    for (uint64_t i = first; status == STOOK_OK && i < first + count; i++) {
        status = mr_emit(out, mr_slice_of(&i, sizeof i),
                         mr_slice_of(covariances + (i - first) * rows->count + i,
                                     (rows->count - i) * sizeof *covariances));
    }
    free(covariances);
    return (int)status;
}

static void print_first(const char *what, const int64_t *numbers, uint64_t count, double divisor)
{
    printf("%s", what);
    for (uint64_t i = 0; i < count && i < 5; i++) {
        printf(" %.6f", (double)numbers[i] / divisor);
    }
    putchar('\n');
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: pca [OPTION...]\n"
                                "  --rows N              (default: 1000)\n"
                                "  --columns N           at least 2 (default: 1000)\n";
    struct rows rows = {.count = 1000, .columns = 1000};
    const struct app_option options[] = {{.name = "--rows", .number = &rows.count},
                                         {.name = "--columns", .number = &rows.columns},
                                         {.name = NULL}};
    struct mr_job job = MR_JOB_INIT;
    struct mr_pair pair;
    struct app app;
    uint64_t seed = 1;
    uint64_t checksum = 0;

    app_begin(&app, argc, argv, usage, options);
    app_need_files(&app, 0, 0);
    if (rows.columns < 2) {
        app_fail_usage(&app, "--columns: covariances need 2 at least");
    }
    size_t row_size = rows.columns < SIZE_MAX / 8 ? rows.columns * sizeof *rows.elements : SIZE_MAX;
    rows.elements = app_allocate(&app, rows.count, row_size);
    rows.sums = app_allocate(&app, rows.count, sizeof *rows.sums);
    for (size_t i = 0; i < rows.count * rows.columns; i++) {
        rows.elements[i] = (uint32_t)(app_random(&seed) % RANGE);
    }

    const struct mr_source source = {.text = mr_slice_of(rows.elements, rows.count * row_size)};
    job.input = mr_input_fixed(&source, 1, row_size);
    job.input.whole_splits = true;
    job.input.keep_compressed = true; /* numbers, whatever they begin with */
    job.user = &rows;
    job.map = map_sums;
    mr_result *means = app_run(&app, &job);
    while (mr_result_next(means, &pair)) {
        rows.sums[mr_slice_u64(pair.key)] = mr_slice_u64(pair.value);
    }
    mr_result_destroy(means);
    print_first("means", (const int64_t *)rows.sums, rows.count, (double)rows.columns);

    job.map = map_covariances;
    job.order =
        MR_ORDER_KEY; /* the first row comes somewhere, but its key is the least: all zeros */
    mr_result *covariances = app_run(&app, &job);
    int64_t *numbers = app_allocate(&app, rows.count, sizeof *numbers);
    while (mr_result_next(covariances, &pair)) {
        size_t count = pair.value.size / sizeof *numbers;
        memcpy(numbers, pair.value.data, pair.value.size);
        if (mr_slice_u64(pair.key) == 0) {
            print_first("covariances", numbers, count,
                        (double)rows.columns * (double)(rows.columns - 1));
        }
        for (size_t i = 0; i < count; i++) {
            checksum += (uint64_t)numbers[i];
        }
    }
    printf("covariances in all %" PRIu64 "\n", checksum);
    mr_result_destroy(covariances);
    free(numbers);
    free(rows.elements);
    free(rows.sums);
    return app_end(&app);
}
