/* SPDX-License-Identifier: MIT
 *
 * What ties a task to more than its queue: the token or scope that can cancel it, and what it is
 * held back for (its time, its turn in a scope, another future). README.md, "Bonds".
 *
 * A task that is held back is in no queue, though its executor has accepted it. The executor
 * counts it (`busy` in park.c), so it does not end and stays valid. One exchange of `held` decides
 * who ends that: the one who finds the time come pushes the task into a queue; the one who cancels
 * it drops it.
 */
#ifndef STOOK_BOND_H
#define STOOK_BOND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stook/scope.h>
#include <stook/token.h>
#include <threads.h>
#include "task.h"
#include "timer.h"

struct stook__bond {
    stook_future *task;
    stook_token *token;       /* a reference; NULL: none */
    struct stook__bond *next; /* in the token's list, oldest first; guarded by the token's mutex */
    struct stook__bond *previous;
    struct stook__bond *next_turn; /* behind it in the scope's line; guarded by the token's mutex */
    struct stook__bond *previous_turn;
    bool is_listed;  /* in the token's list; guarded likewise */
    bool has_turn;   /* counts as one of those that the scope lets run; guarded likewise */
    bool in_line;    /* is in the scope's line; guarded likewise */
    bool is_refused; /* the scope is not to count it when it leaves; guarded likewise */
    bool repeats;    /* constant: shutdown in any mode cancels it */
    _Atomic(bool)
        held; /* the executor counts it as held back; changed to false by exchange, once */
    /* Called once when the task is terminal, after its waiters: takes back what it was held back
     * for. was_held: it was never released, and the executor is still there. Constant; NULL:
     * nothing to do. */
    void (*ended)(struct stook__bond *bond, bool was_held);
    stook_client *client;         /* for the push; a reference while it is held. NULL: none */
    enum stook_priority priority; /* for the push */
};

/* A token, or the first part of a scope. */
struct stook_token {
    _Atomic(uint32_t) refs;
    _Atomic(bool) cancelled;          /* by itself; what is above counts too */
    stook_executor *executor;         /* constant */
    struct stook_allocator allocator; /* its memory's; allocate NULL: malloc */
    stook_token *parent;              /* a reference; NULL: it is the executor's root */
    stook_token *root;                /* constant */
    unsigned generation;              /* of the process that made it; fork.h */
    uintptr_t mark;                   /* checks.h */
    mtx_t mutex;                      /* guards the list of bonds, and what changes in a scope */
    struct stook__bond *first_bond;
    struct stook__bond *last_bond;
    struct stook_scope *scope; /* constant; NULL: not a scope */
    bool has_alarm;            /* constant */
    struct stook__alarm alarm; /* its deadline */
    stook_token *first_child;  /* the tree, guarded by the root's tree_mutex */
    stook_token *next_sibling;
    stook_token *previous_sibling;
    mtx_t tree_mutex;   /* the root's only */
    bool executor_gone; /* the root's only; guarded by it */
};

/* One thread that waits for a scope, on its stack. */
struct stook__scope_waiter {
    struct stook__scope_waiter *next;
    struct stook__scope_waiter *previous;
    bool listed;
    struct stook__event empty; /* set once: the last touch of the record */
};

struct stook_scope {
    stook_token token; /* first: a scope is a token */
    size_t limit;      /* constant */
    bool keep_going;   /* constant */
    size_t turns;      /* tasks that have their turn */
    struct stook__bond *first_in_line;
    struct stook__bond *last_in_line;
    struct stook_scope_outcome outcome;
    struct stook__scope_waiter *waiters;
};

/* What is left to do when a task has left its token, outside all locks. */
struct stook__bond_rest {
    struct stook__bond *next; /* has its turn now; with a reference to its task */
    struct stook__scope_waiter *waiters;
    bool sweep; /* the scope has been cancelled: its first error */
};

/* A bond for a fresh task, of no list yet. Takes references. */
void stook__bond_init(struct stook__bond *bond, stook_future *task, stook_token *token,
                      stook_client *client, enum stook_priority priority);

