/* SPDX-License-Identifier: MIT
 *
 * Random trees of scopes, with limits, errors, cancellation by scope, future, token and deadline,
 * on executors of 1, 2, 3 and 8 workers that are shut down in the middle now and then. Each
 * outcome must agree with what the tasks counted themselves.
 */
#include "group_support.h"

enum { MOST_CHILDREN = 8, MOST_LEVELS = 4, OUTSIDERS = 3 };

struct group {
    stook_executor *executor;
    stook_scope *scope;
    size_t limit;
    bool keep_going;
    atomic_size_t active, done, failed;
    atomic_int some_code; /* of a task that failed */
    size_t submitted;
};

struct child {
    struct group *group;
    uint64_t random;
    int levels; /* below it */
};

static atomic_uint groups;
static atomic_uint tasks_cancelled;
static atomic_uint groups_failed;

static void run_group(stook_executor *executor, stook_token *parent, int levels, uint64_t *random);

static int child_task(void *arg, void **ret_value)
{
    struct child *child = arg;
    struct group *group = child->group;
    const size_t active = atomic_fetch_add(&group->active, 1) + 1;
    int code = 0;

    (void)ret_value;
    MUST(group->limit == 0 || active <= group->limit);
    if (child->levels > 0 && random_below(&child->random, 3) > 0) {
        run_group(group->executor, NULL, child->levels - 1, &child->random);
    }
    for (unsigned i = random_below(&child->random, 4); i > 0; i--) {
        thrd_yield();
        if (stook_task_cancel_requested()) {
            break;
        }
    }
    if (random_below(&child->random, 24) == 0) {
        code = 1 + (int)random_below(&child->random, 1000);
        atomic_store(&group->some_code, code);
        atomic_fetch_add(&group->failed, 1);
    } else {
        atomic_fetch_add(&group->done, 1);
    }
    atomic_fetch_sub(&group->active, 1);
    return code;
}

/* Submits the children, some of them as a bulk; with a future, if futures is not NULL. */
static void submit_children(struct group *group, struct child *children, unsigned count,
                            stook_future **futures, uint64_t *random)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

    options.scope = group->scope;
    for (unsigned i = 0; i < count;) {
        const unsigned bulk = 1 + random_below(random, count - i);
        enum stook_status status;

        options.priority = (enum stook_priority)random_below(random, 3);
        options.start_ns = random_below(random, 8) == 0
                               ? stook_deadline_after_ns((int64_t)random_below(random, 500000))
                               : 0;
        status =
            stook_executor_submit_many(group->executor, &options, child_task, &children[i], bulk,
                                       sizeof children[0], futures != NULL ? &futures[i] : NULL);
        MUST(status == STOOK_OK || status == STOOK_SHUTDOWN);
        group->submitted += status == STOOK_OK ? bulk : 0;
        i += bulk;
    }
}

static void disturb(struct group *group, stook_future **futures, unsigned count, uint64_t *random)
{
    switch (random_below(random, 6)) {
    case 0:
        (void)stook_scope_cancel(group->scope);
        break;
    case 1:
        for (unsigned i = 0; i < count; i++) {
            if (futures[i] != NULL && random_below(random, 3) == 0) {
                (void)stook_future_cancel(futures[i]);
            }
        }
        break;
    case 2: {
        const enum stook_status status = stook_scope_wait_until(
            group->scope, stook_deadline_after_ns((int64_t)random_below(random, 100000)), NULL);

        MUST(status != STOOK_DEADLOCK && status != STOOK_INVALID);
        break;
    }
    default:
        break;
    }
}

static void check_outcome(struct group *group)
{
    struct stook_scope_outcome outcome;
    const enum stook_status status = stook_scope_wait_until(group->scope, STOOK_FOREVER, &outcome);
    const size_t done = atomic_load(&group->done);
    const size_t failed = atomic_load(&group->failed);

    MUST(atomic_load(&group->active) == 0);
    MUST(outcome.submitted == group->submitted);
    MUST(outcome.done == done);
    MUST(outcome.failed == failed);
    MUST(outcome.cancelled == group->submitted - done - failed);
    MUST(group->keep_going || group->limit != 1 || failed <= 1); /* none begins after it */
    MUST((outcome.first_code != 0) == (failed > 0));
    MUST(failed != 1 || outcome.first_code == atomic_load(&group->some_code));
    MUST(status == (failed > 0              ? STOOK_TASK_FAILED
                    : outcome.cancelled > 0 ? STOOK_CANCELLED
                                            : STOOK_OK));
    atomic_fetch_add(&groups, 1);
    atomic_fetch_add(&tasks_cancelled, (unsigned)outcome.cancelled);
    atomic_fetch_add(&groups_failed, failed > 0);
}

