/* SPDX-License-Identifier: MIT
 *
 * Joining and leaving a token or scope, and being held back.
 *
 * Invariant: a bond with a token is in its list from join to leave, which comes after its task is
 * terminal; a scope has its turns given to as many tasks as its limit allows, or its line is
 * empty.
 */
#include "bond.h"
#include "atomics.h"
#include "park.h"
#include "pool.h"
#include "submit.h"

void stook__bond_init(struct stook__bond *bond, stook_future *task, stook_token *token,
                      stook_client *client, enum stook_priority priority)
{
    *bond = (struct stook__bond){
        .task = task, .token = stook_token_retain(token), .client = client, .priority = priority};
    atomic_init(&bond->held, false);
    task->bond = bond;
}

void stook__bond_fini(struct stook__bond *bond)
{
    stook_token_release(bond->token);
}

void stook__bond_hold(struct stook__bond *bond)
{
    stook__client_retain(&stook__task_executor(bond->task)->inject, bond->client);
    /* order BD.wait rlx: published with the record, or by the token's mutex */
    a_store_rlx(&bond->held, true);
}

/* --- lists; the token's mutex is held -----------------------------------------------------------
 */

static void append(stook_token *token, struct stook__bond *bond)
{
    bond->previous = token->last_bond;
    bond->next = NULL;
    *(token->last_bond ? &token->last_bond->next : &token->first_bond) = bond;
    token->last_bond = bond;
    bond->is_listed = true;
}

static void unlink_bond(stook_token *token, struct stook__bond *bond)
{
    bond->is_listed = false;
    *(bond->previous ? &bond->previous->next : &token->first_bond) = bond->next;
    *(bond->next ? &bond->next->previous : &token->last_bond) = bond->previous;
}

static void line_append(struct stook_scope *scope, struct stook__bond *bond)
{
    bond->in_line = true;
    bond->previous_turn = scope->last_in_line;
    bond->next_turn = NULL;
    *(scope->last_in_line ? &scope->last_in_line->next_turn : &scope->first_in_line) = bond;
    scope->last_in_line = bond;
}

static void line_remove(struct stook_scope *scope, struct stook__bond *bond)
{
    bond->in_line = false;
    *(bond->previous_turn ? &bond->previous_turn->next_turn : &scope->first_in_line) =
        bond->next_turn;
    *(bond->next_turn ? &bond->next_turn->previous_turn : &scope->last_in_line) =
        bond->previous_turn;
}

static size_t scope_left(const struct stook_scope *scope)
{
    const struct stook_scope_outcome *outcome = &scope->outcome;
    return outcome->submitted - outcome->done - outcome->failed - outcome->cancelled;
}

/* Gives its turn up, and says who has it now, and who waits no longer. */
static void leave_scope(struct stook_scope *scope, struct stook__bond *bond,
                        struct stook__bond_rest *rest)
{
    if (bond->in_line) {
        line_remove(scope, bond);
    }
    if (bond->has_turn) {
        bond->has_turn = false;
        struct stook__bond *next = scope->first_in_line;
        if (next && !stook__token_is_cancelled(&scope->token)) { /* else a sweep empties the line */
            line_remove(scope, next);
            next->has_turn = true;
            rest->next = next;
            stook__task_retain(next->task); /* it may be cancelled before it is released */
        } else {
            scope->turns--;
        }
    }
    if (scope_left(scope) == 0) {
        rest->waiters = scope->waiters;
        scope->waiters = NULL;
        for (struct stook__scope_waiter *waiter = rest->waiters; waiter; waiter = waiter->next) {
            waiter->listed = false;
        }
    }
}

static void count(struct stook_scope *scope, enum stook_state state, int code,
                  struct stook__bond_rest *rest)
{
    struct stook_scope_outcome *outcome = &scope->outcome;

    if (state == STOOK_STATE_DONE) {
        outcome->done++;
    } else if (state == STOOK_STATE_CANCELLED) {
        outcome->cancelled++;
    } else {
        if (outcome->failed++ == 0) {
            outcome->first_code = code;
            /* Before anybody gets the turn that it gives up. */
            rest->sweep = !scope->keep_going && stook__token_set_cancelled(&scope->token);
        }
    }
}

/* --- joining and leaving ------------------------------------------------------------------------
 */

/* Gives the task its turn, or a place in the line, where it is held back; the mutex is held. */
static bool take_turn(struct stook_scope *scope, struct stook__bond *bond)
{
    bond->has_turn = scope->limit == 0 || scope->turns < scope->limit;
    if (bond->has_turn) {
        scope->turns++;
    } else {
        line_append(scope, bond);
    }
    return bond->has_turn;
}

void stook__bond_join_delayed(struct stook__bond *bond)
{
    stook_token *token = bond->token;

    if (token) {
        mtx_lock(&token->mutex);
        append(token, bond);
        if (token->scope) {
            token->scope->outcome.submitted++;
        }
        mtx_unlock(&token->mutex);
    }
}

bool stook__bond_join(struct stook__bond *bond)
{
    stook_token *token = bond->token;
    bool has_turn = true;

    if (!token) {
        return true;
    }
    mtx_lock(&token->mutex);
    append(token, bond);
    if (token->scope) {
        token->scope->outcome.submitted++;
        has_turn = take_turn(token->scope, bond);
        if (!has_turn) {
            stook__bond_hold(bond);
        }
    }
    mtx_unlock(&token->mutex);
    return has_turn;
}

