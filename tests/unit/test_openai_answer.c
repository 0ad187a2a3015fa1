/* What replies on file say: tokens, whether the answer is whole, and whether there is one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/openai.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define GOLDEN "tests/golden/openai/"

static enum line_kind body(const char *text, struct answer *ret)
{
    *ret = (struct answer){.http_status = 200};
    return openai_body(span_str(text), ret);
}

/* A reply on file as it would come: the body alone, or within its line. */
static char *load(const char *name)
{
    char path[200];
    snprintf(path, sizeof(path), GOLDEN "%s", name);
    json_t *json = json_load_file(path, 0, NULL);
    if (!json) {
        fail_msg("could not read %s", path);
    }
    json_t *inner = json_object_get(json_object_get(json, "response"), "body");
    char *text = json_dumps(inner ? inner : json, 0);
    json_decref(json);
    return text;
}

static uint64_t wanted(json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

static void replies_on_file_are_read_as_is_written_beside_them(void **state)
{
    const char *name;
    json_t *want;
    (void)state;
    json_t *expected = json_load_file(GOLDEN "expected.json", 0, NULL);
    assert_true(json_object_size(expected) >= 30);
    json_object_foreach(expected, name, want)
    {
        struct answer a;
        char *text = load(name);
        json_t *usage = json_object_get(want, "usage");
        enum line_kind kind = body(text, &a);
        bool right = a.usage_known && a.usage.input == wanted(usage, "input") &&
                     a.usage.cache_read == wanted(usage, "cache_read") &&
                     a.usage.cache_write == wanted(usage, "cache_write") &&
                     a.usage.output == wanted(usage, "output") &&
                     a.usage.reasoning == wanted(usage, "reasoning");
        bool whole = json_is_true(json_object_get(want, "complete"));
        if (!right || a.complete != whole || a.vectors != wanted(want, "vectors") ||
            (whole && kind != LINE_ANSWER)) {
            fail_msg("%s: complete %d, %u vectors, kind %d, tokens right %d", name,
                     a.complete, a.vectors, (int)kind, right);
        }
        free(text);
    }
    json_decref(expected);
}

static void a_response_may_fail_inside_a_status_of_200(void **state)
{
    static const struct {
        const char *name;
        enum line_kind kind;
    } rows[] = {
        {"response_failed_server.json", LINE_BUSY},
        {"line_response_failed.json", LINE_BUSY},
        {"response_failed_prompt.json", LINE_REFUSED},
        {"response_failed_billed.json", LINE_FAILED},
        {"response_refusal.json", LINE_ANSWER},
        {"response_incomplete_length.json", LINE_ANSWER},
        {"response_incomplete_filter.json", LINE_ANSWER},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct answer a;
        char *text = load(rows[i].name);
        enum line_kind kind = body(text, &a);
        if (kind != rows[i].kind || a.complete ||
            (kind != LINE_ANSWER) != (a.error.n > 0)) {
            fail_msg("%s: kind %d", rows[i].name, (int)kind);
        }
        free(text);
    }
}

#define USED "\"usage\":{\"input_tokens\":10,\"output_tokens\":2,\"total_tokens\":12}"
#define RESPONSE(status, output) \
    "{\"object\":\"response\",\"status\":\"" status "\",\"output\":[" output "]," USED "}"
#define SAID \
    "{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"A\"}]}"

static void only_a_completed_response_is_whole(void **state)
{
    static const struct {
        const char *text;
        bool whole;
    } rows[] = {
        {RESPONSE("completed", SAID), true},
        {"{\"output\":[" SAID "],\"status\":\"completed\"," USED "}", true},
        {RESPONSE("completed", ""), false},
        {RESPONSE("incomplete", SAID), false},
        {RESPONSE("in_progress", SAID), false},
        {RESPONSE("queued", ""), false},
        {RESPONSE("something_new", SAID), false},
        {"{\"output\":[" SAID "]," USED "}", false},
        {RESPONSE("completed", SAID ",{\"type\":\"message\",\"status\":\"incomplete\"}"),
         false},
        {RESPONSE("completed",
                  "{\"content\":[{\"type\":\"refusal\",\"refusal\":\"no\"}]}"),
         false},
        {"{\"object\":\"response\",\"status\":\"completed\"," USED "}", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct answer a;
        enum line_kind kind = body(rows[i].text, &a);
        if (kind != LINE_ANSWER || a.complete != rows[i].whole || !a.usage_known) {
            fail_msg("%s: complete %d", rows[i].text, a.complete);
        }
    }
}

static void a_response_that_failed_for_no_reason_given_may_go_again(void **state)
{
    struct answer a;
    (void)state;
    assert_int_equal(
        body("{\"object\":\"response\",\"status\":\"failed\",\"error\":null}", &a),
        LINE_BUSY);
    assert_int_equal(body("{\"object\":\"response\",\"status\":\"cancelled\"}", &a),
                     LINE_BUSY);
    assert_int_equal(body(RESPONSE("cancelled", ""), &a), LINE_FAILED);
}

#define EMBEDDINGS(data)                   \
    "{\"object\":\"list\",\"data\":[" data \
    "],\"usage\":{\"prompt_tokens\":9,\"total_tokens\":9}}"
#define VECTOR(index) "{\"index\":" index ",\"embedding\":[0.5,-0.5]}"

static void embeddings_are_whole_when_each_input_has_its_vector_once(void **state)
{
    static const struct {
        const char *text;
        unsigned vectors;
    } rows[] = {
        {EMBEDDINGS(VECTOR("0")), 1},
        {EMBEDDINGS(VECTOR("1") "," VECTOR("0")), 2},
        {EMBEDDINGS("{\"index\":0,\"embedding\":\"AAAAPw==\"}"), 1},
        {EMBEDDINGS(""), 0},
        {EMBEDDINGS(VECTOR("1")), 0},
        {EMBEDDINGS(VECTOR("0") "," VECTOR("0")), 0},
        {EMBEDDINGS(VECTOR("0") "," VECTOR("2")), 0},
        {EMBEDDINGS(VECTOR("2048")), 0},
        {EMBEDDINGS(VECTOR("-1")), 0},
        {EMBEDDINGS("{\"embedding\":[1]}"), 0},
        {EMBEDDINGS("{\"index\":0,\"embedding\":[]}"), 0},
        {EMBEDDINGS("{\"index\":0,\"embedding\":\"\"}"), 0},
        {EMBEDDINGS("{\"index\":0,\"embedding\":null}"), 0},
        {EMBEDDINGS("{\"index\":0}"), 0},
        {EMBEDDINGS("7"), 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct answer a;
        enum line_kind kind = body(rows[i].text, &a);
        if (kind != LINE_ANSWER || a.vectors != rows[i].vectors ||
            a.complete != (rows[i].vectors > 0) || !a.usage_known || a.usage.input != 9 ||
            a.usage.output != 0) {
            fail_msg("%s: complete %d, %u vectors", rows[i].text, a.complete, a.vectors);
        }
    }
}

static void usage_that_cannot_be_is_unknown_and_not_zero(void **state)
{
    static const char *const bodies[] = {
        "{\"output\":[],\"usage\":null}",
        "{\"output\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}",
        "{\"output\":[],\"usage\":{\"input_tokens\":1}}",
        "{\"output\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":2,\"total_tokens\":4}}",
        "{\"output\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":2,"
        "\"input_tokens_details\":{\"cached_tokens\":2}}}",
        "{\"output\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":2,"
        "\"output_tokens_details\":{\"reasoning_tokens\":3}}}",
        "{\"data\":[],\"usage\":{\"total_tokens\":4}}",
        "{\"data\":[],\"usage\":{\"prompt_tokens\":4,\"total_tokens\":5}}",
        "{\"data\":[],\"usage\":{\"prompt_tokens\":10000001}}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct usage u;
        if (openai_usage(span_str(bodies[i]), &u)) {
            fail_msg("accepted: %s", bodies[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_on_file_are_read_as_is_written_beside_them),
        cmocka_unit_test(a_response_may_fail_inside_a_status_of_200),
        cmocka_unit_test(only_a_completed_response_is_whole),
        cmocka_unit_test(a_response_that_failed_for_no_reason_given_may_go_again),
        cmocka_unit_test(embeddings_are_whole_when_each_input_has_its_vector_once),
        cmocka_unit_test(usage_that_cannot_be_is_unknown_and_not_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
