#include "tests/sim/ask.h"

#include "tests/sim/ask_check.h"
#include "tests/sim/canonical.h"
#include "tests/sim/prices.h"
#include "tests/sim/rng.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

static const char *const paths[ASK_KINDS] = {
    [ASK_CHAT] = "/v1/chat/completions",
    [ASK_RESPONSE] = "/v1/responses",
    [ASK_EMBEDDING] = "/v1/embeddings",
};

int ask_kind_find(const char *path, enum ask_kind *ret_kind)
{
    for (int i = 0; i < ASK_KINDS; i++) {
        if (!strcmp(path, paths[i])) {
            *ret_kind = (enum ask_kind)i;
            return 0;
        }
    }
    return -1;
}

/* Where the prompt stands in the canonical text, and what else a prompt cache compares. */
struct outline {
    size_t messages_from;
    size_t messages_to;
    size_t breakpoint_to; /* end of the last message with a cache breakpoint, or 0 */
    size_t tools_bytes;
    uint64_t scope;
};

/* A request that differs from another in one of these shares no prefix with it. */
static bool divides_the_cache(const char *key)
{
    static const char *const keys[] = {
        "functions",
        "model",
        "prompt_cache_key",
        "reasoning",
        "reasoning_effort",
        "response_format",
        "service_tier",
        "text",
        "tools",
        "verbosity",
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (!strcmp(key, keys[i])) {
            return true;
        }
    }
    return false;
}

static bool has_breakpoint(const json_t *message)
{
    const json_t *content = json_object_get(message, "content");
    for (size_t i = 0; i < json_array_size(content); i++) {
        if (json_object_get(json_array_get(content, i), "prompt_cache_breakpoint")) {
            return true;
        }
    }
    return false;
}

static void write_messages(struct text *out, const json_t *messages, struct outline *o)
{
    text_char(out, '[');
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        if (i) {
            text_char(out, ',');
        }
        canonical_write(out, message);
        if (has_breakpoint(message)) {
            o->breakpoint_to = out->len;
        }
    }
    text_char(out, ']');
}

/* The prompt of a response goes behind its body, in the order in which a model reads it. */
static void write_prompt(struct text *out, const json_t *body, struct outline *o)
{
    const json_t *instructions = json_object_get(body, "instructions");
    const json_t *input = json_object_get(body, "input");
    o->messages_from = out->len;
    text_char(out, '[');
    if (instructions) {
        canonical_write(out, instructions);
    } else {
        text_put(out, "null");
    }
    text_char(out, ',');
    if (json_is_array(input)) {
        write_messages(out, input, o);
    } else {
        canonical_write(out, input);
    }
    text_char(out, ']');
    o->messages_to = out->len;
}

static struct outline write_body(struct text *out, const json_t *body,
                                 const char *project)
{
    struct outline o = {.scope = mix_bytes(0, project, strlen(project))};
    const char **keys;
    size_t n = canonical_keys(body, &keys);
    text_clear(out);
    text_char(out, '{');
    for (size_t i = 0; i < n; i++) {
        if (i) {
            text_char(out, ',');
        }
        text_json(out, keys[i], strlen(keys[i]));
        text_char(out, ':');
        size_t from = out->len;
        if (!strcmp(keys[i], "messages")) {
            o.messages_from = from;
            write_messages(out, json_object_get(body, keys[i]), &o);
            o.messages_to = out->len;
        } else {
            canonical_write(out, json_object_get(body, keys[i]));
        }
        if (divides_the_cache(keys[i])) {
            o.scope = mix_bytes(mix_bytes(o.scope, keys[i], strlen(keys[i])),
                                out->data + from, out->len - from);
        }
        if (!strcmp(keys[i], "tools") || !strcmp(keys[i], "functions")) {
            o.tools_bytes += out->len - from;
        }
    }
    text_char(out, '}');
    free(keys);
    return o;
}

