/* Promises about several processes: one owner, who may do what, waking, and sudden death. */
#include "tests/contract/contract.h"
#include <unistd.h>

/* ---- one owner ---- */

static void a_folder_has_at_most_one_owner(void **state)
{
    struct world *w = *state;
    struct queue *q = NULL;
    char pid[32];
    struct peer owner = peer_start(w, "own", "note", NULL);
    peer_expect(&owner, "owner");
    assert_int_equal(try_open(w, &q, true), -ERR_TEMP);
    (void)snprintf(pid, sizeof(pid), "process %ld owns it", (long)owner.pid);
    assert_has(w->err.msg, pid);
    assert_string_not_equal(w->err.hint, "");
    assert_null(q);
    open_beside(w);
    assert_int_equal(OK(w, queue_take_ownership(w->q, &w->err)), 0);
    assert_int_equal(peer_wait(&owner), 0);
}

static void ownership_dies_with_its_process(void **state)
{
    struct world *w = *state;
    struct peer owner = peer_start(w, "own", "note", NULL);
    peer_expect(&owner, "owner");
    peer_kill(&owner);
    open_owner(w);
    put_one(w, "t", "x");
}

static void when_the_owner_ends_the_next_takes_over(void **state)
{
    struct world *w = *state;
    open_owner(w);
    assert_int_equal(OK(w, queue_take_ownership(w->q, &w->err)), 1); /* it is already */
    struct peer next = peer_start(w, "take", NULL);
    peer_expect(&next, "waiting");
    close_queue(w);
    peer_expect(&next, "owner");
    open_beside(w);
    assert_int_equal(OK(w, queue_take_ownership(w->q, &w->err)), 0);
    peer_say(&next, "stop");
    assert_int_equal(peer_wait(&next), 0);
    assert_int_equal(OK(w, queue_take_ownership(w->q, &w->err)), 1);
    queue_feed_close(feed_on(w, "t"));
}

static void the_owner_leaves_a_note_for_others_to_read(void **state)
{
    struct world *w = *state;
    struct buf note;
    buf_init(&note, 1000);
    struct peer owner = peer_start(w, "own", "api.openai.com account 4711", NULL);
    peer_expect(&owner, "owner");
    open_beside(w);
    assert_int_equal(queue_owner_note(w->q, "mine", &w->err), -ERR_FAIL);
    assert_int_equal(OK(w, queue_owner_read(w->q, &note, &w->err)), 1);
    assert_span(buf_span(&note), SPAN_LIT("api.openai.com account 4711"));
    peer_kill(&owner); /* a note outlives its writer, and is not believed */
    buf_reset(&note);
    assert_int_equal(OK(w, queue_owner_read(w->q, &note, &w->err)), 0);
    assert_int_equal(OK(w, queue_take_ownership(w->q, &w->err)), 1);
    OK(w, queue_owner_note(w->q, "mine", &w->err));
    assert_int_equal(queue_owner_note(w->q, "two\nlines", &w->err), -ERR_FAIL);
    assert_int_equal(OK(w, queue_owner_read(w->q, &note, &w->err)), 1);
    assert_span(buf_span(&note), SPAN_LIT("mine"));
    buf_fini(&note);
}

static void one_process_does_not_open_a_folder_twice(void **state)
{
    struct world *w = *state;
    struct queue *again = NULL;
    open_owner(w);
    assert_int_equal(try_open(w, &again, false), -ERR_FAIL);
    assert_has(w->err.msg, "has it open already");
    put_one(w, "t", "x"); /* and the first is as good as before */
    reopen_owner(w);
    assert_int_equal(end_of(w, "t"), 1);
}

static void beside_the_owner_anybody_puts_but_only_it_feeds_and_acks(void **state)
{
    struct world *w = *state;
    struct queue_feed *f = NULL;
    struct peer owner = peer_start(w, "own", "note", NULL);
    peer_expect(&owner, "owner");
    open_beside(w);
    struct queue_tx *tx = begin(w);
    put(w, tx, "jobs.a.b", "x");
    OK(w, queue_table_put(tx, "runs.a", 0, SPAN_LIT("k"), SPAN_LIT("v"), &w->err));
    commit(w, tx);
    assert_int_equal(end_of(w, "jobs.a.b"), 1);
    const struct queue_at at = at_of(w, "jobs.a.b", 0);
    tx = begin(w);
    assert_int_equal(queue_ack(tx, &at, &w->err), -ERR_FAIL);
    assert_has(w->err.msg, "another process owns");
    assert_int_equal(queue_trim(tx, "jobs.a.b", 0, 1, &w->err), -ERR_FAIL);
    assert_int_equal(queue_feed_open(w->q, "jobs.", &f, &w->err), -ERR_FAIL);
    queue_tx_drop(tx);
    assert_int_equal(peer_wait(&owner), 0);
}

