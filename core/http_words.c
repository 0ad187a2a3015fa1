/* Times as reply headers spell them. Pure. */
#include "core/http.h"

#define DELAY_MAX_MS INT64_C(604800000) /* a week: more is a mistake of the other side */

int64_t http_delay_ms(struct span text, uint64_t unit_ms)
{
    struct span s = span_trim(text);
    const char *dot = s.n ? memchr(s.p, '.', s.n) : NULL;
    size_t whole_n = dot ? (size_t)(dot - s.p) : s.n;
    uint64_t whole, thousandths = 0;
    if (span_u64(span_of(s.p, whole_n), &whole) < 0) {
        return -1;
    }
    for (size_t i = 0; dot && i < 3; i++) {
        char c = whole_n + 1 + i < s.n ? s.p[whole_n + 1 + i] : '0';
        if (c < '0' || c > '9') {
            return -1;
        }
        thousandths = thousandths * 10 + (uint64_t)(c - '0');
    }
    if (whole >= (uint64_t)DELAY_MAX_MS / unit_ms) {
        return DELAY_MAX_MS;
    }
    return (int64_t)(whole * unit_ms + (thousandths * unit_ms + 999) / 1000);
}

/* The first that fits, so "ms" before "m". */
static const struct {
    const char *name;
    uint64_t ms;
} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};

int64_t http_duration_ms(struct span text)
{
    struct span rest = span_trim(text);
    int64_t sum_ms = rest.n ? 0 : -1;
    while (rest.n > 0) {
        size_t n = 0, unit = 0;
        while (n < rest.n &&
               (rest.p[n] == '.' || (rest.p[n] >= '0' && rest.p[n] <= '9'))) {
            n++;
        }
        struct span name = span_of(rest.p + n, rest.n - n);
        while (unit < ARRAY_LEN(units) &&
               (strlen(units[unit].name) > name.n ||
                memcmp(units[unit].name, name.p, strlen(units[unit].name)) != 0)) {
            unit++;
        }
        int64_t ms = unit < ARRAY_LEN(units)
                         ? http_delay_ms(span_of(rest.p, n), units[unit].ms)
                         : -1;
        if (ms < 0) {
            return -1;
        }
        sum_ms = MIN_OF(sum_ms + ms, DELAY_MAX_MS);
        n += strlen(units[unit].name);
        rest = span_of(rest.p + n, rest.n - n);
    }
    return sum_ms;
}
