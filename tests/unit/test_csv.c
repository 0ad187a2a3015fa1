/* Records of a table, and a request with holes for their fields. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "producer/csv.h"
#include "producer/template.h"
#include <stdio.h>

/* ---- where a record ends ---- */

/* The end found when the text comes `step` bytes at a time; -1: none. */
static int end_in_steps(const char *text, size_t step, uint64_t *ret_feeds)
{
    struct csv_scan scan = {0};
    size_t n = strlen(text);
    for (size_t at = 0; at < n; at += step) {
        const char *end = csv_end(&scan, text + at, MIN_OF(step, n - at), ',');
        if (end) {
            *ret_feeds = scan.feeds;
            return (int)(end - text);
        }
    }
    return -1;
}

static void test_a_record_ends_at_a_line_feed_outside_of_quotes(void **state)
{
    static const struct {
        const char *text;
        int end;
        uint64_t feeds;
    } rows[] = {
        {"a,b\nc\n", 3, 0},
        {"\"a\nb\",c\nd", 7, 1},
        {"\"a\"\"\n\"\"b\",\nc", 10, 1},
        {"5\" nail,x\ny", 9, 0},
        {"a,\"b\n\nc\"\n", 8, 2},
        {"\n", 0, 0},
        {"a,\"open\nfor ever\n", -1, 0},
        {"no end", -1, 0},
        {"\"a\" ,\"b\n\"\n", 9, 1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t step = 1; step < 20; step++) {
            uint64_t feeds = 0;
            assert_int_equal(end_in_steps(rows[i].text, step, &feeds), rows[i].end);
            assert_int_equal(feeds, rows[i].feeds);
        }
    }
}

/* ---- its fields ---- */

static int split(const char *record, char separator, char *ret, size_t size)
{
    static struct span fields[CSV_COLUMNS_MAX];
    const char *why = NULL;
    _cleanup_(buf_fini) struct buf plain;
    buf_init(&plain, 100000);
    int n = csv_split(span_str(record), separator, fields, &plain, &why);
    size_t at = 0;
    ret[0] = '\0';
    for (int i = 0; i < n && at < size; i++) {
        at += (size_t)snprintf(ret + at, size - at, "[%.*s]", (int)fields[i].n,
                               fields[i].p);
    }
    if (n < 0) {
        snprintf(ret, size, "%s", why);
    }
    return n;
}

static void test_fields_are_what_the_quotes_hold(void **state)
{
    static const struct {
        const char *record;
        char separator;
        int n;
        const char *fields;
    } rows[] = {
        {"a,b,c", ',', 3, "[a][b][c]"},
        {"", ',', 1, "[]"},
        {",", ',', 2, "[][]"},
        {"a\tb,c\t", '\t', 3, "[a][b,c][]"},
        {"\"a,b\",\"c\"", ',', 2, "[a,b][c]"},
        {"\"say \"\"hi\"\"\",x", ',', 2, "[say \"hi\"][x]"},
        {"\"\"\"\",\"\"", ',', 2, "[\"][]"},
        {"5\" nail, b ", ',', 2, "[5\" nail][ b ]"},
        {"\"two\nlines\"", ',', 1, "[two\nlines]"},
    };
    char got[200];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(split(rows[i].record, rows[i].separator, got, sizeof(got)),
                         rows[i].n);
        assert_string_equal(got, rows[i].fields);
    }
}

static void test_what_is_no_record_says_why(void **state)
{
    char got[200], many[2 * CSV_COLUMNS_MAX + 1];
    (void)state;
    assert_int_equal(split("a,\"b", ',', got, sizeof(got)), -1);
    assert_string_equal(got, "a quote is opened and never closed");
    assert_int_equal(split("\"a\"b,c", ',', got, sizeof(got)), -1);
    assert_string_equal(got, "there is text behind a closing quote");
    memset(many, ',', sizeof(many) - 1);
    many[CSV_COLUMNS_MAX - 1] = '\0'; /* that many columns and not one more */
    assert_int_equal(split(many, ',', got, sizeof(got)), CSV_COLUMNS_MAX);
    many[CSV_COLUMNS_MAX - 1] = ',';
    many[CSV_COLUMNS_MAX] = '\0';
    assert_int_equal(split(many, ',', got, sizeof(got)), -1);
    assert_string_equal(got, "it has more than 1000 columns");
}

