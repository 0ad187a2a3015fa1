/* The batch lane: what providers, networks and disks do wrong, and what must not come of it. */
#include "tests/unit/lane_night.h"
#include "tests/unit/slow_commit.h"

#include <sys/stat.h>
#include <unistd.h>

/* ---- one reply ---- */

static void test_an_upload_that_arrived_cut_is_made_again(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk, (struct desk_trouble){.op = DESK_UPLOAD, .what = DESK_CUT});
    given_batch(ln, 3);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], 2);
    assert_event(ln, "bytes: uploading again");
}

static void given_creates_that_find_no_file(struct lane_night *ln, int times)
{
    desk_trouble(&ln->desk, (struct desk_trouble){.op = DESK_CREATE,
                                                  .what = DESK_STATUS,
                                                  .status = 404,
                                                  .times = times});
}

static void test_a_file_just_uploaded_may_be_seen_late(void **state)
{
    struct lane_night *ln = *state;
    given_creates_that_find_no_file(ln, 5);
    given_batch(ln, 3);
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_CREATE], 6);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], 1);
}

static void test_a_file_that_stays_unseen_is_uploaded_again(void **state)
{
    struct lane_night *ln = *state;
    given_creates_that_find_no_file(ln, 6);
    given_batch(ln, 3);
    pass(ln, 30 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_CREATE], 7);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], 2);
    assert_event(ln, "does not find the input file it was given");
}

static void test_a_create_refused_for_its_size_is_split(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk, (struct desk_trouble){
                                .op = DESK_CREATE, .what = DESK_STATUS, .status = 413});
    given_batch(ln, 4);
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.batches_len, 2);
}

static void test_a_result_file_that_is_gone_leaves_its_jobs_in_doubt(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk, (struct desk_trouble){.op = DESK_CONTENT,
                                                  .what = DESK_STATUS,
                                                  .status = 404,
                                                  .times = 10000});
    given_batch(ln, 2);
    pass(ln, 5 * MINUTE); /* it may only be late */
    assert_false(has_result(ln->n, ln->at[0]));
    pass(ln, 30 * MINUTE);
    assert_over(ln);
    assert_event(ln, "the provider no longer has result file 'file-2'");
    struct spend_head heads[4];
    assert_int_equal(spend_heads(ln->n, heads, 4), 2);
    assert_int_equal(heads[0].kind, SPEND_IN_DOUBT);
    assert_int_equal(heads[1].kind, SPEND_IN_DOUBT);
    assert_int_equal(ln->replanned_len, 0);
}

static void test_a_result_file_that_is_seen_late_is_waited_for(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk,
                 (struct desk_trouble){
                     .op = DESK_CONTENT, .what = DESK_STATUS, .status = 404, .times = 3});
    given_batch(ln, 2);
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
}

static void test_a_file_without_a_last_newline_is_taken_after_three_downloads(
    void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk,
                 (struct desk_trouble){.op = DESK_CONTENT, .what = DESK_CUT, .times = 3});
    given_batch(ln, 2);
    pass(ln, 5 * MINUTE);
    /* the cut line is missing, so the file is fetched once more, and then whole */
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_CONTENT], 4);
}

