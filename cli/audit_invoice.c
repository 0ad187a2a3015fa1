/*
 * audit_invoice.c - spend beside a provider's invoice (docs/MONEY.md, "An invoice beside it").
 *
 * The invoice is a table in text: a line of column names, then one line for every amount. `amount_usd`
 * is what was billed; `batch` or `request` is the provider's id of what it was billed for. Several
 * lines of one id add up. Every charge goes to its batch's line, else to its request's; one whose
 * ids are on no line stands there by itself, billed nothing.
 */
#include "cli/audit_int.h"

#include "producer/csv.h"
#include "producer/input.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_MAX_BYTES ((size_t)64 << 10)
#define SEPARATOR      ','
#define NO_ID          "without an id"
#define WITHOUT_ID     "request " NO_ID

enum column { COLUMN_BATCH, COLUMN_REQUEST, COLUMN_AMOUNT, COLUMNS };
static const char *const column_names[COLUMNS] = {"batch", "request", "amount_usd"};

struct sheet {
    struct audit *a;
    const char *path;
    uint64_t line;   /* 0: nothing was read yet */
    int at[COLUMNS]; /* -1: there is none */
    struct buf plain;
    struct span fields[CSV_COLUMNS_MAX];
};

static int bad(const struct sheet *s, struct err *err, const char *why)
{
    err_set(err, ERR_INPUT, "could not read '%s': line %" PRIu64 ": %s", s->path, s->line,
            why);
    err_hint(err, "columns: batch or request, and amount_usd with at most 12 decimals");
    return -ERR_INPUT;
}

/* The bill of that id, made when it is new. */
static struct audit_bill *bill_of(struct audit *a, const char *kind, struct span id,
                                  struct err *err)
{
    char name[AUDIT_REF_MAX];
    uint64_t at;
    int n = snprintf(name, sizeof(name), "%s %.*s", kind,
                     (int)MIN_OF(id.n, (size_t)AUDIT_REF_MAX - 16), id.p);
    int is_new = audit_name(a, NAME_BILL, span_of(name, (size_t)n), &at, err);
    struct audit_bill *b = is_new < 0 ? NULL : slots_at(a->bill, at, err);
    if (b && is_new) {
        memcpy(b->id, name, sizeof(name));
    }
    return b;
}

/* ---- reading the invoice ---- */

static int take_names(struct sheet *s, int n, struct err *err)
{
    for (int c = 0; c < COLUMNS; c++) {
        s->at[c] = -1;
        for (int i = 0; i < n; i++) {
            s->at[c] = span_is(span_trim(s->fields[i]), column_names[c]) ? i : s->at[c];
        }
    }
    if (s->at[COLUMN_AMOUNT] < 0) {
        return bad(s, err, "there is no column 'amount_usd'");
    }
    return s->at[COLUMN_BATCH] < 0 && s->at[COLUMN_REQUEST] < 0
               ? bad(s, err, "there is no column 'batch' and no column 'request'")
               : 0;
}

static struct span field(const struct sheet *s, enum column c, int n)
{
    return s->at[c] >= 0 && s->at[c] < n ? span_trim(s->fields[s->at[c]]) : SPAN_NONE;
}

static int take_row(struct sheet *s, int n, struct err *err)
{
    struct audit *a = s->a;
    struct span batch = field(s, COLUMN_BATCH, n), request = field(s, COLUMN_REQUEST, n);
    struct span text = field(s, COLUMN_AMOUNT, n);
    struct usd amount;
    bool minus = text.n && text.p[0] == '-';
    if (!text.n || usd_parse(span_of(text.p + minus, text.n - minus), &amount) < 0) {
        return bad(s, err, "amount_usd is no amount");
    }
    if (!batch.n && !request.n) {
        return bad(s, err, "it names neither a batch nor a request");
    }
    struct audit_bill *b =
        bill_of(a, batch.n ? "batch" : "request", batch.n ? batch : request, err);
    if (!b) {
        return -ERR_FAIL;
    }
    b->listed = 1;
    b->rows++;
    (minus ? usd_sum_sub : usd_sum_add)(&b->billed, amount);
    (minus ? usd_sum_sub : usd_sum_add)(&a->counts.billed, amount);
    a->counts.bills++;
    return 0;
}

static int take_line(struct sheet *s, const struct input_line *line, struct err *err)
{
    const char *why = NULL;
    bool first = s->line == 0;
    s->line = line->number;
    if (line->too_long) {
        return bad(s, err, "it is longer than 64 KiB");
    }
    int n = csv_split(line->text, SEPARATOR, s->fields, &s->plain, &why);
    if (n < 0) {
        return bad(s, err, why);
    }
    return first ? take_names(s, n, err) : take_row(s, n, err);
}

static int read_lines(struct sheet *s, struct input *in, struct err *err)
{
    struct input_line line;
    int rc = 0;
    while (rc >= 0 && (rc = input_next(in, &line, err)) > 0) {
        rc = take_line(s, &line, err);
        audit_progress(s->a, "invoice", s->line, 0);
    }
    if (rc >= 0 && s->line == 0) {
        s->line = 1;
        rc = bad(s, err, "it is empty");
    }
    return rc;
}

