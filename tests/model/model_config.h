/* SPDX-License-Identifier: MIT
 *
 * Included before anything else where lib/ is compiled for the checker: constants so small that
 * what happens seldom happens in a model.
 */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include <stdatomic.h>
#include <stddef.h>

#define STOOK_MODEL 1
#define STOOK_DEQUE_FIRST_CAPACITY 1

/* C11: not an atomic access, so whoever uses the object must come after it. */
void model_init(volatile void *object, size_t size);
#undef atomic_init
#define atomic_init(object, value)                                                                 \
    (model_init((object), sizeof *(object)),                                                       \
     atomic_store_explicit((object), (value), memory_order_relaxed))

#endif
