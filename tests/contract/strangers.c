/* Promises that only a broker can break: what others write there, topics that come, grow, refuse
 * and are trimmed. */
#include "tests/contract/contract.h"
#include "core/kafka.h"
#include <dirent.h>

/* ---- what others write ---- */

struct stranger {
    struct kafka_conf conf;
    struct kafka_producer *producer;
    char topic[128];
};

static void stranger_come(struct world *w, struct stranger *s, const char *topic)
{
    s->conf = (struct kafka_conf){.brokers = getenv("OFFPEAK_BROKERS"),
                                  .client_id = "stranger"};
    (void)snprintf(s->topic, sizeof(s->topic), "%s%s", w->prefix, topic);
    const struct kafka_producer_conf conf = {.kafka = &s->conf,
                                             .transactional_id = s->topic};
    OK(w, kafka_producer_open(&s->producer, &conf, &w->err));
    OK(w, kafka_producer_init(s->producer, 10000, &w->err));
}

static void stranger_put(struct world *w, struct stranger *s, struct span key)
{
    const struct kafka_record r = {
        .topic = s->topic, .key = key, .value = SPAN_LIT("of a stranger")};
    OK(w, kafka_producer_begin(s->producer, &w->err));
    OK(w, kafka_producer_produce(s->producer, &r, &w->err));
}

static void an_open_or_aborted_transaction_is_invisible(void **state)
{
    struct world *w = *state;
    struct stranger s;
    open_owner(w);
    put_one(w, "results.a", "mine");
    stranger_come(w, &s, "results.a");
    stranger_put(w, &s, SPAN_NONE);
    sleep_ms(500); /* on its way to the log */
    assert_int_equal(end_of(w, "results.a"), 1);
    OK(w, kafka_producer_abort(s.producer, 10000, &w->err));
    sleep_ms(300);
    assert_int_equal(end_of(w, "results.a"), 1);
    stranger_put(w, &s, SPAN_NONE);
    const struct kafka_commit none = {0};
    OK(w, kafka_producer_commit(s.producer, &none, 10000, &w->err));
    wait_for_end(w, "results.a", 2);
    kafka_producer_destroy(s.producer);
    reopen_owner(w);
    assert_int_equal(end_of(w, "results.a"), 2);
}

/* Of an owner before us whose last commit is still being closed: its journal must not be missed. */
static void an_owner_begins_when_older_transactions_are_closed(void **state)
{
    struct world *w = *state;
    struct stranger s;
    w->role = QUEUE_WORKER;
    w->no_learning = true;
    open_owner(w);
    put_row_in(w, "batches", 0, "created");
    close_queue(w);
    stranger_come(w, &s, "batches");
    stranger_put(w, &s, SPAN_LIT("key"));
    sleep_ms(500); /* on its way to the log */
    open_owner_later(w);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(queue_ownership(w->q, &w->err), QUEUE_NOT_YET);
        sleep_ms(10);
    }
    const struct kafka_commit none = {0};
    OK(w, kafka_producer_commit(s.producer, &none, 10000, &w->err));
    kafka_producer_destroy(s.producer);
    wait_ready(w);
    expect_row_in(w, "batches", 0, "of a stranger");
}

/* Its key is longer than any of ours may be. */
static void a_strangers_record_of_any_shape_is_fed(void **state)
{
    struct world *w = *state;
    struct stranger s;
    struct queue_msg m;
    static char key[100000];
    memset(key, 'k', sizeof(key));
    open_owner(w);
    put_one(w, "jobs.a.b", "first");
    stranger_come(w, &s, "jobs.a.b");
    stranger_put(w, &s, span_of(key, sizeof(key)));
    const struct kafka_commit none = {0};
    OK(w, kafka_producer_commit(s.producer, &none, 10000, &w->err));
    kafka_producer_destroy(s.producer);
    wait_for_end(w, "jobs.a.b", 2);
    struct queue_feed *f = feed_on(w, "jobs.");
    expect_next(w, f, "jobs.a.b", 0);
    assert_int_equal(OK(w, queue_next(f, &m, &w->err)), 1);
    assert_span(m.value, SPAN_LIT("of a stranger"));
    assert_int_equal(m.key.n, QUEUE_KEY_MAX);
    queue_feed_close(f);
}

