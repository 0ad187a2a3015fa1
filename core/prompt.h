/*
 * prompt.h - what a request asks, independent of how it is spelled.
 *
 * prompt_read takes the checked `body` of a job line and returns its canonical form's digest
 * at a normalisation level, the prefix chain, and the facts admission needs. Equal questions
 * get equal digests; different questions never do. Levels (the id stored in every key is
 * PROMPT_NP plus the level):
 *
 *   L0  canonical JSON: object keys sorted bytewise, except inside the JSON Schemas of response
 *       formats and tools (Structured Outputs write keys in schema order, so order is meaning);
 *       numbers by exact decimal value (1 = 1.0 = 1e0; 2^53 and 2^53 + 1 differ); string bytes
 *       as they are after escapes are undone.
 *   L1  (default) L0, and strings get CR LF and CR as LF, a leading byte-order mark stripped,
 *       Unicode NFC; request fields that cannot change the answer are dropped: metadata, user,
 *       safety_identifier, stream (false), store, prompt_cache_key, prompt_cache_options,
 *       prompt_cache_retention and cache breakpoints of content parts.
 *
 * The chain: one hash goes over model and everything that splits a provider's prompt cache
 * (tools, tool_choice, functions, function_call, response_format, reasoning_effort, verbosity,
 * service_tier, prompt_cache_key; OpenAI, Prompt caching), then over the canonical messages one
 * by one; link j is that hash after message j. The last message is what a call asks and never in
 * a link, so requests with the same beginning meet in the root, chain[0], which covers the
 * settings and the first message. A request of one message has a root of its settings alone. At
 * most PROMPT_CHAIN_MAX links, the first ones. A link's length is the canonical bytes of tools,
 * functions, response_format and messages up to there.
 */
#ifndef OFFPEAK_CORE_PROMPT_H
#define OFFPEAK_CORE_PROMPT_H

#include "core/buf.h"
#include "core/err.h"
#include "core/hash.h"

#define PROMPT_NP        "1" /* raise it when a rule above or the Unicode version changes */
#define PROMPT_CHAIN_MAX 8
#define PROMPT_MODEL_MAX 64

enum prompt_level { PROMPT_L0, PROMPT_L1 };

struct prompt_link {
    uint64_t hash;
    uint32_t bytes; /* prompt bytes covered */
};

struct prompt {
    struct digest canonical;
    struct prompt_link chain[PROMPT_CHAIN_MAX];
    unsigned chain_len; /* at least 1 */
    char model[PROMPT_MODEL_MAX + 1];
    uint64_t body_bytes;
    uint64_t messages;
    bool text_only; /* no image, audio or file part, no web search */
    bool has_output_limit;
    uint64_t output_limit; /* the higher of max_completion_tokens and max_tokens */
    uint64_t choices;      /* n, default 1 */
    bool deterministic;    /* temperature is exactly 0 */
    bool stream;
    bool asks_other_tier; /* service_tier other than auto, default */
};

/* `body` passed jtext_check. ERR_INPUT names the field that is missing or wrong; a number beyond
 * 1e400 in any field is one. Needs memory for the members of the objects it is in, 16 bytes each. */
int prompt_read(struct span body, enum prompt_level level, struct prompt *ret,
                struct err *err);

/* The cache key: SHA-256 over scope (a team), origin (of the base URL), url path, PROMPT_NP and
 * level, and the canonical request. */
struct digest prompt_key(const char *scope, const char *origin, const char *path,
                         enum prompt_level level, const struct prompt *p);

/* A sound upper bound of the prompt's tokens: a token of a byte-level BPE covers at least one
 * byte of text, plus framing per message. UINT64_MAX when parts are not text. */
uint64_t prompt_tokens_bound(const struct prompt *p);

#endif
