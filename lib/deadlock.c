/* SPDX-License-Identifier: MIT
 *
 * The search for cycles. README.md, "Deadlocks", has the proof that it finds each one, and only
 * those.
 *
 * Each executor lists its waiting threads under a mutex. Who is about to wait follows, breadth
 * first, from what it waits for to the threads that have that on their stacks, to what these wait
 * for, until it comes to a task on its own stack. It holds the mutexes of all executors that it
 * comes through until it is listed itself. They are taken without an order, so all but the first
 * are only tried.
 */
#include "deadlock.h"
#include <inttypes.h>
#include <stdio.h>
#include "bond.h"
#include "park.h"
#include "pool.h"
#include "report.h"
#include "task.h"

enum {
    MAX_EXECUTORS = 8, /* of one search; beyond it, it stops without a finding */
    REPORT_BYTES = 2048
};

/* How many locks are held where is more than clang's analysis can follow. */
#ifdef __clang__
#define MANY_LOCKS __attribute__((no_thread_safety_analysis))
#else
#define MANY_LOCKS
#endif

struct search {
    struct stook__awaited *self;
    stook_executor *locked[MAX_EXECUTORS]; /* all but the first, the searcher's own, are held */
    unsigned locked_count;
    struct stook__awaited *first; /* found, not followed yet; chained by next_found */
    struct stook__awaited *last;
    bool must_retry; /* a mutex was taken */
};

bool stook__waits_init(struct stook__waits *waits)
{
    waits->first = NULL;
    return mtx_init(&waits->mutex, mtx_plain) == thrd_success;
}

void stook__waits_fini(struct stook__waits *waits)
{
    mtx_destroy(&waits->mutex);
}

/* --- the graph ----------------------------------------------------------------------------------
 */

/* Is the wait for something that ends only after the task `frame` has? */
static bool is_awaited(const struct stook__awaited *by, const struct stook__frame *frame)
{
    const struct stook__bond *bond = frame->task->bond;

    if (by->scope) {
        /* One of a nested scope is awaited only if a task of the scope itself waits for it. */
        return bond && bond->token == &by->scope->token;
    }
    return frame->task == by->future ||
           (by->future->bond && stook__bond_waits_behind(by->future->bond, bond));
}

static bool awaits_stack(const struct stook__awaited *by, const struct stook__frame *top)
{
    for (const struct stook__frame *frame = top; frame; frame = frame->below) {
        if (is_awaited(by, frame)) {
            return true;
        }
    }
    return false;
}

/* Locks the list where those that `by` waits for are, so that they stay; NULL: there are none, or
 * it cannot be had now. */
static MANY_LOCKS struct stook__waits *lock_awaited(struct search *search,
                                                    const struct stook__awaited *by)
{
    stook_executor *executor =
        by->future ? stook__task_executor(by->future) : by->scope->token.executor;
    struct stook__waits *waits = executor ? &executor->waits : NULL;

    for (unsigned i = 0; i < search->locked_count; i++) {
        if (search->locked[i] == executor) {
            return waits;
        }
    }
    if (!waits || search->locked_count == MAX_EXECUTORS) {
        return NULL;
    }
    /* The executor of a future stays as long as that is not terminal; after that, because it is
     * held. */
    if (by->future && !stook__task_pin(by->future)) {
        return NULL;
    }
    stook__park_hold(executor);
    if (by->future) {
        stook__task_unpin(by->future);
    }
    if (mtx_trylock(&waits->mutex) != thrd_success) {
        stook__park_let_go(executor);
        search->must_retry = true;
        return NULL;
    }
    search->locked[search->locked_count++] = executor;
    return waits;
}

/* Adds those whose stacks `by` waits for. */
static void find_awaited(struct search *search, struct stook__awaited *by)
{
    struct stook__waits *waits = lock_awaited(search, by);

    for (struct stook__awaited *other = waits ? waits->first : NULL; other; other = other->next) {
        if (!other->is_found && awaits_stack(by, other->frame)) {
            other->is_found = true;
            other->found_by = by;
            other->next_found = NULL;
            *(search->first ? &search->last->next_found : &search->first) = other;
            search->last = other;
        }
    }
}

/* The last of a cycle, which waits for a task on the searcher's stack; NULL: there is none. The
 * searcher alone is one, if it waits for what is in line behind a task below it. */
static struct stook__awaited *find_cycle(struct search *search)
{
    if (awaits_stack(search->self, search->self->frame)) {
        return search->self;
    }
    find_awaited(search, search->self);
    while (search->first && !search->must_retry) {
        struct stook__awaited *next = search->first;
        if (awaits_stack(next, search->self->frame)) {
            return next;
        }
        search->first = next->next_found;
        find_awaited(search, next);
    }
    return NULL;
}

