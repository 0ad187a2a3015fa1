/* The batch lane: a death in each state of the journal, and what the next life makes of it. */
#include "tests/unit/lane_night.h"
#include "tests/unit/slow_commit.h"

/* A batch takes two seconds. */
static int begin_quick(void **state)
{
    int rc = begin(state);
    struct lane_night *ln = *state;
    ln->conf.poll_ms = SECOND / 2;
    ln->desk.batch_ms = 2 * SECOND;
    return rc;
}

/* Until the journal says so, to the millisecond; commits are slow meanwhile. */
static void until_journal_says(struct lane_night *ln, const char *state)
{
    slow_commits(ln->n->loop);
    for (int i = 0; strcmp(journal_says(ln), state) != 0; i++) {
        pass(ln, 1);
        if (i >= 20000) {
            fail_msg("the journal never said '%s'", state);
        }
    }
    slow_commits(NULL);
}

static void dies_in(struct lane_night *ln, const char *state)
{
    until_journal_says(ln, state);
    crash_and_go_on(ln);
    assert_string_equal(journal_says(ln), state);
}

static void when_replanned(struct lane_night *ln)
{
    struct err err;
    uint32_t n = ln->replanned_len;
    ln->replanned_len = 0;
    assert_string_equal(journal_says(ln), "none");
    assert_int_equal(lane_batch_submit(ln->n->lane, ln->replanned, n, &err), 0);
}

static void assert_in_doubt(struct lane_night *ln, size_t n)
{
    struct spend_head heads[8];
    assert_int_equal(spend_heads(ln->n, heads, 8), n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(heads[i].kind, SPEND_IN_DOUBT);
    }
}

/* ---- the straight way ---- */

static void test_each_state_of_the_straight_way_goes_on_where_it_was(void **state)
{
    struct lane_night *ln = *state;
    static const char *const states[] = {"journaled", "uploaded", "submitted", "polling",
                                         "fetched"};
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        unsigned batches = ln->desk.batches_len;
        given_batch(ln, 3);
        dies_in(ln, states[i]);
        pass(ln, 20 * MINUTE);
        assert_true(ln->recovered);
        assert_bought_once(ln);
        assert_int_equal(ln->desk.batches_len, batches + 1);
    }
}

static void test_nothing_is_looked_for_before_it_may_have_been_created(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 3);
    dies_in(ln, "journaled");
    pass(ln, 20 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_LIST], 0);
    given_batch(ln, 3);
    dies_in(ln, "submitted");
    pass(ln, 20 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_LIST], 0);
}

/* ---- the other ways ---- */

static void harvested_after_a_death(struct lane_night *ln, enum desk_end end,
                                    const char *state)
{
    ln->desk.ends[0] = end;
    given_batch(ln, 10);
    dies_in(ln, state);
    pass(ln, 5 * MINUTE);
    assert_int_equal(ln->replanned_len, 5);
    when_replanned(ln);
    pass(ln, 5 * MINUTE);
    assert_bought_once(ln);
}

static void test_an_expired_batch_is_harvested_by_the_next_life(void **state)
{
    harvested_after_a_death(*state, DESK_EXPIRES, "expired");
}

static void test_a_cancelled_batch_is_harvested_by_the_next_life(void **state)
{
    harvested_after_a_death(*state, DESK_IS_CANCELLED, "cancelled");
}

static void test_refusals_are_counted_across_lives(void **state)
{
    struct lane_night *ln = *state;
    for (int i = 0; i < DESK_BATCHES_MAX; i++) {
        ln->desk.ends[i] = DESK_FAILS;
    }
    given_batch(ln, 3);
    for (int i = 1; i < BATCH_FAILURES_MAX; i++) {
        dies_in(ln, "retry");
        pass(ln, SECOND / 2);
        until_journal_says(ln, "polling");
    }
    pass(ln, 60 * MINUTE);
    assert_over(ln);
    assert_int_equal(ln->desk.batches_len, BATCH_FAILURES_MAX);
    assert_result(ln->n, ln->at[0], "the desk is closed");
}

static void test_a_dead_batch_ends_in_the_next_life_with_the_words_it_died_of(
    void **state)
{
    struct lane_night *ln = *state;
    ln->desk.ends[0] = ln->desk.ends[1] = ln->desk.ends[2] = DESK_FAILS;
    given_batch(ln, 3);
    dies_in(ln, "dead");
    pass(ln, 60 * MINUTE);
    assert_over(ln);
    for (uint32_t i = 0; i < 3; i++) {
        assert_result(ln->n, ln->at[i], "the desk is closed");
    }
    assert_int_equal(ln->desk.billed, 0);
    struct spend_head heads[8];
    size_t n = spend_heads(ln->n, heads, 8);
    for (size_t i = 0; i < n; i++) { /* refused: certainly not billed */
        assert_int_not_equal(heads[i].kind, SPEND_IN_DOUBT);
    }
}

