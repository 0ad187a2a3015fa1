/* Whether a server of a pool is up, slow or gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/health.h"

#define STALL_MS 30000

static void test_a_refused_connection_means_it_is_down(void **state)
{
    struct health h = {0};
    (void)state;
    health_sent(&h, 100);
    assert_true(health_lost(&h, 100, true));
    assert_true(h.down);
    assert_int_equal(h.under_way, 0);
    assert_int_equal(h.probe_ms, 100 + HEALTH_PROBE_MS);
}

static void test_one_lost_reply_may_happen_two_in_a_row_may_not(void **state)
{
    struct health h = {0};
    (void)state;
    for (int i = 0; i < 4; i++) {
        health_sent(&h, 0);
    }
    assert_false(health_lost(&h, 1, false));
    health_heard(&h, 2, 2);
    assert_false(health_lost(&h, 3, false));
    assert_true(health_lost(&h, 4, false));
    assert_true(h.down);
}

static void test_what_was_under_way_when_it_went_down_does_not_take_it_down_again(
    void **state)
{
    struct health h = {0};
    (void)state;
    health_sent(&h, 0);
    health_sent(&h, 0);
    assert_true(health_lost(&h, 1, true));
    assert_false(health_lost(&h, 2000, true));
    assert_int_equal(h.probe_ms, 1 + HEALTH_PROBE_MS);
}

static void test_it_stalls_when_calls_are_under_way_and_nothing_comes_back(void **state)
{
    struct health h = {0};
    (void)state;
    assert_false(health_stalls(&h, 1000000, STALL_MS)); /* it has nothing to do */
    health_sent(&h, 1000);
    assert_false(health_stalls(&h, 1000 + STALL_MS - 1, STALL_MS));
    assert_true(health_stalls(&h, 1000 + STALL_MS, STALL_MS));
    assert_int_equal(health_stall_at(&h, STALL_MS), 1000 + STALL_MS);
}

static void test_idle_time_does_not_count_as_a_stall(void **state)
{
    struct health h = {0};
    (void)state;
    health_sent(&h, 0);
    health_heard(&h, 100, 100);
    health_sent(&h, 10 * STALL_MS);
    assert_false(health_stalls(&h, 10 * STALL_MS + 1, STALL_MS));
}

static void test_a_slow_server_gets_time_by_its_own_measure(void **state)
{
    struct health h = {0};
    (void)state;
    health_sent(&h, 0);
    health_sent(&h, 0);
    health_heard(&h, 60000, 60000); /* a minute a call is its way */
    assert_false(health_stalls(&h, 60000 + STALL_MS, STALL_MS));
    assert_true(health_stalls(&h, 60000 + HEALTH_SLOW * 60000, STALL_MS));
}

static void test_the_usual_time_follows_what_is_measured(void **state)
{
    struct health h = {0};
    (void)state;
    for (int i = 0; i < 200; i++) {
        health_sent(&h, i);
        health_heard(&h, i, i < 100 ? 100 : 1000);
    }
    assert_in_range(h.usual_ms, 950, 1000);
}

static void test_a_server_that_is_down_is_asked_at_growing_intervals(void **state)
{
    static const int64_t after[] = {2000, 4000, 8000, 16000, 30000, 30000, 30000};
    struct health h = {0};
    (void)state;
    health_set_down(&h, 0);
    for (unsigned i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
        int64_t now = h.probe_ms;
        assert_false(health_probed(&h, now, false));
        assert_int_equal(h.probe_ms - now, after[i]);
    }
    assert_true(h.down);
}

static void test_the_first_good_word_brings_it_back(void **state)
{
    struct health h = {0};
    (void)state;
    health_sent(&h, 0);
    health_lost(&h, 0, true);
    health_probed(&h, 1000, false);
    assert_true(health_probed(&h, 3000, true));
    assert_false(h.down);
    health_sent(&h, 3000);
    assert_false(health_lost(&h, 3001, false)); /* old sins are forgotten */
    health_set_down(&h, 4000);
    assert_int_equal(h.probe_ms, 4000 + HEALTH_PROBE_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_refused_connection_means_it_is_down),
        cmocka_unit_test(test_one_lost_reply_may_happen_two_in_a_row_may_not),
        cmocka_unit_test(
            test_what_was_under_way_when_it_went_down_does_not_take_it_down_again),
        cmocka_unit_test(test_it_stalls_when_calls_are_under_way_and_nothing_comes_back),
        cmocka_unit_test(test_idle_time_does_not_count_as_a_stall),
        cmocka_unit_test(test_a_slow_server_gets_time_by_its_own_measure),
        cmocka_unit_test(test_the_usual_time_follows_what_is_measured),
        cmocka_unit_test(test_a_server_that_is_down_is_asked_at_growing_intervals),
        cmocka_unit_test(test_the_first_good_word_brings_it_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