/* ---- topics ---- */

static void next_soon(struct world *w, struct queue_feed *f, struct queue_msg *ret)
{
    int r = 0;
    for (int i = 0; r == 0 && i < 12000; i++) {
        r = OK(w, queue_next(f, ret, &w->err));
        sleep_ms(r ? 0 : 5);
    }
    assert_int_equal(r, 1);
}

static void peer_puts(struct world *w, const char *topic, const char *n, const char *what)
{
    struct peer p = peer_start(w, "put", topic, n, what, NULL);
    peer_expect(&p, "done");
    assert_int_equal(peer_wait(&p), 0);
}

static void a_new_jobs_topic_joins_by_itself(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    w->role = QUEUE_SCHEDULER;
    open_owner(w);
    struct queue_feed *f = feed_on(w, "jobs.");
    expect_nothing(w, f);
    peer_puts(w, "jobs.new.one", "2", "x");
    for (int i = 0; i < 2; i++) {
        next_soon(w, f, &m);
        assert_string_equal(m.at.topic, "jobs.new.one");
    }
    queue_feed_close(f);
}

static void read_soon(struct world *w, struct queue_cursor *c, struct queue_msg *ret)
{
    int r = 0;
    for (int i = 0; r == 0 && i < 12000; i++) {
        r = OK(w, queue_read(c, ret, &w->err));
        sleep_ms(r ? 0 : 5);
    }
    assert_int_equal(r, 1);
}

/* The scheduler reads `spend`, which grows for ever, from the place that it knows. */
static void what_a_role_follows_is_copied_from_where_it_reads(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    w->role = QUEUE_SCHEDULER;
    open_owner(w);
    struct queue_cursor *c = cursor_on(w);
    OK(w, queue_read_topic(c, "spend", 0, 0)); /* before there is any */
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 0);
    peer_puts(w, "spend", "10", "a");
    for (uint64_t i = 0; i < 10; i++) {
        read_soon(w, c, &m);
        assert_int_equal(m.at.offset, i);
    }
    queue_cursor_close(c);
    peer_puts(w, "spend", "10", "b");
    const uint64_t from[] = {15, 3,
                             8}; /* ... again from an earlier one: it is read back */
    for (size_t i = 0; i < ARRAY_LEN(from); i++) {
        reopen_owner(w);
        sleep_ms(100);
        c = cursor_on(w);
        OK(w, queue_read_topic(c, "spend", 0, from[i]));
        for (uint64_t k = from[i]; k < 20; k++) {
            read_soon(w, c, &m);
            assert_int_equal(m.at.offset, k);
        }
        assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 0);
        queue_cursor_close(c);
    }
}

static void everybody_knows_how_many_partitions_a_name_has(void **state)
{
    struct world *w = *state;
    const struct {
        const char *name;
        uint32_t n;
    } want[] = {{"ready", 12},        {"answers", 12}, {"jobs.a.b", 3},
                {"jobs.none.yet", 3}, {"spend", 1},    {"budgets", 1}};
    const enum queue_role roles[] = {QUEUE_WHOLE, QUEUE_SCHEDULER, QUEUE_WORKER};
    uint32_t n = 0;
    w->no_learning = true;
    open_owner(w);
    put_one(w, "jobs.a.b", "x");
    for (size_t i = 0; i <= ARRAY_LEN(roles); i++) {
        for (size_t k = 0; k < ARRAY_LEN(want); k++) {
            OK(w, queue_partitions(w->q, want[k].name, &n, &w->err));
            assert_int_equal(n, want[k].n);
        }
        lose_folder(w);
        if (i < ARRAY_LEN(roles)) {
            w->role = roles[i];
            open_owner(w);
        }
    }
    open_beside(w);
    for (size_t k = 0; k < ARRAY_LEN(want); k++) {
        OK(w, queue_partitions(w->q, want[k].name, &n, &w->err));
        assert_int_equal(n, want[k].n);
    }
}

