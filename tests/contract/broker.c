/* Promises that only a broker can break: folders that are lost, ownership that moves. */
#include "tests/contract/contract.h"
#include "core/headers.h"
#include "tests/lib/folder.h"
#include <signal.h>

void lose_folder(struct world *w)
{
    close_queue(w);
    folder_remove(w->dir);
}

static void await(struct world *w, enum queue_ownership what)
{
    for (int i = 0; queue_ownership(w->q, &w->err) != what; i++) {
        if (i > 12000) {
            fail_msg("ownership is %d, not %d: %s", queue_ownership(w->q, NULL), what,
                     w->err.msg);
        }
        sleep_ms(5);
    }
}

static size_t owned(struct world *w)
{
    uint32_t partitions[64];
    return queue_owned(w->q, "ready", partitions, ARRAY_LEN(partitions));
}

void put_row_in(struct world *w, const char *table, uint32_t partition, const char *value)
{
    struct queue_tx *tx = begin(w);
    OK(w, queue_table_put(tx, table, partition, SPAN_LIT("key"),
                          value ? span_str(value) : SPAN_NONE, &w->err));
    commit(w, tx);
}

void expect_row_in(struct world *w, const char *table, uint32_t partition,
                   const char *want)
{
    struct queue_cursor *c = cursor_on(w);
    struct queue_msg m;
    int found = OK(w, queue_table_get(c, table, partition, SPAN_LIT("key"), &m, &w->err));
    assert_int_equal(found, want != NULL);
    if (want) {
        assert_span(m.value, span_str(want));
    }
    queue_cursor_close(c);
}

/* ---- a lost folder ---- */

static void a_lost_folder_is_rebuilt_and_nothing_acked_is_fed_again(void **state)
{
    struct world *w = *state;
    const uint64_t acked[] = {0, 1, 3, 7}, left[] = {2, 4, 5, 6, 8, 9};
    open_owner(w);
    put_many(w, "ready", 5);
    for (int i = 5; i < 10; i++) {
        char value[16];
        (void)snprintf(value, sizeof(value), "%d", i);
        put_one(w, "ready", value);
    }
    for (size_t i = 0; i < ARRAY_LEN(acked); i++) {
        ack_one(w, "ready", acked[i]);
    }
    put_row_in(w, "answers", 3, "old");
    put_row_in(w, "answers", 3, "new");
    put_row_in(w, "batches", 3, "gone");
    put_row_in(w, "batches", 3, NULL);
    for (int round = 0; round < 2; round++) {
        lose_folder(w);
        open_owner(w);
        struct queue_feed *f = feed_on(w, "ready");
        for (size_t i = 0; i < ARRAY_LEN(left); i++) {
            expect_next(w, f, "ready", left[i]);
        }
        expect_nothing(w, f);
        assert_int_equal(low_of(w, f, "ready"), 2);
        queue_feed_close(f);
        expect_row_in(w, "answers", 3, "new");
        expect_row_in(w, "batches", 3, NULL);
    }
}

/* Its own rows come back from the broker too: they must not undo what it did since. */
static void what_the_owner_wrote_last_is_never_undone(void **state)
{
    struct world *w = *state;
    open_owner(w);
    put_many(w, "ready", 60);
    for (uint64_t i = 0; i < 60; i++) {
        char value[16];
        (void)snprintf(value, sizeof(value), "%llu", (unsigned long long)i);
        put_row_in(w, "answers", 0, value);
        ack_one(w, "ready", 59 - i);
        expect_row_in(w, "answers", 0, value);
        if (i % 10 == 0) {
            sleep_ms(60);
            expect_row_in(w, "answers", 0, value);
        }
    }
    reopen_owner(w);
    struct queue_feed *f = feed_on(w, "ready");
    expect_nothing(w, f);
    queue_feed_close(f);
    expect_row_in(w, "answers", 0, "59");
}

static void a_folder_that_missed_what_others_did_catches_up(void **state)
{
    struct world *w = *state;
    char first[sizeof(w->dir)];
    open_owner(w);
    put_many(w, "ready", 4);
    ack_one(w, "ready", 0);
    put_row_in(w, "answers", 0, "mine");
    close_queue(w);
    (void)snprintf(first, sizeof(first), "%s", w->dir);
    (void)snprintf(w->dir, sizeof(w->dir), "%s/other", w->base);
    open_owner(w);
    ack_one(w, "ready", 2);
    ack_one(w, "ready", 1);
    put_row_in(w, "answers", 0, "theirs");
    close_queue(w);
    (void)snprintf(w->dir, sizeof(w->dir), "%s", first);
    open_owner(w);
    struct queue_feed *f = feed_on(w, "ready");
    expect_next(w, f, "ready", 3);
    expect_nothing(w, f);
    queue_feed_close(f);
    expect_row_in(w, "answers", 0, "theirs");
}

