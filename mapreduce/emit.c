/* SPDX-License-Identifier: MIT
 *
 * Calling a mapper, and what callbacks do: emit, and walk values. The first failure is kept in the
 * emitter as well as in the phase's control, so that a callback that goes on after it emits nothing
 * more.
 *
 * Pairs are gathered, their slots are asked for, and then they are added, some together: so the
 * processor waits for several slots at the same time.
 */
#include <stdio.h>
#include "group.h"
#include "hash.h"
#include "mr_internal.h"

bool mr_emitter_stopped(const mr_emitter *out)
{
    return out->status != STOOK_OK || mr__control_stopped(out->control);
}

static void note_item(const mr_emitter *out, struct mr_error *error)
{
    if (out->item) {
        error->item = out->item->index;
        error->source = out->item->source;
    }
}

static void fail(mr_emitter *out, struct mr_error *error)
{
    note_item(out, error);
    out->status = error->status;
    mr__control_fail(out->control, error);
}

/* Where a mapper was: "at item 3", or "at offset 17 of 'path'". */
static const char *item_text(const mr_emitter *out, char *text, size_t size)
{
    const struct mr_input *input = &out->job->input;

    if (!out->item) {
        return "";
    }
    unsigned long long index = out->item->index;
    if (!input->sources) {
        snprintf(text, size, " at item %llu", index);
    } else if (input->sources[out->item->source].path) {
        char path[MR_PATH_TEXT];
        snprintf(text, size, " at offset %llu of %s", index,
                 mr__path_text(input->sources[out->item->source].path, path));
    } else {
        snprintf(text, size, " at offset %llu of source %zu", index, out->item->source);
    }
    return text;
}

static void describe_failure(const mr_emitter *out, struct mr_error *ret_error,
                             const char *callback, int code, const struct mr_slice *key)
{
    char where[MR_PATH_TEXT + 48];
    char quoted[MR_KEY_TEXT];

    mr__error_set(ret_error, STOOK_TASK_FAILED, out->phase, code, "%s failed with code %d%s%s%s",
                  callback, code, key ? " for key " : "", key ? mr__key_text(*key, quoted) : "",
                  item_text(out, where, sizeof where));
    note_item(out, ret_error);
}

void mr__emitter_fail(mr_emitter *out, const char *callback, int code, const struct mr_slice *key)
{
    struct mr_error error;

    describe_failure(out, &error, callback, code, key);
    fail(out, &error);
}

void mr__emitter_fail_plain(mr_emitter *out, enum stook_status status)
{
    struct mr_error error;
    char where[MR_PATH_TEXT + 48];

    mr__error_set(&error, status, out->phase, 0, "%s%s", stook_status_string(status),
                  item_text(out, where, sizeof where));
    fail(out, &error);
}

void mr__emitter_fail_read(mr_emitter *out, enum stook_status status, int code)
{
    struct mr_error error;

    if (status != STOOK_IO) {
        mr__emitter_fail_plain(out, status);
        return;
    }
    mr__error_read(&error, status, code);
    error.phase = out->phase;
    fail(out, &error);
}

static void fail_partition(mr_emitter *out, uint32_t partition, uint32_t partitions,
                           struct mr_slice key)
{
    struct mr_error error;
    char where[MR_PATH_TEXT + 48];
    char quoted[MR_KEY_TEXT];

    mr__error_set(&error, STOOK_INVALID, out->phase, 0,
                  "partition gave %lu for %lu partitions, for key %s%s", (unsigned long)partition,
                  (unsigned long)partitions, mr__key_text(key, quoted),
                  item_text(out, where, sizeof where));
    fail(out, &error);
}

/* --- into tables ------------------------------------------------------------------------------ */

static void fail_number(mr_emitter *out, struct mr_slice key)
{
    struct mr_error error;
    char quoted[MR_KEY_TEXT];

    mr__error_set(&error, STOOK_INVALID, out->phase, 0,
                  "a value that is added up has not 8 bytes, for key %s",
                  mr__key_text(key, quoted));
    fail(out, &error);
}

static void fail_add(mr_emitter *out, enum stook_status status, const struct mr__fold *fold)
{
    if (status == STOOK_TASK_FAILED) {
        mr__emitter_fail(out, "combine", fold->code, &fold->failed_key);
    } else if (status == STOOK_INVALID) {
        fail_number(out, fold->failed_key);
    } else {
        mr__emitter_fail_plain(out, status);
    }
}

void mr__emitter_begin(mr_emitter *out)
{
    struct mr__segment *segment = out->segment;
    mr_combine_fn *combine = out->job->combine;

    segment->pending_count = 0; /* a task that failed may have left some */
    out->list = segment->tables ? NULL : &segment->list;
    out->runs = &segment->list_runs;
    out->fails_late = combine && combine != mr_sum_u64 && combine != mr_sum_f64;
}

