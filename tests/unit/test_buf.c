/* Borrowed bytes, and bytes that grow up to a written maximum. */
#include "core/buf.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

static void spans_compare_as_bytes_and_the_shorter_comes_first(void **state)
{
    (void)state;
    assert_true(span_eq(SPAN_LIT("ab"), span_of("abc", 2)));
    assert_true(span_eq(SPAN_NONE, SPAN_LIT("")));
    assert_false(span_eq(SPAN_LIT("ab"), SPAN_LIT("abc")));
    assert_true(span_is(SPAN_LIT("ab"), "ab"));
    assert_false(span_is(SPAN_LIT("ab"), "abc"));
    assert_true(span_cmp(SPAN_LIT("ab"), SPAN_LIT("abc")) < 0);
    assert_true(span_cmp(SPAN_LIT("b"), SPAN_LIT("abc")) > 0);
    assert_true(span_cmp(SPAN_LIT("a\x80"), SPAN_LIT("a\x7f")) > 0);
    assert_int_equal(span_cmp(SPAN_NONE, SPAN_LIT("")), 0);
    assert_int_equal(span_str(NULL).n, 0);
}

static void trimming_takes_blanks_at_both_ends_only(void **state)
{
    (void)state;
    assert_true(span_is(span_trim(SPAN_LIT(" \t\r\na b\n")), "a b"));
    assert_int_equal(span_trim(SPAN_LIT(" \n")).n, 0);
    assert_int_equal(span_trim(SPAN_NONE).n, 0);
}

static void numbers_are_read_whole_or_not_at_all(void **state)
{
    uint64_t u = 1;
    int64_t i = 1;
    (void)state;
    assert_int_equal(span_u64(SPAN_LIT("18446744073709551615"), &u), 0);
    assert_true(u == UINT64_MAX);
    assert_int_equal(span_i64(SPAN_LIT("-9223372036854775808"), &i), 0);
    assert_true(i == INT64_MIN);
    assert_int_equal(span_i64(SPAN_LIT("9223372036854775807"), &i), 0);
    assert_true(i == INT64_MAX);
    const char *junk[] = {"",    " 1", "1 ", "+1", "1e3", "18446744073709551616",
                          "0x1", "-",  "--1"};
    for (size_t k = 0; k < ARRAY_LEN(junk); k++) {
        assert_int_equal(span_u64(span_str(junk[k]), &u), -1);
        assert_int_equal(span_i64(span_str(junk[k]), &i), -1);
    }
    assert_int_equal(span_u64(SPAN_LIT("-1"), &u), -1);
    assert_int_equal(span_i64(SPAN_LIT("9223372036854775808"), &i), -1);
    assert_int_equal(span_i64(SPAN_LIT("-9223372036854775809"), &i), -1);
    assert_true(u == UINT64_MAX && i == INT64_MAX); /* untouched */
}

static void only_well_formed_characters_count_as_utf8(void **state)
{
    static const struct {
        struct span bytes;
        int length;
    } cases[] = {
        {SPAN_LIT("a"), 1},
        {SPAN_LIT("\0"), 1},
        {SPAN_LIT("\xc2\x80"), 2},
        {SPAN_LIT("\xdf\xbf"), 2},
        {SPAN_LIT("\xe0\xa0\x80"), 3},
        {SPAN_LIT("\xed\x9f\xbf"), 3},
        {SPAN_LIT("\xf0\x90\x80\x80"), 4},
        {SPAN_LIT("\xf4\x8f\xbf\xbf"), 4},
        {SPAN_LIT(""), 0},
        {SPAN_LIT("\x80"), 0},             /* a tail alone */
        {SPAN_LIT("\xc1\xbf"), 0},         /* overlong */
        {SPAN_LIT("\xe0\x9f\xbf"), 0},     /* overlong */
        {SPAN_LIT("\xf0\x8f\xbf\xbf"), 0}, /* overlong */
        {SPAN_LIT("\xed\xa0\x80"), 0},     /* surrogate */
        {SPAN_LIT("\xf4\x90\x80\x80"), 0}, /* above U+10FFFF */
        {SPAN_LIT("\xf5\x80\x80\x80"), 0},
        {SPAN_LIT("\xe2\x82"), 0}, /* cut */
        {SPAN_LIT("\xe2\x28\xa1"), 0},
        {SPAN_LIT("\xc2"), 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(span_utf8(cases[i].bytes), cases[i].length);
    }
}

static void what_was_appended_stands_there_with_a_nul_behind(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(buf_adds(&b, "ab"), 0);
    assert_int_equal(buf_addc(&b, 'c'), 0);
    assert_int_equal(buf_add(&b, "d\0e", 3), 0);
    assert_int_equal(buf_addf(&b, "%d", 42), 0);
    assert_true(span_eq(buf_span(&b), SPAN_LIT("abcd\0e42")));
    assert_int_equal(b.p[b.n], '\0');
    buf_reset(&b);
    assert_int_equal(b.n, 0);
    assert_string_equal(b.p, "");
    buf_fini(&b);
    assert_null(b.p);
    assert_int_equal(buf_adds(&b, "again"), 0);
    buf_fini(&b);
}

static void the_maximum_is_reached_and_never_passed(void **state)
{
    _cleanup_(buf_fini) struct buf b;
    (void)state;
    buf_init(&b, 100);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(buf_addc(&b, 'x'), 0);
    }
    assert_true(b.cap <= 101);
    assert_int_equal(buf_add(&b, "", 0), 0);
    assert_int_equal(buf_addc(&b, 'y'), -1);
    assert_int_equal(b.n, 100);
    assert_true(b.failed);
}

