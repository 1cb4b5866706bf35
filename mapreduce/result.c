/* SPDX-License-Identifier: MIT
 *
 * Lists of pairs, and the result of a job: lists that were each sorted by their own task are merged
 * while they are read, by a binary heap of their heads.
 */
#include <stdlib.h>
#include <string.h>
#include "mr_internal.h"

/* --- lists ------------------------------------------------------------------------------------ */

static uint64_t prefix_of(struct mr_slice key)
{
    const unsigned char *bytes = key.data;
    uint64_t prefix = 0;

    for (size_t i = 0; i < 8; i++) {
        prefix = prefix << 8 | (i < key.size ? bytes[i] : 0);
    }
    return prefix;
}

bool mr__list_add(struct mr__list *list, struct mr__arena *arena, struct mr_slice key,
                  struct mr_slice value)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 8;
        struct mr__output *bigger = NULL;
        if (capacity <= SIZE_MAX / 2 / sizeof *bigger) {
            bigger = realloc(list->outputs, capacity * sizeof *bigger);
        }
        if (!bigger) {
            return false;
        }
        list->outputs = bigger;
        list->capacity = capacity;
    }
    const void *key_copy = mr__arena_copy(arena, key.data, key.size);
    const void *value_copy = key_copy ? mr__arena_copy(arena, value.data, value.size) : NULL;
    if (!value_copy) {
        return false;
    }
    list->outputs[list->count++] = (struct mr__output){
        .prefix = prefix_of(key),
        .pair = {mr_slice_of(key_copy, key.size), mr_slice_of(value_copy, value.size)},
    };
    return true;
}

static int slice_compare(struct mr_slice a, struct mr_slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

int mr__output_compare(const void *a, const void *b)
{
    const struct mr__output *x = a;
    const struct mr__output *y = b;

    if (x->prefix != y->prefix) {
        return x->prefix < y->prefix ? -1 : 1;
    }
    int order = slice_compare(x->pair.key, y->pair.key);
    return order != 0 ? order : slice_compare(x->pair.value, y->pair.value);
}

void mr__list_sort(struct mr__list *list)
{
    if (list->count > 1) {
        qsort(list->outputs, list->count, sizeof *list->outputs, mr__output_compare);
    }
}

void mr__list_fini(struct mr__list *list)
{
    free(list->outputs);
    *list = (struct mr__list){0};
}

/* --- results ---------------------------------------------------------------------------------- */

mr_result *mr__result_create(struct mr__store *store, struct mr__list **lists, size_t list_count,
                             enum mr_order order)
{
    mr_result *result = calloc(1, sizeof *result);
    if (!result) {
        return NULL;
    }
    result->runs = malloc((list_count + 1) * sizeof *result->runs);
    if (!result->runs || !mr__store_init(&result->store, 0)) {
        free(result->runs);
        free(result);
        return NULL;
    }
    mr__store_move(&result->store, store);
    result->lists = *lists;
    *lists = NULL;
    result->list_count = list_count;
    result->order = order;
    for (size_t i = 0; i < list_count; i++) {
        result->count += result->lists[i].count;
    }
    mr_result_rewind(result);
    return result;
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
    free(result->runs);
    mr__store_fini(&result->store);
    free(result);
}

uint64_t mr_result_count(const mr_result *result)
{
    return result->count;
}

/* Restores the heap below `at`, whose run may be too large for its place. */
static void sift_down(mr_result *result, size_t at)
{
    struct mr__run *runs = result->runs;

    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < result->run_count; child++) {
            if (mr__output_compare(runs[child].next, runs[least].next) < 0) {
                least = child;
            }
        }
        if (least == at) {
            return;
        }
        struct mr__run run = runs[at];
        runs[at] = runs[least];
        runs[least] = run;
        at = least;
    }
}

void mr_result_rewind(mr_result *result)
{
    result->run_count = 0;
    for (size_t i = 0; i < result->list_count; i++) {
        const struct mr__list *list = &result->lists[i];
        if (list->count > 0) {
            result->runs[result->run_count++] =
                (struct mr__run){list->outputs, list->outputs + list->count};
        }
    }
    if (result->order == MR_ORDER_KEY) {
        for (size_t i = result->run_count / 2; i > 0; i--) {
            sift_down(result, i - 1);
        }
    }
}

bool mr_result_next(mr_result *result, struct mr_pair *ret_pair)
{
    if (result->run_count == 0) {
        return false;
    }
    struct mr__run *first = &result->runs[0];
    *ret_pair = first->next->pair;
    if (++first->next == first->end) {
        *first = result->runs[--result->run_count];
    }
    if (result->order == MR_ORDER_KEY) {
        sift_down(result, 0);
    }
    return true;
}
