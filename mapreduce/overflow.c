/* SPDX-License-Identifier: MIT
 *
 * What a job does when its memory ends: a segment's tables, or a list, become sorted runs in a
 * file; and runs that are too many to be read at once become fewer.
 */
#include <stdlib.h>
#include <string.h>
#include "mr_internal.h"

/* So much of the limit may pairs take before they go; who has less than a share of it keeps what it
 * has, as others must have more. */
enum { PART = 3, WHOLE = 4, SHARES = 32 };

static bool is_tight(struct mr__context *context)
{
    return mr__budget_is_tight(&context->budget, PART, WHOLE);
}

bool mr__segment_overflows(struct mr__context *context, const struct mr__segment *segment,
                           uint32_t partitions)
{
    if (!is_tight(context)) {
        return false;
    }
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < partitions; i++) {
        const struct mr__table *table = &segment->tables[i];
        bytes += table->capacity * sizeof *table->slots + table->arena.bytes;
    }
    return bytes >= context->budget.limit / SHARES;
}

bool mr__list_overflows(struct mr__context *context, const struct mr__list *list)
{
    return is_tight(context) && list->bytes >= context->budget.limit / SHARES;
}

/* --- runs ------------------------------------------------------------------------------------- */

bool mr__runs_add(struct mr__runs *runs, const struct mr__run *run)
{
    if (runs->count == runs->capacity) {
        size_t capacity = runs->capacity ? runs->capacity * 2 : 4;
        struct mr__run *bigger = realloc(runs->all, capacity * sizeof *bigger);
        if (!bigger) {
            return false;
        }
        runs->all = bigger;
        runs->capacity = capacity;
    }
    runs->all[runs->count++] = *run;
    return true;
}

bool mr__runs_append(struct mr__runs *runs, const struct mr__runs *from)
{
    for (size_t i = 0; i < from->count; i++) {
        if (!mr__runs_add(runs, &from->all[i])) {
            return false;
        }
    }
    return true;
}

void mr__runs_fini(struct mr__runs *runs)
{
    free(runs->all);
    *runs = (struct mr__runs){0};
}

/* --- writing ---------------------------------------------------------------------------------- */

/* One spill: a writer, and room for what is to be sorted. */
struct spill {
    struct mr__context *context;
    struct mr_job job; /* with the order of the runs */
    struct mr__writer writer;
    struct mr__entry *entries;
    size_t entries_size; /* bytes */
    struct mr_error *error;
};

static enum stook_status fail_write(const struct spill *spill)
{
    char reason[MR_REASON_TEXT];

    return mr__error_set(spill->error, STOOK_IO, MR_PHASE_NONE, spill->writer.code,
                         "cannot write what exceeds the memory limit: %s",
                         mr__reason_text(spill->writer.code, reason));
}

static enum stook_status fail_plain(const struct spill *spill, enum stook_status status)
{
    return mr__error_plain(spill->error, status, MR_PHASE_NONE);
}

static enum stook_status spill_begin(struct spill *spill, struct mr__segment *segment)
{
    struct mr__context *context = spill->context;

    if (!segment->file) {
        segment->file = mr__context_file(context, spill->job.spill_directory, spill->error);
        if (!segment->file) {
            return spill->error->status;
        }
    }
    if (!mr__writer_begin(&spill->writer, &context->budget, segment->file)) {
        return fail_plain(spill, STOOK_NOMEM);
    }
    return STOOK_OK;
}

static void spill_end(struct spill *spill)
{
    struct mr__budget *budget = &spill->context->budget;

    mr__deallocate(budget, spill->entries, spill->entries_size);
    if (spill->writer.buffer) {
        mr__writer_fini(&spill->writer);
    }
}

/* Room for so many entries. */
static bool reserve(struct spill *spill, size_t count)
{
    struct mr__budget *budget = &spill->context->budget;
    size_t size = count * sizeof *spill->entries;

    if (spill->entries && size <= spill->entries_size) {
        return true;
    }
    mr__deallocate(budget, spill->entries, spill->entries_size);
    spill->entries_size = 0;
    spill->entries = mr__allocate(budget, size);
    spill->entries_size = spill->entries ? size : 0;
    return spill->entries != NULL;
}

static enum stook_status end_run(struct spill *spill, struct mr__runs *runs)
{
    struct mr__run run;

    if (!mr__writer_end(&spill->writer, &run)) {
        return fail_write(spill);
    }
    if (!mr__runs_add(runs, &run)) {
        return fail_plain(spill, STOOK_NOMEM);
    }
    mr__context_count_spill(spill->context, run.size);
    mr__writer_go_on(&spill->writer);
    return STOOK_OK;
}

static struct mr_pair pair_of_slot(const void *at)
{
    return (struct mr_pair){.key = mr__slot_key(at)}; /* keys of a table differ */
}

static enum stook_status spill_table(struct spill *spill, const struct mr__table *table,
                                     struct mr__runs *runs)
{
    const struct mr__order order = {.pair_of = pair_of_slot, .job = &spill->job};
    size_t count = 0;

