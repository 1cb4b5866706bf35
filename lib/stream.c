/* SPDX-License-Identifier: MIT
 *
 * The ordered map over an input of any length; built on submit, wait and cancel alone.
 *
 * Two rings that are made once: a slot for each of `look_ahead` items, and the chunks in flight. A
 * chunk is a run of slots that one task works on. A slot belongs to the stream's user, but for the
 * time from the submit of its chunk until that chunk's future is terminal, when it belongs to the
 * task. So nothing is shared, and nothing here is atomic.
 *
 * Invariant: while the input goes on (`end` is STOOK_OK), at least one chunk is in flight between
 * calls, since a chunk is never larger than the ring; or late.
 */
#include <stook/stream.h>
#include <stdint.h>
#include "allocate.h"
#include "checks.h"
#include "fork.h"

enum { ITEMS_PER_WORKER = 64 };

/* An automatic chunk leaves so many in flight for each worker, beside the one that is handed out.
 */
enum { CHUNKS_PER_WORKER = 2 };

/* The length of an automatic chunk, its input included: one that is SHORT doubles, one that is LONG
 * shrinks to what is RIGHT. Handing a chunk over costs a microsecond, and up to ten with a wake-up.
 */
enum { SHORT_NS = 50 * 1000, RIGHT_NS = 100 * 1000, LONG_NS = 200 * 1000 };

struct slot {
    void *pointer; /* the item; what fn stored, when it has been called */
    int code;
    bool is_done; /* fn has been called */
};

struct chunk {
    stook_stream *stream;
    stook_future *future; /* NULL: seen terminal */
    size_t first;         /* slot */
    size_t count;
    int64_t length_ns; /* fetching the items, and, by the task, working on them */
};

struct stook_stream {
    unsigned generation; /* fork.h */
    stook_executor *executor;
    stook_input_fn *input;
    void *input_data;
    stook_task_fn *fn;
    void (*destroy)(void *value);
    struct stook_submit_options submit;
    bool is_automatic;
    size_t chunk_size; /* of the next chunk */

    struct slot *slots;
    size_t look_ahead; /* slots */
    size_t next_slot;  /* whose result is handed out next */
    size_t used_slots;

    struct chunk *chunks;
    size_t max_chunks;
    size_t next_chunk; /* that of next_slot */
    size_t used_chunks;
    bool is_late; /* the last of them has not been submitted: a callback could not wait for room */

    enum stook_status end; /* what comes after the used slots; STOOK_OK: more of the input */
};

/* --- in a task ----------------------------------------------------------------------------------
 */

static int64_t now_if_measured(const stook_stream *stream)
{
    return stream->is_automatic ? stook_now_ns() : 0;
}

/* Fails with the first code that an item fails with: its scope treats it as it would the item. */
static int run_chunk(void *arg, void **ret_value)
{
    struct chunk *chunk = arg;
    const stook_stream *stream = chunk->stream;
    int64_t begin_ns = now_if_measured(stream);
    stook_task_fn *fn = stream->fn;
    struct slot *const slots = stream->slots;
    struct slot *const end = slots + stream->look_ahead;
    struct slot *slot = &slots[chunk->first];
    int code = 0;
    (void)ret_value;

    for (size_t i = 0; i < chunk->count && !stook_task_cancel_requested(); i++) {
        void *value = NULL;
        slot->code = fn(slot->pointer, &value);
        if (stook__forked(stream->generation)) {
            return 0; /* the item has forked: in the child, too, it ends its thread */
        }
        slot->pointer = value;
        slot->is_done = true;
        code = code ? code : slot->code;
        slot = slot + 1 == end ? slots : slot + 1;
    }
    chunk->length_ns += now_if_measured(stream) - begin_ns;
    return code;
}

/* --- filling ------------------------------------------------------------------------------------
 */

/* The place `distance` behind `place` in a ring of `size`. */
static size_t ring_place(size_t place, size_t distance, size_t size)
{
    return distance < size - place ? place + distance : distance - (size - place);
}

static struct chunk *chunk_at(const stook_stream *stream, size_t distance)
{
    return &stream->chunks[ring_place(stream->next_chunk, distance, stream->max_chunks)];
}

static struct slot *slot_at(const stook_stream *stream, size_t distance)
{
    return &stream->slots[ring_place(stream->next_slot, distance, stream->look_ahead)];
}

/* Fetches up to a chunk of items into free slots. */
static size_t fetch(stook_stream *stream)
{
    size_t count = 0;

    for (; count < stream->chunk_size; count++) {
        void *item = NULL;
        if (!stream->input(stream->input_data, &item)) {
            stream->end = STOOK_END;
            break;
        }
        *slot_at(stream, stream->used_slots + count) = (struct slot){.pointer = item};
    }
    return count;
}

