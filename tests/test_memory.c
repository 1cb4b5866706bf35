/* SPDX-License-Identifier: MIT
 *
 * The memory of futures: none is asked for when there is enough, one cache line is enough for each,
 * and all is given back, also by futures that outlive their executor.
 */
#include "check.h"
#include "support.h"

/* Counts what an executor asks for. */
struct memory {
    atomic_size_t bytes, calls;
};

static void *take(void *user_data, size_t size)
{
    struct memory *memory = user_data;

    atomic_fetch_add(&memory->bytes, size);
    atomic_fetch_add(&memory->calls, 1);
    return malloc(size);
}

static void give(void *user_data, void *block, size_t size)
{
    struct memory *memory = user_data;

    atomic_fetch_sub(&memory->bytes, size);
    free(block);
}

static stook_executor *create(struct memory *memory, unsigned workers)
{
    const struct stook_allocator allocator = {take, give, memory};
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor = NULL;

    options.workers = workers;
    options.allocator = &allocator;
    MUST(stook_executor_create(&options, &executor) == STOOK_OK);
    return executor;
}

/* Submits many, a few at a time, awaits and releases them. */
static void use(stook_executor *executor, int rounds)
{
    enum { AT_ONCE = 100 };
    stook_future *futures[AT_ONCE];
    atomic_int runs = 0;

    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < AT_ONCE; i++) {
            futures[i] = must_submit(executor, count_task, &runs);
        }
        for (int i = 0; i < AT_ONCE; i++) {
            MUST(stook_future_result(futures[i], NULL) == STOOK_OK);
            stook_future_release(futures[i]);
        }
    }
    MUST(atomic_load(&runs) == rounds * AT_ONCE);
}

static int use_task(void *arg, void **ret_value)
{
    (void)ret_value;
    use(arg, 50);
    return 0;
}

Test(memory, in_steady_state_nothing_is_asked_for, .timeout = 60)
{
    struct memory memory = {0};
    stook_executor *executor = create(&memory, 2);
    size_t calls[2];

    for (int i = 0; i < 2; i++) {
        use(executor, 50);
        stook_future *future = must_submit(executor, use_task, executor);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        stook_future_release(future);
        calls[i] = atomic_load(&memory.calls);
    }
    /* 10,000 futures more; the threads' shares of free ones may still move a little */
    cr_assert_leq(calls[1], calls[0] + 4);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&memory.bytes), 0);
}

Test(memory, a_pending_task_and_its_future_take_a_cache_line, .timeout = 60)
{
    enum { COUNT = 100000 };
    struct memory memory = {0};
    stook_executor *executor = create(&memory, 1);
    stook_future **futures = malloc(COUNT * sizeof(stook_future *));
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *holder = must_submit(executor, gate_task, &gate);

    cr_assert_not_null(futures);
    gate_await(&gate, 1);
    size_t before = atomic_load(&memory.bytes);
    for (int i = 0; i < COUNT; i++) {
        futures[i] = must_submit(executor, count_task, &runs);
    }
    /* what is kept for the next ones is at most 16,384 of them */
    cr_assert_leq(atomic_load(&memory.bytes) - before, (COUNT + 16384) * 65);
    gate_open(&gate);
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(stook_future_wait_until(futures[i], STOOK_FOREVER), STOOK_OK);
    }
    release_all(futures, COUNT);
    stook_future_release(holder);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&memory.bytes), 0);
    cr_assert_eq(atomic_load(&runs), COUNT);
    free(futures);
}

struct late {
    stook_future **futures;
    int count;
};

static int release_late(void *arg)
{
    const struct late *late = arg;

    release_all(late->futures, (size_t)late->count);
    return 0;
}

/* By two threads at once, the last of which must find out that it is. */
Test(memory, futures_that_outlive_their_executor_give_it_back, .timeout = 60)
{
    enum { EACH = 500, ROUNDS = 50 };
    static stook_future *futures[2 * EACH];

    for (int round = 0; round < ROUNDS; round++) {
        struct memory memory = {0};
        stook_executor *executor = create(&memory, 2);
        atomic_int runs = 0;
        struct late halves[2] = {{futures, EACH}, {futures + EACH, EACH}};
        thrd_t helper;

        for (int i = 0; i < 2 * EACH; i++) {
            futures[i] = must_submit(executor, count_task, &runs);
        }
        if (round % 2 == 0) {
            stook_executor_destroy(executor);
            cr_assert_gt(atomic_load(&memory.bytes), 2 * EACH * 64);
            must_start(&helper, release_late, &halves[1]);
        } else { /* while it is being destroyed */
            must_start(&helper, release_late, &halves[1]);
            stook_executor_destroy(executor);
        }
        release_late(&halves[0]);
        thrd_join(helper, NULL);
        cr_assert_eq(atomic_load(&memory.bytes), 0);
        cr_assert_eq(atomic_load(&runs), 2 * EACH);
    }
}

