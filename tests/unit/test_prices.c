/* Prices and charges: the shipped book against hand-computed bills, and sums that always close. */
#include "core/prices.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define BOOK   "schemas/price-book.json"
#define GOLDEN "tests/golden/openai/"
#define DAY    "2026-11-21"

static void free_book(struct price_book **b)
{
    *b = price_book_free(*b);
}

static void drop_json(json_t **json)
{
    json_decref(*json);
}

static struct price_book *shipped_book(void)
{
    struct price_book *book = NULL;
    struct err err = {0};
    if (price_book_load(&book, BOOK, &err) < 0) {
        fail_msg("%s (%s)", err.msg, err.hint);
    }
    return book;
}

static const struct price_row *row_of(const struct price_book *b, const char *model,
                                      const char *day)
{
    const struct price_row *row = price_find(b, "openai", span_str(model), day);
    if (!row) {
        fail_msg("%s has no price on %s", model, day);
    }
    return row;
}

static int64_t cost_of(const struct price_row *row, enum lane lane, struct usage u)
{
    struct cost cost;
    assert_int_equal(price_cost(row, lane, &u, &cost), 0);
    return usd_pico(cost.total);
}

static uint64_t next_number(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1dULL;
}

/* ---- the shipped book ---- */

static void every_model_the_vendor_sells_is_priced(void **state)
{
    static const char *const models[] = {
        "gpt-4o",       "gpt-4o-mini", "gpt-4.1",    "gpt-4.1-mini", "gpt-4.1-nano",
        "gpt-5",        "gpt-5-mini",  "gpt-5-nano", "gpt-5.4",      "gpt-5.4-mini",
        "gpt-5.4-nano", "gpt-5.5",     "gpt-5.6",    "gpt-5.6-sol",  "gpt-5.6-terra",
        "gpt-5.6-luna", "gpt-6-sol",   "gpt-6-luna", "gpt-6-astra",  "gpt-6.1-sol",
    };
    (void)state;
    _cleanup_(free_book) struct price_book *book = shipped_book();
    for (size_t i = 0; i < ARRAY_LEN(models); i++) {
        const struct price_row *row = row_of(book, models[i], DAY);
        for (size_t k = 0; k < i; k++) { /* by a row of its own */
            assert_ptr_not_equal(row, row_of(book, models[k], DAY));
        }
        assert_true(price_context_tokens(row) >= 128000);
        assert_true(price_output_tokens_max(row) >= 16384);
    }
}

static void a_version_is_the_date_and_the_digest_of_the_file(void **state)
{
    (void)state;
    _cleanup_(free_book) struct price_book *book = shipped_book();
    const char *version = price_book_version(book);
    assert_int_equal(strlen(version), 19);
    assert_int_equal(strncmp(version, "2026-11-21#", 11), 0);
    assert_int_equal(strspn(version + 11, "0123456789abcdef"), 8);
}

/* Computed by hand from the vendor's lists, USD per million tokens. */
static void bills_computed_by_hand_come_out_to_the_pico_dollar(void **state)
{
    static const struct {
        const char *model;
        enum lane lane;
        struct usage usage;
        int64_t picos;
    } bills[] = {
        /* 2010 x 0.075 + 3 x 0.30 = 151.65 micro-dollars */
        {"gpt-4o-mini", LANE_BATCH, {2010, 0, 0, 3, 0}, 151650000},
        {"gpt-4o-mini", LANE_SYNC, {2010, 0, 0, 3, 0}, 303300000},
        /* 90 x 0.15 + 1920 x 0.075 + 3 x 0.60 */
        {"gpt-4o-mini", LANE_SYNC, {2010, 1920, 0, 3, 0}, 159300000},
        /* 310 x 0.10 + 3900 x 0.01 + 180 x 0.60 */
        {"gpt-5.6-luna", LANE_BATCH, {4210, 3900, 0, 180, 0}, 178000000},
        /* 310 x 0.10 + 1024 x 0.01 + 2876 x 0.125 + 180 x 0.60 */
        {"gpt-5.6-luna", LANE_BATCH, {4210, 1024, 2876, 180, 0}, 508740000},
        /* reasoning is part of the output: 128 x 0.75 + 1920 x 0.075 + 60 x 4.50 */
        {"gpt-5.4-mini", LANE_SYNC, {2048, 1920, 0, 60, 32}, 510000000},
        /* listed: batch 0.05 / 0.005 cached / 0.25 */
        {"gpt-6-luna", LANE_BATCH, {1000, 400, 0, 100, 0}, 57000000},
        /* read at a twentieth: 1000 x 2 + 9000 x 0.10 + 50 x 10 */
        {"gpt-6.1-sol", LANE_SYNC, {10000, 9000, 0, 50, 0}, 3400000000},
        {"gpt-4.1-nano", LANE_BATCH, {1, 0, 0, 1, 0}, 250000},
        {"gpt-5-nano", LANE_BATCH, {1, 1, 0, 0, 0}, 2500},
        {"gpt-6-astra", LANE_SYNC, {1, 0, 0, 0, 0}, 10000000},
        {"gpt-4o", LANE_BATCH, {0, 0, 0, 0, 0}, 0},
    };
    (void)state;
    _cleanup_(free_book) struct price_book *book = shipped_book();
    for (size_t i = 0; i < ARRAY_LEN(bills); i++) {
        const struct price_row *row = row_of(book, bills[i].model, DAY);
        int64_t pico = cost_of(row, bills[i].lane, bills[i].usage);
        if (pico != bills[i].picos) {
            fail_msg("%s: %lld, not %lld", bills[i].model, (long long)pico,
                     (long long)bills[i].picos);
        }
    }
}

