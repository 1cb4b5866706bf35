/* SPDX-License-Identifier: MIT
 *
 * Deadlocks: a cycle of waits is told to one of the waiting tasks at least, and reported, and then
 * all ends; a wait that can end is never taken for one.
 */
#include <inttypes.h>

#include "check.h"
#include "child_support.h"
#include "group_support.h"

enum { MOST_TASKS = 8, MANY_TASKS = 60 };

/* Tasks in a ring: each waits for the next one. */
struct ring {
    stook_executor *executors[2]; /* by turns */
    struct member {
        struct ring *ring;
        stook_future *future;
        int number;
        enum stook_status status;
    } members[MANY_TASKS];
    int count;
    int first_of_all; /* waits for a set of futures, the next one's among them; -1: nobody does */
    bool together;    /* all begin before one waits */
    atomic_int begun;
    atomic_bool submitted;
};

static stook_future *next_of(const struct member *member)
{
    return member->ring->members[(member->number + 1) % member->ring->count].future;
}

static int member_task(void *arg, void **ret_value)
{
    struct member *member = arg;
    struct ring *ring = member->ring;

    (void)ret_value;
    SPIN_UNTIL(atomic_load(&ring->submitted));
    atomic_fetch_add(&ring->begun, 1);
    SPIN_UNTIL(!ring->together || atomic_load(&ring->begun) == ring->count);
    if (member->number == ring->first_of_all) {
        stook_future *futures[] = {next_of(member), next_of(member)};

        member->status = stook_wait_until(futures, 2, STOOK_WAIT_ALL, STOOK_FOREVER, NULL, NULL);
    } else {
        member->status = stook_future_wait_until(next_of(member), STOOK_FOREVER);
    }
    return member->status == STOOK_DEADLOCK ? 100 + member->number : 0;
}

/* Whether the text names the member: by its future or by its argument, as %p writes them. */
static bool is_named(const char *text, const struct member *member)
{
    char future[32];
    char arg[32];

    snprintf(future, sizeof future, "%p", (void *)member->future);
    snprintf(arg, sizeof arg, "%p", (const void *)member);
    return strstr(text, future) != NULL || strstr(text, arg) != NULL;
}

static void run_ring(struct ring *ring, struct reports *reports)
{
    const int reported = atomic_load(&reports->count);
    int deadlocks = 0;

    reports->length = 0;
    for (int i = 0; i < ring->count; i++) {
        struct member *member = &ring->members[i];

        *member = (struct member){.ring = ring, .number = i, .status = STOOK_INVALID};
        member->future = must_submit(ring->executors[i % 2], member_task, member);
    }
    atomic_store(&ring->submitted, true);
    for (int i = 0; i < ring->count; i++) {
        const struct member *member = &ring->members[i];
        const enum stook_status status = stook_future_result(member->future, NULL);

        cr_assert(member->status == STOOK_OK || member->status == STOOK_DEADLOCK);
        cr_assert_eq(status, member->status == STOOK_OK ? STOOK_OK : STOOK_TASK_FAILED);
        cr_assert_eq(stook_future_code(member->future),
                     member->status == STOOK_OK ? 0 : 100 + member->number);
        deadlocks += member->status == STOOK_DEADLOCK;
    }
    cr_assert_geq(deadlocks, 1);
    cr_assert_geq(atomic_load(&reports->count), reported + 1);
    SPIN_UNTIL(!atomic_flag_test_and_set(&reports->busy));
    for (int i = 0; i < ring->count && ring->count <= MOST_TASKS; i++) {
        cr_assert(is_named(reports->text, &ring->members[i]), "task %d of %d in: %s", i,
                  ring->count, reports->text);
    }
    atomic_flag_clear(&reports->busy);
    for (int i = 0; i < ring->count; i++) {
        stook_future_release(ring->members[i].future);
    }
}

static void run_rings(int count, unsigned workers, bool together, bool on_two, bool with_a_set)
{
    struct reports reports = {.busy = ATOMIC_FLAG_INIT};
    stook_executor *first = must_create_reporting(workers, &reports);
    stook_executor *second = on_two ? must_create_reporting(workers, &reports) : NULL;

    for (int round = 0; round < 20; round++) {
        struct ring ring = {
            .executors = {first, on_two ? second : first},
            .count = count,
            .together = together,
            .first_of_all = with_a_set ? round % count : -1,
        };

        run_ring(&ring, &reports);
    }
    stook_executor_destroy(first);
    stook_executor_destroy(second);
}

