/*
 * The answer to an ask: a chat completion, a response or a list of embeddings, in the full
 * documented shape. What a response repeats of its request (instructions, tools ...) is left at
 * its default.
 *
 * Its content is made up, but the same ask always gets the same. A text begins with "sha256:"
 * and the digest of the prompt (also when the output limit cuts it); number i of a vector is byte
 * i mod 32 of the digest of its input, / 128 - 1: so what was asked can be read in either.
 */
#ifndef SIM_ANSWER_H
#define SIM_ANSWER_H

#include "tests/sim/ask.h"
#include "tests/sim/prices.h"
#include "tests/sim/prompt_cache.h"

struct answer_style {
    bool refuse;   /* a refusal instead of content */
    bool filter;   /* stopped by the content filter */
    bool no_usage; /* usage null, though it is billed */
    /* of a response: it fails inside a status of 200; NULL: it does not */
    const char *fail_code, *fail_message;
};

struct answer_stamp {
    uint64_t id; /* of the answer; unique */
    int64_t created;
};

struct answer_task {
    const struct ask_facts *ask;
    const unsigned char *digests; /* of the inputs of an embedding */
    struct cache_use cache;
    struct answer_style style;
    struct answer_stamp stamp;
};

/* Appends the object; *ret_usage is what was used, reported or not. */
void answer_write(struct text *out, const struct answer_task *t, struct usage *ret_usage);

/* The kinds: the prompt is in *u already. */
void answer_chat(struct text *out, const struct answer_task *t, struct usage *u);
void answer_response(struct text *out, const struct answer_task *t, struct usage *u);
void answer_embedding(struct text *out, const struct answer_task *t, struct usage *u);

#endif
