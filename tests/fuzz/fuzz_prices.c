/* Any bytes as a price book, a price of one's own, or an amount: refused with words, or exact. */
#include "core/prices.h"
#include "core/prices_int.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <string.h>

/* No bill of so many tokens is above the bound; what was saved explains the rest, exactly. */
static void check_charge(const struct price_row *row, enum lane lane)
{
    const struct usage u = {
        .input = 3000, .cache_read = 1500, .cache_write = 200, .output = 900};
    struct charge c;
    struct usd bound, sum = USD_ZERO;
    if (price_bound(row, lane, u.input, u.output, &bound) < 0 ||
        price_charge(row, lane, SOURCE_PROVIDER, &u, &c) < 0) {
        return;
    }
    MUST(usd_cmp(c.cost.total, bound) <= 0);
    MUST(!price_is_free(row, lane) || usd_is_zero(c.cost.total));
    const struct usd parts[] = {c.cost.total,    c.saved_dedupe, c.saved_response_cache,
                                c.saved_routing, c.saved_batch,  c.saved_prompt_cache};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        MUST(usd_add(&sum, parts[i]));
    }
    MUST(usd_cmp(sum, c.baseline) == 0);
}

static void check_row(const struct price_book *book, const char *provider)
{
    const struct price_row *row =
        price_find(book, provider, SPAN_LIT("gpt-4o-mini"), "2026-11-21");
    for (int lane = 0; row && lane < LANES; lane++) {
        check_charge(row, (enum lane)lane);
    }
}

static void check_book(struct span text)
{
    struct err err = {0};
    struct price_book *book = NULL;
    int rc = price_book_parse(&book, text, "fuzz", &err);
    MUST((rc == 0) == (book != NULL) && (rc == 0 || err.msg[0]));
    if (book) {
        check_row(book, "openai");
        MUST(strlen(price_book_version(book)) < PRICES_VERSION_MAX);
    }
    price_book_free(book);
}

static void check_own(struct span text)
{
    struct err err = {0};
    struct price_book *book = NULL;
    char price[200];
    (void)snprintf(price, sizeof(price), "%.*s", (int)MIN_OF(text.n, 199u), text.p);
    const struct price_pool pool = {price, 8192, 4096};
    MUST((price_book_pool(&book, &pool, &err) == 0) == (book != NULL));
    if (book) {
        check_row(book, "pool");
    }
    price_book_free(book);
}

static void check_amount(struct span text)
{
    struct usd usd, again;
    struct usd_sum sum, sum_again;
    char shown[USD_TEXT_MAX];
    if (usd_parse(text, &usd) == 0) {
        usd_format(usd, shown);
        MUST(usd_parse(span_str(shown), &again) == 0 && usd_pico(usd) == usd_pico(again));
    }
    if (price_parse(text, &usd) == 0) {
        MUST(usd_parse(text, &again) == 0 && usd_pico(usd) == usd_pico(again) / 1000000);
    }
    if (usd_sum_parse(text, &sum) == 0) {
        MUST(usd_sum_parse(span_str(usd_sum_picos(sum, shown)), &sum_again) == 0);
        MUST(usd_sum_cmp(sum, sum_again) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span text = span_of(data, n);
    check_book(text);
    check_own(text);
    check_amount(text);
    return 0;
}
