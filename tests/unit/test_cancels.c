/* Which runs were cancelled, and what becomes of their calls before a batch holds them. */
#include "tests/unit/cancel_night.h"

bool __real_settle_room(const struct settle *s);
bool __wrap_settle_room(const struct settle *s);

static bool is_full; /* the linker gives the wrapper no context */

bool __wrap_settle_room(const struct settle *s)
{
    return !is_full && __real_settle_room(s);
}

static struct call *planned(struct cancel_night *cn, const char *question,
                            const char *run)
{
    struct err err;
    struct call *c = take_job(cn, question, run);
    assert_int_equal(plan_add(cn->plan, c, &err), 0);
    return c;
}

static bool has_ended(struct cancel_night *cn, uint32_t job)
{
    return has_result(cn->ln->n, cn->ln->at[job]);
}

/* ---- which ---- */

static void test_a_run_is_cancelled_from_its_row_on(void **state)
{
    struct cancel_night *cn = *state;
    uint64_t at = release_job(cn->ln->n, &(struct asked){.question = "q", .run = "gone"});
    uint64_t other = release_job(cn->ln->n, &(struct asked){.question = "q"});
    cancel_run(cn, "gone");
    assert_int_equal(has(cn, at), 1);
    assert_int_equal(has(cn, at), 1);
    assert_int_equal(has(cn, other), 0);
}

static void test_another_feature_may_have_a_run_of_that_name(void **state)
{
    struct cancel_night *cn = *state;
    struct release r;
    struct err err;
    release_of(cn->ln->n, release_job(cn->ln->n, &(struct asked){.run = "gone"}), &r);
    cancel_run(cn, "gone");
    snprintf(r.feature, sizeof(r.feature), "other");
    assert_int_equal(cancels_has(cn->cancels, &r, &err), 0);
    snprintf(r.feature, sizeof(r.feature), "tags");
    assert_int_equal(cancels_has(cn->cancels, &r, &err), 1);
}

static void test_jobs_without_a_run_and_workers_without_a_store_know_of_none(void **state)
{
    struct cancel_night *cn = *state;
    struct release r;
    struct err err;
    release_of(cn->ln->n, release_job(cn->ln->n, &(struct asked){.run = ""}), &r);
    cancel_run(cn, "");
    r.run[0] = '\0';
    assert_int_equal(cancels_has(cn->cancels, &r, &err), 0);
    snprintf(r.run, sizeof(r.run), "monday");
    assert_int_equal(cancels_has(NULL, &r, &err), 0);
}

static void test_a_cancel_that_comes_later_is_seen_soon_after_a_commit(void **state)
{
    struct cancel_night *cn = *state;
    planned(cn, "q", "gone");
    cancel_run(cn, "gone");
    assert_int_equal(has(cn, cn->ln->at[0]), 0); /* remembered, and not asked again */
    pass(cn->ln, CANCELS_LOOK_MS + 10);
    assert_int_equal(has(cn, cn->ln->at[0]), 1);
    assert_int_equal(cn->marked, 1);
    cancels_wake(cn->cancels);
    pass(cn->ln, CANCELS_LOOK_MS + 10);
    assert_int_equal(cn->marked, 1); /* nothing new */
}

static void test_more_runs_than_can_be_remembered_are_forgotten_and_learned_anew(
    void **state)
{
    struct cancel_night *cn = *state;
    struct release r;
    struct err err;
    release_of(cn->ln->n, release_job(cn->ln->n, &(struct asked){.run = "gone"}), &r);
    assert_int_equal(cancels_has(cn->cancels, &r, &err), 0);
    cancel_run(cn, "gone");
    for (int i = 0; i < CANCELS_RUNS_MAX; i++) {
        snprintf(r.run, sizeof(r.run), "run-%d", i);
        assert_int_equal(cancels_has(cn->cancels, &r, &err), 0);
    }
    snprintf(r.run, sizeof(r.run), "gone");
    assert_int_equal(cancels_has(cn->cancels, &r, &err), 1);
}

/* ---- what becomes of their calls ---- */

static void test_what_is_planned_for_a_batch_ends_at_once(void **state)
{
    struct cancel_night *cn = *state;
    planned(cn, "one", "gone");
    planned(cn, "two", "kept");
    planned(cn, "three", "gone");
    cancel_run(cn, "gone");
    pass(cn->ln, SECOND);
    assert_cancelled(cn, 0);
    assert_cancelled(cn, 2);
    assert_false(has_ended(cn, 1));
    assert_int_equal(call_count(cn->ln->n->calls), 1);
    struct err err;
    assert_int_equal(plan_flush(cn->plan, 0, &err), 0);
    pass(cn->ln, 5 * MINUTE);
    assert_answered(cn, 1);
    assert_int_equal(cn->ln->desk.billed, 1);
}

static void test_a_call_that_waits_in_a_lane_is_marked_only(void **state)
{
    struct cancel_night *cn = *state;
    struct call *c = take_job(cn, "one", "gone");
    c->lane = LANE_SYNC;
    cancel_run(cn, "gone");
    pass(cn->ln, SECOND);
    assert_true(c->cancelled);
    assert_int_equal(cn->marked, 1);
    assert_false(has_ended(cn, 0));
}

