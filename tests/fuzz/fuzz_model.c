/* SPDX-License-Identifier: MIT
 *
 * What follows from calls; see fuzz_calls.h.
 */
#include "fuzz_calls.h"

/* --- functions that run ------------------------------------------------------------------------
 * */

static void *make_value(struct thing *thing)
{
    struct play **value = must_alloc(sizeof(struct play *));
    *value = thing->play;
    atomic_fetch_add(&thing->play->values, 1);
    return value;
}

void thing_destroy_value(void *value)
{
    struct play **own = value;
    atomic_fetch_sub(&(*own)->values, 1);
    free(own);
}

static int run_thing(struct thing *thing, void **ret_value)
{
    atomic_fetch_add(&thing->runs, 1);
    if (thing->stores) {
        *ret_value = make_value(thing);
    }
    return thing->code;
}

int thing_task(void *arg, void **ret_value)
{
    struct thing *thing = arg;
    struct play *play = thing->play;
    if (thing->awaits != NULL) {
        MUST(stook_future_wait_until(thing->awaits->future, STOOK_FOREVER) == STOOK_OK);
    }
    if (thing->submits) {
        atomic_fetch_add(&play->accepted, stook_executor_submit(play->executor, count_task,
                                                                &play->children, NULL) == STOOK_OK);
    }
    if (thing->completes != NULL) {
        const enum stook_status status =
            stook_promise_complete(thing->completes->promise, thing->completes->code, NULL);
        MUST(status == STOOK_OK || status == STOOK_TOO_LATE);
    }
    return run_thing(thing, ret_value);
}

int thing_then(stook_future *before, void *arg, void **ret_value)
{
    struct thing *thing = arg;
    MUST(stook_future_done(before) && before == thing->parents[0]->was);
    return run_thing(thing, ret_value);
}

void thing_callback(stook_future *future, void *arg)
{
    struct thing *thing = arg;
    MUST(future == thing->was && stook_future_done(future));
    atomic_fetch_add(&thing->callbacks, 1);
}

/* --- what there is -----------------------------------------------------------------------------
 * */

struct thing *new_thing(struct play *play, enum thing_kind kind)
{
    struct thing *thing = &play->things[play->count];
    if (play->count == THINGS) {
        return NULL;
    }
    *thing = (struct thing){.play = play, .kind = kind, .scope = NONE, .token = NONE};
    return thing;
}

bool token_is_cancelled(const struct play *play, int token)
{
    for (; token != NONE; token = play->tokens[token].parent) {
        if (play->tokens[token].is_cancelled) {
            return true;
        }
    }
    return false;
}

bool scope_is_cancelled(const struct play *play, int scope)
{
    return scope != NONE && (play->scopes[scope].is_cancelled ||
                             token_is_cancelled(play, play->scopes[scope].token));
}

struct stook_scope_outcome outcome_of(const struct play *play, int scope)
{
    struct stook_scope_outcome outcome = {0};
    for (size_t i = 0; i < play->count; i++) {
        const struct thing *thing = &play->things[i];
        if (thing->scope == scope) {
            outcome.submitted++;
            outcome.done += thing->state == STOOK_STATE_DONE;
            outcome.failed += thing->state == STOOK_STATE_FAILED;
            outcome.cancelled += thing->state == STOOK_STATE_CANCELLED;
        }
    }
    return outcome;
}

/* Aborts, after telling which future is not as it must be. */
static void expect(bool condition, const struct thing *thing, const char *what,
                   enum stook_state state)
{
    static const char *const kinds[] = {"task", "promise", "then", "when_all", "when_any"};
    if (!condition) {
        fprintf(stderr, "%s %td must be %s, is %s, and was %s; %s\n", kinds[thing->kind],
                thing - thing->play->things, stook_state_name(state),
                thing->future != NULL ? stook_state_name(stook_future_state(thing->future)) : "-",
                stook_state_name(thing->state), what);
        abort();
    }
}

/* --- what must become of it --------------------------------------------------------------------
 * */

static enum stook_state all_of(struct thing *thing)
{
    enum stook_state state = STOOK_STATE_DONE;
    for (size_t i = 0; i < thing->parent_count; i++) {
        const struct thing *parent = thing->parents[i];
        if (!is_terminal(parent->state)) {
            return STOOK_STATE_PENDING;
        }
        if (parent->state == STOOK_STATE_FAILED && state != STOOK_STATE_FAILED) {
            state = STOOK_STATE_FAILED;
            thing->code = parent->code;
        } else if (parent->state == STOOK_STATE_CANCELLED && state == STOOK_STATE_DONE) {
            state = STOOK_STATE_CANCELLED;
        }
    }
    return state;
}

