/* SPDX-License-Identifier: MIT
 *
 * Futures one after the other as they are done (stook_as_completed): which comes when, each once;
 * deadlines; what the iterator holds, and that it may be abandoned at any point.
 */
#include <string.h>

#include "check.h"
#include "promise_support.h"

enum { OF = 6 };

static void make(struct promised made[], stook_future *futures[], int count)
{
    for (int i = 0; i < count; i++) {
        made[i] = must_promise();
        futures[i] = made[i].future;
    }
}

static void unmake(struct promised made[], int count)
{
    for (int i = 0; i < count; i++) {
        release_promised(&made[i]);
    }
}

static stook_as_completed *must_iterate(stook_future *const futures[], size_t count)
{
    stook_as_completed *iterator = NULL;

    MUST(stook_as_completed_create(futures, count, &iterator) == STOOK_OK);
    MUST(iterator != NULL);
    return iterator;
}

/* The index that comes next, or -1 - the status. */
static int next_of(stook_as_completed *iterator, int64_t deadline)
{
    size_t index = 7777;
    const enum stook_status status = stook_as_completed_next(iterator, deadline, &index);

    MUST((index == 7777) == (status != STOOK_OK));
    return status == STOOK_OK ? (int)index : -1 - (int)status;
}

static const int at_end = -1 - STOOK_END;
static const int at_timeout = -1 - STOOK_TIMEOUT;

/* B19; CPython's test_no_timeout */
Test(as_completed, B19_first_those_done_at_the_start_then_in_the_order_of_completion)
{
    static const int expected[OF] = {1, 3, 4, 5, 0, 2};
    struct promised made[OF];
    stook_future *futures[OF];
    stook_as_completed *iterator;

    make(made, futures, OF);
    must_end(&made[4], ENDS_DONE, NULL); /* in another order than that of the array */
    must_end(&made[1], ENDS_CANCELLED, NULL);
    must_end(&made[3], ENDS_FAILED, NULL);
    iterator = must_iterate(futures, OF);
    memset(futures, 0, sizeof futures); /* the array is not kept */
    must_end(&made[5], ENDS_FAILED, NULL);
    cr_assert_eq(stook_as_completed_left(iterator), OF);
    for (int i = 0; i < OF; i++) {
        if (i == 4) {
            cr_assert_eq(next_of(iterator, 0), at_timeout);
            must_end(&made[0], ENDS_CANCELLED, NULL);
            must_end(&made[2], ENDS_DONE, NULL);
        }
        cr_assert_eq(stook_as_completed_left(iterator), OF - (size_t)i);
        cr_assert_eq(next_of(iterator, i % 2 ? STOOK_FOREVER : 0), expected[i]);
    }
    cr_assert_eq(stook_as_completed_left(iterator), 0);
    cr_assert_eq(next_of(iterator, 0), at_end);
    cr_assert_eq(next_of(iterator, STOOK_FOREVER), at_end);
    cr_assert_eq(stook_as_completed_left(iterator), 0);
    stook_as_completed_destroy(iterator);
    unmake(made, OF);
}

Test(as_completed, each_order_of_completion_is_the_order_of_the_iterator)
{
    uint64_t random = 1;

    for (int round = 0; round < 300; round++) {
        struct promised made[OF];
        stook_future *futures[OF];
        int order[OF];
        const int before = (int)random_below(&random, OF + 1); /* how many end before the start */
        stook_as_completed *iterator;
        int first = 0;

        make(made, futures, OF);
        for (int i = 0; i < OF; i++) {
            const int j = (int)random_below(&random, (unsigned)i + 1);

            order[i] = order[j];
            order[j] = i;
        }
        for (int i = 0; i < before; i++) {
            must_end(&made[order[i]], i % ENDINGS, NULL);
        }
        iterator = must_iterate(futures, OF);
        for (int i = before; i < OF; i++) {
            must_end(&made[order[i]], i % ENDINGS, NULL);
        }
        for (int i = 0; i < before; i++) { /* in the order of the array */
            const int index = next_of(iterator, 0);
            bool ended_before = false;

            cr_assert_geq(index, first);
            first = index + 1;
            for (int j = 0; j < before; j++) {
                ended_before |= order[j] == index;
            }
            cr_assert(ended_before);
        }
        for (int i = before; i < OF; i++) {
            cr_assert_eq(next_of(iterator, 0), order[i]);
        }
        cr_assert_eq(next_of(iterator, 0), at_end);
        stook_as_completed_destroy(iterator);
        unmake(made, OF);
    }
}

