#include "tests/unit/desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct desk_ask {
    struct desk_ask *next;
    struct desk *desk;
    enum desk_op op;
    struct loop_timer *timer;
    http_fn cb;
    void *ctx;
    struct http_resp resp;
    char *body;
    int sink_fd;
};

/* ---- what the test tells it ---- */

void desk_trouble(struct desk *d, struct desk_trouble t)
{
    assert_in_range(d->troubles_len, 0, DESK_TROUBLES_MAX - 1);
    t.times = t.times ? t.times : 1;
    d->troubles[d->troubles_len++] = t;
}

void desk_line(struct desk *d, const char *question, enum desk_line_is is, int times)
{
    assert_in_range(d->lines_len, 0, DESK_LINES_MAX - 1);
    snprintf(d->lines[d->lines_len].question, sizeof(d->lines[0].question), "%s",
             question);
    d->lines[d->lines_len].is = is;
    d->lines[d->lines_len++].times = times;
}

static struct desk_trouble trouble_at(struct desk *d, enum desk_op op)
{
    for (unsigned i = 0; i < d->troubles_len; i++) {
        if (d->troubles[i].op == op && d->troubles[i].times > 0) {
            d->troubles[i].times--;
            return d->troubles[i];
        }
    }
    return (struct desk_trouble){.what = DESK_NOTHING};
}

/* ---- files ---- */

static struct desk_file *find_file(struct desk *d, const char *id)
{
    for (unsigned i = 0; i < d->files_len; i++) {
        if (strcmp(d->files[i].id, id) == 0) {
            return &d->files[i];
        }
    }
    return NULL;
}

struct desk_file *desk_add_file(struct desk *d, char *text)
{
    assert_in_range(d->files_len, 0, DESK_FILES_MAX - 1);
    struct desk_file *f = &d->files[d->files_len++];
    snprintf(f->id, sizeof(f->id), "file-%u", d->files_len);
    f->text = text;
    return f;
}

static char *read_all(const char *path)
{
    char *text = calloc(1, 1 << 20);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_in_range(fread(text, 1, (1 << 20) - 1, f), 1, (1 << 20) - 2);
    fclose(f);
    return text;
}

static json_t *file_json(const struct desk *d, const struct desk_file *f)
{
    return json_pack("{s:s,s:s,s:I,s:I}", "id", f->id, "object", "file", "bytes",
                     (json_int_t)strlen(f->text), "created_at",
                     (json_int_t)(loop_wall_ms(d->loop) / 1000));
}

/* ---- batches ---- */

static bool input_gone(struct desk *d, const struct desk_batch *b)
{
    const struct desk_file *f = find_file(d, b->input);
    return !f->text && f->deleted_ms < b->created_ms + d->read_ms;
}

static bool fails(struct desk *d, const struct desk_batch *b)
{
    return input_gone(d, b) || b->end == DESK_OVERFLOWS || b->end == DESK_FAILS ||
           b->end == DESK_FAILS_LINES || b->end == DESK_FAILS_ELSEWHERE;
}

static json_t *errors_of(const struct desk_batch *b)
{
    json_t *data = json_array();
    unsigned n = 0;
    for (const char *at = b->text; b->end == DESK_FAILS_LINES && at && *at;) {
        const char *end = strchr(at, '\n'), *bad = strstr(at, "\"q\":\"bad");
        n++;
        if (bad && bad < end) {
            json_array_append_new(data,
                                  json_pack("{s:s,s:s,s:i}", "code", "invalid_json_line",
                                            "message", "this line is bad", "line", n));
        }
        at = end ? end + 1 : NULL;
    }
    if (b->end == DESK_FAILS_ELSEWHERE) {
        json_array_append_new(data,
                              json_pack("{s:s,s:s,s:i}", "code", "invalid_json_line",
                                        "message", "this line is bad", "line", 999));
    } else if (b->end != DESK_FAILS_LINES) {
        json_array_append_new(
            data,
            json_pack("{s:s,s:s,s:n}", "code",
                      b->end == DESK_OVERFLOWS ? "token_limit_exceeded" : "internal",
                      "message", "the desk is closed", "line"));
    }
    return json_pack("{s:o}", "data", data);
}

