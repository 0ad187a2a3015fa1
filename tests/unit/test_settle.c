/* How a job ends: one result, one spend record, one acknowledgement, together. */
#include "tests/unit/night.h"

#include "core/loop.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY "{\"id\":\"chatcmpl-1\",\"choices\":[]}"

static const struct origin from_batch = {.batch = "batch_abc", .account = "acc0"};

/* ---- one job ---- */

static void test_a_paid_answer_ends_its_job_with_result_charge_and_stored_answer(
    void **state)
{
    struct night *n = *state;
    struct spend_head spend[4];
    uint64_t at = release_job(n, &(struct asked){.question = "lamp"});
    struct answer a = answer_saying(BODY);
    assert_false(is_acked(n, at));

    assert_int_equal(settle_answer(n->settle, call_for(n, at), &a, &from_batch), 0);
    loop_run(n->loop);

    char *result = result_of(n, at);
    assert_has(result, "\"custom_id\":\"job-0\"");
    assert_has(result,
               "\"response\":{\"status_code\":200,\"request_id\":\"req_1\",\"body\":" BODY
               "},\"error\":null");
    assert_has(result, "\"status\":\"ok\",\"source\":\"provider\",\"paid\":true");
    assert_has(result, "\"cost_usd\":0.00006,\"baseline_usd\":0.00012");
    assert_has(result, "\"batch\":\"batch_abc\"");
    free(result);
    assert_int_equal(spend_heads(n, spend, 4), 1);
    assert_int_equal(spend[0].kind, SPEND_USAGE);
    assert_true(spend[0].final);
    assert_int_equal(usd_pico(spend[0].cost), 60000000);
    assert_int_equal(spend[0].usage.input, 100);
    assert_string_equal(spend[0].day, "2026-11-21");
    assert_true(is_acked(n, at));
    assert_true(has_answer(n, at));
    assert_int_equal(count_records(n, "dead.shop"), 0);
    assert_int_equal(call_count(n->calls), 0);
    assert_int_equal(n->committed, 1);
    assert_true(settle_idle(n->settle));
}

static void test_an_answer_that_may_not_be_reused_is_delivered_but_not_stored(
    void **state)
{
    struct night *n = *state;
    uint64_t truncated = release_job(n, &(struct asked){.question = "lamp"});
    uint64_t forbidden =
        release_job(n, &(struct asked){.question = "vase", .not_reusable = true});
    struct answer cut = answer_saying(BODY), whole = answer_saying(BODY);
    cut.complete = false;
    settle_answer(n->settle, call_for(n, truncated), &cut, &from_batch);
    settle_answer(n->settle, call_for(n, forbidden), &whole, &from_batch);
    loop_run(n->loop);
    assert_result(n, truncated, "\"status\":\"ok\"");
    assert_result(n, forbidden, "\"status\":\"ok\"");
    assert_false(has_answer(n, truncated));
    assert_false(has_answer(n, forbidden));
}

static void test_only_an_answer_with_a_vector_for_each_input_is_stored(void **state)
{
    static const struct {
        const char *question;
        uint32_t inputs, vectors;
    } rows[] = {{"three", 3, 3}, {"short", 3, 2}, {"text", 3, 0}, {"vectors", 0, 3}};
    struct night *n = *state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct answer a = answer_saying(BODY);
        a.vectors = rows[i].vectors;
        uint64_t at = release_job(
            n, &(struct asked){.question = rows[i].question, .inputs = rows[i].inputs});
        settle_answer(n->settle, call_for(n, at), &a, &from_batch);
        loop_run(n->loop);
        assert_result(n, at, "\"status\":\"ok\"");
        assert_int_equal(has_answer(n, at), rows[i].inputs == rows[i].vectors);
    }
}

