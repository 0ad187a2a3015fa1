#include "scheduler/books.h"

#include "core/queue.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct limits {
    char scope[TEAM_MAX + FEATURE_MAX + 2];
    struct budget_edit edit; /* the one in force */
    uint64_t commit;         /* of its row */
};

struct books {
    void *lines;  /* tsearch tree of struct line by key */
    void *limits; /* tsearch tree of struct limits by scope */
    struct budget_default deflt;
    uint64_t budgets_seen;
    unsigned dirty;
};

const char *period_name(enum period p)
{
    static const char *const names[] = {"day", "month", "total"};
    return names[p];
}

static int line_cmp(const void *a, const void *b)
{
    return strcmp(((const struct line *)a)->key, ((const struct line *)b)->key);
}

static int limits_cmp(const void *a, const void *b)
{
    return strcmp(((const struct limits *)a)->scope, ((const struct limits *)b)->scope);
}

int books_create(struct books **ret, const struct budget_default *deflt, struct err *err)
{
    struct books *b = calloc(1, sizeof(*b));
    if (!b) {
        return err_set(err, ERR_FAIL, "could not make the books: out of memory");
    }
    b->deflt = *deflt;
    *ret = b;
    return 0;
}

struct books *books_destroy(struct books *b)
{
    if (b) {
        tdestroy(b->lines, free);
        tdestroy(b->limits, free);
        free(b);
    }
    return NULL;
}

/* Finds the node of `key` in a tree, or adds a copy of it. */
static void *tree_node(void **tree, const void *key, size_t size,
                       int (*cmp)(const void *, const void *), bool *ret_new)
{
    void **found = tfind(key, tree, cmp);
    *ret_new = !found;
    if (found) {
        return *found;
    }
    void *copy = malloc(size);
    if (!copy) {
        return NULL;
    }
    memcpy(copy, key, size);
    if (!tsearch(copy, tree, cmp)) {
        free(copy);
        return NULL;
    }
    return copy;
}

static int out_of_memory(struct err *err)
{
    return err_set(err, ERR_FAIL, "could not keep the books: out of memory");
}

static int apply_edit(struct books *b, const struct budget_edit *edit, uint64_t commit,
                      struct err *err)
{
    struct limits key = {0};
    bool fresh;
    snprintf(key.scope, sizeof(key.scope), "%s", edit->scope);
    struct limits *l = tree_node(&b->limits, &key, sizeof(key), limits_cmp, &fresh);
    if (!l) {
        return out_of_memory(err);
    }
    if (fresh || edit->edit >= l->edit.edit) {
        l->edit = *edit;
        l->commit = commit;
    }
    return 0;
}

/* Was this row applied, or a later edit of its scope? By the numbers of the edits: those of
 * commits are each writer's own, and two who edit have two clocks. */
static bool is_known(const struct books *b, const struct queue_msg *row)
{
    struct limits key = {0};
    const char *mark = memrchr(row->key.p, '#', row->key.n);
    size_t n = mark ? (size_t)(mark - row->key.p) : row->key.n;
    if (!mark || n >= sizeof(key.scope)) {
        return false; /* decoding it will say what is wrong */
    }
    memcpy(key.scope, row->key.p, n);
    struct limits *const *found = tfind(&key, &b->limits, limits_cmp);
    char number[24] = "";
    memcpy(number, mark + 1, MIN_OF(row->key.n - n - 1, sizeof(number) - 1));
    uint64_t edit = strtoull(number, NULL, 10);
    return found && ((*found)->edit.edit > edit ||
                     ((*found)->edit.edit == edit && (*found)->commit == row->commit));
}

int books_refresh_limits(struct books *b, struct queue_cursor *c, struct err *err)
{
    struct queue_msg row;
    struct budget_edit edit;
    int changed = 0;
    int rc = queue_read_table(c, TABLE_BUDGETS, 0, SPAN_NONE);
    while (rc >= 0 && (rc = queue_read(c, &row, err)) > 0) {
        if (is_known(b, &row)) {
            continue;
        }
        rc = budget_edit_decode(row.value, &edit, err);
        if (rc >= 0) {
            rc = apply_edit(b, &edit, row.commit, err);
        }
        changed = 1;
        b->budgets_seen = MAX_OF(b->budgets_seen, row.commit);
    }
    return rc < 0 ? rc : changed;
}

uint64_t books_budgets_seen(const struct books *b)
{
    return b->budgets_seen;
}