/* Submits the last chunk; the stream ends before it if it is refused. */
static void submit_last(stook_stream *stream)
{
    struct chunk *chunk = chunk_at(stream, stream->used_chunks - 1);
    enum stook_status status = stook_executor_submit_with(stream->executor, &stream->submit,
                                                          run_chunk, chunk, &chunk->future);

    stream->is_late = status == STOOK_DEADLOCK;
    if (status != STOOK_OK && !stream->is_late) {
        stream->end = status;
        stream->used_slots -= chunk->count;
        stream->used_chunks--;
    }
}

static void start_chunk(stook_stream *stream)
{
    struct chunk *chunk = chunk_at(stream, stream->used_chunks);
    int64_t begin_ns = now_if_measured(stream);
    size_t count = fetch(stream);

    if (count == 0) {
        return;
    }
    *chunk = (struct chunk){
        .stream = stream,
        .first = ring_place(stream->next_slot, stream->used_slots, stream->look_ahead),
        .count = count,
        .length_ns = now_if_measured(stream) - begin_ns,
    };
    stream->used_slots += count;
    stream->used_chunks++;
    submit_last(stream);
}

static void refill(stook_stream *stream)
{
    if (stream->is_late) {
        submit_last(stream);
    }
    while (!stream->is_late && stream->end == STOOK_OK &&
           stream->look_ahead - stream->used_slots >= stream->chunk_size) {
        start_chunk(stream);
    }
}

static size_t largest_chunk(const stook_stream *stream)
{
    size_t most = (size_t)stook_executor_worker_count(stream->executor) * CHUNKS_PER_WORKER + 1;
    return stream->look_ahead > most ? stream->look_ahead / most : 1;
}

/* Learns from a chunk that ran how large the next ones should be. */
static void adapt(stook_stream *stream, const struct chunk *chunk)
{
    size_t size = stream->chunk_size;
    size_t largest = largest_chunk(stream);

    if (chunk->length_ns > LONG_NS) {
        size_t right = (size_t)((int64_t)chunk->count * RIGHT_NS / chunk->length_ns);
        size = right < size ? right : size;
    } else if (chunk->length_ns < SHORT_NS && chunk->count >= size) {
        size *= 2;
    }
    size = size < largest ? size : largest;
    stream->chunk_size = size > 0 ? size : 1;
}

/* --- the public functions -----------------------------------------------------------------------
 */

/* What a stream cannot do with; the rest is for submit to say. */
static bool submit_is_valid(const struct stook_submit_options *submit)
{
    return submit->struct_size == sizeof *submit && submit->start_ns == 0 && submit->period_ns == 0;
}

static bool options_are_valid(const struct stook_stream_options *options)
{
    return options && options->struct_size == sizeof *options && options->input && options->fn &&
           (!options->submit || submit_is_valid(options->submit));
}

static bool rings_create(stook_stream *stream)
{
    if (stream->look_ahead > SIZE_MAX / sizeof *stream->chunks - 2) {
        return false;
    }
    const struct stook_allocator *allocator = stook__executor_allocator(stream->executor);
    /* Two chunks may be incomplete: the one that is handed out, and the last of the input. */
    stream->max_chunks = stream->look_ahead / stream->chunk_size + 2;
    stream->chunks = stook__allocate(allocator, stream->max_chunks * sizeof *stream->chunks);
    stream->slots = stook__allocate(allocator, stream->look_ahead * sizeof *stream->slots);
    return stream->chunks && stream->slots; /* else destroy frees the other */
}

