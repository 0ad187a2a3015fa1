/* Promises about writing: atomic, bounded, numbered, committed only, read again. */
#include "tests/contract/contract.h"
#include "core/headers.h"

static void what_is_committed_is_read_in_order(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    open_owner(w);
    struct queue_tx *tx = begin(w);
    OK(w, queue_put(tx, QUEUE_TO("jobs.a.b", 0, SPAN_LIT("key")), SPAN_LIT("\1h\0\1x"),
                    SPAN_LIT("one"), &w->err));
    put(w, tx, "jobs.a.b", "two");
    uint64_t number = commit(w, tx);
    struct queue_cursor *c = cursor_on(w);
    OK(w, queue_read_topic(c, "jobs.a.b", 0, 0));
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 1);
    assert_string_equal(m.at.topic, "jobs.a.b");
    assert_int_equal(index_of(w, m.at.topic, m.at.offset), 0);
    assert_int_equal(m.commit, number);
    assert_span(m.key, SPAN_LIT("key"));
    assert_span(m.headers, SPAN_LIT("\1h\0\1x"));
    assert_span(m.value, SPAN_LIT("one"));
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 1);
    assert_int_equal(index_of(w, m.at.topic, m.at.offset), 1);
    assert_span(m.value, SPAN_LIT("two"));
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 0);
    put_one(w, "jobs.a.b", "three"); /* more may come behind the end */
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 1);
    assert_span(m.value, SPAN_LIT("three"));
    queue_cursor_close(c);
}

static void nothing_is_visible_before_its_commit(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    open_owner(w);
    put_one(w, "ready", "old");
    struct queue_feed *f = feed_on(w, "ready");
    struct queue_cursor *c = cursor_on(w);
    struct queue_tx *tx = begin(w);
    put(w, tx, "ready", "new");
    ack(w, tx, "ready", 0);
    OK(w, queue_table_put(tx, "open", 0, SPAN_LIT("k"), SPAN_LIT("v"), &w->err));
    assert_int_equal(end_of(w, "ready"), 1);
    assert_int_equal(OK(w, queue_table_get(c, "open", 0, SPAN_LIT("k"), &m, &w->err)), 0);
    expect_next(w, f, "ready", 0);
    expect_nothing(w, f);
    commit(w, tx);
    assert_int_equal(end_of(w, "ready"), 2);
    assert_int_equal(OK(w, queue_table_get(c, "open", 0, SPAN_LIT("k"), &m, &w->err)), 1);
    expect_next(w, f, "ready", 1);
    queue_cursor_close(c);
    queue_feed_close(f);
}

static void a_dropped_transaction_leaves_nothing(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    open_owner(w);
    put_one(w, "ready", "old");
    struct queue_tx *tx = begin(w);
    put(w, tx, "ready", "new");
    put(w, tx, "results.a", "new");
    OK(w, queue_table_put(tx, "open", 0, SPAN_LIT("k"), SPAN_LIT("v"), &w->err));
    ack(w, tx, "ready", 0);
    assert_null(queue_tx_drop(tx));
    reopen_owner(w);
    assert_int_equal(end_of(w, "ready"), 1);
    assert_int_equal(end_of(w, "results.a"), 0);
    struct queue_feed *f = feed_on(w, "ready");
    expect_next(w, f, "ready", 0);
    queue_feed_close(f);
    struct queue_cursor *c = cursor_on(w);
    assert_int_equal(OK(w, queue_table_get(c, "open", 0, SPAN_LIT("k"), &m, &w->err)), 0);
    queue_cursor_close(c);
}

