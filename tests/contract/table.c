/* Promises about tables: rows by key, in order of their keys, replaced and deleted. */
#include "tests/contract/contract.h"

static void put_row(struct world *w, const char *table, struct span key,
                    struct span value)
{
    struct queue_tx *tx = begin(w);
    OK(w, queue_table_put(tx, table, 0, key, value, &w->err));
    commit(w, tx);
}

static void expect_row(struct world *w, const char *table, struct span key,
                       const char *want)
{
    struct queue_msg m;
    struct queue_cursor *c = cursor_on(w);
    int found = OK(w, queue_table_get(c, table, 0, key, &m, &w->err));
    assert_int_equal(found, want != NULL);
    if (want) {
        assert_span(m.key, key);
        assert_span(m.value, span_str(want));
        assert_string_equal(m.at.topic, table);
        assert_int_equal(m.at.offset, 0);
    }
    queue_cursor_close(c);
}

static void rows_are_put_replaced_and_deleted(void **state)
{
    struct world *w = *state;
    open_owner(w);
    expect_row(w, "budgets", SPAN_LIT("search"), NULL);
    put_row(w, "budgets", SPAN_LIT("search"), SPAN_LIT("100"));
    put_row(w, "budgets", SPAN_LIT("mail"), SPAN_LIT(""));
    expect_row(w, "budgets", SPAN_LIT("search"), "100");
    expect_row(w, "budgets", SPAN_LIT("mail"), ""); /* empty is not absent */
    put_row(w, "budgets", SPAN_LIT("search"), SPAN_LIT("20"));
    reopen_owner(w);
    expect_row(w, "budgets", SPAN_LIT("search"), "20");
    put_row(w, "budgets", SPAN_LIT("search"), SPAN_NONE);
    put_row(w, "budgets", SPAN_LIT("never was"), SPAN_NONE);
    expect_row(w, "budgets", SPAN_LIT("search"), NULL);
    expect_row(w, "budgets", SPAN_LIT("mail"), "");
}

static void the_last_change_of_a_row_within_a_commit_counts(void **state)
{
    struct world *w = *state;
    open_owner(w);
    struct queue_tx *tx = begin(w);
    OK(w, queue_table_put(tx, "open", 0, SPAN_LIT("a"), SPAN_LIT("1"), &w->err));
    OK(w, queue_table_put(tx, "open", 0, SPAN_LIT("a"), SPAN_LIT("2"), &w->err));
    OK(w, queue_table_put(tx, "open", 0, SPAN_LIT("b"), SPAN_LIT("1"), &w->err));
    OK(w, queue_table_put(tx, "open", 0, SPAN_LIT("b"), SPAN_NONE, &w->err));
    OK(w, queue_table_put(tx, "open", 0, SPAN_LIT("c"), SPAN_NONE, &w->err));
    OK(w, queue_table_put(tx, "open", 0, SPAN_LIT("c"), SPAN_LIT("3"), &w->err));
    commit(w, tx);
    expect_row(w, "open", SPAN_LIT("a"), "2");
    expect_row(w, "open", SPAN_LIT("b"), NULL);
    expect_row(w, "open", SPAN_LIT("c"), "3");
}

static void rows_are_read_in_the_order_of_their_keys_from_any_key_on(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    const struct span keys[] = {SPAN_LIT("\0"),      SPAN_LIT("\0\0"), SPAN_LIT("a"),
                                SPAN_LIT("a\0"),     SPAN_LIT("ab"),   SPAN_LIT("b"),
                                SPAN_LIT("\377\377")};
    open_owner(w);
    for (size_t i = ARRAY_LEN(keys); i-- > 0;) {
        put_row(w, "open", keys[i], SPAN_LIT("x"));
    }
    put_row(w, "marks", SPAN_LIT("a"),
            SPAN_LIT("another table")); /* before and after it */
    put_row(w, "runs.u", SPAN_LIT("a"), SPAN_LIT("another table"));
    struct queue_cursor *c = cursor_on(w);
    for (size_t from = 0; from <= ARRAY_LEN(keys); from++) {
        size_t i = from ? from - 1 : 0;
        OK(w, queue_read_table(c, "open", 0, from ? keys[from - 1] : SPAN_NONE));
        for (; i < ARRAY_LEN(keys); i++) {
            assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 1);
            assert_span(m.key, keys[i]);
        }
        assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 0);
    }
    OK(w, queue_read_table(c, "open", 0, SPAN_LIT("aa"))); /* a key that is not there */
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 1);
    assert_span(m.key, SPAN_LIT("ab"));
    queue_cursor_close(c);
}

