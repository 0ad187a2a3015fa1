#include "core/http.h"

#include "core/http_xfer.h"

#include "core/loop.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#define CONNECTIONS_DEFAULT 8
#define REAL_MAGIC          0x48545450u

struct sock {
    uv_poll_t poll;
    curl_socket_t fd;
    struct real *real;
};

struct real {
    struct http base;
    uint32_t magic;
    CURLM *multi;
    uv_timer_t timer;
    struct xfer_env env;
    bool insecure_http, closing;
    int in_flight;
    struct xfer *xfers;
};

/* ---- memory: what curl copied of a key is gone when curl frees it ---- */

static void wiping_free(void *p)
{
    if (p) {
        explicit_bzero(p, malloc_usable_size(p));
        free(p);
    }
}

static void *wiping_realloc(void *p, size_t n)
{
    void *moved = malloc(n);
    if (moved && p) {
        memcpy(moved, p, MIN_OF(n, malloc_usable_size(p)));
        wiping_free(p);
    }
    return moved;
}

/* ---- one request ---- */

static void xfer_link(struct real *r, struct xfer *x)
{
    x->next = r->xfers;
    if (x->next) {
        x->next->prev = x;
    }
    r->xfers = x;
    r->in_flight++;
    loop_hold(r->env.loop);
}

static void xfer_unlink(struct xfer *x)
{
    struct real *r = x->real;
    if (x->prev) {
        x->prev->next = x->next;
    } else {
        r->xfers = x->next;
    }
    if (x->next) {
        x->next->prev = x->prev;
    }
    r->in_flight--;
    loop_unhold(r->env.loop);
}

/* The caller may do anything in its callback: x is on no list any more. */
static void xfer_finish(struct xfer *x, const struct http_resp *resp)
{
    struct real *r = x->real;
    x->cb(x->ctx, resp);
    if (r->closing) {
        xfer_destroy(x);
    } else {
        xfer_put_back(x);
    }
}

static struct real *real_of(struct http *h)
{
    return CAST_CTX(real, (void *)h, REAL_MAGIC);
}

static int not_now(struct err *err, const char *why)
{
    int rc = err_set(err, ERR_TEMP, "could not send a request: %s", why);
    err_retryable(err, RETRY_LATER);
    return rc;
}

static int real_send(struct http *h, const struct http_req *req, http_fn cb, void *ctx,
                     struct err *err)
{
    struct real *r = real_of(h);
    struct xfer *x = NULL;
    if (r->closing || !r->multi) {
        return not_now(err, r->closing ? "shutting down" : "out of memory");
    }
    if (r->in_flight >= HTTP_IN_FLIGHT_MAX) {
        return not_now(err, "too many are in flight");
    }
    int rc = http_check_url(req->url, r->insecure_http, err);
    rc = rc < 0 ? rc : xfer_create(&r->env, req, &x, err);
    if (!x) {
        return rc;
    }
    x->real = r;
    x->cb = cb;
    x->ctx = ctx;
    if (curl_multi_add_handle(r->multi, x->easy) != CURLM_OK) {
        xfer_destroy(x);
        return err_set(err, ERR_FAIL, "could not send a request to '%s'", req->url);
    }
    xfer_link(r, x);
    return 0;
}

/* ---- curl on the loop ---- */

static CURLM *create_multi(struct real *r);

/* Ends every transfer the same way. The list is taken first: callbacks may send again. */
static void fail_all(struct real *r, const char *why)
{
    struct xfer *all = NULL;
    while (r->xfers) {
        struct xfer *x = r->xfers;
        curl_multi_remove_handle(r->multi, x->easy);
        xfer_unlink(x);
        x->next = all;
        all = x;
    }
    curl_multi_cleanup(TAKE_PTR(r->multi));
    r->multi = r->closing ? NULL : create_multi(r);
    while (all) {
        struct xfer *x = all;
        struct http_resp resp = {
            .outcome = HTTP_UNKNOWN, .retry_after_ms = -1, .limits = http_no_limits};
        snprintf(resp.why, sizeof(resp.why), "%s", why);
        all = x->next;
        xfer_finish(x, &resp);
    }
}

static void finish_done(struct real *r)
{
    int left;
    CURLMsg *msg;
    while (!r->closing && r->multi && (msg = curl_multi_info_read(r->multi, &left))) {
        char *private = NULL;
        CURL *easy = msg->easy_handle;
        CURLcode rc = msg->data.result; /* msg is gone once the handle is removed */
        if (msg->msg != CURLMSG_DONE) {
            continue;
        }
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
        struct xfer *x = (void *)private;
        struct http_resp resp = xfer_reply(x, rc);
        curl_multi_remove_handle(r->multi, easy);
        xfer_unlink(x);
        xfer_finish(x, &resp);
    }
}

static void drive(struct real *r, curl_socket_t fd, int events)
{
    int running;
    CURLMcode rc = curl_multi_socket_action(r->multi, fd, events, &running);
    if (rc == CURLM_OK) {
        finish_done(r);
    } else {
        fail_all(r, curl_multi_strerror(rc)); /* what state they are in is undefined */
    }
}

