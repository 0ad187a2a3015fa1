/*
 * Requests of /v1/embeddings (OpenAI API reference, "Create embeddings").
 *
 * The same text always has the same vector, so an answer may be reused however a run asks for
 * reuse; dimensions and encoding_format are part of the question. Nothing is written, so the
 * bill is bounded by the input.
 */
#include "core/jtext.h"
#include "core/prompt_rules.h"

#define INPUTS_MAX 2048 /* of one request */

static bool is_tokens(struct span value)
{
    struct span token;
    uint64_t id;
    size_t n = 0;
    if (jtext_type(value) != JTEXT_ARRAY) {
        return false;
    }
    for (size_t at = 0; jtext_next(value, &at, NULL, &token); n++) {
        if (jtext_u64(token, &id) < 0 || id > UINT32_MAX) {
            return false;
        }
    }
    return n > 0;
}

static bool is_text(struct span value)
{
    return jtext_type(value) == JTEXT_STRING && !jtext_is_string(value, "");
}

static int read_inputs(struct prompt *p, const char *field, struct span list,
                       struct err *err)
{
    struct span input;
    uint64_t n = 0;
    for (size_t at = 0; jtext_next(list, &at, NULL, &input); n++) {
        if (n == INPUTS_MAX) {
            return field_wrong(err, field, list, "a list of at most 2048 inputs");
        }
        if (!is_text(input) && !is_tokens(input)) {
            return element_wrong(err, field, n, input,
                                 "a text that is not empty, or a list of token ids");
        }
    }
    p->inputs = n;
    return 0;
}

static int read_input(struct prompt *p, const char *field, struct span value,
                      struct err *err)
{
    struct span first;
    size_t at = 0;
    p->inputs = 1;
    if (is_text(value) || is_tokens(value)) {
        return 0;
    }
    if (jtext_type(value) != JTEXT_ARRAY || !jtext_next(value, &at, NULL, &first)) {
        return field_wrong(err, field, value,
                           "a text that is not empty, a list of texts, or token ids");
    }
    return read_inputs(p, field, value, err);
}

static void finish(struct prompt *p)
{
    p->messages = p->inputs;
    p->has_output_limit = true;
    p->output_limit = 0;
    p->deterministic = true;
}

static const struct prompt_field fields[] = {
    {"model", RULE_REQUIRED | RULE_SPLITS, PLACE_OTHER, read_model,
     "\"text-embedding-3-small\""},
    {"input", RULE_REQUIRED, PLACE_OTHER, read_input, "\"...\""},
    {"user", 0, PLACE_NO_MARK, NULL, NULL},
};

const struct prompt_rules prompt_embeddings = {
    .fields = fields,
    .fields_n = ARRAY_LEN(fields),
    .finish = finish,
};