/* The list, which the task does not add to any more, goes if the job has half of its memory in use:
 * while each is small, nobody lets go of them later. */
static void relieve_at_end(mr_emitter *out)
{
    struct mr_error error = {.status = STOOK_OK};

    if (out->status == STOOK_OK && out->list->count > 0 &&
        mr__budget_is_tight(&out->context->budget, 1, 2)) {
        mr__list_spill(out->context, out->job, out->segment, out->list, out->runs, &error);
    }
    if (error.status != STOOK_OK) {
        error.phase = out->phase;
        fail(out, &error);
    }
}

/* Lets memory go, if the job has too much of it. */
static void relieve(mr_emitter *out)
{
    struct mr_error error = {.status = STOOK_OK};

    if (out->status != STOOK_OK || !out->runs) {
        return;
    }
    if (!out->list) {
        if (mr__segment_overflows(out->context, out->segment, out->job->partitions)) {
            mr__segment_spill(out->context, out->job, out->segment, out->job->partitions, &error);
        }
    } else if (mr__list_overflows(out->context, out->list)) {
        mr__list_spill(out->context, out->job, out->segment, out->list, out->runs, &error);
    }
    if (error.status != STOOK_OK) {
        error.phase = out->phase;
        fail(out, &error);
    }
}

/* Gives a table that is crowded a hash of its own. Without memory that is tried again when the next
 * key comes. */
static void thin_out(mr_emitter *out, const struct mr__fold *fold)
{
    if (fold->crowded) {
        out->segment->has_keyed |= mr__table_rekey(fold->crowded);
    }
}

/* Gives a pair the hash that its table has. */
static void apply_key(struct mr__pending *pending)
{
    struct mr__slot *slot = &pending->slot;
    slot->hash = mr__table_hash(pending->table, mr__slot_key(slot), slot->hash);
}

enum stook_status mr__emitter_flush(mr_emitter *out)
{
    struct mr__segment *segment = out->segment;
    unsigned count = segment->pending_count;

    segment->pending_count = 0;
    for (unsigned i = 0; segment->has_keyed && i < count; i++) {
        apply_key(&segment->pending[i]);
    }
    if (out->status == STOOK_OK && count > 0) {
        struct mr__fold fold = mr__fold_of(out->job);
        enum stook_status status = segment->scatter.is_on
                                       ? mr__scatter_add(segment, segment->pending, count, &fold)
                                       : mr__table_add_many(segment->pending, count, &fold);
        if (status != STOOK_OK) {
            fail_add(out, status, &fold);
        }
        thin_out(out, &fold);
    }
    if (out->context->budget.limit > 0) {
        relieve(out);
    }
    return out->status;
}

/* What is kept must fit into memory, and cannot tell which item made a combiner fail. */
static bool may_scatter(const mr_emitter *out)
{
    return out->segment->tables && !out->fails_late && out->context->budget.limit == 0 &&
           out->job->ranks <= 1;
}

void mr__emitter_end(mr_emitter *out)
{
    if (out->phase == MR_PHASE_REDUCE) {
        relieve_at_end(out);
    } else if (mr__emitter_flush(out) == STOOK_OK && may_scatter(out)) {
        struct mr__fold fold = mr__fold_of(out->job);
        if (!out->segment->scatter.is_on) {
            out->segment->scatter.looked += out->segment->pairs - out->pairs_before;
        }
        enum stook_status status = mr__scatter_decide(out->segment, out->job->partitions, &fold);
        if (status != STOOK_OK) {
            fail_add(out, status, &fold);
        }
    }
}

/* The key as a slot has it, and its table; false: the partitioner failed. */
static inline bool prepare(mr_emitter *out, struct mr_slice key, struct mr__pending *ret_pending)
{
    const struct mr_job *job = out->job;
    struct mr__slot *slot = &ret_pending->slot;
    uint64_t hash;

    if (key.size <= MR_INLINE_KEY) {
        uint64_t words[2];
        if ((uintptr_t)key.data - (uintptr_t)out->window < out->window_room) {
            mr__load_words_wide(key.data, key.size, words);
        } else {
            mr__load_words(key.data, key.size, words);
        }
        hash = mr__hash_words(words, key.size);
        mr__store_words(words, slot->key.words);
        slot->key_size = (uint16_t)key.size;
    } else {
        hash = mr_hash(key);
        slot->key.slice = key;
        slot->key_size = MR_LONG_KEY;
    }
    if (job->keys) {
        hash = mr__hash_fold(job->keys->hash(key, job->user), MR_HASH_K0);
    }
    uint32_t partition = (uint32_t)((hash >> 32) * job->partitions >> 32);
    if (job->partition) {
        partition = job->partition(key, job->partitions, job->user);
        if (partition >= job->partitions) {
            fail_partition(out, partition, job->partitions, key);
            return false;
        }
    }
    slot->hash = (uint32_t)hash;
    ret_pending->table = &out->segment->tables[partition];
    if (ret_pending->table->capacity > 0 && !out->segment->scatter.is_on) {
        const struct mr__slot *home = mr__table_home(ret_pending->table, slot->hash);
        __builtin_prefetch(home, 1);
        /* a search goes into the next line more often than not */
        __builtin_prefetch((const void *)((uintptr_t)home + 64), 1);
    }
    return true;
}

