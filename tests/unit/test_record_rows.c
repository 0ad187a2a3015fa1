/* What is published and what stands in tables: JSON that is read back as it was written. */
#include "core/headers.h"
#include "core/record.h"

#include "core/jtext.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/any.h"

/* ---- the published spend record ---- */

static struct spend some_spend(void)
{
    return (struct spend){
        .head =
            {
                .kind = SPEND_USAGE,
                .job = "shop.tags/0/88/1795227247311",
                .run = "nightly",
                .team = "shop",
                .feature = "tags",
                .attempt = 1,
                .final = true,
                .day = "2026-11-21",
                .cost = usd_from_pico(178000000),
                .usage = {4210, 3900, 10, 180, 5},
                .model = "gpt-5.6-luna",
            },
        .lane = LANE_BATCH,
        .outcome = STATUS_OK,
        .source = SOURCE_PROVIDER,
        .charge =
            {
                .cost = {usd_from_pico(31000000), usd_from_pico(39000000),
                         usd_from_pico(0), usd_from_pico(108000000),
                         usd_from_pico(178000000)},
                .baseline = usd_from_pico(1058000000),
                .saved_batch = usd_from_pico(880000001),
                .saved_prompt_cache = usd_from_pico(-1),
            },
        .cost_known = true,
        .line = 7,
        .custom_id = SPAN_LIT("\"sku \\\"1\\\"\""),
        .provider = "openai",
        .model_used = "gpt-5.6-luna",
        .batch = "batch_abc",
        .request_id = "req_9",
        .account = "7c1e09aa41d2",
        .prices = "2026-11-18#a1b2c3d4",
        .time_ms = 1795227247311,
    };
}

static void encode_spend(const struct spend *s, struct buf *headers, struct buf *json)
{
    struct err err = {0};
    buf_init(headers, HEADERS_BYTES_MAX);
    buf_init(json, 1 << 16);
    assert_int_equal(spend_encode(s, headers, json, &err), 0);
    assert_int_equal(jtext_check(buf_span(json), &err), 0);
}

static void expect_members(struct span json, const char *const (*want)[2], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct span value = SPAN_NONE;
        if (!jtext_get(json, want[i][0], &value) || !span_is(value, want[i][1])) {
            fail_msg("%s is %.*s, not %s", want[i][0], (int)value.n, value.p, want[i][1]);
        }
    }
}

static void a_charge_is_published_with_every_field(void **state)
{
    static const char *const want[][2] = {
        {"schema", "\"offpeak.spend/1\""},
        {"event_id",
         "\"bb6ac392d7cc3f36893c2e59928b7ab0\""}, /* printf "job\n1\nusage" | sha256sum */
        {"kind", "\"usage\""},
        {"event_time", "\"2026-11-21T02:14:07.311Z\""},
        {"team", "\"shop\""},
        {"feature", "\"tags\""},
        {"run_id", "\"nightly\""},
        {"job_id", "\"shop.tags/0/88/1795227247311\""},
        {"custom_id", "\"sku \\\"1\\\"\""},
        {"line", "7"},
        {"attempt", "1"},
        {"provider", "\"openai\""},
        {"model_requested", "\"gpt-5.6-luna\""},
        {"model", "\"gpt-5.6-luna\""},
        {"tier", "\"batch\""},
        {"lane", "\"batch\""},
        {"provider_account", "\"7c1e09aa41d2\""},
        {"provider_batch_id", "\"batch_abc\""},
        {"provider_request_id", "\"req_9\""},
        {"result_source", "\"provider\""},
        {"outcome", "\"ok\""},
        {"input_tokens", "4210"},
        {"cache_read_input_tokens", "3900"},
        {"cache_write_input_tokens", "10"},
        {"output_tokens", "180"},
        {"reasoning_output_tokens", "5"},
        {"cost", "0.000178"},
        {"cost_input", "0.000031"},
        {"cost_cache_read", "0.000039"},
        {"cost_cache_write", "0"},
        {"cost_output", "0.000108"},
        {"baseline_cost", "0.001058"},
        {"saved_dedupe", "0"},
        {"saved_response_cache", "0"},
        {"saved_routing", "0"},
        {"saved_batch", "0.000880000001"},
        {"saved_prompt_cache", "-0.000000000001"},
        {"in_doubt_usd", "null"},
        {"currency", "\"USD\""},
        {"price_book", "\"2026-11-18#a1b2c3d4\""},
        {"cost_source", "\"local\""},
        {"period_day", "\"2026-11-21\""},
        {"period_month", "\"2026-11\""},
        {"final", "true"},
    };
    _cleanup_(buf_fini) struct buf headers, json;
    struct spend s = some_spend();
    struct spend_head head;
    (void)state;
    encode_spend(&s, &headers, &json);
    expect_members(buf_span(&json), want, ARRAY_LEN(want));
    assert_int_equal(spend_head_decode(buf_span(&headers), &head), 0);
    assert_string_equal(head.job, s.head.job);
}

