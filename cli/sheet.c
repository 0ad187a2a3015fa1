#include "cli/sheet.h"

#include "cli/order.h"
#include "cli/reply.h"
#include "core/jtext.h"
#include "producer/csv.h"

#include <stdio.h>
#include <stdlib.h>

#define CELL_MAX QUEUE_VALUE_MAX
#define LINE_MAX (4 * QUEUE_VALUE_MAX) /* of a row: quotes are doubled */
#define ID_NAME  "\"custom_id\""

/* Where it was seen first: the order of the columns does not hang on that of the results. */
struct column {
    char *name; /* raw JSON string */
    size_t name_n;
    uint64_t line;
    unsigned place;
};

struct sheet {
    struct order *rows; /* tag: bytes of [row,custom_id]; then the fields of ours */
    struct queue_cursor *jobs;
    struct column columns[CSV_COLUMNS_MAX];
    unsigned columns_n;
    uint64_t gone;
    struct buf text, cell, line;
    struct outfile *out;
};

static const char *const ours[] = {"answer", "status", "cost_usd", "error"};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_FAIL, "could not write the results as a table: no memory");
}

int sheet_open(struct sheet **ret, struct queue *q, const char *dir, struct err *err)
{
    struct sheet *s = calloc(1, sizeof(*s));
    if (!s) {
        return no_memory(err);
    }
    buf_init(&s->text, LINE_MAX);
    buf_init(&s->cell, CELL_MAX);
    buf_init(&s->line, LINE_MAX);
    int rc = order_open(&s->rows, dir, err);
    if (rc >= 0) {
        rc = queue_cursor_open(q, &s->jobs, err);
    }
    if (rc < 0) {
        sheet_close(s);
        return rc;
    }
    *ret = s;
    return 0;
}

struct sheet *sheet_close(struct sheet *s)
{
    if (s) {
        order_close(s->rows);
        queue_cursor_close(s->jobs);
        for (unsigned i = 0; i < s->columns_n; i++) {
            free(s->columns[i].name);
        }
        buf_fini(&s->text);
        buf_fini(&s->cell);
        buf_fini(&s->line);
        free(s);
    }
    return NULL;
}

uint64_t sheet_gone(const struct sheet *s)
{
    return s->gone;
}

/* ---- columns ---- */

