/* SPDX-License-Identifier: MIT
 *
 * Loops on top of fork and join: for, reduce, and calls of several functions. README.md, "Loops".
 *
 * A range is worked on piece by piece, in order; before each piece, if somebody is out of work, the
 * upper half of what is left is forked. Each split halves what the function that makes it has left,
 * so the stack holds at most as many as a size_t has bits.
 */
#include <stddef.h>
#include <string.h>
#include <stook/loop.h>
#include "allocate.h"
#include "atomics.h"
#include "lane.h"
#include "platform.h"

/* What a piece shall take: long against reading the clock, short against waiting for a part. */
#define PIECE_NS INT64_C(16000)

/* --- pieces ------------------------------------------------------------------------------------
 */

/* The pieces of one call in one thread. */
struct pace {
    size_t piece; /* indices in the next one */
    bool is_fixed;
    int64_t since_ns; /* when the next one began, if it begins at once; 0: look */
};

static struct pace pace_of(struct stook_range range)
{
    return (struct pace){.piece = range.grain ? range.grain : 1, .is_fixed = range.grain != 0};
}

static bool pace_splits(const struct pace *pace, size_t begin, size_t end)
{
    return end - begin > pace->piece;
}

/* Where the upper half begins; with a grain a whole number of pieces above `begin`. */
static size_t halve(size_t begin, size_t end, size_t grain)
{
    size_t count = end - begin;

    if (grain == 0) {
        return begin + count / 2;
    }
    return begin + (count / grain + (count % grain != 0)) / 2 * grain;
}

static size_t pace_grain(const struct pace *pace)
{
    return pace->is_fixed ? pace->piece : 0;
}

/* Gives where the piece that begins here ends. */
static size_t pace_begin(struct pace *pace, size_t begin, size_t end)
{
    size_t count = end - begin;

    if (!pace->is_fixed && pace->since_ns == 0 && count > 1) {
        pace->since_ns = stook__platform_now_ns();
    }
    return count > pace->piece ? begin + pace->piece : end;
}

/* Chooses the next piece by how long this one took. A step is small, so that a thread that was
 * interrupted finds its pace again soon; only the first pieces, which take next to nothing, grow
 * faster. */
static void pace_end(struct pace *pace, size_t count)
{
    if (pace->is_fixed || pace->since_ns == 0 || count < pace->piece - pace->piece / 2) {
        return; /* too small a piece says little */
    }
    int64_t now_ns = stook__platform_now_ns();
    int64_t took_ns = now_ns - pace->since_ns;
    pace->since_ns = now_ns;
    if (took_ns > 2 * PIECE_NS) {
        pace->piece -= pace->piece / 2;
    } else if (took_ns < PIECE_NS / 16 && pace->piece <= SIZE_MAX / 8) {
        pace->piece *= 8;
    } else if (took_ns < PIECE_NS / 2 && pace->piece <= SIZE_MAX / 2) {
        pace->piece *= 2;
    }
}

/* --- for ---------------------------------------------------------------------------------------
 */

/* Of a range, whoever works on its parts: the code of its lowest piece that failed is the lower
 * half's if that is not 0, else the upper half's, all the way up; so nobody need compare indices,
 * and codes travel with the joins. The flag only keeps further pieces from being begun: a half that
 * it stopped answers 0 unless one of its own pieces failed, and the one who set it answers his
 * code, so the whole answers 0 only if all pieces were worked on. */
struct for_loop {
    stook_for_fn *body;
    void *user_data;
    _Atomic(bool) is_over;
};

struct for_half {
    struct for_loop *loop;
    size_t begin;
    size_t end;
    struct pace pace; /* at first as the forker's */
    int code;
};

static int for_run(stook_here *here, struct for_loop *loop, size_t begin, size_t end,
                   struct pace *pace);

static void for_half_run(stook_here *here, void *arg)
{
    struct for_half *half = arg;

    half->code = for_run(here, half->loop, half->begin, half->end, &half->pace);
}

/* Splits a range, and works on it down from its lower half; gives where it got to, which is the end
 * if another thread has done the upper half. */