static void test_an_answer_that_failed_inside_a_good_status_is_charged_and_not_stored(
    void **state)
{
    struct night *n = *state;
    uint64_t at = release_job(n, &(struct asked){.question = "lamp"});
    struct answer a = answer_saying(
        "{\"object\":\"response\",\"status\":\"failed\",\"error\":{\"code\":"
        "\"server_error\",\"message\":\"it stopped\"}}");
    struct spend_head heads[2];
    settle_failed(n->settle, call_for(n, at), &a, &from_batch, false);
    loop_run(n->loop);
    assert_result(n, at, "\"status\":\"failed\"");
    assert_result(n, at, "\"response\":{\"status_code\":200,");
    assert_false(has_answer(n, at));
    assert_int_equal(spend_heads(n, heads, ARRAY_LEN(heads)), 1);
    assert_true(usd_pico(heads[0].cost) == 60000000); /* it was billed all the same */
}

static void test_a_line_the_provider_refused_fails_free_with_its_response(void **state)
{
    struct night *n = *state;
    struct spend_head spend[4];
    uint64_t at = release_job(n, &(struct asked){.question = "lamp"});
    struct answer a = {
        .http_status = 400,
        .body = SPAN_LIT("{\"error\":{\"message\":\"Unsupported value\"}}")};
    settle_failed(n->settle, call_for(n, at), &a, &from_batch, true);
    loop_run(n->loop);
    assert_result(n, at, "\"response\":{\"status_code\":400,");
    assert_result(n, at, "\"error\":null,\"offpeak\"");
    assert_result(n, at,
                  "\"status\":\"failed\",\"source\":\"provider\",\"paid\":false,"
                  "\"cost_usd\":0,\"baseline_usd\":0");
    assert_int_equal(spend_heads(n, spend, 4), 1);
    assert_int_equal(spend[0].kind, SPEND_USAGE);
    assert_true(usd_is_zero(spend[0].cost));
    assert_true(spend[0].final);
    assert_int_equal(count_records(n, "dead.shop"), 1);
    assert_true(is_acked(n, at));
}

static void test_a_line_without_a_response_fails_with_the_providers_error(void **state)
{
    struct night *n = *state;
    uint64_t named = release_job(n, &(struct asked){.question = "lamp"});
    uint64_t mute = release_job(n, &(struct asked){.question = "vase"});
    struct answer expired = {
        .error = SPAN_LIT("{\"code\":\"batch_expired\",\"message\":\"Too late.\"}")};
    struct answer nothing = {.error = SPAN_LIT("{\"code\":null}")};
    settle_failed(n->settle, call_for(n, named), &expired, &from_batch, false);
    settle_failed(n->settle, call_for(n, mute), &nothing, &from_batch, false);
    loop_run(n->loop);
    assert_result(
        n, named,
        "\"response\":null,\"error\":{\"code\":\"batch_expired\",\"message\":\"Too late.\"}");
    assert_result(n, named, "\"source\":null");
    assert_result(n, mute,
                  "\"error\":{\"code\":\"no_response\",\"message\":\"the provider");
}

static void test_a_failed_line_that_reports_tokens_is_charged(void **state)
{
    struct night *n = *state;
    struct spend_head spend[4];
    uint64_t at = release_job(n, &(struct asked){.question = "lamp"});
    struct answer a = answer_saying("{\"error\":{\"message\":\"broke off\"}}");
    a.http_status = 500;
    settle_failed(n->settle, call_for(n, at), &a, &from_batch, false);
    loop_run(n->loop);
    assert_result(n, at,
                  "\"status\":\"failed\",\"source\":\"provider\",\"paid\":true,"
                  "\"cost_usd\":0.00006");
    assert_int_equal(spend_heads(n, spend, 4), 1);
    assert_int_equal(usd_pico(spend[0].cost), 60000000);
}

