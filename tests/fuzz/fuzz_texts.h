/* SPDX-License-Identifier: MIT
 *
 * Texts as sources of all kinds, none of them on a disk, and executors that are kept. For one file
 * of a program.
 */
#ifndef STOOK_TESTS_FUZZ_TEXTS_H
#define STOOK_TESTS_FUZZ_TEXTS_H

#include "fuzz.h"
#include "../mr_records.h"

enum { MOST_SOURCES = 4, MOST_WORKERS = 3, MOST_TEXT = 60000 };

static stook_executor *executors[MOST_WORKERS + 1];

void fuzz_end(void)
{
    for (unsigned i = 0; i <= MOST_WORKERS; i++) {
        stook_executor_destroy(executors[i]);
        executors[i] = NULL;
    }
}

/* Without workers: in sequence. */
static stook_executor *executor_of(unsigned workers)
{
    if (workers > 0 && executors[workers] == NULL) {
        executors[workers] = must_create(workers);
    }
    return executors[workers];
}

struct texts {
    struct mr_slice all[MOST_SOURCES];
    struct mr_source sources[MOST_SOURCES];
    struct fuzz_file files[MOST_SOURCES];
    size_t count;
};

static void open_sources(struct texts *texts, enum way way)
{
    for (size_t i = 0; i < texts->count; i++) {
        struct mr_source *source = &texts->sources[i];
        *source = (struct mr_source){.path = NULL};
        texts->files[i].descriptor = -1;
        if (way == PIPE) {
            texts->files[i].descriptor = fuzz_pipe_make(texts->all[i]);
            source->descriptor = texts->files[i].descriptor;
        } else if (way == MEMORY) {
            source->text = texts->all[i];
        } else {
            fuzz_file_make(&texts->files[i], texts->all[i]);
            source->path = way == DESCRIPTOR ? NULL : texts->files[i].path;
            source->descriptor = way == DESCRIPTOR ? texts->files[i].descriptor : 0;
        }
    }
}

static void close_sources(struct texts *texts)
{
    for (size_t i = 0; i < texts->count; i++) {
        if (texts->files[i].descriptor >= 0) {
            MUST(close(texts->files[i].descriptor) == 0);
        }
    }
}

static inline enum stook_status run_job(stook_executor *executor, const struct mr_job *job,
                                        mr_result **ret_result, struct mr_error *ret_error)
{
    *ret_result = UNTOUCHED(mr_result);
    return executor != NULL ? mr_map_reduce(executor, job, ret_result, ret_error)
                            : mr_map_reduce_sequential(job, ret_result, ret_error);
}

#endif
