/* SPDX-License-Identifier: MIT
 *
 * Threads that do everything at once with futures that hang on one another: complete, cancel, add
 * callbacks and continuations, combine, wait for several, iterate and leave off. Each callback runs
 * exactly once, each continuation at most once and as its outcome says, and what is made of several
 * futures agrees with them.
 */
#include <string.h>

#include "promise_support.h"

enum { THREADS = 4, ROOTS = 12, SLOTS = 16, PLAYS = 400, PARTS = 3 };

enum kind { ON_DONE, THEN, WHEN_ALL, WHEN_ANY, TASK };

struct round;

/* One thing that was made, and what it must have come to at the end. */
struct item {
    struct round *round;
    enum kind kind;
    atomic_int calls;
    int nested_expected;
    atomic_int nested_calls; /* of a callback that its callback adds */
    enum stook_then_mode mode;
    int code;
    unsigned acts;        /* what its callback does besides */
    stook_future *future; /* what was made; NULL: nothing */
    stook_future *parts[PARTS];
    size_t count;
};

struct player {
    struct round *round;
    uint64_t random;
    unsigned used;
    struct item items[PLAYS];
    thrd_t thread;
};

struct round {
    stook_executor *executor;
    struct promised roots[ROOTS];
    mtx_t mutex; /* of the slots */
    stook_future *slots[SLOTS];
    atomic_int completed[ROOTS];
    struct player players[THREADS];
};

static stook_future *pick(struct player *player)
{
    struct round *round = player->round;
    stook_future *future;

    MUST(mtx_lock(&round->mutex) == thrd_success);
    future = stook_future_retain(round->slots[random_below(&player->random, SLOTS)]);
    MUST(mtx_unlock(&round->mutex) == thrd_success);
    return future;
}

static void publish(struct player *player, stook_future *future)
{
    stook_future **slot = &player->round->slots[random_below(&player->random, SLOTS)];
    stook_future *before;

    MUST(mtx_lock(&player->round->mutex) == thrd_success);
    before = *slot;
    *slot = stook_future_retain(future);
    MUST(mtx_unlock(&player->round->mutex) == thrd_success);
    stook_future_release(before);
}

static void complete(struct round *round, unsigned number)
{
    const struct promised *root = &round->roots[number % ROOTS];
    const enum stook_status status =
        stook_promise_complete(root->promise, number % 3 == 0 ? (int)number + 1 : 0, NULL);

    MUST(status == STOOK_OK || status == STOOK_TOO_LATE);
    MUST(stook_future_done(root->future));
    atomic_fetch_add(&round->completed[number % ROOTS], status == STOOK_OK);
}

/* What callbacks and continuations do besides counting. */
static void act(struct item *item, stook_future *future)
{
    const unsigned number = item->acts / 8;

    switch (item->acts % 8) {
    case 0:
        complete(item->round, number);
        break;
    case 1:
        (void)stook_future_cancel(item->round->roots[number % ROOTS].future);
        break;
    case 2:
        item->nested_expected++;
        MUST(stook_future_on_done(future, count_callback, &item->nested_calls) == STOOK_OK);
        break;
    default:
        break;
    }
}

static void item_callback(stook_future *future, void *user_data)
{
    struct item *item = user_data;

    count_callback(future, &item->calls);
    act(item, future);
}

static int item_then(stook_future *before, void *arg, void **ret_value)
{
    struct item *item = arg;

    MUST(item->mode == STOOK_THEN_ALWAYS || stook_future_state(before) == STOOK_STATE_DONE);
    MUST(before == item->parts[0]);
    *ret_value = item;
    item_callback(before, item);
    return item->code;
}

/* Waits for two of its parts for a moment, in a task: its worker is lent. */
static int item_task(void *arg, void **ret_value)
{
    struct item *item = arg;
    const enum stook_status status =
        stook_wait_until(item->parts, item->count, STOOK_WAIT_ANY,
                         stook_deadline_after_ns(20000 * (int64_t)(item->acts % 4)), NULL, NULL);

    (void)ret_value;
    MUST(status == STOOK_OK || status == STOOK_TIMEOUT);
    atomic_fetch_add(&item->calls, 1);
    return item->code;
}