static void test_results_that_cannot_be_written_stop_the_lane_and_are_named(void **state)
{
    struct lane_night *ln = *state;
    char path[SPOOL_PATH_MAX], away[SPOOL_PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/spool", ln->n->dir);
    (void)snprintf(away, sizeof(away), "%s/away", ln->n->dir);
    given_batch(ln, 2);
    until_told(ln, "submitted");
    assert_int_equal(rename(path, away), 0);
    pass(ln, 5 * MINUTE);
    assert_int_equal(ln->stops, 1);
    assert_has(ln->stop.msg, path);
    crash(ln);
    ln->stops = 0;
    assert_int_equal(rename(away, path), 0);
    begin_lane(ln);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
}

static void test_results_that_cannot_be_read_stop_the_lane_and_end_no_job(void **state)
{
    struct lane_night *ln = *state;
    struct queue_msg m;
    struct err err;
    char id[BATCH_ID_BYTES], path[SPOOL_PATH_MAX];
    given_batch(ln, 2);
    until_told(ln, "results fetched");
    assert_int_equal(queue_read_table(ln->n->cursor, TABLE_BATCHES, 0, SPAN_NONE), 0);
    assert_int_equal(queue_read(ln->n->cursor, &m, &err), 1);
    (void)snprintf(id, sizeof(id), "%.*s", BATCH_ID_BYTES - 1, m.key.p);
    spool_path(ln->n->dir, id, SPOOL_OUTPUT, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    pass(ln, 5 * MINUTE);
    assert_int_equal(ln->stops, 1);
    assert_has(ln->stop.msg, path);
    assert_false(has_result(ln->n, ln->at[0]));
    crash(ln);
    ln->stops = 0;
    assert_int_equal(rmdir(path), 0);
    begin_lane(ln);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
}

static void test_a_failed_batch_with_results_is_harvested_not_bought_again(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.ends[0] = DESK_FAILS_LATE;
    given_batch(ln, 4);
    pass(ln, 30 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.batches_len, 1);
}

/* By the counts nothing is missing, so what has no line was not executed. */
static void test_what_a_provider_forgot_goes_again_a_few_times(void **state)
{
    struct lane_night *ln = *state;
    for (int i = 0; i < DESK_BATCHES_MAX; i++) {
        ln->desk.ends[i] = DESK_FORGETS;
    }
    given_batch(ln, 4);
    for (int go = 1; go < BATCH_AGAIN_MAX; go++) {
        pass(ln, 5 * MINUTE);
        uint32_t n = ln->replanned_len;
        assert_int_equal(n, go == 1 ? 2 : 1); /* half of two, and of one all */
        struct err err;
        ln->replanned_len = 0;
        assert_int_equal(lane_batch_submit(ln->n->lane, ln->replanned, n, &err), 0);
    }
    pass(ln, 5 * MINUTE);
    assert_over(ln);
    assert_result(ln->n, ln->at[3], "the provider did not execute it");
    assert_int_equal(ln->desk.billed, 3);
}

static void test_what_waits_for_room_is_tried_as_soon_as_there_is_some(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.batch_ms = 20 * MINUTE;
    given_batch(ln, 2);
    pass(ln, 2 * SECOND);
    ln->desk.batch_ms = SECOND;
    for (int i = 1; i < DESK_BATCHES_MAX; i++) {
        ln->desk.ends[i] = DESK_OVERFLOWS;
    }
    ln->desk.batches[0].created_ms += 12 * 60 * MINUTE; /* it runs for half a day */
    given_batch(ln, 4);
    pass(ln, 11 * 60 * MINUTE); /* by now it is tried about every half hour */
    unsigned creates = ln->desk.asked[DESK_CREATE];
    memset(ln->desk.ends, 0, sizeof(ln->desk.ends));
    ln->desk.batches[0].created_ms = -20 * MINUTE;
    pass(ln, 30 * SECOND);
    assert_int_equal(ln->desk.asked[DESK_CREATE], creates + 1);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
}

static void test_lines_that_are_not_ours_are_named_three_times_at_most(void **state)
{
    struct lane_night *ln = *state;
    for (int i = 0; i < DESK_BATCHES_MAX; i++) {
        ln->desk.ends[i] = DESK_FAILS_ELSEWHERE;
    }
    given_batch(ln, 2);
    pass(ln, 60 * MINUTE);
    assert_over(ln);
    assert_int_equal(ln->desk.batches_len, BATCH_FAILURES_MAX);
    assert_result(ln->n, ln->at[0], "this line is bad");
}

static void test_one_call_that_is_too_large_fails_alone_and_at_once(void **state)
{
    struct lane_night *ln = *state;
    desk_trouble(&ln->desk,
                 (struct desk_trouble){
                     .op = DESK_UPLOAD, .what = DESK_STATUS, .status = 413, .times = 99});
    given_batch(ln, 1);
    pass(ln, 10 * MINUTE);
    assert_over(ln);
    assert_result(ln->n, ln->at[0], "HTTP 413");
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], 1);
}

/* ---- time ---- */

static void test_a_batch_is_believed_unseen_from_its_creation_not_from_the_start(
    void **state)
{
    struct lane_night *ln = *state;
    pass(ln, 60 * MINUTE);
    ln->desk.lag_ms = 4 * MINUTE;
    given_batch(ln, 3);
    pass(ln, 10 * MINUTE);
    assert_bought_once(ln);
}

static void test_a_batch_that_vanishes_for_a_moment_is_not_given_up(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.batch_ms = 60 * MINUTE;
    given_batch(ln, 3);
    pass(ln, 30 * MINUTE);
    desk_trouble(&ln->desk,
                 (struct desk_trouble){
                     .op = DESK_BATCH, .what = DESK_STATUS, .status = 404, .times = 20});
    pass(ln, 45 * MINUTE);
    assert_bought_once(ln);
}

static void test_a_batch_just_created_is_asked_about_after_a_pause(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 3);
    until_told(ln, "submitted");
    pass(ln, 8 * SECOND);
    assert_int_equal(ln->desk.asked[DESK_BATCH], 0);
    pass(ln, 4 * SECOND);
    assert_int_equal(ln->desk.asked[DESK_BATCH], 1);
}

/* ---- bounds ---- */

static void test_few_requests_and_fewer_transfers_are_under_way_at_once(void **state)
{
    struct lane_night *ln = *state;
    ln->desk.latency_ms = 5 * SECOND;
    for (int i = 0; i < 20; i++) {
        given_batch(ln, 2);
    }
    pass(ln, 60 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.most_requests, 8);
    assert_int_equal(ln->desk.most_transfers, 2);
}

