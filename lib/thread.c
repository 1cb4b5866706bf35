/* SPDX-License-Identifier: MIT
 *
 * Threads from their creation to their end. None of it is done with a lock held.
 */
#include "thread.h"
#include <string.h>
#include "allocate.h"
#include "report.h"

struct stook__thread *stook__thread_create(stook_executor *executor, struct stook__worker *worker,
                                           unsigned number)
{
    struct stook__thread *thread = stook__allocate(&executor->allocator, sizeof *thread);

    if (!thread) {
        return NULL;
    }
    memset(thread, 0, sizeof *thread);
    if (!stook__event_init(&thread->event)) {
        stook__deallocate(&executor->allocator, thread, sizeof *thread);
        return NULL;
    }
    thread->executor = executor;
    thread->worker = worker;
    thread->searching = worker != NULL;
    thread->number = number;
    if (worker) {
        stook__event_set(&thread->event);
    }
    return thread;
}

void stook__thread_free(struct stook__thread *thread)
{
    if (thread) {
        stook__event_fini(&thread->event);
        stook__deallocate(&thread->executor->allocator, thread, sizeof *thread);
    }
}

bool stook__thread_start(struct stook__thread *thread)
{
    return stook__platform_start_thread(thread->executor->thread_main, thread,
                                        thread->executor->options.stack_size);
}

void stook__thread_begin(struct stook__thread *thread)
{
    thread->handle = stook__platform_this_thread();
    thread->bound_to = -1;
    stook__platform_bind(&thread->executor->cpus, -1);
}

void stook__thread_bind(struct stook__thread *thread)
{
    const stook_executor *executor = thread->executor;

    if (!executor->options.pin) {
        return;
    }
    int index = thread->worker ? (int)(thread->worker - executor->workers) : -1;
    if (index != thread->bound_to) {
        stook__platform_bind(&executor->cpus, index);
        thread->bound_to = index;
    }
}

bool stook__thread_run_init(const struct stook__thread *thread)
{
    const struct stook_executor_options *options = &thread->executor->options;

    if (!options->thread_init) {
        return true;
    }
    int code = options->thread_init(options->thread_data, thread->number);
    if (code != 0) {
        stook__report(options, "thread_init returned %d in thread %s-%u: the executor is broken",
                      code, options->name_prefix, thread->number);
    }
    return code == 0;
}

void stook__thread_join(struct stook__thread *thread)
{
    if (thread) {
        stook__platform_join_thread(thread->handle);
    }
}