static void a_long_prompt_is_priced_as_a_whole_from_the_listed_edge_on(void **state)
{
    static const struct {
        const char *model;
        uint64_t last_short;
        int64_t short_pico, long_pico; /* of one input token */
    } edges[] = {
        {"gpt-5.4", 271999, 2500000, 5000000},
        {"gpt-5.5", 271999, 5000000, 10000000},
        {"gpt-5.6", 271999, 4000000, 8000000},
        {"gpt-5.6-sol", 271999, 4000000, 8000000},
        {"gpt-5.6-terra", 271999, 2000000, 4000000},
        {"gpt-5.6-luna", 271999, 200000, 400000},
        {"gpt-6-astra", 271999, 10000000, 20000000},
        {"gpt-6-sol", 272000, 2000000, 4000000},
        {"gpt-6-luna", 272000, 100000, 200000},
    };
    (void)state;
    _cleanup_(free_book) struct price_book *book = shipped_book();
    for (size_t i = 0; i < ARRAY_LEN(edges); i++) {
        const struct price_row *row = row_of(book, edges[i].model, DAY);
        uint64_t n = edges[i].last_short;
        assert_true(cost_of(row, LANE_SYNC, (struct usage){.input = n}) ==
                    (int64_t)n * edges[i].short_pico);
        assert_true(cost_of(row, LANE_SYNC, (struct usage){.input = n + 1}) ==
                    (int64_t)(n + 1) * edges[i].long_pico);
        assert_true(cost_of(row, LANE_BATCH, (struct usage){.input = n + 1}) ==
                    (int64_t)(n + 1) * edges[i].long_pico / 2);
    }
}

static void a_model_that_changed_its_price_is_priced_by_the_day(void **state)
{
    const struct usage one = {1, 0, 0, 1, 0};
    (void)state;
    _cleanup_(free_book) struct price_book *book = shipped_book();
    assert_true(cost_of(row_of(book, "gpt-5.6-sol", "2026-09-22"), LANE_SYNC, one) ==
                35000000);
    assert_true(cost_of(row_of(book, "gpt-5.6-sol", "2026-09-23"), LANE_SYNC, one) ==
                24000000);
    assert_true(cost_of(row_of(book, "gpt-5.6", "2026-09-22"), LANE_SYNC, one) ==
                35000000);
    assert_true(cost_of(row_of(book, "gpt-5.6", "2030-01-01"), LANE_SYNC, one) ==
                24000000);
    assert_null(price_find(book, "openai", SPAN_LIT("gpt-6-sol"), "2026-09-21"));
    assert_non_null(price_find(book, "openai", SPAN_LIT("gpt-6-sol"), "2026-09-22"));
}

static void a_dated_id_is_priced_by_its_own_row_or_by_its_base(void **state)
{
    const struct usage one = {1, 0, 0, 1, 0};
    (void)state;
    _cleanup_(free_book) struct price_book *book = shipped_book();
    assert_ptr_equal(row_of(book, "gpt-4o-mini-2024-07-18", DAY),
                     row_of(book, "gpt-4o-mini", DAY));
    assert_ptr_equal(row_of(book, "gpt-5.4-mini-2026-03-05", DAY),
                     row_of(book, "gpt-5.4-mini", DAY));
    assert_true(cost_of(row_of(book, "gpt-4o-2024-11-20", DAY), LANE_SYNC, one) ==
                12500000);
    assert_true(cost_of(row_of(book, "gpt-4o-2024-05-13", DAY), LANE_SYNC, one) ==
                20000000);
}

