/* Nights of a lane that makes calls one by one: lost replies, crashes, servers that come and go. */
#include "tests/unit/direct_night.h"

/* ---- lost ---- */

static void a_lost_reply_is_booked_in_doubt_and_the_call_made_again(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone,
               (struct phone_rule){.question = "question-3", .what = PHONE_LOSE_AFTER});
    given_jobs(d, 10);
    pass(d, MINUTE);
    assert_over(d);
    assert_all_answered(d);
    assert_int_equal(phone_executed(&d->phone, "question-3"), 2);
    size_t n;
    const struct spend_head *h = spend_of(d, &n);
    assert_int_equal(n, 11);
    assert_int_equal(count_spend(d, 3, SPEND_IN_DOUBT, false), 1);
    assert_int_equal(count_spend(d, 3, SPEND_USAGE, true), 1);
    for (size_t i = 0; i < n; i++) {
        if (h[i].kind == SPEND_IN_DOUBT) {
            assert_int_equal(usd_pico(h[i].cost), 1000000000); /* the bound of one try */
            assert_int_equal(h[i].try_n, 1);
        }
    }
    assert_all_booked(d);
}

static void a_call_lost_at_its_last_try_ends_failed_and_stays_booked(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone, (struct phone_rule){.question = "question-3",
                                              .what = PHONE_LOSE_AFTER,
                                              .times = 2});
    given_jobs(d, 10);
    pass(d, MINUTE);
    assert_over(d);
    assert_int_equal(phone_executed(&d->phone, "question-3"), 2);
    assert_result(d->n, d->at[3], "\"code\":\"in_doubt\"");
    assert_int_equal(count_spend(d, 3, SPEND_IN_DOUBT, false), 1);
    assert_int_equal(count_spend(d, 3, SPEND_IN_DOUBT, true), 1);
    assert_all_booked(d);
}

static void replies_that_may_have_cost_something_count_as_lost(void **state)
{
    static const int statuses[] = {408, 500, 502, 504};
    struct direct_night *d = *state;
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        phone_rule(&d->phone, (struct phone_rule){.question = "question",
                                                  .what = PHONE_STATUS,
                                                  .status = statuses[i]});
    }
    phone_rule(&d->phone, (struct phone_rule){.question = "question",
                                              .what = PHONE_BODY,
                                              .body = "{\"mod"});
    given_jobs(d, 5);
    pass(d, MINUTE);
    assert_over(d);
    assert_all_answered(d);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(count_spend(d, i, SPEND_IN_DOUBT, false), 1);
    }
}

static void a_call_that_takes_too_long_is_lost(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone,
               (struct phone_rule){.question = "question-0", .what = PHONE_SILENT});
    given_jobs(d, 2);
    pass(d, 6 * MINUTE);
    assert_over(d);
    assert_all_answered(d);
    assert_int_equal(count_spend(d, 0, SPEND_IN_DOUBT, false), 1);
}

static void a_call_that_costs_nothing_has_as_many_tries_as_its_job_says(void **state)
{
    struct direct_night *d = *state;
    d->tries = 8;
    phone_rule(&d->phone, (struct phone_rule){.question = "question-0",
                                              .what = PHONE_LOSE_BEFORE,
                                              .times = 7});
    given_jobs(d, 2);
    pass(d, MINUTE);
    assert_over(d);
    assert_all_answered(d);
    assert_int_equal(count_spend(d, 0, SPEND_IN_DOUBT, false), 7);
}

/* ---- crashes ---- */

static void after_a_crash_calls_without_an_answer_are_booked_and_made_again(void **state)
{
    struct direct_night *d = *state;
    given_jobs(d, 100);
    pass(d, 50);
    unsigned before = d->phone.executed;
    assert_in_range(before, 9, 60);
    crash_and_go_on(d);
    uint32_t known = call_count(d->n->calls);
    assert_in_range(known, 1, 2 * 16 + 8);
    pass(d, MINUTE);
    assert_int_equal(d->stops, 0);
    assert_int_equal(journal_rows(d), 0);
    uint32_t answered = 0, doubts = 0;
    for (uint32_t i = 0; i < d->jobs; i++) {
        if (is_acked(d->n, d->at[i])) {
            assert_answered(d, i);
            answered++;
        }
        doubts += (uint32_t)count_spend(d, i, SPEND_IN_DOUBT, false);
    }
    assert_true(answered >= before);
    assert_int_equal(doubts, known);
    assert_all_booked(d);
}

static void a_second_crash_ends_what_is_at_its_last_try(void **state)
{
    struct direct_night *d = *state;
    given_jobs(d, 8);
    pass(d, 15);
    crash_and_go_on(d);
    pass(d, 15); /* booked, journaled at try 2, under way */
    assert_int_equal(d->phone.asked, 16);
    crash_and_go_on(d);
    pass(d, MINUTE);
    assert_over(d);
    assert_int_equal(d->phone.asked, 16);
    for (uint32_t i = 0; i < 8; i++) {
        assert_result(d->n, d->at[i], "\"code\":\"in_doubt\"");
        assert_int_equal(count_spend(d, i, SPEND_IN_DOUBT, false), 1);
        assert_int_equal(count_spend(d, i, SPEND_IN_DOUBT, true), 1);
    }
    assert_all_booked(d);
}

