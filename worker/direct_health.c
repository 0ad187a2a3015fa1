/*
 * Servers of one's own come and go: what waits for one that is down goes to the others, what was
 * under way there counts as lost, and it is asked at growing intervals whether it is back.
 */
#include "worker/direct.h"

#include <stdio.h>
#include <string.h>

#define URL_MAX 600

/* "http://gpu1:8000/v1" -> "http://gpu1:8000/health" (vLLM, SGLang, llama-server). */
static void probe(struct lane_direct *l, unsigned server)
{
    char url[URL_MAX];
    const char *base = l->servers[server].base_url;
    size_t n = strlen(base);
    if (n > 3 && strcmp(base + n - 3, "/v1") == 0) {
        n -= 3;
    }
    snprintf(url, sizeof(url), "%.*s/health", (int)MIN_OF(n, (size_t)URL_MAX - 10), base);
    l->servers[server].probing = true;
    direct_ask(l, server, url);
}

void direct_probed(struct lane_direct *l, unsigned server, const struct http_resp *resp)
{
    struct direct_server *s = &l->servers[server];
    bool good = resp->outcome == HTTP_REPLY &&
                resp->status < 500; /* 404: has no /health */
    s->probing = false;
    if (s->health.down && health_probed(&s->health, loop_now_ms(l->conf.loop), good)) {
        s->out = false;
        pool_set_up(l->pool, server, true);
        direct_event(l, "'%s' is there again", s->base_url);
    }
}

static void take_out(struct lane_direct *l, unsigned server)
{
    struct direct_server *s = &l->servers[server];
    struct direct_call *d;
    s->out = true;
    pool_set_up(l->pool, server, false);
    while ((d = direct_ready_pop(s, UINT32_MAX))) {
        direct_queue_add(&l->again, d);
    }
    direct_event(l, "'%s' is down, its calls go elsewhere", s->base_url);
}

/* When to look at it again. */
static int64_t look_at(struct lane_direct *l, unsigned server, int64_t now_ms)
{
    struct direct_server *s = &l->servers[server];
    if (health_stalls(&s->health, now_ms, l->conf.direct->stall_ms)) {
        health_set_down(&s->health, now_ms);
        direct_give_up(l, server);
    }
    if (!s->health.down) {
        return health_stall_at(&s->health, l->conf.direct->stall_ms);
    }
    if (!s->out) {
        take_out(l, server);
    }
    if (!s->probing && now_ms >= s->health.probe_ms) {
        probe(l, server);
    }
    return s->probing ? INT64_MAX : s->health.probe_ms;
}

int64_t direct_health(struct lane_direct *l)
{
    int64_t now_ms = loop_now_ms(l->conf.loop), next_ms = INT64_MAX;
    unsigned up = 0;
    if (!l->conf.direct->moves) {
        return INT64_MAX;
    }
    for (unsigned i = 0; i < l->conf.servers_n; i++) {
        next_ms = MIN_OF(next_ms, look_at(l, i, now_ms));
        up += !l->servers[i].health.down;
    }
    if (up == 0) {
        direct_silence(l, false, "every server is down");
    }
    return next_ms;
}
