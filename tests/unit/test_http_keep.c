/* Posts that may keep their connection, and what replies to them say of rate limits. */
#include "tests/unit/http_world.h"

static struct http_req kept_post(const struct world *w)
{
    return (struct http_req){
        .method = HTTP_POST, .url = w->url, .keep = true, .json = SPAN_LIT("{\"q\":1}")};
}

static void kept_posts_share_a_connection(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({KEEP, OK_STAYING}));
    struct http_req req = kept_post(&w);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(&w, &req)->status, 200);
        assert_string_equal(w.body.p, "hello");
    }
    assert_int_equal(w.peer.connections, 1);
    assert_int_equal(w.peer.requests, 3);
    assert_true(peer_saw(&w.peer, "\r\nContent-Length: 7\r\n"));
    assert_true(peer_saw(&w.peer, "\r\n\r\n{\"q\":1}"));
    assert_false(peer_saw(&w.peer, "chunked"));
    tear_down(&w);
}

/* What one request leaves behind serves the next: not its key, body or length. */
static void kept_posts_carry_their_own_key_and_body(void **state)
{
    static const char *const keys[] = {"sk-one", "sk-two", NULL, "sk-one", "sk-one-more"};
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({KEEP, OK_STAYING}));
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        char body[40], line[80];
        struct http_req req = kept_post(&w);
        snprintf(body, sizeof(body), "{\"%.*s\":%zu}", (int)(9 - 2 * i), "abcdefghij", i);
        req.json = span_str(body);
        req.bearer = keys[i];
        buf_reset(&w.peer.received);
        assert_int_equal(ask(&w, &req)->status, 200);
        snprintf(line, sizeof(line), "\r\nAuthorization: Bearer %s\r\n",
                 keys[i] ? keys[i] : "");
        assert_int_equal(peer_saw(&w.peer, line), keys[i] != NULL);
        assert_int_equal(peer_saw(&w.peer, "Authorization"), keys[i] != NULL);
        snprintf(line, sizeof(line), "\r\nContent-Length: %zu\r\n", strlen(body));
        assert_true(peer_saw(&w.peer, line));
        snprintf(line, sizeof(line), "\r\n\r\n%s", body);
        assert_true(peer_saw(&w.peer, line));
    }
    assert_int_equal(w.peer.connections, 1);
    tear_down(&w);
}

/* It may have been acted on: libcurl must not send it again behind our back. */
static void a_kept_post_that_was_read_arrives_once(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({KEEP, OK_STAYING}, {CLOSE, NULL}, {CLOSE, OK_TEXT}));
    struct http_req req = kept_post(&w);
    assert_int_equal(ask(&w, &req)->status, 200);
    assert_int_equal(ask(&w, &req)->outcome, HTTP_UNKNOWN);
    assert_string_equal(w.last.why, "the connection was closed before a reply came");
    assert_int_equal(w.peer.requests, 2);
    assert_int_equal(w.peer.fragments, 0);
    tear_down(&w);
}

static void a_large_kept_post_that_was_read_arrives_once(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({KEEP, OK_STAYING}, {CLOSE, NULL}, {CLOSE, OK_TEXT}));
    struct http_req req = kept_post(&w);
    char *text = malloc(1 << 20);
    memset(text, ' ', 1 << 20);
    assert_int_equal(ask(&w, &req)->status, 200);
    req.json = span_of(text, 1 << 20);
    assert_int_equal(ask(&w, &req)->outcome, HTTP_UNKNOWN);
    assert_int_equal(w.peer.requests, 2);
    assert_int_equal(w.peer.fragments, 0);
    free(text);
    tear_down(&w);
}

static void a_kept_post_finds_a_new_connection_when_the_old_one_is_gone(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({CLOSE, OK_STAYING}));
    struct http_req req = kept_post(&w);
    assert_int_equal(ask(&w, &req)->status, 200);
    assert_int_equal(ask(&w, &req)->status, 200);
    assert_int_equal(w.peer.connections, 2);
    assert_int_equal(w.peer.requests, 2);
    tear_down(&w);
}

/* ---- rate limits ---- */

static void a_reply_tells_what_is_left_of_the_rate_limits(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({CLOSE, "HTTP/1.1 200 OK\r\nConnection: close\r\n"
                              "x-ratelimit-limit-requests: 500\r\n"
                              "x-ratelimit-remaining-requests: 499\r\n"
                              "x-ratelimit-reset-requests: 120ms\r\n"
                              "x-ratelimit-limit-tokens: 30000\r\n"
                              "x-ratelimit-remaining-tokens: none\r\n"
                              "x-ratelimit-reset-tokens: 6m0s\r\n" OK_BODY}));
    struct http_req req = kept_post(&w);
    struct http_limits l = ask(&w, &req)->limits;
    assert_int_equal(l.requests.limit, 500);
    assert_int_equal(l.requests.remaining, 499);
    assert_int_equal(l.requests.reset_ms, 120);
    assert_int_equal(l.tokens.limit, 30000);
    assert_int_equal(l.tokens.remaining, -1);
    assert_int_equal(l.tokens.reset_ms, 360000);
    tear_down(&w);
}

static void a_reply_without_rate_limits_names_none(void **state)
{
    struct world w;
    (void)state;
    set_up(&w, SCRIPT({CLOSE, OK_TEXT}, {CLOSE, NULL}));
    struct http_req req = kept_post(&w);
    for (int i = 0; i < 2; i++) {
        struct http_limits l = ask(&w, &req)->limits;
        assert_int_equal(l.requests.limit, -1);
        assert_int_equal(l.tokens.remaining, -1);
        assert_int_equal(l.tokens.reset_ms, -1);
    }
    tear_down(&w);
}

static void durations_are_read_as_headers_spell_them(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"1s", 1000},
        {"6m0s", 360000},
        {"120ms", 120},
        {"1h2m3.5s", 3723500},
        {"0s", 0},
        {"0.5s", 500},
        {"1.0004s", 1000},
        {" 20ms ", 20},
        {"999999h", 604800000},
        {"", -1},
        {"5", -1},
        {"s", -1},
        {"-1s", -1},
        {"1d", -1},
        {"1s2", -1},
        {"1..5s", -1},
        {"99999999999999999999s", -1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (http_duration_ms(span_str(rows[i].text)) != rows[i].ms) {
            fail_msg("'%s' was read as %lld", rows[i].text,
                     (long long)http_duration_ms(span_str(rows[i].text)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_posts_share_a_connection),
        cmocka_unit_test(kept_posts_carry_their_own_key_and_body),
        cmocka_unit_test(a_kept_post_that_was_read_arrives_once),
        cmocka_unit_test(a_large_kept_post_that_was_read_arrives_once),
        cmocka_unit_test(a_kept_post_finds_a_new_connection_when_the_old_one_is_gone),
        cmocka_unit_test(a_reply_tells_what_is_left_of_the_rate_limits),
        cmocka_unit_test(a_reply_without_rate_limits_names_none),
        cmocka_unit_test(durations_are_read_as_headers_spell_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
