/* Housekeeping: what nobody needs any more goes, and nothing else. */
#include "tests/unit/night.h"

#include "worker/answers.h"
#include "worker/tidy.h"
#include <stdio.h>
#include <string.h>

#define BODY    "{\"id\":\"chatcmpl-1\",\"choices\":[]}"
#define HOUR_MS INT64_C(3600000)

static const struct origin from_batch = {.batch = "batch_abc"};

struct pass {
    struct night *n;
    int firsts;
};

static void on_first(void *ctx)
{
    struct pass *p = ctx;
    p->firsts++;
    loop_stop(p->n->loop);
}

static void on_failed(void *ctx, const struct err *err)
{
    (void)ctx;
    fail_msg("%s", err->msg);
}

static const struct tidy_conf an_hour = {
    .retain_ms = HOUR_MS, .results_keep_ms = HOUR_MS, .cache_ttl_ms = HOUR_MS};

static void tidy_once(struct night *n, struct tidy_conf conf)
{
    struct pass p = {.n = n};
    struct tidy *t = NULL;
    conf.loop = n->loop;
    conf.queue = n->queue;
    conf.feed = n->feed;
    conf.settle = n->settle;
    conf.on_first = on_first;
    conf.on_failed = on_failed;
    conf.ctx = &p;
    assert_int_equal(tidy_create(&t, &conf, NULL), 0);
    tidy_start(t);
    loop_run(n->loop);
    assert_int_equal(p.firsts, 1);
    tidy_destroy(t);
}

static void nothing(void *ctx)
{
    (void)ctx;
}

static void later(struct night *n, int64_t ms)
{
    struct loop_timer *t = NULL;
    assert_int_equal(loop_timer_create(n->loop, nothing, NULL, &t), 0);
    loop_timer_start(t, ms);
    loop_run(n->loop);
    loop_timer_destroy(t);
}

static uint64_t ask_and_answer(struct night *n, const char *question)
{
    struct answer a = answer_saying(BODY);
    uint64_t at = release_job(n, &(struct asked){.question = question});
    settle_answer(n->settle, call_for(n, at), &a, &from_batch);
    loop_run(n->loop);
    return at;
}

static void test_an_empty_folder_is_tidy(void **state)
{
    tidy_once(*state, an_hour);
}

static void test_what_is_settled_and_old_goes_and_spend_stays(void **state)
{
    struct night *n = *state;
    struct answer refusal = {.http_status = 400, .body = SPAN_LIT("{}")};
    ask_and_answer(n, "lamp");
    uint64_t bad = release_job(n, &(struct asked){.question = "vase"});
    settle_failed(n->settle, call_for(n, bad), &refusal, &from_batch, true);
    later(n, 2 * HOUR_MS);
    tidy_once(n, an_hour);
    assert_int_equal(count_records(n, TOPIC_READY), 0);
    assert_int_equal(count_records(n, "jobs.shop.tags"), 0);
    assert_int_equal(count_records(n, "results.shop"), 0);
    assert_int_equal(count_records(n, "dead.shop"), 0);
    assert_int_equal(count_records(n, TOPIC_SPEND), 2);
}

static uint64_t rows_of(struct night *n, const char *table, uint32_t partition)
{
    struct err err = {0};
    struct queue_msg msg;
    uint64_t rows = 0;
    queue_read_table(n->cursor, table, partition, SPAN_NONE);
    while (queue_read(n->cursor, &msg, &err) > 0) {
        rows++;
    }
    return rows;
}

static uint64_t kept_in(struct night *n, uint32_t partition)
{
    struct err err = {0};
    uint64_t first = 0, end = 0;
    assert_true(queue_bounds(n->cursor, TOPIC_READY, partition, &first, &end, &err) >= 0);
    return end - first;
}

static void answer_in(struct night *n, uint32_t partition, const char *question)
{
    struct answer a = answer_saying(BODY);
    uint64_t at =
        release_job(n, &(struct asked){.question = question, .partition = partition});
    settle_answer(n->settle, call_for(n, at), &a, &from_batch);
    loop_run(n->loop);
    assert_int_equal(rows_of(n, TABLE_ANSWERS, partition), 1);
}

/* Whoever owns the rest tidies that; what all of them refer to is not one worker's to drop. */
static void test_one_of_many_workers_tidies_its_partitions_alone(void **state)
{
    static const uint32_t all[] = {0, 1, 2, 3}, mine[] = {1, 3};
    struct night *n = *state;
    night_owns(n, 4, all, ARRAY_LEN(all));
    answer_in(n, 0, "lamp");
    answer_in(n, 1, "vase");
    answer_in(n, 3, "rug");
    later(n, 2 * HOUR_MS);
    night_owns(n, 4, mine, ARRAY_LEN(mine));
    tidy_once(n, an_hour);
    for (uint32_t p = 0; p < 4; p++) {
        assert_int_equal(kept_in(n, p), p == 0);
        assert_int_equal(rows_of(n, TABLE_ANSWERS, p), p == 0);
    }
    assert_int_equal(count_records(n, "jobs.shop.tags"), 3);
    assert_int_equal(count_records(n, "results.shop"), 3);
}