static void test_what_was_in_doubt_is_in_doubt_in_the_next_life(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 2);
    until_journal_says(ln, "polling");
    desk_trouble(&ln->desk,
                 (struct desk_trouble){
                     .op = DESK_BATCH, .what = DESK_STATUS, .status = 404, .times = 999});
    pass(ln, 5 * MINUTE - SECOND);
    dies_in(ln, "dead");
    pass(ln, 20 * MINUTE);
    assert_over(ln);
    assert_in_doubt(ln, 2);
}

static void test_results_are_fetched_again_once_not_in_each_life(void **state)
{
    struct lane_night *ln = *state;
    static const char *const questions[] = {"lost", "easy"};
    desk_line(&ln->desk, "lost", DESK_OMITTED, 1);
    submit(ln, questions, 2);
    until_told(ln, "fetching them again");
    dies_in(ln, "polling");
    pass(ln, 20 * MINUTE);
    assert_over(ln);
    assert_int_equal(ln->desk.asked[DESK_CONTENT], 2);
    assert_event(ln, "fetching them again");
}

/* ---- in the middle ---- */

static uint32_t answered(struct lane_night *ln)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < ln->jobs; i++) {
        n += is_acked(ln->n, ln->at[i]);
    }
    return n;
}

/* Some members have their end and the others have not. */
static void dies_half_way(struct lane_night *ln)
{
    given_batch(ln, 700);
    until_journal_says(ln, "fetched");
    slow_commits(ln->n->loop);
    while (count_records(ln->n, "results.shop") == 0) {
        pass(ln, 1);
    }
    slow_commits(NULL);
    crash(ln);
    assert_in_range(answered(ln), 1, ln->jobs - 1);
}

static void test_a_batch_half_settled_is_settled_on(void **state)
{
    struct lane_night *ln = *state;
    dies_half_way(ln);
    begin_lane(ln);
    pass(ln, 20 * MINUTE);
    assert_bought_once(ln);
    assert_int_equal(ln->desk.asked[DESK_CONTENT], 1);
}

static void test_what_has_its_end_is_not_sent_again_with_the_rest(void **state)
{
    struct lane_night *ln = *state;
    char id[BATCH_ID_BYTES];
    struct queue_msg m;
    struct err err;
    dies_half_way(ln);
    uint32_t done = answered(ln);
    assert_int_equal(queue_read_table(ln->n->cursor, TABLE_BATCHES, 0, SPAN_NONE), 0);
    assert_int_equal(queue_read(ln->n->cursor, &m, &err), 1);
    (void)snprintf(id, sizeof(id), "%.*s", BATCH_ID_BYTES - 1, m.key.p);
    spool_remove(ln->n->dir, id); /* the results are lost, and then the batch fails */
    struct desk_batch *b = &ln->desk.batches[0];
    b->end = DESK_FAILS;
    b->output[0] = b->error[0] = '\0';
    ln->desk.billed = 0;
    begin_lane(ln);
    pass(ln, 30 * MINUTE);
    assert_over(ln);
    assert_all_answered(ln);
    assert_int_equal(ln->desk.billed, ln->jobs - done);
    assert_event(ln, "split: some of its calls have ended");
}

static void test_with_every_end_committed_only_the_rows_are_left_to_go(void **state)
{
    struct lane_night *ln = *state;
    given_batch(ln, 3);
    until_journal_says(ln, "fetched");
    slow_commits(ln->n->loop);
    while (answered(ln) < 3) {
        pass(ln, 1);
    }
    slow_commits(NULL);
    crash(ln);
    given_key(ln, "sk-stranger", "http://127.0.0.1:2/v1"); /* whoever comes now */
    begin_lane(ln);
    pass(ln, MINUTE);
    assert_true(ln->recovered);
    assert_bought_once(ln);
}

#define QUICK(name) cmocka_unit_test_setup_teardown(name, begin_quick, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUICK(test_each_state_of_the_straight_way_goes_on_where_it_was),
        QUICK(test_nothing_is_looked_for_before_it_may_have_been_created),
        QUICK(test_an_expired_batch_is_harvested_by_the_next_life),
        QUICK(test_a_cancelled_batch_is_harvested_by_the_next_life),
        QUICK(test_refusals_are_counted_across_lives),
        QUICK(test_a_dead_batch_ends_in_the_next_life_with_the_words_it_died_of),
        QUICK(test_what_was_in_doubt_is_in_doubt_in_the_next_life),
        QUICK(test_results_are_fetched_again_once_not_in_each_life),
        QUICK(test_a_batch_half_settled_is_settled_on),
        QUICK(test_what_has_its_end_is_not_sent_again_with_the_rest),
        QUICK(test_with_every_end_committed_only_the_rows_are_left_to_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
