/* What admission must know of a request: what the paths share. */
#include "core/jtext.h"
#include "core/prompt_rules.h"

#include <inttypes.h>
#include <stdio.h>

#define OUTPUT_MAX INT32_MAX /* tokens; far above any model's limit */
#define SHOWN_MAX  40        /* bytes of a wrong value in a message */

const char *const prompt_paths[PROMPT_EMBEDDINGS + 1] = {
    [PROMPT_CHAT] = "/v1/chat/completions",
    [PROMPT_RESPONSES] = "/v1/responses",
    [PROMPT_EMBEDDINGS] = "/v1/embeddings",
};

static const struct prompt_rules *const all_rules[] = {
    [PROMPT_CHAT] = &prompt_chat,
    [PROMPT_RESPONSES] = &prompt_responses,
    [PROMPT_EMBEDDINGS] = &prompt_embeddings,
};

int prompt_path_find(struct span raw_url, enum prompt_path *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(prompt_paths); i++) {
        if (jtext_is_string(raw_url, prompt_paths[i])) {
            *ret = (enum prompt_path)i;
            return 0;
        }
    }
    return -1;
}

const struct prompt_rules *rules_of(enum prompt_path path)
{
    return all_rules[path];
}

const struct prompt_field *rules_field(const struct prompt_rules *rules,
                                       struct span raw_name)
{
    for (size_t i = 0; i < rules->fields_n; i++) {
        if (jtext_is_string(raw_name, rules->fields[i].name)) {
            return &rules->fields[i];
        }
    }
    return NULL;
}

/* ---- messages for people ---- */

int field_wrong(struct err *err, const char *field, struct span value, const char *must)
{
    bool cut = value.n > SHOWN_MAX;
    err_set(err, ERR_INPUT, "body.%s is %.*s%s: it must be %s", field,
            (int)MIN_OF(value.n, (size_t)SHOWN_MAX), value.p, cut ? "..." : "", must);
    err_hint(err, "correct the field, or leave it out for the provider's default");
    return -ERR_INPUT;
}

int element_wrong(struct err *err, const char *field, uint64_t index, struct span value,
                  const char *must)
{
    char element[60];
    snprintf(element, sizeof(element), "%s[%" PRIu64 "]", field, index);
    return field_wrong(err, element, value, must);
}

/* ---- one reader per field ---- */

int read_model(struct prompt *p, const char *field, struct span value, struct err *err)
{
    _cleanup_(buf_fini) struct buf text;
    buf_init(&text, PROMPT_MODEL_MAX);
    if (jtext_string(value, &text) < 0 || text.n == 0) {
        return field_wrong(err, field, value, "the name of a model, 1 to 64 bytes");
    }
    for (size_t i = 0; i < text.n; i++) {
        if ((unsigned char)text.p[i] <= ' ' || text.p[i] == 0x7f) {
            return field_wrong(err, field, value, "the name of a model, without blanks");
        }
    }
    memcpy(p->model, text.p, text.n + 1);
    return 0;
}

int read_output_limit(struct prompt *p, const char *field, struct span value,
                      struct err *err)
{
    uint64_t limit;
    if (jtext_type(value) == JTEXT_NULL) {
        return 0;
    }
    if (jtext_u64(value, &limit) < 0 || limit > OUTPUT_MAX) {
        return field_wrong(err, field, value, "a whole number from 0 to 2147483647");
    }
    p->has_output_limit = true; /* both spellings given: the higher one bounds the bill */
    p->output_limit = MAX_OF(p->output_limit, limit);
    return 0;
}

/* 0 to 2, both included. */
static bool is_temperature(struct span value, bool *ret_zero)
{
    struct jtext_number number;
    if (!jtext_number(value, &number) || number.negative) {
        return false;
    }
    *ret_zero = number.digits.n == 0;
    bool below_two = number.point <= 0 ||
                     (number.point == 1 && number.digits.p[0] == '1');
    bool two = number.point == 1 && span_is(number.digits, "2");
    return *ret_zero || below_two || two;
}

int read_temperature(struct prompt *p, const char *field, struct span value,
                     struct err *err)
{
    if (jtext_type(value) == JTEXT_NULL) {
        return 0;
    }
    if (!is_temperature(value, &p->deterministic)) {
        return field_wrong(err, field, value, "a number from 0 to 2");
    }
    return 0;
}

int read_bool(const char *field, struct span value, bool *ret, struct err *err)
{
    enum jtext_type type = jtext_type(value);
    if (type != JTEXT_BOOL && type != JTEXT_NULL) {
        return field_wrong(err, field, value, "true or false");
    }
    *ret = jtext_true(value);
    return 0;
}

int read_flag_stream(struct prompt *p, const char *field, struct span value,
                     struct err *err)
{
    return read_bool(field, value, &p->stream, err);
}

int read_tier(struct prompt *p, const char *field, struct span value, struct err *err)
{
    enum jtext_type type = jtext_type(value);
    if (type != JTEXT_STRING && type != JTEXT_NULL) {
        return field_wrong(err, field, value, "a text such as \"auto\"");
    }
    p->asks_other_tier = type == JTEXT_STRING && !jtext_is_string(value, "auto") &&
                         !jtext_is_string(value, "default");
    return 0;
}

/* ---- the body ---- */

void facts_init(struct prompt *p, size_t body_bytes)
{
    *p = (struct prompt){.body_bytes = body_bytes, .choices = 1, .text_only = true};
}

int facts_complete(const struct prompt_rules *rules, uint64_t seen, struct prompt *p,
                   struct err *err)
{
    for (size_t i = 0; i < rules->fields_n; i++) {
        const struct prompt_field *f = &rules->fields[i];
        if ((f->rules & RULE_REQUIRED) && !(seen >> i & 1)) {
            err_set(err, ERR_INPUT, "body has no %s", f->name);
            err_hint(err, "add \"%s\": %s", f->name, f->example);
            return -ERR_INPUT;
        }
    }
    if (rules->finish) {
        rules->finish(p);
    }
    return 0;
}
