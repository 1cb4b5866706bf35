/* SPDX-License-Identifier: MIT
 *
 * fork(): in the child every call on what was made before answers at once, what was terminal can be
 * read, and new executors work; the parent does not notice. Forks in threads, in tasks, under load.
 *
 * Not under ThreadSanitizer, which ends a child that starts threads when its parent had some. Under
 * AddressSanitizer not under load: its allocator's locks, unlike malloc()'s, stay as they were at
 * the moment of the fork.
 */
#include "check.h"
#include "child_support.h"
#include "group_support.h"

/* --- what there is before the fork ------------------------------------------------------------ */

static int terminal_value;

static int value_task(void *arg, void **ret_value)
{
    *ret_value = &terminal_value;
    return *(int *)arg;
}

static int then_task(stook_future *before, void *arg, void **ret_value)
{
    (void)before;
    return count_task(arg, ret_value);
}

static bool next_item(void *user_data, void **ret_item)
{
    *ret_item = user_data;
    return true;
}

/* One of everything; the workers are held by a gate, so that nothing moves. */
struct world {
    stook_executor *executor;
    struct gate gate;
    int code;
    atomic_int runs;
    stook_future *done, *failed, *cancelled;
    stook_future *running, *pending, *delayed, *of_token, *of_scope, *promised, *then, *all;
    stook_promise *promise;
    stook_token *token;
    stook_scope *scope;
    stook_client *client;
    stook_stream *stream;
    stook_as_completed *iterator;
};

static void create_terminal_futures(struct world *world)
{
    static int zero;

    world->done = must_submit(world->executor, value_task, &zero);
    MUST(stook_future_wait_until(world->done, STOOK_FOREVER) == STOOK_OK);
    world->code = 12;
    world->failed = must_submit(world->executor, value_task, &world->code);
    MUST(stook_future_wait_until(world->failed, STOOK_FOREVER) == STOOK_OK);
    world->cancelled =
        must_submit_at(world->executor, stook_deadline_after_ns(1000 * SECOND), count_task, NULL);
    MUST(stook_future_cancel(world->cancelled) == STOOK_CANCEL_DONE);
}

static void create_world(struct world *world)
{
    *world = (struct world){.executor = must_create(2)};
    create_terminal_futures(world);
    world->running = must_submit(world->executor, gate_task, &world->gate);
    gate_await(&world->gate, 1);
    world->token = must_token(world->executor, NULL);
    world->scope = must_scope_with(world->executor, world->token, 1, false);
    world->delayed = must_submit_at(world->executor, stook_deadline_after_ns(1000 * SECOND),
                                    count_task, &world->runs);
    MUST(stook_promise_create(NULL, &world->promise, &world->promised) == STOOK_OK);
    MUST(stook_client_create(world->executor, 1, 0, &world->client) == STOOK_OK);
}

/* What needs all workers to be held. */
static void create_pending(struct world *world)
{
    struct stook_stream_options stream = STOOK_STREAM_OPTIONS_INIT;
    stook_executor *executor = world->executor;

    stream.input = next_item;
    stream.input_data = &world->runs;
    stream.fn = count_task;
    stream.look_ahead = 2;
    MUST(stook_stream_create(executor, &stream, &world->stream) == STOOK_OK);
    world->pending = must_submit(executor, count_task, &world->runs);
    world->of_token = must_submit_token(executor, world->token, count_task, &world->runs);
    world->of_scope = must_submit_in(executor, world->scope, count_task, &world->runs);
    MUST(stook_future_then(world->pending, STOOK_THEN_ALWAYS, executor, then_task, &world->runs,
                           &world->then) == STOOK_OK);
    MUST(stook_when_all(&world->pending, 1, &world->all) == STOOK_OK);
    MUST(stook_as_completed_create(&world->pending, 1, &world->iterator) == STOOK_OK);
}

