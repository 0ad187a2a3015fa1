/* Promises about feeding: in order, acks in any order, never twice, pause, trim. */
#include "tests/contract/contract.h"

static void unacked_records_come_in_order_once_each(void **state)
{
    struct world *w = *state;
    open_owner(w);
    put_many(w, "ready", 100);
    struct queue_feed *f = feed_on(w, "ready");
    for (uint64_t i = 0; i < 100; i++) {
        expect_next(w, f, "ready", i);
    }
    expect_nothing(w, f);
    put_one(w, "ready", "more");
    expect_next(w, f, "ready", 100);
    expect_nothing(w, f);
    queue_feed_close(f);
}

static void acks_in_any_order_survive_a_restart(void **state)
{
    struct world *w = *state;
    const uint64_t acked[] = {7, 0, 9, 3, 1};
    const uint64_t left[] = {2, 4, 5, 6, 8};
    open_owner(w);
    put_many(w, "ready", 10);
    for (size_t i = 0; i < ARRAY_LEN(acked); i++) {
        ack_one(w, "ready", acked[i]);
    }
    reopen_owner(w);
    struct queue_feed *f = feed_on(w, "ready");
    for (size_t i = 0; i < ARRAY_LEN(left); i++) {
        expect_next(w, f, "ready", left[i]);
    }
    expect_nothing(w, f);
    queue_feed_close(f);
}

static void acked_twice_is_acked_once(void **state)
{
    struct world *w = *state;
    open_owner(w);
    put_many(w, "ready", 3);
    struct queue_feed *f = feed_on(w, "ready");
    ack_one(w, "ready", 0);
    ack_one(w, "ready", 0);
    ack_one(w, "ready", 2);
    ack_one(w, "ready", 2);
    assert_int_equal(low_of(w, f, "ready"), 1);
    expect_next(w, f, "ready", 1);
    expect_nothing(w, f);
    queue_feed_close(f);
}

static void the_low_water_is_the_lowest_unacked_record(void **state)
{
    struct world *w = *state;
    const struct {
        uint64_t ack, low;
    } steps[] = {{1, 0}, {0, 2}, {3, 2}, {4, 2}, {2, 5}};
    uint64_t low = 77;
    open_owner(w);
    put_many(w, "ready", 5);
    struct queue_feed *f = feed_on(w, "ready");
    assert_int_equal(low_of(w, f, "ready"), 0);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        ack_one(w, "ready", steps[i].ack);
        assert_int_equal(low_of(w, f, "ready"), steps[i].low);
    }
    assert_true(queue_low(f, "nowhere", 0, &low) < 0);
    queue_feed_close(f);
}

static void a_topic_that_was_read_to_its_end_can_be_taken_back(void **state)
{
    struct world *w = *state;
    open_owner(w);
    put_many(w, "ready", 3);
    struct queue_feed *f = feed_on(w, "ready");
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 3; i++) {
            expect_next(w, f, "ready", i);
        }
        expect_nothing(w, f); /* and nothing is committed until it goes on */
        assert_int_equal(queue_pause(f, "ready", 0, 0), 0);
        assert_int_equal(queue_resume(f, "ready", 0), 0);
    }
    queue_feed_close(f);
}

/* Acks every offset of [from, to) but multiples of `spare`. */
static void ack_range(struct world *w, uint64_t from, uint64_t to, uint64_t spare)
{
    struct queue_tx *tx = begin(w);
    for (uint64_t i = to; i-- > from;) { /* backwards: the low water moves last */
        if (i % spare == 0) {
            continue;
        }
        if (queue_tx_full(tx, 0)) {
            commit(w, tx);
            tx = begin(w);
        }
        ack(w, tx, "ready", i);
    }
    commit(w, tx);
}

static void acks_reach_over_many_pages_of_the_bitmap(void **state)
{
    struct world *w = *state;
    const uint64_t n = 70000, spare = 9973;
    open_owner(w);
    put_many(w, "ready", (int)n);
    ack_range(w, 0, n, spare);
    reopen_owner(w);
    struct queue_feed *f = feed_on(w, "ready");
    for (uint64_t i = 0; i < n; i += spare) {
        expect_next(w, f, "ready", i);
    }
    expect_nothing(w, f);
    for (uint64_t i = 0; i < n; i += spare) {
        assert_int_equal(low_of(w, f, "ready"), i);
        ack_one(w, "ready", i);
    }
    assert_int_equal(low_of(w, f, "ready"), n);
    queue_feed_close(f);

    put_one(w, "ready", "more"); /* what is below the low water stays done */
    reopen_owner(w);
    f = feed_on(w, "ready");
    expect_next(w, f, "ready", n);
    expect_nothing(w, f);
    queue_feed_close(f);
}