static void a_walk_goes_on_when_rows_change_under_it(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    open_owner(w);
    put_row(w, "open", SPAN_LIT("a"), SPAN_LIT("1"));
    put_row(w, "open", SPAN_LIT("c"), SPAN_LIT("1"));
    put_row(w, "open", SPAN_LIT("d"), SPAN_LIT("1"));
    struct queue_cursor *c = cursor_on(w);
    OK(w, queue_read_table(c, "open", 0, SPAN_NONE));
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 1);
    put_row(w, "open", SPAN_LIT("a"), SPAN_NONE); /* where it stands */
    put_row(w, "open", SPAN_LIT("b"), SPAN_LIT("1"));
    put_row(w, "open", SPAN_LIT("c"), SPAN_NONE);
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 1);
    assert_span(m.key, SPAN_LIT("b"));
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 1);
    assert_span(m.key, SPAN_LIT("d"));
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 0);
    queue_cursor_close(c);
}

static void the_longest_key_and_its_large_value_come_back(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    char key[QUEUE_KEY_MAX];
    static char value[(3 << 20) + 1];
    uint64_t full = 0, used = 0;
    memset(key, 0xff, sizeof(key));
    memset(value, 'v', sizeof(value));
    open_owner(w);
    put_row(w, "answers", span_of(key, sizeof(key)), span_of(value, sizeof(value)));
    put_row(w, "answers", span_of(key, sizeof(key) - 1),
            span_of(value, sizeof(value) - 1));
    struct queue_cursor *c = cursor_on(w);
    OK(w, queue_read_table(c, "answers", 0, SPAN_NONE));
    for (size_t less = 2; less-- > 0;) { /* the shorter key comes first */
        assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 1);
        assert_span(m.key, span_of(key, sizeof(key) - less));
        assert_span(m.value, span_of(value, sizeof(value) - less));
    }
    OK(w, queue_used_bytes(c, &full, &w->err));
    put_row(w, "answers", span_of(key, sizeof(key)),
            SPAN_LIT("small")); /* its parts go */
    put_row(w, "answers", span_of(key, sizeof(key) - 1), SPAN_NONE);
    OK(w, queue_used_bytes(c, &used, &w->err));
    assert_true(full - used > sizeof(value));
    assert_int_equal(
        OK(w, queue_table_get(c, "answers", 0, span_of(key, sizeof(key)), &m, &w->err)),
        1);
    assert_span(m.value, SPAN_LIT("small"));
    queue_cursor_close(c);
}

static void topics_and_tables_are_listed_by_prefix(void **state)
{
    struct world *w = *state;
    const char *const want[] = {"results.a", "results.b", "results.b.c"};
    char name[QUEUE_NAME_MAX];
    open_owner(w);
    struct queue_cursor *c = cursor_on(w);
    assert_int_equal(OK(w, queue_topics(c, "", "", name, &w->err)), 0);
    put_one(w, "results.b.c", "x");
    put_one(w, "results.a", "x");
    put_one(w, "ready", "x");
    put_one(w, "results.b", "x");
    put_one(w, "spend", "x");
    put_row(w, "runs.a", SPAN_LIT("k"), SPAN_LIT("v"));
    const char *after = "";
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_int_equal(OK(w, queue_topics(c, "results.", after, name, &w->err)), 1);
        assert_string_equal(name, want[i]);
        after = want[i];
    }
    assert_int_equal(OK(w, queue_topics(c, "results.", after, name, &w->err)), 0);
    assert_int_equal(OK(w, queue_topics(c, "", "ready", name, &w->err)), 1);
    assert_string_equal(name, "results.a");
    assert_int_equal(OK(w, queue_tables(c, "runs.", "", name, &w->err)), 1);
    assert_string_equal(name, "runs.a");
    assert_int_equal(OK(w, queue_tables(c, "", name, name, &w->err)), 0);
    assert_int_equal(OK(w, queue_topics(c, "runs.", "", name, &w->err)), 0);
    queue_cursor_close(c);
}