static MANY_LOCKS void unlock(struct search *search)
{
    for (unsigned i = 0; i < search->locked_count; i++) {
        struct stook__waits *waits = &search->locked[i]->waits;
        for (struct stook__awaited *other = waits->first; other; other = other->next) {
            other->is_found = false;
        }
        mtx_unlock(&waits->mutex);
        if (i > 0) {
            stook__park_let_go(search->locked[i]);
        }
    }
}

/* --- the report ---------------------------------------------------------------------------------
 */

struct text {
    char bytes[REPORT_BYTES];
    size_t length;
};

/* Appends a line: task waits for target, which is a scope or, if that is false, another task. */
static void add_line(struct text *text, const stook_future *task, const void *target, bool is_scope)
{
    size_t room = sizeof text->bytes - text->length;
    int length = snprintf(
        text->bytes + text->length, room, "\n  task %p (function 0x%" PRIxPTR ") waits for %s %p",
        (const void *)task, (uintptr_t)task->fn, is_scope ? "scope" : "task", target);

    if (length > 0 && (size_t)length < room) {
        text->length += (size_t)length;
    } else {
        text->bytes[text->length] = '\0'; /* a line that has no room is left out */
    }
}

/* The tasks of a stack from the topmost down to the first that `by` waits for: each waits for the
 * one above it, and the topmost for `target`. */
static void add_stack(struct text *text, const struct stook__frame *top,
                      const struct stook__awaited *by, const void *target, bool is_scope)
{
    for (const struct stook__frame *frame = top; frame; frame = frame->below) {
        add_line(text, frame->task, target, is_scope);
        if (is_awaited(by, frame)) {
            return;
        }
        target = frame->task;
        is_scope = false;
    }
}

static const void *target_of(const struct stook__awaited *awaited)
{
    return awaited->future ? (const void *)awaited->future : (const void *)awaited->scope;
}

/* A cycle from the searcher over those that it found to `last`, which waits for the searcher. Told
 * from its end to its beginning. */
static void describe_cycle(struct text *text, const struct stook__awaited *self,
                           const struct stook__awaited *last)
{
    text->length =
        (size_t)snprintf(text->bytes, sizeof text->bytes, "deadlock: tasks wait for each other");
    for (const struct stook__awaited *at = last; at != self; at = at->found_by) {
        add_stack(text, at->frame, at->found_by, target_of(at), at->scope);
    }
    add_stack(text, self->frame, last, target_of(self), self->scope);
}

void stook__waits_report_self(const struct stook__frame *top, const stook_future *future)
{
    const struct stook__awaited self = {.future = (stook_future *)(uintptr_t)future};
    struct text text = {.length = 0};
    stook_executor *executor = stook__task_executor(top->task);

    text.length = (size_t)snprintf(text.bytes, sizeof text.bytes,
                                   "deadlock: a task waits for itself, or for one below it");
    add_stack(&text, top, &self, future, false);
    stook__report(&executor->options, "%s", text.bytes);
}

/* --- entering and leaving --------------------------------------------------------------------- */

static void list(struct stook__waits *waits, struct stook__awaited *awaited)
{
    awaited->is_found = false;
    awaited->previous = NULL;
    awaited->next = waits->first;
    if (waits->first) {
        waits->first->previous = awaited;
    }
    waits->first = awaited;
}

MANY_LOCKS bool stook__waits_enter(struct stook__awaited *awaited)
{
    stook_executor *executor = awaited->thread->executor;
    struct search search;
    struct stook__awaited *last;
    struct text text;

    for (;;) {
        search = (struct search){.self = awaited};
        mtx_lock(&executor->waits.mutex);
        search.locked[search.locked_count++] = executor;
        last = find_cycle(&search);
        if (!search.must_retry) {
            break;
        }
        unlock(&search);
        thrd_yield();
    }
    if (last) {
        describe_cycle(&text, awaited, last);
    } else {
        list(&executor->waits, awaited);
    }
    unlock(&search);
    if (last) {
        stook__report(&executor->options, "%s", text.bytes);
    }
    return !last;
}

void stook__waits_leave(struct stook__awaited *awaited)
{
    struct stook__waits *waits = &awaited->thread->executor->waits;

    mtx_lock(&waits->mutex);
    *(awaited->previous ? &awaited->previous->next : &waits->first) = awaited->next;
    if (awaited->next) {
        awaited->next->previous = awaited->previous;
    }
    mtx_unlock(&waits->mutex);
}
