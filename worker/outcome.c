#include "worker/outcome.h"

#include "core/jtext.h"
#include <stdio.h>
#include <string.h>

/* ---- money ---- */

static bool charge_of(const struct pricing *p, const struct release *r,
                      enum answer_source source, const struct usage *u,
                      struct charge *ret)
{
    const struct price_row *row =
        price_find(p->book, p->provider, span_str(r->model), r->day);
    return row && price_charge(row, r->lane, source, u, ret) == 0;
}

static void bill(const struct pricing *p, const struct release *r, const struct answer *a,
                 struct outcome *o)
{
    o->cost_known = a->usage_known &&
                    charge_of(p, r, SOURCE_PROVIDER, &a->usage, &o->charge);
    if (o->cost_known) {
        o->kind = SPEND_USAGE;
        o->booked = o->charge.cost.total;
        o->usage = a->usage;
    } else {
        o->kind = SPEND_IN_DOUBT;
        o->booked = release_try_bound(r);
    }
}

static bool used_tokens(const struct answer *a)
{
    return a->usage_known && (a->usage.input || a->usage.output);
}

/* ---- words ---- */

/* The characters of a JSON string, cut to what fits; false when it is none or empty. */
static bool text_of(struct span object, const char *name, char *ret, size_t size)
{
    struct span value;
    _cleanup_(buf_fini) struct buf text;
    buf_init(&text, (size_t)1 << 16);
    if (!jtext_get(object, name, &value) || jtext_string(value, &text) < 0 || !text.n) {
        return false;
    }
    snprintf(ret, size, "%.*s", (int)MIN_OF(text.n, size), text.p);
    return ret[0] != '\0';
}

static void set_error(struct outcome *o, const char *code, const char *why)
{
    snprintf(o->code, sizeof(o->code), "%s", code);
    snprintf(o->why, sizeof(o->why), "%s", why);
}

static void describe_response(const struct answer *a, struct outcome *o)
{
    char message[WHY_MAX] = "";
    struct span error;
    if (jtext_type(a->body) == JTEXT_OBJECT && jtext_get(a->body, "error", &error) &&
        jtext_type(error) == JTEXT_OBJECT) {
        text_of(error, "message", message, sizeof(message));
    }
    snprintf(o->code, sizeof(o->code), "refused_by_provider");
    if (a->http_status < 300) {
        snprintf(o->why, sizeof(o->why), "the answer failed while it was made%s%.340s",
                 message[0] ? ": " : "", message);
        return;
    }
    snprintf(o->why, sizeof(o->why), "the provider answered with status %d%s%.340s",
             a->http_status, message[0] ? ": " : "", message);
}

static void describe_failure(const struct answer *a, struct outcome *o)
{
    if (o->answered) {
        describe_response(a, o);
        return;
    }
    set_error(o, "no_response", "the provider gave neither a response nor a reason");
    if (jtext_type(a->error) == JTEXT_OBJECT) {
        bool code = text_of(a->error, "code", o->code, sizeof(o->code));
        bool why = text_of(a->error, "message", o->why, sizeof(o->why));
        o->error = code && why ? a->error : SPAN_NONE;
    }
}

static void respond(const struct answer *a, enum answer_source source, struct outcome *o)
{
    o->provider = true;
    o->answered = a->http_status >= 100;
    o->source = source;
    o->http_status = a->http_status;
    o->body = jtext_type(a->body) == JTEXT_OBJECT ? a->body : SPAN_NONE;
    o->request_id = a->request_id;
    o->model_used = a->model_used;
}

/* ---- the six ends ---- */

void outcome_answer(const struct pricing *p, const struct release *r,
                    const struct answer *a, const char *batch, struct outcome *ret)
{
    struct outcome o = {.status = STATUS_OK, .paid = true, .batch = batch};
    respond(a, SOURCE_PROVIDER, &o);
    bill(p, r, a, &o);
    *ret = o;
}

void outcome_failure(const struct pricing *p, const struct release *r,
                     const struct answer *a, const char *batch, struct outcome *ret)
{
    struct outcome o = {.status = STATUS_FAILED, .dead = true, .batch = batch};
    respond(a, SOURCE_PROVIDER, &o);
    describe_failure(a, &o);
    o.kind = SPEND_USAGE;
    o.cost_known = true;
    if (used_tokens(a)) {
        o.paid = true;
        bill(p, r, a, &o);
    }
    *ret = o;
}

void outcome_same_failure(const struct answer *a, struct outcome *ret)
{
    struct outcome o = {.status = STATUS_FAILED, .dead = true};
    respond(a, SOURCE_FLIGHT, &o);
    describe_failure(a, &o);
    o.kind = SPEND_AVOIDED;
    o.cost_known = true;
    *ret = o;
}

void outcome_doubt(const struct release *r, const char *why, const char *batch,
                   struct outcome *ret)
{
    struct outcome o = {.status = STATUS_FAILED, .dead = true, .batch = batch};
    o.provider = true;
    o.source = SOURCE_PROVIDER;
    set_error(&o, "in_doubt", why);
    o.kind = SPEND_IN_DOUBT;
    o.booked = release_try_bound(r);
    *ret = o;
}

void outcome_hit(const struct pricing *p, const struct release *r,
                 const struct stored_answer *a, bool flight, struct outcome *ret)
{
    char run[sizeof(a->run)];
    struct outcome o = {.status = STATUS_OK, .answered = true, .provider = true};
    snprintf(run, sizeof(run), "%s/%s", r->feature, r->run);
    flight = flight || strcmp(run, a->run) == 0;
    o.source = flight ? SOURCE_FLIGHT : SOURCE_CACHE;
    o.http_status = 200;
    o.body = a->body;
    o.request_id = a->request_id;
    o.model_used = a->model_used;
    o.kind = SPEND_AVOIDED;
    o.cost_known = a->usage_known && charge_of(p, r, o.source, &a->usage, &o.charge);
    *ret = o;
}

void outcome_verdict(const struct release *r, struct outcome *ret)
{
    struct outcome o = {.kind = SPEND_AVOIDED, .cost_known = true};
    bool rejected = r->verdict == VERDICT_REJECTED;
    o.status = rejected ? STATUS_REJECTED : STATUS_CANCELLED;
    o.dead = rejected;
    size_t n = strspn(r->why, "abcdefghijklmnopqrstuvwxyz0123456789_");
    if (n > 0 && n < sizeof(o.code) &&
        (r->why[n] == '\0' || strncmp(r->why + n, ": ", 2) == 0)) {
        snprintf(o.code, sizeof(o.code), "%.*s", (int)n, r->why);
        snprintf(o.why, sizeof(o.why), "%s", r->why + n + (r->why[n] ? 2 : 0));
    } else {
        set_error(&o, rejected ? "invalid" : "cancelled", r->why);
    }
    if (!o.why[0]) {
        snprintf(o.why, sizeof(o.why), "%s at admission", status_name(o.status));
    }
    *ret = o;
}

void outcome_too_large(struct outcome *o, size_t bytes, size_t max)
{
    o->status = STATUS_FAILED;
    o->dead = true;
    o->answered = false;
    o->body = o->error = SPAN_NONE;
    snprintf(o->code, sizeof(o->code), "too_large");
    snprintf(o->why, sizeof(o->why),
             "the result is too large to be stored (%zu bytes, at most %zu); "
             "ask for a shorter answer",
             bytes, max);
}