static void acks_of_what_is_long_done_leave_nothing_behind(void **state)
{
    struct world *w = *state;
    uint64_t before = 0, after = 0;
    open_owner(w);
    put_many(w, "ready", 40000);
    ack_range(w, 0, 40000, UINT64_MAX);
    ack_one(w, "ready", 0);
    struct queue_cursor *c = cursor_on(w);
    for (int i = 0; i < 5;
         i++) { /* pages that a commit frees are counted a little later */
        put_one(w, "other", "x");
        OK(w, queue_used_bytes(c, i ? &after : &before, &w->err));
        ack_one(w, "ready", 7);
    }
    assert_true(after < before + 4096);
    queue_cursor_close(c);
}

static void only_records_that_exist_can_be_acknowledged(void **state)
{
    struct world *w = *state;
    open_owner(w);
    put_many(w, "ready", 3);
    struct queue_tx *tx = begin(w);
    put(w, tx, "results.a", "x");
    ack(w, tx, "ready", 1000);
    assert_int_equal(queue_commit_wait(tx, NULL, &w->err), -ERR_INPUT);
    assert_has(w->err.msg, ": the topic ends at ");
    reopen_owner(w); /* nothing of it was stored */
    assert_int_equal(end_of(w, "results.a"), 0);
}

/* ---- topics ---- */

static void topics_of_a_prefix_join_by_themselves_and_take_turns(void **state)
{
    struct world *w = *state;
    open_owner(w);
    put_many(w, "jobs.a.x", 2);
    put_one(w, "jobsearch", "not of the prefix");
    struct queue_feed *f = feed_on(w, "jobs.");
    expect_next(w, f, "jobs.a.x", 0);
    put_many(w, "jobs.b.y", 2);
    put_many(w, "jobs.a.aa", 1);
    expect_next(w, f, "jobs.b.y", 0);
    expect_next(w, f, "jobs.a.aa", 0);
    expect_next(w, f, "jobs.a.x", 1);
    expect_next(w, f, "jobs.b.y", 1);
    expect_nothing(w, f);
    queue_feed_close(f);
}

static void a_feed_on_one_topic_gives_no_other(void **state)
{
    struct world *w = *state;
    open_owner(w);
    struct queue_feed *f = feed_on(w, "ready"); /* before the topic exists */
    expect_nothing(w, f);
    put_one(w, "ready2", "x");
    put_one(w, "ready.more", "x");
    expect_nothing(w, f);
    put_one(w, "ready", "x");
    expect_next(w, f, "ready", 0);
    expect_nothing(w, f);
    queue_feed_close(f);
}

static void a_thousand_topics_are_fed_and_none_is_left_out(void **state)
{
    struct world *w = *state;
    const int topics = w->engine->topics;
    static int seen[1000];
    struct queue_msg m;
    char topic[32];
    memset(seen, 0, sizeof(seen));
    open_owner(w);
    for (int round = 0; round < 2; round++) {
        struct queue_tx *tx = begin(w);
        for (int i = 0; i < topics; i++) {
            (void)snprintf(topic, sizeof(topic), "jobs.team.%d", i);
            put(w, tx, topic, "x");
        }
        commit(w, tx);
    }
    struct queue_feed *f = feed_on(w, "jobs.");
    while (OK(w, queue_next(f, &m, &w->err))) {
        int i = -1;
        assert_int_equal(sscanf(m.at.topic, "jobs.team.%d", &i), 1);
        seen[i]++;
    }
    for (int i = 0; i < topics; i++) {
        assert_int_equal(seen[i], 2);
    }
    queue_feed_close(f);
}

/* ---- pause ---- */

