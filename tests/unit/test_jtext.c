/* Text from outside: what is JSON gets in, everything else is refused with its place and a remedy. */
#include "core/jtext.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* Checks a copy of exactly that size, so that a read past the end is seen. */
static int check(struct span text, struct err *err)
{
    char *copy = malloc(text.n ? text.n : 1);
    assert_non_null(copy);
    memcpy(copy, text.n ? text.p : "", text.n);
    int rc = jtext_check(span_of(copy, text.n), err);
    free(copy);
    return rc;
}

static struct span get(struct span object, const char *name)
{
    struct span value = SPAN_NONE;
    assert_true(jtext_get(object, name, &value));
    return value;
}

static void what_json_allows_is_accepted(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "0",
        "-0",
        "\"\"",
        "true",
        "false",
        "null",
        " \t\r\n{ \"a\" : [ 1 , 2 ] } \n",
        "[1,-1,0.5,1e3,1E+3,1e-3,123456789012345678901234567890,1e400]",
        "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00\\u0000\"]",
        "[\"\xc2\x80\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"]",
        "{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":1}}",
        "{\"\":1,\"A\":2,\"a\":3}",
        "\"\x7f\"",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct err err = {0};
        if (check(span_str(texts[i]), &err) < 0) {
            fail_msg("%s: %s", texts[i], err.msg);
        }
    }
}

