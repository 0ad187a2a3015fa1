/*
 * A scheduler over partitions: jobs come on three partitions of their topic and go to four of
 * `ready`. The store and the scheduler are real; the worker answers after an hour at half the
 * bound of a job, 1,000 micro-dollars.
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
#define READY 4
#define JOBS  3

static struct world world;

static int spread_world(void **state)
{
    int rc = world_setup(state);
    struct world *w = *state;
    w->ready = READY;
    w->jobs = JOBS;
    world_restart(w);
    return rc;
}

static void given_run(const char *run, unsigned lines)
{
    world_run_row(&world, "search.tags", run, lines, 0);
    world_submit(&world, "search.tags", run, 1, lines, BOUND);
}

/* What one partition of `ready` holds. */
struct held {
    unsigned jobs, flushes;
    bool flushed;             /* the last record is a flush */
    uint64_t last_line[JOBS]; /* of each jobs partition, of the run that is looked at */
};

static struct queue_cursor *read_ready(uint32_t partition)
{
    struct queue_cursor *cur = NULL;
    struct err err = {0};
    assert_int_equal(queue_cursor_open(world.queue, &cur, &err), 0);
    assert_int_equal(queue_read_topic(cur, TOPIC_READY, partition, 0), 0);
    return cur;
}

static bool next_release(struct queue_cursor *cur, struct release *ret)
{
    struct queue_msg msg;
    struct err err = {0};
    bool found = queue_read(cur, &msg, &err) > 0;
    assert_true(!found || release_decode(msg.headers, ret) == 0);
    return found;
}

static void look_at(uint32_t partition, const char *run, struct held *ret)
{
    struct queue_cursor *cur = read_ready(partition);
    struct release r;
    *ret = (struct held){0};
    while (next_release(cur, &r)) {
        struct queue_at job;
        ret->flushed = r.verdict == VERDICT_FLUSH;
        ret->flushes += ret->flushed;
        if (ret->flushed) {
            continue;
        }
        ret->jobs++;
        assert_int_equal(release_partition(&r, READY), partition);
        assert_int_equal(job_id_place(span_str(r.job), &job), 0);
        assert_int_equal(job.partition, r.line % JOBS);
        if (strcmp(r.run, run) == 0) {
            assert_true(r.line > ret->last_line[job.partition]);
            ret->last_line[job.partition] = r.line;
        }
    }
    queue_cursor_close(cur);
}

/* Where a line was released to; READY: nowhere. */
static uint32_t partition_of(const char *run, uint64_t line)
{
    uint32_t found = READY;
    for (uint32_t p = 0; p < READY; p++) {
        struct queue_cursor *cur = read_ready(p);
        struct release r;
        while (next_release(cur, &r)) {
            if (r.verdict != VERDICT_FLUSH && r.line == line && strcmp(r.run, run) == 0) {
                assert_int_equal(found, READY); /* once */
                found = p;
            }
        }
        queue_cursor_close(cur);
    }
    return found;
}

static void test_every_job_is_released_once_in_the_order_of_its_partition(void **state)
{
    unsigned jobs = 0, used = 0;
    (void)state;
    given_run("r1", 100);
    world_pass(&world, DAY_MS);
    for (uint32_t p = 0; p < READY; p++) {
        struct held h;
        look_at(p, "r1", &h);
        jobs += h.jobs;
        used += h.jobs > 0;
    }
    assert_int_equal(jobs, 100);
    assert_int_equal(used, READY);
    assert_int_equal(scheduler_waiting(world.scheduler), 0);
    assert_true(scheduler_idle(world.scheduler));
}

static void test_equal_requests_meet_in_one_partition_in_every_run(void **state)
{
    (void)state;
    given_run("r1", 30);
    world_pass(&world, DAY_MS);
    world_restart(&world);
    given_run("r2", 30);
    world_pass(&world, DAY_MS);
    for (unsigned line = 1; line <= 30; line++) {
        assert_in_range(partition_of("r1", line), 0, READY - 1);
        assert_int_equal(partition_of("r2", line), partition_of("r1", line));
    }
}

static void test_a_flush_goes_where_work_went_and_nowhere_else(void **state)
{
    struct held before[READY], after;
    (void)state;
    given_run("r1", 1);
    world_pass(&world, DAY_MS);
    uint32_t got = partition_of("r1", 1);
    for (uint32_t p = 0; p < READY; p++) {
        look_at(p, "r1", &before[p]);
        assert_int_equal(before[p].flushes, p == got);
        assert_int_equal(before[p].flushed, p == got);
    }
    given_run("r2", 1); /* the same question: the same partition */
    world_pass(&world, DAY_MS);
    for (uint32_t p = 0; p < READY; p++) {
        look_at(p, "r2", &after);
        assert_int_equal(after.flushes, before[p].flushes + (p == got));
    }
}

static void test_lines_that_come_twice_are_repeats_in_every_partition(void **state)
{
    unsigned jobs = 0;
    (void)state;
    given_run("r1", 20);
    world_submit(&world, "search.tags", "r1", 1, 20, BOUND);
    world_pass(&world, DAY_MS);
    for (uint32_t p = 0; p < READY; p++) {
        struct held h;
        look_at(p, "r1", &h);
        jobs += h.jobs;
    }
    assert_int_equal(jobs, 20);
    assert_int_equal(scheduler_waiting(world.scheduler), 0);
}

static void test_a_closed_gate_holds_all_partitions_and_is_told_once(void **state)
{
    (void)state;
    world_budget(&world, "search", 1, (struct world_limits){.total = 4 * BOUND});
    given_run("r1", 30);
    world_pass(&world, 2 * DAY_MS);
    struct gate g = world_gate(&world, "search", "tags");
    assert_int_equal(g.kind, GATE_BUDGET);
    assert_true(g.closed);
    assert_true(scheduler_all_closed(world.scheduler));
    assert_in_range(scheduler_waiting(world.scheduler), 20, 26);
    unsigned told = world.events; /* that it waits, and that it is closed */
    assert_in_range(told, 1, 2);
    world_budget(&world, "search", 2, (struct world_limits){.total = 100 * BOUND});
    world_pass(&world, 2 * DAY_MS);
    assert_string_equal(world.last_event, "search/tags: the gate is open again");
    assert_int_equal(world.events, told + 1);
    assert_int_equal(scheduler_waiting(world.scheduler), 0);
    assert_int_equal(world_gate(&world, "search", "tags").kind, GATE_OPEN);
}

#define TEST(name) \
    cmocka_unit_test_prestate_setup_teardown(name, spread_world, world_teardown, &world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_job_is_released_once_in_the_order_of_its_partition),
        TEST(test_equal_requests_meet_in_one_partition_in_every_run),
        TEST(test_a_flush_goes_where_work_went_and_nowhere_else),
        TEST(test_lines_that_come_twice_are_repeats_in_every_partition),
        TEST(test_a_closed_gate_holds_all_partitions_and_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