static void writers_of_several_processes_do_not_lose_each_others_records(void **state)
{
    struct world *w = *state;
    enum { WRITERS = 3 };
    const int each = w->engine->commits;
    char number[16];
    const char *const prefixes[WRITERS] = {"a", "b", "c"};
    struct peer peers[WRITERS];
    struct queue_msg m;
    int next[WRITERS] = {0};
    open_owner(w);
    (void)snprintf(number, sizeof(number), "%d", each);
    for (int i = 0; i < WRITERS; i++) {
        peers[i] = peer_start(w, "put", "t", number, prefixes[i], NULL);
    }
    for (int i = 0; i < each; i++) {
        put_one(w, "mine", "x");
    }
    for (int i = 0; i < WRITERS; i++) {
        peer_expect(&peers[i], "done");
        assert_int_equal(peer_wait(&peers[i]), 0);
    }
    wait_for_end(w, "t", (uint64_t)(WRITERS * each));
    struct queue_cursor *c = cursor_on(w);
    OK(w, queue_read_topic(c, "t", 0, 0));
    for (uint64_t i = 0; i < (uint64_t)(WRITERS * each); i++) {
        char want[16];
        assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 1);
        assert_int_equal(index_of(w, m.at.topic, m.at.offset), i);
        int writer = m.value.p[0] - 'a'; /* each writer's own order is kept */
        int n = snprintf(want, sizeof(want), "%c%d", 'a' + writer, next[writer]++);
        assert_span(m.value, span_of(want, (size_t)n));
    }
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 0);
    queue_cursor_close(c);
    assert_int_equal(end_of(w, "mine"), each);
}

/* ---- waking ---- */

struct waiting {
    struct world *w;
    const char *topic;
    uint64_t want;
    int calls;
    bool late;
    int64_t began_ms, took_ms;
};

static void on_change(void *ctx)
{
    struct waiting *wait = ctx;
    wait->calls++;
    if (end_of(wait->w, wait->topic) >= wait->want) {
        wait->took_ms = loop_now_ms(wait->w->loop) - wait->began_ms;
        loop_stop(wait->w->loop);
    }
}

static void on_late(void *ctx)
{
    struct waiting *wait = ctx;
    wait->late = true;
    loop_stop(wait->w->loop);
}

static void wait_for_records(struct waiting *wait)
{
    struct world *w = wait->w;
    struct loop_timer *late = NULL;
    OK(w, loop_timer_create(w->loop, on_late, wait, &late));
    loop_timer_start(late, 120000);
    wait->began_ms = loop_now_ms(w->loop);
    assert_int_equal(queue_watch(w->q, on_change, wait), 0);
    loop_run(w->loop);
    queue_unwatch(w->q, on_change, wait);
    loop_timer_destroy(late);
    assert_false(wait->late);
}

static void the_owner_is_woken_when_another_process_commits(void **state)
{
    struct world *w = *state;
    make_loop(w, clock_real());
    open_owner(w);
    put_one(w, "t", "x");
    int64_t best_ms = INT64_MAX;
    struct peer p = peer_start(w, "nudge", "t", NULL);
    peer_expect(&p, "ready");
    /* Who only looks twice a second needs 500 each time; a busy machine, some of the times. */
    for (uint64_t i = 0; i < 60 && best_ms >= 450; i++) {
        struct waiting wait = {.w = w, .topic = "t", .want = i + 2};
        peer_say(&p, "");
        wait_for_records(&wait);
        best_ms = MIN_OF(best_ms, wait.took_ms);
    }
    assert_int_equal(peer_wait(&p), 0);
    assert_true(best_ms < 450);
}

