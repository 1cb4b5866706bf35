/* SPDX-License-Identifier: MIT
 *
 * Multikey quicksort (Bentley and Sedgewick, "Fast algorithms for sorting and searching strings",
 * SODA 1997) on 8 bytes of the key at a time, which lie beside the pointer to the pair: a
 * comparison is one of two numbers in the same array, and only pairs that share 8 bytes are looked
 * at again. The parts are forks.
 *
 * Level 0 is the count, for mr_by_count(), and skipped otherwise; level n is bytes 8(n-1) to 8n-1.
 */
#include "order.h"
#include <stook/fork_join.h>
#include <stook/loop.h>

enum {
    SMALL = 16,             /* sorted by insertion */
    WORTH_A_FORK = 1 << 12, /* entries */
    DEEPEST = 16            /* levels, behind which whole keys are compared */
};

int mr_by_count(const struct mr_pair *a, const struct mr_pair *b, void *user)
{
    uint64_t x = mr_slice_u64(a->value);
    uint64_t y = mr_slice_u64(b->value);
    (void)user;

    return x != y ? (x > y ? -1 : 1) : mr_slice_compare(a->key, b->key);
}

int mr__order_compare(const struct mr_job *job, const struct mr_pair *a, const struct mr_pair *b)
{
    int order = job->order == MR_ORDER_PAIR ? job->compare(a, b, job->user) : 0;

    if (order == 0 && job->keys) {
        order = job->keys->compare(a->key, b->key, job->user);
    }
    if (order == 0) {
        order = mr_slice_compare(a->key, b->key);
    }
    return order != 0 ? order : mr_slice_compare(a->value, b->value);
}

static int compare(const struct mr__order *order, const struct mr__entry *a,
                   const struct mr__entry *b)
{
    const struct mr_pair x = order->pair_of(a->at);
    const struct mr_pair y = order->pair_of(b->at);
    return mr__order_compare(order->job, &x, &y);
}

/* --- levels ----------------------------------------------------------------------------------- */

static uint64_t load_big_endian(struct mr_slice key, size_t from)
{
    const unsigned char *bytes = key.data;
    uint64_t prefix = 0;

    if (from < key.size && key.size - from >= 8) {
        for (size_t i = 0; i < 8; i++) { /* compilers make a load and a swap of it */
            prefix = prefix << 8 | bytes[from + i];
        }
        return prefix;
    }
    for (size_t i = from; i < from + 8; i++) {
        prefix = prefix << 8 | (i < key.size ? bytes[i] : 0);
    }
    return prefix;
}

/* Loads the prefixes of a level; false: no key goes on there. */
static bool load_level(const struct mr__order *order, struct mr__entry *entries, size_t count,
                       unsigned level)
{
    bool goes_on = level <= 1;

    for (size_t i = 0; i < count; i++) {
        struct mr_pair pair = order->pair_of(entries[i].at);
        if (level == 0) {
            entries[i].prefix = ~mr_slice_u64(pair.value);
        } else {
            entries[i].prefix = load_big_endian(pair.key, 8 * (size_t)(level - 1));
            goes_on |= pair.key.size > 8 * (size_t)(level - 1);
        }
    }
    return goes_on;
}

/* --- sorting ---------------------------------------------------------------------------------- */

struct part {
    const struct mr__order *order;
    struct mr__entry *entries;
    size_t count;
    size_t wanted;
    unsigned level;
    unsigned patience; /* so many bad pivots may come */
};

static void swap(struct mr__entry *a, struct mr__entry *b)
{
    struct mr__entry entry = *a;
    *a = *b;
    *b = entry;
}

/* Heapsort by whole pairs: for what shares too much. */
static void sort_whole(const struct mr__order *order, struct mr__entry *entries, size_t count)
{
    for (size_t end = count, start = count / 2; end > 1;) {
        if (start > 0) {
            start--;
        } else {
            swap(&entries[0], &entries[--end]);
        }
        for (size_t at = start, child; (child = 2 * at + 1) < end; at = child) {
            if (child + 1 < end && compare(order, &entries[child], &entries[child + 1]) < 0) {
                child++;
            }
            if (compare(order, &entries[at], &entries[child]) >= 0) {
                break;
            }
            swap(&entries[at], &entries[child]);
        }
    }
}

