/* SPDX-License-Identifier: MIT
 *
 * What the four steps share: a text cut into words, and the article's distributor, which brings the
 * values of equal words together in the order in which the words were first seen.
 */
#ifndef WORDS_H
#define WORDS_H

#include <stdbool.h>
#include <stddef.h>

enum { MOST_WORDS = 64, LONGEST_TEXT = 1024 };

struct words {
    char text[LONGEST_TEXT]; /* the words point into it */
    const char *word[MOST_WORDS];
    size_t count;
};

/* The text is argv[1], or "Python is great Python rocks". */
void words_get(struct words *words, int argc, char **argv);

struct group {
    const char *word;
    int ones[MOST_WORDS];
    size_t count; /* of ones */
    int sum;
};

struct groups {
    struct group group[MOST_WORDS];
    size_t count;
};

void groups_add(struct groups *groups, const char *word, int one);
void groups_print(const struct groups *groups);

#endif
