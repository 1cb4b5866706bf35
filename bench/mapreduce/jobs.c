/* SPDX-License-Identifier: MIT
 *
 * usage: jobs WORKERS JOBS FILE
 *
 * Counts the words of FILE's pieces, a job for each, one after the other and then all at once.
 * Prints the two times in seconds; ends with 3 if the jobs do not find the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <stook/mapreduce.h>

static int map_words(const struct mr_item *item, mr_emitter *out, void *user)
{
    enum { SOME = 64 };
    const uint64_t one = 1;
    struct mr_slice text = item->data;
    struct mr_slice words[SOME];
    size_t count;
    (void)user;

    while ((count = mr_find_words(&text, words, SOME)) > 0) {
        enum stook_status status = mr_emit_keys(out, words, count, mr_slice_of(&one, sizeof one));
        if (status != STOOK_OK) {
            return (int)status;
        }
    }
    return 0;
}

static void must(enum stook_status status)
{
    if (status != STOOK_OK) {
        fprintf(stderr, "jobs: %s\n", stook_status_string(status));
        exit(1);
    }
}

static struct mr_job job_of(struct mr_source *source, const char *text, size_t size)
{
    struct mr_job job = MR_JOB_INIT;

    *source = (struct mr_source){.text = mr_slice_of(text, size)};
    job.input = mr_input_text(source, 1);
    job.input.whole_splits = true;
    job.map = map_words;
    job.combine = mr_sum_u64;
    return job;
}

int main(int argc, char **argv)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor;

    if (argc != 4) {
        return 2;
    }
    options.workers = (unsigned)atoi(argv[1]);
    size_t jobs = (size_t)atoi(argv[2]);
    FILE *file = fopen(argv[3], "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0 || jobs == 0) {
        perror(argv[3]);
        return 2;
    }
    size_t piece = (size_t)ftell(file) / jobs;
    char *text = malloc(piece * jobs + 1);
    rewind(file);
    if (!text || fread(text, 1, piece * jobs, file) != piece * jobs) {
        return 2;
    }
    must(stook_executor_create(&options, &executor));
    struct mr_source *sources = calloc(jobs, sizeof *sources);
    mr_run **runs = calloc(jobs, sizeof *runs);
    uint64_t found[2] = {0, 0};
    int64_t begun_ns = stook_now_ns();
    for (size_t i = 0; i < jobs; i++) {
        struct mr_job job = job_of(&sources[i], text + i * piece, piece);
        mr_result *result;
        must(mr_map_reduce(executor, &job, &result, NULL));
        found[0] += mr_result_count(result);
        mr_result_destroy(result);
    }
    int64_t middle_ns = stook_now_ns();
    for (size_t i = 0; i < jobs; i++) {
        struct mr_job job = job_of(&sources[i], text + i * piece, piece);
        must(mr_submit(executor, &job, &runs[i], NULL));
    }
    for (size_t i = 0; i < jobs; i++) {
        must(mr_run_wait(runs[i], STOOK_FOREVER, NULL));
        mr_result *result = mr_run_take_result(runs[i]);
        found[1] += mr_result_count(result);
        mr_result_destroy(result);
        mr_run_release(runs[i]);
    }
    int64_t ended_ns = stook_now_ns();
    printf("%.6f %.6f\n", (double)(middle_ns - begun_ns) / 1e9,
           (double)(ended_ns - middle_ns) / 1e9);
    stook_executor_destroy(executor);
    return found[0] == found[1] ? 0 : 3;
}
