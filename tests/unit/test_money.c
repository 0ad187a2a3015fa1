/* Dollars as integers: exact, or refused. Checked against 128-bit arithmetic. */
#include "core/money.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

static struct usd pico(int64_t n)
{
    return usd_from_pico(n);
}

static struct usd_sum total_of(const char *picos)
{
    struct usd_sum sum = {0};
    assert_int_equal(usd_sum_parse(span_str(picos), &sum), 0);
    return sum;
}

/* xorshift64*: the same numbers on every run. */
static uint64_t next_number(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1dULL;
}

/* Small, large and in between, both signs. */
static int64_t next_amount(uint64_t *seed)
{
    uint64_t bits = next_number(seed);
    return (int64_t)next_number(seed) >> (bits % 63);
}

static bool fits64(__int128 n)
{
    return n >= INT64_MIN && n <= INT64_MAX;
}

static void sums_and_products_are_exact_or_refused(void **state)
{
    uint64_t seed = 20261121;
    (void)state;
    for (int i = 0; i < 200000; i++) {
        int64_t a = next_amount(&seed), b = next_amount(&seed);
        uint64_t count = next_number(&seed) >> (next_number(&seed) % 64);
        struct usd x = pico(a);
        bool ok = usd_add(&x, pico(b));
        assert_int_equal(ok, fits64((__int128)a + b));
        assert_true(usd_pico(x) == (ok ? (int64_t)((__int128)a + b) : a));
        x = pico(a);
        ok = usd_sub(&x, pico(b));
        assert_int_equal(ok, fits64((__int128)a - b));
        assert_true(usd_pico(x) == (ok ? (int64_t)((__int128)a - b) : a));
        x = pico(7);
        ok = usd_mul(&x, pico(a), count);
        assert_int_equal(ok, fits64((__int128)a * (__int128)count));
        assert_true(usd_pico(x) == (ok ? (int64_t)((__int128)a * (__int128)count) : 7));
    }
}

static void the_edges_of_an_amount_hold(void **state)
{
    struct usd x = pico(INT64_MAX);
    (void)state;
    assert_false(usd_add(&x, pico(1)));
    assert_true(usd_add(&x, pico(0)));
    assert_true(usd_sub(&x, pico(INT64_MAX)) && usd_is_zero(x));
    x = pico(INT64_MIN);
    assert_false(usd_sub(&x, pico(1)));
    assert_false(usd_mul(&x, pico(2), UINT64_MAX));
    assert_true(usd_mul(&x, pico(0), UINT64_MAX) && usd_is_zero(x));
    assert_true(usd_mul(&x, pico(-1), UINT64_C(1) << 63) && usd_pico(x) == INT64_MIN);
}

static void amounts_compare(void **state)
{
    (void)state;
    assert_true(usd_cmp(pico(INT64_MIN), pico(INT64_MAX)) < 0);
    assert_true(usd_cmp(pico(2), pico(1)) > 0);
    assert_int_equal(usd_cmp(pico(2), pico(2)), 0);
    assert_true(usd_sum_cmp(total_of("-1"), total_of("0")) < 0);
    assert_true(usd_sum_cmp(total_of("1"), total_of("0")) > 0);
}

static void a_total_holds_more_than_any_amount(void **state)
{
    struct usd_sum sum = {0};
    char text[USD_TEXT_MAX];
    (void)state;
    for (int i = 0; i < 1000; i++) {
        usd_sum_add(&sum, pico(INT64_MAX));
    }
    assert_string_equal(usd_sum_picos(sum, text), "9223372036854775807000");
    struct usd_sum twice = sum;
    usd_sum_add_sum(&twice, sum);
    assert_string_equal(usd_sum_picos(twice, text), "18446744073709551614000");
    usd_sum_sub(&sum, pico(INT64_MIN));
    assert_string_equal(usd_sum_picos(sum, text), "9232595408891630582808");
}

static void a_gate_asks_for_the_whole_of_it(void **state)
{
    (void)state;
    assert_true(usd_fits(total_of("60"), total_of("30"), pico(10), pico(100)));
    assert_false(usd_fits(total_of("60"), total_of("30"), pico(11), pico(100)));
    assert_true(usd_fits(total_of("0"), total_of("0"), pico(0), pico(0)));
    assert_false(usd_fits(total_of("9223372036854775807"),
                          total_of("9223372036854775807"), pico(INT64_MAX),
                          pico(INT64_MAX)));
    const char *most = "170141183460469231731687303715884105727";
    assert_false(usd_fits(total_of(most), total_of(most), pico(1), pico(INT64_MAX)));
    assert_false(usd_fits(total_of(most), total_of("0"), pico(1), pico(INT64_MAX)));
}