static void test_a_call_that_may_have_been_billed_is_in_doubt_at_its_bound(void **state)
{
    struct night *n = *state;
    struct spend_head spend[4];
    uint64_t at = release_job(n, &(struct asked){.question = "lamp"});
    settle_in_doubt(n->settle, call_for(n, at), "the result file lacks its line",
                    &from_batch);
    loop_run(n->loop);
    assert_result(n, at,
                  "\"error\":{\"code\":\"in_doubt\",\"message\":\"the result file lacks");
    assert_result(n, at,
                  "\"status\":\"failed\",\"source\":null,\"paid\":false,"
                  "\"cost_usd\":null,\"baseline_usd\":null");
    assert_int_equal(spend_heads(n, spend, 4), 1);
    assert_int_equal(spend[0].kind, SPEND_IN_DOUBT);
    assert_int_equal(usd_pico(spend[0].cost), 1000000000);
    assert_true(spend[0].final);
}

static void test_an_answer_without_usage_is_delivered_and_its_cost_unknown(void **state)
{
    struct night *n = *state;
    struct spend_head spend[4];
    uint64_t mute = release_job(n, &(struct asked){.question = "lamp"});
    uint64_t unpriced =
        release_job(n, &(struct asked){.question = "vase", .model = "gpt-new"});
    struct answer a = answer_saying(BODY);
    settle_answer(n->settle, call_for(n, unpriced), &a, &from_batch);
    a.usage_known = false;
    settle_answer(n->settle, call_for(n, mute), &a, &from_batch);
    loop_run(n->loop);
    assert_int_equal(spend_heads(n, spend, 4), 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(spend[i].kind, SPEND_IN_DOUBT);
        assert_int_equal(usd_pico(spend[i].cost), 1000000000);
    }
    assert_result(n, mute,
                  "\"status\":\"ok\",\"source\":\"provider\",\"paid\":true,"
                  "\"cost_usd\":null");
    assert_result(n, unpriced, "\"cost_usd\":null");
}

/* ---- no call ---- */

static void test_a_rejected_job_says_why_and_costs_nothing(void **state)
{
    struct night *n = *state;
    struct spend_head spend[4];
    struct release r;
    uint64_t at =
        release_job(n, &(struct asked){.verdict = VERDICT_REJECTED,
                                       .why = "jobs.jsonl:3: this line is not JSON"});
    release_of(n, at, &r);
    settle_verdict(n->settle, at, &r);
    loop_run(n->loop);
    assert_result(
        n, at,
        "\"error\":{\"code\":\"invalid\",\"message\":\"jobs.jsonl:3: this line is "
        "not JSON\"}");
    assert_result(n, at, "\"status\":\"rejected\",\"source\":null");
    assert_int_equal(spend_heads(n, spend, 4), 1);
    assert_true(spend[0].final);
    assert_true(usd_is_zero(spend[0].cost));
    assert_int_equal(count_records(n, "dead.shop"), 1);
    assert_true(is_acked(n, at));
}

static void test_a_cancelled_job_carries_the_code_before_the_colon(void **state)
{
    struct night *n = *state;
    struct release r;
    uint64_t at = release_job(n, &(struct asked){.verdict = VERDICT_CANCELLED,
                                                 .why = "max_cost: no room left"});
    release_of(n, at, &r);
    settle_verdict(n->settle, at, &r);
    loop_run(n->loop);
    assert_result(n, at, "{\"code\":\"max_cost\",\"message\":\"no room left\"}");
    assert_result(n, at, "\"status\":\"cancelled\"");
    assert_int_equal(count_records(n, "dead.shop"), 0);
}

static void test_a_hit_is_saved_by_dedupe_in_its_run_and_by_the_cache_in_another(
    void **state)
{
    struct night *n = *state;
    struct release r;
    uint64_t same = release_job(n, &(struct asked){.question = "lamp", .run = "monday"});
    uint64_t other =
        release_job(n, &(struct asked){.question = "lamp", .run = "tuesday"});
    struct stored_answer stored = {.run = "tags/monday",
                                   .usage_known = true,
                                   .usage = {.input = 100, .output = 10},
                                   .body = SPAN_LIT(BODY)};
    release_of(n, same, &r);
    settle_hit(n->settle, same, &r, &stored);
    release_of(n, other, &r);
    settle_hit(n->settle, other, &r, &stored);
    loop_run(n->loop);
    assert_result(n, same,
                  "\"source\":\"flight\",\"paid\":false,\"cost_usd\":0,"
                  "\"baseline_usd\":0.00012");
    assert_result(n, other,
                  "\"source\":\"cache\",\"paid\":false,\"cost_usd\":0,"
                  "\"baseline_usd\":0.00012");
    assert_result(n, other, "\"batch\":null");
}

