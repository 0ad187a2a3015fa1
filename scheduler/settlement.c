#include "scheduler/scheduler_int.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A settlement changes one row of `open`; the ledger rows it changed and the mark come on top. */
#define SETTLE_ROOM (BOOKS_LINES_MAX + 2)

#define OPEN_BYTES_MAX 4096

static const char mark_key[] = "spend";

/* The jobs of this slice: what it does to their rows in `open` can be read there only after its
 * commit, so a second record of one job finds the row as the first left it here. */
struct settled {
    void *tree; /* tsearch tree of struct touched by job */
};

struct touched {
    char job[JOB_ID_MAX];
    bool over; /* its row is gone */
    struct open_row open;
};

static int touched_cmp(const void *a, const void *b)
{
    return strcmp(((const struct touched *)a)->job, ((const struct touched *)b)->job);
}

static struct touched *settled_find(const struct settled *s, const char *job)
{
    struct touched key;
    snprintf(key.job, sizeof(key.job), "%s", job);
    struct touched *const *found = tfind(&key, &s->tree, touched_cmp);
    return found ? *found : NULL;
}

/* NULL: out of memory. */
static struct touched *settled_add(struct settled *s, const char *job,
                                   const struct open_row *open)
{
    struct touched *t = calloc(1, sizeof(*t));
    if (!t) {
        return NULL;
    }
    snprintf(t->job, sizeof(t->job), "%s", job);
    t->open = *open;
    if (!tsearch(t, &s->tree, touched_cmp)) {
        free(t);
        return NULL;
    }
    return t;
}

/* The job's row as this slice leaves it so far. 1 there is one, 0 none. */
static int settled_row(struct scheduler *s, struct settled *settled, const char *job,
                       struct touched **ret, struct err *err)
{
    struct open_row open;
    struct queue_msg row;
    struct touched *known = settled_find(settled, job);
    if (known) {
        *ret = known;
        return !known->over;
    }
    int rc = queue_table_get(s->rows, TABLE_OPEN, 0, span_str(job), &row, err);
    if (rc > 0) {
        rc = open_row_decode(row.value, &open, err);
        rc = rc < 0 ? rc : 1;
    }
    if (rc <= 0) {
        return rc;
    }
    *ret = settled_add(settled, job, &open);
    return *ret ? 1 : err_set(err, ERR_FAIL, "could not settle '%s': out of memory", job);
}

int settlement_load(struct scheduler *s, struct err *err)
{
    struct queue_msg row;
    int rc = queue_table_get(s->rows, TABLE_MARKS, 0, SPAN_LIT(mark_key), &row, err);
    if (rc > 0 && span_u64(row.value, &s->spend_next) < 0) {
        return err_set(err, ERR_FAIL, "could not read mark 'spend': it is no number");
    }
    return rc < 0 ? rc : 0;
}

static void warn_overrun(struct scheduler *s, const struct open_row *open,
                         const struct spend_head *spend)
{
    char subject[TEAM_MAX + FEATURE_MAX + 2], text[300];
    char cost[USD_TEXT_MAX], held[USD_TEXT_MAX];
    if (usd_cmp(spend->cost, open->reserved) <= 0) {
        return;
    }
    snprintf(subject, sizeof(subject), "%s/%s", open->team, open->feature);
    snprintf(text, sizeof(text),
             "job %s was billed $%s, more than its bound of $%s: check the price book",
             spend->job, usd_format(spend->cost, cost), usd_format(open->reserved, held));
    s->conf.on_event(s->conf.ctx, subject, text);
}

/* The row goes with the job's last record; before that it keeps what is still reserved. */
static int put_open(struct queue_tx *tx, const struct touched *t, struct err *err)
{
    _cleanup_(buf_fini) struct buf json;
    buf_init(&json, OPEN_BYTES_MAX);
    if (!t->over && open_row_encode(&t->open, &json) < 0) {
        return err_set(err, ERR_FAIL, "could not settle '%s': row too large", t->job);
    }
    return queue_table_put(tx, TABLE_OPEN, 0, span_str(t->job),
                           t->over ? SPAN_NONE : buf_span(&json), err);
}

static int book(struct scheduler *s, struct queue_tx *tx, struct touched *t,
                const struct spend_head *spend, struct err *err)
{
    struct open_row *open = &t->open;
    struct line_view lines[BOOKS_LINES_MAX];
    unsigned n;
    struct payer payer = {.team = open->team,
                          .feature = open->feature,
                          .run = open->run,
                          .day = open->day,
                          .max_cost = open->on_run ? &open->reserved : NULL};
    int rc = books_lines(s->books, s->rows, &payer, lines, &n, err);
    if (rc < 0) {
        return rc;
    }
    warn_overrun(s, open, spend);
    books_settle(s->books, lines, n, open, spend);
    t->over = spend->final;
    if (t->over) {
        flow_sub(s->flow, open->model, open->tokens);
    }
    return put_open(tx, t, err);
}

/* A try in doubt counts once, with another to come: the row remembers the last one. */
static bool is_news(const struct open_row *open, const struct spend_head *spend)
{
    return open->attempt == spend->attempt &&
           (spend->final ||
            (spend->kind == SPEND_IN_DOUBT && spend->try_n > open->tried));
}

/* A record counts while its job is in `open`, once: anything else was counted before. */
static int apply(struct scheduler *s, struct queue_tx *tx, struct settled *settled,
                 const struct queue_msg *msg, struct err *err)
{
    struct spend_head spend;
    struct touched *t = NULL;
    if (spend_head_decode(msg->headers, &spend) < 0) {
        return 0;
    }
    int rc = settled_row(s, settled, spend.job, &t, err);
    return rc > 0 && is_news(&t->open, &spend) ? book(s, tx, t, &spend, err) : rc;
}

static int put_mark(struct scheduler *s, struct queue_tx *tx, struct err *err)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)s->spend_next);
    return queue_table_put(tx, TABLE_MARKS, 0, SPAN_LIT(mark_key), span_str(text), err);
}

static bool room(const struct scheduler *s, unsigned n)
{
    return n + books_dirty(s->books) + SETTLE_ROOM <= QUEUE_TX_RECORDS;
}

static int apply_slice(struct scheduler *s, struct queue_tx *tx, struct err *err)
{
    struct settled settled = {0};
    struct queue_msg msg;
    unsigned n = 0;
    int rc = queue_read_topic(s->spend, TOPIC_SPEND, 0, s->spend_next);
    while (rc >= 0 && room(s, n) && (rc = queue_read(s->spend, &msg, err)) > 0) {
        rc = apply(s, tx, &settled, &msg, err);
        s->spend_next = msg.at.offset + 1;
        n++;
    }
    tdestroy(settled.tree, free);
    if (rc >= 0 && n > 0) {
        rc = books_write(s->books, tx, err);
    }
    if (rc >= 0 && n > 0) {
        rc = put_mark(s, tx, err);
    }
    return rc < 0 ? rc : (int)n;
}

int settlement_step(struct scheduler *s, struct err *err)
{
    struct queue_tx *tx;
    int rc = queue_begin(s->conf.queue, &tx);
    if (rc < 0) {
        return err_set(err, ERR_FAIL, "could not begin a commit: out of memory");
    }
    rc = apply_slice(s, tx, err);
    if (rc <= 0) {
        queue_tx_drop(tx);
        return rc;
    }
    scheduler_commit(s, tx);
    return 1;
}
