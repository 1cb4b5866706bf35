/* SPDX-License-Identifier: MIT
 *
 * What a player of the soak does with more than single futures: families of tasks, scopes, tokens,
 * promises, streams, maps, regions of forks; and what it does to the workers.
 */
#include "soak.h"

/* --- tasks that wait for ever for their children ------------------------------------------------
 */

/* A future that is the player's alone; NULL: it was refused, or records ran out. */
static struct record *submit_unseen(struct player *player, stook_future **ret_future)
{
    struct record *record = new_record(player, KIND_TASK);

    if (!record) {
        return NULL;
    }
    record->is_counted = true;
    const enum stook_status status =
        stook_executor_submit(player->round->executor, soak_task, record, ret_future);
    return note_accepted(record, status, STOOK_OK, NULL) ? record : NULL;
}

void act_family(struct player *player)
{
    enum { MOST = 6 };
    const unsigned count = 1 + random_below(&player->random, MOST);
    const bool all_at_once = random_below(&player->random, 2);
    struct record *unseen[MOST] = {NULL};
    stook_future *futures[MOST];
    unsigned born = 0;

    for (unsigned i = 0; i < count; i++) {
        const bool is_seen = random_below(&player->random, 2);
        struct record *record =
            is_seen ? submit_one(player, NULL, NULL) : submit_unseen(player, &futures[born]);

        if (record && is_seen && future_of(record)) {
            hold(player, record);
            futures[born++] = future_of(record);
        } else if (record && !is_seen) {
            unseen[born++] = record;
        }
    }
    if (all_at_once) {
        MUST(stook_wait_until(futures, born, STOOK_WAIT_ALL, STOOK_FOREVER, NULL, NULL) ==
             STOOK_OK);
    }
    for (unsigned i = 0; i < born; i++) {
        const unsigned k = all_at_once ? i : born - 1 - i;

        MUST(stook_future_wait_until(futures[k], STOOK_FOREVER) == STOOK_OK);
    }
    for (unsigned i = 0; i < born; i++) {
        if (unseen[i]) {
            publish(unseen[i], futures[i]);
        }
    }
}

/* --- scopes ----------------------------------------------------------------------------------- */

static void check_outcome(const struct stook_scope_outcome *outcome, enum stook_status status,
                          size_t accepted)
{
    MUST(outcome->submitted == accepted);
    MUST(outcome->done + outcome->failed + outcome->cancelled == accepted);
    MUST((status == STOOK_TASK_FAILED) == (outcome->failed > 0));
    MUST((status == STOOK_CANCELLED) == (outcome->failed == 0 && outcome->cancelled > 0));
    MUST((status == STOOK_OK) == (outcome->done == accepted));
    MUST((outcome->first_code != 0) == (outcome->failed > 0));
}

/* Nobody else submits in it, so its outcome must be ours. */
void act_scope(struct player *player)
{
    uint64_t *random = &player->random;
    struct stook_scope_options scope_options = STOOK_SCOPE_OPTIONS_INIT;
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    struct stook_scope_outcome outcome;
    struct limit limit = {.most = random_below(random, 2) ? 0 : 1 + (int)random_below(random, 3)};
    stook_scope *scope = NULL;
    size_t accepted = 0;

    scope_options.limit = (size_t)limit.most;
    scope_options.keep_going = random_below(random, 2);
    if (random_below(random, 3) == 0) {
        scope_options.parent = player->round->tokens[random_below(random, TOKENS)];
    }
    if (!must_be_open(player,
                      stook_scope_create(player->round->executor, &scope_options, &scope))) {
        return;
    }
    options.scope = scope;
    options.priority = (enum stook_priority)random_below(random, 3);
    for (unsigned i = random_below(random, 12); i > 0; i--) {
        options.start_ns = random_below(random, 8) ? 0 : soon(player);
        accepted += submit_one(player, &options, &limit) != NULL;
    }
    if (random_below(random, 4) == 0) {
        (void)stook_scope_cancel(scope);
        MUST(!stook_scope_cancel(scope)); /* once is enough */
    }
    enum stook_status status = stook_scope_wait_until(scope, soon(player), NULL);
    if (random_below(random, 2)) {
        status = stook_scope_wait_until(scope, STOOK_FOREVER, &outcome);
        check_outcome(&outcome, status, accepted);
    }
    MUST(status == STOOK_OK || status == STOOK_TASK_FAILED || status == STOOK_CANCELLED ||
         status == STOOK_TIMEOUT);
    stook_scope_destroy(scope);
}

/* --- tokens ----------------------------------------------------------------------------------- */