static void test_a_flush_is_acknowledged_and_leaves_no_record(void **state)
{
    struct night *n = *state;
    release_flush(n, 0);
    settle_ack(n->settle, 0);
    loop_run(n->loop);
    assert_true(is_acked(n, 0));
    assert_int_equal(count_records(n, TOPIC_SPEND), 0);
}

/* ---- joiners ---- */

struct shared {
    uint64_t leader, joiner[2];
    struct call *call;
};

static struct shared three_ask_the_same(struct night *n)
{
    const struct asked a = {.question = "lamp"};
    struct shared s = {.leader = release_job(n, &a)};
    s.call = call_for(n, s.leader);
    for (int i = 0; i < 2; i++) {
        s.joiner[i] = release_job(n, &a);
        assert_int_equal(call_join(n->calls, s.call, s.joiner[i]), 0);
    }
    return s;
}

static void test_joiners_get_the_leaders_answer_and_only_he_pays(void **state)
{
    struct night *n = *state;
    struct spend_head spend[4];
    struct shared s = three_ask_the_same(n);
    struct answer a = answer_saying(BODY);
    settle_answer(n->settle, s.call, &a, &from_batch);
    loop_run(n->loop);
    assert_result(n, s.leader, "\"paid\":true");
    for (int i = 0; i < 2; i++) {
        assert_result(n, s.joiner[i], "\"body\":" BODY);
        assert_result(n, s.joiner[i],
                      "\"source\":\"flight\",\"paid\":false,\"cost_usd\":0,"
                      "\"baseline_usd\":0.00012");
        assert_true(is_acked(n, s.joiner[i]));
    }
    assert_int_equal(spend_heads(n, spend, 4), 3);
    assert_int_equal(spend[1].kind, SPEND_AVOIDED);
    assert_int_equal(spend[2].kind, SPEND_AVOIDED);
    assert_int_equal(call_job_count(n->calls), 0);
    assert_int_equal(n->committed, 1);
}

static void test_a_job_may_still_join_while_the_answer_is_being_committed(void **state)
{
    struct night *n = *state;
    uint64_t leader = release_job(n, &(struct asked){.question = "lamp"});
    uint64_t late = release_job(n, &(struct asked){.question = "lamp"});
    struct release r;
    struct answer a = answer_saying(BODY);
    settle_answer(n->settle, call_for(n, leader), &a, &from_batch);
    release_of(n, late, &r);
    struct call *c = call_find(n->calls, &r.key);
    assert_non_null(c);
    call_join(n->calls, c, late);
    loop_run(n->loop);
    assert_result(n, late, "\"source\":\"flight\"");
}

static void test_joiners_of_an_answer_that_may_not_be_reused_are_asked_on_their_own(
    void **state)
{
    struct night *n = *state;
    struct shared s = three_ask_the_same(n);
    struct answer a = answer_saying(BODY);
    a.complete = false;
    settle_answer(n->settle, s.call, &a, &from_batch);
    loop_run(n->loop);
    assert_int_equal(n->replanned_n, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(n->replanned[i]->jobs->at, s.joiner[i]);
        assert_int_equal(n->replanned[i]->jobs_len, 1);
        assert_int_equal(n->replanned[i]->state, CALL_PLANNED);
        assert_false(is_acked(n, s.joiner[i]));
    }
    assert_true(settle_idle(n->settle));
}

