/* A worker that owns some partitions of `ready`, and what becomes of the others. */
#include "tests/unit/parts_night.h"

static const uint32_t all[] = {0, 1, 2, 3}, only_three[] = {3};

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

/* Its two batches are at the provider. */
static void owner_of_two_batches(struct parts_night *p)
{
    owner_of(p, one_and_three);
    given_everywhere(p, 3);
    flush_all(p);
    worker_wakes(p);
    until_told(p, "submitted");
}

static void test_a_restart_goes_on_with_the_batches_of_all_it_owns(void **state)
{
    struct parts_night *p = *state;
    owner_of_two_batches(p);
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
    owner_of_two_batches(p);
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
