/* SPDX-License-Identifier: MIT
 *
 * The user's allocator: that what is taken is given back with the same size, that every failure is
 * answered and leaves nothing behind, and that it is never called with a lock of the library held.
 */
#include <string.h>
#include "check.h"
#include "support.h"

/* An allocator that keeps the size of each block before it. */
struct memory {
    atomic_size_t blocks, bytes, calls;
    atomic_long calls_left;               /* until one fails; negative: none does */
    void (*probe)(struct memory *memory); /* called by each call; may be NULL */
    stook_executor *executor;             /* for the probe */
    bool is_shut_down;                    /* by the test; for the probe */
};

enum { HEADER_BYTES = 32, PATTERN = 0xa5 };

static void *take(void *user_data, size_t size)
{
    struct memory *memory = user_data;

    MUST(size > 0);
    if (memory->probe) {
        memory->probe(memory);
    }
    if (atomic_fetch_sub(&memory->calls_left, 1) == 0) {
        return NULL;
    }
    char *block = malloc(HEADER_BYTES + size);
    MUST(block);
    memcpy(block, &size, sizeof size);
    memset(block + HEADER_BYTES, PATTERN, size); /* nobody may rely on zeros */
    atomic_fetch_add(&memory->calls, 1);
    atomic_fetch_add(&memory->blocks, 1);
    atomic_fetch_add(&memory->bytes, size);
    return block + HEADER_BYTES;
}

static void give(void *user_data, void *block, size_t size)
{
    struct memory *memory = user_data;
    char *begin = (char *)block - HEADER_BYTES;
    size_t taken;

    MUST(block);
    memcpy(&taken, begin, sizeof taken);
    MUST(taken == size);
    if (memory->probe) {
        memory->probe(memory);
    }
    memset(begin, PATTERN, HEADER_BYTES + size);
    free(begin);
    atomic_fetch_sub(&memory->blocks, 1);
    atomic_fetch_sub(&memory->bytes, size);
}

static enum stook_status create(struct memory *memory, unsigned workers, unsigned max_workers,
                                stook_executor **ret_executor)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    struct stook_allocator allocator = {take, give, memory};

    options.workers = workers;
    options.max_workers = max_workers;
    options.keep_alive_ns = MILLISECOND;
    options.allocator = &allocator;
    enum stook_status status = stook_executor_create(&options, ret_executor);
    memset(&allocator, 0, sizeof allocator); /* it was copied */
    return status;
}

struct work {
    stook_executor *executor;
    atomic_int runs;
};

/* Makes its worker's deque grow. */
static int submit_task(void *arg, void **ret_value)
{
    struct work *work = arg;

    (void)ret_value;
    for (int i = 0; i < 1000; i++) {
        MUST(stook_executor_submit(work->executor, count_task, &work->runs, NULL) == STOOK_OK);
    }
    return 0;
}

static int blocking_task(void *arg, void **ret_value)
{
    (void)ret_value;
    stook_task_begin_blocking();
    gate_pass(arg);
    stook_task_end_blocking();
    return 0;
}

/* All that takes memory: threads, deques, a map. */
static void use(stook_executor *executor)
{
    enum { BLOCKED = 6 };
    struct work work = {.executor = executor};
    struct gate gate = {0};
    stook_future *futures[BLOCKED + 2];
    char items[200];

    for (int i = 0; i < BLOCKED; i++) {
        futures[i] = must_submit(executor, blocking_task, &gate);
    }
    gate_await(&gate, BLOCKED);
    MUST(stook_executor_resize(executor, 4) == STOOK_OK);
    for (int i = 0; i < 2; i++) {
        futures[BLOCKED + i] = must_submit(executor, submit_task, &work);
    }
    MUST(stook_executor_map(executor, count_task, &work.runs, sizeof items, 0, NULL, NULL) ==
         STOOK_OK);
    gate_open(&gate);
    for (int i = 0; i < BLOCKED + 2; i++) {
        MUST(stook_future_result(futures[i], NULL) == STOOK_OK);
    }
    release_all(futures, BLOCKED + 2);
    SPIN_UNTIL(atomic_load(&work.runs) == 2000 + sizeof items);
    MUST(stook_executor_resize(executor, 1) == STOOK_OK);
}

Test(alloc, all_that_is_taken_is_given_back_with_its_size)
{
    struct memory memory = {.calls_left = -1};
    const int before = thread_count_at_first();
    stook_executor *executor = NULL;

    cr_assert_eq(create(&memory, 2, 4, &executor), STOOK_OK);
    size_t at_first = atomic_load(&memory.bytes);
    for (int i = 0; i < 3; i++) {
        use(executor);
    }
    cr_assert_geq(atomic_load(&memory.bytes), at_first + 1000 * sizeof(void *)); /* a deque grew */
    cr_assert_geq(atomic_load(&memory.calls), 2 + 6 + 4);
    cr_assert(before < 0 || thread_count_becomes(before + 1));
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&memory.blocks), 0);
    cr_assert_eq(atomic_load(&memory.bytes), 0);
}

static int then_task(stook_future *before, void *arg, void **ret_value)
{
    (void)before;
    return count_task(arg, ret_value);
}

