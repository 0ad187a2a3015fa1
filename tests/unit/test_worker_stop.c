/* A worker that gives its partitions away while its process goes on. */
#include "tests/unit/parts_night.h"

static void on_stopped(void *ctx, bool quiet)
{
    struct parts_night *p = ctx;
    p->stopped++;
    p->quiet += quiet;
}

/* Stops it, waits for its word, and lets the partitions go: how long that took. */
static int64_t stop(struct parts_night *p, int64_t wait_ms)
{
    struct err err = {0};
    int64_t begun_ms = loop_now_ms(p->n->loop), took_ms = -1;
    must(worker_stop(p->worker, wait_ms, on_stopped, p, &err), &err);
    while (took_ms <= wait_ms && !p->stopped) {
        pass(p, SECOND);
        took_ms = loop_now_ms(p->n->loop) - begun_ms;
    }
    assert_int_equal(p->stopped, 1);
    return took_ms;
}

static void given_calls_under_way(struct parts_night *p, int64_t latency_ms)
{
    p->by_phone = true;
    p->phone.latency_ms = latency_ms;
    owner_of(p, one_and_three);
    given_everywhere(p, 2);
    worker_wakes(p);
    pass(p, 10 * SECOND);
    assert_int_equal(p->phone.asked, 4);
}

static void test_a_worker_with_nothing_to_do_stops_at_once(void **state)
{
    struct parts_night *p = *state;
    owner_of(p, one_and_three);
    worker_wakes(p);
    pass(p, MINUTE);
    assert_in_range(stop(p, MINUTE), 0, 2 * SECOND);
    assert_int_equal(p->quiet, 1);
}

static void test_answers_under_way_are_waited_for_and_stored(void **state)
{
    struct parts_night *p = *state;
    struct spend_head heads[JOBS_MAX];
    given_calls_under_way(p, MINUTE);
    assert_in_range(stop(p, 5 * MINUTE), 45 * SECOND, 70 * SECOND);
    assert_int_equal(p->quiet, 1);
    assert_answered(p, (unsigned[PARTS]){0, 2, 0, 2});
    owner_of(p, one_and_three);
    assert_int_equal(journal_rows(p, 1) + journal_rows(p, 3), 0);
    worker_wakes(p);
    pass(p, 10 * MINUTE);
    assert_int_equal(p->phone.executed, 4);
    assert_int_equal(spend_heads(p->n, heads, JOBS_MAX), 4);
}

static void test_it_does_not_wait_longer_than_it_was_told(void **state)
{
    struct parts_night *p = *state;
    struct spend_head heads[JOBS_MAX];
    given_calls_under_way(p, 4 * MINUTE);
    assert_in_range(stop(p, MINUTE), MINUTE, MINUTE + 2 * SECOND);
    assert_int_equal(p->quiet, 0);
    assert_answered(p, (unsigned[PARTS]){0});
    owner_of(p, one_and_three); /* the next one: they are in doubt, and made again */
    p->phone.latency_ms = SECOND;
    worker_wakes(p);
    pass(p, 10 * MINUTE);
    assert_answered(p, (unsigned[PARTS]){0, 2, 0, 2});
    assert_int_equal(spend_heads(p->n, heads, JOBS_MAX), 8);
}

static void test_nothing_is_taken_or_sent_any_more(void **state)
{
    struct parts_night *p = *state;
    given_calls_under_way(p, 2 * MINUTE);
    struct err err = {0};
    must(worker_stop(p->worker, 10 * MINUTE, on_stopped, p, &err), &err);
    uint64_t late = give(p, 1, "p1-late");
    pass(p, 9 * MINUTE);
    assert_int_equal(p->stopped, 1);
    assert_int_equal(p->phone.asked, 4);
    assert_false(has_result(p->n, late));
    owner_of(p, one_and_three);
    worker_wakes(p);
    pass(p, 10 * MINUTE);
    assert_true(has_result(p->n, late));
    assert_int_equal(p->phone.asked, 5);
}

/* The next owner polls what it finds: it needs to look for nothing. */
static void test_a_batch_that_is_being_created_is_known_to_the_next_owner(void **state)
{
    struct parts_night *p = *state;
    owner_of(p, one_and_three);
    given_everywhere(p, 2);
    flush_all(p);
    p->desk.latency_ms = 5 * SECOND;
    worker_wakes(p);
    until_told(p, "uploaded");
    pass(p, SECOND); /* the create has left */
    assert_true(p->desk.asked[DESK_CREATE] > 0);
    unsigned created = p->desk.asked[DESK_CREATE];
    assert_in_range(stop(p, MINUTE), SECOND, 15 * SECOND);
    assert_int_equal(p->quiet, 1);
    assert_int_equal(p->desk.asked[DESK_CREATE], created);
    owner_of(p, one_and_three);
    worker_wakes(p);
    pass(p, 60 * MINUTE);
    assert_int_equal(p->desk.asked[DESK_LIST], 0);
    assert_answered(p, (unsigned[PARTS]){0, 2, 0, 2});
    assert_int_equal(p->desk.billed, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_worker_with_nothing_to_do_stops_at_once),
        TEST(test_answers_under_way_are_waited_for_and_stored),
        TEST(test_it_does_not_wait_longer_than_it_was_told),
        TEST(test_nothing_is_taken_or_sent_any_more),
        TEST(test_a_batch_that_is_being_created_is_known_to_the_next_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
