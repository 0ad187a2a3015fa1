#include "cli/reply.h"

#include "core/jtext.h"

static bool member(struct span of, const char *key, enum jtext_type type,
                   struct span *ret)
{
    return jtext_type(of) == JTEXT_OBJECT && jtext_get(of, key, ret) &&
           jtext_type(*ret) == type;
}

static bool first(struct span array, struct span *ret)
{
    size_t at = 0;
    return jtext_next(array, &at, NULL, ret);
}

static void chat_text(struct span choices, struct buf *ret)
{
    struct span choice, message, v;
    if (!first(choices, &choice) || !member(choice, "message", JTEXT_OBJECT, &message)) {
        return;
    }
    if (member(message, "content", JTEXT_STRING, &v)) {
        jtext_string(v, ret);
    } else if (member(message, "tool_calls", JTEXT_ARRAY, &v)) {
        buf_add(ret, v.p, v.n);
    } else if (member(message, "refusal", JTEXT_STRING, &v)) {
        jtext_string(v, ret);
    }
}

/* Of a message its parts, one behind the other; reasoning is no answer. */
static void add_parts(struct span content, struct buf *ret)
{
    struct span part, type, v;
    for (size_t at = 0; jtext_next(content, &at, NULL, &part);) {
        if (!member(part, "type", JTEXT_STRING, &type)) {
            continue;
        }
        if ((jtext_is_string(type, "output_text") &&
             member(part, "text", JTEXT_STRING, &v)) ||
            (jtext_is_string(type, "refusal") &&
             member(part, "refusal", JTEXT_STRING, &v))) {
            jtext_string(v, ret);
        }
    }
}

static void output_text(struct span output, struct buf *ret)
{
    struct span item, v;
    size_t before = ret->n;
    for (size_t at = 0; jtext_next(output, &at, NULL, &item);) {
        if (member(item, "content", JTEXT_ARRAY, &v)) {
            add_parts(v, ret);
        }
    }
    for (size_t at = 0; ret->n == before && jtext_next(output, &at, NULL, &item);) {
        if (member(item, "type", JTEXT_STRING, &v) &&
            jtext_is_string(v, "function_call")) {
            buf_add(ret, item.p, item.n);
        }
    }
}

static void vector_text(struct span data, struct buf *ret)
{
    struct span row, v;
    if (!first(data, &row)) {
        return;
    }
    if (member(row, "embedding", JTEXT_ARRAY, &v)) {
        buf_add(ret, v.p, v.n);
    } else if (member(row, "embedding", JTEXT_STRING, &v)) {
        jtext_string(v, ret);
    }
}

void reply_text(struct span body, struct buf *ret)
{
    struct span v;
    if (member(body, "choices", JTEXT_ARRAY, &v)) {
        chat_text(v, ret);
    } else if (member(body, "output", JTEXT_ARRAY, &v)) {
        output_text(v, ret);
    } else if (member(body, "data", JTEXT_ARRAY, &v)) {
        vector_text(v, ret);
    }
}

struct span reply_body(struct span line)
{
    struct span response, body;
    if (member(line, "response", JTEXT_OBJECT, &response) &&
        member(response, "body", JTEXT_OBJECT, &body)) {
        return body;
    }
    return SPAN_NONE;
}

void reply_error(struct span line, struct buf *ret)
{
    struct span error, body = reply_body(line), code, message;
    if (!member(line, "error", JTEXT_OBJECT, &error) &&
        !member(body, "error", JTEXT_OBJECT, &error)) {
        return;
    }
    bool coded = member(error, "code", JTEXT_STRING, &code);
    bool said = member(error, "message", JTEXT_STRING, &message);
    if (coded) {
        jtext_string(code, ret);
    }
    if (coded && said) {
        buf_adds(ret, ": ");
    }
    if (said) {
        jtext_string(message, ret);
    }
}
