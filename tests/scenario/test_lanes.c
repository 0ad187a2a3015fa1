/*
 * Lanes and their money over simulated days: what is reserved for a call that may be made twice,
 * what a lost answer leaves booked, and whose terms a lane needs. The store and the scheduler are
 * real; the worker answers after an hour at half the bound of one try, or loses as many answers
 * as the test says. A job's bound is 1,000 micro-dollars.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/lib/world.h"

#include <stdio.h>
#include <string.h>

#define BOUND 1000

static struct world world;

static void given_jobs(enum lane lane, unsigned n)
{
    world_lane_row(&world, "search.tags", "r1", n, lane, "");
    world_submit(&world, "search.tags", "r1", 1, n, BOUND);
}

static void given_a_total(unsigned limit)
{
    world_budget(&world, "search", 1, (struct world_limits){.total = limit});
}

static struct ledger_row ledger_of(const char *key)
{
    struct queue_cursor *cur = NULL;
    struct queue_msg msg;
    struct ledger_row row = {0};
    struct err err = {0};
    assert_int_equal(queue_cursor_open(world.queue, &cur, &err), 0);
    if (queue_table_get(cur, TABLE_LEDGER, 0, span_str(key), &msg, &err) > 0) {
        assert_int_equal(ledger_row_decode(msg.value, &row, &err), 0);
    }
    queue_cursor_close(cur);
    return row;
}

static void expect_ledger(int64_t spent, int64_t in_doubt, unsigned jobs, unsigned calls)
{
    struct ledger_row row = ledger_of("search|total|");
    struct usd_sum want_spent = {0}, want_doubt = {0};
    usd_sum_add(&want_spent, usd_from_pico(spent * MICRO));
    usd_sum_add(&want_doubt, usd_from_pico(in_doubt * MICRO));
    assert_int_equal(usd_sum_cmp(row.spent, want_spent), 0);
    assert_int_equal(usd_sum_cmp(row.in_doubt, want_doubt), 0);
    assert_int_equal(row.jobs, jobs);
    assert_int_equal(row.calls, calls);
}

/* The first release of that run. */
static struct release release_of(const char *run)
{
    struct queue_cursor *cur = NULL;
    struct queue_msg msg;
    struct release r = {0};
    struct err err = {0};
    assert_int_equal(queue_cursor_open(world.queue, &cur, &err), 0);
    assert_int_equal(queue_read_topic(cur, TOPIC_READY, 0, 0), 0);
    while (strcmp(r.run, run) != 0 && queue_read(cur, &msg, &err) > 0) {
        assert_int_equal(release_decode(msg.headers, &r), 0);
    }
    queue_cursor_close(cur);
    assert_string_equal(r.run, run);
    return r;
}

/* ---- what is reserved ---- */

static void test_a_call_that_may_be_made_twice_reserves_two_bounds(void **state)
{
    (void)state;
    given_a_total(10 * BOUND);
    given_jobs(LANE_SYNC, 20);
    world_pass(&world, HOUR_MS / 2);
    struct fold f = world_fold(&world, "search");
    assert_int_equal(f.released, 5);
    assert_int_equal(f.reserved_pico, 10 * BOUND * MICRO);
    struct release r = release_of("r1");
    assert_int_equal(r.lane, LANE_SYNC);
    assert_int_equal(r.tries, 2);
    assert_int_equal(usd_pico(release_try_bound(&r)), BOUND * MICRO);
}

static void test_what_the_second_try_did_not_need_comes_back(void **state)
{
    (void)state;
    given_a_total(10 * BOUND);
    given_jobs(LANE_SYNC, 40);
    world_pass(&world, 3 * DAY_MS);
    struct fold f = world_fold(&world, "search");
    assert_true(f.peak_pico <= 10 * BOUND * MICRO);
    /* Each settles at half a bound and needs two to be let through. */
    assert_in_range(f.settled, 16, 17);
    assert_int_equal(f.reserved_pico, 0);
    expect_ledger((int64_t)f.settled * BOUND / 2, 0, f.settled, f.settled);
}

static void test_a_batch_call_reserves_one_bound(void **state)
{
    (void)state;
    given_a_total(10 * BOUND);
    given_jobs(LANE_BATCH, 20);
    world_pass(&world, HOUR_MS / 2);
    assert_int_equal(world_fold(&world, "search").released, 10);
    assert_int_equal(release_of("r1").tries, 1);
}

