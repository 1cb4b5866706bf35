/* SPDX-License-Identifier: MIT
 *
 * Step 3: a future for each word, polled while the mapper, which takes its time, runs on four
 * workers.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <stook/stook.h>
#include <time.h>
#include "words.h"

static void sleep_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* The item is a word; the value points to it, as a stand-in for (word, 1). */
static int emitter(void *item, void **ret_value)
{
    sleep_ms(100);
    *ret_value = item;
    return 0;
}

static int counter(void *item, void **ret_value)
{
    struct group *group = item;
    (void)ret_value;
    for (size_t i = 0; i < group->count; i++) {
        group->sum += group->ones[i];
    }
    return 0;
}

static size_t not_done(stook_future *const *futures, size_t count)
{
    size_t pending = 0;
    for (size_t i = 0; i < count; i++) {
        pending += !stook_future_done(futures[i]);
    }
    return pending;
}

/* Tells how many are left until none is. */
static void report_progress(stook_future *const *futures, size_t count)
{
    size_t pending;
    do {
        pending = not_done(futures, count);
        printf("Still not finalized: %zu\n", pending);
        fflush(stdout);
        if (pending > 0) {
            sleep_ms(50);
        }
    } while (pending > 0);
}

static enum stook_status map_reduce(stook_executor *executor, struct words *words,
                                    struct groups *groups)
{
    stook_future *futures[MOST_WORDS];
    enum stook_status status = stook_executor_submit_many(
        executor, NULL, emitter, words->word, words->count, sizeof words->word[0], futures);
    if (status != STOOK_OK) {
        return status;
    }
    report_progress(futures, words->count);
    for (size_t i = 0; i < words->count; i++) {
        void *item;
        enum stook_status one = stook_future_result(futures[i], &item);
        if (one == STOOK_OK) {
            groups_add(groups, *(const char **)item, 1);
        } else {
            status = one;
        }
        stook_future_release(futures[i]);
    }
    return status == STOOK_OK ? stook_executor_map(executor, counter, groups->group, groups->count,
                                                   sizeof groups->group[0], NULL, NULL)
                              : status;
}

int main(int argc, char **argv)
{
    static struct words words;
    static struct groups groups;
    struct stook_executor_options options = STOOK_EXECUTOR_OPTIONS_INIT;
    stook_executor *executor;

    words_get(&words, argc, argv);
    options.workers = 4;
    enum stook_status status = stook_executor_create(&options, &executor);
    if (status == STOOK_OK) {
        status = map_reduce(executor, &words, &groups);
        stook_executor_destroy(executor);
    }
    if (status != STOOK_OK) {
        fprintf(stderr, "failed: %s\n", stook_status_string(status));
        return EXIT_FAILURE;
    }
    groups_print(&groups);
    return EXIT_SUCCESS;
}