static void a_change_is_found_when_its_wake_up_was_lost(void **state)
{
    struct world *w = *state;
    char path[sizeof(w->dir) + 8];
    make_loop(w, clock_real());
    open_owner(w);
    (void)snprintf(path, sizeof(path), "%s/wake", w->dir);
    assert_int_equal(unlink(path), 0);
    struct waiting wait = {.w = w, .topic = "t", .want = 1};
    struct peer p = peer_start(w, "put", "t", "1", "x", NULL);
    wait_for_records(&wait);
    assert_int_equal(peer_wait(&p), 0);
}

static void whoever_watches_beside_the_owner_sees_changes_too(void **state)
{
    struct world *w = *state;
    struct peer owner = peer_start(w, "own", "note", NULL);
    peer_expect(&owner, "owner");
    make_loop(w, clock_real());
    open_beside(w);
    struct waiting wait = {.w = w, .topic = "t", .want = 1};
    struct peer p = peer_start(w, "put", "t", "1", "x", NULL);
    wait_for_records(&wait);
    assert_int_equal(peer_wait(&p), 0);
    assert_int_equal(peer_wait(&owner), 0);
}

static void own_commits_wake_the_watchers_too(void **state)
{
    struct world *w = *state;
    make_loop(w, clock_real());
    open_owner(w);
    struct waiting wait = {.w = w, .topic = "t", .want = 50};
    for (int i = 0; i < 50; i++) {
        struct queue_tx *tx = begin(w);
        put(w, tx, "t", "x");
        queue_commit(tx, NULL, NULL);
    }
    wait_for_records(&wait);
    assert_in_range(wait.calls, 1, 50);
}

static void at_most_eight_watch_and_each_can_stop(void **state)
{
    struct world *w = *state;
    struct waiting waits[QUEUE_WATCHERS_MAX + 1] = {{.w = NULL}};
    make_loop(w, clock_real());
    open_owner(w);
    for (size_t i = 0; i < QUEUE_WATCHERS_MAX; i++) {
        assert_int_equal(queue_watch(w->q, on_change, &waits[i]), 0);
    }
    assert_true(queue_watch(w->q, on_change, &waits[QUEUE_WATCHERS_MAX]) < 0);
    queue_unwatch(w->q, on_change, &waits[3]);
    assert_int_equal(queue_watch(w->q, on_change, &waits[QUEUE_WATCHERS_MAX]), 0);
}

static void a_folder_with_a_long_path_can_be_woken(void **state)
{
    struct world *w = *state;
    (void)snprintf(w->dir, sizeof(w->dir), "%s/%0200d", w->base, 7);
    make_loop(w, clock_real());
    open_owner(w);
    struct waiting wait = {.w = w, .topic = "t", .want = 1};
    struct peer p = peer_start(w, "put", "t", "1", "x", NULL);
    wait_for_records(&wait);
    assert_int_equal(peer_wait(&p), 0);
}

/* ---- sudden death ---- */

/* What `contract_peer storm` wrote: all of each commit or nothing of it. */
static uint64_t check_storm(struct world *w)
{
    struct queue_cursor *c = cursor_on(w);
    struct queue_msg m;
    uint64_t count = 0, last = 0;
    if (OK(w, queue_table_get(c, "marks", 0, SPAN_LIT("count"), &m, &w->err))) {
        assert_int_equal(span_u64(m.value, &count), 0);
        last = m.commit;
    }
    assert_int_equal(count % 3, 0);
    assert_int_equal(end_of(w, "storm.a"), count);
    assert_int_equal(end_of(w, "storm.b"), count);
    for (uint64_t i = count > 30 ? count - 30 : 0; i < count; i++) {
        const struct queue_at a = at_of(w, "storm.a", i), b = at_of(w, "storm.b", i);
        char want[24];
        (void)snprintf(want, sizeof(want), "%llu", (unsigned long long)i);
        assert_int_equal(OK(w, queue_fetch(c, &a, &m, &w->err)), 1);
        assert_span(m.value, span_str(want));
        uint64_t number = m.commit;
        assert_int_equal(OK(w, queue_fetch(c, &b, &m, &w->err)), 1);
        assert_span(m.value, span_str(want));
        assert_int_equal(m.commit, number);
        assert_true(number <= last);
    }
    queue_cursor_close(c);
    if (count) {
        struct queue_feed *f = feed_on(w, "storm.a");
        assert_int_equal(low_of(w, f, "storm.a"), count - 3);
        expect_next(w, f, "storm.a", count - 3);
        queue_feed_close(f);
    }
    return count;
}

