/*
 * Budgets over simulated days: the real store, the real scheduler, a worker that answers after
 * an hour at half the bound. A job's bound is 1,000 micro-dollars unless a test says otherwise;
 * it is noon of 21 November 2026 (UTC) when a test begins.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/lib/world.h"

#include <string.h>

#define BOUND 1000

static struct world world;

static void given_jobs(const char *queue, unsigned n)
{
    world_run_row(&world, queue, "r1", n, 0);
    world_submit(&world, queue, "r1", 1, n, BOUND);
}

static void test_without_a_limit_everything_runs(void **state)
{
    (void)state;
    given_jobs("search.tags", 50);
    world_pass(&world, 3 * HOUR_MS);
    assert_int_equal(world_fold(&world, "search").settled, 50);
    assert_int_equal(scheduler_waiting(world.scheduler), 0);
}

static void test_a_days_budget_lets_its_worth_through_and_no_more(void **state)
{
    (void)state;
    world_budget(&world, "search", 1, (struct world_limits){.day = 10 * BOUND});
    given_jobs("search.tags", 50);
    world_pass(&world, 10 * HOUR_MS);
    struct fold f = world_fold(&world, "search");
    assert_true(f.peak_pico <= 10 * BOUND * MICRO);
    /* A job settles at half its bound, so the day's worth is nearly twenty jobs, not ten. */
    assert_in_range(f.settled, 18, 19);
    assert_true(world_gate(&world, "search", "tags").closed);
    assert_int_equal(f.settled + scheduler_waiting(world.scheduler), 50);
}

static void test_the_rest_goes_on_at_midnight_utc(void **state)
{
    (void)state;
    world_budget(&world, "search", 1, (struct world_limits){.day = 10 * BOUND});
    given_jobs("search.tags", 30);
    world_pass(&world, 11 * HOUR_MS);
    unsigned before = world_fold(&world, "search").settled;
    assert_int_equal(world_gate(&world, "search", "tags").opens_wall_ms,
                     WORLD_START_MS + 12 * HOUR_MS);
    world_pass(&world, 12 * HOUR_MS);
    assert_true(before < 30);
    assert_int_equal(world_fold(&world, "search").settled, 30);
}

static void test_a_month_stays_closed_over_night_and_opens_with_the_next(void **state)
{
    (void)state;
    world_budget(&world, "search", 1, (struct world_limits){.month = 10 * BOUND});
    given_jobs("search.tags", 30);
    world_pass(&world, 8 * DAY_MS);
    assert_in_range(world_fold(&world, "search").settled, 18, 19);
    world_pass(&world, 2 * DAY_MS); /* it is December now */
    assert_int_equal(world_fold(&world, "search").settled, 30);
}

static void test_a_total_waits_for_a_person_and_a_raised_limit_opens_it(void **state)
{
    (void)state;
    world_budget(&world, "search", 1, (struct world_limits){.total = 10 * BOUND});
    given_jobs("search.tags", 30);
    world_pass(&world, 40 * DAY_MS);
    assert_in_range(world_fold(&world, "search").settled, 18, 19);
    assert_int_equal(world_gate(&world, "search", "tags").opens_wall_ms, 0);
    world_budget(&world, "search", 2, (struct world_limits){.total = 100 * BOUND});
    world_pass(&world, 3 * HOUR_MS);
    assert_int_equal(world_fold(&world, "search").settled, 30);
}

/* Two who edit at once may give one number twice: the row that stands is the one that counts. */
static void test_an_edit_of_the_same_number_counts_when_it_replaces_one(void **state)
{
    (void)state;
    world_budget(&world, "search", 1, (struct world_limits){.total = 10 * BOUND});
    given_jobs("search.tags", 30);
    world_pass(&world, DAY_MS);
    assert_in_range(world_fold(&world, "search").settled, 18, 19);
    world_budget(&world, "search", 1, (struct world_limits){.total = 100 * BOUND});
    world_pass(&world, 3 * HOUR_MS);
    assert_int_equal(world_fold(&world, "search").settled, 30);
}