/* The column of that name; the likely one is looked at first. -1: there is none. */
static int column_find(const struct sheet *s, struct span name, unsigned likely)
{
    const struct column *c = &s->columns[likely];
    if (likely < s->columns_n && span_eq(span_of(c->name, c->name_n), name)) {
        return (int)likely;
    }
    for (unsigned i = 0; i < s->columns_n; i++) {
        c = &s->columns[i];
        if (jtext_cmp(span_of(c->name, c->name_n), name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static int column_see(struct sheet *s, struct span name, uint64_t line, unsigned place,
                      struct err *err)
{
    int at = column_find(s, name, place);
    if (at >= 0) {
        struct column *c = &s->columns[at];
        if (line < c->line) {
            c->line = line;
            c->place = place;
        }
        return 0;
    }
    if (s->columns_n == CSV_COLUMNS_MAX) {
        err_set(err, ERR_INPUT,
                "could not write the results as a table: they have more "
                "than %d columns",
                CSV_COLUMNS_MAX);
        err_hint(err, "offpeak results without --csv writes them as JSON lines");
        return -ERR_INPUT;
    }
    char *copy = strndup(name.p, name.n);
    if (!copy) {
        return no_memory(err);
    }
    s->columns[s->columns_n++] =
        (struct column){.name = copy, .name_n = name.n, .line = line, .place = place};
    return 0;
}

/* ---- one result ---- */

/* The job line as it stands in its topic: 1, 0 it is gone. */
static int fetch_job(struct sheet *s, struct span line, struct queue_msg *ret,
                     struct err *err)
{
    struct span own, id;
    struct queue_at at;
    char found[JOB_ID_MAX];
    if (!jtext_get(line, "offpeak", &own) || !jtext_get(own, "job_id", &id) ||
        jtext_type(id) != JTEXT_STRING) {
        return 0;
    }
    id = jtext_inside(id);
    if (job_id_place(id, &at) < 0) {
        return 0;
    }
    int rc = queue_fetch(s->jobs, &at, ret, err);
    if (rc > 0) {
        job_id_format(ret, found);
        rc = span_is(id, found);
    }
    return rc;
}

static int add_row(struct sheet *s, const struct result_head *head, struct span row,
                   struct err *err)
{
    struct span name, value;
    unsigned place = 0;
    int rc = 0;
    for (size_t at = 0; rc >= 0 && jtext_next(row, &at, &name, &value); place++) {
        rc = column_see(s, name, head->line, place, err);
    }
    return rc;
}

/* Appends [row,custom_id] to s->text. */
static int add_asked(struct sheet *s, const struct result_head *head, struct span line,
                     struct err *err)
{
    struct queue_msg job;
    struct span row = SPAN_NONE, id = SPAN_NONE;
    int rc = fetch_job(s, line, &job, err);
    if (rc > 0 &&
        (jtext_check(job.value, NULL) < 0 || jtext_type(job.value) != JTEXT_OBJECT ||
         !jtext_get(job.value, "row", &row) || jtext_type(row) != JTEXT_OBJECT)) {
        row = SPAN_NONE; /* of no table, or a row that was refused */
    }
    s->gone += rc == 0;
    bool named = jtext_get(line, "custom_id", &id) && jtext_type(id) == JTEXT_STRING;
    if (rc >= 0 && row.n) {
        rc = add_row(s, head, row, err);
    } else if (rc >= 0 && named) {
        rc = column_see(s, SPAN_LIT(ID_NAME), 0, 0, err);
    }
    buf_addc(&s->text, '[');
    buf_add(&s->text, row.n ? row.p : "null", row.n ? row.n : 4);
    buf_addc(&s->text, ',');
    buf_add(&s->text, named ? id.p : "null", named ? id.n : 4);
    buf_addc(&s->text, ']');
    return rc;
}

static void add_cell(struct sheet *s, struct buf *to)
{
    csv_add(to, buf_span(&s->cell));
    buf_reset(&s->cell);
}

/* Appends answer, status, cost_usd and error to s->text. */
static void add_ours(struct sheet *s, const struct result_head *head, struct span line)
{
    struct span own, cost;
    buf_reset(&s->cell);
    if (head->status == STATUS_OK) {
        reply_text(reply_body(line), &s->cell);
    }
    add_cell(s, &s->text);
    buf_addf(&s->text, ",%s,", status_name(head->status));
    if (jtext_get(line, "offpeak", &own) && jtext_get(own, "cost_usd", &cost) &&
        jtext_type(cost) == JTEXT_NUMBER) {
        buf_add(&s->text, cost.p, cost.n);
    }
    buf_addc(&s->text, ',');
    reply_error(line, &s->cell);
    add_cell(s, &s->text);
}

int sheet_add(struct sheet *s, const struct result_head *head, struct span line,
              struct err *err)
{
    buf_reset(&s->text);
    int rc = add_asked(s, head, line, err);
    if (rc < 0) {
        return rc;
    }
    uint32_t asked = (uint32_t)s->text.n;
    add_ours(s, head, line);
    return s->text.failed || s->cell.failed
               ? no_memory(err)
               : order_add(s->rows, head->line, asked, buf_span(&s->text), err);
}

/* ---- writing ---- */

static int compare(const void *a, const void *b)
{
    const struct column *x = a, *y = b;
    if (x->line != y->line) {
        return x->line < y->line ? -1 : 1;
    }
    return (x->place > y->place) - (x->place < y->place);
}

static void add_value(struct sheet *s, struct span value)
{
    if (jtext_type(value) == JTEXT_STRING) {
        jtext_string(value, &s->cell);
    } else if (value.n && jtext_type(value) != JTEXT_NULL) {
        buf_add(&s->cell, value.p, value.n);
    }
    add_cell(s, &s->line);
    buf_addc(&s->line, ',');
}

static int end_line(struct sheet *s, struct err *err)
{
    int rc = s->line.failed || s->cell.failed
                 ? no_memory(err)
                 : outfile_line(s->out, buf_span(&s->line), err);
    buf_reset(&s->line);
    return rc;
}

static int write_names(struct sheet *s, struct err *err)
{
    for (unsigned i = 0; i < s->columns_n; i++) {
        add_value(s, span_of(s->columns[i].name, s->columns[i].name_n));
    }
    for (unsigned i = 0; i < ARRAY_LEN(ours); i++) {
        char raw[32];
        snprintf(raw, sizeof(raw), "\"%s\"", ours[i]);
        bool taken = column_find(s, span_str(raw), 0) >= 0;
        buf_addf(&s->line, "%s%s%s", i ? "," : "", taken ? "offpeak_" : "", ours[i]);
    }
    return end_line(s, err);
}

static int write_row(void *ctx, uint32_t asked_n, struct span text, struct err *err)
{
    struct sheet *s = ctx;
    struct span values[CSV_COLUMNS_MAX], row = SPAN_NONE, id = SPAN_NONE, name, value;
    struct span asked = span_of(text.p, asked_n);
    size_t at = 0;
    memset(values, 0, s->columns_n * sizeof(*values));
    jtext_next(asked, &at, NULL, &row);
    jtext_next(asked, &at, NULL, &id);
    int own = column_find(s, SPAN_LIT(ID_NAME), 0);
    if (own >= 0) {
        values[own] = id; /* unless the table has one */
    }
    at = 0;
    for (unsigned i = 0;
         jtext_type(row) == JTEXT_OBJECT && jtext_next(row, &at, &name, &value); i++) {
        int column = column_find(s, name, i);
        if (column >= 0) {
            values[column] = value;
        }
    }
    for (unsigned i = 0; i < s->columns_n; i++) {
        add_value(s, values[i]);
    }
    buf_add(&s->line, text.p + asked_n, text.n - asked_n);
    return end_line(s, err);
}

int sheet_write(struct sheet *s, struct outfile *out, struct err *err)
{
    s->out = out;
    buf_reset(&s->cell);
    qsort(s->columns, s->columns_n, sizeof(*s->columns), compare);
    int rc = write_names(s, err);
    return rc < 0 ? rc : order_each(s->rows, write_row, s, err);
}
