/* The batch lane, when every run that needs a batch was cancelled. */
#include "tests/unit/cancel_night.h"

/* A batch of these questions, one run each. */
static void given_runs(struct cancel_night *cn, const char *const *runs, uint32_t n)
{
    struct call *calls[8];
    struct err err;
    static const char *const questions[] = {"one", "two", "three", "four", "five", "six"};
    for (uint32_t i = 0; i < n; i++) {
        calls[i] = take_job(cn, questions[i], runs[i]);
    }
    assert_int_equal(lane_batch_submit(cn->ln->n->lane, calls, n, &err), 0);
}

#define GIVEN(cn, ...)                                 \
    given_runs(cn, (const char *const[]){__VA_ARGS__}, \
               ARRAY_LEN(((const char *const[]){__VA_ARGS__})))

static void assert_all_cancelled(struct cancel_night *cn)
{
    assert_over(cn->ln);
    for (uint32_t i = 0; i < cn->ln->jobs; i++) {
        assert_cancelled(cn, i);
    }
    assert_int_equal(cn->ln->desk.billed, 0);
    assert_int_equal(cn->ln->replanned_len, 0);
}

static void until_it_is_at_the_provider(struct cancel_night *cn)
{
    cn->ln->desk.batch_ms = 60 * MINUTE;
    pass(cn->ln, MINUTE);
    assert_string_equal(journal_says(cn->ln), "polling");
}

static unsigned asked_to_cancel(const struct cancel_night *cn)
{
    return cn->ln->desk.asked[DESK_CANCEL];
}

static void test_it_is_cancelled_at_the_provider_and_its_jobs_end(void **state)
{
    struct cancel_night *cn = *state;
    GIVEN(cn, "gone", "gone", "gone");
    until_it_is_at_the_provider(cn);
    cancel_run(cn, "gone");
    pass(cn->ln, MINUTE);
    assert_int_equal(asked_to_cancel(cn), 1);
    assert_event(cn->ln, "is cancelled at the provider: every run that needed it");
    assert_all_cancelled(cn);
}

static void test_it_is_not_waited_for_until_the_next_poll(void **state)
{
    struct cancel_night *cn = *state;
    GIVEN(cn, "gone");
    until_it_is_at_the_provider(cn);
    cn->ln->conf.poll_ms = 40 * MINUTE;
    pass(cn->ln, 20 * SECOND); /* asked after, and not again soon */
    cancel_run(cn, "gone");
    pass(cn->ln, 10 * SECOND);
    assert_all_cancelled(cn);
}

static void test_what_was_paid_for_is_kept(void **state)
{
    struct cancel_night *cn = *state;
    cn->ln->desk.ends[0] = DESK_IS_CANCELLED;
    GIVEN(cn, "gone", "gone", "gone", "gone");
    until_it_is_at_the_provider(cn);
    cancel_run(cn, "gone");
    pass(cn->ln, MINUTE);
    assert_over(cn->ln);
    assert_answered(cn, 0);
    assert_answered(cn, 1);
    assert_cancelled(cn, 2);
    assert_cancelled(cn, 3);
    assert_int_equal(cn->ln->desk.billed, 2);
    assert_int_equal(cn->ln->replanned_len, 0);
}

static void test_it_goes_on_while_another_run_needs_it(void **state)
{
    struct cancel_night *cn = *state;
    GIVEN(cn, "gone", "kept", "gone");
    until_it_is_at_the_provider(cn);
    cancel_run(cn, "gone");
    cn->ln->desk.batch_ms = 3 * MINUTE;
    pass(cn->ln, 10 * MINUTE);
    assert_int_equal(asked_to_cancel(cn), 0);
    assert_bought_once(cn->ln); /* the cancelled run's too: they are paid for */
}

static void test_it_goes_on_while_another_run_joined_a_call_of_it(void **state)
{
    struct cancel_night *cn = *state;
    struct call *c;
    GIVEN(cn, "gone", "gone");
    struct release r;
    release_of(cn->ln->n, cn->ln->at[1], &r);
    assert_non_null(c = call_find(cn->ln->n->calls, &r.key));
    join_job(cn, c, "two", "kept");
    until_it_is_at_the_provider(cn);
    cancel_run(cn, "gone");
    cn->ln->desk.batch_ms = 3 * MINUTE;
    pass(cn->ln, 10 * MINUTE);
    assert_int_equal(asked_to_cancel(cn), 0);
    assert_answered(cn, 1);
    assert_answered(cn, 2);
    assert_int_equal(cn->ln->desk.billed, 2);
}

