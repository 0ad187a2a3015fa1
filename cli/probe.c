#include "cli/probe.h"

#include "core/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct probe {
    struct MHD_Daemon *http;
    struct clock clock;
    char role[16];
    _Atomic int64_t beat_ms;
    atomic_int state;
};

static const struct {
    const char *name;
    bool ready;
} states[PROBE_STATES] = {
    [PROBE_STARTING] = {"starting", false}, [PROBE_STANDBY] = {"standby", true},
    [PROBE_AT_WORK] = {"at work", true},    [PROBE_CUT_OFF] = {"cut off", false},
    [PROBE_ENDING] = {"ending", false},
};

const char *probe_state_name(enum probe_state s)
{
    return states[s].name;
}

static enum MHD_Result answer(struct MHD_Connection *to, unsigned status, char *text)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_COPY);
    if (!r) {
        return MHD_NO;
    }
    (void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    enum MHD_Result rc = MHD_queue_response(to, status, r);
    MHD_destroy_response(r);
    return rc;
}

/* On a thread of the library's. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *from, const char *url,
                                  const char *method, const char *version,
                                  const char *body, size_t *body_bytes, void **request)
{
    struct probe *p = ctx;
    char text[160] = "{\"error\":\"ask for /healthz or /readyz\"}\n";
    (void)version;
    (void)body;
    (void)body_bytes;
    (void)request;
    bool health = !strcmp(url, "/healthz");
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 || (!health && strcmp(url, "/readyz"))) {
        return answer(from, MHD_HTTP_NOT_FOUND, text);
    }
    int state = atomic_load(&p->state);
    int64_t silent_ms = clock_mono_ms(&p->clock) - atomic_load(&p->beat_ms);
    bool alive = silent_ms < PROBE_SILENCE_MS;
    bool good = alive && (health || states[state].ready);
    snprintf(text, sizeof(text),
             "{\"role\":\"%s\",\"state\":\"%s\",\"alive\":%s,\"ready\":%s}\n", p->role,
             states[state].name, alive ? "true" : "false",
             alive && states[state].ready ? "true" : "false");
    return answer(from, good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, text);
}

/* "127.0.0.1:8080" or "[::1]:8080"; false: it is neither. */
static bool parse(const char *listen, struct sockaddr_storage *ret)
{
    char host[64];
    const char *colon = strrchr(listen, ':');
    char *end;
    if (!colon || (size_t)(colon - listen) >= sizeof(host)) {
        return false;
    }
    long port = strtol(colon + 1, &end, 10);
    if (!colon[1] || *end || port < 0 || port > 65535) {
        return false;
    }
    snprintf(host, sizeof(host), "%.*s", (int)(colon - listen), listen);
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
    size_t n = strlen(host);
    memset(ret, 0, sizeof(*ret));
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        return true;
    }
    if (n < 3 || host[0] != '[' || host[n - 1] != ']') {
        return false;
    }
    host[n - 1] = '\0';
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)port);
    return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1;
}

static int cannot_listen(const char *listen, enum err_code code, const char *why,
                         struct err *err)
{
    err_set(err, code, "could not listen at '%s': %s", listen, why);
    err_hint(err, "give a free one: --set health.listen=127.0.0.1:8642");
    return -(int)code;
}

int probe_open(struct probe **ret, const char *listen, const char *role, struct err *err)
{
    struct sockaddr_storage at;
    if (!parse(listen, &at)) {
        return cannot_listen(listen, ERR_USAGE, "it is no ADDRESS:PORT", err);
    }
    struct probe *p = calloc(1, sizeof(*p));
    if (!p) {
        return cannot_listen(listen, ERR_FAIL, strerror(ENOMEM), err);
    }
    p->clock = clock_real();
    snprintf(p->role, sizeof(p->role), "%s", role);
    probe_beat(p, PROBE_STARTING);
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD |
                     (at.ss_family == AF_INET6 ? MHD_USE_IPv6 : MHD_NO_FLAG);
    errno = 0;
    p->http = MHD_start_daemon(flags, 0, NULL, NULL, on_request, p, MHD_OPTION_SOCK_ADDR,
                               (struct sockaddr *)&at, MHD_OPTION_CONNECTION_LIMIT, 16u,
                               MHD_OPTION_CONNECTION_TIMEOUT, 5u, MHD_OPTION_END);
    if (!p->http) {
        int rc =
            cannot_listen(listen, ERR_FAIL, strerror(errno ? errno : EADDRINUSE), err);
        probe_close(p);
        return rc;
    }
    *ret = p;
    return 0;
}

unsigned probe_port(const struct probe *p)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(p->http, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : 0;
}

void probe_beat(struct probe *p, enum probe_state state)
{
    atomic_store(&p->beat_ms, clock_mono_ms(&p->clock));
    atomic_store(&p->state, (int)state);
}

struct probe *probe_close(struct probe *p)
{
    if (p) {
        if (p->http) {
            MHD_stop_daemon(p->http);
        }
        free(p);
    }
    return NULL;
}