static const struct {
    const char *text;
    size_t n; /* 0: strlen */
    const char *msg, *hint;
} mistakes[] = {
    {"", 0, "column 1: there is nothing", "empty line"},
    {"  ", 0, "column 1: there is nothing", "empty line"},
    {"\xef\xbb\xbf{}", 0, "column 1: the text begins with a byte-order mark",
     "without one"},
    {"\xff\xfe{\0}\0", 6, "column 1: the text is UTF-16", "iconv -f UTF-16"},
    {"{\0\"", 3, "column 2: a NUL byte", "iconv -f UTF-16"},
    {"{\"a\":\"x\0y\"}", 11, "column 8: a NUL byte", "not text"},
    {"\"\0\"", 3, "column 2: a NUL byte", "not text"},
    {"{} \0", 4, "column 4: a NUL byte", "not text"},
    {"{\"a\":\"x\ty\"}", 0, "column 8: a control character inside a string", "\\t"},
    {"{\"a\":\"x\x1f\"}", 0, "column 8: a control character inside a string", "\\n"},
    {"[\"caf\xe9\"]", 0, "column 6: bytes that are not UTF-8", "ISO-8859-1"},
    {"[\xe9]", 0, "column 2: bytes that are not UTF-8", "ISO-8859-1"},
    {"[\"\xc0\xaf\"]", 0, "column 3: bytes that are not UTF-8", "iconv"}, /* overlong */
    {"[\"\xe0\x9f\xbf\"]", 0, "column 3: bytes that are not UTF-8",
     "iconv"}, /* overlong */
    {"[\"\xed\xa0\x80\"]", 0, "column 3: bytes that are not UTF-8",
     "iconv"}, /* surrogate */
    {"[\"\xf4\x90\x80\x80\"]", 0, "column 3: bytes that are not UTF-8",
     "iconv"}, /* > 10FFFF */
    {"[\"\xf0\x9f\x98\"]", 0, "column 3: bytes that are not UTF-8", "iconv"}, /* cut */
    {"[\"\xf0\x9f\x98", 0, "column 3: bytes that are not UTF-8", "iconv"},
    {"{} \xff", 0, "column 4: bytes that are not UTF-8", "iconv"},
    {"[\"\\ud800\"]", 0, "column 3: half of a surrogate pair", "cut"},
    {"[\"\\udc00\"]", 0, "column 3: half of a surrogate pair", "cut"},
    {"[\"\\ud800x\"]", 0, "column 3: half of a surrogate pair", "cut"},
    {"[\"\\ud800\\n\"]", 0, "column 3: half of a surrogate pair", "cut"},
    {"[\"\\ud800\\ud800\"]", 0, "column 3: half of a surrogate pair", "cut"},
    {"[\"\\ud800\\u00\"]", 0, "column 3: half of a surrogate pair", "cut"},
    {"[\"\\x41\"]", 0, "column 3: an unknown escape in a string", "backslash is \\\\"},
    {"[\"\\u12g4\"]", 0, "column 3: an unknown escape in a string", "four hex digits"},
    {"[\"\\u12", 0, "column 3: an unknown escape in a string", "four hex digits"},
    {"{\"a\":\"x}", 0, "column 6: a string has no end", "cut off"},
    {"\"\\", 0, "column 2: a string has no end", "cut off"},
    {"\"\\\"", 0, "column 1: a string has no end", "cut off"},
    {"[01]", 0, "column 2: a malformed number", "leading zero"},
    {"[+1]", 0, "column 2: a malformed number", "no plus"},
    {"[.5]", 0, "column 2: a malformed number", "0.5"},
    {"[1.]", 0, "column 2: a malformed number", "0.5"},
    {"[1e]", 0, "column 2: a malformed number", "2e3"},
    {"[1e+]", 0, "column 2: a malformed number", "2e3"},
    {"[1.2.3]", 0, "column 2: a malformed number", "0.5"},
    {"[-]", 0, "column 2: a malformed number", "0.5"},
    {"[--1]", 0, "column 2: a malformed number", "0.5"},
    {"[0x10]", 0, "column 2: a malformed number", "0.5"},
    {"[NaN]", 0, "column 2: a malformed number", "no NaN"},
    {"[Infinity]", 0, "column 2: a malformed number", "no NaN"},
    {"-", 0, "column 1: a malformed number", "0.5"},
    {"{\"a\":1", 0, "column 7: expected ',' or '}', found the end", "cut off"},
    {"[", 0, "column 2: expected a value, found the end", "cut off"},
    {"{", 0, "column 2: expected a name in quotes or '}', found the end", "cut off"},
    {"{\"a\"", 0, "column 5: expected ':' after the name, found the end", "cut off"},
    {"{\"a\":", 0, "column 6: expected a value, found the end", "cut off"},
    {"{\"a\" 1}", 0, "column 6: expected ':' after the name, found '1'",
     "one JSON object"},
    {"{'a':1}", 0, "column 2: expected a name in quotes or '}', found '''",
     "one JSON object"},
    {"{a:1}", 0, "column 2: expected a name in quotes or '}', found 'a'",
     "one JSON object"},
    {"{\"a\":1,}", 0, "column 8: expected a name in quotes, found '}'",
     "one JSON object"},
    {"{,}", 0, "column 2: expected a name in quotes or '}', found ','",
     "one JSON object"},
    {"[1,]", 0, "column 4: expected a value, found ']'", "one JSON object"},
    {"[1 2]", 0, "column 4: expected ',' or ']', found '2'", "one JSON object"},
    {"[1}", 0, "column 3: expected ',' or ']', found '}'", "one JSON object"},
    {"[\"a\" \"b\"]", 0, "column 6: expected ',' or ']', found '\"'", "one JSON object"},
    {"]", 0, "column 1: expected a value, found ']'", "one JSON object"},
    {"nul", 0, "column 1: expected a value, found 'n'", "one JSON object"},
    {"True", 0, "column 1: expected a value, found 'T'", "one JSON object"},
    {"[\x01]", 0, "column 2: expected a value, found byte 0x01", "one JSON object"},
    {"[\xc3\xa9]", 0, "column 2: expected a value, found '\xc3\xa9'", "one JSON object"},
    {"{} {}", 0, "column 4: more text after the end of the value", "line of its own"},
    {"1 1", 0, "column 3: more text after the end of the value", "line of its own"},
    {"nullnull", 0, "column 5: more text after the end of the value", "line of its own"},
    {"{\"a\":1,\"a\":2}", 0, "column 8: the name \"a\" stands twice in one object",
     "keep one"},
    {"{\"a\":1,\"\\u0061\":2}", 0, "column 8: the name \"\\u0061\" stands twice",
     "keep one"},
    {"[{\"x\":{\"\xc3\xa9\":1,\"\\u00e9\":2}}]", 0, "column 15: the name", "keep one"},
    {"{\"a\":1,\"b\":2,\"a\":3}", 0, "column 14: the name \"a\" stands twice",
     "keep one"},
    {"{\"\":1,\"\":2}", 0, "column 7: the name \"\" stands twice in one object",
     "keep one"},
};

static void every_mistake_is_named_with_its_column_and_a_remedy(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
        struct err err = {0};
        size_t n = mistakes[i].n ? mistakes[i].n : strlen(mistakes[i].text);
        int rc = check(span_of(mistakes[i].text, n), &err);
        if (rc != -ERR_INPUT ||
            strncmp(err.msg, mistakes[i].msg, strlen(mistakes[i].msg)) != 0 ||
            !strstr(err.hint, mistakes[i].hint)) {
            fail_msg("%s: %d '%s' hint '%s'", mistakes[i].text, rc, err.msg, err.hint);
        }
    }
}

