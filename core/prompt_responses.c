/*
 * Requests of /v1/responses (OpenAI API reference, "Create a model response").
 *
 * A job stands on its own: what it asks is all in its body. So a body that goes on with a
 * conversation kept at the provider, or names a prompt kept there, is refused by name. So is a
 * tool that the provider itself runs: it is billed beside the tokens, by prices no list of ours
 * holds.
 */
#include "core/jtext.h"
#include "core/prompt_rules.h"

/* ---- what no job can ask for ---- */

static int read_state(struct prompt *p, const char *field, struct span value,
                      struct err *err)
{
    (void)p;
    if (jtext_type(value) == JTEXT_NULL) {
        return 0;
    }
    err_set(err, ERR_INPUT,
            "body.%s names what is kept at the provider, and a job stands on its own",
            field);
    err_hint(err, "write it out in \"input\" and \"instructions\" and remove \"%s\"",
             field);
    return -ERR_INPUT;
}

static int read_background(struct prompt *p, const char *field, struct span value,
                           struct err *err)
{
    bool wanted;
    (void)p;
    int rc = read_bool(field, value, &wanted, err);
    return rc == 0 && wanted
               ? field_wrong(err, field, value,
                             "false or left out: every job is answered later")
               : rc;
}

/* OpenAI, Prompt caching: `prewarm` fills the cache and gives no answer. */
static int read_cache_options(struct prompt *p, const char *field, struct span value,
                              struct err *err)
{
    struct span prewarm;
    (void)p;
    if (jtext_type(value) == JTEXT_OBJECT && jtext_get(value, "prewarm", &prewarm) &&
        jtext_true(prewarm)) {
        return field_wrong(err, field, value,
                           "without \"prewarm\", which gives no answer");
    }
    return 0;
}

static int read_tools(struct prompt *p, const char *field, struct span value,
                      struct err *err)
{
    struct span tool, type;
    uint64_t index = 0;
    (void)p;
    if (jtext_type(value) == JTEXT_NULL) {
        return 0;
    }
    if (jtext_type(value) != JTEXT_ARRAY) {
        return field_wrong(err, field, value, "a list of tools");
    }
    for (size_t at = 0; jtext_next(value, &at, NULL, &tool); index++) {
        if (jtext_type(tool) != JTEXT_OBJECT || !jtext_get(tool, "type", &type) ||
            !(jtext_is_string(type, "function") || jtext_is_string(type, "custom"))) {
            return element_wrong(err, field, index, tool,
                                 "a tool of type \"function\" or \"custom\": what the "
                                 "provider runs itself has no price by the token");
        }
    }
    return 0;
}

/* ---- input ---- */

static bool is_one_of(struct span value, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (jtext_is_string(value, words[i])) {
            return true;
        }
    }
    return false;
}

static bool is_text_content(struct span content)
{
    static const char *const text[] = {"input_text", "output_text", "refusal"};
    struct span part, type;
    if (jtext_type(content) != JTEXT_ARRAY) {
        return true;
    }
    for (size_t at = 0; jtext_next(content, &at, NULL, &part);) {
        if (!jtext_get(part, "type", &type) || !is_one_of(type, text, ARRAY_LEN(text))) {
            return false;
        }
    }
    return true;
}

/* A message says its role; everything else its type. */
static bool is_text_item(struct span item)
{
    static const char *const text[] = {"message", "function_call", "function_call_output",
                                       "custom_tool_call", "custom_tool_call_output"};
    struct span value;
    if (jtext_get(item, "type", &value) && !is_one_of(value, text, ARRAY_LEN(text))) {
        return false;
    }
    return (!jtext_get(item, "content", &value) || is_text_content(value)) &&
           (!jtext_get(item, "output", &value) || is_text_content(value));
}

static bool is_reference(struct span item)
{
    struct span type;
    return jtext_get(item, "type", &type) && jtext_is_string(type, "item_reference");
}

