/* Heads of records: what is written is read back, whatever is damaged is refused. */
#include "core/record.h"
#include "core/name.h"

#include "core/headers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/unit/any.h"

/* ---- names ---- */

static void topics_and_tables_are_named_after_team_and_feature(void **state)
{
    char name[QUEUE_NAME_MAX], team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    (void)state;
    topic_jobs("search", "tags", name);
    assert_string_equal(name, "jobs.search.tags");
    assert_int_equal(topic_jobs_parse(name, team, feature), 0);
    assert_string_equal(team, "search");
    assert_string_equal(feature, "tags");
    topic_results("search", name);
    assert_string_equal(name, "results.search");
    topic_dead("search", name);
    assert_string_equal(name, "dead.search");
    table_runs("search", name);
    assert_string_equal(name, "runs.search");
}

static void only_jobs_topics_parse_as_such(void **state)
{
    static const char *const wrong[] = {
        "",          "jobs.",      "jobs.a",
        "jobs.a.",   "jobs..b",    "results.a.b",
        "jobs.A.b",  "jobs.a.b.c", "jobs.a.b ",
        "xjobs.a.b", "jobs.a b.c", "jobs.a.12345678901234567890123456789012345678901",
    };
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        if (topic_jobs_parse(wrong[i], team, feature) != -1) {
            fail_msg("'%s' was taken for a jobs topic", wrong[i]);
        }
    }
}

static void a_job_id_says_where_the_job_stands(void **state)
{
    char id[JOB_ID_MAX], team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    struct queue_msg msg = {.at = {"jobs.search.tags", 3, 42}, .time_ms = 1795227247311};
    (void)state;
    job_id_format(&msg, id);
    assert_string_equal(id, "search.tags/3/42/1795227247311");
    assert_int_equal(job_id_parse(span_str(id), team, feature), 0);
    assert_string_equal(team, "search");
    assert_string_equal(feature, "tags");

    struct queue_msg longest = {.at = {.partition = UINT32_MAX, .offset = UINT64_MAX},
                                .time_ms = INT64_MAX};
    char name[TEAM_MAX + 1];
    memset(name, 'x', TEAM_MAX);
    name[TEAM_MAX] = '\0';
    topic_jobs(name, name, longest.at.topic);
    job_id_format(&longest, id);
    assert_int_equal(job_id_parse(span_str(id), team, feature), 0);
    assert_string_equal(feature, name);
}

static void what_is_no_job_id_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",           "a",           "a.b",
        "a.b/0/1",    "a.b/0/1/2/3", "a.b/0//2",
        "a.b/x/1/2",  "a.b/0/1/-2",  "A.b/0/1/2",
        "a./0/1/2",   ".b/0/1/2",    "a.b/0/1/99999999999999999999",
        "a.b/0/1/2 ",
    };
    char team[TEAM_MAX + 1], feature[FEATURE_MAX + 1];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        if (job_id_parse(span_str(wrong[i]), team, feature) != -1) {
            fail_msg("'%s' was taken for a job id", wrong[i]);
        }
    }
}

static void rows_of_budgets_sort_by_their_edit(void **state)
{
    char first[QUEUE_KEY_MAX], later[QUEUE_KEY_MAX], key[QUEUE_KEY_MAX];
    (void)state;
    budget_key("search/tags", 9, first);
    budget_key("search/tags", 10, later);
    assert_string_equal(first, "search/tags#00000000000000000009");
    assert_true(strcmp(first, later) < 0);
    run_key("tags", "nightly-1", key);
    assert_string_equal(key, "tags/nightly-1");
}

/* ---- heads ---- */

static void why_not(const char *name, const char *value, const char *says)
{
    _cleanup_(buf_fini) struct buf block;
    struct job_head h;
    char why[WHY_MAX] = "";
    buf_init(&block, HEADERS_BYTES_MAX);
    headers_adds(&block, name, value);
    assert_int_equal(job_head_read(buf_span(&block), &h, why), -1);
    if (!strstr(why, says)) {
        print_error("'%s' does not say '%s'\n", why, says);
        fail();
    }
}

