/* SPDX-License-Identifier: MIT
 *
 * Threads that do everything with futures at random: submit, cancel, wait with and without
 * deadlines, take results, hand futures to each other and release them. Every task runs at most
 * once, and exactly once unless it was cancelled; a terminal state never changes; what the task
 * wrote is seen; a value that nobody took is destroyed exactly once.
 */
#include <string.h>

#include "support.h"

enum { THREADS = 3, SLOTS = 8, SHARED = 8, ITEMS = 1500 };

struct item {
    stook_executor *executor;
    int code;
    int spins;
    bool stores, nests, stops;
    int written; /* plain: by the task, read after its future was seen terminal */
    atomic_int runs, child_runs, destroyed;
    atomic_int terminal; /* the first terminal state that was seen; 0: none yet */
    atomic_bool cancelled, taken;
};

struct slot {
    struct item *item;
    stook_future *future;
};

struct player {
    stook_executor *executor;
    struct item *items;
    unsigned used;
    uint64_t random;
    struct slot slots[SLOTS];
    thrd_t thread;
};

static struct slot shared[SHARED];
static mtx_t shared_mutex;

/* Submits a child, may cancel it, and waits for it. */
static void nest(struct item *item)
{
    stook_future *child = NULL;
    const enum stook_status status =
        stook_executor_submit(item->executor, count_task, &item->child_runs, &child);
    bool cancelled;

    if (status == STOOK_SHUTDOWN) {
        return;
    }
    MUST(status == STOOK_OK);
    cancelled = item->spins % 4 == 0 && stook_future_cancel(child) == STOOK_CANCEL_DONE;
    MUST(stook_future_result(child, NULL) == (cancelled ? STOOK_CANCELLED : STOOK_OK));
    MUST(atomic_load(&item->child_runs) == (cancelled ? 0 : 1));
    stook_future_release(child);
}

static int item_task(void *arg, void **ret_value)
{
    struct item *item = arg;

    MUST(*ret_value == NULL);
    atomic_fetch_add(&item->runs, 1);
    for (int i = 0; i < item->spins; i++) {
        thrd_yield();
        if (item->stops && stook_task_cancel_requested()) {
            break;
        }
    }
    if (item->nests) {
        nest(item);
    }
    item->written = item->code + 1;
    if (item->stores) {
        *ret_value = item;
    }
    return item->code;
}

static void destroy_item(void *value)
{
    struct item *item = value;

    atomic_fetch_add(&item->destroyed, 1);
}

static void check_terminal(const struct slot *slot)
{
    struct item *item = slot->item;
    const enum stook_state state = stook_future_state(slot->future);
    int before = 0;

    MUST(state == STOOK_STATE_DONE || state == STOOK_STATE_FAILED ||
         state == STOOK_STATE_CANCELLED);
    MUST(stook_future_done(slot->future));
    if (!atomic_compare_exchange_strong(&item->terminal, &before, (int)state)) {
        MUST(before == (int)state);
    }
    if (state == STOOK_STATE_CANCELLED) {
        MUST(atomic_load(&item->runs) == 0);
        MUST(stook_future_code(slot->future) == 0);
    } else {
        MUST(atomic_load(&item->runs) == 1);
        MUST(!atomic_load(&item->cancelled));
        MUST(item->written == item->code + 1);
        MUST((state == STOOK_STATE_FAILED) == (item->code != 0));
        MUST(stook_future_code(slot->future) == item->code);
    }
}

static void check_result(const struct slot *slot, bool take)
{
    struct item *item = slot->item;
    void *value = NULL;
    const enum stook_status status = stook_future_result(slot->future, take ? &value : NULL);

    if (status == STOOK_CANCELLED) {
        MUST(value == NULL);
    } else {
        MUST(status == (item->code ? STOOK_TASK_FAILED : STOOK_OK));
        MUST(value == (take && item->stores ? item : NULL));
        if (take) {
            atomic_store(&item->taken, true);
        }
    }
    check_terminal(slot);
}

static void check_wait(const struct slot *slot, int64_t deadline)
{
    const enum stook_status status = stook_future_wait_until(slot->future, deadline);

    MUST(status == STOOK_OK || (status == STOOK_TIMEOUT && stook_now_ns() >= deadline));
    if (status == STOOK_OK) {
        check_terminal(slot);
    }
}