static const char *status_of(struct desk *d, struct desk_batch *b)
{
    if (b->cancelled) {
        if (b->end == DESK_IS_CANCELLED && !b->made) {
            desk_make_results(d, b);
        }
        return "cancelled";
    }
    if (loop_now_ms(d->loop) < b->created_ms + d->batch_ms) {
        return "in_progress";
    }
    if (fails(d, b)) {
        return "failed";
    }
    if (!b->made) {
        desk_make_results(d, b);
    }
    return b->end == DESK_EXPIRES || b->end == DESK_FORGETS ? "expired"
           : b->end == DESK_FAILS_LATE                      ? "failed"
           : b->end == DESK_IS_CANCELLED                    ? "cancelled"
                                                            : "completed";
}

static json_t *id_or_null(const char *id)
{
    return id[0] ? json_string(id) : json_null();
}

static json_t *batch_json(struct desk *d, struct desk_batch *b)
{
    const char *status = status_of(d, b);
    json_t *o = json_pack("{s:s,s:s,s:s,s:I,s:o,s:o,s:{s:s,s:s}}", "id", b->id, "status",
                          status, "input_file_id", b->input, "created_at",
                          (json_int_t)((d->start_wall_ms + b->created_ms) / 1000),
                          "output_file_id", id_or_null(b->output), "error_file_id",
                          id_or_null(b->error), "metadata", "offpeak_submit_key", b->key,
                          "offpeak_go", b->go);
    if (strcmp(status, "failed") == 0) {
        json_object_set_new(o, "errors", errors_of(b));
    }
    if (b->end != DESK_NO_COUNTS) {
        json_object_set_new(o, "request_counts",
                            json_pack("{s:i,s:i,s:i}", "total", b->lines, "completed",
                                      b->completed, "failed", b->failed));
    }
    return o;
}

static struct desk_batch *find_batch(struct desk *d, const char *id)
{
    for (unsigned i = 0; i < d->batches_len; i++) {
        if (strcmp(d->batches[i].id, id) == 0) {
            return &d->batches[i];
        }
    }
    return NULL;
}

/* ---- the requests: each returns its reply, NULL for 404 ---- */

static json_t *upload(struct desk *d, const struct http_req *req,
                      const struct desk_trouble *t)
{
    assert_string_equal(req->form_purpose, "batch");
    char *text = read_all(req->file_path);
    if (t->what == DESK_CUT) {
        text[strlen(text) - 9] = '\0';
    }
    return file_json(d, desk_add_file(d, text));
}

static json_t *create(struct desk *d, const struct http_req *req)
{
    const char *input, *key, *go;
    json_t *o = json_loadb(req->json.p, req->json.n, 0, NULL);
    assert_int_equal(json_unpack(o, "{s:s,s:{s:s,s:s}}", "input_file_id", &input,
                                 "metadata", "offpeak_submit_key", &key, "offpeak_go",
                                 &go),
                     0);
    const struct desk_file *f = find_file(d, input);
    json_t *reply = NULL;
    if (f && f->text) {
        assert_in_range(d->batches_len, 0, DESK_BATCHES_MAX - 1);
        struct desk_batch *b = &d->batches[d->batches_len];
        b->end = d->ends[d->batches_len++];
        snprintf(b->id, sizeof(b->id), "batch_%u", d->batches_len);
        snprintf(b->input, sizeof(b->input), "%s", input);
        snprintf(b->key, sizeof(b->key), "%s", key);
        snprintf(b->go, sizeof(b->go), "%s", go);
        b->text = strdup(f->text);
        b->lines = desk_count_lines(b->text);
        b->created_ms = loop_now_ms(d->loop);
        b->visible_ms = b->created_ms + d->lag_ms;
        reply = batch_json(d, b);
    }
    json_decref(o);
    return reply;
}

