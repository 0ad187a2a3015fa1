/* Any bytes as a table: records end inside them however they are cut, and fields lie inside their
 * record or its plain form. */
#include "producer/csv.h"
#include "tests/fuzz/fuzz.h"

static size_t end_of(const char *p, size_t n, size_t step)
{
    struct csv_scan scan = {0};
    for (size_t at = 0; at < n; at += step) {
        const char *end = csv_end(&scan, p + at, MIN_OF(step, n - at), ',');
        if (end) {
            MUST(end >= p + at && end < p + n && *end == '\n');
            return (size_t)(end - p);
        }
    }
    return n;
}

static void check_fields(struct span record)
{
    static struct span fields[CSV_COLUMNS_MAX];
    const char *why = NULL;
    _cleanup_(buf_fini) struct buf plain, again;
    buf_init(&plain, record.n + 1);
    buf_init(&again, 4 * record.n + 100);
    int n = csv_split(record, ',', fields, &plain, &why);
    MUST((n < 0) == (why != NULL));
    for (int i = 0; i < n; i++) {
        MUST(fields[i].n <= record.n);
        MUST(csv_add(&again, fields[i]) == 0);
        buf_addc(&again, ',');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *p = (const char *)data;
    size_t at = 0;
    while (at < n) {
        size_t end = end_of(p + at, n - at, n);
        MUST(end == end_of(p + at, n - at, 1));
        check_fields(span_of(p + at, end));
        at += end + 1;
    }
    return 0;
}
