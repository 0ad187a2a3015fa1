/* One line of an output or error file (OpenAI API reference, "The request output object"). */
#include "worker/openai.h"
#include "core/jtext.h"

#include <stdio.h>

static bool number(struct span object, const char *key, uint64_t *ret)
{
    struct span v;
    return jtext_get(object, key, &v) && jtext_u64(v, ret) == 0;
}

static bool object(struct span of, const char *key, struct span *ret)
{
    return jtext_get(of, key, ret) && jtext_type(*ret) == JTEXT_OBJECT;
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
        return a->body.n > 0 ? (int)openai_body(a->body, a) : -1;
    }
    if (a->body.n == 0 || !object(a->body, "error", &a->error)) {
        a->error = SPAN_NONE;
    }
    return same_again((int)status) ? LINE_REFUSED : LINE_BUSY;
}

/* A status, however it is spelled. */
static bool status_of(struct span response, uint64_t *ret)
{
    char word[24];
    text(response, "status_code", word, sizeof(word));
    bool known = word[0] ? span_u64(span_str(word), ret) == 0
                         : number(response, "status_code", ret);
    return known && *ret <= 999;
}

int openai_line_read(struct span line, struct provider_line *ret)
{
    struct span response;
    uint64_t status = 0;
    memset(ret, 0, sizeof(*ret));
    if (jtext_type(line) != JTEXT_OBJECT) {
        return -1;
    }
    if (jtext_get(line, "response", &response) && jtext_type(response) != JTEXT_NULL) {
        if (jtext_type(response) != JTEXT_OBJECT || !status_of(response, &status)) {
            return -1; /* it may have been billed: never asked again as if it had not run */
        }
        int kind = answered(response, status, &ret->answer);
        ret->kind = kind < 0 ? LINE_ANSWER : (enum line_kind)kind;
        return kind < 0 ? -1 : 0;
    }
    ret->kind = unanswered(line, &ret->answer);
    return 0;
}

int openai_line_decode(struct span line, struct provider_line *ret)
{
    uint64_t index = 0;
    if (jtext_check(line, NULL) < 0 || jtext_type(line) != JTEXT_OBJECT ||
        index_of(line, &index) < 0) {
        return -1;
    }
    int rc = openai_line_read(line, ret);
    ret->index = index;
    return rc;
}
