/* SPDX-License-Identifier: MIT
 *
 * A hash table from key bytes to one folded value, or to a list of values, and the memory of all
 * that does not fit into its slots. It holds what one task (later: the shuffle) has seen of one
 * partition. One thread at a time.
 */
#ifndef MR_TABLE_H
#define MR_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stook/mapreduce.h>
#include "arena.h"
#include "hash.h"

enum { MR_INLINE_KEY = 16, MR_INLINE_VALUE = 8, MR_LONG_KEY = 0xffff };

/* A slot is free when value_kind is MR_VALUE_NONE; else it holds one key and its value or values.
 * MR_VALUE_INLINE + n: n bytes in the slot itself. */
enum { MR_VALUE_NONE = 0, MR_VALUE_LIST = 1, MR_VALUE_RECORD = 2, MR_VALUE_INLINE = 3 };

/* One value that does not fit into its slot. */
struct mr__record {
    size_t size;
    /* the bytes follow */
};

/* Several values; blocks form a ring, of which the slot knows the last. */
struct mr__block {
    struct mr__block *next;
    size_t used;
    size_t capacity;
    size_t each; /* bytes of every value; 0: they differ, or are longer than MR_INLINE_VALUE */
    /* capacity bytes follow: for each value, if they differ, a struct mr__record; then its bytes,
     * padded to 8 */
};

struct mr__slot {
    uint32_t hash;       /* low half of the key's hash */
    uint16_t key_size;   /* up to MR_INLINE_KEY; or MR_LONG_KEY */
    uint16_t value_kind; /* above */
    union {
        uint64_t words[MR_INLINE_KEY / 8]; /* the bytes, padded with zeros: compared as a whole */
        unsigned char bytes[MR_INLINE_KEY];
        struct mr_slice slice; /* in an arena */
    } key;
    union {
        unsigned char bytes[MR_INLINE_VALUE];
        struct mr__record *record;
        struct mr__block *last;
        uint64_t u64;
        double f64;
    } value;
};

struct mr__table { /* all zero but arena.budget: empty */
    struct mr__slot *slots;
    size_t capacity;
    size_t count;
    size_t limit;  /* so many keys may there be at this capacity */
    uint32_t key;  /* odd; of its own hash */
    bool is_keyed; /* slots have mr__hash_keyed(), since too many of mr_hash() were equal */
    struct mr__arena arena;
};

/* How equal keys become one. Those that the library knows are not called. */
enum mr__folding { MR_FOLD_NONE, MR_FOLD_USER, MR_FOLD_SUM_U64, MR_FOLD_SUM_F64 };

/* How a pair is put into a table. */
struct mr__fold {
    enum mr__folding folding; /* MR_FOLD_NONE: keep every value */
    mr_combine_fn *combine;
    const struct mr_keys *keys; /* NULL: as bytes */
    void *user;
    struct mr__table *crowded;  /* out: should be given a hash of its own; NULL: none */
    struct mr_slice failed_key; /* out: in a table, or the caller's */
    int code;                   /* out: what combine returned, when that was not 0 */
};

struct mr__fold mr__fold_of(const struct mr_job *job);

/* A pair on its way: a slot whose short key and value are in place; a long key's bytes are the
 * emitter's. */
struct mr__pending {
    struct mr__slot slot;
    struct mr__table *table;
};

/* Where the search for a key begins: keys lie about in the order of their hashes by the table's
 * key, at any capacity. Were the keys of tables the same, then walking one in order would fill the
 * next one from one end on, with long searches. */
static inline struct mr__slot *mr__table_home(const struct mr__table *table, uint32_t hash)
{
    return &table->slots[(uint64_t)(hash * table->key) * table->capacity >> 32];
}

/* Makes room for more keys (table_grow.c). False without memory: then keys may be lost. */
bool mr__table_grow(struct mr__table *table);

/* Adds pairs, whose slots were prefetched, in order. Returns STOOK_OK; STOOK_NOMEM;
 * STOOK_TASK_FAILED (combine failed: fold->code, fold->failed_key); STOOK_INVALID (a value is not
 * of the size that is added up: fold->failed_key). After a failure the tables are consistent, but
 * pairs may be lost. */
enum stook_status mr__table_add_many(struct mr__pending pending[], size_t count,
                                     struct mr__fold *fold);

/* Adds one pair with a value of any size; `slot` has its key. Returns as above. */
enum stook_status mr__table_add(struct mr__table *table, struct mr__fold *fold,
                                const struct mr__slot *key, struct mr_slice value);

/* Gives it a hash that nobody can craft keys for, unless it has one. False without memory: it stays
 * as it is (table_grow.c). */
bool mr__table_rekey(struct mr__table *table);

/* The hash of a key in the table, whose mr_hash() is known. */
static inline uint32_t mr__table_hash(const struct mr__table *table, struct mr_slice key,
                                      uint32_t hash)
{
    return table->is_keyed ? (uint32_t)mr__hash_keyed(table->arena.budget->secret, key) : hash;
}

/* Adds slots that are not free; what they point to is in the table's arena already. Returns as
 * above. */
enum stook_status mr__table_absorb(struct mr__table *table, struct mr__fold *fold,
                                   struct mr__slot slots[], size_t count);

/* Moves all of `from` into `table`, leaving it empty; keys and values stay where they are. Returns
 * as above. */
enum stook_status mr__table_merge(struct mr__table *table, struct mr__fold *fold,
                                  struct mr__table *from);

/* Empties it: it can be used again. */
void mr__table_fini(struct mr__table *table);

/* The key of a slot that is not free; points into the slot or an arena. */
struct mr_slice mr__slot_key(const struct mr__slot *slot);

/* Asks for what is behind a slot, which is soon needed. */
static inline void mr__slot_prefetch(const struct mr__slot *slot)
{
    if (slot->value_kind != MR_VALUE_NONE && slot->key_size == MR_LONG_KEY) {
        __builtin_prefetch(slot->key.slice.data);
    }
}

/* Walks the values of a slot. */
struct mr__cursor {
    const struct mr__slot *slot;   /* until its only value was given; else NULL */
    const struct mr__block *block; /* NULL: no list, or at its end */
    const struct mr__block *last;
    size_t offset; /* in block */
};

struct mr__cursor mr__slot_values(const struct mr__slot *slot);
bool mr__cursor_next(struct mr__cursor *cursor, struct mr_slice *ret_value);

#endif