/* CPython's test_future_times_out and test_correct_timeout_exception_msg: "2 (of 4) unfinished" */
Test(as_completed, B19_a_deadline_leaves_the_rest_for_later, .timeout = 60)
{
    stook_executor *executor = must_create(2);
    struct gate gate = {0};
    atomic_int runs = 0;
    stook_future *futures[4] = {
        must_submit(executor, gate_task, &gate), must_submit(executor, count_task, &runs),
        must_submit(executor, gate_task, &gate), must_submit(executor, count_task, &runs)};
    stook_as_completed *iterator = must_iterate(futures, 4);
    int seen = 0;

    cr_assert_eq(stook_future_cancel(futures[3]), STOOK_CANCEL_DONE);
    seen |= 1 << next_of(iterator, STOOK_FOREVER);
    seen |= 1 << next_of(iterator, STOOK_FOREVER);
    cr_assert_eq(seen, 1 << 1 | 1 << 3);
    for (int i = 0; i < 3; i++) {
        const int64_t deadline = i == 0 ? 0 : stook_deadline_after_ns(i * 10 * MILLISECOND);

        cr_assert_eq(next_of(iterator, deadline), at_timeout);
        cr_assert_geq(stook_now_ns(), deadline);
        cr_assert_eq(stook_as_completed_left(iterator), 2);
    }
    cr_assert_eq(next_of(iterator, INT64_MIN), at_timeout);
    cr_assert_not(stook_future_done(futures[0]));
    gate_open(&gate);
    seen |= 1 << next_of(iterator, STOOK_FOREVER);
    seen |= 1 << next_of(iterator, INT64_MAX - 1);
    cr_assert_eq(seen, 15);
    cr_assert_eq(next_of(iterator, STOOK_FOREVER), at_end);
    stook_as_completed_destroy(iterator);
    release_all(futures, 4);
    stook_executor_destroy(executor);
}

/* B11; CPython's test_duplicate_futures */
Test(as_completed, B11_duplicates_come_once_with_their_first_place)
{
    for (int before = 0; before < 2; before++) {
        struct promised made[2];
        stook_future *futures[2];
        stook_as_completed *iterator;

        make(made, futures, 2);
        stook_future *repeated[6] = {futures[1], futures[1], futures[0],
                                     futures[1], futures[0], futures[0]};
        if (before) {
            must_complete(&made[0], 0, NULL);
            must_complete(&made[1], 0, NULL);
        }
        iterator = must_iterate(repeated, 6);
        cr_assert_eq(stook_as_completed_left(iterator), 2);
        if (!before) {
            cr_assert_eq(next_of(iterator, 0), at_timeout);
            must_complete(&made[1], 0, NULL);
            must_complete(&made[0], 0, NULL);
        }
        cr_assert_eq(next_of(iterator, 0), 0);
        cr_assert_eq(stook_as_completed_left(iterator), 1);
        cr_assert_eq(next_of(iterator, 0), 2);
        cr_assert_eq(next_of(iterator, 0), at_end);
        stook_as_completed_destroy(iterator);
        unmake(made, 2);
    }
}

Test(as_completed, B12_of_nothing_is_at_its_end)
{
    stook_as_completed *iterator = must_iterate(NULL, 0);

    cr_assert_eq(stook_as_completed_left(iterator), 0);
    cr_assert_eq(next_of(iterator, STOOK_FOREVER), at_end);
    stook_as_completed_destroy(iterator);
    stook_as_completed_destroy(NULL);
}

