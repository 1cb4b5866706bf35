/* SPDX-License-Identifier: MIT
 *
 * Open addressing with linear probing over 32-byte slots; short keys and values live in the slot,
 * the hash is kept beside them, so growing never touches a key and probing rarely compares one.
 *
 * Invariant: some slot is free, so every probe ends.
 */
#include "table.h"
#include <assert.h>
#include <string.h>

enum { FIRST_BLOCK = 32, LARGEST_BLOCK = 1 << 15 }; /* payload, bytes */

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

struct mr__fold mr__fold_of(const struct mr_job *job)
{
    struct mr__fold fold = {.combine = job->combine, .keys = job->keys, .user = job->user};

    fold.folding = !job->combine                ? MR_FOLD_NONE
                   : job->combine == mr_sum_u64 ? MR_FOLD_SUM_U64
                   : job->combine == mr_sum_f64 ? MR_FOLD_SUM_F64
                                                : MR_FOLD_USER;
    return fold;
}

/* Have the slots, whose hashes are equal, the same key? */
static bool is_equal(const struct mr__slot *a, const struct mr__slot *b, const struct mr_keys *keys,
                     void *user)
{
    if (keys) {
        return keys->compare(mr__slot_key(a), mr__slot_key(b), user) == 0;
    }
    if (a->key_size != b->key_size) {
        return false;
    }
    if (a->key_size != MR_LONG_KEY) {
        return a->key.words[0] == b->key.words[0] && a->key.words[1] == b->key.words[1];
    }
    return a->key.slice.size == b->key.slice.size &&
           memcmp(a->key.slice.data, b->key.slice.data, a->key.slice.size) == 0;
}

/* The slot that has the key of `wanted`, or the free one where it belongs. */
static struct mr__slot *find(const struct mr__table *table, const struct mr__slot *wanted,
                             const struct mr__fold *fold)
{
    const struct mr__slot *end = table->slots + table->capacity;

    for (struct mr__slot *slot = mr__table_home(table, wanted->hash);;
         slot = slot + 1 == end ? table->slots : slot + 1) {
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
        if (slot->value_kind == MR_VALUE_NONE ||
            (slot->hash == wanted->hash && is_equal(slot, wanted, fold->keys, fold->user))) {
            return slot;
        }
    }
}

/* --- keys that were crafted ------------------------------------------------------------------- */

/* Searches so long are rare in a table that is nearly full, and usual where hashes are equal. */
enum { LONG_SEARCH = 512, /* slots */ CROWD = 64 /* keys of one hash */ };

static size_t distance_from_home(const struct mr__table *table, const struct mr__slot *slot)
{
    const struct mr__slot *home = mr__table_home(table, slot->hash);
    return (size_t)(slot >= home ? slot - home : slot + table->capacity - home);
}

static void look_for_crowd(struct mr__table *table, const struct mr__slot *slot,
                           struct mr__fold *fold)
{
    const struct mr__slot *end = table->slots + table->capacity;
    const struct mr__slot *at = mr__table_home(table, slot->hash);
    size_t equal = 0;

    for (; at != slot; at = at + 1 == end ? table->slots : at + 1) {
        equal += at->hash == slot->hash;
    }
    if (equal > CROWD && !fold->keys && !table->is_keyed) {
        fold->crowded = table;
    }
}

/* Counts a key that has got its slot and its value. */
static inline void count_key(struct mr__table *table, const struct mr__slot *slot,
                             struct mr__fold *fold)
{
    table->count++;
    if (distance_from_home(table, slot) > LONG_SEARCH) {
        look_for_crowd(table, slot, fold);
    }
}

