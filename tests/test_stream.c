/* SPDX-License-Identifier: MIT
 *
 * The ordered map over an input of any length: order, look-ahead, chunks, failures in their place,
 * timeouts, abandonment, the end of the executor meanwhile, and streams in tasks. What happens when
 * memory or submits fail, and how chunks grow and shrink, is in test_stream_size.c.
 */
#include "check.h"
#include "support.h"

enum { ENDLESS = -1, MOST = 1000 };

/* An input of numbered items, and what became of them. */
struct item {
    struct input *input;
    unsigned spins; /* how long it takes */
    int code;
    bool stores_nothing;
    bool spins_until_asked;
    struct gate *gate; /* it passes; may be NULL */
    atomic_int runs;
    atomic_int destroyed; /* the value, which is the item itself */
};

struct input {
    struct item items[MOST]; /* of an endless input they come round again */
    int count;               /* or ENDLESS */
    int taken;
    int handed_out; /* the one that is about to be included */
    int look_ahead; /* to be kept; 0: not looked at */
    int calls_after_end;
    atomic_int begun;
};

static bool next_item(void *user_data, void **ret_item)
{
    struct input *input = user_data;

    if (input->count != ENDLESS && input->taken == input->count) {
        input->calls_after_end++;
        return false;
    }
    *ret_item = &input->items[input->taken++ % MOST];
    MUST(input->look_ahead == 0 || input->taken - input->handed_out <= input->look_ahead);
    return true;
}

static int work(void *arg, void **ret_value)
{
    struct item *item = arg;

    MUST(*ret_value == NULL);
    atomic_fetch_add(&item->input->begun, 1);
    atomic_fetch_add(&item->runs, 1);
    if (item->gate) {
        gate_pass(item->gate);
    }
    if (item->spins_until_asked) {
        SPIN_UNTIL(stook_task_cancel_requested());
    }
    for (unsigned i = 0; i < item->spins; i++) {
        (void)stook_now_ns();
    }
    *ret_value = item->stores_nothing ? NULL : item;
    return item->code;
}

static void destroy_value(void *value)
{
    atomic_fetch_add(&((struct item *)value)->destroyed, 1);
}

static struct input *new_input(int count)
{
    struct input *input = calloc(1, sizeof *input);

    MUST(input != NULL);
    input->count = count;
    for (int i = 0; i < MOST; i++) {
        input->items[i].input = input;
    }
    return input;
}

static stook_stream *must_stream(stook_executor *executor, struct input *input, size_t look_ahead,
                                 size_t chunk)
{
    struct stook_stream_options options = STOOK_STREAM_OPTIONS_INIT;
    stook_stream *stream = NULL;

    options.input = next_item;
    options.input_data = input;
    options.fn = work;
    options.look_ahead = look_ahead;
    options.chunk = chunk;
    options.destroy = destroy_value;
    MUST(stook_stream_create(executor, &options, &stream) == STOOK_OK);
    return stream;
}

static enum stook_status next_of(stook_stream *stream, struct input *input, int64_t deadline_ns,
                                 void **ret_value, int *ret_code)
{
    input->handed_out++;
    enum stook_status status = stook_stream_next(stream, deadline_ns, ret_value, ret_code);
    if (status != STOOK_OK && status != STOOK_TASK_FAILED && status != STOOK_CANCELLED) {
        input->handed_out--;
    }
    return status;
}

/* Takes the results of the items `from` up to `to`, which must be those of a sequential map. */
static void must_hand_out(stook_stream *stream, struct input *input, int from, int to)
{
    for (int i = from; i < to; i++) {
        struct item *item = &input->items[i % MOST];
        void *value = input;
        int code = 4711;
        enum stook_status status = next_of(stream, input, STOOK_FOREVER, &value, &code);

        MUST(status == (item->code == 0 ? STOOK_OK : STOOK_TASK_FAILED));
        MUST(value == (item->stores_nothing ? NULL : (void *)item));
        MUST(code == item->code);
        MUST(input->count == ENDLESS || atomic_load(&item->runs) == 1);
    }
}

static void must_end(stook_stream *stream, enum stook_status end)
{
    void *value = stream;
    int code = 4711;

    for (int i = 0; i < 3; i++) {
        MUST(stook_stream_next(stream, STOOK_FOREVER, &value, &code) == end);
    }
    MUST(value == stream && code == 4711);
}

