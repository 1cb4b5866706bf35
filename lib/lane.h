/* SPDX-License-Identifier: MIT
 *
 * A lane: the open forks of one thread in one region, oldest first. README.md, "Fork and join", has
 * the protocol.
 *
 *     slot:  0 ...  tail ...      split ...     head
 *            stolen | offered     | private     |
 *
 * The owner is the thread that has leased the lane, and the head is in its functions' `here` only.
 * The other two are in one word, which is changed by compare-and-swap while anything is offered.
 */
#ifndef STOOK_LANE_H
#define STOOK_LANE_H

#include <stdbool.h>
#include <stdint.h>
#include <stook/executor.h>
#include <stook/fork_join.h>
#include <stook/future.h>
#include "atomics.h"
#include "platform.h"

struct stook__thread;
struct stook__frame;

/* What stands before the slots. */
struct stook__lane_head {
    struct stook__lane start;  /* first. The owner's, and of those who ask; so is the other end */
    stook_executor *executor;  /* constant */
    struct stook__frame *root; /* that the region runs in, on the stack of the thread that entered
                                  it; the owner's, constant in a region */
    struct stook__lane_head *next_free; /* guarded by the park mutex */
    /* What thieves look at. From high to low: epoch (32 bits), tail (16), split (16). The epoch is
     * the number of stolen forks that the owner has made here. */
    _Alignas(STOOK_CACHE_LINE) _Atomic(uint64_t) offers;
    _Atomic(bool) is_active;       /* a region runs here; the owner's, read by those who ask */
    struct stook__lane_head *next; /* constant once it is listed */
};

static_assert(sizeof(struct stook__lane_head) % sizeof(stook_here) == 0, "slots follow at once");
static_assert(STOOK__LANE_SIZE / sizeof(stook_here) <= UINT16_MAX, "16 bits for an index");
static_assert(_Alignof(struct stook__event) >= 4, "two bits beside its address");

/* A slot's `state` since it was offered: 0, then one of these. What they are added to is a multiple
 * of 4. */
enum {
    LANE_TAKEN = 1,  /* + the lane in which it is made, 0 for none */
    LANE_SLEEPS = 2, /* + the event of the thread that waits for it */
    LANE_DONE = 3    /* + 0 */
};

/* All of an executor; they stay until it is destroyed. */
struct stook__lanes {
    _Atomic(struct stook__lane_head *) first; /* newest first */
    _Atomic(unsigned) count;
    struct stook__lane_head *free; /* leased by nobody, nor kept by a thread; park mutex */
};

/* A fork that the caller has taken, and must make. */
struct stook__theft {
    struct stook__lane_head *lane;
    stook_here *slot;
};

static inline struct stook__lane_head *stook__lane_head_of(stook_here *here)
{
    return (struct stook__lane_head *)(void *)stook__lane_of(here);
}

static inline stook_here *stook__lane_first(struct stook__lane_head *lane)
{
    return (stook_here *)(void *)(lane + 1);
}

/* Where forks are made that are taken by a thread for which there is no lane: at a last slot
 * nothing is ever written, nor offered. */
static inline stook_here *stook__lane_last(struct stook__lane_head *lane)
{
    return (stook_here *)((uintptr_t)lane + STOOK__LANE_SIZE) - 2;
}

static inline struct stook__lane_end *stook__lane_end(struct stook__lane_head *lane)
{
    return stook__lane_end_of(stook__lane_first(lane));
}

/* --- leases ----------------------------------------------------------------------------------- */

/* A lane in which nothing is open, for the calling thread; NULL without memory. Nothing happens in
 * it until it is opened. */
struct stook__lane_head *stook__lane_lease(struct stook__thread *thread);
/* Gives it back; a thread keeps one for the next time. */
void stook__lane_give_back(struct stook__thread *thread, struct stook__lane_head *lane);
/* Gives up the one that the thread keeps. */
void stook__lane_leave(struct stook__thread *thread);
void stook__lanes_init(stook_executor *executor);
/* The same for a thread that is not the executor's. */
struct stook__lane_head *stook__lane_lease_apart(stook_executor *executor);
void stook__lane_give_back_apart(struct stook__lane_head *lane);

/* Frees all; no thread is left. */
void stook__lanes_fini(stook_executor *executor);

/* --- the owner -------------------------------------------------------------------------------- */

/* A region, in whose task `root` the region's first thread is, or one fork of it, begins at the
 * first slot, and has ended. Not shared: no fork will be offered. */
void stook__lane_open(struct stook__lane_head *lane, struct stook__frame *root, bool shared);
void stook__lane_close(struct stook__lane_head *lane);

/* Offers the older half of the private slots below `end`, at least one. False: there are none, and
 * the lane stays asked. Else whoever sleeps must be told (stook__park_notify). */
bool stook__lane_offer(struct stook__lane_head *lane, stook_here *end);

/* Makes the newest slot that was offered private again, with the newer half of the others. False:
 * it has been stolen. */
bool stook__lane_take_back(struct stook__lane_head *lane, stook_here *here);

/* The fork in that slot has been made elsewhere: nothing is open from there on. */
void stook__lane_settle(struct stook__lane_head *lane, stook_here *here);

/* Was the slot offered, and not been taken back? */
bool stook__lane_is_offered(struct stook__lane_head *lane, stook_here *here);

/* --- thieves ---------------------------------------------------------------------------------- */

/* Asks the owner to offer more, when it next forks or joins. Any thread. */
void stook__lane_ask(struct stook__lane_head *lane);

enum stook__loot {
    STOOK__LOOT_NONE,  /* no region runs */
    STOOK__LOOT_LATER, /* nothing is offered, but a region has been asked */
    STOOK__LOOT_GOT
};

/* Takes the oldest fork of some lane, looking at all, from a random one on. */
enum stook__loot stook__lanes_steal(stook_executor *executor, uint32_t random,
                                    struct stook__theft *ret_theft);

/* Takes the oldest fork that is offered by those who make the one in `slot`; false: there is none,
 * but they have been asked. */
bool stook__lane_leap(stook_here *slot, struct stook__theft *ret_theft);

/* Is a fork offered anywhere? If not, all regions are asked. Ordered by a fence before it. */
bool stook__lanes_any_offer(stook_executor *executor);

/* A stolen fork is made at `here`, a slot of the calling thread's own lane; and it has returned:
 * wakes who waits for it. */
void stook__lane_begin(const struct stook__theft *theft, stook_here *here);
void stook__lane_finish(const struct stook__theft *theft, stook_here *here);

#endif
