/* What becomes of a call whose reply has come, or will not come. */
#include "worker/direct.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STOPPED_MS    60000 /* between two calls that try whether the account works again */
#define AGAIN_BASE_MS 500
#define AGAIN_CAP_MS  60000

/* ---- who else wants to know ---- */

static enum pace_end end_for_pace(const struct lane_direct *l,
                                  const struct direct_call *d,
                                  const struct http_resp *resp, enum reply_kind kind)
{
    switch (kind) {
    case REPLY_ANSWER:
    case REPLY_REFUSED:
    case REPLY_FAILED: return PACE_ANSWERED;
    case REPLY_BUSY: return resp->outcome == HTTP_REPLY ? PACE_REFUSED : PACE_LOST;
    case REPLY_LOST: {
        int64_t took_ms = loop_now_ms(l->conf.loop) - d->ticket.at_ms;
        return took_ms >= l->conf.direct->timeout_ms ? PACE_REFUSED : PACE_LOST;
    }
    case REPLY_STOP: return PACE_LOST;
    }
    return PACE_LOST;
}

static void tell_server(struct lane_direct *l, const struct direct_call *d,
                        const struct http_resp *resp, enum reply_kind kind,
                        const struct answer *a)
{
    struct direct_server *s = &l->servers[d->server];
    int64_t now_ms = loop_now_ms(l->conf.loop);
    bool replied = resp->outcome == HTTP_REPLY;
    const struct pace_reply r = {
        .end = end_for_pace(l, d, resp, kind),
        .limits = resp->limits,
        .hold_ms =
            kind == REPLY_BUSY && replied
                ? MIN_OF(MAX_OF(resp->retry_after_ms, INT64_C(0)), RETRY_AFTER_MAX_MS)
                : 0,
        .tokens = a->usage_known ? (int64_t)(a->usage.input + a->usage.output) : 0,
    };
    pace_ended(&s->pace, &d->ticket, &r, now_ms);
    if (replied) {
        health_heard(&s->health, now_ms, now_ms - d->ticket.at_ms);
    } else {
        (void)health_lost(&s->health, now_ms, resp->outcome == HTTP_UNSENT);
    }
}

/* ---- the account ---- */

static void stop_account(struct lane_direct *l, const char *what, const struct err *why)
{
    char said[sizeof(l->stop)];
    snprintf(said, sizeof(said), "could not %s '%s': %.300s", what, l->conf.origin,
             why->msg);
    if (!l->stop[0]) {
        direct_event(l, "%s", said);
    }
    memcpy(l->stop, said, sizeof(l->stop));
    bool own_key = l->conf.lane == LANE_POOL && why->code == ERR_AUTH;
    snprintf(l->stop_hint, sizeof(l->stop_hint), "%s",
             own_key ? "put a key that these servers take into a file, name it with "
                       "pool.key_file, and run the same command again"
                     : why->hint);
    l->stop_code = (int)why->code;
    l->stop_until_ms = loop_now_ms(l->conf.loop) + STOPPED_MS;
}

void direct_silence(struct lane_direct *l, bool replied, const char *why)
{
    struct err err;
    int64_t now_ms = loop_now_ms(l->conf.loop);
    if (l->silent_since_ms < 0) {
        l->silent_since_ms = now_ms;
    }
    if (now_ms - l->silent_since_ms < l->conf.direct->give_up_ms) {
        return;
    }
    err_set(&err, ERR_TEMP, "%s", why);
    err_hint(&err, replied ? "run the same command again later"
                           : "check the network and the base URL, and run the same "
                             "command again");
    stop_account(l, replied ? "work with" : "reach", &err);
}

static void hear(struct lane_direct *l, const struct http_resp *resp,
                 enum reply_kind kind, const struct err *err)
{
    switch (kind) {
    case REPLY_ANSWER:
    case REPLY_REFUSED:
    case REPLY_FAILED:
        l->silent_since_ms = -1;
        if (l->stop[0]) {
            l->stop[0] = '\0';
            direct_event(l, "the provider works for this account again");
        }
        return;
    case REPLY_BUSY:
    case REPLY_LOST: direct_silence(l, resp->outcome == HTTP_REPLY, err->msg); return;
    case REPLY_STOP: stop_account(l, "work with", err); return;
    }
}