Test(deadlock, B50_two_tasks_wait_for_each_other, .timeout = 60)
{
    run_rings(2, 2, true, false, false);
    run_rings(2, 4, true, false, false);
    for (unsigned workers = 1; workers <= 3; workers++) {
        run_rings(2, workers, false, false, false);
    }
}

Test(deadlock, B50_a_task_waits_for_itself, .timeout = 60)
{
    run_rings(1, 1, false, false, false);
    run_rings(1, 2, false, false, false);
}

Test(deadlock, B50_longer_cycles, .timeout = 60)
{
    for (int count = 3; count <= MOST_TASKS; count += 5) {
        run_rings(count, (unsigned)count, true, false, false);
        for (unsigned workers = 1; workers <= 3; workers++) {
            run_rings(count, workers, false, false, false);
        }
    }
}

/* It is found; the report has no room for all lines, but has those that it has whole. */
Test(deadlock, B50_a_cycle_that_is_longer_than_its_report, .timeout = 60)
{
    struct reports reports = {.busy = ATOMIC_FLAG_INIT};
    stook_executor *executor = must_create_reporting(2, &reports);
    struct ring ring = {.executors = {executor, executor}, .count = MANY_TASKS, .first_of_all = -1};
    int named = 0;

    run_ring(&ring, &reports);
    for (int i = 0; i < MANY_TASKS; i++) {
        named += is_named(reports.text, &ring.members[i]);
    }
    cr_assert_gt(named, 10);
    cr_assert_lt(named, MANY_TASKS);
    const char *last = strrchr(reports.text, '\n');
    void *task, *function, *target;
    cr_assert_not_null(last);
    cr_assert_eq(
        sscanf(last, "\n  task %p (function %p) waits for task %p", &task, &function, &target), 3,
        "not whole: %s", last);
    stook_executor_destroy(executor);
}

Test(deadlock, B51_a_cycle_across_two_executors, .timeout = 60)
{
    for (int count = 2; count <= MOST_TASKS; count += 3) {
        run_rings(count, (unsigned)count, true, true, false);
        run_rings(count, 2, false, true, false);
    }
}

Test(deadlock, B50_a_cycle_through_a_wait_for_all_of_several, .timeout = 60)
{
    run_rings(2, 2, true, false, true);
    run_rings(3, 3, true, true, true);
    run_rings(3, 2, false, false, true);
}

static void wait_for_itself(void *arg)
{
    stook_executor *executor = must_create(1);
    struct ring ring = {.executors = {executor, executor}, .count = 1, .first_of_all = -1};
    struct member *member = &ring.members[0];

    (void)arg;
    *member = (struct member){.ring = &ring};
    member->future = must_submit(executor, member_task, member);
    atomic_store(&ring.submitted, true);
    MUST(stook_future_result(member->future, NULL) == STOOK_TASK_FAILED);
    stook_future_release(member->future);
    stook_executor_destroy(executor);
}

Test(deadlock, without_a_report_function_it_is_written_to_standard_error, .timeout = 60)
{
    struct child_end end;

    run_child(wait_for_itself, NULL, &end);
    cr_assert(has_exited_with_0(end.status), "%s", end.text);
    cr_assert_gt(strlen(end.text), 0);
    cr_assert_eq(end.text[strlen(end.text) - 1], '\n', "whole lines");
}

/* --- through a scope -------------------------------------------------------------------------- */

struct join {
    stook_executor *executor;
    stook_scope *scope;
    _Atomic(stook_future *) future; /* of the task that joins */
    struct gate child_began;
    bool waits_late; /* the child waits before the scope is joined, or after */
    enum stook_status child, joining;
};

static int joined_task(void *arg, void **ret_value)
{
    struct join *join = arg;

    (void)ret_value;
    SPIN_UNTIL(atomic_load(&join->future) != NULL);
    gate_pass(&join->child_began);
    join->child = stook_future_wait_until(atomic_load(&join->future), STOOK_FOREVER);
    return 0;
}