static void paused_topics_wait_and_start_again_where_they_were_told(void **state)
{
    struct world *w = *state;
    open_owner(w);
    put_many(w, "jobs.a.x", 5);
    put_many(w, "jobs.b.y", 3);
    struct queue_feed *f = feed_on(w, "jobs.");
    expect_next(w, f, "jobs.a.x", 0);
    expect_next(w, f, "jobs.b.y", 0);
    expect_next(w, f, "jobs.a.x", 1);
    assert_int_equal(queue_pause(f, "jobs.a.x", 0, 1), 0);
    expect_next(w, f, "jobs.b.y", 1);
    expect_next(w, f, "jobs.b.y", 2);
    expect_nothing(w, f);
    put_one(w, "jobs.a.x", "more"); /* paused stays paused */
    expect_nothing(w, f);
    ack_one(w, "jobs.a.x", 2);
    assert_int_equal(queue_resume(f, "jobs.a.x", 0), 0);
    expect_next(w, f, "jobs.a.x", 1);
    expect_next(w, f, "jobs.a.x", 3); /* 2 was acknowledged meanwhile */
    expect_next(w, f, "jobs.a.x", 4);
    expect_next(w, f, "jobs.a.x", 5);
    expect_nothing(w, f);
    assert_true(queue_pause(f, "jobs.c.z", 0, 0) < 0);
    assert_true(queue_resume(f, "jobs.c.z", 0) < 0);
    queue_feed_close(f);
}

/* ---- read again ---- */

static void any_record_still_in_its_topic_can_be_read_again(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    open_owner(w);
    put_many(w, "ready", 10);
    ack_one(w, "ready", 0);
    ack_one(w, "ready", 5);
    struct queue_cursor *c = cursor_on(w);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 10; i++) {
            char want[8];
            (void)snprintf(want, sizeof(want), "%d", (int)i);
            const struct queue_at at = at_of(w, "ready", i);
            assert_int_equal(OK(w, queue_fetch(c, &at, &m, &w->err)), 1);
            assert_span(m.value, span_str(want));
        }
    }
    struct queue_at gone = at_of(w, "ready", 10);
    assert_int_equal(OK(w, queue_fetch(c, &gone, &m, &w->err)), 0);
    gone.partition = 1;
    assert_int_equal(OK(w, queue_fetch(c, &gone, &m, &w->err)), 0);
    queue_cursor_close(c);
}

/* ---- trim ---- */

static int trim(struct world *w, const char *topic, uint64_t before)
{
    struct queue_tx *tx = begin(w);
    int more = OK(w, queue_trim(tx, topic, 0, nth(w, topic, before), &w->err));
    commit(w, tx);
    return more;
}

static void trim_never_passes_an_unacked_record(void **state)
{
    struct world *w = *state;
    open_owner(w);
    put_many(w, "ready", 10);
    struct queue_feed *f = feed_on(w, "ready");
    trim(w, "ready", 10); /* fed, nothing acknowledged yet */
    assert_int_equal(first_of(w, "ready"), 0);
    queue_feed_close(f);
    ack_one(w, "ready", 0);
    ack_one(w, "ready", 1);
    ack_one(w, "ready", 3);
    trim(w, "ready", 1); /* fed no more, acknowledged once */
    assert_int_equal(first_of(w, "ready"), 1);
    trim(w, "ready", UINT64_MAX);
    assert_int_equal(first_of(w, "ready"), 2);
    reopen_owner(w);
    f = feed_on(w, "ready");
    expect_next(w, f, "ready", 2);
    expect_next(w, f, "ready", 4);
    queue_feed_close(f);
}

static int64_t time_of(struct world *w, const char *topic, uint64_t n)
{
    struct queue_cursor *c = cursor_on(w);
    struct queue_msg m;
    const struct queue_at at = at_of(w, topic, n);
    assert_int_equal(OK(w, queue_fetch(c, &at, &m, &w->err)), 1);
    int64_t ms = m.time_ms;
    queue_cursor_close(c);
    return ms;
}

static void trim_old(struct world *w, uint64_t before, int64_t before_ms)
{
    struct queue_tx *tx = begin(w);
    uint64_t to = nth(w, "jobs.a.b", before);
    OK(w, queue_trim_old(tx, "jobs.a.b", 0, to, before_ms, &w->err));
    commit(w, tx);
}

