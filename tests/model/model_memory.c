/* SPDX-License-Identifier: MIT
 *
 * The memory of the code under test, which is compiled with -fsanitize=thread and calls these
 * functions in place of the sanitizer's: what an atomic operation reads and orders, and whether two
 * plain accesses race. An operational form of RC11 (Lahav and others, PLDI 2017), with views as in
 * "A promising semantics" (Kang and others, POPL 2017): README.md.
 */
#define _GNU_SOURCE
#include "explorer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ARENA = 1 << 23, HASH = 1024, MESSAGES = 16384, GAP = 32 };

struct message {
    uint64_t value;
    struct message *older;
    struct view *view; /* what those come to see who acquire from it */
    bool is_change;    /* a read-modify-write: nothing comes between it and the older one */
    uint16_t number;   /* in the order of modification, with gaps */
    unsigned step;     /* that wrote it */
};

/* An atomic object. */
struct place {
    const void *address;
    struct message *newest;
    size_t size;
};

static struct place places[MODEL_PLACES];
static unsigned place_count;
static struct {
    unsigned long execution;
    unsigned place;
} hash[HASH];
static struct message *messages;
static struct view *views;
static unsigned message_count;
static struct view everyone; /* what sequentially consistent fences pass on */
static const struct view nothing;

struct region memory_arena;

/* --- views ------------------------------------------------------------------------------------ */

static void join_oldest(struct view *into, const struct view *from)
{
    for (unsigned i = 0; i < place_count; i++) {
        into->oldest[i] = into->oldest[i] > from->oldest[i] ? into->oldest[i] : from->oldest[i];
    }
}

void memory_join(struct view *into, const struct view *from)
{
    for (unsigned i = 0; i < MODEL_THREADS; i++) {
        into->epoch[i] = into->epoch[i] > from->epoch[i] ? into->epoch[i] : from->epoch[i];
    }
    join_oldest(into, from);
}

static void copy_view(struct view *to, const struct view *from)
{
    memcpy(to->epoch, from->epoch, sizeof to->epoch);
    memcpy(to->oldest, from->oldest, place_count * sizeof to->oldest[0]);
    memset(to->oldest + place_count, 0, (MODEL_PLACES - place_count) * sizeof to->oldest[0]);
}

void memory_release(struct view *ret_view)
{
    copy_view(ret_view, &explorer_self()->view);
    explorer_self()->view.epoch[explorer_current]++;
}

void memory_thread_starts(unsigned thread, unsigned creator)
{
    struct view *view = &explorer_threads[thread].view;

    if (thread != creator) {
        copy_view(view, &explorer_threads[creator].view);
        explorer_threads[creator].view.epoch[creator]++;
    }
    view->epoch[thread] = 1;
}

/* --- places ----------------------------------------------------------------------------------- */

static uint64_t read_raw(const void *address, size_t size)
{
    uint64_t value = 0;
    memcpy(&value, address, size);
    return value;
}

/* Before `newer`; NULL: as the newest. */
static struct message *add_message(struct place *place, uint64_t value, const struct view *view,
                                   struct message *newer)
{
    struct message *older = newer ? newer->older : place->newest;

    if (message_count == MESSAGES) {
        model_fail("too many messages");
    }
    struct message *message = &messages[message_count];
    *message = (struct message){.value = value, .older = older, .step = explorer_step()};
    message->number = older ? (uint16_t)(older->number + GAP) : 0;
    if (newer) {
        message->number = (uint16_t)((older->number + newer->number) / 2);
        newer->older = message;
    } else {
        place->newest = message;
    }
    if (older && message->number <= older->number) {
        model_fail("too many messages to one place");
    }
    message->view = &views[message_count++];
    copy_view(message->view, view);
    message->view->oldest[place - places] = message->number;
    return message;
}

static unsigned slot_of(const void *address)
{
    uintptr_t number = (uintptr_t)address;
    unsigned slot = (unsigned)((number ^ number >> 12) * 0x9e3779b1U >> 7) % HASH;

    while (hash[slot].execution == explorer_number && places[hash[slot].place].address != address) {
        slot = (slot + 1) % HASH;
    }
    return slot;
}

static struct place *place_at(const void *address, size_t size)
{
    unsigned slot = slot_of(address);

