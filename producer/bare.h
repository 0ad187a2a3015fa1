/*
 * bare.h - a request without an envelope becomes a batch line.
 *
 * What people have is often only the body: {"model":..,"messages":[..]}, a "prompt", an "input".
 * bare_is tells one, bare_wrap puts it into an OpenAI batch line:
 *
 *   messages   /v1/chat/completions
 *   prompt     /v1/chat/completions, as one message of the user
 *   input      /v1/embeddings when the model's name says embedding, else /v1/responses
 *
 * Its custom_id is the one it has, or the one given. A body without a model gets the one given.
 */
#ifndef OFFPEAK_PRODUCER_BARE_H
#define OFFPEAK_PRODUCER_BARE_H

#include "core/buf.h"

/* What the envelope is made of. */
struct bare {
    struct span id;    /* as text; used unless the body has a custom_id */
    const char *model; /* or NULL: the body must say */
};

/* `object` passed jtext_check and is an object. */
bool bare_is(struct span object);
/* Appends the line without its closing brace, so that a member may follow. NULL, or why not. */
const char *bare_wrap(struct span object, const struct bare *with, struct buf *ret);

#endif
