/* SPDX-License-Identifier: MIT
 *
 * A byte string as calls on an executor: tasks with options of all kinds, promises, continuations,
 * combined futures, callbacks, tokens, scopes, clients, waits, cancelling, resizing, shutdown.
 * After each call every future must be in the state that the model gives it (fuzz_calls.h), and in
 * the end every function and callback has been called once or never, and every value has gone.
 */
#include "fuzz_calls.h"

enum { MOST_CALLS = 60 };

void fuzz_end(void)
{
}

/* One that has a future; NULL: none has. */
static struct thing *any_thing(struct play *play, struct fuzz_bytes *bytes)
{
    if (play->count == 0) {
        return NULL;
    }
    struct thing *thing = &play->things[fuzz_below(bytes, (unsigned)play->count)];
    return thing->future != NULL ? thing : NULL;
}

static void add_thing(struct thing *thing)
{
    struct play *play = thing->play;
    MUST(thing->future != NULL);
    thing->was = thing->future;
    if (thing->stores) {
        stook_future_set_destructor(thing->future, thing_destroy_value);
    }
    play->count++;
}

/* --- tasks -------------------------------------------------------------------------------------
 * */

static void read_task(struct play *play, struct fuzz_bytes *bytes, struct thing *thing,
                      struct stook_submit_options *options)
{
    const unsigned flags = fuzz_byte(bytes);
    const unsigned place = fuzz_byte(bytes);
    thing->code = flags % 4 == 0 ? 1 + (int)(flags / 4 % 8) : 0;
    thing->stores = flags & 32;
    thing->never = flags & 64;
    thing->submits = flags & 128;
    options->priority = (enum stook_priority)(place % 3);
    options->start_ns = thing->never ? STOOK_FOREVER : flags & 2 ? 1 : 0;
    if (place & 16) {
        const int scope = (int)(place / 32 % SCOPES);
        options->scope = play->scopes[scope].scope;
        thing->scope = options->scope != NULL ? scope : NONE;
    } else if (place & 4) {
        const int token = (int)(place / 32 % TOKENS);
        options->token = play->tokens[token].token;
        thing->token = options->token != NULL ? token : NONE;
    }
}

/* What a task does beside returning: completes a promise, or waits for another task. */
static void read_action(struct play *play, struct fuzz_bytes *bytes, struct thing *thing)
{
    const unsigned action = fuzz_below(bytes, 4);
    struct thing *other = action > 0 ? any_thing(play, bytes) : NULL;
    if (other == NULL) {
        return;
    }
    if (action == 1 && other->kind == PROMISED && other->state == STOOK_STATE_PENDING &&
        other->promise != NULL && !other->is_assigned) {
        other->is_assigned = true;
        other->code = (int)fuzz_below(bytes, 3);
        thing->completes = other;
    } else if (action == 2 && other->kind == TASK && !other->never && thing->scope == NONE &&
               (other->scope == NONE || play->scopes[other->scope].limit == 0)) {
        other->is_kept = true;
        thing->awaits = other;
    }
}

/* What has been put into a client's queue, or may have been: by the timer thread; or never, as it
 * was cancelled. */
static void note_queued(struct client *client, const struct thing *thing)
{
    client->least += thing->start_is_now && thing->state == STOOK_STATE_PENDING &&
                     !token_is_cancelled(thing->play, thing->token) &&
                     !scope_is_cancelled(thing->play, thing->scope);
    client->most += !thing->never && !is_terminal(thing->state);
}

static void call_submit(struct play *play, struct fuzz_bytes *bytes)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    struct thing *thing = new_thing(play, TASK);
    if (thing == NULL) {
        return;
    }
    read_task(play, bytes, thing, &options);
    read_action(play, bytes, thing);
    const enum stook_status status =
        stook_executor_submit_with(play->executor, &options, thing_task, thing, &thing->future);
    MUST(status == (play->is_closed ? STOOK_SHUTDOWN : STOOK_OK));
    if (status == STOOK_OK) {
        add_thing(thing);
    } else if (thing->completes != NULL) {
        thing->completes->is_assigned = false;
    }
}

