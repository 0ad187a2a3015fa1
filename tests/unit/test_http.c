/* Requests against a peer that does what its script says: what arrived there, and what the
 * caller may conclude from what came back. */
#include "tests/unit/http_world.h"

/* ---- what arrives ---- */

static void a_get_carries_the_key_and_brings_the_body(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({CLOSE, OK_TEXT}));
    const struct http_resp *r = ask(
        &w,
        &(struct http_req){.method = HTTP_GET, .url = w.url, .bearer = "sk-canary-1"});
    assert_int_equal(r->outcome, HTTP_REPLY);
    assert_int_equal(r->status, 200);
    assert_string_equal(w.body.p, "hello");
    assert_int_equal(r->body_bytes, 5);
    assert_string_equal(r->request_id, "req_1");
    assert_int_equal(r->retry_after_ms, -1);
    assert_true(peer_saw(&w.peer, "GET /v1/files HTTP/1.1\r\n"));
    assert_true(peer_saw(&w.peer, "\r\nAuthorization: Bearer sk-canary-1\r\n"));
    assert_true(peer_saw(&w.peer, "\r\nUser-Agent: offpeak/test\r\n"));
    tear_down(&w);
}

static void a_post_carries_its_json(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({CLOSE, OK_TEXT}));
    struct http_req req = {.method = HTTP_POST, .url = w.url};
    req.json = SPAN_LIT("{\"a\":1}");
    assert_int_equal(ask(&w, &req)->status, 200);
    assert_true(peer_saw(&w.peer, "POST /v1/files HTTP/1.1\r\n"));
    assert_true(peer_saw(&w.peer, "\r\nContent-Type: application/json\r\n"));
    assert_true(peer_saw(&w.peer, "\r\nContent-Length: 7\r\n"));
    assert_true(peer_saw(&w.peer, "\r\n\r\n{\"a\":1}"));
    assert_false(peer_saw(&w.peer, "Authorization"));
    tear_down(&w);
}

static void a_post_without_a_body_says_so(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({CLOSE, OK_TEXT}));
    assert_int_equal(
        ask(&w, &(struct http_req){.method = HTTP_POST, .url = w.url})->status, 200);
    assert_true(peer_saw(&w.peer, "\r\nContent-Length: 0\r\n"));
    tear_down(&w);
}

static void a_file_travels_as_a_form(void **state)
{
    char path[] = "/tmp/offpeak-http-XXXXXX";
    int fd = mkstemp(path);
    struct world w;
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "{\"line\":1}\n{\"line\":2}\n", 22), 22);
    set_up(&w, SCRIPT({CLOSE, OK_TEXT}));
    struct http_req req = {.method = HTTP_POST, .url = w.url, .bearer = "sk-1"};
    req.file_path = path;
    req.file_name = "offpeak-key.jsonl";
    req.form_purpose = "batch";
    assert_int_equal(ask(&w, &req)->status, 200);
    assert_true(peer_saw(&w.peer, "\r\nContent-Type: multipart/form-data; boundary="));
    assert_true(peer_saw(&w.peer, "name=\"purpose\"\r\n\r\nbatch\r\n"));
    assert_true(peer_saw(&w.peer, "name=\"file\"; filename=\"offpeak-key.jsonl\"\r\n"
                                  "Content-Type: application/jsonl\r\n\r\n"
                                  "{\"line\":1}\n{\"line\":2}\n\r\n"));
    assert_false(peer_saw(&w.peer, "Expect"));
    tear_down(&w);
    close(fd);
    unlink(path);
}

static void a_large_file_is_sent_without_asking_first(void **state)
{
    static char big[1500000];
    char path[] = "/tmp/offpeak-http-XXXXXX";
    int fd = mkstemp(path);
    struct world w;
    (void)state;
    memset(big, 'x', sizeof(big));
    assert_int_equal(write(fd, big, 1500000), 1500000);
    set_up(&w, SCRIPT({CLOSE, OK_TEXT}));
    struct http_req req = {.method = HTTP_POST, .url = w.url, .file_path = path};
    req.file_name = "f";
    req.form_purpose = "batch";
    assert_int_equal(ask(&w, &req)->status, 200);
    assert_true(w.peer.received.n > 1500000);
    assert_false(peer_saw(&w.peer, "100-continue"));
    tear_down(&w);
    close(fd);
    unlink(path);
}

