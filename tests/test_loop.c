/* SPDX-License-Identifier: MIT
 *
 * Loops and calls of several functions: every index once, pieces as the grain says, which code is
 * told, ranges at the end of what a size_t holds, and loops in whatever may call them.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "support.h"

enum { MOST = 100000 };

static struct stook_range range_of(size_t begin, size_t end, size_t grain)
{
    return (struct stook_range){.begin = begin, .end = end, .grain = grain};
}

/* --- every index once ------------------------------------------------------------------------- */

struct counted_loop {
    struct stook_range range;
    atomic_uchar *visits; /* of range.begin and so on */
};

static struct counted_loop counted_loop(struct stook_range range)
{
    struct counted_loop loop = {range, calloc(range.end - range.begin + 1, 1)};

    MUST(loop.visits != NULL);
    return loop;
}

static int count_visits(stook_here *here, size_t begin, size_t end, void *user_data)
{
    struct counted_loop *loop = user_data;
    const size_t grain = loop->range.grain;

    MUST(here != NULL);
    MUST(begin < end && begin >= loop->range.begin && end <= loop->range.end);
    if (grain > 0) {
        MUST((begin - loop->range.begin) % grain == 0);
        MUST(end - begin == grain || (end == loop->range.end && end - begin < grain));
    }
    for (size_t i = begin; i < end; i++) {
        atomic_fetch_add(&loop->visits[i - loop->range.begin], 1);
    }
    return 0;
}

static void must_have_visited(struct counted_loop *loop)
{
    for (size_t i = 0; i < loop->range.end - loop->range.begin; i++) {
        MUST(atomic_load(&loop->visits[i]) == 1);
    }
    free(loop->visits);
}

static void must_loop(stook_executor *executor, struct stook_range range)
{
    struct counted_loop loop = counted_loop(range);
    int code = 77;

    MUST(stook_executor_for(executor, range, count_visits, &loop, &code) == STOOK_OK);
    MUST(code == 0);
    must_have_visited(&loop);
}

static void must_loop_here(stook_here *here, struct stook_range range)
{
    struct counted_loop loop = counted_loop(range);

    MUST(stook_for(here, range, count_visits, &loop) == 0);
    must_have_visited(&loop);
}

static const size_t grains[] = {0, 1, 2, 3, 7, 64, 1000, MOST, SIZE_MAX / 2, SIZE_MAX};

enum { GRAINS = sizeof grains / sizeof grains[0] };

Test(loop, for_visits_each_index_once_in_pieces_of_the_grain, .timeout = 120)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        stook_executor *executor = must_create(workers);

        for (size_t g = 0; g < GRAINS; g++) {
            for (size_t count = 0; count <= 70; count++) {
                must_loop(executor, range_of(count * 5, count * 6, grains[g]));
            }
            must_loop(executor, range_of(3, 3 + 1000, grains[g]));
            must_loop(executor, range_of(0, MOST, grains[g]));
        }
        stook_executor_destroy(executor);
    }
}

Test(loop, ranges_that_end_at_SIZE_MAX, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        stook_executor *executor = must_create(workers);

        for (size_t g = 0; g < GRAINS; g++) {
            for (size_t count = 0; count <= 1000; count += 1 + count / 3) {
                must_loop(executor, range_of(SIZE_MAX - count, SIZE_MAX, grains[g]));
            }
        }
        stook_executor_destroy(executor);
    }
}

static int add_length(stook_here *here, size_t begin, size_t end, void *user_data)
{
    (void)here;
    MUST(begin < end);
    atomic_fetch_add((atomic_size_t *)user_data, end - begin);
    return 0;
}

