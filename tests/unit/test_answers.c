/* Stored answers: what a row holds, which count, which go first. */
#include "tests/unit/night.h"

#include "worker/answers.h"
#include "worker/evict.h"
#include <string.h>

static struct stored_answer sample(void)
{
    return (struct stored_answer){
        .stored_ms = 1000,
        .expires_ms = 5000,
        .run = "tags/monday",
        .model = "gpt-test",
        .model_used = "gpt-test-2026-01-01",
        .request_id = "req_\"9\"",
        .prices = "2026-11-01#aabbccdd",
        .usage_known = true,
        .usage = {.input = 100,
                  .cache_read = 40,
                  .cache_write = 3,
                  .output = 10,
                  .reasoning = 2},
        .body = SPAN_LIT("{\"v\":2,\"body\":{\"run\":\"x\"}}"),
    };
}

static void put_row(struct night *n, const struct digest *key, struct span value)
{
    struct err err = {0};
    struct queue_tx *tx = NULL;
    uint64_t commit;
    assert_int_equal(queue_begin(n->queue, &tx), 0);
    assert_int_equal(queue_table_put(tx, TABLE_ANSWERS, 0,
                                     span_of(key->b, sizeof(key->b)), value, &err),
                     0);
    assert_true(queue_commit_wait(tx, &commit, &err) >= 0);
}

static void store(struct night *n, const struct digest *key,
                  const struct stored_answer *a)
{
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, 100000);
    assert_int_equal(answer_encode(a, &json), 0);
    put_row(n, key, buf_span(&json));
}

static void test_a_row_reads_back_as_it_was_written(void **state)
{
    (void)state;
    struct stored_answer a = sample(), b;
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, 100000);
    assert_int_equal(answer_encode(&a, &json), 0);
    assert_int_equal(answer_decode(buf_span(&json), &b), 0);
    assert_true(span_eq(a.body, b.body));
    assert_int_equal(b.stored_ms, 1000);
    assert_int_equal(b.expires_ms, 5000);
    assert_string_equal(b.run, a.run);
    assert_string_equal(b.model, a.model);
    assert_string_equal(b.model_used, a.model_used);
    assert_string_equal(b.request_id, a.request_id);
    assert_string_equal(b.prices, a.prices);
    assert_true(b.usage_known);
    assert_memory_equal(&a.usage, &b.usage, sizeof(a.usage));
}

static void test_unknown_usage_stays_unknown_and_is_not_zero(void **state)
{
    (void)state;
    struct stored_answer a = sample(), b;
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, 100000);
    a.usage_known = false;
    assert_int_equal(answer_encode(&a, &json), 0);
    assert_has(json.p, "\"usage\":null");
    assert_int_equal(answer_decode(buf_span(&json), &b), 0);
    assert_false(b.usage_known);
}

static void test_a_row_of_another_version_is_no_answer(void **state)
{
    struct night *n = *state;
    const char *const rows[] = {
        "{\"v\":2,\"stored_ms\":1,\"expires_ms\":9,\"usage\":null,\"body\":{}}",
        "{\"stored_ms\":1,\"expires_ms\":9,\"usage\":null,\"body\":{}}",
        "{\"v\":1,\"expires_ms\":9,\"usage\":null,\"body\":{}}",
        "{\"v\":1,\"stored_ms\":1,\"expires_ms\":9,\"usage\":null}",
        "{\"v\":1,\"stored_ms\":-1,\"expires_ms\":9,\"usage\":null,\"body\":{}}",
        "[]",
    };
    struct digest key = hash_of(SPAN_LIT("lamp"));
    struct answer_want any = {.now_ms = INT64_MIN, .fresh_ms = INT64_MIN};
    struct stored_answer a;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        put_row(n, &key, span_str(rows[i]));
        assert_int_equal(answer_get(n->cursor, 0, &key, &any, &a, NULL), 0);
    }
    put_row(n, &key,
            SPAN_LIT(
                "{\"v\":1,\"stored_ms\":1,\"expires_ms\":9,\"usage\":null,\"body\":{}}"));
    assert_int_equal(answer_get(n->cursor, 0, &key, &any, &a, NULL), 1);
}

