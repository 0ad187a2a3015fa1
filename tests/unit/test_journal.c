/* The journal of batches: a restart reads what was committed, all of it or nothing. */
#include "tests/unit/night.h"

#include "worker/journal.h"
#include <stdio.h>
#include <stdlib.h>

static const char *const id = "01KAJ8Z3X00000000000000000";

/* A batch of `n` members whose offsets are 10, 11, ... */
static struct batch *given_batch(const char *name, uint32_t n)
{
    struct batch *b;
    struct err err;
    assert_int_equal(batch_create(&b, n, &err), 0);
    snprintf(b->id, sizeof(b->id), "%s", name);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(batch_add(b, NULL, 10 + i, &err), 0);
    }
    return b;
}

static void when_committed(struct night *n, struct queue_tx *tx)
{
    struct err err;
    uint64_t commit;
    if (queue_commit_wait(tx, &commit, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    (void)n;
}

static struct queue_tx *transaction(struct night *n)
{
    struct queue_tx *tx;
    assert_int_equal(queue_begin(n->queue, &tx), 0);
    return tx;
}

static void given_entry(struct night *n, const struct batch *b, enum batch_state s)
{
    struct err err;
    struct queue_tx *tx = transaction(n);
    assert_int_equal(journal_put(tx, b, s, &err), 0);
    assert_int_equal(journal_put_members(tx, b, &err), 0);
    when_committed(n, tx);
}

/* What journal_read handed over. */
struct found {
    char ids[8][BATCH_ID_BYTES];
    enum batch_state state[8];
    uint32_t members[8];
    uint64_t first[8], last[8];
    int n;
    struct err err;
};

static int on_entry(void *ctx, const struct journal_entry *e, struct err *err)
{
    struct found *f = ctx;
    struct batch *b;
    uint32_t requests;
    assert_in_range(f->n, 0, 7);
    assert_int_equal(batch_create(&b, 1, err), 0);
    int rc = journal_decode(e->row, b, &f->state[f->n], &requests, err);
    if (rc >= 0) {
        assert_int_equal(requests, e->n);
        memcpy(f->ids[f->n], b->id, sizeof(b->id));
        f->members[f->n] = e->n;
        f->first[f->n] = e->at[0];
        f->last[f->n] = e->at[e->n - 1];
        f->n++;
    }
    batch_destroy(b);
    return rc;
}

static int read_all(struct night *n, struct found *f)
{
    *f = (struct found){.n = 0};
    return journal_read_owned(n->queue, on_entry, f, &f->err);
}

static void test_every_field_of_a_row_comes_back(void **state)
{
    (void)state;
    struct err err;
    struct batch *b = given_batch(id, 3), *back;
    snprintf(b->account, sizeof(b->account), "a1b2c3d4e5f6");
    snprintf(b->origin, sizeof(b->origin), "https://api.openai.com");
    snprintf(b->path, sizeof(b->path), "/v1/chat/completions");
    snprintf(b->model, sizeof(b->model), "gpt-test");
    snprintf(b->file, sizeof(b->file), "file-1");
    snprintf(b->remote, sizeof(b->remote), "batch_1");
    snprintf(b->output, sizeof(b->output), "file-o");
    snprintf(b->error, sizeof(b->error), "file-e");
    snprintf(b->why, sizeof(b->why), "because \"it\" said so");
    b->go = 4;
    b->failures = 2;
    b->overflows = 7;
    b->created_ms = NIGHT_START_MS;
    b->file_created_s = 1795224001;
    b->due_wall_ms = NIGHT_START_MS + 5;
    b->deleting = b->refetched = b->in_doubt = b->counted = true;
    b->executed = 99;
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, JOURNAL_ROW_MAX);
    assert_int_equal(journal_encode(b, BATCH_POLLING, &json), 0);

    enum batch_state s;
    uint32_t requests;
    assert_int_equal(batch_create(&back, 3, &err), 0);
    assert_int_equal(journal_decode(buf_span(&json), back, &s, &requests, &err), 0);
    assert_int_equal(s, BATCH_POLLING);
    assert_int_equal(requests, 3);
    assert_int_equal(back->state, BATCH_OPEN); /* until its members are there */
    assert_string_equal(back->id, b->id);
    assert_string_equal(back->account, b->account);
    assert_string_equal(back->origin, b->origin);
    assert_string_equal(back->path, b->path);
    assert_string_equal(back->model, b->model);
    assert_string_equal(back->file, b->file);
    assert_string_equal(back->remote, b->remote);
    assert_string_equal(back->output, b->output);
    assert_string_equal(back->error, b->error);
    assert_string_equal(back->why, b->why);
    assert_int_equal(back->go, 4);
    assert_int_equal(back->failures, 2);
    assert_int_equal(back->overflows, 7);
    assert_int_equal(back->created_ms, NIGHT_START_MS);
    assert_int_equal(back->file_created_s, 1795224001);
    assert_int_equal(back->due_wall_ms, NIGHT_START_MS + 5);
    assert_true(back->deleting && back->refetched && back->in_doubt && back->counted);
    assert_int_equal(back->executed, 99);
    batch_destroy(back);
    batch_destroy(b);
}

static void test_members_come_back_in_the_order_of_their_lines(void **state)
{
    static const uint32_t sizes[] = {1, 999, 1000, 1001, 2500};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct found f;
        struct err err;
        struct batch *b = given_batch(id, sizes[i]);
        given_entry(*state, b, BATCH_JOURNALED);
        assert_int_equal(read_all(*state, &f), 0);
        assert_int_equal(f.n, 1);
        assert_int_equal(f.members[0], sizes[i]);
        assert_int_equal(f.first[0], 10);
        assert_int_equal(f.last[0], 9 + sizes[i]);

        struct queue_tx *tx = transaction(*state);
        assert_int_equal(journal_delete(tx, b, &err), 0);
        when_committed(*state, tx);
        assert_int_equal(read_all(*state, &f), 0);
        assert_int_equal(f.n, 0);
        batch_destroy(b);
    }
}

