/* SPDX-License-Identifier: MIT
 *
 * Open addressing with linear probing over 32-byte slots; short keys and values live in the slot,
 * the hash is kept beside them, so growing never touches a key and probing rarely compares one.
 *
 * Invariant: at most MAX_LOAD of the slots are taken, so every probe ends.
 */
#include "table.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 16, MAX_LOAD_NUMERATOR = 5, MAX_LOAD_DENOMINATOR = 8 };

enum { FIRST_BLOCK = 48, LARGEST_BLOCK = 1 << 15 }; /* payload, bytes */

static_assert(sizeof(struct mr__slot) == 8 + MR_INLINE_KEY + MR_INLINE_VALUE || sizeof(void *) != 8,
              "two slots fill a cache line");

static size_t padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

static void *record_bytes(const struct mr__record *record)
{
    return (unsigned char *)(uintptr_t)record + padded(sizeof *record);
}

static unsigned char *block_bytes(const struct mr__block *block)
{
    return (unsigned char *)(uintptr_t)block + padded(sizeof *block);
}

/* --- keys ------------------------------------------------------------------------------------- */

struct mr_slice mr__slot_key(const struct mr__slot *slot)
{
    return slot->key_size == MR_LONG_KEY ? slot->key.slice
                                         : mr_slice_of(slot->key.bytes, slot->key_size);
}

static bool slot_has_key(const struct mr__slot *slot, struct mr_slice key)
{
    if (key.size <= MR_INLINE_KEY) {
        return slot->key_size == key.size &&
               (key.size == 0 || memcmp(slot->key.bytes, key.data, key.size) == 0);
    }
    return slot->key_size == MR_LONG_KEY && slot->key.slice.size == key.size &&
           memcmp(slot->key.slice.data, key.data, key.size) == 0;
}

/* The slot of the key, or the free slot where it belongs. */
static struct mr__slot *find(const struct mr__table *table, uint32_t hash, struct mr_slice key)
{
    size_t mask = table->capacity - 1;

    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct mr__slot *slot = &table->slots[i];
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
        if (slot->value_kind == MR_VALUE_NONE || (slot->hash == hash && slot_has_key(slot, key))) {
            return slot;
        }
    }
}

/* Makes room for one more key. */
static bool table_reserve(struct mr__table *table)
{
    if ((table->count + 1) * MAX_LOAD_DENOMINATOR <= table->capacity * MAX_LOAD_NUMERATOR) {
        return true;
    }
    size_t capacity = table->capacity ? table->capacity * 2 : FIRST_CAPACITY;
    if (capacity > SIZE_MAX / sizeof(struct mr__slot)) {
        return false;
    }
    /* Not calloc: a fresh page that is read before it is written faults twice, and the second fault
     * stops the other threads for a moment. All slots are marked free in a loop that the analyser of
     * clang does not follow to its end, hence NOLINT below. */
    struct mr__slot *slots = malloc(capacity * sizeof *slots);
    if (!slots) {
        return false;
    }
    for (size_t i = 0; i < capacity; i++) {
        slots[i].value_kind = MR_VALUE_NONE;
    }
    for (size_t i = 0; i < table->capacity; i++) {
        const struct mr__slot *slot = &table->slots[i];
        if (slot->value_kind != MR_VALUE_NONE) {
            size_t to = slot->hash & (capacity - 1);
            /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
            while (slots[to].value_kind != MR_VALUE_NONE) {
                to = (to + 1) & (capacity - 1);
            }
            slots[to] = *slot;
        }
    }
    free(table->slots);
    table->slots = slots;
    table->capacity = capacity;
    return true;
}

void mr__table_fini(struct mr__table *table)
{
    free(table->slots);
    *table = (struct mr__table){0};
}

/* --- values ----------------------------------------------------------------------------------- */

/* The only value of a slot that has no list. */
static struct mr_slice slot_value(const struct mr__slot *slot)
{
    if (slot->value_kind == MR_VALUE_RECORD) {
        return mr_slice_of(record_bytes(slot->value.record), slot->value.record->size);
    }
    return mr_slice_of(slot->value.bytes, (size_t)slot->value_kind - MR_VALUE_INLINE);
}

static bool set_first_value(struct mr__slot *slot, struct mr__arena *arena, struct mr_slice value)
{
    if (value.size <= MR_INLINE_VALUE) {
        slot->value_kind = (uint16_t)(MR_VALUE_INLINE + value.size);
        if (value.size > 0) {
            memcpy(slot->value.bytes, value.data, value.size);
        }
        return true;
    }
    struct mr__record *record = NULL;
    if (value.size < SIZE_MAX / 2) {
        record = mr__arena_alloc(arena, padded(sizeof *record) + value.size);
    }
    if (!record) {
        return false;
    }
    record->size = value.size;
    memcpy(record_bytes(record), value.data, value.size);
    slot->value_kind = MR_VALUE_RECORD;
    slot->value.record = record;
    return true;
}

/* Appends a block with room for `need` bytes to the ring whose last block is `last` (or NULL). */
static struct mr__block *block_append(struct mr__block *last, struct mr__arena *arena, size_t need)
{
    size_t capacity = last ? last->capacity * 2 : FIRST_BLOCK;

    if (capacity > LARGEST_BLOCK) {
        capacity = LARGEST_BLOCK;
    }
    if (capacity < need) {
        capacity = need;
    }
    struct mr__block *block = mr__arena_alloc(arena, padded(sizeof *block) + capacity);
    if (!block) {
        return NULL;
    }
    block->used = 0;
    block->capacity = capacity;
    block->next = last ? last->next : block;
    if (last) {
        last->next = block;
    }
    return block;
}

