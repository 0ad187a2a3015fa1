/* What may leave leaves: the first byte of a call, and the way its reply finds back. */
#include "worker/direct.h"

#include "core/secret.h"
#include "worker/released.h"

#include <stdlib.h>

#define PROBE_TIMEOUT_MS 5000
#define AGAIN_MS         50 /* the process has no room for more requests */

struct direct_flight {
    struct direct_flight *next, *prev;
    struct lane_direct *lane; /* NULL: it is gone */
    struct direct_call *call; /* NULL: a probe, or given up */
    unsigned server;
};

static void count_under_way(struct lane_direct *l, const struct direct_call *d, int by)
{
    struct direct_server *s = &l->servers[d->server];
    s->under_way += (uint32_t)by;
    s->tracks[d->track].under_way += (uint32_t)by;
}

static struct lane_direct *land(struct direct_flight *f)
{
    struct lane_direct *l = f->lane;
    if (l) {
        *(f->prev ? &f->prev->next : &l->flights) = f->next;
        if (f->next) {
            f->next->prev = f->prev;
        }
        if (f->call) {
            count_under_way(l, f->call, -1);
        }
    }
    free(f);
    return l;
}

static void on_reply(void *ctx, const struct http_resp *resp)
{
    struct direct_flight *f = ctx;
    struct direct_call *d = f->call;
    struct lane_direct *l = land(f);
    if (l && d && !l->failed) {
        FAILPOINT("direct.reply");
        direct_heard(l, d, resp);
        direct_kick(l);
    }
}

static struct direct_flight *take_off(struct lane_direct *l, struct direct_call *d,
                                      unsigned server)
{
    struct direct_flight *f = calloc(1, sizeof(*f));
    if (f) {
        *f = (struct direct_flight){
            .next = l->flights, .lane = l, .call = d, .server = server};
        if (f->next) {
            f->next->prev = f;
        }
        l->flights = f;
        if (d) {
            count_under_way(l, d, 1);
        }
    }
    return f;
}

void direct_abandon_flights(struct lane_direct *l)
{
    for (struct direct_flight *f = l->flights; f; f = f->next) {
        f->lane = NULL;
    }
    l->flights = NULL;
}

void direct_give_up(struct lane_direct *l, unsigned server)
{
    for (struct direct_flight *f = l->flights; f; f = f->next) {
        struct direct_call *d = f->call;
        if (d && f->server == server) {
            f->call = NULL;
            count_under_way(l, d, -1);
            (void)health_lost(&l->servers[server].health, loop_now_ms(l->conf.loop),
                              false);
            direct_lost(l, d, "its server fell silent");
        }
    }
}

static void on_probe(void *ctx, const struct http_resp *resp)
{
    struct direct_flight *f = ctx;
    unsigned server = f->server;
    struct lane_direct *l = land(f);
    if (l && !l->failed) {
        direct_probed(l, server, resp);
        direct_kick(l);
    }
}

void direct_ask(struct lane_direct *l, unsigned server, const char *url)
{
    struct err err = {0};
    const struct http_req req = {.method = HTTP_GET,
                                 .url = url,
                                 .bearer = l->conf.key ? secret_text(l->conf.key) : NULL,
                                 .timeout_ms = PROBE_TIMEOUT_MS};
    struct direct_flight *f = take_off(l, NULL, server);
    if (!f || http_send(l->conf.http, &req, on_probe, f, &err) < 0) {
        const struct http_resp none = {.outcome = HTTP_UNSENT};
        if (f) {
            land(f);
        }
        direct_probed(l, server, &none);
    }
}

