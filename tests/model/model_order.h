/* SPDX-License-Identifier: MIT
 *
 * The steps of an execution, and what is still to be tried at each of them.
 */
#ifndef MODEL_ORDER_H
#define MODEL_ORDER_H

#include "explorer.h"

enum { EXPLORER_STEPS = 2000 }; /* at most, or it does not end */

/* Sets of threads are masks. */
struct step {
    unsigned thread;
    struct op op;
    unsigned choices; /* outcomes that it may have; and the one that it has */
    unsigned choice;
    unsigned enabled;   /* who could have gone on instead */
    unsigned eager;     /* those of them who do not yield */
    unsigned backtrack; /* who shall, at some time */
    unsigned done;      /* who has been tried */
    unsigned sleep;     /* whose turn here would lead to what has been seen */
    unsigned preemptions;
    unsigned same;     /* the last step before it with this address; numbers from 1 on, 0: none */
    unsigned fence;    /* the last step before it that meets others without one */
    unsigned raced_by; /* the number of the last step that met it, and was not behind it already */
    uint16_t clock[MODEL_THREADS]; /* the steps that come before it in every equivalent order */
};

extern struct step explorer_steps[EXPLORER_STEPS];
extern unsigned explorer_length;                               /* steps of this execution so far */
extern uint16_t explorer_clocks[MODEL_THREADS][MODEL_THREADS]; /* of each thread's last step */
extern const struct model *explorer_model;

static inline unsigned bit(unsigned thread)
{
    return 1U << thread;
}

static inline unsigned lowest(unsigned set)
{
    return (unsigned)__builtin_ctz(set);
}

/* Do the two meet, so that their order may make a difference? */
bool order_depend(const struct op *a, const struct op *b);
void order_join(uint16_t into[], const uint16_t from[]);
/* Gives the last step its clock; is_new: and plans to try it before those that it meets. */
void order_note(bool is_new);
void order_reset(void);

#endif
