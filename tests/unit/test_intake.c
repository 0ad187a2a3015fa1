/* What becomes of each released job. */
#include "tests/unit/night.h"

#include "worker/intake.h"
#include "worker/repeats.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY "{\"id\":\"chatcmpl-1\",\"choices\":[]}"

struct world {
    struct night *n;
    struct plan *plan;
    struct intake *intake;
    uint64_t sealed[64]; /* leaders that were handed to the lane, in order */
    int sealed_n, batches;
    int stops;
};

static const struct origin from_batch = {.batch = "batch_abc"};

static int on_submit(void *ctx, struct call **calls, uint32_t n, struct err *err)
{
    struct world *w = ctx;
    (void)err;
    w->batches++;
    for (uint32_t i = 0; i < n; i++) {
        assert_in_range(w->sealed_n, 0, 63);
        calls[i]->state = CALL_BATCHED;
        w->sealed[w->sealed_n++] = calls[i]->jobs->at;
    }
    return 0;
}

static void on_failed(void *ctx, const struct err *err)
{
    struct world *w = ctx;
    w->stops++;
    print_message("%s\n", err->msg);
}

static void worker_wakes(struct world *w)
{
    const struct plan_conf plan = {.loop = w->n->loop,
                                   .limits = {.requests = 100, .bytes = 1000000},
                                   .linger_ms = 30000,
                                   .submit = on_submit,
                                   .on_failed = on_failed,
                                   .ctx = w};
    assert_int_equal(plan_create(&w->plan, &plan, NULL), 0);
    const struct intake_conf intake = {.loop = w->n->loop,
                                       .queue = w->n->queue,
                                       .feed = w->n->feed,
                                       .calls = w->n->calls,
                                       .settle = w->n->settle,
                                       .plan = w->plan,
                                       .on_failed = on_failed,
                                       .ctx = w};
    assert_int_equal(intake_create(&w->intake, &intake, NULL), 0);
}

static void worker_sleeps(struct world *w)
{
    w->intake = intake_destroy(w->intake);
    w->plan = plan_destroy(w->plan);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    void *night = NULL;
    assert_non_null(w);
    assert_int_equal(night_falls(&night), 0);
    w->n = night;
    worker_wakes(w);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    void *night = w->n;
    worker_sleeps(w);
    night_ends(&night);
    free(w);
    return 0;
}

static void crash(struct world *w)
{
    worker_sleeps(w);
    night_crash(w->n);
    worker_wakes(w);
    w->sealed_n = w->batches = 0;
}

static uint64_t ask(struct world *w, const char *question)
{
    return release_job(w->n, &(struct asked){.question = question});
}

