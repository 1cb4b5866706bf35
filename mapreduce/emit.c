/* SPDX-License-Identifier: MIT
 *
 * Calling a mapper, and what callbacks do: emit, and walk values. The first failure is kept in the emitter as well as in
 * the phase's control, so that a callback that goes on after it emits nothing more.
 */
#include <stdio.h>
#include "mr_internal.h"

bool mr_emitter_stopped(const mr_emitter *out)
{
    return out->status != STOOK_OK || mr__control_stopped(out->control);
}

static void fail(mr_emitter *out, struct mr_error *error)
{
    if (out->item) {
        error->item = out->item->index;
        error->source = out->item->source;
    }
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

void mr__emitter_fail(mr_emitter *out, const char *callback, int code, const struct mr_slice *key)
{
    struct mr_error error;
    char where[MR_PATH_TEXT + 48];
    char quoted[MR_KEY_TEXT];

    mr__error_set(&error, STOOK_TASK_FAILED, out->phase, code, "%s failed with code %d%s%s%s",
                  callback, code, key ? " for key " : "", key ? mr__key_text(*key, quoted) : "",
                  item_text(out, where, sizeof where));
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

static enum stook_status emit_to_table(mr_emitter *out, struct mr_slice key, struct mr_slice value)
{
    const struct mr_job *job = out->job;
    uint64_t hash = mr_hash(key);
    uint32_t partitions = job->partitions;
    uint32_t partition = job->partition ? job->partition(key, partitions, job->user)
                                        : (uint32_t)((hash >> 32) * partitions >> 32);
    struct mr__fold fold = {
        .combine = job->combine, .user = job->user, .arena = &out->segment->arena};

    if (partition >= partitions) {
        fail_partition(out, partition, partitions, key);
        return out->status;
    }
    enum stook_status status =
        mr__table_add(&out->segment->tables[partition], &fold, hash, key, value);
    if (status == STOOK_TASK_FAILED) {
        mr__emitter_fail(out, "combine", fold.code, &key);
    } else if (status != STOOK_OK) {
        mr__emitter_fail_plain(out, status);
    }
    return status;
}

enum stook_status mr_emit(mr_emitter *out, struct mr_slice key, struct mr_slice value)
{
    if (out->status != STOOK_OK) {
        return out->status;
    }
    if (mr__control_stopped(out->control)) {
        out->status = STOOK_CANCELLED;
        return out->status;
    }
    if (!out->list) {
        return emit_to_table(out, key, value);
    }
    if (!mr__list_add(out->list, &out->segment->arena, key, value)) {
        mr__emitter_fail_plain(out, STOOK_NOMEM);
    }
    return out->status;
}

bool mr__map_item(mr_emitter *out, const struct mr_item *item)
{
    if (mr__control_stopped(out->control)) {
        return false;
    }
    out->item = item;
    int code = out->job->map(item, out, out->job->user);
    if (code != 0 && out->status == STOOK_OK) {
        mr__emitter_fail(out, "map", code, NULL);
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
        *ret_value = values->next++->pair.value;
        return true;
    }
    return mr__cursor_next(&values->cursor, ret_value);
}
