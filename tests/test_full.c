/* SPDX-License-Identifier: MIT
 *
 * B32, bounded queues: what becomes of a submit that finds no room. Who waits for room is seen in
 * the queue's own records, so that nothing here depends on time.
 */
#include <string.h>
#include "check.h"
#include "full_support.h"
#include "park.h"
#include "pool.h"
#include "submit.h"
#include "support.h"
#include "task.h"

/* Submitters that wait for room in the client's queue; NULL: in that of tasks without one. */
static int blocked_count(stook_executor *executor, const stook_client *client)
{
    int count = 0;

    mtx_lock(&executor->inject.mutex);
    client = client ? client : &executor->inject.default_client;
    for (const struct stook__blocked *at = client->first_blocked; at; at = at->next) {
        count++;
    }
    mtx_unlock(&executor->inject.mutex);
    return count;
}

/* A thread that submits `count` tasks, and waits for room for them. */
struct submitter {
    thrd_t thread;
    struct full *full;
    stook_client *client;
    size_t count;
    int64_t deadline_ns;
    stook_task_fn *fn;
    void *arg;
    stook_future *future; /* of a single task */
    enum stook_status status;
    atomic_bool ended;
};

static int submitter_thread(void *arg)
{
    struct submitter *submitter = arg;
    struct stook_submit_options options = when(STOOK_WHEN_FULL_BLOCK, submitter->client);

    options.full_deadline_ns = submitter->deadline_ns;
    submitter->status = stook_executor_submit_many(
        submitter->full->executor, &options, submitter->fn, submitter->arg, submitter->count, 0,
        submitter->count == 1 ? &submitter->future : NULL);
    atomic_store(&submitter->ended, true);
    return 0;
}

/* Starts it, and waits until it is blocked behind all that are. */
static void submitter_start(struct submitter *submitter, struct full *full, size_t count)
{
    int before = blocked_count(full->executor, submitter->client);

    submitter->full = full;
    submitter->count = count;
    if (submitter->deadline_ns == 0) {
        submitter->deadline_ns = STOOK_FOREVER;
    }
    if (!submitter->fn) {
        submitter->fn = count_task;
        submitter->arg = &full->runs;
    }
    must_start(&submitter->thread, submitter_thread, submitter);
    SPIN_UNTIL(blocked_count(full->executor, submitter->client) == before + 1 ||
               atomic_load(&submitter->ended));
}

static enum stook_status submitter_join(struct submitter *submitter)
{
    thrd_join(submitter->thread, NULL);
    return submitter->status;
}

/* --- fail ------------------------------------------------------------------------------------- */

Test(full, B32_fail_answers_FULL_and_never_runs_the_task, .timeout = 60)
{
    struct stook_submit_options options = when(STOOK_WHEN_FULL_FAIL, NULL);
    stook_future *futures[3] = {NULL};
    struct full full;

    full_begin(&full, 2);
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, NULL, 1), STOOK_OK);
    /* a bulk finds room as a whole, or none */
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, NULL, 2), STOOK_FULL);
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, NULL, 1), STOOK_OK);
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, NULL, 1), STOOK_FULL);
    cr_assert_eq(
        stook_executor_submit_many(full.executor, &options, count_task, &full.runs, 3, 0, futures),
        STOOK_FULL);
    cr_assert_null(futures[0]);
    /* priorities share the room */
    options.priority = STOOK_PRIORITY_HIGH;
    cr_assert_eq(
        stook_executor_submit_with(full.executor, &options, count_task, &full.runs, futures),
        STOOK_FULL);
    cr_assert_null(futures[0]);
    gate_open(&full.gate);
    SPIN_UNTIL(atomic_load(&full.runs) == 2);
    /* one that is larger than the limit finds room in an empty queue */
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, NULL, 10), STOOK_OK);
    full_end(&full);
    cr_assert_eq(atomic_load(&full.runs), 12);
}

Test(full, B32_each_client_has_a_limit_of_its_own, .timeout = 60)
{
    stook_client *small, *any;
    struct full full;

    full_begin(&full, 1);
    cr_assert_eq(stook_client_create(full.executor, 1, 2, &small), STOOK_OK);
    cr_assert_eq(stook_client_create(full.executor, 1, 0, &any), STOOK_OK);
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, NULL, 1), STOOK_OK);
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, small, 2), STOOK_OK);
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, any, 1000), STOOK_OK);
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, any, 1), STOOK_OK);
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, NULL, 1), STOOK_FULL);
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, small, 1), STOOK_FULL);
    stook_client_release(small);
    stook_client_release(any);
    full_end(&full);
    cr_assert_eq(atomic_load(&full.runs), 1004);
}