static void trim_of_what_is_old_spares_the_young_and_the_unacked(void **state)
{
    struct world *w = *state;
    open_owner(w);
    put_many(w, "jobs.a.b", 4);
    for (int i = 0; i < 4; i++) {
        sleep_ms(5);
        put_one(w, "jobs.a.b", "later");
    }
    for (uint64_t i = 0; i < 6; i++) {
        ack_one(w, "jobs.a.b", i);
    }
    trim_old(w, 6, 0);
    trim_old(w, 6, 1); /* nothing is as old as that */
    assert_int_equal(first_of(w, "jobs.a.b"), 0);
    trim_old(w, 2, INT64_MAX);
    assert_int_equal(first_of(w, "jobs.a.b"), 2);
    trim_old(w, 6, time_of(w, "jobs.a.b", 5));
    assert_int_equal(first_of(w, "jobs.a.b"), 5);
    trim_old(w, UINT64_MAX, INT64_MAX);
    assert_int_equal(first_of(w, "jobs.a.b"), 6);
}

static void trim_drops_what_nobody_acknowledges_up_to_where_it_is_told(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    open_owner(w);
    put_many(w, "results.a", 10);
    trim(w, "results.a", 4);
    assert_int_equal(first_of(w, "results.a"), 4);
    trim(w, "results.a", 2); /* backwards is nothing to do */
    trim(w, "nowhere", 2);
    assert_int_equal(first_of(w, "results.a"), 4);
    struct queue_cursor *c = cursor_on(w);
    OK(w, queue_read_topic(c, "results.a", 0, 0));
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 1);
    assert_int_equal(index_of(w, m.at.topic, m.at.offset), 4);
    const struct queue_at gone = at_of(w, "results.a", 3);
    assert_int_equal(OK(w, queue_fetch(c, &gone, &m, &w->err)), 0);
    queue_cursor_close(c);
    struct queue_feed *f = feed_on(w, "results.a"); /* who comes later begins behind it */
    expect_next(w, f, "results.a", 4);
    queue_feed_close(f);
    trim(w, "results.a", 1000);
    put_one(w, "results.a", "x"); /* offsets are never given twice */
    assert_int_equal(first_of(w, "results.a"), 10);
    assert_int_equal(end_of(w, "results.a"), 11);
}

static void trim_works_in_bounded_steps(void **state)
{
    struct world *w = *state;
    open_owner(w);
    put_many(w, "results.a", 2 * QUEUE_TRIM_RECORDS + 5);
    assert_int_equal(trim(w, "results.a", UINT64_MAX), 1);
    assert_int_equal(first_of(w, "results.a"), QUEUE_TRIM_RECORDS);
    assert_int_equal(trim(w, "results.a", UINT64_MAX), 1);
    assert_int_equal(trim(w, "results.a", UINT64_MAX), 0);
    assert_int_equal(first_of(w, "results.a"), 2 * QUEUE_TRIM_RECORDS + 5);
}

static void what_is_trimmed_makes_room_again(void **state)
{
    struct world *w = *state;
    const size_t size = 3 << 20;
    uint64_t used = 0, flat = 0;
    char *value = calloc(1, size);
    assert_non_null(value);
    open_owner(w);
    struct queue_cursor *c = cursor_on(w);
    for (uint64_t night = 0; night < 8; night++) {
        for (int i = 0; i < 4; i++) {
            struct queue_tx *tx = begin(w);
            OK(w, queue_put(tx, QUEUE_TO("ready", 0, SPAN_NONE), SPAN_NONE,
                            span_of(value, size), &w->err));
            commit(w, tx);
            ack_one(w, "ready", 4 * night + (uint64_t)i);
        }
        trim(w, "ready", UINT64_MAX);
        OK(w, queue_used_bytes(c, &used, &w->err));
        flat = night ? flat : used;
        assert_true(used <= flat + size);
    }
    queue_cursor_close(c);
    free(value);
}

static void expect_in(struct world *w, struct queue_feed *f, uint32_t partition,
                      uint64_t offset)
{
    struct queue_msg m;
    assert_int_equal(OK(w, queue_next(f, &m, &w->err)), 1);
    assert_int_equal(m.at.partition, partition);
    assert_int_equal(m.at.offset, offset);
}