static void test_one_feature_at_its_limit_does_not_stop_its_neighbour(void **state)
{
    (void)state;
    world_budget(&world, "search/tags", 1, (struct world_limits){.total = 4 * BOUND});
    given_jobs("search.tags", 20);
    given_jobs("search.titles", 20);
    world_pass(&world, 10 * HOUR_MS);
    assert_true(world_fold(&world, "search/tags").peak_pico <= 4 * BOUND * MICRO);
    assert_int_equal(world_fold(&world, "search/titles").settled, 20);
    assert_true(world_gate(&world, "search", "tags").closed);
    assert_int_equal(world_gate(&world, "search", "titles").kind, GATE_OPEN);
}

static void test_a_teams_limit_holds_over_its_features_together(void **state)
{
    (void)state;
    world_budget(&world, "search", 1, (struct world_limits){.total = 10 * BOUND});
    given_jobs("search.tags", 20);
    given_jobs("search.titles", 20);
    given_jobs("ads.titles", 20);
    world_pass(&world, 10 * HOUR_MS);
    struct fold f = world_fold(&world, "search");
    assert_true(f.peak_pico <= 10 * BOUND * MICRO);
    assert_in_range(f.settled, 18, 19);
    assert_int_equal(world_fold(&world, "ads").settled, 20);
}

static void test_a_charge_belongs_to_the_day_of_its_reservation(void **state)
{
    (void)state;
    world.latency_ms = 13 * HOUR_MS; /* answered after midnight */
    world_budget(&world, "search", 1, (struct world_limits){.day = 10 * BOUND});
    given_jobs("search.tags", 10);
    world_pass(&world, 12 * HOUR_MS + HOUR_MS / 2);
    /* The new day has its whole limit, though nothing of yesterday is settled yet. */
    world_submit(&world, "search.tags", "r2", 11, 20, BOUND);
    world_pass(&world, HOUR_MS / 4);
    assert_int_equal(world_fold(&world, "search").released, 20);
}

static void test_a_restart_finds_what_was_spent_and_reserved(void **state)
{
    (void)state;
    world_budget(&world, "search", 1, (struct world_limits){.total = 10 * BOUND});
    given_jobs("search.tags", 30);
    world_pass(&world, HOUR_MS / 2);
    assert_int_equal(world_fold(&world, "search").released, 10);
    world_restart(&world);
    world_pass(&world, HOUR_MS / 4);
    assert_int_equal(world_fold(&world, "search").released, 10);
    world_pass(&world, 10 * HOUR_MS);
    world_restart(&world);
    world_pass(&world, 10 * HOUR_MS);
    struct fold f = world_fold(&world, "search");
    assert_true(f.peak_pico <= 10 * BOUND * MICRO);
    assert_in_range(f.settled, 18, 19);
}

static void test_a_lowered_limit_freezes_and_loses_nothing(void **state)
{
    (void)state;
    world_budget(&world, "search", 1, (struct world_limits){.total = 20 * BOUND});
    given_jobs("search.tags", 40);
    world_pass(&world, HOUR_MS / 2);
    world_budget(&world, "search", 2, (struct world_limits){.total = 2 * BOUND});
    world_pass(&world, 5 * HOUR_MS);
    struct fold f = world_fold(&world, "search");
    assert_int_equal(f.settled, 20); /* what had been released is finished, no more */
    assert_int_equal(scheduler_waiting(world.scheduler), 20);
    assert_true(world_gate(&world, "search", "tags").closed);
}

static void test_a_paused_team_waits_until_it_is_resumed(void **state)
{
    (void)state;
    world_budget(&world, "search", 1, (struct world_limits){.paused = true});
    given_jobs("search.tags", 5);
    world_pass(&world, 2 * DAY_MS);
    assert_int_equal(world_fold(&world, "search").released, 0);
    assert_int_equal(world_gate(&world, "search", "tags").kind, GATE_PAUSE);
    world_budget(&world, "search", 2, (struct world_limits){0});
    world_pass(&world, 3 * HOUR_MS);
    assert_int_equal(world_fold(&world, "search").settled, 5);
}