/* A future is released in a task of another executor, and memory finds its way home. */
static int release_task(void *arg, void **ret_value)
{
    (void)ret_value;
    stook_future_release(arg);
    return 0;
}

Test(memory, futures_may_be_released_anywhere, .timeout = 60)
{
    enum { COUNT = 20000 };
    struct memory memory[2] = {{0}, {0}};
    stook_executor *executors[2] = {create(&memory[0], 2), create(&memory[1], 2)};
    atomic_int runs = 0;

    for (int i = 0; i < COUNT; i++) {
        stook_future *future = must_submit(executors[0], count_task, &runs);
        MUST(stook_executor_submit(executors[1], release_task, future, NULL) == STOOK_OK);
    }
    stook_executor_destroy(executors[1]);
    stook_executor_destroy(executors[0]);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(atomic_load(&memory[i].bytes), 0);
    }
    cr_assert_eq(atomic_load(&runs), COUNT);
}

struct uneven {
    stook_executor *executor;
    stook_future *outside[10];
    stook_future *awaited;
};

/* Submits, awaits and releases `count`, the last one first: all of them run here. */
static void use_backwards(stook_executor *executor, int count)
{
    stook_future *futures[50];
    atomic_int runs = 0;

    for (int i = 0; i < count; i++) {
        futures[i] = must_submit(executor, count_task, &runs);
    }
    for (int i = count - 1; i >= 0; i--) {
        MUST(stook_future_result(futures[i], NULL) == STOOK_OK);
    }
    release_all(futures, (size_t)count);
}

static int blocking_task(void *arg, void **ret_value)
{
    const struct uneven *uneven = arg;
    (void)ret_value;
    MUST(stook_future_wait_until(uneven->awaited, STOOK_FOREVER) == STOOK_OK);
    return 0;
}

static int greedy_task(void *arg, void **ret_value)
{
    struct uneven *uneven = arg;
    (void)ret_value;
    use_backwards(uneven->executor, 50);
    release_all(uneven->outside, 10);
    return 0;
}

static int modest_task(void *arg, void **ret_value)
{
    (void)ret_value;
    use_backwards(arg, 5);
    return 0;
}

/* A thread that goes leaves more free records than a magazine holds; whoever comes to them must
 * still give back what it has too many. */
Test(memory, what_a_thread_leaves_does_not_make_others_hoard, .timeout = 60)
{
    enum { PERIOD = 500, TASKS = 100 * PERIOD };
    struct memory memory = {0};
    const struct stook_allocator allocator = {take, give, &memory};
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    struct uneven uneven = {.executor = NULL};
    stook_promise *promise;
    stook_future *blocking;
    atomic_int runs = 0;

    options.workers = 1;
    options.keep_alive_ns = 1;
    options.allocator = &allocator;
    cr_assert_eq(stook_executor_create(&options, &uneven.executor), STOOK_OK);
    cr_assert_eq(stook_promise_create(NULL, &promise, &uneven.awaited), STOOK_OK);
    for (int i = 0; i < 10; i++) {
        uneven.outside[i] = must_submit(uneven.executor, count_task, &runs);
        cr_assert_eq(stook_future_result(uneven.outside[i], NULL), STOOK_OK);
    }
    blocking = must_submit(uneven.executor, blocking_task, &uneven);
    SPIN_UNTIL(stook_future_state(blocking) == STOOK_STATE_RUNNING);
    give_a_chance(); /* it lends its worker, to a thread of which there will be one too many */
    cr_assert_eq(stook_executor_submit(uneven.executor, greedy_task, &uneven, NULL), STOOK_OK);
    for (int i = 0; i < 10; i++) {
        give_a_chance();
    }
    cr_assert_eq(stook_promise_complete(promise, 0, NULL), STOOK_OK);
    cr_assert_eq(stook_future_result(blocking, NULL), STOOK_OK);
    stook_future_release(blocking);
    for (int i = 0; i < 10; i++) {
        give_a_chance(); /* the one too many goes */
    }
    cr_assert_eq(stook_executor_submit(uneven.executor, modest_task, uneven.executor, NULL),
                 STOOK_OK);
    size_t before = atomic_load(&memory.bytes);
    for (int i = 0; i < TASKS; i++) {
        if (i % PERIOD > 0) {
            cr_assert_eq(stook_executor_submit(uneven.executor, count_task, &runs, NULL), STOOK_OK);
        } else {
            stook_future *future = must_submit(uneven.executor, count_task, &runs);
            cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
            stook_future_release(future);
        }
    }
    cr_assert_leq(atomic_load(&memory.bytes) - before, TASKS * 64 / 2);
    stook_promise_release(promise);
    stook_future_release(uneven.awaited);
    stook_executor_destroy(uneven.executor);
    cr_assert_eq(atomic_load(&memory.bytes), 0);
}

