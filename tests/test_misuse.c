/* SPDX-License-Identifier: MIT
 *
 * Wrong use. What a status can answer, it answers, and nothing is written: NULL, bad enums,
 * structs of another size, numbers out of range. What none can answer, dead handles above all,
 * ends the process with a message, if the library was built with checks.
 */
#include <malloc.h>
#include "check.h"
#include "config.h"
#include "child_support.h"
#include "group_support.h"
#include "promise_support.h"

/* --- NULL ------------------------------------------------------------------------------------- */

static int then_nothing(stook_future *before, void *arg, void **ret_value)
{
    (void)before;
    (void)arg;
    (void)ret_value;
    return 0;
}

static void call_nothing(stook_future *future, void *user_data)
{
    (void)future;
    (void)user_data;
}

static bool give_nothing(void *user_data, void **ret_item)
{
    (void)user_data;
    (void)ret_item;
    return false;
}

Test(misuse, B22_null_is_answered_by_every_status, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    atomic_int runs = 0;
    stook_future *future = must_submit(executor, count_task, &runs);
    stook_future *pair[2] = {future, NULL};
    stook_future *made = UNTOUCHED;
    stook_promise *promise = UNTOUCHED;
    stook_token *token = UNTOUCHED;
    stook_scope *scope = UNTOUCHED;
    stook_client *client = UNTOUCHED;
    stook_as_completed *iterator = UNTOUCHED;
    void *value = UNTOUCHED;
    size_t index = 77;
    bool done[2] = {true, true};
    struct stook_wait_counts counts = {77, 77};

    cr_assert_eq(stook_executor_create(NULL, NULL), STOOK_INVALID);
    cr_assert_eq(stook_executor_submit_with(NULL, NULL, count_task, &runs, &made), STOOK_INVALID);
    cr_assert_eq(stook_executor_submit_with(executor, NULL, NULL, &runs, &made), STOOK_INVALID);
    cr_assert_eq(stook_executor_map(NULL, count_task, &runs, 1, 0, &value, NULL), STOOK_INVALID);
    cr_assert_eq(stook_executor_map(executor, NULL, &runs, 1, 0, &value, NULL), STOOK_INVALID);
    cr_assert_eq(stook_executor_resize(NULL, 1), STOOK_INVALID);
    cr_assert_eq(stook_executor_shutdown(NULL, STOOK_DRAIN, 0), STOOK_INVALID);
    cr_assert_eq(stook_future_wait_until(NULL, STOOK_FOREVER), STOOK_INVALID);
    cr_assert_eq(stook_future_wait_until(NULL, 0), STOOK_INVALID);
    cr_assert_eq(stook_future_result(NULL, &value), STOOK_INVALID);
    cr_assert_eq(stook_future_on_done(NULL, call_nothing, NULL), STOOK_INVALID);
    cr_assert_eq(stook_future_on_done(future, NULL, NULL), STOOK_INVALID);
    cr_assert_eq(stook_future_then(NULL, STOOK_THEN_ALWAYS, executor, then_nothing, NULL, &made),
                 STOOK_INVALID);
    cr_assert_eq(stook_future_then(future, STOOK_THEN_ALWAYS, executor, NULL, NULL, &made),
                 STOOK_INVALID);
    cr_assert_eq(stook_when_all(pair, 2, &made), STOOK_INVALID);
    cr_assert_eq(stook_when_all(pair, 1, NULL), STOOK_INVALID);
    cr_assert_eq(stook_when_any(pair, 2, &made), STOOK_INVALID);
    cr_assert_eq(stook_when_any(pair, 1, NULL), STOOK_INVALID);
    cr_assert_eq(stook_when_any(pair, 0, &made), STOOK_INVALID);
    cr_assert_eq(stook_wait_until(pair, 2, STOOK_WAIT_ANY, STOOK_FOREVER, done, &counts),
                 STOOK_INVALID);
    cr_assert_eq(stook_as_completed_create(pair, 2, &iterator), STOOK_INVALID);
    cr_assert_eq(stook_as_completed_create(pair, 1, NULL), STOOK_INVALID);
    cr_assert_eq(stook_as_completed_next(NULL, STOOK_FOREVER, &index), STOOK_INVALID);
    cr_assert_eq(stook_promise_create(NULL, NULL, &made), STOOK_INVALID);
    cr_assert_eq(stook_promise_create(NULL, &promise, NULL), STOOK_INVALID);
    cr_assert_eq(stook_promise_complete(NULL, 0, NULL), STOOK_INVALID);
    cr_assert_eq(stook_token_create(NULL, NULL, STOOK_FOREVER, &token), STOOK_INVALID);
    cr_assert_eq(stook_token_create(executor, NULL, STOOK_FOREVER, NULL), STOOK_INVALID);
    cr_assert_eq(stook_scope_create(NULL, NULL, &scope), STOOK_INVALID);
    cr_assert_eq(stook_scope_create(executor, NULL, NULL), STOOK_INVALID);
    cr_assert_eq(stook_scope_wait_until(NULL, STOOK_FOREVER, NULL), STOOK_INVALID);
    cr_assert_eq(stook_client_create(NULL, 1, 0, &client), STOOK_INVALID);
    cr_assert_eq(stook_client_create(executor, 1, 0, NULL), STOOK_INVALID);
    cr_assert_eq(stook_stream_next(NULL, STOOK_FOREVER, &value, NULL), STOOK_INVALID);

    cr_assert(made == UNTOUCHED && promise == UNTOUCHED && token == UNTOUCHED);
    cr_assert(scope == UNTOUCHED && client == UNTOUCHED && iterator == UNTOUCHED);
    cr_assert(value == UNTOUCHED && index == 77 && counts.done == 77 && done[0] && done[1]);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 1);
}