static void unknown_is_null_and_free_is_zero(void **state)
{
    static const char *const want[][2] = {
        {"kind", "\"in_doubt\""},   {"cost", "null"},          {"cost_output", "null"},
        {"baseline_cost", "null"},  {"saved_batch", "null"},   {"input_tokens", "null"},
        {"in_doubt_usd", "0.0008"}, {"result_source", "null"}, {"outcome", "\"failed\""},
        {"tier", "\"batch\""},      {"model", "null"},         {"final", "true"},
    };
    _cleanup_(buf_fini) struct buf headers, json;
    struct spend s = some_spend();
    (void)state;
    s.head.kind = SPEND_IN_DOUBT;
    s.head.cost = usd_from_pico(800000000);
    s.cost_known = false;
    s.outcome = STATUS_FAILED;
    s.model_used = NULL;
    encode_spend(&s, &headers, &json);
    expect_members(buf_span(&json), want, ARRAY_LEN(want));
}

static void a_rejected_job_costs_nothing_and_names_no_model(void **state)
{
    static const char *const want[][2] = {
        {"kind", "\"avoided\""},   {"cost", "0"},
        {"baseline_cost", "0"},    {"custom_id", "null"},
        {"provider", "null"},      {"model_requested", "null"},
        {"model", "null"},         {"tier", "null"},
        {"result_source", "null"}, {"outcome", "\"rejected\""},
        {"run_id", "null"},        {"provider_batch_id", "null"},
        {"input_tokens", "0"},     {"in_doubt_usd", "null"},
    };
    _cleanup_(buf_fini) struct buf headers, json;
    struct spend s = {
        .head = {.kind = SPEND_AVOIDED, .job = "shop.tags/0/1/2", .day = "2026-11-21"},
        .outcome = STATUS_REJECTED,
        .cost_known = true,
        .prices = "2026-11-18#a1b2c3d4",
    };
    (void)state;
    encode_spend(&s, &headers, &json);
    expect_members(buf_span(&json), want, ARRAY_LEN(want));
}

static void an_answer_had_already_says_where_from(void **state)
{
    struct spend s = some_spend();
    (void)state;
    s.head.kind = SPEND_AVOIDED;
    for (enum answer_source source = SOURCE_FLIGHT; source <= SOURCE_CACHE; source++) {
        static const char *const want[][2][2] = {
            [SOURCE_FLIGHT] = {{"result_source", "\"flight\""}, {"tier", "null"}},
            [SOURCE_CACHE] = {{"result_source", "\"cache\""}, {"tier", "null"}},
        };
        _cleanup_(buf_fini) struct buf headers, json;
        s.source = source;
        encode_spend(&s, &headers, &json);
        expect_members(buf_span(&json), want[source], 2);
    }
}