/* In the parent afterwards: all goes on as if nothing had been. */
static void end_world(struct world *world)
{
    void *value = NULL;
    size_t index;

    gate_open(&world->gate);
    MUST(stook_future_cancel(world->delayed) == STOOK_CANCEL_DONE);
    MUST(stook_future_result(world->pending, NULL) == STOOK_OK);
    MUST(stook_future_result(world->of_token, NULL) == STOOK_OK);
    MUST(stook_future_result(world->then, NULL) == STOOK_OK);
    MUST(stook_future_result(world->all, NULL) == STOOK_OK);
    MUST(stook_scope_wait_until(world->scope, STOOK_FOREVER, NULL) == STOOK_OK);
    MUST(stook_promise_complete(world->promise, 0, NULL) == STOOK_OK);
    MUST(stook_future_result(world->promised, NULL) == STOOK_OK);
    MUST(stook_as_completed_next(world->iterator, STOOK_FOREVER, &index) == STOOK_OK);
    MUST(stook_stream_next(world->stream, STOOK_FOREVER, &value, NULL) == STOOK_OK);
    MUST(!stook_token_cancelled(world->token));
    MUST(stook_token_cancel(world->token));
}

/* In parent and child: neither hangs nor crashes. */
static void release_world(struct world *world)
{
    stook_future *futures[] = {
        world->done,     world->failed,  world->cancelled, world->running,
        world->pending,  world->delayed, world->of_token,  world->of_scope,
        world->promised, world->then,    world->all,
    };

    stook_as_completed_destroy(world->iterator);
    stook_stream_destroy(world->stream);
    stook_client_release(world->client);
    stook_scope_destroy(world->scope);
    stook_token_release(world->token);
    stook_promise_release(world->promise);
    release_all(futures, sizeof futures / sizeof futures[0]);
    stook_executor_destroy(world->executor);
}

/* --- in the child ----------------------------------------------------------------------------- */

static void note_nothing(stook_future *future, void *user_data)
{
    (void)future;
    (void)user_data;
}

static void check_executor_is_forked(struct world *world)
{
    stook_executor *executor = world->executor;
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    struct stook_stats stats = STOOK_STATS_INIT;
    stook_future *future = UNTOUCHED;
    stook_token *token = UNTOUCHED;
    stook_scope *scope = UNTOUCHED;
    stook_client *client = UNTOUCHED;
    atomic_int items[3] = {0};

    MUST(stook_executor_submit(executor, count_task, items, &future) == STOOK_FORKED);
    MUST(stook_executor_submit_with(executor, &options, count_task, items, &future) ==
         STOOK_FORKED);
    options.start_ns = stook_now_ns();
    MUST(stook_executor_submit_with(executor, &options, count_task, items, &future) ==
         STOOK_FORKED);
    MUST(stook_executor_submit_many(executor, NULL, count_task, items, 3, sizeof items[0],
                                    &future) == STOOK_FORKED);
    MUST(stook_executor_map(executor, count_task, items, 3, sizeof items[0], NULL, NULL) ==
         STOOK_FORKED);
    MUST(stook_executor_resize(executor, 1) == STOOK_FORKED);
    MUST(stook_executor_stats(executor, &stats, NULL, 0) == STOOK_FORKED);
    MUST(stook_token_create(executor, NULL, STOOK_FOREVER, &token) == STOOK_FORKED);
    MUST(stook_scope_create(executor, NULL, &scope) == STOOK_FORKED);
    MUST(stook_client_create(executor, 1, 0, &client) == STOOK_FORKED);
    MUST(future == UNTOUCHED && token == UNTOUCHED && scope == UNTOUCHED && client == UNTOUCHED);
    MUST(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER) == STOOK_FORKED);
    MUST(stook_executor_shutdown(executor, STOOK_CANCEL_PENDING, 0) == STOOK_FORKED);
    (void)stook_executor_worker_count(executor);
}