/* A queue whose gate is closed is copied no further than its window, however much waits. */
static void a_paused_queue_waits_on_the_broker_not_here(void **state)
{
    struct world *w = *state;
    enum { RECORDS = 40, BYTES = 1 << 20 };
    static char value[BYTES];
    struct queue_msg m;
    uint64_t used = 0;
    open_beside(w);
    for (int i = 0; i < RECORDS; i++) {
        struct queue_tx *tx = begin(w);
        OK(w, queue_put(tx, QUEUE_TO("jobs.a.b", 0, SPAN_NONE), SPAN_NONE,
                        span_of(value, BYTES), &w->err));
        OK(w, queue_commit_wait(tx, NULL, &w->err));
    }
    close_queue(w);
    w->role = QUEUE_SCHEDULER;
    open_owner(w);
    struct queue_feed *f = feed_on(w, "jobs.");
    next_soon(w, f, &m);
    const uint64_t first = m.at.offset;
    assert_int_equal(queue_pause(f, "jobs.a.b", 0, first), 0);
    for (int round = 0; round < 2; round++) {
        sleep_ms(2000);
        struct queue_cursor *c = cursor_on(w);
        OK(w, queue_used_bytes(c, &used, &w->err));
        assert_in_range(used, 1, 20 * BYTES);
        queue_cursor_close(c);
        queue_feed_close(f);
        reopen_owner(w); /* its pause is not forgotten: nobody asked for more */
        f = feed_on(w, "jobs.");
    }
    uint64_t last = 0;
    for (int i = 0; i < RECORDS; i++) {
        next_soon(w, f, &m);
        assert_true(i == 0 ? m.at.offset == first : m.at.offset > last);
        last = m.at.offset;
        struct queue_tx *tx = begin(w);
        OK(w, queue_ack(tx, &m.at, &w->err));
        OK(w, queue_commit_wait(tx, NULL, &w->err));
    }
    queue_feed_close(f);
}

static void make_limited(struct world *w, const char *name, const char *bytes)
{
    const struct kafka_conf conf = {.brokers = getenv("OFFPEAK_BROKERS"),
                                    .client_id = "admin"};
    const struct kafka_setting small = {"max.message.bytes", bytes};
    struct kafka_admin *admin = NULL;
    char topic[128];
    (void)snprintf(topic, sizeof(topic), "%s%s", w->prefix, name);
    OK(w, kafka_admin_open(&admin, &conf, &w->err));
    OK(w, kafka_admin_create(admin, topic, 1, &small, 1, &w->err));
    kafka_admin_destroy(admin);
}

static void set_limit(struct world *w, const char *name, const char *bytes)
{
    const struct kafka_conf conf = {.brokers = getenv("OFFPEAK_BROKERS"),
                                    .client_id = "admin"};
    const struct kafka_setting setting = {"max.message.bytes", bytes};
    struct kafka_admin *admin = NULL;
    char topic[128];
    (void)snprintf(topic, sizeof(topic), "%s%s", w->prefix, name);
    OK(w, kafka_admin_open(&admin, &conf, &w->err));
    OK(w, kafka_admin_set(admin, topic, &setting, 1, &w->err));
    kafka_admin_destroy(admin);
}

/* Two transactions that reach the broker together: what one of them was told. */
struct told {
    struct world *w;
    struct queue_tx *back;
    struct err err;
    int calls;
};

static void on_told(void *ctx, uint64_t number, const struct err *err)
{
    struct told *t = ctx;
    (void)number;
    t->calls++;
    t->err = err ? *err : (struct err){0};
    t->back = queue_take_back(t->w->q);
    loop_stop(t->w->loop);
}

static void wait_told(struct told *t)
{
    while (t->calls == 0) {
        loop_run(t->w->loop);
    }
}