    if (hash[slot].execution != explorer_number) {
        if (place_count == MODEL_PLACES) {
            model_fail("too many atomic objects");
        }
        hash[slot].execution = explorer_number;
        hash[slot].place = place_count;
        places[place_count++] = (struct place){.address = address, .size = size};
        add_message(&places[place_count - 1], read_raw(address, size), &nothing, NULL);
    }
    return &places[hash[slot].place];
}

static unsigned index_of(const struct place *place)
{
    return (unsigned)(place - places);
}

/* --- plain accesses: each byte knows who has written and read it ------------------------------ */

struct cell {
    uint16_t written; /* in which epoch, by whom */
    uint8_t writer;
    uint8_t is_freed;
    uint16_t read[MODEL_THREADS];
};

enum { LINE = 64 };

struct line {
    unsigned long execution;
    bool is_freed; /* all of it, before anything in it was touched */
    struct cell cells[LINE];
};

extern char __data_start[];
extern char _end[];
extern char __start_model_tls[] __attribute__((weak));
extern char __stop_model_tls[] __attribute__((weak));
static struct line *arena_lines;
static struct line *data_lines;

static struct line *line_of(const char *byte)
{

    if (byte >= memory_arena.begin && byte < memory_arena.end) {
        return &arena_lines[(byte - memory_arena.begin) / LINE];
    }
    if (byte >= __data_start && byte < _end &&
        !(byte >= __start_model_tls && byte < __stop_model_tls)) {
        return &data_lines[((uintptr_t)byte - ((uintptr_t)__data_start & ~(uintptr_t)(LINE - 1))) /
                           LINE];
    }
    return NULL;
}

static struct cell *cell_of(const char *byte)
{
    struct line *line = line_of(byte);

    if (!line) {
        return NULL;
    }
    if (line->execution != explorer_number) {
        memset(line, 0, sizeof *line);
        line->execution = explorer_number;
    } else if (line->is_freed) {
        memset(line->cells, 1, sizeof line->cells);
    }
    return &line->cells[(uintptr_t)byte % LINE];
}

static void race(const char *what, const void *address, void *caller)
{
    static char text[100];

    snprintf(text, sizeof text, "%s at %p", what, address);
    explorer_self()->pending =
        (struct op){.what = "accesses", .address = address, .caller = caller};
    model_fail(text);
}

/* An atomic access counts as a read here: it must not race with plain writes, nor with the end of
 * the memory. */
void memory_touch(const void *address, size_t size, bool is_write, void *caller)
{
    const uint16_t *known = explorer_self()->view.epoch;

    for (size_t i = 0; i < size; i++) {
        const char *byte = (const char *)address + i;
        struct cell *cell = explorer_runs ? cell_of(byte) : NULL;
        if (!cell) {
            return;
        }
        if (cell->is_freed) {
            race("freed memory is used", byte, caller);
        }
        if (cell->written > known[cell->writer]) {
            race("a data race with a write", byte, caller);
        }
        if (!is_write) {
            cell->read[explorer_current] = known[explorer_current];
            continue;
        }
        for (unsigned k = 0; k < explorer_count; k++) {
            if (cell->read[k] > known[k]) {
                race("a data race of a write with a read", byte, caller);
            }
        }
        cell->written = known[explorer_current];
        cell->writer = (uint8_t)explorer_current;
    }
}

void memory_free(void *memory, size_t size, void *caller)
{
    const char *end = (char *)memory + size;

    for (const char *byte = memory; byte < end;) {
        struct line *line = line_of(byte);
        if ((uintptr_t)byte % LINE == 0 && end - byte >= LINE &&
            line->execution != explorer_number) {
            line->execution = explorer_number;
            line->is_freed = true;
            byte += LINE;
        } else {
            memory_touch(byte, 1, true, caller);
            cell_of(byte)->is_freed = true;
            byte++;
        }
    }
}

