/*
 * What the scheduler of a broker drops, and what it keeps: jobs, marks and rows of runs, on three
 * partitions of a queue and four of `ready`. The store and the scheduler are real; the worker
 * answers after an hour at half the bound of a job.
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
#define LINES 30
#define JOBS  3
#define QUEUE "jobs.search.tags"

static struct world world;

/* A broker knows how many partitions a topic has. */
static void restart(void)
{
    static const char *const topics[] = {QUEUE, "jobs.search.tag", "jobs.shop.tags"};
    static const uint32_t all[JOBS] = {0, 1, 2};
    struct err err = {0};
    world_restart(&world);
    for (size_t i = 0; i < ARRAY_LEN(topics); i++) {
        assert_int_equal(queue_assign(world.queue, topics[i], JOBS, all, JOBS, &err), 0);
    }
}

static int drops_world(void **state)
{
    int rc = world_setup(state);
    struct world *w = *state;
    w->ready = 4;
    w->jobs = JOBS;
    w->keep = (struct scheduler_keep){
        .drops = true, .retain_ms = 30 * DAY_MS, .results_ms = 30 * DAY_MS};
    restart();
    return rc;
}

static void given_run(const char *queue, const char *run)
{
    world_run_row(&world, queue, run, LINES, 0);
    world_submit(&world, queue, run, 1, LINES, BOUND);
}

/* ---- what there is ---- */

/* One spend record a job; `spend` is kept. */
static unsigned settled(void)
{
    struct queue_cursor *c = NULL;
    struct err err = {0};
    uint64_t first = 0, end = 0;
    assert_int_equal(queue_cursor_open(world.queue, &c, &err), 0);
    assert_true(queue_bounds(c, TOPIC_SPEND, 0, &first, &end, &err) >= 0);
    queue_cursor_close(c);
    assert_int_equal(first, 0);
    return (unsigned)end;
}

static unsigned kept_jobs(const char *topic)
{
    struct queue_cursor *c = NULL;
    struct err err = {0};
    uint64_t kept = 0;
    assert_int_equal(queue_cursor_open(world.queue, &c, &err), 0);
    for (uint32_t p = 0; p < JOBS; p++) {
        uint64_t first, end;
        assert_true(queue_bounds(c, topic, p, &first, &end, &err) >= 0);
        kept += end - first;
    }
    queue_cursor_close(c);
    return (unsigned)kept;
}

/* Rows whose keys begin so. */
static unsigned rows(const char *table, const char *prefix)
{
    struct queue_cursor *c = NULL;
    struct queue_msg row;
    struct err err = {0};
    unsigned n = 0;
    assert_int_equal(queue_cursor_open(world.queue, &c, &err), 0);
    queue_read_table(c, table, 0, span_str(prefix));
    while (queue_read(c, &row, &err) > 0 && row.key.n >= strlen(prefix) &&
           memcmp(row.key.p, prefix, strlen(prefix)) == 0) {
        n++;
    }
    queue_cursor_close(c);
    return n;
}

static void expect(const char *queue, unsigned jobs, unsigned marks, unsigned runs)
{
    char topic[QUEUE_NAME_MAX], prefix[QUEUE_NAME_MAX + 1], table[QUEUE_NAME_MAX];
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    (void)snprintf(topic, sizeof(topic), "jobs.%s", queue);
    assert_int_equal(topic_jobs_parse(topic, team, feature), 0);
    (void)snprintf(prefix, sizeof(prefix), "%s/", topic);
    table_runs(team, table);
    assert_int_equal(kept_jobs(topic), jobs);
    assert_int_equal(rows(TABLE_MARKS, prefix), marks);
    assert_int_equal(rows(table, feature), runs);
    assert_int_equal(world.stopped.code, 0);
}

/* ---- the tests ---- */

static void test_what_is_settled_and_old_goes(void **state)
{
    (void)state;
    given_run("search.tags", "r1");
    world_pass(&world, 29 * DAY_MS);
    expect("search.tags", LINES, JOBS, 1);
    world_pass(&world, 3 * DAY_MS);
    expect("search.tags", 0, 0, 0);
    assert_int_equal(rows(TABLE_MARKS, "spend"), 1);
    assert_int_equal(settled(), LINES);
}