static void a_delete_may_be_answered_by_nothing(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({CLOSE, "HTTP/1.1 204 No Content\r\n\r\n"}));
    const struct http_resp *r =
        ask(&w, &(struct http_req){.method = HTTP_DELETE, .url = w.url});
    assert_int_equal(r->outcome, HTTP_REPLY);
    assert_int_equal(r->status, 204);
    assert_int_equal(r->body.n, 0);
    assert_true(peer_saw(&w.peer, "DELETE /v1/files HTTP/1.1\r\n"));
    tear_down(&w);
}

/* ---- what comes back ---- */

static void a_refusal_says_when_to_come_back(void **state)
{
    static const struct {
        const char *headers;
        int64_t ms;
    } cases[] = {
        {"Retry-After: 20\r\n", 20000},
        {"Retry-After: 20\r\nretry-after-ms: 1500\r\n", 1500},
        {"retry-after-ms: 0.2\r\n", 1},
        {"retry-after-ms: junk\r\nRetry-After: 3\r\n", 3000},
        {"Retry-After: 1.25\r\n", 1250},
        {"Retry-After: 0\r\n", 0},
        {"Retry-After: -5\r\n", -1},
        {"Retry-After: soon\r\n", -1},
        {"Retry-After: 99999999999999999999\r\n", -1},
        {"Retry-After: 999999999999\r\n", 604800000},
        {"Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n", 0},
        {"Retry-After: Wed, 21 Oct 2099 07:28:00 GMT\r\n", 604800000},
        {"", -1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        char text[300];
        snprintf(text, sizeof(text),
                 "HTTP/1.1 429 Too Many\r\n%sContent-Length: 2\r\n\r\n{}",
                 cases[i].headers);
        set_up(&w, SCRIPT({CLOSE, text}));
        const struct http_resp *r =
            ask(&w, &(struct http_req){.method = HTTP_GET, .url = w.url});
        assert_int_equal(r->outcome, HTTP_REPLY);
        assert_int_equal(r->status, 429);
        assert_int_equal(r->retry_after_ms, cases[i].ms);
        assert_string_equal(w.body.p, "{}");
        tear_down(&w);
    }
}

static void preludes_and_trailers_belong_to_a_reply(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({CLOSE, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
                              "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
                              "X-Sum: 1\r\n\r\n"}));
    struct http_req req = {.method = HTTP_POST, .url = w.url};
    assert_int_equal(ask(&w, &req)->outcome, HTTP_REPLY);
    assert_string_equal(w.body.p, "hello");
    tear_down(&w);
}

static void a_redirect_is_a_reply_and_is_not_followed(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({CLOSE, "HTTP/1.1 302 Found\r\nLocation: /other\r\n"
                              "Content-Length: 0\r\n\r\n"}));
    assert_int_equal(
        ask(&w, &(struct http_req){.method = HTTP_GET, .url = w.url})->status, 302);
    assert_int_equal(w.peer.requests, 1);
    tear_down(&w);
}