static void partitions_of_a_topic_are_logs_of_their_own(void **state)
{
    struct world *w = *state;
    uint64_t low = 0;
    open_owner(w);
    struct queue_tx *tx = begin(w);
    for (uint32_t p = 0; p < 3; p++) {
        for (int i = 0; i < 2; i++) {
            OK(w, queue_put(tx, QUEUE_TO("ready", p, SPAN_NONE), SPAN_NONE, SPAN_LIT("x"),
                            &w->err));
        }
    }
    commit(w, tx);
    struct queue_feed *f = feed_on(w, "ready");
    for (uint64_t i = 0; i < 2; i++) { /* they take turns, each in its order */
        for (uint32_t p = 0; p < 3; p++) {
            expect_in(w, f, p, i);
        }
    }
    expect_nothing(w, f);
    struct queue_at at = at_of(w, "ready", 0);
    at.partition = 2;
    tx = begin(w);
    OK(w, queue_ack(tx, &at, &w->err));
    commit(w, tx);
    for (uint32_t p = 0; p < 3; p++) {
        assert_int_equal(queue_low(f, "ready", p, &low), 0);
        assert_int_equal(low, p == 2);
    }
    assert_int_equal(queue_pause(f, "ready", 1, 0), 0);
    queue_feed_close(f);
    reopen_owner(w);
    f = feed_on(w, "ready");
    expect_in(w, f, 0, 0);
    expect_in(w, f, 1, 0);
    expect_in(w, f, 2, 1);
    queue_feed_close(f);
}

static void only_the_partitions_assigned_to_us_are_fed(void **state)
{
    const uint32_t ours[] = {1, 3}, wrong[] = {3, 1};
    struct world *w = *state;
    uint32_t n = 0, owned[4];
    open_owner(w);
    OK(w, queue_partitions(w->q, "ready", &n, &w->err));
    assert_int_equal(n, 1);
    assert_int_equal(queue_owned(w->q, "ready", owned, ARRAY_LEN(owned)), 1);
    assert_int_equal(owned[0], 0);
    struct queue_tx *tx = begin(w);
    for (uint32_t p = 0; p < 4; p++) {
        OK(w, queue_put(tx, QUEUE_TO("ready", p, SPAN_NONE), SPAN_NONE, SPAN_LIT("x"),
                        &w->err));
    }
    commit(w, tx);
    OK(w, queue_assign(w->q, "ready", 4, ours, 2, &w->err));
    OK(w, queue_partitions(w->q, "ready", &n, &w->err));
    assert_int_equal(n, 4);
    assert_int_equal(queue_owned(w->q, "ready", owned, ARRAY_LEN(owned)), 2);
    assert_memory_equal(owned, ours, sizeof(ours));
    assert_int_equal(queue_owned(w->q, "ready", owned, 1), 1);
    struct queue_feed *f = feed_on(w, "ready");
    expect_in(w, f, 1, 0);
    expect_in(w, f, 3, 0);
    expect_nothing(w, f);
    queue_feed_close(f);
    assert_true(queue_assign(w->q, "ready", 4, wrong, 2, &w->err) < 0);
    assert_true(queue_assign(w->q, "ready", 3, ours, 2, &w->err) < 0);
    OK(w, queue_assign(w->q, "ready", 4, NULL, 0, &w->err));
    assert_int_equal(queue_owned(w->q, "ready", owned, ARRAY_LEN(owned)), 0);
}

const struct promise feed_promises[] = {
    PROMISE(unacked_records_come_in_order_once_each),
    PROMISE(acks_in_any_order_survive_a_restart),
    PROMISE(acked_twice_is_acked_once),
    PROMISE(the_low_water_is_the_lowest_unacked_record),
    PROMISE(acks_reach_over_many_pages_of_the_bitmap),
    PROMISE(acks_of_what_is_long_done_leave_nothing_behind),
    PROMISE(only_records_that_exist_can_be_acknowledged),
    PROMISE(topics_of_a_prefix_join_by_themselves_and_take_turns),
    PROMISE(a_feed_on_one_topic_gives_no_other),
    PROMISE(a_thousand_topics_are_fed_and_none_is_left_out),
    PROMISE(paused_topics_wait_and_start_again_where_they_were_told),
    PROMISE(a_topic_that_was_read_to_its_end_can_be_taken_back),
    PROMISE(any_record_still_in_its_topic_can_be_read_again),
    PROMISE(trim_never_passes_an_unacked_record),
    PROMISE(trim_of_what_is_old_spares_the_young_and_the_unacked),
    PROMISE(trim_drops_what_nobody_acknowledges_up_to_where_it_is_told),
    PROMISE(trim_works_in_bounded_steps),
    PROMISE(what_is_trimmed_makes_room_again),
    PROMISE(partitions_of_a_topic_are_logs_of_their_own),
    PROMISE_OF_FOLDERS(only_the_partitions_assigned_to_us_are_fed,
                       "the broker assigns them: see broker.c"),
    {0},
};
