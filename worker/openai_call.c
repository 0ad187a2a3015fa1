/* One call by itself: POST /chat/completions, /responses, /embeddings (OpenAI API reference). */
#include "worker/openai.h"

#include "core/jtext.h"
#include <stdio.h>

#define API_ROOT        "/v1" /* a base URL ends with it, or with what stands for it */
#define REPLY_BYTES_MAX ((size_t)64 << 20)

int openai_call(const struct provider_call *c, struct provider_request *ret,
                struct err *err)
{
    const char *path = c->path;
    if (strncmp(path, API_ROOT "/", strlen(API_ROOT) + 1) == 0) {
        path += strlen(API_ROOT);
    }
    if (buf_adds(&ret->url, c->base_url) < 0 || buf_adds(&ret->url, path) < 0) {
        return err_set(err, ERR_FAIL, "could not build the request for '%s'",
                       c->base_url);
    }
    ret->http.method = HTTP_POST;
    ret->http.url = ret->url.p;
    ret->http.json = c->body;
    ret->http.keep = true;
    ret->http.max_bytes = REPLY_BYTES_MAX;
    return 0;
}

/* Servers answer on many lines; a record has one. A string holds no raw line feed. */
static struct span on_one_line(struct span body, struct buf *text)
{
    struct span s = span_trim(body);
    buf_reset(text);
    while (s.n > 0) {
        const char *end = memchr(s.p, '\n', s.n);
        size_t n = end ? (size_t)(end - s.p) : s.n, skip = end ? 1 : 0;
        buf_add(text, s.p, n > 0 && s.p[n - 1] == '\r' ? n - 1 : n);
        while (n + skip < s.n && end && s.p[n + skip] == ' ') {
            skip++; /* what a line is indented with */
        }
        s = span_of(s.p + n + skip, s.n - n - skip);
    }
    return text->failed ? SPAN_NONE : buf_span(text);
}

static bool json_object(struct span body)
{
    return body.n > 0 && jtext_check(body, NULL) == 0 && jtext_type(body) == JTEXT_OBJECT;
}

static void text_of(struct span body, const char *key, char *ret, size_t size)
{
    struct span v;
    _cleanup_(buf_fini) struct buf b;
    buf_init(&b, size - 1);
    ret[0] = '\0';
    if (jtext_get(body, key, &v) && jtext_string(v, &b) == 0 && b.n > 0 &&
        !memchr(b.p, 0, b.n)) {
        snprintf(ret, size, "%s", b.p);
    }
}

/* What stands in a 2xx reply. */
static enum reply_kind answered(struct answer *a, struct err *err)
{
    text_of(a->body, "model", a->model_used, sizeof(a->model_used));
    switch (openai_body(a->body, a)) {
    case LINE_ANSWER: return REPLY_ANSWER;
    case LINE_REFUSED: return REPLY_REFUSED;
    case LINE_FAILED: return REPLY_FAILED;
    case LINE_BUSY:
    case LINE_UNEXECUTED: break;
    }
    err_set(err, ERR_TEMP, "the provider began to answer and failed");
    return REPLY_LOST;
}

/* Statuses by which a server says that it did not begin. */
static bool is_busy(int status)
{
    return status == 429 || status == 503 || status == 529;
}

/* Whoever answers so knows nothing of models and jobs. */
static enum reply_kind stranger(int status, struct err *err)
{
    err_set(err, ERR_TEMP, "what answers there is not the API: HTTP %d", status);
    err_hint(err, "check the base URL and the proxy, and run the same command again");
    return REPLY_STOP;
}

static enum reply_kind refused(const struct http_resp *resp, struct answer *a,
                               struct err *err)
{
    _cleanup_(remote_fini) struct remote r = {.go = 0};
    enum step step = openai_verdict(resp, &r, err);
    if (step == STEP_STOP) {
        return REPLY_STOP;
    }
    if (step == STEP_RETRY || is_busy(resp->status)) {
        return REPLY_BUSY;
    }
    if (step == STEP_UNSURE) {
        return REPLY_LOST;
    }
    if (!jtext_get(a->body, "error", &a->error) || jtext_type(a->error) != JTEXT_OBJECT) {
        return stranger(resp->status, err);
    }
    return REPLY_REFUSED;
}

enum reply_kind openai_reply(const struct http_resp *resp, struct buf *text,
                             struct answer *ret, struct err *err)
{
    *ret = (struct answer){.http_status = resp->status};
    snprintf(ret->request_id, sizeof(ret->request_id), "%s", resp->request_id);
    if (resp->outcome != HTTP_REPLY) {
        err_set(err, ERR_TEMP, "%s", resp->why);
        return resp->outcome == HTTP_UNSENT ? REPLY_BUSY : REPLY_LOST;
    }
    ret->body = on_one_line(resp->body, text);
    bool readable = json_object(ret->body);
    if (!readable) {
        ret->body = SPAN_NONE;
    }
    if (resp->status < 200 || resp->status > 299) {
        return refused(resp, ret, err);
    }
    if (!readable && (text->n == 0 || text->p[0] != '{')) {
        return stranger(resp->status, err);
    }
    if (!readable) {
        err_set(err, ERR_TEMP, "the provider's reply could not be read");
        return REPLY_LOST;
    }
    return answered(ret, err);
}
