/* SPDX-License-Identifier: MIT
 *
 * Scopes with a limit: never more than so many tasks at a time, and as many if there are; a limit
 * of 1 is a strand; waits within a turn; tasks that are held back are cancelled like all others.
 */
#include "check.h"
#include "group_support.h"

/* --- the limit -------------------------------------------------------------------------------- */

struct limited {
    struct gate gate;
    atomic_int active, most;
};

static void note_most(atomic_int *most, int active)
{
    int seen = atomic_load(most);

    while (active > seen && !atomic_compare_exchange_weak(most, &seen, active)) {
    }
}

static int limited_task(void *arg, void **ret_value)
{
    struct limited *limited = arg;

    (void)ret_value;
    note_most(&limited->most, atomic_fetch_add(&limited->active, 1) + 1);
    gate_pass(&limited->gate);
    thrd_yield();
    atomic_fetch_sub(&limited->active, 1);
    return 0;
}

Test(strand, a_limit_is_reached_and_never_exceeded, .timeout = 60)
{
    enum { TASKS = 60, WORKERS = 6 };
    stook_executor *executor = must_create(WORKERS);

    for (int limit = 1; limit <= 5; limit += 2) {
        for (int bulk = 0; bulk < 2; bulk++) {
            stook_scope *scope = must_scope_with(executor, NULL, (size_t)limit, false);
            struct limited limited = {.gate = {0}};
            struct stook_scope_outcome outcome;

            if (bulk) {
                must_submit_many_in(executor, scope, limited_task, &limited, TASKS, NULL);
            }
            for (int i = 0; !bulk && i < TASKS; i++) {
                stook_future_release(must_submit_in(executor, scope, limited_task, &limited));
            }
            gate_await(&limited.gate, limit);
            for (int i = 0; i < 3; i++) {
                give_a_chance();
            }
            cr_assert_eq(atomic_load(&limited.gate.arrived), limit);
            gate_open(&limited.gate);
            cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome), STOOK_OK);
            cr_assert(outcome_is(&outcome, TASKS, TASKS, 0, 0, 0));
            cr_assert_eq(atomic_load(&limited.most), limit);
            stook_scope_destroy(scope);
        }
    }
    stook_executor_destroy(executor);
}

Test(strand, a_limit_beyond_the_workers_is_none, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    stook_scope *scope = must_scope_with(executor, NULL, SIZE_MAX, false);
    struct limited limited = {.gate = {0}};

    must_submit_many_in(executor, scope, limited_task, &limited, 10, NULL);
    gate_await(&limited.gate, 2);
    gate_open(&limited.gate);
    cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, NULL), STOOK_OK);
    cr_assert_eq(atomic_load(&limited.most), 2);
    stook_scope_destroy(scope);
    stook_executor_destroy(executor);
}

Test(strand, what_is_held_back_does_not_hold_up_others, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    stook_scope *first = must_scope_with(executor, NULL, 1, false);
    stook_scope *second = must_scope_with(executor, NULL, 1, false);
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *future;

    must_submit_many_in(executor, first, gate_task, &gate, 100, NULL);
    gate_await(&gate, 1);
    must_submit_many_in(executor, second, count_task, &runs, 100, NULL);
    cr_assert_eq(stook_scope_wait_until(second, STOOK_FOREVER, NULL), STOOK_OK);
    future = must_submit(executor, count_task, &runs);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    cr_assert_eq(atomic_load(&runs), 101);
    cr_assert_eq(atomic_load(&gate.arrived), 1);
    stook_future_release(future);
    gate_open(&gate);
    stook_scope_destroy(first);
    cr_assert_eq(atomic_load(&gate.arrived), 100);
    stook_scope_destroy(second);
    stook_executor_destroy(executor);
}

/* --- order ------------------------------------------------------------------------------------ */

/* Plain data: one task after the other, each sees what those before it wrote. */
struct sequence {
    int count;
    int numbers[2000];
};

struct member {
    struct sequence *sequence;
    int number;
    int code;
};

static int member_task(void *arg, void **ret_value)
{
    const struct member *member = arg;

    (void)ret_value;
    member->sequence->numbers[member->sequence->count++] = member->number;
    return member->code;
}