static int read_item(struct prompt *p, const char *field, uint64_t index,
                     struct span item, struct err *err)
{
    struct span name;
    bool is_item =
        jtext_type(item) == JTEXT_OBJECT &&
        ((jtext_get(item, "role", &name) && jtext_type(name) == JTEXT_STRING) ||
         (jtext_get(item, "type", &name) && jtext_type(name) == JTEXT_STRING));
    if (!is_item) {
        return element_wrong(err, field, index, item,
                             "an object with a \"role\" such as \"user\", or a \"type\"");
    }
    if (is_reference(item)) {
        return element_wrong(err, field, index, item,
                             "written out: a job stands on its own");
    }
    p->text_only = p->text_only && is_text_item(item);
    p->messages++;
    return 0;
}

static int read_input(struct prompt *p, const char *field, struct span value,
                      struct err *err)
{
    struct span item;
    uint64_t index = 0;
    if (jtext_type(value) == JTEXT_STRING) {
        p->messages++;
        return 0;
    }
    if (jtext_type(value) != JTEXT_ARRAY) {
        return field_wrong(err, field, value, "a text or a list of items");
    }
    for (size_t at = 0; jtext_next(value, &at, NULL, &item); index++) {
        int rc = read_item(p, field, index, item, err);
        if (rc < 0) {
            return rc;
        }
    }
    return index ? 0 : field_wrong(err, field, value, "a list of at least one item");
}

static int read_instructions(struct prompt *p, const char *field, struct span value,
                             struct err *err)
{
    enum jtext_type type = jtext_type(value);
    if (type != JTEXT_STRING && type != JTEXT_NULL) {
        return field_wrong(err, field, value, "a text");
    }
    p->messages += type == JTEXT_STRING;
    return 0;
}

/* ---- the tables ---- */

static const struct prompt_field fields[] = {
    {"model", RULE_REQUIRED | RULE_SPLITS, PLACE_OTHER, read_model, "\"gpt-5.4-mini\""},
    {"tools", RULE_SPLITS | RULE_TEXT, PLACE_TOOLS, read_tools, NULL},
    {"tool_choice", RULE_SPLITS, PLACE_OTHER, NULL, NULL},
    {"text", RULE_SPLITS | RULE_TEXT, PLACE_FORMAT, NULL, NULL},
    {"reasoning", RULE_SPLITS, PLACE_OTHER, NULL, NULL},
    {"service_tier", RULE_SPLITS, PLACE_OTHER, read_tier, NULL},
    {"prompt_cache_key", RULE_SPLITS, PLACE_NO_MARK, NULL, NULL},
    {"instructions", RULE_SPLITS | RULE_TEXT | RULE_FIRST, PLACE_OTHER, read_instructions,
     NULL},
    {"input", RULE_REQUIRED, PLACE_MESSAGES, read_input, "\"...\""},
    {"max_output_tokens", 0, PLACE_OTHER, read_output_limit, NULL},
    {"temperature", 0, PLACE_OTHER, read_temperature, NULL},
    {"stream", 0, PLACE_FALSE, read_flag_stream, NULL},
    {"background", 0, PLACE_FALSE, read_background, NULL},
    {"previous_response_id", 0, PLACE_OTHER, read_state, NULL},
    {"conversation", 0, PLACE_OTHER, read_state, NULL},
    {"prompt", 0, PLACE_OTHER, read_state, NULL},
    {"metadata", 0, PLACE_NO_MARK, NULL, NULL},
    {"user", 0, PLACE_NO_MARK, NULL, NULL},
    {"safety_identifier", 0, PLACE_NO_MARK, NULL, NULL},
    {"store", 0, PLACE_NO_MARK, NULL, NULL},
    {"prompt_cache_options", 0, PLACE_NO_MARK, read_cache_options, NULL},
    {"prompt_cache_retention", 0, PLACE_NO_MARK, NULL, NULL},
};

static const struct prompt_place places[] = {
    {PLACE_MESSAGES, "content", PLACE_CONTENT},
    {PLACE_MESSAGES, "output", PLACE_CONTENT},
    {PLACE_CONTENT, "prompt_cache_breakpoint", PLACE_NO_MARK},
    {PLACE_TOOLS, "parameters", PLACE_SCHEMA},
    {PLACE_FORMAT, "format", PLACE_FORMAT_SCHEMA},
    {PLACE_FORMAT_SCHEMA, "schema", PLACE_SCHEMA},
};

const struct prompt_rules prompt_responses = {
    .fields = fields,
    .fields_n = ARRAY_LEN(fields),
    .places = places,
    .places_n = ARRAY_LEN(places),
};