static void check_future_is_forked(struct world *world, stook_future *future)
{
    stook_future *made = UNTOUCHED;
    stook_as_completed *iterator = UNTOUCHED;
    void *value = UNTOUCHED;

    MUST(stook_future_wait_until(future, STOOK_FOREVER) == STOOK_FORKED);
    MUST(stook_future_wait_until(future, 0) == STOOK_FORKED);
    MUST(stook_future_result(future, &value) == STOOK_FORKED);
    MUST(stook_future_cancel(future) == STOOK_CANCEL_TOO_LATE);
    MUST(stook_future_on_done(future, note_nothing, NULL) == STOOK_FORKED);
    MUST(stook_future_then(future, STOOK_THEN_ALWAYS, NULL, then_task, NULL, &made) ==
         STOOK_FORKED);
    MUST(stook_future_then(future, STOOK_THEN_ALWAYS, world->executor, then_task, NULL, &made) ==
         STOOK_FORKED);
    MUST(stook_when_all(&future, 1, &made) == STOOK_FORKED);
    MUST(stook_when_any(&future, 1, &made) == STOOK_FORKED);
    MUST(stook_wait_until(&future, 1, STOOK_WAIT_ALL, STOOK_FOREVER, NULL, NULL) == STOOK_FORKED);
    MUST(stook_as_completed_create(&future, 1, &iterator) == STOOK_FORKED);
    MUST(value == UNTOUCHED && made == UNTOUCHED && iterator == UNTOUCHED);
    MUST(!stook_future_done(future));
    MUST(stook_future_code(future) == 0);
    stook_future_release(stook_future_retain(future));
}

static void check_terminal_is_readable(struct world *world)
{
    struct called called = {.count = 0};
    void *value = NULL;

    MUST(stook_future_result(world->done, &value) == STOOK_OK);
    MUST(value == &terminal_value);
    MUST(stook_future_state(world->failed) == STOOK_STATE_FAILED);
    MUST(stook_future_wait_until(world->failed, STOOK_FOREVER) == STOOK_OK);
    MUST(stook_future_result(world->failed, NULL) == STOOK_TASK_FAILED);
    MUST(stook_future_code(world->failed) == 12);
    MUST(stook_future_result(world->cancelled, NULL) == STOOK_CANCELLED);
    MUST(stook_future_cancel(world->cancelled) == STOOK_CANCEL_DONE);
    MUST(stook_future_on_done(world->done, note_call, &called) == STOOK_OK);
    MUST(atomic_load(&called.count) == 1);
}

static int use_executor_task(void *arg, void **ret_value)
{
    stook_executor *executor = arg;
    atomic_int runs = 0;
    stook_future *future = must_submit(executor, count_task, &runs);

    (void)ret_value;
    MUST(stook_future_result(future, NULL) == STOOK_OK);
    stook_future_release(future);
    return atomic_load(&runs);
}

/* A new executor does all that one does, also for the thread that was a worker of the old one. */
static void check_new_executor_works(void)
{
    stook_executor *executor = must_create(2);
    stook_scope *scope = must_scope(executor);
    stook_token *token = must_token_until(executor, NULL, stook_deadline_after_ns(5 * MILLISECOND));
    atomic_int runs[8] = {0};
    stook_future *future = must_submit(executor, use_executor_task, executor);
    stook_future *delayed =
        must_submit_at(executor, stook_deadline_after_ns(MILLISECOND), count_task, runs);
    stook_promise *promise;
    stook_future *promised;

    MUST(stook_future_result(future, NULL) == STOOK_TASK_FAILED);
    MUST(stook_future_code(future) == 1);
    MUST(stook_future_result(delayed, NULL) == STOOK_OK);
    must_submit_many_in(executor, scope, count_task, &runs[0], 10, NULL);
    MUST(stook_scope_wait_until(scope, STOOK_FOREVER, NULL) == STOOK_OK);
    MUST(atomic_load(&runs[0]) == 11);
    MUST(stook_executor_map(executor, count_task, runs, 8, sizeof runs[0], NULL, NULL) == STOOK_OK);
    MUST(stook_promise_create(NULL, &promise, &promised) == STOOK_OK);
    MUST(stook_promise_complete(promise, 0, NULL) == STOOK_OK);
    MUST(stook_future_result(promised, NULL) == STOOK_OK);
    SPIN_UNTIL(stook_token_cancelled(token));
    stook_promise_release(promise);
    stook_future_release(promised);
    stook_token_release(token);
    stook_scope_destroy(scope);
    stook_future_release(delayed);
    stook_future_release(future);
    MUST(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER) == STOOK_OK);
    stook_executor_destroy(executor);
}

