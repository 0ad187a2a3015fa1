#include "tests/unit/peer.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static size_t content_length(const struct buf *request)
{
    const char *at = strcasestr(request->p, "\r\nContent-Length:");
    return at ? strtoul(at + 17, NULL, 10) : 0;
}

/* One request, as far as it comes; false when the connection ended without one. */
static bool read_request(struct peer *p, int fd)
{
    _cleanup_(buf_fini) struct buf request;
    char chunk[4096];
    ssize_t n;
    buf_init(&request, RECEIVED_MAX);
    while ((n = read(fd, chunk, sizeof(chunk))) > 0) {
        buf_add(&request, chunk, (size_t)n);
        const char *body = strstr(request.p, "\r\n\r\n");
        if (body &&
            request.n >= (size_t)(body + 4 - request.p) + content_length(&request)) {
            buf_add(&p->received, request.p, request.n);
            p->requests++;
            return true;
        }
    }
    p->fragments += request.n > 0;
    return false;
}

static void serve(struct peer *p, int fd)
{
    const struct reply *r = &p->script[MIN_OF(p->next, p->replies - 1)];
    if (r->then != DROP_EARLY && !read_request(p, fd)) {
        close(fd);
        return;
    }
    p->next++;
    if (r->text) {
        (void)!write(fd, r->text, strlen(r->text));
    }
    if (r->then == KEEP || r->then == HANG) {
        p->kept[p->kept_count++ % KEPT_MAX] = fd;
    } else {
        close(fd);
    }
}

static void *run_peer(void *ctx)
{
    struct peer *p = ctx;
    for (;;) {
        struct pollfd fds[2 + KEPT_MAX] = {{p->stop[0], POLLIN, 0},
                                           {p->listener, POLLIN, 0}};
        int count = MIN_OF(p->kept_count, KEPT_MAX);
        for (int i = 0; i < count; i++) {
            fds[2 + i] = (struct pollfd){p->kept[i], POLLIN, 0};
        }
        poll(fds, (nfds_t)(2 + count), -1);
        if (fds[0].revents) {
            return NULL;
        }
        for (int i = 0; i < count; i++) {
            if (fds[2 + i].revents) {
                int fd = p->kept[i];
                p->kept[i] = -1;
                serve(p, fd);
            }
        }
        if (fds[1].revents) {
            p->connections++;
            serve(p, accept4(p->listener, NULL, NULL, SOCK_CLOEXEC));
        }
    }
}

void peer_start(struct peer *p, const struct reply *script, size_t replies)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t at_n = sizeof(at);
    memset(p, 0, sizeof(*p));
    buf_init(&p->received, RECEIVED_MAX);
    p->script = script;
    p->replies = replies;
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(p->listener, 64), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &at_n), 0);
    p->port = ntohs(at.sin_port);
    assert_int_equal(pipe2(p->stop, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&p->thread, NULL, run_peer, p), 0);
}

void peer_stop(struct peer *p)
{
    assert_int_equal(write(p->stop[1], "x", 1), 1);
    pthread_join(p->thread, NULL);
    for (int i = 0; i < MIN_OF(p->kept_count, KEPT_MAX); i++) {
        if (p->kept[i] >= 0) {
            close(p->kept[i]);
        }
    }
    close(p->listener);
    close(p->stop[0]);
    close(p->stop[1]);
    buf_fini(&p->received);
}

bool peer_saw(const struct peer *p, const char *text)
{
    return p->received.p && strstr(p->received.p, text) != NULL;
}
