/* SPDX-License-Identifier: MIT
 *
 * The end of a scope waits for its tasks also where there is no lock to sleep on. Only the portable
 * platform needs one.
 */
#include <threads.h>
#include "check.h"
#include "group_support.h"

static atomic_int refusals; /* calls that are yet to fail */

int __real_cnd_init(cnd_t *condition);
int __wrap_cnd_init(cnd_t *condition);

int __wrap_cnd_init(cnd_t *condition)
{
    if (atomic_load(&refusals) > 0) {
        atomic_fetch_sub(&refusals, 1);
        return thrd_nomem;
    }
    return __real_cnd_init(condition);
}

struct late {
    struct gate gate;
    atomic_bool has_ended;
};

static int late_task(void *arg, void **ret_value)
{
    struct late *late = arg;

    (void)ret_value;
    gate_pass(&late->gate);
    give_a_chance(); /* for a destroy that does not wait */
    atomic_store(&late->has_ended, true);
    return 0;
}

Test(fail_destroy, a_scope_waits_without_a_lock)
{
    stook_executor *executor = must_create(1);
    stook_scope *scope = must_scope(executor);
    struct late late = {.has_ended = false};
    stook_future *future = must_submit_in(executor, scope, late_task, &late);

    gate_await(&late.gate, 1);
    atomic_store(&refusals, 3);
    gate_open(&late.gate);
    stook_scope_destroy(scope);
    cr_assert(atomic_load(&late.has_ended));
    atomic_store(&refusals, 0);
    cr_assert_eq(stook_future_result(future, NULL), STOOK_OK);
    stook_future_release(future);
    stook_executor_destroy(executor);
}
