/* SPDX-License-Identifier: MIT
 *
 * Fair shares: whose task goes next when clients, priorities and a worker's own tasks compete. With
 * one worker the order is exact: what it may begin is submitted while a gate holds it.
 */
#include <signal.h>
#include <string.h>
#include "check.h"
#include "support.h"

enum { MOST_EVENTS = 4000, MOST_PASSES = 16 };

/* What one worker has begun, as letters, in order. */
struct diary {
    stook_executor *executor;
    struct gate gate;
    int length;
    char begun[MOST_EVENTS];
};

struct entry {
    struct diary *diary;
    char letter;
};

static int write_task(void *arg, void **ret_value)
{
    const struct entry *entry = arg;

    (void)ret_value;
    MUST(entry->diary->length < MOST_EVENTS - 1);
    entry->diary->begun[entry->diary->length++] = entry->letter;
    return 0;
}

/* An executor with one worker, which stays in the gate. */
static void diary_begin(struct diary *diary)
{
    memset(diary, 0, sizeof *diary);
    diary->executor = must_create(1);
    MUST(stook_executor_submit(diary->executor, gate_task, &diary->gate, NULL) == STOOK_OK);
    gate_await(&diary->gate, 1);
}

/* Lets the worker go; all has been begun when it returns. */
static void diary_end(struct diary *diary)
{
    gate_open(&diary->gate);
    stook_executor_destroy(diary->executor);
}

static stook_client *must_have_client(stook_executor *executor, unsigned weight)
{
    stook_client *client = NULL;

    MUST(stook_client_create(executor, weight, 0, &client) == STOOK_OK);
    return client;
}

static struct stook_submit_options share_of(stook_client *client, enum stook_priority priority)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

    options.client = client;
    options.priority = priority;
    return options;
}

/* `count` tasks that write entry->letter; some one by one, some as a bulk. */
static void must_write(struct entry *entry, stook_client *client, enum stook_priority priority,
                       int count)
{
    const struct stook_submit_options options = share_of(client, priority);

    for (; count % 10 > 0; count--) {
        MUST(stook_executor_submit_with(entry->diary->executor, &options, write_task, entry,
                                        NULL) == STOOK_OK);
    }
    MUST(stook_executor_submit_many(entry->diary->executor, &options, write_task, entry,
                                    (size_t)count, 0, NULL) == STOOK_OK);
}

/* Appends `count` times `letter`. */
static void expect(char *text, char letter, int count)
{
    size_t length = strlen(text);

    memset(text + length, letter, (size_t)count);
    text[length + (size_t)count] = '\0';
}

/* --- clients ---------------------------------------------------------------------------------- */

Test(client, B61_one_task_is_not_held_up_by_a_thousand, .timeout = 60)
{
    static struct diary diary;
    struct entry a = {&diary, 'a'};
    struct entry b = {&diary, 'b'};

    for (unsigned weight = 1; weight <= 7; weight += 3) {
        diary_begin(&diary);
        stook_client *many = must_have_client(diary.executor, weight);
        stook_client *one = must_have_client(diary.executor, 1);
        must_write(&a, many, STOOK_PRIORITY_NORMAL, 1000);
        must_write(&b, one, STOOK_PRIORITY_NORMAL, 1);
        stook_client_release(many);
        stook_client_release(one);
        diary_end(&diary);
        cr_assert_eq(diary.length, 1001);
        /* as many dispatches as the other's turn has left */
        cr_assert_eq(strchr(diary.begun, 'b') - diary.begun, weight);
    }
}

