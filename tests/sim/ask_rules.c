#include "tests/sim/ask_rules.h"

#include <string.h>

bool is_one_of(const char *s, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(s, list[i])) {
            return true;
        }
    }
    return false;
}

int rule_known_fields(const json_t *body, const char *const *known, size_t n,
                      struct problem *p)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)body, key, value)
    {
        if (!is_one_of(key, known, n)) {
            return problem_set(p, 400, key, "unknown_parameter",
                               "Unknown parameter: '%s'.", key);
        }
    }
    return 0;
}

int rule_model(const json_t *body, struct problem *p, int *ret_row)
{
    const json_t *model = json_object_get(body, "model");
    if (!model) {
        return problem_set(p, 400, "model", "missing_required_parameter",
                           "Missing required parameter: 'model'.");
    }
    if (!json_is_string(model)) {
        return problem_set(p, 400, "model", "invalid_type",
                           "Invalid type for 'model': expected a string.");
    }
    int row = price_find(json_string_value(model));
    if (row < 0) {
        return problem_set(
            p, 404, NULL, "model_not_found",
            "The model `%s` does not exist or you do not have access to it.",
            json_string_value(model));
    }
    *ret_row = row;
    return 0;
}

static int check_number(const json_t *v, const struct number_rule *rule,
                        struct problem *p)
{
    if (rule->integer ? !json_is_integer(v) : !json_is_number(v)) {
        return problem_set(p, 400, rule->name, "invalid_type",
                           "Invalid type for '%s': expected %s.", rule->name,
                           rule->integer ? "an integer" : "a decimal");
    }
    double x = json_number_value(v);
    if (x < rule->min) {
        return problem_set(p, 400, rule->name, "integer_below_min_value",
                           "Invalid '%s': expected a value >= %g, but got %g instead.",
                           rule->name, rule->min, x);
    }
    if (x > rule->max) {
        return problem_set(p, 400, rule->name, "invalid_value",
                           "Invalid '%s': expected a value <= %g, but got %g instead.",
                           rule->name, rule->max, x);
    }
    return 0;
}

int rule_numbers(const json_t *body, const struct number_rule *rules, size_t n,
                 struct problem *p)
{
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_object_get(body, rules[i].name);
        if (v && !json_is_null(v) && check_number(v, &rules[i], p) < 0) {
            return -1;
        }
    }
    return 0;
}

static int check_tier(const json_t *body, const struct price_row *row, struct problem *p)
{
    static const char *const tiers[] = {"auto",  "default",  "flex",
                                        "scale", "priority", "fast"};
    const json_t *tier = json_object_get(body, "service_tier");
    if (!tier || json_is_null(tier)) {
        return 0;
    }
    const char *name = json_string_value(tier);
    if (!name || !is_one_of(name, tiers, COUNT(tiers)) ||
        (!strcmp(name, "flex") && !row->reasoning)) {
        return problem_set(p, 400, "service_tier", "invalid_value",
                           "Invalid service_tier argument.");
    }
    return 0;
}

static int check_sampling(const json_t *body, const struct price_row *row,
                          struct problem *p)
{
    const json_t *t = json_object_get(body, "temperature");
    if (row->fixed_sampling && json_is_number(t) && json_number_value(t) != 1) {
        return problem_set(
            p, 400, "temperature", "unsupported_value",
            "Unsupported value: 'temperature' does not support %g with this "
            "model. Only the default (1) value is supported.",
            json_number_value(t));
    }
    return 0;
}

int rule_writing(const json_t *body, const struct price_row *row, struct problem *p)
{
    if (check_sampling(body, row, p) < 0 || check_tier(body, row, p) < 0) {
        return -1;
    }
    if (json_is_true(json_object_get(body, "stream"))) {
        return problem_set(p, 400, "stream", "unsupported_value",
                           "This server does not stream: leave 'stream' out or set it to "
                           "false.");
    }
    return 0;
}
