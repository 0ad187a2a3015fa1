/* Budget lines: what their charges add up to, and what limits said when a job was let through. */
#include "cli/audit_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LEDGER_TRIES 100 /* for rows that change while they are read */
#define PERIODS      3

static const char *const period_names[PERIODS] = {"day", "month", "total"};
static const int period_chars[PERIODS] = {10, 7, 0}; /* of "2026-11-21" */

/* ---- the ledger as it stands ---- */

int audit_read_mark(struct audit *a, uint64_t *ret_next, uint64_t *ret_commit,
                    struct err *err)
{
    struct queue_msg row;
    *ret_next = *ret_commit = 0;
    int rc = queue_table_get(a->look, TABLE_MARKS, 0, SPAN_LIT("spend"), &row, err);
    if (rc > 0) {
        *ret_commit = row.commit;
        if (span_u64(row.value, ret_next) < 0 && !a->mark_broken) {
            a->mark_broken = true;
            audit_differs(a, AUDIT_RECORD_BROKEN, "table marks, row 'spend'", "a number",
                          "something else");
        }
    }
    return rc < 0 ? rc : 0;
}

static struct audit_line *line_at(struct audit *a, uint64_t at, struct err *err)
{
    return slots_at(a->line, at, err);
}

/* The line of that key; a new one counts what was applied before the tables were read. */
static int line_of(struct audit *a, const char *key, uint64_t *ret, struct err *err)
{
    int rc = audit_name(a, NAME_LINE, span_str(key), ret, err);
    if (rc > 0) {
        struct audit_line *line = line_at(a, *ret, err);
        if (!line) {
            return -ERR_FAIL;
        }
        line->applied = a->mark_ledger;
        snprintf(line->key, sizeof(line->key), "%s", key);
    }
    return rc < 0 ? rc : 0;
}

static int take_ledger_row(struct audit *a, const struct queue_msg *row, bool moving,
                           uint64_t applied, struct err *err)
{
    char key[AUDIT_NAME_MAX];
    uint64_t at;
    snprintf(key, sizeof(key), "%.*s", (int)row->key.n, row->key.p);
    int rc = line_of(a, key, &at, err);
    struct audit_line *line = rc < 0 ? NULL : line_at(a, at, err);
    if (!line) {
        return -ERR_FAIL;
    }
    line->moving = moving;
    line->applied = applied;
    line->found = (struct ledger_row){0};
    line->broken = ledger_row_decode(row->value, &line->found, NULL) < 0;
    return 0;
}

/* Rows and mark change in one commit. A row of a commit not after the mark's is the sum of exactly
 * what the mark says was applied, and so is every row when the mark stood still. */
static int read_ledger(struct audit *a, uint64_t *ret_moving, struct err *err)
{
    struct queue_msg row;
    uint64_t next, commit, after = 0, moving = 0;
    int rc = audit_read_mark(a, &next, &commit, err);
    a->mark_ledger = next;
    a->counts.ledger_lines = 0;
    if (rc >= 0) {
        rc = queue_read_table(a->cur, TABLE_LEDGER, 0, SPAN_NONE);
    }
    while (rc >= 0 && (rc = queue_read(a->cur, &row, err)) > 0) {
        rc = take_ledger_row(a, &row, row.commit > commit, next, err);
        moving += row.commit > commit;
        a->counts.ledger_lines++;
    }
    if (rc >= 0) {
        rc = audit_read_mark(a, &next, &after, err);
    }
    a->ledger_still = after == commit;
    *ret_moving = a->ledger_still ? 0 : moving;
    return rc;
}

int audit_read_ledger(struct audit *a, struct err *err)
{
    uint64_t moving = 1;
    int rc = 0;
    for (int i = 0; rc >= 0 && moving && i < LEDGER_TRIES; i++) {
        rc = read_ledger(a, &moving, err);
    }
    if (rc >= 0 && moving) {
        audit_note(a,
                   "%" PRIu64
                   " rows of the ledger change faster than they can be read: they "
                   "are not compared",
                   moving);
    }
    return rc;
}

/* ---- limits ---- */