/* OpenAI, Prompt caching: explicit mode caches up to a breakpoint, or nothing. */
static size_t cacheable_bytes(const json_t *body, const struct outline *o)
{
    const json_t *options = json_object_get(body, "prompt_cache_options");
    const char *mode = json_string_value(json_object_get(options, "mode"));
    if (mode && !strcmp(mode, "explicit")) {
        return o->breakpoint_to ? o->breakpoint_to - o->messages_from : 0;
    }
    return o->messages_to - o->messages_from;
}

static void find_steps(struct ask *a, const struct outline *o, size_t bytes)
{
    const char *at = a->canonical.data + o->messages_from;
    size_t first = (size_t)ASK_CACHE_MIN_TOKENS * ASK_BYTES_PER_TOKEN;
    size_t step = (size_t)ASK_CACHE_STEP_TOKENS * ASK_BYTES_PER_TOKEN;
    uint32_t n = bytes < first ? 0 : (uint32_t)((bytes - first) / step + 1);
    if (n > a->steps_cap) {
        a->steps = must_realloc(a->steps, n, sizeof *a->steps);
        a->steps_cap = n;
    }
    uint64_t hash = o->scope;
    for (uint32_t i = 0; i < n; i++) {
        size_t length = i ? step : first;
        hash = mix_bytes(hash, at, length);
        at += length;
        a->steps[i] = hash;
    }
    a->facts.n_steps = n;
}

static int64_t count_tokens(const json_t *body, const struct outline *o)
{
    int64_t bytes = (int64_t)(o->messages_to - o->messages_from);
    int64_t messages = (int64_t)json_array_size(json_object_get(body, "messages")) +
                       (int64_t)json_array_size(json_object_get(body, "input"));
    int64_t tokens = 3 + (bytes + (int64_t)o->tools_bytes + ASK_BYTES_PER_TOKEN - 1) /
                             ASK_BYTES_PER_TOKEN;
    int64_t most = bytes + 8 * messages + 3;
    return tokens < most ? tokens : most;
}

static void write_as_it_came(struct text *out, const json_t *value)
{
    char *json = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    text_put(out, json ? json : "");
    free(json);
}

/* OpenAI, Structured Outputs: keys are written in the order of the schema, so two schemas
 * with another order ask for two things. */
static void write_schemas(struct text *out, const json_t *body)
{
    const json_t *format = json_object_get(body, "response_format");
    const json_t *of_text = json_object_get(json_object_get(body, "text"), "format");
    size_t i;
    json_t *tool;
    write_as_it_came(out,
                     json_object_get(json_object_get(format, "json_schema"), "schema"));
    write_as_it_came(out, json_object_get(of_text, "schema"));
    json_array_foreach(json_object_get(body, "tools"), i, tool)
    {
        write_as_it_came(
            out, json_object_get(json_object_get(tool, "function"), "parameters"));
        write_as_it_came(out, json_object_get(tool, "parameters"));
    }
}

static void take_prints(struct ask *a, const struct outline *o, const json_t *body,
                        const char *project)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)a->canonical.data + o->messages_from,
           o->messages_to - o->messages_from, a->facts.digest);
    text_put(&a->canonical, project);
    write_schemas(&a->canonical, body);
    SHA256((const unsigned char *)a->canonical.data, a->canonical.len, hash);
    memcpy(a->facts.body_print, hash, sizeof a->facts.body_print);
}

static bool is_json(const json_t *format)
{
    const char *type = json_string_value(json_object_get(format, "type"));
    return type && !strncmp(type, "json", 4);
}

static bool wants_json(const json_t *body)
{
    return is_json(json_object_get(body, "response_format")) ||
           is_json(json_object_get(json_object_get(body, "text"), "format"));
}

static int too_long(struct problem *p, const char *param, int64_t most, int64_t tokens)
{
    return problem_set(p, 400, param, "context_length_exceeded",
                       "This model's maximum context length is %lld tokens. However, "
                       "your messages resulted in %lld tokens. Please reduce the length "
                       "of the messages.",
                       (long long)most, (long long)tokens);
}