static inline void set_value(struct mr__slot *slot, struct mr_slice value)
{
    slot->value_kind = (uint16_t)(MR_VALUE_INLINE + value.size);
    slot->value.u64 = 0;
    if (value.size == sizeof slot->value.u64) {
        memcpy(slot->value.bytes, value.data, sizeof slot->value.u64);
    } else if (value.size > 0) {
        memcpy(slot->value.bytes, value.data, value.size);
    }
}

/* A pair that is not kept until it is added with others: a long key or value is the caller's. */
static enum stook_status add_now(mr_emitter *out, struct mr__pending *pending,
                                 struct mr_slice value)
{
    struct mr__fold fold = mr__fold_of(out->job);
    if (out->segment->has_keyed) {
        apply_key(pending);
    }
    enum stook_status status = mr__table_add(pending->table, &fold, &pending->slot, value);

    if (status != STOOK_OK) {
        fail_add(out, status, &fold);
    } else if (out->context->budget.limit > 0 || fold.crowded) {
        mr__emitter_flush(out);
    }
    thin_out(out, &fold);
    return out->status;
}

static enum stook_status emit_to_table(mr_emitter *out, struct mr_slice key, struct mr_slice value)
{
    struct mr__segment *segment = out->segment;
    struct mr__pending *pending = &segment->pending[segment->pending_count];

    if (!prepare(out, key, pending)) {
        return out->status;
    }
    segment->pairs++;
    if (value.size > MR_INLINE_VALUE || key.size > MR_INLINE_KEY) {
        return add_now(out, pending, value);
    }
    set_value(&pending->slot, value);
    return ++segment->pending_count == MR_PENDING ? mr__emitter_flush(out) : STOOK_OK;
}

/* --- emitting --------------------------------------------------------------------------------- */

/* False: nothing is emitted any more. */
static inline bool may_emit(mr_emitter *out)
{
    if (out->status != STOOK_OK) {
        return false;
    }
    if (mr__control_stopped(out->control)) {
        out->status = STOOK_CANCELLED;
        return false;
    }
    return true;
}

/* Must values be numbers? Tables see to it themselves; the sequential form has none. */
static bool adds_up(const mr_emitter *out)
{
    return out->phase == MR_PHASE_MAP &&
           (out->job->combine == mr_sum_u64 || out->job->combine == mr_sum_f64);
}

enum stook_status mr_emit(mr_emitter *out, struct mr_slice key, struct mr_slice value)
{
    if (!may_emit(out)) {
        return out->status;
    }
    if (out->stage) {
        if (!mr__list_add(out->stage, key, value)) {
            mr__emitter_fail_plain(out, STOOK_NOMEM);
        }
        return out->status;
    }
    if (!out->list) {
        return emit_to_table(out, key, value);
    }
    out->segment->pairs++;
    if (value.size != sizeof(uint64_t) && adds_up(out)) {
        fail_number(out, key);
    } else if (!mr__list_add(out->list, key, value)) {
        mr__emitter_fail_plain(out, STOOK_NOMEM);
    } else if (out->context->budget.limit > 0) {
        relieve(out);
    }
    return out->status;
}

/* Emits the keys with values of `size` bytes that are `step` bytes apart. */
static inline enum stook_status emit_keys(mr_emitter *out, const struct mr_slice keys[],
                                          size_t count, const void *values, size_t size,
                                          size_t step)
{
    struct mr__segment *segment = out->segment;
    const char *value = size > 0 ? values : "";
    bool has_long = false;

    if (out->list || out->stage || size > MR_INLINE_VALUE) {
        for (size_t i = 0; i < count; i++) {
            if (mr_emit(out, keys[i], mr_slice_of(value + i * step, size)) != STOOK_OK) {
                break;
            }
        }
        return out->status;
    }
    if (!may_emit(out)) {
        return out->status;
    }
    segment->pairs += count;
    for (size_t i = 0; i < count; i++) {
        struct mr__pending *pending = &segment->pending[segment->pending_count];
        if (!prepare(out, keys[i], pending)) {
            return out->status;
        }
        set_value(&pending->slot, mr_slice_of(value + i * step, size));
        has_long |= keys[i].size > MR_INLINE_KEY;
        if (++segment->pending_count == MR_PENDING && mr__emitter_flush(out) != STOOK_OK) {
            return out->status;
        }
    }
    return has_long ? mr__emitter_flush(out) : STOOK_OK;
}

