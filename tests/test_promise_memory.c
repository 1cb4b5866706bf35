/* SPDX-License-Identifier: MIT
 *
 * What becomes of the values of promises, and of the memory that they and what hangs on them use.
 */
#include "check.h"
#include "promise_support.h"

static void destroy_counted(void *value)
{
    atomic_int *destroyed = value;

    atomic_fetch_add(destroyed, 1);
}

/* B9, for promises: who has the value at last, and in which order the two are released. */
Test(promise_memory, B9_value_destructor_runs_exactly_once_unless_somebody_took_the_value)
{
    for (int ending = 0; ending < ENDINGS; ending++) {
        for (int variant = 0; variant < 8; variant++) {
            const bool takes = variant & 1;
            const bool future_first = variant & 2;
            const bool shared = variant & 4;
            struct promised made = must_promise();
            stook_future *other = shared ? stook_future_retain(made.future) : NULL;
            atomic_int destroyed = 0;
            atomic_int refused = 0;
            void *value;

            stook_future_set_destructor(made.future, destroy_counted);
            must_end(&made, ending, &destroyed);
            cr_assert_eq(stook_promise_complete(made.promise, 0, &refused), STOOK_TOO_LATE);
            if (takes) {
                cr_assert_eq(stook_future_result(made.future, &value), ending_status[ending]);
            }
            if (future_first) {
                stook_future_release(made.future);
                made.future = NULL;
            }
            release_promised(&made);
            cr_assert(!shared || atomic_load(&destroyed) == 0, "destroyed while referred to");
            stook_future_release(other);
            cr_assert_eq(atomic_load(&destroyed), ending != ENDS_CANCELLED && !takes);
            cr_assert_eq(atomic_load(&refused), 0);
        }
    }
}

/* B9 */
Test(promise_memory, completed_when_nobody_has_its_future_it_destroys_the_value)
{
    struct promised made = must_promise();
    atomic_int destroyed = 0;

    stook_future_set_destructor(made.future, destroy_counted);
    stook_future_release(made.future);
    cr_assert_eq(stook_promise_complete(made.promise, 0, &destroyed), STOOK_OK);
    stook_promise_release(made.promise);
    cr_assert_eq(atomic_load(&destroyed), 1);
}

/* B9 */
Test(promise_memory, a_null_value_is_not_destroyed)
{
    struct promised made = must_promise();
    int untouched;
    void *value = &untouched;

    stook_future_set_destructor(made.future, destroy_counted);
    must_complete(&made, 0, NULL);
    cr_assert_eq(stook_future_result(made.future, &value), STOOK_OK);
    cr_assert_null(value);
    release_promised(&made);
}

/* Counts, and remembers each block's size in front of it. */
struct ledger {
    atomic_long blocks, bytes, allocated;
    atomic_bool refuses;
};

enum { HEAD = 32 };

static void *ledger_allocate(void *user_data, size_t size)
{
    struct ledger *ledger = user_data;
    char *memory;

    MUST(size > 0);
    memory = atomic_load(&ledger->refuses) ? NULL : malloc(HEAD + size);
    if (memory == NULL) {
        return NULL;
    }
    *(size_t *)(void *)memory = size;
    atomic_fetch_add(&ledger->blocks, 1);
    atomic_fetch_add(&ledger->allocated, 1);
    atomic_fetch_add(&ledger->bytes, (long)size);
    return memory + HEAD;
}

static void ledger_deallocate(void *user_data, void *memory, size_t size)
{
    struct ledger *ledger = user_data;
    char *block = (char *)memory - HEAD;

    MUST(memory != NULL);
    MUST(*(size_t *)(void *)block == size);
    atomic_fetch_sub(&ledger->blocks, 1);
    atomic_fetch_sub(&ledger->bytes, (long)size);
    free(block);
}

/* What is made from the future may have memory from elsewhere; what comes from the allocator goes
 * back to it. */
static void use_promise(const struct stook_allocator *allocator, int ending)
{
    struct promised made = must_promise_with(allocator);
    struct promised other = must_promise();
    atomic_int calls = 0;
    stook_future *futures[2] = {made.future, other.future};
    stook_future *derived[3];
    bool done[2];

    cr_assert_eq(stook_future_on_done(made.future, count_callback, &calls), STOOK_OK);
    derived[0] = must_then(made.future, STOOK_THEN_ALWAYS, NULL, count_then, &calls);
    cr_assert_eq(stook_when_all(futures, 2, &derived[1]), STOOK_OK);
    cr_assert_eq(stook_when_any(futures, 2, &derived[2]), STOOK_OK);
    cr_assert_eq(stook_wait_until(futures, 2, STOOK_WAIT_ANY, 0, done, NULL), STOOK_TIMEOUT);
    must_end(&made, ending, NULL);
    must_end(&other, ENDS_DONE, NULL);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(stook_future_wait_until(derived[i], STOOK_FOREVER), STOOK_OK);
    }
    release_all(derived, 3);
    release_promised(&made);
    release_promised(&other);
    cr_assert_eq(atomic_load(&calls), 2);
}

Test(promise_memory, memory_comes_from_its_allocator_and_goes_back_to_it)
{
    struct ledger ledger = {0};
    struct stook_allocator allocator = {ledger_allocate, ledger_deallocate, &ledger};

    for (int ending = 0; ending < ENDINGS; ending++) {
        const long before = atomic_load(&ledger.allocated);

        use_promise(&allocator, ending);
        cr_assert_gt(atomic_load(&ledger.allocated), before, "the allocator was not used");
        cr_assert_eq(atomic_load(&ledger.blocks), 0);
        cr_assert_eq(atomic_load(&ledger.bytes), 0);
    }
}

Test(promise_memory, the_allocator_is_copied_and_may_refuse)
{
    struct ledger ledger = {0};
    struct stook_allocator allocator = {ledger_allocate, ledger_deallocate, &ledger};
    struct promised made = must_promise_with(&allocator);
    stook_promise *promise = NULL;
    stook_future *future = NULL;
    long before = atomic_load(&ledger.blocks);

    atomic_store(&ledger.refuses, true);
    cr_assert_eq(stook_promise_create(&allocator, &promise, &future), STOOK_NOMEM);
    cr_assert_null(promise);
    cr_assert_null(future);
    cr_assert_eq(atomic_load(&ledger.blocks), before);
    allocator = (struct stook_allocator){NULL, NULL, NULL};
    must_complete(&made, 0, NULL);
    release_promised(&made);
    cr_assert_eq(atomic_load(&ledger.blocks), 0);
}
