/* What is sent to OpenAI, and which verdict each refusal has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/openai_reply.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static struct batch given_batch(void)
{
    return (struct batch){.id = "01KAJ8Z3X00000000000000000",
                          .go = 2,
                          .path = "/v1/chat/completions",
                          .file = "file-abc"};
}

static struct provider_request asked(struct provider_ask a)
{
    struct provider_request r;
    struct err err;
    provider_request_init(&r);
    a.base_url = "https://api.openai.com/v1";
    assert_int_equal(openai->request(&a, &r, &err), 0);
    return r;
}

/* ---- requests ---- */

static void test_a_line_of_the_input_carries_the_body_byte_for_byte(void **state)
{
    (void)state;
    _cleanup_(buf_fini) struct buf b;
    buf_init(&b, 4096);
    openai->encode(41, "/v1/chat/completions",
                   SPAN_LIT("{ \"model\" : \"m\",\"seed\":9007199254740993 }"), &b);
    assert_string_equal(b.p,
                        "{\"custom_id\":\"41\",\"method\":\"POST\",\"url\":\"/v1/chat/"
                        "completions\",\"body\":{ \"model\" : \"m\",\"seed\":"
                        "9007199254740993 }}\n");
}

static void test_a_body_written_over_several_lines_is_sent_in_one(void **state)
{
    (void)state;
    _cleanup_(buf_fini) struct buf b;
    buf_init(&b, 4096);
    openai->encode(0, "/p", SPAN_LIT("{\r\n  \"model\": \"a\\nb\"\n}"), &b);
    assert_string_equal(b.p, "{\"custom_id\":\"0\",\"method\":\"POST\",\"url\":\"/p\","
                             "\"body\":{    \"model\": \"a\\nb\" }}\n");
}

static void test_the_upload_carries_the_submit_key_in_its_file_name(void **state)
{
    (void)state;
    struct batch b = given_batch();
    struct provider_request r = asked((struct provider_ask){
        .ask = ASK_UPLOAD, .batch = &b, .path = "/d/spool/x.jsonl"});
    assert_string_equal(r.http.url, "https://api.openai.com/v1/files");
    assert_int_equal(r.http.method, HTTP_POST);
    assert_string_equal(r.http.file_name, "offpeak-01KAJ8Z3X00000000000000000.jsonl");
    assert_string_equal(r.http.file_path, "/d/spool/x.jsonl");
    assert_string_equal(r.http.form_purpose, "batch");
    assert_int_equal(r.http.timeout_ms, 0); /* 200 MB may take their time */
    provider_request_fini(&r);
}

static void test_the_create_is_stamped_with_submit_key_and_go(void **state)
{
    (void)state;
    struct batch b = given_batch();
    struct provider_request r =
        asked((struct provider_ask){.ask = ASK_CREATE, .batch = &b});
    assert_string_equal(r.http.url, "https://api.openai.com/v1/batches");
    json_t *o = json_loadb(r.http.json.p, r.http.json.n, 0, NULL);
    const char *file, *endpoint, *window, *key, *go;
    assert_int_equal(json_unpack(o, "{s:s,s:s,s:s,s:{s:s,s:s}}", "input_file_id", &file,
                                 "endpoint", &endpoint, "completion_window", &window,
                                 "metadata", "offpeak_submit_key", &key, "offpeak_go",
                                 &go),
                     0);
    assert_string_equal(file, "file-abc");
    assert_string_equal(endpoint, "/v1/chat/completions");
    assert_string_equal(window, "24h");
    assert_string_equal(key, b.id);
    assert_string_equal(go, "2");
    json_decref(o);
    provider_request_fini(&r);
}