static void sixty_four_levels_are_accepted_and_one_more_is_not(void **state)
{
    char text[400];
    struct err err = {0};
    (void)state;
    for (int levels = 60; levels <= 70; levels++) {
        memset(text, '[', (size_t)levels);
        memset(text + levels, ']', (size_t)levels);
        int rc = check(span_of(text, 2 * (size_t)levels), &err);
        assert_int_equal(rc, levels <= JTEXT_DEPTH_MAX ? 0 : -ERR_INPUT);
    }
    assert_string_equal(err.msg, "column 65: nested deeper than 64 levels");
}

/* 300,000 names: comparing each with each would take minutes. */
static void objects_with_very_many_names_are_checked_quickly(void **state)
{
    enum { NAMES = 300000 };
    _cleanup_(buf_fini) struct buf text;
    struct err err = {0};
    (void)state;
    buf_init(&text, 16 << 20);
    buf_addc(&text, '{');
    for (int i = 0; i < NAMES; i++) {
        buf_addf(&text, "%s\"name %d\":%d", i ? "," : "", i, i);
    }
    size_t end = text.n;
    buf_adds(&text, "}");
    assert_int_equal(check(buf_span(&text), &err), 0);
    text.n = end;
    buf_adds(&text, ",\"n\\u0061me 77\":1}");
    assert_int_equal(check(buf_span(&text), &err), -ERR_INPUT);
    assert_non_null(strstr(err.msg, "\"n\\u0061me 77\" stands twice"));
}

/* ---- against a parser that others wrote ---- */

static uint64_t next_number(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1dULL;
}