static void an_unknown_price_is_not_free(void **state)
{
    static const char *const unknown[] = {
        "",
        "gpt-4",
        "gpt-4o-min",
        "gpt-4o-mini ",
        "GPT-4O-MINI",
        "gpt-4o-mini-2024-7-18",
        "gpt-4o-mini-2024-07-18-x",
        "-2024-07-18",
        "gpt-4o-mini2024-07-18",
        "zzz",
        "gpt-4o-mini-20240718",
    };
    (void)state;
    _cleanup_(free_book) struct price_book *book = shipped_book();
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
        assert_null(price_find(book, "openai", span_str(unknown[i]), DAY));
    }
    assert_null(price_find(book, "mistral", SPAN_LIT("gpt-4o-mini"), DAY));
}

/* ---- servers of one's own ---- */

static struct price_book *pool_book(const char *price)
{
    struct price_pool pool = {
        .price = price, .context_tokens = 131072, .output_tokens_max = 4096};
    struct price_book *book = NULL;
    struct err err = {0};
    if (price_book_pool(&book, &pool, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    return book;
}

static void servers_of_ones_own_have_one_price_for_every_model(void **state)
{
    struct usage u = {1000, 600, 100, 50, 0};
    struct charge c;
    struct usd bound;
    (void)state;
    _cleanup_(free_book) struct price_book *book = pool_book("0.10/0.01/0.40");
    const struct price_row *row = price_find(book, PROVIDER_POOL, SPAN_LIT("any"), DAY);
    assert_non_null(row);
    assert_ptr_equal(row,
                     price_find(book, PROVIDER_POOL, SPAN_LIT("qwen3"), "1999-01-01"));
    assert_null(price_find(book, "openai", SPAN_LIT("any"), DAY));
    assert_null(price_find(book, PROVIDER_POOL, SPAN_LIT(""), DAY));
    assert_true(price_context_tokens(row) == 131072);
    assert_true(price_output_tokens_max(row) == 4096);
    assert_int_equal(price_charge(row, LANE_POOL, SOURCE_PROVIDER, &u, &c), 0);
    /* 400 x 0.10 (what is written to the cache costs what input costs) + 600 x 0.01 + 50 x 0.40 */
    assert_true(usd_pico(c.cost.total) == 66000000);
    assert_true(usd_pico(c.baseline) == 120000000);
    assert_true(usd_pico(c.saved_prompt_cache) == 54000000);
    assert_true(usd_is_zero(c.saved_batch));
    assert_int_equal(price_bound(row, LANE_POOL, 1000, 50, &bound), 0);
    assert_int_equal(usd_cmp(bound, c.baseline), 0);
}

static void a_pool_has_neither_a_batch_nor_a_standard_price(void **state)
{
    struct usage u = {1, 0, 0, 1, 0};
    struct cost cost;
    struct charge charge;
    struct usd bound;
    (void)state;
    _cleanup_(free_book) struct price_book *book = pool_book("free");
    const struct price_row *row = price_find(book, PROVIDER_POOL, SPAN_LIT("m"), DAY);
    for (enum lane lane = LANE_BATCH; lane <= LANE_SYNC; lane++) {
        assert_int_equal(price_cost(row, lane, &u, &cost), -1);
        assert_int_equal(price_charge(row, lane, SOURCE_PROVIDER, &u, &charge), -1);
        assert_int_equal(price_bound(row, lane, 1, 1, &bound), -1);
        assert_false(price_is_free(row, lane));
    }
}

static void free_is_said_by_that_word_or_by_three_zeros(void **state)
{
    static const char *const free_prices[] = {"free", "0/0/0", "0.0/0/0"};
    struct usage u = {1000000, 10, 10, 1000000, 0};
    struct charge c;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(free_prices); i++) {
        _cleanup_(free_book) struct price_book *book = pool_book(free_prices[i]);
        const struct price_row *row = price_find(book, PROVIDER_POOL, SPAN_LIT("m"), DAY);
        assert_true(price_is_free(row, LANE_POOL));
        assert_int_equal(price_tries(row, LANE_POOL), 8);
        assert_int_equal(price_charge(row, LANE_POOL, SOURCE_PROVIDER, &u, &c), 0);
        assert_true(usd_is_zero(c.baseline));
        assert_true(usd_is_zero(c.cost.total));
    }
    _cleanup_(free_book) struct price_book *book = pool_book("0/0/0.000001");
    const struct price_row *row = price_find(book, PROVIDER_POOL, SPAN_LIT("m"), DAY);
    assert_false(price_is_free(row, LANE_POOL));
    assert_int_equal(price_tries(row, LANE_POOL), 2);
}

static void what_is_no_price_of_a_pool_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",        "Free",          "free ",   "1",         "1/2",
        "1/2/3/4", "1/2/",          "//",      "1/2/three", "1/0.1/-4",
        "1 /1/1",  "1/1/0.0000001", "1,0/1/1", "$1/$1/$4",  "1e3/1/1",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct price_pool pool = {.price = wrong[i]};
        struct price_book *book = NULL;
        struct err err = {0};
        if (price_book_pool(&book, &pool, &err) != -ERR_USAGE) {
            fail_msg("'%s' was taken for a price", wrong[i]);
        }
        assert_null(book);
        assert_non_null(strstr(err.msg, "could not use pool.price '"));
        assert_non_null(strstr(err.hint, "INPUT/CACHED/OUTPUT"));
    }
}

