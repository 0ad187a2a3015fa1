/* How a job ends, decided before anything is written: status, words and money of each end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/night.h"

#include "core/prices.h"
#include "core/queue.h"
#include "worker/outcome.h"

#include <stdio.h>
#include <stdlib.h>

#define COST     60000000   /* pico-dollars of 100 + 10 tokens in a batch: 0.00006 USD */
#define RESERVED 1000000000 /* 0.001 USD */

static int set_up(void **state)
{
    struct pricing *p = calloc(1, sizeof(*p));
    struct price_book *b = NULL;
    struct err err;
    assert_non_null(p);
    assert_int_equal(price_book_parse(&b, SPAN_LIT(NIGHT_BOOK), "book", &err), 0);
    *p = (struct pricing){.book = b, .provider = "openai"};
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct pricing *p = *state;
    price_book_free((struct price_book *)(uintptr_t)p->book);
    free(p);
    return 0;
}

static struct release released(void)
{
    return (struct release){.model = "gpt-test",
                            .day = "2026-11-21",
                            .feature = "tags",
                            .run = "monday",
                            .tries = 1,
                            .reserved = usd_from_pico(RESERVED)};
}

static struct answer answered(int status, const char *body)
{
    return (struct answer){.http_status = status,
                           .body = span_str(body),
                           .request_id = "req_1",
                           .model_used = "gpt-test-2026-01-01",
                           .usage_known = true,
                           .usage = {.input = 100, .output = 10}};
}

static int64_t pico(struct usd u)
{
    return usd_pico(u);
}

/* ---- bought answers ---- */

static void test_a_bought_answer_costs_what_the_book_says(void **state)
{
    struct outcome o;
    struct release r = released();
    struct answer a = answered(200, "{\"x\":1}");
    outcome_answer(*state, &r, &a, "batch_1", &o);
    assert_int_equal(o.status, STATUS_OK);
    assert_true(o.paid && o.provider && o.answered && o.cost_known);
    assert_false(o.dead);
    assert_int_equal(o.kind, SPEND_USAGE);
    assert_int_equal(pico(o.booked), COST);
    assert_int_equal(pico(o.charge.cost.total), COST);
    assert_int_equal(o.usage.input, 100);
    assert_int_equal(o.source, SOURCE_PROVIDER);
    assert_int_equal(o.http_status, 200);
    assert_true(span_is(o.body, "{\"x\":1}"));
    assert_string_equal(o.batch, "batch_1");
    assert_string_equal(o.request_id, "req_1");
    assert_string_equal(o.model_used, "gpt-test-2026-01-01");
}

static void test_an_answer_of_unknown_cost_is_delivered_and_booked_at_its_bound(
    void **state)
{
    struct outcome o;
    struct release r = released(), gone = released();
    struct answer unknown = answered(200, "{}"), known = answered(200, "{}");
    unknown.usage_known = false;
    (void)snprintf(gone.model, sizeof(gone.model), "no-longer-in-the-book");
    const struct {
        const struct release *r;
        const struct answer *a;
    } rows[] = {{&r, &unknown}, {&gone, &known}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        outcome_answer(*state, rows[i].r, rows[i].a, NULL, &o);
        assert_int_equal(o.status, STATUS_OK);
        assert_int_equal(o.kind, SPEND_IN_DOUBT);
        assert_false(o.cost_known);
        assert_int_equal(pico(o.booked), RESERVED);
        assert_int_equal(o.usage.input, 0);
    }
}

/* ---- failures ---- */

static void test_a_refused_call_is_free_and_says_what_the_provider_said(void **state)
{
    struct outcome o;
    struct release r = released();
    struct answer a = answered(400, "{\"error\":{\"message\":\"too long\"}}");
    a.usage_known = false;
    outcome_failure(*state, &r, &a, "batch_1", &o);
    assert_int_equal(o.status, STATUS_FAILED);
    assert_true(o.dead && o.provider && o.answered && o.cost_known);
    assert_false(o.paid);
    assert_int_equal(o.kind, SPEND_USAGE);
    assert_int_equal(pico(o.booked), 0);
    assert_string_equal(o.code, "refused_by_provider");
    assert_string_equal(o.why, "the provider answered with status 400: too long");
    assert_string_equal(o.batch, "batch_1");
}

