/* A worker that owns some partitions of `ready`, and what becomes of the others. */
#include "tests/unit/desk.h"
#include "tests/unit/night.h"
#include "tests/unit/phone.h"

#include "core/secret.h"
#include "worker/worker.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND   INT64_C(1000)
#define MINUTE   (60 * SECOND)
#define JOBS_MAX 64
#define PARTS    4

struct parts_night {
    struct night *n;
    struct desk desk;
    struct phone phone;
    bool by_phone;
    struct secret *key;
    struct worker_settings settings;
    struct worker *worker;
    struct loop_timer *alarm;
    const char *awaited; /* the event that ends until_told, once */
    int stops;
    struct err stop;
    uint64_t at[JOBS_MAX];
    unsigned jobs;
};

static const uint32_t one_and_three[] = {1, 3}, all[] = {0, 1, 2, 3}, only_three[] = {3};

/* ---- life ---- */

static void must(int rc, const struct err *err)
{
    if (rc < 0) {
        fail_msg("%s", err->msg);
    }
}

static void on_word(void *ctx, const char *subject, const char *text)
{
    struct parts_night *p = ctx;
    (void)subject;
    if (p->awaited && strstr(text, p->awaited)) {
        p->awaited = NULL;
        loop_stop(p->n->loop);
    }
}

static void on_stop(void *ctx, const struct err *err)
{
    struct parts_night *p = ctx;
    p->stops++;
    p->stop = *err;
}

static void on_alarm(void *ctx)
{
    loop_stop(((struct parts_night *)ctx)->n->loop);
}

static void worker_wakes(struct parts_night *p)
{
    struct err err = {0};
    const struct worker_conf conf = {
        .queue = p->n->queue,
        .loop = p->n->loop,
        .http = p->by_phone ? &p->phone.http : &p->desk.http,
        .prices = p->n->prices,
        .base_url = "http://127.0.0.1:1/v1",
        .key = p->key,
        .settings = &p->settings,
        .dir = p->n->dir,
        .on_step = on_word,
        .on_event = on_word,
        .on_stop = on_stop,
        .ctx = p,
    };
    must(worker_create(&p->worker, &conf, &err), &err);
    must(worker_start(p->worker, &err), &err);
}

/* Nobody works yet: a test says first what is owned. */
static int begin(void **state)
{
    struct parts_night *p = calloc(1, sizeof(*p));
    struct err err = {0};
    char key[] = "sk-test";
    const struct secret_sources from = {.env_value = key};
    assert_non_null(p);
    night_falls((void **)&p->n);
    desk_open(&p->desk, p->n->loop);
    phone_open(&p->phone, p->n->loop);
    must(secret_load(&p->key, &from, &err), &err);
    p->settings =
        (struct worker_settings){.batch = {.poll_ms = 10 * SECOND,
                                           .absent_after_ms = 5 * MINUTE,
                                           .max_requests = 50000,
                                           .max_bytes = 1 << 20,
                                           .linger_ms = 30 * MINUTE,
                                           .give_up_ms = 10 * MINUTE,
                                           .line_attempts = 3},
                                 .sync = {.concurrency = 16, .timeout_ms = 5 * MINUTE},
                                 .cache_ttl_ms = 10000 * MINUTE,
                                 .results_keep_ms = 10000 * MINUTE,
                                 .retain_ms = 10000 * MINUTE};
    assert_int_equal(loop_timer_create(p->n->loop, on_alarm, p, &p->alarm), 0);
    *state = p;
    return 0;
}

static int end(void **state)
{
    struct parts_night *p = *state;
    p->worker = worker_destroy(p->worker);
    desk_close(&p->desk);
    phone_close(&p->phone);
    loop_timer_destroy(p->alarm);
    secret_destroy(p->key);
    night_ends((void **)&p->n);
    free(p);
    return 0;
}