static void decimals_are_read_exactly(void **state)
{
    static const struct {
        const char *text;
        int64_t amount;
    } cases[] = {
        {"0", 0},
        {"12.5", 12500000000000},
        {"0.000000000001", 1},
        {"0.0025", 2500000000},
        {"007.10", 7100000000000},
        {"9223372.036854775807", INT64_MAX},
    };
    const char *junk[] = {"",
                          "-1",
                          "+1",
                          "1.",
                          ".5",
                          "1.2.3",
                          "1e3",
                          "1,5",
                          " 1",
                          "1 ",
                          "$1",
                          "0x10",
                          "nan",
                          "0.0000000000001",
                          "9223372.036854775808",
                          "99999999999999999999"};
    struct usd x = pico(3);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(usd_parse(span_str(cases[i].text), &x), 0);
        assert_true(usd_pico(x) == cases[i].amount);
    }
    x = pico(3);
    for (size_t i = 0; i < ARRAY_LEN(junk); i++) {
        assert_int_equal(usd_parse(span_str(junk[i]), &x), -1);
    }
    assert_int_equal(usd_pico(x), 3);
}

static void decimals_print_exactly(void **state)
{
    static const struct {
        int64_t amount;
        const char *text;
    } cases[] = {
        {0, "0"},
        {1, "0.000000000001"},
        {-1, "-0.000000000001"},
        {12500000000000, "12.5"},
        {1000000000000, "1"},
        {10000000000000, "10"},
        {INT64_MAX, "9223372.036854775807"},
        {INT64_MIN, "-9223372.036854775808"},
    };
    char text[USD_TEXT_MAX];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_string_equal(usd_format(pico(cases[i].amount), text), cases[i].text);
    }
}

static void what_is_printed_reads_back_the_same(void **state)
{
    uint64_t seed = 7;
    char text[USD_TEXT_MAX];
    (void)state;
    for (int i = 0; i < 100000; i++) {
        int64_t n = next_amount(&seed) & INT64_MAX;
        struct usd back;
        assert_int_equal(usd_parse(span_str(usd_format(pico(n), text)), &back), 0);
        assert_true(usd_pico(back) == n);
    }
}

static void totals_print_in_full_and_read_back(void **state)
{
    const char *cases[] = {"0", "-1", "170141183460469231731687303715884105727",
                           "-170141183460469231731687303715884105728"};
    const char *junk[] = {"",
                          "-",
                          "1.5",
                          "+1",
                          "1 ",
                          "170141183460469231731687303715884105728",
                          "-170141183460469231731687303715884105729"};
    char text[USD_TEXT_MAX];
    struct usd_sum sum;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_string_equal(usd_sum_picos(total_of(cases[i]), text), cases[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(junk); i++) {
        assert_int_equal(usd_sum_parse(span_str(junk[i]), &sum), -1);
    }
    assert_string_equal(usd_sum_format(total_of(cases[3]), text),
                        "-170141183460469231731687303.715884105728");
}

static void people_see_two_to_n_decimals_rounded_half_up(void **state)
{
    static const struct {
        const char *amount;
        int places;
        const char *text;
    } cases[] = {
        {"0", 4, "$0.00"},
        {"12300000000", 4, "$0.0123"},
        {"12340000000", 4, "$0.0123"},
        {"12350000000", 4, "$0.0124"},
        {"1500000000000", 4, "$1.50"},
        {"999950000000", 4, "$1.00"},
        {"999949999999", 4, "$0.9999"},
        {"4999999999", 2, "$0.00"},
        {"5000000000", 2, "$0.01"},
        {"-1250000000000", 2, "-$1.25"},
        {"-1", 2, "$0.00"},
        {"1", 12, "$0.000000000001"},
        {"1", 99, "$0.000000000001"},
        {"1500000000000", 0, "$1.50"},
        {"170141183460469231731687303715884105727", 2, "$170141183460469231731687303.72"},
    };
    char text[USD_TEXT_MAX];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_string_equal(usd_show(total_of(cases[i].amount), cases[i].places, text),
                            cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_and_products_are_exact_or_refused),
        cmocka_unit_test(the_edges_of_an_amount_hold),
        cmocka_unit_test(amounts_compare),
        cmocka_unit_test(a_total_holds_more_than_any_amount),
        cmocka_unit_test(a_gate_asks_for_the_whole_of_it),
        cmocka_unit_test(decimals_are_read_exactly),
        cmocka_unit_test(decimals_print_exactly),
        cmocka_unit_test(what_is_printed_reads_back_the_same),
        cmocka_unit_test(totals_print_in_full_and_read_back),
        cmocka_unit_test(people_see_two_to_n_decimals_rounded_half_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
