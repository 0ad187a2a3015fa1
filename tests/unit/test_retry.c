/* How long to wait before the same request is made again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/retry.h"

static const struct retry_rule rule = {500, 60000};

static void test_the_longest_wait_doubles_and_stops_at_the_cap(void **state)
{
    (void)state;
    static const int64_t most_ms[] = {500,   1000,  2000,  4000, 8000,
                                      16000, 32000, 60000, 60000};
    for (unsigned tries = 0; tries < 9; tries++) {
        uint64_t unlucky = (uint64_t)most_ms[tries] - 1;
        assert_int_equal(retry_delay_ms(&rule, tries, -1, unlucky), most_ms[tries]);
        assert_int_equal(retry_delay_ms(&rule, tries, -1, 0), 1);
    }
    for (uint64_t random = 0; random < 200000; random += 777) {
        assert_in_range(retry_delay_ms(&rule, 4000000000u, -1, random), 1, 60000);
    }
    assert_int_equal(retry_delay_ms(&rule, 4000000000u, -1, 59999), 60000);
}

static void test_a_rule_without_a_pause_still_waits_a_moment(void **state)
{
    (void)state;
    const struct retry_rule none = {0, 0};
    assert_int_equal(retry_delay_ms(&none, 3, -1, 99), 1);
}

static void test_a_retry_after_of_zero_lets_it_come_back_soon(void **state)
{
    (void)state;
    for (uint64_t random = 0; random < 100000; random += 777) {
        assert_in_range(retry_delay_ms(&rule, 9, 0, random), 1, 500);
    }
}

static void test_the_servers_retry_after_is_a_floor(void **state)
{
    (void)state;
    for (uint64_t random = 0; random < 100000; random += 777) {
        int64_t wait_ms = retry_delay_ms(&rule, 9, 20000, random);
        assert_in_range(wait_ms, 20000, 20500);
    }
}

static void test_a_retry_after_of_a_year_is_not_believed(void **state)
{
    (void)state;
    assert_in_range(retry_delay_ms(&rule, 0, INT64_C(31536000000), 3), RETRY_AFTER_MAX_MS,
                    RETRY_AFTER_MAX_MS + 500);
}

static void test_polls_spread_by_a_tenth_around_their_period(void **state)
{
    (void)state;
    int64_t low = 60000, high = 60000;
    for (uint64_t random = 0; random < 20000; random += 13) {
        int64_t ms = retry_jitter_ms(60000, random);
        low = ms < low ? ms : low;
        high = ms > high ? ms : high;
    }
    assert_in_range(low, 54000, 54100);
    assert_in_range(high, 65900, 66000);
    assert_int_equal(retry_jitter_ms(1, 99), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_longest_wait_doubles_and_stops_at_the_cap),
        cmocka_unit_test(test_a_rule_without_a_pause_still_waits_a_moment),
        cmocka_unit_test(test_a_retry_after_of_zero_lets_it_come_back_soon),
        cmocka_unit_test(test_the_servers_retry_after_is_a_floor),
        cmocka_unit_test(test_a_retry_after_of_a_year_is_not_believed),
        cmocka_unit_test(test_polls_spread_by_a_tenth_around_their_period),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
