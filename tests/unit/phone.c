#include "tests/unit/phone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct phone_ask {
    struct phone_ask *next;
    struct phone *phone;
    struct loop_timer *timer;
    http_fn cb;
    void *ctx;
    struct http_resp resp;
    char body[600];
};

void phone_rule(struct phone *p, struct phone_rule rule)
{
    assert_in_range(p->rules_len, 0, PHONE_RULES_MAX - 1);
    rule.times = rule.times ? rule.times : 1;
    p->rules[p->rules_len++] = rule;
}

unsigned phone_executed(const struct phone *p, const char *question)
{
    unsigned n = 0;
    for (unsigned i = 0; i < p->executed; i++) {
        n += strcmp(p->log[i], question) == 0;
    }
    return n;
}

static struct phone_rule rule_for(struct phone *p, const char *url, const char *question)
{
    for (unsigned i = 0; i < p->rules_len; i++) {
        struct phone_rule *r = &p->rules[i];
        if (r->times != 0 && (!r->host || strstr(url, r->host)) &&
            (!r->question || strncmp(question, r->question, strlen(r->question)) == 0)) {
            r->times -= r->times > 0;
            return *r;
        }
    }
    return (struct phone_rule){.what = PHONE_ANSWERS};
}

static void finish(struct phone_ask *a)
{
    struct phone_ask **at = &a->phone->asks;
    while (*at != a) {
        at = &(*at)->next;
    }
    *at = a->next;
    a->phone->under_way--;
    loop_timer_destroy(a->timer);
    a->cb(a->ctx, &a->resp);
    free(a);
}

static void on_timer(void *ctx)
{
    finish(ctx);
}

static void set_reply(struct phone_ask *a, const struct phone_rule *r,
                      const char *question)
{
    a->resp = (struct http_resp){
        .status = 200, .retry_after_ms = -1, .limits = a->phone->limits};
    snprintf(a->resp.request_id, sizeof(a->resp.request_id), "req_%u", a->phone->asked);
    snprintf(a->body, sizeof(a->body),
             "{\n  \"object\": \"chat.completion\",\n  \"model\": \"gpt-test\",\n"
             "  \"choices\": [{\"finish_reason\":\"stop\",\"message\":{\"content\":"
             "\"answer to %s\"}}],\n  \"usage\":{\"prompt_tokens\":100,"
             "\"completion_tokens\":10}\n}\n",
             question);
    if (r->what == PHONE_STATUS) {
        bool page = r->code && strcmp(r->code, "page") == 0;
        snprintf(a->body, sizeof(a->body),
                 page ? "<html>no</html>"
                      : "{\"error\":{\"message\":\"the phone says no\",\"code\":\"%s\"}}",
                 r->code ? r->code : "");
        a->resp.status = r->status;
        a->resp.retry_after_ms = r->retry_after_ms ? r->retry_after_ms : -1;
    } else if (r->what == PHONE_BODY) {
        snprintf(a->body, sizeof(a->body), "%s", r->body);
    } else if (r->what != PHONE_ANSWERS) {
        a->resp.outcome = r->what == PHONE_UNSENT ? HTTP_UNSENT : HTTP_UNKNOWN;
        a->resp.status = 0;
        snprintf(a->resp.why, sizeof(a->resp.why), "connection lost");
    }
    a->resp.body = a->resp.outcome == HTTP_REPLY ? span_str(a->body) : SPAN_NONE;
}

static void question_of(const struct http_req *req, char ret[static 24])
{
    if (req->method == HTTP_GET) {
        snprintf(ret, 24, "/health");
        return;
    }
    json_t *o = json_loadb(req->json.p, req->json.n, 0, NULL);
    const char *q = json_string_value(json_object_get(o, "q"));
    assert_non_null(q);
    snprintf(ret, 24, "%s", q);
    json_decref(o);
}

static int phone_send(struct http *h, const struct http_req *req, http_fn cb, void *ctx,
                      struct err *err)
{
    struct phone *p = (struct phone *)h;
    struct phone_ask *a = calloc(1, sizeof(*a));
    char question[24];
    (void)err;
    assert_true(req->keep || req->method == HTTP_GET);
    question_of(req, question);
    snprintf(p->url, sizeof(p->url), "%s", req->url);
    if (p->on_ask && req->keep) {
        p->on_ask(p->ctx, question);
    }
    struct phone_rule r = rule_for(p, req->url, question);
    *a = (struct phone_ask){.next = p->asks, .phone = p, .cb = cb, .ctx = ctx};
    p->asks = a;
    p->asked += req->keep;
    p->probes += !req->keep;
    p->asked_ms = loop_now_ms(p->loop);
    p->under_way++;
    p->most_under_way = MAX_OF(p->most_under_way, p->under_way);
    if (req->keep &&
        (r.what == PHONE_ANSWERS || r.what == PHONE_LOSE_AFTER || r.what == PHONE_BODY)) {
        assert_in_range(p->executed, 0, PHONE_LOG_MAX - 1);
        snprintf(p->log[p->executed++], sizeof(p->log[0]), "%s", question);
    }
    set_reply(a, &r, question);
    int64_t after_ms = r.what == PHONE_SILENT ? req->timeout_ms
                       : r.latency_ms         ? r.latency_ms
                                              : p->latency_ms;
    assert_int_equal(loop_timer_create(p->loop, on_timer, a, &a->timer), 0);
    loop_timer_start(a->timer, after_ms);
    return 0;
}

static void phone_destroy(struct http *h)
{
    phone_close((struct phone *)h);
}

static const struct http_ops phone_ops = {phone_send, phone_destroy};

void phone_open(struct phone *p, struct loop *loop)
{
    memset(p, 0, sizeof(*p));
    p->http.ops = &phone_ops;
    p->loop = loop;
    p->latency_ms = 20;
    p->limits = (struct http_limits){{-1, -1, -1}, {-1, -1, -1}};
}

void phone_close(struct phone *p)
{
    while (p->asks) {
        p->asks->resp = (struct http_resp){.outcome = HTTP_UNKNOWN, .why = "closing"};
        finish(p->asks);
    }
}