Test(client, B61_shares_are_as_the_weights, .timeout = 60)
{
    static struct diary diary;
    static char expected[MOST_EVENTS];
    struct entry a = {&diary, 'a'};
    struct entry b = {&diary, 'b'};
    struct entry c = {&diary, 'c'};

    diary_begin(&diary);
    stook_client *three = must_have_client(diary.executor, 3);
    stook_client *one = must_have_client(diary.executor, 1);
    stook_client *two = must_have_client(diary.executor, 2);
    must_write(&a, three, STOOK_PRIORITY_NORMAL, 62);
    must_write(&b, one, STOOK_PRIORITY_NORMAL, 30);
    must_write(&c, two, STOOK_PRIORITY_NORMAL, 5);
    stook_client_release(three);
    stook_client_release(one);
    stook_client_release(two);
    diary_end(&diary);
    strcpy(expected, "aaabccaaabccaaabc");
    for (int i = 3; i < 20; i++) {
        strcat(expected, "aaab");
    }
    strcat(expected, "aab"); /* who has no more gives its turn up */
    expect(expected, 'b', 9);
    cr_assert_str_eq(diary.begun, expected);
}

Test(client, B61_who_is_alone_gets_everything, .timeout = 60)
{
    static struct diary diary;
    static char expected[MOST_EVENTS];
    struct entry a = {&diary, 'a'};

    diary_begin(&diary);
    stook_client *alone = must_have_client(diary.executor, 2);
    stook_client *idle = must_have_client(diary.executor, STOOK_MAX_WEIGHT);
    must_write(&a, alone, STOOK_PRIORITY_NORMAL, 300);
    gate_open(&diary.gate);
    stook_client_release(alone);
    stook_client_release(idle);
    diary_end(&diary);
    expect(expected, 'a', 300);
    cr_assert_str_eq(diary.begun, expected);
}

Test(client, B61_tasks_without_a_client_share_one_of_weight_1, .timeout = 60)
{
    static struct diary diary;
    struct entry a = {&diary, 'a'};
    struct entry d = {&diary, 'd'};

    diary_begin(&diary);
    stook_client *two = must_have_client(diary.executor, 2);
    must_write(&d, NULL, STOOK_PRIORITY_NORMAL, 4);
    must_write(&a, two, STOOK_PRIORITY_NORMAL, 5);
    stook_client_release(two);
    diary_end(&diary);
    cr_assert_str_eq(diary.begun, "daadaadad");
}

Test(client, each_client_is_first_in_first_out, .timeout = 60)
{
    static struct diary diary;
    static struct entry entries[2][26];
    stook_client *clients[2];

    diary_begin(&diary);
    for (int i = 0; i < 2; i++) {
        clients[i] = must_have_client(diary.executor, 1);
    }
    for (int i = 0; i < 26; i++) {
        entries[0][i] = (struct entry){&diary, (char)('a' + i)};
        entries[1][i] = (struct entry){&diary, (char)('A' + i)};
        must_write(&entries[0][i], clients[0], STOOK_PRIORITY_NORMAL, 1);
        must_write(&entries[1][i], clients[1], STOOK_PRIORITY_NORMAL, 1);
    }
    stook_client_release(clients[0]);
    stook_client_release(clients[1]);
    diary_end(&diary);
    cr_assert_str_eq(diary.begun, "aAbBcCdDeEfFgGhHiIjJkKlLmMnNoOpPqQrRsStTuUvVwWxXyYzZ");
}

struct parent {
    struct diary *diary;
    stook_client *client;
    struct entry own, shared;
};

/* Submits own tasks, and some with a client. */
static int parent_task(void *arg, void **ret_value)
{
    struct parent *parent = arg;

    (void)ret_value;
    must_write(&parent->shared, parent->client, STOOK_PRIORITY_NORMAL, 3);
    must_write(&parent->own, NULL, STOOK_PRIORITY_NORMAL, 3);
    return 0;
}

Test(client, B61_children_with_a_client_queue_up_there_and_others_are_done_before, .timeout = 60)
{
    static struct diary diary;
    struct entry d = {&diary, 'd'};
    struct parent parent = {.diary = &diary, .own = {&diary, 'o'}, .shared = {&diary, 'c'}};

    diary_begin(&diary);
    parent.client = must_have_client(diary.executor, 1);
    stook_future *future = must_submit(diary.executor, parent_task, &parent);
    must_write(&d, NULL, STOOK_PRIORITY_NORMAL, 4);
    gate_open(&diary.gate);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_client_release(parent.client);
    diary_end(&diary);
    /* the default client was alone until the parent ran: its next turn comes first */
    cr_assert_str_eq(diary.begun, "ooodcdcdcd");
}