static void a_pools_price_is_told_by_the_digest_of_its_text(void **state)
{
    (void)state;
    _cleanup_(free_book) struct price_book *none = pool_book("free");
    _cleanup_(free_book) struct price_book *some = pool_book("0.10/0.01/0.40");
    /* printf free | sha256sum */
    assert_string_equal(price_book_version(none), "pool#ad95d5fa");
    assert_string_equal(price_book_version(some), "pool#40e6df82");
}

static void a_call_is_made_as_often_as_its_lane_reserves_for(void **state)
{
    (void)state;
    _cleanup_(free_book) struct price_book *book = shipped_book();
    const struct price_row *row = row_of(book, "gpt-4o-mini", DAY);
    assert_int_equal(price_tries(row, LANE_BATCH), 1);
    assert_int_equal(price_tries(row, LANE_SYNC), 2);
    assert_int_equal(price_tries(row, LANE_POOL), lane_tries(LANE_POOL));
    assert_false(price_is_free(row, LANE_SYNC));
    assert_false(price_is_free(row, LANE_POOL)); /* unknown is not free */
}

static void servers_of_ones_own_have_no_list_price(void **state)
{
    struct usage u = {1, 0, 0, 1, 0};
    struct cost cost;
    struct charge charge;
    struct usd bound;
    (void)state;
    _cleanup_(free_book) struct price_book *book = shipped_book();
    const struct price_row *row = row_of(book, "gpt-4o", DAY);
    assert_int_equal(price_cost(row, LANE_POOL, &u, &cost), -1);
    assert_int_equal(price_charge(row, LANE_POOL, SOURCE_PROVIDER, &u, &charge), -1);
    assert_int_equal(price_bound(row, LANE_POOL, 1, 1, &bound), -1);
}

static void a_usage_that_cannot_be_is_not_priced(void **state)
{
    static const struct usage wrong[] = {
        {10, 11, 0, 0, 0},
        {10, 0, 11, 0, 0},
        {10, 6, 5, 0, 0},
        {10, 0, 0, 5, 6},
        {10, UINT64_MAX, 11, 0, 0},
        {UINT64_MAX, 0, 0, 0, 0},
        {0, 0, 0, UINT64_MAX / 2, 0},
    };
    (void)state;
    _cleanup_(free_book) struct price_book *book = shipped_book();
    const struct price_row *row = row_of(book, "gpt-4o", DAY);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct cost cost;
        struct charge charge;
        assert_int_equal(price_cost(row, LANE_SYNC, &wrong[i], &cost), -1);
        assert_int_equal(price_charge(row, LANE_BATCH, SOURCE_CACHE, &wrong[i], &charge),
                         -1);
    }
}

/* ---- charges ---- */

static void a_batch_call_saves_half_and_the_cache_the_rest(void **state)
{
    struct usage u = {4210, 3900, 0, 180, 0};
    struct charge c;
    (void)state;
    _cleanup_(free_book) struct price_book *book = shipped_book();
    const struct price_row *row = row_of(book, "gpt-5.6-luna", DAY);
    assert_int_equal(price_charge(row, LANE_BATCH, SOURCE_PROVIDER, &u, &c), 0);
    assert_true(usd_pico(c.baseline) == 1058000000);
    assert_true(usd_pico(c.saved_batch) == 529000000);
    assert_true(usd_pico(c.saved_prompt_cache) == 351000000);
    assert_true(usd_pico(c.cost.total) == 178000000);
    assert_true(usd_is_zero(c.saved_routing));
}