static void a_refused_transaction_fails_alone_and_comes_back_whole(void **state)
{
    struct world *w = *state;
    static char large[700000];
    struct told refused = {.w = w}, beside = {.w = w};
    make_limited(w, "results.small", "600000");
    make_loop(w, clock_real());
    open_owner(w);
    put_many(w, "ready", 3);
    struct queue_tx *tx = begin(w), *neighbour = begin(w);
    OK(w, queue_put(tx, QUEUE_TO("results.small", 0, SPAN_NONE), SPAN_NONE,
                    span_of(large, sizeof(large)), &w->err));
    put(w, tx, "spend", "of the refused one");
    ack(w, tx, "ready", 0);
    put(w, neighbour, "results.a", "its neighbour");
    ack(w, neighbour, "ready", 1);
    struct queue_tx *begun = begin(w);
    put(w, begun, "results.a", "begun before it was known");
    queue_commit(tx, on_told, &refused);
    queue_commit(neighbour, on_told, &beside);
    wait_told(&refused);
    wait_told(&beside);
    assert_int_equal(refused.err.code, ERR_INPUT);
    assert_has(refused.err.msg, "results.small");
    assert_non_null(refused.back);
    assert_int_equal(beside.err.code, 0);
    assert_null(beside.back);
    commit(w, begun);
    assert_int_equal(queue_ownership(w->q, NULL), QUEUE_READY);
    assert_int_equal(end_of(w, "results.a"), 2);
    assert_int_equal(end_of(w, "spend"), 0);
    set_limit(w, "results.small", "1000000");
    for (int i = 0; refused.back; i++) { /* the broker takes a moment */
        assert_true(i < 100);
        refused.calls = 0;
        queue_commit(TAKE_PTR(refused.back), on_told, &refused);
        wait_told(&refused);
        sleep_ms(50);
    }
    assert_int_equal(refused.err.code, 0);
    assert_int_equal(end_of(w, "results.small"), 1);
    assert_int_equal(end_of(w, "spend"), 1);
    struct queue_feed *f = feed_on(w, "ready");
    expect_next(w, f, "ready", 2);
    expect_nothing(w, f);
    queue_feed_close(f);
}

/* A topic that all share: everybody waits for it, and nothing fails. */
static void what_all_share_is_waited_for(void **state)
{
    struct world *w = *state;
    static char large[700000];
    struct told waits = {.w = w};
    make_limited(w, "spend", "600000");
    make_loop(w, clock_real());
    open_owner(w);
    put_many(w, "ready", 1);
    struct queue_tx *tx = begin(w);
    OK(w, queue_put(tx, QUEUE_TO("spend", 0, SPAN_NONE), SPAN_NONE,
                    span_of(large, sizeof(large)), &w->err));
    ack(w, tx, "ready", 0);
    queue_commit(tx, on_told, &waits);
    while (w->trouble.code == 0) {
        loop_run(w->loop);
    }
    assert_has(w->trouble.msg, "spend");
    assert_int_equal(waits.calls, 0);
    set_limit(w, "spend", "1000000");
    wait_told(&waits);
    while (w->trouble.code) { /* it is told that it is over, too */
        loop_run(w->loop);
    }
    assert_int_equal(waits.err.code, 0);
    assert_int_equal(queue_ownership(w->q, NULL), QUEUE_READY);
    assert_int_equal(w->lost, 0);
    assert_int_equal(end_of(w, "spend"), 1);
}

static void what_is_trimmed_is_gone_for_everybody(void **state)
{
    struct world *w = *state;
    open_owner(w);
    put_many(w, "ready", 10);
    for (uint64_t i = 0; i < 6; i++) {
        ack_one(w, "ready", i);
    }
    struct queue_tx *tx = begin(w);
    OK(w, queue_trim(tx, "ready", 0, UINT64_MAX, &w->err));
    commit(w, tx);
    assert_int_equal(first_of(w, "ready"), 6);
    lose_folder(w);
    open_beside(w);
    uint64_t first = 0, end = 0;
    for (int i = 0; i < 6000 && first == 0; i++) { /* after the commit, and on its own */
        struct queue_cursor *c = cursor_on(w);
        OK(w, queue_bounds(c, "ready", 0, &first, &end, &w->err));
        queue_cursor_close(c);
        sleep_ms(10);
    }
    assert_int_equal(index_of(w, "ready", first), 6);
}

static int count_in(const char *dir)
{
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    while (readdir(d)) {
        n++;
    }
    closedir(d);
    return n - 2;
}

static void a_command_that_is_killed_leaves_nothing_behind(void **state)
{
    struct world *w = *state;
    w->no_learning = true;
    open_beside(w);
    put_one(w, "results.a", "x");
    struct queue_cursor *c = cursor_on(w);
    struct queue_msg m;
    OK(w, queue_read_topic(c, "results.a", 0, 0));
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 1);
    queue_cursor_close(c);
    assert_int_equal(count_in(w->base), 0);
}

