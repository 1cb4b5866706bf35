/* SPDX-License-Identifier: MIT
 *
 * B89: many clients at once. Threads run small random jobs on one executor; each result must equal
 * that of the sequential oracle. In between, jobs that fail and jobs that are cancelled, which must
 * not touch the others.
 */
#include "mr_fuzz.h"

#define CLIENTS 8
#define WORKERS 4
#define FAILURE 99

struct client {
    stook_executor *executor;
    uint64_t random;
    unsigned jobs;
};

static int failing_reduce(struct mr_slice key, mr_values *values, mr_emitter *out, void *user)
{
    (void)key;
    (void)values;
    (void)out;
    (void)user;
    return FAILURE;
}

/* Gives up at the first call, or at the end of the map phase. */
static int cancelling_progress(const char *tag, uint64_t done, uint64_t not_done, void *user)
{
    const struct fuzz *fuzz = user;
    (void)done;
    return fuzz->seed % 2 == 0 || not_done == 0 || strcmp(tag, "reduce") == 0;
}

static void run_good_job(struct client *client, struct fuzz_job *fuzz)
{
    mr_result *expected = must_run(NULL, &fuzz->job);
    MUST(fuzz_job_agrees(client->executor, &fuzz->job, expected));
    mr_result_destroy(expected);
}

static void run_failing_job(struct client *client, struct fuzz_job *fuzz)
{
    mr_result *expected = must_run(NULL, &fuzz->job);
    const bool has_keys = mr_result_count(expected) > 0;
    mr_result *result = NULL;
    struct mr_error error;
    mr_result_destroy(expected);
    fuzz->job.reduce = failing_reduce;
    enum stook_status status = mr_map_reduce(client->executor, &fuzz->job, &result, &error);
    if (status == STOOK_OK) { /* only if no key has reached the reducer */
        MUST(!has_keys);
        mr_result_destroy(result);
    } else {
        MUST(status == STOOK_TASK_FAILED && error.status == status);
        MUST(error.phase == MR_PHASE_REDUCE && error.code == FAILURE);
    }
}

static void run_cancelled_job(struct client *client, struct fuzz_job *fuzz)
{
    mr_result *result = NULL;
    struct mr_error error;
    fuzz->job.progress = cancelling_progress;
    fuzz->job.progress_period_ns = 1;
    MUST(mr_map_reduce(client->executor, &fuzz->job, &result, &error) == STOOK_CANCELLED);
    MUST(error.status == STOOK_CANCELLED);
}

static int run_client(void *arg)
{
    struct client *client = arg;
    for (unsigned i = 0; i < client->jobs; i++) {
        struct fuzz_job fuzz;
        fuzz_job_init(&fuzz, &client->random, 300, random_below(&client->random, 3) == 0);
        fuzz.job.partitions = random_below(&client->random, 17);
        if (random_below(&client->random, 4) > 0) {
            fuzz.job.input.chunk = 1 + random_below(&client->random, 2 * (unsigned)fuzz.count);
        }
        switch (random_below(&client->random, 10)) {
        case 0:
            run_failing_job(client, &fuzz);
            break;
        case 1:
            run_cancelled_job(client, &fuzz);
            break;
        default:
            run_good_job(client, &fuzz);
        }
        fuzz_job_free(&fuzz);
    }
    return 0;
}

int main(int argc, char **argv)
{
    uint64_t random = stress_seed(argc, argv);
    const unsigned jobs = stress_scaled(100);
    struct client clients[CLIENTS];
    thrd_t threads[CLIENTS];
    stook_executor *executor = must_create(WORKERS);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i].executor = executor;
        clients[i].random = random_next(&random);
        clients[i].jobs = jobs;
        must_start(&threads[i], run_client, &clients[i]);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        thrd_join(threads[i], NULL);
    }
    stook_executor_destroy(executor);
    printf("%u jobs of %d clients: as expected\n", jobs * CLIENTS, CLIENTS);
    return 0;
}