static void test_a_field_is_written_so_that_it_is_read_as_it_was(void **state)
{
    static const char *const fields[] = {"",           "plain", "a,b",    "say \"hi\"",
                                         "two\nlines", " lead", "trail ", "\r"};
    char got[200], want[200];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        _cleanup_(buf_fini) struct buf b;
        buf_init(&b, 100);
        assert_int_equal(csv_add(&b, span_str(fields[i])), 0);
        buf_addc(&b, ',');
        assert_int_equal(split(b.p, ',', got, sizeof(got)), 2);
        snprintf(want, sizeof(want), "[%s][]", fields[i]);
        assert_string_equal(got, want);
    }
}

/* ---- a template ---- */

static const struct span names[] = {{"sku", 3}, {"the name", 8}, {"q\"uote", 6}};
static const struct columns columns = {names, 3};

static const char *filled(const char *text, struct buf *ret)
{
    static const struct span fields[] = {
        {"1", 1}, {"Gr\xc3\xbc\xc3\x9f\n\"x\"\\", 11}, {"", 0}};
    struct template *t = NULL;
    struct err err = {0};
    buf_reset(ret);
    if (template_create(&t, span_str(text), "t.json", &columns, &err) < 0) {
        buf_addf(ret, "%s; %s", err.msg, err.hint);
        return ret->p;
    }
    assert_int_equal(template_fill(t, fields, ret), 0);
    template_destroy(t);
    return ret->p;
}

static void test_fields_stand_in_the_holes_escaped_as_json_wants_it(void **state)
{
    (void)state;
    _cleanup_(buf_fini) struct buf b;
    buf_init(&b, 4096);
    assert_string_equal(
        filled("{\"a\":\"{{sku}}-{{ the name }}\",\"b\":\"{{q\\\"uote}}\"}", &b),
        "{\"a\":\"1-Gr\xc3\xbc\xc3\x9f\\n\\\"x\\\"\\\\\",\"b\":\"\"}");
    assert_string_equal(filled(" {\n \"a\": 1\n}\n", &b), "{  \"a\": 1 }");
}

static void test_a_prompt_takes_fields_as_they_are(void **state)
{
    (void)state;
    _cleanup_(buf_fini) struct buf b;
    buf_init(&b, 4096);
    assert_string_equal(filled("Say\n{{the name}}!", &b),
                        "Say\nGr\xc3\xbc\xc3\x9f\n\"x\"\\!");
    assert_string_equal(filled("{{ never closed", &b),
                        "could not use template 't.json': it is "
                        "not valid JSON: column 2: expected a "
                        "name in quotes or '}', found '{'; put "
                        "each {{column}} inside the quotes of a "
                        "string");
    assert_string_equal(filled("a {{ never closed", &b), "a {{ never closed");
}

static void test_a_column_that_is_not_there_is_named_beside_those_that_are(void **state)
{
    (void)state;
    _cleanup_(buf_fini) struct buf b;
    buf_init(&b, 4096);
    assert_string_equal(
        filled("x {{price}}", &b),
        "could not use template 't.json': the table has no column 'price'; "
        "it has: sku, the name, q\"uote");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_record_ends_at_a_line_feed_outside_of_quotes),
        cmocka_unit_test(test_fields_are_what_the_quotes_hold),
        cmocka_unit_test(test_what_is_no_record_says_why),
        cmocka_unit_test(test_a_field_is_written_so_that_it_is_read_as_it_was),
        cmocka_unit_test(test_fields_stand_in_the_holes_escaped_as_json_wants_it),
        cmocka_unit_test(test_a_prompt_takes_fields_as_they_are),
        cmocka_unit_test(test_a_column_that_is_not_there_is_named_beside_those_that_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
