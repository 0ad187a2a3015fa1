#include "cli/json.h"

#include "core/buf.h"

#include <inttypes.h>
#include <stdio.h>

#define TEXT_MAX ((size_t)64 << 10)

void json_text(const char *name, const char *value)
{
    _cleanup_(buf_fini) struct buf text;
    buf_init(&text, TEXT_MAX);
    if (value) {
        buf_add_json(&text, span_str(value));
    }
    printf("\"%s\":%s,", name, text.n ? text.p : "null");
}

void json_count(const char *name, uint64_t n)
{
    printf("\"%s\":%" PRIu64 ",", name, n);
}

void json_amount(const char *name, struct usd_sum amount)
{
    char text[USD_TEXT_MAX];
    printf("\"%s\":%s,", name, usd_sum_format(amount, text));
}
