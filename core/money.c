#include "core/money.h"

#include <stdlib.h>

#define PLACES 12
#define ONE    INT64_C(1000000000000) /* picos in a dollar */

typedef unsigned __int128 wide;

struct usd usd_from_pico(int64_t pico)
{
    return (struct usd){pico};
}

int64_t usd_pico(struct usd a)
{
    return a.pico;
}

bool usd_add(struct usd *acc, struct usd b)
{
    int64_t sum;
    if (__builtin_add_overflow(acc->pico, b.pico, &sum)) {
        return false;
    }
    acc->pico = sum;
    return true;
}

bool usd_sub(struct usd *acc, struct usd b)
{
    int64_t rest;
    if (__builtin_sub_overflow(acc->pico, b.pico, &rest)) {
        return false;
    }
    acc->pico = rest;
    return true;
}

bool usd_mul(struct usd *ret, struct usd price, uint64_t count)
{
    int64_t product;
    if (__builtin_mul_overflow(price.pico, count, &product)) {
        return false;
    }
    ret->pico = product;
    return true;
}

int usd_cmp(struct usd a, struct usd b)
{
    return (a.pico > b.pico) - (a.pico < b.pico);
}

bool usd_is_zero(struct usd a)
{
    return a.pico == 0;
}

/* 2^64 of the largest amounts fit into a total; past that a wrong sum would be worse. */
static __int128 wide_sum(__int128 a, __int128 b)
{
    __int128 sum;
    if (__builtin_add_overflow(a, b, &sum)) {
        abort();
    }
    return sum;
}

void usd_sum_add(struct usd_sum *acc, struct usd b)
{
    acc->pico = wide_sum(acc->pico, b.pico);
}

void usd_sum_sub(struct usd_sum *acc, struct usd b)
{
    acc->pico = wide_sum(acc->pico, -(__int128)b.pico);
}

void usd_sum_add_sum(struct usd_sum *acc, struct usd_sum b)
{
    acc->pico = wide_sum(acc->pico, b.pico);
}

int usd_sum_cmp(struct usd_sum a, struct usd_sum b)
{
    return (a.pico > b.pico) - (a.pico < b.pico);
}

bool usd_fits(struct usd_sum spent, struct usd_sum reserved, struct usd more,
              struct usd limit)
{
    __int128 total;
    return !__builtin_add_overflow(spent.pico, reserved.pico, &total) &&
           !__builtin_add_overflow(total, more.pico, &total) && total <= limit.pico;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads digits from *at on into *acc; the number of them, -1 on overflow. */
static int read_digits(struct span text, size_t *at, int64_t *acc)
{
    int count = 0;
    for (; *at < text.n && is_digit(text.p[*at]); (*at)++, count++) {
        if (__builtin_mul_overflow(*acc, 10, acc) ||
            __builtin_add_overflow(*acc, text.p[*at] - '0', acc)) {
            return -1;
        }
    }
    return count;
}

int usd_parse(struct span text, struct usd *ret)
{
    int64_t pico = 0;
    size_t at = 0;
    int places = 0;
    if (read_digits(text, &at, &pico) <= 0) {
        return -1;
    }
    if (at < text.n && text.p[at] == '.') {
        at++;
        places = read_digits(text, &at, &pico);
        if (places <= 0) {
            return -1;
        }
    }
    if (at != text.n || places > PLACES) {
        return -1;
    }
    for (; places < PLACES; places++) {
        if (__builtin_mul_overflow(pico, 10, &pico)) {
            return -1;
        }
    }
    ret->pico = pico;
    return 0;
}

int usd_sum_parse(struct span text, struct usd_sum *ret)
{
    __int128 pico = 0;
    size_t at = text.n && text.p[0] == '-' ? 1 : 0;
    int sign = at ? -1 : 1;
    if (at == text.n) {
        return -1;
    }
    for (; at < text.n; at++) {
        if (!is_digit(text.p[at]) || __builtin_mul_overflow(pico, 10, &pico) ||
            __builtin_add_overflow(pico, sign * (text.p[at] - '0'), &pico)) {
            return -1;
        }
    }
    ret->pico = pico;
    return 0;
}

static wide magnitude(__int128 a)
{
    return a < 0 ? -(wide)a : (wide)a;
}

/* Writes `n` in decimal, with at least `width` digits, so that it ends before `end`. */
static char *write_digits(char *end, wide n, int width)
{
    for (; n || width > 0; n /= 10, width--) {
        *--end = (char)('0' + (int)(n % 10));
    }
    return end;
}

/* [-][$]whole[.fraction], the fraction with at least `places_min` digits. */
static const char *write_amount(wide n, const char *sign, int places_min, char *ret)
{
    wide fraction = n % ONE;
    char digits[USD_TEXT_MAX];
    char *end = digits + sizeof(digits);
    int places = PLACES;
    while (places > places_min && fraction % 10 == 0) {
        fraction /= 10;
        places--;
    }
    char *p = end;
    if (places > 0) {
        p = write_digits(p, fraction, places);
        *--p = '.';
    }
    p = write_digits(p, n / ONE, 1);
    size_t sign_n = strlen(sign);
    memcpy(ret, sign, sign_n);
    memcpy(ret + sign_n, p, (size_t)(end - p));
    ret[sign_n + (size_t)(end - p)] = '\0';
    return ret;
}

const char *usd_sum_format(struct usd_sum a, char ret[static USD_TEXT_MAX])
{
    return write_amount(magnitude(a.pico), a.pico < 0 ? "-" : "", 0, ret);
}

const char *usd_format(struct usd a, char ret[static USD_TEXT_MAX])
{
    return usd_sum_format((struct usd_sum){a.pico}, ret);
}

const char *usd_sum_picos(struct usd_sum a, char ret[static USD_TEXT_MAX])
{
    char digits[USD_TEXT_MAX];
    char *end = digits + sizeof(digits);
    char *p = write_digits(end, magnitude(a.pico), 1);
    if (a.pico < 0) {
        *--p = '-';
    }
    memcpy(ret, p, (size_t)(end - p));
    ret[end - p] = '\0';
    return ret;
}

const char *usd_show(struct usd_sum a, int places, char ret[static USD_TEXT_MAX])
{
    places = places < 2 ? 2 : MIN_OF(places, PLACES);
    wide unit = 1;
    for (int i = places; i < PLACES; i++) {
        unit *= 10;
    }
    wide rounded = (magnitude(a.pico) + unit / 2) / unit * unit;
    bool negative = a.pico < 0 && rounded > 0;
    return write_amount(rounded, negative ? "-$" : "$", 2, ret);
}