static void test_a_free_pool_reserves_nothing_and_tries_eight_times(void **state)
{
    struct price_pool pool = {
        .price = "free", .context_tokens = 1000, .output_tokens_max = 100};
    struct price_book *none = NULL;
    struct err err = {0};
    (void)state;
    assert_int_equal(price_book_pool(&none, &pool, &err), 0);
    world.lanes[LANE_POOL].prices = none;
    world.doubts = 7;
    world_restart(&world);
    given_a_total(1);
    given_jobs(LANE_POOL, 20);
    world_pass(&world, 3 * HOUR_MS);
    assert_int_equal(world_fold(&world, "search").settled, 20);
    assert_int_equal(release_of("r1").tries, 8);
    assert_string_equal(release_of("r1").prices, price_book_version(none));
    expect_ledger(0, 0, 20, 20 * 8);
    world.lanes[LANE_POOL].prices = world.pool_prices;
    world_restart(&world);
    price_book_free(none);
}

/* ---- what a lost answer leaves ---- */

static void test_a_lost_answer_stays_booked_and_the_job_goes_on(void **state)
{
    (void)state;
    world.doubts = 1;
    given_a_total(100 * BOUND);
    given_jobs(LANE_SYNC, 10);
    world_pass(&world, 3 * HOUR_MS);
    struct fold f = world_fold(&world, "search");
    assert_int_equal(f.settled, 10);
    assert_int_equal(f.in_doubt_pico, 10 * BOUND * MICRO);
    assert_int_equal(f.spent_pico, 10 * BOUND / 2 * MICRO);
    assert_int_equal(f.reserved_pico, 0);
    expect_ledger(10 * BOUND / 2, 10 * BOUND, 10, 20);
}

static void test_between_two_tries_the_rest_stays_reserved(void **state)
{
    (void)state;
    world.doubts = 1;
    world.apart = true;
    given_a_total(4 * BOUND);
    given_jobs(LANE_SYNC, 10);
    world_pass(&world, HOUR_MS + HOUR_MS / 2);
    struct fold f = world_fold(&world, "search");
    assert_int_equal(f.released, 2);
    assert_int_equal(f.settled, 0);
    assert_int_equal(f.in_doubt_pico, 2 * BOUND * MICRO);
    assert_int_equal(f.reserved_pico, 2 * BOUND * MICRO);
    expect_ledger(0, 2 * BOUND, 0, 2);
    assert_false(world_gate(&world, "search", "tags").closed);
}

static void test_a_restart_between_two_tries_finds_the_same_books(void **state)
{
    (void)state;
    world.doubts = 1;
    world.apart = true;
    given_a_total(10 * BOUND);
    given_jobs(LANE_SYNC, 10);
    world_pass(&world, HOUR_MS + HOUR_MS / 2); /* five in doubt, five bounds reserved */
    world.doubts = 0;                          /* whoever takes over gets its answers */
    world_restart(&world);
    world_pass(&world, HOUR_MS / 4);
    assert_int_equal(world_fold(&world, "search").released, 5);
    world_pass(&world, 10 * HOUR_MS);
    struct fold f = world_fold(&world, "search");
    assert_true(f.peak_pico <= 10 * BOUND * MICRO);
    assert_int_equal(f.in_doubt_pico, 5 * BOUND * MICRO);
    assert_int_equal(f.reserved_pico, 0);
    assert_int_equal(f.spent_pico, (int64_t)f.settled * BOUND / 2 * MICRO);
}

static void test_when_every_try_is_lost_the_job_ends_with_all_of_them_booked(void **state)
{
    (void)state;
    for (int apart = 0; apart < 2; apart++) {
        world.apart = apart;
        world.doubts = 9;
        world_lane_row(&world, "search.tags", apart ? "r2" : "r1", 4, LANE_SYNC, "");
        world_submit(&world, "search.tags", apart ? "r2" : "r1", 1, 4, BOUND);
        world_pass(&world, 5 * HOUR_MS);
    }
    struct fold f = world_fold(&world, "search");
    assert_int_equal(f.settled, 8);
    assert_int_equal(f.in_doubt_pico, 16 * BOUND * MICRO);
    assert_int_equal(f.reserved_pico, 0);
    expect_ledger(0, 16 * BOUND, 8, 16);
}

