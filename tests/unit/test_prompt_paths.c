/* Responses and embeddings: what their requests are, share, bound and may not ask for. */
#include "core/prompt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/ask.h"

static struct prompt response(const char *body)
{
    return read_for(PROMPT_RESPONSES, span_str(body), PROMPT_L1);
}

static struct prompt embedding(const char *body)
{
    return read_for(PROMPT_EMBEDDINGS, span_str(body), PROMPT_L1);
}

#define RESPONSE(fields) "{\"model\":\"m\",\"input\":\"Hi\"," fields "}"
#define ITEMS(items) \
    "{\"model\":\"m\",\"instructions\":\"Be brief.\",\"input\":[" items "]}"
#define ITEM(text)       "{\"role\":\"user\",\"content\":\"" text "\"}"
#define EMBEDDING(input) "{\"model\":\"m\",\"input\":" input "}"

/* ---- paths ---- */

static void a_path_is_known_by_its_name_however_it_is_spelled(void **state)
{
    enum prompt_path path;
    (void)state;
    assert_int_equal(prompt_path_find(SPAN_LIT("\"/v1/responses\""), &path), 0);
    assert_int_equal(path, PROMPT_RESPONSES);
    assert_int_equal(prompt_path_find(SPAN_LIT("\"\\/v1\\/embeddings\""), &path), 0);
    assert_int_equal(path, PROMPT_EMBEDDINGS);
    assert_int_equal(prompt_path_find(SPAN_LIT("\"/v1/chat/completions\""), &path), 0);
    assert_int_equal(path, PROMPT_CHAT);
    assert_int_equal(prompt_path_find(SPAN_LIT("\"/v1/responses/\""), &path), -1);
    assert_int_equal(prompt_path_find(SPAN_LIT("\"/v1/moderations\""), &path), -1);
    assert_int_equal(prompt_path_find(SPAN_LIT("null"), &path), -1);
}

static void one_body_on_two_paths_is_two_questions(void **state)
{
    static const char both[] = "{\"model\":\"m\",\"input\":\"Hi\"}";
    (void)state;
    struct prompt r = response(both), e = embedding(both);
    struct digest at_r =
        prompt_key("t", "https://a", prompt_paths[PROMPT_RESPONSES], PROMPT_L1, &r);
    struct digest at_e =
        prompt_key("t", "https://a", prompt_paths[PROMPT_EMBEDDINGS], PROMPT_L1, &e);
    assert_true(same(r.canonical, e.canonical));
    assert_false(same(at_r, at_e));
}

/* ---- the canonical form ---- */

static const struct {
    enum prompt_path path;
    const char *body, *canonical;
} forms[] = {
    {PROMPT_RESPONSES,
     RESPONSE("\"store\":false,\"metadata\":{\"a\":\"b\"},\"user\":\"u\",\"safety_"
              "identifier\":\"s\",\"stream\":false,\"background\":false,\"prompt_cache_"
              "key\":\"k\",\"prompt_cache_options\":{\"mode\":\"implicit\"},\"prompt_"
              "cache_retention\":\"24h\""),
     "{\"input\":\"Hi\",\"model\":\"m\"}"},
    {PROMPT_RESPONSES, RESPONSE("\"max_output_tokens\":20,\"instructions\":\"a\\r\\nb\""),
     "{\"input\":\"Hi\",\"instructions\":\"a\\nb\",\"max_output_tokens\":2e1,\"model\":"
     "\"m\"}"},
    {PROMPT_RESPONSES,
     "{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\","
     "\"text\":\"x\",\"prompt_cache_breakpoint\":{\"mode\":\"explicit\"}}]}]}",
     "{\"input\":[{\"content\":[{\"text\":\"x\",\"type\":\"input_text\"}],\"role\":"
     "\"user\"}],\"model\":\"m\"}"},
    /* a schema stands directly in the format and in the tool */
    {PROMPT_RESPONSES,
     RESPONSE(
         "\"text\":{\"format\":{\"type\":\"json_schema\",\"schema\":{\"z\":1,\"a\":2},"
         "\"name\":\"n\"}}"),
     "{\"input\":\"Hi\",\"model\":\"m\",\"text\":{\"format\":{\"name\":\"n\",\"schema\":"
     "{\"z\":1e0,\"a\":2e0},\"type\":\"json_schema\"}}}"},
    {PROMPT_RESPONSES,
     RESPONSE("\"tools\":[{\"type\":\"function\",\"parameters\":{\"z\":1,\"a\":2},"
              "\"name\":\"f\"}]"),
     "{\"input\":\"Hi\",\"model\":\"m\",\"tools\":[{\"name\":\"f\",\"parameters\":{\"z\":"
     "1e0,\"a\":2e0},\"type\":\"function\"}]}"},
    /* what a chat drops or orders is nothing here */
    {PROMPT_RESPONSES, RESPONSE("\"response_format\":{\"z\":1,\"a\":2}"),
     "{\"input\":\"Hi\",\"model\":\"m\",\"response_format\":{\"a\":2e0,\"z\":1e0}}"},
    {PROMPT_EMBEDDINGS,
     "{\"model\":\"m\",\"input\":[\"a\",\"b\"],\"user\":\"u\",\"dimensions\":256,"
     "\"encoding_format\":\"base64\"}",
     "{\"dimensions\":256e0,\"encoding_format\":\"base64\",\"input\":[\"a\",\"b\"],"
     "\"model\":\"m\"}"},
    {PROMPT_EMBEDDINGS, EMBEDDING("[[1,2],[30]]"),
     "{\"input\":[[1e0,2e0],[3e1]],\"model\":\"m\"}"},
};