static void test_it_goes_soon_after_a_start_too(void **state)
{
    (void)state;
    world.keep.drops = false;
    restart();
    given_run("search.tags", "r1");
    world_pass(&world, 60 * DAY_MS);
    expect("search.tags", LINES, JOBS, 1);
    world.keep.drops = true;
    restart();
    world_pass(&world, HOUR_MS / 60);
    expect("search.tags", 0, 0, 0);
}

static void test_jobs_and_what_is_known_of_runs_have_times_of_their_own(void **state)
{
    (void)state;
    world.keep.retain_ms = 2 * DAY_MS;
    restart();
    given_run("search.tags", "r1");
    world_pass(&world, 10 * DAY_MS);
    expect("search.tags", 0, JOBS, 1);
}

static void test_jobs_at_a_closed_gate_stay_however_old(void **state)
{
    (void)state;
    world_budget(&world, "search", 1, (struct world_limits){.total = 4 * BOUND});
    given_run("search.tags", "r1");
    world_pass(&world, 40 * DAY_MS);
    unsigned waiting = (unsigned)scheduler_waiting(world.scheduler);
    assert_in_range(waiting, 1, LINES - 4);
    expect("search.tags", waiting, rows(TABLE_MARKS, QUEUE "/"), 1);
    assert_in_range(rows(TABLE_MARKS, QUEUE "/"), 1, JOBS);
    world_budget(&world, "search", 2, (struct world_limits){.total = 100 * BOUND});
    world_pass(&world, DAY_MS);
    assert_int_equal(settled(), LINES);
    world_pass(&world, 40 * DAY_MS);
    expect("search.tags", 0, 0, 0);
}

/* What is let through and not settled is in `open`. */
static void test_jobs_under_way_stay_however_old(void **state)
{
    (void)state;
    world.latency_ms = 100 * DAY_MS;
    restart();
    given_run("search.tags", "r1");
    world_pass(&world, 90 * DAY_MS);
    assert_int_equal(scheduler_waiting(world.scheduler), 0);
    expect("search.tags", LINES, JOBS, 1);
    world_pass(&world, 12 * DAY_MS);
    expect("search.tags", 0, 0, 0);
}

static void test_queues_do_not_hold_each_other(void **state)
{
    (void)state;
    world_budget(&world, "search/tags", 1, (struct world_limits){.paused = true});
    given_run("search.tags", "r1");
    given_run("search.tag", "r1");
    given_run("shop.tags", "r2");
    world_pass(&world, 40 * DAY_MS);
    expect("search.tags", LINES, 0, 1);
    assert_int_equal(kept_jobs("jobs.search.tag"), 0);
    assert_int_equal(rows("runs.search", "tag/"), 0);
    expect("shop.tags", 0, 0, 0);
}

static void test_a_run_that_was_forgotten_may_come_again(void **state)
{
    (void)state;
    given_run("search.tags", "r1");
    world_pass(&world, 40 * DAY_MS);
    expect("search.tags", 0, 0, 0);
    given_run("search.tags", "r1");
    world_pass(&world, DAY_MS);
    assert_int_equal(settled(), 2 * LINES);
    expect("search.tags", LINES, JOBS, 1);
}

/* More rows than a step reads. */
static void test_hundreds_of_runs_go_in_steps(void **state)
{
    char run[16];
    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(run, sizeof(run), "r%u", i);
        world_run_row(&world, "search.tags", run, 1, 0);
        world_submit(&world, "search.tags", run, 1, 1, BOUND);
    }
    world_pass(&world, DAY_MS);
    expect("search.tags", 300, 300, 300);
    world_pass(&world, 31 * DAY_MS);
    expect("search.tags", 0, 0, 0);
}

#define TEST(name) \
    cmocka_unit_test_prestate_setup_teardown(name, drops_world, world_teardown, &world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_settled_and_old_goes),
        TEST(test_it_goes_soon_after_a_start_too),
        TEST(test_jobs_and_what_is_known_of_runs_have_times_of_their_own),
        TEST(test_jobs_at_a_closed_gate_stay_however_old),
        TEST(test_jobs_under_way_stay_however_old),
        TEST(test_queues_do_not_hold_each_other),
        TEST(test_a_run_that_was_forgotten_may_come_again),
        TEST(test_hundreds_of_runs_go_in_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