/* Appends a value to the ring and gives its last block; NULL without memory. */
static struct mr__block *list_append(struct mr__block *last, struct mr__arena *arena,
                                     struct mr_slice value)
{
    if (value.size > SIZE_MAX / 4) {
        return NULL;
    }
    size_t need = padded(sizeof(struct mr__record)) + padded(value.size);
    if (!last || last->capacity - last->used < need) {
        last = block_append(last, arena, need);
        if (!last) {
            return NULL;
        }
    }
    struct mr__record *record = (struct mr__record *)(void *)(block_bytes(last) + last->used);
    record->size = value.size;
    if (value.size > 0) {
        memcpy(record_bytes(record), value.data, value.size);
    }
    last->used += need;
    return last;
}

/* Turns the only value of a slot into a list of one. */
static bool make_list(struct mr__slot *slot, struct mr__arena *arena)
{
    if (slot->value_kind == MR_VALUE_LIST) {
        return true;
    }
    struct mr__block *last = list_append(NULL, arena, slot_value(slot));
    if (!last) {
        return false;
    }
    slot->value_kind = MR_VALUE_LIST;
    slot->value.last = last;
    return true;
}

static enum stook_status add_value(struct mr__slot *slot, struct mr__fold *fold,
                                   struct mr_slice value)
{
    if (fold->combine) {
        struct mr_slice old = slot_value(slot);
        void *accumulator = slot->value_kind == MR_VALUE_RECORD ? record_bytes(slot->value.record)
                                                                : slot->value.bytes;
        fold->code = fold->combine(mr__slot_key(slot), accumulator, old.size, value, fold->user);
        return fold->code == 0 ? STOOK_OK : STOOK_TASK_FAILED;
    }
    if (!make_list(slot, fold->arena)) {
        return STOOK_NOMEM;
    }
    struct mr__block *last = list_append(slot->value.last, fold->arena, value);
    if (!last) {
        return STOOK_NOMEM;
    }
    slot->value.last = last;
    return STOOK_OK;
}

enum stook_status mr__table_add(struct mr__table *table, struct mr__fold *fold, uint64_t hash,
                                struct mr_slice key, struct mr_slice value)
{
    if (!table_reserve(table)) {
        return STOOK_NOMEM;
    }
    struct mr__slot *slot = find(table, (uint32_t)hash, key);
    if (slot->value_kind != MR_VALUE_NONE) {
        return add_value(slot, fold, value);
    }
    if (key.size <= MR_INLINE_KEY) {
        slot->key_size = (uint16_t)key.size;
        if (key.size > 0) {
            memcpy(slot->key.bytes, key.data, key.size);
        }
    } else {
        slot->key_size = MR_LONG_KEY;
        slot->key.slice.data = mr__arena_copy(fold->arena, key.data, key.size);
        slot->key.slice.size = key.size;
        if (!slot->key.slice.data) {
            return STOOK_NOMEM;
        }
    }
    if (!set_first_value(slot, fold->arena, value)) {
        return STOOK_NOMEM;
    }
    slot->hash = (uint32_t)hash;
    table->count++;
    return STOOK_OK;
}

/* Puts the values of `from` to those of `slot`, which has the same key. */
static enum stook_status merge_values(struct mr__slot *slot, struct mr__fold *fold,
                                      struct mr__slot *from)
{
    if (fold->combine || from->value_kind != MR_VALUE_LIST) {
        return add_value(slot, fold, slot_value(from));
    }
    if (!make_list(slot, fold->arena)) {
        return STOOK_NOMEM;
    }
    struct mr__block *first = slot->value.last->next;
    slot->value.last->next = from->value.last->next;
    from->value.last->next = first;
    slot->value.last = from->value.last;
    return STOOK_OK;
}

enum stook_status mr__table_merge(struct mr__table *table, struct mr__fold *fold,
                                  struct mr__table *from, struct mr_slice *ret_failed_key)
{
    for (size_t i = 0; i < from->capacity; i++) {
        struct mr__slot *moved = &from->slots[i];
        enum stook_status status = STOOK_OK;
        if (moved->value_kind == MR_VALUE_NONE) {
            continue;
        }
        if (!table_reserve(table)) {
            return STOOK_NOMEM;
        }
        struct mr__slot *slot = find(table, moved->hash, mr__slot_key(moved));
        if (slot->value_kind == MR_VALUE_NONE) {
            *slot = *moved;
            table->count++;
        } else {
            status = merge_values(slot, fold, moved);
        }
        if (status != STOOK_OK) {
            *ret_failed_key = mr__slot_key(slot);
            return status;
        }
    }
    mr__table_fini(from);
    return STOOK_OK;
}

/* --- walking ---------------------------------------------------------------------------------- */

struct mr__cursor mr__slot_values(const struct mr__slot *slot)
{
    if (slot->value_kind == MR_VALUE_LIST) {
        const struct mr__block *last = slot->value.last;
        return (struct mr__cursor){.block = last->next, .last = last};
    }
    return (struct mr__cursor){.slot = slot};
}

bool mr__cursor_next(struct mr__cursor *cursor, struct mr_slice *ret_value)
{
    if (cursor->slot) {
        *ret_value = slot_value(cursor->slot);
        cursor->slot = NULL;
        return true;
    }
    if (cursor->block && cursor->offset == cursor->block->used) {
        cursor->block = cursor->block == cursor->last ? NULL : cursor->block->next;
        cursor->offset = 0;
    }
    if (!cursor->block) {
        return false;
    }
    const struct mr__record *record =
        (const struct mr__record *)(const void *)(block_bytes(cursor->block) + cursor->offset);
    *ret_value = mr_slice_of(record_bytes(record), record->size);
    cursor->offset += padded(sizeof *record) + padded(record->size);
    return true;
}