static void a_digest_is_the_sha_256_of_the_canonical_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        struct prompt p = read_for(forms[i].path, span_str(forms[i].body), PROMPT_L1);
        if (!same(p.canonical, hash_of(span_str(forms[i].canonical)))) {
            fail_msg("%s is not %s", forms[i].body, forms[i].canonical);
        }
    }
}

static void questions_that_differ_in_meaning_have_different_digests(void **state)
{
    static const char *const bodies[] = {
        EMBEDDING("\"a\""),
        EMBEDDING("[\"a\"]"),
        EMBEDDING("[\"a\",\"b\"]"),
        EMBEDDING("[\"b\",\"a\"]"),
        EMBEDDING("[\"ab\"]"),
        EMBEDDING("[1,2]"),
        EMBEDDING("[[1,2]]"),
        EMBEDDING("[[1],[2]]"),
        EMBEDDING("[12]"),
        EMBEDDING("\"a\",\"dimensions\":256"),
        EMBEDDING("\"a\",\"dimensions\":512"),
        EMBEDDING("\"a\",\"encoding_format\":\"float\""),
        EMBEDDING("\"a\",\"encoding_format\":\"base64\""),
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        for (size_t j = 0; j < i; j++) {
            if (same(embedding(bodies[i]).canonical, embedding(bodies[j]).canonical)) {
                fail_msg("%s and %s have one digest", bodies[j], bodies[i]);
            }
        }
    }
}

/* ---- the chain ---- */

static void instructions_are_the_first_message_of_a_response(void **state)
{
    (void)state;
    struct prompt one = response(ITEMS(ITEM("1"))), two = response(ITEMS(ITEM("2")));
    struct prompt text =
        response("{\"input\":\"1\",\"instructions\":\"Be brief.\",\"model\":\"m\"}");
    struct prompt more = response(ITEMS(ITEM("1") "," ITEM("2")));
    struct prompt other =
        response("{\"model\":\"m\",\"instructions\":\"Be long.\",\"input\":\"1\"}");
    assert_int_equal(one.messages, 2);
    assert_int_equal(one.chain_len, 1);
    assert_int_equal(one.chain[0].bytes, strlen("\"Be brief.\""));
    assert_true(one.chain[0].hash == two.chain[0].hash);
    assert_true(one.chain[0].hash == text.chain[0].hash);
    assert_true(one.chain[0].hash != other.chain[0].hash);
    assert_int_equal(more.chain_len, 2);
    assert_true(more.chain[0].hash == one.chain[0].hash);
    assert_int_equal(more.chain[1].bytes,
                     strlen("\"Be brief.\"{\"content\":\"1\",\"role\":\"user\"}"));
}

static void without_instructions_the_first_item_is_the_beginning(void **state)
{
    (void)state;
    struct prompt a =
        response("{\"model\":\"m\",\"input\":[" ITEM("S") "," ITEM("1") "]}");
    struct prompt b = response("{\"model\":\"m\",\"instructions\":null,\"input\":[" ITEM(
        "S") "," ITEM("2") "]}");
    struct prompt single = response("{\"model\":\"m\",\"input\":\"1\"}");
    assert_int_equal(a.chain_len, 1);
    assert_int_equal(a.chain[0].bytes, strlen("{\"content\":\"S\",\"role\":\"user\"}"));
    assert_int_equal(b.messages, 2);
    assert_int_equal(b.chain_len, 1);
    assert_int_equal(single.chain_len, 1);
    assert_int_equal(single.chain[0].bytes, 0);
}

