/* SPDX-License-Identifier: MIT
 *
 * A stable merge sort on top of fork and join. README.md, "Loops".
 *
 * Halves are sorted into one of two places, the array or the temporary memory, and merged into the
 * other. Both the halves and the merges are shared: a merge writes its output in order, and when
 * somebody is out of work what is left of it is cut in two, at the place in the output that halves
 * it. A compare function that contradicts itself makes a wrong order, but no element is lost, and
 * nothing else is touched.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <stook/loop.h>
#include "allocate.h"
#include "lane.h"

/* Counts of elements. */
enum {
    SHORT = 12,        /* as many are sorted by insertion */
    FORK_FROM = 512,   /* as many are worth a fork */
    PIECE = 512,       /* merged before it is asked whether somebody is out of work */
    SPLIT_FROM = 1024, /* a merge of more than this is worth a fork */
    FEW = 4            /* too few to be merged from both ends */
};

enum { ALIGNMENT_MOST = 4096 };

/* Compilers like to turn a mask back into a branch: for them its value comes from nowhere. */
#if defined __GNUC__
#define INLINE static inline __attribute__((always_inline))
#define KEEP_ARITHMETIC(word) __asm__("" : "+r"(word))
#else
#define INLINE static inline
#define KEEP_ARITHMETIC(word) ((void)0)
#endif

struct sort {
    char *base;
    char *temp; /* as large */
    size_t size;
    stook_compare_fn *compare;
    void *user_data;
};

static bool is_behind(const struct sort *sort, const char *left, const char *right)
{
    return sort->compare(left, right, sort->user_data) > 0;
}

/* --- short runs --------------------------------------------------------------------------------
 */

static void swap(char *a, char *b, size_t size)
{
    char block[64];

    while (size > 0) {
        size_t some = size < sizeof block ? size : sizeof block;
        memcpy(block, a, some);
        memcpy(a, b, some);
        memcpy(b, block, some);
        a += some;
        b += some;
        size -= some;
    }
}

/* How many elements, 1 at least, are in order from the first on, or each before the one before it;
 * equal ones only in order, so that reversing the others keeps stable. */
static size_t run_length(const struct sort *sort, const char *first, size_t count,
                         bool *ret_is_reverse)
{
    size_t length = 1;

    *ret_is_reverse = count > 1 && is_behind(sort, first, first + sort->size);
    for (; length < count; length++) {
        const char *next = first + length * sort->size;
        if (length > 1 && is_behind(sort, next - sort->size, next) != *ret_is_reverse) {
            break;
        }
    }
    return length;
}

static void reverse(const struct sort *sort, char *first, size_t count)
{
    char *last = first + (count - 1) * sort->size;

    for (; first < last; first += sort->size, last -= sort->size) {
        swap(first, last, sort->size);
    }
}

/* Sorts in place; `hold` is room for one element. */
static void insertion_sort(const struct sort *sort, char *first, size_t count, char *hold)
{
    size_t size = sort->size;
    bool is_reverse;
    size_t sorted = run_length(sort, first, count, &is_reverse);

    if (is_reverse) {
        reverse(sort, first, sorted);
    }
    for (; sorted < count; sorted++) {
        char *next = first + sorted * size;
        size_t low = 0;
        size_t high = sorted;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (is_behind(sort, first + middle * size, next)) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        char *place = first + low * size;
        memcpy(hold, next, size);
        memmove(place + size, place, (sorted - low) * size);
        memcpy(place, hold, size);
    }
}

/* --- merges ------------------------------------------------------------------------------------
 */

/* What is left to merge: of equal elements those of `left` go first. */
struct merge {
    const struct sort *sort;
    const char *left;
    const char *left_end;
    const char *right;
    const char *right_end;
    char *out;
};

/* All ones if the right one goes before the left one, else 0. Which one does is nobody's guess in
 * most inputs, so it is computed with, not branched on. */
INLINE uintptr_t mask_behind(const struct sort *sort, const char *left, const char *right)
{
    uintptr_t mask = (uintptr_t)0 - (uintptr_t)is_behind(sort, left, right);

    KEEP_ARITHMETIC(mask);
    return mask;
}

INLINE const char *either(const char *left, const char *right, uintptr_t mask)
{
    return left + ((right - left) & (ptrdiff_t)mask);
}