/* ---- the call ---- */

static void settled(struct lane_direct *l, int rc)
{
    l->failed = l->failed || rc < 0; /* settle has told why */
}

static void fail_call(struct lane_direct *l, struct direct_call *d, struct answer *a,
                      bool deterministic)
{
    const struct origin o = {.account = l->conf.account};
    d->state = DIRECT_SETTLING;
    settled(l, settle_failed(l->conf.settle, d->call, a, &o, deterministic));
}

/* Refused for so long, while others were answered: enough. */
static void give_up(struct lane_direct *l, struct direct_call *d, struct answer *a,
                    const struct err *err)
{
    if (a->http_status == 0) {
        buf_reset(&l->text);
        buf_adds(&l->text, "{\"code\":\"unreachable\",\"message\":");
        buf_add_json(&l->text, span_str(err->msg));
        buf_adds(&l->text, "}");
        a->error = buf_span(&l->text);
    }
    fail_call(l, d, a, false);
}

/* Certainly not executed: it goes again, and that is no try. */
static void later(struct lane_direct *l, struct direct_call *d,
                  const struct http_resp *resp, struct answer *a, const struct err *err)
{
    static const struct retry_rule rule = {AGAIN_BASE_MS, AGAIN_CAP_MS};
    int64_t now_ms = loop_now_ms(l->conf.loop);
    bool replied = resp->outcome == HTTP_REPLY;
    l->refused += replied;
    if (d->refusals == 0) {
        d->refused_ms = now_ms;
    } else if (now_ms - d->refused_ms >= l->conf.direct->give_up_ms && !l->stop[0]) {
        give_up(l, d, a, err);
        return;
    }
    d->due_ms = now_ms + retry_delay_ms(&rule, d->refusals++,
                                        replied ? resp->retry_after_ms : -1,
                                        direct_random(l));
    d->state = DIRECT_DUE;
    direct_queue_add(&l->due, d);
}

void direct_lost(struct lane_direct *l, struct direct_call *d, const char *why)
{
    const struct origin o = {.account = l->conf.account};
    l->lost_n++;
    if (d->call->try_n >= d->call->tries) {
        d->state = DIRECT_SETTLING;
        settled(l, settle_in_doubt(l->conf.settle, d->call, why, &o));
        return;
    }
    d->state = DIRECT_LOST;
    d->why = strdup(why); /* without memory it is booked without a reason */
    direct_queue_add(&l->lost, d);
}

static void learn(struct lane_direct *l, const struct direct_call *d,
                  const struct answer *a)
{
    const struct usage *u = &a->usage;
    struct pool_seen seen = {.twice = d->twice};
    if (a->usage_known) {
        seen.input = u->input;
        seen.cached = u->cache_read;
        seen.output = u->output;
    }
    pool_learn(l->pool, d->call, &seen);
}

void direct_heard(struct lane_direct *l, struct direct_call *d,
                  const struct http_resp *resp)
{
    struct err err = {0};
    struct answer a;
    const struct origin o = {.account = l->conf.account};
    enum reply_kind kind = l->conf.provider->reply(resp, &l->text, &a, &err);
    tell_server(l, d, resp, kind, &a);
    hear(l, resp, kind, &err);
    switch (kind) {
    case REPLY_ANSWER:
        learn(l, d, &a);
        d->state = DIRECT_SETTLING;
        settled(l, settle_answer(l->conf.settle, d->call, &a, &o));
        return;
    case REPLY_REFUSED: fail_call(l, d, &a, true); return;
    case REPLY_FAILED: fail_call(l, d, &a, false); return;
    case REPLY_BUSY: later(l, d, resp, &a, &err); return;
    case REPLY_LOST: direct_lost(l, d, err.msg); return;
    case REPLY_STOP:
        if (resp->status < 300) { /* somebody took it, whoever that was */
            direct_lost(l, d, err.msg);
            return;
        }
        d->state = DIRECT_READY;
        direct_queue_add(&l->again, d);
        return;
    }
}
