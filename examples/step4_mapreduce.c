/* SPDX-License-Identifier: MIT
 *
 * Step 4: the MapReduce layer, step by step, with a reporter that is told how far each phase is.
 * mr_map_reduce() does the same in one call.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stook/mapreduce.h>
#include "words.h"

/* The item is a word: emits (word, 1). */
static int emitter(const struct mr_item *item, mr_emitter *out, void *user)
{
    const int one = 1;
    const char *word;
    (void)user;
    memcpy(&word, item->data.data, sizeof word);
    return mr_emit(out, mr_slice_str(word), mr_slice_of(&one, sizeof one));
}

/* Emits (word, sum of its values). */
static int counter(struct mr_slice word, mr_values *values, mr_emitter *out, void *user)
{
    struct mr_slice value;
    int sum = 0;
    (void)user;
    while (mr_values_next(values, &value)) {
        int one;
        memcpy(&one, value.data, sizeof one);
        sum += one;
    }
    return mr_emit(out, word, mr_slice_of(&sum, sizeof sum));
}

static int reporter(const char *tag, uint64_t done, uint64_t not_done, void *user)
{
    (void)user;
    printf("Operation %s: %" PRIu64 "/%" PRIu64 "\n", tag, done, done + not_done);
    return 0; /* anything else would cancel */
}

static enum stook_status map_reduce(stook_executor *executor, const struct mr_job *job,
                                    mr_result **ret_result)
{
    mr_batch *mapped = NULL;
    mr_batch *reduced = NULL;
    mr_groups *groups = NULL;

    enum stook_status status = mr_async_map(executor, job, &mapped, NULL);
    if (status == STOOK_OK) {
        status = mr_report_progress(mapped, "map", reporter, NULL, 0);
    }
    if (status == STOOK_OK) {
        status = mr_shuffle(executor, mapped, &groups, NULL);
    }
    if (status == STOOK_OK) {
        status = mr_async_reduce(executor, groups, &reduced, NULL);
    }
    if (status == STOOK_OK) {
        status = mr_report_progress(reduced, "reduce", reporter, NULL, 0);
    }
    if (status == STOOK_OK) {
        status = mr_batch_result(reduced, ret_result);
    }
    mr_batch_destroy(reduced);
    mr_groups_destroy(groups);
    mr_batch_destroy(mapped);
    return status;
}

int main(int argc, char **argv)
{
    static struct words words;
    struct mr_job job = MR_JOB_INIT;
    mr_result *result = NULL;
    stook_executor *executor;
    struct mr_pair pair;

    words_get(&words, argc, argv);
    job.input = mr_input_array(words.word, words.count, sizeof words.word[0]);
    job.map = emitter;
    job.reduce = counter;
    job.order = MR_ORDER_KEY;

    enum stook_status status = stook_executor_create(NULL, &executor);
    if (status == STOOK_OK) {
        status = map_reduce(executor, &job, &result);
        stook_executor_destroy(executor);
    }
    if (status != STOOK_OK) {
        fprintf(stderr, "failed: %s\n", stook_status_string(status));
        return EXIT_FAILURE;
    }
    while (mr_result_next(result, &pair)) {
        int sum;
        memcpy(&sum, pair.value.data, sizeof sum);
        printf("%.*s %d\n", (int)pair.key.size, (const char *)pair.key.data, sum);
    }
    mr_result_destroy(result);
    return EXIT_SUCCESS;
}
