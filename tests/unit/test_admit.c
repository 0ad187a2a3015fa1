/*
 * May this job run now? One sentence of the admission rules per test. The price book of these
 * tests asks 1 USD per million tokens for everything, so a bound of N tokens costs N
 * micro-dollars and the numbers below can be checked in the head.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "scheduler/admit.h"
#include "tests/lib/book.h"

#include <stdio.h>
#include <string.h>

#define NOON_MS INT64_C(1795262400000) /* 2026-11-21T12:00:00Z */

struct desk {
    struct price_book *book;
    struct ask ask;
    struct line lines[3];
    struct line_view views[3];
    struct admit_in in;
    struct decision decision;
};

static struct usd micro(int64_t n)
{
    return usd_from_pico(n * 1000000);
}

/* A job that costs at most `bound` micro-dollars. */
static void given_a_job(struct desk *d, uint64_t bound)
{
    d->ask.prompt = (struct prompt){.text_only = true,
                                    .has_output_limit = true,
                                    .choices = 1,
                                    .messages = 1,
                                    .chain_len = 1};
    snprintf(d->ask.prompt.model, sizeof(d->ask.prompt.model), "m");
    uint64_t input = prompt_tokens_bound(&d->ask.prompt);
    assert_true(bound >= input);
    d->ask.prompt.output_limit = bound - input;
}

static void given_a_limit(struct desk *d, enum period period, int64_t limit)
{
    unsigned n = d->in.lines_n++;
    d->views[n] = (struct line_view){
        .line = &d->lines[n], .period = period, .limited = true, .limit = micro(limit)};
    snprintf(d->views[n].scope, sizeof(d->views[n].scope), "search");
}

static void given_spent(struct desk *d, int64_t amount)
{
    usd_sum_add(&d->lines[d->in.lines_n - 1].row.spent, micro(amount));
}

static void given_reserved(struct desk *d, int64_t amount)
{
    struct line *line = &d->lines[d->in.lines_n - 1];
    usd_sum_add(&line->reserved, micro(amount));
    line->open_jobs++;
}

static void when_asked(struct desk *d)
{
    admit(&d->in, &d->decision);
}

static int setup(void **state)
{
    static struct desk desk;
    struct err err = {0};
    memset(&desk, 0, sizeof(desk));
    if (price_book_parse(&desk.book, SPAN_LIT(TEST_BOOK), "test", &err) < 0) {
        fail_msg("%s", err.msg);
    }
    desk.in = (struct admit_in){.ask = &desk.ask,
                                .team = "search",
                                .feature = "tags",
                                .prices = "test",
                                .lane = LANE_BATCH,
                                .lines = desk.views,
                                .flow_fits = true,
                                .wall_ms = NOON_MS};
    desk.in.price = price_find(desk.book, "openai", SPAN_LIT("m"), "2026-11-21");
    assert_non_null(desk.in.price);
    *state = &desk;
    return 0;
}

static int teardown(void **state)
{
    struct desk *d = *state;
    price_book_free(d->book);
    return 0;
}

static void test_without_any_limit_a_job_runs(void **state)
{
    struct desk *d = *state;
    given_a_job(d, 500);
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_RUN);
    assert_int_equal(usd_pico(d->decision.bound.usd), usd_pico(micro(500)));
}

static void test_a_job_that_exactly_fills_the_limit_runs(void **state)
{
    struct desk *d = *state;
    given_a_limit(d, PERIOD_DAY, 1000);
    given_spent(d, 300);
    given_reserved(d, 200);
    given_a_job(d, 500);
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_RUN);
}

static void test_one_micro_dollar_too_much_waits(void **state)
{
    struct desk *d = *state;
    given_a_limit(d, PERIOD_DAY, 1000);
    given_spent(d, 300);
    given_reserved(d, 200);
    given_a_job(d, 501);
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_WAIT);
    assert_int_equal(d->decision.gate.kind, GATE_BUDGET);
}

static void test_a_gate_is_not_closed_while_work_in_flight_may_leave_room(void **state)
{
    struct desk *d = *state;
    given_a_limit(d, PERIOD_DAY, 1000);
    given_reserved(d, 900);
    given_a_job(d, 500);
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_WAIT);
    assert_false(d->decision.gate.closed);
}

static void test_a_closed_day_says_when_it_opens_and_which_command_opens_it(void **state)
{
    struct desk *d = *state;
    given_a_limit(d, PERIOD_DAY, 1000);
    given_spent(d, 900);
    given_a_job(d, 500);
    when_asked(d);
    assert_true(d->decision.gate.closed);
    assert_int_equal(d->decision.gate.opens_wall_ms, NOON_MS + 12 * 3600 * 1000);
    assert_non_null(strstr(d->decision.gate.hint, "offpeak budget set search"));
}

