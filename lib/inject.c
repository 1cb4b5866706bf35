/* SPDX-License-Identifier: MIT
 *
 * Whose task goes next: strict priorities with a bound on how often one is passed over, in each of
 * them weighted round robin between clients; and who must wait for room. All is one step under one
 * mutex, and takes the same time whatever the number of tasks and clients. The number of tasks is
 * kept in atomics beside it, so that a worker that finds none, the common case, does not touch the
 * mutex. Submitters of plain tasks do not either: they leave them in the inbox (inbox.h).
 *
 * Invariants: a flow is in its level's ring exactly while it has tasks; `count` and `urgent` are
 * exact whenever the mutex is free; who waits for room found none, or found others before it.
 */
#include "inject.h"
#include "allocate.h"
#include "checks.h"
#include "task.h"

static const enum stook_priority by_rank[STOOK__PRIORITIES] = {
    STOOK_PRIORITY_HIGH, STOOK_PRIORITY_NORMAL, STOOK_PRIORITY_LOW};

/* --- flows and levels; the mutex is held ------------------------------------------------------ */

/* After every change of the number of tasks. */
static void publish_counts(struct stook__inject *queue, enum stook_priority changed)
{
    size_t count = 0;

    for (unsigned i = 0; i < STOOK__PRIORITIES; i++) {
        count += queue->levels[i].count;
    }
    /* order IJ.count rlx: written under the mutex only; a reader without it is ordered by PK.wake
     */
    a_store_rlx(&queue->count, count);
    if (changed == STOOK_PRIORITY_HIGH) {
        /* order IJ.rise rlx: as IJ.count; a worker that misses it takes one task of its own first
         */
        a_store_rlx(&queue->urgent, queue->levels[STOOK_PRIORITY_HIGH].count);
    }
}

/* Puts a flow that has just got tasks behind all others. */
static void ring_add(struct stook__level *level, struct stook__flow *flow)
{
    flow->turn_left = flow->client->weight;
    if (level->last) {
        flow->next = level->last->next;
        level->last->next = flow;
    } else {
        flow->next = flow;
    }
    level->last = flow;
}

static void add(struct stook__inject *queue, stook_client *client, const struct stook__batch *batch)
{
    struct stook__flow *flow = &client->flows[batch->priority];
    struct stook__level *level = &queue->levels[batch->priority];

    stook__task_chain(batch->last, NULL);
    if (flow->head) {
        stook__task_chain(flow->tail, batch->first);
    } else {
        flow->head = batch->first;
        ring_add(level, flow);
    }
    flow->tail = batch->last;
    client->waiting += batch->count;
    client->references += batch->count;
    level->count += batch->count;
    publish_counts(queue, batch->priority);
}

static void count_accepted(struct stook__inject *queue, size_t number)
{
    /* order IJ.accept rlx: written under the mutex, which whoever begins one of the tasks has
     * taken after it; so ST.read of that sees this too */
    a_add_rlx(&queue->accepted, number);
}

/* Puts all that lies in the inbox into its flow. Whoever has to do with flows begins with it, so
 * that tasks come into them in the order in which they were submitted. */
static void take_in(struct stook__inject *queue)
{
    struct stook__batch batch = {.client = &queue->default_client,
                                 .priority = STOOK_PRIORITY_NORMAL};

    if (stook__inbox_seems_empty(&queue->inbox)) {
        return;
    }
    /* order IJ.moving rlx: published by IB.all, so that they never seem to be nowhere */
    a_store_rlx(&queue->count, SIZE_MAX);
    batch.count = stook__inbox_take_all(&queue->inbox, &batch.first, &batch.last);
    add(queue, &queue->default_client, &batch);
    count_accepted(queue, batch.count);
}

/* The first that has tasks; but one below that is overdue goes before one that is not. Counts who
 * is passed over. False: there is no task. */
static bool choose_priority(struct stook__inject *queue, enum stook_priority *ret_priority)
{
    struct stook__level *chosen = NULL;

    for (unsigned rank = 0; rank < STOOK__PRIORITIES; rank++) {
        struct stook__level *level = &queue->levels[by_rank[rank]];
        if (!level->last) {
            continue;
        }
        level->passes++;
        if (!chosen ||
            (level->passes > STOOK__MOST_PASSES && chosen->passes <= STOOK__MOST_PASSES)) {
            chosen = level;
            *ret_priority = by_rank[rank];
        }
    }
    if (chosen) {
        chosen->passes = 0;
    }
    return chosen != NULL;
}

