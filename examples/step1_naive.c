/* SPDX-License-Identifier: MIT
 *
 * Step 1: map, distribute, reduce, one after the other and in one thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include "words.h"

struct pair {
    const char *word;
    int one;
};

static struct pair emitter(const char *word)
{
    return (struct pair){word, 1};
}

static int counter(const struct group *group)
{
    int sum = 0;
    for (size_t i = 0; i < group->count; i++) {
        sum += group->ones[i];
    }
    return sum;
}

int main(int argc, char **argv)
{
    static struct words words;
    static struct groups groups;

    words_get(&words, argc, argv);
    for (size_t i = 0; i < words.count; i++) {
        struct pair pair = emitter(words.word[i]);
        groups_add(&groups, pair.word, pair.one);
    }
    for (size_t i = 0; i < groups.count; i++) {
        groups.group[i].sum = counter(&groups.group[i]);
    }
    groups_print(&groups);
    return EXIT_SUCCESS;
}
