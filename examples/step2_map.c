/* SPDX-License-Identifier: MIT
 *
 * Step 2: the mapper and the reducer run in parallel, on the executor's blocking map; results come
 * back in the order of the input.
 */
#include <stdio.h>
#include <stdlib.h>
#include <stook/stook.h>
#include "words.h"

struct pair {
    const char *word;
    int one;
};

/* The item is a word; the value is a pair, which the caller frees. */
static int emitter(void *item, void **ret_value)
{
    struct pair *pair = malloc(sizeof *pair);
    if (!pair) {
        return 1;
    }
    *pair = (struct pair){*(const char **)item, 1};
    *ret_value = pair;
    return 0;
}

/* The item is a group, which gets its sum. */
static int counter(void *item, void **ret_value)
{
    struct group *group = item;
    (void)ret_value;
    for (size_t i = 0; i < group->count; i++) {
        group->sum += group->ones[i];
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct words words;
    static struct groups groups;
    void *pairs[MOST_WORDS];
    stook_executor *executor;

    words_get(&words, argc, argv);
    enum stook_status status = stook_executor_create(NULL, &executor);
    if (status != STOOK_OK) {
        fprintf(stderr, "cannot start: %s\n", stook_status_string(status));
        return EXIT_FAILURE;
    }
    status = stook_executor_map(executor, emitter, words.word, words.count, sizeof words.word[0],
                                pairs, NULL);
    for (size_t i = 0; status == STOOK_OK && i < words.count; i++) {
        const struct pair *pair = pairs[i];
        groups_add(&groups, pair->word, pair->one);
        free(pairs[i]);
    }
    if (status == STOOK_OK) {
        status = stook_executor_map(executor, counter, groups.group, groups.count,
                                    sizeof groups.group[0], NULL, NULL);
    }
    stook_executor_destroy(executor);
    if (status != STOOK_OK) {
        fprintf(stderr, "failed: %s\n", stook_status_string(status));
        return EXIT_FAILURE;
    }
    groups_print(&groups);
    return EXIT_SUCCESS;
}