static void commit_numbers_grow_and_stand_on_records_and_rows(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    uint64_t last = 0, number = 0;
    open_owner(w);
    for (int i = 0; i < 20; i++) {
        struct queue_tx *tx = begin(w);
        put(w, tx, "spend", "x");
        OK(w, queue_table_put(tx, "ledger", 0, SPAN_LIT("row"), SPAN_LIT("x"), &w->err));
        uint64_t mine = commit(w, tx);
        assert_true(mine > last);
        last = mine;
        if (i == 10) {
            reopen_owner(w);
        }
        struct queue_cursor *c = cursor_on(w);
        const struct queue_at at = at_of(w, "spend", (uint64_t)i);
        assert_int_equal(OK(w, queue_fetch(c, &at, &m, &w->err)), 1);
        assert_int_equal(m.commit, mine);
        assert_int_equal(
            OK(w, queue_table_get(c, "ledger", 0, SPAN_LIT("row"), &m, &w->err)), 1);
        assert_int_equal(m.commit, mine);
        OK(w, queue_last_commit(c, &number, &w->err));
        assert_int_equal(number, mine);
        queue_cursor_close(c);
    }
}

static void an_empty_commit_succeeds_and_writes_nothing(void **state)
{
    struct world *w = *state;
    open_owner(w);
    uint64_t before = put_one(w, "t", "x");
    struct queue_tx *tx = begin(w);
    assert_true(queue_tx_empty(tx));
    assert_int_equal(commit(w, tx), before);
    struct queue_cursor *c = cursor_on(w);
    uint64_t last = 0;
    OK(w, queue_last_commit(c, &last, &w->err));
    assert_int_equal(last, before);
    queue_cursor_close(c);
    assert_true(put_one(w, "t", "x") > before);
}

/* ---- callbacks ---- */

struct order {
    struct world *w;
    int seen, want;
    uint64_t last;
};

struct called {
    struct order *order;
    int number, times;
};

static void on_commit(void *ctx, uint64_t number, const struct err *err)
{
    struct called *c = ctx;
    assert_null(err);
    assert_int_equal(c->number, c->order->seen);
    assert_true(number >= c->order->last);
    c->times++;
    c->order->last = number;
    if (++c->order->seen == c->order->want) {
        loop_stop(c->order->w->loop);
    }
}

static void callbacks_come_once_each_in_the_order_of_hand_over(void **state)
{
    struct world *w = *state;
    struct called called[200] = {0};
    struct order order = {.w = w, .want = ARRAY_LEN(called)};
    make_loop(w, clock_real());
    open_owner(w);
    for (int i = 0; i < order.want; i++) {
        struct queue_tx *tx = begin(w);
        if (i % 7) { /* empty ones keep their place too */
            put(w, tx, "t", "x");
        }
        called[i] = (struct called){&order, i, 0};
        queue_commit(tx, on_commit, &called[i]);
        assert_int_equal(called[i].times, 0); /* never from inside the call */
    }
    loop_run(w->loop);
    for (int i = 0; i < order.want; i++) {
        assert_int_equal(called[i].times, 1);
    }
}

static void closing_waits_for_what_was_handed_over(void **state)
{
    struct world *w = *state;
    struct called called[50] = {0};
    struct order order = {.w = w, .want = ARRAY_LEN(called)};
    make_loop(w, clock_real());
    open_owner(w);
    for (int i = 0; i < order.want; i++) {
        struct queue_tx *tx = begin(w);
        put(w, tx, "t", "x");
        called[i] = (struct called){&order, i, 0};
        queue_commit(tx, on_commit, &called[i]);
    }
    close_queue(w);
    assert_int_equal(order.seen, order.want);
    open_owner(w);
    assert_int_equal(end_of(w, "t"), order.want);
}

static void records_carry_the_time_of_a_simulated_clock(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    const int64_t night = 1795224840000; /* 2026-11-21T01:34:00Z */
    struct called called = {0};
    struct order order = {.w = w, .want = 1};
    called.order = &order;
    make_loop(w, clock_simulated(night));
    open_owner(w);
    struct queue_tx *tx = begin(w);
    put(w, tx, "t", "x");
    queue_commit(tx, on_commit, &called);
    loop_run(w->loop);
    struct queue_cursor *c = cursor_on(w);
    OK(w, queue_read_topic(c, "t", 0, 0));
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 1);
    assert_int_equal(m.time_ms, night);
    queue_cursor_close(c);
}

/* ---- bounded ---- */

