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
 *   - prompt_tokens includes cached and cache-write tokens, completion_tokens includes reasoning;
 *     so do input_tokens and output_tokens of a response
 *   - a response that failed stands in a line with status 200: body.status tells
 *
 * Servers that speak the same API (mock servers, gateways) are read by the same rules.
 */
#ifndef OFFPEAK_WORKER_OPENAI_H
#define OFFPEAK_WORKER_OPENAI_H

#include "worker/provider.h"

#define OPENAI_TOKENS_MAX \
    10000000 /* of one request; more is a mistake of the other side */
#define OPENAI_INPUTS_MAX \
    2048 /* of one request for embeddings, so vectors of its answer */

extern const struct provider provider_openai;

/* The parts of the table that stand in other files, or that tests call by name. */
/* The verdict of anything but a 2xx reply; STEP_DONE: it is one. */
enum step openai_verdict(const struct http_resp *resp, struct remote *ret,
                         struct err *err);
int openai_call(const struct provider_call *c, struct provider_request *ret,
                struct err *err);
enum reply_kind openai_reply(const struct http_resp *resp, struct buf *text,
                             struct answer *ret, struct err *err);
int openai_line_decode(struct span line, struct provider_line *ret);
/* The same of a checked line whose custom_id is somebody else's: the index stays 0. */
int openai_line_read(struct span line, struct provider_line *ret);
/* usage of a body with status 2xx; false when it is absent or cannot be. */
bool openai_usage(struct span body, struct usage *ret);
/* Such a body: an answer, or one that failed inside a good status. Fills body, error, usage,
 * complete and vectors of an answer that is zero. */
enum line_kind openai_body(struct span body, struct answer *ret);

#endif
