/* SPDX-License-Identifier: MIT
 *
 * Allocations that fail in promises, callbacks, continuations, combined futures and wait sets: each
 * call is all or nothing, and what was accepted ends without any memory. And that what is forgotten
 * takes no memory: blocks are counted (failing.h).
 */
#include <stdlib.h>

#include "check.h"
#include "failing.h"
#include "promise_support.h"

enum { FUTURES = 30 };

/* The futures that each call is made on: promises, of which some have ended, and a task that waits
 * for its turn. */
struct scene {
    stook_executor *executor;
    struct gate gate;
    struct promised made[FUTURES];
    stook_future *futures[FUTURES];
    size_t ended;
};

static void scene_begin(struct scene *scene, size_t ended)
{
    *scene = (struct scene){.executor = must_create(1), .ended = ended};
    MUST(stook_executor_submit(scene->executor, gate_task, &scene->gate, NULL) == STOOK_OK);
    gate_await(&scene->gate, 1);
    scene->futures[0] = must_submit(scene->executor, gate_task, &scene->gate);
    for (size_t i = 1; i < FUTURES; i++) {
        scene->made[i] = must_promise();
        scene->futures[i] = scene->made[i].future;
    }
    for (size_t i = FUTURES - ended; i < FUTURES; i++) {
        must_complete(&scene->made[i], 0, NULL);
    }
}

static void scene_end(struct scene *scene)
{
    for (size_t i = 1; i < FUTURES; i++) {
        stook_promise_release(scene->made[i].promise);
    }
    gate_open(&scene->gate);
    stook_executor_destroy(scene->executor);
    for (size_t i = 0; i < FUTURES; i++) {
        MUST(stook_future_done(scene->futures[i]));
    }
    release_all(scene->futures, FUTURES);
}

/* One call; gives its status, and in *ret_future what it made. */
typedef enum stook_status call_fn(struct scene *scene, atomic_int *calls,
                                  stook_future **ret_future);

static enum stook_status call_on_done(struct scene *scene, atomic_int *calls,
                                      stook_future **ret_future)
{
    (void)ret_future;
    return stook_future_on_done(scene->futures[scene->ended ? FUTURES - 1 : 0], count_callback,
                                calls);
}

static enum stook_status call_then(struct scene *scene, atomic_int *calls,
                                   stook_future **ret_future)
{
    return stook_future_then(scene->futures[scene->ended ? FUTURES - 1 : 1], STOOK_THEN_ALWAYS,
                             NULL, count_then, calls, ret_future);
}

static enum stook_status call_then_on_executor(struct scene *scene, atomic_int *calls,
                                               stook_future **ret_future)
{
    return stook_future_then(scene->futures[scene->ended ? FUTURES - 1 : 1], STOOK_THEN_ALWAYS,
                             scene->executor, count_then, calls, ret_future);
}

static enum stook_status call_when_all(struct scene *scene, atomic_int *calls,
                                       stook_future **ret_future)
{
    (void)calls;
    return stook_when_all(scene->futures, FUTURES, ret_future);
}

static enum stook_status call_when_any(struct scene *scene, atomic_int *calls,
                                       stook_future **ret_future)
{
    (void)calls;
    return stook_when_any(scene->futures, FUTURES, ret_future);
}

static enum stook_status call_promise(struct scene *scene, atomic_int *calls,
                                      stook_future **ret_future)
{
    stook_promise *promise = NULL;
    const enum stook_status status = stook_promise_create(NULL, &promise, ret_future);

    (void)scene;
    (void)calls;
    MUST((promise != NULL) == (status == STOOK_OK));
    stook_promise_release(promise);
    return status;
}

/* How often its callback must have been called for each success. */
struct call {
    const char *name;
    call_fn *call;
    int expected;
    bool makes_future;
    bool must_fail; /* it cannot do without memory */
};

static const struct call calls_to_make[] = {
    {"promise", call_promise, 0, true, true},
    {"on_done", call_on_done, 1, false, true},
    {"then", call_then, 1, true, true},
    {"then on an executor", call_then_on_executor, 1, true, true},
    {"when_all", call_when_all, 0, true, true},
    {"when_any", call_when_any, 0, true, true},
};

static void fail_each_of(const struct call *call, size_t ended)
{
    bool saw_failure = false;

    for (long number = 0;; number++) {
        struct scene scene;
        stook_future *future = NULL;
        atomic_int calls = 0;

        cr_assert_lt(number, MOST_PASSES);
        scene_begin(&scene, ended);
        const long before = atomic_load(&blocks);
        fail_call(number);
        const enum stook_status status = call->call(&scene, &calls, &future);
        const bool failed = has_failed();
        fail_none();
        if (status != STOOK_OK) {
            cr_assert_eq(status, STOOK_NOMEM, "%s", call->name);
            cr_assert(failed);
            cr_assert_null(future);
            cr_assert_eq(atomic_load(&blocks), before, "%s left something behind", call->name);
            saw_failure = true;
        } else {
            cr_assert_eq(future != NULL, call->makes_future);
        }
        scene_end(&scene);
        cr_assert_eq(atomic_load(&calls), status == STOOK_OK ? call->expected : 0, "%s",
                     call->name);
        cr_assert(future == NULL || stook_future_done(future));
        stook_future_release(future);
        if (!failed) {
            break;
        }
    }
    cr_assert(saw_failure || !call->must_fail || ended > 0, "%s", call->name);
}