/* --- order and look-ahead -----------------------------------------------------------------------
 */

static void expect_sequential_map(stook_executor *executor, int count, size_t look_ahead,
                                  size_t chunk, uint64_t *random)
{
    struct input *input = new_input(count);

    for (int i = 0; i < count; i++) {
        input->items[i].spins = random_below(random, 4) ? 0 : random_below(random, 500);
        input->items[i].code = random_below(random, 10) ? 0 : 1000 + i;
        input->items[i].stores_nothing = random_below(random, 10) == 0;
    }
    input->look_ahead =
        (int)(look_ahead ? look_ahead : 64u * stook_executor_worker_count(executor));
    stook_stream *stream = must_stream(executor, input, look_ahead, chunk);
    must_hand_out(stream, input, 0, count);
    must_end(stream, STOOK_END);
    stook_stream_destroy(stream);
    cr_assert_eq(input->taken, count);
    cr_assert_eq(input->calls_after_end, 1);
    free(input);
}

/* CPython 39 and 98: as the builtin map, with each chunk size. */
Test(stream, gives_what_a_sequential_map_gives, .timeout = 120)
{
    const int counts[] = {0, 1, 6, 40, 50, 700};
    uint64_t random = 11;

    for (unsigned workers = 1; workers <= 4; workers *= 2) {
        stook_executor *executor = must_create(workers);

        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            const size_t count = (size_t)counts[i];
            const size_t chunks[] = {0, 1, 2, 3, count};

            for (size_t k = 0; k < 5; k++) {
                expect_sequential_map(executor, counts[i], chunks[k] > 64 ? count : 0, chunks[k],
                                      &random);
                expect_sequential_map(executor, counts[i], chunks[k] ? chunks[k] : 1, chunks[k],
                                      &random);
                expect_sequential_map(executor, counts[i], chunks[k] + 7, chunks[k], &random);
            }
        }
        stook_executor_destroy(executor);
    }
}

Test(stream, of_an_endless_input_never_runs_further_ahead_than_it_may, .timeout = 120)
{
    const size_t looks[] = {1, 2, 5, 64, 1000};

    for (unsigned workers = 1; workers <= 4; workers *= 2) {
        stook_executor *executor = must_create(workers);

        for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++) {
            for (size_t chunk = 0; chunk <= 3 && chunk <= looks[i]; chunk++) {
                struct input *input = new_input(ENDLESS);

                input->look_ahead = (int)looks[i];
                stook_stream *stream = must_stream(executor, input, looks[i], chunk);
                must_hand_out(stream, input, 0, 4 * MOST);
                stook_stream_destroy(stream);
                free(input);
            }
        }
        stook_executor_destroy(executor);
    }
}

/* CPython 53: b items are begun before the first result is taken, then b + 1. */
Test(stream, begins_one_more_item_for_each_result_taken, .timeout = 60)
{
    stook_executor *executor = must_create(4);
    struct input *input = new_input(ENDLESS);
    stook_stream *stream = must_stream(executor, input, 3, 1);

    for (int taken = 3; taken < 20; taken++) {
        SPIN_UNTIL(atomic_load(&input->begun) == taken);
        give_a_chance();
        cr_assert_eq(atomic_load(&input->begun), taken);
        cr_assert_eq(input->taken, taken);
        must_hand_out(stream, input, taken - 3, taken - 2);
    }
    stook_stream_destroy(stream);
    stook_executor_destroy(executor);
    free(input);
}

/* CPython 46. */
Test(stream, works_on_all_that_it_may_though_nobody_takes_results, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct input *input = new_input(200);
    stook_stream *stream = must_stream(executor, input, 200, 0);

    SPIN_UNTIL(atomic_load(&input->begun) == 200);
    must_hand_out(stream, input, 0, 200);
    must_end(stream, STOOK_END);
    stook_stream_destroy(stream);
    stook_executor_destroy(executor);
    free(input);
}

/* --- failures and timeouts ----------------------------------------------------------------------
 */

