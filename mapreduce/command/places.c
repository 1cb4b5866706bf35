/* SPDX-License-Identifier: MIT
 *
 * A natural merge sort: places come as some sorted runs, one for each split.
 */
#include "places.h"
#include <stdlib.h>
#include <string.h>

bool places_add(struct places *places, uint64_t place)
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

/* Where the run that begins there ends. */
static size_t run_end(const uint64_t *all, size_t begin, size_t count)
{
    size_t end = begin < count ? begin + 1 : count;

    while (end < count && all[end - 1] <= all[end]) {
        end++;
    }
    return end;
}

static void merge(const uint64_t *a, const uint64_t *a_end, const uint64_t *b,
                  const uint64_t *b_end, uint64_t *to)
{
    while (a < a_end && b < b_end) {
        *to++ = *a <= *b ? *a++ : *b++;
    }
    memcpy(to, a, (size_t)(a_end - a) * sizeof *to);
    memcpy(to + (a_end - a), b, (size_t)(b_end - b) * sizeof *to);
}

bool places_sort(struct places *places)
{
    size_t count = places->count;
    uint64_t *spare = NULL;

    /* each pass merges each two runs that follow one another, until there is one */
    while (run_end(places->all, 0, count) < count) {
        spare = spare ? spare : malloc(count * sizeof *spare);
        if (!spare) {
            return false;
        }
        for (size_t begin = 0; begin < count;) {
            size_t middle = run_end(places->all, begin, count);
            size_t end = run_end(places->all, middle, count);
            merge(places->all + begin, places->all + middle, places->all + middle,
                  places->all + end, spare + begin);
            begin = end;
        }
        uint64_t *sorted = spare;
        spare = places->all;
        places->all = sorted;
        places->capacity = count;
    }
    free(spare);
    return true;
}

void places_free(struct places *places)
{
    free(places->all);
    *places = (struct places){0};
}
