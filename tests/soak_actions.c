/* SPDX-License-Identifier: MIT
 *
 * What a player of the soak does with single futures: submits with all options, waits, takes
 * results, cancels, adds callbacks and continuations, combines, waits for sets, looks at the
 * counters.
 *
 * Tasks wait for ever only for tasks of their own; for others they wait for a while, since anything
 * else could make a true cycle.
 */
#include "soak.h"

enum { MOST_IN_SET = 8, MOST_PERIODS = 5 };

/* --- what tasks do ---------------------------------------------------------------------------- */

static void enter(struct limit *limit)
{
    if (limit) {
        const int running = atomic_fetch_add(&limit->running, 1) + 1;

        MUST(limit->most == 0 || running <= limit->most);
    }
}

static void leave(struct limit *limit)
{
    if (limit) {
        atomic_fetch_sub(&limit->running, 1);
    }
}

static void *stored_value(struct record *record)
{
    if (record->stores) {
        atomic_store(&record->was_stored, true);
    }
    return record->stores ? record : NULL;
}

/* Completes the promise of another record, which may have been cancelled. */
static void complete(struct record *promised)
{
    void *value = stored_value(promised);
    const enum stook_status status =
        stook_promise_complete(promised->promise, promised->code, value);

    if (status == STOOK_OK) {
        MUST(atomic_fetch_add(&promised->completions, 1) == 0);
    } else {
        MUST(status == STOOK_TOO_LATE); /* the value has stayed ours */
    }
}

static void run_body(struct record *record)
{
    const bool is_callback = record->kind == KIND_THEN && !record->is_counted;
    struct player player = {
        .round = record->round, .random = record->random, .depth = record->depth};

    enter(record->limit);
    if (record->completes) {
        complete(record->completes);
    }
    for (unsigned i = record->is_leaf ? 0 : 1 + random_below(&player.random, 3); i > 0; i--) {
        play(&player);
    }
    if (!is_callback && random_below(&player.random, 8) == 0) {
        stook_task_begin_blocking(); /* and leaves it open */
    }
    (void)stook_task_cancel_requested();
    leave(record->limit);
}

int soak_task(void *arg, void **ret_value)
{
    struct record *record = arg;
    const int calls = atomic_fetch_add(&record->begun, 1) + 1;

    MUST(*ret_value == NULL);
    MUST(calls - 1 == atomic_load(&record->ended)); /* never twice at a time */
    run_body(record);
    *ret_value = stored_value(record);
    atomic_fetch_add(&record->ended, 1);
    return record->kind == KIND_PERIODIC && calls < MOST_PERIODS ? 0 : record->code;
}

int soak_then(stook_future *before, void *arg, void **ret_value)
{
    const struct record *record = arg;

    MUST(stook_future_done(before));
    MUST(before == future_of(record->before));
    return soak_task(arg, ret_value);
}

/* --- submit ----------------------------------------------------------------------------------- */

/* What a submit with these options may answer but OK. */
static enum stook_status refusal_of(const struct stook_submit_options *options)
{
    if (options->when_full == STOOK_WHEN_FULL_FAIL) {
        return STOOK_FULL;
    }
    return options->full_deadline_ns != STOOK_FOREVER ? STOOK_TIMEOUT : STOOK_OK;
}

static void choose_options(struct player *player, struct stook_submit_options *options)
{
    uint64_t *random = &player->random;
    const struct round *round = player->round;

    options->priority = (enum stook_priority)random_below(random, 3);
    options->when_full = (enum stook_when_full)random_below(random, 3);
    if (random_below(random, 2)) {
        options->full_deadline_ns = soon(player);
    }
    if (random_below(random, 3) == 0) {
        options->client = round->clients[random_below(random, CLIENTS)];
    }
    if (random_below(random, 4) == 0) {
        options->token = round->tokens[random_below(random, TOKENS)];
    }
    if (random_below(random, 8) == 0) {
        options->start_ns = soon(player);
    }
}

static void set_origin(struct record *record, const struct stook_submit_options *options,
                       struct limit *limit)
{
    record->is_counted = true;
    record->limit = limit;
    record->is_leaf |= limit && limit->most > 0;
    record->may_be_cancelled = options && (options->token || options->scope);
    record->must_be_cancelled = options && options->token && stook_token_cancelled(options->token);
}

