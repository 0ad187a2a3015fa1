/* The batch lane: the straight way, lost replies, refusals, back-pressure. */
#include "tests/unit/lane_night.h"
#include "tests/unit/slow_commit.h"

/* ---- the straight way ---- */

static void test_a_batch_is_bought_once_answered_and_forgotten(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 12);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], 1);
    assert_int_equal(ln->desk.asked[DESK_CREATE], 1);
    assert_int_equal(ln->desk.asked[DESK_LIST], 0);
    assert_in_range(ln->desk.asked[DESK_BATCH], 5, 8); /* a minute, every ten seconds */
    assert_int_equal(status(ln).creates, 1);
}

static void on_ask(void *ctx, enum desk_op op)
{
    struct lane_night *ln = ctx;
    if (op == ln->watched && !ln->said[0]) {
        snprintf(ln->said, sizeof(ln->said), "%s", journal_says(ln));
    }
}

static void test_no_request_leaves_before_its_journal_entry(void **state)
{
    struct lane_night *ln = *state;
    static const struct {
        enum desk_op op;
        const char *says;
    } rows[] = {
        {DESK_UPLOAD, "journaled"}, {DESK_CREATE, "uploaded"}, {DESK_BATCH, "submitted"}};
    ln->desk.on_ask = on_ask;
    ln->desk.ctx = ln;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ln->watched = rows[i].op;
        ln->said[0] = '\0';
        given_batch(ln, 2);
        pass(ln, 5 * MINUTE);
        assert_string_equal(ln->said, rows[i].says);
    }
    assert_bought_once(ln);
}

static void test_a_batch_larger_than_a_slice_waits_for_room(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 1900);
    slow_commits(ln->n->loop);
    pass(ln, 5 * MINUTE);
    slow_commits(NULL);
    assert_bought_once(ln);
    assert_true(ln->n->rooms > 0);
}

/* ---- lost replies ---- */

static void test_a_create_whose_reply_was_lost_is_found_and_adopted(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk,
                 (struct desk_trouble){.op = DESK_CREATE, .what = DESK_LOSE_AFTER});
    given_batch(ln, 3);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.batches_len, 1);
    assert_int_equal(ln->desk.asked[DESK_DELETE], 0);
    assert_event(ln, "found what the earlier create made: 'batch_1'");
}

static void test_a_502_may_have_created_and_is_looked_for(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk, (struct desk_trouble){
                                .op = DESK_CREATE, .what = DESK_STATUS, .status = 502});
    given_batch(ln, 3);
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_DELETE], 1);
}

static void test_a_create_that_never_arrived_is_sent_again_only_without_its_input(
    void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk,
                 (struct desk_trouble){.op = DESK_CREATE, .what = DESK_LOSE_BEFORE});
    given_batch(ln, 3);
    pass(ln, 4 * MINUTE); /* looked, deleted, and waiting */
    assert_int_equal(ln->desk.asked[DESK_CREATE], 1);
    assert_int_equal(ln->desk.asked[DESK_LIST], 1);
    assert_null(ln->desk.files[0].text);
    pass(ln, 6 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_LIST], 2);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], 2);
    assert_true(ln->desk.asked_ms[DESK_CREATE] >=
                ln->desk.asked_ms[DESK_DELETE] + 5 * MINUTE);
}

static void test_a_batch_that_shows_up_late_in_the_list_is_adopted(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.lag_ms = 2 * MINUTE;
    desk_trouble(&ln->desk,
                 (struct desk_trouble){.op = DESK_CREATE, .what = DESK_LOSE_AFTER});
    given_batch(ln, 3);
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_CREATE], 1);
    assert_int_equal(ln->desk.asked[DESK_DELETE], 1);
}

static void test_a_batch_that_lost_its_input_starts_anew_and_counts_as_no_attempt(
    void **state)
{
    struct lane_night *ln = *state;
    ln->desk.lag_ms = 2 * MINUTE;
    ln->desk.read_ms = 3 * MINUTE; /* it had not read its input when we deleted it */
    for (int i = 0; i < BATCH_FAILURES_MAX + 1; i++) {
        desk_trouble(&ln->desk,
                     (struct desk_trouble){.op = DESK_CREATE, .what = DESK_LOSE_AFTER});
    }
    given_batch(ln, 3);
    pass(ln, 60 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.batches_len, BATCH_FAILURES_MAX + 2);
}

