/* The batch lane: what is asked after a restart or a lost reply, and of whom. */
#include "tests/unit/lane_night.h"

#include <unistd.h>

/* The id of the only batch in the journal, and its row. */
static void only_row(struct lane_night *ln, char id[static BATCH_ID_BYTES],
                     struct buf *row)
{
    struct queue_msg m;
    struct err err;
    assert_int_equal(queue_read_table(ln->n->cursor, TABLE_BATCHES, 0, SPAN_NONE), 0);
    assert_int_equal(queue_read(ln->n->cursor, &m, &err), 1);
    (void)snprintf(id, BATCH_ID_BYTES, "%.*s", BATCH_ID_BYTES - 1, m.key.p);
    buf_add(row, m.value.p, m.value.n);
}

/* ---- whose account ---- */

static void given_another_key(struct lane_night *ln, bool same_account)
{
    crash(ln);
    given_key(ln, "sk-rotated", "http://127.0.0.1:1/v1");
    if (same_account) {
        ln->desk.key = "sk-rotated";
    }
}

static void test_an_account_is_asked_for_once_not_in_each_life(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 3);
    pass(ln, 20 * SECOND);
    given_another_key(ln, true);
    begin_lane(ln);
    pass(ln, 10 * SECOND);
    crash_and_go_on(ln);
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_FILE], 1);
}

static void test_where_the_input_is_gone_the_batch_tells_the_account(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 3);
    pass(ln, 20 * SECOND);
    free(TAKE_PTR(ln->desk.files[0].text));
    given_another_key(ln, true);
    begin_lane(ln);
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_FILE], 1);
    assert_event(ln, "the account is the same");
}

static void test_trouble_while_asking_for_the_account_is_waited_out(void **state)
{
    struct lane_night *ln = *state;
    static const struct desk_trouble troubles[] = {
        {.what = DESK_STATUS, .status = 503},
        {.what = DESK_UNSENT},
        {.what = DESK_STATUS, .status = 401},
    };
    given_batch(ln, 3);
    pass(ln, 20 * SECOND);
    given_another_key(ln, true);
    begin_lane(ln);
    for (size_t i = 0; i < ARRAY_LEN(troubles); i++) {
        struct desk_trouble t = troubles[i];
        t.op = DESK_FILE;
        t.times = 10000;
        ln->desk.troubles_len = 0;
        desk_trouble(&ln->desk, t);
        pass(ln, 20 * MINUTE);
        assert_int_equal(ln->stops, 0);
        assert_false(ln->recovered);
    }
    assert_int_equal(status(ln).account_stop_code, ERR_AUTH);
    ln->desk.troubles_len = 0;
    pass(ln, 20 * MINUTE);
    assert_bought_once(ln);
}

static void test_a_key_that_may_see_neither_is_of_another_account(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 3);
    pass(ln, 20 * SECOND);
    desk_trouble(&ln->desk, (struct desk_trouble){
                                .op = DESK_FILE, .what = DESK_STATUS, .status = 403});
    desk_trouble(&ln->desk, (struct desk_trouble){
                                .op = DESK_BATCH, .what = DESK_STATUS, .status = 403});
    given_another_key(ln, true);
    begin_lane(ln);
    pass(ln, 10 * MINUTE);
    assert_int_equal(ln->stops, 1);
    assert_int_equal(ln->stop.code, ERR_AUTH);
    assert_false(ln->recovered);
}

static void test_results_that_are_here_need_no_account(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 3);
    until_told(ln, "results fetched");
    given_another_key(ln, false);
    begin_lane(ln);
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_FILE], 0);
}

static void test_results_that_are_lost_need_the_account_that_has_them(void **state)
{
    struct lane_night *ln = *state;
    char id[BATCH_ID_BYTES];
    _cleanup_(buf_fini) struct buf row;
    buf_init(&row, JOURNAL_ROW_MAX);
    given_batch(ln, 3);
    until_told(ln, "results fetched");
    only_row(ln, id, &row);
    given_another_key(ln, false);
    spool_remove(ln->n->dir, id);
    begin_lane(ln);
    pass(ln, 10 * MINUTE);
    assert_int_equal(ln->stops, 1);
    assert_int_equal(ln->stop.code, ERR_AUTH);
}

/* ---- what is found ---- */

static void lose_a_create(struct lane_night *ln)
{
    desk_trouble(&ln->desk,
                 (struct desk_trouble){.op = DESK_CREATE, .what = DESK_LOSE_AFTER});
}

static void test_an_earlier_go_that_came_alive_is_cancelled(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.ends[0] = DESK_FAILS;
    given_batch(ln, 3);
    until_told(ln, "refused, will be tried again");
    lose_a_create(ln);
    struct desk_batch *first = &ln->desk.batches[0];
    first->end = DESK_COMPLETES; /* by now the provider says that it runs */
    first->created_ms += 60 * MINUTE;
    pass(ln, 30 * MINUTE);
    assert_over(ln);
    assert_true(first->cancelled);
    assert_false(ln->desk.batches[1].cancelled);
    assert_int_equal(ln->desk.batches_len, 2);
    assert_int_equal(ln->desk.billed, 3);
}

static void test_an_earlier_go_that_is_over_is_left_alone(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.ends[0] = DESK_FAILS;
    given_batch(ln, 3);
    until_told(ln, "refused, will be tried again");
    lose_a_create(ln);
    pass(ln, 30 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_CANCEL], 0);
}

