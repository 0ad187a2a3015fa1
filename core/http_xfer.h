/*
 * http_xfer.h - inside http.c: one request, from its options to what its reply says.
 *
 * A request is an easy handle of libcurl and what its callbacks collect. http_xfer.c makes it,
 * http_reply.c reads what became of it; that it runs, and on which loop, is http.c.
 */
#ifndef OFFPEAK_CORE_HTTP_XFER_H
#define OFFPEAK_CORE_HTTP_XFER_H

#include "core/http.h"

#include <curl/curl.h>

#define KEY_HEADER "Authorization: Bearer "

struct real;
struct xfer;

/* What all requests of one http have in common. */
struct xfer_env {
    struct loop *loop;
    char *user_agent, *ca_file, *proxy;
    int connections_max;
    struct xfer *spare; /* of kept requests that are over; connections_max at most */
    int spare_n;
};

struct xfer {
    struct real *real; /* http.c's, and what it lends: */
    struct xfer_env *env;
    CURL *easy;
    struct curl_slist *headers;
    struct curl_slist key_header; /* before them; its text stands on key_page */
    char *key_page;
    curl_mime *mime;
    http_fn cb;
    void *ctx;
    int sink_fd, sink_errno;
    uint64_t body_bytes;
    struct buf body;
    bool kept,
        begun; /* of a kept request: it may be used again; its first byte may leave */
    bool
        headers_done; /* the empty line behind them came: without it curl sees a reply too */
    bool oversize;
    char why[CURL_ERROR_SIZE];
    struct xfer *prev, *next;
};

extern const struct http_limits http_no_limits;

int xfer_create(struct xfer_env *env, const struct http_req *req, struct xfer **ret,
                struct err *err);
/* It is over: kept for the next one of its kind, or destroyed. */
void xfer_put_back(struct xfer *x);
struct xfer *xfer_destroy(struct xfer *x);
void xfer_free_spare(struct xfer_env *env);
long xfer_status(const struct xfer *x);
/* What it came to; the body is the xfer's. */
struct http_resp xfer_reply(const struct xfer *x, CURLcode rc);

#endif
