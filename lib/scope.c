/* SPDX-License-Identifier: MIT
 *
 * Scopes: a token whose tasks are counted, take turns, and are waited for.
 */
#include <stook/scope.h>
#include "allocate.h"
#include "bond.h"
#include "checks.h"
#include "fork.h"
#include "park.h"
#include "pool.h"
#include "submit.h"
#include "wait.h"
#include "worker.h"

/* What cancels the calling task cancels a scope that it creates. */
static stook_token *inherited_token(const stook_executor *executor)
{
    const struct stook__frame *frame = stook__frame_current();
    const stook_future *task = frame ? frame->task : NULL;
    bool inherits = task && task->bond && stook__task_executor(task) == executor;

    return inherits ? task->bond->token : NULL;
}

enum stook_status stook_scope_create(stook_executor *executor,
                                     const struct stook_scope_options *options,
                                     stook_scope **ret_scope)
{
    const struct stook_scope_options defaults = STOOK_SCOPE_OPTIONS_INIT;

    options = options ? options : &defaults;
    if (!executor || !ret_scope || options->struct_size != sizeof *options ||
        (options->parent && options->parent->executor != executor)) {
        return STOOK_INVALID;
    }
    enum stook_status status = stook__submit_hold(executor);
    if (status != STOOK_OK) {
        return status;
    }
    const struct stook_allocator *allocator = stook__executor_allocator(executor);
    stook_scope *scope = stook__allocate(allocator, sizeof *scope);
    if (!scope) {
        status = STOOK_NOMEM;
    } else {
        stook_token *parent = options->parent ? options->parent : inherited_token(executor);
        *scope = (struct stook_scope){.limit = options->limit, .keep_going = options->keep_going};
        if (stook__token_init(&scope->token, executor, parent ? parent : executor->root, scope)) {
            *ret_scope = scope;
        } else {
            stook__deallocate(allocator, scope, sizeof *scope);
            status = STOOK_THREAD;
        }
    }
    stook__park_let_go(executor);
    return status;
}

/* --- waiting ---------------------------------------------------------------------------------- */

static bool is_empty(const struct stook_scope_outcome *outcome)
{
    return outcome->submitted == outcome->done + outcome->failed + outcome->cancelled;
}

/* Enters a waiter unless no task is left. */
static bool add_waiter(stook_scope *scope, struct stook__scope_waiter *waiter)
{
    mtx_lock(&scope->token.mutex);
    bool wait = !is_empty(&scope->outcome);
    if (wait) {
        waiter->listed = true;
        waiter->previous = NULL;
        waiter->next = scope->waiters;
        if (scope->waiters) {
            scope->waiters->previous = waiter;
        }
        scope->waiters = waiter;
    }
    mtx_unlock(&scope->token.mutex);
    return wait;
}

/* Takes a waiter out; false: its event has been set, or will be within moments. */
static bool remove_waiter(stook_scope *scope, struct stook__scope_waiter *waiter)
{
    mtx_lock(&scope->token.mutex);
    bool listed = waiter->listed;
    if (listed) {
        *(waiter->previous ? &waiter->previous->next : &scope->waiters) = waiter->next;
        if (waiter->next) {
            waiter->next->previous = waiter->previous;
        }
    }
    mtx_unlock(&scope->token.mutex);
    return listed;
}

static struct stook_scope_outcome outcome_of(stook_scope *scope)
{
    mtx_lock(&scope->token.mutex);
    struct stook_scope_outcome outcome = scope->outcome;
    mtx_unlock(&scope->token.mutex);
    return outcome;
}

static enum stook_status sleep_until_empty(stook_scope *scope, int64_t deadline_ns)
{
    struct stook__scope_waiter waiter;
    enum stook_status status = STOOK_OK;

    if (!stook__event_init(&waiter.empty)) {
        return STOOK_THREAD;
    }
    if (add_waiter(scope, &waiter)) {
        status = stook__wait_for(&waiter.empty, deadline_ns, NULL, scope);
        if (status != STOOK_OK && !remove_waiter(scope, &waiter)) {
            stook__event_wait_until(&waiter.empty, STOOK_FOREVER);
            status = STOOK_OK;
        }
    }
    stook__event_fini(&waiter.empty);
    return status;
}

/* Is the calling thread in a task of the scope, or of one nested in it? */
static bool is_inside(const stook_scope *scope)
{
    for (const struct stook__frame *frame = stook__frame_current(); frame; frame = frame->below) {
        const struct stook__bond *bond = frame->task->bond;
        if (bond && stook__token_is_below(bond->token, &scope->token)) {
            return true;
        }
    }
    return false;
}

static enum stook_status wait_until_empty(stook_scope *scope, int64_t deadline_ns)
{
    struct stook_scope_outcome outcome = outcome_of(scope);

    if (is_empty(&outcome)) {
        return STOOK_OK;
    }
    if (is_inside(scope)) {
        return STOOK_DEADLOCK;
    }
    enum stook_status status = stook__wait_allowed(deadline_ns);
    if (status != STOOK_OK) {
        return status;
    }
    if (deadline_ns == STOOK_FOREVER) {
        stook__worker_run_scope(scope);
    }
    return sleep_until_empty(scope, deadline_ns);
}

enum stook_status stook_scope_wait_until(stook_scope *scope, int64_t deadline_ns,
                                         struct stook_scope_outcome *ret_outcome)
{
    if (!scope) {
        return STOOK_INVALID;
    }
    STOOK_CHECK_ALIVE(&scope->token, "a scope");
    if (stook__forked(scope->token.generation)) {
        return STOOK_FORKED;
    }
    enum stook_status status = wait_until_empty(scope, deadline_ns);
    if (status != STOOK_OK && status != STOOK_TIMEOUT) {
        return status;
    }
    struct stook_scope_outcome outcome = outcome_of(scope);
    if (ret_outcome) {
        *ret_outcome = outcome;
    }
    if (status == STOOK_TIMEOUT && is_empty(&outcome)) {
        status = STOOK_OK;
    }
    if (status == STOOK_OK && outcome.failed > 0) {
        status = STOOK_TASK_FAILED;
    } else if (status == STOOK_OK && outcome.cancelled > 0) {
        status = STOOK_CANCELLED;
    }
    return status;
}

bool stook_scope_cancel(stook_scope *scope)
{
    return scope && !stook__forked(scope->token.generation) &&
           stook__token_cancel_and_sweep(&scope->token);
}

void stook_scope_destroy(stook_scope *scope)
{
    if (!scope) {
        return;
    }
    STOOK_CHECK_ALIVE(&scope->token, "a scope");
    if (stook__forked(scope->token.generation)) {
        return;
    }
    enum stook_status status = stook_scope_wait_until(scope, STOOK_FOREVER, NULL);
    if (status == STOOK_THREAD) { /* no event to be had, but no task may outlive the scope */
        struct stook__thread *lender = stook__wait_lend();
        while (stook_scope_wait_until(scope, 0, NULL) == STOOK_TIMEOUT) {
            thrd_yield();
        }
        stook__wait_go_on(lender);
    }
    STOOK_CHECK_API(status != STOOK_DEADLOCK,
                    "stook_scope_destroy() called in the scope's own task, or in a callback");
    (void)status;
    stook_token_release(&scope->token);
}