static void test_the_list_is_read_no_further_back_than_needed(void **state)
{
    struct lane_night *ln = *state;
    for (int i = 0; i < 9; i++) {
        given_batch(ln, 1);
        pass(ln, 5 * MINUTE);
    }
    pass(ln, 60 * MINUTE);
    assert_int_equal(ln->desk.batches_len, 9);
    lose_a_create(ln);
    given_batch(ln, 1);
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_LIST], 1); /* of five pages */
}

static void test_a_list_of_several_pages_is_read_to_its_end(void **state)
{
    struct lane_night *ln = *state;
    lose_a_create(ln); /* batch_1 is ours, and the list begins with others */
    desk_trouble(&ln->desk,
                 (struct desk_trouble){
                     .op = DESK_LIST, .what = DESK_STATUS, .status = 503, .times = 2});
    given_batch(ln, 2);
    pass(ln, SECOND / 2);
    for (int i = 0; i < 4; i++) {
        given_batch(ln, 1);
    }
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_CREATE], 5);
    assert_in_range(ln->desk.asked[DESK_LIST], 3, 5);
}

static void test_that_an_input_was_taken_away_is_known_in_the_next_life(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.lag_ms = 2 * MINUTE;
    ln->desk.read_ms = 3 * MINUTE;
    given_batch(ln, 3);
    for (unsigned i = 1; i <= BATCH_FAILURES_MAX + 1; i++) {
        lose_a_create(ln);
        for (int s = 0; s < 1000 && ln->desk.asked[DESK_DELETE] < i; s++) {
            pass(ln, SECOND);
        }
        assert_int_equal(ln->desk.asked[DESK_DELETE], i);
        crash(ln);
        pass(ln, 3 * MINUTE); /* by now the list shows it, failed for want of its input */
        begin_lane(ln);
    }
    pass(ln, 60 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_DELETE], BATCH_FAILURES_MAX + 1);
}

static void test_what_was_taken_away_once_excuses_one_failure_only(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk,
                 (struct desk_trouble){.op = DESK_CREATE, .what = DESK_LOSE_BEFORE});
    for (int i = 0; i < DESK_BATCHES_MAX; i++) {
        ln->desk.ends[i] = DESK_FAILS;
    }
    given_batch(ln, 3);
    pass(ln, 60 * MINUTE);
    assert_over(ln);
    assert_int_equal(ln->desk.batches_len, BATCH_FAILURES_MAX);
    assert_result(ln->n, ln->at[0], "the desk is closed");
}

/* ---- what was left behind ---- */

static void test_files_of_no_batch_are_swept_away_and_no_others(void **state)
{
    struct lane_night *ln = *state;
    static const char stray[] = "01KAJ8Z3X00000000000000000";
    char id[BATCH_ID_BYTES];
    struct err err;
    _cleanup_(buf_fini) struct buf row;
    buf_init(&row, JOURNAL_ROW_MAX);
    given_batch(ln, 3);
    pass(ln, 20 * SECOND);
    only_row(ln, id, &row);
    close(spool_create(ln->n->dir, stray, SPOOL_OUTPUT, &err));
    crash_and_go_on(ln);
    assert_false(spool_exists(ln->n->dir, stray, SPOOL_OUTPUT));
    assert_true(spool_exists(ln->n->dir, id, SPOOL_INPUT));
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
}

static void test_a_journal_with_members_missing_stops_everything(void **state)
{
    struct lane_night *ln = *state;
    char id[BATCH_ID_BYTES];
    struct err err;
    struct queue_tx *tx = NULL;
    uint64_t commit;
    _cleanup_(buf_fini) struct buf row;
    buf_init(&row, JOURNAL_ROW_MAX);
    given_batch(ln, 3);
    pass(ln, 20 * SECOND);
    only_row(ln, id, &row);
    char *at = strstr(row.p, "\"requests\":3");
    assert_non_null(at);
    at[strlen("\"requests\":")] = '4';
    assert_int_equal(queue_begin(ln->n->queue, &tx), 0);
    assert_int_equal(
        queue_table_put(tx, TABLE_BATCHES, 0, span_str(id), buf_span(&row), &err), 0);
    assert_true(queue_commit_wait(tx, &commit, &err) >= 0);
    unsigned polls = ln->desk.asked[DESK_BATCH];
    crash(ln);
    assert_int_equal(start_lane(ln, &err), -ERR_VERSION);
    assert_has(err.msg, "3 of 4 members");
    pass(ln, 10 * MINUTE);
    assert_false(ln->recovered);
    assert_int_equal(ln->desk.asked[DESK_BATCH], polls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_account_is_asked_for_once_not_in_each_life),
        TEST(test_where_the_input_is_gone_the_batch_tells_the_account),
        TEST(test_trouble_while_asking_for_the_account_is_waited_out),
        TEST(test_a_key_that_may_see_neither_is_of_another_account),
        TEST(test_results_that_are_here_need_no_account),
        TEST(test_results_that_are_lost_need_the_account_that_has_them),
        TEST(test_an_earlier_go_that_came_alive_is_cancelled),
        TEST(test_an_earlier_go_that_is_over_is_left_alone),
        TEST(test_the_list_is_read_no_further_back_than_needed),
        TEST(test_a_list_of_several_pages_is_read_to_its_end),
        TEST(test_that_an_input_was_taken_away_is_known_in_the_next_life),
        TEST(test_what_was_taken_away_once_excuses_one_failure_only),
        TEST(test_files_of_no_batch_are_swept_away_and_no_others),
        TEST(test_a_journal_with_members_missing_stops_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