static void on_timeout(uv_timer_t *timer)
{
    struct real *r = timer->data;
    if (r->multi) {
        drive(r, CURL_SOCKET_TIMEOUT, 0);
    }
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct sock *s = poll->data;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;
    flags |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    flags |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    drive(s->real, s->fd, flags);
}

static void on_sock_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static struct sock *sock_create(struct real *r, curl_socket_t fd)
{
    struct sock *s = calloc(1, sizeof(*s));
    if (!s || uv_poll_init_socket(loop_uv(r->env.loop), &s->poll, fd) < 0) {
        free(s);
        return NULL;
    }
    s->fd = fd;
    s->real = r;
    s->poll.data = s;
    curl_multi_assign(r->multi, fd, s);
    return s;
}

/* CURLMOPT_SOCKETFUNCTION: -1 makes curl give up, and drive() ends what was under way. */
static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *sock)
{
    struct real *r = ctx;
    struct sock *s = sock;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s) {
            curl_multi_assign(r->multi, fd, NULL);
            uv_poll_stop(&s->poll);
            uv_close((uv_handle_t *)&s->poll, on_sock_closed);
        }
        return 0;
    }
    s = s ? s : sock_create(r, fd);
    int events = what & CURL_POLL_IN ? UV_READABLE : 0;
    events |= what & CURL_POLL_OUT ? UV_WRITABLE : 0;
    return s && uv_poll_start(&s->poll, events, on_socket) == 0 ? 0 : -1;
}

/* CURLMOPT_TIMERFUNCTION: at least 1 ms, for curl must not be called from inside itself. */
static int set_timer(CURLM *multi, long after_ms, void *ctx)
{
    struct real *r = ctx;
    (void)multi;
    if (after_ms < 0) {
        uv_timer_stop(&r->timer);
    } else if (!r->closing) {
        uv_timer_start(&r->timer, on_timeout, (uint64_t)MAX_OF(after_ms, 1), 0);
    }
    return 0;
}

static CURLM *create_multi(struct real *r)
{
    CURLM *m = curl_multi_init();
    if (m) {
        curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, watch_socket);
        curl_multi_setopt(m, CURLMOPT_SOCKETDATA, (void *)r);
        curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, set_timer);
        curl_multi_setopt(m, CURLMOPT_TIMERDATA, (void *)r);
        curl_multi_setopt(m, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
        curl_multi_setopt(m, CURLMOPT_MAX_TOTAL_CONNECTIONS,
                          (long)r->env.connections_max);
        curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, (long)r->env.connections_max);
    }
    return m;
}

/* ---- life ---- */

static void on_real_closed(uv_handle_t *handle)
{
    struct real *r = handle->data;
    free(r->env.user_agent);
    free(r->env.ca_file);
    free(r->env.proxy);
    free(r);
    curl_global_cleanup(); /* last: a callback that destroyed us still had its transfer */
}

static void real_destroy(struct http *h)
{
    struct real *r = real_of(h);
    r->closing = true;
    if (r->multi) {
        fail_all(r, "shutting down");
    }
    xfer_free_spare(&r->env);
    uv_timer_stop(&r->timer);
    uv_close((uv_handle_t *)&r->timer, on_real_closed);
}

static char *copy_or_null(const char *s)
{
    return s ? strdup(s) : NULL;
}

int http_create(struct http **ret, struct loop *loop, const struct http_conf *conf,
                struct err *err)
{
    static const struct http_ops ops = {real_send, real_destroy};
    struct real *r = calloc(1, sizeof(*r));
    CURLcode rc = r ? curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free,
                                           wiping_realloc, strdup, calloc)
                    : CURLE_OUT_OF_MEMORY;
    if (rc != CURLE_OK) {
        free(r);
        return err_set(err, ERR_FAIL, "could not start libcurl: %s",
                       curl_easy_strerror(rc));
    }
    r->base.ops = &ops;
    r->magic = REAL_MAGIC;
    r->env.loop = loop;
    r->env.user_agent = copy_or_null(conf->user_agent);
    r->env.ca_file = copy_or_null(conf->ca_file);
    r->env.proxy = copy_or_null(conf->proxy);
    r->insecure_http = conf->insecure_http;
    r->env.connections_max = conf->connections_max > 0 ? conf->connections_max
                                                       : CONNECTIONS_DEFAULT;
    uv_timer_init(loop_uv(loop), &r->timer);
    r->timer.data = r;
    r->multi = create_multi(r);
    if (!r->multi) {
        real_destroy(&r->base);
        return err_set(err, ERR_FAIL, "could not start libcurl: out of memory");
    }
    *ret = &r->base;
    return 0;
}

int http_send(struct http *h, const struct http_req *req, http_fn cb, void *ctx,
              struct err *err)
{
    return h->ops->send(h, req, cb, ctx, err);
}

struct http *http_destroy(struct http *h)
{
    if (h) {
        h->ops->destroy(h);
    }
    return NULL;
}
