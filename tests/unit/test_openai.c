/* What is sent to OpenAI, and what its replies and result lines mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/openai.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const struct provider *const openai = &provider_openai;

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

static struct http_resp reply(int status, const char *body)
{
    return (struct http_resp){
        .status = status, .body = span_str(body), .retry_after_ms = -1};
}

/* The verdict on a reply; err and r tell more. */
static enum step fed(enum ask ask, int status, const char *body, struct remote *r,
                     struct err *e)
{
    struct http_resp resp = reply(status, body);
    *r = (struct remote){.go = 0};
    *e = (struct err){.code = 0};
    return openai->feed(ask, &resp, r, e);
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
        if (step != rows[i].step || (int)err.code != rows[i].err) {
            fail_msg("HTTP %d %s: %d", rows[i].status, rows[i].code, (int)step);
        }
    }
}

/* A proxy's page, a portal's login, another program on that port: our jobs must outlive it. */
static void test_a_refusal_that_is_not_the_providers_ends_no_job(void **state)
{
    (void)state;
    static const int statuses[] = {301, 302, 307, 400, 404, 405, 407, 410, 418, 422};
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
        "",
        "<html>",
        "[]",
        "null",
        "{}",
        "{\"id\":7}",
        "{\"id\":\"../files\"}",
        "{\"id\":\"a b\"}",
        "{\"id\":\"\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct remote r;
        struct err err;
        assert_int_equal(fed(ASK_CREATE, 200, bodies[i], &r, &err), STEP_UNSURE);
        assert_int_equal(fed(ASK_UPLOAD, 200, bodies[i], &r, &err), STEP_UNSURE);
    }
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

/* ---- files and batches ---- */

static void test_an_uploaded_file_has_id_size_and_time(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    assert_int_equal(fed(ASK_UPLOAD, 200,
                         "{\"id\":\"file-abc123\",\"object\":\"file\",\"bytes\":48211,"
                         "\"created_at\":1795245099,\"purpose\":\"batch\"}",
                         &r, &err),
                     STEP_DONE);
    assert_string_equal(r.input, "file-abc123");
    assert_true(r.sized);
    assert_int_equal(r.bytes, 48211);
    assert_int_equal(r.created_s, 1795245099);
}

#define BATCH(status, rest)                                                         \
    "{\"id\":\"batch_abc\",\"object\":\"batch\",\"errors\":null,\"input_file_id\":" \
    "\"file-abc\",\"status\":\"" status "\",\"created_at\":1795245100,"             \
    "\"metadata\":{\"offpeak_submit_key\":\"01KAJ8Z3X00000000000000000\","          \
    "\"offpeak_go\":\"2\"}," rest "}"
#define NO_FILES "\"output_file_id\":null,\"error_file_id\":null"

static void test_states_of_a_batch_that_go_on_are_waited_for(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        BATCH("validating", NO_FILES),
        BATCH("in_progress", NO_FILES),
        BATCH("finalizing", NO_FILES),
        BATCH("cancelling", NO_FILES),
        BATCH("paused_by_a_new_feature", NO_FILES),
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct remote r;
        struct err err;
        assert_int_equal(fed(ASK_BATCH, 200, bodies[i], &r, &err), STEP_WAIT);
        assert_string_equal(r.id, "batch_abc");
    }
}

static void test_a_404_is_told_from_a_batch_that_runs(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    assert_int_equal(fed(ASK_BATCH, 404, "{\"error\":{}}", &r, &err), STEP_WAIT);
    assert_string_equal(r.id, "");
}

static void test_a_completed_batch_names_its_files_and_counts(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    const char *body = BATCH("completed",
                             "\"output_file_id\":\"file-o\",\"error_file_id\":null,"
                             "\"request_counts\":{\"total\":9,\"completed\":7,"
                             "\"failed\":2}");
    assert_int_equal(fed(ASK_BATCH, 200, body, &r, &err), STEP_DONE);
    assert_int_equal(r.state, REMOTE_COMPLETED);
    assert_string_equal(r.output, "file-o");
    assert_string_equal(r.error, "");
    assert_true(r.counted);
    assert_int_equal(r.completed, 7);
    assert_int_equal(r.failed, 2);
    assert_string_equal(r.key, "01KAJ8Z3X00000000000000000");
    assert_int_equal(r.go, 2);
}