static void check_cancel(const struct slot *slot)
{
    const enum stook_cancel_outcome outcome = stook_future_cancel(slot->future);

    if (outcome == STOOK_CANCEL_DONE) {
        atomic_store(&slot->item->cancelled, true);
        check_terminal(slot);
    } else if (outcome == STOOK_CANCEL_TOO_LATE) {
        check_terminal(slot);
    } else {
        MUST(outcome == STOOK_CANCEL_REQUESTED);
    }
}

static void play_submit(struct player *player, struct slot *slot)
{
    struct item *item = &player->items[player->used++];

    stook_future_release(slot->future);
    item->executor = player->executor;
    item->code = random_below(&player->random, 4) == 0 ? (int)player->used : 0;
    item->spins = (int)random_below(&player->random, 12);
    item->stores = random_below(&player->random, 4) != 0;
    item->nests = random_below(&player->random, 6) == 0;
    item->stops = random_below(&player->random, 2) == 0;
    slot->item = item;
    slot->future = must_submit(player->executor, item_task, item);
    stook_future_set_destructor(slot->future, destroy_item);
}

/* Puts another reference where the other threads find it, and drops what was there; or gets one. */
static void play_share(struct player *player, struct slot *slot)
{
    struct slot *place = &shared[random_below(&player->random, SHARED)];
    struct slot dropped = {NULL, NULL};
    const bool give = slot->future != NULL && random_below(&player->random, 2);

    MUST(mtx_lock(&shared_mutex) == thrd_success);
    if (give) {
        dropped = *place;
        *place = (struct slot){slot->item, stook_future_retain(slot->future)};
    } else if (place->future != NULL) {
        dropped = *slot;
        *slot = (struct slot){place->item, stook_future_retain(place->future)};
    }
    MUST(mtx_unlock(&shared_mutex) == thrd_success);
    stook_future_release(dropped.future);
}

static int player_thread(void *arg)
{
    struct player *player = arg;

    while (player->used < ITEMS) {
        struct slot *slot = &player->slots[random_below(&player->random, SLOTS)];
        const unsigned play = random_below(&player->random, 16);

        if (slot->future == NULL || play < 5) {
            play_submit(player, slot);
        } else if (play < 7) {
            play_share(player, slot);
        } else if (play < 9) {
            check_cancel(slot);
        } else if (play < 11) {
            check_wait(slot, stook_deadline_after_ns(random_below(&player->random, 50000)));
        } else if (play < 12) {
            check_wait(slot, 0);
        } else if (play < 13) {
            check_wait(slot, STOOK_FOREVER);
        } else if (play < 15) {
            check_result(slot, play == 14);
        } else {
            stook_future_release(slot->future);
            slot->future = NULL;
        }
    }
    return 0;
}

/* After the executor and all references are gone. */
static void check_item(const struct item *item)
{
    const int runs = atomic_load(&item->runs);
    const bool left = runs == 1 && item->stores && !atomic_load(&item->taken);

    MUST(runs == (atomic_load(&item->cancelled) ? 0 : 1));
    MUST(atomic_load(&item->destroyed) == left);
}

static void release_slots(struct slot slots[], unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        stook_future_release(slots[i].future);
        slots[i].future = NULL;
    }
}

static void run_round(uint64_t *random)
{
    static struct player players[THREADS];
    stook_executor *executor = must_create(1 + random_below(random, 4));
    const bool futures_outlive = random_below(random, 2);

    memset(players, 0, sizeof players);
    for (int i = 0; i < THREADS; i++) {
        players[i].executor = executor;
        players[i].random = random_next(random);
        players[i].items = calloc(ITEMS, sizeof *players[i].items);
        MUST(players[i].items != NULL);
        must_start(&players[i].thread, player_thread, &players[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        thrd_join(players[i].thread, NULL);
    }
    if (futures_outlive) {
        stook_executor_destroy(executor);
    }
    release_slots(shared, SHARED);
    for (int i = 0; i < THREADS; i++) {
        release_slots(players[i].slots, SLOTS);
    }
    if (!futures_outlive) {
        stook_executor_destroy(executor);
    }
    for (int i = 0; i < THREADS; i++) {
        for (unsigned j = 0; j < ITEMS; j++) {
            check_item(&players[i].items[j]);
        }
        free(players[i].items);
    }
}

int main(int argc, char **argv)
{
    uint64_t random = stress_seed(argc, argv);
    const unsigned rounds = stress_scaled(60);

    MUST(mtx_init(&shared_mutex, mtx_plain) == thrd_success);
    for (unsigned round = 0; round < rounds; round++) {
        run_round(&random);
    }
    mtx_destroy(&shared_mutex);
    printf("%u tasks submitted\n", rounds * THREADS * ITEMS);
    return 0;
}