static int joining_task(void *arg, void **ret_value)
{
    struct join *join = arg;

    (void)ret_value;
    join->scope = must_scope(join->executor);
    stook_future_release(must_submit_in(join->executor, join->scope, joined_task, join));
    if (join->waits_late) {
        gate_await(&join->child_began, 1);
        gate_open(&join->child_began);
        give_a_chance();
    } else {
        gate_open(&join->child_began);
    }
    join->joining = stook_scope_wait_until(join->scope, STOOK_FOREVER, NULL);
    return 0; /* destroy would wait for the child, if that waits for this task */
}

Test(deadlock, B50_a_child_waits_for_the_task_that_joins_its_scope, .timeout = 60)
{
    for (int round = 0; round < 40; round++) {
        struct reports reports = {.busy = ATOMIC_FLAG_INIT};
        struct join join = {.waits_late = round % 2};
        stook_future *future;

        join.executor = must_create_reporting(round % 2 ? 2 : 1, &reports);
        future = must_submit(join.executor, joining_task, &join);
        atomic_store(&join.future, future);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        stook_scope_destroy(join.scope); /* the child may still wait for the future */
        stook_future_release(future);
        stook_executor_destroy(join.executor);
        cr_assert(join.child == STOOK_DEADLOCK || join.joining == STOOK_DEADLOCK);
        cr_assert(join.child == STOOK_DEADLOCK || join.child == STOOK_OK);
        cr_assert_geq(atomic_load(&reports.count), 1);
    }
}

/* A plain task waits for a scope one of whose tasks waits for it. */
struct loop {
    stook_executor *executor;
    stook_scope *scope;
    stook_future *waiter;
    struct gate gate;
    enum stook_status of_scope, of_waiter;
};

static int scope_waiter_task(void *arg, void **ret_value)
{
    struct loop *loop = arg;

    (void)ret_value;
    gate_pass(&loop->gate);
    loop->of_scope = stook_scope_wait_until(loop->scope, STOOK_FOREVER, NULL);
    return 0;
}

static int waiter_waiter_task(void *arg, void **ret_value)
{
    struct loop *loop = arg;

    (void)ret_value;
    gate_pass(&loop->gate);
    loop->of_waiter = stook_future_wait_until(loop->waiter, STOOK_FOREVER);
    return 0;
}

Test(deadlock, B50_a_task_waits_for_a_scope_whose_task_waits_for_it, .timeout = 60)
{
    for (int round = 0; round < 40; round++) {
        struct reports reports = {.busy = ATOMIC_FLAG_INIT};
        struct loop loop = {.of_scope = STOOK_INVALID};

        loop.executor = must_create_reporting(2, &reports);
        loop.scope = must_scope(loop.executor);
        loop.waiter = must_submit(loop.executor, scope_waiter_task, &loop);
        stook_future_release(must_submit_in(loop.executor, loop.scope, waiter_waiter_task, &loop));
        gate_await(&loop.gate, 2);
        gate_open(&loop.gate);
        cr_assert_eq(stook_future_result(loop.waiter, NULL), STOOK_OK);
        stook_scope_destroy(loop.scope); /* nobody waits for it any more */
        cr_assert((loop.of_scope == STOOK_DEADLOCK) + (loop.of_waiter == STOOK_DEADLOCK) >= 1);
        stook_future_release(loop.waiter);
        stook_executor_destroy(loop.executor);
        cr_assert_geq(atomic_load(&reports.count), 1);
    }
}

/* --- what can end is not a deadlock ----------------------------------------------------------- */

struct wait {
    stook_future *awaited;
    int64_t deadline_ns;
    enum stook_status status;
    struct gate gate;
};

static int wait_task(void *arg, void **ret_value)
{
    struct wait *wait = arg;

    (void)ret_value;
    gate_pass(&wait->gate);
    wait->status = stook_future_wait_until(wait->awaited, wait->deadline_ns);
    return 0;
}