/* In a client, whose queue may be full. */
static void call_submit_in_client(struct play *play, struct fuzz_bytes *bytes)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    struct client *client = &play->clients[fuzz_below(bytes, CLIENTS)];
    struct thing *thing = new_thing(play, TASK);
    if (thing == NULL || client->client == NULL) {
        return;
    }
    read_task(play, bytes, thing, &options);
    if (thing->scope != NONE && play->scopes[thing->scope].limit > 0) {
        return;
    }
    thing->start_is_now = options.start_ns == 0;
    options.client = client->client;
    options.when_full = (enum stook_when_full)fuzz_below(bytes, 3);
    options.full_deadline_ns = 0;
    const bool may_be_full =
        thing->start_is_now && client->limit > 0 && client->most >= client->limit;
    const bool must_be_full = may_be_full && client->least >= client->limit;
    const enum stook_status status =
        stook_executor_submit_with(play->executor, &options, thing_task, thing, &thing->future);
    if (play->is_closed) {
        MUST(status == STOOK_SHUTDOWN);
        return;
    }
    if (options.when_full == STOOK_WHEN_FULL_RUN) {
        MUST(status == STOOK_OK);
        MUST(!is_terminal(stook_future_state(thing->future)) || may_be_full ||
             token_is_cancelled(play, thing->token) || scope_is_cancelled(play, thing->scope));
        if (atomic_load(&thing->runs) > 0) {
            thing->must_run = true;
            thing->state = state_of_code(thing->code);
        } else {
            MUST(!must_be_full || token_is_cancelled(play, thing->token) ||
                 scope_is_cancelled(play, thing->scope));
        }
    } else if (status != STOOK_OK) {
        MUST(may_be_full);
        MUST(status == (options.when_full == STOOK_WHEN_FULL_FAIL ? STOOK_FULL : STOOK_TIMEOUT));
        return;
    } else {
        MUST(!must_be_full);
    }
    add_thing(thing);
    note_queued(client, thing);
}

/* Without futures, all or none. */
static void call_submit_many(struct play *play, struct fuzz_bytes *bytes)
{
    const size_t count = fuzz_byte(bytes);
    const enum stook_status status = stook_executor_submit_many(play->executor, NULL, count_task,
                                                                &play->children, count, 0, NULL);
    MUST(status == (play->is_closed && count > 0 ? STOOK_SHUTDOWN : STOOK_OK));
    if (status == STOOK_OK) {
        atomic_fetch_add(&play->accepted, (int)count);
    }
}

/* --- other futures -----------------------------------------------------------------------------
 * */

static void call_promise(struct play *play)
{
    struct thing *thing = new_thing(play, PROMISED);
    if (thing != NULL) {
        MUST(stook_promise_create(NULL, &thing->promise, &thing->future) == STOOK_OK);
        add_thing(thing);
    }
}

static void call_complete(struct thing *thing, struct fuzz_bytes *bytes)
{
    if (thing->kind == PROMISED && thing->promise != NULL && !thing->is_assigned) {
        const int code = (int)fuzz_below(bytes, 3);
        const bool is_first = thing->state == STOOK_STATE_PENDING;
        if (is_first) {
            thing->state = state_of_code(code);
            thing->code = code;
        }
        MUST(stook_promise_complete(thing->promise, code, NULL) ==
             (is_first ? STOOK_OK : STOOK_TOO_LATE));
    }
}

static void call_give_up(struct thing *thing)
{
    if (thing->kind == PROMISED && !thing->is_assigned) {
        if (thing->promise != NULL && thing->state == STOOK_STATE_PENDING) {
            thing->state = STOOK_STATE_CANCELLED;
        }
        stook_promise_release(thing->promise);
        thing->promise = NULL;
    }
}

static void call_then(struct play *play, struct fuzz_bytes *bytes, struct thing *before)
{
    struct thing *thing = new_thing(play, THEN);
    const unsigned flags = fuzz_byte(bytes);
    if (thing == NULL) {
        return;
    }
    thing->parents[0] = before;
    thing->parent_count = 1;
    thing->mode = (enum stook_then_mode)(flags & 1);
    thing->on_executor = flags & 2;
    thing->stores = flags & 4;
    thing->code = flags & 8 ? 3 : 0;
    const enum stook_status status =
        stook_future_then(before->future, thing->mode, thing->on_executor ? play->executor : NULL,
                          thing_then, thing, &thing->future);
    MUST(status == (thing->on_executor && play->is_closed ? STOOK_SHUTDOWN : STOOK_OK));
    if (status == STOOK_OK) {
        add_thing(thing);
    }
}

