/* Requests of /v1/chat/completions (OpenAI API reference, "Create chat completion"). */
#include "core/jtext.h"
#include "core/prompt_rules.h"

#define CHOICES_MAX 128

static int read_choices(struct prompt *p, const char *field, struct span value,
                        struct err *err)
{
    uint64_t n;
    if (jtext_type(value) == JTEXT_NULL) {
        return 0;
    }
    if (jtext_u64(value, &n) < 0 || n < 1 || n > CHOICES_MAX) {
        return field_wrong(err, field, value, "a whole number from 1 to 128");
    }
    p->choices = n;
    return 0;
}

/* The provider adds text of its own finding to the prompt. */
static int read_search(struct prompt *p, const char *field, struct span value,
                       struct err *err)
{
    (void)field;
    (void)err;
    p->text_only = p->text_only && jtext_type(value) == JTEXT_NULL;
    return 0;
}

/* ---- messages ---- */

static bool is_text_part(struct span part)
{
    struct span type;
    return jtext_get(part, "type", &type) &&
           (jtext_is_string(type, "text") || jtext_is_string(type, "refusal"));
}

static bool is_text_content(struct span content)
{
    struct span part;
    if (jtext_type(content) != JTEXT_ARRAY) {
        return true;
    }
    for (size_t at = 0; jtext_next(content, &at, NULL, &part);) {
        if (!is_text_part(part)) {
            return false;
        }
    }
    return true;
}

static int read_message(struct prompt *p, const char *field, struct span message,
                        struct err *err)
{
    bool has_role = false;
    struct span name, value;
    if (jtext_type(message) != JTEXT_OBJECT) {
        return element_wrong(err, field, p->messages, message,
                             "an object with \"role\" and \"content\"");
    }
    for (size_t at = 0; jtext_next(message, &at, &name, &value);) {
        if (jtext_is_string(name, "role")) {
            has_role = jtext_type(value) == JTEXT_STRING;
        } else if (jtext_is_string(name, "content")) {
            p->text_only = p->text_only && is_text_content(value);
        } else if (jtext_is_string(name, "audio")) {
            p->text_only = p->text_only && jtext_type(value) == JTEXT_NULL;
        }
    }
    if (!has_role) {
        return element_wrong(err, field, p->messages, message,
                             "an object with a \"role\" such as \"user\"");
    }
    p->messages++;
    return 0;
}

static int read_messages(struct prompt *p, const char *field, struct span value,
                         struct err *err)
{
    struct span message;
    if (jtext_type(value) != JTEXT_ARRAY) {
        return field_wrong(err, field, value, "a list of messages");
    }
    for (size_t at = 0; jtext_next(value, &at, NULL, &message);) {
        int rc = read_message(p, field, message, err);
        if (rc < 0) {
            return rc;
        }
    }
    return p->messages ? 0
                       : field_wrong(err, field, value, "a list of at least one message");
}

/* ---- the tables ---- */

static const struct prompt_field fields[] = {
    {"model", RULE_REQUIRED | RULE_SPLITS, PLACE_OTHER, read_model, "\"gpt-4o-mini\""},
    {"tools", RULE_SPLITS | RULE_TEXT, PLACE_TOOLS, NULL, NULL},
    {"tool_choice", RULE_SPLITS, PLACE_OTHER, NULL, NULL},
    {"functions", RULE_SPLITS | RULE_TEXT, PLACE_FUNCTION, NULL, NULL},
    {"function_call", RULE_SPLITS, PLACE_OTHER, NULL, NULL},
    {"response_format", RULE_SPLITS | RULE_TEXT, PLACE_FORMAT, NULL, NULL},
    {"reasoning_effort", RULE_SPLITS, PLACE_OTHER, NULL, NULL},
    {"verbosity", RULE_SPLITS, PLACE_OTHER, NULL, NULL},
    {"service_tier", RULE_SPLITS, PLACE_OTHER, read_tier, NULL},
    {"prompt_cache_key", RULE_SPLITS, PLACE_NO_MARK, NULL, NULL},
    {"messages", RULE_REQUIRED, PLACE_MESSAGES, read_messages,
     "[{\"role\": \"user\", \"content\": \"...\"}]"},
    {"max_completion_tokens", 0, PLACE_OTHER, read_output_limit, NULL},
    {"max_tokens", 0, PLACE_OTHER, read_output_limit, NULL},
    {"n", 0, PLACE_OTHER, read_choices, NULL},
    {"temperature", 0, PLACE_OTHER, read_temperature, NULL},
    {"web_search_options", 0, PLACE_OTHER, read_search, NULL},
    {"stream", 0, PLACE_FALSE, read_flag_stream, NULL},
    {"metadata", 0, PLACE_NO_MARK, NULL, NULL},
    {"user", 0, PLACE_NO_MARK, NULL, NULL},
    {"safety_identifier", 0, PLACE_NO_MARK, NULL, NULL},
    {"store", 0, PLACE_NO_MARK, NULL, NULL},
    {"prompt_cache_options", 0, PLACE_NO_MARK, NULL, NULL},
    {"prompt_cache_retention", 0, PLACE_NO_MARK, NULL, NULL},
};

static const struct prompt_place places[] = {
    {PLACE_MESSAGES, "content", PLACE_CONTENT},
    {PLACE_CONTENT, "prompt_cache_breakpoint", PLACE_NO_MARK},
    {PLACE_TOOLS, "function", PLACE_FUNCTION},
    {PLACE_FUNCTION, "parameters", PLACE_SCHEMA},
    {PLACE_FORMAT, "json_schema", PLACE_FORMAT_SCHEMA},
    {PLACE_FORMAT_SCHEMA, "schema", PLACE_SCHEMA},
};

const struct prompt_rules prompt_chat = {
    .fields = fields,
    .fields_n = ARRAY_LEN(fields),
    .places = places,
    .places_n = ARRAY_LEN(places),
};
