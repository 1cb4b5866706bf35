/* SPDX-License-Identifier: MIT
 *
 * The blocking map: the array is cut into chunks, each a task; built on submit and result alone,
 * but for its memory.
 *
 * Invariant: a chunk stops before item i only if an item before i has failed. So all items before
 * the first failure in input order are done, and that failure is found whatever the timing.
 */
#include <stook/continuation.h>
#include <stook/executor.h>
#include "allocate.h"
#include "atomics.h"
#include "fork.h"
#include "wait.h"

/* Chunks per worker: enough to even out items of unequal length. */
enum { CHUNKS_PER_WORKER = 8 };

struct map {
    unsigned generation; /* fork.h */
    stook_task_fn *fn;
    char *base;
    size_t size;
    void **ret_values;            /* may be NULL */
    _Atomic(size_t) first_failed; /* lowest index that failed so far; count: none */
};

struct map_chunk {
    struct map *map;
    size_t begin;
    size_t end;  /* one past the last item */
    size_t stop; /* where it stopped: end, or before the item that it left out */
    int code;    /* of item first_failed, if that was in this chunk */
};

static void note_failure(struct map *map, size_t index)
{
    /* order MP.lowest rlx: a number; the chunk's code is read after its future is terminal */
    size_t lowest = a_load_rlx(&map->first_failed);
    while (index < lowest && !a_cas_rlx(&map->first_failed, &lowest, index)) {
    }
}

static int run_chunk(void *arg, void **ret_value)
{
    struct map_chunk *chunk = arg;
    struct map *map = chunk->map;
    (void)ret_value;

    for (size_t i = chunk->begin; i < chunk->end; i++) {
        void *value = NULL;
        /* order MP.stop rlx: late news costs an item that need not have been done */
        if (i > a_load_rlx(&map->first_failed)) {
            return 0;
        }
        int code = map->fn(map->base + i * map->size, &value);
        if (stook__forked(map->generation)) {
            return 0; /* the item has forked: in the child, too, it ends its thread */
        }
        if (map->ret_values) {
            map->ret_values[i] = value;
        }
        chunk->stop = i + 1;
        if (code != 0) {
            chunk->code = code;
            note_failure(map, i);
            return 0;
        }
    }
    return 0;
}

static void chunks_init(struct map_chunk *chunks, struct map *map, size_t count, size_t chunk_count)
{
    for (size_t i = 0; i < chunk_count; i++) {
        /* Sizes differ by one at most; the products of a plain i * count would overflow. */
        size_t small = count / chunk_count;
        size_t larger = count % chunk_count;
        size_t begin = i * small + (i < larger ? i : larger);
        size_t end = begin + small + (i < larger ? 1 : 0);
        chunks[i] = (struct map_chunk){.map = map, .begin = begin, .end = end, .stop = begin};
    }
}

/* Waits for all chunks and gives the outcome. */
static enum stook_status collect(struct map *map, struct map_chunk *chunks, stook_future **futures,
                                 size_t chunk_count, size_t count,
                                 struct stook_map_error *ret_error)
{
    enum stook_status status = STOOK_OK;
    size_t first_cancelled = count; /* item */

    for (size_t i = 0; i < chunk_count; i++) {
        enum stook_status chunk_status = stook__wait_lent(futures[i]);
        stook_future_release(futures[i]);
        if (chunk_status != STOOK_OK && status == STOOK_OK) { /* the executor was shut down */
            status = chunk_status;
            first_cancelled = chunks[i].begin;
        }
        for (size_t k = chunks[i].stop; map->ret_values && k < chunks[i].end; k++) {
            map->ret_values[k] = NULL;
        }
    }
    /* order MP.result rlx: all chunks are terminal, and were seen so */
    size_t first_failed = a_load_rlx(&map->first_failed);
    if (first_failed == count || first_failed > first_cancelled) {
        return status;
    }
    for (size_t i = 0; ret_error && i < chunk_count; i++) {
        if (first_failed >= chunks[i].begin && first_failed < chunks[i].end) {
            ret_error->index = first_failed;
            ret_error->code = chunks[i].code;
        }
    }
    return STOOK_TASK_FAILED;
}

enum stook_status stook_executor_map(stook_executor *executor, stook_task_fn *fn, void *base,
                                     size_t count, size_t size, void *ret_values[],
                                     struct stook_map_error *ret_error)
{
    enum stook_status status = STOOK_NOMEM;
    struct map map = {.generation = stook__fork_generation(),
                      .fn = fn,
                      .base = base,
                      .size = size,
                      .ret_values = ret_values};

    if (!executor || !fn) {
        return STOOK_INVALID;
    }
    if (count == 0) {
        return STOOK_OK;
    }
    if (stook_in_callback()) {
        return STOOK_DEADLOCK; /* before anything is begun that it could not wait for */
    }
    atomic_init(&map.first_failed, count);
    size_t most = (size_t)stook_executor_worker_count(executor) * CHUNKS_PER_WORKER;
    size_t chunk_count = count < most ? count : most;
    const struct stook_allocator *allocator = stook__executor_allocator(executor);
    size_t chunks_size = chunk_count * sizeof(struct map_chunk);
    size_t futures_size = chunk_count * sizeof(stook_future *);
    struct map_chunk *chunks = stook__allocate(allocator, chunks_size);
    stook_future **futures = stook__allocate(allocator, futures_size);
    if (chunks && futures) {
        chunks_init(chunks, &map, count, chunk_count);
        status = stook_executor_submit_many(executor, NULL, run_chunk, chunks, chunk_count,
                                            sizeof *chunks, futures);
        if (status == STOOK_OK) {
            status = collect(&map, chunks, futures, chunk_count, count, ret_error);
        }
    }
    stook__deallocate(allocator, futures, futures_size);
    stook__deallocate(allocator, chunks, chunks_size);
    return status;
}