Test(misuse, B22_null_does_nothing_where_there_is_no_status, .timeout = 60)
{
    cr_assert_eq(stook_future_cancel(NULL), STOOK_CANCEL_TOO_LATE);
    cr_assert_null(stook_future_retain(NULL));
    cr_assert_null(stook_token_retain(NULL));
    cr_assert_not(stook_token_cancel(NULL));
    cr_assert_not(stook_scope_cancel(NULL));
    stook_future_release(NULL);
    stook_token_release(NULL);
    stook_promise_release(NULL);
    stook_client_release(NULL);
    stook_scope_destroy(NULL);
    stook_stream_destroy(NULL);
    stook_as_completed_destroy(NULL);
    stook_executor_destroy(NULL);
    /* outside a task */
    cr_assert_not(stook_task_cancel_requested());
    stook_task_begin_blocking();
    stook_task_end_blocking();
}

/* --- enums, sizes, numbers -------------------------------------------------------------------- */

Test(misuse, enums_that_are_none_are_refused, .timeout = 60)
{
    const int none[] = {-1, 3, 1000, INT32_MAX, INT32_MIN};
    stook_executor *executor = must_create(1);
    atomic_int runs = 0;
    stook_future *future = must_submit(executor, count_task, &runs);
    stook_future *made = UNTOUCHED;

    for (int i = 0; i < 5; i++) {
        struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

        options.priority = (enum stook_priority)none[i];
        cr_assert_eq(stook_executor_submit_with(executor, &options, count_task, &runs, &made),
                     STOOK_INVALID);
        options.priority = STOOK_PRIORITY_NORMAL;
        options.when_full = (enum stook_when_full)none[i];
        cr_assert_eq(stook_executor_submit_with(executor, &options, count_task, &runs, &made),
                     STOOK_INVALID);
        cr_assert_eq(stook_executor_submit_many(executor, &options, count_task, &runs, 1, 0, &made),
                     STOOK_INVALID);
        cr_assert_eq(stook_executor_shutdown(executor, (enum stook_shutdown_mode)none[i], 0),
                     STOOK_INVALID);
        cr_assert_eq(stook_wait_until(&future, 1, (enum stook_wait_mode)none[i], 0, NULL, NULL),
                     STOOK_INVALID);
        cr_assert_eq(stook_future_then(future, (enum stook_then_mode)none[i], executor,
                                       then_nothing, NULL, &made),
                     STOOK_INVALID);
        cr_assert_str_eq(stook_state_name((enum stook_state)(none[i] == 3 ? 5 : none[i])),
                         "unknown");
        cr_assert_str_eq(stook_status_name((enum stook_status)(none[i] == -1 ? 1 : none[i])),
                         "STOOK_UNKNOWN");
    }
    cr_assert_eq(made, UNTOUCHED);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 1);
}