bool stook__bond_ask_turn(struct stook__bond *bond)
{
    stook_token *token = bond->token;
    bool has_turn = true;

    if (token && token->scope) {
        mtx_lock(&token->mutex);
        has_turn = bond->is_listed && take_turn(token->scope, bond);
        mtx_unlock(&token->mutex);
    }
    return has_turn;
}

void stook__bond_meet_sweep(struct stook__bond *bond)
{
    /* It looks at the task under this mutex, before or after. */
    mtx_lock(&bond->token->mutex);
    mtx_unlock(&bond->token->mutex);
}

void stook__bond_refuse(struct stook__bond *bond)
{
    stook_token *token = bond->token;

    if (token && token->scope) {
        mtx_lock(&token->mutex);
        bond->is_refused = true;
        if (!bond->is_listed) { /* it was cancelled with the scope, and has been counted */
            token->scope->outcome.submitted--;
            token->scope->outcome.cancelled--;
        }
        mtx_unlock(&token->mutex);
    }
}

/* True for exactly one caller, if it was held: that one has the queue's reference to the task now,
 * the client's, and the executor, which it must let go. */
static bool take_hold(struct stook__bond *bond)
{
    /* order BD.hold acqrel -> BD.hold: of releasing and cancelling, one comes second and does
     * nothing */
    return a_xchg_acqrel(&bond->held, false);
}

static void let_go(stook_executor *executor, stook_client *client)
{
    stook__client_release(&executor->inject, client);
    stook__park_let_go(executor);
}

void stook__bond_release(struct stook__bond *bond)
{
    stook_executor *executor = stook__task_executor(bond->task);
    stook_client *client = bond->client;

    if (take_hold(bond)) {
        stook__submit_released(executor, bond->task, client, bond->priority);
        let_go(executor, client);
    }
}

enum stook__here stook__bond_take_here(struct stook__bond *bond, const struct stook__frame *frame)
{
    stook_token *token = bond->token;
    /* a stolen fork does not bring its task's turn along: that serves one thread */
    const struct stook__bond *own = frame && !frame->is_stolen ? frame->task->bond : NULL;
    enum stook__here here = STOOK__HERE_YES;

    if (!token || !token->scope || token->scope->limit == 0) {
        /* order BD.here acq <- BD.hold: it has been released, with all that belongs to it */
        return a_load_acq(&bond->held) ? STOOK__HERE_NO : STOOK__HERE_YES;
    }
    mtx_lock(&token->mutex);
    if (bond->has_turn) {
        /* Who gave it the turn may not have come to release it yet: then that is done here. */
        here = take_hold(bond) ? STOOK__HERE_RELEASED : STOOK__HERE_YES;
    } else {
        here = STOOK__HERE_NO;
        if (bond->in_line && own && own->token == token && take_hold(bond)) {
            line_remove(token->scope, bond);
            here = STOOK__HERE_RELEASED;
        }
    }
    mtx_unlock(&token->mutex);
    if (here == STOOK__HERE_RELEASED) {
        let_go(token->executor, bond->client); /* the calling thread's own task keeps it */
    }
    return here;
}

bool stook__bond_waits_behind(struct stook__bond *bond, const struct stook__bond *other)
{
    stook_token *token = bond->token;

    if (!token || !other || other->token != token || !token->scope || token->scope->limit != 1) {
        return false;
    }
    mtx_lock(&token->mutex);
    /* order BD.behind rlx: who takes it just now, to cancel it, is as one who does so later */
    bool behind = bond->in_line && a_load_rlx(&bond->held) && other->has_turn;
    mtx_unlock(&token->mutex);
    return behind;
}

struct stook__bond_rest stook__bond_leave(struct stook__bond *bond, enum stook_state state,
                                          int code)
{
    stook_token *token = bond->token;
    struct stook__bond_rest rest = {0};

    if (token) {
        mtx_lock(&token->mutex);
        unlink_bond(token, bond);
        if (token->scope) {
            if (bond->is_refused) {
                token->scope->outcome.submitted--;
            } else {
                count(token->scope, state, code, &rest);
            }
            leave_scope(token->scope, bond, &rest);
        }
        mtx_unlock(&token->mutex);
    }
    return rest;
}

static void do_rest(stook_token *token, struct stook__bond_rest *rest)
{
    for (struct stook__scope_waiter *waiter = rest->waiters; waiter;) {
        struct stook__scope_waiter *next = waiter->next;
        stook__event_set(&waiter->empty);
        waiter = next;
    }
    if (rest->next) {
        stook_future *task = rest->next->task;
        stook__bond_release(rest->next);
        stook__task_release(task);
    }
    if (rest->sweep) {
        stook__token_sweep(token, STOOK__SWEEP_CANCELLED);
    }
}

void stook__bond_finish(struct stook__bond *bond, struct stook__bond_rest *rest)
{
    stook_executor *executor = stook__task_executor(bond->task);
    bool was_held = take_hold(bond);

    do_rest(bond->token, rest);
    if (bond->ended) {
        bond->ended(bond, was_held);
    }
    if (was_held) {
        stook__count(executor, STOOK__CANCELLED, 1); /* or it FAILED, without having been called */
        stook__task_release(bond->task);             /* the queue's; the caller has another */
        let_go(executor, bond->client);
    }
}
