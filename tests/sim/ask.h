/*
 * An ask: what one request asks for, checked and boiled down to the facts that an answer, the
 * prompt cache and the invoice need. The request itself is not kept.
 *
 * Both lanes use it: a plain request is read and answered at once; a batch line is read
 * while the batch is validated, and its facts wait on disk until the line's turn comes.
 *
 * The prompt is the canonical text of what is asked: of a chat its `messages`, of a response
 * `[instructions,input]`, of an embedding each input by itself.
 *
 * Tokens are an estimate that never exceeds the bytes of the prompt: canonical bytes / 4; token
 * ids are counted.
 * Prefix steps: step i is a hash of everything a prompt cache compares (model, tools, output
 * format, cache key, effort ...) and of the first 1024 + 128 i tokens.
 */
#ifndef SIM_ASK_H
#define SIM_ASK_H

#include "tests/sim/problem.h"

#include <jansson.h>

enum {
    ASK_CACHE_MIN_TOKENS =
        1024, /* OpenAI, Prompt caching: shorter prompts are not cached */
    ASK_CACHE_STEP_TOKENS = 128,
    ASK_BYTES_PER_TOKEN = 4,
    ASK_CHOICES_MAX = 128,
    ASK_INPUTS_MAX = 2048,
    ASK_REQUEST_TOKENS_MAX = 300000, /* of all inputs of an embedding */
    ASK_DIGEST_BYTES = 32,
};

enum ask_kind { ASK_CHAT, ASK_RESPONSE, ASK_EMBEDDING, ASK_KINDS };

/* By the path of a request; -1: nothing here answers it. */
int ask_kind_find(const char *path, enum ask_kind *ret_kind);

struct ask_facts {
    enum ask_kind kind;
    unsigned char digest[ASK_DIGEST_BYTES]; /* SHA-256 of the prompt */
    unsigned char body_print[16];           /* of the project and the canonical body */
    int64_t prompt_tokens;
    int64_t limit_tokens; /* of the output; -1: none given */
    int32_t row;          /* in the price table */
    int32_t choices;
    uint32_t n_steps;
    uint32_t n_inputs;  /* of an embedding */
    int32_t dimensions; /* of each of its vectors */
    bool base64;        /* they are written so */
    bool json_answer;
    bool flex;
};

struct ask {
    struct ask_facts facts;
    uint64_t *steps; /* facts.n_steps of them */
    size_t steps_cap;
    unsigned char *digests; /* of an embedding: SHA-256 of each input */
    size_t digests_cap;
    struct text canonical;
};

/* Reads a request body; *a may be reused. 0, or -1 with *p filled. */
int ask_read(struct ask *a, enum ask_kind kind, const json_t *body, const char *project,
             struct problem *p);
void ask_done(struct ask *a);

#endif