static void test_each_other_request_has_its_method_and_address(void **state)
{
    (void)state;
    static const struct {
        enum ask ask;
        enum http_method method;
        const char *url;
    } rows[] = {
        {ASK_BATCH, HTTP_GET, "https://api.openai.com/v1/batches/x_1"},
        {ASK_CANCEL, HTTP_POST, "https://api.openai.com/v1/batches/x_1/cancel"},
        {ASK_FILE, HTTP_GET, "https://api.openai.com/v1/files/x_1"},
        {ASK_CONTENT, HTTP_GET, "https://api.openai.com/v1/files/x_1/content"},
        {ASK_DELETE_FILE, HTTP_DELETE, "https://api.openai.com/v1/files/x_1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct provider_request r =
            asked((struct provider_ask){.ask = rows[i].ask, .ref = "x_1"});
        assert_string_equal(r.http.url, rows[i].url);
        assert_int_equal(r.http.method, rows[i].method);
        provider_request_fini(&r);
    }
    struct provider_request r =
        asked((struct provider_ask){.ask = ASK_LIST, .after = ""});
    assert_string_equal(r.http.url, "https://api.openai.com/v1/batches?limit=100");
    provider_request_fini(&r);
    r = asked((struct provider_ask){.ask = ASK_LIST, .after = "batch_9"});
    assert_string_equal(r.http.url,
                        "https://api.openai.com/v1/batches?limit=100&after=batch_9");
    provider_request_fini(&r);
}

static void test_a_request_that_does_not_fit_is_not_sent(void **state)
{
    (void)state;
    static char far_away[5000];
    struct provider_request r;
    struct err err;
    memset(far_away, 'a', sizeof(far_away) - 1);
    const struct provider_ask a = {
        .ask = ASK_BATCH, .base_url = far_away, .ref = "batch_1"};
    provider_request_init(&r);
    assert_int_equal(openai->request(&a, &r, &err), -ERR_FAIL);
    provider_request_fini(&r);
}

static void test_the_limits_are_the_providers(void **state)
{
    (void)state;
    assert_int_equal(openai->batch_calls_max, 50000);
    assert_int_equal(openai->batch_bytes_max, 200000000);
}

/* ---- verdicts ---- */

static void test_each_refusal_has_its_verdict(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *code;
        enum step step;
        int err;
    } rows[] = {
        {400, "invalid_request", STEP_REJECT, ERR_FAIL},
        {400, "billing_hard_limit_reached", STEP_STOP, ERR_TEMP},
        {401, "invalid_api_key", STEP_STOP, ERR_AUTH},
        {402, "", STEP_STOP, ERR_TEMP},
        {403, "unsupported_country", STEP_STOP, ERR_AUTH},
        {404, "", STEP_WAIT, ERR_FAIL},
        {408, "", STEP_UNSURE, ERR_FAIL},
        {409, "", STEP_UNSURE, ERR_FAIL},
        {413, "", STEP_REJECT, ERR_FAIL},
        {422, "", STEP_REJECT, ERR_FAIL},
        {429, "rate_limit_exceeded", STEP_RETRY, ERR_FAIL},
        {429, "insufficient_quota", STEP_STOP, ERR_TEMP},
        {500, "", STEP_UNSURE, ERR_FAIL},
        {502, "", STEP_UNSURE, ERR_FAIL},
        {503, "", STEP_UNSURE, ERR_FAIL},
        {302, "", STEP_STOP, ERR_TEMP}, /* whoever redirects is not the provider */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char body[200];
        struct remote r;
        struct err err;
        snprintf(body, sizeof(body),
                 "{\"error\":{\"message\":\"because\",\"code\":\"%s\"}}", rows[i].code);
        enum step step = fed(ASK_CREATE, rows[i].status, body, &r, &err);
        assert_int_equal(r.fail, rows[i].status == 413         ? FAIL_TOO_LARGE
                                 : rows[i].step == STEP_REJECT ? FAIL_OTHER
                                                               : r.fail);
        if (step != rows[i].step || (int)err.code != rows[i].err) {
            fail_msg("HTTP %d %s: %d", rows[i].status, rows[i].code, (int)step);
        }
    }
}