static void make_members(struct member *members, int count, struct sequence *sequence)
{
    sequence->count = 0;
    for (int i = 0; i < count; i++) {
        members[i] = (struct member){sequence, i, 0};
    }
}

static bool is_in_order(const struct sequence *sequence, int count)
{
    bool is = sequence->count == count;

    for (int i = 0; is && i < count; i++) {
        is = sequence->numbers[i] == i;
    }
    return is;
}

Test(strand, tasks_run_in_the_order_of_their_submission, .timeout = 60)
{
    enum { TASKS = 1000 };
    static struct sequence sequence;
    static struct member members[TASKS];

    for (unsigned workers = 1; workers <= 4; workers += 3) {
        stook_executor *executor = must_create(workers);
        stook_scope *scope = must_scope_with(executor, NULL, 1, false);
        struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

        options.scope = scope;
        make_members(members, TASKS, &sequence);
        for (int i = 0; i < TASKS / 2; i++) {
            options.priority = (enum stook_priority)(i % 3); /* does not change the order */
            stook_future_release(must_submit_with(executor, &options, member_task, &members[i]));
        }
        options.priority = STOOK_PRIORITY_NORMAL;
        cr_assert_eq(stook_executor_submit_many(executor, &options, member_task,
                                                &members[TASKS / 2], TASKS / 2, sizeof members[0],
                                                NULL),
                     STOOK_OK);
        cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, NULL), STOOK_OK);
        cr_assert(is_in_order(&sequence, TASKS));
        stook_scope_destroy(scope);
        stook_executor_destroy(executor);
    }
}

struct submitter {
    stook_executor *executor;
    stook_scope *scope;
    struct member members[200];
};

static int submitter_thread(void *arg)
{
    struct submitter *submitter = arg;

    for (int i = 0; i < 200; i++) {
        stook_future_release(must_submit_in(submitter->executor, submitter->scope, member_task,
                                            &submitter->members[i]));
    }
    return 0;
}

static int submitter_task(void *arg, void **ret_value)
{
    (void)ret_value;
    return submitter_thread(arg);
}

Test(strand, each_submitters_order_is_kept, .timeout = 60)
{
    enum { SUBMITTERS = 4 };
    static struct sequence sequence;
    static struct submitter submitters[SUBMITTERS];
    stook_executor *executor = must_create(3);
    stook_scope *scope = must_scope_with(executor, NULL, 1, false);
    thrd_t threads[SUBMITTERS];
    int next[SUBMITTERS] = {0};
    stook_future *inside;

    for (int i = 0; i < SUBMITTERS; i++) {
        submitters[i].executor = executor;
        submitters[i].scope = scope;
        for (int k = 0; k < 200; k++) {
            submitters[i].members[k] = (struct member){&sequence, i * 1000 + k, 0};
        }
    }
    inside = must_submit(executor, submitter_task, &submitters[0]);
    for (int i = 1; i < SUBMITTERS; i++) {
        must_start(&threads[i], submitter_thread, &submitters[i]);
    }
    for (int i = 1; i < SUBMITTERS; i++) {
        must_join(threads[i]);
    }
    cr_assert_eq(stook_future_result(inside, NULL), STOOK_OK);
    stook_future_release(inside);
    stook_scope_destroy(scope);
    cr_assert_eq(sequence.count, SUBMITTERS * 200);
    for (int i = 0; i < sequence.count; i++) {
        cr_assert_eq(sequence.numbers[i] % 1000, next[sequence.numbers[i] / 1000]++);
    }
    stook_executor_destroy(executor);
}