/* Every slot had a call that ended so: the slots are there for what comes. */
static void after_calls_ended_at_their_last_try_others_are_made(void **state)
{
    struct direct_night *d = *state;
    d->tries = 1;
    given_jobs(d, 8);
    pass(d, 15);
    assert_int_equal(d->phone.under_way, 8);
    crash_and_go_on(d);
    given_jobs(d, 4);
    pass(d, MINUTE);
    assert_over(d);
    for (uint32_t i = 8; i < 12; i++) {
        assert_answered(d, i);
    }
}

static void a_crash_before_the_booking_is_booked_once(void **state)
{
    struct direct_night *d = *state;
    given_jobs(d, 8);
    pass(d, 15);
    crash(d);
    start_well(d); /* registered, not booked yet: the lane has had no turn */
    crash_and_go_on(d);
    pass(d, MINUTE);
    assert_over(d);
    assert_all_answered(d);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(count_spend(d, i, SPEND_IN_DOUBT, false), 1);
    }
}

/* Its slice has others under way, so it stands in two slices for a while. */
static void of_two_slices_with_one_call_the_higher_try_counts(void **state)
{
    struct direct_night *d = *state;
    phone_rule(&d->phone, (struct phone_rule){.question = "question-0",
                                              .what = PHONE_LOSE_AFTER,
                                              .latency_ms = 5});
    phone_rule(&d->phone, (struct phone_rule){.question = "question",
                                              .what = PHONE_ANSWERS,
                                              .times = -1,
                                              .latency_ms = 3000});
    given_jobs(d, 8);
    pass(d, 1000);
    assert_int_equal(times_in_journal(d, 0), 2);
    crash_and_go_on(d);
    pass(d, MINUTE);
    assert_over(d);
    assert_result(d->n, d->at[0], "\"code\":\"in_doubt\"");
    assert_int_equal(count_spend(d, 0, SPEND_IN_DOUBT, false), 1);
    assert_int_equal(count_spend(d, 0, SPEND_IN_DOUBT, true), 1);
    for (uint32_t i = 1; i < 8; i++) {
        assert_answered(d, i);
        assert_int_equal(count_spend(d, i, SPEND_IN_DOUBT, false), 1);
    }
    assert_all_booked(d);
}

static void after_a_good_end_only_calls_under_way_are_in_doubt(void **state)
{
    struct direct_night *d = *state;
    d->conf.concurrency = 4;
    crash_and_go_on(d);
    phone_rule(&d->phone, (struct phone_rule){.question = "question",
                                              .what = PHONE_ANSWERS,
                                              .times = -1,
                                              .latency_ms = 3000});
    given_jobs(d, 20);
    pass(d, 1000);
    assert_int_equal(d->phone.under_way, 4);
    lane_direct_stop(d->n->direct);
    crash_and_go_on(d);
    assert_int_equal(call_count(d->n->calls), 4);
    pass(d, MINUTE);
    assert_int_equal(journal_rows(d), 0);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(count_spend(d, i, SPEND_IN_DOUBT, false),
                         phone_executed(&d->phone, d->questions[i]) > 1);
    }
}

static void calls_under_way_at_another_address_are_not_made_here(void **state)
{
    struct direct_night *d = *state;
    struct err err;
    given_jobs(d, 8);
    pass(d, 15);
    crash(d);
    d->origin = "https://other.example";
    assert_int_equal(start(d, &err), -(int)ERR_USAGE);
    assert_has(err.msg, "http://127.0.0.1:1");
    assert_has(err.msg, "https://other.example");
    pass(d, MINUTE);
    assert_int_equal(d->phone.asked, 8);
    crash(d);
    d->origin = "http://127.0.0.1:1";
    start_well(d);
    pass(d, MINUTE);
    assert_over(d);
    assert_all_answered(d);
}

static void rows_of_another_lane_are_left_as_they_are(void **state)
{
    struct direct_night *d = *state;
    given_jobs(d, 8);
    pass(d, 15);
    uint32_t rows = journal_rows(d);
    crash(d);
    d->lane = LANE_POOL;
    start_well(d);
    assert_int_equal(call_count(d->n->calls), 0);
    pass(d, MINUTE);
    assert_int_equal(journal_rows(d), rows);
    assert_int_equal(d->phone.asked, 8);
}

/* ---- servers that come and go ---- */

static void given_three_servers(struct direct_night *d)
{
    d->servers = 3;
    d->conf.moves = true;
    d->conf.adapts = false;
    d->conf.concurrency = 4;
    d->conf.stall_ms = 30000;
    d->tries = 8;
    crash_and_go_on(d);
}