Test(deadlock, a_wait_that_a_deadline_ends_is_none, .timeout = 60)
{
    for (int round = 0; round < 10; round++) {
        struct reports reports = {.busy = ATOMIC_FLAG_INIT};
        stook_executor *executor = must_create_reporting(2, &reports);
        struct wait waits[2] = {{.deadline_ns = STOOK_FOREVER},
                                {.deadline_ns = stook_deadline_after_ns(20 * MILLISECOND)}};
        stook_future *futures[2];

        for (int i = 0; i < 2; i++) {
            futures[i] = must_submit(executor, wait_task, &waits[i]);
        }
        for (int i = 0; i < 2; i++) {
            waits[i].awaited = futures[1 - i];
            gate_await(&waits[i].gate, 1);
        }
        gate_open(&waits[round % 2].gate);
        give_a_chance();
        gate_open(&waits[1 - round % 2].gate);
        for (int i = 0; i < 2; i++) {
            cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
        }
        cr_assert_eq(waits[0].status, STOOK_OK);
        cr_assert_eq(waits[1].status, STOOK_TIMEOUT);
        release_all(futures, 2);
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&reports.count), 0, "%s", reports.text);
    }
}

static int complete_thread(void *arg)
{
    give_a_chance();
    MUST(stook_promise_complete(arg, 0, NULL) == STOOK_OK);
    return 0;
}

Test(deadlock, a_wait_that_a_promise_or_a_thread_outside_ends_is_none, .timeout = 60)
{
    enum { CHAIN = 5 };
    for (int round = 0; round < 20; round++) {
        struct reports reports = {.busy = ATOMIC_FLAG_INIT};
        stook_executor *executor = must_create_reporting(2, &reports);
        struct wait waits[CHAIN] = {{.deadline_ns = STOOK_FOREVER}};
        stook_future *futures[CHAIN];
        stook_promise *promise;
        stook_future *promised;
        thrd_t outside[2];

        cr_assert_eq(stook_promise_create(NULL, &promise, &promised), STOOK_OK);
        for (int i = 0; i < CHAIN; i++) {
            waits[i].deadline_ns = STOOK_FOREVER;
            waits[i].awaited = i == 0 ? promised : futures[i - 1];
            gate_open(&waits[i].gate);
            futures[i] = must_submit(executor, wait_task, &waits[i]);
        }
        must_start(&outside[0], result_thread, futures[CHAIN - 1]);
        must_start(&outside[1], complete_thread, promise);
        cr_assert_eq(must_join(outside[0]), STOOK_OK);
        must_join(outside[1]);
        for (int i = 0; i < CHAIN; i++) {
            cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
            cr_assert_eq(waits[i].status, STOOK_OK);
        }
        release_all(futures, CHAIN);
        stook_promise_release(promise);
        stook_future_release(promised);
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&reports.count), 0, "%s", reports.text);
    }
}

/* Any of two, one of which waits for the waiter: the other one can end it. */
struct any {
    stook_future *futures[2];
    struct gate gate;
    enum stook_status status;
};

static int any_task(void *arg, void **ret_value)
{
    struct any *any = arg;

    (void)ret_value;
    gate_pass(&any->gate);
    any->status = stook_wait_until(any->futures, 2, STOOK_WAIT_ANY, STOOK_FOREVER, NULL, NULL);
    return 0;
}

Test(deadlock, a_wait_for_any_that_one_of_them_ends_is_none, .timeout = 60)
{
    for (int round = 0; round < 10; round++) {
        struct reports reports = {.busy = ATOMIC_FLAG_INIT};
        stook_executor *executor = must_create_reporting(3, &reports);
        struct wait wait = {.deadline_ns = STOOK_FOREVER};
        struct any any = {.status = STOOK_INVALID};
        struct gate gate = {0};
        stook_future *future = must_submit(executor, any_task, &any);

        wait.awaited = future;
        any.futures[0] = must_submit(executor, wait_task, &wait);
        any.futures[1] = must_submit(executor, gate_task, &gate);
        gate_await(&wait.gate, 1);
        gate_await(&gate, 1);
        gate_open(round % 2 ? &wait.gate : &any.gate);
        give_a_chance();
        gate_open(round % 2 ? &any.gate : &wait.gate);
        give_a_chance();
        cr_assert_not(stook_future_done(future));
        gate_open(&gate);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        cr_assert_eq(any.status, STOOK_OK);
        cr_assert_eq(stook_future_result(any.futures[0], NULL), STOOK_OK);
        cr_assert_eq(wait.status, STOOK_OK);
        stook_future_release(future);
        release_all(any.futures, 2);
        stook_executor_destroy(executor);
        cr_assert_eq(atomic_load(&reports.count), 0, "%s", reports.text);
    }
}