static void writing_to_the_cache_can_cost_more_than_it_saves(void **state)
{
    struct usage u = {4210, 0, 4000, 0, 0};
    struct charge c;
    (void)state;
    _cleanup_(free_book) struct price_book *book = shipped_book();
    assert_int_equal(price_charge(row_of(book, "gpt-5.6-luna", DAY), LANE_SYNC,
                                  SOURCE_PROVIDER, &u, &c),
                     0);
    assert_true(usd_is_zero(c.saved_batch));
    assert_true(usd_pico(c.saved_prompt_cache) ==
                -4000LL * 50000); /* a quarter of 0.20 */
}

static void an_answer_had_already_costs_nothing_and_saves_the_whole_baseline(void **state)
{
    struct usage u = {2010, 1920, 0, 3, 0};
    struct charge flight, cache;
    (void)state;
    _cleanup_(free_book) struct price_book *book = shipped_book();
    const struct price_row *row = row_of(book, "gpt-4o-mini", DAY);
    assert_int_equal(price_charge(row, LANE_BATCH, SOURCE_FLIGHT, &u, &flight), 0);
    assert_int_equal(price_charge(row, LANE_BATCH, SOURCE_CACHE, &u, &cache), 0);
    assert_true(usd_is_zero(flight.cost.total));
    assert_true(usd_is_zero(cache.cost.total));
    assert_true(usd_pico(flight.baseline) == 303300000);
    assert_true(usd_pico(flight.saved_dedupe) == 303300000);
    assert_true(usd_is_zero(flight.saved_response_cache));
    assert_true(usd_pico(cache.saved_response_cache) == 303300000);
    assert_true(usd_is_zero(cache.saved_dedupe));
}

/* Every day on which a row begins, so that each row of the file is drawn. */
struct drawn {
    char model[65], day[11];
};

static size_t draw_all(struct drawn *ret, size_t max)
{
    json_error_t why;
    json_t *row;
    size_t i, n = 0;
    _cleanup_(drop_json) json_t *root = json_load_file(BOOK, 0, &why);
    json_array_foreach(json_object_get(root, "rows"), i, row)
    {
        assert_true(n < max);
        snprintf(ret[n].model, sizeof(ret[n].model), "%s",
                 json_string_value(json_object_get(row, "model")));
        snprintf(ret[n].day, sizeof(ret[n].day), "%s",
                 json_string_value(json_object_get(row, "effective_from")));
        n++;
    }
    return n;
}

static struct usage any_usage(uint64_t *seed)
{
    struct usage u;
    u.input = next_number(seed) % (next_number(seed) % 2 ? 600000 : 3000);
    u.cache_read = next_number(seed) % (u.input + 1);
    u.cache_write = next_number(seed) % (u.input - u.cache_read + 1);
    u.output = next_number(seed) % 128000;
    u.reasoning = next_number(seed) % (u.output + 1);
    return u;
}

static void check_charge(const struct price_row *row, enum lane lane,
                         enum answer_source source, const struct usage *u)
{
    struct charge c;
    struct usd bound;
    assert_int_equal(price_charge(row, lane, source, u, &c), 0);
    int64_t parts = usd_pico(c.cost.input) + usd_pico(c.cost.cache_read) +
                    usd_pico(c.cost.cache_write) + usd_pico(c.cost.output);
    int64_t saved = usd_pico(c.saved_dedupe) + usd_pico(c.saved_response_cache) +
                    usd_pico(c.saved_routing) + usd_pico(c.saved_batch) +
                    usd_pico(c.saved_prompt_cache);
    assert_true(usd_pico(c.cost.total) == parts);
    assert_true(usd_pico(c.baseline) - usd_pico(c.cost.total) == saved);
    assert_true(usd_pico(c.saved_batch) >= 0);
    assert_int_equal(price_bound(row, lane, u->input, u->output, &bound), 0);
    assert_true(usd_cmp(c.cost.total, bound) <= 0);
    assert_int_equal(price_bound(row, lane, 2 * u->input + 7, u->output + 3, &bound), 0);
    assert_true(usd_cmp(c.cost.total, bound) <= 0);
}

static void for_every_row_and_usage_the_sums_close_and_the_bound_holds(void **state)
{
    struct drawn drawn[100];
    uint64_t seed = 20261121;
    (void)state;
    _cleanup_(free_book) struct price_book *book = shipped_book();
    size_t n = draw_all(drawn, ARRAY_LEN(drawn));
    assert_true(n >= 23);
    for (size_t i = 0; i < n; i++) {
        const struct price_row *row = row_of(book, drawn[i].model, drawn[i].day);
        for (int round = 0; round < 3000; round++) {
            struct usage u = any_usage(&seed);
            for (enum answer_source s = SOURCE_PROVIDER; s <= SOURCE_CACHE; s++) {
                check_charge(row, LANE_BATCH, s, &u);
                check_charge(row, LANE_SYNC, s, &u);
            }
        }
    }
}