/* Of those that have ended it may be any; the future itself tells which. */
static enum stook_state any_of(struct thing *thing, bool may_lag)
{
    bool some = false;
    for (size_t i = 0; i < thing->parent_count; i++) {
        some = some || is_terminal(thing->parents[i]->state);
    }
    if (!some) {
        return STOOK_STATE_PENDING;
    }
    MUST(stook_future_wait_until(thing->future, may_lag ? patience() : 0) == STOOK_OK);
    const enum stook_state state = stook_future_state(thing->future);
    for (size_t i = 0; i < thing->parent_count; i++) {
        const struct thing *parent = thing->parents[i];
        const int code = state == STOOK_STATE_FAILED ? parent->code : 0;
        if (parent->state == state && stook_future_code(thing->future) == code) {
            thing->code = code;
            return state;
        }
    }
    expect(false, thing, "as none of them", state);
    return state;
}

static enum stook_state then_of(struct thing *thing)
{
    const struct thing *before = thing->parents[0];
    if (!is_terminal(before->state)) {
        return STOOK_STATE_PENDING;
    }
    if (thing->mode == STOOK_THEN_IF_DONE && before->state != STOOK_STATE_DONE) {
        thing->code = before->state == STOOK_STATE_FAILED ? before->code : 0;
        return before->state;
    }
    if (thing->on_executor && thing->play->is_held) {
        return STOOK_STATE_PENDING;
    }
    thing->must_run = true;
    return state_of_code(thing->code);
}

/* What a task becomes when it may run. */
static enum stook_state task_of(const struct thing *thing)
{
    return thing->play->is_held || thing->never ? STOOK_STATE_PENDING : state_of_code(thing->code);
}

static bool is_cancelled(const struct thing *thing)
{
    const struct play *play = thing->play;
    const bool has_executor = thing->kind == TASK || (thing->kind == THEN && thing->on_executor);
    return (play->is_cancelled && has_executor) || token_is_cancelled(play, thing->token) ||
           scope_is_cancelled(play, thing->scope);
}

/* May a failure of its scope have cancelled it, while all are running? */
static bool may_be_cancelled(const struct thing *thing)
{
    const struct play *play = thing->play;
    for (size_t i = 0; thing->scope != NONE && i < play->count; i++) {
        const struct thing *other = &play->things[i];
        if (other->scope == thing->scope && other != thing && other->code != 0 &&
            !play->scopes[thing->scope].keep_going && other->state != STOOK_STATE_CANCELLED) {
            return true;
        }
    }
    return false;
}

static void expect_state(struct thing *thing, enum stook_state state, bool may_lag)
{
    stook_future *future = thing->future;
    if (future != NULL) {
        const int code = state == STOOK_STATE_FAILED ? thing->code : 0;
        if (is_terminal(state)) {
            expect(stook_future_wait_until(future, may_lag ? patience() : 0) == STOOK_OK, thing,
                   "wait_until", state);
        }
        expect(stook_future_state(future) == state, thing, "state", state);
        expect(stook_future_done(future) == is_terminal(state), thing, "done", state);
        expect(stook_future_code(future) == code, thing, "code", state);
    } else if (thing->must_run) { /* nobody else can tell */
        SPIN_UNTIL(atomic_load(&thing->runs) == 1);
    }
    thing->state = state;
    if (is_terminal(state)) {
        expect(atomic_load(&thing->runs) == thing->must_run, thing, "runs", state);
    }
}

static void settle_task(struct thing *thing, bool may_lag)
{
    enum stook_state state = is_cancelled(thing) ? STOOK_STATE_CANCELLED : task_of(thing);
    if (is_terminal(state) && state != STOOK_STATE_CANCELLED && may_be_cancelled(thing)) {
        MUST(stook_future_wait_until(thing->future, patience()) == STOOK_OK);
        if (stook_future_state(thing->future) == STOOK_STATE_CANCELLED) {
            state = STOOK_STATE_CANCELLED;
        }
    }
    thing->must_run = is_terminal(state) && state != STOOK_STATE_CANCELLED;
    expect_state(thing, state, may_lag);
    if (thing->must_run && thing->completes != NULL &&
        thing->completes->state == STOOK_STATE_PENDING) {
        expect_state(thing->completes, state_of_code(thing->completes->code), may_lag);
    }
}

