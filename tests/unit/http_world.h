/* http_world.h - a caller on a loop and a peer with a script: what the tests of requests share. */
#ifndef OFFPEAK_TESTS_UNIT_HTTP_WORLD_H
#define OFFPEAK_TESTS_UNIT_HTTP_WORLD_H

#include "core/http.h"

#include "core/loop.h"
#include "tests/unit/peer.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct world {
    struct peer peer;
    struct loop *loop;
    struct http *http;
    char url[100];
    int sent, answered;
    bool destroy_in_callback;
    struct http_resp last;
    struct buf body;
};

static inline void set_up(struct world *w, const struct reply *script, size_t replies)
{
    struct http_conf conf = {.user_agent = "offpeak/test", .connections_max = 4};
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    memset(w, 0, sizeof(*w));
    buf_init(&w->body, 1 << 20);
    peer_start(&w->peer, script, replies);
    assert_int_equal(loop_create(&w->loop, clock_real(), NULL), 0);
    assert_int_equal(http_create(&w->http, w->loop, &conf, NULL), 0);
    snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%d/v1/files", w->peer.port);
}

static inline void tear_down(struct world *w)
{
    w->http = http_destroy(w->http);
    loop_destroy(w->loop);
    peer_stop(&w->peer);
    buf_fini(&w->body);
}

static inline void on_reply(void *ctx, const struct http_resp *resp)
{
    struct world *w = ctx;
    w->answered++;
    w->last = *resp;
    buf_reset(&w->body);
    buf_add(&w->body, resp->body.p, resp->body.n);
    if (w->destroy_in_callback) {
        w->destroy_in_callback = false;
        w->http = http_destroy(w->http);
    }
}

/* Sends and waits for the answer. */
static inline const struct http_resp *ask(struct world *w, const struct http_req *req)
{
    struct err err = {0};
    int before = w->answered;
    if (http_send(w->http, req, on_reply, w, &err) < 0) {
        fail_msg("http_send: %s", err.msg);
    }
    assert_int_equal(w->answered, before); /* never from inside */
    loop_run(w->loop);
    assert_int_equal(w->answered, before + 1);
    return &w->last;
}

#define SCRIPT(...)                      \
    (const struct reply[]){__VA_ARGS__}, \
        sizeof((const struct reply[]){__VA_ARGS__}) / sizeof(struct reply)

#define OK_BODY    "Content-Length: 5\r\nX-Request-Id: req_1\r\n\r\nhello"
#define OK_TEXT    "HTTP/1.1 200 OK\r\nConnection: close\r\n" OK_BODY
#define OK_STAYING "HTTP/1.1 200 OK\r\n" OK_BODY

#endif
