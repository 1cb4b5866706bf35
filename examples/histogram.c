/* SPDX-License-Identifier: MIT
 *
 * Counts how often each value of red, green and blue occurs in files of raw pixels, 3 bytes each,
 * all files together. Prints CHANNEL VALUE COUNT.
 *
 * The mapper gets many pixels in one call, counts them in a table of its own, and emits that: so
 * the library sees 768 pairs for each megabyte.
 */
#include <inttypes.h>
#include <stdio.h>
#include "app.h"

enum { CHANNELS = 3, LEVELS = 256, TABLES = 4 };

/* Neighbours have the same colour often: with a table for each of 4 pixels, an addition need not
 * wait for the one before it. */
static void count_pixels(const unsigned char *at, size_t pixels,
                         uint32_t counts[TABLES][CHANNELS][LEVELS])
{
    for (; pixels >= TABLES; pixels -= TABLES) {
        for (size_t table = 0; table < TABLES; table++) {
            for (size_t channel = 0; channel < CHANNELS; channel++) {
                counts[table][channel][*at++]++;
            }
        }
    }
    for (; pixels > 0; pixels--) {
        for (size_t channel = 0; channel < CHANNELS; channel++) {
            counts[0][channel][*at++]++;
        }
    }
}

static int map_pixels(const struct mr_item *item, mr_emitter *out, void *user)
{
    const size_t most = (size_t)1 << 30; /* which a counter can hold */
    const unsigned char *at = item->data.data;
    size_t left = item->data.size / CHANNELS;
    enum stook_status status = STOOK_OK;
    (void)user;

    while (left > 0 && status == STOOK_OK) {
        uint32_t counts[TABLES][CHANNELS][LEVELS] = {0};
        size_t pixels = left < most ? left : most;
        count_pixels(at, pixels, counts);
        for (unsigned i = 0; i < CHANNELS * LEVELS && status == STOOK_OK; i++) {
            const unsigned char key[] = {(unsigned char)(i / LEVELS), (unsigned char)(i % LEVELS)};
            uint64_t count = 0;
            for (size_t table = 0; table < TABLES; table++) {
                count += counts[table][key[0]][key[1]];
            }
            if (count > 0) {
                status = mr_emit_u64(out, mr_slice_of(key, sizeof key), count);
            }
        }
        at += pixels * CHANNELS;
        left -= pixels;
    }
    return (int)status;
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: histogram [OPTION...] FILE...\n";
    static const char *const names[] = {"red", "green", "blue"};
    struct mr_job job = MR_JOB_INIT;
    struct mr_pair pair;
    struct app app;

    app_begin(&app, argc, argv, usage, NULL);
    job.input = mr_input_fixed(app_sources(&app), app.file_count, CHANNELS);
    job.input.whole_splits = true;
    job.input.map_files = true; /* in place: a copy would take a third of the time */
    job.input.chunk = 1 << 20;
    job.input.keep_compressed = true; /* pixels, whatever they begin with */
    job.map = map_pixels;
    job.combine = mr_sum_u64;
    job.order = MR_ORDER_KEY;
    job.partitions = 1; /* 768 keys are not worth more */

    mr_result *result = app_run(&app, &job);
    while (mr_result_next(result, &pair)) {
        const unsigned char *key = pair.key.data;
        printf("%s %u %" PRIu64 "\n", names[key[0]], (unsigned)key[1], mr_slice_u64(pair.value));
    }
    mr_result_destroy(result);
    return app_end(&app);
}