/* A proxy's page, a portal's login, another program on that port: our jobs must outlive it. */
static void test_a_refusal_that_is_not_the_providers_ends_no_job(void **state)
{
    (void)state;
    static const int statuses[] = {300, 301, 302, 307, 400, 404, 405, 407, 410, 418, 422};
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        static const char *const bodies[] = {"", "<html>Not here</html>", "\"no\"", "[]"};
        for (size_t j = 0; j < ARRAY_LEN(bodies); j++) {
            struct remote r;
            struct err err;
            enum step step = fed(ASK_BATCH, statuses[i], bodies[j], &r, &err);
            if (step != STEP_STOP || err.code != ERR_TEMP) {
                fail_msg("HTTP %d '%s': %d", statuses[i], bodies[j], (int)step);
            }
            assert_non_null(strstr(err.msg, "somebody else answers"));
            assert_non_null(strstr(err.hint, "OPENAI_BASE_URL"));
        }
    }
}

static void test_a_404_in_other_words_is_still_the_providers(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    const char *body = "{\"detail\":\"Not Found\"}"; /* servers that speak its API */
    assert_int_equal(fed(ASK_BATCH, 404, body, &r, &err), STEP_WAIT);
    assert_string_equal(r.id, "");
}

static void test_a_request_that_never_left_may_be_repeated_a_lost_one_not(void **state)
{
    (void)state;
    struct remote r = {.go = 0};
    struct err err;
    struct http_resp lost = {.outcome = HTTP_UNKNOWN, .why = "connection reset"};
    struct http_resp unsent = {.outcome = HTTP_UNSENT, .why = "connection refused"};
    assert_int_equal(openai->feed(ASK_CREATE, &lost, &r, &err), STEP_UNSURE);
    assert_string_equal(err.msg, "connection reset");
    assert_int_equal(openai->feed(ASK_CREATE, &unsent, &r, &err), STEP_RETRY);
}

static void test_a_good_status_with_an_unreadable_body_is_unsure(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "", "<html>", "[]", "null", "{}", "{\"id\":\"\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct remote r;
        struct err err;
        assert_int_equal(fed(ASK_CREATE, 200, bodies[i], &r, &err), STEP_UNSURE);
        assert_int_equal(fed(ASK_UPLOAD, 200, bodies[i], &r, &err), STEP_UNSURE);
    }
}

/* Believing a page here would let a second create run beside a late first one. */
static void test_only_the_provider_can_say_that_a_file_is_gone(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    const char *gone = "{\"id\":\"file-1\",\"object\":\"file\",\"deleted\":true}";
    assert_int_equal(fed(ASK_DELETE_FILE, 200, gone, &r, &err), STEP_DONE);
    assert_int_equal(fed(ASK_DELETE_FILE, 200, "<html>", &r, &err), STEP_UNSURE);
    assert_int_equal(fed(ASK_DELETE_FILE, 200, "", &r, &err), STEP_UNSURE);
}

static void test_a_refused_key_is_not_quoted(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    fed(ASK_CREATE, 401,
        "{\"error\":{\"message\":\"Incorrect API key provided: sk-canary\",\"code\":\"invalid_api_"
        "key\"}}",
        &r, &err);
    assert_null(strstr(err.msg, "canary"));
    assert_non_null(strstr(err.msg, "HTTP 401, invalid_api_key"));
    assert_non_null(strstr(err.hint, "OPENAI_API_KEY"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_of_the_input_carries_the_body_byte_for_byte),
        cmocka_unit_test(test_a_body_written_over_several_lines_is_sent_in_one),
        cmocka_unit_test(test_the_upload_carries_the_submit_key_in_its_file_name),
        cmocka_unit_test(test_the_create_is_stamped_with_submit_key_and_go),
        cmocka_unit_test(test_each_other_request_has_its_method_and_address),
        cmocka_unit_test(test_a_request_that_does_not_fit_is_not_sent),
        cmocka_unit_test(test_the_limits_are_the_providers),
        cmocka_unit_test(test_each_refusal_has_its_verdict),
        cmocka_unit_test(test_a_refusal_that_is_not_the_providers_ends_no_job),
        cmocka_unit_test(test_a_404_in_other_words_is_still_the_providers),
        cmocka_unit_test(test_a_request_that_never_left_may_be_repeated_a_lost_one_not),
        cmocka_unit_test(test_a_good_status_with_an_unreadable_body_is_unsure),
        cmocka_unit_test(test_only_the_provider_can_say_that_a_file_is_gone),
        cmocka_unit_test(test_a_refused_key_is_not_quoted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