static void check_in_child(struct world *world)
{
    stook_future *pending[] = {world->running,  world->pending,  world->delayed, world->of_token,
                               world->of_scope, world->promised, world->then,    world->all};
    struct stook_scope_outcome outcome;
    void *value = NULL;
    size_t index;

    check_executor_is_forked(world);
    for (size_t i = 0; i < sizeof pending / sizeof pending[0]; i++) {
        check_future_is_forked(world, pending[i]);
    }
    check_terminal_is_readable(world);
    MUST(stook_promise_complete(world->promise, 0, NULL) == STOOK_FORKED);
    MUST(!stook_token_cancel(world->token));
    (void)stook_token_cancelled(world->token);
    stook_token_release(stook_token_retain(world->token));
    stook_client_release(stook_client_retain(world->client));
    MUST(stook_scope_wait_until(world->scope, STOOK_FOREVER, &outcome) == STOOK_FORKED);
    MUST(stook_scope_wait_until(world->scope, 0, &outcome) == STOOK_FORKED);
    MUST(!stook_scope_cancel(world->scope));
    MUST(stook_as_completed_next(world->iterator, STOOK_FOREVER, &index) == STOOK_FORKED);
    MUST(stook_stream_next(world->stream, STOOK_FOREVER, &value, NULL) == STOOK_FORKED);
    (void)stook_task_cancel_requested();
    stook_task_begin_blocking();
    stook_task_end_blocking();
    check_new_executor_works();
}

/* --- calm forks ------------------------------------------------------------------------------- */

/* Forks; the child checks, and releases everything if told so. Gives the child's status. */
static int fork_and_check(struct world *world, bool releases)
{
    const pid_t child = fork();

    if (child == 0) {
        begin_child();
        check_in_child(world);
        if (releases) {
            release_world(world);
            check_new_executor_works();
        }
        _exit(EXIT_SUCCESS);
    }
    return await_child(child);
}

/* Where AddressSanitizer is left out, another thread may just be in its allocator, whose lock the
 * child would then never get. */
Test(fork, B75_in_a_thread, .timeout = 120, .disabled = UNDER_TSAN || UNDER_ASAN)
{
    struct world world;

    create_world(&world);
    fill_workers(world.executor, &world.gate, 1);
    create_pending(&world);
    for (int i = 0; i < 4; i++) {
        cr_assert(has_exited_with_0(fork_and_check(&world, i % 2)));
    }
    end_world(&world);
    release_world(&world);
}

struct forking {
    struct world *world;
    struct gate gate;
    int statuses[4];
};

static int forking_task(void *arg, void **ret_value)
{
    struct forking *forking = arg;

    (void)ret_value;
    gate_pass(&forking->gate);
    for (int i = 0; i < 4; i++) {
        forking->statuses[i] = fork_and_check(forking->world, i % 2);
    }
    return 5;
}

Test(fork, B75_in_a_task, .timeout = 120, .disabled = UNDER_TSAN || UNDER_ASAN)
{
    struct world world;
    struct forking forking = {.world = &world};
    stook_future *future;

    create_world(&world);
    future = must_submit(world.executor, forking_task, &forking);
    gate_await(&forking.gate, 1);
    create_pending(&world);
    gate_open(&forking.gate);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_TASK_FAILED);
    cr_assert_eq(stook_future_code(future), 5, "the task goes on in the parent");
    for (int i = 0; i < 4; i++) {
        cr_assert(has_exited_with_0(forking.statuses[i]));
    }
    stook_future_release(future);
    end_world(&world);
    release_world(&world);
}

