/* Any body as a reply of the provider, to whatever was asked and with whatever status: it is read
 * within its bounds, or refused with words that can stand in a record. */
#include "tests/fuzz/answer.h"

#include "core/jtext.h"

#include <string.h>

static const int refusals[] = {302, 400, 401, 402, 403, 404, 408,
                               409, 413, 422, 429, 500, 503};

/* Whole, ended, and a JSON string once it is written as one. */
static void check_text(const char *text, size_t size)
{
    _cleanup_(buf_fini) struct buf json;
    MUST(memchr(text, '\0', size));
    buf_init(&json, 6 * size + 2);
    MUST(buf_add_json(&json, span_str(text)) == 0);
    MUST(jtext_check(buf_span(&json), NULL) == 0);
}

/* It may be put into an address as it is. */
static void check_id(const char *id)
{
    MUST(memchr(id, '\0', BATCH_REF_MAX));
    MUST(!strpbrk(id, " ?#%&\\\"\r\n\t") && !strstr(id, "//") && !strstr(id, "/../"));
    MUST(strcmp(id, ".") != 0 && strcmp(id, "..") != 0 && id[0] != '/');
}

static void check_remote(const struct remote *r)
{
    check_id(r->id);
    check_id(r->input);
    check_id(r->output);
    check_id(r->error);
    check_text(r->key, sizeof(r->key));
    check_text(r->state_text, sizeof(r->state_text));
    check_text(r->why, sizeof(r->why));
    MUST(r->created_s >= 0 && r->lines_len <= REMOTE_LINES_MAX);
    MUST(r->state != REMOTE_FAILED || (r->fail != FAIL_NONE && r->why[0]));
    MUST(r->fail != FAIL_LINES || r->lines_len > 0);
    for (size_t i = 0; i < r->lines_len; i++) {
        MUST(r->lines[i].line > 0);
        check_text(r->lines[i].why, sizeof(r->lines[i].why));
    }
}

static void check_words(enum step step, const struct err *err)
{
    switch (step) {
    case STEP_DONE:
    case STEP_WAIT: return;
    case STEP_STOP: MUST(err->code == ERR_AUTH || err->code == ERR_TEMP); break;
    case STEP_RETRY:
    case STEP_UNSURE:
    case STEP_REJECT: break;
    }
    MUST(err->msg[0]);
    check_text(err->msg, sizeof(err->msg));
}

static void check_feed(enum ask ask, const struct http_resp *resp)
{
    struct err err = {0};
    struct remote r = {.go = 0};
    enum step step = provider_openai.feed(ask, resp, &r, &err);
    bool file = ask == ASK_UPLOAD || ask == ASK_FILE;
    bool told = step == STEP_DONE && ask != ASK_CONTENT && ask != ASK_DELETE_FILE;
    check_words(step, &err);
    check_remote(&r);
    MUST(!told || (file ? r.input[0] : r.id[0]));
    remote_fini(&r);
}

static void check_list(const struct http_resp *resp)
{
    struct err err = {0};
    struct remote_page page = {.n = 0};
    enum step step = provider_openai.feed_list(resp, &page, &err);
    check_words(step, &err);
    MUST(page.n <= REMOTE_PAGE_MAX);
    for (size_t i = 0; i < page.n; i++) {
        check_remote(&page.v[i]);
    }
    MUST(step != STEP_DONE || !page.more || page.v[page.n - 1].id[0]);
    remote_page_fini(&page);
}

static void check_call(const struct http_resp *resp)
{
    _cleanup_(buf_fini) struct buf text;
    struct err err = {0};
    struct answer a;
    buf_init(&text, resp->body.n + 1);
    enum reply_kind kind = provider_openai.reply(resp, &text, &a, &err);
    check_answer(&a, kind == REPLY_ANSWER);
    MUST(fuzz_within(a.body, buf_span(&text)) && fuzz_within(a.error, buf_span(&text)));
    MUST(kind != REPLY_ANSWER || jtext_type(a.body) == JTEXT_OBJECT);
    MUST((kind != REPLY_STOP && kind != REPLY_LOST) || err.msg[0]);
    MUST(kind != REPLY_STOP || err.code == ERR_AUTH || err.code == ERR_TEMP);
    MUST(!a.body.n || !memchr(a.body.p, '\n', a.body.n));
    check_text(a.model_used, sizeof(a.model_used));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct http_resp resp = {
        .outcome = HTTP_REPLY, .status = 200, .body = span_of(data, n)};
    for (enum ask ask = ASK_UPLOAD; ask <= ASK_DELETE_FILE; ask++) {
        if (ask != ASK_LIST) {
            check_feed(ask, &resp);
        }
    }
    check_list(&resp);
    check_call(&resp);
    resp.status = refusals[n % ARRAY_LEN(refusals)]; /* all of them takes long */
    check_feed(ASK_BATCH, &resp);
    check_call(&resp);
    return 0;
}