static void a_full_transaction_refuses_more_and_still_commits(void **state)
{
    struct world *w = *state;
    int n = 0;
    open_owner(w);
    struct queue_tx *tx = begin(w);
    assert_false(queue_tx_full(tx, 1));
    while (!queue_tx_full(tx, 1)) {
        for (int i = 0; i < QUEUE_TX_GROUP; i++) { /* what it said fits, fits */
            put(w, tx, "t", "x");
            n++;
        }
    }
    while (queue_put(tx, QUEUE_TO("t", 0, SPAN_NONE), SPAN_NONE, SPAN_LIT("x"),
                     &w->err) == 0) {
        n++;
    }
    assert_int_equal(n, QUEUE_TX_RECORDS);
    assert_has(w->err.msg, "the transaction is full");
    assert_int_equal(
        queue_table_put(tx, "open", 0, SPAN_LIT("k"), SPAN_LIT("v"), &w->err), -ERR_FAIL);
    commit(w, tx);
    assert_int_equal(end_of(w, "t"), QUEUE_TX_RECORDS);
}

static void bytes_and_acks_of_a_transaction_are_bounded_too(void **state)
{
    struct world *w = *state;
    static char big[100 * 1024];
    size_t bytes = 0;
    uint64_t acked = 0;
    open_owner(w);
    put_many(w, "ready", 2 * QUEUE_TX_RECORDS);
    struct queue_tx *tx = begin(w);
    while (!queue_tx_full(tx, sizeof(big))) {
        OK(w, queue_put(tx, QUEUE_TO("t", 0, SPAN_NONE), SPAN_NONE,
                        span_of(big, sizeof(big)), &w->err));
        bytes += sizeof(big);
    }
    assert_in_range(bytes, QUEUE_TX_BYTES - sizeof(big), QUEUE_TX_BYTES);
    assert_int_equal(queue_put(tx, QUEUE_TO("t", 0, SPAN_NONE), SPAN_NONE,
                               span_of(big, sizeof(big)), &w->err),
                     -ERR_FAIL);
    commit(w, tx);
    tx = begin(w);
    struct queue_at at = at_of(w, "ready", 0);
    while (!queue_tx_full(tx, 0)) {
        at.offset = acked++;
        OK(w, queue_ack(tx, &at, &w->err));
    }
    while (queue_ack(tx, &at, &w->err) == 0) {
        at.offset = acked++;
    }
    assert_in_range(acked, QUEUE_TX_RECORDS - QUEUE_TX_GROUP, QUEUE_TX_RECORDS);
    commit(w, tx);
}

static void what_cannot_be_stored_is_refused_before_anything_is(void **state)
{
    struct world *w = *state;
    static char large[QUEUE_VALUE_MAX + 1];
    char key[QUEUE_KEY_MAX + 1] = {0}, headers[HEADERS_BYTES_MAX + 1] = {0};
    char name[QUEUE_NAME_MAX + 1];
    const struct span none = SPAN_NONE, x = SPAN_LIT("x");
    memset(name, 'n', sizeof(name));
    name[QUEUE_NAME_MAX] = '\0';
    open_owner(w);
    struct queue_tx *tx = begin(w);
    const struct {
        const char *topic;
        struct span key, headers, value;
        const char *words;
    } bad[] = {
        {"t", none, none, span_of(large, sizeof(large)), "its value has 67108865 bytes"},
        {"t", span_of(key, sizeof(key)), none, x, "its key has 401 bytes"},
        {"t", none, span_of(headers, sizeof(headers)), x, "its headers has 4097 bytes"},
        {"", none, none, x, "the name is not valid"},
        {"a b", none, none, x, "'a b': the name is not valid"},
        {"a/b", none, none, x, "the name is not valid"},
        {"caf\303\251", none, none, x, "the name is not valid"},
        {name, none, none, x, "the name is not valid"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(queue_put(tx, QUEUE_TO(bad[i].topic, 0, bad[i].key),
                                   bad[i].headers, bad[i].value, &w->err),
                         -ERR_INPUT);
        assert_has(w->err.msg, bad[i].words);
    }
    assert_int_equal(queue_table_put(tx, "open", 0, none, x, &w->err), -ERR_INPUT);
    assert_has(w->err.msg, "its key is empty");
    assert_true(queue_tx_empty(tx));
    name[QUEUE_NAME_MAX - 1] = '\0'; /* one byte shorter is the longest name */
    put(w, tx, name, "fits");
    commit(w, tx);
    assert_int_equal(end_of(w, name), 1);
}

/* ---- values ---- */

static char *pattern_of(size_t n)
{
    char *p = malloc(n + 1);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        p[i] = (char)(i * 2654435761u >> 13);
    }
    return p;
}