/* CPython 40; but here the stream goes on. */
Test(stream, tells_a_failure_in_its_place, .timeout = 60)
{
    for (size_t chunk = 0; chunk <= 5; chunk++) {
        stook_executor *executor = must_create(2);
        struct input *input = new_input(5);
        void *value = NULL;
        int code = 0;

        input->items[2].code = -77;
        stook_stream *stream = must_stream(executor, input, 5, chunk);
        must_hand_out(stream, input, 0, 2);
        cr_assert_eq(stook_stream_next(stream, STOOK_FOREVER, &value, &code), STOOK_TASK_FAILED);
        cr_assert_eq(value, &input->items[2]);
        cr_assert_eq(code, -77);
        must_hand_out(stream, input, 3, 5);
        must_end(stream, STOOK_END);
        stook_stream_destroy(stream);
        stook_executor_destroy(executor);
        free(input);
    }
}

/* CPython 41: two results, then a timeout; and nothing is lost by it. */
Test(stream, next_that_times_out_may_be_called_again, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct input *input = new_input(10);
    struct gate gate = {0};
    void *value = &gate;
    int code = 4711;

    input->items[2].gate = &gate;
    stook_stream *stream = must_stream(executor, input, 4, 1);
    must_hand_out(stream, input, 0, 2);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(stook_stream_next(stream, 0, &value, &code), STOOK_TIMEOUT);
        cr_assert_eq(stook_stream_next(stream, stook_deadline_after_ns(MILLISECOND), &value, &code),
                     STOOK_TIMEOUT);
    }
    cr_assert_eq(value, &gate);
    cr_assert_eq(code, 4711);
    cr_assert_eq(input->taken, 6);
    gate_open(&gate);
    must_hand_out(stream, input, 2, 10);
    must_end(stream, STOOK_END);
    stook_stream_destroy(stream);
    stook_executor_destroy(executor);
    free(input);
}

/* A result that is there is handed out at any deadline. */
Test(stream, next_polls, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct input *input = new_input(7);
    stook_stream *stream = must_stream(executor, input, 7, 3);
    enum stook_status status;
    int polls = 0;

    for (int got = 0; (status = stook_stream_next(stream, 0, NULL, NULL)) != STOOK_END; polls++) {
        cr_assert(status == STOOK_OK || status == STOOK_TIMEOUT);
        got += status == STOOK_OK;
        if (status == STOOK_TIMEOUT) {
            cr_assert_eq(got % 3, 0);
            give_a_chance();
        }
    }
    cr_assert_geq(polls, 7);
    stook_stream_destroy(stream);
    stook_executor_destroy(executor);
    free(input);
}

/* --- the end of a stream ------------------------------------------------------------------------
 */

/* CPython 52: who gives up begins nothing more. The first item goes on only when it is asked to
 * stop, which is when all others have been cancelled. */
static void expect_nothing_more_begins(size_t chunk)
{
    stook_executor *executor = must_create(1);
    struct input *input = new_input(ENDLESS);

    input->items[0].spins_until_asked = true;
    stook_stream *stream = must_stream(executor, input, 40, chunk);
    SPIN_UNTIL(atomic_load(&input->begun) == 1);
    cr_assert_eq(stook_stream_next(stream, 0, NULL, NULL), STOOK_TIMEOUT);
    stook_stream_destroy(stream);
    cr_assert_eq(atomic_load(&input->begun), 1);
    cr_assert_eq(atomic_load(&input->items[0].destroyed), 1);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(atomic_load(&input->begun), 1);
    stook_executor_destroy(executor);
    free(input);
}

Test(stream, destroy_cancels_what_has_not_begun, .timeout = 60)
{
    expect_nothing_more_begins(1);
    expect_nothing_more_begins(0);
}

Test(stream, destroy_stops_a_chunk_before_its_next_item, .timeout = 60)
{
    expect_nothing_more_begins(4);
    expect_nothing_more_begins(40);
}

