/*
 * money.h - dollars as integers.
 *
 * struct usd is one amount in pico-dollars (1e-12 USD): every list price per token is exact
 * in it (0.0025 USD per million tokens is 2,500 pico-dollars a token; half of it still is an
 * integer), and one amount reaches 9.2 million dollars. struct usd_sum is a total, 128 bits
 * wide. Nothing is a float, nothing rounds: arithmetic either is exact or says it cannot be
 * done. The field `pico` is touched in this pair of files only (scripts/check).
 *
 * Amounts print as decimals with at most 12 places and no exponent, "0" for zero.
 */
#ifndef OFFPEAK_CORE_MONEY_H
#define OFFPEAK_CORE_MONEY_H

#include "core/attr.h"
#include "core/buf.h"
#include <stdbool.h>
#include <stdint.h>

struct usd {
    int64_t pico;
};

struct usd_sum {
    __int128 pico;
};

#define USD_ZERO     ((struct usd){0})
#define USD_TEXT_MAX 48 /* bytes a formatted amount or total needs, NUL included */

struct usd usd_from_pico(int64_t pico);
int64_t usd_pico(struct usd a); /* for records only: headers carry the integer */
MUST_USE bool usd_add(struct usd *acc,
                      struct usd b); /* false on overflow, acc unchanged */
MUST_USE bool usd_sub(struct usd *acc, struct usd b);
MUST_USE bool usd_mul(struct usd *ret, struct usd price, uint64_t count);
int usd_cmp(struct usd a, struct usd b);
bool usd_is_zero(struct usd a);

void usd_sum_add(struct usd_sum *acc, struct usd b);
void usd_sum_sub(struct usd_sum *acc, struct usd b);
void usd_sum_add_sum(struct usd_sum *acc, struct usd_sum b);
int usd_sum_cmp(struct usd_sum a, struct usd_sum b);
/* a + b + c <= limit, in the wide type: the question a gate asks. */
bool usd_fits(struct usd_sum spent, struct usd_sum reserved, struct usd more,
              struct usd limit);

/* "12.5", "0.000000000001"; at most 12 places, no sign, no exponent. -1 if it is not one. */
int usd_parse(struct span text, struct usd *ret);
int usd_sum_parse(struct span text,
                  struct usd_sum *ret); /* a decimal integer of picos, signed */
const char *usd_format(struct usd a, char ret[static USD_TEXT_MAX]);
const char *usd_sum_format(struct usd_sum a, char ret[static USD_TEXT_MAX]);
const char *usd_sum_picos(struct usd_sum a, char ret[static USD_TEXT_MAX]); /* "1234" */
/* For people: "$0.0123", at least two and at most `places` decimals, rounded half up. */
const char *usd_show(struct usd_sum a, int places, char ret[static USD_TEXT_MAX]);

#endif
