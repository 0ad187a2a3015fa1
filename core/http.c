#include "core/http.h"

#include "core/loop.h"
#include "core/secret.h"

#include <curl/curl.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#define CONNECT_TIMEOUT_MS  10000L
#define LOW_SPEED_BYTES     1000L
#define LOW_SPEED_SECONDS   60L
#define BODY_BYTES_DEFAULT  ((size_t)1 << 20)
#define RETRY_AFTER_MAX_MS  604800000 /* a week: more is a mistake of the other side */
#define CONNECTIONS_DEFAULT 8
#define REAL_MAGIC          0x48545450u

struct sock {
    uv_poll_t poll;
    curl_socket_t fd;
    struct real *real;
};

struct xfer {
    struct real *real;
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
    struct buf once; /* of a kept request: its body, which curl can read only once */
    size_t once_at;
    bool
        headers_done; /* the empty line behind them came: without it curl sees a reply too */
    bool oversize;
    char why[CURL_ERROR_SIZE];
    struct xfer *prev, *next;
};

struct real {
    struct http base;
    uint32_t magic;
    struct loop *loop;
    CURLM *multi;
    uv_timer_t timer;
    char *user_agent, *ca_file, *proxy;
    bool insecure_http, closing;
    int connections_max, in_flight;
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

/* ---- what a reply says ---- */

static const struct http_limits no_limits = {{-1, -1, -1}, {-1, -1, -1}};

static const char *header_of(CURL *easy, const char *name)
{
    struct curl_header *h;
    return curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value
                                                                              : NULL;
}

static int64_t retry_after_ms(const struct xfer *x)
{
    const char *ms = header_of(x->easy, "retry-after-ms");
    int64_t delay = ms ? http_delay_ms(span_str(ms), 1) : -1;
    if (delay >= 0) {
        return delay;
    }
    const char *after = header_of(x->easy, "retry-after");
    delay = after ? http_delay_ms(span_str(after), 1000) : -1;
    time_t date = after && delay < 0 ? curl_getdate(after, NULL) : -1;
    if (date >= 0) {
        int64_t rest = (int64_t)date * 1000 - loop_wall_ms(x->real->loop);
        delay = rest < 0 ? 0 : MIN_OF(rest, RETRY_AFTER_MAX_MS);
    }
    return delay;
}

static int64_t count_of(CURL *easy, const char *name)
{
    uint64_t n;
    struct span text = span_trim(span_str(header_of(easy, name)));
    return text.n && span_u64(text, &n) == 0 && n <= INT64_MAX ? (int64_t)n : -1;
}

static void read_limits(CURL *easy, struct http_limits *ret)
{
    const char *requests = header_of(easy, "x-ratelimit-reset-requests");
    const char *tokens = header_of(easy, "x-ratelimit-reset-tokens");
    *ret = (struct http_limits){
        .requests = {count_of(easy, "x-ratelimit-limit-requests"),
                     count_of(easy, "x-ratelimit-remaining-requests"),
                     http_duration_ms(span_str(requests))},
        .tokens = {count_of(easy, "x-ratelimit-limit-tokens"),
                   count_of(easy, "x-ratelimit-remaining-tokens"),
                   http_duration_ms(span_str(tokens))},
    };
}

static void copy_printable(char *to, size_t cap, const char *from)
{
    size_t n = 0;
    for (; from && *from && n + 1 < cap; from++) {
        if (*from > ' ' && *from < 0x7f) {
            to[n++] = *from;
        }
    }
    to[n] = '\0';
}

/* True where curl says that it never got as far as sending. In doubt: false. */
static bool nothing_left(CURL *easy, CURLcode rc)
{
    long sent = 1;
    curl_off_t ready_us = 1;
    curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent);
    curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &ready_us);
    if (sent != 0) {
        return false;
    }
    switch ((int)rc) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER: return true;
    case CURLE_OPERATION_TIMEDOUT: return ready_us == 0;
    }
    return false;
}