Test(as_completed, invalid_arguments)
{
    struct promised made = must_promise();
    stook_future *futures[2] = {made.future, NULL};
    stook_as_completed *iterator = NULL;
    size_t index = 77;

    cr_assert_eq(stook_as_completed_create(futures, 2, &iterator), STOOK_INVALID);
    cr_assert_null(iterator);
    cr_assert_eq(stook_as_completed_create(NULL, 1, &iterator), STOOK_INVALID);
    cr_assert_eq(stook_as_completed_create(futures, 1, NULL), STOOK_INVALID);
    cr_assert_eq(stook_as_completed_create(futures, SIZE_MAX, &iterator), STOOK_NOMEM);
    cr_assert_null(iterator);
    cr_assert_eq(stook_as_completed_left(NULL), 0);
    cr_assert_eq(stook_as_completed_next(NULL, 0, &index), STOOK_INVALID);
    iterator = must_iterate(futures, 1);
    must_complete(&made, 0, NULL);
    cr_assert_eq(stook_as_completed_next(iterator, 0, NULL), STOOK_INVALID);
    cr_assert_eq(stook_as_completed_left(iterator), 1);
    cr_assert_eq(next_of(iterator, 0), 0);
    stook_as_completed_destroy(iterator);
    release_promised(&made);
    cr_assert_eq(index, 77);
}

/* --- what it holds ------------------------------------------------------------------------------
 */

static void destroy_counted(void *value)
{
    atomic_int *destroyed = value;

    atomic_fetch_add(destroyed, 1);
}

/* CPython's test_free_reference_yielded_future: it lets each go when it yields it; the rest when it
 * is destroyed. */
Test(as_completed, holds_each_future_until_it_yields_it)
{
    for (int before = 0; before < 2; before++) {
        struct promised made[OF];
        stook_future *futures[OF];
        atomic_int destroyed[OF];
        stook_as_completed *iterator = NULL;

        make(made, futures, OF);
        if (!before) {
            iterator = must_iterate(futures, OF);
        }
        for (int i = 0; i < OF; i++) {
            atomic_store(&destroyed[i], 0);
            stook_future_set_destructor(futures[i], destroy_counted);
            must_complete(&made[i], i % 2, &destroyed[i]);
        }
        if (before) {
            iterator = must_iterate(futures, OF);
        }
        unmake(made, OF);
        for (int i = 0; i < OF; i++) {
            cr_assert_eq(atomic_load(&destroyed[i]), 0);
        }
        for (int i = 0; i < OF / 2; i++) {
            cr_assert_eq(next_of(iterator, 0), i);
            for (int j = 0; j < OF; j++) {
                cr_assert_eq(atomic_load(&destroyed[j]), j <= i);
            }
        }
        stook_as_completed_destroy(iterator);
        for (int i = 0; i < OF; i++) {
            cr_assert_eq(atomic_load(&destroyed[i]), 1);
        }
    }
}

/* B20 */
Test(as_completed, B20_abandoned_at_any_point_the_futures_go_on)
{
    for (int number = 0; number < (OF + 1) * (OF + 1); number++) {
        const int ended = number / (OF + 1);
        const int yielded = number % (OF + 1);
        struct promised made[OF];
        stook_future *futures[OF];
        stook_as_completed *iterator;
        atomic_int calls = 0;

        make(made, futures, OF);
        for (int i = 0; i < ended / 2; i++) {
            must_end(&made[i], i % ENDINGS, NULL);
        }
        iterator = must_iterate(futures, OF);
        for (int i = ended / 2; i < ended; i++) {
            must_end(&made[i], i % ENDINGS, NULL);
        }
        for (int i = 0; i < yielded; i++) {
            cr_assert_eq(next_of(iterator, 0), i < ended ? i : at_timeout);
        }
        stook_as_completed_destroy(iterator);
        for (int i = 0; i < OF; i++) {
            cr_assert_eq(stook_future_done(futures[i]), i < ended);
            cr_assert_eq(stook_future_on_done(futures[i], count_callback, &calls), STOOK_OK);
            if (i >= ended) {
                must_end(&made[i], i % ENDINGS, NULL);
            }
        }
        cr_assert_eq(atomic_load(&calls), OF);
        unmake(made, OF);
    }
}

