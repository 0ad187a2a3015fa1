/*
 * openai.h - the OpenAI Batch API: files, batches, and the lines of both.
 *
 * Sources: OpenAI API reference, "Files" and "Batch"; Batch guide ("Limits", "Rate limits",
 * "Model availability"); error codes guide. What is worth knowing beside them:
 *
 *   - no idempotency key exists; the submit key travels in `metadata` and in the file's name
 *   - too many enqueued tokens is no 429: the create succeeds, the batch then fails with
 *     token_limit_exceeded
 *   - when every line fails the batch is `completed` with output_file_id null
 *   - any optional field of a batch may be null
 *   - prompt_tokens includes cached and cache-write tokens, completion_tokens includes reasoning
 *
 * Servers that speak the same API (mock servers, gateways) are read by the same rules.
 */
#ifndef OFFPEAK_WORKER_OPENAI_H
#define OFFPEAK_WORKER_OPENAI_H

#include "worker/provider.h"

#define OPENAI_TOKENS_MAX \
    10000000 /* of one request; more is a mistake of the other side */

extern const struct provider provider_openai;

/* The parts of the table that tests call by name. */
int openai_line_decode(struct span line, struct provider_line *ret);
/* usage of a chat completion's body; false when it is absent or cannot be. */
bool openai_usage(struct span body, struct usage *ret);

#endif