/* B74 */
Test(strand, a_failure_cancels_what_is_held_back_and_keep_going_does_not, .timeout = 60)
{
    enum { TASKS = 10 };
    for (int keeps_going = 0; keeps_going < 2; keeps_going++) {
        stook_executor *executor = must_create(2);
        stook_scope *scope = must_scope_with(executor, NULL, 1, keeps_going);
        struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
        struct stook_scope_outcome outcome;
        struct sequence sequence;
        struct member members[TASKS];
        struct gate gate = {0};

        options.scope = scope;
        make_members(members, TASKS, &sequence);
        members[2].code = 42;
        members[5].code = 43;
        stook_future_release(must_submit_in(executor, scope, gate_task, &gate));
        cr_assert_eq(stook_executor_submit_many(executor, &options, member_task, members, TASKS,
                                                sizeof members[0], NULL),
                     STOOK_OK);
        gate_open(&gate);
        cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome), STOOK_TASK_FAILED);
        if (keeps_going) {
            cr_assert(outcome_is(&outcome, TASKS + 1, TASKS - 1, 2, 0, 42));
        } else {
            cr_assert(outcome_is(&outcome, TASKS + 1, 3, 1, TASKS - 3, 42));
        }
        cr_assert(is_in_order(&sequence, keeps_going ? TASKS : 3));
        stook_scope_destroy(scope);
        stook_executor_destroy(executor);
    }
}

/* B70 */
Test(strand, cancel_of_one_that_is_held_back_leaves_the_others_in_order, .timeout = 60)
{
    enum { TASKS = 20 };
    stook_executor *executor = must_create(2);
    stook_scope *scope = must_scope_with(executor, NULL, 1, false);
    struct stook_scope_outcome outcome;
    struct sequence sequence;
    struct member members[TASKS];
    struct gate gate = {0};
    stook_future *futures[TASKS];

    make_members(members, TASKS, &sequence);
    stook_future_release(must_submit_in(executor, scope, gate_task, &gate));
    for (int i = 0; i < TASKS; i++) {
        members[i].number = i / 2; /* the odd ones are cancelled: first, last, neighbours */
        futures[i] = must_submit_in(executor, scope, member_task, &members[i]);
    }
    gate_await(&gate, 1);
    for (int i = TASKS - 1; i > 0; i -= 2) {
        struct called called = {.count = 0};

        cr_assert_eq(stook_future_on_done(futures[i], note_call, &called), STOOK_OK);
        cr_assert_eq(stook_future_cancel(futures[i]), STOOK_CANCEL_DONE);
        cr_assert_eq(stook_future_state(futures[i]), STOOK_STATE_CANCELLED);
        cr_assert_eq(atomic_load(&called.count), 1);
    }
    cr_assert_eq(stook_scope_wait_until(scope, 0, &outcome), STOOK_TIMEOUT);
    cr_assert(outcome_is(&outcome, TASKS + 1, 0, 0, TASKS / 2, 0));
    gate_open(&gate);
    cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome), STOOK_CANCELLED);
    cr_assert(outcome_is(&outcome, TASKS + 1, TASKS / 2 + 1, 0, TASKS / 2, 0));
    cr_assert(is_in_order(&sequence, TASKS / 2));
    release_all(futures, TASKS);
    stook_scope_destroy(scope);
    stook_executor_destroy(executor);
}

Test(strand, scope_cancel_reaches_what_is_held_back, .timeout = 60)
{
    enum { TASKS = 20 };
    stook_executor *executor = must_create(2);
    stook_scope *scope = must_scope_with(executor, NULL, 1, false);
    struct stook_scope_outcome outcome;
    struct called called[TASKS] = {{.count = 0}};
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *futures[TASKS];
    thrd_t thread;

    stook_future_release(must_submit_in(executor, scope, gate_task, &gate));
    gate_await(&gate, 1);
    must_submit_many_in(executor, scope, count_task, &runs, TASKS, futures);
    for (int i = 0; i < TASKS; i++) {
        cr_assert_eq(stook_future_on_done(futures[i], note_call, &called[i]), STOOK_OK);
    }
    must_start(&thread, result_thread, futures[TASKS - 1]);
    give_a_chance();
    cr_assert(stook_scope_cancel(scope));
    for (int i = 0; i < TASKS; i++) {
        cr_assert_eq(atomic_load(&called[i].count), 1);
    }
    cr_assert_eq(must_join(thread), STOOK_CANCELLED);
    gate_open(&gate);
    cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome), STOOK_CANCELLED);
    cr_assert(outcome_is(&outcome, TASKS + 1, 1, 0, TASKS, 0));
    release_all(futures, TASKS);
    stook_scope_destroy(scope);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