static void test_what_is_settled_and_young_stays(void **state)
{
    struct night *n = *state;
    uint64_t at = ask_and_answer(n, "lamp");
    later(n, HOUR_MS / 2);
    tidy_once(n, an_hour);
    assert_int_equal(count_records(n, TOPIC_READY), 1);
    assert_int_equal(count_records(n, "jobs.shop.tags"), 1);
    assert_int_equal(count_records(n, "results.shop"), 1);
    assert_true(has_answer(n, at));
}

static void test_a_job_under_way_keeps_its_record_however_old(void **state)
{
    struct night *n = *state;
    uint64_t before = ask_and_answer(n, "lamp");
    uint64_t waits = release_job(n, &(struct asked){.question = "vase"});
    uint64_t after = ask_and_answer(n, "rug");
    struct release r;
    later(n, 2 * HOUR_MS);
    tidy_once(n, an_hour);
    assert_int_equal(before, 0);
    assert_int_equal(count_records(n, TOPIC_READY), 2); /* from the low water on */
    assert_int_equal(count_records(n, "jobs.shop.tags"), 2);
    release_of(n, waits, &r); /* and both can be read */
    release_of(n, after, &r);
    struct answer a = answer_saying(BODY);
    settle_answer(n->settle, call_for(n, waits), &a, &from_batch);
    later(n, 2 * HOUR_MS);
    tidy_once(n, an_hour);
    assert_int_equal(count_records(n, TOPIC_READY), 0);
    assert_int_equal(count_records(n, "jobs.shop.tags"), 0);
}

/* A job that waits in its queue. */
static void submit_only(struct night *n)
{
    struct err err = {0};
    struct queue_tx *tx = NULL;
    uint64_t commit;
    assert_int_equal(queue_begin(n->queue, &tx), 0);
    queue_put(tx, QUEUE_TO("jobs.shop.tags", 0, SPAN_NONE), SPAN_NONE, SPAN_LIT("{}"),
              &err);
    assert_true(queue_commit_wait(tx, &commit, &err) >= 0);
}

static void test_a_job_that_was_never_released_stays(void **state)
{
    struct night *n = *state;
    ask_and_answer(n, "lamp");
    submit_only(n);
    later(n, 2 * HOUR_MS);
    tidy_once(n, an_hour);
    assert_int_equal(count_records(n, "jobs.shop.tags"), 1);
}

static void test_a_thousand_records_go_in_steps(void **state)
{
    struct night *n = *state;
    struct release r;
    for (int i = 0; i < 1000; i++) {
        uint64_t at =
            release_job(n, &(struct asked){.verdict = VERDICT_CANCELLED, .why = "x"});
        release_of(n, at, &r);
        if (!settle_room(n->settle)) {
            loop_run(n->loop);
        }
        settle_verdict(n->settle, at, &r);
    }
    later(n, 2 * HOUR_MS);
    tidy_once(n, an_hour);
    assert_int_equal(count_records(n, TOPIC_READY), 0);
    assert_int_equal(count_records(n, "jobs.shop.tags"), 0);
    assert_int_equal(count_records(n, "results.shop"), 0);
}

/* ---- rows ---- */

static void put_row(struct night *n, const char *table, const char *key)
{
    struct err err = {0};
    struct queue_tx *tx = NULL;
    uint64_t commit;
    assert_int_equal(queue_begin(n->queue, &tx), 0);
    assert_int_equal(queue_table_put(tx, table, 0, span_str(key), SPAN_LIT("{}"), &err),
                     0);
    assert_true(queue_commit_wait(tx, &commit, &err) >= 0);
}

static bool has_row(struct night *n, const char *table, const char *key)
{
    struct queue_msg row;
    return queue_table_get(n->cursor, table, 0, span_str(key), &row, NULL) > 0;
}

static void test_a_finished_runs_rows_go_when_they_are_old(void **state)
{
    struct night *n = *state;
    put_row(n, "runs.shop", "tags/monday");
    put_row(n, "runs.shop", "tags/monday/cancel");
    put_row(n, TABLE_MARKS, "jobs.shop.tags/0/monday/1");
    ask_and_answer(n, "lamp");
    later(n, HOUR_MS / 2);
    tidy_once(n, an_hour);
    assert_true(has_row(n, "runs.shop", "tags/monday"));
    later(n, 2 * HOUR_MS);
    put_row(n, "runs.shop", "tags/tuesday");
    tidy_once(n, an_hour);
    assert_false(has_row(n, "runs.shop", "tags/monday"));
    assert_false(has_row(n, "runs.shop", "tags/monday/cancel"));
    assert_false(has_row(n, TABLE_MARKS, "jobs.shop.tags/0/monday/1"));
    assert_true(has_row(n, "runs.shop", "tags/tuesday"));
}