static void heads_that_cannot_be_read_say_which_header_it_is(void **state)
{
    (void)state;
    why_not("line", "-1", "'line'");
    why_not("line", "banana", "'line'");
    why_not("attempt", "99999999999999999999999", "'attempt'");
    why_not("run", "../../etc", "'run'");
    why_not("run", "night/cancel", "'run'");
    why_not(HEADERS_CUT, "1", "more than 4096 bytes");
}

static void lines_that_cannot_be_of_a_run_are_told(void **state)
{
    struct run_row row = {.lines = 10, .complete = true};
    struct job_head head = {.attempt = 1, .line = 10};
    (void)state;
    assert_true(run_row_has(&row, &head));
    head.line = 11;
    assert_false(run_row_has(&row, &head));
    row.complete = false; /* its row comes behind its lines */
    assert_true(run_row_has(&row, &head));
    head.line = UINT64_MAX;
    assert_false(run_row_has(&row, &head));
    head = (struct job_head){.attempt = 2, .line = 1};
    assert_true(run_row_has(&row, &head)); /* as that of a retry does */
    head.attempt = 3;
    assert_false(run_row_has(&row, &head));
    row.attempt = 2;
    assert_true(run_row_has(&row, &head));
    head.attempt = UINT64_MAX;
    assert_false(run_row_has(&row, &head));
}

static void heads_of_jobs_are_read_as_written(void **state)
{
    uint64_t seed = 1;
    (void)state;
    for (int round = 0; round < 2000; round++) {
        _cleanup_(buf_fini) struct buf block;
        buf_init(&block, HEADERS_BYTES_MAX);
        char id[CUSTOM_ID_RAW_MAX + 1] = {0};
        struct job_head h = {0}, back;
        any_text(&seed, RUN_CHARS, RUN_MAX, h.run);
        if (!name_is_run(span_str(h.run))) {
            h.run[0] = '\0'; /* ".", say */
        }
        any_text(&seed, WILD_CHARS, WHY_MAX - 1, h.refused);
        any_text(&seed, WILD_CHARS, CUSTOM_ID_RAW_MAX, id);
        h.attempt = any_u64(&seed);
        h.line = any_u64(&seed);
        h.custom_id = span_str(id);
        assert_int_equal(job_head_encode(&h, &block), 0);
        assert_int_equal(job_head_decode(buf_span(&block), &back), 0);
        assert_string_equal(back.run, h.run);
        assert_string_equal(back.refused, h.refused);
        same_number(back.attempt, h.attempt);
        same_number(back.line, h.line);
        assert_true(span_eq(back.custom_id, h.custom_id));
    }
}

static void a_custom_id_longer_than_its_limit_is_not_echoed(void **state)
{
    _cleanup_(buf_fini) struct buf block;
    char id[CUSTOM_ID_RAW_MAX + 1] = {0};
    struct job_head h = {.custom_id = span_of(id, sizeof(id))};
    (void)state;
    buf_init(&block, HEADERS_BYTES_MAX);
    memset(id, 'x', sizeof(id));
    assert_int_equal(job_head_encode(&h, &block), -1);
    buf_reset(&block);
    headers_add(&block, "custom_id", h.custom_id);
    assert_int_equal(job_head_decode(buf_span(&block), &h), -1);
}

static void heads_of_results_are_read_as_written(void **state)
{
    uint64_t seed = 2;
    (void)state;
    for (int round = 0; round < 2000; round++) {
        _cleanup_(buf_fini) struct buf block;
        buf_init(&block, HEADERS_BYTES_MAX);
        struct result_head h = {0}, back;
        any_text(&seed, RUN_CHARS, RUN_MAX, h.run);
        any_text(&seed, NAME_CHARS, FEATURE_MAX, h.feature);
        any_text(&seed, WILD_CHARS, sizeof(h.why) - 1, h.why);
        h.attempt = any_u64(&seed);
        h.line = any_u64(&seed);
        h.status = (enum status)(next_number(&seed) % 4);
        h.paid = any_bool(&seed);
        h.unlimited = any_bool(&seed);
        assert_int_equal(result_head_encode(&h, &block), 0);
        assert_int_equal(result_head_decode(buf_span(&block), &back), 0);
        assert_string_equal(back.run, h.run);
        assert_string_equal(back.feature, h.feature);
        assert_string_equal(back.why, h.why);
        same_number(back.attempt, h.attempt);
        same_number(back.line, h.line);
        assert_int_equal(back.status, h.status);
        assert_int_equal(back.paid, h.paid);
        assert_int_equal(back.unlimited, h.unlimited);
    }
}

