/* SPDX-License-Identifier: MIT
 *
 * Callbacks of futures (stook_future_on_done): that each runs exactly once, in which thread, in
 * which order, and never inside one another. What they may do is in test_callback_use.c.
 */
#include "check.h"
#include "promise_support.h"

/* What a callback saw. */
struct record {
    atomic_int calls;
    stook_future *future;
    enum stook_state state;
    int code;
    enum stook_status result;
    void *value;
    thrd_t thread;
};

static void record_callback(stook_future *future, void *user_data)
{
    struct record *record = user_data;

    record->future = future;
    record->state = stook_future_state(future);
    record->code = stook_future_code(future);
    record->result = stook_future_result(future, &record->value);
    record->thread = thrd_current();
    atomic_fetch_add(&record->calls, 1);
}

static void check_record(const struct record *record, const struct source *source)
{
    const int ending = source->ending;

    cr_assert_eq(atomic_load(&record->calls), 1);
    cr_assert_eq(record->future, source->made.future);
    cr_assert_eq(record->state, ending_state[ending]);
    cr_assert_eq(record->code, ending == ENDS_FAILED ? ENDING_CODE : 0);
    cr_assert_eq(record->result, ending_status[ending]);
    cr_assert_eq(record->value, ending == ENDS_CANCELLED ? NULL : source->value);
}

/* B6; with a value, an error and a cancellation (CPython's test_done_callback_with_...) */
Test(callback, B6_runs_when_the_future_ends_in_the_thread_that_ends_it, .timeout = 60)
{
    for (int is_task = 0; is_task < 2; is_task++) {
        for (int ending = 0; ending < ENDINGS; ending++) {
            struct source source;
            struct record record = {0};
            int object;

            source_begin(&source, is_task, ending, &object);
            cr_assert_eq(stook_future_on_done(source.made.future, record_callback, &record),
                         STOOK_OK);
            cr_assert_eq(atomic_load(&record.calls), 0);
            source_end(&source);
            if (is_task && ending != ENDS_CANCELLED) {
                SPIN_UNTIL(atomic_load(&record.calls) > 0);
                cr_assert(thrd_equal(record.thread, source.worker));
            } else {
                cr_assert_eq(atomic_load(&record.calls), 1, "had not run when the call returned");
                cr_assert(thrd_equal(record.thread, thrd_current()));
            }
            stook_executor_destroy(source.executor);
            source.executor = NULL;
            check_record(&record, &source);
            source_release(&source);
            cr_assert_eq(atomic_load(&record.calls), 1);
        }
    }
}

/* CPython's test_done_callback_already_... */
Test(callback, B6_runs_at_once_in_the_caller_if_the_future_has_ended, .timeout = 60)
{
    for (int is_task = 0; is_task < 2; is_task++) {
        for (int ending = 0; ending < ENDINGS; ending++) {
            struct source source;
            struct record record = {0};
            int object;

            source_begin(&source, is_task, ending, &object);
            source_end(&source);
            cr_assert_eq(stook_future_on_done(source.made.future, record_callback, &record),
                         STOOK_OK);
            check_record(&record, &source);
            cr_assert(thrd_equal(record.thread, thrd_current()));
            source_release(&source);
            cr_assert_eq(atomic_load(&record.calls), 1);
        }
    }
}

Test(callback, B6_runs_in_the_thread_that_gives_the_promise_up)
{
    struct promised made = must_promise();
    struct record record = {0};

    cr_assert_eq(stook_future_on_done(made.future, record_callback, &record), STOOK_OK);
    stook_promise_release(made.promise);
    cr_assert_eq(atomic_load(&record.calls), 1);
    cr_assert_eq(record.state, STOOK_STATE_CANCELLED);
    cr_assert(thrd_equal(record.thread, thrd_current()));
    stook_future_release(made.future);
}

static int complete_thread(void *arg)
{
    must_complete(arg, 0, NULL);
    return 0;
}

