#include "producer/csv.h"

#define QUOTE '"'

const char *csv_end(struct csv_scan *scan, const char *p, size_t n, char separator)
{
    for (const char *end = p + n; p < end; p++) {
        if (*p == '\n' && scan->at != CSV_QUOTED) {
            return p;
        }
        scan->feeds += *p == '\n';
        switch (scan->at) {
        case CSV_START: scan->at = *p == QUOTE ? CSV_QUOTED : CSV_PLAIN; break;
        case CSV_QUOTED: scan->at = *p == QUOTE ? CSV_CLOSED : CSV_QUOTED; continue;
        case CSV_CLOSED: scan->at = *p == QUOTE ? CSV_QUOTED : CSV_PLAIN; break;
        case CSV_PLAIN: break;
        }
        if (*p == separator && scan->at != CSV_QUOTED) {
            scan->at = CSV_START;
        }
    }
    return NULL;
}

/* The inside of a field in quotes, with doubled ones halved. */
static struct span undouble(struct span inside, struct buf *plain)
{
    if (!memchr(inside.p, QUOTE, inside.n)) {
        return inside;
    }
    size_t from = plain->n;
    for (size_t i = 0; i < inside.n; i++) {
        buf_addc(plain, inside.p[i]);
        i += inside.p[i] == QUOTE;
    }
    return span_of(plain->p + from, plain->n - from);
}

/* The field at *at, which moves behind it, onto the separator or the end. */
static const char *next_field(struct span record, char separator, size_t *at,
                              struct buf *plain, struct span *ret)
{
    size_t from = *at, end = from;
    if (from == record.n || record.p[from] != QUOTE) {
        const char *sep =
            from < record.n ? memchr(record.p + from, separator, record.n - from) : NULL;
        *at = sep ? (size_t)(sep - record.p) : record.n;
        *ret = span_of(record.p + from, *at - from);
        return NULL;
    }
    for (end = from + 1; end < record.n; end++) {
        if (record.p[end] != QUOTE) {
            continue;
        }
        if (end + 1 == record.n || record.p[end + 1] != QUOTE) {
            break;
        }
        end++;
    }
    if (end >= record.n) {
        return "a quote is opened and never closed";
    }
    *at = end + 1;
    *ret = undouble(span_of(record.p + from + 1, end - from - 1), plain);
    return *at < record.n && record.p[*at] != separator
               ? "there is text behind a closing quote"
               : NULL;
}

int csv_split(struct span record, char separator,
              struct span fields[static CSV_COLUMNS_MAX], struct buf *plain,
              const char **ret_why)
{
    int n = 0;
    buf_reset(plain);
    if (buf_reserve(plain, record.n) < 0) { /* what fields point at must not move */
        *ret_why = "there is no memory for it";
        return -1;
    }
    for (size_t at = 0;; at++) {
        if (n == CSV_COLUMNS_MAX) {
            *ret_why = "it has more than 1000 columns";
            return -1;
        }
        *ret_why = next_field(record, separator, &at, plain, &fields[n]);
        if (*ret_why) {
            return -1;
        }
        n++;
        if (at == record.n) {
            return n;
        }
    }
}

int csv_add(struct buf *b, struct span field)
{
    bool plain = field.n == 0 || (field.p[0] != ' ' && field.p[field.n - 1] != ' ');
    for (size_t i = 0; i < field.n && plain; i++) {
        plain = !strchr("\",\r\n", field.p[i]);
    }
    if (plain) {
        return buf_add(b, field.p, field.n);
    }
    buf_addc(b, QUOTE);
    for (size_t i = 0; i < field.n; i++) {
        if (field.p[i] == QUOTE) {
            buf_addc(b, QUOTE);
        }
        buf_addc(b, field.p[i]);
    }
    return buf_addc(b, QUOTE);
}
