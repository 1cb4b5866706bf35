/* SPDX-License-Identifier: MIT
 *
 * Places of a word, in order.
 */
#ifndef STOOK_PLACES_H
#define STOOK_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct places { /* all zero: none */
    uint64_t *all;
    size_t count;
    size_t capacity;
};

/* False without memory. */
bool places_add(struct places *places, uint64_t place);
bool places_sort(struct places *places);
void places_free(struct places *places);

#endif
