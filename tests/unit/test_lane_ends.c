/* The batch lane: results in every end a batch can have, and restarts. */
#include "tests/unit/lane_night.h"

/* ---- results ---- */

static void when_replanned(struct lane_night *ln)
{
    struct err err;
    uint32_t n = ln->replanned_len;
    ln->replanned_len = 0;
    assert_string_equal(journal_says(ln),
                        "none"); /* no job is in two journaled batches */
    assert_int_equal(lane_batch_submit(ln->n->lane, ln->replanned, n, &err), 0);
}

static void test_an_expired_batch_is_harvested_and_the_rest_goes_again(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.ends[0] = DESK_EXPIRES;
    given_batch(ln, 10);
    pass(ln, 5 * MINUTE);
    assert_over(ln);
    assert_int_equal(ln->replanned_len, 5);
    assert_int_equal(ln->desk.billed, 5);
    when_replanned(ln);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
}

static void test_a_cancelled_batch_is_harvested_too(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.ends[0] = DESK_IS_CANCELLED;
    given_batch(ln, 4);
    pass(ln, 5 * MINUTE);
    assert_int_equal(ln->replanned_len, 2);
    when_replanned(ln);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
}

static void test_a_line_that_is_never_executed_fails_after_ten_goes(void **state)
{
    struct lane_night *ln = *state;
    for (int i = 0; i < DESK_BATCHES_MAX; i++) {
        ln->desk.ends[i] = DESK_EXPIRES;
    }
    given_batch(ln, 1); /* half of one is none */
    for (int go = 1; go < BATCH_AGAIN_MAX; go++) {
        pass(ln, 5 * MINUTE);
        assert_int_equal(ln->replanned_len, 1);
        when_replanned(ln);
    }
    pass(ln, 5 * MINUTE);
    assert_over(ln);
    assert_result(ln->n, ln->at[0], "batch_expired");
    assert_int_equal(ln->desk.batches_len, BATCH_AGAIN_MAX);
}

static void test_lines_refused_for_load_go_again_a_few_times(void **state)
{
    struct lane_night *ln = *state;
    static const char *const questions[] = {"patient", "hopeless", "easy"};
    desk_line(&ln->desk, "patient", DESK_BUSY, 2);
    desk_line(&ln->desk, "hopeless", DESK_BUSY, 99);
    submit(ln, questions, 3);
    pass(ln, 5 * MINUTE);
    assert_int_equal(ln->replanned_len, 2);
    when_replanned(ln);
    pass(ln, 5 * MINUTE);
    assert_int_equal(ln->replanned_len, 2);
    when_replanned(ln);
    pass(ln, 5 * MINUTE);
    assert_over(ln);
    assert_int_equal(ln->replanned_len, 0);
    assert_result(ln->n, ln->at[0], "answer to patient");
    assert_result(ln->n, ln->at[1], "\"status_code\":429");
    assert_result(ln->n, ln->at[2], "answer to easy");
}

static void test_a_refused_line_fails_at_once(void **state)
{
    struct lane_night *ln = *state;
    static const char *const questions[] = {"odd", "easy"};
    desk_line(&ln->desk, "odd", DESK_REFUSED, 1);
    submit(ln, questions, 2);
    pass(ln, 5 * MINUTE);
    assert_over(ln);
    assert_result(ln->n, ln->at[0], "\"status_code\":400");
    assert_result(ln->n, ln->at[1], "answer to easy");
}

static void test_a_line_that_comes_twice_is_charged_once_and_reported(void **state)
{
    struct lane_night *ln = *state;
    static const char *const questions[] = {"echo", "easy"};
    desk_line(&ln->desk, "echo", DESK_TWICE, 1);
    submit(ln, questions, 2);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
    assert_event(ln, "of 3 result lines 1 came twice");
}

static void test_a_missing_line_is_fetched_again_and_then_in_doubt(void **state)
{
    struct lane_night *ln = *state;
    static const char *const questions[] = {"lost", "easy"};
    desk_line(&ln->desk, "lost", DESK_OMITTED, 1);
    submit(ln, questions, 2);
    pass(ln, 5 * MINUTE);
    assert_over(ln);
    assert_int_equal(ln->desk.asked[DESK_CONTENT], 2);
    assert_result(ln->n, ln->at[1], "answer to easy");
    struct spend_head heads[4];
    assert_int_equal(spend_heads(ln->n, heads, 4), 2);
    bool first = heads[0].kind == SPEND_IN_DOUBT;
    assert_true(first ||
                heads[1].kind == SPEND_IN_DOUBT); /* it was billed: it may not go again */
    assert_int_equal(ln->replanned_len, 0);
}