static void run_group(stook_executor *executor, stook_token *parent, int levels, uint64_t *random)
{
    struct group group = {.executor = executor};
    struct stook_scope_options options = STOOK_SCOPE_OPTIONS_INIT;
    struct child children[2 * MOST_CHILDREN];
    stook_future *futures[2 * MOST_CHILDREN] = {NULL};
    const unsigned count = random_below(random, MOST_CHILDREN + 1);
    const bool wants_futures = random_below(random, 2);
    enum stook_status status;

    options.parent = parent;
    options.limit = random_below(random, 2) ? 0 : 1 + random_below(random, 3);
    options.keep_going = random_below(random, 2);
    group.limit = options.limit;
    group.keep_going = options.keep_going;
    status = stook_scope_create(executor, &options, &group.scope);
    if (status != STOOK_OK) {
        MUST(status == STOOK_SHUTDOWN);
        return;
    }
    for (unsigned i = 0; i < 2 * MOST_CHILDREN; i++) {
        children[i] = (struct child){&group, random_next(random), levels};
    }
    submit_children(&group, children, count, wants_futures ? futures : NULL, random);
    disturb(&group, futures, count, random);
    check_outcome(&group);
    if (random_below(random, 3) == 0) { /* used on */
        submit_children(&group, &children[MOST_CHILDREN], MOST_CHILDREN / 2,
                        wants_futures ? &futures[MOST_CHILDREN] : NULL, random);
        disturb(&group, &futures[MOST_CHILDREN], MOST_CHILDREN / 2, random);
        if (random_below(random, 2)) { /* else destroy joins */
            check_outcome(&group);
        }
    }
    stook_scope_destroy(group.scope);
    MUST(atomic_load(&group.active) == 0);
    MUST(atomic_load(&group.done) + atomic_load(&group.failed) <= group.submitted);
    release_all(futures, 2 * MOST_CHILDREN);
}

/* A thread that is no worker. */
struct outsider {
    stook_executor *executor;
    stook_token *token;
    uint64_t random;
};

static int outsider_thread(void *arg)
{
    struct outsider *outsider = arg;

    for (int i = 0; i < 6; i++) {
        run_group(outsider->executor, random_below(&outsider->random, 2) ? outsider->token : NULL,
                  MOST_LEVELS - 1, &outsider->random);
    }
    return 0;
}

static void run_round(unsigned workers, uint64_t *random)
{
    struct outsider outsiders[OUTSIDERS];
    thrd_t threads[OUTSIDERS];
    stook_executor *executor = must_create(workers);
    stook_token *root = must_token(executor, NULL);
    const int64_t soon = stook_deadline_after_ns((int64_t)random_below(random, 20) * MILLISECOND);

    for (int i = 0; i < OUTSIDERS; i++) {
        const bool is_timed = random_below(random, 2);

        outsiders[i].executor = executor;
        outsiders[i].token = must_token_until(executor, root, is_timed ? soon : STOOK_FOREVER);
        outsiders[i].random = random_next(random);
        must_start(&threads[i], outsider_thread, &outsiders[i]);
    }
    switch (random_below(random, 4)) {
    case 0:
        give_a_chance();
        (void)stook_token_cancel(outsiders[0].token);
        break;
    case 1:
        give_a_chance();
        (void)stook_token_cancel(root);
        break;
    case 2:
        give_a_chance();
        (void)!stook_executor_shutdown(
            executor, random_below(random, 2) ? STOOK_DRAIN : STOOK_CANCEL_PENDING, 0);
        break;
    default:
        break;
    }
    for (int i = 0; i < OUTSIDERS; i++) {
        must_join(threads[i]);
        stook_token_release(outsiders[i].token);
    }
    stook_token_release(root);
    MUST(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER) == STOOK_OK);
    stook_executor_destroy(executor);
}

int main(int argc, char **argv)
{
    static const unsigned workers[] = {1, 2, 3, 8};
    uint64_t random = stress_seed(argc, argv);
    const unsigned rounds = stress_scaled(16);

    for (unsigned round = 0; round < rounds; round++) {
        for (int i = 0; i < 4; i++) {
            run_round(workers[i], &random);
        }
    }
    printf("%u outcomes, %u of groups that failed, %u tasks cancelled\n", atomic_load(&groups),
           atomic_load(&groups_failed), atomic_load(&tasks_cancelled));
    return 0;
}