static void a_folder_is_not_taken_for_another_kind(void **state)
{
    struct world *w = *state;
    struct queue *q = NULL;
    open_owner(w);
    put_one(w, "t", "x");
    close_queue(w);
    const struct queue_conf here = {.dir = w->dir};
    assert_int_equal(queue_open(&q, &here, &w->err), -ERR_USAGE);
    assert_has(w->err.msg, "it is a copy of what stands on a broker");
    (void)snprintf(w->prefix, sizeof(w->prefix), "another.");
    assert_int_equal(try_open(w, &q, true), -ERR_USAGE);
}

/* ---- ownership ---- */

/* Stopped for longer than its session, it wakes up, knows of nothing and commits. */
static void no_zombie(struct world *w, const char *role)
{
    char topic[32];
    (void)snprintf(topic, sizeof(topic), "results.%s", role);
    struct peer zombie = peer_start(w, "zombie", role, topic, NULL);
    peer_expect(&zombie, "owner");
    assert_int_equal(kill(zombie.pid, SIGSTOP), 0);
    open_owner(w);
    peer_say(&zombie, "commit");
    assert_int_equal(kill(zombie.pid, SIGCONT), 0);
    peer_expect(&zombie, "could not");
    (void)peer_wait(&zombie);
    put_one(w, topic, "of the owner");
    close_queue(w);
    open_beside(w);
    assert_int_equal(end_of(w, topic), 1);
}

static void a_zombie_schedulers_commit_fails_and_changes_nothing(void **state)
{
    struct world *w = *state;
    w->role = QUEUE_SCHEDULER;
    w->no_learning = true;
    no_zombie(w, "scheduler");
}

static void a_zombie_workers_commit_fails_and_changes_nothing(void **state)
{
    struct world *w = *state;
    w->role = QUEUE_WORKER;
    w->no_learning = true;
    no_zombie(w, "worker");
}

static void workers_share_the_partitions_and_a_dead_ones_share_moves(void **state)
{
    struct world *w = *state;
    w->role = QUEUE_WORKER;
    open_owner(w);
    assert_int_equal(owned(w), 12);
    struct peer other = peer_start(w, "share", "worker", NULL);
    await(w, QUEUE_LOST);
    queue_release_ownership(w->q);
    await(w, QUEUE_READY);
    assert_int_equal(owned(w), 6);
    peer_expect(&other, "6");
    peer_kill(&other);
    await(w, QUEUE_LOST);
    queue_release_ownership(w->q);
    await(w, QUEUE_READY);
    assert_int_equal(owned(w), 12);
}

static void one_scheduler_is_active_and_another_takes_over(void **state)
{
    struct world *w = *state;
    w->role = QUEUE_SCHEDULER;
    open_owner(w);
    struct peer standby = peer_start(w, "share", "scheduler", NULL);
    sleep_ms(1500); /* it joins, and the leader is given out anew: to one of the two */
    close_queue(w);
    peer_expect(&standby, "1");
    open_owner_later(w); /* we are the standby now */
    sleep_ms(1500);
    assert_int_equal(peer_wait(&standby), 0);
    wait_ready(w);
}

static void what_was_begun_before_ownership_was_lost_cannot_be_committed_after(
    void **state)
{
    struct world *w = *state;
    w->role = QUEUE_WORKER;
    open_owner(w);
    struct queue_tx *before = begin(w);
    OK(w, queue_table_put(before, "answers", 0, SPAN_LIT("key"), SPAN_LIT("v"), &w->err));
    struct peer other = peer_start(w, "share", "worker", NULL);
    await(w, QUEUE_LOST);
    queue_release_ownership(w->q);
    await(w, QUEUE_READY);
    assert_true(queue_commit_wait(before, NULL, &w->err) < 0);
    peer_kill(&other);
}

