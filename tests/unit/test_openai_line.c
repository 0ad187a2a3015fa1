/* What the lines of OpenAI's result files mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/openai.h"

#include <stdio.h>

static const struct provider *const openai = &provider_openai;

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
        "{\"prompt_tokens\":10,\"completion_tokens\":2,"
        "\"completion_tokens_details\":{\"reasoning_tokens\":\"many\"}}",
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

static void test_usage_may_be_all_of_one_class_and_as_large_as_can_be(void **state)
{
    (void)state;
    static const char body[] =
        "{\"usage\":{\"prompt_tokens\":10000000,\"completion_tokens\":10000000,"
        "\"prompt_tokens_details\":{\"cached_tokens\":10000000},"
        "\"completion_tokens_details\":{\"reasoning_tokens\":10000000}}}";
    struct usage u;
    assert_true(openai_usage(span_str(body), &u));
    assert_int_equal(u.input, OPENAI_TOKENS_MAX);
    assert_int_equal(u.cache_read, OPENAI_TOKENS_MAX);
    assert_int_equal(u.output, OPENAI_TOKENS_MAX);
    assert_int_equal(u.reasoning, OPENAI_TOKENS_MAX);
}

static void test_an_answer_without_choices_is_not_complete(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        OK("{\"id\":\"chatcmpl-1\",\"usage\":" USAGE "}"),
        OK("{\"choices\":null,\"usage\":" USAGE "}"),
        OK("{\"choices\":[{}],\"usage\":" USAGE "}"),
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct provider_line l = decoded(bodies[i]);
        assert_int_equal(l.kind, LINE_ANSWER);
        assert_false(l.answer.complete);
    }
}

static void test_a_name_that_does_not_fit_is_left_out(void **state)
{
    (void)state;
    char id[66], text[400];
    const struct {
        int length;
        bool fits;
    } rows[] = {{62, true}, {63, true}, {64, false}, {65, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        memset(id, 'r', sizeof(id));
        id[rows[i].length] = '\0';
        snprintf(text, sizeof(text),
                 LINE("{\"status_code\":200,\"request_id\":\"%s\",\"body\":{}}", "null"),
                 id);
        assert_string_equal(decoded(text).answer.request_id, rows[i].fits ? id : "");
    }
    struct provider_line l = decoded(
        LINE("{\"status_code\":200,\"request_id\":\"a\\u0000b\",\"body\":{}}", "null"));
    assert_string_equal(l.answer.request_id, "");
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
        {503, LINE_BUSY},    {100, LINE_BUSY},    {199, LINE_BUSY},
        {300, LINE_BUSY},    {302, LINE_BUSY},    {399, LINE_BUSY},
        {499, LINE_REFUSED}, {599, LINE_BUSY},
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

static void test_a_status_spelled_as_text_is_a_status(void **state)
{
    (void)state;
    struct provider_line l =
        decoded(LINE("{\"status_code\":\"200\",\"body\":{\"id\":\"c\"}}", "null"));
    assert_int_equal(l.kind, LINE_ANSWER);
    assert_int_equal(l.answer.http_status, 200);
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
        /* answered, we cannot say how: never asked again as if it had not run */
        "{\"custom_id\":\"12\",\"response\":{\"body\":{\"id\":\"chatcmpl-1\"}}}",
        "{\"custom_id\":\"12\",\"response\":{\"status_code\":null,\"body\":{}}}",
        "{\"custom_id\":\"12\",\"response\":{\"status_code\":\"fine\",\"body\":{}}}",
        "{\"custom_id\":\"12\",\"response\":{\"status_code\":1000,\"body\":{}}}",
        "{\"custom_id\":\"12\",\"response\":\"gone\"}",
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
        cmocka_unit_test(test_an_answer_carries_its_usage_model_and_body),
        cmocka_unit_test(
            test_an_answer_that_was_cut_refused_or_filtered_is_paid_but_not_complete),
        cmocka_unit_test(test_usage_with_details_null_or_absent_is_known),
        cmocka_unit_test(test_usage_that_cannot_be_is_unknown_and_not_zero),
        cmocka_unit_test(test_usage_may_be_all_of_one_class_and_as_large_as_can_be),
        cmocka_unit_test(test_an_answer_without_choices_is_not_complete),
        cmocka_unit_test(test_a_name_that_does_not_fit_is_left_out),
        cmocka_unit_test(test_a_refused_line_is_told_from_one_that_met_load),
        cmocka_unit_test(test_a_line_the_provider_never_ran_says_so),
        cmocka_unit_test(test_a_status_spelled_as_text_is_a_status),
        cmocka_unit_test(test_what_is_no_result_line_is_refused_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
