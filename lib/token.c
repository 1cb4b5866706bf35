/* SPDX-License-Identifier: MIT
 *
 * Tokens: a tree of flags, and the sweep that sees to what follows when one is set.
 *
 * Setting the flag is all that cancelling is: a pending task that finds it, or one above it, set,
 * can only become CANCELLED, and whoever looks at such a task makes it so. The sweep is there for
 * those that wait, and nobody looks.
 *
 * Lock order: the root's tree_mutex, then the timer's mutex. A token's own mutex comes before the
 * injection queue's, and after none.
 */
#include <stook/token.h>
#include "allocate.h"
#include "atomics.h"
#include "bond.h"
#include "checks.h"
#include "fork.h"
#include "park.h"
#include "pool.h"
#include "submit.h"

bool stook__token_is_cancelled(const stook_token *token)
{
    for (; token; token = token->parent) {
        /* order TK.look acq <- TK.set: what the canceller wrote before is seen */
        if (a_load_acq(&token->cancelled)) {
            return true;
        }
    }
    return false;
}

bool stook__token_is_below(const stook_token *token, const stook_token *above)
{
    while (token && token != above) {
        token = token->parent;
    }
    return token != NULL;
}

/* --- lifetime -----------------------------------------------------------------------------------
 */

static void link_to_parent(stook_token *token)
{
    stook_token *parent = token->parent;

    mtx_lock(&token->root->tree_mutex);
    token->next_sibling = parent->first_child;
    token->previous_sibling = NULL;
    if (parent->first_child) {
        parent->first_child->previous_sibling = token;
    }
    parent->first_child = token;
    mtx_unlock(&token->root->tree_mutex);
}

/* Takes it out of the tree, and its alarm back unless the executor has gone. */
static void unlink_from_parent(stook_token *token)
{
    mtx_lock(&token->root->tree_mutex);
    *(token->previous_sibling ? &token->previous_sibling->next_sibling
                              : &token->parent->first_child) = token->next_sibling;
    if (token->next_sibling) {
        token->next_sibling->previous_sibling = token->previous_sibling;
    }
    if (token->has_alarm && !token->root->executor_gone) {
        stook__timer_unset(token->executor, &token->alarm);
    }
    mtx_unlock(&token->root->tree_mutex);
}

bool stook__token_init(stook_token *token, stook_executor *executor, stook_token *parent,
                       struct stook_scope *scope)
{
    const struct stook_allocator *allocator = stook__executor_allocator(executor);

    *token = (stook_token){.mark = STOOK__ALIVE,
                           .generation = stook__fork_generation(),
                           .executor = executor,
                           .scope = scope};
    token->allocator = allocator ? *allocator : (struct stook_allocator){0};
    atomic_init(&token->refs, 1);
    atomic_init(&token->cancelled, false);
    if (mtx_init(&token->mutex, mtx_plain) != thrd_success) {
        return false;
    }
    if (!parent) { /* the executor's root */
        token->root = token;
        if (mtx_init(&token->tree_mutex, mtx_plain) != thrd_success) {
            mtx_destroy(&token->mutex);
            return false;
        }
        return true;
    }
    token->parent = stook_token_retain(parent);
    token->root = parent->root;
    link_to_parent(token);
    return true;
}

stook_token *stook__token_create_root(stook_executor *executor)
{
    const struct stook_allocator *allocator = stook__executor_allocator(executor);
    stook_token *root = stook__allocate(allocator, sizeof *root);

    if (root && !stook__token_init(root, executor, NULL, NULL)) {
        stook__deallocate(allocator, root, sizeof *root);
        return NULL;
    }
    return root;
}

void stook__token_abandon_root(stook_token *root)
{
    mtx_lock(&root->tree_mutex);
    root->executor_gone = true;
    mtx_unlock(&root->tree_mutex);
    stook_token_release(root);
}

static size_t token_bytes(const stook_token *token)
{
    return token->scope ? sizeof(struct stook_scope) : sizeof(stook_token);
}

stook_token *stook_token_retain(stook_token *token)
{
    if (token) {
        STOOK_CHECK_ALIVE(token, "a token or scope");
        /* order TK.ref rlx: the caller holds one, so it cannot be the last that goes */
        a_add_rlx(&token->refs, 1U);
    }
    return token;
}

/* A reference from one that may be the last to go just now; false: it has gone. */
static bool try_retain(stook_token *token)
{
    /* order TK.live rlx: the swap decides */
    uint32_t refs = a_load_rlx(&token->refs);
    while (refs > 0) {
        /* order TK.try acq <- TK.unref: as a fresh look at it */
        if (a_cas_acq(&token->refs, &refs, refs + 1)) {
            return true;
        }
    }
    return false;
}

void stook_token_release(stook_token *token)
{
    if (token && stook__forked(token->generation)) {
        return; /* a mutex may be held for ever: the child leaves it as it was */
    }
    while (token) { /* a token gives up its parent with it */
        STOOK_CHECK_ALIVE(token, "a token or scope");
        stook_token *parent = token->parent;
        /* order TK.unref acqrel -> TK.unref, TK.try: who frees comes after all others' uses */
        if (a_sub_acqrel(&token->refs, 1U) != 1) {
            return;
        }
        if (parent) {
            unlink_from_parent(token);
        } else {
            mtx_destroy(&token->tree_mutex);
        }
        mtx_destroy(&token->mutex);
        STOOK_MARK_DEAD(token->mark);
        struct stook_allocator allocator = token->allocator;
        stook__deallocate(allocator.allocate ? &allocator : NULL, token, token_bytes(token));
        token = parent;
    }
}

