/* SPDX-License-Identifier: MIT
 *
 * Multiplies two square matrices of whole numbers, which are random, but always the same. Prints
 * the sum of all elements of the product, its trace, and its first elements.
 *
 * The items are rows of the left matrix, some in one call; a pair is the index of a row and that
 * row of the product. Elements are 32 bits, and wrap around.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "app.h"

enum {
    RANGE = 100, /* of elements, from 0 */
    ROWS = 16,   /* in one call of the mapper */
    DEPTH = 16   /* rows of the right matrix, which stay in the cache for all rows of a call */
};

struct matrices {
    uint64_t size;
    uint32_t *left, *right, *product;
};

/* to += factor * row: the compiler makes vectors of it. */
static void add_multiple(uint32_t *restrict to, const uint32_t *restrict row, uint32_t factor,
                         size_t size)
{
    for (size_t j = 0; j < size; j++) {
        to[j] += factor * row[j];
    }
}

static int map_rows(const struct mr_item *item, mr_emitter *out, void *user)
{
    const struct matrices *m = user;
    const uint32_t *left = item->data.data;
    uint64_t first = item->index / (m->size * sizeof *left); /* which is a number of bytes */
    size_t rows = item->data.size / (m->size * sizeof *left);
    uint32_t *product = calloc(rows * m->size, sizeof *product);
    enum stook_status status = product ? STOOK_OK : STOOK_NOMEM;

    for (uint64_t begin = 0; product && begin < m->size; begin += DEPTH) {
        uint64_t end = m->size - begin < DEPTH ? m->size : begin + DEPTH;
        for (size_t i = 0; i < rows; i++) {
            for (uint64_t k = begin; k < end; k++) {
                add_multiple(product + i * m->size, m->right + k * m->size, left[i * m->size + k],
                             m->size);
            }
        }
    }
    for (size_t i = 0; status == STOOK_OK && i < rows; i++) {
        uint64_t row = first + i;
        status = mr_emit(out, mr_slice_of(&row, sizeof row),
                         mr_slice_of(product + i * m->size, m->size * sizeof *product));
    }
    free(product);
    return (int)status;
}

static void print(const struct matrices *m)
{
    uint64_t sum = 0;
    uint64_t trace = 0;

    for (uint64_t i = 0; i < m->size; i++) {
        for (uint64_t j = 0; j < m->size; j++) {
            sum += m->product[i * m->size + j];
        }
        trace += m->product[i * m->size + i];
    }
    printf("sum %" PRIu64 "\ntrace %" PRIu64 "\nfirst", sum, trace);
    for (uint64_t j = 0; j < m->size && j < 8; j++) {
        printf(" %" PRIu32, m->product[j]);
    }
    putchar('\n');
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: matrix_multiply [OPTION...]\n"
                                "  --size N              rows and columns (default: 1024)\n";
    struct matrices m = {.size = 1024};
    const struct app_option options[] = {{.name = "--size", .number = &m.size}, {.name = NULL}};
    struct mr_job job = MR_JOB_INIT;
    struct mr_pair pair;
    struct app app;
    uint64_t seed = 1;

    app_begin(&app, argc, argv, usage, options);
    app_need_files(&app, 0, 0);
    size_t row_size = m.size < SIZE_MAX / 8 ? m.size * sizeof *m.left : SIZE_MAX;
    m.left = app_allocate(&app, m.size, row_size);
    m.right = app_allocate(&app, m.size, row_size);
    m.product = app_allocate(&app, m.size, row_size);
    for (size_t i = 0; i < m.size * m.size; i++) {
        m.left[i] = (uint32_t)(app_random(&seed) % RANGE);
    }
    for (size_t i = 0; i < m.size * m.size; i++) {
        m.right[i] = (uint32_t)(app_random(&seed) % RANGE);
    }

    const struct mr_source source = {.text = mr_slice_of(m.left, m.size * row_size)};
    job.input = mr_input_fixed(&source, 1, row_size);
    job.input.whole_splits = true;
    job.input.chunk = ROWS * row_size;
    job.input.keep_compressed = true; /* numbers, whatever they begin with */
    job.map = map_rows;
    job.user = &m;
    mr_result *result = app_run(&app, &job);
    while (mr_result_next(result, &pair)) {
        memcpy(m.product + mr_slice_u64(pair.key) * m.size, pair.value.data, row_size);
    }
    mr_result_destroy(result);
    print(&m);
    free(m.left);
    free(m.right);
    free(m.product);
    return app_end(&app);
}
