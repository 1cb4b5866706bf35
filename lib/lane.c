/* SPDX-License-Identifier: MIT
 *
 * Lanes: how open forks are offered, taken back and stolen (README.md, "Fork and join"), and who
 * has leased which lane.
 */
#include "lane.h"
#include <string.h>
#include "allocate.h"
#include "pool.h"

/* The word `offers`. Adding to the split, or 1 to the tail, never carries over. */
enum { SPLIT_BITS = 16, TAIL_BITS = 16, INDEX_MASK = 0xffff };
#define OFFERS_TAIL ((uint64_t)1 << SPLIT_BITS)
#define OFFERS_EPOCH ((uint64_t)1 << (SPLIT_BITS + TAIL_BITS))

static size_t split_of(uint64_t offers)
{
    return offers & INDEX_MASK;
}

static size_t tail_of(uint64_t offers)
{
    return (offers >> SPLIT_BITS) & INDEX_MASK;
}

/* The same epoch, with nothing offered. */
static uint64_t nothing_above(uint64_t offers, size_t index)
{
    return (offers & ~(OFFERS_EPOCH - 1)) + index * OFFERS_TAIL + index;
}

static size_t index_of(struct stook__lane_head *lane, stook_here *here)
{
    return (size_t)(here - stook__lane_first(lane));
}

static stook_here *slot_at(struct stook__lane_head *lane, size_t index)
{
    return stook__lane_first(lane) + index;
}

/* What the owner knows: thieves change the tail only. */
static uint64_t own_offers(struct stook__lane_head *lane)
{
    /* order LN.own rlx: the owner's own stores; a swap decides about the tail */
    return a_load_rlx(&lane->offers);
}

/* --- leases ----------------------------------------------------------------------------------- */

void stook__lanes_init(stook_executor *executor)
{
    atomic_init(&executor->lanes.first, NULL);
    atomic_init(&executor->lanes.count, 0);
    executor->lanes.free = NULL;
}

static struct stook__lane_head *lane_create(stook_executor *executor)
{
    struct stook__lane_head *lane =
        stook__allocate_aligned(&executor->allocator, STOOK__LANE_SIZE, STOOK__LANE_SIZE);

    if (!lane) {
        return NULL;
    }
    memset((void *)lane, 0, STOOK__LANE_SIZE);
    atomic_init(&lane->start.fork_limit, 0);
    atomic_init(&stook__lane_end(lane)->join_limit, 0);
    atomic_init(&lane->offers, 0);
    atomic_init(&lane->is_active, false);
    lane->executor = executor;
    /* order LN.listed rlx: the swap below decides */
    lane->next = a_load_rlx(&executor->lanes.first);
    /* order LN.list rel -> LN.lists: the lane is whole when it is seen */
    while (!a_cas_rel(&executor->lanes.first, &lane->next, lane)) {
    }
    /* order LN.number rlx: a number */
    a_add_rlx(&executor->lanes.count, 1U);
    return lane;
}

struct stook__lane_head *stook__lane_lease_apart(stook_executor *executor)
{
    mtx_lock(&executor->park.mutex);
    struct stook__lane_head *lane = executor->lanes.free;
    if (lane) {
        executor->lanes.free = lane->next_free;
    }
    mtx_unlock(&executor->park.mutex);
    return lane ? lane : lane_create(executor);
}

void stook__lane_give_back_apart(struct stook__lane_head *lane)
{
    stook_executor *executor = lane->executor;

    mtx_lock(&executor->park.mutex);
    lane->next_free = executor->lanes.free;
    executor->lanes.free = lane;
    mtx_unlock(&executor->park.mutex);
}

struct stook__lane_head *stook__lane_lease(struct stook__thread *thread)
{
    struct stook__lane_head *lane = thread->lane;

    thread->lane = NULL;
    return lane ? lane : stook__lane_lease_apart(thread->executor);
}

void stook__lane_leave(struct stook__thread *thread)
{
    if (thread->lane) {
        stook__lane_give_back_apart(thread->lane);
        thread->lane = NULL;
    }
}

void stook__lane_give_back(struct stook__thread *thread, struct stook__lane_head *lane)
{
    stook__lane_leave(thread);
    thread->lane = lane;
}

/* The newest lane of the executor, and thereby all older ones. */
static struct stook__lane_head *first_of(stook_executor *executor)
{
    /* order LN.lists acq <- LN.list: see there */
    return a_load_acq(&executor->lanes.first);
}

void stook__lanes_fini(stook_executor *executor)
{
    struct stook__lane_head *lane = first_of(executor);

    while (lane) {
        struct stook__lane_head *next = lane->next;
        stook__deallocate_aligned(&executor->allocator, lane, STOOK__LANE_SIZE, STOOK__LANE_SIZE);
        lane = next;
    }
}

/* --- the owner -------------------------------------------------------------------------------- */

