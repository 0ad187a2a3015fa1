/* How much released and unsettled work each model may have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "scheduler/flow.h"

static struct flow *given_caps(uint64_t calls, uint64_t tokens)
{
    struct flow *f = flow_create((struct flow_caps){.calls = calls, .tokens = tokens});
    assert_non_null(f);
    return f;
}

static void given_in_flight(struct flow *f, const char *model, unsigned n,
                            uint64_t tokens)
{
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(flow_add(f, model, tokens), 0);
    }
}

static void when_settled(struct flow *f, const char *model, unsigned n, uint64_t tokens)
{
    for (unsigned i = 0; i < n; i++) {
        flow_sub(f, model, tokens);
    }
}

static void test_the_call_cap_is_a_number_of_calls_and_not_one_more(void **state)
{
    (void)state;
    struct flow *f = given_caps(8, 0);
    given_in_flight(f, "a", 7, 1);
    assert_true(flow_fits(f, "a", 1));
    given_in_flight(f, "a", 1, 1);
    assert_false(flow_fits(f, "a", 1));
    flow_destroy(f);
}

static void test_the_token_cap_counts_prompt_tokens(void **state)
{
    (void)state;
    struct flow *f = given_caps(0, 100);
    given_in_flight(f, "a", 1, 60);
    assert_true(flow_fits(f, "a", 40));
    assert_false(flow_fits(f, "a", 41));
    flow_destroy(f);
}

static void test_one_model_does_not_fill_the_cap_of_another(void **state)
{
    (void)state;
    struct flow *f = given_caps(2, 0);
    given_in_flight(f, "a", 2, 1);
    assert_false(flow_fits(f, "a", 1));
    assert_true(flow_fits(f, "b", 1));
    flow_destroy(f);
}

static void test_a_full_cap_reopens_only_when_a_quarter_of_it_is_free(void **state)
{
    (void)state;
    struct flow *f = given_caps(8, 0);
    given_in_flight(f, "a", 8, 1);
    assert_false(flow_fits(f, "a", 1));
    when_settled(f, "a", 1, 1);
    assert_true(flow_closed(f, "a"));
    when_settled(f, "a", 1, 1);
    assert_false(flow_closed(f, "a"));
    flow_destroy(f);
}

static void test_a_job_larger_than_the_token_cap_runs_alone(void **state)
{
    (void)state;
    struct flow *f = given_caps(0, 100);
    assert_true(flow_fits(f, "a", 5000));
    given_in_flight(f, "a", 1, 5000);
    assert_false(flow_fits(f, "a", 1));
    when_settled(f, "a", 1, 5000);
    assert_true(flow_fits(f, "a", 1));
    flow_destroy(f);
}

static void test_what_is_in_flight_is_counted_over_all_models(void **state)
{
    (void)state;
    struct flow *f = given_caps(0, 0);
    given_in_flight(f, "a", 3, 1);
    given_in_flight(f, "b", 2, 1);
    when_settled(f, "a", 1, 1);
    assert_int_equal(flow_calls(f), 4);
    flow_destroy(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_call_cap_is_a_number_of_calls_and_not_one_more),
        cmocka_unit_test(test_the_token_cap_counts_prompt_tokens),
        cmocka_unit_test(test_one_model_does_not_fill_the_cap_of_another),
        cmocka_unit_test(test_a_full_cap_reopens_only_when_a_quarter_of_it_is_free),
        cmocka_unit_test(test_a_job_larger_than_the_token_cap_runs_alone),
        cmocka_unit_test(test_what_is_in_flight_is_counted_over_all_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