/* --- random graphs without a cycle ------------------------------------------------------------ */

enum { NODES = 40, MOST_AWAITED = 4 };

struct node {
    struct graph *graph;
    stook_future *future;
    stook_executor *executor;
    int awaited[MOST_AWAITED]; /* earlier nodes */
    int awaited_count;
    int way; /* of waiting */
};

struct graph {
    struct node nodes[NODES];
    atomic_bool submitted;
};

static int leaf_task(void *arg, void **ret_value)
{
    (void)arg;
    (void)ret_value;
    thrd_yield();
    return 0;
}

static int node_task(void *arg, void **ret_value)
{
    const struct node *node = arg;
    stook_future *futures[MOST_AWAITED];
    stook_scope *scope;

    (void)ret_value;
    SPIN_UNTIL(atomic_load(&node->graph->submitted));
    for (int i = 0; i < node->awaited_count; i++) {
        futures[i] = node->graph->nodes[node->awaited[i]].future;
    }
    switch (node->way) {
    case 0:
        return stook_wait_until(futures, (size_t)node->awaited_count, STOOK_WAIT_ALL, STOOK_FOREVER,
                                NULL, NULL) != STOOK_OK;
    case 1: /* a scope of its own, while others wait for this task */
        scope = must_scope(node->executor);
        must_submit_many_in(node->executor, scope, leaf_task, NULL, 3, NULL);
        MUST(stook_scope_wait_until(scope, STOOK_FOREVER, NULL) == STOOK_OK);
        stook_scope_destroy(scope);
        break;
    default:
        break;
    }
    for (int i = 0; i < node->awaited_count; i++) {
        if (stook_future_result(futures[i], NULL) != STOOK_OK) {
            return 1;
        }
    }
    return 0;
}

static void run_graph(stook_executor *const executors[2], uint64_t *random)
{
    static struct graph graph;

    atomic_store(&graph.submitted, false);
    for (int i = 0; i < NODES; i++) {
        struct node *node = &graph.nodes[i];

        *node = (struct node){.graph = &graph, .executor = executors[random_below(random, 2)]};
        node->way = (int)random_below(random, 4);
        node->awaited_count = i == 0 ? 0 : (int)random_below(random, MOST_AWAITED + 1);
        for (int k = 0; k < node->awaited_count; k++) {
            node->awaited[k] = (int)random_below(random, (unsigned)i);
        }
    }
    for (int i = NODES - 1; i >= 0; i--) { /* those that wait begin first */
        struct node *node = &graph.nodes[i];

        node->future = must_submit(node->executor, node_task, node);
    }
    atomic_store(&graph.submitted, true);
    for (int i = 0; i < NODES; i++) {
        cr_assert_eq(stook_future_result(graph.nodes[i].future, NULL), STOOK_OK, "node %d, way %d",
                     i, graph.nodes[i].way);
    }
    for (int i = 0; i < NODES; i++) { /* which others wait for until then */
        stook_future_release(graph.nodes[i].future);
    }
}

Test(deadlock, graphs_without_a_cycle_are_never_reported, .timeout = 240)
{
    uint64_t random = 11;

    for (unsigned workers = 1; workers <= 4; workers++) {
        struct reports reports = {.busy = ATOMIC_FLAG_INIT};
        stook_executor *executors[2] = {must_create_reporting(workers, &reports),
                                        must_create_reporting(1 + workers / 2, &reports)};

        for (int round = 0; round < 60; round++) {
            run_graph(executors, &random);
        }
        stook_executor_destroy(executors[0]);
        stook_executor_destroy(executors[1]);
        cr_assert_eq(atomic_load(&reports.count), 0, "%s", reports.text);
    }
}