void memory_reset(void)
{
    if (!memory_arena.begin) {
        size_t data = (size_t)(_end - __data_start) + 2 * (size_t)LINE;
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        /* Always at the same address, so that all runs are the same. */
        memory_arena.begin = mmap((void *)(uintptr_t)0x100000000000, ARENA, PROT_READ | PROT_WRITE,
                                  flags | MAP_FIXED_NOREPLACE, -1, 0);
        memory_arena.end = memory_arena.begin + ARENA;
        arena_lines =
            mmap(NULL, ARENA / LINE * sizeof(struct line), PROT_READ | PROT_WRITE, flags, -1, 0);
        data_lines = mmap(NULL, data / LINE * sizeof(struct line) + sizeof(struct line),
                          PROT_READ | PROT_WRITE, flags, -1, 0);
        messages = mmap(NULL, MESSAGES * sizeof *messages, PROT_READ | PROT_WRITE, flags, -1, 0);
        views = mmap(NULL, MESSAGES * sizeof *views, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (memory_arena.begin == MAP_FAILED || arena_lines == MAP_FAILED ||
            data_lines == MAP_FAILED || messages == MAP_FAILED || views == MAP_FAILED) {
            perror("memory");
            exit(2);
        }
    }
    place_count = 0;
    message_count = 0;
    everyone = nothing;
}

/* --- atomic operations ------------------------------------------------------------------------ */

static bool acquires(int order)
{
    return order == __ATOMIC_ACQUIRE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST ||
           order == __ATOMIC_CONSUME;
}

static bool releases(int order)
{
    return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

/* May the operation pass by the newest message? Not where it does so anyway in the execution in
 * which it comes first. */
static bool may_pass(const struct message *newest)
{
    return explorer_stale_left > 0 && !explorer_could_precede(newest->step);
}

static void note_look(const struct place *place)
{
    struct thread *self = explorer_self();
    self->looked[self->look_count++ % (sizeof self->looked / sizeof self->looked[0])] =
        (int)index_of(place);
}

static void see(const struct place *place, const struct message *message, int order)
{
    struct thread *self = explorer_self();

    self->view.oldest[index_of(place)] = message->number;
    memory_join(&self->acquired, message->view);
    if (acquires(order)) {
        memory_join(&self->view, message->view);
    }
}

/* The oldest message that an operation may come behind. */
static unsigned oldest_for(const struct place *place, int order)
{
    unsigned oldest = explorer_self()->view.oldest[index_of(place)];
    unsigned of_all = everyone.oldest[index_of(place)];

    return order == __ATOMIC_SEQ_CST && oldest < of_all ? of_all : oldest;
}

uint64_t memory_load(const void *address, size_t size, int order, void *caller)
{
    explorer_point(OP_LOAD, order == __ATOMIC_SEQ_CST, address, "load", caller);
    memory_touch(address, size, false, caller);
    struct place *place = place_at(address, size);
    unsigned oldest = oldest_for(place, order);
    struct message *message = place->newest;
    unsigned count = 1;

    for (const struct message *older = message->older;
         may_pass(message) && older && older->number >= oldest; older = older->older) {
        count++;
    }
    unsigned stale = explorer_choose(count);
    explorer_stale_left -= stale > 0;
    while (stale-- > 0) {
        message = message->older;
    }
    note_look(place);
    see(place, message, order);
    return message->value;
}

enum { MOST_CANDIDATES = 64 };

/* The message of somebody else before which a write comes that does not know of it; NULL: none. */
static struct message *choose_newer(struct place *place, int order)
{
    unsigned oldest = oldest_for(place, order);
    struct message *candidates[MOST_CANDIDATES] = {NULL};
    unsigned count = 1;

    for (struct message *message = place->newest;
         may_pass(place->newest) && message->older && count < MOST_CANDIDATES &&
         message->number > oldest;
         message = message->older) {
        if (!message->is_change) {
            candidates[count++] = message;
        }
    }
    unsigned choice = explorer_choose(count);
    explorer_stale_left -= choice > 0;
    return candidates[choice];
}

/* A message of the calling thread, before `newer` or as the newest; replaced: what a
 * read-modify-write has found. */
static void add_write(struct place *place, uint64_t value, int order, struct message *newer,
                      const struct message *replaced)
{
    struct thread *self = explorer_self();
    unsigned index = index_of(place);
    struct message *message =
        add_message(place, value, releases(order) ? &self->view : &self->released, newer);

    if (replaced) { /* continues a release sequence */
        memory_join(message->view, replaced->view);
        message->view->oldest[index] = message->number;
        message->is_change = true;
    }
    self->view.oldest[index] = message->number;
    if (releases(order)) {
        self->view.epoch[explorer_current]++;
    }
    if (order == __ATOMIC_SEQ_CST) {
        everyone.oldest[index] = message->number;
    }
    if (!newer) {
        memcpy((void *)(uintptr_t)place->address, &value, place->size);
    }
    self->writes++;
    explorer_writes++;
}

void memory_store(void *address, size_t size, uint64_t value, int order, void *caller)
{
    explorer_point(OP_WRITE, order == __ATOMIC_SEQ_CST, address, "store", caller);
    memory_touch(address, size, false, caller);
    struct place *place = place_at(address, size);
    add_write(place, value, order, choose_newer(place, order), NULL);
}

static uint64_t mask_of(size_t size)
{
    return UINT64_MAX >> (64 - 8 * size);
}

uint64_t memory_change(void *address, size_t size, enum change change, uint64_t operand, int order,
                       void *caller)
{
    explorer_point(OP_WRITE, order == __ATOMIC_SEQ_CST, address, "change", caller);
    memory_touch(address, size, false, caller);
    struct place *place = place_at(address, size);
    struct message *newer = choose_newer(place, order);
    const struct message *found = newer ? newer->older : place->newest;
    uint64_t old = found->value;
    const uint64_t values[] = {old + operand, old - operand, old & operand,
                               old | operand, old ^ operand, operand};

    see(place, found, order);
    add_write(place, values[change] & mask_of(size), order, newer, found);
    return old;
}

/* Strong: fails only if what it reads is something else, which may be old. */
bool memory_swap(void *address, size_t size, uint64_t *expected, uint64_t value, int order,
                 int failed_order, void *caller)
{
    explorer_point(OP_WRITE, order == __ATOMIC_SEQ_CST, address, "swap", caller);
    memory_touch(address, size, false, caller);
    struct place *place = place_at(address, size);
    unsigned oldest = oldest_for(place, order);
    struct message *candidates[MOST_CANDIDATES];
    struct message *newer[MOST_CANDIDATES] = {NULL};
    unsigned count = 0;

    for (struct message *message = place->newest, *next = NULL;
         count == 0 || (may_pass(place->newest) && message && message->number >= oldest &&
                        count < MOST_CANDIDATES);
         next = message, message = message->older) {
        if (message->value != *expected || !next || !next->is_change) {
            candidates[count] = message;
            newer[count++] = next;
        }
    }
    unsigned choice = explorer_choose(count);
    const struct message *found = candidates[choice];
    explorer_stale_left -= choice > 0;
    if (found->value != *expected) {
        note_look(place);
        see(place, found, failed_order);
        *expected = found->value;
        return false;
    }
    see(place, found, order);
    add_write(place, value, order, newer[choice], found);
    return true;
}

static void fence(struct thread *thread, struct view *to, const struct view *from)
{
    memory_join(&thread->view, &thread->acquired);
    join_oldest(to, &thread->view);
    join_oldest(&thread->view, from);
}

void memory_fence(int order, void *caller)
{
    struct thread *self = explorer_self();
    bool sc = order == __ATOMIC_SEQ_CST;

    if (sc) {
        explorer_point(OP_FENCE, true, NULL, "fence", caller);
        fence(self, &everyone, &everyone);
    } else if (acquires(order)) {
        memory_join(&self->view, &self->acquired);
    }
    if (releases(order)) {
        memory_release(&self->released);
    }
}

/* Each of the others passes a fence at this moment, which orders it with the caller, but not with
 * the others. */
void memory_fence_all(void)
{
    struct view before;
    struct view after;

    fence(explorer_self(), &everyone, &everyone);
    before = after = everyone;
    for (unsigned i = 0; i < explorer_count; i++) {
        if (i != explorer_current) {
            fence(&explorer_threads[i], &after, &before);
        }
    }
    everyone = after;
    join_oldest(&explorer_self()->view, &everyone);
    memory_release(&explorer_self()->released);
}

/* What a thread looks at again and again it sees at last. True: it is not what it has seen. */
bool memory_yielded(void)
{
    struct thread *self = explorer_self();
    unsigned most = sizeof self->looked / sizeof self->looked[0];
    bool is_new = false;

    for (unsigned i = 0; i < self->look_count && i < most; i++) {
        int place = self->looked[i];
        is_new |= self->view.oldest[place] != places[place].newest->number;
        self->view.oldest[place] = places[place].newest->number;
    }
    self->look_count = 0;
    return is_new;
}

uint32_t memory_newest_u32(const void *address)
{
    struct place *place = place_at(address, sizeof(uint32_t));
    explorer_self()->view.oldest[index_of(place)] = place->newest->number;
    return (uint32_t)place->newest->value;
}