static void a_bound_is_the_dearest_bill_that_its_tokens_allow(void **state)
{
    struct usd bound;
    (void)state;
    _cleanup_(free_book) struct price_book *book = shipped_book();
    const struct price_row *luna = row_of(book, "gpt-5.6-luna", DAY);
    /* every token written to the cache: 1000 x 0.125 + 10 x 0.60 */
    assert_int_equal(price_bound(luna, LANE_BATCH, 1000, 10, &bound), 0);
    assert_true(usd_pico(bound) == 131000000);
    /* from 272,000 on the long tier is reachable: 272000 x 0.25 + 10 x 0.90 */
    assert_int_equal(price_bound(luna, LANE_BATCH, 272000, 10, &bound), 0);
    assert_true(usd_pico(bound) == 272000LL * 250000 + 10LL * 900000);
    assert_int_equal(price_bound(luna, LANE_BATCH, 271999, 10, &bound), 0);
    assert_true(usd_pico(bound) == 271999LL * 125000 + 10LL * 600000);
    assert_int_equal(price_bound(luna, LANE_BATCH, UINT64_MAX, 0, &bound), -1);
    assert_int_equal(price_bound(luna, LANE_BATCH, 0, UINT64_MAX, &bound), -1);
}

/* ---- against replies on file, whose costs somebody else computed ---- */

static json_t *load(const char *name)
{
    char path[200];
    json_error_t why;
    snprintf(path, sizeof(path), GOLDEN "%s", name);
    json_t *json = json_load_file(path, 0, &why);
    if (!json) {
        fail_msg("%s: %s", path, why.text);
    }
    return json;
}