static void test_a_deterministic_refusal_ends_all_who_asked_the_same(void **state)
{
    struct night *n = *state;
    struct spend_head spend[4];
    struct shared s = three_ask_the_same(n);
    char body[] = "{\"error\":{\"message\":\"no such parameter\"}}";
    struct answer a = {.http_status = 400, .body = span_str(body)};
    settle_failed(n->settle, s.call, &a, &from_batch, true);
    memset(body, 'x', sizeof(body) - 1); /* the caller's bytes are gone after the call */
    loop_run(n->loop);
    for (int i = 0; i < 2; i++) {
        assert_result(n, s.joiner[i], "no such parameter");
        assert_result(n, s.joiner[i], "\"status\":\"failed\",\"source\":\"flight\"");
    }
    assert_int_equal(n->replanned_n, 0);
    assert_int_equal(spend_heads(n, spend, 4), 3);
    assert_int_equal(count_records(n, "dead.shop"), 3);
    assert_int_equal(call_count(n->calls), 0);
}

static void test_a_failure_that_may_pass_frees_the_joiners(void **state)
{
    struct night *n = *state;
    struct shared s = three_ask_the_same(n);
    struct answer a = {.http_status = 503, .body = SPAN_LIT("{}")};
    settle_failed(n->settle, s.call, &a, &from_batch, false);
    loop_run(n->loop);
    assert_int_equal(n->replanned_n, 2);
}

static void test_joiners_of_a_call_in_doubt_are_asked_on_their_own(void **state)
{
    struct night *n = *state;
    struct shared s = three_ask_the_same(n);
    settle_in_doubt(n->settle, s.call, "no line came", &from_batch);
    loop_run(n->loop);
    assert_int_equal(n->replanned_n, 2);
    assert_false(is_acked(n, s.joiner[0]));
}

static void test_what_was_not_committed_at_a_crash_never_happened(void **state)
{
    struct night *n = *state;
    struct shared s = three_ask_the_same(n);
    struct answer a = answer_saying(BODY);
    settle_answer(n->settle, s.call, &a, &from_batch);
    night_crash(n);
    assert_false(has_result(n, s.leader));
    assert_false(has_answer(n, s.leader));
    assert_int_equal(count_records(n, TOPIC_SPEND), 0);
    assert_false(is_acked(n, s.leader));
    assert_false(is_acked(n, s.joiner[0]));
}

/* ---- slices ---- */

static void test_a_result_that_is_too_large_harms_only_its_own_job(void **state)
{
    struct night *n = *state;
    struct spend_head spend[4];
    uint64_t before = release_job(n, &(struct asked){.question = "lamp"});
    uint64_t huge = release_job(n, &(struct asked){.question = "vase"});
    uint64_t after = release_job(n, &(struct asked){.question = "rug"});
    size_t size = QUEUE_VALUE_MAX + 10;
    char *body = malloc(size + 1);
    assert_non_null(body);
    memset(body, ' ', size);
    memcpy(body, "{\"id\":1", 7);
    memcpy(body + size - 1, "}", 2);
    struct answer small = answer_saying(BODY), large = answer_saying(BODY);
    large.body = span_of(body, size);
    settle_answer(n->settle, call_for(n, before), &small, &from_batch);
    settle_answer(n->settle, call_for(n, huge), &large, &from_batch);
    settle_answer(n->settle, call_for(n, after), &small, &from_batch);
    free(body);
    loop_run(n->loop);
    assert_result(n, before, "\"status\":\"ok\"");
    assert_result(n, after, "\"status\":\"ok\"");
    assert_result(n, huge, "\"response\":null,\"error\":{\"code\":\"too_large\"");
    assert_result(n, huge,
                  "\"status\":\"failed\",\"source\":null,\"paid\":true,"
                  "\"cost_usd\":0.00006");
    assert_int_equal(spend_heads(n, spend, 4), 3);
    assert_int_equal(usd_pico(spend[1].cost), 60000000);
    assert_int_equal(n->stops, 0);
}

