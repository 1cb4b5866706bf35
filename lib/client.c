/* SPDX-License-Identifier: MIT
 *
 * The public face of clients. What they are for is inject.c.
 */
#include <stook/client.h>
#include "checks.h"
#include "fork.h"
#include "inject.h"
#include "pool.h"

enum stook_status stook_client_create(stook_executor *executor, unsigned weight, size_t queue_limit,
                                      stook_client **ret_client)
{
    if (!executor || !ret_client || weight < 1 || weight > STOOK_MAX_WEIGHT) {
        return STOOK_INVALID;
    }
    if (stook__forked(executor->generation)) {
        return STOOK_FORKED;
    }
    stook_client *client = stook__client_create(&executor->inject, executor, weight, queue_limit);
    if (!client) {
        return STOOK_NOMEM;
    }
    *ret_client = client;
    return STOOK_OK;
}

stook_client *stook_client_retain(stook_client *client)
{
    if (client) {
        STOOK_CHECK_ALIVE(client, "a client");
        if (!stook__forked(client->executor->generation)) {
            stook__client_retain(&client->executor->inject, client);
        }
    }
    return client;
}

void stook_client_release(stook_client *client)
{
    if (!client) {
        return;
    }
    STOOK_CHECK_ALIVE(client, "a client");
    if (!stook__forked(client->executor->generation)) {
        stook__client_release(&client->executor->inject, client);
    }
}
