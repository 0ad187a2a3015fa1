/*
 * prices.h - the price book and the arithmetic of one charge.
 *
 * A price book is a dated, versioned JSON file (schemas/price-book.json; docs/MONEY.md tells how
 * to write one): per provider and model, rows valid from a day on; per row, tiers by prompt
 * length (a tier prices the whole request), per tier the unit prices of each lane. Unit prices
 * are decimals in USD per million tokens, as providers list them, kept as pico-dollars a token.
 * Servers of one's own are a provider without a list: price_book_pool makes their book.
 *
 * A model is found by its exact id, or by its base id when the name carries a date suffix
 * (gpt-4o-mini-2024-07-18). No row: the price is unknown, which is not free and not zero.
 *
 * usage.input includes cached tokens, as OpenAI reports them and OpenTelemetry defines it; the
 * four classes of a cost are disjoint: uncached input, cache read, cache write, output.
 */
#ifndef OFFPEAK_CORE_PRICES_H
#define OFFPEAK_CORE_PRICES_H

#include "core/buf.h"
#include "core/err.h"
#include "core/money.h"
#include <stdint.h>

#define PRICES_VERSION_MAX 20     /* "2026-11-21#a1b2c3d4" and its NUL */
#define PROVIDER_POOL      "pool" /* servers of one's own, in records */
#define PRICE_FREE         "free"
#define LANE_TRIES_FREE    8 /* of a call that costs nothing */

struct price_book;
struct price_row;

/* How a call is made: a provider's batch API, one by one, on servers of one's own. */
enum lane { LANE_BATCH, LANE_SYNC, LANE_POOL };
#define LANES (LANE_POOL + 1)

struct usage {
    uint64_t input, cache_read, cache_write, output, reasoning;
};

struct cost {
    struct usd input, cache_read, cache_write, output; /* disjoint */
    struct usd total;
};

/* How an answer came to a job: who saved the baseline. */
enum answer_source { SOURCE_PROVIDER, SOURCE_FLIGHT, SOURCE_CACHE };

/* A charge with its explanation: baseline - cost.total = sum of savings, exactly. */
struct charge {
    struct cost cost;
    struct usd baseline; /* the asked model, one by one, nothing cached */
    struct usd saved_dedupe, saved_response_cache, saved_routing, saved_batch,
        saved_prompt_cache;
};

int price_book_load(struct price_book **ret, const char *path, struct err *err);
int price_book_parse(struct price_book **ret, struct span json, const char *name,
                     struct err *err);
struct price_book *price_book_free(struct price_book *b);
const char *price_book_version(const struct price_book *b); /* "2026-11-21#a1b2c3d4" */
/* What servers of one's own cost: they have no list price, so somebody must say it. */
struct price_pool {
    const char *price; /* "free", or "INPUT/CACHED/OUTPUT" in USD per million tokens */
    uint64_t context_tokens, output_tokens_max; /* of whatever model they serve */
};
/* A book with that price for every model of provider "pool", in the pool lane only. ERR_USAGE
 * when it is no price. Its version is "pool#" and 8 hex digits of the price's text. */
int price_book_pool(struct price_book **ret, const struct price_pool *pool,
                    struct err *err);
/* The row valid on `day` ("2026-11-21"); NULL: unknown. */
const struct price_row *price_find(const struct price_book *b, const char *provider,
                                   struct span model, const char *day);
uint64_t price_context_tokens(const struct price_row *r);
uint64_t price_output_tokens_max(const struct price_row *r);

/* -1 on overflow or a usage that cannot be (cache parts larger than input). */
int price_cost(const struct price_row *r, enum lane lane, const struct usage *u,
               struct cost *ret);
int price_charge(const struct price_row *r, enum lane lane, enum answer_source source,
                 const struct usage *u, struct charge *ret);
/* No bill of that many tokens at most can be higher: dearest reachable tier, every input token
 * at the dearer of input and cache write. */
int price_bound(const struct price_row *r, enum lane lane, uint64_t input_max,
                uint64_t output_max, struct usd *ret);

/* It costs nothing, whatever its tokens: known to be 0, not unknown. */
bool price_is_free(const struct price_row *r, enum lane lane);
/* How often a call may be made when its answer is lost on the way, each time perhaps billed:
 * so many times its bound is reserved. A call that costs nothing is made more often. */
unsigned price_tries(const struct price_row *r, enum lane lane);

unsigned lane_tries(enum lane lane);        /* of a call that costs something */
extern const char *const lane_words[LANES]; /* in the order of enum lane */
const char *lane_name(enum lane lane);
int lane_parse(struct span s, enum lane *ret);

#endif