/* Takes a task of the flow whose turn it is. */
static stook_future *take(struct stook__inject *queue, enum stook_priority priority,
                          stook_client **ret_client)
{
    struct stook__level *level = &queue->levels[priority];
    struct stook__flow *flow = level->last->next;
    stook_future *task = flow->head;

    flow->head = stook__task_next(task);
    if (!flow->head) {
        level->last->next = flow->next;
        if (flow == level->last) {
            level->last = NULL;
        }
    } else if (--flow->turn_left == 0) {
        flow->turn_left = flow->client->weight;
        level->last = flow;
    }
    flow->client->waiting--;
    level->count--;
    publish_counts(queue, priority);
    *ret_client = flow->client;
    return task;
}

/* --- room ------------------------------------------------------------------------------------- */

/* A batch that is larger than the limit finds room when nothing waits. */
static bool has_room(const stook_client *client, size_t count)
{
    if (client->limit == 0) {
        return true;
    }
    return count <= client->limit ? client->waiting <= client->limit - count : client->waiting == 0;
}

static stook_client *client_of(struct stook__inject *queue, const struct stook__batch *batch)
{
    return batch->client ? batch->client : &queue->default_client;
}

/* The mutex is held. */
static enum stook_status push(struct stook__inject *queue, const struct stook__batch *batch,
                              enum stook__push how)
{
    stook_client *client = client_of(queue, batch);

    take_in(queue);
    if (how != STOOK__PUSH_FORCED && stook__inject_is_closed(queue)) {
        return STOOK_SHUTDOWN;
    }
    if (how == STOOK__PUSH_LIMITED && (client->first_blocked || !has_room(client, batch->count))) {
        return STOOK_FULL;
    }
    add(queue, client, batch);
    if (how != STOOK__PUSH_FORCED) {
        count_accepted(queue, batch->count);
    }
    return STOOK_OK;
}

/* Lets those in who find room, first come, first served. Gives them as a list, to be woken without
 * the mutex, which is held here. */
static struct stook__blocked *admit(struct stook__inject *queue, stook_client *client)
{
    struct stook__blocked *admitted = client->first_blocked;
    struct stook__blocked *last = NULL;
    struct stook__blocked *blocked = admitted;

    while (blocked && has_room(client, blocked->batch.count)) {
        add(queue, client, &blocked->batch);
        count_accepted(queue, blocked->batch.count);
        blocked->status = STOOK_OK;
        blocked->is_listed = false;
        last = blocked;
        blocked = blocked->next;
    }
    if (!last) {
        return NULL;
    }
    last->next = NULL;
    client->first_blocked = blocked;
    if (blocked) {
        blocked->previous = NULL;
    } else {
        client->last_blocked = NULL;
    }
    return admitted;
}

/* A record may vanish with the set of its event: next is read before. */
static void wake_decided(struct stook__blocked *blocked)
{
    while (blocked) {
        struct stook__blocked *next = blocked->next;
        stook__event_set(&blocked->decided);
        blocked = next;
    }
}

enum stook_status stook__inject_enter(struct stook__inject *queue, struct stook__blocked *blocked)
{
    mtx_lock(&queue->mutex);
    enum stook_status status = push(queue, &blocked->batch, STOOK__PUSH_LIMITED);
    blocked->is_listed = status == STOOK_FULL;
    if (blocked->is_listed) {
        stook_client *client = client_of(queue, &blocked->batch);
        blocked->next = NULL;
        blocked->previous = client->last_blocked;
        if (client->last_blocked) {
            client->last_blocked->next = blocked;
        } else {
            client->first_blocked = blocked;
        }
        client->last_blocked = blocked;
    }
    mtx_unlock(&queue->mutex);
    return status;
}

bool stook__inject_leave(struct stook__inject *queue, struct stook__blocked *blocked)
{
    struct stook__blocked *admitted = NULL;

    mtx_lock(&queue->mutex);
    bool was_listed = blocked->is_listed;
    if (was_listed) {
        stook_client *client = client_of(queue, &blocked->batch);
        if (blocked->previous) {
            blocked->previous->next = blocked->next;
        } else {
            client->first_blocked = blocked->next;
        }
        if (blocked->next) {
            blocked->next->previous = blocked->previous;
        } else {
            client->last_blocked = blocked->previous;
        }
        admitted = admit(queue, client); /* those behind it may need less room */
    }
    mtx_unlock(&queue->mutex);
    wake_decided(admitted);
    return was_listed;
}