static int add_edit(struct audit *a, const struct queue_msg *row, struct err *err)
{
    struct audit_edit *grown =
        realloc(a->edits, (a->edits_n + 1) * sizeof(*grown)); /* as many as people made */
    if (!grown) {
        return err_set(err, ERR_FAIL, "could not audit: out of memory");
    }
    a->edits = grown;
    grown[a->edits_n].commit = row->commit;
    if (budget_edit_decode(row->value, &grown[a->edits_n].edit, NULL) < 0) {
        char where[AUDIT_TEXT_MAX];
        snprintf(where, sizeof(where), "table budgets, row '%.*s'", (int)row->key.n,
                 row->key.p);
        audit_differs(a, AUDIT_RECORD_BROKEN, where, "a budget", "something else");
        return 0;
    }
    a->edits_n++;
    return 0;
}

static struct audit_scope *scope_of(struct audit *a, const char *scope, struct err *err)
{
    for (size_t i = 0; i < a->scopes_n; i++) {
        if (strcmp(a->scopes[i].scope, scope) == 0) {
            return &a->scopes[i];
        }
    }
    struct audit_scope *grown = realloc(a->scopes, (a->scopes_n + 1) * sizeof(*grown));
    if (!grown) {
        err_set(err, ERR_FAIL, "could not audit: out of memory");
        return NULL;
    }
    a->scopes = grown;
    struct audit_scope *new = &grown[a->scopes_n++];
    *new = (struct audit_scope){.known = false};
    snprintf(new->scope, sizeof(new->scope), "%s", scope);
    return new;
}

static int edit_cmp(const void *a, const void *b)
{
    const struct audit_edit *x = a, *y = b;
    return x->commit < y->commit ? -1 : x->commit > y->commit;
}

int audit_read_budgets(struct audit *a, struct err *err)
{
    struct queue_msg row;
    int rc = queue_read_table(a->cur, TABLE_BUDGETS, 0, SPAN_NONE);
    while (rc >= 0 && (rc = queue_read(a->cur, &row, err)) > 0) {
        rc = add_edit(a, &row, err);
    }
    for (size_t i = 0; rc >= 0 && i < a->edits_n; i++) {
        rc = scope_of(a, a->edits[i].edit.scope, err) ? 0 : -ERR_FAIL;
    }
    if (a->edits_n) {
        qsort(a->edits, a->edits_n, sizeof(*a->edits), edit_cmp);
    }
    return rc;
}

/* The budgets as a release had seen them. */
static void limits_at(struct audit *a, uint64_t seen)
{
    while (a->edits_next < a->edits_n && a->edits[a->edits_next].commit <= seen) {
        const struct budget_edit *e = &a->edits[a->edits_next++].edit;
        struct audit_scope *s = scope_of(a, e->scope, NULL);
        if (s && (!s->known || e->edit > s->now.edit)) {
            s->known = true;
            s->now = *e;
        }
    }
}

static bool limit_of(const struct budget_edit *e, unsigned period, struct usd *ret)
{
    const bool has[PERIODS] = {e->has_day, e->has_month, e->has_total};
    const struct usd limit[PERIODS] = {e->day, e->month, e->total};
    *ret = limit[period];
    return has[period];
}

/* ---- which lines a job counts on ---- */

static int fill_payer(struct audit *a, const struct audit_log *q, uint64_t run,
                      const char *day, struct audit_payer *p, struct err *err)
{
    char key[AUDIT_NAME_MAX];
    struct audit_run *r = slots_at(a->run, run, err);
    if (!r) {
        return -ERR_FAIL;
    }
    int rc = 0;
    *p = (struct audit_payer){.run = run + 1, .day = audit_day(day)};
    if (!r->line_known &&
        !r->limited) { /* its row may be gone; the ledger keeps its line */
        struct queue_msg row;
        r->line_known = 1;
        snprintf(key, sizeof(key), "run:%s|total|", r->name);
        rc = queue_table_get(a->look, TABLE_LEDGER, 0, span_str(key), &row, err);
        r->limited = rc > 0 ? 2 : 0;
    }
    bool on_run = r->limited;
    if (on_run) {
        snprintf(key, sizeof(key), "run:%s|total|", r->name);
        rc = line_of(a, key, &p->lines[2 * PERIODS], err);
    }
    for (unsigned i = 0; rc >= 0 && i < 2 * PERIODS; i++) {
        snprintf(key, sizeof(key), "%s%s%s|%s|%.*s", q->team, i < PERIODS ? "" : "/",
                 i < PERIODS ? "" : q->feature, period_names[i % PERIODS],
                 period_chars[i % PERIODS], day);
        rc = line_of(a, key, &p->lines[i], err);
    }
    p->n = 2 * PERIODS + on_run;
    return rc;
}