static size_t for_split(stook_here *here, struct for_loop *loop, size_t begin, size_t end,
                        struct pace *pace, int *ret_code)
{
    struct for_half upper = {
        .loop = loop, .begin = halve(begin, end, pace_grain(pace)), .end = end, .pace = *pace};

    upper.pace.since_ns = 0;
    pace->since_ns = 0;
    *ret_code = for_run(stook_fork(here, for_half_run, &upper), loop, begin, upper.begin, pace);
    if (stook_join(here)) {
        pace->since_ns = 0;
        return upper.begin;
    }
    *ret_code = *ret_code ? *ret_code : upper.code;
    return end;
}

static int for_run(stook_here *here, struct for_loop *loop, size_t begin, size_t end,
                   struct pace *pace)
{
    int code = 0;

    /* order LP.over rlx: late news costs a piece; codes come with the joins */
    while (code == 0 && begin < end && !a_load_rlx(&loop->is_over)) {
        if (pace_splits(pace, begin, end) && stook_fork_is_wanted(here)) {
            begin = for_split(here, loop, begin, end, pace, &code);
            continue;
        }
        size_t stop = pace_begin(pace, begin, end);
        code = loop->body(here, begin, stop, loop->user_data);
        if (code != 0) {
            /* order LP.stop rlx: a hint; codes come with the joins */
            a_store_rlx(&loop->is_over, true);
        }
        pace_end(pace, stop - begin);
        begin = stop;
    }
    return code;
}

int stook_for(stook_here *here, struct stook_range range, stook_for_fn *body, void *user_data)
{
    struct for_loop loop = {.body = body, .user_data = user_data};
    struct pace pace = pace_of(range);

    atomic_init(&loop.is_over, false);
    return for_run(here, &loop, range.begin, range.end, &pace);
}

struct for_call {
    struct stook_range range;
    stook_for_fn *body;
    void *user_data;
    int code;
};

static void for_call_run(stook_here *here, void *arg)
{
    struct for_call *call = arg;

    call->code = stook_for(here, call->range, call->body, call->user_data);
}

enum stook_status stook_executor_for(stook_executor *executor, struct stook_range range,
                                     stook_for_fn *body, void *user_data, int *ret_code)
{
    struct for_call call = {.range = range, .body = body, .user_data = user_data};

    if (!executor || !body || range.end < range.begin) {
        return STOOK_INVALID;
    }
    if (range.begin < range.end) {
        enum stook_status status = stook_executor_run(executor, for_call_run, &call);
        if (status != STOOK_OK) {
            return status;
        }
    }
    if (ret_code) {
        *ret_code = call.code;
    }
    return call.code == 0 ? STOOK_OK : STOOK_TASK_FAILED;
}

/* --- reduce ------------------------------------------------------------------------------------
 */

/* Accumulators up to this size lie in the stacks; loop.h names it. */
enum { SMALL = 256 };

static const struct stook_allocator *allocator_of(stook_here *here)
{
    return stook__executor_allocator(stook__lane_head_of(here)->executor);
}

struct reduce_half {
    const struct stook_reduction *reduction;
    size_t begin;
    size_t end;
    struct pace pace;
    void *accumulator; /* NULL: there was no memory, and nothing has been done */
    _Alignas(max_align_t) unsigned char small[SMALL];
};

static void reduce_run(stook_here *here, const struct stook_reduction *reduction, size_t begin,
                       size_t end, void *accumulator, struct pace *pace);

/* Only where another thread makes the call is an accumulator needed, so here it is made. */
static void reduce_half_run(stook_here *here, void *arg)
{
    struct reduce_half *half = arg;
    size_t size = half->reduction->size;

    half->accumulator = size <= SMALL ? half->small : stook__allocate(allocator_of(here), size);
    if (half->accumulator) {
        memcpy(half->accumulator, half->reduction->identity, size);
        reduce_run(here, half->reduction, half->begin, half->end, half->accumulator, &half->pace);
    }
}