/* --- block ------------------------------------------------------------------------------------ */

struct letter {
    char *text; /* one worker appends */
    char letter;
};

static int letter_task(void *arg, void **ret_value)
{
    const struct letter *letter = arg;
    size_t length = strlen(letter->text);

    (void)ret_value;
    letter->text[length] = letter->letter;
    letter->text[length + 1] = '\0';
    return 0;
}

Test(full, B32_blocked_submitters_get_in_first_come_first_served, .timeout = 60)
{
    enum { SUBMITTERS = 8 };
    static struct submitter submitters[SUBMITTERS];
    static struct letter letters[SUBMITTERS];
    char text[32] = "";
    struct full full;

    full_begin(&full, 1);
    cr_assert_eq(stook_executor_submit(full.executor, count_task, &full.runs, NULL), STOOK_OK);
    for (int i = 0; i < SUBMITTERS; i++) {
        letters[i] = (struct letter){text, (char)('a' + i)};
        submitters[i].fn = letter_task;
        submitters[i].arg = &letters[i];
        submitter_start(&submitters[i], &full, i == 3 ? 2 : 1); /* one is larger than the limit */
        cr_assert_eq(blocked_count(full.executor, NULL), i + 1);
        cr_assert_not(atomic_load(&submitters[i].ended));
    }
    /* nobody overtakes them */
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, NULL, 1), STOOK_FULL);
    gate_open(&full.gate);
    for (int i = 0; i < SUBMITTERS; i++) {
        cr_assert_eq(submitter_join(&submitters[i]), STOOK_OK);
        stook_future_release(submitters[i].future);
    }
    full_end(&full);
    cr_assert_eq(atomic_load(&full.runs), 1);
    cr_assert_str_eq(text, "abcddefgh");
}

Test(full, B32_fail_does_not_overtake_a_blocked_bulk, .timeout = 60)
{
    struct submitter bulk = {.client = NULL};
    struct full full;

    full_begin(&full, 3);
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, NULL, 2), STOOK_OK);
    submitter_start(&bulk, &full, 2);
    cr_assert_eq(blocked_count(full.executor, NULL), 1);
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, NULL, 1), STOOK_FULL);
    gate_open(&full.gate);
    cr_assert_eq(submitter_join(&bulk), STOOK_OK);
    full_end(&full);
    cr_assert_eq(atomic_load(&full.runs), 4);
}

Test(full, B32_a_blocked_submit_ends_at_its_deadline, .timeout = 60)
{
    struct submitter late = {.deadline_ns = stook_now_ns() + 20 * MILLISECOND};
    struct full full;

    full_begin(&full, 1);
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, NULL, 1), STOOK_OK);
    submitter_start(&late, &full, 1);
    cr_assert_eq(submitter_join(&late), STOOK_TIMEOUT);
    cr_assert_geq(stook_now_ns(), late.deadline_ns);
    cr_assert_null(late.future);
    cr_assert_eq(blocked_count(full.executor, NULL), 0);
    /* one that has passed polls */
    late.deadline_ns = -1;
    submitter_start(&late, &full, 1);
    cr_assert_eq(submitter_join(&late), STOOK_TIMEOUT);
    full_end(&full);
    cr_assert_eq(atomic_load(&full.runs), 1);
}

Test(full, B32_who_leaves_lets_those_in_who_need_less_room, .timeout = 60)
{
    struct submitter bulk = {.deadline_ns = stook_now_ns() + 50 * MILLISECOND};
    struct submitter single[3] = {{.client = NULL}};
    struct full full;

    full_begin(&full, 3);
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, NULL, 1), STOOK_OK);
    submitter_start(&bulk, &full, 3);
    for (int i = 0; i < 3; i++) {
        submitter_start(&single[i], &full, 1);
    }
    cr_assert_eq(submitter_join(&bulk), STOOK_TIMEOUT);
    /* the worker is still held, but there is room for two */
    cr_assert_eq(submitter_join(&single[0]), STOOK_OK);
    cr_assert_eq(submitter_join(&single[1]), STOOK_OK);
    cr_assert_eq(blocked_count(full.executor, NULL), 1);
    cr_assert_not(atomic_load(&single[2].ended));
    gate_open(&full.gate);
    cr_assert_eq(submitter_join(&single[2]), STOOK_OK);
    for (int i = 0; i < 3; i++) {
        stook_future_release(single[i].future);
    }
    full_end(&full);
    cr_assert_eq(atomic_load(&full.runs), 4);
}

