/* SPDX-License-Identifier: MIT
 *
 * Submits that race with shutdown: several threads and the tasks themselves submit until they are
 * refused, some cancel at random, while one or two threads shut the executor down in either mode.
 * What was accepted is terminal when shutdown says OK, and its function was called once unless it
 * is cancelled; what was refused is never called (B40).
 */
#include "support.h"

enum { SUBMITTERS = 3, RECORDS = 3000, CHILDREN = 3 };

struct record {
    struct submitter *submitter;
    atomic_int runs, child_runs;
    int children;   /* accepted; plain: written by the task, read after shutdown */
    int written;    /* plain, as above */
    bool cancelled; /* stook_future_cancel() said DONE */
    stook_future *future;
};

struct submitter {
    stook_executor *executor;
    struct record *records;
    atomic_int *accepted_by_all;
    unsigned accepted;
    uint64_t random;
    thrd_t thread;
};

static int child_task(void *arg, void **ret_value)
{
    struct record *record = arg;

    (void)ret_value;
    atomic_fetch_add(&record->child_runs, 1);
    return 0;
}

static int record_task(void *arg, void **ret_value)
{
    struct record *record = arg;

    (void)ret_value;
    atomic_fetch_add(&record->runs, 1);
    record->written = 1;
    if (((uintptr_t)record >> 6) % 4 == 0) {
        for (int i = 0; i < CHILDREN; i++) {
            const enum stook_status status =
                stook_executor_submit(record->submitter->executor, child_task, record, NULL);

            MUST(status == STOOK_OK || status == STOOK_SHUTDOWN);
            record->children += status == STOOK_OK;
        }
    }
    return 0;
}

/* Submits one task or a few, until it is refused; cancels one now and then. */
static int submitter_thread(void *arg)
{
    struct submitter *submitter = arg;
    enum stook_status status = STOOK_OK;

    while (status == STOOK_OK && submitter->accepted + 8 <= RECORDS) {
        const unsigned count = 1 + random_below(&submitter->random, 8);
        struct record *records = &submitter->records[submitter->accepted];
        stook_future *futures[8];

        for (unsigned i = 0; i < count; i++) {
            records[i].submitter = submitter;
        }
        if (count == 1) {
            status = stook_executor_submit(submitter->executor, record_task, records, futures);
        } else {
            status = stook_executor_submit_many(submitter->executor, NULL, record_task, records,
                                                count, sizeof records[0], futures);
        }
        if (status == STOOK_OK) {
            for (unsigned i = 0; i < count; i++) {
                records[i].future = futures[i];
                if (random_below(&submitter->random, 8) == 0) {
                    records[i].cancelled = stook_future_cancel(futures[i]) == STOOK_CANCEL_DONE;
                }
            }
            submitter->accepted += count;
            atomic_fetch_add(submitter->accepted_by_all, (int)count);
        }
    }
    MUST(status == STOOK_OK || status == STOOK_SHUTDOWN);
    return 0;
}

struct closer {
    stook_executor *executor;
    enum stook_shutdown_mode mode;
};

static int closer_thread(void *arg)
{
    const struct closer *closer = arg;

    MUST(stook_executor_shutdown(closer->executor, closer->mode, STOOK_FOREVER) == STOOK_OK);
    return 0;
}

static void check_record(const struct record *record, bool accepted, bool cancelling)
{
    const int runs = atomic_load(&record->runs);
    enum stook_state state;

    if (!accepted) {
        MUST(runs == 0);
        return;
    }
    state = stook_future_state(record->future);
    MUST(state == STOOK_STATE_DONE || state == STOOK_STATE_CANCELLED);
    MUST(runs == (state == STOOK_STATE_DONE));
    MUST(record->written == runs);
    MUST(!record->cancelled || state == STOOK_STATE_CANCELLED);
    MUST(cancelling || record->cancelled || state == STOOK_STATE_DONE);
    MUST(cancelling ? atomic_load(&record->child_runs) <= record->children
                    : atomic_load(&record->child_runs) == record->children);
}

static void run_round(uint64_t *random)
{
    static struct submitter submitters[SUBMITTERS];
    stook_executor *executor = must_create(1 + random_below(random, 4));
    const bool two = random_below(random, 3) == 0;
    const int start_at = (int)random_below(random, RECORDS);
    atomic_int accepted = 0;
    struct closer closers[2];
    thrd_t thread;

    for (int i = 0; i < SUBMITTERS; i++) {
        submitters[i] = (struct submitter){.executor = executor, .accepted_by_all = &accepted};
        submitters[i].random = random_next(random);
        submitters[i].records = calloc(RECORDS, sizeof *submitters[i].records);
        MUST(submitters[i].records != NULL);
        must_start(&submitters[i].thread, submitter_thread, &submitters[i]);
    }
    for (int i = 0; i < 2; i++) {
        closers[i].executor = executor;
        closers[i].mode = random_below(random, 2) ? STOOK_DRAIN : STOOK_CANCEL_PENDING;
    }
    SPIN_UNTIL(atomic_load(&accepted) >= start_at);
    if (two) {
        must_start(&thread, closer_thread, &closers[1]);
    } else {
        closers[1].mode = closers[0].mode;
    }
    if (random_below(random, 2)) {
        const enum stook_status status = stook_executor_shutdown(
            executor, closers[0].mode, stook_deadline_after_ns(random_below(random, 100000)));

        MUST(status == STOOK_OK || status == STOOK_TIMEOUT);
    }
    closer_thread(&closers[0]);
    if (two) {
        thrd_join(thread, NULL);
    }
    for (int i = 0; i < SUBMITTERS; i++) {
        const struct submitter *submitter = &submitters[i];

        thrd_join(submitter->thread, NULL);
        for (unsigned j = 0; j < RECORDS; j++) {
            check_record(&submitter->records[j], j < submitter->accepted,
                         closers[0].mode == STOOK_CANCEL_PENDING ||
                             closers[1].mode == STOOK_CANCEL_PENDING);
        }
    }
    stook_executor_destroy(executor);
    for (int i = 0; i < SUBMITTERS; i++) {
        for (unsigned j = 0; j < submitters[i].accepted; j++) {
            stook_future_release(submitters[i].records[j].future);
        }
        free(submitters[i].records);
    }
}

int main(int argc, char **argv)
{
    uint64_t random = stress_seed(argc, argv);
    const unsigned rounds = stress_scaled(400);

    for (unsigned round = 0; round < rounds; round++) {
        run_round(&random);
    }
    printf("%u executors ended\n", rounds);
    return 0;
}
