/* cli/reply.h: the answer in a result line, as a person would copy it out. */
#include "cli/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void expect_text(const char *body, const char *want)
{
    struct buf text;
    buf_init(&text, 10000);
    reply_text(span_str(body), &text);
    assert_string_equal(text.p ? text.p : "", want);
    buf_fini(&text);
}

static void expect_error(const char *line, const char *want)
{
    struct buf text;
    buf_init(&text, 10000);
    reply_error(span_str(line), &text);
    assert_string_equal(text.p ? text.p : "", want);
    buf_fini(&text);
}

static void a_chat_answers_with_its_first_choice(void **state)
{
    (void)state;
    expect_text("{\"choices\":[{\"message\":{\"content\":\"gr\\u00fcn,\\n\\\"yes\\\"\"}},"
                "{\"message\":{\"content\":\"second\"}}]}",
                "gr\xc3\xbcn,\n\"yes\"");
    expect_text(
        "{\"choices\":[{\"message\":{\"content\":null,\"refusal\":\"I cannot\"}}]}",
        "I cannot");
    expect_text("{\"choices\":[{\"message\":{\"content\":null,"
                "\"tool_calls\":[{\"id\":\"c1\"}]}}]}",
                "[{\"id\":\"c1\"}]");
    expect_text("{\"choices\":[]}", "");
    expect_text("{\"choices\":[{\"message\":null}]}", "");
}

static void a_response_answers_with_the_text_of_its_output(void **state)
{
    (void)state;
    expect_text(
        "{\"output\":[{\"type\":\"reasoning\",\"content\":[{\"type\":"
        "\"reasoning_text\",\"text\":\"hm\"}]},"
        "{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"one"
        " \"},{\"type\":\"output_text\",\"text\":\"two\"}]}]}",
        "one two");
    expect_text("{\"output\":[{\"type\":\"message\",\"content\":[{\"type\":\"refusal\","
                "\"refusal\":\"no\"}]}]}",
                "no");
    expect_text("{\"output\":[{\"type\":\"function_call\",\"name\":\"f\"}]}",
                "{\"type\":\"function_call\",\"name\":\"f\"}");
    expect_text("{\"output\":[]}", "");
}

static void embeddings_answer_with_the_first_vector(void **state)
{
    (void)state;
    expect_text("{\"data\":[{\"embedding\":[0.25,-1e-3]},{\"embedding\":[1]}]}",
                "[0.25,-1e-3]");
    expect_text("{\"data\":[{\"embedding\":\"AACAPw==\"}]}", "AACAPw==");
    expect_text("{\"data\":[]}", "");
}

static void another_body_has_no_answer(void **state)
{
    (void)state;
    expect_text("{\"error\":{\"message\":\"bad\"}}", "");
    expect_text("{}", "");
    expect_text("null", "");
    expect_text("", "");
}

static void why_it_failed_stands_in_the_line_or_in_the_body(void **state)
{
    (void)state;
    expect_error("{\"response\":null,\"error\":{\"code\":\"max_cost\",\"message\":\"no "
                 "room\"}}",
                 "max_cost: no room");
    expect_error("{\"response\":{\"status_code\":400,\"body\":{\"error\":{\"code\":null,"
                 "\"message\":\"bad \\\"n\\\"\"}}},\"error\":null}",
                 "bad \"n\"");
    expect_error("{\"response\":null,\"error\":{\"code\":\"batch_expired\"}}",
                 "batch_expired");
    expect_error("{\"response\":{\"body\":{\"choices\":[]}},\"error\":null}", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chat_answers_with_its_first_choice),
        cmocka_unit_test(a_response_answers_with_the_text_of_its_output),
        cmocka_unit_test(embeddings_answer_with_the_first_vector),
        cmocka_unit_test(another_body_has_no_answer),
        cmocka_unit_test(why_it_failed_stands_in_the_line_or_in_the_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