Test(loop, ranges_of_all_indices, .timeout = 60)
{
    const size_t large[] = {0, SIZE_MAX / 50, SIZE_MAX / 3 + 1, SIZE_MAX - 1, SIZE_MAX};

    for (unsigned workers = 1; workers <= 3; workers++) {
        stook_executor *executor = must_create(workers);

        for (size_t g = 0; g < sizeof large / sizeof large[0]; g++) {
            atomic_size_t length = 0;

            cr_assert_eq(stook_executor_for(executor, range_of(0, SIZE_MAX, large[g]), add_length,
                                            &length, NULL),
                         STOOK_OK);
            cr_assert_eq(atomic_load(&length), SIZE_MAX);
        }
        stook_executor_destroy(executor);
    }
}

/* --- pieces without a grain ------------------------------------------------------------------- */

struct pieces {
    int64_t length_ns; /* of an index */
    size_t slow_from;  /* from this one on it takes a thousand times as long */
    size_t calls;
    size_t longest;
    size_t last;
};

static int note_piece(stook_here *here, size_t begin, size_t end, void *user_data)
{
    struct pieces *pieces = user_data;
    const int64_t length_ns = pieces->length_ns * (begin < pieces->slow_from ? 1 : 1000);
    const int64_t until = stook_now_ns() + (int64_t)(end - begin) * length_ns;

    (void)here;
    pieces->calls++;
    pieces->last = end - begin;
    pieces->longest = pieces->last > pieces->longest ? pieces->last : pieces->longest;
    while (length_ns > 0 && stook_now_ns() < until) {
    }
    return 0;
}

static struct pieces pieces_of(size_t count, int64_t length_ns, size_t slow_from)
{
    stook_executor *executor = must_create(1);
    struct pieces pieces = {.length_ns = length_ns, .slow_from = slow_from};

    MUST(stook_executor_for(executor, range_of(0, count, 0), note_piece, &pieces, NULL) ==
         STOOK_OK);
    stook_executor_destroy(executor);
    return pieces;
}

Test(loop, without_a_grain_pieces_are_long_where_indices_are_short, .timeout = 60)
{
    const struct pieces pieces = pieces_of(100000000, 0, SIZE_MAX);

    cr_assert_lt(pieces.calls, 10000);
    cr_assert_gt(pieces.longest, 100000);
}

Test(loop, without_a_grain_pieces_are_single_where_indices_are_long, .timeout = 60)
{
    const struct pieces pieces = pieces_of(1000, MILLISECOND / 100, SIZE_MAX);

    cr_assert_eq(pieces.longest, 1, "longest %zu", pieces.longest);
}

Test(loop, without_a_grain_pieces_shrink_where_indices_become_long, .timeout = 60)
{
    const struct pieces pieces = pieces_of(10200, MILLISECOND / 2000, 10000);

    cr_assert_gt(pieces.longest, 1);
    cr_assert_eq(pieces.last, 1, "last %zu", pieces.last);
}

/* --- sharing ---------------------------------------------------------------------------------- */

struct meeting {
    atomic_int others; /* pieces in another thread than the first one's */
    atomic_bool has_first;
    thrd_t first;
};

static void meet(struct meeting *meeting)
{
    if (!atomic_load(&meeting->has_first)) {
        return;
    }
    if (!thrd_equal(meeting->first, thrd_current())) {
        atomic_fetch_add(&meeting->others, 1);
    }
    thrd_yield();
}

static int meet_in_loop(stook_here *here, size_t begin, size_t end, void *user_data)
{
    struct meeting *meeting = user_data;

    (void)here;
    (void)end;
    if (begin == 0) {
        meeting->first = thrd_current();
        atomic_store(&meeting->has_first, true);
    }
    meet(meeting);
    return 0;
}

Test(loop, another_worker_takes_part, .timeout = 60)
{
    stook_executor *executor = must_create(2);

    for (size_t grain = 0; grain <= 1; grain++) {
        struct meeting meeting = {0};

        while (atomic_load(&meeting.others) == 0) {
            atomic_store(&meeting.has_first, false);
            cr_assert_eq(stook_executor_for(executor, range_of(0, 1000, grain), meet_in_loop,
                                            &meeting, NULL),
                         STOOK_OK);
        }
    }
    stook_executor_destroy(executor);
}