static void test_more_than_a_slice_waits_and_room_is_told_when_it_is_back(void **state)
{
    struct night *n = *state;
    const size_t size = (size_t)2 << 20;
    uint64_t first =
        release_job(n, &(struct asked){.question = "q", .not_reusable = true});
    int settled = 0;
    char *body = malloc(size + 1);
    assert_non_null(body);
    memset(body, ' ', size);
    memcpy(body, "{\"id\":1", 7);
    memcpy(body + size - 1, "}", 2);
    struct answer large = answer_saying(BODY);
    large.body = span_of(body, size);
    for (; settle_room(n->settle); settled++) {
        assert_in_range(settled, 0, 20);
        uint64_t at = settled ? release_job(n, &(struct asked){.question = "q",
                                                               .not_reusable = true})
                              : first;
        assert_int_equal(settle_answer(n->settle, call_for(n, at), &large, &from_batch),
                         0);
    }
    free(body);
    assert_int_equal(n->rooms, 0);
    loop_run(n->loop);
    assert_int_equal(n->rooms, 1);
    assert_true(settle_room(n->settle));
    assert_int_equal(count_records(n, "results.shop"), settled);
    assert_int_equal(count_records(n, TOPIC_SPEND), settled);
}

static void test_thousands_of_hits_pass_in_slices(void **state)
{
    struct night *n = *state;
    const uint64_t jobs = 1200;
    struct release r;
    struct stored_answer stored = {.run = "tags/monday", .body = SPAN_LIT(BODY)};
    for (uint64_t i = 0; i < jobs; i++) {
        uint64_t at = release_job(n, &(struct asked){.question = "lamp"});
        release_of(n, at, &r);
        if (!settle_room(n->settle)) {
            loop_run(n->loop);
        }
        assert_int_equal(settle_hit(n->settle, at, &r, &stored), 0);
    }
    loop_run(n->loop);
    assert_int_equal(count_records(n, "results.shop"), jobs);
    assert_int_equal(count_records(n, TOPIC_SPEND), jobs);
    struct settle_counts counts;
    settle_counts(n->settle, &counts);
    assert_int_equal(counts.joined, jobs);
    assert_int_equal(n->stops, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, night_falls, night_ends)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_paid_answer_ends_its_job_with_result_charge_and_stored_answer),
        TEST(test_an_answer_that_may_not_be_reused_is_delivered_but_not_stored),
        TEST(test_only_an_answer_with_a_vector_for_each_input_is_stored),
        TEST(test_an_answer_that_failed_inside_a_good_status_is_charged_and_not_stored),
        TEST(test_a_line_the_provider_refused_fails_free_with_its_response),
        TEST(test_a_line_without_a_response_fails_with_the_providers_error),
        TEST(test_a_failed_line_that_reports_tokens_is_charged),
        TEST(test_a_call_that_may_have_been_billed_is_in_doubt_at_its_bound),
        TEST(test_an_answer_without_usage_is_delivered_and_its_cost_unknown),
        TEST(test_a_rejected_job_says_why_and_costs_nothing),
        TEST(test_a_cancelled_job_carries_the_code_before_the_colon),
        TEST(test_a_hit_is_saved_by_dedupe_in_its_run_and_by_the_cache_in_another),
        TEST(test_a_flush_is_acknowledged_and_leaves_no_record),
        TEST(test_joiners_get_the_leaders_answer_and_only_he_pays),
        TEST(test_a_job_may_still_join_while_the_answer_is_being_committed),
        TEST(test_joiners_of_an_answer_that_may_not_be_reused_are_asked_on_their_own),
        TEST(test_a_deterministic_refusal_ends_all_who_asked_the_same),
        TEST(test_a_failure_that_may_pass_frees_the_joiners),
        TEST(test_joiners_of_a_call_in_doubt_are_asked_on_their_own),
        TEST(test_what_was_not_committed_at_a_crash_never_happened),
        TEST(test_a_result_that_is_too_large_harms_only_its_own_job),
        TEST(test_more_than_a_slice_waits_and_room_is_told_when_it_is_back),
        TEST(test_thousands_of_hits_pass_in_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