struct record *submit_one(struct player *player, const struct stook_submit_options *options,
                          struct limit *limit)
{
    struct record *record =
        new_record(player, options && options->period_ns ? KIND_PERIODIC : KIND_TASK);
    const bool is_forgotten = !options && random_below(&player->random, 4) == 0;
    stook_future *future = NULL;

    if (!record) {
        return NULL;
    }
    set_origin(record, options, limit);
    if (is_forgotten || record->kind == KIND_PERIODIC) {
        record->stores = false;
        record->has_destructor = false;
    }
    record->is_leaf |= record->kind == KIND_PERIODIC;
    stook_future **ret_future = is_forgotten ? NULL : &future;
    const enum stook_status status =
        options ? stook_executor_submit_with(player->round->executor, options, soak_task, record,
                                             ret_future)
                : stook_executor_submit(player->round->executor, soak_task, record, ret_future);
    const bool is_accepted =
        note_accepted(record, status, options ? refusal_of(options) : STOOK_OK, future);
    return is_accepted ? record : NULL;
}

static void act_submit(struct player *player)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

    choose_options(player, &options);
    if (!player->round->is_exact && random_below(&player->random, 20) == 0) {
        options.period_ns = 1 + (int64_t)random_below(&player->random, MILLISECOND);
    }
    submit_one(player, random_below(&player->random, 3) ? &options : NULL, NULL);
}

static void act_submit_many(struct player *player)
{
    enum { MOST = 16 };
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    const unsigned count = random_below(&player->random, MOST + 1);
    struct round *round = player->round;
    struct record *records[MOST];
    stook_future *futures[MOST] = {NULL};
    unsigned made = 0;

    /* The records must stand in a row: others may take some in between, and then it is fewer. */
    while (made < count && (records[made] = new_record(player, KIND_TASK)) != NULL) {
        made++;
        if (records[made - 1] != records[0] + (made - 1)) {
            made--; /* that one is never submitted */
            break;
        }
    }
    choose_options(player, &options);
    for (unsigned i = 0; i < made; i++) {
        set_origin(records[i], &options, NULL);
    }
    const enum stook_status status =
        stook_executor_submit_many(round->executor, &options, soak_task, made ? records[0] : NULL,
                                   made, sizeof *records[0], futures);
    for (unsigned i = 0; i < made; i++) {
        note_accepted(records[i], status, refusal_of(&options), futures[i]);
    }
}

/* --- one future ------------------------------------------------------------------------------- */

static void act_cancel(struct player *player)
{
    struct record *record = any_record(player);

    if (!record) {
        return;
    }
    switch (stook_future_cancel(future_of(record))) {
    case STOOK_CANCEL_DONE:
        atomic_store(&record->was_cancelled, true);
        MUST(stook_future_state(future_of(record)) == STOOK_STATE_CANCELLED);
        break;
    case STOOK_CANCEL_REQUESTED:
        break;
    case STOOK_CANCEL_TOO_LATE:
        MUST(stook_future_done(future_of(record)));
        break;
    }
}

static void act_wait(struct player *player)
{
    struct record *record = any_record(player);

    if (record) {
        const enum stook_status status = stook_future_wait_until(
            future_of(record), random_below(&player->random, 4) ? soon(player) : 0);

        MUST(status == STOOK_OK || status == STOOK_TIMEOUT ||
             (status == STOOK_DEADLOCK && player->depth > 0));
        MUST(status != STOOK_OK || stook_future_done(future_of(record)));
    }
}

static void act_result(struct player *player)
{
    struct record *record = any_record(player);
    const bool takes = random_below(&player->random, 2);
    void *value = NULL;

    if (!record || !stook_future_done(future_of(record))) {
        return;
    }
    stook_future *future = future_of(record);
    const bool is_ours = record->kind != KIND_COMBINED; /* whose value must be released */
    const enum stook_status status = stook_future_result(future, takes && is_ours ? &value : NULL);
    const enum stook_state state = stook_future_state(future);

    MUST((status == STOOK_OK) == (state == STOOK_STATE_DONE));
    MUST((status == STOOK_TASK_FAILED) == (state == STOOK_STATE_FAILED));
    MUST((status == STOOK_CANCELLED) == (state == STOOK_STATE_CANCELLED));
    MUST((stook_future_code(future) != 0) == (state == STOOK_STATE_FAILED));
    if (value) {
        MUST(value == record && atomic_load(&record->was_stored));
        atomic_store(&record->was_taken, true);
    }
}