static void test_without_counts_a_missing_line_is_in_doubt(void **state)
{
    struct lane_night *ln = *state;
    static const char *const questions[] = {"lost", "easy"};
    ln->desk.ends[0] = DESK_NO_COUNTS;
    desk_line(&ln->desk, "lost", DESK_OMITTED, 1);
    submit(ln, questions, 2);
    pass(ln, 5 * MINUTE);
    assert_over(ln);
    assert_int_equal(ln->replanned_len, 0);
    assert_result(ln->n, ln->at[0], "missing from the provider's result files");
}

static void test_a_download_that_was_cut_is_made_again(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk, (struct desk_trouble){.op = DESK_CONTENT, .what = DESK_CUT});
    desk_trouble(&ln->desk,
                 (struct desk_trouble){.op = DESK_CONTENT, .what = DESK_LOSE_AFTER});
    given_batch(ln, 3);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_CONTENT], 3);
}

static void test_a_new_batch_that_is_not_visible_yet_is_waited_for(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.lag_ms = 4 * MINUTE;
    given_batch(ln, 3);
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
}

static void test_a_batch_that_is_gone_leaves_its_jobs_in_doubt(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 2);
    pass(ln, 20 * SECOND);
    assert_string_equal(journal_says(ln), "polling");
    desk_trouble(&ln->desk,
                 (struct desk_trouble){
                     .op = DESK_BATCH, .what = DESK_STATUS, .status = 404, .times = 999});
    pass(ln, 4 * MINUTE);
    assert_false(has_result(ln->n, ln->at[0]));
    pass(ln, 3 * MINUTE);
    assert_over(ln);
    assert_result(ln->n, ln->at[0], "the provider no longer knows batch 'batch_1'");
    struct spend_head heads[4];
    assert_int_equal(spend_heads(ln->n, heads, 4), 2);
    assert_int_equal(heads[0].kind, SPEND_IN_DOUBT);
}

/* ---- restarts ---- */

static void test_a_crash_in_any_state_buys_nothing_twice(void **state)
{
    struct lane_night *ln = *state;
    static const int64_t after_ms[] = {0,   1,   20,   49,    60,    99,
                                       120, 180, 5000, 15000, 61000, 70000};
    for (size_t i = 0; i < ARRAY_LEN(after_ms); i++) {
        given_batch(ln, 4);
        pass(ln, after_ms[i]);
        bool kept = strcmp(journal_says(ln), "none") != 0;
        crash_and_go_on(ln);
        pass(ln, 20 * MINUTE);
        assert_true(ln->recovered);
        if (!kept && !has_result(ln->n, ln->at[ln->jobs - 1])) {
            ln->jobs -= 4; /* it never left memory: intake would deliver the jobs again */
        }
    }
    assert_true(ln->jobs >= 4 * (ARRAY_LEN(after_ms) - 2));
    assert_over(ln);
    assert_all_answered(ln);
    assert_int_equal(ln->desk.billed, ln->jobs);
}

static void test_a_restart_in_uploaded_looks_before_it_creates(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.latency_ms = 10 * SECOND;
    given_batch(ln, 3);
    pass(ln, 15 * SECOND); /* the create has arrived, its reply is under way */
    assert_string_equal(journal_says(ln), "uploaded");
    assert_int_equal(ln->desk.batches_len, 1);
    crash_and_go_on(ln);
    ln->desk.latency_ms = 50;
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_CREATE], 1);
    assert_int_equal(ln->desk.asked[DESK_LIST], 1);
    assert_int_equal(ln->desk.asked[DESK_DELETE], 0);
}

