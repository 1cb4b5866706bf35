/* SPDX-License-Identifier: MIT
 *
 * The shared library loaded and unloaded while the process goes on: nothing of it stays behind.
 * This program calls the library by addresses that it looks up.
 */
#include <dlfcn.h>
#include <string.h>

#include "check.h"
#include "support.h"

static void *must_find(void *library, const char *name)
{
    void *address = dlsym(library, name);

    MUST(address != NULL);
    return address;
}

/* C has no cast from void * to a function; POSIX promises that they look alike. */
#define FIND(library, name)                                                                        \
    do {                                                                                           \
        void *address_ = must_find(library, "stook_" #name);                                       \
        memcpy(&name, &address_, sizeof address_);                                                 \
    } while (0)

static void use(void *library)
{
    enum { TASKS = 20 };
    enum stook_status (*executor_create)(const struct stook_executor_options *, stook_executor **);
    enum stook_status (*executor_submit)(stook_executor *, stook_task_fn *, void *,
                                         stook_future **);
    enum stook_status (*future_result)(stook_future *, void **);
    void (*future_release)(stook_future *);
    void (*executor_destroy)(stook_executor *);
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor;
    stook_future *futures[TASKS];
    atomic_int runs = 0;

    FIND(library, executor_create);
    FIND(library, executor_submit);
    FIND(library, future_result);
    FIND(library, future_release);
    FIND(library, executor_destroy);
    options.workers = 3;
    cr_assert_eq(executor_create(&options, &executor), STOOK_OK);
    for (int i = 0; i < TASKS; i++) {
        cr_assert_eq(executor_submit(executor, count_task, &runs, &futures[i]), STOOK_OK);
    }
    for (int i = 0; i < TASKS; i += 2) {
        cr_assert_eq(future_result(futures[i], NULL), STOOK_OK);
    }
    executor_destroy(executor);
    for (int i = 0; i < TASKS; i++) {
        future_release(futures[i]);
    }
    cr_assert_eq(atomic_load(&runs), TASKS);
}

Test(dlopen, B45_fifty_times_loaded_used_and_unloaded, .timeout = 60)
{
    const int threads = thread_count_at_first();

    cr_assert_gt(threads, 0);
    cr_assert_null(dlopen(STOOK_SHARED, RTLD_NOW | RTLD_NOLOAD),
                   "this program links it statically");
    for (int i = 0; i < 50; i++) {
        void *library = dlopen(STOOK_SHARED, RTLD_NOW | RTLD_LOCAL);

        cr_assert_not_null(library, "%s", dlerror());
        use(library);
        cr_assert(thread_count_becomes(threads));
        cr_assert_eq(dlclose(library), 0);
        cr_assert_null(dlopen(STOOK_SHARED, RTLD_NOW | RTLD_NOLOAD), "it is still there");
    }
}