static void sort_small(const struct mr__order *order, struct mr__entry *entries, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct mr__entry entry = entries[i];
        size_t at = i;
        while (at > 0 && (entries[at - 1].prefix > entry.prefix ||
                          (entries[at - 1].prefix == entry.prefix &&
                           compare(order, &entries[at - 1], &entry) > 0))) {
            entries[at] = entries[at - 1];
            at--;
        }
        entries[at] = entry;
    }
}

static uint64_t middle(uint64_t a, uint64_t b, uint64_t c)
{
    return a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
}

static uint64_t choose_pivot(const struct mr__entry *entries, size_t count)
{
    size_t step = count / 8;
    uint64_t low = middle(entries[0].prefix, entries[step].prefix, entries[2 * step].prefix);
    uint64_t mid =
        middle(entries[3 * step].prefix, entries[4 * step].prefix, entries[5 * step].prefix);
    uint64_t high =
        middle(entries[6 * step].prefix, entries[7 * step].prefix, entries[count - 1].prefix);
    return middle(low, mid, high);
}

static void sort_part(stook_here *here, void *arg);

/* Sorts what has the same prefix at the part's level. */
static void sort_equal(stook_here *here, struct part part)
{
    part.level++;
    if (part.count <= SMALL) {
        sort_small(part.order, part.entries, part.count);
    } else if (part.level <= DEEPEST &&
               load_level(part.order, part.entries, part.count, part.level)) {
        sort_part(here, &part);
    } else {
        sort_whole(part.order, part.entries, part.count);
    }
}

/* The part of `part` from `begin` on that is `count` long; empty if nothing of it is wanted. */
static struct part slice_of(const struct part *part, size_t begin, size_t count)
{
    struct part slice = *part;

    slice.entries += begin;
    slice.count = begin < part->wanted ? count : 0;
    slice.wanted = begin < part->wanted ? part->wanted - begin : 0;
    return slice;
}

static void sort_part(stook_here *here, void *arg)
{
    struct part part = *(struct part *)arg;
    struct mr__entry *entries = part.entries;

    if (part.count <= SMALL) {
        sort_small(part.order, entries, part.count);
        return;
    }
    if (part.patience == 0) {
        sort_whole(part.order, entries, part.count);
        return;
    }
    uint64_t pivot = choose_pivot(entries, part.count);
    size_t less = 0;
    size_t greater = part.count;
    for (size_t i = 0; i < greater;) {
        uint64_t prefix = entries[i].prefix;
        if (prefix < pivot) {
            swap(&entries[i++], &entries[less++]);
        } else if (prefix > pivot) {
            swap(&entries[i], &entries[--greater]);
        } else {
            i++;
        }
    }
    struct part before = slice_of(&part, 0, less);
    struct part equal = slice_of(&part, less, greater - less);
    struct part behind = slice_of(&part, greater, part.count - greater);
    if (less > part.count / 8 * 7 || part.count - greater > part.count / 8 * 7) {
        before.patience--;
        behind.patience--;
    }
    struct part *smaller = before.count < behind.count ? &before : &behind;
    struct part *larger = smaller == &before ? &behind : &before;
    if (smaller->count < WORTH_A_FORK) {
        sort_part(here, smaller);
        sort_equal(here, equal);
        sort_part(here, larger);
        return;
    }
    stook_here *inside = stook_fork(here, sort_part, larger);
    sort_part(inside, smaller);
    sort_equal(inside, equal);
    if (stook_join(here)) {
        sort_part(here, larger);
    }
}

static void sort_all(stook_here *here, void *arg)
{
    sort_part(here, arg);
}

static int compare_entries(const void *left, const void *right, void *user_data)
{
    return compare(user_data, left, right);
}

enum stook_status mr__order_sort(const struct mr__order *order, stook_executor *executor,
                                 struct mr__entry *entries, size_t count, size_t wanted)
{
    const struct mr_job *job = order->job;
    bool by_count = job->order == MR_ORDER_PAIR && job->compare == mr_by_count && !job->keys;
    struct part part = {.order = order,
                        .entries = entries,
                        .count = count,
                        .wanted = wanted,
                        .level = by_count ? 0 : 1,
                        .patience = 40};

    if (count < 2) {
        return STOOK_OK;
    }
    if (!executor) {
        sort_whole(order, entries, count);
        return STOOK_OK;
    }
    if (job->keys || (job->order == MR_ORDER_PAIR && !by_count)) {
        return stook_executor_sort(executor, entries, count, sizeof *entries, compare_entries,
                                   (void *)(uintptr_t)order);
    }
    load_level(order, entries, count, part.level);
    return stook_executor_run(executor, sort_all, &part);
}