static void play_make(struct player *player)
{
    struct item *item = &player->items[player->used++];
    const unsigned what = random_below(&player->random, 8);
    stook_executor *executor = player->round->executor;
    enum stook_status status;

    item->round = player->round;
    item->kind = what < 2 ? ON_DONE : what < 5 ? THEN : (enum kind)(WHEN_ALL + (what - 5));
    item->mode = random_below(&player->random, 2) ? STOOK_THEN_ALWAYS : STOOK_THEN_IF_DONE;
    item->acts = random_below(&player->random, 8 * ROOTS);
    item->code = random_below(&player->random, 4) == 0 ? 1000 + (int)player->used : 0;
    item->count = item->kind <= THEN ? 1 : 1 + random_below(&player->random, PARTS);
    for (size_t i = 0; i < item->count; i++) {
        item->parts[i] = pick(player);
    }
    switch (item->kind) {
    case ON_DONE:
        status = stook_future_on_done(item->parts[0], item_callback, item);
        break;
    case THEN:
        status = stook_future_then(item->parts[0], item->mode, what == 2 ? NULL : executor,
                                   item_then, item, &item->future);
        break;
    case WHEN_ALL:
        status = stook_when_all(item->parts, item->count, &item->future);
        break;
    case WHEN_ANY:
        status = stook_when_any(item->parts, item->count, &item->future);
        break;
    default:
        status = stook_executor_submit(executor, item_task, item, &item->future);
        break;
    }
    MUST(status == STOOK_OK);
    if (item->future != NULL) {
        publish(player, item->future);
    }
}

static void play_wait(struct player *player, int64_t deadline)
{
    stook_future *futures[4];
    bool done[4];
    struct stook_wait_counts counts;
    const enum stook_wait_mode mode = (enum stook_wait_mode)random_below(&player->random, 3);
    enum stook_status status;

    for (int i = 0; i < 4; i++) {
        futures[i] = pick(player);
    }
    status = stook_wait_until(futures, 4, mode, deadline, done, &counts);
    MUST(status == STOOK_OK || status == STOOK_TIMEOUT);
    for (int i = 0; i < 4; i++) {
        MUST(!done[i] || stook_future_done(futures[i]));
    }
    MUST(counts.done + counts.not_done <= 4 && counts.done + counts.not_done > 0);
    MUST(status == STOOK_TIMEOUT ||
         (mode == STOOK_WAIT_ALL ? counts.not_done == 0 : counts.done > 0));
    release_all(futures, 4);
}

static void play_iterate(struct player *player)
{
    stook_future *futures[6];
    stook_as_completed *iterator;
    const unsigned leaves_at = random_below(&player->random, 7);
    bool seen[6] = {false};

    for (int i = 0; i < 6; i++) {
        futures[i] = pick(player);
    }
    MUST(stook_as_completed_create(futures, 6, &iterator) == STOOK_OK);
    for (unsigned i = 0; i < leaves_at; i++) {
        size_t index = 77;
        const enum stook_status status = stook_as_completed_next(
            iterator, stook_deadline_after_ns(random_below(&player->random, 20000)), &index);

        if (status != STOOK_OK) {
            MUST(status == STOOK_TIMEOUT || status == STOOK_END);
            MUST((status == STOOK_END) == (stook_as_completed_left(iterator) == 0));
            continue;
        }
        MUST(index < 6 && !seen[index] && stook_future_done(futures[index]));
        seen[index] = true;
    }
    stook_as_completed_destroy(iterator);
    release_all(futures, 6);
}

static int player_thread(void *arg)
{
    struct player *player = arg;

    while (player->used < PLAYS) {
        const unsigned play = random_below(&player->random, 64);

        if (play < 40) {
            play_make(player);
        } else if (play < 42) {
            complete(player->round, random_below(&player->random, 3 * ROOTS));
        } else if (play < 44) {
            stook_future *future = pick(player);

            MUST(stook_future_cancel(future) == STOOK_CANCEL_REQUESTED ||
                 stook_future_done(future));
            stook_future_release(future);
        } else if (play < 54) {
            play_wait(player,
                      play % 2 ? 0 : stook_deadline_after_ns(random_below(&player->random, 50000)));
        } else {
            play_iterate(player);
        }
    }
    return 0;
}

/* --- what it came to ----------------------------------------------------------------------------
 */