enum stook_status stook_stream_create(stook_executor *executor,
                                      const struct stook_stream_options *options,
                                      stook_stream **ret_stream)
{
    if (!executor || !ret_stream || !options_are_valid(options)) {
        return STOOK_INVALID;
    }
    struct stook_submit_options submit = STOOK_SUBMIT_OPTIONS_INIT;
    if (options->submit) {
        submit = *options->submit;
        submit.when_full = STOOK_WHEN_FULL_BLOCK;
        submit.full_deadline_ns = STOOK_FOREVER;
    }
    /* What submit would refuse is refused before an item is fetched; and there may be none. */
    enum stook_status status =
        stook_executor_submit_many(executor, &submit, run_chunk, NULL, 0, 0, NULL);
    if (status != STOOK_OK) {
        return status;
    }
    size_t look_ahead = options->look_ahead;
    if (look_ahead == 0) {
        look_ahead = (size_t)stook_executor_worker_count(executor) * ITEMS_PER_WORKER;
    }
    if (options->chunk > look_ahead) {
        return STOOK_INVALID;
    }
    stook_stream *stream = stook__allocate(stook__executor_allocator(executor), sizeof *stream);
    if (!stream) {
        return STOOK_NOMEM;
    }
    *stream = (stook_stream){
        .generation = stook__fork_generation(),
        .executor = executor,
        .input = options->input,
        .input_data = options->input_data,
        .fn = options->fn,
        .destroy = options->destroy,
        .submit = submit,
        .is_automatic = options->chunk == 0,
        .chunk_size = options->chunk ? options->chunk : 1,
        .look_ahead = look_ahead,
        .end = STOOK_NOMEM,
    };
    if (rings_create(stream)) {
        stream->end = STOOK_OK;
        refill(stream);
    }
    bool is_refused = stream->is_late && stream->used_chunks == 1;
    if (is_refused || (stream->used_slots == 0 && stream->end != STOOK_END)) {
        status = is_refused ? STOOK_DEADLOCK : stream->end;
        stook_stream_destroy(stream);
        return status;
    }
    *ret_stream = stream;
    return STOOK_OK;
}

/* What became of the item in the slot. */
static enum stook_status hand_out(const stook_stream *stream, const struct slot *slot,
                                  void **ret_value, int *ret_code)
{
    if (!slot->is_done) {
        return STOOK_CANCELLED;
    }
    if (ret_value) {
        *ret_value = slot->pointer;
    } else if (slot->pointer && stream->destroy) {
        stream->destroy(slot->pointer);
    }
    if (ret_code) {
        *ret_code = slot->code;
    }
    return slot->code == 0 ? STOOK_OK : STOOK_TASK_FAILED;
}

static void finish_chunk(stook_stream *stream, struct chunk *chunk)
{
    if (stream->is_automatic && stook_future_state(chunk->future) != STOOK_STATE_CANCELLED) {
        adapt(stream, chunk);
    }
    stook_future_release(chunk->future);
    chunk->future = NULL;
}

enum stook_status stook_stream_next(stook_stream *stream, int64_t deadline_ns, void **ret_value,
                                    int *ret_code)
{
    if (!stream) {
        return STOOK_INVALID;
    }
    if (stream->is_late && stream->used_chunks == 1) {
        submit_last(stream);
        if (stream->is_late) {
            return STOOK_DEADLOCK;
        }
    }
    if (stream->used_slots == 0) {
        return stream->end;
    }
    struct chunk *chunk = chunk_at(stream, 0);
    if (chunk->future) {
        enum stook_status status = stook_future_wait_until(chunk->future, deadline_ns);
        if (status != STOOK_OK) {
            return status;
        }
        finish_chunk(stream, chunk);
    }
    enum stook_status status = hand_out(stream, slot_at(stream, 0), ret_value, ret_code);
    stream->next_slot = ring_place(stream->next_slot, 1, stream->look_ahead);
    stream->used_slots--;
    if (--chunk->count == 0) {
        stream->next_chunk = ring_place(stream->next_chunk, 1, stream->max_chunks);
        stream->used_chunks--;
    }
    refill(stream);
    return status;
}

/* Waits for the tasks. False: this is the child of a fork, where the slots of those that ran are as
 * they were then. */
static bool end_tasks(stook_stream *stream)
{
    bool is_ended = true;

    for (size_t i = stream->used_chunks; i > 0; i--) {
        stook_future_cancel(chunk_at(stream, i - 1)->future);
    }
    for (size_t i = 0; i < stream->used_chunks; i++) {
        stook_future *future = chunk_at(stream, i)->future;
        enum stook_status status =
            future ? stook_future_wait_until(future, STOOK_FOREVER) : STOOK_OK;
        STOOK_CHECK_API(status != STOOK_DEADLOCK,
                        "stook_stream_destroy() called in a callback, or by what it waits for");
        is_ended = is_ended && status == STOOK_OK;
        stook_future_release(future);
    }
    return is_ended;
}

void stook_stream_destroy(stook_stream *stream)
{
    if (!stream) {
        return;
    }
    if (end_tasks(stream) && stream->destroy) {
        for (size_t i = 0; i < stream->used_slots; i++) {
            const struct slot *slot = slot_at(stream, i);
            if (slot->is_done && slot->pointer) {
                stream->destroy(slot->pointer);
            }
        }
    }
    const struct stook_allocator *allocator = stook__executor_allocator(stream->executor);
    stook__deallocate(allocator, stream->chunks, stream->max_chunks * sizeof *stream->chunks);
    stook__deallocate(allocator, stream->slots, stream->look_ahead * sizeof *stream->slots);
    stook__deallocate(allocator, stream, sizeof *stream);
}