/* --- codes ------------------------------------------------------------------------------------ */

struct failing_loop {
    size_t count;
    size_t first; /* all indices from here on that are 0 modulo `step` fail, each with its number */
    size_t step;
    atomic_size_t lowest; /* that did */
    atomic_uint calls;
};

static int fail_some(stook_here *here, size_t begin, size_t end, void *user_data)
{
    struct failing_loop *loop = user_data;

    (void)here;
    atomic_fetch_add(&loop->calls, 1);
    for (size_t i = begin; i < end; i++) {
        if (i >= loop->first && i % loop->step == 0) {
            size_t lowest = atomic_load(&loop->lowest);

            while (i < lowest && !atomic_compare_exchange_weak(&loop->lowest, &lowest, i)) {
            }
            return -(int)i - 1;
        }
    }
    return 0;
}

Test(loop, the_code_is_that_of_the_lowest_piece_that_failed, .timeout = 120)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        stook_executor *executor = must_create(workers);
        uint64_t random = 3;

        for (int round = 0; round < 3000; round++) {
            const size_t count = 1 + random_below(&random, 3000);
            struct failing_loop loop = {.count = count,
                                        .first = random_below(&random, (unsigned)count),
                                        .step = 1 + random_below(&random, 50),
                                        .lowest = count};
            const size_t grain = random_below(&random, 10);
            int code = 77;
            const enum stook_status status =
                stook_executor_for(executor, range_of(0, count, grain), fail_some, &loop, &code);
            const size_t lowest = atomic_load(&loop.lowest);

            cr_assert_eq(code, lowest < count ? -(int)lowest - 1 : 0, "code %d, lowest %zu", code,
                         lowest);
            cr_assert_eq(status, code == 0 ? STOOK_OK : STOOK_TASK_FAILED);
            if (workers == 1 && code != 0) {
                cr_assert_lt(lowest, loop.first + loop.step);
            }
        }
        stook_executor_destroy(executor);
    }
}

Test(loop, a_failure_ends_the_loop_in_its_own_worker_at_once, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct failing_loop loop = {.count = 100, .first = 7, .step = 1, .lowest = 100};
    int code = 0;

    cr_assert_eq(stook_executor_for(executor, range_of(0, 100, 1), fail_some, &loop, &code),
                 STOOK_TASK_FAILED);
    cr_assert_eq(code, -8);
    cr_assert_eq(atomic_load(&loop.calls), 8u);
    stook_executor_destroy(executor);
}

struct stopped_loop {
    atomic_bool has_failed;
    atomic_int calls;
};

static int fail_first(stook_here *here, size_t begin, size_t end, void *user_data)
{
    struct stopped_loop *loop = user_data;

    (void)here;
    (void)end;
    atomic_fetch_add(&loop->calls, 1);
    if (begin == 0) {
        atomic_store(&loop->has_failed, true);
        return 5;
    }
    SPIN_UNTIL(atomic_load(&loop->has_failed));
    give_a_chance();
    return 0;
}

Test(loop, a_failure_ends_the_loop_in_the_other_workers, .timeout = 60)
{
    enum { COUNT = 2000 }; /* several seconds, if all were done */
    stook_executor *executor = must_create(3);

    for (int round = 0; round < 20; round++) {
        struct stopped_loop loop = {0};
        int code = 0;

        cr_assert_eq(stook_executor_for(executor, range_of(0, COUNT, 1), fail_first, &loop, &code),
                     STOOK_TASK_FAILED);
        cr_assert_eq(code, 5);
        cr_assert_lt(atomic_load(&loop.calls), COUNT / 4);
    }
    stook_executor_destroy(executor);
}

/* --- arguments -------------------------------------------------------------------------------- */

