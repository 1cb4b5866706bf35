/* SPDX-License-Identifier: MIT
 *
 * Searches encrypted words: each word of the files is encrypted as the keys were, and compared
 * with all of them. Prints KEY COUNT, in the order of the keys. The cipher, which adds 5 to each
 * byte, and the four keys are those of the Phoenix benchmarks; words are what white space
 * separates.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "app.h"

enum { KEYS = 4, LONGEST = 32, SHIFT = 5 };

struct key {
    const char *plain;
    size_t size;
    unsigned char encrypted[LONGEST];
};

/* All of the buffer, whatever is behind the word: the compiler makes vectors of that. */
static void encrypt(struct mr_slice word, unsigned char ret_encrypted[LONGEST])
{
    memcpy(ret_encrypted, word.data, word.size);
    for (size_t i = 0; i < LONGEST; i++) {
        ret_encrypted[i] = (unsigned char)(ret_encrypted[i] + SHIFT);
    }
}

static void compare(struct mr_slice word, const struct key keys[KEYS], uint64_t counts[KEYS])
{
    unsigned char encrypted[LONGEST] = {0};

    if (word.size > LONGEST) {
        return; /* than which no key is longer */
    }
    encrypt(word, encrypted);
    for (size_t i = 0; i < KEYS; i++) {
        counts[i] +=
            keys[i].size == word.size && memcmp(keys[i].encrypted, encrypted, word.size) == 0;
    }
}

static int map_words(const struct mr_item *item, mr_emitter *out, void *user)
{
    enum { SOME = 64 };
    const struct key *keys = user;
    struct mr_slice text = item->data;
    struct mr_slice words[SOME];
    uint64_t counts[KEYS] = {0};
    enum stook_status status = STOOK_OK;
    size_t found;

    while ((found = mr_find_words(&text, words, SOME)) > 0) {
        for (size_t i = 0; i < found; i++) {
            compare(words[i], keys, counts);
        }
    }
    for (unsigned char i = 0; i < KEYS && status == STOOK_OK; i++) {
        if (counts[i] > 0) {
            status = mr_emit_u64(out, mr_slice_of(&i, 1), counts[i]);
        }
    }
    return (int)status;
}

int main(int argc, char **argv)
{
    static const char usage[] = "usage: string_match [OPTION...] FILE...\n";
    static const char *const plain[KEYS] = {"Helloworld", "howareyou", "ferrari", "whotheman"};
    struct key keys[KEYS] = {{0}};
    uint64_t counts[KEYS] = {0};
    struct mr_job job = MR_JOB_INIT;
    struct mr_pair pair;
    struct app app;

    for (size_t i = 0; i < KEYS; i++) {
        keys[i].plain = plain[i];
        keys[i].size = strlen(plain[i]);
        encrypt(mr_slice_str(plain[i]), keys[i].encrypted);
    }
    app_begin(&app, argc, argv, usage, NULL);
    job.input = mr_input_text(app_sources(&app), app.file_count);
    job.input.delimiters = " \t\n\v\f\r";
    job.input.whole_splits = true;
    job.map = map_words;
    job.combine = mr_sum_u64;
    job.user = keys;
    job.partitions = 1;

    mr_result *result = app_run(&app, &job);
    while (mr_result_next(result, &pair)) {
        counts[*(const unsigned char *)pair.key.data] = mr_slice_u64(pair.value);
    }
    mr_result_destroy(result);
    for (size_t i = 0; i < KEYS; i++) {
        printf("%s %" PRIu64 "\n", keys[i].plain, counts[i]);
    }
    return app_end(&app);
}
