/* SPDX-License-Identifier: MIT
 *
 * The result of a job: pairs that lie in the tables of its groups, or in lists; and, if they have
 * an order, an array that leads to them in that order.
 */
#include <stdlib.h>
#include <string.h>
#include "mr_internal.h"

/* --- where pairs lie -------------------------------------------------------------------------- */

static struct mr_pair pair_of_slot(const void *at)
{
    const struct mr__slot *slot = at;
    struct mr__cursor cursor = mr__slot_values(slot);
    struct mr_pair pair = {.key = mr__slot_key(slot)};

    mr__cursor_next(&cursor, &pair.value);
    return pair;
}

enum { AHEAD = 16 }; /* slots whose keys are asked for */

/* The next taken slot of the groups; NULL: no more. */
static const struct mr__slot *next_slot(struct mr__walk *walk, const mr_groups *groups)
{
    for (; walk->part < groups->partitions; walk->part++, walk->slot = 0) {
        const struct mr__table *table = &groups->tables[walk->part];
        while (walk->slot < table->capacity) {
            const struct mr__slot *slot = &table->slots[walk->slot++];
            if (walk->slot + AHEAD < table->capacity) {
                mr__slot_prefetch(slot + AHEAD);
            }
            if (slot->value_kind != MR_VALUE_NONE) {
                return slot;
            }
        }
    }
    return NULL;
}

/* The list behind that of the walk; NULL: no more. */
static const struct mr__list *next_list(struct mr__walk *walk, const mr_result *result)
{
    if (!result->groups) {
        return walk->part < result->list_count ? &result->lists[walk->part++] : NULL;
    }
    walk->segment = walk->segment ? walk->segment->next : result->groups->store.all;
    return walk->segment ? &walk->segment->list : NULL;
}

static const void *next_packed(struct mr__walk *walk, const mr_result *result)
{
    for (;;) {
        const void *packed = mr__list_next(&walk->list);
        const struct mr__list *list = packed ? NULL : next_list(walk, result);
        if (!list) {
            return packed;
        }
        walk->list = (struct mr__list_walk){.chunk = list->first};
    }
}

static bool is_in_tables(const mr_result *result)
{
    return result->groups && result->groups->partitions > 0;
}

/* The next pair as it lies there; NULL: no more. */
static const void *next_place(const mr_result *result, struct mr__walk *walk)
{
    return is_in_tables(result) ? (const void *)next_slot(walk, result->groups)
                                : next_packed(walk, result);
}

static mr__pair_fn *pair_fn(const mr_result *result)
{
    return is_in_tables(result) ? pair_of_slot : mr__packed_pair;
}

/* --- bringing them into order ----------------------------------------------------------------- */

/* Entries that are sorted whenever there is no room for another, so that only the first `wanted`
 * are kept. */
struct chooser {
    const struct mr__order *order;
    stook_executor *executor;
    struct mr__entry *entries;
    size_t capacity;
    size_t count;
    size_t wanted;
};

static enum stook_status choose(struct chooser *chooser, const void *at)
{
    if (chooser->count == chooser->capacity) {
        enum stook_status status = mr__order_sort(
            chooser->order, chooser->executor, chooser->entries, chooser->count, chooser->wanted);
        if (status != STOOK_OK) {
            return status;
        }
        chooser->count = chooser->wanted;
    }
    chooser->entries[chooser->count++].at = at;
    return STOOK_OK;
}

static enum stook_status sort_all(mr_result *result, stook_executor *executor)
{
    const struct mr__order order = {.pair_of = pair_fn(result), .job = &result->job};
    size_t wanted = (size_t)result->count;
    struct chooser chooser = {.order = &order, .executor = executor, .wanted = wanted};
    struct mr__walk walk = {.part = 0};
    enum stook_status status = STOOK_OK;
    const void *at;

    chooser.capacity = wanted < result->all / 4 ? 2 * wanted + 1024 : (size_t)result->all;
    if (chooser.capacity > SIZE_MAX / 2 / sizeof *chooser.entries) {
        return STOOK_NOMEM;
    }
    result->entries_size = (chooser.capacity + 1) * sizeof *chooser.entries;
    result->entries = mr__allocate(&result->context->budget, result->entries_size);
    chooser.entries = result->entries;
    if (!chooser.entries) {
        return STOOK_NOMEM;
    }
    while (status == STOOK_OK && (at = next_place(result, &walk)) != NULL) {
        status = choose(&chooser, at);
    }
    return status == STOOK_OK
               ? mr__order_sort(&order, executor, chooser.entries, chooser.count, wanted)
               : status;
}