static void a_record_sent_twice_has_one_id_and_different_charges_do_not(void **state)
{
    struct spend spends[4];
    char ids[4][40];
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        _cleanup_(buf_fini) struct buf headers, json;
        struct span id;
        spends[i] = some_spend();
        spends[i].time_ms += (int64_t)i; /* a later copy of the same record */
        spends[2].head.attempt = 2;
        spends[3].head.kind = SPEND_IN_DOUBT;
        encode_spend(&spends[i], &headers, &json);
        assert_true(jtext_get(buf_span(&json), "event_id", &id));
        snprintf(ids[i], sizeof(ids[i]), "%.*s", (int)id.n, id.p);
    }
    assert_string_equal(ids[0], ids[1]);
    assert_string_not_equal(ids[0], ids[2]);
    assert_string_not_equal(ids[0], ids[3]);
    assert_string_not_equal(ids[2], ids[3]);
}

/* The event ids of a job's records, each of another try. */
static void ids_of_tries(enum spend_kind kind, uint32_t tries, char (*ret)[40])
{
    for (uint32_t n = 1; n <= tries; n++) {
        _cleanup_(buf_fini) struct buf headers, json;
        struct spend s = some_spend();
        struct span id;
        s.head.kind = kind;
        s.head.final = false;
        s.head.try_n = n;
        encode_spend(&s, &headers, &json);
        assert_true(jtext_get(buf_span(&json), "event_id", &id));
        snprintf(ret[n - 1], sizeof(*ret), "%.*s", (int)id.n, id.p);
    }
}

static void every_try_in_doubt_has_an_id_of_its_own_and_the_bill_has_one(void **state)
{
    char doubts[LANE_TRIES_FREE][40], bills[2][40];
    (void)state;
    ids_of_tries(SPEND_IN_DOUBT, LANE_TRIES_FREE, doubts);
    ids_of_tries(SPEND_USAGE, 2, bills);
    for (unsigned i = 0; i < LANE_TRIES_FREE; i++) {
        for (unsigned k = 0; k < i; k++) {
            assert_string_not_equal(doubts[i], doubts[k]);
        }
    }
    /* printf "job\n1\nin_doubt" and "job\n1\nin_doubt\n2" | sha256sum */
    assert_string_equal(doubts[0], "\"85630cbef876609de8b75358fc91b166\"");
    assert_string_equal(doubts[1], "\"33490eb0133b1e4fd6e450d550e6d373\"");
    assert_string_equal(bills[0], bills[1]); /* of one attempt there is one bill */
}

static void a_try_that_is_made_again_has_no_outcome_yet(void **state)
{
    static const char *const want[][2] = {
        {"kind", "\"in_doubt\""},      {"final", "false"}, {"outcome", "null"},
        {"result_source", "null"},     {"cost", "null"},   {"in_doubt_usd", "0.0008"},
        {"why", "\"the line broke\""}, {"tries", "2"},
    };
    _cleanup_(buf_fini) struct buf headers, json;
    struct spend s = some_spend();
    (void)state;
    s.head.kind = SPEND_IN_DOUBT;
    s.head.final = false;
    s.head.try_n = 2;
    s.head.cost = usd_from_pico(800000000);
    s.cost_known = false;
    s.outcome = STATUS_FAILED;
    s.why = "the line broke";
    encode_spend(&s, &headers, &json);
    expect_members(buf_span(&json), want, ARRAY_LEN(want));
}

static void what_took_one_try_does_not_speak_of_tries(void **state)
{
    _cleanup_(buf_fini) struct buf headers, json;
    struct spend s = some_spend();
    struct span value;
    (void)state;
    s.head.try_n = 1;
    encode_spend(&s, &headers, &json);
    assert_false(jtext_get(buf_span(&json), "tries", &value));
    assert_false(jtext_get(buf_span(&json), "why", &value));
}

/* ---- rows ---- */