/* --- completers that are late ----------------------------------------------------------------- */

struct slow_completer {
    stook_promise *promise; /* to complete; or else: */
    stook_future *future;   /* to cancel */
    struct gate in_callback;
};

static void slow_callback(stook_future *future, void *user)
{
    (void)future;
    gate_pass(user);
}

static int slow_completer_thread(void *arg)
{
    struct slow_completer *slow = arg;

    if (slow->promise) {
        MUST(stook_promise_complete(slow->promise, 0, NULL) == STOOK_OK);
    } else {
        MUST(stook_future_cancel(slow->future) == STOOK_CANCEL_DONE);
    }
    return 0;
}

static int continue_task(stook_future *before, void *arg, void **ret_value)
{
    (void)before;
    (void)arg;
    (void)ret_value;
    return 0;
}

/* A thread is in the callbacks of a future, on its way to a continuation that the shutdown has
 * cancelled meanwhile; when it gets there the executor is gone. */
Test(memory, a_completer_is_late_for_a_continuation, .timeout = 60)
{
    struct memory memory = {0};
    stook_executor *executor = create(&memory, 2);
    struct slow_completer slow = {.promise = NULL};
    stook_future *awaited;
    stook_future *then;
    thrd_t thread;

    cr_assert_eq(stook_promise_create(NULL, &slow.promise, &awaited), STOOK_OK);
    cr_assert_eq(stook_future_on_done(awaited, slow_callback, &slow.in_callback), STOOK_OK);
    cr_assert_eq(
        stook_future_then(awaited, STOOK_THEN_ALWAYS, executor, continue_task, NULL, &then),
        STOOK_OK);
    must_start(&thread, slow_completer_thread, &slow);
    gate_await(&slow.in_callback, 1);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_CANCEL_PENDING, STOOK_FOREVER), STOOK_OK);
    stook_executor_destroy(executor);
    cr_assert_eq(stook_future_state(then), STOOK_STATE_CANCELLED);
    gate_open(&slow.in_callback);
    thrd_join(thread, NULL);
    stook_future_release(then);
    stook_future_release(awaited);
    stook_promise_release(slow.promise);
    cr_assert_eq(atomic_load(&memory.bytes), 0);
}

/* The same while a task of a token is being cancelled, whose husk the executor drops. */
Test(memory, a_canceller_is_late_for_a_token, .timeout = 60)
{
    struct memory memory = {0};
    stook_executor *executor = create(&memory, 1);
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    struct slow_completer slow = {.promise = NULL};
    struct gate gate = {0};
    atomic_int runs = 0;
    thrd_t thread;

    cr_assert_eq(stook_token_create(executor, NULL, STOOK_FOREVER, &options.token), STOOK_OK);
    cr_assert_eq(stook_executor_submit(executor, gate_task, &gate, NULL), STOOK_OK);
    cr_assert_eq(stook_executor_submit_with(executor, &options, count_task, &runs, &slow.future),
                 STOOK_OK);
    cr_assert_eq(stook_future_on_done(slow.future, slow_callback, &slow.in_callback), STOOK_OK);
    must_start(&thread, slow_completer_thread, &slow);
    gate_await(&slow.in_callback, 1);
    gate_open(&gate);
    stook_token_release(options.token);
    stook_executor_destroy(executor);
    gate_open(&slow.in_callback);
    thrd_join(thread, NULL);
    stook_future_release(slow.future);
    cr_assert_eq(atomic_load(&runs), 0);
    cr_assert_eq(atomic_load(&memory.bytes), 0);
}