/* As on Kafka: nobody is near who would see what is spent. */
static void given_that_a_limit_is_needed(const char *deflt)
{
    world.needs_limit = true;
    world.settings.budget_default = deflt;
    world_restart(&world);
}

static void test_where_a_limit_is_needed_a_queue_waits_until_one_is_set(void **state)
{
    (void)state;
    given_that_a_limit_is_needed(NULL);
    given_jobs("search.tags", 5);
    given_jobs("search.titles", 5);
    unsigned told = world.events;
    world_pass(&world, 3 * DAY_MS); /* no new day opens it */
    assert_int_equal(world_fold(&world, "search").released, 0);
    assert_int_equal(scheduler_waiting(world.scheduler), 10);
    assert_int_equal(world.events, told + 2); /* once for each queue */
    assert_string_equal(world_gate(&world, "search", "tags").why,
                        "no limit is set for 'search/tags'");
    world_budget(&world, "search/tags", 1, (struct world_limits){.day = 10 * BOUND});
    world_pass(&world, 3 * HOUR_MS);
    assert_int_equal(world_fold(&world, "search/tags").settled, 5);
    assert_int_equal(world_fold(&world, "search/titles").released, 0);
    world_budget(&world, "search", 1, (struct world_limits){.total = 20 * BOUND});
    world_pass(&world, 3 * HOUR_MS);
    assert_int_equal(world_fold(&world, "search/titles").settled, 5);
}

static void test_a_pause_is_no_limit(void **state)
{
    (void)state;
    given_that_a_limit_is_needed(NULL);
    world_budget(&world, "search", 1, (struct world_limits){.paused = true});
    given_jobs("search.tags", 5);
    world_budget(&world, "search", 2, (struct world_limits){0});
    world_pass(&world, DAY_MS);
    assert_int_equal(world_fold(&world, "search").released, 0);
    assert_int_equal(world_gate(&world, "search", "tags").kind, GATE_BUDGET);
}

static void test_a_default_limits_each_team_that_has_no_limit_of_its_own(void **state)
{
    (void)state;
    given_that_a_limit_is_needed(NULL);
    world_budget(&world, "ads", 1, (struct world_limits){.total = 100 * BOUND});
    given_jobs("ads.tags", 20);
    given_jobs("search.tags", 20);
    given_jobs("shop.tags", 20);
    world_pass(&world, HOUR_MS / 2);
    assert_int_equal(world_fold(&world, "search").released, 0);
    given_that_a_limit_is_needed("0.004/total"); /* four jobs */
    world_pass(&world, DAY_MS);
    assert_true(world_fold(&world, "search").peak_pico <= 4 * BOUND * MICRO);
    assert_in_range(world_fold(&world, "search").settled, 6, 7);
    assert_in_range(world_fold(&world, "shop").settled, 6, 7);
    assert_int_equal(world_fold(&world, "ads").settled, 20);
    world_budget(&world, "search", 1, (struct world_limits){.total = 100 * BOUND});
    world_pass(&world, DAY_MS);
    assert_int_equal(world_fold(&world, "search").settled, 20);
    assert_in_range(world_fold(&world, "shop").settled, 6, 7);
}

static void test_none_says_that_no_limit_is_meant(void **state)
{
    (void)state;
    given_that_a_limit_is_needed("none");
    given_jobs("search.tags", 50);
    world_pass(&world, 3 * HOUR_MS);
    assert_int_equal(world_fold(&world, "search").settled, 50);
}