static int never(stook_here *here, size_t begin, size_t end, void *user_data)
{
    (void)here;
    (void)begin;
    (void)end;
    (void)user_data;
    MUST(false);
    return 1;
}

static void never_call(stook_here *here, void *arg)
{
    (void)here;
    (void)arg;
    MUST(false);
}

Test(loop, B22_bad_arguments_and_empty_ranges, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    const struct stook_call one = {never_call, NULL};
    const struct stook_call bad[3] = {{never_call, NULL}, {NULL, NULL}, {never_call, NULL}};
    int code = 77;

    cr_assert_eq(stook_executor_for(NULL, range_of(0, 1, 0), never, NULL, &code), STOOK_INVALID);
    cr_assert_eq(stook_executor_for(NULL, range_of(0, 0, 0), never, NULL, &code), STOOK_INVALID);
    cr_assert_eq(stook_executor_for(executor, range_of(0, 1, 0), NULL, NULL, &code), STOOK_INVALID);
    cr_assert_eq(stook_executor_for(executor, range_of(2, 1, 0), never, NULL, &code),
                 STOOK_INVALID);
    cr_assert_eq(stook_executor_invoke(NULL, &one, 1), STOOK_INVALID);
    cr_assert_eq(stook_executor_invoke(NULL, NULL, 0), STOOK_INVALID);
    cr_assert_eq(stook_executor_invoke(executor, NULL, 1), STOOK_INVALID);
    cr_assert_eq(stook_executor_invoke(executor, bad, 3), STOOK_INVALID);
    cr_assert_eq(stook_executor_invoke(executor, NULL, 0), STOOK_OK);
    cr_assert_eq(code, 77);
    cr_assert_eq(stook_executor_shutdown(executor, STOOK_DRAIN, STOOK_FOREVER), STOOK_OK);
    cr_assert_eq(stook_executor_for(executor, range_of(0, 1, 0), never, NULL, &code),
                 STOOK_SHUTDOWN);
    cr_assert_eq(stook_executor_invoke(executor, &one, 1), STOOK_SHUTDOWN);
    cr_assert_eq(code, 77);
    cr_assert_eq(stook_executor_for(executor, range_of(9, 9, 0), never, NULL, &code), STOOK_OK);
    cr_assert_eq(code, 0);
    stook_executor_destroy(executor);
}

/* --- loops everywhere ------------------------------------------------------------------------- */

struct nest {
    unsigned depth;
    atomic_int *leaves;
};

static int nest_loop(stook_here *here, size_t begin, size_t end, void *user_data)
{
    const struct nest *nest = user_data;
    struct nest inner = {nest->depth - 1, nest->leaves};

    for (size_t i = begin; i < end; i++) {
        if (nest->depth == 0) {
            atomic_fetch_add(nest->leaves, 1);
        } else {
            MUST(stook_for(here, range_of(0, 10, i % 3), nest_loop, &inner) == 0);
        }
    }
    return 0;
}

Test(loop, loops_in_loops, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        stook_executor *executor = must_create(workers);
        atomic_int leaves = 0;
        struct nest nest = {4, &leaves};

        cr_assert_eq(stook_executor_for(executor, range_of(0, 10, 0), nest_loop, &nest, NULL),
                     STOOK_OK);
        cr_assert_eq(atomic_load(&leaves), 100000);
        stook_executor_destroy(executor);
    }
}

static void loop_call(stook_here *here, void *arg)
{
    (void)arg;
    must_loop_here(here, range_of(0, 3000, 0));
    must_loop_here(here, range_of(0, 300, 2));
}

static int forking_body(stook_here *here, size_t begin, size_t end, void *user_data)
{
    (void)user_data;
    for (; begin < end; begin++) {
        stook_invoke(here, loop_call, NULL, loop_call, NULL);
    }
    return 0;
}