static size_t read_futures(struct play *play, struct fuzz_bytes *bytes, struct thing *chosen[],
                           stook_future *futures[])
{
    size_t count = 0;
    for (unsigned left = fuzz_below(bytes, PARENTS + 1); left > 0; left--) {
        struct thing *thing = any_thing(play, bytes);
        if (thing != NULL) {
            chosen[count] = thing;
            futures[count++] = thing->future;
        }
    }
    return count;
}

static void call_combine(struct play *play, struct fuzz_bytes *bytes, bool is_any)
{
    struct thing *thing = new_thing(play, is_any ? ANY : ALL);
    stook_future *futures[PARENTS];
    if (thing == NULL) {
        return;
    }
    thing->parent_count = read_futures(play, bytes, thing->parents, futures);
    const enum stook_status status =
        is_any ? stook_when_any(futures, thing->parent_count, &thing->future)
               : stook_when_all(futures, thing->parent_count, &thing->future);
    MUST(status == (is_any && thing->parent_count == 0 ? STOOK_INVALID : STOOK_OK));
    if (status == STOOK_OK) {
        add_thing(thing);
    }
}

/* --- looking and waiting -----------------------------------------------------------------------
 * */

static void call_cancel(struct thing *thing)
{
    const enum stook_cancel_outcome expected =
        thing->state == STOOK_STATE_PENDING || thing->state == STOOK_STATE_CANCELLED
            ? STOOK_CANCEL_DONE
            : STOOK_CANCEL_TOO_LATE;
    if (thing->state == STOOK_STATE_PENDING) {
        thing->state = STOOK_STATE_CANCELLED;
    }
    MUST(stook_future_cancel(thing->future) == expected);
}

/* The winner of ANY, which is the value's. */
static void take_winner(struct thing *thing, void *value)
{
    bool is_one = false;
    for (size_t i = 0; i < thing->parent_count; i++) {
        is_one = is_one || thing->parents[i]->was == value;
    }
    MUST(is_one && stook_future_state(value) == thing->state);
    stook_future_release(value);
}

static void call_result(struct thing *thing, bool takes)
{
    void *value = thing;
    if (!is_terminal(thing->state)) {
        MUST(stook_future_wait_until(thing->future, 0) == STOOK_TIMEOUT);
        return;
    }
    const enum stook_status status = stook_future_result(thing->future, takes ? &value : NULL);
    MUST(status == (thing->state == STOOK_STATE_DONE     ? STOOK_OK
                    : thing->state == STOOK_STATE_FAILED ? STOOK_TASK_FAILED
                                                         : STOOK_CANCELLED));
    if (!takes || status == STOOK_CANCELLED) {
        MUST(value == thing);
        return;
    }
    MUST((value != NULL) == (thing->kind == ANY || (thing->stores && thing->must_run)));
    if (value != NULL && !thing->is_taken) {
        thing->is_taken = true;
        if (thing->kind == ANY) {
            take_winner(thing, value);
        } else {
            thing_destroy_value(value);
        }
    }
}

static void call_on_done(struct thing *thing)
{
    thing->callbacks_due++;
    MUST(stook_future_on_done(thing->future, thing_callback, thing) == STOOK_OK);
}

static void call_release(struct thing *thing)
{
    const bool is_plain = thing->kind == TASK && thing->scope == NONE && thing->token == NONE &&
                          !thing->is_kept && !thing->never && thing->completes == NULL &&
                          !thing->play->is_closed;
    if (is_terminal(thing->state) ? !thing->is_kept : is_plain || thing->kind == ALL) {
        stook_future_release(stook_future_retain(thing->future));
        stook_future_release(thing->future);
        thing->future = NULL;
    }
}