static void values_of_every_size_come_back_as_they_were(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    const size_t mib = (size_t)1 << 20;
    const size_t sizes[] = {
        0,       1,       2038,         4064,    mib - 1,     mib,
        mib + 1, 2 * mib, 3 * mib - 64, 8 * mib, 8 * mib + 1, QUEUE_VALUE_MAX};
    open_owner(w);
    for (size_t i = 0; i < ARRAY_LEN(sizes) && sizes[i] <= w->engine->value_max; i++) {
        char *value = pattern_of(sizes[i]);
        struct queue_tx *tx = begin(w);
        OK(w, queue_put(tx, QUEUE_TO("t", 0, SPAN_LIT("key")), SPAN_NONE,
                        span_of(value, sizes[i]), &w->err));
        OK(w, queue_table_put(tx, "answers", 0, SPAN_LIT("k"), span_of(value, sizes[i]),
                              &w->err));
        commit(w, tx);
        struct queue_cursor *c = cursor_on(w);
        const struct queue_at at = at_of(w, "t", i);
        assert_int_equal(OK(w, queue_fetch(c, &at, &m, &w->err)), 1);
        assert_span(m.key, SPAN_LIT("key"));
        assert_span(m.value, span_of(value, sizes[i]));
        assert_int_equal(
            OK(w, queue_table_get(c, "answers", 0, SPAN_LIT("k"), &m, &w->err)), 1);
        assert_span(m.value, span_of(value, sizes[i]));
        queue_cursor_close(c);
        free(value);
    }
}

static void two_values_of_the_largest_size_fit_into_the_first_group(void **state)
{
    struct world *w = *state;
    char *value = pattern_of(w->engine->value_max);
    const struct span v = span_of(value, w->engine->value_max);
    open_owner(w);
    struct queue_tx *tx = begin(w);
    assert_false(queue_tx_full(tx, 2 * QUEUE_VALUE_MAX));
    OK(w, queue_put(tx, QUEUE_TO("results.a", 0, SPAN_NONE), SPAN_NONE, v, &w->err));
    OK(w, queue_put(tx, QUEUE_TO("dead.a", 0, SPAN_NONE), SPAN_NONE, v, &w->err));
    put(w, tx, "spend", "small");
    assert_true(queue_tx_full(tx, 1));
    if (!w->engine->broker) { /* whose values are smaller than what a folder takes */
        assert_int_equal(
            queue_put(tx, QUEUE_TO("dead.a", 0, SPAN_NONE), SPAN_NONE, v, &w->err),
            -ERR_FAIL);
    }
    commit(w, tx);
    assert_int_equal(end_of(w, "spend"), 1);
    free(value);
}

/* ---- read again, pass on ---- */

static uint64_t used_bytes(struct world *w)
{
    uint64_t used = 0;
    struct queue_cursor *c = cursor_on(w);
    OK(w, queue_used_bytes(c, &used, &w->err));
    queue_cursor_close(c);
    return used;
}