/* The request may have arrived: whoever sent it has to look. */
static void a_lost_reply_is_unknown(void **state)
{
    static const struct reply cases[] = {
        {CLOSE, NULL},
        {CLOSE, "HTTP/1.1 200 OK\r\nContent-Le"},
        {CLOSE, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ncut"},
        {CLOSE,
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhe"},
        {CLOSE, "HTTP/1.1 500 Oh\r\nContent-Length: 50\r\n\r\ncut"},
        {CLOSE, "HTTP/1.1 100 Continue\r\n\r\n"},
        {CLOSE, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Le"},
        {CLOSE, "not HTTP at all\r\n\r\n"},
        {DROP_EARLY, NULL},
    };
    const enum http_method methods[] = {HTTP_GET, HTTP_POST};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases) * 2; i++) {
        struct world w;
        set_up(&w, &cases[i / 2], 1);
        const struct http_resp *r =
            ask(&w, &(struct http_req){.method = methods[i % 2], .url = w.url});
        assert_int_equal(r->outcome, HTTP_UNKNOWN);
        assert_int_equal(r->status, 0);
        assert_true(r->why[0] != '\0');
        tear_down(&w);
    }
}

static void a_connection_that_was_refused_sent_nothing(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({CLOSE, OK_TEXT}));
    struct http_req req = {.method = HTTP_POST, .url = "http://127.0.0.1:1/v1/batches"};
    const struct http_resp *r = ask(&w, &req);
    assert_int_equal(r->outcome, HTTP_UNSENT);
    assert_non_null(strstr(r->why, "refused"));
    tear_down(&w);
}

static void a_failed_tls_handshake_sent_nothing(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({DROP_EARLY, "HTTP/1.1 400 Plain\r\n\r\n"}));
    snprintf(w.url, sizeof(w.url), "https://127.0.0.1:%d/", w.peer.port);
    struct http_req req = {.method = HTTP_POST, .url = w.url, .bearer = "sk-1"};
    assert_int_equal(ask(&w, &req)->outcome, HTTP_UNSENT);
    tear_down(&w);
}

static void a_silent_peer_runs_into_the_time_limit(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({HANG, NULL}));
    struct http_req req = {.method = HTTP_POST, .url = w.url, .timeout_ms = 1000};
    const struct http_resp *r = ask(&w, &req);
    assert_int_equal(r->outcome, HTTP_UNKNOWN);
    assert_non_null(strstr(r->why, "timed out"));
    tear_down(&w);
}

/* libcurl would send a request again when a kept connection turns out dead. */
static void a_post_is_never_sent_twice(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({KEEP, OK_STAYING}, {CLOSE, NULL}));
    struct http_req get = {.method = HTTP_GET, .url = w.url};
    struct http_req post = {.method = HTTP_POST, .url = w.url};
    assert_int_equal(ask(&w, &get)->status, 200);
    assert_int_equal(ask(&w, &post)->outcome, HTTP_UNKNOWN);
    assert_int_equal(w.peer.requests, 2);
    tear_down(&w);
}

static void a_get_goes_on_over_a_connection_that_died(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({KEEP, OK_STAYING}, {CLOSE, NULL}, {CLOSE, OK_TEXT}));
    struct http_req get = {.method = HTTP_GET, .url = w.url};
    assert_int_equal(ask(&w, &get)->status, 200);
    assert_int_equal(ask(&w, &get)->status, 200);
    tear_down(&w);
}

/* ---- large replies ---- */

static void a_reply_flows_into_a_file(void **state)
{
    FILE *file = tmpfile();
    char text[10] = {0};
    struct world w;
    (void)state;
    assert_non_null(file);
    set_up(&w, SCRIPT({CLOSE, OK_TEXT}));
    struct http_req req = {.method = HTTP_GET, .url = w.url, .sink_fd = fileno(file)};
    req.max_bytes = 2; /* for what stays in memory only */
    const struct http_resp *r = ask(&w, &req);
    assert_int_equal(r->status, 200);
    assert_int_equal(r->body.n, 0);
    assert_int_equal(r->body_bytes, 5);
    assert_int_equal(pread(fileno(file), text, sizeof(text), 0), 5);
    assert_string_equal(text, "hello");
    tear_down(&w);
    assert_int_equal(fclose(file), 0);
}