static void test_a_total_has_no_hour_at_which_it_opens(void **state)
{
    struct desk *d = *state;
    given_a_limit(d, PERIOD_TOTAL, 1000);
    given_spent(d, 900);
    given_a_job(d, 500);
    when_asked(d);
    assert_int_equal(d->decision.gate.opens_wall_ms, 0);
}

static void test_what_is_in_doubt_counts_as_spent(void **state)
{
    struct desk *d = *state;
    given_a_limit(d, PERIOD_DAY, 1000);
    usd_sum_add(&d->lines[0].row.in_doubt, micro(600));
    given_a_job(d, 500);
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_WAIT);
}

static void test_a_job_dearer_than_the_whole_limit_is_rejected(void **state)
{
    struct desk *d = *state;
    given_a_limit(d, PERIOD_DAY, 1000);
    given_a_job(d, 1001);
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_REJECT);
    assert_non_null(strstr(d->decision.why, "more than the whole limit"));
}

static void test_what_would_make_it_cheaper_is_named_as_its_endpoint_does(void **state)
{
    static const struct {
        enum prompt_path path;
        uint64_t inputs;
        const char *words;
    } cases[] = {
        {PROMPT_CHAT, 0, ": state a smaller max_completion_tokens or raise the limit"},
        {PROMPT_RESPONSES, 0, ": state a smaller max_output_tokens or raise the limit"},
        {PROMPT_EMBEDDINGS, 3, ": shorten its input or raise the limit"},
    };
    struct desk *d = *state;
    given_a_limit(d, PERIOD_DAY, 1000);
    given_a_job(d, 1001);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        snprintf(d->ask.path, sizeof(d->ask.path), "%s", prompt_paths[cases[i].path]);
        d->ask.prompt.inputs = cases[i].inputs;
        when_asked(d);
        assert_int_equal(d->decision.kind, ADMIT_REJECT);
        assert_non_null(strstr(d->decision.why, cases[i].words));
    }
}

static void test_the_gate_names_the_limit_that_a_response_does_not_state(void **state)
{
    struct desk *d = *state;
    given_a_limit(d, PERIOD_DAY, 2000);
    given_spent(d, 1900);
    given_a_job(d, 500);
    d->ask.prompt.has_output_limit = false;
    snprintf(d->ask.path, sizeof(d->ask.path), "%s", prompt_paths[PROMPT_RESPONSES]);
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_WAIT);
    assert_non_null(
        strstr(d->decision.gate.why, ", for it states no max_output_tokens ("));
}

static void test_the_tightest_of_several_limits_decides(void **state)
{
    struct desk *d = *state;
    given_a_limit(d, PERIOD_MONTH, 100000);
    given_a_limit(d, PERIOD_DAY, 1000);
    given_spent(d, 900);
    given_a_job(d, 500);
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_WAIT);
    assert_ptr_equal(d->decision.line, &d->lines[1]);
}

static void test_a_run_limit_cancels_and_never_waits(void **state)
{
    struct desk *d = *state;
    given_a_limit(d, PERIOD_TOTAL, 1000);
    d->views[0].is_run = true;
    given_reserved(d, 900);
    given_a_job(d, 500);
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_CANCEL);
    assert_non_null(strstr(d->decision.why, "max_cost"));
}

static void test_a_job_dearer_than_its_whole_run_may_cost_is_cancelled_for_that(
    void **state)
{
    struct desk *d = *state;
    given_a_limit(d, PERIOD_TOTAL, 1000);
    d->views[0].is_run = true;
    given_a_job(d, 1001);
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_CANCEL);
    assert_memory_equal(d->decision.why, "max_cost: may cost up to $", 26);
}

static void test_a_model_without_a_price_is_rejected_limit_or_not(void **state)
{
    struct desk *d = *state;
    given_a_job(d, 500);
    d->in.price = NULL;
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_REJECT);
    assert_non_null(strstr(d->decision.why, "price book"));
}

static void test_a_job_without_output_limit_reserves_the_models_maximum(void **state)
{
    struct desk *d = *state;
    given_a_job(d, 500);
    uint64_t input = prompt_tokens_bound(&d->ask.prompt);
    when_asked(d);
    assert_false(d->decision.bound.unlimited);
    d->ask.prompt.has_output_limit = false;
    when_asked(d);
    assert_true(d->decision.bound.unlimited);
    assert_int_equal(d->decision.bound.output_tokens, 1000);
    assert_int_equal(usd_pico(d->decision.bound.usd),
                     usd_pico(micro((int64_t)input + 1000)));
}