static void rows_of_runs_are_read_as_written(void **state)
{
    uint64_t seed = 6;
    (void)state;
    for (int round = 0; round < 1000; round++) {
        _cleanup_(buf_fini) struct buf json;
        buf_init(&json, 1 << 16);
        struct run_row r = {0}, back;
        struct err err = {0};
        any_text(&seed, "0123456789abcdef", HASH_HEX - 1, r.digest);
        any_text(&seed, "htps:/.", sizeof(r.endpoint) - 1, r.endpoint);
        any_text(&seed, NAME_CHARS, sizeof(r.account) - 1, r.account);
        any_text(&seed, "aZ 09\"\\/\n\x01", sizeof(r.source) - 1, r.source);
        any_text(&seed, NAME_CHARS, sizeof(r.reuse) - 1, r.reuse);
        r.lane = (enum lane)(next_number(&seed) % 3);
        r.level = (enum prompt_level)(next_number(&seed) % 2);
        r.fresh = any_bool(&seed);
        r.has_max_cost = any_bool(&seed);
        r.max_cost = r.has_max_cost ? any_usd(&seed) : USD_ZERO;
        r.started_ms = any_i64(&seed);
        r.results_from = any_u64(&seed);
        r.spend_from = any_u64(&seed);
        r.lines = any_u64(&seed);
        r.refused = any_u64(&seed);
        r.complete = any_bool(&seed);
        r.spread = any_bool(&seed);
        r.partitions = r.spread ? 1 + (uint32_t)(next_number(&seed) % 1000) : 0;
        assert_int_equal(run_row_encode(&r, &json), 0);
        assert_int_equal(run_row_decode(buf_span(&json), &back, &err), 0);
        assert_string_equal(back.digest, r.digest);
        assert_string_equal(back.endpoint, r.endpoint);
        assert_string_equal(back.account, r.account);
        assert_string_equal(back.source, r.source);
        assert_string_equal(back.reuse, r.reuse);
        assert_int_equal(back.lane, r.lane);
        assert_int_equal(back.level, r.level);
        assert_int_equal(back.fresh, r.fresh);
        assert_int_equal(back.has_max_cost, r.has_max_cost);
        same_usd(back.max_cost, r.max_cost);
        same_number(back.started_ms, r.started_ms);
        same_number(back.results_from, r.results_from);
        same_number(back.spend_from, r.spend_from);
        same_number(back.lines, r.lines);
        same_number(back.refused, r.refused);
        assert_int_equal(back.spread, r.spread);
        assert_int_equal(back.partitions, r.partitions);
        assert_int_equal(back.complete, r.complete);
    }
}

static void a_limit_of_zero_is_not_no_limit(void **state)
{
    _cleanup_(buf_fini) struct buf json;
    struct budget_edit b = {.scope = "search", .edit = 3, .has_day = true}, back;
    struct err err = {0};
    (void)state;
    buf_init(&json, 1 << 16);
    assert_int_equal(budget_edit_encode(&b, &json), 0);
    assert_string_equal(json.p,
                        "{\"scope\":\"search\",\"edit\":3,\"day\":0,\"paused\":false,"
                        "\"who\":\"\",\"why\":\"\",\"time_ms\":0}");
    assert_int_equal(budget_edit_decode(buf_span(&json), &back, &err), 0);
    assert_true(back.has_day);
    assert_false(back.has_month);
    assert_false(back.has_total);
    assert_true(usd_is_zero(back.day));
}

