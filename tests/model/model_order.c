/* SPDX-License-Identifier: MIT
 *
 * Which orders make a difference: dynamic partial order reduction with source sets (Abdulla,
 * Aronis, Jonsson and Sagonas, POPL 2014). With a bound on preemptions, with the additional points
 * of Coons, Musuvathi and McKinley (OOPSLA 2013) instead.
 */
#include "model_order.h"
#include <string.h>

bool order_depend(const struct op *a, const struct op *b)
{
    if (a->kind == OP_SILENT || b->kind == OP_SILENT) {
        return false;
    }
    if (a->kind == OP_FENCE_ALL || b->kind == OP_FENCE_ALL || (a->sc && b->sc)) {
        return true;
    }
    return a->address == b->address && a->address && !(a->kind == OP_LOAD && b->kind == OP_LOAD);
}

void order_join(uint16_t into[], const uint16_t from[])
{
    for (unsigned i = 0; i < MODEL_THREADS; i++) {
        into[i] = into[i] > from[i] ? into[i] : from[i];
    }
}

static bool precedes(unsigned before, const uint16_t clock[])
{
    const struct step *step = &explorer_steps[before];
    return step->clock[step->thread] <= clock[step->thread];
}

/* The threads that could begin what came after step `race`, but not because of it, up to the last
 * step, whose clock without the race is given. */
static unsigned beginners(unsigned race, const uint16_t clock[])
{
    unsigned met = 0;
    unsigned set = 0;

    for (unsigned k = race + 1; k < explorer_length; k++) {
        bool is_last = k == explorer_length - 1;
        const uint16_t *own = is_last ? clock : explorer_steps[k].clock;
        if ((!is_last && precedes(race, own)) || (met & bit(explorer_steps[k].thread))) {
            continue;
        }
        met |= bit(explorer_steps[k].thread);
        bool is_first = true;
        for (unsigned j = race + 1; j < k && is_first; j++) {
            is_first = precedes(race, explorer_steps[j].clock) || !precedes(j, own);
        }
        set |= is_first ? bit(explorer_steps[k].thread) : 0;
    }
    return set;
}

static void add_backtrack(struct step *step, unsigned thread)
{
    step->backtrack |= step->enabled & bit(thread) ? bit(thread) : step->enabled;
}

static void reverse(unsigned race, unsigned thread, const uint16_t clock[])
{
    struct step *step = &explorer_steps[race];

    if (explorer_model->preemptions > 0) {
        add_backtrack(step, thread);
        while (race > 0 && explorer_steps[race - 1].thread == explorer_steps[race].thread) {
            race--;
        }
        add_backtrack(&explorer_steps[race], thread);
        return;
    }
    unsigned set = beginners(race, clock) & step->enabled;
    if (set == 0) {
        step->backtrack |= step->enabled;
    } else if (!(set & step->backtrack)) {
        step->backtrack |= set & bit(thread) ? bit(thread) : bit(lowest(set));
    }
}

/* The last step with each address, by a hash of it. */
static struct {
    const void *address;
    unsigned long execution;
    unsigned step;
} last_with[1024];
static unsigned last_fence;

void order_reset(void)
{
    last_fence = 0;
}

/* Links the last step to those before it that it may depend on. */
static void link_step(void)
{
    struct step *step = &explorer_steps[explorer_length - 1];
    unsigned slot = (unsigned)((uintptr_t)step->op.address * 0x9e3779b1U >> 12) % 1024;

    while (last_with[slot].execution == explorer_number &&
           last_with[slot].address != step->op.address) {
        slot = (slot + 1) % 1024;
    }
    if (last_with[slot].execution != explorer_number) {
        last_with[slot].execution = explorer_number;
        last_with[slot].address = step->op.address;
        last_with[slot].step = 0;
    }
    step->same = last_with[slot].step;
    step->fence = last_fence;
    last_with[slot].step = explorer_length;
    last_fence = step->op.sc || step->op.kind == OP_FENCE_ALL ? explorer_length : last_fence;
}

/* Gives the last step its clock, and has its races tried the other way round. */
void order_note(bool is_new)
{
    struct step *step = &explorer_steps[explorer_length - 1];
    uint16_t *clock = explorer_clocks[step->thread];

    link_step();
    bool meets_all = step->op.kind == OP_FENCE_ALL;
    unsigned same = step->same;
    unsigned fence = meets_all ? explorer_length - 1 : step->fence;
    while (step->op.kind != OP_SILENT && (same | fence) > 0) {
        unsigned i = (same > fence ? same : fence) - 1;
        same = same == i + 1 ? explorer_steps[i].same : same;
        fence = fence == i + 1 ? (meets_all ? i : explorer_steps[i].fence) : fence;
        if (explorer_steps[i].thread != step->thread &&
            order_depend(&explorer_steps[i].op, &step->op) && !precedes(i, clock)) {
            explorer_steps[i].raced_by = explorer_length;
            if (is_new) {
                reverse(i, step->thread, clock);
            }
            order_join(clock, explorer_steps[i].clock);
        }
    }
    clock[step->thread]++;
    memcpy(step->clock, clock, sizeof step->clock);
}