static void check_then(const struct item *item)
{
    const enum stook_state state = stook_future_state(item->future);
    const enum stook_state before = stook_future_state(item->parts[0]);
    void *value = NULL;

    MUST(stook_future_result(item->future, &value) == status_of(state));
    if (atomic_load(&item->calls) > 0) {
        MUST(state == (item->code ? STOOK_STATE_FAILED : STOOK_STATE_DONE));
        MUST(stook_future_code(item->future) == item->code);
        MUST(value == item);
    } else if (state == STOOK_STATE_FAILED) {
        MUST(item->mode == STOOK_THEN_IF_DONE && before == STOOK_STATE_FAILED);
        MUST(stook_future_code(item->future) == stook_future_code(item->parts[0]));
        MUST(value == NULL);
    } else {
        MUST(state == STOOK_STATE_CANCELLED);
    }
}

static void check_when_all(const struct item *item)
{
    const enum stook_state state = stook_future_state(item->future);
    enum stook_state expected = STOOK_STATE_DONE;
    int code = 0;

    for (size_t i = item->count; i-- > 0;) {
        const enum stook_state part = stook_future_state(item->parts[i]);

        if (part == STOOK_STATE_FAILED) {
            code = stook_future_code(item->parts[i]);
            expected = part;
        } else if (part == STOOK_STATE_CANCELLED && expected == STOOK_STATE_DONE) {
            expected = part;
        }
    }
    MUST(state == expected || state == STOOK_STATE_CANCELLED); /* or it was cancelled itself */
    MUST(stook_future_code(item->future) == (state == STOOK_STATE_FAILED ? code : 0));
}

static void check_when_any(const struct item *item, bool takes)
{
    const enum stook_state state = stook_future_state(item->future);
    void *winner = NULL;
    bool found = false;

    if (takes) {
        MUST(stook_future_result(item->future, &winner) == status_of(state));
        MUST((winner == NULL) == (state == STOOK_STATE_CANCELLED));
    }
    if (winner != NULL) {
        for (size_t i = 0; i < item->count; i++) {
            found |= item->parts[i] == winner;
        }
        MUST(found && stook_future_state(winner) == state);
        MUST(stook_future_code(winner) == stook_future_code(item->future));
        stook_future_release(winner);
    }
}

static void check_item(struct item *item, bool takes)
{
    const int calls = atomic_load(&item->calls);

    MUST(atomic_load(&item->nested_calls) == item->nested_expected);
    switch (item->kind) {
    case ON_DONE:
        MUST(calls == 1);
        break;
    case THEN:
        MUST(calls <= 1);
        check_then(item);
        break;
    case WHEN_ALL:
        check_when_all(item);
        break;
    case WHEN_ANY:
        check_when_any(item, takes);
        break;
    case TASK:
        MUST(calls == (stook_future_state(item->future) != STOOK_STATE_CANCELLED));
        break;
    }
    stook_future_release(item->future);
    release_all(item->parts, item->count);
}

static void run_round(struct round *round, uint64_t *random)
{
    memset(round, 0, sizeof *round);
    MUST(mtx_init(&round->mutex, mtx_plain) == thrd_success);
    round->executor = must_create(1 + random_below(random, 3));
    for (int i = 0; i < ROOTS; i++) {
        round->roots[i] = must_promise();
    }
    for (int i = 0; i < SLOTS; i++) {
        round->slots[i] = stook_future_retain(round->roots[i % ROOTS].future);
    }
    for (int i = 0; i < THREADS; i++) {
        round->players[i].round = round;
        round->players[i].random = random_next(random);
        must_start(&round->players[i].thread, player_thread, &round->players[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        thrd_join(round->players[i].thread, NULL);
    }
    for (unsigned i = 0; i < ROOTS; i++) {
        complete(round, i);
        MUST(atomic_load(&round->completed[i]) ==
             (stook_future_state(round->roots[i].future) != STOOK_STATE_CANCELLED));
    }
    stook_executor_destroy(round->executor);
    release_all(round->slots, SLOTS);
    for (int i = 0; i < THREADS; i++) {
        for (unsigned j = 0; j < PLAYS; j++) {
            check_item(&round->players[i].items[j], random_below(random, 2));
        }
    }
    for (int i = 0; i < ROOTS; i++) {
        release_promised(&round->roots[i]);
    }
    mtx_destroy(&round->mutex);
}

int main(int argc, char **argv)
{
    uint64_t random = stress_seed(argc, argv);
    const unsigned rounds = stress_scaled(150);
    static struct round round;

    for (unsigned i = 0; i < rounds; i++) {
        run_round(&round, &random);
    }
    printf("%u things made\n", rounds * THREADS * PLAYS);
    return 0;
}
