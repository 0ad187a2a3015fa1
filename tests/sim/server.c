#include "tests/sim/server.h"

#include "tests/sim/call.h"
#include "tests/sim/delay.h"

#include <arpa/inet.h>
#include <assert.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

/* libmicrohttpd (0.9.75, MHD_epoll) takes EPOLL_EVENTS events at a time. When there were exactly
 * so many it asks for more before it serves those, and waits for them until a connection times
 * out: IDLE_S. So no thread watches so many descriptors: its connections, the one for new ones
 * and the one that wakes it. */
enum {
    EPOLL_EVENTS = 128,
    THREADS = 9,
    CONNECTIONS_MAX = THREADS * 120,
    IDLE_S = 120,
    CONNECTION_BYTES = 1 << 16,
};

static_assert(CONNECTIONS_MAX / THREADS + 2 < EPOLL_EVENTS, "too many for one round");

struct server {
    struct sim *sim;
    struct MHD_Daemon *daemon;
    struct delay *delay;
};

/* On the thread of the delay: the moment has come. */
static void on_due(void *item)
{
    struct call *c = item;
    struct server *s = c->owner;
    if (call_is_held(c) && delay_add(s->delay, SIM_HOLD_LOOK_US, c)) {
        return;
    }
    if (!c->has_acted) {
        call_act(c);
    }
    MHD_resume_connection(c->request.connection);
}

static void wait_then_go_on(struct server *s, struct call *c)
{
    c->owner = s;
    MHD_suspend_connection(c->request.connection);
    if (!delay_add(s->delay, c->delay_us, c)) {
        on_due(c);
    }
}

static enum MHD_Result send_reply(struct server *s, struct call *c)
{
    if (c->reply.hang_up) {
        atomic_fetch_add(&s->sim->stats.dropped, 1);
    } else {
        atomic_fetch_add(&s->sim->stats.statuses[c->reply.status % STATUS_MAX], 1);
    }
    return reply_send(&c->reply, c->request.connection) ? MHD_YES : MHD_NO;
}

/* MHD calls this with the headers, with each piece of the body, with its end, and again after
 * a wait. */
/* NOLINTNEXTLINE(readability-function-size): libmicrohttpd's parameters */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection,
                                  const char *path, const char *method,
                                  const char *version, const char *data, size_t *size,
                                  void **state)
{
    struct server *s = cls;
    struct call *c = *state;
    (void)version;
    if (!c) {
        *state = call_begin(s->sim, connection, method, path);
        return MHD_YES;
    }
    if (*size) {
        call_feed(c, data, *size);
        *size = 0;
        return MHD_YES;
    }
    if (!c->is_ready) {
        bool is_late = call_prepare(c);
        if (!is_late) {
            call_act(c);
        }
        if (c->delay_us) {
            wait_then_go_on(s, c);
            return MHD_YES;
        }
    }
    return send_reply(s, c);
}

static void on_end(void *cls, struct MHD_Connection *connection, void **state,
                   enum MHD_RequestTerminationCode how)
{
    (void)cls;
    (void)connection;
    (void)how;
    *state = call_end(*state);
}

static int parse_address(const char *listen, struct sockaddr_in *ret_address)
{
    char host[64];
    const char *colon = listen ? strrchr(listen, ':') : NULL;
    char *end;
    if (!colon || (size_t)(colon - listen) >= sizeof host) {
        return -1;
    }
    memcpy(host, listen, (size_t)(colon - listen));
    host[colon - listen] = '\0';
    long port = strtol(colon + 1, &end, 10);
    *ret_address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    bool good = *end == '\0' && end != colon + 1 && port >= 0 && port <= 65535 &&
                inet_pton(AF_INET, host, &ret_address->sin_addr) == 1;
    return good ? 0 : -1;
}

static struct MHD_Daemon *start_daemon(struct server *s, struct sockaddr_in *address)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
        on_request, s, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)address,
        MHD_OPTION_NOTIFY_COMPLETED, on_end, s, MHD_OPTION_THREAD_POOL_SIZE,
        (unsigned)THREADS, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
        MHD_OPTION_LISTEN_BACKLOG_SIZE, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_LISTENING_ADDRESS_REUSE, (unsigned)1, MHD_OPTION_END);
}

struct server *server_start(struct sim *sim, struct text *ret_why)
{
    const char *listen = sim->options.listen ? sim->options.listen : "127.0.0.1:0";
    struct sockaddr_in address;
    if (parse_address(listen, &address) < 0) {
        text_fmt(ret_why, "could not use --listen '%s': it must be an IPv4 HOST:PORT",
                 listen);
        return NULL;
    }
    struct server *s = must_calloc(1, sizeof *s);
    s->sim = sim;
    s->delay = delay_create(on_due);
    s->daemon = s->delay ? start_daemon(s, &address) : NULL;
    if (!s->daemon) {
        text_fmt(ret_why, "could not listen on '%s': the address is taken or not ours",
                 listen);
        return server_stop(s);
    }
    return s;
}

struct server *server_stop(struct server *s)
{
    if (s) {
        if (s->delay) {
            delay_close(s->delay);
        }
        if (s->daemon) {
            MHD_stop_daemon(s->daemon);
        }
        delay_destroy(s->delay);
        free(s);
    }
    return NULL;
}

int server_port(const struct server *s)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : 0;
}