static void forwarding_stores_a_reference_that_reads_the_same_bytes(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    const size_t sizes[] = {0, 100, 700 * 1024, 3 << 20};
    open_owner(w);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char *value = pattern_of(sizes[i]);
        struct queue_tx *tx = begin(w);
        OK(w, queue_put(tx, QUEUE_TO("jobs.a.b", 0, SPAN_LIT("old key")),
                        SPAN_LIT("\1h\0\1x"), span_of(value, sizes[i]), &w->err));
        commit(w, tx);
        uint64_t before = used_bytes(w);
        const struct queue_at from = at_of(w, "jobs.a.b", i);
        tx = begin(w);
        OK(w, queue_forward(tx, QUEUE_TO("ready", 0, SPAN_LIT("new key")),
                            SPAN_LIT("\1h\0\1y"), &from, &w->err));
        commit(w, tx);
        assert_true(w->engine->broker || used_bytes(w) - before < 200 * 1024);
        const struct queue_at to = at_of(w, "ready", i);
        tx = begin(w); /* what is a reference already may be passed on again */
        OK(w,
           queue_forward(tx, QUEUE_TO("again", 0, SPAN_NONE), SPAN_NONE, &to, &w->err));
        commit(w, tx);
        struct queue_cursor *c = cursor_on(w);
        assert_int_equal(OK(w, queue_fetch(c, &to, &m, &w->err)), 1);
        assert_span(m.key, SPAN_LIT("new key"));
        assert_span(m.headers, SPAN_LIT("\1h\0\1y"));
        assert_span(m.value, span_of(value, sizes[i]));
        const struct queue_at again = at_of(w, "again", i);
        assert_int_equal(OK(w, queue_fetch(c, &again, &m, &w->err)), 1);
        assert_span(m.value, span_of(value, sizes[i]));
        queue_cursor_close(c);
        free(value);
    }
}

static void what_is_gone_cannot_be_passed_on(void **state)
{
    struct world *w = *state;
    open_owner(w);
    put_one(w, "t", "x");
    struct queue_tx *tx = begin(w);
    const struct queue_at missing[] = {at_of(w, "t", 1), at_of(w, "nowhere", 0)};
    for (size_t i = 0; i < ARRAY_LEN(missing); i++) {
        assert_int_equal(queue_forward(tx, QUEUE_TO("ready", 0, SPAN_NONE), SPAN_NONE,
                                       &missing[i], &w->err),
                         -ERR_INPUT);
        assert_has(w->err.msg, "it is gone");
        assert_has(w->err.msg, missing[i].topic);
    }
    queue_tx_drop(tx);
}

static void a_reference_to_a_trimmed_record_names_it(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    open_owner(w);
    put_many(w, "jobs.a.b", 3);
    const struct queue_at from = at_of(w, "jobs.a.b", 1), to = at_of(w, "ready", 0);
    struct queue_tx *tx = begin(w);
    OK(w, queue_forward(tx, QUEUE_TO("ready", 0, SPAN_NONE), SPAN_NONE, &from, &w->err));
    commit(w, tx);
    tx = begin(w);
    OK(w, queue_trim(tx, "jobs.a.b", 0, 2, &w->err));
    commit(w, tx);
    struct queue_cursor *c = cursor_on(w);
    assert_int_equal(queue_fetch(c, &to, &m, &w->err), -ERR_FAIL);
    assert_has(w->err.msg, "'ready'/0/0");
    assert_has(w->err.msg, "'jobs.a.b'/0/1, which was trimmed");
    queue_cursor_close(c);
}

const struct promise write_promises[] = {
    PROMISE(what_is_committed_is_read_in_order),
    PROMISE(nothing_is_visible_before_its_commit),
    PROMISE(a_dropped_transaction_leaves_nothing),
    PROMISE(commit_numbers_grow_and_stand_on_records_and_rows),
    PROMISE(an_empty_commit_succeeds_and_writes_nothing),
    PROMISE(callbacks_come_once_each_in_the_order_of_hand_over),
    PROMISE(closing_waits_for_what_was_handed_over),
    PROMISE_OF_FOLDERS(records_carry_the_time_of_a_simulated_clock,
                       "a broker gives its own time"),
    PROMISE(a_full_transaction_refuses_more_and_still_commits),
    PROMISE(bytes_and_acks_of_a_transaction_are_bounded_too),
    PROMISE(what_cannot_be_stored_is_refused_before_anything_is),
    PROMISE(values_of_every_size_come_back_as_they_were),
    PROMISE(two_values_of_the_largest_size_fit_into_the_first_group),
    PROMISE(forwarding_stores_a_reference_that_reads_the_same_bytes),
    PROMISE(what_is_gone_cannot_be_passed_on),
    PROMISE_OF_FOLDERS(a_reference_to_a_trimmed_record_names_it,
                       "to a broker a record is passed on whole"),
    {0},
};