static void test_lost_result_files_are_fetched_again(void **state)
{
    struct lane_night *ln = *state;
    char id[BATCH_ID_BYTES];
    given_batch(ln, 3);
    until_told(ln, "results fetched");
    assert_string_equal(journal_says(ln), "fetched");
    struct queue_msg m;
    struct err err;
    assert_int_equal(queue_read_table(ln->n->cursor, TABLE_BATCHES, 0, SPAN_NONE), 0);
    assert_int_equal(queue_read(ln->n->cursor, &m, &err), 1);
    snprintf(id, sizeof(id), "%.*s", BATCH_ID_BYTES - 1, m.key.p);
    crash(ln);
    spool_remove(ln->n->dir, id);
    begin_lane(ln);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_CREATE], 1);
}

static void test_a_rotated_key_of_the_same_account_goes_on(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 3);
    pass(ln, 20 * SECOND);
    crash(ln);
    given_key(ln, "sk-rotated", "http://127.0.0.1:1/v1");
    ln->desk.key = "sk-rotated";
    begin_lane(ln);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_FILE], 1);
    assert_event(ln, "the account is the same");
}

static void test_a_key_of_another_account_buys_nothing_and_says_why(void **state)
{
    struct lane_night *ln = *state;
    char first[64];
    given_batch(ln, 3);
    pass(ln, 20 * SECOND);
    crash(ln);
    snprintf(first, sizeof(first), "%s", ln->account.fingerprint);
    given_key(ln, "sk-stranger", "http://127.0.0.1:1/v1");
    unsigned creates = ln->desk.asked[DESK_CREATE], uploads = ln->desk.asked[DESK_UPLOAD];
    begin_lane(ln);
    pass(ln, 20 * MINUTE);
    assert_int_equal(ln->stops, 1);
    assert_int_equal(ln->stop.code, ERR_AUTH);
    assert_non_null(strstr(ln->stop.msg, first));
    assert_non_null(strstr(ln->stop.msg, ln->account.fingerprint));
    assert_false(ln->recovered); /* nothing new may be planned either */
    assert_int_equal(ln->desk.asked[DESK_CREATE], creates);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], uploads);
    ln->stops = 0;
    crash(ln);
    given_key(ln, "sk-test", "http://127.0.0.1:1/v1");
    begin_lane(ln);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
}

static void test_another_address_is_refused_with_both_named(void **state)
{
    struct lane_night *ln = *state;
    struct err err;
    given_batch(ln, 3);
    pass(ln, 20 * SECOND);
    crash(ln);
    given_key(ln, "sk-test", "http://127.0.0.1:2/v1");
    assert_int_equal(start_lane(ln, &err), -ERR_USAGE);
    assert_non_null(strstr(err.msg, "http://127.0.0.1:1"));
    assert_non_null(strstr(err.msg, "http://127.0.0.1:2"));
    pass(ln, 20 * MINUTE);
    assert_false(ln->recovered);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], 1);
}

static void test_the_lane_may_be_destroyed_with_everything_under_way(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.latency_ms = SECOND;
    for (int i = 0; i < 12; i++) {
        given_batch(ln, 3);
        pass(ln, 137 * i);
    }
    crash_and_go_on(ln);
    pass(ln, 60 * MINUTE);
    assert_bought_once(ln);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_expired_batch_is_harvested_and_the_rest_goes_again),
        TEST(test_a_cancelled_batch_is_harvested_too),
        TEST(test_a_line_that_is_never_executed_fails_after_ten_goes),
        TEST(test_lines_refused_for_load_go_again_a_few_times),
        TEST(test_a_refused_line_fails_at_once),
        TEST(test_a_line_that_comes_twice_is_charged_once_and_reported),
        TEST(test_a_missing_line_is_fetched_again_and_then_in_doubt),
        TEST(test_without_counts_a_missing_line_is_in_doubt),
        TEST(test_a_download_that_was_cut_is_made_again),
        TEST(test_a_new_batch_that_is_not_visible_yet_is_waited_for),
        TEST(test_a_batch_that_is_gone_leaves_its_jobs_in_doubt),
        TEST(test_a_crash_in_any_state_buys_nothing_twice),
        TEST(test_a_restart_in_uploaded_looks_before_it_creates),
        TEST(test_lost_result_files_are_fetched_again),
        TEST(test_a_rotated_key_of_the_same_account_goes_on),
        TEST(test_a_key_of_another_account_buys_nothing_and_says_why),
        TEST(test_another_address_is_refused_with_both_named),
        TEST(test_the_lane_may_be_destroyed_with_everything_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