static void pass(struct parts_night *p, int64_t ms)
{
    loop_timer_start(p->alarm, ms);
    loop_run(p->n->loop);
}

static void until_told(struct parts_night *p, const char *part)
{
    p->awaited = part;
    pass(p, 60 * MINUTE);
    if (p->awaited) {
        fail_msg("nobody said '%s' within an hour", part);
    }
}

/* The process ends where it is, if there is one, and the next one owns those. */
#define owner_of(p, list) owner_of_parts((p), (list), ARRAY_LEN(list))
static void owner_of_parts(struct parts_night *p, const uint32_t *owned, size_t owned_n)
{
    p->worker = worker_destroy(p->worker);
    night_owns(p->n, PARTS, owned, (uint32_t)owned_n);
}

/* ---- given, then ---- */

static uint64_t give(struct parts_night *p, uint32_t partition, const char *question)
{
    const struct asked a = {.question = question,
                            .partition = partition,
                            .lane = p->by_phone ? LANE_SYNC : LANE_BATCH,
                            .tries = p->by_phone ? 2 : 1};
    assert_in_range(p->jobs, 0, JOBS_MAX - 1);
    return p->at[p->jobs++] = release_job(p->n, &a);
}

/* So many questions into each partition: "p1-0", "p1-1", ... */
static void given_everywhere(struct parts_night *p, unsigned each)
{
    for (unsigned i = 0; i < each; i++) {
        for (uint32_t part = 0; part < PARTS; part++) {
            char question[16];
            (void)snprintf(question, sizeof(question), "p%u-%u", part, i);
            give(p, part, question);
        }
    }
}

static void flush_all(struct parts_night *p)
{
    for (uint32_t part = 0; part < PARTS; part++) {
        release_flush(p->n, part);
    }
}

/* Of the jobs given into that partition, how many have their result. */
static unsigned answered_in(struct parts_night *p, uint32_t partition)
{
    unsigned found = 0;
    for (unsigned i = 0; i < p->jobs; i++) {
        found += place_partition(p->at[i]) == partition && has_result(p->n, p->at[i]);
    }
    return found;
}

static void assert_answered(struct parts_night *p, const unsigned want[static PARTS])
{
    for (uint32_t part = 0; part < PARTS; part++) {
        if (answered_in(p, part) != want[part]) {
            fail_msg("%u jobs of partition %u have a result, not %u",
                     answered_in(p, part), part, want[part]);
        }
    }
    assert_int_equal(p->stops, 0);
}

static unsigned journal_rows(struct parts_night *p, uint32_t partition)
{
    struct err err = {0};
    struct queue_msg m;
    unsigned rows = 0;
    queue_read_table(p->n->cursor, TABLE_BATCHES, partition, SPAN_NONE);
    while (queue_read(p->n->cursor, &m, &err) > 0) {
        rows++;
    }
    return rows;
}

static bool names(const char *text, uint32_t partition)
{
    char part[16];
    (void)snprintf(part, sizeof(part), "\"p%u-", partition);
    return strstr(text, part) != NULL;
}

/* Every batch at the provider asks questions of one partition. */
static void assert_pure_batches(const struct parts_night *p)
{
    for (unsigned i = 0; i < p->desk.batches_len; i++) {
        unsigned parts = 0;
        for (uint32_t part = 0; part < PARTS; part++) {
            parts += names(p->desk.batches[i].text, part);
        }
        assert_int_equal(parts, 1);
    }
}

/* ---- batches ---- */

static void test_a_worker_answers_what_it_owns_and_nothing_else(void **state)
{
    struct parts_night *p = *state;
    owner_of(p, one_and_three);
    given_everywhere(p, 3);
    flush_all(p);
    worker_wakes(p);
    pass(p, 60 * MINUTE);
    assert_answered(p, (unsigned[PARTS]){0, 3, 0, 3});
    assert_int_equal(p->desk.billed, 6);
    assert_int_equal(p->desk.batches_len, 2);
    assert_pure_batches(p);
}