Test(alloc, a_continuation_takes_memory_where_it_will_run)
{
    struct memory memory = {.calls_left = -1};
    stook_promise *promise;
    stook_future *before;
    stook_future *then;
    stook_executor *executor;
    atomic_int runs = 0;

    MUST(create(&memory, 1, 1, &executor) == STOOK_OK);
    MUST(stook_promise_create(NULL, &promise, &before) == STOOK_OK);
    const size_t calls = atomic_load(&memory.calls);
    MUST(stook_future_then(before, STOOK_THEN_ALWAYS, NULL, then_task, &runs, NULL) == STOOK_OK);
    cr_assert_eq(atomic_load(&memory.calls), calls);
    MUST(stook_future_then(before, STOOK_THEN_ALWAYS, executor, then_task, &runs, &then) ==
         STOOK_OK);
    cr_assert_eq(atomic_load(&memory.calls), calls + 1);
    stook_promise_release(promise);
    cr_assert_eq(stook_future_result(then, NULL), STOOK_OK);
    stook_future_release(then);
    stook_future_release(before);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 2);
    cr_assert_eq(atomic_load(&memory.blocks), 0);
}

Test(alloc, a_cancelled_continuation_is_forgotten_at_once)
{
    struct memory memory = {.calls_left = -1};
    struct stook_allocator allocator = {take, give, &memory};
    stook_promise *promise;
    stook_future *before;
    stook_future *then;
    atomic_int runs = 0;

    MUST(stook_promise_create(&allocator, &promise, &before) == STOOK_OK);
    MUST(stook_future_then(before, STOOK_THEN_ALWAYS, NULL, then_task, &runs, &then) == STOOK_OK);
    cr_assert_eq(stook_future_cancel(then), STOOK_CANCEL_DONE);
    stook_future_release(then);
    cr_assert_eq(atomic_load(&memory.blocks), 1, "that of the promise");
    stook_promise_release(promise);
    stook_future_release(before);
    cr_assert_eq(atomic_load(&memory.blocks), 0);
    cr_assert_eq(atomic_load(&runs), 0);
}

Test(alloc, B31_create_answers_NOMEM_and_gives_all_back)
{
    for (long number = 0;; number++) {
        struct memory memory = {.calls_left = number};
        stook_executor *executor = NULL;
        enum stook_status status = create(&memory, 3, 5, &executor);

        if (atomic_load(&memory.calls_left) >= 0) {
            cr_assert_eq(status, STOOK_OK);
            cr_assert_geq(number, 2 + 2 * 3); /* records, deques, threads */
            stook_executor_destroy(executor);
            cr_assert_eq(atomic_load(&memory.blocks), 0);
            break;
        }
        cr_assert(status == STOOK_NOMEM || status == STOOK_THREAD);
        cr_assert_null(executor);
        cr_assert_eq(atomic_load(&memory.blocks), 0);
    }
}

Test(alloc, B31_a_map_without_memory_calls_nothing)
{
    struct memory memory = {.calls_left = -1};
    stook_executor *executor = NULL;
    atomic_int runs = 0;
    enum stook_status status;

    cr_assert_eq(create(&memory, 2, 2, &executor), STOOK_OK);
    for (long number = 0;; number++) {
        atomic_store(&memory.calls_left, number);
        status = stook_executor_map(executor, count_task, &runs, 50, 0, NULL, NULL);
        if (status == STOOK_OK) {
            break;
        }
        cr_assert_eq(status, STOOK_NOMEM);
        cr_assert_eq(atomic_load(&runs), 0);
    }
    atomic_store(&memory.calls_left, -1);
    cr_assert_eq(atomic_load(&runs), 50);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&memory.blocks), 0);
}

Test(alloc, one_without_a_function_is_refused)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    struct stook_allocator allocator = {take, NULL, NULL};
    stook_executor *executor = NULL;

    options.allocator = &allocator;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_INVALID);
    allocator = (struct stook_allocator){NULL, give, NULL};
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_INVALID);
}

/* --- no lock ---------------------------------------------------------------------------------- */

static _Thread_local bool is_prober;
static mtx_t probe_mutex;
static atomic_int probes;

/* Takes every lock of the executor. */
static int take_locks(void *arg)
{
    struct memory *memory = arg;
    static atomic_int runs;

    is_prober = true;
    enum stook_status status = stook_executor_submit(memory->executor, count_task, &runs, NULL);
    MUST(status == STOOK_OK || status == STOOK_SHUTDOWN);
    status = stook_executor_resize(memory->executor, stook_executor_worker_count(memory->executor));
    MUST(status == STOOK_OK || status == STOOK_SHUTDOWN);
    if (memory->is_shut_down) {
        status = stook_executor_shutdown(memory->executor, STOOK_DRAIN, 0);
        MUST(status == STOOK_OK || status == STOOK_TIMEOUT);
    }
    atomic_fetch_add(&probes, 1);
    return 0;
}

/* Does not return before another thread has had all the locks. */
static void probe(struct memory *memory)
{
    thrd_t thread;

    if (is_prober || !memory->executor) {
        return;
    }
    mtx_lock(&probe_mutex);
    must_start(&thread, take_locks, memory);
    thrd_join(thread, NULL);
    mtx_unlock(&probe_mutex);
}

Test(alloc, it_is_never_called_with_a_lock_held)
{
    struct memory memory = {.calls_left = -1, .probe = probe};

    cr_assert_eq(mtx_init(&probe_mutex, mtx_plain), thrd_success);
    cr_assert_eq(create(&memory, 2, 4, &memory.executor), STOOK_OK);
    use(memory.executor);
    int used = atomic_load(&probes);
    cr_assert_gt(used, 10);
    memory.is_shut_down = true;
    cr_assert_eq(stook_executor_shutdown(memory.executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    cr_assert_gt(atomic_load(&probes), used);
    memory.probe = NULL; /* nothing may be called beside destroy */
    stook_executor_destroy(memory.executor);
    cr_assert_eq(atomic_load(&memory.blocks), 0);
    mtx_destroy(&probe_mutex);
}