/* Runs anywhere; may not block. */
static void on_done(stook_future *future, void *arg)
{
    struct record *record = arg;
    const unsigned calls = (unsigned)atomic_fetch_add(&record->callbacks, 1) + 1;
    struct player player = {
        .round = record->round, .random = record->random + calls, .depth = MOST_DEPTH};
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

    MUST(stook_future_done(future) && future == future_of(record));
    switch (random_below(&player.random, 4)) {
    case 0:
        options.when_full = STOOK_WHEN_FULL_FAIL;
        submit_one(&player, &options, NULL);
        break;
    case 1:
        act_cancel(&player);
        let_go(&player);
        break;
    default:
        break;
    }
}

static void act_on_done(struct player *player)
{
    struct record *record = any_record(player);

    if (record) {
        atomic_fetch_add(&record->callbacks_expected, 1);
        MUST(stook_future_on_done(future_of(record), on_done, record) == STOOK_OK);
    }
}

static void act_then(struct player *player)
{
    struct record *before = any_record(player);
    struct record *record = before ? new_record(player, KIND_THEN) : NULL;
    stook_future *future = NULL;

    if (!record) {
        return;
    }
    record->before = before;
    record->mode = random_below(&player->random, 2) ? STOOK_THEN_ALWAYS : STOOK_THEN_IF_DONE;
    record->is_counted = random_below(&player->random, 3) != 0;
    record->is_leaf |= !record->is_counted; /* a callback */
    const enum stook_status status = stook_future_then(
        future_of(before), record->mode, record->is_counted ? player->round->executor : NULL,
        soak_then, record, &future);
    note_accepted(record, status, STOOK_OK, future);
}

/* --- several futures -------------------------------------------------------------------------- */

/* Up to MOST_IN_SET futures, some of them twice. */
static unsigned choose_set(struct player *player, stook_future *futures[MOST_IN_SET])
{
    const unsigned wanted = random_below(&player->random, MOST_IN_SET + 1);
    unsigned count = 0;

    for (unsigned i = 0; i < wanted; i++) {
        struct record *record = any_record(player);

        if (record) {
            futures[count++] = future_of(record);
        }
    }
    if (count > 2 && random_below(&player->random, 4) == 0) {
        futures[count - 1] = futures[0];
    }
    return count;
}

static unsigned count_different(stook_future *const futures[], unsigned count)
{
    unsigned different = 0;

    for (unsigned i = 0; i < count; i++) {
        unsigned first = 0;

        while (futures[first] != futures[i]) {
            first++;
        }
        different += first == i;
    }
    return different;
}

static void act_combine(struct player *player)
{
    stook_future *futures[MOST_IN_SET];
    const unsigned count = choose_set(player, futures);
    const bool is_any = count > 0 && random_below(&player->random, 2);
    struct record *record = new_record(player, KIND_COMBINED);
    stook_future *future = NULL;
    void *winner = NULL;

    if (!record) {
        return;
    }
    record->stores = record->has_destructor = false; /* winners have their own */
    const enum stook_status status =
        is_any ? stook_when_any(futures, count, &future) : stook_when_all(futures, count, &future);
    note_accepted(record, status, STOOK_OK, future);
    if (!is_any || !stook_future_done(future)) {
        return;
    }
    const enum stook_status outcome = stook_future_result(future, &winner);
    if (outcome != STOOK_CANCELLED) {
        MUST(outcome == STOOK_OK || outcome == STOOK_TASK_FAILED);
        MUST(stook_future_done(winner));
        stook_future_release(winner);
    }
}