Test(strand, a_long_one_needs_no_stack, .timeout = 60)
{
    enum { TASKS = 30000 };
    stook_executor *executor = must_create(2);
    struct gate gate = {0};
    atomic_int runs = 0;

    for (int cancels = 0; cancels < 2; cancels++) {
        stook_scope *scope = must_scope_with(executor, NULL, 1, false);
        struct stook_scope_outcome outcome;

        atomic_store(&gate.open, false);
        stook_future_release(must_submit_in(executor, scope, gate_task, &gate));
        must_submit_many_in(executor, scope, count_task, &runs, TASKS, NULL);
        gate_await(&gate, cancels + 1);
        cr_assert(!cancels || stook_scope_cancel(scope));
        gate_open(&gate);
        cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome),
                     cancels ? STOOK_CANCELLED : STOOK_OK);
        cr_assert(
            outcome_is(&outcome, TASKS + 1, cancels ? 1 : TASKS + 1, 0, cancels ? TASKS : 0, 0));
        stook_scope_destroy(scope);
    }
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), TASKS);
}

/* --- waiting within a turn -------------------------------------------------------------------- */

struct turn {
    struct gate gate;
    stook_future *awaited[3];
    stook_future *between; /* still pending when the awaited one is done; NULL: not looked at */
    size_t count;
};

static int turn_task(void *arg, void **ret_value)
{
    struct turn *turn = arg;

    (void)ret_value;
    gate_pass(&turn->gate);
    if (turn->count == 1) {
        MUST(stook_future_result(turn->awaited[0], NULL) == STOOK_OK);
    } else {
        MUST(stook_wait_until(turn->awaited, turn->count, STOOK_WAIT_ALL, STOOK_FOREVER, NULL,
                              NULL) == STOOK_OK);
    }
    MUST(turn->between == NULL || stook_future_state(turn->between) == STOOK_STATE_PENDING);
    return 0;
}

Test(strand, a_task_that_waits_keeps_its_turn, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    stook_scope *scope = must_scope_with(executor, NULL, 1, false);
    struct turn turn = {.count = 1};
    struct gate outside = {0};
    atomic_int runs = 0;

    turn.awaited[0] = must_submit(executor, gate_task, &outside);
    gate_await(&outside, 1);
    gate_open(&turn.gate);
    stook_future_release(must_submit_in(executor, scope, turn_task, &turn));
    turn.between = must_submit_in(executor, scope, count_task, &runs);
    gate_await(&turn.gate, 1);
    for (int i = 0; i < 5; i++) {
        give_a_chance();
    }
    cr_assert_eq(stook_future_state(turn.between), STOOK_STATE_PENDING);
    gate_open(&outside);
    cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, NULL), STOOK_OK);
    cr_assert_eq(atomic_load(&runs), 1);
    stook_future_release(turn.between);
    stook_future_release(turn.awaited[0]);
    stook_scope_destroy(scope);
    stook_executor_destroy(executor);
}

Test(strand, a_task_that_waits_for_later_ones_runs_them_within_its_turn, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 4; workers += 3) {
        for (size_t count = 1; count <= 3; count++) {
            stook_executor *executor = must_create(workers);
            stook_scope *scope = must_scope_with(executor, NULL, 1, false);
            struct turn turn = {.count = count};
            atomic_int runs = 0;

            stook_future_release(must_submit_in(executor, scope, turn_task, &turn));
            turn.between = must_submit_in(executor, scope, count_task, &runs);
            for (size_t i = 0; i < count; i++) {
                turn.awaited[i] = must_submit_in(executor, scope, count_task, &runs);
            }
            gate_open(&turn.gate);
            cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, NULL), STOOK_OK);
            cr_assert_eq(atomic_load(&runs), (int)count + 1);
            stook_future_release(turn.between);
            release_all(turn.awaited, count);
            stook_scope_destroy(scope);
            stook_executor_destroy(executor);
        }
    }
}

