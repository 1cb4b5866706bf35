/* SPDX-License-Identifier: MIT
 *
 * The library's one global: a number that grows in the child of a fork. The child has one thread,
 * and locks of the others may be held for ever, so nothing from before may be entered there.
 */
#define _POSIX_C_SOURCE 200809L
#include "fork.h"
#include <pthread.h>
#include <threads.h>
#include "atomics.h"
#include "task.h"
#include "worker.h"

_Atomic(unsigned) stook__generation;
static once_flag watched = ONCE_FLAG_INIT;

static void begin_generation(void)
{
    /* order FK.next rlx: the child has one thread */
    a_add_rlx(&stook__generation, 1U);
    stook__worker_forget_thread();
}

static void watch(void)
{
    (void)pthread_atfork(NULL, NULL, begin_generation);
}

void stook__fork_watch(void)
{
    call_once(&watched, watch);
}

bool stook__future_forked(const stook_future *future)
{
    /* order FU.live rlx: a state that is terminal stays so */
    return !stook__task_is_terminal(a_load_rlx(&future->word)) &&
           stook__task_generation(future) != stook__fork_generation() % TASK_GENERATIONS;
}