Test(misuse, structs_of_an_unknown_size_are_refused, .timeout = 60)
{
    /* what is added to the right size; 0 in all */
    const size_t sizes[] = {0, 1, sizeof(size_t), 10000, SIZE_MAX};
    stook_executor *executor = must_create(1);
    stook_executor *created = UNTOUCHED;
    stook_future *future = UNTOUCHED;
    stook_scope *scope = UNTOUCHED;
    stook_stream *stream = UNTOUCHED;
    atomic_int runs = 0;

    for (int i = 0; i < 5; i++) {
        struct stook_executor_options create = STOOK_EXECUTOR_OPTIONS_INIT;
        struct stook_submit_options submit = STOOK_SUBMIT_OPTIONS_INIT;
        struct stook_scope_options of_scope = STOOK_SCOPE_OPTIONS_INIT;
        struct stook_stream_options of_stream = STOOK_STREAM_OPTIONS_INIT;
        struct stook_stats stats = STOOK_STATS_INIT;

        create.struct_size = sizes[i];
        submit.struct_size = sizes[i];
        of_scope.struct_size = sizes[i];
        of_stream.struct_size = sizes[i];
        of_stream.input = give_nothing;
        of_stream.fn = count_task;
        stats.struct_size = sizes[i];
        cr_assert_eq(stook_executor_create(&create, &created), STOOK_INVALID);
        cr_assert_eq(stook_executor_submit_with(executor, &submit, count_task, &runs, &future),
                     STOOK_INVALID);
        cr_assert_eq(
            stook_executor_submit_many(executor, &submit, count_task, &runs, 1, 0, &future),
            STOOK_INVALID);
        cr_assert_eq(stook_scope_create(executor, &of_scope, &scope), STOOK_INVALID);
        cr_assert_eq(stook_stream_create(executor, &of_stream, &stream), STOOK_INVALID);
        cr_assert_eq(stook_executor_stats(executor, &stats, NULL, 0), STOOK_INVALID);
    }
    cr_assert(created == UNTOUCHED && future == UNTOUCHED);
    cr_assert(scope == UNTOUCHED && stream == UNTOUCHED);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 0);
}

Test(misuse, numbers_out_of_range_are_refused, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    stook_executor *created = UNTOUCHED;
    stook_client *client = UNTOUCHED;

    for (int i = 0; i < 6; i++) {
        struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;

        options.workers = i == 0 ? STOOK_MAX_WORKERS + 1 : 1;
        options.max_workers = i == 1 ? STOOK_MAX_WORKERS + 1 : 0;
        options.max_extra_threads = i == 2 ? 16385 : 0;
        options.stack_size = i == 3 ? 1 : 0;
        options.max_workers = i == 4 ? UINT32_MAX : options.max_workers;
        options.max_extra_threads = i == 5 ? UINT32_MAX : options.max_extra_threads;
        cr_assert_eq(stook_executor_create(&options, &created), STOOK_INVALID, "number %d", i);
    }
    cr_assert_eq(stook_executor_resize(executor, 0), STOOK_INVALID);
    cr_assert_eq(stook_executor_resize(executor, 2), STOOK_INVALID);
    cr_assert_eq(stook_client_create(executor, 0, 0, &client), STOOK_INVALID);
    cr_assert_eq(stook_client_create(executor, STOOK_MAX_WEIGHT + 1, 0, &client), STOOK_INVALID);
    cr_assert(created == UNTOUCHED && client == UNTOUCHED);
    stook_executor_destroy(executor);
}

/* --- deadlines -------------------------------------------------------------------------------- */

Test(misuse, B17_deadlines_at_the_ends_of_the_range, .timeout = 60)
{
    const int64_t passed[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1};
    const int64_t far[] = {INT64_MAX, INT64_MAX - 1, INT64_MAX / 2,
                           stook_deadline_after_ns(INT64_MAX),
                           stook_deadline_after_ns(INT64_MAX - 1)};
    stook_executor *executor = must_create(2);
    stook_scope *scope = must_scope(executor);
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *future = must_submit_in(executor, scope, gate_task, &gate);

    cr_assert_eq(stook_deadline_after_ns(INT64_MAX), STOOK_FOREVER);
    cr_assert_leq(stook_deadline_after_ns(INT64_MIN), stook_now_ns());
    cr_assert_leq(stook_deadline_after_ns(-1), stook_now_ns());
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(stook_future_wait_until(future, passed[i]), STOOK_TIMEOUT);
        cr_assert_eq(stook_wait_until(&future, 1, STOOK_WAIT_ALL, passed[i], NULL, NULL),
                     STOOK_TIMEOUT);
        cr_assert_eq(stook_scope_wait_until(scope, passed[i], NULL), STOOK_TIMEOUT);
    }
    for (int i = 0; i < 5; i++) {
        struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
        stook_future *other;

        options.full_deadline_ns = far[i];
        other = must_submit_with(executor, &options, count_task, &runs);
        cr_assert_eq(stook_future_wait_until(other, far[i]), STOOK_OK);
        stook_future_release(other);
        options.full_deadline_ns = passed[i];
        other = must_submit_with(executor, &options, count_task, &runs);
        cr_assert_eq(stook_wait_until(&other, 1, STOOK_WAIT_ANY, far[i], NULL, NULL), STOOK_OK);
        stook_future_release(other);
    }
    gate_open(&gate);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(stook_scope_wait_until(scope, far[i], NULL), STOOK_OK);
        cr_assert_eq(stook_future_wait_until(future, passed[i]), STOOK_OK);
    }
    stook_future_release(future);
    stook_scope_destroy(scope);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, far[i]), STOOK_OK);
    }
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 10);
}

