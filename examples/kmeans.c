/* SPDX-License-Identifier: MIT
 *
 * k-means: puts points of three whole coordinates into clusters, each point into that with the
 * nearest centre; then the mean of a cluster is its new centre; and so on, until no centre moves.
 * The points are random, but always the same. Prints X Y Z COUNT of each cluster.
 *
 * Each iteration is a job. Means are rounded down, so that they depend on no order of additions.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "app.h"

enum {
    RANGE = 1000, /* of coordinates, from 0: float has the squares of distances exactly */
    BLOCK = 64    /* points compared with a centre at a time, as vectors */
};

struct point {
    int32_t x, y, z;
};

struct cluster {
    uint64_t count, x, y, z; /* sums of its points, or their mean */
};

struct clusters {
    uint64_t count;
    const struct cluster *all;
};

/* Some points side by side, so that the compiler makes vectors of them. */
struct block {
    float x[BLOCK], y[BLOCK], z[BLOCK];
    float least[BLOCK]; /* square of the distance to the nearest centre */
    int32_t nearest[BLOCK];
};

/* What one call of the mapper works with. */
struct work {
    struct block block;
    struct cluster sums[]; /* of the points of each cluster */
};

static void compare(struct block *block, float x, float y, float z, int32_t cluster)
{
    for (size_t i = 0; i < BLOCK; i++) {
        float dx = block->x[i] - x;
        float dy = block->y[i] - y;
        float dz = block->z[i] - z;
        float distance = dx * dx + dy * dy + dz * dz;
        int32_t closer = -(int32_t)(distance < block->least[i]); /* as a mask: no branch */
        block->nearest[i] = (block->nearest[i] & ~closer) | (cluster & closer);
        block->least[i] = distance < block->least[i] ? distance : block->least[i];
    }
}

/* Finds the cluster that each of some points is nearest to, the first if there are several. */
static void find_nearest(struct block *block, const struct point *points, size_t count,
                         const struct clusters *clusters)
{
    *block = (struct block){.nearest = {0}};
    for (size_t i = 0; i < count; i++) {
        block->x[i] = (float)points[i].x;
        block->y[i] = (float)points[i].y;
        block->z[i] = (float)points[i].z;
    }
    for (size_t i = 0; i < BLOCK; i++) {
        block->least[i] = 3.0F * RANGE * RANGE;
    }
    for (uint64_t c = 0; c < clusters->count; c++) {
        const struct cluster *at = &clusters->all[c];
        compare(block, (float)at->x, (float)at->y, (float)at->z, (int32_t)c);
    }
}

/* Emits the sums of each cluster's points. */
static int map_points(const struct mr_item *item, mr_emitter *out, void *user)
{
    const struct clusters *clusters = user;
    const struct point *points = item->data.data;
    size_t left = item->data.size / sizeof *points;
    struct work *work = calloc(1, sizeof *work + clusters->count * sizeof work->sums[0]);
    enum stook_status status = work ? STOOK_OK : STOOK_NOMEM;

    while (work && left > 0) {
        size_t some = left < BLOCK ? left : BLOCK;
        find_nearest(&work->block, points, some, clusters);
        for (size_t i = 0; i < some; i++) {
            struct cluster *sum = &work->sums[work->block.nearest[i]];
            sum->count++;
            sum->x += (uint64_t)points[i].x;
            sum->y += (uint64_t)points[i].y;
            sum->z += (uint64_t)points[i].z;
        }
        points += some;
        left -= some;
    }
    for (uint64_t c = 0; status == STOOK_OK && c < clusters->count; c++) {
        const struct cluster *sum = &work->sums[c];
        if (sum->count > 0) {
            status = mr_emit(out, mr_slice_of(&c, sizeof c), mr_slice_of(sum, sizeof *sum));
        }
    }
    free(work);
    return (int)status;
}

static int add_sums(struct mr_slice key, void *accumulator, size_t size, struct mr_slice value,
                    void *user)
{
    struct cluster *sum = accumulator;
    struct cluster more;
    (void)key;
    (void)size;
    (void)user;

    memcpy(&more, value.data, sizeof more);
    sum->count += more.count;
    sum->x += more.x;
    sum->y += more.y;
    sum->z += more.z;
    return 0;
}

/* Moves the centres. Returns whether any has moved; one without points stays. */
static bool move_centres(mr_result *result, struct cluster *all, uint64_t count)
{
    struct mr_pair pair;
    bool has_moved = false;

    for (uint64_t c = 0; c < count; c++) {
        all[c].count = 0;
    }
    while (mr_result_next(result, &pair)) {
        struct cluster *cluster = &all[mr_slice_u64(pair.key)];
        struct cluster mean;
        memcpy(&mean, pair.value.data, sizeof mean);
        mean.x /= mean.count;
        mean.y /= mean.count;
        mean.z /= mean.count;
        has_moved |= mean.x != cluster->x || mean.y != cluster->y || mean.z != cluster->z;
        *cluster = mean;
    }
    return has_moved;
}

static void generate(struct point *points, uint64_t point_count, struct cluster *all,
                     uint64_t count)
{
    uint64_t seed = 1;

    for (uint64_t i = 0; i < point_count; i++) {
        points[i].x = (int32_t)(app_random(&seed) % RANGE);
        points[i].y = (int32_t)(app_random(&seed) % RANGE);
        points[i].z = (int32_t)(app_random(&seed) % RANGE);
    }
    for (uint64_t c = 0; c < count; c++) {
        all[c].x = app_random(&seed) % RANGE;
        all[c].y = app_random(&seed) % RANGE;
        all[c].z = app_random(&seed) % RANGE;
    }
}

int main(int argc, char **argv)
{
    static const char usage[] =
        "usage: kmeans [OPTION...]\n"
        "  --points N            how many points (default: 100000)\n"
        "  --clusters N          how many clusters (default: 100)\n"
        "  --iterations N        end after so many, if centres still move\n";
    uint64_t point_count = 100000;
    uint64_t most_iterations = UINT64_MAX;
    uint64_t iterations = 0;
    struct clusters clusters = {.count = 100};
    const struct app_option options[] = {{.name = "--points", .number = &point_count},
                                         {.name = "--clusters", .number = &clusters.count},
                                         {.name = "--iterations", .number = &most_iterations},
                                         {.name = NULL}};
    struct mr_job job = MR_JOB_INIT;
    bool has_moved = true;
    struct app app;

    app_begin(&app, argc, argv, usage, options);
    app_need_files(&app, 0, 0);
    struct point *points = app_allocate(&app, point_count, sizeof *points);
    struct cluster *all = app_allocate(&app, clusters.count, sizeof *all);
    generate(points, point_count, all, clusters.count);
    clusters.all = all;

    const struct mr_source source = {.text = mr_slice_of(points, point_count * sizeof *points)};
    job.input = mr_input_fixed(&source, 1, sizeof *points);
    job.input.whole_splits = true;
    job.input.keep_compressed = true; /* points, whatever they begin with */
    job.map = map_points;
    job.combine = add_sums;
    job.user = &clusters;
    job.partitions = 1;
    for (; has_moved && iterations < most_iterations; iterations++) {
        mr_result *result = app_run(&app, &job);
        has_moved = move_centres(result, all, clusters.count);
        mr_result_destroy(result);
    }
    printf("iterations %" PRIu64 "\n", iterations);
    for (uint64_t c = 0; c < clusters.count; c++) {
        printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", all[c].x, all[c].y, all[c].z,
               all[c].count);
    }
    free(all);
    free(points);
    return app_end(&app);
}