/* --- clients ---------------------------------------------------------------------------------- */

/* The mutex is held, or nobody else is there yet. */
static void client_init(struct stook__inject *queue, stook_client *client, unsigned weight,
                        size_t limit)
{
    *client = (stook_client){.weight = weight, .limit = limit, .references = 1};
    for (unsigned i = 0; i < STOOK__PRIORITIES; i++) {
        client->flows[i].client = client;
    }
    client->next = queue->clients;
    if (queue->clients) {
        queue->clients->previous = client;
    }
    queue->clients = client;
}

/* Gives one reference up; the client if it was the last, to be freed without the mutex, which is
 * held here. */
static stook_client *drop_reference(struct stook__inject *queue, stook_client *client)
{
    if (--client->references > 0) {
        return NULL;
    }
    if (client->previous) {
        client->previous->next = client->next;
    } else {
        queue->clients = client->next;
    }
    if (client->next) {
        client->next->previous = client->previous;
    }
    return client;
}

/* Without the mutex. NULL is allowed. */
static void client_free(stook_client *client)
{
    if (client) {
        const struct stook_allocator *allocator = stook__executor_allocator(client->executor);
        STOOK_MARK_DEAD(client->mark);
        stook__deallocate(allocator, client, sizeof *client);
    }
}

stook_client *stook__client_create(struct stook__inject *queue, stook_executor *executor,
                                   unsigned weight, size_t limit)
{
    stook_client *client = stook__allocate(stook__executor_allocator(executor), sizeof *client);

    if (client) {
        mtx_lock(&queue->mutex);
        client_init(queue, client, weight, limit);
        client->executor = executor;
        client->mark = STOOK__ALIVE;
        mtx_unlock(&queue->mutex);
    }
    return client;
}

void stook__client_retain(struct stook__inject *queue, stook_client *client)
{
    if (client) {
        mtx_lock(&queue->mutex);
        client->references++;
        mtx_unlock(&queue->mutex);
    }
}

void stook__client_release(struct stook__inject *queue, stook_client *client)
{
    if (client) {
        mtx_lock(&queue->mutex);
        stook_client *unused = drop_reference(queue, client);
        mtx_unlock(&queue->mutex);
        client_free(unused);
    }
}

/* --- the queue -------------------------------------------------------------------------------- */

bool stook__inject_init(struct stook__inject *queue, size_t limit)
{
    for (unsigned i = 0; i < STOOK__PRIORITIES; i++) {
        queue->levels[i] = (struct stook__level){.last = NULL};
    }
    queue->clients = NULL;
    client_init(queue, &queue->default_client, 1, limit);
    atomic_init(&queue->count, 0);
    atomic_init(&queue->accepted, 0);
    atomic_init(&queue->urgent, 0);
    atomic_init(&queue->closed, false);
    stook__inbox_init(&queue->inbox);
    return mtx_init(&queue->mutex, mtx_plain) == thrd_success;
}

void stook__inject_fini(struct stook__inject *queue)
{
    STOOK_CHECK_API(queue->clients == &queue->default_client && !queue->default_client.next,
                    "stook_executor_destroy() called before stook_client_release()");
    mtx_destroy(&queue->mutex);
}

enum stook_status stook__inject_push(struct stook__inject *queue, const struct stook__batch *batch,
                                     enum stook__push how)
{
    mtx_lock(&queue->mutex);
    enum stook_status status = push(queue, batch, how);
    mtx_unlock(&queue->mutex);
    return status;
}

enum stook_status stook__inject_push_one(struct stook__inject *queue, stook_future *task)
{
    return stook__inbox_post(&queue->inbox, task) ? STOOK_OK : STOOK_SHUTDOWN;
}

/* Could nobody notice if several were taken at once? No priority in use, no client but the default
 * one, which has no limit. */
static bool is_plain(const struct stook__inject *queue)
{
    return queue->default_client.limit == 0 && !queue->default_client.next &&
           !queue->default_client.previous && !queue->levels[STOOK_PRIORITY_HIGH].last &&
           !queue->levels[STOOK_PRIORITY_LOW].last;
}