static void test_of_several_runs_the_last_one_decides(void **state)
{
    struct cancel_night *cn = *state;
    GIVEN(cn, "first", "second");
    until_it_is_at_the_provider(cn);
    cancel_run(cn, "first");
    pass(cn->ln, MINUTE);
    assert_int_equal(asked_to_cancel(cn), 0);
    cancel_run(cn, "second");
    pass(cn->ln, MINUTE);
    assert_int_equal(asked_to_cancel(cn), 1);
    assert_all_cancelled(cn);
}

static void test_lines_that_were_not_executed_end_and_those_of_others_go_again(
    void **state)
{
    struct cancel_night *cn = *state;
    cn->ln->desk.ends[0] = DESK_EXPIRES;
    GIVEN(cn, "gone", "kept", "gone", "kept");
    until_it_is_at_the_provider(cn);
    cancel_run(cn, "gone");
    cn->ln->desk.batch_ms = 3 * MINUTE;
    pass(cn->ln, 10 * MINUTE);
    assert_answered(cn, 0);
    assert_answered(cn, 1);
    assert_cancelled(cn, 2);
    assert_int_equal(cn->ln->replanned_len, 1);
    assert_int_equal(cn->ln->replanned[0]->jobs->at, cn->ln->at[3]);
}

/* The account had no room for it: it goes again later. */
static void given_one_that_waits(struct cancel_night *cn)
{
    cn->ln->desk.ends[0] = DESK_OVERFLOWS;
    GIVEN(cn, "gone", "gone");
    until_told(cn->ln, "no room at the account yet");
    pass(cn->ln, SECOND);
    assert_string_equal(journal_says(cn->ln), "retry");
}

static void test_a_batch_that_waits_for_its_next_go_ends_here(void **state)
{
    struct cancel_night *cn = *state;
    given_one_that_waits(cn);
    cancel_run(cn, "gone");
    pass(cn->ln, SECOND);
    assert_event(cn->ln, "not sent: every run that needed it was cancelled");
    assert_int_equal(cn->ln->desk.batches_len, 1);
    assert_int_equal(asked_to_cancel(cn), 0);
    assert_all_cancelled(cn);
}

static void test_a_batch_that_could_not_be_uploaded_yet_ends_here(void **state)
{
    struct cancel_night *cn = *state;
    desk_trouble(
        &cn->ln->desk,
        (struct desk_trouble){.op = DESK_UPLOAD, .what = DESK_UNSENT, .times = 999});
    GIVEN(cn, "gone");
    pass(cn->ln, 5 * SECOND);
    assert_string_equal(journal_says(cn->ln), "journaled");
    cancel_run(cn, "gone");
    pass(cn->ln, 5 * MINUTE);
    assert_int_equal(cn->ln->desk.batches_len, 0);
    assert_all_cancelled(cn);
}

static void test_a_cancel_whose_reply_was_lost_is_looked_after_and_not_repeated(
    void **state)
{
    struct cancel_night *cn = *state;
    desk_trouble(&cn->ln->desk,
                 (struct desk_trouble){.op = DESK_CANCEL, .what = DESK_LOSE_AFTER});
    GIVEN(cn, "gone", "gone");
    until_it_is_at_the_provider(cn);
    cancel_run(cn, "gone");
    pass(cn->ln, 5 * MINUTE);
    assert_int_equal(asked_to_cancel(cn), 1);
    assert_all_cancelled(cn);
}

static void test_a_cancel_that_never_arrived_is_asked_again(void **state)
{
    struct cancel_night *cn = *state;
    desk_trouble(&cn->ln->desk,
                 (struct desk_trouble){.op = DESK_CANCEL, .what = DESK_LOSE_BEFORE});
    GIVEN(cn, "gone", "gone");
    until_it_is_at_the_provider(cn);
    cancel_run(cn, "gone");
    pass(cn->ln, 5 * MINUTE);
    assert_int_equal(asked_to_cancel(cn), 2);
    assert_all_cancelled(cn);
}