void act_token(struct player *player)
{
    uint64_t *random = &player->random;
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    stook_token *parent = player->round->tokens[random_below(random, TOKENS)];
    const int64_t deadline_ns = random_below(random, 2) ? STOOK_FOREVER : soon(player);
    stook_token *token = NULL;

    if (random_below(random, 8) == 0) { /* one that all use; the root seldom */
        stook_token *shared = player->round->tokens[random_below(random, 8) ? TOKENS - 1 : 0];

        (void)stook_token_cancel(shared);
        MUST(stook_token_cancelled(shared));
    }
    if (!must_be_open(player,
                      stook_token_create(player->round->executor, parent, deadline_ns, &token))) {
        return;
    }
    options.token = token;
    for (unsigned i = random_below(random, 5); i > 0; i--) {
        options.start_ns = random_below(random, 4) ? 0 : soon(player);
        submit_one(player, &options, NULL);
    }
    if (random_below(random, 2)) {
        (void)stook_token_cancel(token);
        MUST(!stook_token_cancel(token));
        MUST(stook_token_cancelled(token));
        submit_one(player, &options, NULL);
    }
    stook_token_release(token); /* its tasks keep it */
}

/* --- promises --------------------------------------------------------------------------------- */

/* Makes one, and a task that completes it. The promise is given up when that task has ended, by the
 * player, who must therefore be a thread outside. */
void act_promise(struct player *player)
{
    const struct stook_allocator *none = NULL;
    struct record *promised = player->depth == 0 ? new_record(player, KIND_PROMISED) : NULL;
    struct record *completer = promised ? new_record(player, KIND_TASK) : NULL;
    stook_future *future = NULL;

    if (!completer) {
        return;
    }
    const enum stook_status made = stook_promise_create(none, &promised->promise, &future);
    note_accepted(promised, made, STOOK_OK, future);
    completer->completes = promised;
    completer->is_counted = true;
    completer->is_leaf = true;
    future = NULL;
    const enum stook_status status =
        stook_executor_submit(player->round->executor, soak_task, completer, &future);
    if (note_accepted(completer, status, STOOK_OK, future)) {
        completer->older_completer = player->completer;
        player->completer = completer;
    } else {
        stook_promise_release(promised->promise);
    }
}

void end_promises(struct player *player)
{
    for (struct record *record = player->completer; record; record = record->older_completer) {
        hold(player, record);
        MUST(stook_future_wait_until(future_of(record), STOOK_FOREVER) == STOOK_OK);
        let_go(player);
        stook_promise_release(record->completes->promise);
    }
}

/* --- streams and maps ------------------------------------------------------------------------- */

struct stream_play {
    int items;
    bool is_open; /* the input said no yet */
    atomic_int calls, stored, destroyed;
};

static bool give_item(void *user_data, void **ret_item)
{
    struct stream_play *play = user_data;

    MUST(play->is_open);
    *ret_item = play;
    play->is_open = play->items-- > 0;
    return play->is_open;
}

static int work_on_item(void *arg, void **ret_value)
{
    struct stream_play *play = arg;
    const int calls = atomic_fetch_add(&play->calls, 1);

    if (calls % 3 != 0) {
        atomic_fetch_add(&play->stored, 1);
        *ret_value = play;
    }
    return calls % 5 == 0;
}

static void destroy_item(void *value)
{
    atomic_fetch_add(&((struct stream_play *)value)->destroyed, 1);
}

/* Takes results until there are no more, or the player has had enough; how many values they had. */
static int take_some(struct player *player, stook_stream *stream)
{
    const bool is_patient = random_below(&player->random, 2);
    int values = 0;

    for (unsigned i = random_below(&player->random, 300); i > 0; i--) {
        void *value = NULL;
        const bool wants = random_below(&player->random, 4);
        const enum stook_status status = stook_stream_next(
            stream, is_patient ? STOOK_FOREVER : soon(player), wants ? &value : NULL, NULL);

        values += value != NULL;
        if (status == STOOK_END || status == STOOK_SHUTDOWN) {
            MUST(status == STOOK_END || atomic_load(&player->round->is_closing));
            break;
        }
        MUST(status == STOOK_OK || status == STOOK_TASK_FAILED || status == STOOK_CANCELLED ||
             (status == STOOK_TIMEOUT && !is_patient));
    }
    return values;
}