static void a_chain_of_items_has_eight_links_at_most(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 20; n++) {
        _cleanup_(buf_fini) struct buf body;
        buf_init(&body, 1 << 16);
        buf_adds(&body, "{\"model\":\"m\",\"instructions\":\"S\",\"input\":[");
        for (unsigned i = 0; i < n; i++) {
            buf_addf(&body, "%s{\"role\":\"user\",\"content\":\"%u\"}", i ? "," : "", i);
        }
        buf_adds(&body, "]}");
        struct prompt p = read_for(PROMPT_RESPONSES, buf_span(&body), PROMPT_L1);
        assert_int_equal(p.messages, n + 1);
        assert_int_equal(p.chain_len, MIN_OF(n, (unsigned)PROMPT_CHAIN_MAX));
    }
}

static void what_splits_a_providers_cache_is_in_the_root(void **state)
{
    static const char *const splits[] = {
        "\"tools\":[{\"type\":\"function\",\"name\":\"f\"}]",
        "\"tool_choice\":\"none\"",
        "\"text\":{\"format\":{\"type\":\"json_object\"}}",
        "\"text\":{\"verbosity\":\"low\"}",
        "\"reasoning\":{\"effort\":\"low\"}",
        "\"service_tier\":\"default\"",
        "\"prompt_cache_key\":\"k\"",
        "\"instructions\":\"S\"",
    };
    static const char *const do_not[] = {
        "\"temperature\":0", "\"max_output_tokens\":5", "\"user\":\"u\"",
        "\"store\":false",   "\"metadata\":{}",         "\"top_p\":1",
    };
    uint64_t roots[ARRAY_LEN(splits) + 1];
    char body[400];
    (void)state;
    roots[0] = response("{\"model\":\"m\",\"input\":\"Hi\"}").chain[0].hash;
    for (size_t i = 0; i < ARRAY_LEN(splits); i++) {
        snprintf(body, sizeof(body), RESPONSE("%s"), splits[i]);
        roots[i + 1] = response(body).chain[0].hash;
        for (size_t j = 0; j <= i; j++) {
            assert_true(roots[j] != roots[i + 1]);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(do_not); i++) {
        snprintf(body, sizeof(body), RESPONSE("%s"), do_not[i]);
        if (response(body).chain[0].hash != roots[0]) {
            fail_msg("%s changed the root", do_not[i]);
        }
    }
}

static void embeddings_of_one_model_have_one_root(void **state)
{
    (void)state;
    struct prompt a = embedding(EMBEDDING("\"a\""));
    struct prompt b = embedding(EMBEDDING("[\"b\",\"c\"]"));
    struct prompt other = embedding("{\"model\":\"n\",\"input\":\"a\"}");
    assert_int_equal(a.chain_len, 1);
    assert_int_equal(b.chain_len, 1);
    assert_int_equal(b.chain[0].bytes, 0);
    assert_true(a.chain[0].hash == b.chain[0].hash);
    assert_true(a.chain[0].hash != other.chain[0].hash);
}

/* ---- facts ---- */

static void the_facts_of_a_response_are_read(void **state)
{
    (void)state;
    struct prompt p =
        response("{\"model\":\"gpt-5.4-mini\",\"instructions\":\"S\",\"input\":[" ITEM(
            "U") ","
                 "{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"o\"}],"
                 "\"max_output_tokens\":200,\"temperature\":0,\"service_tier\":\"flex\"}");
    assert_string_equal(p.model, "gpt-5.4-mini");
    assert_int_equal(p.messages, 3);
    assert_int_equal(p.inputs, 0);
    assert_true(p.text_only);
    assert_true(p.has_output_limit);
    assert_int_equal(p.output_limit, 200);
    assert_int_equal(p.choices, 1);
    assert_true(p.deterministic);
    assert_true(p.asks_other_tier);
    assert_true(response(RESPONSE("\"stream\":true")).stream);
    assert_false(response(RESPONSE("\"top_p\":1")).deterministic);
    assert_false(response(RESPONSE("\"top_p\":1")).has_output_limit);
}

static void an_embedding_writes_nothing_and_can_always_be_reused(void **state)
{
    static const struct {
        const char *input;
        unsigned inputs;
    } rows[] = {
        {"\"a\"", 1},       {"[\"a\",\"b\",\"a\"]", 3}, {"[1,2,3]", 1},
        {"[[1],[2,3]]", 2}, {"[\"a\",[2,3]]", 2},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char body[100];
        snprintf(body, sizeof(body), EMBEDDING("%s"), rows[i].input);
        struct prompt p = embedding(body);
        assert_int_equal(p.inputs, rows[i].inputs);
        assert_true(p.has_output_limit);
        assert_int_equal(p.output_limit, 0);
        assert_int_equal(p.choices, 1);
        assert_true(p.deterministic);
        assert_true(prompt_tokens_bound(&p) >= strlen(body));
        assert_true(prompt_tokens_bound(&p) < strlen(body) + 200);
    }
}

static void an_embedding_has_2048_inputs_at_most(void **state)
{
    (void)state;
    for (unsigned n = 2048; n <= 2049; n++) {
        _cleanup_(buf_fini) struct buf body;
        struct prompt p;
        struct err err = {0};
        buf_init(&body, 1 << 16);
        buf_adds(&body, "{\"model\":\"m\",\"input\":[");
        for (unsigned i = 0; i < n; i++) {
            buf_adds(&body, i ? ",\"x\"" : "\"x\"");
        }
        buf_adds(&body, "]}");
        int rc = prompt_read(PROMPT_EMBEDDINGS, buf_span(&body), PROMPT_L1, &p, &err);
        assert_int_equal(rc, n == 2048 ? 0 : -ERR_INPUT);
    }
}

static void responses_that_are_not_text_have_no_bound(void **state)
{
    static const char *const text[] = {
        ITEM("x"),
        "{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"x\"}]}",
        "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\","
        "\"text\":\"x\"},{\"type\":\"refusal\",\"refusal\":\"x\"}]}",
        "{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"}",
        "{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"x\"}",
    };
    static const char *const other[] = {
        "{\"role\":\"user\",\"content\":[{\"type\":\"input_image\",\"image_url\":\"u\"}]}",
        "{\"role\":\"user\",\"content\":[{\"type\":\"input_file\",\"file_id\":\"f\"}]}",
        "{\"role\":\"user\",\"content\":[1]}",
        "{\"type\":\"function_call_output\",\"output\":[{\"type\":\"input_image\"}]}",
        "{\"type\":\"reasoning\",\"encrypted_content\":\"x\"}",
        "{\"type\":\"something_new\"}",
    };
    char body[400];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(text); i++) {
        snprintf(body, sizeof(body), "{\"model\":\"m\",\"input\":[%s]}", text[i]);
        struct prompt p = response(body);
        assert_true(p.text_only);
        assert_true(prompt_tokens_bound(&p) >= strlen(body));
    }
    for (size_t i = 0; i < ARRAY_LEN(other); i++) {
        snprintf(body, sizeof(body), "{\"model\":\"m\",\"input\":[%s]}", other[i]);
        struct prompt p = response(body);
        assert_false(p.text_only);
        assert_true(prompt_tokens_bound(&p) == UINT64_MAX);
    }
}