static void test_no_limit_is_passed_whatever_is_lost(void **state)
{
    (void)state;
    for (unsigned doubts = 0; doubts < 3; doubts++) {
        char run[8];
        snprintf(run, sizeof(run), "r%u", doubts);
        world.doubts = doubts;
        world.apart = doubts == 2;
        world_budget(&world, "search", doubts + 1,
                     (struct world_limits){.total = (doubts + 1) * 10 * BOUND});
        world_lane_row(&world, "search.tags", run, 5, LANE_SYNC, "");
        world_submit(&world, "search.tags", run, 1, 5, BOUND);
        world_pass(&world, DAY_MS);
    }
    struct fold f = world_fold(&world, "search");
    assert_true(f.peak_pico <= 30 * BOUND * MICRO);
    assert_int_equal(f.settled, 15);
}

static void put_again(const struct queue_msg *record)
{
    struct queue_tx *tx = NULL;
    struct err err = {0};
    assert_int_equal(queue_begin(world.queue, &tx), 0);
    assert_int_equal(queue_put(tx, QUEUE_TO(TOPIC_SPEND, 0, SPAN_LIT("search")),
                               record->headers, record->value, &err),
                     0);
    queue_commit(tx, NULL, NULL);
}

static void test_a_record_of_a_try_that_comes_twice_counts_once(void **state)
{
    struct queue_cursor *cur = NULL;
    struct queue_msg msg;
    struct err err = {0};
    (void)state;
    world.doubts = 1;
    world.apart = true;
    given_jobs(LANE_SYNC, 1);
    world_pass(&world, HOUR_MS + HOUR_MS / 2);
    expect_ledger(0, BOUND, 0, 1);
    assert_int_equal(queue_cursor_open(world.queue, &cur, &err), 0);
    assert_int_equal(queue_read_topic(cur, TOPIC_SPEND, 0, 0), 0);
    assert_int_equal(queue_read(cur, &msg, &err), 1);
    put_again(&msg);
    queue_cursor_close(cur);
    world_pass(&world, HOUR_MS / 4);
    expect_ledger(0, BOUND, 0, 1);
    world_pass(&world, 3 * HOUR_MS);
    expect_ledger(BOUND / 2, BOUND, 1, 2);
}

static void test_a_runs_own_limit_counts_what_is_in_doubt(void **state)
{
    (void)state;
    world.doubts = 1;
    world_run_row(&world, "search.tags", "r1", 10, 4 * BOUND);
    world_submit(&world, "search.tags", "r1", 1, 10, BOUND);
    world_pass(&world, 5 * HOUR_MS); /* the batch lane: one try, and it ends in doubt */
    struct fold f = world_fold(&world, "search");
    assert_int_equal(f.released, 4);
    assert_int_equal(f.in_doubt_pico, 4 * BOUND * MICRO);
    struct ledger_row row = ledger_of("run:search/tags/r1|total|");
    assert_int_equal(row.jobs, 4);
}

/* ---- whose terms ---- */

static void test_a_lane_nobody_knows_the_terms_of_waits_and_says_what_is_missing(
    void **state)
{
    (void)state;
    world.lanes[LANE_POOL] = (struct scheduler_lane){.why = "no servers were given",
                                                     .hint = "--set pool.servers=URL"};
    world_restart(&world);
    given_jobs(LANE_POOL, 3);
    world_lane_row(&world, "ads.titles", "r1", 3, LANE_BATCH, "");
    world_submit(&world, "ads.titles", "r1", 1, 3, BOUND);
    world_pass(&world, 3 * HOUR_MS);
    struct gate g = world_gate(&world, "search", "tags");
    assert_int_equal(g.kind, GATE_ENDPOINT);
    assert_true(g.closed);
    assert_string_equal(g.why, "run 'r1' asks for lane 'pool': no servers were given");
    assert_string_equal(g.hint, "--set pool.servers=URL");
    assert_int_equal(world_fold(&world, "search").released, 0);
    assert_int_equal(world_fold(&world, "ads").settled, 3);
    world.lanes[LANE_POOL] = (struct scheduler_lane){.prices = world.pool_prices,
                                                     .provider = PROVIDER_POOL,
                                                     .endpoint = WORLD_POOL,
                                                     .calls = true};
    world_restart(&world);
    world_pass(&world, 3 * HOUR_MS);
    assert_int_equal(world_fold(&world, "search").settled, 3);
}

