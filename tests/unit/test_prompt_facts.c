/* What admission and planning read in a request: its facts, and the beginning it shares. */
#include "core/prompt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/ask.h"

/* ---- the chain ---- */

#define CHAT(messages) "{\"model\":\"m\",\"messages\":[" messages "]}"
#define SYSTEM(text)   "{\"role\":\"system\",\"content\":\"" text "\"}"
#define USER(text)     "{\"role\":\"user\",\"content\":\"" text "\"}"

static uint64_t root_of(const char *body)
{
    return read_prompt(body).chain[0].hash;
}

static void calls_with_the_same_first_message_meet_in_the_root(void **state)
{
    (void)state;
    struct prompt a = read_prompt(CHAT(SYSTEM("S") "," USER("one")));
    struct prompt b =
        read_prompt(CHAT("{ \"content\":\"S\",\"role\":\"system\" }," USER("two")));
    assert_int_equal(a.chain_len, 1);
    assert_int_equal(b.chain_len, 1);
    assert_true(a.chain[0].hash == b.chain[0].hash);
    assert_int_equal(a.chain[0].bytes, strlen("{\"content\":\"S\",\"role\":\"system\"}"));
    assert_false(same(a.canonical, b.canonical));
    assert_true(a.chain[0].hash != root_of(CHAT(SYSTEM("T") "," USER("one"))));
}

static void a_request_of_one_message_has_a_root_of_its_settings(void **state)
{
    (void)state;
    struct prompt a = read_prompt(CHAT(USER("one"))), b = read_prompt(CHAT(USER("two")));
    assert_int_equal(a.chain_len, 1);
    assert_int_equal(a.chain[0].bytes, 0);
    assert_true(a.chain[0].hash == b.chain[0].hash);
    assert_true(a.chain[0].hash != root_of(CHAT(USER("one") "," USER("two"))));
    assert_true(a.chain[0].hash !=
                root_of("{\"model\":\"n\",\"messages\":[" USER("one") "]}"));
}

static void a_longer_conversation_shares_the_links_of_its_beginning(void **state)
{
    (void)state;
    struct prompt two = read_prompt(CHAT(SYSTEM("S") "," USER("1")));
    struct prompt three = read_prompt(CHAT(SYSTEM("S") "," USER("1") "," USER("2")));
    struct prompt other = read_prompt(CHAT(SYSTEM("S") "," USER("x") "," USER("2")));
    assert_int_equal(three.chain_len, 2);
    assert_true(three.chain[0].hash == two.chain[0].hash);
    assert_true(three.chain[0].hash == other.chain[0].hash);
    assert_true(three.chain[1].hash != other.chain[1].hash);
    assert_true(three.chain[1].bytes > three.chain[0].bytes);
    assert_true(three.chain[1].hash != three.chain[0].hash);
}

static void a_chain_has_eight_links_at_most_and_none_for_the_last_message(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 20; n++) {
        _cleanup_(buf_fini) struct buf body;
        buf_init(&body, 1 << 16);
        buf_adds(&body, "{\"model\":\"m\",\"messages\":[");
        for (unsigned i = 0; i < n; i++) {
            buf_addf(&body, "%s{\"role\":\"user\",\"content\":\"%u\"}", i ? "," : "", i);
        }
        buf_adds(&body, "]}");
        struct prompt p = read_at(buf_span(&body), PROMPT_L1);
        unsigned want = n == 1 ? 1 : MIN_OF(n - 1, (unsigned)PROMPT_CHAIN_MAX);
        assert_int_equal(p.chain_len, want);
        assert_int_equal(p.messages, n);
    }
}

