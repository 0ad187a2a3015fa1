#include "worker/settle_record.h"

#include "core/headers.h"
#include <inttypes.h>
#include <stdio.h>

#define LINE_ID_HEX 24 /* of the digest that makes a result line's id */

struct span record_custom_id(const struct release *r, struct span line)
{
    if (r->id_len < 2 || r->id_at > line.n || r->id_len > line.n - r->id_at) {
        return SPAN_NONE;
    }
    return span_of(line.p + r->id_at, r->id_len);
}

/* ---- the result line ---- */

static void add_text(struct buf *json, const char *name, const char *value)
{
    buf_addf(json, "\"%s\":", name);
    if (value && value[0]) {
        buf_add_json(json, span_str(value));
    } else {
        buf_adds(json, "null");
    }
}

static void add_raw(struct buf *json, struct span raw)
{
    if (raw.n) {
        buf_add(json, raw.p, raw.n);
    } else {
        buf_adds(json, "null");
    }
}

/* An id like the provider's, the same whenever this line is written again. */
static void add_line_id(const struct release *r, struct buf *json)
{
    char name[JOB_ID_MAX + 24], hex[HASH_HEX];
    snprintf(name, sizeof(name), "%s#%" PRIu64, r->job, r->attempt);
    buf_addf(json, "{\"id\":\"batch_req_%.*s\"", LINE_ID_HEX,
             hash_hex(hash_of(span_str(name)), hex));
}

static void add_response(const struct outcome *o, struct buf *json)
{
    buf_adds(json, ",\"response\":");
    if (!o->answered) {
        buf_adds(json, "null");
        return;
    }
    buf_addf(json, "{\"status_code\":%d,", o->http_status);
    add_text(json, "request_id", o->request_id);
    buf_adds(json, ",\"body\":");
    add_raw(json, o->body);
    buf_addc(json, '}');
}

static void add_error(const struct outcome *o, struct buf *json)
{
    buf_adds(json, ",\"error\":");
    if (o->answered) {
        buf_adds(json, "null");
    } else if (o->error.n) {
        add_raw(json, o->error);
    } else {
        buf_addc(json, '{');
        add_text(json, "code", o->code);
        buf_addc(json, ',');
        add_text(json, "message", o->why);
        buf_addc(json, '}');
    }
}

static const char *source_name(const struct outcome *o)
{
    if (!o->answered) {
        return NULL;
    }
    switch (o->source) {
    case SOURCE_PROVIDER: return "provider";
    case SOURCE_FLIGHT: return "flight";
    case SOURCE_CACHE: return "cache";
    }
    return NULL;
}

static void add_amount(struct buf *json, const char *name, bool known, struct usd amount)
{
    char text[USD_TEXT_MAX];
    buf_addf(json, ",\"%s\":%s", name, known ? usd_format(amount, text) : "null");
}

static void add_offpeak(const struct release *r, const struct outcome *o,
                        struct buf *json)
{
    buf_adds(json, ",\"offpeak\":{");
    add_text(json, "job_id", r->job);
    buf_addf(json, ",\"status\":\"%s\",", status_name(o->status));
    add_text(json, "source", source_name(o));
    buf_addf(json, ",\"paid\":%s", o->paid ? "true" : "false");
    add_amount(json, "cost_usd", o->cost_known, o->booked);
    add_amount(json, "baseline_usd", o->cost_known, o->charge.baseline);
    buf_addf(json, ",\"attempt\":%" PRIu64 ",", r->attempt);
    add_text(json, "batch", o->batch);
    buf_adds(json, "}}");
}

static void result_head_of(const struct release *r, const struct outcome *o,
                           struct result_head *ret)
{
    *ret = (struct result_head){.attempt = r->attempt,
                                .line = r->line,
                                .status = o->status,
                                .paid = o->paid,
                                .unlimited = r->unlimited};
    memcpy(ret->run, r->run, sizeof(ret->run));
    memcpy(ret->feature, r->feature, sizeof(ret->feature));
    snprintf(ret->why, sizeof(ret->why), "%s", o->code);
}

int record_result(const struct release *r, struct span custom_id, const struct outcome *o,
                  struct buf *headers, struct buf *json)
{
    struct result_head head;
    buf_reset(headers);
    buf_reset(json);
    result_head_of(r, o, &head);
    add_line_id(r, json);
    buf_adds(json, ",\"custom_id\":");
    add_raw(json, custom_id);
    add_response(o, json);
    add_error(o, json);
    add_offpeak(r, o, json);
    return json->failed || result_head_encode(&head, headers) < 0 ? -1 : 0;
}

/* ---- the others ---- */

static const char *text_or_null(const char *s)
{
    return s && s[0] ? s : NULL;
}

static void spend_head_of(const struct release *r, const struct outcome *o,
                          struct spend_head *ret)
{
    *ret = (struct spend_head){.kind = o->kind,
                               .attempt = r->attempt,
                               .try_n = o->try_n,
                               .final = !o->again,
                               .cost = o->booked,
                               .usage = o->usage};
    memcpy(ret->job, r->job, sizeof(ret->job));
    memcpy(ret->run, r->run, sizeof(ret->run));
    memcpy(ret->team, r->team, sizeof(ret->team));
    memcpy(ret->feature, r->feature, sizeof(ret->feature));
    memcpy(ret->day, r->day, sizeof(ret->day));
    memcpy(ret->model, r->model, sizeof(ret->model));
}

int record_spend(const struct record_frame *f, const struct release *r,
                 struct span custom_id, const struct outcome *o, struct buf *headers,
                 struct buf *json)
{
    struct spend s = {
        .lane = r->lane,
        .outcome = o->status,
        .source = o->source,
        .charge = o->charge,
        .cost_known = o->cost_known,
        .line = r->line,
        .custom_id = custom_id,
        .provider = o->provider ? f->provider : NULL,
        .account = o->provider ? f->account : NULL,
        .model_used = text_or_null(o->model_used),
        .batch = text_or_null(o->batch),
        .request_id = o->paid ? text_or_null(o->request_id) : NULL,
        .prices = f->prices,
        .why = o->kind == SPEND_IN_DOUBT ? text_or_null(o->why) : NULL,
        .time_ms = f->now_ms,
    };
    spend_head_of(r, o, &s.head);
    buf_reset(headers);
    buf_reset(json);
    return spend_encode(&s, headers, json, NULL);
}

int record_dead(const struct release *r, const struct outcome *o, struct buf *headers)
{
    struct result_head head;
    result_head_of(r, o, &head);
    buf_reset(headers);
    if (result_head_encode(&head, headers) < 0) {
        return -1;
    }
    return headers_adds(headers, "message", o->why);
}