int audit_payer(struct audit *a, const struct audit_log *queue, uint64_t run,
                const char *day, struct audit_payer **ret, struct err *err)
{
    uint32_t number = audit_day(day);
    struct audit_payer *p = &a->payers[(run * 31 + number) % AUDIT_PAYERS];
    int rc = 0;
    if (p->run != run + 1 || p->day != number) {
        rc = fill_payer(a, queue, run, day, p, err);
        p->run = rc < 0 ? 0 : p->run;
    }
    *ret = p;
    return rc;
}

/* ---- releases ---- */

static void differ_limit(struct audit *a, const struct release *r,
                         const struct queue_msg *msg, const struct audit_line *line,
                         struct usd limit)
{
    char where[AUDIT_TEXT_MAX], at[AUDIT_TEXT_MAX], e[AUDIT_TEXT_MAX], f[AUDIT_TEXT_MAX];
    char one[USD_TEXT_MAX], two[USD_TEXT_MAX], three[USD_TEXT_MAX];
    snprintf(where, sizeof(where), "job %s, %s, line %s", r->job, audit_at(&msg->at, at),
             line->key);
    snprintf(e, sizeof(e), "at most %s", usd_format(limit, one));
    snprintf(f, sizeof(f), "%s spent or in doubt, %s reserved, %s more",
             usd_sum_format(line->gone, one), usd_sum_format(line->reserved, two),
             usd_format(r->reserved, three));
    audit_differs(a, AUDIT_LIMIT_PASSED, where, e, f);
}

static void differ_pause(struct audit *a, const struct release *r,
                         const struct queue_msg *msg, const struct budget_edit *e)
{
    char where[AUDIT_TEXT_MAX], at[AUDIT_TEXT_MAX], expected[AUDIT_TEXT_MAX];
    snprintf(where, sizeof(where), "job %s, %s", r->job, audit_at(&msg->at, at));
    snprintf(expected, sizeof(expected), "to wait: %s was paused by %s", e->scope,
             e->who);
    audit_differs(a, AUDIT_PAUSE_PASSED, where, expected, "a release");
}

/* The limit on a line of the payer's, as `seen`: false, there is none. */
static bool line_limit(struct audit *a, const struct audit_log *q, unsigned i,
                       struct usd max_cost, struct usd *ret)
{
    *ret = max_cost;
    if (i == 2 * PERIODS) {
        return true;
    }
    int scope = q->scopes[i / PERIODS];
    return scope >= 0 && a->scopes[scope].known &&
           limit_of(&a->scopes[scope].now, i % PERIODS, ret);
}

int audit_book_release(struct audit *a, struct audit_log *queue, const struct release *r,
                       const struct queue_msg *msg, uint64_t run, struct err *err)
{
    struct audit_payer *p;
    struct usd limit;
    limits_at(a, r->seen_budgets);
    for (int i = 0; i < 2; i++) {
        int s = queue->scopes[i];
        if (s >= 0 && a->scopes[s].known && a->scopes[s].now.paused) {
            differ_pause(a, r, msg, &a->scopes[s].now);
        }
    }
    int rc = audit_payer(a, queue, run, r->day, &p, err);
    struct audit_run *of = rc < 0 ? NULL : slots_at(a->run, run, err);
    if (!of) {
        return -ERR_FAIL;
    }
    struct usd max_cost = of->max_cost;
    unsigned n = of->limited == 1 ? p->n : 2 * PERIODS; /* 2: its limit is gone */
    for (unsigned i = 0; i < p->n; i++) {
        struct audit_line *line = line_at(a, p->lines[i], err);
        if (!line) {
            return -ERR_FAIL;
        }
        if (i < n && line_limit(a, queue, i, max_cost, &limit)) {
            a->counts.comparisons++;
            if (!usd_fits(line->gone, line->reserved, r->reserved, limit)) {
                differ_limit(a, r, msg, line, limit);
            }
        }
        usd_sum_add(&line->reserved, r->reserved);
    }
    return 0;
}

/* ---- charges ---- */