static void test_one_that_was_over_already_is_fetched(void **state)
{
    struct cancel_night *cn = *state;
    desk_trouble(&cn->ln->desk, (struct desk_trouble){.op = DESK_CANCEL,
                                                      .what = DESK_STATUS,
                                                      .status = 409,
                                                      .code = "batch_completed"});
    GIVEN(cn, "gone", "gone");
    until_it_is_at_the_provider(cn);
    cn->ln->desk.batch_ms = 0;
    cancel_run(cn, "gone");
    pass(cn->ln, 5 * MINUTE);
    assert_bought_once(cn->ln);
}

static void test_a_refused_key_stops_the_account_and_ends_no_job(void **state)
{
    struct cancel_night *cn = *state;
    desk_trouble(&cn->ln->desk, (struct desk_trouble){.op = DESK_CANCEL,
                                                      .what = DESK_STATUS,
                                                      .status = 401,
                                                      .code = "invalid_api_key",
                                                      .times = 999});
    GIVEN(cn, "gone");
    until_it_is_at_the_provider(cn);
    cancel_run(cn, "gone");
    pass(cn->ln, SECOND);
    assert_has(status(cn->ln).account_stop, "the provider refuses the key");
    assert_false(has_result(cn->ln->n, cn->ln->at[0]));
    assert_string_equal(journal_says(cn->ln), "polling");
}

/* ---- the next life ---- */

static void test_a_run_cancelled_while_nobody_worked_is_cancelled_by_the_next(
    void **state)
{
    struct cancel_night *cn = *state;
    GIVEN(cn, "gone", "gone");
    until_it_is_at_the_provider(cn);
    cancel_run(cn, "gone");
    crash_with_cancels(cn); /* before it has looked */
    assert_int_equal(asked_to_cancel(cn), 0);
    pass(cn->ln, 5 * MINUTE);
    assert_int_equal(asked_to_cancel(cn), 1);
    assert_all_cancelled(cn);
}

static void test_one_that_was_asked_for_is_fetched_by_the_next_life(void **state)
{
    struct cancel_night *cn = *state;
    cn->ln->desk.ends[0] = DESK_IS_CANCELLED;
    GIVEN(cn, "gone", "gone");
    until_it_is_at_the_provider(cn);
    cancel_run(cn, "gone");
    until_told(cn->ln, "is cancelled at the provider");
    pass(cn->ln, cn->ln->desk.latency_ms + 1);
    crash_with_cancels(cn);
    pass(cn->ln, 5 * MINUTE);
    assert_over(cn->ln);
    assert_answered(cn, 0);
    assert_cancelled(cn, 1);
    assert_int_equal(cn->ln->desk.billed, 1);
}

static void test_what_died_of_it_ends_as_cancelled_in_the_next_life_too(void **state)
{
    struct cancel_night *cn = *state;
    given_one_that_waits(cn);
    cancel_run(cn, "gone");
    until_told(cn->ln, "not sent");
    while (strcmp(journal_says(cn->ln), "dead") != 0) {
        pass(cn->ln, 0);
        assert_string_not_equal(journal_says(cn->ln), "none");
    }
    crash_with_cancels(cn);
    pass(cn->ln, MINUTE);
    assert_all_cancelled(cn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CANCEL_TEST(test_it_is_cancelled_at_the_provider_and_its_jobs_end),
        CANCEL_TEST(test_it_is_not_waited_for_until_the_next_poll),
        CANCEL_TEST(test_what_was_paid_for_is_kept),
        CANCEL_TEST(test_it_goes_on_while_another_run_needs_it),
        CANCEL_TEST(test_it_goes_on_while_another_run_joined_a_call_of_it),
        CANCEL_TEST(test_of_several_runs_the_last_one_decides),
        CANCEL_TEST(test_lines_that_were_not_executed_end_and_those_of_others_go_again),
        CANCEL_TEST(test_a_batch_that_waits_for_its_next_go_ends_here),
        CANCEL_TEST(test_a_batch_that_could_not_be_uploaded_yet_ends_here),
        CANCEL_TEST(test_a_cancel_whose_reply_was_lost_is_looked_after_and_not_repeated),
        CANCEL_TEST(test_a_cancel_that_never_arrived_is_asked_again),
        CANCEL_TEST(test_one_that_was_over_already_is_fetched),
        CANCEL_TEST(test_a_refused_key_stops_the_account_and_ends_no_job),
        CANCEL_TEST(test_a_run_cancelled_while_nobody_worked_is_cancelled_by_the_next),
        CANCEL_TEST(test_one_that_was_asked_for_is_fetched_by_the_next_life),
        CANCEL_TEST(test_what_died_of_it_ends_as_cancelled_in_the_next_life_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