    if (!reserve(spill, table->count)) {
        return fail_plain(spill, STOOK_NOMEM);
    }
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->slots[i].value_kind != MR_VALUE_NONE) {
            spill->entries[count++].at = &table->slots[i];
        }
    }
    enum stook_status status =
        mr__order_sort(&order, spill->context->executor, spill->entries, count, count);
    if (status != STOOK_OK) {
        return fail_plain(spill, status);
    }
    for (size_t i = 0; i < count; i++) {
        struct mr__cursor cursor = mr__slot_values(spill->entries[i].at);
        struct mr_slice key = mr__slot_key(spill->entries[i].at);
        struct mr_slice value;
        while (mr__cursor_next(&cursor, &value)) {
            mr__writer_add(&spill->writer, key, value);
        }
    }
    return end_run(spill, runs);
}

enum stook_status mr__segment_spill(struct mr__context *context, const struct mr_job *job,
                                    struct mr__segment *segment, uint32_t partitions,
                                    struct mr_error *ret_error)
{
    struct spill spill = {.context = context, .job = *job, .error = ret_error};

    spill.job.order = MR_ORDER_KEY;
    if (!segment->runs) {
        segment->runs = calloc(partitions, sizeof *segment->runs);
        if (!segment->runs) {
            return fail_plain(&spill, STOOK_NOMEM);
        }
    }
    enum stook_status status = spill_begin(&spill, segment);
    /* also after a failure: who gets the segment next must find nothing */
    for (uint32_t i = 0; i < partitions; i++) {
        struct mr__table *table = &segment->tables[i];
        if (status == STOOK_OK && table->count > 0) {
            status = spill_table(&spill, table, &segment->runs[i]);
        }
        mr__table_fini(table);
    }
    spill_end(&spill);
    return status;
}

enum stook_status mr__list_spill(struct mr__context *context, const struct mr_job *job,
                                 struct mr__segment *segment, struct mr__list *list,
                                 struct mr__runs *runs, struct mr_error *ret_error)
{
    struct spill spill = {.context = context, .job = *job, .error = ret_error};
    const struct mr__order order = {.pair_of = mr__packed_pair, .job = &spill.job};
    struct mr__list_walk walk = {.chunk = list->first};
    size_t count = (size_t)list->count;
    bool is_ordered = job->order != MR_ORDER_NONE;
    const void *at;
    enum stook_status status = spill_begin(&spill, segment);

    if (status == STOOK_OK && is_ordered) {
        if (!reserve(&spill, count)) {
            status = fail_plain(&spill, STOOK_NOMEM);
        }
        for (size_t i = 0; status == STOOK_OK && i < count; i++) {
            spill.entries[i].at = mr__list_next(&walk);
        }
        if (status == STOOK_OK) {
            status = mr__order_sort(&order, context->executor, spill.entries, count, count);
            if (status != STOOK_OK) {
                fail_plain(&spill, status);
            }
        }
        for (size_t i = 0; status == STOOK_OK && i < count; i++) {
            struct mr_pair pair = mr__packed_pair(spill.entries[i].at);
            mr__writer_add(&spill.writer, pair.key, pair.value);
        }
    } else if (status == STOOK_OK) {
        while ((at = mr__list_next(&walk)) != NULL) {
            struct mr_pair pair = mr__packed_pair(at);
            mr__writer_add(&spill.writer, pair.key, pair.value);
        }
    }
    if (status == STOOK_OK) {
        status = end_run(&spill, runs);
    }
    mr__list_fini(list);
    spill_end(&spill);
    return status;
}

/* --- fewer of them ---------------------------------------------------------------------------- */

/* Makes one run of the first `count`, behind the others. */
static enum stook_status merge_first(struct spill *spill, bool by_pair, struct mr__runs *runs,
                                     size_t count)
{
    struct mr__budget *budget = &spill->context->budget;
    struct mr__merge merge;
    struct mr_pair pair;

    if (mr__merge_begin(&merge, &spill->job, budget, by_pair, runs->all, count,
                        mr__merge_buffer(budget, count))) {
        while (mr__merge_next(&merge, &pair)) {
            mr__writer_add(&spill->writer, pair.key, pair.value);
        }
    }
    enum stook_status status = merge.status;
    int code = merge.code;
    mr__merge_end(&merge);
    if (status != STOOK_OK) {
        return mr__error_read(spill->error, status, code);
    }
    runs->count -= count;
    memmove(runs->all, runs->all + count, runs->count * sizeof *runs->all);
    return end_run(spill, runs);
}

enum stook_status mr__runs_lessen(struct mr__context *context, const struct mr_job *job,
                                  struct mr__segment *segment, bool by_pair, struct mr__runs *runs,
                                  const struct mr__control *control, struct mr_error *ret_error)
{
    struct spill spill = {.context = context, .job = *job, .error = ret_error};
    const size_t most = mr__merge_most(&context->budget);
    enum stook_status status = STOOK_OK;

    if (runs->count <= most) {
        return STOOK_OK;
    }
    status = spill_begin(&spill, segment);
    while (status == STOOK_OK && runs->count > most && !(control && mr__control_stopped(control))) {
        size_t too_many = runs->count - most + 1; /* each merge leaves one in place of all */
        status = merge_first(&spill, by_pair, runs, too_many < most ? too_many : most);
    }
    spill_end(&spill);
    return status;
}
