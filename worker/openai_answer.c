/*
 * What the body of a reply with status 2xx says: a chat completion, a response or a list of
 * embeddings (OpenAI API reference, the objects of those names). Which one it is shows in
 * `object` and in the member that holds the answer, so servers that leave one out are read too.
 */
#include "worker/openai.h"

#include "core/jtext.h"

static bool number(struct span object, const char *key, uint64_t *ret)
{
    struct span v;
    return jtext_get(object, key, &v) && jtext_u64(v, ret) == 0;
}

/* A number that may be absent or null, which is 0; false when it is something else. */
static bool number_or_none(struct span object, const char *key, uint64_t *ret)
{
    struct span v;
    *ret = 0;
    if (!jtext_get(object, key, &v) || jtext_type(v) == JTEXT_NULL) {
        return true;
    }
    return jtext_u64(v, ret) == 0;
}

static bool member(struct span of, const char *key, enum jtext_type type,
                   struct span *ret)
{
    return jtext_get(of, key, ret) && jtext_type(*ret) == type;
}

/* ---- usage ---- */

/* What the classes of tokens are called; NULL: it has none. */
struct usage_names {
    const char *input, *input_details, *output, *output_details;
};

static bool read_usage(struct span usage, const struct usage_names *n, struct usage *ret)
{
    struct span details;
    uint64_t total;
    if (!number(usage, n->input, &ret->input) ||
        (n->output && !number(usage, n->output, &ret->output)) ||
        !number_or_none(usage, "total_tokens", &total)) {
        return false;
    }
    if (n->input_details && member(usage, n->input_details, JTEXT_OBJECT, &details) &&
        (!number_or_none(details, "cached_tokens", &ret->cache_read) ||
         !number_or_none(details, "cache_write_tokens", &ret->cache_write))) {
        return false;
    }
    if (n->output_details && member(usage, n->output_details, JTEXT_OBJECT, &details) &&
        !number_or_none(details, "reasoning_tokens", &ret->reasoning)) {
        return false;
    }
    return total == 0 || total == ret->input + ret->output;
}

/* The classes must add up to what they say was billed. */
static bool can_be(const struct usage *u)
{
    return u->input <= OPENAI_TOKENS_MAX && u->output <= OPENAI_TOKENS_MAX &&
           u->cache_read <= u->input && u->cache_write <= u->input - u->cache_read &&
           u->reasoning <= u->output;
}

/* ---- chat completions ---- */

/* Nothing cut off, filtered or refused: every choice ended by itself. */
static bool chat_complete(struct span body, struct answer *a)
{
    struct span choices, choice, v, message;
    size_t n = 0;
    (void)a;
    if (!member(body, "choices", JTEXT_ARRAY, &choices)) {
        return false;
    }
    for (size_t at = 0; jtext_next(choices, &at, NULL, &choice); n++) {
        if (!jtext_get(choice, "finish_reason", &v) ||
            !(jtext_is_string(v, "stop") || jtext_is_string(v, "tool_calls") ||
              jtext_is_string(v, "function_call"))) {
            return false;
        }
        if (member(choice, "message", JTEXT_OBJECT, &message) &&
            jtext_get(message, "refusal", &v) && jtext_type(v) != JTEXT_NULL &&
            !jtext_is_string(v, "")) {
            return false;
        }
    }
    return n > 0;
}

/* ---- responses ---- */

static bool has_refusal(struct span item)
{
    struct span content, part, type;
    if (!member(item, "content", JTEXT_ARRAY, &content)) {
        return false;
    }
    for (size_t at = 0; jtext_next(content, &at, NULL, &part);) {
        if (jtext_get(part, "type", &type) && jtext_is_string(type, "refusal")) {
            return true;
        }
    }
    return false;
}

static bool response_complete(struct span body, struct answer *a)
{
    struct span status, output, item, v;
    size_t n = 0;
    (void)a;
    if (!jtext_get(body, "status", &status) || !jtext_is_string(status, "completed") ||
        !member(body, "output", JTEXT_ARRAY, &output)) {
        return false;
    }
    for (size_t at = 0; jtext_next(output, &at, NULL, &item); n++) {
        bool cut = jtext_get(item, "status", &v) && jtext_is_string(v, "incomplete");
        if (cut || has_refusal(item)) {
            return false;
        }
    }
    return n > 0;
}