static bool other_parser_accepts(struct span text)
{
    json_error_t why;
    json_t *json = json_loadb(
        text.p, text.n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    json_decref(json);
    return json != NULL;
}

/* What the two may differ in: jansson refuses numbers that a double cannot hold. */
static bool has_long_number(struct span text)
{
    size_t digits = 0;
    for (size_t i = 0; i < text.n; i++) {
        bool part = (text.p[i] >= '0' && text.p[i] <= '9') || text.p[i] == 'e' ||
                    text.p[i] == 'E';
        digits = part ? digits + 1 : 0;
        if (digits > 3) {
            return true;
        }
    }
    return false;
}

static void mutate(char *text, size_t *n, uint64_t *seed)
{
    static const char alphabet[] =
        "{}[]\",:\\u0d8bn1-+.eE ttrue\t\n\xc3\xa9\xf0\x80\xed\xa0\x01";
    size_t at = next_number(seed) % *n;
    char c = alphabet[next_number(seed) % (sizeof(alphabet) - 1)];
    switch (next_number(seed) % 3) {
    case 0: text[at] = c; break;
    case 1:
        memmove(text + at, text + at + 1, *n - at - 1);
        --*n;
        break;
    case 2:
        memmove(text + at + 1, text + at, *n - at);
        text[at] = c;
        ++*n;
        break;
    }
}

static void mutated_texts_get_the_verdict_of_another_parser(void **state)
{
    static const char start[] =
        "{\"a\":[1,-2.5e1,true,null,\"x\\u00e9\\ud83d\\ude00\\n\"],\"b\\\"c\":{\"\xc3\xa9\":\"\"},\"d\":{}}";
    uint64_t seed = 20261121;
    int accepted = 0;
    (void)state;
    for (int round = 0; round < 200000; round++) {
        char text[sizeof(start) + 8];
        size_t n = sizeof(start) - 1;
        memcpy(text, start, n);
        for (uint64_t i = next_number(&seed) % 3 + 1; i > 0; i--) {
            mutate(text, &n, &seed);
        }
        struct span s = span_of(text, n);
        struct err err = {0};
        bool ours = check(s, &err) == 0;
        if (!has_long_number(s) && ours != other_parser_accepts(s)) {
            fail_msg("%.*s: %s", (int)n, text, ours ? "we accept it" : err.msg);
        }
        accepted += ours;
    }
    assert_true(accepted > 10000); /* both verdicts are common */
    assert_true(accepted < 190000);
}

/* ---- reading ---- */

static void members_and_elements_come_in_written_order(void **state)
{
    struct span text =
        SPAN_LIT(" { \"b\" : [ 1 , \"x,]\" ,{}, [ ] ] , \"a\":{\"q\":\"\\\"}\"}\n} ");
    struct span name, value, list;
    size_t at = 0;
    (void)state;
    assert_true(jtext_next(span_trim(text), &at, &name, &list));
    assert_true(span_is(name, "\"b\""));
    assert_true(jtext_next(span_trim(text), &at, &name, &value));
    assert_true(span_is(name, "\"a\""));
    assert_true(span_is(value, "{\"q\":\"\\\"}\"}"));
    assert_false(jtext_next(span_trim(text), &at, &name, &value));

    static const char *const elements[] = {"1", "\"x,]\"", "{}", "[ ]"};
    at = 0;
    for (size_t i = 0; i < ARRAY_LEN(elements); i++) {
        assert_true(jtext_next(list, &at, NULL, &value));
        assert_true(span_is(value, elements[i]));
    }
    assert_false(jtext_next(list, &at, NULL, &value));
    at = 0;
    assert_false(jtext_next(SPAN_LIT("[ ]"), &at, NULL, &value));
    assert_true(span_is(get(get(text, "a"), "q"), "\"\\\"}\""));
}

static void a_member_is_found_however_its_name_is_spelled(void **state)
{
    struct span text = SPAN_LIT("{\"mod\\u0065l\":1,\"models\":2,\"\\\\\":3}");
    struct span value;
    (void)state;
    assert_true(span_is(get(text, "model"), "1"));
    assert_true(span_is(get(text, "models"), "2"));
    assert_true(span_is(get(text, "\\"), "3"));
    assert_false(jtext_get(text, "mode", &value));
    assert_false(jtext_get(text, "", &value));
    assert_false(jtext_get(SPAN_LIT("[\"model\"]"), "model", &value));
    assert_false(jtext_get(SPAN_LIT("7"), "model", &value));
}

static void strings_lose_their_quotes_and_escapes(void **state)
{
    _cleanup_(buf_fini) struct buf text;
    (void)state;
    buf_init(&text, 100);
    assert_int_equal(
        jtext_string(
            SPAN_LIT(
                " \"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\uD83D\\ude00z\" "),
            &text),
        0);
    assert_string_equal(text.p, "a\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z");
    assert_int_equal(jtext_string(SPAN_LIT("12"), &text), -1);
    assert_true(jtext_is_string(SPAN_LIT("\"\\u0061b\""), "ab"));
    assert_true(jtext_is_string(SPAN_LIT("\"\""), ""));
    assert_false(jtext_is_string(SPAN_LIT("\"ab\""), "a"));
    assert_false(jtext_is_string(SPAN_LIT("\"a\""), "ab"));
    assert_false(jtext_is_string(SPAN_LIT("\"\\u0061\""), "ab"));
    assert_false(jtext_is_string(SPAN_LIT("12"), "12"));
    buf_fini(&text);
    buf_init(&text, 3);
    assert_int_equal(jtext_string(SPAN_LIT("\"four\""), &text), -1);
}

static void raw_strings_order_by_their_characters(void **state)
{
    (void)state;
    assert_true(jtext_cmp(SPAN_LIT("\"a\""), SPAN_LIT("\"b\"")) < 0);
    assert_true(jtext_cmp(SPAN_LIT("\"\\u0062\""), SPAN_LIT("\"a\"")) > 0);
    assert_true(jtext_cmp(SPAN_LIT("\"\\u0061\""), SPAN_LIT("\"a\"")) == 0);
    assert_true(jtext_cmp(SPAN_LIT("\"a\""), SPAN_LIT("\"\\u0061b\"")) < 0);
    assert_true(jtext_cmp(SPAN_LIT("\"z\""), SPAN_LIT("\"\xc3\xa9\"")) < 0);
    assert_true(jtext_cmp(SPAN_LIT("\"\\ud83d\\ude00\""), SPAN_LIT("\"\xef\xbf\xbd\"")) >
                0);
}

static void types_are_told_by_the_first_character(void **state)
{
    (void)state;
    assert_int_equal(jtext_type(SPAN_LIT(" {}")), JTEXT_OBJECT);
    assert_int_equal(jtext_type(SPAN_LIT("[]")), JTEXT_ARRAY);
    assert_int_equal(jtext_type(SPAN_LIT("\"\"")), JTEXT_STRING);
    assert_int_equal(jtext_type(SPAN_LIT("-1")), JTEXT_NUMBER);
    assert_int_equal(jtext_type(SPAN_LIT("true")), JTEXT_BOOL);
    assert_int_equal(jtext_type(SPAN_LIT("false")), JTEXT_BOOL);
    assert_int_equal(jtext_type(SPAN_LIT("null")), JTEXT_NULL);
    assert_int_equal(jtext_type(SPAN_LIT("  ")), JTEXT_NONE);
    assert_true(jtext_true(SPAN_LIT(" true ")));
    assert_false(jtext_true(SPAN_LIT("false")));
    assert_false(jtext_true(SPAN_LIT("\"true\"")));
}

static void whole_numbers_are_read_in_any_spelling_or_refused(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"0.000", true, 0},
        {"0e99999999999999999999", true, 0},
        {"1", true, 1},
        {"1.0", true, 1},
        {"1e0", true, 1},
        {"100e-2", true, 1},
        {"1.5e1", true, 15},
        {"200", true, 200},
        {"2E+2", true, 200},
        {"0.002e5", true, 200},
        {"18446744073709551615", true, UINT64_MAX},
        {"1844674407370955161.5e1", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"1e20", false, 0},
        {"1e400", false, 0},
        {"1e99999999999999999999", false, 0},
        {"1e-99999999999999999999", false, 0},
        {"0.5", false, 0},
        {"1.00000000000000000000001", false, 0},
        {"-1", false, 0},
        {"\"1\"", false, 0},
        {"true", false, 0},
        {"null", false, 0},
        {"[1]", false, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t value = 0;
        bool ok = jtext_u64(span_str(cases[i].text), &value) == 0;
        if (ok != cases[i].ok || value != cases[i].value) {
            fail_msg("%s: %d %llu", cases[i].text, ok, (unsigned long long)value);
        }
    }
}

