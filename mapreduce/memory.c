/* SPDX-License-Identifier: MIT
 *
 * Small blocks come from malloc. Large ones come from the system, begin at a huge page, and ask for
 * huge ones, which saves most misses of the TLB; and they go back at once. Those between share
 * regions of one huge page, which are cut into leaves: a block is a run of them, and a word of a
 * bit for each tells which are free, so that neighbours that have become free are one again without
 * more ado.
 */
#define _GNU_SOURCE /* for MAP_ANONYMOUS, madvise(), mremap() */
#include "memory.h"
#include <assert.h>
#include <stdlib.h>
#include <stook/clock.h>
#include <string.h>
#include <sys/mman.h>
#if defined __linux__
#include <sys/random.h>
#endif

enum { LEAVES = (int)(MR_HUGE / MR_LEAF), MOST_SPARES = 32 };

static_assert(LEAVES == 64, "one word tells which are free");

struct mr__region {
    struct mr__region *next;
    uint64_t free; /* a bit for each leaf */
    char *memory;  /* MR_HUGE bytes */
};

/* From the system; if it has none to give, from what is at least hard to know. */
static void make_secret(struct mr__budget *budget)
{
#if defined __linux__
    if (getrandom(budget->secret, sizeof budget->secret, GRND_NONBLOCK) ==
        (ssize_t)sizeof budget->secret) {
        return;
    }
#endif
    budget->secret[0] = (uint64_t)stook_now_ns();
    budget->secret[1] = (uintptr_t)budget;
}

bool mr__budget_init(struct mr__budget *budget, uint64_t limit, unsigned sharers)
{
    budget->limit = limit;
    budget->sharers = sharers;
    make_secret(budget);
    budget->regions = NULL;
    budget->spare = NULL;
    budget->spares = 0;
    atomic_init(&budget->used, 0);
    atomic_init(&budget->peak, 0);
    return mtx_init(&budget->mutex, mtx_plain) == thrd_success;
}

void mr__budget_fini(struct mr__budget *budget)
{
    while (budget->spare) {
        struct mr__region *region = budget->spare;
        budget->spare = region->next;
        munmap(region->memory, MR_HUGE);
        free(region);
    }
    mtx_destroy(&budget->mutex);
}

static void count(struct mr__budget *budget, size_t size)
{
    /* order MR.take rlx: a number */
    uint64_t used = mr_a_add_rlx(&budget->used, size) + size;
    /* order MR.peak rlx: a number */
    uint64_t peak = mr_a_load_rlx(&budget->peak);

    /* order MR.raise rlx: a number */
    while (used > peak && !mr_a_cas_rlx(&budget->peak, &peak, used)) {
    }
}

static size_t rounded(size_t size)
{
    return (size + MR_HUGE - 1) & ~(MR_HUGE - 1);
}

static void *map_huge(size_t size)
{
    size_t space = rounded(size) + MR_HUGE;

    if (size > SIZE_MAX / 4) {
        return NULL;
    }
    char *mapped = mmap(NULL, space, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        return NULL;
    }
    size_t before = (size_t)(-(uintptr_t)mapped & (MR_HUGE - 1));
    if (before > 0) {
        munmap(mapped, before);
    }
    munmap(mapped + before + rounded(size), MR_HUGE - before);
#ifdef MADV_HUGEPAGE
    madvise(mapped + before, rounded(size), MADV_HUGEPAGE);
#endif
    return mapped + before; /* cppcheck-suppress deallocret; only what is around it was unmapped */
}

/* --- regions ---------------------------------------------------------------------------------- */

static unsigned leaves_of(size_t size)
{
    return (unsigned)((size + MR_LEAF - 1) / MR_LEAF);
}

static uint64_t run_at(unsigned leaf, unsigned leaves)
{
    return (UINT64_MAX >> (64 - leaves)) << leaf;
}

/* The first run of free leaves; LEAVES: there is none. It is aligned by what divides it: so powers of
 * two do not break into one another. */
static unsigned find_run(uint64_t free, unsigned leaves)
{
    const unsigned step = leaves & (0U - leaves);

    for (unsigned leaf = 0; leaf + leaves <= LEAVES; leaf += step) {
        if ((free & run_at(leaf, leaves)) == run_at(leaf, leaves)) {
            return leaf;
        }
    }
    return LEAVES;
}

/* A region that is spare, or a new one. */
static struct mr__region *obtain_region(struct mr__budget *budget)
{
    struct mr__region *region = budget->spare;