static long status_of(CURL *easy)
{
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* An error reply larger than we keep has still answered; a result cut short has not. */
static bool is_reply(const struct xfer *x, CURLcode rc, long status)
{
    return status >= 200 && x->headers_done &&
           (rc == CURLE_OK || (x->oversize && status >= 300));
}

/* Where libcurl's own words depend on the moment, or on its version. */
static const char *words_of(CURLcode rc)
{
    switch ((int)rc) {
    case CURLE_OK: return "the connection ended inside the reply";
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING: return "the connection was closed before a reply came";
    case CURLE_UNSUPPORTED_PROTOCOL: return "what answers there does not speak HTTP";
    }
    return NULL;
}

/* "OpenSSL/3.0.2: error:0A00010B:SSL routines::wrong version number": what comes last. */
static const char *last_part(const char *text)
{
    const char *colon = strrchr(text, ':');
    return colon && colon[1] ? colon + 1 : text;
}

static void explain(const struct xfer *x, CURLcode rc, struct http_resp *resp)
{
    long os_error = 0;
    curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &os_error);
    if (x->oversize) {
        snprintf(resp->why, sizeof(resp->why), "the reply is larger than %zu bytes",
                 x->body.max);
    } else if (x->sink_errno) {
        snprintf(resp->why, sizeof(resp->why), "could not store the reply: %s",
                 strerror(x->sink_errno));
    } else if (rc == CURLE_COULDNT_CONNECT && os_error) {
        snprintf(resp->why, sizeof(resp->why), "could not connect: %s",
                 strerror((int)os_error));
    } else if (words_of(rc)) {
        snprintf(resp->why, sizeof(resp->why), "%s", words_of(rc));
    } else if (rc == CURLE_SSL_CONNECT_ERROR) {
        snprintf(resp->why, sizeof(resp->why), "could not set up TLS: %.160s",
                 last_part(x->why));
    } else {
        const char *text = x->why[0] ? x->why : curl_easy_strerror(rc);
        snprintf(resp->why, sizeof(resp->why), "%.190s", text);
        resp->why[strcspn(resp->why, "\r\n")] = '\0';
    }
}

static struct http_resp read_reply(const struct xfer *x, CURLcode rc)
{
    long status = status_of(x->easy);
    struct http_resp resp = {
        .outcome = HTTP_UNKNOWN, .retry_after_ms = -1, .limits = no_limits};
    resp.sink_errno = x->sink_errno;
    resp.body_bytes = x->body_bytes;
    if (is_reply(x, rc, status)) {
        resp.outcome = HTTP_REPLY;
        resp.status = (int)status;
        resp.body = buf_span(&x->body);
        resp.retry_after_ms = retry_after_ms(x);
        read_limits(x->easy, &resp.limits);
    } else {
        resp.outcome = nothing_left(x->easy, rc) ? HTTP_UNSENT : HTTP_UNKNOWN;
        explain(x, rc, &resp);
    }
    copy_printable(resp.request_id, sizeof(resp.request_id),
                   header_of(x->easy, "x-request-id"));
    return resp;
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
    loop_hold(r->loop);
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
    loop_unhold(r->loop);
}

static struct xfer *xfer_destroy(struct xfer *x)
{
    if (x) {
        curl_easy_cleanup(x->easy);
        curl_mime_free(x->mime);
        curl_slist_free_all(x->headers);
        secret_page_destroy(x->key_page);
        buf_fini(&x->body);
        buf_fini(&x->once);
        free(x);
    }
    return NULL;
}

/* The caller may do anything in its callback: x is on no list any more. */
static void xfer_finish(struct xfer *x, const struct http_resp *resp)
{
    x->cb(x->ctx, resp);
    xfer_destroy(x);
}

static size_t write_sink(struct xfer *x, const char *p, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t put = write(x->sink_fd, p + done, n - done);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            x->sink_errno = put < 0 ? errno : EIO;
            return 0;
        }
        done += (size_t)put;
    }
    return n;
}

static size_t on_body(char *p, size_t size, size_t count, void *ctx)
{
    struct xfer *x = ctx;
    size_t n = size * count;
    x->body_bytes += n;
    if (x->sink_fd > 0 && status_of(x->easy) / 100 == 2) {
        return write_sink(x, p, n);
    }
    size_t room = x->body.max - x->body.n;
    if (n > room) {
        x->oversize = true;
        buf_add(&x->body, p, room);
        return n + 1; /* anything but n ends the transfer */
    }
    return buf_add(&x->body, p, n) < 0 ? n + 1 : n;
}