static void test_an_upload_whose_reply_was_lost_is_made_again(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk,
                 (struct desk_trouble){.op = DESK_UPLOAD, .what = DESK_LOSE_AFTER});
    given_batch(ln, 3);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], 2);
    assert_int_equal(ln->desk.asked[DESK_CREATE], 1);
}

static void test_of_two_batches_for_one_key_the_older_is_adopted(void **state)
{
    struct lane_night *ln = *state;
    struct err err;
    desk_trouble(&ln->desk,
                 (struct desk_trouble){.op = DESK_CREATE, .what = DESK_LOSE_AFTER});
    desk_trouble(&ln->desk,
                 (struct desk_trouble){
                     .op = DESK_LIST, .what = DESK_STATUS, .status = 503, .times = 3});
    given_batch(ln, 3);
    pass(ln, SECOND / 2);
    /* somebody, somehow, creates a second one with the same stamp */
    struct desk_batch twin = ln->desk.batches[0];
    snprintf(twin.id, sizeof(twin.id), "batch_2");
    twin.text = strdup(twin.text);
    ln->desk.batches[ln->desk.batches_len++] = twin;
    pass(ln, 10 * MINUTE);
    (void)err;
    assert_bought_once(ln);
    assert_false(ln->desk.batches[0].cancelled);
    assert_true(ln->desk.batches[1].cancelled);
    assert_event(ln, "a second batch 'batch_2' was found for it and cancelled");
}

/* ---- refusals ---- */

static void test_a_429_is_waited_out_as_long_as_the_server_says(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk, (struct desk_trouble){.op = DESK_CREATE,
                                                  .what = DESK_STATUS,
                                                  .status = 429,
                                                  .code = "rate_limit_exceeded",
                                                  .retry_after_ms = 40 * SECOND});
    given_batch(ln, 3);
    pass(ln, 39 * SECOND);
    assert_int_equal(ln->desk.asked[DESK_CREATE], 1);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_CREATE], 2);
    assert_int_equal(ln->desk.asked[DESK_LIST], 0); /* a 429 means not accepted */
}

static void test_a_refused_key_stops_the_account_and_its_jobs_wait(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk,
                 (struct desk_trouble){
                     .op = DESK_UPLOAD, .what = DESK_STATUS, .status = 401, .times = 6});
    given_batch(ln, 3);
    given_batch(ln, 3);
    pass(ln, 25 * SECOND);
    assert_non_null(status(ln).account_stop);
    assert_int_equal(status(ln).account_stop_code, ERR_AUTH);
    assert_in_range(ln->desk.asked[DESK_UPLOAD], 3, 4); /* two at once, then one a poll */
    pass(ln, 10 * MINUTE);
    assert_null(status(ln).account_stop);
    assert_bought_once(ln);
    assert_null(strstr(strstr(ln->events, "refuses the key") + 1,
                       "refuses the key")); /* said once */
}

static void test_a_quota_that_is_used_up_stops_buying_but_not_harvesting(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 3);
    pass(ln, 5 * SECOND);
    desk_trouble(&ln->desk, (struct desk_trouble){.op = DESK_CREATE,
                                                  .what = DESK_STATUS,
                                                  .status = 429,
                                                  .code = "insufficient_quota",
                                                  .times = 20});
    given_batch(ln, 3);
    pass(ln, 2 * MINUTE);
    assert_int_equal(status(ln).account_stop_code, ERR_TEMP);
    assert_result(ln->n, ln->at[0], "answer to ");
    assert_false(has_result(ln->n, ln->at[3]));
    pass(ln, 30 * MINUTE);
    assert_bought_once(ln);
}

