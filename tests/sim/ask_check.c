#include "tests/sim/ask_check.h"

#include "tests/sim/ask_rules.h"

#include <string.h>

static int check_known_fields(const json_t *body, struct problem *p)
{
    static const char *const known[] = {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    };
    return rule_known_fields(body, known, COUNT(known), p);
}

static int check_content(const json_t *message, const char *role, size_t i,
                         struct problem *p)
{
    char where[48];
    snprintf(where, sizeof where, "messages[%zu].content", i);
    const json_t *content = json_object_get(message, "content");
    if (json_is_string(content)) {
        return 0;
    }
    if (!strcmp(role, "assistant") && (!content || json_is_null(content))) {
        return 0; /* tool calls may stand alone */
    }
    if (!json_is_array(content) || json_array_size(content) == 0) {
        return problem_set(p, 400, where, "invalid_type",
                           "Invalid value for '%s': expected a string or an array of "
                           "content parts.",
                           where);
    }
    for (size_t k = 0; k < json_array_size(content); k++) {
        if (!json_is_string(json_object_get(json_array_get(content, k), "type"))) {
            return problem_set(p, 400, where, "missing_required_parameter",
                               "Missing required parameter: '%s[%zu].type'.", where, k);
        }
    }
    return 0;
}

static int check_message(const json_t *message, size_t i, struct problem *p)
{
    static const char *const roles[] = {"developer", "system", "user",
                                        "assistant", "tool",   "function"};
    char where[48];
    snprintf(where, sizeof where, "messages[%zu].role", i);
    const char *role = json_string_value(json_object_get(message, "role"));
    if (!role) {
        return problem_set(p, 400, where, "missing_required_parameter",
                           "Missing required parameter: '%s'.", where);
    }
    if (!is_one_of(role, roles, COUNT(roles))) {
        return problem_set(p, 400, where, "invalid_value",
                           "Invalid value: '%.40s'. Supported values are: 'system', "
                           "'assistant', 'user', 'function', 'tool', and 'developer'.",
                           role);
    }
    return check_content(message, role, i, p);
}

static int check_messages(const json_t *body, struct problem *p)
{
    const json_t *messages = json_object_get(body, "messages");
    if (!messages) {
        return problem_set(p, 400, "messages", "missing_required_parameter",
                           "Missing required parameter: 'messages'.");
    }
    if (!json_is_array(messages)) {
        return problem_set(p, 400, "messages", "invalid_type",
                           "Invalid type for 'messages': expected an array of objects.");
    }
    if (json_array_size(messages) == 0) {
        return problem_set(
            p, 400, "messages", "empty_array",
            "Invalid 'messages': empty array. Expected an array with minimum "
            "length 1, but got an empty array instead.");
    }
    for (size_t i = 0; i < json_array_size(messages); i++) {
        if (check_message(json_array_get(messages, i), i, p) < 0) {
            return -1;
        }
    }
    return 0;
}

static int check_numbers(const json_t *body, struct problem *p)
{
    static const struct number_rule rules[] = {
        {"temperature", 0, 2, false},       {"top_p", 0, 1, false},
        {"presence_penalty", -2, 2, false}, {"frequency_penalty", -2, 2, false},
        {"n", 1, ASK_CHOICES_MAX, true},    {"top_logprobs", 0, 20, true},
        {"max_tokens", 1, 1e12, true},      {"max_completion_tokens", 1, 1e12, true},
        {"seed", -0x1p63, 0x1p63, true},
    };
    return rule_numbers(body, rules, COUNT(rules), p);
}

static int check_limit(const json_t *body, const struct price_row *row, struct problem *p,
                       int64_t *ret_limit)
{
    const json_t *old = json_object_get(body, "max_tokens");
    const json_t *limit = json_object_get(body, "max_completion_tokens");
    bool has_old = json_is_integer(old);
    if (has_old && row->reasoning) {
        return problem_set(
            p, 400, "max_tokens", "unsupported_parameter",
            "Unsupported parameter: 'max_tokens' is not supported with this "
            "model. Use 'max_completion_tokens' instead.");
    }
    if (has_old && json_is_integer(limit)) {
        return problem_set(p, 400, "max_tokens", "invalid_parameter_combination",
                           "Setting 'max_tokens' and 'max_completion_tokens' at the same "
                           "time is not supported.");
    }
    const json_t *given = has_old ? old : limit;
    if (!json_is_integer(given)) {
        *ret_limit = -1;
        return 0;
    }
    const char *name = has_old ? "max_tokens" : "max_completion_tokens";
    int64_t tokens = json_integer_value(given);
    if (tokens > row->output_tokens_max) {
        return problem_set(p, 400, name, "invalid_value",
                           "%s is too large: %lld. This model supports at most %lld "
                           "completion tokens, whereas you provided %lld.",
                           name, (long long)tokens, (long long)row->output_tokens_max,
                           (long long)tokens);
    }
    *ret_limit = tokens;
    return 0;
}

static int check_format(const json_t *body, struct problem *p)
{
    static const char *const types[] = {"text", "json_object", "json_schema"};
    const json_t *format = json_object_get(body, "response_format");
    if (!format || json_is_null(format)) {
        return 0;
    }
    const char *type = json_string_value(json_object_get(format, "type"));
    if (!type || !is_one_of(type, types, COUNT(types))) {
        return problem_set(
            p, 400, "response_format.type", "invalid_value",
            "Invalid value for 'response_format.type'. Supported values are: "
            "'json_object', 'json_schema', and 'text'.");
    }
    const json_t *schema = json_object_get(format, "json_schema");
    if (!strcmp(type, "json_schema") &&
        !json_is_string(json_object_get(schema, "name"))) {
        return problem_set(
            p, 400, "response_format.json_schema.name", "missing_required_parameter",
            "Missing required parameter: 'response_format.json_schema.name'.");
    }
    return 0;
}

static int check_chat(const json_t *body, struct problem *p, int row_index,
                      int64_t *ret_limit)
{
    const struct price_row *row = price_row(row_index);
    if (row->dimensions) {
        return problem_set(p, 404, "model", "model_not_found",
                           "This is not a chat model and thus not supported in the "
                           "v1/chat/completions endpoint.");
    }
    return check_messages(body, p) < 0 || check_known_fields(body, p) < 0 ||
                   check_numbers(body, p) < 0 ||
                   check_limit(body, row, p, ret_limit) < 0 || check_format(body, p) < 0
               ? -1
               : rule_writing(body, row, p);
}

int ask_check(enum ask_kind kind, const json_t *body, struct problem *p, int *ret_row,
              int64_t *ret_limit)
{
    static int (*const checks[ASK_KINDS])(const json_t *body, struct problem *p, int row,
                                          int64_t *ret_limit) = {
        [ASK_CHAT] = check_chat,
        [ASK_RESPONSE] = check_response,
        [ASK_EMBEDDING] = check_embedding,
    };
    *ret_limit = -1;
    if (!json_is_object(body)) {
        return problem_set(p, 400, NULL, NULL,
                           "We could not parse the JSON body of your request.");
    }
    return rule_model(body, p, ret_row) < 0 ? -1
                                            : checks[kind](body, p, *ret_row, ret_limit);
}