static void test_a_run_with_jobs_in_its_queue_keeps_its_rows(void **state)
{
    struct night *n = *state;
    submit_only(n);
    put_row(n, "runs.shop", "tags/monday");
    later(n, 2 * HOUR_MS);
    tidy_once(n, an_hour);
    assert_true(has_row(n, "runs.shop", "tags/monday"));
}

static void test_tonights_jobs_do_not_keep_last_nights_rows(void **state)
{
    struct night *n = *state;
    ask_and_answer(n, "lamp");
    put_row(n, "runs.shop", "tags/monday");
    put_row(n, TABLE_MARKS, "jobs.shop.tags/0/monday/1");
    later(n, 2 * HOUR_MS);
    release_job(n, &(struct asked){.question = "vase", .run = "tuesday"});
    submit_only(n);
    put_row(n, "runs.shop", "tags/tuesday");
    put_row(n, TABLE_MARKS, "jobs.shop.tags/0/tuesday/1");
    tidy_once(n, an_hour);
    assert_false(has_row(n, "runs.shop", "tags/monday"));
    assert_false(has_row(n, TABLE_MARKS, "jobs.shop.tags/0/monday/1"));
    assert_true(has_row(n, "runs.shop", "tags/tuesday"));
    assert_true(has_row(n, TABLE_MARKS, "jobs.shop.tags/0/tuesday/1"));
}

static void test_a_run_that_gets_more_lines_keeps_its_mark(void **state)
{
    struct night *n = *state;
    ask_and_answer(n, "lamp");
    put_row(n, TABLE_MARKS, "jobs.shop.tags/0/monday/1");
    later(n, 2 * HOUR_MS);
    put_row(n, "runs.shop", "tags/monday");
    tidy_once(n, an_hour);
    assert_true(has_row(n, TABLE_MARKS, "jobs.shop.tags/0/monday/1"));
}

static void test_a_run_with_jobs_under_way_keeps_its_rows(void **state)
{
    struct night *n = *state;
    put_row(n, "runs.shop", "tags/monday");
    put_row(n, TABLE_MARKS, "jobs.shop.tags/0/monday/1");
    release_job(n, &(struct asked){.question = "lamp"});
    later(n, 2 * HOUR_MS);
    tidy_once(n, an_hour);
    assert_true(has_row(n, "runs.shop", "tags/monday"));
    assert_true(has_row(n, TABLE_MARKS, "jobs.shop.tags/0/monday/1"));
}

/* ---- results of runs ---- */

static void put_run(struct night *n, const char *run, uint64_t results_from)
{
    struct err err = {0};
    struct queue_tx *tx = NULL;
    char key[QUEUE_KEY_MAX];
    uint64_t commit;
    const struct run_row row = {.digest = "d",
                                .endpoint = "http://x",
                                .account = "a",
                                .source = "f.jsonl",
                                .reuse = "always",
                                .results_from = results_from,
                                .complete = true};
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, 4096);
    run_key("tags", run, key);
    assert_int_equal(run_row_encode(&row, &json), 0);
    assert_int_equal(queue_begin(n->queue, &tx), 0);
    assert_int_equal(
        queue_table_put(tx, "runs.shop", 0, span_str(key), buf_span(&json), &err), 0);
    assert_true(queue_commit_wait(tx, &commit, &err) >= 0);
}

static void test_a_run_that_takes_longer_than_its_results_are_kept_loses_none(
    void **state)
{
    struct night *n = *state;
    struct answer a = answer_saying(BODY);
    ask_and_answer(n, "of a run before");
    put_run(n, "monday", 1);
    put_row(n, "runs.shop", "tags/monday/cancel");
    ask_and_answer(n, "lamp");
    uint64_t waits = release_job(n, &(struct asked){.question = "vase"});
    later(n, 2 * HOUR_MS);
    tidy_once(n, an_hour);
    assert_int_equal(count_records(n, "results.shop"),
                     1); /* monday's, and it can go on */
    settle_answer(n->settle, call_for(n, waits), &a, &from_batch);
    loop_run(n->loop);
    assert_int_equal(count_records(n, "results.shop"), 2);
}

static void test_a_runs_results_are_there_while_its_row_is(void **state)
{
    struct night *n = *state;
    put_run(n, "monday", 0);
    ask_and_answer(n, "lamp");
    later(n, 2 * HOUR_MS);
    tidy_once(n, an_hour);
    assert_false(has_row(n, "runs.shop", "tags/monday"));
    assert_int_equal(count_records(n, "results.shop"), 1);
    put_run(n, "tuesday", 1);
    tidy_once(n, an_hour);
    assert_true(has_row(n, "runs.shop", "tags/tuesday"));
    assert_int_equal(count_records(n, "results.shop"), 0);
}

