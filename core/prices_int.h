/*
 * prices_int.h - what the files of prices.h share; nobody else includes it.
 *
 *   prices.c       looking up, and the arithmetic of a charge
 *   prices_book.c  a price book of providers, read from its file
 *   prices_pool.c  the one price of servers of one's own, from the configuration
 */
#ifndef OFFPEAK_CORE_PRICES_INT_H
#define OFFPEAK_CORE_PRICES_INT_H

#include "core/clock.h"
#include "core/prices.h"
#include "core/prompt.h"

#define BOOK_ROWS_MAX 10000
#define ROW_TIERS_MAX 8
#define PROVIDER_MAX  40
#define LANES_PRICED  2 /* of one row */
#define DAY_N         (CLOCK_DAY_TEXT - 1)

/* Prices of one token. */
struct unit {
    struct usd input, cache_read, cache_write, output;
};

struct tier {
    uint64_t min_prompt_tokens;
    struct unit
        lane[LANES_PRICED]; /* of a provider by enum lane; of own servers the first */
};

struct price_row {
    char provider[PROVIDER_MAX + 1], model[PROMPT_MODEL_MAX + 1], from[CLOCK_DAY_TEXT];
    bool own; /* servers of one's own: the pool lane has a price and no other */
    uint64_t context_tokens, output_tokens_max, cache_min_tokens;
    unsigned tiers_len;
    struct tier tiers[ROW_TIERS_MAX];
};

/* Rows are in order of provider, model, first day; of own servers one for every model. */
struct price_book {
    char version[PRICES_VERSION_MAX];
    bool own;
    size_t rows_len;
    struct price_row *rows;
};

/* "0.15" USD per million tokens -> 150,000 picos a token; -1 when it is no such price. */
int price_parse(struct span text, struct usd *ret);
bool price_is_day(const char *s); /* "2026-11-21" */

#endif
