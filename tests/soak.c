/* SPDX-License-Identifier: MIT
 *
 * A soak: random mixes of everything in the public headers, for as long as one likes.
 *
 *   soak SECONDS WORKERS [SEED]        WORKERS 0: a random number
 *
 * Each round makes an executor, lets a few threads and the tasks themselves do random things with
 * it, shuts it down, at a random moment and in a random mode, and then judges: every future is
 * terminal, every function was called once or its future is cancelled, every callback ran once,
 * every value had one owner, all memory has come back, and the executor counted as we did.
 */
#include "soak.h"
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { ACTIONS = 150, ROUND_SECONDS = 300 };

static uint64_t round_seed; /* for tell() */

static void tell(int signal_number)
{
    fprintf(stderr, "%s in the round with seed %llu\n",
            signal_number == SIGALRM ? "no end" : "aborted", (unsigned long long)round_seed);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* --- memory: all that is allocated is given back, with its size ---------------------------------
 */

static atomic_long living;

struct block {
    _Alignas(max_align_t) size_t size;
};

static void *soak_allocate(void *user_data, size_t size)
{
    struct block *block = malloc(sizeof *block + size);

    (void)user_data;
    MUST(block != NULL && size > 0);
    block->size = size;
    atomic_fetch_add(&living, 1);
    return block + 1;
}

static void soak_deallocate(void *user_data, void *memory, size_t size)
{
    struct block *block = (struct block *)memory - 1;

    (void)user_data;
    MUST(block->size == size);
    atomic_fetch_sub(&living, 1);
    free(block);
}

/* --- records ---------------------------------------------------------------------------------- */

struct record *new_record(struct player *player, enum kind kind)
{
    struct round *round = player->round;
    const unsigned index = atomic_fetch_add(&round->used, 1);

    if (index >= MOST_RECORDS) {
        return NULL;
    }
    struct record *record = &round->records[index];
    record->round = round;
    record->kind = kind;
    record->random = random_next(&player->random);
    record->depth = player->depth + 1;
    record->code = random_below(&player->random, 6) ? 0 : 1 + (int)index;
    record->is_leaf = random_below(&player->random, 3) != 0 || record->depth >= MOST_DEPTH;
    record->stores = random_below(&player->random, 2);
    record->has_destructor = record->stores && random_below(&player->random, 4) != 0;
    return record;
}

struct record *any_record(struct player *player)
{
    struct round *round = player->round;
    unsigned used = atomic_load(&round->used);

    used = used < MOST_RECORDS ? used : MOST_RECORDS;
    for (int tries = 0; tries < 4 && used > 0; tries++) {
        /* Mostly a late one, which may still be under way. */
        const unsigned back = random_below(
            &player->random, random_below(&player->random, 4) && used > 20 ? 20 : used);
        struct record *record = &round->records[used - 1 - back];

        if (future_of(record)) {
            hold(player, record);
            return record;
        }
    }
    return NULL;
}

stook_future *future_of(struct record *record)
{
    return atomic_load(&record->future);
}

void hold(struct player *player, struct record *record)
{
    MUST(player->held_count < MOST_HELD);
    player->held[player->held_count++] = stook_future_retain(future_of(record));
}

void let_go(struct player *player)
{
    while (player->held_count > 0) {
        stook_future_release(player->held[--player->held_count]);
    }
}

static void destroy_value(void *value)
{
    struct record *record = value;

    MUST(atomic_load(&record->was_stored));
    atomic_fetch_add(&record->destroyed, 1);
}

void publish(struct record *record, stook_future *future)
{
    if (record->has_destructor) {
        stook_future_set_destructor(future, destroy_value);
    }
    atomic_store(&record->future, future);
}

bool note_accepted(struct record *record, enum stook_status status, enum stook_status refusal,
                   stook_future *future)
{
    if (status != STOOK_OK) {
        MUST(status == refusal ||
             (status == STOOK_DEADLOCK && refusal != STOOK_FULL) || /* in a callback */
             (status == STOOK_SHUTDOWN && atomic_load(&record->round->is_closing)));
        return false;
    }
    record->is_accepted = true;
    if (future) {
        publish(record, future);
    }
    return true;
}

bool must_be_open(const struct player *player, enum stook_status status)
{
    MUST(status == STOOK_OK ||
         (status == STOOK_SHUTDOWN && atomic_load(&player->round->is_closing)));
    return status == STOOK_OK;
}

int64_t soon(struct player *player)
{
    return stook_deadline_after_ns((int64_t)random_below(&player->random, MILLISECOND));
}

/* --- judgement -------------------------------------------------------------------------------- */

/* What became of a task, or of a continuation that was to be called. */
static void check_called(const struct record *record, enum stook_state state)
{
    const struct round *round = record->round;
    const bool was_called = atomic_load(&record->begun) > 0;

    MUST(was_called == (state != STOOK_STATE_CANCELLED));
    MUST(state != STOOK_STATE_DONE || record->code == 0);
    if (state == STOOK_STATE_CANCELLED) {
        MUST(round->has_cancelled || record->may_be_cancelled ||
             atomic_load(&record->was_cancelled));
    }
}

static void check_then(struct record *record, stook_future *future)
{
    stook_future *before = future_of(record->before);
    const enum stook_state state = stook_future_state(future);
    const bool is_passed_on =
        record->mode == STOOK_THEN_IF_DONE && stook_future_state(before) != STOOK_STATE_DONE;

    MUST(atomic_load(&record->begun) <= 1);
    if (!is_passed_on) {
        check_called(record, state);
        return;
    }
    MUST(atomic_load(&record->begun) == 0);
    MUST(state == STOOK_STATE_CANCELLED || state == stook_future_state(before));
    MUST(state == STOOK_STATE_CANCELLED || stook_future_code(future) == stook_future_code(before));
}

static void check_future(struct record *record, stook_future *future)
{
    const enum stook_state state = stook_future_state(future);

    MUST(stook_future_done(future));
    MUST(!atomic_load(&record->was_cancelled) || state == STOOK_STATE_CANCELLED);
    MUST(!record->must_be_cancelled || state == STOOK_STATE_CANCELLED);
    switch (record->kind) {
    case KIND_TASK:
        check_called(record, state);
        MUST(state != STOOK_STATE_FAILED || stook_future_code(future) == record->code);
        break;
    case KIND_PERIODIC:
        MUST(state == STOOK_STATE_CANCELLED || state == STOOK_STATE_FAILED);
        break;
    case KIND_THEN:
        check_then(record, future);
        break;
    case KIND_COMBINED:
        break;
    case KIND_PROMISED:
        MUST(atomic_load(&record->completions) == (state != STOOK_STATE_CANCELLED));
        MUST(state == STOOK_STATE_CANCELLED || stook_future_code(future) == record->code);
        break;
    }
}

static void check_record(struct record *record)
{
    stook_future *future = future_of(record);
    const int begun = atomic_load(&record->begun);

    MUST(begun == atomic_load(&record->ended));
    MUST(begun <= 1 || record->kind == KIND_PERIODIC);
    MUST(begun == 0 || record->is_accepted);
    MUST(atomic_load(&record->callbacks) == atomic_load(&record->callbacks_expected));
    MUST(future == NULL || record->is_accepted);
    if (future) {
        check_future(record, future);
    }
}

static void check_records(struct round *round, unsigned used)
{
    struct stook_stats stats = STOOK_STATS_INIT;
    uint64_t submitted = 0;
    uint64_t begun = 0;

    for (unsigned i = 0; i < used; i++) {
        struct record *record = &round->records[i];

        check_record(record);
        submitted += record->is_counted && record->is_accepted;
        begun += record->is_counted && atomic_load(&record->begun) > 0;
    }
    check_stats(round->executor, &stats);
    MUST(stats.pending == 0 && stats.running == 0 && stats.threads == 0);
    if (round->is_exact) {
        MUST(stats.submitted == submitted);
        MUST(stats.begun == begun);
    }
}

/* With the last references go the values. */
static void release_records(struct round *round, unsigned used)
{
    for (unsigned i = 0; i < used; i++) {
        stook_future_release(future_of(&round->records[i]));
    }
    for (unsigned i = 0; i < used; i++) {
        const struct record *record = &round->records[i];
        const bool is_owed =
            record->has_destructor && atomic_load(&record->was_stored) &&
            !atomic_load(&record->was_taken) &&
            (record->kind != KIND_PROMISED || atomic_load(&record->completions) > 0);

        MUST(atomic_load(&record->destroyed) == is_owed);
    }
}

/* --- a round ---------------------------------------------------------------------------------- */

static int actor_thread(void *arg)
{
    struct player *player = arg;

    for (int i = 0; i < ACTIONS && atomic_load(&player->round->used) < MOST_RECORDS; i++) {
        play(player);
    }
    end_promises(player);
    atomic_fetch_sub(&player->round->actors, 1);
    return 0;
}

static int count_init(void *user_data, unsigned number)
{
    (void)number;
    atomic_fetch_add(&((struct round *)user_data)->inits, 1);
    return 0;
}

static void count_exit(void *user_data, unsigned number)
{
    (void)number;
    atomic_fetch_add(&((struct round *)user_data)->exits, 1);
}

/* Waits for a task further down the same stack are part of the game. */
static void hear(void *user_data, const char *text)
{
    (void)user_data;
    (void)text;
}

static void open_round(struct round *round, unsigned workers, uint64_t *random)
{
    const struct stook_allocator allocator = {soak_allocate, soak_deallocate, NULL};
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;

    options.workers = workers ? workers : 1 + random_below(random, 5);
    options.max_workers = options.workers + random_below(random, 4);
    options.max_extra_threads = random_below(random, 3) ? 0 : 8;
    options.keep_alive_ns = random_below(random, 2) ? 0 : MILLISECOND;
    options.queue_limit = random_below(random, 3) ? 0 : 1 + random_below(random, 20);
    options.allocator = &allocator;
    options.thread_init = count_init;
    options.thread_exit = count_exit;
    options.thread_data = round;
    options.report = hear;
    MUST(stook_executor_create(&options, &round->executor) == STOOK_OK);
    round->max_workers = options.max_workers;
    round->is_exact = random_below(random, 2);
    for (unsigned i = 0; i < CLIENTS; i++) {
        MUST(stook_client_create(round->executor, 1 + random_below(random, 10),
                                 random_below(random, 2) ? 0 : 1 + random_below(random, 20),
                                 &round->clients[i]) == STOOK_OK);
    }
    for (unsigned i = 0; i < TOKENS; i++) {
        const int64_t deadline_ns =
            random_below(random, 3)
                ? STOOK_FOREVER
                : stook_deadline_after_ns(random_below(random, 20) * MILLISECOND);

        MUST(stook_token_create(
                 round->executor, i == 0 ? NULL : round->tokens[random_below(random, i)],
                 i == 0 ? STOOK_FOREVER : deadline_ns, &round->tokens[i]) == STOOK_OK);
    }
}

static void close_round(struct round *round, uint64_t *random)
{
    const unsigned start_at = random_below(random, 2 * MOST_RECORDS);
    enum stook_shutdown_mode mode = random_below(random, 2) ? STOOK_DRAIN : STOOK_CANCEL_PENDING;

    SPIN_UNTIL(atomic_load(&round->used) >= start_at || atomic_load(&round->actors) == 0);
    atomic_store(&round->is_closing, true);
    if (random_below(random, 3) == 0) {
        const enum stook_status status = stook_executor_shutdown(
            round->executor, mode, stook_deadline_after_ns(random_below(random, MILLISECOND)));

        MUST(status == STOOK_OK || status == STOOK_TIMEOUT);
        round->has_cancelled = mode == STOOK_CANCEL_PENDING;
        mode = random_below(random, 2) ? STOOK_DRAIN : STOOK_CANCEL_PENDING;
    }
    round->has_cancelled |= mode == STOOK_CANCEL_PENDING;
    MUST(stook_executor_shutdown(round->executor, mode, STOOK_FOREVER) == STOOK_OK);
}

static void run_round(unsigned workers, uint64_t *random)
{
    struct round *round = calloc(1, sizeof *round);
    struct player players[ACTORS];
    thrd_t threads[ACTORS];

    MUST(round != NULL);
    open_round(round, workers, random);
    atomic_store(&round->actors, ACTORS);
    for (int i = 0; i < ACTORS; i++) {
        players[i] = (struct player){.round = round, .random = random_next(random)};
        must_start(&threads[i], actor_thread, &players[i]);
    }
    close_round(round, random);
    for (int i = 0; i < ACTORS; i++) {
        thrd_join(threads[i], NULL);
    }
    MUST(atomic_load(&round->inits) == atomic_load(&round->exits));
    unsigned used = atomic_load(&round->used);
    used = used < MOST_RECORDS ? used : MOST_RECORDS;
    check_records(round, used);
    for (int i = 0; i < CLIENTS; i++) {
        stook_client_release(round->clients[i]);
    }
    for (int i = 0; i < TOKENS; i++) {
        stook_token_release(round->tokens[i]);
    }
    const bool is_late = random_below(random, 2); /* futures may outlive their executor */
    if (!is_late) {
        release_records(round, used);
    }
    stook_executor_destroy(round->executor);
    if (is_late) {
        release_records(round, used);
    }
    MUST(atomic_load(&living) == 0);
    free(round);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: soak SECONDS WORKERS [SEED]\n", stderr);
        return 2;
    }
    uint64_t random = stress_seed(argc - 2, argv + 2);
    const int64_t end_ns = stook_deadline_after_ns(strtol(argv[1], NULL, 10) * SECOND);
    const unsigned workers = (unsigned)strtoul(argv[2], NULL, 10);
    unsigned rounds = 0;

    signal(SIGABRT, tell);
    signal(SIGALRM, tell);
    do {
        round_seed = random; /* alone, it is a whole soak's first round */
        alarm(ROUND_SECONDS);
        run_round(workers, &random);
        rounds++;
    } while (stook_now_ns() < end_ns);
    printf("%u rounds\n", rounds);
    return 0;
}