/* B9. CPython 45: of each value, exactly one of taker and destructor. */
Test(stream, destroys_each_value_that_nobody_fetched_exactly_once, .timeout = 60)
{
    uint64_t random = 3;

    for (int round = 0; round < 300; round++) {
        stook_executor *executor = must_create(1 + random_below(&random, 3));
        struct input *input = new_input((int)random_below(&random, 100));
        const int calls = (int)random_below(&random, 100);
        bool was_fetched[100] = {false};

        for (int i = 0; i < input->count; i++) {
            input->items[i].stores_nothing = random_below(&random, 5) == 0;
            input->items[i].code = random_below(&random, 5) == 0;
        }
        const size_t chunk = random_below(&random, 10);
        stook_stream *stream =
            must_stream(executor, input, chunk + 1 + random_below(&random, 50), chunk);
        for (int i = 0; i < calls && i < input->count; i++) {
            const bool wanted = random_below(&random, 2);
            void *value = NULL;
            enum stook_status status =
                stook_stream_next(stream, STOOK_FOREVER, wanted ? &value : NULL, NULL);

            cr_assert(status == STOOK_OK || status == STOOK_TASK_FAILED);
            was_fetched[i] = value != NULL;
            cr_assert_eq(was_fetched[i], wanted && !input->items[i].stores_nothing);
        }
        stook_stream_destroy(stream);
        for (int i = 0; i < input->count; i++) {
            struct item *item = &input->items[i];
            const bool is_stored = atomic_load(&item->runs) == 1 && !item->stores_nothing;

            cr_assert_eq(atomic_load(&item->destroyed), is_stored && !was_fetched[i]);
        }
        stook_executor_destroy(executor);
        free(input);
    }
}

Test(stream, an_input_without_items_calls_nothing, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct input *input = new_input(0);
    stook_stream *stream = must_stream(executor, input, 0, 0);

    must_end(stream, STOOK_END);
    cr_assert_eq(input->calls_after_end, 1);
    stook_stream_destroy(stream);
    stook_stream_destroy(NULL);
    stook_executor_destroy(executor);
    free(input);
}

Test(stream, B22_bad_arguments_are_refused, .timeout = 60)
{
    const struct stook_submit_options no_submit = STOOK_SUBMIT_OPTIONS_INIT;
    struct stook_submit_options submit = no_submit;
    stook_executor *executor = must_create(1);
    struct input *input = new_input(3);
    struct stook_stream_options good = STOOK_STREAM_OPTIONS_INIT;
    stook_stream *stream = NULL;

    good.input = next_item;
    good.input_data = input;
    good.fn = work;
    good.look_ahead = 4;
    good.submit = &submit;
    cr_assert_eq(stook_stream_create(NULL, &good, &stream), STOOK_INVALID);
    cr_assert_eq(stook_stream_create(executor, NULL, &stream), STOOK_INVALID);
    cr_assert_eq(stook_stream_create(executor, &good, NULL), STOOK_INVALID);
    for (int i = 0; i < 9; i++) {
        struct stook_stream_options bad = good;

        submit = no_submit;
        bad.struct_size -= i == 0;
        bad.input = i == 1 ? NULL : bad.input;
        bad.fn = i == 2 ? NULL : bad.fn;
        bad.chunk = i == 3 ? 5 : 0;
        submit.struct_size -= i == 4;
        submit.start_ns = i == 5;
        submit.period_ns = i == 6;
        submit.priority = i == 7 ? (enum stook_priority)3 : STOOK_PRIORITY_NORMAL;
        if (i == 8) {
            submit.scope = (struct stook_scope *)input;
            submit.token = (struct stook_token *)input;
        }
        cr_assert_eq(stook_stream_create(executor, &bad, &stream), STOOK_INVALID, "case %d", i);
    }
    good.look_ahead = SIZE_MAX;
    submit = no_submit;
    cr_assert_eq(stook_stream_create(executor, &good, &stream), STOOK_NOMEM);
    cr_assert_null(stream);
    cr_assert_eq(input->taken, 0);
    cr_assert_eq(stook_stream_next(NULL, STOOK_FOREVER, NULL, NULL), STOOK_INVALID);
    stook_executor_destroy(executor);
    free(input);
}

/* --- the end of the executor --------------------------------------------------------------------
 */

/* One worker, in a gate with the first of three items, when the executor is closed. */
static void close_under_way(enum stook_shutdown_mode mode, int items, enum stook_status others,
                            enum stook_status end)
{
    stook_executor *executor = must_create(1);
    struct input *input = new_input(items);
    struct gate gate = {0};

    input->items[0].gate = &gate;
    stook_stream *stream = must_stream(executor, input, 3, 1);
    gate_await(&gate, 1);
    cr_assert_eq(stook_executor_shutdown(executor, mode, 0), STOOK_TIMEOUT);
    gate_open(&gate);
    cr_assert_eq(stook_stream_next(stream, STOOK_FOREVER, NULL, NULL), STOOK_OK);
    for (int i = 1; i < 3; i++) {
        void *value = &gate;

        cr_assert_eq(stook_stream_next(stream, STOOK_FOREVER, &value, NULL), others);
        cr_assert_eq(value, others == STOOK_OK ? (void *)&input->items[i] : &gate);
        cr_assert_eq(atomic_load(&input->items[i].runs), others == STOOK_OK);
    }
    must_end(stream, end);
    cr_assert_leq(input->taken, 4);
    stook_stream_destroy(stream);
    stook_executor_destroy(executor);
    free(input);
}

