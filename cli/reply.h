/*
 * reply.h - what a result says, as text for people and tables.
 *
 * The answer of a chat completion is the content of its first choice, of a response the text of
 * its output, of embeddings the first vector as JSON. Where the model called tools instead, it is
 * the calls as JSON; where it refused, what it said (OpenAI API reference, the objects of those
 * names). Pure; the JSON is that of a result line, which was checked when it was taken.
 */
#ifndef OFFPEAK_CLI_REPLY_H
#define OFFPEAK_CLI_REPLY_H

#include "core/buf.h"

/* Appends the answer in a response body; nothing when it holds none. */
void reply_text(struct span body, struct buf *ret);
/* Appends why a result line is no answer, "code: message"; nothing when it is one. */
void reply_error(struct span line, struct buf *ret);
/* The response's body, or an empty span. */
struct span reply_body(struct span line);

#endif
