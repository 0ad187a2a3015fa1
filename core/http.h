/*
 * http.h - one way to make a request, with a simulated twin.
 *
 * http_send never blocks and never retries; the callback comes exactly once, never from inside
 * http_send. Requests still in flight get theirs from http_destroy, as HTTP_UNKNOWN. The
 * response is borrowed during the callback, which may send again or destroy. A request
 * body is bytes in memory or one file as multipart/form-data; a response body is kept in
 * memory up to max_bytes, or written to a file descriptor the caller owns. At most
 * HTTP_IN_FLIGHT_MAX requests at a time; those above connections_max wait for a connection.
 *
 * HTTP/1.1 only (libcurl before 8.2.1 may report a cut HTTP/2 transfer as complete), redirects
 * are never followed (they would carry the key), plain http only where the caller allowed it.
 * `Expect: 100-continue` is never sent. Stalls end by low-speed limit (1 KB/s for 60 s). A POST
 * takes a new connection unless it says `keep`: on an old one that died libcurl would send it a
 * second time. With `keep` it begins once, and what libcurl would repeat is HTTP_UNKNOWN; the
 * low-speed limit is off, for a model may think for minutes.
 * Proxies of the environment are ignored; `proxy` is the only one.
 *
 * outcome tells what a caller may conclude about the other side:
 *   HTTP_REPLY    a complete reply came (of an error reply: at most max_bytes of it)
 *   HTTP_UNSENT   no byte of the request left this machine (refused, no name, TLS failed)
 *   HTTP_UNKNOWN  it may have arrived and been acted on: look before doing it again
 */
#ifndef OFFPEAK_CORE_HTTP_H
#define OFFPEAK_CORE_HTTP_H

#include "core/buf.h"
#include "core/err.h"
#include <stdint.h>

struct http;
struct loop;

#define HTTP_IN_FLIGHT_MAX 1024

enum http_method { HTTP_GET, HTTP_POST, HTTP_DELETE };
enum http_outcome { HTTP_REPLY, HTTP_UNSENT, HTTP_UNKNOWN };

struct http_req {
    enum http_method method;
    const char *url; /* copied by http_send, as is everything below */
    const char
        *bearer;      /* NULL or the key; sent as Authorization, kept out of every log */
    struct span json; /* body with Content-Type application/json, or none */
    const char *file_path;    /* multipart instead: part "file" ... */
    const char *file_name;    /* ... under this name, type application/jsonl ... */
    const char *form_purpose; /* ... and part "purpose" */
    int sink_fd;              /* > 0: the body of a 2xx reply is written here */
    size_t
        max_bytes; /* cap of a reply kept in memory (and of any error reply); 0: 1 MiB */
    int64_t timeout_ms; /* 0: only the low-speed limit */
    bool keep;          /* a POST with a json body that may go over a kept connection */
};

/* What is left of an account's rate limits (x-ratelimit-*; OpenAI, "Rate limits"). */
struct http_limit {
    int64_t limit, remaining; /* in a minute; -1 when the reply names none */
    int64_t reset_ms;         /* until nothing of it is used; -1 */
};
struct http_limits {
    struct http_limit requests, tokens;
};

struct http_resp {
    enum http_outcome outcome;
    int status;
    struct span body; /* empty when it went to sink_fd */
    uint64_t body_bytes;
    int64_t retry_after_ms; /* -1 when the reply names none; retry-after-ms wins */
    char request_id[64];    /* x-request-id */
    struct http_limits limits;
    int sink_errno; /* why sink_fd could not be written, else 0 */
    char why[200];  /* for UNSENT and UNKNOWN: what happened */
};

typedef void (*http_fn)(void *ctx, const struct http_resp *resp);

/* The seam: the real one runs on curl, the simulated one in tests answers by itself. */
struct http_ops {
    int (*send)(struct http *h, const struct http_req *req, http_fn cb, void *ctx,
                struct err *err);
    void (*destroy)(struct http *h);
};

struct http {
    const struct http_ops *ops;
};

struct http_conf {
    const char *user_agent;
    const char *ca_file; /* NULL: the system's */
    const char *proxy;   /* NULL: none */
    bool insecure_http;  /* plain http to other hosts than loopback */
    int connections_max;
};

int http_create(struct http **ret, struct loop *loop, const struct http_conf *conf,
                struct err *err);
int http_send(struct http *h, const struct http_req *req, http_fn cb, void *ctx,
              struct err *err);
struct http *http_destroy(struct http *h);

/* "20", "1.5" of a unit: in ms, rounded up, a week at most; -1 when it is no such number. */
int64_t http_delay_ms(struct span text, uint64_t unit_ms);
/* "120ms", "1s", "6m0s", "1h2m3.5s": the same. */
int64_t http_duration_ms(struct span text);

/* ERR_USAGE for what http_send would refuse as address: no http(s), a user name in it, or plain
 * http to another machine without insecure_http. */
int http_check_url(const char *url, bool insecure_http, struct err *err);
/* True for 127.0.0.0/8, ::1 and localhost: where plain http is nobody's business. */
bool http_is_loopback(const char *url);
/* scheme://host[:port] of a URL, lower case, default port dropped: what a cache key stands on. */
int http_origin(const char *url, struct buf *ret, struct err *err);

#endif