static void a_reply_that_was_compressed_unasked_is_unpacked(void **state)
{
    FILE *file = tmpfile();
    char text[60] = {0};
    struct world w;
    (void)state;
    set_up(
        &w,
        SCRIPT(
            {CLOSE,
             "HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n"
             "Content-Length: 25\r\n\r\n"
             "\170\332\113\314\053\056\117\055\262\122\310\055\117\113\317\004\262\212\063\023\001\112\307\007\220"}));
    struct http_req req = {.method = HTTP_GET, .url = w.url, .sink_fd = fileno(file)};
    assert_int_equal(ask(&w, &req)->outcome, HTTP_REPLY);
    assert_true(pread(fileno(file), text, sizeof(text) - 1, 0) > 0);
    assert_string_equal(text, "answer: mwfgiwersia");
    assert_true(peer_saw(&w.peer, "\r\nAccept-Encoding: identity\r\n"));
    tear_down(&w);
    assert_int_equal(fclose(file), 0);
}

static void an_error_does_not_flow_into_the_file(void **state)
{
    FILE *file = tmpfile();
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({CLOSE, "HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nnone"}));
    struct http_req req = {.method = HTTP_GET, .url = w.url, .sink_fd = fileno(file)};
    assert_int_equal(ask(&w, &req)->status, 404);
    assert_string_equal(w.body.p, "none");
    assert_int_equal(lseek(fileno(file), 0, SEEK_END), 0);
    tear_down(&w);
    assert_int_equal(fclose(file), 0);
}

static void a_full_disk_is_named(void **state)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    struct world w;
    (void)state;
    assert_true(full > 0);
    set_up(&w, SCRIPT({CLOSE, OK_TEXT}));
    struct http_req req = {.method = HTTP_GET, .url = w.url, .sink_fd = full};
    const struct http_resp *r = ask(&w, &req);
    assert_int_equal(r->outcome, HTTP_UNKNOWN);
    assert_int_equal(r->sink_errno, ENOSPC);
    assert_string_equal(r->why, "could not store the reply: No space left on device");
    tear_down(&w);
    close(full);
}

static void a_reply_above_the_cap_is_no_reply(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({CLOSE, OK_TEXT}));
    struct http_req req = {.method = HTTP_GET, .url = w.url, .max_bytes = 4};
    const struct http_resp *r = ask(&w, &req);
    assert_int_equal(r->outcome, HTTP_UNKNOWN);
    assert_string_equal(r->why, "the reply is larger than 4 bytes");
    req.max_bytes = 5;
    assert_int_equal(ask(&w, &req)->outcome, HTTP_REPLY);
    tear_down(&w);
}

static void a_long_error_still_counts_and_is_cut(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({CLOSE, "HTTP/1.1 500 Oh\r\nContent-Length: 9\r\n\r\nlong text"}));
    struct http_req req = {.method = HTTP_POST, .url = w.url, .max_bytes = 4};
    const struct http_resp *r = ask(&w, &req);
    assert_int_equal(r->outcome, HTTP_REPLY);
    assert_int_equal(r->status, 500);
    assert_string_equal(w.body.p, "long");
    tear_down(&w);
}

/* ---- many, and the end ---- */

static void many_requests_share_few_connections(void **state)
{
    struct world w;
    struct http_req req = {.method = HTTP_GET};
    (void)state;
    set_up(&w, SCRIPT({CLOSE, OK_TEXT}));
    req.url = w.url;
    for (int i = 0; i < 50; i++) {
        assert_int_equal(http_send(w.http, &req, on_reply, &w, NULL), 0);
    }
    loop_run(w.loop);
    assert_int_equal(w.answered, 50);
    assert_int_equal(w.peer.requests, 50);
    tear_down(&w);
}

static void more_than_the_maximum_is_refused(void **state)
{
    struct world w;
    struct err err;
    (void)state;
    set_up(&w, SCRIPT({HANG, NULL}));
    struct http_req req = {.method = HTTP_GET, .url = w.url};
    for (int i = 0; i < HTTP_IN_FLIGHT_MAX; i++) {
        assert_int_equal(http_send(w.http, &req, on_reply, &w, &err), 0);
    }
    assert_int_equal(http_send(w.http, &req, on_reply, &w, &err), -ERR_TEMP);
    assert_int_equal(err.retry, RETRY_LATER);
    tear_down(&w);
    assert_int_equal(w.answered, HTTP_IN_FLIGHT_MAX);
}

