/* One request: the options of its handle, and what libcurl hands over while it runs. */
#include "core/http_xfer.h"

#include "core/secret.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 10000L
#define LOW_SPEED_BYTES    1000L
#define LOW_SPEED_SECONDS  60L
#define BODY_BYTES_DEFAULT ((size_t)1 << 20)
#define KEPT_IDLE_SECONDS  4L /* servers close idle connections after five and more */
#define SPARE_BODY_BYTES   ((size_t)256 << 10)

/* ---- life ---- */

struct xfer *xfer_destroy(struct xfer *x)
{
    if (x) {
        curl_easy_cleanup(x->easy);
        curl_mime_free(x->mime);
        curl_slist_free_all(x->headers);
        secret_page_destroy(x->key_page);
        buf_fini(&x->body);
        free(x);
    }
    return NULL;
}

void xfer_put_back(struct xfer *x)
{
    struct xfer_env *env = x->env;
    if (!x->kept || env->spare_n >= env->connections_max ||
        x->body.cap > SPARE_BODY_BYTES) {
        xfer_destroy(x);
        return;
    }
    x->next = env->spare;
    env->spare = x;
    env->spare_n++;
}

void xfer_free_spare(struct xfer_env *env)
{
    while (env->spare) {
        struct xfer *x = env->spare;
        env->spare = x->next;
        xfer_destroy(x);
    }
}

long xfer_status(const struct xfer *x)
{
    long status = 0;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* ---- what arrives ---- */

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
    if (x->sink_fd > 0 && xfer_status(x) / 100 == 2) {
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
    int n = snprintf(x->key_page, SECRET_PAGE_BYTES, KEY_HEADER "%s", key);
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

/* Before a request's first byte. libcurl repeats one whose kept connection ended without a
 * reply; it may have been acted on, so it ends here instead of beginning again. */
static int on_begin(void *ctx, char *ip, char *local_ip, int port, int local_port)
{
    struct xfer *x = ctx;
    bool again = x->begun;
    (void)ip;
    (void)local_ip;
    (void)port;
    (void)local_port;
    x->begun = true;
    return again ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static int set_kept(struct xfer *x, struct err *err)
{
    CURL *e = x->easy;
    x->kept = true;
    bool ok = curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_begin) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_PREREQDATA, (void *)x) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, KEPT_IDLE_SECONDS) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 0L) == CURLE_OK;
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

static bool may_keep(const struct http_req *req)
{
    return req->method == HTTP_POST && req->keep && req->json.n > 0;
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
    if (may_keep(req)) {
        int rc = set_kept(x, err);
        return rc < 0 ? rc : set_json_body(x, req, err);
    }
    curl_easy_setopt(x->easy, CURLOPT_FRESH_CONNECT, 1L);
    return req->file_path ? set_file_body(x, req, err) : set_json_body(x, req, err);
}

/* What every request has; strings are copied by curl. */
static CURLcode set_common(struct xfer *x, const struct http_req *req)
{
    CURL *e = x->easy;
    CURLcode rc = curl_easy_setopt(e, CURLOPT_URL, req->url);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_PROXY, x->env->proxy ? x->env->proxy : "");
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_USERAGENT, x->env->user_agent);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    if (x->env->ca_file) {
        rc = rc ? rc : curl_easy_setopt(e, CURLOPT_CAINFO, x->env->ca_file);
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

/* A kept request that is over becomes the next one of the same key: what they have in common
 * costs more than what they differ in. NULL: there is none. */
static struct xfer *xfer_again(struct xfer_env *env, const struct http_req *req)
{
    struct xfer *x = may_keep(req) ? env->spare : NULL;
    const char *key = x && x->key_page ? x->key_page + strlen(KEY_HEADER) : NULL;
    if (!x || !key != !req->bearer || (key && strcmp(key, req->bearer) != 0)) {
        return NULL;
    }
    env->spare = x->next;
    env->spare_n--;
    x->next = x->prev = NULL;
    x->sink_fd = req->sink_fd;
    x->sink_errno = 0;
    x->body_bytes = 0;
    buf_reset(&x->body);
    x->body.max = req->max_bytes ? req->max_bytes : BODY_BYTES_DEFAULT;
    x->headers_done = x->oversize = x->begun = false;
    x->why[0] = '\0';
    CURL *e = x->easy;
    bool ok = curl_easy_setopt(e, CURLOPT_URL, req->url) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)req->timeout_ms) ==
                  CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->json.n) ==
                  CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS, req->json.p) == CURLE_OK;
    return ok ? x : xfer_destroy(x);
}

int xfer_create(struct xfer_env *env, const struct http_req *req, struct xfer **ret,
                struct err *err)
{
    struct xfer *x = *ret = xfer_again(env, req);
    if (x) {
        return 0;
    }
    x = calloc(1, sizeof(*x));
    if (!x) {
        return err_set(err, ERR_FAIL, "could not prepare a request: out of memory");
    }
    x->env = env;
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