static const struct budget_edit *edit_of(const struct books *b, const char *scope)
{
    struct limits key = {0};
    snprintf(key.scope, sizeof(key.scope), "%s", scope);
    struct limits *const *found = tfind(&key, &b->limits, limits_cmp);
    return found ? &(*found)->edit : NULL;
}

static void feature_scope(char *ret, size_t size, const char *team, const char *feature)
{
    snprintf(ret, size, "%s/%s", team, feature);
}

bool books_paused(const struct books *b, const char *team, const char *feature,
                  struct budget_edit *ret)
{
    char scope[TEAM_MAX + FEATURE_MAX + 2];
    feature_scope(scope, sizeof(scope), team, feature);
    const char *const scopes[] = {team, scope};
    for (size_t i = 0; i < ARRAY_LEN(scopes); i++) {
        const struct budget_edit *e = edit_of(b, scopes[i]);
        if (e && e->paused) {
            *ret = *e;
            return true;
        }
    }
    return false;
}

/* The line of that key; a new one starts from its row in `ledger`. */
static struct line *line_of(struct books *b, struct queue_cursor *c, const char *key,
                            struct err *err)
{
    struct line wanted = {0};
    struct queue_msg row;
    bool fresh;
    snprintf(wanted.key, sizeof(wanted.key), "%s", key);
    struct line *line = tree_node(&b->lines, &wanted, sizeof(wanted), line_cmp, &fresh);
    if (!line) {
        out_of_memory(err);
        return NULL;
    }
    if (!fresh) {
        return line;
    }
    int rc = queue_table_get(c, TABLE_LEDGER, 0, span_str(key), &row, err);
    if (rc > 0) {
        rc = ledger_row_decode(row.value, &line->row, err);
    }
    return rc < 0 ? NULL : line;
}

/* `which` names the period within its kind: a day, a month, or nothing. */
static void line_key(char *ret, size_t size, const char *scope, enum period p,
                     const char *day)
{
    int which = p == PERIOD_DAY ? 10 : p == PERIOD_MONTH ? 7 : 0;
    snprintf(ret, size, "%s|%s|%.*s", scope, period_name(p), which, day);
}

static void limit_of(const struct books *b, struct line_view *v)
{
    const struct budget_edit *e =
        budget_default_for(&b->deflt, v->scope, edit_of(b, v->scope));
    if (!e) {
        return;
    }
    const bool has[] = {e->has_day, e->has_month, e->has_total};
    const struct usd limit[] = {e->day, e->month, e->total};
    v->limited = has[v->period];
    v->limit = limit[v->period];
}

static int add_view(struct books *b, struct queue_cursor *c, const char *day,
                    struct line_view *v, struct err *err)
{
    char key[QUEUE_KEY_MAX];
    line_key(key, sizeof(key), v->scope, v->period, day);
    v->line = line_of(b, c, key, err);
    return v->line ? 0 : -ERR_FAIL;
}

static int add_run_view(struct books *b, struct queue_cursor *c, const struct payer *p,
                        struct line_view *v, struct err *err)
{
    *v = (struct line_view){.period = PERIOD_TOTAL, .limited = true, .is_run = true};
    v->limit = *p->max_cost;
    snprintf(v->scope, sizeof(v->scope), "run:%s/%s/%s", p->team, p->feature, p->run);
    return add_view(b, c, p->day, v, err);
}

int books_lines(struct books *b, struct queue_cursor *c, const struct payer *p,
                struct line_view ret[static BOOKS_LINES_MAX], unsigned *ret_n,
                struct err *err)
{
    unsigned n = 0;
    for (unsigned scope = 0; scope < 2; scope++) {
        for (unsigned period = 0; period < PERIODS; period++, n++) {
            struct line_view *v = &ret[n];
            *v = (struct line_view){.period = (enum period)period};
            if (scope == 0) {
                snprintf(v->scope, sizeof(v->scope), "%s", p->team);
            } else {
                feature_scope(v->scope, sizeof(v->scope), p->team, p->feature);
            }
            if (add_view(b, c, p->day, v, err) < 0) {
                return -ERR_FAIL;
            }
            limit_of(b, v);
        }
    }
    if (p->max_cost) {
        if (add_run_view(b, c, p, &ret[n], err) < 0) {
            return -ERR_FAIL;
        }
        n++;
    }
    *ret_n = n;
    return 0;
}