static void on_last_word(void *ctx, const struct http_resp *resp)
{
    struct world *w = ctx;
    struct http_req req = {.method = HTTP_GET, .url = w->url};
    on_reply(ctx, resp);
    assert_int_equal(http_send(w->http, &req, on_reply, w, NULL), -ERR_TEMP);
}

static void what_is_under_way_hears_of_the_end(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({HANG, NULL}));
    struct http_req req = {.method = HTTP_POST, .url = w.url};
    http_send(w.http, &req, on_last_word, &w, NULL);
    http_send(w.http, &req, on_last_word, &w, NULL);
    http_destroy(w.http);
    w.http = NULL;
    assert_int_equal(w.answered, 2);
    assert_int_equal(w.last.outcome, HTTP_UNKNOWN);
    assert_string_equal(w.last.why, "shutting down");
    tear_down(&w);
}

static void a_callback_may_end_it_all(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({CLOSE, OK_TEXT}, {HANG, NULL}));
    struct http_req req = {.method = HTTP_GET, .url = w.url};
    for (int i = 0; i < 3; i++) {
        http_send(w.http, &req, on_reply, &w, NULL);
    }
    w.destroy_in_callback = true;
    loop_run(w.loop);
    assert_null(w.http);
    assert_int_equal(w.answered, 3);
    tear_down(&w);
}

static void never(void *ctx)
{
    (void)ctx;
    fail();
}

static void on_enough(void *ctx)
{
    loop_stop(ctx);
}

/* A descriptor the loop already watches cannot be watched for curl: curl gives up. */
static void when_curl_gives_up_all_is_unknown_and_the_next_request_works(void **state)
{
    struct loop_fd *watches[4];
    int fds[8];
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({CLOSE, OK_TEXT}));
    for (size_t i = 0; i < ARRAY_LEN(watches); i++) {
        assert_int_equal(pipe2(fds + 2 * i, O_CLOEXEC), 0);
        assert_int_equal(loop_fd_create(w.loop, fds[2 * i], never, NULL, &watches[i]), 0);
    }
    struct loop_timer *t;
    loop_timer_create(w.loop, on_enough, w.loop, &t);
    loop_timer_start(t, 1);
    loop_run(w.loop); /* from here on they are watched */
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        close(fds[i]);
    }
    struct http_req req = {.method = HTTP_POST, .url = w.url};
    http_send(w.http, &req, on_reply, &w, NULL);
    http_send(w.http, &req, on_reply, &w, NULL);
    loop_timer_start(t, 200);
    loop_run(w.loop);
    assert_int_equal(w.answered, 2);
    assert_int_equal(w.last.outcome, HTTP_UNKNOWN);
    for (size_t i = 0; i < ARRAY_LEN(watches); i++) {
        loop_fd_destroy(watches[i]);
    }
    loop_timer_destroy(t);
    assert_int_equal(ask(&w, &req)->status, 200);
    tear_down(&w);
}

static void requests_hold_a_simulated_clock(void **state)
{
    struct peer peer;
    struct world w = {0};
    struct http_conf conf = {.user_agent = "offpeak/test"};
    struct loop_timer *night;
    (void)state;
    buf_init(&w.body, 100);
    peer_start(&peer, SCRIPT({CLOSE, OK_TEXT}));
    snprintf(w.url, sizeof(w.url), "http://127.0.0.1:%d/", peer.port);
    assert_int_equal(loop_create(&w.loop, clock_simulated(0), NULL), 0);
    assert_int_equal(http_create(&w.http, w.loop, &conf, NULL), 0);
    loop_timer_create(w.loop, on_enough, w.loop, &night);
    loop_timer_start(night, 1000);
    struct http_req req = {.method = HTTP_GET, .url = w.url};
    http_send(w.http, &req, on_reply, &w, NULL);
    loop_run(w.loop);
    assert_int_equal(w.last.status, 200); /* before the timer */
    loop_timer_destroy(night);
    http_destroy(w.http);
    loop_destroy(w.loop);
    peer_stop(&peer);
    buf_fini(&w.body);
}