static void rows_of_budgets_are_read_as_written(void **state)
{
    uint64_t seed = 7;
    (void)state;
    for (int round = 0; round < 1000; round++) {
        _cleanup_(buf_fini) struct buf json;
        buf_init(&json, 1 << 16);
        struct budget_edit b = {0}, back;
        struct err err = {0};
        any_text(&seed, NAME_CHARS "/", sizeof(b.scope) - 1, b.scope);
        any_text(&seed, "aZ 09\"\\/\n\x01", sizeof(b.who) - 1, b.who);
        any_text(&seed, "aZ 09\"\\/\n\x01", sizeof(b.why) - 1, b.why);
        b.edit = any_u64(&seed);
        b.has_day = b.has_total = any_bool(&seed);
        b.has_month = any_bool(&seed);
        b.day = b.has_day ? any_usd(&seed) : USD_ZERO;
        b.month = b.has_month ? any_usd(&seed) : USD_ZERO;
        b.total = b.has_total ? any_usd(&seed) : USD_ZERO;
        b.paused = any_bool(&seed);
        b.time_ms = any_i64(&seed);
        assert_int_equal(budget_edit_encode(&b, &json), 0);
        assert_int_equal(budget_edit_decode(buf_span(&json), &back, &err), 0);
        assert_string_equal(back.scope, b.scope);
        assert_string_equal(back.who, b.who);
        assert_string_equal(back.why, b.why);
        same_number(back.edit, b.edit);
        assert_int_equal(back.has_day, b.has_day);
        assert_int_equal(back.has_month, b.has_month);
        assert_int_equal(back.has_total, b.has_total);
        same_usd(back.day, b.day);
        same_usd(back.month, b.month);
        same_usd(back.total, b.total);
        assert_int_equal(back.paused, b.paused);
        same_number(back.time_ms, b.time_ms);
    }
}

static void rows_of_open_are_read_as_written(void **state)
{
    uint64_t seed = 8;
    (void)state;
    for (int round = 0; round < 1000; round++) {
        _cleanup_(buf_fini) struct buf json;
        buf_init(&json, 1 << 16);
        struct open_row o = {0}, back;
        struct err err = {0};
        any_text(&seed, NAME_CHARS, TEAM_MAX, o.team);
        any_text(&seed, NAME_CHARS, FEATURE_MAX, o.feature);
        any_text(&seed, RUN_CHARS, RUN_MAX, o.run);
        any_text(&seed, RUN_CHARS, PROMPT_MODEL_MAX, o.model);
        any_text(&seed, "0123456789-", sizeof(o.day) - 1, o.day);
        o.attempt = any_u64(&seed);
        o.reserved = any_usd(&seed);
        o.tokens = any_u64(&seed);
        o.tried = any_u64(&seed);
        o.on_run = any_bool(&seed);
        assert_int_equal(open_row_encode(&o, &json), 0);
        assert_int_equal(open_row_decode(buf_span(&json), &back, &err), 0);
        assert_string_equal(back.team, o.team);
        assert_string_equal(back.feature, o.feature);
        assert_string_equal(back.run, o.run);
        assert_string_equal(back.model, o.model);
        assert_string_equal(back.day, o.day);
        same_number(back.attempt, o.attempt);
        same_usd(back.reserved, o.reserved);
        same_number(back.tokens, o.tokens);
        same_number(back.tried, o.tried);
        assert_int_equal(back.on_run, o.on_run);
    }
}

static void totals_wider_than_64_bits_are_read_as_written(void **state)
{
    uint64_t seed = 9;
    (void)state;
    for (int round = 0; round < 1000; round++) {
        _cleanup_(buf_fini) struct buf json;
        buf_init(&json, 1 << 16);
        struct ledger_row l = {0}, back;
        struct err err = {0};
        for (int i = 0; i < 40; i++) {
            usd_sum_add(&l.spent, usd_from_pico(INT64_MAX));
        }
        usd_sum_add(&l.spent, any_usd(&seed));
        usd_sum_sub(&l.in_doubt, any_usd(&seed)); /* corrections go below zero */
        l.tokens = any_usage(&seed);
        l.jobs = any_u64(&seed);
        l.calls = any_u64(&seed);
        assert_int_equal(ledger_row_encode(&l, &json), 0);
        assert_int_equal(ledger_row_decode(buf_span(&json), &back, &err), 0);
        assert_int_equal(usd_sum_cmp(back.spent, l.spent), 0);
        assert_int_equal(usd_sum_cmp(back.in_doubt, l.in_doubt), 0);
        same_usage(&back.tokens, &l.tokens);
        same_number(back.jobs, l.jobs);
        same_number(back.calls, l.calls);
    }
}

