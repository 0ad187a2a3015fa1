/* Nights of a lane that makes calls one by one: good ones, and what providers refuse. */
#include "tests/unit/direct_night.h"

/* ---- a good night ---- */

static void every_call_is_made_once_at_the_list_price(void **state)
{
    struct direct_night *d = *state;
    size_t n;
    given_jobs(d, 300);
    pass(d, MINUTE);
    assert_over(d);
    assert_all_answered(d);
    assert_int_equal(d->phone.executed, 300);
    assert_string_equal(d->phone.url, "http://127.0.0.1:1/v1/chat/completions");
    const struct spend_head *h = spend_of(d, &n);
    assert_int_equal(n, 300);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(usd_pico(h[i].cost), 120000000); /* 0.00012 */
        assert_true(h[i].final);
        assert_int_equal(h[i].try_n, 1);
    }
}

static void an_answer_on_many_lines_becomes_one_record(void **state)
{
    struct direct_night *d = *state;
    give(d, "lines");
    pass(d, MINUTE);
    char *result = result_of(d->n, d->at[0]);
    assert_null(strchr(result, '\n'));
    assert_has(result, "{\"object\": \"chat.completion\",\"model\": \"gpt-test\"");
    free(result);
}

static void look_into_journal(void *ctx, const char *question)
{
    struct direct_night *d = ctx;
    uint32_t job = 0;
    while (strcmp(d->questions[job], question) != 0) {
        job++;
    }
    d->unjournaled += times_in_journal(d, job) == 0;
}

static void no_call_leaves_before_it_stands_in_the_journal(void **state)
{
    struct direct_night *d = *state;
    d->phone.on_ask = look_into_journal;
    d->phone.ctx = d;
    phone_rule(&d->phone, (struct phone_rule){.question = "question-1",
                                              .what = PHONE_LOSE_AFTER,
                                              .times = 30});
    phone_rule(&d->phone, (struct phone_rule){.question = "question-2",
                                              .what = PHONE_STATUS,
                                              .times = 30,
                                              .status = 429});
    given_jobs(d, 100);
    pass(d, 5 * MINUTE);
    assert_true(d->phone.asked > 100);
    assert_int_equal(d->unjournaled, 0);
}

static void no_more_are_under_way_than_configured(void **state)
{
    struct direct_night *d = *state;
    given_jobs(d, 400);
    pass(d, MINUTE);
    assert_int_equal(d->phone.most_under_way, 16);
}

static void equal_questions_are_one_call(void **state)
{
    struct direct_night *d = *state;
    struct asked a = {.question = "same", .lane = LANE_SYNC, .tries = 2};
    give(d, "same");
    uint64_t second = release_job(d->n, &a);
    struct release r;
    release_of(d->n, second, &r);
    call_join(d->n->calls, call_find(d->n->calls, &r.key), second);
    pass(d, MINUTE);
    assert_int_equal(d->phone.executed, 1);
    assert_result(d->n, second, "answer to same");
}

/* ---- refused ---- */

static void what_is_refused_for_load_goes_again_and_is_no_try(void **state)
{
    static const int statuses[] = {429, 503, 529};
    struct direct_night *d = *state;
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        phone_rule(&d->phone, (struct phone_rule){.question = "question",
                                                  .what = PHONE_STATUS,
                                                  .times = 4,
                                                  .status = statuses[i]});
    }
    given_jobs(d, 20);
    pass(d, 9 * MINUTE);
    assert_over(d);
    assert_all_answered(d);
    assert_int_equal(d->phone.asked, 20 + 12);
    size_t n;
    const struct spend_head *h = spend_of(d, &n);
    assert_int_equal(n, 20);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(h[i].try_n, 1);
    }
}

static void the_time_a_refusal_names_is_waited_for_by_all(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone, (struct phone_rule){.question = "question-0",
                                              .what = PHONE_STATUS,
                                              .status = 429,
                                              .retry_after_ms = 30000,
                                              .latency_ms = 1});
    given_jobs(d, 100);
    pass(d, 25000);
    unsigned asked = d->phone.asked;
    assert_in_range(asked, 1, 16);
    pass(d, 3 * MINUTE);
    assert_over(d);
    assert_all_answered(d);
}

static void what_never_left_goes_again(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone, (struct phone_rule){.what = PHONE_UNSENT, .times = 40});
    given_jobs(d, 20);
    pass(d, 9 * MINUTE);
    assert_over(d);
    assert_all_answered(d);
    assert_int_equal(d->phone.executed, 20);
}