static void call_wait_for_several(struct play *play, struct fuzz_bytes *bytes)
{
    struct thing *chosen[PARENTS];
    stook_future *futures[PARENTS];
    bool done[PARENTS];
    struct stook_wait_counts counts;
    const enum stook_wait_mode mode = (enum stook_wait_mode)fuzz_below(bytes, 3);
    const size_t count = read_futures(play, bytes, chosen, futures);
    size_t terminal = 0, failed = 0;
    for (size_t i = 0; i < count; i++) {
        terminal += is_terminal(chosen[i]->state);
        failed += chosen[i]->state == STOOK_STATE_FAILED;
    }
    const bool is_met = terminal == count || (mode == STOOK_WAIT_ANY && terminal > 0) ||
                        (mode == STOOK_WAIT_FIRST_ERROR && failed > 0);
    MUST(stook_wait_until(futures, count, mode, 0, done, &counts) ==
         (is_met ? STOOK_OK : STOOK_TIMEOUT));
    for (size_t i = 0; i < count; i++) {
        MUST(done[i] == is_terminal(chosen[i]->state));
    }
    MUST(counts.done + counts.not_done <= count && counts.done <= terminal);
}

/* Those that have ended, in the order of the array, then none. */
static void call_as_completed(struct play *play, struct fuzz_bytes *bytes)
{
    struct thing *chosen[PARENTS];
    stook_future *futures[PARENTS];
    stook_as_completed *iterator;
    enum stook_status status;
    size_t index, last = 0;
    bool some_left = false;
    const size_t count = read_futures(play, bytes, chosen, futures);
    MUST(stook_as_completed_create(futures, count, &iterator) == STOOK_OK);
    while ((status = stook_as_completed_next(iterator, 0, &index)) == STOOK_OK) {
        MUST(index >= last && is_terminal(chosen[index]->state));
        last = index;
    }
    for (size_t i = 0; i < count; i++) {
        some_left = some_left || !is_terminal(chosen[i]->state);
    }
    MUST(status == (some_left ? STOOK_TIMEOUT : STOOK_END));
    MUST((stook_as_completed_left(iterator) > 0) == some_left);
    stook_as_completed_destroy(iterator);
}

/* --- the executor ------------------------------------------------------------------------------
 * */

static void call_workers(struct play *play, struct fuzz_bytes *bytes)
{
    const unsigned workers = 1 + fuzz_below(bytes, MOST_WORKERS);
    /* first: those that are too many now end with the tasks that hold them, and take no others */
    MUST(stook_executor_resize(play->executor, workers) ==
         (play->is_closed ? STOOK_SHUTDOWN : STOOK_OK));
    let_go(play);
    play->workers = play->is_closed ? play->workers : workers;
    hold(play);
}

static void call_shutdown(struct play *play, struct fuzz_bytes *bytes)
{
    const enum stook_shutdown_mode mode = (enum stook_shutdown_mode)(fuzz_byte(bytes) % 2);
    const enum stook_status status = stook_executor_shutdown(play->executor, mode, 0);
    MUST(status == STOOK_TIMEOUT || (status == STOOK_OK && !play->is_held));
    play->is_closed = true;
    if (mode == STOOK_CANCEL_PENDING) {
        play->is_cancelled = true;
        let_go(play);
        MUST(stook_executor_shutdown(play->executor, mode, patience()) == STOOK_OK);
    }
}

static void call_wrongly(struct play *play, struct fuzz_bytes *bytes)
{
    stook_future *none[] = {NULL};
    stook_future *future = UNTOUCHED(stook_future);
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    options.priority = (enum stook_priority)(3 + fuzz_byte(bytes));
    MUST(stook_executor_submit(play->executor, NULL, NULL, &future) == STOOK_INVALID);
    MUST(stook_executor_submit_with(play->executor, &options, thing_task, NULL, &future) ==
         STOOK_INVALID);
    MUST(stook_executor_submit(NULL, thing_task, NULL, &future) == STOOK_INVALID);
    MUST(stook_when_all(none, 1, &future) == STOOK_INVALID);
    MUST(stook_when_any(none, 1, &future) == STOOK_INVALID);
    MUST(stook_future_then(NULL, STOOK_THEN_ALWAYS, NULL, thing_then, NULL, &future) ==
         STOOK_INVALID);
    MUST(stook_future_wait_until(NULL, 0) == STOOK_INVALID);
    MUST(stook_future_cancel(NULL) == STOOK_CANCEL_TOO_LATE);
    MUST(future == UNTOUCHED(stook_future));
}