/* --- in files --------------------------------------------------------------------------------- */

static uint64_t pairs_of(const struct mr__runs *runs)
{
    uint64_t pairs = 0;

    for (size_t i = 0; i < runs->count; i++) {
        pairs += runs->all[i].pairs;
    }
    return pairs;
}

/* Takes over the runs there are, and makes runs of all lists if there is one. */
static enum stook_status take_runs(mr_result *result, const struct mr__result_source *source,
                                   struct mr_error *ret_error)
{
    struct mr__segment *segment =
        source->groups && source->groups->partitions == 0 ? source->groups->store.all : NULL;
    enum stook_status status = STOOK_OK;
    bool is_kept = true;

    for (; segment; segment = segment->next) {
        is_kept &= mr__runs_append(&result->runs, &segment->list_runs);
    }
    for (size_t i = 0; source->runs && i < source->list_count; i++) {
        is_kept &= mr__runs_append(&result->runs, &source->runs[i]);
    }
    if (!is_kept) {
        return mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_REDUCE);
    }
    if (result->runs.count == 0) {
        return STOOK_OK;
    }
    segment = mr__store_lease(source->store, 0);
    if (!segment) {
        return mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_REDUCE);
    }
    for (size_t i = 0; i < result->list_count && status == STOOK_OK; i++) {
        if (result->lists[i].count > 0) {
            status = mr__list_spill(result->context, &result->job, segment, &result->lists[i],
                                    &result->runs, ret_error);
        }
    }
    if (status == STOOK_OK && result->job.order != MR_ORDER_NONE) {
        status = mr__runs_lessen(result->context, &result->job, segment, true, &result->runs, NULL,
                                 ret_error);
    }
    mr__store_return(source->store, segment);
    if (status != STOOK_OK && ret_error) {
        ret_error->phase = MR_PHASE_REDUCE;
    }
    return status;
}

/* Opens what the walk reads next; false: it has come to the end, or see status. */
static bool open_runs(mr_result *result)
{
    struct mr__budget *budget = &result->context->budget;
    size_t buffer = mr__merge_buffer(budget, result->runs.count);
    bool is_open;

    if (result->job.order != MR_ORDER_NONE) {
        is_open = mr__merge_begin(&result->merge, &result->job, budget, true, result->runs.all,
                                  result->runs.count, buffer);
        result->status = result->merge.status;
        result->code = result->merge.code;
        return is_open;
    }
    if (result->walk.part == result->runs.count) {
        return false;
    }
    if (result->reader.buffer) {
        mr__reader_fini(&result->reader);
    }
    is_open = mr__reader_begin(&result->reader, budget, &result->runs.all[result->walk.part++],
                               mr__merge_buffer(budget, 1));
    result->status = is_open ? STOOK_OK : STOOK_NOMEM;
    return is_open;
}

static void close_runs(mr_result *result)
{
    mr__merge_end(&result->merge);
    if (result->reader.buffer) {
        mr__reader_fini(&result->reader);
    }
}

static bool next_of_runs(mr_result *result, struct mr_pair *ret_pair)
{
    if (result->job.order != MR_ORDER_NONE) {
        if ((!result->merge.heads && !open_runs(result)) ||
            !mr__merge_next(&result->merge, ret_pair)) {
            result->status = result->merge.status;
            result->code = result->merge.code;
            return false;
        }
        return true;
    }
    while (!result->reader.buffer || !mr__reader_next(&result->reader, ret_pair)) {
        result->status = result->reader.status;
        result->code = result->reader.code;
        if (result->status != STOOK_OK || !open_runs(result)) {
            return false;
        }
    }
    return true;
}

/* --- the result ------------------------------------------------------------------------------- */

enum stook_status mr__result_create(const struct mr__result_source *source,
                                    stook_executor *executor, mr_result **ret_result,
                                    struct mr_error *ret_error)
{
    mr_result *result = calloc(1, sizeof *result);

    if (!result) {
        return mr__error_plain(ret_error, STOOK_NOMEM, MR_PHASE_REDUCE);
    }
    result->context = mr__context_retain(source->context);
    result->job = *source->job;
    if (source->groups) {
        result->groups = mr__groups_retain(source->groups);
        result->all = source->groups->count;
    } else {
        result->lists = *source->lists;
        result->list_count = source->list_count;
        *source->lists = NULL;
        for (size_t i = 0; i < result->list_count; i++) {
            result->all += result->lists[i].count;
        }
    }
    enum stook_status status = take_runs(result, source, ret_error);
    if (result->runs.count > 0) {
        result->all = pairs_of(&result->runs);
    }
    bool is_cut = result->job.top > 0 && result->job.top < result->all;
    result->count = is_cut ? result->job.top : result->all;
    if (status == STOOK_OK && result->job.order != MR_ORDER_NONE && result->runs.count == 0) {
        status = sort_all(result, executor);
        mr__error_plain(status == STOOK_OK ? NULL : ret_error, status, MR_PHASE_REDUCE);
    }
    if (status != STOOK_OK) {
        mr_result_destroy(result);
        return status;
    }
    mtx_lock(&result->context->mutex);
    result->context->stats.results = result->count;
    mtx_unlock(&result->context->mutex);
    *ret_result = result;
    return STOOK_OK;
}

