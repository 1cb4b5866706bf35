/* SPDX-License-Identifier: MIT
 *
 * How a table grows. Small ones move to a larger array. Large ones grow where they are, by pages
 * that are put behind their own, in steps of a half: as keys lie about in the order of their
 * hashes, each goes towards the end, and what is behind it has gone already.
 */
#include <stdlib.h>
#include "table.h"

enum {
    FIRST_CAPACITY = 16,
    QUICK_GROWTH = 4096, /* up to which it grows by 4 */
    DOUBLING = 32768,    /* up to which it grows by 2 */
    HUGE_SLOTS = MR_HUGE / sizeof(struct mr__slot)
};

/* Puts a slot whose key is not in the table to its place. */
static void place(struct mr__table *table, const struct mr__slot *slot)
{
    const struct mr__slot *end = table->slots + table->capacity;
    struct mr__slot *to = mr__table_home(table, slot->hash);

    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
    while (to->value_kind != MR_VALUE_NONE) {
        to = to + 1 == end ? table->slots : to + 1;
    }
    *to = *slot;
}

/* --- where it is ------------------------------------------------------------------------------ */

/* Slots that are out of the way meanwhile. */
struct aside {
    struct mr__slot *slots;
    size_t count;
    size_t capacity;
};

static bool put_aside(struct aside *aside, const struct mr__slot *slot)
{
    if (aside->count == aside->capacity) {
        size_t capacity = aside->capacity ? aside->capacity * 2 : 64;
        struct mr__slot *bigger = realloc(aside->slots, capacity * sizeof *bigger);
        if (!bigger) {
            return false;
        }
        aside->slots = bigger;
        aside->capacity = capacity;
    }
    aside->slots[aside->count++] = *slot;
    return true;
}

/* Puts what was in the slot `from` to its place, if only moved slots are on the way there. */
static bool place_behind(struct mr__table *table, const struct mr__slot *slot,
                         const struct mr__slot *from)
{
    const struct mr__slot *end = table->slots + table->capacity;
    struct mr__slot *to = mr__table_home(table, slot->hash);

    if (to <= from) {
        return false;
    }
    while (to < end && to->value_kind != MR_VALUE_NONE) {
        to++;
    }
    if (to == end) {
        return false;
    }
    *to = *slot;
    return true;
}

/* Spreads what is in the first `before` slots over all of them, the last one first. The few that do
 * not get behind where they were, or come around the end, go aside. */
static bool spread(struct mr__table *table, size_t before)
{
    struct aside aside = {.slots = NULL};
    bool is_whole = true;

    for (size_t i = before; i-- > 0;) {
        if (table->slots[i].value_kind != MR_VALUE_NONE) {
            struct mr__slot slot = table->slots[i];
            table->slots[i].value_kind = MR_VALUE_NONE;
            is_whole &= place_behind(table, &slot, &table->slots[i]) || put_aside(&aside, &slot);
        }
    }
    for (size_t i = 0; i < aside.count; i++) {
        place(table, &aside.slots[i]);
    }
    free(aside.slots);
    return is_whole;
}

/* --- elsewhere -------------------------------------------------------------------------------- */

/* is_keyed: the table is, or gets, a hash of its own. */
static bool move(struct mr__table *table, size_t capacity, bool is_keyed)
{
    struct mr__budget *budget = table->arena.budget;
    struct mr__table larger = *table;
    size_t size = capacity * sizeof *larger.slots;

    larger.capacity = capacity;
    larger.is_keyed = is_keyed;
    larger.slots = mr__allocate(budget, size);
    if (!larger.slots) {
        return false;
    }
    /* Not calloc: a fresh page that is read before it is written faults twice, and the second fault
     * stops the other threads for a moment. All slots are marked free in a loop that the analyser
     * of clang does not follow to its end, hence NOLINT. */
    for (size_t i = 0; size < MR_HUGE && i < capacity; i++) {
        larger.slots[i].value_kind = MR_VALUE_NONE;
    }
    for (size_t i = 0; i < table->capacity; i++) {
        struct mr__slot *slot = &table->slots[i];
        if (slot->value_kind != MR_VALUE_NONE) {
            if (is_keyed && !table->is_keyed) {
                slot->hash = mr__table_hash(&larger, mr__slot_key(slot), 0);
            }
            place(&larger, slot);
        }
    }
    mr__deallocate(budget, table->slots, table->capacity * sizeof *table->slots);
    *table = larger;
    return true;
}

/* --- either ----------------------------------------------------------------------------------- */

static uint32_t new_key(const struct mr__table *table, const struct mr__budget *budget)
{
    uint64_t mixed = (budget->secret[0] + (uintptr_t)table) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(mixed >> 32) | 1;
}

static size_t next_capacity(size_t capacity)
{
    if (capacity < DOUBLING) {
        return !capacity ? FIRST_CAPACITY : capacity < QUICK_GROWTH ? capacity * 4 : capacity * 2;
    }
    size_t more = capacity + capacity / 2;
    return more <= HUGE_SLOTS ? more
           : capacity < HUGE_SLOTS
               ? HUGE_SLOTS
               : (more + HUGE_SLOTS - 1) & ~(size_t)(HUGE_SLOTS - 1); /* whole huge pages */
}

bool mr__table_grow(struct mr__table *table)
{
    struct mr__budget *budget = table->arena.budget;
    size_t before = table->capacity;
    size_t capacity = next_capacity(before);
    struct mr__slot *slots;
    bool is_whole = true;

    if (capacity > SIZE_MAX / 2 / sizeof *slots) {
        return false;
    }
    if (before == 0) {
        table->key = new_key(table, budget);
    }
    slots = mr__extend(budget, table->slots, before * sizeof *slots, capacity * sizeof *slots);
    if (slots) {
        table->slots = slots;
        table->capacity = capacity;
        is_whole = spread(table, before);
    } else if (!move(table, capacity, table->is_keyed)) {
        return false;
    }
    table->limit = capacity / 8 * 7;
    return is_whole;
}

bool mr__table_rekey(struct mr__table *table)
{
    if (table->capacity == 0) {
        table->is_keyed = true;
    }
    return table->is_keyed || move(table, table->capacity, true);
}