/* --- sweeping -----------------------------------------------------------------------------------
 */

/* Entered by its deadline. */
static void deadline_passed(struct stook__alarm *alarm)
{
    stook_token *token = (stook_token *)((char *)alarm - offsetof(stook_token, alarm));

    if (try_retain(token)) {
        stook__token_cancel_and_sweep(token);
        stook_token_release(token);
    }
}

static bool is_pending(const stook_future *task)
{
    /* order TK.pending rlx: a guess; cancelling decides */
    return stook__task_state(a_load_rlx(&task->word)) == STOOK_STATE_PENDING;
}

/* The oldest pending task of the token, with a reference; NULL: none. The mutex keeps its record: a
 * bond leaves the list before its task lets go of what it was finished with. */
static stook_future *next_pending(stook_token *token, enum stook__sweep what)
{
    stook_future *task = NULL;

    mtx_lock(&token->mutex);
    for (struct stook__bond *bond = token->first_bond; bond && !task; bond = bond->next) {
        if (is_pending(bond->task) && (what != STOOK__SWEEP_REPEATED || bond->repeats)) {
            task = bond->task;
            stook__task_retain(task);
        }
    }
    mtx_unlock(&token->mutex);
    return task;
}

static void sweep_one(stook_token *token, enum stook__sweep what)
{
    stook_future *task;

    while ((task = next_pending(token, what)) != NULL) {
        if (what == STOOK__SWEEP_BROKEN) {
            stook__task_cancel_broken(task);
        } else {
            stook__task_cancel_pending(task);
        }
        stook__task_release(task);
    }
}

/* The token next to `token` in a walk over all at or below `top`, parents first; NULL: that was
 * the last. */
static stook_token *next_in_tree(const stook_token *top, stook_token *token)
{
    if (token->first_child) {
        return token->first_child;
    }
    while (token != top && !token->next_sibling) {
        token = token->parent;
    }
    return token == top ? NULL : token->next_sibling;
}

/* The next one that the sweep concerns, with a reference, for the one that `token` has. What has a
 * reference stays in the tree. */
static stook_token *advance(stook_token *top, stook_token *token, enum stook__sweep what)
{
    stook_token *next = token;

    mtx_lock(&top->root->tree_mutex);
    do {
        next = next_in_tree(top, next);
    } while (next && ((what == STOOK__SWEEP_CANCELLED && !stook__token_is_cancelled(next)) ||
                      !try_retain(next)));
    mtx_unlock(&top->root->tree_mutex);
    stook_token_release(token);
    return next;
}

void stook__token_sweep(stook_token *top, enum stook__sweep what)
{
    stook_token *token = stook_token_retain(top);

    stook_token_retain(top); /* while the walk is below it */
    while (token) {
        if (what != STOOK__SWEEP_CANCELLED || stook__token_is_cancelled(token)) {
            sweep_one(token, what);
        }
        token = advance(top, token, what);
    }
    stook_token_release(top);
}

bool stook__token_set_cancelled(stook_token *token)
{
    /* order TK.set acqrel -> TK.look: see there; and one of several is first */
    return !a_xchg_acqrel(&token->cancelled, true);
}

bool stook__token_cancel_and_sweep(stook_token *token)
{
    if (!stook__token_set_cancelled(token)) {
        return false;
    }
    stook__token_sweep(token, STOOK__SWEEP_CANCELLED);
    return true;
}

/* --- public -------------------------------------------------------------------------------------
 */

enum stook_status stook_token_create(stook_executor *executor, stook_token *parent,
                                     int64_t deadline_ns, stook_token **ret_token)
{
    if (!executor || !ret_token || (parent && parent->executor != executor)) {
        return STOOK_INVALID;
    }
    enum stook_status status = stook__submit_hold(executor);
    if (status != STOOK_OK) {
        return status;
    }
    const struct stook_allocator *allocator = stook__executor_allocator(executor);
    stook_token *token = stook__allocate(allocator, sizeof *token);
    if (!token) {
        status = STOOK_NOMEM;
    } else if (!stook__timer_start(executor) ||
               !stook__token_init(token, executor, parent ? parent : executor->root, NULL)) {
        stook__deallocate(allocator, token, sizeof *token);
        status = STOOK_THREAD;
    } else {
        token->has_alarm = deadline_ns != STOOK_FOREVER;
        token->alarm = (struct stook__alarm){.due_ns = deadline_ns, .ring = deadline_passed};
        if (token->has_alarm) {
            stook__timer_set(executor, &token->alarm);
        }
        *ret_token = token;
    }
    stook__park_let_go(executor);
    return status;
}

bool stook_token_cancel(stook_token *token)
{
    if (!token || stook__forked(token->generation) || !stook__token_set_cancelled(token)) {
        return false;
    }
    stook__timer_tell(token->executor);
    return true;
}

bool stook_token_cancelled(const stook_token *token)
{
    return stook__token_is_cancelled(token);
}
