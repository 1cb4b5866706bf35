/* SPDX-License-Identifier: MIT
 *
 * Where does each word occur? Prints WORD<TAB>FILE:OFFSET FILE:OFFSET..., sorted by word, file and
 * offset. A word is a maximal run of bytes that are not white space.
 *
 * A value is a place: file and offset in one number, which the library keeps beside the key. The
 * reducer gets the places of a word in any order, and emits them sorted, as one value.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "app.h"

enum { OFFSET_BITS = 44 }; /* of a place: 16 TiB a file, and a million files */

static int map_words(const struct mr_item *item, mr_emitter *out, void *user)
{
    enum { SOME = 64 };
    const char *begin = item->data.data;
    const uint64_t base = (uint64_t)item->source << OFFSET_BITS | item->index;
    struct mr_slice text = item->data;
    struct mr_slice words[SOME];
    enum stook_status status = STOOK_OK;
    size_t count;
    (void)user;

    while (status == STOOK_OK && (count = mr_find_words(&text, words, SOME)) > 0) {
        for (size_t i = 0; i < count && status == STOOK_OK; i++) {
            size_t offset = (size_t)((const char *)words[i].data - begin);
            status = mr_emit_u64(out, words[i], base + offset);
        }
    }
    return (int)status;
}

/* --- sorting: the values come as some sorted runs, one for each split ------------------------- */

struct places {
    uint64_t *all, *spare;
    size_t count, capacity;
};

static bool add_place(struct places *places, uint64_t place)
{
    if (places->count == places->capacity) {
        size_t capacity = places->capacity ? 2 * places->capacity : 16;
        uint64_t *bigger = realloc(places->all, capacity * sizeof *bigger);
        if (!bigger) {
            return false;
        }
        places->all = bigger;
        places->capacity = capacity;
    }
    places->all[places->count++] = place;
    return true;
}

static size_t end_of_run(const uint64_t *all, size_t begin, size_t count)
{
    size_t end = begin < count ? begin + 1 : count;

    while (end < count && all[end - 1] < all[end]) {
        end++;
    }
    return end;
}

static void merge(const uint64_t *a, const uint64_t *a_end, const uint64_t *b,
                  const uint64_t *b_end, uint64_t *to)
{
    while (a < a_end && b < b_end) {
        *to++ = *a < *b ? *a++ : *b++;
    }
    memcpy(to, a, (size_t)(a_end - a) * sizeof *to);
    memcpy(to + (a_end - a), b, (size_t)(b_end - b) * sizeof *to);
}

/* Merges each two neighbouring runs, until there is one. */
static bool sort_places(struct places *places)
{
    size_t count = places->count;

    if (end_of_run(places->all, 0, count) == count) {
        return true;
    }
    places->spare = malloc(places->capacity * sizeof *places->spare);
    while (places->spare && end_of_run(places->all, 0, count) < count) {
        for (size_t begin = 0; begin < count;) {
            size_t middle = end_of_run(places->all, begin, count);
            size_t end = end_of_run(places->all, middle, count);
            merge(places->all + begin, places->all + middle, places->all + middle,
                  places->all + end, places->spare + begin);
            begin = end;
        }
        uint64_t *sorted = places->spare;
        places->spare = places->all;
        places->all = sorted;
    }
    return places->spare != NULL;
}

static int sort_values(struct mr_slice word, mr_values *values, mr_emitter *out, void *user)
{
    struct places places = {0};
    struct mr_slice value;
    bool has_memory = true;
    (void)user;

    while (has_memory && mr_values_next(values, &value)) {
        has_memory = add_place(&places, mr_slice_u64(value));
    }
    has_memory = has_memory && sort_places(&places);
    int status = STOOK_NOMEM;
    if (has_memory) {
        struct mr_slice all = mr_slice_of(places.all, places.count * sizeof *places.all);
        status = (int)mr_emit(out, word, all);
    }
    free(places.all);
    free(places.spare);
    return status;
}

static void print(mr_result *result, const char *const *files)
{
    struct mr_pair pair;

    while (mr_result_next(result, &pair)) {
        const unsigned char *at = pair.value.data;
        char separator = '\t';
        fwrite(pair.key.data, 1, pair.key.size, stdout);
        for (size_t i = 0; i < pair.value.size; i += sizeof(uint64_t)) {
            uint64_t place = mr_slice_u64(mr_slice_of(at + i, sizeof place));
            printf("%c%s:%" PRIu64, separator, files[place >> OFFSET_BITS],
                   place & ((UINT64_C(1) << OFFSET_BITS) - 1));
            separator = ' ';
        }
        putchar('\n');
    }
}

int main(int argc, char **argv)
{
    static const char usage[] =
        "usage: inverted_index [OPTION...] FILE...\n"
        "  --count               print the number of different words only\n";
    bool only_count = false;
    const struct app_option options[] = {{.name = "--count", .flag = &only_count}, {.name = NULL}};
    struct mr_job job = MR_JOB_INIT;
    struct app app;

    app_begin(&app, argc, argv, usage, options);
    app_need_files(&app, 1, 1 << 20);
    job.input = mr_input_text(app_sources(&app), app.file_count);
    job.input.delimiters = " \t\n\v\f\r";
    job.input.whole_splits = true;
    job.map = map_words;
    job.reduce = sort_values;
    job.order = MR_ORDER_KEY;
    mr_result *result = app_run(&app, &job);
    if (only_count) {
        printf("%" PRIu64 "\n", mr_result_count(result));
    } else {
        print(result, app.files);
    }
    mr_result_destroy(result);
    return app_end(&app);
}