static void what_splits_a_providers_cache_is_in_the_root(void **state)
{
    static const char *const splits[] = {
        "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]",
        "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"a\":1,\"b\":1}}}]",
        "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"b\":1,\"a\":1}}}]",
        "\"tool_choice\":\"none\"",
        "\"functions\":[{\"name\":\"f\"}]",
        "\"function_call\":\"auto\"",
        "\"response_format\":{\"type\":\"json_object\"}",
        "\"reasoning_effort\":\"low\"",
        "\"reasoning_effort\":\"high\"",
        "\"verbosity\":\"low\"",
        "\"service_tier\":\"default\"",
        "\"prompt_cache_key\":\"k\"",
    };
    static const char *const do_not[] = {
        "\"temperature\":0", "\"max_tokens\":5", "\"seed\":1",
        "\"user\":\"u\"",    "\"metadata\":{}",  "\"stop\":\"x\"",
        "\"n\":2",           "\"store\":true",   "\"top_p\":1",
    };
    uint64_t roots[ARRAY_LEN(splits) + 1];
    char body[400];
    (void)state;
    roots[0] = root_of(BARE);
    for (size_t i = 0; i < ARRAY_LEN(splits); i++) {
        snprintf(body, sizeof(body), WITH("%s"), splits[i]);
        roots[i + 1] = root_of(body);
        for (size_t j = 0; j <= i; j++) {
            assert_true(roots[j] != roots[i + 1]);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(do_not); i++) {
        snprintf(body, sizeof(body), WITH("%s"), do_not[i]);
        if (root_of(body) != roots[0]) {
            fail_msg("%s changed the root", do_not[i]);
        }
    }
}

static void text_before_the_messages_counts_into_a_links_length(void **state)
{
    static const char tools[] = "[{\"function\":{\"name\":\"f\"},\"type\":\"function\"}]";
    char body[300];
    (void)state;
    snprintf(body, sizeof(body), WITH("\"tools\":%s"), tools);
    assert_int_equal(read_prompt(body).chain[0].bytes, strlen(tools));
}

/* ---- facts ---- */

static void what_admission_needs_is_read(void **state)
{
    (void)state;
    struct prompt p = read_prompt(
        "{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"system\",\"content\":\"S\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"U\"}]}],\"n\":3,"
        "\"max_completion_tokens\":2e2,\"temperature\":0.0,\"service_tier\":\"flex\"}");
    assert_string_equal(p.model, "gpt-4o-mini");
    assert_int_equal(p.messages, 2);
    assert_true(p.text_only);
    assert_true(p.has_output_limit);
    assert_int_equal(p.output_limit, 200);
    assert_int_equal(p.choices, 3);
    assert_true(p.deterministic);
    assert_true(p.asks_other_tier);
    assert_false(p.stream);
}

static void fields_that_are_null_are_as_if_left_out(void **state)
{
    (void)state;
    struct prompt p = read_prompt(WITH(
        "\"max_tokens\":null,\"max_completion_tokens\":null,\"n\":null,\"temperature\":null,"
        "\"stream\":null,\"service_tier\":null"));
    assert_false(p.has_output_limit);
    assert_int_equal(p.choices, 1);
    assert_false(p.deterministic);
    assert_false(p.stream);
    assert_false(p.asks_other_tier);
    assert_true(p.text_only);
}

static void the_higher_of_two_limits_bounds_the_bill(void **state)
{
    (void)state;
    assert_int_equal(
        read_prompt(WITH("\"max_tokens\":5,\"max_completion_tokens\":9")).output_limit,
        9);
    assert_int_equal(
        read_prompt(WITH("\"max_completion_tokens\":5,\"max_tokens\":9")).output_limit,
        9);
    assert_int_equal(
        read_prompt(WITH("\"max_tokens\":9,\"max_completion_tokens\":5")).output_limit,
        9);
    assert_int_equal(read_prompt(WITH("\"max_tokens\":0")).output_limit, 0);
    assert_true(read_prompt(WITH("\"max_tokens\":0")).has_output_limit);
}

static void only_a_temperature_of_exactly_zero_is_deterministic(void **state)
{
    static const struct {
        const char *value;
        bool deterministic;
    } cases[] = {
        {"0", true},       {"0.0", true},
        {"-0", true},      {"0e5", true},
        {"1e-300", false}, {"1", false},
        {"2", false},      {"2.0", false},
        {"20e-1", false},  {"1.99999999999999999999", false},
        {"0.7", false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char body[200];
        snprintf(body, sizeof(body), WITH("\"temperature\":%s"), cases[i].value);
        assert_int_equal(read_prompt(body).deterministic, cases[i].deterministic);
    }
}

static void prompts_that_are_not_text_have_no_bound(void **state)
{
    static const char *const text[] = {
        BARE,
        ASK("\"x\""),
        ASK("null"),
        ASK("[{\"type\":\"text\",\"text\":\"x\"}]"),
        ASK("[{\"type\":\"refusal\",\"refusal\":\"x\"}]"),
        WITH("\"web_search_options\":null"),
        CHAT("{\"role\":\"assistant\",\"audio\":null}"),
    };
    static const char *const other[] = {
        ASK("[{\"type\":\"image_url\",\"image_url\":{\"url\":\"u\"}}]"),
        ASK("[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"input_audio\"}]"),
        ASK("[{\"type\":\"file\"}]"),
        ASK("[{}]"),
        ASK("[1]"),
        WITH("\"web_search_options\":{}"),
        CHAT("{\"role\":\"assistant\",\"audio\":{\"id\":\"a\"}}"),
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(text); i++) {
        struct prompt p = read_prompt(text[i]);
        assert_true(p.text_only);
        assert_true(prompt_tokens_bound(&p) >= strlen(text[i]));
        assert_true(prompt_tokens_bound(&p) < strlen(text[i]) + 200);
    }
    for (size_t i = 0; i < ARRAY_LEN(other); i++) {
        struct prompt p = read_prompt(other[i]);
        assert_false(p.text_only);
        assert_true(prompt_tokens_bound(&p) == UINT64_MAX);
    }
}

static void other_service_tiers_are_told(void **state)
{
    (void)state;
    assert_false(read_prompt(WITH("\"service_tier\":\"auto\"")).asks_other_tier);
    assert_false(read_prompt(WITH("\"service_tier\":\"default\"")).asks_other_tier);
    assert_true(read_prompt(WITH("\"service_tier\":\"priority\"")).asks_other_tier);
    assert_true(read_prompt(WITH("\"stream\":true")).stream);
}

static const struct {
    const char *body, *msg;
} wrong[] = {
    {"[]", "body must be a JSON object"},
    {"\"x\"", "body must be a JSON object"},
    {"{\"messages\":[{\"role\":\"user\"}]}", "body has no model"},
    {"{\"model\":\"m\"}", "body has no messages"},
    {"{\"model\":7,\"messages\":[]}", "body.model is 7: it must be the name of a model"},
    {"{\"model\":null,\"messages\":[]}", "body.model is null: it must be"},
    {"{\"model\":\"\"}", "body.model is \"\": it must be"},
    {"{\"model\":\"a b\"}",
     "body.model is \"a b\": it must be the name of a model, without blanks"},
    {"{\"model\":\"a\\u0000b\"}", "body.model is \"a\\u0000b\": it must be"},
    {"{\"model\":\"12345678901234567890123456789012345678901234567890123456789012345\"}",
     "body.model is \"123456789012345678901234567890123456789...: it must be the name of a model, "
     "1 to 64 bytes"},
    {"{\"model\":\"m\",\"messages\":\"hi\"}",
     "body.messages is \"hi\": it must be a list"},
    {"{\"model\":\"m\",\"messages\":[]}",
     "body.messages is []: it must be a list of at least one"},
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\"},7]}",
     "body.messages[1] is 7: it must be"},
    {"{\"model\":\"m\",\"messages\":[{\"content\":\"x\"}]}",
     "body.messages[0] is {\"content\":\"x\"}: it must be an object with a \"role\""},
    {"{\"model\":\"m\",\"messages\":[{\"role\":null}]}",
     "body.messages[0] is {\"role\":null}: it"},
    {WITH("\"max_tokens\":-5"),
     "body.max_tokens is -5: it must be a whole number from 0"},
    {WITH("\"max_tokens\":1.5"), "body.max_tokens is 1.5: it must be a whole number"},
    {WITH("\"max_tokens\":\"5\""), "body.max_tokens is \"5\": it must be a whole number"},
    {WITH("\"max_completion_tokens\":2147483648"),
     "body.max_completion_tokens is 2147483648: it"},
    {WITH("\"max_completion_tokens\":1e400"),
     "body.max_completion_tokens is 1e400: it must be"},
    {WITH("\"n\":0"), "body.n is 0: it must be a whole number from 1 to 128"},
    {WITH("\"n\":129"), "body.n is 129: it must be a whole number from 1 to 128"},
    {WITH("\"temperature\":-0.5"),
     "body.temperature is -0.5: it must be a number from 0 to 2"},
    {WITH("\"temperature\":2.0000000000000000001"), "body.temperature is 2.0000"},
    {WITH("\"temperature\":10"),
     "body.temperature is 10: it must be a number from 0 to 2"},
    {WITH("\"temperature\":\"hot\""), "body.temperature is \"hot\": it must be a number"},
    {WITH("\"stream\":\"yes\""), "body.stream is \"yes\": it must be true or false"},
    {WITH("\"service_tier\":1"), "body.service_tier is 1: it must be a text"},
    {WITH("\"seed\":1e400"), "body.seed holds a number no provider can use: 1e400"},
    {WITH("\"seed\":[{\"a\":-1e-402}]"),
     "body.seed holds a number no provider can use: -1e-402"},
    {WITH("\"seed\":1e99999999999999999999"),
     "body.seed holds a number no provider can use: 1e999"},
};

static void what_is_wrong_with_a_request_is_said_with_its_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct prompt p;
        struct err err = {0};
        int rc = prompt_read(PROMPT_CHAT, span_str(wrong[i].body), PROMPT_L1, &p, &err);
        if (rc != -ERR_INPUT ||
            strncmp(err.msg, wrong[i].msg, strlen(wrong[i].msg)) != 0 || !err.hint[0]) {
            fail_msg("%s: %d '%s' hint '%s'", wrong[i].body, rc, err.msg, err.hint);
        }
    }
}

