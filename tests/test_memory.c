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