/* ---- addresses, keys, proxies ---- */

static void a_key_does_not_travel_in_the_clear(void **state)
{
    struct world w;
    struct err err;
    (void)state;
    set_up(&w, SCRIPT({CLOSE, OK_TEXT}));
    struct http_req req = {.method = HTTP_GET, .url = "http://api.example/v1"};
    assert_int_equal(http_send(w.http, &req, on_reply, &w, &err), -ERR_USAGE);
    assert_non_null(strstr(err.msg, "unencrypted"));
    assert_non_null(strstr(err.hint, "--insecure"));
    const char *bad[] = {"ftp://127.0.0.1/",
                         "127.0.0.1/v1",
                         "file:///etc/passwd",
                         "",
                         "https://user:pw@api.example/",
                         "https://"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        req.url = bad[i];
        assert_int_equal(http_send(w.http, &req, on_reply, &w, &err), -ERR_USAGE);
        assert_null(strstr(err.msg, "pw"));
        assert_int_equal(http_check_url(bad[i], true, &err), -ERR_USAGE);
    }
    assert_int_equal(http_check_url("http://api.example/v1", true, &err), 0);
    assert_int_equal(http_check_url("http://127.0.0.1:1/v1", false, &err), 0);
    assert_int_equal(http_check_url("https://api.example/v1", false, &err), 0);
    tear_down(&w);
    assert_int_equal(w.answered, 0);
}

static void a_key_that_would_break_the_header_is_refused(void **state)
{
    struct world w;
    struct err err;
    const char *bad[] = {"sk-canary\r\nX-Evil: 1", "sk canary", "sk-canary\xc3\xa4"};
    (void)state;
    set_up(&w, SCRIPT({CLOSE, OK_TEXT}));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct http_req req = {.method = HTTP_GET, .url = w.url, .bearer = bad[i]};
        assert_int_equal(http_send(w.http, &req, on_reply, &w, &err), -ERR_AUTH);
        assert_null(strstr(err.msg, "canary"));
    }
    tear_down(&w);
}

static void a_file_that_is_not_there_is_refused(void **state)
{
    struct world w;
    struct err err;
    (void)state;
    set_up(&w, SCRIPT({CLOSE, OK_TEXT}));
    struct http_req req = {
        .method = HTTP_POST, .url = w.url, .file_path = "/none/at/all"};
    req.file_name = "f";
    req.form_purpose = "batch";
    assert_int_equal(http_send(w.http, &req, on_reply, &w, &err), -ERR_FAIL);
    assert_non_null(strstr(err.msg, "could not read '/none/at/all'"));
    tear_down(&w);
}

static void the_proxy_is_the_configured_one_and_never_the_environments(void **state)
{
    struct world w;
    char proxy[60];
    (void)state;
    set_up(&w, SCRIPT({CLOSE, OK_TEXT}));
    snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", w.peer.port);
    setenv("http_proxy", proxy, 1);
    setenv("ALL_PROXY", proxy, 1);
    struct http_req req = {.method = HTTP_GET, .url = "http://127.0.0.2:1/"};
    assert_int_equal(ask(&w, &req)->outcome, HTTP_UNSENT);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    http_destroy(w.http);
    struct http_conf conf = {.user_agent = "t", .proxy = proxy, .insecure_http = true};
    assert_int_equal(http_create(&w.http, w.loop, &conf, NULL), 0);
    req.url = "http://api.invalid/v1";
    assert_int_equal(ask(&w, &req)->status, 200);
    assert_true(peer_saw(&w.peer, "GET http://api.invalid/v1 HTTP/1.1\r\n"));
    tear_down(&w);
}

