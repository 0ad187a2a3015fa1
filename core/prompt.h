/*
 * prompt.h - what a request asks, independent of how it is spelled.
 *
 * prompt_read takes the checked `body` of a job line and the path it is for, and returns its
 * canonical form's digest at a normalisation level, the prefix chain, and the facts admission
 * needs. Equal questions get equal digests; different questions never do. What differs between
 * the paths (which fields are required, refused, dropped or split the provider's cache) is one
 * table each: prompt_chat.c, prompt_responses.c, prompt_embeddings.c. Levels (the id stored in
 * every key is PROMPT_NP plus the level):
 *
 *   L0  canonical JSON: object keys sorted bytewise, except inside the JSON Schemas of output
 *       formats and tools (Structured Outputs write keys in schema order, so order is meaning);
 *       numbers by exact decimal value (1 = 1.0 = 1e0; 2^53 and 2^53 + 1 differ); string bytes
 *       as they are after escapes are undone.
 *   L1  (default) L0, and strings get CR LF and CR as LF, a leading byte-order mark stripped,
 *       Unicode NFC; request fields that cannot change the answer are dropped: metadata, user,
 *       safety_identifier, stream and background (false), store, prompt_cache_key,
 *       prompt_cache_options, prompt_cache_retention and cache breakpoints of content parts.
 *
 * The chain: one hash goes over model and everything that splits a provider's prompt cache
 * (tools, output format, effort, tier, cache key; OpenAI, Prompt caching), then over the
 * canonical messages one by one; link j is that hash after message j. The last message is what a
 * call asks and never in a link, so requests with the same beginning meet in the root, chain[0],
 * which covers the settings and the first message. A request of one message has a root of its
 * settings alone. At most PROMPT_CHAIN_MAX links, the first ones. A link's length is the
 * canonical bytes of tools, output format and messages up to there. The messages of a response
 * are its `instructions` and then the items of `input`. Embeddings share no prefix: their root
 * is the model.
 *
 * Sources: OpenAI API reference, "Create chat completion", "Create a model response", "Create
 * embeddings".
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

enum prompt_path { PROMPT_CHAT, PROMPT_RESPONSES, PROMPT_EMBEDDINGS };
extern const char *const prompt_paths[PROMPT_EMBEDDINGS + 1]; /* "/v1/chat/completions" */
/* For those who have to choose one. */
#define PROMPT_PATHS_TEXT \
    "\"/v1/chat/completions\", \"/v1/responses\" or \"/v1/embeddings\""

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
    uint64_t messages; /* or items, the instructions among them; or inputs */
    uint64_t inputs;   /* vectors asked for; 0: it asks for none */
    bool text_only;    /* no image, audio or file part, no web search */
    bool has_output_limit;
    uint64_t output_limit; /* the higher of max_completion_tokens and max_tokens */
    uint64_t choices;      /* n, default 1 */
    bool deterministic;    /* temperature is exactly 0, or it asks for vectors */
    bool stream;
    bool asks_other_tier; /* service_tier other than auto, default */
};

/* By the raw JSON string of a line's url; -1: nothing can be sent there. */
int prompt_path_find(struct span raw_url, enum prompt_path *ret);

/* `body` passed jtext_check. ERR_INPUT names the field that is missing or wrong; a number beyond
 * 1e400 in any field is one. Needs memory for the members of the objects it is in, 16 bytes each. */
int prompt_read(enum prompt_path path, struct span body, enum prompt_level level,
                struct prompt *ret, struct err *err);

/* The cache key: SHA-256 over scope (a team), origin (of the base URL), url path, PROMPT_NP and
 * level, and the canonical request. */
struct digest prompt_key(const char *scope, const char *origin, const char *path,
                         enum prompt_level level, const struct prompt *p);

/* A sound upper bound of the prompt's tokens: a token of a byte-level BPE covers at least one
 * byte of text, plus framing per message. UINT64_MAX when parts are not text. */
uint64_t prompt_tokens_bound(const struct prompt *p);

#endif
