/* The price of servers of one's own: one for every model, from the configuration. */
#include "core/prices_int.h"

#include "core/hash.h"

#include <stdio.h>
#include <stdlib.h>

#define PRICES 3 /* input, cached input, output */

/* "1/0.1/4" */
static int read_prices(struct span text, struct usd ret[static PRICES])
{
    for (unsigned i = 0; i < PRICES; i++) {
        const char *slash = text.n ? memchr(text.p, '/', text.n) : NULL;
        bool last = i + 1 == PRICES;
        struct span one = slash ? span_of(text.p, (size_t)(slash - text.p)) : text;
        if (last != (slash == NULL) || price_parse(one, &ret[i]) < 0) {
            return -1;
        }
        if (slash) {
            text = span_of(slash + 1, text.n - one.n - 1);
        }
    }
    return 0;
}

static int read_unit(const char *price, struct unit *ret, struct err *err)
{
    struct usd p[PRICES] = {USD_ZERO, USD_ZERO, USD_ZERO};
    if (strcmp(price, PRICE_FREE) != 0 && read_prices(span_str(price), p) < 0) {
        err_set(err, ERR_USAGE,
                "could not use pool.price '%.80s': it is neither the word free nor three "
                "prices",
                price);
        err_hint(err, "write INPUT/CACHED/OUTPUT in USD per million tokens, such as "
                      "0.10/0.01/0.40");
        return -ERR_USAGE;
    }
    *ret = (struct unit){
        .input = p[0], .cache_read = p[1], .cache_write = p[0], .output = p[2]};
    return 0;
}

int price_book_pool(struct price_book **ret, const struct price_pool *pool,
                    struct err *err)
{
    struct unit unit;
    char hex[HASH_HEX];
    int rc = read_unit(pool->price, &unit, err);
    if (rc < 0) {
        return rc;
    }
    struct price_book *b = calloc(1, sizeof(*b));
    struct price_row *row = b ? calloc(1, sizeof(*row)) : NULL;
    if (!row) {
        free(b);
        return err_set(err, ERR_FAIL, "could not keep the pool's price: out of memory");
    }
    *row = (struct price_row){
        .provider = PROVIDER_POOL,
        .own = true,
        .context_tokens = pool->context_tokens,
        .output_tokens_max = pool->output_tokens_max,
        .tiers_len = 1,
        .tiers = {{.lane = {unit}}},
    };
    *b = (struct price_book){.own = true, .rows_len = 1, .rows = row};
    snprintf(b->version, sizeof(b->version), "pool#%.8s",
             hash_hex(hash_of(span_str(pool->price)), hex));
    *ret = b;
    return 0;
}
