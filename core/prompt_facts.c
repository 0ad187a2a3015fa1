#include "core/prompt_facts.h"

#include "core/jtext.h"

#include <inttypes.h>
#include <stdio.h>

#define OUTPUT_MAX  INT32_MAX /* tokens; far above any model's limit */
#define CHOICES_MAX 128       /* OpenAI, Create chat completion, n */
#define SHOWN_MAX   40        /* bytes of a wrong value in a message */

void facts_init(struct prompt *p, size_t body_bytes)
{
    *p = (struct prompt){.body_bytes = body_bytes, .choices = 1, .text_only = true};
}

/* ---- messages for people ---- */

static int wrong(struct err *err, const char *field, struct span value, const char *must)
{
    bool cut = value.n > SHOWN_MAX;
    err_set(err, ERR_INPUT, "body.%s is %.*s%s: it must be %s", field,
            (int)MIN_OF(value.n, (size_t)SHOWN_MAX), value.p, cut ? "..." : "", must);
    err_hint(err, "correct the field, or leave it out for the provider's default");
    return -ERR_INPUT;
}

static int missing(struct err *err, const char *field, const char *hint)
{
    err_set(err, ERR_INPUT, "body has no %s", field);
    err_hint(err, "add %s", hint);
    return -ERR_INPUT;
}

/* ---- one reader per field ---- */

static int read_model(struct prompt *p, const char *field, struct span value,
                      struct err *err)
{
    _cleanup_(buf_fini) struct buf text;
    buf_init(&text, PROMPT_MODEL_MAX);
    if (jtext_string(value, &text) < 0 || text.n == 0) {
        return wrong(err, field, value, "the name of a model, 1 to 64 bytes");
    }
    for (size_t i = 0; i < text.n; i++) {
        if ((unsigned char)text.p[i] <= ' ' || text.p[i] == 0x7f) {
            return wrong(err, field, value, "the name of a model, without blanks");
        }
    }
    memcpy(p->model, text.p, text.n + 1);
    return 0;
}

static int read_output_limit(struct prompt *p, const char *field, struct span value,
                             struct err *err)
{
    uint64_t limit;
    if (jtext_type(value) == JTEXT_NULL) {
        return 0;
    }
    if (jtext_u64(value, &limit) < 0 || limit > OUTPUT_MAX) {
        return wrong(err, field, value, "a whole number from 0 to 2147483647");
    }
    p->has_output_limit = true; /* both spellings given: the higher one bounds the bill */
    p->output_limit = MAX_OF(p->output_limit, limit);
    return 0;
}

static int read_choices(struct prompt *p, const char *field, struct span value,
                        struct err *err)
{
    uint64_t n;
    if (jtext_type(value) == JTEXT_NULL) {
        return 0;
    }
    if (jtext_u64(value, &n) < 0 || n < 1 || n > CHOICES_MAX) {
        return wrong(err, field, value, "a whole number from 1 to 128");
    }
    p->choices = n;
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

static int read_temperature(struct prompt *p, const char *field, struct span value,
                            struct err *err)
{
    if (jtext_type(value) == JTEXT_NULL) {
        return 0;
    }
    if (!is_temperature(value, &p->deterministic)) {
        return wrong(err, field, value, "a number from 0 to 2");
    }
    return 0;
}

static int read_stream(struct prompt *p, const char *field, struct span value,
                       struct err *err)
{
    enum jtext_type type = jtext_type(value);
    if (type != JTEXT_BOOL && type != JTEXT_NULL) {
        return wrong(err, field, value, "true or false");
    }
    p->stream = jtext_true(value);
    return 0;
}

static int read_tier(struct prompt *p, const char *field, struct span value,
                     struct err *err)
{
    enum jtext_type type = jtext_type(value);
    if (type != JTEXT_STRING && type != JTEXT_NULL) {
        return wrong(err, field, value, "a text such as \"auto\"");
    }
    p->asks_other_tier = type == JTEXT_STRING && !jtext_is_string(value, "auto") &&
                         !jtext_is_string(value, "default");
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

static int wrong_message(struct err *err, const struct prompt *p, struct span message,
                         const char *must)
{
    char field[40];
    snprintf(field, sizeof(field), "messages[%" PRIu64 "]", p->messages);
    return wrong(err, field, message, must);
}

static int read_message(struct prompt *p, struct span message, struct err *err)
{
    bool has_role = false;
    struct span name, value;
    if (jtext_type(message) != JTEXT_OBJECT) {
        return wrong_message(err, p, message, "an object with \"role\" and \"content\"");
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
        return wrong_message(err, p, message,
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
        return wrong(err, field, value, "a list of messages");
    }
    for (size_t at = 0; jtext_next(value, &at, NULL, &message);) {
        int rc = read_message(p, message, err);
        if (rc < 0) {
            return rc;
        }
    }
    return p->messages ? 0 : wrong(err, field, value, "a list of at least one message");
}

/* ---- the body ---- */

static const struct {
    const char *name;
    int (*read)(struct prompt *p, const char *field, struct span value, struct err *err);
} readers[] = {
    {"model", read_model},
    {"messages", read_messages},
    {"max_completion_tokens", read_output_limit},
    {"max_tokens", read_output_limit},
    {"n", read_choices},
    {"temperature", read_temperature},
    {"stream", read_stream},
    {"service_tier", read_tier},
    {"web_search_options", read_search},
};

int facts_read(struct prompt *p, struct span raw_name, struct span value, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
        if (jtext_is_string(raw_name, readers[i].name)) {
            return readers[i].read(p, readers[i].name, value, err);
        }
    }
    return 0;
}

int facts_complete(const struct prompt *p, struct err *err)
{
    if (p->model[0] == '\0') {
        return missing(err, "model", "\"model\": \"gpt-4o-mini\"");
    }
    if (p->messages == 0) {
        return missing(err, "messages",
                       "\"messages\": [{\"role\": \"user\", \"content\": \"...\"}]");
    }
    return 0;
}