/* Merges some elements: while each side has FEW or more, from both ends, which are two chains of
 * comparisons that do not wait for each other, and as many as are sure to empty neither side. Else
 * from the first on, until one side is empty. */
INLINE void merge_sized(struct merge *merge, size_t size)
{
    struct merge m = *merge;
    const struct sort sort = *merge->sort;
    size_t left_size = (size_t)(m.left_end - m.left);
    size_t right_size = (size_t)(m.right_end - m.right);
    size_t least_size = left_size < right_size ? left_size : right_size;
    size_t most = PIECE;
    size_t pairs = 0;

    if (least_size / FEW >= size) {
        size_t least = least_size / size;
        pairs = (least < most ? least : most) / 2;
        most = 0;
    }
    char *end = m.out + left_size + right_size;
    for (; pairs > 0; pairs--) {
        uintptr_t mask = mask_behind(&sort, m.left, m.right);
        uintptr_t last_mask = mask_behind(&sort, m.left_end - size, m.right_end - size);
        memcpy(m.out, either(m.left, m.right, mask), size);
        m.out += size;
        m.left += size & ~mask;
        m.right += size & mask;
        end -= size;
        memcpy(end, either(m.right_end, m.left_end, last_mask) - size, size);
        m.left_end -= size & last_mask;
        m.right_end -= size & ~last_mask;
    }
    for (; most > 0 && m.left != m.left_end && m.right != m.right_end; most--) {
        uintptr_t mask = mask_behind(&sort, m.left, m.right);
        memcpy(m.out, either(m.left, m.right, mask), size);
        m.out += size;
        m.left += size & ~mask;
        m.right += size & mask;
    }
    *merge = m;
}

static void merge_some(struct merge *merge)
{
    switch (merge->sort->size) {
    case 4:
        merge_sized(merge, 4);
        break;
    case 8:
        merge_sized(merge, 8);
        break;
    case 16:
        merge_sized(merge, 16);
        break;
    default:
        merge_sized(merge, merge->sort->size);
        break;
    }
}

static size_t elements(const struct merge *merge, const char *begin, const char *end)
{
    return (size_t)(end - begin) / merge->sort->size;
}