/* B75 */
Test(fork, a_child_may_fork_again, .timeout = 120, .disabled = UNDER_TSAN)
{
    stook_executor *executor = must_create(1);
    const pid_t child = fork();

    if (child == 0) {
        stook_executor *own;
        struct gate gate = {0};
        stook_future *running;
        pid_t grandchild;

        begin_child();
        own = must_create(1);
        running = must_submit(own, gate_task, &gate);
        gate_await(&gate, 1);
        grandchild = fork();
        if (grandchild == 0) {
            begin_child();
            MUST(stook_executor_submit(executor, count_task, NULL, NULL) == STOOK_FORKED);
            MUST(stook_executor_submit(own, count_task, NULL, NULL) == STOOK_FORKED);
            MUST(stook_future_wait_until(running, STOOK_FOREVER) == STOOK_FORKED);
            check_new_executor_works();
            _exit(EXIT_SUCCESS);
        }
        MUST(has_exited_with_0(await_child(grandchild)));
        gate_open(&gate);
        MUST(stook_future_result(running, NULL) == STOOK_OK);
        stook_future_release(running);
        stook_executor_destroy(own);
        _exit(EXIT_SUCCESS);
    }
    cr_assert(has_exited_with_0(await_child(child)));
    stook_executor_destroy(executor);
}

static atomic_int deallocations;

static void *plain_allocate(void *user_data, size_t size)
{
    (void)user_data;
    return malloc(size);
}

static void count_deallocate(void *user_data, void *memory, size_t size)
{
    (void)user_data;
    (void)size;
    atomic_fetch_add(&deallocations, 1);
    free(memory);
}

/* Another thread may have been in the allocator. */
Test(fork, B75_a_child_frees_nothing_of_what_was_pending, .timeout = 120)
{
    const struct stook_allocator allocator = {plain_allocate, count_deallocate, NULL};
    stook_promise *promise;
    stook_future *future;

    cr_assert_eq(stook_promise_create(&allocator, &promise, &future), STOOK_OK);
    const pid_t child = fork();
    if (child == 0) {
        begin_child();
        stook_future_release(future);
        stook_promise_release(promise);
        MUST(atomic_load(&deallocations) == 0);
        MUST(stook_promise_create(&allocator, &promise, &future) == STOOK_OK);
        stook_future_release(future);
        stook_promise_release(promise);
        MUST(atomic_load(&deallocations) == 1);
        _exit(EXIT_SUCCESS);
    }
    cr_assert(has_exited_with_0(await_child(child)));
    stook_future_release(future);
    stook_promise_release(promise);
    cr_assert_eq(atomic_load(&deallocations), 1);
}

/* --- under load ------------------------------------------------------------------------------- */

enum { FORKS = 50, LOADERS = 3 };

struct load {
    stook_executor *executor;
    struct gate gate;
    stook_future *busy; /* held by the gate; everybody waits for it and leaves again */
    stook_token *token; /* of nobody */
    atomic_bool stop;
    atomic_int runs;
};

