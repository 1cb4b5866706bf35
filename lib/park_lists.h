/* SPDX-License-Identifier: MIT
 *
 * What park.c and resize.c do to the word `idle` and the lists. The park mutex is held in every
 * function that is not marked otherwise.
 */
#ifndef STOOK_PARK_LISTS_H
#define STOOK_PARK_LISTS_H

#include <stdbool.h>
#include <stdint.h>
#include "park.h"
#include "pool.h"

/* Whether a worker should be woken for a task: one sleeps, and nobody searches. */
static inline bool stook__idle_wants_wake(uint32_t idle)
{
    return (idle & IDLE_SLEEPING_MASK) > 0 && idle < IDLE_SEARCHING;
}

/* Every change of `idle` comes through here; gives the new word. Searching may change without the
 * mutex. */
uint32_t stook__idle_add(struct stook__park *park, uint32_t change);

/* Is there a task in any queue, or a fork on offer? If not, regions are asked for some. Ordered by
 * a fence before it; needs no mutex. */
bool stook__park_any_task(stook_executor *executor);

void stook__park_push_idle(struct stook__park *park, struct stook__worker *worker);
/* NULL: none is idle. */
struct stook__worker *stook__park_pop_idle(struct stook__park *park);

/* Also sets its moment to leave, if there are more threads than workers. */
void stook__park_push_spare(struct stook__thread *thread);
/* NULL: none is spare. */
struct stook__thread *stook__park_pop_spare(struct stook__park *park);
/* Takes this one out, which is spare. */
void stook__park_unlink_spare(struct stook__thread *thread);

/* Are there more threads than workers? */
bool stook__park_has_surplus_threads(const stook_executor *executor);

/* Workers that are too many, and not idle; exact only under the mutex. resize.c */
uint32_t stook__park_surplus(const struct stook__park *park);

/* Retires a worker that its thread gives up, if there are too many; false: there are not. resize.c
 */
bool stook__park_retire_surplus(struct stook__park *park, struct stook__worker *worker);

/* Sleeps as a spare, without the mutex. True: the thread holds a worker now. False: it must leave,
 * because the executor has ended or there has been no work for long. park.c */
bool stook__park_sleep(struct stook__thread *thread);

#endif