/* --- what ends the process -------------------------------------------------------------------- */

/* A sanitizer or valgrind would report the dead memory before the library can. */
#define NO_ABORTS (UNDER_ASAN || UNDER_TSAN || UNDER_MSAN || !STOOK_CHECKS)

/* Run in a child each. */
struct crime {
    const char *name;
    void (*commit)(void);
};

static int destroy_task(void *arg, void **ret_value)
{
    (void)ret_value;
    stook_executor_destroy(arg);
    return 0;
}

static void executor_destroyed_in_its_task(void)
{
    stook_executor *executor = must_create(1);
    stook_future *future = must_submit(executor, destroy_task, executor);

    (void)!stook_future_result(future, NULL);
}

static stook_executor *dead_executor(void)
{
    stook_executor *executor = must_create(1);

    stook_executor_destroy(executor);
    return executor;
}

static void executor_destroyed_twice(void)
{
    stook_executor_destroy(dead_executor());
}

static void submit_to_a_dead_executor(void)
{
    atomic_int runs = 0;

    (void)!stook_executor_submit(dead_executor(), count_task, &runs, NULL);
}

static void shutdown_of_a_dead_executor(void)
{
    (void)!stook_executor_shutdown(dead_executor(), STOOK_DRAIN, STOOK_FOREVER);
}

static void token_for_a_dead_executor(void)
{
    stook_token *token;

    (void)!stook_token_create(dead_executor(), NULL, STOOK_FOREVER, &token);
}

static int destroy_scope_task(void *arg, void **ret_value)
{
    (void)ret_value;
    stook_scope_destroy(arg);
    return 0;
}

static void scope_destroyed_in_its_task(void)
{
    stook_executor *executor = must_create(1);
    stook_scope *scope = must_scope(executor);
    stook_future *future = must_submit_in(executor, scope, destroy_scope_task, scope);

    (void)!stook_future_result(future, NULL);
}

static void scope_destroyed_twice(void)
{
    stook_scope *scope = must_scope(must_create(1));

    stook_scope_destroy(scope);
    stook_scope_destroy(scope);
}

static void token_released_twice(void)
{
    stook_token *token = must_token(must_create(1), NULL);

    stook_token_release(token);
    stook_token_release(token);
}

static void future_released_twice(void)
{
    stook_executor *executor = must_create(1);
    atomic_int runs = 0;
    stook_future *future = must_submit(executor, count_task, &runs);

    (void)!stook_future_result(future, NULL);
    stook_executor_destroy(executor); /* it has no reference any more */
    stook_future_release(future);
    stook_future_release(future);
}

static void promise_released_twice(void)
{
    stook_promise *promise;
    stook_future *future;

    MUST(stook_promise_create(NULL, &promise, &future) == STOOK_OK);
    stook_future_release(future);
    stook_promise_release(promise);
    stook_promise_release(promise);
}

static void client_released_twice(void)
{
    stook_client *client;

    MUST(stook_client_create(must_create(1), 1, 0, &client) == STOOK_OK);
    stook_client_release(client);
    stook_client_release(client);
}

static void client_retained_when_dead(void)
{
    stook_client *client;

    MUST(stook_client_create(must_create(1), 1, 0, &client) == STOOK_OK);
    stook_client_release(client);
    stook_client_retain(client);
}

static void token_retained_when_dead(void)
{
    stook_token *token = must_token(must_create(1), NULL);

    stook_token_release(token);
    stook_token_retain(token);
}

static void wait_for_a_dead_scope(void)
{
    stook_scope *scope = must_scope(must_create(1));

    stook_scope_destroy(scope);
    (void)!stook_scope_wait_until(scope, 0, NULL);
}

