#include "producer/line.h"

#include "core/jtext.h"
#include "core/prompt.h"
#include "producer/bare.h"

#include <stdarg.h>
#include <stdio.h>

PRINTF_LIKE(3, 4)
static bool refuse(struct line_verdict *v, const char *remedy, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(v->why, sizeof(v->why), fmt, args);
    va_end(args);
    v->remedy = remedy;
    v->ok = false;
    return false;
}

static bool check_json(struct span text, struct line_verdict *v)
{
    struct err err = {0};
    if (jtext_check(text, &err) < 0) {
        return refuse(v, "repair or remove the line", "it is not valid JSON: %s",
                      err.msg);
    }
    return true;
}

static bool check_object(struct span text, struct line_verdict *v)
{
    return jtext_type(text) == JTEXT_OBJECT ||
           refuse(v, "write one JSON object a line", "it is not a JSON object");
}

static bool check_custom_id(struct span text, struct line_verdict *v)
{
    struct span id;
    if (!jtext_get(text, "custom_id", &id)) {
        return refuse(v, "give it a \"custom_id\" of its own", "custom_id is missing");
    }
    if (jtext_type(id) != JTEXT_STRING) {
        return refuse(v, "put custom_id in quotes", "custom_id is not a string");
    }
    _cleanup_(buf_fini) struct buf plain;
    buf_init(&plain, LINE_CUSTOM_ID_MAX);
    if (jtext_string(id, &plain) < 0) {
        return refuse(v, "use a shorter custom_id", "custom_id is longer than %d bytes",
                      LINE_CUSTOM_ID_MAX);
    }
    v->custom_id = id;
    if (plain.n == 0) {
        return refuse(v, "give it a \"custom_id\" of its own", "custom_id is empty");
    }
    return true;
}

static bool check_method(struct span text, struct line_verdict *v)
{
    struct span method;
    if (!jtext_get(text, "method", &method)) {
        return refuse(v, "add \"method\": \"POST\"", "method is missing");
    }
    if (!jtext_is_string(method, "POST")) {
        return refuse(v, "write \"method\": \"POST\"",
                      "method is %.*s, and only POST can be sent",
                      (int)MIN_OF(method.n, 40), method.p);
    }
    return true;
}

static bool check_url(struct span text, struct line_verdict *v)
{
    struct span url;
    enum prompt_path path;
    if (!jtext_get(text, "url", &url)) {
        return refuse(v, "add \"url\": \"/v1/chat/completions\"", "url is missing");
    }
    if (prompt_path_find(url, &path) < 0) {
        return refuse(v, "write " PROMPT_PATHS_TEXT, "url %.*s is not supported",
                      (int)MIN_OF(url.n, 80), url.p);
    }
    return true;
}

static bool check_body(struct span text, struct line_verdict *v)
{
    struct span body;
    if (!jtext_get(text, "body", &body)) {
        return refuse(v, "add the request as \"body\"", "body is missing");
    }
    if (jtext_type(body) != JTEXT_OBJECT) {
        return refuse(v, "write the request as a JSON object", "body is not an object");
    }
    return true;
}

void line_check(const struct input_line *line, struct line_verdict *ret)
{
    static bool (*const checks[])(struct span text, struct line_verdict * v) = {
        check_json, check_object, check_custom_id, check_method, check_url, check_body,
    };
    *ret = (struct line_verdict){.ok = true};
    if (line->too_long) {
        refuse(ret, "shorten it or raise input.max_line", "it is too long: %llu bytes",
               (unsigned long long)line->bytes);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        if (!checks[i](line->text, ret)) {
            ret->bare = i > 1 && bare_is(line->text);
            return;
        }
    }
}