static size_t on_header(char *p, size_t size, size_t count, void *ctx)
{
    struct xfer *x = ctx;
    struct span line = span_trim(span_of(p, size * count));
    if (line.n == 0) {
        x->headers_done = true;
    } else if (line.n >= 5 && memcmp(line.p, "HTTP/", 5) == 0) {
        x->headers_done = false; /* what came before was a 1xx */
    }
    return size * count;
}

static int add_header(struct xfer *x, const char *line)
{
    struct curl_slist *grown = curl_slist_append(x->headers, line);
    x->headers = grown ? grown : x->headers;
    return grown ? 0 : -1;
}

/* curl lets us own the list, so the key need not stand on the heap while a request runs. */
static int add_key(struct xfer *x, const char *key, struct err *err)
{
    for (const char *p = key; *p; p++) {
        if (*p <= ' ' || *p >= 0x7f) {
            return err_set(err, ERR_AUTH,
                           "could not use the API key: it holds a character "
                           "that no key has");
        }
    }
    if (!(x->key_page = secret_page_create())) {
        return err_set(err, ERR_FAIL, "could not prepare a request: out of memory");
    }
    int n = snprintf(x->key_page, SECRET_PAGE_BYTES, "Authorization: Bearer %s", key);
    x->key_header.data = x->key_page;
    return n >= (int)SECRET_PAGE_BYTES
               ? err_set(err, ERR_AUTH, "could not use the API key: too long")
               : 0;
}

static int set_file_body(struct xfer *x, const struct http_req *req, struct err *err)
{
    x->mime = curl_mime_init(x->easy);
    curl_mimepart *purpose = curl_mime_addpart(x->mime);
    bool ok = purpose && curl_mime_name(purpose, "purpose") == CURLE_OK &&
              curl_mime_data(purpose, req->form_purpose, CURL_ZERO_TERMINATED) ==
                  CURLE_OK;
    curl_mimepart *file = curl_mime_addpart(x->mime);
    ok = ok && file && curl_mime_name(file, "file") == CURLE_OK;
    if (ok && curl_mime_filedata(file, req->file_path) != CURLE_OK) {
        return err_set(err, ERR_FAIL, "could not read '%s': %s", req->file_path,
                       strerror(errno));
    }
    ok = ok && curl_mime_filename(file, req->file_name) == CURLE_OK &&
         curl_mime_type(file, "application/jsonl") == CURLE_OK &&
         curl_easy_setopt(x->easy, CURLOPT_MIMEPOST, x->mime) == CURLE_OK;
    return ok ? 0 : err_set(err, ERR_FAIL, "could not prepare a request: out of memory");
}

static size_t on_once(char *p, size_t size, size_t count, void *ctx)
{
    struct xfer *x = ctx;
    size_t n = MIN_OF(size * count, x->once.n - x->once_at);
    memcpy(p, x->once.p + x->once_at, n);
    x->once_at += n;
    return n;
}

/* Before a request's first byte. libcurl repeats one whose kept connection ended without a
 * reply; one whose body has been read may have been acted on, and ends here instead. */
static int on_begin(void *ctx, char *ip, char *local_ip, int port, int local_port)
{
    const struct xfer *x = ctx;
    (void)ip;
    (void)local_ip;
    (void)port;
    (void)local_port;
    return x->once_at > 0 ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* There is no function to seek with either: libcurl cannot send again what has left. */
static int set_body_once(struct xfer *x, const struct http_req *req, struct err *err)
{
    CURL *e = x->easy;
    buf_init(&x->once, req->json.n);
    bool ok = buf_add(&x->once, req->json.p, req->json.n) == 0 &&
              curl_easy_setopt(e, CURLOPT_POST, 1L) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->json.n) ==
                  CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_READFUNCTION, on_once) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_READDATA, (void *)x) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_begin) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_PREREQDATA, (void *)x) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 0L) == CURLE_OK &&
              add_header(x, "Content-Type: application/json") == 0;
    return ok ? 0 : err_set(err, ERR_FAIL, "could not prepare a request: out of memory");
}