static void test_the_journal_stands_where_the_jobs_are(void **state)
{
    struct parts_night *p = *state;
    owner_of(p, one_and_three);
    given_everywhere(p, 2);
    flush_all(p);
    worker_wakes(p);
    until_told(p, "submitted");
    pass(p, 10 * SECOND);
    for (uint32_t part = 0; part < PARTS; part++) {
        assert_int_equal(journal_rows(p, part),
                         part % 2 ? 2 : 0); /* it and its members */
    }
    pass(p, 60 * MINUTE);
    for (uint32_t part = 0; part < PARTS; part++) {
        assert_int_equal(journal_rows(p, part), 0);
    }
}

static void test_a_restart_goes_on_with_the_batches_of_all_it_owns(void **state)
{
    struct parts_night *p = *state;
    owner_of(p, one_and_three);
    given_everywhere(p, 3);
    flush_all(p);
    worker_wakes(p);
    until_told(p, "submitted");
    owner_of(p, one_and_three);
    worker_wakes(p);
    pass(p, 60 * MINUTE);
    assert_answered(p, (unsigned[PARTS]){0, 3, 0, 3});
    assert_int_equal(p->desk.billed, 6);
    assert_pure_batches(p);
}

static void test_who_takes_one_of_two_partitions_over_adopts_its_batch_only(void **state)
{
    struct parts_night *p = *state;
    owner_of(p, one_and_three);
    given_everywhere(p, 3);
    flush_all(p);
    worker_wakes(p);
    until_told(p, "submitted");
    pass(p, 10 * SECOND);
    owner_of(p, only_three);
    worker_wakes(p);
    pass(p, 60 * MINUTE);
    assert_answered(p, (unsigned[PARTS]){0, 0, 0, 3});
    assert_int_equal(journal_rows(p, 1), 2);
    owner_of(p, all);
    worker_wakes(p);
    pass(p, 60 * MINUTE);
    assert_answered(p, (unsigned[PARTS]){3, 3, 3, 3});
    assert_int_equal(p->desk.billed, 12);
    assert_pure_batches(p);
}

static void test_a_flush_sends_what_is_gathered_of_its_partition(void **state)
{
    struct parts_night *p = *state;
    owner_of(p, one_and_three);
    given_everywhere(p, 2);
    release_flush(p->n, 3);
    worker_wakes(p);
    pass(p, 15 * MINUTE);
    assert_answered(p, (unsigned[PARTS]){0, 0, 0, 2});
    pass(p, 60 * MINUTE); /* the others had to linger */
    assert_answered(p, (unsigned[PARTS]){0, 2, 0, 2});
}

static void test_an_answer_is_stored_and_found_in_the_partition_of_its_question(
    void **state)
{
    struct parts_night *p = *state;
    owner_of(p, one_and_three);
    uint64_t first = give(p, 3, "p3-lamp");
    release_flush(p->n, 3);
    worker_wakes(p);
    until_told(p, "settled");
    pass(p, MINUTE);
    assert_true(has_answer(p->n, first));
    uint64_t again = give(p, 3, "p3-lamp");
    owner_of(p, one_and_three);
    worker_wakes(p);
    pass(p, MINUTE);
    assert_result(p->n, again, "\"paid\":false");
    assert_int_equal(p->desk.billed, 1);
}

/* ---- repeats ---- */

static uint64_t repeats(const struct parts_night *p)
{
    struct worker_status s;
    worker_status(p->worker, &s);
    return s.repeats;
}

static void test_a_repeat_is_told_in_its_partition(void **state)
{
    struct parts_night *p = *state;
    owner_of(p, all);
    given_everywhere(p, 2); /* each later partition holds a later job: none is a repeat */
    uint64_t twice = release_again(p->n, p->at[1]);
    flush_all(p);
    worker_wakes(p);
    pass(p, 60 * MINUTE);
    assert_answered(p, (unsigned[PARTS]){2, 2, 2, 2});
    assert_int_equal(repeats(p), 1);
    assert_true(is_acked(p->n, twice));
    assert_int_equal(count_records(p->n, "results.shop"), 8);
}