static void test_every_line_failed_is_completed_without_an_output_file(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    const char *body =
        BATCH("completed", "\"output_file_id\":null,\"error_file_id\":\"file-e\"");
    assert_int_equal(fed(ASK_BATCH, 200, body, &r, &err), STEP_DONE);
    assert_string_equal(r.output, "");
    assert_string_equal(r.error, "file-e");
}

static void test_counts_may_be_missing_null_or_spelled_otherwise(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        bool counted;
    } rows[] = {
        {BATCH("expired", NO_FILES), false},
        {BATCH("expired", NO_FILES ",\"request_counts\":null"), false},
        {BATCH("expired",
               NO_FILES ",\"request_counts\":{\"completed\":null,\"failed\":1}"),
         false},
        {BATCH("expired", NO_FILES ",\"request_counts\":{\"completed\":-1,\"failed\":1}"),
         false},
        {BATCH("expired",
               NO_FILES ",\"request_counts\":{\"completed\":3.0,\"failed\":\"1\"}"),
         true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct remote r;
        struct err err;
        assert_int_equal(fed(ASK_BATCH, 200, rows[i].body, &r, &err), STEP_DONE);
        assert_int_equal(r.state, REMOTE_EXPIRED);
        assert_int_equal(r.counted, rows[i].counted);
        assert_int_equal(r.completed + r.failed,
                         rows[i].counted ? 4 : r.completed + r.failed);
    }
}

static void test_too_many_enqueued_tokens_is_back_pressure(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    const char *body =
        "{\"id\":\"batch_abc\",\"status\":\"failed\",\"errors\":{\"object\":\"list\",\"data\":[{"
        "\"code\":\"token_limit_exceeded\",\"message\":\"Enqueued token limit reached\","
        "\"param\":null,\"line\":null}]}}";
    assert_int_equal(fed(ASK_BATCH, 200, body, &r, &err), STEP_DONE);
    assert_int_equal(r.state, REMOTE_FAILED);
    assert_int_equal(r.fail, FAIL_OVERFLOW);
    assert_string_equal(r.why, "Enqueued token limit reached");
    remote_fini(&r);
}

static void test_errors_that_name_lines_name_them_to_us(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    const char *body =
        "{\"id\":\"batch_abc\",\"status\":\"failed\",\"errors\":{\"data\":["
        "{\"code\":\"invalid_json_line\",\"message\":\"not parseable\",\"line\":1},"
        "{\"code\":\"mismatched_model\",\"message\":\"one model per file\",\"line\":17}]}}";
    assert_int_equal(fed(ASK_BATCH, 200, body, &r, &err), STEP_DONE);
    assert_int_equal(r.fail, FAIL_LINES);
    assert_int_equal(r.lines_len, 2);
    assert_int_equal(r.lines[0].line, 1);
    assert_int_equal(r.lines[1].line, 17);
    assert_string_equal(r.lines[1].why, "one model per file");
    remote_fini(&r);
}

static void test_a_batch_that_failed_without_a_reason_says_so(void **state)
{
    (void)state;
    struct remote r;
    struct err err;
    fed(ASK_BATCH, 200, BATCH("failed", "\"x\":1"), &r, &err);
    assert_int_equal(r.fail, FAIL_OTHER);
    assert_string_equal(r.why, "the batch failed and no reason was given");
}