/* Cuts off the upper half of the output: finds how many of its first half come from the left. */
static struct merge merge_cut(struct merge *merge)
{
    struct merge upper = *merge;
    size_t size = merge->sort->size;
    size_t left_count = elements(merge, merge->left, merge->left_end);
    size_t right_count = elements(merge, merge->right, merge->right_end);
    size_t half = (left_count + right_count) / 2;
    size_t low = half > right_count ? half - right_count : 0;
    size_t high = half < left_count ? half : left_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *left = merge->left + middle * size;
        const char *right = merge->right + (half - middle - 1) * size;
        if (is_behind(merge->sort, left, right)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    upper.left = merge->left + low * size;
    upper.right = merge->right + (half - low) * size;
    upper.out = merge->out + half * size;
    merge->left_end = upper.left;
    merge->right_end = upper.right;
    return upper;
}

static void merge_run(stook_here *here, void *arg)
{
    struct merge *merge = arg;

    while (merge->left != merge->left_end && merge->right != merge->right_end) {
        size_t size =
            (size_t)(merge->left_end - merge->left) + (size_t)(merge->right_end - merge->right);
        if (size / SPLIT_FROM > merge->sort->size && stook_fork_is_wanted(here)) {
            struct merge upper = merge_cut(merge);
            merge_run(stook_fork(here, merge_run, &upper), merge);
            if (!stook_join(here)) {
                return;
            }
            *merge = upper;
            continue;
        }
        merge_some(merge);
    }
    size_t left_size = (size_t)(merge->left_end - merge->left);
    memcpy(merge->out, merge->left, left_size);
    memcpy(merge->out + left_size, merge->right, (size_t)(merge->right_end - merge->right));
}

/* Merges two sorted neighbours, and says whether the result lies in `to`, or still where it was. */
static bool merge_halves(stook_here *here, const struct sort *sort, const char *from, size_t half,
                         size_t count, char *to)
{
    size_t size = sort->size;
    const char *middle = from + half * size;
    const char *end = from + count * size;
    struct merge merge = {sort, from, middle, middle, end, to};

    if (!is_behind(sort, middle - size, middle)) {
        return false;
    }
    if (is_behind(sort, from, end - size)) {
        merge.right_end = middle;
        memcpy(to, middle, (count - half) * size);
        merge.out = to + (count - half) * size;
    }
    merge_run(here, &merge);
    return true;
}

/* --- the whole ---------------------------------------------------------------------------------
 */

struct part {
    const struct sort *sort;
    size_t begin;
    size_t count;
    bool is_in_temp; /* when it is sorted */
};

static void part_run(stook_here *here, void *arg)
{
    struct part *part = arg;
    const struct sort *sort = part->sort;
    char *base = sort->base + part->begin * sort->size;
    char *temp = sort->temp + part->begin * sort->size;
    size_t half = part->count / 2;
    struct part left = {sort, part->begin, half, false};
    struct part right = {sort, part->begin + half, part->count - half, false};

    if (part->count <= SHORT) {
        insertion_sort(sort, base, part->count, temp);
        return;
    }
    if (part->count >= FORK_FROM) {
        stook_invoke(here, part_run, &left, part_run, &right);
    } else {
        part_run(here, &left);
        part_run(here, &right);
    }
    if (left.is_in_temp != right.is_in_temp) {
        char *from = right.is_in_temp ? temp : base;
        memcpy((right.is_in_temp ? base : temp) + half * sort->size, from + half * sort->size,
               right.count * sort->size);
    }
    if (left.is_in_temp) {
        part->is_in_temp = !merge_halves(here, sort, temp, half, part->count, base);
    } else {
        part->is_in_temp = merge_halves(here, sort, base, half, part->count, temp);
    }
}

/* Elements of this size may be aligned so, also where they lie for the time being. */
static size_t alignment_of(size_t size)
{
    size_t alignment = size & (~size + 1);

    if (alignment < _Alignof(max_align_t)) {
        return _Alignof(max_align_t);
    }
    return alignment < ALIGNMENT_MOST ? alignment : ALIGNMENT_MOST;
}

static bool is_invalid(const void *base, size_t count, size_t size, stook_compare_fn *compare)
{
    return !compare || size == 0 || (!base && count > 0) || count > SIZE_MAX / size;
}

enum stook_status stook_sort(stook_here *here, void *base, size_t count, size_t size,
                             stook_compare_fn *compare, void *user_data)
{
    struct sort sort = {base, NULL, size, compare, user_data};
    struct part all = {&sort, 0, count, false};
    bool is_reverse;

    if (is_invalid(base, count, size, compare)) {
        return STOOK_INVALID;
    }
    if (count < 2) {
        return STOOK_OK;
    }
    if (count > SHORT && run_length(&sort, base, count, &is_reverse) == count) {
        if (is_reverse) {
            reverse(&sort, base, count);
        }
        return STOOK_OK;
    }
    const struct stook_allocator *allocator =
        stook__executor_allocator(stook__lane_head_of(here)->executor);
    size_t alignment = alignment_of(size);
    sort.temp = stook__allocate_aligned(allocator, alignment, count * size);
    if (!sort.temp) {
        return STOOK_NOMEM;
    }
    part_run(here, &all);
    if (all.is_in_temp) {
        memcpy(base, sort.temp, count * size);
    }
    stook__deallocate_aligned(allocator, sort.temp, alignment, count * size);
    return STOOK_OK;
}

struct sort_call {
    void *base;
    size_t count;
    size_t size;
    stook_compare_fn *compare;
    void *user_data;
    enum stook_status status;
};

static void sort_call_run(stook_here *here, void *arg)
{
    struct sort_call *call = arg;

    call->status =
        stook_sort(here, call->base, call->count, call->size, call->compare, call->user_data);
}

enum stook_status stook_executor_sort(stook_executor *executor, void *base, size_t count,
                                      size_t size, stook_compare_fn *compare, void *user_data)
{
    struct sort_call call = {base, count, size, compare, user_data, STOOK_OK};

    if (!executor || is_invalid(base, count, size, compare)) {
        return STOOK_INVALID;
    }
    if (count < 2) {
        return STOOK_OK;
    }
    enum stook_status status = stook_executor_run(executor, sort_call_run, &call);
    return status == STOOK_OK ? call.status : status;
}