static void loopback_is_this_machine_and_nothing_that_looks_like_it(void **state)
{
    const char *yes[] = {"http://127.0.0.1:80/",  "http://127.9.9.9",
                         "http://localhost:1/v1", "http://LOCALHOST",
                         "http://[::1]:8080/",    "http://127.1/"};
    const char *no[] = {"http://127.0.0.1.evil.example/",
                        "http://localhost.evil.example/",
                        "http://10.0.0.1/",
                        "http://[::2]/",
                        "http://[fe80::1]/",
                        "http://notlocalhost/",
                        "junk",
                        "ftp://127.0.0.1/"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        assert_true(http_is_loopback(yes[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        assert_false(http_is_loopback(no[i]));
    }
}

static void an_origin_is_scheme_host_and_unusual_port(void **state)
{
    static const char *cases[][2] = {
        {"https://API.OpenAI.com/v1", "https://api.openai.com"},
        {"https://api.openai.com:443/v1", "https://api.openai.com"},
        {"http://127.0.0.1:80", "http://127.0.0.1"},
        {"HTTP://127.0.0.1:8080/a?b#c", "http://127.0.0.1:8080"},
        {"http://[::1]:99/", "http://[::1]:99"},
    };
    _cleanup_(buf_fini) struct buf out;
    struct err err;
    (void)state;
    buf_init(&out, 300);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(http_origin(cases[i][0], &out, &err), 0);
        assert_string_equal(out.p, cases[i][1]);
    }
    assert_int_equal(http_origin("api.openai.com/v1", &out, &err), -ERR_USAGE);
    assert_non_null(strstr(err.hint, "https://"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_carries_the_key_and_brings_the_body),
        cmocka_unit_test(a_post_carries_its_json),
        cmocka_unit_test(a_post_without_a_body_says_so),
        cmocka_unit_test(a_file_travels_as_a_form),
        cmocka_unit_test(a_large_file_is_sent_without_asking_first),
        cmocka_unit_test(a_delete_may_be_answered_by_nothing),
        cmocka_unit_test(a_refusal_says_when_to_come_back),
        cmocka_unit_test(preludes_and_trailers_belong_to_a_reply),
        cmocka_unit_test(a_redirect_is_a_reply_and_is_not_followed),
        cmocka_unit_test(a_lost_reply_is_unknown),
        cmocka_unit_test(a_connection_that_was_refused_sent_nothing),
        cmocka_unit_test(a_failed_tls_handshake_sent_nothing),
        cmocka_unit_test(a_silent_peer_runs_into_the_time_limit),
        cmocka_unit_test(a_post_is_never_sent_twice),
        cmocka_unit_test(a_get_goes_on_over_a_connection_that_died),
        cmocka_unit_test(a_reply_flows_into_a_file),
        cmocka_unit_test(a_reply_that_was_compressed_unasked_is_unpacked),
        cmocka_unit_test(an_error_does_not_flow_into_the_file),
        cmocka_unit_test(a_full_disk_is_named),
        cmocka_unit_test(a_reply_above_the_cap_is_no_reply),
        cmocka_unit_test(a_long_error_still_counts_and_is_cut),
        cmocka_unit_test(many_requests_share_few_connections),
        cmocka_unit_test(more_than_the_maximum_is_refused),
        cmocka_unit_test(what_is_under_way_hears_of_the_end),
        cmocka_unit_test(a_callback_may_end_it_all),
        cmocka_unit_test(when_curl_gives_up_all_is_unknown_and_the_next_request_works),
        cmocka_unit_test(requests_hold_a_simulated_clock),
        cmocka_unit_test(a_key_does_not_travel_in_the_clear),
        cmocka_unit_test(a_key_that_would_break_the_header_is_refused),
        cmocka_unit_test(a_file_that_is_not_there_is_refused),
        cmocka_unit_test(the_proxy_is_the_configured_one_and_never_the_environments),
        cmocka_unit_test(loopback_is_this_machine_and_nothing_that_looks_like_it),
        cmocka_unit_test(an_origin_is_scheme_host_and_unusual_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