static void a_process_killed_at_any_moment_leaves_whole_commits_only(void **state)
{
    struct world *w = *state;
    uint64_t before = 0, total = 0;
    for (int round = 0; round < w->engine->deaths; round++) {
        struct peer p = peer_start(w, "storm", NULL);
        peer_expect(&p, "storming");
        sleep_ms(1 + round % 10);
        peer_kill(&p);
        open_owner(w);
        before = total;
        total = check_storm(w);
        assert_true(total >= before + 9); /* what it said it had committed */
        close_queue(w);
    }
}

static void a_reader_beside_a_storm_never_sees_part_of_a_commit(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    uint64_t count = 0, reads = 0;
    struct peer p = peer_start(w, "storm", NULL);
    peer_expect(&p, "storming");
    open_beside(w);
    struct queue_cursor *c = cursor_on(w);
    /* The row is written with the records: who sees it sees them. */
    while (count < (w->engine->broker ? 100 : 3000) || reads < 10) {
        if (OK(w, queue_table_get(c, "marks", 0, SPAN_LIT("count"), &m, &w->err))) {
            assert_int_equal(span_u64(m.value, &count), 0);
            see_end(w, "storm.a", count);
            see_end(w, "storm.b", count);
            const struct queue_at at = at_of(w, "storm.a", count - 1);
            uint64_t number = m.commit;
            assert_int_equal(OK(w, queue_fetch(c, &at, &m, &w->err)), 1);
            assert_int_equal(m.commit, number);
        }
        reads++;
    }
    queue_cursor_close(c);
    peer_kill(&p);
}

#ifdef OFFPEAK_FAILPOINTS
static void death_before_the_commit_leaves_none_and_after_it_all(void **state)
{
    struct world *w = *state;
    const struct {
        const char *when;
        int commit;
        uint64_t want; /* records: three per commit */
    } deaths[] = {{"before", 1, 0}, {"after", 1, 3}, {"before", 3, 9}, {"after", 2, 15}};
    for (size_t i = 0; i < ARRAY_LEN(deaths); i++) {
        char failpoint[64];
        (void)snprintf(failpoint, sizeof(failpoint), "queue.%s_%scommit:%d=kill",
                       deaths[i].when, w->engine->broker ? "kafka_" : "",
                       deaths[i].commit);
        assert_int_equal(setenv("OFFPEAK_FAILPOINT", failpoint, 1), 0);
        struct peer p = peer_start(w, "storm", NULL);
        assert_int_equal(unsetenv("OFFPEAK_FAILPOINT"), 0);
        assert_int_equal(peer_wait(&p), -1);
        open_owner(w);
        assert_int_equal(check_storm(w), deaths[i].want);
        close_queue(w);
    }
}
#endif

const struct promise process_promises[] = {
    PROMISE_OF_FOLDERS(a_folder_has_at_most_one_owner,
                       "who owns what, the broker says: see broker.c"),
    PROMISE(ownership_dies_with_its_process),
    PROMISE_OF_FOLDERS(when_the_owner_ends_the_next_takes_over,
                       "a folder is one process's: see broker.c"),
    PROMISE_OF_FOLDERS(the_owner_leaves_a_note_for_others_to_read,
                       "owners on a broker leave no note"),
    PROMISE_OF_FOLDERS(one_process_does_not_open_a_folder_twice,
                       "a command has a folder of its own"),
    PROMISE(beside_the_owner_anybody_puts_but_only_it_feeds_and_acks),
    PROMISE(writers_of_several_processes_do_not_lose_each_others_records),
    PROMISE(the_owner_is_woken_when_another_process_commits),
    PROMISE_OF_FOLDERS(a_change_is_found_when_its_wake_up_was_lost,
                       "there is no wake-up that could be lost"),
    PROMISE(whoever_watches_beside_the_owner_sees_changes_too),
    PROMISE(own_commits_wake_the_watchers_too),
    PROMISE(at_most_eight_watch_and_each_can_stop),
    PROMISE_OF_FOLDERS(a_folder_with_a_long_path_can_be_woken,
                       "nobody wakes it through its folder"),
    PROMISE(a_process_killed_at_any_moment_leaves_whole_commits_only),
    PROMISE(a_reader_beside_a_storm_never_sees_part_of_a_commit),
#ifdef OFFPEAK_FAILPOINTS
    PROMISE(death_before_the_commit_leaves_none_and_after_it_all),
#endif
    {0},
};
