#include "tests/sim/ask_check.h"
#include "tests/sim/ask_rules.h"

#include <string.h>

static bool is_tokens(const json_t *v)
{
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *token = json_array_get(v, i);
        if (!json_is_integer(token) || json_integer_value(token) < 0) {
            return false;
        }
    }
    return json_array_size(v) > 0;
}

static bool is_input(const json_t *v)
{
    return json_is_string(v) ? json_string_length(v) > 0 : is_tokens(v);
}

static int check_input(const json_t *body, struct problem *p)
{
    const json_t *input = json_object_get(body, "input");
    if (!input || json_is_null(input)) {
        return problem_set(p, 400, "input", "missing_required_parameter",
                           "Missing required parameter: 'input'.");
    }
    if (is_input(input)) {
        return 0;
    }
    if (!json_is_array(input) || json_array_size(input) == 0 ||
        json_array_size(input) > ASK_INPUTS_MAX) {
        return problem_set(p, 400, "input", "invalid_value",
                           "Invalid 'input': expected a string that is not empty, or an "
                           "array of 1 to %d of them.",
                           ASK_INPUTS_MAX);
    }
    for (size_t i = 0; i < json_array_size(input); i++) {
        if (!is_input(json_array_get(input, i))) {
            return problem_set(p, 400, "input", "invalid_value",
                               "Invalid 'input[%zu]': expected a string that is not "
                               "empty, or token ids.",
                               i);
        }
    }
    return 0;
}

static int check_form(const json_t *body, const struct price_row *row, struct problem *p)
{
    static const char *const formats[] = {"float", "base64"};
    const json_t *format = json_object_get(body, "encoding_format");
    const struct number_rule rule = {"dimensions", 1, row->dimensions, true};
    if (format && !json_is_null(format) &&
        (!json_is_string(format) ||
         !is_one_of(json_string_value(format), formats, COUNT(formats)))) {
        return problem_set(p, 400, "encoding_format", "invalid_value",
                           "Invalid value for 'encoding_format': expected 'float' or "
                           "'base64'.");
    }
    if (row->fixed_dimensions && json_object_get(body, "dimensions")) {
        return problem_set(p, 400, "dimensions", "unsupported_parameter",
                           "This model does not support specifying dimensions.");
    }
    return rule_numbers(body, &rule, 1, p);
}

int check_embedding(const json_t *body, struct problem *p, int row_index,
                    int64_t *ret_limit)
{
    static const char *const known[] = {"dimensions", "encoding_format", "input", "model",
                                        "user"};
    const struct price_row *row = price_row(row_index);
    *ret_limit = 0;
    if (!row->dimensions) {
        return problem_set(p, 403, "model", NULL,
                           "You are not allowed to generate embeddings from this model");
    }
    return check_input(body, p) < 0 || rule_known_fields(body, known, COUNT(known), p) < 0
               ? -1
               : check_form(body, row, p);
}