    if (region) {
        budget->spare = region->next;
        budget->spares--;
        return region;
    }
    region = malloc(sizeof *region);
    char *memory = region ? map_huge(MR_HUGE) : NULL;
    if (!memory) {
        free(region);
        return NULL;
    }
    *region = (struct mr__region){.free = UINT64_MAX, .memory = memory};
    return region;
}

/* Keeps a region whose leaves are free: pages that have been touched are worth more than those that
 * the system has. With a limit they all go back. */
static void leave_region(struct mr__budget *budget, struct mr__region *region)
{
    if (budget->limit == 0 && budget->spares < MOST_SPARES) {
        region->next = budget->spare;
        budget->spare = region;
        budget->spares++;
        return;
    }
    munmap(region->memory, MR_HUGE);
    free(region);
}

static void *take_leaves(struct mr__budget *budget, unsigned leaves)
{
    struct mr__region **link = &budget->regions;
    unsigned leaf = 0;

    while (*link && (leaf = find_run((*link)->free, leaves)) == LEAVES) {
        link = &(*link)->next;
    }
    struct mr__region *region = *link;
    if (!region) { /* behind the others: these are filled first, so that the last ones may go */
        region = obtain_region(budget);
        if (!region) {
            return NULL;
        }
        region->next = NULL;
        *link = region;
        leaf = 0;
    }
    region->free &= ~run_at(leaf, leaves);
    return region->memory + leaf * MR_LEAF;
}

static void give_leaves(struct mr__budget *budget, char *memory, unsigned leaves)
{
    struct mr__region **link = &budget->regions;
    uintptr_t begin = (uintptr_t)memory & ~(uintptr_t)(MR_HUGE - 1);

    while ((uintptr_t)(*link)->memory != begin) {
        link = &(*link)->next;
    }
    struct mr__region *region = *link;
    region->free |= run_at((unsigned)((uintptr_t)memory - begin) / (unsigned)MR_LEAF, leaves);
    if (region->free == UINT64_MAX) {
        *link = region->next;
        leave_region(budget, region);
    }
}

/* The memory of a spare region; NULL: there is none. */
static void *take_spare(struct mr__budget *budget)
{
    void *memory = NULL;

    mtx_lock(&budget->mutex);
    struct mr__region *region = budget->spare;
    if (region) {
        budget->spare = region->next;
        budget->spares--;
        memory = region->memory;
        free(region);
    }
    mtx_unlock(&budget->mutex);
    return memory;
}

/* --- growing ---------------------------------------------------------------------------------- */

void *mr__extend(struct mr__budget *budget, void *memory, size_t size, size_t new_size)
{
    void *extended = NULL;

#if defined MREMAP_MAYMOVE && defined MREMAP_FIXED
    if (size >= MR_HUGE && size == rounded(size)) {
        extended = map_huge(new_size);
    }
    /* The old pages go where the first of the new ones are: nothing is copied or cleared. */
    if (extended &&
        mremap(memory, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, extended) == MAP_FAILED) {
        munmap(extended, rounded(new_size));
        extended = NULL;
    }
#else
    (void)memory;
    (void)new_size;
#endif
    if (extended) {
        count(budget, new_size - size);
    }
    return extended;
}

/* --- blocks ----------------------------------------------------------------------------------- */

void *mr__allocate(struct mr__budget *budget, size_t size)
{
    void *memory;

    if (size < MR_LEAF) {
        memory = malloc(size);
    } else if (size == MR_HUGE) {
        memory = take_spare(budget);
        memory = memory ? memset(memory, 0, size) : map_huge(size);
    } else if (size > MR_HUGE) {
        memory = map_huge(size);
    } else {
        mtx_lock(&budget->mutex);
        memory = take_leaves(budget, leaves_of(size));
        mtx_unlock(&budget->mutex);
    }
    if (memory) {
        count(budget, size);
    }
    return memory;
}

void mr__deallocate(struct mr__budget *budget, void *memory, size_t size)
{
    if (!memory) {
        return;
    }
    /* order MR.give rlx: a number */
    mr_a_sub_rlx(&budget->used, size);
    if (size < MR_LEAF) {
        free(memory);
    } else if (size >= MR_HUGE) {
        munmap(memory, rounded(size));
    } else {
        mtx_lock(&budget->mutex);
        give_leaves(budget, memory, leaves_of(size));
        mtx_unlock(&budget->mutex);
    }
}

void *mr__reallocate(struct mr__budget *budget, void *memory, size_t size, size_t used,
                     size_t new_size)
{
    void *other = mr__allocate(budget, new_size);

    if (other && used > 0) {
        memcpy(other, memory, used);
    }
    if (other) {
        mr__deallocate(budget, memory, size);
    }
    return other;
}
