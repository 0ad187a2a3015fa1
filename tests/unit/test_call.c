/* The calls in flight and the jobs that wait for each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "worker/call.h"
#include <stdio.h>

static int given_a_table(void **state)
{
    struct call_table *t = NULL;
    if (call_table_create(&t, NULL) < 0) {
        return -1;
    }
    *state = t;
    return 0;
}

static int table_goes(void **state)
{
    call_table_destroy(*state);
    return 0;
}

static struct release asking(const char *question)
{
    struct release r = {
        .reusable = true, .body_len = 300, .input_bound = 40, .chain_len = 1};
    r.key = hash_of(span_str(question));
    r.chain[0] = (struct prompt_link){.hash = hash_u64(r.key), .bytes = 120};
    (void)snprintf(r.path, sizeof(r.path), "/v1/chat/completions");
    (void)snprintf(r.model, sizeof(r.model), "gpt-test");
    return r;
}

static void test_a_call_carries_what_the_plan_needs(void **state)
{
    struct call_table *t = *state;
    struct release r = asking("lamp");
    struct call *c = call_new(t, &r, 7);
    assert_non_null(c);
    assert_int_equal(c->state, CALL_PLANNED);
    assert_int_equal(c->jobs->at, 7);
    assert_int_equal(c->jobs_len, 1);
    assert_int_equal(c->body_bytes, 300);
    assert_int_equal(c->prompt_bytes, 120);
    assert_int_equal(c->tokens_bound, 40);
    assert_int_equal(c->chain[0], r.chain[0].hash);
    assert_string_equal(call_stream_path(t, c->stream), "/v1/chat/completions");
    assert_string_equal(call_stream_model(t, c->stream), "gpt-test");
}

static void test_equal_questions_share_one_call_and_the_first_leads(void **state)
{
    struct call_table *t = *state;
    struct release r = asking("lamp");
    struct call *c = call_new(t, &r, 1);
    assert_ptr_equal(call_find(t, &r.key), c);
    call_join(t, c, 5);
    call_join(t, c, 9);
    assert_int_equal(call_count(t), 1);
    assert_int_equal(call_job_count(t), 3);
    const uint64_t order[] = {1, 5, 9};
    for (int i = 0; i < 3; i++) {
        struct job *j = call_pop_job(t, c);
        assert_int_equal(j->at, order[i]);
        call_job_free(t, j);
    }
    assert_null(call_pop_job(t, c));
    call_join(t, c, 11); /* a list that ran empty takes jobs again */
    assert_int_equal(c->jobs->at, 11);
    call_free(t, c);
    assert_int_equal(call_count(t), 0);
    assert_int_equal(call_job_count(t), 0);
}

static void test_another_question_is_not_found(void **state)
{
    struct call_table *t = *state;
    struct release lamp = asking("lamp"), vase = asking("vase");
    call_new(t, &lamp, 1);
    assert_null(call_find(t, &vase.key));
}

static void test_a_job_that_may_not_be_reused_cannot_be_joined(void **state)
{
    struct call_table *t = *state;
    struct release r = asking("lamp");
    r.reusable = false;
    call_new(t, &r, 1);
    assert_null(call_find(t, &r.key));
}

static void test_of_freed_joiners_the_first_call_is_found_and_none_is_lost(void **state)
{
    struct call_table *t = *state;
    struct release r = asking("lamp");
    struct call *first = call_new(t, &r, 1), *second = call_new(t, &r, 2);
    assert_int_equal(call_count(t), 2);
    assert_ptr_equal(call_find(t, &r.key), first);
    call_free(t, second);
    assert_ptr_equal(call_find(t, &r.key), first);
    call_free(t, first);
    assert_null(call_find(t, &r.key));
    assert_int_equal(call_count(t), 0);
}