/* Its copy drops what is done at once; the broker keeps it for as long as it is told. */
static void a_queue_is_trimmed_on_the_broker_as_far_as_it_was_told(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    uint64_t first = 0, end = 0;
    w->role = QUEUE_SCHEDULER;
    w->no_learning = true;
    peer_puts(w, "jobs.a.b", "10", "x");
    open_owner(w);
    struct queue_feed *f = feed_on(w, "jobs.");
    struct queue_tx *tx = begin(w);
    for (int i = 0; i < 10; i++) {
        next_soon(w, f, &m);
        OK(w, queue_ack(tx, &m.at, &w->err));
    }
    commit(w, tx);
    struct queue_cursor *c = cursor_on(w);
    for (int i = 0; i < 6000 && first < 10; i++) {
        OK(w, queue_bounds(c, "jobs.a.b", 0, &first, &end, &w->err));
        sleep_ms(10);
    }
    assert_int_equal(first, 10);
    queue_cursor_close(c);
    tx = begin(w);
    OK(w, queue_trim(tx, "jobs.a.b", 0, 4, &w->err));
    commit(w, tx);
    tx = begin(w); /* none of them is as old as that */
    OK(w, queue_trim_old(tx, "jobs.a.b", 0, 8, m.time_ms - 3600000, &w->err));
    commit(w, tx);
    queue_feed_close(f);
    close_queue(w);
    open_beside(w);
    c = cursor_on(w);
    OK(w, queue_bounds(c, "jobs.a.b", 0, &first, &end, &w->err));
    assert_int_equal(first, 4);
    assert_int_equal(end, 10);
    queue_cursor_close(c);
}

/* The broker finds out itself what is old: here it is not known any more. */
static void a_queue_is_trimmed_on_the_broker_by_the_age_of_its_records(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    uint64_t first = 0, end = 0;
    w->role = QUEUE_SCHEDULER;
    w->no_learning = true;
    peer_puts(w, "jobs.a.b", "6", "old");
    sleep_ms(20);
    peer_puts(w, "jobs.a.b", "4", "young");
    open_owner(w);
    struct queue_feed *f = feed_on(w, "jobs.");
    int64_t young_ms = 0;
    struct queue_tx *tx = begin(w);
    for (int i = 0; i < 10; i++) {
        next_soon(w, f, &m);
        young_ms = i == 6 ? m.time_ms : young_ms;
        OK(w, queue_ack(tx, &m.at, &w->err));
    }
    commit(w, tx);
    tx = begin(w);
    OK(w, queue_trim_old(tx, "jobs.a.b", 0, 9, young_ms, &w->err));
    commit(w, tx);
    queue_feed_close(f);
    close_queue(w);
    open_beside(w);
    struct queue_cursor *c = cursor_on(w);
    OK(w, queue_bounds(c, "jobs.a.b", 0, &first, &end, &w->err));
    assert_int_equal(first, 6);
    assert_int_equal(end, 10);
    queue_cursor_close(c);
}

const struct promise stranger_promises[] = {
    PROMISE(an_open_or_aborted_transaction_is_invisible),
    PROMISE(an_owner_begins_when_older_transactions_are_closed),
    PROMISE(a_strangers_record_of_any_shape_is_fed),
    PROMISE(a_new_jobs_topic_joins_by_itself),
    PROMISE(what_a_role_follows_is_copied_from_where_it_reads),
    PROMISE(everybody_knows_how_many_partitions_a_name_has),
    PROMISE(a_paused_queue_waits_on_the_broker_not_here),
    PROMISE(a_refused_transaction_fails_alone_and_comes_back_whole),
    PROMISE(what_all_share_is_waited_for),
    PROMISE(what_is_trimmed_is_gone_for_everybody),
    PROMISE(a_command_that_is_killed_leaves_nothing_behind),
    PROMISE(a_queue_is_trimmed_on_the_broker_as_far_as_it_was_told),
    PROMISE(a_queue_is_trimmed_on_the_broker_by_the_age_of_its_records),
    {0},
};