void books_reserve(const struct line_view *lines, unsigned n, struct usd amount)
{
    for (unsigned i = 0; i < n; i++) {
        usd_sum_add(&lines[i].line->reserved, amount);
        lines[i].line->open_jobs++;
    }
}

static void count_usage(struct ledger_row *row, const struct usage *u)
{
    row->tokens.input += u->input;
    row->tokens.cache_read += u->cache_read;
    row->tokens.cache_write += u->cache_write;
    row->tokens.output += u->output;
    row->tokens.reasoning += u->reasoning;
}

static void settle_line(struct line *line, struct usd held,
                        const struct spend_head *spend)
{
    usd_sum_sub(&line->reserved, held);
    line->open_jobs -= spend->final;
    line->row.jobs += spend->final;
    switch (spend->kind) {
    case SPEND_USAGE:
        usd_sum_add(&line->row.spent, spend->cost);
        count_usage(&line->row, &spend->usage);
        line->row.calls += spend->usage.input > 0;
        break;
    case SPEND_IN_DOUBT:
        usd_sum_add(&line->row.in_doubt, spend->cost);
        line->row.calls++;
        break;
    case SPEND_AVOIDED:
    case SPEND_CORRECTION: break;
    }
}

void books_settle(struct books *b, const struct line_view *lines, unsigned n,
                  struct open_row *open, const struct spend_head *spend)
{
    bool all = spend->final || usd_cmp(spend->cost, open->reserved) > 0;
    struct usd held = all ? open->reserved : spend->cost;
    for (unsigned i = 0; i < n; i++) {
        struct line *line = lines[i].line;
        settle_line(line, held, spend);
        b->dirty += !line->dirty;
        line->dirty = true;
    }
    open->reserved = usd_from_pico(usd_pico(open->reserved) - usd_pico(held));
    open->tried = MAX_OF(open->tried, (uint64_t)spend->try_n);
}

unsigned books_dirty(const struct books *b)
{
    return b->dirty;
}

struct writing {
    struct queue_tx *tx;
    struct err *err;
    int rc;
};

static void write_line(const void *node, VISIT visit, void *ctx)
{
    struct writing *w = ctx;
    struct line *line = *(struct line *const *)node;
    if ((visit != postorder && visit != leaf) || !line->dirty || w->rc < 0) {
        return;
    }
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, 4096);
    w->rc = ledger_row_encode(&line->row, &json);
    if (w->rc >= 0) {
        w->rc = queue_table_put(w->tx, TABLE_LEDGER, 0, span_str(line->key),
                                buf_span(&json), w->err);
    }
    line->dirty = false;
}

int books_write(struct books *b, struct queue_tx *tx, struct err *err)
{
    struct writing w = {.tx = tx, .err = err};
    twalk_r(b->lines, write_line, &w);
    b->dirty = 0;
    return w.rc;
}

static int load_open_row(struct books *b, struct queue_cursor *lines_at,
                         const struct open_row *open, struct err *err)
{
    /* The run's line is reserved on whenever the row says the run has one. */
    struct payer p = {.team = open->team,
                      .feature = open->feature,
                      .run = open->run,
                      .day = open->day,
                      .max_cost = open->on_run ? &open->reserved : NULL};
    struct line_view lines[BOOKS_LINES_MAX];
    unsigned n;
    int rc = books_lines(b, lines_at, &p, lines, &n, err);
    if (rc >= 0) {
        books_reserve(lines, n, open->reserved);
    }
    return rc;
}

int books_load(struct books *b, struct queue *q,
               void (*on_open)(void *ctx, const struct open_row *row), void *ctx,
               struct err *err)
{
    struct queue_cursor *walk = NULL, *lines_at = NULL;
    struct queue_msg row;
    struct open_row open;
    int rc = queue_cursor_open(q, &walk, err);
    if (rc >= 0) {
        rc = queue_cursor_open(q, &lines_at, err);
    }
    if (rc >= 0) {
        rc = books_refresh_limits(b, walk, err);
    }
    if (rc >= 0) {
        rc = queue_read_table(walk, TABLE_OPEN, 0, SPAN_NONE);
    }
    while (rc >= 0 && (rc = queue_read(walk, &row, err)) > 0) {
        rc = open_row_decode(row.value, &open, err);
        if (rc >= 0) {
            rc = load_open_row(b, lines_at, &open, err);
        }
        if (rc >= 0) {
            on_open(ctx, &open);
        }
    }
    queue_cursor_close(lines_at);
    queue_cursor_close(walk);
    return rc < 0 ? rc : 0;
}