Test(strand, with_a_larger_limit_waiters_do_not_starve_those_they_wait_for, .timeout = 60)
{
    enum { LIMIT = 3 };
    stook_executor *executor = must_create(2);

    for (int round = 0; round < 50; round++) {
        stook_scope *scope = must_scope_with(executor, NULL, LIMIT, false);
        struct turn turns[LIMIT] = {{.count = 1}, {.count = 1}, {.count = 1}};
        atomic_int runs = 0;

        for (int i = 0; i < LIMIT; i++) {
            stook_future_release(must_submit_in(executor, scope, turn_task, &turns[i]));
        }
        for (int i = 0; i < LIMIT; i++) {
            turns[i].awaited[0] = must_submit_in(executor, scope, count_task, &runs);
        }
        for (int i = 0; i < LIMIT; i++) {
            gate_open(&turns[i].gate);
        }
        cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, NULL), STOOK_OK);
        cr_assert_eq(atomic_load(&runs), LIMIT);
        for (int i = 0; i < LIMIT; i++) {
            stook_future_release(turns[i].awaited[0]);
        }
        stook_scope_destroy(scope);
    }
    stook_executor_destroy(executor);
}

/* Each waits for the next one of the strand, or for a child that it submits to the strand itself.
 */
struct link {
    stook_executor *executor;
    stook_scope *scope;
    struct gate *gate;
    struct link *next;
    stook_future *future;
    int depth;
};

static int link_task(void *arg, void **ret_value)
{
    struct link *link = arg;

    (void)ret_value;
    gate_pass(link->gate);
    return link->next == NULL ? 0 : (int)stook_future_result(link->next->future, NULL);
}

static int recursive_task(void *arg, void **ret_value)
{
    const struct link *link = arg;
    struct link below = *link;
    enum stook_status status = STOOK_OK;

    (void)ret_value;
    if (link->depth > 0) {
        below.depth--;
        below.future = must_submit_in(link->executor, link->scope, recursive_task, &below);
        status = stook_future_result(below.future, NULL);
        stook_future_release(below.future);
    }
    return (int)status;
}

Test(strand, a_chain_of_waits_within_it_ends, .timeout = 60)
{
    enum { LINKS = 100 };
    for (unsigned workers = 1; workers <= 2; workers++) {
        stook_executor *executor = must_create(workers);
        stook_scope *scope = must_scope_with(executor, NULL, 1, false);
        struct stook_scope_outcome outcome;
        struct link links[LINKS];
        struct gate gate = {0};
        struct link recursive = {.executor = executor, .scope = scope, .depth = LINKS - 1};

        for (int i = 0; i < LINKS; i++) {
            links[i] = (struct link){.gate = &gate, .next = i + 1 < LINKS ? &links[i + 1] : NULL};
            links[i].future = must_submit_in(executor, scope, link_task, &links[i]);
        }
        gate_open(&gate);
        cr_assert_eq(stook_future_result(links[0].future, NULL), STOOK_OK);
        for (int i = 0; i < LINKS; i++) {
            stook_future_release(links[i].future);
        }
        stook_future_release(must_submit_in(executor, scope, recursive_task, &recursive));
        cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, &outcome), STOOK_OK);
        cr_assert(outcome_is(&outcome, 2 * LINKS, 2 * LINKS, 0, 0, 0));
        stook_scope_destroy(scope);
        stook_executor_destroy(executor);
    }
}

struct bounded {
    stook_future *later;
    struct gate gate;
    enum stook_status status;
};

static int bounded_wait_task(void *arg, void **ret_value)
{
    struct bounded *bounded = arg;

    (void)ret_value;
    gate_pass(&bounded->gate);
    bounded->status =
        stook_future_wait_until(bounded->later, stook_deadline_after_ns(5 * MILLISECOND));
    return 0;
}

/* Within a deadline nothing is run in place; whether the turn is lent or not, all ends. */
Test(strand, a_bounded_wait_for_a_later_task_ends, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    stook_scope *scope = must_scope_with(executor, NULL, 1, false);
    struct bounded bounded = {.status = STOOK_INVALID};
    atomic_int runs = 0;

    stook_future_release(must_submit_in(executor, scope, bounded_wait_task, &bounded));
    bounded.later = must_submit_in(executor, scope, count_task, &runs);
    gate_open(&bounded.gate);
    cr_assert_eq(stook_scope_wait_until(scope, STOOK_FOREVER, NULL), STOOK_OK);
    cr_assert_eq(bounded.status, STOOK_TIMEOUT);
    cr_assert_eq(atomic_load(&runs), 1);
    stook_future_release(bounded.later);
    stook_scope_destroy(scope);
    stook_executor_destroy(executor);
}