static void test_a_page_of_the_list_is_read_with_what_is_behind_it(void **state)
{
    (void)state;
    struct err err;
    _cleanup_(remote_page_fini) struct remote_page p = {.n = 0};
    struct http_resp resp = reply(
        200,
        "{\"object\":\"list\",\"data\":[" BATCH(
            "in_progress",
            NO_FILES) ","
                      "{\"id\":\"batch_old\",\"status\":\"completed\",\"created_at\":1795000000,"
                      "\"metadata\":null}],\"has_more\":true}");
    assert_int_equal(openai->feed_list(&resp, &p, &err), STEP_DONE);
    assert_int_equal(p.n, 2);
    assert_true(p.more);
    assert_string_equal(p.v[0].key, "01KAJ8Z3X00000000000000000");
    assert_string_equal(p.v[1].id, "batch_old");
    assert_string_equal(p.v[1].key, "");
    assert_int_equal(p.v[1].created_s, 1795000000);
}

/* ---- result lines ---- */

#define LINE(response, error)                                             \
    "{\"id\":\"batch_req_1\",\"custom_id\":\"12\",\"response\":" response \
    ",\"error\":" error "}"
#define OK(body) \
    LINE("{\"status_code\":200,\"request_id\":\"req_9\",\"body\":" body "}", "null")
#define CHOICE(finish, refusal)                                                               \
    "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"A\",\"refusal\":" refusal \
    "},\"finish_reason\":\"" finish "\"}"
#define USAGE                                                                        \
    "{\"prompt_tokens\":2048,\"completion_tokens\":60,\"total_tokens\":2108,"        \
    "\"prompt_tokens_details\":{\"cached_tokens\":1920,\"cache_write_tokens\":128}," \
    "\"completion_tokens_details\":{\"reasoning_tokens\":32}}"
#define COMPLETION(choices, usage)                                                      \
    "{\"id\":\"chatcmpl-1\",\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[" choices \
    "],\"usage\":" usage "}"

static struct provider_line decoded(const char *text)
{
    struct provider_line line;
    assert_int_equal(openai->decode(span_str(text), &line), 0);
    assert_int_equal(line.index, 12);
    return line;
}

static void test_an_answer_carries_its_usage_model_and_body(void **state)
{
    (void)state;
    struct provider_line l = decoded(OK(COMPLETION(CHOICE("stop", "null"), USAGE)));
    assert_int_equal(l.kind, LINE_ANSWER);
    assert_int_equal(l.answer.http_status, 200);
    assert_string_equal(l.answer.request_id, "req_9");
    assert_string_equal(l.answer.model_used, "gpt-4o-mini-2024-07-18");
    assert_true(l.answer.usage_known);
    assert_int_equal(l.answer.usage.input, 2048);
    assert_int_equal(l.answer.usage.cache_read, 1920);
    assert_int_equal(l.answer.usage.cache_write, 128);
    assert_int_equal(l.answer.usage.output, 60);
    assert_int_equal(l.answer.usage.reasoning, 32);
    assert_true(l.answer.complete);
    assert_memory_equal(l.answer.body.p, "{\"id\":\"chatcmpl-1\"", 18);
}

static void test_an_answer_that_was_cut_refused_or_filtered_is_paid_but_not_complete(
    void **state)
{
    (void)state;
    static const char *const lines[] = {
        OK(COMPLETION(CHOICE("length", "null"), USAGE)),
        OK(COMPLETION(CHOICE("content_filter", "null"), USAGE)),
        OK(COMPLETION(CHOICE("stop", "\"I cannot\""), USAGE)),
        OK(COMPLETION(CHOICE("something_new", "null"), USAGE)),
        OK(COMPLETION(CHOICE("stop", "null") "," CHOICE("length", "null"), USAGE)),
        OK(COMPLETION("", USAGE)),
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct provider_line l = decoded(lines[i]);
        assert_int_equal(l.kind, LINE_ANSWER);
        assert_false(l.answer.complete);
        assert_true(l.answer.usage_known);
    }
    assert_true(
        decoded(OK(COMPLETION(CHOICE("tool_calls", "null"), USAGE))).answer.complete);
    assert_true(decoded(OK(COMPLETION(CHOICE("stop", "\"\""), USAGE))).answer.complete);
}