static void test_a_provider_that_cannot_be_reached_is_said_so_after_a_while(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk, (struct desk_trouble){
                                .op = DESK_UPLOAD, .what = DESK_UNSENT, .times = 1000});
    given_batch(ln, 3);
    pass(ln, 9 * MINUTE);
    assert_null(status(ln).account_stop);
    pass(ln, 2 * MINUTE);
    assert_non_null(strstr(status(ln).account_stop,
                           "could not reach 'http://127.0.0.1:1': connection lost"));
    assert_int_equal(status(ln).account_stop_code, ERR_TEMP);
    ln->desk.troubles_len = 0;
    pass(ln, 5 * MINUTE);
    assert_null(status(ln).account_stop);
    assert_bought_once(ln);
}

static void test_replies_of_no_use_are_as_good_as_none(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk, (struct desk_trouble){.op = DESK_UPLOAD,
                                                  .what = DESK_STATUS,
                                                  .status = 503,
                                                  .times = 1000});
    given_batch(ln, 3);
    pass(ln, 9 * MINUTE);
    assert_null(status(ln).account_stop);
    pass(ln, 2 * MINUTE);
    assert_non_null(strstr(status(ln).account_stop, "it answers nothing but HTTP 503"));
    assert_non_null(strstr(status(ln).account_stop_hint, "later"));
    assert_int_equal(status(ln).account_stop_code, ERR_TEMP);
    ln->desk.troubles_len = 0;
    pass(ln, 5 * MINUTE);
    assert_null(status(ln).account_stop);
    assert_bought_once(ln);
}

static void test_a_busy_provider_is_no_silent_one(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk, (struct desk_trouble){.op = DESK_UPLOAD,
                                                  .what = DESK_STATUS,
                                                  .status = 429,
                                                  .code = "rate_limit_exceeded",
                                                  .times = 1000});
    given_batch(ln, 3);
    pass(ln, 30 * MINUTE);
    assert_null(status(ln).account_stop);
    ln->desk.troubles_len = 0;
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
}

static void test_a_refused_batch_is_tried_three_times_and_then_its_jobs_fail(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.ends[0] = ln->desk.ends[1] = ln->desk.ends[2] = DESK_FAILS;
    given_batch(ln, 3);
    pass(ln, 30 * MINUTE);
    assert_over(ln);
    assert_int_equal(ln->desk.batches_len, BATCH_FAILURES_MAX);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], BATCH_FAILURES_MAX);
    for (uint32_t i = 0; i < 3; i++) {
        assert_result(ln->n, ln->at[i], "the desk is closed"); /* the provider's words */
    }
}

static void test_a_create_refused_for_good_fails_with_the_providers_words(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk, (struct desk_trouble){.op = DESK_CREATE,
                                                  .what = DESK_STATUS,
                                                  .status = 400,
                                                  .code = "model_not_found",
                                                  .times = 3});
    given_batch(ln, 2);
    pass(ln, 30 * MINUTE);
    assert_over(ln);
    assert_result(ln->n, ln->at[0], "model_not_found: the desk says no");
    assert_int_equal(ln->desk.billed, 0);
}

static void test_lines_that_cannot_be_accepted_fail_alone(void **state)
{
    struct lane_night *ln = *state;
    static const char *const questions[] = {"good", "bad one", "fine", "bad two", "well"};
    ln->desk.ends[0] = DESK_FAILS_LINES;
    submit(ln, questions, 5);
    pass(ln, 10 * MINUTE);
    assert_over(ln);
    assert_result(ln->n, ln->at[0], "answer to good");
    assert_result(ln->n, ln->at[1], "this line is bad");
    assert_result(ln->n, ln->at[2], "answer to fine");
    assert_result(ln->n, ln->at[3], "this line is bad");
    assert_result(ln->n, ln->at[4], "answer to well");
    assert_int_equal(ln->desk.billed, 3);
}

/* ---- back-pressure ---- */

static void test_no_batch_is_larger_than_the_provider_takes(void **state)
{
    (void)state;
    const struct batch_conf modest = {
        .max_requests = 50, .max_bytes = 1000, .max_tokens = 7};
    struct plan_limits l = lane_batch_limits(&modest, &provider_openai);
    assert_int_equal(l.requests, 50);
    assert_int_equal(l.bytes, 1000);
    assert_int_equal(l.tokens, 7);
    const struct batch_conf greedy = {.max_requests = 1000000,
                                      .max_bytes = INT64_C(1000000000000)};
    l = lane_batch_limits(&greedy, &provider_openai);
    assert_int_equal(l.requests, 50000);
    assert_int_equal(l.bytes, 200000000);
    assert_int_equal(l.tokens, 0);
    struct provider generous = provider_openai;
    generous.batch_calls_max = UINT64_MAX;
    assert_int_equal(lane_batch_limits(&greedy, &generous).requests, BATCH_CALLS_MAX);
}