Test(full, B32_shutdown_wakes_blocked_submitters, .timeout = 60)
{
    enum { EACH = 3 };
    static struct submitter submitters[2 * EACH];
    stook_client *client;
    struct full full;

    full_begin(&full, 1);
    cr_assert_eq(stook_client_create(full.executor, 1, 1, &client), STOOK_OK);
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, NULL, 1), STOOK_OK);
    cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, client, 1), STOOK_OK);
    for (int i = 0; i < 2 * EACH; i++) {
        submitters[i].client = i % 2 ? client : NULL;
        submitter_start(&submitters[i], &full, 1);
    }
    cr_assert_eq(blocked_count(full.executor, client), EACH);
    cr_assert_eq(stook_executor_shutdown(full.executor, STOOK_DRAIN, 0), STOOK_TIMEOUT);
    for (int i = 0; i < 2 * EACH; i++) {
        cr_assert_eq(submitter_join(&submitters[i]), STOOK_SHUTDOWN);
        cr_assert_null(submitters[i].future);
    }
    stook_client_release(client);
    full_end(&full);
    cr_assert_eq(atomic_load(&full.runs), 2);
}

Test(full, B32_a_cancelled_task_leaves_room_when_a_worker_finds_it, .timeout = 60)
{
    struct submitter submitter = {.client = NULL};
    stook_future *future;
    struct full full;

    full_begin(&full, 1);
    future = must_submit(full.executor, count_task, &full.runs);
    cr_assert_eq(stook_future_cancel(future), STOOK_CANCEL_DONE);
    stook_future_release(future);
    submitter_start(&submitter, &full, 1);
    cr_assert_eq(blocked_count(full.executor, NULL), 1);
    gate_open(&full.gate);
    cr_assert_eq(submitter_join(&submitter), STOOK_OK);
    stook_future_release(submitter.future);
    full_end(&full);
    cr_assert_eq(atomic_load(&full.runs), 1);
}

/* --- the executor's own tasks, and those of another ------------------------------------------- */

struct own {
    struct full full;
    stook_client *client;
};

static int exempt_task(void *arg, void **ret_value)
{
    struct own *own = arg;
    struct stook_submit_options options = when(STOOK_WHEN_FULL_BLOCK, own->client);

    (void)ret_value;
    for (int i = 0; i < 20; i++) {
        options.when_full = (enum stook_when_full)(i % 3);
        options.client = i % 2 ? own->client : NULL;
        options.priority = (enum stook_priority)(i % 3);
        MUST(stook_executor_submit_with(own->full.executor, &options, count_task, &own->full.runs,
                                        NULL) == STOOK_OK);
    }
    MUST(atomic_load(&own->full.runs) == 0); /* RUN has queued them too */
    return 0;
}

Test(full, B32_own_tasks_are_exempt, .timeout = 60)
{
    struct own own;

    full_begin(&own.full, 1);
    cr_assert_eq(stook_client_create(own.full.executor, 1, 1, &own.client), STOOK_OK);
    stook_future *future = must_submit(own.full.executor, exempt_task, &own);
    gate_open(&own.full.gate);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_client_release(own.client);
    full_end(&own.full);
    cr_assert_eq(atomic_load(&own.full.runs), 20);
}

struct blocked_worker {
    struct full *full;
    stook_executor *executor; /* another one */
};

static int blocked_worker_task(void *arg, void **ret_value)
{
    struct blocked_worker *blocked = arg;

    (void)ret_value;
    MUST(stook_executor_submit(blocked->full->executor, count_task, &blocked->full->runs, NULL) ==
         STOOK_OK);
    return 0;
}

static int open_gate_task(void *arg, void **ret_value)
{
    struct full *full = arg;

    (void)ret_value;
    gate_open(&full->gate);
    return 0;
}