/* --- other threads, tasks -----------------------------------------------------------------------
 */

enum { RACED = 100 };

struct ender {
    struct promised made[RACED];
    atomic_bool begun;
};

static int end_all_thread(void *arg)
{
    struct ender *ender = arg;

    atomic_store(&ender->begun, true);
    for (int i = 0; i < RACED; i++) {
        must_end(&ender->made[i], i % ENDINGS, NULL);
    }
    return 0;
}

/* B16, B21: two iterators at the same futures, one of them abandoned on the way */
Test(as_completed, B16_hundred_futures_that_end_while_they_are_iterated, .timeout = 240)
{
    const unsigned rounds = stress_scaled(200);
    uint64_t random = 1;

    for (unsigned round = 0; round < rounds; round++) {
        static struct ender ender;
        stook_future *futures[RACED];
        stook_as_completed *iterator, *abandoned;
        bool seen[RACED] = {false};
        const unsigned leaves_at = random_below(&random, RACED + 1);
        int last = -1;
        thrd_t thread;

        make(ender.made, futures, RACED);
        atomic_store(&ender.begun, false);
        iterator = must_iterate(futures, RACED); /* before: in the order of completion, exactly */
        must_start(&thread, end_all_thread, &ender);
        SPIN_UNTIL(atomic_load(&ender.begun));
        abandoned = must_iterate(futures, RACED);
        for (unsigned i = 0; i < RACED; i++) {
            cr_assert_eq(next_of(iterator, round % 2 ? STOOK_FOREVER
                                                     : stook_deadline_after_ns(1000 * SECOND)),
                         ++last);
            cr_assert(stook_future_done(futures[last]));
            if (i < leaves_at) {
                const int index = next_of(abandoned, STOOK_FOREVER);

                cr_assert(index >= 0 && index < RACED && !seen[index]);
                cr_assert(stook_future_done(futures[index]));
                seen[index] = true;
            } else if (i == leaves_at) {
                stook_as_completed_destroy(abandoned);
            }
        }
        if (leaves_at >= RACED) {
            cr_assert_eq(next_of(abandoned, 0), at_end);
            stook_as_completed_destroy(abandoned);
        }
        cr_assert_eq(next_of(iterator, 0), at_end);
        stook_as_completed_destroy(iterator);
        thrd_join(thread, NULL);
        unmake(ender.made, RACED);
    }
}

struct family {
    stook_executor *executor;
    atomic_int runs;
    stook_future *outside; /* of another executor, ends while the family waits */
    int64_t duration;
    bool abandons;
};

static int family_task(void *arg, void **ret_value)
{
    struct family *family = arg;
    stook_future *futures[11];
    stook_as_completed *iterator;
    int seen = 0;

    (void)ret_value;
    for (int i = 0; i < 10; i++) {
        futures[i] = must_submit(family->executor, count_task, &family->runs);
    }
    futures[10] = stook_future_retain(family->outside);
    iterator = must_iterate(futures, 11);
    MUST(next_of(iterator, 0) == at_timeout || family->outside == NULL ||
         stook_future_done(family->outside));
    for (int i = 0; i < (family->abandons ? 5 : 11); i++) {
        const int index = next_of(iterator, stook_deadline_after_ns(family->duration));

        MUST(index >= 0 && index < 11);
        MUST(stook_future_done(futures[index]));
        MUST(!(seen & 1 << index));
        seen |= 1 << index;
    }
    MUST(family->abandons || stook_as_completed_left(iterator) == 0);
    stook_as_completed_destroy(iterator);
    release_all(futures, 11);
    return 0;
}