static void no_fork(stook_here *here, void *arg)
{
    (void)here;
    (void)arg;
}

static void run_on_a_dead_executor(void)
{
    (void)!stook_executor_run(dead_executor(), no_fork, NULL);
}

static void executor_destroyed_before_its_client(void)
{
    stook_executor *executor = must_create(1);
    stook_client *client;

    MUST(stook_client_create(executor, 1, 0, &client) == STOOK_OK);
    stook_executor_destroy(executor);
}

static void stream_destroyed_in_a_callback(stook_future *future, void *stream)
{
    (void)future;
    stook_stream_destroy(stream);
}

static bool give_item(void *user_data, void **ret_item)
{
    *ret_item = user_data;
    return true;
}

static void stream_destroyed_where_it_cannot_be_waited_for(void)
{
    static struct gate gate;
    struct stook_stream_options options = STOOK_STREAM_OPTIONS_INIT;
    struct promised made = must_promise();
    stook_stream *stream;

    options.input = give_item;
    options.input_data = &gate;
    options.fn = gate_task;
    options.look_ahead = 1;
    MUST(stook_stream_create(must_create(1), &options, &stream) == STOOK_OK);
    gate_await(&gate, 1);
    MUST(stook_future_on_done(made.future, stream_destroyed_in_a_callback, stream) == STOOK_OK);
    must_complete(&made, 0, NULL);
}

static void too_many_references(void)
{
    struct promised made = must_promise();

    for (unsigned i = 0; i < UINT32_MAX / 16; i++) {
        stook_future_retain(made.future);
    }
}

static void stay_alive(void)
{
}

static void commit_crime(void *arg)
{
    const struct crime *crime = arg;

    crime->commit();
}

static void assert_aborts(const struct crime *crime)
{
    struct crime copy = *crime;
    struct child_end end;

    run_child(commit_crime, &copy, &end);
    cr_assert(WIFSIGNALED(end.status) && WTERMSIG(end.status) == SIGABRT, "%s: status %x, said: %s",
              crime->name, (unsigned)end.status, end.text);
    cr_assert(strncmp(end.text, "stook: ", 7) == 0, "%s said: %s", crime->name, end.text);
    cr_assert(strchr(end.text, '\n') != NULL);
}

/* Else malloc() may overwrite it at once, marks and all. */
static void keep_what_is_freed(void)
{
#ifdef M_PERTURB
    (void)mallopt(M_PERTURB, 0);
#endif
}

Test(misuse, what_the_headers_say_aborts_does_so_with_a_message, .timeout = 120,
     .disabled = NO_ABORTS)
{
    static const struct crime crimes[] = {
        {"executor destroyed in its own task", executor_destroyed_in_its_task},
        {"executor destroyed twice", executor_destroyed_twice},
        {"scope destroyed in its own task", scope_destroyed_in_its_task},
        {"executor destroyed before its client", executor_destroyed_before_its_client},
        {"stream destroyed in a callback", stream_destroyed_where_it_cannot_be_waited_for},
        {"too many references", too_many_references},
    };
    struct child_end end;
    struct crime innocent = {"nothing", stay_alive};

    run_child(commit_crime, &innocent, &end);
    cr_assert(has_exited_with_0(end.status));
    keep_what_is_freed();
    for (size_t i = 0; i < sizeof crimes / sizeof crimes[0]; i++) {
        assert_aborts(&crimes[i]);
    }
}

/* As far as freed memory can still tell. */
Test(misuse, dead_handles_abort_with_a_message, .timeout = 120, .disabled = NO_ABORTS)
{
    static const struct crime crimes[] = {
        {"submit to a dead executor", submit_to_a_dead_executor},
        {"shutdown of a dead executor", shutdown_of_a_dead_executor},
        {"token for a dead executor", token_for_a_dead_executor},
        {"scope destroyed twice", scope_destroyed_twice},
        {"token released twice", token_released_twice},
        {"future released twice", future_released_twice},
        {"promise released twice", promise_released_twice},
        {"client released twice", client_released_twice},
        {"client retained when it is dead", client_retained_when_dead},
        {"token retained when it is dead", token_retained_when_dead},
        {"wait for a dead scope", wait_for_a_dead_scope},
        {"run on a dead executor", run_on_a_dead_executor},
    };

    keep_what_is_freed();
    for (size_t i = 0; i < sizeof crimes / sizeof crimes[0]; i++) {
        assert_aborts(&crimes[i]);
    }
}