Test(loop, loops_in_forks_in_loops, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        stook_executor *executor = must_create(workers);

        cr_assert_eq(stook_executor_for(executor, range_of(0, 50, 0), forking_body, NULL, NULL),
                     STOOK_OK);
        stook_executor_destroy(executor);
    }
}

static int looping_task(void *arg, void **ret_value)
{
    (void)ret_value;
    must_loop(arg, range_of(0, 5000, 0));
    return 0;
}

static int submitting_body(stook_here *here, size_t begin, size_t end, void *user_data)
{
    for (; begin < end; begin++) {
        stook_future *future = must_submit(user_data, looping_task, user_data);

        must_loop_here(here, range_of(0, 100, 0));
        must_loop(user_data, range_of(0, 100, 1));
        MUST(stook_future_result(future, NULL) == STOOK_OK);
        stook_future_release(future);
    }
    return 0;
}

Test(loop, loops_in_tasks_and_tasks_in_loops, .timeout = 60)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        stook_executor *executor = must_create(workers);
        stook_future *futures[16];

        cr_assert_eq(
            stook_executor_submit_many(executor, NULL, looping_task, executor, 16, 0, futures),
            STOOK_OK);
        cr_assert_eq(
            stook_executor_for(executor, range_of(0, 200, 0), submitting_body, executor, NULL),
            STOOK_OK);
        for (int i = 0; i < 16; i++) {
            cr_assert_eq(stook_future_result(futures[i], NULL), STOOK_OK);
        }
        release_all(futures, 16);
        stook_executor_destroy(executor);
    }
}

static int loop_thread(void *arg)
{
    for (size_t i = 0; i < 100; i++) {
        must_loop(arg, range_of(i, i * 20, i % 4));
    }
    return 0;
}

Test(loop, from_several_threads_on_one_executor, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    thrd_t threads[4];

    for (int i = 0; i < 4; i++) {
        must_start(&threads[i], loop_thread, executor);
    }
    for (int i = 0; i < 4; i++) {
        thrd_join(threads[i], NULL);
    }
    stook_executor_destroy(executor);
}

/* --- calls ------------------------------------------------------------------------------------ */

static void count_call(stook_here *here, void *arg)
{
    MUST(here != NULL);
    atomic_fetch_add((atomic_int *)arg, 1);
}

Test(loop, invoke_makes_each_call_once, .timeout = 60)
{
    enum { CALLS = 300 };

    for (unsigned workers = 1; workers <= 4; workers++) {
        stook_executor *executor = must_create(workers);
        atomic_int counts[CALLS] = {0};
        struct stook_call calls[CALLS];

        for (int i = 0; i < CALLS; i++) {
            calls[i] = (struct stook_call){count_call, &counts[i]};
        }
        for (int count = 0; count <= CALLS; count++) {
            cr_assert_eq(stook_executor_invoke(executor, calls, (size_t)count), STOOK_OK);
        }
        for (int i = 0; i < CALLS; i++) {
            cr_assert_eq(atomic_load(&counts[i]), CALLS - i);
        }
        stook_executor_destroy(executor);
    }
}

static void meet_in_call(stook_here *here, void *arg)
{
    (void)here;
    meet(arg);
}

static void meet_first(stook_here *here, void *arg)
{
    MUST(meet_in_loop(here, 0, 1, arg) == 0);
}

Test(loop, another_worker_makes_some_of_the_calls, .timeout = 60)
{
    enum { CALLS = 100 };
    stook_executor *executor = must_create(2);
    struct meeting meeting = {0};
    struct stook_call calls[CALLS];

    for (int i = 0; i < CALLS; i++) {
        calls[i] = (struct stook_call){i == 0 ? meet_first : meet_in_call, &meeting};
    }
    while (atomic_load(&meeting.others) == 0) {
        atomic_store(&meeting.has_first, false);
        cr_assert_eq(stook_executor_invoke(executor, calls, CALLS), STOOK_OK);
    }
    stook_executor_destroy(executor);
}