static void test_a_lane_that_may_try_twice_reserves_twice(void **state)
{
    static const unsigned tries[] = {[LANE_BATCH] = 1, [LANE_SYNC] = 2};
    struct desk *d = *state;
    given_a_job(d, 500);
    for (enum lane lane = LANE_BATCH; lane <= LANE_SYNC; lane++) {
        d->in.lane = lane;
        when_asked(d);
        assert_int_equal(d->decision.kind, ADMIT_RUN);
        assert_int_equal(d->decision.bound.tries, tries[lane]);
        assert_int_equal(usd_pico(d->decision.bound.usd),
                         usd_pico(micro(500 * (int64_t)tries[lane])));
    }
}

static void test_a_limit_must_have_room_for_every_try(void **state)
{
    struct desk *d = *state;
    d->in.lane = LANE_SYNC;
    given_a_limit(d, PERIOD_DAY, 1000);
    given_a_job(d, 500);
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_RUN);
    given_a_job(d, 501);
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_REJECT); /* the whole limit is too small */
    given_a_job(d, 500);
    given_spent(d, 1);
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_WAIT);
}

static void test_a_lane_without_terms_waits_and_says_what_is_missing(void **state)
{
    struct desk *d = *state;
    given_a_job(d, 500);
    snprintf(d->ask.head.run, sizeof(d->ask.head.run), "night");
    d->in.lane = LANE_POOL;
    d->in.price = NULL;
    d->in.no_lane = "no servers were given";
    d->in.no_lane_hint = "--set pool.servers=URL";
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_WAIT);
    assert_int_equal(d->decision.gate.kind, GATE_ENDPOINT);
    assert_true(d->decision.gate.closed);
    assert_string_equal(d->decision.gate.why,
                        "run 'night' asks for lane 'pool': no servers were given");
    assert_string_equal(d->decision.gate.hint, "--set pool.servers=URL");
}

static void test_three_choices_reserve_three_outputs(void **state)
{
    struct desk *d = *state;
    given_a_job(d, 500);
    uint64_t one = d->ask.prompt.output_limit;
    d->ask.prompt.choices = 3;
    when_asked(d);
    assert_int_equal(d->decision.bound.output_tokens, 3 * one);
}

static void test_a_prompt_with_images_reserves_the_whole_context(void **state)
{
    struct desk *d = *state;
    given_a_job(d, 500);
    d->ask.prompt.text_only = false;
    when_asked(d);
    assert_int_equal(d->decision.bound.input_tokens, 100000);
}

static void test_a_bound_past_nine_million_dollars_is_rejected(void **state)
{
    struct desk *d = *state;
    given_a_job(d, 500);
    d->ask.prompt.output_limit = UINT64_MAX / 2;
    d->ask.prompt.choices = 4;
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_REJECT);
}

static void test_what_was_submitted_for_another_endpoint_waits_for_it(void **state)
{
    struct desk *d = *state;
    given_a_job(d, 500);
    d->in.endpoint = "https://eu.example.com";
    d->in.origin = "https://api.openai.com";
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_WAIT);
    assert_int_equal(d->decision.gate.kind, GATE_ENDPOINT);
    assert_true(d->decision.gate.closed);
    assert_non_null(strstr(d->decision.gate.why, "eu.example.com"));
    assert_non_null(strstr(d->decision.gate.why, "api.openai.com"));
    d->in.origin = d->in.endpoint;
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_RUN);
}

static void test_a_paused_queue_waits_and_names_who_paused_it(void **state)
{
    struct desk *d = *state;
    struct budget_edit pause = {.paused = true};
    snprintf(pause.scope, sizeof(pause.scope), "search");
    snprintf(pause.who, sizeof(pause.who), "ana");
    given_a_job(d, 500);
    d->in.pause = &pause;
    when_asked(d);
    assert_int_equal(d->decision.gate.kind, GATE_PAUSE);
    assert_true(d->decision.gate.closed);
    assert_non_null(strstr(d->decision.gate.why, "ana"));
}

static void test_where_a_limit_is_needed_a_queue_without_one_waits_for_a_person(
    void **state)
{
    struct desk *d = *state;
    given_a_job(d, 500);
    d->in.needs_limit = true;
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_WAIT);
    assert_int_equal(d->decision.gate.kind, GATE_BUDGET);
    assert_true(d->decision.gate.closed);
    assert_int_equal(d->decision.gate.opens_wall_ms, 0);
    assert_null(d->decision.line);
    assert_string_equal(d->decision.gate.why, "no limit is set for 'search/tags'");
    assert_string_equal(d->decision.gate.hint,
                        "offpeak budget set search --limit USD --per day");
}