static void numbers_are_taken_apart_exactly(void **state)
{
    static const struct {
        const char *text, *digits;
        int64_t point;
        bool negative;
    } cases[] = {
        {"0", "", 0, false},
        {"-0.0e5", "", 0, false},
        {"1", "1", 1, false},
        {"-120", "12", 3, true},
        {"12.50", "12.5", 2, false},
        {"0.00120", "12", -2, false},
        {"0.5", "5", 0, false},
        {"5e-1", "5", 0, false},
        {"1e400", "1", 401, false},
        {"10.010e-3", "10.01", -1, false},
        {"9007199254740993", "9007199254740993", 16, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct jtext_number number;
        assert_true(jtext_number(span_str(cases[i].text), &number));
        assert_true(span_is(number.digits, cases[i].digits));
        assert_true(number.point == cases[i].point);
        assert_int_equal(number.negative, cases[i].negative);
    }
    struct jtext_number number;
    assert_true(jtext_number(SPAN_LIT("1e999999999999999999999999"), &number));
    assert_true(number.point > JTEXT_POINT_MAX / 2);
    assert_false(jtext_number(SPAN_LIT("\"1\""), &number));
}

static void plain_text_ends_at_the_first_byte_that_means_something(void **state)
{
    char text[80];
    (void)state;
    for (size_t n = 0; n < sizeof(text); n++) {
        for (const char *c = "\"\\\x1f\x80\xff"; *c; c++) {
            memset(text, 'x', sizeof(text));
            text[n] = *c;
            assert_int_equal(jtext_plain(span_of(text, sizeof(text))), n);
            assert_int_equal(jtext_plain(span_of(text, n)), n);
        }
        text[n] = '\0';
        assert_int_equal(jtext_plain(span_of(text, sizeof(text))), n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_json_allows_is_accepted),
        cmocka_unit_test(every_mistake_is_named_with_its_column_and_a_remedy),
        cmocka_unit_test(sixty_four_levels_are_accepted_and_one_more_is_not),
        cmocka_unit_test(objects_with_very_many_names_are_checked_quickly),
        cmocka_unit_test(mutated_texts_get_the_verdict_of_another_parser),
        cmocka_unit_test(members_and_elements_come_in_written_order),
        cmocka_unit_test(a_member_is_found_however_its_name_is_spelled),
        cmocka_unit_test(strings_lose_their_quotes_and_escapes),
        cmocka_unit_test(raw_strings_order_by_their_characters),
        cmocka_unit_test(types_are_told_by_the_first_character),
        cmocka_unit_test(whole_numbers_are_read_in_any_spelling_or_refused),
        cmocka_unit_test(numbers_are_taken_apart_exactly),
        cmocka_unit_test(plain_text_ends_at_the_first_byte_that_means_something),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