static void test_a_full_account_is_waited_for_and_counts_as_no_attempt(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 2); /* keeps the account busy: the other is not alone */
    pass(ln, 2 * SECOND);
    for (int i = 1; i < 5; i++) {
        ln->desk.ends[i] = DESK_OVERFLOWS;
    }
    ln->desk.batches[0].created_ms += 20 * MINUTE;
    given_batch(ln, 4);
    pass(ln, 60 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.batches_len, 6);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], 2); /* the file is still good */
}

static void test_a_batch_that_is_too_large_alone_is_split(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.ends[0] = ln->desk.ends[1] = DESK_OVERFLOWS;
    given_batch(ln, 5);
    pass(ln, 30 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.batches_len, 4);
    assert_int_equal(ln->desk.batches[2].lines, 3);
    assert_int_equal(ln->desk.batches[3].lines, 2);
}

static void test_one_call_that_never_fits_fails_at_last(void **state)
{
    struct lane_night *ln = *state;
    for (int i = 0; i < DESK_BATCHES_MAX; i++) {
        ln->desk.ends[i] = DESK_OVERFLOWS;
    }
    given_batch(ln, 1);
    pass(ln, 40 * 60 * MINUTE);
    assert_over(ln);
    assert_int_equal(ln->desk.batches_len, 20);
    assert_result(ln->n, ln->at[0], "the desk is closed");
}

static void test_a_file_the_provider_finds_too_large_is_split(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk, (struct desk_trouble){
                                .op = DESK_UPLOAD, .what = DESK_STATUS, .status = 413});
    given_batch(ln, 4);
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.batches_len, 2);
}

static void test_an_input_above_the_limit_is_split_before_it_leaves(void **state)
{
    struct lane_night *ln = *state;
    ln->conf.max_bytes = 300; /* a line has about 100 */
    given_batch(ln, 8);
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.batches_len, 4);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_batch_is_bought_once_answered_and_forgotten),
        TEST(test_no_request_leaves_before_its_journal_entry),
        TEST(test_a_batch_larger_than_a_slice_waits_for_room),
        TEST(test_a_create_whose_reply_was_lost_is_found_and_adopted),
        TEST(test_a_502_may_have_created_and_is_looked_for),
        TEST(test_a_create_that_never_arrived_is_sent_again_only_without_its_input),
        TEST(test_a_batch_that_shows_up_late_in_the_list_is_adopted),
        TEST(test_a_batch_that_lost_its_input_starts_anew_and_counts_as_no_attempt),
        TEST(test_an_upload_whose_reply_was_lost_is_made_again),
        TEST(test_of_two_batches_for_one_key_the_older_is_adopted),
        TEST(test_a_429_is_waited_out_as_long_as_the_server_says),
        TEST(test_a_refused_key_stops_the_account_and_its_jobs_wait),
        TEST(test_a_quota_that_is_used_up_stops_buying_but_not_harvesting),
        TEST(test_a_provider_that_cannot_be_reached_is_said_so_after_a_while),
        TEST(test_replies_of_no_use_are_as_good_as_none),
        TEST(test_a_busy_provider_is_no_silent_one),
        TEST(test_a_refused_batch_is_tried_three_times_and_then_its_jobs_fail),
        TEST(test_a_create_refused_for_good_fails_with_the_providers_words),
        TEST(test_lines_that_cannot_be_accepted_fail_alone),
        cmocka_unit_test(test_no_batch_is_larger_than_the_provider_takes),
        TEST(test_a_full_account_is_waited_for_and_counts_as_no_attempt),
        TEST(test_a_batch_that_is_too_large_alone_is_split),
        TEST(test_one_call_that_never_fits_fails_at_last),
        TEST(test_a_file_the_provider_finds_too_large_is_split),
        TEST(test_an_input_above_the_limit_is_split_before_it_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