Test(callback, B6_runs_in_the_thread_that_completes_the_promise)
{
    struct promised made = must_promise();
    struct record record = {0};
    thrd_t thread;

    cr_assert_eq(stook_future_on_done(made.future, record_callback, &record), STOOK_OK);
    must_start(&thread, complete_thread, &made);
    SPIN_UNTIL(atomic_load(&record.calls) == 1);
    cr_assert(thrd_equal(record.thread, thread));
    thrd_join(thread, NULL);
    release_promised(&made);
}

/* B22 */
Test(callback, invalid_arguments_call_nothing)
{
    struct promised made = must_promise();
    atomic_int calls = 0;

    cr_assert_eq(stook_future_on_done(NULL, count_callback, &calls), STOOK_INVALID);
    cr_assert_eq(stook_future_on_done(made.future, NULL, &calls), STOOK_INVALID);
    must_complete(&made, 0, NULL);
    cr_assert_eq(stook_future_on_done(made.future, NULL, &calls), STOOK_INVALID);
    release_promised(&made);
    cr_assert_eq(atomic_load(&calls), 0);
}

Test(callback, one_that_is_added_twice_runs_twice)
{
    struct promised made = must_promise();
    atomic_int calls = 0;

    cr_assert_eq(stook_future_on_done(made.future, count_callback, &calls), STOOK_OK);
    cr_assert_eq(stook_future_on_done(made.future, count_callback, &calls), STOOK_OK);
    must_complete(&made, 0, NULL);
    cr_assert_eq(atomic_load(&calls), 2);
    release_promised(&made);
}

/* The callback must be given a live future though nobody else has a reference any more. */
Test(callback, keeps_the_future_that_nobody_else_keeps, .timeout = 60)
{
    for (int is_task = 0; is_task < 2; is_task++) {
        struct source source;
        struct record record = {0};
        int object;

        source_begin(&source, is_task, ENDS_DONE, &object);
        cr_assert_eq(stook_future_on_done(source.made.future, record_callback, &record), STOOK_OK);
        stook_future_release(source.made.future);
        source.made.future = NULL;
        gate_open(&source.gate);
        if (!is_task) {
            must_complete(&source.made, 0, &object);
        }
        source_release(&source);
        cr_assert_eq(atomic_load(&record.calls), 1);
        cr_assert_eq(record.value, &object);
    }
}

/* --- order --------------------------------------------------------------------------------------
 */

enum { LOG_SIZE = 300 };

struct log {
    int entries[LOG_SIZE];
    int count;
    int depth; /* callbacks that run inside one another */
    bool nested;
};

struct logger {
    struct log *log;
    int number;
    stook_future *adds_to;       /* adds `adds` to it; NULL: adds none */
    const struct promised *ends; /* completes it; NULL: none */
    struct logger *adds[2];
    int logged_meanwhile;
};

static void log_callback(stook_future *future, void *user_data)
{
    struct logger *logger = user_data;
    struct log *log = logger->log;
    int before;

    MUST(stook_future_done(future));
    log->nested |= log->depth++ > 0;
    MUST(log->count < LOG_SIZE);
    log->entries[log->count++] = logger->number;
    before = log->count;
    for (int i = 0; i < 2 && logger->adds[i] != NULL; i++) {
        MUST(stook_future_on_done(logger->adds_to, log_callback, logger->adds[i]) == STOOK_OK);
    }
    if (logger->ends != NULL) {
        must_complete(logger->ends, 0, NULL);
        MUST(stook_future_done(logger->ends->future));
    }
    logger->logged_meanwhile = log->count - before;
    log->depth--;
}

Test(callback, B6_run_in_the_order_in_which_they_were_added, .timeout = 60)
{
    for (int is_task = 0; is_task < 2; is_task++) {
        struct source source;
        struct logger loggers[LOG_SIZE];
        struct log log = {.count = 0};

        source_begin(&source, is_task, ENDS_DONE, NULL);
        for (int i = 0; i < LOG_SIZE; i++) {
            loggers[i] = (struct logger){.log = &log, .number = i};
            cr_assert_eq(stook_future_on_done(source.made.future, log_callback, &loggers[i]),
                         STOOK_OK);
        }
        source_end(&source);
        source_release(&source);
        cr_assert_eq(log.count, LOG_SIZE);
        for (int i = 0; i < LOG_SIZE; i++) {
            cr_assert_eq(log.entries[i], i);
        }
    }
}