static void act_wait_set(struct player *player)
{
    const enum stook_wait_mode mode = (enum stook_wait_mode)random_below(&player->random, 3);
    stook_future *futures[MOST_IN_SET];
    bool done[MOST_IN_SET] = {false};
    struct stook_wait_counts counts = {0, 0};
    const unsigned count = choose_set(player, futures);
    const enum stook_status status =
        stook_wait_until(futures, count, mode, soon(player), done, &counts);
    size_t not_done = 0;

    if (status == STOOK_DEADLOCK) {
        MUST(player->depth > 0);
        return;
    }
    MUST(status == STOOK_OK || status == STOOK_TIMEOUT);
    MUST(counts.done + counts.not_done == count_different(futures, count));
    for (unsigned i = 0; i < count; i++) {
        MUST(!done[i] || stook_future_done(futures[i]));
        not_done += !done[i];
    }
    MUST((counts.not_done == 0) == (not_done == 0));
    MUST(status != STOOK_OK || mode != STOOK_WAIT_ALL || not_done == 0);
    MUST(status != STOOK_OK || mode != STOOK_WAIT_ANY || not_done < count || count == 0);
}

static void act_as_completed(struct player *player)
{
    stook_future *futures[MOST_IN_SET];
    const unsigned count = choose_set(player, futures);
    stook_as_completed *iterator = NULL;
    enum stook_status status = STOOK_OK;
    bool was_yielded[MOST_IN_SET] = {false};
    unsigned yielded = 0;

    MUST(stook_as_completed_create(futures, count, &iterator) == STOOK_OK);
    while (status == STOOK_OK && random_below(&player->random, 8) != 0) {
        size_t index = count;

        status = stook_as_completed_next(iterator, soon(player), &index);
        if (status == STOOK_OK) {
            MUST(index < count && !was_yielded[index] && stook_future_done(futures[index]));
            was_yielded[index] = true;
            yielded++;
        }
    }
    MUST(status == STOOK_OK || status == STOOK_TIMEOUT || status == STOOK_END ||
         status == STOOK_DEADLOCK); /* in a callback, or its own is the last */
    MUST(stook_as_completed_left(iterator) == count_different(futures, count) - yielded);
    MUST(status != STOOK_END || stook_as_completed_left(iterator) == 0);
    stook_as_completed_destroy(iterator);
}

/* --- counters --------------------------------------------------------------------------------- */

void check_stats(stook_executor *executor, struct stook_stats *ret_stats)
{
    enum { MOST = 64 };
    struct stook_worker_stats workers[MOST];

    MUST(stook_executor_stats(executor, ret_stats, workers, MOST) == STOOK_OK);
    MUST(ret_stats->workers <= MOST);
    struct stook_worker_stats sum = ret_stats->elsewhere;
    for (size_t i = 0; i < ret_stats->workers; i++) {
        sum.begun += workers[i].begun;
        sum.stolen += workers[i].stolen;
        sum.parked += workers[i].parked;
        sum.queue_depth += workers[i].queue_depth;
    }
    MUST(ret_stats->submitted == ret_stats->begun + ret_stats->cancelled + ret_stats->pending);
    MUST(ret_stats->begun == ret_stats->ended + ret_stats->running);
    MUST(sum.begun == ret_stats->begun);
    MUST(sum.stolen == ret_stats->stolen);
    MUST(sum.parked == ret_stats->parked);
    MUST(sum.queue_depth == ret_stats->queue_depth);
}

static void act_stats(struct player *player)
{
    struct stook_stats stats = STOOK_STATS_INIT;

    check_stats(player->round->executor, &stats);
}

/* --- the dice --------------------------------------------------------------------------------- */

static const struct {
    void (*act)(struct player *player);
    unsigned weight;
} actions[] = {
    {act_submit, 20},  {act_submit_many, 4},  {act_cancel, 4},   {act_wait, 8},
    {act_result, 8},   {act_on_done, 6},      {act_then, 6},     {act_combine, 4},
    {act_wait_set, 5}, {act_as_completed, 4}, {act_stats, 1},    {act_family, 6},
    {act_scope, 4},    {act_token, 4},        {act_promise, 4},  {act_stream, 2},
    {act_map, 2},      {act_region, 3},       {act_blocking, 2}, {act_resize, 1},
};

void play(struct player *player)
{
    enum { ACTION_COUNT = sizeof actions / sizeof actions[0] };
    unsigned sum = 0;

    for (unsigned i = 0; i < ACTION_COUNT; i++) {
        sum += actions[i].weight;
    }
    unsigned number = random_below(&player->random, sum);
    unsigned i = 0;
    while (number >= actions[i].weight) {
        number -= actions[i++].weight;
    }
    actions[i].act(player);
    let_go(player);
}