static void make_call(struct play *play, struct fuzz_bytes *bytes)
{
    const unsigned what = fuzz_below(bytes, 24);
    struct thing *thing = what >= 16 ? any_thing(play, bytes) : NULL;
    bool may_lag = false;
    switch (what) {
    case 0:
    case 1:
    case 2:
        call_submit(play, bytes);
        break;
    case 3:
        call_submit_in_client(play, bytes);
        break;
    case 4:
        call_submit_many(play, bytes);
        break;
    case 5:
    case 6:
        call_promise(play);
        break;
    case 7:
        call_combine(play, bytes, false);
        break;
    case 8:
        call_combine(play, bytes, true);
        break;
    case 9:
        call_wait_for_several(play, bytes);
        break;
    case 10:
        call_as_completed(play, bytes);
        break;
    case 11:
        call_token(play, bytes);
        may_lag = true;
        break;
    case 12:
        call_scope(play, bytes);
        break;
    case 13:
        call_client(play, bytes);
        break;
    case 14:
        call_workers(play, bytes);
        break;
    case 15:
        if (fuzz_flag(bytes)) {
            call_shutdown(play, bytes);
        } else {
            call_wrongly(play, bytes);
        }
        break;
    default:
        if (thing == NULL) {
            return;
        }
        switch (what) {
        case 16:
            call_complete(thing, bytes);
            break;
        case 17:
            call_give_up(thing);
            break;
        case 18:
        case 19:
            call_then(play, bytes, thing);
            break;
        case 20:
            call_cancel(thing);
            break;
        case 21:
            call_result(thing, fuzz_flag(bytes));
            break;
        case 22:
            call_on_done(thing);
            break;
        default:
            call_release(thing);
            break;
        }
    }
    settle(play, may_lag);
}

/* --- the end -----------------------------------------------------------------------------------
 * */

/* What is held back by somebody is let go, so that all can end. */
static void end_all(struct play *play)
{
    for (int i = 0; i < SCOPES; i++) {
        end_scope(play, i);
    }
    let_go(play);
    for (size_t i = 0; i < play->count; i++) {
        struct thing *thing = &play->things[i];
        if (thing->kind == PROMISED) {
            thing->is_assigned = false;
            call_give_up(thing);
        } else if (thing->kind == TASK && !is_terminal(thing->state)) {
            call_cancel(thing);
        }
    }
    settle(play, true);
    MUST(stook_executor_shutdown(play->executor, STOOK_DRAIN, patience()) == STOOK_OK);
    play->is_closed = true;
    settle(play, true);
    for (size_t i = 0; i < play->count; i++) {
        MUST(is_terminal(play->things[i].state));
        stook_future_release(play->things[i].future);
    }
    for (int i = 0; i < TOKENS; i++) {
        stook_token_release(play->tokens[i].token);
    }
    for (int i = 0; i < CLIENTS; i++) {
        stook_client_release(play->clients[i].client);
    }
    stook_executor_destroy(play->executor);
    for (size_t i = 0; i < play->count; i++) {
        MUST(atomic_load(&play->things[i].callbacks) == play->things[i].callbacks_due);
    }
    MUST(atomic_load(&play->values) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct play play;
    struct fuzz_bytes bytes = {data, size};
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    memset(&play, 0, sizeof play);
    MUST(sem_init(&play.held, 0, 0) == 0 && sem_init(&play.go, 0, 0) == 0);
    play.workers = 1 + fuzz_below(&bytes, 2);
    options.workers = play.workers;
    options.max_workers = MOST_WORKERS;
    MUST(stook_executor_create(&options, &play.executor) == STOOK_OK);
    hold(&play);
    for (int calls = 0; calls < MOST_CALLS && bytes.left > 0; calls++) {
        make_call(&play, &bytes);
    }
    end_all(&play);
    MUST(sem_destroy(&play.held) == 0 && sem_destroy(&play.go) == 0);
    return 0;
}
