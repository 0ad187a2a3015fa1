/*
 * The made-up text of an answer: "sha256:" and the digest of the prompt, then words chosen by
 * it, as many as fit. The same digest always gives the same text.
 */
#ifndef SIM_WORDS_H
#define SIM_WORDS_H

#include "tests/sim/ask.h"

enum {
    WORDS_MIN = 6,
    WORDS_SPREAD = 32,           /* an answer has 6 to 37 words */
    WORDS_DIGEST_CHARS = 7 + 64, /* "sha256:" and the hex digits */
};

struct words {
    char text[WORDS_DIGEST_CHARS + (WORDS_MIN + WORDS_SPREAD) * 10];
    size_t len;
    int64_t tokens;
    bool cut;
};

/* In `room` tokens; -1: no limit. */
struct words words_make(const unsigned char digest[32], int choice, int64_t room);

/* As a JSON string: the text, or with `json` an object that holds it. */
void words_write(struct text *out, const struct words *w, bool json);

/* What a reasoning model thinks before it answers that. */
int64_t words_reasoning(const struct ask_facts *ask);

#endif