static void test_an_answer_counts_until_its_time_is_over(void **state)
{
    struct night *n = *state;
    struct digest key = hash_of(SPAN_LIT("lamp")), other = hash_of(SPAN_LIT("vase"));
    struct stored_answer a = sample(), got;
    store(n, &key, &a);
    struct answer_want want = {.now_ms = 4999, .fresh_ms = INT64_MIN};
    assert_int_equal(answer_get(n->cursor, 0, &key, &want, &got, NULL), 1);
    assert_true(span_eq(got.body, a.body));
    assert_int_equal(answer_get(n->cursor, 0, &other, &want, &got, NULL), 0);
    want.now_ms = 5000;
    assert_int_equal(answer_get(n->cursor, 0, &key, &want, &got, NULL), 0);
}

static void test_a_fresh_run_sees_only_answers_stored_since_it_began(void **state)
{
    struct night *n = *state;
    struct digest key = hash_of(SPAN_LIT("lamp"));
    struct stored_answer a = sample(), got;
    store(n, &key, &a);
    struct answer_want want = {.now_ms = 2000, .fresh_ms = 1000};
    assert_int_equal(answer_get(n->cursor, 0, &key, &want, &got, NULL), 1);
    want.fresh_ms = 1001;
    assert_int_equal(answer_get(n->cursor, 0, &key, &want, &got, NULL), 0);
}

/* ---- which go first ---- */

static void test_nothing_goes_while_the_answers_fit(void **state)
{
    (void)state;
    struct evict e;
    evict_begin(&e, 0, 1000);
    evict_add(&e, 10, 400);
    evict_add(&e, 900, 600);
    assert_int_equal(evict_before(&e, 1000), INT64_MIN);
    assert_int_not_equal(evict_before(&e, 999), INT64_MIN);
}

/* A hundred answers of 10 bytes, one a millisecond; what is left after one cut. */
static uint64_t left_after_cut(int64_t from_ms, int64_t to_ms, uint64_t max_bytes)
{
    struct evict e;
    uint64_t left = 0;
    evict_begin(&e, from_ms, to_ms);
    for (int64_t ms = 1000; ms < 1100; ms++) {
        evict_add(&e, ms, 10);
    }
    for (int64_t ms = 1000, before = evict_before(&e, max_bytes); ms < 1100; ms++) {
        left += ms < before ? 0 : 10;
    }
    return left;
}

static void test_the_oldest_go_until_nine_tenths_of_the_bound_are_left(void **state)
{
    (void)state;
    assert_in_range(left_after_cut(1000, 1100, 500), 400, 460);
    assert_in_range(left_after_cut(1000, 1100, 100), 60, 100);
    assert_int_equal(left_after_cut(1000, 1100, 0), 0);
}

static void test_the_cut_holds_in_a_range_that_is_far_too_wide(void **state)
{
    (void)state;
    assert_in_range(left_after_cut(0, (int64_t)30 * 86400000, 500), 0, 500);
}

static void test_answers_outside_the_range_are_counted_and_can_go(void **state)
{
    (void)state;
    assert_in_range(left_after_cut(2000, 3000, 500), 0, 500);
    assert_in_range(left_after_cut(0, 500, 500), 0, 500);
}

static void test_the_bound_holds_even_when_all_are_of_one_millisecond(void **state)
{
    (void)state;
    struct evict e;
    evict_begin(&e, 1000, 1000);
    for (int i = 0; i < 10; i++) {
        evict_add(&e, 1000, 100);
    }
    assert_true(evict_before(&e, 500) > 1000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, night_falls, night_ends)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_row_reads_back_as_it_was_written),
        cmocka_unit_test(test_unknown_usage_stays_unknown_and_is_not_zero),
        TEST(test_a_row_of_another_version_is_no_answer),
        TEST(test_an_answer_counts_until_its_time_is_over),
        TEST(test_a_fresh_run_sees_only_answers_stored_since_it_began),
        cmocka_unit_test(test_nothing_goes_while_the_answers_fit),
        cmocka_unit_test(test_the_oldest_go_until_nine_tenths_of_the_bound_are_left),
        cmocka_unit_test(test_the_cut_holds_in_a_range_that_is_far_too_wide),
        cmocka_unit_test(test_answers_outside_the_range_are_counted_and_can_go),
        cmocka_unit_test(test_the_bound_holds_even_when_all_are_of_one_millisecond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
