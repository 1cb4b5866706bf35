/* SPDX-License-Identifier: MIT
 *
 * Between the parts of the checker: explorer.c decides who goes on, model_memory.c what is read,
 * and model_system.c stands for the C library and the kernel.
 */
#ifndef EXPLORER_H
#define EXPLORER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "model.h"

/* What a thread is about to do. */
enum operation {
    OP_SILENT, /* begins, joins, yields, chooses, wakes up: meets nothing of others */
    OP_LOAD,
    OP_WRITE, /* also a read-modify-write, and what a futex does */
    OP_LOCK,
    OP_FENCE,    /* sequentially consistent */
    OP_FENCE_ALL /* of all threads */
};

struct op {
    enum operation kind;
    bool sc; /* takes part in the order of sequentially consistent operations */
    const void *address;
    const char *what;
    void *caller;
};

/* A set of messages, and of what happened before: for each place the oldest message that may still
 * be read, for each thread the newest of its epochs that is known. */
enum { MODEL_PLACES = 384 };
struct view {
    uint16_t epoch[MODEL_THREADS];
    uint16_t oldest[MODEL_PLACES];
};

enum wait { WAITS_NOT, WAITS_LOCK, WAITS_FUTEX, WAITS_JOIN };

struct thread {
    struct view view;     /* what it must see */
    struct view acquired; /* what it will have to see after a fence */
    struct view released; /* what those see who acquire from its relaxed stores */
    struct op pending;
    enum wait waits;
    const void *waits_for; /* a mutex, a word, a thread */
    bool yields;
    unsigned yielded;          /* how often, while others wrote nothing */
    unsigned long writes_seen; /* by others, when it yielded */
    unsigned long writes;      /* its own */
    bool over;
    bool is_joined;
    int looked[16]; /* places that it has read since it last yielded */
    unsigned look_count;
    void (*fn)(void *arg);
    void *arg;
    unsigned creator;
    bool is_models; /* started by model_start() */
};

extern struct thread explorer_threads[MODEL_THREADS];
extern bool explorer_runs;            /* in an execution */
extern unsigned explorer_current;     /* the thread that runs */
extern unsigned explorer_count;       /* threads of this execution */
extern unsigned explorer_stale_left;  /* stale reads that are still allowed */
extern unsigned long explorer_writes; /* of all threads */
extern unsigned long explorer_number; /* of this execution, from 1 on */

static inline struct thread *explorer_self(void)
{
    return &explorer_threads[explorer_current];
}

/* The calling thread is about to do this: comes back when it shall. */
void explorer_point(enum operation kind, bool sc, const void *address, const char *what,
                    void *caller);
/* One of several outcomes of what it was let do. */
unsigned explorer_choose(unsigned count);
/* A thread that has no more to do until others end its wait. */
void explorer_block(enum wait waits, const void *waits_for, const char *what, void *caller);
/* Ends such a wait of the thread. */
void explorer_wake(unsigned thread);
unsigned explorer_start(void (*fn)(void *arg), void *arg);
void explorer_join(unsigned thread);
/* The number of the step; 0: before there were several threads. */
unsigned explorer_step(void);
/* Could the current step have come before that one, but for what both touch, so that this order is
 * explored, too? */
bool explorer_could_precede(unsigned step);
/* Are all others over, and all that they did is known to the calling thread? */
bool explorer_alone(void);

/* model_memory.c */
void memory_reset(void);
void memory_thread_starts(unsigned thread, unsigned creator);
void memory_join(struct view *into, const struct view *from);
void memory_release(struct view *ret_view); /* what the calling thread passes on; begins an epoch */
void memory_fence_all(void);
bool memory_yielded(void);
uint32_t memory_newest_u32(const void *address); /* also what the calling thread will see */
void memory_free(void *memory, size_t size, void *caller);
struct region {
    char *begin;
    char *end;
};
extern struct region memory_arena; /* stacks, then what malloc() gives */
enum { EXPLORER_STACK = 1 << 17 };

enum change { CHANGE_ADD, CHANGE_SUB, CHANGE_AND, CHANGE_OR, CHANGE_XOR, CHANGE_SET };
uint64_t memory_load(const void *address, size_t size, int order, void *caller);
void memory_store(void *address, size_t size, uint64_t value, int order, void *caller);
uint64_t memory_change(void *address, size_t size, enum change change, uint64_t operand, int order,
                       void *caller);
bool memory_swap(void *address, size_t size, uint64_t *expected, uint64_t value, int order,
                 int failed_order, void *caller);
void memory_fence(int order, void *caller);
/* A plain access. */
void memory_touch(const void *address, size_t size, bool is_write, void *caller);

/* model_system.c */
void system_reset(void);
/* Is the mutex free? */
bool system_is_free(const void *mutex);

#endif