static void what_is_refused_for_good_ends_failed_and_costs_nothing(void **state)
{
    static const int statuses[] = {400, 404, 413, 422};
    struct direct_night *d = *state;
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        char name[24];
        snprintf(name, sizeof(name), "bad-%zu", i);
        phone_rule(&d->phone, (struct phone_rule){.question = "bad",
                                                  .what = PHONE_STATUS,
                                                  .status = statuses[i]});
        give(d, name);
    }
    give(d, "good");
    pass(d, MINUTE);
    assert_over(d);
    for (uint32_t i = 0; i < 4; i++) {
        assert_result(d->n, d->at[i], "\"status\":\"failed\"");
        assert_result(d->n, d->at[i], "the phone says no");
        assert_int_equal(count_spend(d, i, SPEND_USAGE, true), 1);
    }
    assert_answered(d, 4);
    assert_int_equal(d->phone.asked, 5);
}

static void a_call_refused_for_too_long_ends_failed_while_others_go_on(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone, (struct phone_rule){.question = "poison",
                                              .what = PHONE_STATUS,
                                              .times = -1,
                                              .status = 503});
    give(d, "poison");
    for (int i = 0; i < 60; i++) {
        given_jobs(d, 1);
        pass(d, MINUTE / 2);
    }
    assert_over(d);
    assert_result(d->n, d->at[0], "\"status\":\"failed\"");
    assert_int_equal(count_spend(d, 0, SPEND_IN_DOUBT, true), 0);
}

/* ---- the account ---- */

static void a_refused_key_stops_the_account_and_its_calls_wait(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone, (struct phone_rule){.what = PHONE_STATUS,
                                              .times = 30,
                                              .status = 401,
                                              .code = "invalid_api_key"});
    given_jobs(d, 100);
    pass(d, 5 * MINUTE);
    assert_non_null(stopped(d));
    assert_has(stopped(d), "could not work with 'http://127.0.0.1:1'");
    assert_in_range(d->phone.asked, 8, 8 + 5); /* then one a minute */
    assert_int_equal(count_records(d->n, TOPIC_SPEND), 0);
    pass(d, 30 * MINUTE);
    assert_null(stopped(d));
    assert_over(d);
    assert_all_answered(d);
}

static void a_page_that_says_no_ends_no_job(void **state)
{
    static const int statuses[] = {301, 400, 403, 404};
    struct direct_night *d = *state;
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        phone_rule(&d->phone, (struct phone_rule){.what = PHONE_STATUS,
                                                  .code = "page",
                                                  .status = statuses[i]});
    }
    given_jobs(d, 40);
    pass(d, 20 * MINUTE);
    assert_over(d);
    assert_all_answered(d);
}

/* A portal takes everything and answers nothing: what it took is booked, the rest waits. */
static void a_page_that_says_yes_stops_the_account(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone, (struct phone_rule){.what = PHONE_BODY,
                                              .times = 8,
                                              .body = "<html>welcome</html>"});
    given_jobs(d, 40);
    pass(d, MINUTE / 2);
    assert_has(stopped(d), "what answers there is not the API");
    pass(d, 20 * MINUTE);
    assert_over(d);
    assert_all_answered(d);
    assert_all_booked(d);
}

static void when_nobody_answers_for_long_the_account_stands_still(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone, (struct phone_rule){.what = PHONE_UNSENT, .times = -1});
    given_jobs(d, 3);
    pass(d, 9 * MINUTE);
    assert_null(stopped(d));
    pass(d, 3 * MINUTE);
    assert_has(stopped(d), "could not reach 'http://127.0.0.1:1': connection lost");
    assert_int_equal(count_records(d->n, "results.shop"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_call_is_made_once_at_the_list_price),
        TEST(an_answer_on_many_lines_becomes_one_record),
        TEST(no_call_leaves_before_it_stands_in_the_journal),
        TEST(no_more_are_under_way_than_configured),
        TEST(equal_questions_are_one_call),
        TEST(what_is_refused_for_load_goes_again_and_is_no_try),
        TEST(the_time_a_refusal_names_is_waited_for_by_all),
        TEST(what_never_left_goes_again),
        TEST(what_is_refused_for_good_ends_failed_and_costs_nothing),
        TEST(a_call_refused_for_too_long_ends_failed_while_others_go_on),
        TEST(a_refused_key_stops_the_account_and_its_calls_wait),
        TEST(a_page_that_says_no_ends_no_job),
        TEST(a_page_that_says_yes_stops_the_account),
        TEST(when_nobody_answers_for_long_the_account_stands_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