/* Takes what is there; everything that would happen by itself happens. */
static void work(struct world *w)
{
    struct err err = {0};
    if (intake_start(w->intake, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    loop_run(w->n->loop);
    assert_int_equal(w->stops, 0);
}

static void answer_the_call_of(struct world *w, uint64_t at)
{
    struct answer a = answer_saying(BODY);
    struct release r;
    release_of(w->n, at, &r);
    settle_answer(w->n->settle, call_find(w->n->calls, &r.key), &a, &from_batch);
    loop_run(w->n->loop);
}

/* ---- intake ---- */

static void test_an_empty_folder_has_nothing_to_do(void **state)
{
    struct world *w = *state;
    assert_false(intake_idle(w->intake));
    work(w);
    assert_true(intake_idle(w->intake));
    assert_int_equal(call_count(w->n->calls), 0);
}

static void test_each_distinct_question_becomes_one_call(void **state)
{
    struct world *w = *state;
    uint64_t lamp = ask(w, "lamp"), vase = ask(w, "vase"), again = ask(w, "lamp");
    work(w);
    assert_int_equal(call_count(w->n->calls), 2);
    assert_int_equal(call_job_count(w->n->calls), 3);
    assert_int_equal(w->sealed_n, 2);
    assert_true(w->sealed[0] == lamp || w->sealed[0] == vase);
    assert_false(is_acked(w->n, again));
    assert_true(intake_idle(w->intake));
}

static void test_jobs_that_may_not_be_reused_get_a_call_each(void **state)
{
    struct world *w = *state;
    const struct asked own = {.question = "lamp", .not_reusable = true};
    release_job(w->n, &own);
    release_job(w->n, &own);
    work(w);
    assert_int_equal(call_count(w->n->calls), 2);
}

/* A recovered call may end before intake has read up to its record. */
static void ends_while_its_record_comes_again(struct world *w, bool not_reusable)
{
    struct answer a = answer_saying(BODY);
    struct err err = {0};
    uint64_t lamp = release_job(
        w->n, &(struct asked){.question = "lamp", .not_reusable = not_reusable});
    struct call *c = call_for(w->n, lamp);
    assert_int_equal(intake_start(w->intake, &err), 0);
    settle_answer(w->n->settle, c, &a, &from_batch);
    loop_run(w->n->loop);
    assert_int_equal(w->sealed_n, 0);
    assert_int_equal(call_count(w->n->calls), 0);
    assert_int_equal(count_records(w->n, "results.shop"), 1);
    assert_int_equal(count_records(w->n, "spend"), 1);
}

static void test_a_job_whose_end_is_being_stored_is_not_taken_again(void **state)
{
    ends_while_its_record_comes_again(*state, false);
}

static void test_a_job_whose_end_is_being_stored_is_not_bought_again(void **state)
{
    ends_while_its_record_comes_again(*state, true);
}

static void test_a_flush_seals_what_was_gathered_and_is_acknowledged(void **state)
{
    struct world *w = *state;
    struct err err = {0};
    ask(w, "lamp");
    release_flush(w->n, 0);
    assert_int_equal(intake_start(w->intake, &err), 0);
    int64_t start = loop_now_ms(w->n->loop);
    loop_run(w->n->loop);
    assert_int_equal(w->batches, 1);
    assert_in_range(loop_now_ms(w->n->loop) - start, 0, 29999); /* not by the linger */
    assert_true(is_acked(w->n, 1));
}

static void test_rejected_and_cancelled_jobs_end_without_a_call(void **state)
{
    struct world *w = *state;
    uint64_t bad =
        release_job(w->n, &(struct asked){.verdict = VERDICT_REJECTED, .why = "x"});
    uint64_t off =
        release_job(w->n, &(struct asked){.verdict = VERDICT_CANCELLED, .why = "y"});
    work(w);
    assert_int_equal(call_count(w->n->calls), 0);
    assert_result(w->n, bad, "\"status\":\"rejected\"");
    assert_result(w->n, off, "\"status\":\"cancelled\"");
}

static void test_the_same_file_as_a_new_run_needs_no_call(void **state)
{
    struct world *w = *state;
    uint64_t lamp = ask(w, "lamp");
    work(w);
    answer_the_call_of(w, lamp);
    uint64_t next =
        release_job(w->n, &(struct asked){.question = "lamp", .run = "tuesday"});
    intake_wake(w->intake);
    loop_run(w->n->loop);
    assert_int_equal(call_count(w->n->calls), 0);
    assert_result(w->n, next, "\"source\":\"cache\",\"paid\":false,\"cost_usd\":0");
}

static void test_a_fresh_run_asks_again(void **state)
{
    struct world *w = *state;
    uint64_t lamp = ask(w, "lamp");
    work(w);
    answer_the_call_of(w, lamp);
    uint64_t next =
        release_job(w->n, &(struct asked){.question = "lamp",
                                          .run = "tuesday",
                                          .fresh = true,
                                          .fresh_ms = loop_wall_ms(w->n->loop) + 1});
    intake_wake(w->intake);
    loop_run(w->n->loop);
    assert_int_equal(call_count(w->n->calls), 1);
    assert_false(has_result(w->n, next));
}

static void test_the_joiner_of_an_answered_call_is_a_hit_after_a_crash(void **state)
{
    struct world *w = *state;
    uint64_t lamp = ask(w, "lamp");
    work(w);
    answer_the_call_of(w, lamp);
    uint64_t joiner = ask(w, "lamp");
    crash(w);
    work(w);
    assert_int_equal(call_count(w->n->calls), 0);
    assert_result(w->n, joiner, "\"source\":\"flight\",\"paid\":false");
}

static void test_a_member_of_a_journaled_batch_is_not_asked_twice(void **state)
{
    struct world *w = *state;
    uint64_t lamp = ask(w, "lamp"), again = ask(w, "lamp");
    struct call *replayed = call_for(w->n, lamp); /* as recovery does */
    replayed->state = CALL_BATCHED;
    work(w);
    assert_int_equal(call_count(w->n->calls), 1);
    assert_int_equal(replayed->jobs_len, 2); /* the joiner came back to it */
    assert_int_equal(replayed->jobs->next->at, again);
    assert_int_equal(w->sealed_n, 0);
}

/* ---- repeats ---- */

static void test_a_job_released_twice_has_one_result(void **state)
{
    struct world *w = *state;
    uint64_t lamp = ask(w, "lamp");
    ask(w, "vase");
    uint64_t twice = release_again(w->n, lamp);
    work(w);
    assert_int_equal(intake_repeats(w->intake), 1);
    assert_true(is_acked(w->n, twice));
    assert_false(is_acked(w->n, lamp));
    assert_int_equal(call_job_count(w->n->calls), 2);
}

static void test_a_repeat_is_known_after_a_crash_though_its_first_place_is_acknowledged(
    void **state)
{
    struct world *w = *state;
    ask(w, "rug"); /* stays unacknowledged: the low water stays below */
    uint64_t lamp = ask(w, "lamp");
    work(w);
    answer_the_call_of(w, lamp);
    assert_true(is_acked(w->n, lamp));
    uint64_t twice = release_again(w->n, lamp);
    crash(w);
    work(w);
    assert_int_equal(intake_repeats(w->intake), 1);
    assert_true(is_acked(w->n, twice));
    assert_int_equal(count_records(w->n, TOPIC_SPEND), 1);
}

/* As a broker keeps it beside the low water, for an owner that has nothing from before. */
static void keep_last_job(struct world *w, uint64_t at)
{
    struct err err = {0};
    struct queue_tx *tx = NULL;
    struct release r;
    struct span queue;
    struct last_job job;
    char key[QUEUE_KEY_MAX], value[LAST_JOB_TEXT];
    uint64_t commit;
    release_of(w->n, at, &r);
    assert_int_equal(last_job_of(span_str(r.job), &queue, &job), 0);
    last_job_format(&job, value);
    (void)snprintf(key, sizeof(key), "ready#0:%.*s", (int)queue.n, queue.p);
    assert_int_equal(queue_begin(w->n->queue, &tx), 0);
    assert_int_equal(
        queue_table_put(tx, TABLE_ACKS, 0, span_str(key), span_str(value), &err), 0);
    assert_true(queue_commit_wait(tx, &commit, &err) >= 0);
}

static void test_a_repeat_of_what_stands_below_the_low_water_is_known_to_a_new_owner(
    void **state)
{
    struct world *w = *state;
    uint64_t lamp = ask(w, "lamp");
    work(w);
    answer_the_call_of(w, lamp);
    keep_last_job(w, lamp);
    uint64_t twice = release_again(w->n, lamp);
    uint64_t next = ask(w, "vase");
    crash(w);
    work(w);
    assert_int_equal(intake_repeats(w->intake), 1);
    assert_true(is_acked(w->n, twice));
    assert_int_equal(count_records(w->n, "results.shop"), 1);
    assert_int_equal(count_records(w->n, TOPIC_SPEND), 1);
    assert_int_equal(call_job_count(w->n->calls), 1);
    assert_false(is_acked(w->n, next));
}

static void test_redelivery_after_a_crash_is_no_repeat(void **state)
{
    struct world *w = *state;
    ask(w, "lamp");
    ask(w, "vase");
    work(w);
    crash(w);
    work(w);
    assert_int_equal(intake_repeats(w->intake), 0);
    assert_int_equal(call_count(w->n->calls), 2);
}

static void test_repeats_are_counted_for_each_jobs_partition(void **state)
{
    (void)state;
    struct repeats *r = repeats_create();
    assert_int_equal(repeats_see(r, 0, SPAN_LIT("shop.tags/0/5/100")), 0);
    assert_int_equal(repeats_see(r, 0, SPAN_LIT("shop.tags/1/5/100")), 0);
    assert_int_equal(repeats_see(r, 0, SPAN_LIT("shop.other/0/5/100")), 0);
    assert_int_equal(repeats_see(r, 0, SPAN_LIT("shop.tags/0/5/100")), 1);
    assert_int_equal(repeats_see(r, 0, SPAN_LIT("shop.tags/0/4/99")), 1);
    assert_int_equal(repeats_see(r, 0, SPAN_LIT("shop.tags/0/9/101")), 0);
    assert_int_equal(repeats_see(r, 0, SPAN_LIT("shop.tags/0/8/101")), 1);
    assert_int_equal(repeats_see(r, 0, SPAN_LIT("nonsense")), -1);
    assert_int_equal(repeats_see(r, 0, SPAN_LIT("shop.tags/0/x/1")), -1);
    char id[64];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(id, sizeof(id), "t%d.f/0/7/1", i);
        assert_int_equal(repeats_see(r, 0, span_str(id)), 0);
    }
    assert_int_equal(repeats_see(r, 0, SPAN_LIT("t0.f/0/7/1")), 1);
    repeats_destroy(r);
}

static void test_more_than_one_turns_worth_is_taken(void **state)
{
    struct world *w = *state;
    struct asked same = {.question = "lamp"};
    for (int i = 0; i < 1100; i++) {
        release_job(w->n, &same);
    }
    work(w);
    assert_int_equal(call_count(w->n->calls), 1);
    assert_int_equal(call_job_count(w->n->calls), 1100);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_empty_folder_has_nothing_to_do),
        TEST(test_each_distinct_question_becomes_one_call),
        TEST(test_jobs_that_may_not_be_reused_get_a_call_each),
        TEST(test_a_job_whose_end_is_being_stored_is_not_taken_again),
        TEST(test_a_job_whose_end_is_being_stored_is_not_bought_again),
        TEST(test_a_flush_seals_what_was_gathered_and_is_acknowledged),
        TEST(test_rejected_and_cancelled_jobs_end_without_a_call),
        TEST(test_the_same_file_as_a_new_run_needs_no_call),
        TEST(test_a_fresh_run_asks_again),
        TEST(test_the_joiner_of_an_answered_call_is_a_hit_after_a_crash),
        TEST(test_a_member_of_a_journaled_batch_is_not_asked_twice),
        TEST(test_a_job_released_twice_has_one_result),
        TEST(test_a_repeat_is_known_after_a_crash_though_its_first_place_is_acknowledged),
        TEST(test_a_repeat_of_what_stands_below_the_low_water_is_known_to_a_new_owner),
        TEST(test_redelivery_after_a_crash_is_no_repeat),
        cmocka_unit_test(test_repeats_are_counted_for_each_jobs_partition),
        TEST(test_more_than_one_turns_worth_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