static void count_row(struct ledger_row *row, const struct spend_head *h)
{
    row->jobs += h->final;
    if (h->kind == SPEND_IN_DOUBT) {
        usd_sum_add(&row->in_doubt, h->cost);
        row->calls++;
    } else if (h->kind == SPEND_USAGE) {
        usd_sum_add(&row->spent, h->cost);
        row->tokens.input += h->usage.input;
        row->tokens.cache_read += h->usage.cache_read;
        row->tokens.cache_write += h->usage.cache_write;
        row->tokens.output += h->usage.output;
        row->tokens.reasoning += h->usage.reasoning;
        row->calls += h->usage.input > 0;
    }
}

int audit_book_charge(struct audit *a, const struct audit_booking *b, struct err *err)
{
    const struct spend_head *h = b->head;
    struct audit_payer *p;
    int rc = audit_payer(a, b->queue, b->run, h->day, &p, err);
    for (unsigned i = 0; rc >= 0 && i < p->n; i++) {
        struct audit_line *line = line_at(a, p->lines[i], err);
        if (!line) {
            return -ERR_FAIL;
        }
        usd_sum_sub(&line->reserved, b->held);
        if (h->kind == SPEND_USAGE || h->kind == SPEND_IN_DOUBT) {
            usd_sum_add(&line->gone, h->cost);
        }
        if (b->offset < line->applied) {
            count_row(&line->expected, h);
        }
    }
    return rc;
}

/* ---- the ledger derived again ---- */

/* Of a line only what differs is told: "spent 0.25, jobs 3". */
struct telling {
    char expected[AUDIT_TEXT_MAX], found[AUDIT_TEXT_MAX];
};

static void tell(char to[static AUDIT_TEXT_MAX], const char *what, const char *value)
{
    size_t n = strlen(to);
    snprintf(to + n, AUDIT_TEXT_MAX - n, "%s%s %s", n ? ", " : "", what, value);
}

static void compare_sum(struct telling *t, const char *what, struct usd_sum expected,
                        struct usd_sum found)
{
    char text[USD_TEXT_MAX];
    if (usd_sum_cmp(expected, found) != 0) {
        tell(t->expected, what, usd_sum_format(expected, text));
        tell(t->found, what, usd_sum_format(found, text));
    }
}

static void compare_count(struct telling *t, const char *what, uint64_t expected,
                          uint64_t found)
{
    char text[32];
    if (expected != found) {
        snprintf(text, sizeof(text), "%" PRIu64, expected);
        tell(t->expected, what, text);
        snprintf(text, sizeof(text), "%" PRIu64, found);
        tell(t->found, what, text);
    }
}

static void judge_line(struct audit *a, const struct audit_line *l)
{
    struct telling t = {.expected = ""};
    const struct ledger_row *e = &l->expected, *f = &l->found;
    char where[AUDIT_TEXT_MAX];
    snprintf(where, sizeof(where), "table ledger, row '%s'", l->key);
    if (l->broken) {
        audit_differs(a, AUDIT_RECORD_BROKEN, where, "a row of the ledger",
                      "something else");
        return;
    }
    compare_sum(&t, "spent", e->spent, f->spent);
    compare_sum(&t, "in doubt", e->in_doubt, f->in_doubt);
    compare_count(&t, "input tokens", e->tokens.input, f->tokens.input);
    compare_count(&t, "cache read tokens", e->tokens.cache_read, f->tokens.cache_read);
    compare_count(&t, "cache write tokens", e->tokens.cache_write, f->tokens.cache_write);
    compare_count(&t, "output tokens", e->tokens.output, f->tokens.output);
    compare_count(&t, "reasoning tokens", e->tokens.reasoning, f->tokens.reasoning);
    compare_count(&t, "jobs", e->jobs, f->jobs);
    compare_count(&t, "calls", e->calls, f->calls);
    if (t.expected[0]) {
        audit_differs(a, AUDIT_LEDGER, where, t.expected, t.found);
    }
}

int audit_judge_lines(struct audit *a, struct err *err)
{
    for (uint64_t i = 0; a->spend.first == 0 && i < a->named[NAME_LINE]; i++) {
        const struct audit_line *line = line_at(a, i, err);
        if (!line) {
            return -ERR_FAIL;
        }
        if (a->ledger_still || !line->moving) {
            judge_line(a, line);
        }
    }
    return 0;
}
