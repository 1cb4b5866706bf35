/* SPDX-License-Identifier: MIT
 *
 * A task, a call of a repeated task, or an item that forks and then returns in both processes: in
 * the child nothing else runs behind it.
 *
 * Not under ThreadSanitizer and AddressSanitizer, see test_fork.c.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include "check.h"
#include "child_support.h"
#include "group_support.h"

static void quit(void)
{
    _exit(EXIT_SUCCESS);
}

static int returning_task(void *arg, void **ret_value)
{
    pid_t *ret_child = arg;

    (void)ret_value;
    *ret_child = fork();
    if (*ret_child == 0) {
        begin_child();
        atexit(quit); /* what else would run at the end is the parent's */
    }
    return 0;
}

Test(fork_return, B75_a_task_that_returns_in_the_child_ends_the_child, .timeout = 120,
     .disabled = UNDER_TSAN || UNDER_ASAN)
{
    stook_executor *executor = must_create(2);

    for (int i = 0; i < 5; i++) {
        pid_t child = -1;
        stook_future *future = must_submit(executor, returning_task, &child);

        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        cr_assert(WIFEXITED(await_child(child)));
        stook_future_release(future);
    }
    stook_executor_destroy(executor);
}

/* In memory that parent and child share: what was called in a child. */
struct childs {
    atomic_int callbacks;
    atomic_int items;
    atomic_int forks;
};

struct in_child {
    struct childs *childs;
    pid_t parent;
    pid_t child;
    atomic_int calls;
    int code;
    stook_future *own;
};

static void must_begin_in_child(struct in_child *in_child)
{
    in_child->childs = mmap(NULL, sizeof *in_child->childs, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MUST(in_child->childs != MAP_FAILED);
    in_child->parent = getpid();
}

/* The first call forks, and returns in both processes. */
static int fork_once(void *arg, void **ret_value)
{
    struct in_child *in_child = arg;

    (void)ret_value;
    if (getpid() != in_child->parent) {
        atomic_fetch_add(&in_child->childs->items, 1);
        return 0;
    }
    if (atomic_fetch_add(&in_child->calls, 1) > 0) {
        return 1;
    }
    in_child->child = fork();
    if (in_child->child == 0) {
        begin_child();
        atexit(quit);
        return in_child->code;
    }
    return 0;
}

static void note_child(stook_future *future, void *user_data)
{
    struct in_child *in_child = user_data;

    (void)future;
    if (getpid() != in_child->parent) {
        atomic_fetch_add(&in_child->childs->callbacks, 1);
    }
}

/* Whether it has failed there or goes on: neither callbacks nor further calls. */
Test(fork_return, B75_a_call_of_a_repeated_task_that_returns_in_the_child_ends_the_child,
     .timeout = 120, .disabled = UNDER_TSAN || UNDER_ASAN)
{
    for (int code = 0; code < 2; code++) {
        stook_executor *executor = must_create(1);
        struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
        struct in_child in_child = {.code = code};
        struct gate gate = {0};

        must_begin_in_child(&in_child);
        fill_workers(executor, &gate, 1);
        options.period_ns = MILLISECOND;
        stook_future *future = must_submit_with(executor, &options, fork_once, &in_child);
        cr_assert_eq(stook_future_on_done(future, note_child, &in_child), STOOK_OK);
        gate_open(&gate);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_TASK_FAILED);
        cr_assert(WIFEXITED(await_child(in_child.child)));
        cr_assert_eq(atomic_load(&in_child.childs->callbacks), 0, "code %d", code);
        cr_assert_eq(atomic_load(&in_child.childs->items), 0, "code %d", code);
        stook_future_release(future);
        stook_executor_destroy(executor);
    }
}

/* Many items share one task. */
static int map_task(void *arg, void **ret_value)
{
    struct in_child *in_child = arg;

    (void)ret_value;
    (void)fork_once(in_child, ret_value);
    return 0;
}

static bool give_item(void *user_data, void **ret_item)
{
    *ret_item = user_data;
    return true;
}

Test(fork_return, B75_an_item_that_returns_in_the_child_is_the_last_there, .timeout = 120,
     .disabled = UNDER_TSAN || UNDER_ASAN)
{
    for (int is_stream = 0; is_stream < 2; is_stream++) {
        stook_executor *executor = must_create(1);
        struct in_child in_child = {.code = 0};

        must_begin_in_child(&in_child);
        if (is_stream) {
            struct stook_stream_options options = STOOK_STREAM_OPTIONS_INIT;
            stook_stream *stream;

            options.input = give_item;
            options.input_data = &in_child;
            options.fn = map_task;
            options.look_ahead = options.chunk = 8;
            cr_assert_eq(stook_stream_create(executor, &options, &stream), STOOK_OK);
            cr_assert_eq(stook_stream_next(stream, STOOK_FOREVER, NULL, NULL), STOOK_OK);
            stook_stream_destroy(stream);
        } else {
            cr_assert_eq(stook_executor_map(executor, map_task, &in_child, 1000, 0, NULL, NULL),
                         STOOK_OK);
        }
        cr_assert(WIFEXITED(await_child(in_child.child)));
        cr_assert_eq(atomic_load(&in_child.childs->items), 0, "stream %d", is_stream);
        stook_executor_destroy(executor);
    }
}

static int fork_in_submitter(void *arg, void **ret_value)
{
    struct in_child *in_child = arg;

    (void)ret_value;
    MUST(stook_future_on_done(in_child->own, note_child, in_child) == STOOK_OK);
    in_child->child = fork();
    if (in_child->child == 0) {
        begin_child();
    }
    return 0;
}

/* The submitter goes on there, but the task does not end: locks may be held for ever. */
Test(fork_return, B75_a_task_that_its_submitter_runs_does_not_end_in_the_child, .timeout = 120,
     .disabled = UNDER_TSAN || UNDER_ASAN)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    struct stook_submit_options submit = STOOK_SUBMIT_OPTIONS_INIT;
    struct in_child in_child = {.code = 0};
    stook_executor *executor;
    struct gate gate = {0};

    must_begin_in_child(&in_child);
    options.workers = 1;
    options.queue_limit = 1;
    cr_assert_eq(stook_executor_create(&options, &executor), STOOK_OK);
    fill_workers(executor, &gate, 1);
    cr_assert_eq(stook_executor_submit(executor, gate_task, &gate, NULL), STOOK_OK);
    submit.when_full = STOOK_WHEN_FULL_RUN;
    MUST(stook_executor_submit_with(executor, &submit, fork_in_submitter, &in_child,
                                    &in_child.own) == STOOK_OK);
    if (getpid() != in_child.parent) {
        _exit(EXIT_SUCCESS);
    }
    cr_assert(has_exited_with_0(await_child(in_child.child)));
    cr_assert_eq(atomic_load(&in_child.childs->callbacks), 0);
    cr_assert_eq(stook_future_result(in_child.own, NULL), STOOK_OK);
    gate_open(&gate);
    stook_future_release(in_child.own);
    stook_executor_destroy(executor);
}