static void a_total_that_would_end_all_sums_is_refused(void **state)
{
    struct ledger_row row;
    struct err err = {0};
    (void)state;
    assert_int_equal(
        ledger_row_decode(SPAN_LIT("{\"spent_pico\":\"999999999999999999999999999999\"}"),
                          &row, &err),
        0);
    for (int i = 0; i < 1000000; i++) {
        usd_sum_add_sum(&row.in_doubt, row.spent);
    }
    assert_int_equal(
        ledger_row_decode(
            SPAN_LIT("{\"spent_pico\":\"170141183460469231731687303715884105727\"}"),
            &row, &err),
        -ERR_VERSION);
    assert_non_null(strstr(err.msg, "field 'spent_pico'"));
}

static void a_damaged_row_is_refused_with_the_name_of_its_field(void **state)
{
    static const struct {
        const char *json, *msg;
    } cases[] = {
        {"{\"lines\":12",
         "could not read a row of table 'runs': column 12: expected ',' or '}'"},
        {"[]", "could not read a row of table 'runs': it is no JSON object"},
        {"{\"lines\":-1}", "could not read a row of table 'runs': field 'lines' is -1"},
        {"{\"lines\":\"7\"}",
         "could not read a row of table 'runs': field 'lines' is \"7\""},
        {"{\"lane\":\"fast\"}",
         "could not read a row of table 'runs': field 'lane' is \"fast\""},
        {"{\"fresh\":1}", "could not read a row of table 'runs': field 'fresh' is 1"},
        {"{\"max_cost\":1e3}",
         "could not read a row of table 'runs': field 'max_cost' is 1e3"},
        {"{\"reuse\":\"deterministically\"}",
         "could not read a row of table 'runs': field 'reuse'"},
        {"{\"digest\":\"a\\u0000b\"}",
         "could not read a row of table 'runs': field 'digest'"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct run_row row;
        struct err err = {0};
        assert_int_equal(run_row_decode(span_str(cases[i].json), &row, &err),
                         -ERR_VERSION);
        if (strncmp(err.msg, cases[i].msg, strlen(cases[i].msg)) != 0) {
            fail_msg("%s: %s", cases[i].json, err.msg);
        }
    }
}

static void fields_a_row_lacks_are_zero_and_unknown_ones_are_ignored(void **state)
{
    struct run_row row;
    struct err err = {0};
    (void)state;
    memset(&row, 0xff, sizeof(row));
    assert_int_equal(run_row_decode(SPAN_LIT("{\"later\":[1],\"lines\":5}"), &row, &err),
                     0);
    same_number(row.lines, 5);
    same_number(row.started_ms, 0);
    assert_string_equal(row.digest, "");
    assert_false(row.has_max_cost);
    assert_int_equal(row.lane, LANE_BATCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_charge_is_published_with_every_field),
        cmocka_unit_test(unknown_is_null_and_free_is_zero),
        cmocka_unit_test(a_rejected_job_costs_nothing_and_names_no_model),
        cmocka_unit_test(an_answer_had_already_says_where_from),
        cmocka_unit_test(a_record_sent_twice_has_one_id_and_different_charges_do_not),
        cmocka_unit_test(every_try_in_doubt_has_an_id_of_its_own_and_the_bill_has_one),
        cmocka_unit_test(a_try_that_is_made_again_has_no_outcome_yet),
        cmocka_unit_test(what_took_one_try_does_not_speak_of_tries),
        cmocka_unit_test(rows_of_runs_are_read_as_written),
        cmocka_unit_test(a_limit_of_zero_is_not_no_limit),
        cmocka_unit_test(rows_of_budgets_are_read_as_written),
        cmocka_unit_test(rows_of_open_are_read_as_written),
        cmocka_unit_test(totals_wider_than_64_bits_are_read_as_written),
        cmocka_unit_test(a_total_that_would_end_all_sums_is_refused),
        cmocka_unit_test(a_damaged_row_is_refused_with_the_name_of_its_field),
        cmocka_unit_test(fields_a_row_lacks_are_zero_and_unknown_ones_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
