/* SPDX-License-Identifier: MIT
 *
 * The line through points by least squares. Files hold points of two bytes, x and y, all files
 * together.
 *
 * All that is needed of the points is six sums, so the job has six keys.
 */
#include <inttypes.h>
#include <stdio.h>
#include "app.h"

enum { POINTS, SUM_X, SUM_Y, SUM_XX, SUM_YY, SUM_XY, KEYS };

enum {
    POINT = 2, /* bytes */
    SOME =
        1 << 15 /* points, of which 32 bits can hold the sums: the compiler makes vectors of them */
};

static void add_some(const unsigned char *at, size_t points, uint64_t sums[KEYS])
{
    uint32_t x = 0;
    uint32_t y = 0;
    uint32_t xx = 0;
    uint32_t yy = 0;
    uint32_t xy = 0;

    for (size_t i = 0; i < points; i++) {
        uint32_t px = at[POINT * i];
        uint32_t py = at[POINT * i + 1];
        x += px;
        y += py;
        xx += px * px;
        yy += py * py;
        xy += px * py;
    }
    sums[POINTS] += points;
    sums[SUM_X] += x;
    sums[SUM_Y] += y;
    sums[SUM_XX] += xx;
    sums[SUM_YY] += yy;
    sums[SUM_XY] += xy;
}

static int map_points(const struct mr_item *item, mr_emitter *out, void *user)
{
    const unsigned char *at = item->data.data;
    size_t left = item->data.size / POINT;
    uint64_t sums[KEYS] = {0};
    enum stook_status status = STOOK_OK;
    (void)user;

    while (left > 0) {
        size_t points = left < SOME ? left : SOME;
        add_some(at, points, sums);
        at += points * POINT;
        left -= points;
    }
    for (unsigned char key = 0; key < KEYS && status == STOOK_OK; key++) {
        status = mr_emit_u64(out, mr_slice_of(&key, 1), sums[key]);
    }
    return (int)status;
}

static void print_line(const uint64_t sums[KEYS])
{
    static const char *const names[KEYS] = {"points", "x", "y", "xx", "yy", "xy"};
    double n = (double)sums[POINTS];
    double x = (double)sums[SUM_X];
    double y = (double)sums[SUM_Y];
    double spread_x = n * (double)sums[SUM_XX] - x * x;
    double spread_y = n * (double)sums[SUM_YY] - y * y;
    double together = n * (double)sums[SUM_XY] - x * y;

    for (unsigned key = 0; key < KEYS; key++) {
        printf("%s %" PRIu64 "\n", names[key], sums[key]);
    }
    if (spread_x > 0) {
        double slope = together / spread_x;
        printf("y = %.6f * x + %.6f\n", slope, (y - slope * x) / n);
    }
    if (spread_x > 0 && spread_y > 0) {
        printf("r2 %.6f\n", together * together / (spread_x * spread_y));
    }
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: linear_regression [OPTION...] FILE...\n";
    uint64_t sums[KEYS] = {0};
    struct mr_job job = MR_JOB_INIT;
    struct mr_pair pair;
    struct app app;

    app_begin(&app, argc, argv, usage, NULL);
    job.input = mr_input_fixed(app_sources(&app), app.file_count, POINT);
    job.input.whole_splits = true;
    job.input.map_files = true; /* in place: a copy would take a third of the time */
    job.input.chunk = 1 << 20;
    job.input.keep_compressed = true; /* points, whatever they begin with */
    job.map = map_points;
    job.combine = mr_sum_u64;
    job.partitions = 1;

    mr_result *result = app_run(&app, &job);
    while (mr_result_next(result, &pair)) {
        sums[*(const unsigned char *)pair.key.data] = mr_slice_u64(pair.value);
    }
    mr_result_destroy(result);
    print_line(sums);
    return app_end(&app);
}
