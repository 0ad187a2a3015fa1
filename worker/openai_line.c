/* One line of an output or error file (OpenAI API reference, "The request output object"). */
#include "worker/openai.h"
#include "core/jtext.h"

#include <stdio.h>

static bool number(struct span object, const char *key, uint64_t *ret)
{
    struct span v;
    return jtext_get(object, key, &v) && jtext_u64(v, ret) == 0;
}

/* A number that may be absent or null, which is 0; false when it is something else. */
static bool number_or_none(struct span object, const char *key, uint64_t *ret)
{
    struct span v;
    *ret = 0;
    if (!jtext_get(object, key, &v) || jtext_type(v) == JTEXT_NULL) {
        return true;
    }
    return jtext_u64(v, ret) == 0;
}

static bool object(struct span of, const char *key, struct span *ret)
{
    return jtext_get(of, key, ret) && jtext_type(*ret) == JTEXT_OBJECT;
}

bool openai_usage(struct span body, struct usage *ret)
{
    struct span usage, details;
    struct usage u = {0};
    uint64_t total;
    if (!object(body, "usage", &usage) || !number(usage, "prompt_tokens", &u.input) ||
        !number(usage, "completion_tokens", &u.output) ||
        !number_or_none(usage, "total_tokens", &total)) {
        return false;
    }
    if (object(usage, "prompt_tokens_details", &details) &&
        (!number_or_none(details, "cached_tokens", &u.cache_read) ||
         !number_or_none(details, "cache_write_tokens", &u.cache_write))) {
        return false;
    }
    if (object(usage, "completion_tokens_details", &details) &&
        !number_or_none(details, "reasoning_tokens", &u.reasoning)) {
        return false;
    }
    bool in_range = u.input <= OPENAI_TOKENS_MAX && u.output <= OPENAI_TOKENS_MAX &&
                    u.cache_read <= u.input && u.cache_write <= u.input - u.cache_read &&
                    u.reasoning <= u.output;
    if (!in_range || (total != 0 && total != u.input + u.output)) {
        return false; /* the classes must add up to what they say was billed */
    }
    *ret = u;
    return true;
}

/* Nothing cut off, filtered or refused: every choice ended by itself. */
static bool complete(struct span body)
{
    struct span choices, choice, v, message;
    size_t at = 0, n = 0;
    if (!jtext_get(body, "choices", &choices) || jtext_type(choices) != JTEXT_ARRAY) {
        return false;
    }
    while (jtext_next(choices, &at, NULL, &choice)) {
        if (!jtext_get(choice, "finish_reason", &v) ||
            !(jtext_is_string(v, "stop") || jtext_is_string(v, "tool_calls"))) {
            return false;
        }
        if (object(choice, "message", &message) && jtext_get(message, "refusal", &v) &&
            jtext_type(v) != JTEXT_NULL && !jtext_is_string(v, "")) {
            return false;
        }
        n++;
    }
    return n > 0;
}

/* Copies a string member; one that does not fit or is none leaves ret empty. */
static void text(struct span of, const char *key, char *ret, size_t size)
{
    struct span v;
    _cleanup_(buf_fini) struct buf b;
    buf_init(&b, size);
    ret[0] = '\0';
    if (jtext_get(of, key, &v) && jtext_string(v, &b) == 0 && b.n > 0 && b.n < size &&
        !memchr(b.p, 0, b.n)) {
        snprintf(ret, size, "%.*s", (int)b.n, b.p);
    }
}

static int index_of(struct span line, uint64_t *ret)
{
    char id[24];
    text(line, "custom_id", id, sizeof(id));
    return id[0] ? span_u64(span_str(id), ret) : -1;
}

/* The line has no response: the provider says why in `error`. */
static enum line_kind unanswered(struct span line, struct answer *a)
{
    struct span code;
    if (!object(line, "error", &a->error)) {
        return LINE_BUSY;
    }
    if (jtext_get(a->error, "code", &code) &&
        (jtext_is_string(code, "batch_expired") ||
         jtext_is_string(code, "batch_cancelled"))) {
        return LINE_UNEXECUTED;
    }
    return LINE_BUSY;
}

static bool same_again(int status)
{
    return status >= 400 && status < 500 && status != 408 && status != 409 &&
           status != 429;
}

/* -1: it says it was answered, and the answer is not there. */
static int answered(struct span response, uint64_t status, struct answer *a)
{
    a->http_status = (int)status;
    text(response, "request_id", a->request_id, sizeof(a->request_id));
    if (!object(response, "body", &a->body)) {
        a->body = SPAN_NONE;
    }
    if (status >= 200 && status < 300) {
        text(a->body, "model", a->model_used, sizeof(a->model_used));
        a->usage_known = openai_usage(a->body, &a->usage);
        a->complete = complete(a->body);
        return a->body.n > 0 ? LINE_ANSWER : -1;
    }
    if (a->body.n == 0 || !object(a->body, "error", &a->error)) {
        a->error = SPAN_NONE;
    }
    return same_again((int)status) ? LINE_REFUSED : LINE_BUSY;
}

int openai_line_decode(struct span line, struct provider_line *ret)
{
    struct span response;
    uint64_t status = 0;
    memset(ret, 0, sizeof(*ret));
    if (jtext_check(line, NULL) < 0 || jtext_type(line) != JTEXT_OBJECT ||
        index_of(line, &ret->index) < 0) {
        return -1;
    }
    if (object(line, "response", &response) && number(response, "status_code", &status) &&
        status <= 999) {
        int kind = answered(response, status, &ret->answer);
        ret->kind = kind < 0 ? LINE_ANSWER : (enum line_kind)kind;
        return kind < 0 ? -1 : 0;
    }
    ret->kind = unanswered(line, &ret->answer);
    return 0;
}
