/* SPDX-License-Identifier: MIT
 *
 * Calls on tokens, scopes and clients; see fuzz_calls.h.
 */
#include "fuzz_calls.h"

void call_token(struct play *play, struct fuzz_bytes *bytes)
{
    const int index = (int)fuzz_below(bytes, TOKENS);
    struct token *token = &play->tokens[index];
    const unsigned what = fuzz_byte(bytes);
    if (token->token == NULL) {
        if (token->was_made) { /* tasks may still hang on it */
            return;
        }
        token->parent =
            index > 0 && play->tokens[index - 1].token != NULL && what % 2 ? index - 1 : NONE;
        const enum stook_status status = stook_token_create(
            play->executor, token->parent != NONE ? play->tokens[index - 1].token : NULL,
            STOOK_FOREVER, &token->token);
        MUST(status == (play->is_closed ? STOOK_SHUTDOWN : STOOK_OK));
        token->was_made = status == STOOK_OK;
        token->token = status == STOOK_OK ? token->token : NULL;
    } else if (what % 4 == 0) {
        stook_token_release(stook_token_retain(token->token));
        stook_token_release(token->token);
        token->token = NULL;
    } else if (what % 4 == 1) {
        MUST(stook_token_cancel(token->token) == !token->is_cancelled);
        token->is_cancelled = true;
    } else {
        MUST(stook_token_cancelled(token->token) == token_is_cancelled(play, index));
    }
}

static void wait_for_scope(struct play *play, int index)
{
    struct stook_scope_outcome expected = outcome_of(play, index);
    struct stook_scope_outcome outcome;
    const size_t ended = expected.done + expected.failed + expected.cancelled;
    const enum stook_status status = ended < expected.submitted ? STOOK_TIMEOUT
                                     : expected.failed > 0      ? STOOK_TASK_FAILED
                                     : expected.cancelled > 0   ? STOOK_CANCELLED
                                                                : STOOK_OK;
    MUST(stook_scope_wait_until(play->scopes[index].scope, status == STOOK_TIMEOUT ? 0 : patience(),
                                &outcome) == status);
    MUST(outcome.submitted == expected.submitted && outcome.done == expected.done &&
         outcome.failed == expected.failed);
    MUST(outcome.cancelled == expected.cancelled || status == STOOK_TIMEOUT);
    MUST((outcome.first_code != 0) == (expected.failed > 0));
}

void end_scope(struct play *play, int index)
{
    struct scope *scope = &play->scopes[index];
    if (scope->scope != NULL) {
        stook_scope_cancel(scope->scope);
        scope->is_cancelled = true;
        settle(play, false);
        wait_for_scope(play, index);
        stook_scope_destroy(scope->scope);
        scope->scope = NULL;
    }
}

void call_scope(struct play *play, struct fuzz_bytes *bytes)
{
    const int index = (int)fuzz_below(bytes, SCOPES);
    struct scope *scope = &play->scopes[index];
    const unsigned what = fuzz_byte(bytes);
    if (scope->scope == NULL) {
        struct stook_scope_options options = STOOK_SCOPE_OPTIONS_INIT;
        if (scope->was_made) {
            return;
        }
        const int token = (int)(what / 16 % TOKENS);
        options.limit = scope->limit = what % 3;
        options.keep_going = scope->keep_going = what & 8;
        options.parent = play->tokens[token].token;
        scope->token = options.parent != NULL ? token : NONE;
        const enum stook_status status =
            stook_scope_create(play->executor, &options, &scope->scope);
        MUST(status == (play->is_closed ? STOOK_SHUTDOWN : STOOK_OK));
        scope->was_made = status == STOOK_OK;
        scope->scope = status == STOOK_OK ? scope->scope : NULL;
    } else if (what % 4 == 0) {
        MUST(stook_scope_cancel(scope->scope) == !scope->is_cancelled);
        scope->is_cancelled = true;
    } else if (what % 16 == 1) {
        end_scope(play, index);
    } else {
        wait_for_scope(play, index);
    }
}

void call_client(struct play *play, struct fuzz_bytes *bytes)
{
    struct client *client = &play->clients[fuzz_below(bytes, CLIENTS)];
    const unsigned what = fuzz_byte(bytes);
    if (client->client != NULL) {
        stook_client_release(client->client);
        client->client = NULL;
        return;
    }
    *client = (struct client){.limit = what % 4};
    MUST(stook_client_create(play->executor, 1 + what / 4 % 8, client->limit, &client->client) ==
         STOOK_OK);
}