void mr__table_fini(struct mr__table *table)
{
    struct mr__budget *budget = table->arena.budget;

    mr__deallocate(budget, table->slots, table->capacity * sizeof *table->slots);
    mr__arena_fini(&table->arena);
    *table = (struct mr__table){.arena.budget = budget};
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
static struct mr__block *block_append(struct mr__block *last, struct mr__arena *arena, size_t need,
                                      size_t each)
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
    block->each = each;
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
    size_t each = value.size <= MR_INLINE_VALUE ? value.size : 0;
    size_t header = padded(sizeof(struct mr__record));

    if (value.size > SIZE_MAX / 4) {
        return NULL;
    }
    if (last && last->each != each) {
        each = 0; /* from now on they differ */
    }
    size_t need = (each ? 0 : header) + padded(value.size);
    if (!last || last->each != each || last->capacity - last->used < need) {
        last = block_append(last, arena, need, each);
        if (!last) {
            return NULL;
        }
    }
    unsigned char *at = block_bytes(last) + last->used;
    if (!each) {
        ((struct mr__record *)(void *)at)->size = value.size;
        at += header;
    }
    if (value.size > 0) {
        memcpy(at, value.data, value.size);
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

/* Folds a value into the one that is there. */
static enum stook_status combine(struct mr__slot *slot, struct mr__fold *fold,
                                 struct mr_slice value)
{
    void *accumulator =
        slot->value_kind == MR_VALUE_RECORD ? record_bytes(slot->value.record) : slot->value.bytes;
    size_t size = slot_value(slot).size;

    if (fold->folding != MR_FOLD_USER) {
        if (size != 8 || value.size != 8) {
            fold->failed_key = mr__slot_key(slot);
            return STOOK_INVALID;
        }
        if (fold->folding == MR_FOLD_SUM_U64) {
            slot->value.u64 += mr_slice_u64(value);
        } else {
            slot->value.f64 += mr_slice_f64(value);
        }
        return STOOK_OK;
    }
    fold->code = fold->combine(mr__slot_key(slot), accumulator, size, value, fold->user);
    if (fold->code != 0) {
        fold->failed_key = mr__slot_key(slot);
        return STOOK_TASK_FAILED;
    }
    return STOOK_OK;
}

static enum stook_status add_value(struct mr__table *table, struct mr__fold *fold,
                                   struct mr__slot *slot, struct mr_slice value)
{
    if (fold->folding != MR_FOLD_NONE) {
        return combine(slot, fold, value);
    }
    if (!make_list(slot, &table->arena)) {
        return STOOK_NOMEM;
    }
    struct mr__block *last = list_append(slot->value.last, &table->arena, value);
    if (!last) {
        return STOOK_NOMEM;
    }
    slot->value.last = last;
    return STOOK_OK;
}

/* The slot for a key; *ret_is_new: it was free and has the key now, but no value: it is not counted
 * until it has one. NULL without memory. */
static struct mr__slot *obtain(struct mr__table *table, const struct mr__fold *fold,
                               const struct mr__slot *key, bool *ret_is_new)
{
    if (table->count == table->limit && !mr__table_grow(table)) {
        return NULL;
    }
    struct mr__slot *slot = find(table, key, fold);
    *ret_is_new = slot->value_kind == MR_VALUE_NONE;
    if (*ret_is_new) {
        slot->hash = key->hash;
        slot->key_size = key->key_size;
        slot->key = key->key;
        if (key->key_size == MR_LONG_KEY) {
            slot->key.slice.data =
                mr__arena_copy(&table->arena, key->key.slice.data, key->key.slice.size);
            if (!slot->key.slice.data) {
                return NULL;
            }
        }
    }
    return slot;
}

enum stook_status mr__table_add(struct mr__table *table, struct mr__fold *fold,
                                const struct mr__slot *key, struct mr_slice value)
{
    bool is_new;
    struct mr__slot *slot = obtain(table, fold, key, &is_new);

    if (!slot) {
        return STOOK_NOMEM;
    }
    if (!is_new) {
        return add_value(table, fold, slot, value);
    }
    if (fold->folding >= MR_FOLD_SUM_U64 && value.size != 8) {
        fold->failed_key = mr__slot_key(key);
        return STOOK_INVALID;
    }
    if (!set_first_value(slot, &table->arena, value)) {
        return STOOK_NOMEM;
    }
    count_key(table, slot, fold);
    return STOOK_OK;
}

/* --- many pairs ------------------------------------------------------------------------------- */

/* What is usual, and often, without a call. The values of pairs are in their slots. */

static inline bool is_same_short(const struct mr__slot *a, const struct mr__slot *b)
{
    return a->hash == b->hash && a->key_size == b->key_size && a->key.words[0] == b->key.words[0] &&
           a->key.words[1] == b->key.words[1];
}

/* find(), for a short key that is compared as bytes. */
static inline struct mr__slot *find_short(const struct mr__table *table,
                                          const struct mr__slot *wanted)
{
    const struct mr__slot *end = table->slots + table->capacity;
    struct mr__slot *slot = mr__table_home(table, wanted->hash);

    while (slot->value_kind != MR_VALUE_NONE && !is_same_short(slot, wanted)) {
        slot = slot + 1 == end ? table->slots : slot + 1;
    }
    return slot;
}

/* Adds a number to the sum of a short key. */
static inline enum stook_status add_number(struct mr__pending *pending, struct mr__fold *fold)
{
    const struct mr__slot *wanted = &pending->slot;
    struct mr__table *table = pending->table;

    if (wanted->key_size != MR_LONG_KEY && wanted->value_kind == MR_VALUE_INLINE + 8 &&
        table->capacity > 0) {
        const struct mr__slot *end = table->slots + table->capacity;
        for (struct mr__slot *slot = mr__table_home(table, wanted->hash);;
             slot = slot + 1 == end ? table->slots : slot + 1) {
            if (slot->value_kind == MR_VALUE_NONE) {
                if (table->count == table->limit) {
                    break;
                }
                *slot = *wanted;
                count_key(table, slot, fold);
                return STOOK_OK;
            }
            if (is_same_short(slot, wanted)) {
                slot->value.u64 += wanted->value.u64;
                return STOOK_OK;
            }
        }
    }
    return mr__table_add(table, fold, wanted, slot_value(wanted));
}

/* Appends a value to those of a key, if they are like it, and there is room behind them. */
static inline bool append_same(const struct mr__slot *slot, const struct mr__slot *from)
{
    struct mr__block *last = slot->value.last;

    if (slot->value_kind != MR_VALUE_LIST || last->each == 0 ||
        last->each != (size_t)from->value_kind - MR_VALUE_INLINE ||
        last->capacity - last->used < sizeof from->value) {
        return false;
    }
    memcpy(block_bytes(last) + last->used, &from->value, sizeof from->value);
    last->used += sizeof from->value;
    return true;
}

/* Puts a value to those of a short key. */
static inline enum stook_status add_to_list(struct mr__pending *pending, struct mr__fold *fold)
{
    const struct mr__slot *wanted = &pending->slot;
    struct mr__table *table = pending->table;

    if (wanted->key_size == MR_LONG_KEY || table->count == table->limit) {
        return mr__table_add(table, fold, wanted, slot_value(wanted));
    }
    struct mr__slot *slot = find_short(table, wanted);
    if (slot->value_kind == MR_VALUE_NONE) {
        *slot = *wanted;
        count_key(table, slot, fold);
        return STOOK_OK;
    }
    return append_same(slot, wanted) ? STOOK_OK : add_value(table, fold, slot, slot_value(wanted));
}

enum { AHEAD = 8 }; /* pairs or slots */

/* The long key that is likely to be compared with it. */
static inline void prefetch_key(const struct mr__pending *pending)
{
    if (pending->slot.key_size == MR_LONG_KEY && pending->table->capacity > 0) {
        mr__slot_prefetch(mr__table_home(pending->table, pending->slot.hash));
    }
}

/* The values behind which it will be put. */
static inline void prefetch_values(const struct mr__pending *pending)
{
    if (pending->slot.key_size != MR_LONG_KEY && pending->table->capacity > 0) {
        const struct mr__slot *slot = find_short(pending->table, &pending->slot);
        if (slot->value_kind == MR_VALUE_LIST) { /* few: in two lines at most */
            __builtin_prefetch(slot->value.last, 1);
            __builtin_prefetch(block_bytes(slot->value.last) + FIRST_BLOCK, 1);
        }
    }
}

enum stook_status mr__table_add_many(struct mr__pending pending[], size_t count,
                                     struct mr__fold *fold)
{
    enum stook_status status = STOOK_OK;

    if (fold->folding == MR_FOLD_NONE && !fold->keys) {
        for (size_t i = 0; i < count && status == STOOK_OK; i++) {
            if (i + AHEAD < count) {
                prefetch_key(&pending[i + AHEAD]);
                prefetch_values(&pending[i + AHEAD]);
            }
            status = add_to_list(&pending[i], fold);
        }
        return status;
    }
    bool is_sum = fold->folding == MR_FOLD_SUM_U64 && !fold->keys;
    for (size_t i = 0; i < count && status == STOOK_OK; i++) {
        if (i + AHEAD < count) {
            prefetch_key(&pending[i + AHEAD]);
        }
        status = is_sum ? add_number(&pending[i], fold)
                        : mr__table_add(pending[i].table, fold, &pending[i].slot,
                                        slot_value(&pending[i].slot));
    }
    return status;
}

/* --- many slots ------------------------------------------------------------------------------- */

/* Puts the values of `from` to those of `slot`, which has the same key. */
static enum stook_status merge_values(struct mr__table *table, struct mr__fold *fold,
                                      struct mr__slot *slot, struct mr__slot *from)
{
    if (fold->folding != MR_FOLD_NONE || from->value_kind != MR_VALUE_LIST) {
        return add_value(table, fold, slot, slot_value(from));
    }
    if (!make_list(slot, &table->arena)) {
        return STOOK_NOMEM;
    }
    struct mr__block *first = slot->value.last->next;
    slot->value.last->next = from->value.last->next;
    from->value.last->next = first;
    slot->value.last = from->value.last;
    return STOOK_OK;
}

enum stook_status mr__table_absorb(struct mr__table *table, struct mr__fold *fold,
                                   struct mr__slot slots[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct mr__slot *moved = &slots[i];
        enum stook_status status = STOOK_OK;
        if (i + AHEAD < count && moved[AHEAD].value_kind != MR_VALUE_NONE && table->capacity > 0) {
            __builtin_prefetch(mr__table_home(table, moved[AHEAD].hash), 1);
        }
        if (moved->value_kind == MR_VALUE_NONE) {
            continue;
        }
        if (table->count == table->limit && !mr__table_grow(table)) {
            return STOOK_NOMEM;
        }
        if (table->is_keyed) { /* they may be not */
            moved->hash = mr__table_hash(table, mr__slot_key(moved), 0);
        }
        struct mr__slot *slot = find(table, moved, fold);
        if (slot->value_kind == MR_VALUE_NONE) {
            *slot = *moved;
            count_key(table, slot, fold);
            if (fold->crowded) {
                fold->crowded = mr__table_rekey(table) ? NULL : table;
            }
        } else {
            status = merge_values(table, fold, slot, moved);
        }
        if (status != STOOK_OK) {
            return status;
        }
    }
    return STOOK_OK;
}

enum stook_status mr__table_merge(struct mr__table *table, struct mr__fold *fold,
                                  struct mr__table *from)
{
    enum stook_status status = STOOK_NOMEM;

    mr__arena_join(&table->arena, &from->arena);
    if (!from->is_keyed || mr__table_rekey(table)) {
        status = mr__table_absorb(table, fold, from->slots, from->capacity);
    }
    mr__table_fini(from);
    return status;
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
    const unsigned char *at = block_bytes(cursor->block) + cursor->offset;
    if (cursor->block->each > 0) {
        *ret_value = mr_slice_of(at, cursor->block->each);
        cursor->offset += padded(cursor->block->each);
        return true;
    }
    const struct mr__record *record = (const struct mr__record *)(const void *)at;
    *ret_value = mr_slice_of(record_bytes(record), record->size);
    cursor->offset += padded(sizeof *record) + padded(record->size);
    return true;
}
