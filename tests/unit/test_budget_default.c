/* budget.default: what it may say, and for whom it holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "scheduler/budget_default.h"

#include <string.h>

#define DOLLAR INT64_C(1000000000000) /* in pico-dollars */

static struct budget_default said(const char *text)
{
    struct budget_default d;
    struct err err = {0};
    if (budget_default_parse(text, &d, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    return d;
}

static void test_an_amount_for_a_day_a_month_or_in_total(void **state)
{
    (void)state;
    struct budget_default day = said("25/day"), month = said("300.50/month"),
                          total = said("1000/total");
    assert_true(day.given && day.edit.has_day && !day.edit.has_month);
    assert_int_equal(usd_pico(day.edit.day), 25 * DOLLAR);
    assert_true(month.given && month.edit.has_month && !month.edit.has_total);
    assert_int_equal(usd_pico(month.edit.month), 300 * DOLLAR + DOLLAR / 2);
    assert_true(total.given && total.edit.has_total && !total.edit.has_day);
    assert_int_equal(usd_pico(total.edit.total), 1000 * DOLLAR);
}

static void test_none_is_said_and_limits_nothing(void **state)
{
    (void)state;
    struct budget_default none = said("none");
    assert_true(none.given);
    assert_false(budget_edit_limits(&none.edit));
    assert_null(budget_default_for(&none, "search", NULL));
}

static void test_without_the_setting_nothing_is_said(void **state)
{
    (void)state;
    assert_false(said(NULL).given);
    assert_false(said("").given);
}

static void test_anything_else_is_refused_with_an_example(void **state)
{
    (void)state;
    static const char *const wrong[] = {"25",      "25/week", "day",     "/day", "-1/day",
                                        "1e3/day", "25/day ", "25/days", "None", "25/"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct budget_default d;
        struct err err = {0};
        assert_int_equal(budget_default_parse(wrong[i], &d, &err), -ERR_USAGE);
        assert_non_null(strstr(err.msg, wrong[i]));
        assert_non_null(strstr(err.hint, "budget.default=25/day"));
    }
}

static void test_it_holds_for_a_team_that_was_given_no_limit(void **state)
{
    (void)state;
    struct budget_default d = said("25/day");
    struct budget_edit paused = {.edit = 1, .paused = true};
    assert_ptr_equal(budget_default_for(&d, "search", NULL), &d.edit);
    assert_ptr_equal(budget_default_for(&d, "search", &paused), &d.edit);
}

static void test_a_limit_of_its_own_of_any_period_comes_before_it(void **state)
{
    (void)state;
    struct budget_default d = said("25/day");
    struct budget_edit own = {.edit = 1, .has_month = true};
    assert_ptr_equal(budget_default_for(&d, "search", &own), &own);
}

static void test_it_is_no_limit_of_a_feature(void **state)
{
    (void)state;
    struct budget_default d = said("25/day");
    assert_null(budget_default_for(&d, "search/tags", NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_amount_for_a_day_a_month_or_in_total),
        cmocka_unit_test(test_none_is_said_and_limits_nothing),
        cmocka_unit_test(test_without_the_setting_nothing_is_said),
        cmocka_unit_test(test_anything_else_is_refused_with_an_example),
        cmocka_unit_test(test_it_holds_for_a_team_that_was_given_no_limit),
        cmocka_unit_test(test_a_limit_of_its_own_of_any_period_comes_before_it),
        cmocka_unit_test(test_it_is_no_limit_of_a_feature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
