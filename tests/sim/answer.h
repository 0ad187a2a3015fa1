/*
 * The answer to an ask: a chat completion object in the full documented shape.
 *
 * Its content is made up, but the same ask always gets the same text, which begins with
 * "sha256:" and the digest of the canonical messages (also when the output limit cuts it).
 */
#ifndef SIM_ANSWER_H
#define SIM_ANSWER_H

#include "tests/sim/ask.h"
#include "tests/sim/prices.h"
#include "tests/sim/prompt_cache.h"

struct answer_style {
    bool refuse;   /* message.refusal instead of content */
    bool filter;   /* finish_reason content_filter */
    bool no_usage; /* usage null, though it is billed */
};

struct answer_stamp {
    uint64_t id; /* of the completion; unique */
    int64_t created;
};

/* Appends the object; *ret_usage is what was used, reported or not. */
void answer_write(struct text *out, const struct ask_facts *ask, struct cache_use cache,
                  struct answer_style style, struct answer_stamp stamp,
                  struct usage *ret_usage);

#endif