static void test_a_failed_call_that_used_tokens_is_charged(void **state)
{
    static const struct usage used[] = {{.input = 100}, {.output = 10}};
    for (size_t i = 0; i < ARRAY_LEN(used); i++) {
        struct outcome o;
        struct release r = released();
        struct answer a = answered(500, "{}");
        a.usage = used[i];
        outcome_failure(*state, &r, &a, NULL, &o);
        assert_int_equal(o.status, STATUS_FAILED);
        assert_true(o.paid);
        assert_int_equal(pico(o.booked), i == 0 ? 50000000 : 10000000);
    }
}

static void test_usage_of_nothing_and_unknown_usage_of_a_failure_are_free(void **state)
{
    struct outcome o;
    struct release r = released();
    struct answer none = answered(500, "{}"), unknown = answered(500, "{}");
    none.usage = (struct usage){0};
    unknown.usage_known = false;
    outcome_failure(*state, &r, &none, NULL, &o);
    assert_false(o.paid);
    outcome_failure(*state, &r, &unknown, NULL, &o);
    assert_false(o.paid);
    assert_int_equal(o.kind, SPEND_USAGE);
}

static void test_each_failure_has_its_code_and_words(void **state)
{
    static const struct {
        int status;
        const char *body, *error; /* error: of a line without a response */
        const char *code, *why;
        bool quoted; /* the provider's object is passed on as it is */
    } rows[] = {
        {404, "{\"error\":{\"message\":\"no such model\"}}", "", "refused_by_provider",
         "the provider answered with status 404: no such model", false},
        {500, "{}", "", "refused_by_provider", "the provider answered with status 500",
         false},
        {500, "{\"error\":\"words\"}", "", "refused_by_provider",
         "the provider answered with status 500", false},
        {500, "[{\"error\":{\"message\":\"x\"}}]", "", "refused_by_provider",
         "the provider answered with status 500", false},
        {500, "{\"error\":{\"message\":\"\"}}", "", "refused_by_provider",
         "the provider answered with status 500", false},
        {200, "{\"status\":\"failed\",\"error\":{\"message\":\"it stopped\"}}", "",
         "refused_by_provider", "the answer failed while it was made: it stopped", false},
        {302, "", "", "refused_by_provider", "the provider answered with status 302",
         false},
        {99, "", "", "no_response", "the provider gave neither a response nor a reason",
         false},
        {0, "", "{\"code\":\"batch_expired\",\"message\":\"too late\"}", "batch_expired",
         "too late", true},
        {0, "", "{\"code\":\"odd\"}", "odd",
         "the provider gave neither a response nor a reason", false},
        {0, "", "{\"message\":\"odd\"}", "no_response", "odd", false},
        {0, "", "{\"code\":\"\",\"message\":7}", "no_response",
         "the provider gave neither a response nor a reason", false},
        {0, "", "\"words\"", "no_response",
         "the provider gave neither a response nor a reason", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct outcome o;
        struct release r = released();
        struct answer a = answered(rows[i].status, rows[i].body);
        a.error = span_str(rows[i].error);
        outcome_failure(*state, &r, &a, NULL, &o);
        assert_string_equal(o.code, rows[i].code);
        assert_string_equal(o.why, rows[i].why);
        assert_int_equal(o.error.n > 0, rows[i].quoted);
        assert_int_equal(o.answered, rows[i].status >= 100);
    }
}

static void test_long_words_of_the_provider_are_cut(void **state)
{
    char body[2500], words[1200];
    struct outcome o;
    struct release r = released();
    memset(words, 'w', sizeof(words));
    words[sizeof(words) - 1] = '\0';
    (void)snprintf(body, sizeof(body), "{\"code\":\"%s\",\"message\":\"%s\"}", words,
                   words);
    struct answer a = {.error = span_str(body)};
    outcome_failure(*state, &r, &a, NULL, &o);
    assert_int_equal(strlen(o.code), sizeof(o.code) - 1);
    assert_int_equal(strlen(o.why), sizeof(o.why) - 1);
}

static void test_who_waited_for_a_refused_call_fails_alike_and_for_nothing(void **state)
{
    (void)state;
    struct outcome o;
    struct answer a = answered(400, "{\"error\":{\"message\":\"too long\"}}");
    outcome_same_failure(&a, &o);
    assert_int_equal(o.status, STATUS_FAILED);
    assert_true(o.dead && o.cost_known && o.provider);
    assert_false(o.paid);
    assert_int_equal(o.kind, SPEND_AVOIDED);
    assert_int_equal(pico(o.booked), 0);
    assert_int_equal(o.source, SOURCE_FLIGHT);
    assert_string_equal(o.code, "refused_by_provider");
}

static void test_a_call_in_doubt_stays_booked_at_the_bound_of_one_try(void **state)
{
    (void)state;
    struct outcome o;
    struct release r = released();
    r.tries = 4;
    outcome_doubt(&r, "nobody knows", "batch_1", &o);
    assert_int_equal(o.status, STATUS_FAILED);
    assert_true(o.dead && o.provider);
    assert_false(o.answered || o.cost_known);
    assert_int_equal(o.kind, SPEND_IN_DOUBT);
    assert_int_equal(pico(o.booked), RESERVED / 4);
    assert_int_equal(o.source, SOURCE_PROVIDER);
    assert_string_equal(o.code, "in_doubt");
    assert_string_equal(o.why, "nobody knows");
    assert_string_equal(o.batch, "batch_1");
}

/* ---- answers that were there ---- */

static struct stored_answer stored(const char *run)
{
    struct stored_answer a = {.usage_known = true,
                              .usage = {.input = 100, .output = 10},
                              .body = SPAN_LIT("{\"x\":1}"),
                              .request_id = "req_1",
                              .model_used = "gpt-test-2026-01-01"};
    (void)snprintf(a.run, sizeof(a.run), "%s", run);
    return a;
}

static void test_a_stored_answer_costs_nothing_and_says_what_it_saved(void **state)
{
    struct outcome o;
    struct release r = released();
    struct stored_answer a = stored("tags/sunday");
    outcome_hit(*state, &r, &a, false, &o);
    assert_int_equal(o.status, STATUS_OK);
    assert_true(o.answered && o.provider && o.cost_known);
    assert_false(o.paid || o.dead);
    assert_int_equal(o.kind, SPEND_AVOIDED);
    assert_int_equal(pico(o.booked), 0);
    assert_int_equal(pico(o.charge.cost.total), 0);
    assert_true(pico(o.charge.saved_response_cache) > 0);
    assert_int_equal(o.source, SOURCE_CACHE);
    assert_int_equal(o.http_status, 200);
    assert_string_equal(o.request_id, "req_1");
    assert_string_equal(o.model_used, "gpt-test-2026-01-01");
}

static void test_an_answer_of_the_same_run_was_shared_not_stored(void **state)
{
    struct outcome o;
    struct release r = released();
    struct stored_answer same = stored("tags/monday"), other = stored("tags/sunday");
    outcome_hit(*state, &r, &same, false, &o);
    assert_int_equal(o.source, SOURCE_FLIGHT);
    assert_true(pico(o.charge.saved_dedupe) > 0);
    outcome_hit(*state, &r, &other, true, &o); /* it waited for the call itself */
    assert_int_equal(o.source, SOURCE_FLIGHT);
}

static void test_what_a_stored_answer_of_unknown_usage_saved_is_unknown(void **state)
{
    struct outcome o;
    struct release r = released();
    struct stored_answer a = stored("tags/sunday");
    a.usage_known = false;
    outcome_hit(*state, &r, &a, false, &o);
    assert_int_equal(o.status, STATUS_OK);
    assert_false(o.cost_known);
}

/* ---- no call at all ---- */

static void test_what_admission_said_is_told_to_the_team(void **state)
{
    (void)state;
    static const struct {
        enum verdict verdict;
        const char *said;
        enum status status;
        const char *code, *why;
    } rows[] = {
        {VERDICT_REJECTED, "max_cost: 0.02 above 0.01", STATUS_REJECTED, "max_cost",
         "0.02 above 0.01"},
        {VERDICT_REJECTED, "max_cost", STATUS_REJECTED, "max_cost",
         "rejected at admission"},
        {VERDICT_REJECTED, "The model is unknown", STATUS_REJECTED, "invalid",
         "The model is unknown"},
        {VERDICT_REJECTED, "model:unknown", STATUS_REJECTED, "invalid", "model:unknown"},
        {VERDICT_REJECTED, "", STATUS_REJECTED, "invalid", "rejected at admission"},
        {VERDICT_CANCELLED, "", STATUS_CANCELLED, "cancelled", "cancelled at admission"},
        {VERDICT_CANCELLED, "by_user: enough", STATUS_CANCELLED, "by_user", "enough"},
        {VERDICT_REJECTED, "a_word_of_thirty_one_characters: x", STATUS_REJECTED,
         "a_word_of_thirty_one_characters", "x"},
        {VERDICT_REJECTED, "a_word_of_thirty_two_characters_: x", STATUS_REJECTED,
         "invalid", "a_word_of_thirty_two_characters_: x"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct outcome o;
        struct release r = released();
        r.verdict = rows[i].verdict;
        (void)snprintf(r.why, sizeof(r.why), "%s", rows[i].said);
        outcome_verdict(&r, &o);
        assert_int_equal(o.status, rows[i].status);
        assert_string_equal(o.code, rows[i].code);
        assert_string_equal(o.why, rows[i].why);
        assert_int_equal(o.dead, rows[i].verdict == VERDICT_REJECTED);
        assert_false(o.paid || o.provider || o.answered);
        assert_int_equal(o.kind, SPEND_AVOIDED);
        assert_true(o.cost_known);
        assert_int_equal(pico(o.booked), 0);
    }
}

static void test_an_answer_that_cannot_be_stored_fails_its_job_and_keeps_its_cost(
    void **state)
{
    struct outcome o;
    struct release r = released();
    struct answer a = answered(200, "{\"x\":1}");
    outcome_answer(*state, &r, &a, NULL, &o);
    outcome_too_large(&o, QUEUE_VALUE_MAX + 1, QUEUE_VALUE_MAX);
    assert_int_equal(o.status, STATUS_FAILED);
    assert_true(o.dead && o.paid && o.cost_known);
    assert_false(o.answered);
    assert_int_equal(pico(o.booked), COST);
    assert_int_equal(o.body.n + o.error.n, 0);
    assert_string_equal(o.code, "too_large");
    assert_non_null(strstr(o.why, "67108865 bytes"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_bought_answer_costs_what_the_book_says),
        TEST(test_an_answer_of_unknown_cost_is_delivered_and_booked_at_its_bound),
        TEST(test_a_refused_call_is_free_and_says_what_the_provider_said),
        TEST(test_a_failed_call_that_used_tokens_is_charged),
        TEST(test_usage_of_nothing_and_unknown_usage_of_a_failure_are_free),
        TEST(test_each_failure_has_its_code_and_words),
        TEST(test_long_words_of_the_provider_are_cut),
        TEST(test_who_waited_for_a_refused_call_fails_alike_and_for_nothing),
        TEST(test_a_call_in_doubt_stays_booked_at_the_bound_of_one_try),
        TEST(test_a_stored_answer_costs_nothing_and_says_what_it_saved),
        TEST(test_an_answer_of_the_same_run_was_shared_not_stored),
        TEST(test_what_a_stored_answer_of_unknown_usage_saved_is_unknown),
        TEST(test_what_admission_said_is_told_to_the_team),
        TEST(test_an_answer_that_cannot_be_stored_fails_its_job_and_keeps_its_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