/* ---- what is refused ---- */

static const struct {
    enum prompt_path path;
    const char *body, *msg;
} wrong[] = {
    {PROMPT_RESPONSES, "[]", "body must be a JSON object"},
    {PROMPT_RESPONSES, "{\"input\":\"x\"}", "body has no model"},
    {PROMPT_RESPONSES, "{\"model\":\"m\"}", "body has no input"},
    {PROMPT_RESPONSES, "{\"model\":\"m\",\"messages\":[]}", "body has no input"},
    {PROMPT_RESPONSES, "{\"model\":\"m\",\"input\":7}",
     "body.input is 7: it must be a text or a list of items"},
    {PROMPT_RESPONSES, "{\"model\":\"m\",\"input\":[]}",
     "body.input is []: it must be a list of at least one item"},
    {PROMPT_RESPONSES, "{\"model\":\"m\",\"input\":[" ITEM("x") ",7]}",
     "body.input[1] is 7: it must be an object"},
    {PROMPT_RESPONSES, "{\"model\":\"m\",\"input\":[{\"content\":\"x\"}]}",
     "body.input[0] is {\"content\":\"x\"}: it must be an object with a \"role\""},
    {PROMPT_RESPONSES,
     "{\"model\":\"m\",\"input\":[{\"type\":\"item_reference\",\"id\":\"x\"}]}",
     "body.input[0] is {\"type\":\"item_reference\",\"id\":\"x\"}: it must be written out"},
    {PROMPT_RESPONSES, RESPONSE("\"instructions\":[]"),
     "body.instructions is []: it must be a text"},
    {PROMPT_RESPONSES, RESPONSE("\"previous_response_id\":\"resp_1\""),
     "body.previous_response_id names what is kept at the provider"},
    {PROMPT_RESPONSES, RESPONSE("\"conversation\":{\"id\":\"c\"}"),
     "body.conversation names what is kept at the provider"},
    {PROMPT_RESPONSES, RESPONSE("\"prompt\":{\"id\":\"p\"}"),
     "body.prompt names what is kept at the provider"},
    {PROMPT_RESPONSES, RESPONSE("\"background\":true"),
     "body.background is true: it must be false or left out"},
    {PROMPT_RESPONSES, RESPONSE("\"background\":1"),
     "body.background is 1: it must be true or false"},
    {PROMPT_RESPONSES, RESPONSE("\"prompt_cache_options\":{\"prewarm\":true}"),
     "body.prompt_cache_options is {\"prewarm\":true}: it must be without \"prewarm\""},
    {PROMPT_RESPONSES, RESPONSE("\"tools\":7"), "body.tools is 7: it must be a list"},
    {PROMPT_RESPONSES,
     RESPONSE("\"tools\":[{\"type\":\"function\"},{\"type\":\"web_search\"}]"),
     "body.tools[1] is {\"type\":\"web_search\"}: it must be a tool of type \"function\""},
    {PROMPT_RESPONSES, RESPONSE("\"max_output_tokens\":-1"),
     "body.max_output_tokens is -1: it must be a whole number"},
    {PROMPT_RESPONSES, RESPONSE("\"temperature\":3"),
     "body.temperature is 3: it must be"},
    {PROMPT_EMBEDDINGS, "{\"input\":\"x\"}", "body has no model"},
    {PROMPT_EMBEDDINGS, "{\"model\":\"m\"}", "body has no input"},
    {PROMPT_EMBEDDINGS, EMBEDDING("\"\""),
     "body.input is \"\": it must be a text that is"},
    {PROMPT_EMBEDDINGS, EMBEDDING("[]"), "body.input is []: it must be a text that is"},
    {PROMPT_EMBEDDINGS, EMBEDDING("null"), "body.input is null: it must be a text"},
    {PROMPT_EMBEDDINGS, EMBEDDING("{}"), "body.input is {}: it must be a text"},
    {PROMPT_EMBEDDINGS, EMBEDDING("[\"a\",\"\"]"),
     "body.input[1] is \"\": it must be a text that is not empty"},
    {PROMPT_EMBEDDINGS, EMBEDDING("[\"a\",null]"), "body.input[1] is null: it must be"},
    {PROMPT_EMBEDDINGS, EMBEDDING("[1,-2]"), "body.input[0] is 1: it must be a text"},
    {PROMPT_EMBEDDINGS, EMBEDDING("[[1],[]]"), "body.input[1] is []: it must be a text"},
    {PROMPT_EMBEDDINGS, EMBEDDING("[[1.5]]"),
     "body.input[0] is [1.5]: it must be a text"},
};