/* As for_split(). */
static size_t reduce_split(stook_here *here, const struct stook_reduction *reduction, size_t begin,
                           size_t end, void *accumulator, struct pace *pace)
{
    struct reduce_half upper;

    upper.reduction = reduction;
    upper.begin = halve(begin, end, pace_grain(pace));
    upper.end = end;
    pace->since_ns = 0;
    upper.pace = *pace;
    upper.accumulator = NULL;
    reduce_run(stook_fork(here, reduce_half_run, &upper), reduction, begin, upper.begin,
               accumulator, pace);
    pace->since_ns = 0;
    if (stook_join(here) || !upper.accumulator) {
        return upper.begin;
    }
    reduction->combine(accumulator, upper.accumulator, reduction->user_data);
    if (upper.accumulator != upper.small) {
        stook__deallocate(allocator_of(here), upper.accumulator, reduction->size);
    }
    return end;
}

static void reduce_run(stook_here *here, const struct stook_reduction *reduction, size_t begin,
                       size_t end, void *accumulator, struct pace *pace)
{
    while (begin < end) {
        if (pace_splits(pace, begin, end) && stook_fork_is_wanted(here)) {
            begin = reduce_split(here, reduction, begin, end, accumulator, pace);
            continue;
        }
        size_t stop = pace_begin(pace, begin, end);
        reduction->body(here, begin, stop, accumulator, reduction->user_data);
        pace_end(pace, stop - begin);
        begin = stop;
    }
}

/* --- reduce, the same way each time ------------------------------------------------------------
 */

enum { TREE_LEAVES = 1024, TREE_LEAF_LEAST = 256 };

/* Each inner node reduces its upper half from the identity, whoever makes it. A large accumulator
 * for that lies in `spare`, which has one for each level below: as many as the one thread needs
 * that goes down the tree, and up again, alone. So if there is memory at the beginning, there is
 * enough; a thread that is to make an upper half brings its own, or leaves the call to the forker.
 */
struct tree {
    const struct stook_reduction *reduction;
    size_t grain;  /* not 0 */
    size_t stride; /* between accumulators in `spare`; 0: they are small */
};

struct tree_half {
    const struct tree *tree;
    size_t begin;
    size_t end;
    void *accumulator;
    bool is_done;
    _Alignas(max_align_t) unsigned char small[SMALL];
};

static void tree_run(stook_here *here, const struct tree *tree, size_t begin, size_t end,
                     void *accumulator, unsigned char *spare);

/* What `spare` must have for a range: 0 or more bytes; SIZE_MAX: too many. */
static size_t spare_size(const struct tree *tree, size_t begin, size_t end)
{
    size_t size = 0;

    while (tree->stride > 0 && end - begin > tree->grain) {
        if (size > SIZE_MAX - tree->stride) {
            return SIZE_MAX;
        }
        size += tree->stride;
        begin = halve(begin, end, tree->grain); /* the upper half is never the smaller one */
    }
    return size;
}

static void tree_half_run(stook_here *here, void *arg)
{
    struct tree_half *half = arg;
    size_t size = spare_size(half->tree, half->begin, half->end);
    unsigned char *spare = stook__allocate(allocator_of(here), size);

    if (spare || size == 0) {
        tree_run(here, half->tree, half->begin, half->end, half->accumulator, spare);
        half->is_done = true;
        stook__deallocate(allocator_of(here), spare, size);
    }
}

static void tree_run(stook_here *here, const struct tree *tree, size_t begin, size_t end,
                     void *accumulator, unsigned char *spare)
{
    const struct stook_reduction *reduction = tree->reduction;
    struct tree_half upper;

    if (end - begin <= tree->grain) {
        reduction->body(here, begin, end, accumulator, reduction->user_data);
        return;
    }
    upper.tree = tree;
    upper.begin = halve(begin, end, tree->grain);
    upper.end = end;
    upper.accumulator = spare ? spare : upper.small;
    upper.is_done = false;
    memcpy(upper.accumulator, reduction->identity, reduction->size);
    unsigned char *rest = spare ? spare + tree->stride : NULL;
    tree_run(stook_fork(here, tree_half_run, &upper), tree, begin, upper.begin, accumulator, rest);
    if (stook_join(here) || !upper.is_done) {
        tree_run(here, tree, upper.begin, end, upper.accumulator, rest);
    }
    reduction->combine(accumulator, upper.accumulator, reduction->user_data);
}