static void test_a_watcher_sees_what_is_where(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 3);
    until_told(ln, "submitted");
    pass(ln, 20 * SECOND);
    given_batch(ln, 4);
    struct lane_status s = status(ln);
    assert_int_equal(s.by_state[BATCH_POLLING], 1);
    assert_int_equal(s.by_state[BATCH_SEALED], 1);
    assert_int_equal(s.calls_in_batches, 7);
    assert_int_equal(s.calls_sent, 3);
    assert_int_equal(s.uploads, 1);
    assert_int_equal(s.creates, 1);
    assert_int_equal(s.polls, ln->desk.asked[DESK_BATCH]);
    int64_t now_ms = loop_now_ms(ln->n->loop);
    assert_in_range(s.next_poll_ms, now_ms, now_ms + 11 * SECOND);
    assert_false(lane_batch_idle(ln->n->lane));
    pass(ln, 10 * MINUTE);
    s = status(ln);
    assert_int_equal(s.calls_in_batches + s.calls_sent, 0);
    assert_int_equal(s.next_poll_ms, 0);
    assert_true(lane_batch_idle(ln->n->lane));
}

/* ---- the disk ---- */

static void test_an_input_that_cannot_be_written_stops_the_lane_and_names_it(void **state)
{
    struct lane_night *ln = *state;
    char path[SPOOL_PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/spool", ln->n->dir);
    assert_int_equal(rmdir(path), 0);
    given_batch(ln, 2);
    pass(ln, MINUTE);
    assert_int_equal(ln->stops, 1);
    assert_has(ln->stop.msg, path);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], 0);
    assert_string_equal(journal_says(ln), "none");
}

static void on_ask(void *ctx, enum desk_op op)
{
    struct lane_night *ln = ctx;
    if (op == ln->watched) {
        break_commits(ln->n->loop);
    }
}

/* The disk is full from that request on: the lane stops, and nothing that costs follows. */
static void stops_after(struct lane_night *ln, enum desk_op op)
{
    unsigned creates = ln->desk.asked[DESK_CREATE];
    ln->watched = op;
    ln->desk.on_ask = on_ask;
    ln->desk.ctx = ln;
    given_batch(ln, 2);
    pass(ln, 30 * MINUTE);
    break_commits(NULL);
    ln->desk.on_ask = NULL;
    assert_int_equal(ln->stops, 1);
    assert_has(ln->stop.msg, "the disk is full");
    assert_int_equal(ln->desk.asked[DESK_CREATE], creates + (op != DESK_UPLOAD));
    crash(ln);
    ln->stops = 0;
    begin_lane(ln);
    pass(ln, 30 * MINUTE);
    assert_bought_once(ln);
}

static void test_a_full_disk_stops_the_lane_before_anything_is_bought_twice(void **state)
{
    stops_after(*state, DESK_UPLOAD);
    stops_after(*state, DESK_CREATE);
    stops_after(*state, DESK_BATCH);
}

static void test_nothing_leaves_when_the_journal_cannot_be_written(void **state)
{
    struct lane_night *ln = *state;
    break_commits(ln->n->loop);
    given_batch(ln, 2);
    pass(ln, 30 * MINUTE);
    break_commits(NULL);
    assert_int_equal(ln->stops, 1);
    assert_int_equal(ln->desk.asked[DESK_UPLOAD], 0);
    assert_string_equal(journal_says(ln), "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_upload_that_arrived_cut_is_made_again),
        TEST(test_a_file_just_uploaded_may_be_seen_late),
        TEST(test_a_file_that_stays_unseen_is_uploaded_again),
        TEST(test_a_create_refused_for_its_size_is_split),
        TEST(test_a_result_file_that_is_gone_leaves_its_jobs_in_doubt),
        TEST(test_a_result_file_that_is_seen_late_is_waited_for),
        TEST(test_a_file_without_a_last_newline_is_taken_after_three_downloads),
        TEST(test_results_that_cannot_be_written_stop_the_lane_and_are_named),
        TEST(test_results_that_cannot_be_read_stop_the_lane_and_end_no_job),
        TEST(test_a_failed_batch_with_results_is_harvested_not_bought_again),
        TEST(test_what_a_provider_forgot_goes_again_a_few_times),
        TEST(test_what_waits_for_room_is_tried_as_soon_as_there_is_some),
        TEST(test_lines_that_are_not_ours_are_named_three_times_at_most),
        TEST(test_one_call_that_is_too_large_fails_alone_and_at_once),
        TEST(test_a_batch_is_believed_unseen_from_its_creation_not_from_the_start),
        TEST(test_a_batch_that_vanishes_for_a_moment_is_not_given_up),
        TEST(test_a_batch_just_created_is_asked_about_after_a_pause),
        TEST(test_few_requests_and_fewer_transfers_are_under_way_at_once),
        TEST(test_a_watcher_sees_what_is_where),
        TEST(test_a_full_disk_stops_the_lane_before_anything_is_bought_twice),
        TEST(test_nothing_leaves_when_the_journal_cannot_be_written),
        TEST(test_an_input_that_cannot_be_written_stops_the_lane_and_names_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