static uint64_t number(json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

static struct usage usage_of_reply(json_t *reply)
{
    json_t *body = json_object_get(json_object_get(reply, "response"), "body");
    json_t *usage = json_object_get(body ? body : reply, "usage");
    bool response = json_object_get(usage, "input_tokens") != NULL;
    json_t *input = json_object_get(usage, response ? "input_tokens_details"
                                                    : "prompt_tokens_details");
    json_t *output = json_object_get(usage, response ? "output_tokens_details"
                                                     : "completion_tokens_details");
    return (struct usage){
        .input = number(usage, response ? "input_tokens" : "prompt_tokens"),
        .cache_read = number(input, "cached_tokens"),
        .cache_write = number(input, "cache_write_tokens"),
        .output = number(usage, response ? "output_tokens" : "completion_tokens"),
        .reasoning = number(output, "reasoning_tokens"),
    };
}

static void expect_lane(const struct price_row *row, enum lane lane,
                        const struct usage *u, json_t *want)
{
    struct charge c;
    json_t *costs = json_object_get(want, lane_name(lane));
    assert_int_equal(price_charge(row, lane, SOURCE_PROVIDER, u, &c), 0);
    assert_true((uint64_t)usd_pico(c.cost.total) == number(costs, "cost_pico"));
    assert_true((uint64_t)usd_pico(c.cost.input) == number(costs, "input_pico"));
    assert_true((uint64_t)usd_pico(c.cost.cache_read) ==
                number(costs, "cache_read_pico"));
    assert_true((uint64_t)usd_pico(c.cost.cache_write) ==
                number(costs, "cache_write_pico"));
    assert_true((uint64_t)usd_pico(c.cost.output) == number(costs, "output_pico"));
    assert_true((uint64_t)usd_pico(c.baseline) == number(want, "baseline_pico"));
}

static void replies_on_file_cost_what_is_written_beside_them(void **state)
{
    const char *name;
    json_t *want;
    (void)state;
    _cleanup_(free_book) struct price_book *book = shipped_book();
    _cleanup_(drop_json) json_t *expected = load("expected.json");
    assert_true(json_object_size(expected) >= 15);
    json_object_foreach(expected, name, want)
    {
        _cleanup_(drop_json) json_t *reply = load(name);
        struct usage u = usage_of_reply(reply);
        json_t *usage = json_object_get(want, "usage");
        assert_true(u.input == number(usage, "input"));
        assert_true(u.cache_read == number(usage, "cache_read"));
        assert_true(u.cache_write == number(usage, "cache_write"));
        assert_true(u.output == number(usage, "output"));
        assert_true(u.reasoning == number(usage, "reasoning"));
        const struct price_row *row =
            row_of(book, json_string_value(json_object_get(want, "model")),
                   json_string_value(json_object_get(want, "day")));
        expect_lane(row, LANE_BATCH, &u, want);
        expect_lane(row, LANE_SYNC, &u, want);
    }
}

/* ---- books that are refused ---- */

#define HEAD                                                                             \
    "{\"schema\":\"offpeak.price-book/1\",\"date\":\"2026-11-21\",\"currency\":\"USD\"," \
    "\"unit\":\"per 1,000,000 tokens\",\"rows\":["
#define ROW(model, day, tiers)                                                              \
    "{\"provider\":\"p\",\"model\":\"" model "\",\"effective_from\":\"" day "\","           \
    "\"context_tokens\":1,\"max_output_tokens\":1,\"cache_min_tokens\":1,\"source\":\"s\"," \
    "\"tiers\":[" tiers "]}"
#define TIER(min, standard, batch) \
    "{\"min_prompt_tokens\":" min ",\"standard\":{" standard "},\"batch\":{" batch "}}"
#define PRICE(in, out) "\"input\":\"" in "\",\"output\":\"" out "\""
#define GOOD           TIER("0", PRICE("2", "4"), PRICE("1", "2"))
#define END            "]}"

static const struct {
    const char *json, *msg;
} refused[] = {
    {"{", "could not read price book 'b.json': line 1: "},
    {"[]", "could not read price book 'b.json': 'price book' must be an object"},
    {"{\"schema\":\"offpeak.price-book/2\"}",
     "'schema' must be \"offpeak.price-book/1\""},
    {HEAD ROW("m", "2026-1-1", GOOD) END, "row 1 (m): 'effective_from' must be a day"},
    {HEAD END, "'rows' must be a list of 1 to 10000 rows"},
    {HEAD "7" END, "row 1 (no model): 'rows' must hold objects"},
    {HEAD ROW("m", "2026-01-01", GOOD) "],\"flex\":[" END,
     "'flex' is not a field of a price book"},
    {HEAD "{\"model\":\"m\",\"flex\":1}" END, "row 1 (m): 'flex' is not a field"},
    {HEAD "{\"model\":\"m\"}" END, "row 1 (m): 'provider' must be a short text"},
    {HEAD ROW("m", "2026-01-01", "") END,
     "row 1 (m): 'tiers' must be a list of 1 to 8 tiers"},
    {HEAD ROW("m", "2026-01-01", "1") END, "row 1 (m): 'tiers' must hold objects"},
    {HEAD ROW("m", "2026-01-01",
              TIER("0", PRICE("2", "4"), PRICE("1", "2") ",\"flex\":\"1\"")) END,
     "row 1 (m): 'flex' is not a field of a price book"},
    {HEAD ROW("m", "2026-01-01", TIER("0", PRICE("0.1234567", "4"), PRICE("1", "2"))) END,
     "row 1 (m): 'input' must be USD per million tokens as a text, at most 6 decimals"},
    {HEAD ROW("m", "2026-01-01", TIER("0", PRICE("-1", "4"), PRICE("1", "2"))) END,
     "row 1 (m): 'input' must be USD"},
    {HEAD ROW("m", "2026-01-01", TIER("0", PRICE("1e2", "4"), PRICE("1", "2"))) END,
     "row 1 (m): 'input' must be USD"},
    {HEAD ROW("m", "2026-01-01",
              TIER("0", "\"input\":2,\"output\":\"4\"", PRICE("1", "2"))) END,
     "row 1 (m): 'input' must be USD"},
    {HEAD ROW("m", "2026-01-01", TIER("0", "\"input\":\"2\"", PRICE("1", "2"))) END,
     "row 1 (m): 'output' must be USD"},
    {HEAD ROW("m", "2026-01-01", TIER("0", PRICE("2", "4"), PRICE("3", "2"))) END,
     "row 1 (m): 'batch' must not be dearer than 'standard'"},
    {HEAD ROW("m", "2026-01-01", TIER("0", PRICE("2", "4"), PRICE("1", "5"))) END,
     "row 1 (m): 'batch' must not be dearer than 'standard'"},
    {HEAD ROW("m", "2026-01-01", TIER("5", PRICE("2", "4"), PRICE("1", "2"))) END,
     "row 1 (m): 'min_prompt_tokens' must be 0 in the first tier"},
    {HEAD ROW("m", "2026-01-01", GOOD "," GOOD) END,
     "row 1 (m): 'min_prompt_tokens' must be 0 in the first tier and rise"},
    {HEAD ROW("m", "2026-01-01", GOOD) "," ROW("l", "2026-01-01", GOOD) END,
     "row 2 (l): 'rows' is out of order"},
    {HEAD ROW("m", "2026-01-02", GOOD) "," ROW("m", "2026-01-01", GOOD) END,
     "row 2 (m): 'rows' is out of order"},
    {HEAD ROW("m", "2026-01-01", GOOD) "," ROW("m", "2026-01-01", GOOD) END,
     "row 2 (m): 'rows' is out of order"},
};

static void a_book_with_a_mistake_is_refused_with_its_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        _cleanup_(free_book) struct price_book *book = NULL;
        struct err err = {0};
        int rc = price_book_parse(&book, span_str(refused[i].json), "b.json", &err);
        if (rc != -ERR_INPUT || !strstr(err.msg, refused[i].msg) || book) {
            fail_msg("%s: %d '%s'", refused[i].json, rc, err.msg);
        }
    }
}