Test(client, tasks_of_a_released_client_still_run, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    atomic_int runs = 0;

    for (int i = 0; i < 100; i++) {
        stook_client *client = must_have_client(executor, 1);
        struct stook_submit_options options = share_of(client, STOOK_PRIORITY_LOW);

        cr_assert_eq(stook_executor_submit_many(executor, &options, count_task, &runs, 10, 0, NULL),
                     STOOK_OK);
        stook_client_release(client);
    }
    stook_client_release(NULL);
    stook_executor_destroy(executor);
    cr_assert_eq(atomic_load(&runs), 1000);
}

/* B36 */
Test(client, shutdown_cancels_what_clients_have_queued, .timeout = 60)
{
    enum { EACH = 5 };
    static struct diary diary;
    stook_future *futures[STOOK_PRIORITY_LOW + 1][EACH];
    struct entry a = {&diary, 'a'};

    diary_begin(&diary);
    stook_client *client = must_have_client(diary.executor, 1);
    for (int i = 0; i <= STOOK_PRIORITY_LOW; i++) {
        struct stook_submit_options options = share_of(client, (enum stook_priority)i);
        cr_assert_eq(stook_executor_submit_many(diary.executor, &options, write_task, &a, EACH, 0,
                                                futures[i]),
                     STOOK_OK);
    }
    stook_client_release(client);
    cr_assert_eq(stook_executor_shutdown(diary.executor, STOOK_CANCEL_PENDING, 0), STOOK_TIMEOUT);
    for (int i = 0; i <= STOOK_PRIORITY_LOW; i++) {
        for (int j = 0; j < EACH; j++) {
            cr_assert_eq(stook_future_state(futures[i][j]), STOOK_STATE_CANCELLED);
        }
        release_all(futures[i], EACH);
    }
    diary_end(&diary);
    cr_assert_eq(diary.length, 0);
}

Test(client, bad_arguments_are_refused)
{
    stook_executor *executor = must_create(1);
    stook_executor *other = must_create(1);
    stook_client *client = NULL;
    stook_future *future = NULL;
    atomic_int runs = 0;

    cr_assert_eq(stook_client_create(NULL, 1, 0, &client), STOOK_INVALID);
    cr_assert_eq(stook_client_create(executor, 1, 0, NULL), STOOK_INVALID);
    cr_assert_eq(stook_client_create(executor, 0, 0, &client), STOOK_INVALID);
    cr_assert_eq(stook_client_create(executor, STOOK_MAX_WEIGHT + 1, 0, &client), STOOK_INVALID);
    cr_assert_null(client);
    client = must_have_client(other, STOOK_MAX_WEIGHT);

    for (int i = 0; i < 6; i++) {
        struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
        int bad = i < 3 ? 3 : -1;
        switch (i % 3) {
        case 0:
            memcpy(&options.priority, &bad, sizeof options.priority);
            break;
        case 1:
            memcpy(&options.when_full, &bad, sizeof options.when_full);
            break;
        case 2:
            options.client = i < 3 ? client : NULL;
            options.struct_size -= i < 3 ? 0 : 1;
            break;
        }
        cr_assert_eq(stook_executor_submit_with(executor, &options, count_task, &runs, &future),
                     STOOK_INVALID);
        cr_assert_eq(
            stook_executor_submit_many(executor, &options, count_task, &runs, 1, 0, &future),
            STOOK_INVALID);
        cr_assert_null(future);
    }
    stook_client_release(client);
    stook_executor_destroy(executor);
    stook_executor_destroy(other);
    cr_assert_eq(atomic_load(&runs), 0);
}