static int set_json_body(struct xfer *x, const struct http_req *req, struct err *err)
{
    CURLcode rc =
        curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->json.n);
    if (rc == CURLE_OK) {
        rc = curl_easy_setopt(x->easy, CURLOPT_COPYPOSTFIELDS,
                              req->json.n ? req->json.p : "");
    }
    if (rc != CURLE_OK ||
        (req->json.n && add_header(x, "Content-Type: application/json") < 0)) {
        return err_set(err, ERR_FAIL, "could not prepare a request: out of memory");
    }
    return 0;
}

static int set_method(struct xfer *x, const struct http_req *req, struct err *err)
{
    switch (req->method) {
    case HTTP_GET: curl_easy_setopt(x->easy, CURLOPT_HTTPGET, 1L); return 0;
    case HTTP_DELETE:
        curl_easy_setopt(x->easy, CURLOPT_CUSTOMREQUEST, "DELETE");
        return 0;
    case HTTP_POST: break;
    }
    if (req->keep && req->json.n > 0) {
        return set_body_once(x, req, err);
    }
    curl_easy_setopt(x->easy, CURLOPT_FRESH_CONNECT, 1L);
    return req->file_path ? set_file_body(x, req, err) : set_json_body(x, req, err);
}

/* What every request has; strings are copied by curl. */
static CURLcode set_common(struct xfer *x, const struct http_req *req)
{
    const struct real *r = x->real;
    CURL *e = x->easy;
    CURLcode rc = curl_easy_setopt(e, CURLOPT_URL, req->url);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_PROXY, r->proxy ? r->proxy : "");
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_USERAGENT, r->user_agent);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    if (r->ca_file) {
        rc = rc ? rc : curl_easy_setopt(e, CURLOPT_CAINFO, r->ca_file);
    }
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    /* asks for none, and undoes one that a proxy put on all the same */
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "identity");
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, LOW_SPEED_BYTES);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, LOW_SPEED_SECONDS);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)req->timeout_ms);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_ERRORBUFFER, x->why);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_WRITEDATA, (void *)x);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_HEADERDATA, (void *)x);
    return rc ? rc : curl_easy_setopt(e, CURLOPT_PRIVATE, (void *)x);
}

static int xfer_create(struct real *r, const struct http_req *req, struct xfer **ret,
                       struct err *err)
{
    struct xfer *x = calloc(1, sizeof(*x));
    if (!x) {
        return err_set(err, ERR_FAIL, "could not prepare a request: out of memory");
    }
    x->real = r;
    x->sink_fd = req->sink_fd;
    buf_init(&x->body, req->max_bytes ? req->max_bytes : BODY_BYTES_DEFAULT);
    x->easy = curl_easy_init();
    int rc = 0;
    if (!x->easy || set_common(x, req) != CURLE_OK || add_header(x, "Expect:") < 0) {
        rc = err_set(err, ERR_FAIL, "could not prepare a request to '%s'", req->url);
    }
    rc = rc < 0 || !req->bearer ? rc : add_key(x, req->bearer, err);
    rc = rc < 0 ? rc : set_method(x, req, err);
    if (rc < 0) {
        xfer_destroy(x);
        return rc;
    }
    x->key_header.next = x->headers;
    curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER,
                     x->key_page ? &x->key_header : x->headers);
    *ret = x;
    return 0;
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
    rc = rc < 0 ? rc : xfer_create(r, req, &x, err);
    if (!x) {
        return rc;
    }
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
            .outcome = HTTP_UNKNOWN, .retry_after_ms = -1, .limits = no_limits};
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
        struct http_resp resp = read_reply(x, rc);
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
    if (!s || uv_poll_init_socket(loop_uv(r->loop), &s->poll, fd) < 0) {
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
        curl_multi_setopt(m, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)r->connections_max);
        curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, (long)r->connections_max);
    }
    return m;
}

/* ---- life ---- */

static void on_real_closed(uv_handle_t *handle)
{
    struct real *r = handle->data;
    free(r->user_agent);
    free(r->ca_file);
    free(r->proxy);
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
    r->loop = loop;
    r->user_agent = copy_or_null(conf->user_agent);
    r->ca_file = copy_or_null(conf->ca_file);
    r->proxy = copy_or_null(conf->proxy);
    r->insecure_http = conf->insecure_http;
    r->connections_max = conf->connections_max > 0 ? conf->connections_max
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
