/* SPDX-License-Identifier: MIT
 *
 * What a model program sees of the checker: it sets up some objects of lib/, starts threads, joins
 * them, and says what must hold. README.md tells what is explored.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>

struct model {
    const char *name;
    void (*run)(void);        /* the first thread; called once for each execution */
    unsigned stale_reads;     /* most loads of one execution that do not give the newest value */
    unsigned preemptions;     /* most switches away from a thread that could go on; 0: no bound */
    unsigned long executions; /* when so many have been explored, the rest is left */
    unsigned free_yields;     /* that a thread may go on from though nobody has written anything */
};

/* Explores each in turn, or those that are named; the rest of main(). Options: see README.md. */
int model_main(int argc, char **argv, const struct model *models, size_t count);

/* The thread begins later, as any other may. At most MODEL_THREADS, the first one included. */
enum { MODEL_THREADS = 6 };
void model_start(void (*fn)(void *arg), void *arg);
/* Waits for all that the calling thread has started. */
void model_join(void);

/* Gives 0 .. count - 1, each in some execution. */
unsigned model_choose(unsigned count);

/* Lets others go on: it comes back when one of them has written something. */
void model_yield(void);

/* Ends the execution as right: what the threads would do from here on does not matter. */
_Noreturn void model_end(void);

/* Ends the execution as wrong. */
_Noreturn void model_fail(const char *what);

#define MODEL_TEXT_(x) #x
#define MODEL_TEXT(x) MODEL_TEXT_(x)
#define MODEL_CHECK(condition)                                                                     \
    ((condition) ? (void)0 : model_fail(__FILE__ ":" MODEL_TEXT(__LINE__) ": " #condition))

#endif