static struct spend_head any_spend_head(uint64_t *seed)
{
    struct spend_head h = {0};
    h.kind = (enum spend_kind)(next_number(seed) % 4);
    any_text(seed, NAME_CHARS, JOB_ID_MAX - 1, h.job);
    any_text(seed, RUN_CHARS, RUN_MAX, h.run);
    any_text(seed, NAME_CHARS, TEAM_MAX, h.team);
    any_text(seed, NAME_CHARS, FEATURE_MAX, h.feature);
    any_text(seed, RUN_CHARS, PROMPT_MODEL_MAX, h.model);
    h.attempt = any_u64(seed);
    h.try_n = (uint32_t)(next_number(seed) % LANE_TRIES_FREE) + 1;
    h.final = any_bool(seed);
    snprintf(h.day, sizeof(h.day), "2026-11-%02u",
             (unsigned)(next_number(seed) % 30 + 1));
    h.cost = usd_from_pico(any_i64(seed)); /* corrections go down too */
    h.usage = any_usage(seed);
    return h;
}

static void heads_of_charges_are_read_as_written(void **state)
{
    uint64_t seed = 3;
    (void)state;
    for (int round = 0; round < 2000; round++) {
        _cleanup_(buf_fini) struct buf block;
        buf_init(&block, HEADERS_BYTES_MAX);
        struct spend_head h = any_spend_head(&seed), back;
        assert_int_equal(spend_head_encode(&h, &block), 0);
        assert_int_equal(spend_head_decode(buf_span(&block), &back), 0);
        assert_int_equal(back.kind, h.kind);
        assert_string_equal(back.job, h.job);
        assert_string_equal(back.run, h.run);
        assert_string_equal(back.team, h.team);
        assert_string_equal(back.feature, h.feature);
        assert_string_equal(back.model, h.model);
        assert_string_equal(back.day, h.day);
        same_number(back.attempt, h.attempt);
        assert_int_equal(back.try_n, h.try_n);
        assert_int_equal(back.final, h.final);
        same_usd(back.cost, h.cost);
        same_usage(&back.usage, &h.usage);
    }
}

static void the_first_try_goes_without_saying(void **state)
{
    _cleanup_(buf_fini) struct buf block;
    struct spend_head h = {.job = "a.b/0/1/2", .kind = SPEND_USAGE}, back;
    struct span text;
    (void)state;
    buf_init(&block, HEADERS_BYTES_MAX);
    for (uint32_t said = 0; said <= 1; said++) { /* nobody has to count to one */
        h.try_n = said;
        buf_reset(&block);
        assert_int_equal(spend_head_encode(&h, &block), 0);
        assert_false(headers_get(buf_span(&block), "try", &text));
        assert_int_equal(spend_head_decode(buf_span(&block), &back), 0);
        assert_int_equal(back.try_n, 1);
    }
    h.try_n = 2;
    assert_int_equal(spend_head_encode(&h, &block), 0);
    assert_true(headers_get(buf_span(&block), "try", &text));
    assert_true(span_is(text, "2"));
}

/* ---- releases ---- */