Test(full, B32_a_worker_of_another_executor_that_is_blocked_is_lent, .timeout = 60)
{
    struct full full;

    full_begin(&full, 1);
    struct blocked_worker blocked = {.full = &full, .executor = must_create(1)};
    cr_assert_eq(stook_executor_submit(full.executor, count_task, &full.runs, NULL), STOOK_OK);
    stook_future *future = must_submit(blocked.executor, blocked_worker_task, &blocked);
    SPIN_UNTIL(blocked_count(full.executor, NULL) == 1);
    /* its one worker is free for the task that makes the room */
    stook_future *opener = must_submit(blocked.executor, open_gate_task, &full);
    cr_assert_eq(stook_future_result(opener, NULL), STOOK_OK);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(opener);
    stook_future_release(future);
    stook_executor_destroy(blocked.executor);
    full_end(&full);
    cr_assert_eq(atomic_load(&full.runs), 2);
}

/* --- tasks that were accepted before ---------------------------------------------------------- */

struct kept {
    struct full full;
    stook_client *client;
};

static void release_kept(struct kept *kept, stook_client *client, enum stook_priority priority)
{
    for (int i = 0; i < 2; i++) {
        stook_future *task =
            stook__task_create(kept->full.executor->slabs, count_task, &kept->full.runs, 1);
        MUST(task);
        stook__submit_released(kept->full.executor, task, client, priority);
    }
}

static int release_kept_task(void *arg, void **ret_value)
{
    struct kept *kept = arg;

    (void)ret_value;
    release_kept(kept, NULL, STOOK_PRIORITY_NORMAL);
    release_kept(kept, NULL, STOOK_PRIORITY_LOW);
    return 0;
}

Test(full, tasks_that_were_accepted_before_pass_when_closed_and_full, .timeout = 60)
{
    struct kept kept;

    full_begin(&kept.full, 2);
    cr_assert_eq(submit(&kept.full, STOOK_WHEN_FULL_FAIL, NULL, 1), STOOK_OK);
    cr_assert_eq(stook_executor_submit(kept.full.executor, release_kept_task, &kept, NULL),
                 STOOK_OK);
    cr_assert_eq(stook_client_create(kept.full.executor, 1, 1, &kept.client), STOOK_OK);
    stook__client_retain(&kept.full.executor->inject, kept.client);
    stook_client_release(kept.client);
    stook__park_hold(kept.full.executor);
    gate_open(&kept.full.gate);
    cr_assert_eq(
        stook_executor_shutdown(kept.full.executor, STOOK_DRAIN, stook_now_ns() + 10 * MILLISECOND),
        STOOK_TIMEOUT);
    release_kept(&kept, kept.client, STOOK_PRIORITY_HIGH);
    release_kept(&kept, NULL, STOOK_PRIORITY_NORMAL);
    stook__client_release(&kept.full.executor->inject, kept.client);
    stook__park_let_go(kept.full.executor);
    full_end(&kept.full);
    cr_assert_eq(atomic_load(&kept.full.runs), 9);
}

/* --- all together ----------------------------------------------------------------------------- */

/* A bulk gives up at the moment at which those behind it do, and so lets them in: each either gets
 * in, and knows it, or does not. */
Test(full, B32_a_deadline_at_the_moment_of_room_is_decided_once, .timeout = 60)
{
    enum { ROUNDS = 40, SINGLES = 12 };
    static struct submitter singles[SINGLES];

    for (int round = 0; round < ROUNDS; round++) {
        int64_t deadline_ns = stook_now_ns() + 3 * MILLISECOND;
        struct submitter bulk = {.deadline_ns = deadline_ns};
        struct full full;
        int accepted = 1;

        memset(singles, 0, sizeof singles);
        full_begin(&full, SINGLES + 1);
        cr_assert_eq(submit(&full, STOOK_WHEN_FULL_FAIL, NULL, 1), STOOK_OK);
        submitter_start(&bulk, &full, SINGLES + 1);
        for (int i = 0; i < SINGLES; i++) {
            singles[i].deadline_ns = deadline_ns + i * INT64_C(5000);
            submitter_start(&singles[i], &full, 1);
        }
        cr_assert_eq(submitter_join(&bulk), STOOK_TIMEOUT);
        for (int i = 0; i < SINGLES; i++) {
            enum stook_status status = submitter_join(&singles[i]);
            cr_assert(status == STOOK_OK || status == STOOK_TIMEOUT);
            cr_assert_eq(singles[i].future != NULL, status == STOOK_OK);
            accepted += status == STOOK_OK;
            stook_future_release(singles[i].future);
        }
        cr_assert_eq(blocked_count(full.executor, NULL), 0);
        full_end(&full);
        cr_assert_eq(atomic_load(&full.runs), accepted);
    }
}