/* A scope has been cancelled by a task that failed. */
static void settle_scopes(struct play *play)
{
    for (size_t i = 0; i < play->count; i++) {
        const struct thing *thing = &play->things[i];
        if (thing->scope != NONE && thing->state == STOOK_STATE_FAILED &&
            !play->scopes[thing->scope].keep_going) {
            play->scopes[thing->scope].is_cancelled = true;
        }
    }
}

/* Those that are never due come last: others may have been cancelling them. */
static void settle_tasks(struct play *play, bool never, bool may_lag)
{
    for (size_t i = 0; i < play->count; i++) {
        if (play->things[i].kind == TASK && !is_terminal(play->things[i].state) &&
            play->things[i].never == never) {
            settle_task(&play->things[i], may_lag);
        }
    }
}

/* Shutdown cancels one after the other; so what a continuation waits for may have failed as others
 * were cancelled, and taken it along before it was its turn. */
static bool has_failed_first(struct thing *thing)
{
    return thing->kind == THEN && thing->mode == STOOK_THEN_IF_DONE && thing->future != NULL &&
           thing->parents[0]->state == STOOK_STATE_FAILED &&
           stook_future_wait_until(thing->future, patience()) == STOOK_OK &&
           stook_future_state(thing->future) == STOOK_STATE_FAILED;
}

void settle(struct play *play, bool may_lag)
{
    may_lag = may_lag || !play->is_held;
    settle_scopes(play); /* a task has failed that its submitter ran */
    settle_tasks(play, false, may_lag);
    settle_scopes(play);
    settle_tasks(play, true, may_lag);
    for (size_t i = 0; i < play->count; i++) {
        struct thing *thing = &play->things[i];
        if (is_terminal(thing->state) || thing->kind == TASK) {
            expect_state(thing, thing->state, may_lag);
        } else if (is_cancelled(thing)) {
            expect_state(thing, has_failed_first(thing) ? then_of(thing) : STOOK_STATE_CANCELLED,
                         may_lag);
        } else if (thing->kind == THEN) {
            expect_state(thing, then_of(thing), may_lag);
        } else if (thing->kind == ALL) {
            expect_state(thing, all_of(thing), may_lag);
        } else if (thing->kind == ANY) {
            expect_state(thing, any_of(thing, may_lag), may_lag);
        } else {
            expect_state(thing, STOOK_STATE_PENDING, may_lag);
        }
    }
}

/* --- workers -----------------------------------------------------------------------------------
 * */

static int hold_task(void *arg, void **ret_value)
{
    struct play *play = arg;
    (void)ret_value;
    MUST(sem_post(&play->held) == 0);
    while (sem_wait(&play->go) != 0) {
    }
    return 0;
}

void hold(struct play *play)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;
    if (play->is_closed) {
        return;
    }
    options.priority = STOOK_PRIORITY_HIGH;
    for (unsigned i = 0; i < play->workers; i++) {
        MUST(stook_executor_submit_with(play->executor, &options, hold_task, play, NULL) ==
             STOOK_OK);
    }
    for (unsigned i = 0; i < play->workers; i++) {
        while (sem_wait(&play->held) != 0) {
        }
    }
    play->is_held = true;
}

/* Nothing is left but what cannot begin yet. */
static bool is_idle(const struct play *play)
{
    struct stook_stats stats = STOOK_STATS_INIT;
    uint64_t held_back = 0;
    for (size_t i = 0; i < play->count; i++) {
        const struct thing *thing = &play->things[i];
        held_back += !is_terminal(thing->state) &&
                     (thing->kind == TASK || (thing->kind == THEN && thing->on_executor));
    }
    MUST(stook_executor_stats(play->executor, &stats, NULL, 0) == STOOK_OK);
    MUST(stats.pending == stats.submitted - stats.begun - stats.cancelled);
    MUST(stats.running == stats.begun - stats.ended);
    return stats.pending == held_back && stats.running == 0;
}

void let_go(struct play *play)
{
    for (unsigned i = 0; play->is_held && i < play->workers; i++) {
        MUST(sem_post(&play->go) == 0);
    }
    play->is_held = false;
    settle(play, true);
    SPIN_UNTIL(is_idle(play));
    MUST(play->is_cancelled || atomic_load(&play->children) == atomic_load(&play->accepted));
    for (unsigned i = 0; i < CLIENTS; i++) {
        play->clients[i].least = 0;
        play->clients[i].most = 0;
    }
}