static void test_usage_with_details_null_or_absent_is_known(void **state)
{
    (void)state;
    static const char *const usages[] = {
        "{\"prompt_tokens\":10,\"completion_tokens\":2}",
        "{\"prompt_tokens\":10,\"completion_tokens\":2,\"total_tokens\":null,"
        "\"prompt_tokens_details\":null,\"completion_tokens_details\":null}",
        "{\"prompt_tokens\":10.0,\"completion_tokens\":2e0,\"total_tokens\":12,"
        "\"prompt_tokens_details\":{\"cached_tokens\":null}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(usages); i++) {
        char body[400];
        struct usage u;
        snprintf(body, sizeof(body), "{\"usage\":%s}", usages[i]);
        assert_true(openai_usage(span_str(body), &u));
        assert_int_equal(u.input, 10);
        assert_int_equal(u.output, 2);
        assert_int_equal(u.cache_read + u.cache_write + u.reasoning, 0);
    }
}

static void test_usage_that_cannot_be_is_unknown_and_not_zero(void **state)
{
    (void)state;
    static const char *const usages[] = {
        "null",
        "{}",
        "7",
        "{\"prompt_tokens\":10}",
        "{\"prompt_tokens\":null,\"completion_tokens\":2}",
        "{\"prompt_tokens\":-1,\"completion_tokens\":2}",
        "{\"prompt_tokens\":1.5,\"completion_tokens\":2}",
        "{\"prompt_tokens\":\"10\",\"completion_tokens\":2}",
        "{\"prompt_tokens\":10000001,\"completion_tokens\":2}",
        "{\"prompt_tokens\":1,\"completion_tokens\":10000001}",
        "{\"prompt_tokens\":18446744073709551617,\"completion_tokens\":2}",
        "{\"prompt_tokens\":10,\"completion_tokens\":2,\"total_tokens\":13}",
        "{\"prompt_tokens\":10,\"completion_tokens\":2,"
        "\"prompt_tokens_details\":{\"cached_tokens\":11}}",
        "{\"prompt_tokens\":10,\"completion_tokens\":2,"
        "\"prompt_tokens_details\":{\"cached_tokens\":6,\"cache_write_tokens\":5}}",
        "{\"prompt_tokens\":10,\"completion_tokens\":2,"
        "\"completion_tokens_details\":{\"reasoning_tokens\":3}}",
        "{\"prompt_tokens\":10,\"completion_tokens\":2,"
        "\"prompt_tokens_details\":{\"cached_tokens\":\"many\"}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(usages); i++) {
        char body[400];
        struct usage u;
        snprintf(body, sizeof(body), "{\"usage\":%s}", usages[i]);
        if (openai_usage(span_str(body), &u)) {
            fail_msg("accepted: %s", usages[i]);
        }
    }
    struct provider_line l = decoded(OK(COMPLETION(CHOICE("stop", "null"), "null")));
    assert_int_equal(l.kind, LINE_ANSWER);
    assert_false(l.answer.usage_known);
}

static void test_a_refused_line_is_told_from_one_that_met_load(void **state)
{
    (void)state;
    static const struct {
        int status;
        enum line_kind kind;
    } rows[] = {
        {400, LINE_REFUSED}, {401, LINE_REFUSED}, {404, LINE_REFUSED},
        {413, LINE_REFUSED}, {422, LINE_REFUSED}, {408, LINE_BUSY},
        {409, LINE_BUSY},    {429, LINE_BUSY},    {500, LINE_BUSY},
        {503, LINE_BUSY},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[400];
        snprintf(text, sizeof(text),
                 LINE("{\"status_code\":%d,\"request_id\":\"req_a\",\"body\":{\"error\":"
                      "{\"message\":\"Unsupported value\"}}}",
                      "null"),
                 rows[i].status);
        struct provider_line l = decoded(text);
        assert_int_equal(l.kind, rows[i].kind);
        assert_int_equal(l.answer.http_status, rows[i].status);
        assert_true(span_is(l.answer.error, "{\"message\":\"Unsupported value\"}"));
    }
}

