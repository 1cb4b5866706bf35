/* SPDX-License-Identifier: MIT
 *
 * Counting, and the snapshot of what was counted.
 */
#include <stook/stats.h>
#include "counters.h"
#include "deque.h"
#include "fork.h"
#include "pool.h"
#include "worker.h"

void stook__counters_init(struct stook__counters *counters)
{
    for (int i = 0; i < STOOK__COUNTERS; i++) {
        atomic_init(&counters->counts[i], 0);
    }
}

void stook__count(stook_executor *executor, enum stook__counter which, uint64_t number)
{
    const struct stook__thread *thread = stook__thread_current();

    if (thread && thread->worker && thread->executor == executor) {
        stook__count_in(&thread->worker->counters, which, number);
    } else {
        /* order ST.shared rel -> ST.read: see counters.h */
        a_add_rel(&executor->elsewhere.counts[which], number);
    }
}

static uint64_t read_one(const struct stook__counters *counters, enum stook__counter which)
{
    /* order ST.read acq <- ST.own, ST.shared: see counters.h */
    return a_load_acq(&counters->counts[which]);
}

/* Of all workers and elsewhere. */
static uint64_t read_sum(const stook_executor *executor, enum stook__counter which)
{
    uint64_t sum = read_one(&executor->elsewhere, which);

    for (unsigned i = 0; i < executor->options.max_workers; i++) {
        sum += read_one(&executor->workers[i].counters, which);
    }
    return sum;
}

/* Those of one worker, added to the totals. */
static struct stook_worker_stats read_worker(const struct stook__counters *counters,
                                             size_t queue_depth, struct stook_stats *stats)
{
    struct stook_worker_stats worker = {.begun = read_one(counters, STOOK__BEGUN),
                                        .stolen = read_one(counters, STOOK__STOLEN),
                                        .parked = read_one(counters, STOOK__PARKED),
                                        .queue_depth = queue_depth};

    stats->begun += worker.begun;
    stats->stolen += worker.stolen;
    stats->parked += worker.parked;
    stats->queue_depth += queue_depth;
    return worker;
}

static void read_threads(stook_executor *executor, struct stook_stats *stats)
{
    mtx_lock(&executor->park.mutex);
    stats->threads = executor->park.alive;
    stats->threads_started = executor->park.next_number;
    mtx_unlock(&executor->park.mutex);
    mtx_lock(&executor->timer.mutex);
    stats->threads += executor->timer.started;
    stats->threads_started += executor->timer.started || executor->timer.runs;
    mtx_unlock(&executor->timer.mutex);
}

enum stook_status stook_executor_stats(stook_executor *executor, struct stook_stats *ret_stats,
                                       struct stook_worker_stats ret_workers[], size_t capacity)
{
    if (!executor || !ret_stats || (!ret_workers && capacity > 0) ||
        ret_stats->struct_size != sizeof *ret_stats) {
        return STOOK_INVALID;
    }
    if (stook__forked(executor->generation)) {
        return STOOK_FORKED;
    }
    struct stook_stats stats = STOOK_STATS_INIT;
    size_t queued;
    uint64_t accepted;
    stats.workers = executor->options.max_workers;
    stats.ended = read_sum(executor, STOOK__ENDED);
    stats.cancelled = read_sum(executor, STOOK__CANCELLED);
    for (size_t i = 0; i < stats.workers; i++) {
        struct stook__worker *worker = &executor->workers[i];
        struct stook_worker_stats one =
            read_worker(&worker->counters, stook__deque_size(&worker->deque), &stats);
        if (i < capacity) {
            ret_workers[i] = one;
        }
    }
    stats.elsewhere = read_worker(&executor->elsewhere, 0, &stats);
    /* last, as all of STOOK__SUBMITTED: what began elsewhere has been accepted before */
    stook__inject_sizes(&executor->inject, &queued, &accepted);
    stats.elsewhere.queue_depth = queued;
    stats.queue_depth += queued;
    stats.submitted = read_sum(executor, STOOK__SUBMITTED) + accepted;
    stats.pending = stats.submitted - stats.begun - stats.cancelled;
    stats.running = stats.begun - stats.ended;
    read_threads(executor, &stats);
    *ret_stats = stats;
    return STOOK_OK;
}