static json_t *list(struct desk *d, const char *after)
{
    json_t *data = json_array();
    unsigned from = after ? (unsigned)(find_batch(d, after) - d->batches)
                          : d->batches_len;
    for (unsigned i = from; i > 0 && json_array_size(data) < 2; i--) { /* two a page */
        if (d->batches[i - 1].visible_ms <= loop_now_ms(d->loop)) {
            json_array_append_new(data, batch_json(d, &d->batches[i - 1]));
        }
        from = i - 1;
    }
    return json_pack("{s:o,s:b}", "data", data, "has_more", from > 0);
}

static json_t *delete_file(struct desk *d, const char *id)
{
    struct desk_file *f = find_file(d, id);
    if (!f || !f->text) {
        return NULL;
    }
    free(f->text);
    f->text = NULL;
    f->deleted_ms = loop_now_ms(d->loop);
    return json_pack("{s:s,s:b}", "id", id, "deleted", 1);
}

static json_t *get_batch(struct desk *d, const char *id)
{
    struct desk_batch *b = find_batch(d, id);
    return b && b->visible_ms <= loop_now_ms(d->loop) ? batch_json(d, b) : NULL;
}

static json_t *cancel(struct desk *d, const char *id)
{
    find_batch(d, id)->cancelled = true;
    return get_batch(d, id);
}

static json_t *get_file(struct desk *d, const char *id)
{
    struct desk_file *f = find_file(d, id);
    return f && f->text ? file_json(d, f) : NULL;
}

/* "/files/x/content" -> op and "x" */
static enum desk_op parse(const struct http_req *req, char id[static 64])
{
    const char *path = strstr(req->url, "/v1/") + 3;
    bool files = strncmp(path, "/files", 6) == 0;
    const char *at = strchr(path + 1, '/');
    id[0] = '\0';
    if (!at) {
        return files ? DESK_UPLOAD : req->method == HTTP_POST ? DESK_CREATE : DESK_LIST;
    }
    size_t n = strcspn(at + 1, "/");
    snprintf(id, 64, "%.*s", (int)n, at + 1);
    if (files) {
        return strstr(at, "/content")       ? DESK_CONTENT
               : req->method == HTTP_DELETE ? DESK_DELETE
                                            : DESK_FILE;
    }
    return req->method == HTTP_POST ? DESK_CANCEL : DESK_BATCH;
}

static json_t *act(struct desk *d, enum desk_op op, const char *id,
                   const struct http_req *req, const struct desk_trouble *t)
{
    const char *after = strstr(req->url, "&after=");
    switch (op) {
    case DESK_UPLOAD: return upload(d, req, t);
    case DESK_CREATE: return create(d, req);
    case DESK_BATCH: return get_batch(d, id);
    case DESK_LIST: return list(d, after ? after + 7 : NULL);
    case DESK_CANCEL: return cancel(d, id);
    case DESK_FILE:
    case DESK_CONTENT: return get_file(d, id);
    case DESK_DELETE: return delete_file(d, id);
    case DESK_OPS: break;
    }
    return NULL;
}

/* ---- replies ---- */

static void reply(struct desk_ask *a)
{
    struct desk_ask **at = &a->desk->asks;
    while (*at != a) {
        at = &(*at)->next;
    }
    *at = a->next;
    loop_timer_destroy(a->timer);
    a->cb(a->ctx, &a->resp);
    free(a->body);
    free(a);
}

static void on_timer(void *ctx)
{
    struct desk_ask *a = ctx;
    if (a->sink_fd > 0 && a->resp.outcome == HTTP_REPLY && a->resp.status == 200) {
        assert_int_equal(write(a->sink_fd, a->body, strlen(a->body)), strlen(a->body));
        a->resp.body = SPAN_NONE;
    }
    reply(a);
}

