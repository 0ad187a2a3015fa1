#include "tests/sim/ask_check.h"
#include "tests/sim/ask_rules.h"

#include <string.h>

enum { OUTPUT_MIN = 16 };

static int check_known_fields(const json_t *body, struct problem *p)
{
    static const char *const known[] = {
        "background",
        "conversation",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    };
    return rule_known_fields(body, known, COUNT(known), p);
}

/* Nothing is kept here that a request could go on with. */
static int check_state(const json_t *body, struct problem *p)
{
    static const char *const names[] = {"conversation", "previous_response_id", "prompt"};
    for (size_t i = 0; i < COUNT(names); i++) {
        const json_t *v = json_object_get(body, names[i]);
        if (v && !json_is_null(v)) {
            return problem_set(p, 404, names[i], NULL, "'%s' not found.", names[i]);
        }
    }
    if (json_is_true(json_object_get(body, "background"))) {
        return problem_set(p, 400, "background", "unsupported_value",
                           "Background responses are not supported here.");
    }
    return 0;
}

static int check_item(const json_t *item, size_t i, struct problem *p)
{
    static const char *const roles[] = {"developer", "system", "user", "assistant"};
    char where[48];
    const char *role = json_string_value(json_object_get(item, "role"));
    const json_t *content = json_object_get(item, "content");
    snprintf(where, sizeof where, "input[%zu]", i);
    if (!role && json_is_string(json_object_get(item, "type")) &&
        strcmp(json_string_value(json_object_get(item, "type")), "message") != 0) {
        return 0; /* calls of tools and their outputs */
    }
    if (!role || !is_one_of(role, roles, COUNT(roles))) {
        return problem_set(p, 400, where, "invalid_value",
                           "Invalid value: '%s.role'. Supported values are: 'assistant', "
                           "'system', 'developer', and 'user'.",
                           where);
    }
    if (!json_is_string(content) && json_array_size(content) == 0) {
        return problem_set(
            p, 400, where, "invalid_type",
            "Invalid type for '%s.content': expected a string or an array.", where);
    }
    return 0;
}

static int check_input(const json_t *body, struct problem *p)
{
    const json_t *input = json_object_get(body, "input");
    if (!input || json_is_null(input)) {
        return problem_set(p, 400, "input", "missing_required_parameter",
                           "Missing required parameter: 'input'.");
    }
    if (json_is_string(input)) {
        return 0;
    }
    if (json_array_size(input) == 0) {
        return problem_set(p, 400, "input", "invalid_type",
                           "Invalid type for 'input': expected a string or an array of "
                           "input items.");
    }
    for (size_t i = 0; i < json_array_size(input); i++) {
        if (check_item(json_array_get(input, i), i, p) < 0) {
            return -1;
        }
    }
    return 0;
}

static int check_instructions(const json_t *body, struct problem *p)
{
    const json_t *v = json_object_get(body, "instructions");
    return !v || json_is_null(v) || json_is_string(v)
               ? 0
               : problem_set(p, 400, "instructions", "invalid_type",
                             "Invalid type for 'instructions': expected a string.");
}

static int check_format(const json_t *body, struct problem *p)
{
    static const char *const types[] = {"text", "json_object", "json_schema"};
    const json_t *format = json_object_get(json_object_get(body, "text"), "format");
    const char *type = json_string_value(json_object_get(format, "type"));
    if (!format || json_is_null(format)) {
        return 0;
    }
    if (!type || !is_one_of(type, types, COUNT(types))) {
        return problem_set(p, 400, "text.format.type", "invalid_value",
                           "Invalid value for 'text.format.type'. Supported values are: "
                           "'json_object', 'json_schema', and 'text'.");
    }
    if (!strcmp(type, "json_schema") &&
        (!json_is_string(json_object_get(format, "name")) ||
         !json_is_object(json_object_get(format, "schema")))) {
        return problem_set(p, 400, "text.format.name", "missing_required_parameter",
                           "Missing required parameter: 'text.format.name'.");
    }
    return 0;
}

static int check_numbers(const json_t *body, const struct price_row *row,
                         struct problem *p, int64_t *ret_limit)
{
    const struct number_rule rules[] = {
        {"temperature", 0, 2, false},
        {"top_p", 0, 1, false},
        {"top_logprobs", 0, 20, true},
        {"max_output_tokens", OUTPUT_MIN, (double)row->output_tokens_max, true},
    };
    const json_t *limit = json_object_get(body, "max_output_tokens");
    if (rule_numbers(body, rules, COUNT(rules), p) < 0) {
        return -1;
    }
    *ret_limit = json_is_integer(limit) ? json_integer_value(limit) : -1;
    return 0;
}

int check_response(const json_t *body, struct problem *p, int row_index,
                   int64_t *ret_limit)
{
    const struct price_row *row = price_row(row_index);
    if (row->dimensions) {
        return problem_set(p, 400, "model", "unsupported_model",
                           "The requested model '%s' cannot be used with the Responses "
                           "API.",
                           row->id);
    }
    return check_input(body, p) < 0 || check_instructions(body, p) < 0 ||
                   check_known_fields(body, p) < 0 || check_state(body, p) < 0 ||
                   check_numbers(body, row, p, ret_limit) < 0 || check_format(body, p) < 0
               ? -1
               : rule_writing(body, row, p);
}
