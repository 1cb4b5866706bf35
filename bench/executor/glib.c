/* SPDX-License-Identifier: MIT
 *
 * GLib: a GThreadPool of fixed size; tasks complete a word. A worker that waits blocks its thread,
 * so there are no forks.
 */
#include <glib.h>

#define HAS_BULK 0
#include "submit.h"

static GThreadPool *pool;

static void numbered_task(gpointer data, gpointer user_data)
{
    size_t i = GPOINTER_TO_SIZE(data) - 1;
    (void)user_data;
    run_task(i);
    complete_word(i);
}

static inline void submit_one(size_t i)
{
    words[i] = WORD_PENDING;
    g_thread_pool_push(pool, GSIZE_TO_POINTER(i + 1), NULL);
}

static inline void submit_bulk(size_t first, size_t count)
{
    (void)first, (void)count;
}

static inline void wait_one(size_t i)
{
    wait_word(i);
}

static inline void prepare_tasks(size_t count)
{
    prepare_words(count);
}

static uint64_t warm_up(size_t size)
{
    (void)size;
    prepare_submit(WARM_TASKS);
    struct producer warming = {0, WARM_TASKS, false, 0, NULL};
    produce(&warming);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct runner runners[] = {{"", warm_up}, {NULL, NULL}};
    struct bench bench = bench_begin(argc, argv);
    pool = g_thread_pool_new(numbered_task, NULL, (gint)bench.workers, TRUE, NULL);
    if (!pool) {
        bench_cannot("no pool");
    }
    if (!measure_runners(&bench, runners) && !measure_submit(&bench)) {
        bench_cannot("no such case");
    }
    return bench_print(&bench);
}