static void test_a_job_dearer_than_the_limit_is_rejected_and_the_rest_goes_on(
    void **state)
{
    (void)state;
    world_budget(&world, "search", 1, (struct world_limits){.total = 3 * BOUND});
    world_run_row(&world, "search.tags", "r1", 3, 0);
    world_submit(&world, "search.tags", "r1", 1, 1, BOUND);
    world_submit(&world, "search.tags", "r1", 2, 2, 4 * BOUND);
    world_submit(&world, "search.tags", "r1", 3, 3, BOUND);
    world_pass(&world, 5 * HOUR_MS);
    struct fold f = world_fold(&world, "search");
    assert_int_equal(f.rejected, 1);
    assert_int_equal(f.settled, 2);
}

static void test_a_runs_own_limit_cancels_what_no_longer_fits(void **state)
{
    (void)state;
    world_run_row(&world, "search.tags", "r1", 10, 4 * BOUND);
    world_submit(&world, "search.tags", "r1", 1, 10, BOUND);
    world_pass(&world, 5 * HOUR_MS);
    struct fold f = world_fold(&world, "search");
    assert_int_equal(f.released, 4);
    assert_int_equal(f.cancelled, 6);
    assert_int_equal(scheduler_waiting(world.scheduler), 0);
}

static void test_lines_submitted_twice_run_once(void **state)
{
    (void)state;
    given_jobs("search.tags", 10);
    world_submit(&world, "search.tags", "r1", 1, 10, BOUND);
    world_pass(&world, 3 * HOUR_MS);
    world_restart(&world);
    world_submit(&world, "search.tags", "r1", 1, 10, BOUND);
    world_pass(&world, 3 * HOUR_MS);
    assert_int_equal(world_fold(&world, "search").released, 10);
    assert_int_equal(scheduler_waiting(world.scheduler), 0);
}

static void test_the_flow_cap_holds_back_and_loses_nothing(void **state)
{
    (void)state;
    world.settings.flow_calls = 8;
    world_restart(&world);
    given_jobs("search.tags", 40);
    world_pass(&world, HOUR_MS / 2);
    assert_int_equal(world_fold(&world, "search").released, 8);
    world_pass(&world, 20 * HOUR_MS);
    assert_int_equal(world_fold(&world, "search").settled, 40);
}

static void test_a_queue_that_ran_dry_is_flushed_once(void **state)
{
    (void)state;
    given_jobs("search.tags", 40);
    world_pass(&world, 5 * HOUR_MS);
    assert_int_equal(world_fold(&world, "search").flushes, 1);
}

int main(void)
{
#define T(name) \
    cmocka_unit_test_prestate_setup_teardown(name, world_setup, world_teardown, &world)
    const struct CMUnitTest tests[] = {
        T(test_without_a_limit_everything_runs),
        T(test_a_days_budget_lets_its_worth_through_and_no_more),
        T(test_the_rest_goes_on_at_midnight_utc),
        T(test_a_month_stays_closed_over_night_and_opens_with_the_next),
        T(test_a_total_waits_for_a_person_and_a_raised_limit_opens_it),
        T(test_an_edit_of_the_same_number_counts_when_it_replaces_one),
        T(test_one_feature_at_its_limit_does_not_stop_its_neighbour),
        T(test_a_teams_limit_holds_over_its_features_together),
        T(test_a_charge_belongs_to_the_day_of_its_reservation),
        T(test_a_restart_finds_what_was_spent_and_reserved),
        T(test_a_lowered_limit_freezes_and_loses_nothing),
        T(test_a_paused_team_waits_until_it_is_resumed),
        T(test_where_a_limit_is_needed_a_queue_waits_until_one_is_set),
        T(test_a_pause_is_no_limit),
        T(test_a_default_limits_each_team_that_has_no_limit_of_its_own),
        T(test_none_says_that_no_limit_is_meant),
        T(test_a_job_dearer_than_the_limit_is_rejected_and_the_rest_goes_on),
        T(test_a_runs_own_limit_cancels_what_no_longer_fits),
        T(test_lines_submitted_twice_run_once),
        T(test_the_flow_cap_holds_back_and_loses_nothing),
        T(test_a_queue_that_ran_dry_is_flushed_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