static int read_writing(struct ask *a, const json_t *body, const char *project,
                        struct problem *p)
{
    const struct price_row *price = price_row(a->facts.row);
    const json_t *n = json_object_get(body, "n");
    const char *tier = json_string_value(json_object_get(body, "service_tier"));
    a->facts.choices = json_is_integer(n) ? (int32_t)json_integer_value(n) : 1;
    a->facts.json_answer = wants_json(body);
    a->facts.flex = tier && !strcmp(tier, "flex");
    struct outline o = write_body(&a->canonical, body, project);
    if (a->facts.kind == ASK_RESPONSE) {
        write_prompt(&a->canonical, body, &o);
    }
    find_steps(a, &o, cacheable_bytes(body, &o));
    a->facts.prompt_tokens = count_tokens(body, &o);
    if (a->facts.prompt_tokens > price->context_tokens) {
        return too_long(p, a->facts.kind == ASK_CHAT ? "messages" : "input",
                        price->context_tokens, a->facts.prompt_tokens);
    }
    take_prints(a, &o, body, project);
    return 0;
}

/* ---- embeddings ---- */

/* One input: its digest, and its tokens. */
static int64_t read_input(struct ask *a, const json_t *input, unsigned char *ret_digest)
{
    text_clear(&a->canonical);
    canonical_write(&a->canonical, input);
    SHA256((const unsigned char *)a->canonical.data, a->canonical.len, ret_digest);
    return json_is_array(input)
               ? (int64_t)json_array_size(input)
               : ((int64_t)json_string_length(input) + ASK_BYTES_PER_TOKEN - 1) /
                     ASK_BYTES_PER_TOKEN;
}

static bool is_list_of_inputs(const json_t *input)
{
    return json_is_array(input) && !json_is_integer(json_array_get(input, 0));
}

static int read_inputs(struct ask *a, const json_t *input, struct problem *p)
{
    bool many = is_list_of_inputs(input);
    int64_t most = price_row(a->facts.row)->context_tokens;
    a->facts.n_inputs = many ? (uint32_t)json_array_size(input) : 1;
    if (a->facts.n_inputs > a->digests_cap) {
        a->digests_cap = a->facts.n_inputs;
        a->digests = must_realloc(a->digests, a->digests_cap, ASK_DIGEST_BYTES);
    }
    for (uint32_t i = 0; i < a->facts.n_inputs; i++) {
        int64_t tokens = read_input(a, many ? json_array_get(input, i) : input,
                                    a->digests + (size_t)i * ASK_DIGEST_BYTES);
        if (tokens > most) {
            return too_long(p, "input", most, tokens);
        }
        a->facts.prompt_tokens += tokens;
    }
    return a->facts.prompt_tokens <= ASK_REQUEST_TOKENS_MAX
               ? 0
               : problem_set(p, 400, "input", "max_tokens_per_request",
                             "Requested %lld tokens, max %d tokens per request",
                             (long long)a->facts.prompt_tokens, ASK_REQUEST_TOKENS_MAX);
}

static int read_embedding(struct ask *a, const json_t *body, const char *project,
                          struct problem *p)
{
    const json_t *dimensions = json_object_get(body, "dimensions");
    const char *format = json_string_value(json_object_get(body, "encoding_format"));
    a->facts.base64 = format && !strcmp(format, "base64");
    a->facts.dimensions = json_is_integer(dimensions)
                              ? (int32_t)json_integer_value(dimensions)
                              : price_row(a->facts.row)->dimensions;
    if (read_inputs(a, json_object_get(body, "input"), p) < 0) {
        return -1;
    }
    struct outline o = write_body(&a->canonical, body, project);
    take_prints(a, &o, body, project);
    return 0;
}

int ask_read(struct ask *a, enum ask_kind kind, const json_t *body, const char *project,
             struct problem *p)
{
    int row = 0;
    int64_t limit = -1;
    if (ask_check(kind, body, p, &row, &limit) < 0) {
        return -1;
    }
    a->facts = (struct ask_facts){.kind = kind, .row = row, .limit_tokens = limit};
    return kind == ASK_EMBEDDING ? read_embedding(a, body, project, p)
                                 : read_writing(a, body, project, p);
}

void ask_done(struct ask *a)
{
    free(a->steps);
    free(a->digests);
    text_done(&a->canonical);
    *a = (struct ask){0};
}
