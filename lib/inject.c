/* SPDX-License-Identifier: MIT
 *
 * A list under a mutex. Its length is kept in an atomic beside it, so that a worker that finds it
 * empty, the common case, does not touch the mutex.
 */
#include "inject.h"
#include "task.h"

bool stook__inject_init(struct stook__inject *queue)
{
    queue->head = NULL;
    queue->tail = NULL;
    atomic_init(&queue->count, 0);
    atomic_init(&queue->closed, false);
    return mtx_init(&queue->mutex, mtx_plain) == thrd_success;
}

void stook__inject_fini(struct stook__inject *queue)
{
    mtx_destroy(&queue->mutex);
}

bool stook__inject_push(struct stook__inject *queue, stook_future *first, stook_future *last,
                        size_t count)
{
    last->next = NULL;
    mtx_lock(&queue->mutex);
    if (stook__inject_is_closed(queue)) {
        mtx_unlock(&queue->mutex);
        return false;
    }
    if (queue->tail) {
        queue->tail->next = first;
    } else {
        queue->head = first;
    }
    queue->tail = last;
    /* order IJ.grow rlx: written under the mutex only; a reader without it is ordered by PK.wake */
    a_add_rlx(&queue->count, count);
    mtx_unlock(&queue->mutex);
    return true;
}

stook_future *stook__inject_pop(struct stook__inject *queue)
{
    if (stook__inject_seems_empty(queue)) {
        return NULL;
    }
    mtx_lock(&queue->mutex);
    stook_future *task = queue->head;
    if (task) {
        queue->head = task->next;
        if (!queue->head) {
            queue->tail = NULL;
        }
        /* order IJ.shrink rlx: as IJ.grow */
        a_add_rlx(&queue->count, (size_t)-1);
    }
    mtx_unlock(&queue->mutex);
    return task;
}

void stook__inject_close(struct stook__inject *queue)
{
    mtx_lock(&queue->mutex);
    /* order IJ.close rel -> IJ.closed: a submit that is refused comes after what the closer wrote */
    a_store_rel(&queue->closed, true);
    mtx_unlock(&queue->mutex);
}

bool stook__inject_is_closed(const struct stook__inject *queue)
{
    /* order IJ.closed acq <- IJ.close: see there */
    return a_load_acq(&queue->closed);
}

bool stook__inject_seems_empty(struct stook__inject *queue)
{
    /* order IJ.look rlx: a guess; who needs more puts a fence before it (PK.sleep) */
    return a_load_rlx(&queue->count) == 0;
}