/* From the only flow that there may be. */
static size_t pop_flow(struct stook__inject *queue, stook_future *tasks[], size_t most)
{
    struct stook__level *level = &queue->levels[STOOK_PRIORITY_NORMAL];
    struct stook__flow *flow = level->last;
    size_t count = 0;

    while (count < most && flow && flow->head) {
        tasks[count++] = flow->head;
        flow->head = stook__task_next(flow->head);
        if (flow->head) {
            stook__platform_prefetch(flow->head);
        }
    }
    if (count > 0) {
        level->last = flow->head ? flow : NULL;
        level->passes = 0;
        level->count -= count;
        flow->client->waiting -= count;
        flow->client->references -= count;
        publish_counts(queue, STOOK_PRIORITY_NORMAL);
    }
    return count;
}

static size_t pop_inbox(struct stook__inject *queue, stook_future *tasks[], size_t most)
{
    size_t count = 0;

    while (count < most && (tasks[count] = stook__inbox_pop(&queue->inbox)) != NULL) {
        count++;
    }
    count_accepted(queue, count);
    return count;
}

/* When plain: what is in the flow is older. */
static size_t pop_in_order(struct stook__inject *queue, stook_future *tasks[], size_t most,
                           bool is_alone)
{
    const struct stook__level *normal = &queue->levels[STOOK_PRIORITY_NORMAL];

    if (normal->last) {
        return pop_flow(queue, tasks, is_alone || normal->count >= (size_t)STOOK__MANY ? most : 1);
    }
    return pop_inbox(queue, tasks,
                     is_alone || (most > 1 && stook__inbox_is_long(&queue->inbox)) ? most : 1);
}

/* Whoever's turn it is. */
static stook_future *pop_by_turn(struct stook__inject *queue)
{
    stook_client *client = NULL;
    stook_client *unused = NULL;
    struct stook__blocked *admitted = NULL;
    enum stook_priority priority;
    stook_future *task = NULL;

    mtx_lock(&queue->mutex);
    take_in(queue);
    if (choose_priority(queue, &priority)) {
        task = take(queue, priority, &client);
        admitted = admit(queue, client);
        unused = drop_reference(queue, client);
    }
    mtx_unlock(&queue->mutex);
    wake_decided(admitted);
    client_free(unused);
    return task;
}

size_t stook__inject_pop_some(struct stook__inject *queue, stook_future *tasks[], size_t most,
                              bool is_alone)
{
    size_t count = 0;

    if (stook__inject_seems_empty(queue)) {
        return 0;
    }
    mtx_lock(&queue->mutex);
    bool plain = is_plain(queue);
    if (plain) {
        count = pop_in_order(queue, tasks, most, is_alone);
    }
    mtx_unlock(&queue->mutex);
    if (!plain) {
        tasks[0] = pop_by_turn(queue);
        count = tasks[0] ? 1 : 0;
    }
    return count;
}

stook_future *stook__inject_pop(struct stook__inject *queue)
{
    stook_future *task;
    return stook__inject_pop_some(queue, &task, 1, false) > 0 ? task : NULL;
}

void stook__inject_close(struct stook__inject *queue)
{
    struct stook__blocked *refused = NULL;

    mtx_lock(&queue->mutex);
    /* order IJ.close rel -> IJ.closed: a submit that is refused comes after what the closer wrote
     */
    a_store_rel(&queue->closed, true);
    while (!stook__inbox_close_empty(&queue->inbox)) {
        take_in(queue); /* what was posted until now has been accepted */
    }
    for (stook_client *client = queue->clients; client; client = client->next) {
        while (client->first_blocked) {
            struct stook__blocked *blocked = client->first_blocked;
            client->first_blocked = blocked->next;
            blocked->status = STOOK_SHUTDOWN;
            blocked->is_listed = false;
            blocked->next = refused;
            refused = blocked;
        }
        client->last_blocked = NULL;
    }
    mtx_unlock(&queue->mutex);
    wake_decided(refused);
}

void stook__inject_sizes(struct stook__inject *queue, size_t *ret_size, uint64_t *ret_accepted)
{
    mtx_lock(&queue->mutex);
    take_in(queue);
    /* order IJ.sizes rlx: written under the mutex */
    *ret_size = a_load_rlx(&queue->count);
    /* order IJ.total rlx: likewise */
    *ret_accepted = a_load_rlx(&queue->accepted);
    mtx_unlock(&queue->mutex);
}

bool stook__inject_seems_empty(struct stook__inject *queue)
{
    /* order IJ.none rlx: ordered by IB.look, which comes first */
    return stook__inbox_seems_empty(&queue->inbox) && a_load_rlx(&queue->count) == 0;
}