/* With its task's record: until then who finds the task in a queue may look at its token. */
void stook__bond_fini(struct stook__bond *bond);

/* Holds the task back from now on, before anybody else can see it. The caller has prepared the
 * executor (stook__park_hold). The queue's reference stays with whoever ends it. */
void stook__bond_hold(struct stook__bond *bond);

/* Enters the task into its token's list. True: it has its turn; false: it stands in its scope's
 * line, `held` set, which the caller must have prepared the executor for (stook__park_hold). */
bool stook__bond_join(struct stook__bond *bond);

/* The same for a task that is held back for its time first, `held` set: it neither has its turn
 * nor stands in line. When the time has come it asks for its turn; true: it has it, and is to be
 * released; false: it stands in line now, or was cancelled. */
void stook__bond_join_delayed(struct stook__bond *bond);
bool stook__bond_ask_turn(struct stook__bond *bond);

/* A sweep of its token that has missed what the caller did to the task by now has left word why it
 * sweeps, which the caller sees from now on. */
void stook__bond_meet_sweep(struct stook__bond *bond);

/* For a task that joined, but then was refused, and is to be cancelled for it: its scope does not
 * count it any more when it has left. */
void stook__bond_refuse(struct stook__bond *bond);

/* May the calling thread, whose topmost task is `frame`, run the pending task in place? Not if it
 * is held back for its time or another future. One of a scope with a limit may be run if it has
 * its turn, or if it stands in the line and the caller has a turn of its own, which then serves
 * both. RELEASED: it was held back, and that has ended as by stook__bond_release(), but into the
 * caller's hands: the queue's reference is the caller's. */
enum stook__here { STOOK__HERE_NO, STOOK__HERE_YES, STOOK__HERE_RELEASED };
enum stook__here stook__bond_take_here(struct stook__bond *bond, const struct stook__frame *frame);

/* The time of a held task has come: pushes it, with the queue's reference; does nothing if it was
 * cancelled. The caller has a reference of its own. */
void stook__bond_release(struct stook__bond *bond);

/* The task has become terminal: leaves the lists; then, when waiters have been woken, does the
 * rest. */
struct stook__bond_rest stook__bond_leave(struct stook__bond *bond, enum stook_state state,
                                          int code);
void stook__bond_finish(struct stook__bond *bond, struct stook__bond_rest *rest);

/* Does it stand in the line of a scope that lets one task run at a time, behind `other`? */
bool stook__bond_waits_behind(struct stook__bond *bond, const struct stook__bond *other);

/* Cancelled, by itself or from above? NULL: no. */
bool stook__token_is_cancelled(const stook_token *token);

/* Does `token` lie at or below `above`? */
bool stook__token_is_below(const stook_token *token, const stook_token *above);

/* The root of an executor's tokens; NULL without memory or mutex. It is the first reference. */
stook_token *stook__token_create_root(stook_executor *executor);

/* The executor ends: alarms are not touched any more; gives its reference up. */
void stook__token_abandon_root(stook_token *root);

/* Sets up the common part of a fresh token or scope; false if the system refuses a mutex. */
bool stook__token_init(stook_token *token, stook_executor *executor, stook_token *parent,
                       struct stook_scope *scope);

enum stook__sweep {
    STOOK__SWEEP_CANCELLED, /* what is at or below a token that has been cancelled */
    STOOK__SWEEP_REPEATED,  /* tasks that repeat */
    STOOK__SWEEP_ALL,       /* all */
    STOOK__SWEEP_BROKEN     /* all, because the executor is broken */
};

/* Cancels pending tasks of tokens at or below this one. No lock is held. */
void stook__token_sweep(stook_token *token, enum stook__sweep what);

/* Cancels the token; what follows is left to a sweep. False: it was cancelled before. */
bool stook__token_set_cancelled(stook_token *token);

/* Cancels the token and sees to what follows before it returns; false: it was cancelled before. */
bool stook__token_cancel_and_sweep(stook_token *token);

#endif