static void a_topic_and_a_table_may_have_one_name(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    open_owner(w);
    put_one(w, "acks", "a record");
    put_row(w, "acks", SPAN_LIT("k"), SPAN_LIT("a row"));
    ack_one(w, "acks", 0);
    expect_row(w, "acks", SPAN_LIT("k"), "a row");
    struct queue_cursor *c = cursor_on(w);
    OK(w, queue_read_table(c, "acks", 0, SPAN_NONE));
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 1);
    assert_span(m.value, SPAN_LIT("a row"));
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 0);
    queue_cursor_close(c);
}

static void rows_of_two_partitions_are_apart(void **state)
{
    struct world *w = *state;
    struct queue_msg m;
    open_owner(w);
    for (uint32_t p = 0; p < 12; p += 11) {
        char value[16];
        snprintf(value, sizeof(value), "of %u", p);
        struct queue_tx *tx = begin(w);
        OK(w, queue_table_put(tx, "answers", p, SPAN_LIT("k"), span_str(value), &w->err));
        commit(w, tx);
    }
    reopen_owner(w);
    struct queue_cursor *c = cursor_on(w);
    expect_row(w, "answers", SPAN_LIT("k"), "of 0");
    assert_int_equal(OK(w, queue_table_get(c, "answers", 11, SPAN_LIT("k"), &m, &w->err)),
                     1);
    assert_span(m.value, SPAN_LIT("of 11"));
    assert_int_equal(m.at.partition, 11);
    assert_int_equal(OK(w, queue_table_get(c, "answers", 5, SPAN_LIT("k"), &m, &w->err)),
                     0);
    OK(w, queue_read_table(c, "answers", 11, SPAN_NONE));
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 1);
    assert_span(m.value, SPAN_LIT("of 11"));
    assert_int_equal(OK(w, queue_read(c, &m, &w->err)), 0);
    queue_cursor_close(c);
}

/* "a-b" and "a.b" sort on both sides of what a partition's name might be made of. */
static void a_name_is_listed_once_whatever_its_partitions(void **state)
{
    struct world *w = *state;
    const char *const want[] = {"jobs.a", "jobs.a-b", "jobs.a.b", "jobs.ab"};
    char name[QUEUE_NAME_MAX] = "";
    open_owner(w);
    struct queue_tx *tx = begin(w);
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        for (uint32_t p = 1; p < 3; p++) {
            OK(w, queue_put(tx, QUEUE_TO(want[i], p, SPAN_NONE), SPAN_NONE, SPAN_LIT("x"),
                            &w->err));
        }
    }
    commit(w, tx);
    struct queue_cursor *c = cursor_on(w);
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_int_equal(OK(w, queue_topics(c, "jobs.", name, name, &w->err)), 1);
        assert_string_equal(name, want[i]);
    }
    assert_int_equal(OK(w, queue_topics(c, "jobs.", name, name, &w->err)), 0);
    queue_cursor_close(c);
}

const struct promise table_promises[] = {
    PROMISE(rows_are_put_replaced_and_deleted),
    PROMISE(the_last_change_of_a_row_within_a_commit_counts),
    PROMISE(rows_are_read_in_the_order_of_their_keys_from_any_key_on),
    PROMISE(a_walk_goes_on_when_rows_change_under_it),
    PROMISE(the_longest_key_and_its_large_value_come_back),
    PROMISE(topics_and_tables_are_listed_by_prefix),
    PROMISE_OF_FOLDERS(a_topic_and_a_table_may_have_one_name,
                       "on a broker a table is a topic"),
    PROMISE(rows_of_two_partitions_are_apart),
    PROMISE(a_name_is_listed_once_whatever_its_partitions),
    {0},
};