static void test_a_job_that_joined_another_runs_call_leaves_it(void **state)
{
    struct cancel_night *cn = *state;
    struct call *c = planned(cn, "same", "kept");
    join_job(cn, c, "same", "gone");
    join_job(cn, c, "same", "kept");
    join_job(cn, c, "same", "gone");
    cancel_run(cn, "gone");
    pass(cn->ln, SECOND);
    assert_cancelled(cn, 1);
    assert_cancelled(cn, 3);
    assert_false(c->cancelled);
    assert_int_equal(c->jobs_len, 2);
    assert_false(has_ended(cn, 0) || has_ended(cn, 2));
}

static void test_jobs_of_other_runs_that_joined_a_cancelled_one_go_again(void **state)
{
    struct cancel_night *cn = *state;
    struct night *n = cn->ln->n;
    struct call *c = planned(cn, "same", "gone");
    join_job(cn, c, "same", "kept");
    join_job(cn, c, "same", "gone");
    join_job(cn, c, "same", "kept");
    cancel_run(cn, "gone");
    pass(cn->ln, SECOND);
    assert_cancelled(cn, 0);
    assert_cancelled(cn, 2);
    assert_int_equal(n->replanned_n, 1); /* together */
    assert_int_equal(n->replanned[0]->jobs->at, cn->ln->at[1]);
    assert_int_equal(n->replanned[0]->jobs_len, 2);
    assert_false(n->replanned[0]->cancelled);
}

static void test_an_answer_that_is_being_written_is_left_alone(void **state)
{
    struct cancel_night *cn = *state;
    struct call *c = take_job(cn, "one", "gone");
    const struct answer a = answer_saying("{\"x\":\"answer to one\"}");
    cancel_run(cn, "gone");
    assert_int_equal(settle_answer(cn->ln->n->settle, c, &a, &(struct origin){0}), 0);
    assert_int_equal(c->state, CALL_SETTLING);
    pass(cn->ln, SECOND);
    assert_answered(cn, 0);
    assert_int_equal(count_records(cn->ln->n, "results.shop"), 1);
}

static void test_it_goes_on_where_it_was_when_there_is_room_again(void **state)
{
    struct cancel_night *cn = *state;
    struct call *c = planned(cn, "same", "kept");
    join_job(cn, c, "same", "gone");
    planned(cn, "two", "gone");
    cancel_run(cn, "gone");
    is_full = true;
    pass(cn->ln, SECOND);
    assert_false(cancels_idle(cn->cancels));
    assert_int_equal(count_records(cn->ln->n, "results.shop"), 0);
    cancels_on_room(cn->cancels); /* for somebody else: it is full again */
    pass(cn->ln, SECOND);
    assert_false(cancels_idle(cn->cancels));
    is_full = false;
    cancels_on_room(cn->cancels);
    pass(cn->ln, SECOND);
    assert_true(cancels_idle(cn->cancels));
    assert_cancelled(cn, 1);
    assert_cancelled(cn, 2);
    assert_false(has_ended(cn, 0));
    assert_int_equal(cn->marked, 1);
}

static void test_a_walk_takes_its_turns(void **state)
{
    struct cancel_night *cn = *state;
    for (int i = 0; i < 1100; i++) { /* 500 a turn */
        char question[16];
        snprintf(question, sizeof(question), "q-%d", i);
        take_job(cn, question, i % 2 ? "gone" : "kept")->lane = LANE_SYNC;
    }
    cancel_run(cn, "gone");
    pass(cn->ln, SECOND);
    assert_true(cancels_idle(cn->cancels));
    assert_int_equal(cn->marked, 3);
    uint32_t marked = 0;
    call_walk_begin(cn->ln->n->calls);
    for (struct call *c; (c = call_walk(cn->ln->n->calls));
         call_walk_on(cn->ln->n->calls)) {
        marked += c->cancelled;
    }
    assert_int_equal(marked, 550);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CANCEL_TEST(test_a_run_is_cancelled_from_its_row_on),
        CANCEL_TEST(test_another_feature_may_have_a_run_of_that_name),
        CANCEL_TEST(test_jobs_without_a_run_and_workers_without_a_store_know_of_none),
        CANCEL_TEST(test_a_cancel_that_comes_later_is_seen_soon_after_a_commit),
        CANCEL_TEST(test_more_runs_than_can_be_remembered_are_forgotten_and_learned_anew),
        CANCEL_TEST(test_what_is_planned_for_a_batch_ends_at_once),
        CANCEL_TEST(test_a_call_that_waits_in_a_lane_is_marked_only),
        CANCEL_TEST(test_a_job_that_joined_another_runs_call_leaves_it),
        CANCEL_TEST(test_jobs_of_other_runs_that_joined_a_cancelled_one_go_again),
        CANCEL_TEST(test_an_answer_that_is_being_written_is_left_alone),
        CANCEL_TEST(test_it_goes_on_where_it_was_when_there_is_room_again),
        CANCEL_TEST(test_a_walk_takes_its_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
