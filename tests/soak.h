/* SPDX-License-Identifier: MIT
 *
 * What the files of the soak share: the records that it keeps of everything that it starts, and the
 * players, who do one random thing after the other.
 *
 * A record is made for each future (or task without one), is never used again within its round, and
 * is judged when the executor has been shut down (soak.c). Its future is kept until then, so any
 * player may get a reference to any future that has been published, and do anything with it. The
 * record's own reference is for nothing else.
 */
#ifndef STOOK_TESTS_SOAK_H
#define STOOK_TESTS_SOAK_H

#include "support.h"

enum { MOST_RECORDS = 2500, ACTORS = 3, CLIENTS = 3, TOKENS = 6, MOST_DEPTH = 3 };

enum kind {
    KIND_TASK,
    KIND_PERIODIC,
    KIND_THEN,
    KIND_COMBINED, /* when_all, when_any */
    KIND_PROMISED
};

/* Of a scope: how many of its tasks run at a time. */
struct limit {
    atomic_int running;
    int most; /* 0: any number */
};

struct record {
    struct round *round;
    enum kind kind;
    uint64_t random; /* what its task does */
    unsigned depth;  /* tasks that started one another */
    int code;        /* what its function returns, or a promise is completed with */
    bool is_leaf;    /* its function does nothing else */
    bool stores;     /* a value: the record itself */
    bool has_destructor;
    bool is_counted;        /* by the executor */
    bool is_accepted;       /* submit said OK */
    bool must_be_cancelled; /* submitted with a cancelled token */
    bool may_be_cancelled;  /* has a token or a scope */
    struct limit *limit;
    struct record *before;          /* of THEN */
    enum stook_then_mode mode;      /* of THEN */
    struct record *completes;       /* a promised one; NULL: none */
    stook_promise *promise;         /* of PROMISED */
    struct record *older_completer; /* of the same player */
    atomic_int begun, ended;        /* calls of its function */
    atomic_int completions;         /* of PROMISED */
    atomic_int callbacks_expected;  /* of on_done */
    atomic_int callbacks;
    atomic_bool was_stored;    /* a future has the value */
    atomic_bool was_taken;     /* and gave it to somebody */
    atomic_bool was_cancelled; /* stook_future_cancel() said DONE */
    atomic_int destroyed;
    _Atomic(stook_future *) future; /* NULL: not yet, or nobody's */
};

struct round {
    stook_executor *executor;
    unsigned max_workers;
    bool is_exact;          /* nothing is done of which it is unknown how many tasks it makes */
    bool has_cancelled;     /* shut down with CANCEL_PENDING */
    atomic_bool is_closing; /* from before shutdown on */
    atomic_uint used;       /* may be larger than MOST_RECORDS */
    atomic_int actors;      /* that have not finished */
    atomic_int inits, exits;
    stook_client *clients[CLIENTS];
    stook_token *tokens[TOKENS]; /* a tree, used by all */
    struct record records[MOST_RECORDS];
};

enum { MOST_HELD = 16 };

/* One who acts: a thread outside, or a task. */
struct player {
    stook_future *held[MOST_HELD]; /* references, until the action ends */
    unsigned held_count;
    struct round *round;
    uint64_t random;
    unsigned depth;           /* 0: outside */
    struct record *completer; /* the newest that completes a promise; outside only */
};

/* soak.c */

/* A fresh record, or NULL when they have run out. */
struct record *new_record(struct player *player, enum kind kind);

/* Somebody's future, held; NULL: none at hand. */
struct record *any_record(struct player *player);
stook_future *future_of(struct record *record);

/* Gives the player a reference to the record's future. Without play(), which does it in the end,
 * who acts lets go of what the player holds. */
void hold(struct player *player, struct record *record);
void let_go(struct player *player);

/* Gives the record the caller's reference, and the future to everybody. */
void publish(struct record *record, stook_future *future);

/* Books what a submit, or a like call, answered. refusal: what it may answer when it cannot (other
 * than SHUTDOWN). True: accepted. future: NULL if nobody wanted it. */
bool note_accepted(struct record *record, enum stook_status status, enum stook_status refusal,
                   stook_future *future);

/* True for OK, and for SHUTDOWN when the executor is closing; false is the latter. */
bool must_be_open(const struct player *player, enum stook_status status);

/* A moment up to a millisecond from now. */
int64_t soon(struct player *player);

/* soak_actions.c */

/* The functions of tasks and continuations; the argument is the record. */
int soak_task(void *record, void **ret_value);
int soak_then(stook_future *before, void *record, void **ret_value);

/* Does one random thing. */
void play(struct player *player);

/* Submits a task with these options; NULL: it was refused, or records ran out. */
struct record *submit_one(struct player *player, const struct stook_submit_options *options,
                          struct limit *limit);

void check_stats(stook_executor *executor, struct stook_stats *ret_stats);

/* soak_groups.c: what makes or uses more than futures */
void act_family(struct player *player);
void act_scope(struct player *player);
void act_token(struct player *player);
void act_promise(struct player *player);
void act_stream(struct player *player);
void act_map(struct player *player);
void act_region(struct player *player);
void act_blocking(struct player *player);
void act_resize(struct player *player);

/* Releases the promises of a player whose completing tasks have ended. */
void end_promises(struct player *player);

#endif