/* Calls of another group that were executed before the last one of `group`. */
static unsigned others_before_the_end_of(const struct phone *p, char group)
{
    unsigned others = 0, at_the_end = 0;
    for (unsigned i = 0; i < p->executed; i++) {
        others += p->log[i][0] != group;
        at_the_end = p->log[i][0] == group ? others : at_the_end;
    }
    return at_the_end;
}

static void a_call_that_comes_back_is_followed_by_one_of_its_group(void **state)
{
    struct direct_night *d = *state;
    char question[24];
    given_three_servers(d);
    crash(d);
    d->servers = 1;
    start_well(d);
    d->phone.latency_ms = 2000;
    phone_rule(&d->phone,
               (struct phone_rule){.question = "b", .latency_ms = 200, .times = -1});
    for (unsigned i = 0; i < 80; i++) {
        snprintf(question, sizeof(question), "%c-%u", "abcd"[i % 4], i);
        give_of_group(d, 1 + i % 4, question);
    }
    pass(d, 5 * MINUTE);
    assert_over(d);
    assert_all_answered(d);
    /* 20 quick calls in a row take as long as two of each other group. */
    assert_in_range(others_before_the_end_of(&d->phone, 'b'), 3, 9);
}

static void a_server_that_refuses_is_left_until_it_is_back(void **state)
{
    struct direct_night *d = *state;
    given_three_servers(d);
    phone_rule(&d->phone,
               (struct phone_rule){.host = ":2/", .what = PHONE_UNSENT, .times = 9});
    given_jobs(d, 200);
    pass(d, MINUTE / 6);
    assert_all_answered(d);
    assert_has(d->events, "'http://127.0.0.1:2/v1' is down");
    assert_null(strstr(d->events, "there again"));
    pass(d, 3 * MINUTE);
    assert_has(d->events, "'http://127.0.0.1:2/v1' is there again");
    assert_in_range(d->phone.probes, 1, 9);
    unsigned probes = d->phone.probes;
    given_jobs(d, 100);
    pass(d, MINUTE);
    assert_over(d);
    assert_all_answered(d);
    assert_int_equal(d->phone.probes, probes);
    assert_int_equal(d->phone.executed, 300);
}

static void calls_at_a_server_that_falls_silent_go_elsewhere(void **state)
{
    struct direct_night *d = *state;
    given_three_servers(d);
    phone_rule(&d->phone, (struct phone_rule){.question = "question",
                                              .host = ":3/",
                                              .what = PHONE_SILENT,
                                              .times = 4});
    given_jobs(d, 100);
    pass(d, 25000);
    assert_int_equal(d->phone.under_way, 4);
    pass(d, 10000);
    assert_has(d->events, "'http://127.0.0.1:3/v1' is down");
    assert_all_answered(d);
    uint32_t doubts = 0;
    for (uint32_t i = 0; i < d->jobs; i++) {
        doubts += (uint32_t)count_spend(d, i, SPEND_IN_DOUBT, false);
    }
    assert_int_equal(doubts, 4);
    pass(d, 10 * MINUTE); /* the replies that nobody waits for */
    assert_over(d);
}

static void when_every_server_is_down_for_long_the_lane_says_so(void **state)
{
    struct direct_night *d = *state;
    given_three_servers(d);
    phone_rule(&d->phone, (struct phone_rule){.what = PHONE_UNSENT, .times = -1});
    given_jobs(d, 20);
    pass(d, 9 * MINUTE);
    assert_null(stopped(d));
    pass(d, 3 * MINUTE);
    assert_has(stopped(d), "could not reach");
    assert_int_equal(d->phone.executed, 0);
    d->phone.rules_len = 0;
    pass(d, 5 * MINUTE);
    assert_over(d);
    assert_all_answered(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_lost_reply_is_booked_in_doubt_and_the_call_made_again),
        TEST(a_call_lost_at_its_last_try_ends_failed_and_stays_booked),
        TEST(replies_that_may_have_cost_something_count_as_lost),
        TEST(a_call_that_takes_too_long_is_lost),
        TEST(a_call_that_costs_nothing_has_as_many_tries_as_its_job_says),
        TEST(after_a_crash_calls_without_an_answer_are_booked_and_made_again),
        TEST(a_second_crash_ends_what_is_at_its_last_try),
        TEST(after_calls_ended_at_their_last_try_others_are_made),
        TEST(a_crash_before_the_booking_is_booked_once),
        TEST(of_two_slices_with_one_call_the_higher_try_counts),
        TEST(after_a_good_end_only_calls_under_way_are_in_doubt),
        TEST(calls_under_way_at_another_address_are_not_made_here),
        TEST(rows_of_another_lane_are_left_as_they_are),
        TEST(a_call_that_comes_back_is_followed_by_one_of_its_group),
        TEST(a_server_that_refuses_is_left_until_it_is_back),
        TEST(calls_at_a_server_that_falls_silent_go_elsewhere),
        TEST(when_every_server_is_down_for_long_the_lane_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