static void set_limits(struct stook__lane_head *lane, uintptr_t fork_limit, uintptr_t join_limit)
{
    /* order LN.fork rlx: a hint to the owner itself; an answer is ordered by PK.wake */
    a_store_rlx(&lane->start.fork_limit, fork_limit);
    /* order LN.join rlx: as LN.fork; the owner's joins come after its own stores */
    a_store_rlx(&stook__lane_end(lane)->join_limit, join_limit);
}

/* Joins of private slots need not come to the library, unless somebody has asked. */
static void lower_join_limit(struct stook__lane_head *lane, stook_here *split)
{
    /* order LN.asked rlx: a request that is overwritten is repeated, or costs speed only */
    if (a_load_rlx(&stook__lane_end(lane)->join_limit) != UINTPTR_MAX) {
        /* order LN.lower rlx: as LN.join */
        a_store_rlx(&stook__lane_end(lane)->join_limit, (uintptr_t)split);
    }
}

void stook__lane_open(struct stook__lane_head *lane, struct stook__frame *root, bool shared)
{
    lane->root = root;
    if (shared && lane->executor->options.max_workers > 1) {
        set_limits(lane, 0, UINTPTR_MAX); /* as if asked: others may sleep since long ago */
    } else {
        set_limits(lane, (uintptr_t)stook__lane_last(lane), 0);
    }
    /* order LN.open rlx: made visible to sleepers by the fence behind the first offer */
    a_store_rlx(&lane->is_active, shared);
}

void stook__lane_close(struct stook__lane_head *lane)
{
    stook_here *first = stook__lane_first(lane);

    if (first->mark) {
        stook__fork_misused("a function has returned without joining its fork");
    }
    /* order LN.close rlx: who asks in vain has lost nothing */
    a_store_rlx(&lane->is_active, false);
    stook__lane_settle(lane, first);
}

bool stook__lane_offer(struct stook__lane_head *lane, stook_here *end)
{
    uint64_t offers = own_offers(lane);
    size_t split = split_of(offers);
    size_t count = (index_of(lane, end) - split + 1) / 2;

    if (count == 0) {
        return false;
    }
    for (size_t i = split; i < split + count; i++) {
        /* order LN.fresh rlx: published by LN.offer */
        a_store_rlx(&slot_at(lane, i)->state, 0);
    }
    set_limits(lane, (uintptr_t)stook__lane_last(lane), (uintptr_t)slot_at(lane, split + count));
    /* order LN.offer rel -> LN.steal, LN.leap, LN.leapt: the calls, and what they read, before they
     * are shown */
    while (!a_cas_rel(&lane->offers, &offers, offers + count)) {
    }
    return true;
}

bool stook__lane_take_back(struct stook__lane_head *lane, stook_here *here)
{
    size_t index = index_of(lane, here);
    uint64_t offers = own_offers(lane);
    size_t split;

    do {
        size_t tail = tail_of(offers);
        if (tail > index) {
            return false;
        }
        split = tail + (index - tail) / 2;
        /* order LN.back rlx: what stays on offer was published by LN.offer, whose release sequence
         * goes on; what does not is read by the owner only */
    } while (!a_cas_rlx(&lane->offers, &offers, offers - (index + 1 - split)));
    lower_join_limit(lane, slot_at(lane, split));
    return true;
}

void stook__lane_settle(struct stook__lane_head *lane, stook_here *here)
{
    /* order LN.settle rel -> LN.steal, LN.leap, LN.leapt: as LN.next, for what comes after it */
    a_store_rel(&lane->offers, nothing_above(own_offers(lane), index_of(lane, here)));
    lower_join_limit(lane, here);
}

bool stook__lane_is_offered(struct stook__lane_head *lane, stook_here *here)
{
    return index_of(lane, here) < split_of(own_offers(lane));
}

/* --- thieves ---------------------------------------------------------------------------------- */

void stook__lane_ask(struct stook__lane_head *lane)
{
    if (lane->executor->options.max_workers == 1) {
        return; /* a second thread runs only while the one worker is lent */
    }
    /* Only if need be: the owner reads these all the time. */
    /* order LN.askfork rlx: a hint */
    if (a_load_rlx(&lane->start.fork_limit) != 0) {
        /* order LN.wantfork rlx: a hint; a sleeper's comes after its fence PK.sleep */
        a_store_rlx(&lane->start.fork_limit, 0);
    }
    /* order LN.askjoin rlx: a hint */
    if (a_load_rlx(&stook__lane_end(lane)->join_limit) != UINTPTR_MAX) {
        /* order LN.wantjoin rlx: as LN.wantfork */
        a_store_rlx(&stook__lane_end(lane)->join_limit, UINTPTR_MAX);
    }
}

/* Takes the oldest slot. The slot is read after the swap: it is the winner's then. */
static bool steal(struct stook__lane_head *lane, struct stook__theft *ret_theft)
{
    /* order LN.seen rlx: the swap decides */
    uint64_t offers = a_load_rlx(&lane->offers);

    while (tail_of(offers) < split_of(offers)) {
        /* order LN.steal acq <- LN.offer, LN.settle, LN.next: else the thief reads another call */
        if (a_cas_acq(&lane->offers, &offers, offers + OFFERS_TAIL)) {
            ret_theft->lane = lane;
            ret_theft->slot = slot_at(lane, tail_of(offers));
            return true;
        }
    }
    return false;
}

