/* SPDX-License-Identifier: MIT
 *
 * A binary heap of the runs by their next pairs, of which the first 8 bytes of the keys lie beside
 * them.
 */
#include "merge.h"
#include <stdlib.h>
#include <string.h>
#include "order.h"

enum { SMALLEST_BUFFER = 1 << 12, LARGEST_BUFFER = 1 << 18, LEAST_AT_ONCE = 16 };

struct mr__head {
    struct mr__reader reader;
    struct mr_pair pair;
    uint64_t prefix;
};

/* What the buffers of one merge may take together. */
static uint64_t share_of_one(const struct mr__budget *budget)
{
    return budget->limit / 8 / budget->sharers;
}

size_t mr__merge_most(const struct mr__budget *budget)
{
    uint64_t most = share_of_one(budget) / SMALLEST_BUFFER;

    return budget->limit == 0 ? SIZE_MAX : most < LEAST_AT_ONCE ? LEAST_AT_ONCE : (size_t)most;
}

size_t mr__merge_buffer(const struct mr__budget *budget, size_t count)
{
    uint64_t share = budget->limit > 0 && count > 0 ? share_of_one(budget) / count : LARGEST_BUFFER;

    share &= ~(uint64_t)(SMALLEST_BUFFER - 1);
    return share < SMALLEST_BUFFER  ? SMALLEST_BUFFER
           : share > LARGEST_BUFFER ? LARGEST_BUFFER
                                    : (size_t)share;
}

static int compare_keys(const struct mr_job *job, struct mr_slice a, struct mr_slice b)
{
    return job->keys ? job->keys->compare(a, b, job->user) : mr_slice_compare(a, b);
}

bool mr__is_same_key(const struct mr_job *job, struct mr_slice a, struct mr_slice b)
{
    return compare_keys(job, a, b) == 0;
}

static uint64_t prefix_of(struct mr_slice key)
{
    const unsigned char *bytes = key.data;
    uint64_t prefix = 0;

    for (size_t i = 0; i < 8; i++) {
        prefix = prefix << 8 | (i < key.size ? bytes[i] : 0);
    }
    return prefix;
}

static bool is_before(const struct mr__merge *merge, const struct mr__head *a,
                      const struct mr__head *b)
{
    if (merge->by_pair) {
        return mr__order_compare(merge->job, &a->pair, &b->pair) < 0;
    }
    if (a->prefix != b->prefix) {
        return a->prefix < b->prefix;
    }
    return compare_keys(merge->job, a->pair.key, b->pair.key) < 0;
}

/* Restores the heap below `at`, whose head may be too large for its place. */
static void sift_down(struct mr__merge *merge, size_t at)
{
    struct mr__head **heap = merge->heap;

    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < merge->heap_size; child++) {
            if (is_before(merge, heap[child], heap[least])) {
                least = child;
            }
        }
        if (least == at) {
            return;
        }
        struct mr__head *head = heap[at];
        heap[at] = heap[least];
        heap[least] = head;
        at = least;
    }
}

/* Gets the next pair of a run; false: it has none, or see merge->status. */
static bool advance(struct mr__merge *merge, struct mr__head *head)
{
    if (!mr__reader_next(&head->reader, &head->pair)) {
        if (head->reader.status != STOOK_OK) {
            merge->status = head->reader.status;
            merge->code = head->reader.code;
        }
        return false;
    }
    /* With functions of the job's own, equal prefixes leave everything to them. */
    head->prefix = merge->job->keys ? 0 : prefix_of(head->pair.key);
    return true;
}

bool mr__merge_begin(struct mr__merge *merge, const struct mr_job *job, struct mr__budget *budget,
                     bool by_pair, const struct mr__run runs[], size_t count, size_t buffer)
{
    *merge = (struct mr__merge){.job = job, .budget = budget, .by_pair = by_pair};
    merge->heads = calloc(count + 1, sizeof *merge->heads);
    merge->heap = malloc((count + 1) * sizeof *merge->heap);
    if (!merge->heads || !merge->heap) {
        merge->status = STOOK_NOMEM;
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        struct mr__head *head = &merge->heads[i];
        if (!mr__reader_begin(&head->reader, budget, &runs[i], buffer)) {
            merge->status = STOOK_NOMEM;
            return false;
        }
        merge->count++;
        if (advance(merge, head)) {
            merge->heap[merge->heap_size++] = head;
        } else if (merge->status != STOOK_OK) {
            return false;
        }
    }
    for (size_t i = merge->heap_size / 2; i > 0; i--) {
        sift_down(merge, i - 1);
    }
    return true;
}

bool mr__merge_next(struct mr__merge *merge, struct mr_pair *ret_pair)
{
    if (merge->is_given) {
        merge->is_given = false;
        if (!advance(merge, merge->heap[0])) {
            if (merge->status != STOOK_OK) {
                merge->heap_size = 0;
                return false;
            }
            merge->heap[0] = merge->heap[--merge->heap_size];
        }
        sift_down(merge, 0);
    }
    if (merge->heap_size == 0) {
        return false;
    }
    *ret_pair = merge->heap[0]->pair;
    merge->is_given = true;
    return true;
}

void mr__merge_end(struct mr__merge *merge)
{
    for (size_t i = 0; i < merge->count; i++) {
        mr__reader_fini(&merge->heads[i].reader);
    }
    free(merge->heads);
    free(merge->heap);
    *merge = (struct mr__merge){.count = 0};
}