static void test_a_line_the_provider_never_ran_says_so(void **state)
{
    (void)state;
    struct provider_line l =
        decoded(LINE("null", "{\"code\":\"batch_expired\",\"message\":\"window\"}"));
    assert_int_equal(l.kind, LINE_UNEXECUTED);
    assert_int_equal(l.answer.http_status, 0);
    l = decoded(LINE("null", "{\"code\":\"batch_cancelled\",\"message\":\"x\"}"));
    assert_int_equal(l.kind, LINE_UNEXECUTED);
    l = decoded(LINE("null", "{\"code\":\"server_error\",\"message\":\"x\"}"));
    assert_int_equal(l.kind, LINE_BUSY);
    assert_int_equal(decoded(LINE("null", "null")).kind, LINE_BUSY);
}

static void test_what_is_no_result_line_is_refused_whole(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "garbage",
        "[1]",
        "{\"response\":null}",
        "{\"custom_id\":null,\"response\":null}",
        "{\"custom_id\":\"j-7\",\"response\":null}",
        "{\"custom_id\":\"12\",\"response\":{\"status_code\":200,\"body\":{\"id\":\"ch",
        "{\"custom_id\":\"12\",\"response\":{\"status_code\":200,\"body\":null}}",
        "{\"custom_id\":\"99999999999999999999999\",\"response\":null}",
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct provider_line l;
        if (openai->decode(span_str(lines[i]), &l) == 0) {
            fail_msg("accepted: %s", lines[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_of_the_input_carries_the_body_byte_for_byte),
        cmocka_unit_test(test_the_upload_carries_the_submit_key_in_its_file_name),
        cmocka_unit_test(test_the_create_is_stamped_with_submit_key_and_go),
        cmocka_unit_test(test_each_other_request_has_its_method_and_address),
        cmocka_unit_test(test_each_refusal_has_its_verdict),
        cmocka_unit_test(test_a_refusal_that_is_not_the_providers_ends_no_job),
        cmocka_unit_test(test_a_404_in_other_words_is_still_the_providers),
        cmocka_unit_test(test_a_request_that_never_left_may_be_repeated_a_lost_one_not),
        cmocka_unit_test(test_a_good_status_with_an_unreadable_body_is_unsure),
        cmocka_unit_test(test_a_refused_key_is_not_quoted),
        cmocka_unit_test(test_an_uploaded_file_has_id_size_and_time),
        cmocka_unit_test(test_states_of_a_batch_that_go_on_are_waited_for),
        cmocka_unit_test(test_a_404_is_told_from_a_batch_that_runs),
        cmocka_unit_test(test_a_completed_batch_names_its_files_and_counts),
        cmocka_unit_test(test_every_line_failed_is_completed_without_an_output_file),
        cmocka_unit_test(test_counts_may_be_missing_null_or_spelled_otherwise),
        cmocka_unit_test(test_too_many_enqueued_tokens_is_back_pressure),
        cmocka_unit_test(test_errors_that_name_lines_name_them_to_us),
        cmocka_unit_test(test_a_batch_that_failed_without_a_reason_says_so),
        cmocka_unit_test(test_a_page_of_the_list_is_read_with_what_is_behind_it),
        cmocka_unit_test(test_an_answer_carries_its_usage_model_and_body),
        cmocka_unit_test(
            test_an_answer_that_was_cut_refused_or_filtered_is_paid_but_not_complete),
        cmocka_unit_test(test_usage_with_details_null_or_absent_is_known),
        cmocka_unit_test(test_usage_that_cannot_be_is_unknown_and_not_zero),
        cmocka_unit_test(test_a_refused_line_is_told_from_one_that_met_load),
        cmocka_unit_test(test_a_line_the_provider_never_ran_says_so),
        cmocka_unit_test(test_what_is_no_result_line_is_refused_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