static void test_a_run_for_another_pool_waits_for_that_pool(void **state)
{
    (void)state;
    world_lane_row(&world, "search.tags", "r1", 1, LANE_POOL, ENDPOINT_POOL "night");
    world_submit(&world, "search.tags", "r1", 1, 1, BOUND);
    world_pass(&world, 3 * HOUR_MS);
    struct gate g = world_gate(&world, "search", "tags");
    assert_int_equal(g.kind, GATE_ENDPOINT);
    assert_string_equal(
        g.why,
        "run 'r1' was submitted for 'pool:night', and the pool is 'pool:default' now");
    assert_string_equal(g.hint, "--set pool.name=night");
}

static void test_without_a_key_a_batch_run_is_let_through_under_its_own_endpoint(
    void **state)
{
    (void)state;
    world.latency_ms = 1000 * DAY_MS; /* nobody sends anything */
    world_lane_row(&world, "search.tags", "r1", 1, LANE_BATCH, WORLD_ORIGIN);
    world_submit(&world, "search.tags", "r1", 1, 1, BOUND);
    world_pass(&world, HOUR_MS);
    world.lanes[LANE_BATCH].calls = false;
    world.lanes[LANE_BATCH].endpoint = "https://elsewhere";
    world_restart(&world);
    world_lane_row(&world, "search.tags", "r2", 1, LANE_BATCH, WORLD_ORIGIN);
    world_submit(&world, "search.tags", "r2", 1, 1, BOUND);
    world_lane_row(&world, "search.tags", "r3", 1, LANE_POOL, WORLD_POOL);
    world_submit(&world, "search.tags", "r3", 1, 1, BOUND);
    world_pass(&world, HOUR_MS);
    struct release with_key = release_of("r1"), without = release_of("r2");
    assert_memory_equal(without.key.b, with_key.key.b, sizeof(with_key.key.b));
    release_of("r3"); /* nor does it hold back what stands behind it */
}

static void test_an_owner_that_finds_only_work_of_others_comes_to_rest(void **state)
{
    (void)state;
    world.latency_ms = 1000 * DAY_MS;
    given_jobs(LANE_BATCH, 3);
    world_pass(&world, HOUR_MS);
    world.lanes[LANE_BATCH].calls = false;
    world_restart(&world);
    world_pass(&world, HOUR_MS); /* nothing is committed but a flush */
    assert_true(scheduler_idle(world.scheduler));
    assert_int_equal(world_fold(&world, "search").flushes, 2);
}

static void test_batch_and_sync_share_answers_and_a_pool_does_not(void **state)
{
    struct release r[LANES];
    (void)state;
    for (unsigned lane = 0; lane < LANES; lane++) {
        char run[8];
        snprintf(run, sizeof(run), "r%u", lane);
        world_lane_row(&world, "search.tags", run, 1, (enum lane)lane, "");
        world_submit(&world, "search.tags", run, 1, 1, BOUND);
        world_pass(&world, HOUR_MS / 8);
        r[lane] = release_of(run);
        assert_int_equal(r[lane].lane, lane);
    }
    assert_memory_equal(r[LANE_BATCH].key.b, r[LANE_SYNC].key.b, sizeof(r[0].key.b));
    assert_memory_not_equal(r[LANE_SYNC].key.b, r[LANE_POOL].key.b, sizeof(r[0].key.b));
}

int main(void)
{
#define T(name) \
    cmocka_unit_test_prestate_setup_teardown(name, world_setup, world_teardown, &world)
    const struct CMUnitTest tests[] = {
        T(test_a_call_that_may_be_made_twice_reserves_two_bounds),
        T(test_what_the_second_try_did_not_need_comes_back),
        T(test_a_batch_call_reserves_one_bound),
        T(test_a_free_pool_reserves_nothing_and_tries_eight_times),
        T(test_a_lost_answer_stays_booked_and_the_job_goes_on),
        T(test_between_two_tries_the_rest_stays_reserved),
        T(test_a_restart_between_two_tries_finds_the_same_books),
        T(test_when_every_try_is_lost_the_job_ends_with_all_of_them_booked),
        T(test_no_limit_is_passed_whatever_is_lost),
        T(test_a_record_of_a_try_that_comes_twice_counts_once),
        T(test_a_runs_own_limit_counts_what_is_in_doubt),
        T(test_a_lane_nobody_knows_the_terms_of_waits_and_says_what_is_missing),
        T(test_a_run_for_another_pool_waits_for_that_pool),
        T(test_without_a_key_a_batch_run_is_let_through_under_its_own_endpoint),
        T(test_an_owner_that_finds_only_work_of_others_comes_to_rest),
        T(test_batch_and_sync_share_answers_and_a_pool_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
