/* SPDX-License-Identifier: MIT
 *
 * See words.h.
 */
#include "words.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void words_get(struct words *words, int argc, char **argv)
{
    const char *text = argc > 1 ? argv[1] : "Python is great Python rocks";

    if (strlen(text) >= sizeof words->text) {
        fputs("the text is too long\n", stderr);
        exit(2);
    }
    strcpy(words->text, text);
    words->count = 0;
    for (char *word = strtok(words->text, " "); word && words->count < MOST_WORDS;
         word = strtok(NULL, " ")) {
        words->word[words->count++] = word;
    }
}

void groups_add(struct groups *groups, const char *word, int one)
{
    size_t i = 0;

    while (i < groups->count && strcmp(groups->group[i].word, word) != 0) {
        i++;
    }
    if (i == groups->count) {
        groups->group[groups->count++] = (struct group){.word = word};
    }
    groups->group[i].ones[groups->group[i].count++] = one;
}

void groups_print(const struct groups *groups)
{
    for (size_t i = 0; i < groups->count; i++) {
        printf("%s %d\n", groups->group[i].word, groups->group[i].sum);
    }
}
