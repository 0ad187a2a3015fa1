#include "tests/sim/reply.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_BYTES = 1 << 16 };

struct reply reply_empty(void)
{
    return (struct reply){
        .status = 200, .fd = -1, .content_type = "application/json", .cut_bytes = -1};
}

void reply_done(struct reply *r)
{
    text_done(&r->body);
    if (r->fd >= 0) {
        close(r->fd);
        r->fd = -1;
    }
}

void reply_fail(struct reply *r, const struct problem *p)
{
    reply_done(r);
    r->status = p->status;
    r->content_type = "application/json";
    r->retry_after_s = p->retry_after_s;
    problem_write(p, &r->body);
}

/* A Go duration, as the vendor writes its resets: 6m0s, 1.5s, 120ms. */
static void go_duration(int64_t ms, char *to, size_t size)
{
    long long m = ms / 60000;
    long long s = ms / 1000 % 60;
    if (ms < 1000) {
        snprintf(to, size, "%lldms", (long long)ms);
    } else if (m) {
        snprintf(to, size, "%lldm%llds", m, s);
    } else if (ms % 1000) {
        snprintf(to, size, "%lld.%03llds", s, (long long)(ms % 1000));
    } else {
        snprintf(to, size, "%llds", s);
    }
}

static void add_number(struct MHD_Response *to, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    MHD_add_response_header(to, name, text);
}

static void add_rates(struct MHD_Response *to, const struct rate_view *v)
{
    char text[40];
    add_number(to, "x-ratelimit-limit-requests", v->limit_requests);
    add_number(to, "x-ratelimit-limit-tokens", v->limit_tokens);
    add_number(to, "x-ratelimit-remaining-requests", v->left_requests);
    add_number(to, "x-ratelimit-remaining-tokens", v->left_tokens);
    go_duration(v->reset_requests_ms, text, sizeof text);
    MHD_add_response_header(to, "x-ratelimit-reset-requests", text);
    go_duration(v->reset_tokens_ms, text, sizeof text);
    MHD_add_response_header(to, "x-ratelimit-reset-tokens", text);
}

static void add_headers(struct MHD_Response *to, const struct reply *r)
{
    char id[32];
    snprintf(id, sizeof id, "req_%016llx", (unsigned long long)r->request_id);
    MHD_add_response_header(to, "content-type", r->content_type);
    MHD_add_response_header(to, "x-request-id", id);
    MHD_add_response_header(to, "openai-version", "2020-10-01");
    MHD_add_response_header(to, "openai-processing-ms", "1");
    if (r->retry_after_s > 0) {
        add_number(to, "retry-after", r->retry_after_s);
    }
    if (r->has_rates) {
        add_rates(to, &r->rates);
    }
}

/* A body that ends too early: MHD hangs up when the reader says so. */
struct cut_body {
    struct reply reply;
    uint64_t end;
};

static ssize_t cut_read(void *cls, uint64_t at, char *buf, size_t max)
{
    struct cut_body *c = cls;
    if (at >= c->end) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    size_t n = c->end - at < max ? (size_t)(c->end - at) : max;
    if (c->reply.fd >= 0) {
        ssize_t got = pread(c->reply.fd, buf, n, (off_t)at);
        return got > 0 ? got : MHD_CONTENT_READER_END_WITH_ERROR;
    }
    memcpy(buf, c->reply.body.data + at, n);
    return (ssize_t)n;
}

static void cut_free(void *cls)
{
    struct cut_body *c = cls;
    reply_done(&c->reply);
    free(c);
}

/* Takes over body and descriptor. */
static struct MHD_Response *make_cut(struct reply *r)
{
    struct cut_body *c = must_calloc(1, sizeof *c);
    c->reply = *r;
    uint64_t size = r->fd >= 0 ? (uint64_t)r->fd_bytes : r->body.len;
    c->end = (uint64_t)r->cut_bytes < size ? (uint64_t)r->cut_bytes : size;
    r->body = (struct text){0};
    r->fd = -1;
    return MHD_create_response_from_callback(size, BLOCK_BYTES, cut_read, c, cut_free);
}

static struct MHD_Response *make(struct reply *r)
{
    if (r->cut_bytes >= 0) {
        return make_cut(r);
    }
    if (r->fd >= 0) {
        int fd = r->fd;
        r->fd = -1;
        return MHD_create_response_from_fd64((uint64_t)r->fd_bytes, fd);
    }
    char *data = r->body.data ? r->body.data : must_calloc(1, 1);
    size_t n = r->body.len;
    r->body = (struct text){0};
    return MHD_create_response_from_buffer(n, data, MHD_RESPMEM_MUST_FREE);
}

int reply_send(struct reply *r, struct MHD_Connection *connection)
{
    if (r->hang_up) {
        return 0;
    }
    struct MHD_Response *response = make(r);
    if (!response) {
        return 0;
    }
    add_headers(response, r);
    enum MHD_Result rc = MHD_queue_response(connection, (unsigned)r->status, response);
    MHD_destroy_response(response);
    return rc == MHD_YES;
}