static bool is_active(struct stook__lane_head *lane)
{
    /* order LN.active rlx: a hint; for a sleeper, after its fence PK.sleep */
    return a_load_rlx(&lane->is_active);
}

enum stook__loot stook__lanes_steal(stook_executor *executor, uint32_t random,
                                    struct stook__theft *ret_theft)
{
    struct stook__lane_head *first = first_of(executor);
    struct stook__lane_head *active = NULL;

    if (!first) {
        return STOOK__LOOT_NONE;
    }
    struct stook__lane_head *start = first;
    /* order LN.count rlx: a guess */
    for (unsigned i = random % (a_load_rlx(&executor->lanes.count) + 1); i > 0; i--) {
        start = start->next ? start->next : first;
    }
    struct stook__lane_head *lane = start;
    do {
        if (steal(lane, ret_theft)) {
            return STOOK__LOOT_GOT;
        }
        if (!active && is_active(lane)) {
            active = lane;
        }
        lane = lane->next ? lane->next : first;
    } while (lane != start);
    if (!active) {
        return STOOK__LOOT_NONE;
    }
    stook__lane_ask(active); /* one is enough for one thief */
    return STOOK__LOOT_LATER;
}

bool stook__lane_leap(stook_here *slot, struct stook__theft *ret_theft)
{
    /* order LN.who acq <- LN.taken: the epoch that is read next is not older than the fork */
    uintptr_t state = a_load_acq(&slot->state);

    if ((state & 3) != LANE_TAKEN || state == LANE_TAKEN) {
        return false;
    }
    struct stook__lane_head *lane = (struct stook__lane_head *)(state - LANE_TAKEN);
    /* order LN.leap acq <- LN.offer, LN.settle, LN.next: if the epoch is newer, so is the state */
    uint64_t offers = a_load_acq(&lane->offers);
    /* order LN.still rlx: ordered by LN.leap */
    if (a_load_rlx(&slot->state) != state) {
        return false;
    }
    if (tail_of(offers) >= split_of(offers)) {
        stook__lane_ask(lane);
        return false;
    }
    /* order LN.leapt acq <- LN.offer, LN.settle, LN.next: as LN.steal */
    if (!a_cas_acq(&lane->offers, &offers, offers + OFFERS_TAIL)) {
        return false;
    }
    ret_theft->lane = lane;
    ret_theft->slot = slot_at(lane, tail_of(offers));
    return true;
}

bool stook__lanes_any_offer(stook_executor *executor)
{
    struct stook__lane_head *first = first_of(executor);

    for (struct stook__lane_head *lane = first; lane; lane = lane->next) {
        /* order LN.look rlx: ordered by the caller's fence */
        uint64_t offers = a_load_rlx(&lane->offers);
        if (tail_of(offers) < split_of(offers)) {
            return true;
        }
    }
    for (struct stook__lane_head *lane = first; lane; lane = lane->next) {
        if (is_active(lane)) {
            stook__lane_ask(lane);
        }
    }
    return false;
}

void stook__lane_begin(const struct stook__theft *theft, stook_here *here)
{
    uintptr_t offered = 0;
    uintptr_t lane = stook__lane_is_full(here) ? 0 : (uintptr_t)stook__lane_of(here);

    /* order LN.taken rel -> LN.who: the epoch of this fork; fails if its owner sleeps by now */
    a_cas_rel(&theft->slot->state, &offered, lane + LANE_TAKEN);
}

/* Ends the epoch of a stolen fork, in which nothing is open any more. */
static void next_epoch(stook_here *here)
{
    struct stook__lane_head *lane = stook__lane_head_of(here);
    uint64_t offers = nothing_above(own_offers(lane), index_of(lane, here));

    /* order LN.next rel -> LN.steal, LN.leap, LN.leapt: who sees it sees LN.made, and leaps no
     * more */
    a_store_rel(&lane->offers, offers + OFFERS_EPOCH);
}

void stook__lane_finish(const struct stook__theft *theft, stook_here *here)
{
    bool has_lane = !stook__lane_is_full(here);

    if (has_lane && here->mark) {
        stook__fork_misused("a function has returned without joining its fork");
    }
    /* order LN.made acqrel -> FJ.before, FJ.done, FJ.sleep; <- FJ.sleep: its results are seen by
     * the one who joins it, and the event is seen whole. The last touch of the slot */
    uintptr_t state = a_xchg_acqrel(&theft->slot->state, LANE_DONE);
    if ((state & 3) == LANE_SLEEPS) {
        stook__event_set((struct stook__event *)(state - LANE_SLEEPS));
    }
    if (has_lane) {
        next_epoch(here);
    }
}