/* Errors of a response that the same request may not meet again. */
static bool is_passing(struct span error)
{
    static const char *const codes[] = {"server_error", "rate_limit_exceeded",
                                        "vector_store_timeout"};
    struct span code;
    if (!jtext_get(error, "code", &code)) {
        return true; /* cancelled, or no reason given */
    }
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        if (jtext_is_string(code, codes[i])) {
            return true;
        }
    }
    return false;
}

/* A response may fail inside a status of 200. */
static enum line_kind response_end(struct span body, struct answer *a)
{
    struct span status;
    if (!jtext_get(body, "status", &status) ||
        !(jtext_is_string(status, "failed") || jtext_is_string(status, "cancelled"))) {
        return LINE_ANSWER;
    }
    if (!member(body, "error", JTEXT_OBJECT, &a->error)) {
        a->error = SPAN_NONE;
    }
    bool passing = a->error.n == 0 || is_passing(a->error);
    bool billed = a->usage_known && (a->usage.input > 0 || a->usage.output > 0);
    if (!passing) {
        return LINE_REFUSED;
    }
    return billed ? LINE_FAILED : LINE_BUSY;
}

/* ---- embeddings ---- */

static bool is_vector(struct span v)
{
    struct span first;
    size_t at = 0;
    return jtext_type(v) == JTEXT_ARRAY
               ? jtext_next(v, &at, NULL, &first)
               : jtext_type(v) == JTEXT_STRING && !jtext_is_string(v, "");
}

/* Each input's vector is there, once: as many as have the places 0 to n - 1. */
static bool vectors_complete(struct span body, struct answer *a)
{
    uint64_t seen[OPENAI_INPUTS_MAX / 64] = {0}, index, n = 0, highest = 0;
    struct span data, row, vector;
    if (!member(body, "data", JTEXT_ARRAY, &data)) {
        return false;
    }
    for (size_t at = 0; jtext_next(data, &at, NULL, &row); n++) {
        if (!number(row, "index", &index) || index >= OPENAI_INPUTS_MAX ||
            (seen[index / 64] >> index % 64 & 1) ||
            !jtext_get(row, "embedding", &vector) || !is_vector(vector)) {
            return false;
        }
        seen[index / 64] |= UINT64_C(1) << index % 64;
        highest = MAX_OF(highest, index);
    }
    if (n == 0 || highest != n - 1) {
        return false;
    }
    a->vectors = (uint32_t)n;
    return true;
}

/* ---- which it is ---- */

static const struct shape {
    const char *object, *mark; /* what it says it is; the member that holds the answer */
    struct usage_names usage;
    bool (*complete)(struct span body, struct answer *a);
    enum line_kind (*end)(struct span body, struct answer *a); /* NULL: it is answered */
} shapes[] = {
    {"chat.completion",
     "choices",
     {"prompt_tokens", "prompt_tokens_details", "completion_tokens",
      "completion_tokens_details"},
     chat_complete,
     NULL},
    {"response",
     "output",
     {"input_tokens", "input_tokens_details", "output_tokens", "output_tokens_details"},
     response_complete,
     response_end},
    {"list", "data", {"prompt_tokens", NULL, NULL, NULL}, vectors_complete, NULL},
};

/* The first, which asks for the most, when none fits. */
static const struct shape *shape_of(struct span body)
{
    struct span object, v;
    bool says = jtext_get(body, "object", &object);
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        if ((says && jtext_is_string(object, shapes[i].object)) ||
            jtext_get(body, shapes[i].mark, &v)) {
            return &shapes[i];
        }
    }
    return &shapes[0];
}

bool openai_usage(struct span body, struct usage *ret)
{
    struct span usage;
    struct usage u = {0};
    if (!member(body, "usage", JTEXT_OBJECT, &usage) ||
        !read_usage(usage, &shape_of(body)->usage, &u) || !can_be(&u)) {
        return false;
    }
    *ret = u;
    return true;
}

enum line_kind openai_body(struct span body, struct answer *a)
{
    const struct shape *shape = shape_of(body);
    a->body = body;
    a->usage_known = openai_usage(body, &a->usage);
    a->complete = shape->complete(body, a);
    return shape->end ? shape->end(body, a) : LINE_ANSWER;
}