Test(fail_futures, B31_each_call_is_all_or_nothing, .timeout = 120)
{
    for (size_t i = 0; i < sizeof calls_to_make / sizeof calls_to_make[0]; i++) {
        fail_each_of(&calls_to_make[i], 0);
        fail_each_of(&calls_to_make[i], 3);
    }
}

Test(fail_futures, B31_a_wait_for_many_answers_NOMEM_or_waits, .timeout = 60)
{
    for (int mode = STOOK_WAIT_ALL; mode <= STOOK_WAIT_FIRST_ERROR; mode++) {
        for (long number = 0;; number++) {
            const size_t ended = number % 2 ? 3 : 0;
            struct stook_wait_counts counts = {77, 77};
            struct scene scene;
            enum stook_status status;

            cr_assert_lt(number, MOST_PASSES);
            scene_begin(&scene, ended);
            const long before = atomic_load(&blocks);
            fail_call(number / 2);
            status = stook_wait_until(scene.futures, FUTURES, (enum stook_wait_mode)mode,
                                      stook_deadline_after_ns(MILLISECOND), NULL, &counts);
            const bool failed = has_failed();
            fail_none();
            cr_assert_eq(atomic_load(&blocks), before, "left something behind");
            if (status == STOOK_NOMEM) {
                cr_assert(failed);
                cr_assert_eq(counts.done, 77);
            } else {
                cr_assert_eq(status,
                             ended > 0 && mode == STOOK_WAIT_ANY ? STOOK_OK : STOOK_TIMEOUT);
                cr_assert_eq(counts.done, ended);
            }
            scene_end(&scene);
            if (!failed && ended > 0) {
                break;
            }
        }
    }
}

Test(fail_futures, B31_an_iterator_is_made_or_not, .timeout = 60)
{
    for (long number = 0;; number++) {
        const size_t ended = number % 2 ? 3 : 0;
        stook_as_completed *iterator = NULL;
        struct scene scene;
        enum stook_status status;

        cr_assert_lt(number, MOST_PASSES);
        scene_begin(&scene, ended);
        const long before = atomic_load(&blocks);
        fail_call(number / 2);
        status = stook_as_completed_create(scene.futures, FUTURES, &iterator);
        const bool failed = has_failed();
        fail_none();
        if (status != STOOK_OK) {
            cr_assert_eq(status, STOOK_NOMEM);
            cr_assert(failed);
            cr_assert_null(iterator);
        } else {
            size_t index;

            atomic_store(&all_fail, true); /* from here on it needs no more */
            for (size_t i = 0; i < ended; i++) {
                cr_assert_eq(stook_as_completed_next(iterator, 0, &index), STOOK_OK);
            }
            cr_assert_eq(
                stook_as_completed_next(iterator, stook_deadline_after_ns(MILLISECOND), &index),
                STOOK_TIMEOUT);
            atomic_store(&all_fail, false);
            stook_as_completed_destroy(iterator);
        }
        cr_assert_eq(atomic_load(&blocks), before, "left something behind");
        scene_end(&scene);
        if (!failed && ended > 0) {
            break;
        }
    }
}

/* B31. Everything that was accepted ends, each once, though there is no memory at all when it is
 * due. */
Test(fail_futures, what_was_accepted_needs_no_memory_when_it_is_due, .timeout = 120)
{
    enum { MANY = 500, KINDS = 5 };
    stook_executor *executor = must_create(2);
    struct promised first = must_promise();
    static struct promised made[MANY];
    static stook_future *made_of[KINDS][MANY];
    atomic_int calls = 0;
    atomic_int on_executor = 0;

    for (int i = 0; i < MANY; i++) {
        made[i] = must_promise();
        stook_future *both[] = {made[i].future, first.future};

        cr_assert_eq(stook_future_on_done(made[i].future, count_callback, &calls), STOOK_OK);
        made_of[0][i] = must_then(made[i].future, STOOK_THEN_IF_DONE, NULL, count_then, &calls);
        made_of[1][i] =
            must_then(first.future, STOOK_THEN_IF_DONE, executor, count_then, &on_executor);
        made_of[2][i] =
            must_then(made_of[1][i], STOOK_THEN_ALWAYS, executor, count_then, &on_executor);
        cr_assert_eq(stook_when_all(both, 2, &made_of[3][i]), STOOK_OK);
        cr_assert_eq(stook_when_any(both, 2, &made_of[4][i]), STOOK_OK);
    }
    atomic_store(&all_fail, true);
    must_complete(&first, 0, NULL);
    for (int i = 0; i < MANY; i++) {
        must_complete(&made[i], 0, NULL);
    }
    for (int kind = 0; kind < KINDS; kind++) {
        for (int i = 0; i < MANY; i++) {
            MUST(stook_future_wait_until(made_of[kind][i], STOOK_FOREVER) == STOOK_OK);
        }
    }
    MUST(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER) == STOOK_OK);
    atomic_store(&all_fail, false);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&calls), 2 * MANY);
    cr_assert_eq(atomic_load(&on_executor), 2 * MANY);
    for (int kind = 0; kind < KINDS; kind++) {
        for (int i = 0; i < MANY; i++) {
            cr_assert_eq(stook_future_state(made_of[kind][i]), STOOK_STATE_DONE);
        }
        release_all(made_of[kind], MANY);
    }
    for (int i = 0; i < MANY; i++) {
        release_promised(&made[i]);
    }
    release_promised(&first);
}

