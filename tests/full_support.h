/* SPDX-License-Identifier: MIT
 *
 * What the tests of bounded queues share: an executor whose worker is held, so that its queue
 * fills.
 */
#ifndef STOOK_TESTS_FULL_SUPPORT_H
#define STOOK_TESTS_FULL_SUPPORT_H

#include <string.h>
#include "support.h"

/* An executor with one worker that stays in the gate, and room for `limit` tasks. */
struct full {
    stook_executor *executor;
    struct gate gate;
    atomic_int runs;
};

static inline void full_begin(struct full *full, size_t limit)
{
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;

    memset(full, 0, sizeof *full);
    options.workers = 1;
    options.queue_limit = limit;
    MUST(stook_executor_create(&options, &full->executor) == STOOK_OK);
    MUST(stook_executor_submit(full->executor, gate_task, &full->gate, NULL) == STOOK_OK);
    gate_await(&full->gate, 1);
}

static inline void full_end(struct full *full)
{
    gate_open(&full->gate);
    stook_executor_destroy(full->executor);
}

static inline struct stook_submit_options when(enum stook_when_full when_full, stook_client *client)
{
    struct stook_submit_options options = STOOK_SUBMIT_OPTIONS_INIT;

    options.when_full = when_full;
    options.client = client;
    return options;
}

static inline enum stook_status submit(struct full *full, enum stook_when_full when_full,
                                       stook_client *client, size_t count)
{
    const struct stook_submit_options options = when(when_full, client);

    return stook_executor_submit_many(full->executor, &options, count_task, &full->runs, count, 0,
                                      NULL);
}

#endif