static void test_the_earliest_of_many_runs_says_what_is_kept(void **state)
{
    struct night *n = *state;
    for (uint64_t i = 0; i < 5; i++) {
        char question[24];
        snprintf(question, sizeof(question), "of run %d", (int)i);
        ask_and_answer(n, question);
    }
    later(n, 2 * HOUR_MS);
    for (int i = 0; i < 600; i++) { /* more than one step looks at */
        char run[24];
        snprintf(run, sizeof(run), "run-%03d", i);
        put_run(n, run, i == 555 ? 2 : 4);
    }
    tidy_once(n, an_hour);
    assert_int_equal(count_records(n, "results.shop"), 3);
}

/* ---- stored answers ---- */

static void store(struct night *n, int number, int64_t stored_ms, size_t bytes)
{
    struct err err = {0};
    struct queue_tx *tx = NULL;
    uint64_t commit;
    _cleanup_(buf_fini) struct buf json, body;
    char name[32];
    (void)snprintf(name, sizeof(name), "answer %d", number);
    struct digest key = hash_of(span_str(name));
    buf_init(&json, 1000000);
    buf_init(&body, 1000000);
    buf_addf(&body, "{\"n\":\"%0*d\"}", (int)bytes, number);
    struct stored_answer a = {.stored_ms = stored_ms,
                              .expires_ms = stored_ms + HOUR_MS,
                              .body = buf_span(&body)};
    assert_int_equal(answer_encode(&a, &json), 0);
    assert_int_equal(queue_begin(n->queue, &tx), 0);
    queue_table_put(tx, TABLE_ANSWERS, 0, span_of(key.b, sizeof(key.b)), buf_span(&json),
                    &err);
    assert_true(queue_commit_wait(tx, &commit, &err) >= 0);
}

static int count_answers(struct night *n, int64_t since_ms)
{
    struct queue_msg row;
    struct stored_answer a;
    int count = 0;
    queue_read_table(n->cursor, TABLE_ANSWERS, 0, SPAN_NONE);
    while (queue_read(n->cursor, &row, NULL) > 0) {
        assert_int_equal(answer_decode(row.value, &a), 0);
        count += a.stored_ms >= since_ms;
    }
    return count;
}

static void test_answers_whose_time_is_over_are_deleted(void **state)
{
    struct night *n = *state;
    int64_t now = loop_wall_ms(n->loop);
    for (int i = 0; i < 300; i++) {
        store(n, i, now - 2 * HOUR_MS, 100);
    }
    for (int i = 300; i < 400; i++) {
        store(n, i, now - HOUR_MS / 2, 100);
    }
    tidy_once(n, an_hour);
    assert_int_equal(count_answers(n, 0), 100);
}

static void test_above_the_bound_the_oldest_answers_go(void **state)
{
    struct night *n = *state;
    int64_t now = loop_wall_ms(n->loop);
    struct tidy_conf conf = an_hour;
    conf.cache_max_bytes = 60000;
    for (int i = 0; i < 100; i++) { /* of about 1,200 bytes each, one a second */
        store(n, i, now - (100 - i) * 1000, 1000);
    }
    tidy_once(n, conf);
    int left = count_answers(n, 0);
    assert_in_range(left, 35, 50);
    assert_int_equal(count_answers(n, now - left * 1000), left); /* the newest ones */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, night_falls, night_ends)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_empty_folder_is_tidy),
        TEST(test_what_is_settled_and_old_goes_and_spend_stays),
        TEST(test_one_of_many_workers_tidies_its_partitions_alone),
        TEST(test_what_is_settled_and_young_stays),
        TEST(test_a_job_under_way_keeps_its_record_however_old),
        TEST(test_a_job_that_was_never_released_stays),
        TEST(test_a_thousand_records_go_in_steps),
        TEST(test_a_finished_runs_rows_go_when_they_are_old),
        TEST(test_a_run_with_jobs_in_its_queue_keeps_its_rows),
        TEST(test_tonights_jobs_do_not_keep_last_nights_rows),
        TEST(test_a_run_that_gets_more_lines_keeps_its_mark),
        TEST(test_a_run_with_jobs_under_way_keeps_its_rows),
        TEST(test_a_run_that_takes_longer_than_its_results_are_kept_loses_none),
        TEST(test_a_runs_results_are_there_while_its_row_is),
        TEST(test_the_earliest_of_many_runs_says_what_is_kept),
        TEST(test_answers_whose_time_is_over_are_deleted),
        TEST(test_above_the_bound_the_oldest_answers_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