int audit_invoice_read(struct audit *a, struct err *err)
{
    const char *path = a->conf->invoice;
    const struct input_conf conf = {
        .path = path, .label = path, .max_line = LINE_MAX_BYTES, .separator = SEPARATOR};
    struct input *in = NULL;
    int rc = path ? input_open(&in, &conf, err) : 0;
    if (!in) {
        return rc;
    }
    struct sheet *s = calloc(1, sizeof(*s));
    if (s) {
        *s = (struct sheet){.a = a, .path = path};
        buf_init(&s->plain, LINE_MAX_BYTES);
        rc = read_lines(s, in, err);
        buf_fini(&s->plain);
        free(s);
    } else {
        rc = err_set(err, ERR_FAIL, "could not read '%s': out of memory", path);
    }
    input_close(in);
    return rc;
}

/* ---- comparing ---- */

int audit_invoice_charge(struct audit *a, const struct audit_charge *c, struct err *err)
{
    bool named = c->batch[0] || c->request[0];
    bool free = c->known && usd_sum_cmp(c->cost, (struct usd_sum){0}) == 0;
    if (c->head.kind == SPEND_AVOIDED || (free && !named)) {
        return 0;
    }
    struct audit_bill *b = bill_of(a, c->batch[0] ? "batch" : "request",
                                   span_str(c->batch[0]     ? c->batch
                                            : c->request[0] ? c->request
                                                            : NO_ID),
                                   err);
    if (b && !b->listed && c->batch[0] && c->request[0]) {
        b = bill_of(a, "request", span_str(c->request), err);
        b = b && !b->listed ? bill_of(a, "batch", span_str(c->batch), err) : b;
    }
    if (!b) {
        return -ERR_FAIL;
    }
    b->charges++;
    b->unknown += !c->known && c->head.kind != SPEND_IN_DOUBT;
    usd_sum_add_sum(&b->spent, c->cost);
    usd_sum_add_sum(&b->doubt, c->doubt);
    return 0;
}

/* Billed, and no charge names it: perhaps a call in doubt, whose id nobody saw. */
static bool is_orphan(const struct audit_bill *b)
{
    return b->listed && !b->charges;
}

struct orphans {
    uint64_t n;
    struct usd_sum billed, doubt; /* doubt: of calls without an id */
};

static int count_orphans(struct audit *a, struct orphans *ret, struct err *err)
{
    *ret = (struct orphans){0};
    for (uint64_t i = 0; i < a->named[NAME_BILL]; i++) {
        const struct audit_bill *b = slots_at(a->bill, i, err);
        if (!b) {
            return -ERR_FAIL;
        }
        if (is_orphan(b)) {
            ret->n++;
            usd_sum_add_sum(&ret->billed, b->billed);
        }
        if (strcmp(b->id, WITHOUT_ID) == 0) {
            ret->doubt = b->doubt;
        }
    }
    return 0;
}

static void judge(struct audit *a, const struct audit_bill *b)
{
    struct usd_sum most = b->spent;
    char where[AUDIT_TEXT_MAX], e[AUDIT_TEXT_MAX], f[AUDIT_TEXT_MAX], one[USD_TEXT_MAX],
        two[USD_TEXT_MAX];
    usd_sum_add_sum(&most, b->doubt);
    bool least = usd_sum_cmp(b->billed, b->spent) >= 0;
    if (least && usd_sum_cmp(b->billed, most) <= 0) {
        if (usd_sum_cmp(b->billed, b->spent) != 0) {
            audit_note(a, "%s was billed %s: within %s in doubt", b->id,
                       usd_sum_format(b->billed, one), usd_sum_format(b->doubt, two));
        }
        return;
    }
    snprintf(where, sizeof(where), "%s, %" PRIu64 " spend record%s", b->id, b->charges,
             PLURAL(b->charges));
    int n = snprintf(e, sizeof(e), "%s", usd_sum_format(b->spent, one));
    if (usd_sum_cmp(most, b->spent) != 0) {
        n += snprintf(e + n, sizeof(e) - (size_t)n, " to %s", usd_sum_format(most, one));
    }
    if (b->unknown) {
        snprintf(e + n, sizeof(e) - (size_t)n, ", and %" PRIu64 " of unknown cost",
                 b->unknown);
    }
    snprintf(f, sizeof(f), "%s%s", b->listed ? "" : "no line of the invoice, ",
             usd_sum_format(b->billed, one));
    audit_differs(a, AUDIT_INVOICE, where, e, f);
}

int audit_invoice_judge(struct audit *a, struct err *err)
{
    struct orphans o;
    char one[USD_TEXT_MAX], two[USD_TEXT_MAX];
    int rc = count_orphans(a, &o, err);
    bool covered = rc >= 0 && usd_sum_cmp(o.billed, o.doubt) <= 0;
    if (rc >= 0 && o.n && covered) {
        audit_note(a,
                   "%" PRIu64
                   " id%s of the invoice, %s, that no charge names: within %s in "
                   "doubt of calls whose ids are not known",
                   o.n, PLURAL(o.n), usd_sum_format(o.billed, one),
                   usd_sum_format(o.doubt, two));
    }
    for (uint64_t i = 0; rc >= 0 && i < a->named[NAME_BILL]; i++) {
        const struct audit_bill *b = slots_at(a->bill, i, err);
        if (!b) {
            return -ERR_FAIL;
        }
        if (!covered || !is_orphan(b)) {
            judge(a, b);
        }
    }
    return rc;
}