static struct release any_release(uint64_t *seed)
{
    struct release r = {0};
    any_name(seed, r.team);
    any_name(seed, r.feature);
    snprintf(r.job, sizeof(r.job), "%s.%s/%u/%llu/%llu", r.team, r.feature,
             (unsigned)(next_number(seed) % 100000),
             (unsigned long long)(any_u64(seed) >> 16),
             (unsigned long long)(any_u64(seed) >> 24));
    r.verdict = (enum verdict)(next_number(seed) % 4);
    any_text(seed, RUN_CHARS, RUN_MAX, r.run);
    any_text(seed, RUN_CHARS, PROMPT_MODEL_MAX, r.model);
    any_text(seed, "0-#af", 19, r.prices);
    any_text(seed, "/v1chat", 32, r.path);
    snprintf(r.day, sizeof(r.day), "2026-11-%02u",
             (unsigned)(next_number(seed) % 30 + 1));
    r.attempt = any_u64(seed) >> 32;
    r.line = any_u64(seed) >> 16;
    r.lane = (enum lane)(next_number(seed) % 3);
    r.chain_len = (unsigned)(next_number(seed) % (PROMPT_CHAIN_MAX + 1));
    for (size_t i = 0; i < sizeof(r.key.b); i++) {
        r.key.b[i] = (uint8_t)next_number(seed);
    }
    for (unsigned i = 0; i < r.chain_len; i++) {
        r.chain[i] = (struct prompt_link){next_number(seed), (uint32_t)next_number(seed)};
    }
    r.reserved = any_usd(seed);
    r.tries = (uint32_t)(next_number(seed) % LANE_TRIES_FREE) + 1;
    r.input_bound = any_u64(seed) >> 24;
    r.output_bound = any_u64(seed) >> 24;
    r.inputs = (uint32_t)(next_number(seed) % 2049);
    r.fresh = any_bool(seed);
    r.fresh_ms = r.fresh ? (int64_t)(any_u64(seed) >> 24) : 0;
    r.reusable = any_bool(seed);
    r.unlimited = any_bool(seed);
    r.id_at = (uint32_t)any_u64(seed) >> 6;
    r.id_len = (uint32_t)any_u64(seed) >> 6;
    r.body_at = (uint32_t)any_u64(seed) >> 6;
    r.body_len = (uint32_t)any_u64(seed) >> 6;
    r.seen_budgets = any_u64(seed) >> 24;
    r.seen_spend = any_u64(seed) >> 24;
    return r;
}

static void same_release(const struct release *a, const struct release *b)
{
    assert_int_equal(a->verdict, b->verdict);
    assert_string_equal(a->job, b->job);
    assert_string_equal(a->run, b->run);
    assert_string_equal(a->team, b->team);
    assert_string_equal(a->feature, b->feature);
    same_number(a->attempt, b->attempt);
    same_number(a->line, b->line);
    assert_int_equal(a->lane, b->lane);
    assert_string_equal(a->model, b->model);
    assert_memory_equal(a->key.b, b->key.b, sizeof(a->key.b));
    assert_int_equal(a->chain_len, b->chain_len);
    for (unsigned i = 0; i < a->chain_len; i++) {
        same_number(a->chain[i].hash, b->chain[i].hash);
        same_number(a->chain[i].bytes, b->chain[i].bytes);
    }
    same_usd(a->reserved, b->reserved);
    assert_int_equal(a->tries, b->tries);
    same_number(a->input_bound, b->input_bound);
    same_number(a->output_bound, b->output_bound);
    same_number(a->inputs, b->inputs);
    assert_string_equal(a->prices, b->prices);
    assert_string_equal(a->day, b->day);
    assert_int_equal(a->fresh, b->fresh);
    same_number(a->fresh_ms, b->fresh_ms);
    assert_int_equal(a->reusable, b->reusable);
    assert_int_equal(a->unlimited, b->unlimited);
    same_number(a->id_at, b->id_at);
    same_number(a->id_len, b->id_len);
    same_number(a->body_at, b->body_at);
    same_number(a->body_len, b->body_len);
    assert_string_equal(a->path, b->path);
    same_number(a->seen_budgets, b->seen_budgets);
    same_number(a->seen_spend, b->seen_spend);
}

