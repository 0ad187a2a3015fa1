/* Time: as text, by days and months of UTC, and standing still in tests. */
#include "core/clock.h"

#include "core/attr.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#define NIGHT INT64_C(1795227247311) /* 2026-11-21T02:14:07.311Z */

static void instants_print_in_utc_with_milliseconds(void **state)
{
    char day[CLOCK_DAY_TEXT], time[CLOCK_TIME_TEXT];
    (void)state;
    assert_string_equal(clock_day(NIGHT, day), "2026-11-21");
    assert_string_equal(clock_time(NIGHT, time), "2026-11-21T02:14:07.311Z");
    assert_string_equal(clock_time(0, time), "1970-01-01T00:00:00.000Z");
    assert_string_equal(clock_time(7, time), "1970-01-01T00:00:00.007Z");
    assert_string_equal(clock_time(INT64_MAX, time), "9999-12-31T23:59:59.999Z");
    assert_string_equal(clock_time(INT64_MIN, time), "1970-01-01T00:00:00.000Z");
}

static void days_and_months_begin_at_midnight_utc(void **state)
{
    static const struct {
        int64_t from;
        const char *day, *month;
    } cases[] = {
        {NIGHT, "2026-11-22T00:00:00.000Z", "2026-12-01T00:00:00.000Z"},
        {INT64_C(1798761599999), "2027-01-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z"},
        {INT64_C(1798761600000), "2027-01-02T00:00:00.000Z", "2027-02-01T00:00:00.000Z"},
        {INT64_C(1709164800000), "2024-03-01T00:00:00.000Z", "2024-03-01T00:00:00.000Z"},
    };
    char time[CLOCK_TIME_TEXT];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_string_equal(clock_time(clock_next_day(cases[i].from), time),
                            cases[i].day);
        assert_string_equal(clock_time(clock_next_month(cases[i].from), time),
                            cases[i].month);
    }
}

static void a_simulated_clock_stands_until_it_is_moved(void **state)
{
    struct clock c = clock_simulated(NIGHT);
    (void)state;
    assert_int_equal(clock_mono_ms(&c), 0);
    assert_int_equal(clock_wall_ms(&c), NIGHT);
    clock_advance(&c, 1500);
    assert_int_equal(clock_mono_ms(&c), 1500);
    assert_int_equal(clock_wall_ms(&c), NIGHT + 1500);
}

static void a_real_clock_never_goes_back(void **state)
{
    struct clock c = clock_real();
    int64_t before = clock_mono_ms(&c);
    (void)state;
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_ms(&c);
        assert_true(now >= before);
        before = now;
    }
    assert_true(clock_wall_ms(&c) > INT64_C(1700000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instants_print_in_utc_with_milliseconds),
        cmocka_unit_test(days_and_months_begin_at_midnight_utc),
        cmocka_unit_test(a_simulated_clock_stands_until_it_is_moved),
        cmocka_unit_test(a_real_clock_never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