/* 0 adds 2 and 3 to the same future, which has ended; 1 was there before. 2 adds 4. */
Test(callback, B6_those_that_callbacks_add_run_after_those_before_them_and_not_inside)
{
    struct promised made = must_promise();
    struct log log = {.count = 0};
    struct logger loggers[5];

    for (int i = 0; i < 5; i++) {
        loggers[i] = (struct logger){.log = &log, .number = i, .adds_to = made.future};
    }
    loggers[0].adds[0] = &loggers[2];
    loggers[0].adds[1] = &loggers[3];
    loggers[2].adds[0] = &loggers[4];
    cr_assert_eq(stook_future_on_done(made.future, log_callback, &loggers[0]), STOOK_OK);
    cr_assert_eq(stook_future_on_done(made.future, log_callback, &loggers[1]), STOOK_OK);
    must_complete(&made, 0, NULL);
    cr_assert_eq(log.count, 5);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(log.entries[i], i);
        cr_assert_eq(loggers[i].logged_meanwhile, 0);
    }
    cr_assert_not(log.nested);
    release_promised(&made);
}

/* 0 ends another future, whose callbacks are 2 and 3; 1 was due before. */
Test(callback, B6_those_of_a_future_that_a_callback_ends_run_after_those_before_them)
{
    struct promised first = must_promise();
    struct promised second = must_promise();
    struct log log = {.count = 0};
    struct logger loggers[4];

    for (int i = 0; i < 4; i++) {
        loggers[i] = (struct logger){.log = &log, .number = i};
    }
    loggers[0].ends = &second;
    cr_assert_eq(stook_future_on_done(second.future, log_callback, &loggers[2]), STOOK_OK);
    cr_assert_eq(stook_future_on_done(first.future, log_callback, &loggers[0]), STOOK_OK);
    cr_assert_eq(stook_future_on_done(first.future, log_callback, &loggers[1]), STOOK_OK);
    cr_assert_eq(stook_future_on_done(second.future, log_callback, &loggers[3]), STOOK_OK);
    must_complete(&first, 0, NULL);
    cr_assert_eq(log.count, 4);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(log.entries[i], i);
        cr_assert_eq(loggers[i].logged_meanwhile, 0);
    }
    cr_assert_not(log.nested);
    release_promised(&first);
    release_promised(&second);
}

enum { CHAIN = 100000, STACK_BOUND = 64 * 1024 };

struct link {
    struct promised made;
    struct link *next;
    struct stack_span *span;
    int *count;
};

static void link_callback(stook_future *future, void *user_data)
{
    struct link *link = user_data;

    (void)future;
    stack_note(link->span);
    ++*link->count;
    if (link->next != NULL) {
        must_complete(&link->next->made, 0, NULL);
    }
}

Test(callback, B6_a_chain_of_100000_needs_no_stack, .timeout = 120)
{
    struct link *links = calloc(CHAIN, sizeof *links);
    struct stack_span span = {0, 0};
    int count = 0;

    cr_assert_not_null(links);
    for (int i = 0; i < CHAIN; i++) {
        links[i].made = must_promise();
        links[i].next = i + 1 < CHAIN ? &links[i + 1] : NULL;
        links[i].span = &span;
        links[i].count = &count;
        cr_assert_eq(stook_future_on_done(links[i].made.future, link_callback, &links[i]),
                     STOOK_OK);
    }
    must_complete(&links[0].made, 0, NULL);
    cr_assert_eq(count, CHAIN);
    cr_assert_lt(span.high - span.low, STACK_BOUND);
    for (int i = 0; i < CHAIN; i++) {
        release_promised(&links[i].made);
    }
    free(links);
}