void act_stream(struct player *player)
{
    uint64_t *random = &player->random;
    struct stream_play play = {.items = (int)random_below(random, 200), .is_open = true};
    struct stook_stream_options options = STOOK_STREAM_OPTIONS_INIT;
    struct stook_submit_options submit = STOOK_SUBMIT_OPTIONS_INIT;
    stook_stream *stream = NULL;

    if (player->round->is_exact) {
        return;
    }
    options.input = give_item;
    options.input_data = &play;
    options.fn = work_on_item;
    options.destroy = destroy_item;
    options.look_ahead = random_below(random, 2) ? 0 : 5 + random_below(random, 100);
    options.chunk = random_below(random, 6);
    submit.priority = (enum stook_priority)random_below(random, 3);
    submit.client = random_below(random, 2) ? NULL : player->round->clients[0];
    submit.token =
        random_below(random, 4) ? NULL : player->round->tokens[random_below(random, TOKENS)];
    options.submit = random_below(random, 2) ? NULL : &submit;
    if (must_be_open(player, stook_stream_create(player->round->executor, &options, &stream))) {
        const int values = take_some(player, stream);

        stook_stream_destroy(stream);
        MUST(atomic_load(&play.stored) == atomic_load(&play.destroyed) + values);
    }
}

static int count_or_fail(void *arg, void **ret_value)
{
    (void)ret_value;
    return atomic_fetch_add((atomic_int *)arg, 1) == 70;
}

void act_map(struct player *player)
{
    const unsigned count = random_below(&player->random, 100);
    atomic_int calls = 0;

    if (player->round->is_exact) {
        return;
    }
    const enum stook_status status =
        stook_executor_map(player->round->executor, count_or_fail, &calls, count, 0, NULL, NULL);
    switch (status) {
    case STOOK_OK:
        MUST(atomic_load(&calls) == (int)count);
        break;
    case STOOK_TASK_FAILED:
        MUST(count > 70);
        break;
    case STOOK_CANCELLED:
        MUST(atomic_load(&player->round->is_closing));
        break;
    default:
        (void)must_be_open(player, status);
        MUST(atomic_load(&calls) == 0);
    }
}

/* --- forks and joins -------------------------------------------------------------------------- */

enum { MOST_BRANCHES = 3, MOST_BRANCH_DEPTH = 4 };

struct branch {
    struct player player; /* of its own: branches may be made at the same time */
    unsigned depth;
    bool plays;    /* does other things as well */
    int calls;     /* plain, as the next one */
    unsigned made; /* branches, itself and below */
};

static void grow(stook_here *here, void *arg)
{
    struct branch *branch = arg;
    uint64_t *random = &branch->player.random;
    const unsigned count =
        branch->depth < MOST_BRANCH_DEPTH ? random_below(random, MOST_BRANCHES + 1) : 0;
    struct branch below[MOST_BRANCHES];
    stook_here *at[MOST_BRANCHES + 1] = {here};
    unsigned made = 1;

    branch->calls++;
    for (unsigned i = 0; i < count; i++) {
        below[i] = (struct branch){.player = branch->player,
                                   .depth = branch->depth + 1,
                                   .plays = branch->plays && random_below(random, 3) == 0};
        below[i].player.random = random_next(random);
        at[i + 1] = stook_fork(at[i], grow, &below[i]);
    }
    if (branch->plays) {
        play(&branch->player);
    }
    for (unsigned i = count; i-- > 0;) {
        const bool is_ours = stook_join(at[i]);

        MUST(below[i].calls == !is_ours);
        if (is_ours && random_below(random, 4) != 0) {
            grow(at[i], &below[i]);
        }
        made += below[i].made;
    }
    branch->made = made;
}

/* From outside it is a task, which nobody has a record of. */
void act_region(struct player *player)
{
    struct branch root = {.player = {.round = player->round,
                                     .random = random_next(&player->random),
                                     .depth = player->depth + 1},
                          .plays = random_below(&player->random, 2)};

    if (player->depth >= MOST_DEPTH || player->round->is_exact) {
        return;
    }
    const enum stook_status status = stook_executor_run(player->round->executor, grow, &root);
    MUST(root.calls == (status == STOOK_OK) && (root.calls > 0) == (root.made > 0));
    MUST(status != STOOK_CANCELLED || atomic_load(&player->round->is_closing));
    (void)(status == STOOK_CANCELLED || must_be_open(player, status));
}

/* --- the workers ------------------------------------------------------------------------------ */

void act_blocking(struct player *player)
{
    stook_task_begin_blocking(); /* outside a task it does nothing */
    if (random_below(&player->random, 3) == 0) {
        stook_task_begin_blocking();
        submit_one(player, NULL, NULL);
        stook_task_end_blocking();
    }
    give_a_chance();
    stook_task_end_blocking();
}

void act_resize(struct player *player)
{
    const struct round *round = player->round;

    (void)must_be_open(
        player, stook_executor_resize(round->executor,
                                      1 + random_below(&player->random, round->max_workers)));
}
