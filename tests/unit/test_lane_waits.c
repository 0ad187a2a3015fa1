/* The batch lane: trouble that lasts. Jobs wait for its end, and are bought once then. */
#include "tests/unit/lane_night.h"

#include "core/loop.h"

int64_t __real_loop_wall_ms(const struct loop *l);
int64_t __wrap_loop_wall_ms(const struct loop *l);

static int64_t set_back_ms; /* the linker gives the wrapper no context */

int64_t __wrap_loop_wall_ms(const struct loop *l)
{
    return __real_loop_wall_ms(l) - set_back_ms;
}

uint64_t __wrap_lane_random(struct lane_batch *l);

/* A wait is of any length up to its longest: here nearly that long. */
uint64_t __wrap_lane_random(struct lane_batch *l)
{
    (void)l;
    return 999999;
}

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

/* ---- somebody sets the clock ---- */

static void given_a_batch_that_goes_again_later(struct lane_night *ln)
{
    ln->desk.ends[0] = DESK_OVERFLOWS;
    given_batch(ln, 2);
    until_told(ln, "no room at the account yet");
    pass(ln, SECOND);
    assert_string_equal(journal_says(ln), "retry");
}

static void test_a_clock_that_is_set_back_keeps_no_batch_waiting(void **state)
{
    struct lane_night *ln = *state;
    given_a_batch_that_goes_again_later(ln);
    set_back_ms = 24 * 60 * MINUTE;
    pass(ln, 5 * MINUTE);
    set_back_ms = 0;
    assert_bought_once(ln);
}

static void test_one_that_was_set_back_between_two_lives_does_so_for_an_hour(void **state)
{
    struct lane_night *ln = *state;
    given_a_batch_that_goes_again_later(ln);
    crash(ln);
    set_back_ms = 24 * 60 * MINUTE;
    begin_lane(ln);
    pass(ln, 30 * MINUTE);
    assert_string_equal(journal_says(ln),
                        "retry"); /* it cannot know how long it waited */
    pass(ln, 40 * MINUTE);
    set_back_ms = 0;
    assert_bought_once(ln);
}

static void test_what_is_due_after_a_death_goes_at_once(void **state)
{
    struct lane_night *ln = *state;
    given_a_batch_that_goes_again_later(ln);
    crash(ln);
    set_back_ms = -60 * MINUTE; /* that much time has passed */
    begin_lane(ln);
    pass(ln, 5 * MINUTE);
    set_back_ms = 0;
    assert_bought_once(ln);
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
        TEST(test_a_clock_that_is_set_back_keeps_no_batch_waiting),
        TEST(test_one_that_was_set_back_between_two_lives_does_so_for_an_hour),
        TEST(test_what_is_due_after_a_death_goes_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