/* One round of everything that takes a lock, or a bit, that a child finds as it is. */
static void load_once(struct load *load)
{
    stook_executor *brief = must_create(1);
    stook_scope *scope = must_scope_with(load->executor, load->token, 2, false);
    stook_token *token =
        must_token_until(load->executor, load->token, stook_deadline_after_ns(MILLISECOND / 10));
    stook_future *futures[4];

    futures[0] = must_submit_token(load->executor, token, count_task, &load->runs);
    futures[1] = must_submit_in(load->executor, scope, use_executor_task, load->executor);
    futures[2] = must_submit_at(load->executor, stook_deadline_after_ns(MILLISECOND / 10),
                                count_task, &load->runs);
    futures[3] = must_submit(brief, count_task, &load->runs);
    for (int i = 0; i < 20; i++) {
        MUST(stook_future_wait_until(load->busy, stook_deadline_after_ns(1000)) == STOOK_TIMEOUT);
        MUST(stook_future_cancel(load->busy) == STOOK_CANCEL_REQUESTED);
    }
    for (int i = 0; i < 4; i++) {
        MUST(stook_future_wait_until(futures[i], STOOK_FOREVER) == STOOK_OK);
    }
    (void)stook_token_cancel(token);
    stook_scope_destroy(scope);
    stook_token_release(token);
    release_all(futures, 4);
    stook_executor_destroy(brief);
}

static int load_thread(void *arg)
{
    struct load *load = arg;

    while (!atomic_load(&load->stop)) {
        load_once(load);
    }
    return 0;
}

static void begin_load(struct load *load, thrd_t threads[])
{
    load->executor = must_create(3);
    load->token = must_token(load->executor, NULL);
    load->busy = must_submit(load->executor, gate_task, &load->gate);
    gate_await(&load->gate, 1);
    for (int i = 0; i < LOADERS; i++) {
        must_start(&threads[i], load_thread, load);
    }
}

static void end_load(struct load *load, thrd_t threads[])
{
    atomic_store(&load->stop, true);
    for (int i = 0; i < LOADERS; i++) {
        must_join(threads[i]);
    }
    gate_open(&load->gate);
    MUST(stook_future_result(load->busy, NULL) == STOOK_OK);
    stook_future_release(load->busy);
    stook_token_release(load->token);
    stook_executor_destroy(load->executor);
}

/* Whatever a thread of the parent was in the middle of. */
static int fork_under_load(struct load *load)
{
    const pid_t child = fork();

    if (child == 0) {
        begin_child();
        MUST(stook_executor_submit(load->executor, count_task, NULL, NULL) == STOOK_FORKED);
        MUST(stook_future_wait_until(load->busy, STOOK_FOREVER) == STOOK_FORKED);
        MUST(stook_future_on_done(load->busy, note_nothing, NULL) == STOOK_FORKED);
        MUST(stook_future_cancel(load->busy) == STOOK_CANCEL_TOO_LATE);
        MUST(!stook_token_cancel(load->token));
        MUST(stook_executor_shutdown(load->executor, STOOK_DRAIN, STOOK_FOREVER) == STOOK_FORKED);
        check_new_executor_works();
        stook_future_release(load->busy);
        stook_token_release(load->token);
        stook_executor_destroy(load->executor);
        check_new_executor_works();
        _exit(EXIT_SUCCESS);
    }
    return await_child(child);
}

Test(fork, B75_fifty_under_load_from_a_thread, .timeout = 240, .disabled = UNDER_TSAN || UNDER_ASAN)
{
    struct load load = {.stop = false};
    thrd_t threads[LOADERS];

    begin_load(&load, threads);
    for (int i = 0; i < FORKS; i++) {
        cr_assert(has_exited_with_0(fork_under_load(&load)), "fork %d", i);
    }
    end_load(&load, threads);
}

static int fork_under_load_task(void *arg, void **ret_value)
{
    (void)ret_value;
    return !has_exited_with_0(fork_under_load(arg));
}

Test(fork, B75_fifty_under_load_from_tasks, .timeout = 240, .disabled = UNDER_TSAN || UNDER_ASAN)
{
    struct load load = {.stop = false};
    stook_future *futures[FORKS];
    thrd_t threads[LOADERS];

    begin_load(&load, threads);
    cr_assert_eq(stook_executor_submit_many(load.executor, NULL, fork_under_load_task, &load, FORKS,
                                            0, futures),
                 STOOK_OK);
    for (int i = 0; i < FORKS; i++) {
        cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK, "fork %d", i);
    }
    release_all(futures, FORKS);
    end_load(&load, threads);
}