void mr_result_destroy(mr_result *result)
{
    if (!result) {
        return;
    }
    for (size_t i = 0; i < result->list_count; i++) {
        mr__list_fini(&result->lists[i]);
    }
    free(result->lists);
    close_runs(result);
    mr__runs_fini(&result->runs);
    mr__deallocate(&result->context->budget, result->entries, result->entries_size);
    mr__groups_release(result->groups);
    mr__context_release(result->context);
    free(result);
}

uint64_t mr_result_count(const mr_result *result)
{
    return result->count;
}

enum stook_status mr_result_status(const mr_result *result, struct mr_error *ret_error)
{
    if (result->status != STOOK_OK) {
        mr__error_read(ret_error, result->status, result->code);
        if (ret_error) {
            ret_error->phase = MR_PHASE_OUTPUT;
        }
    }
    return result->status;
}

void mr_result_rewind(mr_result *result)
{
    result->given = 0;
    result->walk = (struct mr__walk){.part = 0};
    result->status = STOOK_OK;
    close_runs(result);
    result->reader = (struct mr__reader){.buffer = NULL};
}

bool mr_result_next(mr_result *result, struct mr_pair *ret_pair)
{
    if (result->given == result->count) {
        return false;
    }
    if (result->runs.count > 0) {
        bool is_given = result->status == STOOK_OK && next_of_runs(result, ret_pair);
        result->given += is_given;
        return is_given;
    }
    const void *at =
        result->entries ? result->entries[result->given].at : next_place(result, &result->walk);
    result->given++;
    *ret_pair = pair_fn(result)(at);
    return true;
}

/* --- places ----------------------------------------------------------------------------------- */

bool mr__places_take(mr_result *result, struct mr__places *ret_places)
{
    *ret_places = (struct mr__places){.result = result};
    if (result->runs.count > 0) {
        return false;
    }
    if (result->entries) {
        ret_places->next = (size_t)result->given;
        ret_places->left = result->count - result->given;
    } else if (is_in_tables(result) && result->given == 0 && result->count == result->all) {
        for (uint32_t i = 0; i < result->groups->partitions; i++) {
            ret_places->left += result->groups->tables[i].capacity;
        }
    } else {
        return false;
    }
    result->given = result->count;
    return true;
}

struct mr__places mr__places_split(struct mr__places *places, uint64_t most)
{
    const mr_result *result = places->result;
    struct mr__places first = *places;

    first.left = most < places->left ? most : places->left;
    places->left -= first.left;
    places->next += (size_t)first.left;
    while (!result->entries && places->left > 0 &&
           places->next >= result->groups->tables[places->part].capacity) {
        places->next -= result->groups->tables[places->part++].capacity;
    }
    return first;
}

static bool next_of_entries(struct mr__places *places, struct mr_pair *ret_pair)
{
    if (places->left == 0) {
        return false;
    }
    const struct mr__entry *entry = &places->result->entries[places->next++];
    if (--places->left > AHEAD) {
        __builtin_prefetch(entry[AHEAD].at);
    }
    *ret_pair = pair_fn(places->result)(entry->at);
    return true;
}

static bool next_of_tables(struct mr__places *places, struct mr_pair *ret_pair)
{
    const struct mr__table *table = &places->result->groups->tables[places->part];

    while (places->left > 0) {
        if (places->next == table->capacity) {
            places->next = 0;
            places->part++;
            table++;
            continue;
        }
        const struct mr__slot *slot = &table->slots[places->next++];
        places->left--;
        if (places->next + AHEAD < table->capacity) {
            mr__slot_prefetch(slot + AHEAD);
        }
        if (slot->value_kind != MR_VALUE_NONE) {
            *ret_pair = pair_of_slot(slot);
            return true;
        }
    }
    return false;
}

bool mr__places_next(struct mr__places *places, struct mr_pair *ret_pair)
{
    return places->result->entries ? next_of_entries(places, ret_pair)
                                   : next_of_tables(places, ret_pair);
}