static void test_a_job_is_known_as_long_as_it_is_in_a_call(void **state)
{
    struct call_table *t = *state;
    struct release r = asking("lamp");
    assert_false(call_has_job(t, 0));
    struct call *c = call_new(t, &r, 0);
    call_join(t, c, 3);
    assert_true(call_has_job(t, 0));
    assert_true(call_has_job(t, 3));
    assert_false(call_has_job(t, 1));
    call_job_free(t, call_pop_job(t, c));
    assert_false(call_has_job(t, 0));
    assert_true(call_has_job(t, 3));
    call_free(t, c);
    assert_false(call_has_job(t, 3));
}

static void test_fifty_thousand_calls_come_and_go(void **state)
{
    struct call_table *t = *state;
    enum { CALLS = 50000 };
    char question[32];
    for (uint64_t i = 0; i < CALLS; i++) {
        (void)snprintf(question, sizeof(question), "q%llu", (unsigned long long)i);
        struct release r = asking(question);
        assert_non_null(call_new(t, &r, i * 3));
    }
    for (uint64_t i = 0; i < CALLS; i += 2) { /* every other one goes */
        (void)snprintf(question, sizeof(question), "q%llu", (unsigned long long)i);
        struct release r = asking(question);
        call_free(t, call_find(t, &r.key));
    }
    assert_int_equal(call_count(t), CALLS / 2);
    for (uint64_t i = 0; i < CALLS; i++) {
        assert_int_equal(call_has_job(t, i * 3), i % 2);
        (void)snprintf(question, sizeof(question), "q%llu", (unsigned long long)i);
        struct release r = asking(question);
        assert_int_equal(call_find(t, &r.key) != NULL, i % 2);
    }
}

static int stream_of(struct call_table *t, uint32_t partition, const char *path,
                     const char *model, uint16_t *ret)
{
    struct release r = {.verdict = VERDICT_RUN};
    (void)snprintf(r.path, sizeof(r.path), "%s", path);
    (void)snprintf(r.model, sizeof(r.model), "%s", model);
    return call_stream(t, place_of(partition, 7), &r, ret);
}

static void test_a_stream_is_one_partition_one_path_and_one_model(void **state)
{
    struct call_table *t = *state;
    uint16_t a, b, c, d, again;
    assert_int_equal(stream_of(t, 0, "/v1/chat/completions", "m", &a), 0);
    assert_int_equal(stream_of(t, 0, "/v1/chat/completions", "n", &b), 0);
    assert_int_equal(stream_of(t, 0, "/v1/responses", "m", &c), 0);
    assert_int_equal(stream_of(t, 3, "/v1/chat/completions", "m", &d), 0);
    assert_int_equal(stream_of(t, 0, "/v1/chat/completions", "m", &again), 0);
    assert_int_equal(a, again);
    assert_true(a != b && b != c && a != c && a != d);
    assert_int_equal(call_stream_partition(t, a), 0);
    assert_int_equal(call_stream_partition(t, d), 3);
}

static void test_the_thousand_and_twenty_fifth_stream_of_a_partition_is_refused(
    void **state)
{
    struct call_table *t = *state;
    uint16_t stream;
    char model[32];
    for (int i = 0; i < 1024; i++) {
        (void)snprintf(model, sizeof(model), "m%d", i);
        assert_int_equal(stream_of(t, 1, "/v1/x", model, &stream), 0);
    }
    assert_int_equal(stream_of(t, 1, "/v1/x", "one more", &stream), -1);
    assert_int_equal(stream_of(t, 1, "/v1/x", "m1023", &stream), 0);
    assert_int_equal(stream_of(t, 2, "/v1/x", "one more", &stream), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, given_a_table, table_goes)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_call_carries_what_the_plan_needs),
        TEST(test_equal_questions_share_one_call_and_the_first_leads),
        TEST(test_another_question_is_not_found),
        TEST(test_a_job_that_may_not_be_reused_cannot_be_joined),
        TEST(test_of_freed_joiners_the_first_call_is_found_and_none_is_lost),
        TEST(test_a_job_is_known_as_long_as_it_is_in_a_call),
        TEST(test_fifty_thousand_calls_come_and_go),
        TEST(test_a_stream_is_one_partition_one_path_and_one_model),
        TEST(test_the_thousand_and_twenty_fifth_stream_of_a_partition_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