static void a_class_without_a_price_costs_what_input_costs(void **state)
{
    static const char json[] =
        HEAD ROW("m", "2026-01-01", TIER("0", PRICE("2", "4"), PRICE("1", "2"))) END;
    struct err err = {0};
    (void)state;
    _cleanup_(free_book) struct price_book *book = NULL;
    assert_int_equal(price_book_parse(&book, SPAN_LIT(json), "b.json", &err), 0);
    const struct price_row *row = price_find(book, "p", SPAN_LIT("m"), DAY);
    assert_non_null(row);
    assert_true(cost_of(row, LANE_SYNC, (struct usage){10, 3, 4, 0, 0}) == 20000000);
    assert_true(cost_of(row, LANE_BATCH, (struct usage){10, 3, 4, 0, 0}) == 10000000);
}

static void a_book_that_is_not_there_is_named(void **state)
{
    struct price_book *book = NULL;
    struct err err = {0};
    (void)state;
    assert_int_equal(price_book_load(&book, "no/such/book.json", &err), -ERR_USAGE);
    assert_string_equal(
        err.msg,
        "could not open price book 'no/such/book.json': No such file or directory");
    assert_non_null(strstr(err.hint, "prices.file"));
    assert_int_equal(price_book_load(&book, "tests", &err), -ERR_FAIL);
    assert_null(book);
}

static void lanes_read_back(void **state)
{
    enum lane lane;
    (void)state;
    for (unsigned i = LANE_BATCH; i <= LANE_POOL; i++) {
        assert_int_equal(lane_parse(span_str(lane_name((enum lane)i)), &lane), 0);
        assert_int_equal(lane, i);
    }
    assert_int_equal(lane_parse(SPAN_LIT("flex"), &lane), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_model_the_vendor_sells_is_priced),
        cmocka_unit_test(a_version_is_the_date_and_the_digest_of_the_file),
        cmocka_unit_test(bills_computed_by_hand_come_out_to_the_pico_dollar),
        cmocka_unit_test(a_long_prompt_is_priced_as_a_whole_from_the_listed_edge_on),
        cmocka_unit_test(a_model_that_changed_its_price_is_priced_by_the_day),
        cmocka_unit_test(a_dated_id_is_priced_by_its_own_row_or_by_its_base),
        cmocka_unit_test(an_unknown_price_is_not_free),
        cmocka_unit_test(servers_of_ones_own_have_no_list_price),
        cmocka_unit_test(servers_of_ones_own_have_one_price_for_every_model),
        cmocka_unit_test(a_pool_has_neither_a_batch_nor_a_standard_price),
        cmocka_unit_test(free_is_said_by_that_word_or_by_three_zeros),
        cmocka_unit_test(what_is_no_price_of_a_pool_is_refused),
        cmocka_unit_test(a_pools_price_is_told_by_the_digest_of_its_text),
        cmocka_unit_test(a_call_is_made_as_often_as_its_lane_reserves_for),
        cmocka_unit_test(a_usage_that_cannot_be_is_not_priced),
        cmocka_unit_test(a_batch_call_saves_half_and_the_cache_the_rest),
        cmocka_unit_test(writing_to_the_cache_can_cost_more_than_it_saves),
        cmocka_unit_test(
            an_answer_had_already_costs_nothing_and_saves_the_whole_baseline),
        cmocka_unit_test(for_every_row_and_usage_the_sums_close_and_the_bound_holds),
        cmocka_unit_test(a_bound_is_the_dearest_bill_that_its_tokens_allow),
        cmocka_unit_test(replies_on_file_cost_what_is_written_beside_them),
        cmocka_unit_test(a_book_with_a_mistake_is_refused_with_its_row),
        cmocka_unit_test(a_class_without_a_price_costs_what_input_costs),
        cmocka_unit_test(a_book_that_is_not_there_is_named),
        cmocka_unit_test(lanes_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