static void what_is_wrong_with_a_request_is_said_with_its_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct prompt p;
        struct err err = {0};
        int rc = prompt_read(wrong[i].path, span_str(wrong[i].body), PROMPT_L1, &p, &err);
        if (rc != -ERR_INPUT ||
            strncmp(err.msg, wrong[i].msg, strlen(wrong[i].msg)) != 0 || !err.hint[0]) {
            fail_msg("%s: %d '%s' hint '%s'", wrong[i].body, rc, err.msg, err.hint);
        }
    }
}

static void state_that_is_null_is_none(void **state)
{
    (void)state;
    response(
        RESPONSE("\"previous_response_id\":null,\"conversation\":null,\"prompt\":null,"
                 "\"background\":null,\"instructions\":null,\"tools\":null,"
                 "\"prompt_cache_options\":{\"prewarm\":false}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_known_by_its_name_however_it_is_spelled),
        cmocka_unit_test(one_body_on_two_paths_is_two_questions),
        cmocka_unit_test(a_digest_is_the_sha_256_of_the_canonical_text),
        cmocka_unit_test(questions_that_differ_in_meaning_have_different_digests),
        cmocka_unit_test(instructions_are_the_first_message_of_a_response),
        cmocka_unit_test(without_instructions_the_first_item_is_the_beginning),
        cmocka_unit_test(a_chain_of_items_has_eight_links_at_most),
        cmocka_unit_test(what_splits_a_providers_cache_is_in_the_root),
        cmocka_unit_test(embeddings_of_one_model_have_one_root),
        cmocka_unit_test(the_facts_of_a_response_are_read),
        cmocka_unit_test(an_embedding_writes_nothing_and_can_always_be_reused),
        cmocka_unit_test(an_embedding_has_2048_inputs_at_most),
        cmocka_unit_test(responses_that_are_not_text_have_no_bound),
        cmocka_unit_test(what_is_wrong_with_a_request_is_said_with_its_field),
        cmocka_unit_test(state_that_is_null_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
