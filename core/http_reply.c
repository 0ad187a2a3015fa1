/* What a finished request came to: a reply, nothing that left, or nobody knows. */
#include "core/http_xfer.h"

#include "core/loop.h"

#include <stdio.h>

#define RETRY_AFTER_MAX_MS 604800000 /* a week: more is a mistake of the other side */

const struct http_limits http_no_limits = {{-1, -1, -1}, {-1, -1, -1}};

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
        int64_t rest = (int64_t)date * 1000 - loop_wall_ms(x->env->loop);
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
    case CURLE_ABORTED_BY_CALLBACK: /* a repetition that we stopped */
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING: return "the connection was closed before a reply came";
    case CURLE_UNSUPPORTED_PROTOCOL: return "what answers there does not speak HTTP";
    }
    return NULL;
}

/* "OpenSSL/3.0.2: error:0A00010B:SSL routines::wrong version number": what comes last. Without
 * such an error the other side has just gone. */
static const char *tls_words(const char *text)
{
    const char *error = strstr(text, "error:");
    const char *last = error ? strrchr(error, ':') : NULL;
    return last && last[1] ? last + 1 : "the connection was closed";
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
                 tls_words(x->why));
    } else {
        const char *text = x->why[0] ? x->why : curl_easy_strerror(rc);
        snprintf(resp->why, sizeof(resp->why), "%.190s", text);
        resp->why[strcspn(resp->why, "\r\n")] = '\0';
    }
}

struct http_resp xfer_reply(const struct xfer *x, CURLcode rc)
{
    long status = xfer_status(x);
    struct http_resp resp = {
        .outcome = HTTP_UNKNOWN, .retry_after_ms = -1, .limits = http_no_limits};
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
