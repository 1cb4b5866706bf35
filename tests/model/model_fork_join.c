/* SPDX-License-Identifier: MIT
 *
 * Forks that are offered, stolen, taken back and waited for: each call is made once, by its owner
 * or by a thief, with what its forker wrote before, and the join sees what it wrote.
 */
#include <stook/fork_join.h>
#include "lane.h"
#include "worker.h" /* before what has an executor of its own */

#include "platform.h"
#include "pool_support.h"

enum { DEEPEST = 3 };

struct node {
    unsigned depth;
    int made; /* by whoever makes it */
    struct node *children;
};

static struct node nodes[1 << DEEPEST];

static void visit(stook_here *here, void *arg)
{
    struct node *node = arg;

    MODEL_CHECK(input == 7 && node->made == 0);
    node->made = 1;
    if (node->depth > 0) {
        node->children[0] = (struct node){.depth = node->depth - 1, .children = node->children + 2};
        node->children[1] = (struct node){.depth = node->depth - 1, .children = node->children + 4};
        stook_here *above = stook_fork(here, visit, &node->children[1]);
        visit(above, &node->children[0]);
        if (stook_join(here)) {
            visit(here, &node->children[1]);
        }
        MODEL_CHECK(node->children[0].made == 1 && node->children[1].made == 1);
    }
}

static void run_tree(unsigned workers, unsigned depth)
{
    create(workers);
    nodes[0] = (struct node){.depth = depth, .children = nodes + 1};
    MODEL_CHECK(stook_executor_run(executor, visit, &nodes[0]) == STOOK_OK);
    MODEL_CHECK(nodes[0].made == 1);
    model_end();
}

static void run_fork(void)
{
    run_tree(2, 1);
}

static void run_deeper(void)
{
    run_tree(2, 2);
}

/* --- stolen for certain ----------------------------------------------------------------------- */

static struct stook__event is_stolen; /* else nobody sets it: no worker sleeps beside an offer */
static int inner;

static void make_inner(stook_here *here, void *arg)
{
    (void)here;
    MODEL_CHECK(*(int *)arg == 7);
    inner++;
}

/* What the thief makes has a fork of its own, which the owner may make while it waits. */
static void make_stolen(stook_here *here, void *arg)
{
    bool is_deep = *(bool *)arg;

    MODEL_CHECK(input == 7 && nodes[0].made == 0);
    if (is_deep) {
        stook_fork(here, make_inner, &input);
    }
    stook__event_set(&is_stolen);
    if (is_deep && stook_join(here)) {
        make_inner(here, &input);
    }
    MODEL_CHECK(inner == is_deep);
    nodes[0].made = 1;
}

static void fork_one(stook_here *here, void *arg)
{
    stook_fork(here, make_stolen, arg);
    stook__event_wait_until(&is_stolen, STOOK_FOREVER);
    MODEL_CHECK(!stook_join(here));
    MODEL_CHECK(nodes[0].made == 1);
}

static void run_one(bool is_deep)
{
    create(2);
    MODEL_CHECK(stook__event_init(&is_stolen));
    nodes[0] = (struct node){.depth = 0};
    inner = 0;
    MODEL_CHECK(stook_executor_run(executor, fork_one, &is_deep) == STOOK_OK);
    model_end();
}

/* The second one may be stolen by a thief that has not slept since, so nothing but the lane orders
 * it. That it is cannot be relied on: the owner may learn late that it has been asked. */
static void fork_again(stook_here *here, void *arg)
{
    static bool deep;

    deep = false;
    fork_one(here, &deep);
    stook__event_reset(&is_stolen);
    nodes[0].made = 0;
    deep = *(bool *)arg;
    stook_fork(here, make_stolen, &deep);
    if (stook_join(here)) {
        make_stolen(here, &deep);
    }
    MODEL_CHECK(nodes[0].made == 1);
}

static void run_again(void)
{
    bool is_deep = true;

    create(2);
    MODEL_CHECK(stook__event_init(&is_stolen));
    nodes[0] = (struct node){.depth = 0};
    inner = 0;
    MODEL_CHECK(stook_executor_run(executor, fork_again, &is_deep) == STOOK_OK);
    model_end();
}

static void run_stolen(void)
{
    run_one(false);
}

static void run_leap(void)
{
    run_one(true);
}

/* --- leaps that come late --------------------------------------------------------------------- */

static const struct stook__thread *joiner; /* of the stolen fork */
static bool joins;                         /* its own */
static void (*stolen_fn)(stook_here *here, void *arg);

static void fork_and_join(stook_here *here, void *arg)
{
    joiner = stook__thread_current();
    stook_fork(here, stolen_fn, arg);
    stook__event_wait_until(&is_stolen, STOOK_FOREVER);
    joins = true;
    MODEL_CHECK(!stook_join(here));
    joins = false;
}

/* While its owner waits for a stolen fork it makes nothing but what is below that. */
static void make_unrelated(stook_here *here, void *arg)
{
    (void)here;
    MODEL_CHECK(stook__thread_current() != joiner || !joins);
    MODEL_CHECK(*(int *)arg == 7);
}

static void fork_unrelated(stook_here *here, void *arg)
{
    (void)arg;
    stook_fork(here, make_unrelated, &input);
    model_yield();
    if (stook_join(here)) {
        make_unrelated(here, &input);
    }
}

static int unrelated_task(void *arg, void **ret_value)
{
    (void)ret_value;
    MODEL_CHECK(stook_executor_run(executor, fork_unrelated, arg) == STOOK_OK);
    return 0;
}

static void make_and_submit(stook_here *here, void *arg)
{
    (void)here;
    (void)arg;
    stook__event_set(&is_stolen);
    MODEL_CHECK(stook_executor_submit(executor, unrelated_task, NULL, NULL) == STOOK_OK);
}

/* Two forks at the same place of the same lane, so that the offers are the same number. */
static void make_two(stook_here *here, void *arg)
{
    static int numbers[2];

    (void)arg;
    stook__event_set(&is_stolen);
    for (int i = 0; i < 2; i++) {
        stook__lane_ask(stook__lane_head_of(here)); /* as any other worker may */
        numbers[i] = 7;
        stook_fork(here, make_inner, &numbers[i]);
        model_yield();
        if (stook_join(here)) {
            make_inner(here, &numbers[i]);
        }
    }
}

static void run_late(void (*stolen)(stook_here *, void *))
{
    create(2);
    MODEL_CHECK(stook__event_init(&is_stolen));
    inner = 0;
    joins = false;
    stolen_fn = stolen;
    MODEL_CHECK(stook_executor_run(executor, fork_and_join, NULL) == STOOK_OK);
    model_end();
}

static void run_unrelated(void)
{
    run_late(make_and_submit);
}

static void run_two(void)
{
    run_late(make_two);
}

int main(int argc, char **argv)
{
    static const struct model models[] = {
        {"unrelated", run_unrelated, 1, 2, 20000, 0}, {"two", run_two, 1, 1, 40000, 0},
        {"stolen", run_stolen, 1, 1, 200000, 0},      {"leap", run_leap, 1, 1, 200000, 0},
        {"again", run_again, 1, 1, 100000, 0},        {"fork", run_fork, 1, 1, 200000, 0},
        {"deeper", run_deeper, 1, 1, 200000, 0},
    };
    return model_main(argc, argv, models, sizeof models / sizeof models[0]);
}
