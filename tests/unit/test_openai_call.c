/* One call by itself: the request that leaves, and what a reply to it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/openai.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the request ---- */

static void the_path_of_a_job_is_put_behind_the_base_url(void **state)
{
    static const struct {
        const char *base, *path, *url;
    } rows[] = {
        {"https://api.openai.com/v1", "/v1/chat/completions",
         "https://api.openai.com/v1/chat/completions"},
        {"http://gpu1:8000/v1", "/v1/embeddings", "http://gpu1:8000/v1/embeddings"},
        {"https://host/openai", "/v1/responses", "https://host/openai/responses"},
        {"https://host/v1", "/v10/odd", "https://host/v1/v10/odd"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err;
        _cleanup_(provider_request_fini) struct provider_request r;
        provider_request_init(&r);
        const struct provider_call c = {.base_url = rows[i].base,
                                        .path = rows[i].path,
                                        .body = SPAN_LIT("{\"a\":1}")};
        assert_int_equal(openai_call(&c, &r, &err), 0);
        assert_string_equal(r.http.url, rows[i].url);
        assert_int_equal(r.http.method, HTTP_POST);
        assert_true(r.http.keep);
        assert_true(span_is(r.http.json, "{\"a\":1}"));
    }
}

/* ---- the reply ---- */

#define ANSWER                                                                     \
    "{\"object\":\"chat.completion\",\"model\":\"gpt-x\",\"choices\":[{"           \
    "\"finish_reason\":\"stop\",\"message\":{\"content\":\"a\\nb\"}}],\"usage\":{" \
    "\"prompt_tokens\":7,\"completion_tokens\":3}}"
#define ERROR_OF(code) "{\"error\":{\"message\":\"why\",\"code\":\"" code "\"}}"

struct heard {
    enum reply_kind kind;
    struct answer answer;
    struct err err;
    struct buf text;
};

static struct heard hear(enum http_outcome outcome, int status, const char *body)
{
    struct heard h = {.err = {0}};
    struct http_resp resp = {.outcome = outcome,
                             .status = status,
                             .body = span_str(body),
                             .retry_after_ms = -1,
                             .request_id = "req_9",
                             .why = "gone"};
    buf_init(&h.text, 1 << 20);
    h.kind = openai_reply(&resp, &h.text, &h.answer, &h.err);
    return h;
}

static void every_reply_has_its_verdict(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum reply_kind kind;
    } rows[] = {
        {200, ANSWER, REPLY_ANSWER},
        {201, ANSWER, REPLY_ANSWER},
        {200,
         "{\"object\":\"response\",\"status\":\"failed\",\"error\":{\"code\":"
         "\"server_error\",\"message\":\"m\"},\"usage\":{\"input_tokens\":7,"
         "\"output_tokens\":3}}",
         REPLY_FAILED},
        {200, "{\"mod", REPLY_LOST},
        {200, "", REPLY_STOP},
        {200, "<html>", REPLY_STOP},
        {204, "", REPLY_STOP},
        {301, "", REPLY_STOP},
        {400, ERROR_OF("bad"), REPLY_REFUSED},
        {400, ERROR_OF("billing_hard_limit_reached"), REPLY_STOP},
        {400, "<html>", REPLY_STOP},
        {401, ERROR_OF("invalid_api_key"), REPLY_STOP},
        {402, ERROR_OF("x"), REPLY_STOP},
        {403, ERROR_OF("x"), REPLY_STOP},
        {404, ERROR_OF("model_not_found"), REPLY_REFUSED},
        {404, "{\"detail\":\"Not Found\"}", REPLY_STOP},
        {404, "no page", REPLY_STOP},
        {408, ERROR_OF("x"), REPLY_LOST},
        {409, ERROR_OF("x"), REPLY_LOST},
        {413, ERROR_OF("x"), REPLY_REFUSED},
        {422, ERROR_OF("x"), REPLY_REFUSED},
        {429, ERROR_OF("rate_limit_exceeded"), REPLY_BUSY},
        {429, ERROR_OF("insufficient_quota"), REPLY_STOP},
        {429, "slow down", REPLY_BUSY},
        {500, ERROR_OF("x"), REPLY_LOST},
        {502, "<html>", REPLY_LOST},
        {503, "<html>", REPLY_BUSY},
        {504, "", REPLY_LOST},
        {529, ERROR_OF("overloaded"), REPLY_BUSY},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct heard h = hear(HTTP_REPLY, rows[i].status, rows[i].body);
        if (h.kind != rows[i].kind) {
            fail_msg("HTTP %d '%s' was read as %d", rows[i].status, rows[i].body,
                     (int)h.kind);
        }
        if (h.kind == REPLY_STOP) {
            assert_in_range(h.err.code, ERR_AUTH, ERR_TEMP);
            assert_true(h.err.hint[0] != '\0');
        }
        buf_fini(&h.text);
    }
}

static void a_lost_reply_is_lost_and_what_never_left_may_go_again(void **state)
{
    (void)state;
    struct heard h = hear(HTTP_UNKNOWN, 0, "");
    assert_int_equal(h.kind, REPLY_LOST);
    assert_string_equal(h.err.msg, "gone");
    h = hear(HTTP_UNSENT, 0, "");
    assert_int_equal(h.kind, REPLY_BUSY);
}

static void an_answer_brings_its_tokens_and_names(void **state)
{
    (void)state;
    struct heard h = hear(HTTP_REPLY, 200, ANSWER);
    assert_true(h.answer.usage_known && h.answer.complete);
    assert_int_equal(h.answer.usage.input, 7);
    assert_int_equal(h.answer.usage.output, 3);
    assert_string_equal(h.answer.model_used, "gpt-x");
    assert_string_equal(h.answer.request_id, "req_9");
    assert_int_equal(h.answer.http_status, 200);
    buf_fini(&h.text);
}

static void a_body_is_put_on_one_line_and_says_the_same(void **state)
{
    (void)state;
    struct heard h =
        hear(HTTP_REPLY, 200,
             "\r\n{\r\n   \"object\": \"chat.completion\",\n\n  \"choices\": [\n"
             "    {\"finish_reason\": \"stop\",\n     \"message\": "
             "{\"content\": \"a  b\\n c\"}}\n  ]\n}\n\n");
    assert_int_equal(h.kind, REPLY_ANSWER);
    assert_true(
        span_is(h.answer.body,
                "{\"object\": \"chat.completion\",\"choices\": [{\"finish_reason\": "
                "\"stop\",\"message\": {\"content\": \"a  b\\n c\"}}]}"));
    buf_fini(&h.text);
}

static void a_refusal_keeps_its_words(void **state)
{
    (void)state;
    struct heard h = hear(HTTP_REPLY, 400, ERROR_OF("bad"));
    assert_int_equal(h.answer.http_status, 400);
    assert_true(span_is(h.answer.body, ERROR_OF("bad")));
    assert_true(span_is(h.answer.error, "{\"message\":\"why\",\"code\":\"bad\"}"));
    assert_false(h.answer.usage_known);
    buf_fini(&h.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_path_of_a_job_is_put_behind_the_base_url),
        cmocka_unit_test(every_reply_has_its_verdict),
        cmocka_unit_test(a_lost_reply_is_lost_and_what_never_left_may_go_again),
        cmocka_unit_test(an_answer_brings_its_tokens_and_names),
        cmocka_unit_test(a_body_is_put_on_one_line_and_says_the_same),
        cmocka_unit_test(a_refusal_keeps_its_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