static void test_a_new_owner_tells_repeats_of_what_was_answered_before(void **state)
{
    struct parts_night *p = *state;
    owner_of(p, all);
    uint64_t stays = give(p, 1, "p1-lamp"); /* holds the low water back, for a while */
    uint64_t done = give(p, 1, "p1-vase");
    struct err err = {0};
    struct queue_tx *tx = NULL;
    struct queue_at at = place_at(done);
    assert_int_equal(queue_begin(p->n->queue, &tx), 0);
    must(queue_ack(tx, &at, &err), &err);
    must(queue_commit_wait(tx, &(uint64_t){0}, &err), &err);
    release_again(p->n, done);
    give(p, 3, "p3-cup"); /* a later job, in front in its own partition */
    flush_all(p);
    worker_wakes(p);
    pass(p, 60 * MINUTE);
    assert_true(has_result(p->n, stays));
    assert_false(has_result(p->n, done));
    assert_int_equal(repeats(p), 1);
    assert_int_equal(p->desk.billed, 2);
}

/* ---- calls one by one ---- */

static void test_single_calls_are_made_for_what_is_owned(void **state)
{
    struct parts_night *p = *state;
    p->by_phone = true;
    owner_of(p, one_and_three);
    given_everywhere(p, 5);
    worker_wakes(p);
    pass(p, 10 * MINUTE);
    assert_answered(p, (unsigned[PARTS]){0, 5, 0, 5});
    assert_int_equal(p->phone.executed, 10);
    assert_int_equal(journal_rows(p, 1) + journal_rows(p, 3), 0);
}

/* The process dies with calls of two partitions under way; two others share them. */
static void test_who_takes_a_partition_over_books_the_doubts_of_it_alone(void **state)
{
    struct parts_night *p = *state;
    struct spend_head heads[JOBS_MAX];
    p->by_phone = true;
    owner_of(p, one_and_three);
    given_everywhere(p, 2);
    p->phone.latency_ms = MINUTE;
    worker_wakes(p);
    pass(p, 10 * SECOND);
    assert_int_equal(journal_rows(p, 1), 2);
    assert_int_equal(journal_rows(p, 3), 2);
    owner_of(p, only_three);
    worker_wakes(p);
    pass(p, 10 * MINUTE);
    assert_answered(p, (unsigned[PARTS]){0, 0, 0, 2});
    assert_int_equal(spend_heads(p->n, heads, JOBS_MAX), 4); /* two doubts, two answers */
    assert_int_equal(journal_rows(p, 1), 2);
    assert_int_equal(journal_rows(p, 3), 0);
    owner_of(p, one_and_three);
    worker_wakes(p);
    pass(p, 10 * MINUTE);
    assert_answered(p, (unsigned[PARTS]){0, 2, 0, 2});
    assert_int_equal(spend_heads(p->n, heads, JOBS_MAX), 8);
    assert_int_equal(journal_rows(p, 1), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_worker_answers_what_it_owns_and_nothing_else),
        TEST(test_the_journal_stands_where_the_jobs_are),
        TEST(test_a_restart_goes_on_with_the_batches_of_all_it_owns),
        TEST(test_who_takes_one_of_two_partitions_over_adopts_its_batch_only),
        TEST(test_a_flush_sends_what_is_gathered_of_its_partition),
        TEST(test_an_answer_is_stored_and_found_in_the_partition_of_its_question),
        TEST(test_a_repeat_is_told_in_its_partition),
        TEST(test_a_new_owner_tells_repeats_of_what_was_answered_before),
        TEST(test_single_calls_are_made_for_what_is_owned),
        TEST(test_who_takes_a_partition_over_books_the_doubts_of_it_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