static void test_batches_are_read_in_the_order_of_time_each_with_its_own_members(
    void **state)
{
    struct found f;
    static const char *const names[] = {"01KAJ8Z3X2AAAAAAAAAAAAAAAA",
                                        "01KAJ8Z3X0AAAAAAAAAAAAAAAA",
                                        "01KAJ8Z3X1AAAAAAAAAAAAAAAA"};
    for (uint32_t i = 0; i < 3; i++) {
        struct batch *b = given_batch(names[i], 1 + i);
        given_entry(*state, b, BATCH_UPLOADED);
        batch_destroy(b);
    }
    assert_int_equal(read_all(*state, &f), 0);
    assert_int_equal(f.n, 3);
    assert_string_equal(f.ids[0], names[1]);
    assert_string_equal(f.ids[2], names[0]);
    assert_int_equal(f.members[0], 2);
    assert_int_equal(f.members[1], 3);
    assert_int_equal(f.members[2], 1);
}

static void test_a_later_state_replaces_the_row_and_keeps_the_members(void **state)
{
    struct found f;
    struct err err;
    struct batch *b = given_batch(id, 1200);
    given_entry(*state, b, BATCH_JOURNALED);
    struct queue_tx *tx = transaction(*state);
    assert_int_equal(journal_put(tx, b, BATCH_FETCHED, &err), 0);
    when_committed(*state, tx);
    assert_int_equal(read_all(*state, &f), 0);
    assert_int_equal(f.n, 1);
    assert_int_equal(f.state[0], BATCH_FETCHED);
    assert_int_equal(f.members[0], 1200);
    batch_destroy(b);
}

static void given_row(struct night *n, const char *key, const char *value)
{
    struct err err;
    struct queue_tx *tx = transaction(n);
    assert_int_equal(
        queue_table_put(tx, TABLE_BATCHES, 0, span_str(key), span_str(value), &err), 0);
    when_committed(n, tx);
}

static void test_a_journal_that_cannot_be_read_stops_the_worker(void **state)
{
    static const struct {
        const char *key, *value;
    } rows[] = {
        {"01KAJ8Z3X00000000000000000/m/000", "[1,2]"}, /* members of nobody */
        {"short", "{}"},
        {"01KAJ8Z3X00000000000000000", "{\"state\":\"lost\"}"},
        {"01KAJ8Z3X00000000000000000", "{\"state\":\"sealed\"}"}, /* never written */
        {"01KAJ8Z3X00000000000000000", "no json"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct found f;
        struct err err;
        given_row(*state, rows[i].key, rows[i].value);
        if (strlen(rows[i].key) == 26) {
            given_row(*state, "01KAJ8Z3X00000000000000000/m/000", "[1]");
        }
        assert_int_equal(read_all(*state, &f), -ERR_VERSION);
        struct queue_tx *tx = transaction(*state);
        assert_int_equal(
            queue_table_put(tx, TABLE_BATCHES, 0, span_str(rows[i].key), SPAN_NONE, &err),
            0);
        assert_int_equal(queue_table_put(tx, TABLE_BATCHES, 0,
                                         SPAN_LIT("01KAJ8Z3X00000000000000000/m/000"),
                                         SPAN_NONE, &err),
                         0);
        when_committed(*state, tx);
    }
    given_row(*state, "01KAJ8Z3X00000000000000000", "{\"state\":\"journaled\"}");
    static const char *const members[] = {"", "[", "[]", "[1,]", "[1,x]", "1,2", "[-1]"};
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        struct found f;
        given_row(*state, "01KAJ8Z3X00000000000000000/m/000", members[i]);
        if (read_all(*state, &f) >= 0) {
            fail_msg("accepted members '%s'", members[i]);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, night_falls, night_ends)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_of_a_row_comes_back),
        TEST(test_members_come_back_in_the_order_of_their_lines),
        TEST(test_batches_are_read_in_the_order_of_time_each_with_its_own_members),
        TEST(test_a_later_state_replaces_the_row_and_keeps_the_members),
        TEST(test_a_journal_that_cannot_be_read_stops_the_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