static void encode_release(const struct release *r, struct buf *block)
{
    struct err err = {0};
    if (release_encode(r, block, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    assert_true(block->n <= RELEASE_BYTES_MAX);
}

static void releases_are_read_as_written(void **state)
{
    uint64_t seed = 4;
    (void)state;
    for (int round = 0; round < 5000; round++) {
        _cleanup_(buf_fini) struct buf block;
        buf_init(&block, HEADERS_BYTES_MAX);
        struct release r = any_release(&seed), back;
        if (r.verdict != VERDICT_RUN) { /* such jobs have no prompt */
            r.chain_len = 0;
            memset(&r.key, 0, sizeof(r.key));
            any_text(&seed, WILD_CHARS "\xa9", 60, r.why);
        }
        encode_release(&r, &block);
        assert_int_equal(release_decode(buf_span(&block), &back), 0);
        same_release(&r, &back);
        assert_string_equal(back.why, r.why);
    }
}

static void fill(char *text, size_t size)
{
    memset(text, 'x', size - 1);
    text[size - 1] = '\0';
}

/* Every field as long as anything that happens can make it. `inputs` is not among them: only
 * embeddings have it, and their chain is one link. */
static struct release longest_release(void)
{
    struct release r = {
        .attempt = UINT32_MAX,
        .line = 999999999999999,
        .chain_len = PROMPT_CHAIN_MAX,
        .reserved = usd_from_pico(INT64_MAX),
        .tries = LANE_TRIES_FREE,
        .lane = LANE_POOL,
        .input_bound = 999999999999,
        .output_bound = 999999999999,
        .prices = "2026-11-21#a1b2c3d4",
        .day = "2026-11-21",
        .fresh = true,
        .fresh_ms = 9999999999999,
        .reusable = true,
        .unlimited = true,
        .id_at = 67108864,
        .id_len = 67108864,
        .body_at = 67108864,
        .body_len = 67108864,
        .path = "/v1/images/generations", /* of those that a batch may name */
        .seen_budgets = 999999999999,
        .seen_spend = 999999999999,
    };
    fill(r.team, sizeof(r.team));
    fill(r.feature, sizeof(r.feature));
    fill(r.run, sizeof(r.run));
    fill(r.model, sizeof(r.model));
    snprintf(r.job, sizeof(r.job), "%s.%s/99999/999999999999999/9999999999999", r.team,
             r.feature);
    memset(r.key.b, 0xa5, sizeof(r.key.b));
    for (unsigned i = 0; i < r.chain_len; i++) {
        r.chain[i] = (struct prompt_link){UINT64_MAX - i, UINT32_MAX};
    }
    return r;
}

static void the_longest_release_fits_with_all_its_links(void **state)
{
    _cleanup_(buf_fini) struct buf block;
    struct release r = longest_release(), back;
    (void)state;
    buf_init(&block, HEADERS_BYTES_MAX);
    encode_release(&r, &block);
    assert_int_equal(release_decode(buf_span(&block), &back), 0);
    same_release(&r, &back);
}

static void beyond_that_the_last_links_are_left_out_and_nothing_else(void **state)
{
    _cleanup_(buf_fini) struct buf block;
    struct release r = longest_release(), back;
    (void)state;
    buf_init(&block, HEADERS_BYTES_MAX);
    r.attempt = r.line = r.input_bound = r.output_bound = UINT64_MAX;
    r.seen_budgets = r.seen_spend = UINT64_MAX;
    r.id_at = r.id_len = r.body_at = r.body_len = UINT32_MAX;
    r.fresh_ms = INT64_MAX;
    fill(r.prices, sizeof(r.prices));
    snprintf(r.job, sizeof(r.job), "%s.%s/%u/%llu/%lld", r.team, r.feature, UINT32_MAX,
             (unsigned long long)UINT64_MAX, (long long)INT64_MAX);
    encode_release(&r, &block);
    assert_int_equal(release_decode(buf_span(&block), &back), 0);
    assert_in_range(back.chain_len, 1, PROMPT_CHAIN_MAX - 1);
    r.chain_len = back.chain_len;
    same_release(&r, &back);
}

static void a_reason_is_cut_to_what_fits_at_the_start_of_a_character(void **state)
{
    struct release r = longest_release(), back;
    (void)state;
    r.verdict = VERDICT_REJECTED;
    r.chain_len = 0;
    for (int lead = 0; lead < 3; lead++) { /* euro signs at three alignments */
        _cleanup_(buf_fini) struct buf block;
        buf_init(&block, HEADERS_BYTES_MAX);
        memset(r.why, 0, sizeof(r.why));
        memset(r.why, 'x', (size_t)lead);
        for (size_t n = (size_t)lead; n + 3 < sizeof(r.why); n += 3) {
            memcpy(r.why + n, "\xe2\x82\xac", 3);
        }
        encode_release(&r, &block);
        assert_in_range(block.n, RELEASE_BYTES_MAX - 2, RELEASE_BYTES_MAX);
        assert_int_equal(release_decode(buf_span(&block), &back), 0);
        size_t n = strlen(back.why);
        assert_true(n > 30);
        assert_memory_equal(back.why, r.why, n);
        assert_int_equal((n - (size_t)lead) % 3, 0);
    }
}

static void a_reservation_is_so_many_times_what_one_try_can_cost(void **state)
{
    static const struct {
        int64_t reserved, bound;
        uint32_t tries;
    } cases[] = {{2400, 2400, 1}, {2400, 1200, 2}, {0, 0, 8}, {2400, 2400, 0}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct release r = {.team = "a", .feature = "b", .job = "a.b/0/1/2"}, back;
        struct span text;
        _cleanup_(buf_fini) struct buf block;
        buf_init(&block, HEADERS_BYTES_MAX);
        r.reserved = usd_from_pico(cases[i].reserved);
        r.tries = cases[i].tries;
        encode_release(&r, &block);
        assert_int_equal(release_decode(buf_span(&block), &back), 0);
        assert_int_equal(back.tries, MAX_OF(cases[i].tries, 1u));
        same_number(usd_pico(release_try_bound(&r)), cases[i].bound);
        same_number(usd_pico(release_try_bound(&back)), cases[i].bound);
        /* one try goes without saying: the batch lane's releases are as they were */
        assert_int_equal(headers_get(buf_span(&block), "tries", &text),
                         cases[i].tries > 1);
    }
}

static void a_release_whose_job_is_of_another_queue_is_refused(void **state)
{
    _cleanup_(buf_fini) struct buf block;
    struct release r = {.team = "search", .feature = "tags", .job = "search.other/0/1/2"};
    struct err err = {0};
    (void)state;
    buf_init(&block, HEADERS_BYTES_MAX);
    assert_int_equal(release_encode(&r, &block, &err), -ERR_FAIL);
    assert_string_equal(err.msg, "could not release job 'search.other/0/1/2' of queue "
                                 "'search.tags': its id does not name that queue");
}

static void a_flush_needs_no_job(void **state)
{
    _cleanup_(buf_fini) struct buf block;
    struct release r = {.verdict = VERDICT_FLUSH}, back;
    (void)state;
    buf_init(&block, HEADERS_BYTES_MAX);
    encode_release(&r, &block);
    assert_int_equal(release_decode(buf_span(&block), &back), 0);
    assert_int_equal(back.verdict, VERDICT_FLUSH);
}

static void a_release_can_be_read_by_a_person(void **state)
{
    _cleanup_(buf_fini) struct buf block;
    struct release r = longest_release();
    struct span value;
    (void)state;
    buf_init(&block, HEADERS_BYTES_MAX);
    encode_release(&r, &block);
    assert_true(headers_get(buf_span(&block), "pico", &value));
    assert_true(span_is(value, "9223372036854775807"));
    assert_true(headers_get(buf_span(&block), "tokens", &value));
    assert_true(span_is(value, "999999999999,999999999999"));
    for (size_t i = 0, at = 0; i < 15; i++) {
        struct span name;
        assert_true(headers_next(buf_span(&block), &at, &name, &value));
        for (size_t j = 0; j < value.n; j++) {
            assert_in_range((unsigned char)value.p[j], ' ', '~');
        }
    }
}

/* ---- damage ---- */

static void names_a_newer_version_added_are_ignored(void **state)
{
    _cleanup_(buf_fini) struct buf block;
    struct release r = longest_release(), back;
    (void)state;
    buf_init(&block, HEADERS_BYTES_MAX);
    r.chain_len = 2;
    headers_adds(&block, "traceparent", "00-0af7651916cd43dd8448eb211c80319c");
    struct err err = {0};
    assert_int_equal(release_encode(&r, &block, &err), 0);
    headers_adds(&block, "later", "1");
    assert_int_equal(release_decode(buf_span(&block), &back), 0);
    same_release(&r, &back);
}

/* Decoders get a copy of exactly that size: reading outside of it stops the test. */
static void decode_all(const char *p, size_t n)
{
    struct release release;
    struct job_head job;
    struct result_head result;
    struct spend_head spend;
    char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, p, n);
    struct span block = span_of(copy, n);
    if (release_decode(block, &release) == 0) {
        assert_true(strlen(release.job) < sizeof(release.job));
        assert_true(release.chain_len <= PROMPT_CHAIN_MAX);
        assert_in_range(release.verdict, VERDICT_RUN, VERDICT_FLUSH);
        assert_in_range(release.lane, LANE_BATCH, LANE_POOL);
    }
    job_head_decode(block, &job);
    result_head_decode(block, &result);
    spend_head_decode(block, &spend);
    free(copy);
}

static void cut_and_flipped_blocks_are_refused_or_read_within_bounds(void **state)
{
    uint64_t seed = 5;
    (void)state;
    for (int round = 0; round < 60; round++) {
        _cleanup_(buf_fini) struct buf block;
        buf_init(&block, HEADERS_BYTES_MAX);
        struct release r = any_release(&seed), back;
        encode_release(&r, &block);
        for (size_t n = 0; n < block.n; n++) {
            decode_all(block.p, n);
        }
        for (size_t bit = 0; bit < 8 * block.n; bit++) {
            block.p[bit / 8] = (char)(block.p[bit / 8] ^ 1 << bit % 8);
            decode_all(block.p, block.n);
            block.p[bit / 8] = (char)(block.p[bit / 8] ^ 1 << bit % 8);
        }
        assert_int_equal(release_decode(span_of(block.p, block.n - 1), &back), -1);
    }
}

static void values_of_the_wrong_kind_are_refused(void **state)
{
    static const char *const wrong[][2] = {
        {"line", "12x"},
        {"line", "-1"},
        {"line", "18446744073709551616"},
        {"lane", "fast"},
        {"tokens", "1"},
        {"tokens", "1,2,3"},
        {"tokens", "1,"},
        {"at", "1,2,3"},
        {"at", "1,2,3,4294967296"},
        {"pico", "1.5"},
        {"fresh", "soon"},
        {"reuse", "yes"},
        {"day", "2026-11-210"},
        {"verdict", "maybe"},
        {"job", "search.tags/0/1"},
        {"key", "AAAA"},
        {"chain", "AAAA"},
        {"chain", "AAAAAAAAAAAAAAA="},
        {"key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB"}, /* spare bits set */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        _cleanup_(buf_fini) struct buf block;
        struct release back;
        buf_init(&block, HEADERS_BYTES_MAX);
        headers_adds(&block, wrong[i][0], wrong[i][1]);
        headers_adds(&block, "job", "search.tags/0/1/2");
        if (release_decode(buf_span(&block), &back) != -1) {
            fail_msg("%s=%s was accepted", wrong[i][0], wrong[i][1]);
        }
    }
}

/* ---- places and partitions of `ready` ---- */

static void a_place_is_a_partition_and_an_offset(void **state)
{
    const uint64_t last = (UINT64_C(1) << 48) - 1;
    (void)state;
    assert_int_equal(place_of(0, 42), 42);
    const struct queue_at at = place_at(place_of(11, last));
    assert_string_equal(at.topic, TOPIC_READY);
    assert_int_equal(at.partition, 11);
    assert_int_equal(at.offset, last);
    assert_int_equal(place_partition(place_of(65535, 7)), 65535);
    assert_int_equal(place_offset(place_of(65535, 7)), 7);
}

/* Fixed for life: another result of one of these would lose stored answers. */
static void equal_requests_meet_in_one_partition_for_ever(void **state)
{
    static const struct {
        uint64_t root, key;
        uint32_t of_1, of_3, of_12;
    } golden[] = {
        {UINT64_C(0x0123456789abcdef), UINT64_C(0x0000000000000000), 0, 0, 3},
        {UINT64_C(0x0123456789abcdef), UINT64_C(0x0000000000000001), 0, 1, 4},
        {UINT64_C(0x0123456789abcdef), UINT64_C(0x0000000000000002), 0, 2, 5},
        {UINT64_C(0x0123456789abcdef), UINT64_C(0x0000000000000003), 0, 0, 6},
        {UINT64_C(0xffffffffffffffff), UINT64_C(0xfffffffffffffffe), 0, 2, 5},
        {UINT64_C(0x0000000000000000), UINT64_C(0x0000000000000007), 0, 0, 3},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(golden); i++) {
        struct digest key = {{0}};
        for (int b = 0; b < 8; b++) {
            key.b[b] = (uint8_t)(golden[i].key >> (56 - 8 * b));
        }
        assert_int_equal(ready_partition(golden[i].root, &key, 1), golden[i].of_1);
        assert_int_equal(ready_partition(golden[i].root, &key, 3), golden[i].of_3);
        assert_int_equal(ready_partition(golden[i].root, &key, 12), golden[i].of_12);
    }
}

static void a_release_goes_by_its_request_or_by_its_job(void **state)
{
    struct release run = {.verdict = VERDICT_RUN, .chain_len = 1, .chain = {{.hash = 5}}};
    struct release no = {.verdict = VERDICT_REJECTED,
                         .job = "search.tags/0/7/1795227247311"};
    (void)state;
    run.key.b[7] = 2;
    assert_int_equal(release_partition(&run, 12), 7);
    assert_int_equal(release_partition(&run, 1), 0);
    assert_int_equal(release_partition(&no, 12), 11);
    assert_int_equal(release_partition(&no, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topics_and_tables_are_named_after_team_and_feature),
        cmocka_unit_test(only_jobs_topics_parse_as_such),
        cmocka_unit_test(a_job_id_says_where_the_job_stands),
        cmocka_unit_test(what_is_no_job_id_is_refused),
        cmocka_unit_test(rows_of_budgets_sort_by_their_edit),
        cmocka_unit_test(heads_of_jobs_are_read_as_written),
        cmocka_unit_test(heads_that_cannot_be_read_say_which_header_it_is),
        cmocka_unit_test(lines_that_cannot_be_of_a_run_are_told),
        cmocka_unit_test(a_custom_id_longer_than_its_limit_is_not_echoed),
        cmocka_unit_test(heads_of_results_are_read_as_written),
        cmocka_unit_test(heads_of_charges_are_read_as_written),
        cmocka_unit_test(the_first_try_goes_without_saying),
        cmocka_unit_test(releases_are_read_as_written),
        cmocka_unit_test(a_reservation_is_so_many_times_what_one_try_can_cost),
        cmocka_unit_test(the_longest_release_fits_with_all_its_links),
        cmocka_unit_test(beyond_that_the_last_links_are_left_out_and_nothing_else),
        cmocka_unit_test(a_reason_is_cut_to_what_fits_at_the_start_of_a_character),
        cmocka_unit_test(a_release_whose_job_is_of_another_queue_is_refused),
        cmocka_unit_test(a_flush_needs_no_job),
        cmocka_unit_test(a_release_can_be_read_by_a_person),
        cmocka_unit_test(names_a_newer_version_added_are_ignored),
        cmocka_unit_test(cut_and_flipped_blocks_are_refused_or_read_within_bounds),
        cmocka_unit_test(values_of_the_wrong_kind_are_refused),
        cmocka_unit_test(a_place_is_a_partition_and_an_offset),
        cmocka_unit_test(equal_requests_meet_in_one_partition_for_ever),
        cmocka_unit_test(a_release_goes_by_its_request_or_by_its_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
