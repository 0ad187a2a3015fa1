/* The batch lane: trouble that lasts. Jobs wait for its end, and are bought once then. */
#include "tests/unit/lane_night.h"

/* However long it lasts: the jobs wait, and are bought once when it is over. */
static void waits_out(struct lane_night *ln, enum desk_op op, struct desk_trouble t)
{
    t.op = op;
    t.times = 10000;
    ln->desk.troubles_len = 0;
    if (op == DESK_LIST || op == DESK_DELETE) { /* asked only after a lost create */
        desk_trouble(&ln->desk,
                     (struct desk_trouble){.op = DESK_CREATE, .what = DESK_LOSE_BEFORE});
    }
    desk_trouble(&ln->desk, t);
    given_batch(ln, 2);
    pass(ln, 90 * MINUTE);
    if (has_result(ln->n, ln->at[ln->jobs - 1]) || ln->stops) {
        fail_msg("request %d, trouble %d %d: it did not wait", op, t.what, t.status);
    }
    ln->desk.troubles_len = 0;
    pass(ln, 90 * MINUTE);
    if (!has_result(ln->n, ln->at[ln->jobs - 1])) {
        fail_msg("request %d, trouble %d %d: it waits for ever", op, t.what, t.status);
    }
    assert_bought_once(ln);
    assert_null(status(ln).account_stop);
}

static void waits_out_everything_at(struct lane_night *ln, enum desk_op op)
{
    static const struct desk_trouble troubles[] = {
        {.what = DESK_STATUS, .status = 401, .code = "invalid_api_key"},
        {.what = DESK_STATUS, .status = 403},
        {.what = DESK_STATUS, .status = 429, .code = "insufficient_quota"},
        {.what = DESK_STATUS, .status = 429, .code = "rate_limit_exceeded"},
        {.what = DESK_STATUS, .status = 302},
        {.what = DESK_STATUS, .status = 503},
        {.what = DESK_UNSENT},
        {.what = DESK_LOSE_BEFORE},
    };
    for (size_t i = 0; i < ARRAY_LEN(troubles); i++) {
        waits_out(ln, op, troubles[i]);
    }
}

static void test_no_trouble_with_an_upload_ends_a_job(void **state)
{
    waits_out_everything_at(*state, DESK_UPLOAD);
}

static void test_no_trouble_with_a_create_ends_a_job_or_buys_it_twice(void **state)
{
    waits_out_everything_at(*state, DESK_CREATE);
}

static void test_no_trouble_with_a_look_ends_a_job_or_buys_it_twice(void **state)
{
    waits_out_everything_at(*state, DESK_LIST);
}

static void test_no_trouble_with_a_deletion_ends_a_job_or_buys_it_twice(void **state)
{
    waits_out_everything_at(*state, DESK_DELETE);
}

static void test_no_trouble_with_a_poll_ends_a_job(void **state)
{
    waits_out_everything_at(*state, DESK_BATCH);
}

static void test_no_trouble_with_a_download_ends_a_job(void **state)
{
    waits_out_everything_at(*state, DESK_CONTENT);
}

static void test_a_base_url_without_files_stops_the_account_and_says_so(void **state)
{
    struct lane_night *ln = *state;
    waits_out(ln, DESK_UPLOAD, (struct desk_trouble){.what = DESK_STATUS, .status = 404});
    assert_event(ln, "no file uploads");
}

static void test_why_the_account_stands_still_has_a_code(void **state)
{
    struct lane_night *ln = *state;
    static const struct {
        struct desk_trouble trouble;
        int code;
    } rows[] = {
        {{.what = DESK_STATUS, .status = 404}, ERR_TEMP}, /* the address is wrong */
        {{.what = DESK_STATUS, .status = 401}, ERR_AUTH},
        {{.what = DESK_STATUS, .status = 302}, ERR_TEMP},
        {{.what = DESK_UNSENT}, ERR_TEMP},
    };
    given_batch(ln, 2);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct desk_trouble t = rows[i].trouble;
        t.op = DESK_UPLOAD;
        t.times = 10000;
        ln->desk.troubles_len = 0;
        desk_trouble(&ln->desk, t);
        pass(ln, 15 * MINUTE);
        assert_non_null(status(ln).account_stop);
        assert_int_equal(status(ln).account_stop_code, rows[i].code);
    }
    ln->desk.troubles_len = 0;
    pass(ln, 15 * MINUTE);
    assert_bought_once(ln);
}

static void test_a_list_nobody_may_see_stops_the_account_and_says_so(void **state)
{
    struct lane_night *ln = *state;
    waits_out(ln, DESK_LIST, (struct desk_trouble){.what = DESK_STATUS, .status = 404});
    assert_event(ln, "whether one was created stays unknown");
}

/* While the input stands a late create could run: nothing is created before it is gone. */
static void test_an_input_that_cannot_be_deleted_is_not_sent_again(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk,
                 (struct desk_trouble){.op = DESK_CREATE, .what = DESK_LOSE_BEFORE});
    desk_trouble(&ln->desk, (struct desk_trouble){.op = DESK_DELETE,
                                                  .what = DESK_STATUS,
                                                  .status = 400,
                                                  .times = 10000});
    given_batch(ln, 2);
    pass(ln, 60 * MINUTE);
    assert_int_equal(ln->desk.asked[DESK_CREATE], 1);
    assert_in_range(ln->desk.asked[DESK_DELETE], 10, 13); /* every five minutes */
    assert_in_range(ln->desk.asked[DESK_LIST], 10, 13);   /* and a look before each */
    ln->desk.troubles_len = 0;
    pass(ln, 60 * MINUTE);
    assert_bought_once(ln);
}

static void test_what_needs_deleting_may_be_gone_already(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk,
                 (struct desk_trouble){.op = DESK_CREATE, .what = DESK_LOSE_BEFORE});
    desk_trouble(&ln->desk,
                 (struct desk_trouble){.op = DESK_DELETE, .what = DESK_LOSE_AFTER});
    given_batch(ln, 2);
    pass(ln, 30 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_DELETE], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_trouble_with_an_upload_ends_a_job),
        TEST(test_no_trouble_with_a_create_ends_a_job_or_buys_it_twice),
        TEST(test_no_trouble_with_a_look_ends_a_job_or_buys_it_twice),
        TEST(test_no_trouble_with_a_deletion_ends_a_job_or_buys_it_twice),
        TEST(test_no_trouble_with_a_poll_ends_a_job),
        TEST(test_no_trouble_with_a_download_ends_a_job),
        TEST(test_a_base_url_without_files_stops_the_account_and_says_so),
        TEST(test_why_the_account_stands_still_has_a_code),
        TEST(test_a_list_nobody_may_see_stops_the_account_and_says_so),
        TEST(test_an_input_that_cannot_be_deleted_is_not_sent_again),
        TEST(test_what_needs_deleting_may_be_gone_already),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
