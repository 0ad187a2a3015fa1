/*
 * bare_http.c - the same requests as a run of offpeak, with nothing around them.
 *
 *     bare_http URL KEY CONCURRENCY FILE
 *
 * Sends the body of every line of an OpenAI batch file to its url, CONCURRENCY at a time on kept
 * connections, on the same libcurl and one thread, driven by epoll; reads each reply and throws it
 * away. Prints the requests a second from the first byte sent to the last reply, and the CPU of one. This is what
 * an HTTP client can do on this machine: bench_sync.py shows offpeak beside it.
 */
#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 64

struct bare {
    CURLM *multi;
    int epoll;
    long timeout_ms; /* what libcurl asked for; -1: nothing */
    char **bodies;
    size_t n, next, done, failed;
    const char *url;
    struct curl_slist *headers;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int read_bodies(struct bare *b, const char *path)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t cap = 0, room = 0;
    if (!file) {
        return -1;
    }
    while (getline(&line, &cap, file) > 0) {
        json_t *job = json_loads(line, 0, NULL);
        if (b->n == room) {
            room = room ? room * 2 : 1024;
            b->bodies = realloc(b->bodies, room * sizeof(char *));
        }
        b->bodies[b->n++] = json_dumps(json_object_get(job, "body"), JSON_COMPACT);
        json_decref(job);
    }
    free(line);
    fclose(file);
    return 0;
}

static size_t throw_away(char *p, size_t size, size_t count, void *ctx)
{
    (void)p;
    (void)ctx;
    return size * count;
}

static int watch(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known)
{
    struct bare *b = ctx;
    struct epoll_event e = {.data.fd = fd};
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(b->epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    e.events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) |
               (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);
    epoll_ctl(b->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e);
    curl_multi_assign(b->multi, fd, b);
    return 0;
}

static int set_timer(CURLM *multi, long ms, void *ctx)
{
    (void)multi;
    ((struct bare *)ctx)->timeout_ms = ms;
    return 0;
}

/* The next request on that handle; false: none is left. */
static bool send_next(struct bare *b, CURL *easy)
{
    if (b->next == b->n) {
        curl_easy_cleanup(easy);
        return false;
    }
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, b->bodies[b->next++]);
    curl_multi_add_handle(b->multi, easy);
    return true;
}

static void collect(struct bare *b)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(b->multi, &left))) {
        long status = 0;
        CURL *easy = m->easy_handle;
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        b->failed += m->data.result != CURLE_OK || status != 200;
        b->done++;
        curl_multi_remove_handle(b->multi, easy);
        send_next(b, easy);
    }
}

static void drive(struct bare *b)
{
    int running;
    curl_multi_socket_action(b->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    while (b->done < b->n) {
        struct epoll_event events[EVENTS_MAX];
        int n = epoll_wait(b->epoll, events, EVENTS_MAX, (int)b->timeout_ms);
        for (int i = 0; i < n; i++) {
            int flags = (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                        (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                        (events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
            curl_multi_socket_action(b->multi, events[i].data.fd, flags, &running);
        }
        if (n == 0) {
            curl_multi_socket_action(b->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
        collect(b);
    }
}

static void begin(struct bare *b, long concurrency)
{
    b->multi = curl_multi_init();
    b->epoll = epoll_create1(EPOLL_CLOEXEC);
    curl_multi_setopt(b->multi, CURLMOPT_SOCKETFUNCTION, watch);
    curl_multi_setopt(b->multi, CURLMOPT_SOCKETDATA, (void *)b);
    curl_multi_setopt(b->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(b->multi, CURLMOPT_TIMERDATA, (void *)b);
    curl_multi_setopt(b->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    curl_multi_setopt(b->multi, CURLMOPT_MAXCONNECTS, concurrency);
    for (long i = 0; i < concurrency; i++) {
        CURL *easy = curl_easy_init();
        curl_easy_setopt(easy, CURLOPT_URL, b->url);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, b->headers);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, throw_away);
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
        if (!send_next(b, easy)) {
            return;
        }
    }
}

int main(int argc, char **argv)
{
    struct bare b = {.timeout_ms = -1};
    char header[4096];
    if (argc != 5 || read_bodies(&b, argv[4]) < 0) {
        fprintf(stderr, "usage: bare_http URL KEY CONCURRENCY FILE\n");
        return 2;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    b.url = argv[1];
    snprintf(header, sizeof(header), "Authorization: Bearer %s", argv[2]);
    b.headers = curl_slist_append(NULL, header);
    b.headers = curl_slist_append(b.headers, "Content-Type: application/json");
    double start_s = now_s(), cpu_before_s = cpu_s();
    begin(&b, strtol(argv[3], NULL, 10));
    drive(&b);
    double took_s = now_s() - start_s;
    printf(
        "{\"requests\":%zu,\"failed\":%zu,\"seconds\":%.3f,\"rate\":%.1f,\"cpu_us\":%.1f}\n",
        b.n, b.failed, took_s, (double)b.n / took_s,
        (cpu_s() - cpu_before_s) / (double)b.n * 1e6);
    curl_slist_free_all(b.headers);
    curl_multi_cleanup(b.multi);
    close(b.epoll);
    for (size_t i = 0; i < b.n; i++) {
        free(b.bodies[i]);
    }
    free(b.bodies);
    curl_global_cleanup();
    return b.failed ? 1 : 0;
}