static void set_reply(struct desk_ask *a, const struct desk_trouble *t, json_t *o)
{
    a->resp = (struct http_resp){.status = o ? 200 : 404, .retry_after_ms = -1};
    a->body = o ? json_dumps(o, 0)
                : strdup("{\"error\":{\"message\":\"no such thing\"}}");
    json_decref(o);
    if (t->what == DESK_STATUS) {
        char text[200];
        snprintf(text, sizeof(text),
                 "{\"error\":{\"message\":\"the desk says no\",\"code\":\"%s\"}}",
                 t->code ? t->code : "");
        free(a->body);
        a->body = strdup(text);
        a->resp.status = t->status;
        a->resp.retry_after_ms = t->retry_after_ms ? t->retry_after_ms : -1;
    }
    if (t->what == DESK_LOSE_BEFORE || t->what == DESK_LOSE_AFTER ||
        t->what == DESK_UNSENT) {
        a->resp.outcome = t->what == DESK_UNSENT ? HTTP_UNSENT : HTTP_UNKNOWN;
        a->resp.status = 0;
        snprintf(a->resp.why, sizeof(a->resp.why), "connection lost");
    }
    a->resp.body = span_str(a->body);
}

static void set_content(struct desk *d, struct desk_ask *a, const struct desk_trouble *t,
                        const char *id)
{
    struct desk_file *f = find_file(d, id);
    if (a->sink_fd > 0 && a->resp.status == 200 && f && f->text) {
        free(a->body);
        a->body = strdup(f->text);
        if (t->what == DESK_CUT) {
            a->body[strlen(a->body) - 9] = '\0';
        }
    }
}

static void count_under_way(struct desk *d, enum desk_op op)
{
    bool transfers = op == DESK_UPLOAD || op == DESK_CONTENT;
    unsigned requests = 1, transfers_n = transfers;
    for (const struct desk_ask *a = d->asks; a; a = a->next) {
        requests++;
        transfers_n += a->op == DESK_UPLOAD || a->op == DESK_CONTENT;
    }
    d->most_requests = MAX_OF(d->most_requests, requests);
    d->most_transfers = MAX_OF(d->most_transfers, transfers_n);
}

static int desk_send(struct http *h, const struct http_req *req, http_fn cb, void *ctx,
                     struct err *err)
{
    struct desk *d = (struct desk *)h;
    char id[64];
    enum desk_op op = parse(req, id);
    struct desk_trouble t = trouble_at(d, op);
    bool known = strcmp(req->bearer, d->key) == 0;
    bool acts = known && (t.what == DESK_NOTHING || t.what == DESK_LOSE_AFTER ||
                          t.what == DESK_CUT);
    struct desk_ask *a = calloc(1, sizeof(*a));
    (void)err;
    d->asked[op]++;
    d->asked_ms[op] = loop_now_ms(d->loop);
    count_under_way(d, op);
    if (d->on_ask) {
        d->on_ask(d->ctx, op);
    }
    *a = (struct desk_ask){.next = d->asks,
                           .desk = d,
                           .op = op,
                           .cb = cb,
                           .ctx = ctx,
                           .sink_fd = req->sink_fd};
    d->asks = a;
    set_reply(a, &t, acts ? act(d, op, id, req, &t) : NULL);
    set_content(d, a, &t, id);
    assert_int_equal(loop_timer_create(d->loop, on_timer, a, &a->timer), 0);
    loop_timer_start(a->timer, d->latency_ms);
    return 0;
}

static void desk_destroy(struct http *h)
{
    desk_close((struct desk *)h);
}

static const struct http_ops desk_ops = {desk_send, desk_destroy};

void desk_open(struct desk *d, struct loop *loop)
{
    memset(d, 0, sizeof(*d));
    d->http.ops = &desk_ops;
    d->loop = loop;
    d->start_wall_ms = loop_wall_ms(loop) - loop_now_ms(loop);
    d->latency_ms = 50;
    d->batch_ms = 60000;
    d->key = "sk-test";
}

void desk_close(struct desk *d)
{
    while (d->asks) {
        d->asks->resp = (struct http_resp){.outcome = HTTP_UNKNOWN, .why = "closing"};
        reply(d->asks);
    }
    for (unsigned i = 0; i < d->files_len; i++) {
        free(d->files[i].text);
    }
    for (unsigned i = 0; i < d->batches_len; i++) {
        free(d->batches[i].text);
    }
}