Test(client, stays_until_its_last_reference_is_released, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    atomic_int runs = 0;
    stook_future *future = NULL;

    cr_assert_null(stook_client_retain(NULL));
    options.client = must_have_client(executor, 3);
    cr_assert_eq(stook_client_retain(options.client), options.client);
    stook_client_release(options.client);
    cr_assert_eq(stook_executor_submit_with(executor, &options, count_task, &runs, &future),
                 STOOK_OK);
    stook_client_release(options.client);
    cr_assert_eq(stook_future_wait_until(future, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(atomic_load(&runs), 1);
    stook_future_release(future);
    stook_executor_destroy(executor); /* which none outlives */
}

Test(client, a_client_that_outlives_its_executor_is_told, .signal = SIGABRT)
{
    stook_executor *executor = must_create(1);

    (void)must_have_client(executor, 1);
    stook_executor_destroy(executor);
}

/* --- priorities ------------------------------------------------------------------------------- */

Test(client, high_goes_first_and_low_last, .timeout = 60)
{
    static struct diary diary;
    struct entry h = {&diary, 'h'};
    struct entry n = {&diary, 'n'};
    struct entry l = {&diary, 'l'};

    diary_begin(&diary);
    must_write(&l, NULL, STOOK_PRIORITY_LOW, 3);
    must_write(&n, NULL, STOOK_PRIORITY_NORMAL, 3);
    must_write(&h, NULL, STOOK_PRIORITY_HIGH, 3);
    must_write(&l, NULL, STOOK_PRIORITY_LOW, 1);
    must_write(&n, NULL, STOOK_PRIORITY_NORMAL, 1);
    diary_end(&diary);
    cr_assert_str_eq(diary.begun, "hhhnnnnllll");
}

Test(client, clients_take_turns_within_a_priority, .timeout = 60)
{
    static struct diary diary;
    struct entry a = {&diary, 'a'};
    struct entry b = {&diary, 'b'};
    struct entry upper_a = {&diary, 'A'};
    struct entry upper_b = {&diary, 'B'};

    diary_begin(&diary);
    stook_client *one = must_have_client(diary.executor, 1);
    stook_client *two = must_have_client(diary.executor, 2);
    must_write(&a, one, STOOK_PRIORITY_NORMAL, 3);
    must_write(&b, two, STOOK_PRIORITY_NORMAL, 5);
    must_write(&upper_b, two, STOOK_PRIORITY_HIGH, 5);
    must_write(&upper_a, one, STOOK_PRIORITY_HIGH, 3);
    stook_client_release(one);
    stook_client_release(two);
    diary_end(&diary);
    cr_assert_str_eq(diary.begun, "BBABBABAabbabbab");
}

Test(client, a_priority_that_was_passed_over_16_times_goes_next, .timeout = 60)
{
    static struct diary diary;
    static char expected[MOST_EVENTS];
    struct entry h = {&diary, 'h'};
    struct entry n = {&diary, 'n'};
    struct entry l = {&diary, 'l'};

    diary_begin(&diary);
    must_write(&n, NULL, STOOK_PRIORITY_NORMAL, 40);
    must_write(&l, NULL, STOOK_PRIORITY_LOW, 3);
    diary_end(&diary);
    for (int i = 0; i < 2; i++) {
        expect(expected, 'n', MOST_PASSES);
        expect(expected, 'l', 1);
    }
    expect(expected, 'n', 40 - 2 * MOST_PASSES);
    expect(expected, 'l', 1);
    cr_assert_str_eq(diary.begun, expected);

    /* two that are due at once: the lower waits for the higher, and no longer */
    diary_begin(&diary);
    must_write(&h, NULL, STOOK_PRIORITY_HIGH, 50);
    must_write(&n, NULL, STOOK_PRIORITY_NORMAL, 40);
    must_write(&l, NULL, STOOK_PRIORITY_LOW, 40);
    diary_end(&diary);
    expected[0] = '\0';
    expect(expected, 'h', 1);
    for (int i = 0; i < 3; i++) {
        expect(expected, 'h', MOST_PASSES - 1);
        expect(expected, 'n', 1);
        expect(expected, 'l', 1);
    }
    cr_assert_eq(strncmp(diary.begun, expected, strlen(expected)), 0, "%s", diary.begun);
    cr_assert_eq(diary.length, 130);
}

struct urgent {
    struct diary *diary;
    struct entry own, high;
    int own_count, high_count;
};

static int urgent_task(void *arg, void **ret_value)
{
    struct urgent *urgent = arg;

    (void)ret_value;
    must_write(&urgent->own, NULL, STOOK_PRIORITY_NORMAL, urgent->own_count);
    must_write(&urgent->high, NULL, STOOK_PRIORITY_HIGH, urgent->high_count);
    return 0;
}

Test(client, high_goes_before_the_worker_s_own_tasks_and_starves_none, .timeout = 60)
{
    static struct diary diary;
    static char expected[MOST_EVENTS];
    struct urgent urgent = {.own = {&diary, 'o'}, .high = {&diary, 'h'}};

    for (int high_count = 3; high_count <= 40; high_count += 37) {
        diary_begin(&diary);
        urgent.diary = &diary;
        urgent.own_count = 5;
        urgent.high_count = high_count;
        stook_future *future = must_submit(diary.executor, urgent_task, &urgent);
        gate_open(&diary.gate);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        stook_future_release(future);
        diary_end(&diary);
        cr_assert_eq(diary.length, high_count + 5);
        expected[0] = '\0';
        if (high_count == 3) {
            strcpy(expected, "hhhooooo");
        } else {
            expect(expected, 'h', MOST_PASSES);
            expect(expected, 'o', 1);
        }
        cr_assert_eq(strncmp(diary.begun, expected, strlen(expected)), 0, "%s", diary.begun);
    }
}

/* --- starvation ------------------------------------------------------------------------------- */

/* Two tasks that submit themselves for ever, one through the queue, one on the worker; and an own
 * task that is older than all of the latter. */
struct flood {
    stook_executor *executor;
    stook_client *client;
    bool begun;
    atomic_bool seen_old, seen_outside;
    atomic_int streams;
};

static bool flood_is_over(struct flood *flood)
{
    return atomic_load(&flood->seen_old) && atomic_load(&flood->seen_outside);
}

static int outside_stream_task(void *arg, void **ret_value)
{
    struct flood *flood = arg;
    const struct stook_submit_options options = share_of(flood->client, STOOK_PRIORITY_NORMAL);

    (void)ret_value;
    atomic_store(&flood->seen_outside, true);
    if (flood_is_over(flood)) {
        atomic_fetch_sub(&flood->streams, 1);
        return 0;
    }
    MUST(stook_executor_submit_with(flood->executor, &options, outside_stream_task, flood, NULL) ==
         STOOK_OK);
    return 0;
}

static int old_task(void *arg, void **ret_value)
{
    struct flood *flood = arg;

    (void)ret_value;
    atomic_store(&flood->seen_old, true);
    return 0;
}

static int own_stream_task(void *arg, void **ret_value)
{
    struct flood *flood = arg;

    (void)ret_value;
    if (!flood->begun) {
        flood->begun = true;
        MUST(stook_executor_submit(flood->executor, old_task, flood, NULL) == STOOK_OK);
    }
    if (flood_is_over(flood)) {
        atomic_fetch_sub(&flood->streams, 1);
        return 0;
    }
    MUST(stook_executor_submit(flood->executor, own_stream_task, flood, NULL) == STOOK_OK);
    return 0;
}

/* B57 */
Test(client, streams_from_outside_and_from_within_starve_nothing_together, .timeout = 60)
{
    struct flood flood = {.executor = must_create(1), .streams = 2};

    flood.client = must_have_client(flood.executor, 1);
    const struct stook_submit_options options = share_of(flood.client, STOOK_PRIORITY_NORMAL);
    cr_assert_eq(stook_executor_submit(flood.executor, own_stream_task, &flood, NULL), STOOK_OK);
    cr_assert_eq(
        stook_executor_submit_with(flood.executor, &options, outside_stream_task, &flood, NULL),
        STOOK_OK);
    SPIN_UNTIL(atomic_load(&flood.streams) == 0);
    stook_client_release(flood.client);
    stook_executor_destroy(flood.executor);
}