static void test_one_limit_of_any_period_is_enough(void **state)
{
    for (unsigned period = 0; period < PERIODS; period++) {
        struct desk *d = *state;
        d->in.lines_n = 0;
        given_a_limit(d, (enum period)period, 1000);
        given_a_job(d, 500);
        d->in.needs_limit = true;
        when_asked(d);
        assert_int_equal(d->decision.kind, ADMIT_RUN);
    }
}

static void test_a_runs_own_limit_is_not_one_of_its_queue(void **state)
{
    struct desk *d = *state;
    given_a_limit(d, PERIOD_TOTAL, 1000);
    d->views[0].is_run = true;
    given_a_job(d, 500);
    d->in.needs_limit = true;
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_WAIT);
    assert_string_equal(d->decision.gate.why, "no limit is set for 'search/tags'");
}

static void test_a_line_that_can_never_run_does_not_wait_for_a_limit(void **state)
{
    struct desk *d = *state;
    given_a_job(d, 500);
    snprintf(d->ask.why, sizeof(d->ask.why), "has no \"body\" object");
    d->in.needs_limit = true;
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_REJECT);
}

static void test_a_full_flow_waits_without_closing_the_gate(void **state)
{
    struct desk *d = *state;
    given_a_job(d, 500);
    d->in.flow_fits = false;
    when_asked(d);
    assert_int_equal(d->decision.gate.kind, GATE_FLOW);
    assert_false(d->decision.gate.closed);
}

static void test_a_refused_line_is_rejected_with_its_own_words(void **state)
{
    struct desk *d = *state;
    given_a_job(d, 500);
    snprintf(d->ask.why, sizeof(d->ask.why), "has no \"body\" object");
    d->in.price = NULL;
    when_asked(d);
    assert_int_equal(d->decision.kind, ADMIT_REJECT);
    assert_string_equal(d->decision.why, "has no \"body\" object");
}

static void test_a_waiting_queue_reopens_with_a_quarter_of_the_limit_free(void **state)
{
    struct desk *d = *state;
    given_a_limit(d, PERIOD_DAY, 1000);
    given_reserved(d, 800);
    assert_false(admit_reopens(&d->lines[0], micro(1000), micro(10)));
    usd_sum_sub(&d->lines[0].reserved, micro(50));
    assert_true(admit_reopens(&d->lines[0], micro(1000), micro(10)));
}

static void test_with_nothing_in_flight_any_room_that_fits_will_do(void **state)
{
    struct desk *d = *state;
    given_a_limit(d, PERIOD_DAY, 1000);
    given_spent(d, 980);
    assert_true(admit_reopens(&d->lines[0], micro(1000), micro(20)));
    assert_false(admit_reopens(&d->lines[0], micro(1000), micro(21)));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_without_any_limit_a_job_runs),
        T(test_a_job_that_exactly_fills_the_limit_runs),
        T(test_one_micro_dollar_too_much_waits),
        T(test_a_gate_is_not_closed_while_work_in_flight_may_leave_room),
        T(test_a_closed_day_says_when_it_opens_and_which_command_opens_it),
        T(test_a_total_has_no_hour_at_which_it_opens),
        T(test_what_is_in_doubt_counts_as_spent),
        T(test_a_job_dearer_than_the_whole_limit_is_rejected),
        T(test_what_would_make_it_cheaper_is_named_as_its_endpoint_does),
        T(test_the_gate_names_the_limit_that_a_response_does_not_state),
        T(test_the_tightest_of_several_limits_decides),
        T(test_a_run_limit_cancels_and_never_waits),
        T(test_a_job_dearer_than_its_whole_run_may_cost_is_cancelled_for_that),
        T(test_a_model_without_a_price_is_rejected_limit_or_not),
        T(test_a_job_without_output_limit_reserves_the_models_maximum),
        T(test_a_lane_that_may_try_twice_reserves_twice),
        T(test_a_limit_must_have_room_for_every_try),
        T(test_a_lane_without_terms_waits_and_says_what_is_missing),
        T(test_three_choices_reserve_three_outputs),
        T(test_a_prompt_with_images_reserves_the_whole_context),
        T(test_a_bound_past_nine_million_dollars_is_rejected),
        T(test_what_was_submitted_for_another_endpoint_waits_for_it),
        T(test_a_paused_queue_waits_and_names_who_paused_it),
        T(test_where_a_limit_is_needed_a_queue_without_one_waits_for_a_person),
        T(test_one_limit_of_any_period_is_enough),
        T(test_a_runs_own_limit_is_not_one_of_its_queue),
        T(test_a_line_that_can_never_run_does_not_wait_for_a_limit),
        T(test_a_full_flow_waits_without_closing_the_gate),
        T(test_a_refused_line_is_rejected_with_its_own_words),
        T(test_a_waiting_queue_reopens_with_a_quarter_of_the_limit_free),
        T(test_with_nothing_in_flight_any_room_that_fits_will_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