/* --- what is forgotten takes no memory ----------------------------------------------------------
 */

/* Counts what one promise's allocator has given out. */
static void *count_allocate(void *user_data, size_t size)
{
    void *memory = __real_malloc(size);

    if (memory != NULL) {
        atomic_fetch_add((atomic_long *)user_data, 1);
    }
    return memory;
}

static void count_deallocate(void *user_data, void *memory, size_t size)
{
    (void)size;
    atomic_fetch_sub((atomic_long *)user_data, 1);
    __real_free(memory);
}

enum { OFTEN = 100000, SLACK = 64 };

/* Uses a long-lived future, once more often than it should matter. */
static void use_any(stook_future *lasting)
{
    struct promised brief = must_promise();
    stook_future *futures[] = {lasting, brief.future, lasting};
    stook_future *any;

    MUST(stook_when_any(futures, 3, &any) == STOOK_OK);
    must_complete(&brief, 0, NULL);
    MUST(stook_future_state(any) == STOOK_STATE_DONE);
    stook_future_release(any);
    release_promised(&brief);
}

/* The winner had ended before: nothing need ever be put on the others. */
static void use_any_at_once(stook_future *lasting)
{
    struct promised brief = must_promise();
    stook_future *futures[] = {lasting, brief.future};
    stook_future *any;

    must_complete(&brief, 1, NULL);
    MUST(stook_when_any(futures, 2, &any) == STOOK_OK);
    MUST(stook_future_state(any) == STOOK_STATE_FAILED);
    stook_future_release(any);
    release_promised(&brief);
}

static void use_wait(stook_future *lasting)
{
    struct promised brief = must_promise();
    stook_future *futures[] = {lasting, brief.future};

    MUST(stook_wait_until(futures, 2, STOOK_WAIT_ANY, stook_now_ns() + 1000, NULL, NULL) ==
         STOOK_TIMEOUT);
    must_complete(&brief, 0, NULL);
    MUST(stook_wait_until(futures, 2, STOOK_WAIT_ANY, STOOK_FOREVER, NULL, NULL) == STOOK_OK);
    release_promised(&brief);
}

static void use_iterator(stook_future *lasting)
{
    struct promised brief = must_promise();
    stook_future *futures[] = {lasting, brief.future};
    stook_as_completed *iterator;
    size_t index;

    MUST(stook_as_completed_create(futures, 2, &iterator) == STOOK_OK);
    must_complete(&brief, 0, NULL);
    MUST(stook_as_completed_next(iterator, STOOK_FOREVER, &index) == STOOK_OK && index == 1);
    stook_as_completed_destroy(iterator);
    release_promised(&brief);
}

static void expect_no_growth(void (*use)(stook_future *lasting), int times)
{
    atomic_long own = 0;
    const struct stook_allocator allocator = {count_allocate, count_deallocate, &own};
    struct promised lasting = must_promise_with(&allocator);
    long own_before, before;

    for (int i = 0; i < 100; i++) {
        use(lasting.future);
    }
    own_before = atomic_load(&own);
    before = atomic_load(&blocks);
    for (int i = 0; i < times; i++) {
        use(lasting.future);
    }
    cr_assert_lt(atomic_load(&own), own_before + SLACK);
    cr_assert_lt(atomic_load(&blocks), before + SLACK);
    cr_assert_eq(stook_future_state(lasting.future), STOOK_STATE_PENDING);
    must_complete(&lasting, 0, NULL);
    release_promised(&lasting);
    cr_assert_eq(atomic_load(&own), 0);
}

Test(fail_futures, many_when_any_on_a_lasting_future_take_no_memory, .timeout = 120)
{
    expect_no_growth(use_any, OFTEN);
    expect_no_growth(use_any_at_once, OFTEN);
}

Test(fail_futures, many_waits_on_a_lasting_future_take_no_memory, .timeout = 120)
{
    expect_no_growth(use_wait, 5000);
    expect_no_growth(use_iterator, OFTEN);
}
