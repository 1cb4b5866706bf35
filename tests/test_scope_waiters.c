/* SPDX-License-Identifier: MIT
 *
 * Several threads that wait for one scope.
 */
#include "check.h"
#include "group_support.h"

struct impatient {
    stook_scope *scope;
    int64_t deadline;
    enum stook_status status;
};

static int impatient_thread(void *arg)
{
    struct impatient *impatient = arg;

    impatient->status = stook_scope_wait_until(impatient->scope, impatient->deadline, NULL);
    return 0;
}

/* Whichever of the waiters gives up first: those that stay are still told. */
Test(scope, waiters_may_leave_in_any_order, .timeout = 60)
{
    enum { WAITERS = 5 };
    stook_executor *executor = must_create(1);

    for (int leaving = 0; leaving < 1 << WAITERS; leaving++) {
        stook_scope *scope = must_scope(executor);
        struct gate gate = {0};
        struct impatient impatient[WAITERS];
        thrd_t threads[WAITERS];

        must_submit_many_in(executor, scope, gate_task, &gate, 1, NULL);
        for (int i = 0; i < WAITERS; i++) {
            const bool leaves = leaving >> i & 1;

            impatient[i] = (struct impatient){
                scope, leaves ? stook_deadline_after_ns(MILLISECOND) : STOOK_FOREVER,
                STOOK_INVALID};
            must_start(&threads[i], impatient_thread, &impatient[i]);
        }
        for (int i = 0; i < WAITERS; i++) {
            if (impatient[i].deadline != STOOK_FOREVER) {
                must_join(threads[i]);
                cr_assert_eq(impatient[i].status, STOOK_TIMEOUT);
            }
        }
        gate_open(&gate);
        for (int i = 0; i < WAITERS; i++) {
            if (impatient[i].deadline == STOOK_FOREVER) {
                must_join(threads[i]);
                cr_assert_eq(impatient[i].status, STOOK_OK);
            }
        }
        stook_scope_destroy(scope);
    }
    stook_executor_destroy(executor);
}
