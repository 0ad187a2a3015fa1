/* The headers of a record. */
#include "core/headers.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

static void what_is_added_is_found_by_name(void **state)
{
    _cleanup_(buf_fini) struct buf b;
    struct span v;
    (void)state;
    buf_init(&b, HEADERS_BYTES_MAX);
    headers_adds(&b, "team", "search");
    headers_add(&b, "raw", SPAN_LIT("a\0b"));
    headers_adds(&b, "empty", "");
    assert_false(b.failed);
    struct span block = buf_span(&b);
    assert_true(headers_valid(block));
    assert_true(headers_get(block, "team", &v) && span_is(v, "search"));
    assert_true(headers_get(block, "raw", &v) && span_eq(v, SPAN_LIT("a\0b")));
    assert_true(headers_get(block, "empty", &v) && v.n == 0);
    assert_false(headers_get(block, "tea", &v));
}

static void the_encoding_is_the_documented_one(void **state)
{
    _cleanup_(buf_fini) struct buf b;
    (void)state;
    buf_init(&b, HEADERS_BYTES_MAX);
    headers_adds(&b, "ab", "xyz");
    assert_true(span_eq(buf_span(&b), SPAN_LIT("\x02"
                                               "ab"
                                               "\0\x03"
                                               "xyz")));
}

static void a_walk_sees_every_header_in_order_and_the_first_of_a_name_counts(void **state)
{
    _cleanup_(buf_fini) struct buf b;
    struct span n, v;
    size_t at = 0;
    (void)state;
    buf_init(&b, HEADERS_BYTES_MAX);
    headers_adds(&b, "k", "1");
    headers_adds(&b, "k", "2");
    assert_true(headers_get(buf_span(&b), "k", &v) && span_is(v, "1"));
    assert_true(headers_next(buf_span(&b), &at, &n, &v) && span_is(v, "1"));
    assert_true(headers_next(buf_span(&b), &at, &n, &v) && span_is(v, "2"));
    assert_false(headers_next(buf_span(&b), &at, &n, &v));
    assert_true(headers_valid(SPAN_NONE));
}

static void a_block_cut_anywhere_is_not_valid(void **state)
{
    _cleanup_(buf_fini) struct buf b;
    (void)state;
    buf_init(&b, HEADERS_BYTES_MAX);
    headers_adds(&b, "team", "search");
    for (size_t n = 1; n < b.n; n++) {
        assert_false(headers_valid(span_of(b.p, n)));
    }
    assert_false(headers_valid(SPAN_LIT("\0\0\0"))); /* a header without a name */
    assert_false(headers_valid(SPAN_LIT("\xff"
                                        "a")));
}

static void what_does_not_fit_is_refused_and_marks_the_block(void **state)
{
    static const char big[70000];
    _cleanup_(buf_fini) struct buf b;
    (void)state;
    buf_init(&b, 100000);
    assert_int_equal(headers_add(&b, "k", span_of(big, HEADERS_BYTES_MAX - 4)), 0);
    assert_int_equal(b.n, HEADERS_BYTES_MAX);
    assert_int_equal(headers_adds(&b, "k", ""), -1);
    assert_true(b.failed);
    buf_reset(&b);
    assert_int_equal(headers_add(&b, "k", span_of(big, 65536)), -1);
    buf_reset(&b);
    assert_int_equal(headers_adds(&b, "", "v"), -1);
    assert_int_equal(b.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_is_found_by_name),
        cmocka_unit_test(the_encoding_is_the_documented_one),
        cmocka_unit_test(
            a_walk_sees_every_header_in_order_and_the_first_of_a_name_counts),
        cmocka_unit_test(a_block_cut_anywhere_is_not_valid),
        cmocka_unit_test(what_does_not_fit_is_refused_and_marks_the_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