enum stook_status mr_emit_keys(mr_emitter *out, const struct mr_slice keys[], size_t count,
                               struct mr_slice value)
{
    return emit_keys(out, keys, count, value.data, value.size, 0);
}

enum stook_status mr_emit_keys_u64(mr_emitter *out, const struct mr_slice keys[], size_t count,
                                   const uint64_t values[])
{
    return emit_keys(out, keys, count, values, sizeof *values, sizeof *values);
}

/* --- the mapper ------------------------------------------------------------------------------- */

int mr_sum_u64(struct mr_slice key, void *accumulator, size_t accumulator_size,
               struct mr_slice value, void *user)
{
    uint64_t sum;
    (void)key;
    (void)user;

    if (accumulator_size != sizeof sum || value.size != sizeof sum) {
        return STOOK_INVALID;
    }
    memcpy(&sum, accumulator, sizeof sum);
    sum += mr_slice_u64(value);
    memcpy(accumulator, &sum, sizeof sum);
    return 0;
}

int mr_sum_f64(struct mr_slice key, void *accumulator, size_t accumulator_size,
               struct mr_slice value, void *user)
{
    double sum;
    (void)key;
    (void)user;

    if (accumulator_size != sizeof sum || value.size != sizeof sum) {
        return STOOK_INVALID;
    }
    memcpy(&sum, accumulator, sizeof sum);
    sum += mr_slice_f64(value);
    memcpy(accumulator, &sum, sizeof sum);
    return 0;
}

void mr_count(mr_emitter *out, const char *name, uint64_t amount)
{
    mr__counters_add(&out->counters, name, amount);
}

/* Emits for good what an item has emitted into the stage. */
static void commit(mr_emitter *out)
{
    struct mr__list *stage = out->stage;
    struct mr__list_walk walk = {.chunk = stage->first};
    const void *at;

    out->stage = NULL;
    while (out->status == STOOK_OK && (at = mr__list_next(&walk)) != NULL) {
        struct mr_pair pair = mr__packed_pair(at);
        mr_emit(out, pair.key, pair.value);
    }
}

/* Calls the mapper until it succeeds, or as often as the job says, with what it emits staged. */
static int map_staged(mr_emitter *out, const struct mr_item *item)
{
    struct mr__list stage = {.budget = &out->context->budget};
    uint32_t attempts = out->job->attempts > 1 ? out->job->attempts : 1;
    int code = 1;

    for (uint32_t i = 0; i < attempts && code != 0 && !mr_emitter_stopped(out); i++) {
        mr__list_fini(&stage);
        out->stage = &stage;
        code = out->job->map(item, out, out->job->user);
    }
    if (code == 0) {
        commit(out);
    }
    out->stage = NULL;
    mr__list_fini(&stage);
    return code;
}

/* The item is bad, unless the job has ended anyway. */
static void fail_item(mr_emitter *out, int code)
{
    struct mr_error error;

    if (out->status != STOOK_OK) {
        return;
    }
    describe_failure(out, &error, "map", code, NULL);
    if (!mr__context_tolerate(out->context, out->job, &error)) {
        fail(out, &error);
    }
}

bool mr__map_item(mr_emitter *out, const struct mr_item *item)
{
    const struct mr_job *job = out->job;

    if (mr__control_stopped(out->control)) {
        return false;
    }
    out->item = item;
    out->window = item->data.data;
    out->window_room = item->data.size >= 16 ? item->data.size - 15 : 0;
    int code = job->attempts > 1 || job->most_bad_items > 0 ? map_staged(out, item)
                                                            : job->map(item, out, job->user);
    out->items++;
    if (code != 0) {
        fail_item(out, code);
    }
    if (out->fails_late) {
        mr__emitter_flush(out);
    }
    out->item = NULL;
    return out->status == STOOK_OK;
}

bool mr_values_next(mr_values *values, struct mr_slice *ret_value)
{
    if (values->next) {
        if (values->next == values->end) {
            return false;
        }
        *ret_value = mr__packed_pair(values->next++->at).value;
        return true;
    }
    if (values->only) {
        *ret_value = *values->only;
        values->only = NULL;
        return true;
    }
    return values->group ? mr__group_next(values->group, ret_value)
                         : mr__cursor_next(&values->cursor, ret_value);
}