static void numbers_up_to_1e400_are_taken(void **state)
{
    (void)state;
    read_prompt(WITH("\"seed\":9.99e399"));
    read_prompt(WITH("\"seed\":1e-400"));
    read_prompt(WITH("\"seed\":0e99999"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_with_the_same_first_message_meet_in_the_root),
        cmocka_unit_test(a_request_of_one_message_has_a_root_of_its_settings),
        cmocka_unit_test(a_longer_conversation_shares_the_links_of_its_beginning),
        cmocka_unit_test(a_chain_has_eight_links_at_most_and_none_for_the_last_message),
        cmocka_unit_test(what_splits_a_providers_cache_is_in_the_root),
        cmocka_unit_test(text_before_the_messages_counts_into_a_links_length),
        cmocka_unit_test(what_admission_needs_is_read),
        cmocka_unit_test(fields_that_are_null_are_as_if_left_out),
        cmocka_unit_test(the_higher_of_two_limits_bounds_the_bill),
        cmocka_unit_test(only_a_temperature_of_exactly_zero_is_deterministic),
        cmocka_unit_test(prompts_that_are_not_text_have_no_bound),
        cmocka_unit_test(other_service_tiers_are_told),
        cmocka_unit_test(what_is_wrong_with_a_request_is_said_with_its_field),
        cmocka_unit_test(numbers_up_to_1e400_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