/* The request of a call, its body lying in the record of its leader. */
static int build(struct lane_direct *l, const struct direct_call *d,
                 struct provider_request *ret, struct err *err)
{
    struct released job;
    int rc = released_read(l->cursor, d->at, &job, err);
    if (rc < 0) {
        return rc;
    }
    const struct provider_call call = {.base_url = l->servers[d->server].base_url,
                                       .path = job.release.path,
                                       .body = job.body};
    rc = l->conf.provider->call(&call, ret, err);
    ret->http.bearer = l->conf.key ? secret_text(l->conf.key) : NULL;
    ret->http.timeout_ms = l->conf.direct->timeout_ms;
    return rc;
}

/* False: it did not leave, and waits or the lane has failed. */
static bool send_one(struct lane_direct *l, struct direct_call *d)
{
    struct err err = {0};
    struct direct_server *s = &l->servers[d->server];
    int64_t now_ms = loop_now_ms(l->conf.loop);
    _cleanup_(provider_request_fini) struct provider_request r;
    provider_request_init(&r);
    int rc = build(l, d, &r, &err);
    struct direct_flight *f = rc < 0 ? NULL : take_off(l, d, d->server);
    if (rc >= 0 && !f) {
        rc = err_set(&err, ERR_FAIL, "could not send a call: out of memory");
    }
    rc = rc < 0 ? rc : http_send(l->conf.http, &r.http, on_reply, f, &err);
    if (rc < 0) {
        if (f) {
            land(f);
        }
        if (err.retry == RETRY_LATER) {
            direct_queue_add(&l->again, d);
        } else {
            direct_fail(l, &err);
        }
        return false;
    }
    d->state = DIRECT_UNDER_WAY;
    d->ticket = pace_sent(&s->pace, now_ms);
    health_sent(&s->health, now_ms);
    l->sent++;
    FAILPOINT("direct.sent");
    return true;
}

static bool nothing_under_way(const struct lane_direct *l)
{
    return l->flights == NULL;
}

/* True: its run was cancelled, and it ends before it leaves. */
static bool end_cancelled(struct lane_direct *l, struct direct_call *d)
{
    if (!d->call->cancelled) {
        return false;
    }
    d->state = DIRECT_SETTLING;
    if (settle_cancelled(l->conf.settle, d->call) < 0) {
        l->failed = true; /* settle has told why */
    }
    return true;
}

/* 0: one may leave; else when to ask again, INT64_MAX unknown. */
static int64_t may_leave(struct lane_direct *l, struct direct_server *s, int64_t now_ms)
{
    if (l->failed || l->draining || !settle_room(l->conf.settle) || !direct_is_up(l, s) ||
        (l->again.n == 0 && s->ready == 0)) {
        return INT64_MAX;
    }
    if (l->stop[0] && now_ms < l->stop_until_ms) {
        return l->stop_until_ms;
    }
    if (l->stop[0] && !nothing_under_way(l)) {
        return INT64_MAX;
    }
    return pace_when(&s->pace, s->under_way, now_ms);
}

/* NULL: what is ready follows calls that are under way. */
static struct direct_call *next_of(struct lane_direct *l, struct direct_server *s)
{
    struct direct_call *d = direct_queue_pop(&l->again);
    if (d) {
        d->twice = false; /* it may leave from any server */
        return d;
    }
    return direct_ready_pop(s, l->on_track);
}

int64_t direct_send(struct lane_direct *l)
{
    int64_t now_ms = loop_now_ms(l->conf.loop), next_ms = INT64_MAX;
    for (unsigned i = 0; i < l->conf.servers_n; i++) {
        struct direct_server *s = &l->servers[i];
        int64_t when_ms;
        while ((when_ms = may_leave(l, s, now_ms)) == 0) {
            struct direct_call *d = next_of(l, s);
            if (!d) {
                when_ms = INT64_MAX;
                break;
            }
            d->server = i;
            if (end_cancelled(l, d)) {
                continue;
            }
            if (!send_one(l, d)) {
                when_ms = now_ms + AGAIN_MS;
                break;
            }
        }
        next_ms = MIN_OF(next_ms, when_ms);
    }
    return next_ms;
}
