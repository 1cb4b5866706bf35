/* SPDX-License-Identifier: MIT
 *
 * Random graphs without a cycle: each task waits for some that come before it in a random order, on
 * one or two executors of 1, 2, 3 and 8 workers, submitted from outside or from a task, and with
 * deadlines that pass now and then. Every graph must end, and each task with the right number.
 */
#include "support.h"

enum { MAX_NODES = 300, MAX_DEPENDENCIES = 4, MAX_NODES_ON_TWO = 48 };

struct node {
    struct graph *graph;
    struct node *dependencies[MAX_DEPENDENCIES];
    unsigned dependency_count;
    bool impatient;         /* waits with deadlines that pass, before it waits for ever */
    unsigned expected, sum; /* plain: seen through the future */
    atomic_int runs;
    stook_executor *executor;
    stook_future *future;
};

struct graph {
    struct node nodes[MAX_NODES]; /* each depends only on those before it */
    unsigned order[MAX_NODES];    /* in which they are submitted */
    unsigned count;
    atomic_bool submitted;
};

static struct graph graph;

static int node_task(void *arg, void **ret_value)
{
    struct node *node = arg;

    SPIN_UNTIL(atomic_load(&node->graph->submitted));
    atomic_fetch_add(&node->runs, 1);
    node->sum = 1;
    for (unsigned i = 0; i < node->dependency_count; i++) {
        const struct node *dependency = node->dependencies[i];
        void *value = NULL;

        if (node->impatient) {
            const enum stook_status status = stook_future_wait_until(
                dependency->future, stook_deadline_after_ns(1000 * (int64_t)(node->sum % 64)));

            MUST(status == STOOK_OK || status == STOOK_TIMEOUT);
        }
        MUST(stook_future_result(dependency->future, &value) == STOOK_OK);
        MUST(value == dependency);
        node->sum += dependency->sum;
    }
    *ret_value = node;
    return 0;
}

static void submit_graph(void)
{
    for (unsigned i = 0; i < graph.count; i++) {
        struct node *node = &graph.nodes[graph.order[i]];

        node->future = must_submit(node->executor, node_task, node);
    }
    atomic_store(&graph.submitted, true);
}

static int submit_graph_task(void *arg, void **ret_value)
{
    (void)arg;
    (void)ret_value;
    submit_graph();
    return 0;
}

static void make_graph(stook_executor *executors[2], uint64_t *random)
{
    const bool shuffled = random_below(random, 2);

    graph.count = 1 + random_below(random, executors[1] != NULL ? MAX_NODES_ON_TWO : MAX_NODES);
    atomic_store(&graph.submitted, false);
    for (unsigned i = 0; i < graph.count; i++) {
        struct node *node = &graph.nodes[i];
        const unsigned other = random_below(random, i + 1);
        /* close ones make long chains */
        const unsigned reach = 1 + random_below(random, i + 1) % (1 + random_below(random, i + 1));

        *node = (struct node){.graph = &graph, .expected = 1};
        node->executor = executors[executors[1] != NULL && random_below(random, 2)];
        node->impatient = random_below(random, 8) == 0;
        node->dependency_count = i == 0 ? 0 : random_below(random, MAX_DEPENDENCIES + 1);
        for (unsigned j = 0; j < node->dependency_count; j++) {
            node->dependencies[j] = &graph.nodes[i - 1 - random_below(random, reach) % i];
            node->expected += node->dependencies[j]->expected;
        }
        graph.order[i] = i;
        if (shuffled) {
            graph.order[i] = graph.order[other];
            graph.order[other] = i;
        }
    }
}

static void run_graph(stook_executor *executors[2], uint64_t *random)
{
    make_graph(executors, random);
    if (random_below(random, 2)) {
        submit_graph();
    } else {
        stook_future *future = must_submit(executors[0], submit_graph_task, NULL);

        MUST(stook_future_result(future, NULL) == STOOK_OK);
        stook_future_release(future);
    }
    for (unsigned i = graph.count; i-- > 0;) {
        struct node *node = &graph.nodes[i];

        MUST(stook_future_result(node->future, NULL) == STOOK_OK);
        MUST(node->sum == node->expected);
        MUST(atomic_load(&node->runs) == 1);
    }
    for (unsigned i = 0; i < graph.count; i++) {
        stook_future_release(graph.nodes[i].future);
    }
}

int main(int argc, char **argv)
{
    static const unsigned workers[] = {1, 2, 3, 8};
    uint64_t random = stress_seed(argc, argv);
    const unsigned rounds = stress_scaled(12);
    unsigned graphs = 0;

    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < 8; i++) {
            stook_executor *executors[2] = {must_create(workers[i % 4]), NULL};

            if (i >= 4) {
                executors[1] = must_create(workers[random_below(&random, 4)]);
            }
            for (int j = 0; j < 10; j++, graphs++) {
                run_graph(executors, &random);
            }
            stook_executor_destroy(executors[0]);
            stook_executor_destroy(executors[1]);
        }
    }
    printf("%u graphs ended\n", graphs);
    return 0;
}