static void a_failed_buf_takes_nothing_until_it_is_reset(void **state)
{
    _cleanup_(buf_fini) struct buf b;
    (void)state;
    buf_init(&b, 4);
    assert_int_equal(buf_adds(&b, "ab"), 0);
    assert_int_equal(buf_adds(&b, "cde"), -1);
    assert_int_equal(buf_addc(&b, 'c'), -1);
    assert_int_equal(buf_addf(&b, "%s", ""), -1);
    assert_string_equal(b.p, "ab");
    buf_reset(&b);
    assert_false(b.failed);
    assert_int_equal(buf_adds(&b, "cdef"), 0);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), -1);
    assert_string_equal(b.p, "cdef");
}

static void reserved_room_needs_no_further_memory(void **state)
{
    _cleanup_(buf_fini) struct buf b;
    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(buf_reserve(&b, 500), 0);
    const char *before = b.p;
    for (int i = 0; i < 500; i++) {
        buf_addc(&b, 'x');
    }
    assert_ptr_equal(before, b.p);
}

static void text_becomes_a_json_string(void **state)
{
    static const struct {
        struct span text;
        const char *json;
    } cases[] = {
        {SPAN_LIT(""), "\"\""},
        {SPAN_LIT("plain / text"), "\"plain / text\""},
        {SPAN_LIT("a\"b\\c"), "\"a\\\"b\\\\c\""},
        {SPAN_LIT("\b\f\n\r\t\x01\x1f\x7f"), "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\""},
        {SPAN_LIT("nul\0."), "\"nul\\u0000.\""},
        {SPAN_LIT("\xc3\xa9\xf0\x9f\x8c\x99"), "\"\xc3\xa9\xf0\x9f\x8c\x99\""},
        {SPAN_LIT("a\xff\xc3z"), "\"a\xef\xbf\xbd\xef\xbf\xbdz\""},
        {SPAN_LIT("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {SPAN_LIT("cut \xe2\x82"), "\"cut \xef\xbf\xbd\xef\xbf\xbd\""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        _cleanup_(buf_fini) struct buf b;
        buf_init(&b, 100);
        assert_int_equal(buf_add_json(&b, cases[i].text), 0);
        assert_string_equal(b.p, cases[i].json);
    }
}

static void a_json_string_that_does_not_fit_leaves_nothing_behind(void **state)
{
    _cleanup_(buf_fini) struct buf b;
    (void)state;
    buf_init(&b, 6);
    buf_adds(&b, "x=");
    assert_int_equal(buf_add_json(&b, SPAN_LIT("abc")), -1);
    assert_string_equal(b.p, "x=");
    assert_true(b.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_compare_as_bytes_and_the_shorter_comes_first),
        cmocka_unit_test(trimming_takes_blanks_at_both_ends_only),
        cmocka_unit_test(numbers_are_read_whole_or_not_at_all),
        cmocka_unit_test(only_well_formed_characters_count_as_utf8),
        cmocka_unit_test(what_was_appended_stands_there_with_a_nul_behind),
        cmocka_unit_test(the_maximum_is_reached_and_never_passed),
        cmocka_unit_test(a_failed_buf_takes_nothing_until_it_is_reset),
        cmocka_unit_test(reserved_room_needs_no_further_memory),
        cmocka_unit_test(text_becomes_a_json_string),
        cmocka_unit_test(a_json_string_that_does_not_fit_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