static void a_second_process_of_our_name_fences_us(void **state)
{
    struct world *w = *state;
    w->role = QUEUE_WORKER;
    (void)snprintf(w->instance, sizeof(w->instance), "one");
    open_owner(w);
    assert_int_equal(setenv("CONTRACT_INSTANCE", "one", 1), 0);
    struct peer twin = peer_start(w, "share", "worker", NULL);
    assert_int_equal(unsetenv("CONTRACT_INSTANCE"), 0);
    await(w, QUEUE_FENCED);
    assert_string_not_equal(w->err.msg, "");
    struct queue_tx *tx = begin(w);
    OK(w, queue_table_put(tx, "answers", 0, SPAN_LIT("key"), SPAN_LIT("v"), &w->err));
    assert_true(queue_commit_wait(tx, NULL, &w->err) < 0);
    peer_expect(&twin, "12");
    assert_int_equal(peer_wait(&twin), 0);
}

static void a_static_member_that_restarts_keeps_its_share(void **state)
{
    struct world *w = *state;
    w->role = QUEUE_WORKER;
    (void)snprintf(w->instance, sizeof(w->instance), "one");
    open_owner(w);
    struct peer other = peer_start(w, "share", "worker", NULL);
    await(w, QUEUE_LOST);
    queue_release_ownership(w->q);
    await(w, QUEUE_READY);
    peer_expect(&other, "6");
    reopen_owner(w); /* within its session: nobody else is asked to move */
    assert_int_equal(owned(w), 6);
    assert_int_equal(peer_wait(&other), 0);
}

/* ---- the last jobs ---- */

static void put_job(struct world *w, const char *job)
{
    _cleanup_(buf_fini) struct buf block;
    struct queue_tx *tx = begin(w);
    buf_init(&block, HEADERS_BYTES_MAX);
    assert_int_equal(headers_adds(&block, "job", job), 0);
    put(w, tx, "ready", "one of no job");
    OK(w, queue_put(tx, QUEUE_TO("ready", 0, SPAN_NONE), buf_span(&block), SPAN_LIT("x"),
                    &w->err));
    commit(w, tx);
}

static void expect_last(struct world *w, const char *queue, const char *want)
{
    char key[100];
    struct queue_msg m;
    struct queue_cursor *c = cursor_on(w);
    (void)snprintf(key, sizeof(key), "ready#0:%s", queue);
    int found = OK(w, queue_table_get(c, "acks", 0, span_str(key), &m, &w->err));
    assert_int_equal(found, want != NULL);
    if (want) {
        assert_span(m.value, span_str(want));
    }
    queue_cursor_close(c);
}

/* With the low water, and as of it: a new owner knows what stands below without reading it. */
static void the_last_jobs_below_the_low_water_are_kept_with_it(void **state)
{
    static const char *const jobs[] = {"a.b/0/5/1000", "a.b/1/9/1000", "a.b/0/6/1001",
                                       "a.b/0/5/1000", "a.b/0/0/2000"};
    struct world *w = *state;
    w->role = QUEUE_WORKER;
    open_owner(w);
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
        put_job(w, jobs[i]);
    }
    for (uint64_t i = 0; i < 6; i++) {
        if (i != 2) {
            ack_one(w, "ready", i);
        }
    }
    expect_last(w, "a.b/0", "5/1000"); /* the low water is 2 */
    expect_last(w, "a.b/1", NULL);
    ack_one(w, "ready", 2);
    ack_one(w, "ready", 6);
    ack_one(w, "ready", 7); /* a repeat */
    for (int round = 0; round < 2; round++) {
        expect_last(w, "a.b/0", "6/1001");
        expect_last(w, "a.b/1", "9/1000");
        lose_folder(w);
        open_owner(w);
    }
    ack_one(w, "ready", 8);
    ack_one(w, "ready", 9); /* of a topic that was made again */
    expect_last(w, "a.b/0", "0/2000");
}

const struct promise broker_promises[] = {
    PROMISE(a_lost_folder_is_rebuilt_and_nothing_acked_is_fed_again),
    PROMISE(what_the_owner_wrote_last_is_never_undone),
    PROMISE(a_folder_that_missed_what_others_did_catches_up),
    PROMISE(a_folder_is_not_taken_for_another_kind),
    PROMISE(a_zombie_schedulers_commit_fails_and_changes_nothing),
    PROMISE(a_zombie_workers_commit_fails_and_changes_nothing),
    PROMISE(workers_share_the_partitions_and_a_dead_ones_share_moves),
    PROMISE(one_scheduler_is_active_and_another_takes_over),
    PROMISE(what_was_begun_before_ownership_was_lost_cannot_be_committed_after),
    PROMISE(a_second_process_of_our_name_fences_us),
    PROMISE(a_static_member_that_restarts_keeps_its_share),
    PROMISE(the_last_jobs_below_the_low_water_are_kept_with_it),
    {0},
};