static enum stook_status tree_reduce(stook_here *here, struct stook_range range,
                                     const struct stook_reduction *reduction, void *accumulator)
{
    const size_t alignment = _Alignof(max_align_t);
    size_t count = range.end - range.begin;
    size_t part = count / TREE_LEAVES + (count % TREE_LEAVES != 0);
    struct tree tree = {.reduction = reduction, .grain = range.grain};

    if (tree.grain == 0) {
        tree.grain = part > TREE_LEAF_LEAST ? part : TREE_LEAF_LEAST;
    }
    if (reduction->size > SIZE_MAX - alignment) {
        return STOOK_NOMEM;
    }
    if (reduction->size > SMALL) {
        tree.stride = (reduction->size + alignment - 1) / alignment * alignment;
    }
    size_t size = spare_size(&tree, range.begin, range.end);
    unsigned char *spare = stook__allocate(allocator_of(here), size);
    if (!spare && size > 0) {
        return STOOK_NOMEM;
    }
    tree_run(here, &tree, range.begin, range.end, accumulator, spare);
    stook__deallocate(allocator_of(here), spare, size);
    return STOOK_OK;
}

enum stook_status stook_reduce(stook_here *here, struct stook_range range,
                               const struct stook_reduction *reduction, void *accumulator)
{
    struct pace pace = pace_of(range);

    if (range.begin >= range.end) {
        return STOOK_OK;
    }
    if (reduction->is_deterministic) {
        return tree_reduce(here, range, reduction, accumulator);
    }
    reduce_run(here, reduction, range.begin, range.end, accumulator, &pace);
    return STOOK_OK;
}

struct reduce_call {
    struct stook_range range;
    const struct stook_reduction *reduction;
    void *accumulator;
    enum stook_status status;
};

static void reduce_call_run(stook_here *here, void *arg)
{
    struct reduce_call *call = arg;

    call->status = stook_reduce(here, call->range, call->reduction, call->accumulator);
}

enum stook_status stook_executor_reduce(stook_executor *executor, struct stook_range range,
                                        const struct stook_reduction *reduction, void *accumulator)
{
    struct reduce_call call = {range, reduction, accumulator, STOOK_OK};

    if (!executor || !reduction || !accumulator || range.end < range.begin) {
        return STOOK_INVALID;
    }
    if (!reduction->identity || !reduction->body || !reduction->combine || reduction->size == 0) {
        return STOOK_INVALID;
    }
    if (range.begin == range.end) {
        return STOOK_OK;
    }
    enum stook_status status = stook_executor_run(executor, reduce_call_run, &call);
    return status == STOOK_OK ? call.status : status;
}

/* --- calls of several functions ----------------------------------------------------------------
 */

struct calls {
    const struct stook_call *calls;
    size_t count;
};

static void calls_run(stook_here *here, void *arg)
{
    const struct calls *calls = arg;

    stook_invoke_many(here, calls->calls, calls->count);
}

void stook_invoke_many(stook_here *here, const struct stook_call calls[], size_t count)
{
    while (count > 1) {
        size_t half = count / 2;
        struct calls upper = {calls + half, count - half};

        stook_invoke_many(stook_fork(here, calls_run, &upper), calls, half);
        if (!stook_join(here)) {
            return;
        }
        calls = upper.calls;
        count = upper.count;
    }
    if (count > 0) {
        calls[0].fn(here, calls[0].arg);
    }
}

enum stook_status stook_executor_invoke(stook_executor *executor, const struct stook_call calls[],
                                        size_t count)
{
    struct calls all = {calls, count};

    if (!executor || (!calls && count > 0)) {
        return STOOK_INVALID;
    }
    for (size_t i = 0; i < count; i++) {
        if (!calls[i].fn) {
            return STOOK_INVALID;
        }
    }
    return count > 0 ? stook_executor_run(executor, calls_run, &all) : STOOK_OK;
}