Test(stream, B35_under_way_when_its_executor_is_drained_gives_what_was_accepted, .timeout = 60)
{
    close_under_way(STOOK_DRAIN, ENDLESS, STOOK_OK, STOOK_SHUTDOWN);
    close_under_way(STOOK_DRAIN, 3, STOOK_OK, STOOK_END);
}

Test(stream, B36_under_way_when_its_executor_is_cancelled_says_what_was_not_done, .timeout = 60)
{
    close_under_way(STOOK_CANCEL_PENDING, ENDLESS, STOOK_CANCELLED, STOOK_SHUTDOWN);
    close_under_way(STOOK_CANCEL_PENDING, 3, STOOK_CANCELLED, STOOK_END);
}

Test(stream, B24_on_a_closed_executor_is_refused, .timeout = 60)
{
    struct stook_stream_options options = STOOK_STREAM_OPTIONS_INIT;
    stook_executor *executor = must_create(1);
    struct input *input = new_input(5);
    stook_stream *stream = NULL;

    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    options.input = next_item;
    options.input_data = input;
    options.fn = work;
    cr_assert_eq(stook_stream_create(executor, &options, &stream), STOOK_SHUTDOWN);
    cr_assert_null(stream);
    cr_assert_eq(atomic_load(&input->begun), 0);
    input->count = input->taken; /* nothing to submit, nothing to refuse */
    stream = must_stream(executor, input, 0, 0);
    must_end(stream, STOOK_END);
    stook_stream_destroy(stream);
    stook_executor_destroy(executor);
    free(input);
}

/* --- in tasks and threads -----------------------------------------------------------------------
 */

struct consumer {
    stook_executor *executor;
    size_t chunk;
    bool is_impatient;
};

static int consume(void *arg)
{
    const struct consumer *consumer = arg;
    struct input *input = new_input(300);
    stook_stream *stream =
        must_stream(consumer->executor, input, consumer->chunk + 10, consumer->chunk);

    for (int i = 0; consumer->is_impatient && i < 300;) {
        const enum stook_status status =
            stook_stream_next(stream, stook_deadline_after_ns(MILLISECOND), NULL, NULL);

        MUST(status == STOOK_OK || status == STOOK_TIMEOUT);
        i += status == STOOK_OK;
    }
    if (!consumer->is_impatient) {
        must_hand_out(stream, input, 0, 300);
    }
    must_end(stream, STOOK_END);
    stook_stream_destroy(stream);
    stream = must_stream(consumer->executor, input, 5, 0); /* and one that is abandoned */
    stook_stream_destroy(stream);
    free(input);
    return 0;
}

static int consuming_task(void *arg, void **ret_value)
{
    (void)ret_value;
    return consume(arg);
}

Test(stream, in_a_task_of_its_own_executor, .timeout = 120)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        stook_executor *executor = must_create(workers);
        struct consumer consumers[8];
        stook_future *futures[8];

        for (size_t i = 0; i < 8; i++) {
            consumers[i] = (struct consumer){executor, i / 2, i % 2 == 1};
        }
        cr_assert_eq(stook_executor_submit_many(executor, NULL, consuming_task, consumers, 8,
                                                sizeof consumers[0], futures),
                     STOOK_OK);
        for (int i = 0; i < 8; i++) {
            cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
        }
        release_all(futures, 8);
        stook_executor_destroy(executor);
    }
}

Test(stream, several_at_a_time_on_one_executor, .timeout = 120)
{
    stook_executor *executor = must_create(2);
    struct consumer consumers[4];
    thrd_t threads[4];

    for (size_t i = 0; i < 4; i++) {
        consumers[i] = (struct consumer){executor, i, i == 3};
        must_start(&threads[i], consume, &consumers[i]);
    }
    for (int i = 0; i < 4; i++) {
        thrd_join(threads[i], NULL);
    }
    stook_executor_destroy(executor);
}