/* With one worker: it must be lent, or the children would never run. */
Test(as_completed, B18_in_a_task_on_one_worker_with_a_future_of_another_executor, .timeout = 60)
{
    for (int bits = 0; bits < 4; bits++) {
        struct gate gate = {0};
        stook_executor *other = must_create(1);
        struct family family = {
            .executor = must_create(1),
            .outside = must_submit(other, gate_task, &gate),
            .duration = bits & 1 ? STOOK_FOREVER : 1000 * SECOND,
            .abandons = bits & 2,
        };
        stook_future *future = must_submit(family.executor, family_task, &family);

        SPIN_UNTIL(atomic_load(&family.runs) == 10);
        gate_open(&gate);
        cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
        stook_future_release(future);
        stook_future_release(family.outside);
        stook_executor_destroy(family.executor);
        stook_executor_destroy(other);
        cr_assert_eq(atomic_load(&family.runs), 10);
    }
}

struct self {
    _Atomic(stook_future *) future;
    struct gate gate;
};

static int own_future_task(void *arg, void **ret_value)
{
    struct self *self = arg;
    stook_future *future;
    stook_as_completed *iterator;

    (void)ret_value;
    gate_pass(&self->gate);
    future = atomic_load(&self->future);
    iterator = must_iterate(&future, 1);
    MUST(next_of(iterator, 0) == at_timeout);
    MUST(next_of(iterator, STOOK_FOREVER) == -1 - STOOK_DEADLOCK);
    MUST(stook_as_completed_left(iterator) == 1);
    stook_as_completed_destroy(iterator);
    return 0;
}

Test(as_completed, B49_a_task_cannot_wait_for_itself, .timeout = 60)
{
    stook_executor *executor = must_create(1);
    struct self self = {.future = NULL};
    stook_future *future = must_submit(executor, own_future_task, &self);

    atomic_store(&self.future, future);
    gate_open(&self.gate);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(executor);
}

/* --- in a stolen fork ------------------------------------------------------------------------- */

/* A task that waits for another, on top of it, with a region. */
struct stacked {
    stook_executor *executor;
    struct gate gate, busy; /* busy: for the other worker, which might run `upper` */
    stook_future *lower, *upper;
    atomic_bool is_stolen;
    enum stook_status status;
};

static void next_of_stack(stook_here *here, void *arg)
{
    struct stacked *stacked = arg;
    stook_future *both[] = {stacked->lower, stacked->upper};
    stook_as_completed *iterator;
    size_t index;

    (void)here;
    atomic_store(&stacked->is_stolen, true);
    MUST(stook_as_completed_create(both, 2, &iterator) == STOOK_OK);
    stacked->status = stook_as_completed_next(iterator, STOOK_FOREVER, &index);
    stook_as_completed_destroy(iterator);
}

static void stacked_region(stook_here *here, void *arg)
{
    struct stacked *stacked = arg;

    (void)stook_fork(here, next_of_stack, stacked);
    SPIN_UNTIL(atomic_load(&stacked->is_stolen));
    MUST(!stook_join(here));
}

static int upper_task(void *arg, void **ret_value)
{
    struct stacked *stacked = arg;

    (void)ret_value;
    gate_open(&stacked->busy);
    return (int)stook_executor_run(stacked->executor, stacked_region, stacked);
}

static int lower_task(void *arg, void **ret_value)
{
    struct stacked *stacked = arg;

    (void)ret_value;
    gate_pass(&stacked->gate);
    stacked->upper = must_submit(stacked->executor, upper_task, stacked);
    return (int)stook_future_wait_until(stacked->upper, STOOK_FOREVER);
}

Test(as_completed, a_stolen_fork_cannot_wait_for_all_that_is_below_it, .timeout = 60)
{
    struct stacked stacked = {.executor = must_create(2)};

    stook_future_release(must_submit(stacked.executor, gate_task, &stacked.busy));
    gate_await(&stacked.busy, 1);
    stacked.lower = must_submit(stacked.executor, lower_task, &stacked);
    gate_open(&stacked.gate);
    cr_assert_eq(stook_future_result(stacked.lower, NULL), STOOK_OK);
    cr_assert_eq(stacked.status, STOOK_DEADLOCK, "%s", stook_status_name(stacked.status));
    stook_future_release(stacked.lower);
    stook_future_release(stacked.upper);
    stook_executor_destroy(stacked.executor);
}
