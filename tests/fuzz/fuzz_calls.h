/* SPDX-License-Identifier: MIT
 *
 * The model behind fuzz_calls.c: what has been made, and which state each of it must be in.
 *
 * All workers are *held*, each by a task that does not end, while the calls are made; so what has
 * been submitted stays PENDING, and the model is exact. Now and then they are let go, until nothing
 * is left that can run, and held again.
 */
#ifndef STOOK_TESTS_FUZZ_CALLS_H
#define STOOK_TESTS_FUZZ_CALLS_H

#include "fuzz.h"
#include <semaphore.h>

enum { THINGS = 40, PARENTS = 4, TOKENS = 4, SCOPES = 3, CLIENTS = 3, MOST_WORKERS = 3, NONE = -1 };

enum thing_kind { TASK, PROMISED, THEN, ALL, ANY };

/* A future, and what it comes from. */
struct thing {
    struct play *play;
    enum thing_kind kind;
    stook_future *future; /* NULL: released */
    const stook_future *was;
    enum stook_state state; /* that it must be in */
    int code;               /* that its function returns, or it has ended with */
    bool stores;            /* its function does */
    bool is_taken;
    bool never;              /* its time never comes */
    bool start_is_now;       /* it counts for a client's limit */
    int scope, token;        /* NONE */
    struct thing *completes; /* a promise, by its function */
    struct thing *awaits;    /* a task, in its function */
    bool submits;            /* a task, in its function */
    stook_promise *promise;  /* NULL: released */
    bool is_assigned;        /* to be completed by a task */
    struct thing *parents[PARENTS];
    size_t parent_count;
    enum stook_then_mode mode;
    bool on_executor;
    bool is_kept; /* something needs its state */
    bool must_run;
    atomic_int runs;
    int callbacks_due;
    atomic_int callbacks;
};

struct scope {
    stook_scope *scope; /* NULL: none */
    bool was_made;
    int token;
    size_t limit;
    bool keep_going;
    bool is_cancelled; /* itself */
};

struct token {
    stook_token *token; /* NULL: none, or released */
    bool was_made;
    int parent;
    bool is_cancelled; /* itself */
};

struct client {
    stook_client *client;
    size_t limit;
    size_t least, most; /* tasks in its queue */
};

struct play {
    stook_executor *executor;
    unsigned workers;
    bool is_held;
    bool is_closed;
    bool is_cancelled; /* shut down so */
    sem_t held, go;
    struct thing things[THINGS];
    size_t count;
    struct scope scopes[SCOPES];
    struct token tokens[TOKENS];
    struct client clients[CLIENTS];
    atomic_int values;             /* that nobody has taken or destroyed */
    atomic_int children, accepted; /* tasks of tasks: run, submitted */
};

/* By when everything must have ended that can. */
static inline int64_t patience(void)
{
    return stook_deadline_after_ns(40 * SECOND);
}

static inline bool is_terminal(enum stook_state state)
{
    return state >= STOOK_STATE_DONE;
}

static inline enum stook_state state_of_code(int code)
{
    return code == 0 ? STOOK_STATE_DONE : STOOK_STATE_FAILED;
}

/* Functions of tasks, continuations and callbacks; the argument is the thing. */
int thing_task(void *thing, void **ret_value);
int thing_then(stook_future *before, void *thing, void **ret_value);
void thing_callback(stook_future *future, void *thing);
void thing_destroy_value(void *value);

struct thing *new_thing(struct play *play, enum thing_kind kind);

bool token_is_cancelled(const struct play *play, int token);
bool scope_is_cancelled(const struct play *play, int scope);

/* What a scope must tell. */
struct stook_scope_outcome outcome_of(const struct play *play, int scope);

void hold(struct play *play);

/* Lets the workers go until nothing is left to do, and checks everything. */
void let_go(struct play *play);

/* After each call: what follows from it. may_lag: some of it is done by the timer thread. */
void settle(struct play *play, bool may_lag);

/* Each makes one of these, or makes a call on it. */
void call_token(struct play *play, struct fuzz_bytes *bytes);
void call_scope(struct play *play, struct fuzz_bytes *bytes);
void call_client(struct play *play, struct fuzz_bytes *bytes);
void end_scope(struct play *play, int index);

#endif