enum { PRODUCERS = 4, BATCHES = 300, LIMIT = 3 };

struct producer {
    thrd_t thread;
    struct full *full;
    stook_client *client;
    uint64_t random;
    int accepted;
    size_t most_waiting;
};

static int producer_thread(void *arg)
{
    struct producer *producer = arg;
    struct stook__inject *queue = &producer->full->executor->inject;

    for (int i = 0; i < BATCHES; i++) {
        struct stook_submit_options options =
            when((enum stook_when_full)random_below(&producer->random, 3), producer->client);
        unsigned count = 1 + random_below(&producer->random, LIMIT);

        options.priority = (enum stook_priority)random_below(&producer->random, 3);
        options.full_deadline_ns = random_below(&producer->random, 2)
                                       ? STOOK_FOREVER
                                       : stook_now_ns() + random_below(&producer->random, 20000);
        enum stook_status status = stook_executor_submit_many(
            producer->full->executor, &options, count_task, &producer->full->runs, count, 0, NULL);
        MUST(status == STOOK_OK || status == STOOK_FULL || status == STOOK_TIMEOUT);
        MUST(status != STOOK_FULL || options.when_full == STOOK_WHEN_FULL_FAIL);
        producer->accepted += status == STOOK_OK ? (int)count : 0;
        mtx_lock(&queue->mutex);
        size_t waiting = producer->client->waiting;
        mtx_unlock(&queue->mutex);
        if (producer->most_waiting < waiting) {
            producer->most_waiting = waiting;
        }
    }
    return 0;
}

Test(full, B32_many_producers_never_exceed_the_limit_and_lose_nothing, .timeout = 60)
{
    static struct producer producers[PRODUCERS];
    struct full full = {.executor = must_create(2)};
    stook_client *clients[2];
    int accepted = 0;

    for (int i = 0; i < 2; i++) {
        cr_assert_eq(stook_client_create(full.executor, 1 + (unsigned)i, LIMIT, &clients[i]),
                     STOOK_OK);
    }
    for (int i = 0; i < PRODUCERS; i++) {
        producers[i].full = &full;
        producers[i].client = clients[i % 2];
        producers[i].random = (uint64_t)i;
        must_start(&producers[i].thread, producer_thread, &producers[i]);
    }
    for (int i = 0; i < PRODUCERS; i++) {
        thrd_join(producers[i].thread, NULL);
        accepted += producers[i].accepted;
        cr_assert_leq(producers[i].most_waiting, LIMIT);
    }
    stook_client_release(clients[0]);
    stook_client_release(clients[1]);
    stook_executor_destroy(full.executor);
    cr_assert_eq(atomic_load(&full.runs), accepted);
    cr_assert_geq(accepted, BATCHES);
}

/* What was refused is not counted: nobody would wait for it. */
Test(full, B32_a_scope_knows_nothing_of_what_found_no_room, .timeout = 60)
{
    struct full full;
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    struct stook_scope_outcome outcome;

    full_begin(&full, 1);
    options.when_full = STOOK_WHEN_FULL_FAIL;
    MUST(stook_scope_create(full.executor, NULL, &options.scope) == STOOK_OK);
    cr_assert_eq(stook_executor_submit_with(full.executor, &options, count_task, &full.runs, NULL),
                 STOOK_OK);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(
            stook_executor_submit_with(full.executor, &options, count_task, &full.runs, NULL),
            STOOK_FULL);
    }
    gate_open(&full.gate);
    cr_assert_eq(stook_scope_wait_until(options.scope, STOOK_FOREVER, &outcome), STOOK_OK);
    cr_assert_eq(outcome.submitted, 1);
    cr_assert_eq(outcome.done, 1);
    cr_assert_eq(outcome.cancelled, 0);
    stook_scope_destroy(options.scope);
    full_end(&full);
    cr_assert_eq(atomic_load(&full.runs), 1);
}
